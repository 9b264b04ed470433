/* Adding and subtracting histograms of different shapes, and what they need for it: a common zero
 * bucket, a common schema, common custom bounds. Zero buckets and counter resets belong together: both
 * ask what one histogram would look like in the shape of another. */
#include <math.h>
#include <string.h>

#include "base/kahan.h"
#include "model/float_histogram_internal.h"

/* ---- zero buckets ---- */

/* False for NaN, which no widening could ever make equal to anything. */
static bool differ(double a, double b) { return a < b || a > b; }

/* Adds the buckets of one side below the threshold. Returns the threshold behind the populated bucket
 * that holds it, else the threshold itself. */
static double absorb_side(const struct mrd_float_histogram *histogram,
                          const struct mrd_float_histogram *compensation, bool positive,
                          double threshold, struct mrd_kahan *count)
{
    const struct mrd_float_buckets *side = positive ? &histogram->positive : &histogram->negative;
    for (size_t i = 0; i < side->count; i++) {
        const double inner = mrd_histogram_bound(histogram->schema, (int64_t)side->indexes[i] - 1);
        const double outer = mrd_histogram_bound(histogram->schema, side->indexes[i]);
        if (inner >= threshold) {
            break;
        }
        *count = mrd_kahan_add(*count, side->counts[i]);
        if (compensation != NULL) {
            const struct mrd_float_buckets *errors =
                positive ? &compensation->positive : &compensation->negative;
            *count = mrd_kahan_add(*count, errors->counts[i]);
        }
        if (outer > threshold) {
            return side->counts[i] != 0 ? outer : threshold;
        }
    }
    return threshold;
}

struct mrd_zero_bucket mrd_widen_zero_bucket(const struct mrd_float_histogram *histogram,
                                             const struct mrd_float_histogram *compensation,
                                             double threshold)
{
    struct mrd_kahan count = {histogram->zero_count,
                              compensation == NULL ? 0 : compensation->zero_count};
    while (differ(threshold, histogram->zero_threshold)) {
        count.sum = histogram->zero_count;
        threshold = absorb_side(histogram, compensation, true, threshold, &count);
        const double wider = absorb_side(histogram, compensation, false, threshold, &count);
        if (wider == threshold) {
            break;
        }
        threshold = wider; /* the positive side must be looked at again */
    }
    return (struct mrd_zero_bucket){count.sum, count.compensation, threshold};
}

/* Empties the buckets that are inside the zero bucket now. */
static enum mrd_status clear_hidden(struct mrd_float_histogram *histogram,
                                    struct mrd_float_histogram *compensation, bool positive,
                                    struct mrd_arena *arena, struct mrd_error *err)
{
    struct mrd_float_buckets *side = positive ? &histogram->positive : &histogram->negative;
    struct mrd_float_buckets *errors = compensation == NULL ? NULL
                                       : positive           ? &compensation->positive
                                                            : &compensation->negative;
    for (size_t i = 0; i < side->count; i++) {
        const double inner = mrd_histogram_bound(histogram->schema, (int64_t)side->indexes[i] - 1);
        if (inner >= histogram->zero_threshold) {
            break;
        }
        side->counts[i] = 0;
        if (errors != NULL) {
            errors->counts[i] = 0;
        }
    }
    return mrd_buckets_compact(side, errors, arena, err);
}

/* Widens the histogram's zero bucket until it covers that of `other` and cuts no populated bucket of
 * either. *out is the zero bucket that `other` would have. */
static enum mrd_status reconcile_zero(struct mrd_float_histogram *histogram,
                                      const struct mrd_float_histogram *other,
                                      struct mrd_float_histogram *compensation,
                                      struct mrd_arena *arena, struct mrd_zero_bucket *out,
                                      struct mrd_error *err)
{
    *out = (struct mrd_zero_bucket){other->zero_count, 0, other->zero_threshold};
    while (differ(out->threshold, histogram->zero_threshold)) {
        if (histogram->zero_threshold > out->threshold) {
            *out = mrd_widen_zero_bucket(other, NULL, histogram->zero_threshold);
        }
        if (out->threshold > histogram->zero_threshold) {
            const struct mrd_zero_bucket wider =
                mrd_widen_zero_bucket(histogram, compensation, out->threshold);
            histogram->zero_count = wider.count;
            histogram->zero_threshold = wider.threshold;
            if (compensation != NULL) {
                compensation->zero_count = wider.compensation;
            }
            MRD_TRY(clear_hidden(histogram, compensation, true, arena, err));
            MRD_TRY(clear_hidden(histogram, compensation, false, arena, err));
        }
    }
    return MRD_OK;
}

