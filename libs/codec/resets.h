/* resets.h: what can be said of counter resets once histograms are in order.
 *
 * Prometheus' storage notes it when it appends; here appends come in any order, so it is found out when a series is read.
 */
#ifndef MRD_CODEC_RESETS_H
#define MRD_CODEC_RESETS_H

#include "base/arena.h"
#include "model/histogram.h"

/* items[first..count) are marked MRD_HISTOGRAM_NO_RESET where the one before has nothing that is greater, else as unknown; gauges
 * stay gauges. What their sender said of resets is not looked at: it was said of the histogram that the sender had before, which
 * need not be the one that is stored before, and a wrong word would be believed. items[0] has none before it, and a staleness
 * marker is none. `arena` is for pairs of different layouts; should it have no room left, these are unknown. Cost: a
 * comparison per bucket. */
void mrd_histograms_mark_resets(struct mrd_histogram *items, size_t first, size_t count,
                                struct mrd_arena *arena);

#endif
