/* Building sections 6 to 10 of a batch: start times, histograms, exemplars, metadata, erasures. */
#include "wire/batch_internal.h"

#include "wire/runs_internal.h"
#include "wire/values_internal.h"

#include <stdlib.h>

enum {
    PACK_SIZE_MIN = 256, /* less is not worth a compressor's start */
    METADATA_COLUMNS = 3,
    ROW_SIZE = 4, /* of rows, times and the like of one item, about */
};

static struct mrd_batch_extras *extras_of(struct mrd_batch_builder *builder)
{
    if (builder->extras == NULL) {
        builder->extras = calloc(1, sizeof(*builder->extras));
        mrd_assert(builder->extras != NULL);
    }
    return builder->extras;
}

/* Every column, for what is done to all of them. */
enum { COLUMNS = 13 };
static void columns_of(struct mrd_batch_extras *extras, struct mrd_u64_column *list[COLUMNS])
{
    list[0] = &extras->start_samples;
    list[1] = &extras->start_times;
    list[2] = &extras->histogram_times;
    list[3] = &extras->histogram_start_indexes;
    list[4] = &extras->histogram_start_times;
    list[5] = &extras->exemplar_times;
    list[6] = &extras->exemplar_values;
    list[7] = &extras->exemplar_sizes;
    list[8] = &extras->metadata_tenants;
    list[9] = &extras->metadata_types;
    list[10] = &extras->metadata_sizes[0];
    list[11] = &extras->metadata_sizes[1];
    list[12] = &extras->metadata_sizes[2];
}

static void rows_fini(struct mrd_batch_row_columns *rows)
{
    free(rows->runs);
    free(rows->references);
    free(rows->counts);
}

static void rows_clear(struct mrd_batch_row_columns *rows)
{
    rows->run_count = 0;
    rows->row_count = 0;
    rows->item_count = 0;
}

void mrd_batch_extras_destroy(struct mrd_batch_extras **extras)
{
    if (*extras == NULL) {
        return;
    }
    struct mrd_u64_column *list[COLUMNS];
    columns_of(*extras, list);
    for (size_t i = 0; i < COLUMNS; i++) {
        free(list[i]->items);
    }
    rows_fini(&(*extras)->histogram_rows);
    rows_fini(&(*extras)->exemplar_rows);
    mrd_histogram_columns_fini(&(*extras)->histograms);
    mrd_buf_fini(&(*extras)->exemplar_labels);
    mrd_buf_fini(&(*extras)->metadata_texts);
    mrd_buf_fini(&(*extras)->erasures);
    mrd_buf_fini(&(*extras)->packed);
    free(*extras);
    *extras = NULL;
}

void mrd_batch_extras_clear(struct mrd_batch_extras *extras)
{
    struct mrd_u64_column *list[COLUMNS];
    columns_of(extras, list);
    for (size_t i = 0; i < COLUMNS; i++) {
        list[i]->count = 0;
    }
    rows_clear(&extras->histogram_rows);
    rows_clear(&extras->exemplar_rows);
    mrd_histogram_columns_clear(&extras->histograms);
    mrd_buf_clear(&extras->exemplar_labels);
    mrd_buf_clear(&extras->metadata_texts);
    mrd_buf_clear(&extras->erasures);
    extras->erasure_count = 0;
}

/* ---- filling ---- */

static void rows_grow(struct mrd_batch_row_columns *rows)
{
    rows->row_capacity = MRD_MAX(rows->row_capacity * 2, (size_t)256);
    rows->references =
        reallocarray(rows->references, rows->row_capacity, sizeof(*rows->references));
    rows->counts = reallocarray(rows->counts, rows->row_capacity, sizeof(*rows->counts));
    mrd_assert(rows->references != NULL && rows->counts != NULL);
}

static void runs_grow(struct mrd_batch_row_columns *rows)
{
    rows->run_capacity = MRD_MAX(rows->run_capacity * 2, (size_t)16);
    rows->runs = reallocarray(rows->runs, rows->run_capacity, sizeof(*rows->runs));
    mrd_assert(rows->runs != NULL);
}

/* One item more: of the last row if that is the same series', else of a new one. */
static void rows_add(struct mrd_batch_row_columns *rows, uint32_t tenant, uint32_t reference)
{
    mrd_assert(reference < MRD_BATCH_REFERENCE_COUNT_MAX);
    rows->item_count++;
    const bool same_tenant =
        rows->run_count > 0 && rows->runs[rows->run_count - 1].tenant == tenant;
    if (same_tenant && rows->references[rows->row_count - 1] == reference) {
        rows->counts[rows->row_count - 1]++;
        return;
    }
    if (!same_tenant) {
        if (rows->run_count == rows->run_capacity) {
            runs_grow(rows);
        }
        rows->runs[rows->run_count++] = (struct mrd_batch_tenant_run){tenant, 0};
    }
    if (rows->row_count == rows->row_capacity) {
        rows_grow(rows);
    }
    rows->runs[rows->run_count - 1].row_count++;
    rows->references[rows->row_count] = reference;
    rows->counts[rows->row_count++] = 1;
}

