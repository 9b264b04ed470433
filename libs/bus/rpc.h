/* rpc.h: a request over NATS and its answer, a stream of numbered chunks with an explicit end. The end may carry bytes
 * itself, so a small answer is one message.
 *
 * NATS drops messages silently (slow consumer, lost connection), so nothing here trusts arrival:
 * chunks are numbered, a missing number is MRD_E_UNAVAILABLE (ask again), the end is a message of its own.
 * The server sends only as many chunks as the client has granted (credit window), so neither side's
 * buffers can overflow. While a call runs the server sends a sign of life twice a second; silence of
 * MRD_RPC_SILENCE_MS is a dead or frozen peer: MRD_E_UNAVAILABLE long before the deadline. "Nobody listens there" is noticed
 * at once. A lost connection fails the running calls on both sides.
 *
 * Frames on the wire: docs/formats/rpc.md.
 */
#ifndef MRD_BUS_RPC_H
#define MRD_BUS_RPC_H

#include <stdatomic.h>

#include "bus/connection.h"
#include "bus/link.h"

enum {
    MRD_RPC_CHUNK_BYTES = 256 * 1024, /* servers cut chunks at about this size */
    MRD_RPC_WINDOW = 8,               /* chunks granted by default */
    MRD_RPC_SILENCE_MS = 3000,
    MRD_RPC_FAN_MAX = 65536, /* calls of one fan-out */
    MRD_RPC_FRAME_BYTES = 8, /* before each chunk's payload */
};

/* ---- client: many calls at once, read as their chunks arrive ---- */

/* One per connection. Threads: any; each fan-out is used by one thread at a time. */
struct mrd_rpc_client;

MRD_MUST_CHECK enum mrd_status mrd_rpc_client_create(struct mrd_bus *bus,
                                                     struct mrd_rpc_client **out_client,
                                                     struct mrd_error *err);
struct mrd_rpc_link_options {
    /* A peer cannot be reached directly (why != NULL), so that it is asked over NATS, or can be again. On a thread of the
     * client's. NULL: nobody is told */
    void (*on_change)(void *context, const char *address, const struct mrd_error *why);
    void *context;
    struct mrd_counter *calls_link; /* requests by way; each NULL: not counted */
    struct mrd_counter *calls_nats;
    struct mrd_counter *opened; /* connections */
    struct mrd_counter *failed;
};

/* From now on requests go over direct connections (bus/link.h) where there are any: one each at a time. They are made in the
 * background and kept for five minutes; without one that is idle a request goes over NATS. Before the first fan-out. */
MRD_MUST_CHECK enum mrd_status mrd_rpc_client_link(struct mrd_rpc_client *client,
                                                   const struct mrd_rpc_link_options *options,
                                                   struct mrd_error *err);

/* No fan-out may exist. */
void mrd_rpc_client_destroy(struct mrd_rpc_client **client);

/* A set of calls of one thread that share a deadline. Memory: per call at most the window's chunks, the one handed out last and
 * what comes with the end. */
struct mrd_rpc_fan;

struct mrd_rpc_fan_options {
    int64_t deadline_ns;          /* monotonic clock of the system */
    uint32_t window;              /* chunks; 0: MRD_RPC_WINDOW */
    int64_t silence_ms;           /* 0: MRD_RPC_SILENCE_MS */
    const _Atomic bool *canceled; /* looked at while waiting (every 20 ms); NULL: never */
};

struct mrd_rpc_fan *mrd_rpc_fan_create(struct mrd_rpc_client *client,
                                       const struct mrd_rpc_fan_options *options);

/* Sends a request to `subject`; *out_call (from 0, dense) names the call in events. A failure to send is an event, not
 * an error here; MRD_E_LIMIT beyond MRD_RPC_FAN_MAX, MRD_E_INVALID if larger than the server takes. */
MRD_MUST_CHECK enum mrd_status mrd_rpc_fan_start(struct mrd_rpc_fan *fan, const char *subject,
                                                 struct mrd_bytes request, size_t *out_call,
                                                 struct mrd_error *err);

