#include "ingester/families.h"

#include <stdlib.h>

enum { BYTES_PER_FAMILY = 1024 };

/* Texts stand behind the struct. */
struct item {
    struct ing_family family;
};

struct tenant {
    struct mrd_bytes name; /* behind the struct */
    struct item **items;   /* sorted by the family's name */
    size_t count;
    size_t capacity;
    size_t bytes;
};

struct ing_families {
    size_t families_max;
    struct tenant **tenants; /* sorted by name */
    size_t tenant_count;
    size_t tenant_capacity;
    size_t memory;
    size_t count;
};

struct ing_families *ing_families_create(size_t families_max)
{
    struct ing_families *families = calloc(1, sizeof(*families));
    mrd_assert(families != NULL);
    families->families_max = families_max;
    return families;
}

void ing_families_destroy(struct ing_families **families)
{
    if (*families == NULL) {
        return;
    }
    struct ing_families *self = MRD_MOVE(*families);
    for (size_t t = 0; t < self->tenant_count; t++) {
        for (size_t i = 0; i < self->tenants[t]->count; i++) {
            free(self->tenants[t]->items[i]);
        }
        free(self->tenants[t]->items);
        free(self->tenants[t]);
    }
    free(self->tenants);
    free(self);
}

size_t ing_families_memory(const struct ing_families *families) { return families->memory; }
size_t ing_families_count(const struct ing_families *families) { return families->count; }

/* ---- places ---- */

