/* meridian-distributor: takes remote writes in, and acknowledges what the partition log has. */
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "bus/log_watch.h"
#include "bus/notice.h"
#include "distributor/ask.h"
#include "distributor/kept.h"
#include "distributor/push.h"
#include "node/node.h"
#include "tenancy/keys.h"
#include "wire/erasure_notice.h"

enum {
    SHARDS_MAX = 64,
    WAITING_SHARE =
        4, /* of distributor.inflight_bytes_max: what of one tenant may wait for an answer about its series */
};

#define KEY(path_, type_, initial_, min_, max_, doc_)                                              \
    {                                                                                              \
        .path = (path_), .type = (type_), .initial = (initial_), .doc = (doc_), .min = (min_),     \
        .max = (max_)                                                                              \
    }

static const char *const codecs[] = {"none", "snappy", "zstd", NULL};

static const struct mrd_config_key distributor_keys[] = {
    KEY("distributor.shards", MRD_CONFIG_INT, "0", 0, SHARDS_MAX,
        "Threads that decode and batch. 0: half of the processors, at least one."),
    KEY("distributor.series_cache_bytes_max", MRD_CONFIG_SIZE, "1GiB", 1 << 16, 1e15,
        "Memory of each shard's series cache."),
    KEY("distributor.inflight_bytes_max", MRD_CONFIG_SIZE, "256MiB", 1 << 10, 1e15,
        "Request bodies that may wait for the log; more requests are answered with 503."),
    KEY("distributor.ack_timeout", MRD_CONFIG_DURATION, "15s", 10, 3600000,
        "A request that the log has not acknowledged by then is answered with 503."),
    KEY("batch.target_bytes", MRD_CONFIG_SIZE, "128KiB", 1 << 10, 4 << 20,
        "Size at which a batch is sent."),
    KEY("batch.linger_max", MRD_CONFIG_DURATION, "3ms", 0, 10000,
        "How long a batch waits for more samples while another is in flight."),
    {.path = "batch.codec",
       .type = MRD_CONFIG_ENUM,
       .initial = "none",
       .choices = codecs,
       .doc = "Compression of batches of samples, whose columns are compact without."},
    {.path = "batch.labels_codec",
       .type = MRD_CONFIG_ENUM,
       .initial = "zstd",
       .choices = codecs,
       .doc = "Compression of batches that mostly announce new series."              },
    KEY("http.listen", MRD_CONFIG_STRING, "0.0.0.0:7201", 0, 0, "Address for writers."),
};

struct distributor {
    struct mrd_bus *bus;
    uint32_t partition_count;
    struct mrd_notice_listener *notices;
    struct mrd_members *members;
    struct mrd_log_writer *log;
    struct mrd_hlc_clock hlc;
    struct dst_kept kept;
    struct mrd_log_watch *watch;
    struct dst_rates *rates;
    struct mrd_rpc_client *rpc;
    struct dst_ask ask;
    struct dst_tallies *tallies;
    struct dst_asker *asker;
    struct dst_asker_metrics asker_metrics;
    struct dst_intake_metrics metrics;
    struct dst_intake *intakes[SHARDS_MAX];
    char instances[SHARDS_MAX][MRD_BATCH_NAME_MAX + 1];
    struct dst_push push;
};

/* Every batch lands before its shard goes: sent off, then acknowledged or given up by the writer. */
static void stop_intakes(void *context, mrd_time_ms grace_ms)
{
    struct distributor *distributor = context;
    mrd_log_watch_destroy(&distributor->watch);
    if (distributor->asker != NULL) {
        dst_asker_stop(distributor->asker); /* what it has goes back to the intakes */
    }
    for (size_t i = 0; i < distributor->push.intake_count; i++) {
        dst_intake_flush(distributor->intakes[i]);
    }
    struct mrd_error err;
    if (distributor->log != NULL &&
        mrd_log_writer_drain(distributor->log, grace_ms, &err) != MRD_OK) {
        MRD_LOG_WARN("batches are left that the log has not acknowledged",
                     mrd_log_str("error", err.text));
    }
    mrd_log_writer_destroy(&distributor->log);
    for (size_t i = 0; i < distributor->push.intake_count; i++) {
        dst_intake_destroy(&distributor->intakes[i]);
    }
    dst_asker_destroy(&distributor->asker);
    dst_tallies_destroy(&distributor->tallies);
    mrd_rpc_client_destroy(&distributor->rpc);
    dst_rates_destroy(&distributor->rates);
    mrd_tenancy_settings_destroy(&distributor->push.limits);
    mrd_members_destroy(&distributor->members);
    mrd_notice_unlisten(&distributor->notices);
}

