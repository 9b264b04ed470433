#include "model/histogram_check.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SPANS(...)                                                                                 \
    (const struct mrd_histogram_span[]){__VA_ARGS__},                                              \
        sizeof((struct mrd_histogram_span[]){__VA_ARGS__}) / sizeof(struct mrd_histogram_span)
#define COUNTS(...)                                                                                \
    (const uint64_t[]){__VA_ARGS__}, sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t)
#define BOUNDS(...) (const double[]){__VA_ARGS__}, sizeof((double[]){__VA_ARGS__}) / sizeof(double)
#define NONE NULL, 0

struct side {
    const struct mrd_histogram_span *spans;
    size_t span_count;
    const uint64_t *counts; /* of float histograms as whole numbers, too; "negative" as int64 */
    size_t count;
};

static const struct {
    const char *want; /* "": valid */
    bool is_float;
    int32_t schema;
    double zero_threshold;
    double sum;
    int64_t count;
    int64_t zero_count;
    struct side positive;
    struct side negative;
    const double *bounds;
    size_t bound_count;
} cases[] = {
  /* clang-format off */
    {"", .schema = 0},
    {"", .schema = 8, .sum = 3, .count = 6, .zero_count = 1,
     .positive = {SPANS({-3, 2}, {0, 1}), COUNTS(1, 0, 2)}, .negative = {SPANS({5, 1}), COUNTS(2)}},
    {"", .schema = -4, .sum = NAN, .count = 9, .positive = {SPANS({0, 1}), COUNTS(2)}},
    {"", .is_float = true, .count = 1, .positive = {SPANS({0, 2}), COUNTS(7, 8)}},
    {"", .schema = -53,.count = 3, .positive = {SPANS({0, 2}), COUNTS(1, 2)},
     .bounds = (const double[]){1}, .bound_count = 1},
    {"invalid histogram schema 9: must be between -4 and 52, or -53 for custom buckets",
     .schema = 9},
    {"invalid histogram schema -5: must be between -4 and 52, or -53 for custom buckets",
     .schema = -5},
    {"positive side: spans need 2 buckets, have 1 buckets: histogram spans specify different "
     "number of buckets than provided", .count = 1, .positive = {SPANS({0, 2}), COUNTS(1)}},
    {"negative side: spans need 0 buckets, have 1 buckets: histogram spans specify different "
     "number of buckets than provided", .count = 1, .negative = {NONE, COUNTS(1)}},
    {"positive side: span number 2 with offset -1: histogram has a span whose offset is negative",
     .positive = {SPANS({-9, 1}, {-1, 1}), COUNTS(0, 0)}},
    {"positive side: bucket number 2 has observation count of -1: histogram has a bucket whose "
     "observation count is negative", .positive = {SPANS({0, 2}), COUNTS(1, (uint64_t)-1)}},
    {"negative side: bucket number 1 has observation count of -2: histogram has a bucket whose "
     "observation count is negative", .is_float = true,
     .negative = {SPANS({0, 1}), COUNTS((uint64_t)-2)}},
    {"zero bucket has observation count of -1: histogram has a bucket whose observation count is "
     "negative", .is_float = true,.zero_count = -1},
    {"observation count is -1: histogram's observation count is negative", .is_float = true,
     .count = -1},
    {"3 observations found in buckets, but the Count field is 4: histogram's observation count "
     "should equal the number of observations found in the buckets (in absence of NaN)",
     .count = 4, .zero_count = 1, .positive = {SPANS({0, 1}), COUNTS(2)}},
    {"3 observations found in buckets, but the Count field is 2: histogram's observation count "
     "should "
     "be at least the number of observations found in the buckets", .sum = NAN,.count = 2,
     .zero_count = 1, .positive = {SPANS({0, 1}), COUNTS(2)}},
    {"histogram with exponential schema must not have custom bounds", .schema = 1,
     .bounds = BOUNDS(1)},
    {"custom buckets: histogram custom bounds must not be NaN", .schema = -53,
     .bounds = BOUNDS(1, NAN)},
    {"custom buckets: previous bound is 2.000000 and current is 2.000000: histogram custom bounds "
     "must "
     "be in strictly increasing order", .schema = -53, .bounds = BOUNDS(1, 2, 2)},
    {"custom buckets: last +Inf bound must not be explicitly defined: histogram custom bounds must "
     "be finite", .schema = -53, .bounds = BOUNDS(1, INFINITY)},
    {"custom buckets: span number 1 with offset -1: histogram has a span whose offset is "
     "negative", .schema = -53, .positive = {SPANS({-1, 1}), COUNTS(0)}},
    {"custom buckets: only 1 custom bounds defined which is insufficient to cover total span "
     "length of 3: histogram custom bounds are too few", .schema = -53, .count = 2,
     .positive = {SPANS({1, 2}), COUNTS(1, 1)}, .bounds = BOUNDS(1)},
    {"custom buckets: must have zero count of 0", .schema = -53, .zero_count = 1, .count = 1},
    {"custom buckets: must have zero threshold of 0", .schema = -53, .zero_threshold = 0.5},
    {"zero threshold is -1: it must be finite and not negative", .zero_threshold = -1},
    {"zero threshold is nan: it must be finite and not negative", .zero_threshold = NAN},
    {"zero threshold is inf: it must be finite and not negative", .zero_threshold = INFINITY},
    {"custom buckets: must not have negative spans", .schema = -53,
     .negative = {SPANS({0, 0}), NONE}},
    {"custom buckets: must not have negative buckets", .schema = -53,
     .negative = {NONE, COUNTS(0)}},
    {"positive side: a bucket's index is beyond 2147483647",
     .positive = {SPANS({2147483647, 1}), COUNTS(0)}},
    {"positive side: a bucket's index is beyond 2147483647",
     .positive = {SPANS({2147483647, 0}, {2147483647, 1}), COUNTS(0)}},
  /* clang-format on */
};

