#include "parquet/decode.h"

#include <stdlib.h>
#include <zlib.h>

#include "parquet/bitpack.h"
#include "parquet/compress.h"
#include "parquet/page_header.h"
#include "parquet/rle.h"
#include "parquet/values.h"

enum { SPACES = 9 };

struct mrd_pq_decoder {
    struct mrd_pq_page_format format;
    struct mrd_pq_decompressor *decompressor;
    struct mrd_pq_scratch scratch;
    union {
        struct mrd_pq_space all[SPACES];
        struct {
            struct mrd_pq_space body;   /* of the current data page, decompressed */
            struct mrd_pq_space values; /* of the current data page */
            struct mrd_pq_space sizes;
            struct mrd_pq_space blob;
            struct mrd_pq_space indices;
            struct mrd_pq_space def;
            struct mrd_pq_space rep;
            struct mrd_pq_space dictionary_body;
            struct mrd_pq_space dictionary; /* its values, in the shape of a batch */
        };
    };
    bool has_dictionary;
    size_t dictionary_count;
};

struct mrd_pq_decoder *mrd_pq_decoder_create(size_t limit_bytes)
{
    struct mrd_pq_decoder *decoder = calloc(1, sizeof(*decoder));
    mrd_assert(decoder != NULL);
    decoder->scratch.limit_bytes = limit_bytes;
    decoder->decompressor = mrd_pq_decompressor_create();
    return decoder;
}

void mrd_pq_decoder_destroy(struct mrd_pq_decoder **decoder)
{
    if (*decoder == NULL) {
        return;
    }
    for (size_t i = 0; i < SPACES; i++) {
        mrd_pq_space_fini(&(*decoder)->scratch, &(*decoder)->all[i]);
    }
    mrd_pq_decompressor_destroy(&(*decoder)->decompressor);
    free(*decoder);
    *decoder = NULL;
}

enum mrd_status mrd_pq_decoder_begin(struct mrd_pq_decoder *decoder,
                                     const struct mrd_pq_page_format *format, struct mrd_error *err)
{
    MRD_TRY(mrd_pq_codec_check(format->codec, err));
    if (format->type == MRD_PQ_INT96) {
        return mrd_fail(err, MRD_E_UNSUPPORTED,
                        "a column of INT96: write timestamps as INT64 (TIMESTAMP) instead");
    }
    if ((unsigned)format->type >= MRD_PQ_TYPE_COUNT || format->def_max > MRD_PQ_LEVEL_MAX ||
        format->rep_max > MRD_PQ_LEVEL_MAX ||
        (format->type == MRD_PQ_FIXED && format->fixed_size == 0)) {
        return mrd_fail(err, MRD_E_UNSUPPORTED,
                        "a column of type %d, %u bytes a value, levels up to %u and %u",
                        (int)format->type, format->fixed_size, format->def_max, format->rep_max);
    }
    decoder->format = *format;
    decoder->has_dictionary = false;
    decoder->dictionary_count = 0;
    return MRD_OK;
}

/* Parses the header and checks the body behind it. */
static enum mrd_status open_page(struct mrd_bytes page, bool checked,
                                 struct mrd_pq_page_header *out_header, struct mrd_bytes *out_body,
                                 struct mrd_error *err)
{
    size_t header_size;
    MRD_TRY(mrd_pq_page_header_read(page, out_header, &header_size, err));
    if (out_header->stored_size > page.size - header_size) {
        return mrd_fail(err, MRD_E_CORRUPT, "a page of %u bytes where %zu are left",
                        out_header->stored_size, page.size - header_size);
    }
    *out_body = (struct mrd_bytes){page.data + header_size, out_header->stored_size};
    const bool check = out_header->has_crc && !checked;
    const uint32_t crc = check ? (uint32_t)crc32(0, out_body->data, (uInt)out_body->size) : 0;
    if (check && crc != out_header->crc) {
        return mrd_fail(err, MRD_E_CORRUPT, "a page's CRC is %08x, its header says %08x", crc,
                        out_header->crc);
    }
    return MRD_OK;
}

/* The body decompressed into `space`, but for its first plain_prefix bytes (levels of v2), which are
 * never compressed. Uncompressed bodies are copied too: the caller's bytes may go away. */
static enum mrd_status decompress_body(struct mrd_pq_decoder *decoder,
                                       const struct mrd_pq_page_header *header,
                                       struct mrd_bytes body, size_t plain_prefix,
                                       struct mrd_pq_space *space, struct mrd_bytes *out,
                                       struct mrd_error *err)
{
    MRD_TRY(mrd_pq_space_take(&decoder->scratch, space, (size_t)header->plain_size + 1, err));
    uint8_t *to = space->data;
    const bool compressed = header->type != MRD_PQ_DATA_PAGE_V2 || header->is_compressed;
    if (plain_prefix > 0) {
        memcpy(to, body.data, plain_prefix);
    }
    const struct mrd_bytes rest = {body.data + plain_prefix, body.size - plain_prefix};
    const size_t rest_size = header->plain_size - plain_prefix;
    if (rest_size > 0 || rest.size > 0) { /* v2 pages of nulls alone have nothing there */
        MRD_TRY(mrd_pq_decompress(decoder->decompressor,
                                  compressed ? decoder->format.codec : MRD_PQ_NONE, rest,
                                  to + plain_prefix, rest_size, err));
    }
    *out = (struct mrd_bytes){to, header->plain_size};
    return MRD_OK;
}

