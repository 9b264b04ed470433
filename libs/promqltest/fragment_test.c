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
#include "promqltest/memory_source.h"

enum {
    ROUNDS = 60, /* each with other series */
    QUERIES_PER_ROUND = 60,
    SAMPLES = 40,
    STEP_MS = 15000,
    SEGMENTS_MAX = 5,
};

/* ---- randomness: xorshift64*, the same everywhere ---- */

static uint64_t random_state;

static uint64_t random_next(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 2685821657736338717u;
}
static size_t below(size_t limit) { return (size_t)((random_next() >> 32) % limit); }
static bool one_in(size_t n) { return below(n) == 0; }

#define PICK(array) ((array)[below(MRD_ARRAY_LEN(array))])

/* ---- series ---- */

static double odd_value(void)
{
    static const double odd[] = {NAN,     INFINITY, -INFINITY, 0,     -0.0, 1e308, -1e308,
                                 1.7e308, 5e-324,   1e16,      -1e16, 1,    0.1,   -3};
    return PICK(odd);
}

static double any_value(size_t style, size_t i, double before)
{
    switch (style) {
    case 0:
        return before + (double)below(100); /* a counter */
    case 1:
        return i % 13 == 12 ? (double)below(5) : before + 0.1; /* that is reset */
    case 2:
        return odd_value();
    case 3:
        return (double)below(1000) * 0.1 - 50;
    case 4:
        return ldexp((double)below(1000) - 500, (int)below(120)); /* sums that cancel */
    case 5:
        return (one_in(3) ? -1e308 : 1e308) + (double)below(5) * 1e307; /* sums that overflow */
    default:
        return (double)below(3); /* ties */
    }
}

static void put_histogram(struct mrd_memory_source *source, struct mrd_labels labels,
                          mrd_time_ms time_ms, size_t style, size_t i)
{
    static const int32_t indexes[] = {-2, 0, 1, 5};
    static const double bounds[2][3] = {
        {1, 2, 4},
        {1, 3, 4}
    };
    static const int32_t bucket_of[] = {0, 1, 2, 3};
    const bool custom = style == 1;
    double counts[4] = {(double)(i + below(3)), (double)below(9) * 0.1 + (double)i,
                        one_in(20) ? 1e308 : 2, 1};
    double negative[2] = {one_in(15) ? INFINITY : 1, (double)i};
    const struct mrd_float_histogram histogram = {
        .reset = style == 2   ? MRD_HISTOGRAM_GAUGE
                 : one_in(10) ? MRD_HISTOGRAM_RESET
                              : MRD_HISTOGRAM_RESET_UNKNOWN,
        .schema = custom       ? MRD_HISTOGRAM_SCHEMA_CUSTOM
                  : one_in(30) ? 0
                               : 2,
        .zero_threshold = custom       ? 0
                          : one_in(30) ? 0.002
                                       : 0.001,
        .zero_count = custom ? 0 : (double)(i + below(2)),
        .count = (double)(i * 3) + (double)below(4) * 0.1,
        .sum = one_in(12) ? odd_value() : (double)i * 1.1,
        .positive = {custom ? bucket_of : indexes, counts,   4                    },
        .negative = {indexes,                      negative, custom ? 0 : below(3)},
        .custom_values = bounds[below(2)],
        .custom_value_count = custom ? 3 : 0,
    };
    (void)!mrd_memory_source_put_histogram(source, labels, time_ms, &histogram);
}

/* Styles: none (twice), a counter that is reset at times, deltas, and any, overlaps included. */
static void put_start(struct mrd_memory_source *source, struct mrd_labels labels, size_t style,
                      mrd_time_ms time_ms, mrd_time_ms last_ms)
{
    const mrd_time_ms starts_ms[] = {0, 0, one_in(8) ? time_ms - 5 : 7, last_ms,
                                     time_ms - (mrd_time_ms)below(3 * STEP_MS)};
    if (starts_ms[style] != 0) {
        (void)!mrd_memory_source_start(source, labels, time_ms, starts_ms[style]);
    }
}

static const char *const names[] = {"m", "m_total", "h", "mixed"};

