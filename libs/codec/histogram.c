#include "codec/histogram.h"

#include "codec/bitstream.h"
#include "model/histogram_check.h"

/* The first byte of an entry. */
enum {
    ENTRY_RESET_MASK = 0x03,
    ENTRY_LAYOUT = 0x04,    /* a layout follows the time */
    ENTRY_STALE = 0x08,     /* nothing follows the time */
    ENTRY_UNCHANGED = 0x10, /* sum and counts are those of the entry before */
    ENTRY_DELTA2 = 0x20,    /* integer counts are differences of differences */
    ENTRY_START_MASK = 0xc0,
};

/* Since when an entry counts. */
enum {
    START_AS_BEFORE = 0x00,   /* the last that was known; unknown if there was none */
    START_AT_PREVIOUS = 0x40, /* at the time of the entry before (of the first: at 0, so unknown) */
    START_GIVEN = 0x80,       /* a difference follows the time */
    START_UNKNOWN = 0xc0,
};

enum { LAYOUT_FLOAT = 1 };

/* ---- numbers as bits ----
 * Integers (zigzag): as many ones as the class' number, then, but for the last class, a zero; then value - 1 in the
 * class' width. Floats: what differs from the number before, 0 or 1, leading zeros (6), length - 1 (6), bits. */

enum { CLASS_COUNT = 7, CLASS_LAST = CLASS_COUNT - 1, NUMBER_BITS_MAX = 77 };
static const uint8_t class_widths[CLASS_COUNT] = {0, 3, 6, 10, 16, 32, 64};

/* By the bits of zigzag - 1. */
static const uint8_t class_by_width[65] = {
    1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5,
    5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6,
    6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6,
};

static inline unsigned class_of(uint64_t zigzag)
{
    return zigzag == 0 ? 0 : class_by_width[mrd_bits_width(zigzag - 1)];
}

struct bit_writer {
    uint8_t *out;
    uint64_t word;
    unsigned used; /* below 32 */
};

static inline void put_bits(struct bit_writer *writer, uint64_t value, unsigned width)
{
    while (width > 0) {
        const unsigned now = MRD_MIN(width, 32U);
        writer->word |= (value & mrd_bits_mask(now)) << writer->used;
        writer->used += now;
        value >>= now;
        width -= now;
        if (writer->used >= 32) {
            memcpy(writer->out, &writer->word, 4);
            writer->out += 4;
            writer->word >>= 32;
            writer->used -= 32;
        }
    }
}

static uint8_t *finish_bits(const struct bit_writer *writer)
{
    memcpy(writer->out, &writer->word, (writer->used + 7) / 8);
    return writer->out + (writer->used + 7) / 8;
}

static inline void put_integer(struct bit_writer *writer, uint64_t difference)
{
    const uint64_t zigzag = mrd_zigzag_encode((int64_t)difference);
    const unsigned class = class_of(zigzag);
    const unsigned prefix = class == CLASS_LAST ? class : class + 1;
    if (class == 0) {
        put_bits(writer, 0, 1);
    } else if (prefix + class_widths[class] <= 32) {
        put_bits(writer, mrd_bits_mask(class) | (zigzag - 1) << prefix,
                 prefix + class_widths[class]);
    } else {
        put_bits(writer, mrd_bits_mask(class), prefix);
        put_bits(writer, zigzag - 1, class_widths[class]);
    }
}

static inline uint64_t read_integer(struct mrd_bit_reader *reader)
{
    const uint64_t ahead = mrd_bits_peek(reader);
    const unsigned class = (unsigned)__builtin_ctzll(~ahead | 1ULL << CLASS_LAST);
    mrd_bits_skip(reader, class == CLASS_LAST ? class : class + 1);
    if (class == 0) {
        return 0;
    }
    return (uint64_t)mrd_zigzag_decode(mrd_bits_read(reader, class_widths[class]) + 1);
}

