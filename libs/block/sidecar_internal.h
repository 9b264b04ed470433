/* sidecar_internal.h: the sidecar of a block in memory and in bytes (docs/formats/block.md has the layout).
 *
 *   magic | index of part 0 | index of part 1 | ... | pages of part 0 | ... | directory | tail
 *
 * A part is the index of some whole tenants: as many small ones as make MBX_PART_BYTES, or a large one. Index, page
 * table and directory are zstd frames, each with a CRC in what leads to it: the tail leads to the directory, that to all others. There are no
 * bytes between them.
 *
 * Threads: parsed directories and parts are never changed.
 */
#ifndef MRD_BLOCK_SIDECAR_INTERNAL_H
#define MRD_BLOCK_SIDECAR_INTERNAL_H

#include "base/arena.h"
#include "base/look.h"
#include "block/entry.h"
#include "block/series.h"
#include "rollup/columns.h"

struct mrd_pq_compressor;

enum {
    MBX_VERSION = 1,        /* of samples */
    MBX_VERSION_ROLLUP = 2, /* of rollup rows */
    MBX_VERSION_STAMPS = 3, /* of samples whose stamps are beside the columns */
    MBX_MAGIC_SIZE = 8,
    MBX_TAIL_SIZE = 32,
    MBX_PART_BYTES = 256 << 10, /* plain; a part ends with the tenant that passes this */
    MBX_SERIES_LABELS_MAX = 1 << 16,
};
#define MBX_MAGIC "MRDMBX1\n"
#define MBX_TAIL_MAGIC "XBM1"

/* Columns whose pages are listed. */
enum mbx_leaf {
    MBX_TS,
    MBX_VALUE,
    MBX_ST,
    MBX_HISTOGRAM,
    MBX_HLC,
    MBX_VALUE_I,
    MBX_LEAF_COUNT,
    /* of a rollup, beside MBX_TS: from here on as enum mrd_rollup_column, then the states */
    MBX_ROW = 1,
    MBX_STATE = MBX_ROW + MRD_ROW_COLUMNS,
    MBX_ROLLUP_LEAF_COUNT,
    MBX_LEAVES_MAX = MBX_ROLLUP_LEAF_COUNT,
};

struct mbx_page_at {
    uint64_t offset; /* in the data file, of the page's header */
    uint32_t size;   /* header and body; 0: nulls alone, or no such column: not to be read */
    uint32_t crc32c;
};

struct mbx_page {
    uint32_t rows;
    uint32_t span;              /* of the part; where it has any */
    uint32_t span_row;          /* the page's first row in it */
    struct mbx_page_at *leaves; /* as many as the kind of block has */
};

/* Rows of whole pages whose stamps are one frame of zstd in the data file (stamps_internal.h). */
struct mbx_span {
    uint64_t offset;
    uint32_t size;
    uint32_t crc32c;
    uint32_t pages;
    uint32_t rows;
    uint32_t stamps; /* different ones */
};
enum { MBX_SPAN_ROWS_MAX = 1 << 20, MBX_SPAN_STAMPS_MAX = 1 << 16 };

enum mbx_segment_flags {
    MBX_NEW_PAGE = 1, /* begins the page after that of the segment before */
    MBX_FLOATS = 2,
    MBX_HISTOGRAMS = 4,
    MBX_STALE = 8,    /* some of the floats are staleness markers: null */
    MBX_STARTS = 16,  /* some have a start time */
    MBX_REGULAR = 32, /* times are first + i * step */
    MBX_SCALED = 64,  /* values are in value_i, to be divided by 10^digits */
    MBX_RESETS = 64,  /* of a rollup: some rows have resets */
    MBX_FLAGS_ALL = 127,
};

/* Consecutive rows of a series in one page. */
struct mbx_segment {
    mrd_time_ms first_ms; /* of rollup rows: ends of windows */
    mrd_time_ms last_ms;
    int64_t step_ms; /* MBX_REGULAR only */
    uint32_t rows;
    uint32_t page; /* of the part */
    uint32_t row;  /* in the page */
    uint8_t flags;
    uint8_t digits; /* MBX_SCALED only */
};

