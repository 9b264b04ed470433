/* head.h: the in-memory store of one partition: the log's recent past, for queries.
 *
 * Series are keyed (tenant, series id) in one shared structure, so a tenant costs some tens of bytes.
 * Each has a dense number, its ordinal, by which samples are appended. Labels are shared references,
 * an inverted index answers matchers, samples are compressed chunks cut at time buckets.
 *
 * Owner:   whoever created it, for the whole life.
 * Threads: ONE. No call may overlap another on the same head, but for mrd_head_select_small; nothing inside is locked. What leaves
 *          the head (struct mrd_head_selection, name lists) has memory of its own and may be handed
 *          to another thread whole.
 * Limits:  memory_bytes_limit. Above it mrd_head_series (new series) and mrd_head_append refuse with
 *          MRD_E_LIMIT and change nothing; a single call may pass the limit by what it adds. Times
 *          beyond +-MRD_HEAD_TIME_MAX are refused and counted.
 *
 * ## Ordinals
 * An ordinal names one series until mrd_head_sweep has reported it dead. It is given to another
 * series only after mrd_head_recycle, by which the caller says that it has forgotten the dead ones.
 * Rows that name a dead ordinal are not applied and are counted (rows_dead). A series is removed only
 * when it holds no sample and was last named (mrd_head_series, mrd_head_append) before the sweep's
 * idle_before_hlc: a caller that drops its reference tables older than that before it sweeps holds
 * no dead ordinal.
 *
 * ## Last writer wins
 * (series, time) is a register of a value and its start time (0: unknown), which makes it another value; the
 * greatest (hlc, origin, value bits, start time) wins. Stamps per sample would
 * cost more than the samples, so a chunk keeps only the greatest hlc that its samples were written
 * with, and what overrides a sample of a chunk stands beside it with its exact stamp. So
 *  - a write with a greater hlc than the chunk's wins, as nearly all do: a log's batches come almost in
 *    the order of their stamps; against an override (hlc, origin, bits) decide;
 *  - the same value again can only raise the sample's stamp, so it raises the chunk's;
 *  - another value with an hlc that is not greater than the chunk's is *contested*: the head can not
 *    know which of the two was written later. The stored value stays for the time being, and the caller is asked:
 *    it takes the contested samples, finds for each the greatest write of all (the log has the exact stamps) and
 *    settles them. What is written in between is noticed and asked about again.
 * After that the answer is that of the map, whatever the order of the writes. Two bounds: above 1,024 contested
 * samples of one series, or 65,536 of a head, the stored value stays; that is counted
 * (mrd_head_contested_stats.dropped). And one case is not noticed: a batch that has a sample twice, with two values, is
 * decided by its own two, even if another origin wrote one of them with the very same hlc.
 *
 * ## Start times
 * Since when a sample or a histogram counts is kept where it is known (codec/starts.h): nothing for a series that
 * has none; some tens of bytes for each that has, while they follow a pattern: the same over long runs, or the
 * time of the sample before.
 *
 * ## Histograms
 * The value of (series, time) is a float sample or a native histogram; at one time a series has only one of
 * the two. Among values of equal stamps a histogram is greater than a float, and of two histograms the one whose bytes as
 * the only entry of a chunk (codec/histogram.h; start time included) are greater. Histograms keep their exact stamps, and so do
 * floats that took the place of one, so these are decided exactly, but for one case: a histogram that is not newer than
 * the stamp of the chunk that has a float at its time is taken for the older one (outdated). In a selection a series has
 * chunks of both kinds; where they have the same time, the histogram counts.
 */
#ifndef MRD_HEAD_HEAD_H
#define MRD_HEAD_HEAD_H

#include "base/clock.h"
#include "codec/frame.h"
#include "model/histogram.h"
#include "model/matcher.h"

struct mrd_head;

#define MRD_HEAD_TIME_MAX ((mrd_time_ms)1 << 52)

struct mrd_head_options {
    mrd_time_ms bucket_ms;     /* chunks do not cross multiples of this; 0: 2 hours */
    size_t memory_bytes_limit; /* 0: none */
};

