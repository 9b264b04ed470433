#include "merge/batch.h"

#include <inttypes.h>
#include <stdlib.h>

#include "block/reader.h"

enum { DAY_MS = 24 * 60 * 60 * 1000, PROBE_BYTES = 1 << 20, PROBE_SERIES_BYTES = 64 << 20 };

/* ---- periods ---- */

static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

/* Days from 1970-01-01 to the first of a month, which counts from January of year 0. Source: Howard Hinnant,
 * "chrono-Compatible Low-Level Date Algorithms", days_from_civil. */
static int64_t days_of_month(int64_t month)
{
    const int64_t shifted = month - 2; /* years begin in March */
    const int64_t year = floor_div(shifted, 12);
    const int64_t in_year = shifted - year * 12;
    const int64_t era = floor_div(year, 400);
    const int64_t of_era = year - era * 400;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * in_year + 2) / 5 -
           719468;
}

struct mrd_merge_range mrd_merge_period_of(enum mrd_merge_period period, mrd_time_ms time_ms)
{
    const int64_t day = floor_div(time_ms, DAY_MS);
    if (period == MRD_MERGE_DAY) {
        return (struct mrd_merge_range){day * DAY_MS, (day + 1) * DAY_MS - 1};
    }
    int64_t month =
        floor_div((day + 719528) * 4800, 146097); /* about; a month has 146097 / 4800 days */
    month -= days_of_month(month) > day;
    month += days_of_month(month + 1) <= day;
    return (struct mrd_merge_range){days_of_month(month) * DAY_MS,
                                    days_of_month(month + 1) * DAY_MS - 1};
}

/* ---- lists ---- */

/* Pointers that grow. */
struct list {
    struct mrd_buf items;
};

static void list_add(struct list *list, const void *item)
{
    mrd_buf_append(&list->items, (const void *)&item, sizeof(item));
}
static size_t list_count(const struct list *list) { return list->items.size / sizeof(void *); }
static const void *const *list_items(const struct list *list)
{
    return (const void *const *)(const void *)list->items.data;
}

/* ---- a batch ---- */

struct member {
    const struct mrd_block_entry *entry;
    struct mrd_block *block; /* NULL: bad */
    uint64_t samples;        /* that its merges have read */
};

struct batch {
    const struct mrd_merge_batch_options *options;
    struct mrd_arena *arena; /* the caller's */
    struct member members[MRD_MERGE_BATCH_MAX];
    struct mrd_bytes tenant; /* at hand */
    struct list inputs;      /* of the merge at hand: first members, then found */
    struct list places;      /* of the former */
    struct list outputs;
    struct list rollups;
    struct list replaced;
    struct mrd_buf bad;    /* struct mrd_merge_bad */
    struct mrd_buf erased; /* struct mrd_merge_erased */
    struct mrd_merge_batch_result sums;
};

static enum mrd_status note_bad(struct batch *batch, const struct mrd_merge_bad *bad)
{
    const struct mrd_merge_bad *known = (const struct mrd_merge_bad *)(const void *)batch->bad.data;
    for (size_t i = 0; i < batch->bad.size / sizeof(*known); i++) {
        if (known[i].input == bad->input) {
            return MRD_OK;
        }
    }
    mrd_buf_append(&batch->bad, bad, sizeof(*bad));
    for (size_t i = 0; i < batch->options->block_count; i++) {
        if (batch->members[i].entry == bad->input) {
            mrd_block_close(&batch->members[i].block);
        }
    }
    return MRD_OK;
}

/* An error of a member: bad, if it is the member's own. */
static enum mrd_status blame(struct batch *batch, size_t place, enum mrd_status status,
                             const struct mrd_error *why, struct mrd_error *err)
{
    if (status != MRD_E_CORRUPT && status != MRD_E_NOT_FOUND) {
        return mrd_fail(err, status, "%s", why->text);
    }
    const char *reason = mrd_arena_printf(batch->arena, "%s", why->text);
    const struct mrd_merge_bad bad = {batch->members[place].entry, status,
                                      reason == NULL ? "no memory for the reason" : reason};
    return note_bad(batch, &bad);
}

static enum mrd_status open_members(struct batch *batch, struct mrd_error *err)
{
    const struct mrd_merge_batch_options *options = batch->options;
    for (size_t i = 0; i < options->block_count; i++) {
        struct mrd_error why = {0};
        const struct mrd_block_open_options open = {.control = options->merge.control,
                                                    .cache = options->merge.cache};
        batch->members[i].entry = options->blocks[i];
        const enum mrd_status status = mrd_block_open(options->merge.store, options->blocks[i],
                                                      &open, &batch->members[i].block, &why);
        if (status != MRD_OK) {
            MRD_TRY(blame(batch, i, status, &why, err));
        }
    }
    return MRD_OK;
}

