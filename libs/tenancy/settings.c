#include "tenancy/settings.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/hash.h"

/* What one snapshot says; never changes. Open addressing, at most half full. */
struct table {
    size_t capacity;         /* a power of two */
    struct mrd_bytes *names; /* size 0: a free slot */
    uint8_t *values;         /* by slot, and last the one of all other tenants */
};

struct mrd_tenancy_settings {
    size_t value_size;
    mrd_tenancy_read_fn *read;
    pthread_mutex_t lock; /* guards `table` */
    struct table table;
};

static size_t slot_of(const struct table *table, struct mrd_bytes tenant)
{
    size_t at = mrd_hash64(tenant, 0) & (table->capacity - 1);
    while (table->names[at].size != 0 && !mrd_bytes_equal(table->names[at], tenant)) {
        at = (at + 1) & (table->capacity - 1);
    }
    return at;
}

static struct mrd_bytes name_copy(struct mrd_bytes name)
{
    uint8_t *copy = malloc(name.size);
    mrd_assert(copy != NULL);
    memcpy(copy, name.data, name.size);
    return (struct mrd_bytes){copy, name.size};
}

static struct table table_make(const struct mrd_tenancy_settings *settings,
                               const struct mrd_config *config)
{
    const size_t count = mrd_config_tenant_count(config);
    const size_t size = settings->value_size;
    struct table table = {.capacity = 2};
    while (table.capacity < count * 2) {
        table.capacity *= 2;
    }
    table.names = calloc(table.capacity, sizeof(*table.names));
    table.values = calloc(table.capacity + 1, size);
    mrd_assert(table.names != NULL && table.values != NULL);
    settings->read(config, table.values + table.capacity * size);
    for (size_t i = 0; i < count; i++) {
        const struct mrd_bytes name = mrd_config_tenant_name(config, i);
        const size_t at = slot_of(&table, name);
        mrd_auto(mrd_config_release)
        struct mrd_config *view = mrd_config_tenant_view(config, i);
        table.names[at] = name_copy(name);
        settings->read(view, table.values + at * size);
    }
    return table;
}

static void table_free(struct table *table)
{
    for (size_t i = 0; i < table->capacity; i++) {
        free((void *)(uintptr_t)table->names[i].data); /* ours, read only while it is shared */
    }
    free(table->names);
    free(table->values);
}

struct mrd_tenancy_settings *mrd_tenancy_settings_create(size_t value_size,
                                                         mrd_tenancy_read_fn *read,
                                                         const struct mrd_config *config)
{
    struct mrd_tenancy_settings *settings = calloc(1, sizeof(*settings));
    mrd_assert(settings != NULL);
    settings->value_size = value_size;
    settings->read = read;
    pthread_mutex_init(&settings->lock, NULL);
    settings->table = table_make(settings, config);
    return settings;
}

void mrd_tenancy_settings_destroy(struct mrd_tenancy_settings **settings)
{
    if (*settings != NULL) {
        table_free(&(*settings)->table);
        pthread_mutex_destroy(&(*settings)->lock);
        free(*settings);
        *settings = NULL;
    }
}

void mrd_tenancy_settings_set(struct mrd_tenancy_settings *settings,
                              const struct mrd_config *config)
{
    struct table fresh = table_make(settings, config);
    pthread_mutex_lock(&settings->lock);
    struct table old = settings->table;
    settings->table = fresh;
    pthread_mutex_unlock(&settings->lock);
    table_free(&old);
}

void mrd_tenancy_settings_get(struct mrd_tenancy_settings *settings, struct mrd_bytes tenant,
                              void *out_value)
{
    pthread_mutex_lock(&settings->lock);
    const struct table *table = &settings->table;
    const size_t at = slot_of(table, tenant);
    const size_t slot = table->names[at].size != 0 ? at : table->capacity;
    memcpy(out_value, table->values + slot * settings->value_size, settings->value_size);
    pthread_mutex_unlock(&settings->lock);
}
