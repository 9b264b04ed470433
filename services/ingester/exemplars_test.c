#include "ingester/exemplars.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct mrd_bytes labels_of(const char *name, const char *value, struct mrd_buf *buf)
{
    const struct mrd_label label = {mrd_bytes_of(name), mrd_bytes_of(value)};
    mrd_buf_clear(buf);
    mrd_labels_encode((struct mrd_labels){&label, 1}, buf);
    return mrd_buf_view(buf);
}

static size_t exemplars_max; /* the tenants' bound at the moment */

static struct ing_exemplars *create(size_t bound)
{
    exemplars_max = bound;
    return ing_exemplars_create();
}

static enum ing_exemplar_result add(struct ing_exemplars *exemplars, const char *tenant,
                                    const char *series, mrd_time_ms time_ms, double value,
                                    const char *trace)
{
    struct mrd_buf series_labels = {0};
    struct mrd_buf labels = {0};
    const struct mrd_exemplar exemplar = {time_ms, value, labels_of("trace", trace, &labels)};
    const enum ing_exemplar_result result =
        ing_exemplars_add(exemplars, mrd_bytes_of(tenant), exemplars_max,
                          labels_of("__name__", series, &series_labels), &exemplar);
    mrd_buf_fini(&series_labels);
    mrd_buf_fini(&labels);
    return result;
}

static void note(void *context, struct mrd_bytes labels, const struct mrd_exemplar *exemplar)
{
    struct mrd_buf *out = context;
    mrd_buf_printf(out, "%.*s@%ld=%g ", (int)labels.size - 10, (const char *)labels.data + 10,
                   (long)exemplar->time_ms, exemplar->value);
}

/* All of the tenant's as text, of series that match name =~ regex. */
static void expect(const struct ing_exemplars *exemplars, const char *tenant, const char *regex,
                   mrd_time_ms min_ms, mrd_time_ms max_ms, const char *want)
{
    struct mrd_matcher matcher;
    assert_int_equal(
        mrd_matcher_init(&matcher, MRD_MATCH_RE, MRD_BYTES("__name__"), mrd_bytes_of(regex), NULL),
        MRD_OK);
    const struct ing_exemplar_query query = {.tenant = mrd_bytes_of(tenant),
                                             .matchers = &matcher,
                                             .matcher_count = 1,
                                             .time_min_ms = min_ms,
                                             .time_max_ms = max_ms};
    struct mrd_arena *arena = mrd_arena_create("test", 1 << 16);
    struct mrd_buf out = {0};
    assert_int_equal(ing_exemplars_select(exemplars, &query, arena, note, &out, NULL), MRD_OK);
    mrd_buf_append_u8(&out, 0);
    assert_string_equal((const char *)out.data, want);
    mrd_buf_fini(&out);
    mrd_arena_destroy(&arena);
    mrd_matcher_fini(&matcher);
}

/* tsdb/exemplar.go, validateExemplar. */
static void only_what_comes_after_the_series_newest_is_taken(void **state)
{
    (void)state;
    struct ing_exemplars *exemplars = create(100);
    assert_int_equal(add(exemplars, "t", "a", 10, 5, "m"), ING_EXEMPLAR_TAKEN);
    assert_int_equal(add(exemplars, "t", "a", 10, 5, "m"), ING_EXEMPLAR_DUPLICATE);
    assert_int_equal(add(exemplars, "t", "a", 9, 5, "m"), ING_EXEMPLAR_OUT_OF_ORDER);
    assert_int_equal(add(exemplars, "t", "a", 10, 4, "m"), ING_EXEMPLAR_OUT_OF_ORDER);
    assert_int_equal(add(exemplars, "t", "a", 10, 5, "l"), ING_EXEMPLAR_OUT_OF_ORDER);
    assert_int_equal(add(exemplars, "t", "a", 10, 5, "n"), ING_EXEMPLAR_TAKEN);
    assert_int_equal(add(exemplars, "t", "a", 10, 6, "a"), ING_EXEMPLAR_TAKEN);
    assert_int_equal(add(exemplars, "t", "b", 1, 1, "m"), ING_EXEMPLAR_TAKEN); /* another series */
    expect(exemplars, "t", ".*", 0, 100, "a@10=5 a@10=5 a@10=6 b@1=1 ");
    expect(exemplars, "t", "b", 0, 100, "b@1=1 ");
    expect(exemplars, "t", ".*", 2, 9, "");
    expect(exemplars, "u", ".*", 0, 100, "");
    ing_exemplars_destroy(&exemplars);
}

