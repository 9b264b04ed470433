/* histogram_quantile and histogram_fraction over classic histograms: series that differ in nothing
 * but `le` are the cumulative buckets of one histogram. */
#include "base/number.h"
#include "promql/exec.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct bucket {
    double bound; /* upper, inclusive */
    double count; /* cumulative */
};

/* What had to be corrected, for the info that says so. */
struct repair {
    bool forced;
    double bucket_min;
    double bucket_max;
    double difference_max;
};

/* Repairs over the whole query; Prometheus reports them in one text. */
struct repairs {
    struct mrd_bytes name; /* of the first metric, where names are still there */
    struct repair widest;
    uint64_t samples;
    mrd_time_ms first_ms;
    mrd_time_ms last_ms;
};

/* ---- one histogram at one step ---- */

/* Equal within 1e-12 of their size: what rounding in rates may leave. */
static bool almost_equal(double a, double b)
{
    if (a == b) {
        return true;
    }
    const double sum = fabs(a) + fabs(b);
    const double difference = fabs(a - b);
    if (a == 0 || b == 0 || sum < DBL_MIN) {
        return difference < 1e-12 * DBL_MIN;
    }
    return difference / fmin(sum, DBL_MAX) < 1e-12;
}

/* Buckets with equal bounds become one; returns the new count. The buckets are sorted. */
static size_t merge_equal_bounds(struct bucket *buckets, size_t count)
{
    size_t last = 0;
    for (size_t i = 1; i < count; i++) {
        if (buckets[i].bound == buckets[last].bound) {
            buckets[last].count += buckets[i].count;
        } else {
            buckets[++last] = buckets[i];
        }
    }
    return last + 1;
}

/* Makes the counts monotonic; notes decreases that rounding does not explain. */
static struct repair make_monotonic(struct bucket *buckets, size_t count)
{
    struct repair repair = {.bucket_min = INFINITY, .bucket_max = -INFINITY};
    double before = buckets[0].count;
    for (size_t i = 1; i < count; i++) {
        const double current = buckets[i].count;
        if (current == before) {
            continue;
        }
        if (almost_equal(before, current)) {
            buckets[i].count = before;
            continue;
        }
        if (current < before) {
            buckets[i].count = before;
            repair.forced = true;
            repair.bucket_min = fmin(repair.bucket_min, buckets[i].bound);
            repair.bucket_max = fmax(repair.bucket_max, buckets[i].bound);
            repair.difference_max = fmax(repair.difference_max, before - current);
            continue;
        }
        before = current;
    }
    return repair;
}

static double quantile_of_buckets(double q, struct bucket *buckets, size_t count,
                                  struct repair *repair)
{
    if (isnan(q)) {
        return NAN;
    }
    if (q < 0 || q > 1) {
        return q < 0 ? -INFINITY : INFINITY;
    }
    if (!(isinf(buckets[count - 1].bound) && buckets[count - 1].bound > 0)) {
        return NAN;
    }
    count = merge_equal_bounds(buckets, count);
    *repair = make_monotonic(buckets, count);
    const double total = buckets[count - 1].count;
    if (count < 2 || total == 0) {
        return NAN;
    }
    double rank = q * total;
    size_t b = 0;
    while (b < count - 1 && !(buckets[b].count >= rank)) {
        b++;
    }
    if (b == count - 1) {
        return buckets[count - 2].bound;
    }
    if (b == 0 && buckets[0].bound <= 0) {
        return buckets[0].bound;
    }
    double start = 0;
    double inside = buckets[b].count;
    if (b > 0) {
        start = buckets[b - 1].bound;
        inside -= buckets[b - 1].count;
        rank -= buckets[b - 1].count;
    }
    return start + (buckets[b].bound - start) * (rank / inside);
}

