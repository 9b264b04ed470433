#include "base/fair.h"

#include <stdlib.h>

#include "base/macros.h"

static struct mrd_fair_flow *flow_find(const struct mrd_fair *fair, uint64_t key)
{
    struct mrd_fair_flow *flow = fair->first;
    while (flow != NULL && flow->key != key) {
        flow = flow->next;
    }
    return flow;
}

static struct mrd_fair_flow *flow_add(struct mrd_fair *fair, uint64_t key)
{
    struct mrd_fair_flow *flow = calloc(1, sizeof(*flow));
    mrd_assert(flow != NULL);
    flow->key = key;
    flow->fresh.last = &flow->fresh.first;
    flow->begun.last = &flow->begun.first;
    flow->next = fair->first;
    fair->first = flow;
    return flow;
}

struct mrd_fair_flow *mrd_fair_join(struct mrd_fair *fair, uint64_t key,
                                    const struct mrd_fair_share *share)
{
    struct mrd_fair_flow *flow = flow_find(fair, key);
    if (flow != NULL && flow->members >= share->members) {
        return NULL;
    }
    if (flow == NULL) {
        flow = flow_add(fair, key);
    }
    flow->places_max = share->places;
    flow->members++;
    return flow;
}

void mrd_fair_leave(struct mrd_fair *fair, struct mrd_fair_flow *flow)
{
    if (--flow->members > 0) {
        return;
    }
    mrd_assert(flow->places == 0 && flow->fresh.first == NULL && flow->begun.first == NULL);
    struct mrd_fair_flow **at = &fair->first;
    while (*at != flow) {
        at = &(*at)->next;
    }
    *at = flow->next;
    free(flow);
}

static void waiting_set(struct mrd_fair *fair, uint32_t more, uint32_t less)
{
    const uint32_t waiting = atomic_load_explicit(&fair->waiting, memory_order_relaxed);
    atomic_store_explicit(&fair->waiting, waiting + more - less, memory_order_relaxed);
}

void mrd_fair_wait(struct mrd_fair *fair, struct mrd_fair_waiter *waiter)
{
    struct mrd_fair_line *line = waiter->begun ? &waiter->flow->begun : &waiter->flow->fresh;
    waiter->next = NULL;
    *line->last = waiter;
    line->last = &waiter->next;
    fair->fresh += waiter->begun ? 0 : 1;
    waiting_set(fair, 1, 0);
}

void mrd_fair_withdraw(struct mrd_fair *fair, struct mrd_fair_waiter *waiter)
{
    struct mrd_fair_line *line = waiter->begun ? &waiter->flow->begun : &waiter->flow->fresh;
    struct mrd_fair_waiter **at = &line->first;
    while (*at != waiter) {
        mrd_assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = waiter->next;
    if (line->last == &waiter->next) {
        line->last = at;
    }
    fair->fresh -= waiter->begun ? 0 : 1;
    waiting_set(fair, 0, 1);
}

static struct mrd_fair_waiter *first_of(const struct mrd_fair_flow *flow, bool begun_only)
{
    return flow->begun.first != NULL || begun_only ? flow->begun.first : flow->fresh.first;
}

const struct mrd_fair_waiter *mrd_fair_next(const struct mrd_fair *fair, bool begun_only)
{
    const struct mrd_fair_flow *best = NULL;
    if (fair->taken == fair->places) {
        return NULL;
    }
    for (const struct mrd_fair_flow *flow = fair->first; flow != NULL; flow = flow->next) {
        if (first_of(flow, begun_only) == NULL || flow->places >= flow->places_max) {
            continue;
        }
        if (best == NULL || flow->places < best->places ||
            (flow->places == best->places && flow->turn < best->turn)) {
            best = flow;
        }
    }
    return best == NULL ? NULL : first_of(best, begun_only);
}

struct mrd_fair_waiter *mrd_fair_take(struct mrd_fair *fair, bool begun_only)
{
    const struct mrd_fair_waiter *next = mrd_fair_next(fair, begun_only);
    if (next == NULL) {
        return NULL;
    }
    struct mrd_fair_flow *flow = next->flow;
    struct mrd_fair_line *line = next->begun ? &flow->begun : &flow->fresh;
    struct mrd_fair_waiter *waiter = line->first;
    line->first = waiter->next;
    if (line->first == NULL) {
        line->last = &line->first;
    }
    fair->fresh -= waiter->begun ? 0 : 1;
    waiter->begun = true;
    waiting_set(fair, 0, 1);
    flow->turn = ++fair->turn;
    flow->places++;
    fair->taken++;
    return waiter;
}

void mrd_fair_give(struct mrd_fair *fair, struct mrd_fair_flow *flow)
{
    mrd_assert(flow->places > 0 && fair->taken > 0);
    flow->places--;
    fair->taken--;
}

bool mrd_fair_crowds(const struct mrd_fair *fair, const struct mrd_fair_flow *flow, int64_t held_ms)
{
    if (fair->taken < fair->places) {
        return false;
    }
    /* Fewer than what is left to this flow; as many do not change anything but whose turn it is. */
    const uint32_t fewer = held_ms >= MRD_FAIR_QUANTUM_MS ? flow->places : flow->places - 1;
    for (const struct mrd_fair_flow *other = fair->first; other != NULL; other = other->next) {
        if (other != flow && first_of(other, false) != NULL && other->places < fewer &&
            other->places < other->places_max) {
            return true;
        }
    }
    return false;
}
