/* histogram_quantile, histogram_quantiles and histogram_fraction. Of classic histograms, series that differ
 * in nothing but `le` are the cumulative buckets of one histogram; a native histogram is one by itself.
 * Where both are there with the same labels, nothing can be said. */
#include "base/number.h"
#include "promql/exec.h"
#include "promql/native_quantile.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
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

struct native_series {
    uint32_t group;
    const pql_histogram *histograms;
};

struct histogram_op {
    struct pql_list_op list;
    const struct pql_node *node;
    struct pql_op *input;
    double **quantiles; /* of quantile functions: per step */
    size_t quantile_count;
    double *lower; /* of histogram_fraction: per step */
    double *upper;
    size_t vector_arg;
    struct pql_label_table table;  /* labels without le; of a native histogram, all of them */
    struct pql_series_list groups; /* labels of the results */
    struct bucket_series *members;
    size_t member_count;
    size_t member_capacity;
    struct native_series *natives;
    size_t native_count;
    size_t native_capacity;
    struct repairs repairs;
    struct pql_label_scratch scratch;
    struct pql_label_scratch name_scratch;
    struct pql_label_scratch quantile_scratch;
};

static bool is_fraction(const struct histogram_op *op)
{
    return op->node->function->kind == PQL_CALL_HISTOGRAM_FRACTION;
}

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

static enum mrd_status find_group(struct histogram_op *op, struct mrd_labels key, uint32_t *out,
                                  struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    bool is_new = false;
    MRD_TRY(pql_label_table_add(&op->table, key, out, &is_new, err));
    if (is_new) {
        struct pql_series result = {.labels = op->table.keys[*out]};
        MRD_TRY(pql_series_drop_name(exec, &op->name_scratch, &result, err));
        MRD_TRY(pql_labels_copy(exec, result.labels, &result.labels, err));
        MRD_TRY(pql_series_list_add(exec, &op->groups, result, err));
    }
    return MRD_OK;
}

static enum mrd_status add_classic(struct histogram_op *op, const struct pql_series *series,
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
    MRD_TRY(pql_labels_set(exec, &op->scratch, series->labels,
                           (struct mrd_label){MRD_BYTES("le"), MRD_BYTES_NONE}, &key, err));
    MRD_TRY(find_group(op, key, &group, err));
    MRD_TRY(pql_grow(exec, (void **)&op->members, op->member_count, &op->member_capacity,
                     sizeof(*op->members), err));
    op->members[op->member_count++] = (struct bucket_series){group, bound, series->values};
    return MRD_OK;
}

static enum mrd_status add_native(struct histogram_op *op, const struct pql_series *series,
                                  struct mrd_error *err)
{
    uint32_t group = 0;
    MRD_TRY(find_group(op, series->labels, &group, err));
    MRD_TRY(pql_grow(op->list.op.exec, (void **)&op->natives, op->native_count,
                     &op->native_capacity, sizeof(*op->natives), err));
    op->natives[op->native_count++] = (struct native_series){group, series->histograms};
    return MRD_OK;
}

static enum mrd_status histogram_add(struct histogram_op *op, const struct pql_series *series,
                                     struct mrd_error *err)
{
    const size_t steps = op->list.op.steps;
    if (!pql_column_empty(series->values, steps)) {
        MRD_TRY(add_classic(op, series, err));
    }
    return pql_histogram_points(series, steps) > 0 ? add_native(op, series, err) : MRD_OK;
}

static int order_members(const void *a, const void *b, void *context)
{
    (void)context;
    const struct bucket_series *x = a;
    const struct bucket_series *y = b;
    if (x->group != y->group) {
        return x->group < y->group ? -1 : 1;
    }
    return (x->bound > y->bound) - (x->bound < y->bound);
}

