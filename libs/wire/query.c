#include "wire/query.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "wire/protobuf_internal.h"
#include "wire/query.pb-c.h"

enum { REQUEST_VERSION = 2, FAILED_TEXT_MAX = 512 };

const char *mrd_query_subject(const char *instance, char out[MRD_QUERY_SUBJECT_MAX])
{
    snprintf(out, MRD_QUERY_SUBJECT_MAX, "mrd.query.%s", instance);
    return out;
}

/* ---- requests ---- */

static ProtobufCBinaryData pb_of(struct mrd_bytes bytes)
{
    /* protobuf-c only reads what it packs. */
    return (ProtobufCBinaryData){bytes.size, (uint8_t *)(uintptr_t)bytes.data};
}

static struct mrd_bytes bytes_of(ProtobufCBinaryData data)
{
    return (struct mrd_bytes){data.data, data.len};
}

static void pb_append(const ProtobufCMessage *message, struct mrd_buf *out)
{
    const size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *to = mrd_buf_reserve(out, size);
    if (to != NULL) {
        out->size += protobuf_c_message_pack(message, to);
    }
}

/* The lists of numbers beside the partitions: one for each of them, or none where all would be 0. */
struct lists {
    uint64_t **items;
    size_t *count;
};
enum { LISTS = 5 };

static void lists_of(Mrd__Query__Request *message, struct lists out[LISTS])
{
    out[0] = (struct lists){&message->sequences_min, &message->n_sequences_min};
    out[1] = (struct lists){&message->sequences_first_max, &message->n_sequences_first_max};
    out[2] = (struct lists){&message->logs, &message->n_logs};
    out[3] = (struct lists){&message->marks, &message->n_marks};
    out[4] = (struct lists){&message->marks_stored_ms, &message->n_marks_stored_ms};
}

static void list_put(const struct lists *list, size_t index, size_t count, uint64_t value)
{
    (*list->items)[index] = value;
    *list->count = value != 0 ? count : *list->count;
}

static uint64_t list_get(const struct lists *list, size_t index)
{
    return *list->count == 0 ? 0 : (*list->items)[index];
}

/* The caller frees the lists. */
static void partitions_encode(const struct mrd_query_request *request, Mrd__Query__Request *message)
{
    const size_t count = request->partition_count;
    struct lists lists[LISTS];
    mrd_assert(count <= MRD_QUERY_PARTITIONS_MAX);
    message->partitions = calloc(count + 1, sizeof(*message->partitions));
    mrd_assert(message->partitions != NULL);
    lists_of(message, lists);
    for (size_t k = 0; k < LISTS; k++) {
        *lists[k].items = calloc(count + 1, sizeof(**lists[k].items));
        mrd_assert(*lists[k].items != NULL);
    }
    message->n_partitions = count;
    for (size_t i = 0; i < count; i++) {
        const struct mrd_query_partition *from = &request->partitions[i];
        message->partitions[i] = from->number;
        list_put(&lists[0], i, count, from->sequence_min);
        list_put(&lists[1], i, count, from->sequence_first_max);
        list_put(&lists[2], i, count, from->log);
        list_put(&lists[3], i, count, from->mark.sequence);
        list_put(&lists[4], i, count, (uint64_t)from->mark.stored_ms);
    }
}

/* The caller frees the counts. */
static void ids_encode(const struct mrd_query_request *request, struct mrd_buf *ids,
                       Mrd__Query__Request *message)
{
    mrd_assert(request->id_count <= MRD_QUERY_IDS_MAX);
    if (request->id_count == 0) {
        return;
    }
    for (size_t i = 0; i < request->id_count; i++) {
        mrd_buf_append_u64(ids, request->ids[i].low);
        mrd_buf_append_u64(ids, request->ids[i].high);
    }
    message->ids = pb_of(mrd_buf_view(ids));
    message->id_counts = calloc(request->partition_count + 1, sizeof(*message->id_counts));
    mrd_assert(message->id_counts != NULL);
    message->n_id_counts = request->partition_count;
    for (size_t i = 0; i < request->partition_count; i++) {
        message->id_counts[i] = request->id_counts[i];
    }
}

