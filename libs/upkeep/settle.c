#include "upkeep/settle.h"

#include <stdlib.h>

#include "block/reader.h"
#include "merge/erased.h"

enum { ATTEMPTS = 8 };

/* ---- one block ---- */

/* Opened when it is needed. */
struct look {
    const struct mrd_upkeep_settling *settling;
    const struct mrd_block_entry *entry;
    struct mrd_block *block;
};

static enum mrd_status open_block(struct look *look, struct mrd_error *err)
{
    const struct mrd_block_open_options options = {.control = look->settling->control};
    return look->block != NULL
               ? MRD_OK
               : mrd_block_open(look->settling->store, look->entry, &options, &look->block, err);
}

/* When the last window ends that has a time of the request (mrd_rollup_window_meets), or just before the next. */
static mrd_time_ms last_end(const struct mrd_block_entry *rollup, const struct mrd_erasure *erasure)
{
    return erasure->time_max_ms > MRD_BLOCK_TIME_MAX
               ? INT64_MAX
               : erasure->time_max_ms + rollup->resolution_ms - 1;
}

/* Rows of series that a selector selects and none before it does. */
static enum mrd_status count_selected(struct look *look, const struct mrd_erasure *erasure,
                                      size_t selector, uint64_t *rows, struct mrd_error *err)
{
    const struct mrd_block_select select = {
        .tenant = erasure->tenant,
        .matchers = erasure->selectors[selector].matchers,
        .matcher_count = erasure->selectors[selector].matcher_count,
        .min_ms = erasure->time_min_ms,
        .max_ms = last_end(look->entry, erasure),
    };
    const struct mrd_block_cursor_options options = {.columns = 1U << MRD_ROW_COUNT,
                                                     .pieces = true};
    const struct mrd_erasure before = {.selectors = erasure->selectors, .selector_count = selector};
    const struct mrd_block_series *series = NULL;
    mrd_auto(mrd_block_cursor_close)
    struct mrd_block_cursor *cursor = NULL;
    MRD_TRY(mrd_block_select(look->block, &select, &options, &cursor, err));
    MRD_TRY(mrd_block_cursor_next(cursor, &series, err));
    while (series != NULL) {
        *rows += mrd_erasure_selects(&before, series->labels) ? 0 : series->rows->count;
        MRD_TRY(mrd_block_cursor_next(cursor, &series, err));
    }
    return MRD_OK;
}

static enum mrd_status count_rows(struct look *look, const struct mrd_erasure *erasure,
                                  uint64_t *rows, struct mrd_error *err)
{
    MRD_TRY(open_block(look, err));
    for (size_t i = 0; i < erasure->selector_count; i++) {
        MRD_TRY(count_selected(look, erasure, i, rows, err));
    }
    return MRD_OK;
}

/* Of samples by the sidecar alone, of rollups by their rows. */
static enum mrd_status has_any(struct look *look, const struct mrd_erasure *erasure, bool *out,
                               struct mrd_error *err)
{
    uint64_t rows = 0;
    if (look->entry->resolution_ms != 0) {
        MRD_TRY(count_rows(look, erasure, &rows, err));
        *out = rows > 0;
        return MRD_OK;
    }
    MRD_TRY(open_block(look, err));
    return mrd_merge_has_erased(look->block, erasure, INT64_MIN, INT64_MAX, out, err);
}

static bool is_of_block(enum mrd_status status)
{
    return status == MRD_E_CORRUPT || status == MRD_E_NOT_FOUND || status == MRD_E_UNSUPPORTED;
}

/* ---- what leaves ---- */

struct settle {
    const struct mrd_upkeep_settling *settling;
    struct mrd_catalog_state *state;
    struct mrd_catalog_requests *requests; /* of the state, read when one is needed */
    struct mrd_buf settled;
    bool overtaken;
};

int mrd_upkeep_done_compare(const void *a, const void *b)
{
    const struct mrd_merge_erased *x = a;
    const struct mrd_merge_erased *y = b;
    const int order = mrd_bytes_compare(x->input, y->input);
    return order != 0 ? order : mrd_id128_compare(x->erasure, y->erasure);
}

