/* merge_internal.h: the parts of a merge: sources (blocks being read), the order of values, outputs (blocks being written). */
#ifndef MRD_MERGE_MERGE_INTERNAL_H
#define MRD_MERGE_MERGE_INTERNAL_H

#include "block/reader.h"
#include "block/writer.h"
#include "merge/merge.h"

/* ---- values.c: which of two wins ---- */

/* One thing that a block says about a time of a series. */
struct mrd_merge_row {
    mrd_hlc hlc;
    mrd_time_ms start_ms;
    double value;
    const struct mrd_histogram *histogram; /* or NULL: the value counts */
};

/* By value and start time, a total order; 0: the same in every bit. */
int mrd_merge_compare_content(const struct mrd_merge_row *a, const struct mrd_merge_row *b);
/* By stamp first. */
int mrd_merge_compare(const struct mrd_merge_row *a, const struct mrd_merge_row *b);

/* ---- source.c: a block that is read ---- */

/* Bounds of one source. */
struct mrd_merge_share {
    size_t sidecar_bytes;
    size_t window_bytes;
    size_t piece_bytes;
};

/* What is read as one: blocks whose series follow each other, one input mostly. */
struct mrd_merge_chain {
    const struct mrd_block_entry *entries;
    size_t count;
    struct mrd_merge_reader *reader; /* of the one entry; or NULL */
};

/* What is to be left out of an input. */
struct mrd_merge_leave {
    const struct mrd_erasure **erasures; /* of the tenant, in the order of their ids */
    uint64_t *counts;                    /* of each, as of struct mrd_merge_erased */
    size_t count;
    uint64_t samples; /* that were left out */
};

struct mrd_merge_source {
    const struct mrd_merge_options *options;
    struct mrd_merge_share share;
    bool
        want_hlc; /* its stamps decide something, or are kept; a chain's reader reads them anyway */
    struct mrd_merge_chain chain;
    struct mrd_merge_leave *leave;       /* of the chain's only block; or NULL */
    size_t next;                         /* of the chain, to be opened */
    const struct mrd_block_entry *entry; /* that is open */
    uint64_t samples_before;             /* of those before it */
    struct mrd_block *block;
    struct mrd_block_cursor *cursor;
    bool lent;                            /* block and cursor are the chain's reader's */
    const struct mrd_block_series *piece; /* NULL at the end */
    size_t f;                             /* floats of the piece that are done */
    size_t h;
    uint64_t samples; /* that were read, or left out */
};

/* Opens a source with options, share, want_hlc and chain set and all else zero, at its first piece. */
MRD_MUST_CHECK enum mrd_status mrd_merge_source_open(struct mrd_merge_source *source,
                                                     struct mrd_error *err);
void mrd_merge_source_close(struct mrd_merge_source *source);

/* The next piece, of the same series or another. A block that lies wholly in the range and has not given what its directory
 * says is MRD_E_CORRUPT. */
MRD_MUST_CHECK enum mrd_status mrd_merge_source_next(struct mrd_merge_source *source,
                                                     struct mrd_error *err);

/* The time of the next row of the piece; INT64_MAX if it is used up. */
mrd_time_ms mrd_merge_source_time(const struct mrd_merge_source *source);

/* The next row; there is one. Does not move. */
struct mrd_merge_row mrd_merge_source_row(const struct mrd_merge_source *source);
/* Moves behind it. */
void mrd_merge_source_skip(struct mrd_merge_source *source);

/* ---- workspace.c: what outlives a merge ---- */

struct mrd_merge_output;
struct mrd_merge_workspace {
    struct mrd_block_writer_kit *kit;
    struct mrd_merge_output *output;
};

/* ---- erased.c: what is left out of an input ---- */

/* Lists what the input owes of the tenant, in the arena. */
MRD_MUST_CHECK enum mrd_status mrd_merge_leave_init(struct mrd_merge_leave *leave,
                                                    const struct mrd_merge_options *options,
                                                    struct mrd_bytes input_id,
                                                    struct mrd_arena *arena, struct mrd_error *err);
void mrd_merge_leave_reset(struct mrd_merge_leave *leave);

/* Notes that `samples` were left out of the block. */
MRD_MUST_CHECK enum mrd_status mrd_merge_leave_count(struct mrd_merge_leave *leave,
                                                     const struct mrd_merge_options *options,
                                                     struct mrd_block *block, uint64_t samples,
                                                     struct mrd_error *err);

/* ---- rollup_output.c: rollups of what is written ---- */

