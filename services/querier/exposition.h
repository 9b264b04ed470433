/* exposition.h: metrics as text, as OpenMetrics or as protobuf, for who scrapes /federate.
 *
 * Native histograms with exponential buckets exist in protobuf only, as Prometheus 3.14 has it; those with bounds of
 * their own become classic ones in every format.
 *
 * Threads: pure functions.
 */
#ifndef QRY_EXPOSITION_H
#define QRY_EXPOSITION_H

#include "model/float_histogram.h"
#include "model/labels.h"
#include "wire/metric_family.h"

enum qry_format_kind { QRY_FORMAT_TEXT, QRY_FORMAT_OPENMETRICS, QRY_FORMAT_PROTOBUF };

struct qry_format {
    enum qry_format_kind kind;
    bool
        utf8; /* names beyond the legacy ones are understood, in quotes; else they get underscores */
    const char *content_type;
};

/* What the Accept header likes best of what there is. Who names OpenMetrics gets it rather than text, whatever it
 * prefers of the two: Prometheus itself never federates as OpenMetrics. */
struct qry_format qry_format_of(struct mrd_bytes accept);

struct qry_exposed {
    struct mrd_bytes name;
    struct mrd_labels labels;
    mrd_time_ms time_ms;
    double value;
    const struct mrd_float_histogram *histogram; /* NULL: a value */
};

enum mrd_exposed_type qry_exposed_type(const struct qry_exposed *item);

/* False for histograms that the format does not know. */
bool qry_exposed_fits(const struct qry_exposed *item, const struct qry_format *format);

/* The line before the samples of a family. Text formats only, as the next. */
void qry_family_head_append(const struct qry_exposed *item, const struct qry_format *format,
                            struct mrd_buf *out);
void qry_exposed_append(const struct qry_exposed *item, const struct qry_format *format,
                        struct mrd_buf *out);

/* The fields of a Metric of protobuf. */
void qry_exposed_encode(const struct qry_exposed *item, const struct qry_format *format,
                        struct mrd_buf *out);

/* A name as protobuf has it. */
void qry_name_append(struct mrd_bytes name, const struct qry_format *format, struct mrd_buf *out);

#endif
