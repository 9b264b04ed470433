#include "codec/varbit_chunk.h"

#include <math.h>

#include "codec/start_bits_internal.h"

enum {
    HEADER_SIZE = 3, /* count and flags */
    FLAG_GAUGES = 0xc0,
    THRESHOLD_PLAIN = 0xff,
    THRESHOLD_BIAS = 243, /* frexp's exponent, which is one more than that of the power */
    THRESHOLD_EXPONENT_MIN = -242,
    THRESHOLD_EXPONENT_MAX = 11,
    BOUND_THOUSANDTHS_MAX = 33554430, /* one more than these takes 25 bits */
};

/* ---- which histograms one chunk can have ---- */

static bool same_side(const struct mrd_histogram_side *a, const struct mrd_histogram_side *b)
{
    if (a->span_count != b->span_count || a->bucket_count != b->bucket_count) {
        return false;
    }
    for (size_t i = 0; i < a->span_count; i++) {
        if (a->spans[i].offset != b->spans[i].offset || a->spans[i].length != b->spans[i].length) {
            return false;
        }
    }
    return true;
}

static bool same_bounds(const struct mrd_histogram *a, const struct mrd_histogram *b)
{
    if (a->custom_value_count != b->custom_value_count) {
        return false;
    }
    for (size_t i = 0; i < a->custom_value_count; i++) {
        if (mrd_double_bits(a->custom_values[i]) != mrd_double_bits(b->custom_values[i])) {
            return false;
        }
    }
    return true;
}

/* Whether a count is less than before, or cannot be compared. */
static bool fell(union mrd_histogram_count now, union mrd_histogram_count before, bool is_float)
{
    return is_float ? !(now.real >= before.real) : now.integer < before.integer;
}

static bool side_fell(const struct mrd_histogram_side *now, const struct mrd_histogram_side *before,
                      bool is_float)
{
    for (size_t i = 0; i < now->bucket_count; i++) {
        if (fell(now->buckets[i], before->buckets[i], is_float)) {
            return true;
        }
    }
    return false;
}

static bool was_reset(const struct mrd_histogram *now, const struct mrd_histogram *before)
{
    const bool is_float = now->is_float;
    return now->reset == MRD_HISTOGRAM_RESET || fell(now->count, before->count, is_float) ||
           fell(now->zero_count, before->zero_count, is_float) ||
           side_fell(&now->positive, &before->positive, is_float) ||
           side_fell(&now->negative, &before->negative, is_float);
}

/* Whether `now` can stand behind `before` in a chunk. A marker takes any kind. */
static bool joins(const struct mrd_histogram *now, const struct mrd_histogram *before)
{
    if (mrd_histogram_is_stale(now)) {
        return true;
    }
    if (mrd_histogram_is_stale(before)) {
        return false;
    }
    const bool gauge = now->reset == MRD_HISTOGRAM_GAUGE;
    return now->is_float == before->is_float && gauge == (before->reset == MRD_HISTOGRAM_GAUGE) &&
           now->schema == before->schema &&
           mrd_double_bits(now->zero_threshold) == mrd_double_bits(before->zero_threshold) &&
           same_side(&now->positive, &before->positive) &&
           same_side(&now->negative, &before->negative) && same_bounds(now, before) &&
           (gauge || !was_reset(now, before));
}

/* ---- the layout ---- */

static void put_threshold(struct mrd_bit_writer *writer, double threshold)
{
    int exponent;
    if (threshold == 0) {
        mrd_bits_put(writer, 0, 8);
        return;
    }
    if (frexp(threshold, &exponent) != 0.5 || exponent < THRESHOLD_EXPONENT_MIN ||
        exponent > THRESHOLD_EXPONENT_MAX) {
        mrd_bits_put(writer, THRESHOLD_PLAIN, 8);
        mrd_bits_put(writer, mrd_double_bits(threshold), 64);
        return;
    }
    mrd_bits_put(writer, (uint64_t)(exponent + THRESHOLD_BIAS), 8);
}

static void put_spans(struct mrd_bit_writer *writer, const struct mrd_histogram_side *side)
{
    mrd_varbit_put_unsigned(writer, side->span_count);
    for (size_t i = 0; i < side->span_count; i++) {
        mrd_varbit_put_unsigned(writer, side->spans[i].length);
        mrd_varbit_put_signed(writer, (uint64_t)(int64_t)side->spans[i].offset);
    }
}

/* As thousandths only if that comes back as the same number. */
static void put_bound(struct mrd_bit_writer *writer, double bound)
{
    const double thousandths = bound * 1000;
    const double whole = round(thousandths);
    if (thousandths < 0 || thousandths > BOUND_THOUSANDTHS_MAX || whole / 1000 != bound) {
        mrd_bits_put(writer, 0, 1);
        mrd_bits_put(writer, mrd_double_bits(bound), 64);
        return;
    }
    mrd_varbit_put_unsigned(writer, (uint64_t)whole + 1);
}

