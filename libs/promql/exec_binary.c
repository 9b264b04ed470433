/* Binary operators: a vector with a scalar, and vectors matched by their labels. */
#include "promql/arithmetic.h"
#include "promql/exec.h"
#include "promql/exec_binary_histogram.h"
#include "promql/exec_match.h"

/* Whether the result is of another metric: arithmetic. */
static bool makes_metric(const struct pql_node *node)
{
    return !mrd_op_is_comparison(node->op) && !pql_op_trims(node->op);
}

/* Whether the name goes. */
static bool changes_metric(const struct pql_node *node)
{
    return node->return_bool || makes_metric(node);
}

/* ---- vector and scalar ---- */

struct scalar_op {
    struct pql_op op;
    const struct pql_node *node;
    struct pql_op *input;
    double *scalar;
    bool scalar_left;
    bool drops_name;
    struct pql_step_notes notes;
    struct mrd_arena *made; /* histograms of the series at hand */
    struct pql_label_scratch scratch;
};

/* Where the series has histograms, or the operator cuts them. */
static enum mrd_status scalar_histograms(struct scalar_op *op, struct pql_series *series,
                                         struct mrd_error *err)
{
    struct pql_exec *exec = op->op.exec;
    MRD_TRY(pql_scratch_reset(exec, &op->made, err));
    for (size_t i = 0; i < op->op.steps; i++) {
        const struct pql_operand element = pql_operand_of(series, i);
        const struct pql_operand scalar = {op->scalar[i], NULL};
        struct pql_combined result;
        if (pql_operand_is_none(&element)) {
            continue;
        }
        if (element.histogram == NULL && !pql_op_trims(op->node->op)) {
            continue; /* the loop over floats is next */
        }
        MRD_TRY(op->scalar_left
                    ? pql_combine_histograms(op->node, &scalar, &element, op->made, &result, err)
                    : pql_combine_histograms(op->node, &element, &scalar, op->made, &result, err));
        MRD_TRY(pql_step_note(exec, &op->notes, i, result.note, err));
        series->values[i] = pql_none();
        if (series->histograms != NULL) {
            series->histograms[i] = result.histogram;
        }
    }
    return MRD_OK;
}

static enum mrd_status scalar_next(struct pql_op *base, struct pql_series *out, bool *out_more,
                                   struct mrd_error *err)
{
    struct scalar_op *op = (struct scalar_op *)base;
    MRD_TRY(pql_next(op->input, out, out_more, err));
    if (!*out_more) {
        pql_step_notes_say(base->exec, &op->notes, op->node);
        return MRD_OK;
    }
    if (out->histograms != NULL || pql_op_trims(op->node->op)) {
        MRD_TRY(scalar_histograms(op, out, err));
    }
    for (size_t i = 0; i < base->steps; i++) {
        const double value = out->values[i];
        if (!pql_is_none(value)) {
            const double left = op->scalar_left ? op->scalar[i] : value;
            const double right = op->scalar_left ? value : op->scalar[i];
            out->values[i] = pql_combine(op->node, left, right, value);
        }
    }
    return op->drops_name ? pql_series_drop_name(base->exec, &op->scratch, out, err) : MRD_OK;
}

static enum mrd_status build_scalar(struct pql_exec *exec, const struct pql_node *node,
                                    struct pql_op **out, struct mrd_error *err)
{
    struct scalar_op *op = NULL;
    const size_t steps = node->steps.count;
    const bool left = node->args[0]->type == PQL_SCALAR;
    MRD_TRY(PQL_NEW(exec, 1, &op, err));
    *op = (struct scalar_op){
        .op = {.next = scalar_next, .exec = exec, .steps = steps},
        .node = node,
        .scalar_left = left,
        .notes = {.steps = steps    },
        .drops_name = changes_metric(node),
    };
    MRD_TRY(pql_eval_scalar(exec, node->args[left ? 0 : 1], steps, &op->scalar, err));
    MRD_TRY(pql_build(exec, node->args[left ? 1 : 0], steps, &op->input, err));
    op->op.one_name = op->input->one_name;
    if (op->drops_name && !op->op.one_name && !exec->options->delayed_name_removal) {
        MRD_TRY(pql_build_merge(exec, &op->op, false, out, err));
        (*out)->one_name = true;
        return MRD_OK;
    }
    *out = &op->op;
    return MRD_OK;
}

/* ---- vector and vector ---- */

struct vector_op {
    struct pql_list_op list;
    const struct pql_node *node;
    struct pql_op *many; /* the left side, or the right one of group_right */
    struct pql_op *one;
    struct pql_match match;
    struct pql_label_table results; /* label sets of the results */
    struct pql_step_notes notes;
    struct pql_label_scratch scratch;
    struct pql_label_scratch set_scratch;
};

