/* A meta.json from hostile bytes. What is taken comes back from what we write. */
#include "tsdb/meta.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mrd_tsdb_meta meta;
    struct mrd_tsdb_meta again;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf out = {0};
    if (mrd_tsdb_meta_read((struct mrd_bytes){data, size}, &meta, NULL) != MRD_OK) {
        return 0;
    }
    mrd_tsdb_meta_write(&meta, &out);
    mrd_assert(mrd_tsdb_meta_read(mrd_buf_view(&out), &again, NULL) == MRD_OK);
    mrd_assert(strcmp(meta.ulid, again.ulid) == 0 && meta.min_ms == again.min_ms &&
               meta.max_ms == again.max_ms && meta.stats.samples == again.stats.samples);
    return 0;
}
