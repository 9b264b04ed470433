/* testing_rounds.h: how much is done of tests that try very many cases of one kind: seeds of random data, places at which a process
 * dies or a store fails. A change is tested with a share of them, the same each time; MERIDIAN_TEST_ROUNDS=all (scripts/test --only
 * unit-long) does all. Test programs include it; nothing else does.
 */
#ifndef MRD_BASE_TESTING_ROUNDS_H
#define MRD_BASE_TESTING_ROUNDS_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_THREAD__)
enum { TESTING_SHARE = 6 }; /* other data takes the same locks, at ten times the cost */
#else
enum { TESTING_SHARE = 3 };
#endif

static inline size_t testing_share(void)
{
    const char *given = getenv("MERIDIAN_TEST_ROUNDS");
    return given != NULL && strcmp(given, "all") == 0 ? 1 : TESTING_SHARE;
}

/* Of so many seeds or rounds, the first ones, at least two. */
static inline size_t testing_rounds(size_t all)
{
    const size_t some = (all + testing_share() - 1) / testing_share();
    return some < 2 && all >= 2 ? 2 : some;
}

/* What a walk over all places goes on by. */
static inline size_t testing_stride(void) { return testing_share(); }

#endif
