#include "querier/erasures.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "bus/log_admin.h"
#include "bus/notice.h"
#include "querier/erasure_log.h"
#include "wire/erasure_notice.h"

static const int64_t MS = 1000000;

enum {
    SKEW_MS_MAX = 60000, /* of the distributors' stamps, as theirs of each other */
    LEARN_TRIES = 30,
    LEARN_PAUSE_MS = 1000,
    LOG_TIMEOUT_MS = 5000,
    COMMIT_PAUSE_MS = 200,
    ATTEMPTS_MAX = 8, /* of one request, while blocks are built past it */
};

struct qry_erasures {
    struct qry_erasures_options options;
    struct mrd_notice_listener *listener;
    struct mrd_log_writer *writer; /* NULL: requests may not be made here */
    pthread_mutex_t lock;          /* guards blocks, and is held while a notice looks at them */
    struct qry_blocks *blocks;     /* NULL: none, or none yet */
    _Atomic uint64_t lapses;       /* of our membership that the catalog was read after */
    struct mrd_hlc_clock hlc;
    _Atomic uint64_t *floors; /* per partition; only rise */
    _Atomic bool any;         /* set after the floors, read before them */
    struct mrd_counter *requests;
    struct mrd_counter *failed;
};

/* ---- floors ---- */

static void raise_floor(struct qry_erasures *erasures, uint32_t partition, uint64_t sequence)
{
    uint64_t have = atomic_load(&erasures->floors[partition]);
    while (have < sequence &&
           !atomic_compare_exchange_weak(&erasures->floors[partition], &have, sequence)) {}
}

static void raise_floors(struct qry_erasures *erasures, const uint64_t *sequences)
{
    for (uint32_t p = 0; p < erasures->options.partition_count; p++) {
        raise_floor(erasures, p, sequences[p]);
    }
    atomic_store(&erasures->any, true);
}

enum mrd_status qry_erasures_floor(const struct qry_erasures *erasures, struct mrd_arena *arena,
                                   const uint64_t **sequences, struct mrd_error *err)
{
    if (!atomic_load(&erasures->any)) {
        return MRD_OK;
    }
    const uint32_t count = erasures->options.partition_count;
    uint64_t *raised = mrd_arena_alloc_array(arena, count, sizeof(*raised));
    if (raised == NULL) {
        return mrd_arena_fail(arena, err);
    }
    for (uint32_t p = 0; p < count; p++) {
        const uint64_t asked = *sequences == NULL ? 0 : (*sequences)[p];
        raised[p] = MRD_MAX(asked, atomic_load(&erasures->floors[p]));
    }
    *sequences = raised;
    return MRD_OK;
}

/* ---- the catalog ---- */

/* Whether queries from now on go by a state that has the commit. */
static enum mrd_status check_commit(struct qry_erasures *erasures, uint64_t commit,
                                    struct mrd_error *err)
{
    if ((commit != 0) != erasures->options.has_blocks) {
        return mrd_fail(err, MRD_E_UNSUPPORTED,
                        "object storage is configured %s: give all queriers the same objstore.*",
                        commit == 0 ? "here, but not where the request was made"
                                    : "where the request was made, but not here");
    }
    if (commit == 0) {
        return MRD_OK;
    }
    pthread_mutex_lock(&erasures->lock);
    const enum mrd_status status =
        erasures->blocks == NULL
            ? mrd_fail(err, MRD_E_UNAVAILABLE, "the querier is starting or stopping")
            : qry_blocks_reach(erasures->blocks, commit, err);
    pthread_mutex_unlock(&erasures->lock);
    return status;
}

void qry_erasures_set_blocks(struct qry_erasures *erasures, struct qry_blocks *blocks)
{
    pthread_mutex_lock(&erasures->lock);
    erasures->blocks = blocks;
    pthread_mutex_unlock(&erasures->lock);
}

static struct qry_blocks *blocks_of(struct qry_erasures *erasures)
{
    pthread_mutex_lock(&erasures->lock);
    struct qry_blocks *blocks = erasures->blocks;
    pthread_mutex_unlock(&erasures->lock);
    return blocks;
}

bool qry_erasures_in_touch(struct qry_erasures *erasures, struct mrd_members *members)
{
    const struct mrd_members_standing standing = mrd_members_standing(members);
    return standing.heard && standing.lapses == atomic_load(&erasures->lapses);
}

