/* Ranges answered from rows of windows (exec_coarse.h). */
#include "promql/exec_coarse.h"

#include "rollup/pieces.h"
#include "rollup/slide.h"
#include "rollup/windows.h"

/* Selects of samples that are opened at once; others follow one by one. */
enum { OPEN_AT_ONCE = 8 };

/* ---- sets ---- */

enum mrd_status pql_coarse_open_samples(struct pql_exec *exec, const struct pql_selector *selector,
                                        struct pql_coarse_part *part, struct mrd_error *err)
{
    const struct mrd_query_scope scope = {exec->arena, exec->annotations, exec->control};
    part->select = selector->select;
    part->select.min_ms = part->span.begin_ms + 1;
    part->select.max_ms = part->span.end_ms;
    part->select.histograms_before_ms = 0;             /* none is added up here */
    part->select.hints = (struct mrd_select_hints){0}; /* every sample matters */
    return exec->source->open(exec->source->context, &part->select, &scope, &part->set, err);
}

struct mrd_coarse_wanted pql_coarse_wanted(const struct pql_exec *exec,
                                           const struct pql_coarse *coarse,
                                           mrd_time_ms resolution_ms)
{
    return (struct mrd_coarse_wanted){
        .resolution_ms = resolution_ms,
        .columns = mrd_rollup_columns_of(coarse->function, exec->options->use_start_timestamps),
        .grid = coarse->grid,
        .edges = coarse->fold || resolution_ms < coarse->resolution_ms
                     ? coarse->edges
                     : (struct mrd_rollup_edges){NULL,                                                            0},
        .asked = { coarse->function, resolution_ms == coarse->resolution_ms ? coarse->window_ms : 0,
                                                 coarse->windows || coarse->whole},
    };
}

enum mrd_status pql_coarse_open(struct pql_exec *exec, struct pql_selector *selector,
                                struct mrd_error *err)
{
    const struct mrd_query_scope scope = {exec->arena, exec->annotations, exec->control};
    const struct mrd_coarse *source = exec->source->coarse;
    struct pql_coarse *coarse = selector->coarse;
    size_t opened = 0;
    coarse->select = selector->select;
    coarse->select.min_ms = INT64_MAX;
    for (size_t i = 0; i < coarse->part_count; i++) {
        struct pql_coarse_part *part = &coarse->parts[i];
        if (part->resolution_ms == 0 && opened < OPEN_AT_ONCE) {
            MRD_TRY(pql_coarse_open_samples(exec, selector, part, err));
            opened++;
        }
        if (!part->coarse) {
            continue;
        }
        coarse->select.min_ms = MRD_MIN(coarse->select.min_ms, part->span.begin_ms + 1);
        coarse->select.max_ms = part->span.end_ms;
    }
    const struct mrd_coarse_wanted wanted = pql_coarse_wanted(exec, coarse, coarse->resolution_ms);
    exec->stats->coarse_selects++;
    exec->stats->resolution_ms = MRD_MAX(exec->stats->resolution_ms, coarse->resolution_ms);
    return source->open(source->context, &coarse->select, &wanted, &scope, &coarse->set, err);
}

void pql_coarse_close(const struct pql_exec *exec, struct pql_selector *selector)
{
    struct pql_coarse *coarse = selector->coarse;
    for (size_t i = 0; i < coarse->part_count; i++) {
        if (coarse->parts[i].set != NULL) {
            exec->source->close(coarse->parts[i].set);
            coarse->parts[i].set = NULL;
        }
    }
    if (coarse->set != NULL) {
        exec->source->coarse->close(coarse->set);
        coarse->set = NULL;
    }
}

/* ---- the operator ---- */

struct coarse_op {
    struct pql_op op;
    const struct pql_node *node; /* the call, or the selector */
    struct pql_selector *selector;
    struct pql_range_grid grid;
    struct mrd_rollup_question question; /* of the step at hand */
    struct pql_edges edges;
    bool edges_read;
    size_t edge_at; /* of those that had no rows in windows */

