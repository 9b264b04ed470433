/* codec.h: rows of one series and resolution as bytes, everything bit for bit (docs/formats/rollup.md has the layout).
 *
 * Threads: pure functions.
 */
#ifndef MRD_ROLLUP_CODEC_H
#define MRD_ROLLUP_CODEC_H

#include "rollup/row.h"

enum { MRD_ROLLUP_CHUNK_ROWS_MAX = 1 << 16 };

/* Times of rows that can be stored: 2^52 ms around the epoch, as of blocks. */
#define MRD_ROLLUP_TIME_MAX ((mrd_time_ms)1 << 52)

/* Appends 1 to MRD_ROLLUP_CHUNK_ROWS_MAX rows in the order of time, none empty, each of one window of the resolution (asserts). `out->failed`
 * tells of the buffer's limit. */
void mrd_rollup_encode(const struct mrd_rollup_row *rows, size_t count, mrd_time_ms resolution_ms,
                       struct mrd_buf *out);

/* Takes bytes from anywhere. Rows and histograms come from the arena. MRD_E_CORRUPT if they are no rows of this resolution, MRD_E_LIMIT from the
 * arena: at most some 100 times the bytes are asked of it. */
MRD_MUST_CHECK enum mrd_status mrd_rollup_decode(struct mrd_bytes bytes, mrd_time_ms resolution_ms,
                                                 struct mrd_arena *arena,
                                                 const struct mrd_rollup_row **out_rows,
                                                 size_t *out_count, struct mrd_error *err);

#endif
