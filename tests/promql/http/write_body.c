#include "write_body.h"

#include <math.h>

#include "codec/snappy_block.h"

/* Field numbers and wire types of prometheus/prometheus prompb/io/prometheus/write/v2/types.proto. */
enum wire_type { VARINT = 0, FIXED64 = 1, BYTES = 2 };

enum {
    REQUEST_SYMBOLS = 4,
    REQUEST_SERIES = 5,
    SERIES_LABELS = 1,
    SERIES_SAMPLES = 2,
    SERIES_HISTOGRAMS = 3,
    SAMPLE_VALUE = 1,
    SAMPLE_TIME = 2,
    SAMPLE_START = 3,
    HISTOGRAM_COUNT_INT = 1,
    HISTOGRAM_COUNT_FLOAT = 2,
    HISTOGRAM_SUM = 3,
    HISTOGRAM_SCHEMA = 4,
    HISTOGRAM_ZERO_THRESHOLD = 5,
    HISTOGRAM_ZERO_COUNT_INT = 6,
    HISTOGRAM_ZERO_COUNT_FLOAT = 7,
    HISTOGRAM_NEGATIVE_SPANS = 8,
    HISTOGRAM_NEGATIVE_DELTAS = 9,
    HISTOGRAM_NEGATIVE_COUNTS = 10,
    HISTOGRAM_POSITIVE_SPANS = 11,
    HISTOGRAM_POSITIVE_DELTAS = 12,
    HISTOGRAM_POSITIVE_COUNTS = 13,
    HISTOGRAM_RESET_HINT = 14,
    HISTOGRAM_TIME = 15,
    HISTOGRAM_CUSTOM_VALUES = 16,
    HISTOGRAM_START = 17,
    SPAN_OFFSET = 1,
    SPAN_LENGTH = 2,
};

static void put_tag(struct mrd_buf *out, uint64_t field, enum wire_type type)
{
    mrd_buf_append_varint(out, field << 3 | type);
}

static void put_varint(struct mrd_buf *out, uint64_t field, uint64_t value)
{
    put_tag(out, field, VARINT);
    mrd_buf_append_varint(out, value);
}

static void put_double(struct mrd_buf *out, uint64_t field, double value)
{
    put_tag(out, field, FIXED64);
    mrd_buf_append_u64(out, mrd_double_bits(value));
}

static void put_bytes(struct mrd_buf *out, uint64_t field, struct mrd_bytes bytes)
{
    put_tag(out, field, BYTES);
    mrd_buf_append_varint(out, bytes.size);
    mrd_buf_append_bytes(out, bytes);
}

static void put_doubles(struct mrd_buf *out, uint64_t field, const double *values, size_t count)
{
    if (count == 0) {
        return;
    }
    put_tag(out, field, BYTES);
    mrd_buf_append_varint(out, count * sizeof(double));
    for (size_t i = 0; i < count; i++) {
        mrd_buf_append_u64(out, mrd_double_bits(values[i]));
    }
}

static void put_start(struct mrd_buf *out, uint64_t field, const struct script_value *value)
{
    if (value->start_ms != 0) {
        put_varint(out, field, (uint64_t)value->start_ms);
    }
}

/* A span for each run of consecutive indexes. */
static void put_spans(struct mrd_buf *out, uint64_t field, const struct mrd_float_buckets *buckets)
{
    int64_t next = 0;
    for (size_t i = 0; i < buckets->count;) {
        size_t length = 1;
        while (i + length < buckets->count &&
               buckets->indexes[i + length] == buckets->indexes[i] + (int32_t)length) {
            length++;
        }
        struct mrd_buf span = {0};
        put_varint(&span, SPAN_OFFSET, mrd_zigzag_encode(buckets->indexes[i] - next));
        put_varint(&span, SPAN_LENGTH, length);
        put_bytes(out, field, mrd_buf_view(&span));
        mrd_buf_fini(&span);
        next = (int64_t)buckets->indexes[i] + (int64_t)length;
        i += length;
    }
}

