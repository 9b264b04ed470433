/* place.h: the store of objstore.* as readers of tables see it: the URI of its root, and what they need to know to read
 * files there. Credentials are not among it: readers bring their own.
 *
 *   objstore.kind  root                       configuration (pyiceberg's and Java's names)
 *   file           file:///absolute/folder    none
 *   s3             s3://bucket[/prefix]       s3.endpoint, s3.region, client.region, s3.path-style-access,
 *                                             s3.force-virtual-addressing
 *
 * All paths in a table begin with the root, so a store that moves needs its tables made anew.
 *
 * Threads: pure functions.
 */
#ifndef MRD_ICEBERG_PLACE_H
#define MRD_ICEBERG_PLACE_H

#include "base/arena.h"
#include "base/config.h"
#include "iceberg/definition.h"

struct mrd_iceberg_store {
    const char *root; /* without a '/' at its end */
    const struct mrd_iceberg_property *config;
    size_t config_count;
};

/* Texts lie in the arena. MRD_E_INVALID names the setting that readers could not use: a folder that is not absolute, or has
 * characters that a URI would have to escape. */
MRD_MUST_CHECK enum mrd_status mrd_iceberg_store_of(const struct mrd_config *config,
                                                    struct mrd_arena *arena,
                                                    struct mrd_iceberg_store *out,
                                                    struct mrd_error *err);

#endif
