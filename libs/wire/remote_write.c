#include "wire/remote_write.h"

#include "wire/remote_write_internal.h"

#include <inttypes.h>

/* Tags of the messages, as bytes on the wire (prompb/types.proto, remote.proto). */
enum {
    REQUEST_TIMESERIES = MRD_PB_TAG(1, MRD_PB_BYTES),
    REQUEST_METADATA = MRD_PB_TAG(3, MRD_PB_BYTES),
    REQUEST_2_SYMBOLS = MRD_PB_TAG(4, MRD_PB_BYTES), /* what 2.0 has where 1.0 has nothing */
    REQUEST_2_TIMESERIES = MRD_PB_TAG(5, MRD_PB_BYTES),
    SERIES_LABELS = MRD_PB_TAG(1, MRD_PB_BYTES),
    SERIES_SAMPLES = MRD_PB_TAG(2, MRD_PB_BYTES),
    SERIES_EXEMPLARS = MRD_PB_TAG(3, MRD_PB_BYTES),
    SERIES_HISTOGRAMS = MRD_PB_TAG(4, MRD_PB_BYTES),
    LABEL_NAME = MRD_PB_TAG(1, MRD_PB_BYTES),
    LABEL_VALUE = MRD_PB_TAG(2, MRD_PB_BYTES),
};

/* ---- Label ---- */

bool mrd_rw_label_read(struct mrd_bytes bytes, struct mrd_label *out)
{
    const uint8_t *at = bytes.data;
    const uint8_t *end = at + bytes.size;
    *out = (struct mrd_label){MRD_BYTES(""), MRD_BYTES("")};
    struct mrd_pb_field field = {0};
    while (at != end) {
        if (mrd_unlikely(!mrd_pb_field_read(&at, end, &field))) {
            return false;
        }
        if (field.tag == LABEL_NAME) {
            out->name = field.bytes;
        } else if (field.tag == LABEL_VALUE) {
            out->value = field.bytes;
        } else if (field.tag >> 3 <= 2) {
            return false; /* a known field of another wire type */
        }
    }
    return true;
}

/* ---- Sample ---- */

static bool sample_read_slow(struct mrd_bytes bytes, struct mrd_sample *out)
{
    const uint8_t *at = bytes.data;
    const uint8_t *end = at + bytes.size;
    uint64_t value_bits = 0;
    uint64_t time = 0;
    struct mrd_pb_field field = {0};
    while (at != end) {
        if (!mrd_pb_field_read(&at, end, &field)) {
            return false;
        }
        if (field.tag == MRD_RW_SAMPLE_VALUE) {
            value_bits = field.scalar;
        } else if (field.tag == MRD_RW_SAMPLE_TIMESTAMP) {
            time = field.scalar;
        } else if (field.tag >> 3 <= 2) {
            return false;
        }
    }
    *out = (struct mrd_sample){(mrd_time_ms)time, mrd_double_from_bits(value_bits)};
    return true;
}

static inline bool sample_read(struct mrd_bytes bytes, struct mrd_sample *out)
{
    return mrd_likely(mrd_rw_sample_fast(bytes, out)) || sample_read_slow(bytes, out);
}

bool mrd_rw_samples_next(struct mrd_bytes *rest, struct mrd_sample *out)
{
    if (rest->size == 0) {
        return false;
    }
    const uint8_t *at = rest->data;
    const uint8_t *end = at + rest->size;
    struct mrd_pb_field field = {0};
    while (at != end && mrd_pb_field_read(&at, end, &field)) {
        if (field.tag == SERIES_SAMPLES) {
            *rest = (struct mrd_bytes){at, (size_t)(end - at)};
            return sample_read(field.bytes, out);
        }
    }
    *rest = MRD_BYTES_NONE;
    return false;
}

/* ---- TimeSeries ---- */