    /* the series at hand */
    struct mrd_labels labels;
    struct mrd_rollup_slide slide;
    struct mrd_rollup_pieces pieces;
    struct mrd_rollup_row *rows;
    size_t row_count;
    size_t row_capacity;
    struct mrd_rollup_row *suffixes; /* of [suffix_from, suffix_to): the joined rows from each on */
    size_t suffix_capacity;
    size_t suffix_from;
    size_t suffix_to;
    struct mrd_rollup_row rest; /* the joined rows from suffix_to on */
    size_t rest_to;
    double *column;
    pql_histogram *histograms;
    bool any_histogram;
    size_t overlaps;
    struct mrd_arena *scratch_memory;
    struct pql_label_scratch scratch;
};

/* Histograms of which rows answer as samples do, with the same notes. */
static bool knows_histograms(enum mrd_rollup_function function)
{
    switch ((int)function) {
    case MRD_ROLLUP_RATE:
    case MRD_ROLLUP_INCREASE:
    case MRD_ROLLUP_CHANGES:
    case MRD_ROLLUP_RESETS:
    case MRD_ROLLUP_COUNT:
    case MRD_ROLLUP_PRESENT:
    case MRD_ROLLUP_TS_OF_FIRST:
    case MRD_ROLLUP_TS_OF_LAST:
    case MRD_ROLLUP_TIMESTAMP:
        return true;
    default: /* what is known of resets would be missing, or there is something to say */
        return false;
    }
}

static enum mrd_status refuse(struct coarse_op *op, const char *why, struct mrd_error *err)
{
    op->op.exec->refused = why;
    return mrd_fail(err, MRD_E_CONFLICT, "rows of windows do not know: %s", why);
}

/* ---- rows of a series ---- */

/* Room for one more row, which is counted. */
static enum mrd_status add_row(struct coarse_op *op, struct mrd_rollup_row **out,
                               struct mrd_error *err)
{
    MRD_TRY(pql_grow(op->op.exec, (void **)&op->rows, op->row_count, &op->row_capacity,
                     sizeof(*op->rows), err));
    *out = &op->rows[op->row_count++];
    return MRD_OK;
}

/* Puts rows of windows and of samples together: no two have the same end. Windows beside the spans are left out. */
static enum mrd_status gather_rows(struct coarse_op *op, const struct mrd_rollup_columns *columns,
                                   const struct pql_edge_series *edges, struct mrd_error *err)
{
    const struct pql_coarse *coarse = op->selector->coarse;
    size_t edge = 0;
    size_t window = 0;
    struct mrd_rollup_row *row = NULL;
    op->row_count = 0;
    for (size_t i = 0; i < coarse->part_count; i++) {
        const struct pql_coarse_part *part = &coarse->parts[i];
        while (columns != NULL && window < columns->count &&
               columns->ends_ms[window] <= part->span.end_ms) {
            if (part->coarse && columns->ends_ms[window] > part->span.begin_ms) {
                MRD_TRY(add_row(op, &row, err));
                mrd_rollup_columns_row(columns, window, row);
            }
            window++;
        }
        while (edges != NULL && edge < edges->count &&
               edges->rows[edge].end_ms <= part->span.end_ms) {
            MRD_TRY(add_row(op, &row, err));
            *row = edges->rows[edge++];
        }
    }
    return MRD_OK;
}

/* ---- joining: each row is joined some times, however many ranges it is in ---- */

static enum mrd_status make_suffixes(struct coarse_op *op, size_t from, size_t to,
                                     struct mrd_error *err)
{
    if (op->suffix_capacity < op->row_capacity) {
        MRD_TRY(PQL_NEW(op->op.exec, op->row_capacity, &op->suffixes, err));
        op->suffix_capacity = op->row_capacity;
    }
    for (size_t i = to; i > from; i--) {
        op->suffixes[i - 1] = op->rows[i - 1];
        if (i < to) {
            MRD_TRY(
                mrd_rollup_join(&op->suffixes[i - 1], &op->suffixes[i], op->scratch_memory, err));
        }
    }
    op->suffix_from = from;
    op->suffix_to = to;
    op->rest = mrd_rollup_row_empty(0);
    op->rest_to = to;
    return MRD_OK;
}

