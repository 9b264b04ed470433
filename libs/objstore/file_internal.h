/* file_internal.h: what the files of the file system store share. */
#ifndef MRD_OBJSTORE_FILE_INTERNAL_H
#define MRD_OBJSTORE_FILE_INTERNAL_H

#include <unistd.h>

#include "objstore/store_internal.h"

#define FILE_TEMP_FOLDER ".mrd-tmp"

enum {
    FILE_STEP_BYTES = 1 << 20, /* between two looks at the control */
    FILE_SYNCED_SLOTS = 1 << 16,
    FILE_NAMES_BYTES_MAX = 256 << 20
};

struct file_store {
    struct mrd_objstore base;
    int root_fd;
    int temp_fd;
    uint64_t nonce; /* of this process' temporaries */
    _Atomic uint64_t temp_count;
    _Atomic bool broken; /* an fsync has failed; relaxed: set once and only looked at */

    /* Hashes of folders whose own entries are known to be durable; a slot is overwritten by any other
     * folder that falls on it. Relaxed: a missed entry costs an fsync. */
    _Atomic uint64_t synced[FILE_SYNCED_SLOTS];

    int (*sync)(int fd); /* fsync(2); tests put a failing one here */
};

static inline struct file_store *file_store_of(struct mrd_objstore *store)
{
    return MRD_CONTAINER_OF(store, struct file_store, base);
}

/* A status and text for the current errno after `what` on a key. */
enum mrd_status file_fail(const char *key, const char *what, struct mrd_error *err);

/* ---- file_write.c ---- */

/* A file without a name among the objects yet. */
struct file_temporary {
    struct file_store *store;
    int fd;
    char name[64]; /* in the folder of temporaries; "" when it has gone */
};

enum mrd_status file_temporary_open(struct file_store *store, const char *key,
                                    struct file_temporary *out, struct mrd_error *err);
enum mrd_status file_temporary_write(const struct file_temporary *temporary, const char *key,
                                     struct mrd_bytes bytes,
                                     const struct mrd_objstore_control *control,
                                     struct mrd_error *err);
/* Closes it, and removes it if it has a name still. */
void file_temporary_fini(struct file_temporary *temporary);

/* rename(2), which replaces what has the name, or link(2), which does not; the folders must be there. */
int file_name(const struct file_temporary *temporary, const char *key, bool if_absent);
enum mrd_status file_name_fail(const char *key, const char *what, struct mrd_error *err);

/* An object is there: ours from an earlier try, or another's? */
enum mrd_status file_compare(struct file_store *store, const char *key, struct mrd_bytes bytes,
                             const struct mrd_objstore_control *control, struct mrd_error *err);

/* Length of the path of the folder that key lies in; 0: the root. */
static inline size_t file_folder_size(const char *key)
{
    const char *slash = strrchr(key, '/');
    return slash == NULL ? 0 : (size_t)(slash - key);
}

/* Makes the folders of key below its first `above` bytes (0: all), which are a folder that is there. `made_in` is called for each that was made, or whose entry in the folder above is not known to be durable:
 * this folder is the first `size` bytes of key, the one above the first `above`. */
enum mrd_status file_make_folders(struct file_store *store, const char *key, size_t above,
                                  enum mrd_status (*made_in)(void *context, const char *key,
                                                             size_t above, size_t size,
                                                             struct mrd_error *err),
                                  void *context, struct mrd_error *err);

/* Whether this process has made the entry of a folder durable, with those above it: the first `size` bytes of key. Then: that it has. */
bool file_knows_path(struct file_store *store, const char *key, size_t size);
void file_know_path(struct file_store *store, const char *key, size_t size);

/* MRD_E_FATAL if it fails, and from then on. */
enum mrd_status file_sync(struct file_store *store, int fd, const char *key, struct mrd_error *err);

/* Fsyncs the folder whose path is the first `size` bytes of key; 0: the root. */
enum mrd_status file_sync_path(struct file_store *store, const char *key, size_t size,
                               struct mrd_error *err);

/* MRD_E_FATAL once an fsync has failed. */
enum mrd_status file_check_writable(struct file_store *store, struct mrd_error *err);

/* Makes the folder that key lies in durable, with the folders above it. */
enum mrd_status file_sync_folder(struct file_store *store, const char *key, struct mrd_error *err);

enum mrd_status file_put(struct mrd_objstore *base, const char *key, struct mrd_bytes bytes,
                         const struct mrd_objstore_control *control, struct mrd_error *err);
enum mrd_status file_put_if_absent(struct mrd_objstore *base, const char *key,
                                   struct mrd_bytes bytes,
                                   const struct mrd_objstore_control *control,
                                   struct mrd_error *err);
enum mrd_status file_upload_begin(struct mrd_objstore *base, const char *key,
                                  const struct mrd_objstore_control *control,
                                  struct mrd_objstore_upload **out_upload, struct mrd_error *err);
enum mrd_status file_upload_write(struct mrd_objstore_upload *upload, struct mrd_bytes bytes,
                                  struct mrd_error *err);
enum mrd_status file_upload_finish(struct mrd_objstore_upload *upload, struct mrd_error *err);
void file_upload_destroy(struct mrd_objstore_upload *upload, bool take_back);

/* ---- file_batch.c ---- */

enum mrd_status file_put_many(struct mrd_objstore *base, const struct mrd_objstore_item *items,
                              size_t item_count, const struct mrd_objstore_control *control,
                              struct mrd_error *err);

/* ---- file_list.c ---- */

enum mrd_status file_list(struct mrd_objstore *base, const char *prefix, const char *after,
                          mrd_objstore_visit *visit, void *context,
                          const struct mrd_objstore_control *control, struct mrd_error *err);

/* ---- file_store.c ---- */

enum mrd_status file_get(struct mrd_objstore *base, const char *key, size_t size_max,
                         const struct mrd_objstore_control *control, struct mrd_buf *out,
                         struct mrd_error *err);

static inline void file_fd_close(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
        *fd = -1;
    }
}

#endif
