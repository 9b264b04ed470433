/* meridian-compactor: the log into blocks in object storage, and what is done with them there. */
#include "base/log.h"
#include "compactor/admin.h"
#include "compactor/build.h"
#include "compactor/cooling.h"
#include "compactor/erasing.h"
#include "compactor/expiring.h"
#include "compactor/flush.h"
#include "compactor/jobs.h"
#include "compactor/logs.h"
#include "iceberg/place.h"
#include "node/node.h"
#include "objstore/settings.h"
#include "tenancy/keys.h"

#define KEY(path_, type_, initial_, min_, max_, doc_)                                              \
    {                                                                                              \
        .path = (path_), .type = (type_), .initial = (initial_), .doc = (doc_), .min = (min_),     \
        .max = (max_)                                                                              \
    }

static const char *const rollup_choices[] = {"5m", "1h", "6h", "1d", NULL};

static const struct mrd_config_key compactor_keys[] = {
    KEY("compactor.build_age", MRD_CONFIG_DURATION, "5m", 100, 1e12,
        "What has been in the log for so long is brought to blocks."),
    KEY("compactor.build_bytes", MRD_CONFIG_SIZE, "64MiB", 1, 1e15,
        "So many bytes of one partition's log are brought to blocks without waiting for "
        "compactor.build_age; so is an eighth of log.max_bytes."),
    KEY("compactor.build_samples_max", MRD_CONFIG_INT, "20000000", 1, 1e9,
        "Samples that are brought to one block at most, but for what one batch has more."),
    KEY("compactor.build_memory_bytes_max", MRD_CONFIG_SIZE, "512MiB", 48 << 20, 1e15,
        "Memory for the samples of one block and for writing it. One block is built at a time."),
    KEY("compactor.trim", MRD_CONFIG_BOOL, "true", 0, 0,
        "Drop from the log what is in blocks, was received before compactor.log_window and is not "
        "needed to resolve references. The log has no age limit then, whatever log.max_age says: "
        "nothing but this drops anything. The same in all compactors."),
    KEY("compactor.log_window", MRD_CONFIG_DURATION, "3h", 0, 1e12,
        "How long what was received stays in the log though it is in blocks, for ingesters to "
        "replay. A log that is three quarters "
        "full is trimmed without it."),
    KEY("compactor.references_kept", MRD_CONFIG_DURATION, "155m", 1, 1e12,
        "How long after its last use a writer's announcements of a label epoch stay resolvable: "
        "what may lie between a batch's announcements and its being stored. Less than 155m loses "
        "samples of batches that are stored later than half of that after they were sent, and an "
        "older value that comes so late may stand before a newer one in ingesters that start then. "
        "Distributors announce again what they have not used for half of it."),
    KEY("compactor.lease", MRD_CONFIG_DURATION, "10s", 1000, 600000,
        "How long a compactor that stopped breathing keeps its work before another takes it. The "
        "same "
        "in all compactors."),
    KEY("compactor.merge_interval", MRD_CONFIG_DURATION, "10s", 100, 1e9,
        "How often the compactor looks for blocks to merge."),
    KEY("compactor.merge_age", MRD_CONFIG_DURATION, "2h", 0, 1e12,
        "Blocks of level 0 are merged into the tenants' days when the oldest was received so long "
        "ago; earlier where compactor.merge_tenant_rows says so."),
    KEY("compactor.merge_tenant_rows", MRD_CONFIG_INT, "1000000", 1, 1e15,
        "Blocks of level 0 are merged before compactor.merge_age if they have so many samples for "
        "each tenant, and at most four times as many have to be written anew with them."),
    KEY("compactor.merge_month_delay", MRD_CONFIG_DURATION, "24h", 0, 1e12,
        "Days are merged into their month so long after its end, and after the receipt of samples "
        "that are late for it."),
    KEY("compactor.merge_memory_bytes_max", MRD_CONFIG_SIZE, "512MiB", 112 << 20, 1e15,
        "Memory for merging. A compactor does one merge unit at a time; its workers share this."),
    KEY("compactor.merge_workers", MRD_CONFIG_INT, "0", 0, 256,
        "Threads that merge the tenants of a unit, each with its share of "
        "compactor.merge_memory_bytes_max; fewer where that is less than 48 MiB and 16 MiB for "
        "each of compactor.rollups. 0: half of "
        "the "
        "processors."),
    {.path = "compactor.rollups",
       .type = MRD_CONFIG_LIST,
       .initial = "1h,6h,1d",
       .choices = rollup_choices,
       .doc =
         "Rollups that merges make of what they write, for queries over long times. Each takes 16 "
         "MiB "
         "of compactor.merge_memory_bytes_max at least. The same in all compactors. Empty: none."},
    KEY("compactor.merge_file_bytes", MRD_CONFIG_SIZE, "512MiB", 1 << 20, 1e15,
        "Merging ends a file of a tenant and day or month with the series that passes this size."),
    KEY("compactor.tables", MRD_CONFIG_BOOL, "true", 0, 0,
        "Keep Iceberg tables of what is merged, for SQL engines. The same in all compactors."),
    KEY("compactor.snapshots_kept", MRD_CONFIG_DURATION, "24h", 0, 1e12,
        "How long snapshots of the tables stay readable, and with them the files of merged "
        "blocks, after the next one was made. The files stay 24h in any case."),
    KEY("compactor.expire_interval", MRD_CONFIG_DURATION, "1h", 0, 1e12,
        "How often in the region blocks that are out of their tenants' retention (retention.*) "
        "leave the catalog. 0: never, but when asked for."),
    KEY("compactor.cold_class", MRD_CONFIG_STRING, "", 0, 0,
        "Storage class that old blocks' data files are put into, as STANDARD_IA or GLACIER_IR: one "
        "that can be read at once. S3 only. Empty: none."),
    KEY("compactor.cold_after", MRD_CONFIG_DURATION, "90d", 0, 1e14,
        "How long after the end of a block's day or month its data file is put into cold_class."),
    KEY("compactor.cold_interval", MRD_CONFIG_DURATION, "24h", 0, 1e12,
        "How often in the region it is looked for such files. 0: never, but when asked for."),
    KEY("compactor.grace", MRD_CONFIG_DURATION, "24h", 60000, 1e12,
        "How long files stay after their block has left the catalog, and how long commits do that "
        "a "
        "checkpoint has made needless. Longer than any query takes; a merge ends after half of it. "
        "Each compactor writes it into the catalog when it starts, and all of them go by what "
        "stands there, so the same in all compactors. Queriers give up a state of the catalog "
        "before it is over, whatever querier.block_stale_max says."),
    KEY("compactor.sweep_interval", MRD_CONFIG_DURATION, "1h", 0, 1e12,
        "How often in the region what nobody needs any more is removed from object storage. 0: "
        "never, but when asked for."),
    KEY("compactor.scrub_interval", MRD_CONFIG_DURATION, "168h", 0, 1e12,
        "How often in the region all blocks are read to find those that have rotted. 0: never, "
        "but when asked for."),
    KEY("compactor.scrub_bytes_per_second", MRD_CONFIG_SIZE, "16MiB", 0, 1e15,
        "How fast a scrub reads at most. 0: as fast as it goes."),
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
    struct cmp_merging *merging;
    struct cmp_tidying *tidying;
    struct cmp_expiring *expiring;
    struct cmp_erasing *erasing;
    struct cmp_cooling *cooling;
    struct cmp_jobs *jobs;
    struct cmp_flush *flush;
    struct cmp_logs *logs;
    struct cmp_admin admin;
    struct mrd_arena *place; /* of the tables' root */
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
    cmp_logs_destroy(&compactor->logs);
    cmp_flush_destroy(&compactor->flush);
    cmp_jobs_destroy(&compactor->jobs);
    cmp_cooling_destroy(&compactor->cooling);
    cmp_erasing_destroy(&compactor->erasing);
    cmp_expiring_destroy(&compactor->expiring);
    cmp_tidying_destroy(&compactor->tidying);
    cmp_merging_destroy(&compactor->merging);
    cmp_build_destroy(&compactor->build);
    mrd_members_destroy(&compactor->members);
    mrd_leases_destroy(&compactor->leases);
    mrd_catalog_close(&compactor->catalog);
    mrd_objstore_close(&compactor->store);
    mrd_arena_destroy(&compactor->place);
}

