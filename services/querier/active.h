/* active.h: the requests to the query API that wait, run or are being answered: for whoever asks what is going on, and for
 * ending one of them.
 *
 * Owner:   main; outlives the pool's jobs. A query is its job's, and in the list from before it is submitted until its job ends:
 *          whoever has found it in the list may rely on its request not having been answered, as long as the lock is held.
 * Threads: any. One lock, for a few pointers, or for copying what a list shows; the pool's is taken inside it.
 * Memory:  what the pool's queue and places bound; a list has at most QRY_ACTIVE_LIST_MAX queries, the texts of which are cut.
 */
#ifndef QRY_ACTIVE_H
#define QRY_ACTIVE_H

#include "base/arena.h"
#include "promql/progress.h"
#include "querier/query_pool.h"

enum {
    QRY_ACTIVE_LIST_MAX = 1000,
    QRY_ACTIVE_TEXT_MAX = 2048,  /* of a query, in a list */
    QRY_ACTIVE_EARLY_MAX = 65536 /* parameters larger than this are read by the job only */
};

struct qry_active;

/* Embedded in what the job is. */
struct qry_active_query {
    /* Set before it is added. */
    struct mrd_http_request *request;
    const char *kind;        /* "query_range"; static storage */
    struct mrd_bytes tenant; /* lives as long as the request */

    struct mrd_query_progress progress;
    _Atomic bool canceled; /* on request, not since the client has gone */

    /* Of the list, under its lock; the params also the job's, from qry_active_begin on. */
    uint64_t id;
    bool parsed;
    struct mrd_http_params params;
    struct mrd_error params_error; /* of the first that is malformed; status OK: none is */
    struct mrd_bytes text;         /* what is asked for where no parameter says so */
    struct qry_active_query *next;
    struct qry_active_query *previous;
};

struct qry_active *qry_active_create(struct qry_pool *pool);
void qry_active_destroy(struct qry_active **active); /* when it is empty */

/* Lists it as queued, with an id of its own. */
void qry_active_add(struct qry_active *active, struct qry_active_query *query);

/* Its job begins: its parameters are there from now on. */
void qry_active_begin(struct qry_active *active, struct qry_active_query *query);

/* What is asked for, where no parameter says so; kept until it is removed. */
void qry_active_text_set(struct qry_active *active, struct qry_active_query *query,
                         struct mrd_bytes text);

/* Before its request is answered. */
void qry_active_remove(struct qry_active *active, struct qry_active_query *query);

/* Appends what is asked for, at most bytes_max bytes of it; false: it was cut. The lock is held, or it is the job's thread. */
bool qry_active_text(const struct qry_active_query *query, size_t bytes_max, struct mrd_buf *out);

/* Ends the query with this id, of the tenant (NULL: of any). False: there is none. Its job ends as soon as it can; one that had not
 * begun, begins for that. */
bool qry_active_cancel(struct qry_active *active, uint64_t id, const struct mrd_bytes *tenant);

/* A query as it was at the moment of asking. */
struct qry_active_item {
    uint64_t id;
    const char *kind;
    struct mrd_bytes tenant;
    struct mrd_bytes text;
    bool text_cut;
    bool canceled;
    enum mrd_query_doing doing;
    struct mrd_bytes time, start, end, step; /* parameters as sent; empty: not given, or too long */
    int64_t age_ns;
    int64_t waited_ns[MRD_QUERY_DOING_COUNT];
    uint64_t series;
    uint64_t samples;
    uint64_t memory_bytes;
};

struct qry_active_list {
    struct qry_active_item *items; /* the oldest first; all from the arena */
    size_t count;
    size_t total; /* that there were */
};

/* The queries of the tenant (NULL: of all), at most `limit`. MRD_E_LIMIT from the arena. */
MRD_MUST_CHECK enum mrd_status qry_active_list(struct qry_active *active,
                                               const struct mrd_bytes *tenant, size_t limit,
                                               struct mrd_arena *arena, struct qry_active_list *out,
                                               struct mrd_error *err);

#endif
