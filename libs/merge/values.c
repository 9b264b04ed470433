#include "merge/merge_internal.h"

#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

static int compare_bits(double a, double b)
{
    const uint64_t x = mrd_double_bits(a);
    const uint64_t y = mrd_double_bits(b);
    return COMPARE(x, y);
}

/* Counts of both kinds have the same size; their bits will do. */
static int compare_sides(const struct mrd_histogram_side *a, const struct mrd_histogram_side *b)
{
    int order = COMPARE(a->span_count, b->span_count);
    for (size_t i = 0; order == 0 && i < a->span_count; i++) {
        order = COMPARE(a->spans[i].offset, b->spans[i].offset);
        order = order != 0 ? order : COMPARE(a->spans[i].length, b->spans[i].length);
    }
    order = order != 0 ? order : COMPARE(a->bucket_count, b->bucket_count);
    for (size_t i = 0; order == 0 && i < a->bucket_count; i++) {
        order = COMPARE(a->buckets[i].integer, b->buckets[i].integer);
    }
    return order;
}

static int compare_bounds(const struct mrd_histogram *a, const struct mrd_histogram *b)
{
    int order = COMPARE(a->custom_value_count, b->custom_value_count);
    for (size_t i = 0; order == 0 && i < a->custom_value_count; i++) {
        order = compare_bits(a->custom_values[i], b->custom_values[i]);
    }
    return order;
}

static int compare_histograms(const struct mrd_histogram *a, const struct mrd_histogram *b)
{
    int order = compare_bits(a->sum, b->sum);
    if (order != 0 || mrd_histogram_is_stale(a)) {
        return order; /* a marker's other fields mean nothing */
    }
    order = COMPARE(a->count.integer, b->count.integer);
    order = order != 0 ? order : COMPARE(a->is_float, b->is_float);
    order = order != 0 ? order : COMPARE(a->schema, b->schema);
    order = order != 0 ? order : compare_bits(a->zero_threshold, b->zero_threshold);
    order = order != 0 ? order : COMPARE(a->zero_count.integer, b->zero_count.integer);
    order = order != 0 ? order : compare_sides(&a->positive, &b->positive);
    order = order != 0 ? order : compare_sides(&a->negative, &b->negative);
    order = order != 0 ? order : compare_bounds(a, b);
    return order != 0 ? order : COMPARE(a->reset, b->reset);
}

int mrd_merge_compare_content(const struct mrd_merge_row *a, const struct mrd_merge_row *b)
{
    int order = COMPARE(a->histogram != NULL, b->histogram != NULL);
    if (order == 0) {
        order = a->histogram == NULL ? compare_bits(a->value, b->value)
                                     : compare_histograms(a->histogram, b->histogram);
    }
    return order != 0 ? order : COMPARE(a->start_ms, b->start_ms);
}

int mrd_merge_compare(const struct mrd_merge_row *a, const struct mrd_merge_row *b)
{
    const int order = COMPARE(a->hlc, b->hlc);
    return order != 0 ? order : mrd_merge_compare_content(a, b);
}