/* The catalog says what the grace is: others who read it go by that. The last one that starts is right. */
static enum mrd_status say_grace(const struct compactor *compactor, mrd_time_ms grace_ms,
                                 struct mrd_error *err)
{
    struct mrd_catalog_state *state = mrd_catalog_pin(compactor->catalog);
    const mrd_time_ms before_ms = mrd_catalog_grace(state).ms;
    mrd_catalog_unpin(&state);
    if (before_ms == grace_ms) {
        return MRD_OK;
    }
    const struct mrd_catalog_change change = {.grace_ms = grace_ms};
    MRD_TRY(mrd_catalog_commit(compactor->catalog, &change, NULL, err));
    MRD_LOG_INFO("the catalog's grace is another now (compactor.grace)",
                 mrd_log_int("before_ms", before_ms), mrd_log_int("grace_ms", grace_ms));
    return MRD_OK;
}

static enum mrd_status open_storage(struct compactor *compactor, const struct mrd_node *node,
                                    struct mrd_error *err)
{
    MRD_TRY(mrd_objstore_settings_open(node->config, node->metrics, &compactor->store, err));
    MRD_LOG_INFO("object storage", mrd_log_str("store", mrd_objstore_name(compactor->store)));
    MRD_TRY(mrd_objstore_probe(compactor->store, "probe/", NULL, err));
    const struct mrd_catalog_options catalog = {
        .store = compactor->store,
        .writer = node->self.instance,
        .grace_ms = mrd_config_duration(node->config, "compactor.grace")};
    MRD_TRY(mrd_catalog_open(&catalog, NULL, &compactor->catalog, err));
    return say_grace(compactor, catalog.grace_ms, err);
}

