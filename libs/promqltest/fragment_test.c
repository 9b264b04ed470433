/* Plan fragments: pushed down or not, the answer is the same to the last bit. Random queries over random
 * series in several segments, evaluated once over the series and once over the states of the segments, which
 * have been bytes on the way. A failure prints what it takes to see it again. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "promql/fragment.h"
#include "promqltest/answers.h"
#include "promqltest/random_queries.h"

enum {
    ROUNDS = 60, /* each with other series */
    QUERIES_PER_ROUND = 60,
    SAMPLES = MRD_RANDOM_SAMPLES,
    STEP_MS = MRD_RANDOM_STEP_MS,
    SEGMENTS_MAX = 5,
};

static size_t below(size_t limit) { return mrd_random_below(limit); }
static bool one_in(size_t n) { return below(n) == 0; }

/* ---- the tests ---- */

struct asked {
    struct mrd_promql_request request;
    struct mrd_promql_options options;
    struct mrd_memory_layout layout;
};

static void ask(struct mrd_memory_source *source, const struct asked *asked,
                struct mrd_arena *arena, struct mrd_answer *out)
{
    *out = (struct mrd_answer){0};
    mrd_memory_source_arrange(source, &asked->layout);
    out->status = mrd_promql_query(&asked->options, &asked->request, mrd_memory_source_get(source),
                                   NULL, arena, &out->result, &out->err);
    assert_int_equal(mrd_memory_source_open_sets(source), 0);
}

static size_t with_annotations;
static size_t with_errors;
static size_t with_points;

static void compare_plans(struct mrd_memory_source *source, const struct asked *asked)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("one", SIZE_MAX);
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *other = mrd_arena_create("other", SIZE_MAX);
    struct asked pushed = *asked;
    struct mrd_answer plain;
    struct mrd_answer merged;
    pushed.layout.pushes = true;
    pushed.layout.declines = one_in(10);
    ask(source, asked, arena, &plain);
    ask(source, &pushed, other, &merged);
    const char *what = mrd_answers_compare(&plain, &merged);
    if (what != NULL) {
        fail_msg("%s differ: %.*s, %lld to %lld ms step %lld, %u segments, salt %llu; errors "
                 "\"%s\" and \"%s\"",
                 what, MRD_FMT(asked->request.text), (long long)asked->request.start_ms,
                 (long long)asked->request.end_ms, (long long)asked->request.step_ms,
                 asked->layout.segments, (unsigned long long)asked->layout.salt, plain.err.text,
                 merged.err.text);
    }
    with_annotations += plain.result.annotations.count[0] + plain.result.annotations.count[1] > 0;
    with_errors += plain.status != MRD_OK;
    with_points += plain.status == MRD_OK && plain.result.series_count > 0;
}

static void pushed_down_or_not_the_answer_is_the_same(void **state)
{
    (void)state;
    mrd_random_seed_for_test(20240917);
    struct mrd_memory_source *source = mrd_memory_source_create();
    for (size_t round = 0; round < ROUNDS; round++) {
        mrd_random_fill(source);
        for (size_t q = 0; q < QUERIES_PER_ROUND; q++) {
            struct mrd_random_text text = {0};
            mrd_random_query(&text);
            const struct asked asked = {
                .request = mrd_random_request(&text),
                .options = mrd_random_options(),
                .layout = {.segments = 1 + (uint32_t)below(SEGMENTS_MAX),
                           .salt = mrd_random_next()},
            };
            compare_plans(source, &asked);
        }
    }
    const size_t fragments = mrd_memory_source_fragments(source);
    print_message("%d queries, %zu fragments; %zu with points, %zu with annotations, %zu fail\n",
                  ROUNDS * QUERIES_PER_ROUND, fragments, with_points, with_annotations,
                  with_errors);
    assert_true(fragments > ROUNDS * QUERIES_PER_ROUND / 3);
    assert_true(with_points > ROUNDS * QUERIES_PER_ROUND / 3);
    assert_true(with_annotations > 200);
    assert_true(with_errors > 100);
    mrd_memory_source_destroy(&source);
}

/* Which aggregations go down, and which must not. */
static const struct {
    const char *text;
    size_t fragments;
} fit_cases[] = {
    {"sum(m)",                                                  1},
    {"sum({__name__=~\"m|n\"})",                                1}, /* keeps its names */
    {"sum by (job) (rate(m[1m]))",                              1},
    {"sum(rate({__name__=~\"m|n\"}[1m]))",                      0}, /* may be one series then */
    {"sum(-{job=\"1\"})",                                       0},
    {"sum({job=\"1\"} > 1)",                                    0},
    {"max(max_over_time(rate(m[1m] offset 1m)[5m:30s] @ 100))", 1},
    {"avg(m * 2 + time())",                                     1},
    {"avg(2 ^ m)",                                              1},
    {"avg(m * scalar(m))",                                      0},
    {"avg(m * m)",                                              0},
    {"sum(m) / sum(n)",                                         2},
    {"sum(sum by (job) (m))",                                   1},
    {"sum(m >/ 2)",                                             0},
    {"topk(2 + 1, m)",                                          1},
    {"bottomk(scalar(vector(2)), m)",                           0},
    {"quantile(0.5, m)",                                        0},
    {"count_values(\"x\", m)",                                  0},
    {"limitk(2, m)",                                            0},
    {"limit_ratio(0.5, m)",                                     0},
    {"sum(label_replace(m, \"job\", \"x\", \"job\", \".*\"))",  0},
    {"sum(absent(m))",                                          0},
    {"sum(vector(1))",                                          0},
    {"sum(histogram_count(rate(h[1m])))",                       1},
    {"sum(histogram_quantile(0.5, rate(h[1m])))",               0},
    {"histogram_quantile(0.5, sum(rate(h[1m])))",               1},
    {"sum(m and n)",                                            0},
    {"m",                                                       0},
    {"stddev(timestamp(m))",                                    1},
    {"sum(info(m))",                                            0},
};

