/* function_table.h: what the engine does for each function of the language.
 *
 * The parser knows signatures; this table knows how a call is evaluated. A function that is in the
 * language but not here is MRD_E_UNSUPPORTED when it is planned.
 */
#ifndef MRD_PROMQL_FUNCTION_TABLE_H
#define MRD_PROMQL_FUNCTION_TABLE_H

#include "promql/window.h"

/* How a call turns arguments into a result: one operator for each. */
enum pql_call_kind {
    PQL_CALL_WINDOW, /* `window` over a range vector, the other arguments are scalars */
    PQL_CALL_MAP,    /* `map` of each value */
    PQL_CALL_DATE,   /* like MAP, and without argument of the evaluation time */
    PQL_CALL_ROUND,
    PQL_CALL_CLAMP,
    PQL_CALL_CLAMP_MIN,
    PQL_CALL_CLAMP_MAX,
    PQL_CALL_ABSENT,
    PQL_CALL_ABSENT_OVER_TIME,
    PQL_CALL_LABEL_REPLACE,
    PQL_CALL_LABEL_JOIN,
    PQL_CALL_INFO, /* args[1] selects the info series */
    PQL_CALL_SORT,
    PQL_CALL_SORT_BY_LABEL,
    PQL_CALL_TIMESTAMP,
    PQL_CALL_START_TIMESTAMP,
    PQL_CALL_VECTOR,
    PQL_CALL_HISTOGRAM_QUANTILE,
    PQL_CALL_HISTOGRAM_QUANTILES,
    PQL_CALL_HISTOGRAM_FRACTION,
    PQL_CALL_HISTOGRAM_ONLY, /* histogram_count and the like: floats are skipped */
    /* scalars */
    PQL_CALL_SCALAR,
    PQL_CALL_TIME,
    PQL_CALL_PI,
    PQL_CALL_START,
    PQL_CALL_END,
    PQL_CALL_STEP,
    PQL_CALL_RANGE,
    PQL_CALL_MIN_OF,
    PQL_CALL_MAX_OF,
};

struct pql_function {
    const char *name;
    enum pql_call_kind kind;
    pql_window_function *window;
    double (*map)(double value);
    unsigned range_arg;  /* WINDOW: which argument is the range vector */
    bool keeps_name;     /* the result has its input's metric name */
    bool counter;        /* warn about metrics that do not look like counters */
    bool time_dependent; /* differs from step to step even if its arguments do not */
    bool descending;     /* sort_desc, sort_by_label_desc */
    bool reads_buckets;  /* histogram_stddev and the like need more than count and sum */
    bool heeds_starts;   /* start timestamps tell it resets, if the engine is to use them */
    bool adds_up;        /* histograms: what each says of a reset matters */
    bool checks_overlap; /* ... and it warns about samples that began before the one before ended */
    bool checks_quantile;  /* its scalar argument must lie in [0, 1] */
    bool checks_smoothing; /* its scalar arguments must lie in (0, 1) */
};

/* NULL if the engine does not have it. */
const struct pql_function *pql_function_find(const char *name, size_t size);

#endif
