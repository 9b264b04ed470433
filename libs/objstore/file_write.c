/* Writing: to a temporary, fsync, a name, fsync of the folders. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "objstore/file_internal.h"

void file_temporary_fini(struct file_temporary *temporary)
{
    file_fd_close(&temporary->fd);
    if (temporary->name[0] != 0) {
        (void)unlinkat(temporary->store->temp_fd, temporary->name, 0);
    }
}

enum mrd_status file_check_writable(struct file_store *store, struct mrd_error *err)
{
    if (atomic_load_explicit(&store->broken, memory_order_relaxed)) {
        return mrd_fail(err, MRD_E_FATAL, "%s: an fsync has failed; the process must stop",
                        store->base.name);
    }
    return MRD_OK;
}

/* A failed fsync may have dropped the dirty pages: a second one could succeed and mean nothing. */
enum mrd_status file_sync(struct file_store *store, int fd, const char *key, struct mrd_error *err)
{
    if (store->sync(fd) == 0) {
        return MRD_OK;
    }
    const int saved_errno = errno;
    atomic_store_explicit(&store->broken, true, memory_order_relaxed);
    errno = saved_errno;
    return mrd_fail_errno(err, MRD_E_FATAL, "object %s: fsync", key);
}

enum mrd_status file_temporary_open(struct file_store *store, const char *key,
                                    struct file_temporary *out, struct mrd_error *err)
{
    MRD_TRY(file_check_writable(store, err));
    const uint64_t count = atomic_fetch_add_explicit(&store->temp_count, 1, memory_order_relaxed);
    (void)snprintf(out->name, sizeof(out->name), "%016" PRIx64 "-%" PRIu64, store->nonce, count);
    out->store = store;
    out->fd = openat(store->temp_fd, out->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (out->fd < 0) {
        out->name[0] = 0;
        return file_fail(key, "create a temporary file", err);
    }
    return MRD_OK;
}

enum mrd_status file_temporary_write(const struct file_temporary *temporary, const char *key,
                                     struct mrd_bytes bytes,
                                     const struct mrd_objstore_control *control,
                                     struct mrd_error *err)
{
    while (bytes.size > 0) {
        MRD_TRY(mrd_objstore_check(control, err));
        const ssize_t written =
            write(temporary->fd, bytes.data, MRD_MIN(bytes.size, (size_t)FILE_STEP_BYTES));
        if (written < 0 && errno != EINTR) {
            return file_fail(key, "write", err);
        }
        if (written > 0) {
            bytes.data += written;
            bytes.size -= (size_t)written;
        }
    }
    return MRD_OK;
}

/* ---- folders ---- */

static _Atomic uint64_t *slot_of(struct file_store *store, const char *path, size_t size,
                                 uint64_t *out_hash)
{
    *out_hash = mrd_hash64((struct mrd_bytes){(const uint8_t *)path, size}, store->nonce) | 1;
    return &store->synced[(*out_hash >> 1) % FILE_SYNCED_SLOTS];
}

bool file_knows_path(struct file_store *store, const char *key, size_t size)
{
    uint64_t hash;
    if (size == 0) {
        return true;
    }
    _Atomic uint64_t *slot = slot_of(store, key, size, &hash);
    return atomic_load_explicit(slot, memory_order_relaxed) == hash;
}

void file_know_path(struct file_store *store, const char *key, size_t size)
{
    uint64_t hash;
    _Atomic uint64_t *slot = slot_of(store, key, size, &hash);
    atomic_store_explicit(slot, hash, memory_order_relaxed);
}

enum mrd_status file_sync_path(struct file_store *store, const char *key, size_t size,
                               struct mrd_error *err)
{
    char path[MRD_OBJSTORE_KEY_SIZE_MAX + 1] = ".";
    if (size > 0) {
        memcpy(path, key, size);
        path[size] = 0;
    }
    mrd_auto(file_fd_close)
    int fd = openat(store->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return file_fail(key, "open its folder", err); /* MRD_E_NOT_FOUND: to a delete, no fault */
    }
    return file_sync(store, fd, key, err);
}

/* The entry of each must be durable before an object in it is acknowledged, also if another process has made it and may not have come
 * to its fsync. */
enum mrd_status file_make_folders(struct file_store *store, const char *key, size_t above,
                                  enum mrd_status (*made_in)(void *context, const char *key,
                                                             size_t above, size_t size,
                                                             struct mrd_error *err),
                                  void *context, struct mrd_error *err)
{
    const char *below = key + above + (above > 0); /* behind its '/' */
    for (const char *slash = strchr(below, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        const size_t size = (size_t)(slash - key);
        char path[MRD_OBJSTORE_KEY_SIZE_MAX + 1];
        memcpy(path, key, size);
        path[size] = 0;
        const bool made = mkdirat(store->root_fd, path, 0750) == 0;
        if (!made && errno != EEXIST) {
            return file_fail(key, "make its folder", err);
        }
        if (made || !file_knows_path(store, key, size)) {
            MRD_TRY(made_in(context, key, above, size, err));
        }
        above = size;
    }
    return MRD_OK;
}

static enum mrd_status sync_made(void *context, const char *key, size_t above, size_t size,
                                 struct mrd_error *err)
{
    MRD_TRY(file_sync_path(context, key, above, err));
    file_know_path(context, key, size);
    return MRD_OK;
}

enum mrd_status file_sync_folder(struct file_store *store, const char *key, struct mrd_error *err)
{
    return file_sync_path(store, key, file_folder_size(key), err);
}

/* ---- objects ---- */

/* A temporary or folder of ours that is gone was removed by somebody else; the object is not there. */
enum mrd_status file_name_fail(const char *key, const char *what, struct mrd_error *err)
{
    if (errno == ENOENT) {
        return mrd_fail(err, MRD_E_UNAVAILABLE,
                        "object %s: %s: its folder or temporary file was removed meanwhile", key,
                        what);
    }
    return file_fail(key, what, err);
}

/* rename(2) would replace silently; link(2) is the compare-and-set. */
int file_name(const struct file_temporary *temporary, const char *key, bool if_absent)
{
    const struct file_store *store = temporary->store;
    return if_absent ? linkat(store->temp_fd, temporary->name, store->root_fd, key, 0)
                     : renameat(store->temp_fd, temporary->name, store->root_fd, key);
}

/* Gives the temporary its name, in folders that are made where they are not there. Most are there, so that is tried first. *out_result
 * and errno are the call's. */
static enum mrd_status name(const struct file_temporary *temporary, const char *key, bool if_absent,
                            int *out_result, struct mrd_error *err)
{
    int result = -1;
    errno = ENOENT;
    if (file_knows_path(temporary->store, key, file_folder_size(key))) {
        result = file_name(temporary, key, if_absent);
    }
    if (result != 0 && errno == ENOENT) {
        MRD_TRY(file_make_folders(temporary->store, key, 0, sync_made, temporary->store, err));
        result = file_name(temporary, key, if_absent);
    }
    *out_result = result;
    return MRD_OK;
}

static enum mrd_status publish(struct file_temporary *temporary, const char *key,
                               struct mrd_error *err)
{
    struct file_store *store = temporary->store;
    int renamed;
    MRD_TRY(file_sync(store, temporary->fd, key, err));
    MRD_TRY(name(temporary, key, false, &renamed, err));
    if (renamed != 0) {
        return file_name_fail(key, "rename", err);
    }
    temporary->name[0] = 0;
    return file_sync_folder(store, key, err);
}

enum mrd_status file_put(struct mrd_objstore *base, const char *key, struct mrd_bytes bytes,
                         const struct mrd_objstore_control *control, struct mrd_error *err)
{
    mrd_auto(file_temporary_fini)
    struct file_temporary temporary = {.fd = -1};
    MRD_TRY(file_temporary_open(file_store_of(base), key, &temporary, err));
    MRD_TRY(file_temporary_write(&temporary, key, bytes, control, err));
    return publish(&temporary, key, err);
}

enum mrd_status file_compare(struct file_store *store, const char *key, struct mrd_bytes bytes,
                             const struct mrd_objstore_control *control, struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf found = {0};
    const enum mrd_status status = file_get(&store->base, key, bytes.size, control, &found, err);
    if (status == MRD_E_NOT_FOUND) {
        struct stat info;
        if (fstatat(store->root_fd, key, &info, AT_SYMLINK_NOFOLLOW) == 0) {
            errno = EISDIR;
            return file_fail(key, "link", err);
        }
        return mrd_fail(err, MRD_E_UNAVAILABLE, "object %s was removed just now", key);
    }
    if (status != MRD_OK && status != MRD_E_LIMIT) {
        return status;
    }
    if (status == MRD_E_LIMIT || !mrd_bytes_equal(mrd_buf_view(&found), bytes)) {
        return mrd_fail(err, MRD_E_CONFLICT, "object %s exists with other bytes", key);
    }
    return MRD_OK;
}

enum mrd_status file_put_if_absent(struct mrd_objstore *base, const char *key,
                                   struct mrd_bytes bytes,
                                   const struct mrd_objstore_control *control,
                                   struct mrd_error *err)
{
    struct file_store *store = file_store_of(base);
    mrd_auto(file_temporary_fini)
    struct file_temporary temporary = {.fd = -1};
    MRD_TRY(file_temporary_open(store, key, &temporary, err));
    MRD_TRY(file_temporary_write(&temporary, key, bytes, control, err));
    int linked;
    MRD_TRY(file_sync(store, temporary.fd, key, err));
    MRD_TRY(name(&temporary, key, true, &linked, err));
    if (linked != 0 && errno != EEXIST) {
        return file_name_fail(key, "link", err);
    }
    /* Also for the loser: who has seen the winner's object must not see it gone after a power cut. */
    MRD_TRY(file_sync_folder(store, key, err));
    return linked == 0 ? MRD_OK : file_compare(store, key, bytes, control, err);
}

/* ---- uploads ---- */

/* Writers of files give many small pieces, a page or a header each. */
enum { UPLOAD_BUFFER_BYTES = 64 << 10 };

struct file_upload {
    struct mrd_objstore_upload base;
    struct file_temporary temporary;
    struct mrd_buf pending; /* not written yet; less than the above */
};

enum mrd_status file_upload_begin(struct mrd_objstore *base, const char *key,
                                  const struct mrd_objstore_control *control,
                                  struct mrd_objstore_upload **out_upload, struct mrd_error *err)
{
    (void)control;
    mrd_auto(file_temporary_fini)
    struct file_temporary temporary = {.fd = -1};
    MRD_TRY(file_temporary_open(file_store_of(base), key, &temporary, err));
    struct file_upload *upload = calloc(1, sizeof(*upload));
    mrd_assert(upload != NULL);
    upload->temporary = temporary;
    temporary = (struct file_temporary){.fd = -1};
    *out_upload = &upload->base;
    return MRD_OK;
}

static enum mrd_status write_pending(struct file_upload *upload, struct mrd_error *err)
{
    MRD_TRY(file_temporary_write(&upload->temporary, upload->base.key,
                                 mrd_buf_view(&upload->pending), upload->base.control, err));
    mrd_buf_clear(&upload->pending);
    return MRD_OK;
}

enum mrd_status file_upload_write(struct mrd_objstore_upload *base, struct mrd_bytes bytes,
                                  struct mrd_error *err)
{
    struct file_upload *upload = MRD_CONTAINER_OF(base, struct file_upload, base);
    if (bytes.size < UPLOAD_BUFFER_BYTES - upload->pending.size) {
        mrd_buf_append_bytes(&upload->pending, bytes);
        mrd_assert(!upload->pending.failed);
        return mrd_objstore_check(base->control, err);
    }
    MRD_TRY(write_pending(upload, err));
    return file_temporary_write(&upload->temporary, base->key, bytes, base->control, err);
}

enum mrd_status file_upload_finish(struct mrd_objstore_upload *base, struct mrd_error *err)
{
    struct file_upload *upload = MRD_CONTAINER_OF(base, struct file_upload, base);
    MRD_TRY(file_check_writable(upload->temporary.store, err));
    MRD_TRY(write_pending(upload, err));
    return publish(&upload->temporary, base->key, err);
}

void file_upload_destroy(struct mrd_objstore_upload *base, bool take_back)
{
    struct file_upload *upload = MRD_CONTAINER_OF(base, struct file_upload, base);
    if (!take_back) {
        upload->temporary.name[0] = 0;
    }
    file_temporary_fini(&upload->temporary);
    mrd_buf_fini(&upload->pending);
    free(upload);
}
