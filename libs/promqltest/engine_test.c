#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "promql/engine.h"
#include "promqltest/memory_source.h"

enum { SERIES = 20, HISTOGRAM_SERIES = 4, SAMPLES = 60, STEP_MS = 15000 };

static struct mrd_labels labels_of(char *texts, struct mrd_label items[3], size_t index)
{
    (void)snprintf(texts, 64, "%zu", index);
    items[0] = (struct mrd_label){MRD_BYTES(MRD_METRIC_NAME), MRD_BYTES("m_total")};
    items[1] = (struct mrd_label){MRD_BYTES("group"), MRD_BYTES("a")};
    items[2] = (struct mrd_label){MRD_BYTES("index"), mrd_bytes_of(texts)};
    if (index % 2 == 1) {
        items[1].value = MRD_BYTES("b");
    }
    return (struct mrd_labels){items, 3};
}

/* Four series of native histograms that grow, h{group="a"|"b"}. */
static void fill_histograms(struct mrd_memory_source *source)
{
    static const int32_t indexes[] = {0, 1, 3};
    for (size_t s = 0; s < HISTOGRAM_SERIES; s++) {
        char text[64];
        struct mrd_label items[3];
        struct mrd_labels labels = labels_of(text, items, s);
        items[0].value = MRD_BYTES("h");
        for (size_t i = 0; i < SAMPLES; i++) {
            double counts[] = {(double)i, (double)(i * s), 1};
            const struct mrd_float_histogram histogram = {
                .schema = (int32_t)s,
                .count = (double)(i + i * s + 1),
                .sum = (double)i,
                .positive = {indexes, counts, 3},
            };
            assert_true(mrd_memory_source_put_histogram(source, labels, (mrd_time_ms)i * STEP_MS,
                                                        &histogram));
        }
    }
}

static int fill_source(void **state)
{
    struct mrd_memory_source *source = mrd_memory_source_create();
    fill_histograms(source);
    for (size_t s = 0; s < SERIES; s++) {
        char texts[64];
        struct mrd_label items[3];
        const struct mrd_labels labels = labels_of(texts, items, s);
        for (size_t i = 0; i < SAMPLES; i++) {
            const struct mrd_sample sample = {(mrd_time_ms)i * STEP_MS, (double)(i * (s + 1))};
            mrd_memory_source_put(source, labels, sample);
        }
    }
    *state = source;
    return 0;
}

static int drop_source(void **state)
{
    struct mrd_memory_source *source = *state;
    assert_int_equal(mrd_memory_source_open_sets(source), 0);
    mrd_memory_source_destroy(&source);
    return 0;
}

struct asked {
    const char *text;
    struct mrd_promql_options options;
    struct mrd_query_control control;
    size_t bytes_max;
    bool instant;
};

/* Asks a query in an arena of its own and returns only the status. */
static enum mrd_status ask(struct mrd_memory_source *source, const struct asked *asked,
                           struct mrd_error *err)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena =
        mrd_arena_create("query", asked->bytes_max == 0 ? SIZE_MAX : asked->bytes_max);
    const struct mrd_promql_request request = {
        .text = mrd_bytes_of(asked->text),
        .start_ms = asked->instant ? 600000 : 0,
        .end_ms = 600000,
        .step_ms = 60000,
        .instant = asked->instant,
    };
    struct mrd_promql_result result;
    return mrd_promql_query(&asked->options, &request, mrd_memory_source_get(source),
                            &asked->control, arena, &result, err);
}

