/* fleet.h: the synthetic world that the load generator reports: devices of 32 series each.
 *
 * Everything is a pure function of (seed, device, generation, slot, scrape): no state, so any sample
 * can be computed alone, by any process, in any order. That is what a checker needs later.
 *
 * Per device: a histogram of 9 buckets with count and sum, 6 counters, 8 gauges with 0 to 3 decimal
 * digits, 2 gauges that use the full mantissa, 3 booleans, 2 constants. So 28 % of the series are
 * buckets and 9.4 % carry full-mantissa values (the 2 gauges and the sum). 7 to 9 labels a series,
 * about 169 bytes of label protobuf (248 in the longer k8s shape).
 *
 * Churn replaces devices: a device's generation goes up, which changes its id label (and so makes 32
 * new series), at a rate given as a share of all devices per hour.
 *
 * Threads: a fleet is immutable after load_fleet_init.
 */
#ifndef MRD_BENCH_LOADER_FLEET_H
#define MRD_BENCH_LOADER_FLEET_H

#include "model/labels.h"
#include "model/sample.h"

enum {
    LOAD_DEVICE_SERIES = 32,
    LOAD_LABELS_MAX = 10,
    LOAD_LABEL_TEXT_MAX = 64, /* one label value that is made, not constant; with NUL */
};

enum load_shape { LOAD_SHAPE_IOT, LOAD_SHAPE_K8S };

struct load_fleet {
    uint64_t seed;
    enum load_shape shape;
    double churn_per_hour; /* share of the devices that are replaced, 0.01 is 1 % */
    mrd_time_ms start_ms;  /* of scrape 0 */
    mrd_time_ms interval_ms;
};

/* Texts that a label set points into. */
struct load_label_texts {
    char text[LOAD_LABELS_MAX][LOAD_LABEL_TEXT_MAX];
};

/* How often `device` has been replaced by the time of `scrape`. */
uint32_t load_fleet_generation(const struct load_fleet *fleet, uint64_t device, uint64_t scrape);

/* The sorted labels of series `slot` of a device; views into `texts` and static storage. Returns the
 * count, at most LOAD_LABELS_MAX. */
size_t load_fleet_labels(const struct load_fleet *fleet, uint64_t device, uint32_t generation,
                         unsigned slot, struct load_label_texts *texts,
                         struct mrd_label out[LOAD_LABELS_MAX]);

/* When the device was scraped: its own offset in the interval and now and then some ms of jitter.
 * All series of a device share it, as with a real scrape. Strictly ascending with `scrape`. */
mrd_time_ms load_fleet_time_ms(const struct load_fleet *fleet, uint64_t device, uint64_t scrape);

/* The values of all 32 series of a device at a scrape. Cost: about 150 ns. */
void load_fleet_values(const struct load_fleet *fleet, uint64_t device, uint32_t generation,
                       uint64_t scrape, double out[LOAD_DEVICE_SERIES]);

#endif
