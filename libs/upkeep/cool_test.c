/* Old blocks' data files change their class, once, and nothing else does. */
#include "upkeep/cool.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/testing_clock.h"
#include "objstore/fault_store.h"
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

static struct mrd_catalog *open_catalog(void)
{
    struct mrd_catalog *opened = NULL;
    const struct mrd_catalog_options options = {.store = store, .clock = &shifted};
    must(mrd_catalog_open(&options, NULL, &opened, &err));
    return opened;
}

static int begin(void **state)
{
    (void)state;
    s3_fixture_start(&server, NULL, NULL);
    const struct mrd_s3_options options = s3_fixture_options(&server);
    must(mrd_s3_store_open(&options, &store, &err));
    catalog = open_catalog();
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

/* ---- others, meanwhile ---- */

static const struct mrd_block_entry *block_of(const struct mrd_catalog_state *state,
                                              const char *name)
{
    return mrd_catalog_find(state, mrd_bytes_of(name));
}

/* What other compactors do: the block leaves the catalog, a grace passes, its files are swept. */
static void leave(const char *name)
{
    struct mrd_catalog *other = open_catalog();
    const struct mrd_bytes id = mrd_bytes_of(name);
    must(mrd_catalog_commit(other, &(struct mrd_catalog_change){.remove = &id, .remove_count = 1},
                            NULL, &err));
    mrd_catalog_close(&other);
    ahead_ms += MRD_CATALOG_GRACE_MS + 60 * 1000;
}

static void be_swept(void)
{
    struct mrd_catalog *other = open_catalog();
    struct mrd_catalog_swept swept;
    must(mrd_catalog_sweep(other, "blocks/", NULL, &swept, &err));
    assert_int_equal(swept.gone, 1);
    mrd_catalog_close(&other);
}

static bool is_there(const char *key)
{
    struct mrd_objstore_info info;
    const enum mrd_status status = mrd_objstore_head(store, key, NULL, &info, &err);
    return status != MRD_E_NOT_FOUND;
}

static void day_4_leaves(void *context)
{
    (void)context;
    leave("day-4");
}

/* The service read the file before it was deleted, and writes it again now. */
static void day_4_is_swept_within_its_copy(void *context)
{
    (void)context;
    leave("day-4");
    be_swept();
    assert_false(is_there("eu/farm/day-4.parquet"));
    must(mrd_objstore_put(store, "eu/farm/day-4.parquet", MRD_BYTES("data"), NULL, &err));
}

/* Cools the days 3 and 4 while that happens at the n-th call: a listing, a copy of each. Returns how many calls there were. */
static uint64_t cool_while(uint64_t nth, enum mrd_fault_when when, void (*meanwhile)(void *))
{
    struct mrd_upkeep_cooled cooled;
    struct mrd_objstore *faults = mrd_fault_store_create(store);
    add("day-3", 1, 3);
    add("day-4", 1, 4);
    const struct mrd_upkeep_cool_options options = {.store = faults,
                                                    .catalog = catalog,
                                                    .clock = &shifted,
                                                    .region = "eu",
                                                    .storage_class = "GLACIER_IR",
                                                    .ended_before_ms = 31 * DAY};
    mrd_fault_store_arm(faults,
                        &(struct mrd_fault){.nth = nth, .when = when, .meanwhile = meanwhile});
    must(mrd_upkeep_cool(&options, &cooled, &err));
    const uint64_t calls = mrd_fault_store_calls(faults);
    assert_true(mrd_fault_store_disarm(faults));
    mrd_objstore_close(&faults);
    assert_int_equal(cooled.files, 1);
    return calls;
}

static void remove_day_3(void)
{
    const struct mrd_bytes id = MRD_BYTES("day-3");
    must(mrd_catalog_commit(catalog, &(struct mrd_catalog_change){.remove = &id, .remove_count = 1},
                            NULL, &err));
    ahead_ms += MRD_CATALOG_GRACE_MS + 60 * 1000;
    be_swept();
}

static void no_copy_begins_by_an_old_state(void **state)
{
    (void)state;
    assert_int_equal(cool_while(2, MRD_FAULT_AFTER, day_4_leaves), 2);
    mrd_auto(mrd_catalog_unpin)
    struct mrd_catalog_state *now = mrd_catalog_pin(catalog);
    assert_null(block_of(now, "day-4")); /* it was read anew */
    be_swept();
    remove_day_3();
}

static void a_copy_brings_nothing_back_that_was_swept_while_it_ran(void **state)
{
    (void)state;
    (void)cool_while(3, MRD_FAULT_AFTER, day_4_is_swept_within_its_copy);
    assert_false(is_there("eu/farm/day-4.parquet"));
    assert_true(is_there("eu/farm/day-3.parquet"));
    remove_day_3();
}

/* ---- within a sweep ---- */

static bool came_back;

/* The file was deleted, and its block not purged yet. */
static void come_back_if_deleted(void *context)
{
    const char *key = context;
    struct mrd_catalog *other = open_catalog();
    struct mrd_catalog_state *now = mrd_catalog_pin(other);
    came_back = mrd_catalog_gone_count(now) == 1 && !is_there(key);
    if (came_back) {
        must(mrd_objstore_put(store, key, MRD_BYTES("data"), NULL, &err));
    }
    mrd_catalog_unpin(&now);
    mrd_catalog_close(&other);
}

/* Sweeps a block's files, and lets one come back at the n-th call if that is between deleting and purging. */
static bool sweep_while(uint64_t nth, unsigned *times)
{
    struct mrd_objstore *faults = mrd_fault_store_create(store);
    struct mrd_catalog *sweeper = NULL;
    struct mrd_catalog_swept swept;
    char name[32];
    char key[64];
    const struct mrd_catalog_options options = {.store = faults, .clock = &shifted};
    (void)snprintf(name, sizeof(name), "swept-%u", (unsigned)nth);
    (void)snprintf(key, sizeof(key), "eu/farm/%s.parquet", name);
    add(name, 1, 4);
    leave(name);
    must(mrd_catalog_open(&options, NULL, &sweeper, &err));
    mrd_fault_store_arm(faults, &(struct mrd_fault){.nth = nth,
                                                    .when = MRD_FAULT_AFTER,
                                                    .meanwhile = come_back_if_deleted,
                                                    .context = key});
    came_back = false;
    must(mrd_catalog_sweep(sweeper, "blocks/", NULL, &swept, &err));
    const bool happened = mrd_fault_store_disarm(faults);
    *times += came_back;
    assert_false(is_there(key));
    mrd_catalog_close(&sweeper);
    mrd_objstore_close(&faults);
    return happened;
}

static void a_sweep_leaves_nothing_that_came_back_before_its_block_was_purged(void **state)
{
    (void)state;
    unsigned times = 0;
    for (uint64_t nth = 1; sweep_while(nth, &times); nth++) {
        assert_true(nth < 100);
    }
    assert_true(times > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_data_files_become_cold_once),
        cmocka_unit_test(what_goes_meanwhile_is_passed_over_and_failures_are_told),
        cmocka_unit_test(no_copy_begins_by_an_old_state),
        cmocka_unit_test(a_copy_brings_nothing_back_that_was_swept_while_it_ran),
        cmocka_unit_test(a_sweep_leaves_nothing_that_came_back_before_its_block_was_purged),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
