/* Any bytes as a batch, under a checksum that is made right (else nothing would come past it). What is accepted is
 * consistent, and building it again gives a batch that reads the same. */
#include <stdlib.h>

#include "wire/batch_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void seal(uint8_t *message, size_t size)
{
    const uint32_t crc = mrd_crc32c(0, (struct mrd_bytes){message, size});
    message[size] = BATCH_CRC32C;
    memcpy(message + size + 1, &crc, sizeof(crc));
}

static void add_start(struct mrd_batch_builder *builder, const struct mrd_batch *batch,
                      size_t sample)
{
    if (batch->start_times_ms != NULL) {
        mrd_batch_builder_start_time(builder, batch->start_times_ms[sample]);
    }
}

/* The tenant of each row, by its run. */
static void build_rows(struct mrd_batch_builder *builder, const struct mrd_batch *batch)
{
    size_t row = 0;
    size_t sample = 0;
    for (size_t run = 0; run < batch->tenant_run_count; run++) {
        const struct mrd_batch_tenant_run *of = &batch->tenant_runs[run];
        const uint32_t tenant = mrd_batch_builder_tenant(builder, batch->tenants[of->tenant]);
        for (uint32_t i = 0; i < of->row_count; i++, row++) {
            const size_t count = batch->sample_counts == NULL ? 1 : batch->sample_counts[row];
            mrd_batch_builder_row(builder, tenant, batch->references[row], batch->times_ms[sample],
                                  batch->values[sample]);
            add_start(builder, batch, sample);
            for (size_t j = 1; j < count; j++) {
                mrd_batch_builder_sample(builder, batch->times_ms[sample + j],
                                         batch->values[sample + j]);
                add_start(builder, batch, sample + j);
            }
            sample += count;
        }
    }
    mrd_assert(row == batch->row_count);
    mrd_assert(sample == batch->sample_count);
}

/* Calls `item` for every item of the rows, with its tenant and its row. */
static void each_item(struct mrd_batch_builder *builder, const struct mrd_batch *batch,
                      const struct mrd_batch_rows *rows,
                      void (*item)(struct mrd_batch_builder *builder, const struct mrd_batch *batch,
                                   uint32_t tenant, uint32_t reference, size_t index))
{
    size_t row = 0;
    size_t index = 0;
    for (size_t run = 0; run < rows->tenant_run_count; run++) {
        const struct mrd_batch_tenant_run *of = &rows->tenant_runs[run];
        const uint32_t tenant = mrd_batch_builder_tenant(builder, batch->tenants[of->tenant]);
        for (uint32_t i = 0; i < of->row_count; i++, row++) {
            const size_t count = rows->counts == NULL ? 1 : rows->counts[row];
            for (size_t j = 0; j < count; j++) {
                item(builder, batch, tenant, rows->references[row], index++);
            }
        }
    }
    mrd_assert(row == rows->row_count && index == rows->item_count);
}

static void add_histogram(struct mrd_batch_builder *builder, const struct mrd_batch *batch,
                          uint32_t tenant, uint32_t reference, size_t index)
{
    const struct mrd_batch_histograms *histograms = &batch->histograms;
    mrd_batch_builder_histogram(
        builder, tenant, reference, histograms->times_ms[index],
        histograms->start_times_ms == NULL ? 0 : histograms->start_times_ms[index],
        &histograms->items[index]);
}

static void add_exemplar(struct mrd_batch_builder *builder, const struct mrd_batch *batch,
                         uint32_t tenant, uint32_t reference, size_t index)
{
    mrd_batch_builder_exemplar(builder, tenant, reference, &batch->exemplars.items[index]);
}

static void build_extras(struct mrd_batch_builder *builder, const struct mrd_batch *batch)
{
    each_item(builder, batch, &batch->histograms.rows, add_histogram);
    each_item(builder, batch, &batch->exemplars.rows, add_exemplar);
    for (size_t i = 0; i < batch->metadata_count; i++) {
        const struct mrd_batch_metadata *of = &batch->metadata[i];
        mrd_batch_builder_metadata(
            builder, mrd_batch_builder_tenant(builder, batch->tenants[of->tenant]), &of->metadata);
    }
    for (size_t i = 0; i < batch->erasure_count; i++) {
        (void)mrd_batch_builder_tenant(builder, batch->tenants[0]);
        mrd_batch_builder_erasure(builder, batch->erasures[i]);
    }
}

static void compare_sides(const struct mrd_histogram_side *a, const struct mrd_histogram_side *b)
{
    mrd_assert(a->span_count == b->span_count && a->bucket_count == b->bucket_count);
    mrd_assert(a->bucket_count == 0 ||
               memcmp(a->buckets, b->buckets, a->bucket_count * sizeof(*a->buckets)) == 0);
}

