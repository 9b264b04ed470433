#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>

#include "objstore/store_internal.h"

struct sighting {
    const char *key;
    bool seen;
};

static bool look_for(void *context, const struct mrd_objstore_entry *entry)
{
    struct sighting *sighting = context;
    sighting->seen = sighting->seen || strcmp(entry->key, sighting->key) == 0;
    return true;
}

static enum mrd_status unfit(const struct mrd_objstore *store, const char *why,
                             struct mrd_error *err)
{
    return mrd_fail(err, MRD_E_UNSUPPORTED, "%s cannot hold Meridian's data: it %s", store->name,
                    why);
}

/* The second writer must lose, and the first one's bytes must stay. */
static enum mrd_status try_out(struct mrd_objstore *store, const char *key,
                               const struct mrd_objstore_control *control, struct mrd_error *err)
{
    MRD_TRY(mrd_objstore_put_if_absent(store, key, mrd_bytes_of(key), control, err));
    const enum mrd_status second =
        mrd_objstore_put_if_absent(store, key, MRD_BYTES("second"), control, err);
    if (second == MRD_OK) {
        return unfit(store, "lets a conditional put replace an object", err);
    }
    if (second != MRD_E_CONFLICT) {
        return second;
    }
    mrd_auto(mrd_buf_fini)
    struct mrd_buf found = {0};
    MRD_TRY(mrd_objstore_get(store, key, MRD_OBJSTORE_KEY_SIZE_MAX, control, &found, err));
    if (!mrd_bytes_equal(mrd_buf_view(&found), mrd_bytes_of(key))) {
        return unfit(store, "returns other bytes than were stored", err);
    }
    struct sighting sighting = {.key = key};
    MRD_TRY(mrd_objstore_list(store, key, "", look_for, &sighting, control, err));
    return sighting.seen ? MRD_OK : unfit(store, "does not list what was just stored", err);
}

enum mrd_status mrd_objstore_probe(struct mrd_objstore *store, const char *prefix,
                                   const struct mrd_objstore_control *control,
                                   struct mrd_error *err)
{
    uint64_t nonce;
    /* Never fails: a few bytes from an initialised pool (getrandom(2)). */
    mrd_assert(getrandom(&nonce, sizeof(nonce), 0) == (ssize_t)sizeof(nonce));
    char key[MRD_OBJSTORE_KEY_SIZE_MAX + 64];
    (void)snprintf(key, sizeof(key), "%.700sprobe-%016" PRIx64, prefix, nonce);
    const enum mrd_status status = try_out(store, key, control, err);
    struct mrd_error later;
    const enum mrd_status removed = mrd_objstore_delete(store, key, control, &later);
    if (status == MRD_OK && removed != MRD_OK) {
        return mrd_fail(err, removed, "%s", later.text);
    }
    return status;
}