static void only_what_can_be_merged_is_pushed_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(fit_cases); i++) {
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *arena = mrd_arena_create("query", SIZE_MAX);
        struct mrd_memory_source *source = mrd_memory_source_create();
        const struct asked asked = {
            .request = {.text = mrd_bytes_of(fit_cases[i].text), .instant = true},
            .options.features.experimental_functions = true,
            .layout = {.segments = 2,                           .pushes = true },
        };
        struct mrd_answer answer;
        ask(source, &asked, arena, &answer);
        if (answer.status != MRD_OK ||
            mrd_memory_source_fragments(source) != fit_cases[i].fragments) {
            fail_msg("%s: %zu fragments, %s", fit_cases[i].text,
                     mrd_memory_source_fragments(source), answer.err.text);
        }
        mrd_memory_source_destroy(&source);
    }
}

/* Segments change the last digits of a sum at most, and nothing of what is exact. */
static void segments_change_rounding_only(void **state)
{
    static const char *const texts[] = {
        "sum by (job) (m)",    "avg by (job) (m)",    "count by (job) (m)",
        "min by (job) (m)",    "max by (job) (m)",    "group by (job) (m)",
        "stddev by (job) (m)", "stdvar by (job) (m)", "topk by (job) (3, m)"};
    struct mrd_memory_source *source = mrd_memory_source_create();
    (void)state;
    mrd_random_seed(7);
    for (size_t s = 0; s < 30; s++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "%zu", s);
        const struct mrd_label items[] = {
            {MRD_BYTES(MRD_METRIC_NAME), MRD_BYTES("m")                         },
            {MRD_BYTES("instance"),      mrd_bytes_of(text)                     },
            {MRD_BYTES("job"),           s % 2 ? MRD_BYTES("a") : MRD_BYTES("b")},
        };
        for (size_t i = 0; i < SAMPLES; i++) {
            mrd_memory_source_put(
                source, (struct mrd_labels){items, 3},
                (struct mrd_sample){(mrd_time_ms)i * STEP_MS, (double)below(1000000) / 7});
        }
    }
    for (size_t q = 0; q < MRD_ARRAY_LEN(texts); q++) {
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *arena = mrd_arena_create("query", SIZE_MAX);
        struct asked asked = {
            .request = {mrd_bytes_of(texts[q]), 0, SAMPLES * STEP_MS, STEP_MS, false},
            .layout = {.segments = 1    },
        };
        struct mrd_answer one;
        struct mrd_answer many;
        ask(source, &asked, arena, &one);
        asked.layout = (struct mrd_memory_layout){.segments = 4, .pushes = true};
        ask(source, &asked, arena, &many);
        assert_int_equal(one.result.series_count, many.result.series_count);
        assert_true(one.result.series_count > 0);
        for (size_t s = 0; s < one.result.series_count; s++) {
            const struct mrd_promql_series *a = &one.result.series[s];
            const struct mrd_promql_series *b = &many.result.series[s];
            assert_true(mrd_labels_equal(a->labels, b->labels));
            assert_int_equal(a->count, b->count);
            for (size_t i = 0; i < a->count; i++) {
                if (fabs(a->values[i] - b->values[i]) > 1e-12 * fabs(a->values[i])) {
                    fail_msg("%s: %.17g and %.17g", texts[q], a->values[i], b->values[i]);
                }
            }
        }
    }
    mrd_memory_source_destroy(&source);
}

/* What a sum has lost to rounding in one segment is not lost when it is merged. */
static void compensations_are_merged(void **state)
{
    static const double values[] = {1e100, 1, -1e100, 1};
    struct mrd_memory_source *source = mrd_memory_source_create();
    (void)state;
    for (size_t s = 0; s < MRD_ARRAY_LEN(values); s++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "%zu", s);
        const struct mrd_label items[] = {
            {MRD_BYTES(MRD_METRIC_NAME), MRD_BYTES("m")    },
            {MRD_BYTES("instance"),      mrd_bytes_of(text)},
        };
        mrd_memory_source_put(source, (struct mrd_labels){items, 2},
                              (struct mrd_sample){0, values[s]});
    }
    for (uint64_t salt = 0; salt < 50; salt++) {
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *arena = mrd_arena_create("query", SIZE_MAX);
        const struct asked asked = {
            .request = {.text = MRD_BYTES("sum(m) + 4 * avg(m)"), .instant = true        },
            .layout = { .segments = 1 + (uint32_t)salt % 4,                            .salt = salt, .pushes = salt % 2 == 0},
        };
        struct mrd_answer answer;
        ask(source, &asked, arena, &answer);
        assert_int_equal(answer.status, MRD_OK);
        assert_true(answer.result.series[0].values[0] == 4);
    }
    mrd_memory_source_destroy(&source);
}

