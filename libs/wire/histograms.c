#include "wire/histograms_internal.h"

#include <stdlib.h>

#include "base/hash.h"
#include "wire/batch.h"
#include "wire/runs_internal.h"
#include "wire/values_internal.h"

enum {
    LAYOUT_FLOAT = 1,
    LAYOUT_SIZE_MIN = 1 + 1 + 8 + 1 + 1 + 1, /* of the bytes of a layout without spans and bounds */
    FIXED_COUNTS = 2,                        /* count and zero count, before the buckets */
    SLOTS_MIN = 64,
};

void mrd_u64_column_add(struct mrd_u64_column *column, uint64_t value)
{
    if (column->count == column->capacity) {
        column->capacity = MRD_MAX(column->capacity * 2, (size_t)256);
        column->items = reallocarray(column->items, column->capacity, sizeof(*column->items));
        mrd_assert(column->items != NULL);
    }
    column->items[column->count++] = value;
}

/* ---- writing ---- */

void mrd_histogram_columns_fini(struct mrd_histogram_columns *columns)
{
    mrd_buf_fini(&columns->layouts);
    mrd_buf_fini(&columns->layout);
    free(columns->slots);
    free(columns->layout_of.items);
    free(columns->resets.items);
    free(columns->sums.items);
    free(columns->integers.items);
    free(columns->reals.items);
    *columns = (struct mrd_histogram_columns){0};
}

void mrd_histogram_columns_clear(struct mrd_histogram_columns *columns)
{
    if (columns->layout_count > 0) {
        memset(columns->slots, 0, columns->slot_capacity * sizeof(*columns->slots));
    }
    mrd_buf_clear(&columns->layouts);
    columns->layout_count = 0;
    columns->layout_of.count = 0;
    columns->resets.count = 0;
    columns->sums.count = 0;
    columns->integers.count = 0;
    columns->reals.count = 0;
    columns->bucket_count = 0;
    columns->span_count = 0;
    columns->bound_count = 0;
}

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
    mrd_buf_clear(out);
    mrd_buf_append_u8(out, histogram->is_float ? LAYOUT_FLOAT : 0);
    mrd_buf_append_zigzag(out, histogram->schema);
    mrd_buf_append_u64(out, mrd_double_bits(histogram->zero_threshold));
    put_spans(out, &histogram->positive);
    put_spans(out, &histogram->negative);
    mrd_buf_append_varint(out, histogram->custom_value_count);
    for (size_t i = 0; i < histogram->custom_value_count; i++) {
        mrd_buf_append_u64(out, mrd_double_bits(histogram->custom_values[i]));
    }
}

static void slots_grow(struct mrd_histogram_columns *columns)
{
    const size_t capacity = MRD_MAX(columns->slot_capacity * 2, (size_t)SLOTS_MIN);
    struct mrd_layout_slot *slots = calloc(capacity, sizeof(*slots));
    mrd_assert(slots != NULL);
    for (size_t i = 0; i < columns->slot_capacity; i++) {
        size_t at = columns->slots[i].hash & (capacity - 1);
        while (columns->slots[i].size > 0 && slots[at].size > 0) {
            at = (at + 1) & (capacity - 1);
        }
        if (columns->slots[i].size > 0) {
            slots[at] = columns->slots[i];
        }
    }
    free(columns->slots);
    columns->slots = slots;
    columns->slot_capacity = capacity;
}

static uint32_t layout_add(struct mrd_histogram_columns *columns, size_t at, uint64_t hash,
                           const struct mrd_histogram *histogram)
{
    const struct mrd_bytes layout = mrd_buf_view(&columns->layout);
    columns->slots[at] = (struct mrd_layout_slot){.hash = hash,
                                                  .offset = columns->layouts.size,
                                                  .size = (uint32_t)layout.size,
                                                  .index = columns->layout_count};
    mrd_buf_append_bytes(&columns->layouts, layout);
    columns->span_count += histogram->positive.span_count + histogram->negative.span_count;
    columns->bound_count += histogram->custom_value_count;
    return columns->layout_count++;
}

