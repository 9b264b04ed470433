/* exec.h: the running query and its operators, for the files of this library only.
 *
 * An operator yields one series after the other: a label set and a column with one value per step
 * (column.h). What it yields is valid until it is asked again, histograms too; the consumer may overwrite
 * the columns. An operator reads its inputs to the end, so a consumer that stops early ends the query.
 *
 * Operators that need all their input before they can answer (binary operators between vectors,
 * aggregations, sorting) collect a struct pql_series_list on the first call.
 */
#ifndef MRD_PROMQL_EXEC_H
#define MRD_PROMQL_EXEC_H

#include "base/sort.h"
#include "promql/plan.h"

/* ---- the query ---- */

struct pql_exec {
    const struct mrd_promql_options *options;
    const struct mrd_promql_request *request;
    const struct mrd_source *source;
    const struct mrd_query_control *control;
    struct mrd_arena *arena;
    struct mrd_annotations *annotations;
    struct mrd_promql_stats *stats;
    size_t points_held;
    struct pql_cleanup *cleanups; /* for what the arena does not free */
    bool without_coarse;          /* over samples alone */
    const char *refused;          /* why rows cannot answer; static text */
    size_t unlooked;              /* work since the last look at the control */
};

/* Counts work that was done, in units of some 100 ns (a label set looked at, an allocation); a look at the control every few
 * tenths of a millisecond. Whatever is done once for every series, step or sample calls this, mrd_query_check, or something that
 * does: pql_alloc, pql_label_table_add, pql_source_next. */
enum {
    PQL_WORK_MAX = 2 * 1024,
    PQL_HISTOGRAM_UNITS = 8 /* of a native histogram added or compared */
};
static inline enum mrd_status pql_work(struct pql_exec *exec, size_t units, struct mrd_error *err)
{
    exec->unlooked += units;
    if (exec->unlooked < PQL_WORK_MAX) {
        return MRD_OK;
    }
    exec->unlooked = 0;
    return mrd_query_check(exec->control, err);
}

/* The control as a look; lives as long as the query. */
struct mrd_look pql_look(struct pql_exec *exec);

/* base/sort.h with looks at the control. */
MRD_MUST_CHECK enum mrd_status pql_sort(struct pql_exec *exec, void *items, size_t count,
                                        size_t item_size, mrd_order *order, void *context,
                                        struct mrd_error *err);

/* Calls run(subject) when the query ends. */
struct pql_cleanup {
    void (*run)(void *subject);
    void *subject;
    struct pql_cleanup *next;
};
MRD_MUST_CHECK enum mrd_status pql_defer(struct pql_exec *exec, void (*run)(void *subject),
                                         void *subject, struct mrd_error *err);

/* Fail with the arena's limit. All memory is the query's and ends with it. */
MRD_MUST_CHECK enum mrd_status pql_alloc(struct pql_exec *exec, size_t count, size_t item_size,
                                         void **out, struct mrd_error *err);
#define PQL_NEW(exec, count, out, err) pql_alloc(exec, count, sizeof(**(out)), (void **)(out), err)

/* Doubles *items when it is full. */
MRD_MUST_CHECK enum mrd_status pql_grow(struct pql_exec *exec, void **items, size_t count,
                                        size_t *capacity, size_t item_size, struct mrd_error *err);

/* Memory for what an operator needs until it is asked again: emptied, or made on first use. It counts against the
 * query's budget like all else, and ends with the query. */
MRD_MUST_CHECK enum mrd_status pql_scratch_reset(struct pql_exec *exec, struct mrd_arena **scratch,
                                                 struct mrd_error *err);

/* A column without histograms. */
MRD_MUST_CHECK enum mrd_status pql_histograms_create(struct pql_exec *exec, size_t steps,
                                                     pql_histogram **out, struct mrd_error *err);

/* Native histograms of one series, times strictly ascending and none of them those of its samples. */
struct pql_histogram_samples {
    const mrd_time_ms *times_ms;
    const pql_histogram *items;
    size_t count;
    const mrd_time_ms *start_times_ms; /* as of struct mrd_samples */
};

/* A histogram as Prometheus reads it where only count and sum matter: whether there was a reset since the one
 * before (may be NULL) is found out now, and the buckets go. */
MRD_MUST_CHECK enum mrd_status pql_histogram_to_stats(struct mrd_float_histogram *histogram,
                                                      pql_histogram before, struct mrd_arena *arena,
                                                      struct mrd_error *err);