enum mrd_rpc_event_kind { MRD_RPC_CHUNK, MRD_RPC_END, MRD_RPC_FAILED };

struct mrd_rpc_event {
    enum mrd_rpc_event_kind kind;
    size_t call;
    struct mrd_bytes bytes; /* CHUNK: its payload; END: the last bytes of the answer, perhaps none.
                             * Valid until the next event of the same call, or its cancellation. */
    struct mrd_error error; /* FAILED: status and text, the peer's or our own */
};

/* The same, over a direct connection where that is possible. link: as the server's member record has it; NULL: none. */
MRD_MUST_CHECK enum mrd_status mrd_rpc_fan_start_at(struct mrd_rpc_fan *fan, const char *subject,
                                                    const struct mrd_link *link,
                                                    struct mrd_bytes request, size_t *out_call,
                                                    struct mrd_error *err);

/* Waits for the next event of any running call; per call chunks in order, then exactly one END or FAILED, whatever
 * happens. MRD_E_NOT_FOUND when no call is running any more; MRD_E_TIMEOUT or MRD_E_CANCELED ends the whole fan
 * (running calls are canceled on their servers). */
MRD_MUST_CHECK enum mrd_status mrd_rpc_fan_next(struct mrd_rpc_fan *fan, struct mrd_rpc_event *out,
                                                struct mrd_error *err);

/* Same, but only for one call (chunks of the others wait, within their windows). Silence of a call
 * that is not being read counts too. */
MRD_MUST_CHECK enum mrd_status mrd_rpc_fan_next_of(struct mrd_rpc_fan *fan, size_t call,
                                                   struct mrd_rpc_event *out,
                                                   struct mrd_error *err);

/* Tells the server to stop, if the call still runs; it yields no more events, and the bytes of its last one are freed. */
void mrd_rpc_fan_cancel(struct mrd_rpc_fan *fan, size_t call);

/* Cancels what still runs and frees. */
void mrd_rpc_fan_destroy(struct mrd_rpc_fan **fan);

/* ---- server ---- */

/* Fairness: requests belong to flows (a tenant's). Free workers go to the flow that has the fewest; a flow has its share of the
 * workers and of the queue at most; what works for long stands back at its checkpoints (mrd_rpc_call_yield).
 * Threads: as many handlers work at once as there are workers. One that waits for its reader's credit (mrd_rpc_call_send) or
 * for something else (mrd_rpc_call_pause) does not count as working: another call is taken up meanwhile, by a new thread
 * if need be. So a call never waits for the reader of another one, however the readers take turns. */
struct mrd_rpc_server;
struct mrd_rpc_call;

/* What a request belongs to, such as a tenant, and what all of the same key may have together. A share counts from the next
 * request of its flow on; calls under way keep their places. */
struct mrd_rpc_flow {
    uint64_t key;       /* such as a hash of the tenant's name */
    uint32_t workers;   /* that work at once; 0: all but one, of more than one */
    uint32_t queue_max; /* beyond those that wait; 0: half of the server's queue_max */
    bool urgent;        /* other than by the time that a call takes, never in the background */
    bool patient;       /* this request runs in the background, whatever its flow has used here */
};

struct mrd_rpc_server_options {
    const char *subject; /* may have wildcards */
    uint32_t workers;    /* handlers that work at once; 0: 4 */
    uint32_t
        queue_max; /* requests beyond that which wait for a worker or a reader; 0: 256. Further ones are
                          * MRD_E_UNAVAILABLE at once. There are never more threads than both together, for each
                          * kind of flows: those that use more than their share, and the others */
    const char *full; /* text of that refusal, static storage; NULL: a general one */

    /* Fills the flow, which comes zeroed, of a request. Runs where requests arrive and must not wait.
     * NULL: all are of one, without bounds of its own. */
    void (*flow)(void *context, struct mrd_bytes request, struct mrd_rpc_flow *out);
    const char *flow_full; /* as `full` */

    /* Direct connections; NULL: NATS only. The server's from now on, if it can be created. */
    struct mrd_link_listener *listener_take;

