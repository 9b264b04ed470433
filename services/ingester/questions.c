#include "ingester/questions.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/threads.h"
#include "ingester/questions_internal.h"
#include "model/tenant.h"

enum { KINDS = MRD_QUERY_KINDS };

struct ing_questions {
    struct ing_questions_options options;
    struct mrd_rpc_server *server;
    struct mrd_counter *answered[KINDS][MRD_STATUS_COUNT];
    struct mrd_metrics_histogram *seconds[KINDS];
    struct mrd_counter *partitions;
    struct mrd_counter *series;
    struct mrd_counter *samples;
};

static const char *const kind_names[KINDS] = {
    "invalid",     "select",    "series",   "label_names", "label_values",
    "cardinality", "exemplars", "metadata", "fragment",    "known",
};

/* ---- one partition ---- */

static enum mrd_status call_look(void *context, struct mrd_error *err)
{
    return mrd_rpc_call_check(context, err);
}

struct mrd_look ing_question_look(const struct ing_question *question)
{
    return (struct mrd_look){call_look, question->call};
}

static bool call_ended(const void *context) { return mrd_rpc_call_ended(context); }

/* A strong read waits for its sequence, and lets other questions work meanwhile. */
static enum mrd_status strong_wait(struct ing_question *question, struct mrd_error *err)
{
    struct ing_partition *partition = ing_question_partition(question);
    const struct mrd_query_partition *asked = &question->request.partitions[question->at];
    const uint64_t sequence = asked->sequence_min;
    if (sequence == 0 || ing_partition_reached(partition, asked->log, sequence)) {
        return MRD_OK;
    }
    MRD_TRY(mrd_rpc_call_pause(question->call, err));
    const enum mrd_status status = ing_partition_wait(partition, asked->log, sequence,
                                                      mrd_rpc_call_deadline_ns(question->call),
                                                      call_ended, question->call, err);
    mrd_rpc_call_resume(question->call);
    question->work_since_ns = mrd_clock_monotonic_ns(mrd_clock_system());
    question->cpu_since_ns = mrd_thread_cpu_ns();
    return status;
}

/* Whoever left blocks out relies on what some head held: this one may have begun later, under the same name. */
static enum mrd_status check_held(const struct ing_question *question, struct mrd_error *err)
{
    const struct mrd_query_partition *asked = &question->request.partitions[question->at];
    if (asked->sequence_first_max == 0) {
        return MRD_OK;
    }
    uint64_t held = 0;
    const struct mrd_look look = ing_question_look(question);
    MRD_TRY(ing_partition_held(ing_question_partition(question), asked->log, asked->mark, &look,
                               &held, err));
    if (held == 0) {
        return mrd_fail(err, MRD_E_UNAVAILABLE,
                        "the head of partition %" PRIu32
                        " does not know from where on it holds the log, which has gone backwards "
                        "or was not read yet: if it stays so, restart the ingester",
                        asked->number);
    }
    return held <= asked->sequence_first_max
               ? MRD_OK
               : mrd_fail(err, MRD_E_UNAVAILABLE,
                          "the head of partition %" PRIu32 " begins at sequence %" PRIu64
                          " of the log, what is asked for needs it from %" PRIu64,
                          asked->number, held, asked->sequence_first_max);
}

static enum mrd_status answer_partition(struct ing_question *question, struct mrd_error *err)
{
    question->trailer = (struct mrd_query_trailer){0};
    MRD_TRY(strong_wait(question, err));
    MRD_TRY(check_held(question, err));
    question->trailer.sequence = ing_partition_applied(ing_question_partition(question));
    const enum mrd_query_kind kind = question->request.kind;
    MRD_TRY(kind == MRD_QUERY_SELECT || kind == MRD_QUERY_SERIES
                ? ing_question_select(question, err)
            : kind == MRD_QUERY_FRAGMENT ? ing_question_fragment(question, err)
            : kind == MRD_QUERY_KNOWN    ? ing_question_known(question, err)
                                         : ing_question_list(question, err));
    return ing_question_end(question, err);
}

/* ---- all of a question ---- */

void ing_question_give_back(struct ing_question *question, size_t index)
{
    ing_owner_give_back(question->options->owner, &question->partitions[index]);
}

/* What is not here is told first, so that others are asked soon. */
static enum mrd_status partitions_borrow(struct ing_question *question, struct mrd_error *err)
{
    for (size_t i = 0; i < question->request.partition_count; i++) {
        struct mrd_error why = {0};
        const uint32_t number = question->request.partitions[i].number;
        const enum mrd_status status =
            ing_owner_borrow(question->options->owner, number, &question->partitions[i], &why);
        if (status == MRD_E_UNAVAILABLE) {
            MRD_TRY(ing_question_failed(question, number, &why, err));
        } else if (status != MRD_OK) {
            *err = why;
            return status;
        }
    }
    return MRD_OK;
}

/* True: the question goes on, another ingester may have this partition. Whoever asks for what nobody would
 * answer, or has gone, hears it once for all partitions. */
