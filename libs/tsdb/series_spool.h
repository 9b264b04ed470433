/* series_spool.h: series with their chunks that come in any order, given back in the order of their labels.
 *
 * They go to a file as they come; as long as each is greater than the one before they make a run, and the runs are merged when
 * they are read. A source that yields partition after partition, each in order, makes as many runs as there are partitions.
 *
 * Owner:   mrd_tsdb_spool_destroy, which removes the file. Threads: one.
 * Limits:  memory is some hundred bytes and the labels of one series a run; MRD_TSDB_SPOOL_RUNS_MAX runs; the disk.
 */
#ifndef MRD_TSDB_SERIES_SPOOL_H
#define MRD_TSDB_SERIES_SPOOL_H

#include "base/bytes.h"
#include "model/labels.h"

enum { MRD_TSDB_SPOOL_RUNS_MAX = 65536 };

struct mrd_tsdb_spool;

/* The file is in `folder`. MRD_E_UNAVAILABLE. */
MRD_MUST_CHECK enum mrd_status
mrd_tsdb_spool_create(const char *folder, struct mrd_tsdb_spool **out, struct mrd_error *err);
void mrd_tsdb_spool_destroy(struct mrd_tsdb_spool **spool);

/* Begins a series, or goes on with the one at hand if it has these labels. MRD_E_LIMIT: too many runs. */
MRD_MUST_CHECK enum mrd_status mrd_tsdb_spool_series(struct mrd_tsdb_spool *spool,
                                                     struct mrd_labels labels,
                                                     struct mrd_error *err);

/* Adds a chunk to it. */
void mrd_tsdb_spool_chunk(struct mrd_tsdb_spool *spool, unsigned encoding, struct mrd_bytes bytes);

/* All are in: what comes next are reads. MRD_E_UNAVAILABLE: the disk. */
MRD_MUST_CHECK enum mrd_status mrd_tsdb_spool_turn(struct mrd_tsdb_spool *spool,
                                                   struct mrd_error *err);

struct mrd_tsdb_spooled {
    struct mrd_labels labels;
    struct mrd_bytes chunks; /* for mrd_tsdb_spooled_chunk */
};

/* The next series in the order of labels, valid until the next call; *out_more false: there is none. The same labels come again if they
 * came in several runs. MRD_E_CORRUPT: the file is not what was written. */
MRD_MUST_CHECK enum mrd_status mrd_tsdb_spool_next(struct mrd_tsdb_spool *spool,
                                                   struct mrd_tsdb_spooled *out, bool *out_more,
                                                   struct mrd_error *err);

/* Takes the next chunk out of `chunks`; false at the end. */
bool mrd_tsdb_spooled_chunk(struct mrd_bytes *chunks, unsigned *out_encoding,
                            struct mrd_bytes *out_bytes);

#endif