/* The i-th histogram of a source's series in the engine's form. What the first one says of a reset is forgotten unless the one before it
 * was asked for: whether storage has looked at that depends on where its chunks, blocks and tiers end. It decides which warnings an answer
 * has, and whether + and - have a value at all. */
MRD_MUST_CHECK enum mrd_status pql_histogram_load(const struct mrd_source_series *from, size_t i,
                                                  struct mrd_arena *arena,
                                                  struct mrd_float_histogram **out,
                                                  struct mrd_error *err);

/* All of them, without staleness markers. */
MRD_MUST_CHECK enum mrd_status pql_histograms_load(struct pql_exec *exec,
                                                   const struct mrd_source_series *series,
                                                   bool stats_only, struct mrd_arena *arena,
                                                   struct pql_histogram_samples *out,
                                                   struct mrd_error *err);

/* Counts what storage handed over, for the statistics and for who looks at the query. */
void pql_count_read(struct pql_exec *exec, uint64_t series, uint64_t samples);

/* The next series of an open selector, counted, with nothing from before its range. */
MRD_MUST_CHECK enum mrd_status pql_source_next(struct pql_exec *exec, struct pql_selector *selector,
                                               struct mrd_source_series *out, bool *out_more,
                                               struct mrd_error *err);

/* Counts `points` as held in memory; MRD_E_LIMIT beyond samples_max. */
MRD_MUST_CHECK enum mrd_status pql_hold(struct pql_exec *exec, size_t points,
                                        struct mrd_error *err);

/* ---- series and operators ---- */

struct pql_series {
    struct mrd_labels labels;
    double *values;
    pql_histogram *histograms; /* NULL: none at any step. values[i] is none where one is */
    bool drop_name;            /* delayed name removal: the name goes at the end of the query */
};

static inline bool pql_series_has(const struct pql_series *series, size_t i)
{
    return !pql_is_none(series->values[i]) ||
           (series->histograms != NULL && series->histograms[i] != NULL);
}
static inline size_t pql_histogram_points(const struct pql_series *series, size_t steps)
{
    size_t points = 0;
    for (size_t i = 0; series->histograms != NULL && i < steps; i++) {
        points += series->histograms[i] != NULL;
    }
    return points;
}
static inline size_t pql_series_points(const struct pql_series *series, size_t steps)
{
    return pql_column_points(series->values, steps) + pql_histogram_points(series, steps);
}
static inline bool pql_series_empty(const struct pql_series *series, size_t steps)
{
    return pql_column_empty(series->values, steps) && pql_histogram_points(series, steps) == 0;
}

struct pql_op {
    enum mrd_status (*next)(struct pql_op *op, struct pql_series *out, bool *out_more,
                            struct mrd_error *err);
    struct pql_exec *exec;
    size_t steps;  /* length of the columns */
    bool one_name; /* no two of its series differ in nothing but the metric name */
};

static inline enum mrd_status pql_next(struct pql_op *op, struct pql_series *out, bool *out_more,
                                       struct mrd_error *err)
{
    return op->next(op, out, out_more, err);
}

/* Range vectors: raw samples per series, and how windows lie over them. */
struct pql_range_series {
    struct mrd_labels labels;
    struct mrd_samples samples;              /* staleness markers included */
    struct pql_histogram_samples histograms; /* without markers; valid as long as the samples */
    bool drop_name;
};

struct pql_range_op {
    enum mrd_status (*next)(struct pql_range_op *op, struct pql_range_series *out, bool *out_more,
                            struct mrd_error *err);
    struct pql_exec *exec;
    struct pql_timing timing;
    bool one_name;
};

/* Collected series; label texts and columns are the list's own. */
struct pql_series_list {
    struct pql_series *items;
    size_t count;
    size_t capacity;
};

/* Appends a deep copy, or the series as it is. */
MRD_MUST_CHECK enum mrd_status pql_series_list_add_copy(struct pql_exec *exec,
                                                        struct pql_series_list *list,
                                                        const struct pql_series *series,
                                                        size_t steps, struct mrd_error *err);
MRD_MUST_CHECK enum mrd_status pql_series_list_add(struct pql_exec *exec,
                                                   struct pql_series_list *list,
                                                   struct pql_series series, struct mrd_error *err);

/* Reads an operator to its end into a list; series without any value are left out. */
MRD_MUST_CHECK enum mrd_status pql_collect(struct pql_op *op, struct pql_series_list *out,
                                           struct mrd_error *err);

/* An operator that computes all its series on the first call. Embed it first in a struct. */
struct pql_list_op {
    struct pql_op op;
    enum mrd_status (*fill)(struct pql_list_op *op, struct mrd_error *err);
    struct pql_series_list list;
    size_t at;
    bool filled;
};
void pql_list_op_init(struct pql_list_op *op, struct pql_exec *exec, size_t steps,
                      enum mrd_status (*fill)(struct pql_list_op *op, struct mrd_error *err));

