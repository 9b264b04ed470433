#include "wire/remote_write_items.h"

#include <inttypes.h>
#include <stdlib.h>

#include "wire/remote_write_internal.h"

/* Tags as on the wire (prompb/types.proto and prompb/io/prometheus/write/v2/types.proto). */
enum {
    REQUEST_METADATA = MRD_PB_TAG(3, MRD_PB_BYTES),
    SERIES_EXEMPLARS = MRD_PB_TAG(3, MRD_PB_BYTES),
    SERIES_HISTOGRAMS = MRD_PB_TAG(4, MRD_PB_BYTES),
    SERIES_HISTOGRAMS_2 = MRD_PB_TAG(3, MRD_PB_BYTES),
    SERIES_EXEMPLARS_2 = MRD_PB_TAG(4, MRD_PB_BYTES),

    EXEMPLAR_LABELS = MRD_PB_TAG(1, MRD_PB_BYTES),
    EXEMPLAR_VALUE = MRD_PB_TAG(2, MRD_PB_FIXED64),
    EXEMPLAR_TIMESTAMP = MRD_PB_TAG(3, MRD_PB_VARINT),

    METADATA_TYPE = MRD_PB_TAG(1, MRD_PB_VARINT),
    METADATA_FAMILY = MRD_PB_TAG(2, MRD_PB_BYTES),
    METADATA_HELP = MRD_PB_TAG(4, MRD_PB_BYTES),
    METADATA_UNIT = MRD_PB_TAG(5, MRD_PB_BYTES),

    HISTOGRAM_COUNT_INT = MRD_PB_TAG(1, MRD_PB_VARINT),
    HISTOGRAM_COUNT_FLOAT = MRD_PB_TAG(2, MRD_PB_FIXED64),
    HISTOGRAM_SUM = MRD_PB_TAG(3, MRD_PB_FIXED64),
    HISTOGRAM_SCHEMA = MRD_PB_TAG(4, MRD_PB_VARINT),
    HISTOGRAM_ZERO_THRESHOLD = MRD_PB_TAG(5, MRD_PB_FIXED64),
    HISTOGRAM_ZERO_COUNT_INT = MRD_PB_TAG(6, MRD_PB_VARINT),
    HISTOGRAM_ZERO_COUNT_FLOAT = MRD_PB_TAG(7, MRD_PB_FIXED64),
    HISTOGRAM_NEGATIVE_SPANS = 8, /* numbers of fields: these come in two types */
    HISTOGRAM_NEGATIVE_DELTAS = 9,
    HISTOGRAM_NEGATIVE_COUNTS = 10,
    HISTOGRAM_POSITIVE_SPANS = 11,
    HISTOGRAM_POSITIVE_DELTAS = 12,
    HISTOGRAM_POSITIVE_COUNTS = 13,
    HISTOGRAM_RESET_HINT = MRD_PB_TAG(14, MRD_PB_VARINT),
    HISTOGRAM_TIMESTAMP = MRD_PB_TAG(15, MRD_PB_VARINT),
    HISTOGRAM_CUSTOM_VALUES = 16,
    HISTOGRAM_START_TIMESTAMP = MRD_PB_TAG(17, MRD_PB_VARINT),
    HISTOGRAM_FIELDS = 17, /* the last that is known */

    SPAN_OFFSET = MRD_PB_TAG(1, MRD_PB_VARINT),
    SPAN_LENGTH = MRD_PB_TAG(2, MRD_PB_VARINT),
};

/* ---- one after the other ---- */

static bool next_of(struct mrd_bytes *rest, uint64_t tag, struct mrd_bytes *out)
{
    const uint8_t *at = rest->data;
    const uint8_t *end = rest->size == 0 ? at : at + rest->size;
    struct mrd_pb_field field = {0};
    while (at != end && mrd_pb_field_read(&at, end, &field)) {
        if (field.tag == tag) {
            *rest = (struct mrd_bytes){at, (size_t)(end - at)};
            *out = field.bytes;
            return true;
        }
    }
    *rest = MRD_BYTES_NONE;
    return false;
}

bool mrd_rw_histogram_next(enum mrd_rw_version version, struct mrd_bytes *rest,
                           struct mrd_bytes *out)
{
    return next_of(rest, version == MRD_RW_1 ? SERIES_HISTOGRAMS : SERIES_HISTOGRAMS_2, out);
}

bool mrd_rw_exemplar_next(enum mrd_rw_version version, struct mrd_bytes *rest,
                          struct mrd_bytes *out)
{
    return next_of(rest, version == MRD_RW_1 ? SERIES_EXEMPLARS : SERIES_EXEMPLARS_2, out);
}

/* ---- histograms ---- */