static int order_natives(const void *a, const void *b, void *context)
{
    (void)context;
    const uint32_t x = ((const struct native_series *)a)->group;
    const uint32_t y = ((const struct native_series *)b)->group;
    return (x > y) - (x < y);
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

/* Prometheus repairs the buckets of a step in place: of several quantiles, the first one does it. */
static bool repairs_first(const struct histogram_op *op, size_t quantile, size_t step)
{
    for (size_t k = 0; k < quantile; k++) {
        if (op->quantiles[k][step] >= 0 && op->quantiles[k][step] <= 1) {
            return false;
        }
    }
    return true;
}

static double classic_step(struct histogram_op *op, struct bucket *buckets, size_t count,
                           size_t quantile, size_t step)
{
    if (is_fraction(op)) {
        return fraction_of_buckets(op->lower[step], op->upper[step], buckets, count);
    }
    struct repair repair = {0};
    const double value =
        quantile_of_buckets(op->quantiles[quantile][step], buckets, count, &repair);
    if (repair.forced && repairs_first(op, quantile, step)) {
        note_repair(op, &repair, step);
    }
    return value;
}

static double native_step(struct histogram_op *op, pql_histogram histogram, struct mrd_bytes name,
                          size_t quantile, size_t step)
{
    static const char *const texts[] = {
        [PQL_NAN_RESULT] = "input to histogram_quantile has NaN observations, result is NaN",
        [PQL_NAN_SKEW] =
            "input to histogram_quantile has NaN observations, result is skewed higher",
        [PQL_NAN_EXCLUDED] = "input to histogram_fraction has NaN observations, which are "
                             "excluded from all fractions",
    };
    enum pql_nan_note note = PQL_NAN_NONE;
    const double value =
        is_fraction(op) ? pql_native_fraction(op->lower[step], op->upper[step], histogram, &note)
                        : pql_native_quantile(op->quantiles[quantile][step], histogram, &note);
    if (note != PQL_NAN_NONE) {
        mrd_annotations_addf(op->list.op.exec->annotations, MRD_ANNOTATION_INFO,
                             pql_place(op->node, op->node->args[op->vector_arg]), "%s%.*s",
                             texts[note], MRD_FMT(name_suffix(op, name)));
    }
    return value;
}

static void warn_about_mix(const struct histogram_op *op, struct mrd_bytes name)
{
    mrd_annotations_addf(op->list.op.exec->annotations, MRD_ANNOTATION_WARNING,
                         pql_place(op->node, op->node->args[op->vector_arg]),
                         "vector contains a mix of classic and native histograms%.*s",
                         MRD_FMT(name_suffix(op, name)));
}

/* The series of one group. */
struct members {
    struct mrd_bytes name;
    const struct bucket_series *classic; /* sorted by bound */
    size_t classic_count;
    const struct native_series *natives;
    size_t native_count;
};

static pql_histogram native_at(const struct members *members, size_t step)
{
    pql_histogram found = NULL;
    for (size_t i = 0; i < members->native_count && found == NULL; i++) {
        found = members->natives[i].histograms[step];
    }
    return found;
}

/* Computes one group. */
static enum mrd_status histogram_group(struct histogram_op *op, const struct members *members,
                                       size_t quantile, double *out, struct bucket *scratch,
                                       struct mrd_error *err)
{
    for (size_t i = 0; i < op->list.op.steps; i++) {
        MRD_TRY(pql_work(op->list.op.exec, 1 + members->classic_count, err));
        const pql_histogram native = native_at(members, i);
        size_t present = 0;
        for (size_t m = 0; m < members->classic_count; m++) {
            const struct bucket_series *series = &members->classic[m];
            if (!pql_is_none(series->values[i])) {
                scratch[present++] = (struct bucket){series->bound, series->values[i]};
            }
        }
        out[i] = pql_none();
        if (present > 0 && native != NULL) {
            warn_about_mix(op, members->name);
        } else if (native != NULL) {
            out[i] = native_step(op, native, members->name, quantile, i);
        } else if (present > 0) {
            out[i] = classic_step(op, scratch, present, quantile, i);
        }
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
    const size_t first_arg = op->vector_arg == 0 ? 2 : 0;
    for (size_t k = 0; k < op->quantile_count; k++) {
        const double *q = op->quantiles[k];
        for (size_t i = 0; i < op->list.op.steps; i++) {
            if (i == 0 || mrd_double_bits(q[i]) != mrd_double_bits(q[i - 1])) {
                pql_check_quantile(op->list.op.exec, q[i],
                                   pql_place(op->node, op->node->args[first_arg + k]));
            }
        }
    }
}

/* Sets the label that says which quantile a series of histogram_quantiles is. */
static enum mrd_status label_quantile(struct histogram_op *op, double q, struct pql_series *series,
                                      struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    char text[MRD_DOUBLE_TEXT_MAX + 2];
    size_t size = mrd_double_format_g(q == 0 ? 0 : q, text); /* -0 is 0 */
    if (isfinite(q) && memchr(text, '.', size) == NULL && memchr(text, 'e', size) == NULL) {
        memcpy(text + size, ".0", 2);
        size += 2;
    }
    const struct mrd_label label = {
        op->node->args[1]->text, {(const uint8_t *)text, size}
    };
    MRD_TRY(
        pql_labels_set(exec, &op->quantile_scratch, series->labels, label, &series->labels, err));
    return pql_labels_copy(exec, series->labels, &series->labels, err);
}

/* Adds the result of histogram_quantiles: for each value that the quantile takes, the steps with it. */
static enum mrd_status add_quantile_series(struct histogram_op *op, const double *q,
                                           const struct pql_series *whole, struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    const size_t steps = op->list.op.steps;
    for (size_t i = 0; i < steps; i++) {
        struct pql_series part = *whole;
        bool earlier = false;
        MRD_TRY(pql_work(exec, 1 + i / 64, err));
        for (size_t j = 0; j < i && !earlier; j++) {
            earlier = mrd_double_bits(q[j]) == mrd_double_bits(q[i]);
        }
        if (earlier) {
            continue;
        }
        MRD_TRY(PQL_NEW(exec, steps, &part.values, err));
        for (size_t j = 0; j < steps; j++) {
            const bool same = mrd_double_bits(q[j]) == mrd_double_bits(q[i]);
            part.values[j] = same ? whole->values[j] : pql_none();
        }
        MRD_TRY(label_quantile(op, q[i], &part, err));
        MRD_TRY(pql_series_list_add(exec, &op->list.list, part, err));
    }
    return MRD_OK;
}

static enum mrd_status histogram_add_result(struct histogram_op *op, size_t quantile,
                                            const struct pql_series *result, struct mrd_error *err)
{
    if (op->node->function->kind == PQL_CALL_HISTOGRAM_QUANTILES) {
        return add_quantile_series(op, op->quantiles[quantile], result, err);
    }
    return pql_series_list_add(op->list.op.exec, &op->list.list, *result, err);
}

static enum mrd_status histogram_compute(struct histogram_op *op, size_t quantile,
                                         struct bucket *scratch, struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    size_t at = 0;
    size_t native_at_index = 0;
    for (size_t g = 0; g < op->groups.count; g++) {
        struct pql_series result = op->groups.items[g];
        struct members members = {.name = pql_metric_name(op->table.keys[g]),
                                  .classic = op->members == NULL ? NULL : op->members + at,

                                  .natives =
                                      op->natives == NULL ? NULL : op->natives + native_at_index};
        while (at < op->member_count && op->members[at].group == g) {
            members.classic_count++;
            at++;
        }
        while (native_at_index < op->native_count && op->natives[native_at_index].group == g) {
            members.native_count++;
            native_at_index++;
        }
        MRD_TRY(PQL_NEW(exec, op->list.op.steps, &result.values, err));
        MRD_TRY(histogram_group(op, &members, quantile, result.values, scratch, err));
        if (op->repairs.samples > 0 && op->repairs.name.data == NULL) {
            op->repairs.name = pql_metric_name(result.labels);
        }
        MRD_TRY(histogram_add_result(op, quantile, &result, err));
    }
    return MRD_OK;
}

static enum mrd_status histogram_fill(struct pql_list_op *base, struct mrd_error *err)
{
    struct histogram_op *op = (struct histogram_op *)base;
    struct pql_exec *exec = base->op.exec;
    struct pql_series_list input = {0};
    struct bucket *scratch = NULL;
    MRD_TRY(pql_collect(op->input, &input, err));
    for (size_t i = 0; i < input.count; i++) {
        MRD_TRY(histogram_add(op, &input.items[i], err));
    }
    MRD_TRY(PQL_NEW(exec, op->member_count + 1, &scratch, err));
    MRD_TRY(pql_sort(exec, op->members, op->member_count, sizeof(*op->members), order_members, NULL,
                     err));
    MRD_TRY(pql_sort(exec, op->natives, op->native_count, sizeof(*op->natives), order_natives, NULL,
                     err));
    for (size_t k = 0; k < MRD_MAX(op->quantile_count, (size_t)1); k++) {
        MRD_TRY(histogram_compute(op, k, scratch, err));
    }
    report_repairs(op);
    check_quantiles(op);
    return pql_series_list_merge(exec, &base->list, base->op.steps, false, err);
}

static enum mrd_status histogram_args(struct histogram_op *op, struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    const struct pql_node *node = op->node;
    const size_t steps = node->steps.count;
    if (is_fraction(op)) {
        op->vector_arg = 2;
        MRD_TRY(pql_eval_scalar(exec, node->args[0], steps, &op->lower, err));
        return pql_eval_scalar(exec, node->args[1], steps, &op->upper, err);
    }
    const bool many = node->function->kind == PQL_CALL_HISTOGRAM_QUANTILES;
    const size_t first = many ? 2 : 0;
    op->vector_arg = many ? 0 : 1;
    op->quantile_count = many ? node->arg_count - 2 : 1;
    MRD_TRY(PQL_NEW(exec, op->quantile_count, &op->quantiles, err));
    for (size_t k = 0; k < op->quantile_count; k++) {
        MRD_TRY(pql_eval_scalar(exec, node->args[first + k], steps, &op->quantiles[k], err));
    }
    return MRD_OK;
}

enum mrd_status pql_build_histogram(struct pql_exec *exec, const struct pql_node *node,
                                    struct pql_op **out, struct mrd_error *err)
{
    struct histogram_op *op = NULL;
    const size_t steps = node->steps.count;
    MRD_TRY(PQL_NEW(exec, 1, &op, err));
    *op = (struct histogram_op){.node = node, .table = {.exec = exec}};
    pql_list_op_init(&op->list, exec, steps, histogram_fill);
    op->list.op.one_name = true;
    MRD_TRY(histogram_args(op, err));
    MRD_TRY(pql_build(exec, node->args[op->vector_arg], steps, &op->input, err));
    *out = &op->list.op;
    return MRD_OK;
}
