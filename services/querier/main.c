/* meridian-querier: PromQL and the Prometheus HTTP API over the region's ingesters and blocks. */
#include "base/log.h"
#include "node/node.h"
#include "querier/api.h"
#include "querier/erasures.h"
#include "querier/iceberg.h"
#include "querier/limits.h"
#include "querier/storage.h"
#include "tenancy/keys.h"

#define KEY(path_, type_, initial_, min_, max_, doc_)                                              \
    {                                                                                              \
        .path = (path_), .type = (type_), .initial = (initial_), .doc = (doc_), .min = (min_),     \
        .max = (max_)                                                                              \
    }

static const struct mrd_config_key querier_keys[] = {
    KEY("querier.concurrency", MRD_CONFIG_INT, "8", 1, 1024, "Queries that are evaluated at once."),
    KEY("querier.queue_max", MRD_CONFIG_INT, "4096", 0, 65536,
        "Queries of all tenants that wait at most; more are answered with 429. One tenant's are "
        "bounded by querier.tenant_queries_max."),
    KEY("querier.unavailable_wait", MRD_CONFIG_DURATION, "3s", 0, 600000,
        "How long a query waits for a partition that no ingester serves, before it fails."),
    {.path = "querier.push_down",
       .type = MRD_CONFIG_BOOL,
       .initial = "true",
       .reloadable = true,
       .doc =
         "Lets ingesters aggregate where an aggregation is over one selector. The answers are the "
         "same; off, all series travel."},
    KEY("querier.admin_api", MRD_CONFIG_BOOL, "false", 0, 0,
        "Lets whoever reaches the API delete series (/api/v1/admin/tsdb/delete_series), as "
        "Prometheus' --web.enable-admin-api does."),
    KEY("querier.erasure_wait", MRD_CONFIG_DURATION, "15s", 1000, 600000,
        "How long a request to delete series waits for log and object storage, and as long again "
        "until every querier and distributor has confirmed it; then it fails, though what the log "
        "has will be applied. How long one to clean tombstones waits for blocks that are written "
        "anew."),
    KEY("querier.direct_links", MRD_CONFIG_BOOL, "true", 0, 0,
        "Asks ingesters over direct connections where they take them (rpc.listen of an ingester), "
        "which is "
        "faster. Off, all questions go over NATS."),
    KEY("http.listen", MRD_CONFIG_STRING, "0.0.0.0:7204", 0, 0, "Address of the query API."),
    KEY("http.request_timeout", MRD_CONFIG_DURATION, "150s", 1, 86400000,
        "From a complete request to its answer; longer than querier.query_timeout."),
};

/* The parts in the order in which they start. */
struct querier {
    struct qry_cluster cluster;
    struct qry_erasures *erasures;
    struct qry_storage storage;
    struct qry_pool *pool;
    struct mrd_tenancy_settings *limits;
    struct mrd_retention_keeper *rules;
    struct qry_api *api;
    struct qry_iceberg *iceberg;
};

static void stop_cluster(void *context, mrd_time_ms grace_ms)
{
    (void)grace_ms;
    struct querier *querier = context;
    mrd_rpc_client_destroy(&querier->cluster.rpc);
    mrd_members_destroy(&querier->cluster.members);
    qry_erasures_destroy(&querier->erasures);
}

static void stop_storage(void *context, mrd_time_ms grace_ms)
{
    (void)grace_ms;
    struct querier *querier = context;
    qry_erasures_set_blocks(querier->erasures, NULL);
    qry_storage_close(&querier->storage);
}

static void stop_pool(void *context, mrd_time_ms grace_ms)
{
    (void)grace_ms;
    struct querier *querier = context;
    qry_pool_destroy(&querier->pool);
    qry_api_destroy(&querier->api);
    qry_iceberg_destroy(&querier->iceberg);
    mrd_tenancy_settings_destroy(&querier->limits);
    mrd_retention_keeper_destroy(&querier->rules);
}

static const char selects_doc[] =
    "Selectors of queries by plan: plain reads series, pushed has ingesters aggregate them.";

