#include "querier/blocks.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/duration.h"
#include "base/log.h"
#include "base/threads.h"
#include "block/cache.h"

enum {
    OPEN_TIMEOUT_MS = 600000, /* a checkpoint may have a gigabyte */
    REFRESH_TIMEOUT_MS = 120000,
    WAIT_MS = 20,  /* then a waiting query looks whether it is over */
    READS_MAX = 5, /* of the catalog in one refresh, while requests that it names go */
};
static const int64_t MS = 1000000;

enum skipped { BY_TIME, BY_HEADS, BY_TENANT, BY_LABELS, SKIPPED_COUNT };

struct metrics {
    struct mrd_counter *considered;
    struct mrd_counter *skipped[SKIPPED_COUNT];
    struct mrd_counter *read;
    struct mrd_counter *bytes;
    struct mrd_counter *missing;
    struct mrd_counter *gaps;
    struct mrd_counter *refreshes;
    struct mrd_counter *refreshes_failed;
};

/* Immutable, but for the count. */
struct qry_blocks_view {
    _Atomic uint32_t references;
    struct mrd_catalog_state *state;
    struct mrd_catalog_requests *requests; /* which the index points to */
    struct mrd_block_index *index;
};

struct gap {
    _Atomic uint64_t first; /* relaxed: the greatest confirmed beginning of a head */
    _Atomic uint64_t log;   /* relaxed: the last log that was confirmed to be another */
};

struct qry_blocks {
    struct qry_blocks_options options;
    struct mrd_block_cache *cache;
    struct mrd_read_pool *pool;
    struct metrics metrics;
    struct gap *gaps;      /* per partition */
    _Atomic bool stopping; /* relaxed: ends calls to the store */
    pthread_t thread;
    bool threaded;

    pthread_mutex_t lock; /* guards what follows; held for moments */
    pthread_cond_t changed;
    struct mrd_catalog *catalog;  /* NULL: never read */
    struct qry_blocks_view *view; /* likewise */
    uint64_t asked;               /* refreshes that were asked for */
    uint64_t served;              /* of those, the ones that a refresh has begun after and ended */
    int64_t fresh_ns; /* beginning of the last refresh that worked; of the first try at first */
    enum mrd_status status; /* of the last one; told: on_change knows */
    struct mrd_error why;
    bool told;
};

static int64_t now_ns(const struct qry_blocks *blocks)
{
    return mrd_clock_monotonic_ns(blocks->options.clock);
}

/* ---- views ---- */

static const struct mrd_block_entry *entry_at(const void *state, size_t index)
{
    return mrd_catalog_block(state, index);
}

/* Which blocks owe which requests. */
static void list_owing(const struct mrd_catalog_requests *requests, struct mrd_buf *out)
{
    for (size_t i = 0; i < mrd_catalog_requests_count(requests); i++) {
        const struct mrd_catalog_erasure *erasure;
        const struct mrd_erasure *request = mrd_catalog_requests_at(requests, i, &erasure);
        for (size_t k = 0; k < erasure->owed_count; k++) {
            const struct mrd_block_owing owing = {mrd_catalog_erasure_owed(erasure, k), request};
            mrd_buf_append(out, &owing, sizeof(owing));
        }
    }
}

/* Takes the state. */
static struct qry_blocks_view *view_create(struct mrd_catalog_state *state,
                                           struct mrd_catalog_requests *requests)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf owing = {0};
    struct qry_blocks_view *view = calloc(1, sizeof(*view));
    mrd_assert(view != NULL);
    list_owing(requests, &owing);
    view->references = 1;
    view->state = state;
    view->requests = requests;
    view->index = mrd_block_index_create(entry_at, state, mrd_catalog_block_count(state),
                                         (const struct mrd_block_owing *)(const void *)owing.data,
                                         owing.size / sizeof(struct mrd_block_owing));
    return view;
}

static void view_release(struct qry_blocks_view *view)
{
    /* acq_rel: what others did with it comes before its end */
    if (view != NULL &&
        atomic_fetch_sub_explicit(&view->references, 1, memory_order_acq_rel) == 1) {
        mrd_block_index_destroy(&view->index);
        mrd_catalog_requests_destroy(&view->requests);
        mrd_catalog_unpin(&view->state);
        free(view);
    }
}