/* The labels of the result of a pair. */
static enum mrd_status result_labels(struct vector_op *op, struct mrd_labels many,
                                     struct mrd_labels one, struct pql_series *out,
                                     struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    const struct pql_node *node = op->node;
    const struct pql_matching *matching = &node->matching;
    out->labels = many;
    if (node->return_bool) {
        MRD_TRY(pql_series_drop_name(exec, &op->set_scratch, out, err));
    }
    if (makes_metric(node)) { /* the result has no name that could be dropped later */
        MRD_TRY(pql_labels_drop_name(exec, &op->set_scratch, &out->labels, err));
    }
    if (matching->cardinality == MRD_ONE_TO_ONE) {
        MRD_TRY(pql_labels_filter(exec, &op->scratch, out->labels, matching->names, matching->on,
                                  &out->labels, err));
    }
    for (size_t i = 0; i < matching->include.count; i++) {
        const struct mrd_bytes name = matching->include.items[i];
        const struct mrd_label label = {name, mrd_labels_get(one, name)};
        MRD_TRY(pql_labels_set(exec, &op->scratch, out->labels, label, &out->labels, err));
    }
    return MRD_OK;
}

/* The result series of a pair, made on its first use. */
static enum mrd_status result_series(struct vector_op *op, const struct pql_series *many,
                                     const struct pql_series *one, struct pql_series **out,
                                     struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    struct pql_series result = {0}; /* a comparison brings a name back that was to be dropped */
    uint32_t index = 0;
    bool is_new = false;
    MRD_TRY(result_labels(op, many->labels, one->labels, &result, err));
    MRD_TRY(pql_label_table_add(&op->results, result.labels, &index, &is_new, err));
    if (is_new) {
        const size_t steps = op->list.op.steps;
        result.labels = op->results.keys[index];
        MRD_TRY(pql_hold(exec, steps, err));
        MRD_TRY(PQL_NEW(exec, steps, &result.values, err));
        pql_column_clear(result.values, steps);
        MRD_TRY(pql_series_list_add(exec, &op->list.list, result, err));
    }
    *out = &op->list.list.items[index];
    return MRD_OK;
}

/* Two pairs with the same result at one step: the query is wrong, and this says how. */
static enum mrd_status duplicate_result(const struct vector_op *op, bool same_group,
                                        struct mrd_error *err)
{
    if (!same_group) {
        return pql_fail(err, "vector cannot contain metrics with the same labelset");
    }
    if (op->node->matching.cardinality == MRD_ONE_TO_ONE) {
        return pql_fail(err, "multiple matches for labels: many-to-one matching must be explicit "
                             "(group_left/group_right)");
    }
    return pql_fail(err, "multiple matches for labels: grouping labels must ensure unique matches");
}

/* Step by step: the group that last matched into a result series (one-to-one: the group itself has
 * matched). A comparison may drop the value of a pair and the pair still counts as matched. */
struct claim {
    uint32_t *group; /* per step; UINT32_MAX: free */
};

struct combine {
    struct claim *claims; /* per result series; one-to-one: per group */
    size_t capacity;
    size_t error_step; /* first step at which something is wrong; steps if nothing is */
    bool error_same_group;
    uint8_t *
        *fits; /* with fill_left only: enum fit per group and step; NULL for groups without pairs */
};

/* A pair of types that the operator does not work on does not count as matched: Prometheus fills there
 * what has no other match. */
enum fit { FIT_NO_PAIR = 0, FIT_NONE = 1, FIT_SOME = 2 };

static enum mrd_status note_fit(struct vector_op *op, struct combine *combine, uint32_t group,
                                size_t step, bool valid, struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    const size_t steps = op->list.op.steps;
    if (!op->node->matching.fill_left_set) {
        return MRD_OK;
    }
    if (combine->fits == NULL) {
        MRD_TRY(PQL_NEW(exec, op->match.group_count, &combine->fits, err));
        memset((void *)combine->fits, 0, op->match.group_count * sizeof(*combine->fits));
    }
    uint8_t **fits = &combine->fits[group];
    if (*fits == NULL) {
        MRD_TRY(PQL_NEW(exec, steps, fits, err));
        memset(*fits, FIT_NO_PAIR, steps);
    }
    if (valid || (*fits)[step] == FIT_NO_PAIR) {
        (*fits)[step] = valid ? FIT_SOME : FIT_NONE;
    }
    return MRD_OK;
}

