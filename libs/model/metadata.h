/* metadata.h: what is known of a metric family: its type, a help text, a unit.
 *
 * The numbers are those of remote write 1.0 and 2.0 and of the log: they never change.
 */
#ifndef MRD_MODEL_METADATA_H
#define MRD_MODEL_METADATA_H

#include "base/bytes.h"

enum mrd_family_type {
    MRD_FAMILY_UNKNOWN = 0,
    MRD_FAMILY_COUNTER = 1,
    MRD_FAMILY_GAUGE = 2,
    MRD_FAMILY_HISTOGRAM = 3,
    MRD_FAMILY_GAUGE_HISTOGRAM = 4,
    MRD_FAMILY_SUMMARY = 5,
    MRD_FAMILY_INFO = 6,
    MRD_FAMILY_STATESET = 7,
    MRD_FAMILY_TYPE_COUNT
};

struct mrd_metadata {
    enum mrd_family_type type;
    struct mrd_bytes family; /* not empty; borrowed, as the next two */
    struct mrd_bytes help;
    struct mrd_bytes unit;
};

/* Prometheus' word for a type: "unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info",
 * "stateset". Static storage. */
const char *mrd_family_type_name(enum mrd_family_type type);

/* The family that a series' metric name belongs to: "x_bucket" of a histogram is of "x". A view into `name`. */
struct mrd_bytes mrd_family_of(struct mrd_bytes name, enum mrd_family_type type);

#endif