/* Makes *view one of what was read last; it stays, if nothing has changed. */
static enum mrd_status view_after(struct qry_blocks *blocks, struct mrd_catalog *catalog,
                                  const struct mrd_objstore_control *control,
                                  struct qry_blocks_view **view, struct mrd_error *err)
{
    mrd_auto(mrd_catalog_unpin)
    struct mrd_catalog_state *now = mrd_catalog_pin(catalog);
    const struct mrd_catalog_requests *before = *view == NULL ? NULL : (*view)->requests;
    struct mrd_catalog_requests *requests = NULL;
    if (*view != NULL && mrd_catalog_number((*view)->state) == mrd_catalog_number(now)) {
        return MRD_OK;
    }
    MRD_TRY(mrd_catalog_requests_load(blocks->options.store, now, before, control, &requests, err));
    *view = view_create(MRD_MOVE(now), requests);
    return MRD_OK;
}

/* ---- the thread ---- */

static enum mrd_status read_catalog(struct qry_blocks *blocks, struct mrd_catalog **catalog,
                                    const struct mrd_objstore_control *control,
                                    struct mrd_error *err)
{
    const struct mrd_catalog_options options = {.store = blocks->options.store,
                                                .writer = blocks->options.writer};
    return *catalog == NULL ? mrd_catalog_open(&options, control, catalog, err)
                            : mrd_catalog_refresh(*catalog, control, err);
}

/* Reads what was committed, and the requests that the blocks of then owe. *view stays on failure, or has come some commits
 * further. Requests that are done go: a state that names one that has gone is not the last. */
static enum mrd_status read_state(struct qry_blocks *blocks, struct mrd_catalog **catalog,
                                  struct qry_blocks_view **view, struct mrd_error *err)
{
    const struct mrd_objstore_control control = {
        .canceled = &blocks->stopping,
        .clock = mrd_clock_system(),
        .deadline_ns = mrd_clock_monotonic_ns(mrd_clock_system()) +
                       (*catalog == NULL ? OPEN_TIMEOUT_MS : REFRESH_TIMEOUT_MS) * MS,
    };
    for (int reads = 1;; reads++) {
        struct mrd_error why = {0};
        const enum mrd_status status = read_catalog(blocks, catalog, &control, err);
        if (*catalog == NULL) {
            return status;
        }
        const enum mrd_status loaded = view_after(blocks, *catalog, &control, view, &why);
        if (status == MRD_OK && loaded == MRD_E_NOT_FOUND && reads < READS_MAX) {
            continue;
        }
        if (status == MRD_OK && loaded != MRD_OK) {
            *err = why;
        }
        return status == MRD_OK ? loaded : status;
    }
}

/* Indexes of blocks that are no more are dropped. */
static void tidy_cache(struct qry_blocks *blocks, struct mrd_catalog *catalog)
{
    struct mrd_catalog_state *state = mrd_catalog_pin(catalog);
    const size_t count = mrd_catalog_block_count(state);
    uint64_t *marks = calloc(count + 1, sizeof(*marks));
    mrd_assert(marks != NULL);
    for (size_t i = 0; i < count; i++) {
        const struct mrd_block_entry *block = mrd_catalog_block(state, i);
        marks[i] = mrd_block_cache_mark(block->id, block->sidecar.crc32c);
    }
    mrd_block_cache_retain(blocks->cache, marks, count);
    free(marks);
    mrd_catalog_unpin(&state);
}

