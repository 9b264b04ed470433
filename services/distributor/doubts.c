#include "distributor/doubts.h"

#include <stdlib.h>

enum { CAPACITY_MIN = 64 };

static void index_put(struct dst_doubts *doubts, size_t place)
{
    const size_t mask = doubts->capacity - 1;
    size_t at = doubts->items[place].key.low & mask;
    while (doubts->index[at] != 0) {
        at = (at + 1) & mask;
    }
    doubts->index[at] = (uint32_t)place + 1;
}

/* Gives the index that capacity, and the items half of it. */
static void resize(struct dst_doubts *doubts, size_t capacity)
{
    free(doubts->index);
    doubts->index = calloc(capacity, sizeof(*doubts->index));
    doubts->items = reallocarray(doubts->items, capacity / 2, sizeof(*doubts->items));
    mrd_assert(doubts->index != NULL && doubts->items != NULL);
    doubts->capacity = capacity;
    for (size_t i = 0; i < doubts->count; i++) {
        index_put(doubts, i);
    }
}

struct dst_doubts *dst_doubts_create(void)
{
    struct dst_doubts *doubts = calloc(1, sizeof(*doubts));
    mrd_assert(doubts != NULL);
    resize(doubts, CAPACITY_MIN);
    return doubts;
}

void dst_doubts_destroy(struct dst_doubts **doubts)
{
    if (*doubts != NULL) {
        free((*doubts)->items);
        free((*doubts)->index);
        free(*doubts);
        *doubts = NULL;
    }
}

struct dst_doubt *dst_doubts_find(const struct dst_doubts *doubts, struct mrd_id128 key)
{
    const size_t mask = doubts->capacity - 1;
    for (size_t at = key.low & mask; doubts->index[at] != 0; at = (at + 1) & mask) {
        struct dst_doubt *item = &doubts->items[doubts->index[at] - 1];
        if (mrd_id128_equal(item->key, key)) {
            return item;
        }
    }
    return NULL;
}

void dst_doubts_add(struct dst_doubts *doubts, const struct dst_doubt *doubt)
{
    if (doubts->open == 0) {
        memset(doubts->index, 0, doubts->capacity * sizeof(*doubts->index));
        doubts->count = 0;
    }
    mrd_assert(doubts->count < DST_DOUBTS_MAX);
    if (doubts->count == doubts->capacity / 2) {
        resize(doubts, doubts->capacity * 2);
    }
    doubts->items[doubts->count] = *doubt;
    doubts->items[doubts->count].verdict = DST_DOUBT_OPEN;
    index_put(doubts, doubts->count++);
    doubts->open++;
}
