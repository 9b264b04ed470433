#include "querier/remote_read.h"

#include "codec/snappy_block.h"
#include "codec/varbit_chunk.h"
#include "codec/xor2_chunk.h"
#include "codec/xor_chunk.h"
#include "promql/print.h"
#include "wire/remote_read.h"

/* ---- one query's series ---- */

struct read_series {
    struct mrd_labels labels; /* all in the arena */
    struct mrd_bytes label_fields;
    struct mrd_bytes data_fields; /* samples, or chunks */
};

struct read_result {
    struct qry_call *call;
    enum mrd_read_kind kind;
    bool starts;    /* chunks with start times, where there are any */
    bool any_order; /* streamed as they come */
    bool gone;      /* nobody reads any more */
    size_t query_index;
    struct mrd_buf labels;  /* fields of one series' labels, streamed as they come */
    struct mrd_buf series;  /* struct read_series */
    struct mrd_buf scratch; /* fields of one series */
    struct mrd_buf chunk;
    size_t sample_count; /* of all queries */
    struct mrd_look look;
    struct mrd_pace pace;
};

/* What encoding takes, in the units of mrd_pace. */
enum { HISTOGRAM_UNITS = 32, SERIES_UNITS = 8 };

static void read_result_fini(struct read_result *result)
{
    mrd_buf_fini(&result->series);
    mrd_buf_fini(&result->scratch);
    mrd_buf_fini(&result->labels);
    mrd_buf_fini(&result->chunk);
}

static void append_chunk(struct read_result *result, unsigned encoding, const mrd_time_ms *times_ms,
                         size_t count)
{
    const struct mrd_read_chunk chunk = {
        .encoding = encoding,
        .min_ms = times_ms[0],
        .max_ms = times_ms[count - 1],
        .bytes = mrd_buf_view(&result->chunk),
    };
    mrd_read_chunk_append(&chunk, &result->scratch);
    mrd_buf_clear(&result->chunk);
}

/* How many of the first times lie before `end_ms`. */
static size_t count_before(const mrd_time_ms *times_ms, size_t count, mrd_time_ms end_ms)
{
    size_t before = 0;
    while (before < count && times_ms[before] < end_ms) {
        before++;
    }
    return before;
}

/* The start times from `at` on, or NULL: they are not asked for, or none of the next `count` is known. */
static const mrd_time_ms *starts_from(const struct read_result *result,
                                      const mrd_time_ms *starts_ms, size_t at, size_t count)
{
    for (size_t i = at; result->starts && starts_ms != NULL && i < at + count; i++) {
        if (starts_ms[i] != 0) {
            return starts_ms + at;
        }
    }
    return NULL;
}

/* One chunk of the first samples, before end_ms; returns how many. */
static size_t append_xor_chunk(struct read_result *result, const struct mrd_samples *samples,
                               size_t at, mrd_time_ms end_ms)
{
    const size_t most = MRD_MIN(samples->count - at, (size_t)MRD_XOR_CHUNK_SAMPLES);
    struct mrd_samples part = {
        .times_ms = samples->times_ms + at,
        .values = samples->values + at,
        .count = count_before(samples->times_ms + at, most, end_ms),
    };
    part.start_times_ms = starts_from(result, samples->start_times_ms, at, part.count);
    if (part.start_times_ms == NULL) {
        mrd_xor_chunk_encode(&part, &result->chunk);
        append_chunk(result, MRD_XOR_CHUNK_ENCODING, part.times_ms, part.count);
    } else {
        mrd_xor2_chunk_encode(&part, &result->chunk);
        append_chunk(result, MRD_XOR2_CHUNK_ENCODING, part.times_ms, part.count);
    }
    return part.count;
}

