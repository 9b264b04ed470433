/* Rows of windows in the place of samples: however much of time rows answer for, a query has the answer that it has over samples
 * alone. Random series, spans and queries; a failure prints what it takes to see it again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "promql/coarse.h"
#include "promqltest/answers.h"
#include "promqltest/random_queries.h"
#include "rollup/builder.h"

enum { ROUNDS = 150, QUERIES_PER_ROUND = 40, ROWS_MAX = 512, HOLES_MAX = 4, PIECES_MAX = 4 };

static const mrd_time_ms resolutions_ms[] = {30000, 60000, 120000};
static const mrd_time_ms end_of_all_ms = MRD_RANDOM_SAMPLES * MRD_RANDOM_STEP_MS;

static size_t below(size_t limit) { return mrd_random_below(limit); }
static bool one_in(size_t n) { return below(n) == 0; }
#define PICK(array) ((array)[below(MRD_ARRAY_LEN(array))])

/* ---- rows of what is in memory ---- */

struct coarse_set {
    const struct mrd_source *source;
    struct mrd_source_set *set;
    struct mrd_select select;
    mrd_time_ms resolution_ms;
    unsigned columns;
    struct mrd_rollup_grid grid;
    struct mrd_rollup_asked asked;
    struct mrd_rollup_edges edges;
    struct mrd_coarse_spans spans; /* rows beside them are wrong on purpose */
    struct mrd_arena *arena;
    struct mrd_rollup_row rows[ROWS_MAX];
    size_t row_count;
    mrd_time_ms ends_ms[ROWS_MAX];
    double reals[MRD_ROW_COLUMNS][ROWS_MAX];
    int64_t integers[MRD_ROW_COLUMNS][ROWS_MAX];
    const struct mrd_rollup_row *states[ROWS_MAX];
    struct mrd_rollup_columns view;
    struct mrd_rollup_columns pieces[PIECES_MAX]; /* of the view, cut anywhere */
    const struct mrd_rollup_columns *lists[PIECES_MAX];
};

struct rig {
    struct mrd_memory_source *memory;
    struct mrd_source source;
    struct mrd_coarse coarse;
    struct mrd_coarse_span holes[HOLES_MAX];
    size_t hole_count;
    size_t open_sets;
    size_t opened;
    size_t rows;
    size_t left_out;
    size_t joined;
    unsigned resolutions; /* that the query at hand has opened: bits */
};

static struct rig *the_rig;

static enum mrd_status rig_spans(void *context, const struct mrd_select *select,
                                 mrd_time_ms resolution_ms, const struct mrd_query_scope *scope,
                                 struct mrd_coarse_spans *out, struct mrd_error *err)
{
    const struct rig *rig = context;
    const mrd_time_ms begin_ms = mrd_rollup_window_end(select->min_ms - 1, resolution_ms);
    const mrd_time_ms end_ms = mrd_rollup_window_end(select->max_ms, resolution_ms);
    (void)scope;
    (void)err;
    *out = (struct mrd_coarse_spans){.count = 0};
    const mrd_time_ms last_ms = end_ms == select->max_ms ? end_ms : end_ms - resolution_ms;
    if (begin_ms >= last_ms) {
        return MRD_OK;
    }
    out->items[out->count++] = (struct mrd_coarse_span){begin_ms, last_ms};
    for (size_t i = 0; i < rig->hole_count; i++) {
        mrd_coarse_spans_cut(out, rig->holes[i].begin_ms, rig->holes[i].end_ms, resolution_ms);
    }
    return MRD_OK;
}

