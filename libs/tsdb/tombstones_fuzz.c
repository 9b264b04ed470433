/* A file of tombstones from hostile bytes, with the right head and checksum. */
#include <stdlib.h>

#include "tsdb/tombstones.h"
#include "tsdb/tsdb_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf file = {0};
    mrd_auto(mrd_tsdb_tombstones_fini)
    struct mrd_tsdb_tombstones tombstones = {0};
    (void)!mrd_tsdb_tombstones_read((struct mrd_bytes){data, size}, &tombstones, NULL);
    mrd_tsdb_tombstones_fini(&tombstones);
    mrd_tsdb_append_u32(&file, MRD_TSDB_TOMBSTONES_MAGIC);
    mrd_buf_append_u8(&file, 1);
    mrd_buf_append(&file, data, size);
    mrd_tsdb_append_u32(&file, mrd_crc32c(0, (struct mrd_bytes){data, size}));
    if (mrd_tsdb_tombstones_read(mrd_buf_view(&file), &tombstones, NULL) != MRD_OK) {
        return 0;
    }
    for (size_t i = 0; i < tombstones.count; i++) {
        const struct mrd_tsdb_tombstone one = tombstones.items[i];
        const struct mrd_tsdb_tombstones found = mrd_tsdb_tombstones_of(&tombstones, one.series);
        mrd_assert(found.count > 0 && found.items[0].series == one.series);
        mrd_assert(one.min_ms > one.max_ms || mrd_tsdb_tombstones_cover(&found, one.min_ms));
    }
    return 0;
}