static bool is_whole(double value) { return value >= 0 && value < 0x1p53 && floor(value) == value; }

/* Adds a side's counts to *sum; false if one is not whole. */
static bool side_is_whole(const struct mrd_float_buckets *side, double *sum)
{
    for (size_t i = 0; i < side->count; i++) {
        if (!is_whole(side->counts[i])) {
            return false;
        }
        *sum += side->counts[i];
    }
    return true;
}

/* Receivers refuse integer histograms whose buckets do not add up to the count. */
static bool can_be_integer(const struct mrd_float_histogram *histogram)
{
    double sum = histogram->zero_count;
    return is_whole(histogram->count) && is_whole(histogram->zero_count) &&
           side_is_whole(&histogram->positive, &sum) && side_is_whole(&histogram->negative, &sum) &&
           sum == histogram->count && !isnan(histogram->sum);
}

static bool all_can_be_integers(const struct script_value *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (values[i].histogram != NULL && !can_be_integer(values[i].histogram)) {
            return false;
        }
    }
    return true;
}

static void put_deltas(struct mrd_buf *out, uint64_t field, const struct mrd_float_buckets *side)
{
    struct mrd_buf deltas = {0};
    int64_t before = 0;
    for (size_t i = 0; i < side->count; i++) {
        mrd_buf_append_zigzag(&deltas, (int64_t)side->counts[i] - before);
        before = (int64_t)side->counts[i];
    }
    put_bytes(out, field, mrd_buf_view(&deltas));
    mrd_buf_fini(&deltas);
}

static void put_integer_counts(struct mrd_buf *out, const struct mrd_float_histogram *histogram)
{
    put_varint(out, HISTOGRAM_COUNT_INT, (uint64_t)histogram->count);
    put_varint(out, HISTOGRAM_ZERO_COUNT_INT, (uint64_t)histogram->zero_count);
    put_deltas(out, HISTOGRAM_NEGATIVE_DELTAS, &histogram->negative);
    put_deltas(out, HISTOGRAM_POSITIVE_DELTAS, &histogram->positive);
}

static void put_float_counts(struct mrd_buf *out, const struct mrd_float_histogram *histogram)
{
    put_double(out, HISTOGRAM_COUNT_FLOAT, histogram->count);
    put_double(out, HISTOGRAM_ZERO_COUNT_FLOAT, histogram->zero_count);
    put_doubles(out, HISTOGRAM_NEGATIVE_COUNTS, histogram->negative.counts,
                histogram->negative.count);
    put_doubles(out, HISTOGRAM_POSITIVE_COUNTS, histogram->positive.counts,
                histogram->positive.count);
}

/* Of a value that is a histogram. */
static void put_histogram(struct mrd_buf *series, const struct script_value *value, bool integer,
                          mrd_time_ms time_ms)
{
    const struct mrd_float_histogram *histogram = value->histogram;
    struct mrd_buf out = {0};
    if (integer) {
        put_integer_counts(&out, histogram);
    } else {
        put_float_counts(&out, histogram);
    }
    put_double(&out, HISTOGRAM_SUM, histogram->sum);
    put_varint(&out, HISTOGRAM_SCHEMA, mrd_zigzag_encode(histogram->schema));
    put_double(&out, HISTOGRAM_ZERO_THRESHOLD, histogram->zero_threshold);
    put_spans(&out, HISTOGRAM_NEGATIVE_SPANS, &histogram->negative);
    put_spans(&out, HISTOGRAM_POSITIVE_SPANS, &histogram->positive);
    put_varint(&out, HISTOGRAM_RESET_HINT, (uint64_t)histogram->reset);
    put_varint(&out, HISTOGRAM_TIME, (uint64_t)time_ms);
    put_doubles(&out, HISTOGRAM_CUSTOM_VALUES, histogram->custom_values,
                histogram->custom_value_count);
    put_start(&out, HISTOGRAM_START, value);
    put_bytes(series, SERIES_HISTOGRAMS, mrd_buf_view(&out));
    mrd_buf_fini(&out);
}