static void partitions_free(Mrd__Query__Request *message)
{
    struct lists lists[LISTS];
    lists_of(message, lists);
    for (size_t k = 0; k < LISTS; k++) {
        free(*lists[k].items);
    }
    free(message->partitions);
}

void mrd_query_request_encode(const struct mrd_query_request *request, struct mrd_buf *out)
{
    mrd_assert(request->matcher_count <= MRD_QUERY_MATCHERS_MAX);
    Mrd__Query__Matcher *matchers = calloc(request->matcher_count + 1, sizeof(*matchers));
    Mrd__Query__Matcher **list = calloc(request->matcher_count + 1, sizeof(*list));
    mrd_assert(matchers != NULL && list != NULL);
    for (size_t i = 0; i < request->matcher_count; i++) {
        mrd__query__matcher__init(&matchers[i]);
        matchers[i].type = (uint32_t)request->matchers[i].type;
        matchers[i].name = pb_of(request->matchers[i].name);
        matchers[i].value = pb_of(request->matchers[i].value);
        list[i] = &matchers[i];
    }
    Mrd__Query__Request message;
    mrd__query__request__init(&message);
    message.version = REQUEST_VERSION;
    message.kind = (uint32_t)request->kind;
    message.tenant = pb_of(request->tenant);
    message.matchers = list;
    message.n_matchers = request->matcher_count;
    message.time_min_ms = request->time_min_ms;
    message.time_max_ms = request->time_max_ms;
    message.label = pb_of(request->label);
    message.series_max = request->series_max;
    message.samples_max = request->samples_max;
    message.limit = request->limit;
    message.fragment = pb_of(request->fragment);
    message.memory_max = request->memory_max;
    message.in_order = request->in_order;
    message.histograms_before_ms = (uint64_t)request->histograms_before_ms;
    message.patient = request->patient;
    partitions_encode(request, &message);
    mrd_auto(mrd_buf_fini)
    struct mrd_buf ids = {0};
    ids_encode(request, &ids, &message);
    pb_append(&message.base, out);
    free(message.id_counts);
    partitions_free(&message);
    free(list);
    free(matchers);
}

static void *pb_alloc(void *arena, size_t size) { return mrd_arena_alloc(arena, size); }
static void pb_free(void *arena, void *memory)
{
    (void)arena;
    (void)memory;
}

static enum mrd_status partitions_check(Mrd__Query__Request *message, struct mrd_error *err)
{
    const size_t count = message->n_partitions;
    if (count == 0 || count > MRD_QUERY_PARTITIONS_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "query request for %zu partitions, not 1 to %d", count,
                        MRD_QUERY_PARTITIONS_MAX);
    }
    struct lists lists[LISTS];
    lists_of(message, lists);
    for (size_t k = 0; k < LISTS; k++) {
        if (*lists[k].count != 0 && *lists[k].count != count) {
            return mrd_fail(err, MRD_E_INVALID,
                            "query request for %zu partitions with %zu numbers of a kind", count,
                            *lists[k].count);
        }
    }
    for (size_t i = 1; i < count; i++) {
        if (message->partitions[i] <= message->partitions[i - 1]) {
            return mrd_fail(err, MRD_E_INVALID,
                            "query request: partition %" PRIu32 " comes after %" PRIu32,
                            message->partitions[i], message->partitions[i - 1]);
        }
    }
    return MRD_OK;
}

static enum mrd_status ids_check(const Mrd__Query__Request *message, struct mrd_error *err)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < message->n_id_counts; i++) {
        sum += message->id_counts[i];
    }
    if ((message->n_id_counts != 0 && message->n_id_counts != message->n_partitions) ||
        message->ids.len % sizeof(mrd_series_id) != 0 ||
        sum != message->ids.len / sizeof(mrd_series_id) || sum > MRD_QUERY_IDS_MAX) {
        return mrd_fail(err, MRD_E_INVALID,
                        "query request with %zu bytes of series ids, which is not what %zu counts "
                        "for %zu partitions say, or more than %d",
                        message->ids.len, message->n_id_counts, message->n_partitions,
                        MRD_QUERY_IDS_MAX);
    }
    return message->ids.len == 0 || message->kind == MRD_QUERY_KNOWN
               ? MRD_OK
               : mrd_fail(err, MRD_E_INVALID, "series ids go with their kind of query request");
}

