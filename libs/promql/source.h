/* source.h: where the engine gets series from. Storage implements it: the querier over the query rpc,
 * tests in memory.
 *
 * A query opens all its selects first and only then reads any of them, so `open` starts the work
 * (sends the requests) and returns at once; `next` waits. Each set is read once, from front to end,
 * and the sets of one query are read in turns, so no set may hold up another: a set whose turn has not
 * come keeps what has arrived within its own bound and stops asking its peers for more.
 *
 * Owner:   the engine closes every set that it opened, read to the end or not.
 * Threads: all calls of one query come from the query's thread. A source may be shared by queries.
 * Memory:  what outlives `next` comes from the query's arena (its budget, MRD_E_LIMIT beyond it);
 *          per-series columns are decoded into scratch that the set owns and uses again.
 * Order:   any, but the same for the same data, or sums differ in the last bit from run to run. That of model/series_order.h
 *          within each segment, where sources are to be merged (series_merge.h).
 */
#ifndef MRD_PROMQL_SOURCE_H
#define MRD_PROMQL_SOURCE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/sort.h"
#include "model/histogram.h"
#include "model/labels.h"
#include "model/matcher.h"
#include "model/sample.h"
#include "promql/annotations.h"
#include "promql/progress.h"

/* What ends a query early. The engine checks it between series and every few thousand samples, a
 * source whenever it waits. */
struct mrd_query_control {
    const _Atomic bool *canceled;  /* relaxed load; NULL: never. Set by whoever lost interest */
    const struct mrd_clock *clock; /* NULL: no deadline */
    int64_t deadline_ns;           /* on the monotonic clock */
    void (*checkpoint)(
        void); /* called at every check, for whom the thread belongs to; NULL: none */
    struct mrd_query_progress *progress; /* kept up to date; NULL: nobody looks */
};

/* MRD_E_CANCELED or MRD_E_TIMEOUT with Prometheus' text, else MRD_OK. control may be NULL. */
MRD_MUST_CHECK enum mrd_status mrd_query_check(const struct mrd_query_control *control,
                                               struct mrd_error *err);

/* The same as a look (base/sort.h); lives as long as the control. */
struct mrd_look mrd_query_look(const struct mrd_query_control *control);

/* What the samples will be used for. A source may use it to fetch less or to push work down; what it
 * yields must lead to the same answer. */
struct mrd_select_hints {
    struct mrd_bytes function; /* of the call or aggregation right around the selector, or empty */
    mrd_time_ms range_ms;      /* of a range selector; 0: instant selector */
    mrd_time_ms start_ms;      /* evaluation grid of the selector (a subquery's inside one) */
    mrd_time_ms end_ms;
    mrd_time_ms step_ms; /* 0: a single evaluation */
    const struct mrd_bytes *grouping;
    size_t grouping_count;
    bool grouping_without; /* `without`; else `by`, if grouping_count > 0 */
};

struct mrd_select {
    const struct mrd_matcher *matchers; /* valid as long as the set */
    size_t matcher_count;
    mrd_time_ms min_ms; /* inclusive; lookback, range, offset and @ are already in */
    mrd_time_ms max_ms; /* inclusive */
    /* Of native histograms also those up to this far before min_ms, or the newest of them alone: it tells whether the first one in the
     * range was reset. 0: none. A series that has nothing else may be yielded. */
    mrd_time_ms histograms_before_ms;
    struct mrd_select_hints hints;
};

/* One series: its labels and all its samples in [min_ms, max_ms] (of histograms maybe one or more before them), times strictly
 * ascending, staleness markers included. Both stay valid until the next call on the same set. A series without samples
 * may be left out or yielded empty. */
struct mrd_source_series {
    struct mrd_labels labels;
    struct mrd_samples samples;
    struct mrd_histograms histograms; /* same range and lifetime */
    bool
        follows; /* the engine's own: histograms.items[0] was looked at beside the one before it, which is not among them any more */
    uint32_t
        segment; /* the part of the storage that holds it; all series of a part come together */
};

struct mrd_source_set; /* the source's own */
struct mrd_coarse;     /* coarse.h */
struct mrd_fragment;   /* fragment.h */

/* For label_names, label_values and series: what the API's parameters say. Matcher sets are or-ed;
 * none means all series. */
struct mrd_label_query {
    const struct mrd_matcher *const *matcher_sets;
    const size_t *matcher_counts;
    size_t matcher_set_count;
    mrd_time_ms min_ms; /* inclusive */
    mrd_time_ms max_ms;
    size_t limit; /* at most that many; 0: all */
};

struct mrd_texts {
    const struct mrd_bytes *items; /* sorted, unique, from the query's arena */
    size_t count;
    bool truncated; /* the limit cut it */
};

struct mrd_label_sets {
    const struct mrd_labels *items; /* unique, from the query's arena */
    size_t count;
    bool truncated;
};

/* What belongs to one query: handed to every call that opens something. The struct is lent for that call,
 * what it points to stays until the query ends. */
struct mrd_query_scope {
    struct mrd_arena *arena;
    struct mrd_annotations *annotations; /* the source adds its warnings here */
    const struct mrd_query_control *control;
};

struct mrd_source {
    void *context;

    /* Starts a select; must not wait. The select (with its matchers) outlives the set. */
    enum mrd_status (*open)(void *context, const struct mrd_select *select,
                            const struct mrd_query_scope *scope, struct mrd_source_set **out_set,
                            struct mrd_error *err);

    /* The next series into *out, or *out_more = false at the end. An error ends the query: there is no
     * silently short answer; a source that may leave out a part says so as a warning. */
    enum mrd_status (*next)(struct mrd_source_set *set, struct mrd_source_series *out,
                            bool *out_more, struct mrd_error *err);

    /* Optional, both or none: takes a plan fragment (fragment.h) instead of the select, whose series are
     * then folded where they are. Must not wait; *out_set = NULL: not this one, ask `open`. The states of
     * one segment after the other come from next_states: all segments that `open` would have, in the same
     * order, their series in the same order. Valid until the next call on the set. `close` closes it. */
    enum mrd_status (*open_fragment)(void *context, const struct mrd_select *select,
                                     const struct mrd_fragment *fragment,
                                     const struct mrd_query_scope *scope,
                                     struct mrd_source_set **out_set, struct mrd_error *err);
    enum mrd_status (*next_states)(struct mrd_source_set *set, struct mrd_bytes *out,
                                   bool *out_more, struct mrd_error *err);

    /* Stops the select if it still runs and frees the set. */
    void (*close)(struct mrd_source_set *set);

    /* Optional: rows of windows that stand for samples of this source. */
    const struct mrd_coarse *coarse;

    /* For the API only; the engine does not call these. May wait. */
    enum mrd_status (*label_names)(void *context, const struct mrd_label_query *query,
                                   const struct mrd_query_scope *scope, struct mrd_texts *out,
                                   struct mrd_error *err);
    enum mrd_status (*label_values)(void *context, struct mrd_bytes name,
                                    const struct mrd_label_query *query,
                                    const struct mrd_query_scope *scope, struct mrd_texts *out,
                                    struct mrd_error *err);
    enum mrd_status (*series)(void *context, const struct mrd_label_query *query,
                              const struct mrd_query_scope *scope, struct mrd_label_sets *out,
                              struct mrd_error *err);
};

#endif
