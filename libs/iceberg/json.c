#include <stdarg.h>
#include <stdio.h>

#include "iceberg/json_internal.h"

/* ---- reading ---- */

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

const struct ice_value *ice_json_member(const struct ice_value *object, const char *key)
{
    const size_t count = object == NULL || object->kind != ICE_OBJECT ? 0 : object->count;
    const struct mrd_bytes name = mrd_bytes_of(key);
    const struct ice_value *at = count == 0 ? NULL : object + 1;
    for (size_t i = 0; i < count; i++, at = ice_json_next(at)) {
        if (mrd_bytes_equal(at->key, name)) {
            return at;
        }
    }
    return NULL;
}

bool ice_json_object(struct ice_json *in, const struct ice_value *value, const char *const *keys)
{
    if (in->status != MRD_OK) {
        return false;
    }
    if (value == NULL || value->kind != ICE_OBJECT) {
        return ice_json_fail(in, MRD_E_CORRUPT, "an object is missing (\"%s\", ...)", keys[0]);
    }
    const struct ice_value *at = value + 1;
    for (uint32_t i = 0; i < value->count; i++, at = ice_json_next(at)) {
        size_t k = 0;
        while (keys[k] != NULL && !mrd_bytes_equal(mrd_bytes_of(keys[k]), at->key)) {
            k++;
        }
        if (keys[k] == NULL) {
            return ice_json_fail(in, MRD_E_UNSUPPORTED, "field \"%.*s\" is unknown here",
                                 (int)MRD_MIN(at->key.size, (size_t)64),
                                 (const char *)at->key.data);
        }
    }
    return true;
}

static const struct ice_value *member(struct ice_json *in, const struct ice_value *object,
                                      const char *key)
{
    const struct ice_value *value = in->status == MRD_OK ? ice_json_member(object, key) : NULL;
    if (value == NULL) {
        (void)ice_json_fail(in, MRD_E_CORRUPT, "\"%s\" is missing", key);
    }
    return value;
}

int64_t ice_json_int(struct ice_json *in, const struct ice_value *object, const char *key,
                     int64_t min, int64_t max)
{
    const struct ice_value *value = member(in, object, key);
    if (value == NULL) {
        return 0;
    }
    if (value->kind != ICE_INT || value->number < min || value->number > max) {
        (void)ice_json_fail(in, MRD_E_CORRUPT, "\"%s\" is no number from %lld to %lld", key,
                            (long long)min, (long long)max);
        return min;
    }
    return value->number;
}

bool ice_json_bool(struct ice_json *in, const struct ice_value *object, const char *key)
{
    const struct ice_value *value = member(in, object, key);
    if (value != NULL && value->kind != ICE_BOOL) {
        return ice_json_fail(in, MRD_E_CORRUPT, "\"%s\" is neither true nor false", key);
    }
    return value != NULL && value->number != 0;
}

static const char *keep_text(struct ice_json *in, struct mrd_bytes key, struct mrd_bytes text)
{
    if (text.size == 0 || text.size > MRD_ICEBERG_TEXT_SIZE_MAX) {
        (void)ice_json_fail(in, MRD_E_CORRUPT, "\"%.*s\" is no text of 1 to %d bytes",
                            (int)MRD_MIN(key.size, (size_t)64), (const char *)key.data,
                            MRD_ICEBERG_TEXT_SIZE_MAX);
        return NULL;
    }
    const struct mrd_bytes kept = mrd_arena_copy(in->arena, text);
    if (kept.data == NULL) {
        in->status = mrd_arena_fail(in->arena, in->err);
    }
    return (const char *)kept.data;
}

static const char *keep_value(struct ice_json *in, const struct ice_value *value)
{
    return keep_text(in, value->key, value->kind == ICE_TEXT ? value->text : MRD_BYTES_NONE);
}

const char *ice_json_text(struct ice_json *in, const struct ice_value *object, const char *key)
{
    const struct ice_value *value = member(in, object, key);
    return value == NULL ? NULL : keep_value(in, value);
}

const char *ice_json_text_maybe(struct ice_json *in, const struct ice_value *object,
                                const char *key)
{
    return ice_json_member(object, key) == NULL ? NULL : ice_json_text(in, object, key);
}

