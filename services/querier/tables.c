#include "querier/tables.h"

static const char METADATA_FOLDER[] = "/metadata/";

/* The first table that is not of an earlier tenant. */
static size_t first_of(const struct mrd_catalog_state *state, struct mrd_bytes tenant)
{
    size_t low = 0;
    size_t high = mrd_catalog_table_count(state);
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (mrd_bytes_compare(mrd_catalog_table_at(state, middle)->tenant, tenant) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static enum mrd_status text_of(struct mrd_bytes bytes, struct mrd_arena *arena, const char **out,
                               struct mrd_error *err)
{
    *out = (const char *)mrd_arena_copy(arena, bytes).data;
    return *out == NULL ? mrd_arena_fail(arena, err) : MRD_OK;
}

static enum mrd_status names_of(const struct mrd_catalog_state *state, struct mrd_bytes tenant,
                                struct mrd_arena *arena, const char *const **out_names,
                                size_t *out_count, struct mrd_error *err)
{
    const size_t total = mrd_catalog_table_count(state);
    const size_t first = first_of(state, tenant);
    size_t end = first;
    while (end < total && mrd_bytes_equal(mrd_catalog_table_at(state, end)->tenant, tenant)) {
        end++;
    }
    const char **names = mrd_arena_alloc_array(arena, end - first + 1, sizeof(*names));
    if (names == NULL) {
        return mrd_arena_fail(arena, err);
    }
    for (size_t i = first; i < end; i++) {
        MRD_TRY(text_of(mrd_catalog_table_at(state, i)->name, arena, &names[i - first], err));
    }
    *out_names = names;
    *out_count = end - first;
    return MRD_OK;
}

static enum mrd_status list(void *context, struct mrd_bytes tenant,
                            const struct mrd_objstore_control *control, struct mrd_arena *arena,
                            const char *const **out_names, size_t *out_count, struct mrd_error *err)
{
    const struct qry_tables *tables = context;
    struct qry_blocks_pin pin = {0};
    (void)control;
    MRD_TRY(qry_blocks_pin(tables->blocks, &pin, err));
    const enum mrd_status status = names_of(pin.state, tenant, arena, out_names, out_count, err);
    qry_blocks_unpin(&pin);
    return status;
}

/* The table's folder is where its metadata lies: "<path>/metadata/<file>". */
static enum mrd_status path_of(const char *metadata_key, struct mrd_arena *arena, const char **out,
                               struct mrd_error *err)
{
    const char *end = NULL;
    for (const char *at = strstr(metadata_key, METADATA_FOLDER); at != NULL;
         at = strstr(at + 1, METADATA_FOLDER)) {
        end = at;
    }
    if (end == NULL || end == metadata_key) {
        return mrd_fail(err, MRD_E_CORRUPT,
                        "the catalog names \"%.200s\" as a table's metadata, which is no "
                        "<table>/metadata/<file>",
                        metadata_key);
    }
    const struct mrd_bytes path = {(const uint8_t *)metadata_key, (size_t)(end - metadata_key)};
    return text_of(path, arena, out, err);
}

static enum mrd_status place_of(const struct qry_tables *tables, struct mrd_bytes key,
                                const struct mrd_objstore_control *control, struct mrd_arena *arena,
                                struct mrd_iceberg_place *out, struct mrd_error *err)
{
    struct mrd_iceberg_place place = {
        .table = {.store = tables->store, .control = control, .root = tables->place.root},
        .config = tables->place.config,
        .config_count = tables->place.config_count,
    };
    MRD_TRY(text_of(key, arena, &place.metadata_key, err));
    MRD_TRY(path_of(place.metadata_key, arena, &place.table.path, err));
    *out = place;
    return MRD_OK;
}

static enum mrd_status find(void *context, struct mrd_bytes tenant, struct mrd_bytes name,
                            const struct mrd_objstore_control *control, struct mrd_arena *arena,
                            struct mrd_iceberg_place *out, struct mrd_error *err)
{
    const struct qry_tables *tables = context;
    struct qry_blocks_pin pin = {0};
    MRD_TRY(qry_blocks_pin(tables->blocks, &pin, err));
    const struct mrd_bytes key = mrd_catalog_table(pin.state, tenant, name);
    const enum mrd_status status =
        key.size == 0 ? mrd_fail(err, MRD_E_NOT_FOUND, "the tenant has no table of that name")
                      : place_of(tables, key, control, arena, out, err);
    qry_blocks_unpin(&pin);
    return status;
}

void qry_tables_init(struct qry_tables *tables, struct qry_blocks *blocks,
                     struct mrd_objstore *store)
{
    tables->blocks = blocks;
    tables->store = store;
    tables->functions = (struct mrd_iceberg_source){.context = tables, .list = list, .find = find};
    tables->source = &tables->functions;
}
