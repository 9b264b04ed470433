/* Blocks of rollup rows written and read back, against the rows that went in. */
#include "block/testing_internal.h"
#include "objstore/fault_store.h"
#include "rollup/builder.h"
#include "rollup/codec.h"

enum { HOUR_MS = MRD_ROLLUP_1H_MS, ROWS_MAX = 4096 };

static void must(enum mrd_status status, const struct mrd_error *err)
{
    if (status != MRD_OK) {
        fail_msg("status %s: %s", mrd_status_name(status), err->text);
    }
}

/* ---- rows of series ---- */

struct rows {
    struct mrd_arena *arena;
    struct mrd_rollup_row *items;
    size_t count;
};

static enum mrd_status keep(void *context, size_t level, const struct mrd_rollup_row *row,
                            struct mrd_error *err)
{
    struct rows *rows = context;
    (void)level;
    assert_true(rows->count < ROWS_MAX);
    struct mrd_rollup_row *copy = &rows->items[rows->count++];
    *copy = *row;
    return mrd_rollup_histograms_clone(&copy->histograms, rows->arena, err);
}

static struct rows rows_of(struct testing_set *set, const struct mrd_block_series *series,
                           mrd_time_ms resolution_ms)
{
    struct rows rows = {.arena = set->arena,
                        .items = testing_take(set, ROWS_MAX, sizeof(*rows.items))};
    const struct mrd_rollup_builder_options options = {
        .resolutions_ms = &resolution_ms, .resolution_count = 1, .emit = keep, .context = &rows};
    struct mrd_error err = {0};
    struct mrd_rollup_builder *builder = mrd_rollup_builder_create(&options);
    must(mrd_rollup_builder_add(builder, &series->samples, &series->histograms, &err), &err);
    must(mrd_rollup_builder_end(builder, &err), &err);
    mrd_rollup_builder_destroy(&builder);
    return rows;
}

struct rollup {
    struct testing_set set;
    struct rows *rows; /* of each series */
    mrd_time_ms resolution_ms;
};

static struct rollup rollup_create(const struct testing_shape *shape, mrd_time_ms resolution_ms)
{
    struct rollup rollup = {.set = testing_set_create(shape), .resolution_ms = resolution_ms};
    rollup.rows = testing_take(&rollup.set, rollup.set.count, sizeof(*rollup.rows));
    for (size_t i = 0; i < rollup.set.count; i++) {
        rollup.rows[i] = rows_of(&rollup.set, &rollup.set.items[i], resolution_ms);
    }
    return rollup;
}

static struct mrd_block_writer_options options_of(const struct rollup *rollup)
{
    struct mrd_block_writer_options options = testing_options(testing_store, 1);
    options.keep_hlc = false;
    options.resolution_ms = rollup->resolution_ms;
    return options;
}

static enum mrd_status write_rollup(const struct rollup *rollup, bool pieces,
                                    struct mrd_block_entry *out, struct mrd_error *err)
{
    const struct mrd_block_writer_options options = options_of(rollup);
    static const struct mrd_bytes parent = {(const uint8_t *)"raw", 3};
    const struct mrd_block_origin origin = {.parents = &parent, .parent_count = 1};
    mrd_auto(mrd_block_writer_destroy)
    struct mrd_block_writer *writer = NULL;
    MRD_TRY(mrd_block_writer_create(&options, &writer, err));
    for (size_t i = 0; i < rollup->set.count; i++) {
        const struct rows *rows = &rollup->rows[i];
        const size_t first = pieces ? rows->count / 2 : rows->count;
        MRD_TRY(mrd_block_writer_add_rows(writer, &rollup->set.items[i], rows->items, first, err));
        MRD_TRY(mrd_block_writer_add_rows(writer, &rollup->set.items[i], rows->items + first,
                                          rows->count - first, err));
    }
    return mrd_block_writer_finish(writer, &origin, testing_arena, out, err);
}

/* ---- comparing ---- */

static void same_row(const struct mrd_rollup_row *want, const struct mrd_rollup_row *got,
                     mrd_time_ms resolution_ms)
{
    struct mrd_buf a = {0};
    struct mrd_buf b = {0};
    assert_int_equal(want->end_ms, got->end_ms);
    mrd_rollup_encode(want, 1, resolution_ms, &a);
    mrd_rollup_encode(got, 1, resolution_ms, &b);
    assert_true(mrd_bytes_equal(mrd_buf_view(&a), mrd_buf_view(&b)));
    mrd_buf_fini(&a);
    mrd_buf_fini(&b);
}

/* The columns that were asked for have what those of the row have. */
static void same_columns(const struct mrd_rollup_row *want, const struct mrd_rollup_columns *got,
                         size_t i, unsigned columns)
{
    for (unsigned which = 0; which < MRD_ROW_COLUMNS; which++) {
        const enum mrd_rollup_column column = (enum mrd_rollup_column)which;
        double real;
        int64_t integer;
        mrd_rollup_row_column(want, column, &real, &integer);
        if ((columns >> which & 1) == 0) {
            assert_null(got->items[which]);
        } else if (want->floats.count == 0 && column != MRD_ROW_STALE_TS) {
            assert_int_equal(mrd_rollup_integer(got, column, i), 0);
        } else if (mrd_rollup_column_is_real(column)) {
            assert_int_equal(mrd_double_bits(mrd_rollup_real(got, column, i)),
                             mrd_double_bits(real));
        } else {
            assert_int_equal(mrd_rollup_integer(got, column, i), integer);
        }
    }
    if (mrd_rollup_row_needs_state(want)) {
        assert_non_null(got->states[i]);
    } else {
        assert_true(got->states == NULL || got->states[i] == NULL);
    }
}

