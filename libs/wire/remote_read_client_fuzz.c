/* An answer of remote read from hostile bytes: as a stream, and as the message of one frame. */
#include "wire/remote_read_client.h"

enum { ARENA_BYTES = 16 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum mrd_status on_frame(void *context, struct mrd_bytes message, struct mrd_error *err)
{
    struct mrd_read_frame frame;
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("fuzz", ARENA_BYTES);
    (void)context;
    if (mrd_read_frame_decode(message, arena, &frame, err) == MRD_OK) {
        for (size_t i = 0; i < frame.chunk_count; i++) {
            const struct mrd_bytes bytes = frame.chunks[i].bytes;
            mrd_assert(bytes.size <= message.size);
        }
    }
    return MRD_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mrd_read_frames frames = {0};
    const size_t half = size / 2;
    if (size == 0) {
        return 0;
    }
    if (mrd_read_frames_take(&frames, (struct mrd_bytes){data, half}, on_frame, NULL, NULL) ==
        MRD_OK) {
        (void)!mrd_read_frames_take(&frames, (struct mrd_bytes){data + half, size - half}, on_frame,
                                    NULL, NULL);
    }
    mrd_read_frames_fini(&frames);
    (void)on_frame(NULL, (struct mrd_bytes){data, size}, NULL);
    return 0;
}
