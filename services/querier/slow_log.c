#include "querier/slow_log.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"
#include "promql/mask.h"
#include "querier/params.h"

enum { TEXT_BYTES_MAX = 16 << 10, FIELDS_MAX = 32 };

/* Where the time between request and answer went. */
struct split {
    int64_t total_ns;
    int64_t queue_ns;
    int64_t ingesters_ns;
    int64_t blocks_ns;
    int64_t
        write_ns; /* from the first byte that was handed on; what was waited for meanwhile is above */
    int64_t evaluate_ns;
};

static struct split split_of(const struct qry_call *call)
{
    const struct mrd_query_progress *progress = &call->query->progress;
    const int64_t now_ns = mrd_clock_monotonic_ns(mrd_clock_system());
    struct split split = {
        .total_ns = now_ns - mrd_http_received_ns(call->request),
        .queue_ns = call->started_ns - mrd_http_received_ns(call->request),
        .ingesters_ns = atomic_load_explicit(&progress->waited_ns[MRD_QUERY_WAITS_INGESTERS],
                                             memory_order_relaxed),
        .blocks_ns = atomic_load_explicit(&progress->waited_ns[MRD_QUERY_WAITS_BLOCKS],
                                          memory_order_relaxed),
        .write_ns = call->sink->began_ns == 0 ? 0 : now_ns - call->sink->began_ns,
    };
    const int64_t rest_ns =
        split.total_ns - split.queue_ns - split.ingesters_ns - split.blocks_ns - split.write_ns;
    split.evaluate_ns = MRD_MAX(rest_ns, (int64_t)0);
    return split;
}

struct line {
    struct mrd_log_field fields[FIELDS_MAX];
    size_t count;
};

static void add(struct line *line, struct mrd_log_field field)
{
    mrd_assert(line->count < FIELDS_MAX);
    line->fields[line->count++] = field;
}

static void add_seconds(struct line *line, const char *key, int64_t ns)
{
    add(line, mrd_log_float(key, (double)(ns / 1000) / 1e6));
}

/* Times and steps that are well-formed. */
static void add_param(struct line *line, const struct qry_call *call, const char *name,
                      const char *key, bool is_time)
{
    mrd_time_ms ms;
    struct mrd_error err;
    const struct mrd_bytes text = qry_param(call, name);
    if (text.size > 0 && (is_time ? qry_time_parse(text, &ms, &err)
                                  : qry_duration_parse(text, &ms, &err)) == MRD_OK) {
        add(line, mrd_log_int(key, ms));
    }
}

static void add_split(struct line *line, const struct split *split)
{
    add_seconds(line, "seconds", split->total_ns);
    add_seconds(line, "queue_seconds", split->queue_ns);
    add_seconds(line, "ingesters_seconds", split->ingesters_ns);
    add_seconds(line, "blocks_seconds", split->blocks_ns);
    add_seconds(line, "evaluate_seconds", split->evaluate_ns);
    add_seconds(line, "write_seconds", split->write_ns);
}

static void add_figures(struct line *line, const struct mrd_query_progress *progress)
{
    add(line, mrd_log_uint("series", mrd_progress_get(&progress->series)));
    add(line, mrd_log_uint("samples", mrd_progress_get(&progress->samples)));
    add(line, mrd_log_uint("memory_bytes", mrd_progress_get(&progress->memory_bytes)));
    add(line, mrd_log_uint("questions", mrd_progress_get(&progress->questions)));
    add(line, mrd_log_uint("retries", mrd_progress_get(&progress->retries)));
    add(line, mrd_log_uint("fragments", mrd_progress_get(&progress->fragments)));
    add(line, mrd_log_uint("blocks", mrd_progress_get(&progress->blocks)));
}

/* Where there are blocks at all: what the choice among them was. */
static void add_blocks(struct line *line, const struct qry_call *call)
{
    const struct mrd_block_source_figures *figures = &call->tiers.figures;
    if (call->tiers.region != NULL) {
        add(line, mrd_log_uint("blocks_considered", mrd_progress_get(&figures->considered)));
        add(line, mrd_log_uint("blocks_in_heads", mrd_progress_get(&figures->covered)));
        add(line, mrd_log_uint("block_bytes", mrd_progress_get(&figures->bytes)));
    }
}

bool qry_slow_log(const struct qry_call *call, const char *outcome)
{
    const struct split split = split_of(call);
    const mrd_time_ms threshold_ms = call->limits.slow_log_ms;
    if (threshold_ms == 0 || split.total_ns / 1000000 < threshold_ms) {
        return false;
    }
    mrd_auto(mrd_buf_fini)
    struct mrd_buf text = {0};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf masked = {0};
    char fingerprint[20];
    struct line line = {0};
    (void)qry_active_text(call->query, TEXT_BYTES_MAX, &text);
    mrd_promql_mask(mrd_buf_view(&text), &masked);
    (void)snprintf(fingerprint, sizeof(fingerprint), "%016" PRIx64,
                   mrd_promql_fingerprint(mrd_buf_view(&text)));
    add(&line, mrd_log_bytes("tenant", call->query->tenant));
    add(&line, mrd_log_str("kind", call->query->kind));
    add(&line, mrd_log_str("outcome", outcome));
    add(&line, mrd_log_str("fingerprint", fingerprint));
    add(&line,
        mrd_log_bytes("query", mrd_buf_view(call->limits.slow_log_values ? &text : &masked)));
    add_param(&line, call, "time", "time_ms", true);
    add_param(&line, call, "start", "start_ms", true);
    add_param(&line, call, "end", "end_ms", true);
    add_param(&line, call, "step", "step_ms", false);
    add_split(&line, &split);
    add_figures(&line, &call->query->progress);
    add_blocks(&line, call);
    if (mrd_log_on(MRD_LEVEL_INFO)) {
        mrd_log_write(MRD_LEVEL_INFO, "slow query", line.fields, line.count);
    }
    return true;
}
