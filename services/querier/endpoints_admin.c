/* admin/tsdb: deleting series, and what becomes of it. */
#include <inttypes.h>
#include <time.h>

#include "base/log.h"
#include "querier/endpoints.h"
#include "querier/erasures.h"
#include "querier/json.h"
#include "querier/params.h"

enum { REFRESH_MS = 1000, LOOK_MS = 20 };
static const int64_t MS = 1000000;

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
                                  &erasure, NULL, err);
    log_outcome(&erasure, status, err);
    return status;
}

/* Whoever deletes a tenant says twice which: a request without X-Scope-OrgID is one of the tenant `anonymous`. */
static enum mrd_status confirm_param(const struct qry_call *call, struct mrd_error *err)
{
    const struct mrd_bytes tenant = call->remote.options.tenant;
    return mrd_bytes_equal(qry_param(call, "confirm"), tenant)
               ? MRD_OK
               : mrd_fail(err, MRD_E_INVALID,
                          "all that tenant %.*s has is to be deleted: the parameter confirm must "
                          "have its name, too",
                          MRD_FMT(tenant));
}

enum mrd_status qry_answer_delete_tenant(struct qry_call *call, struct mrd_error *err)
{
    struct mrd_matcher matcher;
    struct mrd_id128 id;
    MRD_TRY(admin_check(call, err));
    MRD_TRY(qry_form_check(call, err));
    MRD_TRY(confirm_param(call, err));
    if (call->options->blocks == NULL) {
        return mrd_fail(err, MRD_E_UNSUPPORTED,
                        "a tenant is deleted where there is object storage; else its series are "
                        "(delete_series), and the log forgets them in its own time (log.max_age)");
    }
    MRD_TRY(
        mrd_matcher_init(&matcher, MRD_MATCH_RE, MRD_BYTES(MRD_METRIC_NAME), MRD_BYTES(".*"), err));
    const struct mrd_erasure_selector all = {&matcher, 1};
    const struct mrd_erasure erasure = {.tenant = call->remote.options.tenant,
                                        .by = mrd_bytes_of(mrd_http_remote(call->request)),
                                        .time_min_ms = MRD_ERASURE_TIME_MIN_MS,
                                        .time_max_ms = MRD_ERASURE_TIME_MAX_MS,
                                        .selectors = &all,
                                        .selector_count = 1};
    mrd_assert(mrd_erasure_is_of_tenant(&erasure));
    const enum mrd_status status = qry_erasures_request(
        call->options->erasures, call->options->cluster->members, &erasure, &id, err);
    mrd_matcher_fini(&matcher);
    log_outcome(&erasure, status, err);
    MRD_TRY(status);
    mrd_buf_printf(&call->sink->body,
                   "{\"status\":\"success\",\"data\":{\"id\":\"%016" PRIx64 "%016" PRIx64 "\"}}",
                   id.high, id.low);
    return MRD_OK;
}

/* ---- what blocks still have ---- */

/* The state of the catalog of now. */
static enum mrd_status pin_now(const struct qry_call *call, struct qry_blocks_pin *out,
                               struct mrd_error *err)
{
    MRD_TRY(qry_blocks_refresh(call->options->blocks, &call->control, err));
    return qry_blocks_pin(call->options->blocks, out, err);
}

static bool is_ours(const struct qry_call *call, const struct mrd_catalog_erasure *erasure)
{
    return mrd_bytes_equal(erasure->tenant, call->remote.options.tenant);
}

/* Whether an erasure of the tenant before that one owes the block, too. */
static bool is_counted(const struct qry_call *call, const struct mrd_catalog_state *state,
                       size_t before, struct mrd_bytes block)
{
    for (size_t i = 0; i < before; i++) {
        const struct mrd_catalog_erasure *erasure = mrd_catalog_erasure_at(state, i);
        if (is_ours(call, erasure) && mrd_catalog_erasure_owes(erasure, block)) {
            return true;
        }
    }
    return false;
}

/* Blocks that owe any erasure of the tenant. */
static enum mrd_status count_owed(const struct qry_call *call,
                                  const struct mrd_catalog_state *state, size_t *out,
                                  struct mrd_error *err)
{
    const struct mrd_look look = mrd_query_look(&call->control);
    struct mrd_pace pace = {.look = &look};
    size_t count = 0;
    for (size_t i = 0; i < mrd_catalog_erasure_count(state); i++) {
        const struct mrd_catalog_erasure *erasure = mrd_catalog_erasure_at(state, i);
        for (size_t k = 0; is_ours(call, erasure) && k < erasure->owed_count; k++) {
            count += !is_counted(call, state, i, mrd_catalog_erasure_owed(erasure, k));
            MRD_TRY(mrd_pace(&pace, 1 + i * 8, err));
        }
    }
    *out = count;
    return MRD_OK;
}

static enum mrd_status pause_for(const struct qry_call *call, mrd_time_ms ms, struct mrd_error *err)
{
    for (; ms > 0; ms -= LOOK_MS) {
        (void)nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * MS}, NULL);
        MRD_TRY(mrd_query_check(&call->control, err));
    }
    return MRD_OK;
}

/* Heads give erased samples up at once; the log keeps its messages until it is trimmed, and nothing here can hurry that. Blocks are written anew by
 * compactors, which see the erasure in the catalog. */
