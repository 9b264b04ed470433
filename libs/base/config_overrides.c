/* Settings of single tenants: sparse lists of values, sorted by tenant, over those of the service. */
#include <stdatomic.h>
#include <stdlib.h>

#include "base/config_internal.h"

void config_overrides_keys(struct mrd_config *config)
{
    enum { TABLES_MAX = 16 };
    const struct mrd_config_overrides *overrides = config->schema->overrides;
    const struct mrd_config_schema *own = config->schema;
    struct mrd_config_table tables[TABLES_MAX];
    mrd_assert(overrides->table_count + own->table_count <= TABLES_MAX);
    for (size_t i = 0; i < overrides->table_count; i++) {
        tables[i] = overrides->tables[i];
    }
    for (size_t i = 0; i < own->table_count; i++) {
        tables[overrides->table_count + i] = own->tables[i]; /* ours win */
    }
    const struct mrd_config_schema all = {
        .tables = tables,
        .table_count = overrides->table_count + own->table_count,
        .overrides = overrides,
    };
    config->tenant_key_count = config_keys(&all, &config->tenant_keys);
}

/* ---- reading ---- */

enum mrd_status config_tenant_add(struct mrd_config *config, struct config_tenants *tenants,
                                  struct mrd_bytes name, size_t line, const char *where,
                                  struct config_tenant **out, struct mrd_error *err)
{
    const enum mrd_status status = config->schema->overrides->tenant_check(name, err);
    if (status != MRD_OK) {
        return mrd_fail_prefix(err, status, "%s: overrides", where);
    }
    if (tenants->count == MRD_CONFIG_TENANTS_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "%s: overrides of more than %d tenants", where,
                        MRD_CONFIG_TENANTS_MAX);
    }
    if (tenants->count == tenants->capacity) {
        tenants->capacity = MRD_MAX(tenants->capacity * 2, (size_t)16);
        tenants->items = realloc(tenants->items, tenants->capacity * sizeof(*tenants->items));
        mrd_assert(tenants->items != NULL);
    }
    *out = &tenants->items[tenants->count++];
    **out = (struct config_tenant){.name = mrd_bytes_text(name), .line = line};
    return MRD_OK;
}

void config_tenant_set(struct config_tenant *tenant, const struct mrd_config_key *key,
                       struct config_value *value)
{
    size_t at = 0;
    while (at < tenant->count && tenant->items[at].key != key) {
        at++;
    }
    if (at == tenant->count) {
        tenant->items = realloc(tenant->items, (at + 1) * sizeof(*tenant->items));
        mrd_assert(tenant->items != NULL);
        tenant->items[tenant->count++] = (struct config_override){.key = key};
    }
    config_value_fini(&tenant->items[at].value);
    tenant->items[at].value = *value;
    *value = (struct config_value){0};
}

static int compare_tenants(const void *a, const void *b)
{
    return strcmp(((const struct config_tenant *)a)->name, ((const struct config_tenant *)b)->name);
}

static enum mrd_status sort(struct config_tenants *tenants, const char *file, struct mrd_error *err)
{
    if (tenants->count > 0) {
        qsort(tenants->items, tenants->count, sizeof(*tenants->items), compare_tenants);
    }
    for (size_t i = 1; i < tenants->count; i++) {
        if (compare_tenants(&tenants->items[i - 1], &tenants->items[i]) == 0) {
            return mrd_fail(
                err, MRD_E_INVALID, "%s:%zu: overrides: tenant %s stands in line %zu as well", file,
                MRD_MAX(tenants->items[i - 1].line, tenants->items[i].line), tenants->items[i].name,
                MRD_MIN(tenants->items[i - 1].line, tenants->items[i].line));
        }
    }
    return MRD_OK;
}

static void tenant_fini(struct config_tenant *tenant)
{
    for (size_t i = 0; i < tenant->count; i++) {
        config_value_fini(&tenant->items[i].value);
    }
    free(tenant->items);
    free(tenant->name);
    *tenant = (struct config_tenant){0};
}

