/* Any bytes as a notice of an erasure: what is accepted is written again as a notice that says the same. */
#include "wire/erasure_notice.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { PARTITIONS = 4 };
    uint64_t sequences[PARTITIONS];
    uint64_t again[PARTITIONS];
    mrd_hlc hlc;
    mrd_hlc hlc_again;
    if (mrd_erasure_notice_decode((struct mrd_bytes){data, size}, PARTITIONS, &hlc, sequences,
                                  NULL) != MRD_OK) {
        return 0;
    }
    struct mrd_buf written = {0};
    mrd_erasure_notice_encode(hlc, sequences, PARTITIONS, &written);
    mrd_assert(mrd_erasure_notice_decode(mrd_buf_view(&written), PARTITIONS, &hlc_again, again,
                                         NULL) == MRD_OK);
    mrd_assert(hlc_again == hlc && memcmp(again, sequences, sizeof(again)) == 0);
    mrd_buf_fini(&written);
    return 0;
}
