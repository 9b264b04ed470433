/* meridian-compactor: the log into blocks in object storage, and what is done with them there. */
#include "base/log.h"
#include "compactor/build.h"
#include "compactor/jobs.h"
#include "node/node.h"
#include "objstore/settings.h"

#define KEY(path_, type_, initial_, min_, max_, doc_)                                              \
    {                                                                                              \
        .path = (path_), .type = (type_), .initial = (initial_), .doc = (doc_), .min = (min_),     \
        .max = (max_)                                                                              \
    }

static const struct mrd_config_key compactor_keys[] = {
    KEY("compactor.build_age", MRD_CONFIG_DURATION, "5m", 100, 1e12,
        "What has been in the log for so long is brought to blocks."),
    KEY("compactor.build_bytes", MRD_CONFIG_SIZE, "64MiB", 1, 1e15,
        "So many bytes of one partition's log are brought to blocks without waiting for "
        "compactor.build_age; half a log is in any case."),
    KEY("compactor.build_samples_max", MRD_CONFIG_INT, "20000000", 1, 1e9,
        "Samples that are brought to one block at most, but for what one batch has more."),
    KEY("compactor.build_memory_bytes_max", MRD_CONFIG_SIZE, "512MiB", 48 << 20, 1e15,
        "Memory for the samples of one block and for writing it. One block is built at a time."),
    KEY("compactor.trim", MRD_CONFIG_BOOL, "false", 0, 0,
        "Drop from the log what is in blocks, was received before compactor.log_window and is not "
        "needed to "
        "resolve references. Demands log.max_age=0 in all services: then nothing but this drops "
        "anything."),
    KEY("compactor.log_window", MRD_CONFIG_DURATION, "3h", 0, 1e12,
        "How long what was received stays in the log though it is in blocks, for ingesters to "
        "replay. A log that is three quarters "
        "full is trimmed without it."),
    KEY("compactor.references_kept", MRD_CONFIG_DURATION, "155m", 1, 1e12,
        "How long after its last use a writer's announcements of a label epoch stay resolvable: "
        "what may lie between a batch's announcements and its being stored. Less than 155m loses "
        "samples of batches that are stored later than that."),
    KEY("http.listen", MRD_CONFIG_STRING, "0.0.0.0:7203", 0, 0,
        "Address of the operations routes."),
};

/* The parts in the order in which they start. */
struct compactor {
    struct mrd_service *service;
    struct mrd_bus *bus;
    struct mrd_objstore *store;
    struct mrd_catalog *catalog;
    struct mrd_leases *leases;
    struct mrd_members *members;
    struct cmp_build *build;
    struct cmp_jobs *jobs;
};

static void on_fatal(void *context, const struct mrd_error *err)
{
    struct compactor *compactor = context;
    mrd_service_stop(compactor->service, err);
}

static void stop_roles(void *context, mrd_time_ms grace_ms)
{
    (void)grace_ms;
    struct compactor *compactor = context;
    cmp_jobs_destroy(&compactor->jobs);
    cmp_build_destroy(&compactor->build);
    mrd_members_destroy(&compactor->members);
    mrd_leases_destroy(&compactor->leases);
    mrd_catalog_close(&compactor->catalog);
    mrd_objstore_close(&compactor->store);
}

static enum mrd_status open_storage(struct compactor *compactor, const struct mrd_node *node,
                                    struct mrd_error *err)
{
    MRD_TRY(mrd_objstore_settings_open(node->config, node->metrics, &compactor->store, err));
    MRD_LOG_INFO("object storage", mrd_log_str("store", mrd_objstore_name(compactor->store)));
    MRD_TRY(mrd_objstore_probe(compactor->store, "probe/", NULL, err));
    const struct mrd_catalog_options catalog = {.store = compactor->store,
                                                .writer = node->self.instance};
    return mrd_catalog_open(&catalog, NULL, &compactor->catalog, err);
}

