#include "promql/run.h"

#include "promql/exec_coarse.h"
#include "promql/fragment.h"

/* ---- control ---- */

enum mrd_status mrd_query_check(const struct mrd_query_control *control, struct mrd_error *err)
{
    if (control == NULL) {
        return MRD_OK;
    }
    if (control->checkpoint != NULL) {
        control->checkpoint();
    }
    /* Relaxed: only the flag itself is communicated. */
    if (control->canceled != NULL &&
        atomic_load_explicit(control->canceled, memory_order_relaxed)) {
        return mrd_fail(err, MRD_E_CANCELED, "query was canceled in expression evaluation");
    }
    if (control->clock != NULL && mrd_clock_monotonic_ns(control->clock) > control->deadline_ns) {
        return mrd_fail(err, MRD_E_TIMEOUT, "query timed out in expression evaluation");
    }
    return MRD_OK;
}

static enum mrd_status look(void *context, struct mrd_error *err)
{
    return mrd_query_check(context, err);
}

struct mrd_look mrd_query_look(const struct mrd_query_control *control)
{
    return (struct mrd_look){look, (void *)(uintptr_t)control};
}

/* ---- selectors ---- */

/* Offers the source the aggregation over this selector. */
static enum mrd_status open_fragment(struct pql_exec *exec, struct pql_selector *selector,
                                     const struct mrd_query_scope *scope, struct mrd_error *err)
{
    const struct mrd_source *source = exec->source;
    if (selector->fragment == NULL || source->open_fragment == NULL) {
        return MRD_OK;
    }
    const struct mrd_fragment fragment = {*exec->request, *exec->options,
                                          selector->fragment->order};
    MRD_TRY(source->open_fragment(source->context, &selector->select, &fragment, scope,
                                  &selector->set, err));
    selector->pushed = selector->set != NULL;
    return MRD_OK;
}

static enum mrd_status open_selectors(struct pql_exec *exec, const struct pql_plan *plan,
                                      struct mrd_error *err)
{
    const struct mrd_query_scope scope = {exec->arena, exec->annotations, exec->control};
    MRD_TRY(pql_plan_coarse(exec, plan, err));
    for (struct pql_selector *at = plan->selectors; at != NULL; at = at->next) {
        if (at->coarse != NULL) {
            MRD_TRY(pql_coarse_open(exec, at, err));
            continue;
        }
        MRD_TRY(open_fragment(exec, at, &scope, err));
        if (at->set == NULL && !at->late) {
            MRD_TRY(exec->source->open(exec->source->context, &at->select, &scope, &at->set, err));
        }
    }
    return MRD_OK;
}

static void close_selectors(struct pql_exec *exec, const struct pql_plan *plan)
{
    for (struct pql_selector *at = plan->selectors; at != NULL; at = at->next) {
        if (at->coarse != NULL) {
            pql_coarse_close(exec, at);
        }
        if (at->set != NULL) {
            exec->source->close(at->set);
            at->set = NULL;
        }
    }
}

/* ---- the answer ---- */

/* Points of one series of the answer, in the query's arena. */
struct points {
    const mrd_time_ms *times_ms;
    const double *values;
    const pql_histogram *histograms; /* NULL: none */
    size_t count;
};

struct answer {
    struct pql_exec *exec;
    struct pql_steps steps;
    struct pql_label_table table;
    struct mrd_promql_series *items;
    size_t count;
    size_t capacity;
    struct pql_label_scratch scratch;
};

/* Points that are copied, and the work that they are. */
enum { POINTS_PER_WORK = 4096, POINTS_UNITS = 128 };

static pql_histogram histogram_at(const pql_histogram *histograms, size_t i)
{
    return histograms == NULL ? NULL : histograms[i];
}

