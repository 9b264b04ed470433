/* families.h: what is known of each tenant's metric families in one partition: type, help, unit.
 *
 * A register per (tenant, family): the greatest (hlc, origin, type, help, unit) stays, whatever the order of writes.
 *
 * Owner:   the store. Threads: the partition's shard.
 * Limits:  families_max of the tenant, which may change (what is there stays), and 1 KiB for each of them on average; beyond that new families are refused, and what
 *          would make a known one larger.
 */
#ifndef ING_FAMILIES_H
#define ING_FAMILIES_H

#include "base/clock.h"
#include "base/look.h"
#include "model/metadata.h"

struct ing_families;

struct ing_families *ing_families_create(void);
void ing_families_destroy(struct ing_families **families);

size_t ing_families_memory(const struct ing_families *families);
size_t ing_families_count(const struct ing_families *families);

struct ing_family {
    struct mrd_metadata metadata;
    mrd_hlc hlc;
    uint32_t origin;
};

/* families_max: the tenant's bound now; 0: no new ones are kept. False if it was refused for the limits. All is copied. */
bool ing_families_put(struct ing_families *families, struct mrd_bytes tenant, size_t families_max,
                      const struct ing_family *family);

/* Takes away what was said of the tenant before that stamp. */
void ing_families_drop(struct ing_families *families, struct mrd_bytes tenant, mrd_hlc before);

/* Calls emit for each family of the tenant, by name; with a `name` that is not empty for that one only. The look (NULL: none) is
 * asked every few families, whether to go on. */
MRD_MUST_CHECK enum mrd_status
ing_families_each(const struct ing_families *families, struct mrd_bytes tenant,
                  struct mrd_bytes name, const struct mrd_look *look,
                  void (*emit)(void *context, const struct ing_family *family), void *context,
                  struct mrd_error *err);

#endif
