/* remote_write.h: a walk over the bytes of a remote-write 1.0 WriteRequest, without objects.
 *
 * The message (prometheus/prometheus prompb/remote.proto, types.proto) is read where it lies: a series
 * is a view of its label bytes, its first sample, and a cursor over the others. The label bytes, all
 * Label fields of the entry one after the other, identify the label set as its sender writes it: hash
 * them, and parse them only when the hash is new. Where a sender does not write them contiguously
 * (legal, never seen) they are brought together in the arena.
 *
 * Follows the protobuf rules: unknown fields are skipped, of a repeated scalar the last one counts,
 * missing ones read 0. A known field of another wire type, groups, field number 0, and lengths beyond
 * their message are malformed. Exemplars, histograms and metadata are counted by the walk and not looked into: the
 * functions of remote_write_items.h read them, and each refuses only itself. Nor are labels looked into: whoever knows
 * the hash of their bytes has read them before.
 *
 * Threads: plain values. Bounds: no recursion; memory is what the caller gives.
 * Cost:    about 15 ns per series of one sample and eight labels.
 */
#ifndef MRD_WIRE_REMOTE_WRITE_H
#define MRD_WIRE_REMOTE_WRITE_H

#include "base/arena.h"
#include "model/labels.h"
#include "model/sample.h"

struct mrd_rw_series {
    struct mrd_bytes labels; /* the Label fields, tags included; 2.0: the references */
    struct mrd_bytes
        samples; /* from the first Sample field on, to the entry's end; for mrd_rw_samples_next */
    struct mrd_sample first; /* if sample_count > 0 */
    uint32_t sample_count;
    uint32_t histogram_count;
    uint32_t exemplar_count;
    uint32_t others_size : 30; /* of mrd_rw_series_others */
    bool has_metadata : 1;     /* 2.0 only */
    bool has_start : 1;        /* 2.0 only: a sample says since when it counts */
};
_Static_assert(sizeof(struct mrd_rw_series) == 64,
               "one cache line: the walk is as fast as it writes");

enum { MRD_RW_BODY_SIZE_MAX = 1 << 30 }; /* decoded; others_size holds less */

/* From the first field on that is neither label nor sample, to the entry's end. */
static inline struct mrd_bytes mrd_rw_series_others(const struct mrd_rw_series *series)
{
    const struct mrd_bytes rest = series->samples;
    return series->others_size == 0
               ? MRD_BYTES_NONE
               : (struct mrd_bytes){rest.data + rest.size - series->others_size,
                                    series->others_size};
}

struct mrd_rw_totals {
    uint64_t series; /* entries */
    uint64_t samples;
    uint64_t histograms;
    uint64_t exemplars;
    uint64_t metadata;
};

struct mrd_rw_walk {
    struct mrd_reader reader;
    const uint8_t *start;
    struct mrd_arena *arena;
    struct mrd_rw_totals totals; /* of what was walked so far */
    struct mrd_bytes metadata;   /* from the first metadata field on; empty: none so far */
};

/* `message` is the decoded body, of less than MRD_RW_BODY_SIZE_MAX bytes. With an arena of NULL label bytes that are not contiguous come back empty: enough to
 * check and count. */
void mrd_rw_walk_init(struct mrd_rw_walk *walk, struct mrd_bytes message, struct mrd_arena *arena);

/* Reads up to count_max further series; *out_count is 0 at the end. Samples have been checked, labels
 * have not. MRD_E_INVALID says at which offset the message is malformed (the walk is over then),
 * MRD_E_LIMIT comes from the arena. */
MRD_MUST_CHECK enum mrd_status mrd_rw_walk_next(struct mrd_rw_walk *walk,
                                                struct mrd_rw_series *out_series, size_t count_max,
                                                size_t *out_count, struct mrd_error *err);

/* Goes over the rest without returning it, so that totals are complete and the whole message is known to
 * be well-formed before any of it is used. The walk stands where it stood but for `metadata`, which it knows then. */
MRD_MUST_CHECK enum mrd_status
mrd_rw_walk_rest(struct mrd_rw_walk *walk, struct mrd_rw_totals *out_totals, struct mrd_error *err);

/* Reads one sample after the other: `*rest` starts as series.samples. False after the last. */
bool mrd_rw_samples_next(struct mrd_bytes *rest, struct mrd_sample *out);

enum { MRD_RW_LABELS_MAX = 512 };

/* Parses label bytes of a series that the walk has returned: views into them, in the sender's order,
 * not validated (mrd_labels_validate does). MRD_E_INVALID if a Label is malformed. `items` has room for MRD_RW_LABELS_MAX; MRD_E_LIMIT if there are more. */
MRD_MUST_CHECK enum mrd_status mrd_rw_labels_read(struct mrd_bytes labels, struct mrd_label *items,
                                                  size_t *out_count, struct mrd_error *err);

#endif
