#include "base/metrics.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static char *text_of(struct mrd_metrics *metrics)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf out = {0};
    mrd_metrics_write(metrics, &out);
    mrd_buf_append_u8(&out, 0);
    return strdup((const char *)out.data);
}

static void assert_text(struct mrd_metrics *metrics, const char *want)
{
    char *text = text_of(metrics);
    assert_string_equal(text, want);
    free(text);
}

static void families_are_sorted_and_have_help_and_type(void **state)
{
    (void)state;
    mrd_auto(mrd_metrics_destroy)
    struct mrd_metrics *metrics = mrd_metrics_create();
    struct mrd_gauge *depth = mrd_metrics_gauge(metrics, "z_depth", "How deep.", MRD_NO_LABELS);
    struct mrd_counter *late = mrd_metrics_counter(metrics, "a_total", "Lost: \\ and\nso on.",
                                                   MRD_LABELS({"reason", "late"}));
    struct mrd_counter *odd =
        mrd_metrics_counter(metrics, "a_total", "Lost: \\ and\nso on.",
                            MRD_LABELS({"reason", "odd \"one\"\n\\"}, {"x", "y"}));
    mrd_counter_add(late, 5);
    mrd_counter_add(odd, 1);
    mrd_gauge_set(depth, -7);
    mrd_gauge_add(depth, 2);
    assert_text(metrics, "# HELP a_total Lost: \\\\ and\\nso on.\n"
                         "# TYPE a_total counter\n"
                         "a_total{reason=\"late\"} 5\n"
                         "a_total{reason=\"odd \\\"one\\\"\\n\\\\\",x=\"y\"} 1\n"
                         "# HELP z_depth How deep.\n"
                         "# TYPE z_depth gauge\n"
                         "z_depth -5\n");
}

static void the_same_name_and_labels_are_the_same_metric(void **state)
{
    (void)state;
    mrd_auto(mrd_metrics_destroy)
    struct mrd_metrics *metrics = mrd_metrics_create();
    struct mrd_counter *one = mrd_metrics_counter(metrics, "n", "h", MRD_LABELS({"a", "1"}));
    assert_ptr_equal(mrd_metrics_counter(metrics, "n", "h", MRD_LABELS({"a", "1"})), one);
    assert_ptr_not_equal(mrd_metrics_counter(metrics, "n", "h", MRD_LABELS({"a", "2"})), one);
}

static void histograms_count_cumulatively(void **state)
{
    (void)state;
    mrd_auto(mrd_metrics_destroy)
    struct mrd_metrics *metrics = mrd_metrics_create();
    const double bounds[] = {0.1, 1, 2.5};
    struct mrd_metrics_histogram *seconds =
        mrd_metrics_histogram(metrics, "s", "h", MRD_LABELS({"k", "v"}), bounds, 3);
    const double values[] = {0.1, 0.05, 1.5, 100, 2.5};
    for (size_t i = 0; i < MRD_ARRAY_LEN(values); i++) {
        mrd_metrics_histogram_observe(seconds, values[i]);
    }
    assert_int_equal(mrd_metrics_histogram_observations(seconds), 5);
    assert_text(metrics, "# HELP s h\n# TYPE s histogram\n"
                         "s_bucket{k=\"v\",le=\"0.1\"} 2\n"
                         "s_bucket{k=\"v\",le=\"1\"} 2\n"
                         "s_bucket{k=\"v\",le=\"2.5\"} 4\n"
                         "s_bucket{k=\"v\",le=\"+Inf\"} 5\n"
                         "s_sum{k=\"v\"} 104.15\n"
                         "s_count{k=\"v\"} 5\n");
}

static void values_from_outside_cannot_grow_the_registry(void **state)
{
    (void)state;
    mrd_auto(mrd_metrics_destroy)
    struct mrd_metrics *metrics = mrd_metrics_create();
    struct mrd_counter_vec *vec =
        mrd_metrics_counter_vec(metrics, "n", "h", "tenant", MRD_LABELS({"a", "b"}), 2);
    mrd_counter_add(mrd_counter_vec_at(vec, MRD_BYTES("x")), 1);
    mrd_counter_add(mrd_counter_vec_at(vec, MRD_BYTES("y\"")), 2);
    for (int i = 0; i < 1000; i++) {
        char value[16];
        (void)snprintf(value, sizeof(value), "t%d", i);
        mrd_counter_add(mrd_counter_vec_at(vec, mrd_bytes_of(value)), 1);
    }
    mrd_counter_add(mrd_counter_vec_at(vec, MRD_BYTES("x")), 10);
    assert_text(metrics, "# HELP n h\n# TYPE n counter\n"
                         "n{a=\"b\",tenant=\"x\"} 11\n"
                         "n{a=\"b\",tenant=\"y\\\"\"} 2\n"
                         "n{a=\"b\",tenant=\"other\"} 1000\n");
}