/* One query for each kind of operator. */
static const char *const queries[] = {
    "m_total",
    "m_total[5m]",
    "sum by (group) (rate(m_total[5m]))",
    "avg without (index) (m_total)",
    "topk by (group) (2, m_total)",
    "bottomk(3, rate(m_total[2m]))",
    "quantile by (group) (0.9, m_total)",
    "count_values(\"v\", m_total)",
    "limitk(2, m_total)",
    "limit_ratio(0.5, m_total)",
    "m_total / on(index) group_left m_total",
    "sum by (group) (m_total) * on(group) group_right m_total",
    "m_total and on(group) m_total{index=\"1\"}",
    "m_total or m_total unless m_total",
    "label_replace(m_total, \"x\", \"$1\", \"index\", \"(.*)\")",
    "label_join(m_total, \"x\", \"-\", \"index\", \"group\")",
    "sort_desc(m_total)",
    "absent(m_total)",
    "absent_over_time(m_total[1m])",
    "histogram_quantile(0.5, label_replace(m_total, \"le\", \"$1\", \"index\", \"(.*)\"))",
    "max_over_time(rate(m_total[1m])[5m:30s])",
    "quantile_over_time(0.5, m_total[5m])",
    "clamp(m_total, 0, scalar(sum(m_total)))",
    "timestamp(m_total) + vector(time())",
    "-abs({__name__=~\"m_.*\"})",
    "sum(m_total @ 60) + sum(m_total offset 1m)",
    "h",
    "first_over_time(h[5m])",
    "sum by (group) (rate(h[5m]))",
    "avg(h)",
    "avg_over_time(h[5m])",
    "last_over_time(irate(h[2m])[5m:30s])",
    "h - on(index) h offset 1m",
    "-(2 * h) </ 3",
    "h and on(index) m_total",
    "limitk(1, h)",
    "count_values(\"v\", h)",
    "histogram_quantile(0.9, sum(h))",
    "histogram_quantiles(h, \"q\", 0.1, 0.9)",
    "histogram_count(rate(h[15m]))",
    "label_replace(h @ 60, \"x\", \"$1\", \"index\", \"(.*)\")",
    "changes(h[5m]) + resets(h[5m])",
    "increase(m_total[2m] anchored)",
    "rate(m_total[2m] smoothed)",
    "m_total smoothed",
    "histogram_quantiles(label_join(m_total, \"le\", \"\", \"index\"), \"q\", scalar(m_total))",
    "info(label_replace(m_total, \"job\", \"$1\", \"index\", \"(.*)\"), {__name__=~\"x|m_.*\"})",
};

static const struct mrd_promql_features features = {
    .experimental_functions = true,
    .extended_range_selectors = true,
};

/* Limits of 1 KiB, 2 KiB, ... until it succeeds; every failure must be the limit's. */
static void every_budget_is_an_answer(void **state)
{
    for (size_t q = 0; q < MRD_ARRAY_LEN(queries); q++) {
        for (size_t bytes = 1; bytes < ((size_t)1 << 30); bytes += bytes / 4 + 64) {
            const struct asked asked = {.text = queries[q],
                                        .bytes_max = bytes,
                                        .options.features = features,
                                        .instant = q == 1};
            struct mrd_error err = {0};
            const enum mrd_status status = ask(*state, &asked, &err);
            if (status == MRD_OK) {
                break;
            }
            if (status != MRD_E_LIMIT) {
                fail_msg("%s with %zu bytes: %s", queries[q], bytes, err.text);
            }
            assert_int_equal(mrd_memory_source_open_sets(*state), 0);
        }
    }
}

/* The smallest budget with which a query succeeds. */
static size_t least_bytes(struct mrd_memory_source *source, const char *text)
{
    size_t below = 0;
    for (size_t enough = (size_t)1 << 24; enough - below > 1;) {
        const size_t middle = below + (enough - below) / 2;
        const struct asked asked = {.text = text, .bytes_max = middle, .instant = true};
        if (ask(source, &asked, NULL) == MRD_OK) {
            enough = middle;
        } else {
            below = middle;
        }
    }
    return below + 1;
}

#define FOUR_TIMES(text) text " + " text " + " text " + " text

