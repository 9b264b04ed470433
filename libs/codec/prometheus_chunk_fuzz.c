/* Prometheus' chunks from hostile bytes. The first byte picks the encoding. Floats that decode come back the same after
 * being encoded again. */
#include "codec/prometheus_chunk.h"

#include "codec/xor2_chunk.h"
#include "codec/xor_chunk.h"

enum { ARENA_BYTES = 256 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint64_t fuzz_sink; /* so that what is read counts */

static void expect_same(const struct mrd_samples *a, const struct mrd_samples *b)
{
    mrd_assert(a->count == b->count);
    mrd_assert(memcmp(a->times_ms, b->times_ms, a->count * sizeof(mrd_time_ms)) == 0);
    mrd_assert(memcmp(a->values, b->values, a->count * sizeof(double)) == 0);
    mrd_assert((a->start_times_ms == NULL) == (b->start_times_ms == NULL));
    mrd_assert(a->start_times_ms == NULL ||
               memcmp(a->start_times_ms, b->start_times_ms, a->count * sizeof(mrd_time_ms)) == 0);
}

static void floats_again(unsigned encoding, const struct mrd_samples *samples,
                         struct mrd_arena *arena)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf out = {0};
    struct mrd_prometheus_chunk again;
    if (encoding == MRD_PROMETHEUS_XOR) {
        mrd_xor_chunk_encode(samples, &out);
    } else {
        mrd_xor2_chunk_encode(samples, &out);
    }
    mrd_assert(mrd_prometheus_chunk_decode(encoding, mrd_buf_view(&out), arena, &again, NULL) ==
               MRD_OK);
    expect_same(samples, &again.samples);
}

/* Reads all that is pointed to, for the sanitizer. */
static uint64_t sum_of(const struct mrd_histograms *histograms)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < histograms->count; i++) {
        const struct mrd_histogram *one = &histograms->items[i];
        const struct mrd_histogram_side *sides[] = {&one->positive, &one->negative};
        for (size_t s = 0; s < 2; s++) {
            for (size_t b = 0; b < sides[s]->bucket_count; b++) {
                sum += sides[s]->buckets[b].integer;
            }
            for (size_t b = 0; b < sides[s]->span_count; b++) {
                sum += sides[s]->spans[b].length;
            }
        }
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mrd_prometheus_chunk chunk;
    if (size == 0) {
        return 0;
    }
    const unsigned encoding = data[0] % 8;
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("fuzz", ARENA_BYTES);
    if (mrd_prometheus_chunk_decode(encoding, (struct mrd_bytes){data + 1, size - 1}, arena, &chunk,
                                    NULL) != MRD_OK) {
        return 0;
    }
    fuzz_sink += sum_of(&chunk.histograms);
    if (chunk.samples.count > 0) {
        floats_again(encoding, &chunk.samples, arena);
    }
    return 0;
}
