/* segments.h: reads the files of a block that hold its chunks (Prometheus tsdb/docs/format/chunks.md).
 *
 * Owner: mrd_tsdb_segments_close. Threads: any, once open. Limits: address space for all files; no memory for their
 * contents.
 */
#ifndef MRD_TSDB_SEGMENTS_H
#define MRD_TSDB_SEGMENTS_H

#include "tsdb/map.h"

enum { MRD_TSDB_SEGMENTS_MAX = 65536 };

struct mrd_tsdb_segments {
    struct mrd_tsdb_map *maps;
    size_t count;
};

struct mrd_tsdb_chunk {
    unsigned encoding;
    struct mrd_bytes bytes;
};

/* Opens <folder>/000001 and so on. MRD_E_CORRUPT: one is no such file; MRD_E_UNAVAILABLE: cannot be read. */
MRD_MUST_CHECK enum mrd_status mrd_tsdb_segments_open(struct mrd_tsdb_segments *segments,
                                                      const char *folder, struct mrd_error *err);
void mrd_tsdb_segments_close(struct mrd_tsdb_segments *segments);

/* The chunk that an index refers to, its checksum checked. MRD_E_CORRUPT: there is none. */
MRD_MUST_CHECK enum mrd_status mrd_tsdb_segments_read(const struct mrd_tsdb_segments *segments,
                                                      uint64_t ref, struct mrd_tsdb_chunk *out,
                                                      struct mrd_error *err);

#endif
