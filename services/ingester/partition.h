/* partition.h: one partition at work: a log reader, a shard thread with the store, and queries.
 *
 *   reader thread --entries, bounded--> shard (apply) <--questions-- rpc workers
 *
 * The reader's thread waits when the shard is ING_ENTRIES_MAX entries or ING_ENTRY_BYTES_MAX bytes behind; when the
 * memory budget is spent the shard keeps the entry and tries again every second, so the log holds
 * the rest and the lag shows.
 *
 * Threads: create, destroy: one. The rest: any.
 */
#ifndef ING_PARTITION_H
#define ING_PARTITION_H

#include "base/look.h"
#include "base/metrics.h"
#include "bus/log_admin.h"
#include "bus/log_reader.h"
#include "ingester/store.h"

enum {
    ING_ENTRIES_MAX = 256,
    ING_ENTRY_BYTES_MAX = 32 << 20,
};

struct ing_partition;

struct ing_partition_options {
    struct mrd_bus *bus;
    struct ing_store_options store;
    mrd_time_ms window_ms; /* replay from so far back; 0: from the log's start */
    const struct mrd_clock *clock;
};

MRD_MUST_CHECK enum mrd_status ing_partition_create(const struct ing_partition_options *options,
                                                    struct ing_partition **out_partition,
                                                    struct mrd_error *err);

/* No question may be under way. */
void ing_partition_destroy(struct ing_partition **partition);

uint32_t ing_partition_number(const struct ing_partition *partition);

struct ing_partition_progress {
    struct mrd_log_identity
        log;          /* whose sequences the next two are; not known: of none, or it just changes */
    uint64_t applied; /* sequence */
    uint64_t
        sequence_first; /* the head holds all from here on (coverage.h); 0: not known, as where the log is in doubt */
    uint64_t lag;     /* entries of the log that are known and not applied */
    bool caught_up;   /* the log's end at the time of opening is applied */
    bool attached;    /* the reader stands at the log */
    bool over_budget; /* applying has stopped for memory */
    uint64_t rewinds;
    uint64_t sequences_missing;
};
void ing_partition_progress(struct ing_partition *partition, struct ing_partition_progress *out);
/* What the log has now: the head follows its beginning and its age limit (ing_store_trimmed, ing_store_age). */
void ing_partition_log(struct ing_partition *partition, const struct mrd_log_state *log);
const struct ing_store_figures *ing_partition_figures(const struct ing_partition *partition);

/* The last sequence that is applied. */
uint64_t ing_partition_applied(const struct ing_partition *partition);

/* For questions that rely on what the head holds of the log with this tag (model/log_identity.h). *out_held: from where on it holds all; some
 * minutes behind what progress tells, which runs ahead of forgetting, so that one that was asked by what was told before is still answered;
 * 0: not known. That the log has `mark` is looked up once for each time that the reader has begun to read. MRD_E_UNAVAILABLE: the head has read
 * another log, or the log does not have the mark: then nothing more is told of what the head holds until it is another. `look` is asked meanwhile, and may end it. */
MRD_MUST_CHECK enum mrd_status ing_partition_held(struct ing_partition *partition, uint64_t tag,
                                                  struct mrd_log_mark mark,
                                                  const struct mrd_look *look, uint64_t *out_held,
                                                  struct mrd_error *err);

/* Whether `sequence` of the log with this tag is applied (0: of any). */
bool ing_partition_reached(const struct ing_partition *partition, uint64_t tag, uint64_t sequence);

/* Waits for that. MRD_E_TIMEOUT names both; `ended` is asked now and then and ends the wait too (MRD_E_CANCELED). */
MRD_MUST_CHECK enum mrd_status ing_partition_wait(struct ing_partition *partition, uint64_t tag,
                                                  uint64_t sequence, int64_t deadline_ns,
                                                  bool (*ended)(const void *context),
                                                  const void *context, struct mrd_error *err);

/* Runs ask->run in the shard's place with the store's head: at once on the caller's thread if the shard is idle, else it waits
 * for its turn. One that only reads, of a thread that is not in the background, goes before all others then, and into the middle
 * of one that lets it in. MRD_E_UNAVAILABLE: the queue is full or the partition closes; run was not called then. */
struct ing_ask {
    enum mrd_status (*run)(struct ing_ask *ask, struct mrd_head *head, struct mrd_error *err);
    struct mrd_look
        look; /* asked every 20 ms before its turn: anything but MRD_OK ends it, and run is not called; zero: it waits */
    bool reads;  /* run changes nothing but what is the ask's own, and may sort the head's lists */
    bool shared; /* it does not even that: beside readers as well (ing_partition_try_read) */
    struct ing_store *store; /* of the head; set before run */
};
MRD_MUST_CHECK enum mrd_status ing_partition_ask(struct ing_partition *partition,
                                                 struct ing_ask *ask, struct mrd_error *err);

/* Closes a cursor of the head in the shard's place; the caller does not wait for its turn. *cursor is NULL afterwards. */
void ing_partition_cursor_close(struct ing_partition *partition, struct mrd_head_cursor **cursor);

/* Looks at the head on the caller's thread, beside others that do, if nothing is being changed: the head only bears
 * mrd_head_select_small then. False: look was not called. */
struct ing_look {
    void (*look)(struct ing_look *look, struct mrd_head *head);
    struct ing_partition *partition; /* set before look */
};
MRD_MUST_CHECK bool ing_partition_try_read(struct ing_partition *partition, struct ing_look *look);

/* In the middle of an ask's run, where the head may be read: lets urgent ones in. */
void ing_partition_let_urgent(struct ing_partition *partition);

/* Within such reading that is of no urgency: lets other threads have the core (mrd_shard_stand_back). */
void ing_partition_stand_back(struct ing_partition *partition);

#endif