static enum mrd_status rig_open(void *context, const struct mrd_select *select,
                                const struct mrd_coarse_wanted *wanted,
                                const struct mrd_query_scope *scope,
                                struct mrd_coarse_set **out_set, struct mrd_error *err)
{
    struct rig *rig = context;
    const mrd_time_ms resolution_ms = wanted->resolution_ms;
    struct coarse_set *set = calloc(1, sizeof(*set));
    assert_non_null(set);
    set->source = mrd_memory_source_get(rig->memory);
    set->select = *select;
    set->select.min_ms -= resolution_ms;
    set->select.hints = (struct mrd_select_hints){0};
    set->resolution_ms = resolution_ms;
    set->columns = wanted->columns;
    set->asked = one_in(4) ? (struct mrd_rollup_asked){0} : wanted->asked;
    set->grid = wanted->grid;
    set->edges = one_in(4) ? (struct mrd_rollup_edges){NULL, 0} : wanted->edges;
    set->arena = mrd_arena_create("rows", SIZE_MAX);
    assert_int_equal(rig_spans(context, select, resolution_ms, scope, &set->spans, err), MRD_OK);
    assert_int_equal(set->source->open(set->source->context, &set->select, scope, &set->set, err),
                     MRD_OK);
    rig->open_sets++;
    rig->opened++;
    for (size_t i = 0; i < MRD_ARRAY_LEN(resolutions_ms); i++) {
        rig->resolutions |= resolutions_ms[i] == resolution_ms ? 1U << i : 0;
    }
    *out_set = (struct mrd_coarse_set *)set;
    return MRD_OK;
}

static enum mrd_status keep_row(void *context, size_t level, const struct mrd_rollup_row *row,
                                struct mrd_error *err)
{
    struct coarse_set *set = context;
    (void)level;
    if (row->end_ms <= set->select.min_ms + set->resolution_ms - 1) {
        return MRD_OK;
    }
    assert_true(set->row_count < ROWS_MAX);
    if (mrd_rollup_grid_wait(&set->grid, row->end_ms) != 0) {
        the_rig->left_out++;
        return MRD_OK; /* nobody is to miss it */
    }
    set->rows[set->row_count] = *row;
    return mrd_rollup_histograms_clone(&set->rows[set->row_count++].histograms, set->arena, err);
}

static bool is_in_spans(const struct coarse_set *set, mrd_time_ms end_ms)
{
    for (size_t i = 0; i < set->spans.count; i++) {
        if (end_ms > set->spans.items[i].begin_ms && end_ms <= set->spans.items[i].end_ms) {
            return true;
        }
    }
    return false;
}

static void spoil(struct mrd_rollup_row *row)
{
    row->floats.count += 7;
    row->floats.first = 4711;
    row->floats.last = -4711;
    row->floats.max = 1e9;
    row->floats.sum.sum = 1e9;
}

/* Joins the rows between two edges, as a reader may where they have neither start times nor states. */
static bool join_rows(struct coarse_set *set)
{
    size_t kept = 0;
    bool can = set->edges.count > 0;
    for (size_t i = 0; i < set->row_count; i++) {
        can &= !mrd_rollup_row_needs_state(&set->rows[i]) &&
               set->rows[i].floats.first_at.start_ms == 0 &&
               set->rows[i].floats.last_at.start_ms == 0;
    }
    for (size_t i = 0; can && i < set->row_count; kept++) {
        const size_t edge = mrd_rollup_edges_find(&set->edges, 0, set->rows[i].end_ms);
        set->rows[kept] = set->rows[i++];
        while (i < set->row_count &&
               mrd_rollup_edges_find(&set->edges, 0, set->rows[i].end_ms) == edge) {
            assert_int_equal(mrd_rollup_join(&set->rows[kept], &set->rows[i++], set->arena, NULL),
                             MRD_OK);
            the_rig->joined++;
        }
        if (i < set->row_count) {
            set->rows[kept].end_ms = set->edges.items[edge];
        }
    }
    if (can) {
        set->row_count = kept;
    }
    return can;
}