    /* Runs on a worker thread, or on a direct connection's own. Sends chunks with mrd_rpc_call_send; its return value ends the call: MRD_OK
     * as END with the last bytes, anything else as an error with err's text. */
    enum mrd_status (*handle)(void *context, struct mrd_rpc_call *call, struct mrd_error *err);
    void *context;
};

MRD_MUST_CHECK enum mrd_status mrd_rpc_server_create(struct mrd_bus *bus,
                                                     const struct mrd_rpc_server_options *options,
                                                     struct mrd_rpc_server **out_server,
                                                     struct mrd_error *err);

/* For handlers. Subject and request are valid until the handler returns. */
const char *mrd_rpc_call_subject(const struct mrd_rpc_call *call);
struct mrd_bytes mrd_rpc_call_request(const struct mrd_rpc_call *call);
int64_t mrd_rpc_call_deadline_ns(const struct mrd_rpc_call *call); /* monotonic, ours */

/* True when the client canceled, the deadline has passed or the connection was lost: stop working. */
bool mrd_rpc_call_ended(const struct mrd_rpc_call *call);
/* Set when the client cancels or the connection is lost, for those who look at flags; the deadline is not in it. */
const _Atomic bool *mrd_rpc_call_stop_flag(const struct mrd_rpc_call *call);
/* That as a status and a text; MRD_OK if it has not ended. */
MRD_MUST_CHECK enum mrd_status mrd_rpc_call_check(const struct mrd_rpc_call *call,
                                                  struct mrd_error *err);

/* Sends one chunk (copied; at most the server's max_payload less MRD_RPC_FRAME_BYTES, usually cut at
 * MRD_RPC_CHUNK_BYTES; nothing is sent if empty), after waiting for credit until the deadline.
 * MRD_E_CANCELED, MRD_E_TIMEOUT, MRD_E_UNAVAILABLE: return that from the handler. */
MRD_MUST_CHECK enum mrd_status mrd_rpc_call_send(struct mrd_rpc_call *call, struct mrd_bytes chunk,
                                                 struct mrd_error *err);

/* The same with a chunk in two pieces, one after the other. */
MRD_MUST_CHECK enum mrd_status mrd_rpc_call_send_joined(struct mrd_rpc_call *call,
                                                        struct mrd_bytes first,
                                                        struct mrd_bytes second,
                                                        struct mrd_error *err);

/* The last bytes of the answer, at most a chunk: END carries them, without credit. The memory is taken over and *bytes is
 * empty afterwards. */
void mrd_rpc_call_last_take(struct mrd_rpc_call *call, struct mrd_buf *bytes);

/* Around a wait that is not work: others may use the worker's place; resume waits for a place again.
 * MRD_E_UNAVAILABLE: no thread can be made for those that wait; return that from the handler, without resume. */
MRD_MUST_CHECK enum mrd_status mrd_rpc_call_pause(struct mrd_rpc_call *call, struct mrd_error *err);
void mrd_rpc_call_resume(struct mrd_rpc_call *call);

/* A checkpoint of long work, to be called every few hundred microseconds: others go first where they have less than their
 * share (which may take as long as a wait for a place does), and after 2 ms of the processor's time the thread goes on
 * in the background (base/threads.h) for the rest of the call. Cost, where nobody waits: a look at the clock. */
void mrd_rpc_call_yield(struct mrd_rpc_call *call);

struct mrd_rpc_server_stats {
    uint64_t requests, refused, failed, canceled, timeouts, yields;
    uint64_t chunks, bytes; /* the last bytes count as well */
    size_t running, queued; /* running: handlers, those that pause included */
    size_t threads;
};
void mrd_rpc_server_stats(struct mrd_rpc_server *server, struct mrd_rpc_server_stats *out);

/* Takes no more requests, waits for the running ones up to drain_ms, then cancels them; joins the
 * workers. */
void mrd_rpc_server_destroy(struct mrd_rpc_server **server, int64_t drain_ms);

#endif
