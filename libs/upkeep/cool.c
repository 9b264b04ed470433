#include "upkeep/cool.h"

#include <stdio.h>
#include <stdlib.h>

#include "upkeep/index.h"

struct cooling {
    const struct mrd_upkeep_cool_options *options;
    struct mrd_bytes *keys; /* sorted */
    size_t count;
    struct mrd_upkeep_cooled *out;
    enum mrd_status status;
    struct mrd_error *err;
};

static int key_order(const void *a, const void *b)
{
    return mrd_bytes_compare(*(const struct mrd_bytes *)a, *(const struct mrd_bytes *)b);
}

static void list_old(struct cooling *cooling, const struct mrd_catalog_state *state)
{
    const size_t count = mrd_catalog_block_count(state);
    cooling->keys = calloc(count + 1, sizeof(*cooling->keys));
    mrd_assert(cooling->keys != NULL);
    for (size_t i = 0; i < count; i++) {
        const struct mrd_block_entry *block = mrd_catalog_block(state, i);
        if (block->level > 0 &&
            mrd_upkeep_period_of(block).last_ms < cooling->options->ended_before_ms) {
            cooling->keys[cooling->count++] = block->data.key;
        }
    }
    if (cooling->count > 0) {
        qsort(cooling->keys, cooling->count, sizeof(*cooling->keys), key_order);
    }
}

/* A file that is gone by now was merged or has expired meanwhile. */
static bool move(void *context, const struct mrd_objstore_entry *entry)
{
    struct cooling *cooling = context;
    const struct mrd_upkeep_cool_options *options = cooling->options;
    const struct mrd_bytes key = mrd_bytes_of(entry->key);
    if (strcmp(entry->storage_class, options->storage_class) == 0 ||
        bsearch(&key, cooling->keys, cooling->count, sizeof(key), key_order) == NULL) {
        return true;
    }
    cooling->status = mrd_objstore_set_class(options->store, entry->key, options->storage_class,
                                             options->control, cooling->err);
    if (cooling->status == MRD_E_NOT_FOUND) {
        cooling->status = MRD_OK;
        return true;
    }
    if (cooling->status == MRD_OK) {
        cooling->out->files++;
        cooling->out->bytes += entry->info.size;
    }
    return cooling->status == MRD_OK;
}

enum mrd_status mrd_upkeep_cool(const struct mrd_upkeep_cool_options *options,
                                struct mrd_upkeep_cooled *out, struct mrd_error *err)
{
    char prefix[MRD_OBJSTORE_KEY_SIZE_MAX + 2];
    *out = (struct mrd_upkeep_cooled){0};
    MRD_TRY(mrd_catalog_refresh(options->catalog, options->control, err));
    struct mrd_catalog_state *state = mrd_catalog_pin(options->catalog);
    struct cooling cooling = {.options = options, .out = out, .err = err};
    list_old(&cooling, state);
    enum mrd_status status = MRD_OK;
    if (cooling.count > 0) {
        (void)snprintf(prefix, sizeof(prefix), "%s/", options->region);
        status =
            mrd_objstore_list(options->store, prefix, "", move, &cooling, options->control, err);
    }
    free(cooling.keys);
    mrd_catalog_unpin(&state);
    return status == MRD_OK ? cooling.status : status;
}
