/* rpc_server_internal.h: what the halves of the rpc server share: rpc_server.c takes requests and control messages, sends
 * signs of life, starts and stops; rpc_workers.c runs the handlers; rpc_threads.c makes their threads; rpc_links.c and rpc_link.c have the
 * direct connections, whose threads run handlers themselves where it is their turn.
 *
 * Places: at most `workers` handlers hold one. Who waits for credit, or pauses, or finds at a checkpoint that others are
 * to go first, gives its place up and waits for one again like a new call, but before the new ones of its own
 * flow (base/fair.h). A holder of a place never waits for a reader, so places always come free, and
 * a call with a slot always finds a thread: threads are made when all wait. Hence no cycle of readers and calls can form.
 *
 * A place is handed over, not fought for: whoever frees one looks whose turn it is.
 *
 * Threads: one that works for long on one call lowers its priority, so that the others' short calls find a core
 * at once (base/threads.h); it cannot get it back, so it ends with that call and another one is made when it is needed.
 * What a thread of lower priority makes would inherit it: the pulse thread makes threads in its place.
 *
 * Lanes: calls of a flow that uses more than its share (base/usage.h), and patient ones, are low from their beginning. They have threads of their own,
 * which stay low and go from call to call. A call stays in its lane.
 */
#ifndef MRD_BUS_RPC_SERVER_INTERNAL_H
#define MRD_BUS_RPC_SERVER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/fair.h"
#include "base/threads.h"
#include "base/usage.h"
#include "bus/connection_internal.h"
#include "bus/link_internal.h"
#include "bus/rpc.h"
#include "bus/rpc_frame.h"
#include "bus/subscription_internal.h"

enum mrd_rpc_call_end { MRD_RPC_RUNNING, MRD_RPC_CANCELED, MRD_RPC_LOST };

enum mrd_rpc_lane_kind { MRD_RPC_LANE_USUAL, MRD_RPC_LANE_LOW, MRD_RPC_LANES };

/* A call lives in a slot from its arrival to the end of its handler. */
struct mrd_rpc_call {
    struct mrd_rpc_server *server;
    uint32_t slot;
    natsMsg *msg;              /* the request, or where it came by a link: */
    struct mrd_rpc_link *link; /* lives as long as the call */
    uint8_t *frame_of_request;
    bool
        own_thread; /* the link's thread runs it, so whoever waits for its client reads the link. Written under the
                      * server's lock, before the handler begins or by the thread that runs it */
    struct mrd_bytes request;
    int64_t deadline_ns;
    char answer[MRD_RPC_SUBJECT_MAX];     /* where answers go */
    char control[MRD_BUS_INBOX_MAX + 32]; /* where the client sends credit and cancellation */
    /* of the worker */
    int64_t placed_ns; /* since when it holds its place */
    int64_t looked_ns; /* when it asked last whether it stands in others' way */
    struct mrd_thread_work work;
    uint32_t number;
    struct mrd_buf frame;
    struct mrd_buf last;
    /* guarded by the server's lock */
    struct mrd_fair_waiter waiter; /* for a place; its flow counts the call */
    struct mrd_rpc_call *next;     /* in `ready` */
    bool placed;                   /* it has been given the place that it waits for */
    enum mrd_rpc_lane_kind lane;   /* never changes */
    bool urgent;                   /* its flow's; never changes */
    uint32_t credit;
    int64_t alive_ns;                  /* the last sign of life; 0: none */
    _Atomic bool stop;                 /* `end` is not RUNNING; the same way */
    _Atomic enum mrd_rpc_call_end end; /* written under the lock, read anywhere (relaxed) */
};

enum mrd_rpc_thread_state {
    MRD_RPC_THREAD_NONE,
    MRD_RPC_THREAD_RUNS,
    MRD_RPC_THREAD_ENDED,  /* to be joined */
    MRD_RPC_THREAD_JOINED, /* being joined */
};

struct mrd_rpc_thread {
    struct mrd_rpc_server *server;
    pthread_t id;
    enum mrd_rpc_thread_state state;
    enum mrd_rpc_lane_kind lane;
};

/* Guarded by the server's lock. */
struct mrd_rpc_lane {
    pthread_cond_t work;        /* a call is ready, or stopping */
    struct mrd_rpc_call *ready; /* new calls that have a place and no thread yet */
    struct mrd_rpc_call **ready_last;
    uint32_t ready_count; /* never more than `looking` */
    uint32_t looking;     /* threads that look for a call: asleep, just made, or to be made */
};

struct mrd_rpc_server_slot {
    struct mrd_rpc_call *call;
    uint32_t generation;
    pthread_cond_t changed; /* something of the call has; lives as long as the server */
};

/* Whom to wake once the lock is free: who wakes others while it holds the lock may lose its core to them at once, in the background for
 * milliseconds, and everybody waits for the lock then. */
struct mrd_rpc_wakes {
    unsigned work[MRD_RPC_LANES]; /* threads to be told of calls by signals to the lane's `work` */
    uint32_t count;               /* of slots, whose `changed` is to be signaled */
    uint32_t slots[8];            /* where there are more, the rest is signaled at once */
};

