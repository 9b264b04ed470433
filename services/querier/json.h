/* json.h: answers of the query API in Prometheus' JSON (web/api/v1/json_codec.go, util/jsonutil).
 *
 * Each function appends one whole response body to `out`, or piece by piece where the caller drains it. A
 * buffer with a limit that is reached has `failed` set; the caller answers with an error then.
 */
#ifndef QRY_JSON_H
#define QRY_JSON_H

#include "promql/engine.h"

/* A JSON string with its quotes, as Prometheus writes all but labels: <, >, & and U+2028, U+2029 are
 * escaped. Bytes that are no UTF-8 become U+FFFD. */
void qry_json_string(struct mrd_bytes text, struct mrd_buf *out);

/* {"name":"value",...}, as Prometheus writes labels. */
void qry_json_labels(struct mrd_labels labels, struct mrd_buf *out);

/* The end of an answer behind its `data`: warnings, infos, the last brace. annotations may be NULL. */
void qry_json_end(const struct mrd_annotations *annotations, struct mrd_buf *out);

/* The time of a point, seconds: 1435781451.781, 12, 0.500. */
void qry_json_time(mrd_time_ms time_ms, struct mrd_buf *out);

/* What an answer has beside the result, and who takes it as it grows; may be NULL, and any part 0. */
struct qry_json_extra {
    size_t limit;             /* cuts the series and says so as a warning; 0: none */
    struct mrd_bytes stats;   /* the JSON of `stats` */
    struct mrd_bytes warning; /* one more */

    /* Called between pieces; may empty `out`. False: nobody wants the rest, stop anywhere. */
    bool (*drain)(void *context);
    void *drain_context;
};

/* {"status":"success","data":{"resultType":...,"result":...},"warnings":[...],"infos":[...]}.
 * time_ms is that of a string. */
void qry_json_result(const struct mrd_promql_result *result, mrd_time_ms time_ms,
                     const struct qry_json_extra *extra, struct mrd_buf *out);

/* {"status":"success","data":["a","b"]}, with the truncation warning where it was cut.
 * annotations may be NULL. */
void qry_json_texts(const struct mrd_texts *texts, const struct mrd_annotations *annotations,
                    const struct qry_json_extra *extra, struct mrd_buf *out);

/* {"status":"success","data":[{"__name__":"up",...},...]}. */
void qry_json_label_sets(const struct mrd_label_sets *sets,
                         const struct mrd_annotations *annotations,
                         const struct qry_json_extra *extra, struct mrd_buf *out);

/* {"status":"error","errorType":"bad_data","error":"..."}. */
void qry_json_error(const char *error_type, const char *text, struct mrd_buf *out);

#endif
