/* map.h: a file's bytes, read through the page cache.
 *
 * Nothing of the file is held in memory of our own. The file must not shrink while it is open: blocks are never changed in
 * place, and whoever cuts one while it is read ends the process.
 *
 * Owner: whoever opened it. Threads: any, once open.
 */
#ifndef MRD_TSDB_MAP_H
#define MRD_TSDB_MAP_H

#include "base/bytes.h"

struct mrd_tsdb_map {
    struct mrd_bytes bytes;
};

/* MRD_E_NOT_FOUND: no such file; MRD_E_UNAVAILABLE: it cannot be read. */
MRD_MUST_CHECK enum mrd_status mrd_tsdb_map_open(const char *path, struct mrd_tsdb_map *out,
                                                 struct mrd_error *err);
void mrd_tsdb_map_close(struct mrd_tsdb_map *map);

#endif
