#include "upkeep/plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "upkeep/settle.h"

static uint64_t samples_of(const struct mrd_block_entry *block)
{
    return block->counts.samples + block->counts.histograms;
}

/* When the first of its samples was received. */
static mrd_time_ms received_ms(const struct mrd_block_entry *block)
{
    return mrd_hlc_time_ms(block->origin.hlc_min);
}

static bool is_usable(const struct mrd_block_entry *block,
                      const struct mrd_upkeep_plan_options *options)
{
    return !mrd_upkeep_quarantine_has(options->quarantine, block->id);
}

/* ---- units ---- */

struct plan {
    const struct mrd_upkeep_plan_options *options;
    const struct mrd_catalog_state *state;
    const struct mrd_upkeep_index *index;
    struct mrd_arena *arena;
    struct mrd_buf units; /* struct mrd_upkeep_unit */
};

const char *mrd_upkeep_kind_name(enum mrd_upkeep_kind kind)
{
    static const char *const names[] = {
        [MRD_UPKEEP_DAYS] = "days",
        [MRD_UPKEEP_MONTH] = "month",
        [MRD_UPKEEP_ERASE] = "erase",
        [MRD_UPKEEP_RETAIN] = "retain",
    };
    return names[kind];
}

/* Classes and tenants may be long, and have characters that keys of leases do not have. */
static void set_lease(struct mrd_upkeep_unit *unit)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    mrd_buf_append_u32(&bytes, (uint32_t)unit->residency_class.size);
    mrd_buf_append_bytes(&bytes, unit->residency_class);
    mrd_buf_append_bytes(&bytes, unit->tenant);
    mrd_buf_append_u64(&bytes, (uint64_t)unit->range.first_ms);
    mrd_buf_append_u32(&bytes, unit->level);
    if (unit->block_count > 0 && unit->blocks[0]->resolution_ms > 0) {
        mrd_buf_append_text(&bytes, "rollups"); /* beside the files of the same month */
    }
    const struct mrd_id128 hash = mrd_hash128(mrd_buf_view(&bytes), 0);
    (void)snprintf(unit->lease, sizeof(unit->lease), "merge/%s/%016" PRIx64 "%016" PRIx64,
                   mrd_upkeep_kind_name(unit->kind), hash.high, hash.low);
}

static enum mrd_status add_unit(struct plan *plan, const struct mrd_upkeep_unit *like,
                                const struct mrd_block_entry *const *blocks, size_t count,
                                struct mrd_error *err)
{
    struct mrd_upkeep_unit unit = *like;
    const size_t kept = MRD_MIN(count, (size_t)MRD_MERGE_BATCH_MAX);
    mrd_assert(kept == 0 || blocks != NULL);
    const struct mrd_bytes copy = mrd_arena_copy(
        plan->arena, (struct mrd_bytes){(const uint8_t *)(const void *)blocks,
                                        kept * sizeof(const struct mrd_block_entry *)});
    if (copy.data == NULL) {
        return mrd_arena_fail(plan->arena, err);
    }
    unit.blocks = (const struct mrd_block_entry *const *)(const void *)copy.data;
    unit.block_count = kept;
    for (size_t i = 0; i < kept; i++) {
        unit.samples += samples_of(unit.blocks[i]);
    }
    set_lease(&unit);
    mrd_buf_append(&plan->units, &unit, sizeof(unit));
    return MRD_OK;
}

/* ---- level 0 to days ---- */

/* By class; within one in the order of receipt. */
static int compare_level0(const void *a, const void *b)
{
    const struct mrd_block_entry *x = *(const struct mrd_block_entry *const *)a;
    const struct mrd_block_entry *y = *(const struct mrd_block_entry *const *)b;
    const int order = mrd_bytes_compare(x->origin.residency_class, y->origin.residency_class);
    if (order != 0) {
        return order;
    }
    if (x->origin.hlc_min != y->origin.hlc_min) {
        return x->origin.hlc_min < y->origin.hlc_min ? -1 : 1;
    }
    return mrd_bytes_compare(x->id, y->id);
}

struct weight {
    uint64_t samples;
    uint64_t tenants;
    mrd_time_ms first_ms;
    mrd_time_ms last_ms;
};

static struct weight weight_of(const struct mrd_block_entry *const *blocks, size_t count)
{
    struct weight weight = {.first_ms = INT64_MAX, .last_ms = INT64_MIN};
    for (size_t i = 0; i < count; i++) {
        weight.samples += samples_of(blocks[i]);
        weight.tenants = MRD_MAX(weight.tenants, blocks[i]->tenant_count);
        weight.first_ms = MRD_MIN(weight.first_ms, blocks[i]->counts.min_ms);
        weight.last_ms = MRD_MAX(weight.last_ms, blocks[i]->counts.max_ms);
    }
    return weight;
}

