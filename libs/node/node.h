/* node.h: a service on the region's bus: what the main of every such service has in common.
 *
 *     int main(int argc, char **argv)
 *     {
 *         static struct distributor distributor;
 *         const struct mrd_node_definition definition = {..., .start = start, .context = &distributor};
 *         return mrd_node_main(&definition, argc, argv);
 *     }
 *
 * It reads the configuration (bus/settings.h and the service's own keys), runs `start` with a node that
 * makes connections and tells readiness of them, then waits for the end (service/service.h). Parts that
 * `start` registers with mrd_service_on_stop stop before the connections close.
 *
 * Owner:   mrd_node_main; the node lives until the last part has stopped.
 * Threads: `start` and the functions below: the main thread. What they return may be used by any.
 */
#ifndef MRD_NODE_NODE_H
#define MRD_NODE_NODE_H

#include "bus/settings.h"
#include "service/service.h"

enum { MRD_NODE_TABLES_MAX = 6, MRD_NODE_CONNECTIONS_MAX = 4 };

struct mrd_node {
    struct mrd_service *service;
    struct mrd_config *config; /* the snapshot of the start */
    struct mrd_metrics *metrics;
    struct mrd_member self; /* kind, instance, zone, address; without partitions */

    struct mrd_service_condition *connected;
    struct mrd_bus_listener listener; /* on the first connection */
    struct mrd_bus *connections[MRD_NODE_CONNECTIONS_MAX];
    size_t connection_count;
};

struct mrd_node_definition {
    const char *name; /* as in struct mrd_service_definition, and so the next three */
    const char *summary;
    const char *listen_default;
    bool http_handlers_wait;
    enum mrd_member_kind kind;
    struct mrd_config_table tables[MRD_NODE_TABLES_MAX]; /* keys beside those of the bus */
    /* Starts the parts in order. On failure those already registered are stopped in reverse. */
    enum mrd_status (*start)(void *context, struct mrd_node *node, struct mrd_error *err);
    void *context;
};

/* Returns the process' exit code. */
int mrd_node_main(const struct mrd_node_definition *definition, int argc, char **argv);

/* Connects to NATS and waits until it is done. `purpose` ("publish", "log", "query") names the
 * connection. The node closes it. MRD_E_UNAVAILABLE after half a minute. */
MRD_MUST_CHECK enum mrd_status mrd_node_connect(struct mrd_node *node, const char *purpose,
                                                struct mrd_bus **out_bus, struct mrd_error *err);

/* Creates or verifies the partition log; waits for JetStream, which comes up after the port. */
MRD_MUST_CHECK enum mrd_status mrd_node_log_ensure(const struct mrd_node *node, struct mrd_bus *bus,
                                                   struct mrd_error *err);
/* The same for a log that differs in something from what the configuration says. */
MRD_MUST_CHECK enum mrd_status mrd_node_log_ensure_as(const struct mrd_node *node,
                                                      struct mrd_bus *bus,
                                                      const struct mrd_log_config *log,
                                                      struct mrd_error *err);

#endif
