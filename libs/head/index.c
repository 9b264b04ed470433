/* Tenants and the inverted index. */
#include "head/head_internal.h"

/* ---- tenants ---- */

static bool tenant_is(const struct mrd_head *head, uint32_t tenant, struct mrd_bytes name)
{
    const mrd_pool_handle handle = head_tenant(head, tenant)->name;
    return handle != 0 && mrd_bytes_equal(head_name_text(head, handle), name);
}

uint32_t head_tenant_find(struct mrd_head *head, struct mrd_bytes name)
{
    const uint32_t guess = atomic_load_explicit(&head->last_tenant, memory_order_relaxed);
    if (guess != 0 && tenant_is(head, guess, name)) {
        return guess;
    }
    const uint32_t hash = (uint32_t)mrd_hash64(name, 0);
    uint32_t at = hash;
    for (;;) {
        const uint32_t tenant = head_table_next(&head->tenant_names, hash, &at);
        if (tenant == 0 || tenant_is(head, tenant, name)) {
            atomic_store_explicit(&head->last_tenant, tenant, memory_order_relaxed);
            return tenant;
        }
    }
}

static uint32_t take_tenant_number(struct mrd_head *head)
{
    const uint32_t number = head->tenant_free;
    if (number != 0) {
        head->tenant_free = head_tenant(head, number)->first_field;
        return number;
    }
    const uint32_t fresh = head->tenant_end++;
    mrd_region_grow(&head->tenants, (size_t)head->tenant_end * sizeof(struct head_tenant));
    return fresh;
}

uint32_t head_tenant_acquire(struct mrd_head *head, struct mrd_bytes name)
{
    uint32_t tenant = head_tenant_find(head, name);
    if (tenant != 0) {
        return tenant;
    }
    tenant = take_tenant_number(head);
    const size_t size = sizeof(struct head_name) + name.size;
    const mrd_pool_handle text = head_alloc(head, MRD_HEAD_MEMORY_INDEX, size);
    struct head_name *record = head_at(head, text);
    record->references = 1;
    record->size = (uint32_t)name.size;
    if (name.size > 0) {
        memcpy(record->text, name.data, name.size);
    }
    const uint32_t hash = (uint32_t)mrd_hash64(name, 0);
    *head_tenant(head, tenant) = (struct head_tenant){.name = text, .hash = hash};
    head_table_add(&head->tenant_names, hash, tenant);
    head->memory_bytes[MRD_HEAD_MEMORY_INDEX] += sizeof(struct head_tenant);
    head->tenant_count++;
    atomic_store_explicit(&head->last_tenant, tenant, memory_order_relaxed);
    return tenant;
}

static void tenant_remove(struct mrd_head *head, uint32_t number)
{
    struct head_tenant *tenant = head_tenant(head, number);
    const struct head_name *name = head_at(head, tenant->name);
    mrd_assert(tenant->first_field == 0 && tenant->series.count == 0);
    head_table_remove(&head->tenant_names, tenant->hash, number);
    head_free(head, MRD_HEAD_MEMORY_INDEX, tenant->name, sizeof(*name) + name->size);
    *tenant = (struct head_tenant){.first_field = head->tenant_free};
    head->tenant_free = number;
    head->memory_bytes[MRD_HEAD_MEMORY_INDEX] -= sizeof(struct head_tenant);
    head->tenant_count--;
    atomic_store_explicit(&head->last_tenant, 0, memory_order_relaxed);
}

/* ---- postings ---- */

/* Finalizer of MurmurHash3: both halves reach all bits. */
static inline uint32_t key_hash(uint32_t tenant, uint32_t handle)
{
    uint64_t key = (uint64_t)tenant << 32 | handle;
    key ^= key >> 33;
    key *= 0xff51afd7ed558ccdULL;
    key ^= key >> 33;
    key *= 0xc4ceb9fe1a85ec53ULL;
    return (uint32_t)(key >> 32);
}

mrd_pool_handle head_value_find(const struct mrd_head *head, uint32_t tenant, mrd_pool_handle pair)
{
    const uint32_t hash = key_hash(tenant, pair);
    uint32_t at = hash;
    for (;;) {
        const mrd_pool_handle handle = head_table_next(&head->values, hash, &at);
        const struct head_value *value = head_at(head, handle);
        if (handle == 0 || (value->pair == pair && value->tenant == tenant)) {
            return handle;
        }
    }
}