/* One side as sent: spans, differences, counts; what of it counts is known at the end. */
struct side_room {
    struct mrd_histogram_span spans[MRD_HISTOGRAM_PARTS_MAX];
    union mrd_histogram_count integers[MRD_HISTOGRAM_PARTS_MAX];
    union mrd_histogram_count reals[MRD_HISTOGRAM_PARTS_MAX];
    struct mrd_histogram_span coarse_spans[MRD_HISTOGRAM_PARTS_MAX];
    union mrd_histogram_count coarse_buckets[MRD_HISTOGRAM_PARTS_MAX];
    size_t span_count;
    size_t integer_count;
    size_t real_count;
};

struct mrd_rw_histogram_room {
    struct side_room positive;
    struct side_room negative;
    double custom_values[MRD_HISTOGRAM_PARTS_MAX];
    size_t custom_value_count;
};

struct mrd_rw_histogram_room *mrd_rw_histogram_room_create(void)
{
    struct mrd_rw_histogram_room *room = malloc(sizeof(*room));
    mrd_assert(room != NULL);
    return room;
}

void mrd_rw_histogram_room_destroy(struct mrd_rw_histogram_room **room)
{
    free(*room);
    *room = NULL;
}

/* What reading a histogram has come to so far. */
struct reading {
    struct mrd_rw_histogram_room *room;
    struct mrd_rw_histogram *out;
    bool zero_count_is_float;
    union mrd_histogram_count zero_count;
    const char *too_many; /* a part that has more than there is room for */
};

static bool add_span(struct reading *reading, struct side_room *side, struct mrd_bytes message)
{
    const uint8_t *at = message.data;
    const uint8_t *end = at + message.size;
    struct mrd_histogram_span span = {0};
    struct mrd_pb_field field = {0};
    while (at != end) {
        if (!mrd_pb_field_read(&at, end, &field)) {
            return false;
        }
        if (field.tag == SPAN_OFFSET) {
            span.offset = (int32_t)mrd_zigzag_decode((uint32_t)field.scalar);
        } else if (field.tag == SPAN_LENGTH) {
            span.length = (uint32_t)field.scalar;
        } else if (field.tag >> 3 <= 2) {
            return false;
        }
    }
    if (side->span_count == MRD_HISTOGRAM_PARTS_MAX) {
        reading->too_many = "spans";
        return true;
    }
    side->spans[side->span_count++] = span;
    return true;
}

/* A bucket of an integer histogram comes as the difference to the one before. */
static void add_delta(struct reading *reading, struct side_room *side, uint64_t number)
{
    if (side->integer_count == MRD_HISTOGRAM_PARTS_MAX) {
        reading->too_many = "buckets";
        return;
    }
    const uint64_t before =
        side->integer_count == 0 ? 0 : side->integers[side->integer_count - 1].integer;
    side->integers[side->integer_count++].integer = before + (uint64_t)mrd_zigzag_decode(number);
}

static bool add_deltas(struct reading *reading, struct side_room *side,
                       const struct mrd_pb_field *field)
{
    if ((field->tag & 7) == MRD_PB_VARINT) {
        add_delta(reading, side, field->scalar);
        return true;
    }
    if ((field->tag & 7) != MRD_PB_BYTES) {
        return false;
    }
    const uint8_t *at = field->bytes.data;
    const uint8_t *end = at + field->bytes.size;
    while (at != end) {
        uint64_t number;
        if (!mrd_pb_varint(&at, end, &number)) {
            return false;
        }
        add_delta(reading, side, number);
    }
    return true;
}

/* Doubles, packed or one at a time; false if malformed. */
static bool add_doubles(struct reading *reading, const struct mrd_pb_field *field, double *out,
                        size_t *count, const char *what)
{
    uint8_t scalar[8];
    struct mrd_bytes bytes = field->bytes;
    if ((field->tag & 7) == MRD_PB_FIXED64) {
        memcpy(scalar, &field->scalar, sizeof(scalar));
        bytes = (struct mrd_bytes){scalar, sizeof(scalar)};
    } else if ((field->tag & 7) != MRD_PB_BYTES || bytes.size % sizeof(double) != 0) {
        return false;
    }
    const size_t more = bytes.size / sizeof(double);
    if (more > MRD_HISTOGRAM_PARTS_MAX - *count) {
        reading->too_many = what;
        return true;
    }
    if (more > 0) {
        memcpy(out + *count, bytes.data, bytes.size);
    }
    *count += more;
    return true;
}

