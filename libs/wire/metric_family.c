#include "wire/metric_family.h"

#include "wire/protobuf_write_internal.h"

void mrd_metric_label_append(struct mrd_bytes name, struct mrd_bytes value, struct mrd_buf *out)
{
    const size_t size = 1 + mrd_pb_varint_size(name.size) + name.size + 1 +
                        mrd_pb_varint_size(value.size) + value.size;
    mrd_pb_head_append(1, size, out);
    mrd_pb_bytes_append(1, name, out);
    mrd_pb_bytes_append(2, value, out);
}

void mrd_metric_value_append(mrd_time_ms time_ms, double value, struct mrd_buf *out)
{
    mrd_pb_head_append(5, 9, out);
    mrd_pb_double_append(1, value, out);
    mrd_pb_varint_append(6, (uint64_t)time_ms, out);
}

/* ---- histograms ---- */

static void span_append(unsigned field, int64_t offset, size_t length, struct mrd_buf *out)
{
    const uint64_t coded = mrd_zigzag_encode(offset);
    mrd_pb_head_append(field, 1 + mrd_pb_varint_size(coded) + 1 + mrd_pb_varint_size(length), out);
    mrd_pb_varint_append(1, coded, out);
    mrd_pb_varint_append(2, length, out);
}

/* Runs of consecutive indexes. */
static void spans_append(unsigned field, const struct mrd_float_buckets *side, struct mrd_buf *out)
{
    int64_t end = 0; /* after the last bucket of the run before */
    for (size_t at = 0; at < side->count;) {
        size_t next = at + 1;
        while (next < side->count &&
               (int64_t)side->indexes[next] == (int64_t)side->indexes[next - 1] + 1) {
            next++;
        }
        span_append(field, side->indexes[at] - end, next - at, out);
        end = (int64_t)side->indexes[next - 1] + 1;
        at = next;
    }
}

static void counts_append(unsigned field, const struct mrd_float_buckets *side, struct mrd_buf *out)
{
    for (size_t i = 0; i < side->count; i++) {
        mrd_pb_double_append(field, side->counts[i], out);
    }
}

static void native_append(const struct mrd_float_histogram *histogram, struct mrd_buf *out)
{
    mrd_pb_varint_append(5, mrd_zigzag_encode(histogram->schema), out);
    mrd_pb_double_append(6, histogram->zero_threshold, out);
    mrd_pb_double_append(8, histogram->zero_count, out);
    spans_append(9, &histogram->negative, out);
    counts_append(11, &histogram->negative, out);
    spans_append(12, &histogram->positive, out);
    counts_append(14, &histogram->positive, out);
}

static void classic_append(const struct mrd_float_histogram *histogram, struct mrd_buf *out)
{
    const struct mrd_float_buckets *buckets = &histogram->positive;
    double below = 0;
    for (size_t i = 0, at = 0; i < histogram->custom_value_count; i++) {
        if (at < buckets->count && (size_t)buckets->indexes[at] == i) {
            below += buckets->counts[at++];
        }
        mrd_pb_head_append(3, 18, out);
        mrd_pb_double_append(2, histogram->custom_values[i], out);
        mrd_pb_double_append(4, below, out);
    }
}

void mrd_metric_histogram_append(mrd_time_ms time_ms, const struct mrd_float_histogram *histogram,
                                 struct mrd_buf *out)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf fields;
    mrd_buf_init(&fields, out->limit);
    mrd_pb_double_append(2, histogram->sum, &fields);
    if (mrd_float_histogram_is_custom(histogram)) {
        classic_append(histogram, &fields);
    }
    mrd_pb_double_append(4, histogram->count, &fields);
    if (!mrd_float_histogram_is_custom(histogram)) {
        native_append(histogram, &fields);
    }
    out->failed |= fields.failed;
    mrd_pb_varint_append(6, (uint64_t)time_ms, out);
    mrd_pb_bytes_append(7, mrd_buf_view(&fields), out);
}

/* ---- families ---- */

void mrd_family_metric_append(struct mrd_bytes metric, struct mrd_buf *out)
{
    mrd_pb_bytes_append(4, metric, out);
}

void mrd_family_append(struct mrd_bytes name, enum mrd_exposed_type type, struct mrd_bytes metrics,
                       struct mrd_buf *out)
{
    const size_t head = 1 + mrd_pb_varint_size(name.size) + name.size + 2;
    mrd_buf_append_varint(out, head + metrics.size);
    mrd_pb_bytes_append(1, name, out);
    mrd_pb_varint_append(3, type, out);
    mrd_buf_append_bytes(out, metrics);
}