static void fill_series(struct mrd_memory_source *source, const char *name, size_t index)
{
    char texts[2][32];
    (void)snprintf(texts[0], sizeof(texts[0]), "%zu", index);
    (void)snprintf(texts[1], sizeof(texts[1]), "%zu", index % 3);
    const struct mrd_label items[] = {
        {MRD_BYTES(MRD_METRIC_NAME), mrd_bytes_of(name)    },
        {MRD_BYTES("instance"),      mrd_bytes_of(texts[0])},
        {MRD_BYTES("job"),           mrd_bytes_of(texts[1])},
    };
    const struct mrd_labels labels = {items, 3};
    const size_t style = below(7);
    const size_t histogram_style = below(3);
    const size_t start_style = below(5);
    mrd_time_ms last_ms = 0;
    double value = 0;
    for (size_t i = 0; i < SAMPLES; i++) {
        const mrd_time_ms time_ms = (mrd_time_ms)i * STEP_MS + (mrd_time_ms)below(3000);
        const bool histogram = name[0] == 'h' || (name[1] == 'i' && one_in(2));
        if (one_in(12)) {
            continue; /* a gap */
        }
        if (histogram) {
            put_histogram(source, labels, time_ms, histogram_style, i);
        } else {
            value = one_in(25) ? mrd_stale_nan() : any_value(style, i, isfinite(value) ? value : 0);
            mrd_memory_source_put(source, labels, (struct mrd_sample){time_ms, value});
        }
        put_start(source, labels, start_style, time_ms, last_ms);
        last_ms = time_ms;
    }
}

static void fill(struct mrd_memory_source *source)
{
    mrd_memory_source_clear(source);
    for (size_t n = 0; n < MRD_ARRAY_LEN(names); n++) {
        const size_t count = 1 + below(12);
        for (size_t i = 0; i < count; i++) {
            fill_series(source, names[n], i);
        }
    }
}

/* ---- queries ---- */

struct text {
    char bytes[1024];
    size_t size;
};

static void put(struct text *text, const char *format, ...) MRD_PRINTF(2, 3);
static void put(struct text *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int size =
        vsnprintf(text->bytes + text->size, sizeof(text->bytes) - text->size, format, args);
    va_end(args);
    text->size += (size_t)size;
    assert_true(text->size < sizeof(text->bytes));
}

static void put_selector(struct text *text, bool range)
{
    static const char *const matchers[] = {
        "m",
        "m_total",
        "h",
        "mixed",
        "m{job=\"1\"}",
        "h{instance!=\"2\"}",
        "mixed{instance=~\"[0-4]\"}",
        "{__name__=~\"m|h\"}",
        "{__name__=~\".+\",job=\"0\"}",
        "none",
    };
    static const char *const times[] = {"",
                                        "",
                                        "",
                                        "",
                                        " offset 30s",
                                        " offset -20s",
                                        " @ 300",
                                        " @ end()",
                                        " @ start() offset 1m"};
    static const char *const ranges[] = {"[30s]", "[1m]", "[2m]", "[5m]"};
    put(text, "%s", PICK(matchers));
    if (range) {
        put(text, "%s", PICK(ranges));
    }
    put(text, "%s", PICK(times));
}

static void put_vector(struct text *text, size_t depth);

static void put_range(struct text *text, size_t depth)
{
    if (depth > 0 && one_in(5)) {
        put(text, "(");
        put_vector(text, depth - 1);
        put(text, ")[2m:%s]%s", one_in(2) ? "20s" : "", one_in(4) ? " offset 15s" : "");
        return;
    }
    put_selector(text, true);
}

static void put_call(struct text *text, size_t depth)
{
    static const char *const windows[] = {
        "rate",
        "increase",
        "delta",
        "irate",
        "changes",
        "resets",
        "deriv",
        "avg_over_time",
        "min_over_time",
        "max_over_time",
        "sum_over_time",
        "count_over_time",
        "stddev_over_time",
        "last_over_time",
        "first_over_time",
        "present_over_time",
    };
    static const char *const maps[] = {"abs",
                                       "-",
                                       "+",
                                       "ceil",
                                       "sgn",
                                       "timestamp",
                                       "start_timestamp",
                                       "minute",
                                       "histogram_count",
                                       "histogram_sum",
                                       "histogram_stddev",
                                       "histogram_avg"};
    switch (below(7)) {
    case 0:
    case 1:
    case 2:
        put(text, "%s(", PICK(windows));
        put_range(text, depth);
        put(text, ")");
        return;
    case 3:
        put(text, "quantile_over_time(%s, ", one_in(3) ? "2" : "0.4");
        put_range(text, depth);
        put(text, ")");
        return;
    case 4:
        put(text, "clamp(");
        put_vector(text, depth - 1);
        put(text, ", -5, %s)", one_in(3) ? "time()" : "pi() * 10");
        return;
    default:
        put(text, "%s(", PICK(maps));
        put_vector(text, depth - 1);
        put(text, ")");
        return;
    }
}

