#include "mrdctl/blocks.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static enum mrd_status block_add(struct ctl_blocks *blocks, const char *folder,
                                 const struct mrd_tsdb_meta *meta, struct mrd_error *err)
{
    for (size_t i = 0; i < blocks->count; i++) {
        if (strcmp(blocks->items[i].meta.ulid, meta->ulid) == 0) {
            return mrd_fail(err, MRD_E_INVALID, "%s and %s are the same block",
                            blocks->items[i].folder, folder);
        }
    }
    if (blocks->count == CTL_BLOCKS_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "more than %d blocks", CTL_BLOCKS_MAX);
    }
    struct ctl_block *items = realloc(blocks->items, (blocks->count + 1) * sizeof(*items));
    mrd_assert(items != NULL);
    blocks->items = items;
    items[blocks->count] = (struct ctl_block){strdup(folder), *meta};
    mrd_assert(items[blocks->count].folder != NULL);
    blocks->count++;
    return MRD_OK;
}

static void folder_close(DIR **folder)
{
    if (*folder != NULL) {
        (void)closedir(*folder);
    }
}

static enum mrd_status inner_find(struct ctl_blocks *blocks, const char *outer,
                                  struct mrd_error *err)
{
    const size_t before = blocks->count;
    mrd_auto(folder_close)
    DIR *folder = opendir(outer);
    if (folder == NULL) {
        return mrd_fail_errno(err, errno == ENOENT ? MRD_E_NOT_FOUND : MRD_E_INVALID, "%s", outer);
    }
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char path[4096];
        struct mrd_tsdb_meta meta;
        if (!mrd_ulid_valid(mrd_bytes_of(entry->d_name))) {
            continue; /* a write-ahead log, a block that was never finished */
        }
        if ((size_t)snprintf(path, sizeof(path), "%s/%s", outer, entry->d_name) >= sizeof(path)) {
            return mrd_fail(err, MRD_E_INVALID, "%s: the name is too long", outer);
        }
        MRD_TRY(mrd_tsdb_block_meta(path, &meta, err));
        MRD_TRY(block_add(blocks, path, &meta, err));
    }
    return blocks->count > before
               ? MRD_OK
               : mrd_fail(err, MRD_E_NOT_FOUND, "%s is no block and has none", outer);
}

static int by_time(const void *a, const void *b)
{
    const struct mrd_tsdb_meta *left = &((const struct ctl_block *)a)->meta;
    const struct mrd_tsdb_meta *right = &((const struct ctl_block *)b)->meta;
    if (left->min_ms != right->min_ms) {
        return left->min_ms < right->min_ms ? -1 : 1;
    }
    return strcmp(left->ulid, right->ulid);
}

enum mrd_status ctl_blocks_find(const struct ctl_list *folders, struct ctl_blocks *out,
                                struct mrd_error *err)
{
    mrd_auto(ctl_blocks_fini)
    struct ctl_blocks blocks = {0};
    for (size_t i = 0; i < folders->count; i++) {
        struct mrd_tsdb_meta meta;
        const enum mrd_status status = mrd_tsdb_block_meta(folders->items[i], &meta, err);
        if (status == MRD_OK) {
            MRD_TRY(block_add(&blocks, folders->items[i], &meta, err));
        } else if (status == MRD_E_NOT_FOUND) {
            MRD_TRY(inner_find(&blocks, folders->items[i], err));
        } else {
            return status;
        }
    }
    if (blocks.count > 0) {
        qsort(blocks.items, blocks.count, sizeof(*blocks.items), by_time);
    }
    *out = blocks;
    blocks = (struct ctl_blocks){0};
    return MRD_OK;
}

void ctl_blocks_fini(struct ctl_blocks *blocks)
{
    for (size_t i = 0; i < blocks->count; i++) {
        free(blocks->items[i].folder);
    }
    free(blocks->items);
    *blocks = (struct ctl_blocks){0};
}
