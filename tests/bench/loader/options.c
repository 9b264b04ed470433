#include "loader/options.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/duration.h"
#include "base/number.h"

const char load_options_help[] =
    "meridian-bench-load --url URL [options]: sends synthetic series by remote write 1.0\n"
    "\n"
    "What is sent\n"
    "  --seed N                 of everything (1)\n"
    "  --shape iot|k8s          label shape (iot)\n"
    "  --series N               series, of each tenant if there are many (100000)\n"
    "  --scrapes N              samples of each series (480)\n"
    "  --first-scrape N         begin later in the same world (0)\n"
    "  --interval DURATION      between scrapes, in sample time (15s)\n"
    "  --start-ms N             time of scrape 0 (so that the last scrape lies in the past)\n"
    "  --churn SHARE            devices replaced per hour (0; the 1 % of the reports is 0.01)\n"
    "  --tenants N              spread over this many tenants (1)\n"
    "  --tenant NAME            X-Scope-OrgID of a single tenant (not sent)\n"
    "  --tenant-prefix TEXT     names of many tenants: TEXT and six digits (load-)\n"
    "\n"
    "How it is sent\n"
    "  --url http://HOST:PORT/PATH\n"
    "  --request-samples N      one sample per series entry (2000)\n"
    "  --connections N          each sends one request at a time (4)\n"
    "  --rate SAMPLES           open loop: fixed samples a second, latency counted from when a\n"
    "                           request was due (0: closed loop, as fast as acknowledged)\n"
    "  --duration DURATION      stop after this long (0: when all is sent)\n"
    "  --timeout DURATION       of one request (30s)\n"
    "  --retry                  send again after 5xx or a lost connection, as Prometheus does\n"
    "  --max-skew N             requests that a connection may be ahead of another (0: any)\n"
    "  --prepare-mib N          bodies made before the clock starts (1536)\n"
    "\n"
    "What comes out (JSON on stdout)\n"
    "  --verify-list FILE       which requests were acknowledged\n"
    "  --print-expected         print the samples instead of sending them\n"
    "  --print-max N            at most so many (0: all)\n"
    "  --progress               a line a second on stderr\n";

enum option_code {
    OPT_SEED = 1,
    OPT_SHAPE,
    OPT_SERIES,
    OPT_SCRAPES,
    OPT_FIRST_SCRAPE,
    OPT_INTERVAL,
    OPT_START_MS,
    OPT_CHURN,
    OPT_TENANTS,
    OPT_TENANT,
    OPT_TENANT_PREFIX,
    OPT_URL,
    OPT_REQUEST_SAMPLES,
    OPT_CONNECTIONS,
    OPT_RATE,
    OPT_DURATION,
    OPT_TIMEOUT,
    OPT_RETRY,
    OPT_MAX_SKEW,
    OPT_PREPARE_MIB,
    OPT_VERIFY_LIST,
    OPT_PRINT_EXPECTED,
    OPT_PRINT_MAX,
    OPT_PROGRESS,
    OPT_HELP,
};

static const struct option long_options[] = {
    {"seed",            required_argument, NULL, OPT_SEED           },
    {"shape",           required_argument, NULL, OPT_SHAPE          },
    {"series",          required_argument, NULL, OPT_SERIES         },
    {"scrapes",         required_argument, NULL, OPT_SCRAPES        },
    {"first-scrape",    required_argument, NULL, OPT_FIRST_SCRAPE   },
    {"interval",        required_argument, NULL, OPT_INTERVAL       },
    {"start-ms",        required_argument, NULL, OPT_START_MS       },
    {"churn",           required_argument, NULL, OPT_CHURN          },
    {"tenants",         required_argument, NULL, OPT_TENANTS        },
    {"tenant",          required_argument, NULL, OPT_TENANT         },
    {"tenant-prefix",   required_argument, NULL, OPT_TENANT_PREFIX  },
    {"url",             required_argument, NULL, OPT_URL            },
    {"request-samples", required_argument, NULL, OPT_REQUEST_SAMPLES},
    {"connections",     required_argument, NULL, OPT_CONNECTIONS    },
    {"rate",            required_argument, NULL, OPT_RATE           },
    {"duration",        required_argument, NULL, OPT_DURATION       },
    {"timeout",         required_argument, NULL, OPT_TIMEOUT        },
    {"retry",           no_argument,       NULL, OPT_RETRY          },
    {"max-skew",        required_argument, NULL, OPT_MAX_SKEW       },
    {"prepare-mib",     required_argument, NULL, OPT_PREPARE_MIB    },
    {"verify-list",     required_argument, NULL, OPT_VERIFY_LIST    },
    {"print-expected",  no_argument,       NULL, OPT_PRINT_EXPECTED },
    {"print-max",       required_argument, NULL, OPT_PRINT_MAX      },
    {"progress",        no_argument,       NULL, OPT_PROGRESS       },
    {"help",            no_argument,       NULL, OPT_HELP           },
    {NULL,              0,                 NULL, 0                  },
};

