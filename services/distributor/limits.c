#include "distributor/limits.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "model/histogram_check.h"
#include "wire/batch.h"
#include "wire/remote_write.h"

enum { SLOTS_MIN = 64 };

static size_t or_most(size_t value, size_t most)
{
    return value == 0 ? most : MRD_MIN(value, most);
}

void dst_limits_read(const struct mrd_config *config, void *out_limits)
{
    const size_t most = MRD_RW_BODY_SIZE_MAX - 1;
    struct dst_limits limits = {
        .ingestion_rate = mrd_config_float(config, "limits.ingestion_rate"),
        .ingestion_burst = mrd_config_float(config, "limits.ingestion_burst"),
        .request_body_bytes_max =
            or_most(mrd_config_size(config, "limits.request_body_bytes_max"), most),
        .decoded_bytes_max = or_most(mrd_config_size(config, "limits.decoded_bytes_max"), most),
        .active_series_max = (uint64_t)mrd_config_int(config, "limits.active_series_max"),
        .labels = {.count_max = (size_t)mrd_config_int(config, "limits.labels_per_series_max"),
                   .name_size_max = mrd_config_size(config, "limits.label_name_bytes_max"),
                   .value_size_max = mrd_config_size(config, "limits.label_value_bytes_max")},
        .creation_grace_ms = mrd_config_duration(config, "limits.creation_grace_period"),
        .histogram_buckets_max =
            or_most((size_t)mrd_config_int(config, "limits.histogram_buckets_max"),
                    MRD_HISTOGRAM_PARTS_MAX),
        .exemplars_per_request_max =
            or_most((size_t)mrd_config_int(config, "limits.exemplars_per_request_max"), SIZE_MAX),
        .metadata_per_request_max =
            or_most((size_t)mrd_config_int(config, "limits.metadata_per_request_max"), SIZE_MAX),
        .metadata_bytes_max = or_most(mrd_config_size(config, "limits.metadata_bytes_max"),
                                      MRD_BATCH_METADATA_SIZE_MAX),
    };
    if (limits.ingestion_burst <= 0) {
        limits.ingestion_burst = limits.ingestion_rate * 10;
    }
    *(struct dst_limits *)out_limits = limits;
}

/* One tenant's bucket; size 0: a free slot. */
struct bucket {
    char tenant[MRD_TENANT_SIZE_MAX];
    uint8_t tenant_size;
    double tokens;
    double rate; /* the tenant's limits when it was filled */
    double burst;
    int64_t filled_ns;
};

struct dst_rates {
    const struct mrd_clock *clock;
    pthread_mutex_t lock; /* guards all below */
    struct bucket *slots;
    size_t capacity; /* a power of two */
    size_t count;
};

struct dst_rates *dst_rates_create(const struct mrd_clock *clock)
{
    struct dst_rates *rates = calloc(1, sizeof(*rates));
    mrd_assert(rates != NULL);
    rates->clock = clock;
    pthread_mutex_init(&rates->lock, NULL);
    rates->capacity = SLOTS_MIN;
    rates->slots = calloc(rates->capacity, sizeof(*rates->slots));
    mrd_assert(rates->slots != NULL);
    return rates;
}

void dst_rates_destroy(struct dst_rates **rates)
{
    if (*rates != NULL) {
        pthread_mutex_destroy(&(*rates)->lock);
        free((*rates)->slots);
        free(*rates);
        *rates = NULL;
    }
}

static struct bucket *find_slot(struct bucket *slots, size_t capacity, struct mrd_bytes tenant)
{
    size_t at = mrd_hash64(tenant, 0) & (capacity - 1);
    while (slots[at].tenant_size != 0 &&
           !mrd_bytes_equal(tenant, (struct mrd_bytes){(const uint8_t *)slots[at].tenant,
                                                       slots[at].tenant_size})) {
        at = (at + 1) & (capacity - 1);
    }
    return &slots[at];
}

