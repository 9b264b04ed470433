#include "promql/window.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { STEPS_MAX = 64, SAMPLES_MAX = 256 };

struct fixture {
    mrd_time_ms times_ms[SAMPLES_MAX];
    double values[SAMPLES_MAX];
    uint32_t from[STEPS_MAX];
    uint32_t to[STEPS_MAX];
    uint32_t marks[SAMPLES_MAX];
    double scratch[SAMPLES_MAX];
    double out[STEPS_MAX];
    struct pql_windows windows;
};

static void fixture_init(struct fixture *fixture)
{
    *fixture = (struct fixture){0};
    fixture->windows = (struct pql_windows){
        .times_ms = fixture->times_ms,
        .values = fixture->values,
        .from = fixture->from,
        .to = fixture->to,
        .marks = fixture->marks,
        .scratch = fixture->scratch,
    };
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13; /* xorshift64 */
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Windows found one by one, without any memory of the step before. */
static void check_slide(const struct pql_windows *windows)
{
    for (size_t i = 0; i < windows->steps; i++) {
        const mrd_time_ms end_ms = windows->end0_ms + (mrd_time_ms)i * windows->end_step_ms;
        uint32_t from = 0;
        uint32_t to = 0;
        for (size_t s = 0; s < windows->count; s++) {
            from += windows->times_ms[s] <= end_ms - windows->range_ms;
            to += windows->times_ms[s] <= end_ms;
        }
        assert_int_equal(windows->from[i], from);
        assert_int_equal(windows->to[i], to);
    }
}

static void sliding_finds_the_windows_of_any_series(void **state)
{
    (void)state;
    uint64_t random = 0x9e3779b97f4a7c15ULL;
    struct fixture fixture;
    for (int round = 0; round < 5000; round++) {
        fixture_init(&fixture);
        struct pql_windows *windows = &fixture.windows;
        const bool regular = round % 2 == 0;
        mrd_time_ms time_ms = (mrd_time_ms)(next_random(&random) % 50);
        windows->count = next_random(&random) % SAMPLES_MAX;
        for (size_t i = 0; i < windows->count; i++) {
            fixture.times_ms[i] = time_ms;
            time_ms += regular ? 10 : 1 + (mrd_time_ms)(next_random(&random) % 40);
        }
        windows->steps = 1 + next_random(&random) % (STEPS_MAX - 1);
        windows->range_ms = (mrd_time_ms)(next_random(&random) % 200);
        windows->end0_ms = (mrd_time_ms)(next_random(&random) % 500) - 100;
        windows->end_step_ms = (mrd_time_ms)(next_random(&random) % 60);
        pql_windows_slide(windows);
        check_slide(windows);
    }
}

/* The formula of Prometheus' extrapolatedRate for one window, written down plainly. */
static double plain_rate(const struct pql_windows *windows, size_t step, bool counter, bool rate)
{
    const uint32_t first = windows->from[step];
    const uint32_t last = windows->to[step] - 1;
    const mrd_time_ms end_ms = windows->end0_ms + (mrd_time_ms)step * windows->end_step_ms;
    const double *v = windows->values;
    double result = v[last] - v[first];
    for (uint32_t i = first + 1; counter && i <= last; i++) {
        if (v[i] < v[i - 1]) {
            result += v[i - 1];
        }
    }
    double to_start = (double)(windows->times_ms[first] - (end_ms - windows->range_ms)) / 1000;
    double to_end = (double)(end_ms - windows->times_ms[last]) / 1000;
    const double sampled = (double)(windows->times_ms[last] - windows->times_ms[first]) / 1000;
    const double average = sampled / (double)(last - first);
    if (to_start >= average * 1.1) {
        to_start = average / 2;
    }
    if (counter && result > 0 && v[first] >= 0) {
        const double to_zero = sampled * (v[first] / result);
        to_start = to_zero < to_start ? to_zero : to_start;
    }
    if (to_end >= average * 1.1) {
        to_end = average / 2;
    }
    double factor = (sampled + to_start + to_end) / sampled;
    if (rate) {
        factor /=
            (double)(windows->range_ms / 1000) + (double)(windows->range_ms % 1000 * 1000000) / 1e9;
    }
    return result * factor;
}

static void check_rates(struct fixture *fixture)
{
    static const struct {
        pql_window_function *function;
        bool counter;
        bool rate;
    } cases[] = {
        {pql_rate,     true,  true },
        {pql_increase, true,  false},
        {pql_delta,    false, false},
    };
    const struct pql_windows *windows = &fixture->windows;
    for (size_t c = 0; c < MRD_ARRAY_LEN(cases); c++) {
        cases[c].function(windows, fixture->out);
        for (size_t i = 0; i < windows->steps; i++) {
            if (windows->to[i] - windows->from[i] < 2) {
                assert_true(pql_is_none(fixture->out[i]));
                continue;
            }
            const double want = plain_rate(windows, i, cases[c].counter, cases[c].rate);
            assert_memory_equal(&want, &fixture->out[i], sizeof(want));
        }
    }
}

static void rates_equal_the_plain_formula_bit_for_bit(void **state)
{
    (void)state;
    uint64_t random = 88172645463325252ULL;
    struct fixture fixture;
    for (int round = 0; round < 3000; round++) {
        fixture_init(&fixture);
        struct pql_windows *windows = &fixture.windows;
        double value = (double)(next_random(&random) % 5);
        windows->count = next_random(&random) % 100;
        for (size_t i = 0; i < windows->count; i++) {
            const bool missed = round % 3 == 0 && next_random(&random) % 4 == 0;
            fixture.times_ms[i] =
                (i == 0 ? 777 : fixture.times_ms[i - 1]) + (missed ? 30000 : 15000);
            value = next_random(&random) % 20 == 0
                        ? 0
                        : value + (double)(next_random(&random) % 999) / 7;
            fixture.values[i] = value;
        }
        windows->steps = STEPS_MAX - 1;
        windows->range_ms = 1000 + (mrd_time_ms)(next_random(&random) % 200000);
        windows->end0_ms = (mrd_time_ms)(next_random(&random) % 100000);
        windows->end_step_ms = round % 2 == 0 ? 15000 : 17001;
        pql_windows_slide(windows);
        check_rates(&fixture);
    }
}

static void sums_over_time_compensate_and_overflow_as_one_by_one(void **state)
{
    (void)state;
    static const struct {
        double values[4];
        double sum;
        double mean;
    } cases[] = {
        {{1e100, 1, -1e100, 1},        2,         0.5      },
        {{8e307, 8e307, 8e307, 8e307}, INFINITY,  8e307    },
        {{INFINITY, 1, 2, 3},          INFINITY,  INFINITY },
        {{-INFINITY, 1, 2, 3},         -INFINITY, -INFINITY},
        {{INFINITY, -INFINITY, 2, 3},  NAN,       NAN      },
        {{NAN, 1, 2, 3},               NAN,       NAN      },
        {{0.1, 0.2, 0.3, 0.4},         1,         0.25     },
    };
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.windows.count = 4;
    fixture.windows.steps = 1;
    fixture.to[0] = 4;
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        memcpy(fixture.values, cases[i].values, sizeof(cases[i].values));
        pql_sum_over_time(&fixture.windows, fixture.out);
        assert_true(fixture.out[0] == cases[i].sum ||
                    (isnan(cases[i].sum) && isnan(fixture.out[0])));
        pql_avg_over_time(&fixture.windows, fixture.out);
        assert_true(fixture.out[0] == cases[i].mean ||
                    (isnan(cases[i].mean) && isnan(fixture.out[0])));
    }
}

