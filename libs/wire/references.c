#include "wire/references.h"

#include <stdlib.h>

struct gap {
    uint64_t first;
    uint64_t last;
    mrd_time_ms noticed_ms;
};

struct mrd_reference_instance {
    struct mrd_reference_instance *next;
    uint64_t hash;
    uint64_t number_next; /* one past the greatest that has come; 0: none yet */
    mrd_time_ms heard_ms;
    struct gap *gaps; /* ascending */
    size_t gap_count;
    struct mrd_reference_table *tables; /* newest first; a handful */
    size_t table_count;
    size_t name_size;
    uint8_t name[];
};

struct mrd_references {
    struct mrd_reference_instance *instances; /* most recently used first: nearly always a hit */
    size_t memory;
};

enum { INSTANCE_IDLE_MS = 2 * 60 * 60 * 1000, TABLE_CAPACITY_MIN = 1024 };

struct mrd_references *mrd_references_create(void)
{
    struct mrd_references *references = calloc(1, sizeof(*references));
    mrd_assert(references != NULL);
    return references;
}

static void instance_free(struct mrd_references *references,
                          struct mrd_reference_instance *instance)
{
    for (size_t i = 0; i < instance->table_count; i++) {
        references->memory -= instance->tables[i].capacity * sizeof(uint32_t);
        free(instance->tables[i].ordinals);
    }
    free(instance->tables);
    free(instance->gaps);
    free(instance);
}

void mrd_references_destroy(struct mrd_references **references)
{
    if (*references == NULL) {
        return;
    }
    struct mrd_references *self = MRD_MOVE(*references);
    while (self->instances != NULL) {
        struct mrd_reference_instance *instance = self->instances;
        self->instances = instance->next;
        instance_free(self, instance);
    }
    free(self);
}

size_t mrd_references_memory(const struct mrd_references *references) { return references->memory; }

struct mrd_reference_instance *mrd_references_instance(struct mrd_references *references,
                                                       struct mrd_bytes name)
{
    const uint64_t hash = mrd_hash64(name, 0);
    struct mrd_reference_instance **at = &references->instances;
    while (*at != NULL) {
        struct mrd_reference_instance *instance = *at;
        if (instance->hash == hash && instance->name_size == name.size &&
            memcmp(instance->name, name.data, name.size) == 0) {
            *at = instance->next; /* to the front */
            instance->next = references->instances;
            references->instances = instance;
            return instance;
        }
        at = &instance->next;
    }
    struct mrd_reference_instance *instance = calloc(1, sizeof(*instance) + name.size);
    mrd_assert(instance != NULL);
    instance->hash = hash;
    instance->name_size = name.size;
    memcpy(instance->name, name.data, name.size);
    instance->next = references->instances;
    references->instances = instance;
    return instance;
}

/* ---- tables ---- */

struct mrd_reference_table *mrd_reference_instance_table(struct mrd_references *references,
                                                         struct mrd_reference_instance *instance,
                                                         uint64_t epoch)
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
    instance->tables[at] = (struct mrd_reference_table){.epoch = epoch};
    return &instance->tables[at];
}

void mrd_reference_table_set(struct mrd_references *references, struct mrd_reference_table *table,
                             uint32_t reference, uint32_t ordinal)
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
        table->ordinals[table->count] = MRD_REFERENCE_NONE;
    }
    table->ordinals[reference] = ordinal;
}

void mrd_reference_table_heard(struct mrd_reference_table *table, uint64_t sequence,
                               mrd_time_ms log_ms)
{
    if (table->sequence_first == 0) {
        table->sequence_first = sequence;
    }
    table->heard_ms = MRD_MAX(table->heard_ms, log_ms);
}

uint64_t mrd_references_sequence_first(const struct mrd_references *references,
                                       mrd_time_ms since_ms)
{
    uint64_t first = UINT64_MAX;
    for (const struct mrd_reference_instance *at = references->instances; at != NULL;
         at = at->next) {
        for (size_t i = 0; i < at->table_count; i++) {
            const struct mrd_reference_table *table = &at->tables[i];
            if (table->sequence_first > 0 && table->heard_ms >= since_ms) {
                first = MRD_MIN(first, table->sequence_first);
            }
        }
    }
    return first;
}

void mrd_references_renumber(struct mrd_references *references,
                             uint32_t (*exchange)(void *context, uint32_t ordinal), void *context)
{
    for (struct mrd_reference_instance *at = references->instances; at != NULL; at = at->next) {
        for (size_t i = 0; i < at->table_count; i++) {
            struct mrd_reference_table *table = &at->tables[i];
            for (size_t k = 0; k < table->count; k++) {
                if (table->ordinals[k] != MRD_REFERENCE_NONE) {
                    table->ordinals[k] = exchange(context, table->ordinals[k]);
                }
            }
        }
    }
}

/* ---- numbers ---- */

static void gap_add(struct mrd_reference_instance *instance, uint64_t first, uint64_t last,
                    mrd_time_ms log_ms)
{
    if (instance->gap_count ==
        MRD_REFERENCES_GAPS_MAX) { /* the newest takes it in: still counted, coarser */
        instance->gaps[MRD_REFERENCES_GAPS_MAX - 1].last = last;
        return;
    }
    if (instance->gaps == NULL) {
        instance->gaps = calloc(MRD_REFERENCES_GAPS_MAX, sizeof(*instance->gaps));
        mrd_assert(instance->gaps != NULL);
    }
    instance->gaps[instance->gap_count++] = (struct gap){first, last, log_ms};
}

static void gap_remove(struct mrd_reference_instance *instance, size_t index)
{
    instance->gap_count--;
    memmove(&instance->gaps[index], &instance->gaps[index + 1],
            (instance->gap_count - index) * sizeof(*instance->gaps));
}

/* Takes number out of the gap that holds it; false if none does. */
static bool gap_fill(struct mrd_reference_instance *instance, uint64_t number)
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
            if (rest.first <= rest.last && instance->gap_count < MRD_REFERENCES_GAPS_MAX) {
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

struct mrd_number_result mrd_reference_instance_number(struct mrd_reference_instance *instance,
                                                       uint64_t number, mrd_time_ms log_ms,
                                                       bool from_start)
{
    struct mrd_number_result result = {0};
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

static void tables_expire(struct mrd_references *references,
                          struct mrd_reference_instance *instance, uint64_t epoch_min)
{
    while (instance->table_count > 0 &&
           instance->tables[instance->table_count - 1].epoch < epoch_min) {
        struct mrd_reference_table *table = &instance->tables[--instance->table_count];
        references->memory -= table->capacity * sizeof(*table->ordinals);
        free(table->ordinals);
    }
}

uint64_t mrd_references_expire(struct mrd_references *references, uint64_t epoch_min,
                               mrd_time_ms log_ms,
                               void (*on_hole)(void *context, const struct mrd_number_hole *hole),
                               void *context)
{
    uint64_t missing = 0;
    struct mrd_reference_instance **at = &references->instances;
    while (*at != NULL) {
        struct mrd_reference_instance *instance = *at;
        tables_expire(references, instance, epoch_min);
        for (size_t i = instance->gap_count; i-- > 0;) {
            const struct gap gap = instance->gaps[i];
            if (log_ms - gap.noticed_ms > MRD_REFERENCES_HOLE_MS) {
                const struct mrd_number_hole hole = {
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