mrd_pool_handle head_field_find(const struct mrd_head *head, uint32_t tenant, mrd_pool_handle name)
{
    const uint32_t hash = key_hash(tenant, name);
    uint32_t at = hash;
    for (;;) {
        const mrd_pool_handle handle = head_table_next(&head->fields, hash, &at);
        const struct head_field *field = head_at(head, handle);
        if (handle == 0 || (field->name == name && field->tenant == tenant)) {
            return handle;
        }
    }
}

static mrd_pool_handle field_acquire(struct mrd_head *head, uint32_t tenant, mrd_pool_handle name)
{
    mrd_pool_handle handle = head_field_find(head, tenant, name);
    if (handle != 0) {
        return handle;
    }
    handle = head_alloc(head, MRD_HEAD_MEMORY_INDEX, sizeof(struct head_field));
    struct head_field *field = head_at(head, handle);
    *field = (struct head_field){name, tenant, head_tenant(head, tenant)->first_field, 0, {0}};
    head_tenant(head, tenant)->first_field = handle;
    head_table_add(&head->fields, key_hash(tenant, name), handle);
    return handle;
}

static mrd_pool_handle value_acquire(struct mrd_head *head, uint32_t tenant, mrd_pool_handle pair)
{
    mrd_pool_handle handle = head_value_find(head, tenant, pair);
    if (handle != 0) {
        return handle;
    }
    handle = head_alloc(head, MRD_HEAD_MEMORY_INDEX, sizeof(struct head_value));
    struct head_value *value = head_at(head, handle);
    *value = (struct head_value){.pair = pair, .tenant = tenant};
    head_table_add(&head->values, key_hash(tenant, pair), handle);
    const struct head_pair *record = head_at(head, pair);
    struct head_field *field = head_at(head, field_acquire(head, tenant, record->name));
    head_list_add(head, &field->values, handle);
    return handle;
}

static void index_series(struct mrd_head *head, uint32_t ordinal)
{
    const struct head_series *series = head_series(head, ordinal);
    const uint32_t *labels = head_labels(head, series);
    for (size_t i = 0; i < series->label_count; i++) {
        struct head_value *value = head_at(head, value_acquire(head, series->tenant, labels[i]));
        head_list_add(head, &value->series, ordinal);
    }
}

void head_index_build(struct mrd_head *head, uint32_t number)
{
    struct head_tenant *tenant = head_tenant(head, number);
    const uint32_t *ordinals = head_list_sorted(head, &tenant->series);
    for (uint32_t i = 0; i < tenant->series.count; i++) {
        if (head_series(head, ordinals[i])->state == SERIES_LIVE) {
            index_series(head, ordinals[i]);
        }
    }
    tenant->indexed = 1;
}

void head_index_add(struct mrd_head *head, uint32_t ordinal)
{
    const uint32_t number = head_series(head, ordinal)->tenant;
    struct head_tenant *tenant = head_tenant(head, number);
    head_list_add(head, &tenant->series, ordinal);
    if (tenant->indexed) {
        index_series(head, ordinal);
    } else if (tenant->series.count > HEAD_TENANT_SCAN_MAX) {
        head_index_build(head, number);
    }
}

/* ---- removal ---- */

/* What a purge has to visit, each once. */
struct purge {
    uint64_t *dead; /* bit per ordinal */
    struct head_numbers values;
    struct head_numbers fields;
    struct head_numbers tenants;
};

static void purge_mark(struct mrd_head *head, struct purge *purge, uint32_t ordinal)
{
    const struct head_series *series = head_series(head, ordinal);
    struct head_tenant *tenant = head_tenant(head, series->tenant);
    purge->dead[ordinal / 64] |= (uint64_t)1 << (ordinal % 64);
    if (!tenant->dirty) {
        tenant->dirty = 1;
        head_numbers_add(&purge->tenants, series->tenant);
    }
    const uint32_t *labels = head_labels(head, series);
    for (size_t i = 0; tenant->indexed && i < series->label_count; i++) {
        const mrd_pool_handle handle = head_value_find(head, series->tenant, labels[i]);
        if (handle == 0) {
            continue; /* died before its tenant got an index */
        }
        struct head_value *value = head_at(head, handle);
        if (!value->dirty) {
            value->dirty = 1;
            head_numbers_add(&purge->values, handle);
        }
    }
}

/* Drops the dead from a list of ordinals. */
static void purge_ordinals(struct mrd_head *head, const struct purge *purge, struct head_list *list)
{
    uint32_t *items = head_list_items(head, list);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        items[kept] = items[i];
        kept += (purge->dead[items[i] / 64] >> (items[i] % 64) & 1) == 0;
    }
    head_list_cut(head, list, kept);
}