/* MRD_E_LIMIT if address space cannot be reserved. */
MRD_MUST_CHECK enum mrd_status mrd_head_create(const struct mrd_head_options *options,
                                               struct mrd_head **out_head, struct mrd_error *err);

/* No cursor may be open. */
void mrd_head_destroy(struct mrd_head **head);

/* ---- writing ---- */

#define MRD_HEAD_ORDINAL_NONE UINT32_MAX

/* What a batch's announcement says of a series. */
struct mrd_head_series_key {
    struct mrd_bytes tenant;
    mrd_series_id id;
    struct mrd_bytes labels; /* canonical bytes */
};

/* Finds or creates the series and notes `hlc` as the time it was last named. The labels are looked at
 * only if it is new. MRD_E_LIMIT over the budget (only for a new one), MRD_E_CORRUPT if the labels
 * are not canonical; nothing has changed then. Cost: 50 ns found, about 1 us new. */
MRD_MUST_CHECK enum mrd_status mrd_head_series(struct mrd_head *head,
                                               const struct mrd_head_series_key *key, mrd_hlc hlc,
                                               uint32_t *out_ordinal, struct mrd_error *err);

/* Rows of one log batch, in columns: row i has sample_counts[i] samples (NULL: one each) that follow
 * each other in times_ms and values. */
struct mrd_head_batch {
    const uint32_t *ordinals; /* MRD_HEAD_ORDINAL_NONE skips the row */
    const uint32_t *sample_counts;
    size_t row_count;
    const mrd_time_ms *times_ms;
    const double *values;
    size_t sample_count; /* the sum of sample_counts */
    mrd_hlc hlc;
    uint32_t origin;                   /* the same on every reader of the log; breaks ties of hlc */
    const mrd_time_ms *start_times_ms; /* of the samples; 0: unknown; NULL: all unknown */
};

struct mrd_head_append_result { /* added to, so it may accumulate */
    uint64_t appended;          /* samples in order */
    uint64_t out_of_order;      /* samples taken elsewhere than at a series' end */
    uint64_t duplicates;        /* same time, same value */
    uint64_t overrides;         /* same time, other value: won */
    uint64_t outdated;          /* same time, other value: lost */
    uint64_t contested;         /* same time, other value: not known yet which is the later one */
    uint64_t refused;           /* times beyond +-MRD_HEAD_TIME_MAX */
    uint64_t rows_dead;         /* rows of dead ordinals, and of MRD_HEAD_ORDINAL_NONE */
};

/* Applies a batch. MRD_E_LIMIT over the budget: nothing is applied, apply it again later.
 * An ordinal that this head never gave out is the caller's bug and asserts. */
MRD_MUST_CHECK enum mrd_status mrd_head_append(struct mrd_head *head,
                                               const struct mrd_head_batch *batch,
                                               struct mrd_head_append_result *result,
                                               struct mrd_error *err);

/* Rows of histograms of one log batch, as above. */
struct mrd_head_histogram_batch {
    const uint32_t *ordinals;
    const uint32_t *counts; /* NULL: one each */
    size_t row_count;
    const mrd_time_ms *times_ms;
    const struct mrd_histogram *items; /* whatever mrd_histogram_check takes; others are refused */
    size_t item_count;
    mrd_hlc hlc;
    uint32_t origin;
    const mrd_time_ms *start_times_ms; /* as above */
};

/* Applies the histograms of a batch. It does not look at the budget, so that a batch is applied whole or not at all: call
 * mrd_head_append before it, which does. Cost: 10 to 20 ns a bucket at
 * a series' end; elsewhere a chunk is taken apart, 30 us, and put together again, 0.1 to 0.2 ms. */
void mrd_head_append_histograms(struct mrd_head *head, const struct mrd_head_histogram_batch *batch,
                                struct mrd_head_append_result *result);

/* ---- contested samples (see above) ---- */

struct mrd_head_contested {
    mrd_series_id id;
    uint32_t ordinal;
    mrd_time_ms time_ms;
};

