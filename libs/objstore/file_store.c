#include "objstore/file_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "objstore/file_internal.h"

enum mrd_status file_fail(const char *key, const char *what, struct mrd_error *err)
{
    switch (errno) {
    case ENOENT:
        return mrd_fail(err, MRD_E_NOT_FOUND, "object %s: there is none", key);
    case ENOTDIR:
    case EISDIR:
    case ENOTEMPTY:
        return mrd_fail(err, MRD_E_INVALID,
                        "object %s: %s: a key cannot be the folder of another: choose another key",
                        key, what);
    case EACCES:
    case EPERM:
    case EROFS:
        return mrd_fail_errno(err, MRD_E_DENIED, "object %s: %s", key, what);
    default:
        return mrd_fail_errno(err, MRD_E_UNAVAILABLE, "object %s: %s", key, what);
    }
}

static int open_folder(int at, const char *path)
{
    return openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* ---- reading ---- */

/* Opens an object; a folder, or what lies below an object, is none. */
static enum mrd_status open_object(struct file_store *store, const char *key, int *out_fd,
                                   struct stat *out_info, struct mrd_error *err)
{
    mrd_auto(file_fd_close)
    int fd = openat(store->root_fd, key, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        errno = errno == ENOTDIR ? ENOENT : errno;
        return file_fail(key, "open", err);
    }
    if (fstat(fd, out_info) != 0) {
        return file_fail(key, "stat", err);
    }
    if (!S_ISREG(out_info->st_mode)) {
        errno = ENOENT;
        return file_fail(key, "open", err);
    }
    *out_fd = fd;
    fd = -1;
    return MRD_OK;
}

static enum mrd_status read_fully(int fd, const char *key, uint64_t offset, uint8_t *data,
                                  size_t size, const struct mrd_objstore_control *control,
                                  struct mrd_error *err)
{
    while (size > 0) {
        MRD_TRY(mrd_objstore_check(control, err));
        const ssize_t got = pread(fd, data, MRD_MIN(size, (size_t)FILE_STEP_BYTES), (off_t)offset);
        if (got == 0) {
            return mrd_fail(err, MRD_E_CORRUPT,
                            "object %s: ends at %" PRIu64 ", %zu bytes before the range does", key,
                            offset, size);
        }
        if (got < 0 && errno != EINTR) {
            return file_fail(key, "read", err);
        }
        if (got > 0) {
            data += got;
            size -= (size_t)got;
            offset += (uint64_t)got;
        }
    }
    return MRD_OK;
}

static struct mrd_objstore_info info_of(const struct stat *info)
{
    return (struct mrd_objstore_info){.size = (uint64_t)info->st_size,
                                      .modified_ms = info->st_mtim.tv_sec * 1000 +
                                                     info->st_mtim.tv_nsec / 1000000};
}

static enum mrd_status file_head(struct mrd_objstore *base, const char *key,
                                 const struct mrd_objstore_control *control,
                                 struct mrd_objstore_info *out, struct mrd_error *err)
{
    (void)control;
    struct stat info;
    mrd_auto(file_fd_close)
    int fd = -1;
    MRD_TRY(open_object(file_store_of(base), key, &fd, &info, err));
    *out = info_of(&info);
    return MRD_OK;
}

enum mrd_status file_get(struct mrd_objstore *base, const char *key, size_t size_max,
                         const struct mrd_objstore_control *control, struct mrd_buf *out,
                         struct mrd_error *err)
{
    struct stat info;
    mrd_auto(file_fd_close)
    int fd = -1;
    MRD_TRY(open_object(file_store_of(base), key, &fd, &info, err));
    const uint64_t size = (uint64_t)info.st_size;
    uint8_t *data = size > size_max ? NULL : mrd_buf_reserve(out, (size_t)size);
    if (data == NULL) {
        return mrd_fail(err, MRD_E_LIMIT, "object %s: %" PRIu64 " bytes, at most %zu are taken",
                        key, size, size_max);
    }
    MRD_TRY(read_fully(fd, key, 0, data, (size_t)size, control, err));
    out->size += (size_t)size;
    return MRD_OK;
}

static enum mrd_status file_read(struct mrd_objstore *base, const char *key,
                                 const struct mrd_objstore_range *ranges, size_t range_count,
                                 const struct mrd_objstore_control *control, struct mrd_error *err)
{
    struct stat info;
    mrd_auto(file_fd_close)
    int fd = -1;
    MRD_TRY(open_object(file_store_of(base), key, &fd, &info, err));
    for (size_t i = 0; i < range_count; i++) {
        MRD_TRY(
            read_fully(fd, key, ranges[i].offset, ranges[i].data, ranges[i].size, control, err));
    }
    return MRD_OK;
}

/* ---- removing ---- */

static enum mrd_status remove_object(struct file_store *store, const char *key,
                                     struct mrd_error *err)
{
    struct stat info;
    if (fstatat(store->root_fd, key, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode)) {
        return MRD_OK; /* a folder is no object */
    }
    if (unlinkat(store->root_fd, key, 0) != 0 && errno != ENOENT && errno != ENOTDIR) {
        return file_fail(key, "unlink", err);
    }
    return MRD_OK;
}

static bool same_folder(const char *a, const char *b)
{
    const char *slash = strrchr(a, '/');
    const size_t size = slash == NULL ? 0 : (size_t)(slash - a) + 1;
    return strncmp(a, b, size) == 0 && strchr(b + size, '/') == NULL;
}

static enum mrd_status file_delete_many(struct mrd_objstore *base, const char *const *keys,
                                        size_t key_count,
                                        const struct mrd_objstore_control *control,
                                        struct mrd_error *err)
{
    struct file_store *store = file_store_of(base);
    MRD_TRY(file_check_writable(store, err));
    for (size_t i = 0; i < key_count; i++) {
        MRD_TRY(mrd_objstore_check(control, err));
        MRD_TRY(remove_object(store, keys[i], err));
        if (i + 1 < key_count && same_folder(keys[i], keys[i + 1])) {
            continue; /* one fsync for a run of keys in one folder */
        }
        const enum mrd_status synced = file_sync_folder(store, keys[i], err);
        if (synced != MRD_OK && synced != MRD_E_NOT_FOUND && synced != MRD_E_INVALID) {
            return synced;
        }
    }
    return MRD_OK;
}

static void dir_close(DIR **dir)
{
    if (*dir != NULL) {
        (void)closedir(*dir);
    }
}

static enum mrd_status file_sweep(struct mrd_objstore *base, mrd_time_ms age_ms,
                                  const struct mrd_objstore_control *control, struct mrd_error *err)
{
    struct file_store *store = file_store_of(base);
    mrd_auto(file_fd_close)
    int own_fd = open_folder(store->root_fd, FILE_TEMP_FOLDER);
    mrd_auto(dir_close)
    DIR *dir = own_fd < 0 ? NULL : fdopendir(own_fd);
    if (dir == NULL) {
        return mrd_fail_errno(err, MRD_E_UNAVAILABLE, "%s: open " FILE_TEMP_FOLDER, base->name);
    }
    const int fd = own_fd;
    own_fd = -1; /* the DIR owns it */
    const mrd_time_ms now_ms = mrd_clock_now_ms(mrd_clock_system());
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        struct stat info;
        MRD_TRY(mrd_objstore_check(control, err));
        if (fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode) &&
            info_of(&info).modified_ms <= now_ms - age_ms) {
            (void)unlinkat(fd, entry->d_name, 0); /* gone already, or the next sweep's */
        }
    }
    return MRD_OK;
}

