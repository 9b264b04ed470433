/* Many objects at once. All are written before the first is waited for, and none has its name before all are durable; then each folder is
 * fsynced once. Fsyncs that follow one another so find most of their work done: the file system commits its journal for the first, and has
 * the others in it. Each file has its fsync all the same, since that is what every file system answers for; syncfs(2) would also wait for
 * what others have written. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "objstore/file_internal.h"

enum { GROUP_FILES = 256 /* that are open at a time */ };

/* The first `size` bytes of key. */
struct path {
    const char *key;
    size_t size;
};

struct batch {
    struct file_store *store;
    const struct mrd_objstore_item **items; /* by key: those of a folder follow one another */
    size_t count;
    const struct mrd_objstore_control *control;
    struct file_temporary *temporaries; /* of each */
    bool *exist;                        /* of each that must not be there: it is */
    struct mrd_buf folders;             /* struct path, to be fsynced */
    struct mrd_buf made;                /* struct path, whose entries are durable then */
};

static int compare_items(const void *a, const void *b)
{
    return strcmp((*(const struct mrd_objstore_item *const *)a)->key,
                  (*(const struct mrd_objstore_item *const *)b)->key);
}

static void batch_init(struct batch *batch, struct file_store *store,
                       const struct mrd_objstore_item *items, size_t count,
                       const struct mrd_objstore_control *control)
{
    *batch = (struct batch){.store = store,
                            .items = calloc(count, sizeof(*batch->items)),
                            .count = count,
                            .control = control,
                            .temporaries = calloc(count, sizeof(*batch->temporaries)),
                            .exist = calloc(count, sizeof(*batch->exist))};
    mrd_assert(batch->items != NULL && batch->temporaries != NULL && batch->exist != NULL);
    for (size_t i = 0; i < count; i++) {
        batch->items[i] = &items[i];
        batch->temporaries[i].fd = -1;
    }
    qsort(batch->items, count, sizeof(*batch->items), compare_items);
}

static void batch_fini(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        file_temporary_fini(&batch->temporaries[i]);
    }
    free(batch->items);
    free(batch->temporaries);
    free(batch->exist);
    mrd_buf_fini(&batch->folders);
    mrd_buf_fini(&batch->made);
}

/* ---- the bytes ---- */

