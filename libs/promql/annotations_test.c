#include "promql/annotations.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void equal_texts_are_kept_once_in_their_order(void **state)
{
    (void)state;
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("query", SIZE_MAX);
    struct mrd_annotations annotations;
    mrd_annotations_init(&annotations, arena, MRD_BYTES_NONE);
    static const char *const texts[] = {"b", "a", "b", "a", "c"};
    for (size_t i = 0; i < MRD_ARRAY_LEN(texts); i++) {
        mrd_annotations_add(&annotations, MRD_ANNOTATION_WARNING, mrd_bytes_of(texts[i]));
    }
    const struct mrd_annotation *at = annotations.first[MRD_ANNOTATION_WARNING];
    static const char *const want[] = {"b", "a", "c"};
    for (size_t i = 0; i < MRD_ARRAY_LEN(want); i++, at = at->next) {
        assert_non_null(at);
        assert_true(mrd_bytes_equal(at->text, mrd_bytes_of(want[i])));
    }
    assert_null(at);
    assert_int_equal(annotations.count[MRD_ANNOTATION_WARNING], 3);
    assert_int_equal(annotations.count[MRD_ANNOTATION_INFO], 0);
}

static void positions_count_lines_and_bytes_from_one(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        size_t offset;
        const char *want;
    } cases[] = {
        {"rate(x[5m])",      5,  "PromQL info: t (1:6)"},
        {"sum(\n  rate(x))", 7,  "PromQL info: t (2:3)"},
        {"x",                0,  "PromQL info: t (1:1)"},
        {"",                 0,  "PromQL info: t"      },
        {"x",                99, "PromQL info: t"      },
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *arena = mrd_arena_create("query", SIZE_MAX);
        struct mrd_annotations annotations;
        mrd_annotations_init(&annotations, arena, mrd_bytes_of(cases[i].query));
        mrd_annotations_addf(&annotations, MRD_ANNOTATION_INFO,
                             (struct mrd_annotation_place){cases[i].offset, 0}, "%s", "t");
        assert_true(mrd_bytes_equal(annotations.first[MRD_ANNOTATION_INFO]->text,
                                    mrd_bytes_of(cases[i].want)));
    }
}

static void of_equal_texts_the_last_evaluated_place_is_kept(void **state)
{
    (void)state;
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("query", SIZE_MAX);
    struct mrd_annotations annotations;
    mrd_annotations_init(&annotations, arena, MRD_BYTES("a + b + c"));
    static const struct mrd_annotation_place places[] = {
        {0, 1},
        {8, 3},
        {4, 2}
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(places); i++) {
        mrd_annotations_addf(&annotations, MRD_ANNOTATION_INFO, places[i], "%s", "t");
    }
    assert_int_equal(annotations.count[MRD_ANNOTATION_INFO], 1);
    assert_true(mrd_bytes_equal(annotations.first[MRD_ANNOTATION_INFO]->text,
                                MRD_BYTES("PromQL info: t (1:9)")));
}

static void what_does_not_fit_is_counted(void **state)
{
    (void)state;
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("query", 8);
    struct mrd_annotations annotations;
    mrd_annotations_init(&annotations, arena, MRD_BYTES_NONE);
    mrd_annotations_add(&annotations, MRD_ANNOTATION_WARNING, MRD_BYTES("no room for this"));
    assert_int_equal(annotations.count[MRD_ANNOTATION_WARNING], 0);
    assert_int_equal(annotations.dropped[MRD_ANNOTATION_WARNING], 1);
}

static void what_is_counted_tells_how_often_and_where_it_was_first(void **state)
{
    (void)state;
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("test", 1 << 20);
    struct mrd_annotations annotations;
    mrd_annotations_init(&annotations, arena, MRD_BYTES("0123456789"));
    const struct mrd_annotation *first;
    mrd_annotations_count(&annotations, MRD_ANNOTATION_WARNING, (struct mrd_annotation_place){4, 1},
                          1, "odd \"%s\"", "a");
    first = annotations.first[MRD_ANNOTATION_WARNING];
    assert_true(mrd_bytes_equal(first->text, MRD_BYTES("PromQL warning: odd \"a\" (1:5)")));
    mrd_annotations_count(&annotations, MRD_ANNOTATION_WARNING, (struct mrd_annotation_place){7, 2},
                          41, "odd \"%s\"", "a");
    assert_true(mrd_bytes_equal(first->text,
                                MRD_BYTES("PromQL warning: odd \"a\" (42 occurrences) (1:5)")));
    mrd_annotations_count(&annotations, MRD_ANNOTATION_WARNING, (struct mrd_annotation_place){7, 2},
                          1, "odd \"%s\"", "b");
    assert_int_equal(annotations.count[MRD_ANNOTATION_WARNING], 2);
    mrd_annotations_init(&annotations, arena, MRD_BYTES_NONE);
    mrd_annotations_count(&annotations, MRD_ANNOTATION_INFO, (struct mrd_annotation_place){0, 0},
                          SIZE_MAX, "much");
    assert_true(mrd_bytes_equal(annotations.first[MRD_ANNOTATION_INFO]->text,
                                MRD_BYTES("PromQL info: much (18446744073709551615 occurrences)")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_texts_are_kept_once_in_their_order),
        cmocka_unit_test(positions_count_lines_and_bytes_from_one),
        cmocka_unit_test(of_equal_texts_the_last_evaluated_place_is_kept),
        cmocka_unit_test(what_does_not_fit_is_counted),
        cmocka_unit_test(what_is_counted_tells_how_often_and_where_it_was_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
