/* The Iceberg REST catalog over the tables that a real catalog of blocks points to. */
#include "querier/tables.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "block/schema.h"
#include "iceberg/tables.h"
#include "objstore/fault_store.h"
#include "objstore/folder_fixture.h"

struct world {
    char folder[FOLDER_FIXTURE_PATH_MAX];
    struct mrd_objstore *files;
    struct mrd_objstore *faults; /* what the querier reads through */
    struct mrd_catalog *catalog; /* the compactor's */
    struct mrd_metrics *metrics;
    struct mrd_arena *arena;
    struct qry_blocks *blocks;
    struct qry_tables tables;
    char root[FOLDER_FIXTURE_PATH_MAX + 8];
    _Atomic int changes;
};

static void on_change(void *context, bool known, const struct mrd_error *why)
{
    (void)known;
    (void)why;
    atomic_fetch_add((_Atomic int *)context, 1);
}

static void start_blocks(struct world *world)
{
    const struct qry_blocks_options options = {.store = world->faults,
                                               .reads = 1,
                                               .refresh_ms = 3600000,
                                               .stale_ms_max = 3600000,
                                               .partition_count = 1,
                                               .metrics = world->metrics,
                                               .on_change = on_change,
                                               .context = &world->changes};
    assert_int_equal(qry_blocks_create(&options, &world->blocks, NULL), MRD_OK);
    while (atomic_load(&world->changes) == 0) {
        usleep(1000);
    }
    world->tables.place.root = world->root;
    qry_tables_init(&world->tables, world->blocks, world->faults);
}

static int begin(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    world->files = folder_fixture_open(world->folder, NULL);
    world->faults = mrd_fault_store_create(world->files);
    world->metrics = mrd_metrics_create();
    world->arena = mrd_arena_create("test", (size_t)64 << 20);
    (void)snprintf(world->root, sizeof(world->root), "file://%s", world->folder);
    assert_int_equal(mrd_catalog_open(&(struct mrd_catalog_options){.store = world->files}, NULL,
                                      &world->catalog, NULL),
                     MRD_OK);
    *state = world;
    return 0;
}

static int end(void **state)
{
    struct world *world = *state;
    qry_blocks_destroy(&world->blocks);
    mrd_catalog_close(&world->catalog);
    mrd_arena_destroy(&world->arena);
    mrd_metrics_destroy(&world->metrics);
    mrd_objstore_close(&world->faults);
    mrd_objstore_close(&world->files);
    folder_fixture_remove(world->folder);
    free(world);
    return 0;
}

/* Makes an empty table of samples and names it in the catalog. */
static void add_table(struct world *world, const char *tenant, const char *name)
{
    static uint8_t number;
    struct mrd_error err = {0};
    struct mrd_block_schema schema;
    struct mrd_iceberg_table_definition definition;
    struct mrd_iceberg_version version;
    const struct mrd_block_schema_options columns = {.level = 1};
    assert_int_equal(mrd_block_schema_init(&columns, &schema, NULL), MRD_OK);
    mrd_iceberg_samples_table(&schema, &definition);
    const char *path = mrd_arena_printf(world->arena, "eu/%s/%s", tenant, name);
    const struct mrd_iceberg_table table = {
        .store = world->files, .root = world->root, .path = path};
    const struct mrd_iceberg_change change = {.uuid = {++number},
                                              .time_ms = 1700000000000,
                                              .definition = &definition.definition,
                                              .operation = MRD_ICEBERG_NOTHING};
    if (mrd_iceberg_commit(&table, NULL, &change, world->arena, &version, &err) != MRD_OK) {
        fail_msg("%s", err.text);
    }
    const struct mrd_catalog_table_change named = {.tenant = mrd_bytes_of(tenant),
                                                   .name = mrd_bytes_of(name),
                                                   .to_key = mrd_bytes_of(version.key)};
    const struct mrd_catalog_change commit = {.tables = &named, .table_count = 1};
    assert_int_equal(mrd_catalog_commit(world->catalog, &commit, NULL, &err), MRD_OK);
}