/* ---- a parsed part ---- */

struct mbx_name {
    struct mrd_bytes name;
    uint32_t pairs_first; /* of the tenant's */
    uint32_t pairs_count;
};

struct mbx_pair {
    struct mrd_bytes value;
    uint32_t name;    /* of the tenant's */
    uint32_t count;   /* series that have it */
    uint32_t first;   /* of them */
    uint32_t gaps_at; /* in the tenant's gaps: varints; UINT32_MAX: all following `first` */
};

struct mbx_series {
    uint32_t refs_first; /* of the tenant's refs */
    uint32_t refs_count;
    uint32_t segments_first;
    uint32_t segments_count;
};

struct mbx_tenant {
    struct mrd_bytes name;
    struct mrd_block_counts counts;
    struct mbx_name *names; /* sorted */
    uint32_t name_count;
    struct mbx_pair *pairs; /* sorted by name and value */
    uint32_t pair_count;
    struct mrd_bytes gaps;
    struct mbx_series *series; /* in the block's order */
    uint32_t series_count;
    uint32_t *refs; /* pairs of the series, by name */
    struct mbx_segment *segments;
    uint32_t segment_count;
};

struct mbx_part {
    struct mrd_arena *arena;    /* everything here */
    mrd_time_ms resolution_ms;  /* 0: samples */
    unsigned leaf_count;        /* of each page */
    struct mbx_tenant *tenants; /* sorted */
    uint32_t tenant_count;
    struct mbx_page *pages;
    uint32_t page_count;
    struct mbx_span *spans; /* of all pages, or none */
    uint32_t span_count;
};

/* What a part is of. */
struct mbx_part_of {
    uint32_t version; /* of the sidecar */
    uint64_t data_size;
    mrd_time_ms resolution_ms;
};

/* Parses an index and a page table (plain bytes, which are not kept). All numbers are checked against each other: whoever walks
 * the result needs no checks. MRD_E_CORRUPT, MRD_E_LIMIT (memory_max); the look (NULL: none) may end it. */
MRD_MUST_CHECK enum mrd_status mbx_part_parse(struct mrd_bytes index, struct mrd_bytes pages,
                                              const struct mbx_part_of *of, size_t memory_max,
                                              const struct mrd_look *look,
                                              struct mbx_part **out_part, struct mrd_error *err);
void mbx_part_destroy(struct mbx_part **part);

/* The tenant, or NULL. */
const struct mbx_tenant *mbx_part_find(const struct mbx_part *part, struct mrd_bytes name);

/* The series of a pair, ascending; `out` has room for pair->count. */
void mbx_postings(const struct mbx_tenant *tenant, const struct mbx_pair *pair, uint32_t *out);

/* ---- matching ---- */

/* Ordinals of series, ascending. */
struct mbx_numbers {
    uint32_t *items;
    size_t count;
};
void mbx_numbers_fini(struct mbx_numbers *numbers);

struct mbx_query {
    const struct mrd_matcher *matchers;
    size_t matcher_count;
    mrd_time_ms min_ms;
    mrd_time_ms max_ms;
    mrd_time_ms histograms_min_ms; /* in the place of min_ms for runs that have histograms */
};

/* The tenant's series that all matchers accept and that have a run which meets the range. What fails is the look (NULL: none); finish
 * *out in any case. */
MRD_MUST_CHECK enum mrd_status mbx_match(const struct mbx_tenant *tenant,
                                         const struct mbx_query *query, const struct mrd_look *look,
                                         struct mbx_numbers *out, struct mrd_error *err);

/* Those of some series that it accepts; likewise. */
MRD_MUST_CHECK enum mrd_status mbx_match_among(const struct mbx_tenant *tenant,
                                               const struct mbx_query *query,
                                               const struct mbx_numbers *among,
                                               const struct mrd_look *look, struct mbx_numbers *out,
                                               struct mrd_error *err);

