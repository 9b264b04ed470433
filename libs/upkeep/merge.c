#include "upkeep/merge.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "merge/rewrite.h"
#include "upkeep/scrub.h"

enum { ATTEMPT_SIZE = 32, ZSTD_LEVEL_DAY = 6, ZSTD_LEVEL_MONTH = 9, CACHE_BYTES = 64 << 20 };

struct job {
    const struct mrd_upkeep_merge_options *options;
    struct mrd_catalog_state *state; /* that it was planned of */
    const struct mrd_upkeep_index *index;
    const struct mrd_upkeep_unit *unit;
    struct mrd_arena *arena;
    struct mrd_upkeep_merged *result;
    mrd_time_ms begun_ms;
    char attempt[ATTEMPT_SIZE]; /* in the keys of what is written: no two attempts share one */
    unsigned level;             /* of the outputs */
    enum mrd_merge_period period;
    const struct mrd_block_entry *const *blocks; /* of the unit, but those that need no merge */
    size_t block_count;
    struct mrd_upkeep_settling settling;
    struct mrd_merge_batch_result merged;
    struct mrd_block_entry *added; /* the outputs, then their rollups */
    size_t added_count;
    struct mrd_bytes *removed; /* ids of what is replaced, sorted */
    size_t removed_count;
};

/* ---- what the batch asks ---- */

static bool is_of_batch(const struct job *job, const struct mrd_block_entry *block)
{
    for (size_t i = 0; i < job->block_count; i++) {
        if (job->blocks[i] == block) {
            return true;
        }
    }
    return false;
}

/* What the outputs' level has of a tenant in a period, but what is in quarantine, or in the batch itself. */
static enum mrd_status find(void *context, struct mrd_bytes tenant, struct mrd_merge_range range,
                            struct mrd_buf *out, struct mrd_error *err)
{
    const struct job *job = context;
    const struct mrd_upkeep_span span =
        mrd_upkeep_index_find(job->index, job->unit->residency_class, tenant, job->level);
    (void)err;
    for (size_t i = 0; i < span.count; i++) {
        if (mrd_upkeep_is_within(span.blocks[i], range) &&
            !mrd_upkeep_quarantine_has(job->options->quarantine, span.blocks[i]->id) &&
            !(job->level == span.blocks[i]->level && is_of_batch(job, span.blocks[i]))) {
            mrd_buf_append(out, (const void *)&span.blocks[i], sizeof(span.blocks[i]));
        }
    }
    return MRD_OK;
}

/* "<region>/<tenant>/samples/data/20240229/<attempt>-"; months without the day. */
static enum mrd_status prefix_in(const struct job *job, struct mrd_bytes tenant,
                                 struct mrd_merge_range range, const char *table,
                                 struct mrd_buf *out, struct mrd_error *err)
{
    const time_t at = (time_t)(range.first_ms / 1000); /* the beginning of a day: exact */
    struct tm date;
    if (gmtime_r(&at, &date) == NULL) {
        return mrd_fail(err, MRD_E_INVALID, "merge: no day for the time %" PRId64 " ms",
                        range.first_ms);
    }
    mrd_upkeep_table_path(job->options->region, tenant, table, out);
    mrd_buf_printf(out, "/data/%04d%02d", date.tm_year + 1900, date.tm_mon + 1);
    if (job->period == MRD_MERGE_DAY) {
        mrd_buf_printf(out, "%02d", date.tm_mday);
    }
    mrd_buf_printf(out, "/%s-", job->attempt);
    return MRD_OK;
}

static enum mrd_status rollup_prefix(void *context, struct mrd_bytes tenant,
                                     struct mrd_merge_range range, mrd_time_ms resolution_ms,
                                     struct mrd_buf *out, struct mrd_error *err)
{
    return prefix_in(context, tenant, range, mrd_upkeep_table_name(resolution_ms), out, err);
}

static enum mrd_status prefix(void *context, struct mrd_bytes tenant, struct mrd_merge_range range,
                              struct mrd_buf *out, struct mrd_error *err)
{
    return prefix_in(context, tenant, range, MRD_UPKEEP_SAMPLES, out, err);
}