static const struct mrd_erasure *find_request(const struct mrd_catalog_requests *requests,
                                              struct mrd_id128 id)
{
    const struct mrd_erasure *found = NULL;
    for (size_t i = 0; i < mrd_catalog_requests_count(requests) && found == NULL; i++) {
        const struct mrd_catalog_erasure *erasure;
        const struct mrd_erasure *request = mrd_catalog_requests_at(requests, i, &erasure);
        found = mrd_id128_equal(erasure->id, id) ? request : NULL;
    }
    return found;
}

static enum mrd_status request_of(struct settle *settle, struct mrd_id128 id,
                                  const struct mrd_erasure **out, struct mrd_error *err)
{
    const struct mrd_upkeep_settling *settling = settle->settling;
    if (settle->requests == NULL) {
        MRD_TRY(mrd_catalog_requests_load(settling->store, settle->state, settling->requests,
                                          settling->control, &settle->requests, err));
    }
    *out = find_request(settle->requests, id);
    mrd_assert(*out != NULL); /* it is owed, so it is read */
    return MRD_OK;
}

static enum mrd_status settle_one(struct settle *settle, struct look *look,
                                  const struct mrd_catalog_erasure *erasure, struct mrd_error *err)
{
    const struct mrd_upkeep_settling *settling = settle->settling;
    const struct mrd_merge_erased key = {.input = look->entry->id, .erasure = erasure->id};
    const struct mrd_merge_erased *done = settling->done_count == 0
                                              ? NULL
                                              : bsearch(&key, settling->done, settling->done_count,
                                                        sizeof(key), mrd_upkeep_done_compare);
    struct mrd_catalog_settled settled = {.erasure = erasure->id, .block = look->entry->id};
    if (done != NULL) {
        settled.samples = done->samples;
    } else {
        const struct mrd_erasure *request;
        struct mrd_error why = {0};
        bool any = false;
        MRD_TRY(request_of(settle, erasure->id, &request, err));
        const bool is_rollup = look->entry->resolution_ms != 0;
        const enum mrd_status status = is_rollup ? count_rows(look, request, &settled.samples, &why)
                                                 : has_any(look, request, &any, &why);
        if (status != MRD_OK && !is_of_block(status)) {
            return mrd_fail(err, status, "%s", why.text);
        }
        if (status != MRD_OK && is_rollup) { /* as if all of it was to go */
            settled.samples = MRD_MAX(look->entry->counts.samples, (uint64_t)1);
        }
        any = is_rollup ? settling->keeps_rows && settled.samples > 0 : any || status != MRD_OK;
        settle->overtaken |= any;
    }
    mrd_buf_append(&settle->settled, &settled, sizeof(settled));
    return MRD_OK;
}

static enum mrd_status settle_block(struct settle *settle, struct mrd_bytes id,
                                    struct mrd_error *err)
{
    struct look look = {.settling = settle->settling, .entry = mrd_catalog_find(settle->state, id)};
    enum mrd_status status = MRD_OK;
    mrd_assert(look.entry != NULL);
    for (size_t i = 0; i < mrd_catalog_erasure_count(settle->state) && status == MRD_OK; i++) {
        const struct mrd_catalog_erasure *erasure = mrd_catalog_erasure_at(settle->state, i);
        if (mrd_catalog_erasure_owes(erasure, id)) {
            status = settle_one(settle, &look, erasure, err);
        }
    }
    mrd_block_close(&look.block);
    return status;
}

