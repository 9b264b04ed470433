/* intake_internal.h: what the files of the intake share: a shard, a write being taken in, the counters.
 *
 * intake.c the shard; take.c a write: bodies, series, samples; take_others.c histograms, exemplars, metadata;
 * take_new.c series that are new to a tenant that may not have any number of them.
 */
#ifndef DST_INTAKE_INTERNAL_H
#define DST_INTAKE_INTERNAL_H

#include "distributor/intake.h"
#include "wire/remote_write_items.h"
#include "wire/remote_write_v2.h"

enum {
    DST_GROUP = 64, /* series whose cache slots are asked for before the first is looked at */
    /* Series that are read in one go. A write that has more is walked to its end first, so that a malformed one
     * leaves nothing behind. */
    DST_CHUNK = 4096,
};

struct dst_intake {
    struct dst_intake_options options;
    struct mrd_shard *shard;
    struct dst_batcher *batcher;
    struct dst_batcher_stats counted; /* of the batcher, as far as it stands in the metrics */
    struct dst_series_cache cache;
    struct dst_series_cache families; /* metadata, by a hash of all of it */
    struct mrd_buf decoded;
    struct mrd_buf canonical;       /* labels of the series that is introduced */
    struct mrd_buf exemplar_labels; /* canonical as well */
    struct mrd_arena *scratch;
    struct mrd_rw_histogram_room *histogram_room;
    uint64_t key_secret; /* so that nobody can make label bytes with the key of another's series */
    struct mrd_rw_series series[DST_CHUNK];
};

/* What stays the same for all series of a write. */
struct dst_taking {
    struct dst_intake *intake;
    struct dst_write *write;
    const struct mrd_rw2_walk *v2; /* NULL: the write is of remote write 1.0 */
    struct mrd_rw2_metadata
        *said; /* by symbol of the name: the metadata that this write has brought */
    uint64_t tenant_seed;
    uint64_t key_seed;
    uint32_t epoch;
    mrd_time_ms time_max_ms;
    uint64_t hits;
    uint64_t misses;
    uint64_t exemplars; /* looked at so far, for the limit; likewise: */
    uint64_t metadata;
    size_t entries; /* series entries come to, the present one included */
    size_t
        entries_before; /* of them, those that an earlier pass has taken but for what was in doubt */
    bool again;         /* the present one is one of these */
    enum dst_reason limited; /* the reason of the MRD_E_LIMIT at hand */
};

/* Takes a write in: its status is MRD_OK if what it brings is in batches, rejected by itself, or in doubt: then (dst_doubts_are_open) it
 * is to be taken in again once that is answered. */
enum mrd_status dst_take_write(struct dst_intake *intake, struct dst_write *write,
                               struct mrd_error *err) MRD_ON(mrd_shard_thread);

void dst_take_reject(struct dst_taking *taking, enum dst_kind kind, enum dst_reason reason,
                     uint64_t count, const struct mrd_error *why);

/* True if nothing has been rejected for that reason yet: only then is a text looked at, and worth making. */
static inline bool dst_take_first(const struct dst_taking *taking, enum dst_reason reason)
{
    return taking->write->rejected[reason] == 0;
}

/* True if that time may be written; else the item is rejected. */
bool dst_take_time(struct dst_taking *taking, enum dst_kind kind, mrd_time_ms time_ms);

/* Finds the series and announces it if that is due, after making room for about size_bytes; *out_series is ready for a row
 * then. MRD_E_INVALID and MRD_E_LIMIT: the labels cannot be. */
MRD_MUST_CHECK enum mrd_status
dst_take_ready(struct dst_taking *taking, const struct mrd_rw_series *series, struct mrd_id128 key,
               size_t size_bytes, struct dst_series **out_series, struct mrd_error *err)
    MRD_ON(mrd_shard_thread);

/* After something of a series was tried: labels that no series can have are said so, for `count` items; anything else
 * fails the write. */
MRD_MUST_CHECK enum mrd_status dst_take_after(struct dst_taking *taking, enum mrd_status status,
                                              enum dst_kind kind, uint64_t count,
                                              const struct mrd_error *err);

/* A series that the cache does not know, or not any more, may be introduced. Else MRD_E_LIMIT, and the reason is set; or MRD_E_NOT_FOUND:
 * it is in doubt, and left out for now. */
MRD_MUST_CHECK enum mrd_status dst_take_new(struct dst_taking *taking, struct mrd_id128 key,
                                            mrd_series_id id, uint32_t partition,
                                            struct mrd_error *err) MRD_ON(mrd_shard_thread);

/* What such a series is the matter of: the items of its entry are looked at all the same, one by one, so that all is said of
 * them that there is to say in the first pass, and in the next nothing but whether the series may be. */
static inline bool dst_take_is_new(const struct dst_taking *taking, enum mrd_status status)
{
    return status == MRD_E_NOT_FOUND ||
           (status == MRD_E_LIMIT && taking->limited == DST_REASON_SERIES_LIMIT);
}

/* Before so many entries more: MRD_E_CONFLICT if there could be too many doubts, so that the pass is to end here. */
MRD_MUST_CHECK enum mrd_status dst_take_room(const struct dst_taking *taking, size_t entries);

/* Something is open: notes from where the next pass goes on. MRD_OK if this one has not failed. */
MRD_MUST_CHECK enum mrd_status dst_take_pass_end(struct dst_taking *taking, enum mrd_status status);

/* Counts the entry, which is the present one from now on. True if this pass has nothing to do with it; `key` NULL: it has none. */
bool dst_take_skips(struct dst_taking *taking, const struct mrd_rw_series *series,
                    const struct mrd_id128 *key);
static inline bool dst_take_is_done(struct dst_taking *taking, const struct mrd_rw_series *series,
                                    const struct mrd_id128 *key)
{
    taking->again = ++taking->entries <= taking->entries_before;
    return mrd_unlikely(taking->again) && dst_take_skips(taking, series, key);
}

/* Histograms, exemplars and (2.0) metadata of a series, which has some. */
MRD_MUST_CHECK enum mrd_status dst_take_others(struct dst_taking *taking,
                                               const struct mrd_rw_series *series,
                                               struct mrd_id128 key, struct mrd_error *err)
    MRD_ON(mrd_shard_thread);

/* The metadata of a 1.0 write, from its first entry on. */
void dst_take_metadata(struct dst_taking *taking, struct mrd_bytes metadata)
    MRD_ON(mrd_shard_thread);

/* Counts what became of a write. */
void dst_intake_count(struct dst_intake_metrics *metrics, const struct dst_write *write);

#endif