/* What is asked of a block. */
struct asked {
    mrd_time_ms min_ms;
    mrd_time_ms max_ms;
    struct mrd_block_cursor_options options;
    struct mrd_arena *arena; /* NULL: series are the cursor's until its next one */
};

/* The first row from `at` on that is asked for; the number of rows if there is none. */
static size_t next_asked(const struct rows *rows, size_t at, const struct asked *asked)
{
    while (at < rows->count &&
           (rows->items[at].end_ms < asked->min_ms || rows->items[at].end_ms > asked->max_ms ||
            mrd_rollup_grid_wait(&asked->options.grid, rows->items[at].end_ms) > 0)) {
        at++;
    }
    return at;
}

static bool take(struct mrd_block_cursor *cursor, const struct asked *asked,
                 struct mrd_block_series *out)
{
    struct mrd_error err = {0};
    const struct mrd_block_series *series = NULL;
    bool more = false;
    if (asked->arena != NULL) {
        must(mrd_block_cursor_next_rows(cursor, asked->arena, out, &more, &err), &err);
        return more;
    }
    must(mrd_block_cursor_next(cursor, &series, &err), &err);
    if (series != NULL) {
        *out = *series;
    }
    return series != NULL;
}

static void expect_range(const struct rollup *rollup, struct mrd_block *block,
                         const struct asked *asked)
{
    struct mrd_error err = {0};
    struct mrd_block_cursor *cursor;
    const struct mrd_block_select select = {
        .tenant = rollup->set.items[0].tenant, .min_ms = asked->min_ms, .max_ms = asked->max_ms};
    const unsigned columns = asked->options.columns == 0 ? MRD_ROW_ALL : asked->options.columns;
    struct mrd_block_series got;
    must(mrd_block_select(block, &select, &asked->options, &cursor, &err), &err);
    bool more = take(cursor, asked, &got);
    for (size_t i = 0; i < rollup->set.count; i++) {
        const struct rows *rows = &rollup->rows[i];
        size_t at = next_asked(rows, 0, asked);
        if (at == rows->count) {
            continue;
        }
        while (more && mrd_block_series_compare(&got, &rollup->set.items[i]) == 0) {
            assert_int_equal(got.samples.count + got.histograms.count, 0);
            for (size_t k = 0; k < got.rows->count; k++) {
                struct mrd_rollup_row row;
                assert_true(at < rows->count);
                assert_int_equal(got.rows->ends_ms[k], rows->items[at].end_ms);
                same_columns(&rows->items[at], got.rows, k, columns);
                if (columns == MRD_ROW_ALL) {
                    mrd_rollup_columns_row(got.rows, k, &row);
                    same_row(&rows->items[at], &row, rollup->resolution_ms);
                }
                at = next_asked(rows, at + 1, asked);
            }
            more = take(cursor, asked, &got);
        }
        assert_int_equal(at, rows->count);
    }
    assert_false(more);
    mrd_block_cursor_close(&cursor);
}

static void expect_rollup(const struct rollup *rollup, const struct mrd_block_entry *entry)
{
    struct mrd_error err = {0};
    struct mrd_block *block;
    const struct mrd_block_open_options open = {.whole_bytes_max = testing_below(2) == 0 ? 1 : 0};
    must(mrd_block_open(testing_store, entry, &open, &block, &err), &err);
    struct mrd_arena *arena = mrd_arena_create("rows", SIZE_MAX);
    for (unsigned round = 0; round < 24; round++) {
        const struct mrd_block_counts *counts = &entry->counts;
        const uint64_t span = (uint64_t)(counts->max_ms - counts->min_ms) + 1;
        struct asked asked = {
            .min_ms = INT64_MIN,
            .max_ms = INT64_MAX,
            .options = {.window_bytes = testing_below(2) == 0 ? 1 : 0,
                        .columns = round == 0 ? 0 : (unsigned)testing_below(MRD_ROW_ALL) + 1,
                        .pieces = testing_below(2) == 0},
            .arena = testing_below(2) == 0 ? NULL : arena,
        };
        if (round > 0) {
            asked.min_ms = counts->min_ms + (mrd_time_ms)testing_below(span);
            asked.max_ms = asked.min_ms + (mrd_time_ms)testing_below(span);
        }
        if (testing_below(2) == 0) {
            asked.options.grid = (struct mrd_rollup_grid){
                .end_ms = counts->min_ms + (mrd_time_ms)testing_below(2 * span) - (mrd_time_ms)span,
                .step_ms = rollup->resolution_ms * (mrd_time_ms)(1 + testing_below(9)),
                .range_ms = rollup->resolution_ms * (mrd_time_ms)(1 + testing_below(3))};
            if (testing_below(4) > 0) { /* windows end where ranges do */
                asked.options.grid.end_ms =
                    mrd_rollup_window_end(asked.options.grid.end_ms, rollup->resolution_ms);
            }
        }
        expect_range(rollup, block, &asked);
    }
    mrd_arena_destroy(&arena);
    mrd_block_close(&block);
}

