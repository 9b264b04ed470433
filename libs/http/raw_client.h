/* raw_client.h: for tests, an HTTP client that sends any bytes and reads answers one by one.
 *
 * Header-only, so that it is part of tests and of no binary. Failures are assertions. Every wait is for
 * an event and has a bound of RAW_TIMEOUT_MS, after which the test fails.
 */
#ifndef MRD_HTTP_RAW_CLIENT_H
#define MRD_HTTP_RAW_CLIENT_H

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"

enum { RAW_TIMEOUT_MS = 30000 };

struct raw_client {
    int fd;
    struct mrd_buf in; /* read, not yet consumed */
};

struct raw_answer {
    unsigned status; /* 0: the server closed the connection without an answer */
    char *head;      /* status line and headers, terminated */
    struct mrd_buf body;
    bool complete; /* false: it broke off inside the body */
};

MRD_UNUSED static void raw_answer_fini(struct raw_answer *answer)
{
    free(answer->head);
    mrd_buf_fini(&answer->body);
    *answer = (struct raw_answer){0};
}

MRD_UNUSED static void raw_close(struct raw_client *client)
{
    if (client->fd >= 0) {
        close(client->fd);
    }
    mrd_buf_fini(&client->in);
    client->fd = -1;
}

/* Not connected yet. */
MRD_UNUSED static struct raw_client raw_open(void)
{
    struct raw_client client = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    mrd_assert(client.fd >= 0);
    return client;
}

/* False: nobody listens there. */
MRD_UNUSED static bool raw_try_connect(struct raw_client *client, unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return connect(client->fd, (struct sockaddr *)&address, sizeof(address)) == 0;
}

MRD_UNUSED static struct raw_client raw_connect(unsigned port)
{
    struct raw_client client = raw_open();
    mrd_assert(raw_try_connect(&client, port));
    return client;
}

/* False if the server has closed the connection. */
MRD_UNUSED static bool raw_send_bytes(struct raw_client *client, struct mrd_bytes bytes)
{
    while (bytes.size > 0) {
        const ssize_t sent = send(client->fd, bytes.data, bytes.size, MSG_NOSIGNAL);
        if (sent < 0) {
            mrd_assert(errno == EPIPE || errno == ECONNRESET);
            return false;
        }
        bytes.data += sent;
        bytes.size -= (size_t)sent;
    }
    return true;
}

MRD_UNUSED static bool raw_send(struct raw_client *client, const char *text)
{
    return raw_send_bytes(client, mrd_bytes_of(text));
}

/* Reads more into `in`; false at the end of the connection. */
MRD_UNUSED static bool raw_more(struct raw_client *client)
{
    struct pollfd readable = {.fd = client->fd, .events = POLLIN};
    mrd_assert(poll(&readable, 1, RAW_TIMEOUT_MS) == 1);
    uint8_t *to = mrd_buf_reserve(&client->in, 65536);
    mrd_assert(to != NULL);
    const ssize_t size = recv(client->fd, to, 65536, 0);
    if (size <= 0) {
        return false;
    }
    client->in.size += (size_t)size;
    return true;
}

MRD_UNUSED static void raw_consume(struct raw_client *client, size_t size)
{
    memmove(client->in.data, client->in.data + size, client->in.size - size);
    client->in.size -= size;
}

/* The position behind the first `text` in what was read, reading more as needed; 0 at the end. */
MRD_UNUSED static size_t raw_find(struct raw_client *client, const char *text)
{
    const size_t size = strlen(text);
    for (;;) {
        const uint8_t *found =
            client->in.size == 0 ? NULL : memmem(client->in.data, client->in.size, text, size);
        if (found != NULL) {
            return (size_t)(found - client->in.data) + size;
        }
        if (!raw_more(client)) {
            return 0;
        }
    }
}

/* Moves `size` bytes into the answer's body. */
MRD_UNUSED static bool raw_take_body(struct raw_client *client, struct raw_answer *answer,
                                     size_t size)
{
    while (client->in.size < size) {
        if (!raw_more(client)) {
            return false;
        }
    }
    mrd_buf_append(&answer->body, client->in.data, size);
    raw_consume(client, size);
    return true;
}

MRD_UNUSED static bool raw_take_chunks(struct raw_client *client, struct raw_answer *answer)
{
    for (;;) {
        const size_t line = raw_find(client, "\r\n");
        if (line == 0) {
            return false;
        }
        const size_t size = strtoul((const char *)client->in.data, NULL, 16);
        raw_consume(client, line);
        if (size == 0) {
            const size_t end = raw_find(client, "\r\n");
            raw_consume(client, end);
            return end != 0;
        }
        if (!raw_take_body(client, answer, size) || raw_find(client, "\r\n") != 2) {
            return false;
        }
        raw_consume(client, 2);
    }
}

/* The value of a header of an answer, up to the line's end, copied into out; false if there is none. */
MRD_UNUSED static bool raw_header(const struct raw_answer *answer, const char *name, char *out,
                                  size_t out_size)
{
    char start[80];
    (void)snprintf(start, sizeof(start), "\r\n%s: ", name);
    const char *found = strcasestr(answer->head, start);
    if (found == NULL) {
        return false;
    }
    found += strlen(start);
    (void)snprintf(out, out_size, "%.*s", (int)strcspn(found, "\r"), found);
    return true;
}

/* The next answer (an interim 100 included) of a connection. */
MRD_UNUSED static struct raw_answer raw_answer(struct raw_client *client, bool has_body)
{
    struct raw_answer answer = {0};
    const size_t head = raw_find(client, "\r\n\r\n");
    if (head == 0) {
        return answer;
    }
    answer.head = calloc(1, head + 1);
    mrd_assert(answer.head != NULL);
    memcpy(answer.head, client->in.data, head);
    raw_consume(client, head);
    answer.status = (unsigned)strtoul(answer.head + strlen("HTTP/1.1 "), NULL, 10);
    char value[64];
    answer.complete = true;
    if (!has_body || answer.status == 100 || answer.status == 204) {
        return answer;
    }
    if (raw_header(&answer, "Transfer-Encoding", value, sizeof(value))) {
        answer.complete = raw_take_chunks(client, &answer);
    } else if (raw_header(&answer, "Content-Length", value, sizeof(value))) {
        answer.complete = raw_take_body(client, &answer, strtoul(value, NULL, 10));
    }
    return answer;
}

/* True when the server has closed the connection; bytes before that are dropped. */
MRD_UNUSED static bool raw_is_closed(struct raw_client *client)
{
    while (raw_more(client)) {}
    return true;
}

#endif
