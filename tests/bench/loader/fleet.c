#include "loader/fleet.h"

#include <math.h>
#include <stdio.h>

/* ---- the one source of randomness: the finaliser of SplitMix64 (Steele, Lea, Flood 2014) ---- */

#define GOLDEN 0x9e3779b97f4a7c15ULL

static inline uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

/* The step-th draw of the stream `key`. */
static inline uint64_t draw(uint64_t key, uint64_t step) { return mix(key + (step + 1) * GOLDEN); }

/* [0, 1) with all 53 bits used. */
static inline double unit(uint64_t bits) { return (double)(bits >> 11) * 0x1p-53; }

static inline uint64_t device_key(const struct load_fleet *fleet, uint64_t device,
                                  uint32_t generation)
{
    return mix(mix(fleet->seed + device * GOLDEN) + generation);
}

/* ---- the 32 series of a device ---- */

enum value_kind {
    VALUE_BUCKET,   /* cumulative over `le` and over time; `rate`: most observations a scrape */
    VALUE_COUNT,    /* of the histogram */
    VALUE_SUM,      /* of the histogram, full mantissa */
    VALUE_COUNTER,  /* grows by 0 to `rate` a scrape */
    VALUE_RARE,     /* a counter that grows once in `rate` scrapes */
    VALUE_DECIMAL,  /* wanders around `base` by `span`, rounded to `digits` */
    VALUE_FULL,     /* noise around `base` by `span`, nothing rounded */
    VALUE_BOOLEAN,  /* may flip every `rate` scrapes */
    VALUE_CONSTANT, /* `base` + the device's share of `span`, for ever */
};

struct slot {
    const char *metric;
    const char *unit; /* label, or NULL */
    const char *le;   /* label, or NULL */
    bool has_channel; /* label */
    enum value_kind kind;
    unsigned digits;
    uint32_t rate;
    double base;
    double span;
};

#define BUCKET(le_text, most)                                                                      \
    {                                                                                              \
        .metric = "sensor_uplink_seconds_bucket", .le = (le_text), .has_channel = true,            \
        .kind = VALUE_BUCKET, .rate = (most)                                                       \
    }
#define COUNTER(name, most)                                                                        \
    {                                                                                              \
        .metric = (name), .kind = VALUE_COUNTER, .rate = (most)                                    \
    }
#define RARE(name, every)                                                                          \
    {                                                                                              \
        .metric = (name), .kind = VALUE_RARE, .rate = (every)                                      \
    }
#define DECIMAL(name, unit_text, digit_count, from, by)                                            \
    {                                                                                              \
        .metric = (name), .unit = (unit_text), .kind = VALUE_DECIMAL, .digits = (digit_count),     \
        .base = (from), .span = (by)                                                               \
    }
#define FULL(name, unit_text, from, by)                                                            \
    {                                                                                              \
        .metric = (name), .unit = (unit_text), .kind = VALUE_FULL, .base = (from), .span = (by)    \
    }
#define BOOLEAN(name, every)                                                                       \
    {                                                                                              \
        .metric = (name), .kind = VALUE_BOOLEAN, .rate = (every)                                   \
    }
#define CONSTANT(name, unit_text, digit_count, from, by)                                           \
    {                                                                                              \
        .metric = (name), .unit = (unit_text), .kind = VALUE_CONSTANT, .digits = (digit_count),    \
        .base = (from), .span = (by)                                                               \
    }

enum {
    BUCKET_COUNT = 9,
    SLOT_COUNT_OF_HISTOGRAM = 9,
    SLOT_SUM_OF_HISTOGRAM = 10,
    AGE_STEPS_MAX = 100000,
};

static const struct slot slots[LOAD_DEVICE_SERIES] = {
    BUCKET("0.005", 0),
    BUCKET("0.01", 1),
    BUCKET("0.025", 2),
    BUCKET("0.05", 2),
    BUCKET("0.1", 1),
    BUCKET("0.25", 0),
    BUCKET("0.5", 0),
    BUCKET("1", 0),
    BUCKET("+Inf", 0),
    {.metric = "sensor_uplink_seconds_count", .has_channel = true, .kind = VALUE_COUNT},
    { .metric = "sensor_uplink_seconds_sum",                    .has_channel = true,   .kind = VALUE_SUM,        .base = 0.03},
    COUNTER("sensor_messages_sent_total", 12),
    COUNTER("sensor_sent_bytes_total", 640),
    COUNTER("sensor_samples_taken_total", 3),
    COUNTER("sensor_cpu_millis_total", 40),
    RARE("sensor_errors_total", 90),
    RARE("sensor_restarts_total", 900),
    DECIMAL("sensor_temperature", "celsius", 1, 21.0, 6.0),
    DECIMAL("sensor_humidity", "percent", 1, 48.0, 10.0),
    DECIMAL("sensor_pressure", "hpa", 2, 1013.0, 4.0),
    DECIMAL("sensor_supply_voltage", "volt", 2, 3.3, 0.2),
    DECIMAL("sensor_current", "ampere", 3, 0.12, 0.02),
    DECIMAL("sensor_flow_rate", "m3h", 3, 1.5, 0.05),
    DECIMAL("sensor_battery_level", "percent", 0, 80.0, 6.0),
    DECIMAL("sensor_signal_strength", "dbm", 0, -71.0, 9.0),
    FULL("sensor_vibration", "mms", 2.0, 1.5),
    FULL("sensor_phase_angle", "radian", 0.0, 3.0),
    BOOLEAN("sensor_door_open", 60),
    BOOLEAN("sensor_relay_closed", 240),
    BOOLEAN("up", 1000),
    CONSTANT("sensor_setpoint", "celsius", 1, 19.0, 4.0),
    CONSTANT("sensor_build_info", NULL, 0, 1.0, 0.0),
};

