#include "model/float_histogram.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

/* A float histogram of consecutive positive buckets, the first with index `offset`. */
struct shape {
    int32_t schema;
    double count;
    double sum;
    double zero_threshold;
    double zero_count;
    int32_t offset;
    size_t bucket_count;
    double buckets[8];
    size_t custom_value_count;
    double custom_values[8];
    enum mrd_histogram_reset reset;
};

static struct mrd_arena *arena;

static int arena_up(void **state)
{
    (void)state;
    arena = mrd_arena_create("test", 1 << 20);
    return 0;
}
static int arena_down(void **state)
{
    (void)state;
    mrd_arena_destroy(&arena);
    return 0;
}

static struct mrd_float_histogram *make(struct shape shape)
{
    union mrd_histogram_count counts[8];
    struct mrd_float_histogram *made = NULL;
    struct mrd_error err;
    for (size_t i = 0; i < shape.bucket_count; i++) {
        counts[i].real = shape.buckets[i];
    }
    const struct mrd_histogram_span span = {shape.offset, (uint32_t)shape.bucket_count};
    const struct mrd_histogram from = {
        .is_float = true,
        .reset = shape.reset,
        .schema = shape.schema,
        .zero_threshold = shape.zero_threshold,
        .sum = shape.sum,
        .count.real = shape.count,
        .zero_count.real = shape.zero_count,
        .positive = {&span, counts, 1, shape.bucket_count},
        .custom_values = shape.custom_values,
        .custom_value_count = shape.custom_value_count,
    };
    if (mrd_float_histogram_from(&from, arena, &made, &err) != MRD_OK) {
        fail_msg("%s", err.text);
    }
    return made;
}

static void assert_text(const struct mrd_float_histogram *histogram, const char *want)
{
    struct mrd_buf text = {0};
    mrd_float_histogram_format(histogram, &text);
    mrd_buf_append_u8(&text, 0);
    assert_string_equal((const char *)text.data, want);
    mrd_buf_fini(&text);
}

static void assert_near(double got, double want, double epsilon)
{
    if (!(fabs(got - want) <= epsilon)) {
        fail_msg("got %.17g, not %.17g", got, want);
    }
}
static void assert_ok(enum mrd_status status) { assert_int_equal(status, MRD_OK); }

static void integer_counts_become_doubles_and_print_in_order(void **state)
{
    (void)state;
    const struct mrd_histogram_span positive[] = {
        {0, 2},
        {1, 1}
    };
    const struct mrd_histogram_span negative[] = {
        {1, 1}
    };
    const union mrd_histogram_count counts[] = {{.integer = 3}, {.integer = 0}, {.integer = 2}};
    const struct mrd_histogram from = {
        .sum = 2.5,
        .zero_threshold = 0.001,
        .count.integer = 9,
        .zero_count.integer = 1,
        .positive = {positive, counts, 2, 3},
        .negative = {negative, counts, 1, 1},
    };
    struct mrd_float_histogram *made = NULL;
    assert_ok(mrd_float_histogram_from(&from, arena, &made, NULL));
    assert_text(made, "{count:9, sum:2.5, [-2,-1):3, [-0.001,0.001]:1, (0.5,1]:3, (4,8]:2}");
    assert_int_equal(mrd_float_histogram_bucket_count(made), 5);
    assert_near(mrd_float_histogram_bucket(made, 0).lower, -2, 0);
    assert_near(mrd_float_histogram_bucket(made, 4).upper, 8, 0);
}

static void parts_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    static const double falling[] = {2, 1};
    const struct mrd_histogram_span one = {0, 1};
    const struct mrd_histogram_span back[] = {
        {5,  1},
        {-1, 1}
    };
    const struct mrd_histogram_span last = {INT32_MAX, 1};
    const union mrd_histogram_count counts[2] = {{.integer = 1}, {.integer = 1}};
    /* clang-format off */
    const struct mrd_histogram bad[] = {
        {.schema = 9},
        {.schema = -54},
        {.positive = {&one, counts, 1, 2}},
        {.positive = {&one, counts, 1, 0}},
        {.positive = {back, counts, 2, 2}},
        {.positive = {&last, counts, 1, 1}},
        {.schema = MRD_HISTOGRAM_SCHEMA_CUSTOM, .custom_values = falling, .custom_value_count = 2},
        {.schema = MRD_HISTOGRAM_SCHEMA_CUSTOM, .positive = {back, counts, 1, 1}},
        {.schema = MRD_HISTOGRAM_SCHEMA_CUSTOM, .negative = {&one, counts, 1, 1}},
    };
    /* clang-format on */
    for (size_t i = 0; i < MRD_ARRAY_LEN(bad); i++) {
        struct mrd_float_histogram *made = NULL;
        if (mrd_float_histogram_from(&bad[i], arena, &made, NULL) != MRD_E_CORRUPT) {
            fail_msg("case %zu was accepted", i);
        }
        assert_null(made);
    }
}

