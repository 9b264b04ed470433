#include "distributor/asker.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/threads.h"
#include "distributor/write.h"

enum {
    ROUND_MAX = 64,
    WAITS_MAX = 2,
    NEARLY = 200, /* within so small a part of the limit it counts as reached */
    POST_RETRY_MS = 5,
    SERIES_BYTES = 64, /* that one doubt takes, about */
};
static const int64_t MS = 1000000;

struct dst_asker {
    struct dst_asker_options options;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    struct dst_write *first; /* that wait, in order, linked by `next_asked` */
    struct dst_write **last;
    bool stopping;
    bool joined;
};

void dst_asker_metrics_init(struct dst_asker_metrics *metrics, struct mrd_metrics *registry)
{
    static const char *const names[DST_VERDICTS] = {
        [DST_DOUBT_ACTIVE] = "active",
        [DST_DOUBT_GRANTED] = "granted",
        [DST_DOUBT_REFUSED] = "refused",
        [DST_DOUBT_UNANSWERED] = "unchecked",
    };
    for (size_t i = 0; i < DST_VERDICTS; i++) {
        if (names[i] != NULL) {
            metrics->series[i] = mrd_metrics_counter(
                registry, "meridian_distributor_active_series_checked_total",
                "Series of tenants near limits.active_series_max that were not known here: what "
                "came of it. unchecked: ingesters did not say, so they were let through.",
                MRD_LABELS({"result", names[i]}));
        }
    }
    metrics->questions = mrd_metrics_counter(
        registry, "meridian_distributor_active_series_questions_total",
        "Questions to ingesters about active series, of one write each.", MRD_NO_LABELS);
}

/* ---- one round ---- */

static int64_t now_ns(const struct dst_asker *asker)
{
    return mrd_clock_monotonic_ns(asker->options.clock);
}

/* Lists the open doubts by partition. The caller frees the lists. */
static void question_init(const struct dst_asker *asker, const struct dst_write *write,
                          struct dst_question *question)
{
    const uint32_t partitions = asker->options.partition_count;
    const struct dst_doubts *doubts = write->doubts;
    uint32_t *starts = calloc(partitions + 2, sizeof(*starts));
    uint32_t *order = calloc(doubts->count + 1, sizeof(*order));
    mrd_assert(starts != NULL && order != NULL);
    for (size_t i = 0; i < doubts->count; i++) {
        starts[doubts->items[i].partition + 2] += doubts->items[i].verdict == DST_DOUBT_OPEN;
    }
    for (uint32_t p = 2; p < partitions + 2; p++) {
        starts[p] += starts[p - 1];
    }
    for (uint32_t i = 0; i < doubts->count; i++) {
        if (doubts->items[i].verdict == DST_DOUBT_OPEN) {
            order[starts[doubts->items[i].partition + 1]++] = i;
        }
    }
    *question = (struct dst_question){
        .tenant = write->tenant,
        .doubts = doubts,
        .order = order,
        .starts = starts,
        .answered = calloc(partitions, sizeof(bool)),
        .active = calloc(doubts->count + 1, sizeof(bool)),
    };
    mrd_assert(question->answered != NULL && question->active != NULL);
}

static void question_fini(struct dst_question *question)
{
    free((void *)(uintptr_t)question->order); /* ours, read only while it is shared */
    free((void *)(uintptr_t)question->starts);
    free(question->answered);
    free(question->active);
}

static void decide_one(const struct dst_asker *asker, struct dst_write *write, size_t item,
                       enum dst_verdict verdict)
{
    dst_doubts_decide(write->doubts, item, verdict);
    mrd_counter_add(asker->options.metrics->series[verdict], 1);
}

/* The first `count` open ones. */
static void decide_open(const struct dst_asker *asker, struct dst_write *write, uint64_t count,
                        enum dst_verdict verdict)
{
    const struct dst_doubts *doubts = write->doubts;
    for (size_t i = 0; doubts->open > 0 && count > 0; i++) {
        if (doubts->items[i].verdict == DST_DOUBT_OPEN) {
            decide_one(asker, write, i, verdict);
            count--;
        }
    }
}

