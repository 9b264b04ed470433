#include <stdlib.h>

#include "merge/merge_internal.h"

struct mrd_merge_workspace *mrd_merge_workspace_create(void)
{
    struct mrd_merge_workspace *workspace = calloc(1, sizeof(*workspace));
    mrd_assert(workspace != NULL);
    workspace->kit = mrd_block_writer_kit_create();
    workspace->output = malloc(sizeof(*workspace->output)); /* of which only the head is cleared */
    mrd_assert(workspace->output != NULL);
    workspace->output->entries = (struct mrd_buf){0};
    return workspace;
}

void mrd_merge_workspace_destroy(struct mrd_merge_workspace **workspace_at)
{
    struct mrd_merge_workspace *workspace = MRD_MOVE(*workspace_at);
    if (workspace != NULL) {
        mrd_block_writer_kit_destroy(&workspace->kit);
        mrd_buf_fini(&workspace->output->entries);
        free(workspace->output);
        free(workspace);
    }
}
