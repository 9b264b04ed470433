/* The open encoding, bit by bit, least significant bit first. `ones` is a run of 1 bits that a 0 ends
 * unless it has its greatest length.
 *
 *   first sample: 0 and 48 bits of time, or 1 and 64 bits; 4 bits of mode; value
 *   others:       time, value
 *   time:  ones n of 0..5: 0, 7, 12, 20, 32 or 64 bits: zigzag(delta - last delta); a delta that is
 *          no int32 counts as 0 for the next one
 *   value: in raw mode (15) 0: as before, 1: 64 bits of the double; else ones n of 0..6:
 *          0: as before; 1..4: 6, 12, 20, 32 bits: zigzag(scaled - last scaled);
 *          5: 64 bits of the double (last scaled follows it if it has a scaled form);
 *          6: 4 bits of new mode, last scaled times 10^(new - old), value
 */
#include "codec/bitstream.h"
#include "codec/chunk_internal.h"
#include "codec/decimal.h"

enum {
    MODE_RAW = 15,
    MODE_DIGITS_MAX = 9, /* decimals that are looked for */
    MISSES_MAX = 3,      /* in a row: raw from there on */
    TIME_ONES_MAX = 5,
    VALUE_ONES_MAX = 6,
    VALUE_RAW = 5,
    VALUE_MODE = 6,
};

static const uint8_t time_widths[TIME_ONES_MAX + 1] = {0, 7, 12, 20, 32, 64};
static const uint8_t value_widths[VALUE_ONES_MAX + 1] = {0, 6, 12, 20, 32, 64, 4};

/* One sample's bits on their way into the chunk. */
struct sample_bits {
    uint64_t words[4]; /* the last stays 0: it takes what shifting pushes out */
    unsigned count;
};

static inline void put(struct sample_bits *bits, uint64_t value, unsigned width)
{
    const unsigned word = bits->count >> 6;
    const unsigned shift = bits->count & 63;
    bits->words[word] |= value << shift;
    if (shift + width > 64) {
        bits->words[word + 1] |= value >> (64 - shift);
    }
    bits->count += width;
}

static inline void put_ones(struct sample_bits *bits, unsigned ones, unsigned ones_max)
{
    put(bits, ((uint64_t)1 << ones) - 1, ones < ones_max ? ones + 1 : ones);
}

static inline int32_t delta_kept(int64_t delta)
{
    return delta == (int32_t)delta ? (int32_t)delta : 0;
}

