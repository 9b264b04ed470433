/* Range vectors (selectors on a range, subqueries) and the functions over their windows. */
#include "promql/exec_coarse.h"
#include "promql/exec_window_histogram.h"
#include "promql/window_edges.h"

#include <stdio.h>

/* ---- selectors ---- */

struct range_select {
    struct pql_range_op op;
    struct pql_selector *selector;
    struct mrd_arena *converted; /* histograms of the series at hand */
};

static enum mrd_status range_select_next(struct pql_range_op *base, struct pql_range_series *out,
                                         bool *out_more, struct mrd_error *err)
{
    struct range_select *op = (struct range_select *)base;
    struct pql_exec *exec = base->exec;
    struct mrd_source_series series;
    MRD_TRY(pql_source_next(exec, op->selector, &series, out_more, err));
    if (*out_more) {
        *out = (struct pql_range_series){.labels = series.labels, .samples = series.samples};
        if (series.histograms.count > 0) {
            MRD_TRY(pql_scratch_reset(exec, &op->converted, err));
            return pql_histograms_load(exec, &series, op->selector->stats_only, op->converted,
                                       &out->histograms, err);
        }
    }
    return MRD_OK;
}

static enum mrd_status build_range_select(struct pql_exec *exec, const struct pql_node *node,
                                          struct pql_range_op **out, struct mrd_error *err)
{
    struct range_select *op = NULL;
    MRD_TRY(PQL_NEW(exec, 1, &op, err));
    *op = (struct range_select){
        .op = {.next = range_select_next,
               .exec = exec,
               .timing = node->selector->timing,
               .one_name = node->selector->one_name},
        .selector = node->selector,
    };
    *out = &op->op;
    return MRD_OK;
}

/* ---- subqueries: the steps of the inner expression are the samples ---- */

struct range_subquery {
    struct pql_range_op op;
    struct pql_op *input;
    struct pql_steps grid;
    mrd_time_ms *times_ms;
    double *values;
    struct mrd_arena *histograms; /* of the series at hand */
};

/* Histograms of a subquery's inside. It may skip samples or see one twice, so what they say about counter
 * resets since the one before is no longer known. */
static enum mrd_status subquery_histograms(struct range_subquery *op,
                                           const struct pql_series *series,
                                           struct pql_histogram_samples *out, struct mrd_error *err)
{
    MRD_TRY(pql_scratch_reset(op->op.exec, &op->histograms, err));
    struct mrd_arena *arena = op->histograms;
    const size_t points = pql_histogram_points(series, op->grid.count);
    mrd_time_ms *times_ms = mrd_arena_alloc_array(arena, points, sizeof(*times_ms));
    pql_histogram *items = mrd_arena_alloc_array(arena, points, sizeof(*items));
    struct mrd_float_histogram *views = mrd_arena_alloc_array(arena, points, sizeof(*views));
    size_t count = 0;
    if (times_ms == NULL || items == NULL || views == NULL) {
        return mrd_arena_fail(arena, err);
    }
    for (size_t i = 0; i < op->grid.count; i++) {
        if (series->histograms[i] == NULL) {
            continue;
        }
        views[count] = *series->histograms[i];
        if (views[count].reset != MRD_HISTOGRAM_GAUGE) {
            views[count].reset = MRD_HISTOGRAM_RESET_UNKNOWN;
        }
        times_ms[count] = pql_step_ms(&op->grid, i);
        items[count] = &views[count];
        count++;
    }
    *out = (struct pql_histogram_samples){.times_ms = times_ms, .items = items, .count = count};
    return MRD_OK;
}

static enum mrd_status range_subquery_next(struct pql_range_op *base, struct pql_range_series *out,
                                           bool *out_more, struct mrd_error *err)
{
    struct range_subquery *op = (struct range_subquery *)base;
    struct pql_series series;
    MRD_TRY(pql_next(op->input, &series, out_more, err));
    if (!*out_more) {
        return MRD_OK;
    }
    size_t count = 0;
    for (size_t i = 0; i < op->grid.count; i++) {
        if (!pql_is_none(series.values[i])) {
            op->times_ms[count] = pql_step_ms(&op->grid, i);
            op->values[count++] = series.values[i];
        }
    }
    MRD_TRY(pql_work(base->exec, op->grid.count / 64, err));
    *out = (struct pql_range_series){
        .labels = series.labels,
        .samples = {.times_ms = op->times_ms, .values = op->values, .count = count},
        .drop_name = series.drop_name
    };
    return pql_histogram_points(&series, op->grid.count) == 0
               ? MRD_OK
               : subquery_histograms(op, &series, &out->histograms, err);
}