enum mrd_status mrd_pq_decoder_dictionary(struct mrd_pq_decoder *decoder, struct mrd_bytes page,
                                          struct mrd_error *err)
{
    struct mrd_pq_page_header header;
    struct mrd_bytes body;
    MRD_TRY(open_page(page, decoder->format.checked, &header, &body, err));
    if (header.type != MRD_PQ_DICTIONARY_PAGE || header.encoding == MRD_PQ_RLE_DICTIONARY ||
        (header.encoding != MRD_PQ_PLAIN && header.encoding != MRD_PQ_PLAIN_DICTIONARY)) {
        return mrd_fail(err, MRD_E_CORRUPT, "a dictionary page of type %d in encoding %u",
                        header.type, header.encoding);
    }
    decoder->has_dictionary = false;
    struct mrd_bytes plain;
    MRD_TRY(decompress_body(decoder, &header, body, 0, &decoder->dictionary_body, &plain, err));
    const struct mrd_pq_decode_spaces spaces = {&decoder->scratch, &decoder->dictionary,
                                                &decoder->sizes, &decoder->blob};
    MRD_TRY(mrd_pq_values_decode(plain, MRD_PQ_PLAIN, decoder->format.type,
                                 decoder->format.fixed_size, header.entries, &spaces, err));
    decoder->has_dictionary = true;
    decoder->dictionary_count = header.entries;
    return MRD_OK;
}

/* ---- levels ---- */

static enum mrd_status wrong_levels(struct mrd_error *err)
{
    return mrd_fail(err, MRD_E_CORRUPT, "a page's levels are not what its header says");
}

static enum mrd_status decode_levels(struct mrd_pq_decoder *decoder, struct mrd_bytes bytes,
                                     unsigned level_max, size_t entries, struct mrd_pq_space *space,
                                     const uint8_t **out, struct mrd_error *err)
{
    MRD_TRY(mrd_pq_space_take(&decoder->scratch, space, entries + 1, err));
    struct mrd_reader in = mrd_reader_of(bytes);
    uint8_t *levels = space->data;
    if (!mrd_pq_rle_decode8(&in, mrd_pq_bit_width(level_max), levels, entries)) {
        return wrong_levels(err);
    }
    uint8_t highest = 0;
    for (size_t i = 0; i < entries; i++) {
        highest = levels[i] > highest ? levels[i] : highest;
    }
    if (highest > level_max) {
        return wrong_levels(err);
    }
    *out = levels;
    return MRD_OK;
}

/* In a v1 page levels have a length before them; v2 has it in the header. */
static struct mrd_bytes take_levels(const struct mrd_pq_page_header *header, uint32_t v2_size,
                                    struct mrd_reader *in)
{
    return mrd_read_bytes(in, header->type == MRD_PQ_DATA_PAGE_V2 ? v2_size : mrd_read_u32(in));
}

static size_t count_equal(const uint8_t *levels, size_t count, uint8_t level)
{
    size_t equal = 0;
    for (size_t i = 0; i < count; i++) {
        equal += levels[i] == level;
    }
    return equal;
}

/* Reads both kinds of levels; `in` is behind them then. */
static enum mrd_status read_levels(struct mrd_pq_decoder *decoder,
                                   const struct mrd_pq_page_header *header, struct mrd_reader *in,
                                   struct mrd_pq_batch *batch, struct mrd_error *err)
{
    const struct mrd_pq_page_format *format = &decoder->format;
    const bool v1 = header->type == MRD_PQ_DATA_PAGE;
    if (v1 && ((format->rep_max > 0 && header->rep_encoding != MRD_PQ_RLE) ||
               (format->def_max > 0 && header->def_encoding != MRD_PQ_RLE))) {
        return mrd_fail(err, MRD_E_UNSUPPORTED, "levels in encoding %s and %s",
                        mrd_pq_encoding_name(header->rep_encoding),
                        mrd_pq_encoding_name(header->def_encoding));
    }
    if (format->rep_max > 0) {
        const struct mrd_bytes bytes = take_levels(header, header->rep_size, in);
        MRD_TRY(decode_levels(decoder, bytes, format->rep_max, batch->entries, &decoder->rep,
                              &batch->rep, err));
    } else if (!v1) {
        (void)mrd_read_bytes(in, header->rep_size);
    }
    if (format->def_max > 0) {
        const struct mrd_bytes bytes = take_levels(header, header->def_size, in);
        const unsigned width = mrd_pq_bit_width(format->def_max);
        if (!mrd_pq_rle_is_one_run(bytes, width, format->def_max, batch->entries)) {
            MRD_TRY(decode_levels(decoder, bytes, format->def_max, batch->entries, &decoder->def,
                                  &batch->def, err));
            batch->values = count_equal(batch->def, batch->entries, format->def_max);
        }
    } else if (!v1) {
        (void)mrd_read_bytes(in, header->def_size);
    }
    return in->failed ? wrong_levels(err) : MRD_OK;
}