/* Two series of the answer with equal labels: joined if they never have the same time. */
static enum mrd_status answer_join(struct answer *answer, struct mrd_promql_series *to,
                                   const struct points *from, struct mrd_error *err)
{
    const size_t total = to->count + from->count;
    mrd_time_ms *times_ms = NULL;
    double *values = NULL;
    pql_histogram *histograms = NULL;
    MRD_TRY(PQL_NEW(answer->exec, total, &times_ms, err));
    MRD_TRY(PQL_NEW(answer->exec, total, &values, err));
    if (to->histograms != NULL || from->histograms != NULL) {
        MRD_TRY(pql_histograms_create(answer->exec, total, &histograms, err));
    }
    size_t a = 0;
    size_t b = 0;
    for (size_t i = 0; i < total; i++) {
        if (i % POINTS_PER_WORK == 0) {
            MRD_TRY(pql_work(answer->exec, POINTS_UNITS, err));
        }
        if (a < to->count && b < from->count && to->times_ms[a] == from->times_ms[b]) {
            return pql_fail(err, "vector cannot contain metrics with the same labelset");
        }
        const bool take_a =
            b == from->count || (a < to->count && to->times_ms[a] < from->times_ms[b]);
        times_ms[i] = take_a ? to->times_ms[a] : from->times_ms[b];
        values[i] = take_a ? to->values[a] : from->values[b];
        if (histograms != NULL) {
            histograms[i] =
                take_a ? histogram_at(to->histograms, a) : histogram_at(from->histograms, b);
        }
        a += take_a;
        b += !take_a;
    }
    to->times_ms = times_ms;
    to->values = values;
    to->histograms = histograms;
    to->count = total;
    return MRD_OK;
}

static enum mrd_status answer_add(struct answer *answer, struct mrd_labels labels, bool drop_name,
                                  const struct points *points, struct mrd_error *err)
{
    struct pql_exec *exec = answer->exec;
    uint32_t index = 0;
    bool is_new = false;
    if (drop_name) {
        MRD_TRY(pql_labels_drop_name(exec, &answer->scratch, &labels, err));
    }
    MRD_TRY(pql_hold(exec, points->count, err));
    MRD_TRY(pql_label_table_add(&answer->table, labels, &index, &is_new, err));
    if (!is_new) {
        return answer_join(answer, &answer->items[index], points, err);
    }
    MRD_TRY(pql_grow(exec, (void **)&answer->items, index, &answer->capacity,
                     sizeof(*answer->items), err));
    answer->items[index] = (struct mrd_promql_series){
        .labels = answer->table.keys[index],
        .times_ms = points->times_ms,
        .values = points->values,
        .histograms = points->histograms,
        .count = points->count,
    };
    answer->count = index + 1;
    return MRD_OK;
}

/* Takes over the histograms of a column: packed, and the query's own. */
static enum mrd_status answer_histograms(struct answer *answer, const struct pql_series *series,
                                         size_t points, pql_histogram **out, struct mrd_error *err)
{
    pql_histogram *packed = NULL;
    size_t count = 0;
    MRD_TRY(pql_histograms_create(answer->exec, points, &packed, err));
    for (size_t i = 0; i < answer->steps.count; i++) {
        struct mrd_float_histogram *clone = NULL;
        if (!pql_series_has(series, i)) {
            continue;
        }
        if (series->histograms[i] != NULL) {
            MRD_TRY(
                mrd_float_histogram_clone(series->histograms[i], answer->exec->arena, &clone, err));
        }
        packed[count++] = clone;
    }
    *out = packed;
    return MRD_OK;
}

static enum mrd_status answer_add_column(struct answer *answer, const struct pql_series *series,
                                         struct mrd_error *err)
{
    const size_t histogram_points = pql_histogram_points(series, answer->steps.count);
    const size_t points = pql_column_points(series->values, answer->steps.count) + histogram_points;
    mrd_time_ms *times_ms = NULL;
    double *values = NULL;
    pql_histogram *histograms = NULL;
    if (points == 0) {
        return MRD_OK;
    }
    MRD_TRY(PQL_NEW(answer->exec, points, &times_ms, err));
    MRD_TRY(PQL_NEW(answer->exec, points, &values, err));
    size_t count = 0;
    for (size_t i = 0; i < answer->steps.count; i++) {
        if (pql_series_has(series, i)) {
            times_ms[count] = pql_step_ms(&answer->steps, i);
            values[count++] = series->values[i];
        }
    }
    if (histogram_points > 0) {
        MRD_TRY(answer_histograms(answer, series, points, &histograms, err));
    }
    const struct points all = {times_ms, values, histograms, count};
    return answer_add(answer, series->labels, series->drop_name, &all, err);
}