static bool repeated_field(struct reading *reading, const struct mrd_pb_field *field)
{
    struct mrd_rw_histogram_room *room = reading->room;
    struct side_room *positive = &room->positive;
    struct side_room *negative = &room->negative;
    switch (field->tag >> 3) {
    case HISTOGRAM_NEGATIVE_SPANS:
        return (field->tag & 7) == MRD_PB_BYTES && add_span(reading, negative, field->bytes);
    case HISTOGRAM_POSITIVE_SPANS:
        return (field->tag & 7) == MRD_PB_BYTES && add_span(reading, positive, field->bytes);
    case HISTOGRAM_NEGATIVE_DELTAS:
        return add_deltas(reading, negative, field);
    case HISTOGRAM_POSITIVE_DELTAS:
        return add_deltas(reading, positive, field);
    case HISTOGRAM_NEGATIVE_COUNTS:
        return add_doubles(reading, field, &negative->reals[0].real, &negative->real_count,
                           "buckets");
    case HISTOGRAM_POSITIVE_COUNTS:
        return add_doubles(reading, field, &positive->reals[0].real, &positive->real_count,
                           "buckets");
    case HISTOGRAM_CUSTOM_VALUES:
        return add_doubles(reading, field, room->custom_values, &room->custom_value_count,
                           "custom bounds");
    default:
        return field->tag >> 3 > HISTOGRAM_FIELDS; /* a known field of another wire type */
    }
}

static bool histogram_field(struct reading *reading, const struct mrd_pb_field *field)
{
    struct mrd_histogram *out = &reading->out->histogram;
    switch (field->tag) {
    case HISTOGRAM_COUNT_INT:
        out->is_float = false;
        out->count.integer = field->scalar;
        return true;
    case HISTOGRAM_COUNT_FLOAT:
        out->is_float = true;
        out->count.real = mrd_double_from_bits(field->scalar);
        return true;
    case HISTOGRAM_SUM:
        out->sum = mrd_double_from_bits(field->scalar);
        return true;
    case HISTOGRAM_SCHEMA:
        out->schema = (int32_t)mrd_zigzag_decode((uint32_t)field->scalar);
        return true;
    case HISTOGRAM_ZERO_THRESHOLD:
        out->zero_threshold = mrd_double_from_bits(field->scalar);
        return true;
    case HISTOGRAM_ZERO_COUNT_INT:
        reading->zero_count_is_float = false;
        reading->zero_count.integer = field->scalar;
        return true;
    case HISTOGRAM_ZERO_COUNT_FLOAT:
        reading->zero_count_is_float = true;
        reading->zero_count.real = mrd_double_from_bits(field->scalar);
        return true;
    case HISTOGRAM_RESET_HINT:
        out->reset = field->scalar <= MRD_HISTOGRAM_GAUGE ? (enum mrd_histogram_reset)field->scalar
                                                          : MRD_HISTOGRAM_RESET_UNKNOWN;
        return true;
    case HISTOGRAM_TIMESTAMP:
        reading->out->time_ms = (mrd_time_ms)field->scalar;
        return true;
    case HISTOGRAM_START_TIMESTAMP:
        reading->out->start_time_ms = (mrd_time_ms)field->scalar;
        return true;
    default:
        return repeated_field(reading, field);
    }
}

static struct mrd_histogram_side side_of(const struct side_room *room, bool is_float)
{
    return (struct mrd_histogram_side){
        .spans = room->spans,
        .buckets = is_float ? room->reals : room->integers,
        .span_count = room->span_count,
        .bucket_count = is_float ? room->real_count : room->integer_count,
    };
}

/* Counts of the other kind are as if they had not been sent: Prometheus reads them so. */
static void histogram_finish(struct reading *reading)
{
    struct mrd_histogram *out = &reading->out->histogram;
    if (out->is_float == reading->zero_count_is_float) {
        out->zero_count = reading->zero_count;
    } else {
        out->zero_count.integer = 0; /* the bits of 0.0 as well */
    }
    out->positive = side_of(&reading->room->positive, out->is_float);
    out->negative = side_of(&reading->room->negative, out->is_float);
    out->custom_values = reading->room->custom_values;
    out->custom_value_count = reading->room->custom_value_count;
}

/* A finer schema is checked as if it were the finest that is stored, and then becomes that. */
static enum mrd_status histogram_check(struct mrd_histogram *histogram,
                                       struct mrd_rw_histogram_room *room, struct mrd_error *err)
{
    if (histogram->schema <= MRD_HISTOGRAM_SCHEMA_MAX ||
        histogram->schema > MRD_HISTOGRAM_SCHEMA_FINER_MAX) {
        return mrd_histogram_check(histogram, err);
    }
    struct mrd_histogram as_stored = *histogram;
    as_stored.schema = MRD_HISTOGRAM_SCHEMA_MAX;
    MRD_TRY(mrd_histogram_check(&as_stored, err));
    const struct mrd_histogram_side_room positive = {room->positive.coarse_spans,
                                                     room->positive.coarse_buckets};
    const struct mrd_histogram_side_room negative = {room->negative.coarse_spans,
                                                     room->negative.coarse_buckets};
    mrd_histogram_coarsen(histogram, &positive, &negative);
    return MRD_OK;
}

