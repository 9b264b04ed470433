/* engine.h: evaluates PromQL over a source: parse -> check -> plan -> execute.
 *
 * Operators work series by series over all steps of the query: a column of step values per series, in
 * which a staleness marker says "nothing here" (no other value can have these bits: selectors remove
 * markers and arithmetic never makes one). Aggregations read their input as it comes and hold
 * groups x steps only. Semantics are those of Prometheus 3.14, in the order of floating-point
 * operations too; what is missing is MRD_E_UNSUPPORTED, never a guess.
 *
 * Owner:   the caller owns the arena; everything in the result points into it.
 * Threads: a query runs on the calling thread; queries share nothing.
 * Limits:  the arena (bytes), samples_max (points held at once), control (time, cancellation).
 *
 * Status   what                                             Prometheus' HTTP answer
 * INVALID  parse and check errors ("1:5: parse error: ...")  400 bad_data
 * INVALID  with out->execution_error: evaluation failed      422 execution
 * LIMIT    arena or samples_max                              422 execution
 * TIMEOUT / CANCELED                                         503 timeout / 499-like canceled
 * UNSUPPORTED                                                422 execution
 * others   from the source                                   500 internal / 503
 */
#ifndef MRD_PROMQL_ENGINE_H
#define MRD_PROMQL_ENGINE_H

#include "model/float_histogram.h"
#include "promql/annotations.h"
#include "promql/parse.h"
#include "promql/source.h"

struct mrd_promql_options {
    mrd_time_ms lookback_ms;      /* 0: 5 minutes */
    mrd_time_ms subquery_step_ms; /* step of a subquery that names none; 0: 1 minute */
    size_t samples_max;           /* 0: none; Prometheus' default is 50,000,000 */
    bool delayed_name_removal;    /* Prometheus' flag promql-delayed-name-removal */
    bool type_and_unit_labels;    /* type-and-unit-labels: __type__ says what is a counter */
    bool
        use_start_timestamps; /* use-start-timestamps: they tell resets and where a counter began */
    struct mrd_promql_features features;
    mrd_time_ms
        resolution_ms_max; /* the coarsest rows of windows that may answer (coarse.h); 0: samples alone */
};

struct mrd_promql_request {
    struct mrd_bytes text;
    mrd_time_ms start_ms;
    mrd_time_ms end_ms;  /* equal to start_ms if instant */
    mrd_time_ms step_ms; /* > 0 if not instant */
    bool instant;
};

enum mrd_promql_type {
    MRD_PROMQL_SCALAR,
    MRD_PROMQL_STRING,
    MRD_PROMQL_VECTOR,
    MRD_PROMQL_MATRIX,
};

/* One series of the answer as columns. Element i is histograms[i] if `histograms` is not NULL and
 * histograms[i] is not NULL, else values[i]. A vector has exactly one element per series. */
struct mrd_promql_series {
    struct mrd_labels labels;
    const mrd_time_ms *times_ms;
    const double *values;
    const struct mrd_float_histogram *const *histograms; /* NULL: floats only */
    size_t count;
};

struct mrd_promql_stats {
    uint64_t series_read;
    uint64_t samples_read; /* that the source yielded */
    uint64_t samples_peak; /* points held at once */
    uint64_t rows_read;    /* of windows; among samples_read */
    uint64_t coarse_selects;
    mrd_time_ms resolution_ms; /* the coarsest that was read; 0: samples alone answered */
    const char
        *refused; /* why samples had to answer after rows were asked; static text, else NULL */
};

struct mrd_promql_result {
    enum mrd_promql_type type;
    struct mrd_sample scalar;               /* SCALAR */
    struct mrd_bytes string;                /* STRING; its time is the request's start */
    const struct mrd_promql_series *series; /* VECTOR (evaluation order), MATRIX (by labels) */
    size_t series_count;
    struct mrd_annotations annotations; /* valid after a failure too */
    struct mrd_promql_stats stats;
    bool execution_error; /* set with a failure that came after parsing and checking */
};

/* Evaluates request->text. A scalar over a range is a matrix with one series without labels, as in
 * Prometheus. On failure *out holds annotations and execution_error only. */
MRD_MUST_CHECK enum mrd_status
mrd_promql_query(const struct mrd_promql_options *options, const struct mrd_promql_request *request,
                 const struct mrd_source *source, const struct mrd_query_control *control,
                 struct mrd_arena *arena, struct mrd_promql_result *out, struct mrd_error *err);

#endif
