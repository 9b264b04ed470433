/* questions.h: answers the queriers' questions (wire/query.h) over rpc.
 *
 * A worker thread decodes the request and answers for its partitions one after the other: it waits for a strong read's
 * sequence, makes the answer slice by slice in the place of the partition's shard, and sends each slice while the shard works for
 * others. So a query never holds up appends for longer than one slice. A question that turns out to be large goes on
 * with one partition and leaves the others to questions of their own, which other workers take.
 *
 * Tenants share the workers fairly (bus/rpc.h): one with many questions keeps no other waiting, and what takes long gives its
 * worker up to others now and then.
 *
 * Threads: create, destroy: one.
 */
#ifndef ING_QUESTIONS_H
#define ING_QUESTIONS_H

#include "base/metrics.h"
#include "bus/rpc.h"
#include "ingester/owner.h"

struct ing_questions;

struct ing_questions_options {
    struct mrd_bus *bus;
    struct ing_owner *owner;
    const char *instance;
    uint32_t workers;
    uint32_t queue_max;
    struct mrd_tenancy_settings
        *settings; /* struct ing_limits: what a tenant's questions may have; NULL: as for 0 */
    size_t memory_bytes_max; /* of one request: its matchers, and lists of names */
    struct mrd_link_listener
        *listener_take; /* for direct connections; NULL: none. Theirs on success */
    struct mrd_metrics *metrics;
};

MRD_MUST_CHECK enum mrd_status ing_questions_create(const struct ing_questions_options *options,
                                                    struct ing_questions **out_questions,
                                                    struct mrd_error *err);

/* Takes no more, lets the running ones end within drain_ms, then cancels them. */
void ing_questions_destroy(struct ing_questions **questions, mrd_time_ms drain_ms);

#endif
