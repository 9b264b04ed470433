#include "model/erasures.h"

#include <stdlib.h>

enum {
    /* More than any erasure within the bounds takes, decoded. */
    ERASURE_ARENA_BYTES = 4 << 20,
    LABELS_ARENA_BYTES = 4 << 20, /* of one series */
    ITEMS_MIN = 8,
};

struct item {
    struct mrd_erasure erasure;
    struct mrd_arena *arena; /* of the bytes and of what was decoded of them */
};

struct mrd_erasures {
    struct item *items; /* oldest first */
    size_t count;
    size_t capacity;
    mrd_hlc hlc_max;
    mrd_hlc forgotten_hlc_max;
    const struct mrd_erasure *const *lent;
    size_t lent_count;
    mrd_hlc lent_hlc_max;
    struct mrd_arena *arena; /* labels of one series */
};

struct mrd_erasures *mrd_erasures_create(void)
{
    struct mrd_erasures *erasures = calloc(1, sizeof(*erasures));
    mrd_assert(erasures != NULL);
    erasures->arena = mrd_arena_create("labels of a series", LABELS_ARENA_BYTES);
    return erasures;
}

static void item_fini(struct item *item)
{
    mrd_erasure_fini(&item->erasure);
    mrd_arena_destroy(&item->arena);
}

void mrd_erasures_destroy(struct mrd_erasures **erasures)
{
    if (*erasures == NULL) {
        return;
    }
    struct mrd_erasures *self = MRD_MOVE(*erasures);
    for (size_t i = 0; i < self->count; i++) {
        item_fini(&self->items[i]);
    }
    mrd_arena_destroy(&self->arena);
    free(self->items);
    free(self);
}

size_t mrd_erasures_memory(const struct mrd_erasures *erasures)
{
    size_t bytes = sizeof(*erasures) + erasures->capacity * sizeof(erasures->items[0]);
    for (size_t i = 0; i < erasures->count; i++) {
        bytes += mrd_arena_used(erasures->items[i].arena);
    }
    return bytes;
}

/* ---- which there are ---- */

static void drop_first(struct mrd_erasures *erasures, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        erasures->forgotten_hlc_max =
            MRD_MAX(erasures->forgotten_hlc_max, erasures->items[i].erasure.hlc);
        item_fini(&erasures->items[i]);
    }
    erasures->count -= count;
    memmove(erasures->items, erasures->items + count, erasures->count * sizeof(erasures->items[0]));
    erasures->hlc_max = 0;
    for (size_t i = 0; i < erasures->count; i++) {
        erasures->hlc_max = MRD_MAX(erasures->hlc_max, erasures->items[i].erasure.hlc);
    }
}

static bool knows(const struct mrd_erasures *erasures, struct mrd_id128 id)
{
    for (size_t i = 0; i < erasures->count; i++) {
        if (mrd_id128_equal(erasures->items[i].erasure.id, id)) {
            return true;
        }
    }
    return false;
}

static enum mrd_status item_init(struct item *item, struct mrd_bytes encoded, struct mrd_error *err)
{
    *item = (struct item){.arena = mrd_arena_create("an erasure", ERASURE_ARENA_BYTES)};
    uint8_t *bytes = mrd_arena_alloc(item->arena, encoded.size);
    enum mrd_status status = MRD_OK;
    if (bytes == NULL) {
        status = mrd_arena_fail(item->arena, err);
    } else {
        memcpy(bytes, encoded.data, encoded.size);
        status = mrd_erasure_decode((struct mrd_bytes){bytes, encoded.size}, item->arena,
                                    &item->erasure, err);
    }
    if (status != MRD_OK) {
        mrd_arena_destroy(&item->arena);
    }
    return status == MRD_E_LIMIT ? mrd_fail_prefix(err, MRD_E_CORRUPT, "erasure beyond its bounds")
                                 : status;
}

static void reserve(struct mrd_erasures *erasures)
{
    if (erasures->count == MRD_ERASURES_MAX) {
        drop_first(erasures, 1);
    }
    if (erasures->count == erasures->capacity) {
        erasures->capacity = MRD_MAX(erasures->capacity * 2, (size_t)ITEMS_MIN);
        erasures->items =
            reallocarray(erasures->items, erasures->capacity, sizeof(erasures->items[0]));
        mrd_assert(erasures->items != NULL);
    }
}

