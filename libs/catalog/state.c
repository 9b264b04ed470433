#include <stdlib.h>

#include "catalog/state_internal.h"

/* ---- life ---- */

struct mrd_catalog_state *cat_state_new(void)
{
    struct mrd_catalog_state *state = calloc(1, sizeof(*state));
    mrd_assert(state != NULL);
    atomic_init(&state->references, 1);
    return state;
}

struct mrd_catalog_state *cat_state_copy(const struct mrd_catalog_state *state)
{
    struct mrd_catalog_state *copy = cat_state_new();
    copy->number = state->number;
    copy->blocks = cat_list_copy(&state->blocks);
    copy->tables = cat_list_copy(&state->tables);
    copy->gone = cat_list_copy(&state->gone);
    copy->receipts = cat_list_copy(&state->receipts);
    cat_erasures_copy(copy, state);
    copy->built_count = state->built_count;
    copy->built_capacity = state->built_count + 1;
    copy->built = calloc(copy->built_capacity, sizeof(*copy->built));
    mrd_assert(copy->built != NULL);
    if (state->built_count > 0) {
        memcpy(copy->built, state->built, state->built_count * sizeof(*copy->built));
    }
    copy->grace = state->grace;
    copy->memory = state->memory;
    return copy;
}

struct mrd_catalog_state *mrd_catalog_state_hold(struct mrd_catalog_state *state)
{
    atomic_fetch_add_explicit(&state->references, 1, memory_order_relaxed);
    return state;
}

