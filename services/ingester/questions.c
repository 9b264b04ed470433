#include "ingester/questions.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "codec/frame.h"
#include "wire/query.h"

enum {
    LABELS_BYTES_MAX = 4 << 20, /* of one series, decoded */
    SLICE_BYTES = 192 * 1024,   /* a slice passes this by one series at most */
    KINDS = MRD_QUERY_METADATA + 1,
};

struct ing_questions {
    struct ing_questions_options options;
    struct mrd_rpc_server *server;
    struct mrd_counter *answered[KINDS][MRD_STATUS_COUNT];
    struct mrd_metrics_histogram *seconds[KINDS];
    struct mrd_counter *series;
    struct mrd_counter *samples;
};

/* One question under way. */
struct question {
    struct ing_questions *questions;
    struct mrd_rpc_call *call;
    struct ing_partition *partition;
    struct mrd_query_request request;
    struct mrd_query_trailer trailer;
    struct mrd_buf out; /* what is gathered for the next chunk */
};

static const char *const kind_names[KINDS] = {
    "invalid",      "select",      "series",    "label_names",
    "label_values", "cardinality", "exemplars", "metadata",
};

/* ---- chunks ---- */

static size_t chunk_bytes_max(const struct question *question)
{
    const int64_t payload_max = mrd_bus_payload_max(question->questions->options.bus);
    const int64_t room = payload_max - MRD_RPC_FRAME_BYTES - 1024;
    return room < MRD_RPC_CHUNK_BYTES ? (size_t)MRD_MAX(room, (int64_t)1024)
                                      : (size_t)MRD_RPC_CHUNK_BYTES;
}

static enum mrd_status chunk_flush(struct question *question, struct mrd_error *err)
{
    const enum mrd_status status =
        mrd_rpc_call_send(question->call, mrd_buf_view(&question->out), err);
    mrd_buf_clear(&question->out);
    return status;
}

/* Adds an item that must not be cut; what is gathered goes first if both do not fit. */
static enum mrd_status chunk_add(struct question *question, struct mrd_bytes item,
                                 struct mrd_error *err)
{
    if (question->out.size > 0 && question->out.size + item.size > chunk_bytes_max(question)) {
        MRD_TRY(chunk_flush(question, err));
    }
    mrd_buf_append_bytes(&question->out, item);
    return MRD_OK;
}

/* A series too large for a chunk: frames with the same labels, their chunks in order. */
static enum mrd_status series_split(struct question *question, struct mrd_frame *frame,
                                    struct mrd_error *err)
{
    const size_t limit = chunk_bytes_max(question);
    struct mrd_buf piece = {0};
    struct mrd_buf chunks = {0};
    uint32_t count = 0;
    enum mrd_status status = MRD_OK;
    struct mrd_chunk chunk;
    bool more = mrd_frame_read_chunk(frame, &chunk);
    while (more && status == MRD_OK) {
        mrd_frame_write_chunk(&chunks, &chunk);
        count++;
        more = mrd_frame_read_chunk(frame, &chunk);
        if (!more || chunks.size + chunk.bytes.size + frame->labels.size + 64 > limit) {
            mrd_frame_write_head(&piece, frame->labels, count);
            mrd_buf_append_bytes(&piece, mrd_buf_view(&chunks));
            status = chunk_add(question, mrd_buf_view(&piece), err);
            mrd_buf_clear(&piece);
            mrd_buf_clear(&chunks);
            count = 0;
        }
    }
    mrd_buf_fini(&piece);
    mrd_buf_fini(&chunks);
    return status;
}

/* Sends a slice: whole if it fits, else series by series. */
static enum mrd_status frames_send(struct question *question, struct mrd_bytes frames,
                                   struct mrd_error *err)
{
    if (frames.size <= chunk_bytes_max(question)) {
        return mrd_rpc_call_send(question->call, frames, err);
    }
    struct mrd_reader reader = mrd_reader_of(frames);
    while (mrd_reader_left(&reader) > 0) {
        const uint8_t *start = reader.at;
        struct mrd_frame frame;
        MRD_TRY(mrd_frame_read(&reader, &frame, err));
        const struct mrd_bytes whole = {start, (size_t)(reader.at - start)};
        MRD_TRY(whole.size <= chunk_bytes_max(question) ? chunk_add(question, whole, err)
                                                        : series_split(question, &frame, err));
    }
    return chunk_flush(question, err);
}

