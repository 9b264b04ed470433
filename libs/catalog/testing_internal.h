/* testing_internal.h: a store in a folder, a clock that can be ahead, catalogs on both, and blocks that are entries only. For the tests of
 * this lib. */
#ifndef MRD_CATALOG_TESTING_INTERNAL_H
#define MRD_CATALOG_TESTING_INTERNAL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/testing_clock.h"
#include "catalog/catalog_internal.h"
#include "objstore/fault_store.h"
#include "objstore/folder_fixture.h"

/* ---- a store in a folder, a clock of our own, catalogs on both ---- */

static char catalog_folder[FOLDER_FIXTURE_PATH_MAX];
static struct mrd_objstore *files;
static struct mrd_objstore *faults;
static struct mrd_error error;

static inline int begin(void **state)
{
    (void)state;
    ahead_ms = 0;
    files = folder_fixture_open(catalog_folder, NULL);
    faults = mrd_fault_store_create(files);
    return 0;
}

static inline int end(void **state)
{
    (void)state;
    mrd_objstore_close(&faults);
    mrd_objstore_close(&files);
    folder_fixture_remove(catalog_folder);
    return 0;
}

static inline struct mrd_catalog *open_on(struct mrd_objstore *store)
{
    struct mrd_catalog *catalog = NULL;
    const struct mrd_catalog_options options = {
        .store = store, .clock = &shifted, .writer = "test", .checkpoint_every = 4};
    const enum mrd_status status = mrd_catalog_open(&options, NULL, &catalog, &error);
    if (status != MRD_OK) {
        print_message("%s\n", error.text);
    }
    assert_int_equal(status, MRD_OK);
    return catalog;
}

static inline enum mrd_status open_status(void)
{
    struct mrd_catalog *catalog = NULL;
    const struct mrd_catalog_options options = {.store = files};
    const enum mrd_status status = mrd_catalog_open(&options, NULL, &catalog, &error);
    mrd_catalog_close(&catalog);
    return status;
}

/* ---- entries ---- */

struct named_entry {
    char id[32];
    char data[64];
    char sidecar[64];
    struct mrd_block_tenant tenant;
    struct mrd_block_entry entry;
};

/* The pointers lead into *out, which stays where it is. */
static inline const struct mrd_block_entry *make_entry(struct named_entry *out, unsigned number)
{
    const struct mrd_block_counts counts = {
        .series = 1, .samples = number + 1, .min_ms = 0, .max_ms = 1000};
    (void)snprintf(out->id, sizeof(out->id), "block-%u", number);
    (void)snprintf(out->data, sizeof(out->data), "blocks/block-%u.parquet", number);
    (void)snprintf(out->sidecar, sizeof(out->sidecar), "blocks/block-%u.mbx", number);
    out->tenant = (struct mrd_block_tenant){.name = MRD_BYTES("farm-7"), .counts = counts};
    out->entry = (struct mrd_block_entry){
        .id = mrd_bytes_of(out->id),
        .level = 1,
        .data = {.key = mrd_bytes_of(out->data),    .size = 100, .crc32c = number},
        .sidecar = {.key = mrd_bytes_of(out->sidecar),                 .size = 50, .crc32c = number},
        .origin = {.residency_class = MRD_BYTES("default")},
        .counts = counts,
        .tenant_count = 1,
        .tenants = &out->tenant,
    };
    return &out->entry;
}

static inline void put_files(const struct mrd_block_entry *entry)
{
    char key[80];
    (void)snprintf(key, sizeof(key), "%.*s", MRD_FMT(entry->data.key));
    assert_int_equal(mrd_objstore_put(files, key, MRD_BYTES("data"), NULL, NULL), MRD_OK);
    (void)snprintf(key, sizeof(key), "%.*s", MRD_FMT(entry->sidecar.key));
    assert_int_equal(mrd_objstore_put(files, key, MRD_BYTES("side"), NULL, NULL), MRD_OK);
}

static inline enum mrd_status add(struct mrd_catalog *catalog, unsigned number)
{
    struct named_entry named;
    const struct mrd_catalog_change change = {.add = make_entry(&named, number), .add_count = 1};
    return mrd_catalog_commit(catalog, &change, NULL, &error);
}

static inline enum mrd_status take_away(struct mrd_catalog *catalog, const char *id)
{
    const struct mrd_bytes bytes = mrd_bytes_of(id);
    const struct mrd_catalog_change change = {.remove = &bytes, .remove_count = 1};
    return mrd_catalog_commit(catalog, &change, NULL, &error);
}

static inline enum mrd_status build(struct mrd_catalog *catalog, uint32_t partition, uint64_t from,
                                    uint64_t to)
{
    const struct mrd_catalog_built_change built = {.partition = partition, .from = from, .to = to};
    const struct mrd_catalog_change change = {.built = &built, .built_count = 1};
    return mrd_catalog_commit(catalog, &change, NULL, &error);
}

static inline enum mrd_status turn_table(struct mrd_catalog *catalog, const char *from,
                                         const char *to)
{
    const struct mrd_catalog_table_change table = {MRD_BYTES("farm-7"), MRD_BYTES("samples"),
                                                   mrd_bytes_of(from), mrd_bytes_of(to)};
    const struct mrd_catalog_change change = {.tables = &table, .table_count = 1};
    return mrd_catalog_commit(catalog, &change, NULL, &error);
}

static inline bool has(const struct mrd_catalog_state *state, unsigned number)
{
    struct named_entry named;
    const struct mrd_block_entry *wanted = make_entry(&named, number);
    const struct mrd_block_entry *found = mrd_catalog_find(state, wanted->id);
    assert_true(found == NULL || found->counts.samples == wanted->counts.samples);
    return found != NULL;
}

static inline void expect_same(const struct mrd_catalog_state *a, const struct mrd_catalog_state *b)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf first = {0};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf second = {0};
    cat_state_encode(a, &first);
    cat_state_encode(b, &second);
    assert_int_equal(first.size, second.size);
    assert_memory_equal(first.data, second.data, first.size);
    assert_int_equal(mrd_catalog_memory(a), mrd_catalog_memory(b));
}

static inline void expect_reopened_same(struct mrd_catalog *catalog)
{
    struct mrd_catalog *again = open_on(files);
    struct mrd_catalog_state *a = mrd_catalog_pin(catalog);
    struct mrd_catalog_state *b = mrd_catalog_pin(again);
    expect_same(a, b);
    mrd_catalog_unpin(&a);
    mrd_catalog_unpin(&b);
    mrd_catalog_close(&again);
}

#endif