static enum mrd_status run_vector(struct answer *answer, const struct pql_node *root,
                                  struct mrd_error *err)
{
    struct pql_op *op = NULL;
    MRD_TRY(pql_build(answer->exec, root, answer->steps.count, &op, err));
    for (;;) {
        struct pql_series series;
        bool more = false;
        /* Selectors check as well, but not every expression has one. */
        MRD_TRY(mrd_query_check(answer->exec->control, err));
        MRD_TRY(pql_next(op, &series, &more, err));
        if (!more) {
            return MRD_OK;
        }
        MRD_TRY(answer_add_column(answer, &series, err));
    }
}

/* ... of an anchored or smoothed range: with values at its edges. */
static enum mrd_status answer_add_edges(struct answer *answer, const struct pql_range_op *op,
                                        const struct pql_range_series *series,
                                        struct mrd_error *err)
{
    struct mrd_samples range;
    MRD_TRY(pql_range_at_edges(op, series, answer->steps.start_ms, &range, err));
    if (range.count == 0) {
        return MRD_OK;
    }
    const struct points all = {range.times_ms, range.values, NULL, range.count};
    return answer_add(answer, series->labels, series->drop_name, &all, err);
}

/* A range vector at one time: the samples of its window, as they are. */
static enum mrd_status answer_add_window(struct answer *answer, const struct pql_range_op *op,
                                         const struct pql_range_series *series,
                                         struct mrd_error *err)
{
    if (op->timing.edge != MRD_EDGE_NONE) {
        return answer_add_edges(answer, op, series, err);
    }
    const mrd_time_ms end_ms = pql_timing_end_ms(&op->timing, answer->steps.start_ms);
    const mrd_time_ms begin_ms = end_ms - op->timing.range_ms;
    const struct mrd_samples *samples = &series->samples;
    const struct pql_histogram_samples *histograms = &series->histograms;
    const size_t total = samples->count + histograms->count;
    struct mrd_arena *arena = answer->exec->arena;
    mrd_time_ms *times_ms = NULL;
    double *values = NULL;
    pql_histogram *kept = NULL;
    size_t h = 0;
    size_t count = 0;
    MRD_TRY(PQL_NEW(answer->exec, total, &times_ms, err));
    MRD_TRY(PQL_NEW(answer->exec, total, &values, err));
    if (histograms->count > 0) {
        MRD_TRY(pql_histograms_create(answer->exec, total, &kept, err));
    }
    for (size_t i = 0; i < total; i++) {
        if (i % POINTS_PER_WORK == 0) {
            MRD_TRY(pql_work(answer->exec, POINTS_UNITS, err));
        }
        const size_t s = i - h;
        const bool take_histogram =
            h < histograms->count &&
            (s == samples->count || histograms->times_ms[h] < samples->times_ms[s]);
        const mrd_time_ms time_ms = take_histogram ? histograms->times_ms[h] : samples->times_ms[s];
        const bool in_range = time_ms > begin_ms && time_ms <= end_ms;
        if (take_histogram) {
            struct mrd_float_histogram *clone = NULL;
            if (in_range) {
                MRD_TRY(mrd_float_histogram_clone(histograms->items[h], arena, &clone, err));
                kept[count] = clone;
                values[count] = pql_none();
            }
            h++;
        } else if (!in_range || mrd_is_stale(samples->values[s])) {
            continue;
        } else {
            values[count] = samples->values[s];
        }
        times_ms[count] = time_ms;
        count += in_range;
    }
    if (count == 0) {
        return MRD_OK;
    }
    const struct points all = {times_ms, values, kept, count};
    return answer_add(answer, series->labels, series->drop_name, &all, err);
}

static enum mrd_status run_range(struct answer *answer, const struct pql_node *root,
                                 struct mrd_error *err)
{
    struct pql_range_op *op = NULL;
    MRD_TRY(pql_build_range(answer->exec, root, &op, err));
    for (;;) {
        struct pql_range_series series;
        bool more = false;
        MRD_TRY(mrd_query_check(answer->exec->control, err));
        MRD_TRY(op->next(op, &series, &more, err));
        if (!more) {
            return MRD_OK;
        }
        MRD_TRY(answer_add_window(answer, op, &series, err));
    }
}

