/* Entries, Bloom filters and schemas. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/hash.h"
#include "block/entry.h"
#include "block/schema.h"

static struct mrd_arena *arena;

static int open_arena(void **state)
{
    (void)state;
    arena = mrd_arena_create("entries", (size_t)256 << 20);
    return 0;
}

static int close_arena(void **state)
{
    (void)state;
    mrd_arena_destroy(&arena);
    return 0;
}

static struct mrd_block_entry plain_entry(void)
{
    struct mrd_block_entry entry = {.id = MRD_BYTES("id"), .level = 1, .tenant_count = 1};
    entry.data = (struct mrd_block_file){MRD_BYTES("a.parquet"), 1000, 1};
    entry.sidecar = (struct mrd_block_file){MRD_BYTES("a.mbx"), 100, 2};
    entry.origin.residency_class = MRD_BYTES("eu");
    entry.origin.hlc_min = UINT64_MAX;
    entry.origin.hlc_fence = 3;
    entry.counts =
        (struct mrd_block_counts){.series = 5000, .samples = 9000, .min_ms = -5, .max_ms = 5};
    return entry;
}

/* ---- entries ---- */

static void entries_come_back(void **state)
{
    (void)state;
    const struct mrd_bytes parents[] = {MRD_BYTES("x"), MRD_BYTES("yy")};
    const uint64_t offsets[] = {4, 500, 999};
    struct mrd_block_file_column columns[2] = {0};
    columns[0].field_id = 1;
    columns[1].field_id = -1;
    columns[0].stored_size = 10;
    columns[0].value_count = 20;
    columns[0].null_count = 3;
    columns[0].has_min = true;
    columns[0].min = MRD_BYTES("a");
    struct mrd_block_entry entry = plain_entry();
    const struct mrd_block_tenant tenant = {.name = MRD_BYTES("t"), .counts = entry.counts};
    entry.origin.parents = parents;
    entry.origin.parent_count = 2;
    entry.row_group_offsets = offsets;
    entry.row_group_count = 3;
    entry.columns = columns;
    entry.column_count = 2;
    entry.tenants = &tenant;
    struct mrd_buf bytes = {0};
    struct mrd_block_entry got;
    assert_int_equal(mrd_block_entry_encode(&entry, &bytes, NULL), MRD_OK);
    assert_int_equal(mrd_block_entry_decode(mrd_buf_view(&bytes), arena, &got, NULL), MRD_OK);
    assert_true(mrd_bytes_equal(got.id, entry.id));
    assert_int_equal(got.level, 1);
    assert_int_equal(got.data.size, 1000);
    assert_int_equal(got.sidecar.crc32c, 2);
    assert_int_equal(got.origin.hlc_min, UINT64_MAX);
    assert_true(mrd_bytes_equal(got.origin.parents[1], parents[1]));
    assert_int_equal(got.counts.min_ms, -5);
    assert_int_equal(got.row_group_offsets[2], 999);
    assert_int_equal(got.columns[1].field_id, -1);
    assert_true(got.columns[0].has_min && !got.columns[0].has_max);
    assert_true(mrd_bytes_equal(got.tenants[0].name, tenant.name));
    for (size_t i = 0; i < bytes.size; i++) { /* any wrong byte, and any end too early */
        bytes.data[i] ^= 0x10;
        assert_int_equal(mrd_block_entry_decode(mrd_buf_view(&bytes), arena, &got, NULL),
                         MRD_E_CORRUPT);
        bytes.data[i] ^= 0x10;
        assert_int_equal(
            mrd_block_entry_decode((struct mrd_bytes){bytes.data, i}, arena, &got, NULL),
            MRD_E_CORRUPT);
    }
    mrd_buf_fini(&bytes);
}