_Static_assert(MRD_ARRAY_LEN(slots) == LOAD_DEVICE_SERIES, "a device has 32 series");

/* ---- labels ---- */

static const char *const regions[] = {"eu-north", "eu-west", "eu-central", "eu-south",
                                      "us-east",  "us-west", "ap-south",   "sa-east"};
static const char *const firmwares[] = {"4.12.0", "4.12.3", "4.11.9", "5.0.1"};
static const char *const models[] = {"TX-4200", "TX-4210", "RM-77", "GW-9", "TX-3100"};

enum { SITE_DEVICES = 64 };

static struct mrd_label *label_put(struct mrd_label *at, const char *name, const char *value)
{
    if (value != NULL) {
        *at++ = (struct mrd_label){mrd_bytes_of(name), mrd_bytes_of(value)};
    }
    return at;
}

static struct mrd_label *labels_iot(const struct load_fleet *fleet, uint64_t device,
                                    uint32_t generation, struct load_label_texts *texts,
                                    struct mrd_label *at)
{
    const uint64_t key = device_key(fleet, device, generation);
    const uint64_t site = device / SITE_DEVICES;
    snprintf(texts->text[0], LOAD_LABEL_TEXT_MAX, "d-%010llx",
             (unsigned long long)(key & 0xffffffffffULL));
    snprintf(texts->text[1], LOAD_LABEL_TEXT_MAX, "plant-%05llu", (unsigned long long)site);
    at = label_put(at, "device_id", texts->text[0]);
    at = label_put(at, "firmware", firmwares[(key >> 40) % MRD_ARRAY_LEN(firmwares)]);
    at = label_put(at, "job", "sensors");
    at = label_put(at, "model", models[(key >> 48) % MRD_ARRAY_LEN(models)]);
    at = label_put(at, "region", regions[site % MRD_ARRAY_LEN(regions)]);
    return label_put(at, "site", texts->text[1]);
}

static struct mrd_label *labels_k8s(const struct load_fleet *fleet, uint64_t device,
                                    uint32_t generation, struct load_label_texts *texts,
                                    struct mrd_label *at)
{
    const uint64_t key = device_key(fleet, device, generation);
    const uint64_t site = device / SITE_DEVICES;
    snprintf(texts->text[0], LOAD_LABEL_TEXT_MAX, "telemetry-collector-%08x-%05x",
             (unsigned)(key & 0xffffffffU), (unsigned)(key >> 44));
    snprintf(texts->text[1], LOAD_LABEL_TEXT_MAX, "ip-10-%u-%u-%u.%s.compute.internal",
             (unsigned)(site & 0xff), (unsigned)(key >> 32 & 0xff), (unsigned)(key >> 40 & 0xff),
             regions[site % MRD_ARRAY_LEN(regions)]);
    snprintf(texts->text[2], LOAD_LABEL_TEXT_MAX, "10.%u.%u.%u:9100", (unsigned)(site & 0xff),
             (unsigned)(key >> 32 & 0xff), (unsigned)(key >> 40 & 0xff));
    snprintf(texts->text[3], LOAD_LABEL_TEXT_MAX, "plant-%05llu", (unsigned long long)site);
    at = label_put(at, "container", "collector-main");
    at = label_put(at, "instance", texts->text[2]);
    at = label_put(at, "namespace", texts->text[3]);
    at = label_put(at, "node", texts->text[1]);
    at = label_put(at, "pod", texts->text[0]);
    return label_put(at, "region", regions[site % MRD_ARRAY_LEN(regions)]);
}

size_t load_fleet_labels(const struct load_fleet *fleet, uint64_t device, uint32_t generation,
                         unsigned slot, struct load_label_texts *texts,
                         struct mrd_label out[LOAD_LABELS_MAX])
{
    mrd_assert(slot < LOAD_DEVICE_SERIES);
    const struct slot *kind = &slots[slot];
    struct mrd_label *at = label_put(out, MRD_METRIC_NAME, kind->metric);
    at = fleet->shape == LOAD_SHAPE_K8S ? labels_k8s(fleet, device, generation, texts, at)
                                        : labels_iot(fleet, device, generation, texts, at);
    at = label_put(at, "le", kind->le);
    at = label_put(at, "unit", kind->unit);
    at = label_put(at, "channel", kind->has_channel ? "lora" : NULL);
    const size_t count = (size_t)(at - out);
    mrd_assert(count <= LOAD_LABELS_MAX);
    mrd_labels_sort(out, count);
    return count;
}