/* ---- one merge ---- */

/* What the directory of a block says of a tenant; NULL: it has nothing. */
static const struct mrd_block_tenant *find_tenant(const struct mrd_block *block,
                                                  struct mrd_bytes name)
{
    size_t count;
    const struct mrd_block_tenant *tenants = mrd_block_tenants(block, &count);
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = mrd_bytes_compare(tenants[middle].name, name);
        if (order == 0) {
            return &tenants[middle];
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return NULL;
}

static bool is_in(mrd_time_ms time_ms, struct mrd_merge_range range)
{
    return time_ms >= range.first_ms && time_ms <= range.last_ms;
}

/* Whether a member has a sample of the tenant in the range; one that cannot say is bad. The directory knows where the
 * tenant's first and last sample are, which mostly is enough. Else reads up to the first that is found: what has
 * nothing in a long range is found to have nothing at once, whatever lies before and after. */
static enum mrd_status has_any(struct batch *batch, size_t place, struct mrd_merge_range range,
                               bool *out, struct mrd_error *err)
{
    struct member *member = &batch->members[place];
    const struct mrd_block_select select = {
        .tenant = batch->tenant, .min_ms = range.first_ms, .max_ms = range.last_ms};
    const struct mrd_block_cursor_options options = {
        .pieces = true, .window_bytes = PROBE_BYTES, .series_bytes_max = PROBE_SERIES_BYTES};
    struct mrd_block_cursor *cursor = NULL;
    const struct mrd_block_series *piece = NULL;
    struct mrd_error why = {0};
    *out = false;
    const struct mrd_block_tenant *tenant =
        member->block == NULL ? NULL : find_tenant(member->block, batch->tenant);
    if (tenant == NULL || tenant->counts.max_ms < range.first_ms ||
        tenant->counts.min_ms > range.last_ms) {
        return MRD_OK;
    }
    if (is_in(tenant->counts.min_ms, range) || is_in(tenant->counts.max_ms, range)) {
        *out = true;
        return MRD_OK;
    }
    enum mrd_status status = mrd_block_select(member->block, &select, &options, &cursor, &why);
    if (status == MRD_OK) {
        status = mrd_block_cursor_next(cursor, &piece, &why);
    }
    mrd_block_cursor_close(&cursor);
    *out = status == MRD_OK && piece != NULL;
    return status == MRD_OK ? MRD_OK : blame(batch, place, status, &why, err);
}

/* Lists the members that have something in the range. */
static enum mrd_status list_inputs(struct batch *batch, struct mrd_merge_range range,
                                   struct mrd_error *err)
{
    mrd_buf_clear(&batch->inputs.items);
    mrd_buf_clear(&batch->places.items);
    for (size_t i = 0; i < batch->options->block_count; i++) {
        bool any = false;
        MRD_TRY(has_any(batch, i, range, &any, err));
        if (any) {
            list_add(&batch->inputs, batch->members[i].entry);
            list_add(&batch->places, &batch->members[i]);
        }
    }
    return MRD_OK;
}

static bool is_bad(const struct mrd_merge_result *result, const struct mrd_block_entry *entry)
{
    for (size_t i = 0; i < result->bad_count; i++) {
        if (result->bad[i].input == entry) {
            return true;
        }
    }
    return false;
}

static enum mrd_status take_result(struct batch *batch, const struct mrd_merge_result *result)
{
    const size_t members = list_count(&batch->places);
    for (size_t i = 0; i < list_count(&batch->inputs); i++) {
        const struct mrd_block_entry *entry = list_items(&batch->inputs)[i];
        if (i < members) {
            struct member *member =
                ((struct member *const *)(const void *)batch->places.items.data)[i];
            member->samples += result->input_samples[i];
        } else if (!is_bad(result, entry)) {
            list_add(&batch->replaced, entry);
        }
    }
    for (size_t i = 0; i < result->output_count; i++) {
        list_add(&batch->outputs, &result->outputs[i]);
    }
    for (size_t i = 0; i < result->rollup_count; i++) {
        list_add(&batch->rollups, &result->rollups[i]);
    }
    batch->sums.merges++;
    batch->sums.samples_in += result->samples_in;
    batch->sums.samples_out += result->samples_out;
    batch->sums.duplicates += result->duplicates;
    batch->sums.overridden += result->overridden;
    batch->sums.unordered += result->unordered;
    batch->sums.erased += result->erased;
    mrd_buf_append(&batch->erased, result->erasures,
                   result->erasure_count * sizeof(*result->erasures));
    for (size_t i = 0; i < result->bad_count; i++) {
        MRD_TRY(note_bad(batch, &result->bad[i]));
    }
    return MRD_OK;
}

/* All prefixes as texts, one after the other in `texts`: first that of the outputs. */
static enum mrd_status find_prefixes(struct batch *batch, struct mrd_merge_range range,
                                     struct mrd_buf *texts, const char **out_rollups,
                                     struct mrd_error *err)
{
    const struct mrd_merge_batch_options *options = batch->options;
    const size_t count = MRD_MIN(options->merge.resolution_count, (size_t)MRD_ROLLUP_LEVELS_MAX);
    size_t at[MRD_ROLLUP_LEVELS_MAX];
    MRD_TRY(options->prefix(options->context, batch->tenant, range, texts, err));
    mrd_buf_append_u8(texts, 0);
    for (size_t i = 0; i < count; i++) {
        at[i] = texts->size;
        MRD_TRY(options->rollup_prefix(options->context, batch->tenant, range,
                                       options->merge.resolutions_ms[i], texts, err));
        mrd_buf_append_u8(texts, 0);
    }
    for (size_t i = 0; i < count; i++) {
        out_rollups[i] = (const char *)texts->data + at[i];
    }
    return MRD_OK;
}

static enum mrd_status merge_period(struct batch *batch, struct mrd_merge_range range,
                                    struct mrd_error *err)
{
    const struct mrd_merge_batch_options *options = batch->options;
    const struct mrd_block_entry *const *found = NULL;
    size_t found_count = 0;
    struct mrd_merge_options merge = options->merge;
    struct mrd_merge_result result;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf prefix = {0};
    const char *prefixes[MRD_ROLLUP_LEVELS_MAX] = {NULL};
    MRD_TRY(options->find(options->context, batch->tenant, range, &found, &found_count, err));
    for (size_t i = 0; i < found_count; i++) {
        if (found[i]->counts.min_ms < range.first_ms || found[i]->counts.max_ms > range.last_ms) {
            return mrd_fail(err, MRD_E_INVALID, "merge: block %.*s is not of one period",
                            MRD_FMT(found[i]->id));
        }
        struct mrd_block_entry *kept = mrd_arena_alloc(batch->arena, sizeof(*kept));
        if (kept == NULL) {
            return mrd_arena_fail(batch->arena, err);
        }
        MRD_TRY(mrd_block_entry_copy(found[i], batch->arena, kept, err));
        list_add(&batch->inputs, kept);
    }
    MRD_TRY(find_prefixes(batch, range, &prefix, prefixes, err));
    merge.inputs = (const struct mrd_block_entry *const *)(const void *)batch->inputs.items.data;
    merge.input_count = list_count(&batch->inputs);
    merge.tenant = batch->tenant;
    merge.min_ms = range.first_ms;
    merge.max_ms = range.last_ms;
    merge.prefix = (const char *)prefix.data;
    merge.rollup_prefixes = prefixes;
    if (options->adjust != NULL) {
        MRD_TRY(options->adjust(options->context, batch->tenant, range, &merge, err));
    }
    MRD_TRY(mrd_merge_run(&merge, batch->arena, &result, err));
    return take_result(batch, &result);
}

/* ---- one tenant ---- */

/* Merges the periods of a range that have anything: looks at the whole first, then at its halves, so that a sample of 1970 does
 * not cost a look at each day since. */
static enum mrd_status merge_range(struct batch *batch, struct mrd_merge_range range,
                                   struct mrd_error *err)
{
    struct mrd_merge_range pending[64]; /* halves of halves of 64 bits */
    size_t count = 1;
    pending[0] = range;
    while (count > 0) {
        const struct mrd_merge_range at = pending[--count];
        const struct mrd_merge_range period =
            mrd_merge_period_of(batch->options->period, at.first_ms);
        MRD_TRY(mrd_objstore_check(batch->options->merge.control, err));
        MRD_TRY(list_inputs(batch, at, err));
        if (list_count(&batch->inputs) == 0) {
            continue;
        }
        if (at.last_ms <= period.last_ms) {
            MRD_TRY(merge_period(batch, period, err));
            continue;
        }
        const mrd_time_ms middle_ms = at.first_ms + (at.last_ms - at.first_ms) / 2;
        struct mrd_merge_range cut = mrd_merge_period_of(batch->options->period, middle_ms);
        if (cut.last_ms >= at.last_ms) { /* the middle lies in the last period */
            cut.last_ms = cut.first_ms - 1;
        }
        mrd_assert(count + 2 <= MRD_ARRAY_LEN(pending));
        pending[count++] = (struct mrd_merge_range){cut.last_ms + 1, at.last_ms};
        pending[count++] = (struct mrd_merge_range){at.first_ms, cut.last_ms};
    }
    return MRD_OK;
}

/* All tenants of the members, in order, each once: the first after a name. NULL after the last. */
static const struct mrd_block_tenant *next_tenant(const struct batch *batch, struct mrd_bytes after,
                                                  bool first, struct mrd_merge_range *out_range)
{
    const struct mrd_block_tenant *next = NULL;
    *out_range = (struct mrd_merge_range){INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < batch->options->block_count; i++) {
        size_t count = 0;
        const struct mrd_block_tenant *tenants =
            batch->members[i].block == NULL ? NULL
                                            : mrd_block_tenants(batch->members[i].block, &count);
        size_t low = 0;
        size_t high = count;
        while (low < high) { /* the first after the name */
            const size_t middle = low + (high - low) / 2;
            if (!first && mrd_bytes_compare(tenants[middle].name, after) <= 0) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        if (low == count) {
            continue;
        }
        const int order = next == NULL ? -1 : mrd_bytes_compare(tenants[low].name, next->name);
        if (order < 0) {
            next = &tenants[low];
            *out_range = (struct mrd_merge_range){INT64_MAX, INT64_MIN};
        }
        if (order <= 0) {
            out_range->first_ms = MRD_MIN(out_range->first_ms, tenants[low].counts.min_ms);
            out_range->last_ms = MRD_MAX(out_range->last_ms, tenants[low].counts.max_ms);
        }
    }
    return next;
}

static enum mrd_status merge_tenants(struct batch *batch, struct mrd_error *err)
{
    for (bool first = true;; first = false) {
        struct mrd_merge_range range;
        const struct mrd_block_tenant *tenant = next_tenant(batch, batch->tenant, first, &range);
        if (tenant == NULL) {
            return MRD_OK;
        }
        batch->tenant = mrd_arena_copy(batch->arena, tenant->name);
        if (batch->tenant.data == NULL) {
            return mrd_arena_fail(batch->arena, err);
        }
        if (range.first_ms <= range.last_ms) {
            MRD_TRY(merge_range(batch, range, err));
        }
    }
}

/* ---- the end ---- */

/* A block goes only if all of it was read. */
static enum mrd_status replace_members(struct batch *batch, struct mrd_error *err)
{
    for (size_t i = 0; i < batch->options->block_count; i++) {
        const struct member *member = &batch->members[i];
        if (member->block == NULL) {
            continue;
        }
        const uint64_t want = member->entry->counts.samples + member->entry->counts.histograms;
        if (member->samples != want) {
            return mrd_fail(err, MRD_E_CORRUPT,
                            "merge: %" PRIu64 " samples of block %.*s were merged, it has %" PRIu64
                            ": nothing is changed",
                            member->samples, MRD_FMT(member->entry->id), want);
        }
        list_add(&batch->replaced, member->entry);
    }
    return MRD_OK;
}

static int compare_erased(const void *a, const void *b)
{
    const struct mrd_merge_erased *x = a;
    const struct mrd_merge_erased *y = b;
    const int order = mrd_bytes_compare(x->input, y->input);
    return order != 0 ? order : mrd_id128_compare(x->erasure, y->erasure);
}

/* Adds up what the merges have left out of a block for a request. `all` is sorted. */
static uint64_t sum_of(const struct mrd_merge_erased *all, size_t count,
                       const struct mrd_merge_erased *which)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (compare_erased(&all[middle], which) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    uint64_t samples = 0;
    for (; low < count && compare_erased(&all[low], which) == 0; low++) {
        samples += all[low].samples;
    }
    return samples;
}

/* Says of each replaced block what was done about the requests that it owed. */
static enum mrd_status settle(struct batch *batch, struct mrd_merge_batch_result *result,
                              struct mrd_error *err)
{
    const struct mrd_merge_erasures *erasures = batch->options->merge.erasures;
    struct mrd_merge_erased *all = (void *)batch->erased.data;
    const size_t count = batch->erased.size / sizeof(*all);
    if (erasures == NULL || erasures->most == 0) {
        return MRD_OK;
    }
    if (count > 0) {
        qsort(all, count, sizeof(*all), compare_erased);
    }
    mrd_auto(mrd_buf_fini)
    struct mrd_buf settled = {0};
    const struct mrd_erasure **owed =
        mrd_arena_alloc_array(batch->arena, erasures->most, sizeof(const struct mrd_erasure *));
    if (owed == NULL) {
        return mrd_arena_fail(batch->arena, err);
    }
    for (size_t i = 0; i < list_count(&batch->replaced); i++) {
        const struct mrd_block_entry *block = list_items(&batch->replaced)[i];
        const size_t owed_count =
            erasures->owed(erasures->context, block->id, owed, erasures->most);
        for (size_t k = 0; k < owed_count; k++) {
            struct mrd_merge_erased one = {.input = block->id, .erasure = owed[k]->id};
            one.samples = sum_of(all, count, &one);
            mrd_buf_append(&settled, &one, sizeof(one));
        }
    }
    struct mrd_merge_erased *sorted = (void *)settled.data;
    result->settled_count = settled.size / sizeof(*sorted);
    if (result->settled_count > 0) {
        qsort(sorted, result->settled_count, sizeof(*sorted), compare_erased);
    }
    const struct mrd_bytes copy = mrd_arena_copy(batch->arena, mrd_buf_view(&settled));
    result->settled = (const struct mrd_merge_erased *)(const void *)copy.data;
    return copy.data == NULL ? mrd_arena_fail(batch->arena, err) : MRD_OK;
}

static enum mrd_status copy_list(struct batch *batch, const struct list *list,
                                 const struct mrd_block_entry *const **out, size_t *out_count,
                                 struct mrd_error *err)
{
    const struct mrd_bytes copy = mrd_arena_copy(batch->arena, mrd_buf_view(&list->items));
    if (copy.data == NULL) {
        return mrd_arena_fail(batch->arena, err);
    }
    *out = (const struct mrd_block_entry *const *)(const void *)copy.data;
    *out_count = list_count(list);
    return MRD_OK;
}

static enum mrd_status run(struct batch *batch, struct mrd_merge_batch_result *out,
                           struct mrd_error *err)
{
    MRD_TRY(open_members(batch, err));
    MRD_TRY(merge_tenants(batch, err));
    MRD_TRY(replace_members(batch, err));
    struct mrd_merge_batch_result result = batch->sums;
    const struct mrd_bytes bad = mrd_arena_copy(batch->arena, mrd_buf_view(&batch->bad));
    if (bad.data == NULL) {
        return mrd_arena_fail(batch->arena, err);
    }
    result.bad = (const struct mrd_merge_bad *)(const void *)bad.data;
    result.bad_count = batch->bad.size / sizeof(*result.bad);
    MRD_TRY(copy_list(batch, &batch->outputs, &result.outputs, &result.output_count, err));
    MRD_TRY(copy_list(batch, &batch->rollups, &result.rollups, &result.rollup_count, err));
    MRD_TRY(copy_list(batch, &batch->replaced, &result.replaced, &result.replaced_count, err));
    MRD_TRY(settle(batch, &result, err));
    *out = result;
    return MRD_OK;
}

enum mrd_status mrd_merge_batch(const struct mrd_merge_batch_options *options,
                                struct mrd_arena *arena, struct mrd_merge_batch_result *out,
                                struct mrd_error *err)
{
    if (options->block_count == 0 || options->block_count > MRD_MERGE_BATCH_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "merge: a batch of %zu blocks: give 1 to %d",
                        options->block_count, MRD_MERGE_BATCH_MAX);
    }
    struct batch *batch = calloc(1, sizeof(*batch));
    mrd_assert(batch != NULL);
    batch->options = options;
    batch->arena = arena;
    const enum mrd_status status = run(batch, out, err);
    for (size_t i = 0; i < options->block_count; i++) {
        mrd_block_close(&batch->members[i].block);
    }
    mrd_buf_fini(&batch->inputs.items);
    mrd_buf_fini(&batch->places.items);
    mrd_buf_fini(&batch->outputs.items);
    mrd_buf_fini(&batch->rollups.items);
    mrd_buf_fini(&batch->replaced.items);
    mrd_buf_fini(&batch->bad);
    mrd_buf_fini(&batch->erased);
    free(batch);
    return status;
}
