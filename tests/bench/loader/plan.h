/* plan.h: which samples go into which request of which connection.
 *
 * One tenant: its series are split over the connections by whole devices. A connection sends its
 * series scrape after scrape as one stream, cut every request_samples samples, as the shard of a
 * Prometheus remote-write queue does; a request may span the end of a scrape. So all samples of a
 * series travel over one connection in time order.
 *
 * Many tenants: tenant t belongs to connection t mod connections; a request holds one tenant's
 * samples of one scrape.
 *
 * All functions are pure and O(1). Threads: any, a plan is immutable.
 */
#ifndef MRD_BENCH_LOADER_PLAN_H
#define MRD_BENCH_LOADER_PLAN_H

#include <stdint.h>

struct load_plan {
    uint64_t tenant_count;  /* at least 1 */
    uint64_t tenant_series; /* series of each tenant, at least 1 */
    uint64_t scrape_first;
    uint64_t scrape_count;
    uint32_t request_samples;  /* at least 1 */
    uint32_t connection_count; /* at least 1 */
};

/* Samples sample_first .. sample_first + sample_count of a stream; see load_request_sample. */
struct load_request {
    uint64_t tenant;
    uint64_t series_first; /* of the stream, a multiple of a device's series */
    uint64_t series_count; /* of the stream */
    uint64_t sample_first;
    uint32_t sample_count;
};

struct load_sample_place {
    uint64_t device; /* unique over all tenants */
    unsigned slot;
    uint64_t scrape;
};

/* How many requests a connection sends in all. */
uint64_t load_plan_requests(const struct load_plan *plan, uint32_t connection);

/* How many samples the whole plan holds, and how many devices (numbered from 0). */
uint64_t load_plan_samples(const struct load_plan *plan);
uint64_t load_plan_devices(const struct load_plan *plan);

/* The number-th request of a connection. */
struct load_request load_plan_request(const struct load_plan *plan, uint32_t connection,
                                      uint64_t number);

/* Where sample `index` (0 .. sample_count) of a request comes from. */
struct load_sample_place load_request_sample(const struct load_plan *plan,
                                             const struct load_request *request, uint32_t index);

#endif