static enum mrd_status build_subquery(struct pql_exec *exec, const struct pql_node *node,
                                      struct pql_range_op **out, struct mrd_error *err)
{
    struct range_subquery *op = NULL;
    const struct pql_steps *grid = &node->steps; /* the planner put the inner grid here */
    MRD_TRY(PQL_NEW(exec, 1, &op, err));
    *op = (struct range_subquery){
        .op = {.next = range_subquery_next, .exec = exec, .timing = node->timing},
        .grid = *grid,
    };
    if (node->args[0]->type == PQL_SCALAR) {
        return mrd_fail(err, MRD_E_INVALID, "subquery is only allowed on instant vector");
    }
    MRD_TRY(pql_build(exec, node->args[0], grid->count, &op->input, err));
    MRD_TRY(PQL_NEW(exec, grid->count, &op->times_ms, err));
    MRD_TRY(PQL_NEW(exec, grid->count, &op->values, err));
    op->op.one_name = op->input->one_name;
    *out = &op->op;
    return MRD_OK;
}

enum mrd_status pql_build_range(struct pql_exec *exec, const struct pql_node *node,
                                struct pql_range_op **out, struct mrd_error *err)
{
    if (node->kind == PQL_SUBQUERY) {
        return build_subquery(exec, node, out, err);
    }
    mrd_assert(node->kind == PQL_WINDOW);
    return build_range_select(exec, node, out, err);
}

/* ---- functions over windows ---- */

struct window_op {
    struct pql_op op;
    const struct pql_node *node;
    pql_window_function *function;
    struct pql_range_op *input;
    struct pql_windows windows;
    size_t capacity; /* of the per-sample scratch */
    mrd_time_ms *clean_times_ms;
    double *clean_values;
    mrd_time_ms
        *clean_starts_ms; /* made when the first series has start times and staleness markers */
    size_t clean_starts_capacity;
    bool heeds_starts;
    double *column;
    struct pql_histogram_windows *histograms; /* made when the first series has any */
    struct pql_label_scratch scratch;
};

/* Per-sample scratch for a series of `count` samples. */
static enum mrd_status window_reserve(struct window_op *op, size_t count, struct mrd_error *err)
{
    struct pql_exec *exec = op->op.exec;
    if (count <= op->capacity) {
        return MRD_OK;
    }
    if (count >= UINT32_MAX) {
        return mrd_fail(err, MRD_E_LIMIT, "a series of %zu samples is too long for one query",
                        count);
    }
    const size_t capacity = MRD_MAX(count, op->capacity * 2);
    MRD_TRY(PQL_NEW(exec, capacity, &op->clean_times_ms, err));
    MRD_TRY(PQL_NEW(exec, capacity, &op->clean_values, err));
    MRD_TRY(PQL_NEW(exec, capacity, &op->windows.scratch, err));
    MRD_TRY(PQL_NEW(exec, capacity, &op->windows.marks, err));
    op->capacity = capacity;
    return MRD_OK;
}

static bool has_stale(const struct mrd_look *look, const double *values, size_t count)
{
    PQL_WINDOW_PARTS(look, i, until, 0, count)
    {
        for (; i < until; i++) {
            if (mrd_is_stale(values[i])) {
                return true;
            }
        }
    }
    return false;
}

/* Start times of those that are no staleness markers; the array is made when it is first needed. */
static enum mrd_status window_clean_starts(struct window_op *op, const struct mrd_samples *samples,
                                           struct mrd_error *err)
{
    size_t count = 0;
    if (op->clean_starts_capacity < samples->count) {
        MRD_TRY(PQL_NEW(op->op.exec, op->capacity, &op->clean_starts_ms, err));
        op->clean_starts_capacity = op->capacity;
    }
    PQL_WINDOW_PARTS(&op->windows.look, i, until, 0, samples->count)
    {
        for (; i < until; i++) {
            if (!mrd_is_stale(samples->values[i])) {
                op->clean_starts_ms[count++] = samples->start_times_ms[i];
            }
        }
    }
    op->windows.start_times_ms = op->clean_starts_ms;
    return MRD_OK;
}