static enum mrd_status join_region(struct compactor *compactor, const struct mrd_node *node,
                                   struct mrd_error *err)
{
    const uint32_t replicas = (uint32_t)mrd_config_int(node->config, "log.replicas");
    const struct mrd_leases_options leases = {
        .holder = node->self.instance,
        .ttl_ms = mrd_config_duration(node->config, "compactor.lease"),
        .replicas = replicas};
    MRD_TRY(mrd_leases_create(compactor->bus, &leases, &compactor->leases, err));
    struct mrd_member self = node->self;
    self.block_grace_ms = mrd_config_duration(node->config, "compactor.grace");
    self.references_kept_ms = mrd_config_bool(node->config, "compactor.trim")
                                  ? mrd_config_duration(node->config, "compactor.references_kept")
                                  : 0;
    const struct mrd_members_options members = {.self = &self, .replicas = replicas};
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
        .log_age_ms = mrd_config_duration(config, "log.max_age"),
        .references_kept_ms = mrd_config_duration(config, "compactor.references_kept"),
        .metrics = node->metrics,
        .clock = mrd_clock_system(),
    };
    return cmp_build_create(&options);
}

/* *out_kept: whether tables are kept. */
static enum mrd_status place_tables(struct compactor *compactor, const struct mrd_node *node,
                                    struct mrd_upkeep_tables *out, bool *out_kept,
                                    struct mrd_error *err)
{
    struct mrd_iceberg_store place;
    *out_kept = mrd_config_bool(node->config, "compactor.tables");
    if (!*out_kept) {
        return MRD_OK;
    }
    compactor->place = mrd_arena_create("place of tables", 1 << 20);
    const enum mrd_status status =
        mrd_iceberg_store_of(node->config, compactor->place, &place, err);
    if (status != MRD_OK) {
        return mrd_fail_prefix(err, status,
                               "no tables can be kept here (compactor.tables=false keeps none)");
    }
    const char *region = mrd_config_string(node->config, "region.id");
    const char *kept = (const char *)mrd_arena_copy(compactor->place, mrd_bytes_of(region)).data;
    if (kept == NULL) {
        return mrd_arena_fail(compactor->place, err);
    }
    *out = (struct mrd_upkeep_tables){
        .root = place.root,
        .region = kept,
        .keep_ms = mrd_config_duration(node->config, "compactor.snapshots_kept")};
    return MRD_OK;
}

