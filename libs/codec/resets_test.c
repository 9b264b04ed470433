#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "codec/resets.h"

enum { BUCKETS = 3 };

struct made {
    struct mrd_histogram_span span;
    union mrd_histogram_count counts[BUCKETS];
    struct mrd_histogram histogram;
};

/* A histogram of integers, buckets from `offset` on. */
static struct mrd_histogram *make(struct made *made, int32_t offset, uint64_t a, uint64_t b,
                                  uint64_t c)
{
    *made = (struct made){
        .span = {offset,         BUCKETS          },
        .counts = {{.integer = a}, {.integer = b},    {.integer = c}},
        .histogram = {.count = {.integer = a + b + c},              .sum = 1}
    };
    made->histogram.positive = (struct mrd_histogram_side){&made->span, made->counts, 1, BUCKETS};
    return &made->histogram;
}

static void check(const struct mrd_histogram *before, const struct mrd_histogram *now,
                  enum mrd_histogram_reset want)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("test", 1 << 16);
    struct mrd_histogram items[] = {*before, *now};
    mrd_histograms_find_resets(items, 0, 2, arena);
    assert_int_equal(items[1].reset, want);
}

static void what_did_not_fall_was_not_reset(void **state)
{
    (void)state;
    struct made a;
    struct made b;
    check(make(&a, 0, 1, 2, 3), make(&b, 0, 1, 2, 3), MRD_HISTOGRAM_NO_RESET);
    check(make(&a, 0, 1, 2, 3), make(&b, 0, 5, 2, 4), MRD_HISTOGRAM_NO_RESET);
    check(make(&a, 0, 1, 2, 3), make(&b, 0, 9, 1, 9),
          MRD_HISTOGRAM_RESET_UNKNOWN); /* a bucket fell */
    check(make(&a, 0, 1, 2, 3), make(&b, 0, 1, 1, 1), MRD_HISTOGRAM_RESET_UNKNOWN);
}

static void layouts_may_differ(void **state)
{
    (void)state;
    struct made a;
    struct made b;
    check(make(&a, 1, 2, 3, 0), make(&b, 0, 7, 2, 3),
          MRD_HISTOGRAM_NO_RESET); /* the same buckets, one more */
    check(make(&a, 1, 2, 3, 0), make(&b, 0, 7, 1, 3), MRD_HISTOGRAM_RESET_UNKNOWN);
}

static void only_a_gauge_is_believed(void **state)
{
    (void)state;
    struct made a;
    struct made b;
    make(&a, 0, 1, 2, 3);
    make(&b, 0, 1, 2, 3);
    b.histogram.reset = MRD_HISTOGRAM_RESET;
    check(&a.histogram, &b.histogram, MRD_HISTOGRAM_NO_RESET);
    make(&b, 1, 1, 2, 3); /* of another layout, and less */
    b.histogram.reset = MRD_HISTOGRAM_NO_RESET;
    check(&a.histogram, &b.histogram, MRD_HISTOGRAM_RESET_UNKNOWN);
    make(&b, 0, 1, 2, 3);
    b.histogram.reset = MRD_HISTOGRAM_GAUGE;
    check(&a.histogram, &b.histogram, MRD_HISTOGRAM_GAUGE);
    b.histogram.reset = MRD_HISTOGRAM_RESET_UNKNOWN;
    a.histogram.reset = MRD_HISTOGRAM_GAUGE;
    check(&a.histogram, &b.histogram, MRD_HISTOGRAM_RESET_UNKNOWN);
    a.histogram.reset = MRD_HISTOGRAM_RESET_UNKNOWN;
    a.histogram.sum = mrd_stale_nan();
    check(&a.histogram, &b.histogram, MRD_HISTOGRAM_RESET_UNKNOWN);
}

static void only_those_asked_for_are_marked(void **state)
{
    (void)state;
    struct made made;
    const struct mrd_histogram *one = make(&made, 0, 1, 2, 3);
    struct mrd_histogram items[] = {*one, *one, *one};
    mrd_histograms_find_resets(items, 2, 3, NULL); /* alike: needs no memory */
    assert_int_equal(items[1].reset, MRD_HISTOGRAM_RESET_UNKNOWN);
    assert_int_equal(items[2].reset, MRD_HISTOGRAM_NO_RESET);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_did_not_fall_was_not_reset),
        cmocka_unit_test(layouts_may_differ),
        cmocka_unit_test(only_a_gauge_is_believed),
        cmocka_unit_test(only_those_asked_for_are_marked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