/* The label's index in tenant->names, or -1. */
ptrdiff_t mbx_name_find(const struct mbx_tenant *tenant, struct mrd_bytes name);

/* The labels of a series; `items` has room for series->refs_count. */
struct mrd_labels mbx_labels(const struct mbx_tenant *tenant, const struct mbx_series *series,
                             struct mrd_label *items);

/* ---- the directory ---- */

/* The columns whose pages are listed. */
static inline unsigned mbx_leaf_count(mrd_time_ms resolution_ms)
{
    return resolution_ms == 0 ? MBX_LEAF_COUNT : MBX_ROLLUP_LEAF_COUNT;
}

/* Where a zstd frame lies in the sidecar. */
struct mbx_frame {
    uint64_t offset;
    uint64_t size;
    uint64_t plain_size;
    uint32_t crc32c; /* of the stored bytes */
};

struct mbx_part_at {
    struct mbx_frame index;
    struct mbx_frame pages;
    uint64_t tenants_first; /* in the directory's */
    uint64_t tenants_count;
};

struct mbx_directory {
    struct mrd_arena *arena;
    uint32_t version;
    struct mrd_bytes id;       /* of the block */
    mrd_time_ms resolution_ms; /* 0: samples */
    uint64_t data_size;
    uint32_t data_crc32c;
    struct mbx_part_at *parts;
    size_t part_count;
    struct mrd_block_tenant *tenants;
    size_t tenant_count;
};

/* Appends directory and tail to a sidecar that has everything else. */
void mbx_directory_write(const struct mbx_directory *directory,
                         struct mrd_pq_compressor *compressor, struct mrd_buf *out);

/* Where the directory lies, from the last MBX_TAIL_SIZE bytes of a sidecar of that size, and what its version is. */
MRD_MUST_CHECK enum mrd_status mbx_tail_read(struct mrd_bytes tail, uint64_t sidecar_size,
                                             struct mbx_frame *out, uint32_t *out_version,
                                             struct mrd_error *err);
MRD_MUST_CHECK enum mrd_status
mbx_directory_parse(struct mrd_bytes plain, const struct mbx_frame *frame, uint32_t version,
                    size_t memory_max, struct mbx_directory **out_directory, struct mrd_error *err);
void mbx_directory_destroy(struct mbx_directory **directory);

/* The part with this tenant, or -1. */
ptrdiff_t mbx_directory_find(const struct mbx_directory *directory, struct mrd_bytes tenant);

/* ---- frames ---- */

/* Compresses by a compressor of zstd and appends; *out_frame says where. `out->failed` tells of its limit. */
void mbx_frame_write(struct mrd_bytes plain, struct mrd_pq_compressor *compressor,
                     struct mrd_buf *out, struct mbx_frame *out_frame);

/* Checks the CRC and decompresses to exactly frame->plain_size bytes. MRD_E_CORRUPT; MRD_E_LIMIT beyond memory_max; the look
 * (NULL: none) may end it, being asked every MBX_FRAME_PIECE bytes. */
enum { MBX_FRAME_PIECE = 1 << 20 };
MRD_MUST_CHECK enum mrd_status mbx_frame_open(struct mrd_bytes stored,
                                              const struct mbx_frame *frame, size_t memory_max,
                                              const struct mrd_look *look,
                                              struct mrd_buf *out_plain, struct mrd_error *err);

/* ---- counts ---- */

void mbx_counts_init(struct mrd_block_counts *counts);
void mbx_counts_add(struct mrd_block_counts *counts, const struct mrd_block_counts *other);
void mbx_counts_write(const struct mrd_block_counts *counts, struct mrd_buf *out);
/* False if they cannot be: min above max with samples, times out of bounds. */
bool mbx_counts_read(struct mrd_reader *in, struct mrd_block_counts *out);

#endif
