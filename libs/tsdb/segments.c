#include "tsdb/segments.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tsdb/tsdb_internal.h"

enum { HEAD_SIZE = 8, VERSION = 1, PATH_SIZE = 4096 };

static enum mrd_status head_check(const char *path, struct mrd_bytes bytes, struct mrd_error *err)
{
    struct mrd_reader reader = mrd_reader_of(bytes);
    return bytes.size >= HEAD_SIZE && mrd_tsdb_read_u32(&reader) == MRD_TSDB_CHUNKS_MAGIC &&
                   mrd_read_u8(&reader) == VERSION
               ? MRD_OK
               : mrd_fail(err, MRD_E_CORRUPT, "%s is no file of chunks, or not of version 1", path);
}

/* MRD_E_NOT_FOUND: there are no more. */
static enum mrd_status next_open(struct mrd_tsdb_segments *segments, const char *folder,
                                 struct mrd_error *err)
{
    char path[PATH_SIZE];
    struct mrd_tsdb_map map;
    const int length = snprintf(path, sizeof(path), "%s/%06zu", folder, segments->count + 1);
    if (length < 0 || (size_t)length >= sizeof(path) || segments->count == MRD_TSDB_SEGMENTS_MAX) {
        return mrd_fail(err, MRD_E_LIMIT, "%s: the name is too long, or there are too many files",
                        folder);
    }
    MRD_TRY(mrd_tsdb_map_open(path, &map, err));
    struct mrd_tsdb_map *maps =
        realloc(segments->maps, (segments->count + 1) * sizeof(*segments->maps));
    mrd_assert(maps != NULL);
    segments->maps = maps;
    segments->maps[segments->count++] = map;
    return head_check(path, map.bytes, err);
}

enum mrd_status mrd_tsdb_segments_open(struct mrd_tsdb_segments *segments, const char *folder,
                                       struct mrd_error *err)
{
    enum mrd_status status;
    *segments = (struct mrd_tsdb_segments){0};
    do {
        status = next_open(segments, folder, err);
    } while (status == MRD_OK);
    if (status != MRD_E_NOT_FOUND) {
        mrd_tsdb_segments_close(segments);
        return status;
    }
    return MRD_OK; /* a block without series may be without chunks */
}

void mrd_tsdb_segments_close(struct mrd_tsdb_segments *segments)
{
    for (size_t i = 0; i < segments->count; i++) {
        mrd_tsdb_map_close(&segments->maps[i]);
    }
    free(segments->maps);
    *segments = (struct mrd_tsdb_segments){0};
}

enum mrd_status mrd_tsdb_segments_read(const struct mrd_tsdb_segments *segments, uint64_t ref,
                                       struct mrd_tsdb_chunk *out, struct mrd_error *err)
{
    const uint64_t file = ref >> 32;
    const uint64_t at = ref & UINT32_MAX;
    if (file >= segments->count || at < HEAD_SIZE) {
        return mrd_fail(err, MRD_E_CORRUPT,
                        "a chunk is said to be at byte %" PRIu64 " of file %" PRIu64
                        "; there are %zu files",
                        at, file + 1, segments->count);
    }
    struct mrd_reader reader = mrd_reader_of(segments->maps[file].bytes);
    (void)mrd_read_bytes(&reader, at);
    const uint64_t size = mrd_read_varint(&reader);
    const uint8_t *begin = reader.at;
    const unsigned encoding = mrd_read_u8(&reader);
    const struct mrd_bytes bytes = mrd_read_bytes(&reader, size);
    if (reader.failed || !mrd_tsdb_crc_fits(&reader, (struct mrd_bytes){begin, bytes.size + 1})) {
        return mrd_fail(err, MRD_E_CORRUPT,
                        "the chunk at byte %" PRIu64 " of file %" PRIu64
                        " is cut off, or its checksum is wrong",
                        at, file + 1);
    }
    *out = (struct mrd_tsdb_chunk){encoding, bytes};
    return MRD_OK;
}