/* The rows [from, to) as one; neither bound ever goes back. */
static enum mrd_status join_rows(struct coarse_op *op, size_t from, size_t to,
                                 struct mrd_rollup_row *out, struct mrd_error *err)
{
    struct mrd_arena *arena = op->scratch_memory;
    if (from >= op->suffix_to) {
        MRD_TRY(make_suffixes(op, from, to, err));
    }
    for (; op->rest_to < to; op->rest_to++) {
        MRD_TRY(mrd_rollup_join(&op->rest, &op->rows[op->rest_to], arena, err));
    }
    *out = op->suffixes[from];
    return mrd_rollup_join(out, &op->rest, arena, err);
}

/* ---- answers ---- */

static enum mrd_status take_answer(struct coarse_op *op, size_t step,
                                   const struct mrd_rollup_answer *answer, struct mrd_error *err)
{
    op->overlaps += answer->overlaps;
    switch (answer->outcome) {
    case MRD_ROLLUP_NOTHING:
        return MRD_OK;
    case MRD_ROLLUP_FLOAT:
        op->column[step] = answer->value;
        return MRD_OK;
    case MRD_ROLLUP_HISTOGRAM:
        if (op->histograms == NULL) {
            MRD_TRY(pql_histograms_create(op->op.exec, op->op.steps, &op->histograms, err));
        }
        if (!op->any_histogram) {
            memset((void *)op->histograms, 0, op->op.steps * sizeof(pql_histogram));
            op->any_histogram = true;
        }
        op->histograms[step] = answer->histogram;
        return MRD_OK;
    case MRD_ROLLUP_RAW:
        return refuse(op, answer->why, err);
    }
    mrd_assert(false);
    return MRD_OK;
}

static enum mrd_status answer_row(struct coarse_op *op, size_t step,
                                  const struct mrd_rollup_row *row, struct mrd_error *err)
{
    struct mrd_rollup_answer answer = {.outcome = MRD_ROLLUP_NOTHING};
    if (row->histograms.count > 0 &&
        (op->selector->stats_only || !knows_histograms(op->question.function))) {
        return refuse(op, "native histograms are asked for in a way that needs each of them", err);
    }
    MRD_TRY(mrd_rollup_evaluate(&op->question, row, op->scratch_memory, &answer, err));
    return take_answer(op, step, &answer, err);
}

static enum mrd_status answer_step(struct coarse_op *op, size_t step, size_t from, size_t to,
                                   struct mrd_error *err)
{
    struct mrd_rollup_row row;
    if (to - from == 1) {
        return answer_row(op, step, &op->rows[from], err);
    }
    MRD_TRY(join_rows(op, from, to, &row, err));
    return answer_row(op, step, &row, err);
}

static void set_question(struct coarse_op *op, size_t step)
{
    op->question.end_ms = op->grid.end0_ms + (mrd_time_ms)step * op->grid.end_step_ms;
    op->question.begin_ms = op->question.end_ms - op->grid.range_ms;
}

/* A value for each of these steps, from the rows that lie in its range. */
static enum mrd_status answer_steps(struct coarse_op *op, size_t step, size_t step_end,
                                    struct mrd_error *err)
{
    size_t from = 0;
    size_t to = 0;
    op->suffix_to = 0;
    for (; step < step_end; step++) {
        set_question(op, step);
        while (to < op->row_count && op->rows[to].end_ms <= op->question.end_ms) {
            to++;
        }
        while (from < to && op->rows[from].end_ms <= op->question.begin_ms) {
            from++;
        }
        if (from < to) {
            MRD_TRY(answer_step(op, step, from, to, err));
        }
    }
    return MRD_OK;
}

/* ---- floats alone, as much of their rows as is looked at ---- */

