#include "compactor/builder.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "compactor/rows.h"
#include "model/erasures.h"
#include "model/histogram_check.h"

enum {
    CLASSES_MAX = 64,
    SERIES_INDEX_BYTES = 400, /* of a series with a dozen labels, in the writer's memory */
    SERIES_KEPT_MIN = 1 << 16,
    DAY_TEXT = 16,
};

/* The writes of one residency class. */
struct class_rows {
    char name[MRD_BATCH_NAME_MAX + 1];
    struct cmp_rows *rows;
};

struct cmp_builder {
    uint32_t partition;
    struct cmp_build_limits limits;
    const struct cmp_build_figures *figures;
    struct mrd_batch_reader *reader;
    struct mrd_references *references;
    struct cmp_series_table *series;
    struct mrd_erasures *erasures;
    size_t series_kept; /* after the last tidying */
    uint64_t taken;
    mrd_time_ms log_ms;
    mrd_time_ms last_stored_ms; /* of the entry at `last`; 0: that was lost */

    /* the range */
    uint64_t first;
    uint64_t last;
    uint64_t samples;
    uint64_t digest; /* of its batches and of what they name */
    struct class_rows classes[CLASSES_MAX];
    size_t class_count;
    uint32_t *seen; /* per series: the serial of the last range that has rows of it */
    size_t seen_capacity;
    uint32_t serial;
    size_t series_present;
    struct written {
        struct cmp_rows_result rows;
        uint64_t blocks;
        uint64_t bytes;
    } written;
};

void cmp_build_figures_init(struct cmp_build_figures *figures, struct mrd_metrics *metrics)
{
    const struct {
        struct mrd_counter **to;
        const char *name;
        const char *help;
    } all[] = {
        {&figures->batches,               "meridian_build_batches_total",
         "Batches of the log that were read to be built."                                                       },
        {&figures->samples,               "meridian_build_samples_total",
         "Samples written to blocks of level 0, histograms included."                                           },
        {&figures->histograms,            "meridian_build_histograms_total",
         "Native histograms written to blocks of level 0."                                                      },
        {&figures->duplicates,            "meridian_build_duplicate_samples_total",
         "Writes of a value that was there already."                                                            },
        {&figures->overridden,            "meridian_build_overridden_samples_total",
         "Writes that another of the same time has overridden."                                                 },
        {&figures->blocks,                "meridian_build_blocks_total",
         "Blocks of level 0 that were written, committed or not."                                               },
        {&figures->bytes,                 "meridian_build_bytes_total",                 "Bytes of these blocks."},
        {&figures->refused,               "meridian_build_refused_samples_total",
         "Samples that no block can hold. They are lost."                                                       },
        {&figures->rows_unresolved,       "meridian_build_rows_unresolved_total",
         "Rows of the log whose series was never announced. They are lost."                                     },
        {&figures->announcements_refused, "meridian_build_announcements_refused_total",
         "Announced series whose labels are not canonical. Their samples are lost."                             },
        {&figures->batches_missing,       "meridian_build_batches_missing_total",
         "Holes in the numbers of the log's batches. They are lost."                                            },
        {&figures->batches_duplicate,     "meridian_build_batches_duplicate_total",
         "Batches whose number had come before."                                                                },
        {&figures->sequences_missing,     "meridian_build_sequences_missing_total",
         "Entries that the log lost before they were built. They are lost."                                     },
        {&figures->quarantined,           "meridian_build_batches_quarantined_total",
         "Batches that could not be read and lie in quarantine."                                                },
        {&figures->erased,                "meridian_build_samples_erased_total",
         "Samples that requests to erase have taken out before they were built."                                },
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(all); i++) {
        *all[i].to = mrd_metrics_counter(metrics, all[i].name, all[i].help, MRD_NO_LABELS);
    }
}

struct cmp_builder *cmp_builder_create(uint32_t partition, const struct cmp_build_limits *limits,
                                       const struct cmp_build_figures *figures)
{
    mrd_assert(limits->memory_bytes_max >= CMP_BUILD_MEMORY_MIN);
    struct cmp_builder *builder = calloc(1, sizeof(*builder));
    mrd_assert(builder != NULL);
    builder->partition = partition;
    builder->limits = *limits;
    builder->figures = figures;
    builder->reader = mrd_batch_reader_create();
    builder->references = mrd_references_create();
    builder->series = cmp_series_table_create();
    builder->erasures = mrd_erasures_create();
    builder->serial = 1;
    return builder;
}

