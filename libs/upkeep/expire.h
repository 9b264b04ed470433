/* expire.h: physical retention: blocks of which all is older than their tenant keeps it leave the catalog, and their tables with them; their
 * files go as those of merged blocks do (sweep.h).
 *
 * A block of samples goes when the day or month that it is of has passed out of retention, so all files of one merge go at once. Level 0
 * is left alone: it is of many tenants, and is merged into files of days soon. Rollups have retentions of their own: those that
 * are kept longer than what they stand for answer alone then. Samples that come in so late that their day has gone make files
 * that go at the next round, and their rollups with them, where others stand for that time already.
 *
 * A block that owes an erasure (catalog/state.h) waits until that is settled, and with a block of samples all of its day or month. Rollups that owe one
 * when their samples have gone are written anew by themselves (plan.h).
 *
 * Owner:   plain values.
 * Threads: on the calling thread.
 * Memory:  the index of a state, and MRD_UPKEEP_TABLE_BYTES_MAX for the table at hand.
 */
#ifndef MRD_UPKEEP_EXPIRE_H
#define MRD_UPKEEP_EXPIRE_H

#include "upkeep/tables.h"

enum { MRD_UPKEEP_EXPIRE_MAX = 1024 /* blocks of one commit */ };

struct mrd_upkeep_expire_options {
    struct mrd_catalog *catalog;
    const struct mrd_objstore_control *control; /* may be NULL */
    const struct mrd_upkeep_tables *tables;     /* NULL: no tables are kept */
    mrd_time_ms now_ms;
    /* How long the tenant keeps samples (resolution 0) or rollups of a resolution; 0: for ever. */
    mrd_time_ms (*kept_ms)(void *context, struct mrd_bytes tenant, mrd_time_ms resolution_ms);
    void *context;
};

struct mrd_upkeep_expired {
    uint64_t blocks; /* of samples */
    uint64_t rollups;
    uint64_t samples; /* and rows */
    uint64_t bytes;
    struct mrd_error
        publish_error; /* copies for readers without a catalog are behind; MRD_OK: they are not */
};

/* Until nothing is out of retention any more. *out is written on failure, too: what was committed until then. */
MRD_MUST_CHECK enum mrd_status mrd_upkeep_expire(const struct mrd_upkeep_expire_options *options,
                                                 struct mrd_upkeep_expired *out,
                                                 struct mrd_error *err);

#endif
