/* erasing.h: the role "erase": brings requests to erase to their end, a receipt in the catalog (catalog/state.h). Writing blocks anew is merging's
 * (merging.h); here everything else goes that still has what is erased, and it is looked that it has gone.
 *
 *   owing       blocks are to be written anew; those in quarantine need a person
 *   building    the log before the request is not in blocks yet
 *   tables      a tenant that is deleted has tables still, and no blocks any more (tenant_end.h)
 *   waiting     the grace of the catalog since the last change is not over
 *   sweeping    files of blocks that have gone, or commits of before, are still there: a table's snapshot may need them. Of a tenant that is deleted
 *               and has not begun a new life, any file. Of any other, files that were never committed, and may be of a merge, or a builder, that began
 *               before the request
 *   log         a partition's log has not dropped the request and what stands before it (compactor.trim)
 *   log_files   it has, but NATS may keep it in a file that begins before (bus/log_admin.h)
 *   done        the receipt is there
 *
 * Who writes what is erased, and does not know it yet, has ended three quarters of the grace after the last change: a merge begins within an eighth of it
 * after its plan and ends after half (upkeep/merge.h), and so does the writing of blocks of level 0, by who holds the lease, and a copy of a file into another storage class (upkeep/cool.h); the rest is for clocks.
 * Until no file is left that was written before that and is not committed, the receipt waits, as long as another grace at most.
 *
 * Any number of compactors may run it; one at a time does. It may die anywhere: each step looks at what is there. What is known
 * of the log's files is lost with the process, and then waited for again.
 *
 * Owner:   whoever created it; destroyed after the jobs.
 * Threads: the round: one. cmp_erasing_json: any.
 */
#ifndef CMP_ERASING_H
#define CMP_ERASING_H

#include "compactor/jobs.h"
#include "upkeep/sweep.h"

#define CMP_ERASING_ROLE "erase"
enum { CMP_ERASING_VERIFY_MAX = 16 /* that wait, and that are told */ };

struct cmp_erasing;

struct cmp_erasing_options {
    /* Removes what nobody needs (tidying.h), and tells what is left that nobody names. */
    enum mrd_status (*sweep)(void *context, const struct mrd_upkeep_unnamed *unnamed,
                             const struct cmp_environment *environment, struct mrd_error *err);
    /* Whether the block is in quarantine. */
    bool (*is_bad)(void *context, struct mrd_bytes block_id);
    void *context;
    const char *region; /* where tables are kept; lent for the call */
    struct mrd_metrics *metrics;
};

struct cmp_erasing *cmp_erasing_create(const struct cmp_erasing_options *options);
void cmp_erasing_destroy(struct cmp_erasing **erasing);

struct cmp_role cmp_erasing_role(struct cmp_erasing *erasing);

/* Holds the receipt to object storage (verifying.h) with the next round; nudge the role then. What came of the last ones is in the JSON. False: too many wait. */
bool cmp_erasing_verify(struct cmp_erasing *erasing, struct mrd_id128 id);

/* The erasures and receipts as of the last look, a JSON object; nothing before the first. */
void cmp_erasing_json(struct cmp_erasing *erasing, struct mrd_buf *out);

#endif
