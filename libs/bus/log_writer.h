/* log_writer.h: batches into the partition log, each acknowledged exactly once to its caller.
 *
 * A batch is published with its message id and kept until the log has acknowledged it. After a
 * reconnect, a missing acknowledgement, or "no responders" (a leader election) it is published
 * again with the same id; the log's duplicate window makes that harmless.
 *
 * Giving up: at its deadline the caller is told MRD_E_TIMEOUT (or LIMIT: the log is full), but the batch stays here
 * and is sent on until the log has it: its contiguous number must not become a hole. Such a batch counts against the
 * bounds. So only a batch whose writer process dies can be missing, and it was never acknowledged.
 *
 * Order: batches of one partition usually arrive in the order published, but not after a retry.
 *
 * Owner:   whoever created it, destroyed before the connection.
 * Threads: publish and ready from any thread (a distributor shard has its own writer, or shares one).
 *          `done` is called exactly once per accepted batch, on a library thread or on the writer's own; it may
 *          come before publish returns. It must not block nor call the writer: it posts to the shard.
 * Bounds:  outstanding batches and bytes. publish never waits for room; it blocks at most for the
 *          connection's write deadline (about twice), when the server is frozen.
 */
#ifndef MRD_BUS_LOG_WRITER_H
#define MRD_BUS_LOG_WRITER_H

#include "bus/connection.h"

struct mrd_log_writer;

struct mrd_log_writer_options {
    uint32_t partition_count;
    size_t outstanding_max;        /* batches; 0: 1024 */
    size_t outstanding_bytes_max;  /* 0: 256 MiB */
    int64_t ack_wait_ms;           /* without an answer for this long it is sent again; 0: 4000 */
    int64_t retry_ms;              /* pause after "no responders"; 0: 150 */
    int64_t full_retry_ms;         /* pause before a full partition is tried again; 0: 500 */
    const struct mrd_clock *clock; /* NULL: the system's */
};

MRD_MUST_CHECK enum mrd_status mrd_log_writer_create(struct mrd_bus *bus,
                                                     const struct mrd_log_writer_options *options,
                                                     struct mrd_log_writer **out_writer,
                                                     struct mrd_error *err);

/* What became of a batch. */
struct mrd_log_ack {
    enum mrd_status
        status; /* MRD_OK: stored. MRD_E_TIMEOUT: not known by the deadline (it may be or
                             * become stored). MRD_E_LIMIT: the log is full. MRD_E_UNAVAILABLE: the
                             * server refused for another reason. MRD_E_CANCELED: the writer was destroyed. */
    uint64_t stream_sequence; /* if stored: what mrd_log_position makes a position of */
    bool duplicate;           /* it had been stored by an earlier try */
    const char *text;         /* what the server said; ends with the call */
};
typedef void (*mrd_log_done_fn)(void *context, const struct mrd_log_ack *ack);

enum { MRD_LOG_ID_MAX = 96, MRD_LOG_CLASS_MAX = 64 };

struct mrd_log_batch {
    uint32_t partition;
    const char *residency_class; /* one subject token: letters, digits, '-', '_' */
    const char *id;           /* "<instance>-<epoch>-<number>", at most MRD_LOG_ID_MAX - 1 bytes */
    struct mrd_bytes payload; /* copied */
    int64_t
        deadline_ns; /* monotonic clock: when `done` is called at the latest (about 50 ms late) */
    mrd_log_done_fn done;
    void *context;
};

/* Takes the batch, or takes nothing and says why: MRD_E_UNAVAILABLE (too much outstanding, or the
 * server is away for longer than ack_wait_ms), MRD_E_LIMIT (the partition is full), MRD_E_INVALID (larger than the server's
 * max_payload, bad class or id). The same batch may be offered again later. */
MRD_MUST_CHECK enum mrd_status mrd_log_writer_publish(struct mrd_log_writer *writer,
                                                      const struct mrd_log_batch *batch,
                                                      struct mrd_error *err);

/* What publish would say now to a batch of payload_size for this partition: ask before a number is given to a
 * batch, when one thread uses the writer the answer holds (but for a connection lost in between, and then publish
 * takes the batch). */
MRD_MUST_CHECK enum mrd_status mrd_log_writer_ready(struct mrd_log_writer *writer,
                                                    uint32_t partition, size_t payload_size,
                                                    struct mrd_error *err);

/* Grows with each connection (mrd_bus_generation), and when it is said that a log has become another: what was acknowledged under an earlier one may be
 * in a log that is gone. Any thread. */
uint64_t mrd_log_writer_generation(const struct mrd_log_writer *writer);
void mrd_log_writer_renew(struct mrd_log_writer *writer);

struct mrd_log_writer_stats {
    size_t outstanding, outstanding_bytes; /* now; given-up ones included */
    size_t given_up;                       /* of them, past their deadline, still being sent */
    uint64_t accepted, stored, duplicates;
    uint64_t resent;        /* publishes beyond the first of a batch */
    uint64_t timeouts;      /* `done` with MRD_E_TIMEOUT */
    uint64_t refused_full;  /* answers "log full" */
    uint64_t refused_other; /* answers with another error, no responders included */
};
void mrd_log_writer_stats(struct mrd_log_writer *writer, struct mrd_log_writer_stats *out);

/* Waits until nothing is outstanding and every `done` has returned, or timeout_ms. MRD_E_TIMEOUT names the number left. */
MRD_MUST_CHECK enum mrd_status mrd_log_writer_drain(struct mrd_log_writer *writer,
                                                    int64_t timeout_ms, struct mrd_error *err);

/* Every batch still waiting gets `done` with MRD_E_CANCELED before this returns. */
void mrd_log_writer_destroy(struct mrd_log_writer **writer);

#endif