enum mrd_status qry_erasures_catch_up(struct qry_erasures *erasures, struct mrd_members *members,
                                      struct qry_blocks *blocks,
                                      const struct mrd_query_control *control,
                                      struct mrd_error *err)
{
    const struct mrd_members_standing before = mrd_members_standing(members);
    struct qry_blocks_pin pin = {0};
    MRD_TRY(qry_blocks_refresh(blocks, control, err));
    MRD_TRY(qry_blocks_pin(blocks, &pin, err));
    for (size_t i = 0; i < mrd_catalog_erasure_count(pin.state); i++) {
        const struct mrd_catalog_erasure *erasure = mrd_catalog_erasure_at(pin.state, i);
        if (erasure->partition_count == erasures->options.partition_count) {
            raise_floors(erasures, erasure->sequences);
        }
    }
    qry_blocks_unpin(&pin);
    if (before.heard) { /* whoever was answered since was answered with our confirmation */
        atomic_store(&erasures->lapses, before.lapses);
    }
    return MRD_OK;
}

static enum mrd_status on_notice(void *context, struct mrd_bytes bytes, struct mrd_error *err)
{
    struct qry_erasures *erasures = context;
    const uint32_t count = erasures->options.partition_count;
    uint64_t *sequences = calloc(count, sizeof(*sequences));
    mrd_assert(sequences != NULL);
    struct mrd_erasure_notice notice;
    enum mrd_status status = mrd_erasure_notice_decode(bytes, count, &notice, sequences, err);
    if (status == MRD_OK) {
        raise_floors(erasures, sequences);
        status = mrd_hlc_merge(&erasures->hlc, notice.hlc, err);
    }
    if (status == MRD_OK) {
        status = check_commit(erasures, notice.commit, err);
    }
    free(sequences);
    return status;
}

/* ---- beginning and end ---- */

enum mrd_status qry_erasures_create(const struct qry_erasures_options *options,
                                    struct qry_erasures **out_erasures, struct mrd_error *err)
{
    static const char requests_help[] = "Requests to erase samples, by outcome.";
    static const char requests_name[] = "meridian_querier_erasures_total";
    struct qry_erasures *erasures = calloc(1, sizeof(*erasures));
    mrd_assert(erasures != NULL);
    erasures->options = *options;
    erasures->floors = calloc(options->partition_count, sizeof(*erasures->floors));
    mrd_assert(erasures->floors != NULL);
    pthread_mutex_init(&erasures->lock, NULL);
    atomic_init(&erasures->lapses, UINT64_MAX); /* the first query reads the catalog */
    mrd_hlc_init(&erasures->hlc, mrd_clock_system(), SKEW_MS_MAX);
    erasures->requests = mrd_metrics_counter(options->metrics, requests_name, requests_help,
                                             MRD_LABELS({"outcome", "done"}));
    erasures->failed = mrd_metrics_counter(options->metrics, requests_name, requests_help,
                                           MRD_LABELS({"outcome", "failed"}));
    enum mrd_status status = mrd_notice_listen(options->bus, options->instance, on_notice, erasures,
                                               &erasures->listener, err);
    if (status == MRD_OK && options->enabled) {
        const struct mrd_log_writer_options writer = {.partition_count = options->partition_count};
        status = mrd_log_writer_create(options->bus, &writer, &erasures->writer, err);
    }
    if (status != MRD_OK) {
        qry_erasures_destroy(&erasures);
        return status;
    }
    *out_erasures = erasures;
    return MRD_OK;
}

void qry_erasures_destroy(struct qry_erasures **erasures)
{
    if (*erasures != NULL) {
        struct qry_erasures *self = MRD_MOVE(*erasures);
        mrd_notice_unlisten(&self->listener);
        mrd_log_writer_destroy(&self->writer);
        pthread_mutex_destroy(&self->lock);
        free(self->floors);
        free(self);
    }
}

bool qry_erasures_enabled(const struct qry_erasures *erasures) { return erasures->options.enabled; }

mrd_time_ms qry_erasures_wait_ms(const struct qry_erasures *erasures)
{
    return erasures->options.wait_ms;
}

static void pause_ms(int64_t ms)
{
    (void)nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * MS}, NULL);
}

/* The server may have no leader for a stream for a moment. */
static enum mrd_status learn_partition(struct qry_erasures *erasures, uint32_t partition,
                                       struct mrd_error *err)
{
    for (int tries = 1;; tries++) {
        uint64_t sequence;
        const enum mrd_status status = mrd_log_class_last(
            erasures->options.bus, partition, MRD_ERASURE_CLASS, LOG_TIMEOUT_MS, &sequence, err);
        if (status == MRD_OK) {
            raise_floor(erasures, partition, sequence);
            if (sequence > 0) {
                atomic_store(&erasures->any, true);
            }
            return MRD_OK;
        }
        if (tries == LEARN_TRIES) {
            return mrd_fail_prefix(err, status, "looking for erasures in partition %" PRIu32,
                                   partition);
        }
        pause_ms(LEARN_PAUSE_MS);
    }
}

enum mrd_status qry_erasures_learn(struct qry_erasures *erasures, struct mrd_error *err)
{
    for (uint32_t p = 0; p < erasures->options.partition_count; p++) {
        MRD_TRY(learn_partition(erasures, p, err));
    }
    return MRD_OK;
}

