#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void memory_is_zeroed_aligned_and_apart(void **state)
{
    (void)state;
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("test", SIZE_MAX);
    unsigned char *last = NULL;
    for (size_t size = 0; size < 5000; size += 37) {
        unsigned char *block = mrd_arena_alloc(arena, size);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % 16, 0);
        for (size_t i = 0; i < size; i++) {
            assert_int_equal(block[i], 0);
        }
        memset(block, 0xaa, size);
        if (last != NULL) {
            assert_true(size == 37 || last[0] == 0xaa);
        }
        last = block;
    }
}

/* Does the same work under ever larger budgets: it fails with a limit, or succeeds, never else. */
static void every_budget_either_suffices_or_is_refused_unchanged(void **state)
{
    (void)state;
    bool succeeded = false;
    for (size_t limit = 0; !succeeded; limit = limit == 0 ? 1 : limit * 2) {
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *arena = mrd_arena_create("test", limit);
        succeeded = true;
        for (size_t i = 0; i < 100 && succeeded; i++) {
            const size_t used = mrd_arena_used(arena);
            if (mrd_arena_alloc(arena, 1000) == NULL) {
                assert_int_equal(mrd_arena_used(arena), used);
                struct mrd_error err;
                assert_int_equal(mrd_arena_fail(arena, &err), MRD_E_LIMIT);
                assert_non_null(strstr(err.text, "test: memory limit"));
                succeeded = false;
            }
            assert_true(mrd_arena_used(arena) <= limit);
        }
    }
}

static void sizes_that_overflow_are_refused(void **state)
{
    (void)state;
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("test", SIZE_MAX);
    assert_null(mrd_arena_alloc(arena, SIZE_MAX));
    assert_null(mrd_arena_alloc(arena, SIZE_MAX - 15));
    assert_null(mrd_arena_alloc_array(arena, SIZE_MAX / 2, 3));
    assert_null(mrd_arena_copy(arena, (struct mrd_bytes){NULL, SIZE_MAX}).data);
    assert_int_equal(mrd_arena_used(arena), 0);
}

static void copies_are_terminated_and_printf_fits(void **state)
{
    (void)state;
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("test", 1 << 16);
    const struct mrd_bytes copy = mrd_arena_copy(arena, MRD_BYTES("hello"));
    assert_string_equal((const char *)copy.data, "hello");
    assert_int_equal(copy.size, 5);
    assert_int_equal(mrd_arena_copy(arena, MRD_BYTES_NONE).size, 0);
    assert_string_equal(mrd_arena_printf(arena, "%d-%s", 7, "x"), "7-x");
}

static void a_reset_arena_starts_anew_within_the_same_limit(void **state)
{
    (void)state;
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("test", 1 << 20);
    for (int round = 0; round < 10; round++) {
        size_t count = 0;
        while (mrd_arena_alloc(arena, 4096) != NULL) {
            count++;
        }
        assert_int_equal(count, (1 << 20) / 4096);
        mrd_arena_reset(arena);
        assert_int_equal(mrd_arena_used(arena), 0);
    }
}

/* Two arenas share the budget of a third, and give back what they drop. */
static void what_is_within_an_arena_counts_against_its_limit(void **state)
{
    (void)state;
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *parent = mrd_arena_create("query", 4096);
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *first = mrd_arena_create_within(parent);
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *second = mrd_arena_create_within(parent);
    assert_non_null(mrd_arena_alloc(parent, 1024));
    assert_non_null(mrd_arena_alloc(first, 2048));
    assert_int_equal(mrd_arena_used(parent), 3072);
    assert_null(mrd_arena_alloc(second, 1025));
    assert_non_null(mrd_arena_alloc(second, 1024));
    assert_null(mrd_arena_alloc(parent, 1));
    struct mrd_error err;
    assert_int_equal(mrd_arena_fail(second, &err), MRD_E_LIMIT);
    assert_string_equal(err.text, "query: memory limit of 4096 bytes reached");
    mrd_arena_reset(first);
    assert_int_equal(mrd_arena_used(parent), 2048);
    assert_non_null(mrd_arena_alloc(second, 2048));
    mrd_arena_destroy(&second);
    assert_int_equal(mrd_arena_used(parent), 1024);
}

static void what_is_joined_lives_on_and_counts(void **state)
{
    (void)state;
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *into = mrd_arena_create("test", 1 << 20);
    struct mrd_arena *from = mrd_arena_create("test", SIZE_MAX);
    struct mrd_arena *large = mrd_arena_create("test", SIZE_MAX);
    struct mrd_arena *nothing = mrd_arena_create("test", SIZE_MAX);
    const struct mrd_bytes before = mrd_arena_copy(into, MRD_BYTES("before"));
    struct mrd_bytes texts[100];
    for (size_t i = 0; i < 100; i++) {
        texts[i] = mrd_arena_copy(from, MRD_BYTES("a text of another arena"));
        assert_non_null(mrd_arena_alloc(from, 1000));
    }
    const size_t used = mrd_arena_used(into) + mrd_arena_used(from);
    assert_true(mrd_arena_join(into, &nothing));
    assert_true(mrd_arena_join(into, &from));
    assert_null(from);
    assert_int_equal(mrd_arena_used(into), used);
    const struct mrd_bytes after = mrd_arena_copy(into, MRD_BYTES("after"));
    assert_non_null(mrd_arena_alloc(large, 1 << 20));
    assert_false(mrd_arena_join(into, &large));
    assert_non_null(large);
    mrd_arena_destroy(&large);
    assert_true(mrd_bytes_equal(before, MRD_BYTES("before")));
    assert_true(mrd_bytes_equal(after, MRD_BYTES("after")));
    for (size_t i = 0; i < 100; i++) {
        assert_true(mrd_bytes_equal(texts[i], MRD_BYTES("a text of another arena")));
    }
    mrd_arena_reset(into);
    assert_int_equal(mrd_arena_used(into), 0);
    assert_non_null(mrd_arena_alloc(into, 5000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_aligned_and_apart),
        cmocka_unit_test(every_budget_either_suffices_or_is_refused_unchanged),
        cmocka_unit_test(sizes_that_overflow_are_refused),
        cmocka_unit_test(copies_are_terminated_and_printf_fits),
        cmocka_unit_test(what_is_within_an_arena_counts_against_its_limit),
        cmocka_unit_test(what_is_joined_lives_on_and_counts),
        cmocka_unit_test(a_reset_arena_starts_anew_within_the_same_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