const struct ice_value *ice_json_array(struct ice_json *in, const struct ice_value *object,
                                       const char *key, bool optional, size_t count_max,
                                       size_t *out_count)
{
    *out_count = 0;
    if (optional && ice_json_member(object, key) == NULL) {
        return NULL;
    }
    const struct ice_value *value = member(in, object, key);
    if (value == NULL) {
        return NULL;
    }
    if (value->kind != ICE_ARRAY || value->count > count_max) {
        (void)ice_json_fail(in, MRD_E_CORRUPT, "\"%s\" is no list of up to %zu", key, count_max);
        return NULL;
    }
    *out_count = value->count;
    return value + 1;
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

const struct mrd_iceberg_property *ice_json_texts(struct ice_json *in,
                                                  const struct ice_value *object, size_t count_max,
                                                  size_t *out_count)
{
    *out_count = 0;
    if (object == NULL || object->kind != ICE_OBJECT || object->count > count_max) {
        (void)ice_json_fail(in, MRD_E_CORRUPT, "no object of up to %zu texts", count_max);
        return NULL;
    }
    struct mrd_iceberg_property *items = ice_json_keep(in, object->count, sizeof(*items));
    const struct ice_value *at = object + 1;
    size_t done = 0;
    for (; done < object->count && in->status == MRD_OK; done++, at = ice_json_next(at)) {
        items[done].key = keep_text(in, MRD_BYTES("a key"), at->key);
        items[done].value = keep_value(in, at);
    }
    *out_count = in->status == MRD_OK ? done : 0;
    return items;
}

/* ---- writing ---- */

static void put_character(struct mrd_buf *out, uint8_t character)
{
    static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const char *found = character == 0 ? NULL : strchr(plain, character);
    if (found != NULL) {
        mrd_buf_append(out, (const char[]){'\\', letters[found - plain]}, 2);
    } else {
        mrd_buf_printf(out, "\\u%04X", (unsigned)character);
    }
}

/* With its quotes, a comma before it if there is to be one, and `behind` behind it unless that is 0. */
static void put_plain(struct mrd_buf *out, bool comma, struct mrd_bytes text, char behind)
{
    uint8_t *at = mrd_buf_reserve(out, text.size + 4);
    if (at == NULL) {
        return;
    }
    uint8_t *const begin = at;
    if (comma) {
        *at++ = ',';
    }
    *at++ = '"';
    if (text.size > 0) {
        memcpy(at, text.data, text.size);
        at += text.size;
    }
    *at++ = '"';
    if (behind != 0) {
        *at++ = (uint8_t)behind;
    }
    out->size += (size_t)(at - begin);
}

static void put_escaped(struct mrd_buf *out, bool comma, struct mrd_bytes text, char behind)
{
    mrd_buf_append_text(out, comma ? ",\"" : "\"");
    for (size_t i = 0; i < text.size; i++) {
        const size_t plain = ice_json_plain(text.data + i, text.size - i);
        mrd_buf_append(out, text.data + i, plain);
        i += plain;
        if (i < text.size) {
            put_character(out, text.data[i]);
        }
    }
    mrd_buf_append(out, (const char[]){'"', behind}, behind == 0 ? 1 : 2);
}

static void put_quoted(struct ice_json_writer *writer, bool comma, struct mrd_bytes text,
                       char behind)
{
    writer->bad |= !mrd_bytes_utf8_valid(text);
    if (ice_json_plain(text.data, text.size) == text.size) {
        put_plain(writer->out, comma, text, behind);
    } else {
        put_escaped(writer->out, comma, text, behind);
    }
}

static void put_key(struct ice_json_writer *writer, const char *key)
{
    if (key != NULL) {
        put_quoted(writer, writer->follows, mrd_bytes_of(key), ':');
    } else if (writer->follows) {
        mrd_buf_append_u8(writer->out, ',');
    }
    writer->follows = true;
}

void ice_put_open(struct ice_json_writer *writer, const char *key, char bracket)
{
    put_key(writer, key);
    mrd_buf_append_u8(writer->out, (uint8_t)bracket);
    writer->follows = false;
}

void ice_put_close(struct ice_json_writer *writer, char bracket)
{
    mrd_buf_append_u8(writer->out, (uint8_t)bracket);
    writer->follows = true;
}

void ice_put_bytes(struct ice_json_writer *writer, const char *key, struct mrd_bytes text)
{
    if (key != NULL) {
        put_key(writer, key);
        put_quoted(writer, false, text, 0);
    } else {
        put_quoted(writer, writer->follows, text, 0);
        writer->follows = true;
    }
}

void ice_put_text(struct ice_json_writer *writer, const char *key, const char *text)
{
    ice_put_bytes(writer, key, mrd_bytes_of(text));
}

void ice_put_int(struct ice_json_writer *writer, const char *key, int64_t number)
{
    char digits[24];
    size_t at = sizeof(digits);
    uint64_t left = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    do {
        digits[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (number < 0) {
        digits[--at] = '-';
    }
    put_key(writer, key);
    mrd_buf_append(writer->out, digits + at, sizeof(digits) - at);
}

void ice_put_bool(struct ice_json_writer *writer, const char *key, bool value)
{
    put_key(writer, key);
    mrd_buf_append_text(writer->out, value ? "true" : "false");
}

void ice_put_texts(struct ice_json_writer *writer, const char *key,
                   const struct mrd_iceberg_property *items, size_t count)
{
    ice_put_open(writer, key, '{');
    for (size_t i = 0; i < count; i++) {
        ice_put_text(writer, items[i].key, items[i].value);
    }
    ice_put_close(writer, '}');
}

enum mrd_status ice_put_end(const struct ice_json_writer *writer, struct mrd_error *err)
{
    if (writer->bad) {
        return mrd_fail(err, MRD_E_INVALID, "a text for an Iceberg table is no UTF-8");
    }
    if (writer->out->failed) {
        return mrd_fail(err, MRD_E_LIMIT, "Iceberg JSON takes more than the limit of %zu bytes",
                        writer->out->limit);
    }
    return MRD_OK;
}
