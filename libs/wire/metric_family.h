/* metric_family.h: the protobuf format in which metrics are exposed (io.prometheus.client, client_model's
 * metrics.proto), encoding "delimited": a varint size before each MetricFamily.
 *
 * Put together from the inside: labels and a value make the fields of a Metric, metrics those of a family.
 *   MetricFamily{1: name, 3: type, 4: Metric*}
 *   Metric{1: LabelPair{1: name, 2: value}*, 5: Untyped{1: double}, 6: timestamp in ms, 7: Histogram}
 *
 * Threads: pure functions.
 */
#ifndef MRD_WIRE_METRIC_FAMILY_H
#define MRD_WIRE_METRIC_FAMILY_H

#include "base/bytes.h"
#include "model/float_histogram.h"

enum mrd_exposed_type {
    MRD_EXPOSED_UNTYPED = 3,
    MRD_EXPOSED_HISTOGRAM = 4,
    MRD_EXPOSED_GAUGE_HISTOGRAM = 5,
};

void mrd_metric_label_append(struct mrd_bytes name, struct mrd_bytes value, struct mrd_buf *out);
void mrd_metric_value_append(mrd_time_ms time_ms, double value, struct mrd_buf *out);

/* An exponential histogram as it is; one with custom bounds as a classic one, its last bucket left out, as
 * Prometheus federates it. */
void mrd_metric_histogram_append(mrd_time_ms time_ms, const struct mrd_float_histogram *histogram,
                                 struct mrd_buf *out);

/* The fields made above as one Metric of a family. */
void mrd_family_metric_append(struct mrd_bytes metric, struct mrd_buf *out);

/* A family with its size in front. */
void mrd_family_append(struct mrd_bytes name, enum mrd_exposed_type type, struct mrd_bytes metrics,
                       struct mrd_buf *out);

#endif
