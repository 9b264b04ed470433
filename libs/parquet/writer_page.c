#include <zlib.h>

#include "parquet/bitpack.h"
#include "parquet/page_header.h"
#include "parquet/rle.h"
#include "parquet/values.h"
#include "parquet/writer_internal.h"

/* Levels of one kind; v1 has their length before them. Returns the bytes they take. */
static uint32_t put_levels(const struct mrd_buf *levels, unsigned level_max, bool with_size,
                           struct mrd_buf *out)
{
    if (level_max == 0) {
        return 0;
    }
    const size_t at = out->size;
    if (with_size) {
        mrd_buf_append_u32(out, 0);
    }
    mrd_pq_rle_encode8(levels->data, levels->size, mrd_pq_bit_width(level_max), out);
    const uint32_t size = (uint32_t)(out->size - at);
    if (with_size && !out->failed) {
        const uint32_t inner = size - (uint32_t)sizeof(inner);
        memcpy(out->data + at, &inner, sizeof(inner));
    }
    return size;
}

static void put_indices(const struct pq_leaf *leaf, struct mrd_buf *out)
{
    const uint32_t *indices = (const uint32_t *)(const void *)leaf->indices.data;
    const size_t count = leaf->indices.size / sizeof(indices[0]);
    uint32_t greatest = 0;
    for (size_t i = 0; i < count; i++) {
        greatest = MRD_MAX(greatest, indices[i]);
    }
    const unsigned width = mrd_pq_bit_width(greatest);
    mrd_buf_append_u8(out, (uint8_t)width);
    mrd_pq_rle_encode32(indices, count, width, out);
}

/* Body and header of one way to write the open page. */
struct body {
    struct mrd_buf *plain;
    struct mrd_buf *stored;
    struct mrd_pq_page_header header;
};

/* A body has levels first. In v2 they stay outside the compression, and values that do not get smaller
 * are stored as they are. */
static void store(struct mrd_pq_writer *writer, struct body *body)
{
    const size_t prefix = body->header.def_size + body->header.rep_size;
    const struct mrd_bytes plain = mrd_buf_view(body->plain);
    const struct mrd_bytes rest = {plain.data + prefix, plain.size - prefix};
    mrd_buf_clear(body->stored);
    mrd_buf_append(body->stored, plain.data, prefix);
    mrd_pq_compress(writer->compressor, rest, body->stored);
    if (writer->page_version == 2) {
        body->header.is_compressed =
            writer->codec != MRD_PQ_NONE && body->stored->size < plain.size;
        if (!body->header.is_compressed) {
            mrd_buf_clear(body->stored);
            mrd_buf_append_bytes(body->stored, plain);
        }
    }
    body->header.plain_size = (uint32_t)plain.size;
    body->header.stored_size = (uint32_t)body->stored->size;
}

static struct mrd_pq_page_header header_of(const struct mrd_pq_writer *writer,
                                           const struct pq_leaf *leaf, uint32_t encoding)
{
    return (struct mrd_pq_page_header){
        .type = writer->page_version == 2 ? MRD_PQ_DATA_PAGE_V2 : MRD_PQ_DATA_PAGE,
        .has_crc = true,
        .entries = (uint32_t)leaf->stats.entries,
        .encoding = encoding,
        .nulls = (uint32_t)leaf->stats.nulls,
        .rows = (uint32_t)leaf->rows,
    };
}

static void make_body(struct mrd_pq_writer *writer, const struct pq_leaf *leaf, uint32_t encoding,
                      struct body *body)
{
    const bool v1 = writer->page_version == 1;
    body->header = header_of(writer, leaf, encoding);
    mrd_buf_clear(body->plain);
    const uint32_t rep_size = put_levels(&leaf->rep, leaf->leaf.rep_max, v1, body->plain);
    const uint32_t def_size = put_levels(&leaf->def, leaf->leaf.def_max, v1, body->plain);
    if (!v1) {
        body->header.rep_size = rep_size;
        body->header.def_size = def_size;
    }
    if (encoding == MRD_PQ_RLE_DICTIONARY) {
        put_indices(leaf, body->plain);
    } else {
        const struct mrd_pq_raw raw = {leaf->leaf.type,
                                       leaf->leaf.fixed_size,
                                       leaf->values,
                                       mrd_buf_view(&leaf->raw),
                                       (const int32_t *)(const void *)leaf->sizes.data,
                                       writer->codec == MRD_PQ_ZSTD ? MRD_PQ_DELTA_BYTES
                                                                    : MRD_PQ_DELTA_BITS};
        mrd_pq_values_encode(&raw, (enum mrd_pq_encoding)encoding, body->plain);
    }
    store(writer, body);
}