static enum mrd_status parse_count(const char *text, uint64_t least, uint64_t most,
                                   uint64_t *out_value, struct mrd_error *err)
{
    char *end = NULL;
    errno = 0;
    const unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || *text < '0' || *text > '9' || *end != '\0' || value < least || value > most) {
        return mrd_fail(err, MRD_E_INVALID, "\"%s\" is not a number from %" PRIu64 " to %" PRIu64,
                        text, least, most);
    }
    *out_value = value;
    return MRD_OK;
}

static enum mrd_status parse_count32(const char *text, uint32_t most, uint32_t *out_value,
                                     struct mrd_error *err)
{
    uint64_t value = 0;
    MRD_TRY(parse_count(text, 1, most, &value, err));
    *out_value = (uint32_t)value;
    return MRD_OK;
}

static enum mrd_status parse_number(const char *text, double most, double *out_value,
                                    struct mrd_error *err)
{
    double value = 0;
    if (!mrd_double_parse(text, strlen(text), &value) || !(value >= 0 && value <= most)) {
        return mrd_fail(err, MRD_E_INVALID, "\"%s\" is not a number from 0 to %g", text, most);
    }
    *out_value = value;
    return MRD_OK;
}

static enum mrd_status parse_shape(const char *text, enum load_shape *out_shape,
                                   struct mrd_error *err)
{
    if (strcmp(text, "iot") == 0) {
        *out_shape = LOAD_SHAPE_IOT;
        return MRD_OK;
    }
    if (strcmp(text, "k8s") == 0) {
        *out_shape = LOAD_SHAPE_K8S;
        return MRD_OK;
    }
    return mrd_fail(err, MRD_E_INVALID, "shape \"%s\" is neither iot nor k8s", text);
}

/* http://host[:port]/path; no TLS, no user. */
static enum mrd_status parse_url(const char *text, struct load_options *options,
                                 struct mrd_error *err)
{
    static const char scheme[] = "http://";
    if (strncmp(text, scheme, sizeof(scheme) - 1) != 0) {
        return mrd_fail(err, MRD_E_INVALID, "URL \"%s\" does not begin with http://", text);
    }
    const char *host = text + sizeof(scheme) - 1;
    const size_t host_size = strcspn(host, ":/");
    const char *port = host + host_size;
    const size_t port_size = *port == ':' ? strcspn(port + 1, "/") : 0;
    const char *path = *port == ':' ? port + 1 + port_size : port;
    if (host_size == 0 || host_size >= sizeof(options->host) ||
        port_size >= sizeof(options->port) || strlen(path) >= sizeof(options->path)) {
        return mrd_fail(err, MRD_E_INVALID, "URL \"%s\" has no host or a part too long", text);
    }
    snprintf(options->host, sizeof(options->host), "%.*s", (int)host_size, host);
    snprintf(options->port, sizeof(options->port), "%.*s", (int)port_size,
             port_size == 0 ? "" : port + 1);
    if (port_size == 0) {
        snprintf(options->port, sizeof(options->port), "80");
    }
    snprintf(options->path, sizeof(options->path), "%s", *path == '\0' ? "/" : path);
    return MRD_OK;
}

static enum mrd_status take_data_option(int code, const char *text, struct load_options *options,
                                        struct mrd_error *err)
{
    struct load_fleet *fleet = &options->fleet;
    struct load_plan *plan = &options->plan;
    uint64_t start = 0;
    switch (code) {
    case OPT_SEED:
        return parse_count(text, 0, UINT64_MAX, &fleet->seed, err);
    case OPT_SHAPE:
        return parse_shape(text, &fleet->shape, err);
    case OPT_SERIES:
        return parse_count(text, 1, 1000000000, &plan->tenant_series, err);
    case OPT_SCRAPES:
        return parse_count(text, 1, 1000000000, &plan->scrape_count, err);
    case OPT_FIRST_SCRAPE:
        return parse_count(text, 0, 1000000000, &plan->scrape_first, err);
    case OPT_INTERVAL:
        return mrd_duration_parse(mrd_bytes_of(text), &fleet->interval_ms, err);
    case OPT_START_MS:
        MRD_TRY(parse_count(text, 1, 1ULL << 45, &start, err));
        fleet->start_ms = (mrd_time_ms)start;
        return MRD_OK;
    case OPT_CHURN:
        return parse_number(text, 1000, &fleet->churn_per_hour, err);
    case OPT_TENANTS:
        return parse_count(text, 1, 999999, &plan->tenant_count, err);
    case OPT_REQUEST_SAMPLES:
        return parse_count32(text, 1000000, &plan->request_samples, err);
    case OPT_CONNECTIONS:
        return parse_count32(text, 10000, &plan->connection_count, err);
    default:
        return mrd_fail(err, MRD_E_INVALID, "see --help");
    }
}