static void fill_columns(struct coarse_set *set)
{
    const bool folded = join_rows(set);
    bool any_state = false;
    set->view = (struct mrd_rollup_columns){
        .count = set->row_count, .ends_ms = set->ends_ms, .folded = folded};
    for (size_t i = 0; i < set->row_count; i++) {
        struct mrd_rollup_row *row = &set->rows[i];
        const bool state = mrd_rollup_row_needs_state(row);
        if (!is_in_spans(set, row->end_ms)) {
            spoil(row);
        }
        set->ends_ms[i] = row->end_ms;
        set->states[i] = state ? row : NULL;
        any_state |= state;
        for (unsigned which = 0; which < MRD_ROW_COLUMNS; which++) {
            mrd_rollup_row_column(row, (enum mrd_rollup_column)which, &set->reals[which][i],
                                  &set->integers[which][i]);
        }
    }
    set->view.states = any_state ? set->states : NULL;
    for (unsigned which = 0; which < MRD_ROW_COLUMNS; which++) {
        const bool extremes =
            (set->columns & (MRD_ROW_EXTREMES_OF_RESETS | MRD_ROW_EXTREMES_OF_SUMS)) != 0;
        if ((set->columns >> which & 1) != 0 ||
            (extremes && (which == MRD_ROW_MIN || which == MRD_ROW_MAX))) {
            set->view.items[which] = mrd_rollup_column_is_real((enum mrd_rollup_column)which)
                                         ? (const void *)set->reals[which]
                                         : (const void *)set->integers[which];
        }
    }
}

static struct mrd_rollup_columns slice(const struct mrd_rollup_columns *rows, size_t from,
                                       size_t to)
{
    struct mrd_rollup_columns piece = {
        .count = to - from,
        .ends_ms = rows->ends_ms + from,
        .states = rows->states == NULL ? NULL : rows->states + from,
        .folded = rows->folded,
    };
    for (unsigned which = 0; which < MRD_ROW_COLUMNS; which++) {
        const int64_t *column = rows->items[which];
        piece.items[which] = column == NULL ? NULL : column + from;
    }
    return piece;
}

/* Cuts the rows anywhere, as if they were of several blocks. */
static size_t cut_pieces(struct coarse_set *set)
{
    size_t count = 0;
    for (size_t at = 0; at < set->row_count;) {
        const size_t left = set->row_count - at;
        const size_t size = count == PIECES_MAX - 1 ? left : 1 + below(left);
        set->pieces[count] = slice(&set->view, at, at + size);
        set->lists[count] = &set->pieces[count];
        assert_int_equal(mrd_rollup_windows_add(&set->asked, set->arena, &set->lists[count], NULL),
                         MRD_OK);
        count++;
        at += size;
    }
    return count;
}

static enum mrd_status rig_next(struct mrd_coarse_set *base, struct mrd_coarse_series *out,
                                bool *out_more, struct mrd_error *err)
{
    struct coarse_set *set = (struct coarse_set *)base;
    struct mrd_source_series series = {0};
    MRD_TRY(set->source->next(set->set, &series, out_more, err));
    if (!*out_more) {
        return MRD_OK;
    }
    const struct mrd_rollup_builder_options options = {.resolutions_ms = &set->resolution_ms,
                                                       .resolution_count = 1,
                                                       .emit = keep_row,
                                                       .context = set};
    struct mrd_rollup_builder *builder = mrd_rollup_builder_create(&options);
    set->row_count = 0;
    mrd_arena_reset(set->arena);
    MRD_TRY(mrd_rollup_builder_add(builder, &series.samples, &series.histograms, err));
    MRD_TRY(mrd_rollup_builder_end(builder, err));
    mrd_rollup_builder_destroy(&builder);
    fill_columns(set);
    *out = (struct mrd_coarse_series){series.labels, set->lists, cut_pieces(set)};
    return out->piece_count > 0 ? MRD_OK : rig_next(base, out, out_more, err);
}

static void rig_close(struct mrd_coarse_set *base)
{
    struct coarse_set *set = (struct coarse_set *)base;
    set->source->close(set->set);
    mrd_arena_destroy(&set->arena);
    free(set);
    the_rig->open_sets--;
}

