/* What the source in memory yields of a range. */
#include "promqltest/memory_source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct {
    mrd_time_ms min_ms;
    mrd_time_ms max_ms;
    size_t count;
} ranges[] = {
    {1000,      2000,      2},
    {1001,      1999,      0},
    {2000,      INT64_MAX, 2}, /* both ends count, the last moment as well */
    {INT64_MIN, INT64_MAX, 3},
    {INT64_MIN, INT64_MIN, 0},
};

static void a_range_has_both_its_ends(void **state)
{
    (void)state;
    static const mrd_time_ms times_ms[] = {1000, 2000, INT64_MAX};
    struct mrd_memory_source *memory = mrd_memory_source_create();
    const struct mrd_label name = {MRD_BYTES("__name__"), MRD_BYTES("m")};
    const struct mrd_source *source = mrd_memory_source_get(memory);
    for (size_t i = 0; i < MRD_ARRAY_LEN(times_ms); i++) {
        mrd_memory_source_put(memory, (struct mrd_labels){&name, 1},
                              (struct mrd_sample){.time_ms = times_ms[i], .value = 1});
    }
    for (size_t i = 0; i < MRD_ARRAY_LEN(ranges); i++) {
        const struct mrd_select select = {.min_ms = ranges[i].min_ms, .max_ms = ranges[i].max_ms};
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *arena = mrd_arena_create("query", 1 << 20);
        const struct mrd_query_scope scope = {.arena = arena};
        struct mrd_source_set *set = NULL;
        struct mrd_source_series series = {0};
        bool more = false;
        assert_int_equal(source->open(source->context, &select, &scope, &set, NULL), MRD_OK);
        assert_int_equal(source->next(set, &series, &more, NULL), MRD_OK);
        assert_int_equal(more ? series.samples.count : 0, ranges[i].count);
        source->close(set);
    }
    mrd_memory_source_destroy(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_range_has_both_its_ends)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