/* What the answers say by themselves. Those that are new stay open. */
static void answers_apply(const struct dst_asker *asker, struct dst_write *write,
                          const struct dst_question *question)
{
    for (uint32_t p = 0; p < asker->options.partition_count; p++) {
        for (uint32_t at = question->starts[p]; at < question->starts[p + 1]; at++) {
            if (!question->answered[p]) {
                decide_one(asker, write, question->order[at], DST_DOUBT_UNANSWERED);
            } else if (question->active[at]) {
                decide_one(asker, write, question->order[at], DST_DOUBT_ACTIVE);
            }
        }
    }
}

/* False: what was introduced a moment ago decides, and that is not known yet. */
static bool is_reached(const struct dst_asker *asker, const struct dst_write *write)
{
    const struct dst_tally_state state = dst_tally_state(asker->options.tallies, write->tally);
    return state.series >= state.limit - state.limit / NEARLY;
}

/* Decides all, or leaves some open, to be asked about again a moment later: what is granted is introduced before that. */
static void decide(const struct dst_asker *asker, struct dst_write *write,
                   const struct dst_question *question, uint64_t mark)
{
    struct dst_tallies *tallies = asker->options.tallies;
    const uint32_t partitions = asker->options.partition_count;
    uint32_t answered = 0;
    for (uint32_t p = 0; p < partitions; p++) {
        answered += question->answered[p];
    }
    if (answered * 2 < partitions) {
        dst_tally_open(tallies, write->tally);
        decide_open(asker, write, UINT64_MAX, DST_DOUBT_UNANSWERED);
        return;
    }
    /* Series are spread evenly, so partitions that nobody answered for have about as many. */
    const struct dst_tally_report report = {.mark = mark,
                                            .series = question->series * partitions / answered,
                                            .distributors = question->distributors};
    dst_tally_report(tallies, write->tally, &report);
    answers_apply(asker, write, question);
    const uint64_t granted = dst_tally_grant(tallies, write->tally, write->doubts->open);
    decide_open(asker, write, granted, DST_DOUBT_GRANTED);
    const int64_t again_ns = now_ns(asker) + DST_TALLY_SETTLE_MS * MS;
    if (is_reached(asker, write) || write->waits == WAITS_MAX || again_ns >= write->deadline_ns) {
        decide_open(asker, write, UINT64_MAX, DST_DOUBT_REFUSED);
    } else if (write->doubts->open > 0) {
        write->waits++;
        write->ask_after_ns = again_ns;
    }
}

static void hand_back(const struct dst_asker *asker, struct dst_write *write)
{
    dst_tally_wait_end(write->tally, write->waiting_bytes);
    if (write->doubts->open == 0) {
        write->waits = 0;
        write->ask_after_ns = 0;
    }
    while (!asker->options.done(asker->options.context, write)) {
        const struct timespec pause = {.tv_nsec = POST_RETRY_MS * MS};
        nanosleep(&pause, NULL);
    }
}

static void append(struct dst_asker *asker, struct dst_write *write)
{
    write->next_asked = NULL;
    *asker->last = write;
    asker->last = &write->next_asked;
}

static void round_run(struct dst_asker *asker, struct dst_write **writes, size_t count)
{
    struct dst_question questions[ROUND_MAX];
    uint64_t marks[ROUND_MAX];
    for (size_t i = 0; i < count; i++) {
        question_init(asker, writes[i], &questions[i]);
        marks[i] = dst_tally_mark(asker->options.tallies, writes[i]->tally);
    }
    asker->options.ask(asker->options.context, questions, count);
    mrd_counter_add(asker->options.metrics->questions, count);
    for (size_t i = 0; i < count; i++) {
        decide(asker, writes[i], &questions[i], marks[i]);
        question_fini(&questions[i]);
        hand_back(asker, writes[i]);
    }
}

static void let_through(const struct dst_asker *asker, struct dst_write *const *writes,
                        size_t count)
{
    for (size_t i = 0; i < count; i++) {
        decide_open(asker, writes[i], UINT64_MAX, DST_DOUBT_UNANSWERED);
        hand_back(asker, writes[i]);
    }
}

/* ---- the thread ---- */

