#include "codec/snappy_block.h"

#include <snappy-c.h>

enum mrd_status mrd_snappy_size(struct mrd_bytes block, size_t *out_size, struct mrd_error *err)
{
    size_t size = 0;
    if (block.size == 0 ||
        snappy_uncompressed_length((const char *)block.data, block.size, &size) != SNAPPY_OK) {
        return mrd_fail(err, MRD_E_INVALID,
                        "the body is not in snappy's block format: no decoded length");
    }
    *out_size = size;
    return MRD_OK;
}

enum mrd_status mrd_snappy_decode(struct mrd_bytes block, size_t size_max, struct mrd_buf *out,
                                  struct mrd_error *err)
{
    mrd_buf_clear(out);
    size_t size = 0;
    MRD_TRY(mrd_snappy_size(block, &size, err));
    if (size_max != 0 && size > size_max) {
        return mrd_fail(err, MRD_E_LIMIT,
                        "the body decodes to %zu bytes, more than the limit of %zu", size,
                        size_max);
    }
    if (size == 0) {
        return block.size == 1 ? MRD_OK
                               : mrd_fail(err, MRD_E_INVALID,
                                          "the body is not in snappy's block format: corrupt");
    }
    uint8_t *place = mrd_buf_reserve(out, size);
    if (place == NULL) {
        return mrd_fail(err, MRD_E_LIMIT, "no room for a body that decodes to %zu bytes", size);
    }
    size_t written = size;
    if (snappy_uncompress((const char *)block.data, block.size, (char *)place, &written) !=
            SNAPPY_OK ||
        written != size) {
        return mrd_fail(err, MRD_E_INVALID, "the body is not in snappy's block format: corrupt");
    }
    out->size += size;
    return MRD_OK;
}

void mrd_snappy_encode(struct mrd_bytes bytes, struct mrd_buf *out)
{
    size_t size = snappy_max_compressed_length(bytes.size);
    uint8_t *place = mrd_buf_reserve(out, size);
    if (place == NULL) {
        return;
    }
    const char *input = bytes.size == 0 ? "" : (const char *)bytes.data;
    const snappy_status status = snappy_compress(input, bytes.size, (char *)place, &size);
    mrd_assert(status == SNAPPY_OK); /* the output is as large as it can get */
    out->size += size;
}

/* The elements of a piece, without its length in front. They refer to none before it, so pieces can follow each other. */
static void append_piece(struct mrd_bytes piece, struct mrd_buf *out)
{
    const size_t before = out->size;
    uint8_t varint[MRD_VARINT_SIZE_MAX];
    const size_t head = mrd_varint_put(varint, piece.size);
    mrd_snappy_encode(piece, out);
    if (!out->failed) {
        uint8_t *block = out->data + before;
        mrd_assert(memcmp(block, varint, head) == 0);
        out->size -= head;
        memmove(block, block + head, out->size - before);
    }
}

enum mrd_status mrd_snappy_encode_looking(struct mrd_bytes bytes, const struct mrd_look *look,
                                          struct mrd_buf *out, struct mrd_error *err)
{
    mrd_buf_append_varint(out, bytes.size);
    while (bytes.size > 0 && !out->failed) {
        const struct mrd_bytes piece = {bytes.data, MRD_MIN(bytes.size, (size_t)MRD_SNAPPY_PIECE)};
        append_piece(piece, out);
        bytes.data += piece.size;
        bytes.size -= piece.size;
        MRD_TRY(mrd_look(look, err));
    }
    return MRD_OK;
}
