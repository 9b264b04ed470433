/* remote_write_items.h: histograms, exemplars and metadata of remote write, read one at a time.
 *
 * The walks (remote_write.h, remote_write_v2.h) count them; here each is looked into, so that a wrong one refuses only
 * itself. Histograms are the same message in 1.0 and 2.0. Repeated numbers may come packed or not, of a `oneof` the last
 * counts, unknown fields are skipped.
 *
 * Threads: plain values. Bounds: a histogram has at most MRD_HISTOGRAM_PARTS_MAX of each part; its room is fixed.
 */
#ifndef MRD_WIRE_REMOTE_WRITE_ITEMS_H
#define MRD_WIRE_REMOTE_WRITE_ITEMS_H

#include "model/exemplar.h"
#include "model/histogram_check.h"
#include "model/metadata.h"
#include "wire/remote_write.h"

enum mrd_rw_version { MRD_RW_1 = 1, MRD_RW_2 = 2 };

/* The next Histogram or Exemplar message: `*rest` starts as mrd_rw_series_others. False after the last. */
bool mrd_rw_histogram_next(enum mrd_rw_version version, struct mrd_bytes *rest,
                           struct mrd_bytes *out);
bool mrd_rw_exemplar_next(enum mrd_rw_version version, struct mrd_bytes *rest,
                          struct mrd_bytes *out);

struct mrd_rw_histogram {
    mrd_time_ms time_ms;
    mrd_time_ms start_time_ms; /* 0: unknown (always in 1.0) */
    struct mrd_histogram histogram;
};

/* Room for one histogram, about 1 MiB. */
struct mrd_rw_histogram_room;

struct mrd_rw_histogram_room *mrd_rw_histogram_room_create(void);
void mrd_rw_histogram_room_destroy(struct mrd_rw_histogram_room **room);

/* Reads, checks (mrd_histogram_check) and, where its schema is finer than 8, coarsens a histogram. *out points into the
 * room and is valid until its next use. MRD_E_INVALID or MRD_E_LIMIT with what is wrong. */
MRD_MUST_CHECK enum mrd_status mrd_rw_histogram_read(struct mrd_bytes message,
                                                     struct mrd_rw_histogram_room *room,
                                                     struct mrd_rw_histogram *out,
                                                     struct mrd_error *err);

enum { MRD_RW_EXEMPLAR_LABELS_MAX = 64 }; /* with names and values 128 characters hold no more */

/* Of remote write 1.0. `items` has room for MRD_RW_EXEMPLAR_LABELS_MAX: views, not validated
 * (mrd_exemplar_labels_check does). out->labels is left alone. */
MRD_MUST_CHECK enum mrd_status mrd_rw_exemplar_read(struct mrd_bytes message,
                                                    struct mrd_label *items, size_t *out_count,
                                                    struct mrd_exemplar *out,
                                                    struct mrd_error *err);

/* The next MetricMetadata of remote write 1.0: `*rest` starts as walk.metadata, once the rest has been walked. False after
 * the last. *out_status is MRD_E_INVALID, with err filled, for one that is malformed or has no name. Unknown types are
 * MRD_FAMILY_UNKNOWN. */
bool mrd_rw_metadata_next(struct mrd_bytes *rest, struct mrd_metadata *out,
                          enum mrd_status *out_status, struct mrd_error *err);

#endif