/* One refresh with all that belongs to it; lock held, but not while storage is waited for. */
static void refresh(struct qry_blocks *blocks)
{
    const uint64_t asked = blocks->asked;
    struct mrd_catalog *catalog = blocks->catalog;
    struct mrd_error err = {0};
    struct qry_blocks_view *view = blocks->view; /* which only this thread exchanges */
    pthread_mutex_unlock(&blocks->lock);
    const int64_t begun_ns = now_ns(blocks);
    const enum mrd_status status = read_state(blocks, &catalog, &view, &err);
    mrd_counter_add(status == MRD_OK ? blocks->metrics.refreshes : blocks->metrics.refreshes_failed,
                    1);
    pthread_mutex_lock(&blocks->lock);
    struct qry_blocks_view *old = view == blocks->view ? NULL : blocks->view;
    blocks->view = view;
    const bool tell = !blocks->told || (status == MRD_OK) != (blocks->status == MRD_OK);
    blocks->catalog = catalog;
    blocks->served = asked;
    blocks->status = status;
    blocks->why = err;
    blocks->told = true;
    if (status == MRD_OK) {
        blocks->fresh_ns = begun_ns;
    }
    pthread_cond_broadcast(&blocks->changed);
    pthread_mutex_unlock(&blocks->lock);
    view_release(old);
    if (status == MRD_OK) {
        tidy_cache(blocks, catalog);
    }
    if (tell && !atomic_load_explicit(&blocks->stopping, memory_order_relaxed)) {
        blocks->options.on_change(blocks->options.context, view != NULL,
                                  status == MRD_OK ? NULL : &err);
    }
    if (blocks->options.on_read != NULL) {
        blocks->options.on_read(blocks->options.context, view == NULL ? NULL : view->state);
    }
    pthread_mutex_lock(&blocks->lock);
}

/* Lock held. False: it was woken. */
static bool wait_ms(struct qry_blocks *blocks, mrd_time_ms ms)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * MS;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    return pthread_cond_timedwait(&blocks->changed, &blocks->lock, &until) != 0;
}

static void *run(void *context)
{
    struct qry_blocks *blocks = context;
    mrd_thread_name_set("catalog");
    pthread_mutex_lock(&blocks->lock);
    while (!atomic_load_explicit(&blocks->stopping, memory_order_relaxed)) {
        refresh(blocks);
        const int64_t next_ns =
            mrd_clock_monotonic_ns(mrd_clock_system()) + blocks->options.refresh_ms * MS;
        int64_t left_ms = blocks->options.refresh_ms;
        while (left_ms > 0 && blocks->asked == blocks->served &&
               !atomic_load_explicit(&blocks->stopping, memory_order_relaxed)) {
            (void)wait_ms(blocks, left_ms);
            left_ms = (next_ns - mrd_clock_monotonic_ns(mrd_clock_system()) + MS - 1) / MS;
        }
    }
    pthread_mutex_unlock(&blocks->lock);
    return NULL;
}

/* ---- life ---- */

static double read_age(void *context)
{
    struct qry_blocks *blocks = context;
    pthread_mutex_lock(&blocks->lock);
    const int64_t fresh_ns = blocks->fresh_ns;
    pthread_mutex_unlock(&blocks->lock);
    return (double)(now_ns(blocks) - fresh_ns) / 1e9;
}

static double read_count(void *context)
{
    struct qry_blocks_pin pin = {0};
    const bool known = qry_blocks_pin(context, &pin, NULL) == MRD_OK;
    const double count = known ? (double)mrd_catalog_block_count(pin.state) : 0;
    qry_blocks_unpin(&pin);
    return count;
}

static double read_memory(void *context)
{
    struct qry_blocks_pin pin = {0};
    const bool known = qry_blocks_pin(context, &pin, NULL) == MRD_OK;
    const double bytes = known ? (double)mrd_catalog_memory(pin.state) : 0;
    qry_blocks_unpin(&pin);
    return bytes;
}

static void register_callbacks(struct qry_blocks *blocks)
{
    struct mrd_metrics *metrics = blocks->options.metrics;
    mrd_metrics_callback(metrics, MRD_METRIC_GAUGE, "meridian_querier_blocks_catalog_age_seconds",
                         "Time since the catalog of blocks was read, or tried at first.",
                         MRD_NO_LABELS, read_age, blocks);
    mrd_metrics_callback(metrics, MRD_METRIC_GAUGE, "meridian_querier_blocks_known",
                         "Blocks of the catalog's state in force.", MRD_NO_LABELS, read_count,
                         blocks);
    mrd_metrics_callback(metrics, MRD_METRIC_GAUGE, "meridian_querier_blocks_catalog_bytes",
                         "Memory of the catalog's state in force.", MRD_NO_LABELS, read_memory,
                         blocks);
}