/* Observations at or below `value`, interpolated linearly inside its bucket. */
static double rank_of_value(double value, const struct bucket *buckets, size_t count)
{
    double rank = 0;
    for (size_t i = 0; i < count; i++) {
        double low = -INFINITY;
        if (i > 0) {
            low = buckets[i - 1].bound;
        } else if (buckets[0].bound > 0) {
            low = 0;
        }
        if (low >= value) {
            return rank;
        }
        if (low < value && buckets[i].bound > value) {
            if (isinf(low)) {
                return buckets[i].count; /* there is no inside of a bucket without a lower end */
            }
            return rank + (buckets[i].count - rank) * (value - low) / (buckets[i].bound - low);
        }
        rank = buckets[i].count;
    }
    return buckets[count - 1].count;
}

static double fraction_of_buckets(double lower, double upper, struct bucket *buckets, size_t count)
{
    if (!(isinf(buckets[count - 1].bound) && buckets[count - 1].bound > 0)) {
        return NAN;
    }
    count = merge_equal_bounds(buckets, count);
    const double total = buckets[count - 1].count;
    if (total == 0 || isnan(lower) || isnan(upper)) {
        return NAN;
    }
    if (lower >= upper) {
        return 0;
    }
    const double low = fmin(rank_of_value(lower, buckets, count), total);
    const double high = fmin(rank_of_value(upper, buckets, count), total);
    return (high - low) / total;
}

/* ---- groups of bucket series ---- */

struct bucket_series {
    uint32_t group;
    double bound;
    const double *values;
};

struct histogram_op {
    struct pql_list_op list;
    const struct pql_node *node;
    struct pql_op *input;
    double *first;  /* quantile, or lower bound, per step */
    double *second; /* upper bound */
    size_t vector_arg;
    struct pql_label_table table;  /* labels without le */
    struct pql_series_list groups; /* labels of the results */
    struct bucket_series *members;
    size_t member_count;
    size_t member_capacity;
    struct repairs repairs;
    struct pql_label_scratch scratch;
    struct pql_label_scratch name_scratch;
};

/* " for metric name "x"" where Prometheus says it: under delayed name removal only. */
static struct mrd_bytes name_suffix(const struct histogram_op *op, struct mrd_bytes name)
{
    struct pql_exec *exec = op->list.op.exec;
    if (!exec->options->delayed_name_removal || name.size == 0) {
        return MRD_BYTES("");
    }
    const char *text = mrd_arena_printf(exec->arena, " for metric name \"%.*s\"", MRD_FMT(name));
    return text == NULL ? MRD_BYTES("") : mrd_bytes_of(text);
}

static void warn_about_bound(const struct histogram_op *op, struct mrd_labels labels,
                             struct mrd_bytes le)
{
    mrd_annotations_addf(op->list.op.exec->annotations, MRD_ANNOTATION_WARNING,
                         pql_place(op->node, op->node->args[op->vector_arg]),
                         "bucket label \"le\" is missing or has a malformed value of \"%.*s\"%.*s",
                         MRD_FMT(le), MRD_FMT(name_suffix(op, pql_metric_name(labels))));
}

static enum mrd_status histogram_add(struct histogram_op *op, const struct pql_series *series,
                                     struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    const struct mrd_bytes le = mrd_labels_get(series->labels, MRD_BYTES("le"));
    double bound = 0;
    if (!mrd_double_parse((const char *)le.data, le.size, &bound)) {
        warn_about_bound(op, series->labels, le);
        return MRD_OK;
    }
    struct mrd_labels key;
    uint32_t group = 0;
    bool is_new = false;
    MRD_TRY(pql_labels_set(exec, &op->scratch, series->labels,
                           (struct mrd_label){MRD_BYTES("le"), MRD_BYTES_NONE}, &key, err));
    MRD_TRY(pql_label_table_add(&op->table, key, &group, &is_new, err));
    if (is_new) {
        struct pql_series result = {.labels = op->table.keys[group]};
        MRD_TRY(pql_series_drop_name(exec, &op->name_scratch, &result, err));
        MRD_TRY(pql_labels_copy(exec, result.labels, &result.labels, err));
        MRD_TRY(pql_series_list_add(exec, &op->groups, result, err));
    }
    MRD_TRY(pql_grow(exec, (void **)&op->members, op->member_count, &op->member_capacity,
                     sizeof(*op->members), err));
    op->members[op->member_count++] = (struct bucket_series){group, bound, series->values};
    return MRD_OK;
}

