#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <float.h>
#include <math.h>

#include "promqltest/script_histogram.h"
#include "promqltest/script_shape.h"

enum { BUCKETS_MAX = 4 };

/* Bounds as the definition of native histograms has them: bucket i of schema s ends at 2^(i * 2^-s). */
static const struct {
    const char *literal;
    double count;
    double sum;
    struct script_bucket buckets[BUCKETS_MAX];
    size_t bucket_count;
} cases[] = {
    {"{{}}",                                                             0,   0, {{0}},                          0},
    {"{{count:3 sum:5 buckets:[1 0 2]}}",                                3,   5, {{0, 0.5, 1, 1}, {0, 2, 4, 2}}, 2},
    {"{{schema:-2 count:1 sum:1 offset:1 buckets:[1]}}",                 1,   1, {{0, 1, 16, 1}},                1},
    {"{{schema:1 count:1 sum:1 offset:2 buckets:[1]}}",                  1,   1, {{0, M_SQRT2, 2, 1}},           1},
    {"{{count:1 sum:1 n_buckets:[1] n_offset:2}}",                       1,   1, {{1, -4, -2, 1}},               1},
    {"{{count:5 z_bucket:2 z_bucket_w:0.75 buckets:[1] n_buckets:[2]}}",
     5,                                                                       0,
     {{1, -1, -0.75, 2}, {3, -0.75, 0.75, 2}, {0, 0.75, 1, 1}},
     3                                                                                                            },
    {"{{count:1 sum:1 z_bucket:NaN}}",                                   1,   1, {{0}},                          0},
    {"{{count:1 sum:1 z_bucket:-1}}",                                    1,   1, {{0}},                          0},
    {"{{count:NaN sum:1 buckets:[NaN]}}",                                NAN, 1, {{0, 0.5, 1, NAN}},             1},
    {"{{schema:-4 count:2 sum:1 offset:64 buckets:[1 1]}}",
     2,                                                                       1,
     {{0, 0x1p1008, DBL_MAX, 1}, {0, DBL_MAX, INFINITY, 1}},
     2                                                                                                            },
    {"{{schema:-53 count:6 sum:1 custom_values:[1 2] buckets:[1 2 3]}}",
     6,                                                                       1,
     {{3, -INFINITY, 1, 1}, {0, 1, 2, 2}, {0, 2, INFINITY, 3}},
     3                                                                                                            },
    {"{{schema:-53 count:2 sum:1 custom_values:[1 2] buckets:[0 2]}}",   2,   1, {{0, 1, 2, 2}},                 1},
};

static void a_histogram_is_shown_as_answers_do(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *arena = mrd_arena_create("test", SIZE_MAX);
        struct mrd_float_histogram *histogram = NULL;
        bool hint_set = false;
        struct mrd_bytes literal = mrd_bytes_of(cases[i].literal);
        struct mrd_error err = {0};
        if (script_take_histogram(&literal, arena, &histogram, &hint_set, &err) != MRD_OK) {
            fail_msg("%s: %s", cases[i].literal, err.text);
        }
        struct mrd_float_histogram *want = script_shape_create(arena, BUCKETS_MAX);
        want->count = cases[i].count;
        want->sum = cases[i].sum;
        for (size_t b = 0; b < cases[i].bucket_count; b++) {
            script_shape_add(want, cases[i].buckets[b]);
        }
        if (!script_shapes_agree(want, script_shape_of(histogram, arena), true)) {
            fail_msg("%s is shown in another way", cases[i].literal);
        }
    }
}

static struct mrd_float_histogram *shape_of(struct mrd_arena *arena, double count, double sum,
                                            struct script_bucket bucket)
{
    struct mrd_float_histogram *shape = script_shape_create(arena, 1);
    shape->count = count;
    shape->sum = sum;
    script_shape_add(shape, bucket);
    return shape;
}

static void any_difference_is_seen(void **state)
{
    (void)state;
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("test", SIZE_MAX);
    const struct script_bucket bucket = {SCRIPT_BOUNDS_UPPER, 1, 2, 3};
    const struct script_bucket others[] = {
        {SCRIPT_BOUNDS_LOWER, 1,         2,         3},
        {SCRIPT_BOUNDS_UPPER, 1.0000001, 2,         3},
        {SCRIPT_BOUNDS_UPPER, 1,         2.0000001, 3},
        {SCRIPT_BOUNDS_UPPER, 1,         2,         4},
    };
    const struct mrd_float_histogram *want = shape_of(arena, 3, 5, bucket);
    assert_true(script_shapes_agree(want, shape_of(arena, 3, 5, bucket), true));
    for (size_t i = 0; i < MRD_ARRAY_LEN(others); i++) {
        assert_false(script_shapes_agree(want, shape_of(arena, 3, 5, others[i]), true));
    }
    assert_false(script_shapes_agree(want, shape_of(arena, 4, 5, bucket), true));
    assert_false(script_shapes_agree(want, shape_of(arena, 3, 6, bucket), true));
    assert_false(script_shapes_agree(want, script_shape_create(arena, 0), true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_histogram_is_shown_as_answers_do),
        cmocka_unit_test(any_difference_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