/* ---- sides ---- */

/* One summand of a side: its buckets and, if the sum is compensated, the errors they already carry. */
struct summand {
    struct mrd_float_buckets buckets;
    const double *errors; /* may be NULL */
    double sign;
};

struct sum_side {
    struct mrd_float_buckets *buckets;
    struct mrd_float_buckets *errors; /* NULL: plain sums */
};

static void add_at(const struct sum_side *to, size_t at, const struct summand *from, size_t i)
{
    const double value = from->sign * from->buckets.counts[i];
    if (to->errors == NULL) {
        to->buckets->counts[at] += value;
        return;
    }
    struct mrd_kahan total = {to->buckets->counts[at], to->errors->counts[at]};
    total = mrd_kahan_add(total, value);
    if (from->errors != NULL && from->errors[i] != 0) {
        total = mrd_kahan_add(total, from->sign * from->errors[i]);
    }
    to->buckets->counts[at] = total.sum;
    to->errors->counts[at] = total.compensation;
}

/* How many of the summand's buckets (from `first` on) the sum does not have yet. */
static size_t count_missing(const struct mrd_float_buckets *side, const struct summand *from,
                            size_t first)
{
    size_t missing = 0;
    size_t at = 0;
    for (size_t i = first; i < from->buckets.count; i++) {
        while (at < side->count && side->indexes[at] < from->buckets.indexes[i]) {
            at++;
        }
        missing += at == side->count || side->indexes[at] != from->buckets.indexes[i];
    }
    return missing;
}

/* Makes room for the buckets that only the summand has; they come in empty, as -0 would show. */
static enum mrd_status insert_missing(const struct sum_side *to, const struct summand *from,
                                      size_t first, size_t missing, struct mrd_arena *arena,
                                      struct mrd_error *err)
{
    const struct mrd_float_buckets *old = to->buckets;
    struct mrd_bucket_list list;
    size_t at = 0;
    MRD_TRY(mrd_bucket_list_create(arena, old->count + missing, to->errors != NULL, &list, err));
    for (size_t i = first; at < old->count || i < from->buckets.count;) {
        const bool old_left = at < old->count;
        const bool new_left = i < from->buckets.count;
        if (old_left && (!new_left || old->indexes[at] <= from->buckets.indexes[i])) {
            i += new_left && old->indexes[at] == from->buckets.indexes[i];
            mrd_bucket_list_push(&list, old->indexes[at], old->counts[at],
                                 to->errors == NULL ? 0 : to->errors->counts[at]);
            at++;
        } else {
            mrd_bucket_list_push(&list, from->buckets.indexes[i], -0.0, 0);
            i++;
        }
    }
    *to->buckets = (struct mrd_float_buckets){list.indexes, list.counts, list.count};
    if (to->errors != NULL) {
        *to->errors = (struct mrd_float_buckets){list.indexes, list.compensations, list.count};
    }
    return MRD_OK;
}

/* Adds a summand to a side. What the summand has inside the zero bucket is in the zero count. */
static enum mrd_status add_side(const struct sum_side *to, const struct summand *from,
                                int32_t schema, double threshold, struct mrd_arena *arena,
                                struct mrd_error *err)
{
    size_t first = 0;
    while (first < from->buckets.count &&
           mrd_bucket_is_hidden(schema, from->buckets.indexes[first], threshold)) {
        first++;
    }
    const size_t missing = count_missing(to->buckets, from, first);
    if (missing > 0) {
        MRD_TRY(insert_missing(to, from, first, missing, arena, err));
    }
    size_t at = 0;
    for (size_t i = first; i < from->buckets.count; i++) {
        while (to->buckets->indexes[at] != from->buckets.indexes[i]) {
            at++;
        }
        add_at(to, at, from, i);
    }
    return MRD_OK;
}

