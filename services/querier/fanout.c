#include "querier/fanout.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "querier/query_pool.h"

enum {
    RETRY_PAUSE_MS = 50,
    LOOK_MS = 20,   /* a pause is looked out of that often */
    ALONE_MAX = 16, /* questions for single partitions under way, where answers are large */
    NO_ASK = INT32_MAX,
};
static const int64_t MS = 1000000;

/* Where a partition's answer stands. */
enum part_state {
    PART_WAITING, /* no replica is asked */
    PART_ASKED,   /* a part of the question parts[].ask */
    PART_ALONE,   /* to be asked for by itself, of the ingester of parts[].ask */
    PART_DONE
};

struct part {
    enum part_state state;
    size_t ask;
    size_t attempts;
    bool chosen;           /* waiting, and `member` is to be asked next; within ask_waiting only */
    size_t member;         /* of the members' snapshot */
    int64_t not_before_ns; /* every replica has failed: not at once again */
    int64_t waiting_since_ns; /* first time that it was waited for, 0: never */
    char *last_text;          /* of its last failure; NULL: none */
};

/* One question to one ingester, for some partitions. */
struct ask {
    size_t call; /* of the rpc fan */
    char instance[MRD_MEMBER_TEXT_MAX];
    struct mrd_link link;   /* the instance's */
    struct mrd_reader rest; /* parts of its last chunk that are not read yet */
    size_t count;
    size_t left; /* partitions whose answer is not complete */
    bool ended;  /* the rpc has; rest are its last bytes */
};

struct qry_fanout {
    struct qry_fanout_options options;
    struct mrd_query_scope scope;
    struct mrd_query_request request; /* without partitions */
    struct mrd_buf encoded;
    struct mrd_rpc_fan *fan;
    struct part *parts;
    struct mrd_query_partition *listed; /* room for the partitions of one question */
    struct ask *asks;
    size_t ask_count;
    size_t ask_capacity;
    size_t alone_waiting; /* partitions in PART_ALONE */
    size_t alone_running; /* questions for one partition that it still owes */
    size_t
        spent; /* a question whose last event was handed out and whose bytes may go; NO_ASK: none */
    uint32_t current; /* the partition whose answer is read */
};

static struct mrd_query_progress *progress_of(const struct qry_fanout *fanout)
{
    return fanout->scope.control->progress;
}

static int64_t now_ns(void) { return mrd_clock_monotonic_ns(mrd_clock_system()); }

static uint32_t partition_count(const struct qry_fanout *fanout)
{
    return fanout->options.cluster->partition_count;
}

/* ---- asking ---- */

static struct ask *ask_add(struct qry_fanout *fanout, const char *instance,
                           const struct mrd_link *link, size_t count)
{
    if (fanout->ask_count == fanout->ask_capacity) {
        fanout->ask_capacity = fanout->ask_capacity == 0 ? 4 : fanout->ask_capacity * 2;
        fanout->asks = reallocarray(fanout->asks, fanout->ask_capacity, sizeof(struct ask));
        mrd_assert(fanout->asks != NULL);
    }
    struct ask *ask = &fanout->asks[fanout->ask_count++];
    *ask = (struct ask){.count = count, .left = count, .link = *link};
    snprintf(ask->instance, sizeof(ask->instance), "%s", instance);
    return ask;
}

static uint64_t sequence_first_max(const struct qry_fanout *fanout, uint32_t partition)
{
    return fanout->options.sequences_first_max == NULL
               ? UINT64_MAX
               : fanout->options.sequences_first_max[partition];
}

