#include "compactor/flush.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "base/threads.h"
#include "bus/log_admin.h"
#include "compactor/build_internal.h"

#define SUBJECT_PREFIX "mrd.build."

enum {
    LOG_CALL_MS = 5000,
    CALL_MS = 2000,
    LOOK_MS = 100,   /* at the catalog */
    TELL_MS = 1000,  /* what is wanted, again */
    MARGIN_MS = 500, /* before the server itself answers for us */
    SUBJECT_MAX = 128,
};
static const int64_t MS = 1000000;

struct cmp_flush {
    struct cmp_flush_options options;
    struct mrd_rpc_client *client;
    struct mrd_rpc_server *server;
    pthread_t thread;
    _Atomic bool stopping; /* relaxed, the lock orders what depends on it */

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    struct waiting {
        struct mrd_http_request *request;
        bool merge; /* and not build alone */
    } waiting[CMP_FLUSH_WAITING_MAX];
    size_t waiting_count;
    bool stopped;
};

/* The requests that are worked on, and what they wait for. */
struct work {
    struct cmp_flush *flush;
    struct waiting requests[CMP_FLUSH_WAITING_MAX];
    size_t request_count;
    uint64_t *targets; /* per partition; 0: nothing is wanted */
    int64_t deadline_ns;
};

/* ---- what is wanted, as bytes: pairs of varints ---- */

struct wanted {
    uint32_t partition;
    uint64_t sequence;
};

static enum mrd_status wanted_next(struct mrd_reader *reader, uint32_t partition_count,
                                   struct wanted *out, struct mrd_error *err)
{
    const uint64_t partition = mrd_read_varint(reader);
    const uint64_t sequence = mrd_read_varint(reader);
    if (reader->failed) {
        return mrd_fail(err, MRD_E_INVALID, "a list of wanted sequences that ends too early");
    }
    if (partition >= partition_count) {
        return mrd_fail(err, MRD_E_INVALID,
                        "partition %" PRIu64 " is wanted, the region has %" PRIu32, partition,
                        partition_count);
    }
    *out = (struct wanted){(uint32_t)partition, sequence};
    return MRD_OK;
}

/* Another compactor tells us what is wanted. */
static enum mrd_status on_wanted(void *context, struct mrd_rpc_call *call, struct mrd_error *err)
{
    struct cmp_flush *flush = context;
    struct mrd_reader reader = mrd_reader_of(mrd_rpc_call_request(call));
    while (mrd_reader_left(&reader) > 0) {
        struct wanted wanted = {0};
        MRD_TRY(wanted_next(&reader, flush->options.partition_count, &wanted, err));
        cmp_build_want(flush->options.build, wanted.partition, wanted.sequence);
    }
    cmp_jobs_nudge(flush->options.jobs, CMP_BUILD_ROLE);
    return MRD_OK;
}

/* ---- telling the builders ---- */

static uint64_t built_of(const struct cmp_flush *flush, uint32_t partition)
{
    return cmp_build_built(flush->options.catalog, partition);
}

/* What one instance is to build of it. We tell ourselves as we tell others. */
static void wanted_of(const struct work *work, const struct mrd_members_snapshot *snapshot,
                      const char *instance, struct mrd_buf *out)
{
    for (uint32_t i = 0; i < work->flush->options.partition_count; i++) {
        const char *owner = cmp_build_owner(snapshot, i);
        if (work->targets[i] > built_of(work->flush, i) && owner != NULL &&
            strcmp(owner, instance) == 0) {
            mrd_buf_append_varint(out, i);
            mrd_buf_append_varint(out, work->targets[i]);
        }
    }
}

static void tell_one(struct mrd_rpc_fan *fan, const char *instance, struct mrd_bytes wanted)
{
    char subject[SUBJECT_MAX];
    size_t call;
    struct mrd_error err = {0};
    (void)snprintf(subject, sizeof(subject), SUBJECT_PREFIX "%s", instance);
    if (mrd_rpc_fan_start(fan, subject, wanted, &call, &err) != MRD_OK) {
        MRD_LOG_EVERY(10000, MRD_LEVEL_WARN, "a compactor cannot be told what to build",
                      mrd_log_str("instance", instance), mrd_log_error(&err));
    }
}

/* A call that fails is made again with the next telling. */
static void await_calls(struct mrd_rpc_fan *fan)
{
    struct mrd_rpc_event event;
    struct mrd_error err = {0};
    while (mrd_rpc_fan_next(fan, &event, &err) == MRD_OK) {
        if (event.kind == MRD_RPC_FAILED) {
            MRD_LOG_EVERY(10000, MRD_LEVEL_WARN, "a compactor did not hear what to build",
                          mrd_log_error(&event.error));
        }
    }
}