static void put_operator(struct text *text, size_t depth)
{
    static const char *const operators[] = {"+",  "-",       "*",  "/",      "%",  "^",    ">",
                                            "<=", "== bool", "!=", "> bool", "</", "atan2"};
    static const char *const constants[] = {"2", "0", "-1.5", "time()", "(1 + 1)", "NaN", "+Inf"};
    const bool left = one_in(3);
    put(text, "(");
    if (left) {
        put(text, "%s %s ", PICK(constants), PICK(operators));
    }
    put_vector(text, depth - 1);
    if (!left) {
        put(text, " %s %s", PICK(operators), PICK(constants));
    }
    put(text, ")");
}

static void put_vector(struct text *text, size_t depth)
{
    const size_t kind = depth == 0 ? 0 : below(4);
    if (kind == 0) {
        put_selector(text, false);
    } else if (kind == 1) {
        put_operator(text, depth);
    } else {
        put_call(text, depth);
    }
}

static void put_aggregation(struct text *text, size_t depth)
{
    static const char *const aggregations[] = {
        "sum(",
        "sum(",
        "avg(",
        "avg(",
        "count(",
        "min(",
        "max(",
        "group(",
        "stddev(",
        "stdvar(",
        "topk(2,",
        "topk(1,",
        "topk(time() / 60,",
        "bottomk(3,",
        "topk(0,",
        "topk(NaN,",
        "topk(scalar(m),",
        "quantile(0.5,",
        "limitk(2,",
        "count_values(\"v\",",
    };
    static const char *const groupings[] = {
        "",
        "",
        " by (job)",
        " by (job, instance)",
        " without (instance)",
        " without ()",
        " by (__name__)",
        " without (job)",
    };
    put(text, "%s", PICK(aggregations));
    put_vector(text, depth);
    put(text, ")%s", PICK(groupings));
}

static void put_query(struct text *text)
{
    const size_t depth = below(4);
    switch (below(12)) {
    case 0:
        put_aggregation(text, depth);
        put(text, " + on (job) ");
        put_aggregation(text, depth);
        return;
    case 1:
        put(text, "sum(");
        put_aggregation(text, depth);
        put(text, ")");
        return;
    case 2:
        put(text, "max_over_time((");
        put_aggregation(text, depth);
        put(text, ")[1m:20s])");
        return;
    case 3:
        put(text, "histogram_quantile(0.7, ");
        put_aggregation(text, depth);
        put(text, ")");
        return;
    case 4:
        put(text, "histogram_count(");
        put_aggregation(text, depth);
        put(text, ")");
        return;
    case 5:
        put(text, "sort(");
        put_aggregation(text, depth);
        put(text, ") > 0");
        return;
    default:
        put_aggregation(text, depth);
        return;
    }
}

static struct mrd_promql_request random_request(const struct text *text)
{
    struct mrd_promql_request request = {
        .text = {(const uint8_t *)text->bytes, text->size},
        .start_ms = 100000 + (mrd_time_ms)below(100000),
        .instant = one_in(3),
    };
    request.end_ms =
        request.instant ? request.start_ms : request.start_ms + (mrd_time_ms)below(400000);
    request.step_ms = request.instant ? 0 : 7000 + (mrd_time_ms)below(60000);
    return request;
}

static struct mrd_promql_options random_options(void)
{
    return (struct mrd_promql_options){
        .lookback_ms = one_in(3) ? 20000 : 0,
        .samples_max = one_in(8) ? 1 + below(200) : 0,
        .delayed_name_removal = one_in(4),
        .use_start_timestamps = !one_in(3),
        .features = {.experimental_functions = true},
    };
}

/* ---- comparing ---- */

struct answer {
    enum mrd_status status;
    struct mrd_error err;
    struct mrd_promql_result result;
};

static bool same_bits(double a, double b) { return memcmp(&a, &b, sizeof(a)) == 0; }

