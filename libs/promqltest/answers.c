#include "promqltest/answers.h"

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