/* Everything is lent until destroy; entries lie in the arena. */
struct mrd_merge_rollup_output *
mrd_merge_rollup_output_create(const struct mrd_merge_options *options,
                               const struct mrd_block_origin *origin, const char *name,
                               size_t writer_bytes, struct mrd_block_writer_kit *kit,
                               struct mrd_arena *arena);
void mrd_merge_rollup_output_destroy(struct mrd_merge_rollup_output **output);
MRD_MUST_CHECK enum mrd_status mrd_merge_rollup_output_take(struct mrd_merge_rollup_output *output,
                                                            const struct mrd_block_series *piece,
                                                            struct mrd_error *err);
/* Finishes all blocks. The list is the output's; the entries do not say yet what they stand for. */
MRD_MUST_CHECK enum mrd_status
mrd_merge_rollup_output_end(struct mrd_merge_rollup_output *output,
                            const struct mrd_block_entry **out_entries, size_t *out_count,
                            struct mrd_error *err);

/* ---- output.c: blocks that are written ---- */

enum { MRD_MERGE_PIECE_ROWS = 8192, MRD_MERGE_PIECE_HISTOGRAMS = 1024 };

struct mrd_merge_output {
    const struct mrd_merge_options *options;
    const struct mrd_block_origin *origin;
    struct mrd_arena *arena;   /* of the entries */
    const char *name;          /* of the blocks, without their numbers */
    const char *series_prefix; /* NULL: no files of series */
    bool compact;
    bool keep_hlc;
    int zstd_level;
    const struct mrd_merge_tap *tap;
    struct mrd_merge_rollup_output *rollups; /* or NULL */
    size_t writer_bytes;
    struct mrd_block_writer_kit *kit;
    struct mrd_block_writer *writer; /* NULL between blocks */
    struct mrd_buf entries; /* struct mrd_block_entry; the workspace's, emptied for each use */

    /* the series at hand */
    struct mrd_arena *series_arena;
    struct mrd_block_series series; /* tenant, labels, id */

    /* rows that are not in the writer yet */
    size_t f;
    size_t h;
    bool any_start;
    mrd_time_ms times_ms[MRD_MERGE_PIECE_ROWS]; /* the first of those that are not cleared */
    mrd_time_ms starts_ms[MRD_MERGE_PIECE_ROWS];
    double values[MRD_MERGE_PIECE_ROWS];
    mrd_hlc hlcs[MRD_MERGE_PIECE_ROWS];
    mrd_time_ms h_times_ms[MRD_MERGE_PIECE_HISTOGRAMS];
    mrd_time_ms h_starts_ms[MRD_MERGE_PIECE_HISTOGRAMS];
    struct mrd_histogram h_items[MRD_MERGE_PIECE_HISTOGRAMS]; /* of the sources' memory */
    mrd_hlc h_hlcs[MRD_MERGE_PIECE_HISTOGRAMS];
};

/* Begins a series: copies what says which. */
MRD_MUST_CHECK enum mrd_status mrd_merge_output_series(struct mrd_merge_output *output,
                                                       const struct mrd_block_series *series,
                                                       struct mrd_error *err);
/* Adds all rows of the source's piece before a time; moves the source behind them. */
MRD_MUST_CHECK enum mrd_status mrd_merge_output_run(struct mrd_merge_output *output,
                                                    struct mrd_merge_source *source,
                                                    mrd_time_ms before_ms, struct mrd_error *err);
/* Adds one row. */
MRD_MUST_CHECK enum mrd_status mrd_merge_output_row(struct mrd_merge_output *output,
                                                    mrd_time_ms time_ms,
                                                    const struct mrd_merge_row *row,
                                                    struct mrd_error *err);
/* Hands what was added to the writer: before a source whose histograms are in it goes on. */
MRD_MUST_CHECK enum mrd_status mrd_merge_output_flush(struct mrd_merge_output *output,
                                                      struct mrd_error *err);
/* The series has ended; so does the block, if it is large. */
MRD_MUST_CHECK enum mrd_status mrd_merge_output_series_end(struct mrd_merge_output *output,
                                                           struct mrd_error *err);
/* Finishes the open block. */
MRD_MUST_CHECK enum mrd_status mrd_merge_output_end(struct mrd_merge_output *output,
                                                    struct mrd_error *err);

/* ---- walk.c: one pass ---- */

struct mrd_merge_counts {
    uint64_t duplicates;
    uint64_t overridden;
};

/* Merges open sources into the output. On a failure of a source *out_bad is its place in `sources`, else it is left alone. */
MRD_MUST_CHECK enum mrd_status mrd_merge_walk(struct mrd_merge_source *sources, size_t count,
                                              struct mrd_merge_output *output,
                                              struct mrd_merge_counts *counts, size_t *out_bad,
                                              struct mrd_error *err);

#endif
