/* write_body.h: bodies of remote write 2.0, as a sender makes them (io.prometheus.write.v2.Request). Test code: the
 * product only reads them.
 *
 * Owner: write_body_fini frees it. A body is filled series by series.
 */
#ifndef MRD_PROMQL_HTTP_WRITE_BODY_H
#define MRD_PROMQL_HTTP_WRITE_BODY_H

#include "promqltest/script_text.h"

struct write_body {
    struct mrd_buf symbols; /* encoded fields */
    size_t symbol_count;
    struct mrd_buf series; /* likewise */
    struct mrd_buf names;  /* mrd_labels_encode of the series in it, one after the other */
    size_t floats;
    size_t histograms;
};

void write_body_fini(struct write_body *body);

/* Whether the series is in it. Two values at one time in one request have no order that a receiver could go by. */
bool write_body_has(const struct write_body *body, struct mrd_labels labels);

/* Histograms go as integers where all of the series are whole and add up, else as floats. Value i of the series is at i * step_ms; omitted ones are left out. */
void write_body_add(struct write_body *body, struct mrd_labels labels,
                    const struct script_value *values, size_t count, mrd_time_ms step_ms);

/* Appends the request, compressed. */
void write_body_encode(const struct write_body *body, struct mrd_buf *out);
void write_body_clear(struct write_body *body);

#endif
