/* snappy_block.h: bodies in snappy's block format (google/snappy format_description.txt), bounded.
 *
 * Remote write bodies come as one block: a varint with the decoded length, then elements. The declared
 * length is compared with a limit before any memory is taken, so a body of a few bytes cannot ask for
 * gigabytes.
 *
 * Threads: pure functions.
 */
#ifndef MRD_CODEC_SNAPPY_BLOCK_H
#define MRD_CODEC_SNAPPY_BLOCK_H

#include "base/bytes.h"
#include "base/look.h"

/* Replaces out's content by the decoded block. MRD_E_LIMIT if the block declares more than size_max bytes
 * (0: no limit but the format's 4 GiB); MRD_E_INVALID if it is not snappy. `out` keeps its memory for the next
 * block and is empty after a failure. */
MRD_MUST_CHECK enum mrd_status mrd_snappy_decode(struct mrd_bytes block, size_t size_max,
                                                 struct mrd_buf *out, struct mrd_error *err);

/* The length that a block declares; MRD_E_INVALID if there is none. */
MRD_MUST_CHECK enum mrd_status mrd_snappy_size(struct mrd_bytes block, size_t *out_size,
                                               struct mrd_error *err);

/* Appends `bytes` as one block. */
void mrd_snappy_encode(struct mrd_bytes bytes, struct mrd_buf *out);

/* The same block, with a look after every MRD_SNAPPY_PIECE bytes. */
enum { MRD_SNAPPY_PIECE = 1 << 20 };
MRD_MUST_CHECK enum mrd_status mrd_snappy_encode_looking(struct mrd_bytes bytes,
                                                         const struct mrd_look *look,
                                                         struct mrd_buf *out,
                                                         struct mrd_error *err);

#endif
