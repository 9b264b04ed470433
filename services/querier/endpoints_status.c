/* status: what this process is and how it is set. True values only. */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/duration.h"
#include "promql/features.h"
#include "querier/endpoints.h"
#include "querier/json.h"

static void begin(struct qry_call *call)
{
    mrd_buf_append_text(&call->sink->body, "{\"status\":\"success\",\"data\":");
}

static enum mrd_status end(struct qry_call *call)
{
    mrd_buf_append_u8(&call->sink->body, '}');
    return MRD_OK;
}

static void text_field(struct mrd_buf *out, const char *name, const char *value)
{
    const bool first = out->data[out->size - 1] == '{';
    mrd_buf_printf(out, "%s\"%s\":", first ? "" : ",", name);
    qry_json_string(mrd_bytes_of(value), out);
}

/* No `features`: with it Grafana takes the server for Mimir. */
enum mrd_status qry_answer_buildinfo(struct qry_call *call, struct mrd_error *err)
{
    (void)err;
    struct mrd_buf *body = &call->sink->body;
    begin(call);
    mrd_buf_append_u8(body, '{');
    text_field(body, "version", call->options->version);
    text_field(body, "revision", "meridian");
    text_field(body, "branch", "");
    text_field(body, "buildUser", "");
    text_field(body, "buildDate", "");
    text_field(body, "goVersion", "");
    mrd_buf_append_u8(body, '}');
    return end(call);
}

/* ---- runtimeinfo ---- */

static void time_field(struct mrd_buf *out, const char *name, mrd_time_ms time_ms)
{
    const time_t seconds = (time_t)(time_ms / 1000);
    struct tm parts;
    char text[64] = "";
    if (gmtime_r(&seconds, &parts) != NULL) {
        const size_t size = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
        (void)snprintf(text + size, sizeof(text) - size, ".%03dZ", (int)(time_ms % 1000));
    }
    text_field(out, name, text);
}

/* The nearest to Prometheus' number of goroutines. */
static unsigned thread_count(void)
{
    unsigned count = 0;
    DIR *tasks = opendir("/proc/self/task");
    if (tasks == NULL) {
        return 0;
    }
    for (const struct dirent *entry = readdir(tasks); entry != NULL; entry = readdir(tasks)) {
        count += entry->d_name[0] != '.';
    }
    (void)closedir(tasks);
    return count;
}

/* What the log forgets blocks have; how long that is read is the tenant's own. */
static mrd_time_ms retention_ms(const struct qry_call *call)
{
    return call->options->blocks == NULL ? call->options->retention_ms
                                         : mrd_retention_of(&call->limits.retention, 0);
}

static void retention_field(const struct qry_call *call, struct mrd_buf *out)
{
    char text[MRD_DURATION_TEXT_MAX];
    text_field(out, "storageRetention", mrd_duration_format(retention_ms(call), text));
}

enum mrd_status qry_answer_runtimeinfo(struct qry_call *call, struct mrd_error *err)
{
    (void)err;
    char directory[4096];
    char host[256] = "";
    struct mrd_buf *body = &call->sink->body;
    (void)gethostname(host, sizeof(host) - 1);
    begin(call);
    mrd_buf_append_u8(body, '{');
    time_field(body, "startTime", call->options->started_ms);
    text_field(body, "CWD", getcwd(directory, sizeof(directory)) != NULL ? directory : "");
    text_field(body, "hostname", host);
    time_field(body, "serverTime", qry_now_ms());
    mrd_buf_append_text(body, ",\"reloadConfigSuccess\":true");
    time_field(body, "lastConfigTime", call->options->started_ms);
    mrd_buf_printf(body,
                   ",\"corruptionCount\":0,\"goroutineCount\":%u,\"GOMAXPROCS\":%ld,"
                   "\"GOMEMLIMIT\":%" PRId64,
                   thread_count(), sysconf(_SC_NPROCESSORS_ONLN), INT64_MAX);
    text_field(body, "GOGC", "");
    text_field(body, "GODEBUG", "");
    retention_field(call, body);
    mrd_buf_append_u8(body, '}');
    return end(call);
}

/* ---- flags, config ---- */

static void duration_flag(struct mrd_buf *out, const char *name, mrd_time_ms value_ms)
{
    char text[MRD_DURATION_TEXT_MAX];
    text_field(out, name, mrd_duration_format(value_ms, text));
}

static void count_flag(struct mrd_buf *out, const char *name, uint64_t value)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "%" PRIu64, value);
    text_field(out, name, text);
}

static void features_flag(const struct mrd_promql_options *promql, struct mrd_buf *out)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf text = {0};
    mrd_promql_features_print(promql, &text);
    mrd_buf_append_u8(&text, 0);
    text_field(out, "enable-feature", (const char *)text.data);
}

/* Those of Prometheus' flags that have a counterpart here, under its names. */
enum mrd_status qry_answer_flags(struct qry_call *call, struct mrd_error *err)
{
    (void)err;
    const struct qry_api_options *options = call->options;
    const struct qry_limits *limits = &call->limits;
    struct mrd_buf *body = &call->sink->body;
    begin(call);
    mrd_buf_append_u8(body, '{');
    features_flag(&limits->promql, body);
    duration_flag(body, "query.lookback-delta", limits->promql.lookback_ms);
    count_flag(body, "query.max-concurrency", options->concurrency);
    count_flag(body, "query.max-samples", limits->promql.samples_max);
    duration_flag(body, "query.timeout", limits->query_timeout_ms);
    count_flag(body, "storage.remote.read-max-bytes-in-frame", QRY_READ_FRAME_BYTES);
    count_flag(body, "storage.remote.read-sample-limit", limits->read_samples_max);
    duration_flag(body, "storage.tsdb.retention.time", retention_ms(call));
    text_field(body, "web.enable-admin-api",
               qry_erasures_enabled(options->erasures) ? "true" : "false");
    mrd_buf_append_u8(body, '}');
    return end(call);
}

/* As the tenant has it: secrets are masked, and other tenants' settings are none of its business. */
enum mrd_status qry_answer_config(struct qry_call *call, struct mrd_error *err)
{
    (void)err;
    mrd_auto(mrd_config_release)
    struct mrd_config *config = mrd_service_config(call->options->service);
    mrd_auto(mrd_buf_fini)
    struct mrd_buf yaml = {0};
    size_t index;
    if (mrd_config_tenant_find(config, call->remote.options.tenant, &index)) {
        mrd_auto(mrd_config_release)
        struct mrd_config *view = mrd_config_tenant_view(config, index);
        mrd_config_dump(view, &yaml);
    } else {
        mrd_config_dump_common(config, &yaml);
    }
    begin(call);
    mrd_buf_append_text(&call->sink->body, "{\"yaml\":");
    qry_json_string(mrd_buf_view(&yaml), &call->sink->body);
    mrd_buf_append_u8(&call->sink->body, '}');
    return end(call);
}

/* A querier replays nothing: it says what Prometheus says when it is done. */
enum mrd_status qry_answer_walreplay(struct qry_call *call, struct mrd_error *err)
{
    (void)err;
    begin(call);
    mrd_buf_append_text(&call->sink->body, "{\"min\":0,\"max\":0,\"current\":0}");
    return end(call);
}

enum mrd_status qry_answer_tsdb_blocks(struct qry_call *call, struct mrd_error *err)
{
    (void)err;
    begin(call);
    mrd_buf_append_text(&call->sink->body, "{\"blocks\":[]}");
    return end(call);
}