/* ---- values ---- */

MRD_SIMD_CLONES static uint32_t greatest(const uint32_t *values, size_t count)
{
    uint32_t most = 0;
    for (size_t i = 0; i < count; i++) {
        most = MRD_MAX(most, values[i]);
    }
    return most;
}

static void gather(const void *dictionary, size_t size, const uint32_t *indices, size_t count,
                   void *out)
{
    if (size == 16) { /* struct mrd_bytes */
        const struct mrd_bytes *from = dictionary;
        struct mrd_bytes *to = out;
        for (size_t i = 0; i < count; i++) {
            to[i] = from[indices[i]];
        }
    } else if (size == 8) {
        const uint64_t *from = dictionary;
        uint64_t *to = out;
        for (size_t i = 0; i < count; i++) {
            to[i] = from[indices[i]];
        }
    } else if (size == 4) {
        const uint32_t *from = dictionary;
        uint32_t *to = out;
        for (size_t i = 0; i < count; i++) {
            to[i] = from[indices[i]];
        }
    } else {
        for (size_t i = 0; i < count; i++) {
            memcpy((uint8_t *)out + i * size, (const uint8_t *)dictionary + indices[i] * size,
                   size);
        }
    }
}

static enum mrd_status decode_indices(struct mrd_pq_decoder *decoder, struct mrd_reader *in,
                                      size_t count, struct mrd_error *err)
{
    const size_t size = mrd_pq_value_size(decoder->format.type, decoder->format.fixed_size);
    if (!decoder->has_dictionary) {
        return mrd_fail(err, MRD_E_CORRUPT, "a page of dictionary indices without a dictionary");
    }
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        return mrd_fail(err, MRD_E_CORRUPT, "a page of %zu values", count);
    }
    MRD_TRY(mrd_pq_space_take(&decoder->scratch, &decoder->values, bytes, err));
    if (count == 0) {
        return MRD_OK;
    }
    MRD_TRY(mrd_pq_space_take(&decoder->scratch, &decoder->indices, count * sizeof(uint32_t), err));
    uint32_t *indices = decoder->indices.data;
    const unsigned width = mrd_read_u8(in);
    if (in->failed || width > 32 || !mrd_pq_rle_decode32(in, width, indices, count) ||
        greatest(indices, count) >= decoder->dictionary_count) {
        return mrd_fail(err, MRD_E_CORRUPT, "a page's indices do not fit a dictionary of %zu",
                        decoder->dictionary_count);
    }
    gather(decoder->dictionary.data, size, indices, count, decoder->values.data);
    return MRD_OK;
}

static enum mrd_status read_values(struct mrd_pq_decoder *decoder, unsigned encoding,
                                   struct mrd_reader *in, struct mrd_pq_batch *batch,
                                   struct mrd_error *err)
{
    if (encoding == MRD_PQ_RLE_DICTIONARY || encoding == MRD_PQ_PLAIN_DICTIONARY) {
        MRD_TRY(decode_indices(decoder, in, batch->values, err));
    } else {
        const struct mrd_pq_decode_spaces spaces = {&decoder->scratch, &decoder->values,
                                                    &decoder->sizes, &decoder->blob};
        const struct mrd_bytes rest = mrd_read_bytes(in, mrd_reader_left(in));
        MRD_TRY(mrd_pq_values_decode(rest, encoding, decoder->format.type,
                                     decoder->format.fixed_size, batch->values, &spaces, err));
    }
    batch->any = decoder->values.data;
    return MRD_OK;
}

enum mrd_status mrd_pq_decoder_page(struct mrd_pq_decoder *decoder, struct mrd_bytes page,
                                    struct mrd_pq_batch *out_batch, struct mrd_error *err)
{
    struct mrd_pq_page_header header;
    struct mrd_bytes body;
    MRD_TRY(open_page(page, decoder->format.checked, &header, &body, err));
    if (header.type != MRD_PQ_DATA_PAGE && header.type != MRD_PQ_DATA_PAGE_V2) {
        return mrd_fail(err, MRD_E_CORRUPT, "a page of type %d where data should be", header.type);
    }
    const size_t prefix =
        header.type == MRD_PQ_DATA_PAGE_V2 ? (size_t)header.def_size + header.rep_size : 0;
    struct mrd_bytes plain;
    MRD_TRY(decompress_body(decoder, &header, body, prefix, &decoder->body, &plain, err));
    struct mrd_reader in = mrd_reader_of(plain);
    struct mrd_pq_batch batch = {.entries = header.entries, .values = header.entries};
    MRD_TRY(read_levels(decoder, &header, &in, &batch, err));
    MRD_TRY(read_values(decoder, header.encoding, &in, &batch, err));
    *out_batch = batch;
    return MRD_OK;
}

size_t mrd_pq_batch_rows(const struct mrd_pq_batch *batch)
{
    return batch->rep == NULL ? batch->entries : count_equal(batch->rep, batch->entries, 0);
}
