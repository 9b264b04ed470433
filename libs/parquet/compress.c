#include "parquet/compress.h"

#define ZLIB_CONST /* its input is not written to */
#include <snappy-c.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "codec/snappy_block.h"

struct mrd_pq_compressor {
    enum mrd_pq_codec codec;
    ZSTD_CCtx *zstd;
    size_t small_max;
};

struct mrd_pq_decompressor {
    ZSTD_DCtx *zstd;
};

struct mrd_pq_compressor *mrd_pq_compressor_create(enum mrd_pq_codec codec, int level)
{
    struct mrd_pq_compressor *compressor = calloc(1, sizeof(*compressor));
    mrd_assert(compressor != NULL);
    compressor->codec = codec;
    if (codec == MRD_PQ_ZSTD) {
        compressor->zstd = ZSTD_createCCtx();
        mrd_assert(compressor->zstd != NULL);
        const size_t set = ZSTD_CCtx_setParameter(compressor->zstd, ZSTD_c_compressionLevel, level);
        mrd_assert(!ZSTD_isError(set));
    }
    return compressor;
}

void mrd_pq_compressor_destroy(struct mrd_pq_compressor **compressor)
{
    if (*compressor != NULL) {
        ZSTD_freeCCtx((*compressor)->zstd);
        free(*compressor);
        *compressor = NULL;
    }
}

static void compress_zstd(struct mrd_pq_compressor *compressor, struct mrd_bytes bytes,
                          struct mrd_buf *out)
{
    const size_t bound = ZSTD_compressBound(bytes.size);
    uint8_t *place = mrd_buf_reserve(out, bound);
    if (place == NULL) {
        return;
    }
    const size_t size = ZSTD_compress2(compressor->zstd, place, bound, bytes.data, bytes.size);
    if (ZSTD_isError(size)) { /* out of memory is all that is left */
        out->failed = true;
        return;
    }
    out->size += size;
}

void mrd_pq_compressor_keep_small(struct mrd_pq_compressor *compressor, size_t bytes_max)
{
    mrd_assert(bytes_max <= MRD_PQ_SMALL_MAX);
    compressor->small_max = bytes_max;
}

/* RFC 8878: a frame of a single segment, whose size takes one byte, with one raw block, the last. */
static void frame_small(struct mrd_bytes bytes, struct mrd_buf *out)
{
    const uint32_t block = (uint32_t)bytes.size << 3 | 1;
    const uint8_t header[] = {0x28,
                              0xb5,
                              0x2f,
                              0xfd,
                              0x20,
                              (uint8_t)bytes.size,
                              (uint8_t)block,
                              (uint8_t)(block >> 8),
                              (uint8_t)(block >> 16)};
    mrd_buf_append(out, header, sizeof(header));
    mrd_buf_append_bytes(out, bytes);
}

void mrd_pq_compress(struct mrd_pq_compressor *compressor, struct mrd_bytes bytes,
                     struct mrd_buf *out)
{
    if (compressor->codec == MRD_PQ_ZSTD && bytes.size <= compressor->small_max) {
        frame_small(bytes, out);
    } else if (compressor->codec == MRD_PQ_ZSTD) {
        compress_zstd(compressor, bytes, out);
    } else if (compressor->codec == MRD_PQ_SNAPPY) {
        mrd_snappy_encode(bytes, out);
    } else {
        mrd_buf_append_bytes(out, bytes);
    }
}

struct mrd_pq_decompressor *mrd_pq_decompressor_create(void)
{
    struct mrd_pq_decompressor *decompressor = calloc(1, sizeof(*decompressor));
    mrd_assert(decompressor != NULL);
    decompressor->zstd = ZSTD_createDCtx();
    mrd_assert(decompressor->zstd != NULL);
    return decompressor;
}

void mrd_pq_decompressor_destroy(struct mrd_pq_decompressor **decompressor)
{
    if (*decompressor != NULL) {
        ZSTD_freeDCtx((*decompressor)->zstd);
        free(*decompressor);
        *decompressor = NULL;
    }
}

static bool decompress_snappy(struct mrd_bytes bytes, uint8_t *out, size_t out_size)
{
    size_t size = 0;
    return bytes.size > 0 &&
           snappy_uncompressed_length((const char *)bytes.data, bytes.size, &size) == SNAPPY_OK &&
           size == out_size &&
           snappy_uncompress((const char *)bytes.data, bytes.size, (char *)out, &size) ==
               SNAPPY_OK &&
           size == out_size;
}

/* A page may be several gzip members, one after the other (RFC 1952, 2.2). */
static bool inflate_members(z_stream *stream)
{
    for (;;) {
        const int result = inflate(stream, Z_FINISH);
        if (result != Z_STREAM_END || stream->avail_in == 0) {
            return result == Z_STREAM_END;
        }
        const uInt left = stream->avail_out;
        if (left == 0 || inflateReset(stream) != Z_OK) {
            return left == 0; /* what follows the last wanted byte does not matter */
        }
    }
}

static bool decompress_gzip(struct mrd_bytes bytes, uint8_t *out, size_t out_size)
{
    z_stream stream = {0};
    if (bytes.size > UINT32_MAX || out_size > UINT32_MAX ||
        inflateInit2(&stream, 15 + 32) != Z_OK) { /* zlib or gzip, the header says which */
        return false;
    }
    uint8_t nothing;
    stream.next_in = bytes.data;
    stream.avail_in = (uInt)bytes.size;
    stream.next_out = out_size == 0 ? &nothing : out;
    stream.avail_out = (uInt)out_size;
    const bool fine = inflate_members(&stream) && stream.avail_out == 0;
    (void)inflateEnd(&stream);
    return fine;
}

enum mrd_status mrd_pq_codec_check(unsigned codec, struct mrd_error *err)
{
    static const char *const others[] = {[3] = "LZO", [4] = "BROTLI", [5] = "LZ4", [7] = "LZ4_RAW"};
    if (codec == MRD_PQ_NONE || codec == MRD_PQ_SNAPPY || codec == MRD_PQ_GZIP ||
        codec == MRD_PQ_ZSTD) {
        return MRD_OK;
    }
    const char *name =
        codec < MRD_ARRAY_LEN(others) && others[codec] != NULL ? others[codec] : "unknown";
    return mrd_fail(err, MRD_E_UNSUPPORTED,
                    "compression %u (%s): write the file uncompressed, with snappy, gzip or zstd",
                    codec, name);
}

enum mrd_status mrd_pq_decompress(struct mrd_pq_decompressor *decompressor, unsigned codec,
                                  struct mrd_bytes bytes, uint8_t *out, size_t out_size,
                                  struct mrd_error *err)
{
    bool fine = false;
    MRD_TRY(mrd_pq_codec_check(codec, err));
    if (codec == MRD_PQ_ZSTD) {
        const size_t size =
            ZSTD_decompressDCtx(decompressor->zstd, out, out_size, bytes.data, bytes.size);
        fine = !ZSTD_isError(size) && size == out_size;
    } else if (codec == MRD_PQ_SNAPPY) {
        fine = decompress_snappy(bytes, out, out_size);
    } else if (codec == MRD_PQ_GZIP) {
        fine = decompress_gzip(bytes, out, out_size);
    } else if (bytes.size == out_size) {
        fine = true;
        if (out_size > 0) {
            memcpy(out, bytes.data, out_size);
        }
    }
    return fine ? MRD_OK
                : mrd_fail(err, MRD_E_CORRUPT, "a page does not decompress to %zu bytes", out_size);
}
