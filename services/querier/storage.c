#include "querier/storage.h"

#include "base/log.h"
#include "iceberg/place.h"
#include "querier/grace.h"

enum { PLACE_BYTES_MAX = 64 * 1024, TELL_MS = 60 * 1000 };

#define KEY(path_, type_, initial_, min_, max_, doc_)                                              \
    {                                                                                              \
        .path = (path_), .type = (type_), .initial = (initial_), .doc = (doc_), .min = (min_),     \
        .max = (max_)                                                                              \
    }

/* An old state may name blocks that have left the catalog: their files stay for MRD_CATALOG_GRACE_MS. */
#define STALE_MS_MAX (MRD_CATALOG_GRACE_MS - (mrd_time_ms)3600 * 1000)

static const struct mrd_config_key keys[] = {
    KEY("querier.block_cache_bytes_max", MRD_CONFIG_SIZE, "256MiB", 0, 1e15,
        "Memory for the indexes of blocks that no query is using."),
    KEY("querier.block_cache_folder", MRD_CONFIG_STRING, "", 0, 0,
        "Folder that keeps indexes of blocks on disk, this process' alone; it may be emptied at "
        "any "
        "time. Empty: none."),
    KEY("querier.block_cache_folder_bytes_max", MRD_CONFIG_SIZE, "10GiB", 0, 1e15,
        "Bytes of files in querier.block_cache_folder."),
    KEY("querier.block_reads", MRD_CONFIG_INT, "16", 1, 256,
        "Blocks that are read at once, by all queries together; each takes a thread."),
    KEY("querier.block_refresh", MRD_CONFIG_DURATION, "15s", 100, 3600000,
        "How often the catalog of blocks is read. A query that finds the log trimmed further reads "
        "it at once."),
    KEY("querier.block_stale_max", MRD_CONFIG_DURATION, "1h", 1000, STALE_MS_MAX,
        "Where the catalog could not be read for longer, queries that need blocks fail with 503, "
        "or "
        "warn where partial answers are asked for. Others go on. Where the catalog says that "
        "compactor.grace is not longer, a little less than that."),
};
const struct mrd_config_table qry_storage_keys = {keys, MRD_ARRAY_LEN(keys)};

static void on_change(void *context, bool known, const struct mrd_error *why)
{
    struct qry_storage *storage = context;
    if (why == NULL) {
        mrd_service_condition_set(storage->known, true, NULL);
        MRD_LOG_INFO("the catalog of blocks is read",
                     mrd_log_str("store", mrd_objstore_name(storage->store)));
    } else {
        if (!known) {
            mrd_service_condition_set(storage->known, false, why->text);
        }
        MRD_LOG_WARN(known ? "the catalog of blocks cannot be read: queries go by its last state"
                           : "the catalog of blocks cannot be read: queries fail until it is",
                     mrd_log_str("store", mrd_objstore_name(storage->store)), mrd_log_error(why));
    }
}

/* The catalog's grace is the shorter: what is configured does not hold. */
static void look_at_state(struct qry_storage *storage, const struct mrd_catalog_state *state)
{
    const mrd_time_ms stale_ms = qry_blocks_stale_ms(state, storage->stale_ms_max);
    if (stale_ms < storage->stale_ms_max) {
        MRD_LOG_EVERY(TELL_MS, MRD_LEVEL_WARN,
                      "querier.block_stale_max is not shorter than the catalog's grace: a state "
                      "of the catalog that cannot be read anew is given up earlier",
                      mrd_log_int("given_up_after_ms", stale_ms),
                      mrd_log_int("block_stale_max_ms", storage->stale_ms_max));
    }
    mrd_gauge_set(storage->stale, stale_ms / 1000);
}

