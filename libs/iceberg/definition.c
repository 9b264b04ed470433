#include "iceberg/definition.h"

#include <time.h>

static const char *const type_names[MRD_ICEBERG_TYPE_COUNT] = {
    [MRD_ICEBERG_BOOLEAN] = "boolean", [MRD_ICEBERG_INT] = "int",
    [MRD_ICEBERG_LONG] = "long",       [MRD_ICEBERG_DOUBLE] = "double",
    [MRD_ICEBERG_STRING] = "string",   [MRD_ICEBERG_BINARY] = "binary",
    [MRD_ICEBERG_DATE] = "date",       [MRD_ICEBERG_TIMESTAMPTZ] = "timestamptz",
};

const char *mrd_iceberg_type_name(enum mrd_iceberg_type type) { return type_names[type]; }

size_t mrd_iceberg_type_size(enum mrd_iceberg_type type)
{
    static const size_t sizes[MRD_ICEBERG_TYPE_COUNT] = {
        [MRD_ICEBERG_BOOLEAN] = 1, [MRD_ICEBERG_INT] = 4,  [MRD_ICEBERG_LONG] = 8,
        [MRD_ICEBERG_DOUBLE] = 8,  [MRD_ICEBERG_DATE] = 4, [MRD_ICEBERG_TIMESTAMPTZ] = 8,
    };
    return sizes[type];
}

const char *mrd_iceberg_transform_name(enum mrd_iceberg_transform transform)
{
    return transform == MRD_ICEBERG_DAY ? "day" : "month";
}

bool mrd_iceberg_spec_equal(const struct mrd_iceberg_spec *a, const struct mrd_iceberg_spec *b)
{
    bool equal = a->field_count == b->field_count;
    for (size_t i = 0; equal && i < a->field_count; i++) {
        equal = a->fields[i].source_id == b->fields[i].source_id &&
                a->fields[i].transform == b->fields[i].transform &&
                strcmp(a->fields[i].name, b->fields[i].name) == 0;
    }
    return equal;
}

const struct mrd_iceberg_field *mrd_iceberg_field_find(const struct mrd_iceberg_field *fields,
                                                       size_t field_count, int32_t id,
                                                       enum mrd_iceberg_type *out_type)
{
    for (size_t i = 0; i < field_count; i++) {
        const struct mrd_iceberg_field *field = &fields[i];
        const bool inside =
            field->type == MRD_ICEBERG_STRING_MAP && (field->key_id == id || field->value_id == id);
        if (field->id == id || inside) {
            *out_type = inside ? MRD_ICEBERG_STRING : field->type;
            return field;
        }
    }
    return NULL;
}

int32_t mrd_iceberg_partition_of_ms(enum mrd_iceberg_transform transform, int64_t time_ms)
{
    enum { DAY_SECONDS = 86400 };
    const int64_t seconds = time_ms / 1000 - (time_ms % 1000 < 0);
    if (transform == MRD_ICEBERG_DAY) {
        return (int32_t)(seconds / DAY_SECONDS - (seconds % DAY_SECONDS < 0));
    }
    const time_t at = (time_t)seconds;
    struct tm parts = {0};
    mrd_assert(gmtime_r(&at, &parts) != NULL); /* a time in milliseconds has a year that fits */
    return (parts.tm_year - 70) * 12 + parts.tm_mon;
}

/* ---- check ---- */

static bool is_text(const char *text)
{
    const size_t size = text == NULL ? 0 : strnlen(text, MRD_ICEBERG_TEXT_SIZE_MAX + 1);
    return size > 0 && size <= MRD_ICEBERG_TEXT_SIZE_MAX &&
           mrd_bytes_utf8_valid((struct mrd_bytes){(const uint8_t *)text, size});
}

