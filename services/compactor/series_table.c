#include "compactor/series_table.h"

#include <stdlib.h>

enum { SLOTS_MIN = 1024, SCRATCH_BYTES = 4 << 20 };

/* Open addressing; a slot has an index plus 1, 0 is free. */
struct slots {
    uint32_t *items;
    size_t count; /* a power of two */
};

struct cmp_series_table {
    struct mrd_arena *texts; /* labels and tenants */
    struct mrd_arena *scratch;
    struct cmp_series *series;
    size_t count;
    size_t capacity;
    struct mrd_bytes *tenants;
    size_t tenant_count;
    size_t tenant_capacity;
    struct slots by_id;
    struct slots by_tenant;
};

struct cmp_series_table *cmp_series_table_create(void)
{
    struct cmp_series_table *table = calloc(1, sizeof(*table));
    mrd_assert(table != NULL);
    table->texts = mrd_arena_create("series of the log", SIZE_MAX);
    table->scratch = mrd_arena_create("labels of a series", SCRATCH_BYTES);
    return table;
}

void cmp_series_table_destroy(struct cmp_series_table **table)
{
    if (*table == NULL) {
        return;
    }
    struct cmp_series_table *self = MRD_MOVE(*table);
    mrd_arena_destroy(&self->texts);
    mrd_arena_destroy(&self->scratch);
    free(self->series);
    free(self->tenants);
    free(self->by_id.items);
    free(self->by_tenant.items);
    free(self);
}

/* ---- slots ---- */

static void slots_put(struct slots *slots, uint64_t hash, uint32_t index)
{
    size_t at = hash & (slots->count - 1);
    while (slots->items[at] != 0) {
        at = (at + 1) & (slots->count - 1);
    }
    slots->items[at] = index + 1;
}

/* Room for one more of `used`; true if the slots are new and empty, for all to be put anew. */
static bool slots_grow(struct slots *slots, size_t used)
{
    if (slots->count > 0 && (used + 1) * 2 <= slots->count) {
        return false;
    }
    free(slots->items);
    slots->count = slots->count == 0 ? SLOTS_MIN : slots->count * 2;
    slots->items = calloc(slots->count, sizeof(*slots->items));
    mrd_assert(slots->items != NULL);
    return true;
}

/* ---- tenants ---- */

static struct mrd_bytes tenant_intern(struct cmp_series_table *table, struct mrd_bytes name)
{
    const uint64_t hash = mrd_hash64(name, 0);
    if (slots_grow(&table->by_tenant, table->tenant_count)) {
        for (size_t i = 0; i < table->tenant_count; i++) {
            slots_put(&table->by_tenant, mrd_hash64(table->tenants[i], 0), (uint32_t)i);
        }
    }
    const size_t mask = table->by_tenant.count - 1;
    for (size_t at = hash & mask; table->by_tenant.items[at] != 0; at = (at + 1) & mask) {
        const struct mrd_bytes have = table->tenants[table->by_tenant.items[at] - 1];
        if (mrd_bytes_equal(have, name)) {
            return have;
        }
    }
    if (table->tenant_count == table->tenant_capacity) {
        table->tenant_capacity = MRD_MAX((size_t)16, table->tenant_capacity * 2);
        table->tenants =
            reallocarray(table->tenants, table->tenant_capacity, sizeof(*table->tenants));
        mrd_assert(table->tenants != NULL);
    }
    const struct mrd_bytes copy = mrd_arena_copy(table->texts, name);
    mrd_assert(copy.data != NULL);
    slots_put(&table->by_tenant, hash, (uint32_t)table->tenant_count);
    table->tenants[table->tenant_count++] = copy;
    return copy;
}

/* ---- series ---- */

static uint32_t find(const struct cmp_series_table *table, mrd_series_id id)
{
    const size_t mask = table->by_id.count - 1;
    for (size_t at = id.low & mask; table->by_id.items[at] != 0; at = (at + 1) & mask) {
        const uint32_t ordinal = table->by_id.items[at] - 1;
        if (mrd_id128_equal(table->series[ordinal].id, id)) {
            return ordinal;
        }
    }
    return UINT32_MAX;
}

static enum mrd_status labels_check(struct cmp_series_table *table, struct mrd_bytes labels,
                                    struct mrd_error *err)
{
    struct mrd_labels ignored;
    mrd_arena_reset(table->scratch);
    return mrd_labels_decode(labels, table->scratch, &ignored, err) == MRD_OK
               ? MRD_OK
               : mrd_fail(err, MRD_E_CORRUPT, "labels of a series are not canonical");
}

enum mrd_status cmp_series_table_add(struct cmp_series_table *table,
                                     const struct cmp_series *series, uint32_t *out_ordinal,
                                     struct mrd_error *err)
{
    if (slots_grow(&table->by_id, table->count)) {
        for (size_t i = 0; i < table->count; i++) {
            slots_put(&table->by_id, table->series[i].id.low, (uint32_t)i);
        }
    }
    const uint32_t known = find(table, series->id);
    if (known != UINT32_MAX) {
        *out_ordinal = known;
        return MRD_OK;
    }
    MRD_TRY(labels_check(table, series->labels, err));
    mrd_assert(table->count < UINT32_MAX / 2);
    if (table->count == table->capacity) {
        table->capacity = MRD_MAX((size_t)SLOTS_MIN, table->capacity * 2);
        table->series = reallocarray(table->series, table->capacity, sizeof(*table->series));
        mrd_assert(table->series != NULL);
    }
    const struct mrd_bytes labels = mrd_arena_copy(table->texts, series->labels);
    mrd_assert(labels.data != NULL);
    table->series[table->count] = (struct cmp_series){
        .id = series->id, .tenant = tenant_intern(table, series->tenant), .labels = labels};
    slots_put(&table->by_id, series->id.low, (uint32_t)table->count);
    *out_ordinal = (uint32_t)table->count++;
    return MRD_OK;
}

const struct cmp_series *cmp_series_table_at(const struct cmp_series_table *table, uint32_t ordinal)
{
    mrd_assert(ordinal < table->count);
    return &table->series[ordinal];
}

size_t cmp_series_table_count(const struct cmp_series_table *table) { return table->count; }

size_t cmp_series_table_memory(const struct cmp_series_table *table)
{
    return mrd_arena_used(table->texts) + table->capacity * sizeof(*table->series) +
           table->tenant_capacity * sizeof(*table->tenants) +
           (table->by_id.count + table->by_tenant.count) * sizeof(uint32_t);
}