/* ---- a request ---- */

/* One that is on its way: each attempt has an id and a stamp of its own. */
struct request {
    struct qry_blocks *blocks; /* NULL: there are none */
    struct mrd_erasure erasure;
    struct mrd_buf encoded;
    struct mrd_catalog_request object; /* of the encoded one */
    mrd_time_ms begun_ms;
    uint64_t *sequences;
    uint64_t commit;
    int64_t deadline_ns;
};

static int64_t now_ns(void) { return mrd_clock_monotonic_ns(mrd_clock_system()); }

static struct mrd_objstore_control control_of(const struct request *request)
{
    return (struct mrd_objstore_control){.clock = mrd_clock_system(),
                                         .deadline_ns = request->deadline_ns};
}

/* What is wrong with object storage, in words for whoever asked. */
static enum mrd_status store_failed(enum mrd_status status, const char *what, struct mrd_error *err)
{
    if (status == MRD_E_DENIED) {
        return mrd_fail_prefix(err, MRD_E_UNSUPPORTED,
                               "deleting series needs a querier that may get, put and delete "
                               "objects under erasures/ and catalog/, which its credentials "
                               "(objstore.*) do not allow");
    }
    if (status == MRD_E_LIMIT) {
        return mrd_fail_prefix(err, status, "nothing was deleted");
    }
    const bool over = status == MRD_E_TIMEOUT;
    return mrd_fail_prefix(err, over ? MRD_E_UNAVAILABLE : status, "%s", what);
}

/* Before the log has it: if object storage is away, nothing has happened. */
static enum mrd_status store_request(struct request *request, struct mrd_error *err)
{
    const struct mrd_objstore_control control = control_of(request);
    request->begun_ms = mrd_clock_now_ms(mrd_clock_system());
    const enum mrd_status status =
        mrd_catalog_request_put(qry_blocks_store(request->blocks), request->erasure.id,
                                mrd_buf_view(&request->encoded), &control, &request->object, err);
    return status == MRD_OK
               ? MRD_OK
               : store_failed(status,
                              "nothing was deleted, object storage has not taken the request", err);
}

/* No state names it: the object has label values, and a sweep would leave it for a day. */
static void drop_request(const struct request *request)
{
    const struct mrd_objstore_control control = control_of(request);
    if (request->blocks != NULL) {
        (void)!mrd_objstore_delete(qry_blocks_store(request->blocks), request->object.key, &control,
                                   NULL);
    }
}

/* MRD_E_CONFLICT: blocks are built past it. */
static enum mrd_status commit(const struct qry_erasures *erasures, struct request *request,
                              struct mrd_error *err)
{
    const struct mrd_catalog_erasure_change erasure = {
        .id = request->erasure.id,
        .tenant = request->erasure.tenant,
        .hlc = request->erasure.hlc,
        .time_min_ms = request->erasure.time_min_ms,
        .time_max_ms = request->erasure.time_max_ms,
        .request_key = mrd_bytes_of(request->object.key),
        .request_digest = mrd_bytes_of(request->object.digest),
        .sequences = request->sequences,
        .partition_count = erasures->options.partition_count,
    };
    const struct mrd_catalog_change change = {
        .erasures = &erasure, .erasure_count = 1, .begun_ms = request->begun_ms};
    const struct mrd_query_control control = {.clock = mrd_clock_system(),
                                              .deadline_ns = request->deadline_ns};
    for (;;) { /* the same again until it is known how it ended */
        const enum mrd_status status =
            qry_blocks_commit(request->blocks, &change, &control, &request->commit, err);
        const bool again =
            status == MRD_E_UNAVAILABLE && now_ns() + COMMIT_PAUSE_MS * MS < request->deadline_ns;
        if (!again) {
            return status == MRD_OK || status == MRD_E_CONFLICT
                       ? status
                       : store_failed(status,
                                      "the log has the request, but the catalog of blocks may "
                                      "not: ask again",
                                      err);
        }
        pause_ms(COMMIT_PAUSE_MS);
    }
}

/* Into the log, then into the catalog: what is in the catalog stands in all logs. */
static enum mrd_status attempt(struct qry_erasures *erasures, struct request *request,
                               struct mrd_error *err)
{
    const struct qry_erasure_log log = {erasures->options.bus, erasures->writer,
                                        erasures->options.region,
                                        erasures->options.partition_count};
    struct mrd_erasure *erasure = &request->erasure;
    /* Never fails: a few bytes from an initialised pool (getrandom(2)). */
    mrd_assert(getrandom(&erasure->id, sizeof(erasure->id), 0) == (ssize_t)sizeof(erasure->id));
    erasure->hlc = mrd_hlc_next(&erasures->hlc);
    mrd_buf_clear(&request->encoded);
    MRD_TRY(mrd_erasure_encode(erasure, &request->encoded, err));
    if (request->blocks != NULL) {
        MRD_TRY(store_request(request, err));
    }
    enum mrd_status status = qry_erasure_publish(&log, erasure, mrd_buf_view(&request->encoded),
                                                 request->deadline_ns, request->sequences, err);
    if (status != MRD_OK) {
        drop_request(request);
        return status;
    }
    raise_floors(erasures, request->sequences);
    status = request->blocks == NULL ? MRD_OK : commit(erasures, request, err);
    if (status == MRD_E_CONFLICT) {
        drop_request(request);
    }
    return status;
}

