#include "promql/histogram_total.h"

static enum mrd_status add_to(struct pql_histogram_total *total, struct mrd_float_histogram *value,
                              const struct mrd_float_histogram *histogram,
                              struct mrd_float_histogram **compensation, struct mrd_error *err)
{
    struct mrd_float_histogram_outcome outcome;
    MRD_TRY(mrd_float_histogram_add_compensated(value, histogram, compensation, total->arena,
                                                &outcome, err));
    total->incompatible |= outcome.incompatible;
    total->reconciled |= outcome.reconciled;
    return MRD_OK;
}

/* Adds a sum: its value, then its compensation (NULL if it has none), which says nothing about resets or
 * bounds that the value did not. */
static enum mrd_status add_sum(struct pql_histogram_total *total, struct mrd_float_histogram *value,
                               const struct mrd_float_histogram *histogram,
                               const struct mrd_float_histogram *errors,
                               struct mrd_float_histogram **compensation, struct mrd_error *err)
{
    struct mrd_float_histogram_outcome outcome;
    MRD_TRY(add_to(total, value, histogram, compensation, err));
    if (errors == NULL || total->incompatible) {
        return MRD_OK;
    }
    struct mrd_float_histogram same = *errors;
    same.reset = value->reset;
    return mrd_float_histogram_add_compensated(value, &same, compensation, total->arena, &outcome,
                                               err);
}

/* Tries the plain sum on copies. *out_done is false if it would overflow; the total is as it was then. */
static enum mrd_status try_sum(struct pql_histogram_total *total,
                               const struct mrd_float_histogram *histogram,
                               const struct mrd_float_histogram *later_errors, bool *out_done,
                               struct mrd_error *err)
{
    struct mrd_float_histogram *errors = NULL;
    MRD_TRY(mrd_float_histogram_assign(&total->spare, total->value, total->arena, err));
    if (total->compensation != NULL) {
        MRD_TRY(mrd_float_histogram_assign(&total->spare_compensation, total->compensation,
                                           total->arena, err));
        errors = total->spare_compensation;
    }
    MRD_TRY(add_sum(total, total->spare, histogram, later_errors, &errors, err));
    *out_done = total->incompatible || !mrd_float_histogram_has_infinity(total->spare);
    if (*out_done && !total->incompatible) {
        struct mrd_float_histogram *before = total->value;
        total->value = total->spare;
        total->spare = before;
        total->spare_compensation = total->compensation;
        total->compensation = errors;
    }
    return MRD_OK;
}

/* A sum over `count` histograms becomes their mean. */
static void make_mean(struct pql_histogram_total *total, double count)
{
    if (total->incremental) {
        return;
    }
    total->incremental = true;
    mrd_float_histogram_divide(total->value, count);
    if (total->compensation != NULL) {
        mrd_float_histogram_divide(total->compensation, count);
    }
}

static void scale(struct pql_histogram_total *total, double factor)
{
    mrd_float_histogram_multiply(total->value, factor);
    if (total->compensation != NULL) {
        mrd_float_histogram_multiply(total->compensation, factor);
    }
}

static enum mrd_status add_to_mean(struct pql_histogram_total *total,
                                   const struct mrd_float_histogram *histogram,
                                   struct mrd_error *err)
{
    const double keep = (total->count - 1) / total->count;
    if (total->compensation != NULL) {
        mrd_float_histogram_multiply(total->compensation, keep);
    }
    MRD_TRY(mrd_float_histogram_assign(&total->spare, histogram, total->arena, err));
    mrd_float_histogram_divide(total->spare, total->count);
    mrd_float_histogram_multiply(total->value, keep);
    return add_to(total, total->value, total->spare, &total->compensation, err);
}

enum mrd_status pql_histogram_total_add(struct pql_histogram_total *total,
                                        const struct mrd_float_histogram *histogram,
                                        struct mrd_error *err)
{
    bool done = false;
    total->count++;
    if (total->value == NULL) {
        return mrd_float_histogram_clone(histogram, total->arena, &total->value, err);
    }
    if (!total->mean) {
        return add_to(total, total->value, histogram, &total->compensation, err);
    }
    if (!total->incremental) {
        MRD_TRY(try_sum(total, histogram, NULL, &done, err));
        if (done) {
            return MRD_OK;
        }
        make_mean(total, total->count - 1);
    }
    return add_to_mean(total, histogram, err);
}

enum mrd_status pql_histogram_total_merge(struct pql_histogram_total *total,
                                          struct pql_histogram_total *later, struct mrd_error *err)
{
    const double before = total->count;
    bool done = false;
    total->count += later->count;
    if (!total->mean) {
        return add_sum(total, total->value, later->value, later->compensation, &total->compensation,
                       err);
    }
    if (!total->incremental && !later->incremental) {
        MRD_TRY(try_sum(total, later->value, later->compensation, &done, err));
        if (done) {
            return MRD_OK;
        }
    }
    make_mean(total, before);
    make_mean(later, later->count);
    scale(total, before / total->count);
    scale(later, later->count / total->count);
    return add_sum(total, total->value, later->value, later->compensation, &total->compensation,
                   err);
}

enum mrd_status pql_histogram_total_finish(struct pql_histogram_total *total,
                                           struct mrd_float_histogram **out, struct mrd_error *err)
{
    struct mrd_float_histogram_outcome outcome;
    if (total->mean && !total->incremental) {
        mrd_float_histogram_divide(total->value, total->count);
        if (total->compensation != NULL) {
            mrd_float_histogram_divide(total->compensation, total->count);
        }
    }
    *out = total->value;
    return total->compensation == NULL ? MRD_OK
                                       : mrd_float_histogram_add(total->value, total->compensation,
                                                                 total->arena, &outcome, err);
}
