#include "node/node.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "tenancy/keys.h"

#define DURABLE_SERVER_VERSION "2.12.15"

enum {
    START_TIMEOUT_MS = 30000,
    TELL_MS = 5000, /* a connection that is not made by then is told of, and another one tried */
    LOG_CALL_MS = 3000, /* a clustered server leaves a request unanswered now and then, as when two
                         * services create the same stream at the same moment */
    RETRY_MS = 250,
    LOOK_MS = 100, /* whether the service is told to stop */
    SERVER_INFO_TIMEOUT_MS = 2000,
};

static void on_bus_event(void *context, enum mrd_bus_event event, const char *text)
{
    struct mrd_node *node = context;
    if (event == MRD_BUS_CONNECTED) {
        mrd_service_condition_set(node->connected, true, NULL);
        MRD_LOG_INFO("connected to NATS");
    } else if (event == MRD_BUS_DISCONNECTED) {
        mrd_service_condition_set(node->connected, false, "NATS is unreachable");
        MRD_LOG_WARN("NATS is unreachable", mrd_log_str("text", text));
    } else {
        MRD_LOG_WARN("NATS reports an error", mrd_log_str("error", text));
    }
}

static void stop_connections(void *context, mrd_time_ms grace_ms)
{
    (void)grace_ms;
    struct mrd_node *node = context;
    if (node->connection_count > 0) {
        mrd_bus_unlisten(node->connections[0], &node->listener);
    }
    for (size_t i = 0; i < node->connection_count; i++) {
        mrd_bus_close(&node->connections[i]);
    }
    mrd_bus_library_close();
}

static enum mrd_status wait_connected(struct mrd_bus *bus, int64_t timeout_ms,
                                      struct mrd_error *err)
{
    enum mrd_status status;
    do {
        status = mrd_bus_wait_connected(bus, MRD_MIN(timeout_ms, (int64_t)LOOK_MS), err);
        timeout_ms -= LOOK_MS;
    } while (status != MRD_OK && timeout_ms > 0 && !mrd_service_is_told_to_stop());
    return status;
}

/* The library gives a connection up for good if its first attempt meets a server that is just stopping, so there is another one. */
static enum mrd_status open_connected(const struct mrd_node *node, const char *purpose,
                                      struct mrd_bus **out_bus, struct mrd_error *err)
{
    const struct mrd_clock *clock = mrd_clock_system();
    const int64_t end_ns = mrd_clock_monotonic_ns(clock) + START_TIMEOUT_MS * INT64_C(1000000);
    for (;;) {
        MRD_TRY(mrd_bus_settings_open(node->config, purpose, out_bus, err));
        const int64_t left_ms = (end_ns - mrd_clock_monotonic_ns(clock)) / 1000000;
        const enum mrd_status status =
            wait_connected(*out_bus, MRD_MIN(MRD_MAX(left_ms, INT64_C(0)), (int64_t)TELL_MS), err);
        if (status == MRD_OK) {
            return MRD_OK;
        }
        mrd_bus_close(out_bus);
        if (mrd_service_is_told_to_stop()) {
            return status;
        }
        struct mrd_error why;
        if (mrd_bus_settings_try(node->config, &why) != MRD_OK) {
            *err = why;
        }
        if (mrd_clock_monotonic_ns(clock) >= end_ns) {
            return status;
        }
        MRD_LOG_EVERY(TELL_MS / 2, MRD_LEVEL_WARN, "no connection to NATS yet, trying again",
                      mrd_log_error(err));
        usleep(RETRY_MS * 1000);
    }
}

enum mrd_status mrd_node_connect(struct mrd_node *node, const char *purpose,
                                 struct mrd_bus **out_bus, struct mrd_error *err)
{
    mrd_assert(node->connection_count < MRD_NODE_CONNECTIONS_MAX);
    struct mrd_bus *bus = NULL;
    MRD_TRY(open_connected(node, purpose, &bus, err));
    node->connections[node->connection_count++] = bus;
    if (node->connection_count == 1) {
        mrd_bus_listen(bus, &node->listener);
    }
    mrd_service_condition_set(node->connected, mrd_bus_connected(bus), "NATS is unreachable");
    *out_bus = bus;
    return MRD_OK;
}

/* Before 2.10 a server syncs its store every two minutes and cannot be told otherwise; the versions
 * named here are the first whose `sync_interval: always` holds in a cluster (design of the log). */