static int order_members(const void *a, const void *b)
{
    const struct bucket_series *x = a;
    const struct bucket_series *y = b;
    if (x->group != y->group) {
        return x->group < y->group ? -1 : 1;
    }
    return (x->bound > y->bound) - (x->bound < y->bound);
}

static void note_repair(struct histogram_op *op, const struct repair *repair, size_t step)
{
    const mrd_time_ms time_ms = pql_step_ms(&op->node->steps, step);
    struct repairs *all = &op->repairs;
    if (all->samples == 0) {
        all->widest = *repair;
        all->first_ms = all->last_ms = time_ms;
    }
    all->samples++;
    all->widest.bucket_min = fmin(all->widest.bucket_min, repair->bucket_min);
    all->widest.bucket_max = fmax(all->widest.bucket_max, repair->bucket_max);
    all->widest.difference_max = fmax(all->widest.difference_max, repair->difference_max);
    all->first_ms = MRD_MIN(all->first_ms, time_ms);
    all->last_ms = MRD_MAX(all->last_ms, time_ms);
}

static double histogram_step(struct histogram_op *op, struct bucket *buckets, size_t count,
                             size_t step)
{
    if (count == 0) {
        return pql_none();
    }
    if (op->node->function->kind == PQL_CALL_HISTOGRAM_FRACTION) {
        return fraction_of_buckets(op->first[step], op->second[step], buckets, count);
    }
    struct repair repair = {0};
    const double q = op->first[step];
    const double value = quantile_of_buckets(q, buckets, count, &repair);
    if (repair.forced) {
        note_repair(op, &repair, step);
    }
    return value;
}

/* Computes one group from its members, sorted by bound. */
static enum mrd_status histogram_group(struct histogram_op *op, const struct bucket_series *members,
                                       size_t count, double *out, struct bucket *scratch,
                                       struct mrd_error *err)
{
    MRD_TRY(mrd_query_check(op->list.op.exec->control, err));
    for (size_t i = 0; i < op->list.op.steps; i++) {
        size_t present = 0;
        for (size_t m = 0; m < count; m++) {
            if (!pql_is_none(members[m].values[i])) {
                scratch[present++] = (struct bucket){members[m].bound, members[m].values[i]};
            }
        }
        out[i] = histogram_step(op, scratch, present, i);
    }
    return MRD_OK;
}

static void format_time(mrd_time_ms time_ms, char out[32])
{
    const time_t seconds = (time_t)(time_ms >= 0 ? time_ms / 1000 : (time_ms - 999) / 1000);
    struct tm parts;
    (void)gmtime_r(&seconds, &parts);
    (void)strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &parts);
}

static void report_repairs(const struct histogram_op *op)
{
    const struct repairs *all = &op->repairs;
    char first[32];
    char last[32];
    char low[MRD_DOUBLE_TEXT_MAX];
    char high[MRD_DOUBLE_TEXT_MAX];
    if (all->samples == 0) {
        return;
    }
    format_time(all->first_ms, first);
    format_time(all->last_ms, last);
    (void)mrd_double_format_g(all->widest.bucket_min, low);
    (void)mrd_double_format_g(all->widest.bucket_max, high);
    mrd_annotations_addf(
        op->list.op.exec->annotations, MRD_ANNOTATION_INFO,
        pql_place(op->node, op->node->args[op->vector_arg]),
        "input to histogram_quantile needed to be fixed for monotonicity (see "
        "https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)"
        "%.*s, from buckets %.40s to %.40s, with a max diff of %.2g, over %llu samples from %s to "
        "%s",
        MRD_FMT(name_suffix(op, all->name)), low, high, all->widest.difference_max,
        (unsigned long long)all->samples, first, last);
}

/* Every step's quantile is checked, whether or not there is a histogram. */
static void check_quantiles(const struct histogram_op *op)
{
    for (size_t i = 0; i < op->list.op.steps; i++) {
        if (i == 0 || mrd_double_bits(op->first[i]) != mrd_double_bits(op->first[i - 1])) {
            pql_check_quantile(op->list.op.exec, op->first[i],
                               pql_place(op->node, op->node->args[0]));
        }
    }
}

