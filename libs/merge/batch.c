#include "merge/batch.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/parallel.h"
#include "block/reader.h"
#include "objstore/batch_store.h"

enum {
    DAY_MS = 24 * 60 * 60 * 1000,
    PROBE_BYTES = 1 << 20,
    PROBE_SERIES_BYTES = 64 << 20,
    PIECE_TENANTS = 16,           /* that one worker merges in a row */
    SMALL_SAMPLES = 1 << 19,      /* tenants up to this are read by the members' readers */
    READER_BYTES = 1 << 20,       /* of a reader beside its window: pages that are decoded */
    READER_WINDOW_MIN = 64 << 10, /* some pages of each column */
    READER_WINDOW_MAX = 4 << 20,
    READER_PIECE_BYTES = 1 << 20,
};

#define MEMORY_BYTES_MAX ((size_t)512 << 20)

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
    struct mrd_block *block; /* NULL: bad from the beginning */
    size_t at;               /* the tenant of its directory that is listed next */
    uint64_t samples;        /* that its merges have read */
    bool bad;
};

struct tenant {
    struct mrd_bytes name; /* the directories' */
    struct mrd_merge_range range;
    uint64_t samples; /* of all members */
};

/* Consecutive tenants, which one worker merges, and what came of it: in the order of the pieces that is the batch's result, whoever
 * did which of them. */
struct piece {
    size_t first;
    size_t count;
    struct list outputs;
    struct list rollups;
    struct list replaced;
    struct mrd_buf bad;    /* struct mrd_merge_bad */
    struct mrd_buf erased; /* struct mrd_merge_erased */
    struct mrd_merge_batch_result sums;
};

/* A member as a worker has it. */
struct handle {
    struct mrd_block *block; /* a twin, once it is needed */
    size_t at;               /* in its directory: where the tenant before was */
    uint64_t samples;
    struct mrd_merge_reader reader;
};

struct worker {
    struct batch *batch;
    struct mrd_arena *arena; /* of results; joined with the caller's in the end */
    struct mrd_merge_workspace *workspace;
    struct handle handles[MRD_MERGE_BATCH_MAX];
    struct piece *piece; /* at hand */
    const struct tenant *tenant;
    struct list inputs;    /* of the merge at hand: first members, then found */
    struct mrd_buf places; /* size_t: which members */
    struct mrd_buf readers;
    struct mrd_buf found;
};

struct batch {
    const struct mrd_merge_batch_options *options;
    struct mrd_arena *arena; /* the caller's */
    struct member members[MRD_MERGE_BATCH_MAX];
    struct mrd_buf tenants; /* struct tenant */
    struct mrd_buf pieces;  /* struct piece */
    struct worker *workers;
    size_t worker_count;
    size_t worker_bytes;
    size_t reader_count;   /* members that have readers: the first so many */
    size_t reader_bytes;   /* of all readers of a worker */
    struct mrd_buf bad;    /* struct mrd_merge_bad */
    struct mrd_buf erased; /* struct mrd_merge_erased */
};

static void note_bad(struct mrd_buf *list, const struct mrd_merge_bad *bad)
{
    const struct mrd_merge_bad *known = (const struct mrd_merge_bad *)(const void *)list->data;
    for (size_t i = 0; i < list->size / sizeof(*known); i++) {
        if (known[i].input == bad->input) {
            return;
        }
    }
    mrd_buf_append(list, bad, sizeof(*bad));
}

/* An error of a member: bad, if it is the member's own. */
static enum mrd_status blame(struct mrd_buf *list, const struct mrd_block_entry *entry,
                             enum mrd_status status, const struct mrd_error *why,
                             struct mrd_arena *arena, struct mrd_error *err)
{
    if (status != MRD_E_CORRUPT && status != MRD_E_NOT_FOUND) {
        return mrd_fail(err, status, "%s", why->text);
    }
    const char *reason = mrd_arena_printf(arena, "%s", why->text);
    const struct mrd_merge_bad bad = {entry, status,
                                      reason == NULL ? "no memory for the reason" : reason};
    note_bad(list, &bad);
    return MRD_OK;
}

