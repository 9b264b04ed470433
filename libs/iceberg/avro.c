#include "iceberg/avro.h"

#include <stdlib.h>
#define ZLIB_CONST /* its input is not written to */
#include <zlib.h>

enum {
    BLOCK_SIZE = 64 << 10,
    PAIRS_MAX = 1024,
    RAW_DEFLATE = -15,
    SMALL_BITS = 12,
    SMALL_BLOCK_SIZE = 1 << SMALL_BITS, /* all of it is within one window */
};

static const struct mrd_bytes magic = {(const uint8_t *)"Obj\x01", 4};

/* ---- values ---- */

void mrd_avro_put_double(struct mrd_buf *out, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    mrd_buf_append_u64(out, bits);
}

void mrd_avro_put_bytes(struct mrd_buf *out, struct mrd_bytes value)
{
    mrd_buf_append_zigzag(out, (int64_t)value.size);
    mrd_buf_append_bytes(out, value);
}

void mrd_avro_put_items(struct mrd_buf *out, size_t count)
{
    if (count > 0) {
        mrd_buf_append_zigzag(out, (int64_t)count);
    }
}

bool mrd_avro_get_boolean(struct mrd_reader *in)
{
    const uint8_t byte = mrd_read_u8(in);
    if (byte > 1) {
        mrd_reader_fail(in);
    }
    return byte == 1;
}

double mrd_avro_get_double(struct mrd_reader *in)
{
    const uint64_t bits = mrd_read_u64(in);
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

struct mrd_bytes mrd_avro_get_bytes(struct mrd_reader *in)
{
    const int64_t size = mrd_read_zigzag(in);
    return mrd_read_bytes(in, size < 0 ? UINT64_MAX : (uint64_t)size);
}

size_t mrd_avro_get_branch(struct mrd_reader *in, size_t count)
{
    const int64_t branch = mrd_read_zigzag(in);
    if (branch < 0 || (uint64_t)branch >= count) {
        mrd_reader_fail(in);
        return 0;
    }
    return (size_t)branch;
}

/* A negative count has the size of the items behind it, for readers that skip them. */
bool mrd_avro_next_item(struct mrd_reader *in, uint64_t *left)
{
    if (*left == 0) {
        const int64_t count = mrd_read_zigzag(in);
        if (count < 0) {
            (void)mrd_read_zigzag(in);
        }
        *left = count < 0 ? 0 - (uint64_t)count : (uint64_t)count;
        if (*left > mrd_reader_left(in)) {
            mrd_reader_fail(in);
        }
    }
    if (in->failed || *left == 0) {
        return false;
    }
    --*left;
    return true;
}

/* ---- writing ---- */

static void put_pair(struct mrd_buf *out, struct mrd_bytes key, struct mrd_bytes value)
{
    mrd_avro_put_bytes(out, key);
    mrd_avro_put_bytes(out, value);
}

void mrd_avro_writer_init(struct mrd_avro_writer *writer, struct mrd_buf *out,
                          enum mrd_avro_codec codec, struct mrd_bytes schema,
                          const struct mrd_avro_pair *metadata, size_t metadata_count,
                          const uint8_t sync[MRD_AVRO_SYNC_SIZE])
{
    *writer = (struct mrd_avro_writer){.out = out, .codec = codec};
    writer->block.limit = out->limit;
    memcpy(writer->sync, sync, sizeof(writer->sync));
    mrd_buf_append_bytes(out, magic);
    mrd_avro_put_items(out, metadata_count + 2);
    put_pair(out, MRD_BYTES("avro.schema"), schema);
    put_pair(out, MRD_BYTES("avro.codec"),
             codec == MRD_AVRO_DEFLATE ? MRD_BYTES("deflate") : MRD_BYTES("null"));
    for (size_t i = 0; i < metadata_count; i++) {
        put_pair(out, metadata[i].key, metadata[i].value);
    }
    mrd_avro_put_end(out);
    mrd_buf_append(out, writer->sync, sizeof(writer->sync));
}

/* Most manifests are a few hundred bytes: zlib's usual tables, a quarter of a megabyte to be cleared, would cost more than
 * all the rest. What is smaller than
 * the window is compressed as well with tables for it. */
static void deflate_block(struct mrd_bytes plain, struct mrd_buf *out)
{
    z_stream stream = {0};
    const bool small = plain.size <= SMALL_BLOCK_SIZE;
    const int begun =
        deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, small ? -SMALL_BITS : RAW_DEFLATE,
                     small ? SMALL_BITS - 7 : 8, Z_DEFAULT_STRATEGY);
    const size_t bound = begun == Z_OK ? deflateBound(&stream, plain.size) : 0;
    uint8_t *place = begun == Z_OK ? mrd_buf_reserve(out, bound) : NULL;
    if (place != NULL && plain.size <= UINT32_MAX && bound <= UINT32_MAX) {
        stream.next_in = plain.data;
        stream.avail_in = (uInt)plain.size;
        stream.next_out = place;
        stream.avail_out = (uInt)bound;
        const int result = deflate(&stream, Z_FINISH);
        mrd_assert(result == Z_STREAM_END); /* the output is as large as it can get */
        out->size += stream.total_out;
    } else {
        out->failed = true;
    }
    (void)deflateEnd(&stream);
}

