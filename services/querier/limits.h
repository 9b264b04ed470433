/* limits.h: what one tenant's queries may take, and the language they are written in. 0 means no limit where
 * the key says so (tenancy/keys.h).
 */
#ifndef QRY_LIMITS_H
#define QRY_LIMITS_H

#include "base/config.h"
#include "promql/engine.h"
#include "tenancy/retention.h"

struct qry_limits {
    struct mrd_promql_options promql;
    mrd_time_ms query_timeout_ms;   /* bound of the `timeout` parameter */
    size_t memory_bytes_max;        /* of one query's arena */
    size_t response_bytes_max;      /* of one answer */
    size_t series_max;              /* that one selector may find; 0: none */
    size_t read_samples_max;        /* of a remote read answered as samples; 0: none */
    size_t steps_max;               /* of a range query */
    mrd_time_ms range_ms_max;       /* of a range query; 0: none */
    mrd_time_ms lookback_ms_max;    /* how far back from now; 0: none */
    struct mrd_retention retention; /* what is older is not read */
    unsigned concurrency;           /* queries that run at once; 0: the pool's */
    size_t queries_max;             /* that run or wait; 0: none */
    mrd_time_ms slow_log_ms;        /* queries that take as long are logged; 0: none */
    bool slow_log_values;           /* with their strings */
};

/* For mrd_tenancy_settings_create: fills a struct qry_limits. */
void qry_limits_read(const struct mrd_config *config, void *out_limits);

/* The key of the limit that an error's text names; NULL: it names none that can be set. */
const char *qry_limit_named(const char *text);

#endif
