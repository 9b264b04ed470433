/* query and query_range. */
#include <inttypes.h>
#include <stdio.h>

#include "base/duration.h"
#include "base/number.h"
#include "base/quote.h"
#include "querier/endpoints.h"
#include "querier/json.h"
#include "querier/params.h"

enum { STEPS_MAX_PROMETHEUS = 11000, SERIES_BYTES = 32, POINT_BYTES = 20 };

/* ---- stats ---- */

static void append_seconds(const char *name, int64_t ns, struct mrd_buf *out)
{
    char text[MRD_DOUBLE_TEXT_MAX];
    (void)mrd_double_format_json((double)ns / 1e9, text);
    mrd_buf_printf(out, "\"%s\":%s", name, text);
}

/* Which blocks answered beside heads; Prometheus has no such thing. */
static void blocks_json(const struct mrd_block_source_figures *figures, struct mrd_buf *out)
{
    mrd_buf_printf(out,
                   ",\"blocks\":{\"considered\":%" PRIu64 ",\"inHeads\":%" PRIu64
                   ",\"read\":%" PRIu64 ",\"bytesRead\":%" PRIu64 "}",
                   atomic_load_explicit(&figures->considered, memory_order_relaxed),
                   atomic_load_explicit(&figures->covered, memory_order_relaxed),
                   atomic_load_explicit(&figures->read, memory_order_relaxed),
                   atomic_load_explicit(&figures->bytes, memory_order_relaxed));
}

/* Whether rollups answered, and of which resolution at most. */
static void rollups_json(const struct mrd_promql_stats *stats, struct mrd_buf *out)
{
    char resolution[MRD_DURATION_TEXT_MAX];
    mrd_buf_printf(out, ",\"rollups\":{\"selectors\":%" PRIu64 ",\"rows\":%" PRIu64,
                   stats->coarse_selects, stats->rows_read);
    mrd_buf_printf(out, ",\"resolution\":\"%s\"",
                   mrd_duration_format(stats->resolution_ms, resolution));
    if (stats->refused != NULL) {
        mrd_buf_printf(out, ",\"refused\":\"%s\"", stats->refused);
    }
    mrd_buf_append_u8(out, '}');
}

/* What Prometheus' BuiltinStats have without per-step figures, which it keeps behind a flag. Sorting and
 * preparing are parts of the evaluation here and have no clock of their own. */
static void stats_json(const struct qry_call *call, const struct mrd_promql_stats *stats,
                       int64_t evaluated_ns, struct mrd_buf *out)
{
    const int64_t ended_ns = mrd_clock_monotonic_ns(mrd_clock_system());
    mrd_buf_append_text(out, "{\"timings\":{");
    append_seconds("evalTotalTime", evaluated_ns, out);
    mrd_buf_append_text(out, ",\"resultSortTime\":0,\"queryPreparationTime\":0,");
    append_seconds("innerEvalTime", evaluated_ns, out);
    mrd_buf_append_u8(out, ',');
    append_seconds("execQueueTime", call->started_ns - mrd_http_received_ns(call->request), out);
    mrd_buf_append_u8(out, ',');
    append_seconds("execTotalTime", ended_ns - mrd_http_received_ns(call->request), out);
    mrd_buf_printf(out,
                   "},\"samples\":{\"totalQueryableSamples\":%llu,\"samplesRead\":%llu,"
                   "\"peakSamples\":%llu}",
                   (unsigned long long)stats->samples_read, (unsigned long long)stats->samples_read,
                   (unsigned long long)stats->samples_peak);
    if (call->tiers.region != NULL) {
        blocks_json(&call->tiers.figures, out);
        rollups_json(stats, out);
    }
    mrd_buf_append_u8(out, '}');
}

/* The warning about a value of `stats` that Prometheus deprecates; empty if it is none. */
static struct mrd_bytes stats_warning(struct mrd_bytes stats, struct mrd_buf *storage)
{
    if (stats.size == 0 || mrd_bytes_equal(stats, MRD_BYTES("true")) ||
        mrd_bytes_equal(stats, MRD_BYTES("all"))) {
        return MRD_BYTES_NONE;
    }
    mrd_buf_append_text(storage, "value ");
    mrd_quote_append((struct mrd_bytes){stats.data, MRD_MIN(stats.size, (size_t)1024)}, storage);
    mrd_buf_append_text(storage,
                        " for parameter \"stats\" is deprecated and will be rejected in the "
                        "next major release, use \"true\" or \"all\"");
    return mrd_buf_view(storage);
}

/* ---- evaluation ---- */

/* What the answer takes at least, known before anything is sent. */
static enum mrd_status answer_bytes_min(const struct qry_call *call,
                                        const struct mrd_promql_result *result, size_t limit,
                                        size_t *out, struct mrd_error *err)
{
    const bool is_list = result->type == MRD_PROMQL_VECTOR || result->type == MRD_PROMQL_MATRIX;
    const size_t count = !is_list                                     ? 0
                         : limit != 0 && result->series_count > limit ? limit
                                                                      : result->series_count;
    const struct mrd_look look = mrd_query_look(&call->control);
    struct mrd_pace pace = {.look = &look};
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        const struct mrd_promql_series *series = &result->series[i];
        MRD_TRY(mrd_pace(&pace, 1 + series->labels.count, err));
        size += SERIES_BYTES + series->count * POINT_BYTES;
        for (size_t k = 0; k < series->labels.count; k++) {
            size += series->labels.items[k].name.size + series->labels.items[k].value.size + 6;
        }
    }
    *out = size;
    return MRD_OK;
}

