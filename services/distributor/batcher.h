/* batcher.h: one shard's batches under construction, one per partition, and what becomes of them.
 *
 * Rows gather until a batch is full, nothing else of its partition is in flight, or the linger time has
 * passed. A batch that the log cannot take now is given up whole: its writes are answered with 503 and
 * no number is spent, so the partition's numbering has no hole.
 *
 * References: a series gets the next number of its partition when it is first seen in a label epoch.
 * Batches announce it until one that did is acknowledged; a bit per batch of the epoch says which were.
 *
 * A log that is lost takes the announcements with it. So after each reconnect all are made again, and so they are when a log's sequences
 * go backwards; batches that were under way then, and name what an earlier one announced, do not count as written, whatever the log
 * says: their senders send them again.
 *
 * Compactors trim announcements that nothing has named for some time (compactor.references_kept, which they tell with their membership). So
 * a partition of which nothing was acknowledged that was sent within half of it is announced again; the other half is for batches on their way.
 *
 * Owner:   a shard.
 * Threads: the shard's. Acknowledgements come on a library thread and are posted to the shard.
 * Limits:  target_bytes per batch, one announcement and 64 samples more at most. A histogram or a metadata entry that is
 *          larger than target_bytes by itself has a batch of its own.
 */
#ifndef DST_BATCHER_H
#define DST_BATCHER_H

#include "base/shard.h"
#include "bus/log_writer.h"
#include "distributor/series_cache.h"
#include "distributor/write.h"
#include "model/sample.h"
#include "wire/batch.h"
#include "wire/remote_write_items.h"

struct dst_batcher;

struct dst_batcher_options {
    struct mrd_shard *shard;    /* gets the acknowledgements */
    struct mrd_log_writer *log; /* outlives the batcher */
    struct mrd_hlc_clock *hlc;  /* stamps batches */
    const struct mrd_clock *clock;
    const char *region; /* borrowed, as the next two */
    const char *residency_class;
    const char *instance; /* this shard's name space */
    uint32_t partition_count;
    size_t target_bytes; /* before compression; dst_batcher_target_max bounds it */
    mrd_time_ms linger_ms_max;
    enum mrd_batch_codec codec;        /* of batches of samples */
    enum mrd_batch_codec labels_codec; /* of batches that are mostly label announcements */
    uint32_t reference_count_max;      /* per partition and epoch; 0: what the format has */
    /* How long the log keeps announcements after their last use; 0: for ever, or not known. Asked for once a second or less; may be NULL: for ever. */
    mrd_time_ms (*references_kept_ms)(void *kept_context);
    void *kept_context;
    /* A batch has been acknowledged or given up; its writes' `pending` has been counted down. Called for
     * each write that has none left. */
    void (*on_complete)(void *context, struct dst_write *write);
    void *context;
};

struct dst_batcher_stats {
    uint64_t batches;
    uint64_t batch_bytes;
    uint64_t announcements;
    uint64_t failed; /* given up, or not acknowledged in time */
};

struct dst_batcher *dst_batcher_create(const struct dst_batcher_options *options);

/* No batch may be in flight. */
void dst_batcher_destroy(struct dst_batcher **batcher);

/* The label epoch of the rows that come next; call at the start of each write. A new one sends off what
 * has gathered. Returns its low bits, as dst_series.epoch has them. */
uint32_t dst_batcher_epoch(struct dst_batcher *batcher) MRD_ON(mrd_shard_thread);

/* True if a row of `series` needs no announcement. */
bool dst_batcher_is_announced(const struct dst_batcher *batcher, const struct dst_series *series)
    MRD_ON(mrd_shard_thread);

/* Announces `series` (its partition is set) in the batch under construction, if that has not done so;
 * gives it a reference first if it has none in this epoch. A row of it must follow at once.
 * MRD_E_UNAVAILABLE if the epoch has no more references; nothing has changed then. */
MRD_MUST_CHECK enum mrd_status dst_batcher_announce(struct dst_batcher *batcher,
                                                    struct dst_series *series,
                                                    struct mrd_bytes tenant, mrd_series_id id,
                                                    struct mrd_bytes labels, struct mrd_error *err)
    MRD_ON(mrd_shard_thread);

enum { DST_ROW_SAMPLES_MAX = 64 };

/* Adds a row of 1 to DST_ROW_SAMPLES_MAX samples. start_times_ms: since when each counts (0: unknown), or NULL. The write
 * waits for the batch. May send the batch off afterwards, and then the series' next row may need an
 * announcement again. */
void dst_batcher_row(struct dst_batcher *batcher, struct dst_write *write,
                     const struct dst_series *series, const struct mrd_sample *samples,
                     const mrd_time_ms *start_times_ms, size_t sample_count)
    MRD_ON(mrd_shard_thread);

/* Sends the partition's batch off if what comes next, of about size_bytes, would make it too large. Before something
 * large is announced or added. */
void dst_batcher_reserve(struct dst_batcher *batcher, uint32_t partition, size_t size_bytes)
    MRD_ON(mrd_shard_thread);

/* Adds a histogram or an exemplar of an announced series, as dst_batcher_row does. */
void dst_batcher_histogram(struct dst_batcher *batcher, struct dst_write *write,
                           const struct dst_series *series,
                           const struct mrd_rw_histogram *histogram) MRD_ON(mrd_shard_thread);
void dst_batcher_exemplar(struct dst_batcher *batcher, struct dst_write *write,
                          const struct dst_series *series, const struct mrd_exemplar *exemplar)
    MRD_ON(mrd_shard_thread);

/* Adds metadata of a family, once per label epoch: `family` remembers the batch as a series does (its partition is set). If
 * the log is known to have it, it counts as written at once; if it is on its way in another batch, it goes again. */
void dst_batcher_metadata(struct dst_batcher *batcher, struct dst_write *write,
                          struct dst_series *family, const struct mrd_metadata *metadata)
    MRD_ON(mrd_shard_thread);

/* The largest target whose batches fit into messages of payload_max bytes, however badly their columns
 * compress. */
size_t dst_batcher_target_max(int64_t payload_max);

/* All messages of the shard's queue have been worked through: sends off what need not wait. */
void dst_batcher_idle(struct dst_batcher *batcher) MRD_ON(mrd_shard_thread);

/* Sends off everything. */
void dst_batcher_flush(struct dst_batcher *batcher) MRD_ON(mrd_shard_thread);

/* Batches handed to the log and not yet acknowledged or given up. */
size_t dst_batcher_in_flight(const struct dst_batcher *batcher) MRD_ON(mrd_shard_thread);

void dst_batcher_stats(const struct dst_batcher *batcher, struct dst_batcher_stats *out)
    MRD_ON(mrd_shard_thread);

#endif
