/* resets.h: what can be said of counter resets once histograms are in order.
 *
 * Prometheus' storage notes it when it appends; here appends come in any order, so it is found out when a series is read.
 */
#ifndef MRD_CODEC_RESETS_H
#define MRD_CODEC_RESETS_H

#include "base/arena.h"
#include "model/histogram.h"

/* items[first..count) are marked MRD_HISTOGRAM_NO_RESET where nothing was known and the one before has nothing that is
 * greater. items[0] has none before it, and a staleness marker is none. `arena` is for pairs of different layouts; should it have no
 * room left, these stay unknown. Cost: a comparison per bucket. */
void mrd_histograms_mark_no_resets(struct mrd_histogram *items, size_t first, size_t count,
                                   struct mrd_arena *arena);

#endif