/* The number of the histogram's layout, which is added if it is new. */
static uint32_t layout_of(struct mrd_histogram_columns *columns,
                          const struct mrd_histogram *histogram)
{
    if ((columns->layout_count + 1) * 2 > columns->slot_capacity) {
        slots_grow(columns);
    }
    put_layout(&columns->layout, histogram);
    const struct mrd_bytes layout = mrd_buf_view(&columns->layout);
    const uint64_t hash = mrd_hash64(layout, 0);
    const size_t mask = columns->slot_capacity - 1;
    size_t at = hash & mask;
    while (columns->slots[at].size > 0) {
        const struct mrd_layout_slot *slot = &columns->slots[at];
        const struct mrd_bytes known = {columns->layouts.data + slot->offset, slot->size};
        if (slot->hash == hash && mrd_bytes_equal(known, layout)) {
            return slot->index;
        }
        at = (at + 1) & mask;
    }
    return layout_add(columns, at, hash, histogram);
}

static void add_integers(struct mrd_u64_column *column, const struct mrd_histogram_side *side)
{
    uint64_t before = 0;
    for (size_t i = 0; i < side->bucket_count; i++) {
        const uint64_t count = side->buckets[i].integer;
        mrd_u64_column_add(column, mrd_zigzag_encode((int64_t)(count - before)));
        before = count;
    }
}

static void add_reals(struct mrd_u64_column *column, const struct mrd_histogram_side *side)
{
    for (size_t i = 0; i < side->bucket_count; i++) {
        mrd_u64_column_add(column, mrd_double_bits(side->buckets[i].real));
    }
}

void mrd_histogram_columns_add(struct mrd_histogram_columns *columns,
                               const struct mrd_histogram *histogram)
{
    mrd_u64_column_add(&columns->layout_of, layout_of(columns, histogram));
    mrd_u64_column_add(&columns->resets, histogram->reset);
    mrd_u64_column_add(&columns->sums, mrd_double_bits(histogram->sum));
    if (histogram->is_float) {
        mrd_u64_column_add(&columns->reals, mrd_double_bits(histogram->count.real));
        mrd_u64_column_add(&columns->reals, mrd_double_bits(histogram->zero_count.real));
        add_reals(&columns->reals, &histogram->positive);
        add_reals(&columns->reals, &histogram->negative);
    } else {
        mrd_u64_column_add(&columns->integers, histogram->count.integer);
        mrd_u64_column_add(&columns->integers, histogram->zero_count.integer);
        add_integers(&columns->integers, &histogram->positive);
        add_integers(&columns->integers, &histogram->negative);
    }
    columns->bucket_count += histogram->positive.bucket_count + histogram->negative.bucket_count;
}

size_t mrd_histogram_columns_size(const struct mrd_histogram_columns *columns)
{
    const size_t fixed = 12; /* layout, reset and sum */
    const size_t integer_size = 3;
    return columns->layouts.size + columns->sums.count * fixed +
           columns->integers.count * integer_size + columns->reals.count * sizeof(double);
}

size_t mrd_histogram_columns_size_max(const struct mrd_histogram_columns *columns)
{
    return columns->layouts.size + 2 * mrd_runs_size_max(columns->sums.count) +
           mrd_values_size_max(columns->sums.count) + mrd_runs_size_max(columns->integers.count) +
           mrd_values_size_max(columns->reals.count) + 3 * MRD_VARINT_SIZE_MAX;
}

void mrd_doubles_write(struct mrd_buf *out, const struct mrd_u64_column *column)
{
    struct mrd_buf values = {0};
    double *doubles = malloc(MRD_MAX(column->count, (size_t)1) * sizeof(*doubles));
    mrd_assert(doubles != NULL);
    if (column->count > 0) {
        memcpy(doubles, column->items, column->count * sizeof(*doubles));
        mrd_values_write(&values, doubles, column->count);
    }
    mrd_buf_append_varint(out, values.size);
    mrd_buf_append_bytes(out, mrd_buf_view(&values));
    mrd_buf_fini(&values);
    free(doubles);
}

void mrd_histogram_columns_write(const struct mrd_histogram_columns *columns, struct mrd_buf *out)
{
    const size_t count = mrd_histogram_columns_count(columns);
    mrd_assert(columns->bucket_count <= MRD_BATCH_BUCKET_COUNT_MAX);
    mrd_assert(columns->span_count <= MRD_BATCH_BUCKET_COUNT_MAX);
    mrd_assert(columns->bound_count <= MRD_BATCH_BUCKET_COUNT_MAX);
    mrd_buf_append_varint(out, columns->layout_count);
    mrd_buf_append_bytes(out, mrd_buf_view(&columns->layouts));
    mrd_runs_write(out, columns->layout_of.items, count);
    mrd_runs_write(out, columns->resets.items, count);
    mrd_doubles_write(out, &columns->sums);
    if (columns->integers.count > 0) {
        mrd_runs_write(out, columns->integers.items, columns->integers.count);
    }
    mrd_doubles_write(out, &columns->reals);
}