static void entries_of_later_versions_are_not_guessed_at(void **state)
{
    (void)state;
    const struct mrd_block_entry entry = plain_entry();
    struct mrd_buf bytes = {0};
    struct mrd_block_entry got;
    struct mrd_error err;
    assert_int_equal(mrd_block_entry_encode(&entry, &bytes, NULL), MRD_OK);
    bytes.data[8] = MRD_BLOCK_ENTRY_VERSION_SERIES + 1; /* the version stands behind the magic */
    const uint32_t crc = mrd_crc32c(0, (struct mrd_bytes){bytes.data, bytes.size - 4});
    memcpy(bytes.data + bytes.size - 4, &crc, 4);
    assert_int_equal(mrd_block_entry_decode(mrd_buf_view(&bytes), arena, &got, &err),
                     MRD_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "upgrade"));
    mrd_buf_fini(&bytes);
}

static void entries_that_cannot_be_are_refused(void **state)
{
    (void)state;
    struct mrd_block_entry cases[6];
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        cases[i] = plain_entry();
    }
    cases[0].id = MRD_BYTES_NONE;
    cases[1].level = MRD_BLOCK_LEVEL_MAX + 1;
    cases[2].counts.max_ms = -6;
    cases[3].data.key = MRD_BYTES("a\0b");
    cases[4].bloom.bits = MRD_BYTES("not a line");
    cases[5].tenant_count = 0;
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        struct mrd_buf bytes = {0};
        struct mrd_error err;
        assert_int_equal(mrd_block_entry_encode(&cases[i], &bytes, &err), MRD_E_INVALID);
        assert_int_equal(bytes.size, 0);
    }
}

/* ---- skipping ---- */

enum { KEYS = 5000 };

static void a_bloom_filter_has_what_was_added_and_little_else(void **state)
{
    (void)state;
    const size_t size = mrd_block_bloom_size(KEYS, 1 << 20);
    assert_int_equal(size % MRD_BLOCK_BLOOM_LINE, 0);
    assert_true(size * 8 >= KEYS * MRD_BLOCK_BLOOM_KEY_BITS);
    uint8_t *bits = mrd_arena_alloc(arena, size);
    const uint64_t seed = mrd_block_bloom_tenant(MRD_BYTES("tenant"));
    size_t foreign = 0;
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < KEYS * 2; i++) {
            char text[32];
            (void)snprintf(text, sizeof(text), "device-%u", i);
            const uint64_t key =
                mrd_block_bloom_pair(seed, MRD_BYTES("device"), mrd_bytes_of(text));
            if (round == 0 && i < KEYS) {
                mrd_block_bloom_add(bits, size, key);
            } else if (round == 1) {
                const struct mrd_block_bloom bloom = {
                    .bits = {bits, size}
                };
                const bool has = mrd_block_bloom_has(&bloom, key);
                assert_true(has || i >= KEYS);
                foreign += has && i >= KEYS;
            }
        }
    }
    assert_true(foreign < KEYS / 40); /* 1 in 60 is expected */
    assert_int_equal(mrd_block_bloom_size(1000000, 64), 0);
    const struct mrd_block_bloom none = {.bits = MRD_BYTES_NONE};
    assert_true(mrd_block_bloom_has(&none, 5));
}

