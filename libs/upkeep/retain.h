/* retain.h: rules of retention in blocks: series that are kept for a shorter time than their tenant's others.
 *
 * What a rule has let go is as if a request had erased it: every merge leaves it out (mrd_merge_options.also), with its rollups, and a file of a day or
 * month that has passed the rule as a whole and still has something of it is written anew (units MRD_UPKEEP_RETAIN, plan.h). So is a rollup whose samples
 * have left by the tenant's retention, by itself (merge/rewrite.h), when it has passed what the rule says of its resolution. Nobody waits for it: queries go by
 * the rules themselves.
 *
 * Whether a file has anything of a rule its Bloom filter says, and where that does not know, a look at its sidecar, under the unit's lease. What was
 * found to have nothing is remembered in this process; files that are written anew have nothing. So each file is looked at once in a process' life
 * for each rule, and written anew once.
 *
 * Owner:   whoever created the memory of what is known. The rest is lent.
 * Threads: `rules` any, all at once. Planning and looking: one.
 * Memory:  32 bytes for each file and rule that is known, MRD_UPKEEP_RETAINED_MAX of them; then all is forgotten and looked at anew.
 */
#ifndef MRD_UPKEEP_RETAIN_H
#define MRD_UPKEEP_RETAIN_H

#include "model/erasure.h"
#include "objstore/store.h"
#include "upkeep/index.h"

enum { MRD_UPKEEP_RETAINED_MAX = 1 << 20 };

struct mrd_upkeep_retained;

/* Of `most` files and rules; 0: MRD_UPKEEP_RETAINED_MAX. */
struct mrd_upkeep_retained *mrd_upkeep_retained_create(size_t most);
void mrd_upkeep_retained_destroy(struct mrd_upkeep_retained **retained);

struct mrd_upkeep_retain {
    /* What the rules of a tenant have let go: an erasure each, of times up to the end of a UTC day, from INT64_MIN on. Its id is the rule's: it says what is
     * selected. Which tenant stands in it does not matter. Resolution 0: of samples, and of the rollups that go with them; else of rollups whose samples
     * have gone. */
    const struct mrd_erasure *(*rules)(void *context, struct mrd_bytes tenant,
                                       mrd_time_ms resolution_ms, size_t *out_count);
    void *context;
    struct mrd_upkeep_retained *known;
};

/* Appends the files (const struct mrd_block_entry *) that have passed a rule and may have something of it; and those of rollups whose samples have gone. Cost:
 * a look at each file of tenants with rules. */
void mrd_upkeep_retain_list(const struct mrd_upkeep_retain *retain,
                            const struct mrd_catalog_state *state,
                            const struct mrd_upkeep_index *index, struct mrd_buf *out_files,
                            struct mrd_buf *out_rollups);

/* What a file has passed, each with the file's tenant: into out, from the arena; NULL and 0 if there is none. */
MRD_MUST_CHECK enum mrd_status mrd_upkeep_retain_passed(const struct mrd_upkeep_retain *retain,
                                                        const struct mrd_block_entry *block,
                                                        struct mrd_arena *arena,
                                                        const struct mrd_erasure **out,
                                                        size_t *out_count, struct mrd_error *err);

/* Puts those of the files that have something of a rule that they have passed into out, which has room for all. One that cannot be read counts among them: merging
 * tells what is wrong with it. */
MRD_MUST_CHECK enum mrd_status mrd_upkeep_retain_look(
    const struct mrd_upkeep_retain *retain, struct mrd_objstore *store,
    const struct mrd_objstore_control *control, const struct mrd_block_entry *const *blocks,
    size_t count, const struct mrd_block_entry **out, size_t *out_count, struct mrd_error *err);

#endif
