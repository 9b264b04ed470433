/* entry.h: what the catalog keeps of a block: enough to find and check its files and to skip it without
 * opening it.
 *
 * Owner:   whatever a struct mrd_block_entry points to lies in the arena that it was made in.
 * Threads: plain values.
 * Limits:  MRD_BLOCK_ENTRY_SIZE_MAX bytes encoded. Lists that could grow without bound do not: above MRD_BLOCK_TENANTS_MAX
 *          tenants are not listed (the Bloom filter knows them too), the Bloom filter has a size of its own.
 */
#ifndef MRD_BLOCK_ENTRY_H
#define MRD_BLOCK_ENTRY_H

#include "base/arena.h"
#include "base/clock.h"
#include "block/bloom.h"
#include "model/matcher.h"

enum {
    MRD_BLOCK_FORMAT_VERSION = 1,        /* of blocks of samples */
    MRD_BLOCK_FORMAT_VERSION_ROLLUP = 2, /* of rollups: readers of the first version refuse them */
    MRD_BLOCK_ENTRY_VERSION_SERIES =
        3, /* of the entries of blocks with a file of series: likewise */
    MRD_BLOCK_LEVEL_MAX = 9,
    MRD_BLOCK_ID_SIZE_MAX = 80,
    MRD_BLOCK_KEY_SIZE_MAX = 1000,
    MRD_BLOCK_CLASS_SIZE_MAX = 64,
    MRD_BLOCK_PARENTS_MAX = 4096,
    MRD_BLOCK_TENANTS_MAX = 1024,
    MRD_BLOCK_FILE_COLUMNS_MAX = 64,
    MRD_BLOCK_ROW_GROUPS_MAX = 65536,
    MRD_BLOCK_ENTRY_SIZE_MAX = 4 << 20,
};

/* Of a rollup, at most 366 days. */
#define MRD_BLOCK_RESOLUTION_MS_MAX ((uint64_t)366 * 24 * 60 * 60 * 1000)

/* What a block, or one tenant in it, has. */
struct mrd_block_counts {
    uint64_t series;
    uint64_t samples; /* floats, staleness markers included; of a rollup, rows */
    uint64_t histograms;
    mrd_time_ms
        min_ms; /* of what is in it; above max_ms if nothing is. Of a rollup, ends of windows */
    mrd_time_ms max_ms;
};

struct mrd_block_tenant {
    struct mrd_bytes name;
    struct mrd_block_counts counts;
};

struct mrd_block_file {
    struct mrd_bytes key;
    uint64_t size;
    uint32_t crc32c; /* of all its bytes */
};

/* One leaf of the data file as Iceberg's manifests want it. */
struct mrd_block_file_column {
    int32_t field_id; /* map keys and values are two */
    uint64_t stored_size;
    uint64_t value_count; /* nulls and NaNs included; of maps, entries */
    uint64_t null_count;
    uint64_t nan_count; /* doubles */
    bool has_min, has_max;
    struct mrd_bytes min; /* Iceberg's single-value bytes; strings may be cut, then they bound */
    struct mrd_bytes max;
};

/* A Parquet file as Iceberg's manifests want it. */
struct mrd_block_listed_file {
    struct mrd_block_file file; /* its key is empty: there is none */
    const struct mrd_block_file_column *columns;
    size_t column_count;
    const uint64_t *row_group_offsets; /* Iceberg's split offsets */
    size_t row_group_count;
};

/* Where the block's samples came from. */
struct mrd_block_origin {
    /* level 0: a range of a partition's log */
    uint32_t partition;
    uint64_t first_sequence;
    uint64_t last_sequence;
    /* above: the blocks that it was merged from, ids; of a rollup, those that its rows stand for: the same samples, all of them */
    const struct mrd_bytes *parents;
    size_t parent_count;

    struct mrd_bytes residency_class; /* every block is of one */
    mrd_hlc hlc_min;                  /* stamps of the writes in it */
    mrd_hlc hlc_fence;                /* it holds every write up to here of what it covers */
};

struct mrd_block_entry {
    struct mrd_bytes id;
    unsigned level;
    mrd_time_ms resolution_ms; /* 0: samples; else a rollup: rows of windows of that size */
    bool compact_layout;       /* values as scaled integers where that is exact */
    bool keeps_hlc;            /* the column hlc is filled */
    struct mrd_block_file data;
    struct mrd_block_file sidecar;
    struct mrd_block_origin origin;
    struct mrd_block_counts counts;
    uint64_t tenant_count;
    const struct mrd_block_tenant *tenants; /* by name; NULL if there are more than can be listed */
    struct mrd_block_bloom bloom; /* of tenants and label pairs; may be empty: knows nothing */
    const struct mrd_block_file_column *columns;
    size_t column_count;
    const uint64_t *row_group_offsets; /* Iceberg's split offsets */
    size_t row_group_count;
    struct mrd_block_listed_file
        series_file; /* a row for each of counts.series (block/schema.h); of samples above level 0, if at all */
};

/* Appends the entry's bytes. MRD_E_INVALID for an entry that decoding would refuse. */
MRD_MUST_CHECK enum mrd_status mrd_block_entry_encode(const struct mrd_block_entry *entry,
                                                      struct mrd_buf *out, struct mrd_error *err);

/* Takes bytes from anywhere; what it accepts encodes to the same bytes again. Views into `bytes` and the arena. MRD_E_CORRUPT,
 * MRD_E_UNSUPPORTED (a later format version), MRD_E_LIMIT (arena). */
MRD_MUST_CHECK enum mrd_status mrd_block_entry_decode(struct mrd_bytes bytes,
                                                      struct mrd_arena *arena,
                                                      struct mrd_block_entry *out,
                                                      struct mrd_error *err);

/* A copy that shares nothing. MRD_E_LIMIT from the arena. */
MRD_MUST_CHECK enum mrd_status mrd_block_entry_copy(const struct mrd_block_entry *entry,
                                                    struct mrd_arena *arena,
                                                    struct mrd_block_entry *out,
                                                    struct mrd_error *err);

/* The format version of the entry; but for blocks with a file of series it is that of the block's files. */
static inline int mrd_block_entry_version(const struct mrd_block_entry *entry)
{
    if (entry->series_file.file.key.size > 0) {
        return MRD_BLOCK_ENTRY_VERSION_SERIES;
    }
    return entry->resolution_ms == 0 ? MRD_BLOCK_FORMAT_VERSION : MRD_BLOCK_FORMAT_VERSION_ROLLUP;
}

/* False if the block cannot have a sample (or row) of that tenant in [min_ms, max_ms] whose labels the matchers accept. Cost: about 100 ns
 * a matcher. */
bool mrd_block_entry_may_match(const struct mrd_block_entry *entry, struct mrd_bytes tenant,
                               const struct mrd_matcher *matchers, size_t matcher_count,
                               mrd_time_ms min_ms, mrd_time_ms max_ms);

#endif