static void rig_init(struct rig *rig)
{
    the_rig = rig;
    rig->memory = mrd_memory_source_create();
    rig->source = *mrd_memory_source_get(rig->memory);
    rig->coarse = (struct mrd_coarse){.context = rig,
                                      .resolutions_ms = resolutions_ms,
                                      .resolution_count = MRD_ARRAY_LEN(resolutions_ms),
                                      .sample_interval_ms = 100,
                                      .spans = rig_spans,
                                      .open = rig_open,
                                      .next = rig_next,
                                      .close = rig_close};
    rig->source.coarse = &rig->coarse;
}

/* ---- series ---- */

static double next_value(size_t style, size_t i, double before)
{
    static const double odd[] = {NAN, INFINITY, -INFINITY, 0, -0.0, 1e308, -1e308, 3};
    switch (style) {
    case 0:
        return before + (double)below(100);
    case 1:
        return i % 7 == 6 ? (double)below(5) : before + 0.1;
    case 2:
        return (double)below(1000) * 0.1 - 50;
    case 3:
        return PICK(odd);
    default:
        return (double)below(3);
    }
}

static void put_floats(struct rig *rig, const char *name, size_t index)
{
    char texts[2][32];
    (void)snprintf(texts[0], sizeof(texts[0]), "%zu", index);
    (void)snprintf(texts[1], sizeof(texts[1]), "%zu", index % 3);
    const struct mrd_label items[] = {
        {MRD_BYTES(MRD_METRIC_NAME), mrd_bytes_of(name)    },
        {MRD_BYTES("instance"),      mrd_bytes_of(texts[0])},
        {MRD_BYTES("job"),           mrd_bytes_of(texts[1])},
    };
    const struct mrd_labels labels = {items, 3};
    const size_t style = one_in(8) ? 3 : below(5);
    const bool starts = one_in(3);
    const size_t first = one_in(4) ? below(MRD_RANDOM_SAMPLES) : 0;
    double value = 0;
    for (size_t i = first; i < MRD_RANDOM_SAMPLES; i++) {
        const mrd_time_ms time_ms =
            (mrd_time_ms)i * MRD_RANDOM_STEP_MS + (one_in(3) ? 0 : (mrd_time_ms)below(3000));
        if (one_in(12)) {
            continue;
        }
        value = next_value(style, i, isfinite(value) && !mrd_is_stale(value) ? value : 0);
        mrd_memory_source_put(rig->memory, labels,
                              (struct mrd_sample){time_ms, one_in(25) ? mrd_stale_nan() : value});
        if (starts && !one_in(3)) {
            assert_true(mrd_memory_source_start(rig->memory, labels, time_ms,
                                                1 + time_ms - (mrd_time_ms)below(40000)));
        }
    }
}

static void fill(struct rig *rig)
{
    mrd_memory_source_clear(rig->memory);
    for (size_t i = 0; i < 5; i++) {
        put_floats(rig, "m", i);
        put_floats(rig, "m_total", i);
    }
    for (size_t i = 0; i < below(4); i++) {
        mrd_random_series(rig->memory, "h", i);
        mrd_random_series(rig->memory, "mixed", i);
    }
    rig->hole_count = below(HOLES_MAX + 1);
    for (size_t i = 0; i < rig->hole_count; i++) {
        const mrd_time_ms begin_ms = (mrd_time_ms)below((size_t)end_of_all_ms);
        rig->holes[i] = (struct mrd_coarse_span){begin_ms, begin_ms + (mrd_time_ms)below(150000)};
    }
}

/* ---- queries ---- */