/* ---- tests ---- */

static const struct testing_shape shapes[] = {
    {1, 20, 2000, false, false, false},
    {1, 60, 400,  true,  true,  false},
    {1, 40, 300,  true,  true,  true },
    {1, 9,  8,    false, true,  false},
};
static const mrd_time_ms resolutions_ms[] = {MRD_ROLLUP_5M_MS, MRD_ROLLUP_1H_MS, MRD_ROLLUP_6H_MS,
                                             MRD_ROLLUP_1D_MS, 7000};

static void rows_come_back_bit_for_bit(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 24; seed++) {
        testing_state = seed * 0x9e3779b97f4a7c15ULL;
        struct rollup rollup =
            rollup_create(&shapes[seed % MRD_ARRAY_LEN(shapes)],
                          resolutions_ms[testing_below(MRD_ARRAY_LEN(resolutions_ms))]);
        struct mrd_error err = {0};
        struct mrd_block_entry entry;
        struct mrd_block_entry again;
        struct mrd_buf bytes = {0};
        must(write_rollup(&rollup, testing_below(2) == 0, &entry, &err), &err);
        assert_int_equal(entry.resolution_ms, rollup.resolution_ms);
        must(mrd_block_entry_encode(&entry, &bytes, &err), &err);
        must(mrd_block_entry_decode(mrd_buf_view(&bytes), testing_arena, &again, &err), &err);
        assert_int_equal(again.resolution_ms, rollup.resolution_ms);
        const struct mrd_block_verify_options verify = {0};
        must(mrd_block_verify(testing_store, &again, &verify, &err), &err);
        expect_rollup(&rollup, &again);
        mrd_buf_fini(&bytes);
        testing_set_fini(&rollup.set);
    }
}

static void pieces_make_the_same_bytes(void **state)
{
    (void)state;
    testing_state = 77;
    struct rollup rollup = rollup_create(&shapes[1], HOUR_MS);
    struct mrd_error err = {0};
    struct mrd_block_entry whole;
    struct mrd_block_entry pieces;
    must(write_rollup(&rollup, false, &whole, &err), &err);
    must(write_rollup(&rollup, true, &pieces, &err), &err);
    assert_int_equal(whole.data.crc32c, pieces.data.crc32c);
    assert_int_equal(whole.sidecar.crc32c, pieces.sidecar.crc32c);
    testing_set_fini(&rollup.set);
}

/* ---- joined rows ---- */

enum { LONG_ROWS = 20000, LONG_SERIES = 4, EDGES_MAX = 4000 };

/* Series of more rows than a page has: regular, with gaps, with start times, with gaps and windows of staleness markers alone. */
static void make_long(size_t kind, struct mrd_rollup_row *rows, size_t *out_count)
{
    double value = 0;
    mrd_time_ms end_ms = 1000 * (mrd_time_ms)HOUR_MS;
    *out_count = 0;
    for (size_t i = 0; i < LONG_ROWS; i++, end_ms += HOUR_MS) {
        struct mrd_rollup_row *row = &rows[*out_count];
        const bool odd = kind == 1 || kind == 3;
        if (odd && testing_below(100) == 0) {
            continue;
        }
        ++*out_count;
        *row = mrd_rollup_row_empty(end_ms);
        if (kind == 3 && testing_below(50) == 0) {
            row->stale_ms = end_ms - 1;
            continue;
        }
        for (mrd_time_ms k = 0; k < 3; k++) {
            const mrd_time_ms at_ms = end_ms - 1000 + k * 400;
            value =
                testing_below(odd ? 200 : 20000) == 0 ? 1 : value + (double)testing_below(9) / 8;
            mrd_rollup_add_float(&row->floats, value,
                                 (struct mrd_span){at_ms, kind == 2 ? at_ms - 1 : 0});
        }
    }
}

static size_t random_edges(mrd_time_ms *edges_ms)
{
    const size_t step = 1 + testing_below(60);
    const size_t jitter = testing_below(3) == 0 ? step : 1;
    mrd_time_ms at_ms = (1000 + (mrd_time_ms)testing_below(2000) - 1000) * (mrd_time_ms)HOUR_MS;
    size_t count = 0;
    while (count < EDGES_MAX && at_ms < (1000 + LONG_ROWS) * (mrd_time_ms)HOUR_MS) {
        edges_ms[count++] = at_ms;
        at_ms += (mrd_time_ms)(step + testing_below(jitter)) * HOUR_MS;
    }
    return count;
}

/* A block of rows of hours, those of each series as `make` makes them; all lives as long as the set and *entry. */
static struct mrd_block *open_long(struct rollup *rollup,
                                   void (*make)(size_t kind, struct mrd_rollup_row *rows,
                                                size_t *out_count),
                                   struct mrd_block_entry *entry)
{
    struct mrd_error err = {0};
    struct mrd_block *block;
    const struct mrd_block_open_options open = {.whole_bytes_max = 0};
    *rollup = (struct rollup){
        .set = testing_set_create(&(struct testing_shape){1, LONG_SERIES, 2, false, false, false}),
        .resolution_ms = HOUR_MS};
    rollup->rows = testing_take(&rollup->set, rollup->set.count, sizeof(*rollup->rows));
    for (size_t i = 0; i < rollup->set.count; i++) {
        rollup->rows[i].items =
            testing_take(&rollup->set, LONG_ROWS, sizeof(*rollup->rows[i].items));
        make(i, rollup->rows[i].items, &rollup->rows[i].count);
    }
    must(write_rollup(rollup, false, entry, &err), &err);
    must(mrd_block_open(testing_store, entry, &open, &block, &err), &err);
    return block;
}