/* What small sidecars take that are held as they are is an eighth of the memory, at most. */
static enum mrd_status open_members(struct batch *batch, struct mrd_error *err)
{
    const struct mrd_merge_batch_options *options = batch->options;
    const size_t memory =
        options->merge.memory_bytes_max == 0 ? MEMORY_BYTES_MAX : options->merge.memory_bytes_max;
    const struct mrd_block_open_options open = {.control = options->merge.control,
                                                .cache = options->merge.cache,
                                                .whole_bytes_max =
                                                    memory / 8 / options->block_count};
    for (size_t i = 0; i < options->block_count; i++) {
        struct member *member = &batch->members[i];
        struct mrd_error why = {0};
        member->entry = options->blocks[i];
        const enum mrd_status status =
            mrd_block_open(options->merge.store, member->entry, &open, &member->block, &why);
        if (status != MRD_OK) {
            MRD_TRY(blame(&batch->bad, member->entry, status, &why, batch->arena, err));
        }
    }
    return MRD_OK;
}

/* ---- the tenants ---- */

/* The next tenant of a member's directory, or NULL. */
static const struct mrd_block_tenant *listed_next(const struct member *member)
{
    size_t count = 0;
    const struct mrd_block_tenant *tenants =
        member->block == NULL ? NULL : mrd_block_tenants(member->block, &count);
    return member->at < count ? &tenants[member->at] : NULL;
}

/* Takes the tenant that comes next in order, of all members that have it. False after the last. */
static bool next_tenant(struct batch *batch, struct tenant *out)
{
    size_t having[MRD_MERGE_BATCH_MAX];
    size_t count = 0;
    for (size_t i = 0; i < batch->options->block_count; i++) {
        const struct mrd_block_tenant *tenant = listed_next(&batch->members[i]);
        const int order =
            tenant == NULL ? 1 : (count == 0 ? -1 : mrd_bytes_compare(tenant->name, out->name));
        if (order < 0) {
            count = 0;
            out->name = tenant->name;
        }
        if (order <= 0) {
            having[count++] = i;
        }
    }
    out->range = (struct mrd_merge_range){INT64_MAX, INT64_MIN};
    out->samples = 0;
    for (size_t i = 0; i < count; i++) {
        const struct mrd_block_counts *counts = &listed_next(&batch->members[having[i]])->counts;
        out->range.first_ms = MRD_MIN(out->range.first_ms, counts->min_ms);
        out->range.last_ms = MRD_MAX(out->range.last_ms, counts->max_ms);
        out->samples += counts->samples + counts->histograms;
        batch->members[having[i]].at++;
    }
    return count > 0;
}

static void list_tenants(struct batch *batch)
{
    struct tenant tenant = {0};
    while (next_tenant(batch, &tenant)) {
        if (tenant.range.first_ms <= tenant.range.last_ms) { /* it has a sample */
            mrd_buf_append(&batch->tenants, &tenant, sizeof(tenant));
        }
    }
}

/* Cuts the tenants into pieces: so many in one that what is read for them is read once, mostly, but enough pieces for all workers. */
static void cut_pieces(struct batch *batch)
{
    const struct tenant *tenants = (const struct tenant *)(const void *)batch->tenants.data;
    const size_t count = batch->tenants.size / sizeof(*tenants);
    const size_t share = count / 4 / MRD_MAX(batch->options->workers, (size_t)1);
    const size_t most = MRD_MIN(MRD_MAX(share, (size_t)1), (size_t)PIECE_TENANTS);
    for (size_t at = 0; at < count;) {
        struct piece piece = {.first = at};
        for (uint64_t samples = 0; at < count && piece.count < most && samples <= SMALL_SAMPLES;
             at++, piece.count++) {
            samples += tenants[at].samples;
        }
        mrd_buf_append(&batch->pieces, &piece, sizeof(piece));
    }
}

static struct piece *pieces_of(const struct batch *batch, size_t *out_count)
{
    *out_count = batch->pieces.size / sizeof(struct piece);
    return (struct piece *)(void *)batch->pieces.data;
}

/* ---- one merge ---- */

static struct mrd_block *handle_block(struct worker *worker, size_t place)
{
    struct handle *handle = &worker->handles[place];
    if (handle->block == NULL) {
        handle->block = mrd_block_twin(worker->batch->members[place].block);
        handle->reader.block = handle->block;
    }
    return handle->block;
}

