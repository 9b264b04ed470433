/* references.h: what the log's batches call the series of one partition: (instance, label epoch,
 * reference) -> the reader's own ordinal of the series. And which numbers of each instance have come.
 *
 * A table is an array per (instance, epoch), indexed by the reference; references are dense. Tables of
 * old epochs are dropped by mrd_references_expire, after which the head may recycle the ordinals that
 * only they named.
 *
 * Numbers: an instance numbers its batches of a partition from 1 without a gap. They may come late (a
 * retried publish) or twice (the reader started over), but a number that has not come after
 * MRD_REFERENCES_HOLE_MS of the log's time is a hole: the log has lost a batch that was perhaps acknowledged.
 *
 * Threads: one.
 * Bounds:  MRD_BATCH_REFERENCE_COUNT_MAX references a table; MRD_REFERENCES_GAPS_MAX open gaps an instance.
 */
#ifndef MRD_WIRE_REFERENCES_H
#define MRD_WIRE_REFERENCES_H

#include "base/clock.h"
#include "wire/batch.h"

enum {
    MRD_REFERENCES_HOLE_MS = 5 * 60 * 1000,
    MRD_REFERENCES_GAPS_MAX = 256,
    /* Tables of older epochs than this may be dropped: how late a batch may be stored, at the most (a
     * full log holds batches back). 2 hours and a quarter. */
    MRD_REFERENCES_EPOCHS_KEPT = 9,
};

#define MRD_REFERENCE_NONE UINT32_MAX /* nothing was announced */

struct mrd_references;
struct mrd_reference_instance;

struct mrd_references *mrd_references_create(void);
void mrd_references_destroy(struct mrd_references **references);
size_t mrd_references_memory(const struct mrd_references *references);

/* The instance of that name, which is made if it is new. Valid until the next expire. */
struct mrd_reference_instance *mrd_references_instance(struct mrd_references *references,
                                                       struct mrd_bytes name);

/* ---- tables ---- */

/* One epoch's array; `ordinals` moves when it grows. */
struct mrd_reference_table {
    uint64_t epoch;
    uint32_t *ordinals; /* MRD_REFERENCE_NONE where nothing was announced */
    size_t count;
    size_t capacity;
    /* By mrd_reference_table_heard: of the first batch that came with it, and when the last one was stored. 0: none. */
    uint64_t sequence_first;
    mrd_time_ms heard_ms;
};

/* The table of that epoch, which is made if it is new. Valid until the next call. */
struct mrd_reference_table *mrd_reference_instance_table(struct mrd_references *references,
                                                         struct mrd_reference_instance *instance,
                                                         uint64_t epoch);

/* What a reference names, or MRD_REFERENCE_NONE. */
static inline uint32_t mrd_reference_table_get(const struct mrd_reference_table *table,
                                               uint32_t reference)
{
    return reference < table->count ? table->ordinals[reference] : MRD_REFERENCE_NONE;
}
void mrd_reference_table_set(struct mrd_references *references, struct mrd_reference_table *table,
                             uint32_t reference, uint32_t ordinal);

/* A batch of the table's epoch stands in the log at `sequence`, stored at log_ms. */
void mrd_reference_table_heard(struct mrd_reference_table *table, uint64_t sequence,
                               mrd_time_ms log_ms);

/* The least first sequence of the tables heard at or after since_ms: a reader that begins there resolves what they name. UINT64_MAX:
 * there is no such table. */
uint64_t mrd_references_sequence_first(const struct mrd_references *references,
                                       mrd_time_ms since_ms);

/* Exchanges the ordinals of all tables, each by a call. */
void mrd_references_renumber(struct mrd_references *references,
                             uint32_t (*exchange)(void *context, uint32_t ordinal), void *context);

/* ---- numbers ---- */

struct mrd_number_result {
    bool duplicate; /* the number had come before */
    bool late;      /* it fills a gap */
};

/* Notes that `number` has come, stored in the log at log_ms. `from_start`: the log was read from its very first
 * entry, so the instance's first number must be 1; else whatever comes first is the base. */
struct mrd_number_result mrd_reference_instance_number(struct mrd_reference_instance *instance,
                                                       uint64_t number, mrd_time_ms log_ms,
                                                       bool from_start);

/* ---- time passes ---- */

struct mrd_number_hole {
    struct mrd_bytes instance; /* valid during the call */
    uint64_t first;
    uint64_t last;
};

/* Drops tables of epochs before epoch_min and instances that have none left and were not heard since, and reports
 * gaps open for MRD_REFERENCES_HOLE_MS before log_ms, once each. Returns the missing numbers reported. */
uint64_t mrd_references_expire(struct mrd_references *references, uint64_t epoch_min,
                               mrd_time_ms log_ms,
                               void (*on_hole)(void *context, const struct mrd_number_hole *hole),
                               void *context);

#endif
