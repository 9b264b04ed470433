#include "loader/run.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "loader/acked.h"
#include "loader/body.h"
#include "loader/link.h"

enum { NS_PER_MS = 1000000, BACKOFF_MS_MIN = 30, BACKOFF_MS_MAX = 5000, EVENTS_MAX = 64 };
#define NS_PER_S 1000000000LL
#define NEVER_NS INT64_MAX

enum lane_state {
    LANE_IDLE,    /* no request under way */
    LANE_SENDING, /* on the link, perhaps still connecting */
    LANE_BACKOFF, /* the current request waits for wake_ns to be sent again */
    LANE_DONE,
};

/* One connection and its requests. */
struct lane {
    uint32_t index;
    enum lane_state state;
    struct load_link link;
    struct load_encoder encoder;
    uint64_t request_count;
    uint64_t next;              /* number of the request to take next */
    struct load_body *prepared; /* requests 0 .. prepared_count */
    uint64_t prepared_count;
    struct load_body ready; /* request `next`, made ahead; data is NULL if it is not */
    struct load_body current;
    int64_t begin_ns; /* of the current request: due or first sent */
    int64_t deadline_ns;
    int64_t wake_ns;
    int64_t backoff_ms;
    struct load_acked acked;
};

struct run {
    const struct load_options *options;
    const struct mrd_clock *clock;
    atomic_bool *stop;
    struct load_results *results;
    struct lane *lanes;
    uint32_t lane_count;
    int epoll_fd;
    struct sockaddr_storage address;
    socklen_t address_size;
    bool stopping;
};

static int64_t now_ns(const struct run *run) { return mrd_clock_monotonic_ns(run->clock); }

/* ---- bodies ---- */

static struct load_body make_body(struct run *run, struct lane *lane, uint64_t number)
{
    const struct load_request request = load_plan_request(&run->options->plan, lane->index, number);
    return load_body_encode(&lane->encoder, &request);
}

struct prepare_job {
    struct run *run;
    struct lane *lane;
    uint64_t bytes_max;
    pthread_t thread;
};

static void *prepare_lane(void *argument)
{
    struct prepare_job *job = argument;
    struct lane *lane = job->lane;
    uint64_t bytes = 0;
    lane->prepared = calloc((size_t)lane->request_count + 1, sizeof(*lane->prepared));
    mrd_assert(lane->prepared != NULL);
    while (lane->prepared_count < lane->request_count && bytes < job->bytes_max &&
           !atomic_load_explicit(job->run->stop, memory_order_relaxed)) {
        struct load_body *body = &lane->prepared[lane->prepared_count];
        *body = make_body(job->run, lane, lane->prepared_count);
        lane->prepared_count++;
        bytes += body->size;
    }
    return NULL;
}

/* Makes bodies ahead, a few lanes at a time, each on a thread of its own. */
static void prepare(struct run *run)
{
    enum { THREADS = 4 };
    if (run->options->prepare_bytes == 0) {
        return;
    }
    const int64_t begin_ns = now_ns(run);
    for (uint32_t first = 0; first < run->lane_count; first += THREADS) {
        struct prepare_job jobs[THREADS];
        const uint32_t count = MRD_MIN(run->lane_count - first, (uint32_t)THREADS);
        for (uint32_t i = 0; i < count; i++) {
            jobs[i] = (struct prepare_job){
                .run = run,
                .lane = &run->lanes[first + i],
                .bytes_max = run->options->prepare_bytes / run->lane_count,
            };
            const int error = pthread_create(&jobs[i].thread, NULL, prepare_lane, &jobs[i]);
            mrd_assert(error == 0);
        }
        for (uint32_t i = 0; i < count; i++) {
            (void)pthread_join(jobs[i].thread, NULL);
            run->results->prepared_requests += jobs[i].lane->prepared_count;
        }
    }
    run->results->prepare_seconds = (double)(now_ns(run) - begin_ns) / 1e9;
}

/* ---- the life of a request ---- */

static void remember_failure(struct run *run, const char *what, const char *text)
{
    struct load_results *results = run->results;
    if (results->first_failure[0] == '\0') {
        snprintf(results->first_failure, sizeof(results->first_failure), "%s: %s", what, text);
    }
}

static void lane_finish_request(struct run *run, struct lane *lane)
{
    run->results->requests++;
    run->results->end_ns = now_ns(run);
    load_body_fini(&lane->current);
    lane->state = LANE_IDLE;
}

static void lane_accepted(struct run *run, struct lane *lane)
{
    struct load_results *results = run->results;
    results->samples_accepted += lane->current.sample_count;
    const int64_t took_ns = now_ns(run) - lane->begin_ns;
    load_latency_add(&results->latency, took_ns > 0 ? (uint64_t)took_ns : 0);
    load_acked_add(&lane->acked, lane->next - 1);
    lane_finish_request(run, lane);
}

