#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "iceberg/json_internal.h"
#include "iceberg/tables.h"
#include "iceberg/view.h"

static struct mrd_block_schema columns;
static struct mrd_iceberg_table_definition definition;
static struct mrd_iceberg_schema schemas[2];
static struct mrd_iceberg_metadata table;
static const struct mrd_iceberg_view view = {
    .table = &table, .tenant = MRD_BYTES("farm-7"), .catalog = MRD_BYTES_NONE};

/* The table of a tenant whose second label has an odd name; its second schema is the current one. */
static void make_table(bool compact)
{
    static const struct mrd_block_promoted promoted[] = {
        {"job",   2},
        {"group", 3}
    };
    const struct mrd_block_schema_options options = {
        .level = 1, .promoted = promoted, .promoted_count = 2, .compact = compact};
    assert_int_equal(mrd_block_schema_init(&options, &columns, NULL), MRD_OK);
    mrd_iceberg_samples_table(&columns, &definition);
    schemas[1] =
        (struct mrd_iceberg_schema){4, definition.fields, definition.definition.field_count};
    table = (struct mrd_iceberg_metadata){.uuid = "00112233-4455-6677-8899-aabbccddeeff",
                                          .location = "s3://lake/eu/farm-7/samples",
                                          .updated_ms = 1700000000000,
                                          .schema_id = 4,
                                          .schemas = schemas,
                                          .schema_count = 2};
}

static void expect_sql(char quote, const char *want)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf sql = {0};
    mrd_iceberg_view_sql(&view, quote, &sql);
    mrd_buf_append_u8(&sql, 0);
    assert_string_equal((const char *)sql.data, want);
}

static void values_are_decoded_where_files_may_have_integers(void **state)
{
    (void)state;
    make_table(true);
    expect_sql('"',
               "SELECT \"metric\", \"job\", \"group\", \"labels\", \"series_id\", \"ts\", "
               "coalesce(\"value\", CAST(\"value_i\" AS DOUBLE) / power(CAST(10 AS DOUBLE), "
               "\"value_e\")) AS \"value\", \"st\", \"h_count\", \"h_sum\", \"h_schema\", "
               "\"h_zero_threshold\", \"h_zero_count\", \"h_chunk\", \"hlc\" FROM \"samples\"");
    make_table(false);
    expect_sql('`', "SELECT `metric`, `job`, `group`, `labels`, `series_id`, `ts`, `value`, `st`, "
                    "`h_count`, `h_sum`, `h_schema`, `h_zero_threshold`, `h_zero_count`, "
                    "`h_chunk`, `hlc` FROM `samples`");
}

static void quotes_in_names_are_doubled(void **state)
{
    (void)state;
    static const struct mrd_iceberg_field odd = {
        .id = 1, .name = "a\"b`c", .type = MRD_ICEBERG_STRING};
    make_table(false);
    schemas[1] = (struct mrd_iceberg_schema){4, &odd, 1};
    expect_sql('"', "SELECT \"a\"\"b`c\" FROM \"samples\"");
    expect_sql('`', "SELECT `a\"b``c` FROM `samples`");
}

/* ---- the metadata ---- */

static struct mrd_arena *arena;
static struct mrd_buf json;
static struct ice_document document;

static const struct ice_value *make_metadata(const struct mrd_iceberg_view *of)
{
    struct ice_json_writer writer = {.out = &json};
    mrd_buf_clear(&json);
    ice_put_view(&writer, NULL, of);
    assert_int_equal(ice_put_end(&writer, NULL), MRD_OK);
    assert_int_equal(ice_json_parse("view", mrd_buf_view(&json), arena, &document, NULL), MRD_OK);
    return ice_document_root(&document);
}

static int begin(void **state)
{
    (void)state;
    arena = mrd_arena_create("test", 1 << 20);
    return 0;
}

static int end(void **state)
{
    (void)state;
    ice_document_fini(&document);
    mrd_buf_fini(&json);
    mrd_arena_destroy(&arena);
    return 0;
}

static bool says(const struct ice_value *object, const char *key, const char *text)
{
    const struct ice_value *value = ice_json_member(object, key);
    return value != NULL && value->kind == ICE_TEXT &&
           mrd_bytes_equal(value->text, mrd_bytes_of(text));
}

static void the_metadata_has_what_the_specification_asks_for(void **state)
{
    (void)state;
    make_table(true);
    const struct ice_value *root = make_metadata(&view);
    assert_int_equal(ice_json_member(root, "format-version")->number, 1);
    assert_true(says(root, "location", "s3://lake/eu/farm-7/samples_plain"));
    assert_int_equal(ice_json_member(root, "current-version-id")->number, 5);
    const struct ice_value *schema = ice_json_member(root, "schemas") + 1;
    assert_int_equal(ice_json_member(schema, "schema-id")->number, 4);
    assert_int_equal(ice_json_member(schema, "fields")->count, columns.column_count - 2);
    const struct ice_value *version = ice_json_member(root, "versions") + 1;
    assert_int_equal(ice_json_member(version, "version-id")->number, 5);
    assert_int_equal(ice_json_member(version, "schema-id")->number, 4);
    assert_null(ice_json_member(version, "default-catalog"));
    assert_true(
        mrd_bytes_equal(ice_json_member(version, "default-namespace")[1].text, view.tenant));
    const struct ice_value *form = ice_json_member(version, "representations");
    assert_int_equal(form->count, 3);
    static const char *const dialects[] = {"spark", "trino", "duckdb"};
    form++;
    for (size_t i = 0; i < 3; i++, form = ice_json_next(form)) {
        assert_true(says(form, "type", "sql"));
        assert_true(says(form, "dialect", dialects[i]));
    }
    struct mrd_iceberg_view named = view;
    named.catalog = MRD_BYTES("lake");
    root = make_metadata(&named);
    assert_true(says(ice_json_member(root, "versions") + 1, "default-catalog", "lake"));
}

/* Clients refuse a view whose UUID has changed. */
static void the_uuid_is_that_of_the_table(void **state)
{
    (void)state;
    make_table(true);
    char uuid[MRD_ICEBERG_UUID_TEXT_SIZE] = {0};
    struct mrd_bytes text = ice_json_member(make_metadata(&view), "view-uuid")->text;
    assert_int_equal(text.size, sizeof(uuid) - 1);
    memcpy(uuid, text.data, text.size);
    assert_int_equal(uuid[14], '8');
    assert_non_null(strchr("89ab", uuid[19]));
    make_table(false);
    table.updated_ms++;
    assert_true(says(make_metadata(&view), "view-uuid", uuid));
    table.uuid[0] = '1';
    assert_false(says(make_metadata(&view), "view-uuid", uuid));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_decoded_where_files_may_have_integers),
        cmocka_unit_test(quotes_in_names_are_doubled),
        cmocka_unit_test_setup_teardown(the_metadata_has_what_the_specification_asks_for, begin,
                                        end),
        cmocka_unit_test_setup_teardown(the_uuid_is_that_of_the_table, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
