/* Any text as a query over a few series: no crash, no leak, every answer within the budget. */
#include <stdio.h>

#include "promql/engine.h"
#include "promqltest/memory_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mrd_memory_source *filled_source(void)
{
    struct mrd_memory_source *source = mrd_memory_source_create();
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