static void bounds_are_powers_with_a_last_finite_one(void **state)
{
    (void)state;
    assert_near(mrd_histogram_bound(0, 3), 8, 0);
    assert_near(mrd_histogram_bound(1, 2), 2, 0);
    assert_near(mrd_histogram_bound(-2, 1), 16, 0);
    assert_near(mrd_histogram_bound(0, -1), 0.5, 0);
    assert_near(mrd_histogram_bound(3, -8), 0.5, 0);
    assert_near(mrd_histogram_bound(0, 1024), DBL_MAX, 0);
    assert_near(mrd_histogram_bound(-4, 64), DBL_MAX, 0);
    assert_true(isinf(mrd_histogram_bound(0, 1025)));
    assert_true(isinf(mrd_histogram_bound(-4, INT32_MAX)));
    assert_near(mrd_histogram_bound(8, INT32_MIN), 0, 0);
}

static void a_sum_has_the_buckets_of_both(void **state)
{
    (void)state;
    struct mrd_float_histogram *a = make((struct shape){
        .count = 6, .sum = 10, .offset = 1, .bucket_count = 2, .buckets = {2, 4}
    });
    const struct mrd_float_histogram *b = make((struct shape){
        .count = 5, .sum = 3, .offset = 0, .bucket_count = 4, .buckets = {1, 2, 0, 2}
    });
    struct mrd_float_histogram_outcome outcome;
    assert_ok(mrd_float_histogram_add(a, b, arena, &outcome, NULL));
    assert_text(a, "{count:11, sum:13, (0.5,1]:1, (1,2]:4, (2,4]:4, (4,8]:2}");
    assert_ok(mrd_float_histogram_subtract(a, b, arena, &outcome, NULL));
    assert_int_equal(a->positive.count, 4); /* empty ones stay until it is compacted */
    assert_ok(mrd_float_histogram_compact(a, arena, NULL));
    assert_text(a, "{count:6, sum:10, (1,2]:2, (2,4]:4}");
    assert_int_equal(a->positive.count, 2);
}

static void the_coarser_schema_and_the_wider_zero_bucket_win(void **state)
{
    (void)state;
    struct mrd_float_histogram *a = make((struct shape){
        .schema = 1,
        .count = 10,
        .zero_threshold = 0.001,
        .zero_count = 1,
        .offset = 0,
        .bucket_count = 4,
        .buckets = {1, 2, 3, 3}
    });
    const struct mrd_float_histogram *b = make((struct shape){.schema = 0,
                                                              .count = 4,
                                                              .zero_threshold = 0.6,
                                                              .zero_count = 3,
                                                              .offset = 2,
                                                              .bucket_count = 1,
                                                              .buckets = {1}});
    struct mrd_float_histogram_outcome outcome;
    /* 0.6 lies in a's populated bucket (0.5^0.5, 1], so the zero bucket must reach up to 1. */
    assert_ok(mrd_float_histogram_add(a, b, arena, &outcome, NULL));
    assert_int_equal(a->schema, 0);
    assert_near(a->zero_threshold, 0.6, 0);
    assert_text(a, "{count:14, sum:0, [-0.6,0.6]:4, (0.5,1]:1, (1,2]:5, (2,4]:4}");
    const struct mrd_float_histogram *c =
        make((struct shape){.count = 1, .zero_threshold = 1.5, .zero_count = 1});
    assert_ok(mrd_float_histogram_add(a, c, arena, &outcome, NULL));
    assert_near(a->zero_threshold, 2, 0);
    assert_text(a, "{count:15, sum:0, [-2,2]:11, (2,4]:4}");
}

