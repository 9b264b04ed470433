/* keys.h: the settings that may differ from tenant to tenant, of all services.
 *
 * They stand here together because services share the file with overrides: each reads its own keys and
 * checks those of the others (base/config.h).
 */
#ifndef MRD_TENANCY_KEYS_H
#define MRD_TENANCY_KEYS_H

#include "base/config.h"

/* limits.*: what a distributor takes of a tenant. */
extern const struct mrd_config_table mrd_tenancy_write_keys;

/* Those of querier.* that limit or change a tenant's queries. */
extern const struct mrd_config_table mrd_tenancy_query_keys;

/* blocks.*: how a tenant's samples are stored for long. */
extern const struct mrd_config_table mrd_tenancy_block_keys;

/* Those of ingester.* that bound what is kept of a tenant beside its samples, and what its questions may have. */
extern const struct mrd_config_table mrd_tenancy_keep_keys;

/* retention.*: how long what a tenant has is kept. */
extern const struct mrd_config_table mrd_tenancy_retention_keys;

/* For the schemas of all services: these keys, and the rules of tenants' names. */
extern const struct mrd_config_overrides mrd_tenancy_overrides;

#endif
