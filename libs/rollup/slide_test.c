/* Ranges of several windows by what functions look at, against whole rows that are joined and evaluated, bit for bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "model/sample.h"
#include "rollup/slide.h"

enum { ROWS = 120, RESOLUTION_MS = 60000, ROUNDS = 4000, RANGES_MAX = 150 };

static uint64_t state = 88172645463325252ULL;

static uint64_t below(uint64_t limit)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (state >> 11) % limit;
}

/* ---- rows ---- */

static struct mrd_rollup_row rows[ROWS];
static size_t row_count;
static mrd_time_ms ends_ms[ROWS];
static double reals[MRD_ROW_COLUMNS][ROWS];
static int64_t integers[MRD_ROW_COLUMNS][ROWS];
static struct mrd_rollup_columns columns;

static double next_value(unsigned style, double before)
{
    static const double odd[] = {0, -0.0, 1e308, -1e308, INFINITY, NAN, 5e-324, 3};
    switch (style) {
    case 0:
        return before + (double)below(100);
    case 1:
        return below(9) == 0 ? (double)below(7) * 0.1 : before + 0.1;
    case 2:
        return (double)below(100000) * 0.1 - 5000;
    default:
        return odd[below(MRD_ARRAY_LEN(odd))];
    }
}

static void make_rows(unsigned style)
{
    double value = 0;
    mrd_time_ms end_ms = (mrd_time_ms)below(50) * RESOLUTION_MS;
    row_count = 1 + below(ROWS);
    for (size_t i = 0; i < row_count; i++) {
        end_ms += RESOLUTION_MS * (mrd_time_ms)(below(6) == 0 ? 1 + below(8) : 1);
        rows[i] = mrd_rollup_row_empty(end_ms);
        const uint64_t samples = below(5);
        for (uint64_t k = 0; k < samples; k++) {
            value = next_value(style, value);
            const mrd_time_ms at_ms = end_ms - RESOLUTION_MS + 1 + (mrd_time_ms)k * 9000;
            mrd_rollup_add_float(&rows[i].floats, value, (struct mrd_span){at_ms, 0});
        }
        if (samples == 0) {
            rows[i].stale_ms = end_ms;
        }
    }
}

/* The columns that the function asks for, as a block has them: those of resets are not there where there are none. */
static void make_columns(enum mrd_rollup_function function)
{
    const unsigned wanted = mrd_rollup_columns_of(function, false);
    columns = (struct mrd_rollup_columns){.count = row_count, .ends_ms = ends_ms};
    bool any_reset = false;
    for (size_t i = 0; i < row_count; i++) {
        ends_ms[i] = rows[i].end_ms;
        any_reset |= rows[i].floats.resets[MRD_ROLLUP_BY_VALUE] > 0;
        for (unsigned which = 0; which < MRD_ROW_COLUMNS; which++) {
            mrd_rollup_row_column(&rows[i], (enum mrd_rollup_column)which, &reals[which][i],
                                  &integers[which][i]);
        }
    }
    for (unsigned which = 0; which < MRD_ROW_COLUMNS; which++) {
        const bool of_resets = which == MRD_ROW_RESETS || which == MRD_ROW_LOST;
        const bool extreme = which == MRD_ROW_MIN || which == MRD_ROW_MAX;
        const bool asked = (wanted >> which & 1) != 0 ||
                           ((wanted & MRD_ROW_EXTREMES_OF_RESETS) != 0 && extreme && any_reset) ||
                           ((wanted & MRD_ROW_EXTREMES_OF_SUMS) != 0 && extreme);
        if (asked && (!of_resets || any_reset)) {
            columns.items[which] = mrd_rollup_column_is_real((enum mrd_rollup_column)which)
                                       ? (const void *)reals[which]
                                       : (const void *)integers[which];
        }
    }
}

/* ---- whole rows ---- */

static struct mrd_rollup_row whole[ROWS];
static struct mrd_rollup_row suffixes[ROWS];

static void must_join(struct mrd_rollup_row *row, const struct mrd_rollup_row *later)
{
    assert_int_equal(mrd_rollup_join(row, later, NULL, NULL), MRD_OK);
}

/* Answers of all ranges; false where only samples know one. */
static bool expect(struct mrd_rollup_question question, const struct mrd_rollup_ranges *ranges,
                   double *out)
{
    size_t from = 0;
    size_t to = 0;
    size_t suffix_to = 0;
    size_t rest_to = 0;
    struct mrd_rollup_row rest = mrd_rollup_row_empty(0);
    for (size_t i = 0; i < ranges->count; i++) {
        question.end_ms = ranges->end_ms + (mrd_time_ms)i * ranges->step_ms;
        question.begin_ms = question.end_ms - ranges->range_ms;
        while (to < row_count && whole[to].end_ms <= question.end_ms) {
            to++;
        }
        while (from < to && whole[from].end_ms <= question.begin_ms) {
            from++;
        }
        if (from == to) {
            continue;
        }
        struct mrd_rollup_row row = whole[from];
        if (to - from > 1) {
            if (from >= suffix_to) {
                for (size_t k = to; k > from; k--) {
                    suffixes[k - 1] = whole[k - 1];
                    if (k < to) {
                        must_join(&suffixes[k - 1], &suffixes[k]);
                    }
                }
                suffix_to = rest_to = to;
                rest = mrd_rollup_row_empty(0);
            }
            for (; rest_to < to; rest_to++) {
                must_join(&rest, &whole[rest_to]);
            }
            row = suffixes[from];
            must_join(&row, &rest);
        }
        struct mrd_rollup_answer answer;
        assert_int_equal(mrd_rollup_evaluate(&question, &row, NULL, &answer, NULL), MRD_OK);
        if (answer.outcome == MRD_ROLLUP_RAW) {
            return false;
        }
        out[i] = answer.outcome == MRD_ROLLUP_FLOAT ? answer.value : out[i];
    }
    return true;
}