static void side_clear(struct side_room *side)
{
    side->span_count = 0;
    side->integer_count = 0;
    side->real_count = 0;
}

enum mrd_status mrd_rw_histogram_read(struct mrd_bytes message, struct mrd_rw_histogram_room *room,
                                      struct mrd_rw_histogram *out, struct mrd_error *err)
{
    side_clear(&room->positive);
    side_clear(&room->negative);
    room->custom_value_count = 0;
    *out = (struct mrd_rw_histogram){0};
    struct reading reading = {.room = room, .out = out};
    const uint8_t *at = message.data;
    const uint8_t *end = at + message.size;
    struct mrd_pb_field field = {0};
    while (at != end) {
        if (!mrd_pb_field_read(&at, end, &field) || !histogram_field(&reading, &field)) {
            return mrd_fail(err, MRD_E_INVALID,
                            "a histogram is not a well-formed protobuf message");
        }
    }
    if (reading.too_many != NULL) {
        return mrd_fail(err, MRD_E_LIMIT, "the histogram has too many %s, at most %d can be stored",
                        reading.too_many, MRD_HISTOGRAM_PARTS_MAX);
    }
    histogram_finish(&reading);
    return histogram_check(&out->histogram, room, err);
}

/* ---- exemplars of 1.0 ---- */

enum mrd_status mrd_rw_exemplar_read(struct mrd_bytes message, struct mrd_label *items,
                                     size_t *out_count, struct mrd_exemplar *out,
                                     struct mrd_error *err)
{
    size_t count = 0;
    *out = (struct mrd_exemplar){.labels = MRD_BYTES("")};
    const uint8_t *at = message.data;
    const uint8_t *end = at + message.size;
    struct mrd_pb_field field = {0};
    while (at != end) {
        if (!mrd_pb_field_read(&at, end, &field)) {
            return mrd_fail(err, MRD_E_INVALID,
                            "an exemplar is not a well-formed protobuf message");
        }
        if (field.tag == EXEMPLAR_LABELS && count == MRD_RW_EXEMPLAR_LABELS_MAX) {
            return mrd_fail(err, MRD_E_INVALID, "an exemplar has more than %d labels",
                            MRD_RW_EXEMPLAR_LABELS_MAX);
        }
        if (field.tag == EXEMPLAR_VALUE) {
            out->value = mrd_double_from_bits(field.scalar);
        } else if (field.tag == EXEMPLAR_TIMESTAMP) {
            out->time_ms = (mrd_time_ms)field.scalar;
        } else if (field.tag == EXEMPLAR_LABELS ? !mrd_rw_label_read(field.bytes, &items[count++])
                                                : field.tag >> 3 <= 3) {
            return mrd_fail(err, MRD_E_INVALID,
                            "an exemplar is not a well-formed protobuf message");
        }
    }
    *out_count = count;
    return MRD_OK;
}

/* ---- metadata of 1.0 ---- */

static bool metadata_read(struct mrd_bytes message, struct mrd_metadata *out)
{
    const uint8_t *at = message.data;
    const uint8_t *end = at + message.size;
    struct mrd_pb_field field = {0};
    *out = (struct mrd_metadata){0};
    while (at != end) {
        if (!mrd_pb_field_read(&at, end, &field)) {
            return false;
        }
        if (field.tag == METADATA_TYPE) {
            out->type = mrd_rw_family_type(field.scalar);
        } else if (field.tag == METADATA_FAMILY) {
            out->family = field.bytes;
        } else if (field.tag == METADATA_HELP) {
            out->help = field.bytes;
        } else if (field.tag == METADATA_UNIT) {
            out->unit = field.bytes;
        } else if (field.tag >> 3 <= 5 && field.tag >> 3 != 3) {
            return false;
        }
    }
    return true;
}

bool mrd_rw_metadata_next(struct mrd_bytes *rest, struct mrd_metadata *out,
                          enum mrd_status *out_status, struct mrd_error *err)
{
    struct mrd_bytes message;
    if (!next_of(rest, REQUEST_METADATA, &message)) {
        return false;
    }
    *out_status = MRD_OK;
    if (!metadata_read(message, out)) {
        *out_status =
            mrd_fail(err, MRD_E_INVALID, "a metadata entry is not a well-formed protobuf message");
    } else if (out->family.size == 0) {
        *out_status = mrd_fail(err, MRD_E_INVALID, "a metadata entry names no metric family");
    }
    return true;
}
