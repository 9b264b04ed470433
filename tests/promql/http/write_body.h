/* write_body.h: bodies of remote write 2.0, as a sender makes them (io.prometheus.write.v2.Request). Test code: the
 * product only reads them.
 *
 * Owner: write_body_fini frees it. A body is filled series by series and taken once.
 */
#ifndef MRD_PROMQL_HTTP_WRITE_BODY_H
#define MRD_PROMQL_HTTP_WRITE_BODY_H

#include "promqltest/script_text.h"

struct write_body {
    struct mrd_buf symbols; /* encoded fields */
    size_t symbol_count;
    struct mrd_buf series; /* likewise */
    size_t points;
};

void write_body_fini(struct write_body *body);

/* Value i of the series is at i * step_ms; omitted ones are left out. */
void write_body_add(struct write_body *body, struct mrd_labels labels,
                    const struct script_value *values, size_t count, mrd_time_ms step_ms);

/* Appends the request, compressed, and empties the body. */
void write_body_take(struct write_body *body, struct mrd_buf *out);

#endif