/* No answer or 5xx: again later, or lost for good. */
static void lane_failed(struct run *run, struct lane *lane)
{
    if (!run->options->retry || run->stopping) {
        run->results->samples_failed += lane->current.sample_count;
        lane_finish_request(run, lane);
        return;
    }
    run->results->retries++;
    lane->state = LANE_BACKOFF;
    lane->wake_ns = now_ns(run) + lane->backoff_ms * NS_PER_MS;
    lane->backoff_ms = MRD_MIN(lane->backoff_ms * 2, (int64_t)BACKOFF_MS_MAX);
}

static void lane_lost(struct run *run, struct lane *lane, const struct mrd_error *err)
{
    if (lane->state == LANE_SENDING) {
        run->results->statuses[0]++;
        remember_failure(run, "no answer", err->text);
        lane_failed(run, lane);
    } /* else: the peer closed an idle connection, as it may */
}

static void lane_answered(struct run *run, struct lane *lane)
{
    const struct load_answer *answer = &lane->link.answer;
    struct load_results *results = run->results;
    const unsigned status = answer->status < LOAD_STATUS_MAX ? answer->status : 599;
    results->statuses[status]++;
    if (status >= 200 && status < 300) {
        lane_accepted(run, lane);
        return;
    }
    char what[16];
    snprintf(what, sizeof(what), "%u", status);
    remember_failure(run, what, answer->text);
    if (status >= 500) {
        lane_failed(run, lane);
        return;
    }
    results->samples_refused += lane->current.sample_count;
    lane_finish_request(run, lane);
}

static void lane_advance(struct run *run, struct lane *lane)
{
    struct mrd_error err = {0};
    switch (load_link_advance(&lane->link, &err)) {
    case LOAD_LINK_WAITING:
        return;
    case LOAD_LINK_ANSWERED:
        lane_answered(run, lane);
        return;
    case LOAD_LINK_LOST:
        lane_lost(run, lane, &err);
        return;
    }
}

static void write_head(const struct run *run, const struct lane *lane, struct load_link *link)
{
    const struct load_options *options = run->options;
    char tenant[160] = "";
    if (options->plan.tenant_count > 1) {
        snprintf(tenant, sizeof(tenant), "X-Scope-OrgID: %.100s%06" PRIu64 "\r\n",
                 options->tenant_prefix, lane->current.tenant);
    } else if (options->tenant != NULL) {
        snprintf(tenant, sizeof(tenant), "X-Scope-OrgID: %.128s\r\n", options->tenant);
    }
    const int size =
        snprintf(link->head, sizeof(link->head),
                 "POST %s HTTP/1.1\r\n"
                 "Host: %s:%s\r\n"
                 "User-Agent: meridian-bench-load/" MRD_VERSION "\r\n"
                 "Content-Type: application/x-protobuf\r\n"
                 "Content-Encoding: snappy\r\n"
                 "X-Prometheus-Remote-Write-Version: 0.1.0\r\n"
                 "%s"
                 "Content-Length: %zu\r\n\r\n",
                 options->path, options->host, options->port, tenant, lane->current.size);
    mrd_assert(size > 0 && (size_t)size < sizeof(link->head));
    link->head_size = (size_t)size;
}

/* Puts the current request on the wire, now. */
static void lane_send(struct run *run, struct lane *lane)
{
    struct mrd_error err = {0};
    lane->state = LANE_SENDING;
    lane->deadline_ns = now_ns(run) + run->options->timeout_ms * NS_PER_MS;
    if (lane->link.fd < 0) {
        run->results->connects++;
        if (load_link_open(&lane->link, run->epoll_fd, lane->index,
                           (const struct sockaddr *)&run->address, run->address_size,
                           &err) != MRD_OK) {
            lane_lost(run, lane, &err);
            return;
        }
    }
    write_head(run, lane, &lane->link);
    load_link_send(&lane->link, (struct mrd_bytes){lane->current.data, lane->current.size});
    lane_advance(run, lane);
}

/* ---- what a lane does next ---- */

static int64_t lane_due_ns(const struct run *run, const struct lane *lane)
{
    const struct load_options *options = run->options;
    if (options->rate <= 0) {
        return run->results->begin_ns;
    }
    const struct load_plan *plan = &options->plan;
    const double samples =
        (double)(plan->tenant_count > 1
                     ? MRD_MIN((uint64_t)plan->request_samples, plan->tenant_series)
                     : plan->request_samples);
    const double number = (double)lane->next * run->lane_count + lane->index;
    return run->results->begin_ns + (int64_t)(number * samples / options->rate * 1e9);
}