/* Ranges skip staleness markers. Without one the source's columns are used as they are. */
static enum mrd_status window_set_samples(struct window_op *op, const struct mrd_samples *samples,
                                          struct mrd_error *err)
{
    size_t count = samples->count;
    op->windows.times_ms = samples->times_ms;
    op->windows.values = samples->values;
    op->windows.start_times_ms = op->heeds_starts ? samples->start_times_ms : NULL;
    if (has_stale(&op->windows.look, samples->values, count)) {
        count = 0;
        PQL_WINDOW_PARTS(&op->windows.look, i, until, 0, samples->count)
        {
            for (; i < until; i++) {
                if (!mrd_is_stale(samples->values[i])) {
                    op->clean_times_ms[count] = samples->times_ms[i];
                    op->clean_values[count++] = samples->values[i];
                }
            }
        }
        op->windows.times_ms = op->clean_times_ms;
        op->windows.values = op->clean_values;
        if (op->windows.start_times_ms != NULL) {
            MRD_TRY(window_clean_starts(op, samples, err));
        }
    }
    op->windows.count = count;
    return pql_work(op->op.exec, count / 64, err); /* it may have been ended */
}

static bool ends_with(struct mrd_bytes text, const char *suffix)
{
    const size_t size = strlen(suffix);
    return text.size >= size && memcmp(text.data + text.size - size, suffix, size) == 0;
}

static struct mrd_annotation_place range_place(const struct window_op *op)
{
    return pql_place(op->node, op->node->args[op->node->function->range_arg]);
}

/* With type labels these say what a counter is, else the name does. */
static void warn_if_no_counter_type(struct pql_exec *exec, struct mrd_annotation_place place,
                                    struct mrd_labels labels, struct mrd_bytes name)
{
    const struct mrd_bytes type = mrd_labels_get(labels, MRD_BYTES("__type__"));
    if (mrd_bytes_equal(type, MRD_BYTES("counter")) ||
        mrd_bytes_equal(type, MRD_BYTES("histogram"))) {
        return;
    }
    mrd_annotations_addf(exec->annotations, MRD_ANNOTATION_INFO, place,
                         "metric might not be a counter, __type__ label is not set to \"counter\" "
                         "or \"histogram\", got \"%.*s\": \"%.*s\"",
                         MRD_FMT(type), MRD_FMT(name));
}

void pql_warn_if_no_counter(struct pql_exec *exec, struct mrd_annotation_place place,
                            struct mrd_labels labels)
{
    const struct mrd_bytes name = pql_metric_name(labels);
    if (name.size > 0 && exec->options->type_and_unit_labels) {
        warn_if_no_counter_type(exec, place, labels, name);
        return;
    }
    if (name.size == 0 || ends_with(name, "_total") || ends_with(name, "_sum") ||
        ends_with(name, "_count") || ends_with(name, "_bucket")) {
        return;
    }
    mrd_annotations_addf(exec->annotations, MRD_ANNOTATION_INFO, place,
                         "metric might not be a counter, name does not end in "
                         "_total/_sum/_count/_bucket: \"%.*s\"",
                         MRD_FMT(name));
}

/* A window that holds histograms too has no value and says nothing about its floats. */
static void warn_about_overlaps(const struct window_op *op, struct mrd_labels labels)
{
    const size_t overlaps =
        op->windows.edge == MRD_EDGE_NONE ? pql_count_overlaps(&op->windows, op->column) : 0;
    if (overlaps > 0) {
        pql_note_overlaps(op->op.exec, overlaps, range_place(op), pql_metric_name(labels));
    }
}

static void warn_about_quantile(const struct window_op *op)
{
    const double *q = op->windows.args[0];
    for (size_t i = 0; i < op->op.steps; i++) {
        const bool repeats = i > 0 && mrd_double_bits(q[i]) == mrd_double_bits(q[i - 1]) &&
                             !pql_is_none(op->column[i - 1]);
        if (!pql_is_none(op->column[i]) && !repeats) {
            pql_check_quantile(op->op.exec, q[i], pql_place(op->node, op->node->args[0]));
        }
    }
}