/* The greatest of all writes to a sample that the head has been given before the sample was taken. */
struct mrd_head_verdict {
    mrd_hlc hlc;
    uint32_t origin;
    double value;
    mrd_time_ms start_ms; /* 0: unknown */
};

/* True if `a` was written after `b`. */
static inline bool mrd_head_is_later(const struct mrd_head_verdict *a,
                                     const struct mrd_head_verdict *b)
{
    const uint64_t bits = mrd_double_bits(a->value);
    const uint64_t other_bits = mrd_double_bits(b->value);
    return a->hlc != b->hlc         ? a->hlc > b->hlc
           : a->origin != b->origin ? a->origin > b->origin
           : bits != other_bits     ? bits > other_bits
                                    : a->start_ms > b->start_ms;
}

/* How many are not settled, those that were taken included. */
size_t mrd_head_contested_count(const struct mrd_head *head);

/* Moves up to `max` of them into `out` and returns how many. Each is to be settled afterwards. */
size_t mrd_head_contested_take(struct mrd_head *head, struct mrd_head_contested *out, size_t max);

/* The verdict on a sample that was taken, or NULL for none: then it waits to be taken again. */
void mrd_head_settle(struct mrd_head *head, const struct mrd_head_contested *sample,
                     const struct mrd_head_verdict *verdict);

/* There is no more to be found out about it: the stored value stays. */
void mrd_head_contested_forget(struct mrd_head *head, const struct mrd_head_contested *sample);

struct mrd_head_contested_stats {
    uint64_t found;
    uint64_t settled;
    uint64_t dropped; /* beyond the bounds: the stored value stays */
};
void mrd_head_contested_stats(const struct mrd_head *head, struct mrd_head_contested_stats *out);

/* ---- forgetting ---- */

struct mrd_head_sweep {
    /* A chunk goes if its samples are older than drop_before_ms (only whole buckets) and none was
     * received after covered_hlc. */
    mrd_time_ms drop_before_ms;
    mrd_hlc covered_hlc;
    mrd_hlc idle_before_hlc; /* empty series that were last named before this go too */
    size_t series_max;       /* of one call: about 1 us each */
};

struct mrd_head_sweep_result {
    uint64_t samples_dropped;
    uint64_t series_removed;
    const uint32_t
        *dead; /* ordinals that died in this call; valid until the next call on the head */
    size_t dead_count;
    bool pass_done; /* the last series was reached; the next call starts over */
};

/* Looks at up to series_max series, going round. */
void mrd_head_sweep(struct mrd_head *head, const struct mrd_head_sweep *sweep,
                    struct mrd_head_sweep_result *out);

/* The caller has forgotten all dead ordinals reported so far: they may be given out again, once their
 * postings are cleaned up and no cursor is open that could know them. */
void mrd_head_recycle(struct mrd_head *head);

/* ---- reading ---- */

/* What long reading calls every some tens of microseconds, at places where the head may be read, by selects and lists of others as
 * well; nothing may be written meanwhile. Any status but MRD_OK ends the reading with it. Zero: there is nothing to call. */
struct mrd_head_pause {
    enum mrd_status (*run)(void *context, struct mrd_error *err);
    void *context;
};

struct mrd_head_query {
    struct mrd_bytes tenant;
    const struct mrd_matcher *matchers; /* all must hold; none: every series of the tenant */
    size_t matcher_count;
    mrd_time_ms time_min_ms; /* both ends included */
    mrd_time_ms time_max_ms;
    /* Of a series that has something in the range, the chunk with the newest histogram that is up to this far before it comes, too. */
    mrd_time_ms histograms_before_ms;
    size_t series_max; /* 0: none. More is MRD_E_LIMIT */
    size_t
        samples_max; /* 0: none. Counted as stored in the chunks that are returned; a histogram by
                           its size (mrd_histogram_weight) */
    bool
        in_order; /* series in the order of model/series_order.h; else in any, which a restart may change */
    bool labels_only;            /* no chunks: which series have samples in the range */
    struct mrd_head_pause pause; /* of the cursor's slices, too */
    bool
        beside; /* mrd_head_select_small may run meanwhile. MRD_E_UNAVAILABLE: not this time, lists are to be sorted */
};

