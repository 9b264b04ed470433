/* What is built is what the walk of the receiver finds. */
#include "wire/remote_write_v2_build.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "wire/remote_write_items.h"
#include "wire/remote_write_v2.h"

static struct mrd_label label(const char *name, const char *value)
{
    return (struct mrd_label){mrd_bytes_of(name), mrd_bytes_of(value)};
}

static void assert_text(struct mrd_bytes got, const char *want)
{
    assert_true(mrd_bytes_equal(got, mrd_bytes_of(want)));
}

static void samples_with_and_without_start_times_come_back(void **state)
{
    (void)state;
    struct mrd_rw2_build build;
    mrd_rw2_build_init(&build);
    const struct mrd_label labels[] = {label("__name__", "up"), label("job", "a")};
    mrd_rw2_build_begin(&build, (struct mrd_labels){labels, 2});
    mrd_rw2_build_sample(&build, (struct mrd_sample){-5, 1.5}, 0);
    mrd_rw2_build_sample(&build, (struct mrd_sample){1600000000000, 0}, 1500000000000);
    mrd_rw2_build_end(&build);
    assert_int_equal(build.series_count, 1);
    assert_int_equal(build.sample_count, 2);
    struct mrd_buf message = {0};
    mrd_rw2_build_append(&build, &message);
    assert_true(message.size <= mrd_rw2_build_size(&build));

    struct mrd_arena *arena = mrd_arena_create("test", 1 << 20);
    struct mrd_rw2_walk walk;
    struct mrd_rw_series series;
    struct mrd_label found[4];
    size_t count;
    assert_int_equal(mrd_rw2_walk_init(&walk, mrd_buf_view(&message), arena, 1, NULL), MRD_OK);
    assert_int_equal(walk.symbol_count, 5);
    assert_int_equal(mrd_rw2_walk_next(&walk, &series, 1, &count, NULL), MRD_OK);
    assert_int_equal(count, 1);
    assert_int_equal(series.sample_count, 2);
    assert_int_equal(mrd_rw2_labels_read(&walk, series.labels, found, &count, NULL), MRD_OK);
    assert_int_equal(count, 2);
    assert_text(found[1].name, "job");
    assert_text(found[1].value, "a");
    struct mrd_sample sample;
    mrd_time_ms start_ms;
    struct mrd_bytes rest = series.samples;
    assert_true(mrd_rw2_samples_next(&rest, &sample, &start_ms));
    assert_int_equal(sample.time_ms, -5);
    assert_true(sample.value == 1.5);
    assert_int_equal(start_ms, 0);
    assert_true(mrd_rw2_samples_next(&rest, &sample, &start_ms));
    assert_int_equal(sample.time_ms, 1600000000000);
    assert_int_equal(start_ms, 1500000000000);
    assert_false(mrd_rw2_samples_next(&rest, &sample, &start_ms));
    mrd_arena_destroy(&arena);
    mrd_buf_fini(&message);
    mrd_rw2_build_fini(&build);
}

static void every_text_is_a_symbol_once(void **state)
{
    (void)state;
    enum { SERIES = 5000 };
    struct mrd_rw2_build build;
    mrd_rw2_build_init(&build);
    for (unsigned round = 0; round < 2; round++) { /* also when used again */
        mrd_rw2_build_clear(&build);
        for (unsigned i = 0; i < 2 * SERIES; i++) {
            char value[16];
            (void)snprintf(value, sizeof(value), "v%u", i % SERIES);
            const struct mrd_label labels[] = {label("__name__", "m"), label("x", value)};
            mrd_rw2_build_begin(&build, (struct mrd_labels){labels, 2});
            mrd_rw2_build_sample(&build, (struct mrd_sample){i, i}, 0);
            mrd_rw2_build_end(&build);
        }
        assert_int_equal(build.symbols.count, 4 + SERIES);
        assert_int_equal(build.series_count, 2 * SERIES);
    }
    mrd_rw2_build_fini(&build);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_with_and_without_start_times_come_back),
        cmocka_unit_test(every_text_is_a_symbol_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