/* How many requests the slowest lane that is not done has taken. */
static uint64_t slowest_lane(const struct run *run)
{
    uint64_t slowest = UINT64_MAX;
    for (uint32_t i = 0; i < run->lane_count; i++) {
        if (run->lanes[i].state != LANE_DONE) {
            slowest = MRD_MIN(slowest, run->lanes[i].next);
        }
    }
    return slowest;
}

static bool lane_too_far_ahead(const struct run *run, const struct lane *lane)
{
    const uint64_t skew_max = run->options->skew_max;
    return skew_max > 0 && lane->next > slowest_lane(run) + skew_max;
}

/* Makes request `next` the current one and sends it. */
static void lane_begin(struct run *run, struct lane *lane, int64_t due_ns)
{
    if (lane->next < lane->prepared_count) {
        lane->current = lane->prepared[lane->next];
        lane->prepared[lane->next] = (struct load_body){0};
    } else if (lane->ready.data != NULL) {
        lane->current = lane->ready;
        lane->ready = (struct load_body){0};
    } else {
        lane->current = make_body(run, lane, lane->next);
    }
    lane->next++;
    lane->backoff_ms = BACKOFF_MS_MIN;
    lane->begin_ns = run->options->rate > 0 ? due_ns : now_ns(run);
    run->results->bytes_sent += lane->current.size;
    run->results->bytes_raw += lane->current.raw_size;
    lane_send(run, lane);
}

static void lane_time_out(struct run *run, struct lane *lane)
{
    struct mrd_error err = {0};
    (void)mrd_fail(&err, MRD_E_TIMEOUT, "timeout of %" PRId64 " ms", run->options->timeout_ms);
    load_link_close(&lane->link);
    lane_lost(run, lane, &err);
}

/* Does what is due; returns when the lane wants to be looked at again without an event. */
static int64_t lane_step(struct run *run, struct lane *lane)
{
    const int64_t now = now_ns(run);
    if (lane->state == LANE_SENDING && now >= lane->deadline_ns) {
        lane_time_out(run, lane);
    }
    if (lane->state == LANE_BACKOFF && run->stopping) {
        lane_failed(run, lane);
    }
    if (lane->state == LANE_BACKOFF && now >= lane->wake_ns) {
        lane_send(run, lane);
    }
    while (lane->state == LANE_IDLE) {
        if (lane->next == lane->request_count || run->stopping) {
            lane->state = LANE_DONE;
            load_link_close(&lane->link);
            break;
        }
        const int64_t due_ns = lane_due_ns(run, lane);
        if (now < due_ns) {
            return due_ns;
        }
        if (lane_too_far_ahead(run, lane)) {
            return NEVER_NS; /* the other lanes' events wake the loop */
        }
        lane_begin(run, lane, due_ns);
    }
    switch (lane->state) {
    case LANE_SENDING:
        return lane->deadline_ns;
    case LANE_BACKOFF:
        return lane->wake_ns;
    case LANE_IDLE:
    case LANE_DONE:
        break;
    }
    return NEVER_NS;
}

/* Makes one body ahead; true if there may be more to make. */
static bool make_one_ahead(struct run *run)
{
    for (uint32_t i = 0; i < run->lane_count; i++) {
        struct lane *lane = &run->lanes[i];
        if (lane->state != LANE_DONE && lane->ready.data == NULL &&
            lane->next >= lane->prepared_count && lane->next < lane->request_count) {
            lane->ready = make_body(run, lane, lane->next);
            return true;
        }
    }
    return false;
}

/* ---- the loop ---- */

static void wait_events(struct run *run, int64_t until_ns)
{
    struct epoll_event events[EVENTS_MAX];
    const int64_t left_ns = until_ns == NEVER_NS ? NS_PER_S : until_ns - now_ns(run);
    const int64_t wait_ns = MRD_MIN(MRD_MAX(left_ns, (int64_t)0), (int64_t)NS_PER_S);
    const struct timespec timeout = {wait_ns / NS_PER_S, wait_ns % NS_PER_S};
    const int count = epoll_pwait2(run->epoll_fd, events, EVENTS_MAX, &timeout, NULL);
    mrd_assert(count >= 0 || errno == EINTR);
    for (int i = 0; i < count; i++) {
        lane_advance(run, &run->lanes[events[i].data.u64]);
    }
}

static void print_progress(struct run *run, int64_t now, int64_t *next_ns, uint64_t *last_samples)
{
    if (!run->options->progress || now < *next_ns) {
        return;
    }
    const struct load_results *results = run->results;
    fprintf(stderr, "%5.1f s  %9" PRIu64 " samples/s  %" PRIu64 " accepted  %" PRIu64 " failed\n",
            (double)(now - results->begin_ns) / 1e9, results->samples_accepted - *last_samples,
            results->samples_accepted, results->samples_failed + results->samples_refused);
    *last_samples = results->samples_accepted;
    *next_ns += NS_PER_S;
}