static void expect_joined(const struct mrd_rollup_row *rows, size_t count,
                          const struct mrd_block_cursor_options *options,
                          const struct mrd_rollup_columns *got)
{
    size_t k = 0;
    assert_true(got->folded);
    assert_int_equal(got->made_of, count);
    for (size_t i = 0; i < count; k++) {
        struct mrd_rollup_row want = rows[i];
        const size_t edge = mrd_rollup_edges_find(&options->edges, 0, rows[i].end_ms);
        for (i++; i < count && mrd_rollup_edges_find(&options->edges, 0, rows[i].end_ms) == edge;
             i++) {
            must(mrd_rollup_join(&want, &rows[i], NULL, NULL), NULL);
        }
        assert_true(k < got->count);
        assert_int_equal(got->ends_ms[k], i < count ? options->edges.items[edge] : want.end_ms);
        for (unsigned which = 0; which < MRD_ROW_COLUMNS; which++) {
            const enum mrd_rollup_column column = (enum mrd_rollup_column)which;
            double real;
            int64_t integer;
            mrd_rollup_row_column(&want, column, &real, &integer);
            if ((options->columns >> which & 1) == 0 ||
                (want.floats.count == 0 && column != MRD_ROW_COUNT)) {
                continue;
            }
            if (mrd_rollup_column_is_real(column)) {
                assert_true(mrd_rollup_real(got, column, k) == real ||
                            (isnan(mrd_rollup_real(got, column, k)) && isnan(real)));
            } else {
                assert_int_equal(mrd_rollup_integer(got, column, k), integer);
            }
        }
    }
    assert_int_equal(k, got->count);
}

static void rows_between_edges_come_as_one(void **state)
{
    static const enum mrd_rollup_function functions[] = {
        MRD_ROLLUP_RATE, MRD_ROLLUP_SUM,    MRD_ROLLUP_MAX,    MRD_ROLLUP_COUNT,
        MRD_ROLLUP_LAST, MRD_ROLLUP_RESETS, MRD_ROLLUP_CHANGES};
    (void)state;
    testing_state = 4711;
    struct rollup rollup;
    struct mrd_error err = {0};
    struct mrd_block_entry entry;
    struct mrd_arena *arena = mrd_arena_create("rows", SIZE_MAX);
    struct mrd_block *block = open_long(&rollup, make_long, &entry);
    mrd_time_ms *edges_ms = testing_take(&rollup.set, EDGES_MAX, sizeof(*edges_ms));
    for (size_t round = 0; round < 4 * MRD_ARRAY_LEN(functions); round++) {
        const struct mrd_block_cursor_options options = {
            .columns = mrd_rollup_columns_of(functions[round % MRD_ARRAY_LEN(functions)], true),
            .edges = {edges_ms, random_edges(edges_ms)}
        };
        const mrd_time_ms first_ms = rollup.rows[0].items[0].end_ms;
        const size_t skipped = testing_below(3) == 0 ? testing_below(LONG_ROWS) : 0;
        const struct mrd_block_select select = {.tenant = rollup.set.items[0].tenant,
                                                .min_ms = first_ms + (mrd_time_ms)skipped * HOUR_MS,
                                                .max_ms = INT64_MAX};
        struct mrd_block_cursor *cursor;
        must(mrd_block_select(block, &select, &options, &cursor, &err), &err);
        for (size_t i = 0; i < rollup.set.count; i++) {
            const struct rows *rows = &rollup.rows[i];
            struct mrd_block_series got;
            bool more = false;
            size_t from = 0;
            while (from < rows->count && rows->items[from].end_ms < select.min_ms) {
                from++;
            }
            if (from == rows->count) {
                continue;
            }
            must(mrd_block_cursor_next_rows(cursor, arena, &got, &more, &err), &err);
            assert_true(more);
            if (i == 2) { /* start times: whoever looks at them wants every row */
                assert_false(got.rows->folded);
                assert_int_equal(got.rows->count, rows->count - from);
            } else {
                expect_joined(rows->items + from, rows->count - from, &options, got.rows);
            }
            mrd_arena_reset(arena);
        }
        mrd_block_cursor_close(&cursor);
    }
    mrd_block_close(&block);
    mrd_arena_destroy(&arena);
    testing_set_fini(&rollup.set);
}

/* ---- answers that come without columns ---- */

/* Values that are odd in some rows: counters that begin at nothing or are reset, also where a page ends, NaN and infinite ones, sums that may
 * overflow, windows of one sample, and of none. */