/* ---- reading ---- */

/* What the layouts of a column have left of the format's bounds. */
struct room {
    uint64_t spans;
    uint64_t bounds;
};

struct reading {
    struct mrd_reader bytes;
    struct mrd_arena *arena;
    struct room room;
    struct mrd_histogram *layouts; /* their counts are empty */
    size_t layout_count;
    struct mrd_histogram *items;
    size_t count;
};

static void *take(struct reading *reading, size_t count, size_t item_size)
{
    void *place = mrd_arena_alloc_array(reading->arena, MRD_MAX(count, (size_t)1), item_size);
    mrd_assert(place != NULL); /* the limit is above what the bounds allow */
    return place;
}

static bool spans_read(struct reading *reading, struct mrd_histogram_side *out)
{
    struct mrd_reader *bytes = &reading->bytes;
    const uint64_t count = mrd_read_varint(bytes);
    if (bytes->failed || count > mrd_reader_left(bytes) / 2 || count > reading->room.spans) {
        return false;
    }
    reading->room.spans -= count;
    struct mrd_histogram_span *spans = take(reading, (size_t)count, sizeof(*spans));
    uint64_t buckets = 0;
    for (size_t i = 0; i < count; i++) {
        const int64_t offset = mrd_read_zigzag(bytes);
        const uint64_t length = mrd_read_varint(bytes);
        if (offset < INT32_MIN || offset > INT32_MAX || length > MRD_BATCH_BUCKET_COUNT_MAX) {
            return false;
        }
        spans[i] = (struct mrd_histogram_span){(int32_t)offset, (uint32_t)length};
        buckets += length;
    }
    if (bytes->failed || buckets > MRD_BATCH_BUCKET_COUNT_MAX) {
        return false;
    }
    *out = (struct mrd_histogram_side){
        .spans = spans, .span_count = (size_t)count, .bucket_count = (size_t)buckets};
    return true;
}

static bool bounds_read(struct reading *reading, struct mrd_histogram *out)
{
    struct mrd_reader *bytes = &reading->bytes;
    const uint64_t count = mrd_read_varint(bytes);
    if (bytes->failed || count > mrd_reader_left(bytes) / sizeof(double) ||
        count > reading->room.bounds) {
        return false;
    }
    reading->room.bounds -= count;
    double *bounds = take(reading, (size_t)count, sizeof(*bounds));
    const struct mrd_bytes raw = mrd_read_bytes(bytes, count * sizeof(double));
    if (count > 0) {
        memcpy(bounds, raw.data, raw.size);
    }
    out->custom_values = bounds;
    out->custom_value_count = (size_t)count;
    return true;
}

static bool layout_read(struct reading *reading, struct mrd_histogram *out)
{
    struct mrd_reader *bytes = &reading->bytes;
    const uint8_t flags = mrd_read_u8(bytes);
    const int64_t schema = mrd_read_zigzag(bytes);
    const bool custom = schema == MRD_HISTOGRAM_SCHEMA_CUSTOM;
    *out = (struct mrd_histogram){
        .is_float = (flags & LAYOUT_FLOAT) != 0,
        .schema = (int32_t)schema,
        .zero_threshold = mrd_double_from_bits(mrd_read_u64(bytes)),
    };
    return !bytes->failed && flags <= LAYOUT_FLOAT &&
           (custom || (schema >= MRD_HISTOGRAM_SCHEMA_MIN && schema <= MRD_HISTOGRAM_SCHEMA_MAX)) &&
           spans_read(reading, &out->positive) && spans_read(reading, &out->negative) &&
           bounds_read(reading, out) && (custom || out->custom_value_count == 0);
}

static bool layouts_read(struct reading *reading)
{
    const uint64_t count = mrd_read_varint(&reading->bytes);
    if (reading->bytes.failed || count == 0 || count > reading->count ||
        count > mrd_reader_left(&reading->bytes) / LAYOUT_SIZE_MIN) {
        return false;
    }
    reading->layouts = take(reading, (size_t)count, sizeof(*reading->layouts));
    reading->layout_count = (size_t)count;
    for (size_t i = 0; i < count; i++) {
        if (!layout_read(reading, &reading->layouts[i])) {
            return false;
        }
    }
    return true;
}

