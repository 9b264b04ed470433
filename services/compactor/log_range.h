/* log_range.h: reads a stretch of a partition's log, once.
 *
 * Threads: the caller's waits; entries are shown on the log reader's own thread, one at a time, with happens-before to
 *          and from the caller.
 */
#ifndef CMP_LOG_RANGE_H
#define CMP_LOG_RANGE_H

#include "bus/log_reader.h"

struct cmp_log_range {
    struct mrd_bus *bus;
    uint32_t partition;
    uint64_t sequence_start;   /* 0: use time_start_ms */
    mrd_time_ms time_start_ms; /* <= 0: the log's first */
    uint64_t sequence_end;     /* the last that is wanted */
    int64_t idle_ms_max;       /* without an entry for so long: MRD_E_UNAVAILABLE */
    const _Atomic bool *stopping;

    /* Lent for the call. False: no more. */
    bool (*take)(void *context, const struct mrd_log_entry *entry);
    void *context;
};

/* Shows entries until sequence_end, until `take` says so, or until the log's end at the time of beginning. MRD_E_CANCELED (stopping);
 * MRD_E_UNAVAILABLE: the log does not answer, or went backwards: what was shown stands, but is not all. */
MRD_MUST_CHECK enum mrd_status cmp_log_range_read(const struct cmp_log_range *range,
                                                  struct mrd_error *err);

#endif
