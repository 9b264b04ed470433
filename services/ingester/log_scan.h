/* log_scan.h: reads a partition's log once more, to find the last writes of some samples.
 *
 * A head keeps no stamp per sample (head/head.h, contested samples); the log has them all.
 *
 * Threads: the caller's waits; batches are read on the log reader's own thread.
 * Memory:  besides the samples one batch, and references of the series asked for.
 */
#ifndef ING_LOG_SCAN_H
#define ING_LOG_SCAN_H

#include "bus/connection.h"
#include "head/head.h"

struct ing_log_scan_options {
    struct mrd_bus *bus;
    uint32_t partition;
    mrd_time_ms time_start_ms; /* first entry stored at or after; 0: the log's first */
    uint64_t sequence_end;     /* the last entry to look at */
    int64_t deadline_ns;       /* monotonic */
    const _Atomic bool *stop;  /* ends it early */
};

struct ing_scanned {
    struct mrd_head_contested sample;
    struct mrd_head_verdict verdict; /* the greatest write seen; nothing if values is 0 */
    uint32_t values; /* different values (or start times) seen: 0, 1, or 2 for more */
};

/* Looks for the writes of all samples and sorts `scanned` on the way. MRD_E_TIMEOUT, MRD_E_CANCELED (by stop) or
 * MRD_E_UNAVAILABLE (the log went backwards): what was seen then is not all. */
MRD_MUST_CHECK enum mrd_status ing_log_scan(const struct ing_log_scan_options *options,
                                            struct ing_scanned *scanned, size_t count,
                                            struct mrd_error *err);

#endif
