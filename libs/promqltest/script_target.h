/* script_target.h: what a test script runs against: the engine in memory (script_memory.c), or a running system
 * (tests/promql/http). The language and the comparison are the same for both.
 */
#ifndef MRD_PROMQLTEST_SCRIPT_TARGET_H
#define MRD_PROMQLTEST_SCRIPT_TARGET_H

#include "promql/engine.h"
#include "promqltest/script_text.h"

struct script_target {
    void *context;

    /* Forgets all series. */
    enum mrd_status (*clear)(void *context, struct mrd_error *err);

    /* Value i of the series is at i * step_ms; omitted ones are not there. */
    enum mrd_status (*put)(void *context, struct mrd_labels labels,
                           const struct script_value *values, size_t count, mrd_time_ms step_ms,
                           struct mrd_error *err);

    /* False: it can not evaluate with these options, and the evaluation is skipped. */
    bool (*can)(void *context, const struct mrd_promql_options *options);

    /* MRD_E_INVALID is an error of the query; any other but UNSUPPORTED fails the evaluation. */
    enum mrd_status (*ask)(void *context, const struct mrd_promql_options *options,
                           const struct mrd_promql_request *request, struct mrd_arena *arena,
                           struct mrd_promql_result *out, struct mrd_error *err);

    /* What an answer that holds this histogram has in its place. */
    const struct mrd_float_histogram *(*as_answered)(const struct mrd_float_histogram *histogram,
                                                     struct mrd_arena *arena);
    /* Both as answered; the reset hint only where it is asked for and answers have one. */
    bool (*same)(const struct mrd_float_histogram *want, const struct mrd_float_histogram *got,
                 bool compare_hint);
};

/* The engine over series in memory. */
struct script_target *script_memory_create(void);
void script_memory_destroy(struct script_target **target);

#endif