static enum mrd_status series_prefix(void *context, struct mrd_bytes tenant,
                                     struct mrd_merge_range range, struct mrd_buf *out,
                                     struct mrd_error *err)
{
    return prefix_in(context, tenant, range, MRD_UPKEEP_SERIES, out, err);
}

static enum mrd_status adjust(void *context, struct mrd_bytes tenant, struct mrd_merge_range range,
                              struct mrd_merge_options *merge, struct mrd_error *err)
{
    const struct mrd_upkeep_merge_options *options = ((const struct job *)context)->options;
    (void)range;
    (void)err;
    merge->compact = options->is_compact != NULL && options->is_compact(options->context, tenant);
    if (options->retain != NULL) {
        merge->also =
            options->retain->rules(options->retain->context, tenant, 0, &merge->also_count);
    }
    return MRD_OK;
}

static size_t owed(void *context, struct mrd_bytes block_id, const struct mrd_erasure **out,
                   size_t most)
{
    const struct job *job = context;
    return mrd_catalog_requests_owed(job->options->requests, block_id, out, most);
}

static unsigned level_of(const struct mrd_upkeep_unit *unit)
{
    static const unsigned levels[] = {[MRD_UPKEEP_DAYS] = 1, [MRD_UPKEEP_MONTH] = 2};
    const bool stays = unit->kind == MRD_UPKEEP_ERASE || unit->kind == MRD_UPKEEP_RETAIN;
    return stays ? unit->level : levels[unit->kind];
}

static void begin(struct job *job)
{
    uint32_t chance;
    /* Never fails: a few bytes from an initialised pool (getrandom(2)). */
    mrd_assert(getrandom(&chance, sizeof(chance), 0) == (ssize_t)sizeof(chance));
    job->begun_ms = mrd_clock_now_ms(job->options->clock);
    (void)snprintf(job->attempt, sizeof(job->attempt), "%012" PRIx64 "%08" PRIx32,
                   (uint64_t)job->begun_ms, chance);
    job->level = level_of(job->unit);
    job->period = job->level == 1 ? MRD_MERGE_DAY : MRD_MERGE_MONTH;
    job->blocks = job->unit->blocks;
    job->block_count = job->unit->block_count;
    job->settling = (struct mrd_upkeep_settling){.store = job->options->store,
                                                 .control = job->options->control,
                                                 .requests = job->options->requests};
}

/* Rollups need some of their own. */
static size_t memory_of(const struct mrd_upkeep_merge_options *options)
{
    const size_t least =
        MRD_MERGE_MEMORY_MIN + options->resolution_count * MRD_MERGE_ROLLUP_MEMORY_MIN;
    return options->memory_bytes_max == 0 ? 0 : MRD_MAX(options->memory_bytes_max, least);
}

/* Young files keep the stamps: what comes later may be older than some of theirs. Files of months do not; they are large, and
 * what comes after them is later in all but rare cases, which are counted (`unordered`). */
static enum mrd_status run_batch(struct job *job, struct mrd_error *err)
{
    const struct mrd_upkeep_merge_options *options = job->options;
    const struct mrd_block_cache_options caching = {.memory_bytes_max = CACHE_BYTES};
    const int zstd_month =
        options->zstd_level_month == 0 ? ZSTD_LEVEL_MONTH : options->zstd_level_month;
    const struct mrd_merge_erasures erasures = {
        .owed = owed, .most = mrd_catalog_requests_count(options->requests), .context = job};
    mrd_auto(mrd_block_cache_destroy)
    struct mrd_block_cache *cache = NULL;
    MRD_TRY(mrd_block_cache_create(&caching, &cache, err));
    const struct mrd_merge_batch_options batch = {
        .merge = {.store = options->store,
                  .control = options->control,
                  .level = job->level,
                  .promoted = mrd_upkeep_promoted,
                  .promoted_count = mrd_upkeep_promoted_count,
                  .keep_hlc = job->period == MRD_MERGE_DAY,
                  .zstd_level = job->period == MRD_MERGE_DAY ? ZSTD_LEVEL_DAY : zstd_month,
                  .shard_bytes_max = options->shard_bytes_max,
                  .memory_bytes_max = memory_of(options),
                  .cache = cache,
                  .erasures = &erasures,
                  .resolutions_ms = options->resolutions_ms,
                  .resolution_count = options->resolution_count},
        .blocks = job->blocks,
        .block_count = job->block_count,
        .workers = options->workers,
        .period = job->period,
        .find = find,
        .prefix = prefix,
        .rollup_prefix = rollup_prefix,
        .series_prefix = options->tables == NULL ? NULL : series_prefix,
        .adjust = adjust,
        .context = job,
    };
    return mrd_merge_batch(&batch, job->arena, &job->merged, err);
}

