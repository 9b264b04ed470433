/* Lists of 32-bit numbers that cost 16 bytes when short. */
#include "head/head_internal.h"

enum { LIST_HERE = 2, LIST_BLOCK_MAX = MRD_POOL_SMALL_MAX / 4 };

static void list_free_storage(struct mrd_head *head, struct head_list *list)
{
    const size_t size = (size_t)list->capacity * 4;
    if (list->capacity > LIST_BLOCK_MAX) {
        free(list->array);
        head->arrays_bytes -= size;
        head->memory_bytes[MRD_HEAD_MEMORY_INDEX] -= size;
    } else if (list->capacity > LIST_HERE) {
        head_free(head, MRD_HEAD_MEMORY_INDEX, list->block, size);
    }
}

/* Moves the items into storage for `capacity` items, which holds them. */
static void list_resize(struct mrd_head *head, struct head_list *list, size_t capacity)
{
    struct head_list bigger = {.count = list->count, .unsorted = list->unsorted};
    if (capacity > LIST_BLOCK_MAX && list->capacity > LIST_BLOCK_MAX) {
        uint32_t *array = realloc(list->array, capacity * 4);
        mrd_assert(array != NULL);
        const size_t change = (capacity - list->capacity) * 4; /* may wrap: it shrinks then */
        head->arrays_bytes += change;
        head->memory_bytes[MRD_HEAD_MEMORY_INDEX] += change;
        list->array = array;
        list->capacity = capacity & 0x7fffffff;
        return;
    }
    if (capacity > LIST_BLOCK_MAX) {
        bigger.array = malloc(capacity * 4);
        mrd_assert(bigger.array != NULL);
        head->arrays_bytes += capacity * 4;
        head->memory_bytes[MRD_HEAD_MEMORY_INDEX] += capacity * 4;
    } else if (capacity > LIST_HERE) {
        bigger.block = head_alloc(head, MRD_HEAD_MEMORY_INDEX, capacity * 4);
        capacity = mrd_pool_rounded(capacity * 4) / 4;
    } else {
        capacity = LIST_HERE;
    }
    bigger.capacity = capacity & 0x7fffffff;
    memcpy(head_list_items(head, &bigger), head_list_items(head, list), (size_t)list->count * 4);
    list_free_storage(head, list);
    *list = bigger;
}

uint32_t *head_list_items(const struct mrd_head *head, struct head_list *list)
{
    if (list->capacity <= LIST_HERE) {
        return list->here;
    }
    return list->capacity <= LIST_BLOCK_MAX ? head_at(head, list->block) : list->array;
}

void head_list_add(struct mrd_head *head, struct head_list *list, uint32_t number)
{
    if (list->capacity == 0) {
        list->capacity = LIST_HERE;
    } else if (list->count == list->capacity) {
        list_resize(head, list, (size_t)list->count + list->count / 4 + 2);
    }
    uint32_t *items = head_list_items(head, list);
    if (list->count > 0 && items[list->count - 1] > number) {
        list->unsorted = 1;
    }
    items[list->count++] = number;
}

uint32_t *head_list_sorted(const struct mrd_head *head, struct head_list *list)
{
    uint32_t *items = head_list_items(head, list);
    if (list->unsorted) {
        head_numbers_sort(items, list->count);
        list->unsorted = 0;
    }
    return items;
}

void head_list_cut(struct mrd_head *head, struct head_list *list, uint32_t count)
{
    list->count = count;
    if (count == 0) {
        list_free_storage(head, list);
        *list = (struct head_list){0};
    } else if (list->capacity > 2 * count + 8) {
        list_resize(head, list, (size_t)count + 2);
    }
}
