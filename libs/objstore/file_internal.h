/* file_internal.h: what the files of the file system store share. */
#ifndef MRD_OBJSTORE_FILE_INTERNAL_H
#define MRD_OBJSTORE_FILE_INTERNAL_H

#include <unistd.h>

#include "objstore/store_internal.h"

#define FILE_TEMP_FOLDER ".mrd-tmp"

enum {
    FILE_STEP_BYTES = 1 << 20, /* between two looks at the control */
    FILE_SYNCED_SLOTS = 4096,
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