/* ---- select and series ---- */

struct select_ask {
    struct ing_ask ask; /* first */
    const struct question *question;
    struct mrd_head_cursor *cursor;
    struct mrd_head_selection *selection;
    bool begun;
    bool close;
};

static struct mrd_head_query head_query(const struct mrd_query_request *request)
{
    return (struct mrd_head_query){
        .tenant = request->tenant,
        .matchers = request->matchers,
        .matcher_count = request->matcher_count,
        .time_min_ms = request->time_min_ms,
        .time_max_ms = request->time_max_ms,
        .series_max = request->series_max,
        .samples_max = request->samples_max,
        .labels_only = request->kind == MRD_QUERY_SERIES,
    };
}

/* On the shard: opens the cursor the first time, makes a slice, or closes. */
static enum mrd_status select_run(struct ing_ask *base, struct mrd_head *head,
                                  struct mrd_error *err)
{
    struct select_ask *ask = (struct select_ask *)base;
    if (ask->close) {
        mrd_head_cursor_destroy(&ask->cursor);
        return MRD_OK;
    }
    if (!ask->begun) {
        const struct mrd_head_query query = head_query(&ask->question->request);
        ask->begun = true;
        MRD_TRY(mrd_head_select(head, &query, &ask->cursor, err));
    }
    MRD_TRY(mrd_head_cursor_next(ask->cursor, SLICE_BYTES, &ask->selection, err));
    if (ask->selection == NULL) {
        mrd_head_cursor_destroy(&ask->cursor);
    }
    return MRD_OK;
}

static enum mrd_status slice_send(struct question *question, struct mrd_head_selection *selection,
                                  struct mrd_error *err)
{
    question->trailer.series += selection->series_count;
    question->trailer.chunks += selection->chunk_count;
    question->trailer.samples += selection->sample_count;
    return frames_send(question, mrd_buf_view(&selection->frames), err);
}

static enum mrd_status select_slices(struct question *question, struct select_ask *ask,
                                     struct mrd_error *err)
{
    for (;;) {
        MRD_TRY(mrd_rpc_call_check(question->call, err));
        MRD_TRY(ing_partition_ask(question->partition, &ask->ask, err));
        if (ask->selection == NULL) {
            return MRD_OK;
        }
        const enum mrd_status status = slice_send(question, ask->selection, err);
        mrd_head_selection_destroy(&ask->selection);
        MRD_TRY(status);
    }
}

static enum mrd_status answer_select(struct question *question, struct mrd_error *err)
{
    struct select_ask ask = {.ask = {.run = select_run}, .question = question};
    const enum mrd_status status = select_slices(question, &ask, err);
    while (ask.cursor != NULL) { /* ended early: only the shard may close it */
        ask.close = true;
        struct mrd_error ignored;
        if (ing_partition_ask(question->partition, &ask.ask, &ignored) != MRD_OK) {
            const struct timespec pause = {.tv_nsec = 10 * 1000000};
            nanosleep(&pause, NULL); /* the queue is full; the partition cannot close under us */
        }
    }
    return status;
}

/* ---- names and counts ---- */

struct list_ask {
    struct ing_ask ask; /* first */
    const struct question *question;
    struct mrd_buf texts; /* bounded by the request's memory */
    size_t count;
};

static void emit_text(void *context, struct mrd_bytes text)
{
    struct list_ask *ask = context;
    mrd_query_text_write(&ask->texts, text);
    ask->count++;
}

static void emit_value_count(void *context, struct mrd_bytes text, uint64_t series, uint64_t values)
{
    struct list_ask *ask = context;
    const struct mrd_query_count count = {MRD_QUERY_COUNT_VALUES, text, series, values};
    mrd_query_count_write(&ask->texts, &count);
    ask->count++;
}

