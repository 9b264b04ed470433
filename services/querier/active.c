#include "querier/active.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/hash.h"

enum { PARAM_BYTES_MAX = 64 /* of a time or a step */ };

struct qry_active {
    struct qry_pool *pool;
    uint64_t seed; /* so that ids of one process, or of one tenant, tell nothing of others */

    pthread_mutex_t lock; /* guards all below, and the queries' fields that say so */
    uint64_t counter;
    struct qry_active_query *first;
    struct qry_active_query *last;
};

static int64_t now_ns(void) { return mrd_clock_monotonic_ns(mrd_clock_system()); }

struct qry_active *qry_active_create(struct qry_pool *pool)
{
    struct qry_active *active = calloc(1, sizeof(*active));
    mrd_assert(active != NULL);
    active->pool = pool;
    mrd_assert(getentropy(&active->seed, sizeof(active->seed)) == 0);
    pthread_mutex_init(&active->lock, NULL);
    return active;
}

void qry_active_destroy(struct qry_active **active)
{
    if (*active != NULL) {
        mrd_assert((*active)->first == NULL);
        pthread_mutex_destroy(&(*active)->lock);
        free(*active);
        *active = NULL;
    }
}

/* ---- the list ---- */

static void params_parse(struct qry_active *active, struct qry_active_query *query)
{
    struct mrd_http_params params;
    struct mrd_error error = {0};
    if (mrd_http_params_parse(query->request, &params, &error) == MRD_OK) {
        error.status = MRD_OK;
    }
    pthread_mutex_lock(&active->lock); /* others may be copying a list */
    query->parsed = true;
    query->params = params;
    query->params_error = error;
    pthread_mutex_unlock(&active->lock);
}

static uint64_t id_next(struct qry_active *active)
{
    const uint64_t number = ++active->counter;
    return mrd_hash64((struct mrd_bytes){(const uint8_t *)&number, sizeof(number)}, active->seed);
}

void qry_active_add(struct qry_active *active, struct qry_active_query *query)
{
    if (mrd_http_body(query->request).size <= QRY_ACTIVE_EARLY_MAX) {
        params_parse(active, query);
    }
    query->next = NULL;
    pthread_mutex_lock(&active->lock);
    query->id = id_next(active);
    query->previous = active->last;
    *(active->last != NULL ? &active->last->next : &active->first) = query;
    active->last = query;
    pthread_mutex_unlock(&active->lock);
}

void qry_active_begin(struct qry_active *active, struct qry_active_query *query)
{
    atomic_store_explicit(&query->progress.doing, MRD_QUERY_WORKS, memory_order_relaxed);
    if (!query->parsed) {
        params_parse(active, query);
    }
}

void qry_active_text_set(struct qry_active *active, struct qry_active_query *query,
                         struct mrd_bytes text)
{
    pthread_mutex_lock(&active->lock);
    query->text = text;
    pthread_mutex_unlock(&active->lock);
}

/* The lock is held. */
static void unlink_query(struct qry_active *active, struct qry_active_query *query)
{
    *(query->previous != NULL ? &query->previous->next : &active->first) = query->next;
    *(query->next != NULL ? &query->next->previous : &active->last) = query->previous;
}

void qry_active_remove(struct qry_active *active, struct qry_active_query *query)
{
    pthread_mutex_lock(&active->lock);
    unlink_query(active, query);
    pthread_mutex_unlock(&active->lock);
}

/* ---- cancelling ---- */

static struct qry_active_query *find(const struct qry_active *active, uint64_t id,
                                     const struct mrd_bytes *tenant)
{
    struct qry_active_query *query = active->first;
    while (query != NULL &&
           (query->id != id || (tenant != NULL && !mrd_bytes_equal(query->tenant, *tenant)))) {
        query = query->next;
    }
    return query;
}

bool qry_active_cancel(struct qry_active *active, uint64_t id, const struct mrd_bytes *tenant)
{
    pthread_mutex_lock(&active->lock);
    struct qry_active_query *query = find(active, id, tenant);
    if (query != NULL) {
        /* Before the pool is asked: a job that is about to begin finds it, as the pool's lock orders both. */
        atomic_store_explicit(&query->canceled, true, memory_order_relaxed);
        mrd_http_cut(query->request);
        qry_pool_cancel(active->pool, query->request);
    }
    pthread_mutex_unlock(&active->lock);
    return query != NULL;
}