/* Fills in for the "many" side also where the group's pairs did not fit. */
static void fill_unfit(struct vector_op *op, const struct combine *combine, uint32_t group)
{
    const uint8_t *fits = combine->fits == NULL ? NULL : combine->fits[group];
    double *values = op->match.fill_many[group]->values;
    for (size_t i = 0; fits != NULL && i < op->list.op.steps; i++) {
        if (fits[i] == FIT_NONE) {
            values[i] = op->node->matching.fill_left;
        }
    }
}

static enum mrd_status claims_of(struct vector_op *op, struct combine *combine, size_t index,
                                 uint32_t **out, struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    const size_t steps = op->list.op.steps;
    while (combine->capacity <= index) {
        const size_t count = combine->capacity;
        size_t capacity = combine->capacity;
        MRD_TRY(pql_grow(exec, (void **)&combine->claims, count, &capacity,
                         sizeof(*combine->claims), err));
        memset(combine->claims + count, 0, (capacity - count) * sizeof(*combine->claims));
        combine->capacity = capacity;
    }
    uint32_t **claims = &combine->claims[index].group;
    if (*claims == NULL) {
        MRD_TRY(PQL_NEW(exec, steps, claims, err));
        memset(*claims, 0xff, steps * sizeof(**claims));
    }
    *out = *claims;
    return MRD_OK;
}

static enum mrd_status put_result(struct vector_op *op, struct pql_series *result, size_t step,
                                  const struct pql_combined *combined, struct mrd_error *err)
{
    result->values[step] = combined->histogram != NULL ? pql_none() : combined->value;
    if (combined->histogram != NULL && result->histograms == NULL) {
        MRD_TRY(
            pql_histograms_create(op->list.op.exec, op->list.op.steps, &result->histograms, err));
    }
    if (result->histograms != NULL) {
        result->histograms[step] = combined->histogram;
    }
    return MRD_OK;
}

/* A pair of series of which one has histograms, or whose operator cuts them. */
static enum mrd_status combine_histograms(struct vector_op *op, struct combine *combine,
                                          uint32_t group, const struct pql_series *many,
                                          const struct pql_series *one, struct mrd_error *err)
{
    const struct pql_node *node = op->node;
    struct pql_exec *exec = op->list.op.exec;
    const bool swapped = node->matching.cardinality == MRD_ONE_TO_MANY;
    const bool one_to_one = node->matching.cardinality == MRD_ONE_TO_ONE;
    struct pql_series *result = NULL;
    uint32_t *claims = NULL;
    for (size_t i = 0; i < op->match.error_step; i++) {
        const struct pql_operand left = pql_operand_of(swapped ? one : many, i);
        const struct pql_operand right = pql_operand_of(swapped ? many : one, i);
        struct pql_combined combined;
        if (pql_operand_is_none(&left) || pql_operand_is_none(&right)) {
            continue;
        }
        MRD_TRY(pql_combine_operands(node, &left, &right, exec->arena, &combined, err));
        MRD_TRY(pql_step_note(exec, &op->notes, i, combined.note, err));
        MRD_TRY(note_fit(op, combine, group, i, combined.valid, err));
        if (!combined.valid) {
            continue;
        }
        if (result == NULL) {
            MRD_TRY(result_series(op, many, one, &result, err));
            const size_t index = (size_t)(result - op->list.list.items);
            MRD_TRY(claims_of(op, combine, one_to_one ? group : index, &claims, err));
        }
        const bool same_group = claims[i] == group;
        const bool wrong = same_group || (combined.keep && pql_series_has(result, i));
        if (wrong && i < combine->error_step) {
            combine->error_step = i;
            combine->error_same_group = same_group;
        }
        claims[i] = group;
        if (combined.keep) {
            MRD_TRY(put_result(op, result, i, &combined, err));
        }
    }
    return MRD_OK;
}

/* Steps from where the matching is wrong on need not be computed: there is no answer. */
static enum mrd_status combine_pair(struct vector_op *op, struct combine *combine, uint32_t group,
                                    const struct pql_series *many, const struct pql_series *one,
                                    struct mrd_error *err)
{
    const struct pql_node *node = op->node;
    const bool swapped = node->matching.cardinality == MRD_ONE_TO_MANY;
    const bool one_to_one = node->matching.cardinality == MRD_ONE_TO_ONE;
    struct pql_series *result = NULL;
    uint32_t *claims = NULL;
    if (many->histograms != NULL || one->histograms != NULL || pql_op_trims(node->op)) {
        return combine_histograms(op, combine, group, many, one, err);
    }
    for (size_t i = 0; i < op->match.error_step; i++) {
        if (pql_is_none(many->values[i]) || pql_is_none(one->values[i])) {
            continue;
        }
        if (result == NULL) {
            MRD_TRY(result_series(op, many, one, &result, err));
            const size_t index = (size_t)(result - op->list.list.items);
            MRD_TRY(claims_of(op, combine, one_to_one ? group : index, &claims, err));
        }
        MRD_TRY(note_fit(op, combine, group, i, true, err));
        const double left = swapped ? one->values[i] : many->values[i];
        const double right = swapped ? many->values[i] : one->values[i];
        const double value = pql_combine(node, left, right, left);
        const bool same_group = claims[i] == group;
        const bool wrong = same_group || (!pql_is_none(value) && pql_series_has(result, i));
        if (wrong && i < combine->error_step) {
            combine->error_step = i;
            combine->error_same_group = same_group;
        }
        claims[i] = group;
        if (!pql_is_none(value)) {
            result->values[i] = value;
        }
    }
    return MRD_OK;
}

