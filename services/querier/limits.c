#include "querier/limits.h"

#include <string.h>

#include "promql/features.h"
#include "tenancy/keys.h"

void qry_limits_read(const struct mrd_config *config, void *out_limits)
{
    struct qry_limits limits = {
        .promql = {.lookback_ms = mrd_config_duration(config, "querier.lookback_delta"),
                   .samples_max = (size_t)mrd_config_int(config, "querier.samples_max"),
                   .resolution_ms_max =
                       mrd_config_duration(config, "querier.max_source_resolution")},
        .query_timeout_ms = mrd_config_duration(config, "querier.query_timeout"),
        .memory_bytes_max = mrd_config_size(config, "querier.memory_bytes_max"),
        .response_bytes_max = mrd_config_size(config, "querier.response_bytes_max"),
        .series_max = (size_t)mrd_config_int(config, "querier.series_max"),
        .read_samples_max = (size_t)mrd_config_int(config, "querier.read_samples_max"),
        .steps_max = (size_t)mrd_config_int(config, "querier.steps_max"),
        .range_ms_max = mrd_config_duration(config, "querier.range_max"),
        .lookback_ms_max = mrd_config_duration(config, "querier.lookback_max"),
        .concurrency = (unsigned)mrd_config_int(config, "querier.tenant_concurrency"),
        .queries_max = (size_t)mrd_config_int(config, "querier.tenant_queries_max"),
        .slow_log_ms = mrd_config_duration(config, "querier.slow_query_log"),
        .slow_log_values = mrd_config_bool(config, "querier.slow_query_log_values"),
    };
    for (size_t i = 0; i < mrd_config_list_size(config, "querier.promql_features"); i++) {
        const char *name = mrd_config_list_at(config, "querier.promql_features", i);
        struct mrd_error err;
        /* The key's choices are features of the engine: limits_test.c holds them to it. */
        mrd_assert(mrd_promql_feature_enable(name, &limits.promql, &err) == MRD_OK);
    }
    mrd_retention_read(config, &limits.retention);
    *(struct qry_limits *)out_limits = limits;
}

static bool is_word(char c) { return c == '_' || (c >= 'a' && c <= 'z'); }

static bool names(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    return at != NULL && !is_word(at[strlen(key)]);
}

const char *qry_limit_named(const char *text)
{
    static const char *const of_processes[] = {"querier.queue_max",
                                               "ingester.request_memory_bytes_max"};
    for (size_t i = 0; i < mrd_tenancy_query_keys.key_count; i++) {
        if (names(text, mrd_tenancy_query_keys.keys[i].path)) {
            return mrd_tenancy_query_keys.keys[i].path;
        }
    }
    for (size_t i = 0; i < MRD_ARRAY_LEN(of_processes); i++) {
        if (names(text, of_processes[i])) {
            return of_processes[i];
        }
    }
    return NULL;
}