/* What is taken in from now on is stamped after the erasure, whatever our clock says. */
static enum mrd_status on_erasure(void *context, struct mrd_bytes notice, struct mrd_error *err)
{
    struct distributor *distributor = context;
    struct mrd_erasure_notice erasure;
    MRD_TRY(mrd_erasure_notice_decode(notice, distributor->partition_count, &erasure, NULL, err));
    return mrd_hlc_merge(&distributor->hlc, erasure.hlc, err);
}

static void on_reload(void *context, const struct mrd_config *config)
{
    struct distributor *distributor = context;
    mrd_tenancy_settings_set(distributor->push.limits, config);
}

static size_t shard_count(const struct mrd_config *config)
{
    const int64_t configured = mrd_config_int(config, "distributor.shards");
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    return configured > 0 ? (size_t)configured
                          : (size_t)MRD_MIN(MRD_MAX(processors / 2, 1L), (long)SHARDS_MAX);
}

/* What is configured, as far as the server's messages are large enough for it. */
static size_t target_bytes_of(const struct mrd_config *config, struct mrd_bus *bus)
{
    const size_t configured = mrd_config_size(config, "batch.target_bytes");
    const size_t most = dst_batcher_target_max(mrd_bus_payload_max(bus));
    if (configured > most) {
        MRD_LOG_WARN("batch.target_bytes is more than the server's max_payload allows",
                     mrd_log_uint("target_bytes", most));
    }
    return MRD_MIN(configured, most);
}

static enum mrd_status start_intake(struct distributor *distributor, const struct mrd_node *node,
                                    struct mrd_error *err)
{
    const struct mrd_config *config = node->config;
    const size_t index = distributor->push.intake_count;
    char *instance = distributor->instances[index];
    /* The random part makes every start a name space of its own. */
    (void)snprintf(instance, sizeof(distributor->instances[index]), "%.30s-%08x-%zu",
                   node->self.instance, (unsigned)node->self.incarnation, index);
    const struct dst_intake_options options = {
        .batcher = {.log = distributor->log,
                    .hlc = &distributor->hlc,
                    .clock = mrd_clock_system(),
                    .region = mrd_config_string(config, "region.id"),
                    .residency_class = mrd_bus_settings_class(config),
                    .instance = instance,
                    .partition_count = (uint32_t)mrd_config_int(config, "region.partitions"),
                    .target_bytes = target_bytes_of(config, distributor->bus),
                    .linger_ms_max = mrd_config_duration(config, "batch.linger_max"),
                    .codec = (enum mrd_batch_codec)mrd_config_enum(config, "batch.codec"),
                    .labels_codec =
                        (enum mrd_batch_codec)mrd_config_enum(config, "batch.labels_codec"),
                    .references_kept_ms = dst_kept_now,
                    .kept_context = &distributor->kept},
        .rates = distributor->rates,
        .tallies = distributor->tallies,
        .asker = distributor->asker,
        .asker_metrics = &distributor->asker_metrics,
        .metrics = &distributor->metrics,
        .cache_bytes_max = mrd_config_size(config, "distributor.series_cache_bytes_max"),
        .bytes_in_flight = &distributor->push.bytes_in_flight,
    };
    MRD_TRY(dst_intake_create(&options, &distributor->intakes[index], err));
    distributor->push.intake_count++;
    return MRD_OK;
}

/* What was announced in the one before is not known in it. */
static void on_another_log(void *context, uint32_t partition)
{
    struct distributor *distributor = context;
    MRD_LOG_WARN("the log of a partition has become another: all series are announced again",
                 mrd_log_uint("partition", partition));
    mrd_log_writer_renew(distributor->log);
}

static enum mrd_status start_watch(struct distributor *distributor, struct mrd_error *err)
{
    const struct mrd_log_watch_options watch = {.partition_count = distributor->partition_count,
                                                .on_another = on_another_log,
                                                .context = distributor};
    return mrd_log_watch_create(distributor->bus, &watch, &distributor->watch, err);
}

