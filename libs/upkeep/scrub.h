/* scrub.h: reading blocks to the last byte: one that is suspected, or all that the catalog has, slowly, so that bits that have rotted are
 * found before somebody needs them. What is bad goes into quarantine (quarantine.h).
 *
 * Threads: on the calling thread.
 * Memory:  MRD_UPKEEP_VERIFY_BYTES_MAX for the block at hand.
 */
#ifndef MRD_UPKEEP_SCRUB_H
#define MRD_UPKEEP_SCRUB_H

#include "catalog/catalog.h"
#include "upkeep/quarantine.h"

#define MRD_UPKEEP_VERIFY_BYTES_MAX ((size_t)512 << 20)
enum { MRD_UPKEEP_SCRUB_STEP = 16 /* blocks between looks at the catalog */ };

struct mrd_upkeep_examiner {
    struct mrd_objstore *store;
    struct mrd_catalog *catalog;
    const struct mrd_objstore_control *control; /* may be NULL */
    const struct mrd_clock *clock;
    const char *holder; /* who it is, for the records */
};

/* Reads all of a block. *out_bad: it is not what it was written as, or files of it are missing although the catalog names them; it
 * is in quarantine then. Errors of the store that may pass come as they are. */
MRD_MUST_CHECK enum mrd_status mrd_upkeep_examine(const struct mrd_upkeep_examiner *examiner,
                                                  const struct mrd_block_entry *block,
                                                  bool *out_bad, struct mrd_error *err);

/* Reads all blocks of the catalog, beginning anywhere (`start`, chance: so that scrubs which never come to their end get everywhere
 * all the same), and follows it as it changes. bytes_per_second as of merge/scrub.h. *progress is written whatever happens, as it grows;
 * others may read it meanwhile. */
struct mrd_upkeep_progress { /* relaxed: figures */
    _Atomic uint64_t blocks;
    _Atomic uint64_t bytes;
    _Atomic uint64_t bad; /* those known already included */
};
MRD_MUST_CHECK enum mrd_status mrd_upkeep_scrub(const struct mrd_upkeep_examiner *examiner,
                                                uint64_t bytes_per_second, uint64_t start,
                                                struct mrd_upkeep_progress *progress,
                                                struct mrd_error *err);

#endif
