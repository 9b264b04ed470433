/* Aggregations that look at the values of a group together: quantile, count_values. */
#include <math.h>

#include "base/number.h"
#include "promql/exec.h"
#include "promql/quantile.h"

/* ---- count_values: the value becomes a label, so it is part of the group ---- */

struct count_values_op {
    struct pql_list_op list;
    const struct pql_node *node;
    struct pql_op *input;
    struct pql_label_table table;
    struct pql_grouping grouping; /* with the value's label */
    struct mrd_buf histogram_text;
    struct pql_label_scratch set_scratch;
    struct pql_label_scratch group_scratch;
};

/* The index of the group that (labels, value) belongs to. */
static enum mrd_status value_group(struct count_values_op *op, struct mrd_labels labels,
                                   struct mrd_bytes value, uint32_t *out, struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    const struct mrd_label label = {op->node->args[1]->text, value};
    struct mrd_labels with_value;
    struct mrd_labels key;
    bool is_new = false;
    MRD_TRY(pql_labels_set(exec, &op->set_scratch, labels, label, &with_value, err));
    MRD_TRY(pql_labels_group(exec, &op->group_scratch, with_value, &op->grouping, &key, err));
    MRD_TRY(pql_label_table_add(&op->table, key, out, &is_new, err));
    if (is_new) {
        struct pql_series series = {.labels = op->table.keys[*out]};
        MRD_TRY(pql_hold(exec, op->list.op.steps, err));
        MRD_TRY(PQL_NEW(exec, op->list.op.steps, &series.values, err));
        pql_column_clear(series.values, op->list.op.steps);
        MRD_TRY(pql_series_list_add(exec, &op->list.list, series, err));
    }
    return MRD_OK;
}

static void count_one(struct count_values_op *op, uint32_t group, size_t step)
{
    double *count = &op->list.list.items[group].values[step];
    *count = pql_is_none(*count) ? 1 : *count + 1;
}

static enum mrd_status count_histograms(struct count_values_op *op, const struct pql_series *series,
                                        struct mrd_error *err)
{
    for (size_t i = 0; i < op->list.op.steps; i++) {
        uint32_t group = 0;
        if (series->histograms[i] == NULL) {
            continue;
        }
        mrd_buf_clear(&op->histogram_text);
        mrd_float_histogram_format(series->histograms[i], &op->histogram_text);
        MRD_TRY(value_group(op, series->labels, mrd_buf_view(&op->histogram_text), &group, err));
        count_one(op, group, i);
    }
    return MRD_OK;
}

static enum mrd_status count_floats(struct count_values_op *op, const struct pql_series *series,
                                    struct mrd_error *err)
{
    uint32_t group = UINT32_MAX;
    double last = 0;
    for (size_t i = 0; i < op->list.op.steps; i++) {
        const double value = series->values[i];
        if (pql_is_none(value)) {
            continue;
        }
        if (group == UINT32_MAX || mrd_double_bits(value) != mrd_double_bits(last)) {
            char text[MRD_DOUBLE_TEXT_MAX];
            const size_t size = mrd_double_format_f(value, text);
            const struct mrd_bytes shown = {(const uint8_t *)text, size};
            MRD_TRY(value_group(op, series->labels, shown, &group, err));
            last = value;
        }
        count_one(op, group, i);
    }
    return MRD_OK;
}

static enum mrd_status count_values_fill(struct pql_list_op *base, struct mrd_error *err)
{
    struct count_values_op *op = (struct count_values_op *)base;
    for (;;) {
        struct pql_series series;
        bool more = false;
        MRD_TRY(pql_next(op->input, &series, &more, err));
        if (!more) {
            return MRD_OK;
        }
        MRD_TRY(count_floats(op, &series, err));
        if (series.histograms != NULL) {
            MRD_TRY(count_histograms(op, &series, err));
        }
    }
}

static void count_values_fini(void *subject)
{
    struct count_values_op *op = subject;
    mrd_buf_fini(&op->histogram_text);
}

static enum mrd_status add_name(struct pql_exec *exec, struct mrd_names *names,
                                struct mrd_bytes name, struct mrd_error *err)
{
    struct mrd_bytes *items = NULL;
    MRD_TRY(PQL_NEW(exec, names->count + 1, &items, err));
    if (names->count > 0) {
        memcpy(items, names->items, names->count * sizeof(*items));
    }
    items[names->count] = name;
    *names = (struct mrd_names){items, names->count + 1};
    return MRD_OK;
}

