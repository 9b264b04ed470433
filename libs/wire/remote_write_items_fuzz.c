/* Any bytes as a histogram, as an exemplar and as metadata of remote write. A histogram that is accepted passes the check
 * of what may be stored, goes into a batch and comes out the same. */
#include <stdlib.h>

#include "wire/batch.h"
#include "wire/remote_write_items.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void compare_sides(const struct mrd_histogram_side *a, const struct mrd_histogram_side *b)
{
    mrd_assert(a->bucket_count == b->bucket_count && a->span_count == b->span_count);
    for (size_t i = 0; i < a->bucket_count; i++) {
        mrd_assert(a->buckets[i].integer == b->buckets[i].integer);
    }
}

static void store(const struct mrd_rw_histogram *histogram)
{
    static struct mrd_batch_builder *builder;
    static struct mrd_batch_reader *reader;
    static struct mrd_buf message;
    if (builder == NULL) {
        builder = mrd_batch_builder_create();
        reader = mrd_batch_reader_create();
    }
    mrd_batch_builder_reset(builder);
    mrd_batch_builder_histogram(builder, mrd_batch_builder_tenant(builder, MRD_BYTES("t")), 1,
                                histogram->time_ms, histogram->start_time_ms,
                                &histogram->histogram);
    const struct mrd_batch_header header = {.region = MRD_BYTES("r"),
                                            .residency_class = MRD_BYTES("c"),
                                            .instance = MRD_BYTES("i"),
                                            .number = 1};
    mrd_batch_builder_finish(builder, &header, MRD_BATCH_NONE, &message);
    mrd_assert(message.size <= mrd_batch_builder_size_max(builder));
    struct mrd_batch batch;
    mrd_assert(mrd_batch_read(reader, mrd_buf_view(&message), &batch, NULL) == MRD_OK);
    const struct mrd_histogram *got = &batch.histograms.items[0];
    mrd_assert(batch.histograms.times_ms[0] == histogram->time_ms);
    mrd_assert(got->count.integer == histogram->histogram.count.integer);
    compare_sides(&got->positive, &histogram->histogram.positive);
    compare_sides(&got->negative, &histogram->histogram.negative);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct mrd_rw_histogram_room *room;
    if (room == NULL) {
        room = mrd_rw_histogram_room_create();
    }
    const struct mrd_bytes message = {data, size};
    struct mrd_rw_histogram histogram;
    struct mrd_error err;
    if (mrd_rw_histogram_read(message, room, &histogram, &err) == MRD_OK) {
        mrd_assert(histogram.histogram.schema <= MRD_HISTOGRAM_SCHEMA_MAX);
        store(&histogram);
    }
    struct mrd_label items[MRD_RW_EXEMPLAR_LABELS_MAX];
    size_t count;
    struct mrd_exemplar exemplar;
    if (mrd_rw_exemplar_read(message, items, &count, &exemplar, &err) == MRD_OK) {
        (void)!mrd_exemplar_labels_check(items, &count, &err);
    }
    struct mrd_bytes rest = message;
    struct mrd_metadata metadata;
    enum mrd_status status;
    while (mrd_rw_metadata_next(&rest, &metadata, &status, &err)) {
        mrd_assert(status != MRD_OK || metadata.family.size > 0);
    }
    return 0;
}
