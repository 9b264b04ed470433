/* store.h: one partition's head and what it takes to fill it from the log's batches.
 *
 * Everything is idempotent: the same batch again changes nothing, so a reader may start over anywhere.
 *
 * Threads: one, the partition's shard. The figures may be read by any.
 * Limits:  memory: `used` of all stores of the process together against `limit`; over it
 *          ing_store_apply says MRD_E_LIMIT, has changed nothing that matters, and is to be called again with the
 *          same batch later.
 */
#ifndef ING_STORE_H
#define ING_STORE_H

#include <stdatomic.h>

#include "head/head.h"
#include "ingester/coverage.h"
#include "ingester/erasures.h"
#include "ingester/exemplars.h"
#include "ingester/families.h"
#include "ingester/limits.h"
#include "model/log_identity.h"
#include "tenancy/settings.h"
#include "wire/references.h"

#define ING_FORGET_DELAY_MS ((mrd_time_ms)15 * 60 * 1000)

/* The process' memory for heads, shared by its stores. */
struct ing_budget {
    size_t limit; /* bytes; 0: none */
    _Atomic int64_t used;
};

struct ing_store_options {
    uint32_t partition;
    mrd_time_ms bucket_ms;
    mrd_time_ms
        forget_delay_ms; /* what the log has not any more goes so much later, at most twice that; 0: ING_FORGET_DELAY_MS */
    struct ing_limits limits;              /* of every tenant, where there are no settings */
    struct mrd_tenancy_settings *settings; /* struct ing_limits, the tenants' own; NULL: none */
    struct ing_budget *budget;
    struct mrd_look
        let_in; /* called in the middle of erasing, where others may read; always MRD_OK. Zero: nobody does */
};

/* What happened, since the start. Written by the shard, read by anyone (relaxed). */
struct ing_store_figures {
    _Atomic uint64_t batches;
    _Atomic uint64_t samples;
    _Atomic uint64_t histograms; /* of the samples */
    _Atomic uint64_t exemplars;
    _Atomic uint64_t exemplars_duplicate;
    _Atomic uint64_t exemplars_out_of_order;
    _Atomic uint64_t exemplars_refused; /* none are to be kept, or too large */
    _Atomic uint64_t families_refused;  /* metadata beyond the bound */
    _Atomic uint64_t out_of_order;
    _Atomic uint64_t duplicate_samples;
    _Atomic uint64_t refused_samples;
    _Atomic uint64_t batches_duplicate;   /* numbers that had come before */
    _Atomic uint64_t batches_late;        /* came after a greater number */
    _Atomic uint64_t batches_missing;     /* holes: LOSS */
    _Atomic uint64_t batches_left_out;    /* stamped before requests to erase that may be unknown */
    _Atomic uint64_t batches_quarantined; /* unreadable: LOSS */
    _Atomic uint64_t rows_unresolved;     /* no announcement: LOSS */
    _Atomic uint64_t
        rows_before_window; /* no announcement, but older than what is kept: expected */
    _Atomic uint64_t announcements_refused; /* labels that are not canonical: LOSS */
    _Atomic uint64_t samples_dropped;       /* by retention */
    _Atomic uint64_t contested_found;       /* conflicting writes that the head could not decide */
    _Atomic uint64_t contested_settled;
    _Atomic uint64_t contested_dropped; /* too many: the stored value stays */
    _Atomic uint64_t contested_waiting;
    _Atomic uint64_t series;
    _Atomic uint64_t tenants;
    _Atomic uint64_t samples_stored;
    _Atomic uint64_t histograms_stored; /* of them */
    _Atomic uint64_t series_created;
    _Atomic uint64_t memory[MRD_HEAD_MEMORY_COUNT];
    _Atomic uint64_t memory_total; /* head and tables */
    _Atomic uint64_t memory_references;
    _Atomic uint64_t memory_exemplars;
    _Atomic uint64_t memory_families;
    _Atomic uint64_t
        log_serial; /* odd: the next four are about to change together (ing_store_held) */
    _Atomic int64_t log_created_ns; /* of which log the next two are */
    _Atomic uint64_t log_base;
    _Atomic uint64_t sequence_first; /* ing_coverage_first */
    _Atomic uint64_t
        sequence_held; /* what that was until a third of the delay ago, and is still true */
    _Atomic uint64_t exemplars_stored;
    _Atomic uint64_t families_stored;
    _Atomic uint64_t erasures;       /* requests applied */
    _Atomic uint64_t samples_erased; /* by them; exemplars included */
};