/* ---- custom bounds that differ ---- */

static enum mrd_status intersect_bounds(const struct mrd_float_histogram *a,
                                        const struct mrd_float_histogram *b,
                                        struct mrd_arena *arena, double **out, size_t *out_count,
                                        struct mrd_error *err)
{
    const size_t capacity = MRD_MIN(a->custom_value_count, b->custom_value_count);
    size_t i = 0;
    size_t j = 0;
    *out_count = 0;
    *out = mrd_arena_alloc_array(arena, capacity + 1, sizeof(**out));
    if (*out == NULL) {
        return mrd_arena_fail(arena, err);
    }
    while (i < a->custom_value_count && j < b->custom_value_count) {
        if (a->custom_values[i] == b->custom_values[j]) {
            (*out)[(*out_count)++] = a->custom_values[i];
            i++;
            j++;
        } else if (a->custom_values[i] < b->custom_values[j]) {
            i++;
        } else {
            j++;
        }
    }
    return MRD_OK;
}

/* Adds buckets to those of other bounds, which are a part of their own. */
static void map_buckets(const struct mrd_float_histogram *from, const double *errors, double sign,
                        const double *bounds, size_t bound_count, struct mrd_kahan *totals)
{
    size_t at = 0;
    for (size_t i = 0; i < from->positive.count; i++) {
        const size_t source = (size_t)from->positive.indexes[i];
        size_t target = bound_count; /* +Inf */
        if (source < from->custom_value_count) {
            while (at < bound_count && bounds[at] < from->custom_values[source]) {
                at++;
            }
            target = at;
        }
        totals[target] = mrd_kahan_add(totals[target], sign * from->positive.counts[i]);
        if (errors != NULL) {
            totals[target] = mrd_kahan_add(totals[target], errors[i]);
        }
    }
}

static enum mrd_status add_reconciled(struct mrd_float_histogram *histogram,
                                      const struct mrd_float_histogram *other, double sign,
                                      struct mrd_float_histogram *compensation,
                                      struct mrd_arena *arena, struct mrd_error *err)
{
    double *bounds = NULL;
    size_t bound_count = 0;
    struct mrd_bucket_list list;
    MRD_TRY(intersect_bounds(histogram, other, arena, &bounds, &bound_count, err));
    struct mrd_kahan *totals = mrd_arena_alloc(arena, (bound_count + 1) * sizeof(*totals));
    if (totals == NULL) {
        return mrd_arena_fail(arena, err);
    }
    const double *errors = compensation == NULL ? NULL : compensation->positive.counts;
    map_buckets(histogram, errors, 1, bounds, bound_count, totals);
    map_buckets(other, NULL, sign, bounds, bound_count, totals);
    MRD_TRY(mrd_bucket_list_create(arena, bound_count + 1, true, &list, err));
    for (size_t i = 0; i <= bound_count; i++) {
        if (totals[i].sum != 0 || totals[i].compensation != 0) {
            mrd_bucket_list_push(&list, (int32_t)i, totals[i].sum, totals[i].compensation);
        }
    }
    histogram->positive = (struct mrd_float_buckets){list.indexes, list.counts, list.count};
    histogram->custom_values = bounds;
    histogram->custom_value_count = bound_count;
    if (compensation != NULL) {
        compensation->positive =
            (struct mrd_float_buckets){list.indexes, list.compensations, list.count};
        compensation->custom_values = bounds;
        compensation->custom_value_count = bound_count;
    }
    return MRD_OK;
}

/* ---- the whole ---- */

