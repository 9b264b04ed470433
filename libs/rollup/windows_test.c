/* Many windows at once against one after the other, bit for bit. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "rollup/windows.h"

enum { ROWS = 1000, RESOLUTION_MS = 300000 };

static uint64_t state = 88172645463325252ULL;

static uint64_t below(uint64_t limit)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (state >> 11) % limit;
}

static double any_value(void)
{
    static const double odd[] = {0, -0.0, 1e308, -1e308, INFINITY, NAN, 5e-324, 3};
    return below(6) == 0 ? odd[below(MRD_ARRAY_LEN(odd))] : (double)below(100000) / 8 - 1000;
}

static mrd_time_ms ends_ms[ROWS];
static int64_t counts[ROWS];
static double firsts[ROWS];
static double lasts[ROWS];
static mrd_time_ms first_ms[ROWS];
static mrd_time_ms last_ms[ROWS];
static int64_t resets[ROWS];
static double lost[ROWS];
static double least[ROWS];
static double greatest[ROWS];

static void add_resets(struct mrd_rollup_columns *columns)
{
    for (size_t i = 0; i < ROWS; i++) {
        resets[i] = counts[i] > 1 && below(3) == 0 ? 1 + (int64_t)below(2) : 0;
        lost[i] = resets[i] > 0 ? (double)below(1000) / 8 : 0;
        least[i] = -1e306 * (double)below(3);
        greatest[i] = 1e306 * (double)below(3);
        if (resets[i] == 1) { /* it counts whatever it is */
            lost[i] = any_value();
        }
    }
    columns->items[MRD_ROW_RESETS] = resets;
    columns->items[MRD_ROW_LOST] = lost;
    columns->items[MRD_ROW_MIN] = least;
    columns->items[MRD_ROW_MAX] = greatest;
}

/* Windows of any shape, or some of one shape after the other, as of what is scraped regularly. */
static void make_shapes(void)
{
    const bool alike = below(2) == 0;
    for (size_t i = 0; i < ROWS; i++) {
        ends_ms[i] = (mrd_time_ms)(i + 1) * RESOLUTION_MS;
        counts[i] = (int64_t)(below(8) == 0 ? below(3) : 2 + below(100));
        first_ms[i] = ends_ms[i] - (mrd_time_ms)below(RESOLUTION_MS);
        last_ms[i] = first_ms[i] + (mrd_time_ms)below((uint64_t)(ends_ms[i] - first_ms[i]) + 1);
        if (alike && i > 0 && below(400) != 0) {
            counts[i] = counts[i - 1];
            first_ms[i] = first_ms[i - 1] + RESOLUTION_MS;
            last_ms[i] = last_ms[i - 1] + RESOLUTION_MS;
        }
    }
}

static struct mrd_rollup_columns make_rows(void)
{
    const bool far_from_zero = below(2) == 0;
    make_shapes();
    for (size_t i = 0; i < ROWS; i++) {
        firsts[i] = any_value();
        lasts[i] = below(3) == 0 ? firsts[i] + (double)below(50) : any_value();
        if (far_from_zero && below(500) != 0) {
            firsts[i] = 1e6 + (double)below(1000);
            lasts[i] = firsts[i] + (double)below(50);
        }
    }
    struct mrd_rollup_columns columns = {.count = ROWS, .ends_ms = ends_ms};
    columns.items[MRD_ROW_COUNT] = counts;
    columns.items[MRD_ROW_FIRST] = firsts;
    columns.items[MRD_ROW_LAST] = lasts;
    columns.items[MRD_ROW_FIRST_TS] = first_ms;
    columns.items[MRD_ROW_LAST_TS] = last_ms;
    return columns;
}

/* Without values that let sums overflow. */
static void make_safe(struct mrd_rollup_columns *columns)
{
    for (size_t i = 0; i < columns->count; i++) {
        firsts[i] = fabs(firsts[i]) > 1e300 ? 7 : firsts[i];
        lasts[i] = fabs(lasts[i]) > 1e300 ? 9 : lasts[i];
    }
}

