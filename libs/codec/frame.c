#include "codec/frame.h"

bool mrd_frame_read_chunk(struct mrd_frame *frame, struct mrd_chunk *out)
{
    if (mrd_reader_left(&frame->chunks) == 0) {
        return false;
    }
    out->encoding = mrd_read_u8(&frame->chunks);
    const uint64_t count = mrd_read_varint(&frame->chunks);
    if (count == 0 || count > MRD_CHUNK_SAMPLES_MAX) {
        return mrd_reader_fail(&frame->chunks);
    }
    out->count = (uint32_t)count;
    out->bytes = mrd_read_bytes(&frame->chunks, mrd_read_varint(&frame->chunks));
    return !frame->chunks.failed;
}

enum mrd_status mrd_frame_read(struct mrd_reader *reader, struct mrd_frame *out,
                               struct mrd_error *err)
{
    out->labels = mrd_read_bytes(reader, mrd_read_varint(reader));
    const uint64_t chunk_count = mrd_read_varint(reader);
    out->chunks = *reader;
    if (chunk_count > mrd_reader_left(reader)) {
        mrd_reader_fail(reader);
    }
    struct mrd_frame walk = *out;
    struct mrd_chunk chunk;
    for (uint64_t i = 0; i < chunk_count && !reader->failed; i++) {
        if (!mrd_frame_read_chunk(&walk, &chunk)) {
            mrd_reader_fail(reader);
        }
    }
    if (reader->failed) {
        return mrd_fail(err, MRD_E_CORRUPT, "series frame: not well formed");
    }
    out->chunk_count = (uint32_t)chunk_count;
    out->chunks.end = walk.chunks.at;
    reader->at = walk.chunks.at;
    return MRD_OK;
}

void mrd_frame_write_head(struct mrd_buf *out, struct mrd_bytes labels, uint32_t chunk_count)
{
    mrd_buf_append_varint(out, labels.size);
    mrd_buf_append_bytes(out, labels);
    mrd_buf_append_varint(out, chunk_count);
}

void mrd_frame_write_chunk(struct mrd_buf *out, const struct mrd_chunk *chunk)
{
    mrd_buf_append_u8(out, chunk->encoding);
    mrd_buf_append_varint(out, chunk->count);
    mrd_buf_append_varint(out, chunk->bytes.size);
    mrd_buf_append_bytes(out, chunk->bytes);
}