static size_t append_varbit_chunk(struct read_result *result,
                                  const struct mrd_histograms *histograms, size_t at,
                                  mrd_time_ms end_ms)
{
    const size_t most = MRD_MIN(histograms->count - at, (size_t)MRD_VARBIT_CHUNK_HISTOGRAMS);
    struct mrd_histograms part = {
        .times_ms = histograms->times_ms + at,
        .items = histograms->items + at,
        .count = count_before(histograms->times_ms + at, most, end_ms),
    };
    part.start_times_ms = starts_from(result, histograms->start_times_ms, at, part.count);
    enum mrd_varbit_encoding encoding;
    const size_t count =
        mrd_varbit_chunk_encode(&part, part.start_times_ms != NULL, &encoding, &result->chunk);
    append_chunk(result, encoding, part.times_ms, count);
    return count;
}

/* All in the order of their times: no chunk reaches into the next. */
static enum mrd_status append_chunks(struct read_result *result,
                                     const struct mrd_source_series *series, struct mrd_error *err)
{
    const struct mrd_samples *samples = &series->samples;
    const struct mrd_histograms *histograms = &series->histograms;
    for (size_t s = 0, h = 0; s < samples->count || h < histograms->count;) {
        const mrd_time_ms sample_ms = s < samples->count ? samples->times_ms[s] : INT64_MAX;
        const mrd_time_ms histogram_ms =
            h < histograms->count ? histograms->times_ms[h] : INT64_MAX;
        if (sample_ms < histogram_ms) {
            const size_t count = append_xor_chunk(result, samples, s, histogram_ms);
            s += count;
            MRD_TRY(mrd_pace(&result->pace, count, err));
        } else {
            const size_t count = append_varbit_chunk(result, histograms, h, sample_ms);
            h += count;
            MRD_TRY(mrd_pace(&result->pace, HISTOGRAM_UNITS * count, err));
        }
    }
    return MRD_OK;
}

static enum mrd_status append_samples(struct read_result *result,
                                      const struct mrd_source_series *series, struct mrd_error *err)
{
    const struct mrd_samples *samples = &series->samples;
    const struct mrd_histograms *histograms = &series->histograms;
    for (size_t i = 0; i < samples->count; i++) {
        const struct mrd_sample sample = {samples->times_ms[i], samples->values[i]};
        mrd_read_sample_append(sample, &result->scratch);
        MRD_TRY(mrd_pace(&result->pace, 1, err));
    }
    for (size_t i = 0; i < histograms->count; i++) {
        mrd_read_histogram_append(histograms->times_ms[i], &histograms->items[i], &result->scratch);
        MRD_TRY(mrd_pace(&result->pace, HISTOGRAM_UNITS, err));
    }
    return MRD_OK;
}

static enum mrd_status count_samples(struct read_result *result, size_t count,
                                     struct mrd_error *err)
{
    const size_t limit = result->call->limits.read_samples_max;
    result->sample_count += count;
    if (result->kind != MRD_READ_SAMPLES || limit == 0 || result->sample_count <= limit) {
        return MRD_OK;
    }
    result->call->limit = "querier.read_samples_max";
    return mrd_fail(err, MRD_E_INVALID, "exceeded sample limit (%zu)", limit);
}

/* Keeps what is in the scratch buffer. */
static enum mrd_status scratch_keep(struct read_result *result, struct mrd_bytes *out,
                                    struct mrd_error *err)
{
    struct mrd_arena *arena = result->call->arena;
    if (result->scratch.failed) {
        return mrd_fail(err, MRD_E_LIMIT,
                        "a series needs more than %zu bytes (querier.memory_bytes_max)",
                        result->scratch.limit);
    }
    *out = mrd_arena_copy(arena, mrd_buf_view(&result->scratch));
    mrd_buf_clear(&result->scratch);
    return out->data == NULL ? mrd_arena_fail(arena, err) : MRD_OK;
}

