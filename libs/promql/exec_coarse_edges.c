/* Samples and finer rows beside the coarsest rows: rows of the times between the edges of ranges. */
#include "promql/exec_coarse.h"

/* The first edge of a range at or after a time; `limit` if there is none before. Begins move as ends do, a range earlier. */
static mrd_time_ms next_of(mrd_time_ms first_ms, mrd_time_ms step_ms, size_t count,
                           mrd_time_ms time_ms, mrd_time_ms limit_ms)
{
    mrd_time_ms edge_ms = first_ms;
    if (time_ms > first_ms) {
        if (step_ms == 0) {
            return limit_ms;
        }
        const mrd_time_ms steps = (time_ms - first_ms + step_ms - 1) / step_ms;
        if ((uint64_t)steps >= count) {
            return limit_ms;
        }
        edge_ms += steps * step_ms;
    }
    return MRD_MIN(edge_ms, limit_ms);
}

static mrd_time_ms next_edge(const struct pql_range_grid *grid, mrd_time_ms time_ms,
                             mrd_time_ms limit_ms)
{
    const mrd_time_ms end_ms =
        next_of(grid->end0_ms, grid->end_step_ms, grid->count, time_ms, limit_ms);
    return next_of(grid->end0_ms - grid->range_ms, grid->end_step_ms, grid->count, time_ms, end_ms);
}

/* What is read of a part at the moment. */
struct reading {
    struct pql_exec *exec;
    const struct pql_range_grid *grid;
    mrd_time_ms limit_ms; /* the part's end */
    struct pql_edge_series *to;
};

/* The row that a sample, or a window that ends then, goes to: the last one, or a new one. */
static enum mrd_status row_of(struct reading *reading, mrd_time_ms time_ms,
                              struct mrd_rollup_row **out, struct mrd_error *err)
{
    struct pql_edge_series *to = reading->to;
    if (to->count == 0 || to->rows[to->count - 1].end_ms < time_ms) {
        MRD_TRY(pql_hold(reading->exec, 1, err));
        MRD_TRY(pql_grow(reading->exec, (void **)&to->rows, to->count, &to->capacity,
                         sizeof(*to->rows), err));
        to->rows[to->count++] =
            mrd_rollup_row_empty(next_edge(reading->grid, time_ms, reading->limit_ms));
    }
    *out = &to->rows[to->count - 1];
    return MRD_OK;
}

static enum mrd_status add_histogram(struct reading *reading, const struct mrd_histogram *histogram,
                                     struct mrd_span at, struct mrd_error *err)
{
    struct mrd_rollup_row *row = NULL;
    struct mrd_float_histogram *made = NULL;
    MRD_TRY(row_of(reading, at.time_ms, &row, err));
    if (mrd_histogram_is_stale(histogram)) {
        row->stale_ms = at.time_ms;
        return MRD_OK;
    }
    MRD_TRY(mrd_float_histogram_from(histogram, reading->exec->arena, &made, err));
    if (made->reset != MRD_HISTOGRAM_GAUGE) {
        made->reset = MRD_HISTOGRAM_RESET_UNKNOWN; /* it is found out here */
    }
    /* What it points to is the source's, which goes on. */
    struct mrd_rollup_row one = mrd_rollup_row_empty(row->end_ms);
    one.histograms = mrd_rollup_histogram_row(made, at);
    MRD_TRY(mrd_rollup_histograms_clone(&one.histograms, reading->exec->arena, err));
    return mrd_rollup_join(row, &one, reading->exec->arena, err);
}

static enum mrd_status add_float(struct reading *reading, double value, struct mrd_span at,
                                 struct mrd_error *err)
{
    struct mrd_rollup_row *row = NULL;
    MRD_TRY(row_of(reading, at.time_ms, &row, err));
    if (mrd_is_stale(value)) {
        row->stale_ms = at.time_ms;
    } else {
        mrd_rollup_add_float(&row->floats, value, at);
    }
    return MRD_OK;
}

static struct mrd_span span_at(const mrd_time_ms *times_ms, const mrd_time_ms *starts_ms, size_t i)
{
    return (struct mrd_span){times_ms[i], starts_ms == NULL ? 0 : starts_ms[i]};
}

static enum mrd_status add_series(struct reading *reading, const struct mrd_source_series *series,
                                  struct mrd_error *err)
{
    const struct mrd_samples *samples = &series->samples;
    const struct mrd_histograms *histograms = &series->histograms;
    for (size_t f = 0, h = 0; f < samples->count || h < histograms->count;) {
        const bool is_float =
            h == histograms->count ||
            (f < samples->count && samples->times_ms[f] < histograms->times_ms[h]);
        if (is_float) {
            MRD_TRY(add_float(reading, samples->values[f],
                              span_at(samples->times_ms, samples->start_times_ms, f), err));
            f++;
        } else {
            MRD_TRY(add_histogram(reading, &histograms->items[h],
                                  span_at(histograms->times_ms, histograms->start_times_ms, h),
                                  err));
            h++;
        }
    }
    return MRD_OK;
}