static void drop_rows(struct cmp_builder *builder)
{
    for (size_t i = 0; i < builder->class_count; i++) {
        cmp_rows_destroy(&builder->classes[i].rows);
    }
    builder->class_count = 0;
}

void cmp_builder_destroy(struct cmp_builder **builder)
{
    if (*builder == NULL) {
        return;
    }
    struct cmp_builder *self = MRD_MOVE(*builder);
    drop_rows(self);
    cmp_series_table_destroy(&self->series);
    mrd_erasures_destroy(&self->erasures);
    mrd_references_destroy(&self->references);
    mrd_batch_reader_destroy(&self->reader);
    free(self->seen);
    free(self);
}

static size_t rows_memory(const struct cmp_builder *builder)
{
    size_t memory = 0;
    for (size_t i = 0; i < builder->class_count; i++) {
        memory += cmp_rows_memory(builder->classes[i].rows);
    }
    return memory;
}

size_t cmp_builder_memory(const struct cmp_builder *builder)
{
    return rows_memory(builder) + cmp_series_table_memory(builder->series) +
           mrd_references_memory(builder->references) + mrd_batch_reader_memory(builder->reader) +
           mrd_erasures_memory(builder->erasures) + builder->seen_capacity * sizeof(*builder->seen);
}

/* ---- the range ---- */

void cmp_builder_begin(struct cmp_builder *builder, uint64_t first_sequence)
{
    mrd_assert(first_sequence > builder->taken);
    drop_rows(builder);
    builder->first = first_sequence;
    builder->last = first_sequence - 1;
    builder->samples = 0;
    builder->digest = 0;
    builder->serial++;
    builder->series_present = 0;
}

void cmp_builder_follow(struct cmp_builder *builder, const struct mrd_erasure *const *erasures,
                        size_t count)
{
    mrd_erasures_lend(builder->erasures, erasures, count);
}

uint64_t cmp_builder_taken(const struct cmp_builder *builder) { return builder->taken; }
uint64_t cmp_builder_first(const struct cmp_builder *builder) { return builder->first; }
uint64_t cmp_builder_last(const struct cmp_builder *builder) { return builder->last; }
mrd_time_ms cmp_builder_last_stored_ms(const struct cmp_builder *builder)
{
    return builder->last_stored_ms;
}
uint64_t cmp_builder_samples(const struct cmp_builder *builder) { return builder->samples; }

uint64_t cmp_builder_references_first(const struct cmp_builder *builder, mrd_time_ms since_ms)
{
    return mrd_references_sequence_first(builder->references, since_ms);
}

static size_t writer_memory(const struct cmp_builder *builder)
{
    return builder->limits.memory_bytes_max / 2;
}

bool cmp_builder_full(const struct cmp_builder *builder)
{
    const size_t half = builder->limits.memory_bytes_max / 2;
    /* Rows grow by half. */
    return builder->samples >= builder->limits.samples_max ||
           rows_memory(builder) >= half * 2 / 3 ||
           builder->series_present * SERIES_INDEX_BYTES >= writer_memory(builder) / 2;
}

/* NULL: there are too many. */
static struct cmp_rows *rows_of_class(struct cmp_builder *builder, struct mrd_bytes name)
{
    for (size_t i = 0; i < builder->class_count; i++) {
        if (mrd_bytes_equal(mrd_bytes_of(builder->classes[i].name), name)) {
            return builder->classes[i].rows;
        }
    }
    if (builder->class_count == CLASSES_MAX) {
        return NULL;
    }
    struct class_rows *added = &builder->classes[builder->class_count++];
    (void)snprintf(added->name, sizeof(added->name), "%.*s", MRD_FMT(name));
    added->rows = cmp_rows_create();
    return added->rows;
}

/* ---- taking a batch ---- */

static void announce(struct cmp_builder *builder, const struct mrd_batch *batch,
                     struct mrd_reference_table *table)
{
    for (size_t i = 0; i < batch->announcement_count; i++) {
        const struct mrd_batch_announcement *from = &batch->announcements[i];
        if (mrd_reference_table_get(table, from->reference) != MRD_REFERENCE_NONE) {
            continue; /* it repeats */
        }
        const struct cmp_series series = {
            .id = from->id, .tenant = batch->tenants[from->tenant], .labels = from->labels};
        uint32_t ordinal;
        if (cmp_series_table_add(builder->series, &series, &ordinal, NULL) != MRD_OK) {
            mrd_counter_add(builder->figures->announcements_refused, 1);
            continue;
        }
        mrd_reference_table_set(builder->references, table, from->reference, ordinal);
    }
}

