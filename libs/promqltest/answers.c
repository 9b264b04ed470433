#include "promqltest/answers.h"

#include <math.h>
#include <stdlib.h>

static bool same_bits(double a, double b) { return memcmp(&a, &b, sizeof(a)) == 0; }

static const char *compare_histograms(const struct mrd_promql_series *a,
                                      const struct mrd_promql_series *b, size_t i)
{
    const struct mrd_float_histogram *x = a->histograms == NULL ? NULL : a->histograms[i];
    const struct mrd_float_histogram *y = b->histograms == NULL ? NULL : b->histograms[i];
    if ((x == NULL) != (y == NULL)) {
        return "a histogram and a float";
    }
    if (x == NULL) {
        return same_bits(a->values[i], b->values[i]) ? NULL : "values";
    }
    if (x->reset != y->reset) {
        return "counter reset hints";
    }
    return mrd_float_histogram_equal(x, y) ? NULL : "histograms";
}

static const char *compare_series(const struct mrd_promql_series *a,
                                  const struct mrd_promql_series *b)
{
    if (!mrd_labels_equal(a->labels, b->labels)) {
        return "labels";
    }
    if (a->count != b->count) {
        return "numbers of points";
    }
    for (size_t i = 0; i < a->count; i++) {
        const char *what = a->times_ms[i] != b->times_ms[i] ? "times" : compare_histograms(a, b, i);
        if (what != NULL) {
            return what;
        }
    }
    return NULL;
}

static const char *compare_annotations(const struct mrd_annotations *a,
                                       const struct mrd_annotations *b)
{
    for (int kind = 0; kind < MRD_ANNOTATION_KINDS; kind++) {
        const struct mrd_annotation *x = a->first[kind];
        const struct mrd_annotation *y = b->first[kind];
        for (; x != NULL && y != NULL; x = x->next, y = y->next) {
            if (!mrd_bytes_equal(x->text, y->text)) {
                return "texts of annotations";
            }
        }
        if (x != NULL || y != NULL) {
            return "numbers of annotations";
        }
    }
    return NULL;
}

const char *mrd_answers_compare(const struct mrd_answer *a, const struct mrd_answer *b)
{
    if (a->status != b->status || strcmp(a->err.text, b->err.text) != 0) {
        return "errors";
    }
    if (a->result.execution_error != b->result.execution_error) {
        return "kinds of error";
    }
    if (a->status != MRD_OK) {
        return NULL;
    }
    if (a->result.type != b->result.type || a->result.series_count != b->result.series_count) {
        return "numbers of series";
    }
    for (size_t i = 0; i < a->result.series_count; i++) {
        const char *what = compare_series(&a->result.series[i], &b->result.series[i]);
        if (what != NULL) {
            return what;
        }
    }
    if (memcmp(&a->result.stats, &b->result.stats, sizeof(a->result.stats)) != 0) {
        return "statistics";
    }
    return compare_annotations(&a->result.annotations, &b->result.annotations);
}

/* ---- answers that were summed up in another order ---- */

static int by_labels(const void *a, const void *b)
{
    return mrd_labels_compare(((const struct mrd_promql_series *)a)->labels,
                              ((const struct mrd_promql_series *)b)->labels);
}

/* Series come in another order, and sums are made in another one. */
static double near_of(double value, double other)
{
    const bool near = isfinite(value) && isfinite(other) &&
                      fabs(value - other) <= 1e-9 * fmax(fabs(value), fabs(other)) + 1e-12;
    return near || (isnan(value) && isnan(other) && !mrd_is_stale(value)) ? other : value;
}

static void bring_side_near(const struct mrd_float_buckets *to,
                            const struct mrd_float_buckets *from)
{
    for (size_t i = 0; i < MRD_MIN(to->count, from->count); i++) {
        ((double *)(uintptr_t)to->counts)[i] = near_of(to->counts[i], from->counts[i]);
    }
}

static void bring_histogram_near(struct mrd_float_histogram *to,
                                 const struct mrd_float_histogram *from)
{
    to->sum = near_of(to->sum, from->sum);
    to->count = near_of(to->count, from->count);
    to->zero_count = near_of(to->zero_count, from->zero_count);
    bring_side_near(&to->positive, &from->positive);
    bring_side_near(&to->negative, &from->negative);
}

void mrd_answers_bring_near(struct mrd_answer *to, struct mrd_answer *from)
{
    if (to->status != MRD_OK || from->status != MRD_OK) {
        return;
    }
    struct mrd_answer *both[] = {to, from};
    for (size_t k = 0; k < 2; k++) {
        if (both[k]->result.series_count > 1) {
            qsort((void *)(uintptr_t)both[k]->result.series, both[k]->result.series_count,
                  sizeof(struct mrd_promql_series), by_labels);
        }
    }
    for (size_t i = 0; i < MRD_MIN(to->result.series_count, from->result.series_count); i++) {
        const struct mrd_promql_series *a = &to->result.series[i];
        const struct mrd_promql_series *b = &from->result.series[i];
        for (size_t p = 0; p < MRD_MIN(a->count, b->count); p++) {
            if (a->histograms == NULL && b->histograms == NULL) {
                ((double *)(uintptr_t)a->values)[p] = near_of(a->values[p], b->values[p]);
            } else if (a->histograms != NULL && b->histograms != NULL && a->histograms[p] != NULL &&
                       b->histograms[p] != NULL) {
                bring_histogram_near((struct mrd_float_histogram *)(uintptr_t)a->histograms[p],
                                     b->histograms[p]);
            }
        }
    }
}
