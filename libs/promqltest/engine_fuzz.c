/* Any text as a query over a few series: no crash, no leak, every answer within the budget. */
#include <math.h>
#include <stdio.h>

#include "promql/engine.h"
#include "promqltest/memory_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* h{a="0"|"1"|"2"}: exponential, custom bounds, and floats in turn with a gauge. */
static void put_histograms(struct mrd_memory_source *source)
{
    static const int32_t indexes[] = {0, 1, 2};
    static const double bounds[] = {1, 4};
    for (size_t s = 0; s < 3; s++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "%zu", s);
        const struct mrd_label items[] = {
            {MRD_BYTES(MRD_METRIC_NAME), MRD_BYTES("h")    },
            {MRD_BYTES("a"),             mrd_bytes_of(text)},
        };
        for (size_t i = 0; i < 20; i++) {
            double counts[] = {(double)(i % 11), (double)i, s == 0 ? 0 : 2};
            const struct mrd_labels labels = {items, 2};
            const struct mrd_float_histogram histogram = {
                .reset = s == 2 ? MRD_HISTOGRAM_GAUGE : MRD_HISTOGRAM_RESET_UNKNOWN,
                .schema = s == 1 ? MRD_HISTOGRAM_SCHEMA_CUSTOM : (int32_t)(i % 3),
                .zero_threshold = s == 1 ? 0 : 0.1 * (double)(i % 4),
                .zero_count = s == 1 ? 0 : (double)(i % 5),
                .count = (double)(i * 3),
                .sum = i == 9 ? NAN : (double)i,
                .positive = {indexes, counts, 3             },
                .negative = {indexes, counts, s == 2 ? 2 : 0},
                .custom_values = bounds,
                .custom_value_count = s == 1 ? 2 : 0,
            };
            if (s == 2 && i % 3 == 0) {
                mrd_memory_source_put(source, labels,
                                      (struct mrd_sample){(mrd_time_ms)i * 15000, (double)i});
            } else {
                (void)!mrd_memory_source_put_histogram(source, labels, (mrd_time_ms)i * 15000,
                                                       &histogram);
            }
        }
    }
}

static struct mrd_memory_source *filled_source(void)
{
    struct mrd_memory_source *source = mrd_memory_source_create();
    put_histograms(source);
    for (size_t s = 0; s < 6; s++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "%zu", s);
        const struct mrd_label items[] = {
            {MRD_BYTES(MRD_METRIC_NAME), s < 3 ? MRD_BYTES("m") : MRD_BYTES("n")},
            {MRD_BYTES("a"),             mrd_bytes_of(text)                     },
            {MRD_BYTES("le"),            mrd_bytes_of(text)                     },
        };
        for (size_t i = 0; i < 20; i++) {
            const double value = i == 7 ? mrd_stale_nan() : (double)(i * s);
            mrd_memory_source_put(source, (struct mrd_labels){items, 3},
                                  (struct mrd_sample){(mrd_time_ms)i * 15000, value});
        }
    }
    return source;
}

static void ask(struct mrd_memory_source *source, struct mrd_bytes text, bool instant)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("query", (size_t)4 << 20);
    const struct mrd_promql_options options = {
        .samples_max = 100000,
        .delayed_name_removal = text.size % 2 == 1,
        .features = {.experimental_functions = true,
                     .extended_range_selectors = true,
                     .binop_fill_modifiers = true},
    };
    const struct mrd_promql_request request = {text, 60000, instant ? 60000 : 240000, 30000,
                                               instant};
    struct mrd_promql_result result;
    struct mrd_error err;
    (void)!mrd_promql_query(&options, &request, mrd_memory_source_get(source), NULL, arena, &result,
                            &err);
    mrd_assert(mrd_memory_source_open_sets(source) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct mrd_memory_source *source;
    if (source == NULL) {
        source = filled_source();
    }
    if (size > 2000) {
        return 0;
    }
    ask(source, (struct mrd_bytes){data, size}, true);
    ask(source, (struct mrd_bytes){data, size}, false);
    return 0;
}