static void flush_block(struct mrd_avro_writer *writer)
{
    if (writer->records == 0) {
        return;
    }
    mrd_auto(mrd_buf_fini)
    struct mrd_buf packed = {.limit = writer->out->limit};
    const struct mrd_bytes plain = mrd_buf_view(&writer->block);
    if (writer->codec == MRD_AVRO_DEFLATE) {
        deflate_block(plain, &packed);
    }
    mrd_avro_put_long(writer->out, (int64_t)writer->records);
    mrd_avro_put_bytes(writer->out,
                       writer->codec == MRD_AVRO_DEFLATE ? mrd_buf_view(&packed) : plain);
    mrd_buf_append(writer->out, writer->sync, sizeof(writer->sync));
    writer->out->failed |= packed.failed || writer->block.failed;
    mrd_buf_clear(&writer->block);
    writer->records = 0;
}

void mrd_avro_writer_end_record(struct mrd_avro_writer *writer)
{
    writer->records++;
    writer->out->failed |= writer->block.failed;
    if (writer->block.size >= BLOCK_SIZE) {
        flush_block(writer);
    }
}

enum mrd_status mrd_avro_writer_close(struct mrd_avro_writer *writer, struct mrd_error *err)
{
    flush_block(writer);
    if (writer->out->failed) {
        return mrd_fail(err, MRD_E_LIMIT, "an Avro file takes more than the limit of %zu bytes",
                        writer->out->limit);
    }
    return MRD_OK;
}

void mrd_avro_writer_fini(struct mrd_avro_writer *writer) { mrd_buf_fini(&writer->block); }

/* ---- reading ---- */

struct mrd_avro_file {
    struct mrd_reader in;
    enum mrd_avro_codec codec;
    struct mrd_bytes sync;
    struct mrd_buf block;
    size_t pair_count;
    struct mrd_avro_pair pairs[PAIRS_MAX]; /* those behind pair_count are not cleared */
};

bool mrd_avro_file_metadata(const struct mrd_avro_file *file, struct mrd_bytes key,
                            struct mrd_bytes *out_value)
{
    for (size_t i = 0; i < file->pair_count; i++) {
        if (mrd_bytes_equal(file->pairs[i].key, key)) {
            *out_value = file->pairs[i].value;
            return true;
        }
    }
    return false;
}

static enum mrd_status read_header(struct mrd_avro_file *file, struct mrd_error *err)
{
    if (!mrd_bytes_equal(mrd_read_bytes(&file->in, magic.size), magic)) {
        return mrd_fail(err, MRD_E_CORRUPT, "the file is not an Avro object container");
    }
    for (uint64_t left = 0; mrd_avro_next_item(&file->in, &left);) {
        if (file->pair_count == PAIRS_MAX) {
            return mrd_fail(err, MRD_E_LIMIT, "an Avro header of more than %d pairs", PAIRS_MAX);
        }
        struct mrd_avro_pair *pair = &file->pairs[file->pair_count++];
        pair->key = mrd_avro_get_bytes(&file->in);
        pair->value = mrd_avro_get_bytes(&file->in);
    }
    file->sync = mrd_read_bytes(&file->in, MRD_AVRO_SYNC_SIZE);
    struct mrd_bytes schema;
    if (file->in.failed || !mrd_avro_file_metadata(file, MRD_BYTES("avro.schema"), &schema)) {
        return mrd_fail(err, MRD_E_CORRUPT, "the Avro header is cut off or without a schema");
    }
    return MRD_OK;
}