/* What the directory of a member says of the tenant at hand; NULL: it has nothing. Tenants come in order, so it is mostly the one
 * behind that which was found last. */
static const struct mrd_block_tenant *find_tenant(struct worker *worker, size_t place)
{
    const struct member *member = &worker->batch->members[place];
    struct handle *handle = &worker->handles[place];
    size_t count = 0;
    const struct mrd_block_tenant *tenants =
        member->block == NULL ? NULL : mrd_block_tenants(member->block, &count);
    for (size_t at = handle->at; at < MRD_MIN(handle->at + 2, count); at++) {
        if (mrd_bytes_equal(tenants[at].name, worker->tenant->name)) {
            handle->at = at;
            return &tenants[at];
        }
    }
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = mrd_bytes_compare(tenants[middle].name, worker->tenant->name);
        if (order == 0) {
            handle->at = middle;
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
static enum mrd_status has_any(struct worker *worker, size_t place, struct mrd_merge_range range,
                               bool *out, struct mrd_error *err)
{
    const struct mrd_block_select select = {
        .tenant = worker->tenant->name, .min_ms = range.first_ms, .max_ms = range.last_ms};
    const struct mrd_block_cursor_options options = {
        .pieces = true, .window_bytes = PROBE_BYTES, .series_bytes_max = PROBE_SERIES_BYTES};
    struct mrd_block_cursor *cursor = NULL;
    const struct mrd_block_series *piece = NULL;
    struct mrd_error why = {0};
    *out = false;
    const struct mrd_block_tenant *tenant = find_tenant(worker, place);
    if (tenant == NULL || tenant->counts.max_ms < range.first_ms ||
        tenant->counts.min_ms > range.last_ms) {
        return MRD_OK;
    }
    if (is_in(tenant->counts.min_ms, range) || is_in(tenant->counts.max_ms, range)) {
        *out = true;
        return MRD_OK;
    }
    enum mrd_status status =
        mrd_block_select(handle_block(worker, place), &select, &options, &cursor, &why);
    if (status == MRD_OK) {
        status = mrd_block_cursor_next(cursor, &piece, &why);
    }
    mrd_block_cursor_close(&cursor);
    *out = status == MRD_OK && piece != NULL;
    return status == MRD_OK ? MRD_OK
                            : blame(&worker->piece->bad, worker->batch->members[place].entry,
                                    status, &why, worker->arena, err);
}

/* Lists the members that have something in the range. */
static enum mrd_status list_inputs(struct worker *worker, struct mrd_merge_range range,
                                   struct mrd_error *err)
{
    mrd_buf_clear(&worker->inputs.items);
    mrd_buf_clear(&worker->places);
    for (size_t i = 0; i < worker->batch->options->block_count; i++) {
        bool any = false;
        MRD_TRY(has_any(worker, i, range, &any, err));
        if (any) {
            list_add(&worker->inputs, worker->batch->members[i].entry);
            mrd_buf_append(&worker->places, &i, sizeof(i));
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

static void take_result(struct worker *worker, const struct mrd_merge_result *result)
{
    struct piece *piece = worker->piece;
    const size_t *places = (const size_t *)(const void *)worker->places.data;
    const size_t members = worker->places.size / sizeof(*places);
    for (size_t i = 0; i < list_count(&worker->inputs); i++) {
        const struct mrd_block_entry *entry = list_items(&worker->inputs)[i];
        if (i < members) {
            worker->handles[places[i]].samples += result->input_samples[i];
        } else if (!is_bad(result, entry)) {
            list_add(&piece->replaced, entry);
        }
    }
    for (size_t i = 0; i < result->output_count; i++) {
        list_add(&piece->outputs, &result->outputs[i]);
    }
    for (size_t i = 0; i < result->rollup_count; i++) {
        list_add(&piece->rollups, &result->rollups[i]);
    }
    piece->sums.merges++;
    piece->sums.samples_in += result->samples_in;
    piece->sums.samples_out += result->samples_out;
    piece->sums.duplicates += result->duplicates;
    piece->sums.overridden += result->overridden;
    piece->sums.unordered += result->unordered;
    piece->sums.erased += result->erased;
    mrd_buf_append(&piece->erased, result->erasures,
                   result->erasure_count * sizeof(*result->erasures));
    for (size_t i = 0; i < result->bad_count; i++) {
        note_bad(&piece->bad, &result->bad[i]);
    }
}

/* All prefixes as texts, one after the other in `texts`: first that of the outputs. *out_series is left alone if there is none. */
static enum mrd_status find_prefixes(struct worker *worker, struct mrd_merge_range range,
                                     struct mrd_buf *texts, const char **out_rollups,
                                     const char **out_series, struct mrd_error *err)
{
    const struct mrd_merge_batch_options *options = worker->batch->options;
    const struct mrd_bytes tenant = worker->tenant->name;
    const size_t count = MRD_MIN(options->merge.resolution_count, (size_t)MRD_ROLLUP_LEVELS_MAX);
    size_t at[MRD_ROLLUP_LEVELS_MAX];
    MRD_TRY(options->prefix(options->context, tenant, range, texts, err));
    mrd_buf_append_u8(texts, 0);
    for (size_t i = 0; i < count; i++) {
        at[i] = texts->size;
        MRD_TRY(options->rollup_prefix(options->context, tenant, range,
                                       options->merge.resolutions_ms[i], texts, err));
        mrd_buf_append_u8(texts, 0);
    }
    const size_t series_at = texts->size;
    if (options->series_prefix != NULL) {
        MRD_TRY(options->series_prefix(options->context, tenant, range, texts, err));
        mrd_buf_append_u8(texts, 0);
        *out_series = (const char *)texts->data + series_at;
    }
    for (size_t i = 0; i < count; i++) {
        out_rollups[i] = (const char *)texts->data + at[i];
    }
    return MRD_OK;
}

/* Adds what the outputs' level has. */
static enum mrd_status add_found(struct worker *worker, struct mrd_merge_range range,
                                 struct mrd_error *err)
{
    const struct mrd_merge_batch_options *options = worker->batch->options;
    mrd_buf_clear(&worker->found);
    MRD_TRY(options->find(options->context, worker->tenant->name, range, &worker->found, err));
    const struct mrd_block_entry *const *found = (const void *)worker->found.data;
    for (size_t i = 0; i < worker->found.size / sizeof(*found); i++) {
        if (found[i]->counts.min_ms < range.first_ms || found[i]->counts.max_ms > range.last_ms) {
            return mrd_fail(err, MRD_E_INVALID, "merge: block %.*s is not of one period",
                            MRD_FMT(found[i]->id));
        }
        struct mrd_block_entry *kept = mrd_arena_alloc(worker->arena, sizeof(*kept));
        if (kept == NULL) {
            return mrd_arena_fail(worker->arena, err);
        }
        MRD_TRY(mrd_block_entry_copy(found[i], worker->arena, kept, err));
        list_add(&worker->inputs, kept);
    }
    return MRD_OK;
}

static void close_readers(struct worker *worker)
{
    for (size_t i = 0; i < worker->batch->reader_count; i++) {
        mrd_block_cursor_close(&worker->handles[i].reader.cursor);
    }
}

/* Many small tenants share what is read for each of them. A large one has all the memory for itself. */
static void share_memory(struct worker *worker, struct mrd_merge_options *merge)
{
    const struct batch *batch = worker->batch;
    const size_t *places = (const size_t *)(const void *)worker->places.data;
    merge->memory_bytes_max = batch->worker_bytes;
    if (batch->reader_count == 0 || worker->tenant->samples > SMALL_SAMPLES) {
        close_readers(worker);
        return;
    }
    merge->memory_bytes_max = batch->worker_bytes - batch->reader_bytes;
    mrd_buf_clear(&worker->readers);
    for (size_t i = 0; i < list_count(&worker->inputs); i++) {
        struct mrd_merge_reader *reader = NULL;
        if (i < worker->places.size / sizeof(*places) && places[i] < batch->reader_count) {
            (void)handle_block(worker, places[i]);
            reader = &worker->handles[places[i]].reader;
        }
        mrd_buf_append(&worker->readers, (const void *)&reader, sizeof(reader));
    }
    merge->readers = (struct mrd_merge_reader *const *)(const void *)worker->readers.data;
}

static enum mrd_status merge_period(struct worker *worker, struct mrd_merge_range range,
                                    struct mrd_error *err)
{
    const struct mrd_merge_batch_options *options = worker->batch->options;
    struct mrd_merge_options merge = options->merge;
    struct mrd_merge_result result;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf prefix = {0};
    const char *prefixes[MRD_ROLLUP_LEVELS_MAX] = {NULL};
    MRD_TRY(add_found(worker, range, err));
    merge.series_prefix = NULL;
    MRD_TRY(find_prefixes(worker, range, &prefix, prefixes, &merge.series_prefix, err));
    merge.inputs = (const struct mrd_block_entry *const *)(const void *)worker->inputs.items.data;
    merge.input_count = list_count(&worker->inputs);
    merge.tenant = worker->tenant->name;
    merge.min_ms = range.first_ms;
    merge.max_ms = range.last_ms;
    merge.prefix = (const char *)prefix.data;
    merge.rollup_prefixes = prefixes;
    merge.workspace = worker->workspace;
    share_memory(worker, &merge);
    if (options->adjust != NULL) {
        MRD_TRY(options->adjust(options->context, worker->tenant->name, range, &merge, err));
    }
    MRD_TRY(mrd_merge_run(&merge, worker->arena, &result, err));
    take_result(worker, &result);
    return MRD_OK;
}

/* ---- one tenant ---- */

/* Merges the periods of a range that have anything: looks at the whole first, then at its halves, so that a sample of 1970 does
 * not cost a look at each day since. */
static enum mrd_status merge_range(struct worker *worker, struct mrd_merge_range range,
                                   struct mrd_error *err)
{
    const struct mrd_merge_batch_options *options = worker->batch->options;
    struct mrd_merge_range pending[64]; /* halves of halves of 64 bits */
    size_t count = 1;
    pending[0] = range;
    while (count > 0) {
        const struct mrd_merge_range at = pending[--count];
        const struct mrd_merge_range period = mrd_merge_period_of(options->period, at.first_ms);
        MRD_TRY(mrd_objstore_check(options->merge.control, err));
        MRD_TRY(list_inputs(worker, at, err));
        if (list_count(&worker->inputs) == 0) {
            continue;
        }
        if (at.last_ms <= period.last_ms) {
            MRD_TRY(merge_period(worker, period, err));
            continue;
        }
        const mrd_time_ms middle_ms = at.first_ms + (at.last_ms - at.first_ms) / 2;
        struct mrd_merge_range cut = mrd_merge_period_of(options->period, middle_ms);
        if (cut.last_ms >= at.last_ms) { /* the middle lies in the last period */
            cut.last_ms = cut.first_ms - 1;
        }
        mrd_assert(count + 2 <= MRD_ARRAY_LEN(pending));
        pending[count++] = (struct mrd_merge_range){cut.last_ms + 1, at.last_ms};
        pending[count++] = (struct mrd_merge_range){at.first_ms, cut.last_ms};
    }
    return MRD_OK;
}

static enum mrd_status merge_piece(void *context, size_t index, size_t number,
                                   struct mrd_error *err)
{
    struct batch *batch = context;
    struct worker *worker = &batch->workers[index];
    size_t count;
    struct piece *piece = &pieces_of(batch, &count)[number];
    const struct tenant *tenants = (const struct tenant *)(const void *)batch->tenants.data;
    worker->piece = piece;
    for (size_t i = 0; i < piece->count; i++) {
        worker->tenant = &tenants[piece->first + i];
        MRD_TRY(merge_range(worker, worker->tenant->range, err));
    }
    return MRD_OK;
}

/* ---- workers ---- */

/* As many as were asked for, have enough memory and find work. Half of what a worker has is for readers, if it can spare it. */
static void plan_workers(struct batch *batch)
{
    const struct mrd_merge_options *merge = &batch->options->merge;
    const size_t memory = merge->memory_bytes_max == 0 ? MEMORY_BYTES_MAX : merge->memory_bytes_max;
    const size_t least =
        MRD_MERGE_MEMORY_MIN + merge->resolution_count * MRD_MERGE_ROLLUP_MEMORY_MIN;
    size_t pieces;
    (void)pieces_of(batch, &pieces);
    size_t count = MRD_MIN(MRD_MAX(batch->options->workers, (size_t)1), memory / least);
    count = MRD_MAX(MRD_MIN(count, pieces), (size_t)1);
    batch->worker_count = count;
    batch->worker_bytes = memory / count;
    const size_t spare = batch->worker_bytes > least ? batch->worker_bytes - least : 0;
    batch->reader_bytes = MRD_MIN(spare, batch->worker_bytes / 2);
    batch->reader_count = MRD_MIN(batch->reader_bytes / (READER_BYTES + READER_WINDOW_MIN),
                                  batch->options->block_count);
    if (batch->reader_count == 0) {
        batch->reader_bytes = 0;
    }
}

static void open_workers(struct batch *batch)
{
    const size_t each =
        batch->reader_count == 0 ? 0 : batch->reader_bytes / batch->reader_count - READER_BYTES;
    batch->workers = calloc(batch->worker_count, sizeof(*batch->workers));
    mrd_assert(batch->workers != NULL);
    for (size_t w = 0; w < batch->worker_count; w++) {
        struct worker *worker = &batch->workers[w];
        worker->batch = batch;
        worker->arena = mrd_arena_create("results of merges", mrd_arena_limit(batch->arena));
        worker->workspace = mrd_merge_workspace_create();
        for (size_t i = 0; i < batch->reader_count; i++) {
            worker->handles[i].reader = (struct mrd_merge_reader){
                .window_bytes = MRD_MIN(each, (size_t)READER_WINDOW_MAX),
                .piece_bytes = READER_PIECE_BYTES,
            };
        }
    }
}

static void close_workers(struct batch *batch)
{
    for (size_t w = 0; w < batch->worker_count; w++) {
        struct worker *worker = &batch->workers[w];
        close_readers(worker);
        for (size_t i = 0; i < batch->options->block_count; i++) {
            mrd_block_close(&worker->handles[i].block);
        }
        mrd_buf_fini(&worker->inputs.items);
        mrd_buf_fini(&worker->places);
        mrd_buf_fini(&worker->readers);
        mrd_buf_fini(&worker->found);
        mrd_merge_workspace_destroy(&worker->workspace);
        mrd_arena_destroy(&worker->arena);
    }
    free(batch->workers);
}

/* ---- the end ---- */

/* The results of all workers become the caller's. */
static enum mrd_status join_workers(struct batch *batch, struct mrd_error *err)
{
    for (size_t w = 0; w < batch->worker_count; w++) {
        struct worker *worker = &batch->workers[w];
        for (size_t i = 0; i < batch->options->block_count; i++) {
            batch->members[i].samples += worker->handles[i].samples;
        }
        if (!mrd_arena_join(batch->arena, &worker->arena)) {
            return mrd_arena_fail(batch->arena, err);
        }
    }
    return MRD_OK;
}

static void append_list(struct list *to, const struct list *from)
{
    mrd_buf_append_bytes(&to->items, mrd_buf_view(&from->items));
}

/* All pieces as one. */
static void sum_up(struct batch *batch, struct piece *out)
{
    size_t count;
    const struct piece *pieces = pieces_of(batch, &count);
    for (size_t i = 0; i < count; i++) {
        const struct piece *piece = &pieces[i];
        const struct mrd_merge_bad *bad =
            (const struct mrd_merge_bad *)(const void *)piece->bad.data;
        append_list(&out->outputs, &piece->outputs);
        append_list(&out->rollups, &piece->rollups);
        append_list(&out->replaced, &piece->replaced);
        for (size_t k = 0; k < piece->bad.size / sizeof(*bad); k++) {
            note_bad(&batch->bad, &bad[k]);
        }
        out->sums.merges += piece->sums.merges;
        out->sums.samples_in += piece->sums.samples_in;
        out->sums.samples_out += piece->sums.samples_out;
        out->sums.duplicates += piece->sums.duplicates;
        out->sums.overridden += piece->sums.overridden;
        out->sums.unordered += piece->sums.unordered;
        out->sums.erased += piece->sums.erased;
        mrd_buf_append_bytes(&batch->erased, mrd_buf_view(&piece->erased));
    }
}

static void mark_bad(struct batch *batch)
{
    const struct mrd_merge_bad *bad = (const struct mrd_merge_bad *)(const void *)batch->bad.data;
    for (size_t i = 0; i < batch->bad.size / sizeof(*bad); i++) {
        for (size_t k = 0; k < batch->options->block_count; k++) {
            batch->members[k].bad |= batch->members[k].entry == bad[i].input;
        }
    }
}

/* A block goes only if all of it was read. */
static enum mrd_status replace_members(struct batch *batch, struct list *replaced,
                                       struct mrd_error *err)
{
    for (size_t i = 0; i < batch->options->block_count; i++) {
        const struct member *member = &batch->members[i];
        if (member->bad) {
            continue;
        }
        const uint64_t want = member->entry->counts.samples + member->entry->counts.histograms;
        if (member->samples != want) {
            return mrd_fail(err, MRD_E_CORRUPT,
                            "merge: %" PRIu64 " samples of block %.*s were merged, it has %" PRIu64
                            ": nothing is changed",
                            member->samples, MRD_FMT(member->entry->id), want);
        }
        list_add(replaced, member->entry);
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
static enum mrd_status settle(struct batch *batch, const struct list *replaced,
                              struct mrd_merge_batch_result *result, struct mrd_error *err)
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
    for (size_t i = 0; i < list_count(replaced); i++) {
        const struct mrd_block_entry *block = list_items(replaced)[i];
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

static void piece_fini(struct piece *piece)
{
    mrd_buf_fini(&piece->outputs.items);
    mrd_buf_fini(&piece->rollups.items);
    mrd_buf_fini(&piece->replaced.items);
    mrd_buf_fini(&piece->bad);
    mrd_buf_fini(&piece->erased);
}

static enum mrd_status conclude(struct batch *batch, struct mrd_merge_batch_result *out,
                                struct mrd_error *err)
{
    mrd_auto(piece_fini)
    struct piece all = {0};
    MRD_TRY(join_workers(batch, err));
    sum_up(batch, &all);
    mark_bad(batch);
    MRD_TRY(replace_members(batch, &all.replaced, err));
    struct mrd_merge_batch_result result = all.sums;
    const struct mrd_bytes bad = mrd_arena_copy(batch->arena, mrd_buf_view(&batch->bad));
    if (bad.data == NULL) {
        return mrd_arena_fail(batch->arena, err);
    }
    result.bad = (const struct mrd_merge_bad *)(const void *)bad.data;
    result.bad_count = batch->bad.size / sizeof(*result.bad);
    MRD_TRY(copy_list(batch, &all.outputs, &result.outputs, &result.output_count, err));
    MRD_TRY(copy_list(batch, &all.rollups, &result.rollups, &result.rollup_count, err));
    MRD_TRY(copy_list(batch, &all.replaced, &result.replaced, &result.replaced_count, err));
    MRD_TRY(settle(batch, &all.replaced, &result, err));
    *out = result;
    return MRD_OK;
}

static enum mrd_status run(struct batch *batch, struct mrd_merge_batch_result *out,
                           struct mrd_error *err)
{
    MRD_TRY(open_members(batch, err));
    list_tenants(batch);
    cut_pieces(batch);
    plan_workers(batch);
    open_workers(batch);
    size_t pieces;
    (void)pieces_of(batch, &pieces);
    const struct mrd_parallel parallel = {.name = "merge",
                                          .workers = batch->worker_count,
                                          .pieces = pieces,
                                          .piece = merge_piece,
                                          .context = batch};
    MRD_TRY(mrd_parallel_run(&parallel, err));
    MRD_TRY(mrd_batch_store_flush(batch->options->merge.store, batch->options->merge.control, err));
    return conclude(batch, out, err);
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
    struct mrd_objstore *files = mrd_batch_store_create(options->merge.store);
    struct mrd_merge_batch_options within = *options;
    within.merge.store = files;
    batch->options = &within;
    batch->arena = arena;
    const enum mrd_status status = run(batch, out, err);
    close_workers(batch);
    for (size_t i = 0; i < options->block_count; i++) {
        mrd_block_close(&batch->members[i].block);
    }
    size_t pieces;
    struct piece *piece = pieces_of(batch, &pieces);
    for (size_t i = 0; i < pieces; i++) {
        piece_fini(&piece[i]);
    }
    mrd_buf_fini(&batch->tenants);
    mrd_buf_fini(&batch->pieces);
    mrd_buf_fini(&batch->bad);
    mrd_buf_fini(&batch->erased);
    free(batch);
    mrd_objstore_close(&files);
    return status;
}