static void custom_bounds_come_down_to_those_of_both(void **state)
{
    (void)state;
    struct mrd_float_histogram *a = make((struct shape){
        .schema = MRD_HISTOGRAM_SCHEMA_CUSTOM,
        .count = 10,
        .bucket_count = 4,
        .buckets = {1, 2, 3, 4},
        .custom_value_count = 3,
        .custom_values = {1, 2,  5 }
    });
    const struct mrd_float_histogram *b = make((struct shape){
        .schema = MRD_HISTOGRAM_SCHEMA_CUSTOM,
        .count = 3,
        .bucket_count = 3,
        .buckets = {1, 1, 1},
        .custom_value_count = 2,
        .custom_values = {2, 7 }
    });
    struct mrd_float_histogram_outcome outcome;
    bool reset = true;
    assert_ok(mrd_float_histogram_was_reset(a, b, arena, &reset, NULL));
    assert_false(reset);
    assert_ok(mrd_float_histogram_add(a, b, arena, &outcome, NULL));
    assert_true(outcome.reconciled);
    assert_text(a, "{count:13, sum:0, [-Inf,2]:4, (2,+Inf]:9}");
    const struct mrd_float_histogram *exponential = make((struct shape){.count = 1});
    assert_ok(mrd_float_histogram_add(a, exponential, arena, &outcome, NULL));
    assert_true(outcome.incompatible);
    assert_near(a->count, 13, 0);
}

static void compensation_keeps_what_a_plain_sum_loses(void **state)
{
    (void)state;
    const struct shape shapes[] = {
        {.count = 1e100,  .bucket_count = 1, .buckets = {1e100} },
        {.count = 1,      .bucket_count = 2, .buckets = {1, 1}  },
        {.count = -1e100, .bucket_count = 1, .buckets = {-1e100}},
    };
    struct mrd_float_histogram *sum = make(shapes[0]);
    struct mrd_float_histogram *compensation = NULL;
    struct mrd_float_histogram_outcome outcome;
    for (size_t i = 1; i < MRD_ARRAY_LEN(shapes); i++) {
        assert_ok(mrd_float_histogram_add_compensated(sum, make(shapes[i]), &compensation, arena,
                                                      &outcome, NULL));
    }
    assert_ok(mrd_float_histogram_add(sum, compensation, arena, &outcome, NULL));
    assert_text(sum, "{count:1, sum:0, (0.5,1]:1, (1,2]:1}");
}

static void hints_of_counter_resets_meet(void **state)
{
    (void)state;
    const enum mrd_histogram_reset U = MRD_HISTOGRAM_RESET_UNKNOWN;
    const enum mrd_histogram_reset R = MRD_HISTOGRAM_RESET;
    const enum mrd_histogram_reset N = MRD_HISTOGRAM_NO_RESET;
    const enum mrd_histogram_reset G = MRD_HISTOGRAM_GAUGE;
    const struct {
        enum mrd_histogram_reset a, b, want;
        bool collision;
    } cases[] = {
        {U, U, U, false},
        {R, R, R, false},
        {R, U, U, false},
        {U, N, U, false},
        {G, R, G, false},
        {N, G, G, false},
        {R, N, U, true },
        {N, R, U, true },
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        struct mrd_float_histogram_outcome outcome;
        struct mrd_float_histogram *a = make((struct shape){.reset = cases[i].a});
        const struct mrd_float_histogram *b = make((struct shape){.reset = cases[i].b});
        assert_ok(mrd_float_histogram_add(a, b, arena, &outcome, NULL));
        assert_int_equal(a->reset, cases[i].want);
        assert_int_equal(outcome.collision, cases[i].collision);
    }
}

static void resets_are_seen_in_every_count(void **state)
{
    (void)state;
    const struct shape base = {
        .count = 6,
        .zero_threshold = 0.01,
        .zero_count = 1,
        .offset = 1,
        .bucket_count = 2,
        .buckets = {2, 3}
    };
    struct shape cases[] = {base, base, base, base, base, base, base};
    static const bool want[] = {false, true, true, true, true, false, true};
    cases[1].count = 5;
    cases[2].zero_count = 0;
    cases[3].buckets[1] = 2;
    cases[4].bucket_count = 1;
    cases[5].zero_threshold = 0.5; /* wider, over nothing */
    cases[6].schema = 1;
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        bool reset = !want[i];
        assert_ok(mrd_float_histogram_was_reset(make(cases[i]), make(base), arena, &reset, NULL));
        if (reset != want[i]) {
            fail_msg("case %zu: %d", i, reset);
        }
        cases[i].reset = MRD_HISTOGRAM_NO_RESET; /* the hint is believed */
        assert_ok(mrd_float_histogram_was_reset(make(cases[i]), make(base), arena, &reset, NULL));
        assert_false(reset);
    }
}

