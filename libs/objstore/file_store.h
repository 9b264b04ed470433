/* file_store.h: object storage in a folder: the embedded default. A key is a path below it, so other
 * programs can read what is published there.
 *
 * An object is written to "<folder>/.mrd-tmp/", fsynced, given its name by rename(2), or link(2) for
 * put_if_absent, and the folders it lies in are fsynced. All of it must be one file system with hard
 * links (mrd_objstore_probe finds out). Folders, once made, stay. Several processes may share it.
 *
 * Limits:  a listing holds the names of one folder per level in memory, 256 MiB of them at most.
 * Errors:  as store.h says; a full disk is MRD_E_UNAVAILABLE, a failed fsync MRD_E_FATAL for good.
 */
#ifndef MRD_OBJSTORE_FILE_STORE_H
#define MRD_OBJSTORE_FILE_STORE_H

#include "objstore/store.h"

/* Opens the folder, and makes it if its parent is there. `metrics` may be NULL; else it outlives the
 * store. The caller owns the store (mrd_objstore_close). */
MRD_MUST_CHECK enum mrd_status mrd_file_store_open(const char *folder, struct mrd_metrics *metrics,
                                                   struct mrd_objstore **out_store,
                                                   struct mrd_error *err);

#endif
