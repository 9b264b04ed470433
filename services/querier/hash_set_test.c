#include "querier/hash_set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct mrd_id128 hash_of(uint64_t number)
{
    return mrd_hash128((struct mrd_bytes){(const uint8_t *)&number, sizeof(number)}, 0);
}

static void a_set_knows_its_members_however_many_there_are(void **state)
{
    (void)state;
    enum { COUNT = 200 * 1000 };
    struct qry_hash_set set = {0};
    assert_false(qry_hash_set_has(&set, hash_of(0)));
    for (uint64_t i = 0; i < COUNT; i++) {
        assert_true(qry_hash_set_add(&set, hash_of(i)));
        assert_false(qry_hash_set_add(&set, hash_of(i / 2)));
    }
    assert_int_equal(set.count, COUNT);
    assert_non_null(set.parts);
    for (uint64_t i = 0; i < 2 * (uint64_t)COUNT; i++) {
        assert_int_equal(qry_hash_set_has(&set, hash_of(i)), i < COUNT);
    }
    qry_hash_set_fini(&set);
}

static void no_part_of_a_large_set_is_large(void **state)
{
    (void)state;
    enum { COUNT = 500 * 1000 };
    struct qry_hash_set set = {0};
    for (uint64_t i = 0; i < COUNT; i++) {
        assert_true(qry_hash_set_add(&set, hash_of(i)));
    }
    assert_int_equal(set.first.capacity, 0);
    for (size_t i = 0; i < QRY_HASH_SET_PARTS; i++) {
        assert_in_range(set.parts[i].count, 1, 4 * COUNT / QRY_HASH_SET_PARTS);
    }
    qry_hash_set_fini(&set);
}

static void a_cleared_set_has_no_members(void **state)
{
    (void)state;
    static const uint64_t counts[] = {10, 100 * 1000};
    const struct mrd_id128 zero = {0};
    for (size_t c = 0; c < MRD_ARRAY_LEN(counts); c++) {
        struct qry_hash_set set = {0};
        for (int again = 0; again < 2; again++) {
            for (uint64_t i = 0; i < counts[c]; i++) {
                assert_true(qry_hash_set_add(&set, hash_of(i)));
            }
            assert_true(qry_hash_set_add(&set, zero));
            qry_hash_set_clear(&set);
            assert_int_equal(set.count, 0);
            assert_false(qry_hash_set_has(&set, hash_of(1)));
            assert_false(qry_hash_set_has(&set, zero));
        }
        qry_hash_set_fini(&set);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_knows_its_members_however_many_there_are),
        cmocka_unit_test(no_part_of_a_large_set_is_large),
        cmocka_unit_test(a_cleared_set_has_no_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