/* Whether all rows are such; then *out_done says so and the answers are there. */
static enum mrd_status answer_floats(struct coarse_op *op, const struct mrd_coarse_series *series,
                                     const struct pql_edge_series *edges, bool *out_done,
                                     struct mrd_error *err)
{
    const struct pql_coarse *coarse = op->selector->coarse;
    const struct mrd_rollup_ranges ranges = {op->grid.end0_ms, op->grid.end_step_ms,
                                             op->grid.range_ms, op->op.steps};
    size_t edge = 0;
    bool can = mrd_rollup_slide_begin(&op->slide, &op->question);
    for (size_t i = 0; can && i < coarse->part_count; i++) {
        const struct mrd_coarse_span *span = &coarse->parts[i].span;
        for (size_t k = 0; can && coarse->parts[i].coarse && k < series->piece_count; k++) {
            can = mrd_rollup_slide_add_columns(&op->slide, series->pieces[k], span->begin_ms,
                                               span->end_ms);
        }
        while (can && edges != NULL && edge < edges->count &&
               edges->rows[edge].end_ms <= span->end_ms) {
            can = mrd_rollup_slide_add_row(&op->slide, &edges->rows[edge++]);
        }
    }
    *out_done = can;
    const char *why = can ? mrd_rollup_slide_answer(&op->slide, &ranges, op->column) : NULL;
    return why == NULL ? MRD_OK : refuse(op, why, err);
}

/* ---- a window a step: most of what is asked over long times ---- */

/* Whether each range has the one row that ends where it does, and no other: rows were joined, and no edge but those of ranges has cut them. */
static bool is_of_folded(const struct coarse_op *op, const struct mrd_coarse_series *series)
{
    const struct pql_range_grid *grid = &op->grid;
    const mrd_time_ms step_ms = op->op.steps == 1 ? 0 : grid->end_step_ms;
    bool folded = op->selector->coarse->fold && op->selector->coarse->part_count == 1 &&
                  (grid->range_ms <= step_ms || op->op.steps == 1);
    for (size_t i = 0; folded && i < series->piece_count; i++) {
        const struct mrd_rollup_columns *piece = series->pieces[i];
        const mrd_time_ms past_ms = piece->ends_ms[piece->count - 1] - grid->end0_ms;
        folded = piece->folded && piece->states == NULL &&
                 (past_ms == 0 || (step_ms > 0 && past_ms % step_ms == 0));
    }
    return folded;
}

static bool any_alone(const struct mrd_coarse_series *series)
{
    bool found = false;
    for (size_t i = 0; i < series->piece_count; i++) {
        found |= series->pieces[i]->borders != NULL;
    }
    return found;
}

/* Whether a row answers a range, and none goes over the border of a part. Joined rows have nothing beside their columns. */
static bool is_plain(const struct coarse_op *op, const struct mrd_coarse_series *series)
{
    return series->piece_count > 0 &&
           (op->selector->coarse->windows || any_alone(series) || is_of_folded(op, series));
}

/* The column that is the answer as it is, or MRD_ROW_COLUMNS. */
static enum mrd_rollup_column answer_column(enum mrd_rollup_function function)
{
    switch ((int)function) {
    case MRD_ROLLUP_MIN:
        return MRD_ROW_MIN;
    case MRD_ROLLUP_MAX:
        return MRD_ROW_MAX;
    case MRD_ROLLUP_FIRST:
        return MRD_ROW_FIRST;
    case MRD_ROLLUP_LAST:
        return MRD_ROW_LAST;
    default:
        return MRD_ROW_COLUMNS;
    }
}

static enum mrd_status answer_window(struct coarse_op *op, const struct mrd_rollup_columns *columns,
                                     size_t step, size_t at, struct mrd_error *err)
{
    set_question(op, step);
    if (columns->states != NULL) {
        struct mrd_rollup_row row;
        mrd_rollup_columns_row(columns, at, &row);
        return answer_row(op, step, &row, err);
    }
    const struct mrd_rollup_answer answer = mrd_rollup_columns_answer(&op->question, columns, at);
    if (answer.outcome == MRD_ROLLUP_FLOAT && !answer.overlaps) {
        op->column[step] = answer.value;
        return MRD_OK;
    }
    return take_answer(op, step, &answer, err);
}