static enum mrd_status attempts(struct qry_erasures *erasures, struct request *request,
                                struct mrd_error *err)
{
    enum mrd_status status = MRD_E_CONFLICT;
    for (int i = 0; i < ATTEMPTS_MAX && status == MRD_E_CONFLICT; i++) {
        status = attempt(erasures, request, err);
    }
    return status != MRD_E_CONFLICT
               ? status
               : mrd_fail_prefix(err, MRD_E_UNAVAILABLE,
                                 "blocks were built past the request each time: ask again");
}

static enum mrd_status tell(struct qry_erasures *erasures, struct mrd_members *members,
                            const struct request *request, struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    const struct mrd_erasure_notice told = {request->erasure.hlc, request->commit};
    mrd_erasure_notice_encode(&told, request->sequences, erasures->options.partition_count, &bytes);
    const struct mrd_notice notice = {
        .bytes = mrd_buf_view(&bytes),
        .kinds = MRD_NOTICE_TO(MRD_MEMBER_QUERIER) | MRD_NOTICE_TO(MRD_MEMBER_DISTRIBUTOR),
        .except = erasures->options.instance,
        .deadline_ns = now_ns() + erasures->options.wait_ms * MS,
    };
    const enum mrd_status status = mrd_notice_tell(erasures->options.bus, members, &notice, err);
    return status == MRD_OK ? MRD_OK
                            : mrd_fail_prefix(err, status,
                                              "the erasure is in the log and will be applied, but "
                                              "a query may show the samples until then");
}

/* What can be seen before anything is done. */
static enum mrd_status check_region(const struct qry_erasures *erasures,
                                    struct mrd_members *members, struct qry_blocks *blocks,
                                    struct mrd_error *err)
{
    if (erasures->options.has_blocks) {
        struct qry_blocks_pin pin = {0};
        MRD_TRY(qry_blocks_pin(blocks, &pin, err));
        const size_t count = mrd_catalog_erasure_count(pin.state);
        qry_blocks_unpin(&pin);
        return count < MRD_CATALOG_ERASURES_MAX
                   ? MRD_OK
                   : mrd_fail(err, MRD_E_LIMIT,
                              "nothing was deleted: %zu deletions are not done in blocks yet, as "
                              "many as there may be; ask again when some are",
                              count);
    }
    const struct mrd_members_snapshot *snapshot = mrd_members_acquire(members);
    const struct mrd_member *compactor = NULL;
    for (size_t i = 0; i < snapshot->count && compactor == NULL; i++) {
        compactor =
            snapshot->members[i].kind == MRD_MEMBER_COMPACTOR ? &snapshot->members[i] : NULL;
    }
    const enum mrd_status status =
        compactor == NULL
            ? MRD_OK
            : mrd_fail(err, MRD_E_UNSUPPORTED,
                       "%s keeps blocks in object storage, which this querier knows nothing of: "
                       "configure objstore.* for the queriers as it is for the compactors",
                       compactor->instance);
    mrd_members_release(&snapshot);
    return status;
}

enum mrd_status qry_erasures_request(struct qry_erasures *erasures, struct mrd_members *members,
                                     const struct mrd_erasure *erasure, struct mrd_id128 *out_id,
                                     struct mrd_error *err)
{
    mrd_assert(erasures->writer != NULL);
    struct request request = {.blocks = blocks_of(erasures),
                              .erasure = *erasure,
                              .deadline_ns = now_ns() + erasures->options.wait_ms * MS};
    request.sequences = calloc(erasures->options.partition_count, sizeof(*request.sequences));
    mrd_assert(request.sequences != NULL);
    enum mrd_status status = check_region(erasures, members, request.blocks, err);
    if (status == MRD_OK) {
        status = attempts(erasures, &request, err);
    }
    if (status == MRD_OK) {
        status = tell(erasures, members, &request, err);
    }
    if (status == MRD_OK && out_id != NULL) {
        *out_id = request.erasure.id;
    }
    free(request.sequences);
    mrd_buf_fini(&request.encoded);
    mrd_counter_add(status == MRD_OK ? erasures->requests : erasures->failed, 1);
    return status;
}