/* ---- what a list shows ---- */

static bool append_cut(struct mrd_bytes text, size_t bytes_max, struct mrd_buf *out)
{
    const size_t left = bytes_max - MRD_MIN(out->size, bytes_max);
    mrd_buf_append_bytes(out, (struct mrd_bytes){text.data, MRD_MIN(text.size, left)});
    return text.size <= left;
}

bool qry_active_text(const struct qry_active_query *query, size_t bytes_max, struct mrd_buf *out)
{
    struct mrd_bytes text = query->text;
    bool whole = true;
    if (text.size > 0 || mrd_http_param_get(&query->params, "query", &text)) {
        return append_cut(text, bytes_max, out);
    }
    for (size_t i = 0; i < query->params.count && whole; i++) {
        const struct mrd_http_param *item = &query->params.items[i];
        if (mrd_bytes_equal(item->name, MRD_BYTES("match[]"))) {
            whole = append_cut(mrd_bytes_of(out->size > 0 ? ", " : ""), bytes_max, out) &&
                    append_cut(item->value, bytes_max, out);
        }
    }
    return whole;
}

static struct mrd_bytes param_copy(const struct qry_active_query *query, const char *name,
                                   struct mrd_arena *arena)
{
    struct mrd_bytes value;
    return mrd_http_param_get(&query->params, name, &value) && value.size <= PARAM_BYTES_MAX
               ? mrd_arena_copy(arena, value)
               : MRD_BYTES_NONE;
}

static void copy_progress(const struct mrd_query_progress *progress, struct qry_active_item *out)
{
    out->doing = (enum mrd_query_doing)atomic_load_explicit(&progress->doing, memory_order_relaxed);
    for (size_t i = 0; i < MRD_QUERY_DOING_COUNT; i++) {
        out->waited_ns[i] = atomic_load_explicit(&progress->waited_ns[i], memory_order_relaxed);
    }
    out->series = mrd_progress_get(&progress->series);
    out->samples = mrd_progress_get(&progress->samples);
    out->memory_bytes = mrd_progress_get(&progress->memory_bytes);
}

static bool copy_query(const struct qry_active_query *query, struct mrd_buf *scratch,
                       struct mrd_arena *arena, struct qry_active_item *out)
{
    mrd_buf_clear(scratch);
    *out = (struct qry_active_item){
        .id = query->id,
        .kind = query->kind,
        .text_cut = !qry_active_text(query, QRY_ACTIVE_TEXT_MAX, scratch),
        .canceled = atomic_load_explicit(&query->canceled, memory_order_relaxed),
        .tenant = mrd_arena_copy(arena, query->tenant),
        .time = param_copy(query, "time", arena),
        .start = param_copy(query, "start", arena),
        .end = param_copy(query, "end", arena),
        .step = param_copy(query, "step", arena),
        .age_ns = now_ns() - mrd_http_received_ns(query->request),
    };
    copy_progress(&query->progress, out);
    out->text = mrd_arena_copy(arena, mrd_buf_view(scratch));
    return out->tenant.data != NULL && out->text.data != NULL;
}

enum mrd_status qry_active_list(struct qry_active *active, const struct mrd_bytes *tenant,
                                size_t limit, struct mrd_arena *arena, struct qry_active_list *out,
                                struct mrd_error *err)
{
    const size_t room = MRD_MIN(limit, (size_t)QRY_ACTIVE_LIST_MAX);
    mrd_auto(mrd_buf_fini)
    struct mrd_buf scratch = {0};
    *out = (struct qry_active_list){
        .items = mrd_arena_alloc_array(arena, room + 1, sizeof(*out->items)),
    };
    bool fits = out->items != NULL;
    pthread_mutex_lock(&active->lock);
    for (const struct qry_active_query *at = active->first; at != NULL && fits; at = at->next) {
        if (tenant != NULL && !mrd_bytes_equal(at->tenant, *tenant)) {
            continue;
        }
        out->total++;
        if (out->count < room) {
            fits = copy_query(at, &scratch, arena, &out->items[out->count++]);
        }
    }
    pthread_mutex_unlock(&active->lock);
    return fits ? MRD_OK : mrd_arena_fail(arena, err);
}