static void tell(const struct work *work)
{
    struct cmp_flush *flush = work->flush;
    const struct mrd_members_snapshot *snapshot = mrd_members_acquire(flush->options.members);
    const struct mrd_rpc_fan_options options = {
        .deadline_ns = mrd_clock_monotonic_ns(mrd_clock_system()) + CALL_MS * MS,
        .canceled = &flush->stopping};
    struct mrd_rpc_fan *fan = mrd_rpc_fan_create(flush->client, &options);
    struct mrd_buf wanted = {0};
    for (size_t i = 0; i < snapshot->count; i++) {
        const struct mrd_member *member = &snapshot->members[i];
        if (member->kind != MRD_MEMBER_COMPACTOR) {
            continue;
        }
        mrd_buf_clear(&wanted);
        wanted_of(work, snapshot, member->instance, &wanted);
        if (wanted.size > 0) {
            tell_one(fan, member->instance, mrd_buf_view(&wanted));
        }
    }
    mrd_buf_fini(&wanted);
    await_calls(fan);
    mrd_rpc_fan_destroy(&fan);
    mrd_members_release(&snapshot);
}

/* ---- waiting ---- */

static enum mrd_status read_targets(struct work *work, struct mrd_error *err)
{
    for (uint32_t i = 0; i < work->flush->options.partition_count; i++) {
        struct mrd_log_state log;
        MRD_TRY(mrd_log_state_read(work->flush->options.bus, i, LOG_CALL_MS, &log, err));
        work->targets[i] = log.sequence_last;
    }
    return MRD_OK;
}

/* How many partitions are not built yet; *out_first is one of them. */
static uint32_t count_behind(const struct work *work, uint32_t *out_first)
{
    uint32_t behind = 0;
    for (uint32_t i = 0; i < work->flush->options.partition_count; i++) {
        if (built_of(work->flush, i) < work->targets[i]) {
            *out_first = behind == 0 ? i : *out_first;
            behind++;
        }
    }
    return behind;
}

static enum mrd_status say_behind(const struct work *work, uint32_t behind, uint32_t first,
                                  struct mrd_error *err)
{
    return mrd_fail(err, MRD_E_TIMEOUT,
                    "%" PRIu32 " partitions are not built up to the moment of asking, such as "
                    "%" PRIu32 ": built up to %" PRIu64 " of %" PRIu64
                    "; the builders go on, ask again",
                    behind, first, built_of(work->flush, first), work->targets[first]);
}

/* True when it is time to end, after a little while otherwise. */
static bool pause_a_little(struct cmp_flush *flush)
{
    const int64_t until_ns = mrd_clock_monotonic_ns(mrd_clock_system()) + LOOK_MS * MS;
    const struct timespec until = {until_ns / 1000000000, until_ns % 1000000000};
    pthread_mutex_lock(&flush->lock);
    int waited = 0;
    while (!atomic_load_explicit(&flush->stopping, memory_order_relaxed) && waited == 0) {
        waited = pthread_cond_timedwait(&flush->wake, &flush->lock, &until);
    }
    pthread_mutex_unlock(&flush->lock);
    return waited == 0;
}

/* How many blocks of what was asked for are of level 0 and not in quarantine. */
static size_t count_unmerged(const struct work *work)
{
    size_t unmerged = 0;
    struct mrd_catalog_state *state = mrd_catalog_pin(work->flush->options.catalog);
    for (size_t i = 0; i < mrd_catalog_block_count(state); i++) {
        const struct mrd_block_entry *block = mrd_catalog_block(state, i);
        const struct mrd_block_origin *origin = &block->origin;
        unmerged += block->level == 0 && origin->partition < work->flush->options.partition_count &&
                    origin->first_sequence <= work->targets[origin->partition] &&
                    !cmp_merging_is_bad(work->flush->options.merging, block->id);
    }
    mrd_catalog_unpin(&state);
    return unmerged;
}

/* One thing that is waited for. */
struct stage {
    /* MRD_OK: it is so. MRD_E_TIMEOUT, with the reason: not yet. */
    enum mrd_status (*look)(const struct work *work, struct mrd_error *err);
    void (*urge)(const struct work *work); /* whoever does it; every TELL_MS */
};

static enum mrd_status look_built(const struct work *work, struct mrd_error *err)
{
    uint32_t first = 0;
    const uint32_t behind = count_behind(work, &first);
    return behind == 0 ? MRD_OK : say_behind(work, behind, first, err);
}