/* ---- building: each file of operators brings one of these ---- */

/* The operator for a node whose type is PQL_VECTOR, with columns of `steps` values. */
MRD_MUST_CHECK enum mrd_status pql_build(struct pql_exec *exec, const struct pql_node *node,
                                         size_t steps, struct pql_op **out, struct mrd_error *err);
MRD_MUST_CHECK enum mrd_status pql_build_range(struct pql_exec *exec, const struct pql_node *node,
                                               struct pql_range_op **out, struct mrd_error *err);
/* The range of one step of an anchored or smoothed selector: its samples without staleness markers and one
 * at each edge. In the arena (exec_edges.c). */
MRD_MUST_CHECK enum mrd_status pql_range_at_edges(const struct pql_range_op *op,
                                                  const struct pql_range_series *series,
                                                  mrd_time_ms step_ms, struct mrd_samples *out,
                                                  struct mrd_error *err);
/* Scalars are computed when their operator is built. */
MRD_MUST_CHECK enum mrd_status pql_eval_scalar(struct pql_exec *exec, const struct pql_node *node,
                                               size_t steps, double **out, struct mrd_error *err);

typedef enum mrd_status pql_builder(struct pql_exec *exec, const struct pql_node *node,
                                    struct pql_op **out, struct mrd_error *err);
pql_builder pql_build_select;          /* exec_select.c */
pql_builder pql_build_timestamp;       /* exec_select.c */
pql_builder pql_build_start_timestamp; /* exec_select.c */
pql_builder pql_build_window;          /* exec_window.c */
pql_builder pql_build_smoothed;        /* exec_edges.c */
pql_builder pql_build_info;            /* exec_info.c */
pql_builder pql_build_absent;          /* exec_absent.c */
pql_builder pql_build_map;             /* exec_map.c */
pql_builder pql_build_vector;          /* exec_map.c */
pql_builder pql_build_labels;          /* exec_labels.c */
pql_builder pql_build_sort;            /* exec_sort.c */
pql_builder pql_build_histogram;       /* exec_histogram.c */
pql_builder pql_build_histogram_only;  /* exec_histogram_only.c */
pql_builder pql_build_aggregate;       /* exec_aggregate.c */
pql_builder pql_build_topk;            /* exec_topk.c */
pql_builder pql_build_by_value;        /* exec_by_value.c */
pql_builder pql_build_limit_ratio;     /* exec_topk.c */
pql_builder pql_build_binary;          /* exec_binary.c */

/* Two series of *input with the same labels become one; a step where both have a value is the error
 * "vector cannot contain metrics with the same labelset" (any step at all if `strict`). Wraps only
 * where it is needed: where names were dropped from series of several names, or labels changed. */
MRD_MUST_CHECK enum mrd_status pql_build_merge(struct pql_exec *exec, struct pql_op *input,
                                               bool strict, struct pql_op **out,
                                               struct mrd_error *err);

/* Merges a list in place as pql_build_merge does. */
MRD_MUST_CHECK enum mrd_status pql_series_list_merge(struct pql_exec *exec,
                                                     struct pql_series_list *list, size_t steps,
                                                     bool strict, struct mrd_error *err);

/* ---- labels ---- */

/* A growing array for one label set at a time. */
struct pql_label_scratch {
    struct mrd_label *items;
    size_t capacity;
};

MRD_MUST_CHECK enum mrd_status pql_labels_copy(struct pql_exec *exec, struct mrd_labels labels,
                                               struct mrd_labels *out, struct mrd_error *err);

/* True for __name__, __type__ and __unit__, which describe the metric, not the series. */
bool pql_is_metadata_label(struct mrd_bytes name);

/* *labels without metadata labels: a shorter view if possible, else built in the scratch. */
MRD_MUST_CHECK enum mrd_status pql_labels_drop_name(struct pql_exec *exec,
                                                    struct pql_label_scratch *scratch,
                                                    struct mrd_labels *labels,
                                                    struct mrd_error *err);

/* What an operator that drops the name does to a series it is about to yield: at once, or by a mark
 * under delayed name removal. */
MRD_MUST_CHECK enum mrd_status pql_series_drop_name(struct pql_exec *exec,
                                                    struct pql_label_scratch *scratch,
                                                    struct pql_series *series,
                                                    struct mrd_error *err);

