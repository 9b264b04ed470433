/* prometheus_chunk.h: reads chunks in Prometheus' encodings, from its blocks and from remote read.
 *
 * Layouts: codec/xor_chunk.h, codec/xor2_chunk.h, codec/varbit_chunk.h. What is read is what Prometheus' own readers make of a
 * chunk, bit for bit: of a histogram's resets only that none lies inside a chunk is known; a staleness marker has a sum
 * only. Bytes are checked: a chunk that ends early, whose times do not ascend, or whose layout cannot be is refused.
 *
 * Threads: pure functions.
 */
#ifndef MRD_CODEC_PROMETHEUS_CHUNK_H
#define MRD_CODEC_PROMETHEUS_CHUNK_H

#include "base/arena.h"
#include "model/histogram.h"
#include "model/sample.h"

enum mrd_prometheus_encoding { /* tsdb/chunkenc/chunk.go */
                               MRD_PROMETHEUS_XOR = 1,
                               MRD_PROMETHEUS_HISTOGRAM = 2,
                               MRD_PROMETHEUS_FLOAT_HISTOGRAM = 3,
                               MRD_PROMETHEUS_XOR2 = 4,
                               MRD_PROMETHEUS_HISTOGRAM_ST = 5,
                               MRD_PROMETHEUS_FLOAT_HISTOGRAM_ST = 6,
};

struct mrd_prometheus_chunk {
    struct mrd_samples samples; /* of 1 and 4; start times only with 4, NULL if none is known */
    struct mrd_histograms histograms; /* of the others */
};

/* Decodes all of a chunk; arrays come from the arena, everything points into it. MRD_E_UNSUPPORTED: another encoding;
 * MRD_E_CORRUPT: not such a chunk; MRD_E_LIMIT: the arena. Memory: 24 bytes a sample of floats (65,535 at most),
 * 64 bytes a byte of histograms at most. */
MRD_MUST_CHECK enum mrd_status
mrd_prometheus_chunk_decode(unsigned encoding, struct mrd_bytes bytes, struct mrd_arena *arena,
                            struct mrd_prometheus_chunk *out, struct mrd_error *err);

#endif