/* Steps whose windows are rows one after the other: how many from this row on. */
static size_t run_of(const struct coarse_op *op, const struct mrd_rollup_columns *columns,
                     size_t at, size_t steps)
{
    const size_t most = MRD_MIN(columns->count - at, steps);
    const mrd_time_ms step_ms = op->grid.end_step_ms;
    size_t count = 1;
    if (columns->even_ms == step_ms && step_ms > 0) {
        return most;
    }
    while (count < most &&
           columns->ends_ms[at + count] - columns->ends_ms[at + count - 1] == step_ms) {
        count++;
    }
    return count;
}

/* Steps from *step_at on up to where the rows end, or before step_end. */
static enum mrd_status answer_piece(struct coarse_op *op, const struct mrd_rollup_columns *columns,
                                    size_t *step_at, size_t step_end, struct mrd_error *err)
{
    const mrd_time_ms window_ms = MRD_MAX(op->selector->coarse->resolution_ms, op->grid.range_ms);
    const bool at_once =
        columns->answers == NULL && mrd_rollup_windows_can(&op->question, columns, window_ms);
    const mrd_time_ms last_ms = columns->ends_ms[columns->count - 1];
    const int64_t *counts = columns->items[MRD_ROW_COUNT];
    const enum mrd_rollup_column which = answer_column(op->question.function);
    const double *answers = which == MRD_ROW_COLUMNS ? NULL : columns->items[which];
    size_t at = 0;
    for (size_t step = *step_at; step < step_end; step++) {
        const mrd_time_ms end_ms = op->grid.end0_ms + (mrd_time_ms)step * op->grid.end_step_ms;
        *step_at = step;
        if (end_ms > last_ms) {
            return MRD_OK;
        }
        while (columns->ends_ms[at] < end_ms) {
            at++;
        }
        if (columns->ends_ms[at] != end_ms) {
            continue;
        }
        if (columns->answers != NULL) {
            const size_t count = run_of(op, columns, at, step_end - step);
            memcpy(op->column + step, columns->answers + at, count * sizeof(*op->column));
            step += count - 1;
        } else if (at_once) {
            const size_t count = run_of(op, columns, at, step_end - step);
            mrd_rollup_windows_change(op->question.function, columns, window_ms, at, count,
                                      op->column + step);
            step += count - 1;
        } else if (answers != NULL && counts != NULL && columns->states == NULL) {
            op->column[step] = counts[at] > 0 ? answers[at] : op->column[step];
        } else {
            MRD_TRY(answer_window(op, columns, step, at, err));
        }
    }
    *step_at = step_end;
    return MRD_OK;
}

/* ---- answers that came alone, of joined rows that are a range each but at the borders of blocks ---- */

/* The step in whose range a row that ends then is, the number of steps if in none. Ranges are apart. */
static size_t step_of(const struct coarse_op *op, mrd_time_ms end_ms)
{
    const mrd_time_ms past_ms = end_ms - op->grid.end0_ms;
    const mrd_time_ms last = (mrd_time_ms)op->op.steps - 1;
    const mrd_time_ms step =
        past_ms <= 0 || last == 0 ? 0 : (past_ms - 1) / op->grid.end_step_ms + 1;
    const mrd_time_ms to_end_ms = step * op->grid.end_step_ms - past_ms;
    return step <= last && to_end_ms >= 0 && to_end_ms < op->grid.range_ms ? (size_t)step
                                                                           : op->op.steps;
}

/* Whether other rows of its range may follow a row that ends then. */
static bool is_open(const struct coarse_op *op, mrd_time_ms end_ms)
{
    const size_t step = step_of(op, end_ms);
    return step < op->op.steps &&
           op->grid.end0_ms + (mrd_time_ms)step * op->grid.end_step_ms != end_ms;
}