static void many_windows_are_each_by_itself(void **unused)
{
    static const enum mrd_rollup_function functions[] = {MRD_ROLLUP_RATE, MRD_ROLLUP_INCREASE,
                                                         MRD_ROLLUP_DELTA};
    (void)unused;
    size_t answers = 0;
    for (size_t round = 0; round < 400; round++) {
        struct mrd_rollup_columns columns = make_rows();
        const enum mrd_rollup_function function = functions[round % 3];
        if (below(2) == 0) {
            make_safe(&columns);
            add_resets(&columns);
        }
        assert_true(mrd_rollup_windows_can(&(struct mrd_rollup_question){.function = function},
                                           &columns, RESOLUTION_MS));
        const size_t from = below(ROWS / 2);
        const size_t count = below(below(2) == 0 ? 50 : ROWS - from) + 1;
        double out[ROWS];
        mrd_rollup_windows_change(function, &columns, RESOLUTION_MS, from, count, out);
        for (size_t i = 0; i < count; i++) {
            const struct mrd_rollup_question question = {.function = function,
                                                         .begin_ms =
                                                             ends_ms[from + i] - RESOLUTION_MS,
                                                         .end_ms = ends_ms[from + i]};
            const struct mrd_rollup_answer want =
                mrd_rollup_columns_answer(&question, &columns, from + i);
            if (want.outcome == MRD_ROLLUP_NOTHING) {
                assert_true(mrd_is_stale(out[i]));
                continue;
            }
            assert_int_equal(want.outcome, MRD_ROLLUP_FLOAT);
            assert_true(mrd_double_bits(want.value) == mrd_double_bits(out[i]) ||
                        (isnan(want.value) && isnan(out[i]) && !mrd_is_stale(out[i])));
            answers++;
        }
    }
    assert_true(answers > 10000);
}

static double sums[ROWS];
static double errors[ROWS];

static void add_sums(struct mrd_rollup_columns *columns)
{
    for (size_t i = 0; i < ROWS; i++) {
        sums[i] = any_value();
        errors[i] = below(3) == 0 ? 1e-13 * (double)below(100) : 0;
        least[i] = -1e5;
        greatest[i] = (double)below(1000);
    }
    columns->items[MRD_ROW_SUM] = sums;
    columns->items[MRD_ROW_COMPENSATION] = below(2) == 0 ? errors : NULL;
    columns->items[MRD_ROW_MIN] = least;
    columns->items[MRD_ROW_MAX] = greatest;
}

static void answers_of_all_functions_are_those_of_each_row(void **unused)
{
    static const enum mrd_rollup_function functions[] = {
        MRD_ROLLUP_RATE, MRD_ROLLUP_DELTA, MRD_ROLLUP_SUM,     MRD_ROLLUP_AVG,   MRD_ROLLUP_MIN,
        MRD_ROLLUP_MAX,  MRD_ROLLUP_COUNT, MRD_ROLLUP_PRESENT, MRD_ROLLUP_FIRST, MRD_ROLLUP_LAST};
    (void)unused;
    for (size_t round = 0; round < 100; round++) {
        struct mrd_rollup_columns columns = make_rows();
        const struct mrd_rollup_asked asked = {functions[round % MRD_ARRAY_LEN(functions)],
                                               RESOLUTION_MS, false};
        double out[ROWS];
        add_sums(&columns);
        if (asked.function == MRD_ROLLUP_SUM || asked.function == MRD_ROLLUP_AVG) {
            columns.items[MRD_ROW_FIRST] = columns.items[MRD_ROW_LAST] = NULL;
        }
        assert_true(mrd_rollup_windows_answer(&asked, &columns, out));
        for (size_t i = 0; i < ROWS; i++) {
            const struct mrd_rollup_question question = {.function = asked.function,
                                                         .begin_ms = ends_ms[i] - RESOLUTION_MS,
                                                         .end_ms = ends_ms[i]};
            const struct mrd_rollup_answer want = mrd_rollup_columns_answer(&question, &columns, i);
            if (want.outcome == MRD_ROLLUP_NOTHING) {
                assert_true(mrd_is_stale(out[i]));
                continue;
            }
            double value = want.value;
            if (asked.function == MRD_ROLLUP_MIN || asked.function == MRD_ROLLUP_MAX) {
                value = asked.function == MRD_ROLLUP_MIN ? least[i] : greatest[i];
            }
            assert_int_equal(want.outcome, MRD_ROLLUP_FLOAT);
            assert_true(mrd_double_bits(value) == mrd_double_bits(out[i]) ||
                        (isnan(value) && isnan(out[i]) && !mrd_is_stale(out[i])));
        }
    }
}