enum mrd_status mrd_erasures_add(struct mrd_erasures *erasures, struct mrd_bytes encoded,
                                 const struct mrd_erasure **out, struct mrd_error *err)
{
    struct item item;
    MRD_TRY(item_init(&item, encoded, err));
    if (knows(erasures, item.erasure.id)) {
        item_fini(&item);
        *out = NULL;
        return MRD_OK;
    }
    reserve(erasures);
    erasures->items[erasures->count++] = item;
    erasures->hlc_max = MRD_MAX(erasures->hlc_max, item.erasure.hlc);
    *out = &erasures->items[erasures->count - 1].erasure;
    return MRD_OK;
}

void mrd_erasures_lend(struct mrd_erasures *erasures, const struct mrd_erasure *const *items,
                       size_t count)
{
    erasures->lent = items;
    erasures->lent_count = count;
    erasures->lent_hlc_max = 0;
    for (size_t i = 0; i < count; i++) {
        erasures->lent_hlc_max = MRD_MAX(erasures->lent_hlc_max, items[i]->hlc);
    }
}

void mrd_erasures_expire(struct mrd_erasures *erasures, mrd_time_ms before_ms)
{
    size_t count = 0;
    while (count < erasures->count &&
           mrd_hlc_time_ms(erasures->items[count].erasure.hlc) < before_ms) {
        count++;
    }
    if (count > 0) {
        drop_first(erasures, count);
    }
}

/* ---- what they have ---- */

bool mrd_erasures_forgotten(const struct mrd_erasures *erasures, mrd_hlc hlc)
{
    return hlc < erasures->forgotten_hlc_max;
}

bool mrd_erasures_concern(const struct mrd_erasures *erasures, mrd_hlc hlc)
{
    return hlc < erasures->hlc_max || hlc < erasures->lent_hlc_max;
}

/* A series, and some times of it. */
struct marking {
    mrd_hlc hlc;
    struct mrd_bytes tenant;
    struct mrd_labels labels;
    const mrd_time_ms *times_ms;
    size_t count;
    bool *erased;
};

static void mark(const struct marking *marking, const struct mrd_erasure *erasure)
{
    if (erasure->hlc <= marking->hlc || !mrd_bytes_equal(erasure->tenant, marking->tenant) ||
        !mrd_erasure_selects(erasure, marking->labels)) {
        return;
    }
    for (size_t i = 0; i < marking->count; i++) {
        marking->erased[i] |= mrd_erasure_has_time(erasure, marking->times_ms[i]);
    }
}

bool mrd_erasures_have_tenant(const struct mrd_erasures *erasures, mrd_hlc hlc,
                              struct mrd_bytes tenant)
{
    bool found = false;
    for (size_t i = 0; i < erasures->count && hlc < erasures->hlc_max && !found; i++) {
        const struct mrd_erasure *erasure = &erasures->items[i].erasure;
        found = erasure->hlc > hlc && mrd_bytes_equal(erasure->tenant, tenant) &&
                mrd_erasure_is_of_tenant(erasure);
    }
    return found;
}

size_t mrd_erasures_mark(struct mrd_erasures *erasures, mrd_hlc hlc, struct mrd_bytes tenant,
                         struct mrd_bytes canonical, const mrd_time_ms *times_ms, size_t count,
                         bool *erased)
{
    struct marking marking = {
        .hlc = hlc, .tenant = tenant, .times_ms = times_ms, .count = count, .erased = erased};
    mrd_arena_reset(erasures->arena);
    if (mrd_labels_decode(canonical, erasures->arena, &marking.labels, NULL) != MRD_OK) {
        mrd_assert(false); /* a head has only canonical ones, and they are bounded */
    }
    for (size_t e = 0; e < erasures->count; e++) {
        mark(&marking, &erasures->items[e].erasure);
    }
    for (size_t e = 0; e < erasures->lent_count; e++) {
        mark(&marking, erasures->lent[e]);
    }
    size_t set = 0;
    for (size_t i = 0; i < count; i++) {
        set += erased[i] ? 1 : 0;
    }
    return set;
}