static enum mrd_status remove_name(struct pql_exec *exec, struct mrd_names *names,
                                   struct mrd_bytes name, struct mrd_error *err)
{
    struct mrd_bytes *items = NULL;
    size_t kept = 0;
    MRD_TRY(PQL_NEW(exec, names->count, &items, err));
    for (size_t i = 0; i < names->count; i++) {
        if (!mrd_bytes_equal(names->items[i], name)) {
            items[kept++] = names->items[i];
        }
    }
    *names = (struct mrd_names){items, kept};
    return MRD_OK;
}

static enum mrd_status build_count_values(struct pql_exec *exec, const struct pql_node *node,
                                          struct pql_op **out, struct mrd_error *err)
{
    struct count_values_op *op = NULL;
    const struct mrd_bytes label = node->args[1]->text;
    if (label.size == 0 || !mrd_bytes_utf8_valid(label)) {
        struct mrd_label shown = {MRD_BYTES("x"), label};
        const struct mrd_bytes text = pql_labels_text(exec, (struct mrd_labels){&shown, 1});
        return pql_fail(err, "invalid label name %.*s", (int)text.size - 4, text.data + 3);
    }
    MRD_TRY(PQL_NEW(exec, 1, &op, err));
    *op =
        (struct count_values_op){.node = node, .table = {.exec = exec}, .grouping = node->grouping};
    pql_list_op_init(&op->list, exec, node->steps.count, count_values_fill);
    MRD_TRY(pql_defer(exec, count_values_fini, op, err));
    MRD_TRY(node->grouping.without ? remove_name(exec, &op->grouping.names, label, err)
                                   : add_name(exec, &op->grouping.names, label, err));
    MRD_TRY(pql_build(exec, node->args[0], node->steps.count, &op->input, err));
    *out = &op->list.op;
    return MRD_OK;
}

/* ---- quantile: needs all values of a step at once ---- */

struct quantile_op {
    struct pql_list_op list;
    const struct pql_node *node;
    struct pql_op *input;
    double *q;
    struct pql_label_table table;
    uint32_t *group_of; /* by index in the collected input */
    struct pql_label_scratch scratch;
};

/* Turns `members` (indices into input) of one group into its column. */
static enum mrd_status quantile_group(const struct quantile_op *op,
                                      const struct pql_series_list *input, const uint32_t *members,
                                      size_t member_count, double *scratch, double *out,
                                      struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    const struct mrd_look look = pql_look(exec);
    for (size_t i = 0; i < op->list.op.steps; i++) {
        size_t count = 0;
        for (size_t m = 0; m < member_count; m++) {
            const double value = input->items[members[m]].values[i];
            if (!pql_is_none(value)) {
                scratch[count++] = value;
            }
        }
        MRD_TRY(pql_work(exec, 1 + member_count / 2, err));
        MRD_TRY(pql_sort_doubles(scratch, count, &look, err));
        out[i] = count == 0 ? pql_none() : pql_quantile_sorted(op->q[i], scratch, count);
    }
    return MRD_OK;
}

/* Lists the members of each group one after the other; starts[g] .. starts[g + 1] are group g's. */
static enum mrd_status list_members(struct quantile_op *op, size_t series_count,
                                    uint32_t **out_members, uint32_t **out_starts,
                                    struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    const size_t groups = op->table.count;
    uint32_t *members = NULL;
    uint32_t *starts = NULL;
    uint32_t *fill = NULL;
    MRD_TRY(PQL_NEW(exec, series_count, &members, err));
    MRD_TRY(PQL_NEW(exec, groups + 1, &starts, err));
    MRD_TRY(PQL_NEW(exec, groups + 1, &fill, err));
    memset(starts, 0, (groups + 1) * sizeof(*starts));
    for (size_t i = 0; i < series_count; i++) {
        starts[op->group_of[i] + 1]++;
    }
    for (size_t g = 0; g < groups; g++) {
        starts[g + 1] += starts[g];
    }
    memcpy(fill, starts, (groups + 1) * sizeof(*fill));
    for (size_t i = 0; i < series_count; i++) {
        members[fill[op->group_of[i]]++] = (uint32_t)i;
    }
    *out_members = members;
    *out_starts = starts;
    return MRD_OK;
}