static void emit_name_count(void *context, struct mrd_bytes text, uint64_t series, uint64_t values)
{
    struct list_ask *ask = context;
    const struct mrd_query_count count = {MRD_QUERY_COUNT_NAMES, text, series, values};
    mrd_query_count_write(&ask->texts, &count);
    ask->count++;
}

static void emit_exemplar(void *context, struct mrd_bytes labels,
                          const struct mrd_exemplar *exemplar)
{
    struct list_ask *ask = context;
    const struct mrd_query_exemplar item = {labels, *exemplar};
    mrd_query_exemplar_write(&ask->texts, &item);
    ask->count++;
}

static void emit_family(void *context, const struct ing_family *family)
{
    struct list_ask *ask = context;
    const struct mrd_query_family item = {family->metadata, family->hlc, family->origin};
    mrd_query_family_write(&ask->texts, &item);
    ask->count++;
}

static enum mrd_status list_exemplars(struct list_ask *ask, struct mrd_error *err)
{
    const struct mrd_query_request *request = &ask->question->request;
    const struct ing_exemplar_query query = {
        .tenant = request->tenant,
        .matchers = request->matchers,
        .matcher_count = request->matcher_count,
        .time_min_ms = request->time_min_ms,
        .time_max_ms = request->time_max_ms,
    };
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("labels of one series", LABELS_BYTES_MAX);
    return ing_exemplars_select(ing_store_exemplars(ask->ask.store), &query, arena, emit_exemplar,
                                ask, err);
}

static enum mrd_status list_run(struct ing_ask *base, struct mrd_head *head, struct mrd_error *err)
{
    struct list_ask *ask = (struct list_ask *)base;
    const struct mrd_query_request *request = &ask->question->request;
    const struct mrd_head_query query = head_query(request);
    if (request->kind == MRD_QUERY_LABEL_NAMES) {
        MRD_TRY(mrd_head_label_names(head, &query, emit_text, ask, err));
    } else if (request->kind == MRD_QUERY_LABEL_VALUES) {
        MRD_TRY(mrd_head_label_values(head, &query, request->label, emit_text, ask, err));
    } else if (request->kind == MRD_QUERY_EXEMPLARS) {
        MRD_TRY(list_exemplars(ask, err));
    } else if (request->kind == MRD_QUERY_METADATA) {
        ing_families_each(ing_store_families(ask->ask.store), request->tenant, request->label,
                          emit_family, ask);
    } else {
        const struct mrd_bytes label =
            request->label.size == 0 ? MRD_BYTES(MRD_METRIC_NAME) : request->label;
        mrd_head_count_by_value(head, request->tenant, label, emit_value_count, ask);
        mrd_head_count_by_name(head, request->tenant, emit_name_count, ask);
        /* const in the message, but ours: the worker waits for us. */
        ((struct question *)(uintptr_t)ask->question)->trailer.total =
            mrd_head_tenant_series(head, request->tenant);
    }
    return ask->texts.failed ? mrd_fail(err, MRD_E_LIMIT,
                                        "the answer's list needs more than %zu bytes "
                                        "(ingester.request_memory_bytes_max)",
                                        ask->texts.limit)
                             : MRD_OK;
}

/* Reads over the next item of such an answer. */
static bool item_skip(enum mrd_query_kind kind, struct mrd_reader *reader)
{
    struct mrd_bytes text;
    struct mrd_query_exemplar exemplar;
    struct mrd_query_family family;
    return kind == MRD_QUERY_EXEMPLARS  ? mrd_query_exemplar_read(reader, &exemplar)
           : kind == MRD_QUERY_METADATA ? mrd_query_family_read(reader, &family)
                                        : mrd_query_text_read(reader, &text);
}

static enum mrd_status texts_send(struct question *question, struct mrd_bytes texts,
                                  struct mrd_error *err)
{
    struct mrd_reader reader = mrd_reader_of(texts);
    for (;;) {
        const uint8_t *start = reader.at;
        if (!item_skip(question->request.kind, &reader)) {
            return chunk_flush(question, err);
        }
        MRD_TRY(chunk_add(question, (struct mrd_bytes){start, (size_t)(reader.at - start)}, err));
    }
}

