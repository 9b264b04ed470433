#include "ingester/families.h"

#include <stdlib.h>

#include "ingester/sorted.h"

enum { BYTES_PER_FAMILY = 1024, FAMILIES_PER_LOOK = 256 };

struct tenant {
    struct mrd_bytes name;      /* behind the struct */
    struct ing_sorted families; /* struct ing_family, its texts behind it; by name */
    size_t bytes;
};

struct ing_families {
    struct ing_sorted tenants; /* by name */
    size_t memory;
    size_t count;
};

static struct mrd_bytes tenant_name(const void *tenant)
{
    return ((const struct tenant *)tenant)->name;
}

static struct mrd_bytes family_name(const void *family)
{
    return ((const struct ing_family *)family)->metadata.family;
}

struct ing_families *ing_families_create(void)
{
    struct ing_families *families = calloc(1, sizeof(*families));
    mrd_assert(families != NULL);
    families->tenants.key = tenant_name;
    return families;
}

void ing_families_destroy(struct ing_families **families)
{
    if (*families == NULL) {
        return;
    }
    struct ing_families *self = MRD_MOVE(*families);
    for (size_t t = 0; t < self->tenants.count; t++) {
        struct tenant *tenant = self->tenants.items[t];
        ing_sorted_fini(&tenant->families);
    }
    ing_sorted_fini(&self->tenants);
    free(self);
}

size_t ing_families_memory(const struct ing_families *families) { return families->memory; }
size_t ing_families_count(const struct ing_families *families) { return families->count; }

static struct tenant *tenant_acquire(struct ing_families *families, struct mrd_bytes name)
{
    bool found;
    const size_t place = ing_sorted_place(&families->tenants, name, &found);
    if (found) {
        return families->tenants.items[place];
    }
    struct tenant *tenant = calloc(1, sizeof(*tenant) + name.size);
    mrd_assert(tenant != NULL);
    memcpy(tenant + 1, name.data, name.size);
    tenant->name = (struct mrd_bytes){(const uint8_t *)(tenant + 1), name.size};
    tenant->families.key = family_name;
    families->memory += sizeof(*tenant) + name.size;
    families->memory += ing_sorted_insert(&families->tenants, place, tenant);
    return tenant;
}

/* ---- families ---- */

static size_t family_size(const struct ing_family *family)
{
    const struct mrd_metadata *metadata = &family->metadata;
    return sizeof(*family) + metadata->family.size + metadata->help.size + metadata->unit.size;
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

static struct ing_family *family_copy(const struct ing_family *family)
{
    struct ing_family *copy = malloc(family_size(family));
    mrd_assert(copy != NULL);
    uint8_t *at = (uint8_t *)(copy + 1);
    *copy = *family;
    copy->metadata.family = put_text(&at, family->metadata.family);
    copy->metadata.help = put_text(&at, family->metadata.help);
    copy->metadata.unit = put_text(&at, family->metadata.unit);
    return copy;
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

static bool fits(const struct tenant *tenant, size_t families_max, size_t more, size_t less)
{
    return tenant->bytes - less + more <= families_max * BYTES_PER_FAMILY;
}

static bool replace(struct ing_families *families, struct tenant *tenant, size_t families_max,
                    size_t place, const struct ing_family *family)
{
    struct ing_family *known = tenant->families.items[place];
    if (!is_later(family, known)) {
        return true;
    }
    if (says_the_same(&family->metadata, &known->metadata)) {
        known->hlc = family->hlc;
        known->origin = family->origin;
        return true;
    }
    const size_t old_size = family_size(known);
    const size_t new_size = family_size(family);
    if (new_size > old_size && !fits(tenant, families_max, new_size, old_size)) {
        return false;
    }
    tenant->families.items[place] = family_copy(family);
    free(known);
    tenant->bytes += new_size - old_size;
    families->memory += new_size - old_size;
    return true;
}

static bool insert(struct ing_families *families, struct tenant *tenant, size_t families_max,
                   size_t place, const struct ing_family *family)
{
    const size_t size = family_size(family);
    if (tenant->families.count >= families_max || !fits(tenant, families_max, size, 0)) {
        return false;
    }
    families->memory += size + ing_sorted_insert(&tenant->families, place, family_copy(family));
    tenant->bytes += size;
    families->count++;
    return true;
}

bool ing_families_put(struct ing_families *families, struct mrd_bytes tenant, size_t families_max,
                      const struct ing_family *family)
{
    if (families_max == 0) {
        return false;
    }
    struct tenant *own = tenant_acquire(families, tenant);
    bool known;
    const size_t place = ing_sorted_place(&own->families, family->metadata.family, &known);
    return known ? replace(families, own, families_max, place, family)
                 : insert(families, own, families_max, place, family);
}

void ing_families_drop(struct ing_families *families, struct mrd_bytes tenant, mrd_hlc before)
{
    struct tenant *own = ing_sorted_find(&families->tenants, tenant);
    for (size_t i = own == NULL ? 0 : own->families.count; i-- > 0;) {
        struct ing_family *family = own->families.items[i];
        if (family->hlc < before) {
            (void)ing_sorted_remove(&own->families, i);
            own->bytes -= family_size(family);
            families->memory -= family_size(family);
            families->count--;
            free(family);
        }
    }
}

enum mrd_status ing_families_each(const struct ing_families *families, struct mrd_bytes tenant,
                                  struct mrd_bytes name, const struct mrd_look *look,
                                  void (*emit)(void *context, const struct ing_family *family),
                                  void *context, struct mrd_error *err)
{
    const struct tenant *own = ing_sorted_find(&families->tenants, tenant);
    if (own == NULL) {
        return MRD_OK;
    }
    if (name.size > 0) {
        const struct ing_family *family = ing_sorted_find(&own->families, name);
        if (family != NULL) {
            emit(context, family);
        }
        return MRD_OK;
    }
    for (size_t i = 0; i < own->families.count; i++) {
        emit(context, own->families.items[i]);
        if ((i + 1) % FAMILIES_PER_LOOK == 0) {
            MRD_TRY(mrd_look(look, err));
        }
    }
    return MRD_OK;
}