/* A part of an answer: whole series as frames (codec/frame.h), in memory of its own. Any thread may
 * own it. Chunks overlap the time range; samples outside it may be among theirs. */
struct mrd_head_selection {
    struct mrd_buf frames;
    size_t series_count;
    size_t chunk_count;
    size_t sample_count; /* a histogram counts as its weight */
};

struct mrd_head_cursor;

/* Resolves the matchers to the series of now. The answer then comes in slices; appends and sweeps may
 * go on between them. A series is copied whole in one slice, in its state of that moment; series
 * created later are not in it, removed ones are left out. query and its matchers are needed until
 * this call returns, not longer. MRD_E_LIMIT with the limit's name and value. No cursor on failure. */
MRD_MUST_CHECK enum mrd_status mrd_head_select(struct mrd_head *head,
                                               const struct mrd_head_query *query,
                                               struct mrd_head_cursor **out_cursor,
                                               struct mrd_error *err);

/* Makes the next slice: at least one series, then more until its frames have bytes_max bytes.
 * *out_selection is NULL after the last one. Counts samples against samples_max. */
MRD_MUST_CHECK enum mrd_status mrd_head_cursor_next(struct mrd_head_cursor *cursor,
                                                    size_t bytes_max,
                                                    struct mrd_head_selection **out_selection,
                                                    struct mrd_error *err);

/* All of a select's answer at once, if that is small and there is nothing special about it: up to 256 series without late
 * samples, start times and histograms, within the query's limits and bytes_max. True: *out_selection is the answer, NULL if it is
 * empty. False: select it.
 * Writes nothing of the head, not even scratch: may run on any thread, on several at once, beside mrd_head_cursor_next,
 * mrd_head_cursor_destroy, mrd_head_select that is told so (`beside`) and itself; not beside other calls. */
bool mrd_head_select_small(struct mrd_head *head, const struct mrd_head_query *query,
                           size_t bytes_max, struct mrd_head_selection **out_selection);

/* True if no slice follows. */
bool mrd_head_cursor_at_end(const struct mrd_head_cursor *cursor);

/* Series that the query found when it was resolved. */
size_t mrd_head_cursor_series_count(const struct mrd_head_cursor *cursor);

void mrd_head_cursor_destroy(struct mrd_head_cursor **cursor);
void mrd_head_selection_destroy(struct mrd_head_selection **selection);

/* Calls `emit` for each label name, or each value of label `name`, of the series that the query
 * finds (its limits: series_max bounds the names or values). No order, none twice; the views end with
 * the call to emit. */
typedef void (*mrd_head_emit)(void *context, struct mrd_bytes text);
MRD_MUST_CHECK enum mrd_status mrd_head_label_names(struct mrd_head *head,
                                                    const struct mrd_head_query *query,
                                                    mrd_head_emit emit, void *context,
                                                    struct mrd_error *err);
MRD_MUST_CHECK enum mrd_status mrd_head_label_values(struct mrd_head *head,
                                                     const struct mrd_head_query *query,
                                                     struct mrd_bytes name, mrd_head_emit emit,
                                                     void *context, struct mrd_error *err);

struct mrd_head_erased { /* added to */
    uint64_t samples;
    uint64_t series; /* that had some of them */
};

/* Takes away the samples of the query's series in its range, as if they had never been written: what is written later is not
 * held against them. The series stay until a sweep finds them empty, but no answer has them. Open cursors yield what is
 * left. Does not look at the budget. The query's pause may let others read, who find some of it still there, but may not end it. Cost: resolving the query; 0.3 us a series whose chunks go whole,
 * 4 us for one of which a chunk is partly in the range (0.2 ms if it has histograms). */
void mrd_head_erase(struct mrd_head *head, const struct mrd_head_query *query,
                    struct mrd_head_erased *out);

/* Appends the canonical labels of a series; false if it lives no more. */
bool mrd_head_series_labels(const struct mrd_head *head, uint32_t ordinal, struct mrd_buf *out);

