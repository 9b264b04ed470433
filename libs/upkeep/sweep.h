/* sweep.h: removes what nobody needs any more: snapshots of tables, and the files that only they had; files of blocks that
 * have been merged; files and metadata that were written and never committed; uploads that were broken off; records of
 * quarantine about blocks that are gone; requests to erase that are done, or that the catalog never took.
 *
 * Nothing goes that the catalog names, that a snapshot which a table still has names, or that is younger than the grace. So a table's
 * file stays until the table has forgotten every snapshot with it (tables.h, keep_ms), and a reader's as long as the grace.
 * What is found under a region's or the blocks' prefix and is none of this is garbage, whoever left it there; nothing else must be kept there.
 *
 * A table that cannot be read is told, and loses nothing; the others are swept.
 *
 * Owner:   plain values.
 * Threads: on the calling thread; sweeps at once do no harm. Has a catalog of its own, so that others need not wait for it.
 * Memory:  a state of the catalog, and MRD_UPKEEP_TABLE_BYTES_MAX for the table at hand.
 */
#ifndef MRD_UPKEEP_SWEEP_H
#define MRD_UPKEEP_SWEEP_H

#include "upkeep/quarantine.h"
#include "upkeep/tables.h"

/* Takes what is left that neither the catalog nor a snapshot names: files that are younger than the grace, of a merge that runs, or has ended
 * without a commit. Of a table that cannot be read, data files of any age. */
struct mrd_upkeep_unnamed {
    void (*take)(void *context, const char *key, mrd_time_ms modified_ms);
    void *context;
};

struct mrd_upkeep_sweep_options {
    struct mrd_catalog_options catalog; /* store, clock, writer and grace as everywhere */
    const struct mrd_objstore_control *control;
    const char *blocks_prefix; /* of blocks of level 0: "blocks/" */
    const char *region;        /* everything under "<region>/" is tables and their files */
    const struct mrd_upkeep_tables
        *tables; /* NULL: no tables are kept; those there are stay as they are */
    const struct mrd_upkeep_unnamed *unnamed; /* may be NULL */
};

struct mrd_upkeep_swept {
    struct mrd_catalog_swept catalog;
    uint64_t table_files; /* objects under the region's prefix */
    uint64_t snapshots;   /* versions of tables that have forgotten some */
    uint64_t records;     /* of quarantine */
    uint64_t requests;    /* to erase */
    uint64_t tables_failed;
    struct mrd_error table_error; /* of the last of these */
};

/* Fails with what the store fails with; what was removed until then stands in *out, and the next sweep goes on. */
MRD_MUST_CHECK enum mrd_status mrd_upkeep_sweep(const struct mrd_upkeep_sweep_options *options,
                                                struct mrd_upkeep_swept *out,
                                                struct mrd_error *err);

#endif
