/* Any bytes as an erasure: what is accepted is written again as the same bytes' meaning. */
#include "model/erasure.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mrd_arena *arena = mrd_arena_create("fuzz", 8 << 20);
    struct mrd_erasure erasure;
    struct mrd_erasure again;
    if (mrd_erasure_decode((struct mrd_bytes){data, size}, arena, &erasure, NULL) == MRD_OK) {
        struct mrd_buf written = {0};
        mrd_assert(mrd_erasure_encode(&erasure, &written, NULL) == MRD_OK);
        mrd_assert(mrd_erasure_decode(mrd_buf_view(&written), arena, &again, NULL) == MRD_OK);
        mrd_assert(again.selector_count == erasure.selector_count && again.hlc == erasure.hlc);
        mrd_assert(mrd_bytes_equal(again.tenant, erasure.tenant));
        (void)mrd_erasure_selects(&again, (struct mrd_labels){NULL, 0});
        mrd_erasure_fini(&again);
        mrd_erasure_fini(&erasure);
        mrd_buf_fini(&written);
    }
    mrd_arena_destroy(&arena);
    return 0;
}
