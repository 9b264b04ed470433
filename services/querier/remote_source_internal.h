/* remote_source_internal.h: the sets of the querier's source, for the files that make it.
 *
 *   remote_source.c    selects, and the API's questions
 *   remote_fragment.c  plan fragments
 */
#ifndef QRY_REMOTE_SOURCE_INTERNAL_H
#define QRY_REMOTE_SOURCE_INTERNAL_H

#include "codec/columns.h"
#include "querier/fanout.h"
#include "querier/hash_set.h"
#include "querier/remote_source.h"

struct qry_fragment_set;

struct mrd_source_set {
    const struct qry_remote *remote;
    struct qry_fragment_set *fragment; /* NULL: a select, else nothing below is used */

    mrd_time_ms min_ms;
    mrd_time_ms max_ms;
    struct qry_fanout *fanout;
    struct mrd_reader chunk;  /* frames of the present rpc chunk that were not read yet */
    struct qry_hash_set seen; /* series of the present partition that were yielded */
    uint32_t partition;       /* the present one */
    bool
        stops_at_partitions; /* says that there is no more at the end of each, and then goes on with the next */
    bool partition_over; /* that is to be said */
    size_t series_count;
    size_t sample_count;

    /* The series being put together: its frames may go on in the next rpc chunk. */
    bool building;
    bool skipping; /* it was yielded before the replica was changed */
    struct mrd_buf label_bytes;
    struct mrd_columns columns;

    /* A frame of the next series, read while finishing the one before. */
    bool frame_held;
    struct mrd_frame frame;

    struct mrd_arena *labels;  /* of the series that was finished last */
    struct mrd_buf last_bytes; /* in order: its canonical labels */

    /* The present partition is answered by another replica: up to here, series have been yielded. */
    bool resumed;
    struct mrd_labels resumed_at; /* points into last_bytes */
    struct mrd_arena *resumed_labels;
    struct mrd_buf
        resumed_frames[2]; /* labels of that replica's present frame and the one before, in turns */
    struct mrd_arena *resumed_arenas[2];
    unsigned resumed_turn;
    bool resumed_any;
    struct mrd_labels resumed_last;
};

/* Where a select begins, and how far before that the histogram is looked for that tells of a reset: nothing is looked at before the floor. */
static inline mrd_time_ms qry_remote_min_ms(const struct qry_remote *remote,
                                            const struct mrd_select *select)
{
    return MRD_MAX(select->min_ms, remote->options.floor_ms);
}
static inline mrd_time_ms qry_remote_before_ms(const struct qry_remote *remote,
                                               const struct mrd_select *select)
{
    const mrd_time_ms from_ms = mrd_time_earlier(select->min_ms, select->histograms_before_ms);
    return qry_remote_min_ms(remote, select) - MRD_MAX(from_ms, remote->options.floor_ms);
}

/* A select of the partitions from partition_first on. */
MRD_MUST_CHECK enum mrd_status qry_set_open(const struct qry_remote *remote,
                                            const struct mrd_select *select,
                                            const struct mrd_query_scope *scope,
                                            uint32_t partition_first,
                                            struct mrd_source_set **out_set, struct mrd_error *err);
MRD_MUST_CHECK enum mrd_status qry_set_next(struct mrd_source_set *set,
                                            struct mrd_source_series *out, bool *out_more,
                                            struct mrd_error *err);
void qry_set_close(struct mrd_source_set *set);

/* The source's functions for fragments (promql/source.h). */
MRD_MUST_CHECK enum mrd_status qry_fragment_open(void *context, const struct mrd_select *select,
                                                 const struct mrd_fragment *fragment,
                                                 const struct mrd_query_scope *scope,
                                                 struct mrd_source_set **out_set,
                                                 struct mrd_error *err);
MRD_MUST_CHECK enum mrd_status qry_fragment_next(struct mrd_source_set *set, struct mrd_bytes *out,
                                                 bool *out_more, struct mrd_error *err);
void qry_fragment_close(struct qry_fragment_set **fragment);

#endif