static void expect(struct world *world, const char *path, const char *tenant, unsigned status,
                   const char *text)
{
    const struct mrd_iceberg_rest rest = {"eu", world->tables.source, (size_t)16 << 20};
    const struct mrd_iceberg_rest_request request = {
        .method = MRD_ICEBERG_REST_GET, .path = mrd_bytes_of(path), .tenant = mrd_bytes_of(tenant)};
    struct mrd_iceberg_rest_reply reply = {0};
    mrd_iceberg_rest_answer(&rest, &request, &reply);
    mrd_buf_append_u8(&reply.body, 0);
    if (reply.status != status || strstr((const char *)reply.body.data, text) == NULL) {
        fail_msg("%s of %s: %u %s, not %u with %s", path, tenant, reply.status,
                 (const char *)reply.body.data, status, text);
    }
    mrd_buf_fini(&reply.body);
}

static void a_tenant_finds_its_tables_and_no_others(void **state)
{
    struct world *world = *state;
    add_table(world, "acme", "samples");
    add_table(world, "acme", "samples_1h");
    add_table(world, "acme-2", "series");
    start_blocks(world);
    expect(world, "v1/eu/namespaces/acme/tables", "acme", 200,
           "{\"identifiers\":[{\"namespace\":[\"acme\"],\"name\":\"samples\"},"
           "{\"namespace\":[\"acme\"],\"name\":\"samples_1h\"}]}");
    expect(world, "v1/eu/namespaces/acme-2/tables", "acme-2", 200,
           "{\"identifiers\":[{\"namespace\":[\"acme-2\"],\"name\":\"series\"}]}");
    expect(world, "v1/eu/namespaces/zeta/tables", "zeta", 200, "{\"identifiers\":[]}");
    expect(world, "v1/eu/namespaces/acme/tables", "zeta", 404, "acme");
    expect(world, "v1/eu/namespaces/acme/tables/samples", "acme", 200, "/eu/acme/samples\"");
    expect(world, "v1/eu/namespaces/acme/tables/samples_1h", "acme", 200, "\"metadata-location\":");
    expect(world, "v1/eu/namespaces/acme/tables/series", "acme", 404, "NoSuchTableException");
}

/* What is committed meanwhile is there after the next refresh. */
static void tables_come_with_a_refresh(void **state)
{
    struct world *world = *state;
    struct mrd_error err = {0};
    start_blocks(world);
    expect(world, "v1/eu/namespaces/acme/tables/samples", "acme", 404, "NoSuchTableException");
    add_table(world, "acme", "samples");
    assert_int_equal(qry_blocks_refresh(world->blocks, NULL, &err), MRD_OK);
    expect(world, "v1/eu/namespaces/acme/tables/samples", "acme", 200, "/eu/acme/samples\"");
}

static void failures_are_told(void **state)
{
    struct world *world = *state;
    add_table(world, "acme", "samples");
    const struct mrd_catalog_table_change odd = {.tenant = MRD_BYTES("acme"),
                                                 .name = MRD_BYTES("odd"),
                                                 .to_key = MRD_BYTES("somewhere/else.json")};
    const struct mrd_catalog_change commit = {.tables = &odd, .table_count = 1};
    assert_int_equal(mrd_catalog_commit(world->catalog, &commit, NULL, NULL), MRD_OK);
    mrd_fault_store_arm(world->faults, &(struct mrd_fault){.nth = 1, .crash = true});
    start_blocks(world);
    expect(world, "v1/eu/namespaces/acme/tables", "acme", 503, "was not read yet");
    (void)mrd_fault_store_disarm(world->faults);
    assert_int_equal(qry_blocks_refresh(world->blocks, NULL, NULL), MRD_OK);
    expect(world, "v1/eu/namespaces/acme/tables/odd", "acme", 500, "somewhere/else.json");
    mrd_fault_store_arm(world->faults, &(struct mrd_fault){.nth = 1, .crash = true});
    expect(world, "v1/eu/namespaces/acme/tables/samples", "acme", 503,
           "ServiceUnavailableException");
    (void)mrd_fault_store_disarm(world->faults);
    expect(world, "v1/eu/namespaces/acme/tables/samples", "acme", 200, "/eu/acme/samples\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_tenant_finds_its_tables_and_no_others, begin, end),
        cmocka_unit_test_setup_teardown(tables_come_with_a_refresh, begin, end),
        cmocka_unit_test_setup_teardown(failures_are_told, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