/* Sends one question for the `count` partitions in fanout->listed. */
static enum mrd_status ask_start(struct qry_fanout *fanout, const char *instance,
                                 const struct mrd_link *link, size_t count, struct mrd_error *err)
{
    for (size_t i = 0; i < count; i++) {
        struct mrd_query_partition *listed = &fanout->listed[i];
        fanout->parts[listed->number].state = PART_ASKED;
        fanout->parts[listed->number].ask = fanout->ask_count;
        listed->sequence_min = fanout->options.sequences_min == NULL
                                   ? 0
                                   : fanout->options.sequences_min[listed->number];
        const uint64_t first_max = sequence_first_max(fanout, listed->number);
        listed->sequence_first_max = first_max == UINT64_MAX ? 0 : first_max;
        listed->log = fanout->options.logs == NULL ? 0 : fanout->options.logs[listed->number];
        listed->mark = fanout->options.marks == NULL || first_max == UINT64_MAX
                           ? (struct mrd_log_mark){0}
                           : fanout->options.marks[listed->number];
    }
    struct ask *ask = ask_add(fanout, instance, link, count);
    struct mrd_query_request request = fanout->request;
    request.partitions = fanout->listed;
    request.partition_count = count;
    request.patient = qry_pool_stands_back();
    mrd_buf_clear(&fanout->encoded);
    mrd_query_request_encode(&request, &fanout->encoded);
    fanout->alone_running += count == 1 ? 1 : 0;
    if (progress_of(fanout) != NULL) {
        mrd_progress_add(&progress_of(fanout)->questions, 1);
    }
    char subject[MRD_QUERY_SUBJECT_MAX];
    return mrd_rpc_fan_start_at(fanout->fan, mrd_query_subject(instance, subject), &ask->link,
                                mrd_buf_view(&fanout->encoded), &ask->call, err);
}

/* Chooses whom to ask next for each partition that waits, if anybody serves it. */
static void members_choose(struct qry_fanout *fanout, const struct mrd_members_snapshot *snapshot)
{
    const int64_t now = now_ns();
    for (uint32_t p = fanout->current; p < partition_count(fanout); p++) {
        struct part *part = &fanout->parts[p];
        if (part->state != PART_WAITING || part->not_before_ns > now) {
            continue;
        }
        const struct qry_replica_choice choice = {p, sequence_first_max(fanout, p),
                                                  fanout->options.salt, part->attempts};
        const size_t replicas = qry_cluster_replica(snapshot, &choice, &part->member);
        if (replicas > 0) {
            part->chosen = true;
            part->attempts++;
            part->not_before_ns =
                part->attempts % replicas == 0 ? now + RETRY_PAUSE_MS * MS : 0; /* if it fails */
        }
    }
}

/* Lists all partitions from `first` on that have the same member chosen as that one. */
static size_t chosen_list(struct qry_fanout *fanout, uint32_t first)
{
    const size_t member = fanout->parts[first].member;
    size_t count = 0;
    for (uint32_t p = first; p < partition_count(fanout); p++) {
        struct part *part = &fanout->parts[p];
        if (part->chosen && part->member == member) {
            part->chosen = false;
            fanout->listed[count++].number = p;
        }
    }
    return count;
}

/* Asks for all partitions that wait and have a replica, with one question to each replica. */
static enum mrd_status ask_waiting(struct qry_fanout *fanout, struct mrd_error *err)
{
    const struct mrd_members_snapshot *snapshot =
        mrd_members_acquire(fanout->options.cluster->members);
    enum mrd_status status = MRD_OK;
    members_choose(fanout, snapshot);
    for (uint32_t p = fanout->current; p < partition_count(fanout) && status == MRD_OK; p++) {
        if (fanout->parts[p].chosen) {
            const size_t count = chosen_list(fanout, p);
            const struct mrd_member *member = &snapshot->members[fanout->parts[p].member];
            status = ask_start(fanout, member->instance, &member->link, count, err);
        }
    }
    mrd_members_release(&snapshot);
    return status;
}

static enum mrd_status ask_alone(struct qry_fanout *fanout, uint32_t partition,
                                 struct mrd_error *err)
{
    const struct ask before = fanout->asks[fanout->parts[partition].ask]; /* the array may move */
    fanout->listed[0].number = partition;
    fanout->alone_waiting--;
    return ask_start(fanout, before.instance, &before.link, 1, err);
}

/* Asks for more of what is to be asked for by itself, the next to be read first. The current one is
 * asked for in any case: others that are under way may be later ones, which nobody reads yet. */
static enum mrd_status ask_alone_more(struct qry_fanout *fanout, struct mrd_error *err)
{
    for (uint32_t p = fanout->current; p < partition_count(fanout); p++) {
        if (fanout->parts[p].state == PART_ALONE) {
            if (p != fanout->current && fanout->alone_running >= ALONE_MAX) {
                return MRD_OK;
            }
            MRD_TRY(ask_alone(fanout, p, err));
        }
    }
    return MRD_OK;
}

