/* link.h: one keep-alive HTTP connection of the load generator, non-blocking, one request at a time.
 *
 * The socket is registered edge-triggered with the caller's epoll once; after every event and after
 * load_link_send the caller runs load_link_advance, which does all that can be done without waiting.
 *
 * Threads: one.
 */
#ifndef MRD_BENCH_LOADER_LINK_H
#define MRD_BENCH_LOADER_LINK_H

#include <sys/socket.h>

#include "loader/answer.h"

enum { LOAD_LINK_HEAD_MAX = 2048 };

struct load_link {
    int fd; /* -1: closed */
    bool connecting;
    bool busy; /* a request is under way */
    char head[LOAD_LINK_HEAD_MAX];
    size_t head_size;
    struct mrd_bytes body; /* the caller's, until the answer or the loss */
    size_t sent;           /* of head and body */
    struct load_answer answer;
};

enum load_link_event {
    LOAD_LINK_WAITING,  /* nothing more without another event */
    LOAD_LINK_ANSWERED, /* link->answer is complete; the link is free again, or closed */
    LOAD_LINK_LOST,     /* closed; a request under way has no answer */
};

/* Starts to connect. `tag` comes back in epoll_event.data.u64. */
MRD_MUST_CHECK enum mrd_status load_link_open(struct load_link *link, int epoll_fd, uint64_t tag,
                                              const struct sockaddr *address,
                                              socklen_t address_size, struct mrd_error *err);

/* Takes a request; link->head and head_size are set by the caller before. The link must be open (or
 * connecting) and not busy. */
void load_link_send(struct load_link *link, struct mrd_bytes body);

enum load_link_event load_link_advance(struct load_link *link, struct mrd_error *err);

/* Idempotent. */
void load_link_close(struct load_link *link);

#endif