static enum mrd_status keep_labels(struct read_result *result, struct mrd_labels labels,
                                   struct read_series *out, struct mrd_error *err)
{
    struct mrd_bytes canonical;
    mrd_labels_encode(labels, &result->scratch);
    MRD_TRY(scratch_keep(result, &canonical, err));
    MRD_TRY(mrd_labels_decode(canonical, result->call->arena, &out->labels, err));
    mrd_read_labels_append(labels, &result->scratch);
    return scratch_keep(result, &out->label_fields, err);
}

static void count_progress(const struct read_result *result, size_t sample_count)
{
    struct mrd_query_progress *progress = result->call->control.progress;
    mrd_progress_add(&progress->series, 1);
    mrd_progress_add(&progress->samples, sample_count);
    mrd_progress_raise(&progress->memory_bytes, mrd_arena_used(result->call->arena));
}

static enum mrd_status keep_series(struct read_result *result,
                                   const struct mrd_source_series *series, struct mrd_error *err)
{
    struct read_series kept;
    const size_t count = series->samples.count + series->histograms.count;
    count_progress(result, count);
    if (count == 0) {
        return MRD_OK;
    }
    MRD_TRY(count_samples(result, count, err));
    MRD_TRY(keep_labels(result, series->labels, &kept, err));
    MRD_TRY(result->kind == MRD_READ_SAMPLES ? append_samples(result, series, err)
                                             : append_chunks(result, series, err));
    MRD_TRY(scratch_keep(result, &kept.data_fields, err));
    mrd_buf_append(&result->series, &kept, sizeof(kept));
    return result->series.failed
               ? mrd_fail(err, MRD_E_LIMIT, "too many series (querier.memory_bytes_max)")
               : MRD_OK;
}

/* ---- frames ---- */

/* The frames of one series: as many chunks in each as stay below the limit, one at least. */
static bool append_frames(struct qry_call *call, const struct read_series *series, size_t index)
{
    struct mrd_bytes rest = series->data_fields;
    while (rest.size > 0) {
        struct mrd_bytes chunks = {rest.data, 0};
        struct mrd_bytes piece;
        while (chunks.size + series->label_fields.size < QRY_READ_FRAME_BYTES &&
               mrd_read_piece_next(&rest, &piece)) {
            chunks.size += piece.size;
        }
        if (chunks.size == 0 && mrd_read_piece_next(&rest, &piece)) {
            chunks.size = piece.size; /* labels alone pass the limit */
        }
        mrd_read_frame_append(index, series->label_fields, chunks, &call->sink->body);
        if (!qry_sink_drain(call->sink)) {
            return false;
        }
    }
    return true;
}

/* Sends a series as it comes. */
static enum mrd_status send_series(struct read_result *result,
                                   const struct mrd_source_series *series, struct mrd_error *err)
{
    const size_t count = series->samples.count + series->histograms.count;
    count_progress(result, count);
    if (count == 0) {
        return MRD_OK;
    }
    mrd_buf_clear(&result->labels);
    mrd_buf_clear(&result->scratch);
    mrd_read_labels_append(series->labels, &result->labels);
    MRD_TRY(append_chunks(result, series, err));
    if (result->labels.failed || result->scratch.failed) {
        return mrd_fail(err, MRD_E_LIMIT,
                        "a series needs more than %zu bytes (querier.memory_bytes_max)",
                        result->scratch.limit);
    }
    const struct read_series one = {.label_fields = mrd_buf_view(&result->labels),
                                    .data_fields = mrd_buf_view(&result->scratch)};
    result->gone = !append_frames(result->call, &one, result->query_index);
    return MRD_OK;
}

/* ---- one query ---- */

static enum mrd_status read_set(struct read_result *result, struct mrd_source_set *set,
                                struct mrd_error *err)
{
    const struct qry_call *call = result->call;
    while (!result->gone) {
        struct mrd_source_series series;
        bool more;
        MRD_TRY(mrd_query_check(&call->control, err));
        MRD_TRY(call->source.next(set, &series, &more, err));
        if (!more) {
            return MRD_OK;
        }
        MRD_TRY(result->any_order ? send_series(result, &series, err)
                                  : keep_series(result, &series, err));
    }
    return MRD_OK;
}