static inline void put_changed_bits(struct bit_writer *writer, uint64_t changed)
{
    if (changed == 0) {
        put_bits(writer, 0, 1);
        return;
    }
    const unsigned leading = (unsigned)__builtin_clzll(changed);
    const unsigned trailing = (unsigned)__builtin_ctzll(changed);
    const unsigned length = 64 - leading - trailing;
    put_bits(writer, 1 | leading << 1 | (length - 1) << 7, 13);
    put_bits(writer, changed >> trailing, length);
}

static inline uint64_t read_changed_bits(struct mrd_bit_reader *reader)
{
    if (mrd_bits_read(reader, 1) == 0) {
        return 0;
    }
    const unsigned leading = (unsigned)mrd_bits_read(reader, 6);
    const unsigned length = (unsigned)mrd_bits_read(reader, 6) + 1;
    if (leading + length > 64) {
        reader->failed = true;
        return 0;
    }
    return mrd_bits_read(reader, length) << (64 - leading - length);
}

/* ---- layouts ---- */

static void put_spans(struct mrd_buf *out, const struct mrd_histogram_side *side)
{
    mrd_buf_append_varint(out, side->span_count);
    for (size_t i = 0; i < side->span_count; i++) {
        mrd_buf_append_zigzag(out, side->spans[i].offset);
        mrd_buf_append_varint(out, side->spans[i].length);
    }
}

static void put_layout(struct mrd_buf *out, const struct mrd_histogram *histogram)
{
    mrd_buf_append_u8(out, histogram->is_float ? LAYOUT_FLOAT : 0);
    mrd_buf_append_zigzag(out, histogram->schema);
    mrd_buf_append_u64(out, mrd_double_bits(histogram->zero_threshold));
    put_spans(out, &histogram->positive);
    put_spans(out, &histogram->negative);
    mrd_buf_append_varint(out, histogram->custom_value_count);
    mrd_buf_append(out, histogram->custom_values, histogram->custom_value_count * sizeof(double));
}

/* Whether the layout is one that may be stored: the check of the histogram as if it had counted nothing. */
static enum mrd_status check_layout(const struct mrd_histogram *histogram, struct mrd_error *err)
{
    static const union mrd_histogram_count zeros[MRD_HISTOGRAM_PARTS_MAX];
    struct mrd_histogram probe = *histogram;
    probe.sum = 0;
    probe.count.integer = 0;
    probe.zero_count.integer = 0;
    probe.positive.buckets = zeros;
    probe.negative.buckets = zeros;
    if (probe.schema != MRD_HISTOGRAM_SCHEMA_CUSTOM &&
        (probe.schema < MRD_HISTOGRAM_SCHEMA_MIN || probe.schema > MRD_HISTOGRAM_SCHEMA_MAX)) {
        return mrd_fail(err, MRD_E_INVALID, "histograms of schema %d are not stored", probe.schema);
    }
    const enum mrd_status status = mrd_histogram_check(&probe, err);
    return status == MRD_E_LIMIT ? MRD_E_INVALID : status;
}

/* ---- writing ---- */

static inline uint64_t time_step(const struct mrd_histogram_open *open, mrd_time_ms time_ms)
{
    return (uint64_t)time_ms - (uint64_t)open->last_time_ms;
}

/* The counters of a histogram one after the other. */
struct counter_parts {
    struct {
        const union mrd_histogram_count *items;
        size_t count;
    } parts[4];
};

static struct counter_parts parts_of(const struct mrd_histogram *histogram)
{
    return (struct counter_parts){
        {{&histogram->count, 1},
         {&histogram->zero_count, 1},
         {histogram->positive.buckets, histogram->positive.bucket_count},
         {histogram->negative.buckets, histogram->negative.bucket_count}}
    };
}

/* Bits that the counts take as differences minus those as differences of differences; and if any changed. */
static int64_t compare_forms(const struct counter_parts *parts, const uint64_t *last,
                             const uint64_t *deltas, bool *out_changed)
{
    int64_t gain = 0;
    uint64_t changed = 0;
    for (size_t p = 0; p < MRD_ARRAY_LEN(parts->parts); p++) {
        for (size_t i = 0; i < parts->parts[p].count; i++, last++, deltas++) {
            const uint64_t delta = parts->parts[p].items[i].integer - *last;
            const unsigned first = class_of(mrd_zigzag_encode((int64_t)delta));
            const unsigned second = class_of(mrd_zigzag_encode((int64_t)(delta - *deltas)));
            gain +=
                (int64_t)(first + class_widths[first]) - (int64_t)(second + class_widths[second]);
            changed |= delta;
        }
    }
    *out_changed = changed != 0;
    return gain;
}

