#include "loader/latency.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void quantiles_are_right_to_two_percent_at_any_size(void **state)
{
    (void)state;
    for (uint64_t scale = 1; scale < 1ULL << 45; scale *= 1000) {
        struct load_latency latency = {0};
        for (uint64_t i = 1; i <= 10000; i++) {
            load_latency_add(&latency, i * scale);
        }
        const double shares[] = {0.5, 0.9, 0.99, 0.999, 1};
        for (unsigned i = 0; i < 5; i++) {
            const double want = shares[i] * 10000 * (double)scale;
            const double got = (double)load_latency_quantile_ns(&latency, shares[i]);
            assert_true(got >= want * 0.999 && got <= want * 1.017);
        }
        assert_true(load_latency_quantile_ns(&latency, 1) == 10000 * scale);
    }
}

static void the_extremes_have_their_place(void **state)
{
    (void)state;
    struct load_latency latency = {0};
    assert_int_equal(load_latency_quantile_ns(&latency, 0.99), 0);
    load_latency_add(&latency, 0);
    assert_int_equal(load_latency_quantile_ns(&latency, 0.5), 0);
    load_latency_add(&latency, UINT64_MAX);
    assert_true(load_latency_quantile_ns(&latency, 1) == UINT64_MAX);
    assert_int_equal(load_latency_quantile_ns(&latency, 0.5), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_right_to_two_percent_at_any_size),
        cmocka_unit_test(the_extremes_have_their_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
