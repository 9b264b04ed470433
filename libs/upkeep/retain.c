#include "upkeep/retain.h"

#include <stdlib.h>

#include "base/hash.h"
#include "block/reader.h"
#include "merge/erased.h"
#include "upkeep/settle.h"

/* ---- what is known ---- */

/* Hashes of a file and a rule that it has nothing of; open addressing, at most half full. */
struct mrd_upkeep_retained {
    struct mrd_id128 *slots; /* all zero: free */
    size_t capacity;         /* a power of two */
    size_t count;
    size_t most;
};

enum { CAPACITY_MIN = 1024 };

static void make_room(struct mrd_upkeep_retained *retained, size_t capacity)
{
    free(retained->slots);
    retained->slots = calloc(capacity, sizeof(*retained->slots));
    mrd_assert(retained->slots != NULL);
    retained->capacity = capacity;
    retained->count = 0;
}

struct mrd_upkeep_retained *mrd_upkeep_retained_create(size_t most)
{
    struct mrd_upkeep_retained *retained = calloc(1, sizeof(*retained));
    mrd_assert(retained != NULL);
    retained->most = most == 0 ? MRD_UPKEEP_RETAINED_MAX : most;
    make_room(retained, CAPACITY_MIN);
    return retained;
}

void mrd_upkeep_retained_destroy(struct mrd_upkeep_retained **retained)
{
    if (*retained != NULL) {
        free((*retained)->slots);
        free(*retained);
        *retained = NULL;
    }
}

static struct mrd_id128 key_of(const struct mrd_block_entry *block, const struct mrd_erasure *rule)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    mrd_buf_append_u64(&bytes, rule->id.high);
    mrd_buf_append_u64(&bytes, rule->id.low);
    mrd_buf_append_bytes(&bytes, block->id);
    struct mrd_id128 key = mrd_hash128(mrd_buf_view(&bytes), 0);
    key.low |= 1; /* none is all zero */
    return key;
}

static struct mrd_id128 *slot_of(const struct mrd_upkeep_retained *retained, struct mrd_id128 key)
{
    size_t at = key.high & (retained->capacity - 1);
    while (retained->slots[at].low != 0 && !mrd_id128_equal(retained->slots[at], key)) {
        at = (at + 1) & (retained->capacity - 1);
    }
    return &retained->slots[at];
}

static void grow(struct mrd_upkeep_retained *retained)
{
    struct mrd_id128 *old = retained->slots;
    const size_t capacity = retained->capacity;
    retained->slots = NULL;
    make_room(retained, capacity * 2);
    for (size_t i = 0; i < capacity; i++) {
        if (old[i].low != 0) {
            *slot_of(retained, old[i]) = old[i];
            retained->count++;
        }
    }
    free(old);
}

static void note(struct mrd_upkeep_retained *retained, struct mrd_id128 key)
{
    if (retained->count == retained->most) {
        make_room(retained, CAPACITY_MIN);
    } else if (retained->count * 2 >= retained->capacity) {
        grow(retained);
    }
    struct mrd_id128 *slot = slot_of(retained, key);
    retained->count += slot->low == 0;
    *slot = key;
}

/* ---- which files ---- */

static const struct mrd_erasure *rules_of(const struct mrd_upkeep_retain *retain,
                                          const struct mrd_block_entry *block, size_t *out_count)
{
    return retain->rules(retain->context, mrd_upkeep_tenant_of(block), block->resolution_ms,
                         out_count);
}

static bool has_passed(const struct mrd_block_entry *block, const struct mrd_erasure *rule)
{
    return mrd_upkeep_period_of(block).last_ms <= rule->time_max_ms;
}

/* Whether the file has passed the rule as a whole, may have something of it, and is not known to have nothing. */
static bool is_due(const struct mrd_upkeep_retain *retain, const struct mrd_block_entry *block,
                   const struct mrd_erasure *rule)
{
    bool may = false;
    if (!has_passed(block, rule)) {
        return false;
    }
    for (size_t i = 0; i < rule->selector_count && !may; i++) {
        may = mrd_block_entry_may_match(block, mrd_upkeep_tenant_of(block),
                                        rule->selectors[i].matchers,
                                        rule->selectors[i].matcher_count, INT64_MIN, INT64_MAX);
    }
    return may && slot_of(retain->known, key_of(block, rule))->low == 0;
}