/* ---- life ---- */

enum mrd_status qry_fanout_create(const struct qry_fanout_options *options,
                                  struct qry_fanout **out_fanout, struct mrd_error *err)
{
    const uint32_t count = options->cluster->partition_count;
    if (options->request->matcher_count > MRD_QUERY_MATCHERS_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "a selector has %zu matchers, at most %d are taken",
                        options->request->matcher_count, MRD_QUERY_MATCHERS_MAX);
    }
    mrd_auto(qry_fanout_destroy)
    struct qry_fanout *fanout = calloc(1, sizeof(*fanout));
    mrd_assert(fanout != NULL);
    fanout->options = *options;
    fanout->scope = *options->scope;
    fanout->options.scope = &fanout->scope; /* the caller's is lent for this call only */
    fanout->request = *options->request;
    fanout->options.request = &fanout->request;
    fanout->spent = NO_ASK;
    fanout->current = options->partition_first;
    fanout->parts = calloc(count, sizeof(*fanout->parts));
    fanout->listed = calloc(count, sizeof(*fanout->listed));
    mrd_assert(fanout->parts != NULL && fanout->listed != NULL);
    const struct mrd_query_control *control = options->scope->control;
    fanout->fan = mrd_rpc_fan_create(
        options->cluster->rpc, &(struct mrd_rpc_fan_options){.deadline_ns = control->deadline_ns,
                                                             .window = options->cluster->rpc_window,
                                                             .canceled = control->canceled});
    MRD_TRY(ask_waiting(fanout, err));
    *out_fanout = MRD_MOVE(fanout);
    return MRD_OK;
}

void qry_fanout_destroy(struct qry_fanout **fanout_pointer)
{
    if (*fanout_pointer == NULL) {
        return;
    }
    struct qry_fanout *fanout = MRD_MOVE(*fanout_pointer);
    mrd_rpc_fan_destroy(&fanout->fan);
    for (uint32_t p = 0; p < partition_count(fanout); p++) {
        free(fanout->parts[p].last_text);
    }
    mrd_buf_fini(&fanout->encoded);
    free(fanout->asks);
    free(fanout->listed);
    free(fanout->parts);
    free(fanout);
}

/* ---- failures ---- */

/* Another replica may do better where this one was away, slow or had lost its state. */
static bool is_retryable(enum mrd_status status)
{
    return status == MRD_E_UNAVAILABLE || status == MRD_E_CORRUPT || status == MRD_E_NOT_FOUND ||
           status == MRD_E_CANCELED || status == MRD_E_TIMEOUT;
}

/* The partition is no longer a part of its question. */
static void part_leave(struct qry_fanout *fanout, struct part *part, enum part_state state)
{
    struct ask *ask = &fanout->asks[part->ask];
    mrd_assert(part->state == PART_ASKED && ask->left > 0);
    part->state = state;
    ask->left--;
    fanout->alone_running -= ask->count == 1 ? 1 : 0;
}

static void part_failed(struct qry_fanout *fanout, struct part *part, struct mrd_bytes text)
{
    part_leave(fanout, part, PART_WAITING);
    mrd_counter_add(fanout->options.cluster->retries, 1);
    if (progress_of(fanout) != NULL) {
        mrd_progress_add(&progress_of(fanout)->retries, 1);
    }
    free(part->last_text);
    part->last_text = mrd_bytes_text(text);
}

/* The question has failed: what it has not answered yet is asked of others. */
static enum mrd_status ask_failed(struct qry_fanout *fanout, size_t index,
                                  const struct mrd_error *error, struct mrd_error *err)
{
    if (!is_retryable(error->status)) {
        *err = *error;
        return error->status;
    }
    mrd_rpc_fan_cancel(fanout->fan, fanout->asks[index].call);
    for (uint32_t p = fanout->current; p < partition_count(fanout); p++) {
        struct part *part = &fanout->parts[p];
        if (part->state == PART_ASKED && part->ask == index) {
            part_failed(fanout, part, mrd_bytes_of(error->text));
        }
    }
    return ask_waiting(fanout, err);
}