static void reload(void *context, const struct mrd_config *config)
{
    struct compactor *compactor = context;
    cmp_merging_reload(compactor->merging, config);
    cmp_expiring_reload(compactor->expiring, config);
}

static enum mrd_status sweep_now(void *context, const struct mrd_upkeep_unnamed *unnamed,
                                 const struct cmp_environment *environment, struct mrd_error *err)
{
    return cmp_tidying_sweep(((struct compactor *)context)->tidying, unnamed, environment, err);
}

static bool is_bad(void *context, struct mrd_bytes block_id)
{
    return cmp_merging_is_bad(((struct compactor *)context)->merging, block_id);
}

static enum mrd_status create_roles(struct compactor *compactor, struct mrd_node *node,
                                    struct mrd_error *err)
{
    struct mrd_upkeep_tables tables;
    bool kept = false;
    MRD_TRY(place_tables(compactor, node, &tables, &kept, err));
    compactor->build = build_create(compactor, node);
    compactor->merging =
        cmp_merging_create(node->config, node->self.instance, kept ? &tables : NULL, node->metrics);
    compactor->tidying =
        cmp_tidying_create(node->config, node->self.instance, kept ? &tables : NULL, node->metrics);
    compactor->expiring = cmp_expiring_create(node->config, kept ? &tables : NULL, node->metrics);
    const struct cmp_erasing_options erasing = {
        .sweep = sweep_now,
        .is_bad = is_bad,
        .context = compactor,
        .region = mrd_config_string(node->config, "region.id"),
        .metrics = node->metrics,
    };
    compactor->erasing = cmp_erasing_create(&erasing);
    compactor->cooling = cmp_cooling_create(node->config, node->metrics);
    mrd_service_on_reload(node->service, reload, compactor);
    return MRD_OK;
}

static enum mrd_status start_roles(struct compactor *compactor, struct mrd_node *node,
                                   struct mrd_error *err)
{
    MRD_TRY(create_roles(compactor, node, err));
    const struct cmp_jobs_options options = {
        .environment = {.store = compactor->store,
                        .catalog = compactor->catalog,
                        .leases = compactor->leases,
                        .bus = compactor->bus,
                        .metrics = node->metrics,
                        .clock = mrd_clock_system(),
                        .grace_ms = mrd_config_duration(node->config, "compactor.grace")},
        .on_fatal = on_fatal,
        .context = compactor,
    };
    const struct cmp_role roles[] = {
        cmp_build_role(compactor->build),           cmp_merging_role(compactor->merging),
        cmp_tidying_sweep_role(compactor->tidying), cmp_tidying_scrub_role(compactor->tidying),
        cmp_expiring_role(compactor->expiring),     cmp_erasing_role(compactor->erasing),
        cmp_cooling_role(compactor->cooling), /* the last: it may be off */
    };
    const size_t role_count = MRD_ARRAY_LEN(roles) - !cmp_cooling_is_on(compactor->cooling);
    compactor->jobs = cmp_jobs_create(&options);
    for (size_t i = 0; i < role_count; i++) {
        MRD_TRY(cmp_jobs_add(compactor->jobs, &roles[i], err));
    }
    compactor->admin =
        (struct cmp_admin){compactor->jobs,     compactor->merging, compactor->tidying,
                           compactor->expiring, compactor->erasing, compactor->cooling};
    cmp_admin_mount(&compactor->admin, mrd_service_http(node->service));
    return MRD_OK;
}

/* Before the listener, which would wait for those who wait here. */
static void stop_flush(void *context, mrd_time_ms grace_ms)
{
    (void)grace_ms;
    struct compactor *compactor = context;
    cmp_flush_stop(compactor->flush);
    cmp_logs_stop(compactor->logs);
}