/* A name that Avro takes as well. */
static bool is_word(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    static const char all[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    return is_text(text) && strchr(letters, text[0]) != NULL && text[strspn(text, all)] == '\0';
}

static bool id_taken(const struct mrd_iceberg_field *fields, size_t field_count, int32_t id)
{
    enum mrd_iceberg_type unused;
    return id <= 0 || mrd_iceberg_field_find(fields, field_count, id, &unused) != NULL;
}

static enum mrd_status check_field(const struct mrd_iceberg_definition *definition, size_t index,
                                   struct mrd_error *err)
{
    const struct mrd_iceberg_field *field = &definition->fields[index];
    const bool map = field->type == MRD_ICEBERG_STRING_MAP;
    if (!is_text(field->name) || (unsigned)field->type >= MRD_ICEBERG_TYPE_COUNT ||
        (field->doc != NULL && !is_text(field->doc))) {
        return mrd_fail(err, MRD_E_INVALID, "column %zu of the table has no name, type or text",
                        index);
    }
    if (id_taken(definition->fields, index, field->id) ||
        (map && (id_taken(definition->fields, index, field->key_id) ||
                 id_taken(definition->fields, index, field->value_id) ||
                 field->key_id == field->value_id || field->key_id == field->id ||
                 field->value_id == field->id))) {
        return mrd_fail(err, MRD_E_INVALID, "column \"%s\" has an id below 1 or of another column",
                        field->name);
    }
    for (size_t i = 0; i < index; i++) {
        if (strcmp(definition->fields[i].name, field->name) == 0) {
            return mrd_fail(err, MRD_E_INVALID, "two columns have the name \"%s\"", field->name);
        }
    }
    return MRD_OK;
}

static enum mrd_status check_spec(const struct mrd_iceberg_definition *definition,
                                  const struct mrd_iceberg_spec *spec, struct mrd_error *err)
{
    if (spec->field_count > MRD_ICEBERG_PARTITION_FIELDS_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "a partition spec of %zu fields, at most %d",
                        spec->field_count, MRD_ICEBERG_PARTITION_FIELDS_MAX);
    }
    for (size_t i = 0; i < spec->field_count; i++) {
        const struct mrd_iceberg_partition_field *field = &spec->fields[i];
        enum mrd_iceberg_type type = MRD_ICEBERG_INT;
        const struct mrd_iceberg_field *source = mrd_iceberg_field_find(
            definition->fields, definition->field_count, field->source_id, &type);
        const bool timed = type == MRD_ICEBERG_DATE || type == MRD_ICEBERG_TIMESTAMPTZ;
        if (source == NULL || !timed || !source->required || !is_word(field->name) ||
            (field->transform != MRD_ICEBERG_DAY && field->transform != MRD_ICEBERG_MONTH)) {
            return mrd_fail(err, MRD_E_INVALID,
                            "partition field \"%s\" needs a required column of times to be the day "
                            "or month of",
                            field->name == NULL ? "" : field->name);
        }
    }
    return MRD_OK;
}

static enum mrd_status check_sort(const struct mrd_iceberg_definition *definition,
                                  struct mrd_error *err)
{
    if (definition->sort_count > MRD_ICEBERG_SORT_FIELDS_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "a sort order of %zu columns, at most %d",
                        definition->sort_count, MRD_ICEBERG_SORT_FIELDS_MAX);
    }
    for (size_t i = 0; i < definition->sort_count; i++) {
        const int32_t id = definition->sort[i].source_id;
        enum mrd_iceberg_type type = MRD_ICEBERG_STRING_MAP;
        const struct mrd_iceberg_field *source =
            mrd_iceberg_field_find(definition->fields, definition->field_count, id, &type);
        if (source == NULL || source->type == MRD_ICEBERG_STRING_MAP) {
            return mrd_fail(err, MRD_E_INVALID, "no order by column %d: it is none, or a map", id);
        }
    }
    return MRD_OK;
}

static enum mrd_status check_properties(const struct mrd_iceberg_definition *definition,
                                        struct mrd_error *err)
{
    if (definition->property_count > MRD_ICEBERG_PROPERTIES_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "a table of %zu properties, at most %d",
                        definition->property_count, MRD_ICEBERG_PROPERTIES_MAX);
    }
    for (size_t i = 0; i < definition->property_count; i++) {
        const struct mrd_iceberg_property *property = &definition->properties[i];
        bool good = is_text(property->key) && is_text(property->value);
        for (size_t j = 0; good && j < i; j++) {
            good = strcmp(definition->properties[j].key, property->key) != 0;
        }
        if (!good) {
            return mrd_fail(err, MRD_E_INVALID,
                            "property %zu of the table has no key or value, or one before has its "
                            "key",
                            i);
        }
    }
    return MRD_OK;
}

enum mrd_status mrd_iceberg_definition_check(const struct mrd_iceberg_definition *definition,
                                             struct mrd_error *err)
{
    if (definition->field_count == 0 || definition->field_count > MRD_ICEBERG_FIELDS_MAX ||
        definition->spec_count == 0 || definition->spec_count > MRD_ICEBERG_SPECS_MAX) {
        return mrd_fail(err, MRD_E_INVALID,
                        "a table has 1 to %d columns and 1 to %d partition specs",
                        MRD_ICEBERG_FIELDS_MAX, MRD_ICEBERG_SPECS_MAX);
    }
    for (size_t i = 0; i < definition->field_count; i++) {
        MRD_TRY(check_field(definition, i, err));
    }
    for (size_t i = 0; i < definition->spec_count; i++) {
        MRD_TRY(check_spec(definition, &definition->specs[i], err));
    }
    MRD_TRY(check_sort(definition, err));
    return check_properties(definition, err);
}
