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
            for (size_t j = 1; j < count; j++) {
                mrd_batch_builder_sample(builder, batch->times_ms[sample + j],
                                         batch->values[sample + j]);
            }
            sample += count;
        }
    }
    mrd_assert(row == batch->row_count);
    mrd_assert(sample == batch->sample_count);
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
