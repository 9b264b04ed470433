#include "promqltest/random_queries.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    SAMPLES = MRD_RANDOM_SAMPLES,
    STEP_MS = MRD_RANDOM_STEP_MS,
};

/* ---- randomness: xorshift64*, the same everywhere ---- */

static uint64_t random_state;

void mrd_random_seed(uint64_t seed) { random_state = seed; }

/* Neighbouring numbers begin far apart (the finaliser of splitmix64). */
static uint64_t spread(uint64_t number)
{
    number = (number ^ number >> 30) * 0xbf58476d1ce4e5b9u;
    number = (number ^ number >> 27) * 0x94d049bb133111ebu;
    return number ^ number >> 31;
}

void mrd_random_seed_for_test(uint64_t usual)
{
    const char *text = getenv("MRD_TEST_SEED");
    const uint64_t seed = text == NULL ? usual : spread(strtoull(text, NULL, 10));
    mrd_random_seed(seed == 0 ? 1 : seed);
}

uint64_t mrd_random_next(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 2685821657736338717u;
}
size_t mrd_random_below(size_t limit) { return (size_t)((mrd_random_next() >> 32) % limit); }
static size_t below(size_t limit) { return mrd_random_below(limit); }
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

void mrd_random_series(struct mrd_memory_source *source, const char *name, size_t index)
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

void mrd_random_fill(struct mrd_memory_source *source)
{
    mrd_memory_source_clear(source);
    for (size_t n = 0; n < MRD_ARRAY_LEN(names); n++) {
        const size_t count = 1 + below(12);
        for (size_t i = 0; i < count; i++) {
            mrd_random_series(source, names[n], i);
        }
    }
}

void mrd_random_certain(struct mrd_memory_source *source)
{
    static const struct mrd_label items[] = {
        {MRD_BYTES(MRD_METRIC_NAME), MRD_BYTES("certain")},
        {MRD_BYTES("instance"),      MRD_BYTES("0")      },
        {MRD_BYTES("job"),           MRD_BYTES("0")      },
    };
    for (size_t i = 0; i < SAMPLES; i++) {
        mrd_memory_source_put(source, (struct mrd_labels){items, MRD_ARRAY_LEN(items)},
                              (struct mrd_sample){(mrd_time_ms)i * STEP_MS, (double)i});
    }
}

/* ---- queries ---- */

static void put(struct mrd_random_text *text, const char *format, ...) MRD_PRINTF(2, 3);
static void put(struct mrd_random_text *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int size =
        vsnprintf(text->bytes + text->size, sizeof(text->bytes) - text->size, format, args);
    va_end(args);
    text->size += (size_t)size;
    mrd_assert(text->size < sizeof(text->bytes));
}

static void put_selector(struct mrd_random_text *text, bool range)
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

static void put_vector(struct mrd_random_text *text, size_t depth);

static void put_range(struct mrd_random_text *text, size_t depth)
{
    if (depth > 0 && one_in(5)) {
        put(text, "(");
        put_vector(text, depth - 1);
        put(text, ")[2m:%s]%s", one_in(2) ? "20s" : "", one_in(4) ? " offset 15s" : "");
        return;
    }
    put_selector(text, true);
}

static void put_call(struct mrd_random_text *text, size_t depth)
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

static void put_operator(struct mrd_random_text *text, size_t depth)
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

static void put_vector(struct mrd_random_text *text, size_t depth)
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

static void put_aggregation(struct mrd_random_text *text, size_t depth)
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

void mrd_random_query(struct mrd_random_text *text)
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

struct mrd_promql_request mrd_random_request(const struct mrd_random_text *text)
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

struct mrd_promql_options mrd_random_options(void)
{
    return (struct mrd_promql_options){
        .lookback_ms = one_in(3) ? 20000 : 0,
        .samples_max = one_in(8) ? 1 + below(200) : 0,
        .delayed_name_removal = one_in(4),
        .use_start_timestamps = !one_in(3),
        .features = {.experimental_functions = true},
    };
}
