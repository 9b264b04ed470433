#include <stdlib.h>

#include "promqltest/memory_source.h"
#include "promqltest/script_histogram.h"
#include "promqltest/script_target.h"

static enum mrd_status memory_clear(void *context, struct mrd_error *err)
{
    (void)err;
    mrd_memory_source_clear(context);
    return MRD_OK;
}

static enum mrd_status memory_put(void *context, struct mrd_labels labels,
                                  const struct script_value *values, size_t count,
                                  mrd_time_ms step_ms, struct mrd_error *err)
{
    for (size_t i = 0; i < count; i++) {
        const mrd_time_ms time_ms = (mrd_time_ms)i * step_ms;
        if (values[i].histogram != NULL) {
            if (!mrd_memory_source_put_histogram(context, labels, time_ms, values[i].histogram)) {
                return mrd_fail(err, MRD_E_INVALID, "a histogram is not after those of its series");
            }
        } else if (!values[i].omitted) {
            mrd_memory_source_put(context, labels, (struct mrd_sample){time_ms, values[i].value});
        }
        if (values[i].start_ms != 0 && !values[i].omitted &&
            !mrd_memory_source_start(context, labels, time_ms, values[i].start_ms)) {
            return mrd_fail(err, MRD_E_INVALID, "a start time without a value");
        }
    }
    return MRD_OK;
}

static bool memory_can(void *context, const struct mrd_promql_options *options)
{
    (void)context;
    (void)options;
    return true;
}

static enum mrd_status memory_ask(void *context, const struct mrd_promql_options *options,
                                  const struct mrd_promql_request *request, struct mrd_arena *arena,
                                  struct mrd_promql_result *out, struct mrd_error *err)
{
    const enum mrd_status status =
        mrd_promql_query(options, request, mrd_memory_source_get(context), NULL, arena, out, err);
    mrd_assert(mrd_memory_source_open_sets(context) == 0);
    return status;
}

static const struct mrd_float_histogram *
memory_as_answered(const struct mrd_float_histogram *histogram, struct mrd_arena *arena)
{
    (void)arena;
    return histogram;
}

struct script_target *script_memory_create(void)
{
    struct script_target *target = calloc(1, sizeof(*target));
    mrd_assert(target != NULL);
    *target = (struct script_target){.context = mrd_memory_source_create(),
                                     .clear = memory_clear,
                                     .put = memory_put,
                                     .can = memory_can,
                                     .ask = memory_ask,
                                     .as_answered = memory_as_answered,
                                     .same = script_histograms_agree};
    return target;
}

void script_memory_destroy(struct script_target **target)
{
    if (*target == NULL) {
        return;
    }
    struct mrd_memory_source *source = (*target)->context;
    mrd_memory_source_destroy(&source);
    free(*target);
    *target = NULL;
}
