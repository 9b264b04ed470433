/* remote_read_client.h: the other side of remote_read.h: a request for one query, and the frames of a streamed answer.
 *
 * Answers are hostile: a frame has at most MRD_READ_FRAME_BYTES_MAX bytes, its checksum is checked, every count is
 * bounded by its bytes.
 */
#ifndef MRD_WIRE_REMOTE_READ_CLIENT_H
#define MRD_WIRE_REMOTE_READ_CLIENT_H

#include "base/arena.h"
#include "wire/remote_read.h"

enum { MRD_READ_FRAME_BYTES_MAX = 64 << 20 };

/* Appends a request (not snappy yet) for streamed chunks. The matchers' regexes are not looked at. */
void mrd_read_request_append(const struct mrd_read_query *query, struct mrd_buf *out);

/* What of a frame has not come yet. Zero-initialise; mrd_read_frames_fini frees. */
struct mrd_read_frames {
    struct mrd_buf waiting;
};

typedef enum mrd_status mrd_read_frame_visit(void *context, struct mrd_bytes message,
                                             struct mrd_error *err);

/* Takes the next bytes of an answer and visits each frame that is whole with them. MRD_E_CORRUPT: they are none;
 * MRD_E_LIMIT: one is too large; else what the visit returns. */
MRD_MUST_CHECK enum mrd_status mrd_read_frames_take(struct mrd_read_frames *frames,
                                                    struct mrd_bytes bytes,
                                                    mrd_read_frame_visit *visit, void *context,
                                                    struct mrd_error *err);

/* MRD_E_CORRUPT: the answer ends within a frame. */
MRD_MUST_CHECK enum mrd_status mrd_read_frames_end(const struct mrd_read_frames *frames,
                                                   struct mrd_error *err);
void mrd_read_frames_fini(struct mrd_read_frames *frames);

struct mrd_read_frame {
    struct mrd_labels labels;
    const struct mrd_read_chunk *chunks;
    size_t chunk_count;
};

/* Reads the message of one frame: texts and chunks point into it, arrays come from the arena. MRD_E_CORRUPT: it is no
 * ChunkedReadResponse of one series with sorted labels; MRD_E_LIMIT from the arena. */
MRD_MUST_CHECK enum mrd_status mrd_read_frame_decode(struct mrd_bytes message,
                                                     struct mrd_arena *arena,
                                                     struct mrd_read_frame *out,
                                                     struct mrd_error *err);

#endif
