#include "codec/starts.h"

/* What the two low bits of a run say; a number follows but for UNKNOWN. */
enum pattern { UNKNOWN, SAME, DISTANCE, GAP };

static unsigned bit_of(enum pattern pattern) { return 1U << pattern; }

/* Differences wrap: times come from anywhere. */
static int64_t minus(int64_t a, int64_t b) { return (int64_t)((uint64_t)a - (uint64_t)b); }
static int64_t plus(int64_t a, int64_t b) { return (int64_t)((uint64_t)a + (uint64_t)b); }

/* Patterns of the run that fit one more sample. */
static unsigned fitting(const struct mrd_starts_open *open, mrd_time_ms start_ms,
                        int64_t distance_ms, int64_t gap_ms)
{
    unsigned fit = bit_of(UNKNOWN);
    if (start_ms != 0) {
        fit = (start_ms == open->start_ms ? bit_of(SAME) : 0) |
              (distance_ms == open->distance_ms ? bit_of(DISTANCE) : 0) |
              (gap_ms == open->gap_ms ? bit_of(GAP) : 0);
    }
    return fit & open->patterns;
}

size_t mrd_starts_finish(const struct mrd_starts_open *open, uint8_t out[MRD_STARTS_RUN_SIZE_MAX])
{
    /* In the order of what the number usually takes. */
    const enum pattern pattern = (open->patterns & bit_of(UNKNOWN)) != 0    ? UNKNOWN
                                 : (open->patterns & bit_of(GAP)) != 0      ? GAP
                                 : (open->patterns & bit_of(DISTANCE)) != 0 ? DISTANCE
                                                                            : SAME;
    const size_t size = mrd_varint_put(out, (uint64_t)open->length << 2 | pattern);
    if (pattern == UNKNOWN) {
        return size;
    }
    const int64_t number = pattern == GAP ? open->gap_ms : open->distance_ms;
    return size + mrd_varint_put(out + size, mrd_zigzag_encode(number));
}

size_t mrd_starts_add(struct mrd_starts_open *open, mrd_time_ms time_ms, mrd_time_ms previous_ms,
                      mrd_time_ms start_ms, uint8_t out[MRD_STARTS_RUN_SIZE_MAX])
{
    const int64_t distance_ms = minus(time_ms, start_ms);
    const int64_t gap_ms = minus(start_ms, previous_ms);
    const unsigned fit = open->count == 0 ? 0 : fitting(open, start_ms, distance_ms, gap_ms);
    size_t size = 0;
    if (fit == 0) {
        size = open->count == 0 ? 0 : mrd_starts_finish(open, out);
        const unsigned known =
            bit_of(SAME) | bit_of(DISTANCE) | (open->count == 0 ? 0 : bit_of(GAP));
        open->patterns = (uint8_t)(start_ms == 0 ? bit_of(UNKNOWN) : known);
        open->start_ms = start_ms;
        open->distance_ms = distance_ms;
        open->gap_ms = gap_ms;
        open->length = 0;
    } else {
        open->patterns = (uint8_t)fit;
    }
    open->last_start_ms = start_ms;
    open->any |= start_ms != 0;
    open->length++;
    open->count++;
    return size;
}

void mrd_starts_skip(struct mrd_starts_open *open, size_t count)
{
    mrd_assert(open->count == 0 && count <= UINT16_MAX);
    if (count > 0) {
        *open = (struct mrd_starts_open){.length = (uint16_t)count,
                                         .count = (uint16_t)count,
                                         .patterns = (uint8_t)bit_of(UNKNOWN)};
    }
}

size_t mrd_starts_encode(const mrd_time_ms *times_ms, const mrd_time_ms *start_times_ms,
                         size_t count, uint8_t *out)
{
    struct mrd_starts_open open = {0};
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        uint8_t run[MRD_STARTS_RUN_SIZE_MAX];
        const size_t run_size = mrd_starts_add(&open, times_ms[i], i == 0 ? 0 : times_ms[i - 1],
                                               start_times_ms[i], run);
        memcpy(out + size, run, run_size);
        size += run_size;
    }
    uint8_t run[MRD_STARTS_RUN_SIZE_MAX];
    const size_t run_size = mrd_starts_finish(&open, run);
    memcpy(out + size, run, run_size);
    return size + run_size;
}

/* ---- reading ---- */

static void fill(enum pattern pattern, int64_t number, const mrd_time_ms *times_ms, size_t from,
                 size_t to, mrd_time_ms *start_times_ms)
{
    const mrd_time_ms same_ms = minus(times_ms[from], number);
    for (size_t i = from; i < to; i++) {
        switch (pattern) {
        case UNKNOWN:
            start_times_ms[i] = 0;
            break;
        case SAME:
            start_times_ms[i] = same_ms;
            break;
        case DISTANCE:
            start_times_ms[i] = minus(times_ms[i], number);
            break;
        case GAP:
            start_times_ms[i] = plus(times_ms[i - 1], number);
            break;
        }
    }
}

bool mrd_starts_decode(struct mrd_bytes bytes, const mrd_time_ms *times_ms, size_t count,
                       mrd_time_ms *start_times_ms)
{
    struct mrd_reader reader = mrd_reader_of(bytes);
    size_t at = 0;
    while (at < count) {
        const uint64_t head = mrd_read_varint(&reader);
        const enum pattern pattern = (enum pattern)(head & 3);
        const int64_t number = pattern == UNKNOWN ? 0 : mrd_read_zigzag(&reader);
        const uint64_t length = head >> 2;
        if (reader.failed || length == 0 || length > count - at || (pattern == GAP && at == 0)) {
            return false;
        }
        fill(pattern, number, times_ms, at, at + length, start_times_ms);
        at += length;
    }
    return mrd_reader_left(&reader) == 0;
}