enum mrd_status mrd_upkeep_settle(const struct mrd_upkeep_settling *settling,
                                  struct mrd_catalog_state *state, const struct mrd_bytes *removed,
                                  size_t removed_count, struct mrd_arena *arena,
                                  const struct mrd_catalog_settled **out, size_t *out_count,
                                  bool *out_overtaken, struct mrd_error *err)
{
    struct settle settle = {.settling = settling, .state = state};
    enum mrd_status status = MRD_OK;
    for (size_t i = 0; i < removed_count && status == MRD_OK && !settle.overtaken; i++) {
        status = settle_block(&settle, removed[i], err);
    }
    *out_overtaken = settle.overtaken;
    if (status == MRD_OK && !settle.overtaken) {
        const struct mrd_bytes copy = mrd_arena_copy(arena, mrd_buf_view(&settle.settled));
        *out = (const struct mrd_catalog_settled *)(const void *)copy.data;
        *out_count = copy.size / sizeof(**out);
        status = copy.data == NULL ? mrd_arena_fail(arena, err) : MRD_OK;
    }
    mrd_catalog_requests_destroy(&settle.requests);
    mrd_buf_fini(&settle.settled);
    return status;
}

/* ---- what stays ---- */

static void add_nothing(struct mrd_buf *settled, struct mrd_id128 erasure, struct mrd_bytes block)
{
    const struct mrd_catalog_settled one = {.erasure = erasure, .block = block};
    if (settled->size / sizeof(one) < MRD_UPKEEP_SETTLED_MAX) {
        mrd_buf_append(settled, &one, sizeof(one));
    }
}

/* Notes what the block has nothing of; *out_any: it has something. */
static enum mrd_status look_at(struct look *look, const struct mrd_erasure *const *owed,
                               size_t owed_count, struct mrd_buf *settled, bool *out_any,
                               struct mrd_error *err)
{
    for (size_t i = 0; i < owed_count; i++) {
        struct mrd_error why = {0};
        bool any = false;
        const enum mrd_status status = has_any(look, owed[i], &any, &why);
        if (status != MRD_OK && !is_of_block(status)) {
            return mrd_fail(err, status, "%s", why.text);
        }
        if (status == MRD_OK && !any) {
            add_nothing(settled, owed[i]->id, look->entry->id);
        } else {
            *out_any = true;
        }
    }
    return MRD_OK;
}

static enum mrd_status take(struct mrd_arena *arena, const struct mrd_buf *settled,
                            struct mrd_upkeep_looked *out, struct mrd_error *err)
{
    const struct mrd_bytes copy = mrd_arena_copy(arena, mrd_buf_view(settled));
    out->settled = (struct mrd_catalog_settled *)(uintptr_t)copy.data;
    out->settled_count = copy.size / sizeof(*out->settled);
    return copy.data == NULL ? mrd_arena_fail(arena, err) : MRD_OK;
}

enum mrd_status mrd_upkeep_look(const struct mrd_upkeep_settling *settling,
                                const struct mrd_upkeep_unit *unit, struct mrd_arena *arena,
                                struct mrd_upkeep_looked *out, struct mrd_error *err)
{
    const size_t most = mrd_catalog_requests_count(settling->requests);
    const struct mrd_erasure **owed =
        mrd_arena_alloc_array(arena, most + 1, sizeof(const struct mrd_erasure *));
    struct mrd_upkeep_looked looked = {
        .blocks = mrd_arena_alloc_array(arena, unit->block_count + 1,
                                        sizeof(const struct mrd_block_entry *))};
    if (owed == NULL || looked.blocks == NULL) {
        return mrd_arena_fail(arena, err);
    }
    mrd_auto(mrd_buf_fini)
    struct mrd_buf settled = {0};
    for (size_t i = 0; i < unit->block_count; i++) {
        struct look look = {.settling = settling, .entry = unit->blocks[i]};
        const size_t count =
            mrd_catalog_requests_owed(settling->requests, look.entry->id, owed, most);
        bool any = false;
        const enum mrd_status status = look_at(&look, owed, count, &settled, &any, err);
        mrd_block_close(&look.block);
        MRD_TRY(status);
        if (any) {
            looked.blocks[looked.block_count++] = unit->blocks[i];
        }
    }
    MRD_TRY(take(arena, &settled, &looked, err));
    *out = looked;
    return MRD_OK;
}

