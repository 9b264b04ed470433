/* call.h: one request to the API under way, and its parameters as Prometheus reads them
 * (web/api/v1/api.go), with its error texts. What all endpoint files share; nobody else includes it.
 *
 * Owner:   the pool's job, on its stack.
 * Threads: the job's.
 */
#ifndef QRY_CALL_H
#define QRY_CALL_H

#include "querier/active.h"
#include "querier/api.h"
#include "querier/limits.h"
#include "querier/remote_source.h"
#include "querier/sink.h"
#include "querier/tiers.h"

enum { QRY_MATCHER_SETS_MAX = 64 };

struct qry_call {
    const struct qry_api_options *options;
    struct qry_limits limits; /* the tenant's, when the query began */
    struct mrd_http_request *request;
    struct qry_active_query *query; /* as it is listed */
    struct mrd_http_params params;
    struct mrd_error form_error; /* the first malformed parameter; status OK: there was none */
    struct mrd_arena *arena;
    struct mrd_annotations annotations;
    struct mrd_query_control control;
    struct mrd_query_scope scope;
    struct qry_remote remote;
    struct qry_tiers tiers;
    struct mrd_retention_book *rules; /* the call's reference, or NULL */
    struct mrd_source source;         /* after qry_call_open */
    struct qry_sink *sink;
    int64_t started_ns; /* when a pool thread took it; mrd_http_received_ns says when it came */
    unsigned status;    /* of a success: 200, or 204 without a body */
    const char *limit;  /* key of the limit that was met, where Prometheus' text does not name it */
    bool execution_error; /* the failure came after the parameters and the expression were good */
};

/* Evaluates and appends the answer to call->sink. */
typedef enum mrd_status qry_endpoint(struct qry_call *call, struct mrd_error *err);

/* Makes the call's source: heads, and blocks where there are any. What the answer cannot tell of is an error: a possible gap, for an
 * answer that has no place for warnings, unless a partial one was asked for. May wait. */
enum qry_call_warnings { QRY_CALL_WARNS, QRY_CALL_CANNOT_WARN };
MRD_MUST_CHECK enum mrd_status qry_call_open(struct qry_call *call, enum qry_call_warnings warnings,
                                             struct mrd_error *err);

/* Fills in what is hidden (tiers.hiding), for who asks without qry_call_open. */
MRD_MUST_CHECK enum mrd_status qry_call_hide(struct qry_call *call, struct mrd_error *err);

/* The parameter's first value, empty if there is none: Go's FormValue does not tell them apart. */
struct mrd_bytes qry_param(const struct qry_call *call, const char *name);
static inline bool qry_param_given(const struct qry_call *call, const char *name)
{
    return qry_param(call, name).size > 0;
}

/* Puts `invalid parameter "name": ` before err's text. */
enum mrd_status qry_bad_param(enum mrd_status status, const char *name, struct mrd_error *err);

/* MRD_E_INVALID with Prometheus' text if a parameter was malformed: for endpoints that care. */
enum mrd_status qry_form_check(const struct qry_call *call, struct mrd_error *err);

enum mrd_status qry_time_param(const struct qry_call *call, const char *name,
                               mrd_time_ms missing_ms, mrd_time_ms *out_ms, struct mrd_error *err);
enum mrd_status qry_limit_param(const struct qry_call *call, size_t *out_limit,
                                struct mrd_error *err);

/* When the time of a request is up: by querier.query_timeout, or by its parameter `timeout` where that is less and can be read. */
int64_t qry_deadline_of(const struct mrd_http_request *request,
                        const struct mrd_http_params *params, const struct qry_limits *limits);

/* MRD_E_INVALID if `timeout` cannot be read. */
enum mrd_status qry_timeout_param(const struct qry_call *call, struct mrd_error *err);

/* The lookback and the coarsest rollups: the parameters lookback_delta and max_source_resolution, or what is configured. */
enum mrd_status qry_promql_options(const struct qry_call *call, struct mrd_promql_options *out,
                                   struct mrd_error *err);

/* The parsed match[] parameters. */
struct qry_matcher_sets {
    struct mrd_ast asts[QRY_MATCHER_SETS_MAX];
    const struct mrd_matcher *sets[QRY_MATCHER_SETS_MAX];
    size_t counts[QRY_MATCHER_SETS_MAX];
    size_t count;
};

/* Parses all; then none may match everything, unless match_all says so. Errors are without prefix.
 * Finish *out in any case. */
enum mrd_status qry_match_params(const struct qry_call *call, bool match_all,
                                 struct qry_matcher_sets *out, struct mrd_error *err);
void qry_matcher_sets_fini(struct qry_matcher_sets *sets);

mrd_time_ms qry_now_ms(void);

#endif