/* Prometheus' loop: the first of equal values stays, NaN gives way to whatever comes. */
static double extreme_one_by_one(const double *values, size_t count, bool max)
{
    double best = values[0];
    for (size_t i = 1; i < count; i++) {
        if (isnan(best) || (max ? values[i] > best : values[i] < best)) {
            best = values[i];
        }
    }
    return best;
}

static void extremes_over_time_equal_the_plain_loop_bit_for_bit(void **state)
{
    (void)state;
    const double odd[] = {0.0,       -0.0, INFINITY,
                          -INFINITY, NAN,  mrd_double_from_bits(MRD_NORMAL_NAN_BITS)};
    uint64_t random = 42;
    struct fixture fixture;
    for (int round = 0; round < 3000; round++) {
        fixture_init(&fixture);
        const size_t count = 1 + next_random(&random) % 60;
        for (size_t i = 0; i < count; i++) {
            const bool plain = next_random(&random) % 100 < (uint64_t)(round % 5) * 25;
            fixture.values[i] = plain ? (double)(next_random(&random) % 9) - 4
                                      : odd[next_random(&random) % MRD_ARRAY_LEN(odd)];
        }
        fixture.windows.count = count;
        fixture.windows.steps = 1;
        fixture.to[0] = (uint32_t)count;
        pql_max_over_time(&fixture.windows, fixture.out);
        assert_int_equal(mrd_double_bits(fixture.out[0]),
                         mrd_double_bits(extreme_one_by_one(fixture.values, count, true)));
        pql_min_over_time(&fixture.windows, fixture.out);
        assert_int_equal(mrd_double_bits(fixture.out[0]),
                         mrd_double_bits(extreme_one_by_one(fixture.values, count, false)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(extremes_over_time_equal_the_plain_loop_bit_for_bit),
        cmocka_unit_test(sliding_finds_the_windows_of_any_series),
        cmocka_unit_test(rates_equal_the_plain_formula_bit_for_bit),
        cmocka_unit_test(sums_over_time_compensate_and_overflow_as_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