static void tell_durability(const struct mrd_node *node)
{
    struct mrd_bus_server server;
    struct mrd_error err;
    if (mrd_bus_server_info(mrd_config_string(node->config, "nats.url"), SERVER_INFO_TIMEOUT_MS,
                            &server, &err) != MRD_OK) {
        MRD_LOG_WARN("the version of the NATS server is not known", mrd_log_error(&err));
    } else if (mrd_bus_version_compare(server.version, DURABLE_SERVER_VERSION) < 0) {
        MRD_LOG_WARN(
            "this NATS server is older than " DURABLE_SERVER_VERSION
            ": acknowledged samples survive the death of any process, but a power cut only "
            "if its store is written through (docs/quickstart.md)",
            mrd_log_str("version", server.version));
    } else {
        MRD_LOG_INFO("NATS server", mrd_log_str("version", server.version));
    }
}

enum mrd_status mrd_node_log_ensure(const struct mrd_node *node, struct mrd_bus *bus,
                                    struct mrd_error *err)
{
    const struct mrd_log_config log = mrd_bus_settings_log(node->config);
    return mrd_node_log_ensure_as(node, bus, &log, err);
}

enum mrd_status mrd_node_log_ensure_as(const struct mrd_node *node, struct mrd_bus *bus,
                                       const struct mrd_log_config *log, struct mrd_error *err)
{
    const struct mrd_clock *clock = mrd_clock_system();
    const int64_t end_ns = mrd_clock_monotonic_ns(clock) + START_TIMEOUT_MS * INT64_C(1000000);
    enum mrd_status status = mrd_log_ensure(bus, log, LOG_CALL_MS, err);
    while (status == MRD_E_UNAVAILABLE && mrd_clock_monotonic_ns(clock) < end_ns &&
           !mrd_service_is_told_to_stop()) {
        usleep(RETRY_MS * 1000);
        status = mrd_log_ensure(bus, log, LOG_CALL_MS, err);
    }
    if (status == MRD_OK) {
        tell_durability(node);
    }
    return status;
}

/* The keys of the bus and of the service, one after the other. */
static struct mrd_config_key *all_keys(const struct mrd_node_definition *definition,
                                       size_t *out_count)
{
    size_t count = MRD_BUS_SETTINGS_KEYS;
    for (size_t i = 0; i < MRD_NODE_TABLES_MAX; i++) {
        count += definition->tables[i].key_count;
    }
    struct mrd_config_key *keys = calloc(count, sizeof(*keys));
    mrd_assert(keys != NULL);
    memcpy(keys, mrd_bus_settings_keys, sizeof(mrd_bus_settings_keys));
    size_t at = MRD_BUS_SETTINGS_KEYS;
    for (size_t i = 0; i < MRD_NODE_TABLES_MAX; i++) {
        for (size_t k = 0; k < definition->tables[i].key_count; k++) {
            keys[at++] = definition->tables[i].keys[k];
        }
    }
    *out_count = count;
    return keys;
}

static int run(const struct mrd_node_definition *definition, struct mrd_node *node)
{
    node->config = mrd_service_config(node->service);
    node->metrics = mrd_service_metrics(node->service);
    node->connected = mrd_service_condition_add(node->service, "nats");
    node->listener = (struct mrd_bus_listener){.on_event = on_bus_event, .context = node};
    mrd_bus_settings_member(node->config, definition->kind, &node->self);
    mrd_service_on_stop(node->service, "connections", stop_connections, node);
    struct mrd_error err = {0};
    const int exit_code = definition->start(definition->context, node, &err) == MRD_OK
                              ? mrd_service_run(node->service)
                              : mrd_service_fail(node->service, &err);
    mrd_config_release(&node->config);
    return exit_code;
}

int mrd_node_main(const struct mrd_node_definition *definition, int argc, char **argv)
{
    struct mrd_node node = {0};
    size_t key_count;
    struct mrd_config_key *keys = all_keys(definition, &key_count);
    const struct mrd_service_definition service = {
        .name = definition->name,
        .summary = definition->summary,
        .listen_default = definition->listen_default,
        .keys = keys,
        .key_count = key_count,
        .overrides = &mrd_tenancy_overrides,
        .http_handlers_wait = definition->http_handlers_wait,
    };
    int exit_code;
    if (mrd_service_open(&service, argc, argv, &node.service, &exit_code)) {
        exit_code = run(definition, &node);
        mrd_service_destroy(&node.service);
    }
    free(keys);
    return exit_code;
}