static void put_counters(struct bit_writer *writer, const struct counter_parts *parts,
                         bool is_float, bool second, uint64_t *last, uint64_t *deltas)
{
    for (size_t p = 0; p < MRD_ARRAY_LEN(parts->parts); p++) {
        for (size_t i = 0; i < parts->parts[p].count; i++, last++, deltas++) {
            const uint64_t now = parts->parts[p].items[i].integer;
            const uint64_t delta = now - *last;
            if (is_float) {
                put_changed_bits(writer, now ^ *last);
            } else {
                put_integer(writer, second ? delta - *deltas : delta);
            }
            *deltas = delta;
            *last = now;
        }
    }
}

/* Writes the layout if it is not the one in force; sets *out_new then. */
static enum mrd_status enter_layout(const struct mrd_histogram_open *open, struct mrd_bytes written,
                                    const struct mrd_histogram *histogram, struct mrd_buf *entry,
                                    bool *out_new, struct mrd_error *err)
{
    const size_t before = entry->size;
    put_layout(entry, histogram);
    const struct mrd_bytes layout = {entry->data + before, entry->size - before};
    *out_new = open->layout_size == 0 || layout.size != open->layout_size ||
               memcmp(layout.data, written.data + open->layout_offset, layout.size) != 0;
    if (!*out_new) {
        entry->size = before;
        return MRD_OK;
    }
    return check_layout(histogram, err);
}

static enum mrd_status put_histogram(struct mrd_histogram_open *open, struct mrd_bytes written,
                                     size_t entry_start, uint64_t *counters,
                                     const struct mrd_histogram *histogram, struct mrd_buf *entry,
                                     struct mrd_error *err)
{
    bool new_layout;
    const size_t layout_start = entry->size;
    MRD_TRY(enter_layout(open, written, histogram, entry, &new_layout, err));
    const size_t count = mrd_histogram_counter_count(histogram);
    uint64_t *deltas = counters + count;
    uint8_t flags = 0;
    if (new_layout) {
        flags |= ENTRY_LAYOUT;
        open->layout_offset = (uint32_t)(written.size + layout_start - entry_start);
        open->layout_size = (uint32_t)(entry->size - layout_start);
        open->counter_count = (uint32_t)count;
        memset(counters, 0, 2 * count * sizeof(*counters));
    }
    const struct counter_parts parts = parts_of(histogram);
    bool changed;
    const bool second =
        compare_forms(&parts, counters, deltas, &changed) > 0 && !histogram->is_float;
    const uint64_t sum_bits = mrd_double_bits(histogram->sum);
    if (!changed && !new_layout && sum_bits == open->last_sum_bits) {
        flags |= ENTRY_UNCHANGED;
        memset(deltas, 0, count * sizeof(*deltas));
    } else {
        flags |= second ? ENTRY_DELTA2 : 0;
        struct bit_writer writer = {
            .out = mrd_buf_reserve(entry, (count + 1) * NUMBER_BITS_MAX / 8 + 16)};
        mrd_assert(writer.out != NULL);
        put_changed_bits(&writer, sum_bits ^ open->last_sum_bits);
        put_counters(&writer, &parts, histogram->is_float, second, counters, deltas);
        entry->size = (size_t)(finish_bits(&writer) - entry->data);
        open->last_sum_bits = sum_bits;
    }
    entry->data[entry_start] |= flags;
    return MRD_OK;
}

static uint8_t start_kind(const struct mrd_histogram_open *open, mrd_time_ms start_ms)
{
    if (start_ms == open->last_start_ms) {
        return START_AS_BEFORE;
    }
    if (start_ms == 0) {
        return START_UNKNOWN;
    }
    return open->count > 0 && start_ms == open->last_time_ms ? START_AT_PREVIOUS : START_GIVEN;
}

