/* columns.h: the chunks of one series decoded into columns: times and values, times and histograms, and start times where
 * a chunk has some.
 *
 * Chunks come in the order of a frame (codec/frame.h): where two have the same timestamp, the later
 * chunk's sample counts. Most series need no merge at all, since their chunks follow each other in
 * time; the rest is merged pairwise, later over earlier. Where a sample and a histogram have the same time, the
 * histogram counts. Of what a histogram's sender said about resets only that it is a gauge comes out.
 *
 * Owner:   struct mrd_columns owns its memory and is used again from series to series.
 * Threads: one at a time.
 * Limits:  samples_max samples of one series, counted before the merge; a histogram counts by its size
 *          (mrd_histogram_weight). histogram_bytes_max for what the histograms of one series point to.
 */
#ifndef MRD_CODEC_COLUMNS_H
#define MRD_CODEC_COLUMNS_H

#include "base/arena.h"
#include "base/look.h"
#include "codec/frame.h"
#include "model/histogram.h"

struct mrd_columns {
    mrd_time_ms *times_ms;
    double *values;
    size_t count;
    size_t capacity; /* of each array; twice that much while merging */

    bool
        started; /* the present series has start times: one for each sample, 0 where it is unknown */
    mrd_time_ms *start_times_ms;
    size_t start_capacity;

    /* Sorted parts of the columns that overlap in time, older chunks first. */
    struct mrd_columns_run *runs;
    size_t run_count;
    size_t run_capacity;

    size_t
        samples_limit; /* that error texts name: what all series together may have; 0: what mrd_columns_add is told */
    size_t histogram_bytes_max; /* set it before use; 0: 64 MiB */
    struct mrd_look look; /* likewise; asked where what is finished is long. Zero: nobody is */
    /* Likewise: of the histograms that are up to this far before the range, the last one is given as well. */
    mrd_time_ms histograms_before_ms;
    struct mrd_histogram_column {
        struct mrd_arena *arena; /* of what the items point to; NULL until there was a histogram */
        mrd_time_ms *times_ms;
        mrd_time_ms *start_times_ms;
        struct mrd_histogram *items;
        size_t count;
        size_t capacity;
        size_t weight;  /* of the items */
        bool unordered; /* times do not ascend strictly */
        bool started;   /* of the present series: a start time is known */
    } histograms;
};

/* Zero-initialise to begin; frees. */
void mrd_columns_fini(struct mrd_columns *columns);

/* Begins a series: forgets what was there. */
void mrd_columns_begin(struct mrd_columns *columns);

/* Decodes and adds the chunks that the frame still has; the frames of one series are added in their
 * order. MRD_E_CORRUPT from a chunk, MRD_E_LIMIT over samples_max or out of memory; begin again then.
 * Cost: decoding. */
MRD_MUST_CHECK enum mrd_status mrd_columns_add(struct mrd_columns *columns, struct mrd_frame *frame,
                                               size_t samples_max, struct mrd_error *err);

/* Merges what was added and gives the samples and histograms in [min_ms, max_ms], and the histogram before the first one if it is asked for. The views stay valid until the
 * next call on the columns. Histograms say where a counter was not reset (codec/resets.h). MRD_E_LIMIT: out of memory. Cost: nothing where chunks do not overlap,
 * else about 3 ns a sample and merge pass. */
MRD_MUST_CHECK enum mrd_status mrd_columns_finish(struct mrd_columns *columns, mrd_time_ms min_ms,
                                                  mrd_time_ms max_ms, struct mrd_samples *out,
                                                  struct mrd_histograms *out_histograms,
                                                  struct mrd_error *err);

#endif