static enum mrd_status start_flush(struct compactor *compactor, const struct mrd_node *node,
                                   struct mrd_error *err)
{
    const struct cmp_flush_options options = {
        .bus = compactor->bus,
        .catalog = compactor->catalog,
        .members = compactor->members,
        .build = compactor->build,
        .merging = compactor->merging,
        .jobs = compactor->jobs,
        .instance = node->self.instance,
        .partition_count = (uint32_t)mrd_config_int(node->config, "region.partitions"),
    };
    return cmp_flush_create(&options, mrd_service_http(node->service), &compactor->flush, err);
}

static enum mrd_status start_logs(struct compactor *compactor, const struct mrd_node *node,
                                  struct mrd_error *err)
{
    const struct cmp_logs_options options = {
        .bus = compactor->bus,
        .catalog = compactor->catalog,
        .leases = compactor->leases,
        .members = compactor->members,
        .partition_count = (uint32_t)mrd_config_int(node->config, "region.partitions"),
    };
    return cmp_logs_create(&options, mrd_service_http(node->service), &compactor->logs, err);
}

/* What is kept beside tables has names of its own at the top of the store. */
static enum mrd_status check_region(const char *region, struct mrd_error *err)
{
    static const char *const taken[] = {"blocks", "catalog",    "erasures", "logs",
                                        "probe",  "quarantine", "upkeep"};
    for (size_t i = 0; i < MRD_ARRAY_LEN(taken); i++) {
        if (strcmp(region, taken[i]) == 0) {
            return mrd_fail(err, MRD_E_INVALID,
                            "region.id is \"%s\", where object storage has other things: give the "
                            "region another name",
                            region);
        }
    }
    return mrd_objstore_key_check(region, err) == MRD_OK
               ? MRD_OK
               : mrd_fail_prefix(err, MRD_E_INVALID, "region.id becomes a folder of tables");
}

/* An age limit drops whatever is old, in blocks or not. So there is none where we trim, and where we do not it is ours to bring it
 * back: others leave a log without one alone. */
static enum mrd_status ensure_log(const struct compactor *compactor, const struct mrd_node *node,
                                  struct mrd_error *err)
{
    struct mrd_log_config log = mrd_bus_settings_log(node->config);
    if (mrd_config_bool(node->config, "compactor.trim")) {
        log.age_ms_max = 0;
    } else if (log.age_ms_max == 0) {
        MRD_LOG_WARN("log.max_age is 0 and compactor.trim is off: nothing drops anything from the "
                     "log, which refuses writers once it is full");
    }
    log.age_decides = true;
    return mrd_node_log_ensure_as(node, compactor->bus, &log, err);
}

static enum mrd_status start(void *context, struct mrd_node *node, struct mrd_error *err)
{
    struct compactor *compactor = context;
    compactor->service = node->service;
    MRD_TRY(check_region(mrd_config_string(node->config, "region.id"), err));
    MRD_TRY(mrd_node_connect(node, "build", &compactor->bus, err));
    MRD_TRY(ensure_log(compactor, node, err));
    mrd_service_on_stop(node->service, "roles", stop_roles, compactor);
    MRD_TRY(open_storage(compactor, node, err));
    MRD_TRY(join_region(compactor, node, err));
    MRD_TRY(start_roles(compactor, node, err));
    MRD_TRY(start_flush(compactor, node, err));
    MRD_TRY(start_logs(compactor, node, err));
    MRD_TRY(mrd_service_listen(node->service, err));
    mrd_service_on_stop(node->service, "flush", stop_flush, compactor);
    return MRD_OK;
}

int main(int argc, char **argv)
{
    struct compactor compactor = {0};
    struct mrd_node_definition definition = {
        .name = "compactor",
        .summary = "Brings the region's log to blocks in object storage, and keeps these in order.",
        .listen_default = "0.0.0.0:7203",
        .kind = MRD_MEMBER_COMPACTOR,
        .tables = {{compactor_keys, MRD_ARRAY_LEN(compactor_keys)},
                   {mrd_objstore_settings_keys, MRD_OBJSTORE_SETTINGS_KEYS}},
        .start = start,
        .context = &compactor,
    };
    definition.tables[2] = mrd_tenancy_block_keys;
    definition.tables[3] = mrd_tenancy_retention_keys;
    return mrd_node_main(&definition, argc, argv);
}