/* Brings the Label fields of an entry together; their sum is less than the entry. */
static bool labels_gather(struct mrd_bytes entry, struct mrd_arena *arena, struct mrd_bytes *out)
{
    uint8_t *place = mrd_arena_alloc_array(arena, entry.size, 1);
    if (place == NULL) {
        return false;
    }
    size_t size = 0;
    const uint8_t *at = entry.data;
    const uint8_t *end = at + entry.size;
    struct mrd_pb_field field = {0};
    while (at != end) {
        const uint8_t *start = at;
        const bool read = mrd_pb_field_read(&at, end, &field);
        mrd_assert(read); /* the entry has been walked */
        if (field.tag == SERIES_LABELS) {
            memcpy(place + size, start, (size_t)(at - start));
            size += (size_t)(at - start);
        }
    }
    *out = (struct mrd_bytes){place, size};
    return true;
}

/* What an entry's fields are until its end is reached. */
struct entry_state {
    const uint8_t *labels_start;
    const uint8_t *labels_end;
    bool scattered; /* labels do not follow each other */
};

static inline void entry_label(struct entry_state *state, const uint8_t *field_start,
                               struct mrd_bytes label)
{
    if (state->labels_start == NULL) {
        state->labels_start = field_start;
    } else if (mrd_unlikely(field_start != state->labels_end)) {
        state->scattered = true;
    }
    state->labels_end = label.data + label.size;
}

static inline bool entry_sample(struct mrd_rw_series *out, const uint8_t *field_start,
                                const uint8_t *entry_end, struct mrd_bytes bytes)
{
    struct mrd_sample sample;
    if (mrd_unlikely(!sample_read(bytes, &sample))) {
        return false;
    }
    if (out->sample_count++ == 0) {
        out->first = sample;
        out->samples = (struct mrd_bytes){field_start, (size_t)(entry_end - field_start)};
    }
    return true;
}

/* Fields that are neither labels nor samples. */
static bool entry_other(struct mrd_rw_series *out, const uint8_t **at, const uint8_t *end)
{
    struct mrd_pb_field field = {0};
    if (out->others_size == 0) {
        out->others_size = (uint32_t)(end - *at) & MRD_RW_OTHERS_SIZE_MASK;
    }
    if (!mrd_pb_field_read(at, end, &field)) {
        return false;
    }
    if (field.tag == SERIES_EXEMPLARS) {
        out->exemplar_count++;
    } else if (field.tag == SERIES_HISTOGRAMS) {
        out->histogram_count++;
    } else if (field.tag >> 3 <= 4) {
        return false;
    }
    return true;
}

/* On failure *at tells where. */
static inline bool entry_read(const uint8_t **at, const uint8_t *end, struct entry_state *state,
                              struct mrd_rw_series *out)
{
    struct mrd_bytes bytes;
    const uint8_t *p = *at;
    while (p != end) {
        const uint8_t *start = p;
        *at = start;
        if (mrd_likely(*p == SERIES_LABELS)) {
            p++;
            if (mrd_unlikely(!mrd_pb_bytes(&p, end, &bytes))) {
                return false;
            }
            entry_label(state, start, bytes);
        } else if (mrd_likely(*p == SERIES_SAMPLES)) {
            p++;
            if (mrd_unlikely(!mrd_pb_bytes(&p, end, &bytes) ||
                             !entry_sample(out, start, end, bytes))) {
                return false;
            }
        } else if (!entry_other(out, &p, end)) {
            return false;
        }
    }
    return true;
}

static enum mrd_status malformed(struct mrd_rw_walk *walk, const uint8_t *at, const char *what,
                                 struct mrd_error *err)
{
    mrd_reader_fail(&walk->reader);
    return mrd_fail(err, MRD_E_INVALID,
                    "the body is not a remote-write 1.0 message: malformed %s at byte %zu of the "
                    "decoded body",
                    what, (size_t)(at - walk->start));
}