/* The answers of rows [from, to), which have all of their ranges or are in none. */
static void copy_answers(struct coarse_op *op, const struct mrd_rollup_columns *rows, size_t from,
                         size_t to)
{
    const size_t first = from < to ? step_of(op, rows->ends_ms[from]) : 0;
    if (rows->even_ms == op->grid.end_step_ms && first < op->op.steps) {
        memcpy(op->column + first, rows->answers + from,
               MRD_MIN(to - from, op->op.steps - first) * sizeof(*op->column));
        return;
    }
    for (size_t i = from; i < to; i++) {
        const size_t step = step_of(op, rows->ends_ms[i]);
        if (step < op->op.steps) {
            op->column[step] = rows->answers[i];
        }
    }
}

static enum mrd_status gather_piece(struct coarse_op *op, const struct mrd_rollup_columns *rows,
                                    size_t from, size_t to, struct mrd_error *err)
{
    for (size_t i = from; i < to; i++) {
        struct mrd_rollup_row *row = NULL;
        MRD_TRY(add_row(op, &row, err));
        mrd_rollup_columns_row(rows, i, row);
    }
    return MRD_OK;
}

/* Answers of the rows that were gathered, range by range. */
static enum mrd_status answer_gathered(struct coarse_op *op, struct mrd_error *err)
{
    op->suffix_to = 0;
    for (size_t from = 0, to = 0; from < op->row_count; from = to) {
        const size_t step = step_of(op, op->rows[from].end_ms);
        for (to = from + 1; to < op->row_count && step_of(op, op->rows[to].end_ms) == step;) {
            to++;
        }
        if (step < op->op.steps) {
            set_question(op, step);
            MRD_TRY(answer_step(op, step, from, to, err));
        }
    }
    return MRD_OK;
}

/* Answers are copied where a row has all of its range; rows that share theirs with those of the next block, or of no block that comes
 * alone, are gathered, and joined. */
static enum mrd_status answer_whole(struct coarse_op *op, const struct mrd_coarse_series *series,
                                    const struct mrd_coarse_span *span, struct mrd_error *err)
{
    bool open = false; /* the rows before end within a range */
    op->row_count = 0;
    for (size_t k = 0; k < series->piece_count; k++) {
        const struct mrd_rollup_columns *rows = series->pieces[k];
        size_t from = 0;
        size_t to = rows->count;
        while (from < to && rows->ends_ms[from] <= span->begin_ms) {
            from++;
        }
        while (to > from && rows->ends_ms[to - 1] > span->end_ms) {
            to--;
        }
        if (from == to) {
            continue;
        }
        const bool shared = open;
        open = is_open(op, rows->ends_ms[to - 1]);
        if (rows->borders == NULL) {
            MRD_TRY(gather_piece(op, rows, from, to, err));
            continue;
        }
        if (shared) {
            MRD_TRY(gather_piece(op, rows, from, from + 1, err));
            from++;
        }
        copy_answers(op, rows, from, open && to > from ? to - 1 : to);
        if (open && to > from) {
            MRD_TRY(gather_piece(op, rows, to - 1, to, err));
        }
    }
    return answer_gathered(op, err);
}

/* ---- parts ---- */

/* The kept rows that end in (begin, end], as the rows of the series. */
static enum mrd_status take_edges(struct coarse_op *op, const struct pql_edge_series *edges,
                                  const struct mrd_coarse_span *span, struct mrd_error *err)
{
    op->row_count = 0;
    for (size_t i = 0; edges != NULL && i < edges->count; i++) {
        if (edges->rows[i].end_ms > span->begin_ms && edges->rows[i].end_ms <= span->end_ms) {
            struct mrd_rollup_row *row = NULL;
            MRD_TRY(add_row(op, &row, err));
            *row = edges->rows[i];
        }
    }
    return MRD_OK;
}

/* The end of the parts from `at` on that are all of the coarsest rows, or all of others. */
static size_t parts_end(const struct pql_coarse *coarse, size_t at)
{
    const bool rows = coarse->parts[at].coarse;
    while (at < coarse->part_count && coarse->parts[at].coarse == rows) {
        at++;
    }
    return at;
}

