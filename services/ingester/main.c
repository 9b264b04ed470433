/* meridian-ingester: the recent past of the region's log, in memory, for queriers. */
#include <unistd.h>

#include "base/log.h"
#include "bus/settings.h"
#include "ingester/owner.h"
#include "ingester/questions.h"
#include "service/service.h"

enum { START_TIMEOUT_MS = 30000, LOG_RETRY_MS = 250 };

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
        "0: 60 % of the machine's."),
    KEY("ingester.head_window", MRD_CONFIG_DURATION, "0", 0, 1e12,
        "How far back a new owner replays a partition. 0: all that the log holds."),
    KEY("ingester.bucket", MRD_CONFIG_DURATION, "2h", 60000, 1e12,
        "Time buckets of the heads: chunks do not cross them."),
    KEY("ingester.loads_max", MRD_CONFIG_INT, "8", 0, MRD_LOG_PARTITIONS_MAX,
        "Partitions that replay at the same time. 0: no limit."),
    KEY("ingester.query_workers", MRD_CONFIG_INT, "8", 1, 256, "Threads that answer queriers."),
    KEY("ingester.query_queue_max", MRD_CONFIG_INT, "1024", 1, 65536,
        "Questions of queriers that wait at most; more are refused."),
    KEY("ingester.request_memory_bytes_max", MRD_CONFIG_SIZE, "256MiB", 1 << 20, 1e15,
        "Memory for one question: its matchers, or its list of names."),
    KEY("http.listen", MRD_CONFIG_STRING, "0.0.0.0:7202", 0, 0,
        "Address of the operations routes."),
};

/* The parts in the order in which they start. */
struct ingester {
    struct mrd_config *config;
    struct mrd_bus *log_bus;
    struct mrd_bus *query_bus;
    struct mrd_bus_listener listener;
    struct mrd_service_condition *nats;
    struct mrd_service_condition *partitions;
    struct ing_budget budget;
    struct mrd_member self;
    struct ing_owner *owner;
    struct ing_questions *questions;
};

static void on_bus_event(void *context, enum mrd_bus_event event, const char *text)
{
    struct ingester *ingester = context;
    if (event == MRD_BUS_CONNECTED) {
        mrd_service_condition_set(ingester->nats, true, NULL);
        MRD_LOG_INFO("connected to NATS");
    } else if (event == MRD_BUS_DISCONNECTED) {
        mrd_service_condition_set(ingester->nats, false, "NATS is unreachable");
        MRD_LOG_WARN("NATS is unreachable", mrd_log_str("text", text));
    } else {
        MRD_LOG_WARN("NATS reports an error", mrd_log_str("error", text));
    }
}

static void on_ready(void *context, bool ready, const char *reason)
{
    struct ingester *ingester = context;
    mrd_service_condition_set(ingester->partitions, ready, reason);
}

static void stop_bus(void *context, mrd_time_ms grace_ms)
{
    (void)grace_ms;
    struct ingester *ingester = context;
    if (ingester->log_bus != NULL) {
        mrd_bus_unlisten(ingester->log_bus, &ingester->listener);
    }
    mrd_bus_close(&ingester->log_bus);
    mrd_bus_close(&ingester->query_bus);
    mrd_bus_library_close();
    mrd_config_release(&ingester->config);
}

/* Others take over first, then no more questions, then the heads go. */
static void stop_partitions(void *context, mrd_time_ms grace_ms)
{
    struct ingester *ingester = context;
    if (ingester->owner != NULL) {
        ing_owner_leave(ingester->owner, grace_ms / 2);
    }
    ing_questions_destroy(&ingester->questions, grace_ms / 4);
    ing_owner_destroy(&ingester->owner);
}

static enum mrd_status start_log(const struct ingester *ingester, struct mrd_error *err)
{
    const struct mrd_log_config log = mrd_bus_settings_log(ingester->config);
    enum mrd_status status = MRD_E_UNAVAILABLE;
    for (int left = START_TIMEOUT_MS; left > 0 && status == MRD_E_UNAVAILABLE;
         left -= LOG_RETRY_MS) { /* JetStream comes up after the server's port */
        status = mrd_log_ensure(ingester->log_bus, &log, START_TIMEOUT_MS, err);
        if (status == MRD_E_UNAVAILABLE) {
            usleep(LOG_RETRY_MS * 1000);
        }
    }
    return status;
}