/* What both are may change at any time, as compactors come and go. One of an older release says its grace with its membership only. */
static void look_at_grace(void *context, const struct mrd_catalog_state *state)
{
    struct qry_storage *storage = context;
    if (state != NULL) {
        look_at_state(storage, state);
    }
    const struct mrd_member *least = NULL;
    const struct mrd_members_snapshot *snapshot = mrd_members_acquire(storage->members);
    const size_t conflicts = qry_grace_conflicts(snapshot, storage->stale_ms_max, &least);
    mrd_gauge_set(storage->conflicts, (int64_t)conflicts);
    if (conflicts > 0) {
        MRD_LOG_EVERY(
            TELL_MS, MRD_LEVEL_ERROR,
            "a compactor deletes files of blocks sooner than this querier ceases to go by "
            "them when it cannot read the catalog: give compactor.grace more than "
            "querier.block_stale_max",
            mrd_log_str("compactor", least->instance),
            mrd_log_int("grace_ms", least->block_grace_ms),
            mrd_log_int("block_stale_max_ms", storage->stale_ms_max));
    }
    mrd_members_release(&snapshot);
}

static enum mrd_status open_blocks(struct mrd_node *node, struct qry_storage *storage,
                                   struct mrd_error *err)
{
    const struct mrd_config *config = node->config;
    const char *folder = mrd_config_string(config, "querier.block_cache_folder");
    const struct qry_blocks_options options = {
        .store = storage->store,
        .writer = node->self.instance,
        .cache_folder = folder[0] == '\0' ? NULL : folder,
        .cache_memory_bytes_max = mrd_config_size(config, "querier.block_cache_bytes_max"),
        .cache_folder_bytes_max = mrd_config_size(config, "querier.block_cache_folder_bytes_max"),
        .reads = (unsigned)mrd_config_int(config, "querier.block_reads"),
        .refresh_ms = mrd_config_duration(config, "querier.block_refresh"),
        .stale_ms_max = mrd_config_duration(config, "querier.block_stale_max"),
        .partition_count = (uint32_t)mrd_config_int(config, "region.partitions"),
        .metrics = node->metrics,
        .on_change = on_change,
        .on_read = look_at_grace,
        .context = storage,
    };
    return qry_blocks_create(&options, &storage->blocks, err);
}

/* A folder that other readers of tables could not name is refused (iceberg/place.h). */
static enum mrd_status open_tables(struct mrd_node *node, struct qry_storage *storage,
                                   struct mrd_error *err)
{
    storage->arena = mrd_arena_create("object storage for tables", PLACE_BYTES_MAX);
    MRD_TRY(mrd_iceberg_store_of(node->config, storage->arena, &storage->tables.place, err));
    qry_tables_init(&storage->tables, storage->blocks, storage->store);
    return MRD_OK;
}

enum mrd_status qry_storage_open(struct mrd_node *node, struct mrd_members *members,
                                 struct qry_storage *out, struct mrd_error *err)
{
    if (!mrd_objstore_settings_given(node->config)) {
        return MRD_OK;
    }
    MRD_TRY(mrd_objstore_settings_open(node->config, node->metrics, &out->store, err));
    out->known = mrd_service_condition_add(node->service, "blocks");
    out->members = members;
    out->stale_ms_max = mrd_config_duration(node->config, "querier.block_stale_max");
    out->conflicts = mrd_metrics_gauge(
        node->metrics, "meridian_querier_blocks_grace_conflicts",
        "Compactors whose compactor.grace is not longer than querier.block_stale_max.", NULL);
    out->stale = mrd_metrics_gauge(
        node->metrics, "meridian_querier_blocks_stale_max_seconds",
        "How old the state of the catalog may grow by which queries go: querier.block_stale_max, "
        "or less where the catalog's grace is shorter.",
        NULL);
    MRD_TRY(open_blocks(node, out, err));
    return open_tables(node, out, err);
}

void qry_storage_close(struct qry_storage *storage)
{
    qry_blocks_destroy(&storage->blocks);
    mrd_objstore_close(&storage->store);
    mrd_arena_destroy(&storage->arena);
}
