/* frame.h: one series with its chunks as bytes: what a head's selection consists of and what a select
 * reply carries.
 *
 *   varint label size, canonical label bytes, varint chunk count,
 *   per chunk: u8 encoding, varint sample count, varint byte size, bytes
 *
 * Chunks stand in an order in which, on equal timestamps, the later chunk wins; a histogram wins against a sample
 * wherever its chunk stands. Frames follow each
 * other without a gap, so a reader needs nothing but their bytes.
 */
#ifndef MRD_CODEC_FRAME_H
#define MRD_CODEC_FRAME_H

#include "codec/chunk.h"

struct mrd_frame {
    struct mrd_bytes labels; /* canonical */
    uint32_t chunk_count;
    struct mrd_reader chunks; /* for mrd_frame_read_chunk */
};

/* Reads the next frame. MRD_E_CORRUPT if the bytes are not one; every chunk's bounds are checked
 * here, so mrd_frame_read_chunk cannot fail. Views into the reader's bytes. */
MRD_MUST_CHECK enum mrd_status mrd_frame_read(struct mrd_reader *reader, struct mrd_frame *out,
                                              struct mrd_error *err);

/* The next chunk of a frame; false after the last. The chunk's bytes are not looked at. */
bool mrd_frame_read_chunk(struct mrd_frame *frame, struct mrd_chunk *out);

/* Writers: head of the frame, then exactly chunk_count chunks. */
void mrd_frame_write_head(struct mrd_buf *out, struct mrd_bytes labels, uint32_t chunk_count);
void mrd_frame_write_chunk(struct mrd_buf *out, const struct mrd_chunk *chunk);

#endif
