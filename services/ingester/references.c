#include "ingester/references.h"

#include <stdlib.h>

struct gap {
    uint64_t first;
    uint64_t last;
    mrd_time_ms noticed_ms;
};

struct ing_instance {
    struct ing_instance *next;
    uint64_t hash;
    uint64_t number_next; /* one past the greatest that has come; 0: none yet */
    mrd_time_ms heard_ms;
    struct gap *gaps; /* ascending */
    size_t gap_count;
    struct ing_table *tables; /* newest first; a handful */
    size_t table_count;
    size_t name_size;
    uint8_t name[];
};

struct ing_references {
    struct ing_instance *instances; /* most recently used first: nearly always a hit */
    size_t memory;
};

enum { INSTANCE_IDLE_MS = 2 * 60 * 60 * 1000, TABLE_CAPACITY_MIN = 1024 };

struct ing_references *ing_references_create(void)
{
    struct ing_references *references = calloc(1, sizeof(*references));
    mrd_assert(references != NULL);
    return references;
}

static void instance_free(struct ing_references *references, struct ing_instance *instance)
{
    for (size_t i = 0; i < instance->table_count; i++) {
        references->memory -= instance->tables[i].capacity * sizeof(uint32_t);
        free(instance->tables[i].ordinals);
    }
    free(instance->tables);
    free(instance->gaps);
    free(instance);
}

void ing_references_destroy(struct ing_references **references)
{
    if (*references == NULL) {
        return;
    }
    struct ing_references *self = MRD_MOVE(*references);
    while (self->instances != NULL) {
        struct ing_instance *instance = self->instances;
        self->instances = instance->next;
        instance_free(self, instance);
    }
    free(self);
}

size_t ing_references_memory(const struct ing_references *references) { return references->memory; }

struct ing_instance *ing_references_instance(struct ing_references *references,
                                             struct mrd_bytes name)
{
    const uint64_t hash = mrd_hash64(name, 0);
    struct ing_instance **at = &references->instances;
    while (*at != NULL) {
        struct ing_instance *instance = *at;
        if (instance->hash == hash && instance->name_size == name.size &&
            memcmp(instance->name, name.data, name.size) == 0) {
            *at = instance->next; /* to the front */
            instance->next = references->instances;
            references->instances = instance;
            return instance;
        }
        at = &instance->next;
    }
    struct ing_instance *instance = calloc(1, sizeof(*instance) + name.size);
    mrd_assert(instance != NULL);
    instance->hash = hash;
    instance->name_size = name.size;
    memcpy(instance->name, name.data, name.size);
    instance->next = references->instances;
    references->instances = instance;
    return instance;
}

/* ---- tables ---- */

struct ing_table *ing_instance_table(struct ing_references *references,
                                     struct ing_instance *instance, uint64_t epoch)
{
    (void)references;
    size_t at = 0;
    while (at < instance->table_count && instance->tables[at].epoch > epoch) {
        at++;
    }
    if (at < instance->table_count && instance->tables[at].epoch == epoch) {
        return &instance->tables[at];
    }
    instance->tables =
        reallocarray(instance->tables, instance->table_count + 1, sizeof(*instance->tables));
    mrd_assert(instance->tables != NULL);
    memmove(&instance->tables[at + 1], &instance->tables[at],
            (instance->table_count - at) * sizeof(*instance->tables));
    instance->table_count++;
    instance->tables[at] = (struct ing_table){.epoch = epoch};
    return &instance->tables[at];
}

void ing_table_set(struct ing_references *references, struct ing_table *table, uint32_t reference,
                   uint32_t ordinal)
{
    mrd_assert(reference < MRD_BATCH_REFERENCE_COUNT_MAX);
    if (reference >= table->capacity) {
        size_t capacity = MRD_MAX(table->capacity, (size_t)TABLE_CAPACITY_MIN);
        while (capacity <= reference) {
            capacity *= 2;
        }
        table->ordinals = reallocarray(table->ordinals, capacity, sizeof(*table->ordinals));
        mrd_assert(table->ordinals != NULL);
        references->memory += (capacity - table->capacity) * sizeof(*table->ordinals);
        table->capacity = capacity;
    }
    for (; table->count <= reference; table->count++) {
        table->ordinals[table->count] = MRD_HEAD_ORDINAL_NONE;
    }
    table->ordinals[reference] = ordinal;
}