static enum mrd_status histogram_compute(struct histogram_op *op, struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    struct bucket *scratch = NULL;
    if (op->member_count == 0) {
        return MRD_OK;
    }
    MRD_TRY(PQL_NEW(exec, op->member_count, &scratch, err));
    qsort(op->members, op->member_count, sizeof(*op->members), order_members);
    size_t at = 0;
    for (size_t g = 0; g < op->groups.count; g++) {
        struct pql_series result = op->groups.items[g];
        size_t count = 0;
        while (at + count < op->member_count && op->members[at + count].group == g) {
            count++;
        }
        MRD_TRY(PQL_NEW(exec, op->list.op.steps, &result.values, err));
        MRD_TRY(histogram_group(op, op->members + at, count, result.values, scratch, err));
        at += count;
        if (op->repairs.samples > 0 && op->repairs.name.data == NULL) {
            op->repairs.name = pql_metric_name(result.labels);
        }
        MRD_TRY(pql_series_list_add(exec, &op->list.list, result, err));
    }
    report_repairs(op);
    return MRD_OK;
}

static enum mrd_status histogram_fill(struct pql_list_op *base, struct mrd_error *err)
{
    struct histogram_op *op = (struct histogram_op *)base;
    struct pql_exec *exec = base->op.exec;
    struct pql_series_list input = {0};
    MRD_TRY(pql_collect(op->input, &input, err));
    for (size_t i = 0; i < input.count; i++) {
        MRD_TRY(histogram_add(op, &input.items[i], err));
    }
    MRD_TRY(histogram_compute(op, err));
    if (op->node->function->kind == PQL_CALL_HISTOGRAM_QUANTILE) {
        check_quantiles(op);
    }
    if (exec->options->delayed_name_removal) {
        return MRD_OK;
    }
    return pql_series_list_merge(exec, &base->list, base->op.steps, false, err);
}

/* histogram_count and the like see native histograms only; floats fall out. */
struct skip_op {
    struct pql_op op;
    struct pql_op *input;
};

static enum mrd_status skip_next(struct pql_op *base, struct pql_series *out, bool *out_more,
                                 struct mrd_error *err)
{
    const struct skip_op *op = (const struct skip_op *)base;
    do {
        MRD_TRY(pql_next(op->input, out, out_more, err));
    } while (*out_more);
    return MRD_OK;
}

static enum mrd_status build_skip(struct pql_exec *exec, const struct pql_node *node,
                                  struct pql_op **out, struct mrd_error *err)
{
    struct skip_op *op = NULL;
    MRD_TRY(PQL_NEW(exec, 1, &op, err));
    *op = (struct skip_op){
        .op = {.next = skip_next, .exec = exec, .steps = node->steps.count, .one_name = true}
    };
    MRD_TRY(pql_build(exec, node->args[0], node->steps.count, &op->input, err));
    *out = &op->op;
    return MRD_OK;
}

enum mrd_status pql_build_histogram(struct pql_exec *exec, const struct pql_node *node,
                                    struct pql_op **out, struct mrd_error *err)
{
    if (node->function->kind == PQL_CALL_HISTOGRAM_ONLY) {
        return build_skip(exec, node, out, err);
    }
    struct histogram_op *op = NULL;
    const size_t steps = node->steps.count;
    const bool fraction = node->function->kind == PQL_CALL_HISTOGRAM_FRACTION;
    MRD_TRY(PQL_NEW(exec, 1, &op, err));
    *op = (struct histogram_op){
        .node = node, .vector_arg = fraction ? 2 : 1, .table = {.exec = exec}};
    pql_list_op_init(&op->list, exec, steps, histogram_fill);
    op->list.op.one_name = true;
    MRD_TRY(pql_eval_scalar(exec, node->args[0], steps, &op->first, err));
    if (fraction) {
        MRD_TRY(pql_eval_scalar(exec, node->args[1], steps, &op->second, err));
    }
    MRD_TRY(pql_build(exec, node->args[op->vector_arg], steps, &op->input, err));
    *out = &op->list.op;
    return MRD_OK;
}
