/* Erasures of a state: what blocks owe. */
#include <stdlib.h>

#include "catalog/state_internal.h"

enum { ID_SIZE = 16 };

/* ---- lists of names ---- */

/* Nothing happens if it is there. */
static enum mrd_status name_add(struct mrd_catalog_state *state, struct cat_list *list,
                                struct mrd_bytes name, size_t memory_max, struct mrd_error *err)
{
    return cat_list_find(list, name, MRD_BYTES_NONE) != NULL
               ? MRD_OK
               : cat_state_insert(state, list, cat_item_name(name), memory_max, err);
}

static bool name_remove(struct mrd_catalog_state *state, struct cat_list *list,
                        struct mrd_bytes name)
{
    bool found;
    const size_t at = cat_list_place(list, name, MRD_BYTES_NONE, &found);
    if (found) {
        struct cat_item *item = cat_list_remove(list, at);
        state->memory -= cat_item_memory(item);
        cat_item_release(item);
    }
    return found;
}

/* ---- erasures ---- */

static size_t place(const struct mrd_catalog_state *state, struct mrd_id128 id, bool *out_found)
{
    size_t low = 0;
    size_t high = state->erasure_count;
    *out_found = false;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = mrd_id128_compare(state->erasures[middle]->view.id, id);
        if (order == 0) {
            *out_found = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct cat_erasure *find(const struct mrd_catalog_state *state, struct mrd_id128 id)
{
    bool found;
    const size_t at = place(state, id, &found);
    return found ? state->erasures[at] : NULL;
}

static void count_up(struct cat_erasure *erasure)
{
    erasure->view.owed_count = erasure->owed.count;
    erasure->view.leaving_count = erasure->leaving.count;
}

static void changed_at(struct cat_erasure *erasure, const struct cat_moment *moment)
{
    erasure->view.changed = moment->number;
    erasure->view.changed_ms = moment->time_ms;
    count_up(erasure);
}

static void release(struct cat_erasure *erasure)
{
    cat_list_fini(&erasure->owed);
    cat_list_fini(&erasure->leaving);
    cat_item_release(erasure->texts);
    free(erasure);
}

void cat_erasures_fini(struct mrd_catalog_state *state)
{
    for (size_t i = 0; i < state->erasure_count; i++) {
        release(state->erasures[i]);
    }
    free(state->erasures);
}

void cat_erasures_copy(struct mrd_catalog_state *to, const struct mrd_catalog_state *from)
{
    to->erasure_count = from->erasure_count;
    to->erasure_capacity = from->erasure_count + 1;
    to->erasures = calloc(to->erasure_capacity, sizeof(struct cat_erasure *));
    mrd_assert(to->erasures != NULL);
    for (size_t i = 0; i < from->erasure_count; i++) {
        const struct cat_erasure *old = from->erasures[i];
        struct cat_erasure *erasure = calloc(1, sizeof(*erasure));
        mrd_assert(erasure != NULL);
        erasure->view = old->view;
        erasure->texts = old->texts;
        atomic_fetch_add_explicit(&erasure->texts->references, 1, memory_order_relaxed);
        erasure->owed = cat_list_copy(&old->owed);
        erasure->leaving = cat_list_copy(&old->leaving);
        to->erasures[i] = erasure;
    }
}

/* Everything of an action but what is owed. */
static struct cat_erasure *erasure_new(const struct cat_erasure_action *action)
{
    const struct mrd_catalog_erasure_change *change = &action->change;
    struct cat_erasure *erasure = calloc(1, sizeof(*erasure));
    mrd_assert(erasure != NULL);
    struct cat_item *texts = cat_item_new();
    uint64_t *sequences =
        mrd_arena_alloc_array(texts->arena, change->partition_count, sizeof(*sequences));
    mrd_assert(sequences != NULL);
    struct mrd_reader reader = mrd_reader_of(action->sequences);
    for (uint32_t p = 0; p < change->partition_count; p++) {
        sequences[p] = mrd_read_varint(&reader);
    }
    erasure->texts = texts;
    erasure->view = (struct mrd_catalog_erasure){
        .id = change->id,
        .tenant = cat_item_text(texts, change->tenant),
        .hlc = change->hlc,
        .time_min_ms = change->time_min_ms,
        .time_max_ms = change->time_max_ms,
        .request_key = cat_item_text(texts, change->request_key),
        .request_digest = cat_item_text(texts, change->request_digest),
        .sequences = sequences,
        .partition_count = change->partition_count,
    };
    return erasure;
}

/* Takes the erasure; with too many, or one of its id, it is freed. */
static enum mrd_status insert(struct mrd_catalog_state *state, struct cat_erasure *erasure,
                              size_t memory_max, struct mrd_error *err)
{
    bool found;
    const size_t at = place(state, erasure->view.id, &found);
    const size_t memory = sizeof(*erasure) + cat_item_memory(erasure->texts);
    enum mrd_status status = MRD_OK;
    if (found) {
        status = mrd_fail(err, MRD_E_CONFLICT, "the catalog has the erasure already");
    } else if (state->erasure_count == MRD_CATALOG_ERASURES_MAX) {
        status =
            mrd_fail(err, MRD_E_CONFLICT, "%d erasures are not done yet", MRD_CATALOG_ERASURES_MAX);
    } else if (memory > memory_max - MRD_MIN(state->memory, memory_max)) {
        status = mrd_fail(err, MRD_E_LIMIT, "the catalog takes more than %zu bytes of memory",
                          memory_max);
    }
    if (status != MRD_OK) {
        release(erasure);
        return status;
    }
    if (state->erasure_count == state->erasure_capacity) {
        state->erasure_capacity = MRD_MAX(2 * state->erasure_capacity, (size_t)4);
        state->erasures =
            realloc(state->erasures, state->erasure_capacity * sizeof(struct cat_erasure *));
        mrd_assert(state->erasures != NULL);
    }
    memmove(state->erasures + at + 1, state->erasures + at,
            (state->erasure_count - at) * sizeof(struct cat_erasure *));
    state->erasures[at] = erasure;
    state->erasure_count++;
    state->memory += memory;
    return MRD_OK;
}

/* ---- what a block may have ---- */

/* By tenant and time; labels are looked at by whoever settles it. Rows of rollups are of windows that end at their times. */
static bool may_have(const struct mrd_catalog_erasure *erasure, const struct mrd_block_entry *block)
{
    const struct mrd_block_counts *counts = &block->counts;
    bool listed = block->tenants == NULL;
    for (size_t i = 0; i < block->tenant_count && !listed; i++) {
        if (mrd_bytes_equal(block->tenants[i].name, erasure->tenant)) {
            listed = true;
            counts = &block->tenants[i].counts;
        }
    }
    /* Times fit 53 bits (block/series.h), so nothing overflows. */
    return listed && counts->min_ms <= counts->max_ms && counts->max_ms >= erasure->time_min_ms &&
           counts->min_ms - block->resolution_ms <= erasure->time_max_ms;
}

/* A block that comes after the request: of level 0 what is built of the log before it; what is above was made of others, which say
 * themselves whether they owe. */
static bool is_before(const struct mrd_catalog_erasure *erasure,
                      const struct mrd_block_entry *block)
{
    const struct mrd_block_origin *origin = &block->origin;
    return block->level == 0 && origin->partition < erasure->partition_count &&
           origin->last_sequence < erasure->sequences[origin->partition];
}

enum mrd_status cat_erasures_add(struct mrd_catalog_state *state,
                                 const struct mrd_block_entry *block, size_t memory_max,
                                 struct mrd_error *err)
{
    for (size_t i = 0; i < state->erasure_count; i++) {
        struct cat_erasure *erasure = state->erasures[i];
        if (is_before(&erasure->view, block) && may_have(&erasure->view, block)) {
            MRD_TRY(name_add(state, &erasure->owed, block->id, memory_max, err));
            count_up(erasure);
        }
    }
    return MRD_OK;
}

enum mrd_status cat_erasures_remove(const struct mrd_catalog_state *state, struct mrd_bytes id,
                                    struct mrd_error *err)
{
    for (size_t i = 0; i < state->erasure_count; i++) {
        if (mrd_catalog_erasure_owes(&state->erasures[i]->view, id)) {
            return mrd_fail(err, MRD_E_CONFLICT,
                            "block %.*s has samples that are to be erased, and nothing was "
                            "done about it",
                            MRD_FMT(id));
        }
    }
    return MRD_OK;
}

void cat_erasures_purge(struct mrd_catalog_state *state, struct mrd_bytes id)
{
    for (size_t i = 0; i < state->erasure_count; i++) {
        (void)name_remove(state, &state->erasures[i]->leaving, id);
        count_up(state->erasures[i]);
    }
}

/* Of those that the log is built past now, and was not before, no further block can come. */
void cat_erasures_built(struct mrd_catalog_state *state,
                        const struct mrd_catalog_built_change *change,
                        const struct cat_moment *moment)
{
    for (size_t i = 0; i < state->erasure_count; i++) {
        struct cat_erasure *erasure = state->erasures[i];
        const struct mrd_catalog_erasure *view = &erasure->view;
        if (change->partition < view->partition_count &&
            change->from < view->sequences[change->partition] &&
            mrd_catalog_erasure_passed(state, view)) {
            changed_at(erasure, moment);
        }
    }
}

/* ---- actions ---- */

static enum mrd_status check_unbuilt(const struct mrd_catalog_state *state,
                                     const struct mrd_catalog_erasure *erasure,
                                     struct mrd_error *err)
{
    for (uint32_t p = 0; p < erasure->partition_count; p++) {
        const uint64_t built = mrd_catalog_built(state, p);
        if (built >= erasure->sequences[p]) {
            return mrd_fail(err, MRD_E_CONFLICT,
                            "partition %u is built up to %llu, past the erasure at %llu", p,
                            (unsigned long long)built, (unsigned long long)erasure->sequences[p]);
        }
    }
    return MRD_OK;
}

static void id_bytes(struct mrd_id128 id, uint8_t out[ID_SIZE])
{
    for (int i = 0; i < ID_SIZE; i++) { /* big-endian: sorts as the ids do */
        out[i] = (uint8_t)((i < 8 ? id.high : id.low) >> (8 * (7 - i % 8)));
    }
}

enum mrd_status cat_erasures_begin(struct mrd_catalog_state *state,
                                   const struct cat_erasure_action *action,
                                   const struct cat_moment *moment, size_t memory_max,
                                   struct mrd_error *err)
{
    struct cat_erasure *erasure = erasure_new(action);
    enum mrd_status status = check_unbuilt(state, &erasure->view, err);
    if (status == MRD_OK && mrd_catalog_receipt_find(state, erasure->view.id) != NULL) {
        status = mrd_fail(err, MRD_E_CONFLICT, "the erasure is done already");
    }
    if (status != MRD_OK) {
        release(erasure);
        return status;
    }
    MRD_TRY(insert(state, erasure, memory_max, err));
    for (size_t i = 0; i < state->blocks.count; i++) {
        const struct mrd_block_entry *block = &state->blocks.items[i]->block;
        if (may_have(&erasure->view, block)) {
            MRD_TRY(name_add(state, &erasure->owed, block->id, memory_max, err));
        }
    }
    for (size_t i = 0; i < state->gone.count; i++) {
        MRD_TRY(name_add(state, &erasure->leaving, state->gone.items[i]->gone.id, memory_max, err));
    }
    erasure->view.since_ms = moment->time_ms;
    changed_at(erasure, moment);
    return MRD_OK;
}

enum mrd_status cat_erasures_settle(struct mrd_catalog_state *state,
                                    const struct mrd_catalog_settled *settled,
                                    const struct cat_moment *moment, size_t memory_max,
                                    struct mrd_error *err)
{
    struct cat_erasure *erasure = find(state, settled->erasure);
    if (erasure == NULL || !name_remove(state, &erasure->owed, settled->block)) {
        return mrd_fail(err, MRD_E_CONFLICT, "block %.*s does not owe the erasure",
                        MRD_FMT(settled->block));
    }
    if (settled->samples > 0) {
        MRD_TRY(name_add(state, &erasure->leaving, settled->block, memory_max, err));
        erasure->view.blocks++;
        erasure->view.samples += settled->samples;
    }
    changed_at(erasure, moment);
    return MRD_OK;
}

struct cat_item *cat_receipt_item(const struct mrd_catalog_receipt *receipt)
{
    uint8_t key[ID_SIZE];
    struct cat_item *item = cat_item_new();
    id_bytes(receipt->id, key);
    item->receipt = *receipt;
    item->receipt.tenant = cat_item_text(item, receipt->tenant);
    item->receipt.request_digest = cat_item_text(item, receipt->request_digest);
    item->key[0] = cat_item_text(item, (struct mrd_bytes){key, sizeof(key)});
    return item;
}

static enum mrd_status check_done(const struct mrd_catalog_state *state,
                                  const struct mrd_catalog_erasure *erasure, struct mrd_error *err)
{
    if (erasure == NULL) {
        return mrd_fail(err, MRD_E_CONFLICT, "the catalog has no such erasure");
    }
    if (erasure->owed_count + erasure->leaving_count > 0) {
        return mrd_fail(err, MRD_E_CONFLICT,
                        "the erasure is not done: %zu blocks owe it, %zu have left it files",
                        erasure->owed_count, erasure->leaving_count);
    }
    return mrd_catalog_erasure_passed(state, erasure)
               ? MRD_OK
               : mrd_fail(err, MRD_E_CONFLICT,
                          "the erasure is not done: blocks are to be built of the log before it");
}

enum mrd_status cat_erasures_end(struct mrd_catalog_state *state, struct mrd_id128 id,
                                 const struct cat_moment *moment, size_t memory_max,
                                 struct mrd_error *err)
{
    bool found;
    const size_t at = place(state, id, &found);
    MRD_TRY(check_done(state, found ? &state->erasures[at]->view : NULL, err));
    struct cat_erasure *erasure = state->erasures[at];
    const struct mrd_catalog_receipt receipt = {
        .id = id,
        .tenant = erasure->view.tenant,
        .hlc = erasure->view.hlc,
        .time_min_ms = erasure->view.time_min_ms,
        .time_max_ms = erasure->view.time_max_ms,
        .request_digest = erasure->view.request_digest,
        .since_ms = erasure->view.since_ms,
        .done_ms = moment->time_ms,
        .blocks = erasure->view.blocks,
        .samples = erasure->view.samples,
    };
    MRD_TRY(cat_state_insert(state, &state->receipts, cat_receipt_item(&receipt), memory_max, err));
    state->memory -= sizeof(*erasure) + cat_item_memory(erasure->texts);
    state->erasure_count--;
    memmove(state->erasures + at, state->erasures + at + 1,
            (state->erasure_count - at) * sizeof(struct cat_erasure *));
    release(erasure);
    return MRD_OK;
}

static enum mrd_status restore_names(struct mrd_catalog_state *state, struct cat_list *list,
                                     struct mrd_bytes ids, size_t count, size_t memory_max,
                                     struct mrd_error *err)
{
    struct mrd_reader reader = mrd_reader_of(ids);
    for (size_t i = 0; i < count; i++) {
        MRD_TRY(name_add(state, list, cat_record_id(&reader), memory_max, err));
    }
    return MRD_OK;
}

enum mrd_status cat_erasures_restore(struct mrd_catalog_state *state,
                                     const struct cat_erasing_action *action, size_t memory_max,
                                     struct mrd_error *err)
{
    struct cat_erasure *erasure = erasure_new(&action->erasure);
    erasure->view.since_ms = action->since_ms;
    erasure->view.changed = action->changed;
    erasure->view.changed_ms = action->changed_ms;
    erasure->view.blocks = action->blocks;
    erasure->view.samples = action->samples;
    MRD_TRY(insert(state, erasure, memory_max, err));
    MRD_TRY(
        restore_names(state, &erasure->owed, action->owed, action->owed_count, memory_max, err));
    MRD_TRY(restore_names(state, &erasure->leaving, action->leaving, action->leaving_count,
                          memory_max, err));
    count_up(erasure);
    return MRD_OK;
}

/* ---- checkpoints ---- */

static void encode_names(const struct cat_list *list, struct mrd_buf *out)
{
    for (size_t i = 0; i < list->count; i++) {
        mrd_buf_append_varint(out, list->items[i]->key[0].size);
        mrd_buf_append_bytes(out, list->items[i]->key[0]);
    }
}

static void encode_erasure(const struct cat_erasure *erasure, struct mrd_buf *out)
{
    const struct mrd_catalog_erasure *view = &erasure->view;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf owed = {0};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf leaving = {0};
    encode_names(&erasure->owed, &owed);
    encode_names(&erasure->leaving, &leaving);
    const struct mrd_catalog_erasure_change change = {
        .id = view->id,
        .tenant = view->tenant,
        .hlc = view->hlc,
        .time_min_ms = view->time_min_ms,
        .time_max_ms = view->time_max_ms,
        .request_key = view->request_key,
        .request_digest = view->request_digest,
        .sequences = view->sequences,
        .partition_count = view->partition_count,
    };
    const struct cat_erasing_action erasing = {
        .erasure = {.change = change},
        .since_ms = view->since_ms,
        .changed = view->changed,
        .changed_ms = view->changed_ms,
        .blocks = view->blocks,
        .samples = view->samples,
        .owed_count = erasure->owed.count,
        .owed = mrd_buf_view(&owed),
        .leaving_count = erasure->leaving.count,
        .leaving = mrd_buf_view(&leaving),
    };
    cat_record_add(out, &(struct cat_action){.kind = CAT_ERASING, .erasing = erasing});
}

void cat_erasures_encode(const struct mrd_catalog_state *state, struct mrd_buf *out)
{
    for (size_t i = 0; i < state->erasure_count; i++) {
        encode_erasure(state->erasures[i], out);
    }
    for (size_t i = 0; i < state->receipts.count; i++) {
        const struct mrd_catalog_receipt *receipt = &state->receipts.items[i]->receipt;
        cat_record_add(out, &(struct cat_action){.kind = CAT_RECEIPT, .receipt = *receipt});
    }
}

/* ---- looking ---- */

size_t mrd_catalog_erasure_count(const struct mrd_catalog_state *state)
{
    return state->erasure_count;
}

const struct mrd_catalog_erasure *mrd_catalog_erasure_at(const struct mrd_catalog_state *state,
                                                         size_t index)
{
    mrd_assert(index < state->erasure_count);
    return &state->erasures[index]->view;
}

const struct mrd_catalog_erasure *mrd_catalog_erasure_find(const struct mrd_catalog_state *state,
                                                           struct mrd_id128 id)
{
    const struct cat_erasure *erasure = find(state, id);
    return erasure == NULL ? NULL : &erasure->view;
}

/* The view is the first member of what a state has. */
static const struct cat_erasure *whole(const struct mrd_catalog_erasure *view)
{
    return (const struct cat_erasure *)view;
}

struct mrd_bytes mrd_catalog_erasure_owed(const struct mrd_catalog_erasure *erasure, size_t index)
{
    mrd_assert(index < erasure->owed_count);
    return whole(erasure)->owed.items[index]->key[0];
}

struct mrd_bytes mrd_catalog_erasure_leaving(const struct mrd_catalog_erasure *erasure,
                                             size_t index)
{
    mrd_assert(index < erasure->leaving_count);
    return whole(erasure)->leaving.items[index]->key[0];
}

bool mrd_catalog_erasure_owes(const struct mrd_catalog_erasure *erasure, struct mrd_bytes block_id)
{
    return cat_list_find(&whole(erasure)->owed, block_id, MRD_BYTES_NONE) != NULL;
}

bool mrd_catalog_erasure_passed(const struct mrd_catalog_state *state,
                                const struct mrd_catalog_erasure *erasure)
{
    for (uint32_t p = 0; p < erasure->partition_count; p++) {
        if (mrd_catalog_built(state, p) < erasure->sequences[p]) {
            return false;
        }
    }
    return true;
}

size_t mrd_catalog_receipt_count(const struct mrd_catalog_state *state)
{
    return state->receipts.count;
}

const struct mrd_catalog_receipt *mrd_catalog_receipt_at(const struct mrd_catalog_state *state,
                                                         size_t index)
{
    mrd_assert(index < state->receipts.count);
    return &state->receipts.items[index]->receipt;
}

const struct mrd_catalog_receipt *mrd_catalog_receipt_find(const struct mrd_catalog_state *state,
                                                           struct mrd_id128 id)
{
    uint8_t key[ID_SIZE];
    id_bytes(id, key);
    const struct cat_item *item =
        cat_list_find(&state->receipts, (struct mrd_bytes){key, sizeof(key)}, MRD_BYTES_NONE);
    return item == NULL ? NULL : &item->receipt;
}
