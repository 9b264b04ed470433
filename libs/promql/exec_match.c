#include "promql/exec_match.h"

enum mrd_status pql_match_key(struct pql_exec *exec, struct pql_label_scratch *scratch,
                              const struct pql_matching *matching, struct mrd_labels labels,
                              struct mrd_labels *out, struct mrd_error *err)
{
    const struct pql_grouping grouping = {.names = matching->names, .without = !matching->on};
    return pql_labels_group(exec, scratch, labels, &grouping, out, err);
}

static enum mrd_status match_groups(struct pql_exec *exec, struct pql_match *match,
                                    const struct pql_matching *matching,
                                    const struct pql_series_list *list, uint32_t **out,
                                    struct mrd_error *err)
{
    struct pql_label_scratch scratch = {0};
    uint32_t *groups = NULL;
    MRD_TRY(PQL_NEW(exec, list->count, &groups, err));
    for (size_t i = 0; i < list->count; i++) {
        struct mrd_labels key;
        bool is_new = false;
        MRD_TRY(pql_match_key(exec, &scratch, matching, list->items[i].labels, &key, err));
        MRD_TRY(pql_label_table_add(&match->table, key, &groups[i], &is_new, err));
    }
    *out = groups;
    return MRD_OK;
}

/* Links the series of each group in their order. */
static enum mrd_status match_link(struct pql_exec *exec, size_t group_count,
                                  const uint32_t *group_of, size_t count, uint32_t **out_first,
                                  uint32_t **out_next, struct mrd_error *err)
{
    uint32_t *first = NULL;
    uint32_t *next = NULL;
    MRD_TRY(PQL_NEW(exec, group_count, &first, err));
    MRD_TRY(PQL_NEW(exec, count, &next, err));
    memset(first, 0xff, group_count * sizeof(*first));
    MRD_TRY(pql_work(exec, count / 16, err));
    for (size_t i = count; i-- > 0;) {
        next[i] = first[group_of[i]];
        first[group_of[i]] = (uint32_t)i;
    }
    *out_first = first;
    *out_next = next;
    return MRD_OK;
}

/* Steps at which something is evaluated: with nothing on the "many" side and no fill, nothing is. */
static enum mrd_status match_evaluated(struct pql_exec *exec, const struct pql_match *match,
                                       const struct pql_node *node, bool **out,
                                       struct mrd_error *err)
{
    const size_t steps = node->steps.count;
    const bool filled = node->matching.fill_left_set || node->matching.fill_right_set;
    bool *evaluated = NULL;
    MRD_TRY(PQL_NEW(exec, steps, &evaluated, err));
    memset(evaluated, filled, steps);
    for (size_t m = 0; m < match->many.count && !filled; m++) {
        MRD_TRY(pql_work(exec, 1 + steps / 32, err));
        for (size_t i = 0; i < steps; i++) {
            evaluated[i] |= pql_series_has(&match->many.items[m], i);
        }
    }
    *out = evaluated;
    return MRD_OK;
}

/* Notes the first step at which series of a group meet, if it is the earliest so far; of several pairs at that step the
 * one whose later series comes first. first_at[i] is the group's first series with a value at step i. */
static enum mrd_status match_find_error(struct pql_exec *exec, struct pql_match *match,
                                        const bool *evaluated, uint32_t group, uint32_t *first_at,
                                        struct mrd_error *err)
{
    const size_t end = MRD_MIN(match->error_step + 1, match->steps);
    memset(first_at, 0xff, end * sizeof(*first_at));
    for (uint32_t b = match->one_first[group]; b != UINT32_MAX; b = match->one_next[b]) {
        MRD_TRY(pql_work(exec, 1 + end / 32, err));
        for (size_t i = 0; i < end && i <= match->error_step; i++) {
            if (!evaluated[i] || !pql_series_has(&match->one.items[b], i)) {
                continue;
            }
            if (first_at[i] == UINT32_MAX) {
                first_at[i] = b;
            } else if (i < match->error_step || b < match->error_one[0]) {
                match->error_step = i;
                match->error_one[0] = b;
                match->error_one[1] = first_at[i];
            }
        }
    }
    return MRD_OK;
}

static enum mrd_status match_find_errors(struct pql_exec *exec, struct pql_match *match,
                                         const struct pql_node *node, struct mrd_error *err)
{
    bool *evaluated = NULL;
    uint32_t *first_at = NULL;
    MRD_TRY(match_evaluated(exec, match, node, &evaluated, err));
    MRD_TRY(PQL_NEW(exec, match->steps, &first_at, err));
    for (uint32_t group = 0; group < match->group_count; group++) {
        const uint32_t first = match->one_first[group];
        if (first != UINT32_MAX && match->one_next[first] != UINT32_MAX) {
            MRD_TRY(match_find_error(exec, match, evaluated, group, first_at, err));
        }
    }
    return MRD_OK;
}

