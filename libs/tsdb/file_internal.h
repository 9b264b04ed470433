/* file_internal.h: a file that is written from its beginning to its end, once.
 *
 * The first failure is kept and told by mrd_tsdb_file_close; what is written after it is dropped.
 */
#ifndef MRD_TSDB_FILE_INTERNAL_H
#define MRD_TSDB_FILE_INTERNAL_H

#include "base/bytes.h"

struct mrd_tsdb_file {
    char *path; /* NULL: not open */
    int fd;
    uint64_t size; /* of what was written, waiting bytes included */
    struct mrd_buf waiting;
    int error; /* errno of the first failure */
};

MRD_MUST_CHECK enum mrd_status mrd_tsdb_file_open(struct mrd_tsdb_file *file, const char *folder,
                                                  const char *name, struct mrd_error *err);
void mrd_tsdb_file_write(struct mrd_tsdb_file *file, struct mrd_bytes bytes);

/* Writes what waits; with `durable` waits until it is on disk. MRD_E_UNAVAILABLE. */
MRD_MUST_CHECK enum mrd_status mrd_tsdb_file_close(struct mrd_tsdb_file *file, bool durable,
                                                   struct mrd_error *err);

/* Closes without a word. */
void mrd_tsdb_file_drop(struct mrd_tsdb_file *file);

/* Waits until a folder's entries are on disk. */
MRD_MUST_CHECK enum mrd_status mrd_tsdb_folder_sync(const char *path, struct mrd_error *err);

#endif