static enum mrd_status join_region(struct compactor *compactor, const struct mrd_node *node,
                                   struct mrd_error *err)
{
    const uint32_t replicas = (uint32_t)mrd_config_int(node->config, "log.replicas");
    const struct mrd_leases_options leases = {.holder = node->self.instance, .replicas = replicas};
    MRD_TRY(mrd_leases_create(compactor->bus, &leases, &compactor->leases, err));
    const struct mrd_members_options members = {.self = &node->self, .replicas = replicas};
    return mrd_members_create(compactor->bus, &members, &compactor->members, err);
}

static struct cmp_build *build_create(const struct compactor *compactor,
                                      const struct mrd_node *node)
{
    const struct mrd_config *config = node->config;
    const struct cmp_build_options options = {
        .members = compactor->members,
        .instance = node->self.instance,
        .partition_count = (uint32_t)mrd_config_int(config, "region.partitions"),
        .limits = {.samples_max = (uint64_t)mrd_config_int(config, "compactor.build_samples_max"),
                   .memory_bytes_max = mrd_config_size(config, "compactor.build_memory_bytes_max")},
        .build_bytes = mrd_config_size(config, "compactor.build_bytes"),
        .build_age_ms = mrd_config_duration(config, "compactor.build_age"),
        .trim = mrd_config_bool(config, "compactor.trim"),
        .log_window_ms = mrd_config_duration(config, "compactor.log_window"),
        .references_kept_ms = mrd_config_duration(config, "compactor.references_kept"),
        .metrics = node->metrics,
        .clock = mrd_clock_system(),
    };
    return cmp_build_create(&options);
}

static enum mrd_status start_roles(struct compactor *compactor, const struct mrd_node *node,
                                   struct mrd_error *err)
{
    const struct cmp_jobs_options options = {
        .environment = {.store = compactor->store,
                        .catalog = compactor->catalog,
                        .leases = compactor->leases,
                        .bus = compactor->bus,
                        .metrics = node->metrics,
                        .clock = mrd_clock_system()},
        .on_fatal = on_fatal,
        .context = compactor,
    };
    compactor->jobs = cmp_jobs_create(&options);
    compactor->build = build_create(compactor, node);
    const struct cmp_role build = cmp_build_role(compactor->build);
    return cmp_jobs_add(compactor->jobs, &build, err);
}

/* An age limit drops whatever is old, in blocks or not. */
static enum mrd_status check_settings(const struct mrd_config *config, struct mrd_error *err)
{
    const bool trim = mrd_config_bool(config, "compactor.trim");
    if (trim && mrd_config_duration(config, "log.max_age") > 0) {
        return mrd_fail(err, MRD_E_INVALID,
                        "compactor.trim is on and log.max_age is not 0: the log would drop what is "
                        "not in blocks yet; set log.max_age to 0 in all services");
    }
    if (!trim && mrd_config_duration(config, "log.max_age") == 0) {
        MRD_LOG_WARN("log.max_age is 0 and compactor.trim is off: nothing drops anything from the "
                     "log, which refuses writers once it is full");
    }
    return MRD_OK;
}

static enum mrd_status start(void *context, struct mrd_node *node, struct mrd_error *err)
{
    struct compactor *compactor = context;
    compactor->service = node->service;
    MRD_TRY(check_settings(node->config, err));
    MRD_TRY(mrd_node_connect(node, "build", &compactor->bus, err));
    MRD_TRY(mrd_node_log_ensure(node, compactor->bus, err));
    mrd_service_on_stop(node->service, "roles", stop_roles, compactor);
    MRD_TRY(open_storage(compactor, node, err));
    MRD_TRY(join_region(compactor, node, err));
    MRD_TRY(start_roles(compactor, node, err));
    return mrd_service_listen(node->service, err);
}

int main(int argc, char **argv)
{
    struct compactor compactor = {0};
    const struct mrd_node_definition definition = {
        .name = "compactor",
        .summary = "Brings the region's log to blocks in object storage.",
        .listen_default = "0.0.0.0:7203",
        .kind = MRD_MEMBER_COMPACTOR,
        .tables = {{compactor_keys, MRD_ARRAY_LEN(compactor_keys)},
                   {mrd_objstore_settings_keys, MRD_OBJSTORE_SETTINGS_KEYS}},
        .start = start,
        .context = &compactor,
    };
    return mrd_node_main(&definition, argc, argv);
}