static void make_query(struct mrd_random_text *text)
{
    static const char *const functions[] = {"rate",
                                            "increase",
                                            "delta",
                                            "changes",
                                            "resets",
                                            "sum_over_time",
                                            "avg_over_time",
                                            "min_over_time",
                                            "max_over_time",
                                            "count_over_time",
                                            "first_over_time",
                                            "last_over_time",
                                            "stddev_over_time",
                                            "present_over_time",
                                            "ts_of_first_over_time",
                                            "ts_of_last_over_time"};
    static const char *const selectors[] = {
        "m", "m_total", "m_total", "{__name__=~\"m.*\"}", "mixed", "h", "m{job=\"1\"}", "none"};
    static const char *const ranges[] = {"[1m]", "[2m]", "[4m]", "[5m]", "[90s]", "[2m5s]"};
    static const char *const times[] = {"",       "",        "", " offset 1m", " offset -30s",
                                        " @ 300", " @ end()"};
    static const char *const wraps[] = {"%s",
                                        "%s",
                                        "%s",
                                        "%s",
                                        "abs(%s)",
                                        "count(%s) by (job)",
                                        "max(%s) without (instance)",
                                        "sum(%s) by (job)",
                                        "avg(%s)",
                                        "max_over_time((%s)[2m:30s])",
                                        "%s > 1",
                                        "-(%s)",
                                        "absent(%s)",
                                        "histogram_count(%s)"};
    char inner[256];
    if (one_in(3)) {
        (void)snprintf(inner, sizeof(inner), one_in(4) ? "timestamp(%s%s)" : "%s%s",
                       PICK(selectors), PICK(times));
    } else {
        (void)snprintf(inner, sizeof(inner), "%s(%s%s%s)", PICK(functions), PICK(selectors),
                       PICK(ranges), PICK(times));
    }
    const char *wrap = PICK(wraps);
    const char *at = strstr(wrap, "%s");
    const int size = snprintf(text->bytes, sizeof(text->bytes), "%.*s%s%s", (int)(at - wrap), wrap,
                              inner, at + 2);
    text->size = (size_t)size;
}

static struct mrd_promql_request make_request(const struct mrd_random_text *text)
{
    static const mrd_time_ms grids_ms[] = {30000, 60000, 60000, 120000, 1000};
    const mrd_time_ms grid_ms = PICK(grids_ms);
    struct mrd_promql_request request = {
        .text = {(const uint8_t *)text->bytes, text->size},
        .start_ms = (mrd_time_ms)below((size_t)(end_of_all_ms / grid_ms) + 4) * grid_ms,
        .instant = one_in(4),
    };
    request.end_ms =
        request.instant ? request.start_ms : request.start_ms + (mrd_time_ms)below(400000);
    request.step_ms = request.instant ? 0 : grid_ms * (1 + (mrd_time_ms)below(3));
    if (request.step_ms < 20000 && !request.instant) {
        request.step_ms = 20000 + request.step_ms * 37;
    }
    return request;
}

/* ---- comparing ---- */

static size_t with_points;
static size_t with_rows;
static size_t with_more_than_one; /* resolution */
static size_t refusals;

static void ask(struct rig *rig, bool coarse, const struct mrd_promql_request *request,
                const struct mrd_promql_options *options, struct mrd_arena *arena,
                struct mrd_answer *out)
{
    struct mrd_promql_options used = *options;
    used.resolution_ms_max = coarse ? INT64_MAX : 0;
    *out = (struct mrd_answer){0};
    rig->resolutions = 0;
    out->status =
        mrd_promql_query(&used, request, &rig->source, NULL, arena, &out->result, &out->err);
    assert_int_equal(rig->open_sets, 0);
    assert_int_equal(mrd_memory_source_open_sets(rig->memory), 0);
}