/* ---- tests ---- */

static const enum mrd_rollup_function functions[] = {
    MRD_ROLLUP_RATE, MRD_ROLLUP_INCREASE, MRD_ROLLUP_DELTA, MRD_ROLLUP_SUM,    MRD_ROLLUP_AVG,
    MRD_ROLLUP_MIN,  MRD_ROLLUP_MAX,      MRD_ROLLUP_COUNT, MRD_ROLLUP_PRESENT};

/* Adds the rows: some as columns, some one by one, as they come from samples. */
static void add_rows(struct mrd_rollup_slide *slide)
{
    const mrd_time_ms border_ms = (mrd_time_ms)below(200) * RESOLUTION_MS;
    assert_true(mrd_rollup_slide_add_columns(slide, &columns, INT64_MIN, border_ms));
    for (size_t i = 0; i < row_count; i++) {
        mrd_rollup_columns_row(&columns, i, &whole[i]);
        if (rows[i].end_ms > border_ms) {
            assert_true(mrd_rollup_slide_add_row(slide, &rows[i]));
            whole[i] = rows[i];
        }
    }
}

static void ranges_are_answered_as_by_whole_rows(void **unused)
{
    struct mrd_rollup_slide slide = {0};
    size_t answers = 0;
    size_t refusals = 0;
    (void)unused;
    for (unsigned round = 0; round < ROUNDS; round++) {
        const struct mrd_rollup_question question = {
            .function = functions[round % MRD_ARRAY_LEN(functions)]};
        const struct mrd_rollup_ranges ranges = {.end_ms = (mrd_time_ms)below(100) * RESOLUTION_MS,
                                                 .step_ms = RESOLUTION_MS * (mrd_time_ms)below(5),
                                                 .range_ms =
                                                     RESOLUTION_MS * (mrd_time_ms)(1 + below(40)),
                                                 .count = 1 + below(RANGES_MAX)};
        double want[RANGES_MAX];
        double got[RANGES_MAX];
        make_rows((unsigned)below(4));
        make_columns(question.function);
        for (size_t i = 0; i < RANGES_MAX; i++) {
            want[i] = got[i] = mrd_stale_nan();
        }
        assert_true(mrd_rollup_slide_begin(&slide, &question));
        add_rows(&slide);
        const bool known = expect(question, &ranges, want);
        const char *why = mrd_rollup_slide_answer(&slide, &ranges, got);
        assert_int_equal(known, why == NULL);
        refusals += !known;
        for (size_t i = 0; known && i < ranges.count; i++) {
            const bool same =
                mrd_double_bits(want[i]) == mrd_double_bits(got[i]) ||
                (isnan(want[i]) && isnan(got[i]) && mrd_is_stale(want[i]) == mrd_is_stale(got[i]));
            if (!same) {
                fail_msg("round %u, range %zu: %a instead of %a", round, i, got[i], want[i]);
            }
            answers += !mrd_is_stale(got[i]);
        }
    }
    assert_true(answers > 50000);
    assert_true(refusals > 50);
    mrd_rollup_slide_fini(&slide);
}

static void what_needs_more_is_refused(void **unused)
{
    struct mrd_rollup_slide slide = {0};
    struct mrd_rollup_question question = {.function = MRD_ROLLUP_CHANGES};
    (void)unused;
    assert_false(mrd_rollup_slide_begin(&slide, &question));
    question.function = MRD_ROLLUP_INCREASE;
    question.use_start_timestamps = true;
    assert_true(mrd_rollup_slide_begin(&slide, &question));
    make_rows(0);
    make_columns(MRD_ROLLUP_INCREASE);
    columns.items[MRD_ROW_FIRST_ST] = integers[MRD_ROW_FIRST_TS];
    assert_false(mrd_rollup_slide_add_columns(&slide, &columns, INT64_MIN, INT64_MAX));
    columns.items[MRD_ROW_FIRST_ST] = NULL;
    const struct mrd_rollup_row *states[ROWS] = {NULL};
    columns.states = states;
    assert_false(mrd_rollup_slide_add_columns(&slide, &columns, INT64_MIN, INT64_MAX));
    struct mrd_rollup_row row = mrd_rollup_row_empty(RESOLUTION_MS);
    mrd_rollup_add_float(&row.floats, 1, (struct mrd_span){1000, 500});
    assert_false(mrd_rollup_slide_add_row(&slide, &row));
    row.floats.first_at.start_ms = row.floats.last_at.start_ms = 0;
    assert_true(mrd_rollup_slide_add_row(&slide, &row));
    row.histograms.count = 1;
    assert_false(mrd_rollup_slide_add_row(&slide, &row));
    mrd_rollup_slide_fini(&slide);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_are_answered_as_by_whole_rows),
        cmocka_unit_test(what_needs_more_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
