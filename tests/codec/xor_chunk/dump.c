/* Prints random XOR chunks and what is in them, a line each, for check.go. */
#include <inttypes.h>
#include <stdio.h>

#include "codec/xor_chunk.h"

enum { CHUNKS = 20000, SAMPLES_MAX = 400 };

static uint64_t state = 99;

static uint64_t next_random(void)
{
    state = state * 6364136223846793005U + 1442695040888963407U;
    return state >> 11;
}

static double value_of(size_t chunk, size_t sample, uint64_t random)
{
    switch (chunk % 4) {
    case 0:
        return (double)(random % 100);
    case 1:
        return mrd_double_from_bits(random << (random % 60)); /* anything, NaNs of all kinds too */
    default:
        return sample % 7 == 3 ? mrd_stale_nan() : (double)(random % 1000) / 10;
    }
}

static void print_chunk(size_t chunk)
{
    mrd_time_ms times_ms[SAMPLES_MAX];
    double values[SAMPLES_MAX];
    const size_t count = 1 + next_random() % (chunk % 7 == 0 ? SAMPLES_MAX : 120);
    const uint64_t spread = chunk % 3 == 0 ? 3 : (uint64_t)1 << (chunk % 36);
    for (size_t i = 0; i < count; i++) {
        const uint64_t random = next_random();
        times_ms[i] =
            (i == 0 ? -(int64_t)(random % 5000) : times_ms[i - 1]) + 1 + (int64_t)(random % spread);
        values[i] = value_of(chunk, i, random);
    }
    struct mrd_buf bytes = {0};
    mrd_xor_chunk_encode(&(struct mrd_samples){times_ms, values, count, NULL}, &bytes);
    printf("%zu ", count);
    for (size_t i = 0; i < bytes.size; i++) {
        printf("%02x", bytes.data[i]);
    }
    for (size_t i = 0; i < count; i++) {
        printf(" %" PRId64 " %" PRIx64, times_ms[i], mrd_double_bits(values[i]));
    }
    printf("\n");
    mrd_buf_fini(&bytes);
}

int main(void)
{
    for (size_t i = 0; i < CHUNKS; i++) {
        print_chunk(i);
    }
    return 0;
}