/* Layouts and reset hints of all histograms. */
static bool shapes_read(struct reading *reading, uint64_t *numbers)
{
    if (!mrd_runs_read(&reading->bytes, numbers, reading->count)) {
        return false;
    }
    uint64_t buckets = 0;
    for (size_t i = 0; i < reading->count; i++) {
        if (numbers[i] >= reading->layout_count) {
            return false;
        }
        reading->items[i] = reading->layouts[numbers[i]];
        buckets +=
            reading->items[i].positive.bucket_count + reading->items[i].negative.bucket_count;
        if (buckets > MRD_BATCH_BUCKET_COUNT_MAX) {
            return false;
        }
    }
    if (!mrd_runs_read(&reading->bytes, numbers, reading->count)) {
        return false;
    }
    for (size_t i = 0; i < reading->count; i++) {
        if (numbers[i] > MRD_HISTOGRAM_GAUGE) {
            return false;
        }
        reading->items[i].reset = (enum mrd_histogram_reset)numbers[i];
    }
    return true;
}

static bool doubles_read(struct reading *reading, double *out, size_t count)
{
    const struct mrd_bytes bytes =
        mrd_read_bytes(&reading->bytes, mrd_read_varint(&reading->bytes));
    return !reading->bytes.failed &&
           (count == 0 ? bytes.size == 0 : mrd_values_read(bytes, out, count));
}

static bool sums_read(struct reading *reading)
{
    double *sums = take(reading, reading->count, sizeof(*sums));
    if (!doubles_read(reading, sums, reading->count)) {
        return false;
    }
    for (size_t i = 0; i < reading->count; i++) {
        reading->items[i].sum = sums[i];
    }
    return true;
}

static size_t counts_of(const struct reading *reading, bool is_float)
{
    size_t count = 0;
    for (size_t i = 0; i < reading->count; i++) {
        const struct mrd_histogram *item = &reading->items[i];
        if (item->is_float == is_float) {
            count += FIXED_COUNTS + item->positive.bucket_count + item->negative.bucket_count;
        }
    }
    return count;
}

static void undo_differences(union mrd_histogram_count *counts, size_t count)
{
    uint64_t last = 0;
    for (size_t i = 0; i < count; i++) {
        last += (uint64_t)mrd_zigzag_decode(counts[i].integer);
        counts[i].integer = last;
    }
}

/* Gives every histogram of one kind its part of the counts. */
static void counts_share(struct reading *reading, bool is_float, union mrd_histogram_count *counts)
{
    for (size_t i = 0; i < reading->count; i++) {
        struct mrd_histogram *item = &reading->items[i];
        if (item->is_float != is_float) {
            continue;
        }
        item->count = counts[0];
        item->zero_count = counts[1];
        union mrd_histogram_count *positive = counts + FIXED_COUNTS;
        union mrd_histogram_count *negative = positive + item->positive.bucket_count;
        if (!is_float) {
            undo_differences(positive, item->positive.bucket_count);
            undo_differences(negative, item->negative.bucket_count);
        }
        item->positive.buckets = positive;
        item->negative.buckets = negative;
        counts = negative + item->negative.bucket_count;
    }
}

static bool counts_read(struct reading *reading)
{
    const size_t integer_count = counts_of(reading, false);
    const size_t real_count = counts_of(reading, true);
    uint64_t *integers = take(reading, integer_count, sizeof(*integers));
    double *reals = take(reading, real_count, sizeof(*reals));
    if (!mrd_runs_read(&reading->bytes, integers, integer_count) ||
        !doubles_read(reading, reals, real_count)) {
        return false;
    }
    counts_share(reading, false, (union mrd_histogram_count *)integers);
    counts_share(reading, true, (union mrd_histogram_count *)reals);
    return mrd_reader_left(&reading->bytes) == 0;
}

bool mrd_histogram_columns_read(struct mrd_bytes bytes, size_t count, struct mrd_arena *arena,
                                const struct mrd_histogram **out)
{
    struct reading reading = {
        .bytes = mrd_reader_of(bytes),
        .arena = arena,
        .room = {MRD_BATCH_BUCKET_COUNT_MAX, MRD_BATCH_BUCKET_COUNT_MAX},
        .count = count,
    };
    reading.items = take(&reading, count, sizeof(*reading.items));
    uint64_t *numbers = take(&reading, count, sizeof(*numbers));
    if (!layouts_read(&reading) || !shapes_read(&reading, numbers) || !sums_read(&reading) ||
        !counts_read(&reading)) {
        return false;
    }
    *out = reading.items;
    return true;
}
