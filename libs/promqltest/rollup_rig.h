/* rollup_rig.h: for tests of rollups in object storage: a store in a folder, a pool that reads, and chance.
 *
 * Include it once in a test program, after cmocka.h.
 */
#ifndef MRD_PROMQLTEST_ROLLUP_RIG_H
#define MRD_PROMQLTEST_ROLLUP_RIG_H

#include "blockread/rollup_source.h"
#include "objstore/folder_fixture.h"
#include "promqltest/random_queries.h"

enum { THREADS = 3 };

static const struct mrd_bytes tenant = {(const uint8_t *)"t", 1};

static inline size_t below(size_t limit) { return mrd_random_below(limit); }
static inline bool one_in(size_t n) { return below(n) == 0; }
#define PICK(array) ((array)[below(MRD_ARRAY_LEN(array))])

static char folder[FOLDER_FIXTURE_PATH_MAX];
static struct mrd_objstore *store;
static struct mrd_read_pool *pool;

static inline int set_up(void **state)
{
    (void)state;
    store = folder_fixture_open(folder, NULL);
    assert_int_equal(mrd_read_pool_create(THREADS, &pool, NULL), MRD_OK);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    mrd_read_pool_destroy(&pool);
    mrd_objstore_close(&store);
    folder_fixture_remove(folder);
    return 0;
}

#endif
