/* Any bytes as a notice of an erasure: what is accepted is written again as a notice that says the same. */
#include "wire/erasure_notice.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { PARTITIONS = 4 };
    uint64_t sequences[PARTITIONS];
    uint64_t again[PARTITIONS];
    struct mrd_erasure_notice notice;
    struct mrd_erasure_notice notice_again;
    if (mrd_erasure_notice_decode((struct mrd_bytes){data, size}, PARTITIONS, &notice, sequences,
                                  NULL) != MRD_OK) {
        return 0;
    }
    struct mrd_buf written = {0};
    mrd_erasure_notice_encode(&notice, sequences, PARTITIONS, &written);
    mrd_assert(mrd_erasure_notice_decode(mrd_buf_view(&written), PARTITIONS, &notice_again, again,
                                         NULL) == MRD_OK);
    mrd_assert(notice_again.hlc == notice.hlc && notice_again.commit == notice.commit &&
               memcmp(again, sequences, sizeof(again)) == 0);
    mrd_buf_fini(&written);
    return 0;
}
