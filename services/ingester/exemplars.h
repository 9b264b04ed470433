/* exemplars.h: the latest exemplars of each tenant's series in one partition.
 *
 * A ring per tenant: a new exemplar takes the place of the tenant's oldest once the ring is full. What is taken
 * follows Prometheus (tsdb/exemplar.go): of a series, only what comes after its newest exemplar by time, then value, then
 * labels; so the same log read again changes nothing.
 *
 * Owner:   the store. Threads: the partition's shard.
 * Limits:  exemplars_max of the tenant, which may change: at the next exemplar its oldest go that are too many. Labels of one exemplar have at most MRD_EXEMPLAR_LABEL_RUNES_MAX characters: the
 *          distributor checks that; here their bytes are bounded (2 KiB), and those of their series' labels (4 KiB), so that
 *          a tenant takes at most some 6 KiB for each.
 */
#ifndef ING_EXEMPLARS_H
#define ING_EXEMPLARS_H

#include "base/sort.h"
#include "model/erasure.h"
#include "model/exemplar.h"
#include "model/matcher.h"

struct ing_exemplars;

struct ing_exemplars *ing_exemplars_create(void);
void ing_exemplars_destroy(struct ing_exemplars **exemplars);

size_t ing_exemplars_memory(const struct ing_exemplars *exemplars);
size_t ing_exemplars_count(const struct ing_exemplars *exemplars);

enum ing_exemplar_result {
    ING_EXEMPLAR_TAKEN,
    ING_EXEMPLAR_DUPLICATE,
    ING_EXEMPLAR_OUT_OF_ORDER,
    ING_EXEMPLAR_REFUSED, /* none are kept, or its labels or the series' are too large */
    ING_EXEMPLAR_RESULT_COUNT
};

/* exemplars_max: the tenant's bound now; 0: none are kept. labels: the series', canonical. All is copied. Cost: some binary
 * searches. */
enum ing_exemplar_result ing_exemplars_add(struct ing_exemplars *exemplars, struct mrd_bytes tenant,
                                           size_t exemplars_max, struct mrd_bytes labels,
                                           const struct mrd_exemplar *exemplar);

/* Takes away what the erasure has, whatever its stamp; returns how many. Others may select in `let_in` (NULL: none), which does not
 * end it. Cost: all of the tenant's exemplars are moved. */
uint64_t ing_exemplars_erase(struct ing_exemplars *exemplars, const struct mrd_erasure *erasure,
                             const struct mrd_look *let_in);

struct ing_exemplar_query {
    struct mrd_bytes tenant;
    const struct mrd_matcher *matchers; /* all must hold */
    size_t matcher_count;
    mrd_time_ms time_min_ms; /* both included */
    mrd_time_ms time_max_ms;
    struct mrd_look look; /* asked every few series, and every few exemplars */
};

/* Calls emit for each exemplar found: series by labels, of a series the oldest first. The views end with the call.
 * `arena` is used for labels of one series at a time, and reset. MRD_E_LIMIT: it is too small. */
MRD_MUST_CHECK enum mrd_status ing_exemplars_select(
    const struct ing_exemplars *exemplars, const struct ing_exemplar_query *query,
    struct mrd_arena *arena,
    void (*emit)(void *context, struct mrd_bytes labels, const struct mrd_exemplar *exemplar),
    void *context, struct mrd_error *err);

#endif