static enum mrd_status ask_broken(struct qry_fanout *fanout, size_t index, const char *what,
                                  struct mrd_error *err)
{
    struct mrd_error error;
    (void)mrd_fail(&error, MRD_E_CORRUPT, "the answer of %s %s", fanout->asks[index].instance,
                   what);
    return ask_failed(fanout, index, &error, err);
}

static enum mrd_status part_unavailable(struct qry_fanout *fanout, uint32_t partition,
                                        struct mrd_error *err)
{
    struct part *part = &fanout->parts[partition];
    struct mrd_error reason;
    (void)mrd_fail(&reason, MRD_E_UNAVAILABLE,
                   "partition %u of %u has no ingester that can answer%s%s", partition,
                   partition_count(fanout), part->last_text != NULL ? "; the last one said: " : "",
                   part->last_text != NULL ? part->last_text : "");
    if (!fanout->options.partial) {
        *err = reason;
        return MRD_E_UNAVAILABLE;
    }
    mrd_counter_add(fanout->options.cluster->partial, 1);
    char warning[600];
    const int size = snprintf(warning, sizeof(warning), "partial answer: %s", reason.text);
    mrd_annotations_add(fanout->options.scope->annotations, MRD_ANNOTATION_WARNING,
                        (struct mrd_bytes){(const uint8_t *)warning,
                                           (size_t)MRD_MIN(size, (int)sizeof(warning) - 1)});
    part->state = PART_DONE;
    return MRD_OK;
}

/* Asks whoever serves the current partition now, or pauses; gives up after unavailable_wait_ms. */
static enum mrd_status part_wait(struct qry_fanout *fanout, struct mrd_error *err)
{
    struct part *part = &fanout->parts[fanout->current];
    MRD_TRY(mrd_query_check(fanout->options.scope->control, err));
    const int64_t now = now_ns();
    if (part->waiting_since_ns == 0) {
        part->waiting_since_ns = now;
    }
    if ((now - part->waiting_since_ns) / MS > fanout->options.cluster->unavailable_wait_ms) {
        return part_unavailable(fanout, fanout->current, err);
    }
    MRD_TRY(ask_waiting(fanout, err));
    if (part->state == PART_WAITING) {
        const struct timespec pause = {.tv_nsec = LOOK_MS * MS};
        const struct mrd_query_wait wait =
            mrd_query_wait_begin(progress_of(fanout), MRD_QUERY_WAITS_INGESTERS);
        (void)nanosleep(&pause, NULL);
        mrd_query_wait_end(progress_of(fanout), wait);
    }
    return MRD_OK;
}

/* ---- reading ---- */

static bool is_owed(const struct qry_fanout *fanout, size_t index, uint32_t partition)
{
    return partition < partition_count(fanout) && fanout->parts[partition].state == PART_ASKED &&
           fanout->parts[partition].ask == index;
}

/* The current partition is complete; the trailer's bytes stay until the next call. */
static void part_end(struct qry_fanout *fanout, size_t index)
{
    part_leave(fanout, &fanout->parts[fanout->current], PART_DONE);
    fanout->current++;
    if (fanout->asks[index].left == 0 && fanout->asks[index].ended) {
        fanout->spent = index;
    }
}

/* A part that says that a partition is not answered in this question. */
static enum mrd_status part_declined(struct qry_fanout *fanout, const struct mrd_query_part *item,
                                     struct mrd_error *err)
{
    struct part *part = &fanout->parts[item->partition];
    if (item->kind == MRD_QUERY_PART_ALONE) {
        part_leave(fanout, part, PART_ALONE);
        fanout->alone_waiting++;
        return MRD_OK;
    }
    if (!is_retryable(item->status)) {
        return mrd_fail(err, item->status, "%.*s", MRD_FMT(item->bytes));
    }
    part_failed(fanout, part, item->bytes);
    return MRD_OK;
}

/* Reads the next part of a question's present chunk, and over all that decline. False in *out_found: none is left. */
static enum mrd_status part_find(struct qry_fanout *fanout, size_t index,
                                 struct mrd_query_part *out, bool *out_found, struct mrd_error *err)
{
    bool declined = false;
    *out_found = false;
    while (!*out_found && mrd_query_part_read(&fanout->asks[index].rest, out)) {
        const bool owed = is_owed(fanout, index, out->partition);
        if (out->kind == MRD_QUERY_PART_DATA || out->kind == MRD_QUERY_PART_END) {
            *out_found = true;
        } else if (!owed || (out->kind == MRD_QUERY_PART_ALONE && fanout->asks[index].count == 1)) {
            return ask_broken(fanout, index, "declines what it was not asked for", err);
        } else {
            MRD_TRY(part_declined(fanout, out, err));
            declined = true;
        }
    }
    if (declined) {
        MRD_TRY(ask_waiting(fanout, err));
        MRD_TRY(ask_alone_more(fanout, err)); /* at once: they are large */
    }
    return MRD_OK;
}

