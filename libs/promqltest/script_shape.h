/* script_shape.h: a native histogram as answers of the query API show it: count, sum and the buckets that are not empty,
 * with their bounds. How it is laid out, and its reset hint, cannot be told from that.
 *
 * The shape takes the place of the histogram in a result: custom_values are lower and upper bounds in turns, the
 * indexes say which of them belong to the bucket (as the API does: 0 the upper one, 1 the lower one, 2 none, 3 both).
 * What a script expects is brought into it by code that shares nothing with the product's: a mistake in the product's
 * bounds, or in how it writes them, shows as a difference.
 */
#ifndef MRD_PROMQLTEST_SCRIPT_SHAPE_H
#define MRD_PROMQLTEST_SCRIPT_SHAPE_H

#include "model/float_histogram.h"

enum script_bounds {
    SCRIPT_BOUNDS_UPPER = 0,
    SCRIPT_BOUNDS_LOWER = 1,
    SCRIPT_BOUNDS_NONE = 2,
    SCRIPT_BOUNDS_BOTH = 3,
};

struct script_bucket {
    enum script_bounds rule;
    double lower;
    double upper;
    double count;
};

/* One without buckets, with room for so many. */
struct mrd_float_histogram *script_shape_create(struct mrd_arena *arena, size_t bucket_max);
void script_shape_add(struct mrd_float_histogram *shape, struct script_bucket bucket);

/* How an answer would show the histogram. */
const struct mrd_float_histogram *script_shape_of(const struct mrd_float_histogram *histogram,
                                                  struct mrd_arena *arena);

/* Numbers as script_numbers_agree compares them, bounds and rules exactly but for rounding. compare_hint is not
 * looked at: there is none. */
bool script_shapes_agree(const struct mrd_float_histogram *want,
                         const struct mrd_float_histogram *got, bool compare_hint);

#endif
