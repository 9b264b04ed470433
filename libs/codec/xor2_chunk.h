/* xor2_chunk.h: chunks of float samples in Prometheus' XOR2 encoding (tsdb/chunkenc/xor2.go of 3.14), which can say since
 * when each sample counts, for those who read them elsewhere.
 *
 * Nothing is stored in this format here; exports and remote read may use it.
 * Layout, bits from the most significant one on:
 *   u16 count; u8 header of start times; signed varint t0, 64 bits v0; unsigned varint t1 - t0, value of v1; then for each
 *   sample a joint code of the time's delta of the delta and the value:
 *     0 no change of either | 10 a changed value: 0 + bits of the window before, or 1 + a window of its own |
 *     110 + 13 bits, 1110 + 20, 11110 + 64 (two's complement), each with a value | 11111 a staleness marker on time.
 *   value: 0 the same | 10 + bits of the window before | 110 + a window of its own | 111 a staleness marker.
 *   A window is that of codec/xor_chunk.h. Values are compared with the last that was no staleness marker.
 *   Behind each sample its start time, as start_bits_internal.h says.
 *
 * Threads: pure functions.
 */
#ifndef MRD_CODEC_XOR2_CHUNK_H
#define MRD_CODEC_XOR2_CHUNK_H

#include "base/bytes.h"
#include "model/sample.h"

enum {
    MRD_XOR2_CHUNK_ENCODING = 4, /* chunkenc.EncXOR2 */
    MRD_XOR2_CHUNK_SAMPLES = 120,
    MRD_XOR2_CHUNK_SAMPLES_MAX = 65535
};

/* Appends one chunk with all samples: 1 to MRD_XOR2_CHUNK_SAMPLES_MAX, times strictly ascending. */
void mrd_xor2_chunk_encode(const struct mrd_samples *samples, struct mrd_buf *out);

#endif