static void make_odd(size_t kind, struct mrd_rollup_row *rows, size_t *out_count)
{
    make_long(kind, rows, out_count);
    for (size_t i = 0; i < *out_count; i++) {
        const bool at_border = i % MRD_BLOCK_PAGE_ROWS < 2 && testing_below(2) == 0;
        const mrd_time_ms end_ms = rows[i].end_ms;
        const uint64_t odd = testing_below(kind == 0 ? 20000 : 300);
        static const double values[] = {NAN, INFINITY, 1e308, -1e308, 0};
        if (!at_border && odd >= 8) {
            continue;
        }
        rows[i] = mrd_rollup_row_empty(end_ms);
        if (odd == 7) {
            rows[i].stale_ms = end_ms;
            continue;
        }
        for (size_t k = 0; k < (odd == 6 ? 1 : 4); k++) {
            const double value = odd < 5 && k == 2 ? values[odd] : (double)testing_below(5);
            mrd_rollup_add_float(&rows[i].floats, value,
                                 (struct mrd_span){end_ms - 4000 + (mrd_time_ms)k * 1000, 0});
        }
    }
}

static void same_answer(const struct mrd_rollup_question *question,
                        const struct mrd_rollup_row *row, const struct mrd_rollup_columns *got,
                        size_t k)
{
    struct mrd_rollup_answer want;
    struct mrd_error err = {0};
    must(mrd_rollup_evaluate(question, row, NULL, &want, &err), &err);
    if (got->states != NULL && got->states[k] != NULL) {
        assert_null(got->answers);
        same_row(row, got->states[k], HOUR_MS);
    } else if (got->answers == NULL) {
        const struct mrd_rollup_answer answer = mrd_rollup_columns_answer(question, got, k);
        assert_int_equal(answer.outcome, want.outcome);
        assert_true(want.outcome != MRD_ROLLUP_FLOAT ||
                    mrd_double_bits(answer.value) == mrd_double_bits(want.value) ||
                    (isnan(answer.value) && isnan(want.value)));
    } else if (want.outcome == MRD_ROLLUP_NOTHING) {
        assert_true(mrd_is_stale(got->answers[k]));
    } else {
        assert_int_equal(want.outcome, MRD_ROLLUP_FLOAT);
        assert_true(
            mrd_double_bits(got->answers[k]) == mrd_double_bits(want.value) ||
            (isnan(want.value) && isnan(got->answers[k]) && !mrd_is_stale(got->answers[k])));
    }
}

/* The first and last row are there in full, for those that share their windows with others. */
static void same_borders(const struct mrd_rollup_row *first, const struct mrd_rollup_row *last,
                         const struct mrd_rollup_columns *got, unsigned columns)
{
    const struct mrd_rollup_row *want[] = {first, last};
    for (size_t i = 0; i < 2; i++) {
        struct mrd_rollup_row row;
        mrd_rollup_columns_row(got, i == 0 ? 0 : got->count - 1, &row);
        assert_int_equal(row.end_ms, want[i]->end_ms);
        for (unsigned which = 0; which < MRD_ROW_COLUMNS; which++) {
            double reals[2];
            int64_t integers[2];
            mrd_rollup_row_column(want[i], (enum mrd_rollup_column)which, &reals[0], &integers[0]);
            mrd_rollup_row_column(&row, (enum mrd_rollup_column)which, &reals[1], &integers[1]);
            if ((columns >> which & 1) != 0 && want[i]->floats.count > 0) {
                assert_int_equal(mrd_double_bits(reals[0]), mrd_double_bits(reals[1]));
                assert_int_equal(integers[0], integers[1]);
            }
        }
    }
}

/* How many runs of the series came without columns; the rows are those that end from min_ms on. */
static size_t expect_answers(const struct rows *rows, mrd_time_ms min_ms,
                             const struct mrd_block_cursor_options *options,
                             const struct mrd_rollup_columns *got)
{
    size_t alone = 0;
    size_t at = 0;
    while (at < rows->count && rows->items[at].end_ms < min_ms) {
        at++;
    }
    for (; got != NULL; got = got->next) {
        assert_true(got->count <= rows->count - at);
        if (got->borders != NULL) {
            alone++;
            assert_non_null(got->answers);
            same_borders(&rows->items[at], &rows->items[at + got->count - 1], got,
                         options->columns);
        }
        for (size_t k = 0; k < got->count; k++, at++) {
            const mrd_time_ms end_ms = rows->items[at].end_ms;
            const struct mrd_rollup_question question = {.function = options->asked.function,
                                                         .begin_ms = end_ms - HOUR_MS,
                                                         .end_ms = end_ms};
            assert_int_equal(got->ends_ms[k], end_ms);
            assert_true(k == 0 || got->even_ms == 0 ||
                        got->ends_ms[k] - got->ends_ms[k - 1] == got->even_ms);
            same_answer(&question, &rows->items[at], got, k);
        }
    }
    assert_int_equal(at, rows->count);
    return alone;
}

/* Reads the series from some row on; what they are expected to be, added up. */
static size_t expect_of_each(const struct rollup *rollup, struct mrd_block *block,
                             const struct mrd_block_cursor_options *options,
                             size_t (*expect)(const struct rows *rows, mrd_time_ms min_ms,
                                              const struct mrd_block_cursor_options *options,
                                              const struct mrd_rollup_columns *got),
                             size_t *runs)
{
    const size_t skipped = testing_below(2) == 0 ? testing_below(LONG_ROWS) : 0;
    const mrd_time_ms min_ms = rollup->rows[0].items[0].end_ms + (mrd_time_ms)skipped * HOUR_MS;
    const struct mrd_block_select select = {
        .tenant = rollup->set.items[0].tenant, .min_ms = min_ms, .max_ms = INT64_MAX};
    struct mrd_arena *arena = mrd_arena_create("rows", SIZE_MAX);
    struct mrd_block_cursor *cursor;
    struct mrd_error err = {0};
    size_t found = 0;
    must(mrd_block_select(block, &select, options, &cursor, &err), &err);
    for (size_t i = 0; i < rollup->set.count; i++) {
        const struct rows *rows = &rollup->rows[i];
        struct mrd_block_series got;
        bool more = false;
        if (rows->items[rows->count - 1].end_ms < min_ms) {
            continue;
        }
        must(mrd_block_cursor_next_rows(cursor, arena, &got, &more, &err), &err);
        assert_true(more);
        found += expect(rows, min_ms, options, got.rows);
        ++*runs;
        mrd_arena_reset(arena);
    }
    mrd_block_cursor_close(&cursor);
    mrd_arena_destroy(&arena);
    return found;
}

