/* references.h: what the log's batches call the series of one partition: (instance, label epoch,
 * reference) -> ordinal of the head. And which numbers of each instance have come.
 *
 * A table is an array per (instance, epoch), indexed by the reference; references are dense. Tables of
 * old epochs are dropped by ing_references_expire, after which the head may recycle the ordinals that
 * only they named.
 *
 * Numbers: an instance numbers its batches of a partition from 1 without a gap. They may come late (a
 * retried publish) or twice (the reader started over), but a number that has not come after
 * ING_HOLE_MS of the log's time is a hole: the log has lost a batch that was perhaps acknowledged.
 *
 * Threads: one, the partition's shard.
 * Bounds:  MRD_BATCH_REFERENCE_COUNT_MAX references a table; ING_GAPS_MAX open gaps an instance.
 */
#ifndef ING_REFERENCES_H
#define ING_REFERENCES_H

#include "head/head.h"
#include "wire/batch.h"

enum {
    ING_HOLE_MS = 5 * 60 * 1000,
    ING_GAPS_MAX = 256,
    /* Tables of older epochs than this may be dropped: how late a batch may be stored, at the most (a
     * full log holds batches back). 2 hours and a quarter. */
    ING_EPOCHS_KEPT = 9,
};

struct ing_references;
struct ing_instance;

struct ing_references *ing_references_create(void);
void ing_references_destroy(struct ing_references **references);
size_t ing_references_memory(const struct ing_references *references);

/* The instance of that name, which is made if it is new. Valid until the next expire. */
struct ing_instance *ing_references_instance(struct ing_references *references,
                                             struct mrd_bytes name);

/* ---- tables ---- */

/* One epoch's array; `ordinals` moves when it grows. */
struct ing_table {
    uint64_t epoch;
    uint32_t *ordinals; /* MRD_HEAD_ORDINAL_NONE where nothing was announced */
    size_t count;
    size_t capacity;
};

/* The table of that epoch, which is made if it is new. Valid until the next call. */
struct ing_table *ing_instance_table(struct ing_references *references,
                                     struct ing_instance *instance, uint64_t epoch);

/* What a reference names, or MRD_HEAD_ORDINAL_NONE. */
static inline uint32_t ing_table_get(const struct ing_table *table, uint32_t reference)
{
    return reference < table->count ? table->ordinals[reference] : MRD_HEAD_ORDINAL_NONE;
}
void ing_table_set(struct ing_references *references, struct ing_table *table, uint32_t reference,
                   uint32_t ordinal);

/* ---- numbers ---- */

struct ing_number_result {
    bool duplicate; /* the number had come before */
    bool late;      /* it fills a gap */
};

/* Notes that `number` has come, stored in the log at log_ms. `from_start`: the log was read from its very first
 * entry, so the instance's first number must be 1; else whatever comes first is the base. */
struct ing_number_result ing_instance_number(struct ing_instance *instance, uint64_t number,
                                             mrd_time_ms log_ms, bool from_start);

/* ---- time passes ---- */

struct ing_hole {
    struct mrd_bytes instance; /* valid during the call */
    uint64_t first;
    uint64_t last;
};

/* Drops tables of epochs before epoch_min and instances that have none left and were not heard since, and reports
 * gaps open for ING_HOLE_MS before log_ms, once each. Returns the missing numbers reported. */
uint64_t ing_references_expire(struct ing_references *references, uint64_t epoch_min,
                               mrd_time_ms log_ms,
                               void (*on_hole)(void *context, const struct ing_hole *hole),
                               void *context);

#endif