static inline enum mrd_status series_read(struct mrd_rw_walk *walk, struct mrd_bytes entry,
                                          struct mrd_rw_series *out, struct mrd_error *err)
{
    struct entry_state state = {0};
    *out = (struct mrd_rw_series){
        .samples = {entry.data + entry.size, 0}
    };
    const uint8_t *at = entry.data;
    if (mrd_unlikely(!entry_read(&at, entry.data + entry.size, &state, out))) {
        return malformed(walk, at, "series", err);
    }
    if (mrd_likely(!state.scattered)) {
        out->labels =
            (struct mrd_bytes){state.labels_start, (size_t)(state.labels_end - state.labels_start)};
    } else if (walk->arena != NULL && !labels_gather(entry, walk->arena, &out->labels)) {
        return mrd_arena_fail(walk->arena, err);
    }
    walk->totals.series++;
    walk->totals.samples += out->sample_count;
    walk->totals.histograms += out->histogram_count;
    walk->totals.exemplars += out->exemplar_count;
    return MRD_OK;
}

/* ---- WriteRequest ---- */

void mrd_rw_walk_init(struct mrd_rw_walk *walk, struct mrd_bytes message, struct mrd_arena *arena)
{
    mrd_assert(message.size < MRD_RW_BODY_SIZE_MAX);
    *walk = (struct mrd_rw_walk){
        .reader = mrd_reader_of(message), .start = message.data, .arena = arena};
}

enum mrd_status mrd_rw_walk_next(struct mrd_rw_walk *walk, struct mrd_rw_series *out_series,
                                 size_t count_max, size_t *out_count, struct mrd_error *err)
{
    size_t count = 0;
    const uint8_t *end = walk->reader.end;
    while (count < count_max && walk->reader.at != end) {
        struct mrd_pb_field field = {0};
        const uint8_t *start = walk->reader.at;
        if (mrd_unlikely(!mrd_pb_field_read(&walk->reader.at, end, &field))) {
            return malformed(walk, start, "field", err);
        }
        if (mrd_likely(field.tag == REQUEST_TIMESERIES)) {
            MRD_TRY(series_read(walk, field.bytes, &out_series[count], err));
            count++;
        } else if (field.tag == REQUEST_METADATA) {
            if (walk->totals.metadata++ == 0) {
                walk->metadata = (struct mrd_bytes){start, (size_t)(end - start)};
            }
        } else if (field.tag >> 3 == 1 || field.tag >> 3 == 3) {
            return malformed(walk, start, "field", err);
        } else if (field.tag == REQUEST_2_SYMBOLS || field.tag == REQUEST_2_TIMESERIES) {
            mrd_reader_fail(
                &walk->reader); /* skipped as unknown it would be lost and acknowledged */
            return mrd_fail(err, MRD_E_INVALID,
                            "the body is a remote-write 2.0 message, but Content-Type says 1.0: "
                            "send application/x-protobuf;proto=io.prometheus.write.v2.Request");
        }
    }
    *out_count = count;
    return MRD_OK;
}

enum mrd_status mrd_rw_walk_rest(struct mrd_rw_walk *walk, struct mrd_rw_totals *out_totals,
                                 struct mrd_error *err)
{
    struct mrd_rw_walk rest = *walk;
    rest.arena = NULL;
    struct mrd_rw_series ignored[16];
    size_t count = 1;
    while (count > 0) {
        MRD_TRY(mrd_rw_walk_next(&rest, ignored, MRD_ARRAY_LEN(ignored), &count, err));
    }
    *out_totals = rest.totals;
    walk->metadata = rest.metadata;
    return MRD_OK;
}

enum mrd_status mrd_rw_labels_read(struct mrd_bytes labels, struct mrd_label *items,
                                   size_t *out_count, struct mrd_error *err)
{
    size_t count = 0;
    const uint8_t *at = labels.size == 0 ? NULL : labels.data;
    const uint8_t *end = labels.size == 0 ? NULL : at + labels.size;
    struct mrd_pb_field field = {0};
    while (at != end) {
        if (count == MRD_RW_LABELS_MAX) {
            return mrd_fail(err, MRD_E_LIMIT, "a series has more than %d labels",
                            MRD_RW_LABELS_MAX);
        }
        if (!mrd_pb_field_read(&at, end, &field) || field.tag != SERIES_LABELS ||
            !mrd_rw_label_read(field.bytes, &items[count])) {
            return mrd_fail(err, MRD_E_INVALID, "a label is not a well-formed protobuf message");
        }
        count++;
    }
    *out_count = count;
    return MRD_OK;
}