static struct mrd_histogram_side side_of(const struct side *side, bool is_float,
                                         union mrd_histogram_count room[8])
{
    for (size_t i = 0; i < side->count; i++) {
        if (is_float) {
            room[i].real = (double)(int64_t)side->counts[i];
        } else {
            room[i].integer = side->counts[i];
        }
    }
    return (struct mrd_histogram_side){side->spans, room, side->span_count, side->count};
}

static union mrd_histogram_count count_of(int64_t count, bool is_float)
{
    return is_float ? (union mrd_histogram_count){.real = (double)count}
                    : (union mrd_histogram_count){.integer = (uint64_t)count};
}

static void histograms_are_checked_as_prometheus_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        union mrd_histogram_count positive[8];
        union mrd_histogram_count negative[8];
        const bool is_float = cases[i].is_float;
        const struct mrd_histogram histogram = {
            .is_float = is_float,
            .schema = cases[i].schema,
            .zero_threshold = cases[i].zero_threshold,
            .sum = cases[i].sum,
            .count = count_of(cases[i].count, is_float),
            .zero_count = count_of(cases[i].zero_count, is_float),
            .positive = side_of(&cases[i].positive, is_float, positive),
            .negative = side_of(&cases[i].negative, is_float, negative),
            .custom_values = cases[i].bounds,
            .custom_value_count = cases[i].bound_count,
        };
        struct mrd_error err = {0};
        const enum mrd_status got = mrd_histogram_check(&histogram, &err);
        assert_int_equal(got, cases[i].want[0] == 0 ? MRD_OK : MRD_E_INVALID);
        assert_string_equal(err.text, cases[i].want);
    }
}

static void a_histogram_has_a_bounded_number_of_parts(void **state)
{
    (void)state;
    static double bounds[MRD_HISTOGRAM_PARTS_MAX + 1];
    for (size_t i = 0; i < MRD_ARRAY_LEN(bounds); i++) {
        bounds[i] = (double)i;
    }
    struct mrd_histogram histogram = {.schema = MRD_HISTOGRAM_SCHEMA_CUSTOM,
                                      .custom_values = bounds,
                                      .custom_value_count = MRD_HISTOGRAM_PARTS_MAX};
    struct mrd_error err;
    assert_int_equal(mrd_histogram_check(&histogram, &err), MRD_OK);
    histogram.custom_value_count++;
    assert_int_equal(mrd_histogram_check(&histogram, &err), MRD_E_LIMIT);
    assert_string_equal(err.text,
                        "the histogram has 8193 custom bounds, at most 8192 can be stored");
}

/* Bucket i of schema n has the bound 2^(i * 2^-n): two of schema 9 make one of schema 8. */
static void a_finer_schema_becomes_the_finest_that_is_stored(void **state)
{
    (void)state;
    const struct mrd_histogram_span spans[] = {
        {-2, 4},
        {3,  2}
    }; /* -2 -1 0 1, 5 6 */
    const union mrd_histogram_count buckets[] = {{.integer = 1}, {.integer = 2},  {.integer = 4},
                                                 {.integer = 8}, {.integer = 16}, {.integer = 32}};
    struct mrd_histogram histogram = {
        .schema = 9, .count = {.integer = 63},
             .positive = { spans, buckets, 2, 6}
    };
    struct mrd_histogram_span out_spans[6];
    union mrd_histogram_count out_buckets[6];
    const struct mrd_histogram_side_room room = {out_spans, out_buckets};
    const struct mrd_histogram_side_room none = {NULL, NULL};
    mrd_histogram_coarsen(&histogram, &room, &none);
    assert_int_equal(histogram.schema, 8);
    /* -2 -> -1; -1, 0 -> 0; 1 -> 1; 5, 6 -> 3 */
    assert_int_equal(histogram.positive.bucket_count, 4);
    static const uint64_t want[] = {1, 6, 8, 48};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(histogram.positive.buckets[i].integer, want[i]);
    }
    assert_int_equal(histogram.positive.span_count, 2);
    assert_int_equal(histogram.positive.spans[0].offset, -1);
    assert_int_equal(histogram.positive.spans[0].length, 3);
    assert_int_equal(histogram.positive.spans[1].offset, 1);
    assert_int_equal(histogram.positive.spans[1].length, 1);
    assert_int_equal(mrd_histogram_check(&histogram, NULL), MRD_OK);
}

static void what_is_stored_as_it_is_is_not_made_coarser(void **state)
{
    (void)state;
    struct mrd_histogram histogram = {.schema = 8};
    const struct mrd_histogram_side_room none = {NULL, NULL};
    mrd_histogram_coarsen(&histogram, &none, &none);
    assert_int_equal(histogram.schema, 8);
    histogram.schema = 53;
    mrd_histogram_coarsen(&histogram, &none, &none);
    assert_int_equal(histogram.schema, 53);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histograms_are_checked_as_prometheus_does),
        cmocka_unit_test(a_histogram_has_a_bounded_number_of_parts),
        cmocka_unit_test(a_finer_schema_becomes_the_finest_that_is_stored),
        cmocka_unit_test(what_is_stored_as_it_is_is_not_made_coarser),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