/* The values of `from` win; it is empty afterwards. */
static void tenant_merge(struct config_tenant *into, struct config_tenant *from)
{
    for (size_t i = 0; i < from->count; i++) {
        config_tenant_set(into, from->items[i].key, &from->items[i].value);
    }
    tenant_fini(from);
}

enum mrd_status config_tenants_merge(struct mrd_config *config, const char *file,
                                     struct config_tenants *tenants, struct mrd_error *err)
{
    MRD_TRY(sort(tenants, file, err));
    struct config_tenants *old = &config->tenants;
    struct config_tenants all = {.capacity = old->count + tenants->count};
    if (tenants->count == 0) {
        return MRD_OK;
    }
    all.items = calloc(all.capacity, sizeof(*all.items));
    mrd_assert(all.items != NULL);
    size_t i = 0;
    size_t k = 0;
    while (i < old->count || k < tenants->count) {
        const int order = i == old->count ? 1
                          : k == tenants->count
                              ? -1
                              : compare_tenants(&old->items[i], &tenants->items[k]);
        struct config_tenant *out = &all.items[all.count++];
        *out = order <= 0 ? old->items[i++] : tenants->items[k++];
        if (order == 0) {
            tenant_merge(out, &tenants->items[k++]);
        }
    }
    free(old->items);
    tenants->count = 0; /* they have moved */
    *old = all;
    return MRD_OK;
}

void config_tenants_fini(struct config_tenants *tenants)
{
    for (size_t i = 0; i < tenants->count; i++) {
        tenant_fini(&tenants->items[i]);
    }
    free(tenants->items);
    *tenants = (struct config_tenants){0};
}

/* ---- using ---- */

size_t mrd_config_tenant_count(const struct mrd_config *config) { return config->tenants.count; }

struct mrd_bytes mrd_config_tenant_name(const struct mrd_config *config, size_t index)
{
    mrd_assert(index < config->tenants.count);
    return mrd_bytes_of(config->tenants.items[index].name);
}

bool mrd_config_tenant_find(const struct mrd_config *config, struct mrd_bytes name,
                            size_t *out_index)
{
    size_t low = 0;
    size_t high = config->tenants.count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = mrd_bytes_compare(mrd_config_tenant_name(config, middle), name);
        if (order == 0) {
            *out_index = middle;
            return true;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}

struct mrd_config *mrd_config_tenant_view(const struct mrd_config *config, size_t index)
{
    mrd_assert(index < config->tenants.count);
    const struct config_tenant *tenant = &config->tenants.items[index];
    struct mrd_config *view = calloc(1, sizeof(*view));
    mrd_assert(view != NULL);
    view->schema = config->schema;
    view->keys = config->keys;
    view->key_count = config->key_count;
    view->is_view = true;
    view->values = calloc(config->key_count + 1, sizeof(*view->values));
    mrd_assert(view->values != NULL);
    memcpy(view->values, config->values, config->key_count * sizeof(*view->values));
    for (size_t i = 0; i < tenant->count; i++) {
        const size_t at = config_index(config, mrd_bytes_of(tenant->items[i].key->path));
        if (at != CONFIG_NONE) { /* else another service's */
            view->values[at] = tenant->items[i].value;
            view->values[at].is_set = true;
        }
    }
    atomic_init(&view->references, 1);
    return view;
}

void config_overrides_write(const struct mrd_config *config, struct mrd_buf *out)
{
    if (config->tenants.count > 0) {
        mrd_buf_append_text(out, "overrides:\n");
    }
    for (size_t i = 0; i < config->tenants.count; i++) {
        const struct config_tenant *tenant = &config->tenants.items[i];
        mrd_buf_append_text(out, "  ");
        config_quoted_write(out, tenant->name);
        mrd_buf_append_text(out, tenant->count == 0 ? ": {}\n" : ":\n");
        for (size_t k = 0; k < tenant->count; k++) {
            mrd_buf_printf(out, "    %s: ", tenant->items[k].key->path);
            config_value_write(out, tenant->items[k].key, &tenant->items[k].value);
            mrd_buf_append_text(out, "\n");
        }
    }
}