static double read_half(void *context) { return *(const int *)context * 0.5; }

static void callbacks_are_asked_and_can_be_forgotten(void **state)
{
    (void)state;
    mrd_auto(mrd_metrics_destroy)
    struct mrd_metrics *metrics = mrd_metrics_create();
    int first = 3;
    int second = 5;
    mrd_metrics_callback(metrics, MRD_METRIC_GAUGE, "g", "h", MRD_LABELS({"i", "1"}), read_half,
                         &first);
    mrd_metrics_callback(metrics, MRD_METRIC_GAUGE, "g", "h", MRD_LABELS({"i", "2"}), read_half,
                         &second);
    assert_text(metrics, "# HELP g h\n# TYPE g gauge\ng{i=\"1\"} 1.5\ng{i=\"2\"} 2.5\n");
    mrd_metrics_forget(metrics, &first);
    assert_text(metrics, "# HELP g h\n# TYPE g gauge\ng{i=\"2\"} 2.5\n");
    mrd_metrics_forget(metrics, &second);
    assert_text(metrics, "");
}

static double value_of(const char *text, const char *name)
{
    char start[80];
    (void)snprintf(start, sizeof(start), "\n%s ", name);
    const char *found = strstr(text, start);
    if (found == NULL) {
        fail_msg("no %s", name);
        return 0;
    }
    return strtod(found + strlen(start), NULL);
}

static void a_process_says_what_it_is_and_uses(void **state)
{
    (void)state;
    mrd_auto(mrd_metrics_destroy)
    struct mrd_metrics *metrics = mrd_metrics_create();
    mrd_metrics_process(metrics, "test");
    char *text = text_of(metrics);
    assert_non_null(
        strstr(text, "\nmeridian_build_info{service=\"test\",version=\"" MRD_VERSION "\"} 1\n"));
    assert_true(value_of(text, "process_resident_memory_bytes") > 100000);
    assert_true(value_of(text, "process_virtual_memory_bytes") >
                value_of(text, "process_resident_memory_bytes"));
    assert_true(value_of(text, "process_open_fds") >= 3);
    assert_true(value_of(text, "process_max_fds") >= value_of(text, "process_open_fds"));
    assert_true(value_of(text, "process_threads") >= 1);
    assert_true(value_of(text, "process_start_time_seconds") > 1.6e9);
    assert_true(value_of(text, "process_cpu_seconds_total") > 0);
    free(text);
}

enum { THREADS = 4, ROUNDS = 20000 };

struct shared {
    struct mrd_metrics *metrics;
    struct mrd_metrics_histogram *histogram;
};

static void *count_main(void *context)
{
    const struct shared *shared = context;
    struct mrd_counter *counter = mrd_metrics_counter(shared->metrics, "n", "h", MRD_NO_LABELS);
    for (int i = 0; i < ROUNDS; i++) {
        mrd_counter_add(counter, 1);
        mrd_metrics_histogram_observe(shared->histogram, 0.5);
        if (i % 1000 == 0) {
            free(text_of(shared->metrics));
        }
    }
    return NULL;
}

static void no_count_is_lost_between_threads(void **state)
{
    (void)state;
    mrd_auto(mrd_metrics_destroy)
    struct mrd_metrics *metrics = mrd_metrics_create();
    struct shared shared = {metrics,
                            mrd_metrics_histogram(metrics, "s", "h", MRD_NO_LABELS,
                                                  mrd_bounds_seconds, mrd_bounds_seconds_count)};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_main, &shared), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    char *text = text_of(metrics);
    const double want = THREADS * ROUNDS;
    assert_true(value_of(text, "n") == want);
    assert_true(value_of(text, "s_count") == want);
    assert_true(value_of(text, "s_sum") == want / 2);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_are_sorted_and_have_help_and_type),
        cmocka_unit_test(the_same_name_and_labels_are_the_same_metric),
        cmocka_unit_test(histograms_count_cumulatively),
        cmocka_unit_test(values_from_outside_cannot_grow_the_registry),
        cmocka_unit_test(callbacks_are_asked_and_can_be_forgotten),
        cmocka_unit_test(a_process_says_what_it_is_and_uses),
        cmocka_unit_test(no_count_is_lost_between_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
