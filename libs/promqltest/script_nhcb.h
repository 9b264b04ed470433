/* script_nhcb.h: load_with_nhcb: the classic histograms of a load as native ones with custom bounds.
 *
 * Series <name>_bucket, <name>_sum and <name>_count that differ in nothing else are one histogram
 * <name>: bounds from `le`, counts from the differences of the cumulative ones.
 */
#ifndef MRD_PROMQLTEST_SCRIPT_NHCB_H
#define MRD_PROMQLTEST_SCRIPT_NHCB_H

#include "promqltest/script_target.h"

struct script_nhcb_group;

struct script_nhcb {
    struct mrd_arena *arena;
    struct script_nhcb_group *groups;
};

/* Takes in one series of the load; those that belong to no classic histogram are passed over. */
MRD_MUST_CHECK enum mrd_status script_nhcb_add(struct script_nhcb *nhcb, struct mrd_labels labels,
                                               const struct script_value *values, size_t count,
                                               struct mrd_error *err);

/* Puts the histograms into the target; MRD_E_INVALID for counts that are not cumulative. */
MRD_MUST_CHECK enum mrd_status script_nhcb_load(const struct script_nhcb *nhcb,
                                                struct script_target *target, mrd_time_ms step_ms,
                                                struct mrd_error *err);

#endif