/* ---- bad blocks ---- */

static enum mrd_status examine(struct job *job, const struct mrd_block_entry *block,
                               struct mrd_error *err)
{
    const struct mrd_upkeep_merge_options *options = job->options;
    const struct mrd_upkeep_examiner examiner = {.store = options->store,
                                                 .catalog = options->catalog,
                                                 .control = options->control,
                                                 .clock = options->clock,
                                                 .holder = options->holder};
    bool bad = false;
    MRD_TRY(mrd_upkeep_examine(&examiner, block, &bad, err));
    job->result->quarantined += bad;
    return MRD_OK;
}

static enum mrd_status examine_bad(struct job *job, struct mrd_error *err)
{
    for (size_t i = 0; i < job->merged.bad_count; i++) {
        MRD_TRY(examine(job, job->merged.bad[i].input, err));
    }
    return MRD_OK;
}

/* The figures do not add up: one of the blocks is not what it says. */
static enum mrd_status examine_all(struct job *job, const struct mrd_error *why,
                                   struct mrd_error *err)
{
    for (size_t i = 0; i < job->block_count; i++) {
        MRD_TRY(examine(job, job->blocks[i], err));
    }
    return job->result->quarantined > 0 ? MRD_OK : mrd_fail(err, MRD_E_CORRUPT, "%s", why->text);
}

/* ---- the commit ---- */

static int compare_ids(const void *a, const void *b)
{
    return mrd_bytes_compare(*(const struct mrd_bytes *)a, *(const struct mrd_bytes *)b);
}

static void add(struct job *job, const struct mrd_block_entry *block)
{
    job->added[job->added_count++] = *block;
    job->result->bytes_out += block->data.size + block->sidecar.size;
}

static enum mrd_status list_changes(struct job *job, struct mrd_error *err)
{
    const struct mrd_merge_batch_result *merged = &job->merged;
    const size_t most = merged->output_count + merged->rollup_count;
    job->added = mrd_arena_alloc(job->arena, (most + 1) * sizeof(*job->added));
    job->removed =
        mrd_arena_alloc(job->arena, (merged->replaced_count + 1) * sizeof(*job->removed));
    if (job->added == NULL || job->removed == NULL) {
        return mrd_arena_fail(job->arena, err);
    }
    for (size_t i = 0; i < merged->output_count; i++) {
        add(job, merged->outputs[i]);
    }
    for (size_t i = 0; i < merged->rollup_count; i++) {
        add(job, merged->rollups[i]);
    }
    for (size_t i = 0; i < merged->replaced_count; i++) {
        job->removed[job->removed_count++] = merged->replaced[i]->id;
        job->result->bytes_in += merged->replaced[i]->data.size + merged->replaced[i]->sidecar.size;
    }
    qsort(job->removed, job->removed_count, sizeof(*job->removed), compare_ids);
    job->result->blocks_in = merged->replaced_count;
    job->result->blocks_out = merged->output_count;
    job->result->rollups_out = merged->rollup_count;
    job->result->merges = merged->merges;
    job->result->samples_in = merged->samples_in;
    job->result->samples_out = merged->samples_out;
    job->result->duplicates = merged->duplicates;
    job->result->overridden = merged->overridden;
    job->result->erased = merged->erased;
    job->settling.done = merged->settled;
    job->settling.done_count = merged->settled_count;
    job->result->unordered = merged->unordered;
    return MRD_OK;
}