static inline int64_t wrapping_sub(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a - (uint64_t)b);
}
static inline int64_t wrapping_add(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

static inline void put_time(struct mrd_chunk_open *open, struct sample_bits *bits, int64_t time_ms)
{
    const int64_t delta = wrapping_sub(time_ms, open->last_time_ms);
    const uint64_t coded = mrd_zigzag_encode(wrapping_sub(delta, open->last_delta_ms));
    unsigned ones = 0;
    while (ones < TIME_ONES_MAX && coded > mrd_bits_mask(time_widths[ones])) {
        ones++;
    }
    put_ones(bits, ones, TIME_ONES_MAX);
    put(bits, coded, time_widths[ones]);
    open->last_delta_ms = delta_kept(delta);
    open->last_time_ms = time_ms;
}

static void put_first_time(struct mrd_chunk_open *open, struct sample_bits *bits, int64_t time_ms)
{
    const bool wide = (uint64_t)time_ms > mrd_bits_mask(48);
    put(bits, wide, 1);
    put(bits, (uint64_t)time_ms, wide ? 64 : 48);
    open->last_time_ms = time_ms;
    open->last_delta_ms = 0;
}

/* The last integer in units of another mode. Wraps alike in reader and writer. */
static inline int64_t rescale(int64_t scaled, unsigned from, unsigned to)
{
    if (from > MRD_DECIMAL_DIGITS_MAX || to > MRD_DECIMAL_DIGITS_MAX) {
        return 0;
    }
    for (; from < to; from++) {
        scaled = (int64_t)((uint64_t)scaled * 10);
    }
    for (; from > to; from--) {
        scaled /= 10;
    }
    return scaled;
}

static void put_raw(struct mrd_chunk_open *open, struct sample_bits *bits, double value)
{
    put_ones(bits, VALUE_RAW, VALUE_ONES_MAX);
    put(bits, mrd_double_bits(value), 64);
    (void)mrd_decimal_scale(value, open->mode, &open->last_scaled);
}

static inline void put_scaled(struct mrd_chunk_open *open, struct sample_bits *bits, double value,
                              int64_t scaled)
{
    const uint64_t coded = mrd_zigzag_encode(wrapping_sub(scaled, open->last_scaled));
    unsigned ones = 0;
    while (ones < VALUE_RAW && coded > mrd_bits_mask(value_widths[ones])) {
        ones++;
    }
    if (ones == 0) {
        ones = 1; /* equal to the last integer, but that was not the last value */
    }
    if (ones == VALUE_RAW) {
        put_raw(open, bits, value);
        return;
    }
    put_ones(bits, ones, VALUE_ONES_MAX);
    put(bits, coded, value_widths[ones]);
    open->last_scaled = scaled;
}

static bool find_digits(double value, unsigned first, unsigned *out_digits, int64_t *out_scaled)
{
    for (unsigned digits = first; digits <= MODE_DIGITS_MAX; digits++) {
        if (mrd_decimal_scale(value, digits, out_scaled)) {
            *out_digits = digits;
            return true;
        }
    }
    return false;
}

/* A value that the present mode cannot express: more decimals, or none at all. */
static void put_misfit(struct mrd_chunk_open *open, struct sample_bits *bits, double value)
{
    unsigned digits = MODE_RAW;
    int64_t scaled = 0;
    const bool found = find_digits(value, open->mode + 1U, &digits, &scaled);
    if (!found && ++open->misses < MISSES_MAX) {
        put_raw(open, bits, value);
        return;
    }
    put_ones(bits, VALUE_MODE, VALUE_ONES_MAX);
    put(bits, digits, 4);
    if (found) {
        open->last_scaled = rescale(open->last_scaled, open->mode, digits);
        open->mode = (uint8_t)digits;
        put_scaled(open, bits, value, scaled);
    } else {
        open->mode = MODE_RAW;
        put(bits, 1, 1);
        put(bits, mrd_double_bits(value), 64);
    }
}

static inline void put_value(struct mrd_chunk_open *open, struct sample_bits *bits, double value)
{
    int64_t scaled;
    if (mrd_double_bits(value) == open->last_bits) {
        put(bits, 0, 1);
    } else if (open->mode == MODE_RAW) {
        put(bits, 1, 1);
        put(bits, mrd_double_bits(value), 64);
    } else if (mrd_likely(mrd_decimal_scale(value, open->mode, &scaled))) {
        put_scaled(open, bits, value, scaled);
        open->misses = 0;
    } else {
        put_misfit(open, bits, value);
    }
    open->last_bits = mrd_double_bits(value);
}

static void put_first_value(struct mrd_chunk_open *open, struct sample_bits *bits, double value)
{
    unsigned digits = open->mode == MODE_RAW ? 0 : open->mode; /* what the last chunk needed */
    int64_t scaled = 0;
    if (!find_digits(value, digits, &digits, &scaled)) {
        /* A NaN says nothing about the series: stay ready for numbers. */
        digits = value != value ? digits : MODE_RAW;
    }
    open->mode = (uint8_t)digits;
    open->last_scaled = 0;
    open->last_bits = ~mrd_double_bits(value);
    put(bits, digits, 4);
    put_value(open, bits, value);
}

/* Appends bits to words, of which size_bits bits are in use. */
static inline void write_bits(uint64_t *words, size_t size_bits, const struct sample_bits *bits)
{
    const unsigned shift = size_bits & 63;
    uint64_t *to = words + (size_bits >> 6);
    const size_t word_count = (shift + bits->count + 63) / 64;
    to[0] = (shift == 0 ? 0 : to[0]) | bits->words[0] << shift;
    for (size_t i = 1; i < word_count; i++) {
        const uint64_t own = bits->words[i] << shift;
        to[i] = own | bits->words[i - 1] >> 1 >> (63 - shift);
    }
}

/* Any sample: builds its bits in memory. */
static __attribute__((noinline)) bool append_any(struct mrd_chunk_open *open, uint64_t *words,
                                                 size_t capacity_words, mrd_time_ms time_ms,
                                                 double value)
{
    struct mrd_chunk_open next = *open;
    struct sample_bits bits = {{0}, 0};
    if (next.count == 0) {
        put_first_time(&next, &bits, time_ms);
        put_first_value(&next, &bits, value);
    } else {
        put_time(&next, &bits, time_ms);
        put_value(&next, &bits, value);
    }
    const size_t size_bits = open->size_bits + bits.count;
    if (size_bits > capacity_words * 64 || size_bits > MRD_CHUNK_OPEN_SIZE_MAX * 8 ||
        open->count == MRD_CHUNK_SAMPLES_MAX) {
        return false;
    }
    write_bits(words, open->size_bits, &bits);
    next.size_bits = (uint16_t)size_bits;
    next.count++;
    *open = next;
    return true;
}

void mrd_chunk_open_reset(struct mrd_chunk_open *open)
{
    open->size_bits = 0;
    open->count = 0;
    open->misses = 0;
}

/* What a field of so many significant bits becomes, for fields that are short: all of the sample then
 * fits into one register, and no branch depends on the size. */
enum { SHORT_WIDTH_MAX = 20, SHORT_ONES_MAX = 4 /* not reached */ };
struct short_class {
    uint8_t prefix; /* the ones; a 0 follows */
    uint8_t prefix_width;
    uint8_t width; /* of prefix and field */
};
#define CLASS_0                                                                                    \
    {                                                                                              \
        0, 1, 1                                                                                    \
    }
#define CLASS_1(width)                                                                             \
    {                                                                                              \
        1, 2, 2 + (width)                                                                          \
    }
#define CLASS_2                                                                                    \
    {                                                                                              \
        3, 3, 3 + 12                                                                               \
    }
#define CLASS_3                                                                                    \
    {                                                                                              \
        7, 4, 4 + 20                                                                               \
    }
static const struct short_class time_classes[SHORT_WIDTH_MAX + 1] = {
    CLASS_0,    CLASS_1(7), CLASS_1(7), CLASS_1(7), CLASS_1(7), CLASS_1(7), CLASS_1(7),
    CLASS_1(7), CLASS_2,    CLASS_2,    CLASS_2,    CLASS_2,    CLASS_2,    CLASS_3,
    CLASS_3,    CLASS_3,    CLASS_3,    CLASS_3,    CLASS_3,    CLASS_3,    CLASS_3};
static const struct short_class value_classes[SHORT_WIDTH_MAX + 1] = {
    CLASS_1(6), CLASS_1(6), CLASS_1(6), CLASS_1(6), CLASS_1(6), CLASS_1(6), CLASS_1(6),
    CLASS_2,    CLASS_2,    CLASS_2,    CLASS_2,    CLASS_2,    CLASS_2,    CLASS_3,
    CLASS_3,    CLASS_3,    CLASS_3,    CLASS_3,    CLASS_3,    CLASS_3,    CLASS_3};

static inline uint64_t short_bits(struct short_class class, uint64_t coded)
{
    return class.prefix | coded << class.prefix_width;
}

/* The common case of mrd_chunk_open_append in registers; whatever is unusual goes to append_any. */
bool mrd_chunk_open_append(struct mrd_chunk_open *open, uint64_t *words, size_t capacity_words,
                           mrd_time_ms time_ms, double value)
{
    const int64_t delta = wrapping_sub(time_ms, open->last_time_ms);
    const uint64_t time_coded = mrd_zigzag_encode(wrapping_sub(delta, open->last_delta_ms));
    const uint64_t value_bits = mrd_double_bits(value);
    int64_t scaled = open->last_scaled;
    struct short_class value_class = CLASS_0;
    uint64_t value_coded = 0;
    if (mrd_unlikely(open->count == 0 || time_coded >> SHORT_WIDTH_MAX != 0)) {
        return append_any(open, words, capacity_words, time_ms, value);
    }
    if (value_bits != open->last_bits) {
        if (mrd_unlikely(open->mode == MODE_RAW ||
                         !mrd_decimal_scale(value, open->mode, &scaled))) {
            return append_any(open, words, capacity_words, time_ms, value);
        }
        value_coded = mrd_zigzag_encode(wrapping_sub(scaled, open->last_scaled));
        if (mrd_unlikely(value_coded >> SHORT_WIDTH_MAX != 0)) {
            return append_any(open, words, capacity_words, time_ms, value);
        }
        value_class = value_classes[mrd_bits_width(value_coded)];
    }
    const struct short_class time_class = time_classes[mrd_bits_width(time_coded)];
    const uint64_t bits = short_bits(time_class, time_coded) | short_bits(value_class, value_coded)
                                                                   << time_class.width;
    const size_t at = open->size_bits;
    const size_t end = at + time_class.width + value_class.width;
    if (mrd_unlikely(end > capacity_words * 64 || end > MRD_CHUNK_OPEN_SIZE_MAX * 8 ||
                     open->count == MRD_CHUNK_SAMPLES_MAX)) {
        return false;
    }
    const unsigned shift = at & 63;
    uint64_t *to = words + (at >> 6);
    *to = (shift == 0 ? 0 : *to) | bits << shift;
    if ((end - 1) >> 6 != at >> 6) {
        to[1] = bits >> 1 >> (63 - shift);
    }
    open->last_time_ms = time_ms;
    open->last_delta_ms = delta_kept(delta);
    open->misses = value_bits == open->last_bits ? open->misses : 0;
    open->last_bits = value_bits;
    open->last_scaled = scaled;
    open->size_bits = (uint16_t)end;
    open->count++;
    return true;
}

/* ---- reading ---- */

static inline unsigned read_ones(struct mrd_bit_reader *reader, unsigned ones_max)
{
    const uint64_t ahead = ~mrd_bits_peek(reader) | (uint64_t)1 << ones_max;
    const unsigned ones = (unsigned)__builtin_ctzll(ahead);
    mrd_bits_skip(reader, ones < ones_max ? ones + 1 : ones);
    return ones;
}

static inline void read_time(struct mrd_bit_reader *reader, struct mrd_chunk_open *open)
{
    if (open->count == 0) {
        const unsigned width = mrd_bits_read(reader, 1) != 0 ? 64 : 48;
        open->last_time_ms = (int64_t)mrd_bits_read(reader, width);
        return;
    }
    const unsigned ones = read_ones(reader, TIME_ONES_MAX);
    const int64_t change = mrd_zigzag_decode(mrd_bits_read(reader, time_widths[ones]));
    const int64_t delta = wrapping_add(change, open->last_delta_ms);
    open->last_delta_ms = delta_kept(delta);
    open->last_time_ms = wrapping_add(open->last_time_ms, delta);
}

static inline void read_value(struct mrd_bit_reader *reader, struct mrd_chunk_open *open)
{
    for (;;) {
        if (open->mode == MODE_RAW) {
            if (mrd_bits_read(reader, 1) != 0) {
                open->last_bits = mrd_bits_read(reader, 64);
            }
            return;
        }
        const unsigned ones = read_ones(reader, VALUE_ONES_MAX);
        if (ones == 0) {
            return;
        }
        const uint64_t field = mrd_bits_read(reader, value_widths[ones]);
        if (ones < VALUE_RAW) {
            open->last_scaled = wrapping_add(open->last_scaled, mrd_zigzag_decode(field));
            open->last_bits = mrd_double_bits(mrd_decimal_value(open->last_scaled, open->mode));
            return;
        }
        if (ones == VALUE_RAW) {
            open->last_bits = field;
            (void)mrd_decimal_scale(mrd_double_from_bits(field), open->mode, &open->last_scaled);
            return;
        }
        if (reader->failed) {
            return;
        }
        open->last_scaled = rescale(open->last_scaled, open->mode, (unsigned)field);
        open->mode = (uint8_t)field;
    }
}

/* Reads samples as long as time and value are short and the mode stays a decimal one; returns how many
 * (of at most `count`). One look at the stream shows a whole such sample. The state lives in registers. */
static size_t read_shorts(struct mrd_bit_reader *reader, struct mrd_chunk_open *open, size_t count,
                          mrd_time_ms *times_ms, double *values)
{
    struct mrd_bit_reader from = *reader;
    int64_t time_ms = open->last_time_ms;
    int64_t last_delta = open->last_delta_ms;
    int64_t scaled = open->last_scaled;
    double value = mrd_double_from_bits(open->last_bits);
    const unsigned digits = open->mode;
    size_t done = 0;
    for (; done < count; done++) {
        uint64_t ahead = mrd_bits_peek(&from);
        const unsigned time_ones = (unsigned)__builtin_ctzll(~ahead | 1ULL << SHORT_ONES_MAX);
        const unsigned time_width = time_widths[time_ones];
        const uint64_t time_coded = ahead >> (time_ones + 1) & mrd_bits_mask(time_width);
        ahead >>= time_ones + 1 + time_width;
        const unsigned value_ones = (unsigned)__builtin_ctzll(~ahead | 1ULL << SHORT_ONES_MAX);
        if (mrd_unlikely(time_ones == SHORT_ONES_MAX || value_ones == SHORT_ONES_MAX)) {
            break;
        }
        const unsigned value_width = value_widths[value_ones];
        const uint64_t value_coded = ahead >> (value_ones + 1) & mrd_bits_mask(value_width);
        mrd_bits_skip(&from, time_ones + 1 + time_width + value_ones + 1 + value_width);
        const int64_t delta = wrapping_add(mrd_zigzag_decode(time_coded), last_delta);
        last_delta = delta_kept(delta);
        time_ms = wrapping_add(time_ms, delta);
        if (value_ones != 0) {
            scaled = wrapping_add(scaled, mrd_zigzag_decode(value_coded));
            value = mrd_decimal_value(scaled, digits);
        }
        times_ms[done] = time_ms;
        values[done] = value;
    }
    *reader = from;
    open->last_time_ms = time_ms;
    open->last_delta_ms = (int32_t)last_delta;
    open->last_scaled = scaled;
    open->last_bits = mrd_double_bits(value);
    return done;
}

bool mrd_chunk_open_decode(struct mrd_bytes bytes, size_t count, mrd_time_ms *times_ms,
                           double *values)
{
    struct mrd_bit_reader reader = mrd_bit_reader_of(bytes);
    struct mrd_chunk_open open = {0};
    for (size_t i = 0; i < count && !reader.failed; i++) {
        read_time(&reader, &open);
        if (i == 0) {
            open.mode = (uint8_t)mrd_bits_read(&reader, 4);
            open.count = 1;
        }
        read_value(&reader, &open);
        times_ms[i] = open.last_time_ms;
        values[i] = mrd_double_from_bits(open.last_bits);
        if (open.mode != MODE_RAW) {
            i += read_shorts(&reader, &open, count - i - 1, times_ms + i + 1, values + i + 1);
        }
    }
    return !reader.failed && (reader.at + 7) / 8 == bytes.size;
}
