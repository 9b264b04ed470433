#include "upkeep/expire.h"

#include <stdlib.h>

enum { ATTEMPTS = 8 /* to commit */ };

/* What one commit takes out. */
struct expiry {
    const struct mrd_upkeep_expire_options *options;
    struct mrd_catalog_state *state;
    struct mrd_upkeep_index index;
    struct mrd_bytes ids[MRD_UPKEEP_EXPIRE_MAX];
    size_t count;
    bool more; /* than fit */
    struct mrd_upkeep_expired sum;
};

/* ---- what has expired ---- */

static bool is_expired(const struct expiry *expiry, const struct mrd_block_entry *block)
{
    const struct mrd_upkeep_expire_options *options = expiry->options;
    const struct mrd_bytes tenant = mrd_upkeep_tenant_of(block);
    const mrd_time_ms kept_ms =
        tenant.size == 0 ? 0 : options->kept_ms(options->context, tenant, block->resolution_ms);
    return kept_ms > 0 && mrd_upkeep_period_of(block).last_ms < options->now_ms - kept_ms;
}

static bool owes(const struct expiry *expiry, const struct mrd_block_entry *block)
{
    for (size_t i = 0; i < mrd_catalog_erasure_count(expiry->state); i++) {
        if (mrd_catalog_erasure_owes(mrd_catalog_erasure_at(expiry->state, i), block->id)) {
            return true;
        }
    }
    return false;
}

/* Whether all that a rollup stands for has expired or is gone. */
static bool stands_alone(const struct expiry *expiry, const struct mrd_block_entry *rollup)
{
    for (size_t i = 0; i < rollup->origin.parent_count; i++) {
        const struct mrd_block_entry *parent =
            mrd_catalog_find(expiry->state, rollup->origin.parents[i]);
        if (parent != NULL && !is_expired(expiry, parent)) {
            return false;
        }
    }
    return true;
}

static bool has_gone_parents(const struct expiry *expiry, const struct mrd_block_entry *rollup)
{
    return rollup->origin.parent_count > 0 &&
           mrd_catalog_find(expiry->state, rollup->origin.parents[0]) == NULL;
}

/* Whether a rollup that will stand alone shares more than a window with one that does already: of samples that came when their day had gone. What
 * came first is not known there, so the later one does not count. */
static bool is_late(const struct expiry *expiry, const struct mrd_block_entry *rollup)
{
    if (has_gone_parents(expiry, rollup) || !stands_alone(expiry, rollup)) {
        return false;
    }
    const struct mrd_bytes tenant = mrd_upkeep_tenant_of(rollup);
    for (unsigned level = 1; level <= MRD_BLOCK_LEVEL_MAX; level++) {
        const struct mrd_upkeep_span span =
            mrd_upkeep_index_rollups(&expiry->index, rollup->origin.residency_class, tenant, level);
        for (size_t i = 0; i < span.count; i++) {
            const struct mrd_block_entry *other = span.blocks[i];
            if (other->resolution_ms == rollup->resolution_ms && has_gone_parents(expiry, other) &&
                other->counts.min_ms < rollup->counts.max_ms &&
                rollup->counts.min_ms < other->counts.max_ms) {
                return true;
            }
        }
    }
    return false;
}

static void take(struct expiry *expiry, const struct mrd_block_entry *block)
{
    if (expiry->count == MRD_UPKEEP_EXPIRE_MAX) {
        expiry->more = true;
        return;
    }
    expiry->ids[expiry->count++] = block->id;
    expiry->sum.blocks += block->resolution_ms == 0;
    expiry->sum.rollups += block->resolution_ms > 0;
    expiry->sum.samples += block->counts.samples + block->counts.histograms;
    expiry->sum.bytes += block->data.size + block->sidecar.size;
}

static bool are_of_one_period(const struct mrd_block_entry *a, const struct mrd_block_entry *b)
{
    return a->level == b->level &&
           mrd_bytes_equal(a->origin.residency_class, b->origin.residency_class) &&
           mrd_bytes_equal(mrd_upkeep_tenant_of(a), mrd_upkeep_tenant_of(b)) &&
           mrd_upkeep_period_of(a).first_ms == mrd_upkeep_period_of(b).first_ms;
}

/* Blocks of a tenant's day or month go in one commit, or stay: of a rollup that stands for several, none is to be left alone. If one owes an erasure, it
 * is to be written anew, and the rollup with it, for which the others are needed. */