/* Lock held. Takes those that are due; when there are none, *out_next_ns is when the next one is. */
static size_t take_due(struct dst_asker *asker, struct dst_write *writes[ROUND_MAX],
                       int64_t *out_next_ns)
{
    const int64_t now = now_ns(asker);
    size_t count = 0;
    *out_next_ns = INT64_MAX;
    struct dst_write **at = &asker->first;
    while (*at != NULL && count < ROUND_MAX) {
        struct dst_write *write = *at;
        if (asker->stopping || write->ask_after_ns <= now) {
            writes[count++] = write;
            *at = write->next_asked;
        } else {
            *out_next_ns = MRD_MIN(*out_next_ns, write->ask_after_ns);
            at = &write->next_asked;
        }
    }
    if (*at == NULL) {
        asker->last = at;
    }
    return count;
}

/* Lock held. */
static void sleep_until(struct dst_asker *asker, int64_t at_ns)
{
    if (at_ns == INT64_MAX) {
        pthread_cond_wait(&asker->wake, &asker->lock);
        return;
    }
    /* By the system's clock, however that of the options goes. */
    const int64_t until_ns = mrd_clock_monotonic_ns(mrd_clock_system()) + at_ns - now_ns(asker);
    const struct timespec until = {until_ns / (1000 * MS), until_ns % (1000 * MS)};
    (void)pthread_cond_timedwait(&asker->wake, &asker->lock, &until);
}

static void *run(void *context)
{
    struct dst_asker *asker = context;
    mrd_thread_name_set("asker");
    pthread_mutex_lock(&asker->lock);
    while (!asker->stopping || asker->first != NULL) {
        struct dst_write *writes[ROUND_MAX];
        int64_t next_ns;
        const size_t count = take_due(asker, writes, &next_ns);
        if (count == 0) {
            sleep_until(asker, next_ns);
            continue;
        }
        const bool stopping = asker->stopping;
        pthread_mutex_unlock(&asker->lock);
        if (stopping) {
            let_through(asker, writes, count);
        } else {
            round_run(asker, writes, count);
        }
        pthread_mutex_lock(&asker->lock);
    }
    pthread_mutex_unlock(&asker->lock);
    return NULL;
}

/* ---- life ---- */

struct dst_asker *dst_asker_create(const struct dst_asker_options *options)
{
    struct dst_asker *asker = calloc(1, sizeof(*asker));
    mrd_assert(asker != NULL);
    asker->options = *options;
    asker->last = &asker->first;
    pthread_mutex_init(&asker->lock, NULL);
    mrd_cond_init(&asker->wake);
    mrd_assert(pthread_create(&asker->thread, NULL, run, asker) == 0);
    return asker;
}

enum dst_asker_post dst_asker_post(struct dst_asker *asker, struct dst_write *write)
{
    write->waiting_bytes = (int64_t)write->body.size + (int64_t)write->doubts->count * SERIES_BYTES;
    if (!dst_tally_wait_begin(write->tally, write->waiting_bytes,
                              asker->options.waiting_bytes_max)) {
        return DST_ASKER_BUSY;
    }
    pthread_mutex_lock(&asker->lock);
    const bool taken = !asker->stopping;
    if (taken) {
        append(asker, write);
        pthread_cond_signal(&asker->wake);
    }
    pthread_mutex_unlock(&asker->lock);
    if (taken) {
        return DST_ASKER_TAKEN;
    }
    dst_tally_wait_end(write->tally, write->waiting_bytes);
    decide_open(asker, write, UINT64_MAX, DST_DOUBT_UNANSWERED);
    return DST_ASKER_STOPPED;
}

void dst_asker_stop(struct dst_asker *asker)
{
    pthread_mutex_lock(&asker->lock);
    asker->stopping = true;
    pthread_cond_signal(&asker->wake);
    pthread_mutex_unlock(&asker->lock);
    if (!asker->joined) {
        asker->joined = true;
        pthread_join(asker->thread, NULL);
    }
}

void dst_asker_destroy(struct dst_asker **asker)
{
    if (*asker == NULL) {
        return;
    }
    dst_asker_stop(*asker);
    pthread_mutex_destroy(&(*asker)->lock);
    pthread_cond_destroy(&(*asker)->wake);
    free(*asker);
    *asker = NULL;
}