static void a_full_ring_forgets_its_oldest_and_series_without_any(void **state)
{
    (void)state;
    struct ing_exemplars *exemplars = create(3);
    const size_t empty = ing_exemplars_memory(exemplars);
    (void)add(exemplars, "t", "a", 1, 1, "m");
    (void)add(exemplars, "t", "b", 2, 2, "m");
    (void)add(exemplars, "t", "a", 3, 3, "m");
    (void)add(exemplars, "t", "a", 4, 4, "m"); /* in place of a's first */
    expect(exemplars, "t", ".*", 0, 100, "a@3=3 a@4=4 b@2=2 ");
    (void)add(exemplars, "t", "a", 5, 5, "m");
    expect(exemplars, "t", ".*", 0, 100, "a@3=3 a@4=4 a@5=5 ");
    assert_int_equal(add(exemplars, "t", "b", 1, 1, "m"), ING_EXEMPLAR_TAKEN); /* as if new */
    for (int i = 10; i < 2000; i++) {
        (void)add(exemplars, "t", i % 2 == 0 ? "x" : "y", i, i, "m");
    }
    expect(exemplars, "t", ".*", 0, 3000, "x@1998=1998 y@1997=1997 y@1999=1999 ");
    assert_int_equal(ing_exemplars_count(exemplars), 3);
    assert_true(ing_exemplars_memory(exemplars) - empty < 2048);
    (void)add(exemplars, "u", "a", 1, 1, "m"); /* takes nothing from the other tenant */
    expect(exemplars, "t", ".*", 0, 3000, "x@1998=1998 y@1997=1997 y@1999=1999 ");
    ing_exemplars_destroy(&exemplars);
}

static void a_bound_that_changes_holds_from_the_next_exemplar_on(void **state)
{
    (void)state;
    struct ing_exemplars *exemplars = create(4);
    const size_t empty = ing_exemplars_memory(exemplars);
    for (int i = 1; i <= 6; i++) {
        (void)add(exemplars, "t", i % 2 == 0 ? "x" : "y", i, i, "m");
    }
    expect(exemplars, "t", ".*", 0, 100, "x@4=4 x@6=6 y@3=3 y@5=5 ");
    exemplars_max = 6; /* more room, in a ring that has gone round */
    for (int i = 7; i <= 9; i++) {
        (void)add(exemplars, "t", i % 2 == 0 ? "x" : "y", i, i, "m");
    }
    expect(exemplars, "t", ".*", 0, 100, "x@4=4 x@6=6 x@8=8 y@5=5 y@7=7 y@9=9 ");
    exemplars_max = 3;
    (void)add(exemplars, "t", "z", 10, 10, "m");
    expect(exemplars, "t", ".*", 0, 100, "x@8=8 y@9=9 z@10=10 ");
    (void)add(exemplars, "t", "z", 11, 11, "m");
    exemplars_max = 2; /* again, in one that has gone round */
    (void)add(exemplars, "t", "y", 12, 12, "m");
    expect(exemplars, "t", ".*", 0, 100, "y@12=12 z@11=11 ");
    assert_int_equal(ing_exemplars_count(exemplars), 2);
    exemplars_max = 100;
    for (int i = 20; i < 150; i++) {
        (void)add(exemplars, "t", i % 2 == 0 ? "x" : "y", i, i, "m");
    }
    assert_int_equal(ing_exemplars_count(exemplars), 100);
    expect(exemplars, "t", ".*", 0, 53, "x@50=50 x@52=52 y@51=51 y@53=53 ");
    exemplars_max = 0;
    assert_int_equal(add(exemplars, "t", "x", 200, 1, "m"), ING_EXEMPLAR_REFUSED);
    assert_int_equal(ing_exemplars_count(exemplars), 0);
    assert_true(ing_exemplars_memory(exemplars) - empty < 512);
    exemplars_max = 1;
    assert_int_equal(add(exemplars, "t", "x", 1, 1, "m"), ING_EXEMPLAR_TAKEN);
    expect(exemplars, "t", ".*", 0, 300, "x@1=1 ");
    ing_exemplars_destroy(&exemplars);
}

