/* json_internal.h: reading JSON (jansson) strictly, with one error for a whole document, and writing it.
 *
 * A reader is sticky: after the first error every call returns nothing, so the document's code checks once at its
 * end. `what` names the document in error texts.
 */
#ifndef MRD_ICEBERG_JSON_INTERNAL_H
#define MRD_ICEBERG_JSON_INTERNAL_H

#include <jansson.h>

#include "base/arena.h"
#include "iceberg/metadata.h"

#define ICE_METADATA "Iceberg metadata" /* in error texts */

struct ice_json {
    const char *what;
    struct mrd_arena *arena; /* of the texts and arrays that are kept */
    enum mrd_status status;
    struct mrd_error *err; /* may be NULL */
};

static inline void ice_json_release(json_t **json) { json_decref(*json); }

/* Bounded as metadata.h says; doubled keys are refused. */
MRD_MUST_CHECK enum mrd_status ice_json_parse(const char *what, struct mrd_bytes text, json_t **out,
                                              struct mrd_error *err);

/* MRD_E_LIMIT for a text that ice_json_parse would not take. */
MRD_MUST_CHECK enum mrd_status ice_json_check_size(const char *what, struct mrd_bytes text,
                                                   struct mrd_error *err);

/* Keeps the first error; returns false. */
bool ice_json_fail(struct ice_json *in, enum mrd_status status, const char *format, ...)
    MRD_PRINTF(3, 4);

/* Fails unless `json` is an object with no keys but these (ended by NULL). */
bool ice_json_object(struct ice_json *in, const json_t *json, const char *const *keys);

/* Members of an object; a missing one or another type fails. */
int64_t ice_json_int(struct ice_json *in, const json_t *object, const char *key, int64_t min,
                     int64_t max);
bool ice_json_bool(struct ice_json *in, const json_t *object, const char *key);
const char *ice_json_text(struct ice_json *in, const json_t *object, const char *key);

/* A text that may be missing: NULL then. */
const char *ice_json_text_maybe(struct ice_json *in, const json_t *object, const char *key);

/* The array under the key and how many items it has; `optional` may be missing: none. */
const json_t *ice_json_array(struct ice_json *in, const json_t *object, const char *key,
                             bool optional, size_t count_max, size_t *out_count);

/* Zeroed memory for `count` items, at least one; NULL once failed. */
void *ice_json_keep(struct ice_json *in, size_t count, size_t item_size);

/* An object of texts, in its order. */
const struct mrd_iceberg_property *ice_json_texts(struct ice_json *in, const json_t *object,
                                                  size_t count_max, size_t *out_count);

/* Appends compact JSON in the order of insertion and releases the value. NULL, which is what building it comes to when a
 * text is no UTF-8, is MRD_E_INVALID. */
MRD_MUST_CHECK enum mrd_status ice_json_write_take(json_t *json, struct mrd_buf *out,
                                                   struct mrd_error *err);

/* The parts of the metadata that manifests and the REST catalog need as well; new references, NULL as above. */
json_t *ice_schema_json(const struct mrd_iceberg_schema *schema);
json_t *ice_spec_fields_json(const struct mrd_iceberg_spec *specs, size_t spec_index);
json_t *ice_metadata_json(const struct mrd_iceberg_metadata *metadata);

/* mrd_iceberg_metadata_read of what is parsed already. */
MRD_MUST_CHECK enum mrd_status ice_metadata_read_json(const json_t *json, struct mrd_arena *arena,
                                                      struct mrd_iceberg_metadata **out,
                                                      struct mrd_error *err);

/* The id of the first field of a spec: ids go through all specs. */
int32_t ice_partition_id(const struct mrd_iceberg_spec *specs, size_t spec_index);

#endif