static enum mrd_status start_bus(struct mrd_service *service, struct ingester *ingester,
                                 struct mrd_error *err)
{
    ingester->config = mrd_service_config(service);
    ingester->nats = mrd_service_condition_add(service, "nats");
    ingester->partitions = mrd_service_condition_add(service, "partitions");
    ingester->listener = (struct mrd_bus_listener){.on_event = on_bus_event, .context = ingester};
    mrd_service_on_stop(service, "bus", stop_bus, ingester);
    MRD_TRY(mrd_bus_settings_open(ingester->config, "log", &ingester->log_bus, err));
    mrd_bus_listen(ingester->log_bus, &ingester->listener);
    MRD_TRY(mrd_bus_settings_open(ingester->config, "query", &ingester->query_bus, err));
    MRD_TRY(mrd_bus_wait_connected(ingester->log_bus, START_TIMEOUT_MS, err));
    MRD_TRY(mrd_bus_wait_connected(ingester->query_bus, START_TIMEOUT_MS, err));
    mrd_service_condition_set(ingester->nats, true, NULL);
    return start_log(ingester, err);
}

static size_t memory_budget(const struct mrd_config *config)
{
    const size_t configured = mrd_config_size(config, "ingester.memory_bytes_max");
    const size_t machine = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    return configured > 0 ? configured : machine / 10 * 6;
}

static enum mrd_status start_partitions(struct mrd_service *service, struct ingester *ingester,
                                        struct mrd_error *err)
{
    const struct mrd_config *config = ingester->config;
    ingester->budget.limit = memory_budget(config);
    mrd_bus_settings_member(config, MRD_MEMBER_INGESTER, &ingester->self);
    const struct ing_owner_options owner = {
        .log_bus = ingester->log_bus,
        .members_bus = ingester->query_bus,
        .self = &ingester->self,
        .partition_count = (uint32_t)mrd_config_int(config, "region.partitions"),
        .replicas = (uint32_t)mrd_config_int(config, "ingester.replicas"),
        .loads_max = (uint32_t)mrd_config_int(config, "ingester.loads_max"),
        .store = {.bucket_ms = mrd_config_duration(config, "ingester.bucket"),
                  .retention_ms = mrd_config_duration(config, "log.max_age"),
                  .budget = &ingester->budget},
        .window_ms = mrd_config_duration(config, "ingester.head_window"),
        .clock = mrd_clock_system(),
        .metrics = mrd_service_metrics(service),
        .on_ready = on_ready,
        .context = ingester,
    };
    mrd_service_on_stop(service, "partitions", stop_partitions, ingester);
    MRD_TRY(ing_owner_create(&owner, &ingester->owner, err));
    const struct ing_questions_options questions = {
        .bus = ingester->query_bus,
        .owner = ingester->owner,
        .instance = ingester->self.instance,
        .workers = (uint32_t)mrd_config_int(config, "ingester.query_workers"),
        .queue_max = (uint32_t)mrd_config_int(config, "ingester.query_queue_max"),
        .memory_bytes_max = mrd_config_size(config, "ingester.request_memory_bytes_max"),
        .metrics = mrd_service_metrics(service),
    };
    return ing_questions_create(&questions, &ingester->questions, err);
}

static enum mrd_status start(struct mrd_service *service, struct ingester *ingester,
                             struct mrd_error *err)
{
    MRD_TRY(start_bus(service, ingester, err));
    MRD_TRY(start_partitions(service, ingester, err));
    return mrd_service_listen(service, err);
}

int main(int argc, char **argv)
{
    struct mrd_config_key keys[MRD_ARRAY_LEN(ingester_keys) + MRD_BUS_SETTINGS_KEYS];
    memcpy(keys, mrd_bus_settings_keys, sizeof(mrd_bus_settings_keys));
    memcpy(keys + MRD_BUS_SETTINGS_KEYS, ingester_keys, sizeof(ingester_keys));
    const struct mrd_service_definition definition = {
        .name = "ingester",
        .summary = "Holds the recent past of the region's log in memory and answers queriers.",
        .listen_default = "0.0.0.0:7202",
        .keys = keys,
        .key_count = MRD_ARRAY_LEN(keys),
    };
    mrd_auto(mrd_service_destroy)
    struct mrd_service *service = NULL;
    int exit_code;
    if (!mrd_service_open(&definition, argc, argv, &service, &exit_code)) {
        return exit_code;
    }
    struct ingester ingester = {0};
    struct mrd_error err = {0};
    if (start(service, &ingester, &err) != MRD_OK) {
        return mrd_service_fail(service, &err);
    }
    return mrd_service_run(service);
}
