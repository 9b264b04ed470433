/* tenant_end.h: what is left of a tenant that is deleted, once no block has anything of it: its tables, and the files that were theirs.
 *
 * A tenant that writes again has a new life, which its tables are part of: nothing is done to them then, their old versions go as all do.
 *
 * Threads: plain functions but for the store.
 */
#ifndef CMP_TENANT_END_H
#define CMP_TENANT_END_H

#include "compactor/jobs.h"

/* Whether the state has a block of the tenant above level 0: of what was written after its deletion, if none is owed. */
bool cmp_tenant_lives(const struct mrd_catalog_state *state, struct mrd_bytes tenant);

bool cmp_tenant_has_tables(const struct mrd_catalog_state *state, struct mrd_bytes tenant);

/* Takes the tables out of the catalog; their files are swept like all that nobody names. If others change them meanwhile, the next round looks again. */
MRD_MUST_CHECK enum mrd_status cmp_tenant_drop_tables(const struct cmp_environment *environment,
                                                      const struct mrd_catalog_state *state,
                                                      struct mrd_bytes tenant,
                                                      struct mrd_error *err);

/* Whether there is any object in the tenant's folder of the region's tables. Cost: a listing that ends with the first. */
MRD_MUST_CHECK enum mrd_status cmp_tenant_has_files(const struct cmp_environment *environment,
                                                    const char *region, struct mrd_bytes tenant,
                                                    bool *out, struct mrd_error *err);

#endif
