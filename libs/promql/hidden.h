/* hidden.h: a source of which some series do not show before some time: what rules of retention are about.
 *
 * A rule hides the samples of what it selects before a time. Where several select a series the latest of their times counts. Selects that do not reach
 * behind such a time, or whose matchers no series of the rule can have, go to the source as they are, plan fragments included; of others fragments
 * are declined, and their series are cut here.
 *
 * Lists of names, values and series have what selects of their range would find: they are asked for in parts, without what rules select and then that from the
 * rules' times on, where a list reaches behind such a time; else they are the source's own, as fast as ever. Only if rules of several matchers without an `=` that tells
 * their series from those of the others are to be said together, seven of two matchers or four of three, lists may name what the last of these hide: those whose times are the earliest.
 *
 * Owner:   the query; the struct and what it points to live as long as the source.
 * Threads: the query's thread.
 * Memory:  a small set for each select.
 */
#ifndef MRD_PROMQL_HIDDEN_H
#define MRD_PROMQL_HIDDEN_H

#include "promql/source.h"

struct mrd_hidden_rule {
    const struct mrd_matcher *matchers;
    size_t matcher_count;
    mrd_time_ms before_ms; /* samples before it are hidden; INT64_MIN: none */
};

struct mrd_hidden_rules {
    const struct mrd_hidden_rule *items;
    size_t count;
};

/* False if no series can be of the rule and of a select with these matchers. */
bool mrd_hidden_meets(const struct mrd_hidden_rule *rule, const struct mrd_matcher *matchers,
                      size_t count);

/* Before which time samples of such a series are hidden; INT64_MIN: none are. */
mrd_time_ms mrd_hidden_before(const struct mrd_hidden_rules *rules, struct mrd_labels labels);

struct mrd_hidden {
    const struct mrd_source *source;
    struct mrd_hidden_rules rules;
};

/* The source without what is hidden; it has no rows (coarse.h). */
struct mrd_source mrd_hidden_source(const struct mrd_hidden *hidden);

#endif