/* Gauges stay gauges; what one does not know the sum does not know. True if the two contradict. */
static bool adjust_reset(struct mrd_float_histogram *histogram,
                         const struct mrd_float_histogram *other)
{
    if (other->reset == histogram->reset || histogram->reset == MRD_HISTOGRAM_GAUGE) {
        return false;
    }
    if (other->reset == MRD_HISTOGRAM_GAUGE) {
        histogram->reset = MRD_HISTOGRAM_GAUGE;
        return false;
    }
    const bool unknown = histogram->reset == MRD_HISTOGRAM_RESET_UNKNOWN ||
                         other->reset == MRD_HISTOGRAM_RESET_UNKNOWN;
    histogram->reset = MRD_HISTOGRAM_RESET_UNKNOWN;
    return !unknown;
}

/* Adds one side of two exponential histograms whose schemas may still differ. */
static enum mrd_status add_exponential_side(struct mrd_float_histogram *histogram,
                                            const struct mrd_float_histogram *other, double sign,
                                            bool positive, struct mrd_float_histogram *compensation,
                                            struct mrd_arena *arena, struct mrd_error *err)
{
    const int32_t schema = MRD_MIN(histogram->schema, other->schema);
    const struct mrd_float_buckets *theirs = positive ? &other->positive : &other->negative;
    struct summand from = {*theirs, NULL, sign};
    struct sum_side to = {positive ? &histogram->positive : &histogram->negative, NULL};
    struct mrd_bucket_list list;
    if (compensation != NULL) {
        to.errors = positive ? &compensation->positive : &compensation->negative;
    }
    if (histogram->schema > schema) {
        MRD_TRY(mrd_buckets_reduce(to.buckets, to.errors == NULL ? NULL : to.errors->counts,
                                   histogram->schema, schema, arena, &list, err));
        *to.buckets = (struct mrd_float_buckets){list.indexes, list.counts, list.count};
        if (to.errors != NULL) {
            *to.errors = (struct mrd_float_buckets){list.indexes, list.compensations, list.count};
        }
    }
    if (other->schema > schema && theirs->count > 0) {
        double *none = NULL;
        if (compensation != NULL) {
            none = mrd_arena_alloc(arena, theirs->count * sizeof(*none));
            if (none == NULL) {
                return mrd_arena_fail(arena, err);
            }
        }
        MRD_TRY(mrd_buckets_reduce(theirs, none, other->schema, schema, arena, &list, err));
        from.buckets = (struct mrd_float_buckets){list.indexes, list.counts, list.count};
        from.errors = list.compensations;
    }
    return add_side(&to, &from, schema, histogram->zero_threshold, arena, err);
}

static enum mrd_status add_buckets(struct mrd_float_histogram *histogram,
                                   const struct mrd_float_histogram *other, double sign,
                                   struct mrd_float_histogram *compensation,
                                   struct mrd_arena *arena, struct mrd_float_histogram_outcome *out,
                                   struct mrd_error *err)
{
    if (mrd_float_histogram_is_custom(histogram)) {
        out->reconciled = !mrd_custom_bounds_equal(histogram, other);
        if (out->reconciled) {
            return add_reconciled(histogram, other, sign, compensation, arena, err);
        }
        const struct sum_side to = {&histogram->positive,
                                    compensation == NULL ? NULL : &compensation->positive};
        const struct summand from = {other->positive, NULL, sign};
        return add_side(&to, &from, histogram->schema, 0, arena, err);
    }
    MRD_TRY(add_exponential_side(histogram, other, sign, true, compensation, arena, err));
    MRD_TRY(add_exponential_side(histogram, other, sign, false, compensation, arena, err));
    histogram->schema = MRD_MIN(histogram->schema, other->schema);
    if (compensation != NULL) {
        compensation->schema = histogram->schema;
        compensation->zero_threshold = histogram->zero_threshold;
    }
    return MRD_OK;
}

