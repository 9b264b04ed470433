#include "wire/remote_read.h"

#include "base/hash.h"
#include "wire/histogram_message_internal.h"
#include "wire/protobuf_write_internal.h"

#define TAG(field, type) MRD_PB_TAG(field, MRD_PB_##type)

static enum mrd_status malformed(const char *what, struct mrd_error *err)
{
    return mrd_fail(err, MRD_E_INVALID, "malformed %s: not a protobuf message of remote read",
                    what);
}

/* ---- requests ---- */

/* How many fields with that tag a message has; false if it is malformed. */
static bool count_fields(struct mrd_bytes message, uint64_t tag, size_t *out_count)
{
    const uint8_t *at = message.data;
    const uint8_t *end = at + message.size;
    struct mrd_pb_field field = {0};
    *out_count = 0;
    while (at != end) {
        if (!mrd_pb_field_read(&at, end, &field)) {
            return false;
        }
        *out_count += field.tag == tag;
    }
    return true;
}

static enum mrd_status matcher_decode(struct mrd_bytes message, struct mrd_matcher *out,
                                      struct mrd_error *err)
{
    static const enum mrd_match_type types[] = {MRD_MATCH_EQ, MRD_MATCH_NE, MRD_MATCH_RE,
                                                MRD_MATCH_NRE};
    const uint8_t *at = message.data;
    const uint8_t *end = at + message.size;
    struct mrd_pb_field field = {0};
    uint64_t type = 0;
    struct mrd_bytes name = MRD_BYTES("");
    struct mrd_bytes value = MRD_BYTES("");
    while (at != end) {
        if (!mrd_pb_field_read(&at, end, &field)) {
            return malformed("matcher", err);
        }
        if (field.tag == TAG(1, VARINT)) {
            type = field.scalar;
        } else if (field.tag == TAG(2, BYTES)) {
            name = field.bytes;
        } else if (field.tag == TAG(3, BYTES)) {
            value = field.bytes;
        }
    }
    if (type >= MRD_ARRAY_LEN(types)) {
        return mrd_fail(err, MRD_E_INVALID, "invalid matcher type");
    }
    if (!mrd_bytes_utf8_valid(name) || !mrd_bytes_utf8_valid(value)) {
        return mrd_fail(err, MRD_E_INVALID, "a matcher's name and value must be UTF-8");
    }
    return mrd_matcher_init(out, types[type], name, value, err);
}

static void query_fini(struct mrd_read_query *query)
{
    for (size_t i = 0; i < query->matcher_count; i++) {
        mrd_matcher_fini(&query->matchers[i]);
    }
    query->matcher_count = 0;
}

/* What is decoded so far is in *out, also after a failure. */
static enum mrd_status query_decode(struct mrd_bytes message, struct mrd_arena *arena,
                                    struct mrd_read_query *out, struct mrd_error *err)
{
    size_t count;
    if (!count_fields(message, TAG(3, BYTES), &count)) {
        return malformed("query", err);
    }
    if (count > MRD_READ_MATCHERS_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "a query has more than %d matchers",
                        MRD_READ_MATCHERS_MAX);
    }
    out->matchers = mrd_arena_alloc_array(arena, count + 1, sizeof(*out->matchers));
    if (out->matchers == NULL) {
        return mrd_arena_fail(arena, err);
    }
    const uint8_t *at = message.data;
    const uint8_t *end = at + message.size;
    struct mrd_pb_field field = {0};
    while (at != end && mrd_pb_field_read(&at, end, &field)) {
        if (field.tag == TAG(1, VARINT)) {
            out->min_ms = (mrd_time_ms)field.scalar;
        } else if (field.tag == TAG(2, VARINT)) {
            out->max_ms = (mrd_time_ms)field.scalar;
        } else if (field.tag == TAG(3, BYTES)) {
            MRD_TRY(matcher_decode(field.bytes, &out->matchers[out->matcher_count], err));
            out->matcher_count++;
        } /* hints (4) may be ignored */
    }
    return MRD_OK;
}

/* Takes the first kind that there is. */
static void kind_choose(uint64_t kind, bool *chosen, struct mrd_read_request *out)
{
    if (!*chosen && kind <= MRD_READ_STREAMED) {
        out->kind = (enum mrd_read_kind)kind;
        *chosen = true;
    }
}

/* The accepted kinds come one by one or packed. */
static enum mrd_status kinds_decode(const struct mrd_pb_field *field, bool *chosen,
                                    struct mrd_read_request *out, struct mrd_error *err)
{
    if (field->tag == TAG(2, VARINT)) {
        kind_choose(field->scalar, chosen, out);
        return MRD_OK;
    }
    const uint8_t *at = field->bytes.data;
    const uint8_t *end = at + field->bytes.size;
    while (at != end) {
        uint64_t kind;
        if (!mrd_pb_varint(&at, end, &kind)) {
            return malformed("list of response types", err);
        }
        kind_choose(kind, chosen, out);
    }
    return MRD_OK;
}

static enum mrd_status fields_decode(struct mrd_bytes bytes, struct mrd_arena *arena,
                                     struct mrd_read_request *out, struct mrd_error *err)
{
    const uint8_t *at = bytes.data;
    const uint8_t *end = at + bytes.size;
    struct mrd_pb_field field = {0};
    bool asked = false;
    bool chosen = false;
    while (at != end && mrd_pb_field_read(&at, end, &field)) {
        if (field.tag == TAG(1, BYTES)) {
            struct mrd_read_query *query = &out->queries[out->query_count++];
            *query = (struct mrd_read_query){0};
            MRD_TRY(query_decode(field.bytes, arena, query, err));
        } else if (field.tag == TAG(2, VARINT) || field.tag == TAG(2, BYTES)) {
            asked = true;
            MRD_TRY(kinds_decode(&field, &chosen, out, err));
        }
    }
    return !asked || chosen
               ? MRD_OK
               : mrd_fail(err, MRD_E_INVALID,
                          "server does not support any of the requested response types; supported: "
                          "SAMPLES, STREAMED_XOR_CHUNKS");
}

