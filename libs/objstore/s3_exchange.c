/* Calls with their attempts and waits, on connections from a pool. The calling thread does the work. */
#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "objstore/s3_internal.h"

uint64_t s3_random(struct s3 *s3)
{
    const uint64_t count = atomic_fetch_add_explicit(&s3->random, 1, memory_order_relaxed);
    return mrd_hash64((struct mrd_bytes){(const uint8_t *)&count, sizeof(count)}, 0);
}

/* ---- the pool ---- */

/* Waits for a place among the requests, then takes a lane. */
static enum mrd_status lane_take(struct s3 *s3, const struct mrd_objstore_control *control,
                                 struct s3_lane **out_lane, struct mrd_error *err)
{
    pthread_mutex_lock(&s3->lock);
    while (s3->permits == 0) {
        const enum mrd_status over = mrd_objstore_check(control, err);
        if (over != MRD_OK) {
            pthread_mutex_unlock(&s3->lock);
            return over;
        }
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += S3_POLL_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        (void)pthread_cond_timedwait(&s3->freed, &s3->lock, &until);
    }
    s3->permits--;
    struct s3_lane *lane = s3->lanes;
    if (lane != NULL) {
        s3->lanes = lane->next;
        s3->lane_count--;
    }
    pthread_mutex_unlock(&s3->lock);
    if (lane == NULL) {
        lane = calloc(1, sizeof(*lane));
        mrd_assert(lane != NULL);
        lane->multi = curl_multi_init();
        mrd_assert(lane->multi != NULL);
        const long kept = (long)MRD_MAX(s3->requests_max / S3_LANES_IDLE_MAX, (size_t)1);
        mrd_assert(curl_multi_setopt(lane->multi, CURLMOPT_MAXCONNECTS, kept) == CURLM_OK);
    }
    *out_lane = lane;
    return MRD_OK;
}

static void lane_destroy(struct s3_lane *lane)
{
    (void)curl_multi_cleanup(lane->multi);
    free(lane);
}

static void lane_give_back(struct s3 *s3, struct s3_lane *lane)
{
    pthread_mutex_lock(&s3->lock);
    s3->permits++;
    const bool kept = s3->lane_count < S3_LANES_IDLE_MAX;
    if (kept) {
        lane->next = s3->lanes; /* last in, first out: the warmest connections first */
        s3->lanes = lane;
        s3->lane_count++;
    }
    pthread_cond_signal(&s3->freed);
    pthread_mutex_unlock(&s3->lock);
    if (!kept) {
        lane_destroy(lane);
    }
}

void s3_lanes_destroy(struct s3 *s3)
{
    while (s3->lanes != NULL) {
        struct s3_lane *lane = s3->lanes;
        s3->lanes = lane->next;
        lane_destroy(lane);
    }
}

static bool permit_try(struct s3 *s3)
{
    pthread_mutex_lock(&s3->lock);
    const bool had = s3->permits > 0;
    s3->permits -= had ? 1 : 0;
    pthread_mutex_unlock(&s3->lock);
    return had;
}

static void permits_return(struct s3 *s3, size_t count)
{
    if (count > 0) {
        pthread_mutex_lock(&s3->lock);
        s3->permits += count;
        pthread_cond_broadcast(&s3->freed);
        pthread_mutex_unlock(&s3->lock);
    }
}

/* ---- an exchange ---- */

struct exchange {
    struct s3 *s3;
    struct s3_call *calls;
    size_t count;
    size_t parallel;
    size_t done;
    size_t running;
    size_t permits; /* held; one of them from the lane's taking */
    struct s3_lane *lane;
    const struct s3_call *failed;
};

static int64_t now_ns(void) { return mrd_clock_monotonic_ns(mrd_clock_system()); }

static void call_start(struct exchange *exchange, struct s3_call *call)
{
    s3_attempt_begin(exchange->s3, call);
    mrd_assert(curl_multi_add_handle(exchange->lane->multi, call->easy) == CURLM_OK);
    call->state = CALL_RUNNING;
    exchange->running++;
}