static struct mrd_counter *counter(struct mrd_metrics *metrics, const char *name, const char *help)
{
    return mrd_metrics_counter(metrics, name, help, MRD_NO_LABELS);
}

static void register_metrics(struct qry_blocks *blocks)
{
    static const char *const reasons[SKIPPED_COUNT] = {
        [BY_TIME] = "time", [BY_HEADS] = "heads", [BY_TENANT] = "tenant", [BY_LABELS] = "labels"};
    struct mrd_metrics *metrics = blocks->options.metrics;
    struct metrics *out = &blocks->metrics;
    for (size_t i = 0; i < SKIPPED_COUNT; i++) {
        out->skipped[i] = mrd_metrics_counter(metrics, "meridian_querier_blocks_skipped_total",
                                              "Blocks that selects left alone: nothing in their "
                                              "time range, all of it in heads, nothing "
                                              "of the tenant, or no such labels.",
                                              MRD_LABELS({"by", reasons[i]}));
    }
    out->considered = counter(metrics, "meridian_querier_blocks_considered_total",
                              "Blocks that selects have looked at in the catalog.");
    out->read = counter(metrics, "meridian_querier_blocks_read_total",
                        "Blocks opened for selects, those of many partitions once for each.");
    out->bytes = counter(metrics, "meridian_querier_blocks_read_bytes_total",
                         "Bytes of samples' pages read from blocks, as they are stored.");
    out->missing = counter(metrics, "meridian_querier_blocks_left_out_total",
                           "Blocks left out of answers asked to be partial.");
    out->gaps = counter(metrics, "meridian_querier_blocks_gaps_total",
                        "Queries over a log that was trimmed before blocks had it.");
    static const char help[] = "Times that the catalog of blocks was read, by outcome.";
    static const char name[] = "meridian_querier_blocks_catalog_reads_total";
    out->refreshes = mrd_metrics_counter(metrics, name, help, MRD_LABELS({"outcome", "ok"}));
    out->refreshes_failed =
        mrd_metrics_counter(metrics, name, help, MRD_LABELS({"outcome", "failed"}));
}

static void init(struct qry_blocks *blocks, const struct qry_blocks_options *options)
{
    blocks->options = *options;
    blocks->options.clock = options->clock == NULL ? mrd_clock_system() : options->clock;
    blocks->fresh_ns = now_ns(blocks);
    blocks->gaps = calloc(options->partition_count, sizeof(*blocks->gaps));
    mrd_assert(blocks->gaps != NULL);
    pthread_mutex_init(&blocks->lock, NULL);
    mrd_cond_init(&blocks->changed);
    register_metrics(blocks);
    register_callbacks(blocks);
}

enum mrd_status qry_blocks_create(const struct qry_blocks_options *options, struct qry_blocks **out,
                                  struct mrd_error *err)
{
    mrd_auto(qry_blocks_destroy)
    struct qry_blocks *blocks = calloc(1, sizeof(*blocks));
    mrd_assert(blocks != NULL);
    init(blocks, options);
    const struct mrd_block_cache_options cache = {
        .memory_bytes_max = options->cache_memory_bytes_max,
        .folder = options->cache_folder,
        .folder_bytes_max = options->cache_folder_bytes_max,
        .metrics = options->metrics,
    };
    MRD_TRY(mrd_block_cache_create(&cache, &blocks->cache, err));
    MRD_TRY(mrd_read_pool_create(options->reads, &blocks->pool, err));
    const int error = pthread_create(&blocks->thread, NULL, run, blocks);
    if (error != 0) {
        return mrd_fail(err, MRD_E_UNAVAILABLE, "cannot start a thread: %s", strerror(error));
    }
    blocks->threaded = true;
    *out = MRD_MOVE(blocks);
    return MRD_OK;
}

