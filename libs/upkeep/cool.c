#include "upkeep/cool.h"

#include <stdio.h>
#include <stdlib.h>

#include "upkeep/index.h"

/* In parts of the grace (cool.h). */
enum { BEGINS_WITHIN = 8, ENDS_WITHIN = 4, DOUBTED_AFTER = 2 };

struct cooling {
    const struct mrd_upkeep_cool_options *options;
    const struct mrd_clock *clock;
    struct mrd_catalog_state *state;
    mrd_time_ms
        read_ms; /* when we began to read it, by both clocks: one stands still with the machine, the other may be set */
    int64_t read_ns;
    struct mrd_bytes *keys; /* of the state, sorted */
    size_t count;
    struct mrd_upkeep_cooled *out;
    enum mrd_status status;
    struct mrd_error *err;
};

static int key_order(const void *a, const void *b)
{
    return mrd_bytes_compare(*(const struct mrd_bytes *)a, *(const struct mrd_bytes *)b);
}

static void list_old(struct cooling *cooling)
{
    const size_t count = mrd_catalog_block_count(cooling->state);
    cooling->keys = calloc(count + 1, sizeof(*cooling->keys));
    mrd_assert(cooling->keys != NULL);
    for (size_t i = 0; i < count; i++) {
        const struct mrd_block_entry *block = mrd_catalog_block(cooling->state, i);
        if (block->level > 0 &&
            mrd_upkeep_period_of(block).last_ms < cooling->options->ended_before_ms) {
            cooling->keys[cooling->count++] = block->data.key;
        }
    }
    if (cooling->count > 0) {
        qsort(cooling->keys, cooling->count, sizeof(*cooling->keys), key_order);
    }
}

/* ---- the state that is gone by ---- */

static void drop_state(struct cooling *cooling)
{
    free(cooling->keys);
    cooling->keys = NULL;
    cooling->count = 0;
    mrd_catalog_unpin(&cooling->state);
}

static enum mrd_status read_state(struct cooling *cooling, struct mrd_error *err)
{
    const struct mrd_upkeep_cool_options *options = cooling->options;
    const mrd_time_ms now_ms = mrd_clock_now_ms(cooling->clock);
    const int64_t now_ns = mrd_clock_monotonic_ns(cooling->clock);
    MRD_TRY(mrd_catalog_refresh(options->catalog, options->control, err));
    drop_state(cooling);
    cooling->read_ms = now_ms;
    cooling->read_ns = now_ns;
    cooling->state = mrd_catalog_pin(options->catalog);
    list_old(cooling);
    return MRD_OK;
}

/* Whether the state is older than a part of the grace. */
static bool is_older(const struct cooling *cooling, int part)
{
    const mrd_time_ms most_ms = mrd_catalog_grace_ms(cooling->options->catalog) / part;
    const mrd_time_ms passed_ms =
        (mrd_clock_monotonic_ns(cooling->clock) - cooling->read_ns) / 1000000;
    return passed_ms > most_ms || mrd_clock_now_ms(cooling->clock) - cooling->read_ms > most_ms;
}

static bool is_old_block(const struct cooling *cooling, struct mrd_bytes key)
{
    return cooling->count > 0 &&
           bsearch(&key, cooling->keys, cooling->count, sizeof(key), key_order) != NULL;
}

static bool is_of_gone(const struct mrd_catalog_state *state, struct mrd_bytes key)
{
    for (size_t i = 0; i < mrd_catalog_gone_count(state); i++) {
        if (mrd_bytes_equal(mrd_catalog_gone_at(state, i)->data_key, key)) {
            return true;
        }
    }
    return false;
}

/* ---- copies ---- */

/* After a copy that may have ended when the file was deleted already. */
static enum mrd_status take_back(struct cooling *cooling, const char *key, struct mrd_error *err)
{
    const struct mrd_upkeep_cool_options *options = cooling->options;
    MRD_TRY(read_state(cooling, err));
    if (is_old_block(cooling, mrd_bytes_of(key)) || is_of_gone(cooling->state, mrd_bytes_of(key))) {
        return MRD_OK;
    }
    return mrd_objstore_delete(options->store, key, options->control, err);
}

/* A file that is gone by now was merged or has expired meanwhile. */
static enum mrd_status move(struct cooling *cooling, const struct mrd_objstore_entry *entry,
                            struct mrd_error *err)
{
    const struct mrd_upkeep_cool_options *options = cooling->options;
    if (is_older(cooling, BEGINS_WITHIN)) {
        MRD_TRY(read_state(cooling, err));
    }
    if (!is_old_block(cooling, mrd_bytes_of(entry->key))) {
        return MRD_OK;
    }
    const struct mrd_objstore_control within = mrd_objstore_control_within(
        options->control, cooling->clock, mrd_catalog_grace_ms(options->catalog) / ENDS_WITHIN);
    const enum mrd_status status =
        mrd_objstore_set_class(options->store, entry->key, options->storage_class, &within, err);
    if (status == MRD_E_NOT_FOUND) {
        return MRD_OK;
    }
    if (is_older(cooling, DOUBTED_AFTER)) {
        struct mrd_error why = {0};
        const enum mrd_status taken = take_back(cooling, entry->key, &why);
        if (status == MRD_OK && taken != MRD_OK) {
            return mrd_fail(err, taken, "%s", why.text);
        }
    }
    MRD_TRY(status);
    if (!is_old_block(cooling, mrd_bytes_of(entry->key))) {
        return MRD_OK;
    }
    cooling->out->files++;
    cooling->out->bytes += entry->info.size;
    return MRD_OK;
}

static bool visit(void *context, const struct mrd_objstore_entry *entry)
{
    struct cooling *cooling = context;
    if (strcmp(entry->storage_class, cooling->options->storage_class) != 0) {
        cooling->status = move(cooling, entry, cooling->err);
    }
    return cooling->status == MRD_OK;
}

enum mrd_status mrd_upkeep_cool(const struct mrd_upkeep_cool_options *options,
                                struct mrd_upkeep_cooled *out, struct mrd_error *err)
{
    char prefix[MRD_OBJSTORE_KEY_SIZE_MAX + 2];
    struct cooling cooling = {.options = options,
                              .clock = options->clock == NULL ? mrd_clock_system() : options->clock,
                              .out = out,
                              .err = err};
    *out = (struct mrd_upkeep_cooled){0};
    MRD_TRY(read_state(&cooling, err));
    enum mrd_status status = MRD_OK;
    if (cooling.count > 0) {
        (void)snprintf(prefix, sizeof(prefix), "%s/", options->region);
        status =
            mrd_objstore_list(options->store, prefix, "", visit, &cooling, options->control, err);
    }
    drop_state(&cooling);
    return status == MRD_OK ? cooling.status : status;
}