static void note_present(struct cmp_builder *builder, uint32_t ordinal)
{
    if (ordinal >= builder->seen_capacity) {
        const size_t capacity = MRD_MAX((size_t)SERIES_KEPT_MIN, 2 * (size_t)ordinal);
        builder->seen = reallocarray(builder->seen, capacity, sizeof(*builder->seen));
        mrd_assert(builder->seen != NULL);
        memset(builder->seen + builder->seen_capacity, 0,
               (capacity - builder->seen_capacity) * sizeof(*builder->seen));
        builder->seen_capacity = capacity;
    }
    if (builder->seen[ordinal] != builder->serial) {
        builder->seen[ordinal] = builder->serial;
        builder->series_present++;
    }
}

/* What a row names, which the digest takes in. */
static uint32_t resolve(struct cmp_builder *builder, const struct mrd_reference_table *table,
                        uint32_t reference)
{
    const uint32_t ordinal = mrd_reference_table_get(table, reference);
    uint64_t name = 0;
    if (ordinal != MRD_REFERENCE_NONE) {
        note_present(builder, ordinal);
        name = cmp_series_table_at(builder->series, ordinal)->id.low;
    }
    builder->digest = (builder->digest ^ name) * UINT64_C(0x9e3779b97f4a7c15);
    return ordinal;
}

/* What all writes of a batch have in common. */
static struct cmp_write write_of(const struct mrd_batch *batch)
{
    return (struct cmp_write){.hlc = batch->header.hlc, .origin = mrd_batch_origin(&batch->header)};
}

static void refuse(struct cmp_builder *builder, uint64_t samples)
{
    mrd_counter_add(builder->figures->refused, samples);
}

/* Whether an erasure that came before has the write; the content depends on that, so the digest takes it in. */
static bool is_erased(struct cmp_builder *builder, const struct cmp_write *write)
{
    if (mrd_likely(!mrd_erasures_concern(builder->erasures, write->hlc))) {
        return false;
    }
    const struct cmp_series *series = cmp_series_table_at(builder->series, write->series);
    bool erased = false;
    (void)mrd_erasures_mark(builder->erasures, write->hlc, series->tenant, series->labels,
                            &write->time_ms, 1, &erased);
    if (erased) {
        builder->digest = ~builder->digest * UINT64_C(0x9e3779b97f4a7c15);
        mrd_counter_add(builder->figures->erased, 1);
    }
    return erased;
}

/* Returns how many rows name nothing. */
static uint64_t take_samples(struct cmp_builder *builder, const struct mrd_batch *batch,
                             const struct mrd_reference_table *table, struct cmp_rows *rows)
{
    struct cmp_write write = write_of(batch);
    uint64_t unresolved = 0;
    size_t at = 0;
    for (size_t row = 0; row < batch->row_count; row++) {
        const size_t end = at + (batch->sample_counts == NULL ? 1 : batch->sample_counts[row]);
        write.series = resolve(builder, table, batch->references[row]);
        unresolved += write.series == MRD_REFERENCE_NONE ? 1 : 0;
        for (; at < end; at++) {
            write.time_ms = batch->times_ms[at];
            write.start_ms = batch->start_times_ms == NULL ? 0 : batch->start_times_ms[at];
            if (write.series == MRD_REFERENCE_NONE || is_erased(builder, &write)) {
                continue;
            }
            if (!mrd_block_time_fits(write.time_ms) || !mrd_block_time_fits(write.start_ms)) {
                refuse(builder, 1);
                continue;
            }
            cmp_rows_add(rows, &write, batch->values[at]);
        }
    }
    builder->samples += batch->sample_count;
    return unresolved;
}

static void tell_unresolved(const struct cmp_builder *builder, const struct mrd_batch *batch,
                            const struct cmp_position *position, uint64_t rows)
{
    mrd_counter_add(builder->figures->rows_unresolved, rows);
    MRD_LOG_EVERY(
        1000, MRD_LEVEL_ERROR, "rows of the log name series whose announcement is not there",
        mrd_log_uint("partition", builder->partition), mrd_log_uint("sequence", position->sequence),
        mrd_log_bytes("writer", batch->header.instance), mrd_log_uint("rows", rows));
}