static void take_period(struct expiry *expiry, const struct mrd_block_entry *const *blocks,
                        size_t count)
{
    if (expiry->count > 0 && count > MRD_UPKEEP_EXPIRE_MAX - expiry->count) {
        expiry->more = true;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (owes(expiry, blocks[i])) {
            return;
        }
    }
    for (size_t i = 0; i < count; i++) {
        take(expiry, blocks[i]);
    }
}

/* Rollups first: that one is late is seen while what it stands for is there. */
static void look(struct expiry *expiry)
{
    const struct mrd_upkeep_index *index = &expiry->index;
    for (size_t i = 0; i < index->rollup_count; i++) {
        const struct mrd_block_entry *rollup = index->rollups[i];
        if ((is_expired(expiry, rollup) || is_late(expiry, rollup)) && !owes(expiry, rollup)) {
            take(expiry, rollup);
        }
    }
    for (size_t i = 0; i < index->count;) {
        const struct mrd_block_entry *const *blocks = index->blocks + i;
        size_t count = 1;
        while (i + count < index->count && are_of_one_period(blocks[0], blocks[count])) {
            count++;
        }
        if (is_expired(expiry, blocks[0])) {
            take_period(expiry, blocks, count);
        }
        i += count;
    }
}

/* ---- committing it ---- */

static enum mrd_status commit(struct expiry *expiry, struct mrd_error *err)
{
    const struct mrd_upkeep_expire_options *options = expiry->options;
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena =
        mrd_arena_create("tables of what has expired", (size_t)2 * MRD_UPKEEP_TABLE_BYTES_MAX);
    const struct mrd_upkeep_blocks_change blocks = {.remove = expiry->ids,
                                                    .remove_count = expiry->count};
    struct mrd_catalog_change change = {.remove = expiry->ids, .remove_count = expiry->count};
    struct mrd_upkeep_tables_changed changed = {0};
    if (options->tables != NULL) {
        change.begun_ms = options->now_ms;
        MRD_TRY(mrd_upkeep_tables_change(options->tables, expiry->state, &expiry->index, &blocks,
                                         arena, &changed, err));
        change.tables = changed.tables;
        change.table_count = changed.count;
    }
    MRD_TRY(mrd_catalog_commit(options->catalog, &change, options->control, err));
    struct mrd_error *behind = &expiry->sum.publish_error;
    if (options->tables != NULL &&
        mrd_upkeep_tables_publish(options->tables, &changed, behind) == MRD_OK) {
        *behind = (struct mrd_error){0};
    }
    return MRD_OK;
}

/* Looks at the newest state, and commits what it finds. */
static enum mrd_status attempt(const struct mrd_upkeep_expire_options *options,
                               struct mrd_upkeep_expired *out, bool *out_more,
                               struct mrd_error *err)
{
    struct expiry *expiry = calloc(1, sizeof(*expiry));
    mrd_assert(expiry != NULL);
    expiry->options = options;
    enum mrd_status status = mrd_catalog_refresh(options->catalog, options->control, err);
    if (status == MRD_OK) {
        expiry->state = mrd_catalog_pin(options->catalog);
        mrd_upkeep_index_init(&expiry->index, expiry->state);
        look(expiry);
        status = expiry->count > 0 ? commit(expiry, err) : MRD_OK;
        mrd_upkeep_index_fini(&expiry->index);
        mrd_catalog_unpin(&expiry->state);
    }
    if (status == MRD_OK) {
        out->blocks += expiry->sum.blocks;
        out->rollups += expiry->sum.rollups;
        out->samples += expiry->sum.samples;
        out->bytes += expiry->sum.bytes;
        if (expiry->sum.publish_error.status != MRD_OK) {
            out->publish_error = expiry->sum.publish_error;
        }
        *out_more = expiry->more;
    }
    free(expiry);
    return status;
}

enum mrd_status mrd_upkeep_expire(const struct mrd_upkeep_expire_options *options,
                                  struct mrd_upkeep_expired *out, struct mrd_error *err)
{
    bool more = true;
    *out = (struct mrd_upkeep_expired){0};
    while (more) {
        enum mrd_status status = MRD_E_CONFLICT;
        for (size_t i = 0; i < ATTEMPTS && status == MRD_E_CONFLICT; i++) {
            status = attempt(options, out, &more, err);
        }
        MRD_TRY(status);
    }
    return MRD_OK;
}