enum mrd_status mrd_read_request_decode(struct mrd_bytes bytes, struct mrd_arena *arena,
                                        struct mrd_read_request *out, struct mrd_error *err)
{
    size_t count;
    if (bytes.size == 0) {
        bytes = MRD_BYTES(""); /* the empty message, at an address to count from */
    }
    if (!count_fields(bytes, TAG(1, BYTES), &count)) {
        return malformed("request", err);
    }
    if (count > MRD_READ_QUERIES_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "more than %d queries", MRD_READ_QUERIES_MAX);
    }
    mrd_auto(mrd_read_request_fini)
    struct mrd_read_request request = {
        .queries = mrd_arena_alloc_array(arena, count + 1, sizeof(*request.queries))};
    if (request.queries == NULL) {
        return mrd_arena_fail(arena, err);
    }
    MRD_TRY(fields_decode(bytes, arena, &request, err));
    *out = request;
    request = (struct mrd_read_request){0};
    return MRD_OK;
}

void mrd_read_request_fini(struct mrd_read_request *request)
{
    for (size_t i = 0; i < request->query_count; i++) {
        query_fini(&request->queries[i]);
    }
    request->query_count = 0;
}

/* ---- answers ---- */

void mrd_read_head_append(unsigned field, size_t size, struct mrd_buf *out)
{
    mrd_pb_head_append(field, size, out);
}

size_t mrd_read_head_size(size_t size) { return 1 + mrd_pb_varint_size(size); }

static size_t bytes_size(struct mrd_bytes bytes)
{
    return mrd_read_head_size(bytes.size) + bytes.size;
}

void mrd_read_labels_append(struct mrd_labels labels, struct mrd_buf *out)
{
    for (size_t i = 0; i < labels.count; i++) {
        const struct mrd_label *label = &labels.items[i];
        mrd_read_head_append(1, bytes_size(label->name) + bytes_size(label->value), out);
        mrd_pb_bytes_append(1, label->name, out);
        mrd_pb_bytes_append(2, label->value, out);
    }
}

void mrd_read_sample_append(struct mrd_sample sample, struct mrd_buf *out)
{
    mrd_read_head_append(2, 1 + 8 + 1 + mrd_pb_varint_size((uint64_t)sample.time_ms), out);
    mrd_buf_append_u8(out, TAG(1, FIXED64));
    mrd_buf_append_u64(out, mrd_double_bits(sample.value));
    mrd_pb_varint_append(2, (uint64_t)sample.time_ms, out);
}

/* ---- histograms ---- */

void mrd_read_histogram_append(mrd_time_ms time_ms, const struct mrd_histogram *histogram,
                               struct mrd_buf *out)
{
    mrd_histogram_message_append(4, (struct mrd_histogram_times){time_ms, 0}, histogram, out);
}

/* ---- chunks and frames ---- */

void mrd_read_chunk_append(const struct mrd_read_chunk *chunk, struct mrd_buf *out)
{
    mrd_assert(chunk->encoding < 128);
    const size_t size = 1 + mrd_pb_varint_size((uint64_t)chunk->min_ms) + 1 +
                        mrd_pb_varint_size((uint64_t)chunk->max_ms) + 2 + bytes_size(chunk->bytes);
    mrd_read_head_append(2, size, out);
    mrd_pb_varint_append(1, (uint64_t)chunk->min_ms, out);
    mrd_pb_varint_append(2, (uint64_t)chunk->max_ms, out);
    mrd_pb_varint_append(3, chunk->encoding, out);
    mrd_pb_bytes_append(4, chunk->bytes, out);
}

bool mrd_read_piece_next(struct mrd_bytes *rest, struct mrd_bytes *out_piece)
{
    if (rest->size == 0) {
        return false;
    }
    const uint8_t *at = rest->data;
    struct mrd_pb_field field = {0};
    mrd_assert(mrd_pb_field_read(&at, at + rest->size, &field)); /* our own bytes */
    *out_piece = (struct mrd_bytes){rest->data, (size_t)(at - rest->data)};
    rest->size -= out_piece->size;
    rest->data = at;
    return true;
}

void mrd_read_frame_append(size_t query_index, struct mrd_bytes labels, struct mrd_bytes chunks,
                           struct mrd_buf *out)
{
    const size_t series = labels.size + chunks.size;
    const size_t index = query_index == 0 ? 0 : 1 + mrd_pb_varint_size(query_index);
    const size_t size = mrd_read_head_size(series) + series + index;
    mrd_buf_append_varint(out, size);
    const size_t sum_at = out->size;
    mrd_buf_append_u32(out, 0);
    const size_t message_at = out->size;
    mrd_read_head_append(1, series, out);
    mrd_buf_append_bytes(out, labels);
    mrd_buf_append_bytes(out, chunks);
    if (index > 0) {
        mrd_pb_varint_append(2, query_index, out);
    }
    if (out->failed) {
        return;
    }
    mrd_assert(out->size - message_at == size);
    const uint32_t sum = mrd_crc32c(0, (struct mrd_bytes){out->data + message_at, size});
    for (unsigned i = 0; i < 4; i++) {
        out->data[sum_at + i] = (uint8_t)(sum >> (24 - 8 * i));
    }
}
