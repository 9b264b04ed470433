/* cool.h: the files of old blocks into a cheaper storage class: data files of blocks whose day or month ended long ago. Sidecars stay where they are: they
 * are small, and every query of that time reads them. What is in the class already is seen in the store's listing, so nothing is remembered.
 *
 * A class is changed by a copy of the file onto itself, which would bring back one that is deleted while it runs. So no copy is begun by a state of the catalog that
 * is an eighth of the grace old, and none is waited for longer than a quarter: it has ended long before a block's file is deleted, which is a grace after
 * the block has left. Where a process stood still all the same, it looks at the catalog again after the copy, and deletes a file that nobody names any
 * more; one of a block that has left and is not swept yet is the sweep's, which deletes its files once more when it has purged it (catalog/sweep.c).
 *
 * The class must be one that is read at once (on AWS STANDARD_IA or GLACIER_IR): queries, merges and scrubs go on reading.
 *
 * Owner:   plain values.
 * Threads: on the calling thread; at once with others, they do some work twice.
 * Memory:  a pointer a block.
 */
#ifndef MRD_UPKEEP_COOL_H
#define MRD_UPKEEP_COOL_H

#include "catalog/catalog.h"

struct mrd_upkeep_cool_options {
    struct mrd_objstore *store;
    struct mrd_catalog *catalog;
    const struct mrd_objstore_control *control; /* may be NULL */
    const struct mrd_clock *clock;              /* NULL: the system's */
    const char *region;                         /* data files lie under "<region>/" */
    const char *storage_class;
    mrd_time_ms ended_before_ms; /* the day or month of the block */
};

struct mrd_upkeep_cooled {
    uint64_t files;
    uint64_t bytes;
};

/* Moves what is to be moved. *out is written on failure, too: what was moved until then. */
MRD_MUST_CHECK enum mrd_status mrd_upkeep_cool(const struct mrd_upkeep_cool_options *options,
                                               struct mrd_upkeep_cooled *out,
                                               struct mrd_error *err);

#endif