void mrd_batch_builder_start_time(struct mrd_batch_builder *builder, mrd_time_ms start_time_ms)
{
    mrd_assert(builder->columns.sample_count > 0);
    if (start_time_ms != 0) {
        struct mrd_batch_extras *extras = extras_of(builder);
        mrd_u64_column_add(&extras->start_samples, builder->columns.sample_count - 1);
        mrd_u64_column_add(&extras->start_times, (uint64_t)start_time_ms);
    }
}

void mrd_batch_builder_histogram(struct mrd_batch_builder *builder, uint32_t tenant,
                                 uint32_t reference, mrd_time_ms time_ms, mrd_time_ms start_time_ms,
                                 const struct mrd_histogram *histogram)
{
    mrd_assert(tenant < builder->tenant_count);
    struct mrd_batch_extras *extras = extras_of(builder);
    if (start_time_ms != 0) {
        mrd_u64_column_add(&extras->histogram_start_indexes, extras->histogram_rows.item_count);
        mrd_u64_column_add(&extras->histogram_start_times, (uint64_t)start_time_ms);
    }
    rows_add(&extras->histogram_rows, tenant, reference);
    mrd_u64_column_add(&extras->histogram_times, (uint64_t)time_ms);
    mrd_histogram_columns_add(&extras->histograms, histogram);
}

void mrd_batch_builder_exemplar(struct mrd_batch_builder *builder, uint32_t tenant,
                                uint32_t reference, const struct mrd_exemplar *exemplar)
{
    mrd_assert(tenant < builder->tenant_count);
    mrd_assert(exemplar->labels.size <= MRD_BATCH_LABELS_SIZE_MAX);
    struct mrd_batch_extras *extras = extras_of(builder);
    rows_add(&extras->exemplar_rows, tenant, reference);
    mrd_u64_column_add(&extras->exemplar_times, (uint64_t)exemplar->time_ms);
    mrd_u64_column_add(&extras->exemplar_values, mrd_double_bits(exemplar->value));
    mrd_u64_column_add(&extras->exemplar_sizes, exemplar->labels.size);
    mrd_buf_append_bytes(&extras->exemplar_labels, exemplar->labels);
}

void mrd_batch_builder_metadata(struct mrd_batch_builder *builder, uint32_t tenant,
                                const struct mrd_metadata *metadata)
{
    mrd_assert(tenant < builder->tenant_count && metadata->type < MRD_FAMILY_TYPE_COUNT);
    mrd_assert(metadata->family.size > 0);
    mrd_assert(metadata->family.size + metadata->help.size + metadata->unit.size <=
               MRD_BATCH_METADATA_SIZE_MAX);
    struct mrd_batch_extras *extras = extras_of(builder);
    const struct mrd_bytes texts[METADATA_COLUMNS] = {metadata->family, metadata->help,
                                                      metadata->unit};
    mrd_u64_column_add(&extras->metadata_tenants, tenant);
    mrd_u64_column_add(&extras->metadata_types, metadata->type);
    for (size_t i = 0; i < METADATA_COLUMNS; i++) {
        mrd_u64_column_add(&extras->metadata_sizes[i], texts[i].size);
        mrd_buf_append_bytes(&extras->metadata_texts, texts[i]);
    }
}

void mrd_batch_builder_erasure(struct mrd_batch_builder *builder, struct mrd_bytes erasure)
{
    struct mrd_batch_extras *extras = extras_of(builder);
    mrd_assert(erasure.size > 0 && erasure.size <= MRD_ERASURE_SIZE_MAX);
    mrd_assert(builder->tenant_count > 0);
    mrd_buf_append_varint(&extras->erasures, erasure.size);
    mrd_buf_append_bytes(&extras->erasures, erasure);
    extras->erasure_count++;
}

/* ---- sizes ---- */

bool mrd_batch_extras_empty(const struct mrd_batch_extras *extras)
{
    return extras == NULL ||
           (extras->histogram_rows.item_count == 0 && extras->exemplar_rows.item_count == 0 &&
            extras->metadata_types.count == 0 && extras->erasure_count == 0);
}

static bool part_full(size_t part, size_t most) { return part + MRD_HISTOGRAM_PARTS_MAX > most; }

