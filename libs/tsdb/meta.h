/* meta.h: a block's meta.json, version 1 (Prometheus tsdb/block.go, BlockMeta). */
#ifndef MRD_TSDB_META_H
#define MRD_TSDB_META_H

#include "base/clock.h"
#include "tsdb/ulid.h"

enum { MRD_TSDB_META_BYTES_MAX = 16 << 20 };

struct mrd_tsdb_stats {
    uint64_t samples; /* of both kinds */
    uint64_t floats;
    uint64_t histograms;
    uint64_t series;
    uint64_t chunks;
};

struct mrd_tsdb_meta {
    char ulid[MRD_ULID_LENGTH + 1];
    mrd_time_ms min_ms;
    mrd_time_ms max_ms; /* excluded */
    struct mrd_tsdb_stats stats;
    uint64_t downsampled_ms; /* Thanos': 0: as it was scraped */
};

/* MRD_E_INVALID: not such a file, or of another version. */
MRD_MUST_CHECK enum mrd_status mrd_tsdb_meta_read(struct mrd_bytes json, struct mrd_tsdb_meta *out,
                                                  struct mrd_error *err);

/* Appends the file of a block that was made in one go: level 1, its own only source. */
void mrd_tsdb_meta_write(const struct mrd_tsdb_meta *meta, struct mrd_buf *out);

#endif
