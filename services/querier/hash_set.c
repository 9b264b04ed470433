#include "querier/hash_set.h"

#include <stdlib.h>

void qry_hash_set_fini(struct qry_hash_set *set)
{
    free(set->slots);
    *set = (struct qry_hash_set){0};
}

void qry_hash_set_clear(struct qry_hash_set *set)
{
    if (set->count > 0) {
        memset(set->slots, 0, set->capacity * sizeof(*set->slots));
        set->count = 0;
    }
}

/* A hash of all zeros would look like a free slot. */
static struct mrd_id128 member_of(struct mrd_id128 hash)
{
    if (hash.low == 0 && hash.high == 0) {
        hash.low = 1;
    }
    return hash;
}

/* The slot that holds `member` or where it would go. */
static struct mrd_id128 *find_slot(const struct qry_hash_set *set, struct mrd_id128 member)
{
    const size_t mask = set->capacity - 1;
    size_t at = member.low & mask;
    while ((set->slots[at].low != 0 || set->slots[at].high != 0) &&
           !mrd_id128_equal(set->slots[at], member)) {
        at = (at + 1) & mask;
    }
    return &set->slots[at];
}

static void grow(struct qry_hash_set *set)
{
    struct qry_hash_set bigger = {.capacity = MRD_MAX(set->capacity * 2, (size_t)64)};
    bigger.slots = calloc(bigger.capacity, sizeof(*bigger.slots));
    mrd_assert(bigger.slots != NULL);
    for (size_t i = 0; i < set->capacity; i++) {
        if (set->slots[i].low != 0 || set->slots[i].high != 0) {
            *find_slot(&bigger, set->slots[i]) = set->slots[i];
        }
    }
    bigger.count = set->count;
    free(set->slots);
    *set = bigger;
}

bool qry_hash_set_add(struct qry_hash_set *set, struct mrd_id128 hash)
{
    if (set->count * 4 >= set->capacity * 3) {
        grow(set);
    }
    const struct mrd_id128 member = member_of(hash);
    struct mrd_id128 *slot = find_slot(set, member);
    if (mrd_id128_equal(*slot, member)) {
        return false;
    }
    *slot = member;
    set->count++;
    return true;
}

bool qry_hash_set_has(const struct qry_hash_set *set, struct mrd_id128 hash)
{
    const struct mrd_id128 member = member_of(hash);
    return set->capacity > 0 && mrd_id128_equal(*find_slot(set, member), member);
}
