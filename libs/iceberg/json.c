#include <stdarg.h>
#include <stdio.h>

#include "iceberg/json_internal.h"

/* What bounds the tree: jansson needs up to some 300 bytes for a value of two characters. */
static size_t count_values(struct mrd_bytes text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.size; i++) {
        const uint8_t c = text.data[i];
        count += c == '{' || c == '[' || c == ',';
    }
    return count;
}

enum mrd_status ice_json_check_size(const char *what, struct mrd_bytes text, struct mrd_error *err)
{
    if (text.size > MRD_ICEBERG_METADATA_SIZE_MAX ||
        count_values(text) > MRD_ICEBERG_JSON_VALUES_MAX) {
        return mrd_fail(err, MRD_E_LIMIT, "%s has %zu bytes, at most %d, or more than %d values",
                        what, text.size, MRD_ICEBERG_METADATA_SIZE_MAX,
                        MRD_ICEBERG_JSON_VALUES_MAX);
    }
    return MRD_OK;
}

enum mrd_status ice_json_parse(const char *what, struct mrd_bytes text, json_t **out,
                               struct mrd_error *err)
{
    MRD_TRY(ice_json_check_size(what, text, err));
    json_error_t error;
    json_t *json = json_loadb((const char *)text.data, text.size, JSON_REJECT_DUPLICATES, &error);
    if (json == NULL) {
        return mrd_fail(err, MRD_E_CORRUPT, "%s is no JSON: %s (line %d)", what, error.text,
                        error.line);
    }
    *out = json;
    return MRD_OK;
}

bool ice_json_fail(struct ice_json *in, enum mrd_status status, const char *format, ...)
{
    if (in->status != MRD_OK) {
        return false;
    }
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    in->status = mrd_fail(in->err, status, "%s: %s", in->what, text);
    return false;
}

bool ice_json_object(struct ice_json *in, const json_t *json, const char *const *keys)
{
    if (in->status != MRD_OK) {
        return false;
    }
    if (!json_is_object(json)) {
        return ice_json_fail(in, MRD_E_CORRUPT, "an object is missing (\"%s\", ...)", keys[0]);
    }
    void *at = json_object_iter((json_t *)(uintptr_t)json); /* which does not change it */
    for (; at != NULL; at = json_object_iter_next((json_t *)(uintptr_t)json, at)) {
        const char *key = json_object_iter_key(at);
        size_t i = 0;
        while (keys[i] != NULL && strcmp(keys[i], key) != 0) {
            i++;
        }
        if (keys[i] == NULL) {
            return ice_json_fail(in, MRD_E_UNSUPPORTED, "field \"%.64s\" is unknown here", key);
        }
    }
    return true;
}

static const json_t *member(struct ice_json *in, const json_t *object, const char *key)
{
    const json_t *value = in->status == MRD_OK ? json_object_get(object, key) : NULL;
    if (value == NULL) {
        (void)ice_json_fail(in, MRD_E_CORRUPT, "\"%s\" is missing", key);
    }
    return value;
}

int64_t ice_json_int(struct ice_json *in, const json_t *object, const char *key, int64_t min,
                     int64_t max)
{
    const json_t *value = member(in, object, key);
    const int64_t number = json_is_integer(value) ? json_integer_value(value) : 0;
    if (value != NULL && (!json_is_integer(value) || number < min || number > max)) {
        (void)ice_json_fail(in, MRD_E_CORRUPT, "\"%s\" is no number from %lld to %lld", key,
                            (long long)min, (long long)max);
        return min;
    }
    return number;
}

bool ice_json_bool(struct ice_json *in, const json_t *object, const char *key)
{
    const json_t *value = member(in, object, key);
    if (value != NULL && !json_is_boolean(value)) {
        return ice_json_fail(in, MRD_E_CORRUPT, "\"%s\" is neither true nor false", key);
    }
    return json_is_true(value);
}