static enum mrd_status look_merged(const struct work *work, struct mrd_error *err)
{
    const size_t unmerged = count_unmerged(work);
    return unmerged == 0 ? MRD_OK
                         : mrd_fail(err, MRD_E_TIMEOUT,
                                    "what the log had is in blocks, of which %zu are not merged "
                                    "into the tenants' days; the mergers go on, ask again",
                                    unmerged);
}

static void urge_mergers(const struct work *work)
{
    cmp_merging_want(work->flush->options.merging);
    cmp_jobs_nudge(work->flush->options.jobs, CMP_MERGING_ROLE);
}

static const struct stage build_stage = {look_built, tell};
static const struct stage merge_stage = {look_merged, urge_mergers};

static enum mrd_status await(const struct work *work, const struct stage *stage,
                             struct mrd_error *err)
{
    struct cmp_flush *flush = work->flush;
    const struct mrd_objstore_control control = {.canceled = &flush->stopping,
                                                 .clock = mrd_clock_system(),
                                                 .deadline_ns = work->deadline_ns};
    int64_t urged_ns = 0;
    for (;;) {
        struct mrd_error why = {0};
        MRD_TRY(mrd_catalog_refresh(flush->options.catalog, &control, err));
        if (stage->look(work, &why) == MRD_OK) {
            return MRD_OK;
        }
        const int64_t now_ns = mrd_clock_monotonic_ns(mrd_clock_system());
        if (now_ns >= work->deadline_ns) {
            *err = why;
            return why.status;
        }
        if (urged_ns == 0 || now_ns - urged_ns >= TELL_MS * MS) {
            urged_ns = now_ns;
            stage->urge(work);
        }
        if (pause_a_little(flush)) {
            return mrd_fail(err, MRD_E_CANCELED, "this compactor stops; ask another");
        }
    }
}

/* ---- answering ---- */

static void answer_done(const struct work *work, struct mrd_http_request *request)
{
    struct mrd_catalog_state *state = mrd_catalog_pin(work->flush->options.catalog);
    struct mrd_buf body = {0};
    mrd_buf_printf(&body,
                   "{\"status\":\"success\",\"data\":{\"catalog\":%" PRIu64 ",\"partitions\":[",
                   mrd_catalog_number(state));
    for (uint32_t i = 0; i < work->flush->options.partition_count; i++) {
        mrd_buf_printf(&body, "%s{\"partition\":%" PRIu32 ",\"sequence\":%" PRIu64 "}",
                       i == 0 ? "" : ",", i, work->targets[i]);
    }
    mrd_buf_append_text(&body, "]}}\n");
    mrd_catalog_unpin(&state);
    mrd_http_header_set(request, "Content-Type", "application/json");
    mrd_http_reply(request, 200, &body);
}

/* Those that want no more than this, and all if it failed; keeps the others. */
static void answer(struct work *work, bool merged, enum mrd_status status,
                   const struct mrd_error *err)
{
    size_t kept = 0;
    for (size_t i = 0; i < work->request_count; i++) {
        if (status != MRD_OK) {
            mrd_http_reply_text(work->requests[i].request, 503, "%s\n", err->text);
        } else if (work->requests[i].merge && !merged) {
            work->requests[kept++] = work->requests[i];
        } else {
            answer_done(work, work->requests[i].request);
        }
    }
    work->request_count = kept;
}

static void run_work(struct work *work)
{
    struct mrd_error err = {0};
    work->targets = calloc(work->flush->options.partition_count, sizeof(*work->targets));
    mrd_assert(work->targets != NULL);
    enum mrd_status status = read_targets(work, &err);
    if (status == MRD_OK) {
        status = await(work, &build_stage, &err);
    }
    answer(work, false, status, &err);
    if (work->request_count > 0) {
        status = await(work, &merge_stage, &err);
        answer(work, true, status, &err);
    }
    free(work->targets);
}

/* Takes all that wait; false at the end. */
static bool take_work(struct cmp_flush *flush, struct work *work)
{
    pthread_mutex_lock(&flush->lock);
    while (flush->waiting_count == 0 &&
           !atomic_load_explicit(&flush->stopping, memory_order_relaxed)) {
        pthread_cond_wait(&flush->wake, &flush->lock);
    }
    *work = (struct work){.flush = flush, .request_count = flush->waiting_count};
    memcpy(work->requests, flush->waiting, sizeof(work->requests));
    flush->waiting_count = 0;
    pthread_mutex_unlock(&flush->lock);
    work->deadline_ns = INT64_MAX;
    for (size_t i = 0; i < work->request_count; i++) {
        work->deadline_ns = MRD_MIN(
            work->deadline_ns, mrd_http_deadline_ns(work->requests[i].request) - MARGIN_MS * MS);
    }
    return work->request_count > 0;
}

