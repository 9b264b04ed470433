#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "iceberg/metadata.h"

static const struct mrd_iceberg_field fields[] = {
    {.id = 1,
     .name = "metric",
     .type = MRD_ICEBERG_STRING,
     .required = true,
     .doc = "says \"what\""},
    {.id = 2,           .name = "ts",                           .type = MRD_ICEBERG_TIMESTAMPTZ,                                               .required = true},
    {.id = 3,
     .name = "labels",
     .type = MRD_ICEBERG_STRING_MAP,
     .required = true,
     .key_id = 4,
     .value_id = 5,
     .value_required = true},
    {.id = 6,                 .name = "value",                     .type = MRD_ICEBERG_DOUBLE                                                              },
};
static const struct mrd_iceberg_spec specs[] = {
    {.fields = {{2, MRD_ICEBERG_DAY, "ts_day"}},     .field_count = 1},
    {.fields = {{2, MRD_ICEBERG_MONTH, "ts_month"}}, .field_count = 1},
};
static const struct mrd_iceberg_sort_field sort[] = {{.source_id = 1}};
static const struct mrd_iceberg_property properties[] = {
    {"gc.enabled", "false"}
};
static const struct mrd_iceberg_property summary[] = {
    {"operation",        "append"},
    {"total-data-files", "1"     }
};
static const struct mrd_iceberg_schema schemas[] = {
    {3, fields, 4}
};
static const struct mrd_iceberg_snapshot snapshots[] = {
    {.id = 77,
     .sequence_number = 4,
     .time_ms = 900,
     .manifest_list = "file:///x/snap-77.avro",
     .schema_id = 3,
     .summary = summary,
     .summary_count = 2},
    { .id = 78,
     .parent_id = 77,
     .sequence_number = 5,
     .time_ms = 1000,
     .manifest_list = "file:///x/snap-78.avro",
     .schema_id = 3,
     .summary = summary,
     .summary_count = 2},
};
static const struct mrd_iceberg_snapshot_entry snapshot_log[] = {
    {900,  77},
    {1000, 78}
};
static const struct mrd_iceberg_metadata_entry metadata_log[] = {
    {900, "file:///x/00001-a.metadata.json"}
};
static const struct mrd_iceberg_metadata sample = {
    .uuid = "00112233-4455-6677-8899-aabbccddeeff",
    .location = "file:///x",
    .last_sequence_number = 5,
    .updated_ms = 1000,
    .last_column_id = 6,
    .last_partition_id = 1001,
    .schema_id = 3,
    .schemas = schemas,
    .schema_count = 1,
    .specs = specs,
    .spec_count = 2,
    .sort = sort,
    .sort_count = 1,
    .properties = properties,
    .property_count = 1,
    .snapshot_id = 78,
    .snapshots = snapshots,
    .snapshot_count = 2,
    .snapshot_log = snapshot_log,
    .snapshot_log_count = 2,
    .metadata_log = metadata_log,
    .metadata_log_count = 1,
};

static struct mrd_arena *arena;
static char text[16384];

static int make(void **state)
{
    (void)state;
    arena = mrd_arena_create("test", 1 << 20);
    mrd_auto(mrd_buf_fini)
    struct mrd_buf json = {0};
    assert_int_equal(mrd_iceberg_metadata_write(&sample, &json, NULL), MRD_OK);
    assert_true(json.size < sizeof(text));
    memcpy(text, json.data, json.size);
    text[json.size] = '\0';
    return 0;
}

static int drop(void **state)
{
    (void)state;
    mrd_arena_destroy(&arena);
    return 0;
}