/* ---- time ---- */

uint32_t load_fleet_generation(const struct load_fleet *fleet, uint64_t device, uint64_t scrape)
{
    if (fleet->churn_per_hour <= 0) {
        return 0;
    }
    const double hours = (double)scrape * (double)fleet->interval_ms / 3.6e6;
    const double phase = unit(mix(fleet->seed ^ mix(device + 1)));
    return (uint32_t)(phase + hours * fleet->churn_per_hour);
}

mrd_time_ms load_fleet_time_ms(const struct load_fleet *fleet, uint64_t device, uint64_t scrape)
{
    enum { JITTER_MS = 4, JITTER_SHARE = 8 };
    const uint64_t key = mix(fleet->seed + device * GOLDEN + 1);
    /* The offset leaves room for the jitter, so that a scrape stays inside its interval. */
    const uint64_t room =
        fleet->interval_ms > JITTER_MS ? (uint64_t)fleet->interval_ms - JITTER_MS : 1;
    const uint64_t chance = draw(key, scrape);
    const uint64_t jitter = chance % JITTER_SHARE == 0 ? (chance >> 32) % JITTER_MS : 0;
    const uint64_t late = fleet->interval_ms > JITTER_MS ? jitter : 0;
    return fleet->start_ms + (mrd_time_ms)scrape * fleet->interval_ms +
           (mrd_time_ms)(key % room + late);
}

/* ---- values ---- */

/* Grows by 0 to 2 * rate - 1 from one step to the next, by `rate` on average; never falls, since the
 * noise is smaller than the step. */
static inline uint64_t growth(uint64_t key, uint64_t step, uint64_t rate)
{
    return rate == 0 ? 0 : step * rate + draw(key, step) % rate;
}

/* Wanders over [-1, 1]: straight lines between random points 32 steps apart, and a little noise. */
static double wander(uint64_t key, uint64_t step)
{
    enum { SPACING = 32 };
    const double from = unit(draw(key, step / SPACING));
    const double to = unit(draw(key, step / SPACING + 1));
    const double share = (double)(step % SPACING) / SPACING;
    const double noise = unit(draw(~key, step)) - 0.5;
    return (from + (to - from) * share) * 1.96 - 0.98 + noise * 0.04;
}

static const double powers_of_ten[] = {1, 10, 100, 1000};

/* A decimal as a parser would read it: the double nearest to units / 10^digits. */
static double decimal(double value, unsigned digits)
{
    return round(value * powers_of_ten[digits]) / powers_of_ten[digits];
}

static double value_of(const struct slot *slot, uint64_t key, uint64_t step)
{
    switch (slot->kind) {
    case VALUE_BUCKET:
    case VALUE_COUNT:
        break; /* made together, see load_fleet_values */
    case VALUE_SUM:
        return ((double)step + unit(draw(key, step))) * slot->base;
    case VALUE_COUNTER:
        return (double)growth(key, step, slot->rate);
    case VALUE_RARE:
        return (double)((step + key % slot->rate) / slot->rate);
    case VALUE_DECIMAL:
        return decimal(slot->base + slot->span * wander(key, step), slot->digits) + 0.0;
    case VALUE_FULL:
        return slot->base + slot->span * (2 * unit(draw(key, step)) - 1);
    case VALUE_BOOLEAN:
        return draw(key, (step + key % slot->rate) / slot->rate) % 8 == 0 ? 0 : 1;
    case VALUE_CONSTANT:
        return decimal(slot->base + slot->span * unit(key), slot->digits);
    }
    mrd_assert_failed("every kind of value is handled", __FILE__, __LINE__);
}

void load_fleet_values(const struct load_fleet *fleet, uint64_t device, uint32_t generation,
                       uint64_t scrape, double out[LOAD_DEVICE_SERIES])
{
    const uint64_t key = device_key(fleet, device, generation);
    const uint64_t step = scrape + (key >> 20) % AGE_STEPS_MAX; /* it ran before the first scrape */
    uint64_t observed = 0;
    for (unsigned i = 0; i < BUCKET_COUNT; i++) {
        /* Every fourth device is a slow one: its observations fall three buckets higher. */
        const unsigned fast = key % 4 == 0 ? (i >= 3 ? i - 3 : BUCKET_COUNT) : i;
        const uint32_t rate = fast < BUCKET_COUNT ? slots[fast].rate : 0;
        observed += growth(key ^ i, step, rate);
        out[i] = (double)observed;
    }
    out[SLOT_COUNT_OF_HISTOGRAM] = (double)observed;
    for (unsigned i = SLOT_SUM_OF_HISTOGRAM; i < LOAD_DEVICE_SERIES; i++) {
        out[i] = value_of(&slots[i], mix(key + i), step);
    }
}
