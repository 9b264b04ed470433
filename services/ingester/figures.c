#include "ingester/figures.h"

#include <inttypes.h>
#include <stdio.h>

static const struct {
    size_t offset; /* in struct ing_store_figures */
    const char *name;
    const char *help;
} counters[ING_COUNTERS] = {
#define COUNTER(field, name_, help_)                                                               \
    {                                                                                              \
        offsetof(struct ing_store_figures, field), "meridian_ingester_" name_ "_total", help_      \
    }
    COUNTER(batches, "batches", "Batches of the log applied."),
    COUNTER(samples, "samples", "Samples taken into the heads, native histograms included."),
    COUNTER(histograms, "histograms", "Native histograms taken into the heads."),
    COUNTER(exemplars, "exemplars", "Exemplars taken."),
    COUNTER(exemplars_duplicate, "exemplars_duplicate",
            "Exemplars that were their series' newest already."),
    COUNTER(exemplars_out_of_order, "exemplars_out_of_order",
            "Exemplars left out, being older than their series' newest."),
    COUNTER(exemplars_refused, "exemplars_refused",
            "Exemplars left out because none are kept (ingester.exemplars_max), or too large."),
    COUNTER(families_refused, "metadata_refused",
            "Metadata left out for the bound of its tenant (ingester.metadata_max)."),
    COUNTER(out_of_order, "samples_out_of_order",
            "Samples taken elsewhere than at their series' end."),
    COUNTER(duplicate_samples, "samples_duplicate", "Samples that were there already, or lost."),
    COUNTER(refused_samples, "samples_refused", "Samples with impossible times."),
    COUNTER(samples_dropped, "samples_forgotten",
            "Samples that left the heads after the log had forgotten them or was trimmed of them."),
    COUNTER(batches_duplicate, "batches_duplicate", "Batches that had been applied before."),
    COUNTER(erasures, "erasures", "Requests to erase samples that were applied."),
    COUNTER(samples_erased, "samples_erased",
            "Samples and exemplars that such requests took away."),
    COUNTER(
        batches_left_out, "batches_left_out",
        "Batches that came so late that requests to erase may have them which are not known any "
        "more: blocks have what is left of them."),
    COUNTER(batches_late, "batches_late", "Batches that came after a later one of their writer."),
    COUNTER(batches_missing, "batches_missing",
            "Batches that never came: acknowledged data may be lost."),
    COUNTER(batches_quarantined, "batches_quarantined",
            "Unreadable batches that were left out: data is lost here."),
    COUNTER(rows_unresolved, "rows_unresolved",
            "Rows whose series was never announced: data is lost here."),
    COUNTER(rows_before_window, "rows_before_window",
            "Rows older than what this ingester keeps, without their announcement."),
    COUNTER(announcements_refused, "announcements_refused",
            "Announcements with labels that are not well formed: data is lost here."),
    COUNTER(contested_found, "samples_contested",
            "Conflicting writes of which the later one must be found in the log."),
    COUNTER(contested_settled, "samples_contested_settled", "Contested samples that were settled."),
    COUNTER(contested_dropped, "samples_contested_dropped",
            "Contested samples beyond the bound: they keep the value that came first."),
};

