#include <stdlib.h>

#include "catalog/state_internal.h"

enum { ITEM_BYTES_MAX = 4 * MRD_BLOCK_ENTRY_SIZE_MAX };

/* ---- items ---- */

void cat_item_release(struct cat_item *item)
{
    if (atomic_fetch_sub_explicit(&item->references, 1, memory_order_acq_rel) == 1) {
        mrd_arena_destroy(&item->arena);
        free(item);
    }
}

struct cat_item *cat_item_new(void)
{
    struct cat_item *item = calloc(1, sizeof(*item));
    mrd_assert(item != NULL);
    atomic_init(&item->references, 1);
    item->arena = mrd_arena_create("entry of the catalog", ITEM_BYTES_MAX);
    return item;
}

struct cat_item *cat_item_name(struct mrd_bytes name)
{
    struct cat_item *item = calloc(1, sizeof(*item) + name.size);
    mrd_assert(item != NULL);
    atomic_init(&item->references, 1);
    memcpy(item + 1, name.data, name.size);
    item->key[0] = (struct mrd_bytes){(const uint8_t *)(item + 1), name.size};
    return item;
}

/* The arena takes all that a record may have, so this does not fail. */
struct mrd_bytes cat_item_text(struct cat_item *item, struct mrd_bytes text)
{
    const struct mrd_bytes copy = mrd_arena_copy(item->arena, text);
    mrd_assert(copy.data != NULL);
    return copy;
}

size_t cat_item_memory(const struct cat_item *item)
{
    return sizeof(*item) + (item->arena == NULL ? item->key[0].size : mrd_arena_used(item->arena));
}

/* ---- lists ---- */

static int key_compare(const struct cat_item *item, struct mrd_bytes first, struct mrd_bytes second)
{
    const int order = mrd_bytes_compare(item->key[0], first);
    return order != 0 ? order : mrd_bytes_compare(item->key[1], second);
}

/* Where the key is or belongs. */
size_t cat_list_place(const struct cat_list *list, struct mrd_bytes first, struct mrd_bytes second,
                      bool *out_found)
{
    size_t low = 0;
    size_t high = list->count;
    *out_found = false;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = key_compare(list->items[middle], first, second);
        if (order == 0) {
            *out_found = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct cat_item *cat_list_find(const struct cat_list *list, struct mrd_bytes first,
                               struct mrd_bytes second)
{
    bool found;
    const size_t at = cat_list_place(list, first, second, &found);
    return found ? list->items[at] : NULL;
}

/* Takes the item. */
void cat_list_insert(struct cat_list *list, size_t at, struct cat_item *item)
{
    if (list->count == list->capacity) {
        list->capacity = MRD_MAX(2 * list->capacity, (size_t)16);
        list->items = realloc(list->items, list->capacity * sizeof(struct cat_item *));
        mrd_assert(list->items != NULL);
    }
    memmove(list->items + at + 1, list->items + at, (list->count - at) * sizeof(struct cat_item *));
    list->items[at] = item;
    list->count++;
}

struct cat_item *cat_list_remove(struct cat_list *list, size_t at)
{
    struct cat_item *item = list->items[at];
    list->count--;
    memmove(list->items + at, list->items + at + 1, (list->count - at) * sizeof(struct cat_item *));
    return item;
}

struct cat_list cat_list_copy(const struct cat_list *list)
{
    struct cat_list copy = {.count = list->count, .capacity = list->count + 16};
    copy.items = calloc(copy.capacity, sizeof(struct cat_item *));
    mrd_assert(copy.items != NULL);
    for (size_t i = 0; i < list->count; i++) {
        copy.items[i] = list->items[i];
        atomic_fetch_add_explicit(&copy.items[i]->references, 1, memory_order_relaxed);
    }
    return copy;
}

void cat_list_fini(struct cat_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        cat_item_release(list->items[i]);
    }
    free(list->items);
}
