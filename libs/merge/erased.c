/* Which requests to erase have what was left out of an input. */
#include "merge/erased.h"
#include "merge/merge_internal.h"

#include <stdlib.h>

static int compare_erasures(const void *a, const void *b)
{
    const struct mrd_erasure *x = *(const struct mrd_erasure *const *)a;
    const struct mrd_erasure *y = *(const struct mrd_erasure *const *)b;
    return mrd_id128_compare(x->id, y->id);
}

/* Those of what all inputs are to lose that are about the range. */
static enum mrd_status add_also(struct mrd_merge_leave *leave,
                                const struct mrd_merge_options *options,
                                const struct mrd_erasure **out, struct mrd_arena *arena,
                                struct mrd_error *err)
{
    for (size_t i = 0; i < options->also_count; i++) {
        const struct mrd_erasure *also = &options->also[i];
        if (also->time_min_ms > options->max_ms || also->time_max_ms < options->min_ms) {
            continue;
        }
        struct mrd_erasure *copy = mrd_arena_alloc(arena, sizeof(*copy));
        if (copy == NULL) {
            return mrd_arena_fail(arena, err);
        }
        *copy = *also;
        copy->tenant = options->tenant;
        out[leave->count++] = copy;
    }
    return MRD_OK;
}

enum mrd_status mrd_merge_leave_init(struct mrd_merge_leave *leave,
                                     const struct mrd_merge_options *options,
                                     struct mrd_bytes input_id, struct mrd_arena *arena,
                                     struct mrd_error *err)
{
    const struct mrd_merge_erasures *erasures = options->erasures;
    const size_t most = (erasures == NULL ? 0 : erasures->most) + options->also_count;
    *leave = (struct mrd_merge_leave){0};
    if (most == 0) {
        return MRD_OK;
    }
    const struct mrd_erasure **owed = calloc(most, sizeof(const struct mrd_erasure *));
    mrd_assert(owed != NULL);
    const size_t all = erasures == NULL || erasures->most == 0
                           ? 0
                           : erasures->owed(erasures->context, input_id, owed, erasures->most);
    for (size_t i = 0; i < all; i++) {
        if (mrd_bytes_equal(owed[i]->tenant, options->tenant)) {
            owed[leave->count++] = owed[i];
        }
    }
    const enum mrd_status status = add_also(leave, options, owed, arena, err);
    if (status != MRD_OK) {
        free(owed);
        return status;
    }
    const struct mrd_bytes copy = mrd_arena_copy(
        arena, (struct mrd_bytes){(const uint8_t *)(const void *)owed,
                                  leave->count * sizeof(const struct mrd_erasure *)});
    free(owed);
    leave->erasures = (const struct mrd_erasure **)(uintptr_t)copy.data;
    leave->counts = mrd_arena_alloc_array(arena, leave->count + 1, sizeof(*leave->counts));
    if (copy.data == NULL || leave->counts == NULL) {
        return mrd_arena_fail(arena, err);
    }
    if (leave->count == 0) {
        return MRD_OK;
    }
    qsort(leave->erasures, leave->count, sizeof(leave->erasures[0]), compare_erasures);
    return MRD_OK;
}

void mrd_merge_leave_reset(struct mrd_merge_leave *leave)
{
    leave->samples = 0;
    for (size_t i = 0; i < leave->count; i++) {
        leave->counts[i] = 0;
    }
}

enum mrd_status mrd_merge_leave_count(struct mrd_merge_leave *leave,
                                      const struct mrd_merge_options *options,
                                      struct mrd_block *block, uint64_t samples,
                                      struct mrd_error *err)
{
    uint64_t rest = samples;
    bool alone = leave->count == 1; /* no need to look */
    leave->samples += samples;
    for (size_t i = leave->count; i-- > 0;) {
        bool any = alone;
        if (!alone) {
            MRD_TRY(mrd_merge_has_erased(block, leave->erasures[i], options->min_ms,
                                         options->max_ms, &any, err));
        }
        if (any) {
            leave->counts[i]++;
            rest -= rest > 0;
        }
    }
    for (size_t i = 0; i < leave->count; i++) {
        if (leave->counts[i] > 0) { /* the first of those that have any */
            leave->counts[i] += rest;
            return MRD_OK;
        }
    }
    return mrd_fail(err, MRD_E_CORRUPT, "samples were left out that no request selects");
}

/* ---- looking ---- */

enum mrd_status mrd_merge_has_erased(struct mrd_block *block, const struct mrd_erasure *erasure,
                                     mrd_time_ms min_ms, mrd_time_ms max_ms, bool *out,
                                     struct mrd_error *err)
{
    const struct mrd_block_cursor_options options = {.labels_only = true};
    *out = false;
    for (size_t i = 0; i < erasure->selector_count && !*out; i++) {
        const struct mrd_block_select select = {
            .tenant = erasure->tenant,
            .matchers = erasure->selectors[i].matchers,
            .matcher_count = erasure->selectors[i].matcher_count,
            .min_ms = MRD_MAX(min_ms, erasure->time_min_ms),
            .max_ms = MRD_MIN(max_ms, erasure->time_max_ms),
        };
        if (select.min_ms > select.max_ms) {
            return MRD_OK;
        }
        mrd_auto(mrd_block_cursor_close)
        struct mrd_block_cursor *cursor = NULL;
        MRD_TRY(mrd_block_select(block, &select, &options, &cursor, err));
        *out = mrd_block_cursor_series(cursor) > 0;
    }
    return MRD_OK;
}
