#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tsdb/file_internal.h"

enum { WAITING_BYTES = 1 << 20 };

enum mrd_status mrd_tsdb_file_open(struct mrd_tsdb_file *file, const char *folder, const char *name,
                                   struct mrd_error *err)
{
    char *path;
    mrd_assert(asprintf(&path, "%s/%s", folder, name) >= 0);
    const int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0) {
        const enum mrd_status status = mrd_fail_errno(err, MRD_E_UNAVAILABLE, "%s", path);
        free(path);
        return status;
    }
    *file = (struct mrd_tsdb_file){.path = path, .fd = fd};
    return MRD_OK;
}

static void flush(struct mrd_tsdb_file *file)
{
    const uint8_t *at = file->waiting.data;
    size_t left = file->waiting.size;
    while (left > 0 && file->error == 0) {
        const ssize_t written = write(file->fd, at, left);
        if (written < 0 && errno != EINTR) {
            file->error = errno;
        } else if (written > 0) {
            at += written;
            left -= (size_t)written;
        }
    }
    mrd_buf_clear(&file->waiting);
}

void mrd_tsdb_file_write(struct mrd_tsdb_file *file, struct mrd_bytes bytes)
{
    mrd_buf_append_bytes(&file->waiting, bytes);
    mrd_assert(!file->waiting.failed);
    file->size += bytes.size;
    if (file->waiting.size >= WAITING_BYTES) {
        flush(file);
    }
}

enum mrd_status mrd_tsdb_file_close(struct mrd_tsdb_file *file, bool durable, struct mrd_error *err)
{
    flush(file);
    if (file->error == 0 && durable && fsync(file->fd) != 0) {
        file->error = errno;
    }
    errno = file->error;
    const enum mrd_status status =
        errno == 0 ? MRD_OK : mrd_fail_errno(err, MRD_E_UNAVAILABLE, "%s", file->path);
    mrd_tsdb_file_drop(file);
    return status;
}

void mrd_tsdb_file_drop(struct mrd_tsdb_file *file)
{
    if (file->path != NULL) {
        (void)close(file->fd);
    }
    free(file->path);
    mrd_buf_fini(&file->waiting);
    *file = (struct mrd_tsdb_file){0};
}

enum mrd_status mrd_tsdb_folder_sync(const char *path, struct mrd_error *err)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool done = fd >= 0 && fsync(fd) == 0;
    const enum mrd_status status =
        done ? MRD_OK : mrd_fail_errno(err, MRD_E_UNAVAILABLE, "%s", path);
    if (fd >= 0) {
        (void)close(fd);
    }
    return status;
}
