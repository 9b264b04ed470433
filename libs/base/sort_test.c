#include "base/sort.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"

enum { ITEMS_MAX = 9 * MRD_SORT_RUN + 5 };

struct item {
    uint32_t key;
    uint32_t place; /* where it was: to see that equal ones keep their order */
};

static int by_key(const void *a, const void *b, void *context)
{
    const struct item *x = a;
    const struct item *y = b;
    (*(size_t *)context)++;
    return (x->key > y->key) - (x->key < y->key);
}

static void fill(struct item *items, size_t count)
{
    uint32_t state = 12345;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525 + 1013904223;
        items[i] = (struct item){state >> 20, (uint32_t)i}; /* 4,096 keys: many are equal */
    }
}

struct looks {
    size_t count;
    size_t last; /* the one that ends it; 0: none does */
};

static enum mrd_status count_look(void *context, struct mrd_error *err)
{
    struct looks *looks = context;
    return ++looks->count == looks->last ? mrd_fail(err, MRD_E_CANCELED, "enough") : MRD_OK;
}

static void items_are_sorted_and_equal_ones_keep_their_order(void **state)
{
    static const size_t counts[] = {0,
                                    1,
                                    2,
                                    MRD_SORT_RUN - 1,
                                    MRD_SORT_RUN,
                                    MRD_SORT_RUN + 1,
                                    2 * MRD_SORT_RUN,
                                    3 * MRD_SORT_RUN + 7,
                                    4 * MRD_SORT_RUN,
                                    ITEMS_MAX};
    static struct item items[ITEMS_MAX];
    (void)state;
    for (size_t c = 0; c < MRD_ARRAY_LEN(counts); c++) {
        size_t compared = 0;
        fill(items, counts[c]);
        assert_int_equal(
            mrd_sort(items, counts[c], sizeof(items[0]), by_key, &compared, NULL, NULL), MRD_OK);
        for (size_t i = 1; i < counts[c]; i++) {
            assert_true(items[i - 1].key < items[i].key ||
                        (items[i - 1].key == items[i].key && items[i - 1].place < items[i].place));
        }
    }
}

/* Never more comparisons in one go than a run of that many needs, whatever the count. */
static void looks_come_often(void **state)
{
    static struct item items[ITEMS_MAX];
    struct looks looks = {0};
    const struct mrd_look look = {count_look, &looks};
    size_t compared = 0;
    (void)state;
    fill(items, ITEMS_MAX);
    assert_int_equal(mrd_sort(items, ITEMS_MAX, sizeof(items[0]), by_key, &compared, &look, NULL),
                     MRD_OK);
    assert_true(looks.count * MRD_SORT_RUN * 12 > compared);
    assert_true(looks.count < compared / MRD_SORT_RUN + 16);
}

/* Ended at any look: its status, at once, and every item is still there. */
static void whoever_ends_it_has_all_items_still(void **state)
{
    static struct item items[ITEMS_MAX];
    static bool seen[ITEMS_MAX];
    (void)state;
    for (size_t last = 1;; last++) {
        struct looks looks = {.last = last};
        const struct mrd_look look = {count_look, &looks};
        size_t compared = 0;
        struct mrd_error err = {0};
        fill(items, ITEMS_MAX);
        const enum mrd_status status =
            mrd_sort(items, ITEMS_MAX, sizeof(items[0]), by_key, &compared, &look, &err);
        memset(seen, 0, sizeof(seen));
        for (size_t i = 0; i < ITEMS_MAX; i++) {
            assert_false(seen[items[i].place]);
            seen[items[i].place] = true;
        }
        if (looks.count < last) {
            assert_int_equal(status, MRD_OK);
            assert_true(last > 20);
            return;
        }
        assert_int_equal(status, MRD_E_CANCELED);
        assert_int_equal(looks.count, last);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_are_sorted_and_equal_ones_keep_their_order),
        cmocka_unit_test(looks_come_often),
        cmocka_unit_test(whoever_ends_it_has_all_items_still),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