static enum mrd_status combine(struct mrd_float_histogram *histogram,
                               const struct mrd_float_histogram *other, double sign,
                               struct mrd_arena *arena, struct mrd_float_histogram_outcome *out,
                               struct mrd_error *err)
{
    *out = (struct mrd_float_histogram_outcome){0};
    if (mrd_float_histogram_is_custom(histogram) != mrd_float_histogram_is_custom(other)) {
        out->incompatible = true;
        return MRD_OK;
    }
    out->collision = adjust_reset(histogram, other);
    if (!mrd_float_histogram_is_custom(histogram)) {
        struct mrd_zero_bucket zero;
        MRD_TRY(reconcile_zero(histogram, other, NULL, arena, &zero, err));
        histogram->zero_count += sign * zero.count;
    }
    histogram->count += sign * other->count;
    histogram->sum += sign * other->sum;
    return add_buckets(histogram, other, sign, NULL, arena, out, err);
}

enum mrd_status mrd_float_histogram_add(struct mrd_float_histogram *histogram,
                                        const struct mrd_float_histogram *other,
                                        struct mrd_arena *arena,
                                        struct mrd_float_histogram_outcome *out,
                                        struct mrd_error *err)
{
    return combine(histogram, other, 1, arena, out, err);
}

enum mrd_status mrd_float_histogram_subtract(struct mrd_float_histogram *histogram,
                                             const struct mrd_float_histogram *other,
                                             struct mrd_arena *arena,
                                             struct mrd_float_histogram_outcome *out,
                                             struct mrd_error *err)
{
    return combine(histogram, other, -1, arena, out, err);
}

/* ---- compensated ---- */

static enum mrd_status no_errors(struct mrd_float_buckets *side, struct mrd_arena *arena,
                                 struct mrd_error *err)
{
    if (side->count > 0) {
        side->counts = mrd_arena_alloc(arena, side->count * sizeof(*side->counts));
    }
    return side->count > 0 && side->counts == NULL ? mrd_arena_fail(arena, err) : MRD_OK;
}

static enum mrd_status compensation_create(const struct mrd_float_histogram *histogram,
                                           struct mrd_arena *arena,
                                           struct mrd_float_histogram **out, struct mrd_error *err)
{
    struct mrd_float_histogram *made = mrd_arena_alloc(arena, sizeof(*made));
    if (made == NULL) {
        return mrd_arena_fail(arena, err);
    }
    *made = *histogram;
    made->zero_count = made->count = made->sum = 0;
    MRD_TRY(no_errors(&made->positive, arena, err));
    MRD_TRY(no_errors(&made->negative, arena, err));
    *out = made;
    return MRD_OK;
}

static void add_number(double *sum, double *error, double value)
{
    const struct mrd_kahan total = mrd_kahan_add((struct mrd_kahan){*sum, *error}, value);
    *sum = total.sum;
    *error = total.compensation;
}

enum mrd_status mrd_float_histogram_add_compensated(struct mrd_float_histogram *histogram,
                                                    const struct mrd_float_histogram *other,
                                                    struct mrd_float_histogram **compensation,
                                                    struct mrd_arena *arena,
                                                    struct mrd_float_histogram_outcome *out,
                                                    struct mrd_error *err)
{
    *out = (struct mrd_float_histogram_outcome){0};
    if (mrd_float_histogram_is_custom(histogram) != mrd_float_histogram_is_custom(other)) {
        out->incompatible = true;
        return MRD_OK;
    }
    out->collision = adjust_reset(histogram, other);
    if (*compensation == NULL) {
        MRD_TRY(compensation_create(histogram, arena, compensation, err));
    }
    struct mrd_float_histogram *errors = *compensation;
    if (!mrd_float_histogram_is_custom(histogram)) {
        struct mrd_zero_bucket zero;
        MRD_TRY(reconcile_zero(histogram, other, errors, arena, &zero, err));
        add_number(&histogram->zero_count, &errors->zero_count, zero.count);
        add_number(&histogram->zero_count, &errors->zero_count, zero.compensation);
    }
    add_number(&histogram->count, &errors->count, other->count);
    add_number(&histogram->sum, &errors->sum, other->sum);
    return add_buckets(histogram, other, 1, errors, arena, out, err);
}

/* ---- counter resets ---- */

/* True if a populated bucket of `before` is missing or greater than that of `now`. Both have the same
 * schema; buckets inside the zero bucket are not looked at. */
