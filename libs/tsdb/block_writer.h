/* block_writer.h: writes one block of Prometheus, series by series.
 *
 * Chunks go to their files as they come, what the index says of series to a file beside them; the index is put together at
 * the end: symbols sorted, series, postings of every label pair. The block is made in <folder>/<ulid>.tmp-for-creation, which
 * Prometheus removes where it finds one, and renamed once all of it is on disk.
 *
 * Owner:   mrd_tsdb_writer_destroy; without a finish it removes what was made.
 * Threads: one at a time.
 * Limits:  memory is bounded by `memory_bytes_max`: symbols, 32 bytes a label pair, 4 bytes a label of each series; the
 *          chunks of one series as 24 bytes each. An index has at most 64 GiB of series (the format).
 */
#ifndef MRD_TSDB_BLOCK_WRITER_H
#define MRD_TSDB_BLOCK_WRITER_H

#include "base/arena.h"
#include "model/labels.h"
#include "tsdb/meta.h"

struct mrd_tsdb_writer;

struct mrd_tsdb_writer_options {
    const char *folder; /* of blocks; it exists */
    const char *ulid;
    size_t memory_bytes_max;
};

MRD_MUST_CHECK enum mrd_status mrd_tsdb_writer_create(const struct mrd_tsdb_writer_options *options,
                                                      struct mrd_tsdb_writer **out,
                                                      struct mrd_error *err);
void mrd_tsdb_writer_destroy(struct mrd_tsdb_writer **writer);

/* Begins a series. MRD_E_INVALID: its labels are not greater than those of the one before. */
MRD_MUST_CHECK enum mrd_status mrd_tsdb_writer_series(struct mrd_tsdb_writer *writer,
                                                      struct mrd_labels labels,
                                                      struct mrd_error *err);

struct mrd_tsdb_written_chunk {
    unsigned encoding;
    struct mrd_bytes bytes;
    mrd_time_ms min_ms;
    mrd_time_ms max_ms;
    size_t sample_count;
};

/* Adds a chunk to it. MRD_E_INVALID: it does not begin after the one before has ended. */
MRD_MUST_CHECK enum mrd_status mrd_tsdb_writer_chunk(struct mrd_tsdb_writer *writer,
                                                     const struct mrd_tsdb_written_chunk *chunk,
                                                     struct mrd_error *err);

/* Writes the rest, waits for the disk and gives the block its name. Without a series there is no block, and
 * out->stats.series is 0. The writer takes nothing more. Each: MRD_E_UNAVAILABLE: the disk; MRD_E_LIMIT: the memory. */
MRD_MUST_CHECK enum mrd_status mrd_tsdb_writer_finish(struct mrd_tsdb_writer *writer,
                                                      struct mrd_tsdb_meta *out,
                                                      struct mrd_error *err);

#endif
