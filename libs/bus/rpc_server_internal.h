/* rpc_server_internal.h: what the two halves of the rpc server share: rpc_server.c takes requests and control messages, sends
 * signs of life, starts and stops; rpc_workers.c runs the handlers.
 *
 * Places: at most `workers` handlers hold one. Who waits for credit, or pauses, gives its place up and takes one again before
 * it goes on, before new calls do. A holder of a place never waits for a reader, so places always come free, and a
 * call with a slot always finds a thread: threads are made when all wait. Hence no cycle of readers and calls can form.
 */
#ifndef MRD_BUS_RPC_SERVER_INTERNAL_H
#define MRD_BUS_RPC_SERVER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "bus/connection_internal.h"
#include "bus/rpc.h"
#include "bus/rpc_frame.h"
#include "bus/subscription_internal.h"

enum mrd_rpc_call_end { MRD_RPC_RUNNING, MRD_RPC_CANCELED, MRD_RPC_LOST };

/* A call lives in a slot from its arrival to the end of its handler. */
struct mrd_rpc_call {
    struct mrd_rpc_server *server;
    uint32_t slot;
    natsMsg *msg; /* the request */
    struct mrd_bytes request;
    int64_t deadline_ns;
    char answer[MRD_RPC_SUBJECT_MAX];     /* where answers go */
    char control[MRD_BUS_INBOX_MAX + 32]; /* where the client sends credit and cancellation */
    struct mrd_rpc_call *next;            /* in the queue */
    /* of the worker */
    uint32_t number;
    struct mrd_buf frame;
    struct mrd_buf last;
    /* guarded by the server's lock */
    uint32_t credit;
    int64_t alive_ns; /* the last sign of life; 0: none */
    pthread_cond_t changed;
    _Atomic enum mrd_rpc_call_end end; /* written under the lock, read anywhere (relaxed) */
};

struct mrd_rpc_server_slot {
    struct mrd_rpc_call *call;
    uint32_t generation;
};

struct mrd_rpc_server {
    struct mrd_bus *bus;
    struct mrd_rpc_server_options options;
    char inbox[MRD_BUS_INBOX_MAX];
    struct mrd_bus_subscription *requests;
    struct mrd_bus_subscription *controls;
    struct mrd_bus_listener listener;
    pthread_t pulse_thread;

    pthread_mutex_t lock; /* guards what follows and the calls' credit */
    pthread_cond_t work;  /* the queue is not empty and a place is free, or stopping */
    pthread_cond_t place; /* a place is free for one that goes on */
    pthread_cond_t pulse; /* stopping */
    pthread_cond_t idle;  /* nothing queued or running */
    bool stopping;
    struct mrd_rpc_call *first;
    struct mrd_rpc_call **last;
    struct mrd_rpc_server_slot *slots;
    uint32_t slot_count;
    uint32_t places_taken;
    uint32_t resuming;  /* handlers that wait for a place */
    uint32_t sleeping;  /* threads that wait for work */
    uint32_t starting;  /* threads made that have not looked for work yet */
    pthread_t *threads; /* slot_count at most; none ends before the server */
    uint32_t thread_count;
    struct mrd_rpc_server_stats stats;
};

/* Starts the first threads; false: the system gives none. */
bool mrd_rpc_workers_start(struct mrd_rpc_server *server);

/* Lets them empty the queue and joins them. */
void mrd_rpc_workers_stop(struct mrd_rpc_server *server);

/* Queues a call. */
void mrd_rpc_workers_add(struct mrd_rpc_server *server, struct mrd_rpc_call *call);

/* Lock held: the call's handler is to end soon. */
void mrd_rpc_call_end_now(struct mrd_rpc_call *call, enum mrd_rpc_call_end end);

void mrd_rpc_call_free(struct mrd_rpc_call *call);

#endif
