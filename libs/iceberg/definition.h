/* definition.h: what an Iceberg table is made of besides its files: columns, partitions, order, properties.
 * Our subset of the table specification, version 2.
 *
 *   types       boolean, int, long, double, string, binary, date, timestamptz, map<string, string>
 *   partitions  by day or month of a column, or none; several specs, of which each file names one
 *   order       by columns as they are
 *
 * What a table has had it keeps: an id is that of one column for good, with its name and type (which may become optional,
 * may go and come back); a spec is never changed, new ones come behind; the order stays. So old files stay readable, and ids
 * and indices mean the same in all versions.
 *
 * Owner:   plain values; pointers are lent by whoever fills them in.
 * Threads: pure functions.
 */
#ifndef MRD_ICEBERG_DEFINITION_H
#define MRD_ICEBERG_DEFINITION_H

#include <stdbool.h>

#include "base/bytes.h"

enum {
    MRD_ICEBERG_FIELDS_MAX = 256,
    MRD_ICEBERG_SPECS_MAX = 16,
    MRD_ICEBERG_PARTITION_FIELDS_MAX = 4,
    MRD_ICEBERG_SORT_FIELDS_MAX = 16,
    MRD_ICEBERG_PROPERTIES_MAX = 256,
    MRD_ICEBERG_TEXT_SIZE_MAX = 4096, /* of a name, a location, a property's value */
    MRD_ICEBERG_PARTITION_ID_FIRST = 1000,
};

enum mrd_iceberg_type {
    MRD_ICEBERG_BOOLEAN,
    MRD_ICEBERG_INT,
    MRD_ICEBERG_LONG,
    MRD_ICEBERG_DOUBLE,
    MRD_ICEBERG_STRING,
    MRD_ICEBERG_BINARY,
    MRD_ICEBERG_DATE,
    MRD_ICEBERG_TIMESTAMPTZ, /* microseconds */
    MRD_ICEBERG_STRING_MAP,
    MRD_ICEBERG_TYPE_COUNT
};

struct mrd_iceberg_field {
    int32_t id;
    const char *name;
    const char *doc; /* for people at SQL tools; NULL: none */
    enum mrd_iceberg_type type;
    bool required;
    int32_t key_id; /* maps only */
    int32_t value_id;
    bool value_required;
};

enum mrd_iceberg_transform { MRD_ICEBERG_DAY, MRD_ICEBERG_MONTH };

struct mrd_iceberg_partition_field {
    int32_t source_id; /* a required date or timestamptz column */
    enum mrd_iceberg_transform transform;
    const char *name; /* letters, digits and _ */
};

/* Its id is its index among the specs. No fields: not partitioned. */
struct mrd_iceberg_spec {
    struct mrd_iceberg_partition_field fields[MRD_ICEBERG_PARTITION_FIELDS_MAX];
    size_t field_count;
};

struct mrd_iceberg_sort_field {
    int32_t source_id;
    bool descending;
    bool nulls_last;
};

struct mrd_iceberg_property {
    const char *key;
    const char *value;
};

struct mrd_iceberg_definition {
    const struct mrd_iceberg_field *fields;
    size_t field_count;
    const struct mrd_iceberg_spec *specs; /* at least one; the last is the table's default */
    size_t spec_count;
    const struct mrd_iceberg_sort_field
        *sort; /* order 1 of every file that says so; none: unsorted */
    size_t sort_count;
    const struct mrd_iceberg_property *properties;
    size_t property_count;
};

/* MRD_E_INVALID says what is wrong with the definition by itself. */
MRD_MUST_CHECK enum mrd_status
mrd_iceberg_definition_check(const struct mrd_iceberg_definition *definition,
                             struct mrd_error *err);

/* "timestamptz"; NULL for the map, which has no word. */
const char *mrd_iceberg_type_name(enum mrd_iceberg_type type);

/* The bytes of a bound (Iceberg's single-value serialisation): 1, 4 or 8, or 0 for any number. */
size_t mrd_iceberg_type_size(enum mrd_iceberg_type type);

const char *mrd_iceberg_transform_name(enum mrd_iceberg_transform transform);

/* Whether two specs have the same fields. */
bool mrd_iceberg_spec_equal(const struct mrd_iceberg_spec *a, const struct mrd_iceberg_spec *b);

/* The column with this id, or NULL; the keys and values of a map are found as the map's `key_id` and `value_id`:
 * *out_type is then the type of those, a string. */
const struct mrd_iceberg_field *mrd_iceberg_field_find(const struct mrd_iceberg_field *fields,
                                                       size_t field_count, int32_t id,
                                                       enum mrd_iceberg_type *out_type);

/* The partition of a time: days or months since 1970-01-01, also before it. */
int32_t mrd_iceberg_partition_of_ms(enum mrd_iceberg_transform transform, int64_t time_ms);

#endif
