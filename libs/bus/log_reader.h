/* log_reader.h: follows one partition of the log from a position that the reader keeps.
 *
 * Entries come in the order of their sequences, each at least once and, within one reader's life,
 * exactly once: after a reconnect, a restart of the server, or the loss of the consumer the reader makes a new
 * consumer right behind the last delivered sequence. A message lost on the way is noticed by the
 * consumer's own numbering and fetched again. Sequences that the log itself no longer has (trimmed)
 * are reported with the next entry as `missing_before`.
 *
 * Sequences are positions (log_map.h). Within seconds the reader notices that the log is another, made anew or restored, or was adopted,
 * and goes on in it: behind its position if that is certain to be right, which it is in a log that was adopted, else at its
 * beginning (MRD_LOG_REWOUND). Each entry says which log it is of.
 *
 * How: an ephemeral pull consumer without acknowledgements; requests are made by hand (nats.c's Fetch
 * returns late and can overrun its array), two at a time, each bounded in messages and bytes.
 *
 * Threads: one thread per reader, its own, calls on_entry, on_event and on_passed. on_entry may block: then nothing more
 *          is asked for, and at most two requests' worth of messages waits in memory. destroy waits for a running
 *          callback; unblock it first. The other functions may be called from any thread.
 */
#ifndef MRD_BUS_LOG_READER_H
#define MRD_BUS_LOG_READER_H

#include "bus/connection.h"
#include "model/log_identity.h"

struct mrd_log_reader;
struct mrd_log_entry_memory;

struct mrd_log_entry {
    struct mrd_log_identity log;
    uint64_t sequence;
    uint64_t
        missing_before; /* sequences between the last entry and this one that the log lost or trimmed */
    /* Where the entry does not follow another that was read (it is the first, but not the log's very first, or something is missing before it): the greatest
     * stamp of requests to erase that were trimmed before it, 0: of none; if that is all that was left out. */
    bool erased_known;
    mrd_hlc erased;
    uint64_t pending;      /* entries behind this one in the log when it was sent */
    mrd_time_ms stored_ms; /* when the log took it, the server's clock */
    struct mrd_bytes payload;
    const char *residency_class;         /* last token of the subject */
    struct mrd_log_entry_memory *memory; /* what payload and class point into */
};

/* Frees what an entry points into. */
void mrd_log_entry_fini(struct mrd_log_entry *entry);

enum mrd_log_event {
    MRD_LOG_RESUMED, /* a consumer stands (again); text says from where */
    MRD_LOG_LOST,    /* the consumer or the connection is gone; retried by itself */
    MRD_LOG_REWOUND, /* the log does not have what we have read: it was restored or made anew, and not adopted. Reading
                       * starts over at its first sequence; the owner decides what that means */
    MRD_LOG_CAUGHT_UP /* everything that the log held when the consumer was made has been delivered; once per reader */
};

struct mrd_log_reader_options {
    uint32_t partition;
    uint64_t sequence_start;   /* first sequence to read; 0: use time_start_ms */
    mrd_time_ms time_start_ms; /* first entry stored at or after; <= 0: the log's first */
    uint32_t request_messages; /* per request; 0: 128 */
    int64_t request_bytes;     /* per request; 0: 4 MiB. Grows by itself for a larger message */
    int64_t look_ms; /* how soon the thread notices a destroy while nothing comes; 0: 250 */

    /* The entry is the callee's: mrd_log_entry_fini when done with it, on any thread. */
    void (*on_entry)(void *context, struct mrd_log_entry *entry);
    /* May be NULL. */
    void (*on_event)(void *context, enum mrd_log_event event, const char *text);
    /* May be NULL. Every entry of the log up to the sequence was handed out before, or is not in it (any more), or is older than time_start_ms.
     * Called when that is more than the last entry says: of a log that was trimmed to its end, nothing comes. */
    void (*on_passed)(void *context, struct mrd_log_identity log, uint64_t sequence);
    void *context;
};

MRD_MUST_CHECK enum mrd_status mrd_log_reader_create(struct mrd_bus *bus,
                                                     const struct mrd_log_reader_options *options,
                                                     struct mrd_log_reader **out_reader,
                                                     struct mrd_error *err);

struct mrd_log_reader_stats {
    uint64_t sequence; /* last delivered, 0 before the first */
    uint64_t pending;  /* entries still to come, as of the last entry or look */
    uint64_t entries, bytes;
    uint64_t missing;   /* sum of missing_before */
    uint64_t consumers; /* made so far */
    uint64_t losses;    /* messages lost on the way and fetched again (events, not messages) */
    bool attached;      /* a consumer stands */
    bool caught_up;
};
void mrd_log_reader_stats(struct mrd_log_reader *reader, struct mrd_log_reader_stats *out);

/* Stops, joins the thread and frees. Entries already handed out stay valid until their fini. */
void mrd_log_reader_destroy(struct mrd_log_reader **reader);

#endif