/* ---- numbers ---- */

static void gap_add(struct ing_instance *instance, uint64_t first, uint64_t last,
                    mrd_time_ms log_ms)
{
    if (instance->gap_count == ING_GAPS_MAX) { /* the newest takes it in: still counted, coarser */
        instance->gaps[ING_GAPS_MAX - 1].last = last;
        return;
    }
    if (instance->gaps == NULL) {
        instance->gaps = calloc(ING_GAPS_MAX, sizeof(*instance->gaps));
        mrd_assert(instance->gaps != NULL);
    }
    instance->gaps[instance->gap_count++] = (struct gap){first, last, log_ms};
}

static void gap_remove(struct ing_instance *instance, size_t index)
{
    instance->gap_count--;
    memmove(&instance->gaps[index], &instance->gaps[index + 1],
            (instance->gap_count - index) * sizeof(*instance->gaps));
}

/* Takes number out of the gap that holds it; false if none does. */
static bool gap_fill(struct ing_instance *instance, uint64_t number)
{
    for (size_t i = 0; i < instance->gap_count; i++) {
        struct gap *gap = &instance->gaps[i];
        if (number < gap->first || number > gap->last) {
            continue;
        }
        const struct gap rest = {number + 1, gap->last, gap->noticed_ms};
        if (gap->first == number) {
            gap->first++;
        } else {
            gap->last = number - 1;
            if (rest.first <= rest.last && instance->gap_count < ING_GAPS_MAX) {
                memmove(&instance->gaps[i + 2], &instance->gaps[i + 1],
                        (instance->gap_count - i - 1) * sizeof(*instance->gaps));
                instance->gaps[i + 1] = rest;
                instance->gap_count++;
            }
        }
        if (instance->gaps[i].first > instance->gaps[i].last) {
            gap_remove(instance, i);
        }
        return true;
    }
    return false;
}

struct ing_number_result ing_instance_number(struct ing_instance *instance, uint64_t number,
                                             mrd_time_ms log_ms, bool from_start)
{
    struct ing_number_result result = {0};
    instance->heard_ms = MRD_MAX(instance->heard_ms, log_ms);
    if (instance->number_next == 0) {
        instance->number_next = from_start ? 1 : number;
    }
    if (number >= instance->number_next) {
        if (number > instance->number_next) {
            gap_add(instance, instance->number_next, number - 1, log_ms);
        }
        instance->number_next = number + 1;
    } else if (gap_fill(instance, number)) {
        result.late = true;
    } else {
        result.duplicate = true;
    }
    return result;
}

/* ---- time passes ---- */

static void tables_expire(struct ing_references *references, struct ing_instance *instance,
                          uint64_t epoch_min)
{
    while (instance->table_count > 0 &&
           instance->tables[instance->table_count - 1].epoch < epoch_min) {
        struct ing_table *table = &instance->tables[--instance->table_count];
        references->memory -= table->capacity * sizeof(*table->ordinals);
        free(table->ordinals);
    }
}

uint64_t ing_references_expire(struct ing_references *references, uint64_t epoch_min,
                               mrd_time_ms log_ms,
                               void (*on_hole)(void *context, const struct ing_hole *hole),
                               void *context)
{
    uint64_t missing = 0;
    struct ing_instance **at = &references->instances;
    while (*at != NULL) {
        struct ing_instance *instance = *at;
        tables_expire(references, instance, epoch_min);
        for (size_t i = instance->gap_count; i-- > 0;) {
            const struct gap gap = instance->gaps[i];
            if (log_ms - gap.noticed_ms > ING_HOLE_MS) {
                const struct ing_hole hole = {
                    {instance->name, instance->name_size},
                    gap.first, gap.last
                };
                missing += gap.last - gap.first + 1;
                on_hole(context, &hole);
                gap_remove(instance, i);
            }
        }
        if (instance->table_count == 0 && instance->gap_count == 0 &&
            log_ms - instance->heard_ms > INSTANCE_IDLE_MS) {
            *at = instance->next;
            instance_free(references, instance);
        } else {
            at = &instance->next;
        }
    }
    return missing;
}