void ing_figures_init(struct ing_figures *figures, struct mrd_metrics *metrics)
{
    figures->metrics = metrics;
    for (size_t i = 0; i < ING_COUNTERS; i++) {
        figures->counters[i] =
            mrd_metrics_counter(metrics, counters[i].name, counters[i].help, MRD_NO_LABELS);
    }
    static const char memory_name[] = "meridian_ingester_memory_bytes";
    static const char memory_help[] = "Memory of the heads, by what it holds.";
    for (size_t i = 0; i < MRD_HEAD_MEMORY_COUNT; i++) {
        const char *category = mrd_head_memory_name((enum mrd_head_memory)i);
        figures->memory[i] = mrd_metrics_gauge(metrics, memory_name, memory_help,
                                               MRD_LABELS({"category", category}));
    }
    figures->memory_references = mrd_metrics_gauge(metrics, memory_name, memory_help,
                                                   MRD_LABELS({"category", "references"}));
    figures->memory_total =
        mrd_metrics_gauge(metrics, "meridian_ingester_memory_total_bytes",
                          "Memory of the heads, free blocks included.", MRD_NO_LABELS);
    figures->memory_limit = mrd_metrics_gauge(metrics, "meridian_ingester_memory_limit_bytes",
                                              "Budget of the heads.", MRD_NO_LABELS);
    figures->series = mrd_metrics_gauge(metrics, "meridian_ingester_series", "Series in the heads.",
                                        MRD_NO_LABELS);
    figures->tenants =
        mrd_metrics_gauge(metrics, "meridian_ingester_tenants",
                          "Tenants in the heads, summed over the partitions.", MRD_NO_LABELS);
    figures->samples = mrd_metrics_gauge(metrics, "meridian_ingester_samples_stored",
                                         "Samples in the heads now.", MRD_NO_LABELS);
    figures->histograms = mrd_metrics_gauge(metrics, "meridian_ingester_histograms_stored",
                                            "Native histograms in the heads now.", MRD_NO_LABELS);
    figures->exemplars = mrd_metrics_gauge(metrics, "meridian_ingester_exemplars_stored",
                                           "Exemplars kept now.", MRD_NO_LABELS);
    figures->families = mrd_metrics_gauge(
        metrics, "meridian_ingester_metadata_stored",
        "Metric families with metadata kept now, summed over the partitions.", MRD_NO_LABELS);
    figures->memory_exemplars =
        mrd_metrics_gauge(metrics, memory_name, memory_help, MRD_LABELS({"category", "exemplars"}));
    figures->memory_families =
        mrd_metrics_gauge(metrics, memory_name, memory_help, MRD_LABELS({"category", "metadata"}));
    figures->contested =
        mrd_metrics_gauge(metrics, "meridian_ingester_samples_contested_waiting",
                          "Contested samples that are not settled yet.", MRD_NO_LABELS);
    figures->missing_sequences = mrd_metrics_counter(
        metrics, "meridian_ingester_log_entries_missing_total",
        "Entries that the log no longer had when they were due.", MRD_NO_LABELS);
    figures->rewinds =
        mrd_metrics_counter(metrics, "meridian_ingester_log_rewinds_total",
                            "Times that the log was found to have gone backwards.", MRD_NO_LABELS);
}

static void register_partition(const struct ing_figures *figures, struct ing_partition_figures *own,
                               uint32_t partition)
{
    char number[16];
    snprintf(number, sizeof(number), "%" PRIu32, partition);
    const struct mrd_metric_label labels[] = {
        {"partition", number},
        {NULL,        NULL  }
    };
    own->state = mrd_metrics_gauge(figures->metrics, "meridian_ingester_partition_state",
                                   "0 closed, 1 loading, 2 serving, 3 retiring.", labels);
    own->lag = mrd_metrics_gauge(figures->metrics, "meridian_ingester_partition_lag_entries",
                                 "Entries of the log that are known and not applied.", labels);
    own->applied =
        mrd_metrics_gauge(figures->metrics, "meridian_ingester_partition_applied_sequence",
                          "Last entry of the log that was applied.", labels);
    own->over_budget = mrd_metrics_gauge(
        figures->metrics, "meridian_ingester_partition_over_budget",
        "1 while the partition does not apply its log for want of memory.", labels);
}

static uint64_t read_figure(const struct ing_store_figures *from, size_t offset)
{
    const _Atomic uint64_t *figure = (const _Atomic uint64_t *)((const char *)from + offset);
    return atomic_load_explicit(figure, memory_order_relaxed);
}

static void count_new(struct mrd_counter *counter, uint64_t now, uint64_t *published)
{
    mrd_counter_add(counter, now - *published);
    *published = now;
}

