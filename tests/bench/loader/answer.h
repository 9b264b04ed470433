/* answer.h: an incremental reader of HTTP/1.1 responses, as much as a remote-write sender needs: the
 * status, whether the connection lives on, and the end of the message by Content-Length. A body
 * in chunks is not understood and fails the connection, with a text that says so.
 *
 * Zero-initialise for each response. Threads: one at a time.
 */
#ifndef MRD_BENCH_LOADER_ANSWER_H
#define MRD_BENCH_LOADER_ANSWER_H

#include "base/bytes.h"

enum {
    LOAD_ANSWER_HEAD_MAX = 8192,
    LOAD_ANSWER_TEXT_MAX = 256, /* of the body, kept for a report */
};

struct load_answer {
    char head[LOAD_ANSWER_HEAD_MAX];
    size_t head_size;
    bool head_complete;
    bool keep_alive;
    bool complete;
    unsigned status;
    uint64_t body_left;
    char text[LOAD_ANSWER_TEXT_MAX];
    size_t text_size;
};

/* Takes the next bytes of the stream. MRD_E_INVALID if they are no response that is understood, or
 * go on after its end. */
MRD_MUST_CHECK enum mrd_status load_answer_feed(struct load_answer *answer, struct mrd_bytes bytes,
                                                struct mrd_error *err);

#endif
