#include "write_body.h"

#include "wire/snappy_block.h"

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
    HISTOGRAM_COUNT_FLOAT = 2,
    HISTOGRAM_SUM = 3,
    HISTOGRAM_SCHEMA = 4,
    HISTOGRAM_ZERO_THRESHOLD = 5,
    HISTOGRAM_ZERO_COUNT_FLOAT = 7,
    HISTOGRAM_NEGATIVE_SPANS = 8,
    HISTOGRAM_NEGATIVE_COUNTS = 10,
    HISTOGRAM_POSITIVE_SPANS = 11,
    HISTOGRAM_POSITIVE_COUNTS = 13,
    HISTOGRAM_RESET_HINT = 14,
    HISTOGRAM_TIME = 15,
    HISTOGRAM_CUSTOM_VALUES = 16,
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

static void put_histogram(struct mrd_buf *series, const struct mrd_float_histogram *histogram,
                          mrd_time_ms time_ms)
{
    struct mrd_buf out = {0};
    put_double(&out, HISTOGRAM_COUNT_FLOAT, histogram->count);
    put_double(&out, HISTOGRAM_SUM, histogram->sum);
    put_varint(&out, HISTOGRAM_SCHEMA, mrd_zigzag_encode(histogram->schema));
    put_double(&out, HISTOGRAM_ZERO_THRESHOLD, histogram->zero_threshold);
    put_double(&out, HISTOGRAM_ZERO_COUNT_FLOAT, histogram->zero_count);
    put_spans(&out, HISTOGRAM_NEGATIVE_SPANS, &histogram->negative);
    put_doubles(&out, HISTOGRAM_NEGATIVE_COUNTS, histogram->negative.counts,
                histogram->negative.count);
    put_spans(&out, HISTOGRAM_POSITIVE_SPANS, &histogram->positive);
    put_doubles(&out, HISTOGRAM_POSITIVE_COUNTS, histogram->positive.counts,
                histogram->positive.count);
    put_varint(&out, HISTOGRAM_RESET_HINT, (uint64_t)histogram->reset);
    put_varint(&out, HISTOGRAM_TIME, (uint64_t)time_ms);
    put_doubles(&out, HISTOGRAM_CUSTOM_VALUES, histogram->custom_values,
                histogram->custom_value_count);
    put_bytes(series, SERIES_HISTOGRAMS, mrd_buf_view(&out));
    mrd_buf_fini(&out);
}

static void put_sample(struct mrd_buf *series, double value, mrd_time_ms time_ms)
{
    struct mrd_buf out = {0};
    put_double(&out, SAMPLE_VALUE, value);
    put_varint(&out, SAMPLE_TIME, (uint64_t)time_ms);
    put_bytes(series, SERIES_SAMPLES, mrd_buf_view(&out));
    mrd_buf_fini(&out);
}

static void put_symbol(struct write_body *body, struct mrd_bytes text, struct mrd_buf *references)
{
    put_bytes(&body->symbols, REQUEST_SYMBOLS, text);
    mrd_buf_append_varint(references, body->symbol_count++);
}

void write_body_add(struct write_body *body, struct mrd_labels labels,
                    const struct script_value *values, size_t count, mrd_time_ms step_ms)
{
    struct mrd_buf references = {0};
    struct mrd_buf series = {0};
    if (body->symbol_count == 0) { /* the first symbol is the empty text */
        put_bytes(&body->symbols, REQUEST_SYMBOLS, MRD_BYTES(""));
        body->symbol_count = 1;
    }
    for (size_t i = 0; i < labels.count; i++) {
        put_symbol(body, labels.items[i].name, &references);
        put_symbol(body, labels.items[i].value, &references);
    }
    put_bytes(&series, SERIES_LABELS, mrd_buf_view(&references));
    const size_t before = body->points;
    for (size_t i = 0; i < count; i++) {
        const mrd_time_ms time_ms = (mrd_time_ms)i * step_ms;
        if (values[i].histogram != NULL) {
            put_histogram(&series, values[i].histogram, time_ms);
        } else if (!values[i].omitted) {
            put_sample(&series, values[i].value, time_ms);
        }
        body->points += values[i].histogram != NULL || !values[i].omitted;
    }
    if (body->points > before) { /* a series of nothing is refused, and is nothing */
        put_bytes(&body->series, REQUEST_SERIES, mrd_buf_view(&series));
    }
    mrd_buf_fini(&references);
    mrd_buf_fini(&series);
}

void write_body_take(struct write_body *body, struct mrd_buf *out)
{
    mrd_buf_append_bytes(&body->symbols, mrd_buf_view(&body->series));
    mrd_snappy_encode(mrd_buf_view(&body->symbols), out);
    mrd_buf_clear(&body->symbols);
    mrd_buf_clear(&body->series);
    body->symbol_count = 0;
    body->points = 0;
}

void write_body_fini(struct write_body *body)
{
    mrd_buf_fini(&body->symbols);
    mrd_buf_fini(&body->series);
}