struct mrd_rpc_server {
    struct mrd_bus *bus;
    struct mrd_rpc_server_options options;
    char inbox[MRD_BUS_INBOX_MAX];
    struct mrd_bus_subscription *requests;
    struct mrd_bus_subscription *controls;
    struct mrd_bus_listener listener;
    pthread_t pulse_thread;
    struct mrd_rpc_links *links; /* NULL: requests come over NATS only */

    pthread_mutex_t lock; /* guards what follows and the calls' credit */
    pthread_cond_t pulse; /* stopping, or threads are to be made */
    pthread_cond_t idle;  /* nothing queued or running */
    bool stopping;
    struct mrd_fair flows;
    struct mrd_usage usage; /* of processor time, by flow */
    struct mrd_rpc_lane lanes[MRD_RPC_LANES];
    struct mrd_rpc_server_slot *slots;
    uint32_t slot_count;
    uint32_t threads_owed; /* of the usual lane, to be made by the pulse thread */
    struct mrd_rpc_thread *threads;
    uint32_t thread_slots;
    uint32_t thread_count; /* that run */
    struct mrd_rpc_server_stats stats;
};

/* ---- rpc_threads.c; the lock is held ---- */

/* One more that looks for a call. False: the system gives none. */
bool mrd_rpc_thread_add(struct mrd_rpc_server *server, enum mrd_rpc_lane_kind lane);

/* Makes those that threads of the background have asked for. */
void mrd_rpc_threads_make_owed(struct mrd_rpc_server *server);

/* Joins all, whatever is made meanwhile. */
void mrd_rpc_threads_join(struct mrd_rpc_server *server);

/* ---- rpc_workers.c ---- */

/* What a thread does. */
void mrd_rpc_worker_run(struct mrd_rpc_server *server, enum mrd_rpc_lane_kind lane);

/* Starts the first threads; false: the system gives none. */
bool mrd_rpc_workers_start(struct mrd_rpc_server *server);

/* Lets them empty the queue and joins them. */
void mrd_rpc_workers_stop(struct mrd_rpc_server *server);

/* Queues a call, whose flow it has joined. */
void mrd_rpc_workers_add(struct mrd_rpc_server *server, struct mrd_rpc_call *call);

/* Lock held: the call has a place from now on, if it is its turn: true, and the caller runs it (mrd_rpc_call_run) once the lock
 * is free. Else it is queued, and *wakes are to be woken then (mrd_rpc_workers_wake). */
bool mrd_rpc_workers_enter(struct mrd_rpc_server *server, struct mrd_rpc_call *call,
                           struct mrd_rpc_wakes *wakes);
void mrd_rpc_workers_wake(struct mrd_rpc_server *server, const struct mrd_rpc_wakes *wakes);
void mrd_rpc_call_run(struct mrd_rpc_server *server, struct mrd_rpc_call *call);

/* Lock held: the call's handler is to end soon. */
void mrd_rpc_call_end_now(struct mrd_rpc_call *call, enum mrd_rpc_call_end end);

/* Lock held: so many more chunks. */
void mrd_rpc_call_credit(struct mrd_rpc_call *call, uint32_t chunks);

void mrd_rpc_call_free(struct mrd_rpc_call *call);

/* ---- rpc_server.c ---- */

struct mrd_rpc_call *mrd_rpc_call_create(struct mrd_rpc_server *server,
                                         const struct mrd_rpc_request *request);

/* Lock held. NULL: the call has a slot and belongs to its flow; else why not. */
const char *mrd_rpc_call_admit(struct mrd_rpc_server *server, struct mrd_rpc_call *call,
                               const struct mrd_rpc_flow *flow);
struct mrd_rpc_flow mrd_rpc_flow_of(const struct mrd_rpc_server *server, struct mrd_bytes request);

/* ---- rpc_links.c and rpc_link.c ---- */

MRD_MUST_CHECK enum mrd_status mrd_rpc_links_start(struct mrd_rpc_server *server,
                                                   struct mrd_link_listener *listener,
                                                   struct mrd_error *err);
/* No new connections, no new requests on those that are open. */
void mrd_rpc_links_refuse(struct mrd_rpc_links *links);
/* Ends all; what still runs is canceled. */
void mrd_rpc_links_stop(struct mrd_rpc_links **links);

/* Sends a frame of the call, waiting without a place where the client does not read. */
MRD_MUST_CHECK enum mrd_status mrd_rpc_link_send(struct mrd_rpc_call *call,
                                                 enum mrd_rpc_frame_kind kind,
                                                 enum mrd_status status, struct mrd_bytes first,
                                                 struct mrd_bytes second, struct mrd_error *err);

/* The call has its link's thread: takes credit or cancellation from its client, or returns after a moment without. */
void mrd_rpc_link_listen(struct mrd_rpc_call *call);

/* The call goes on, but its thread is not the link's any more: another one reads it from now on. */
void mrd_rpc_link_hand_over(struct mrd_rpc_call *call);

/* Lock held: the call uses its link no more. */
void mrd_rpc_link_leave(struct mrd_rpc_call *call);

#endif