static size_t tenant_place(const struct ing_families *families, struct mrd_bytes name)
{
    size_t from = 0;
    size_t to = families->tenant_count;
    while (from < to) {
        const size_t middle = (from + to) / 2;
        if (mrd_bytes_compare(families->tenants[middle]->name, name) < 0) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return from;
}

static size_t item_place(const struct tenant *tenant, struct mrd_bytes name)
{
    size_t from = 0;
    size_t to = tenant->count;
    while (from < to) {
        const size_t middle = (from + to) / 2;
        if (mrd_bytes_compare(tenant->items[middle]->family.metadata.family, name) < 0) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return from;
}

static struct tenant *tenant_find(const struct ing_families *families, struct mrd_bytes name)
{
    const size_t at = tenant_place(families, name);
    return at < families->tenant_count && mrd_bytes_equal(families->tenants[at]->name, name)
               ? families->tenants[at]
               : NULL;
}

static struct tenant *tenant_acquire(struct ing_families *families, struct mrd_bytes name)
{
    struct tenant *tenant = tenant_find(families, name);
    if (tenant != NULL) {
        return tenant;
    }
    if (families->tenant_count == families->tenant_capacity) {
        families->tenant_capacity = MRD_MAX(families->tenant_capacity * 2, (size_t)8);
        families->tenants =
            reallocarray(families->tenants, families->tenant_capacity, sizeof(struct tenant *));
        mrd_assert(families->tenants != NULL);
    }
    tenant = calloc(1, sizeof(*tenant) + name.size);
    mrd_assert(tenant != NULL);
    memcpy(tenant + 1, name.data, name.size);
    tenant->name = (struct mrd_bytes){(const uint8_t *)(tenant + 1), name.size};
    const size_t at = tenant_place(families, name);
    memmove(&families->tenants[at + 1], &families->tenants[at],
            (families->tenant_count++ - at) * sizeof(struct tenant *));
    families->tenants[at] = tenant;
    families->memory += sizeof(*tenant) + name.size;
    return tenant;
}

/* ---- items ---- */

static size_t item_size(const struct ing_family *family)
{
    const struct mrd_metadata *metadata = &family->metadata;
    return sizeof(struct item) + metadata->family.size + metadata->help.size + metadata->unit.size;
}

static struct mrd_bytes put_text(uint8_t **at, struct mrd_bytes text)
{
    const struct mrd_bytes copy = {*at, text.size};
    if (text.size > 0) {
        memcpy(*at, text.data, text.size);
    }
    *at += text.size;
    return copy;
}

static struct item *item_create(const struct ing_family *family)
{
    struct item *item = malloc(item_size(family));
    mrd_assert(item != NULL);
    uint8_t *at = (uint8_t *)(item + 1);
    item->family = *family;
    item->family.metadata.family = put_text(&at, family->metadata.family);
    item->family.metadata.help = put_text(&at, family->metadata.help);
    item->family.metadata.unit = put_text(&at, family->metadata.unit);
    return item;
}

static bool is_later(const struct ing_family *a, const struct ing_family *b)
{
    if (a->hlc != b->hlc || a->origin != b->origin) {
        return a->hlc != b->hlc ? a->hlc > b->hlc : a->origin > b->origin;
    }
    if (a->metadata.type != b->metadata.type) {
        return a->metadata.type > b->metadata.type;
    }
    const int helps = mrd_bytes_compare(a->metadata.help, b->metadata.help);
    return helps != 0 ? helps > 0 : mrd_bytes_compare(a->metadata.unit, b->metadata.unit) > 0;
}

static bool says_the_same(const struct mrd_metadata *a, const struct mrd_metadata *b)
{
    return a->type == b->type && mrd_bytes_equal(a->help, b->help) &&
           mrd_bytes_equal(a->unit, b->unit);
}

static bool fits(const struct ing_families *families, const struct tenant *tenant, size_t more,
                 size_t less)
{
    return tenant->bytes - less + more <= families->families_max * BYTES_PER_FAMILY;
}

static bool replace(struct ing_families *families, struct tenant *tenant, struct item **item,
                    const struct ing_family *family)
{
    if (!is_later(family, &(*item)->family)) {
        return true;
    }
    if (says_the_same(&family->metadata, &(*item)->family.metadata)) {
        (*item)->family.hlc = family->hlc;
        (*item)->family.origin = family->origin;
        return true;
    }
    const size_t old_size = item_size(&(*item)->family);
    const size_t new_size = item_size(family);
    if (new_size > old_size && !fits(families, tenant, new_size, old_size)) {
        return false;
    }
    struct item *newer = item_create(family);
    free(*item);
    *item = newer;
    tenant->bytes += new_size - old_size;
    families->memory += new_size - old_size;
    return true;
}

static bool insert(struct ing_families *families, struct tenant *tenant, size_t at,
                   const struct ing_family *family)
{
    const size_t size = item_size(family);
    if (tenant->count >= families->families_max || !fits(families, tenant, size, 0)) {
        return false;
    }
    if (tenant->count == tenant->capacity) {
        const size_t capacity = MRD_MAX(tenant->capacity * 2, (size_t)8);
        tenant->items = reallocarray(tenant->items, capacity, sizeof(struct item *));
        mrd_assert(tenant->items != NULL);
        families->memory += (capacity - tenant->capacity) * sizeof(struct item *);
        tenant->capacity = capacity;
    }
    memmove(&tenant->items[at + 1], &tenant->items[at],
            (tenant->count++ - at) * sizeof(struct item *));
    tenant->items[at] = item_create(family);
    tenant->bytes += size;
    families->memory += size;
    families->count++;
    return true;
}

bool ing_families_put(struct ing_families *families, struct mrd_bytes tenant,
                      const struct ing_family *family)
{
    if (families->families_max == 0) {
        return false;
    }
    struct tenant *own = tenant_acquire(families, tenant);
    const size_t at = item_place(own, family->metadata.family);
    const bool known = at < own->count && mrd_bytes_equal(own->items[at]->family.metadata.family,
                                                          family->metadata.family);
    return known ? replace(families, own, &own->items[at], family)
                 : insert(families, own, at, family);
}

void ing_families_each(const struct ing_families *families, struct mrd_bytes tenant,
                       struct mrd_bytes name,
                       void (*emit)(void *context, const struct ing_family *family), void *context)
{
    const struct tenant *own = tenant_find(families, tenant);
    for (size_t i = own == NULL || name.size == 0 ? 0 : item_place(own, name);
         own != NULL && i < own->count; i++) {
        const struct ing_family *family = &own->items[i]->family;
        if (name.size > 0 && !mrd_bytes_equal(family->metadata.family, name)) {
            return;
        }
        emit(context, family);
    }
}