static void put_layout(struct mrd_bit_writer *writer, const struct mrd_histogram *histogram)
{
    put_threshold(writer, histogram->zero_threshold);
    mrd_varbit_put_signed(writer, (uint64_t)(int64_t)histogram->schema);
    put_spans(writer, &histogram->positive);
    put_spans(writer, &histogram->negative);
    if (histogram->schema == MRD_HISTOGRAM_SCHEMA_CUSTOM) {
        mrd_varbit_put_unsigned(writer, histogram->custom_value_count);
        for (size_t i = 0; i < histogram->custom_value_count; i++) {
            put_bound(writer, histogram->custom_values[i]);
        }
    }
}

/* ---- histograms ---- */

/* What is written of a staleness marker. */
static const struct mrd_histogram nothing = {0};

struct chunk {
    struct mrd_bit_writer writer;
    const struct mrd_histograms *histograms;
    struct mrd_xor_window sum;
    struct mrd_xor_window count; /* of doubles, as the next ones */
    struct mrd_xor_window zero_count;
    struct mrd_xor_window *buckets; /* positive, then negative */
    bool with_starts;
    struct mrd_start_state starts;
};

static const struct mrd_histogram *plain_at(const struct chunk *chunk, size_t at)
{
    const struct mrd_histogram *histogram = &chunk->histograms->items[at];
    return mrd_histogram_is_stale(histogram) ? &nothing : histogram;
}

/* The change of a number that is `now`, after having been `before` and `earlier`. All wraps as the reader's sums do. */
static uint64_t change_of_change(uint64_t now, uint64_t before, uint64_t earlier)
{
    return (now - before) - (before - earlier);
}

static void put_time(struct chunk *chunk, size_t at)
{
    const mrd_time_ms *times_ms = chunk->histograms->times_ms;
    const uint64_t now = (uint64_t)times_ms[at];
    const uint64_t before = at == 0 ? 0 : (uint64_t)times_ms[at - 1];
    const uint64_t earlier = at < 2 ? before : (uint64_t)times_ms[at - 2];
    mrd_varbit_put_signed(&chunk->writer, at == 0 ? now : change_of_change(now, before, earlier));
}

static void put_sum(struct chunk *chunk, size_t at)
{
    const struct mrd_histogram *items = chunk->histograms->items;
    const uint64_t bits = mrd_double_bits(items[at].sum);
    if (at == 0) {
        mrd_bits_put(&chunk->writer, bits, 64);
    } else {
        mrd_bits_put_xor(&chunk->writer, bits ^ mrd_double_bits(items[at - 1].sum), &chunk->sum);
    }
}

/* An integer bucket as its distance from the one before it. */
static uint64_t step_of(const struct mrd_histogram_side *side, size_t index)
{
    return side->buckets[index].integer - (index == 0 ? 0 : side->buckets[index - 1].integer);
}

static void put_integer_side(struct chunk *chunk, const struct mrd_histogram_side *now,
                             const struct mrd_histogram_side *before,
                             const struct mrd_histogram_side *earlier)
{
    for (size_t i = 0; i < now->bucket_count; i++) {
        const uint64_t step = step_of(now, i);
        mrd_varbit_put_signed(
            &chunk->writer, before == NULL
                                ? step
                                : change_of_change(step, step_of(before, i), step_of(earlier, i)));
    }
}

static void put_integers(struct chunk *chunk, size_t at)
{
    const struct mrd_histogram *now = plain_at(chunk, at);
    const struct mrd_histogram *before = at == 0 ? NULL : plain_at(chunk, at - 1);
    const struct mrd_histogram *earlier = at < 2 ? before : plain_at(chunk, at - 2);
    struct mrd_bit_writer *writer = &chunk->writer;
    put_time(chunk, at);
    if (before == NULL) {
        mrd_varbit_put_unsigned(writer, now->count.integer);
        mrd_varbit_put_unsigned(writer, now->zero_count.integer);
    } else if (now == &nothing) {
        mrd_bits_put(writer, 0, 2);
    } else {
        mrd_varbit_put_signed(writer, change_of_change(now->count.integer, before->count.integer,
                                                       earlier->count.integer));
        mrd_varbit_put_signed(writer,
                              change_of_change(now->zero_count.integer, before->zero_count.integer,
                                               earlier->zero_count.integer));
    }
    put_sum(chunk, at);
    put_integer_side(chunk, &now->positive, before == NULL ? NULL : &before->positive,
                     earlier == NULL ? NULL : &earlier->positive);
    put_integer_side(chunk, &now->negative, before == NULL ? NULL : &before->negative,
                     earlier == NULL ? NULL : &earlier->negative);
}

