/* Old blocks' data files change their class, once, and nothing else does. */
#include "upkeep/cool.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "objstore/s3_fixture.h"

static const mrd_time_ms DAY = 86400000;
static struct s3_fixture server;
static struct mrd_objstore *store;
static struct mrd_catalog *catalog;
static struct mrd_error err;

static void must(enum mrd_status status)
{
    if (status != MRD_OK) {
        fail_msg("status %s: %s", mrd_status_name(status), err.text);
    }
}

static int begin(void **state)
{
    (void)state;
    s3_fixture_start(&server, NULL, NULL);
    const struct mrd_s3_options options = s3_fixture_options(&server);
    must(mrd_s3_store_open(&options, &store, &err));
    must(mrd_catalog_open(&(struct mrd_catalog_options){.store = store}, NULL, &catalog, &err));
    return 0;
}

static int end(void **state)
{
    (void)state;
    mrd_catalog_close(&catalog);
    mrd_objstore_close(&store);
    s3_fixture_stop(&server);
    return 0;
}

/* A block that ends on a day of 1970, with its files. */
static void add(const char *name, unsigned level, int day)
{
    char data[64];
    char sidecar[64];
    (void)snprintf(data, sizeof(data), level == 0 ? "blocks/%s.parquet" : "eu/farm/%s.parquet",
                   name);
    (void)snprintf(sidecar, sizeof(sidecar), level == 0 ? "blocks/%s.mbx" : "eu/farm/%s.mbx", name);
    const struct mrd_block_counts counts = {
        .series = 1, .samples = 1, .min_ms = day * DAY, .max_ms = day * DAY};
    const struct mrd_block_tenant tenant = {MRD_BYTES("farm"), counts};
    const struct mrd_block_entry entry = {
        .id = mrd_bytes_of(name),
        .level = level,
        .data = {mrd_bytes_of(data),    4, 1},
        .sidecar = {mrd_bytes_of(sidecar),                    4, 1},
        .origin = {.residency_class = MRD_BYTES("default")},
        .counts = counts,
        .tenant_count = 1,
        .tenants = &tenant,
    };
    const struct mrd_catalog_change change = {.add = &entry, .add_count = 1};
    must(mrd_objstore_put(store, data, MRD_BYTES("data"), NULL, &err));
    must(mrd_objstore_put(store, sidecar, MRD_BYTES("side"), NULL, &err));
    must(mrd_catalog_commit(catalog, &change, NULL, &err));
}

static bool append_cold(void *context, const struct mrd_objstore_entry *entry)
{
    if (strcmp(entry->storage_class, "GLACIER_IR") == 0) {
        mrd_buf_printf(context, "%s ", entry->key);
    }
    return true;
}

static struct mrd_upkeep_cooled cool(int day)
{
    struct mrd_upkeep_cooled cooled;
    const struct mrd_upkeep_cool_options options = {.store = store,
                                                    .catalog = catalog,
                                                    .region = "eu",
                                                    .storage_class = "GLACIER_IR",
                                                    .ended_before_ms = day * DAY};
    must(mrd_upkeep_cool(&options, &cooled, &err));
    return cooled;
}

static void expect_cold(const char *keys)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf found = {0};
    must(mrd_objstore_list(store, "", "", append_cold, &found, NULL, &err));
    mrd_buf_append_u8(&found, 0);
    assert_string_equal((const char *)found.data, keys);
}

static void old_data_files_become_cold_once(void **state)
{
    (void)state;
    add("level-0", 0, 1);
    add("day-1", 1, 1);
    add("day-30", 1, 30);
    add("month-1", 2, 5); /* of January, which ends with day 30 */
    must(mrd_objstore_put(store, "eu/farm/nobodys.parquet", MRD_BYTES("x"), NULL, &err));
    assert_int_equal(cool(1).files, 0);
    struct mrd_upkeep_cooled cooled = cool(10);
    assert_int_equal(cooled.files, 1);
    assert_int_equal(cooled.bytes, 4);
    expect_cold("eu/farm/day-1.parquet ");
    assert_int_equal(cool(10).files, 0);
    cooled = cool(31);
    assert_int_equal(cooled.files, 2);
    expect_cold("eu/farm/day-1.parquet eu/farm/day-30.parquet eu/farm/month-1.parquet ");
}

static void what_goes_meanwhile_is_passed_over_and_failures_are_told(void **state)
{
    (void)state;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf said = {0};
    add("day-2", 1, 2);
    s3_fixture_say(&server, "faults",
                   "status method=PUT contains=day-2 status=404 code=NoSuchKey times=1", &said);
    assert_int_equal(cool(31).files, 0);
    s3_fixture_say(&server, "faults",
                   "status method=PUT contains=day-2 status=403 code=AccessDenied times=100",
                   &said);
    struct mrd_upkeep_cooled cooled;
    const struct mrd_upkeep_cool_options options = {.store = store,
                                                    .catalog = catalog,
                                                    .region = "eu",
                                                    .storage_class = "GLACIER_IR",
                                                    .ended_before_ms = 31 * DAY};
    assert_int_equal(mrd_upkeep_cool(&options, &cooled, &err), MRD_E_DENIED);
    assert_non_null(strstr(err.text, "day-2"));
    s3_fixture_say(&server, "faults", "", &said);
    assert_int_equal(cool(31).files, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_data_files_become_cold_once),
        cmocka_unit_test(what_goes_meanwhile_is_passed_over_and_failures_are_told),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
