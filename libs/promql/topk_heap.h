/* topk_heap.h: the k members that topk, bottomk or limitk keep of one group at one step. Go's container/heap
 * step for step, so that ties fall as they do in Prometheus.
 */
#ifndef MRD_PROMQL_TOPK_HEAP_H
#define MRD_PROMQL_TOPK_HEAP_H

#include <math.h>

#include "promql/exec.h"

struct pql_topk_member {
    double value;
    pql_histogram histogram; /* limitk only: its own, or NULL */
    uint32_t series;         /* the operator's number of it */
};

struct pql_topk_heap {
    struct pql_topk_member *items;
    size_t count;
    size_t capacity;
};

/* Whether a member with this value would be kept, of k (at least 1): there is room, or it is better than the one that goes first. */
static inline bool pql_topk_wants(enum mrd_aggregation kind, const struct pql_topk_heap *heap,
                                  size_t k, double value)
{
    if (heap->count < k) {
        return true;
    }
    const double root = heap->items[0].value;
    if (kind == MRD_AGG_LIMITK) {
        return false;
    }
    const bool better = kind == MRD_AGG_TOPK ? root < value : root > value;
    return better || (isnan(root) && !isnan(value));
}

/* Puts in a member that is wanted; the least one goes if there are k. Each new place counts as a point held. */
MRD_MUST_CHECK enum mrd_status pql_topk_put(struct pql_exec *exec, enum mrd_aggregation kind,
                                            struct pql_topk_heap *heap, size_t k,
                                            const struct pql_topk_member *member,
                                            struct mrd_error *err);

/* Adds a place at the end, whatever the order: members of a heap put in one after the other as they lay there
 * make the same heap. */
MRD_MUST_CHECK enum mrd_status pql_topk_append(struct pql_exec *exec, struct pql_topk_heap *heap,
                                               const struct pql_topk_member *member,
                                               struct mrd_error *err);

/* Best first; of equal ones, in heap order. */
MRD_MUST_CHECK enum mrd_status pql_topk_sort(struct pql_exec *exec, enum mrd_aggregation kind,
                                             struct pql_topk_heap *heap, struct mrd_error *err);

#endif
