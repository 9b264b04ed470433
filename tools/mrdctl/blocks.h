/* blocks.h: which blocks a command line names.
 *
 * Owner: ctl_blocks_fini. Limits: CTL_BLOCKS_MAX.
 */
#ifndef CTL_BLOCKS_H
#define CTL_BLOCKS_H

#include "mrdctl/options.h"
#include "tsdb/block.h"

enum { CTL_BLOCKS_MAX = 100000 };

struct ctl_block {
    char *folder;
    struct mrd_tsdb_meta meta;
};

struct ctl_blocks {
    struct ctl_block *items; /* by time */
    size_t count;
};

/* A folder is a block, or has blocks: those of its folders that have the name of one. MRD_E_NOT_FOUND: it is neither;
 * MRD_E_INVALID: a block is there twice, or its meta.json is wrong. */
MRD_MUST_CHECK enum mrd_status ctl_blocks_find(const struct ctl_list *folders,
                                               struct ctl_blocks *out, struct mrd_error *err);
void ctl_blocks_fini(struct ctl_blocks *blocks);

#endif
