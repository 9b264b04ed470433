/* meridian-ingester: the recent past of the region's log, in memory, for queriers. */
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "ingester/owner.h"
#include "ingester/questions.h"
#include "ingester/resolver.h"
#include "node/node.h"
#include "tenancy/keys.h"

#define KEY(path_, type_, initial_, min_, max_, doc_)                                              \
    {                                                                                              \
        .path = (path_), .type = (type_), .initial = (initial_), .doc = (doc_), .min = (min_),     \
        .max = (max_)                                                                              \
    }

static const struct mrd_config_key ingester_keys[] = {
    KEY("ingester.replicas", MRD_CONFIG_INT, "1", 1, MRD_RING_REPLICAS_MAX,
        "Ingesters of this zone that hold each partition. The same on all of them."),
    KEY("ingester.memory_bytes_max", MRD_CONFIG_SIZE, "0", 0, 1e15,
        "Memory for the heads of all partitions. Over it the ingester stops applying the log. "
        "0: 60 % of what the machine or the control group has."),
    KEY("ingester.head_window", MRD_CONFIG_DURATION, "0", 0, 1e12,
        "How far back a new owner replays a partition. 0: all that the log holds."),
    KEY("ingester.forget_delay", MRD_CONFIG_DURATION, "15m", 1000, 86400000,
        "How much longer than the log the heads keep what it was trimmed of, at most twice that. "
        "Queriers are told that blocks have it so long before it goes: three times what a query "
        "may "
        "take is enough."),
    KEY("ingester.bucket", MRD_CONFIG_DURATION, "2h", 60000, 1e12,
        "Time buckets of the heads: chunks do not cross them."),
    KEY("ingester.loads_max", MRD_CONFIG_INT, "8", 0, MRD_LOG_PARTITIONS_MAX,
        "Partitions that replay at the same time. 0: no limit."),
    KEY("ingester.query_workers", MRD_CONFIG_INT, "8", 1, 256,
        "Questions of queriers that are worked on at once."),
    KEY("ingester.query_queue_max", MRD_CONFIG_INT, "1024", 1, 65536,
        "Questions beyond these that wait for a worker or for their reader at most, each of the "
        "latter with a thread; more are "
        "refused."),
    KEY("ingester.request_memory_bytes_max", MRD_CONFIG_SIZE, "256MiB", 1 << 20, 1e15,
        "Memory for one question: its matchers, or its list of names."),
    KEY("rpc.listen", MRD_CONFIG_STRING, "auto:0", 0, 0,
        "Where queriers may ask over direct connections, which is faster than over NATS: "
        "host:port. Host auto: the address "
        "from which this process reaches NATS; port 0: any free one. Every connection must prove "
        "that it knows a secret that "
        "is told over NATS; what goes over it is not encrypted. Empty: none."),
    KEY("rpc.advertise", MRD_CONFIG_STRING, "", 0, 0,
        "host:port that queriers are told to connect to; port 0: the one of rpc.listen. Empty: the "
        "address of rpc.listen."),
    KEY("rpc.connections_max", MRD_CONFIG_INT, "256", 1, 65536,
        "Direct connections at most, each with a thread. Further queriers ask over NATS."),
    KEY("http.listen", MRD_CONFIG_STRING, "0.0.0.0:7202", 0, 0,
        "Address of the operations routes."),
};

/* The parts in the order in which they start. */
struct ingester {
    struct mrd_bus *log_bus;
    struct mrd_bus *query_bus;
    struct mrd_service_condition *partitions;
    struct ing_budget budget;
    struct mrd_tenancy_settings *limits;
    struct ing_owner *owner;
    struct ing_resolver *resolver;
    struct ing_questions *questions;
    struct mrd_link_listener *listener; /* until the questions have it */
};

static void on_ready(void *context, bool ready, const char *reason)
{
    struct ingester *ingester = context;
    mrd_service_condition_set(ingester->partitions, ready, reason);
}

/* Others take over first, then no more questions, then the heads go. */
static void stop_partitions(void *context, mrd_time_ms grace_ms)
{
    struct ingester *ingester = context;
    if (ingester->owner != NULL) {
        ing_owner_leave(ingester->owner, grace_ms / 2);
    }
    ing_questions_destroy(&ingester->questions, grace_ms / 4);
    mrd_link_listener_destroy(&ingester->listener);
    ing_resolver_destroy(&ingester->resolver);
    ing_owner_destroy(&ingester->owner);
    mrd_tenancy_settings_destroy(&ingester->limits);
}

static void on_reload(void *context, const struct mrd_config *config)
{
    struct ingester *ingester = context;
    mrd_tenancy_settings_set(ingester->limits, config);
}

/* Bytes that the process may use: the machine's, or less if its control group says so. */
static size_t memory_available(void)
{
    const size_t machine = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    FILE *file = fopen("/sys/fs/cgroup/memory.max", "re");
    unsigned long long limit = 0;
    const bool limited = file != NULL && fscanf(file, "%llu", &limit) == 1; /* else it is "max" */
    if (file != NULL) {
        (void)fclose(file);
    }
    return limited && limit < machine ? (size_t)limit : machine;
}