static void rows_that_need_a_look_have_no_answers(void **unused)
{
    (void)unused;
    struct mrd_rollup_columns columns = make_rows();
    double out[ROWS];
    const struct mrd_rollup_row *states[ROWS] = {NULL};
    const struct mrd_rollup_asked sum = {MRD_ROLLUP_SUM, RESOLUTION_MS, false};
    add_sums(&columns);
    assert_true(mrd_rollup_windows_answer(&sum, &columns, out));
    counts[5] = 2;
    greatest[5] = 1e308;
    assert_false(mrd_rollup_windows_answer(&sum, &columns, out));
    greatest[5] = 1;
    counts[7] = (int64_t)1 << 31;
    assert_false(mrd_rollup_windows_answer(&sum, &columns, out));
    counts[7] = 1;
    columns.states = states;
    assert_false(mrd_rollup_windows_answer(&sum, &columns, out));
    columns.states = NULL;
    columns.items[MRD_ROW_COUNT] = NULL;
    assert_false(mrd_rollup_windows_answer(&sum, &columns, out));
    columns.items[MRD_ROW_COUNT] = counts;
    static const enum mrd_rollup_function others[] = {MRD_ROLLUP_INSTANT, MRD_ROLLUP_TIMESTAMP,
                                                      MRD_ROLLUP_CHANGES, MRD_ROLLUP_RESETS};
    for (size_t i = 0; i < MRD_ARRAY_LEN(others); i++) {
        const struct mrd_rollup_asked asked = {others[i], RESOLUTION_MS, false};
        assert_false(mrd_rollup_windows_answer(&asked, &columns, out));
    }
}

static void answers_come_with_the_rows(void **unused)
{
    (void)unused;
    struct mrd_rollup_columns columns = make_rows();
    const struct mrd_rollup_columns *view = &columns;
    struct mrd_arena *arena = mrd_arena_create("answers", (size_t)1 << 20);
    assert_int_equal(mrd_rollup_windows_add(&(struct mrd_rollup_asked){MRD_ROLLUP_COUNT, 0, false},
                                            arena, &view, NULL),
                     MRD_OK);
    assert_ptr_equal(view, &columns);
    const struct mrd_rollup_asked asked = {MRD_ROLLUP_COUNT, RESOLUTION_MS, false};
    assert_int_equal(mrd_rollup_windows_add(&asked, arena, &view, NULL), MRD_OK);
    assert_int_equal(view->even_ms, RESOLUTION_MS);
    assert_true(view->answers[3] == (double)counts[3] || counts[3] == 0);
    ends_ms[ROWS - 1]++;
    view = &columns;
    assert_int_equal(mrd_rollup_windows_add(&asked, arena, &view, NULL), MRD_OK);
    assert_int_equal(view->even_ms, 0);
    columns.count = 1;
    view = &columns;
    assert_int_equal(mrd_rollup_windows_add(&asked, arena, &view, NULL), MRD_OK);
    assert_int_equal(view->even_ms, 0);
    view = &columns;
    mrd_arena_destroy(&arena);
    arena = mrd_arena_create("none", 1);
    assert_int_equal(mrd_rollup_windows_add(&asked, arena, &view, NULL), MRD_E_LIMIT);
    mrd_arena_destroy(&arena);
}

static void what_needs_more_than_edges_is_not_done_at_once(void **unused)
{
    (void)unused;
    struct mrd_rollup_columns columns = make_rows();
    struct mrd_rollup_question question = {.function = MRD_ROLLUP_RATE};
    assert_true(mrd_rollup_windows_can(&question, &columns, RESOLUTION_MS));
    assert_false(mrd_rollup_windows_can(&question, &columns, (mrd_time_ms)1 << 31));
    question.function = MRD_ROLLUP_SUM;
    assert_false(mrd_rollup_windows_can(&question, &columns, RESOLUTION_MS));
    question.function = MRD_ROLLUP_INCREASE;
    make_safe(&columns);
    add_resets(&columns);
    assert_true(mrd_rollup_windows_can(&question, &columns, RESOLUTION_MS));
    resets[ROWS - 1] = 2;
    greatest[ROWS - 1] = 1e308;
    assert_false(mrd_rollup_windows_can(&question, &columns, RESOLUTION_MS));
    question.function = MRD_ROLLUP_DELTA; /* of no counter: what was lost is not asked for */
    assert_true(mrd_rollup_windows_can(&question, &columns, RESOLUTION_MS));
    question.function = MRD_ROLLUP_INCREASE;
    columns.items[MRD_ROW_RESETS] = columns.items[MRD_ROW_LOST] = NULL;
    columns.items[MRD_ROW_FIRST_ST] = first_ms;
    assert_false(mrd_rollup_windows_can(&question, &columns, RESOLUTION_MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_windows_are_each_by_itself),
        cmocka_unit_test(answers_of_all_functions_are_those_of_each_row),
        cmocka_unit_test(rows_that_need_a_look_have_no_answers),
        cmocka_unit_test(answers_come_with_the_rows),
        cmocka_unit_test(what_needs_more_than_edges_is_not_done_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
