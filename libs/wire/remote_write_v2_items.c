/* Exemplars and metadata of remote write 2.0, which name symbols. */
#include "wire/remote_write_internal.h"
#include "wire/remote_write_v2.h"

enum {
    SERIES_METADATA = MRD_PB_TAG(5, MRD_PB_BYTES),
    EXEMPLAR_LABELS = MRD_PB_TAG(1, MRD_PB_BYTES),
    EXEMPLAR_LABEL = MRD_PB_TAG(1, MRD_PB_VARINT), /* not packed */
    EXEMPLAR_VALUE = MRD_PB_TAG(2, MRD_PB_FIXED64),
    EXEMPLAR_TIMESTAMP = MRD_PB_TAG(3, MRD_PB_VARINT),
    METADATA_TYPE = MRD_PB_TAG(1, MRD_PB_VARINT),
    METADATA_HELP = MRD_PB_TAG(3, MRD_PB_VARINT),
    METADATA_UNIT = MRD_PB_TAG(4, MRD_PB_VARINT),
};

static enum mrd_status exemplar_malformed(struct mrd_error *err)
{
    return mrd_fail(err, MRD_E_INVALID, "an exemplar is not a well-formed protobuf message");
}

/* References that are not one packed field come as more fields: read them into `room`, packed. */
static bool exemplar_references(struct mrd_bytes message, uint8_t *room, size_t room_size,
                                struct mrd_bytes *out)
{
    size_t size = 0;
    const uint8_t *at = message.data;
    const uint8_t *end = message.size == 0 ? at : at + message.size;
    struct mrd_pb_field field = {0};
    while (at != end) {
        if (!mrd_pb_field_read(&at, end, &field)) {
            return false;
        }
        if (field.tag == EXEMPLAR_LABELS && field.bytes.size > 0) {
            if (field.bytes.size > room_size - size) {
                return false;
            }
            memcpy(room + size, field.bytes.data, field.bytes.size);
            size += field.bytes.size;
        } else if (field.tag == EXEMPLAR_LABEL) {
            if (room_size - size < MRD_VARINT_SIZE_MAX) {
                return false;
            }
            size += mrd_varint_put(room + size, field.scalar);
        }
    }
    *out = (struct mrd_bytes){room, size};
    return true;
}

enum mrd_status mrd_rw2_exemplar_read(const struct mrd_rw2_walk *walk, struct mrd_bytes message,
                                      struct mrd_label *items, size_t *out_count,
                                      struct mrd_exemplar *out, struct mrd_error *err)
{
    enum { LABELS_MAX = 64 };
    uint8_t room[(2 * LABELS_MAX + 1) * MRD_VARINT_SIZE_MAX];
    struct mrd_bytes references;
    *out = (struct mrd_exemplar){.labels = MRD_BYTES("")};
    const uint8_t *at = message.data;
    const uint8_t *end = message.size == 0 ? at : at + message.size;
    struct mrd_pb_field field = {0};
    while (at != end) {
        if (!mrd_pb_field_read(&at, end, &field)) {
            return exemplar_malformed(err);
        }
        if (field.tag == EXEMPLAR_VALUE) {
            out->value = mrd_double_from_bits(field.scalar);
        } else if (field.tag == EXEMPLAR_TIMESTAMP) {
            out->time_ms = (mrd_time_ms)field.scalar;
        } else if (field.tag != EXEMPLAR_LABELS && field.tag != EXEMPLAR_LABEL &&
                   field.tag >> 3 <= 3) {
            return exemplar_malformed(err);
        }
    }
    if (!exemplar_references(message, room, sizeof(room), &references)) {
        return mrd_fail(err, MRD_E_INVALID, "labels of an exemplar: more than %d labels",
                        LABELS_MAX);
    }
    const enum mrd_status status =
        mrd_rw2_labels_of(walk, references, items, LABELS_MAX, out_count, err);
    return status == MRD_OK ? MRD_OK : mrd_fail_prefix(err, MRD_E_INVALID, "labels of an exemplar");
}

/* The symbol of the value of "__name__"; the references have been checked. */
static uint32_t name_of(const struct mrd_rw2_walk *walk, struct mrd_bytes labels)
{
    const uint8_t *at = labels.data;
    const uint8_t *end = labels.size == 0 ? at : at + labels.size;
    while (at != end) {
        uint64_t name;
        uint64_t value;
        if (!mrd_pb_varint(&at, end, &name) || !mrd_pb_varint(&at, end, &value)) {
            return 0;
        }
        if (name != 0 && name == walk->name_symbol) {
            return (uint32_t)value;
        }
    }
    return 0;
}

static bool metadata_message(struct mrd_bytes message, struct mrd_rw2_metadata *out)
{
    const uint8_t *at = message.data;
    const uint8_t *end = message.size == 0 ? at : at + message.size;
    struct mrd_pb_field field = {0};
    while (at != end) {
        if (!mrd_pb_field_read(&at, end, &field)) {
            return false;
        }
        if (field.tag == METADATA_TYPE) {
            out->type = mrd_rw_family_type(field.scalar);
        } else if (field.tag == METADATA_HELP) {
            out->help_symbol = (uint32_t)field.scalar;
        } else if (field.tag == METADATA_UNIT) {
            out->unit_symbol = (uint32_t)field.scalar;
        } else if (field.tag >> 3 <= 4 && field.tag >> 3 != 2) {
            return false;
        }
    }
    return true;
}

enum mrd_status mrd_rw2_metadata_read(const struct mrd_rw2_walk *walk,
                                      const struct mrd_rw_series *series,
                                      struct mrd_rw2_metadata *out, struct mrd_error *err)
{
    *out = (struct mrd_rw2_metadata){.name_symbol = name_of(walk, series->labels)};
    const struct mrd_bytes others = mrd_rw_series_others(series);
    const uint8_t *at = others.data;
    const uint8_t *end = others.size == 0 ? at : at + others.size;
    struct mrd_pb_field field = {0};
    while (at != end && mrd_pb_field_read(&at, end, &field)) {
        if (field.tag == SERIES_METADATA && !metadata_message(field.bytes, out)) {
            return mrd_fail(err, MRD_E_INVALID,
                            "the metadata of a series is not a well-formed protobuf message");
        }
    }
    struct mrd_bytes ignored;
    enum mrd_status status = mrd_rw2_symbol(walk, out->help_symbol, &ignored, err);
    if (status == MRD_OK) {
        status = mrd_rw2_symbol(walk, out->unit_symbol, &ignored, err);
    }
    return status == MRD_OK ? MRD_OK : mrd_fail_prefix(err, status, "metadata of a series");
}
