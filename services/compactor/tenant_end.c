#include "compactor/tenant_end.h"

#include "upkeep/index.h"
#include "upkeep/tables.h"

enum { TABLES_MAX = 16 /* a tenant has one for each resolution, and two more */ };

bool cmp_tenant_lives(const struct mrd_catalog_state *state, struct mrd_bytes tenant)
{
    bool lives = false;
    for (size_t i = 0; i < mrd_catalog_block_count(state) && !lives; i++) {
        const struct mrd_block_entry *block = mrd_catalog_block(state, i);
        lives = block->level > 0 && mrd_bytes_equal(mrd_upkeep_tenant_of(block), tenant);
    }
    return lives;
}

static size_t find_tables(const struct mrd_catalog_state *state, struct mrd_bytes tenant,
                          struct mrd_catalog_table_change out[TABLES_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < mrd_catalog_table_count(state) && count < TABLES_MAX; i++) {
        const struct mrd_catalog_table *table = mrd_catalog_table_at(state, i);
        if (mrd_bytes_equal(table->tenant, tenant)) {
            out[count++] = (struct mrd_catalog_table_change){
                .tenant = tenant, .name = table->name, .from_key = table->metadata_key};
        }
    }
    return count;
}

bool cmp_tenant_has_tables(const struct mrd_catalog_state *state, struct mrd_bytes tenant)
{
    struct mrd_catalog_table_change tables[TABLES_MAX];
    return find_tables(state, tenant, tables) > 0;
}

enum mrd_status cmp_tenant_drop_tables(const struct cmp_environment *environment,
                                       const struct mrd_catalog_state *state,
                                       struct mrd_bytes tenant, struct mrd_error *err)
{
    struct mrd_catalog_table_change tables[TABLES_MAX];
    const size_t count = find_tables(state, tenant, tables);
    const struct mrd_catalog_change change = {.tables = tables, .table_count = count};
    if (count == 0) {
        return MRD_OK;
    }
    const enum mrd_status status =
        mrd_catalog_commit(environment->catalog, &change, &environment->control, err);
    return status == MRD_E_CONFLICT ? MRD_OK : status;
}

static bool end_of_list(void *context, const struct mrd_objstore_entry *entry)
{
    (void)entry;
    *(bool *)context = true;
    return false;
}

enum mrd_status cmp_tenant_has_files(const struct cmp_environment *environment, const char *region,
                                     struct mrd_bytes tenant, bool *out, struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf prefix = {0};
    bool found = false;
    mrd_upkeep_table_path(region, tenant, "", &prefix);
    mrd_buf_append_u8(&prefix, 0);
    MRD_TRY(mrd_objstore_list(environment->store, (const char *)prefix.data, "", end_of_list,
                              &found, &environment->control, err));
    *out = found;
    return MRD_OK;
}
