/* codec_internal.h: what the coding of floats and of histograms shares. */
#ifndef MRD_ROLLUP_CODEC_INTERNAL_H
#define MRD_ROLLUP_CODEC_INTERNAL_H

#include "rollup/codec.h"

/* A double as its difference (xor) to another: a byte with the number of its leading and trailing zero bytes, then what is between. */
void mrd_rollup_put_double(struct mrd_buf *out, double value, double like);
double mrd_rollup_get_double(struct mrd_reader *in, double like);

/* Two samples of a window that ends at end_ms: their distances to it, and if asked their start times. */
struct mrd_rollup_ends {
    struct mrd_span first;
    struct mrd_span last;
};
void mrd_rollup_put_ends(struct mrd_buf *out, const struct mrd_rollup_ends *ends,
                         mrd_time_ms end_ms, bool starts);
/* in->failed if they are not in the window, or not in order. */
struct mrd_rollup_ends mrd_rollup_get_ends(struct mrd_reader *in, mrd_time_ms end_ms,
                                           mrd_time_ms resolution_ms, bool starts);

void mrd_rollup_put_histograms(struct mrd_buf *out, const struct mrd_rollup_histograms *histograms,
                               mrd_time_ms end_ms);
/* MRD_E_LIMIT; anything wrong with the bytes sets in->failed. */
MRD_MUST_CHECK enum mrd_status mrd_rollup_get_histograms(struct mrd_reader *in, mrd_time_ms end_ms,
                                                         mrd_time_ms resolution_ms,
                                                         struct mrd_arena *arena,
                                                         struct mrd_rollup_histograms *out,
                                                         struct mrd_error *err);

#endif