static const char *compare_histograms(const struct mrd_promql_series *a,
                                      const struct mrd_promql_series *b, size_t i)
{
    const struct mrd_float_histogram *x = a->histograms == NULL ? NULL : a->histograms[i];
    const struct mrd_float_histogram *y = b->histograms == NULL ? NULL : b->histograms[i];
    if ((x == NULL) != (y == NULL)) {
        return "a histogram and a float";
    }
    if (x == NULL) {
        return same_bits(a->values[i], b->values[i]) ? NULL : "values";
    }
    if (x->reset != y->reset) {
        return "counter reset hints";
    }
    return mrd_float_histogram_equal(x, y) ? NULL : "histograms";
}

static const char *compare_series(const struct mrd_promql_series *a,
                                  const struct mrd_promql_series *b)
{
    if (!mrd_labels_equal(a->labels, b->labels)) {
        return "labels";
    }
    if (a->count != b->count) {
        return "numbers of points";
    }
    for (size_t i = 0; i < a->count; i++) {
        const char *what = a->times_ms[i] != b->times_ms[i] ? "times" : compare_histograms(a, b, i);
        if (what != NULL) {
            return what;
        }
    }
    return NULL;
}

static const char *compare_annotations(const struct mrd_annotations *a,
                                       const struct mrd_annotations *b)
{
    for (int kind = 0; kind < MRD_ANNOTATION_KINDS; kind++) {
        const struct mrd_annotation *x = a->first[kind];
        const struct mrd_annotation *y = b->first[kind];
        for (; x != NULL && y != NULL; x = x->next, y = y->next) {
            if (!mrd_bytes_equal(x->text, y->text)) {
                return "texts of annotations";
            }
        }
        if (x != NULL || y != NULL) {
            return "numbers of annotations";
        }
    }
    return NULL;
}

static const char *compare_answers(const struct answer *a, const struct answer *b)
{
    if (a->status != b->status || strcmp(a->err.text, b->err.text) != 0) {
        return "errors";
    }
    if (a->result.execution_error != b->result.execution_error) {
        return "kinds of error";
    }
    if (a->status != MRD_OK) {
        return NULL;
    }
    if (a->result.type != b->result.type || a->result.series_count != b->result.series_count) {
        return "numbers of series";
    }
    for (size_t i = 0; i < a->result.series_count; i++) {
        const char *what = compare_series(&a->result.series[i], &b->result.series[i]);
        if (what != NULL) {
            return what;
        }
    }
    if (memcmp(&a->result.stats, &b->result.stats, sizeof(a->result.stats)) != 0) {
        return "statistics";
    }
    return compare_annotations(&a->result.annotations, &b->result.annotations);
}

/* ---- the tests ---- */

struct asked {
    struct mrd_promql_request request;
    struct mrd_promql_options options;
    struct mrd_memory_layout layout;
};

static void ask(struct mrd_memory_source *source, const struct asked *asked,
                struct mrd_arena *arena, struct answer *out)
{
    *out = (struct answer){0};
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
    struct answer plain;
    struct answer merged;
    pushed.layout.pushes = true;
    pushed.layout.declines = one_in(10);
    ask(source, asked, arena, &plain);
    ask(source, &pushed, other, &merged);
    const char *what = compare_answers(&plain, &merged);
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
    const char *seed = getenv("MRD_TEST_SEED");
    random_state = seed == NULL ? 20240917 : strtoull(seed, NULL, 10) | 1;
    struct mrd_memory_source *source = mrd_memory_source_create();
    for (size_t round = 0; round < ROUNDS; round++) {
        fill(source);
        for (size_t q = 0; q < QUERIES_PER_ROUND; q++) {
            struct text text = {0};
            put_query(&text);
            const struct asked asked = {
                .request = random_request(&text),
                .options = random_options(),
                .layout = {.segments = 1 + (uint32_t)below(SEGMENTS_MAX), .salt = random_next()},
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
        struct answer answer;
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
    random_state = 7;
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
        struct answer one;
        struct answer many;
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
        struct answer answer;
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
    random_state = 4711;
    for (size_t i = 0; i < 4; i++) {
        fill_series(source, "m", i);
        fill_series(source, "mixed", i);
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
    assert_golden("tests/golden/fragment_v2.bin", mrd_buf_view(&fragments));
    assert_golden("tests/golden/fragment_states_v2.bin", mrd_buf_view(&states));
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