static enum mrd_status take_option(int code, const char *text, struct load_options *options,
                                   struct mrd_error *err)
{
    switch (code) {
    case OPT_TENANT:
        options->tenant = text;
        return MRD_OK;
    case OPT_TENANT_PREFIX:
        options->tenant_prefix = text;
        return MRD_OK;
    case OPT_URL:
        return parse_url(text, options, err);
    case OPT_RATE:
        return parse_number(text, 1e9, &options->rate, err);
    case OPT_DURATION:
        return mrd_duration_parse(mrd_bytes_of(text), &options->duration_ms, err);
    case OPT_TIMEOUT:
        return mrd_duration_parse(mrd_bytes_of(text), &options->timeout_ms, err);
    case OPT_RETRY:
        options->retry = true;
        return MRD_OK;
    case OPT_MAX_SKEW:
        return parse_count(text, 0, UINT32_MAX, &options->skew_max, err);
    case OPT_PREPARE_MIB:
        MRD_TRY(parse_count(text, 0, 1 << 20, &options->prepare_bytes, err));
        options->prepare_bytes <<= 20;
        return MRD_OK;
    case OPT_VERIFY_LIST:
        options->verify_path = text;
        return MRD_OK;
    case OPT_PRINT_EXPECTED:
        options->action = LOAD_ACTION_PRINT_EXPECTED;
        return MRD_OK;
    case OPT_PRINT_MAX:
        return parse_count(text, 0, UINT64_MAX, &options->print_max, err);
    case OPT_PROGRESS:
        options->progress = true;
        return MRD_OK;
    case OPT_HELP:
        options->action = LOAD_ACTION_HELP;
        return MRD_OK;
    default:
        return take_data_option(code, text, options, err);
    }
}

static void set_defaults(struct load_options *options)
{
    *options = (struct load_options){
        .fleet = {.seed = 1,               .interval_ms = 15000},
        .plan = { .tenant_count = 1,
                  .tenant_series = 100000,
                  .scrape_count = 480,
                  .request_samples = 2000,
                  .connection_count = 4},
        .tenant_prefix = "load-",
        .timeout_ms = 30000,
        .prepare_bytes = 1536ULL << 20,
    };
}

static enum mrd_status check(struct load_options *options, mrd_time_ms now_ms,
                             struct mrd_error *err)
{
    struct load_fleet *fleet = &options->fleet;
    const struct load_plan *plan = &options->plan;
    if (options->action == LOAD_ACTION_HELP) {
        return MRD_OK;
    }
    if (options->action == LOAD_ACTION_RUN && options->host[0] == '\0') {
        return mrd_fail(err, MRD_E_INVALID, "--url is missing");
    }
    if (fleet->interval_ms <= 0) {
        return mrd_fail(err, MRD_E_INVALID, "--interval must be more than zero");
    }
    if (fleet->start_ms == 0) {
        /* The last scrape ends just before now. */
        const mrd_time_ms span =
            (mrd_time_ms)(plan->scrape_first + plan->scrape_count) * fleet->interval_ms;
        fleet->start_ms = (now_ms - span) / 1000 * 1000;
    }
    return MRD_OK;
}

enum mrd_status load_options_parse(int argc, char **argv, mrd_time_ms now_ms,
                                   struct load_options *options, struct mrd_error *err)
{
    set_defaults(options);
    optind = 0; /* start anew, also for a second call */
    for (;;) {
        int index = 0;
        const int code = getopt_long(argc, argv, "", long_options, &index);
        if (code == -1) {
            break;
        }
        if (code == '?') {
            return mrd_fail(err, MRD_E_INVALID, "see --help");
        }
        const enum mrd_status status = take_option(code, optarg, options, err);
        if (status != MRD_OK) {
            return mrd_fail_prefix(err, status, "--%s", long_options[index].name);
        }
    }
    if (optind < argc) {
        return mrd_fail(err, MRD_E_INVALID, "\"%s\" is not an option", argv[optind]);
    }
    return check(options, now_ms, err);
}