/* What leaves the state: what is replaced, and its rollups that are still there. */
static void list_removed(const struct job *job, const struct mrd_upkeep_index *index,
                         struct mrd_buf *out)
{
    mrd_buf_append(out, job->removed, job->removed_count * sizeof(*job->removed));
    for (size_t i = 0; job->removed_count > 0 && i < index->rollup_count; i++) {
        const struct mrd_block_entry *rollup = index->rollups[i];
        bool goes = false;
        for (size_t k = 0; k < rollup->origin.parent_count && !goes; k++) {
            goes = bsearch(&rollup->origin.parents[k], job->removed, job->removed_count,
                           sizeof(*job->removed), compare_ids) != NULL;
        }
        if (goes) {
            mrd_buf_append(out, &rollup->id, sizeof(rollup->id));
        }
    }
}

/* Whether a state has what the merge began with, and nothing that it should have read too: files of the same tenant, level and
 * period that came meanwhile may have the same samples. */
static bool still_fits(const struct job *job, const struct mrd_catalog_state *state,
                       const struct mrd_upkeep_index *index)
{
    for (size_t i = 0; i < job->removed_count; i++) {
        if (mrd_catalog_find(state, job->removed[i]) == NULL) {
            return false;
        }
    }
    for (size_t i = 0; i < job->merged.output_count; i++) {
        const struct mrd_block_entry *output = &job->added[i];
        const struct mrd_upkeep_span span = mrd_upkeep_index_find(
            index, output->origin.residency_class, mrd_upkeep_tenant_of(output), output->level);
        const struct mrd_merge_range range =
            mrd_merge_period_of(job->period, output->counts.min_ms);
        for (size_t k = 0; k < span.count; k++) {
            if (mrd_upkeep_is_within(span.blocks[k], range) &&
                mrd_catalog_find(job->state, span.blocks[k]->id) == NULL) {
                return false;
            }
        }
    }
    return true;
}

/* One attempt on the state as it is. MRD_E_CONFLICT: it is no more. */
static enum mrd_status commit_on(struct job *job, struct mrd_catalog_state *state,
                                 const struct mrd_upkeep_index *index, struct mrd_error *err)
{
    const struct mrd_upkeep_merge_options *options = job->options;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf removed = {0};
    list_removed(job, index, &removed);
    const struct mrd_upkeep_blocks_change blocks = {job->added, job->added_count,
                                                    (const void *)removed.data,
                                                    removed.size / sizeof(struct mrd_bytes)};
    struct mrd_upkeep_tables_changed changed = {0};
    const struct mrd_catalog_settled *settled = NULL;
    size_t settled_count = 0;
    bool overtaken = false;
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create_within(job->arena);
    MRD_TRY(mrd_upkeep_settle(&job->settling, state, blocks.remove, blocks.remove_count, arena,
                              &settled, &settled_count, &overtaken, err));
    if (overtaken) {
        job->result->lost = true;
        job->result->overtaken = true;
        return MRD_OK;
    }
    if (options->tables != NULL) {
        MRD_TRY(
            mrd_upkeep_tables_change(options->tables, state, index, &blocks, arena, &changed, err));
    }
    const struct mrd_catalog_change change = {.add = blocks.add,
                                              .add_count = blocks.add_count,
                                              .remove = blocks.remove,
                                              .remove_count = blocks.remove_count,
                                              .settled = settled,
                                              .settled_count = settled_count,
                                              .tables = changed.tables,
                                              .table_count = changed.count,
                                              .begun_ms = job->begun_ms};
    enum mrd_status status = MRD_E_UNAVAILABLE;
    for (size_t i = 0; i < MRD_UPKEEP_ATTEMPTS && status == MRD_E_UNAVAILABLE; i++) {
        status = mrd_catalog_commit(options->catalog, &change, options->control, err);
    }
    MRD_TRY(status);
    job->result->committed = true;
    job->result->tables = changed.count;
    job->result->settled += settled_count;
    if (options->tables != NULL &&
        mrd_upkeep_tables_publish(options->tables, &changed, &job->result->publish_error) ==
            MRD_OK) {
        job->result->publish_error = (struct mrd_error){0};
    }
    return MRD_OK;
}

