/* Rows joined many at a time, against the same rows joined one after the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "rollup/fold.h"

enum { ROWS = 400, RESOLUTION_MS = 60000, ROUNDS = 4000 };

static const unsigned EXTREMES = MRD_ROW_EXTREMES_OF_RESETS | MRD_ROW_EXTREMES_OF_SUMS;

static uint64_t state = 88172645463325252ULL;

static uint64_t below(uint64_t limit)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (state >> 11) % limit;
}

static struct mrd_rollup_row rows[ROWS];
static double reals[MRD_ROW_COLUMNS][ROWS];
static int64_t integers[MRD_ROW_COLUMNS][ROWS];
static uint32_t starts[ROWS + 1];
static int64_t places[MRD_ROW_COLUMNS][ROWS];
static int64_t *out[MRD_ROW_COLUMNS];

static double next_value(unsigned style, double before)
{
    static const double odd[] = {0, -0.0, 1e308, -1e308, INFINITY, -INFINITY, NAN, 5e-324, 3};
    switch (style) {
    case 0:
        return before + (double)below(100);
    case 1:
        return below(60) == 0 ? (double)below(7) * 0.1 : before + 0.1;
    case 2:
        return (double)below(100000) * 0.1 - 5000;
    case 3:
        return odd[below(MRD_ARRAY_LEN(odd))];
    default: /* now and then */
        return below(50) == 0 ? odd[below(MRD_ARRAY_LEN(odd))] : (double)below(50);
    }
}

static size_t make_rows(unsigned style, bool gaps)
{
    const size_t count = 1 + below(ROWS);
    const uint64_t in_each =
        below(2) == 0 ? 1 + below(5) : 0; /* samples, as of what is scraped regularly */
    const mrd_time_ms late_ms = (mrd_time_ms)below(3) * 1000;
    double value = 0;
    for (size_t i = 0; i < count; i++) {
        const mrd_time_ms end_ms = (mrd_time_ms)(i + 1) * RESOLUTION_MS;
        const uint64_t some = in_each == 0 ? 1 + below(5) : in_each;
        const uint64_t samples = gaps && below(20) == 0 ? 0 : some;
        rows[i] = mrd_rollup_row_empty(end_ms);
        for (uint64_t k = 0; k < samples; k++) {
            const mrd_time_ms at_ms = end_ms - RESOLUTION_MS + 1 + late_ms + (mrd_time_ms)k * 9000;
            value = next_value(style, value);
            mrd_rollup_add_float(&rows[i].floats, value, (struct mrd_span){at_ms, 0});
        }
    }
    return count;
}

/* Windows of one size, but for the first, and often some others. */
static size_t cut_windows(size_t row_count)
{
    const uint64_t odd_in = below(2) == 0 ? 10 : UINT64_MAX;
    const size_t size = 1 + below(30);
    size_t count = 0;
    starts[0] = 0;
    while (starts[count] < row_count) {
        const size_t rest = row_count - starts[count];
        const size_t rows_in = count == 0 || below(odd_in) == 0 ? 1 + below(30) : size;
        starts[count + 1] = starts[count] + (uint32_t)MRD_MIN(rows_in, rest);
        count++;
    }
    return count;
}

/* The columns as a block has them: those of resets, and compensations, are not there where no row has any. */
static void make_columns(struct mrd_rollup_fold *fold, size_t row_count)
{
    bool any_reset = false;
    bool any_error = false;
    for (size_t i = 0; i < row_count; i++) {
        any_reset |= rows[i].floats.resets[MRD_ROLLUP_BY_VALUE] > 0;
        any_error |= rows[i].floats.sum.compensation != 0;
        for (unsigned which = 0; which < MRD_ROW_COLUMNS; which++) {
            mrd_rollup_row_column(&rows[i], (enum mrd_rollup_column)which, &reals[which][i],
                                  &integers[which][i]);
        }
        integers[MRD_ROW_FIRST_TS][i] *= fold->times_in_us ? 1000 : 1;
        integers[MRD_ROW_LAST_TS][i] *= fold->times_in_us ? 1000 : 1;
    }
    for (unsigned which = 0; which < MRD_ROW_COLUMNS; which++) {
        const bool of_resets = which == MRD_ROW_RESETS || which == MRD_ROW_LOST;
        const bool extreme = which == MRD_ROW_MIN || which == MRD_ROW_MAX;
        const bool asked =
            (fold->wanted >> which & 1) != 0 || ((fold->wanted & EXTREMES) != 0 && extreme);
        fold->in[which] =
            !asked || (!any_reset && of_resets) || (!any_error && which == MRD_ROW_COMPENSATION)
                ? NULL
            : mrd_rollup_column_is_real((enum mrd_rollup_column)which)
                ? (const void *)reals[which]
                : (const void *)integers[which];
    }
}