static enum mrd_status request_check(Mrd__Query__Request *message, struct mrd_error *err)
{
    if (message->version != REQUEST_VERSION) {
        return mrd_fail(err, MRD_E_UNSUPPORTED,
                        "query request of version %" PRIu32 ", this is version %d",
                        message->version, REQUEST_VERSION);
    }
    if (message->kind < MRD_QUERY_SELECT || message->kind >= MRD_QUERY_KINDS) {
        return mrd_fail(err, MRD_E_UNSUPPORTED, "query request of kind %" PRIu32, message->kind);
    }
    if (message->tenant.len == 0) {
        return mrd_fail(err, MRD_E_INVALID, "query request without a tenant");
    }
    if (message->kind == MRD_QUERY_LABEL_VALUES && message->label.len == 0) {
        return mrd_fail(err, MRD_E_INVALID, "label values: no label is named");
    }
    if ((message->kind == MRD_QUERY_FRAGMENT) != (message->fragment.len > 0)) {
        return mrd_fail(err, MRD_E_INVALID, "a plan fragment goes with its kind of query request");
    }
    if (message->n_matchers > MRD_QUERY_MATCHERS_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "query request with %zu matchers, at most %d",
                        message->n_matchers, MRD_QUERY_MATCHERS_MAX);
    }
    MRD_TRY(partitions_check(message, err));
    return ids_check(message, err);
}

static void matchers_fini(struct mrd_matcher *matchers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        mrd_matcher_fini(&matchers[i]);
    }
}

static enum mrd_status matchers_decode(const Mrd__Query__Request *message, struct mrd_arena *arena,
                                       struct mrd_query_request *out, struct mrd_error *err)
{
    if (message->n_matchers == 0) {
        return MRD_OK;
    }
    struct mrd_matcher *matchers =
        mrd_arena_alloc_array(arena, message->n_matchers, sizeof(*matchers));
    if (matchers == NULL) {
        return mrd_arena_fail(arena, err);
    }
    for (size_t i = 0; i < message->n_matchers; i++) {
        const Mrd__Query__Matcher *from = message->matchers[i];
        enum mrd_status status =
            from->type > MRD_MATCH_NRE
                ? mrd_fail(err, MRD_E_INVALID, "matcher of type %" PRIu32, from->type)
                : mrd_matcher_init(&matchers[i], (enum mrd_match_type)from->type,
                                   bytes_of(from->name), bytes_of(from->value), err);
        if (status != MRD_OK) {
            matchers_fini(matchers, i);
            return status;
        }
    }
    out->matchers = matchers;
    out->matcher_count = message->n_matchers;
    return MRD_OK;
}

static enum mrd_status partitions_decode(Mrd__Query__Request *message, struct mrd_arena *arena,
                                         struct mrd_query_request *out, struct mrd_error *err)
{
    struct mrd_query_partition *partitions =
        mrd_arena_alloc_array(arena, message->n_partitions, sizeof(*partitions));
    if (partitions == NULL) {
        return mrd_arena_fail(arena, err);
    }
    struct lists lists[LISTS];
    lists_of(message, lists);
    for (size_t i = 0; i < message->n_partitions; i++) {
        partitions[i] = (struct mrd_query_partition){
            .number = message->partitions[i],
            .sequence_min = list_get(&lists[0], i),
            .sequence_first_max = list_get(&lists[1], i),
            .log = list_get(&lists[2], i),
            .mark = {list_get(&lists[3], i), (mrd_time_ms)list_get(&lists[4], i)}
        };
    }
    out->partitions = partitions;
    out->partition_count = message->n_partitions;
    return MRD_OK;
}