void qry_blocks_destroy(struct qry_blocks **blocks_pointer)
{
    struct qry_blocks *blocks = *blocks_pointer;
    if (blocks == NULL) {
        return;
    }
    *blocks_pointer = NULL;
    mrd_metrics_forget(blocks->options.metrics, blocks);
    pthread_mutex_lock(&blocks->lock);
    atomic_store_explicit(&blocks->stopping, true, memory_order_relaxed);
    pthread_cond_broadcast(&blocks->changed);
    pthread_mutex_unlock(&blocks->lock);
    if (blocks->threaded) {
        (void)pthread_join(blocks->thread, NULL);
    }
    mrd_read_pool_destroy(&blocks->pool);
    mrd_block_cache_destroy(&blocks->cache);
    view_release(blocks->view);
    mrd_catalog_close(&blocks->catalog);
    pthread_cond_destroy(&blocks->changed);
    pthread_mutex_destroy(&blocks->lock);
    free(blocks->gaps);
    free(blocks);
}

/* ---- states ---- */

/* A query may begin at the last moment, and the compactors' clocks may be ahead of the time that has passed here. */
mrd_time_ms qry_blocks_stale_ms(const struct mrd_catalog_state *state, mrd_time_ms stale_ms_max)
{
    enum { SPARE = 24 };
    const mrd_time_ms grace_ms = mrd_catalog_grace(state).ms;
    return grace_ms == 0 ? stale_ms_max : MRD_MIN(stale_ms_max, grace_ms - grace_ms / SPARE);
}

enum mrd_status qry_blocks_pin(struct qry_blocks *blocks, struct qry_blocks_pin *out,
                               struct mrd_error *err)
{
    pthread_mutex_lock(&blocks->lock);
    struct qry_blocks_view *view = blocks->view;
    const int64_t fresh_ns = blocks->fresh_ns;
    if (view == NULL) {
        const char *why = blocks->why.text;
        const enum mrd_status status = mrd_fail(
            err, MRD_E_UNAVAILABLE, "the catalog of blocks in object storage was not read yet%s%s",
            why[0] == '\0' ? "" : ": ", why);
        pthread_mutex_unlock(&blocks->lock);
        return status;
    }
    atomic_fetch_add_explicit(&view->references, 1, memory_order_relaxed);
    pthread_mutex_unlock(&blocks->lock);
    out->view = view;
    out->state = view->state;
    out->index = view->index;
    out->age_ms = (now_ns(blocks) - fresh_ns) / MS;
    out->stale = out->age_ms > qry_blocks_stale_ms(view->state, blocks->options.stale_ms_max);
    return MRD_OK;
}

void qry_blocks_unpin(struct qry_blocks_pin *pin)
{
    view_release(pin->view);
    *pin = (struct qry_blocks_pin){.view = NULL};
}

/* Lock held. */
static void ask(struct qry_blocks *blocks)
{
    blocks->asked++;
    pthread_cond_broadcast(&blocks->changed);
}

enum mrd_status qry_blocks_refresh(struct qry_blocks *blocks,
                                   const struct mrd_query_control *control, struct mrd_error *err)
{
    enum mrd_status status = MRD_OK;
    pthread_mutex_lock(&blocks->lock);
    ask(blocks);
    const uint64_t number = blocks->asked;
    while (blocks->served < number && status == MRD_OK) {
        (void)wait_ms(blocks, WAIT_MS);
        status = mrd_query_check(control, err);
    }
    if (status == MRD_OK && blocks->status != MRD_OK) {
        status = mrd_fail(err, MRD_E_UNAVAILABLE,
                          "the catalog of blocks in object storage cannot be read: %s",
                          blocks->why.text);
    }
    pthread_mutex_unlock(&blocks->lock);
    return status;
}

static uint64_t number_of(const struct qry_blocks_view *view)
{
    return view == NULL ? 0 : mrd_catalog_number(view->state);
}

enum mrd_status qry_blocks_reach(struct qry_blocks *blocks, uint64_t number, struct mrd_error *err)
{
    enum mrd_status status = MRD_OK;
    pthread_mutex_lock(&blocks->lock);
    const uint64_t have = number_of(blocks->view);
    if (have < number) {
        const bool failed = blocks->status != MRD_OK;
        ask(blocks);
        status = mrd_fail(err, MRD_E_UNAVAILABLE,
                          "the catalog of blocks was read up to %" PRIu64 " of %" PRIu64 "%s%s",
                          have, number, failed ? ": " : "", failed ? blocks->why.text : "");
    }
    pthread_mutex_unlock(&blocks->lock);
    return status;
}