static void *run(void *context)
{
    struct work work;
    while (take_work(context, &work)) {
        run_work(&work);
    }
    return NULL;
}

static void on_request(void *context, struct mrd_http_request *request)
{
    struct cmp_flush *flush = context;
    struct mrd_http_params params;
    struct mrd_bytes merge;
    struct mrd_error err;
    if (mrd_http_params_parse(request, &params, &err) != MRD_OK) {
        mrd_http_reply_text(request, 400, "%s\n", err.text);
        return;
    }
    const bool given = mrd_http_param_get(&params, "merge", &merge);
    const bool build_only = given && mrd_bytes_equal(merge, MRD_BYTES("false"));
    if (given && !build_only && !mrd_bytes_equal(merge, MRD_BYTES("true"))) {
        mrd_http_reply_text(request, 400, "the parameter merge is true or false\n");
        return;
    }
    pthread_mutex_lock(&flush->lock);
    const bool stopping = atomic_load_explicit(&flush->stopping, memory_order_relaxed);
    const bool taken = !stopping && flush->waiting_count < CMP_FLUSH_WAITING_MAX;
    if (taken) {
        flush->waiting[flush->waiting_count++] = (struct waiting){request, !build_only};
        pthread_cond_broadcast(&flush->wake);
    }
    pthread_mutex_unlock(&flush->lock);
    if (!taken) {
        mrd_http_reply_text(request, 503, "%s\n",
                            stopping ? "this compactor stops; ask another"
                                     : "too many requests wait for a flush; ask again later");
    }
}

/* ---- life ---- */

static enum mrd_status start(struct cmp_flush *flush, struct mrd_error *err)
{
    char subject[SUBJECT_MAX];
    (void)snprintf(subject, sizeof(subject), SUBJECT_PREFIX "%s", flush->options.instance);
    const struct mrd_rpc_server_options server = {
        .subject = subject, .workers = 1, .handle = on_wanted, .context = flush};
    MRD_TRY(mrd_rpc_client_create(flush->options.bus, &flush->client, err));
    MRD_TRY(mrd_rpc_server_create(flush->options.bus, &server, &flush->server, err));
    const int code = pthread_create(&flush->thread, NULL, run, flush);
    if (code != 0) {
        return mrd_fail(err, MRD_E_UNAVAILABLE, "flush: no thread: %s", strerror(code));
    }
    (void)pthread_setname_np(flush->thread, "flush");
    return MRD_OK;
}

static void destroy(struct cmp_flush *flush)
{
    if (flush->server != NULL) {
        mrd_rpc_server_destroy(&flush->server, 0);
    }
    if (flush->client != NULL) {
        mrd_rpc_client_destroy(&flush->client);
    }
    pthread_cond_destroy(&flush->wake);
    pthread_mutex_destroy(&flush->lock);
    free(flush);
}

enum mrd_status cmp_flush_create(const struct cmp_flush_options *options,
                                 struct mrd_http_server *server, struct cmp_flush **out_flush,
                                 struct mrd_error *err)
{
    struct cmp_flush *flush = calloc(1, sizeof(*flush));
    mrd_assert(flush != NULL);
    flush->options = *options;
    pthread_mutex_init(&flush->lock, NULL);
    mrd_cond_init(&flush->wake);
    const enum mrd_status status = start(flush, err);
    if (status != MRD_OK) {
        destroy(flush);
        return status;
    }
    const struct mrd_http_route route = {
        .methods = MRD_HTTP_POST, .path = "/flush", .handler = on_request, .context = flush};
    mrd_http_route_add(server, &route);
    *out_flush = flush;
    return MRD_OK;
}

void cmp_flush_stop(struct cmp_flush *flush)
{
    pthread_mutex_lock(&flush->lock);
    const bool stopped = flush->stopped;
    flush->stopped = true;
    atomic_store_explicit(&flush->stopping, true, memory_order_relaxed);
    pthread_cond_broadcast(&flush->wake);
    pthread_mutex_unlock(&flush->lock);
    if (!stopped) {
        pthread_join(flush->thread, NULL);
    }
}

void cmp_flush_destroy(struct cmp_flush **flush)
{
    if (*flush == NULL) {
        return;
    }
    struct cmp_flush *self = MRD_MOVE(*flush);
    cmp_flush_stop(self);
    destroy(self);
}
