/* xor_chunk.h: chunks of float samples in Prometheus' XOR encoding, for those who read them elsewhere.
 *
 * Nothing is stored in this format here (codec/chunk.h is what heads hold); remote read streams it.
 * Layout (tsdb/docs/format/chunks.md of Prometheus, after Pelkonen et al., "Gorilla", VLDB 2015), bits
 * from the most significant one on:
 *   u16 count; signed varint t0, 64 bits v0; unsigned varint t1 - t0, xor of v1; then for each sample the
 *   delta of the delta of times (0 | 10 + 14 | 110 + 17 | 1110 + 20 | 1111 + 64 bits) and the xor.
 *   xor: 0 the same value | 10 + the bits of the window before | 11 + 5 bits of leading zeros (31 at
 *   most) + 6 bits of length (0 is 64) + that many bits, which become the window.
 *
 * Threads: pure functions.
 */
#ifndef MRD_CODEC_XOR_CHUNK_H
#define MRD_CODEC_XOR_CHUNK_H

#include "base/bytes.h"
#include "model/sample.h"

enum {
    MRD_XOR_CHUNK_ENCODING = 1,       /* chunkenc.EncXOR */
    MRD_XOR_CHUNK_SAMPLES = 120,      /* as many as Prometheus puts into one */
    MRD_XOR_CHUNK_SAMPLES_MAX = 65535 /* as many as the format can say */
};

/* Appends one chunk with all samples: 1 to MRD_XOR_CHUNK_SAMPLES_MAX, times strictly ascending. */
void mrd_xor_chunk_encode(const struct mrd_samples *samples, struct mrd_buf *out);

#endif
