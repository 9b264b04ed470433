/* erasure_log.h: a request to erase into the log of every partition: part of erasures.h.
 *
 * Threads: any.
 */
#ifndef QRY_ERASURE_LOG_H
#define QRY_ERASURE_LOG_H

#include "bus/log_writer.h"
#include "model/erasure.h"

struct qry_erasure_log {
    struct mrd_bus *bus;
    struct mrd_log_writer *writer;
    const char *region;
    uint32_t partition_count;
};

/* Publishes it to all partitions and waits for their acknowledgements; *sequences says where it stands in each. MRD_E_UNAVAILABLE, MRD_E_LIMIT:
 * not everywhere, by the deadline (monotonic clock). */
MRD_MUST_CHECK enum mrd_status qry_erasure_publish(const struct qry_erasure_log *log,
                                                   const struct mrd_erasure *erasure,
                                                   struct mrd_bytes encoded, int64_t deadline_ns,
                                                   uint64_t *sequences, struct mrd_error *err);

#endif