static enum mrd_status ids_decode(const Mrd__Query__Request *message, struct mrd_arena *arena,
                                  struct mrd_query_request *out, struct mrd_error *err)
{
    const size_t count = message->ids.len / sizeof(mrd_series_id);
    if (count == 0) {
        return MRD_OK;
    }
    mrd_series_id *ids = mrd_arena_alloc_array(arena, count, sizeof(*ids));
    if (ids == NULL) {
        return mrd_arena_fail(arena, err);
    }
    struct mrd_reader reader = mrd_reader_of(bytes_of(message->ids));
    for (size_t i = 0; i < count; i++) {
        ids[i].low = mrd_read_u64(&reader);
        ids[i].high = mrd_read_u64(&reader);
    }
    out->ids = ids;
    out->id_count = count;
    out->id_counts = message->id_counts; /* in the arena */
    return MRD_OK;
}

struct mrd_query_envelope mrd_query_request_peek(struct mrd_bytes bytes)
{
    enum {
        FIELD_KIND = MRD_PB_TAG(2, MRD_PB_VARINT),
        FIELD_TENANT = MRD_PB_TAG(3, MRD_PB_BYTES),
        FIELD_PATIENT = MRD_PB_TAG(23, MRD_PB_VARINT),
    };
    const uint8_t *at = bytes.data;
    const uint8_t *end = at + bytes.size;
    struct mrd_query_envelope envelope = {0};
    struct mrd_pb_field field = {0};
    while (at != end && mrd_pb_field_read(&at, end, &field)) {
        if (field.tag == FIELD_TENANT) {
            envelope.tenant = field.bytes;
        } else if (field.tag == FIELD_KIND) {
            envelope.kind = (uint32_t)field.scalar;
        } else if (field.tag == FIELD_PATIENT) {
            envelope.patient = field.scalar != 0;
        }
    }
    return envelope;
}

enum mrd_status mrd_query_request_decode(struct mrd_bytes bytes, struct mrd_arena *arena,
                                         struct mrd_query_request *out, struct mrd_error *err)
{
    if (bytes.size > MRD_QUERY_REQUEST_BYTES_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "query request of %zu bytes, at most %d", bytes.size,
                        MRD_QUERY_REQUEST_BYTES_MAX);
    }
    ProtobufCAllocator allocator = {pb_alloc, pb_free, arena};
    Mrd__Query__Request *message = mrd__query__request__unpack(&allocator, bytes.size, bytes.data);
    if (message == NULL) {
        return mrd_fail(err, MRD_E_INVALID,
                        "query request is not well formed, or takes more memory than it may");
    }
    MRD_TRY(request_check(message, err));
    struct mrd_query_request request = {
        .kind = (enum mrd_query_kind)message->kind,
        .tenant = bytes_of(message->tenant),
        .time_min_ms = message->time_min_ms,
        .time_max_ms = message->time_max_ms,
        .label = bytes_of(message->label),
        .series_max = message->series_max,
        .samples_max = message->samples_max,
        .limit = message->limit,
        .memory_max = message->memory_max,
        .in_order = message->in_order,
        .histograms_before_ms =
            (mrd_time_ms)MRD_MIN(message->histograms_before_ms, (uint64_t)INT64_MAX),
        .fragment = bytes_of(message->fragment),
        .patient = message->patient,
    };
    MRD_TRY(partitions_decode(message, arena, &request, err));
    MRD_TRY(ids_decode(message, arena, &request, err));
    MRD_TRY(matchers_decode(message, arena, &request, err));
    *out = request;
    return MRD_OK;
}

void mrd_query_request_fini(struct mrd_query_request *request)
{
    /* Made by decode, which owned the array as non-const. */
    matchers_fini((struct mrd_matcher *)(uintptr_t)request->matchers, request->matcher_count);
    request->matchers = NULL;
    request->matcher_count = 0;
}

/* ---- replies ---- */

static void part_head(struct mrd_buf *out, enum mrd_query_part_kind kind, uint32_t partition)
{
    mrd_buf_append_u8(out, (uint8_t)kind);
    mrd_buf_append_varint(out, partition);
}