/* A step is of the parts that have its range, which no border between rows and others cuts. */
static enum mrd_status answer_parts(struct coarse_op *op, const struct mrd_coarse_series *series,
                                    const struct pql_edge_series *edges, struct mrd_error *err)
{
    const struct pql_coarse *coarse = op->selector->coarse;
    const bool whole = !coarse->windows && any_alone(series);
    size_t step = 0;
    for (size_t i = 0, next = 0; i < coarse->part_count; i = next) {
        next = parts_end(coarse, i);
        const struct mrd_coarse_span span = {coarse->parts[i].span.begin_ms,
                                             coarse->parts[next - 1].span.end_ms};
        size_t end = step;
        while (end < op->op.steps &&
               op->grid.end0_ms + (mrd_time_ms)end * op->grid.end_step_ms <= span.end_ms) {
            end++;
        }
        if (whole && coarse->parts[i].coarse) {
            MRD_TRY(answer_whole(op, series, &span, err));
            step = end;
        }
        for (size_t k = 0; coarse->parts[i].coarse && k < series->piece_count && step < end; k++) {
            MRD_TRY(answer_piece(op, series->pieces[k], &step, end, err));
        }
        if (!coarse->parts[i].coarse && step < end) {
            MRD_TRY(take_edges(op, edges, &span, err));
            MRD_TRY(answer_steps(op, step, end, err));
        }
        step = end;
    }
    return MRD_OK;
}

/* ---- series ---- */

static void say_notes(struct coarse_op *op)
{
    struct pql_exec *exec = op->op.exec;
    const struct pql_function *function = op->node->function;
    if (function == NULL || op->node->kind != PQL_CALL || function->kind != PQL_CALL_WINDOW) {
        return;
    }
    const struct mrd_annotation_place place =
        pql_place(op->node, op->node->args[function->range_arg]);
    if (function->checks_overlap && op->overlaps > 0) {
        pql_note_overlaps(exec, op->overlaps, place, pql_metric_name(op->labels));
    }
    if (function->counter && !pql_column_empty(op->column, op->op.steps)) {
        pql_warn_if_no_counter(exec, place, op->labels);
    }
}

/* The rows of all pieces; NULL if there are none. */
static const struct mrd_rollup_columns *together(struct coarse_op *op,
                                                 const struct mrd_coarse_series *series)
{
    if (series->piece_count < 2) {
        return series->piece_count == 0 ? NULL : series->pieces[0];
    }
    mrd_rollup_pieces_clear(&op->pieces);
    for (size_t i = 0; i < series->piece_count; i++) {
        mrd_rollup_pieces_add(&op->pieces, series->pieces[i], 0);
    }
    return mrd_rollup_pieces_view(&op->pieces);
}

/* Whether the series has any value. */
static enum mrd_status compute(struct coarse_op *op, const struct mrd_coarse_series *series,
                               const struct pql_edge_series *edges, bool *out_any,
                               struct mrd_error *err)
{
    MRD_TRY(pql_scratch_reset(op->op.exec, &op->scratch_memory, err));
    pql_column_clear(op->column, op->op.steps);
    op->any_histogram = false;
    op->overlaps = 0;
    bool done = is_plain(op, series);
    if (done) {
        MRD_TRY(answer_parts(op, series, edges, err));
    } else {
        MRD_TRY(answer_floats(op, series, edges, &done, err));
    }
    if (!done) {
        MRD_TRY(gather_rows(op, together(op, series), edges, err));
        MRD_TRY(answer_steps(op, 0, op->op.steps, err));
    }
    say_notes(op);
    *out_any = op->any_histogram || !pql_column_empty(op->column, op->op.steps);
    return MRD_OK;
}

static void count_rows(struct coarse_op *op, const struct mrd_coarse_series *series)
{
    uint64_t rows = 0;
    for (size_t i = 0; i < series->piece_count; i++) {
        rows += mrd_rollup_columns_made_of(series->pieces[i]);
    }
    pql_count_read(op->op.exec, 1, rows);
    op->op.exec->stats->rows_read += rows;
}

