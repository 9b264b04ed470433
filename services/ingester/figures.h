/* figures.h: what /metrics shows of the partitions. Filled by the owner's thread only. */
#ifndef ING_FIGURES_H
#define ING_FIGURES_H

#include "base/metrics.h"
#include "ingester/partition.h"

enum { ING_COUNTERS = 25 };

struct ing_figures {
    struct mrd_metrics *metrics;
    struct mrd_counter *counters[ING_COUNTERS];
    struct mrd_gauge *memory[MRD_HEAD_MEMORY_COUNT];
    struct mrd_gauge *memory_references;
    struct mrd_gauge *memory_total;
    struct mrd_gauge *memory_limit;
    struct mrd_gauge *series;
    struct mrd_gauge *tenants;
    struct mrd_gauge *samples;
    struct mrd_gauge *histograms;
    struct mrd_gauge *exemplars;
    struct mrd_gauge *families;
    struct mrd_gauge *memory_exemplars;
    struct mrd_gauge *memory_families;
    struct mrd_gauge *contested;
    struct mrd_counter *missing_sequences;
    struct mrd_counter *rewinds;
};

/* Of one partition; zero-initialise. */
struct ing_partition_figures {
    uint64_t published[ING_COUNTERS]; /* of this opening, already in the counters */
    uint64_t published_missing;
    uint64_t published_rewinds;
    struct mrd_gauge *state; /* 0 closed, 1 loading, 2 serving, 3 retiring */
    struct mrd_gauge *lag;
    struct mrd_gauge *applied;
    struct mrd_gauge *over_budget;
};

/* Sums of one look over all partitions. */
struct ing_totals {
    uint64_t memory[MRD_HEAD_MEMORY_COUNT];
    uint64_t memory_references;
    uint64_t memory_total;
    uint64_t series;
    uint64_t tenants;
    uint64_t samples;
    uint64_t histograms;
    uint64_t exemplars;
    uint64_t families;
    uint64_t memory_exemplars;
    uint64_t memory_families;
    uint64_t contested;
};

void ing_figures_init(struct ing_figures *figures, struct mrd_metrics *metrics);

/* Adds what is new of the partition to the counters and its present state to *totals. */
void ing_figures_take(struct ing_figures *figures, struct ing_partition_figures *own,
                      struct ing_partition *partition, int state, struct ing_totals *totals);

/* The partition was closed: its gauges go to 0. */
void ing_figures_closed(struct ing_partition_figures *own);

void ing_figures_publish(struct ing_figures *figures, const struct ing_totals *totals,
                         size_t memory_limit);

#endif