/* What a fragment of another version, a broken one and one for another query get. */
static void a_fragment_that_cannot_be_run_is_refused(void **state)
{
    (void)state;
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("query", SIZE_MAX);
    struct mrd_memory_source *source = mrd_memory_source_create();
    struct mrd_fragment fragment = {
        .request = {.text = MRD_BYTES("1 + sum(m)"), .instant = true          },
        .options = {.lookback_ms = 300000,           .subquery_step_ms = 60000},
        .node = 3, /* 1, m, sum(m), + */
    };
    struct mrd_buf bytes = {0};
    struct mrd_buf states = {0};
    struct mrd_fragment got;
    struct mrd_error err;
    mrd_fragment_encode(&fragment, &bytes);
    assert_int_equal(mrd_fragment_decode(mrd_buf_view(&bytes), &got, &err), MRD_OK);
    assert_int_equal(
        mrd_fragment_run(&got, mrd_memory_source_get(source), NULL, arena, &states, &err), MRD_OK);
    for (uint64_t node = 0; node < 6; node++) {
        got.node = node;
        assert_int_equal(
            mrd_fragment_run(&got, mrd_memory_source_get(source), NULL, arena, &states, &err),
            node == 3 ? MRD_OK : MRD_E_UNSUPPORTED);
    }
    for (size_t size = 0; size < bytes.size; size++) {
        assert_int_equal(mrd_fragment_decode((struct mrd_bytes){bytes.data, size}, &got, &err),
                         size == 0 ? MRD_E_UNSUPPORTED : MRD_E_INVALID);
    }
    bytes.data[0]++;
    assert_int_equal(mrd_fragment_decode(mrd_buf_view(&bytes), &got, &err), MRD_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "version"));
    mrd_buf_fini(&bytes);
    mrd_buf_fini(&states);
    mrd_memory_source_destroy(&source);
}

/* ---- the golden files hold docs/formats/fragment.md to the code ---- */

/* MRD_GOLDEN_WRITE=1 makes it anew, which is for a new version of the format only. */
static void assert_golden(const char *path, struct mrd_bytes bytes)
{
    uint8_t golden[32768];
    if (getenv("MRD_GOLDEN_WRITE") != NULL) {
        FILE *out = fopen(path, "wb");
        assert_non_null(out);
        assert_int_equal(fwrite(bytes.data, 1, bytes.size, out), bytes.size);
        assert_int_equal(fclose(out), 0);
    }
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    const size_t size = fread(golden, 1, sizeof(golden), file);
    (void)fclose(file);
    assert_true(mrd_bytes_equal((struct mrd_bytes){golden, size}, bytes));
}

static void the_golden_files_are_written(void **state)
{
    static const char *const texts[] = {"avg by (job) (mixed)", "topk by (job) (2, m)",
                                        "stddev(m > 0)"};
    struct mrd_memory_source *source = mrd_memory_source_create();
    struct mrd_buf fragments = {0};
    struct mrd_buf states = {0};
    (void)state;
    mrd_random_seed(4711);
    for (size_t i = 0; i < 4; i++) {
        mrd_random_series(source, "m", i);
        mrd_random_series(source, "mixed", i);
    }
    for (size_t i = 0; i < MRD_ARRAY_LEN(texts); i++) {
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *arena = mrd_arena_create("query", SIZE_MAX);
        const struct mrd_fragment fragment = {
            .request = {mrd_bytes_of(texts[i]), 100000, 400000, 100000, false},
            .options = {.lookback_ms = 300000,                 .subquery_step_ms = 60000,                       .samples_max = 1000        },
            .node = i == 0   ? 2
                    : i == 1 ? 3
                             : 4,
        };
        struct mrd_error err;
        mrd_fragment_encode(&fragment, &fragments);
        if (mrd_fragment_run(&fragment, mrd_memory_source_get(source), NULL, arena, &states,
                             &err) != MRD_OK) {
            fail_msg("%s: %s", texts[i], err.text);
        }
    }
    assert_golden("tests/golden/fragment_v3.bin", mrd_buf_view(&fragments));
    assert_golden("tests/golden/fragment_states_v3.bin", mrd_buf_view(&states));
    mrd_buf_fini(&fragments);
    mrd_buf_fini(&states);
    mrd_memory_source_destroy(&source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_can_be_merged_is_pushed_down),
        cmocka_unit_test(a_fragment_that_cannot_be_run_is_refused),
        cmocka_unit_test(the_golden_files_are_written),
        cmocka_unit_test(segments_change_rounding_only),
        cmocka_unit_test(compensations_are_merged),
        cmocka_unit_test(pushed_down_or_not_the_answer_is_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