static bool histogram_fits(const struct cmp_write *write, const struct mrd_histogram *histogram)
{
    return mrd_block_time_fits(write->time_ms) && mrd_block_time_fits(write->start_ms) &&
           histogram->schema <= MRD_HISTOGRAM_SCHEMA_MAX &&
           mrd_histogram_check(histogram, NULL) == MRD_OK;
}

static uint64_t take_histograms(struct cmp_builder *builder, const struct mrd_batch *batch,
                                const struct mrd_reference_table *table, struct cmp_rows *rows)
{
    const struct mrd_batch_histograms *from = &batch->histograms;
    struct cmp_write write = write_of(batch);
    uint64_t unresolved = 0;
    size_t at = 0;
    for (size_t row = 0; row < from->rows.row_count; row++) {
        const size_t end = at + (from->rows.counts == NULL ? 1 : from->rows.counts[row]);
        write.series = resolve(builder, table, from->rows.references[row]);
        unresolved += write.series == MRD_REFERENCE_NONE ? 1 : 0;
        for (; at < end; at++) {
            write.time_ms = from->times_ms[at];
            write.start_ms = from->start_times_ms == NULL ? 0 : from->start_times_ms[at];
            if (write.series == MRD_REFERENCE_NONE || is_erased(builder, &write)) {
                continue;
            }
            if (!histogram_fits(&write, &from->items[at])) {
                refuse(builder, 1);
                continue;
            }
            cmp_rows_add_histogram(rows, &write, &from->items[at]);
        }
    }
    builder->samples += from->rows.item_count;
    return unresolved;
}

/* Of those of a batch before the range, only what comes late counts. */
static enum mrd_status take_erasures(struct cmp_builder *builder, const struct mrd_batch *batch,
                                     struct mrd_error *err)
{
    enum mrd_status worst = MRD_OK;
    for (size_t i = 0; i < batch->erasure_count; i++) {
        const struct mrd_erasure *erasure = NULL;
        const enum mrd_status status =
            mrd_erasures_add(builder->erasures, batch->erasures[i], &erasure, err);
        worst = worst == MRD_OK ? status : worst;
        for (size_t k = 0; erasure != NULL && k < builder->class_count; k++) {
            mrd_counter_add(builder->figures->erased,
                            cmp_rows_erase(builder->classes[k].rows, builder->series, erasure));
        }
    }
    return worst;
}

static enum mrd_status check(const struct cmp_builder *builder, const struct mrd_batch *batch,
                             const struct cmp_position *position, struct mrd_error *err)
{
    if (batch->header.partition != builder->partition) {
        return mrd_fail(err, MRD_E_CORRUPT,
                        "a batch of partition %" PRIu32 " in the log of %" PRIu32,
                        batch->header.partition, builder->partition);
    }
    if (!mrd_bytes_equal(batch->header.residency_class, mrd_bytes_of(position->residency_class))) {
        return mrd_fail(err, MRD_E_CORRUPT, "a batch of class %.*s under the subject of class %s",
                        MRD_FMT(batch->header.residency_class), position->residency_class);
    }
    if (batch->header.hlc > INT64_MAX) {
        return mrd_fail(err, MRD_E_CORRUPT, "a batch with a stamp beyond 63 bits");
    }
    return MRD_OK;
}

void cmp_builder_lost(struct cmp_builder *builder, uint64_t sequence)
{
    if (sequence > builder->last) {
        mrd_counter_add(builder->figures->sequences_missing, sequence - builder->last);
        MRD_LOG_ERROR("the log has lost entries that were not in blocks yet",
                      mrd_log_uint("partition", builder->partition),
                      mrd_log_uint("first", builder->last + 1), mrd_log_uint("last", sequence));
        builder->last = sequence;
        builder->last_stored_ms = 0;
    }
    builder->taken = MRD_MAX(builder->taken, sequence);
}

static void note_sequence(struct cmp_builder *builder, const struct cmp_position *position)
{
    mrd_assert(position->sequence > builder->taken);
    if (position->sequence >= builder->first) {
        cmp_builder_lost(builder, position->sequence - 1);
        builder->last = position->sequence;
        builder->last_stored_ms = position->stored_ms;
    }
    builder->taken = position->sequence;
    builder->log_ms = MRD_MAX(builder->log_ms, position->stored_ms);
}

