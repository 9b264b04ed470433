#include "ingester/sorted.h"

#include <stdlib.h>
#include <string.h>

#include "base/macros.h"

enum { CAPACITY_MIN = 8 };

size_t ing_sorted_place(const struct ing_sorted *table, struct mrd_bytes key, bool *out_found)
{
    size_t from = 0;
    size_t to = table->count;
    *out_found = false;
    while (from < to) {
        const size_t middle = (from + to) / 2;
        const int order = mrd_bytes_compare(table->key(table->items[middle]), key);
        if (order < 0) {
            from = middle + 1;
        } else {
            *out_found |= order == 0;
            to = middle;
        }
    }
    return from;
}

void *ing_sorted_find(const struct ing_sorted *table, struct mrd_bytes key)
{
    bool found;
    const size_t place = ing_sorted_place(table, key, &found);
    return found ? table->items[place] : NULL;
}

size_t ing_sorted_insert(struct ing_sorted *table, size_t place, void *item)
{
    const size_t before = table->capacity;
    if (table->count == table->capacity) {
        table->capacity = MRD_MAX(before * 2, (size_t)CAPACITY_MIN);
        table->items = reallocarray(table->items, table->capacity, sizeof(*table->items));
        mrd_assert(table->items != NULL);
    }
    memmove(&table->items[place + 1], &table->items[place],
            (table->count++ - place) * sizeof(*table->items));
    table->items[place] = item;
    return (table->capacity - before) * sizeof(*table->items);
}

void *ing_sorted_remove(struct ing_sorted *table, size_t place)
{
    void *item = table->items[place];
    table->count--;
    memmove(&table->items[place], &table->items[place + 1],
            (table->count - place) * sizeof(*table->items));
    return item;
}

void ing_sorted_fini(struct ing_sorted *table)
{
    for (size_t i = 0; i < table->count; i++) {
        free(table->items[i]);
    }
    free(table->items);
    *table = (struct ing_sorted){.key = table->key};
}