static bool is_due_for_any(const struct mrd_upkeep_retain *retain,
                           const struct mrd_block_entry *block)
{
    size_t count = 0;
    bool due = false;
    if (block->level == 0 || mrd_upkeep_tenant_of(block).size == 0) {
        return false;
    }
    const struct mrd_erasure *rules = rules_of(retain, block, &count);
    for (size_t i = 0; i < count && !due; i++) {
        due = is_due(retain, block, &rules[i]);
    }
    return due;
}

void mrd_upkeep_retain_list(const struct mrd_upkeep_retain *retain,
                            const struct mrd_catalog_state *state,
                            const struct mrd_upkeep_index *index, struct mrd_buf *out_files,
                            struct mrd_buf *out_rollups)
{
    for (size_t i = 0; i < index->count; i++) {
        const struct mrd_block_entry *block = index->blocks[i];
        if (is_due_for_any(retain, block)) {
            mrd_buf_append(out_files, (const void *)&block, sizeof(block));
        }
    }
    for (size_t i = 0; i < index->rollup_count; i++) {
        const struct mrd_block_entry *rollup = index->rollups[i];
        if (is_due_for_any(retain, rollup) && mrd_upkeep_rollup_is_alone(state, rollup)) {
            mrd_buf_append(out_rollups, (const void *)&rollup, sizeof(rollup));
        }
    }
}

enum mrd_status mrd_upkeep_retain_passed(const struct mrd_upkeep_retain *retain,
                                         const struct mrd_block_entry *block,
                                         struct mrd_arena *arena, const struct mrd_erasure **out,
                                         size_t *out_count, struct mrd_error *err)
{
    size_t count = 0;
    size_t kept = 0;
    const struct mrd_erasure *rules = rules_of(retain, block, &count);
    struct mrd_erasure *passed = mrd_arena_alloc_array(arena, count + 1, sizeof(*passed));
    if (passed == NULL) {
        return mrd_arena_fail(arena, err);
    }
    for (size_t i = 0; i < count; i++) {
        if (has_passed(block, &rules[i])) {
            passed[kept] = rules[i];
            passed[kept++].tenant = mrd_upkeep_tenant_of(block);
        }
    }
    *out = passed;
    *out_count = kept;
    return MRD_OK;
}

/* ---- looking ---- */

/* What the block has of the rules; the sidecar is read once. */
static enum mrd_status look_at(const struct mrd_upkeep_retain *retain, struct mrd_block *block,
                               const struct mrd_block_entry *entry, bool *out_any,
                               struct mrd_error *err)
{
    size_t count = 0;
    const struct mrd_erasure *rules = rules_of(retain, entry, &count);
    *out_any = false;
    for (size_t i = 0; i < count; i++) {
        struct mrd_erasure rule = rules[i];
        bool any = false;
        rule.tenant = mrd_upkeep_tenant_of(entry);
        if (!is_due(retain, entry, &rule)) {
            continue;
        }
        rule.time_max_ms +=
            entry
                ->resolution_ms; /* the last window ends with the first moment that has not passed */
        MRD_TRY(mrd_merge_has_erased(block, &rule, INT64_MIN, INT64_MAX, &any, err));
        *out_any |= any;
        if (!any) {
            note(retain->known, key_of(entry, &rule));
        }
    }
    return MRD_OK;
}

static bool is_of_block(enum mrd_status status)
{
    return status == MRD_E_CORRUPT || status == MRD_E_NOT_FOUND || status == MRD_E_UNSUPPORTED;
}

enum mrd_status mrd_upkeep_retain_look(const struct mrd_upkeep_retain *retain,
                                       struct mrd_objstore *store,
                                       const struct mrd_objstore_control *control,
                                       const struct mrd_block_entry *const *blocks, size_t count,
                                       const struct mrd_block_entry **out, size_t *out_count,
                                       struct mrd_error *err)
{
    const struct mrd_block_open_options options = {.control = control};
    *out_count = 0;
    for (size_t i = 0; i < count; i++) {
        struct mrd_error why = {0};
        struct mrd_block *block = NULL;
        bool any = true;
        enum mrd_status status = mrd_block_open(store, blocks[i], &options, &block, &why);
        status = status == MRD_OK ? look_at(retain, block, blocks[i], &any, &why) : status;
        mrd_block_close(&block);
        if (status != MRD_OK && !is_of_block(status)) {
            return mrd_fail(err, status, "%s", why.text);
        }
        if (status != MRD_OK || any) {
            out[(*out_count)++] = blocks[i];
        }
    }
    return MRD_OK;
}