void ing_figures_take(struct ing_figures *figures, struct ing_partition_figures *own,
                      struct ing_partition *partition, int state, struct ing_totals *totals)
{
    if (own->state == NULL) {
        register_partition(figures, own, ing_partition_number(partition));
    }
    const struct ing_store_figures *from = ing_partition_figures(partition);
    for (size_t i = 0; i < ING_COUNTERS; i++) {
        count_new(figures->counters[i], read_figure(from, counters[i].offset), &own->published[i]);
    }
    struct ing_partition_progress progress;
    ing_partition_progress(partition, &progress);
    count_new(figures->missing_sequences, progress.sequences_missing, &own->published_missing);
    count_new(figures->rewinds, progress.rewinds, &own->published_rewinds);
    mrd_gauge_set(own->state, state);
    mrd_gauge_set(own->lag, (int64_t)progress.lag);
    mrd_gauge_set(own->applied, (int64_t)progress.applied);
    mrd_gauge_set(own->over_budget, progress.over_budget ? 1 : 0);
    for (size_t i = 0; i < MRD_HEAD_MEMORY_COUNT; i++) {
        totals->memory[i] += atomic_load_explicit(&from->memory[i], memory_order_relaxed);
    }
    totals->memory_references +=
        atomic_load_explicit(&from->memory_references, memory_order_relaxed);
    totals->memory_total += atomic_load_explicit(&from->memory_total, memory_order_relaxed);
    totals->series += atomic_load_explicit(&from->series, memory_order_relaxed);
    totals->tenants += atomic_load_explicit(&from->tenants, memory_order_relaxed);
    totals->samples += atomic_load_explicit(&from->samples_stored, memory_order_relaxed);
    totals->histograms += atomic_load_explicit(&from->histograms_stored, memory_order_relaxed);
    totals->exemplars += atomic_load_explicit(&from->exemplars_stored, memory_order_relaxed);
    totals->families += atomic_load_explicit(&from->families_stored, memory_order_relaxed);
    totals->memory_exemplars += atomic_load_explicit(&from->memory_exemplars, memory_order_relaxed);
    totals->memory_families += atomic_load_explicit(&from->memory_families, memory_order_relaxed);
    totals->contested += atomic_load_explicit(&from->contested_waiting, memory_order_relaxed);
}

void ing_figures_closed(struct ing_partition_figures *own)
{
    if (own->state != NULL) {
        mrd_gauge_set(own->state, 0);
        mrd_gauge_set(own->lag, 0);
        mrd_gauge_set(own->applied, 0);
        mrd_gauge_set(own->over_budget, 0);
    }
    memset(own->published, 0, sizeof(own->published));
    own->published_missing = 0;
    own->published_rewinds = 0;
}

void ing_figures_publish(struct ing_figures *figures, const struct ing_totals *totals,
                         size_t memory_limit)
{
    for (size_t i = 0; i < MRD_HEAD_MEMORY_COUNT; i++) {
        mrd_gauge_set(figures->memory[i], (int64_t)totals->memory[i]);
    }
    mrd_gauge_set(figures->memory_references, (int64_t)totals->memory_references);
    mrd_gauge_set(figures->memory_total, (int64_t)totals->memory_total);
    mrd_gauge_set(figures->memory_limit, (int64_t)memory_limit);
    mrd_gauge_set(figures->series, (int64_t)totals->series);
    mrd_gauge_set(figures->tenants, (int64_t)totals->tenants);
    mrd_gauge_set(figures->samples, (int64_t)totals->samples);
    mrd_gauge_set(figures->histograms, (int64_t)totals->histograms);
    mrd_gauge_set(figures->exemplars, (int64_t)totals->exemplars);
    mrd_gauge_set(figures->families, (int64_t)totals->families);
    mrd_gauge_set(figures->memory_exemplars, (int64_t)totals->memory_exemplars);
    mrd_gauge_set(figures->memory_families, (int64_t)totals->memory_families);
    mrd_gauge_set(figures->contested, (int64_t)totals->contested);
}
