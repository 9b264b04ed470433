/* admin/tsdb: deleting series. */
#include "base/log.h"
#include "querier/endpoints.h"
#include "querier/erasures.h"
#include "querier/params.h"

static enum mrd_status admin_check(const struct qry_call *call, struct mrd_error *err)
{
    return qry_erasures_enabled(call->options->erasures)
               ? MRD_OK
               : mrd_fail(err, MRD_E_DENIED, "admin APIs disabled");
}

static enum mrd_status range_params(const struct qry_call *call, struct mrd_erasure *out,
                                    struct mrd_error *err)
{
    MRD_TRY(qry_time_param(call, "start", QRY_TIME_MIN_MS, &out->time_min_ms, err));
    return qry_time_param(call, "end", QRY_TIME_MAX_MS, &out->time_max_ms, err);
}

static void log_outcome(const struct mrd_erasure *erasure, enum mrd_status status,
                        const struct mrd_error *err)
{
    if (status == MRD_OK) {
        MRD_LOG_INFO("series were deleted", mrd_log_bytes("tenant", erasure->tenant),
                     mrd_log_uint("selectors", erasure->selector_count),
                     mrd_log_int("start_ms", erasure->time_min_ms),
                     mrd_log_int("end_ms", erasure->time_max_ms), mrd_log_bytes("by", erasure->by));
    } else {
        MRD_LOG_ERROR("series could not be deleted everywhere",
                      mrd_log_bytes("tenant", erasure->tenant), mrd_log_error(err));
    }
}

enum mrd_status qry_answer_delete_series(struct qry_call *call, struct mrd_error *err)
{
    mrd_auto(qry_matcher_sets_fini)
    struct qry_matcher_sets sets = {.count = 0};
    struct mrd_bytes any;
    const char *client = mrd_http_remote(call->request);
    struct mrd_erasure erasure = {.tenant = call->remote.options.tenant,
                                  .by = mrd_bytes_of(client)};
    MRD_TRY(admin_check(call, err));
    MRD_TRY(qry_form_check(call, err));
    if (!mrd_http_param_get(&call->params, "match[]", &any)) {
        return mrd_fail(err, MRD_E_INVALID, "no match[] parameter provided");
    }
    MRD_TRY(range_params(call, &erasure, err));
    enum mrd_status status = qry_match_params(call, false, &sets, err);
    if (status != MRD_OK) {
        return qry_bad_param(status, "match[]", err);
    }
    call->status = 204;
    if (erasure.time_max_ms < erasure.time_min_ms) {
        return MRD_OK; /* no sample has such a time */
    }
    struct mrd_erasure_selector selectors[QRY_MATCHER_SETS_MAX];
    _Static_assert((int)QRY_MATCHER_SETS_MAX <= (int)MRD_ERASURE_SELECTORS_MAX,
                   "what is asked fits");
    for (size_t i = 0; i < sets.count; i++) {
        selectors[i] = (struct mrd_erasure_selector){sets.sets[i], sets.counts[i]};
    }
    erasure.selectors = selectors;
    erasure.selector_count = sets.count;
    status = qry_erasures_request(call->options->erasures, call->options->cluster->members,
                                  &erasure, err);
    log_outcome(&erasure, status, err);
    return status;
}

/* Heads give erased samples up at once; the log keeps its messages until it is trimmed, and nothing here can hurry that. */
enum mrd_status qry_answer_clean_tombstones(struct qry_call *call, struct mrd_error *err)
{
    MRD_TRY(admin_check(call, err));
    return mrd_fail(
        err, MRD_E_UNSUPPORTED,
        "what is deleted leaves the log when the log forgets it (log.max_age); there is "
        "no way yet to have that sooner");
}
