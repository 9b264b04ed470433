/* rpc_client_internal.h: what the halves of the rpc client share: rpc_client.c has calls, their queues and what comes over NATS;
 * rpc_client_links.c sends and reads those that go over direct connections.
 *
 * A call over a link is read by its fan-out's thread alone, straight from the socket; it has no slot. */
#ifndef MRD_BUS_RPC_CLIENT_INTERNAL_H
#define MRD_BUS_RPC_CLIENT_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "bus/connection_internal.h"
#include "bus/link_internal.h"
#include "bus/rpc.h"
#include "bus/rpc_frame.h"
#include "bus/subscription_internal.h"

enum { MRD_RPC_SLOT_NONE = UINT32_MAX };

struct mrd_rpc_item {
    struct mrd_rpc_item *next;
    natsMsg *msg;   /* what the frame points into, or */
    uint8_t *bytes; /* this; both NULL: a failure of our own */
    struct mrd_rpc_frame frame;
    char text[200];
};

/* What a fan-out's thread sleeps on. The client's, and freed with it only, so it can be signaled without the lock: a
 * signal that comes too late wakes somebody else for nothing. */
struct mrd_rpc_waiter {
    pthread_cond_t arrived;
    struct mrd_rpc_waiter *next; /* in free_waiters, or in sleeping */
    bool asleep;                 /* it is in `sleeping` */
};

/* A call, as its client sees it. */
struct mrd_rpc_asked {
    struct mrd_rpc_fan *fan;
    size_t index;
    uint32_t slot; /* MRD_RPC_SLOT_NONE: it goes over a link */
    bool running;  /* replies are still expected; guarded like all here by the client's lock */
    bool finished; /* END or FAILED was handed out, or canceled */
    bool whole;    /* END or ERROR has come */
    uint32_t number_next;
    uint32_t queued; /* chunks */
    uint32_t consumed;
    struct mrd_rpc_item *first;
    struct mrd_rpc_item **last;
    struct mrd_rpc_item *held; /* behind the last event; of the fan-out's thread, and so the next */
    struct mrd_link_conn *conn; /* NULL: none, or given back */
    int64_t heard_ns;
    char subject[MRD_RPC_SUBJECT_MAX];
    char control[MRD_BUS_INBOX_MAX + 32]; /* empty until the server has told it */
};

struct mrd_rpc_slot {
    struct mrd_rpc_asked *call;
    uint32_t generation;
    uint32_t next_free;
};

struct mrd_rpc_client {
    struct mrd_bus *bus;
    char inbox[MRD_BUS_INBOX_MAX];
    natsSubscription *replies;
    struct mrd_bus_subscription *nobody;
    struct mrd_bus_listener listener;
    struct mrd_link_pool
        *pool; /* NULL: no links. Set before the first fan-out, as the counters are */
    struct mrd_counter *calls_link;
    struct mrd_counter *calls_nats;
    pthread_t idle_thread;
    pthread_mutex_t
        lock; /* guards slots, calls and fan-outs, and what follows; the pool's is taken inside it */
    pthread_cond_t stop;
    bool stopping;
    bool reading;                    /* somebody takes messages from `replies` */
    struct mrd_rpc_waiter *sleeping; /* those who wait while another one reads */
    struct mrd_rpc_slot *slots;
    uint32_t slot_count;
    uint32_t free_head;
    struct mrd_rpc_waiter *free_waiters;
    size_t fans;
};

struct mrd_rpc_fan {
    struct mrd_rpc_client *client;
    struct mrd_rpc_fan_options options;
    struct mrd_rpc_waiter *waiter;
    struct mrd_rpc_asked **calls;
    size_t count;
    size_t capacity;
    size_t unfinished;
    size_t turn; /* where the round over the calls goes on */
    /* of its thread */
    size_t links;          /* calls that have one */
    int64_t links_read_ns; /* when all of them were read last */
};

/* ---- rpc_client.c; the lock is held ---- */

/* No more replies are expected. */
void mrd_rpc_asked_stop(struct mrd_rpc_asked *call);

void mrd_rpc_asked_fail(struct mrd_rpc_asked *call, enum mrd_status status, const char *format, ...)
    MRD_PRINTF(3, 4);

/* A frame has come for a running call; what it points into is taken (and *msg or *bytes NULL) if it is kept. */
void mrd_rpc_asked_hear(struct mrd_rpc_asked *call, struct mrd_bytes data, natsMsg **msg,
                        uint8_t **bytes);

/* ---- rpc_client_links.c; the fan-out's thread ---- */

/* Sends the request over a link, if there is one; false: it is to go over NATS. */
bool mrd_rpc_link_ask(struct mrd_rpc_asked *call, const struct mrd_link *to,
                      struct mrd_bytes request);

/* Lock held, given up meanwhile: waits for the links of the fan-out, and takes what has come. until_ns in the past:
 * only looks. */
void mrd_rpc_links_read(struct mrd_rpc_fan *fan, int64_t until_ns);

/* So many more chunks are granted; a failure to say so is found out by reading. */
void mrd_rpc_link_grant(struct mrd_rpc_asked *call, uint32_t credit);

/* Gives the link back if the answer is whole, and closes it otherwise, which cancels the call. The client's lock may be held. */
void mrd_rpc_link_release(struct mrd_rpc_asked *call);

#endif