static bool is_over(const struct run *run, int64_t now)
{
    const int64_t duration_ms = run->options->duration_ms;
    return atomic_load_explicit(run->stop, memory_order_relaxed) ||
           (duration_ms > 0 && now >= run->results->begin_ns + duration_ms * NS_PER_MS);
}

static void loop(struct run *run)
{
    uint64_t last_samples = 0;
    int64_t progress_ns = run->results->begin_ns + NS_PER_S;
    for (;;) {
        const int64_t now = now_ns(run);
        run->stopping = run->stopping || is_over(run, now);
        print_progress(run, now, &progress_ns, &last_samples);
        int64_t until_ns = run->options->duration_ms > 0 && !run->stopping
                               ? run->results->begin_ns + run->options->duration_ms * NS_PER_MS
                               : NEVER_NS;
        bool done = true;
        for (uint32_t i = 0; i < run->lane_count; i++) {
            until_ns = MRD_MIN(until_ns, lane_step(run, &run->lanes[i]));
            done = done && run->lanes[i].state == LANE_DONE;
        }
        if (done) {
            break;
        }
        wait_events(run, make_one_ahead(run) ? 0 : until_ns);
    }
    run->results->interrupted = atomic_load_explicit(run->stop, memory_order_relaxed);
}

/* ---- begin and end ---- */

static enum mrd_status resolve(struct run *run, struct mrd_error *err)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    const int error = getaddrinfo(run->options->host, run->options->port, &hints, &found);
    if (error != 0) {
        return mrd_fail(err, MRD_E_UNAVAILABLE, "%s:%s: %s", run->options->host, run->options->port,
                        gai_strerror(error));
    }
    memcpy(&run->address, found->ai_addr, found->ai_addrlen);
    run->address_size = found->ai_addrlen;
    freeaddrinfo(found);
    return MRD_OK;
}

static double cpu_seconds(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void lanes_init(struct run *run, struct load_label_store *store)
{
    run->lane_count = run->options->plan.connection_count;
    run->lanes = calloc(run->lane_count, sizeof(*run->lanes));
    mrd_assert(run->lanes != NULL);
    for (uint32_t i = 0; i < run->lane_count; i++) {
        struct lane *lane = &run->lanes[i];
        lane->index = i;
        lane->link.fd = -1;
        lane->encoder.store = store;
        lane->request_count = load_plan_requests(&run->options->plan, i);
    }
}

static void lanes_fini(struct run *run)
{
    for (uint32_t i = 0; i < run->lane_count; i++) {
        struct lane *lane = &run->lanes[i];
        for (uint64_t j = 0; j < lane->prepared_count; j++) {
            load_body_fini(&lane->prepared[j]);
        }
        free(lane->prepared);
        load_body_fini(&lane->ready);
        load_encoder_fini(&lane->encoder);
        load_acked_fini(&lane->acked);
        load_link_close(&lane->link);
    }
    free(run->lanes);
}

static enum mrd_status write_verify_list(const struct run *run, struct mrd_error *err)
{
    const char *path = run->options->verify_path;
    if (path == NULL) {
        return MRD_OK;
    }
    mrd_auto(mrd_buf_fini)
    struct mrd_buf text = {0};
    for (uint32_t i = 0; i < run->lane_count; i++) {
        load_acked_print(&run->lanes[i].acked, i, &text);
    }
    FILE *file = fopen(path, "we");
    if (file == NULL) {
        return mrd_fail_errno(err, MRD_E_UNAVAILABLE, "%s: open", path);
    }
    const size_t written = fwrite(text.data, 1, text.size, file);
    if (fclose(file) != 0 || written != text.size) {
        return mrd_fail_errno(err, MRD_E_UNAVAILABLE, "%s: write", path);
    }
    return MRD_OK;
}

enum mrd_status load_run(const struct load_options *options, const struct mrd_clock *clock,
                         atomic_bool *stop, struct load_results *results, struct mrd_error *err)
{
    struct run run = {.options = options, .clock = clock, .stop = stop, .results = results};
    *results = (struct load_results){0};
    MRD_TRY(resolve(&run, err));
    run.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (run.epoll_fd < 0) {
        return mrd_fail_errno(err, MRD_E_UNAVAILABLE, "epoll_create1");
    }
    mrd_auto(load_label_store_destroy)
    struct load_label_store *store = load_label_store_create(&options->fleet, &options->plan);
    lanes_init(&run, store);
    prepare(&run);
    const double cpu_before = cpu_seconds();
    results->begin_ns = now_ns(&run);
    results->end_ns = results->begin_ns;
    loop(&run);
    results->cpu_seconds = cpu_seconds() - cpu_before;
    const enum mrd_status status = write_verify_list(&run, err);
    lanes_fini(&run);
    close(run.epoll_fd);
    return status;
}
