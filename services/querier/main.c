/* meridian-querier: PromQL and the Prometheus HTTP API over the region's ingesters. */
#include "base/log.h"
#include "bus/settings.h"
#include "querier/api.h"
#include "service/service.h"

enum { START_TIMEOUT_MS = 30000 };

#define KEY(path_, type_, initial_, min_, max_, doc_)                                              \
    {                                                                                              \
        .path = (path_), .type = (type_), .initial = (initial_), .doc = (doc_), .min = (min_),     \
        .max = (max_)                                                                              \
    }

static const struct mrd_config_key querier_keys[] = {
    KEY("querier.concurrency", MRD_CONFIG_INT, "8", 1, 1024, "Queries that are evaluated at once."),
    KEY("querier.queue_max", MRD_CONFIG_INT, "256", 0, 65536,
        "Queries that wait at most; more are answered with 503."),
    KEY("querier.query_timeout", MRD_CONFIG_DURATION, "2m", 1, 86400000,
        "Longest time of a query; the parameter timeout can only shorten it."),
    KEY("querier.lookback_delta", MRD_CONFIG_DURATION, "5m", 1, 1e12,
        "How far an instant selector looks back."),
    KEY("querier.samples_max", MRD_CONFIG_INT, "50000000", 0, 1e15,
        "Samples that one query may hold at once. 0: no limit."),
    KEY("querier.series_max", MRD_CONFIG_INT, "0", 0, 1e15,
        "Series that one selector may find. 0: no limit."),
    KEY("querier.memory_bytes_max", MRD_CONFIG_SIZE, "1GiB", 1 << 20, 1e15,
        "Memory that one query may use."),
    KEY("querier.response_bytes_max", MRD_CONFIG_SIZE, "512MiB", 1 << 10, 1e15,
        "Size of one answer at most."),
    KEY("querier.unavailable_wait", MRD_CONFIG_DURATION, "3s", 0, 600000,
        "How long a query waits for a partition that no ingester serves, before it fails."),
    KEY("querier.delayed_name_removal", MRD_CONFIG_BOOL, "false", 0, 0,
        "Remove metric names at the end of a query (promql-delayed-name-removal)."),
    KEY("querier.experimental_functions", MRD_CONFIG_BOOL, "false", 0, 0,
        "Allow experimental functions and aggregations (promql-experimental-functions)."),
    KEY("http.listen", MRD_CONFIG_STRING, "0.0.0.0:7204", 0, 0, "Address of the query API."),
    KEY("http.request_timeout", MRD_CONFIG_DURATION, "150s", 1, 86400000,
        "From a complete request to its answer; longer than querier.query_timeout."),
};

/* The parts in the order in which they start. */
struct querier {
    struct mrd_config *config;
    struct qry_cluster cluster;
    struct qry_pool *pool;
    struct qry_api *api;
    struct mrd_service_condition *ready;
    struct mrd_bus_listener listener;
};

static void on_bus_event(void *context, enum mrd_bus_event event, const char *text)
{
    struct querier *querier = context;
    if (event == MRD_BUS_CONNECTED) {
        mrd_service_condition_set(querier->ready, true, NULL);
        MRD_LOG_INFO("connected to NATS", mrd_log_str("text", text));
    } else if (event == MRD_BUS_DISCONNECTED) {
        mrd_service_condition_set(querier->ready, false, "NATS is unreachable");
        MRD_LOG_WARN("NATS is unreachable", mrd_log_str("text", text));
    } else {
        MRD_LOG_WARN("NATS reports an error", mrd_log_str("error", text));
    }
}

static void stop_bus(void *context, mrd_time_ms grace_ms)
{
    (void)grace_ms;
    struct querier *querier = context;
    mrd_rpc_client_destroy(&querier->cluster.rpc);
    mrd_members_destroy(&querier->cluster.members);
    mrd_bus_unlisten(querier->cluster.bus, &querier->listener);
    mrd_bus_close(&querier->cluster.bus);
    mrd_bus_library_close();
    mrd_config_release(&querier->config);
}

static void stop_pool(void *context, mrd_time_ms grace_ms)
{
    (void)grace_ms;
    struct querier *querier = context;
    qry_pool_destroy(&querier->pool);
    qry_api_destroy(&querier->api);
}

