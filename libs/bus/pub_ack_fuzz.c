#include "bus/pub_ack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mrd_pub_ack ack;
    if (mrd_pub_ack_parse((struct mrd_bytes){data, size}, &ack)) {
        mrd_assert(ack.stored != (ack.code != 0));
        mrd_assert(strlen(ack.text) < sizeof(ack.text));
    }
    return 0;
}