void mrd_query_part_data(struct mrd_buf *out, uint32_t partition, struct mrd_bytes data)
{
    mrd_query_part_data_head(out, partition, data.size);
    mrd_buf_append_bytes(out, data);
}

void mrd_query_part_data_head(struct mrd_buf *out, uint32_t partition, size_t size)
{
    part_head(out, MRD_QUERY_PART_DATA, partition);
    mrd_buf_append_varint(out, size);
}

void mrd_query_part_end(struct mrd_buf *out, uint32_t partition,
                        const struct mrd_query_trailer *trailer)
{
    struct mrd_buf fields = {0};
    mrd_buf_append_varint(&fields, trailer->sequence);
    mrd_buf_append_varint(&fields, trailer->series);
    mrd_buf_append_varint(&fields, trailer->chunks);
    mrd_buf_append_varint(&fields, trailer->samples);
    mrd_buf_append_varint(&fields, trailer->total);
    mrd_buf_append_varint(&fields, trailer->head_chunks);
    mrd_buf_append_zigzag(&fields, trailer->time_min_ms);
    mrd_buf_append_zigzag(&fields, trailer->time_max_ms);
    part_head(out, MRD_QUERY_PART_END, partition);
    mrd_query_text_write(out, mrd_buf_view(&fields));
    mrd_buf_fini(&fields);
}

void mrd_query_part_failed(struct mrd_buf *out, uint32_t partition, enum mrd_status status,
                           struct mrd_bytes text)
{
    part_head(out, MRD_QUERY_PART_FAILED, partition);
    mrd_buf_append_u8(out, (uint8_t)status);
    mrd_query_text_write(
        out, (struct mrd_bytes){text.data, MRD_MIN(text.size, (size_t)FAILED_TEXT_MAX)});
}

void mrd_query_part_alone(struct mrd_buf *out, uint32_t partition)
{
    part_head(out, MRD_QUERY_PART_ALONE, partition);
}

bool mrd_query_part_read(struct mrd_reader *reader, struct mrd_query_part *out)
{
    if (reader->failed || mrd_reader_left(reader) == 0) {
        return false;
    }
    const uint8_t kind = mrd_read_u8(reader);
    const uint64_t partition = mrd_read_varint(reader);
    if (kind < MRD_QUERY_PART_DATA || kind > MRD_QUERY_PART_ALONE || partition > UINT32_MAX) {
        return mrd_reader_fail(reader);
    }
    *out = (struct mrd_query_part){.kind = (enum mrd_query_part_kind)kind,
                                   .partition = (uint32_t)partition};
    if (kind == MRD_QUERY_PART_FAILED) {
        const uint8_t status = mrd_read_u8(reader);
        if (status == MRD_OK || status >= MRD_STATUS_COUNT) {
            return mrd_reader_fail(reader);
        }
        out->status = (enum mrd_status)status;
    }
    if (kind != MRD_QUERY_PART_ALONE) {
        const uint64_t size = mrd_read_varint(reader);
        out->bytes = mrd_read_bytes(reader, size);
    }
    return !reader->failed;
}

/* A field that is not there is 0. */
static uint64_t trailer_field(struct mrd_reader *reader)
{
    return mrd_reader_left(reader) == 0 ? 0 : mrd_read_varint(reader);
}

enum mrd_status mrd_query_trailer_decode(struct mrd_bytes bytes, struct mrd_query_trailer *out,
                                         struct mrd_error *err)
{
    struct mrd_reader reader = mrd_reader_of(bytes);
    struct mrd_query_trailer trailer = {.sequence = trailer_field(&reader)};
    trailer.series = trailer_field(&reader);
    trailer.chunks = trailer_field(&reader);
    trailer.samples = trailer_field(&reader);
    trailer.total = trailer_field(&reader);
    trailer.head_chunks = trailer_field(&reader);
    trailer.time_min_ms = mrd_zigzag_decode(trailer_field(&reader));
    trailer.time_max_ms = mrd_zigzag_decode(trailer_field(&reader));
    if (reader.failed) {
        return mrd_fail(err, MRD_E_CORRUPT, "trailer of a query reply is not well formed");
    }
    *out = trailer;
    return MRD_OK;
}