static void put_double(struct chunk *chunk, const union mrd_histogram_count *now,
                       const union mrd_histogram_count *before, struct mrd_xor_window *window)
{
    const uint64_t bits = mrd_double_bits(now->real);
    if (before == NULL) {
        mrd_bits_put(&chunk->writer, bits, 64);
    } else {
        mrd_bits_put_xor(&chunk->writer, bits ^ mrd_double_bits(before->real), window);
    }
}

static void put_double_side(struct chunk *chunk, const struct mrd_histogram_side *now,
                            const struct mrd_histogram_side *before, struct mrd_xor_window *windows)
{
    for (size_t i = 0; i < now->bucket_count; i++) {
        put_double(chunk, &now->buckets[i], before == NULL ? NULL : &before->buckets[i],
                   &windows[i]);
    }
}

static void put_doubles(struct chunk *chunk, size_t at)
{
    const struct mrd_histogram *now = plain_at(chunk, at);
    const struct mrd_histogram *before = at == 0 ? NULL : plain_at(chunk, at - 1);
    put_time(chunk, at);
    put_double(chunk, &now->count, before == NULL ? NULL : &before->count, &chunk->count);
    put_double(chunk, &now->zero_count, before == NULL ? NULL : &before->zero_count,
               &chunk->zero_count);
    put_sum(chunk, at);
    put_double_side(chunk, &now->positive, before == NULL ? NULL : &before->positive,
                    chunk->buckets);
    put_double_side(chunk, &now->negative, before == NULL ? NULL : &before->negative,
                    chunk->buckets + now->positive.bucket_count);
}

/* ---- the chunk ---- */

static void put_start(struct chunk *chunk, size_t at)
{
    const mrd_time_ms *starts_ms = chunk->histograms->start_times_ms;
    const mrd_time_ms *times_ms = chunk->histograms->times_ms;
    const struct mrd_start_at place = {at, times_ms[at], at == 0 ? 0 : times_ms[at - 1]};
    mrd_start_put(&chunk->writer, &chunk->starts, place, starts_ms == NULL ? 0 : starts_ms[at]);
}

/* As many of the first as one chunk can have; returns how many were put. */
static size_t put_all(struct chunk *chunk, size_t begin, bool doubles)
{
    const struct mrd_histograms *histograms = chunk->histograms;
    const size_t limit = MRD_MIN(histograms->count, (size_t)MRD_VARBIT_CHUNK_HISTOGRAMS);
    size_t at = 0;
    do {
        if (doubles) {
            put_doubles(chunk, at);
        } else {
            put_integers(chunk, at);
        }
        if (chunk->with_starts) {
            put_start(chunk, at);
        }
        at++;
    } while (at < limit && chunk->writer.out->size - begin < MRD_VARBIT_CHUNK_BYTES &&
             joins(&histograms->items[at], &histograms->items[at - 1]));
    mrd_bit_writer_flush(&chunk->writer);
    return at;
}

/* The three bytes before the layout. */
static void set_head(const struct chunk *chunk, size_t begin, size_t count)
{
    struct mrd_buf *out = chunk->writer.out;
    const uint8_t flags =
        chunk->histograms->items[0].reset == MRD_HISTOGRAM_GAUGE ? FLAG_GAUGES : 0;
    if (out->failed) {
        return;
    }
    mrd_assert(out->size - begin > HEADER_SIZE);
    out->data[begin] = (uint8_t)(count >> 8) | (chunk->with_starts ? flags : 0);
    out->data[begin + 1] = (uint8_t)count;
    out->data[begin + 2] = chunk->with_starts ? chunk->starts.header : flags;
}

size_t mrd_varbit_chunk_encode(const struct mrd_histograms *histograms, bool starts,
                               enum mrd_varbit_encoding *out_encoding, struct mrd_buf *out)
{
    mrd_assert(histograms->count > 0);
    const size_t begin = out->size;
    struct chunk chunk = {.writer = {.out = out}, .histograms = histograms, .with_starts = starts};
    const struct mrd_histogram *first = plain_at(&chunk, 0);
    const bool doubles = histograms->items[0].is_float;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf windows = {0};
    const size_t buckets = first->positive.bucket_count + first->negative.bucket_count;
    for (size_t i = 0; doubles && i <= buckets; i++) { /* one more: there is an array in any case */
        const struct mrd_xor_window none = {0};
        mrd_buf_append(&windows, &none, sizeof(none));
    }
    chunk.buckets = (struct mrd_xor_window *)(void *)windows.data;
    mrd_bits_put(&chunk.writer, 0, 8 * HEADER_SIZE);
    put_layout(&chunk.writer, first);
    const size_t count = put_all(&chunk, begin, doubles);
    set_head(&chunk, begin, count);
    if (starts) {
        *out_encoding = doubles ? MRD_VARBIT_DOUBLES_ST : MRD_VARBIT_INTEGERS_ST;
    } else {
        *out_encoding = doubles ? MRD_VARBIT_DOUBLES : MRD_VARBIT_INTEGERS;
    }
    return count;
}