/* Waits for the next chunk of a question. */
static enum mrd_status chunk_read(struct qry_fanout *fanout, size_t index, struct mrd_error *err)
{
    struct ask *ask = &fanout->asks[index];
    if (ask->rest.failed) {
        return ask_broken(fanout, index, "is malformed", err);
    }
    if (ask->ended) {
        return ask_broken(fanout, index, "ends before all partitions have", err);
    }
    struct mrd_rpc_event event;
    const struct mrd_query_wait wait =
        mrd_query_wait_begin(progress_of(fanout), MRD_QUERY_WAITS_INGESTERS);
    const enum mrd_status status = mrd_rpc_fan_next_of(fanout->fan, ask->call, &event, err);
    mrd_query_wait_end(progress_of(fanout), wait);
    if (status != MRD_OK) {
        MRD_TRY(mrd_query_check(fanout->options.scope->control, err)); /* its words come first */
        return status;
    }
    if (event.kind == MRD_RPC_FAILED) {
        return ask_failed(fanout, index, &event.error, err);
    }
    ask->rest = mrd_reader_of(event.bytes);
    ask->ended = event.kind == MRD_RPC_END;
    return MRD_OK;
}

/* Reads on in the question that is to answer the current partition. False in *out_event: there is none to hand out yet. */
static enum mrd_status current_read(struct qry_fanout *fanout, struct qry_fanout_event *out,
                                    bool *out_event, struct mrd_error *err)
{
    const uint32_t partition = fanout->current;
    const size_t index = fanout->parts[partition].ask;
    struct mrd_query_part item;
    bool found = false;
    MRD_TRY(part_find(fanout, index, &item, &found, err));
    const bool here = is_owed(fanout, index, partition);
    if (found && (!here || item.partition != partition)) {
        MRD_TRY(ask_broken(fanout, index, "is out of order", err));
    } else if (found) {
        out->kind = item.kind == MRD_QUERY_PART_DATA ? QRY_FANOUT_CHUNK : QRY_FANOUT_PARTITION;
        out->bytes = item.bytes;
        if (item.kind == MRD_QUERY_PART_END) {
            part_end(fanout, index);
        }
        *out_event = true;
        return MRD_OK;
    } else if (here) {
        MRD_TRY(chunk_read(fanout, index, err));
    }
    if (!is_owed(fanout, index, partition)) {
        out->kind = QRY_FANOUT_RESTART;
        *out_event = true;
    }
    return MRD_OK;
}

enum mrd_status qry_fanout_next(struct qry_fanout *fanout, struct qry_fanout_event *out,
                                struct mrd_error *err)
{
    if (fanout->spent != NO_ASK) {
        mrd_rpc_fan_cancel(fanout->fan, fanout->asks[fanout->spent].call);
        fanout->spent = NO_ASK;
    }
    if (fanout->alone_waiting > 0 && fanout->alone_running < ALONE_MAX) {
        MRD_TRY(ask_alone_more(fanout, err));
    }
    for (bool event = false; !event;) {
        *out = (struct qry_fanout_event){.partition = fanout->current};
        if (fanout->current == partition_count(fanout)) {
            out->kind = QRY_FANOUT_END;
            return MRD_OK;
        }
        switch (fanout->parts[fanout->current].state) {
        case PART_WAITING:
            MRD_TRY(part_wait(fanout, err));
            break;
        case PART_ALONE:
            MRD_TRY(ask_alone_more(fanout, err));
            break;
        case PART_ASKED:
            MRD_TRY(current_read(fanout, out, &event, err));
            break;
        case PART_DONE: /* left out */
            fanout->current++;
            out->kind = QRY_FANOUT_PARTITION;
            event = true;
            break;
        }
    }
    return MRD_OK;
}