static enum mrd_status write_one(struct batch *batch, size_t index, struct mrd_error *err)
{
    const struct mrd_objstore_item *item = batch->items[index];
    struct file_temporary *temporary = &batch->temporaries[index];
    MRD_TRY(file_temporary_open(batch->store, item->key, temporary, err));
    MRD_TRY(file_temporary_write(temporary, item->key, item->bytes, batch->control, err));
    /* Begins the write-back, so that fsync need not wait for each in turn. Only a matter of time: what fsync says counts. */
    (void)sync_file_range(temporary->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    return MRD_OK;
}

static enum mrd_status write_group(struct batch *batch, size_t from, size_t end,
                                   struct mrd_error *err)
{
    for (size_t i = from; i < end; i++) {
        MRD_TRY(write_one(batch, i, err));
    }
    for (size_t i = from; i < end; i++) {
        MRD_TRY(mrd_objstore_check(batch->control, err));
        MRD_TRY(file_sync(batch->store, batch->temporaries[i].fd, batch->items[i]->key, err));
        file_fd_close(&batch->temporaries[i].fd);
    }
    return MRD_OK;
}

/* ---- the names ---- */

static void add_path(struct mrd_buf *paths, const char *key, size_t size)
{
    const struct path path = {key, size};
    mrd_buf_append(paths, &path, sizeof(path));
    mrd_assert(!paths->failed);
}

static enum mrd_status note_made(void *context, const char *key, size_t above, size_t size,
                                 struct mrd_error *err)
{
    struct batch *batch = context;
    (void)err;
    add_path(&batch->folders, key, above);
    add_path(&batch->made, key, size);
    return MRD_OK;
}

static enum mrd_status make_folders(struct batch *batch, const char *key, size_t above,
                                    struct mrd_error *err)
{
    const enum mrd_status status =
        file_make_folders(batch->store, key, above, note_made, batch, err);
    return status == MRD_E_NOT_FOUND && above > 0 /* it was there just now */
               ? file_make_folders(batch->store, key, 0, note_made, batch, err)
               : status;
}

/* Length of the path of the deepest folder that both keys lie in. */
static size_t common_folder(const char *a, const char *b)
{
    size_t size = 0;
    for (size_t i = 0; a[i] == b[i] && a[i] != 0; i++) {
        size = a[i] == '/' ? i : size;
    }
    return size;
}

/* One step where the file system has it; link(2) and the temporary's end are two. */
static int name_if_absent(const struct file_temporary *temporary, const char *key, bool *out_moved)
{
    const struct file_store *store = temporary->store;
    const int result =
        renameat2(store->temp_fd, temporary->name, store->root_fd, key, RENAME_NOREPLACE);
    *out_moved = result == 0;
    return result != 0 && (errno == EINVAL || errno == ENOSYS) ? file_name(temporary, key, true)
                                                               : result;
}

static int name_as(struct file_temporary *temporary, const char *key, bool if_absent)
{
    bool moved = true;
    const int result =
        if_absent ? name_if_absent(temporary, key, &moved) : file_name(temporary, key, false);
    if (result == 0 && moved) {
        temporary->name[0] = 0;
    }
    return result;
}

/* An object lies in the folder of the one before, or in one that is made if need be: those that the one before lies in are there. */
static enum mrd_status name_one(struct batch *batch, size_t index, struct mrd_error *err)
{
    const struct mrd_objstore_item *item = batch->items[index];
    struct file_temporary *temporary = &batch->temporaries[index];
    const bool if_absent = item->kind == MRD_OBJSTORE_ITEM_PUT_IF_ABSENT;
    const size_t size = file_folder_size(item->key);
    const size_t common = index == 0 ? 0 : common_folder(batch->items[index - 1]->key, item->key);
    const bool same = index > 0 && common == size;
    const bool knows = file_knows_path(batch->store, item->key, size);
    int result = -1;
    if (!same) {
        add_path(&batch->folders, item->key, size);
    }
    errno = ENOENT;
    if (same || knows) {
        result = name_as(temporary, item->key, if_absent);
    }
    if (result != 0 && errno == ENOENT) {
        /* Where the folder is known, or the one before lies in it, somebody has removed it: from the root then. */
        const size_t above = same || knows ? 0 : common;
        MRD_TRY(make_folders(batch, item->key, above, err));
        result = name_as(temporary, item->key, if_absent);
    }
    batch->exist[index] = if_absent && result != 0 && errno == EEXIST;
    if (result != 0 && !batch->exist[index]) {
        return file_name_fail(item->key, if_absent ? "link" : "rename", err);
    }
    return MRD_OK;
}

/* ---- the folders ---- */

static int compare_paths(const void *a, const void *b)
{
    const struct path *x = a;
    const struct path *y = b;
    const int order = memcmp(x->key, y->key, MRD_MIN(x->size, y->size));
    return order != 0 ? order : (x->size > y->size) - (x->size < y->size);
}

/* Also where only losers of a put_if_absent were: who has seen the winner's object must not see it gone after a power cut. */
static enum mrd_status sync_folders(struct batch *batch, struct mrd_error *err)
{
    struct path *folders = (void *)batch->folders.data;
    const size_t count = batch->folders.size / sizeof(*folders);
    qsort(folders, count, sizeof(*folders), compare_paths);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || compare_paths(&folders[i - 1], &folders[i]) != 0) {
            MRD_TRY(file_sync_path(batch->store, folders[i].key, folders[i].size, err));
        }
    }
    const struct path *made = (const void *)batch->made.data;
    for (size_t i = 0; i < batch->made.size / sizeof(*made); i++) {
        file_know_path(batch->store, made[i].key, made[i].size);
    }
    return MRD_OK;
}

static enum mrd_status compare_existing(struct batch *batch, struct mrd_error *err)
{
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->exist[i]) {
            MRD_TRY(file_compare(batch->store, batch->items[i]->key, batch->items[i]->bytes,
                                 batch->control, err));
        }
    }
    return MRD_OK;
}

enum mrd_status file_put_many(struct mrd_objstore *base, const struct mrd_objstore_item *items,
                              size_t item_count, const struct mrd_objstore_control *control,
                              struct mrd_error *err)
{
    mrd_auto(batch_fini)
    struct batch batch;
    batch_init(&batch, file_store_of(base), items, item_count, control);
    for (size_t from = 0; from < item_count; from += GROUP_FILES) {
        MRD_TRY(write_group(&batch, from, MRD_MIN(from + GROUP_FILES, item_count), err));
    }
    for (size_t i = 0; i < item_count; i++) {
        MRD_TRY(name_one(&batch, i, err));
    }
    MRD_TRY(sync_folders(&batch, err));
    return compare_existing(&batch, err);
}