static enum mrd_status read_codec(struct mrd_avro_file *file, struct mrd_error *err)
{
    struct mrd_bytes codec;
    if (!mrd_avro_file_metadata(file, MRD_BYTES("avro.codec"), &codec) ||
        mrd_bytes_equal(codec, MRD_BYTES("null"))) {
        file->codec = MRD_AVRO_NULL;
        return MRD_OK;
    }
    if (!mrd_bytes_equal(codec, MRD_BYTES("deflate"))) {
        return mrd_fail(err, MRD_E_UNSUPPORTED, "an Avro file in codec %.*s: null or deflate",
                        (int)MRD_MIN(codec.size, (size_t)32), (const char *)codec.data);
    }
    file->codec = MRD_AVRO_DEFLATE;
    return MRD_OK;
}

enum mrd_status mrd_avro_file_open(struct mrd_bytes bytes, size_t limit_bytes,
                                   struct mrd_avro_file **out_file, struct mrd_error *err)
{
    mrd_auto(mrd_avro_file_close)
    struct mrd_avro_file *file = malloc(sizeof(*file));
    mrd_assert(file != NULL);
    memset(file, 0, offsetof(struct mrd_avro_file, pairs));
    file->in = mrd_reader_of(bytes);
    mrd_buf_init(&file->block, MRD_MAX(limit_bytes, (size_t)1));
    MRD_TRY(read_header(file, err));
    MRD_TRY(read_codec(file, err));
    *out_file = MRD_MOVE(file);
    return MRD_OK;
}

void mrd_avro_file_close(struct mrd_avro_file **file)
{
    if (*file != NULL) {
        mrd_buf_fini(&(*file)->block);
        free(*file);
        *file = NULL;
    }
}

/* Decompresses piece by piece: the file does not say how large a block becomes. */
static enum mrd_status inflate_block(struct mrd_bytes packed, struct mrd_buf *out,
                                     struct mrd_error *err)
{
    z_stream stream = {0};
    mrd_buf_clear(out);
    if (packed.size > UINT32_MAX || inflateInit2(&stream, RAW_DEFLATE) != Z_OK) {
        return mrd_fail(err, MRD_E_LIMIT, "an Avro block of %zu bytes", packed.size);
    }
    stream.next_in = packed.data;
    stream.avail_in = (uInt)packed.size;
    int result = Z_OK;
    uint8_t part[16 << 10];
    while (result == Z_OK && !out->failed) {
        stream.next_out = part;
        stream.avail_out = sizeof(part);
        result = inflate(&stream, Z_NO_FLUSH);
        mrd_buf_append(out, part, sizeof(part) - stream.avail_out);
    }
    (void)inflateEnd(&stream);
    if (out->failed) {
        return mrd_fail(err, MRD_E_LIMIT, "an Avro block of more than the limit of %zu bytes",
                        out->limit);
    }
    return result == Z_STREAM_END ? MRD_OK
                                  : mrd_fail(err, MRD_E_CORRUPT, "an Avro block does not inflate");
}

enum mrd_status mrd_avro_file_block(struct mrd_avro_file *file, uint64_t *out_records,
                                    struct mrd_reader *out_values, struct mrd_error *err)
{
    if (mrd_reader_left(&file->in) == 0 && !file->in.failed) {
        *out_records = 0;
        *out_values = mrd_reader_of(MRD_BYTES_NONE);
        return MRD_OK;
    }
    const int64_t records = mrd_avro_get_long(&file->in);
    struct mrd_bytes bytes = mrd_avro_get_bytes(&file->in);
    const struct mrd_bytes sync = mrd_read_bytes(&file->in, MRD_AVRO_SYNC_SIZE);
    if (file->in.failed || records <= 0 || !mrd_bytes_equal(sync, file->sync)) {
        file->in.failed = true;
        return mrd_fail(err, MRD_E_CORRUPT,
                        "an Avro block is cut off or not followed by its marker");
    }
    if (file->codec == MRD_AVRO_DEFLATE) {
        MRD_TRY(inflate_block(bytes, &file->block, err));
        /* Not a buffer that was never filled: readers may not move from NULL, not even by nothing. */
        bytes = file->block.size == 0 ? MRD_BYTES("") : mrd_buf_view(&file->block);
    } else if (bytes.size > file->block.limit) {
        return mrd_fail(err, MRD_E_LIMIT, "an Avro block of more than the limit of %zu bytes",
                        file->block.limit);
    }
    *out_records = (uint64_t)records;
    *out_values = mrd_reader_of(bytes);
    return MRD_OK;
}
