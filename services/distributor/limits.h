/* limits.h: what one tenant may send. 0 means no limit everywhere.
 *
 * The rate is a token bucket per tenant, shared by all shards; a request is taken whole or not at all.
 *
 * Owner:   main.
 * Threads: any; one lock, taken once a request and never while another is held.
 * Memory:  some 200 bytes a tenant; tenants whose bucket is full again are forgotten when there are
 *          many.
 */
#ifndef DST_LIMITS_H
#define DST_LIMITS_H

#include "base/config.h"
#include "model/labels.h"
#include "model/tenant.h"

struct dst_limits {
    double ingestion_rate;  /* samples, histograms and exemplars a second */
    double ingestion_burst; /* samples */
    size_t request_body_bytes_max;
    size_t decoded_bytes_max;
    uint64_t active_series_max;
    struct mrd_label_limits labels;
    mrd_time_ms creation_grace_ms;
    size_t histogram_buckets_max;
    size_t exemplars_per_request_max;
    size_t metadata_per_request_max;
    size_t metadata_bytes_max; /* of one entry */
};

/* Of the keys in tenancy/keys.h, for mrd_tenancy_settings_create: fills a struct dst_limits. */
void dst_limits_read(const struct mrd_config *config, void *out_limits);

struct dst_rates;

struct dst_rates *dst_rates_create(const struct mrd_clock *clock);
void dst_rates_destroy(struct dst_rates **rates);

/* Takes `samples` tokens of the tenant. MRD_E_LIMIT: not now, and after how many milliseconds;
 * MRD_E_INVALID: never, the request is larger than the burst. */
MRD_MUST_CHECK enum mrd_status dst_rates_take(struct dst_rates *rates,
                                              const struct dst_limits *limits,
                                              struct mrd_bytes tenant, uint64_t samples,
                                              mrd_time_ms *out_retry_ms, struct mrd_error *err);

#endif
