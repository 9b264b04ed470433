/* resets.h: what can be said of counter resets once histograms are in order.
 *
 * What senders say is not believed, but that a histogram is a gauge: it was said of the histogram that the sender had before, which
 * need not be the one that is stored before. Prometheus' storage looks itself, too, when it appends; here appends come in
 * any order, so it is found out when a series is read.
 */
#ifndef MRD_CODEC_RESETS_H
#define MRD_CODEC_RESETS_H

#include "base/arena.h"
#include "model/histogram.h"

/* Of items[first..count), those that are no gauges: MRD_HISTOGRAM_NO_RESET where the one before has nothing that is greater, else
 * unknown. items[0] has none before it, and a staleness marker or a gauge is none. `arena` is for pairs of different
 * layouts; should it have no room left, these stay unknown. Cost: a comparison per bucket. */
void mrd_histograms_find_resets(struct mrd_histogram *items, size_t first, size_t count,
                                struct mrd_arena *arena);

#endif
