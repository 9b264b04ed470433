/* rpc_links_internal.h: a server's direct connections, for the two files that make them: rpc_link.c has one of them, its
 * reading, writing and thread; rpc_links.c has all of them, and the watch. */
#ifndef MRD_BUS_RPC_LINKS_INTERNAL_H
#define MRD_BUS_RPC_LINKS_INTERNAL_H

#include "bus/rpc_server_internal.h"

enum {
    MRD_RPC_WATCH_MS = 20,
    MRD_RPC_ALIVE_BYTES = MRD_LINK_SIZE_BYTES + MRD_RPC_FRAME_BYTES,
};

enum mrd_rpc_link_state {
    MRD_RPC_LINK_NEW,  /* its thread has not proved the client yet */
    MRD_RPC_LINK_OPEN, /* its thread reads, or runs a handler */
    MRD_RPC_LINK_LEFT, /* its thread has left it but for the call it runs, another one is to go on */
    MRD_RPC_LINK_ENDED, /* its thread ends, and it is to be freed */
};

struct mrd_rpc_link {
    struct mrd_rpc_links *links;
    struct mrd_rpc_link *next; /* the watch's */
    int fd;                    /* blocks; closed by the watch */
    pthread_t thread;
    _Atomic enum mrd_rpc_link_state
        state; /* stored with release by its thread, loaded with acquire by the watch */
    pthread_mutex_t read_lock; /* whose turn it is to read; others are taken inside it */
    struct mrd_link_reader reader;
    pthread_mutex_t
        write_lock; /* whose turn it is to write while a call runs; others are taken inside it */
    uint8_t rest[MRD_RPC_ALIVE_BYTES]; /* of a sign of life that was cut off */
    size_t rest_size;
    _Atomic bool broken; /* a frame was cut off: nothing can follow; read anywhere (relaxed) */
    pthread_cond_t left;
    /* guarded by the server's lock */
    struct mrd_rpc_call
        *call;      /* takes credit and cancellation; NULL: none, or its end is being sent */
    uint32_t calls; /* that may still use the link */
};

/* A thread that has left its link, until it ends. */
struct mrd_rpc_left {
    pthread_t thread;
    struct mrd_rpc_left *next;
};

struct mrd_rpc_links {
    struct mrd_rpc_server *server;
    struct mrd_link_listener *listener;
    int wake_fd;
    pthread_t watch;
    _Atomic bool
        refusing; /* relaxed: read under the server's lock, or by the watch after it was woken */
    _Atomic bool stopping; /* the same */
    struct mrd_rpc_link *first;
    struct mrd_rpc_left *left;
    uint32_t count;
};

/* What its thread does. */
void *mrd_rpc_link_run(void *link);

/* The watch's look at one: signs of life, and what its client says while its thread runs a handler. */
void mrd_rpc_link_look(struct mrd_rpc_link *link);

void mrd_rpc_link_state_set(struct mrd_rpc_link *link, enum mrd_rpc_link_state state);
enum mrd_rpc_link_state mrd_rpc_link_state(const struct mrd_rpc_link *link);

/* A connection has failed to prove itself, or is one too many. */
void mrd_rpc_links_count_refused(struct mrd_rpc_links *links);

void mrd_rpc_links_wake(struct mrd_rpc_links *links);

#endif