/* A series of the "many" side with all that it meets, or what stands in for that. */
static enum mrd_status combine_many(struct vector_op *op, struct combine *combine, size_t m,
                                    struct mrd_error *err)
{
    struct pql_match *match = &op->match;
    const uint32_t group = match->many_group[m];
    const struct pql_series *many = &match->many.items[m];
    const struct pql_series *fill = NULL;
    MRD_TRY(mrd_query_check(op->list.op.exec->control, err));
    for (uint32_t o = match->one_first[group]; o != UINT32_MAX; o = match->one_next[o]) {
        MRD_TRY(pql_work(op->list.op.exec, 1 + match->error_step / 16, err));
        MRD_TRY(combine_pair(op, combine, group, many, &match->one.items[o], err));
    }
    MRD_TRY(pql_match_fill_one(match, op->node, group, &fill, err));
    return fill == NULL ? MRD_OK : combine_pair(op, combine, group, many, fill, err);
}

static enum mrd_status combine_all(struct vector_op *op, struct mrd_error *err)
{
    struct pql_match *match = &op->match;
    struct combine combine = {.error_step = op->list.op.steps};
    if (match->error_step == 0) {
        return pql_match_fail(match, op->node, err);
    }
    for (size_t m = 0; m < match->many.count; m++) {
        MRD_TRY(combine_many(op, &combine, m, err));
    }
    for (size_t o = 0; o < match->one.count; o++) {
        const uint32_t group = match->one_group[o];
        const struct pql_series *fill = NULL;
        MRD_TRY(pql_match_fill_many(match, op->node, group, &fill, err));
        if (fill != NULL) {
            fill_unfit(op, &combine, group);
            MRD_TRY(combine_pair(op, &combine, group, fill, &match->one.items[o], err));
        }
    }
    if (match->error_step <= combine.error_step && match->error_step < op->list.op.steps) {
        return pql_match_fail(match, op->node, err);
    }
    if (combine.error_step < op->list.op.steps) {
        return duplicate_result(op, combine.error_same_group, err);
    }
    return MRD_OK;
}

static enum mrd_status vector_fill(struct pql_list_op *base, struct mrd_error *err)
{
    struct vector_op *op = (struct vector_op *)base;
    MRD_TRY(pql_match_make(base->op.exec, op->node, op->many, op->one, &op->match, err));
    MRD_TRY(combine_all(op, err));
    pql_step_notes_say(base->op.exec, &op->notes, op->node);
    return MRD_OK;
}

static enum mrd_status build_vectors(struct pql_exec *exec, const struct pql_node *node,
                                     struct pql_op **out, struct mrd_error *err)
{
    struct vector_op *op = NULL;
    const size_t steps = node->steps.count;
    const bool swapped = node->matching.cardinality == MRD_ONE_TO_MANY;
    MRD_TRY(PQL_NEW(exec, 1, &op, err));
    *op = (struct vector_op){.node = node, .results = {.exec = exec}, .notes = {.steps = steps}};
    pql_list_op_init(&op->list, exec, steps, vector_fill);
    MRD_TRY(pql_build(exec, node->args[swapped ? 1 : 0], steps, &op->many, err));
    MRD_TRY(pql_build(exec, node->args[swapped ? 0 : 1], steps, &op->one, err));
    op->list.op.one_name = changes_metric(node);
    *out = &op->list.op;
    return MRD_OK;
}

enum mrd_status pql_build_binary(struct pql_exec *exec, const struct pql_node *node,
                                 struct pql_op **out, struct mrd_error *err)
{
    if (mrd_op_is_set(node->op)) {
        return pql_build_set(exec, node, out, err);
    }
    if (node->args[0]->type == PQL_SCALAR || node->args[1]->type == PQL_SCALAR) {
        return build_scalar(exec, node, out, err);
    }
    return build_vectors(exec, node, out, err);
}