enum mrd_status mrd_histogram_open_append(struct mrd_histogram_open *open, struct mrd_bytes written,
                                          uint64_t *counters, const struct mrd_histogram_entry *of,
                                          struct mrd_buf *entry, struct mrd_error *err)
{
    const struct mrd_histogram *histogram = of->histogram;
    mrd_assert(open->count < MRD_CHUNK_SAMPLES_MAX);
    mrd_assert(open->count == 0 || of->time_ms > open->last_time_ms);
    const size_t start = entry->size;
    const uint64_t step = time_step(open, of->time_ms);
    const bool stale = mrd_histogram_is_stale(histogram);
    const uint8_t kind = start_kind(open, of->start_ms);
    mrd_buf_append_u8(entry, (uint8_t)(histogram->reset & ENTRY_RESET_MASK) |
                                 (stale ? ENTRY_STALE : 0) | kind);
    mrd_buf_append_zigzag(entry, (int64_t)(step - (uint64_t)open->last_delta_ms));
    if (kind == START_GIVEN) {
        mrd_buf_append_zigzag(entry, (int64_t)((uint64_t)of->time_ms - (uint64_t)of->start_ms));
    }
    if (!stale) {
        const enum mrd_status status =
            put_histogram(open, written, start, counters, histogram, entry, err);
        if (status != MRD_OK) {
            entry->size = start;
            return status;
        }
    }
    open->last_delta_ms = open->count == 0 ? 0 : (int64_t)step;
    open->last_time_ms = of->time_ms;
    open->last_start_ms = of->start_ms == 0 ? open->last_start_ms : of->start_ms;
    open->count++;
    mrd_assert(!entry->failed);
    return MRD_OK;
}

/* ---- reading ---- */

/* Where a decoder is: the histogram before, with the sum and counts that the next is coded from. */
struct decoder {
    struct mrd_reader reader;
    struct mrd_arena *arena;
    struct mrd_histogram_open open;
    const uint8_t *start;
    struct mrd_histogram last; /* no staleness marker */
    uint64_t *counters;        /* of it */
    uint64_t *deltas;
};

static enum mrd_status read_spans(struct decoder *decoder, struct mrd_histogram_side *side,
                                  struct mrd_error *err)
{
    struct mrd_reader *reader = &decoder->reader;
    const uint64_t count = mrd_read_varint(reader);
    if (count > MRD_HISTOGRAM_PARTS_MAX || count > mrd_reader_left(reader) / 2) {
        mrd_reader_fail(reader);
        return MRD_OK;
    }
    struct mrd_histogram_span *spans =
        mrd_arena_alloc_array(decoder->arena, count + 1, sizeof(*spans));
    if (spans == NULL) {
        return mrd_arena_fail(decoder->arena, err);
    }
    for (uint64_t i = 0; i < count; i++) {
        const int64_t offset = mrd_read_zigzag(reader);
        const uint64_t length = mrd_read_varint(reader);
        if (offset < INT32_MIN || offset > INT32_MAX || length > MRD_HISTOGRAM_PARTS_MAX) {
            mrd_reader_fail(reader);
            return MRD_OK;
        }
        spans[i] = (struct mrd_histogram_span){(int32_t)offset, (uint32_t)length};
        side->bucket_count += length;
    }
    side->spans = spans;
    side->span_count = count;
    return MRD_OK;
}

static enum mrd_status read_custom_values(struct decoder *decoder, struct mrd_histogram *out,
                                          struct mrd_error *err)
{
    struct mrd_reader *reader = &decoder->reader;
    const uint64_t count = mrd_read_varint(reader);
    if (count > mrd_reader_left(reader) / sizeof(double)) {
        mrd_reader_fail(reader);
        return MRD_OK;
    }
    const struct mrd_bytes bytes = mrd_read_bytes(reader, count * sizeof(double));
    const struct mrd_bytes copy = mrd_arena_copy(decoder->arena, bytes);
    if (copy.data == NULL) {
        return mrd_arena_fail(decoder->arena, err);
    }
    out->custom_values = (const double *)(const void *)copy.data; /* the arena aligns */
    out->custom_value_count = count;
    return MRD_OK;
}