static int order_answer(const void *a, const void *b, void *context)
{
    (void)context;
    return mrd_labels_compare(((const struct mrd_promql_series *)a)->labels,
                              ((const struct mrd_promql_series *)b)->labels);
}

static enum mrd_status run_series(struct pql_exec *exec, const struct pql_node *root,
                                  const struct pql_steps *steps, struct mrd_promql_result *out,
                                  struct mrd_error *err)
{
    struct answer answer = {.exec = exec, .steps = *steps, .table = {.exec = exec}};
    const bool range = root->type == PQL_RANGE;
    MRD_TRY(range ? run_range(&answer, root, err) : run_vector(&answer, root, err));
    const bool vector = exec->request->instant && !range;
    if (!vector) {
        MRD_TRY(pql_sort(exec, answer.items, answer.count, sizeof(*answer.items), order_answer,
                         NULL, err));
    }
    out->type = vector ? MRD_PROMQL_VECTOR : MRD_PROMQL_MATRIX;
    out->series = answer.items;
    out->series_count = answer.count;
    return MRD_OK;
}

static enum mrd_status run_scalar(struct pql_exec *exec, const struct pql_node *root,
                                  const struct pql_steps *steps, struct mrd_promql_result *out,
                                  struct mrd_error *err)
{
    struct answer answer = {.exec = exec, .steps = *steps, .table = {.exec = exec}};
    struct pql_series series = {0};
    MRD_TRY(pql_eval_scalar(exec, root, steps->count, &series.values, err));
    if (exec->request->instant) {
        out->type = MRD_PROMQL_SCALAR;
        out->scalar = (struct mrd_sample){steps->start_ms, series.values[0]};
        return MRD_OK;
    }
    MRD_TRY(answer_add_column(&answer, &series, err));
    out->type = MRD_PROMQL_MATRIX;
    out->series = answer.items;
    out->series_count = answer.count;
    return MRD_OK;
}

static enum mrd_status run_root(struct pql_exec *exec, const struct pql_plan *plan,
                                struct mrd_promql_result *out, struct mrd_error *err)
{
    const struct pql_node *root = plan->root;
    MRD_TRY(open_selectors(exec, plan, err));
    switch (root->type) {
    case PQL_STRING:
        out->type = MRD_PROMQL_STRING;
        out->string = root->text;
        return MRD_OK;
    case PQL_SCALAR:
        return run_scalar(exec, root, &plan->steps, out, err);
    case PQL_VECTOR:
    case PQL_RANGE:
        return run_series(exec, root, &plan->steps, out, err);
    }
    mrd_assert(false);
}

static void clean_up(struct pql_exec *exec)
{
    for (struct pql_cleanup *at = exec->cleanups; at != NULL; at = at->next) {
        at->run(at->subject);
    }
    exec->cleanups = NULL;
}

enum mrd_status pql_run(struct pql_exec *exec, const struct pql_plan *plan,
                        struct mrd_promql_result *out, struct mrd_error *err)
{
    const enum mrd_status status = run_root(exec, plan, out, err);
    close_selectors(exec, plan);
    clean_up(exec);
    return status;
}

/* ---- a part of a plan ---- */

static enum mrd_status fold_selector(struct pql_exec *exec, const struct pql_node *node,
                                     enum mrd_status (*done)(void *context, struct pql_fold_op *op,
                                                             struct mrd_error *err),
                                     void *context, struct mrd_error *err)
{
    const struct mrd_query_scope scope = {exec->arena, exec->annotations, exec->control};
    struct pql_selector *selector = node->pushable;
    struct pql_fold_op *op = NULL;
    MRD_TRY(
        exec->source->open(exec->source->context, &selector->select, &scope, &selector->set, err));
    MRD_TRY(pql_build_fold(exec, node, &op, err));
    MRD_TRY(pql_fold_segment(op, err));
    return done(context, op, err);
}

enum mrd_status pql_run_fold(struct pql_exec *exec, const struct pql_node *node,
                             enum mrd_status (*done)(void *context, struct pql_fold_op *op,
                                                     struct mrd_error *err),
                             void *context, struct mrd_error *err)
{
    const enum mrd_status status = fold_selector(exec, node, done, context, err);
    if (node->pushable->set != NULL) {
        exec->source->close(node->pushable->set);
        node->pushable->set = NULL;
    }
    clean_up(exec);
    return status;
}