struct ing_store;

MRD_MUST_CHECK enum mrd_status ing_store_create(const struct ing_store_options *options,
                                                struct ing_store **out_store,
                                                struct mrd_error *err);
void ing_store_destroy(struct ing_store **store);

struct mrd_head *ing_store_head(struct ing_store *store);
const struct ing_exemplars *ing_store_exemplars(const struct ing_store *store);
const struct ing_families *ing_store_families(const struct ing_store *store);
const struct ing_store_figures *ing_store_figures(const struct ing_store *store);

/* What a store says of its log, for any thread. */
struct ing_held {
    struct mrd_log_identity log; /* not known: of none, or this very moment it becomes another */
    uint64_t first;              /* sequence_first; 0: not known */
    uint64_t held;               /* sequence_held, likewise */
};
struct ing_held ing_store_held(const struct ing_store_figures *figures);

/* Where a batch stood in the log. */
struct ing_position {
    struct mrd_log_identity log;
    uint64_t sequence;
    uint64_t missing_before; /* sequences that the log has lost or trimmed */
    mrd_time_ms stored_ms;
    bool erased_known; /* of log_reader.h, with the next */
    mrd_hlc erased;
    /* Where that is not known: what was stored before has been in blocks for long, if the log was trimmed of anything behind it. 0: there are no blocks that
     * have what is left out here. */
    mrd_time_ms unknown_before_ms;
};

/* The next entry that comes is of this log and has this sequence or a later one, for the log has none before it (any more) that the head does not
 * have: so that is where the head begins to hold it. Needed where no entry says so. */
void ing_store_begin(struct ing_store *store, struct mrd_log_identity log, uint64_t sequence);

/* Applies one message. Of a batch that is so old by its stamp that a request to erase may have it which was trimmed before it was read, or forgotten,
 * nothing comes into the head: builders know such requests from the catalog, so blocks have what of it is not erased, and ing_coverage_first says so. What is
 * stamped after the last request that was trimmed comes into the head, wherever the log begins.
 * MRD_E_LIMIT: over the budget, call again with the same. MRD_E_CORRUPT or MRD_E_UNSUPPORTED:
 * it is quarantined (counted; the caller logs err and goes on with the next). */
MRD_MUST_CHECK enum mrd_status ing_store_apply(struct ing_store *store, struct mrd_bytes message,
                                               const struct ing_position *position,
                                               struct mrd_error *err);

/* The log begins at `sequence` now: what lay before it was trimmed (blocks have it) or has become too old. Samples of batches stamped before
 * all that is left are forgotten by the tidying forget_delay_ms later, by stamps; before that ing_coverage_first says so. */
void ing_store_trimmed(struct ing_store *store, uint64_t sequence);

/* The log forgets what is older, by receipt, and so does the head; 0, as at first: nothing by age. */
void ing_store_age(struct ing_store *store, mrd_time_ms age_ms_max);

/* Forgets what is due: old tables, trimmed samples. now_ms is the wall clock once the log's end was
 * reached, else 0: then only the log's own time counts. Looks at series_max series at most. Calls
 * on_hole for each hole found. Call it about once a second, and sooner while it says that there are more series to be looked at. */
bool ing_store_tidy(struct ing_store *store, mrd_time_ms now_ms, size_t series_max,
                    void (*on_hole)(void *context, const struct mrd_number_hole *hole),
                    void *context);

/* Publishes the head's figures. Cheap; after each batch of work. */
void ing_store_publish(struct ing_store *store);

#endif