void mrd_query_text_write(struct mrd_buf *out, struct mrd_bytes text)
{
    mrd_buf_append_varint(out, text.size);
    mrd_buf_append_bytes(out, text);
}

bool mrd_query_text_read(struct mrd_reader *reader, struct mrd_bytes *out)
{
    if (reader->failed || mrd_reader_left(reader) == 0) {
        return false;
    }
    const uint64_t size = mrd_read_varint(reader);
    *out = mrd_read_bytes(reader, size);
    return !reader->failed;
}

void mrd_query_count_write(struct mrd_buf *out, const struct mrd_query_count *count)
{
    const uint8_t list = (uint8_t)count->list;
    mrd_buf_append(out, &list, 1);
    mrd_query_text_write(out, count->name);
    mrd_buf_append_varint(out, count->series);
    mrd_buf_append_varint(out, count->values);
}

bool mrd_query_count_read(struct mrd_reader *reader, struct mrd_query_count *out)
{
    if (reader->failed || mrd_reader_left(reader) == 0) {
        return false;
    }
    const uint8_t list = mrd_read_u8(reader);
    if (list > MRD_QUERY_COUNT_NAMES) {
        mrd_reader_fail(reader);
        return false;
    }
    out->list = (enum mrd_query_count_list)list;
    const uint64_t size = mrd_read_varint(reader);
    out->name = mrd_read_bytes(reader, size);
    out->series = mrd_read_varint(reader);
    out->values = mrd_read_varint(reader);
    return !reader->failed;
}

void mrd_query_exemplar_write(struct mrd_buf *out, const struct mrd_query_exemplar *exemplar)
{
    mrd_query_text_write(out, exemplar->series);
    mrd_buf_append_zigzag(out, exemplar->exemplar.time_ms);
    mrd_buf_append_u64(out, mrd_double_bits(exemplar->exemplar.value));
    mrd_query_text_write(out, exemplar->exemplar.labels);
}

bool mrd_query_exemplar_read(struct mrd_reader *reader, struct mrd_query_exemplar *out)
{
    if (reader->failed || mrd_reader_left(reader) == 0) {
        return false;
    }
    const uint64_t series_size = mrd_read_varint(reader);
    out->series = mrd_read_bytes(reader, series_size);
    out->exemplar.time_ms = mrd_read_zigzag(reader);
    out->exemplar.value = mrd_double_from_bits(mrd_read_u64(reader));
    const uint64_t size = mrd_read_varint(reader);
    out->exemplar.labels = mrd_read_bytes(reader, size);
    return !reader->failed;
}

void mrd_query_family_write(struct mrd_buf *out, const struct mrd_query_family *family)
{
    mrd_buf_append_u8(out, (uint8_t)family->metadata.type);
    mrd_query_text_write(out, family->metadata.family);
    mrd_query_text_write(out, family->metadata.help);
    mrd_query_text_write(out, family->metadata.unit);
    mrd_buf_append_u64(out, family->hlc);
    mrd_buf_append_u32(out, family->origin);
}

bool mrd_query_family_read(struct mrd_reader *reader, struct mrd_query_family *out)
{
    if (reader->failed || mrd_reader_left(reader) == 0) {
        return false;
    }
    const uint8_t type = mrd_read_u8(reader);
    if (type >= MRD_FAMILY_TYPE_COUNT) {
        return mrd_reader_fail(reader);
    }
    out->metadata.type = (enum mrd_family_type)type;
    struct mrd_bytes *texts[] = {&out->metadata.family, &out->metadata.help, &out->metadata.unit};
    for (size_t i = 0; i < MRD_ARRAY_LEN(texts); i++) {
        const uint64_t size = mrd_read_varint(reader);
        *texts[i] = mrd_read_bytes(reader, size);
    }
    out->hlc = mrd_read_u64(reader);
    out->origin = mrd_read_u32(reader);
    return !reader->failed;
}
