#include "promql/topk_heap.h"

#include <math.h>

/* The member that goes first when a better one comes: NaN, then the smallest (largest for bottomk). */
static bool before(enum mrd_aggregation kind, double a, double b)
{
    if (isnan(a)) {
        return true;
    }
    return kind == MRD_AGG_TOPK ? a < b : a > b;
}

static void swap_members(struct pql_topk_heap *heap, size_t a, size_t b)
{
    const struct pql_topk_member kept = heap->items[a];
    heap->items[a] = heap->items[b];
    heap->items[b] = kept;
}

static void heap_up(enum mrd_aggregation kind, struct pql_topk_heap *heap, size_t at)
{
    while (at > 0) {
        const size_t parent = (at - 1) / 2;
        if (!before(kind, heap->items[at].value, heap->items[parent].value)) {
            return;
        }
        swap_members(heap, at, parent);
        at = parent;
    }
}

static void heap_down(enum mrd_aggregation kind, struct pql_topk_heap *heap)
{
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= heap->count) {
            return;
        }
        if (child + 1 < heap->count &&
            before(kind, heap->items[child + 1].value, heap->items[child].value)) {
            child++;
        }
        if (!before(kind, heap->items[child].value, heap->items[at].value)) {
            return;
        }
        swap_members(heap, at, child);
        at = child;
    }
}

enum mrd_status pql_topk_append(struct pql_exec *exec, struct pql_topk_heap *heap,
                                const struct pql_topk_member *member, struct mrd_error *err)
{
    MRD_TRY(pql_hold(exec, 1, err));
    MRD_TRY(pql_grow(exec, (void **)&heap->items, heap->count, &heap->capacity,
                     sizeof(*heap->items), err));
    heap->items[heap->count++] = *member;
    return MRD_OK;
}

enum mrd_status pql_topk_put(struct pql_exec *exec, enum mrd_aggregation kind,
                             struct pql_topk_heap *heap, size_t k,
                             const struct pql_topk_member *member, struct mrd_error *err)
{
    if (heap->count >= k) {
        heap->items[0] = *member;
        heap_down(kind, heap);
        return MRD_OK;
    }
    MRD_TRY(pql_topk_append(exec, heap, member, err));
    if (kind != MRD_AGG_LIMITK) {
        heap_up(kind, heap, heap->count - 1);
    }
    return MRD_OK;
}

static int order_members(const void *a, const void *b, void *context)
{
    const enum mrd_aggregation kind = *(const enum mrd_aggregation *)context;
    const struct pql_topk_member *x = a;
    const struct pql_topk_member *y = b;
    if (before(kind, x->value, y->value) != before(kind, y->value, x->value)) {
        return before(kind, x->value, y->value) ? 1 : -1;
    }
    return 0;
}

enum mrd_status pql_topk_sort(struct pql_exec *exec, enum mrd_aggregation kind,
                              struct pql_topk_heap *heap, struct mrd_error *err)
{
    return kind == MRD_AGG_LIMITK ? MRD_OK
                                  : pql_sort(exec, heap->items, heap->count, sizeof(*heap->items),
                                             order_members, &kind, err);
}