static enum mrd_status series_of(struct pql_edges *edges, struct pql_exec *exec,
                                 struct mrd_labels labels, struct pql_edge_series **out,
                                 struct mrd_error *err)
{
    uint32_t index = 0;
    bool is_new = false;
    MRD_TRY(pql_label_table_add(&edges->table, labels, &index, &is_new, err));
    MRD_TRY(pql_grow(exec, (void **)&edges->items, index, &edges->capacity, sizeof(*edges->items),
                     err));
    if (is_new) {
        edges->items[index] = (struct pql_edge_series){.labels = edges->table.keys[index]};
    }
    *out = &edges->items[index];
    return MRD_OK;
}

static enum mrd_status read_samples(struct pql_exec *exec, const struct pql_selector *selector,
                                    struct pql_coarse_part *part, const struct pql_range_grid *grid,
                                    struct pql_edges *edges, struct mrd_error *err)
{
    struct reading reading = {.exec = exec, .grid = grid, .limit_ms = part->span.end_ms};
    if (part->set == NULL) {
        MRD_TRY(pql_coarse_open_samples(exec, selector, part, err));
    }
    for (;;) {
        struct mrd_source_series series = {0};
        bool more = false;
        MRD_TRY(mrd_query_check(exec->control, err));
        MRD_TRY(exec->source->next(part->set, &series, &more, err));
        if (!more) {
            exec->source->close(part->set);
            part->set = NULL;
            return MRD_OK;
        }
        pql_count_read(exec, 1, series.samples.count + series.histograms.count);
        MRD_TRY(series_of(edges, exec, series.labels, &reading.to, err));
        MRD_TRY(add_series(&reading, &series, err));
    }
}

/* ---- finer rows: no edge of a range lies within one ---- */

static enum mrd_status add_window(struct reading *reading, const struct mrd_rollup_columns *columns,
                                  size_t i, struct mrd_error *err)
{
    struct mrd_rollup_row window;
    struct mrd_rollup_row *row = NULL;
    MRD_TRY(row_of(reading, columns->ends_ms[i], &row, err));
    mrd_rollup_columns_row(columns, i, &window);
    window.end_ms = row->end_ms;
    if (window.histograms.count > 0) { /* they are the source's, which goes on */
        MRD_TRY(mrd_rollup_histograms_clone(&window.histograms, reading->exec->arena, err));
    }
    return mrd_rollup_join(row, &window, reading->exec->arena, err);
}

static enum mrd_status add_windows(struct reading *reading, const struct mrd_coarse_span *span,
                                   const struct mrd_coarse_series *series, struct mrd_error *err)
{
    struct pql_exec *exec = reading->exec;
    uint64_t count = 0;
    for (size_t k = 0; k < series->piece_count; k++) {
        const struct mrd_rollup_columns *columns = series->pieces[k];
        for (size_t i = 0; i < columns->count; i++) {
            if (columns->ends_ms[i] > span->begin_ms && columns->ends_ms[i] <= span->end_ms) {
                MRD_TRY(add_window(reading, columns, i, err));
            }
        }
        count += mrd_rollup_columns_made_of(columns);
    }
    pql_count_read(exec, 1, count);
    exec->stats->rows_read += count;
    return MRD_OK;
}

static enum mrd_status read_windows(struct reading *reading, const struct mrd_coarse_span *span,
                                    struct mrd_coarse_set *set, struct pql_edges *edges,
                                    struct mrd_error *err)
{
    struct pql_exec *exec = reading->exec;
    for (;;) {
        struct mrd_coarse_series series = {0};
        bool more = false;
        MRD_TRY(mrd_query_check(exec->control, err));
        MRD_TRY(exec->source->coarse->next(set, &series, &more, err));
        if (!more) {
            return MRD_OK;
        }
        MRD_TRY(series_of(edges, exec, series.labels, &reading->to, err));
        MRD_TRY(add_windows(reading, span, &series, err));
    }
}

static enum mrd_status read_finer(struct pql_exec *exec, const struct pql_selector *selector,
                                  const struct pql_coarse_part *part,
                                  const struct pql_range_grid *grid, struct pql_edges *edges,
                                  struct mrd_error *err)
{
    const struct mrd_coarse *source = exec->source->coarse;
    const struct mrd_query_scope scope = {exec->arena, exec->annotations, exec->control};
    const struct mrd_coarse_wanted wanted =
        pql_coarse_wanted(exec, selector->coarse, part->resolution_ms);
    struct reading reading = {.exec = exec, .grid = grid, .limit_ms = part->span.end_ms};
    struct mrd_coarse_set *set = NULL;
    struct mrd_select select = selector->select;
    select.min_ms = part->span.begin_ms + 1;
    select.max_ms = part->span.end_ms;
    exec->stats->coarse_selects++;
    MRD_TRY(source->open(source->context, &select, &wanted, &scope, &set, err));
    const enum mrd_status status = read_windows(&reading, &part->span, set, edges, err);
    source->close(set);
    return status;
}

enum mrd_status pql_edges_read(struct pql_exec *exec, const struct pql_selector *selector,
                               const struct pql_range_grid *grid, struct pql_edges *out,
                               struct mrd_error *err)
{
    struct pql_coarse *coarse = selector->coarse;
    out->table.exec = exec;
    for (size_t i = 0; i < coarse->part_count; i++) {
        struct pql_coarse_part *part = &coarse->parts[i];
        if (part->resolution_ms == 0) {
            MRD_TRY(read_samples(exec, selector, part, grid, out, err));
        } else if (!part->coarse) {
            MRD_TRY(read_finer(exec, selector, part, grid, out, err));
        }
    }
    return MRD_OK;
}
