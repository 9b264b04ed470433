/* A merger that dies, or whose store fails, at any of its calls: whoever comes next finds everything, once. */
#include "upkeep/testing_internal.h"

#include "base/testing_rounds.h"
static struct region region;

/* One tenant and day, two blocks that overlap. `month`: they are merged already, and the month is due. */
static void begin(bool month, size_t workers)
{
    struct mrd_error err = {0};
    size_t done = 0;
    region_open(&region, 3);
    region.workers = workers;
    region.tenants = workers; /* each finds work */
    region.times = 12;
    (void)region_write(&region, 60, region.now_ms - 2 * 3600 * 1000);
    (void)region_write(&region, 60, region.now_ms - 2 * 3600 * 1000);
    if (month) {
        region_must(region_round(&region, region.catalog, region.store, &done, NULL, &err), &err);
        assert_int_equal(done, 1);
        region.now_ms += 2 * REGION_DAY_MS;
    }
}

/* A dead process has nothing left in memory. */
static void restart(void)
{
    mrd_catalog_close(&region.catalog);
    region.catalog = region_open_catalog(&region, region.store);
}

static void expect_all(void)
{
    struct region_found found;
    region_expect_model(&region, true);
    region_find_tables(&region, &found);
    region_same(&region, &found);
}

/* A hint must lead readers to a version that is there. */
static bool check_hint(void *context, const struct mrd_objstore_entry *entry)
{
    size_t *hints = context;
    const char *name = strstr(entry->key, "version-hint.text");
    if (name != NULL) {
        struct mrd_error err = {0};
        mrd_auto(mrd_buf_fini)
        struct mrd_buf version = {0};
        struct mrd_objstore_info info;
        char copy[512];
        region_must(mrd_objstore_get(region.files, entry->key, 32, NULL, &version, &err), &err);
        (void)snprintf(copy, sizeof(copy), "%.*sv%.*s.metadata.json", (int)(name - entry->key),
                       entry->key, MRD_FMT(mrd_buf_view(&version)));
        region_must(mrd_objstore_head(region.files, copy, NULL, &info, &err), &err);
        (*hints)++;
    }
    return true;
}

static size_t expect_hints(void)
{
    struct mrd_error err = {0};
    size_t hints = 0;
    region_must(mrd_objstore_list(region.files, "", "", check_hint, &hints, NULL, &err), &err);
    return hints;
}

/* Returns false once the n-th call never came. */
static bool fail_at(uint64_t nth, bool month, bool crash, size_t workers)
{
    struct mrd_error err = {0};
    size_t done = 0;
    begin(month, workers);
    const struct mrd_fault fault = {.nth = nth, .when = MRD_FAULT_AFTER, .crash = crash};
    mrd_fault_store_arm(region.store, &fault);
    const enum mrd_status status =
        region_round(&region, region.catalog, region.store, &done, NULL, &err);
    const bool came = mrd_fault_store_disarm(region.store);
    if (!came) {
        region_must(status, &err);
    }
    region_expect_model(&region, false); /* at no time is anything lost */
    const size_t hints = expect_hints();
    assert_true(came || hints > 0);
    if (crash) {
        restart();
    }
    region_settle(&region);
    expect_all();
    (void)expect_hints();
    region_close(&region);
    return came;
}

static void walk(bool month, bool crash, size_t workers)
{
    uint64_t nth = 1;
    while (fail_at(nth, month, crash, workers)) {
        nth += testing_stride();
        assert_true(nth < 1000);
    }
    assert_true(nth > 20); /* it was a walk */
}

static void a_merge_into_days_may_die_anywhere(void **state)
{
    (void)state;
    walk(false, true, 1);
}
static void a_merge_into_days_may_lose_any_call(void **state)
{
    (void)state;
    walk(false, false, 1);
}
static void a_merge_into_a_month_may_die_anywhere(void **state)
{
    (void)state;
    walk(true, true, 1);
}

/* Which call is the n-th is a matter of chance then; what holds is not. */
static void workers_may_die_anywhere(void **state)
{
    (void)state;
    walk(false, true, 2);
}
static void workers_may_lose_any_call(void **state)
{
    (void)state;
    walk(false, false, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_merge_into_days_may_die_anywhere),
        cmocka_unit_test(a_merge_into_days_may_lose_any_call),
        cmocka_unit_test(a_merge_into_a_month_may_die_anywhere),
        cmocka_unit_test(workers_may_die_anywhere),
        cmocka_unit_test(workers_may_lose_any_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