static void compare_extras(const struct mrd_batch *a, const struct mrd_batch *b)
{
    mrd_assert(a->histograms.rows.item_count == b->histograms.rows.item_count);
    for (size_t i = 0; i < a->histograms.rows.item_count; i++) {
        const struct mrd_histogram *x = &a->histograms.items[i];
        const struct mrd_histogram *y = &b->histograms.items[i];
        mrd_assert(a->histograms.times_ms[i] == b->histograms.times_ms[i]);
        mrd_assert(x->schema == y->schema && x->reset == y->reset && x->is_float == y->is_float);
        mrd_assert(mrd_double_bits(x->sum) == mrd_double_bits(y->sum));
        mrd_assert(x->count.integer == y->count.integer);
        compare_sides(&x->positive, &y->positive);
        compare_sides(&x->negative, &y->negative);
    }
    mrd_assert(a->exemplars.rows.item_count == b->exemplars.rows.item_count);
    for (size_t i = 0; i < a->exemplars.rows.item_count; i++) {
        mrd_assert(mrd_bytes_equal(a->exemplars.items[i].labels, b->exemplars.items[i].labels));
    }
    mrd_assert(a->metadata_count == b->metadata_count);
    for (size_t i = 0; i < a->metadata_count; i++) {
        mrd_assert(mrd_bytes_equal(a->metadata[i].metadata.help, b->metadata[i].metadata.help));
    }
    mrd_assert(a->erasure_count == b->erasure_count);
    for (size_t i = 0; i < a->erasure_count; i++) {
        mrd_assert(mrd_bytes_equal(a->erasures[i], b->erasures[i]));
    }
    mrd_assert((a->start_times_ms == NULL) == (b->start_times_ms == NULL));
    mrd_assert(a->start_times_ms == NULL ||
               memcmp(a->start_times_ms, b->start_times_ms, a->sample_count * 8) == 0);
}

static void build(struct mrd_batch_builder *builder, const struct mrd_batch *batch)
{
    for (size_t i = 0; i < batch->announcement_count; i++) {
        struct mrd_batch_announcement announcement = batch->announcements[i];
        mrd_assert(announcement.tenant < batch->tenant_count);
        mrd_assert(announcement.reference < MRD_BATCH_REFERENCE_COUNT_MAX);
        announcement.tenant =
            mrd_batch_builder_tenant(builder, batch->tenants[announcement.tenant]);
        mrd_batch_builder_announce(builder, &announcement);
    }
    build_rows(builder, batch);
    build_extras(builder, batch);
}

static void round_trip(const struct mrd_batch *batch)
{
    struct mrd_batch_builder *builder = mrd_batch_builder_create();
    struct mrd_batch_reader *reader = mrd_batch_reader_create();
    struct mrd_buf message = {0};
    build(builder, batch);
    mrd_batch_builder_finish(builder, &batch->header, MRD_BATCH_SNAPPY, &message);
    mrd_assert(message.size <= mrd_batch_builder_size_max(builder));
    struct mrd_batch again;
    mrd_assert(mrd_batch_read(reader, mrd_buf_view(&message), &again, NULL) == MRD_OK);
    mrd_assert(again.announcement_count == batch->announcement_count);
    mrd_assert(again.row_count == batch->row_count);
    mrd_assert(again.sample_count == batch->sample_count);
    if (batch->row_count > 0) {
        mrd_assert(memcmp(again.references, batch->references, batch->row_count * 4) == 0);
        mrd_assert(memcmp(again.times_ms, batch->times_ms, batch->sample_count * 8) == 0);
        mrd_assert(memcmp(again.values, batch->values, batch->sample_count * 8) == 0);
    }
    compare_extras(&again, batch);
    mrd_buf_fini(&message);
    mrd_batch_reader_destroy(&reader);
    mrd_batch_builder_destroy(&builder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct mrd_batch_reader *reader;
    if (reader == NULL) {
        reader = mrd_batch_reader_create();
    }
    if (size > 1 << 16) {
        return 0;
    }
    uint8_t *message = malloc(size + BATCH_CRC_FIELD_SIZE);
    mrd_assert(message != NULL);
    if (size > 0) {
        memcpy(message, data, size);
    }
    seal(message, size);
    struct mrd_batch batch;
    struct mrd_error err;
    if (mrd_batch_read(reader, (struct mrd_bytes){message, size + BATCH_CRC_FIELD_SIZE}, &batch,
                       &err) == MRD_OK) {
        round_trip(&batch);
    }
    free(message);
    return 0;
}
