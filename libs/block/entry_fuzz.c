/* Entries of blocks from hostile bytes. The CRC is put right, so that what stands behind it is reached. */
#include "base/hash.h"
#include "block/entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("entry", 8 << 20);
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    mrd_buf_append(&bytes, data, size);
    mrd_buf_append_u32(&bytes, mrd_crc32c(0, (struct mrd_bytes){data, size}));
    struct mrd_block_entry entry;
    struct mrd_error err = {0};
    if (mrd_block_entry_decode(mrd_buf_view(&bytes), arena, &entry, &err) != MRD_OK) {
        mrd_assert(err.text[0] != '\0');
        return 0;
    }
    mrd_auto(mrd_buf_fini)
    struct mrd_buf again = {0};
    mrd_assert(mrd_block_entry_encode(&entry, &again, &err) == MRD_OK);
    mrd_assert(mrd_bytes_equal(mrd_buf_view(&bytes), mrd_buf_view(&again)));
    (void)mrd_block_entry_may_match(&entry, MRD_BYTES("a"), NULL, 0, 0, INT64_MAX);
    return 0;
}
