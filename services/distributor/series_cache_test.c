#include "distributor/series_cache.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct mrd_id128 key_of(uint64_t number)
{
    return mrd_hash128((struct mrd_bytes){(const uint8_t *)&number, sizeof(number)}, 0);
}

static struct dst_series *add(struct dst_series_cache *cache, uint64_t number, uint32_t epoch)
{
    assert_null(dst_series_cache_find(cache, key_of(number)));
    struct dst_series *series = dst_series_cache_insert(cache, key_of(number), epoch);
    series->reference = (uint32_t)number;
    return series;
}

static void check(struct dst_series_cache *cache, uint64_t number)
{
    const struct dst_series *series = dst_series_cache_find(cache, key_of(number));
    assert_non_null(series);
    assert_int_equal(series->reference, number);
}

enum { MANY = 50000 };

static void what_was_added_is_found_in_any_order(void **state)
{
    (void)state;
    struct dst_series_cache cache;
    dst_series_cache_init(&cache, (size_t)1 << 30);
    for (uint64_t i = 0; i < MANY; i++) {
        add(&cache, i, 1);
    }
    for (uint64_t i = 0; i < MANY; i++) {
        check(&cache, i);
    }
    for (uint64_t i = MANY; i-- > 0;) {
        dst_series_cache_prefetch(&cache, key_of(i));
        check(&cache, i);
    }
    for (uint64_t i = 0; i < MANY; i++) {
        check(&cache, i * 7919 % MANY);
        assert_null(dst_series_cache_find(&cache, key_of(i + MANY)));
    }
    assert_int_equal(cache.cleared, 0);
    dst_series_cache_fini(&cache);
}

static void the_same_order_again_needs_no_search(void **state)
{
    (void)state;
    struct dst_series_cache cache;
    dst_series_cache_init(&cache, (size_t)1 << 30);
    for (uint64_t i = 0; i < MANY; i++) {
        add(&cache, i, 1);
    }
    check(&cache, 0);
    memset(cache.index, 0, cache.capacity * sizeof(*cache.index)); /* a search would find nothing */
    for (uint64_t i = 1; i < MANY; i++) {
        dst_series_cache_prefetch(&cache, key_of(i));
        check(&cache, i);
    }
    dst_series_cache_fini(&cache);
}

static void what_two_epochs_have_not_named_makes_room(void **state)
{
    (void)state;
    struct dst_series_cache cache;
    dst_series_cache_init(&cache, (size_t)1 << 16);
    uint64_t number = 0;
    for (uint32_t epoch = 1; epoch < 40; epoch++) {
        for (unsigned i = 0; i < 400; i++) {
            add(&cache, number++, epoch);
        }
        for (uint64_t i = number - 400; i < number; i++) {
            check(&cache, i);
        }
        assert_true(cache.capacity <= 2048);
    }
    assert_int_equal(cache.cleared, 0);
    dst_series_cache_fini(&cache);
}

static void at_its_limit_it_starts_over_and_stays_right(void **state)
{
    (void)state;
    struct dst_series_cache cache;
    dst_series_cache_init(&cache, (size_t)1 << 16);
    for (uint64_t i = 0; i < MANY; i++) {
        add(&cache, i, 1);
        check(&cache, i);
        const size_t bytes =
            cache.capacity * sizeof(uint32_t) + cache.capacity / 4 * 3 * sizeof(struct dst_series);
        assert_true(bytes <= cache.bytes_max);
    }
    assert_true(cache.cleared > 0);
    dst_series_cache_fini(&cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_added_is_found_in_any_order),
        cmocka_unit_test(the_same_order_again_needs_no_search),
        cmocka_unit_test(what_two_epochs_have_not_named_makes_room),
        cmocka_unit_test(at_its_limit_it_starts_over_and_stays_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
