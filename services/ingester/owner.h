/* owner.h: the partitions that this process has: takes them, loads them, announces them, gives them up.
 *
 * One thread looks at the members and at its partitions several times a second and carries out what
 * ownership.h decides. Questions borrow a partition; one that is borrowed is not closed.
 *
 * Threads: create, leave, destroy: one. borrow and give_back: any.
 */
#ifndef ING_OWNER_H
#define ING_OWNER_H

#include "ingester/ownership.h"
#include "ingester/partition.h"

struct ing_owner;

struct ing_owner_options {
    struct mrd_bus *log_bus;
    struct mrd_bus *members_bus;
    const struct mrd_member *self; /* without partitions */
    uint32_t partition_count;
    uint32_t replicas;
    uint32_t loads_max;             /* partitions that load at once; 0: no limit */
    struct ing_store_options store; /* but for the partition's number */
    mrd_time_ms window_ms;
    const struct mrd_clock *clock;
    struct mrd_metrics *metrics;
    /* Called when readiness may have changed; reason is NULL if ready: every partition that is ours
     * serves, within the memory budget. May be NULL. */
    void (*on_ready)(void *context, bool ready, const char *reason);
    void *context;
};

MRD_MUST_CHECK enum mrd_status ing_owner_create(const struct ing_owner_options *options,
                                                struct ing_owner **out_owner,
                                                struct mrd_error *err);

/* Takes nothing new and hands over to other ingesters what they take; returns when that is done, when
 * there is nobody to take it, or after grace_ms. */
void ing_owner_leave(struct ing_owner *owner, mrd_time_ms grace_ms);

/* Nothing may be borrowed. */
void ing_owner_destroy(struct ing_owner **owner);

/* The partition, if it answers questions here. MRD_E_UNAVAILABLE: it does not (yet, or any more); ask
 * another ingester. */
MRD_MUST_CHECK enum mrd_status ing_owner_borrow(struct ing_owner *owner, uint32_t partition,
                                                struct ing_partition **out, struct mrd_error *err);
void ing_owner_give_back(struct ing_owner *owner, struct ing_partition **partition);

#endif