static double tokens_at(const struct bucket *bucket, int64_t now_ns)
{
    const double gained = (double)(now_ns - bucket->filled_ns) / 1e9 * bucket->rate;
    return fmin(bucket->tokens + gained, bucket->burst);
}

/* Forgets tenants whose bucket is full (a new one would be the same) and doubles if most are not. */
static void make_room(struct dst_rates *rates, int64_t now_ns)
{
    size_t needed = 0;
    for (size_t i = 0; i < rates->capacity; i++) {
        const struct bucket *bucket = &rates->slots[i];
        needed += bucket->tenant_size != 0 && tokens_at(bucket, now_ns) < bucket->burst;
    }
    const size_t capacity = needed * 2 < rates->capacity ? rates->capacity : rates->capacity * 2;
    struct bucket *slots = calloc(capacity, sizeof(*slots));
    mrd_assert(slots != NULL);
    for (size_t i = 0; i < rates->capacity; i++) {
        const struct bucket *bucket = &rates->slots[i];
        if (bucket->tenant_size != 0 && tokens_at(bucket, now_ns) < bucket->burst) {
            *find_slot(slots, capacity,
                       (struct mrd_bytes){(const uint8_t *)bucket->tenant, bucket->tenant_size}) =
                *bucket;
        }
    }
    free(rates->slots);
    rates->slots = slots;
    rates->capacity = capacity;
    rates->count = needed;
}

static struct bucket *bucket_of(struct dst_rates *rates, const struct dst_limits *limits,
                                struct mrd_bytes tenant, int64_t now_ns)
{
    struct bucket *bucket = find_slot(rates->slots, rates->capacity, tenant);
    if (bucket->tenant_size != 0) {
        return bucket;
    }
    if ((rates->count + 1) * 4 > rates->capacity * 3) {
        make_room(rates, now_ns);
        bucket = find_slot(rates->slots, rates->capacity, tenant);
    }
    rates->count++;
    memcpy(bucket->tenant, tenant.data, tenant.size);
    bucket->tenant_size = (uint8_t)tenant.size;
    bucket->tokens = limits->ingestion_burst;
    bucket->filled_ns = now_ns;
    return bucket;
}

enum mrd_status dst_rates_take(struct dst_rates *rates, const struct dst_limits *limits,
                               struct mrd_bytes tenant, uint64_t samples, mrd_time_ms *out_retry_ms,
                               struct mrd_error *err)
{
    if (limits->ingestion_rate <= 0 || samples == 0) {
        return MRD_OK;
    }
    const double wanted = (double)samples;
    if (wanted > limits->ingestion_burst) {
        return mrd_fail(err, MRD_E_INVALID,
                        "the request has %" PRIu64
                        " samples, more than limits.ingestion_burst (%.0f) "
                        "lets through at once: send smaller requests",
                        samples, limits->ingestion_burst);
    }
    mrd_assert(tenant.size > 0 && tenant.size <= MRD_TENANT_SIZE_MAX);
    const int64_t now_ns = mrd_clock_monotonic_ns(rates->clock);
    pthread_mutex_lock(&rates->lock);
    struct bucket *bucket = bucket_of(rates, limits, tenant, now_ns);
    bucket->rate = limits->ingestion_rate;
    bucket->burst = limits->ingestion_burst;
    bucket->tokens = tokens_at(bucket, now_ns);
    bucket->filled_ns = now_ns;
    const double missing = wanted - bucket->tokens;
    if (missing <= 0) {
        bucket->tokens -= wanted;
    }
    pthread_mutex_unlock(&rates->lock);
    if (missing <= 0) {
        return MRD_OK;
    }
    *out_retry_ms = (mrd_time_ms)ceil(missing / limits->ingestion_rate * 1000);
    return mrd_fail(err, MRD_E_LIMIT,
                    "tenant \"%.*s\" sends more than %.0f samples a second "
                    "(limits.ingestion_rate): send again later",
                    (int)tenant.size, (const char *)tenant.data, limits->ingestion_rate);
}