static void blocks_without_the_device_are_skipped(void **state)
{
    (void)state;
    struct mrd_block_entry entry = plain_entry();
    const uint64_t seed = mrd_block_bloom_tenant(MRD_BYTES("t"));
    const size_t size = mrd_block_bloom_size(2, 64);
    uint8_t *bits = mrd_arena_alloc(arena, size);
    mrd_block_bloom_add(bits, size, seed);
    mrd_block_bloom_add(bits, size,
                        mrd_block_bloom_pair(seed, MRD_BYTES("device"), MRD_BYTES("1")));
    entry.bloom.bits = (struct mrd_bytes){bits, size};
    static const struct {
        enum mrd_match_type type;
        const char *value;
        const char *tenant;
        mrd_time_ms min_ms, max_ms;
        bool want;
    } cases[] = {
        {MRD_MATCH_EQ,  "1",     "t", 0,   9,  true },
        {MRD_MATCH_EQ,  "2",     "t", 0,   9,  false},
        {MRD_MATCH_EQ,  "1",     "u", 0,   9,  false},
        {MRD_MATCH_EQ,  "1",     "t", 6,   9,  false},
        {MRD_MATCH_EQ,  "1",     "t", 5,   9,  true },
        {MRD_MATCH_EQ,  "1",     "t", -99, -6, false},
        {MRD_MATCH_EQ,  "",      "t", 0,   9,  true },
        {MRD_MATCH_NE,  "2",     "t", 0,   9,  true },
        {MRD_MATCH_RE,  "2|1",   "t", 0,   9,  true },
        {MRD_MATCH_RE,  "2|3",   "t", 0,   9,  false},
        {MRD_MATCH_RE,  "2|3|",  "t", 0,   9,  true },
        {MRD_MATCH_RE,  "[23]x", "t", 0,   9,  true },
        {MRD_MATCH_NRE, "2|3",   "t", 0,   9,  true },
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        struct mrd_matcher matcher;
        assert_int_equal(mrd_matcher_init(&matcher, cases[i].type, MRD_BYTES("device"),
                                          mrd_bytes_of(cases[i].value), NULL),
                         MRD_OK);
        const bool got = mrd_block_entry_may_match(&entry, mrd_bytes_of(cases[i].tenant), &matcher,
                                                   1, cases[i].min_ms, cases[i].max_ms);
        if (got != cases[i].want) {
            fail_msg("case %zu: %d", i, got);
        }
        mrd_matcher_fini(&matcher);
    }
}

/* ---- schema ---- */

static void the_schema_has_the_tables_columns(void **state)
{
    (void)state;
    const struct mrd_block_promoted promoted[] = {
        {"job",  2   },
        {"site", 1003},
    };
    struct mrd_block_schema schema;
    struct mrd_block_schema_options options = {.promoted = promoted, .promoted_count = 2};
    assert_int_equal(mrd_block_schema_init(&options, &schema, NULL), MRD_OK);
    assert_string_equal(schema.columns[0].name, "tenant");
    assert_int_equal(mrd_block_schema_find(&schema, MRD_BLOCK_FIELD_LABELS), -1);
    options.level = 2;
    assert_int_equal(mrd_block_schema_init(&options, &schema, NULL), MRD_OK);
    assert_string_equal(schema.columns[0].name, "metric");
    assert_int_equal(mrd_block_schema_find(&schema, MRD_BLOCK_FIELD_TENANT), -1);
    assert_int_equal(mrd_block_schema_find(&schema, MRD_BLOCK_FIELD_VALUE_I), -1);
    const int site = mrd_block_schema_find(&schema, 1003);
    assert_true(site > 0 && schema.columns[site].promoted && !schema.columns[site].required);
    const int labels = mrd_block_schema_find(&schema, MRD_BLOCK_FIELD_LABELS);
    assert_int_equal(schema.columns[labels].value_id, MRD_BLOCK_FIELD_LABELS_VALUE);
    assert_int_equal(schema.columns[schema.column_count - 1].field_id, MRD_BLOCK_FIELD_HLC);
    options.compact = true;
    assert_int_equal(mrd_block_schema_init(&options, &schema, NULL), MRD_OK);
    assert_int_equal(mrd_block_schema_find(&schema, MRD_BLOCK_FIELD_VALUE_E),
                     mrd_block_schema_find(&schema, MRD_BLOCK_FIELD_VALUE) + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_come_back),
        cmocka_unit_test(entries_of_later_versions_are_not_guessed_at),
        cmocka_unit_test(entries_that_cannot_be_are_refused),
        cmocka_unit_test(a_bloom_filter_has_what_was_added_and_little_else),
        cmocka_unit_test(blocks_without_the_device_are_skipped),
        cmocka_unit_test(the_schema_has_the_tables_columns),
    };
    return cmocka_run_group_tests(tests, open_arena, close_arena);
}