/* What the merge would write anew: files of the days that the blocks may have samples in. An estimate from above. */
static uint64_t rewritten(const struct plan *plan, struct mrd_bytes residency_class,
                          const struct weight *weight)
{
    const mrd_time_ms from_ms = mrd_merge_period_of(MRD_MERGE_DAY, weight->first_ms).first_ms;
    const mrd_time_ms to_ms = mrd_merge_period_of(MRD_MERGE_DAY, weight->last_ms).last_ms;
    uint64_t samples = 0;
    for (size_t i = 0; i < plan->index->count; i++) {
        const struct mrd_block_entry *block = plan->index->blocks[i];
        const bool touched = block->counts.max_ms >= from_ms && block->counts.min_ms <= to_ms;
        samples += block->level == 1 && touched &&
                           mrd_bytes_equal(block->origin.residency_class, residency_class)
                       ? samples_of(block)
                       : 0;
    }
    return samples;
}

static bool owes_any(const struct plan *plan, const struct mrd_block_entry *block)
{
    for (size_t i = 0; i < mrd_catalog_erasure_count(plan->state); i++) {
        if (mrd_catalog_erasure_owes(mrd_catalog_erasure_at(plan->state, i), block->id)) {
            return true;
        }
    }
    return false;
}

static bool is_due(const struct plan *plan, const struct mrd_block_entry *const *blocks,
                   size_t count)
{
    const struct mrd_upkeep_plan_options *options = plan->options;
    if (count >= MRD_MERGE_BATCH_MAX ||
        received_ms(blocks[0]) <= options->now_ms - options->age_ms_max) {
        return true;
    }
    for (size_t i = 0; i < count; i++) {
        if (owes_any(plan, blocks[i])) {
            return true;
        }
    }
    const struct weight weight = weight_of(blocks, count);
    return weight.samples / MRD_MAX(weight.tenants, (uint64_t)1) >= options->tenant_rows_min &&
           weight.samples * MRD_UPKEEP_REWRITE >=
               rewritten(plan, blocks[0]->origin.residency_class, &weight);
}

static enum mrd_status plan_days(struct plan *plan, const struct mrd_block_entry *const *blocks,
                                 size_t count, struct mrd_error *err)
{
    for (size_t i = 0; i < count;) {
        const struct mrd_bytes class = blocks[i]->origin.residency_class;
        size_t end = i + 1;
        while (end < count && mrd_bytes_equal(blocks[end]->origin.residency_class, class)) {
            end++;
        }
        if (is_due(plan, blocks + i, end - i)) {
            const struct mrd_upkeep_unit unit = {.kind = MRD_UPKEEP_DAYS, .residency_class = class};
            MRD_TRY(add_unit(plan, &unit, blocks + i, end - i, err));
        }
        i = end;
    }
    return MRD_OK;
}

static const struct mrd_block_entry **level0(const struct mrd_catalog_state *state,
                                             const struct mrd_upkeep_plan_options *options,
                                             size_t *out_count)
{
    const size_t all = mrd_catalog_block_count(state);
    const struct mrd_block_entry **blocks = calloc(all + 1, sizeof(*blocks));
    mrd_assert(blocks != NULL);
    *out_count = 0;
    for (size_t i = 0; i < all; i++) {
        const struct mrd_block_entry *block = mrd_catalog_block(state, i);
        if (block->level == 0 && is_usable(block, options)) {
            blocks[(*out_count)++] = block;
        }
    }
    qsort(blocks, *out_count, sizeof(*blocks), compare_level0);
    return blocks;
}

/* ---- days to months ---- */

/* Whether a file of the month itself is in quarantine. */
static bool has_bad_month(const struct plan *plan, const struct mrd_block_entry *day,
                          struct mrd_merge_range month)
{
    const struct mrd_upkeep_span span = mrd_upkeep_index_find(
        plan->index, day->origin.residency_class, mrd_upkeep_tenant_of(day), 2);
    for (size_t i = 0; i < span.count; i++) {
        if (mrd_upkeep_is_within(span.blocks[i], month) &&
            !is_usable(span.blocks[i], plan->options)) {
            return true;
        }
    }
    return false;
}