static bool fails_alone(const struct ing_question *question, enum mrd_status status)
{
    return (status == MRD_E_UNAVAILABLE || status == MRD_E_NOT_FOUND || status == MRD_E_TIMEOUT ||
            status == MRD_E_CORRUPT) &&
           !mrd_rpc_call_ended(question->call);
}

static enum mrd_status answer_next(struct ing_questions *questions, struct ing_question *question,
                                   struct mrd_error *err)
{
    struct mrd_error why = {0};
    const enum mrd_status status = answer_partition(question, &why);
    ing_question_give_back(question, question->at);
    mrd_counter_add(questions->partitions, 1);
    mrd_counter_add(questions->series, question->trailer.series);
    mrd_counter_add(questions->samples, question->trailer.samples);
    if (fails_alone(question, status)) {
        return ing_question_failed(question, question->request.partitions[question->at].number,
                                   &why, err);
    }
    if (status != MRD_OK) {
        *err = why;
        return status;
    }
    return ing_question_pace(question, err);
}

static enum mrd_status answer_all(struct ing_questions *questions, struct ing_question *question,
                                  struct mrd_error *err)
{
    enum mrd_status status = partitions_borrow(question, err);
    for (; question->at < question->request.partition_count && status == MRD_OK; question->at++) {
        if (question->partitions[question->at] != NULL) {
            status = answer_next(questions, question, err);
        }
    }
    for (size_t i = 0; i < question->request.partition_count; i++) {
        ing_question_give_back(question, i);
    }
    return status;
}

static enum mrd_status answer(struct ing_questions *questions, struct ing_question *question,
                              struct mrd_arena *arena, struct mrd_error *err)
{
    MRD_TRY(mrd_query_request_decode(mrd_rpc_call_request(question->call), arena,
                                     &question->request, err));
    question->partitions = mrd_arena_alloc_array(arena, question->request.partition_count,
                                                 sizeof(struct ing_partition *));
    if (question->partitions == NULL) {
        return mrd_arena_fail(arena, err);
    }
    question->large = question->request.kind == MRD_QUERY_KNOWN; /* none is left to others */
    memset((void *)question->partitions, 0,
           question->request.partition_count * sizeof(struct ing_partition *));
    MRD_TRY(answer_all(questions, question, err));
    mrd_rpc_call_last_take(question->call, &question->out);
    return MRD_OK;
}

static void count_question(struct ing_questions *questions, const struct ing_question *question,
                           enum mrd_status status, int64_t started_ns)
{
    const size_t kind = (size_t)question->request.kind; /* 0: it could not be read */
    const int64_t now_ns = mrd_clock_monotonic_ns(mrd_clock_system());
    mrd_counter_add(questions->answered[kind][status], 1);
    mrd_metrics_histogram_observe(questions->seconds[kind], (double)(now_ns - started_ns) * 1e-9);
}

static enum mrd_status on_call(void *context, struct mrd_rpc_call *call, struct mrd_error *err)
{
    struct ing_questions *questions = context;
    const int64_t started_ns = mrd_clock_monotonic_ns(mrd_clock_system());
    struct ing_question question = {.options = &questions->options,
                                    .call = call,
                                    .background = mrd_thread_in_background(),
                                    .work_since_ns = started_ns,
                                    .cpu_since_ns = mrd_thread_cpu_ns()};
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena =
        mrd_arena_create("query request", questions->options.memory_bytes_max);
    const enum mrd_status status = answer(questions, &question, arena, err);
    count_question(questions, &question, status, started_ns);
    mrd_query_request_fini(&question.request);
    mrd_buf_fini(&question.out);
    return status;
}

/* What questions share workers by. Distributors' are not to wait behind the same tenant's queries: writes wait for them. */
static void flow_of(void *context, struct mrd_bytes request, struct mrd_rpc_flow *out)
{
    const struct ing_questions *questions = context;
    const struct mrd_query_envelope asked = mrd_query_request_peek(request);
    struct ing_limits limits = {0};
    if (questions->options.settings != NULL) {
        mrd_tenancy_settings_get(questions->options.settings, asked.tenant, &limits);
    }
    const bool known = asked.kind == MRD_QUERY_KNOWN;
    out->key = mrd_tenant_seed(asked.tenant) + (known ? 1 : 0);
    out->urgent = known;
    out->patient = asked.patient;
    out->workers = known ? 1 : limits.workers;
    out->queue_max = known ? 0 : limits.queue_max;
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
    questions->partitions = mrd_metrics_counter(
        metrics, "meridian_ingester_query_partitions_total",
        "Partitions that questions were answered from; one question asks for several.",
        MRD_NO_LABELS);
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
    const struct mrd_rpc_server_options server = {
        .subject = mrd_query_subject(options->instance, subject),
        .workers = options->workers,
        .queue_max = options->queue_max,
        .full = "too many questions wait at the ingester (ingester.query_queue_max)",
        .flow = flow_of,
        .flow_full = "too many questions of the tenant wait at the ingester "
                     "(ingester.tenant_queue_max)",
        .listener_take = options->listener_take,
        .handle = on_call,
        .context = questions,
    };
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
