/* remote_read.h: Prometheus' remote read protocol (prompb/remote.proto, types.proto): the request's bytes
 * to a struct, and the pieces of its two kinds of answer.
 *
 * Requests are read with a bounded cursor; every count has a limit. Answers are put together by the
 * caller, because a series may be larger than what is held of an answer at once:
 *   samples         ReadResponse{1: QueryResult{1: TimeSeries{1: label*, 2: sample*, 4: histogram*}*}*}
 *   streamed        frames: varint size, CRC-32C (4 bytes, big-endian), then
 *                   ChunkedReadResponse{1: ChunkedSeries{1: label*, 2: chunk*}, 2: query index}
 *
 * Threads: pure functions.
 */
#ifndef MRD_WIRE_REMOTE_READ_H
#define MRD_WIRE_REMOTE_READ_H

#include "model/histogram.h"
#include "model/matcher.h"
#include "model/sample.h"

enum {
    MRD_READ_REQUEST_BYTES_MAX = 1 << 20, /* decoded */
    MRD_READ_QUERIES_MAX = 64,
    MRD_READ_MATCHERS_MAX = 1024, /* of a query */
};

enum mrd_read_kind { MRD_READ_SAMPLES = 0, MRD_READ_STREAMED = 1 };

struct mrd_read_query {
    mrd_time_ms min_ms; /* both included */
    mrd_time_ms max_ms;
    struct mrd_matcher *matchers;
    size_t matcher_count;
};

struct mrd_read_request {
    enum mrd_read_kind kind; /* the first of those the client accepts that there is */
    struct mrd_read_query *queries;
    size_t query_count;
};

/* Reads a whole message (not snappy any more). Texts point into it, arrays come from the arena; *out
 * is given to mrd_read_request_fini, on success only. MRD_E_INVALID says what is wrong. */
MRD_MUST_CHECK enum mrd_status mrd_read_request_decode(struct mrd_bytes bytes,
                                                       struct mrd_arena *arena,
                                                       struct mrd_read_request *out,
                                                       struct mrd_error *err);
void mrd_read_request_fini(struct mrd_read_request *request);

/* ---- pieces of answers, each appended to `out` ---- */

/* A field of bytes: tag, size, and the bytes themselves unless only the head is wanted. */
void mrd_read_head_append(unsigned field, size_t size, struct mrd_buf *out);
size_t mrd_read_head_size(size_t size); /* of such a head; fields below 16 */

/* Field 1 of a TimeSeries or ChunkedSeries for each label. */
void mrd_read_labels_append(struct mrd_labels labels, struct mrd_buf *out);

/* Field 2 of a TimeSeries. */
void mrd_read_sample_append(struct mrd_sample sample, struct mrd_buf *out);

/* Field 4 of a TimeSeries. */
void mrd_read_histogram_append(mrd_time_ms time_ms, const struct mrd_histogram *histogram,
                               struct mrd_buf *out);

/* A chunk in one of Prometheus' encodings (codec/xor_chunk.h, codec/varbit_chunk.h), its first and its last time. */
struct mrd_read_chunk {
    unsigned encoding; /* below 128 */
    mrd_time_ms min_ms;
    mrd_time_ms max_ms;
    struct mrd_bytes bytes;
};

/* Field 2 of a ChunkedSeries. */
void mrd_read_chunk_append(const struct mrd_read_chunk *chunk, struct mrd_buf *out);

/* The next field of bytes in what the functions above made, with its head: false at the end. */
bool mrd_read_piece_next(struct mrd_bytes *rest, struct mrd_bytes *out_piece);

/* One frame with one ChunkedSeries, whose fields are `labels` and `chunks` as made above. */
void mrd_read_frame_append(size_t query_index, struct mrd_bytes labels, struct mrd_bytes chunks,
                           struct mrd_buf *out);

#endif
