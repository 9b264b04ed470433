#include "upkeep/scrub.h"

#include <stdlib.h>

#include "block/reader.h"
#include "merge/scrub.h"

/* ---- one block ---- */

/* Whether the catalog still has the block; of one that has left, the files may be gone by right. */
static enum mrd_status is_listed(const struct mrd_upkeep_examiner *examiner, struct mrd_bytes id,
                                 bool *out, struct mrd_error *err)
{
    MRD_TRY(mrd_catalog_refresh(examiner->catalog, examiner->control, err));
    struct mrd_catalog_state *state = mrd_catalog_pin(examiner->catalog);
    *out = mrd_catalog_find(state, id) != NULL;
    mrd_catalog_unpin(&state);
    return MRD_OK;
}

static enum mrd_status convict(const struct mrd_upkeep_examiner *examiner,
                               const struct mrd_block_entry *block, enum mrd_status status,
                               const char *reason, bool *out_bad, struct mrd_error *err)
{
    MRD_TRY(is_listed(examiner, block->id, out_bad, err));
    if (!*out_bad) {
        return MRD_OK;
    }
    const struct mrd_upkeep_finding finding = {.block = block,
                                               .status = status,
                                               .reason = reason,
                                               .found_by = examiner->holder,
                                               .now_ms = mrd_clock_now_ms(examiner->clock)};
    return mrd_upkeep_quarantine_add(examiner->store, examiner->control, &finding, err);
}

enum mrd_status mrd_upkeep_examine(const struct mrd_upkeep_examiner *examiner,
                                   const struct mrd_block_entry *block, bool *out_bad,
                                   struct mrd_error *err)
{
    const struct mrd_block_verify_options verify = {
        .control = examiner->control, .memory_bytes_max = MRD_UPKEEP_VERIFY_BYTES_MAX};
    struct mrd_error why = {0};
    const enum mrd_status status = mrd_block_verify(examiner->store, block, &verify, &why);
    *out_bad = false;
    if (status == MRD_E_CORRUPT || status == MRD_E_NOT_FOUND) {
        return convict(examiner, block, status, why.text, out_bad, err);
    }
    return status == MRD_OK ? MRD_OK : mrd_fail(err, status, "%s", why.text);
}

/* ---- all of them ---- */

struct scrub {
    const struct mrd_upkeep_examiner *examiner;
    struct mrd_upkeep_progress *progress;
};

static enum mrd_status found_bad(void *context, const struct mrd_block_entry *block,
                                 enum mrd_status status, const char *reason, struct mrd_error *err)
{
    const struct scrub *scrub = context;
    bool bad = false;
    MRD_TRY(convict(scrub->examiner, block, status, reason, &bad, err));
    atomic_fetch_add_explicit(&scrub->progress->bad, bad, memory_order_relaxed);
    return MRD_OK;
}

/* The first block that is behind an id, or at the beginning. */
static size_t behind(const struct mrd_catalog_state *state, struct mrd_bytes id)
{
    size_t low = 0;
    size_t high = mrd_catalog_block_count(state);
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (mrd_bytes_compare(mrd_catalog_block(state, middle)->id, id) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Where a scrub stands: the blocks behind `after`, up to `last` in the second half. */
struct position {
    struct mrd_buf after; /* id; empty: at the beginning */
    struct mrd_buf last; /* id of the block before the first; empty: scrubs all from the first on */
    bool wrapped;
};

/* Scrubs the next blocks of the state; *out_count of them. */
static enum mrd_status step(struct scrub *scrub, const struct mrd_catalog_state *state,
                            uint64_t bytes_per_second, struct position *position, size_t *out_count,
                            struct mrd_error *err)
{
    const struct mrd_block_entry *blocks[MRD_UPKEEP_SCRUB_STEP];
    struct mrd_scrub_result result;
    const size_t end = position->wrapped ? behind(state, mrd_buf_view(&position->last))
                                         : mrd_catalog_block_count(state);
    size_t count = 0;
    for (size_t i = behind(state, mrd_buf_view(&position->after));
         i < end && count < MRD_UPKEEP_SCRUB_STEP; i++) {
        blocks[count++] = mrd_catalog_block(state, i);
    }
    *out_count = count;
    if (count == 0) {
        return MRD_OK;
    }
    const struct mrd_scrub_options options = {.store = scrub->examiner->store,
                                              .control = scrub->examiner->control,
                                              .blocks = blocks,
                                              .block_count = count,
                                              .memory_bytes_max = MRD_UPKEEP_VERIFY_BYTES_MAX,
                                              .bytes_per_second = bytes_per_second,
                                              .clock = scrub->examiner->clock,
                                              .bad = found_bad,
                                              .context = scrub};
    const enum mrd_status status = mrd_scrub_run(&options, &result, err);
    atomic_fetch_add_explicit(&scrub->progress->blocks, result.blocks, memory_order_relaxed);
    atomic_fetch_add_explicit(&scrub->progress->bytes, result.bytes, memory_order_relaxed);
    mrd_buf_clear(&position->after);
    mrd_buf_append_bytes(&position->after, blocks[count - 1]->id);
    return status;
}

static void begin(struct position *position, const struct mrd_catalog_state *state, uint64_t start)
{
    const size_t count = mrd_catalog_block_count(state);
    if (count > 0 && start % count > 0) {
        mrd_buf_append_bytes(&position->last, mrd_catalog_block(state, start % count - 1)->id);
        mrd_buf_append_bytes(&position->after, mrd_buf_view(&position->last));
    }
}

static enum mrd_status run(struct scrub *scrub, uint64_t bytes_per_second, uint64_t start,
                           struct position *position, struct mrd_error *err)
{
    for (bool first = true;; first = false) {
        size_t count = 0;
        MRD_TRY(mrd_catalog_refresh(scrub->examiner->catalog, scrub->examiner->control, err));
        struct mrd_catalog_state *state = mrd_catalog_pin(scrub->examiner->catalog);
        if (first) {
            begin(position, state, start);
        }
        const enum mrd_status status = step(scrub, state, bytes_per_second, position, &count, err);
        mrd_catalog_unpin(&state);
        MRD_TRY(status);
        if (count == 0 && (position->wrapped || position->last.size == 0)) {
            return MRD_OK;
        }
        if (count == 0) {
            position->wrapped = true;
            mrd_buf_clear(&position->after);
        }
    }
}

enum mrd_status mrd_upkeep_scrub(const struct mrd_upkeep_examiner *examiner,
                                 uint64_t bytes_per_second, uint64_t start,
                                 struct mrd_upkeep_progress *progress, struct mrd_error *err)
{
    struct scrub scrub = {examiner, progress};
    struct position position = {0};
    const enum mrd_status status = run(&scrub, bytes_per_second, start, &position, err);
    mrd_buf_fini(&position.after);
    mrd_buf_fini(&position.last);
    return status;
}