static const char *keep_text(struct ice_json *in, const char *key, const json_t *value)
{
    const size_t size = json_is_string(value) ? json_string_length(value) : 0;
    if (size == 0 || size > MRD_ICEBERG_TEXT_SIZE_MAX) {
        (void)ice_json_fail(in, MRD_E_CORRUPT, "\"%.64s\" is no text of 1 to %d bytes", key,
                            MRD_ICEBERG_TEXT_SIZE_MAX);
        return NULL;
    }
    const struct mrd_bytes kept = mrd_arena_copy(
        in->arena, (struct mrd_bytes){(const uint8_t *)json_string_value(value), size});
    if (kept.data == NULL) {
        in->status = mrd_arena_fail(in->arena, in->err);
    }
    return (const char *)kept.data;
}

const char *ice_json_text(struct ice_json *in, const json_t *object, const char *key)
{
    const json_t *value = member(in, object, key);
    return value == NULL ? NULL : keep_text(in, key, value);
}

const char *ice_json_text_maybe(struct ice_json *in, const json_t *object, const char *key)
{
    return json_object_get(object, key) == NULL ? NULL : ice_json_text(in, object, key);
}

const json_t *ice_json_array(struct ice_json *in, const json_t *object, const char *key,
                             bool optional, size_t count_max, size_t *out_count)
{
    *out_count = 0;
    if (optional && json_object_get(object, key) == NULL) {
        return NULL;
    }
    const json_t *value = member(in, object, key);
    if (value == NULL) {
        return NULL;
    }
    if (!json_is_array(value) || json_array_size(value) > count_max) {
        (void)ice_json_fail(in, MRD_E_CORRUPT, "\"%s\" is no list of up to %zu", key, count_max);
        return NULL;
    }
    *out_count = json_array_size(value);
    return value;
}

void *ice_json_keep(struct ice_json *in, size_t count, size_t item_size)
{
    if (in->status != MRD_OK) {
        return NULL;
    }
    const size_t size = MRD_MAX(count, (size_t)1) * item_size; /* counts are bounded */
    void *items = mrd_arena_alloc(in->arena, size);
    if (items == NULL) {
        in->status = mrd_arena_fail(in->arena, in->err);
    }
    return items;
}

const struct mrd_iceberg_property *ice_json_texts(struct ice_json *in, const json_t *object,
                                                  size_t count_max, size_t *out_count)
{
    *out_count = 0;
    const size_t count = json_object_size(object);
    if (!json_is_object(object) || count > count_max) {
        (void)ice_json_fail(in, MRD_E_CORRUPT, "no object of up to %zu texts", count_max);
        return NULL;
    }
    struct mrd_iceberg_property *items = ice_json_keep(in, count, sizeof(*items));
    json_t *walked = (json_t *)(uintptr_t)object; /* which does not change it */
    size_t done = 0;
    for (void *at = json_object_iter(walked); at != NULL && in->status == MRD_OK;
         at = json_object_iter_next(walked, at)) {
        const char *key = json_object_iter_key(at);
        mrd_auto(ice_json_release)
        json_t *name = json_string(key);
        items[done].key = keep_text(in, "a key", name);
        items[done++].value = keep_text(in, key, json_object_iter_value(at));
    }
    *out_count = in->status == MRD_OK ? done : 0;
    return items;
}

static int append_part(const char *part, size_t size, void *out)
{
    mrd_buf_append(out, part, size);
    return 0;
}

enum mrd_status ice_json_write_take(json_t *json, struct mrd_buf *out, struct mrd_error *err)
{
    if (json == NULL) {
        return mrd_fail(err, MRD_E_INVALID, "a text for an Iceberg table is no UTF-8");
    }
    const int result = json_dump_callback(json, append_part, out, JSON_COMPACT);
    json_decref(json);
    if (result != 0 || out->failed) {
        return mrd_fail(err, MRD_E_LIMIT, "Iceberg JSON takes more than the limit of %zu bytes",
                        out->limit);
    }
    return MRD_OK;
}
