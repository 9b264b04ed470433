#include <stdlib.h>

#include "bus/link_frame.h"
#include "bus/rpc_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte says how many bytes arrive at a time; what comes out must not depend on it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mrd_link_reader reader = {.frame_max = 1 << 16};
    size_t at = 1;
    size_t taken = 0;
    enum mrd_link_read read = MRD_LINK_MORE;
    while (at < size && read != MRD_LINK_BROKEN) {
        struct iovec pieces[2];
        const int count = mrd_link_reader_room(&reader, pieces);
        size_t left = MRD_MIN((size_t)data[0] + 1, size - at);
        size_t filled = 0;
        for (int i = 0; i < count && left > 0; i++) {
            const size_t part = MRD_MIN(left, pieces[i].iov_len);
            memcpy(pieces[i].iov_base, data + at, part);
            at += part;
            left -= part;
            filled += part;
        }
        mrd_assert(filled > 0);
        mrd_link_reader_filled(&reader, filled);
        uint8_t *frame = NULL;
        size_t frame_size = 0;
        while ((read = mrd_link_reader_next(&reader, &frame, &frame_size)) == MRD_LINK_FRAME) {
            mrd_assert(memcmp(frame, data + 1 + taken + MRD_LINK_SIZE_BYTES, frame_size) == 0);
            taken += MRD_LINK_SIZE_BYTES + frame_size;
            struct mrd_rpc_frame decoded;
            struct mrd_rpc_request request;
            (void)mrd_rpc_frame_get((struct mrd_bytes){frame, frame_size}, &decoded);
            (void)mrd_rpc_request_get((struct mrd_bytes){frame, frame_size}, &request);
            free(frame);
        }
        (void)mrd_link_reader_peek(&reader);
    }
    mrd_assert(taken <= size);
    mrd_link_reader_fini(&reader);
    if (size >= MRD_LINK_HELLO_BYTES) {
        uint8_t nonce[MRD_LINK_NONCE_BYTES];
        (void)!mrd_link_hello_get(data, nonce);
    }
    return 0;
}