static void compare(struct rig *rig, const struct mrd_promql_request *request,
                    const struct mrd_promql_options *options)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("one", SIZE_MAX);
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *other = mrd_arena_create("other", SIZE_MAX);
    struct mrd_answer samples;
    struct mrd_answer rows;
    ask(rig, false, request, options, arena, &samples);
    ask(rig, true, request, options, other, &rows);
    assert_int_equal(samples.result.stats.rows_read, 0);
    with_rows += rows.result.stats.rows_read > 0 && rows.result.stats.refused == NULL;
    with_more_than_one += (rig->resolutions & (rig->resolutions - 1)) != 0 &&
                          rows.result.stats.rows_read > 0 && rows.result.stats.refused == NULL;
    refusals += rows.result.stats.refused != NULL;
    with_points += samples.status == MRD_OK && samples.result.series_count > 0;
    mrd_answers_bring_near(&rows, &samples);
    rows.result.stats = samples.result.stats;
    const char *what = mrd_answers_compare(&samples, &rows);
    if (what != NULL) {
        fail_msg("%s differ: %.*s, %lld to %lld ms step %lld; errors \"%s\" and \"%s\"", what,
                 MRD_FMT(request->text), (long long)request->start_ms, (long long)request->end_ms,
                 (long long)request->step_ms, samples.err.text, rows.err.text);
    }
}

static void rows_answer_as_samples_do(void **state)
{
    (void)state;
    struct rig rig = {0};
    mrd_random_seed_for_test(20261127);
    rig_init(&rig);
    for (size_t round = 0; round < ROUNDS; round++) {
        fill(&rig);
        for (size_t q = 0; q < QUERIES_PER_ROUND; q++) {
            struct mrd_random_text text = {0};
            make_query(&text);
            const struct mrd_promql_request request = make_request(&text);
            const struct mrd_promql_options options = {
                .lookback_ms = one_in(3) ? 20000 : 60000,
                .delayed_name_removal = one_in(4),
                .use_start_timestamps = one_in(2),
                .features = {.experimental_functions = true},
            };
            compare(&rig, &request, &options);
        }
    }
    print_message("%d queries: %zu have points, %zu were answered by rows (%zu not asked for), %zu "
                  "of them by rows of more than one resolution, "
                  "%zu refused\n",
                  ROUNDS * QUERIES_PER_ROUND, with_points, with_rows, rig.left_out,
                  with_more_than_one, refusals);
    assert_true(with_more_than_one > ROUNDS);
    assert_true(with_rows > ROUNDS * QUERIES_PER_ROUND / 5);
    assert_true(refusals > 20);
    assert_true(rig.left_out > ROUNDS);
    assert_true(rig.joined > ROUNDS);
    mrd_memory_source_destroy(&rig.memory);
}

/* ---- spans ---- */

static void spans_are_cut_where_holes_are(void **state)
{
    (void)state;
    struct mrd_coarse_spans spans = {.items = {{0, 1000}}, .count = 1};
    mrd_coarse_spans_cut(&spans, 250, 251, 100);
    assert_int_equal(spans.count, 2);
    assert_int_equal(spans.items[0].end_ms, 200);
    assert_int_equal(spans.items[1].begin_ms, 300);
    mrd_coarse_spans_cut(&spans, 100, 400, 100);
    assert_int_equal(spans.items[0].end_ms, 100);
    assert_int_equal(spans.items[1].begin_ms, 400);
    mrd_coarse_spans_cut(&spans, 50, 50, 100); /* of nothing */
    assert_int_equal(mrd_coarse_spans_length(&spans), 700);
    mrd_coarse_spans_cut(&spans, -500, 5000, 100);
    assert_int_equal(spans.count, 0);
    spans = (struct mrd_coarse_spans){.items = {{0, 100000}}, .count = 1};
    for (mrd_time_ms at = 1; at < 100; at++) { /* more holes than fit: the longest stay */
        mrd_coarse_spans_cut(&spans, at * 1000 - at * 3, at * 1000, 1);
    }
    assert_int_equal(spans.count, MRD_COARSE_SPANS_MAX);
    for (size_t i = 1; i < spans.count; i++) {
        assert_true(spans.items[i - 1].end_ms < spans.items[i].begin_ms);
    }
}