static enum mrd_status window_check_smoothing(const struct window_op *op, struct mrd_error *err)
{
    for (size_t i = 0; i < op->op.steps; i++) {
        const double smoothing = op->windows.args[0][i];
        const double trend = op->windows.args[1][i];
        if (!(smoothing > 0 && smoothing < 1)) {
            return pql_fail(err, "invalid smoothing factor. Expected: 0 < sf < 1, got: %f",
                            smoothing);
        }
        if (!(trend > 0 && trend < 1)) {
            return pql_fail(err, "invalid trend factor. Expected: 0 < tf < 1, got: %f", trend);
        }
    }
    return MRD_OK;
}

/* Samples that all windows together see, between two looks at the control: less than a millisecond for a sum, some for what sorts
 * or fits lines. */
enum { SAMPLES_PER_CHECK = 256 * 1024 };

static uint64_t window_cost(const struct pql_windows *windows)
{
    uint64_t cost = 0;
    for (size_t i = 0; i < windows->steps; i++) {
        cost += windows->to[i] - windows->from[i];
    }
    return cost;
}

/* The windows of `count` steps from `start` on. */
static struct pql_windows window_part(const struct pql_windows *windows, size_t start, size_t count)
{
    struct pql_windows part = *windows;
    part.steps = count;
    part.from += start;
    part.to += start;
    part.end0_ms += (mrd_time_ms)start * windows->end_step_ms;
    part.eval0_ms += (mrd_time_ms)start * windows->eval_step_ms;
    for (size_t i = 0; i < MRD_ARRAY_LEN(part.args); i++) {
        part.args[i] = windows->args[i] == NULL ? NULL : windows->args[i] + start;
    }
    return part;
}

/* Mostly in one go; a long series under many long windows in parts, so that it can be stopped. */
static enum mrd_status window_apply(struct window_op *op, struct mrd_error *err)
{
    const size_t steps = op->windows.steps;
    const uint64_t cost = window_cost(&op->windows);
    const size_t stride = cost <= SAMPLES_PER_CHECK
                              ? steps
                              : (size_t)(steps * (uint64_t)SAMPLES_PER_CHECK / cost) + 1;
    for (size_t start = 0; start < steps; start += stride) {
        const struct pql_windows part =
            window_part(&op->windows, start, MRD_MIN(stride, steps - start));
        op->function(&part, op->column + start);
        MRD_TRY(pql_work(op->op.exec, cost <= SAMPLES_PER_CHECK ? cost / 16 : PQL_WORK_MAX, err));
    }
    return MRD_OK;
}

static enum mrd_status window_add_histograms(struct window_op *op,
                                             const struct pql_range_series *series,
                                             struct mrd_error *err)
{
    const struct pql_node *node = op->node;
    if (op->histograms == NULL) {
        MRD_TRY(pql_histogram_windows_create(op->op.exec, node->function, op->windows.edge,
                                             pql_place(node, node->args[0]), op->op.steps,
                                             &op->histograms, err));
    }
    return pql_histogram_windows_apply(op->histograms, &op->windows, series, op->column, err);
}

/* Windows without floats. */
static void window_clear(struct window_op *op)
{
    pql_column_clear(op->column, op->op.steps);
    memset(op->windows.from, 0, op->op.steps * sizeof(*op->windows.from));
    memset(op->windows.to, 0, op->op.steps * sizeof(*op->windows.to));
}

static enum mrd_status window_compute(struct window_op *op, const struct pql_range_series *series,
                                      bool *out_any, struct mrd_error *err)
{
    const struct pql_function *function = op->node->function;
    MRD_TRY(window_reserve(op, series->samples.count, err));
    MRD_TRY(window_set_samples(op, &series->samples, err));
    if (op->windows.count == 0 && series->histograms.count == 0) {
        *out_any = false;
        return MRD_OK;
    }
    if (op->windows.count > 0) {
        if (op->windows.edge == MRD_EDGE_NONE) {
            pql_windows_slide(&op->windows);
        } else {
            pql_windows_slide_edges(&op->windows, op->op.exec->options->lookback_ms);
        }
        MRD_TRY(window_apply(op, err));
    } else {
        window_clear(op);
    }
    if (series->histograms.count > 0) {
        MRD_TRY(window_add_histograms(op, series, err));
    }
    *out_any = !pql_column_empty(op->column, op->op.steps);
    if (op->windows.start_times_ms != NULL && function->checks_overlap) {
        warn_about_overlaps(op, series->labels);
    }
    if (*out_any && function->counter) {
        pql_warn_if_no_counter(op->op.exec, range_place(op), series->labels);
    }
    if (*out_any && function->checks_quantile) {
        warn_about_quantile(op);
    }
    return MRD_OK;
}