static void answers_that_are_alone_are_those_of_the_rows(void **state)
{
    static const enum mrd_rollup_function functions[] = {
        MRD_ROLLUP_RATE,    MRD_ROLLUP_INCREASE, MRD_ROLLUP_DELTA, MRD_ROLLUP_SUM,
        MRD_ROLLUP_AVG,     MRD_ROLLUP_MIN,      MRD_ROLLUP_MAX,   MRD_ROLLUP_COUNT,
        MRD_ROLLUP_PRESENT, MRD_ROLLUP_LAST,     MRD_ROLLUP_FIRST, MRD_ROLLUP_CHANGES,
        MRD_ROLLUP_RATE};
    (void)state;
    testing_state = 815;
    struct rollup rollup;
    struct mrd_block_entry entry;
    size_t runs = 0;
    size_t alone = 0;
    struct mrd_block *block = open_long(&rollup, make_odd, &entry);
    for (size_t round = 0; round < 2 * MRD_ARRAY_LEN(functions); round++) {
        const enum mrd_rollup_function function = functions[round % MRD_ARRAY_LEN(functions)];
        const struct mrd_block_cursor_options options = {
            .window_bytes = round % 2 == 0 ? 0 : 1,
            .columns = mrd_rollup_columns_of(function, false),
            .asked = {function, HOUR_MS, true}
        };
        alone += expect_of_each(&rollup, block, &options, expect_answers, &runs);
    }
    assert_true(alone > runs / 4); /* and not all: those with gaps */
    mrd_block_close(&block);
    testing_set_fini(&rollup.set);
}

/* ---- answers of joined rows ---- */

/* Where ranges of one length follow each other, up to near the last row. */
static size_t even_edges(mrd_time_ms *edges_ms, mrd_time_ms range_ms)
{
    const size_t count = (size_t)(LONG_ROWS * (mrd_time_ms)HOUR_MS / range_ms);
    edges_ms[0] = (999 + (mrd_time_ms)testing_below(30)) * (mrd_time_ms)HOUR_MS;
    for (size_t i = 1; i < count; i++) {
        edges_ms[i] = edges_ms[i - 1] + range_ms;
    }
    return count;
}

/* A run of answers of joined rows; whether they are those of the rows that they are made of. */
static void expect_joined_answers(const struct mrd_rollup_row *rows,
                                  const struct mrd_block_cursor_options *options,
                                  const struct mrd_rollup_columns *got)
{
    const struct mrd_rollup_edges *edges = &options->edges;
    struct mrd_rollup_row borders[2];
    size_t k = 0;
    for (size_t i = 0; i < got->made_of; k++) {
        struct mrd_rollup_row want = rows[i];
        const size_t edge = mrd_rollup_edges_find(edges, 0, rows[i].end_ms);
        for (i++; i < got->made_of && mrd_rollup_edges_find(edges, 0, rows[i].end_ms) == edge;
             i++) {
            must(mrd_rollup_join(&want, &rows[i], NULL, NULL), NULL);
            want.end_ms = rows[i].end_ms;
        }
        want.end_ms = i < got->made_of ? edges->items[edge] : want.end_ms;
        borders[0] = k == 0 ? want : borders[0];
        borders[1] = want;
        assert_true(k < got->count);
        assert_int_equal(got->ends_ms[k], want.end_ms);
        assert_true(k == 0 || got->even_ms == 0 ||
                    got->ends_ms[k] - got->ends_ms[k - 1] == got->even_ms);
        if (edge > 0 && edge < edges->count && want.end_ms == edges->items[edge]) {
            const struct mrd_rollup_question question = {.function = options->asked.function,
                                                         .begin_ms = edges->items[edge - 1],
                                                         .end_ms = want.end_ms};
            same_answer(&question, &want, got, k);
        }
    }
    assert_int_equal(k, got->count);
    same_borders(&borders[0], &borders[1], got, options->columns & MRD_ROW_ALL);
}

/* How many runs of a series came without columns. */
static size_t expect_joined_series(const struct rows *rows, mrd_time_ms min_ms,
                                   const struct mrd_block_cursor_options *options,
                                   const struct mrd_rollup_columns *got)
{
    size_t alone = 0;
    size_t at = 0;
    while (at < rows->count && rows->items[at].end_ms < min_ms) {
        at++;
    }
    for (; got != NULL; got = got->next) {
        const size_t count = (size_t)mrd_rollup_columns_made_of(got);
        assert_true(count <= rows->count - at);
        if (got->borders != NULL) {
            alone++;
            expect_joined_answers(rows->items + at, options, got);
        } else if (got->folded) {
            expect_joined(rows->items + at, count, options, got);
        }
        at += count;
    }
    assert_int_equal(at, rows->count);
    return alone;
}

