#include "querier/sink.h"

void qry_sink_init(struct qry_sink *sink, struct mrd_http_request *request, size_t body_bytes_max)
{
    *sink = (struct qry_sink){
        .content_type = "application/json",
        .encoding = mrd_http_encoding_choose(mrd_http_header(request, "Accept-Encoding")),
        .request = request,
    };
    mrd_buf_init(&sink->body, body_bytes_max);
}

static void set_headers(struct qry_sink *sink)
{
    mrd_http_header_set(sink->request, "Content-Type", sink->content_type);
    if (sink->encoder != NULL) {
        mrd_http_header_set(sink->request, "Content-Encoding",
                            mrd_http_encoding_name(sink->encoding));
    }
}

static void begin(struct qry_sink *sink)
{
    if (sink->encoding != MRD_HTTP_IDENTITY) {
        sink->encoder = mrd_http_encoder_create(sink->encoding);
    }
    set_headers(sink);
    sink->began_ns = mrd_clock_monotonic_ns(mrd_clock_system());
    if (sink->progress != NULL) {
        atomic_store_explicit(&sink->progress->doing, MRD_QUERY_WRITES, memory_order_relaxed);
    }
    sink->writer = mrd_http_reply_begin(sink->request, 200, QRY_SINK_QUEUE_BYTES);
}

static enum mrd_status write_waiting(struct qry_sink *sink, struct mrd_bytes bytes,
                                     struct mrd_error *err)
{
    const struct mrd_query_wait wait = mrd_query_wait_begin(sink->progress, MRD_QUERY_WRITES);
    const enum mrd_status status = mrd_http_writer_write(sink->writer, bytes, err);
    mrd_query_wait_end(sink->progress, wait);
    return status;
}

/* Encodes and writes the body, and the encoding's end after the last one. */
static enum mrd_status hand_on(struct qry_sink *sink, bool last, struct mrd_error *err)
{
    if (sink->encoder == NULL) {
        MRD_TRY(write_waiting(sink, mrd_buf_view(&sink->body), err));
        mrd_buf_clear(&sink->body);
        return MRD_OK;
    }
    mrd_buf_clear(&sink->encoded);
    MRD_TRY(mrd_http_encoder_add(sink->encoder, mrd_buf_view(&sink->body), &sink->encoded, err));
    if (last) {
        MRD_TRY(mrd_http_encoder_finish(sink->encoder, &sink->encoded, err));
    }
    mrd_buf_clear(&sink->body);
    return write_waiting(sink, mrd_buf_view(&sink->encoded), err);
}

/* Relaxed: only the flag itself is communicated. */
static bool is_canceled(const struct qry_sink *sink)
{
    return sink->canceled != NULL && atomic_load_explicit(sink->canceled, memory_order_relaxed);
}

bool qry_sink_drain(void *context)
{
    struct qry_sink *sink = context;
    if (sink->body.size < QRY_SINK_BYTES || sink->body.failed) {
        return sink->broken.status == MRD_OK && !sink->body.failed;
    }
    qry_pool_checkpoint();
    if (sink->broken.status == MRD_OK) {
        if (!qry_sink_begun(sink)) {
            begin(sink);
        }
        if (is_canceled(sink)) {
            (void)!mrd_fail(&sink->broken, MRD_E_CANCELED, "the query was canceled");
        } else {
            (void)!hand_on(sink, false, &sink->broken);
        }
    }
    if (sink->broken.status != MRD_OK) {
        mrd_buf_clear(&sink->body); /* nobody will see it */
    }
    return sink->broken.status == MRD_OK;
}

/* A whole body is worth encoding if it becomes smaller than it is. */
static void encode_whole(struct qry_sink *sink)
{
    struct mrd_error err;
    struct mrd_http_encoder *encoder = mrd_http_encoder_create(sink->encoding);
    mrd_buf_init(&sink->encoded, sink->body.size + (32 << 10)); /* room for the encoder's steps */
    const bool done =
        mrd_http_encoder_add(encoder, mrd_buf_view(&sink->body), &sink->encoded, &err) == MRD_OK &&
        mrd_http_encoder_finish(encoder, &sink->encoded, &err) == MRD_OK;
    if (done && sink->encoded.size < sink->body.size) {
        const struct mrd_buf plain = sink->body;
        sink->body = sink->encoded;
        sink->encoded = plain;
        sink->encoder = encoder; /* says so in the headers */
        return;
    }
    mrd_http_encoder_destroy(&encoder);
}

static void sink_fini(struct qry_sink *sink)
{
    mrd_http_encoder_destroy(&sink->encoder);
    mrd_buf_fini(&sink->body);
    mrd_buf_fini(&sink->encoded);
}

static void end_whole(struct qry_sink *sink, unsigned status, struct qry_answer *out)
{
    if (sink->encoding != MRD_HTTP_IDENTITY && sink->body.size >= MRD_HTTP_ENCODE_BYTES_MIN) {
        encode_whole(sink);
    }
    if (status != 204) {
        set_headers(sink);
    }
    *out = (struct qry_answer){.status = status, .body = sink->body};
    sink->body = (struct mrd_buf){0};
}

void qry_sink_end(struct qry_sink *sink, unsigned status, struct qry_answer *out)
{
    if (!qry_sink_begun(sink)) {
        end_whole(sink, status, out);
    } else {
        const bool whole =
            sink->broken.status == MRD_OK && hand_on(sink, true, &sink->broken) == MRD_OK;
        *out = (struct qry_answer){.status = 200, .writer = sink->writer, .whole = whole};
    }
    sink_fini(sink);
}

void qry_sink_fail(struct qry_sink *sink, unsigned status, struct qry_answer *out)
{
    if (!qry_sink_begun(sink)) {
        end_whole(sink, status, out);
    } else {
        *out = (struct qry_answer){.status = 200, .writer = sink->writer, .whole = false};
    }
    sink_fini(sink);
}
