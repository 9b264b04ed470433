/* Listing: a walk through the folders in the order of keys. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "objstore/file_internal.h"

/* A folder's names, one after the other with a NUL each; folders end with '/', which sorts them as
 * their keys sort ("a.b" < "a/b" < "a0"). */
struct names {
    struct mrd_buf bytes;
    const char **sorted;
    size_t count;
};

static void names_fini(struct names *names)
{
    mrd_buf_fini(&names->bytes);
    free(names->sorted);
}

struct walk {
    struct file_store *store;
    const char *prefix;
    const char *after;
    mrd_objstore_visit *visit;
    void *context;
    const struct mrd_objstore_control *control;
    char path[MRD_OBJSTORE_KEY_SIZE_MAX + 2]; /* of the folder, with its '/'; "" for the root */
    size_t path_size;
    bool ended; /* the visitor has seen enough */
};

static void dir_close(DIR **dir)
{
    if (*dir != NULL) {
        (void)closedir(*dir);
    }
}

/* True if walk->path, an object's key or a folder's path with '/', can have to do with the answer. */
static bool is_wanted(const struct walk *walk, bool folder)
{
    if (!objstore_begins(walk->path, walk->prefix) &&
        !(folder && objstore_begins(walk->prefix, walk->path))) {
        return false;
    }
    /* All keys of a folder sort on one side of `after`, unless that lies in it. */
    return strcmp(walk->path, walk->after) > 0 ||
           (folder && objstore_begins(walk->after, walk->path));
}

/* Appends name (and '/' for a folder) to the path; false if no key can be that long. */
static bool path_push(struct walk *walk, const char *name)
{
    const size_t size = strlen(name);
    if (walk->path_size + size > sizeof(walk->path) - 1) {
        return false;
    }
    memcpy(walk->path + walk->path_size, name, size + 1);
    walk->path_size += size;
    return true;
}

static void path_pop(struct walk *walk, size_t size)
{
    walk->path_size = size;
    walk->path[size] = 0;
}

/* DT_REG, DT_DIR, or anything else for what is no object and no folder. */
static int type_of(const struct dirent *entry, int fd)
{
    struct stat info;
    if (entry->d_type != DT_UNKNOWN) {
        return entry->d_type;
    }
    if (fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        return DT_UNKNOWN;
    }
    return S_ISREG(info.st_mode) ? DT_REG : S_ISDIR(info.st_mode) ? DT_DIR : DT_UNKNOWN;
}

static void names_add(struct walk *walk, const struct dirent *entry, int fd, struct names *names)
{
    /* Dot names are the store's and other programs'; odd ones cannot be keys. */
    if (!mrd_objstore_key_valid(mrd_bytes_of(entry->d_name))) {
        return;
    }
    const int type = type_of(entry, fd);
    if (type != DT_REG && type != DT_DIR) {
        return;
    }
    char name[MRD_OBJSTORE_SEGMENT_SIZE_MAX + 2];
    (void)snprintf(name, sizeof(name), "%.255s%s", entry->d_name, type == DT_DIR ? "/" : "");
    const size_t above = walk->path_size;
    if (path_push(walk, name)) {
        if (is_wanted(walk, type == DT_DIR)) {
            mrd_buf_append(&names->bytes, name, strlen(name) + 1);
            names->count++;
        }
        path_pop(walk, above);
    }
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void names_sort(struct names *names)
{
    names->sorted = calloc(names->count + 1, sizeof(*names->sorted));
    mrd_assert(names->sorted != NULL);
    const char *at = (const char *)names->bytes.data;
    for (size_t i = 0; i < names->count; i++) {
        names->sorted[i] = at;
        at += strlen(at) + 1;
    }
    qsort(names->sorted, names->count, sizeof(*names->sorted), by_bytes);
}

static enum mrd_status names_read(struct walk *walk, struct names *names, struct mrd_error *err)
{
    const char *folder = walk->path_size == 0 ? "." : walk->path;
    mrd_auto(file_fd_close)
    int fd = openat(walk->store->root_fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT || errno == ENOTDIR ? MRD_OK : file_fail(walk->path, "open", err);
    }
    mrd_auto(dir_close)
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        return file_fail(walk->path, "open", err);
    }
    fd = -1; /* the DIR owns it */
    errno = 0;
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        names_add(walk, entry, dirfd(dir), names);
        errno = 0;
    }
    if (errno != 0) {
        return file_fail(walk->path, "read the folder", err);
    }
    if (names->bytes.failed) {
        return mrd_fail(err, MRD_E_LIMIT, "folder %s: its names take more than %d bytes", folder,
                        FILE_NAMES_BYTES_MAX);
    }
    names_sort(names);
    return MRD_OK;
}

static enum mrd_status visit_object(struct walk *walk, struct mrd_error *err)
{
    struct stat info;
    if (fstatat(walk->store->root_fd, walk->path, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT ? MRD_OK : file_fail(walk->path, "stat", err);
    }
    const struct mrd_objstore_entry entry = {
        .storage_class = "",
        .key = walk->path,
        .info = {.size = (uint64_t)info.st_size,
                 .modified_ms = info.st_mtim.tv_sec * 1000 + info.st_mtim.tv_nsec / 1000000}
    };
    walk->ended = !walk->visit(walk->context, &entry);
    return MRD_OK;
}

/* Depth is bounded by the length of keys. */
static enum mrd_status walk_folder(struct walk *walk, struct mrd_error *err)
{
    mrd_auto(names_fini)
    struct names names = {.bytes = {.limit = FILE_NAMES_BYTES_MAX}};
    MRD_TRY(mrd_objstore_check(walk->control, err));
    MRD_TRY(names_read(walk, &names, err));
    const size_t above = walk->path_size;
    for (size_t i = 0; i < names.count && !walk->ended; i++) {
        mrd_assert(path_push(walk, names.sorted[i]));
        const bool folder = walk->path[walk->path_size - 1] == '/';
        MRD_TRY(mrd_objstore_check(walk->control, err));
        MRD_TRY(folder ? walk_folder(walk, err) : visit_object(walk, err));
        path_pop(walk, above);
    }
    return MRD_OK;
}

enum mrd_status file_list(struct mrd_objstore *base, const char *prefix, const char *after,
                          mrd_objstore_visit *visit, void *context,
                          const struct mrd_objstore_control *control, struct mrd_error *err)
{
    struct walk walk = {.store = file_store_of(base),
                        .prefix = prefix,
                        .after = after,
                        .visit = visit,
                        .context = context,
                        .control = control};
    const char *slash = strrchr(prefix, '/');
    walk.path_size = slash == NULL ? 0 : (size_t)(slash - prefix) + 1;
    memcpy(walk.path, prefix, walk.path_size);
    return walk_folder(&walk, err);
}
