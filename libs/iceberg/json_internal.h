/* json_internal.h: JSON read strictly, with one error for a whole document, and written, both without a tree of allocations: tables
 * of small tenants are little else than metadata.
 *
 * A reader is sticky: after the first error every call returns nothing, so the document's code checks once at its
 * end. `what` names the document in error texts. A writer is sticky likewise.
 */
#ifndef MRD_ICEBERG_JSON_INTERNAL_H
#define MRD_ICEBERG_JSON_INTERNAL_H

#include "base/arena.h"
#include "iceberg/metadata.h"

#define ICE_METADATA "Iceberg metadata" /* in error texts */

/* How many bytes there are before the first that JSON has no room for within quotes, or that ends or escapes a text: eight at once, as
 * nearly all texts are short and plain. */
static inline size_t ice_json_plain(const uint8_t *at, size_t size)
{
    const uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;
    size_t i = 0;
    for (uint64_t word; size - i >= sizeof(word); i += sizeof(word)) {
        memcpy(&word, at + i, sizeof(word));
        const uint64_t quote = word ^ (ones * '"'), escape = word ^ (ones * '\\');
        if ((((word - ones * 0x20) & ~word) | ((quote - ones) & ~quote) |
             ((escape - ones) & ~escape)) &
            tops) {
            break;
        }
    }
    while (i < size && at[i] >= 0x20 && at[i] != '"' && at[i] != '\\') {
        i++;
    }
    return i;
}

/* ---- documents ---- */

enum ice_kind { ICE_NULL, ICE_BOOL, ICE_INT, ICE_REAL, ICE_TEXT, ICE_ARRAY, ICE_OBJECT };

/* What is inside a value lies behind it, in the order of the text. */
struct ice_value {
    enum ice_kind kind;
    uint32_t count; /* of an array's items or an object's members */
    uint32_t span;  /* values, with itself and all that is inside: as far as the next one is */
    struct mrd_bytes key; /* of a member */
    union {
        struct mrd_bytes text;
        int64_t number; /* of a bool 0 or 1; a real has none */
    };
};

/* The item or member behind this one in the same array or object, if there is one. */
static inline const struct ice_value *ice_json_next(const struct ice_value *value)
{
    return value + value->span;
}

/* Values of a text, from the outermost on. Owner: whoever parsed it. */
struct ice_document {
    struct mrd_buf values; /* struct ice_value */
};
static inline const struct ice_value *ice_document_root(const struct ice_document *document)
{
    return (const struct ice_value *)(const void *)document->values.data;
}
static inline void ice_document_fini(struct ice_document *document)
{
    mrd_buf_fini(&document->values);
}

/* RFC 8259; keys that are there twice are refused, and NUL in texts. Bounded as metadata.h says. Texts point into `text`; those with
 * escapes lie in the arena. */
MRD_MUST_CHECK enum mrd_status ice_json_parse(const char *what, struct mrd_bytes text,
                                              struct mrd_arena *arena, struct ice_document *out,
                                              struct mrd_error *err);

/* ---- reading ---- */

struct ice_json {
    const char *what;
    struct mrd_arena *arena; /* of the texts and arrays that are kept */
    enum mrd_status status;
    struct mrd_error *err; /* may be NULL */
};

/* Keeps the first error; returns false. */
bool ice_json_fail(struct ice_json *in, enum mrd_status status, const char *format, ...)
    MRD_PRINTF(3, 4);

/* NULL if `object` is none, NULL, or has no such member. */
const struct ice_value *ice_json_member(const struct ice_value *object, const char *key);

/* Fails unless `value` is an object with no keys but these (ended by NULL). */
bool ice_json_object(struct ice_json *in, const struct ice_value *value, const char *const *keys);

/* Members of an object; a missing one or another type fails. */
int64_t ice_json_int(struct ice_json *in, const struct ice_value *object, const char *key,
                     int64_t min, int64_t max);
bool ice_json_bool(struct ice_json *in, const struct ice_value *object, const char *key);
const char *ice_json_text(struct ice_json *in, const struct ice_value *object, const char *key);

/* A text that may be missing: NULL then. */
const char *ice_json_text_maybe(struct ice_json *in, const struct ice_value *object,
                                const char *key);

/* The first item of the array under the key, and how many it has; `optional` may be missing: none. */
const struct ice_value *ice_json_array(struct ice_json *in, const struct ice_value *object,
                                       const char *key, bool optional, size_t count_max,
                                       size_t *out_count);

/* Zeroed memory for `count` items, at least one; NULL once failed. */
void *ice_json_keep(struct ice_json *in, size_t count, size_t item_size);

/* An object of texts, in its order. */
const struct mrd_iceberg_property *ice_json_texts(struct ice_json *in,
                                                  const struct ice_value *object, size_t count_max,
                                                  size_t *out_count);

/* ---- writing ---- */

/* Compact JSON, appended to `out`, whose limit bounds it. Zero but for `out`. */
struct ice_json_writer {
    struct mrd_buf *out;
    bool follows; /* the next value has one before it */
    bool bad;     /* a text was no UTF-8 */
};

/* A value each: of a member if there is a key, else of an array. */
void ice_put_open(struct ice_json_writer *writer, const char *key, char bracket);
void ice_put_close(struct ice_json_writer *writer, char bracket);
void ice_put_bytes(struct ice_json_writer *writer, const char *key, struct mrd_bytes text);
void ice_put_text(struct ice_json_writer *writer, const char *key, const char *text);
void ice_put_int(struct ice_json_writer *writer, const char *key, int64_t number);
void ice_put_bool(struct ice_json_writer *writer, const char *key, bool value);
void ice_put_texts(struct ice_json_writer *writer, const char *key,
                   const struct mrd_iceberg_property *items, size_t count);

/* MRD_E_INVALID for a text that was no UTF-8, MRD_E_LIMIT. */
MRD_MUST_CHECK enum mrd_status ice_put_end(const struct ice_json_writer *writer,
                                           struct mrd_error *err);

/* The parts of the metadata that manifests and the REST catalog need as well. */
void ice_put_fields(struct ice_json_writer *writer, const char *key,
                    const struct mrd_iceberg_field *fields, size_t count);
void ice_put_schema(struct ice_json_writer *writer, const char *key,
                    const struct mrd_iceberg_schema *schema);
void ice_put_spec_fields(struct ice_json_writer *writer, const char *key,
                         const struct mrd_iceberg_spec *specs, size_t spec_index);
void ice_put_metadata(struct ice_json_writer *writer, const char *key,
                      const struct mrd_iceberg_metadata *metadata);

struct mrd_iceberg_view;
void ice_put_view(struct ice_json_writer *writer, const char *key,
                  const struct mrd_iceberg_view *view); /* view.c */

/* The id of the first field of a spec: ids go through all specs. */
int32_t ice_partition_id(const struct mrd_iceberg_spec *specs, size_t spec_index);

#endif