/* The next series of rows, or when there is none left, one that has samples alone. */
static enum mrd_status next_input(struct coarse_op *op, struct mrd_coarse_series *series,
                                  const struct pql_edge_series **edges, bool *out_more,
                                  struct mrd_error *err)
{
    struct pql_exec *exec = op->op.exec;
    *series = (struct mrd_coarse_series){0};
    MRD_TRY(mrd_query_check(exec->control, err));
    MRD_TRY(exec->source->coarse->next(op->selector->coarse->set, series, out_more, err));
    *edges = NULL;
    op->labels = series->labels;
    if (*out_more) {
        count_rows(op, series);
        const uint32_t index = op->edges.table.count == 0
                                   ? UINT32_MAX
                                   : pql_label_table_find(&op->edges.table, series->labels);
        if (index != UINT32_MAX) {
            op->edges.items[index].used = true;
            *edges = &op->edges.items[index];
        }
        return MRD_OK;
    }
    while (op->edge_at < op->edges.table.count && op->edges.items[op->edge_at].used) {
        op->edge_at++;
    }
    *out_more = op->edge_at < op->edges.table.count;
    if (*out_more) {
        *edges = &op->edges.items[op->edge_at++];
        op->labels = (*edges)->labels;
    }
    return MRD_OK;
}

static enum mrd_status coarse_next(struct pql_op *base, struct pql_series *out, bool *out_more,
                                   struct mrd_error *err)
{
    struct coarse_op *op = (struct coarse_op *)base;
    if (!op->edges_read) {
        MRD_TRY(pql_edges_read(base->exec, op->selector, &op->grid, &op->edges, err));
        op->edges_read = true;
    }
    for (;;) {
        struct mrd_coarse_series series;
        const struct pql_edge_series *edges;
        bool any = false;
        MRD_TRY(next_input(op, &series, &edges, out_more, err));
        if (!*out_more) {
            return MRD_OK;
        }
        MRD_TRY(compute(op, &series, edges, &any, err));
        if (any) {
            break;
        }
    }
    *out = (struct pql_series){.labels = op->labels, .values = op->column};
    if (op->any_histogram) {
        out->histograms = op->histograms;
    }
    const bool keeps_name = op->node->kind == PQL_SELECT || op->node->function->keeps_name;
    return keeps_name ? MRD_OK : pql_series_drop_name(base->exec, &op->scratch, out, err);
}

static void coarse_op_fini(void *subject)
{
    struct coarse_op *op = subject;
    mrd_rollup_slide_fini(&op->slide);
    mrd_rollup_pieces_fini(&op->pieces);
}

enum mrd_status pql_build_coarse(struct pql_exec *exec, const struct pql_node *node,
                                 struct pql_selector *selector, struct pql_op **out,
                                 struct mrd_error *err)
{
    const struct pql_timing *timing = &selector->timing;
    const struct pql_steps *steps = &node->steps;
    const enum mrd_rollup_function function = selector->coarse->function;
    const bool instant = function == MRD_ROLLUP_INSTANT || function == MRD_ROLLUP_TIMESTAMP;
    struct coarse_op *op = NULL;
    MRD_TRY(PQL_NEW(exec, 1, &op, err));
    *op = (struct coarse_op){
        .op = {.next = coarse_next,
               .exec = exec,
               .steps = steps->count,
               .one_name = selector->one_name},
        .node = node,
        .selector = selector,
        .grid = {.end0_ms = pql_timing_end_ms(timing, steps->start_ms),
               .end_step_ms = timing->at_set ? 0 : steps->step_ms,
               .range_ms = instant ? exec->options->lookback_ms : timing->range_ms,
               .count = steps->count},
        .question = {.function = function,
               .use_start_timestamps = exec->options->use_start_timestamps},
    };
    MRD_TRY(pql_defer(exec, coarse_op_fini, op, err));
    MRD_TRY(PQL_NEW(exec, op->op.steps, &op->column, err));
    *out = &op->op;
    return MRD_OK;
}
