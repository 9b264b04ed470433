/* script_histogram.h: native histograms in test scripts.
 *
 *   {{schema:1 sum:5 count:4 z_bucket:1 z_bucket_w:0.001 buckets:[1 2] offset:-1 n_buckets:[1]
 *     n_offset:2 custom_values:[1 5] counter_reset_hint:gauge}}
 *
 * Fields in any order, all optional; buckets are consecutive from their offset on, absolute counts;
 * counter_reset_hint is unknown, reset, not_reset or gauge. The count is not derived from anything.
 */
#ifndef MRD_PROMQLTEST_SCRIPT_HISTOGRAM_H
#define MRD_PROMQLTEST_SCRIPT_HISTOGRAM_H

#include "model/float_histogram.h"

/* Takes a literal off the front of *text; *out_hint_set tells whether it names a counter reset hint. */
MRD_MUST_CHECK enum mrd_status script_take_histogram(struct mrd_bytes *text,
                                                     struct mrd_arena *arena,
                                                     struct mrd_float_histogram **out,
                                                     bool *out_hint_set, struct mrd_error *err);

/* As numbers are compared, layouts without empty buckets; the hint only if it is asked for. */
bool script_histograms_agree(const struct mrd_float_histogram *want,
                             const struct mrd_float_histogram *got, bool compare_hint);

bool script_numbers_agree(double want, double got);

/* A literal that reads back to the same histogram. */
void script_format_histogram(const struct mrd_float_histogram *histogram, struct mrd_buf *out);

#endif
