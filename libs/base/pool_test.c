#include "base/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LIVE_MAX = 5000 };

static struct {
    mrd_pool_handle handle;
    size_t size;
    uint8_t fill;
} live[LIVE_MAX];

static uint64_t random_state = 7;

static uint64_t next_random(void)
{
    random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
    return random_state >> 33;
}

static size_t random_size(void)
{
    switch (next_random() % 10) {
    case 0:
        return 4097 + next_random() % 300000;
    case 1:
        return 1025 + next_random() % 3072;
    default:
        return 1 + next_random() % 300;
    }
}

static void check_and_free(struct mrd_pool *pool, size_t i)
{
    const uint8_t *data = mrd_pool_at(pool, live[i].handle);
    for (size_t k = 0; k < live[i].size; k++) {
        assert_int_equal(data[k], live[i].fill);
    }
    mrd_pool_free(pool, live[i].handle, live[i].size);
    live[i].handle = 0;
}

static void blocks_keep_their_bytes_until_freed(void **state)
{
    (void)state;
    struct mrd_pool pool;
    assert_int_equal(mrd_pool_init(&pool, NULL), MRD_OK);
    for (size_t round = 0; round < 100000; round++) {
        const size_t i = next_random() % (round < 60000 ? LIVE_MAX : 50);
        if (live[i].handle != 0) {
            check_and_free(&pool, i);
            continue;
        }
        live[i].size = random_size();
        live[i].fill = (uint8_t)round;
        live[i].handle = mrd_pool_alloc(&pool, live[i].size);
        assert_int_not_equal(live[i].handle, 0);
        assert_int_equal((uintptr_t)mrd_pool_at(&pool, live[i].handle) % 8, 0);
        memset(mrd_pool_at(&pool, live[i].handle), live[i].fill, live[i].size);
    }
    for (size_t i = 0; i < LIVE_MAX; i++) {
        if (live[i].handle != 0) {
            check_and_free(&pool, i);
        }
    }
    assert_int_equal(pool.used_bytes, 0);
    assert_int_equal(pool.held_bytes, 0);
    mrd_pool_fini(&pool);
}

static void freed_pages_serve_other_sizes(void **state)
{
    (void)state;
    struct mrd_pool pool;
    assert_int_equal(mrd_pool_init(&pool, NULL), MRD_OK);
    enum { COUNT = 100000 };
    static mrd_pool_handle handles[COUNT];
    uint32_t pages = 0;
    for (size_t size = 24; size <= 4096; size *= 2) {
        const size_t count = (size_t)COUNT * 24 / size;
        for (size_t i = 0; i < count; i++) {
            handles[i] = mrd_pool_alloc(&pool, size);
        }
        pages = pages == 0 ? pool.page_count : pages;
        for (size_t i = 0; i < count; i++) {
            mrd_pool_free(&pool, handles[i], size);
        }
        assert_true(pool.page_count <= pages + pages / 4); /* ends of pages stay unused */
    }
    mrd_pool_fini(&pool);
}

static void a_rounded_size_is_never_smaller(void **state)
{
    (void)state;
    for (size_t size = 1; size < 10000; size++) {
        const size_t rounded = mrd_pool_rounded(size);
        assert_true(rounded >= size && rounded % MRD_POOL_UNIT == 0);
        assert_int_equal(mrd_pool_rounded(rounded), rounded);
        assert_true(size > MRD_POOL_SMALL_MAX || rounded <= size + 7 + size / 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_keep_their_bytes_until_freed),
        cmocka_unit_test(freed_pages_serve_other_sizes),
        cmocka_unit_test(a_rounded_size_is_never_smaller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
