#include "loader/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/macros.h"
#include "loader/fleet.h"

static const struct load_plan plans[] = {
    {1,   100,  0, 5, 2000, 4}, /* fewer series than a request */
    {1,   100,  3, 5, 7,    1},
    {1,   64,   0, 3, 10,   4}, /* connections without series */
    {1,   5000, 1, 4, 2000, 3},
    {100, 10,   0, 3, 2000, 4}, /* tenants smaller than a request */
    {7,   45,   2, 3, 20,   2}, /* and larger */
    {3,   33,   0, 2, 33,   8},
};

/* Series of tenant t stand at t * tenant_series in `scrapes`: the next scrape of each. */
static void check_plan(const struct load_plan *plan)
{
    const uint64_t series_count = plan->tenant_count * plan->tenant_series;
    const uint64_t devices_each =
        (plan->tenant_series + LOAD_DEVICE_SERIES - 1) / LOAD_DEVICE_SERIES;
    uint64_t *scrapes = calloc(series_count, sizeof(*scrapes));
    uint32_t *owners = calloc(load_plan_devices(plan), sizeof(*owners));
    assert_non_null(scrapes);
    assert_non_null(owners);
    uint64_t samples = 0;
    for (uint32_t connection = 0; connection < plan->connection_count; connection++) {
        for (uint64_t n = 0; n < load_plan_requests(plan, connection); n++) {
            const struct load_request request = load_plan_request(plan, connection, n);
            assert_in_range(request.sample_count, 1, plan->request_samples);
            for (uint32_t i = 0; i < request.sample_count; i++) {
                const struct load_sample_place at = load_request_sample(plan, &request, i);
                assert_true(at.device / devices_each == request.tenant);
                const uint64_t series = request.tenant * plan->tenant_series +
                                        at.device % devices_each * LOAD_DEVICE_SERIES + at.slot;
                assert_true(series < series_count);
                /* In time order, none left out, none twice. */
                assert_int_equal(at.scrape, plan->scrape_first + scrapes[series]);
                scrapes[series]++;
                assert_true(owners[at.device] == 0 || owners[at.device] == connection + 1);
                owners[at.device] = connection + 1;
                samples++;
            }
        }
    }
    for (uint64_t i = 0; i < series_count; i++) {
        assert_int_equal(scrapes[i], plan->scrape_count);
    }
    assert_int_equal(samples, load_plan_samples(plan));
    free(scrapes);
    free(owners);
}

static void every_sample_is_sent_once_in_order_by_the_connection_that_owns_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(plans); i++) {
        check_plan(&plans[i]);
    }
}

static void all_requests_of_a_connection_but_the_last_are_full(void **state)
{
    (void)state;
    const struct load_plan plan = {1, 100000, 0, 20, 2000, 4};
    for (uint32_t connection = 0; connection < 4; connection++) {
        const uint64_t count = load_plan_requests(&plan, connection);
        for (uint64_t n = 0; n + 1 < count; n++) {
            assert_int_equal(load_plan_request(&plan, connection, n).sample_count, 2000);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sample_is_sent_once_in_order_by_the_connection_that_owns_it),
        cmocka_unit_test(all_requests_of_a_connection_but_the_last_are_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