static void trimming_divides_the_bucket_that_holds_the_bound(void **state)
{
    (void)state;
    const struct shape shape = {
        .count = 12, .sum = 100, .offset = 1, .bucket_count = 3, .buckets = {4, 4, 4}
    };
    struct mrd_float_histogram *h = make(shape);
    assert_ok(mrd_float_histogram_trim(h, 8, true, arena, NULL));
    assert_text(h, "{count:12, sum:100, (1,2]:4, (2,4]:4, (4,8]:4}"); /* nothing to cut */
    assert_ok(mrd_float_histogram_trim(h, 2, true, arena, NULL));
    assert_near(h->count, 4, 0);
    assert_near(h->sum, 4 * sqrt(2), 1e-12);
    assert_int_equal(h->positive.count, 1);
    h = make(shape);
    assert_ok(mrd_float_histogram_trim(h, sqrt(8), false, arena, NULL));
    assert_near(h->count, 6, 1e-12);
    struct mrd_float_histogram *custom = make((struct shape){
        .schema = MRD_HISTOGRAM_SCHEMA_CUSTOM,
        .count = 10,
        .bucket_count = 3,
        .buckets = {4, 4, 2},
        .custom_value_count = 2,
        .custom_values = {2, 4 }
    });
    assert_ok(mrd_float_histogram_trim(custom, 3, true, arena, NULL));
    assert_text(custom, "{count:6, sum:9, [-Inf,2]:4, (2,4]:2}");
}

static void an_empty_bucket_makes_a_difference(void **state)
{
    (void)state;
    struct shape shape = {
        .count = 1, .bucket_count = 1, .buckets = {1, 0}
    };
    const struct mrd_float_histogram *a = make(shape);
    assert_true(mrd_float_histogram_equal(a, make(shape)));
    shape.reset = MRD_HISTOGRAM_GAUGE;
    assert_true(mrd_float_histogram_equal(a, make(shape)));
    shape.bucket_count = 2;
    assert_false(mrd_float_histogram_equal(a, make(shape)));
}

static void a_full_arena_is_an_answer(void **state)
{
    (void)state;
    const struct shape wide = {
        .schema = 2,
        .count = 9,
        .zero_threshold = 0.1,
        .offset = -3,
        .bucket_count = 8,
        .buckets = {1, 1, 1, 1, 1, 1, 1, 2}
    };
    const struct shape narrow = {
        .schema = 1,
        .count = 3,
        .zero_threshold = 0.9,
        .offset = 4,
        .bucket_count = 3,
        .buckets = {1, 1, 1}
    };
    const struct mrd_float_histogram *a = make(wide);
    const struct mrd_float_histogram *b = make(narrow);
    for (size_t limit = 16;; limit *= 2) {
        struct mrd_arena *small = mrd_arena_create("small", limit);
        struct mrd_float_histogram_outcome outcome;
        struct mrd_float_histogram *sum = NULL;
        struct mrd_float_histogram *compensation = NULL;
        enum mrd_status status = mrd_float_histogram_copy(a, small, &sum, NULL);
        if (status == MRD_OK) {
            status =
                mrd_float_histogram_add_compensated(sum, b, &compensation, small, &outcome, NULL);
        }
        mrd_arena_destroy(&small);
        if (status == MRD_OK) {
            assert_true(limit > 64);
            return;
        }
        assert_int_equal(status, MRD_E_LIMIT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integer_counts_become_doubles_and_print_in_order),
        cmocka_unit_test(parts_that_do_not_fit_are_refused),
        cmocka_unit_test(bounds_are_powers_with_a_last_finite_one),
        cmocka_unit_test(a_sum_has_the_buckets_of_both),
        cmocka_unit_test(the_coarser_schema_and_the_wider_zero_bucket_win),
        cmocka_unit_test(custom_bounds_come_down_to_those_of_both),
        cmocka_unit_test(compensation_keeps_what_a_plain_sum_loses),
        cmocka_unit_test(hints_of_counter_resets_meet),
        cmocka_unit_test(resets_are_seen_in_every_count),
        cmocka_unit_test(trimming_divides_the_bucket_that_holds_the_bound),
        cmocka_unit_test(an_empty_bucket_makes_a_difference),
        cmocka_unit_test(a_full_arena_is_an_answer),
    };
    return cmocka_run_group_tests(tests, arena_up, arena_down);
}