/* One run of the index: the files of days that a tenant has in a month. If one of them is in quarantine the month stays as it is: merged
 * without it, it would be taken for late and leave the table, and nobody would see that it is missing. */
static enum mrd_status plan_month(struct plan *plan, const struct mrd_block_entry *const *blocks,
                                  size_t count, struct mrd_merge_range month, struct mrd_error *err)
{
    const struct mrd_upkeep_plan_options *options = plan->options;
    const mrd_time_ms before_ms = options->now_ms - options->month_delay_ms;
    mrd_time_ms received = INT64_MAX;
    for (size_t i = 0; i < count; i++) {
        if (!is_usable(blocks[i], options)) {
            return MRD_OK;
        }
        received = MRD_MIN(received, received_ms(blocks[i]));
    }
    if (month.last_ms >= before_ms || received > before_ms ||
        has_bad_month(plan, blocks[0], month)) {
        return MRD_OK;
    }
    const struct mrd_upkeep_unit unit = {.kind = MRD_UPKEEP_MONTH,
                                         .residency_class = blocks[0]->origin.residency_class,
                                         .tenant = mrd_upkeep_tenant_of(blocks[0]),
                                         .range = month};
    return add_unit(plan, &unit, blocks, count, err);
}

static bool is_same_tenant(const struct mrd_block_entry *a, const struct mrd_block_entry *b)
{
    return mrd_bytes_equal(a->origin.residency_class, b->origin.residency_class) &&
           mrd_bytes_equal(mrd_upkeep_tenant_of(a), mrd_upkeep_tenant_of(b));
}

static enum mrd_status plan_months(struct plan *plan, struct mrd_error *err)
{
    const struct mrd_block_entry *const *blocks = plan->index->blocks;
    for (size_t i = 0; i < plan->index->count;) {
        const struct mrd_merge_range month =
            mrd_merge_period_of(MRD_MERGE_MONTH, blocks[i]->counts.min_ms);
        size_t end = i + 1;
        while (end < plan->index->count && blocks[end]->level == blocks[i]->level &&
               is_same_tenant(blocks[i], blocks[end]) &&
               blocks[end]->counts.min_ms <= month.last_ms) {
            end++;
        }
        if (blocks[i]->level == 1 && mrd_upkeep_tenant_of(blocks[i]).size > 0) {
            MRD_TRY(plan_month(plan, blocks + i, end - i, month, err));
        }
        i = end;
    }
    return MRD_OK;
}

/* ---- what owes erasures ---- */

/* Files above level 0, and rollups, that owe. */
struct owing {
    struct mrd_buf files;   /* const struct mrd_block_entry * */
    struct mrd_buf rollups; /* that have nothing */
    struct mrd_buf alone;   /* rollups whose samples are gone */
};

static void list_owing(const struct plan *plan, const struct mrd_catalog_erasure *erasure,
                       struct owing *owing)
{
    for (size_t i = 0; i < erasure->owed_count; i++) {
        const struct mrd_block_entry *block =
            mrd_catalog_find(plan->state, mrd_catalog_erasure_owed(erasure, i));
        if (block == NULL || block->level == 0 || !is_usable(block, plan->options)) {
            continue;
        }
        if (block->resolution_ms == 0) {
            mrd_buf_append(&owing->files, (const void *)&block, sizeof(block));
        } else if (mrd_upkeep_rollup_is_free(plan->state, block, erasure)) {
            mrd_buf_append(&owing->rollups, (const void *)&block, sizeof(block));
        } else if (mrd_upkeep_rollup_is_alone(plan->state, block)) {
            mrd_buf_append(&owing->alone, (const void *)&block, sizeof(block));
        }
    }
}

/* By class, tenant, level and time, as an index has them. */
static int compare_owing(const void *a, const void *b)
{
    const struct mrd_block_entry *x = *(const struct mrd_block_entry *const *)a;
    const struct mrd_block_entry *y = *(const struct mrd_block_entry *const *)b;
    int order = mrd_bytes_compare(x->origin.residency_class, y->origin.residency_class);
    order =
        order != 0 ? order : mrd_bytes_compare(mrd_upkeep_tenant_of(x), mrd_upkeep_tenant_of(y));
    if (order == 0 && x->level != y->level) {
        order = x->level < y->level ? -1 : 1;
    }
    if (order == 0 && x->counts.min_ms != y->counts.min_ms) {
        order = x->counts.min_ms < y->counts.min_ms ? -1 : 1;
    }
    return order != 0 ? order : mrd_bytes_compare(x->id, y->id);
}

