/* Late samples in their block: ascending in time, with their start times behind them where one is known. */
#include "head/head_internal.h"

size_t head_late_bytes(uint32_t capacity, bool started)
{
    const size_t item_size = sizeof(struct head_late) + (started ? sizeof(mrd_time_ms) : 0);
    return sizeof(struct head_late_block) + capacity * item_size;
}

uint32_t head_late_position(const struct head_late_block *block, mrd_time_ms time_ms)
{
    uint32_t from = 0;
    uint32_t to = block->count;
    while (from < to) {
        const uint32_t middle = (from + to) / 2;
        if (block->items[middle].time_ms < time_ms) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return from;
}

struct head_late_block *head_late_block_move(struct mrd_head *head, enum mrd_head_memory category,
                                             mrd_pool_handle *handle, uint32_t capacity,
                                             bool started)
{
    struct head_late_block *old = *handle == 0 ? NULL : head_at(head, *handle);
    started = started || (old != NULL && old->started);
    const mrd_pool_handle moved = head_alloc(head, category, head_late_bytes(capacity, started));
    struct head_late_block *block = head_at(head, moved);
    *block = (struct head_late_block){.capacity = capacity, .started = started};
    if (old != NULL) {
        mrd_assert(old->count <= capacity);
        block->oldest_ms = old->oldest_ms;
        block->count = old->count;
        block->marks = old->marks;
        memcpy(block->items, old->items, old->count * sizeof(old->items[0]));
        for (uint32_t i = 0; started && i < old->count; i++) {
            head_late_starts(block)[i] = head_late_start(old, i);
        }
        head_free(head, category, *handle, head_late_block_bytes(old));
    }
    *handle = moved;
    return block;
}

void head_late_block_insert(struct head_late_block *block, const struct head_late *item,
                            mrd_time_ms start_ms)
{
    mrd_time_ms *starts_ms = head_late_starts(block);
    const uint32_t at = head_late_position(block, item->time_ms);
    const size_t after = block->count - at;
    mrd_assert(block->count < block->capacity && (start_ms == 0 || starts_ms != NULL));
    memmove(&block->items[at + 1], &block->items[at], after * sizeof(block->items[0]));
    block->items[at] = *item;
    if (starts_ms != NULL) {
        memmove(&starts_ms[at + 1], &starts_ms[at], after * sizeof(starts_ms[0]));
        starts_ms[at] = start_ms;
    }
    block->count++;
}

void head_late_block_remove(struct head_late_block *block, size_t at)
{
    mrd_time_ms *starts_ms = head_late_starts(block);
    const size_t after = --block->count - at;
    memmove(&block->items[at], &block->items[at + 1], after * sizeof(block->items[0]));
    if (starts_ms != NULL) {
        memmove(&starts_ms[at], &starts_ms[at + 1], after * sizeof(starts_ms[0]));
    }
}

void head_late_block_keep(struct head_late_block *block, size_t to, size_t from)
{
    mrd_time_ms *starts_ms = head_late_starts(block);
    block->items[to] = block->items[from];
    if (starts_ms != NULL) {
        starts_ms[to] = starts_ms[from];
    }
}