static enum mrd_status commit(struct job *job, struct mrd_error *err)
{
    enum mrd_status status = MRD_E_CONFLICT;
    for (size_t i = 0; i < MRD_UPKEEP_ATTEMPTS && status == MRD_E_CONFLICT; i++) {
        struct mrd_upkeep_index index;
        MRD_TRY(mrd_catalog_refresh(job->options->catalog, job->options->control, err));
        struct mrd_catalog_state *state = mrd_catalog_pin(job->options->catalog);
        mrd_upkeep_index_init(&index, state);
        job->result->lost = !still_fits(job, state, &index);
        status = job->result->lost ? MRD_OK : commit_on(job, state, &index, err);
        mrd_upkeep_index_fini(&index);
        mrd_catalog_unpin(&state);
    }
    return status;
}

/* ---- erasing ---- */

/* What has nothing of what it owes is settled at once, without being written anew. */
static enum mrd_status look(struct job *job, struct mrd_error *err)
{
    const struct mrd_upkeep_merge_options *options = job->options;
    struct mrd_upkeep_looked looked;
    size_t settled = 0;
    MRD_TRY(job->block_count > 0
                ? mrd_upkeep_look(&job->settling, job->unit, job->arena, &looked, err)
                : mrd_upkeep_look_at_rollups(job->state, job->index, job->unit, job->arena, &looked,
                                             err));
    MRD_TRY(mrd_upkeep_settle_nothing(options->catalog, options->control, looked.settled,
                                      looked.settled_count, &settled, err));
    job->result->settled = settled;
    job->result->committed = settled > 0;
    job->result->lost = looked.settled_count > 0 && settled == 0;
    job->blocks = looked.blocks;
    job->block_count = looked.block_count;
    return MRD_OK;
}

/* Leaves those that have something of a rule. */
static enum mrd_status look_for_rules(struct job *job, struct mrd_error *err)
{
    const struct mrd_upkeep_merge_options *options = job->options;
    const struct mrd_block_entry **blocks = mrd_arena_alloc_array(
        job->arena, job->block_count + 1, sizeof(const struct mrd_block_entry *));
    if (blocks == NULL) {
        return mrd_arena_fail(job->arena, err);
    }
    MRD_TRY(mrd_upkeep_retain_look(options->retain, options->store, options->control, job->blocks,
                                   job->block_count, blocks, &job->block_count, err));
    job->blocks = blocks;
    return MRD_OK;
}

/* ---- rollups whose samples are gone ---- */

/* What is made of the rollups of a unit, before it is known how much that is. */
struct rewriting {
    struct mrd_buf added;   /* struct mrd_block_entry */
    struct mrd_buf removed; /* struct mrd_bytes */
    struct mrd_buf done;    /* struct mrd_merge_erased */
};

static void rewriting_fini(struct rewriting *rewriting)
{
    mrd_buf_fini(&rewriting->added);
    mrd_buf_fini(&rewriting->removed);
    mrd_buf_fini(&rewriting->done);
}

static enum mrd_status rewrite(struct job *job, const struct mrd_block_entry *rollup,
                               const struct mrd_erasure *const *erasures, size_t erasure_count,
                               struct mrd_merge_rewritten *out, struct mrd_error *err)
{
    const struct mrd_upkeep_merge_options *options = job->options;
    const int zstd_month =
        options->zstd_level_month == 0 ? ZSTD_LEVEL_MONTH : options->zstd_level_month;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf prefix = {0};
    MRD_TRY(rollup_prefix(job, job->unit->tenant, mrd_upkeep_period_of(rollup),
                          rollup->resolution_ms, &prefix, err));
    mrd_buf_append_u8(&prefix, 0);
    const struct mrd_merge_rewrite_options rewriting = {
        .store = options->store,
        .control = options->control,
        .rollup = rollup,
        .erasures = erasures,
        .erasure_count = erasure_count,
        .prefix = (const char *)prefix.data,
        .promoted = mrd_upkeep_promoted,
        .promoted_count = mrd_upkeep_promoted_count,
        .zstd_level = job->period == MRD_MERGE_DAY ? ZSTD_LEVEL_DAY : zstd_month,
        .memory_bytes_max = memory_of(options),
    };
    return mrd_merge_rewrite(&rewriting, job->arena, out, err);
}

