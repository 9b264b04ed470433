/* catalog_internal.h: an open catalog. */
#ifndef MRD_CATALOG_CATALOG_INTERNAL_H
#define MRD_CATALOG_CATALOG_INTERNAL_H

#include <pthread.h>

#include "catalog/state_internal.h"

enum { CAT_KEY_MAX = 64 };
#define CAT_PREFIX "catalog/"

struct mrd_catalog {
    struct mrd_catalog_options options; /* defaults filled in */
    char writer[MRD_CATALOG_WRITER_SIZE_MAX + 1];
    pthread_mutex_t
        work; /* one refresh, commit or sweep at a time; held in calls to the store. Guards checkpoint */
    uint64_t checkpoint;  /* number of the latest one known */
    pthread_mutex_t lock; /* guards what follows; taken inside work, held for moments */
    struct mrd_catalog_state *state;
    struct mrd_catalog_stats stats;
};

void cat_commit_key(char out[CAT_KEY_MAX], uint64_t number);
void cat_checkpoint_key(char out[CAT_KEY_MAX], uint64_t number);

/* The number in a key of the catalog; false if it is neither a commit nor a checkpoint. */
bool cat_key_parse(const char *key, uint64_t *out_number, bool *out_checkpoint);

/* Work held. */
MRD_MUST_CHECK enum mrd_status cat_refresh(struct mrd_catalog *catalog,
                                           const struct mrd_objstore_control *control,
                                           struct mrd_error *err);

/* Work held. Commits the record's actions; see mrd_catalog_commit. `done` says whether a state has the change. */
struct cat_wish {
    const struct mrd_buf *actions;
    bool (*done)(const void *context, const struct mrd_catalog_state *state);
    const void *context;
};
MRD_MUST_CHECK enum mrd_status cat_commit(struct mrd_catalog *catalog, const struct cat_wish *wish,
                                          const struct mrd_objstore_control *control,
                                          struct mrd_error *err);

#endif
