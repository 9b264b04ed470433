/* rest_tool: the querier's Iceberg REST catalog over tables in a folder or a bucket (tool_store.h), for readers in other languages.
 *
 *   rest_tool STORE REGION
 *
 * Prints "port N" when it serves and ends with its standard input. A tenant's table is a folder <REGION>/<tenant>/<table> with a file
 * `current`, whose text is the key of the table's current metadata: what the catalog of blocks says in a region.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "querier/iceberg.h"
#include "querier/limits.h"
#include "tenancy/keys.h"
#include "tool_store.h"

enum { TABLES_MAX = 64, KEY_MAX = 1024 };

static void must(enum mrd_status status, const struct mrd_error *err)
{
    if (status != MRD_OK) {
        fprintf(stderr, "rest_tool: %s\n", err->text);
        exit(2);
    }
}

/* ---- tables of a store ---- */

struct folder {
    struct mrd_objstore *store;
    char root[TOOL_ROOT_SIZE];
    const char *region;
    struct mrd_iceberg_property config[3];
    size_t config_count;
};

struct listing {
    struct mrd_arena *arena;
    const char **names;
    size_t count;
    size_t prefix_size;
};

static bool add_table(void *context, const struct mrd_objstore_entry *entry)
{
    struct listing *listing = context;
    const char *name = entry->key + listing->prefix_size, *end = strchr(name, '/');
    if (end != NULL && strcmp(end, "/current") == 0 && listing->count < TABLES_MAX) {
        listing->names[listing->count] =
            mrd_arena_printf(listing->arena, "%.*s", (int)(end - name), name);
        listing->count += listing->names[listing->count] != NULL;
    }
    return true;
}

static enum mrd_status list_tables(void *context, struct mrd_bytes tenant,
                                   const struct mrd_objstore_control *control,
                                   struct mrd_arena *arena, const char *const **out_names,
                                   size_t *out_count, struct mrd_error *err)
{
    const struct folder *folder = context;
    struct listing listing = {.arena = arena};
    const char *prefix = mrd_arena_printf(arena, "%s/%.*s/", folder->region, MRD_FMT(tenant));
    listing.names = mrd_arena_alloc(arena, TABLES_MAX * sizeof(*listing.names));
    if (prefix == NULL || listing.names == NULL) {
        return mrd_arena_fail(arena, err);
    }
    listing.prefix_size = strlen(prefix);
    MRD_TRY(mrd_objstore_list(folder->store, prefix, "", add_table, &listing, control, err));
    *out_names = listing.names;
    *out_count = listing.count;
    return MRD_OK;
}

static enum mrd_status find_table(void *context, struct mrd_bytes tenant, struct mrd_bytes name,
                                  const struct mrd_objstore_control *control,
                                  struct mrd_arena *arena, struct mrd_iceberg_place *out,
                                  struct mrd_error *err)
{
    struct folder *folder = context;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf text = {0};
    const char *path =
        mrd_arena_printf(arena, "%s/%.*s/%.*s", folder->region, MRD_FMT(tenant), MRD_FMT(name));
    const char *pointer = path == NULL ? NULL : mrd_arena_printf(arena, "%s/current", path);
    if (pointer == NULL) {
        return mrd_arena_fail(arena, err);
    }
    if (mrd_objstore_key_check(pointer, err) != MRD_OK) {
        return mrd_fail(err, MRD_E_NOT_FOUND, "a name that no table has");
    }
    MRD_TRY(mrd_objstore_get(folder->store, pointer, KEY_MAX, control, &text, err));
    const char *key = mrd_arena_printf(arena, "%.*s", MRD_FMT(mrd_buf_view(&text)));
    if (key == NULL) {
        return mrd_arena_fail(arena, err);
    }
    *out = (struct mrd_iceberg_place){
        .table = {.store = folder->store, .root = folder->root, .path = path},
        .metadata_key = key,
        .config = folder->config,
        .config_count = folder->config_count,
    };
    return MRD_OK;
}

/* ---- the server ---- */

static struct mrd_tenancy_settings *limits_create(struct mrd_config **config)
{
    struct mrd_error err;
    static struct mrd_config_table tables[2]; /* it and the schema outlive the configuration */
    static struct mrd_config_schema schema;
    tables[0] = mrd_tenancy_query_keys;
    tables[1] = mrd_tenancy_retention_keys;
    schema = (struct mrd_config_schema){
        .service = "rest_tool",
        .summary = "Serves tables.",
        .tables = tables,
        .table_count = MRD_ARRAY_LEN(tables),
    };
    must(mrd_config_load(&schema, &(struct mrd_config_sources){0}, config, &err), &err);
    return mrd_tenancy_settings_create(sizeof(struct qry_limits), qry_limits_read, *config);
}

static void serve(const struct mrd_iceberg_source *source, const char *region)
{
    struct mrd_error err;
    struct mrd_metrics *metrics = mrd_metrics_create();
    struct mrd_config *config = NULL;
    struct mrd_tenancy_settings *limits = limits_create(&config);
    struct qry_pool *pool;
    struct mrd_http_server *server;
    const struct qry_pool_options pool_options = {.places = 4, .queue_max = 64, .metrics = metrics};
    must(qry_pool_create(&pool_options, &pool, &err), &err);
    struct qry_iceberg *iceberg = qry_iceberg_create(&(struct qry_iceberg_options){
        .pool = pool, .limits = limits, .region = region, .source = source, .metrics = metrics});
    const struct mrd_http_config http = {
        .listen = "127.0.0.1:0", .handlers_wait = true, .metrics = metrics};
    must(mrd_http_server_create(&http, &server, &err), &err);
    qry_iceberg_mount(iceberg, server);
    must(mrd_http_server_start(server, &err), &err);
    printf("port %u\n", mrd_http_server_port(server));
    (void)fflush(stdout);
    char ignored[64];
    while (read(STDIN_FILENO, ignored, sizeof(ignored)) > 0) {}
    mrd_http_server_stop(server, 1000);
    qry_pool_destroy(&pool);
    mrd_http_server_destroy(&server);
    qry_iceberg_destroy(&iceberg);
    mrd_tenancy_settings_destroy(&limits);
    mrd_config_release(&config);
    mrd_metrics_destroy(&metrics);
}

int main(int argc, char **argv)
{
    struct mrd_error err;
    if (argc != 3) {
        fprintf(stderr, "usage: rest_tool STORE REGION\n");
        return 2;
    }
    static struct folder folder;
    folder.region = argv[2];
    must(tool_store_open(argv[1], folder.root, folder.config, &folder.config_count, &folder.store,
                         &err),
         &err);
    const struct mrd_iceberg_source source = {&folder, list_tables, find_table};
    serve(&source, argv[2]);
    mrd_objstore_close(&folder.store);
    return 0;
}