/* Each operator over windows of histograms keeps the decoded samples of a series until it is asked again. */
static void the_memory_of_all_operators_counts_together(void **state)
{
    const size_t floats = least_bytes(*state, FOUR_TIMES("count(rate(m_total[15m]))"));
    const size_t histograms = least_bytes(*state, FOUR_TIMES("count(rate(h[15m]))"));
    assert_true(histograms >= floats + 4 * (SAMPLES - 20) * sizeof(struct mrd_float_histogram));
}

/* The source fails at its 1st, 2nd, ... call; the query passes that on and closes every set. */
static void a_failing_source_fails_the_query(void **state)
{
    for (size_t q = 0; q < MRD_ARRAY_LEN(queries); q++) {
        const struct asked asked = {
            .text = queries[q], .options.features = features, .instant = q == 1};
        size_t call = 1;
        for (;; call++) {
            struct mrd_error err = {0};
            mrd_memory_source_fail_at(*state, call);
            const enum mrd_status status = ask(*state, &asked, &err);
            assert_int_equal(mrd_memory_source_open_sets(*state), 0);
            if (status == MRD_OK) {
                break;
            }
            if (status != MRD_E_UNAVAILABLE) {
                fail_msg("%s at call %zu: %s", queries[q], call, err.text);
            }
        }
        mrd_memory_source_fail_at(*state, 0);
        assert_true(call > HISTOGRAM_SERIES);
    }
}

static void the_sample_limit_names_itself(void **state)
{
    const struct asked few = {.text = "m_total", .options.samples_max = 100};
    const struct asked enough = {.text = "m_total", .options.samples_max = SERIES * 11};
    struct mrd_error err = {0};
    assert_int_equal(ask(*state, &few, &err), MRD_E_LIMIT);
    assert_non_null(strstr(err.text, "too many samples"));
    assert_non_null(strstr(err.text, "100"));
    assert_int_equal(ask(*state, &enough, &err), MRD_OK);
}

/* An aggregation holds its groups, not its input. */
static void an_aggregation_streams(void **state)
{
    const struct asked asked = {.text = "sum by (group) (rate(m_total[5m]))",
                                .options.samples_max = 4 * 11};
    struct mrd_error err = {0};
    if (ask(*state, &asked, &err) != MRD_OK) {
        fail_msg("%s", err.text);
    }
}

static void a_canceled_query_ends(void **state)
{
    const _Atomic bool canceled = true;
    const struct asked asked = {.text = "sum(m_total)", .control = {.canceled = &canceled}};
    struct mrd_error err = {0};
    assert_int_equal(ask(*state, &asked, &err), MRD_E_CANCELED);
}

static int64_t late_ns(void *context)
{
    (void)context;
    return 100;
}

static void a_query_past_its_deadline_ends(void **state)
{
    const struct mrd_clock clock = {.monotonic_ns = late_ns};
    const struct asked late = {
        .text = "sum(m_total)", .control = {.clock = &clock, .deadline_ns = 99}
    };
    const struct asked in_time = {
        .text = "sum(m_total)", .control = {.clock = &clock, .deadline_ns = 100}
    };
    struct mrd_error err = {0};
    assert_int_equal(ask(*state, &late, &err), MRD_E_TIMEOUT);
    assert_non_null(strstr(err.text, "timed out"));
    assert_int_equal(ask(*state, &in_time, &err), MRD_OK);
}

