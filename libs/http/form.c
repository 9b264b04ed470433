#include "http/form.h"

#include <stdlib.h>

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool mrd_percent_decode(struct mrd_bytes text, bool plus_is_space, uint8_t *out, size_t *out_size)
{
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.data[i];
        if (byte == '%') {
            const int high = text.size - i > 2 ? hex_digit(text.data[i + 1]) : -1;
            const int low = text.size - i > 2 ? hex_digit(text.data[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return false;
            }
            byte = (uint8_t)(high * 16 + low);
            i += 2;
        } else if (byte == '+' && plus_is_space) {
            byte = ' ';
        }
        out[size++] = byte;
    }
    *out_size = size;
    return true;
}

/* The part of *rest before the first `end` (all of it if there is none); *rest goes on behind that. */
static struct mrd_bytes split_off(struct mrd_bytes *rest, uint8_t end)
{
    const uint8_t *found = rest->size == 0 ? NULL : memchr(rest->data, end, rest->size);
    const size_t size = found == NULL ? rest->size : (size_t)(found - rest->data);
    const struct mrd_bytes part = {rest->data, size};
    const size_t skip = size + (found != NULL);
    *rest = (struct mrd_bytes){rest->size == 0 ? NULL : rest->data + skip, rest->size - skip};
    return part;
}

struct decoder {
    uint8_t *at; /* in the storage; there is room for every byte of the text and a NUL each */
};

static bool decode(struct decoder *decoder, struct mrd_bytes text, struct mrd_bytes *out)
{
    size_t size;
    if (!mrd_percent_decode(text, true, decoder->at, &size)) {
        return false;
    }
    *out = (struct mrd_bytes){decoder->at, size};
    decoder->at[size] = 0;
    decoder->at += size + 1;
    return true;
}

/* The first escape that is none, as Go quotes it: its '%' and what should be two digits. */
static struct mrd_bytes broken_escape(struct mrd_bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        const size_t size = MRD_MIN(text.size - i, (size_t)3);
        if (text.data[i] == '%' &&
            (size < 3 || hex_digit(text.data[i + 1]) < 0 || hex_digit(text.data[i + 2]) < 0)) {
            return (struct mrd_bytes){text.data + i, size};
        }
    }
    return MRD_BYTES_NONE;
}

static enum mrd_status add_pair(struct decoder *decoder, struct mrd_bytes pair,
                                struct mrd_http_param *param, struct mrd_error *err)
{
    if (memchr(pair.data, ';', pair.size) != NULL) {
        return mrd_fail(err, MRD_E_INVALID, "invalid semicolon separator in query");
    }
    struct mrd_bytes value = pair;
    const struct mrd_bytes name = split_off(&value, '=');
    const bool name_valid = decode(decoder, name, &param->name);
    if (!name_valid || !decode(decoder, value, &param->value)) {
        const struct mrd_bytes escape = broken_escape(name_valid ? value : name);
        return mrd_fail(err, MRD_E_INVALID, "invalid URL escape \"%.*s\"", MRD_FMT(escape));
    }
    return MRD_OK;
}

static size_t count_pairs(struct mrd_bytes text)
{
    size_t count = 1;
    for (size_t i = 0; i < text.size; i++) {
        count += text.data[i] == '&';
    }
    return count;
}

enum mrd_status mrd_form_parse(struct mrd_bytes text, struct mrd_http_param **params, size_t *count,
                               uint8_t **storage_out, struct mrd_error *err)
{
    const size_t pairs = count_pairs(text);
    if (pairs > MRD_HTTP_PARAMS_MAX) {
        return mrd_fail(err, MRD_E_LIMIT, "more than %d parameters", MRD_HTTP_PARAMS_MAX);
    }
    struct mrd_http_param *grown = realloc(*params, (*count + pairs) * sizeof(*grown));
    mrd_assert(grown != NULL);
    *params = grown;
    uint8_t *storage = malloc(text.size + 2 * pairs); /* a pair has an '=' less than its two NULs */
    mrd_assert(storage != NULL);
    *storage_out = storage;
    struct decoder decoder = {storage};
    enum mrd_status status = MRD_OK;
    while (text.size > 0) {
        const struct mrd_bytes pair = split_off(&text, '&');
        struct mrd_error later;
        if (pair.size == 0) {
            continue;
        }
        if (add_pair(&decoder, pair, &grown[*count], status == MRD_OK ? err : &later) == MRD_OK) {
            (*count)++;
        } else {
            status = MRD_E_INVALID; /* the first is told */
        }
    }
    return status;
}