/* Series counts of a tenant by value of label `name` (for example the metric name), and by label
 * name with how many values it has. Series that are empty but not yet removed count,
 * but for those that an erasure has emptied. No order. What ends them early is the pause (may be NULL). */
typedef void (*mrd_head_emit_count)(void *context, struct mrd_bytes text, uint64_t series_count,
                                    uint64_t value_count);
MRD_MUST_CHECK enum mrd_status
mrd_head_count_by_value(struct mrd_head *head, struct mrd_bytes tenant, struct mrd_bytes name,
                        const struct mrd_head_pause *pause, mrd_head_emit_count emit, void *context,
                        struct mrd_error *err);
MRD_MUST_CHECK enum mrd_status mrd_head_count_by_name(struct mrd_head *head,
                                                      struct mrd_bytes tenant,
                                                      const struct mrd_head_pause *pause,
                                                      mrd_head_emit_count emit, void *context,
                                                      struct mrd_error *err);
MRD_MUST_CHECK enum mrd_status mrd_head_tenant_series(struct mrd_head *head,
                                                      struct mrd_bytes tenant,
                                                      const struct mrd_head_pause *pause,
                                                      uint64_t *out, struct mrd_error *err);

/* Which of these series of a tenant the head has: bit i of `bits` (bit 0 of byte 0 is the first) for ids[i]. *out_total: how many it has
 * of the tenant, for whoever limits them: those that are empty and not yet removed count. Changes nothing. What ends it early is the
 * pause (may be NULL). Cost: 50 ns an id. */
MRD_MUST_CHECK enum mrd_status mrd_head_known(struct mrd_head *head, struct mrd_bytes tenant,
                                              const mrd_series_id *ids, size_t count,
                                              const struct mrd_head_pause *pause, uint8_t *bits,
                                              uint64_t *out_total, struct mrd_error *err);

/* Of a tenant: chunks as a selection of everything would have them, oldest and newest time (of nothing: INT64_MAX and
 * INT64_MIN). Cost: a look at each chunk; the pause (may be NULL) may end it. */
struct mrd_head_tenant_figures {
    uint64_t chunks;
    mrd_time_ms time_min_ms;
    mrd_time_ms time_max_ms;
};
MRD_MUST_CHECK enum mrd_status mrd_head_tenant_figures(struct mrd_head *head,
                                                       struct mrd_bytes tenant,
                                                       const struct mrd_head_pause *pause,
                                                       struct mrd_head_tenant_figures *out,
                                                       struct mrd_error *err);

/* ---- figures ---- */

enum mrd_head_memory {
    MRD_HEAD_MEMORY_SERIES,  /* records and the id table */
    MRD_HEAD_MEMORY_LABELS,  /* references and texts */
    MRD_HEAD_MEMORY_INDEX,   /* postings and their tables, tenants */
    MRD_HEAD_MEMORY_OPEN,    /* growing chunks */
    MRD_HEAD_MEMORY_SEALED,  /* closed chunks */
    MRD_HEAD_MEMORY_OVERLAY, /* out-of-order samples and overrides */
    MRD_HEAD_MEMORY_HISTOGRAMS,
    MRD_HEAD_MEMORY_COUNT
};

struct mrd_head_stats {
    size_t memory_bytes[MRD_HEAD_MEMORY_COUNT]; /* in use */
    size_t memory_bytes_total;                  /* taken from the system, free blocks included */
    uint64_t series_count;
    uint64_t tenant_count;
    uint64_t
        sample_count; /* stored now, histograms included; a float that a histogram hides counts too */
    uint64_t histogram_count;
    uint64_t series_created;
    uint64_t series_removed;
};
void mrd_head_stats(const struct mrd_head *head, struct mrd_head_stats *out);

/* True when mrd_head_append would refuse. */
bool mrd_head_over_budget(const struct mrd_head *head);

/* "series", "labels", ... for metrics. */
const char *mrd_head_memory_name(enum mrd_head_memory category);

#endif
