#include "querier/hash_set.h"

#include <stdlib.h>

enum { SPLIT_COUNT = 64 * 1024, SLOTS_MIN = 64 };

static void part_fini(struct qry_hash_part *part)
{
    free(part->slots);
    *part = (struct qry_hash_part){0};
}

void qry_hash_set_fini(struct qry_hash_set *set)
{
    part_fini(&set->first);
    for (size_t i = 0; set->parts != NULL && i < QRY_HASH_SET_PARTS; i++) {
        part_fini(&set->parts[i]);
    }
    free(set->parts);
    *set = (struct qry_hash_set){0};
}

void qry_hash_set_clear(struct qry_hash_set *set)
{
    if (set->parts != NULL) {
        qry_hash_set_fini(set);
    } else if (set->count > 0) {
        memset(set->first.slots, 0, set->first.capacity * sizeof(*set->first.slots));
        set->first.count = 0;
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
static struct mrd_id128 *find_slot(const struct qry_hash_part *part, struct mrd_id128 member)
{
    const size_t mask = part->capacity - 1;
    size_t at = member.low & mask;
    while ((part->slots[at].low != 0 || part->slots[at].high != 0) &&
           !mrd_id128_equal(part->slots[at], member)) {
        at = (at + 1) & mask;
    }
    return &part->slots[at];
}

static bool is_free(const struct mrd_id128 *slot) { return slot->low == 0 && slot->high == 0; }

static void grow(struct qry_hash_part *part)
{
    struct qry_hash_part bigger = {.capacity = MRD_MAX(part->capacity * 2, (size_t)SLOTS_MIN)};
    bigger.slots = calloc(bigger.capacity, sizeof(*bigger.slots));
    mrd_assert(bigger.slots != NULL);
    for (size_t i = 0; i < part->capacity; i++) {
        if (!is_free(&part->slots[i])) {
            *find_slot(&bigger, part->slots[i]) = part->slots[i];
        }
    }
    bigger.count = part->count;
    free(part->slots);
    *part = bigger;
}

static bool part_add(struct qry_hash_part *part, struct mrd_id128 member)
{
    if (part->count * 4 >= part->capacity * 3) {
        grow(part);
    }
    struct mrd_id128 *slot = find_slot(part, member);
    if (mrd_id128_equal(*slot, member)) {
        return false;
    }
    *slot = member;
    part->count++;
    return true;
}

/* By other bits than those that choose the slot. */
static struct qry_hash_part *part_of(const struct qry_hash_set *set, struct mrd_id128 member)
{
    return &set->parts[member.high % QRY_HASH_SET_PARTS];
}

static void split(struct qry_hash_set *set)
{
    set->parts = calloc(QRY_HASH_SET_PARTS, sizeof(*set->parts));
    mrd_assert(set->parts != NULL);
    for (size_t i = 0; i < set->first.capacity; i++) {
        if (!is_free(&set->first.slots[i])) {
            (void)part_add(part_of(set, set->first.slots[i]), set->first.slots[i]);
        }
    }
    part_fini(&set->first);
}

bool qry_hash_set_add(struct qry_hash_set *set, struct mrd_id128 hash)
{
    const struct mrd_id128 member = member_of(hash);
    if (set->parts == NULL && set->count == SPLIT_COUNT) {
        split(set);
    }
    const bool added = part_add(set->parts == NULL ? &set->first : part_of(set, member), member);
    set->count += added ? 1 : 0;
    return added;
}

bool qry_hash_set_has(const struct qry_hash_set *set, struct mrd_id128 hash)
{
    const struct mrd_id128 member = member_of(hash);
    const struct qry_hash_part *part = set->parts == NULL ? &set->first : part_of(set, member);
    return part->capacity > 0 && mrd_id128_equal(*find_slot(part, member), member);
}
