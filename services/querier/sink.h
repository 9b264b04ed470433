/* sink.h: where an endpoint puts its answer: a buffer that is handed on to the client as it fills.
 *
 * An endpoint appends to `body` and calls qry_sink_drain between pieces. Nothing is sent before there is
 * more than QRY_SINK_BYTES, so a small answer goes as one body with its length, and what fails before
 * that is still answered with the right status. From then on the answer is written to the client as it
 * is made (http/server.h, writers), encoded as its Accept-Encoding asks for, and waits where the client
 * is slow: an answer of any size needs QRY_SINK_BYTES, the encoder and the writer's queue.
 *
 * Owner:   the job of one request; qry_sink_end or qry_sink_fail exactly once.
 * Threads: the job's.
 */
#ifndef QRY_SINK_H
#define QRY_SINK_H

#include "http/encoding.h"
#include "http/server.h"
#include "promql/progress.h"
#include "querier/query_pool.h"

enum { QRY_SINK_BYTES = 64 << 10, QRY_SINK_QUEUE_BYTES = 256 << 10 };

struct qry_sink {
    struct mrd_buf body;      /* not handed on yet; the endpoint appends here */
    const char *content_type; /* static storage */
    enum mrd_http_encoding encoding;

    struct mrd_http_request *request;
    struct mrd_http_encoder *encoder;
    struct mrd_buf encoded;
    struct mrd_http_writer *writer; /* NULL: nothing was sent yet */
    int64_t began_ns;               /* when something was sent first; 0: not yet */
    const _Atomic bool *canceled;   /* ends an answer that has begun; NULL: never */
    struct mrd_query_progress
        *progress;           /* told of writing and of waiting for the client; NULL: nobody looks */
    struct mrd_error broken; /* its status is not OK once nobody reads any more */
};

/* body_bytes_max bounds what is appended without draining. The encoding is the client's wish. */
void qry_sink_init(struct qry_sink *sink, struct mrd_http_request *request, size_t body_bytes_max);

/* Hands on what was gathered if it is much. False: nobody reads any more, stop. `sink` is untyped so that
 * this is what writers of JSON call between pieces. */
bool qry_sink_drain(void *sink);

/* True once the status line is out: from then on a failure can only break the connection off. */
static inline bool qry_sink_begun(const struct qry_sink *sink) { return sink->writer != NULL; }

/* The answer is complete: fills what the pool sends. `status` counts only if nothing was sent. */
void qry_sink_end(struct qry_sink *sink, unsigned status, struct qry_answer *out);

/* The answer failed: what is in `body` now (the error) is sent, or, if the answer has begun, its end
 * is missing. */
void qry_sink_fail(struct qry_sink *sink, unsigned status, struct qry_answer *out);

#endif
