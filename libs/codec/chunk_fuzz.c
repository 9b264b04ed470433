/* Chunks and frames from hostile bytes. The first byte picks: a frame, or the encoding and count of a
 * chunk. What decodes must come back the same after encoding it again. */
#include "codec/frame.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static mrd_time_ms times[MRD_CHUNK_SAMPLES_MAX];
static double values[MRD_CHUNK_SAMPLES_MAX];
static mrd_time_ms times_again[MRD_CHUNK_SAMPLES_MAX];
static double values_again[MRD_CHUNK_SAMPLES_MAX];
static mrd_time_ms starts[MRD_CHUNK_SAMPLES_MAX];
static mrd_time_ms starts_again[MRD_CHUNK_SAMPLES_MAX];
static uint8_t encoded[MRD_CHUNK_SAMPLES_MAX * 32];

static void expect_same_again(uint8_t encoding, struct mrd_bytes bytes, size_t count)
{
    mrd_assert(mrd_chunk_decode(encoding, bytes, count, times_again, values_again, NULL) == MRD_OK);
    mrd_assert(memcmp(times, times_again, count * sizeof(times[0])) == 0);
    mrd_assert(memcmp(values, values_again, count * sizeof(values[0])) == 0);
}

static void try_starts(uint8_t encoding, struct mrd_bytes bytes, size_t count)
{
    if (!mrd_chunk_has_starts(encoding) ||
        mrd_chunk_decode_starts(encoding, bytes, count, times, starts, NULL) != MRD_OK) {
        return;
    }
    uint8_t sealed;
    const size_t size = mrd_chunk_encode_started(times, values, starts, count, encoded, &sealed);
    mrd_assert(size <= mrd_chunk_size_max_started(count));
    const struct mrd_bytes again = {encoded, size};
    expect_same_again(sealed, again, count);
    mrd_assert(mrd_chunk_decode_starts(sealed, again, count, times, starts_again, NULL) == MRD_OK);
    mrd_assert(memcmp(starts, starts_again, count * sizeof(starts[0])) == 0);
}

static void try_chunk(uint8_t encoding, struct mrd_bytes bytes, size_t count)
{
    if (mrd_chunk_decode(encoding, bytes, count, times, values, NULL) != MRD_OK) {
        return;
    }
    try_starts(encoding, bytes, count);
    uint8_t sealed;
    const size_t size = mrd_chunk_encode(times, values, count, encoded, &sealed);
    mrd_assert(size <= mrd_chunk_size_max(count));
    expect_same_again(sealed, (struct mrd_bytes){encoded, size}, count);
    static uint64_t words[MRD_CHUNK_OPEN_SIZE_MAX / 8];
    struct mrd_chunk_open open = {0};
    size_t taken = 0;
    while (taken < count &&
           mrd_chunk_open_append(&open, words, MRD_ARRAY_LEN(words), times[taken], values[taken])) {
        taken++;
    }
    const struct mrd_bytes grown = {(const uint8_t *)words, mrd_chunk_open_size(&open)};
    expect_same_again(MRD_CHUNK_OPEN, grown, taken);
}

static void try_frames(struct mrd_bytes bytes)
{
    struct mrd_reader reader = mrd_reader_of(bytes);
    struct mrd_frame frame;
    while (mrd_reader_left(&reader) > 0 && mrd_frame_read(&reader, &frame, NULL) == MRD_OK) {
        struct mrd_chunk chunk;
        while (mrd_frame_read_chunk(&frame, &chunk)) {
            try_chunk(chunk.encoding, chunk.bytes, chunk.count);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3) {
        return 0;
    }
    const struct mrd_bytes rest = {data + 3, size - 3};
    if (data[0] == 255) {
        try_frames(rest);
    } else {
        const size_t count = (size_t)(data[1] | data[2] << 8);
        try_chunk((uint8_t)(data[0] % 32 + (data[0] >= 128 ? MRD_CHUNK_STARTED : 0)), rest, count);
    }
    return 0;
}