/* True if the sorted names contain `name`. */
bool pql_names_contain(struct mrd_names names, struct mrd_bytes name);

/* Sets or (empty value) removes one label; the result is in the scratch. */
MRD_MUST_CHECK enum mrd_status pql_labels_set(struct pql_exec *exec,
                                              struct pql_label_scratch *scratch,
                                              struct mrd_labels labels, struct mrd_label label,
                                              struct mrd_labels *out, struct mrd_error *err);

/* The labels that are in `names` (keep), or those that are not. */
MRD_MUST_CHECK enum mrd_status pql_labels_filter(struct pql_exec *exec,
                                                 struct pql_label_scratch *scratch,
                                                 struct mrd_labels labels, struct mrd_names names,
                                                 bool keep, struct mrd_labels *out,
                                                 struct mrd_error *err);

/* The labels of an aggregation's group: by keeps names; without drops names and __name__. */
MRD_MUST_CHECK enum mrd_status pql_labels_group(struct pql_exec *exec,
                                                struct pql_label_scratch *scratch,
                                                struct mrd_labels labels,
                                                const struct pql_grouping *grouping,
                                                struct mrd_labels *out, struct mrd_error *err);

/* Label sets numbered 0, 1, 2, ... in the order of their first appearance. */
struct pql_label_table {
    struct pql_exec *exec;
    struct mrd_labels *keys; /* copies */
    uint64_t *hashes;
    size_t count;
    size_t capacity;
    uint32_t *slots; /* index + 1, 0 free; a power of two of them */
    size_t slot_count;
};

MRD_MUST_CHECK enum mrd_status pql_label_table_add(struct pql_label_table *table,
                                                   struct mrd_labels labels, uint32_t *out_index,
                                                   bool *out_new, struct mrd_error *err);
/* UINT32_MAX if it is not there. */
uint32_t pql_label_table_find(const struct pql_label_table *table, struct mrd_labels labels);

/* The texts of label sets in error messages: {a="b", c="d"}, in the arena; empty if it is full. */
struct mrd_bytes pql_labels_text(struct pql_exec *exec, struct mrd_labels labels);

/* Fails an evaluation: MRD_E_INVALID with Prometheus' text. */
#define pql_fail(err, ...) mrd_fail(err, MRD_E_INVALID, __VA_ARGS__)

/* A number as Go prints it with %g: "1.2", "NaN", "+Inf". In the arena. */
struct mrd_bytes pql_number_text(struct pql_exec *exec, double value);

/* What is said about native histograms, in Prometheus' words. */
enum pql_histogram_note {
    PQL_NOTE_MIXED_RANGE,     /* warning: floats and histograms in a range */
    PQL_NOTE_MIXED_AGGREGATE, /* warning: floats and histograms in a group */
    PQL_NOTE_MIXED_SCHEMAS,   /* warning: exponential and custom bounds */
    PQL_NOTE_NOT_COUNTER,     /* warning */
    PQL_NOTE_NOT_GAUGE,       /* warning */
    PQL_NOTE_COLLISION_ADD,   /* warning: counter reset hints contradict */
    PQL_NOTE_COLLISION_SUB,
    PQL_NOTE_COLLISION_AGG,
    PQL_NOTE_RECONCILED_ADD, /* info: custom bounds differ */
    PQL_NOTE_RECONCILED_SUB,
    PQL_NOTE_RECONCILED_AGG,
    PQL_NOTE_IGNORED_AGGREGATE, /* info: `about` is the aggregation */
    PQL_NOTE_IGNORED_RANGE,     /* info */
};

/* Warns about `occurrences` windows of a metric in which a sample's start time lies before the time of the sample
 * before it, though that began elsewhere. */
void pql_note_overlaps(struct pql_exec *exec, size_t occurrences, struct mrd_annotation_place place,
                       struct mrd_bytes name);
/* `about` is the metric name where the note has one. */
void pql_note_histogram(struct pql_exec *exec, enum pql_histogram_note note,
                        struct mrd_annotation_place place, struct mrd_bytes about);

/* "quantile value should be between 0 and 1, got ..." where it is due. */
void pql_check_quantile(struct pql_exec *exec, double q, struct mrd_annotation_place place);

/* Says that a metric does not look like a counter, where it does not. */
void pql_warn_if_no_counter(struct pql_exec *exec, struct mrd_annotation_place place,
                            struct mrd_labels labels);

/* The metric name of a series, empty if it has none. */
static inline struct mrd_bytes pql_metric_name(struct mrd_labels labels)
{
    return mrd_labels_get(labels, MRD_BYTES(MRD_METRIC_NAME));
}

#endif
