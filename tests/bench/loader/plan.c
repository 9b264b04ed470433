#include "loader/plan.h"

#include "base/macros.h"
#include "loader/fleet.h"

static uint64_t divide_up(uint64_t value, uint64_t by) { return (value + by - 1) / by; }

static uint64_t tenant_devices(const struct load_plan *plan)
{
    return divide_up(plan->tenant_series, LOAD_DEVICE_SERIES);
}

/* Requests of one tenant in one scrape, where there are many tenants. */
static uint64_t scrape_requests(const struct load_plan *plan)
{
    return divide_up(plan->tenant_series, plan->request_samples);
}

/* Tenants c, c + C, c + 2C, ... of connection c. */
static uint64_t connection_tenants(const struct load_plan *plan, uint32_t connection)
{
    if (connection >= plan->tenant_count) {
        return 0;
    }
    return divide_up(plan->tenant_count - connection, plan->connection_count);
}

/* The stream of a connection where there is one tenant. */
static struct load_request connection_stream(const struct load_plan *plan, uint32_t connection)
{
    const uint64_t share =
        divide_up(tenant_devices(plan), plan->connection_count) * LOAD_DEVICE_SERIES;
    const uint64_t first = MRD_MIN(share * connection, plan->tenant_series);
    const uint64_t end = MRD_MIN(first + share, plan->tenant_series);
    return (struct load_request){.series_first = first, .series_count = end - first};
}

uint64_t load_plan_requests(const struct load_plan *plan, uint32_t connection)
{
    if (plan->tenant_count > 1) {
        return connection_tenants(plan, connection) * scrape_requests(plan) * plan->scrape_count;
    }
    const struct load_request stream = connection_stream(plan, connection);
    return divide_up(stream.series_count * plan->scrape_count, plan->request_samples);
}

uint64_t load_plan_samples(const struct load_plan *plan)
{
    return plan->tenant_count * plan->tenant_series * plan->scrape_count;
}

uint64_t load_plan_devices(const struct load_plan *plan)
{
    return plan->tenant_count * tenant_devices(plan);
}

static struct load_request tenant_request(const struct load_plan *plan, uint32_t connection,
                                          uint64_t number)
{
    const uint64_t per_scrape = connection_tenants(plan, connection) * scrape_requests(plan);
    const uint64_t scrape = number / per_scrape;
    const uint64_t in_scrape = number % per_scrape;
    const uint64_t tenant = in_scrape / scrape_requests(plan);
    const uint64_t first = in_scrape % scrape_requests(plan) * plan->request_samples;
    return (struct load_request){
        .tenant = connection + tenant * plan->connection_count,
        .series_count = plan->tenant_series,
        .sample_first = scrape * plan->tenant_series + first,
        .sample_count =
            (uint32_t)MRD_MIN((uint64_t)plan->request_samples, plan->tenant_series - first),
    };
}

struct load_request load_plan_request(const struct load_plan *plan, uint32_t connection,
                                      uint64_t number)
{
    mrd_assert(number < load_plan_requests(plan, connection));
    if (plan->tenant_count > 1) {
        return tenant_request(plan, connection, number);
    }
    struct load_request request = connection_stream(plan, connection);
    const uint64_t samples = request.series_count * plan->scrape_count;
    request.sample_first = number * plan->request_samples;
    request.sample_count =
        (uint32_t)MRD_MIN((uint64_t)plan->request_samples, samples - request.sample_first);
    return request;
}

struct load_sample_place load_request_sample(const struct load_plan *plan,
                                             const struct load_request *request, uint32_t index)
{
    mrd_assert(index < request->sample_count);
    const uint64_t sample = request->sample_first + index;
    const uint64_t series = request->series_first + sample % request->series_count;
    return (struct load_sample_place){
        .device = request->tenant * tenant_devices(plan) + series / LOAD_DEVICE_SERIES,
        .slot = (unsigned)(series % LOAD_DEVICE_SERIES),
        .scrape = plan->scrape_first + sample / request->series_count,
    };
}