static int compare_series(const void *a, const void *b, void *context)
{
    (void)context;
    return mrd_labels_compare(((const struct read_series *)a)->labels,
                              ((const struct read_series *)b)->labels);
}

/* Gathers the series of one query, sorted; in any order it sends them. */
static enum mrd_status read_query(struct read_result *result, const struct mrd_read_query *query,
                                  struct mrd_error *err)
{
    const struct qry_call *call = result->call;
    const struct mrd_select select = {
        .matchers = query->matchers,
        .matcher_count = query->matcher_count,
        .min_ms = query->min_ms,
        .max_ms = query->max_ms,
    };
    struct mrd_source_set *set = NULL;
    mrd_buf_clear(&result->series);
    if (query->max_ms < query->min_ms || query->matcher_count == 0) {
        return MRD_OK; /* without matchers Prometheus' storage finds nothing */
    }
    MRD_TRY(call->source.open(call->source.context, &select, &call->scope, &set, err));
    const enum mrd_status status = read_set(result, set, err);
    call->source.close(set);
    return status != MRD_OK
               ? status
               : mrd_sort(result->series.data, result->series.size / sizeof(struct read_series),
                          sizeof(struct read_series), compare_series, NULL, &result->look, err);
}

static const struct read_series *series_of(const struct read_result *result, size_t *out_count)
{
    *out_count = result->series.size / sizeof(struct read_series);
    return (const struct read_series *)(const void *)result->series.data;
}

/* ---- as samples ---- */

static size_t series_size(const struct read_series *series)
{
    return series->label_fields.size + series->data_fields.size;
}

static enum mrd_status append_query_result(struct read_result *result, struct mrd_buf *out,
                                           struct mrd_error *err)
{
    size_t count;
    size_t size = 0;
    const struct read_series *series = series_of(result, &count);
    for (size_t i = 0; i < count; i++) {
        size += mrd_read_head_size(series_size(&series[i])) + series_size(&series[i]);
        MRD_TRY(mrd_pace(&result->pace, 1, err));
    }
    mrd_read_head_append(1, size, out);
    for (size_t i = 0; i < count; i++) {
        mrd_read_head_append(1, series_size(&series[i]), out);
        mrd_buf_append_bytes(out, series[i].label_fields);
        mrd_buf_append_bytes(out, series[i].data_fields);
        MRD_TRY(mrd_pace(&result->pace, SERIES_UNITS + series_size(&series[i]) / 256, err));
    }
    return MRD_OK;
}

static enum mrd_status answer_samples(struct qry_call *call, struct read_result *result,
                                      const struct mrd_read_request *request, struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf message;
    mrd_buf_init(&message, call->limits.response_bytes_max);
    for (size_t i = 0; i < request->query_count; i++) {
        MRD_TRY(read_query(result, &request->queries[i], err));
        MRD_TRY(append_query_result(result, &message, err));
    }
    if (message.failed) {
        return mrd_fail(err, MRD_E_LIMIT,
                        "the answer is larger than %zu bytes (querier.response_bytes_max): ask for "
                        "STREAMED_XOR_CHUNKS, or for less",
                        message.limit);
    }
    MRD_TRY(
        mrd_snappy_encode_looking(mrd_buf_view(&message), &result->look, &call->sink->body, err));
    if (!call->sink->body.failed) { /* an error is not encoded */
        call->sink->content_type = "application/x-protobuf";
        mrd_http_header_set(call->request, "Content-Encoding", "snappy");
    }
    return MRD_OK;
}

/* ---- as streamed chunks ---- */

static enum mrd_status answer_streamed(struct qry_call *call, struct read_result *result,
                                       const struct mrd_read_request *request,
                                       struct mrd_error *err)
{
    call->sink->content_type =
        "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
    for (size_t q = 0; q < request->query_count && !result->gone; q++) {
        size_t count;
        result->query_index = q;
        MRD_TRY(read_query(result, &request->queries[q], err));
        const struct read_series *series = series_of(result, &count);
        for (size_t i = 0; i < count && !result->gone; i++) {
            result->gone = !append_frames(call, &series[i], q);
        }
    }
    return MRD_OK;
}

