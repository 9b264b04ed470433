/* log_watch.h: notices that the log of a partition has become another (model/log_identity.h) though no connection was lost: asks for the state of each stream
 * every so often. A stream that is not there for now is none; one that comes back is looked at.
 *
 * Owner:   whoever created it, destroyed before the connection.
 * Threads: one of its own, which waits for answers and calls on_another.
 * Cost:    a request a partition and interval.
 */
#ifndef MRD_BUS_LOG_WATCH_H
#define MRD_BUS_LOG_WATCH_H

#include "bus/connection.h"

struct mrd_log_watch;

enum { MRD_LOG_WATCH_MS = 5000 };

struct mrd_log_watch_options {
    uint32_t partition_count;
    int64_t interval_ms; /* from the end of a round to the next; 0: MRD_LOG_WATCH_MS */
    void (*on_another)(void *context, uint32_t partition);
    void *context;
};

/* MRD_E_UNAVAILABLE: there is no thread to be had. */
MRD_MUST_CHECK enum mrd_status mrd_log_watch_create(struct mrd_bus *bus,
                                                    const struct mrd_log_watch_options *options,
                                                    struct mrd_log_watch **out_watch,
                                                    struct mrd_error *err);

/* Waits for the question that is under way, a second or two. *watch may be NULL. */
void mrd_log_watch_destroy(struct mrd_log_watch **watch);

#endif