static enum mrd_status window_next(struct pql_op *base, struct pql_series *out, bool *out_more,
                                   struct mrd_error *err)
{
    struct window_op *op = (struct window_op *)base;
    for (;;) {
        struct pql_range_series series;
        bool any = false;
        MRD_TRY(op->input->next(op->input, &series, out_more, err));
        if (!*out_more) {
            return MRD_OK;
        }
        MRD_TRY(window_compute(op, &series, &any, err));
        *out = (struct pql_series){
            .labels = series.labels, .values = op->column, .drop_name = series.drop_name};
        if (series.histograms.count > 0) {
            out->histograms = pql_histogram_windows_column(op->histograms);
        }
        if (!any && pql_histogram_points(out, base->steps) == 0) {
            continue;
        }
        if (op->node->function->keeps_name) {
            return MRD_OK;
        }
        return pql_series_drop_name(base->exec, &op->scratch, out, err);
    }
}

static enum mrd_status window_init_grid(struct window_op *op, struct mrd_error *err)
{
    struct pql_exec *exec = op->op.exec;
    const struct pql_timing *timing = &op->input->timing;
    const struct pql_steps *steps = &op->node->steps;
    op->windows.steps = steps->count;
    op->windows.range_ms = timing->range_ms;
    op->windows.edge = timing->edge;
    op->windows.end0_ms = pql_timing_end_ms(timing, steps->start_ms);
    op->windows.end_step_ms = timing->at_set ? 0 : steps->step_ms;
    op->windows.eval0_ms = steps->start_ms;
    op->windows.eval_step_ms = steps->step_ms;
    MRD_TRY(PQL_NEW(exec, steps->count, &op->windows.from, err));
    MRD_TRY(PQL_NEW(exec, steps->count, &op->windows.to, err));
    return PQL_NEW(exec, steps->count, &op->column, err);
}

static enum mrd_status window_init_args(struct window_op *op, struct mrd_error *err)
{
    const struct pql_node *node = op->node;
    size_t found = 0;
    for (size_t i = 0; i < node->arg_count; i++) {
        if (i == node->function->range_arg) {
            continue;
        }
        double *column = NULL;
        mrd_assert(found < MRD_ARRAY_LEN(op->windows.args));
        MRD_TRY(pql_eval_scalar(op->op.exec, node->args[i], op->op.steps, &column, err));
        op->windows.args[found++] = column;
    }
    return node->function->checks_smoothing ? window_check_smoothing(op, err) : MRD_OK;
}

static enum mrd_status build_coarse_window(struct pql_exec *exec, const struct pql_node *node,
                                           struct pql_selector *selector, struct pql_op **out,
                                           struct mrd_error *err)
{
    struct pql_op *op = NULL;
    MRD_TRY(pql_build_coarse(exec, node, selector, &op, err));
    const bool safe = op->one_name || node->function->keeps_name;
    if (!safe && !exec->options->delayed_name_removal) {
        return pql_build_merge(exec, op, true, out, err);
    }
    *out = op;
    return MRD_OK;
}

enum mrd_status pql_build_window(struct pql_exec *exec, const struct pql_node *node,
                                 struct pql_op **out, struct mrd_error *err)
{
    struct window_op *op = NULL;
    const struct pql_node *range = node->args[node->function->range_arg];
    if (range->kind == PQL_WINDOW && range->selector->coarse != NULL) {
        return build_coarse_window(exec, node, range->selector, out, err);
    }
    MRD_TRY(PQL_NEW(exec, 1, &op, err));
    *op = (struct window_op){
        .op = {.next = window_next,         .exec = exec, .steps = node->steps.count},
        .node = node,
        .windows = {.look = pql_look(exec)},
    };
    MRD_TRY(pql_build_range(exec, range, &op->input, err));
    MRD_TRY(pql_edge_function(node->function, op->input->timing.edge, &op->function, err));
    op->op.one_name = op->input->one_name;
    op->heeds_starts = node->function->heeds_starts && exec->options->use_start_timestamps;
    MRD_TRY(window_init_grid(op, err));
    MRD_TRY(window_init_args(op, err));
    const bool safe = op->op.one_name || node->function->keeps_name;
    if (!safe && !exec->options->delayed_name_removal) {
        return pql_build_merge(exec, &op->op, true, out, err);
    }
    *out = &op->op;
    return MRD_OK;
}