static enum mrd_status start_bus(struct mrd_service *service, struct querier *querier,
                                 struct mrd_error *err)
{
    querier->config = mrd_service_config(service);
    const struct mrd_config *config = querier->config;
    struct qry_cluster *cluster = &querier->cluster;
    struct mrd_metrics *metrics = mrd_service_metrics(service);
    cluster->retries =
        mrd_metrics_counter(metrics, "meridian_querier_replica_retries_total",
                            "Questions repeated on another ingester.", MRD_NO_LABELS);
    cluster->partial =
        mrd_metrics_counter(metrics, "meridian_querier_partitions_left_out_total",
                            "Partitions left out of answers asked to be partial.", MRD_NO_LABELS);
    cluster->partition_count = (uint32_t)mrd_config_int(config, "region.partitions");
    cluster->unavailable_wait_ms = mrd_config_duration(config, "querier.unavailable_wait");
    querier->ready = mrd_service_condition_add(service, "nats");
    querier->listener = (struct mrd_bus_listener){.on_event = on_bus_event, .context = querier};
    MRD_TRY(mrd_bus_settings_open(config, "query", &cluster->bus, err));
    mrd_bus_listen(cluster->bus, &querier->listener);
    mrd_service_on_stop(service, "bus", stop_bus, querier);
    MRD_TRY(mrd_bus_wait_connected(cluster->bus, START_TIMEOUT_MS, err));
    mrd_service_condition_set(querier->ready, true, NULL);
    const struct mrd_log_config log = mrd_bus_settings_log(config);
    MRD_TRY(mrd_log_ensure(cluster->bus, &log, START_TIMEOUT_MS, err));
    struct mrd_member self;
    mrd_bus_settings_member(config, MRD_MEMBER_QUERIER, &self);
    MRD_TRY(mrd_members_create(cluster->bus, &(struct mrd_members_options){.self = &self},
                               &cluster->members, err));
    return mrd_rpc_client_create(cluster->bus, &cluster->rpc, err);
}

static enum mrd_status start_api(struct mrd_service *service, struct querier *querier,
                                 struct mrd_error *err)
{
    const struct mrd_config *config = querier->config;
    const struct qry_pool_options pool = {
        .threads = (unsigned)mrd_config_int(config, "querier.concurrency"),
        .queue_max = (size_t)mrd_config_int(config, "querier.queue_max"),
        .metrics = mrd_service_metrics(service),
    };
    MRD_TRY(qry_pool_create(&pool, &querier->pool, err));
    querier->api = qry_api_create(&(struct qry_api_options){
        .cluster = &querier->cluster,
        .pool = querier->pool,
        .metrics = mrd_service_metrics(service),
        .promql = {.lookback_ms = mrd_config_duration(config, "querier.lookback_delta"),
                   .samples_max = (size_t)mrd_config_int(config, "querier.samples_max"),
                   .delayed_name_removal = mrd_config_bool(config, "querier.delayed_name_removal"),
                   .features = {.experimental_functions =
                                    mrd_config_bool(config, "querier.experimental_functions")}},
        .query_timeout_ms = mrd_config_duration(config, "querier.query_timeout"),
        .memory_bytes_max = mrd_config_size(config, "querier.memory_bytes_max"),
        .response_bytes_max = mrd_config_size(config, "querier.response_bytes_max"),
        .series_max = (size_t)mrd_config_int(config, "querier.series_max"),
        .version = MRD_VERSION,
    });
    mrd_service_on_stop(service, "queries", stop_pool, querier);
    qry_api_mount(querier->api, mrd_service_http(service));
    return mrd_service_listen(service, err);
}

static enum mrd_status start(struct mrd_service *service, struct querier *querier,
                             struct mrd_error *err)
{
    MRD_TRY(start_bus(service, querier, err));
    return start_api(service, querier, err);
}

int main(int argc, char **argv)
{
    struct mrd_config_key keys[MRD_ARRAY_LEN(querier_keys) + MRD_BUS_SETTINGS_KEYS];
    memcpy(keys, mrd_bus_settings_keys, sizeof(mrd_bus_settings_keys));
    memcpy(keys + MRD_BUS_SETTINGS_KEYS, querier_keys, sizeof(querier_keys));
    const struct mrd_service_definition definition = {
        .name = "querier",
        .summary = "Answers PromQL and the Prometheus HTTP API over the region's ingesters.",
        .listen_default = "0.0.0.0:7204",
        .keys = keys,
        .key_count = MRD_ARRAY_LEN(keys),
    };
    mrd_auto(mrd_service_destroy)
    struct mrd_service *service = NULL;
    int exit_code;
    if (!mrd_service_open(&definition, argc, argv, &service, &exit_code)) {
        return exit_code;
    }
    struct querier querier = {0};
    struct mrd_error err;
    if (start(service, &querier, &err) != MRD_OK) {
        return mrd_service_fail(service, &err);
    }
    return mrd_service_run(service);
}
