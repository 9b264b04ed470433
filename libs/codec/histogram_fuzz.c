/* Chunks of histograms from hostile bytes: the first two bytes are the count. What decodes must come back
 * the same after encoding it again. */
#include "codec/histogram.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_BYTES = 64 << 20 };

static mrd_time_ms times[2][MRD_CHUNK_SAMPLES_MAX];
static mrd_time_ms starts[2][MRD_CHUNK_SAMPLES_MAX];
static struct mrd_histogram items[2][MRD_CHUNK_SAMPLES_MAX];

static void expect_same_side(const struct mrd_histogram_side *a, const struct mrd_histogram_side *b)
{
    mrd_assert(a->span_count == b->span_count && a->bucket_count == b->bucket_count);
    mrd_assert(a->span_count == 0 ||
               memcmp(a->spans, b->spans, a->span_count * sizeof(*a->spans)) == 0);
    mrd_assert(a->bucket_count == 0 ||
               memcmp(a->buckets, b->buckets, a->bucket_count * sizeof(*a->buckets)) == 0);
}

static void expect_same(const struct mrd_histogram *a, const struct mrd_histogram *b)
{
    mrd_assert(a->is_float == b->is_float && a->reset == b->reset && a->schema == b->schema);
    mrd_assert(mrd_double_bits(a->zero_threshold) == mrd_double_bits(b->zero_threshold));
    mrd_assert(mrd_double_bits(a->sum) == mrd_double_bits(b->sum));
    mrd_assert(a->count.integer == b->count.integer);
    mrd_assert(a->zero_count.integer == b->zero_count.integer);
    mrd_assert(a->custom_value_count == b->custom_value_count);
    mrd_assert(a->custom_value_count == 0 || memcmp(a->custom_values, b->custom_values,
                                                    a->custom_value_count * sizeof(double)) == 0);
    expect_same_side(&a->positive, &b->positive);
    expect_same_side(&a->negative, &b->negative);
}

static void encode(size_t count, struct mrd_buf *out)
{
    struct mrd_histogram_open open = {0};
    struct mrd_buf entry = {0};
    uint64_t *counters = NULL;
    size_t capacity = 0;
    for (size_t i = 0; i < count; i++) {
        const size_t needed = 2 * mrd_histogram_counter_count(&items[0][i]);
        if (needed > capacity) {
            counters = reallocarray(counters, needed, sizeof(*counters));
            mrd_assert(counters != NULL);
            capacity = needed;
        }
        mrd_buf_clear(&entry);
        const struct mrd_histogram_entry of = {times[0][i], starts[0][i], &items[0][i]};
        mrd_assert(mrd_histogram_open_append(&open, mrd_buf_view(out), counters, &of, &entry,
                                             NULL) == MRD_OK);
        mrd_buf_append_bytes(out, mrd_buf_view(&entry));
    }
    mrd_buf_fini(&entry);
    free(counters);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    const size_t count = (size_t)(data[0] | data[1] << 8);
    const struct mrd_bytes bytes = {data + 2, size - 2};
    struct mrd_arena *arena = mrd_arena_create("fuzz", ARENA_BYTES);
    struct mrd_histogram_arrays first = {times[0], starts[0], items[0], false};
    struct mrd_histogram_arrays second = {times[1], starts[1], items[1], false};
    if (mrd_histogram_chunk_decode(bytes, count, arena, &first, NULL) == MRD_OK) {
        struct mrd_buf again = {0};
        encode(count, &again);
        mrd_assert(mrd_histogram_chunk_decode(mrd_buf_view(&again), count, arena, &second, NULL) ==
                   MRD_OK);
        mrd_assert(memcmp(times[0], times[1], count * sizeof(times[0][0])) == 0);
        mrd_assert(memcmp(starts[0], starts[1], count * sizeof(starts[0][0])) == 0);
        mrd_assert(first.any_start == second.any_start);
        for (size_t i = 0; i < count; i++) {
            expect_same(&items[0][i], &items[1][i]);
        }
        mrd_buf_fini(&again);
    }
    mrd_arena_destroy(&arena);
    return 0;
}