enum mrd_status cmp_builder_take(struct cmp_builder *builder, const struct cmp_position *position,
                                 struct mrd_bytes message, struct mrd_error *err)
{
    note_sequence(builder, position);
    const bool in_range = position->sequence >= builder->first;
    struct mrd_batch batch;
    MRD_TRY(mrd_batch_read(builder->reader, message, &batch, err));
    MRD_TRY(check(builder, &batch, position, err));
    struct mrd_reference_instance *instance =
        mrd_references_instance(builder->references, batch.header.instance);
    struct mrd_reference_table *table =
        mrd_reference_instance_table(builder->references, instance, batch.header.epoch);
    mrd_reference_table_heard(table, position->sequence, position->stored_ms);
    announce(builder, &batch, table);
    const struct mrd_number_result number =
        mrd_reference_instance_number(instance, batch.header.number, position->stored_ms, false);
    if (!in_range) {
        return take_erasures(builder, &batch, err);
    }
    mrd_counter_add(builder->figures->batches, 1);
    mrd_counter_add(builder->figures->batches_duplicate, number.duplicate ? 1 : 0);
    struct cmp_rows *rows = rows_of_class(builder, batch.header.residency_class);
    if (rows == NULL) {
        return mrd_fail(err, MRD_E_UNSUPPORTED, "more than %d residency classes in one range",
                        CLASSES_MAX);
    }
    builder->digest = mrd_hash64(message, builder->digest ^ position->sequence);
    const uint64_t unresolved =
        take_samples(builder, &batch, table, rows) + take_histograms(builder, &batch, table, rows);
    if (unresolved > 0) {
        tell_unresolved(builder, &batch, position, unresolved);
    }
    return take_erasures(builder, &batch, err);
}

/* ---- writing ---- */

/* Of all that the block's content depends on. */
static uint64_t class_digest(const struct cmp_builder *builder, const struct class_rows *rows)
{
    const uint64_t seed = mrd_hash64(MRD_BYTES(MRD_VERSION), builder->digest);
    return mrd_hash64(mrd_bytes_of(rows->name), seed);
}

static void note_result(struct cmp_builder *builder, const struct cmp_rows_result *result)
{
    struct cmp_rows_result *sum = &builder->written.rows;
    sum->samples += result->samples;
    sum->histograms += result->histograms;
    sum->duplicates += result->duplicates;
    sum->overridden += result->overridden;
    sum->refused += result->refused;
    if (result->refused > 0) {
        MRD_LOG_ERROR("samples that no block can hold are left out",
                      mrd_log_uint("partition", builder->partition),
                      mrd_log_uint("samples", result->refused), mrd_log_error(&result->refusal));
    }
}

void cmp_builder_committed(struct cmp_builder *builder)
{
    const struct cmp_build_figures *figures = builder->figures;
    const struct written *written = &builder->written;
    mrd_counter_add(figures->samples, written->rows.samples);
    mrd_counter_add(figures->histograms, written->rows.histograms);
    mrd_counter_add(figures->duplicates, written->rows.duplicates);
    mrd_counter_add(figures->overridden, written->rows.overridden);
    mrd_counter_add(figures->refused, written->rows.refused);
    mrd_counter_add(figures->blocks, written->blocks);
    mrd_counter_add(figures->bytes, written->bytes);
    builder->written = (struct written){0};
}

/* "20261127" */
static const char *day_of(mrd_time_ms time_ms, char out[DAY_TEXT])
{
    const time_t seconds = (time_t)(time_ms / 1000);
    struct tm parts;
    mrd_assert(gmtime_r(&seconds, &parts) != NULL && strftime(out, DAY_TEXT, "%Y%m%d", &parts) > 0);
    return out;
}