enum mrd_status qry_blocks_commit(struct qry_blocks *blocks,
                                  const struct mrd_catalog_change *change,
                                  const struct mrd_query_control *control, uint64_t *out_number,
                                  struct mrd_error *err)
{
    const struct mrd_objstore_control calls = {.canceled = control->canceled,
                                               .clock = control->clock,
                                               .deadline_ns = control->deadline_ns};
    struct qry_blocks_pin pin = {0};
    MRD_TRY(qry_blocks_pin(blocks, &pin, err)); /* then there is a catalog, which stays */
    qry_blocks_unpin(&pin);
    pthread_mutex_lock(&blocks->lock);
    struct mrd_catalog *catalog = blocks->catalog;
    pthread_mutex_unlock(&blocks->lock);
    MRD_TRY(mrd_catalog_commit(catalog, change, &calls, err));
    MRD_TRY(qry_blocks_refresh(blocks, control, err));
    MRD_TRY(qry_blocks_pin(blocks, &pin, err));
    *out_number = mrd_catalog_number(pin.state);
    qry_blocks_unpin(&pin);
    return MRD_OK;
}

struct mrd_objstore *qry_blocks_store(const struct qry_blocks *blocks)
{
    return blocks->options.store;
}

/* ---- gaps ---- */

void qry_blocks_gap_confirm(struct qry_blocks *blocks, uint32_t partition, uint64_t first)
{
    uint64_t known = atomic_load_explicit(&blocks->gaps[partition].first, memory_order_relaxed);
    while (known < first) {
        if (atomic_compare_exchange_weak_explicit(&blocks->gaps[partition].first, &known, first,
                                                  memory_order_relaxed, memory_order_relaxed)) {
            MRD_LOG_WARN("the log was trimmed before blocks had it: answers say that data may be "
                         "missing",
                         mrd_log_int("partition", partition),
                         mrd_log_uint("head_begins_at", first));
            return;
        }
    }
}

bool qry_blocks_gap_known(const struct qry_blocks *blocks, uint32_t partition, uint64_t first)
{
    return atomic_load_explicit(&blocks->gaps[partition].first, memory_order_relaxed) >= first;
}

void qry_blocks_log_confirm(struct qry_blocks *blocks, uint32_t partition, uint64_t tag)
{
    if (atomic_exchange_explicit(&blocks->gaps[partition].log, tag, memory_order_relaxed) != tag) {
        MRD_LOG_ERROR("an ingester has read another log than the one that blocks were built of: "
                      "no block is left out for it, and answers say so until it is adopted "
                      "(mrdctl log status)",
                      mrd_log_int("partition", partition));
    }
}

bool qry_blocks_log_known(const struct qry_blocks *blocks, uint32_t partition, uint64_t tag)
{
    return atomic_load_explicit(&blocks->gaps[partition].log, memory_order_relaxed) == tag;
}

/* ---- for a query ---- */

void qry_blocks_source(const struct qry_blocks *blocks, struct mrd_block_source_options *out)
{
    out->store = blocks->options.store;
    out->cache = blocks->cache;
    out->pool = blocks->pool;
}

static void add(struct mrd_counter *counter, const _Atomic uint64_t *figure)
{
    mrd_counter_add(counter, atomic_load_explicit(figure, memory_order_relaxed));
}

void qry_blocks_count(const struct qry_blocks *blocks,
                      const struct mrd_block_source_figures *figures, bool gap)
{
    const struct metrics *metrics = &blocks->metrics;
    add(metrics->considered, &figures->considered);
    add(metrics->skipped[BY_TIME], &figures->skipped_time);
    add(metrics->skipped[BY_HEADS], &figures->covered);
    add(metrics->skipped[BY_TENANT], &figures->skipped_tenant);
    add(metrics->skipped[BY_LABELS], &figures->skipped_labels);
    add(metrics->read, &figures->read);
    add(metrics->bytes, &figures->bytes);
    add(metrics->missing, &figures->missing);
    mrd_counter_add(metrics->gaps, gap ? 1 : 0);
}
