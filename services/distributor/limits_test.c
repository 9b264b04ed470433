#include "distributor/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "model/histogram_check.h"
#include "tenancy/keys.h"
#include "wire/batch.h"
#include "wire/remote_write.h"

static int64_t fake_ns(void *context) { return *(int64_t *)context; }

struct world {
    int64_t now_ns;
    struct mrd_clock clock;
    struct dst_rates *rates;
    struct dst_limits limits;
};

static void world_init(struct world *world, double rate, double burst)
{
    *world = (struct world){
        .limits = {.ingestion_rate = rate, .ingestion_burst = burst}
    };
    world->clock = (struct mrd_clock){NULL, fake_ns, &world->now_ns};
    world->rates = dst_rates_create(&world->clock);
}

static enum mrd_status take(struct world *world, const char *tenant, uint64_t samples,
                            mrd_time_ms *out_retry_ms)
{
    struct mrd_error err;
    return dst_rates_take(world->rates, &world->limits, mrd_bytes_of(tenant), samples, out_retry_ms,
                          &err);
}

static void a_tenant_gets_its_burst_and_then_its_rate(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 100, 1000);
    mrd_time_ms retry_ms = 0;
    assert_int_equal(take(&world, "a", 600, &retry_ms), MRD_OK);
    assert_int_equal(take(&world, "a", 400, &retry_ms), MRD_OK);
    assert_int_equal(take(&world, "a", 50, &retry_ms), MRD_E_LIMIT);
    assert_int_equal(retry_ms, 500);
    assert_int_equal(take(&world, "b", 1000, &retry_ms), MRD_OK); /* another tenant's own bucket */
    world.now_ns += 499000000;
    assert_int_equal(take(&world, "a", 50, &retry_ms), MRD_E_LIMIT);
    world.now_ns += 1000000;
    assert_int_equal(take(&world, "a", 50, &retry_ms), MRD_OK);
    world.now_ns += INT64_C(3600) * 1000000000; /* never more than the burst */
    assert_int_equal(take(&world, "a", 1000, &retry_ms), MRD_OK);
    assert_int_equal(take(&world, "a", 1, &retry_ms), MRD_E_LIMIT);
    dst_rates_destroy(&world.rates);
}

static void what_can_never_pass_is_not_called_a_matter_of_time(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 100, 1000);
    mrd_time_ms retry_ms = 0;
    assert_int_equal(take(&world, "a", 1001, &retry_ms), MRD_E_INVALID);
    assert_int_equal(take(&world, "a", 1000, &retry_ms), MRD_OK); /* and costs nothing */
    dst_rates_destroy(&world.rates);
}

static void a_rate_of_zero_is_no_limit(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 0, 0);
    mrd_time_ms retry_ms = 0;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(take(&world, "a", UINT32_MAX, &retry_ms), MRD_OK);
    }
    dst_rates_destroy(&world.rates);
}

static void many_tenants_keep_their_own_buckets(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 1, 10);
    mrd_time_ms retry_ms = 0;
    char tenant[32];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 5000; i++) {
            (void)snprintf(tenant, sizeof(tenant), "tenant-%d", i);
            assert_int_equal(take(&world, tenant, 10, &retry_ms),
                             round == 0 ? MRD_OK : MRD_E_LIMIT);
        }
    }
    dst_rates_destroy(&world.rates);
}

static struct dst_limits limits_with(const char *set)
{
    const struct mrd_config_schema schema = {.tables = &mrd_tenancy_write_keys, .table_count = 1};
    struct mrd_config_sources sources = {.sets = {set}, .set_count = set == NULL ? 0 : 1};
    struct mrd_config *config = NULL;
    struct mrd_error err;
    assert_int_equal(mrd_config_load(&schema, &sources, &config, &err), MRD_OK);
    struct dst_limits limits;
    dst_limits_read(config, &limits);
    mrd_config_release(&config);
    return limits;
}

/* None, but for what a batch can hold. */
static void zero_is_no_limit(void **state)
{
    (void)state;
    const struct dst_limits limits = limits_with(NULL);
    assert_int_equal(limits.histogram_buckets_max, MRD_HISTOGRAM_PARTS_MAX);
    assert_int_equal(limits.exemplars_per_request_max, SIZE_MAX);
    assert_int_equal(limits.metadata_per_request_max, SIZE_MAX);
    assert_int_equal(limits.metadata_bytes_max, 16 << 10);
    assert_int_equal(limits_with("limits.metadata_bytes_max=0").metadata_bytes_max,
                     MRD_BATCH_METADATA_SIZE_MAX);
    assert_int_equal(limits_with("limits.decoded_bytes_max=0").decoded_bytes_max,
                     MRD_RW_BODY_SIZE_MAX - 1);
    assert_int_equal(limits_with("limits.histogram_buckets_max=160").histogram_buckets_max, 160);
    assert_int_equal(limits_with("limits.exemplars_per_request_max=5").exemplars_per_request_max,
                     5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tenant_gets_its_burst_and_then_its_rate),
        cmocka_unit_test(what_can_never_pass_is_not_called_a_matter_of_time),
        cmocka_unit_test(a_rate_of_zero_is_no_limit),
        cmocka_unit_test(zero_is_no_limit),
        cmocka_unit_test(many_tenants_keep_their_own_buckets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