static void put_sample(struct mrd_buf *series, const struct script_value *value,
                       mrd_time_ms time_ms)
{
    struct mrd_buf out = {0};
    put_double(&out, SAMPLE_VALUE, value->value);
    put_varint(&out, SAMPLE_TIME, (uint64_t)time_ms);
    put_start(&out, SAMPLE_START, value);
    put_bytes(series, SERIES_SAMPLES, mrd_buf_view(&out));
    mrd_buf_fini(&out);
}

static void put_symbol(struct write_body *body, struct mrd_bytes text, struct mrd_buf *references)
{
    put_bytes(&body->symbols, REQUEST_SYMBOLS, text);
    mrd_buf_append_varint(references, body->symbol_count++);
}

/* The values of one kind as an entry of their own, since one entry must not have both; how many there are. */
static size_t add_kind(struct write_body *body, struct mrd_labels labels,
                       const struct script_value *values, size_t count, mrd_time_ms step_ms,
                       bool histograms)
{
    const bool integers = all_can_be_integers(values, count);
    struct mrd_buf references = {0};
    struct mrd_buf points = {0};
    size_t added = 0;
    for (size_t i = 0; i < count; i++) {
        const mrd_time_ms time_ms = (mrd_time_ms)i * step_ms;
        if (values[i].omitted || (values[i].histogram != NULL) != histograms) {
            continue;
        }
        if (histograms) {
            put_histogram(&points, &values[i], integers, time_ms);
        } else {
            put_sample(&points, &values[i], time_ms);
        }
        added++;
    }
    if (added > 0) { /* a series of nothing is refused, and is nothing */
        struct mrd_buf series = {0};
        for (size_t i = 0; i < labels.count; i++) {
            put_symbol(body, labels.items[i].name, &references);
            put_symbol(body, labels.items[i].value, &references);
        }
        put_bytes(&series, SERIES_LABELS, mrd_buf_view(&references));
        mrd_buf_append_bytes(&series, mrd_buf_view(&points));
        put_bytes(&body->series, REQUEST_SERIES, mrd_buf_view(&series));
        mrd_buf_fini(&series);
    }
    mrd_buf_fini(&references);
    mrd_buf_fini(&points);
    return added;
}

bool write_body_has(const struct write_body *body, struct mrd_labels labels)
{
    struct mrd_buf name = {0};
    mrd_labels_encode(labels, &name);
    mrd_buf_append_u8(&name, 0);
    const bool has = body->names.size > 0 &&
                     memmem(body->names.data, body->names.size, name.data, name.size) != NULL;
    mrd_buf_fini(&name);
    return has;
}

void write_body_add(struct write_body *body, struct mrd_labels labels,
                    const struct script_value *values, size_t count, mrd_time_ms step_ms)
{
    if (body->symbol_count == 0) { /* the first symbol is the empty text */
        put_bytes(&body->symbols, REQUEST_SYMBOLS, MRD_BYTES(""));
        body->symbol_count = 1;
    }
    mrd_labels_encode(labels, &body->names);
    mrd_buf_append_u8(&body->names, 0);
    body->floats += add_kind(body, labels, values, count, step_ms, false);
    body->histograms += add_kind(body, labels, values, count, step_ms, true);
}

void write_body_encode(const struct write_body *body, struct mrd_buf *out)
{
    struct mrd_buf message = {0};
    mrd_buf_append_bytes(&message, mrd_buf_view(&body->symbols));
    mrd_buf_append_bytes(&message, mrd_buf_view(&body->series));
    mrd_snappy_encode(mrd_buf_view(&message), out);
    mrd_buf_fini(&message);
}

void write_body_clear(struct write_body *body)
{
    mrd_buf_clear(&body->symbols);
    mrd_buf_clear(&body->series);
    mrd_buf_clear(&body->names);
    body->symbol_count = 0;
    body->floats = 0;
    body->histograms = 0;
}

void write_body_fini(struct write_body *body)
{
    mrd_buf_fini(&body->symbols);
    mrd_buf_fini(&body->series);
    mrd_buf_fini(&body->names);
}