static void append_page(struct pq_leaf *leaf, struct body *body)
{
    const size_t at = leaf->pages.size;
    body->header.crc =
        (uint32_t)crc32(0, body->stored->data == NULL ? (const uint8_t *)"" : body->stored->data,
                        (uInt)body->stored->size);
    mrd_pq_page_header_write(&body->header, &leaf->pages);
    leaf->group_plain_size += leaf->pages.size - at + body->header.plain_size;
    mrd_buf_append_bytes(&leaf->pages, mrd_buf_view(body->stored));
    const struct pq_page page = {
        .at = at,
        .first_row = leaf->group_rows,
        .rows = leaf->rows,
        .size = (uint32_t)(leaf->pages.size - at),
        .encoding = body->header.encoding,
        .stats = leaf->stats,
    };
    mrd_buf_append(&leaf->page_table, &page, sizeof(page));
}

static void begin_page(struct pq_leaf *leaf)
{
    leaf->group_rows += leaf->rows;
    leaf->rows = 0;
    leaf->values = 0;
    leaf->stats = (struct mrd_pq_stats){0};
    struct mrd_buf *bufs[] = {&leaf->raw, &leaf->sizes, &leaf->indices, &leaf->def, &leaf->rep};
    for (size_t i = 0; i < MRD_ARRAY_LEN(bufs); i++) {
        mrd_buf_clear(bufs[i]);
    }
}

enum mrd_status pq_encode_page(struct mrd_pq_writer *writer, struct pq_leaf *leaf,
                               struct mrd_error *err)
{
    /* Sizes in headers have 31 bits; levels and encodings add less than the rest of the 2 GiB. */
    if (leaf->raw.size + leaf->sizes.size > INT32_MAX / 2) {
        writer->broken = true;
        return mrd_fail(err, MRD_E_LIMIT, "column %s: a page of more than 1 GiB: cut pages earlier",
                        leaf->path);
    }
    struct body body = {.plain = &writer->body, .stored = &writer->stored};
    const bool indices = !leaf->dictionary_full;
    make_body(writer, leaf, indices ? MRD_PQ_RLE_DICTIONARY : leaf->node.encoding, &body);
    if (!indices && leaf->node.or_plain && leaf->node.encoding != MRD_PQ_PLAIN) {
        struct body plain = {.plain = &writer->other_body, .stored = &writer->other_stored};
        make_body(writer, leaf, MRD_PQ_PLAIN, &plain);
        body = plain.header.stored_size < body.header.stored_size ? plain : body;
    }
    if (body.plain->failed || body.stored->failed || body.plain->size > INT32_MAX) {
        return pq_out_of_memory(writer, err);
    }
    append_page(leaf, &body);
    begin_page(leaf);
    return pq_account(writer, leaf, err);
}

size_t pq_encode_dictionary(struct mrd_pq_writer *writer, struct pq_leaf *leaf, struct mrd_buf *out)
{
    const struct mrd_pq_dictionary *dictionary = &leaf->dictionary;
    const size_t at = out->size;
    mrd_buf_clear(&writer->body);
    if (leaf->leaf.type == MRD_PQ_BYTE_ARRAY) {
        for (uint32_t i = 0; i < dictionary->count; i++) {
            const struct mrd_bytes value = mrd_pq_dictionary_value(dictionary, i);
            mrd_buf_append_u32(&writer->body, (uint32_t)value.size);
            mrd_buf_append_bytes(&writer->body, value);
        }
    } else {
        mrd_buf_append_bytes(&writer->body, mrd_buf_view(&dictionary->bytes));
    }
    mrd_buf_clear(&writer->stored);
    mrd_pq_compress(writer->compressor, mrd_buf_view(&writer->body), &writer->stored);
    const struct mrd_pq_page_header header = {
        .type = MRD_PQ_DICTIONARY_PAGE,
        .plain_size = (uint32_t)writer->body.size,
        .stored_size = (uint32_t)writer->stored.size,
        .has_crc = true,
        .crc = (uint32_t)crc32(0, writer->stored.data, (uInt)writer->stored.size),
        .entries = dictionary->count,
        .encoding = MRD_PQ_PLAIN,
    };
    mrd_pq_page_header_write(&header, out);
    const size_t header_size = out->size - at;
    mrd_buf_append_bytes(out, mrd_buf_view(&writer->stored));
    out->failed |= writer->body.failed || writer->stored.failed;
    return header_size + writer->body.size;
}
