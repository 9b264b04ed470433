#include "distributor/ask.h"

#include <stdlib.h>

#include "wire/query.h"

enum {
    ATTEMPTS = 2,
    ATTEMPT_MS = 500,
    NOBODY = -1,
};
static const int64_t MS = 1000000;

/* One call of a fan and what it is about. */
struct call {
    struct dst_question *question;
    uint32_t told; /* the partition whose bits came last, + 1; 0: none */
};

struct calls {
    struct call *items; /* by number of the call */
    size_t count;
    size_t capacity;
};

static bool serves(const struct mrd_member *member, uint32_t partition)
{
    for (size_t i = 0; member->kind == MRD_MEMBER_INGESTER && i < member->partition_count; i++) {
        const struct mrd_member_partition *record = &member->partitions[i];
        if (record->partition == partition) {
            return record->state == MRD_PARTITION_SERVING;
        }
    }
    return false;
}

/* The ingester to ask about each partition, by number in the snapshot: the `attempt`th of those that serve it. */
static void choose(const struct dst_ask *ask, const struct mrd_members_snapshot *snapshot,
                   size_t attempt, int *chosen)
{
    for (uint32_t p = 0; p < ask->partition_count; p++) {
        size_t serving = 0;
        for (size_t i = 0; i < snapshot->count; i++) {
            serving += serves(&snapshot->members[i], p);
        }
        size_t left = attempt < serving ? (ask->salt + attempt) % serving + 1 : 0;
        chosen[p] = NOBODY;
        for (size_t i = 0; i < snapshot->count && left > 0; i++) {
            if (serves(&snapshot->members[i], p) && --left == 0) {
                chosen[p] = (int)i;
            }
        }
    }
}

static uint32_t distributors_of(const struct mrd_members_snapshot *snapshot)
{
    uint32_t count = 0;
    for (size_t i = 0; i < snapshot->count; i++) {
        const struct mrd_member *member = &snapshot->members[i];
        count += member->kind == MRD_MEMBER_DISTRIBUTOR && !member->leaving;
    }
    return count;
}

/* ---- requests ---- */

static struct call *call_add(struct calls *calls)
{
    if (calls->count == calls->capacity) {
        calls->capacity = calls->capacity == 0 ? 16 : calls->capacity * 2;
        calls->items = reallocarray(calls->items, calls->capacity, sizeof(*calls->items));
        mrd_assert(calls->items != NULL);
    }
    return &calls->items[calls->count];
}

/* Room for the largest request. */
struct room {
    struct mrd_query_partition *partitions;
    uint32_t *id_counts;
    mrd_series_id *ids;
    struct mrd_buf bytes;
};

static void room_init(struct room *room, uint32_t partition_count)
{
    *room = (struct room){
        .partitions = calloc(partition_count, sizeof(*room->partitions)),
        .id_counts = calloc(partition_count, sizeof(*room->id_counts)),
        .ids = calloc(DST_DOUBTS_MAX, sizeof(*room->ids)),
    };
    mrd_assert(room->partitions != NULL && room->id_counts != NULL && room->ids != NULL);
}

static void room_fini(struct room *room)
{
    free(room->partitions);
    free(room->id_counts);
    free(room->ids);
    mrd_buf_fini(&room->bytes);
}

/* The question as far as member number `member` is to answer it. */
static void encode(const struct dst_ask *ask, const struct dst_question *question,
                   const int *chosen, int member, struct room *room)
{
    struct mrd_query_request request = {
        .kind = MRD_QUERY_KNOWN,
        .tenant = question->tenant,
        .partitions = room->partitions,
        .ids = room->ids,
        .id_counts = room->id_counts,
    };
    for (uint32_t p = 0; p < ask->partition_count; p++) {
        if (chosen[p] != member || question->answered[p]) {
            continue;
        }
        const uint32_t first = question->starts[p];
        const uint32_t end = question->starts[p + 1];
        room->id_counts[request.partition_count] = end - first;
        room->partitions[request.partition_count++] = (struct mrd_query_partition){.number = p};
        for (uint32_t at = first; at < end; at++) {
            room->ids[request.id_count++] = question->doubts->items[question->order[at]].id;
        }
    }
    mrd_buf_clear(&room->bytes);
    if (request.partition_count > 0) {
        mrd_query_request_encode(&request, &room->bytes);
    }
}

