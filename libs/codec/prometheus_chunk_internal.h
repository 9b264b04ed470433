/* prometheus_chunk_internal.h: what the files of prometheus_chunk.h share. */
#ifndef MRD_CODEC_PROMETHEUS_CHUNK_INTERNAL_H
#define MRD_CODEC_PROMETHEUS_CHUNK_INTERNAL_H

#include "codec/prometheus_chunk.h"

/* `starts`: encodings 5 and 6. */
MRD_MUST_CHECK enum mrd_status mrd_prometheus_histograms_decode(struct mrd_bytes bytes,
                                                                bool is_float, bool starts,
                                                                struct mrd_arena *arena,
                                                                struct mrd_histograms *out,
                                                                struct mrd_error *err);

#endif
