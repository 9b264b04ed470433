#include "wire/histogram_message_internal.h"

#include "wire/protobuf_write_internal.h"

static void count_append(unsigned field, union mrd_histogram_count count, bool is_float,
                         struct mrd_buf *out)
{
    if (is_float) {
        mrd_pb_double_append(field + 1, count.real, out); /* the other member of the oneof */
    } else {
        mrd_pb_varint_append(field, count.integer, out);
    }
}

static void spans_append(unsigned field, const struct mrd_histogram_side *side, struct mrd_buf *out)
{
    for (size_t i = 0; i < side->span_count; i++) {
        const uint64_t offset = mrd_zigzag_encode(side->spans[i].offset);
        const uint32_t length = side->spans[i].length;
        const size_t offset_size = offset == 0 ? 0 : 1 + mrd_pb_varint_size(offset);
        mrd_pb_head_append(field, offset_size + 1 + mrd_pb_varint_size(length), out);
        if (offset_size > 0) {
            mrd_pb_varint_append(1, offset, out);
        }
        mrd_pb_varint_append(2, length, out);
    }
}

static uint64_t delta_at(const struct mrd_histogram_side *side, size_t index)
{
    const uint64_t before = index == 0 ? 0 : side->buckets[index - 1].integer;
    return mrd_zigzag_encode((int64_t)(side->buckets[index].integer - before));
}

static void deltas_append(unsigned field, const struct mrd_histogram_side *side,
                          struct mrd_buf *out)
{
    size_t size = 0;
    for (size_t i = 0; i < side->bucket_count; i++) {
        size += mrd_pb_varint_size(delta_at(side, i));
    }
    mrd_pb_head_append(field, size, out);
    for (size_t i = 0; i < side->bucket_count; i++) {
        mrd_buf_append_varint(out, delta_at(side, i));
    }
}

/* The side's three fields begin at `field`: spans, deltas of integers, doubles. */
static void side_append(unsigned field, const struct mrd_histogram_side *side, bool is_float,
                        struct mrd_buf *out)
{
    spans_append(field, side, out);
    if (side->bucket_count == 0) {
        return;
    }
    if (!is_float) {
        deltas_append(field + 1, side, out);
        return;
    }
    mrd_pb_head_append(field + 2, 8 * side->bucket_count, out);
    for (size_t i = 0; i < side->bucket_count; i++) {
        mrd_buf_append_u64(out, mrd_double_bits(side->buckets[i].real));
    }
}

static void fields_append(struct mrd_histogram_times times, const struct mrd_histogram *histogram,
                          struct mrd_buf *out)
{
    const bool is_float = histogram->is_float;
    count_append(1, histogram->count, is_float, out);
    mrd_pb_double_append(3, histogram->sum, out);
    mrd_pb_varint_append(4, mrd_zigzag_encode(histogram->schema), out);
    mrd_pb_double_append(5, histogram->zero_threshold, out);
    count_append(6, histogram->zero_count, is_float, out);
    side_append(8, &histogram->negative, is_float, out);
    side_append(11, &histogram->positive, is_float, out);
    mrd_pb_varint_append(14, histogram->reset, out);
    mrd_pb_varint_append(15, (uint64_t)times.time_ms, out);
    if (histogram->custom_value_count > 0) {
        mrd_pb_head_append(16, 8 * histogram->custom_value_count, out);
        for (size_t i = 0; i < histogram->custom_value_count; i++) {
            mrd_buf_append_u64(out, mrd_double_bits(histogram->custom_values[i]));
        }
    }
    if (times.start_ms != 0) {
        mrd_pb_varint_append(17, (uint64_t)times.start_ms, out);
    }
}

void mrd_histogram_message_append(unsigned field, struct mrd_histogram_times times,
                                  const struct mrd_histogram *histogram, struct mrd_buf *out)
{
    struct mrd_histogram plain = *histogram;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf fields;
    mrd_buf_init(&fields, out->limit);
    if (mrd_histogram_is_stale(histogram)) {
        plain = (struct mrd_histogram){.is_float = histogram->is_float, .sum = histogram->sum};
    }
    fields_append(times, &plain, &fields);
    out->failed |= fields.failed;
    mrd_pb_bytes_append(field, mrd_buf_view(&fields), out);
}