/* 4,000 windows of 2,000 samples each are cut into parts, each as right as the whole. */
static void long_windows_are_evaluated_in_parts(void **state)
{
    (void)state;
    struct mrd_memory_source *source = mrd_memory_source_create();
    char texts[64];
    struct mrd_label items[3];
    const struct mrd_labels labels = labels_of(texts, items, 0);
    for (size_t i = 0; i < 6000; i++) {
        const struct mrd_sample sample = {(mrd_time_ms)i * 1000, (double)(i % 1000)};
        mrd_memory_source_put(source, labels, sample);
    }
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("query", SIZE_MAX);
    const struct mrd_promql_options options = {0};
    const struct mrd_promql_request request = {
        MRD_BYTES("sum_over_time(m_total[2000s]) + resets(m_total[2000s]) * 0"), 2000000, 5999000,
        1000, false};
    struct mrd_promql_result result;
    struct mrd_error err = {0};
    assert_int_equal(mrd_promql_query(&options, &request, mrd_memory_source_get(source), NULL,
                                      arena, &result, &err),
                     MRD_OK);
    assert_int_equal(result.series_count, 1);
    assert_int_equal(result.series[0].count, 4000);
    for (size_t i = 0; i < result.series[0].count; i++) {
        assert_true(result.series[0].values[i] == 2 * 499500);
    }
    mrd_memory_source_destroy(&source);
}

static void parse_errors_are_not_execution_errors(void **state)
{
    static const struct {
        const char *text;
        bool execution;
    } cases[] = {
        {"sum(",                                              false},
        {"topk(NaN, m_total)",                                true },
        {"m_total + on(group) m_total",                       true },
        {"label_replace(m_total, \"x\", \"\", \"y\", \"(\")", true },
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *arena = mrd_arena_create("query", SIZE_MAX);
        const struct mrd_promql_options options = {0};
        const struct mrd_promql_request request = {.text = mrd_bytes_of(cases[i].text),
                                                   .instant = true};
        struct mrd_promql_result result;
        struct mrd_error err = {0};
        assert_int_equal(mrd_promql_query(&options, &request, mrd_memory_source_get(*state), NULL,
                                          arena, &result, &err),
                         MRD_E_INVALID);
        assert_int_equal(result.execution_error, cases[i].execution);
    }
}

/* What a source is asked for: exactly the times that the windows cover. */
static struct mrd_select seen;

static enum mrd_status note_open(void *context, const struct mrd_select *select,
                                 const struct mrd_query_scope *scope,
                                 struct mrd_source_set **out_set, struct mrd_error *err)
{
    (void)context;
    (void)scope;
    (void)out_set;
    seen = *select;
    return mrd_fail(err, MRD_E_UNAVAILABLE, "seen");
}

/* A source in front of another that keeps the last select. */
static const struct mrd_source *behind;

static enum mrd_status pass_open(void *context, const struct mrd_select *select,
                                 const struct mrd_query_scope *scope,
                                 struct mrd_source_set **out_set, struct mrd_error *err)
{
    seen = *select;
    return behind->open(context, select, scope, out_set, err);
}

/* The info series are asked for once the values that identify the base are known, and by these alone. */
static void info_asks_for_the_targets_of_its_base(void **state)
{
    static const struct {
        const char *text;
        size_t matchers;
        const char *value; /* of the last */
    } cases[] = {
        {"info(label_replace(m_total, \"job\", \"a.$1\", \"index\", \"(1)\"))",   2, "a\\.1"  },
        {"info(label_replace(m_total, \"instance\", \"x|y\", \"index\", \"3\"))", 2, "x\\|y"  },
        {"info(m_total)",                                                         1, "m_total"},
    };
    struct mrd_source source = *mrd_memory_source_get(*state);
    behind = mrd_memory_source_get(*state);
    source.open = pass_open;
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *arena = mrd_arena_create("query", SIZE_MAX);
        const struct mrd_promql_options options = {.features = features};
        const struct mrd_promql_request request = {.text = mrd_bytes_of(cases[i].text),
                                                   .start_ms = 600000,
                                                   .end_ms = 600000,
                                                   .instant = true};
        struct mrd_promql_result result;
        struct mrd_error err = {0};
        assert_int_equal(mrd_promql_query(&options, &request, &source, NULL, arena, &result, &err),
                         MRD_OK);
        assert_int_equal(seen.matcher_count, cases[i].matchers);
        const struct mrd_bytes value = seen.matchers[seen.matcher_count - 1].value;
        if (!mrd_bytes_equal(value, mrd_bytes_of(cases[i].value))) {
            fail_msg("%s asks for \"%.*s\"", cases[i].text, MRD_FMT(value));
        }
        assert_int_equal(mrd_memory_source_open_sets(*state), 0);
    }
}