/* ---- the request ---- */

static enum mrd_status decode(const struct qry_call *call, struct mrd_buf *plain,
                              struct mrd_read_request *out, struct mrd_error *err)
{
    const enum mrd_status status =
        mrd_snappy_decode(mrd_http_body(call->request), MRD_READ_REQUEST_BYTES_MAX, plain, err);
    if (status != MRD_OK) {
        (void)mrd_fail_prefix(err, status, "remote read request");
        return MRD_E_INVALID; /* too large is a bad request as well */
    }
    return mrd_read_request_decode(mrd_buf_view(plain), call->arena, out, err);
}

/* For who looks at the query, and for the log: its selectors, as the query language writes them. */
static enum mrd_status tell_text(const struct qry_call *call,
                                 const struct mrd_read_request *request, struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf text = {0};
    for (size_t i = 0; i < request->query_count; i++) {
        mrd_buf_append_text(&text, i > 0 ? ", " : "");
        mrd_matchers_print(request->queries[i].matchers, request->queries[i].matcher_count, &text);
    }
    const struct mrd_bytes kept = mrd_arena_copy(call->arena, mrd_buf_view(&text));
    if (kept.data == NULL) {
        return mrd_arena_fail(call->arena, err);
    }
    qry_active_text_set(call->options->active, call->query, kept);
    return MRD_OK;
}

/* A header that is one of two texts; the first if it is not there. */
static enum mrd_status choice_header(const struct qry_call *call, const char *name,
                                     const char *first, const char *second, bool *out_second,
                                     struct mrd_error *err)
{
    const struct mrd_bytes header = mrd_http_header(call->request, name);
    *out_second = mrd_bytes_equal(header, mrd_bytes_of(second));
    return *out_second || header.size == 0 || mrd_bytes_equal(header, mrd_bytes_of(first))
               ? MRD_OK
               : mrd_fail(err, MRD_E_INVALID, "%s is \"%s\" or \"%s\"", name, first, second);
}

/* What only some clients can take, they ask for: chunks of encodings 4 to 6, and series in any order. */
static enum mrd_status wishes_read(const struct qry_call *call, struct read_result *result,
                                   struct mrd_error *err)
{
    MRD_TRY(choice_header(call, "X-Read-Start-Times", "false", "true", &result->starts, err));
    return choice_header(call, "X-Read-Order", "labels", "any", &result->any_order, err);
}

enum mrd_status qry_answer_read(struct qry_call *call, struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf plain = {0};
    mrd_auto(mrd_read_request_fini)
    struct mrd_read_request request = {0};
    MRD_TRY(qry_timeout_param(call, err));
    MRD_TRY(decode(call, &plain, &request, err));
    MRD_TRY(tell_text(call, &request, err));
    MRD_TRY(qry_call_open(call, QRY_CALL_CANNOT_WARN, err));
    mrd_auto(read_result_fini)
    struct read_result result = {
        .call = call, .kind = request.kind, .look = mrd_query_look(&call->control)};
    result.pace.look = &result.look;
    MRD_TRY(wishes_read(call, &result, err));
    result.any_order &= request.kind == MRD_READ_STREAMED;
    mrd_buf_init(&result.series, mrd_arena_limit(call->arena));
    mrd_buf_init(&result.scratch, mrd_arena_limit(call->arena));
    mrd_buf_init(&result.labels, mrd_arena_limit(call->arena));
    call->sink->encoding = MRD_HTTP_IDENTITY; /* the protocol has its own */
    return request.kind == MRD_READ_SAMPLES ? answer_samples(call, &result, &request, err)
                                            : answer_streamed(call, &result, &request, err);
}