/* ---- the store ---- */

static void file_close(struct mrd_objstore *base)
{
    struct file_store *store = file_store_of(base);
    file_fd_close(&store->temp_fd);
    file_fd_close(&store->root_fd);
    objstore_fini(base);
    free(store);
}

static const struct mrd_objstore_ops file_ops = {
    .put = file_put,
    .put_if_absent = file_put_if_absent,
    .put_many = file_put_many,
    .upload_begin = file_upload_begin,
    .upload_write = file_upload_write,
    .upload_finish = file_upload_finish,
    .upload_destroy = file_upload_destroy,
    .head = file_head,
    .get = file_get,
    .read = file_read,
    .list = file_list,
    .delete_many = file_delete_many,
    .sweep = file_sweep,
    .close = file_close,
};

static enum mrd_status open_folders(struct file_store *store, const char *folder,
                                    struct mrd_error *err)
{
    const bool made = mkdir(folder, 0750) == 0;
    store->root_fd = open_folder(AT_FDCWD, folder);
    if (store->root_fd < 0) {
        const enum mrd_status status =
            errno == EACCES || errno == EPERM ? MRD_E_DENIED : MRD_E_INVALID;
        return mrd_fail_errno(err, status, "objects' folder %s", folder);
    }
    if (mkdirat(store->root_fd, FILE_TEMP_FOLDER, 0750) != 0 && errno != EEXIST) {
        return mrd_fail_errno(err, MRD_E_DENIED, "objects' folder %s: " FILE_TEMP_FOLDER, folder);
    }
    store->temp_fd = open_folder(store->root_fd, FILE_TEMP_FOLDER);
    mrd_auto(file_fd_close)
    int above = made ? open_folder(store->root_fd, "..") : -1;
    if (store->temp_fd < 0 || (made && above < 0)) {
        return mrd_fail_errno(err, MRD_E_DENIED, "objects' folder %s", folder);
    }
    if (store->sync(store->root_fd) != 0 || (made && store->sync(above) != 0)) {
        return mrd_fail_errno(err, MRD_E_FATAL, "objects' folder %s: fsync", folder);
    }
    return MRD_OK;
}

static void store_close(struct file_store **store)
{
    if (*store != NULL) {
        file_close(&(*store)->base);
    }
}

enum mrd_status mrd_file_store_open(const char *folder, struct mrd_metrics *metrics,
                                    struct mrd_objstore **out_store, struct mrd_error *err)
{
    mrd_auto(store_close)
    struct file_store *store = calloc(1, sizeof(*store));
    mrd_assert(store != NULL);
    objstore_init(&store->base, &file_ops, metrics);
    (void)snprintf(store->base.name, sizeof(store->base.name), "file %s", folder);
    store->base.near = true;
    store->root_fd = store->temp_fd = -1;
    store->sync = fsync;
    /* Never fails: a few bytes from an initialised pool (getrandom(2)). */
    mrd_assert(getrandom(&store->nonce, sizeof(store->nonce), 0) == (ssize_t)sizeof(store->nonce));
    MRD_TRY(open_folders(store, folder, err));
    *out_store = &MRD_MOVE(store)->base;
    return MRD_OK;
}