static void what_is_written_comes_back(void **state)
{
    (void)state;
    struct mrd_iceberg_metadata *got;
    assert_int_equal(mrd_iceberg_metadata_read(mrd_bytes_of(text), arena, &got, NULL), MRD_OK);
    mrd_auto(mrd_buf_fini)
    struct mrd_buf again = {0};
    assert_int_equal(mrd_iceberg_metadata_write(got, &again, NULL), MRD_OK);
    assert_int_equal(again.size, strlen(text));
    assert_memory_equal(again.data, text, again.size);
    assert_string_equal(got->schemas[0].fields[0].doc, "says \"what\"");
    assert_int_equal(got->schemas[0].fields[2].value_id, 5);
    assert_int_equal(got->specs[1].fields[0].transform, MRD_ICEBERG_MONTH);
    assert_int_equal(got->snapshots[1].parent_id, 77);
    assert_string_equal(mrd_iceberg_property_find(got->snapshots[1].summary, 2, "total-data-files"),
                        "1");
}

/* Each is one edit of the text that is right otherwise. */
static const struct {
    const char *from, *to;
    enum mrd_status want;
    const char *says;
} edits[] = {
    {"\"format-version\":2",        "\"format-version\":3",         MRD_E_UNSUPPORTED, "format version 3"       },
    {"\"format-version\":2",        "\"format-version\":2,\"x\":1", MRD_E_UNSUPPORTED, "\"x\" is unknown"       },
    {"\"location\":",               "\"location\":1,\"location\":", MRD_E_CORRUPT,     "no JSON"                },
    {"\"required\":true,",          "",                             MRD_E_CORRUPT,     "\"required\" is missing"},
    {"\"type\":\"double\"",         "\"type\":\"decimal(9,2)\"",    MRD_E_UNSUPPORTED, "decimal"                },
    {"\"transform\":\"day\"",       "\"transform\":\"bucket[16]\"", MRD_E_UNSUPPORTED, "bucket"                 },
    {"\"field-id\":1001",           "\"field-id\":1003",            MRD_E_CORRUPT,     "field-id"               },
    {"\"current-snapshot-id\":78",  "\"current-snapshot-id\":79",   MRD_E_CORRUPT,     "snapshot-id"            },
    {"\"snapshot-id\":77,\"timest", "\"snapshot-id\":78,\"timest",  MRD_E_CORRUPT,
     "out of order, double"                                                                                     },
    {"\"sequence-number\":4",       "\"sequence-number\":5",        MRD_E_CORRUPT,     "out of order"           },
    {"\"current-schema-id\":3",     "\"current-schema-id\":2",      MRD_E_CORRUPT,
     "current schema is missing"                                                                                },
    {"\"last-column-id\":6",        "\"last-column-id\":5",         MRD_E_CORRUPT,     "above the last id"      },
    {"\"value-id\":5",              "\"value-id\":2",               MRD_E_CORRUPT,     "of another column"      },
    {"\"snapshot-id\":78}]",        "\"snapshot-id\":77}]",         MRD_E_CORRUPT,     "does not end with"      },
    {"00112233-",                   "0011223x-",                    MRD_E_CORRUPT,     "table-uuid"             },
    {"\"type\":\"branch\"",         "\"type\":\"tag\"",             MRD_E_CORRUPT,     "main is no branch"      },
    {"\"refs\":{",                  "\"refs\":{\"dev\":{},",        MRD_E_UNSUPPORTED, "\"dev\" is unknown"     },
    {"\"operation\":\"append\",",   "",                             MRD_E_CORRUPT,     "without an operation"   },
};

static void wrong_metadata_is_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(edits); i++) {
        const char *at = strstr(text, edits[i].from);
        assert_non_null(at);
        char edited[sizeof(text) + 256];
        (void)snprintf(edited, sizeof(edited), "%.*s%s%s", (int)(at - text), text, edits[i].to,
                       at + strlen(edits[i].from));
        struct mrd_iceberg_metadata *got = NULL;
        struct mrd_error err = {0};
        const enum mrd_status status =
            mrd_iceberg_metadata_read(mrd_bytes_of(edited), arena, &got, &err);
        if (status != edits[i].want || strstr(err.text, edits[i].says) == NULL || got != NULL) {
            fail_msg("%s -> %s: %d %s", edits[i].from, edits[i].to, status, err.text);
        }
    }
}