enum mrd_status qry_answer_clean_tombstones(struct qry_call *call, struct mrd_error *err)
{
    MRD_TRY(admin_check(call, err));
    if (call->options->blocks == NULL) {
        return mrd_fail(
            err, MRD_E_UNSUPPORTED,
            "what is deleted leaves the log when the log forgets it (log.max_age); there is "
            "no way yet to have that sooner");
    }
    const int64_t until_ns = mrd_clock_monotonic_ns(mrd_clock_system()) +
                             qry_erasures_wait_ms(call->options->erasures) * MS;
    call->status = 204;
    for (;;) {
        struct qry_blocks_pin pin = {0};
        MRD_TRY(pin_now(call, &pin, err));
        size_t owed = 0;
        const enum mrd_status status = count_owed(call, pin.state, &owed, err);
        qry_blocks_unpin(&pin);
        MRD_TRY(status);
        if (owed == 0) {
            return MRD_OK;
        }
        if (mrd_clock_monotonic_ns(mrd_clock_system()) + REFRESH_MS * MS > until_ns) {
            return mrd_fail(err, MRD_E_UNAVAILABLE,
                            "%zu blocks have still to be written anew without what was deleted: "
                            "compactors go on with it, ask again",
                            owed);
        }
        MRD_TRY(pause_for(call, REFRESH_MS, err));
    }
}

/* ---- the tenant's erasures ---- */

static void append_id(struct mrd_id128 id, struct mrd_buf *out)
{
    const bool first = out->data[out->size - 1] == '[';
    mrd_buf_printf(out, "%s{\"id\":\"%016" PRIx64 "%016" PRIx64 "\"", first ? "" : ",", id.high,
                   id.low);
}

/* What an erasure and its receipt have in common. */
static void append_asked(mrd_hlc hlc, mrd_time_ms min_ms, mrd_time_ms max_ms,
                         struct mrd_bytes digest, struct mrd_buf *out)
{
    mrd_buf_printf(out,
                   ",\"minTime\":%" PRId64 ",\"maxTime\":%" PRId64 ",\"stamp\":\"%" PRIu64
                   "\",\"requestedAt\":",
                   min_ms, max_ms, hlc);
    qry_json_time(mrd_hlc_time_ms(hlc), out);
    mrd_buf_append_text(out, ",\"requestDigest\":");
    qry_json_string(digest, out);
}

static const char *state_of(const struct mrd_catalog_state *state,
                            const struct mrd_catalog_erasure *erasure)
{
    if (erasure->owed_count > 0) {
        return "rewriting";
    }
    return mrd_catalog_erasure_passed(state, erasure) ? "leaving" : "building";
}

static void append_erasures(const struct qry_call *call, const struct mrd_catalog_state *state,
                            struct mrd_buf *out)
{
    for (size_t i = 0; i < mrd_catalog_erasure_count(state); i++) {
        const struct mrd_catalog_erasure *erasure = mrd_catalog_erasure_at(state, i);
        if (is_ours(call, erasure)) {
            append_id(erasure->id, out);
            mrd_buf_printf(out, ",\"state\":\"%s\",\"blocksOwed\":%zu,\"blocksLeaving\":%zu",
                           state_of(state, erasure), erasure->owed_count, erasure->leaving_count);
            append_asked(erasure->hlc, erasure->time_min_ms, erasure->time_max_ms,
                         erasure->request_digest, out);
            mrd_buf_printf(out, ",\"blocks\":%" PRIu64 ",\"samples\":%" PRIu64 "}", erasure->blocks,
                           erasure->samples);
        }
    }
}

static void append_receipts(const struct qry_call *call, const struct mrd_catalog_state *state,
                            struct mrd_buf *out)
{
    for (size_t i = 0; i < mrd_catalog_receipt_count(state); i++) {
        const struct mrd_catalog_receipt *receipt = mrd_catalog_receipt_at(state, i);
        if (mrd_bytes_equal(receipt->tenant, call->remote.options.tenant)) {
            append_id(receipt->id, out);
            mrd_buf_append_text(out, ",\"state\":\"done\"");
            append_asked(receipt->hlc, receipt->time_min_ms, receipt->time_max_ms,
                         receipt->request_digest, out);
            mrd_buf_printf(out, ",\"blocks\":%" PRIu64 ",\"samples\":%" PRIu64 ",\"doneAt\":",
                           receipt->blocks, receipt->samples);
            qry_json_time(receipt->done_ms, out);
            mrd_buf_append_u8(out, '}');
        }
    }
}

enum mrd_status qry_answer_erasures(struct qry_call *call, struct mrd_error *err)
{
    struct mrd_buf *body = &call->sink->body;
    struct qry_blocks_pin pin = {0};
    MRD_TRY(admin_check(call, err));
    if (call->options->blocks != NULL) {
        MRD_TRY(pin_now(call, &pin, err));
    }
    mrd_buf_append_text(body, "{\"status\":\"success\",\"data\":{\"erasures\":[");
    if (pin.state != NULL) {
        append_erasures(call, pin.state, body);
        append_receipts(call, pin.state, body);
    }
    mrd_buf_append_text(body, "]}}");
    qry_blocks_unpin(&pin);
    return MRD_OK;
}