static enum mrd_status quantile_assign(struct quantile_op *op, const struct pql_series_list *input,
                                       struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    MRD_TRY(PQL_NEW(exec, input->count, &op->group_of, err));
    for (size_t i = 0; i < input->count; i++) {
        struct mrd_labels key;
        bool is_new = false;
        MRD_TRY(pql_labels_group(exec, &op->scratch, input->items[i].labels, &op->node->grouping,
                                 &key, err));
        MRD_TRY(pql_label_table_add(&op->table, key, &op->group_of[i], &is_new, err));
    }
    return MRD_OK;
}

/* Prometheus looks at all steps together: NaN hides the others, else the extremes are named. */
static void quantile_warn(const struct quantile_op *op)
{
    double least = INFINITY;
    double greatest = -INFINITY;
    for (size_t i = 0; i < op->list.op.steps; i++) {
        if (isnan(op->q[i])) {
            pql_check_quantile(op->list.op.exec, op->q[i], pql_place(op->node, op->node->args[1]));
            return;
        }
        least = fmin(least, op->q[i]);
        greatest = fmax(greatest, op->q[i]);
    }
    if (greatest > 1) {
        pql_check_quantile(op->list.op.exec, greatest, pql_place(op->node, op->node->args[1]));
    }
    if (least < 0) {
        pql_check_quantile(op->list.op.exec, least, pql_place(op->node, op->node->args[1]));
    }
}

/* Histograms have no order, so they are left out. */
static void drop_histograms(const struct quantile_op *op, struct pql_series_list *input)
{
    const size_t steps = op->list.op.steps;
    size_t kept = 0;
    for (size_t i = 0; i < input->count; i++) {
        struct pql_series *series = &input->items[i];
        if (pql_histogram_points(series, steps) > 0) {
            pql_note_histogram(op->list.op.exec, PQL_NOTE_IGNORED_AGGREGATE,
                               pql_place(op->node, op->node->args[0]), MRD_BYTES("quantile"));
            series->histograms = NULL;
        }
        if (!pql_column_empty(series->values, steps)) {
            input->items[kept++] = *series;
        }
    }
    input->count = kept;
}

static enum mrd_status quantile_fill(struct pql_list_op *base, struct mrd_error *err)
{
    struct quantile_op *op = (struct quantile_op *)base;
    struct pql_exec *exec = base->op.exec;
    struct pql_series_list input = {0};
    uint32_t *members = NULL;
    uint32_t *starts = NULL;
    double *scratch = NULL;
    MRD_TRY(pql_collect(op->input, &input, err));
    quantile_warn(op);
    drop_histograms(op, &input);
    MRD_TRY(quantile_assign(op, &input, err));
    MRD_TRY(list_members(op, input.count, &members, &starts, err));
    MRD_TRY(PQL_NEW(exec, input.count, &scratch, err));
    for (size_t g = 0; g < op->table.count; g++) {
        struct pql_series series = {.labels = op->table.keys[g]};
        MRD_TRY(PQL_NEW(exec, base->op.steps, &series.values, err));
        for (uint32_t m = starts[g]; m < starts[g + 1]; m++) {
            series.drop_name |= input.items[members[m]].drop_name;
        }
        MRD_TRY(quantile_group(op, &input, members + starts[g], starts[g + 1] - starts[g], scratch,
                               series.values, err));
        MRD_TRY(pql_series_list_add(exec, &base->list, series, err));
    }
    return MRD_OK;
}

static enum mrd_status build_quantile(struct pql_exec *exec, const struct pql_node *node,
                                      struct pql_op **out, struct mrd_error *err)
{
    struct quantile_op *op = NULL;
    const size_t steps = node->steps.count;
    MRD_TRY(PQL_NEW(exec, 1, &op, err));
    *op = (struct quantile_op){.node = node, .table = {.exec = exec}};
    pql_list_op_init(&op->list, exec, steps, quantile_fill);
    op->list.op.one_name = node->grouping.without ||
                           !pql_names_contain(node->grouping.names, MRD_BYTES(MRD_METRIC_NAME));
    MRD_TRY(pql_eval_scalar(exec, node->args[1], steps, &op->q, err));
    MRD_TRY(pql_build(exec, node->args[0], steps, &op->input, err));
    *out = &op->list.op;
    return MRD_OK;
}

enum mrd_status pql_build_by_value(struct pql_exec *exec, const struct pql_node *node,
                                   struct pql_op **out, struct mrd_error *err)
{
    return node->aggregation == MRD_AGG_QUANTILE ? build_quantile(exec, node, out, err)
                                                 : build_count_values(exec, node, out, err);
}