static void on_link_change(void *context, const char *address, const struct mrd_error *why)
{
    (void)context;
    if (why != NULL) {
        MRD_LOG_WARN("no direct connection to an ingester: it is asked over NATS",
                     mrd_log_str("address", address), mrd_log_error(why));
    } else {
        MRD_LOG_INFO("direct connections to an ingester again", mrd_log_str("address", address));
    }
}

static struct mrd_counter *questions_counter(struct mrd_node *node, const char *way)
{
    return mrd_metrics_counter(node->metrics, "meridian_querier_questions_total",
                               "Questions to ingesters, by the way that they take.",
                               MRD_LABELS({"way", way}));
}

static struct mrd_counter *links_counter(struct mrd_node *node, const char *outcome)
{
    return mrd_metrics_counter(node->metrics, "meridian_querier_direct_connections_total",
                               "Attempts to open a direct connection to an ingester, by outcome.",
                               MRD_LABELS({"outcome", outcome}));
}

static enum mrd_status start_links(struct qry_cluster *cluster, struct mrd_node *node,
                                   struct mrd_error *err)
{
    const struct mrd_rpc_link_options options = {
        .on_change = on_link_change,
        .calls_link = questions_counter(node, "direct"),
        .calls_nats = questions_counter(node, "nats"),
        .opened = links_counter(node, "opened"),
        .failed = links_counter(node, "failed"),
    };
    return mrd_rpc_client_link(cluster->rpc, &options, err);
}

static enum mrd_status start_erasures(struct querier *querier, struct mrd_node *node,
                                      struct mrd_error *err)
{
    const struct qry_erasures_options options = {
        .bus = querier->cluster.bus,
        .partition_count = querier->cluster.partition_count,
        .region = mrd_config_string(node->config, "region.id"),
        .instance = node->self.instance,
        .enabled = mrd_config_bool(node->config, "querier.admin_api"),
        .wait_ms = mrd_config_duration(node->config, "querier.erasure_wait"),
        .has_blocks = mrd_objstore_settings_given(node->config),
        .metrics = node->metrics,
    };
    return qry_erasures_create(&options, &querier->erasures, err);
}

static enum mrd_status start_cluster(struct querier *querier, struct mrd_node *node,
                                     struct mrd_error *err)
{
    struct qry_cluster *cluster = &querier->cluster;
    cluster->retries =
        mrd_metrics_counter(node->metrics, "meridian_querier_replica_retries_total",
                            "Partitions asked for again, of another ingester.", MRD_NO_LABELS);
    cluster->partial =
        mrd_metrics_counter(node->metrics, "meridian_querier_partitions_left_out_total",
                            "Partitions left out of answers asked to be partial.", MRD_NO_LABELS);
    const struct mrd_metric_label plain[] = {
        {"plan", "plain"},
        {NULL,   NULL   }
    };
    const struct mrd_metric_label pushed[] = {
        {"plan", "pushed"},
        {NULL,   NULL    }
    };
    cluster->selects_plain =
        mrd_metrics_counter(node->metrics, "meridian_querier_selects_total", selects_doc, plain);
    cluster->selects_pushed =
        mrd_metrics_counter(node->metrics, "meridian_querier_selects_total", selects_doc, pushed);
    cluster->fragments_refused = mrd_metrics_counter(
        node->metrics, "meridian_querier_fragments_refused_total",
        "Plan fragments that an ingester did not run, so that series were selected instead.",
        MRD_NO_LABELS);
    cluster->partition_count = (uint32_t)mrd_config_int(node->config, "region.partitions");
    cluster->unavailable_wait_ms = mrd_config_duration(node->config, "querier.unavailable_wait");
    MRD_TRY(mrd_node_connect(node, "query", &cluster->bus, err));
    MRD_TRY(mrd_node_log_ensure(node, cluster->bus, err));
    mrd_service_on_stop(node->service, "cluster", stop_cluster, querier);
    MRD_TRY(start_erasures(querier, node, err)); /* listens before others can see us */
    node->self.reads_blocks = mrd_objstore_settings_given(node->config);
    MRD_TRY(mrd_members_create(cluster->bus, &(struct mrd_members_options){.self = &node->self},
                               &cluster->members, err));
    MRD_TRY(qry_erasures_learn(querier->erasures, err));
    MRD_TRY(mrd_rpc_client_create(cluster->bus, &cluster->rpc, err));
    return mrd_config_bool(node->config, "querier.direct_links") ? start_links(cluster, node, err)
                                                                 : MRD_OK;
}

