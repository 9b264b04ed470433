/* Requests and reply lists from anywhere: decoded within their bytes, or refused. */
#include <stdlib.h>

#include "wire/query.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_lists(struct mrd_bytes bytes)
{
    struct mrd_reader reader = mrd_reader_of(bytes);
    struct mrd_bytes text;
    while (mrd_query_text_read(&reader, &text)) {
        mrd_assert(text.size <= bytes.size);
    }
    reader = mrd_reader_of(bytes);
    struct mrd_query_count count;
    while (mrd_query_count_read(&reader, &count)) {
        mrd_assert(count.name.size <= bytes.size);
    }
    reader = mrd_reader_of(bytes);
    struct mrd_query_exemplar exemplar;
    while (mrd_query_exemplar_read(&reader, &exemplar)) {
        mrd_assert(exemplar.series.size + exemplar.exemplar.labels.size <= bytes.size);
    }
    reader = mrd_reader_of(bytes);
    struct mrd_query_family family;
    while (mrd_query_family_read(&reader, &family)) {
        mrd_assert(family.metadata.help.size <= bytes.size);
    }
    struct mrd_query_trailer trailer;
    (void)mrd_query_trailer_decode(bytes, &trailer, NULL);
}

/* What is read can be written again and is the same then. */
static void fuzz_parts(struct mrd_bytes bytes)
{
    struct mrd_reader reader = mrd_reader_of(bytes);
    struct mrd_query_part part;
    struct mrd_buf again = {0};
    while (mrd_query_part_read(&reader, &part)) {
        mrd_assert(part.bytes.size <= bytes.size);
        mrd_buf_clear(&again);
        if (part.kind == MRD_QUERY_PART_DATA) {
            mrd_query_part_data(&again, part.partition, part.bytes);
        } else if (part.kind == MRD_QUERY_PART_ALONE) {
            mrd_query_part_alone(&again, part.partition);
        } else if (part.kind == MRD_QUERY_PART_FAILED) {
            mrd_query_part_failed(&again, part.partition, part.status, part.bytes);
        } else {
            struct mrd_query_trailer trailer;
            if (mrd_query_trailer_decode(part.bytes, &trailer, NULL) != MRD_OK) {
                continue;
            }
            mrd_query_part_end(&again, part.partition, &trailer);
        }
        struct mrd_reader written = mrd_reader_of(mrd_buf_view(&again));
        struct mrd_query_part back;
        mrd_assert(mrd_query_part_read(&written, &back) && mrd_reader_left(&written) == 0);
        mrd_assert(back.kind == part.kind && back.partition == part.partition);
    }
    mrd_buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct mrd_bytes bytes = {data, size};
    fuzz_lists(bytes);
    fuzz_parts(bytes);
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("fuzz", 1 << 20);
    struct mrd_query_request request;
    const struct mrd_query_envelope envelope = mrd_query_request_peek(bytes);
    mrd_assert(envelope.tenant.size <= size);
    if (mrd_query_request_decode(bytes, arena, &request, NULL) == MRD_OK) {
        struct mrd_buf again = {0};
        mrd_query_request_encode(&request, &again);
        mrd_assert(again.size > 0 && request.partition_count > 0);
        uint64_t id_sum = 0;
        for (size_t i = 0; i < request.partition_count && request.id_count > 0; i++) {
            id_sum += request.id_counts[i];
        }
        mrd_assert(id_sum == request.id_count && request.id_count * 16 <= size);
        mrd_buf_fini(&again);
        mrd_query_request_fini(&request);
    }
    return 0;
}
