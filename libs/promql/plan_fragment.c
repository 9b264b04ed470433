/* Which aggregations may be pushed down to where the series are: those whose answer is the same to the
 * last bit, with the same errors and annotations, whether their input is folded in one place or segment
 * by segment in several.
 *
 * That needs a state that can be merged, and an input that looks at one series at a time (a series is in
 * one segment, whole): a selector under functions and operators with what does not depend on any series.
 * Two series that become the same one are an error in most places, which nobody would see who has only
 * one of them; so where names are dropped all series must have the same one.
 */
#include "promql/plan.h"

static bool can_merge(enum mrd_aggregation aggregation)
{
    switch ((int)aggregation) {
    case MRD_AGG_SUM:
    case MRD_AGG_AVG:
    case MRD_AGG_COUNT:
    case MRD_AGG_MIN:
    case MRD_AGG_MAX:
    case MRD_AGG_GROUP:
    case MRD_AGG_STDDEV:
    case MRD_AGG_STDVAR:
    case MRD_AGG_TOPK:
    case MRD_AGG_BOTTOMK:
        return true;
    default: /* limitk and limit_ratio keep histograms, the others all values */
        return false;
    }
}

/* Operators that trim histograms are left out: a step remembers only the last of the notes about them. */
static bool trims(const struct pql_node *node)
{
    return node->op == MRD_OP_TRIM_LOWER || node->op == MRD_OP_TRIM_UPPER;
}

static bool is_scalar_function(const struct pql_function *function)
{
    switch ((int)function->kind) {
    case PQL_CALL_TIME:
    case PQL_CALL_PI:
    case PQL_CALL_START:
    case PQL_CALL_END:
    case PQL_CALL_STEP:
    case PQL_CALL_RANGE:
    case PQL_CALL_MIN_OF:
    case PQL_CALL_MAX_OF:
        return true;
    default: /* scalar() reads series */
        return false;
    }
}

/* A scalar or text that follows from the query alone. */
static bool depends_on_nothing(const struct pql_node *node)
{
    switch ((int)node->kind) {
    case PQL_NUMBER:
    case PQL_TEXT:
        return true;
    case PQL_NEGATE:
        break;
    case PQL_BINARY:
        if (trims(node)) {
            return false;
        }
        break;
    case PQL_CALL:
        if (!is_scalar_function(node->function)) {
            return false;
        }
        break;
    default:
        return false;
    }
    for (size_t i = 0; i < node->arg_count; i++) {
        if (!depends_on_nothing(node->args[i])) {
            return false;
        }
    }
    return true;
}

static bool is_series_local(const struct pql_function *function)
{
    switch ((int)function->kind) {
    case PQL_CALL_WINDOW:
    case PQL_CALL_MAP:
    case PQL_CALL_DATE:
    case PQL_CALL_ROUND:
    case PQL_CALL_CLAMP:
    case PQL_CALL_CLAMP_MIN:
    case PQL_CALL_CLAMP_MAX:
    case PQL_CALL_TIMESTAMP:
    case PQL_CALL_START_TIMESTAMP:
    case PQL_CALL_HISTOGRAM_ONLY:
        return true;
    default: /* they change labels, look at several series, or make one of none */
        return false;
    }
}

static struct pql_selector *only_selector(const struct pql_node *node);

/* Of the one argument that has series, if all others depend on nothing. */
static struct pql_selector *only_selector_of_args(const struct pql_node *node)
{
    struct pql_selector *found = NULL;
    for (size_t i = 0; i < node->arg_count; i++) {
        const struct pql_node *arg = node->args[i];
        if (arg->type != PQL_VECTOR && arg->type != PQL_RANGE) {
            if (!depends_on_nothing(arg)) {
                return NULL;
            }
            continue;
        }
        if (found != NULL) {
            return NULL;
        }
        found = only_selector(arg);
        if (found == NULL) {
            return NULL;
        }
    }
    return found;
}

/* The selector of a series-local expression; NULL if it is none. */
static struct pql_selector *only_selector(const struct pql_node *node)
{
    switch (node->kind) {
    case PQL_SELECT:
    case PQL_WINDOW:
        return node->selector;
    case PQL_SUBQUERY:
    case PQL_NEGATE:
    case PQL_PLUS:
        return only_selector_of_args(node);
    case PQL_BINARY:
        return trims(node) ? NULL : only_selector_of_args(node);
    case PQL_CALL:
        return is_series_local(node->function) ? only_selector_of_args(node) : NULL;
    case PQL_NUMBER:
    case PQL_TEXT:
    case PQL_AGGREGATE:
        return NULL;
    }
    mrd_assert(false);
}

static struct pql_selector *pushable_selector(const struct pql_node *node)
{
    if (!can_merge(node->aggregation) ||
        (node->arg_count > 1 && !depends_on_nothing(node->args[1]))) {
        return NULL;
    }
    struct pql_selector *selector = only_selector(node->args[0]);
    const bool keeps_names = node->args[0]->kind == PQL_SELECT;
    return selector != NULL && (selector->one_name || keeps_names) ? selector : NULL;
}

static void find_in(struct pql_node *node)
{
    if (node->kind == PQL_AGGREGATE) {
        node->pushable = pushable_selector(node);
        if (node->pushable != NULL) {
            node->pushable->fragment = node;
            return;
        }
    }
    for (size_t i = 0; i < node->arg_count; i++) {
        find_in(node->args[i]);
    }
}

void pql_plan_find_pushable(struct pql_plan *plan) { find_in(plan->root); }