static void purge_values(struct mrd_head *head, struct purge *purge)
{
    for (size_t i = 0; i < purge->values.count; i++) {
        struct head_value *value = head_at(head, purge->values.items[i]);
        purge_ordinals(head, purge, &value->series);
        value->dirty = 0;
        if (value->series.count > 0) {
            continue;
        }
        const struct head_pair *pair = head_at(head, value->pair);
        const mrd_pool_handle handle = head_field_find(head, value->tenant, pair->name);
        struct head_field *field = head_at(head, handle);
        if (!field->dirty) {
            field->dirty = 1;
            head_numbers_add(&purge->fields, handle);
        }
    }
}

static void value_remove(struct mrd_head *head, mrd_pool_handle handle)
{
    const struct head_value *value = head_at(head, handle);
    head_table_remove(&head->values, key_hash(value->tenant, value->pair), handle);
    head_free(head, MRD_HEAD_MEMORY_INDEX, handle, sizeof(*value));
}

static void field_remove(struct mrd_head *head, mrd_pool_handle handle)
{
    const struct head_field *field = head_at(head, handle);
    mrd_pool_handle *link = &head_tenant(head, field->tenant)->first_field;
    while (*link != handle) {
        struct head_field *other = head_at(head, *link);
        link = &other->next;
    }
    *link = field->next;
    head_table_remove(&head->fields, key_hash(field->tenant, field->name), handle);
    head_free(head, MRD_HEAD_MEMORY_INDEX, handle, sizeof(*field));
}

static void purge_fields(struct mrd_head *head, struct purge *purge)
{
    for (size_t i = 0; i < purge->fields.count; i++) {
        struct head_field *field = head_at(head, purge->fields.items[i]);
        uint32_t *items = head_list_items(head, &field->values);
        uint32_t kept = 0;
        for (uint32_t k = 0; k < field->values.count; k++) {
            const struct head_value *value = head_at(head, items[k]);
            if (value->series.count > 0) {
                items[kept++] = items[k];
            } else {
                value_remove(head, items[k]);
            }
        }
        head_list_cut(head, &field->values, kept);
        field->dirty = 0;
        if (kept == 0) {
            field_remove(head, purge->fields.items[i]);
        }
    }
}

static void purge_tenants(struct mrd_head *head, struct purge *purge)
{
    for (size_t i = 0; i < purge->tenants.count; i++) {
        struct head_tenant *tenant = head_tenant(head, purge->tenants.items[i]);
        tenant->dirty = 0;
        purge_ordinals(head, purge, &tenant->series);
        if (tenant->series.count == 0) {
            tenant_remove(head, purge->tenants.items[i]);
        }
    }
}

static void release_labels(struct mrd_head *head, struct head_series *series)
{
    const uint32_t *labels = head_labels(head, series);
    for (size_t i = 0; i < series->label_count; i++) {
        head_pair_release(head, labels[i]);
    }
    if (series->label_count > 0) {
        head_free(head, MRD_HEAD_MEMORY_LABELS, series->labels, (size_t)series->label_count * 4);
    }
    series->labels = 0;
    series->label_count = 0;
}

void head_index_purge(struct mrd_head *head)
{
    struct purge purge = {.dead = calloc((size_t)head->series_end / 64 + 1, sizeof(uint64_t))};
    mrd_assert(purge.dead != NULL);
    for (size_t i = 0; i < head->dead.count; i++) {
        purge_mark(head, &purge, head->dead.items[i]);
    }
    purge_values(head, &purge);
    purge_fields(head, &purge);
    purge_tenants(head, &purge);
    for (size_t i = 0; i < head->dead.count; i++) {
        struct head_series *series = head_series(head, head->dead.items[i]);
        release_labels(head, series);
        series->state = SERIES_PURGED;
        if (i < head->dead_forgotten) {
            head_recycle_ordinal(head, head->dead.items[i]);
        } else {
            head_numbers_add(&head->purged, head->dead.items[i]);
        }
    }
    head->dead.count = 0;
    head->dead_forgotten = 0;
    head->passes_unpurged = 0;
    head_recycle_waiting(head);
    free(purge.dead);
    head_numbers_fini(&purge.values);
    head_numbers_fini(&purge.fields);
    head_numbers_fini(&purge.tenants);
}