void mrd_catalog_unpin(struct mrd_catalog_state **state)
{
    struct mrd_catalog_state *self = *state;
    *state = NULL;
    if (self == NULL ||
        atomic_fetch_sub_explicit(&self->references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    cat_list_fini(&self->blocks);
    cat_list_fini(&self->tables);
    cat_list_fini(&self->gone);
    cat_list_fini(&self->receipts);
    cat_erasures_fini(self);
    free(self->built);
    free(self);
}

/* ---- actions ---- */

enum mrd_status cat_state_insert(struct mrd_catalog_state *state, struct cat_list *list,
                                 struct cat_item *item, size_t memory_max, struct mrd_error *err)
{
    bool found;
    const size_t at = cat_list_place(list, item->key[0], item->key[1], &found);
    const size_t memory = cat_item_memory(item);
    if (found) {
        cat_item_release(item);
        return mrd_fail(err, MRD_E_CONFLICT, "the catalog has it already");
    }
    if (memory > memory_max - MRD_MIN(state->memory, memory_max)) {
        cat_item_release(item);
        return mrd_fail(err, MRD_E_LIMIT, "the catalog takes more than %zu bytes of memory",
                        memory_max);
    }
    state->memory += memory;
    cat_list_insert(list, at, item);
    return MRD_OK;
}

/* `fresh`: it comes with a commit, not with a checkpoint, which says itself what is owed. */
static enum mrd_status add_block(struct mrd_catalog_state *state, struct mrd_bytes encoded,
                                 bool fresh, size_t memory_max, struct mrd_error *err)
{
    struct cat_item *item = cat_item_new();
    item->encoded = cat_item_text(item, encoded);
    const enum mrd_status status =
        mrd_block_entry_decode(item->encoded, item->arena, &item->block, err);
    if (status != MRD_OK) {
        cat_item_release(item);
        return status;
    }
    item->key[0] = item->block.id;
    const struct mrd_bytes id = item->block.id;
    if (cat_list_find(&state->gone, id, MRD_BYTES_NONE) != NULL) {
        const enum mrd_status gone =
            mrd_fail(err, MRD_E_CONFLICT, "block %.*s has been removed before", MRD_FMT(id));
        cat_item_release(item);
        return gone;
    }
    MRD_TRY(cat_state_insert(state, &state->blocks, item, memory_max, err));
    return fresh ? cat_erasures_add(state, &item->block, memory_max, err) : MRD_OK;
}

static struct cat_item *gone_item(const struct mrd_catalog_gone *gone)
{
    struct cat_item *item = cat_item_new();
    item->gone = (struct mrd_catalog_gone){
        .id = cat_item_text(item, gone->id),
        .data_key = cat_item_text(item, gone->data_key),
        .sidecar_key = cat_item_text(item, gone->sidecar_key),
        .since_ms = gone->since_ms,
    };
    item->key[0] = item->gone.id;
    return item;
}

static enum mrd_status remove_block(struct mrd_catalog_state *state, struct mrd_bytes id,
                                    mrd_time_ms time_ms, size_t memory_max, struct mrd_error *err)
{
    bool found;
    const size_t at = cat_list_place(&state->blocks, id, MRD_BYTES_NONE, &found);
    if (!found) {
        return mrd_fail(err, MRD_E_CONFLICT, "there is no block %.*s", MRD_FMT(id));
    }
    MRD_TRY(cat_erasures_remove(state, id, err));
    struct cat_item *item = cat_list_remove(&state->blocks, at);
    state->memory -= cat_item_memory(item);
    const struct mrd_catalog_gone gone = {.id = item->block.id,
                                          .data_key = item->block.data.key,
                                          .sidecar_key = item->block.sidecar.key,
                                          .since_ms = time_ms};
    const enum mrd_status status =
        cat_state_insert(state, &state->gone, gone_item(&gone), memory_max, err);
    cat_item_release(item);
    return status;
}

static enum mrd_status purge(struct mrd_catalog_state *state, struct mrd_bytes id,
                             struct mrd_error *err)
{
    bool found;
    const size_t at = cat_list_place(&state->gone, id, MRD_BYTES_NONE, &found);
    if (!found) {
        return mrd_fail(err, MRD_E_CONFLICT, "block %.*s is not among those gone", MRD_FMT(id));
    }
    cat_erasures_purge(state, id);
    struct cat_item *item = cat_list_remove(&state->gone, at);
    state->memory -= cat_item_memory(item);
    cat_item_release(item);
    return MRD_OK;
}

/* Where the partition is or belongs. */
static size_t built_place(const struct mrd_catalog_state *state, uint32_t partition)
{
    size_t low = 0;
    size_t high = state->built_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (state->built[middle].partition < partition) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void built_insert(struct mrd_catalog_state *state, size_t at, uint32_t partition)
{
    if (state->built_count == state->built_capacity) {
        state->built_capacity = MRD_MAX(2 * state->built_capacity, (size_t)16);
        state->built = realloc(state->built, state->built_capacity * sizeof(*state->built));
        mrd_assert(state->built != NULL);
    }
    memmove(state->built + at + 1, state->built + at,
            (state->built_count - at) * sizeof(*state->built));
    state->built[at] = (struct mrd_catalog_built){.partition = partition};
    state->built_count++;
}

/* The partition's, made if there is none. */
static struct mrd_catalog_built *built_of(struct mrd_catalog_state *state, uint32_t partition)
{
    const size_t at = built_place(state, partition);
    if (at == state->built_count || state->built[at].partition != partition) {
        built_insert(state, at, partition);
    }
    return &state->built[at];
}

static enum mrd_status check_built(const struct mrd_catalog_state *state, uint32_t partition,
                                   uint64_t want, struct mrd_error *err)
{
    const uint64_t built = mrd_catalog_built(state, partition);
    return built == want
               ? MRD_OK
               : mrd_fail(err, MRD_E_CONFLICT, "partition %u is built up to %llu, not up to %llu",
                          partition, (unsigned long long)built, (unsigned long long)want);
}

/* `moment`: of the commit; NULL: it is a checkpoint. */
static enum mrd_status set_built(struct mrd_catalog_state *state,
                                 const struct mrd_catalog_built_change *change,
                                 const struct cat_moment *moment, struct mrd_error *err)
{
    MRD_TRY(check_built(state, change->partition, change->from, err));
    struct mrd_catalog_built *built = built_of(state, change->partition);
    built->sequence = change->to;
    built->stored_ms = 0; /* which comes with the log */
    if (moment != NULL) {
        cat_erasures_built(state, change, moment);
    }
    return MRD_OK;
}

static enum mrd_status set_log(struct mrd_catalog_state *state,
                               const struct mrd_catalog_log_change *change, struct mrd_error *err)
{
    MRD_TRY(check_built(state, change->partition, change->built, err));
    struct mrd_catalog_built *built = built_of(state, change->partition);
    if (mrd_log_identity_known(built->log) && !mrd_log_identity_equal(built->log, change->from)) {
        return mrd_fail(err, MRD_E_CONFLICT,
                        "partition %u: blocks are built of a log whose stream was made at %lld ns "
                        "(base %llu), not of the one made at %lld ns (base %llu)",
                        change->partition, (long long)built->log.created_ns,
                        (unsigned long long)built->log.base, (long long)change->from.created_ns,
                        (unsigned long long)change->from.base);
    }
    built->log = change->to;
    built->stored_ms = change->stored_ms;
    return MRD_OK;
}

static struct cat_item *table_item(const struct mrd_catalog_table_change *change)
{
    struct cat_item *item = cat_item_new();
    item->table = (struct mrd_catalog_table){
        .tenant = cat_item_text(item, change->tenant),
        .name = cat_item_text(item, change->name),
        .metadata_key = cat_item_text(item, change->to_key),
    };
    item->key[0] = item->table.tenant;
    item->key[1] = item->table.name;
    return item;
}

static enum mrd_status set_table(struct mrd_catalog_state *state,
                                 const struct mrd_catalog_table_change *change, size_t memory_max,
                                 struct mrd_error *err)
{
    bool found;
    const size_t at = cat_list_place(&state->tables, change->tenant, change->name, &found);
    const struct mrd_bytes key =
        found ? state->tables.items[at]->table.metadata_key : MRD_BYTES_NONE;
    if (!mrd_bytes_equal(key, change->from_key)) {
        return mrd_fail(err, MRD_E_CONFLICT, "table %.*s of %.*s has other metadata by now",
                        MRD_FMT(change->name), MRD_FMT(change->tenant));
    }
    if (found) {
        struct cat_item *item = cat_list_remove(&state->tables, at);
        state->memory -= cat_item_memory(item);
        cat_item_release(item);
    }
    return change->to_key.size == 0
               ? MRD_OK
               : cat_state_insert(state, &state->tables, table_item(change), memory_max, err);
}

/* In force from the commit's time on; the one before as long as somebody may go by a state that has it. Where nobody has said one, others have taken the
 * default; nobody has a state of before the first commit. */
static void set_grace(struct mrd_catalog_state *state, mrd_time_ms grace_ms, mrd_time_ms time_ms)
{
    const struct mrd_catalog_grace old = state->grace;
    const mrd_time_ms first_ms = state->number == 0 ? grace_ms : MRD_CATALOG_GRACE_MS;
    const mrd_time_ms old_ms = old.ms == 0 ? first_ms : old.ms;
    const mrd_time_ms end_ms = time_ms > INT64_MAX - old_ms ? INT64_MAX : time_ms + old_ms;
    const bool is_held = old.before_until_ms > time_ms;
    state->grace.ms = grace_ms;
    state->grace.before_ms = is_held ? MRD_MAX(old_ms, old.before_ms) : old_ms;
    state->grace.before_until_ms = is_held ? MRD_MAX(end_ms, old.before_until_ms) : end_ms;
}

/* What an action is applied in. */
struct occasion {
    enum cat_record_kind kind;
    struct cat_moment moment;
    size_t memory_max;
};

static enum mrd_status apply(struct mrd_catalog_state *state, const struct cat_action *action,
                             const struct occasion *in, struct mrd_error *err)
{
    const size_t memory_max = in->memory_max;
    switch (action->kind) {
    case CAT_ADD:
        return add_block(state, action->entry, in->kind == CAT_COMMIT, memory_max, err);
    case CAT_REMOVE:
        return remove_block(state, action->id, in->moment.time_ms, memory_max, err);
    case CAT_BUILT:
        return set_built(state, &action->built, in->kind == CAT_COMMIT ? &in->moment : NULL, err);
    case CAT_LOG:
        return set_log(state, &action->log, err);
    case CAT_TABLE:
        return set_table(state, &action->table, memory_max, err);
    case CAT_GONE:
        return cat_state_insert(state, &state->gone, gone_item(&action->gone), memory_max, err);
    case CAT_PURGED:
        return purge(state, action->id, err);
    case CAT_ERASURE:
        return cat_erasures_begin(state, &action->erasure, &in->moment, memory_max, err);
    case CAT_SETTLED:
        return cat_erasures_settle(state, &action->settled, &in->moment, memory_max, err);
    case CAT_DONE:
        return cat_erasures_end(state, action->done, &in->moment, memory_max, err);
    case CAT_ERASING:
        return cat_erasures_restore(state, &action->erasing, memory_max, err);
    case CAT_RECEIPT:
        return cat_state_insert(state, &state->receipts, cat_receipt_item(&action->receipt),
                                memory_max, err);
    case CAT_GRACE:
        set_grace(state, action->grace.ms, in->moment.time_ms);
        return MRD_OK;
    case CAT_GRACE_HELD:
        state->grace = action->grace;
        return MRD_OK;
    }
    mrd_assert(false);
    return MRD_E_INVALID;
}

enum mrd_status cat_state_apply_record(struct mrd_catalog_state *state, struct mrd_bytes record,
                                       enum cat_record_kind kind, uint64_t number,
                                       size_t memory_max, struct mrd_error *err)
{
    struct cat_header header;
    struct mrd_reader actions;
    MRD_TRY(cat_record_open(record, &header, &actions, err));
    if (header.kind != kind || header.number != number) {
        return mrd_fail(err, MRD_E_CORRUPT, "it is a record of another name");
    }
    const struct occasion in = {
        kind, {number, header.time_ms},
         memory_max
    };
    while (mrd_reader_left(&actions) > 0) {
        struct cat_action action;
        MRD_TRY(cat_record_next(&actions, kind, &action, err));
        MRD_TRY(apply(state, &action, &in, err));
    }
    state->number = number;
    return MRD_OK;
}

static void encode_built(const struct mrd_catalog_built *built, struct mrd_buf *out)
{
    const struct mrd_catalog_built_change change = {.partition = built->partition,
                                                    .to = built->sequence};
    const struct mrd_catalog_log_change log = {.partition = built->partition,
                                               .built = built->sequence,
                                               .to = built->log,
                                               .stored_ms = built->stored_ms};
    if (built->sequence > 0) {
        cat_record_add(out, &(struct cat_action){.kind = CAT_BUILT, .built = change});
    }
    if (mrd_log_identity_known(built->log)) {
        cat_record_add(out, &(struct cat_action){.kind = CAT_LOG, .log = log});
    }
}

void cat_state_encode(const struct mrd_catalog_state *state, struct mrd_buf *out)
{
    const struct cat_header header = {.kind = CAT_CHECKPOINT, .number = state->number};
    cat_record_begin(out, &header);
    for (size_t i = 0; i < state->blocks.count; i++) {
        const struct cat_item *item = state->blocks.items[i];
        cat_record_add(out, &(struct cat_action){.kind = CAT_ADD, .entry = item->encoded});
    }
    for (size_t i = 0; i < state->gone.count; i++) {
        const struct cat_item *item = state->gone.items[i];
        cat_record_add(out, &(struct cat_action){.kind = CAT_GONE, .gone = item->gone});
    }
    for (size_t i = 0; i < state->built_count; i++) {
        encode_built(&state->built[i], out);
    }
    for (size_t i = 0; i < state->tables.count; i++) {
        const struct mrd_catalog_table *table = &state->tables.items[i]->table;
        const struct mrd_catalog_table_change change = {
            .tenant = table->tenant, .name = table->name, .to_key = table->metadata_key};
        cat_record_add(out, &(struct cat_action){.kind = CAT_TABLE, .table = change});
    }
    cat_erasures_encode(state, out);
    if (state->grace.ms != 0) {
        cat_record_add(out, &(struct cat_action){.kind = CAT_GRACE_HELD, .grace = state->grace});
    }
    cat_record_end(out);
}

/* ---- looking ---- */

uint64_t mrd_catalog_number(const struct mrd_catalog_state *state) { return state->number; }

size_t mrd_catalog_block_count(const struct mrd_catalog_state *state)
{
    return state->blocks.count;
}

const struct mrd_block_entry *mrd_catalog_block(const struct mrd_catalog_state *state, size_t index)
{
    mrd_assert(index < state->blocks.count);
    return &state->blocks.items[index]->block;
}

const struct mrd_block_entry *mrd_catalog_find(const struct mrd_catalog_state *state,
                                               struct mrd_bytes id)
{
    const struct cat_item *item = cat_list_find(&state->blocks, id, MRD_BYTES_NONE);
    return item == NULL ? NULL : &item->block;
}

struct mrd_bytes cat_state_encoded(const struct mrd_catalog_state *state, struct mrd_bytes id)
{
    const struct cat_item *item = cat_list_find(&state->blocks, id, MRD_BYTES_NONE);
    return item == NULL ? MRD_BYTES_NONE : item->encoded;
}

const struct mrd_catalog_built *mrd_catalog_built_find(const struct mrd_catalog_state *state,
                                                       uint32_t partition)
{
    const size_t at = built_place(state, partition);
    return at < state->built_count && state->built[at].partition == partition ? &state->built[at]
                                                                              : NULL;
}

uint64_t mrd_catalog_built(const struct mrd_catalog_state *state, uint32_t partition)
{
    const struct mrd_catalog_built *built = mrd_catalog_built_find(state, partition);
    return built == NULL ? 0 : built->sequence;
}

const struct mrd_catalog_built *mrd_catalog_builts(const struct mrd_catalog_state *state,
                                                   size_t *out_count)
{
    *out_count = state->built_count;
    return state->built;
}

struct mrd_bytes mrd_catalog_table(const struct mrd_catalog_state *state, struct mrd_bytes tenant,
                                   struct mrd_bytes name)
{
    const struct cat_item *item = cat_list_find(&state->tables, tenant, name);
    return item == NULL ? MRD_BYTES_NONE : item->table.metadata_key;
}

size_t mrd_catalog_table_count(const struct mrd_catalog_state *state)
{
    return state->tables.count;
}

const struct mrd_catalog_table *mrd_catalog_table_at(const struct mrd_catalog_state *state,
                                                     size_t index)
{
    mrd_assert(index < state->tables.count);
    return &state->tables.items[index]->table;
}

size_t mrd_catalog_gone_count(const struct mrd_catalog_state *state) { return state->gone.count; }

const struct mrd_catalog_gone *mrd_catalog_gone_at(const struct mrd_catalog_state *state,
                                                   size_t index)
{
    mrd_assert(index < state->gone.count);
    return &state->gone.items[index]->gone;
}

struct mrd_catalog_grace mrd_catalog_grace(const struct mrd_catalog_state *state)
{
    return state->grace;
}

size_t mrd_catalog_memory(const struct mrd_catalog_state *state) { return state->memory; }