/* Starts what is due and allowed; *out_wait_ms: until the next will be due, S3_POLL_MS at most. */
static void start_due(struct exchange *exchange, int *out_wait_ms)
{
    const int64_t now = now_ns();
    int64_t wait_ns = S3_POLL_MS * 1000000LL;
    for (size_t i = 0; i < exchange->count && exchange->running < exchange->parallel; i++) {
        struct s3_call *call = &exchange->calls[i];
        if (call->state != CALL_READY) {
            continue;
        }
        if (call->not_before_ns > now) {
            wait_ns = MRD_MIN(wait_ns, call->not_before_ns - now);
            continue;
        }
        if (exchange->running == exchange->permits) {
            if (!permit_try(exchange->s3)) {
                break; /* goes on with what it has */
            }
            exchange->permits++;
        }
        call_start(exchange, call);
    }
    *out_wait_ms = (int)((wait_ns + 999999) / 1000000);
}

/* Exponential, with full jitter, so that many clients do not come back together. */
static void call_postpone(struct s3 *s3, struct s3_call *call)
{
    const unsigned doublings = MRD_MIN(call->attempts - 1, 30U);
    const int64_t longest_ms = MRD_MIN(s3->backoff_ms << doublings, s3->backoff_ms * 100);
    const int64_t wait_us = (int64_t)(s3_random(s3) % (uint64_t)(longest_ms * 1000 + 1));
    call->not_before_ns = now_ns() + wait_us * 1000;
    call->state = CALL_READY;
    if (s3->retries != NULL) {
        mrd_counter_add(s3->retries, 1);
    }
}

static void call_end(struct exchange *exchange, struct s3_call *call, CURLcode result)
{
    (void)curl_multi_remove_handle(exchange->lane->multi, call->easy);
    exchange->running--;
    const bool again = s3_attempt_end(exchange->s3, call, result);
    if (again && call->attempts < exchange->s3->attempts_max) {
        call_postpone(exchange->s3, call);
        return;
    }
    call->state = CALL_DONE;
    exchange->done++;
    if (call->status != MRD_OK && exchange->failed == NULL) {
        exchange->failed = call;
    }
}

static void reap(struct exchange *exchange)
{
    int left;
    for (const CURLMsg *message = curl_multi_info_read(exchange->lane->multi, &left);
         message != NULL; message = curl_multi_info_read(exchange->lane->multi, &left)) {
        char *call = NULL;
        const CURLcode result = message->data.result;
        mrd_assert(curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call) == CURLE_OK);
        call_end(exchange, (struct s3_call *)(void *)call, result);
    }
}

static enum mrd_status run(struct exchange *exchange, const struct mrd_objstore_control *control,
                           struct mrd_error *err)
{
    while (exchange->done < exchange->count && exchange->failed == NULL) {
        int wait_ms;
        int active;
        MRD_TRY(mrd_objstore_check(control, err));
        start_due(exchange, &wait_ms);
        mrd_assert(curl_multi_perform(exchange->lane->multi, &active) == CURLM_OK);
        const size_t before = exchange->running;
        reap(exchange);
        if (exchange->running ==
            before) { /* nothing has ended: wait for bytes or for the next due */
            mrd_assert(curl_multi_poll(exchange->lane->multi, NULL, 0, wait_ms, NULL) == CURLM_OK);
        }
    }
    if (exchange->failed != NULL) {
        if (err != NULL) {
            *err = exchange->failed->err;
        }
        return exchange->failed->status;
    }
    return MRD_OK;
}

enum mrd_status s3_exchange(struct s3 *s3, struct s3_call *calls, size_t count, size_t parallel,
                            const struct mrd_objstore_control *control, struct mrd_error *err)
{
    struct exchange exchange = {
        .s3 = s3, .calls = calls, .count = count, .parallel = parallel, .permits = 1};
    MRD_TRY(mrd_objstore_check(control, err));
    MRD_TRY(lane_take(s3, control, &exchange.lane, err));
    const enum mrd_status status = run(&exchange, control, err);
    for (size_t i = 0; i < count; i++) {
        if (calls[i].state == CALL_RUNNING) {
            (void)curl_multi_remove_handle(exchange.lane->multi, calls[i].easy);
            s3_attempt_drop(&calls[i]);
        }
    }
    permits_return(s3, exchange.permits - 1);
    lane_give_back(s3, exchange.lane);
    return status;
}
