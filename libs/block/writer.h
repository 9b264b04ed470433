/* writer.h: writes a block: the data file (Parquet) while series come in, then the sidecar.
 *
 *     mrd_block_writer_create -> mrd_block_writer_add ... -> mrd_block_writer_finish -> mrd_block_writer_destroy
 *
 * Same calls, same bytes: nothing depends on time, addresses or chance, so whoever writes a block again writes
 * the same objects. Until the catalog names it, a block does not count; a writer that is destroyed unfinished leaves nothing visible,
 * or the files that finish had ended when it failed.
 *
 * Owner:   whoever made it; store and control are lent until destroy.
 * Threads: one at a time.
 * Memory:  bounded by memory_bytes_max: half for the open row group (encoded) and open pages, half (with a file of series less an eighth) for what the sidecar will say: about
 *          100 bytes a series and 12 for each of its labels, 100 bytes and twice its text for each label pair. Samples that are
 *          written are not held. More is MRD_E_LIMIT: end the block before (mrd_block_writer_size says how large it has become).
 * Errors:  MRD_E_INVALID for a series that does not fit (order, times, labels) leaves the writer as it was and says what is
 *          wrong. After any other error only destroy is left.
 */
#ifndef MRD_BLOCK_WRITER_H
#define MRD_BLOCK_WRITER_H

#include "block/entry.h"
#include "block/schema.h"
#include "block/series.h"
#include "objstore/store.h"
#include "rollup/row.h"

enum {
    MRD_BLOCK_PAGE_ROWS = 8192,         /* of a data page, at most; whole runs of series */
    MRD_BLOCK_ROW_GROUP_ROWS = 1 << 20, /* a row group ends with the series that passes this */
    MRD_BLOCK_SERIES_MAX = 1 << 26,     /* of one block */
    MRD_BLOCK_WRITER_MEMORY_MIN = 16 << 20,
};

/* What writers of one thread hand on to each other, so that the next need not make it anew: room for open pages, contexts of zstd. A few
 * MB; worth it where many small blocks are written. What is written does not depend on it. */
struct mrd_block_writer_kit;
struct mrd_block_writer_kit *mrd_block_writer_kit_create(void); /* never NULL */
void mrd_block_writer_kit_destroy(struct mrd_block_writer_kit **kit);

struct mrd_block_writer_options {
    struct mrd_objstore *store;
    const struct mrd_objstore_control *control; /* may be NULL */
    const char *stem;                           /* keys are <stem>.parquet and <stem>.mbx */
    struct mrd_bytes id;                        /* of the block: printable ASCII */
    unsigned level;
    const struct mrd_block_promoted *promoted; /* labels with a column of their own */
    size_t promoted_count;
    /* Values as scaled integers where that is exact: a third less, and faster to read. SQL reads
     * coalesce(value, value_i / power(10, value_e)) then. */
    bool compact;
    bool
        keep_hlc; /* every piece must bring stamps then: level 0 has them in the column hlc, others beside the columns */
    /* Not 0: a rollup, rows of windows of that size (mrd_block_writer_add_rows), level 1 or above, neither compact nor keep_hlc. */
    mrd_time_ms resolution_ms;
    /* Not NULL: the key of a file of series (schema.h) that is written beside; of samples, level 1 and above. An eighth of the memory is for it. */
    const char *series_key;
    int zstd_level; /* 1 to 19; 0: 3 */
    /* Values as BYTE_STREAM_SPLIT in pages where that is smaller: a tenth less of the block, encoded twice. */
    bool split_values;
    size_t bloom_bytes_max; /* 0: 64 KiB */
    size_t memory_bytes_max;
    struct mrd_block_writer_kit *kit; /* may be NULL; lent until destroy */
};

struct mrd_block_writer;

MRD_MUST_CHECK enum mrd_status
mrd_block_writer_create(const struct mrd_block_writer_options *options,
                        struct mrd_block_writer **out_writer, struct mrd_error *err);
void mrd_block_writer_destroy(struct mrd_block_writer **writer);

/* Adds a series, or the next piece of the one that was added last: its samples and histograms are all later
 * than those before. Series come in the order of mrd_block_series_compare. A piece may be empty; a series without any sample is
 * left out. MRD_E_INVALID: order, times that do not rise or are outside MRD_BLOCK_TIME_MAX, an id that is not that
 * of the labels, labels that are no valid set, a histogram that mrd_histogram_check refuses, missing stamps, a second tenant above level 0. */
MRD_MUST_CHECK enum mrd_status mrd_block_writer_add(struct mrd_block_writer *writer,
                                                    const struct mrd_block_series *series,
                                                    struct mrd_error *err);

/* The same for a rollup: `series` says which series, the rows are the next of it, one a window. MRD_E_INVALID also for rows that are
 * empty, are not of the resolution's windows, or have times outside of theirs. */
MRD_MUST_CHECK enum mrd_status mrd_block_writer_add_rows(struct mrd_block_writer *writer,
                                                         const struct mrd_block_series *series,
                                                         const struct mrd_rollup_row *rows,
                                                         size_t count, struct mrd_error *err);

/* What the block has so far, and about how many bytes its data file takes. */
struct mrd_block_writer_size {
    uint64_t series;
    uint64_t rows;
    uint64_t data_size;
    size_t memory_size;
    bool full; /* some part of it is near its bound: end the block */
};
struct mrd_block_writer_size mrd_block_writer_size(const struct mrd_block_writer *writer);

/* Writes the rest of the data file and of the file of series, then the sidecar, reads the ends of all back and compares. On success all
 * objects are durable; *out_entry lies in `arena`. A block without a series is MRD_E_INVALID: there is nothing to keep. */
MRD_MUST_CHECK enum mrd_status mrd_block_writer_finish(struct mrd_block_writer *writer,
                                                       const struct mrd_block_origin *origin,
                                                       struct mrd_arena *arena,
                                                       struct mrd_block_entry *out_entry,
                                                       struct mrd_error *err);

#endif