bool mrd_batch_builder_full(const struct mrd_batch_builder *builder)
{
    const struct mrd_batch_extras *extras = builder->extras;
    return extras != NULL &&
           (extras->histogram_rows.item_count >= MRD_BATCH_HISTOGRAM_COUNT_MAX ||
            part_full(extras->histograms.bucket_count, MRD_BATCH_BUCKET_COUNT_MAX) ||
            part_full(extras->histograms.span_count, MRD_BATCH_BUCKET_COUNT_MAX) ||
            part_full(extras->histograms.bound_count, MRD_BATCH_BUCKET_COUNT_MAX) ||
            extras->exemplar_rows.item_count >= MRD_BATCH_EXEMPLAR_COUNT_MAX ||
            extras->metadata_types.count >= MRD_BATCH_METADATA_COUNT_MAX ||
            extras->erasure_count >= MRD_BATCH_ERASURE_COUNT_MAX);
}

size_t mrd_batch_extras_size(const struct mrd_batch_extras *extras)
{
    if (extras == NULL) {
        return 0;
    }
    const size_t starts = extras->start_times.count + extras->histogram_start_times.count;
    return starts * (ROW_SIZE + 1) + mrd_histogram_columns_size(&extras->histograms) +
           extras->histogram_rows.item_count * 2 * ROW_SIZE +
           extras->exemplar_rows.item_count * (sizeof(double) + 3 * ROW_SIZE) +
           extras->exemplar_labels.size + extras->metadata_types.count * 3 * ROW_SIZE +
           extras->metadata_texts.size + extras->erasures.size;
}

static size_t rows_size_max(const struct mrd_batch_row_columns *rows)
{
    return 2 * mrd_runs_size_max(rows->row_count) + rows->run_count * MRD_VARINT_SIZE_MAX +
           3 * MRD_VARINT_SIZE_MAX;
}

size_t mrd_batch_extras_size_max(const struct mrd_batch_extras *extras)
{
    if (extras == NULL) {
        return 0;
    }
    const size_t starts = extras->start_times.count + extras->histogram_start_times.count;
    const size_t histograms = rows_size_max(&extras->histogram_rows) +
                              mrd_runs_size_max(extras->histogram_times.count) +
                              mrd_histogram_columns_size_max(&extras->histograms);
    const size_t exemplars = rows_size_max(&extras->exemplar_rows) +
                             2 * mrd_runs_size_max(extras->exemplar_times.count) +
                             mrd_values_size_max(extras->exemplar_values.count) +
                             extras->exemplar_labels.size;
    const size_t metadata =
        5 * mrd_runs_size_max(extras->metadata_types.count) + extras->metadata_texts.size;
    return 2 * mrd_runs_size_max(starts) + histograms + exemplars + metadata +
           extras->erasures.size + 18 * MRD_VARINT_SIZE_MAX;
}

/* ---- writing ---- */

/* A codec, the size, and the bytes as that codec has them. */
static void write_packed(struct mrd_batch_builder *builder, struct mrd_bytes bytes)
{
    struct mrd_buf *body = &builder->body;
    uint8_t *head = mrd_buf_reserve(body, 1 + MRD_VARINT_SIZE_MAX + bytes.size);
    mrd_assert(head != NULL && bytes.size <= MRD_BATCH_BODY_SIZE_MAX);
    const size_t head_size = 1 + mrd_varint_put(head + 1, bytes.size);
    size_t size = 0;
    if (bytes.size >= PACK_SIZE_MIN) {
        if (builder->zstd == NULL) {
            builder->zstd = ZSTD_createCCtx();
            mrd_assert(builder->zstd != NULL);
        }
        size = ZSTD_compressCCtx(builder->zstd, head + head_size, bytes.size, bytes.data,
                                 bytes.size, MRD_BATCH_ZSTD_LEVEL);
        size = ZSTD_isError(size) || size >= bytes.size ? 0 : size;
    }
    head[0] = size == 0 ? PACKED_NONE : PACKED_ZSTD;
    if (size == 0 && bytes.size > 0) {
        memcpy(head + head_size, bytes.data, bytes.size);
        size = bytes.size;
    }
    body->size += head_size + size;
}

/* Indexes of the items that have a start time, and the times. */
static void write_starts(struct mrd_batch_builder *builder, const struct mrd_u64_column *indexes,
                         const struct mrd_u64_column *times)
{
    uint64_t *numbers = mrd_batch_builder_numbers(builder, indexes->count);
    uint64_t expected = 0;
    for (size_t i = 0; i < indexes->count; i++) {
        numbers[i] = indexes->items[i] - expected;
        expected = indexes->items[i] + 1;
    }
    mrd_runs_write(&builder->body, numbers, indexes->count);
    mrd_batch_deltas_write(builder, times->items, times->count);
}

