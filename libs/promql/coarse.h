/* coarse.h: where the engine gets rows of windows from (docs/formats/rollup.md) where they say as much as the samples.
 *
 * The planner asks once per selector and resolution which spans of time rows know all of, and takes them where every range begins and
 * ends between windows, or outside of these spans; finer rows are taken in what is left, and samples in what is left then. What rows turn
 * out not to know (floats and histograms in one range, ...) makes the engine evaluate the whole query over samples.
 *
 * Owner, threads, memory: as of struct mrd_source (source.h).
 */
#ifndef MRD_PROMQL_COARSE_H
#define MRD_PROMQL_COARSE_H

#include "promql/source.h"
#include "rollup/columns.h"
#include "rollup/fold.h"
#include "rollup/grid.h"
#include "rollup/windows.h"

enum { MRD_COARSE_SPANS_MAX = 64 };

/* (begin, end] */
struct mrd_coarse_span {
    mrd_time_ms begin_ms;
    mrd_time_ms end_ms;
};

struct mrd_coarse_spans {
    struct mrd_coarse_span items[MRD_COARSE_SPANS_MAX];
    size_t count;
};

/* Which rows a query needs, and what of them. */
struct mrd_coarse_wanted {
    mrd_time_ms resolution_ms;
    unsigned columns;            /* bits of enum mrd_rollup_column */
    struct mrd_rollup_grid grid; /* windows beside it need not come */
    /* Between two of them rows may come as one (rollup/fold.h); lent until the set is closed. None: of each window its own. */
    struct mrd_rollup_edges edges;
    struct mrd_rollup_asked asked; /* rows may come with the answers of each */
};

struct mrd_coarse_series {
    struct mrd_labels labels;
    const struct mrd_rollup_columns *const
        *pieces;        /* by time, one row a window at most, that of its last one */
    size_t piece_count; /* 1 at least, none of them empty */
};

struct mrd_coarse_set; /* the source's own */

struct mrd_coarse {
    void *context;
    const mrd_time_ms *resolutions_ms; /* ascending, each a multiple of the one before */
    size_t resolution_count;
    mrd_time_ms sample_interval_ms; /* about how far samples are apart: what rows save; 0: 15 s */

    /* The parts of the select's range in which rows of the resolution have everything, in order, disjoint, ending at windows: the longest
     * ones, if there are more than fit. Two may touch: no joined row goes over that time. May wait. What it says holds for `open` in the same query. */
    enum mrd_status (*spans)(void *context, const struct mrd_select *select,
                             mrd_time_ms resolution_ms, const struct mrd_query_scope *scope,
                             struct mrd_coarse_spans *out, struct mrd_error *err);

    /* The rows whose windows end in [min_ms, max_ms] of the select, with the wanted columns at least. Must not wait. */
    enum mrd_status (*open)(void *context, const struct mrd_select *select,
                            const struct mrd_coarse_wanted *wanted,
                            const struct mrd_query_scope *scope, struct mrd_coarse_set **out_set,
                            struct mrd_error *err);

    /* The next series, each once, in any order that is the same for the same data; valid until the next call. */
    enum mrd_status (*next)(struct mrd_coarse_set *set, struct mrd_coarse_series *out,
                            bool *out_more, struct mrd_error *err);
    void (*close)(struct mrd_coarse_set *set);
};

/* Takes the windows that meet (begin, end] out of the spans, which stay sorted. Where this makes more spans than fit, the shortest
 * goes. */
void mrd_coarse_spans_cut(struct mrd_coarse_spans *spans, mrd_time_ms begin_ms, mrd_time_ms end_ms,
                          mrd_time_ms resolution_ms);

/* Makes the span two in which a time between windows lies, if any does. As above where these do not fit. */
void mrd_coarse_spans_divide(struct mrd_coarse_spans *spans, mrd_time_ms time_ms);

/* Of all spans together. */
mrd_time_ms mrd_coarse_spans_length(const struct mrd_coarse_spans *spans);

#endif
