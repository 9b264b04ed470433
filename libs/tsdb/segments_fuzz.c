/* A file of chunks from hostile bytes: each place in it is asked for. */
#include "tsdb/segments.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mrd_tsdb_map map = {
        .bytes = {data, size}
    };
    const struct mrd_tsdb_segments segments = {&map, 1};
    for (uint64_t at = 0; at <= size; at++) {
        struct mrd_tsdb_chunk chunk;
        if (mrd_tsdb_segments_read(&segments, at, &chunk, NULL) == MRD_OK) {
            mrd_assert(chunk.bytes.size <= size);
        }
    }
    return 0;
}