static void write_start_times(struct mrd_batch_builder *builder)
{
    const struct mrd_batch_extras *extras = builder->extras;
    const size_t start = mrd_batch_section_begin(&builder->body);
    mrd_buf_append_varint(&builder->body, extras->start_samples.count);
    write_starts(builder, &extras->start_samples, &extras->start_times);
    mrd_batch_section_end(&builder->body, start, SECTION_START_TIMES);
}

static void write_rows_of(struct mrd_batch_builder *builder,
                          const struct mrd_batch_row_columns *columns)
{
    const struct mrd_batch_rows rows = {
        .tenant_runs = columns->runs,
        .tenant_run_count = columns->run_count,
        .references = columns->references,
        .counts = columns->counts,
        .row_count = columns->row_count,
        .item_count = columns->item_count,
    };
    mrd_batch_rows_write(builder, &rows);
}

static void write_histograms(struct mrd_batch_builder *builder)
{
    struct mrd_batch_extras *extras = builder->extras;
    mrd_assert(extras->histogram_rows.item_count <= MRD_BATCH_HISTOGRAM_COUNT_MAX);
    const size_t start = mrd_batch_section_begin(&builder->body);
    write_rows_of(builder, &extras->histogram_rows);
    mrd_batch_deltas_write(builder, extras->histogram_times.items, extras->histogram_times.count);
    mrd_buf_append_varint(&builder->body, extras->histogram_start_indexes.count);
    if (extras->histogram_start_indexes.count > 0) {
        write_starts(builder, &extras->histogram_start_indexes, &extras->histogram_start_times);
    }
    mrd_buf_clear(&extras->packed);
    mrd_histogram_columns_write(&extras->histograms, &extras->packed);
    write_packed(builder, mrd_buf_view(&extras->packed));
    mrd_batch_section_end(&builder->body, start, SECTION_HISTOGRAMS);
}

static void write_exemplars(struct mrd_batch_builder *builder)
{
    struct mrd_batch_extras *extras = builder->extras;
    struct mrd_buf *body = &builder->body;
    const size_t count = extras->exemplar_rows.item_count;
    mrd_assert(count <= MRD_BATCH_EXEMPLAR_COUNT_MAX);
    const size_t start = mrd_batch_section_begin(body);
    write_rows_of(builder, &extras->exemplar_rows);
    mrd_batch_deltas_write(builder, extras->exemplar_times.items, count);
    mrd_doubles_write(body, &extras->exemplar_values);
    mrd_runs_write(body, extras->exemplar_sizes.items, count);
    mrd_buf_append_bytes(body, mrd_buf_view(&extras->exemplar_labels));
    mrd_batch_section_end(body, start, SECTION_EXEMPLARS);
}

static void write_metadata(struct mrd_batch_builder *builder)
{
    const struct mrd_batch_extras *extras = builder->extras;
    struct mrd_buf *body = &builder->body;
    const size_t count = extras->metadata_types.count;
    mrd_assert(count <= MRD_BATCH_METADATA_COUNT_MAX);
    const size_t start = mrd_batch_section_begin(body);
    mrd_buf_append_varint(body, count);
    mrd_runs_write(body, extras->metadata_tenants.items, count);
    mrd_runs_write(body, extras->metadata_types.items, count);
    for (size_t i = 0; i < METADATA_COLUMNS; i++) {
        mrd_runs_write(body, extras->metadata_sizes[i].items, count);
    }
    write_packed(builder, mrd_buf_view(&extras->metadata_texts));
    mrd_batch_section_end(body, start, SECTION_METADATA);
}

static void write_erasures(struct mrd_batch_builder *builder)
{
    const struct mrd_batch_extras *extras = builder->extras;
    mrd_assert(extras->erasure_count <= MRD_BATCH_ERASURE_COUNT_MAX);
    const size_t start = mrd_batch_section_begin(&builder->body);
    mrd_buf_append_varint(&builder->body, extras->erasure_count);
    mrd_buf_append_bytes(&builder->body, mrd_buf_view(&extras->erasures));
    mrd_batch_section_end(&builder->body, start, SECTION_ERASURES);
}

void mrd_batch_extras_write(struct mrd_batch_builder *builder)
{
    const struct mrd_batch_extras *extras = builder->extras;
    if (extras == NULL) {
        return;
    }
    if (extras->start_samples.count > 0) {
        write_start_times(builder);
    }
    if (extras->histogram_rows.item_count > 0) {
        write_histograms(builder);
    }
    if (extras->exemplar_rows.item_count > 0) {
        write_exemplars(builder);
    }
    if (extras->metadata_types.count > 0) {
        write_metadata(builder);
    }
    if (extras->erasure_count > 0) {
        write_erasures(builder);
    }
}