/* Sorts, and leaves each once. */
static size_t sort_owing(struct mrd_buf *list)
{
    const struct mrd_block_entry **blocks = (void *)list->data;
    const size_t count = list->size / sizeof(const struct mrd_block_entry *);
    size_t kept = 0;
    if (count > 0) {
        qsort(blocks, count, sizeof(const struct mrd_block_entry *), compare_owing);
    }
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || blocks[kept - 1] != blocks[i]) {
            blocks[kept++] = blocks[i];
        }
    }
    return kept;
}

static struct mrd_upkeep_unit erase_unit(const struct mrd_block_entry *block)
{
    return (struct mrd_upkeep_unit){.kind = MRD_UPKEEP_ERASE,
                                    .residency_class = block->origin.residency_class,
                                    .tenant = mrd_upkeep_tenant_of(block),
                                    .level = block->level};
}

/* A unit for each month of files. */
static enum mrd_status plan_files(struct plan *plan, enum mrd_upkeep_kind kind,
                                  const struct mrd_block_entry *const *blocks, size_t count,
                                  struct mrd_error *err)
{
    for (size_t i = 0; i < count;) {
        struct mrd_upkeep_unit unit = erase_unit(blocks[i]);
        unit.kind = kind;
        unit.range = mrd_merge_period_of(MRD_MERGE_MONTH, blocks[i]->counts.min_ms);
        size_t end = i + 1;
        while (end < count && blocks[end]->level == unit.level &&
               is_same_tenant(blocks[i], blocks[end]) &&
               blocks[end]->counts.min_ms <= unit.range.last_ms) {
            end++;
        }
        MRD_TRY(add_unit(plan, &unit, blocks + i, end - i, err));
        i = end;
    }
    return MRD_OK;
}

/* A unit for each tenant and level. */
static enum mrd_status plan_rollups(struct plan *plan, const struct mrd_block_entry *const *blocks,
                                    size_t count, struct mrd_error *err)
{
    for (size_t i = 0; i < count;) {
        const struct mrd_upkeep_unit unit = erase_unit(blocks[i]);
        size_t end = i + 1;
        while (end < count && blocks[end]->level == unit.level &&
               is_same_tenant(blocks[i], blocks[end])) {
            end++;
        }
        MRD_TRY(add_unit(plan, &unit, NULL, 0, err));
        i = end;
    }
    return MRD_OK;
}

static struct mrd_merge_range month_of(const struct mrd_block_entry *rollup)
{
    return mrd_merge_period_of(MRD_MERGE_MONTH, mrd_upkeep_period_of(rollup).first_ms);
}

/* A unit for each month of rollups whose samples are gone, of all resolutions. */
static enum mrd_status plan_alone(struct plan *plan, enum mrd_upkeep_kind kind,
                                  const struct mrd_block_entry *const *blocks, size_t count,
                                  struct mrd_error *err)
{
    for (size_t i = 0; i < count;) {
        struct mrd_upkeep_unit unit = erase_unit(blocks[i]);
        unit.kind = kind;
        unit.range = month_of(blocks[i]);
        size_t end = i + 1;
        while (end < count && blocks[end]->level == unit.level &&
               is_same_tenant(blocks[i], blocks[end]) &&
               month_of(blocks[end]).first_ms == unit.range.first_ms) {
            end++;
        }
        MRD_TRY(add_unit(plan, &unit, blocks + i, end - i, err));
        i = end;
    }
    return MRD_OK;
}

static enum mrd_status plan_erasing(struct plan *plan, struct mrd_error *err)
{
    struct owing owing = {0};
    for (size_t i = 0; i < mrd_catalog_erasure_count(plan->state); i++) {
        list_owing(plan, mrd_catalog_erasure_at(plan->state, i), &owing);
    }
    const size_t files = sort_owing(&owing.files);
    const size_t rollups = sort_owing(&owing.rollups);
    const size_t alone = sort_owing(&owing.alone);
    enum mrd_status status =
        plan_files(plan, MRD_UPKEEP_ERASE, (const void *)owing.files.data, files, err);
    if (status == MRD_OK) {
        status = plan_rollups(plan, (const void *)owing.rollups.data, rollups, err);
    }
    if (status == MRD_OK) {
        status = plan_alone(plan, MRD_UPKEEP_ERASE, (const void *)owing.alone.data, alone, err);
    }
    mrd_buf_fini(&owing.files);
    mrd_buf_fini(&owing.rollups);
    mrd_buf_fini(&owing.alone);
    return status;
}

/* ---- what rules of retention have let go ---- */