static bool is_same(unsigned which, int64_t got, int64_t want)
{
    double values[2];
    memcpy(&values[0], &got, sizeof(got));
    memcpy(&values[1], &want, sizeof(want));
    return got == want || (mrd_rollup_column_is_real((enum mrd_rollup_column)which) &&
                           ((isnan(values[0]) && isnan(values[1])) ||
                            (which == MRD_ROW_COMPENSATION && values[0] == values[1])));
}

static void check_row(const struct mrd_rollup_fold *fold, size_t at,
                      enum mrd_rollup_function function)
{
    struct mrd_rollup_row want = rows[fold->starts[at]];
    const bool extremes = (fold->wanted & MRD_ROW_EXTREMES_OF_RESETS) != 0;
    for (size_t i = fold->starts[at] + 1; i < fold->starts[at + 1]; i++) {
        assert_int_equal(mrd_rollup_join(&want, &rows[i], NULL, NULL), MRD_OK);
    }
    for (unsigned which = 0; which < MRD_ROW_COLUMNS; which++) {
        double real;
        int64_t integer;
        const bool of_resets_only = extremes && want.floats.resets[MRD_ROLLUP_BY_VALUE] == 0 &&
                                    (which == MRD_ROW_MIN || which == MRD_ROW_MAX);
        if ((mrd_rollup_fold_columns(fold->wanted) >> which & 1) == 0 || of_resets_only ||
            (want.floats.count == 0 && which != MRD_ROW_COUNT)) {
            continue;
        }
        mrd_rollup_row_column(&want, (enum mrd_rollup_column)which, &real, &integer);
        if (mrd_rollup_column_is_real((enum mrd_rollup_column)which)) {
            integer = (int64_t)mrd_double_bits(real);
        }
        if (!is_same(which, out[which][at], integer)) {
            fail_msg("function %d, window %zu of %u rows, column %u: %llx instead of %llx",
                     (int)function, at, fold->starts[at + 1] - fold->starts[at], which,
                     (unsigned long long)out[which][at], (unsigned long long)integer);
        }
    }
}

/* Columns that are said to be even are such: how many were. */
static size_t even_columns;

static void check_even(const struct mrd_rollup_fold *fold, unsigned even)
{
    for (unsigned which = 0; which < MRD_ROW_COLUMNS; which++) {
        const bool is_even = (even >> which & 1) != 0;
        assert_true(!is_even || mrd_rollup_column_is_time((enum mrd_rollup_column)which));
        even_columns += is_even;
        for (size_t i = 2; is_even && i < fold->count; i++) {
            assert_int_equal(out[which][i] - out[which][i - 1], out[which][1] - out[which][0]);
        }
    }
}

static void many_are_joined_as_one_by_one(void **unused)
{
    static const enum mrd_rollup_function functions[] = {
        MRD_ROLLUP_RATE,  MRD_ROLLUP_DELTA, MRD_ROLLUP_SUM,    MRD_ROLLUP_MIN,    MRD_ROLLUP_MAX,
        MRD_ROLLUP_COUNT, MRD_ROLLUP_FIRST, MRD_ROLLUP_RESETS, MRD_ROLLUP_CHANGES};
    (void)unused;
    for (unsigned which = 0; which < MRD_ROW_COLUMNS; which++) {
        out[which] = places[which];
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        const enum mrd_rollup_function function = functions[round % MRD_ARRAY_LEN(functions)];
        const size_t row_count = make_rows((unsigned)below(5), below(3) == 0);
        struct mrd_rollup_fold fold = {.times_in_us = below(2) == 0,
                                       .wanted = mrd_rollup_columns_of(function, false),
                                       .starts = starts,
                                       .count = cut_windows(row_count)};
        make_columns(&fold, row_count);
        memset(places, 0xab, sizeof(places));
        if (below(2) == 0) {
            mrd_rollup_fold_look(&fold);
        }
        check_even(&fold, mrd_rollup_fold(&fold, out));
        for (size_t i = 0; i < fold.count; i++) {
            check_row(&fold, i, function);
        }
    }
    assert_true(even_columns > 10);
}

static void edges_are_found(void **unused)
{
    mrd_time_ms items[100];
    (void)unused;
    for (size_t i = 0; i < MRD_ARRAY_LEN(items); i++) {
        items[i] = (mrd_time_ms)i * 10;
    }
    for (size_t count = 0; count <= MRD_ARRAY_LEN(items); count++) {
        const struct mrd_rollup_edges edges = {items, count};
        for (mrd_time_ms time_ms = -1; time_ms < 1010; time_ms++) {
            const size_t want = MRD_MIN(count, (size_t)((time_ms + 9) / 10));
            const size_t from = below(want + 1);
            assert_int_equal(mrd_rollup_edges_find(&edges, from, time_ms), want);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_are_joined_as_one_by_one),
        cmocka_unit_test(edges_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
