/* tombstones.h: what was deleted of a block but is still in its chunks (Prometheus tsdb/docs/format/tombstones.md).
 *
 * Owner: mrd_tsdb_tombstones_fini frees. Threads: any, once read. Bounds: MRD_TSDB_TOMBSTONES_MAX.
 */
#ifndef MRD_TSDB_TOMBSTONES_H
#define MRD_TSDB_TOMBSTONES_H

#include "base/bytes.h"
#include "base/clock.h"

enum { MRD_TSDB_TOMBSTONES_MAX = 8 << 20 };

struct mrd_tsdb_tombstone {
    uint64_t series; /* struct mrd_tsdb_series' ref */
    mrd_time_ms min_ms;
    mrd_time_ms max_ms; /* both included */
};

struct mrd_tsdb_tombstones {
    struct mrd_tsdb_tombstone *items; /* by series */
    size_t count;
};

/* Reads a whole file. MRD_E_CORRUPT: it is none; MRD_E_LIMIT: more than MRD_TSDB_TOMBSTONES_MAX. */
MRD_MUST_CHECK enum mrd_status mrd_tsdb_tombstones_read(struct mrd_bytes bytes,
                                                        struct mrd_tsdb_tombstones *out,
                                                        struct mrd_error *err);
void mrd_tsdb_tombstones_fini(struct mrd_tsdb_tombstones *tombstones);

/* Those of one series, as a view. */
struct mrd_tsdb_tombstones mrd_tsdb_tombstones_of(const struct mrd_tsdb_tombstones *tombstones,
                                                  uint64_t series);

/* Whether one of them covers the time. */
bool mrd_tsdb_tombstones_cover(const struct mrd_tsdb_tombstones *of_series, mrd_time_ms time_ms);

/* Appends the file of a block in which nothing is deleted. */
void mrd_tsdb_tombstones_write_none(struct mrd_buf *out);

#endif
