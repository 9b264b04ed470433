/* hash_set.h: a growing set of 128-bit hashes: which series of a partition were already seen.
 *
 * A large set is split into parts that grow one by one: no call takes longer than a few milliseconds.
 *
 * Owner: the caller; zero-initialise, qry_hash_set_fini frees. Threads: one at a time. Memory: about
 * 32 bytes per member.
 */
#ifndef QRY_HASH_SET_H
#define QRY_HASH_SET_H

#include "base/hash.h"

enum { QRY_HASH_SET_PARTS = 256 };

struct qry_hash_set {
    struct qry_hash_part {
        struct mrd_id128 *slots; /* {0, 0}: free */
        size_t capacity;         /* a power of two */
        size_t count;
    } first, *parts; /* NULL: all are in `first`; else they are in one of QRY_HASH_SET_PARTS */
    size_t count;
};

void qry_hash_set_fini(struct qry_hash_set *set);

/* Forgets all members; keeps the memory of a set that is not large. */
void qry_hash_set_clear(struct qry_hash_set *set);

/* True if `hash` was not a member and is one now. */
bool qry_hash_set_add(struct qry_hash_set *set, struct mrd_id128 hash);

bool qry_hash_set_has(const struct qry_hash_set *set, struct mrd_id128 hash);

#endif
