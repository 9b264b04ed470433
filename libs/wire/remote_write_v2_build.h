/* remote_write_v2_build.h: makes a remote-write 2.0 Request (io.prometheus.write.v2.Request), as a sender does.
 *
 * Series by series: begin, its samples and histograms, end. Names and values become symbols as they are first named; each
 * stands in the request once.
 *
 * Owner:  mrd_rw2_build_fini frees; a build is used again after mrd_rw2_build_clear.
 * Threads: one at a time. Limits: the caller looks at mrd_rw2_build_size and sends in time; memory is that and 24 bytes a
 * symbol.
 */
#ifndef MRD_WIRE_REMOTE_WRITE_V2_BUILD_H
#define MRD_WIRE_REMOTE_WRITE_V2_BUILD_H

#include "base/interner.h"
#include "model/histogram.h"
#include "model/labels.h"

struct mrd_rw2_build {
    struct mrd_interner symbols;
    struct mrd_buf references; /* of the series that has begun */
    struct mrd_buf series;     /* their fields */
    struct mrd_buf current;    /* the content of the series that has begun */
    size_t series_count;
    size_t sample_count;
    size_t histogram_count;
};

void mrd_rw2_build_init(struct mrd_rw2_build *build);
void mrd_rw2_build_fini(struct mrd_rw2_build *build);
void mrd_rw2_build_clear(struct mrd_rw2_build *build);

void mrd_rw2_build_begin(struct mrd_rw2_build *build, struct mrd_labels labels);
/* start_ms 0: unknown. */
void mrd_rw2_build_sample(struct mrd_rw2_build *build, struct mrd_sample sample,
                          mrd_time_ms start_ms);
void mrd_rw2_build_histogram(struct mrd_rw2_build *build, mrd_time_ms time_ms, mrd_time_ms start_ms,
                             const struct mrd_histogram *histogram);
void mrd_rw2_build_end(struct mrd_rw2_build *build);

/* Bytes of the request as it is, with the series under construction; a few more for each symbol. */
static inline size_t mrd_rw2_build_size(const struct mrd_rw2_build *build)
{
    return build->symbols.bytes.size + (1 + MRD_VARINT_SIZE_MAX) * (size_t)build->symbols.count +
           build->series.size + build->current.size;
}

/* Appends the message; no series is under construction. */
void mrd_rw2_build_append(const struct mrd_rw2_build *build, struct mrd_buf *out);

#endif