bool mrd_upkeep_rollup_is_free(const struct mrd_catalog_state *state,
                               const struct mrd_block_entry *rollup,
                               const struct mrd_catalog_erasure *erasure)
{
    bool free = rollup->origin.parent_count > 0;
    for (size_t i = 0; i < rollup->origin.parent_count && free; i++) {
        const struct mrd_bytes parent = rollup->origin.parents[i];
        free =
            mrd_catalog_find(state, parent) != NULL && !mrd_catalog_erasure_owes(erasure, parent);
    }
    return free;
}

static bool owes_any(const struct mrd_catalog_state *state, struct mrd_bytes id)
{
    for (size_t i = 0; i < mrd_catalog_erasure_count(state); i++) {
        if (mrd_catalog_erasure_owes(mrd_catalog_erasure_at(state, i), id)) {
            return true;
        }
    }
    return false;
}

bool mrd_upkeep_rollup_is_alone(const struct mrd_catalog_state *state,
                                const struct mrd_block_entry *rollup)
{
    size_t there = 0;
    for (size_t i = 0; i < rollup->origin.parent_count; i++) {
        const struct mrd_bytes parent = rollup->origin.parents[i];
        if (owes_any(state, parent)) {
            return false;
        }
        there += mrd_catalog_find(state, parent) != NULL;
    }
    return there < rollup->origin.parent_count || rollup->origin.parent_count == 0;
}

enum mrd_status mrd_upkeep_look_at_rollups(struct mrd_catalog_state *state,
                                           const struct mrd_upkeep_index *index,
                                           const struct mrd_upkeep_unit *unit,
                                           struct mrd_arena *arena, struct mrd_upkeep_looked *out,
                                           struct mrd_error *err)
{
    const struct mrd_upkeep_span span =
        mrd_upkeep_index_rollups(index, unit->residency_class, unit->tenant, unit->level);
    struct mrd_upkeep_looked looked = {0};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf settled = {0};
    for (size_t i = 0; i < span.count; i++) {
        for (size_t k = 0; k < mrd_catalog_erasure_count(state); k++) {
            const struct mrd_catalog_erasure *erasure = mrd_catalog_erasure_at(state, k);
            if (mrd_catalog_erasure_owes(erasure, span.blocks[i]->id) &&
                mrd_upkeep_rollup_is_free(state, span.blocks[i], erasure)) {
                add_nothing(&settled, erasure->id, span.blocks[i]->id);
            }
        }
    }
    MRD_TRY(take(arena, &settled, &looked, err));
    *out = looked;
    return MRD_OK;
}

static size_t keep_owed(const struct mrd_catalog_state *state, struct mrd_catalog_settled *settled,
                        size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        const struct mrd_catalog_erasure *erasure =
            mrd_catalog_erasure_find(state, settled[i].erasure);
        if (erasure != NULL && mrd_catalog_erasure_owes(erasure, settled[i].block)) {
            settled[kept++] = settled[i];
        }
    }
    return kept;
}

enum mrd_status mrd_upkeep_settle_nothing(struct mrd_catalog *catalog,
                                          const struct mrd_objstore_control *control,
                                          struct mrd_catalog_settled *settled, size_t settled_count,
                                          size_t *out_count, struct mrd_error *err)
{
    enum mrd_status status = MRD_E_CONFLICT;
    size_t count = settled_count;
    for (size_t i = 0; i < ATTEMPTS && count > 0; i++) {
        MRD_TRY(mrd_catalog_refresh(catalog, control, err));
        struct mrd_catalog_state *state = mrd_catalog_pin(catalog);
        count = keep_owed(state, settled, count);
        mrd_catalog_unpin(&state);
        const struct mrd_catalog_change change = {.settled = settled, .settled_count = count};
        status = count == 0 ? MRD_OK : mrd_catalog_commit(catalog, &change, control, err);
        if (status != MRD_E_CONFLICT && status != MRD_E_UNAVAILABLE) {
            break;
        }
    }
    *out_count = count;
    return count == 0 ? MRD_OK : status;
}
