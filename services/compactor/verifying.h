/* verifying.h: holds a receipt to object storage: what it says to be gone must be.
 *
 * The receipt must be in the catalog, and the object with the request must not be there. Of what may have had something of it, which is blocks of many tenants and what
 * lies in the tenant's folder, nothing that is older than the receipt by the grace may be there but what the catalog names: files of its blocks, of its tables, and of blocks that have left it since the
 * request.
 *
 * Threads: one at a time. Cost: a listing of the store.
 */
#ifndef CMP_VERIFYING_H
#define CMP_VERIFYING_H

#include "compactor/jobs.h"

enum { CMP_VERIFY_LEFT_MAX = 32 /* keys that are told */ };

struct cmp_verified {
    struct mrd_id128 id;
    mrd_time_ms seen_ms;
    uint64_t objects;    /* that were looked at */
    uint64_t left_count; /* that should not be there */
    struct mrd_buf left; /* the first of them, JSON strings with commas between */
    const char *problem; /* what is wrong, static; NULL: nothing */
};

/* *out is for cmp_verified_fini, also on failure. Errors are those of the store: nothing is known then. */
MRD_MUST_CHECK enum mrd_status cmp_verify(const struct cmp_environment *environment,
                                          const char *region, struct mrd_id128 id,
                                          struct cmp_verified *out, struct mrd_error *err);
void cmp_verified_fini(struct cmp_verified *verified);

/* Appends it as a JSON object. */
void cmp_verified_json(const struct cmp_verified *verified, struct mrd_buf *out);

#endif
