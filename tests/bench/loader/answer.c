#include "loader/answer.h"

#include <stdlib.h>
#include <strings.h>

/* "HTTP/1.1 204 No Content" */
static bool parse_status_line(struct load_answer *answer, const char *line, size_t size)
{
    enum { STATUS_AT = 9, STATUS_END = 12 };
    if (size < STATUS_END || memcmp(line, "HTTP/1.", 7) != 0 || line[8] != ' ') {
        return false;
    }
    unsigned status = 0;
    for (size_t i = STATUS_AT; i < STATUS_END; i++) {
        if (line[i] < '0' || line[i] > '9') {
            return false;
        }
        status = status * 10 + (unsigned)(line[i] - '0');
    }
    answer->status = status;
    answer->keep_alive = line[7] == '1';
    return true;
}

/* The value of `line` if its name is `name`, else NULL. */
static const char *header_value(const char *line, size_t size, const char *name)
{
    const size_t name_size = strlen(name);
    if (size <= name_size || line[name_size] != ':' || strncasecmp(line, name, name_size) != 0) {
        return NULL;
    }
    const char *value = line + name_size + 1;
    while (*value == ' ' || *value == '\t') {
        value++;
    }
    return value;
}

static enum mrd_status parse_header(struct load_answer *answer, const char *line, size_t size,
                                    struct mrd_error *err)
{
    const char *value = header_value(line, size, "content-length");
    if (value != NULL) {
        char *end = NULL;
        answer->body_left = strtoull(value, &end, 10);
        if (*value < '0' || *value > '9' || *end != '\r') {
            return mrd_fail(err, MRD_E_INVALID, "response with a bad Content-Length");
        }
    }
    if (header_value(line, size, "transfer-encoding") != NULL) {
        return mrd_fail(err, MRD_E_INVALID, "response in chunks, which is not supported here");
    }
    value = header_value(line, size, "connection");
    if (value != NULL && strncasecmp(value, "close", 5) == 0) {
        answer->keep_alive = false;
    }
    return MRD_OK;
}

/* Head is complete and ends in an empty line. */
static enum mrd_status parse_head(struct load_answer *answer, struct mrd_error *err)
{
    const char *line = answer->head;
    const char *end = answer->head + answer->head_size;
    for (bool first = true; line < end; first = false) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        mrd_assert(next != NULL);
        const size_t size = (size_t)(next - line);
        if (first && !parse_status_line(answer, line, size)) {
            return mrd_fail(err, MRD_E_INVALID,
                            "response does not begin with an HTTP/1 status line");
        }
        if (!first) {
            MRD_TRY(parse_header(answer, line, size, err));
        }
        line = next + 1;
    }
    if (answer->status == 204 || answer->status == 304) {
        answer->body_left = 0;
    }
    answer->head_complete = true;
    return MRD_OK;
}

static bool head_ends(const struct load_answer *answer)
{
    return answer->head_size >= 4 &&
           memcmp(answer->head + answer->head_size - 4, "\r\n\r\n", 4) == 0;
}

static void take_body(struct load_answer *answer, struct mrd_reader *in)
{
    const size_t size = (size_t)MRD_MIN((uint64_t)mrd_reader_left(in), answer->body_left);
    const size_t kept = MRD_MIN(size, sizeof(answer->text) - 1 - answer->text_size);
    memcpy(answer->text + answer->text_size, in->at, kept);
    answer->text_size += kept;
    answer->text[answer->text_size] = '\0';
    in->at += size;
    answer->body_left -= size;
}

enum mrd_status load_answer_feed(struct load_answer *answer, struct mrd_bytes bytes,
                                 struct mrd_error *err)
{
    struct mrd_reader in = mrd_reader_of(bytes);
    while (!answer->head_complete && mrd_reader_left(&in) > 0) {
        if (answer->head_size == sizeof(answer->head)) {
            return mrd_fail(err, MRD_E_INVALID, "response head is larger than %d bytes",
                            LOAD_ANSWER_HEAD_MAX);
        }
        answer->head[answer->head_size++] = (char)mrd_read_u8(&in);
        if (head_ends(answer)) {
            MRD_TRY(parse_head(answer, err));
        }
    }
    if (answer->head_complete) {
        take_body(answer, &in);
        answer->complete = answer->body_left == 0;
    }
    if (mrd_reader_left(&in) > 0) {
        return mrd_fail(err, MRD_E_INVALID, "bytes after the end of the response");
    }
    return MRD_OK;
}