static void answers_of_joined_rows_are_those_of_the_rows(void **state)
{
    static const enum mrd_rollup_function functions[] = {
        MRD_ROLLUP_RATE, MRD_ROLLUP_DELTA, MRD_ROLLUP_SUM,  MRD_ROLLUP_AVG,
        MRD_ROLLUP_MIN,  MRD_ROLLUP_COUNT, MRD_ROLLUP_LAST, MRD_ROLLUP_CHANGES};
    (void)state;
    testing_state = 4712;
    struct rollup rollup;
    struct mrd_block_entry entry;
    size_t runs = 0;
    size_t alone = 0;
    struct mrd_block *block = open_long(&rollup, make_odd, &entry);
    mrd_time_ms *edges_ms = testing_take(&rollup.set, LONG_ROWS, sizeof(*edges_ms));
    for (size_t round = 0; round < 4 * MRD_ARRAY_LEN(functions); round++) {
        const enum mrd_rollup_function function = functions[round % MRD_ARRAY_LEN(functions)];
        const mrd_time_ms range_ms =
            (2 + (mrd_time_ms)testing_below(round % 3 == 0 ? 2 : 40)) * (mrd_time_ms)HOUR_MS;
        const struct mrd_block_cursor_options options = {
            .columns = mrd_rollup_columns_of(function, false),
            .edges = {edges_ms, even_edges(edges_ms, range_ms)},
            .asked = {function, range_ms,            true     }
        };
        alone += expect_of_each(&rollup, block, &options, expect_joined_series, &runs);
    }
    assert_true(alone > runs / 2); /* and not all: those of functions that are not answered so */
    mrd_block_close(&block);
    testing_set_fini(&rollup.set);
}

/* ---- extremes for the sake of sums ---- */

/* What a cursor yields of one series of two rows of an hour, the first of which has the value twice. */
static void expect_extremes(double value, enum mrd_rollup_function function, bool want)
{
    struct rollup rollup = {
        .set = testing_set_create(&(struct testing_shape){1, 1, 2, false, false, false}),
        .resolution_ms = HOUR_MS};
    struct mrd_error err = {0};
    struct mrd_block_entry entry;
    struct mrd_block *block;
    struct mrd_block_cursor *cursor;
    const struct mrd_block_series *got;
    rollup.rows = testing_take(&rollup.set, 1, sizeof(*rollup.rows));
    rollup.rows[0].items = testing_take(&rollup.set, 2, sizeof(*rollup.rows[0].items));
    rollup.rows[0].count = 2;
    for (mrd_time_ms i = 0; i < 2; i++) {
        struct mrd_rollup_row *row = &rollup.rows[0].items[i];
        const mrd_time_ms end_ms = (i + 1) * HOUR_MS;
        *row = mrd_rollup_row_empty(end_ms);
        mrd_rollup_add_float(&row->floats, i == 0 ? value : 3, (struct mrd_span){end_ms - 3000, 0});
        mrd_rollup_add_float(&row->floats, i == 0 ? value : 2, (struct mrd_span){end_ms - 2000, 0});
    }
    must(write_rollup(&rollup, false, &entry, &err), &err);
    const struct mrd_block_open_options open = {.whole_bytes_max = 0};
    must(mrd_block_open(testing_store, &entry, &open, &block, &err), &err);
    const struct mrd_block_cursor_options options = {.columns =
                                                         mrd_rollup_columns_of(function, false)};
    const struct mrd_block_select select = {
        .tenant = rollup.set.items[0].tenant, .min_ms = 0, .max_ms = INT64_MAX};
    must(mrd_block_select(block, &select, &options, &cursor, &err), &err);
    must(mrd_block_cursor_next(cursor, &got, &err), &err);
    assert_int_equal(got->rows->count, 2);
    static const enum mrd_rollup_column extremes[] = {MRD_ROW_MIN, MRD_ROW_MAX};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(got->rows->items[extremes[i]] != NULL, want);
        if (want) {
            const double least = mrd_rollup_real(got->rows, extremes[i], 0);
            assert_true(mrd_double_bits(least) == mrd_double_bits(value));
        }
    }
    mrd_block_cursor_close(&cursor);
    mrd_block_close(&block);
    testing_set_fini(&rollup.set);
}

static void extremes_are_read_where_sums_may_overflow(void **state)
{
    (void)state;
    testing_state = 3;
    static const enum mrd_rollup_function sums[] = {MRD_ROLLUP_SUM, MRD_ROLLUP_AVG,
                                                    MRD_ROLLUP_RATE};
    for (size_t i = 0; i < MRD_ARRAY_LEN(sums); i++) { /* the second row has a reset */
        expect_extremes(5, sums[i], false);
        expect_extremes(-1e290, sums[i], false);
        expect_extremes(1e291, sums[i], true);
        expect_extremes(-1e308, sums[i], true);
        expect_extremes(INFINITY, sums[i], true);
        expect_extremes(-INFINITY, sums[i], true);
    }
    expect_extremes(5, MRD_ROLLUP_COUNT, false);
}