static enum mrd_status append_result(struct qry_call *call, const struct mrd_promql_result *result,
                                     mrd_time_ms start_ms, size_t limit, int64_t evaluated_ns,
                                     struct mrd_error *err)
{
    const size_t bytes_max = call->limits.response_bytes_max;
    size_t bytes_min = 0;
    MRD_TRY(answer_bytes_min(call, result, limit, &bytes_min, err));
    if (bytes_min > bytes_max) {
        call->execution_error = true;
        return mrd_fail(err, MRD_E_LIMIT,
                        "the answer is larger than %zu bytes (querier.response_bytes_max)",
                        bytes_max);
    }
    mrd_auto(mrd_buf_fini)
    struct mrd_buf stats = {0};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf warning = {0};
    const struct mrd_bytes asked = qry_param(call, "stats");
    if (asked.size > 0) {
        stats_json(call, &result->stats, evaluated_ns, &stats);
    }
    const struct qry_json_extra extra = {
        .limit = limit,
        .stats = mrd_buf_view(&stats),
        .warning = stats_warning(asked, &warning),
        .drain = qry_sink_drain,
        .drain_context = call->sink,
    };
    qry_json_result(result, start_ms, &extra, &call->sink->body);
    return MRD_OK;
}

static enum mrd_status evaluate(struct qry_call *call, struct mrd_promql_request *request,
                                size_t limit, struct mrd_error *err)
{
    struct mrd_promql_options options;
    MRD_TRY(qry_timeout_param(call, err));
    MRD_TRY(qry_promql_options(call, &options, err));
    request->text = qry_param(call, "query");
    MRD_TRY(qry_call_open(call, QRY_CALL_WARNS, err));
    struct mrd_promql_result result;
    const int64_t started_ns = mrd_clock_monotonic_ns(mrd_clock_system());
    const enum mrd_status status = mrd_promql_query(&options, request, &call->source,
                                                    &call->control, call->arena, &result, err);
    if (status != MRD_OK) {
        call->execution_error = result.execution_error;
        return status == MRD_E_INVALID && !result.execution_error
                   ? qry_bad_param(status, "query", err)
                   : status;
    }
    const int64_t evaluated_ns = mrd_clock_monotonic_ns(mrd_clock_system()) - started_ns;
    return append_result(call, &result, request->start_ms, limit, evaluated_ns, err);
}

enum mrd_status qry_answer_query(struct qry_call *call, struct mrd_error *err)
{
    struct mrd_promql_request request = {.instant = true};
    size_t limit;
    MRD_TRY(qry_limit_param(call, &limit, err));
    MRD_TRY(qry_time_param(call, "time", qry_now_ms(), &request.start_ms, err));
    request.end_ms = request.start_ms;
    return evaluate(call, &request, limit, err);
}

/* Prometheus answers 400 to too many steps, in these words; what else is limited is 422. */
static enum mrd_status check_extent(struct qry_call *call, const struct mrd_promql_request *request,
                                    struct mrd_error *err)
{
    const uint64_t range_ms = (uint64_t)(request->end_ms - request->start_ms);
    const size_t steps_max = call->limits.steps_max;
    if (range_ms / (uint64_t)request->step_ms > steps_max && steps_max == STEPS_MAX_PROMETHEUS) {
        call->limit = "querier.steps_max";
        return mrd_fail(err, MRD_E_INVALID,
                        "exceeded maximum resolution of 11,000 points per timeseries. Try "
                        "decreasing the query resolution (?step=XX)");
    }
    if (range_ms / (uint64_t)request->step_ms > steps_max) {
        call->limit = "querier.steps_max";
        return mrd_fail(err, MRD_E_INVALID,
                        "exceeded maximum resolution of %zu points per timeseries "
                        "(querier.steps_max). Try decreasing the query resolution (?step=XX)",
                        steps_max);
    }
    const mrd_time_ms range_ms_max = call->limits.range_ms_max;
    if (range_ms_max != 0 && range_ms > (uint64_t)range_ms_max) {
        char text[MRD_DURATION_TEXT_MAX];
        return mrd_fail(err, MRD_E_LIMIT,
                        "the query goes over a longer time than %s (querier.range_max)",
                        mrd_duration_format(range_ms_max, text));
    }
    return MRD_OK;
}

static enum mrd_status range_params(struct qry_call *call, struct mrd_promql_request *out,
                                    struct mrd_error *err)
{
    static const char *const required[] = {"start", "end"};
    mrd_time_ms *const times_ms[] = {&out->start_ms, &out->end_ms};
    for (size_t i = 0; i < MRD_ARRAY_LEN(required); i++) {
        const enum mrd_status status =
            qry_time_parse(qry_param(call, required[i]), times_ms[i], err);
        if (status != MRD_OK) {
            return qry_bad_param(status, required[i], err);
        }
    }
    if (out->end_ms < out->start_ms) {
        return mrd_fail(err, MRD_E_INVALID,
                        "invalid parameter \"end\": end timestamp must not be before start time");
    }
    const enum mrd_status status = qry_duration_parse(qry_param(call, "step"), &out->step_ms, err);
    if (status != MRD_OK) {
        return qry_bad_param(status, "step", err);
    }
    if (out->step_ms <= 0) {
        return mrd_fail(err, MRD_E_INVALID,
                        "invalid parameter \"step\": zero or negative query resolution step widths "
                        "are not accepted. Try a positive integer");
    }
    return check_extent(call, out, err);
}

enum mrd_status qry_answer_query_range(struct qry_call *call, struct mrd_error *err)
{
    struct mrd_promql_request request = {.instant = false};
    size_t limit;
    MRD_TRY(qry_limit_param(call, &limit, err));
    MRD_TRY(range_params(call, &request, err));
    return evaluate(call, &request, limit, err);
}
