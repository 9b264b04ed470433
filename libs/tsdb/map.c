#include "tsdb/map.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void fd_close(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
}

enum mrd_status mrd_tsdb_map_open(const char *path, struct mrd_tsdb_map *out, struct mrd_error *err)
{
    struct stat facts;
    mrd_auto(fd_close)
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe is not waited for */
    if (fd < 0) {
        return mrd_fail_errno(err, errno == ENOENT ? MRD_E_NOT_FOUND : MRD_E_UNAVAILABLE, "%s",
                              path);
    }
    if (fstat(fd, &facts) != 0) {
        return mrd_fail_errno(err, MRD_E_UNAVAILABLE, "%s", path);
    }
    if (!S_ISREG(facts.st_mode)) {
        return mrd_fail(err, MRD_E_INVALID, "%s is not a file", path);
    }
    *out = (struct mrd_tsdb_map){.bytes = MRD_BYTES("")};
    if (facts.st_size == 0) {
        return MRD_OK;
    }
    void *bytes = mmap(NULL, (size_t)facts.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED) {
        return mrd_fail_errno(err, MRD_E_UNAVAILABLE, "%s: mmap", path);
    }
    out->bytes = (struct mrd_bytes){bytes, (size_t)facts.st_size};
    return MRD_OK;
}

void mrd_tsdb_map_close(struct mrd_tsdb_map *map)
{
    if (map->bytes.size > 0) {
        (void)munmap((void *)(uintptr_t)map->bytes.data, map->bytes.size);
    }
    map->bytes = MRD_BYTES_NONE;
}
