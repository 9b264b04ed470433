#include "wire/remote_read_client.h"

#include <inttypes.h>

#include "base/hash.h"
#include "wire/protobuf_write_internal.h"

#define TAG(field, type) MRD_PB_TAG(field, MRD_PB_##type)

static enum mrd_status corrupt(const char *what, struct mrd_error *err)
{
    return mrd_fail(err, MRD_E_CORRUPT, "answer of remote read: %s", what);
}

/* ---- the request ---- */

static void matcher_append(const struct mrd_matcher *matcher, struct mrd_buf *out)
{
    static const uint8_t types[] = {
        [MRD_MATCH_EQ] = 0,
        [MRD_MATCH_NE] = 1,
        [MRD_MATCH_RE] = 2,
        [MRD_MATCH_NRE] = 3,
    };
    mrd_auto(mrd_buf_fini)
    struct mrd_buf fields = {0};
    mrd_pb_varint_append(1, types[matcher->type], &fields);
    mrd_pb_bytes_append(2, matcher->name, &fields);
    mrd_pb_bytes_append(3, matcher->value, &fields);
    mrd_pb_bytes_append(3, mrd_buf_view(&fields), out);
}

void mrd_read_request_append(const struct mrd_read_query *query, struct mrd_buf *out)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf fields = {0};
    mrd_pb_varint_append(1, (uint64_t)query->min_ms, &fields);
    mrd_pb_varint_append(2, (uint64_t)query->max_ms, &fields);
    for (size_t i = 0; i < query->matcher_count; i++) {
        matcher_append(&query->matchers[i], &fields);
    }
    mrd_pb_bytes_append(1, mrd_buf_view(&fields), out);
    mrd_pb_varint_append(2, MRD_READ_STREAMED, out);
}

/* ---- frames ---- */

/* The first frame of `bytes`: *out_size is 0 if it is not whole yet. */
static enum mrd_status frame_find(struct mrd_bytes bytes, struct mrd_bytes *out_message,
                                  size_t *out_size, struct mrd_error *err)
{
    struct mrd_reader reader = mrd_reader_of(bytes);
    const uint64_t size = mrd_read_varint(&reader);
    *out_size = 0;
    if (reader.failed) {
        return bytes.size < MRD_VARINT_SIZE_MAX ? MRD_OK : corrupt("the size of a frame", err);
    }
    if (size > MRD_READ_FRAME_BYTES_MAX) {
        return mrd_fail(err, MRD_E_LIMIT,
                        "answer of remote read: a frame of %" PRIu64 " bytes, at most %d are taken",
                        size, MRD_READ_FRAME_BYTES_MAX);
    }
    const uint32_t sum = __builtin_bswap32(mrd_read_u32(&reader));
    const struct mrd_bytes message = mrd_read_bytes(&reader, size);
    if (reader.failed) {
        return MRD_OK;
    }
    if (mrd_crc32c(0, message) != sum) {
        return corrupt("the checksum of a frame is wrong", err);
    }
    *out_message = message;
    *out_size = (size_t)(reader.at - bytes.data);
    return MRD_OK;
}

/* Visits the frames that `bytes` begins with; *out_taken is how much they are. */
static enum mrd_status frames_visit(struct mrd_bytes bytes, mrd_read_frame_visit *visit,
                                    void *context, size_t *out_taken, struct mrd_error *err)
{
    size_t taken = 0;
    for (;;) {
        struct mrd_bytes message = MRD_BYTES_NONE;
        size_t size = 0;
        if (taken < bytes.size) {
            const struct mrd_bytes rest = {bytes.data + taken, bytes.size - taken};
            MRD_TRY(frame_find(rest, &message, &size, err));
        }
        if (size == 0) {
            *out_taken = taken;
            return MRD_OK;
        }
        MRD_TRY(visit(context, message, err));
        taken += size;
    }
}

enum mrd_status mrd_read_frames_take(struct mrd_read_frames *frames, struct mrd_bytes bytes,
                                     mrd_read_frame_visit *visit, void *context,
                                     struct mrd_error *err)
{
    size_t taken = 0;
    mrd_buf_append_bytes(&frames->waiting, bytes);
    mrd_assert(!frames->waiting.failed);
    MRD_TRY(frames_visit(mrd_buf_view(&frames->waiting), visit, context, &taken, err));
    if (taken > 0) {
        const size_t left = frames->waiting.size - taken;
        memmove(frames->waiting.data, frames->waiting.data + taken, left);
        frames->waiting.size = left;
    }
    return MRD_OK;
}

enum mrd_status mrd_read_frames_end(const struct mrd_read_frames *frames, struct mrd_error *err)
{
    return frames->waiting.size == 0 ? MRD_OK : corrupt("it ends within a frame", err);
}

void mrd_read_frames_fini(struct mrd_read_frames *frames) { mrd_buf_fini(&frames->waiting); }