static void take_rewritten(struct job *job, const struct mrd_block_entry *rollup,
                           const struct mrd_erasure *const *erasures, size_t erasure_count,
                           const struct mrd_merge_rewritten *rewritten, struct rewriting *rewriting)
{
    for (size_t i = 0; i < erasure_count; i++) {
        const struct mrd_merge_erased done = {rollup->id, erasures[i]->id, rewritten->erased[i]};
        mrd_buf_append(&rewriting->done, &done, sizeof(done));
    }
    mrd_buf_append(&rewriting->removed, &rollup->id, sizeof(rollup->id));
    mrd_buf_append(&rewriting->added, rewritten->outputs,
                   rewritten->output_count * sizeof(*rewritten->outputs));
    job->result->blocks_in++;
    job->result->bytes_in += rollup->data.size + rollup->sidecar.size;
    job->result->rollups_out += rewritten->output_count;
    job->result->rows_erased += rewritten->rows_in - rewritten->rows_out;
}

/* What a rollup owes, and then what of the rules it has passed. */
static enum mrd_status leaves(const struct job *job, const struct mrd_block_entry *rollup,
                              const struct mrd_erasure ***out, size_t *out_owed, size_t *out_count,
                              struct mrd_error *err)
{
    const struct mrd_upkeep_merge_options *options = job->options;
    const size_t most = mrd_catalog_requests_count(options->requests);
    const struct mrd_erasure *rules = NULL;
    size_t rule_count = 0;
    if (options->retain != NULL) {
        MRD_TRY(mrd_upkeep_retain_passed(options->retain, rollup, job->arena, &rules, &rule_count,
                                         err));
    }
    const struct mrd_erasure **all = mrd_arena_alloc_array(job->arena, most + rule_count + 1,
                                                           sizeof(const struct mrd_erasure *));
    if (all == NULL) {
        return mrd_arena_fail(job->arena, err);
    }
    *out_owed = mrd_catalog_requests_owed(options->requests, rollup->id, all, most);
    *out_count = *out_owed;
    for (size_t i = 0; i < rule_count; i++) {
        all[(*out_count)++] = &rules[i];
    }
    *out = all;
    return MRD_OK;
}

/* A bad one goes on owing, in quarantine; the others do not wait for it. */
static enum mrd_status rewrite_one(struct job *job, const struct mrd_block_entry *rollup,
                                   struct rewriting *rewriting, struct mrd_error *err)
{
    const struct mrd_erasure **all = NULL;
    size_t owed_count = 0;
    size_t count = 0;
    MRD_TRY(leaves(job, rollup, &all, &owed_count, &count, err));
    struct mrd_merge_rewritten rewritten;
    struct mrd_error why = {0};
    const enum mrd_status status = rewrite(job, rollup, all, count, &rewritten, &why);
    if (status == MRD_OK) {
        take_rewritten(job, rollup, all, owed_count, &rewritten, rewriting);
        return MRD_OK;
    }
    if (status == MRD_E_CORRUPT || status == MRD_E_NOT_FOUND) {
        const size_t before = job->result->quarantined;
        MRD_TRY(examine(job, rollup, err));
        if (job->result->quarantined > before) {
            return MRD_OK;
        }
    }
    return mrd_fail(err, status, "%s", why.text);
}

static enum mrd_status list_rewritten(struct job *job, struct rewriting *rewriting,
                                      struct mrd_error *err)
{
    struct mrd_bytes *removed = (void *)rewriting->removed.data;
    struct mrd_merge_erased *done = (void *)rewriting->done.data;
    const struct mrd_block_entry *added = (const void *)rewriting->added.data;
    const size_t added_count = rewriting->added.size / sizeof(*added);
    job->removed_count = rewriting->removed.size / sizeof(*removed);
    job->settling.done_count = rewriting->done.size / sizeof(*done);
    job->settling.keeps_rows = true;
    if (job->removed_count == 0) {
        return MRD_OK;
    }
    qsort(removed, job->removed_count, sizeof(*removed), compare_ids);
    if (job->settling.done_count > 0) {
        qsort(done, job->settling.done_count, sizeof(*done), mrd_upkeep_done_compare);
    }
    job->removed = removed;
    job->settling.done = done;
    job->added = mrd_arena_alloc(job->arena, (added_count + 1) * sizeof(*job->added));
    if (job->added == NULL) {
        return mrd_arena_fail(job->arena, err);
    }
    for (size_t i = 0; i < added_count; i++) {
        add(job, &added[i]);
    }
    return MRD_OK;
}