static int count_compare(const void *a, const void *b)
{
    const struct mrd_query_count *x = a;
    const struct mrd_query_count *y = b;
    if (x->list != y->list) {
        return x->list < y->list ? -1 : 1;
    }
    if (x->series != y->series) {
        return x->series > y->series ? -1 : 1;
    }
    return mrd_bytes_compare(x->name, y->name);
}

/* The greatest of each list first; `limit` of each. */
static enum mrd_status counts_send(struct question *question, const struct list_ask *ask,
                                   struct mrd_error *err)
{
    struct mrd_query_count *counts = calloc(ask->count + 1, sizeof(*counts));
    mrd_assert(counts != NULL);
    struct mrd_reader reader = mrd_reader_of(mrd_buf_view(&ask->texts));
    size_t count = 0;
    while (count < ask->count && mrd_query_count_read(&reader, &counts[count])) {
        count++;
    }
    qsort(counts, count, sizeof(*counts), count_compare);
    const uint32_t limit = question->request.limit;
    uint32_t sent[MRD_QUERY_COUNT_NAMES + 1] = {0};
    struct mrd_buf item = {0};
    enum mrd_status status = MRD_OK;
    for (size_t i = 0; i < count && status == MRD_OK; i++) {
        if (limit == 0 || sent[counts[i].list]++ < limit) {
            mrd_buf_clear(&item);
            mrd_query_count_write(&item, &counts[i]);
            status = chunk_add(question, mrd_buf_view(&item), err);
        }
    }
    mrd_buf_fini(&item);
    free(counts);
    return status == MRD_OK ? chunk_flush(question, err) : status;
}

static enum mrd_status answer_list(struct question *question, struct mrd_error *err)
{
    struct list_ask ask = {.ask = {.run = list_run}, .question = question};
    mrd_buf_init(&ask.texts, question->questions->options.memory_bytes_max);
    enum mrd_status status = ing_partition_ask(question->partition, &ask.ask, err);
    if (status == MRD_OK) {
        status = question->request.kind == MRD_QUERY_CARDINALITY
                     ? counts_send(question, &ask, err)
                     : texts_send(question, mrd_buf_view(&ask.texts), err);
    }
    mrd_buf_fini(&ask.texts);
    return status;
}

/* ---- a question ---- */

static bool call_ended(const void *context) { return mrd_rpc_call_ended(context); }

static enum mrd_status strong_wait(struct question *question, struct mrd_error *err)
{
    if (question->request.sequence_min == 0) {
        return MRD_OK;
    }
    return ing_partition_wait(question->partition, question->request.sequence_min,
                              mrd_rpc_call_deadline_ns(question->call), call_ended, question->call,
                              err);
}

static enum mrd_status answer(struct question *question, struct mrd_error *err)
{
    MRD_TRY(strong_wait(question, err));
    struct ing_partition_progress progress;
    ing_partition_progress(question->partition, &progress);
    question->trailer.sequence = progress.applied;
    const enum mrd_query_kind kind = question->request.kind;
    return kind == MRD_QUERY_SELECT || kind == MRD_QUERY_SERIES ? answer_select(question, err)
                                                                : answer_list(question, err);
}

static enum mrd_status answer_borrowed(struct question *question, struct mrd_error *err)
{
    struct ing_questions *questions = question->questions;
    uint32_t partition;
    if (!mrd_query_subject_parse(mrd_rpc_call_subject(question->call), &partition)) {
        return mrd_fail(err, MRD_E_INVALID, "%s names no partition",
                        mrd_rpc_call_subject(question->call));
    }
    MRD_TRY(ing_owner_borrow(questions->options.owner, partition, &question->partition, err));
    const enum mrd_status status = answer(question, err);
    ing_owner_give_back(questions->options.owner, &question->partition);
    return status;
}

