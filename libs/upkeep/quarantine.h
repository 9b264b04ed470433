/* quarantine.h: blocks that merging has found bad. They stay in the catalog, and nothing that reads blocks loses one silently;
 * but merges go around them, so one bad block holds up nothing else, until somebody has looked at it.
 *
 *     quarantine/blocks/<hash of the id>      a record (JSON): which block, why, since when, found by whom
 *
 * A record is an object of its own, put once, seen by all compactors at their next round. Deleting it lets the block back in: it
 * is tried again, and comes back with a new record if it is still bad.
 *
 * Owner:   records lie in the arena they were loaded into.
 * Threads: pure functions but for the store.
 * Limits:  MRD_UPKEEP_QUARANTINE_MAX records; more are MRD_E_LIMIT: something is wrong that is not a block.
 * Errors:  those of the store. A record that cannot be read is told as one without an id, and keeps no block out.
 */
#ifndef MRD_UPKEEP_QUARANTINE_H
#define MRD_UPKEEP_QUARANTINE_H

#include "block/entry.h"
#include "objstore/store.h"

enum { MRD_UPKEEP_QUARANTINE_MAX = 10000, MRD_UPKEEP_RECORD_SIZE_MAX = 16 << 10 };
#define MRD_UPKEEP_QUARANTINE_PREFIX "quarantine/blocks/"

struct mrd_upkeep_record {
    struct mrd_bytes block; /* id; empty: the record is damaged */
    const char *key;        /* of the record */
    const char *data_key;   /* of the block's data file */
    const char *status;     /* "corrupt" or "not_found" */
    const char *reason;
    const char *found_by;
    mrd_time_ms since_ms;
};

/* By id. */
struct mrd_upkeep_quarantine {
    const struct mrd_upkeep_record *records;
    size_t count;
};

MRD_MUST_CHECK enum mrd_status
mrd_upkeep_quarantine_load(struct mrd_objstore *store, const struct mrd_objstore_control *control,
                           struct mrd_arena *arena, struct mrd_upkeep_quarantine *out,
                           struct mrd_error *err);

/* `quarantine` may be NULL: nothing is bad. */
bool mrd_upkeep_quarantine_has(const struct mrd_upkeep_quarantine *quarantine, struct mrd_bytes id);

struct mrd_upkeep_finding {
    const struct mrd_block_entry *block;
    enum mrd_status status;
    const char *reason;
    const char *found_by;
    mrd_time_ms now_ms;
};

/* Puts the record. MRD_OK too if there is one of the block already. */
MRD_MUST_CHECK enum mrd_status mrd_upkeep_quarantine_add(struct mrd_objstore *store,
                                                         const struct mrd_objstore_control *control,
                                                         const struct mrd_upkeep_finding *finding,
                                                         struct mrd_error *err);

/* Takes the block's record away. MRD_E_NOT_FOUND if there is none. */
MRD_MUST_CHECK enum mrd_status
mrd_upkeep_quarantine_release(struct mrd_objstore *store,
                              const struct mrd_objstore_control *control, struct mrd_bytes id,
                              struct mrd_error *err);

/* Appends the records as a JSON array. */
MRD_MUST_CHECK enum mrd_status
mrd_upkeep_quarantine_json(const struct mrd_upkeep_quarantine *quarantine, struct mrd_buf *out,
                           struct mrd_error *err);

#endif