static void send(const struct dst_ask *ask, const struct mrd_members_snapshot *snapshot,
                 const int *chosen, struct dst_question *question, struct room *room,
                 struct mrd_rpc_fan *fan, struct calls *calls)
{
    for (size_t i = 0; i < snapshot->count; i++) {
        const struct mrd_member *member = &snapshot->members[i];
        if (member->kind != MRD_MEMBER_INGESTER) {
            continue;
        }
        encode(ask, question, chosen, (int)i, room);
        char subject[MRD_QUERY_SUBJECT_MAX];
        size_t number;
        struct call *call = call_add(calls);
        if (room->bytes.size > 0 &&
            mrd_rpc_fan_start(fan, mrd_query_subject(member->instance, subject),
                              mrd_buf_view(&room->bytes), &number, NULL) == MRD_OK) {
            mrd_assert(number == calls->count);
            *call = (struct call){.question = question};
            calls->count++;
        }
    }
}

/* ---- answers ---- */

/* A partition counts with its END; bits that came before are nothing without it, nor it without them. */
static void part_take(const struct dst_ask *ask, struct call *call,
                      const struct mrd_query_part *part)
{
    struct dst_question *question = call->question;
    struct mrd_query_trailer trailer;
    const uint32_t p = part->partition;
    if (p >= ask->partition_count || question->answered[p]) {
        return;
    }
    const uint32_t first = question->starts[p];
    const uint32_t count = question->starts[p + 1] - first;
    if (part->kind == MRD_QUERY_PART_DATA && part->bytes.size == (count + 7) / 8) {
        for (uint32_t i = 0; i < count; i++) {
            question->active[first + i] = (part->bytes.data[i / 8] >> (i % 8) & 1) != 0;
        }
        call->told = p + 1;
    } else if (part->kind == MRD_QUERY_PART_END && (count == 0 || call->told == p + 1) &&
               mrd_query_trailer_decode(part->bytes, &trailer, NULL) == MRD_OK) {
        question->answered[p] = true;
        question->series += trailer.total;
    }
}

static void event_take(const struct dst_ask *ask, const struct calls *calls,
                       const struct mrd_rpc_event *event)
{
    if (event->kind == MRD_RPC_FAILED) {
        return; /* its partitions stay unanswered */
    }
    struct mrd_reader reader = mrd_reader_of(event->bytes);
    struct mrd_query_part part;
    while (mrd_query_part_read(&reader, &part)) {
        part_take(ask, &calls->items[event->call], &part);
    }
}

static void attempt_run(const struct dst_ask *ask, size_t attempt, struct room *room, int *chosen,
                        struct dst_question *questions, size_t count)
{
    const struct mrd_members_snapshot *snapshot = mrd_members_acquire(ask->members);
    choose(ask, snapshot, attempt, chosen);
    const struct mrd_rpc_fan_options options = {
        .deadline_ns = mrd_clock_monotonic_ns(mrd_clock_system()) + ATTEMPT_MS * MS};
    struct mrd_rpc_fan *fan = mrd_rpc_fan_create(ask->rpc, &options);
    struct calls calls = {0};
    for (size_t i = 0; i < count; i++) {
        questions[i].distributors = distributors_of(snapshot);
        send(ask, snapshot, chosen, &questions[i], room, fan, &calls);
    }
    mrd_members_release(&snapshot);
    struct mrd_rpc_event event;
    while (mrd_rpc_fan_next(fan, &event, NULL) == MRD_OK) {
        event_take(ask, &calls, &event);
    }
    mrd_rpc_fan_destroy(&fan);
    free(calls.items);
}

static bool all_answered(const struct dst_ask *ask, const struct dst_question *questions,
                         size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (uint32_t p = 0; p < ask->partition_count; p++) {
            if (!questions[i].answered[p]) {
                return false;
            }
        }
    }
    return true;
}

void dst_ask_ingesters(void *context, struct dst_question *questions, size_t count)
{
    struct dst_ask *ask = context;
    struct room room;
    room_init(&room, ask->partition_count);
    int *chosen = calloc(ask->partition_count, sizeof(*chosen));
    mrd_assert(chosen != NULL);
    ask->salt++;
    for (size_t attempt = 0; attempt < ATTEMPTS && !all_answered(ask, questions, count);
         attempt++) {
        attempt_run(ask, attempt, &room, chosen, questions, count);
    }
    free(chosen);
    room_fini(&room);
}
