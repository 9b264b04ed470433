/* The counters of what writes bring and what becomes of it. */
#include <stdio.h>

#include "distributor/intake_internal.h"

enum { TENANTS_SHOWN_MAX = 500 }; /* with counters of their own */

#define BIT(reason) (1U << (reason))
#define OF_SERIES                                                                                  \
    (BIT(DST_REASON_LABELS) | BIT(DST_REASON_LABEL_LIMIT) | BIT(DST_REASON_SERIES_LIMIT) |         \
     BIT(DST_REASON_FUTURE) | BIT(DST_REASON_TIME))

/* Why an item of each kind can be rejected. */
static const unsigned reasons_of[DST_KINDS] = {
    [DST_KIND_SAMPLES] = OF_SERIES,
    [DST_KIND_HISTOGRAMS] = OF_SERIES | BIT(DST_REASON_HISTOGRAM) | BIT(DST_REASON_HISTOGRAM_LIMIT),
    [DST_KIND_EXEMPLARS] = OF_SERIES | BIT(DST_REASON_EXEMPLAR) | BIT(DST_REASON_EXEMPLAR_LIMIT),
    [DST_KIND_METADATA] = BIT(DST_REASON_METADATA) | BIT(DST_REASON_METADATA_LIMIT),
    [DST_KIND_SERIES] = BIT(DST_REASON_EMPTY) | BIT(DST_REASON_LABELS),
};

static struct mrd_counter *counter_of_kind(struct mrd_metrics *registry, int kind, const char *what,
                                           const char *help, const struct mrd_metric_label *labels)
{
    char name[96];
    (void)snprintf(name, sizeof(name), "meridian_distributor_%s_%s_total",
                   dst_kind_name((enum dst_kind)kind), what);
    return mrd_metrics_counter(registry, name, help, labels);
}

static struct mrd_counter_vec *vec_of_kind(struct mrd_metrics *registry, int kind, const char *what,
                                           const char *help)
{
    char name[96];
    (void)snprintf(name, sizeof(name), "meridian_distributor_tenant_%s_%s_total",
                   dst_kind_name((enum dst_kind)kind), what);
    return mrd_metrics_counter_vec(registry, name, help, "tenant", MRD_NO_LABELS,
                                   TENANTS_SHOWN_MAX);
}

static void init_kind(struct dst_intake_metrics *metrics, struct mrd_metrics *registry, int kind)
{
    metrics->accepted[kind] = counter_of_kind(
        registry, kind, "accepted", "What the log has and the sender was told so.", MRD_NO_LABELS);
    metrics->failed[kind] = counter_of_kind(
        registry, kind, "failed",
        "Of requests answered with 503 because the log did not take them.", MRD_NO_LABELS);
    metrics->limited[kind] =
        counter_of_kind(registry, kind, "limited", "Of requests answered with 429.", MRD_NO_LABELS);
    metrics->tenant_accepted[kind] =
        vec_of_kind(registry, kind, "accepted",
                    "What the log has, by tenant; beyond the first tenants as \"other\".");
    metrics->tenant_rejected[kind] = vec_of_kind(
        registry, kind, "rejected", "What can never be written or is over the rate, by tenant.");
}

static void init_rejected(struct dst_intake_metrics *metrics, struct mrd_metrics *registry)
{
    for (int kind = 0; kind < DST_KINDS; kind++) {
        for (int reason = 0; reason < DST_REASONS; reason++) {
            if ((reasons_of[kind] & BIT(reason)) != 0) {
                metrics->rejected[kind][reason] = counter_of_kind(
                    registry, kind, "rejected", "What can never be written, by reason.",
                    MRD_LABELS({"reason", dst_reason_name((enum dst_reason)reason)}));
            }
        }
    }
}

void dst_intake_metrics_init(struct dst_intake_metrics *metrics, struct mrd_metrics *registry)
{
    const struct {
        struct mrd_counter **counter;
        const char *name;
        const char *help;
    } counters[] = {
        {&metrics->series_hits,    "meridian_distributor_series_cache_hits_total",
         "Series entries found in the series cache with a reference ready for use."                              },
        {&metrics->series_misses,  "meridian_distributor_series_cache_misses_total",
         "Series entries whose labels were parsed."                                                              },
        {&metrics->batches,        "meridian_distributor_batches_total",             "Batches handed to the log."},
        {&metrics->batch_bytes,    "meridian_distributor_batch_bytes_total",
         "Bytes of the batches handed to the log."                                                               },
        {&metrics->announcements,  "meridian_distributor_announcements_total",
         "Series announced with their labels."                                                                   },
        {&metrics->batches_failed, "meridian_distributor_batches_failed_total",
         "Batches that the log did not acknowledge in time or did not take."                                     },
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(counters); i++) {
        *counters[i].counter =
            mrd_metrics_counter(registry, counters[i].name, counters[i].help, MRD_NO_LABELS);
    }
    static const char *const versions[] = {"1.0", "2.0"};
    for (size_t i = 0; i < MRD_ARRAY_LEN(versions); i++) {
        metrics->requests[i] =
            mrd_metrics_counter(registry, "meridian_distributor_requests_total",
                                "Write requests taken in, by version of the protocol.",
                                MRD_LABELS({"version", versions[i]}));
    }
    metrics->refused_body = mrd_metrics_counter(registry, DST_REFUSED_NAME, DST_REFUSED_HELP,
                                                MRD_LABELS({"reason", "body"}));
    for (int kind = 0; kind < DST_KINDS_COUNTED; kind++) {
        init_kind(metrics, registry, kind);
    }
    init_rejected(metrics, registry);
    metrics->ack_seconds =
        mrd_metrics_histogram(registry, "meridian_distributor_ack_seconds",
                              "Time from a complete request to its acknowledgement.", MRD_NO_LABELS,
                              mrd_bounds_seconds, mrd_bounds_seconds_count);
}

static void count_kind(struct dst_intake_metrics *metrics, const struct dst_write *write, int kind)
{
    const bool limited = write->status == MRD_E_LIMIT;
    const bool invalid = write->status == MRD_E_INVALID; /* as a whole */
    const bool stored = write->status == MRD_OK;
    const uint64_t count = stored ? write->written[kind] : write->asked[kind];
    if (!invalid) {
        mrd_counter_add(stored    ? metrics->accepted[kind]
                        : limited ? metrics->limited[kind]
                                  : metrics->failed[kind],
                        count);
    }
    const uint64_t rejected = write->refused[kind] + (limited || invalid ? write->asked[kind] : 0);
    if (rejected > 0) {
        mrd_counter_add(mrd_counter_vec_at(metrics->tenant_rejected[kind], write->tenant),
                        rejected);
    }
    if (stored && count > 0) {
        mrd_counter_add(mrd_counter_vec_at(metrics->tenant_accepted[kind], write->tenant), count);
    }
}

void dst_intake_count(struct dst_intake_metrics *metrics, const struct dst_write *write)
{
    mrd_counter_add(metrics->refused_body, write->status == MRD_E_INVALID ? 1 : 0);
    for (int kind = 0; kind < DST_KINDS_COUNTED; kind++) {
        if (write->asked[kind] > 0) {
            count_kind(metrics, write, kind);
        }
    }
}