/* Writes the block of one class; *out_any is false if nothing was to be written. */
static enum mrd_status class_write(struct cmp_builder *builder, const struct class_rows *rows,
                                   const struct cmp_build_target *target, struct mrd_arena *arena,
                                   struct mrd_block_entry *out, bool *out_any,
                                   struct mrd_error *err)
{
    char id[MRD_BLOCK_ID_SIZE_MAX + 1];
    char stem[MRD_OBJSTORE_KEY_SIZE_MAX + 1];
    char day[DAY_TEXT];
    (void)snprintf(id, sizeof(id), "l0-%" PRIu32 "-%" PRIu64 "-%" PRIu64 "-%016" PRIx64,
                   builder->partition, builder->first, builder->last, class_digest(builder, rows));
    (void)snprintf(stem, sizeof(stem), CMP_BLOCKS_PREFIX "/%s/%" PRIu32 "/%s/%s", rows->name,
                   builder->partition, day_of(target->begun_ms, day), id);
    const struct mrd_block_writer_options options = {
        .store = target->store,
        .control = target->control,
        .stem = stem,
        .id = mrd_bytes_of(id),
        .level = 0,
        .keep_hlc = true, /* ranges of one partition may have stamps that overlap */
        .memory_bytes_max = writer_memory(builder),
    };
    mrd_auto(mrd_block_writer_destroy)
    struct mrd_block_writer *writer = NULL;
    MRD_TRY(mrd_block_writer_create(&options, &writer, err));
    struct cmp_rows_result result;
    MRD_TRY(cmp_rows_write(rows->rows, builder->series, writer, &result, err));
    note_result(builder, &result);
    *out_any = result.series > 0;
    if (!*out_any) {
        return MRD_OK;
    }
    const struct mrd_block_origin origin = {
        .partition = builder->partition,
        .first_sequence = builder->first,
        .last_sequence = builder->last,
        .residency_class = mrd_bytes_of(rows->name),
        .hlc_min = cmp_rows_hlc_min(rows->rows),
        .hlc_fence = cmp_rows_hlc_max(rows->rows),
    };
    MRD_TRY(mrd_block_writer_finish(writer, &origin, arena, out, err));
    builder->written.blocks++;
    builder->written.bytes += out->data.size + out->sidecar.size;
    return MRD_OK;
}

enum mrd_status cmp_builder_write(struct cmp_builder *builder,
                                  const struct cmp_build_target *target, struct mrd_arena *arena,
                                  const struct mrd_block_entry **out_entries, size_t *out_count,
                                  struct mrd_error *err)
{
    struct mrd_block_entry *entries = mrd_arena_alloc_array(arena, CLASSES_MAX, sizeof(*entries));
    if (entries == NULL) {
        return mrd_arena_fail(arena, err);
    }
    builder->written = (struct written){0};
    size_t count = 0;
    for (size_t i = 0; i < builder->class_count; i++) {
        const struct class_rows *rows = &builder->classes[i];
        bool any = false;
        if (cmp_rows_count(rows->rows) > 0) {
            MRD_TRY(class_write(builder, rows, target, arena, &entries[count], &any, err));
        }
        count += any ? 1 : 0;
    }
    *out_entries = entries;
    *out_count = count;
    return MRD_OK;
}

/* ---- tidying ---- */

static void on_hole(void *context, const struct mrd_number_hole *hole)
{
    const struct cmp_builder *builder = context;
    MRD_LOG_ERROR("batches are missing in the log", mrd_log_uint("partition", builder->partition),
                  mrd_log_bytes("writer", hole->instance), mrd_log_uint("first", hole->first),
                  mrd_log_uint("last", hole->last));
}

struct move {
    const struct cmp_series_table *from;
    struct cmp_series_table *to;
};

static uint32_t move_one(void *context, uint32_t ordinal)
{
    const struct move *move = context;
    uint32_t moved = 0;
    const enum mrd_status status =
        cmp_series_table_add(move->to, cmp_series_table_at(move->from, ordinal), &moved, NULL);
    mrd_assert(status == MRD_OK); /* it was checked when it came into the first */
    return moved;
}

/* Keeps the series that tables still name. */
static void series_collect(struct cmp_builder *builder)
{
    struct move move = {builder->series, cmp_series_table_create()};
    mrd_references_renumber(builder->references, move_one, &move);
    cmp_series_table_destroy(&builder->series);
    builder->series = move.to;
    builder->series_kept = cmp_series_table_count(builder->series);
    builder->serial++; /* what was seen had other ordinals */
}

void cmp_builder_tidy(struct cmp_builder *builder)
{
    mrd_assert(builder->last + 1 == builder->first && builder->class_count == 0);
    const uint64_t epoch = mrd_batch_epoch_of(builder->log_ms);
    const uint64_t epoch_min =
        epoch < MRD_REFERENCES_EPOCHS_KEPT ? 0 : epoch - MRD_REFERENCES_EPOCHS_KEPT;
    const uint64_t missing =
        mrd_references_expire(builder->references, epoch_min, builder->log_ms, on_hole, builder);
    mrd_counter_add(builder->figures->batches_missing, missing);
    mrd_erasures_expire(builder->erasures, (mrd_time_ms)epoch_min * MRD_BATCH_EPOCH_MS);
    if (cmp_series_table_count(builder->series) > 2 * builder->series_kept + SERIES_KEPT_MIN) {
        series_collect(builder);
    }
}