static void every_cut_is_refused(void **state)
{
    (void)state;
    for (size_t size = 0; size < strlen(text); size += 7) {
        struct mrd_iceberg_metadata *got = NULL;
        const struct mrd_bytes cut = {(const uint8_t *)text, size};
        assert_int_equal(mrd_iceberg_metadata_read(cut, arena, &got, NULL), MRD_E_CORRUPT);
    }
}

static void memory_is_bounded(void **state)
{
    (void)state;
    for (size_t limit = 1;; limit *= 2) {
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *small = mrd_arena_create("small", limit);
        struct mrd_iceberg_metadata *got = NULL;
        const enum mrd_status status =
            mrd_iceberg_metadata_read(mrd_bytes_of(text), small, &got, NULL);
        if (status == MRD_OK) {
            break;
        }
        assert_int_equal(status, MRD_E_LIMIT);
        assert_null(got);
    }
    mrd_auto(mrd_buf_fini)
    struct mrd_buf many = {0};
    mrd_buf_append_u8(&many, '[');
    for (size_t i = 0; i < MRD_ICEBERG_JSON_VALUES_MAX; i++) {
        mrd_buf_append_text(&many, "[],");
    }
    struct mrd_iceberg_metadata *got;
    assert_int_equal(mrd_iceberg_metadata_read(mrd_buf_view(&many), arena, &got, NULL),
                     MRD_E_LIMIT);
}

static void partitions_of_times(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        int32_t day, month;
    } cases[] = {
        {0,             0,     0  },
        {86399999,      0,     0  },
        {86400000,      1,     0  },
        {-1,            -1,    -1 },
        {-86400000,     -1,    -1 },
        {-86400001,     -2,    -1 },
        {1709164800000, 19782, 649}, /* 2024-02-29 */
        {1709251200000, 19783, 650},
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        assert_int_equal(mrd_iceberg_partition_of_ms(MRD_ICEBERG_DAY, cases[i].ms), cases[i].day);
        assert_int_equal(mrd_iceberg_partition_of_ms(MRD_ICEBERG_MONTH, cases[i].ms),
                         cases[i].month);
    }
}

static void definitions_are_checked(void **state)
{
    (void)state;
    struct mrd_iceberg_field changed[MRD_ARRAY_LEN(fields)];
    struct mrd_iceberg_definition definition = {
        .fields = changed,
        .field_count = MRD_ARRAY_LEN(fields),
        .specs = specs,
        .spec_count = 2,
        .sort = sort,
        .sort_count = 1,
    };
    memcpy(changed, fields, sizeof(fields));
    assert_int_equal(mrd_iceberg_definition_check(&definition, NULL), MRD_OK);
    changed[3].id = 4; /* the map's key */
    assert_int_equal(mrd_iceberg_definition_check(&definition, NULL), MRD_E_INVALID);
    changed[3] = fields[3];
    changed[3].name = "metric";
    assert_int_equal(mrd_iceberg_definition_check(&definition, NULL), MRD_E_INVALID);
    changed[3] = fields[3];
    changed[1].required = false; /* a partition of nothing */
    assert_int_equal(mrd_iceberg_definition_check(&definition, NULL), MRD_E_INVALID);
    changed[1] = fields[1];
    definition.sort = &(struct mrd_iceberg_sort_field){.source_id = 3}; /* a map has no order */
    assert_int_equal(mrd_iceberg_definition_check(&definition, NULL), MRD_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_comes_back, make, drop),
        cmocka_unit_test_setup_teardown(wrong_metadata_is_refused_by_name, make, drop),
        cmocka_unit_test_setup_teardown(every_cut_is_refused, make, drop),
        cmocka_unit_test_setup_teardown(memory_is_bounded, make, drop),
        cmocka_unit_test(partitions_of_times),
        cmocka_unit_test(definitions_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