enum mrd_status pql_match_make(struct pql_exec *exec, const struct pql_node *node,
                               struct pql_op *many, struct pql_op *one, struct pql_match *out,
                               struct mrd_error *err)
{
    const size_t steps = node->steps.count;
    *out = (struct pql_match){.table = {.exec = exec}, .steps = steps, .error_step = steps};
    MRD_TRY(pql_collect(many, &out->many, err));
    MRD_TRY(pql_collect(one, &out->one, err));
    MRD_TRY(match_groups(exec, out, &node->matching, &out->many, &out->many_group, err));
    MRD_TRY(match_groups(exec, out, &node->matching, &out->one, &out->one_group, err));
    out->group_count = out->table.count;
    MRD_TRY(match_link(exec, out->group_count, out->many_group, out->many.count, &out->many_first,
                       &out->many_next, err));
    MRD_TRY(match_link(exec, out->group_count, out->one_group, out->one.count, &out->one_first,
                       &out->one_next, err));
    return match_find_errors(exec, out, node, err);
}

/* ---- filling ---- */

/* A side that is filled: its series, and with what. fill_left is for the "many" side and fill_right for
 * the "one" side, under group_right too: there Prometheus swaps the sides but not the values. */
struct side {
    const struct pql_series_list *list;
    const uint32_t *first;
    const uint32_t *next;
    double value;
};

static struct side side_of(const struct pql_match *match, const struct pql_node *node, bool one)
{
    const struct pql_matching *matching = &node->matching;
    if (one) {
        return (struct side){&match->one, match->one_first, match->one_next, matching->fill_right};
    }
    return (struct side){&match->many, match->many_first, match->many_next, matching->fill_left};
}

/* The value at each step where the group has no series. */
static enum mrd_status fill_column(struct pql_exec *exec, const struct side *side, uint32_t group,
                                   double *column, size_t steps, struct mrd_error *err)
{
    pql_column_fill(column, steps, side->value);
    for (uint32_t at = side->first[group]; at != UINT32_MAX; at = side->next[at]) {
        MRD_TRY(pql_work(exec, 1 + steps / 16, err));
        for (size_t i = 0; i < steps; i++) {
            if (pql_series_has(&side->list->items[at], i)) {
                column[i] = pql_none();
            }
        }
    }
    return MRD_OK;
}

static enum mrd_status match_fill(struct pql_match *match, const struct pql_node *node,
                                  uint32_t group, bool one, struct pql_series ***fills,
                                  struct mrd_error *err)
{
    struct pql_exec *exec = match->table.exec;
    const size_t steps = node->steps.count;
    const struct side side = side_of(match, node, one);
    struct pql_series *fill = NULL;
    if (*fills == NULL) {
        MRD_TRY(PQL_NEW(exec, match->group_count, fills, err));
        memset(*fills, 0, match->group_count * sizeof(**fills));
    }
    if ((*fills)[group] != NULL) {
        return MRD_OK;
    }
    MRD_TRY(PQL_NEW(exec, 1, &fill, err));
    *fill = (struct pql_series){.labels = match->table.keys[group]};
    MRD_TRY(pql_hold(exec, steps, err));
    MRD_TRY(PQL_NEW(exec, steps, &fill->values, err));
    MRD_TRY(fill_column(exec, &side, group, fill->values, steps, err));
    (*fills)[group] = fill;
    return MRD_OK;
}

enum mrd_status pql_match_fill_one(struct pql_match *match, const struct pql_node *node,
                                   uint32_t group, const struct pql_series **out,
                                   struct mrd_error *err)
{
    *out = NULL;
    if (node->matching.fill_right_set) {
        MRD_TRY(match_fill(match, node, group, true, &match->fill_one, err));
        *out = match->fill_one[group];
    }
    return MRD_OK;
}

enum mrd_status pql_match_fill_many(struct pql_match *match, const struct pql_node *node,
                                    uint32_t group, const struct pql_series **out,
                                    struct mrd_error *err)
{
    *out = NULL;
    if (node->matching.fill_left_set) {
        MRD_TRY(match_fill(match, node, group, false, &match->fill_many, err));
        *out = match->fill_many[group];
    }
    return MRD_OK;
}

enum mrd_status pql_match_fail(struct pql_match *match, const struct pql_node *node,
                               struct mrd_error *err)
{
    struct pql_exec *exec = match->table.exec;
    struct pql_label_scratch scratch = {0};
    const struct pql_series *first = &match->one.items[match->error_one[0]];
    const struct pql_series *second = &match->one.items[match->error_one[1]];
    const bool one_is_left = node->matching.cardinality == MRD_ONE_TO_MANY;
    struct mrd_labels key;
    MRD_TRY(pql_match_key(exec, &scratch, &node->matching, first->labels, &key, err));
    struct mrd_bytes texts[] = {pql_labels_text(exec, first->labels),
                                pql_labels_text(exec, second->labels)};
    if (mrd_bytes_compare(texts[0], texts[1]) > 0) {
        const struct mrd_bytes later = texts[0];
        texts[0] = texts[1];
        texts[1] = later;
    }
    return pql_fail(err,
                    "found duplicate series for the match group %.*s on the %s hand-side of the "
                    "operation: [%.*s, %.*s];many-to-many matching not allowed: matching labels "
                    "must be unique on one side",
                    MRD_FMT(pql_labels_text(exec, key)), one_is_left ? "left" : "right",
                    MRD_FMT(texts[0]), MRD_FMT(texts[1]));
}
