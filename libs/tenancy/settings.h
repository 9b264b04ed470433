/* settings.h: a service's settings as each tenant has them, ready to use and exchanged at a reload.
 *
 * One value (a struct of the service's) for all tenants, and one for each tenant that has overrides, made
 * from the configuration once. A look-up finds the tenant by hash and copies the value.
 *
 * Owner:   the service.
 * Threads: get from any; set from one at a time. One lock, held for a look-up or for the exchange.
 * Memory:  a value and a name for each tenant with overrides (base/config.h bounds their number), twice
 *          while they are exchanged.
 */
#ifndef MRD_TENANCY_SETTINGS_H
#define MRD_TENANCY_SETTINGS_H

#include "base/config.h"

struct mrd_tenancy_settings;

/* Fills a zeroed value from the configuration, which is the tenant's own. Cannot fail: what a value may be
 * was checked when the configuration was read. The value must not point into it. */
typedef void mrd_tenancy_read_fn(const struct mrd_config *config, void *out_value);

struct mrd_tenancy_settings *mrd_tenancy_settings_create(size_t value_size,
                                                         mrd_tenancy_read_fn *read,
                                                         const struct mrd_config *config);
void mrd_tenancy_settings_destroy(struct mrd_tenancy_settings **settings);

/* From now on those of this snapshot. */
void mrd_tenancy_settings_set(struct mrd_tenancy_settings *settings,
                              const struct mrd_config *config);

/* Copies the tenant's value. Cost: a hash and a comparison, whatever the number of tenants. */
void mrd_tenancy_settings_get(struct mrd_tenancy_settings *settings, struct mrd_bytes tenant,
                              void *out_value);

#endif