/* Those that are not in quarantine, sorted. */
static size_t keep_usable(const struct plan *plan, struct mrd_buf *list)
{
    const struct mrd_block_entry **blocks = (void *)list->data;
    size_t kept = 0;
    for (size_t i = 0; i < list->size / sizeof(const struct mrd_block_entry *); i++) {
        if (is_usable(blocks[i], plan->options)) {
            blocks[kept++] = blocks[i];
        }
    }
    list->size = kept * sizeof(const struct mrd_block_entry *);
    return sort_owing(list);
}

static enum mrd_status plan_retaining(struct plan *plan, struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf files = {0};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf alone = {0};
    if (plan->options->retain == NULL) {
        return MRD_OK;
    }
    mrd_upkeep_retain_list(plan->options->retain, plan->state, plan->index, &files, &alone);
    const size_t file_count = keep_usable(plan, &files);
    const size_t alone_count = keep_usable(plan, &alone);
    MRD_TRY(plan_files(plan, MRD_UPKEEP_RETAIN, (const void *)files.data, file_count, err));
    return plan_alone(plan, MRD_UPKEEP_RETAIN, (const void *)alone.data, alone_count, err);
}

/* ---- the order ---- */

/* What erases and retains before days before months; then what was received first. */
static int compare_units(const void *a, const void *b)
{
    static const int ranks[] = {[MRD_UPKEEP_ERASE] = 0,
                                [MRD_UPKEEP_RETAIN] = 1,
                                [MRD_UPKEEP_DAYS] = 2,
                                [MRD_UPKEEP_MONTH] = 3};
    const struct mrd_upkeep_unit *x = a;
    const struct mrd_upkeep_unit *y = b;
    if (x->kind != y->kind) {
        return ranks[x->kind] < ranks[y->kind] ? -1 : 1;
    }
    const mrd_time_ms x_ms = x->block_count == 0 ? INT64_MIN : received_ms(x->blocks[0]);
    const mrd_time_ms y_ms = y->block_count == 0 ? INT64_MIN : received_ms(y->blocks[0]);
    return x_ms == y_ms ? strcmp(x->lease, y->lease) : (x_ms < y_ms ? -1 : 1);
}

static enum mrd_status finish(struct plan *plan, const struct mrd_upkeep_unit **out_units,
                              size_t *out_count, struct mrd_error *err)
{
    struct mrd_upkeep_unit *units = (void *)plan->units.data;
    const size_t count = plan->units.size / sizeof(*units);
    if (count > 0) {
        qsort(units, count, sizeof(*units), compare_units);
    }
    const struct mrd_bytes copy = mrd_arena_copy(plan->arena, mrd_buf_view(&plan->units));
    if (copy.data == NULL) {
        return mrd_arena_fail(plan->arena, err);
    }
    *out_units = (const struct mrd_upkeep_unit *)(const void *)copy.data;
    *out_count = count;
    return MRD_OK;
}

enum mrd_status mrd_upkeep_plan(const struct mrd_catalog_state *state,
                                const struct mrd_upkeep_index *index,
                                const struct mrd_upkeep_plan_options *options,
                                struct mrd_arena *arena, const struct mrd_upkeep_unit **out_units,
                                size_t *out_count, struct mrd_error *err)
{
    struct plan plan = {.options = options, .state = state, .index = index, .arena = arena};
    size_t count = 0;
    const struct mrd_block_entry **blocks = level0(state, options, &count);
    enum mrd_status status = plan_days(&plan, blocks, count, err);
    free(blocks);
    status = status == MRD_OK ? plan_months(&plan, err) : status;
    status = status == MRD_OK ? plan_erasing(&plan, err) : status;
    status = status == MRD_OK ? plan_retaining(&plan, err) : status;
    status = status == MRD_OK ? finish(&plan, out_units, out_count, err) : status;
    mrd_buf_fini(&plan.units);
    return status;
}

struct mrd_upkeep_backlog mrd_upkeep_backlog(const struct mrd_catalog_state *state,
                                             const struct mrd_upkeep_plan_options *options)
{
    struct mrd_upkeep_backlog backlog = {.oldest_ms = options->now_ms};
    for (size_t i = 0; i < mrd_catalog_block_count(state); i++) {
        const struct mrd_block_entry *block = mrd_catalog_block(state, i);
        if (block->level == 0 && is_usable(block, options)) {
            backlog.blocks++;
            backlog.samples += samples_of(block);
            backlog.oldest_ms = MRD_MIN(backlog.oldest_ms, received_ms(block));
        }
    }
    return backlog;
}