static enum mrd_status rewrite_rollups(struct job *job, struct mrd_error *err)
{
    mrd_auto(rewriting_fini)
    struct rewriting rewriting = {0};
    for (size_t i = 0; i < job->block_count; i++) {
        MRD_TRY(rewrite_one(job, job->blocks[i], &rewriting, err));
    }
    MRD_TRY(list_rewritten(job, &rewriting, err));
    return job->removed_count == 0 ? MRD_OK : commit(job, err);
}

static enum mrd_status run(struct job *job, struct mrd_error *err)
{
    struct mrd_error why = {0};
    begin(job);
    if (job->unit->kind == MRD_UPKEEP_ERASE || job->unit->kind == MRD_UPKEEP_RETAIN) {
        MRD_TRY(job->unit->kind == MRD_UPKEEP_ERASE ? look(job, err) : look_for_rules(job, err));
        if (job->block_count == 0) {
            return MRD_OK;
        }
        if (job->blocks[0]->resolution_ms > 0) {
            return rewrite_rollups(job, err);
        }
    }
    const enum mrd_status status = run_batch(job, &why);
    if (status == MRD_E_CORRUPT) {
        return examine_all(job, &why, err);
    }
    if (status != MRD_OK) {
        return mrd_fail(err, status, "%s", why.text);
    }
    if (job->unit->kind == MRD_UPKEEP_MONTH && job->merged.bad_count > 0) {
        return examine_bad(job, err); /* a month is merged whole or not (plan.h) */
    }
    MRD_TRY(list_changes(job, err));
    if (job->merged.output_count + job->merged.replaced_count > 0) {
        MRD_TRY(commit(job, err));
    }
    return examine_bad(job, err);
}

/* No longer than half of the grace: after that its commit would be refused, and what it writes of blocks that owe an erasure since would come
 * after those who wait for its end have ceased to (services/compactor/erasing.h). */
static enum mrd_status run_in_time(struct job *job, struct mrd_error *err)
{
    const struct mrd_upkeep_merge_options *options = job->options;
    const mrd_time_ms most_ms = mrd_catalog_grace_ms(options->catalog) / 2;
    const struct mrd_objstore_control control =
        mrd_objstore_control_within(options->control, options->clock, most_ms);
    const bool ends_first = options->control == NULL || options->control->clock == NULL ||
                            control.deadline_ns < options->control->deadline_ns;
    struct mrd_upkeep_merge_options within = *options;
    struct mrd_upkeep_tables tables;
    within.control = &control;
    if (options->tables != NULL) {
        tables = *options->tables;
        tables.control = &control;
        within.tables = &tables;
    }
    job->options = &within;
    const enum mrd_status status = run(job, err);
    return status == MRD_E_TIMEOUT && ends_first &&
                   mrd_objstore_check(&control, NULL) == MRD_E_TIMEOUT
               ? mrd_fail(err, MRD_E_LIMIT,
                          "it took half of the grace (%" PRId64
                          " ms), after which nothing is committed: give merges more workers or "
                          "compactor.grace more time",
                          most_ms)
               : status;
}

enum mrd_status mrd_upkeep_merge(const struct mrd_upkeep_merge_options *options,
                                 struct mrd_catalog_state *state,
                                 const struct mrd_upkeep_index *index,
                                 const struct mrd_upkeep_unit *unit, struct mrd_upkeep_merged *out,
                                 struct mrd_error *err)
{
    struct mrd_upkeep_merged result = {0};
    struct job job = {.options = options,
                      .state = state,
                      .index = index,
                      .unit = unit,
                      .result = &result,
                      .arena = mrd_arena_create("results of a merge", MRD_UPKEEP_RESULT_BYTES_MAX)};
    const enum mrd_status status = run_in_time(&job, err);
    mrd_arena_destroy(&job.arena);
    if (status == MRD_OK || result.committed) {
        *out = result;
    }
    return status;
}