/* ---- the message of a frame ---- */

static bool label_decode(struct mrd_bytes message, struct mrd_label *out)
{
    const uint8_t *at = message.data;
    const uint8_t *end = at + message.size;
    struct mrd_pb_field field = {0};
    *out = (struct mrd_label){MRD_BYTES(""), MRD_BYTES("")};
    while (at != end) {
        if (!mrd_pb_field_read(&at, end, &field)) {
            return false;
        }
        if (field.tag == TAG(1, BYTES)) {
            out->name = field.bytes;
        } else if (field.tag == TAG(2, BYTES)) {
            out->value = field.bytes;
        }
    }
    return true;
}

static bool chunk_decode(struct mrd_bytes message, struct mrd_read_chunk *out)
{
    const uint8_t *at = message.data;
    const uint8_t *end = at + message.size;
    struct mrd_pb_field field = {0};
    *out = (struct mrd_read_chunk){.bytes = MRD_BYTES("")};
    while (at != end) {
        if (!mrd_pb_field_read(&at, end, &field)) {
            return false;
        }
        if (field.tag == TAG(1, VARINT)) {
            out->min_ms = (mrd_time_ms)field.scalar;
        } else if (field.tag == TAG(2, VARINT)) {
            out->max_ms = (mrd_time_ms)field.scalar;
        } else if (field.tag == TAG(3, VARINT)) {
            out->encoding = field.scalar > INT32_MAX ? 0 : (unsigned)field.scalar;
        } else if (field.tag == TAG(4, BYTES)) {
            out->bytes = field.bytes;
        }
    }
    return true;
}

struct series_room {
    struct mrd_label *labels;
    size_t label_count;
    struct mrd_read_chunk *chunks;
    size_t chunk_count;
};

static bool series_count(struct mrd_bytes message, struct series_room *out)
{
    const uint8_t *at = message.data;
    const uint8_t *end = at + message.size;
    struct mrd_pb_field field = {0};
    while (at != end) {
        if (!mrd_pb_field_read(&at, end, &field)) {
            return false;
        }
        out->label_count += field.tag == TAG(1, BYTES);
        out->chunk_count += field.tag == TAG(2, BYTES);
    }
    return true;
}

static bool series_fill(struct mrd_bytes message, struct series_room *out)
{
    const uint8_t *at = message.data;
    const uint8_t *end = at + message.size;
    struct mrd_pb_field field = {0};
    size_t labels = 0;
    size_t chunks = 0;
    while (at != end && mrd_pb_field_read(&at, end, &field)) {
        if (field.tag == TAG(1, BYTES) && !label_decode(field.bytes, &out->labels[labels++])) {
            return false;
        }
        if (field.tag == TAG(2, BYTES) && !chunk_decode(field.bytes, &out->chunks[chunks++])) {
            return false;
        }
    }
    return true;
}

static bool labels_are_set(const struct mrd_label *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (items[i].name.size == 0 || items[i].value.size == 0 ||
            (i > 0 && mrd_bytes_compare(items[i - 1].name, items[i].name) >= 0)) {
            return false;
        }
    }
    return true;
}

static enum mrd_status series_decode(struct mrd_bytes message, struct mrd_arena *arena,
                                     struct mrd_read_frame *out, struct mrd_error *err)
{
    struct series_room room = {0};
    if (!series_count(message, &room)) {
        return corrupt("malformed series", err);
    }
    room.labels = mrd_arena_alloc_array(arena, room.label_count + 1, sizeof(*room.labels));
    room.chunks = mrd_arena_alloc_array(arena, room.chunk_count + 1, sizeof(*room.chunks));
    if (room.labels == NULL || room.chunks == NULL) {
        return mrd_arena_fail(arena, err);
    }
    if (!series_fill(message, &room)) {
        return corrupt("malformed label or chunk", err);
    }
    if (!labels_are_set(room.labels, room.label_count)) {
        return corrupt("the labels of a series are not sorted, or one is empty", err);
    }
    out->labels = (struct mrd_labels){room.labels, room.label_count};
    out->chunks = room.chunks;
    out->chunk_count = room.chunk_count;
    return MRD_OK;
}

enum mrd_status mrd_read_frame_decode(struct mrd_bytes message, struct mrd_arena *arena,
                                      struct mrd_read_frame *out, struct mrd_error *err)
{
    const uint8_t *at = message.data;
    const uint8_t *end = at + message.size;
    struct mrd_pb_field field = {0};
    struct mrd_bytes series = MRD_BYTES("");
    size_t count = 0;
    while (at != end) {
        if (!mrd_pb_field_read(&at, end, &field)) {
            return corrupt("malformed frame", err);
        }
        if (field.tag == TAG(1, BYTES)) {
            series = field.bytes;
            count++;
        }
    }
    return count == 1 ? series_decode(series, arena, out, err)
                      : corrupt("a frame does not have one series", err);
}