static void count_question(struct question *question, enum mrd_status status, int64_t started_ns)
{
    struct ing_questions *questions = question->questions;
    const size_t kind = (size_t)question->request.kind; /* 0: it could not be read */
    const int64_t now_ns = mrd_clock_monotonic_ns(mrd_clock_system());
    mrd_counter_add(questions->answered[kind][status], 1);
    mrd_metrics_histogram_observe(questions->seconds[kind], (double)(now_ns - started_ns) * 1e-9);
    mrd_counter_add(questions->series, question->trailer.series);
    mrd_counter_add(questions->samples, question->trailer.samples);
}

static enum mrd_status on_call(void *context, struct mrd_rpc_call *call, struct mrd_error *err)
{
    struct ing_questions *questions = context;
    const int64_t started_ns = mrd_clock_monotonic_ns(mrd_clock_system());
    struct question question = {.questions = questions, .call = call};
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena =
        mrd_arena_create("query request", questions->options.memory_bytes_max);
    enum mrd_status status =
        mrd_query_request_decode(mrd_rpc_call_request(call), arena, &question.request, err);
    if (status == MRD_OK) {
        status = answer_borrowed(&question, err);
    }
    if (status == MRD_OK) {
        struct mrd_buf trailer = {0};
        mrd_query_trailer_encode(&question.trailer, &trailer);
        mrd_rpc_call_trailer(call, mrd_buf_view(&trailer));
        mrd_buf_fini(&trailer);
    }
    count_question(&question, status, started_ns);
    mrd_query_request_fini(&question.request);
    mrd_buf_fini(&question.out);
    return status;
}

/* ---- life ---- */

static void metrics_init(struct ing_questions *questions, struct mrd_metrics *metrics)
{
    for (size_t kind = 0; kind < KINDS; kind++) {
        const struct mrd_metric_label by_kind[] = {
            {"kind", kind_names[kind]},
            {NULL,   NULL            }
        };
        questions->seconds[kind] = mrd_metrics_histogram(
            metrics, "meridian_ingester_query_seconds", "Time to answer a question, by kind.",
            by_kind, mrd_bounds_seconds, mrd_bounds_seconds_count);
        for (size_t status = 0; status < MRD_STATUS_COUNT; status++) {
            const struct mrd_metric_label labels[] = {
                {"kind",   kind_names[kind]                        },
                {"status", mrd_status_name((enum mrd_status)status)},
                {NULL,     NULL                                    }
            };
            questions->answered[kind][status] =
                mrd_metrics_counter(metrics, "meridian_ingester_queries_total",
                                    "Questions answered, by kind and outcome.", labels);
        }
    }
    questions->series = mrd_metrics_counter(metrics, "meridian_ingester_query_series_total",
                                            "Series sent to queriers.", MRD_NO_LABELS);
    questions->samples = mrd_metrics_counter(metrics, "meridian_ingester_query_samples_total",
                                             "Samples sent to queriers.", MRD_NO_LABELS);
}

enum mrd_status ing_questions_create(const struct ing_questions_options *options,
                                     struct ing_questions **out_questions, struct mrd_error *err)
{
    struct ing_questions *questions = calloc(1, sizeof(*questions));
    mrd_assert(questions != NULL);
    questions->options = *options;
    metrics_init(questions, options->metrics);
    char subject[MRD_QUERY_SUBJECT_MAX];
    snprintf(subject, sizeof(subject), "mrd.query.*.%s", options->instance);
    const struct mrd_rpc_server_options server = {.subject = subject,
                                                  .workers = options->workers,
                                                  .queue_max = options->queue_max,
                                                  .handle = on_call,
                                                  .context = questions};
    const enum mrd_status status =
        mrd_rpc_server_create(options->bus, &server, &questions->server, err);
    if (status != MRD_OK) {
        free(questions);
        return status;
    }
    *out_questions = questions;
    return MRD_OK;
}

void ing_questions_destroy(struct ing_questions **questions, mrd_time_ms drain_ms)
{
    if (*questions == NULL) {
        return;
    }
    mrd_rpc_server_destroy(&(*questions)->server, drain_ms);
    free(*questions);
    *questions = NULL;
}