static enum mrd_status read_layout(struct decoder *decoder, struct mrd_error *err)
{
    struct mrd_reader *reader = &decoder->reader;
    struct mrd_histogram histogram = {0};
    const uint8_t *start = reader->at;
    const uint8_t kind = mrd_read_u8(reader);
    const int64_t schema = mrd_read_zigzag(reader);
    histogram.is_float = kind == LAYOUT_FLOAT;
    histogram.schema = (int32_t)schema;
    histogram.zero_threshold = mrd_double_from_bits(mrd_read_u64(reader));
    MRD_TRY(read_spans(decoder, &histogram.positive, err));
    MRD_TRY(read_spans(decoder, &histogram.negative, err));
    MRD_TRY(read_custom_values(decoder, &histogram, err));
    const size_t count = mrd_histogram_counter_count(&histogram);
    if (reader->failed || kind > LAYOUT_FLOAT || schema != histogram.schema ||
        check_layout(&histogram, NULL) != MRD_OK || count > mrd_reader_left(reader) * 8) {
        mrd_reader_fail(reader);
        return MRD_OK;
    }
    decoder->counters = mrd_arena_alloc(decoder->arena, count * sizeof(uint64_t));
    decoder->deltas = mrd_arena_alloc(decoder->arena, count * sizeof(uint64_t));
    if (decoder->counters == NULL || decoder->deltas == NULL) {
        return mrd_arena_fail(decoder->arena, err);
    }
    decoder->last = histogram;
    decoder->open.layout_offset = (uint32_t)(start - decoder->start);
    decoder->open.layout_size = (uint32_t)(reader->at - start);
    decoder->open.counter_count = (uint32_t)count;
    return MRD_OK;
}

static void read_counters(struct mrd_bit_reader *bits, const struct decoder *decoder, bool second,
                          uint64_t *counters)
{
    const uint64_t *before = decoder->counters;
    uint64_t *deltas = decoder->deltas;
    const uint32_t count = decoder->open.counter_count;
    if (decoder->last.is_float) {
        for (uint32_t i = 0; i < count; i++) {
            counters[i] = before[i] ^ read_changed_bits(bits);
            deltas[i] = counters[i] - before[i];
        }
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        deltas[i] = read_integer(bits) + (second ? deltas[i] : 0);
        counters[i] = before[i] + deltas[i];
    }
}

/* Sets decoder->last to the next histogram of the present layout. */
static enum mrd_status read_counts(struct decoder *decoder, bool second, struct mrd_error *err)
{
    struct mrd_reader *reader = &decoder->reader;
    const uint32_t count = decoder->open.counter_count;
    if (count + 1 > mrd_reader_left(reader) * 8) {
        mrd_reader_fail(reader);
        return MRD_OK;
    }
    uint64_t *counters = mrd_arena_alloc_array(decoder->arena, count, sizeof(*counters));
    if (counters == NULL) {
        return mrd_arena_fail(decoder->arena, err);
    }
    struct mrd_bit_reader bits =
        mrd_bit_reader_of((struct mrd_bytes){reader->at, mrd_reader_left(reader)});
    decoder->open.last_sum_bits ^= read_changed_bits(&bits);
    read_counters(&bits, decoder, second, counters);
    const double sum = mrd_double_from_bits(decoder->open.last_sum_bits);
    if (bits.failed || mrd_is_stale(sum)) { /* a marker has a form of its own */
        mrd_reader_fail(reader);
        return MRD_OK;
    }
    (void)mrd_read_bytes(reader, (bits.at + 7) / 8);
    decoder->counters = counters;
    struct mrd_histogram *last = &decoder->last;
    const union mrd_histogram_count *items = (const union mrd_histogram_count *)counters;
    last->sum = sum;
    last->count = items[0];
    last->zero_count = items[1];
    last->positive.buckets = items + 2;
    last->negative.buckets = items + 2 + last->positive.bucket_count;
    return MRD_OK;
}