static size_t memory_budget(const struct mrd_config *config)
{
    const size_t configured = mrd_config_size(config, "ingester.memory_bytes_max");
    return configured > 0 ? configured : memory_available() / 10 * 6;
}

/* Tells in our member record where direct connections are taken. */
static enum mrd_status start_listener(struct ingester *ingester, struct mrd_node *node,
                                      struct mrd_error *err)
{
    const struct mrd_config *config = node->config;
    const struct mrd_link_listener_options options = {
        .listen = mrd_config_string(config, "rpc.listen"),
        .advertise = mrd_config_string(config, "rpc.advertise"),
        .connections_max = (uint32_t)mrd_config_int(config, "rpc.connections_max"),
        .open = mrd_metrics_gauge(node->metrics, "meridian_ingester_direct_connections",
                                  "Direct connections of queriers that are open.", MRD_NO_LABELS),
        .refused = mrd_metrics_counter(
            node->metrics, "meridian_ingester_direct_connections_refused_total",
            "Direct connections that were too many or did not prove who they are.", MRD_NO_LABELS),
    };
    if (options.listen[0] == '\0') {
        return MRD_OK;
    }
    MRD_TRY(mrd_link_listen(ingester->query_bus, &options, &ingester->listener, err));
    node->self.link = *mrd_link_listener_address(ingester->listener);
    MRD_LOG_INFO("takes direct connections", mrd_log_str("address", node->self.link.address));
    return MRD_OK;
}

static enum mrd_status start_partitions(struct ingester *ingester, struct mrd_node *node,
                                        struct mrd_error *err)
{
    const struct mrd_config *config = node->config;
    ingester->partitions = mrd_service_condition_add(node->service, "partitions");
    ingester->budget.limit = memory_budget(config);
    ingester->limits =
        mrd_tenancy_settings_create(sizeof(struct ing_limits), ing_limits_read, config);
    const struct ing_owner_options owner = {
        .log_bus = ingester->log_bus,
        .members_bus = ingester->query_bus,
        .self = &node->self,
        .partition_count = (uint32_t)mrd_config_int(config, "region.partitions"),
        .replicas = (uint32_t)mrd_config_int(config, "ingester.replicas"),
        .loads_max = (uint32_t)mrd_config_int(config, "ingester.loads_max"),
        .store = {.bucket_ms = mrd_config_duration(config, "ingester.bucket"),
                  .forget_delay_ms = mrd_config_duration(config, "ingester.forget_delay"),
                  .settings = ingester->limits,
                  .budget = &ingester->budget},
        .window_ms = mrd_config_duration(config, "ingester.head_window"),
        .clock = mrd_clock_system(),
        .metrics = node->metrics,
        .on_ready = on_ready,
        .context = ingester,
    };
    mrd_service_on_stop(node->service, "partitions", stop_partitions, ingester);
    mrd_service_on_reload(node->service, on_reload, ingester);
    MRD_TRY(start_listener(ingester, node, err));
    MRD_TRY(ing_owner_create(&owner, &ingester->owner, err));
    const struct ing_resolver_options resolver = {
        .log_bus = ingester->log_bus,
        .owner = ingester->owner,
        .partition_count = owner.partition_count,
        .metrics = node->metrics,
    };
    ingester->resolver = ing_resolver_create(&resolver);
    const struct ing_questions_options questions = {
        .bus = ingester->query_bus,
        .owner = ingester->owner,
        .instance = node->self.instance,
        .workers = (uint32_t)mrd_config_int(config, "ingester.query_workers"),
        .queue_max = (uint32_t)mrd_config_int(config, "ingester.query_queue_max"),
        .settings = ingester->limits,
        .memory_bytes_max = mrd_config_size(config, "ingester.request_memory_bytes_max"),
        .listener_take = ingester->listener,
        .metrics = node->metrics,
    };
    MRD_TRY(ing_questions_create(&questions, &ingester->questions, err));
    ingester->listener = NULL;
    return MRD_OK;
}

static enum mrd_status start(void *context, struct mrd_node *node, struct mrd_error *err)
{
    struct ingester *ingester = context;
    MRD_TRY(mrd_node_connect(node, "log", &ingester->log_bus, err));
    MRD_TRY(mrd_node_connect(node, "query", &ingester->query_bus, err));
    MRD_TRY(mrd_node_log_ensure(node, ingester->log_bus, err));
    MRD_TRY(start_partitions(ingester, node, err));
    return mrd_service_listen(node->service, err);
}

int main(int argc, char **argv)
{
    struct ingester ingester = {0};
    struct mrd_node_definition definition = {
        .name = "ingester",
        .summary = "Holds the recent past of the region's log in memory and answers queriers.",
        .listen_default = "0.0.0.0:7202",
        .kind = MRD_MEMBER_INGESTER,
        .tables = {{ingester_keys, MRD_ARRAY_LEN(ingester_keys)}},
        .start = start,
        .context = &ingester,
    };
    definition.tables[1] = mrd_tenancy_keep_keys;
    return mrd_node_main(&definition, argc, argv);
}