/* Whatever byte of the data file is wrong, reading fails or gives what was written: nothing else. */
static void a_changed_byte_is_found(void **state)
{
    (void)state;
    testing_state = 5;
    struct rollup rollup = rollup_create(&shapes[3], HOUR_MS);
    struct mrd_error err = {0};
    struct mrd_block_entry entry;
    struct mrd_buf bytes = {0};
    must(write_rollup(&rollup, false, &entry, &err), &err);
    for (unsigned file = 0; file < 2; file++) {
        const struct mrd_block_file *of = file == 0 ? &entry.data : &entry.sidecar;
        char key[256];
        (void)snprintf(key, sizeof(key), "%.*s", MRD_FMT(of->key));
        mrd_buf_clear(&bytes);
        must(mrd_objstore_get(testing_store, key, (size_t)of->size, NULL, &bytes, &err), &err);
        for (unsigned round = 0; round < 200; round++) {
            const size_t at = testing_below(bytes.size);
            const uint8_t flip = (uint8_t)(1 + testing_below(255));
            bytes.data[at] ^= flip;
            must(mrd_objstore_put(testing_store, key, mrd_buf_view(&bytes), NULL, &err), &err);
            const struct mrd_block_verify_options verify = {0};
            assert_int_equal(mrd_block_verify(testing_store, &entry, &verify, &err), MRD_E_CORRUPT);
            bytes.data[at] ^= flip;
        }
        must(mrd_objstore_put(testing_store, key, mrd_buf_view(&bytes), NULL, &err), &err);
    }
    mrd_buf_fini(&bytes);
    testing_set_fini(&rollup.set);
}

static struct mrd_rollup_row good_row(void)
{
    struct mrd_rollup_row row = mrd_rollup_row_empty(2 * HOUR_MS);
    mrd_rollup_add_float(&row.floats, 1, (struct mrd_span){HOUR_MS + 1, 0});
    mrd_rollup_add_float(&row.floats, 2, (struct mrd_span){2 * HOUR_MS, 0});
    return row;
}

static void rows_that_cannot_be_are_refused(void **state)
{
    (void)state;
    testing_state = 9;
    struct rollup rollup = rollup_create(&shapes[3], HOUR_MS);
    const struct mrd_block_writer_options options = options_of(&rollup);
    struct mrd_error err = {0};
    struct mrd_block_writer *writer;
    must(mrd_block_writer_create(&options, &writer, &err), &err);
    struct mrd_rollup_row rows[10];
    for (size_t i = 0; i < MRD_ARRAY_LEN(rows); i++) {
        rows[i] = good_row();
    }
    rows[1].end_ms++;
    rows[2].floats.first_at.time_ms--;
    rows[3].floats.last_at.time_ms++;
    rows[4].floats.resets[MRD_ROLLUP_BY_VALUE] = 2;
    rows[5].floats.changes = 2;
    rows[6].floats.count = 1 << 30;
    rows[7].stale_ms = HOUR_MS;
    rows[8] = mrd_rollup_row_empty(HOUR_MS);
    rows[9].floats.first_at.start_ms = INT64_MIN;
    const struct mrd_block_series *series = &rollup.set.items[0];
    for (size_t i = 1; i < MRD_ARRAY_LEN(rows); i++) {
        assert_int_equal(mrd_block_writer_add_rows(writer, series, &rows[i], 1, &err),
                         MRD_E_INVALID);
    }
    must(mrd_block_writer_add_rows(writer, series, &rows[0], 1, &err), &err);
    assert_int_equal(mrd_block_writer_add_rows(writer, series, &rows[0], 1, &err), MRD_E_INVALID);
    assert_int_equal(mrd_block_writer_add(writer, series, &err), MRD_E_INVALID);
    struct mrd_block_entry entry;
    must(
        mrd_block_writer_finish(writer, &(struct mrd_block_origin){0}, testing_arena, &entry, &err),
        &err);
    assert_int_equal(entry.counts.samples, 1);
    mrd_block_writer_destroy(&writer);
    testing_set_fini(&rollup.set);
}

static void a_rollup_is_of_one_tenant_and_has_no_stamps(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    struct mrd_block_writer *writer;
    struct rollup rollup = {.resolution_ms = HOUR_MS};
    struct mrd_block_writer_options options = options_of(&rollup);
    options.level = 0;
    assert_int_equal(mrd_block_writer_create(&options, &writer, &err), MRD_E_INVALID);
    options = options_of(&rollup);
    options.keep_hlc = true;
    assert_int_equal(mrd_block_writer_create(&options, &writer, &err), MRD_E_INVALID);
    options = options_of(&rollup);
    options.resolution_ms = -1;
    assert_int_equal(mrd_block_writer_create(&options, &writer, &err), MRD_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_back_bit_for_bit),
        cmocka_unit_test(pieces_make_the_same_bytes),
        cmocka_unit_test(rows_between_edges_come_as_one),
        cmocka_unit_test(answers_that_are_alone_are_those_of_the_rows),
        cmocka_unit_test(answers_of_joined_rows_are_those_of_the_rows),
        cmocka_unit_test(extremes_are_read_where_sums_may_overflow),
        cmocka_unit_test(a_changed_byte_is_found),
        cmocka_unit_test(rows_that_cannot_be_are_refused),
        cmocka_unit_test(a_rollup_is_of_one_tenant_and_has_no_stamps),
    };
    return cmocka_run_group_tests(tests, testing_open, testing_close);
}
