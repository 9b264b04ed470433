/* hiding.h: what rules of retention (tenancy/retention_rules.h) hide of a tenant's series, as the sources of a query take it.
 *
 * Heads' series are cut as they come (promql/hidden.h), blocks leave out what is hidden as if it were to be erased, and rows of rollups have times of
 * their own. Lists of names, values and series go by the same times.
 *
 * Owner:   the query; all of it lies in its arena or points to the rules, which the query holds.
 * Threads: the query's thread.
 */
#ifndef QRY_HIDING_H
#define QRY_HIDING_H

#include "model/erasure.h"
#include "promql/hidden.h"
#include "querier/extras.h"
#include "tenancy/retention_rules.h"

struct qry_hiding {
    const struct mrd_retention_rule *rules;
    mrd_time_ms now_ms;
    struct mrd_hidden_rules samples; /* one for each rule; none: nothing is hidden */
    const struct mrd_erasure *erasures;
    size_t erasure_count;
    struct mrd_hidden heads; /* of qry_hiding_heads */
};

/* MRD_E_LIMIT from the arena. */
MRD_MUST_CHECK enum mrd_status qry_hiding_init(struct qry_hiding *hiding,
                                               struct mrd_retention_rules rules,
                                               struct mrd_bytes tenant, mrd_time_ms now_ms,
                                               struct mrd_arena *arena, struct mrd_error *err);

/* The source without what is hidden, or a copy of it if nothing is. Both outlive what is returned. */
struct mrd_source qry_hiding_heads(struct qry_hiding *hiding, const struct mrd_source *source);

/* Before which time a rule hides rows of a resolution; context is a struct qry_hiding. */
mrd_time_ms qry_hiding_rows(const void *context, size_t rule, mrd_time_ms resolution_ms);

/* Takes hidden ones out; `look` may end it. */
MRD_MUST_CHECK enum mrd_status qry_hiding_exemplars(const struct qry_hiding *hiding,
                                                    const struct mrd_look *look,
                                                    struct qry_exemplars *exemplars,
                                                    struct mrd_error *err);

#endif