static void read_time(struct decoder *decoder)
{
    struct mrd_histogram_open *open = &decoder->open;
    const uint64_t step =
        (uint64_t)mrd_read_zigzag(&decoder->reader) + (uint64_t)open->last_delta_ms;
    const mrd_time_ms time_ms = (mrd_time_ms)((uint64_t)open->last_time_ms + step);
    if (open->count > 0 && time_ms <= open->last_time_ms) {
        mrd_reader_fail(&decoder->reader);
    }
    open->last_delta_ms = open->count == 0 ? 0 : (int64_t)step;
    open->last_time_ms = time_ms;
    open->count++;
}

/* After the time of the entry, whose predecessor's was previous_ms. 0: unknown. */
static mrd_time_ms read_start(struct decoder *decoder, uint8_t kind, mrd_time_ms previous_ms)
{
    struct mrd_histogram_open *open = &decoder->open;
    mrd_time_ms start_ms = open->last_start_ms;
    if (kind == START_UNKNOWN) {
        return 0;
    }
    if (kind == START_AT_PREVIOUS) {
        start_ms = previous_ms;
    } else if (kind == START_GIVEN) {
        start_ms = (mrd_time_ms)((uint64_t)open->last_time_ms -
                                 (uint64_t)mrd_read_zigzag(&decoder->reader));
    }
    open->last_start_ms = start_ms == 0 ? open->last_start_ms : start_ms;
    return start_ms;
}

static enum mrd_status read_entry(struct decoder *decoder, struct mrd_histogram *out,
                                  mrd_time_ms *out_start_ms, struct mrd_error *err)
{
    const uint8_t head = mrd_read_u8(&decoder->reader);
    const mrd_time_ms previous_ms = decoder->open.last_time_ms;
    read_time(decoder);
    *out_start_ms = read_start(decoder, head & ENTRY_START_MASK, previous_ms);
    const uint8_t flags = head & (uint8_t) ~(ENTRY_RESET_MASK | ENTRY_START_MASK);
    *out = (struct mrd_histogram){.sum = mrd_stale_nan()};
    if (decoder->reader.failed) {
        return MRD_OK;
    }
    if (flags != ENTRY_STALE) {
        if ((flags & ENTRY_LAYOUT) != 0) {
            MRD_TRY(read_layout(decoder, err));
        }
        if (decoder->reader.failed || decoder->open.layout_size == 0 ||
            (flags & ENTRY_STALE) != 0 ||
            ((flags & ENTRY_UNCHANGED) != 0 && flags != ENTRY_UNCHANGED)) {
            mrd_reader_fail(&decoder->reader);
            return MRD_OK;
        }
        if (flags == ENTRY_UNCHANGED) {
            memset(decoder->deltas, 0, decoder->open.counter_count * sizeof(*decoder->deltas));
        } else {
            MRD_TRY(read_counts(decoder, (flags & ENTRY_DELTA2) != 0, err));
        }
        *out = decoder->last;
    }
    out->reset = (enum mrd_histogram_reset)(head & ENTRY_RESET_MASK);
    return MRD_OK;
}

static struct decoder decoder_of(struct mrd_bytes bytes, struct mrd_arena *arena)
{
    return (struct decoder){.reader = mrd_reader_of(bytes), .arena = arena, .start = bytes.data};
}

enum mrd_status mrd_histogram_chunk_decode(struct mrd_bytes bytes, size_t count,
                                           struct mrd_arena *arena,
                                           struct mrd_histogram_arrays *out, struct mrd_error *err)
{
    struct decoder decoder = decoder_of(bytes, arena);
    if (count == 0 || count > MRD_CHUNK_SAMPLES_MAX || bytes.size > UINT32_MAX) {
        mrd_reader_fail(&decoder.reader);
    }
    for (size_t i = 0; i < count && !decoder.reader.failed; i++) {
        MRD_TRY(read_entry(&decoder, &out->items[i], &out->start_times_ms[i], err));
        out->times_ms[i] = decoder.open.last_time_ms;
        out->any_start |= out->start_times_ms[i] != 0;
    }
    if (decoder.reader.failed || mrd_reader_left(&decoder.reader) > 0) {
        return mrd_fail(err, MRD_E_CORRUPT, "chunk of %zu histograms: not well formed", count);
    }
    return MRD_OK;
}
