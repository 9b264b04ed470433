/* The keys that every service has, and what they do to the process. */
#include <sys/resource.h>

#include "base/log.h"
#include "service/service_internal.h"

static const char *const level_choices[] = {"debug", "info", "warn", "error", NULL};
static const char *const format_choices[] = {"logfmt", "json", NULL};

/* clang-format off */
static const struct mrd_config_key common_keys[] = {
    {.path = "http.listen", .type = MRD_CONFIG_STRING, .initial = "127.0.0.1:0",
     .doc = "Address and port of the HTTP listener, for requests and operations alike; `:PORT` means all addresses."},
    {.path = "http.threads", .type = MRD_CONFIG_INT, .initial = "0", .max = 64,
     .doc = "Threads that read requests and write replies; 0: the smaller of 2 and the number of cores. "
            "A querier has one for each connection instead."},
    {.path = "http.connections_max", .type = MRD_CONFIG_INT, .initial = "4096", .min = 1, .max = 1000000,
     .doc = "Connections served at once; more wait in the listen queue. A querier has a thread for each."},
    {.path = "http.connections_per_ip_max", .type = MRD_CONFIG_INT, .initial = "0", .max = 1000000,
     .doc = "Connections per client address, more are closed; 0: no limit (a load balancer is one address)."},
    {.path = "http.body_size_max", .type = MRD_CONFIG_SIZE, .initial = "16MiB", .min = 1024, .max = 1 << 30,
     .doc = "Largest request body, as sent; larger ones are answered 413. Routes may set less."},
    {.path = "http.bodies_size_max", .type = MRD_CONFIG_SIZE, .initial = "256MiB", .min = 1 << 20, .max = 1LL << 40,
     .doc = "Memory for request bodies that are being received, all together; beyond it requests are answered 503."},
    {.path = "http.request_timeout", .type = MRD_CONFIG_DURATION, .initial = "1m", .min = 10, .max = 3600000,
     .doc = "From the complete request to its answer; then 503 is answered."},
    {.path = "http.head_timeout", .type = MRD_CONFIG_DURATION, .initial = "10s", .min = 10, .max = 3600000,
     .doc = "For a request's line and headers to arrive; slower connections are shut down."},
    {.path = "http.body_timeout", .type = MRD_CONFIG_DURATION, .initial = "1m", .min = 10, .max = 3600000,
     .doc = "For a request's body to arrive after its headers."},
    {.path = "http.reply_timeout", .type = MRD_CONFIG_DURATION, .initial = "5m", .min = 10, .max = 86400000,
     .doc = "For a client to take a reply."},
    {.path = "http.stall_timeout", .type = MRD_CONFIG_DURATION, .initial = "30s", .min = 10, .max = 86400000,
     .doc = "For a client to take anything of a reply that is written while it reads; then it is cut off."},
    {.path = "http.idle_timeout", .type = MRD_CONFIG_DURATION, .initial = "75s", .min = 1000, .max = 86400000,
     .doc = "For a connection without a request."},
    {.path = "log.level", .type = MRD_CONFIG_ENUM, .initial = "info", .choices = level_choices, .reloadable = true,
     .doc = "The least level that is logged; POST /log-level changes it until the next reload."},
    {.path = "log.format", .type = MRD_CONFIG_ENUM, .initial = "logfmt", .choices = format_choices, .reloadable = true,
     .doc = "How lines on standard error look."},
    {.path = "process.stop_grace", .type = MRD_CONFIG_DURATION, .initial = "10s", .min = 0, .max = 3600000, .reloadable = true,
     .doc = "On SIGTERM: for requests in flight to be answered; after twice this time the process exits in any case."},
    {.path = "process.open_files", .type = MRD_CONFIG_INT, .initial = "0", .max = 1048576,
     .doc = "Open-file limit to ask for; 0: as many as the hard limit allows, 1048576 at most."},
};
/* clang-format on */

const struct mrd_config_table service_common_keys = {common_keys, MRD_ARRAY_LEN(common_keys)};

void settings_apply_log(const struct mrd_config *config)
{
    mrd_log_level_set((enum mrd_log_level)mrd_config_enum(config, "log.level"));
    mrd_log_format_set((enum mrd_log_format)mrd_config_enum(config, "log.format"));
}

void settings_raise_descriptors(const struct mrd_config *config)
{
    const rlim_t most = 1048576;
    const rlim_t asked = (rlim_t)mrd_config_int(config, "process.open_files");
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }
    const rlim_t wanted = MRD_MIN(asked != 0 ? asked : most, limit.rlim_max);
    if (wanted > limit.rlim_cur) {
        limit.rlim_cur = wanted;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
            MRD_LOG_WARN("open-file limit not raised", mrd_log_uint("wanted", wanted));
        }
    }
    if (asked > limit.rlim_cur) {
        MRD_LOG_WARN("open-file limit is lower than process.open_files",
                     mrd_log_uint("wanted", asked), mrd_log_uint("limit", limit.rlim_cur));
    }
}

struct mrd_http_config settings_http(const struct mrd_config *config, struct mrd_metrics *metrics)
{
    return (struct mrd_http_config){
        .listen = mrd_config_string(config, "http.listen"),
        .threads = (unsigned)mrd_config_int(config, "http.threads"),
        .connections_max = (unsigned)mrd_config_int(config, "http.connections_max"),
        .connections_per_ip_max = (unsigned)mrd_config_int(config, "http.connections_per_ip_max"),
        .body_size_max = mrd_config_size(config, "http.body_size_max"),
        .bodies_size_max = mrd_config_size(config, "http.bodies_size_max"),
        .deadline_ms = mrd_config_duration(config, "http.request_timeout"),
        .head_ms_max = mrd_config_duration(config, "http.head_timeout"),
        .body_ms_max = mrd_config_duration(config, "http.body_timeout"),
        .reply_ms_max = mrd_config_duration(config, "http.reply_timeout"),
        .stall_ms_max = mrd_config_duration(config, "http.stall_timeout"),
        .idle_ms_max = mrd_config_duration(config, "http.idle_timeout"),
        .metrics = metrics,
    };
}