static bool side_was_reset(const struct mrd_float_buckets *now, int32_t schema,
                           const struct mrd_float_buckets *before, double threshold)
{
    size_t at = 0;
    for (size_t i = 0; i < before->count; i++) {
        const int32_t index = before->indexes[i];
        if (mrd_bucket_is_hidden(schema, index, threshold)) {
            continue;
        }
        while (at < now->count && now->indexes[at] < index) {
            at++;
        }
        const bool missing = at == now->count || now->indexes[at] != index;
        if (missing ? before->counts[i] != 0 : now->counts[at] < before->counts[i]) {
            return true;
        }
    }
    return false;
}

/* Custom bounds that differ: what lies between the bounds of both must not shrink. */
static enum mrd_status custom_was_reset(const struct mrd_float_histogram *histogram,
                                        const struct mrd_float_histogram *before,
                                        struct mrd_arena *arena, bool *out, struct mrd_error *err)
{
    double *bounds = NULL;
    size_t count = 0;
    MRD_TRY(intersect_bounds(histogram, before, arena, &bounds, &count, err));
    size_t now_at = 0;
    size_t before_at = 0;
    *out = false;
    for (size_t i = 0; i <= count && !*out; i++) {
        double now_sum = 0;
        double before_sum = 0;
        for (; now_at < histogram->positive.count; now_at++) {
            const size_t index = (size_t)histogram->positive.indexes[now_at];
            if (i < count && (index >= histogram->custom_value_count ||
                              histogram->custom_values[index] > bounds[i])) {
                break;
            }
            now_sum += histogram->positive.counts[now_at];
        }
        for (; before_at < before->positive.count; before_at++) {
            const size_t index = (size_t)before->positive.indexes[before_at];
            if (i < count &&
                (index >= before->custom_value_count || before->custom_values[index] > bounds[i])) {
                break;
            }
            before_sum += before->positive.counts[before_at];
        }
        *out = now_sum < before_sum;
    }
    return MRD_OK;
}

static enum mrd_status sides_were_reset(const struct mrd_float_histogram *histogram,
                                        const struct mrd_float_histogram *before,
                                        struct mrd_arena *arena, bool *out, struct mrd_error *err)
{
    for (int positive = 1; positive >= 0 && !*out; positive--) {
        const struct mrd_float_buckets *now =
            positive ? &histogram->positive : &histogram->negative;
        struct mrd_float_buckets then = positive ? before->positive : before->negative;
        if (before->schema > histogram->schema) {
            struct mrd_bucket_list list;
            MRD_TRY(mrd_buckets_reduce(&then, NULL, before->schema, histogram->schema, arena, &list,
                                       err));
            then = (struct mrd_float_buckets){list.indexes, list.counts, list.count};
        }
        *out = side_was_reset(now, histogram->schema, &then, histogram->zero_threshold);
    }
    return MRD_OK;
}

enum mrd_status mrd_float_histogram_was_reset(const struct mrd_float_histogram *histogram,
                                              const struct mrd_float_histogram *before,
                                              struct mrd_arena *arena, bool *out,
                                              struct mrd_error *err)
{
    if (histogram->reset == MRD_HISTOGRAM_RESET || histogram->reset == MRD_HISTOGRAM_NO_RESET) {
        *out = histogram->reset == MRD_HISTOGRAM_RESET;
        return MRD_OK;
    }
    const bool custom = mrd_float_histogram_is_custom(histogram);
    *out = true;
    if (histogram->count < before->count || histogram->schema > before->schema ||
        custom != mrd_float_histogram_is_custom(before)) {
        return MRD_OK;
    }
    if (custom && !mrd_custom_bounds_equal(histogram, before)) {
        return custom_was_reset(histogram, before, arena, out, err);
    }
    if (histogram->zero_threshold < before->zero_threshold) {
        return MRD_OK;
    }
    const struct mrd_zero_bucket zero =
        mrd_widen_zero_bucket(before, NULL, histogram->zero_threshold);
    if (zero.threshold != histogram->zero_threshold || histogram->zero_count < zero.count) {
        return MRD_OK;
    }
    *out = false;
    return sides_were_reset(histogram, before, arena, out, err);
}