/* Whoever asks ingesters about the series of tenants that are limited in them. */
static enum mrd_status start_asker(struct distributor *distributor, const struct mrd_node *node,
                                   struct mrd_error *err)
{
    MRD_TRY(mrd_rpc_client_create(distributor->bus, &distributor->rpc, err));
    distributor->ask = (struct dst_ask){.rpc = distributor->rpc,
                                        .members = distributor->members,
                                        .partition_count = distributor->partition_count,
                                        .salt = node->self.incarnation};
    distributor->tallies = dst_tallies_create(mrd_clock_system());
    dst_asker_metrics_init(&distributor->asker_metrics, node->metrics);
    const size_t bytes_max = mrd_config_size(node->config, "distributor.inflight_bytes_max");
    const struct dst_asker_options options = {
        .tallies = distributor->tallies,
        .partition_count = distributor->partition_count,
        .waiting_bytes_max = (int64_t)(bytes_max / WAITING_SHARE),
        .clock = mrd_clock_system(),
        .metrics = &distributor->asker_metrics,
        .ask = dst_ask_ingesters,
        .context = &distributor->ask,
        .done = dst_intake_resume,
    };
    distributor->asker = dst_asker_create(&options);
    return MRD_OK;
}

static enum mrd_status start_intakes(struct distributor *distributor, struct mrd_node *node,
                                     struct mrd_error *err)
{
    mrd_service_on_stop(node->service, "intakes", stop_intakes, distributor);
    distributor->partition_count = (uint32_t)mrd_config_int(node->config, "region.partitions");
    mrd_hlc_init(&distributor->hlc, mrd_clock_system(), 60000);
    MRD_TRY(mrd_notice_listen(distributor->bus, node->self.instance, on_erasure, distributor,
                              &distributor->notices, err));
    MRD_TRY(mrd_members_create(distributor->bus, &(struct mrd_members_options){.self = &node->self},
                               &distributor->members, err));
    distributor->kept.members = distributor->members;
    const struct mrd_log_writer_options log = {
        .partition_count = distributor->partition_count,
    };
    MRD_TRY(mrd_log_writer_create(distributor->bus, &log, &distributor->log, err));
    MRD_TRY(start_watch(distributor, err));
    MRD_TRY(start_asker(distributor, node, err));
    distributor->rates = dst_rates_create(mrd_clock_system());
    dst_intake_metrics_init(&distributor->metrics, node->metrics);
    distributor->push.intakes = distributor->intakes;
    const size_t count = shard_count(node->config);
    while (distributor->push.intake_count < count) {
        MRD_TRY(start_intake(distributor, node, err));
    }
    distributor->push.limits =
        mrd_tenancy_settings_create(sizeof(struct dst_limits), dst_limits_read, node->config);
    mrd_service_on_reload(node->service, on_reload, distributor);
    return MRD_OK;
}

static void start_push(struct distributor *distributor, struct mrd_node *node)
{
    struct dst_push *push = &distributor->push;
    push->bytes_in_flight_max =
        (int64_t)mrd_config_size(node->config, "distributor.inflight_bytes_max");
    push->ack_timeout_ms = mrd_config_duration(node->config, "distributor.ack_timeout");
    push->refused_busy = mrd_metrics_counter(node->metrics, DST_REFUSED_NAME, DST_REFUSED_HELP,
                                             MRD_LABELS({"reason", "busy"}));
    push->refused_head = mrd_metrics_counter(node->metrics, DST_REFUSED_NAME, DST_REFUSED_HELP,
                                             MRD_LABELS({"reason", "headers"}));
    dst_push_mount(push, mrd_service_http(node->service));
}

static enum mrd_status start(void *context, struct mrd_node *node, struct mrd_error *err)
{
    struct distributor *distributor = context;
    MRD_TRY(mrd_node_connect(node, "publish", &distributor->bus, err));
    MRD_TRY(mrd_node_log_ensure(node, distributor->bus, err));
    MRD_TRY(start_intakes(distributor, node, err));
    start_push(distributor, node);
    return mrd_service_listen(node->service, err);
}

int main(int argc, char **argv)
{
    static struct distributor distributor; /* large, and as long-lived as the process */
    struct mrd_node_definition definition = {
        .name = "distributor",
        .summary = "Takes remote writes in and acknowledges what the partition log has.",
        .listen_default = "0.0.0.0:7201",
        .kind = MRD_MEMBER_DISTRIBUTOR,
        .tables = {{distributor_keys, MRD_ARRAY_LEN(distributor_keys)}},
        .start = start,
        .context = &distributor,
    };
    definition.tables[1] = mrd_tenancy_write_keys;
    return mrd_node_main(&definition, argc, argv);
}