static void with_a_ring_of_one_the_only_series_may_be_the_one_that_goes(void **state)
{
    (void)state;
    struct ing_exemplars *exemplars = create(1);
    assert_int_equal(add(exemplars, "t", "a", 1, 1, "m"), ING_EXEMPLAR_TAKEN);
    assert_int_equal(add(exemplars, "t", "a", 2, 2, "m"), ING_EXEMPLAR_TAKEN);
    expect(exemplars, "t", ".*", 0, 100, "a@2=2 ");
    ing_exemplars_destroy(&exemplars);
}

static void large_labels_are_refused(void **state)
{
    (void)state;
    static char large[4096];
    memset(large, 'x', sizeof(large) - 1);
    struct ing_exemplars *exemplars = create(10);
    assert_int_equal(add(exemplars, "t", large, 1, 1, "m"), ING_EXEMPLAR_REFUSED);
    assert_int_equal(add(exemplars, "t", "a", 1, 1, large), ING_EXEMPLAR_REFUSED);
    assert_int_equal(ing_exemplars_count(exemplars), 0);
    ing_exemplars_destroy(&exemplars);
}

static void none_are_kept_where_none_may_be(void **state)
{
    (void)state;
    struct ing_exemplars *exemplars = create(0);
    assert_int_equal(add(exemplars, "t", "a", 1, 1, "m"), ING_EXEMPLAR_REFUSED);
    ing_exemplars_destroy(&exemplars);
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

static void count_exemplar(void *context, struct mrd_bytes labels,
                           const struct mrd_exemplar *exemplar)
{
    (void)labels;
    (void)exemplar;
    (*(size_t *)context)++;
}

/* Of a single series: a look at each series would be too few. */
static void many_exemplars_are_looked_out_of(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    struct ing_exemplars *exemplars = create(COUNT);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(add(exemplars, "t", "a", i, i, "m"), ING_EXEMPLAR_TAKEN);
    }
    struct looks looks = {0};
    const struct ing_exemplar_query query = {
        .tenant = MRD_BYTES("t"),
        .time_min_ms = 0,
        .time_max_ms = COUNT,
        .look = {count_look, &looks}
    };
    struct mrd_arena *arena = mrd_arena_create("test", 1 << 16);
    size_t seen = 0;
    assert_int_equal(ing_exemplars_select(exemplars, &query, arena, count_exemplar, &seen, NULL),
                     MRD_OK);
    assert_int_equal(seen, COUNT);
    assert_in_range(looks.count, COUNT / 2000, COUNT);
    looks = (struct looks){.last = 2};
    seen = 0;
    assert_int_equal(ing_exemplars_select(exemplars, &query, arena, count_exemplar, &seen, NULL),
                     MRD_E_CANCELED);
    assert_in_range(seen, 1, COUNT / 4);
    mrd_arena_destroy(&arena);
    ing_exemplars_destroy(&exemplars);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_comes_after_the_series_newest_is_taken),
        cmocka_unit_test(a_full_ring_forgets_its_oldest_and_series_without_any),
        cmocka_unit_test(a_bound_that_changes_holds_from_the_next_exemplar_on),
        cmocka_unit_test(with_a_ring_of_one_the_only_series_may_be_the_one_that_goes),
        cmocka_unit_test(large_labels_are_refused),
        cmocka_unit_test(none_are_kept_where_none_may_be),
        cmocka_unit_test(many_exemplars_are_looked_out_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