static void selects_cover_what_windows_need(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        mrd_time_ms min_ms;
        mrd_time_ms max_ms;
        const char *function;
        bool before; /* histograms that are added up: the one before tells of the first one */
    } cases[] = {
        {"m",                                     700001, 2000000, "",               false},
        {"rate(m[1m])",                           940001, 2000000, "rate",           false},
        {"rate(m[1m] offset 10s)",                930001, 1990000, "rate",           false},
        {"sum(m @ 500)",                          200001, 500000,  "sum",            true },
        {"sum(rate(m[1m]))",                      940001, 2000000, "rate",           false},
        {"max(m)",                                700001, 2000000, "max",            false},
        {"avg(last_over_time(m[1m]))",            940001, 2000000, "last_over_time", true },
        {"avg(max(label_join(m, \"a\", \"b\")))", 700001, 2000000, "label_join",     true },
        {"1 + m",                                 700001, 2000000, "",               true },
        {"1 * m",                                 700001, 2000000, "",               false},
        {"min_over_time(m[1m] @ 500)",            440001, 500000,  "min_over_time",  false},
        {"sum_over_time(m[1m] @ 500)",            440001, 500000,  "sum_over_time",  true },
        {"avg_over_time(m[1m] @ 500)",            440001, 500000,  "avg_over_time",  true },
        {"sum_over_time(m[5m:1m])",               420001, 1980000, "sum_over_time",  true },
        {"max_over_time(rate(m[1m])[5m:1m])",     660001, 1980000, "rate",           false},
        {"m offset -100s",                        800001, 2100000, "",               false},
        {"increase(m[1m] anchored)",              640001, 2000000, "increase",       false},
        {"sum(m smoothed)",                       700001, 2300000, "sum",            false},
        {"rate(m[1m] smoothed)",                  640001, 2300000, "rate",           false},
        {"m smoothed offset 10s",                 690001, 2290000, "",               false},
    };
    const struct mrd_source source = {.open = note_open};
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *arena = mrd_arena_create("query", SIZE_MAX);
        const struct mrd_promql_options options = {.features = features};
        const struct mrd_promql_request request = {mrd_bytes_of(cases[i].text), 1000000, 2000000,
                                                   50000, false};
        struct mrd_promql_result result;
        struct mrd_error err = {0};
        assert_int_equal(mrd_promql_query(&options, &request, &source, NULL, arena, &result, &err),
                         MRD_E_UNAVAILABLE);
        if (seen.min_ms != cases[i].min_ms || seen.max_ms != cases[i].max_ms) {
            fail_msg("%s: asked for %lld..%lld", cases[i].text, (long long)seen.min_ms,
                     (long long)seen.max_ms);
        }
        assert_true(mrd_bytes_equal(seen.hints.function, mrd_bytes_of(cases[i].function)));
        assert_int_equal(seen.histograms_before_ms, cases[i].before ? 3600000 : 0);
    }
}

#define WITH_SOURCE(test) cmocka_unit_test_setup_teardown(test, fill_source, drop_source)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SOURCE(every_budget_is_an_answer),
        WITH_SOURCE(the_memory_of_all_operators_counts_together),
        WITH_SOURCE(a_failing_source_fails_the_query),
        WITH_SOURCE(the_sample_limit_names_itself),
        WITH_SOURCE(an_aggregation_streams),
        WITH_SOURCE(a_canceled_query_ends),
        WITH_SOURCE(a_query_past_its_deadline_ends),
        WITH_SOURCE(parse_errors_are_not_execution_errors),
        cmocka_unit_test(selects_cover_what_windows_need),
        WITH_SOURCE(info_asks_for_the_targets_of_its_base),
        cmocka_unit_test(long_windows_are_evaluated_in_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
