/* tables.h: the Iceberg tables of a region's tenants, kept in step with its blocks.
 *
 * Which files a table is to have follows from the catalog alone: the tenant's blocks of level 1 and above, but for files of days in a
 * month that has files of its own already (late samples; they might be in both, and engines would count them twice: they come
 * into the table when they are merged into the month). A rollup is in its table if what it stands for is in that of samples, a file of series if
 * its block is. So nobody needs to remember what a table lacks: whoever changes
 * blocks makes the version that fits the blocks after the change, names it in the same commit, and what was left behind by
 * anyone is put right.
 *
 * Owner:   plain values; what is made lies in the arena.
 * Threads: pure functions but for the store; mrd_upkeep_tables_change has `workers` - 1 more for as long as it takes.
 * Memory:  MRD_UPKEEP_TABLE_BYTES_MAX for the tables at hand, MRD_UPKEEP_TEXT_BYTES_MAX for texts of a change, and what objstore/batch_store.h keeps back: the objects of
 *          a change are stored together. Where the share of one of several workers is too little, one
 *          makes the change anew with all of it.
 * Errors:  those of iceberg/commit.h.
 */
#ifndef MRD_UPKEEP_TABLES_H
#define MRD_UPKEEP_TABLES_H

#include "catalog/catalog.h"
#include "iceberg/commit.h"
#include "upkeep/index.h"

#define MRD_UPKEEP_TABLE_BYTES_MAX ((size_t)256 << 20)
#define MRD_UPKEEP_TEXT_BYTES_MAX ((size_t)32 << 20)
#define MRD_UPKEEP_SAMPLES "samples"
#define MRD_UPKEEP_SERIES "series"

/* In place of a resolution: of the table of series, whose files blocks of samples have beside their own. */
#define MRD_UPKEEP_OF_SERIES ((mrd_time_ms)-1)

/* "samples" (0), "samples_5m", "samples_1h", "samples_6h", "samples_1d", "series"; NULL for resolutions that have no table. */
const char *mrd_upkeep_table_name(mrd_time_ms resolution_ms);

struct mrd_upkeep_tables {
    struct mrd_objstore *store;
    const struct mrd_objstore_control *control; /* may be NULL */
    const struct mrd_clock *clock;
    const char *root;    /* URI of the store's root (iceberg/place.h) */
    const char *region;  /* tables lie at <region>/<tenant>/<table> */
    mrd_time_ms keep_ms; /* snapshots stay readable for so long after they were succeeded */
    size_t workers;      /* threads that make the tables of a change; 0 is 1 */
};

/* Appends "<region>/<tenant>/<table>". Tenants whose names are no segments of keys come under others (docs/formats/iceberg.md). */
void mrd_upkeep_table_path(const char *region, struct mrd_bytes tenant, const char *table,
                           struct mrd_buf *out);

/* Labels that have columns of their own in all files of level 1 and above. */
extern const struct mrd_block_promoted mrd_upkeep_promoted[];
extern const size_t mrd_upkeep_promoted_count;

/* Makes the version of a table without old snapshots. *out_key is where it lies, in the arena; NULL: there are none. */
MRD_MUST_CHECK enum mrd_status mrd_upkeep_table_expire(const struct mrd_upkeep_tables *tables,
                                                       const struct mrd_catalog_table *table,
                                                       struct mrd_arena *arena,
                                                       const char **out_key, struct mrd_error *err);

struct mrd_upkeep_blocks_change {
    const struct mrd_block_entry *add;
    size_t add_count;
    const struct mrd_bytes *remove;
    size_t remove_count;
};

/* New versions, for the catalog to name. */
struct mrd_upkeep_tables_changed {
    const struct mrd_catalog_table_change *tables;
    const struct mrd_bytes *texts; /* of each, its metadata file if it is small: for publishing */
    size_t count;
};

/* The tables that fit the state with blocks added and removed: of each tenant that one of these is of. *out lies in the arena. */
MRD_MUST_CHECK enum mrd_status
mrd_upkeep_tables_change(const struct mrd_upkeep_tables *tables, struct mrd_catalog_state *state,
                         const struct mrd_upkeep_index *index,
                         const struct mrd_upkeep_blocks_change *change, struct mrd_arena *arena,
                         struct mrd_upkeep_tables_changed *out, struct mrd_error *err);

/* Copies for readers without a catalog, once the catalog names the versions. */
MRD_MUST_CHECK enum mrd_status
mrd_upkeep_tables_publish(const struct mrd_upkeep_tables *tables,
                          const struct mrd_upkeep_tables_changed *changed, struct mrd_error *err);

#endif