static struct qry_api_options api_options(const struct querier *querier,
                                          const struct mrd_node *node)
{
    const struct mrd_config *config = node->config;
    return (struct qry_api_options){
        .cluster = &querier->cluster,
        .erasures = querier->erasures,
        .blocks = querier->storage.blocks,
        .pool = querier->pool,
        .metrics = node->metrics,
        .limits = querier->limits,
        .rules = querier->rules,
        .push_down = mrd_config_bool(config, "querier.push_down"),
        .version = MRD_VERSION,
        .instance = node->self.instance,
        .service = node->service,
        .started_ms = mrd_clock_now_ms(mrd_clock_system()),
        .retention_ms = mrd_config_duration(config, "log.max_age"),
        .concurrency = (unsigned)mrd_config_int(config, "querier.concurrency"),
    };
}

static void on_reload(void *context, const struct mrd_config *config)
{
    struct querier *querier = context;
    mrd_tenancy_settings_set(querier->limits, config);
    mrd_retention_keeper_set(querier->rules, config);
    qry_api_set_push_down(querier->api, mrd_config_bool(config, "querier.push_down"));
}

static enum mrd_status start(void *context, struct mrd_node *node, struct mrd_error *err)
{
    struct querier *querier = context;
    MRD_TRY(start_cluster(querier, node, err));
    mrd_service_on_stop(node->service, "storage", stop_storage, querier);
    MRD_TRY(qry_storage_open(node, querier->cluster.members, &querier->storage, err));
    qry_erasures_set_blocks(querier->erasures, querier->storage.blocks);
    const struct qry_pool_options pool = {
        .places = (unsigned)mrd_config_int(node->config, "querier.concurrency"),
        .queue_max = (size_t)mrd_config_int(node->config, "querier.queue_max"),
        .metrics = node->metrics,
    };
    MRD_TRY(qry_pool_create(&pool, &querier->pool, err));
    querier->limits =
        mrd_tenancy_settings_create(sizeof(struct qry_limits), qry_limits_read, node->config);
    querier->rules = mrd_retention_keeper_create(node->config);
    const struct qry_api_options options = api_options(querier, node);
    querier->api = qry_api_create(&options);
    const struct qry_iceberg_options iceberg = {
        .pool = querier->pool,
        .limits = querier->limits,
        .region = mrd_config_string(node->config, "region.id"),
        .source = querier->storage.tables.source,
        .metrics = node->metrics,
    };
    querier->iceberg = qry_iceberg_create(&iceberg);
    mrd_service_on_stop(node->service, "queries", stop_pool, querier);
    mrd_service_on_reload(node->service, on_reload, querier);
    qry_api_mount(querier->api, mrd_service_http(node->service));
    qry_iceberg_mount(querier->iceberg, mrd_service_http(node->service));
    return mrd_service_listen(node->service, err);
}

int main(int argc, char **argv)
{
    struct querier querier = {0};
    struct mrd_node_definition definition = {
        .name = "querier",
        .summary =
            "Answers PromQL and the Prometheus HTTP API over the region's ingesters and blocks.",
        .listen_default = "0.0.0.0:7204",
        .http_handlers_wait = true,
        .kind = MRD_MEMBER_QUERIER,
        .tables = {{querier_keys, MRD_ARRAY_LEN(querier_keys)}},
        .start = start,
        .context = &querier,
    };
    definition.tables[1] = mrd_tenancy_query_keys;
    definition.tables[2] = qry_storage_keys;
    definition.tables[4] = mrd_tenancy_retention_keys;
    definition.tables[3] =
        (struct mrd_config_table){mrd_objstore_settings_keys, MRD_OBJSTORE_SETTINGS_KEYS};
    return mrd_node_main(&definition, argc, argv);
}