static void spans_are_divided_where_no_row_may_go_over(void **state)
{
    (void)state;
    struct mrd_coarse_spans spans = {
        .items = {{0, 500}, {600, 1000}},
          .count = 2
    };
    static const mrd_time_ms nowhere_ms[] = {-100, 0, 500, 550, 600, 1000, 1100};
    for (size_t i = 0; i < MRD_ARRAY_LEN(nowhere_ms); i++) {
        mrd_coarse_spans_divide(&spans, nowhere_ms[i]);
        assert_int_equal(spans.count, 2);
    }
    mrd_coarse_spans_divide(&spans, 700);
    mrd_coarse_spans_divide(&spans, 700);
    assert_int_equal(spans.count, 3);
    assert_int_equal(spans.items[1].begin_ms, 600);
    assert_int_equal(spans.items[1].end_ms, 700);
    assert_int_equal(spans.items[2].begin_ms, 700);
    assert_int_equal(spans.items[2].end_ms, 1000);
    assert_int_equal(mrd_coarse_spans_length(&spans), 900);

    /* More than fit: what is left over is in none. */
    spans = (struct mrd_coarse_spans){.items = {{0, 100000}}, .count = 1};
    for (mrd_time_ms at = 1; at < 100; at++) {
        mrd_coarse_spans_divide(&spans, at * 1000);
    }
    assert_int_equal(spans.count, MRD_COARSE_SPANS_MAX);
    for (size_t i = 0; i < spans.count; i++) {
        assert_int_equal(spans.items[i].end_ms - spans.items[i].begin_ms, 1000);
    }
}

/* ---- what does not suit ---- */

static void only_what_rows_can_answer_is_asked_of_them(void **state)
{
    static const struct {
        const char *text;
        mrd_time_ms start_ms;
        mrd_time_ms step_ms;
        unsigned resolutions; /* bits, as they are listed */
    } cases[] = {
        {"rate(m_total[2m])",            240000, 120000, 4},
        {"rate(m_total[2m])",            240001, 60000,  0}, /* every range begins and ends within windows */
        {"quantile_over_time(1, m[2m])", 240000, 60000,  0},
        {"irate(m_total[2m])",           240000, 60000,  0},
        {"m",                            240000, 60000,  2},
        {"m",                            240001, 60000,  0},
        {"m offset 10s",                 240010, 60000,  0},
        {"start_timestamp(m)",           240000, 60000,  0},
        {"rate(m_total[2m] anchored)",   240000, 60000,  0},
        {"absent_over_time(m[2m])",      240000, 60000,  0},
        {"sum(max_over_time(m[1m]))",    240000, 30000,  1},
        {"rate(m_total[4m])",            270000, 300000, 7}, /* finer rows where the ranges begin and end */
        {"rate(m_total[4m])",            270001, 300000, 7}, /* and samples */
        {"rate(m_total[4m])",            300000, 300000, 6},
        {"m",                            300000, 300000, 2}, /* rows of 2 minutes would say too much */
    };
    (void)state;
    struct rig rig = {0};
    mrd_random_seed(5);
    rig_init(&rig);
    fill(&rig);
    rig.hole_count = 0;
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *arena = mrd_arena_create("query", SIZE_MAX);
        const struct mrd_promql_options options = {
            .features = {.experimental_functions = true, .extended_range_selectors = true}
        };
        const struct mrd_promql_request request = {.text = mrd_bytes_of(cases[i].text),
                                                   .start_ms = cases[i].start_ms,
                                                   .end_ms = cases[i].start_ms + 300000,
                                                   .step_ms = cases[i].step_ms};
        struct mrd_answer answer;
        ask(&rig, true, &request, &options, arena, &answer);
        if (answer.status != MRD_OK || rig.resolutions != cases[i].resolutions) {
            fail_msg("%s from %lld: resolutions %x, error \"%s\"", cases[i].text,
                     (long long)cases[i].start_ms, rig.resolutions, answer.err.text);
        }
    }
    mrd_memory_source_destroy(&rig.memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_are_cut_where_holes_are),
        cmocka_unit_test(spans_are_divided_where_no_row_may_go_over),
        cmocka_unit_test(only_what_rows_can_answer_is_asked_of_them),
        cmocka_unit_test(rows_answer_as_samples_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
