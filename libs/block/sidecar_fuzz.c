/* Sidecars from hostile bytes: the directory with its tail, then a part's index and pages. What is taken must keep its
 * promises, so whoever walks it needs no checks. */
#include <stdlib.h>

#include "block/stamps_internal.h"
#include "parquet/compress.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MEMORY_MAX = 8 << 20, DATA_SIZE = 1 << 20 };

static void expect_tenant(const struct mbx_part *part, const struct mbx_tenant *tenant)
{
    uint32_t *ordinals = calloc((size_t)tenant->series_count + 1, sizeof(*ordinals));
    mrd_assert(ordinals != NULL);
    for (uint32_t i = 0; i < tenant->pair_count; i++) {
        mbx_postings(tenant, &tenant->pairs[i], ordinals);
        for (uint32_t k = 0; k < tenant->pairs[i].count; k++) {
            mrd_assert(ordinals[k] < tenant->series_count &&
                       (k == 0 || ordinals[k - 1] < ordinals[k]));
        }
    }
    free(ordinals);
    for (uint32_t i = 0; i < tenant->series_count; i++) {
        const struct mbx_series *series = &tenant->series[i];
        struct mrd_label *items = calloc(series->refs_count, sizeof(*items));
        mrd_assert(items != NULL);
        const struct mrd_labels labels = mbx_labels(tenant, series, items);
        for (size_t k = 1; k < labels.count; k++) {
            mrd_assert(mrd_bytes_compare(items[k - 1].name, items[k].name) < 0);
        }
        free(items);
        for (uint32_t k = 0; k < series->segments_count; k++) {
            const struct mbx_segment *segment = &tenant->segments[series->segments_first + k];
            mrd_assert(segment->page < part->page_count && segment->rows > 0);
            mrd_assert(segment->row + segment->rows <= part->pages[segment->page].rows);
            mrd_assert(segment->first_ms <= segment->last_ms);
            mrd_assert(k == 0 || segment[-1].last_ms < segment->first_ms);
        }
    }
}

static void expect_spans(const struct mbx_part *part)
{
    for (uint32_t i = 0; i < part->page_count && part->span_count > 0; i++) {
        const struct mbx_page *page = &part->pages[i];
        mrd_assert(page->span < part->span_count);
        mrd_assert(page->span_row + page->rows <= part->spans[page->span].rows);
    }
    for (uint32_t i = 0; i < part->span_count; i++) {
        const struct mbx_span *span = &part->spans[i];
        mrd_assert(span->offset <= DATA_SIZE && span->size <= DATA_SIZE - span->offset);
        mrd_assert(span->rows > 0 && span->rows <= MBX_SPAN_ROWS_MAX);
        mrd_assert(span->stamps > 0 && span->stamps <= MBX_SPAN_STAMPS_MAX);
    }
}

static void expect_part(const struct mbx_part *part)
{
    expect_spans(part);
    for (uint32_t i = 0; i < part->page_count; i++) {
        for (unsigned leaf = 0; leaf < part->leaf_count; leaf++) {
            const struct mbx_page_at *at = &part->pages[i].leaves[leaf];
            mrd_assert(at->offset <= DATA_SIZE && at->size <= DATA_SIZE - at->offset);
        }
    }
    struct mrd_matcher matcher;
    mrd_assert(mrd_matcher_init(&matcher, MRD_MATCH_RE, MRD_BYTES("a"), MRD_BYTES("b.*"), NULL) ==
               MRD_OK);
    for (uint32_t i = 0; i < part->tenant_count; i++) {
        const struct mbx_tenant *tenant = &part->tenants[i];
        mrd_assert(mbx_part_find(part, tenant->name) == tenant);
        expect_tenant(part, tenant);
        struct mbx_numbers found;
        mrd_assert(mbx_match(tenant,
                             &(struct mbx_query){&matcher, 1, INT64_MIN, INT64_MAX, INT64_MIN},
                             NULL, &found, NULL) == MRD_OK);
        mbx_numbers_fini(&found);
    }
    mrd_matcher_fini(&matcher);
}

/* The first two bytes say where the input is divided into index and pages. */
static void fuzz_part(const uint8_t *data, size_t size, uint32_t version, mrd_time_ms resolution_ms)
{
    if (size < 2) {
        return;
    }
    const struct mrd_bytes rest = {data + 2, size - 2};
    const size_t middle = MRD_MIN((size_t)data[0] | (size_t)data[1] << 8, rest.size);
    const struct mbx_part_of of = {version, DATA_SIZE, resolution_ms};
    struct mbx_part *part = NULL;
    struct mrd_error err = {0};
    const enum mrd_status status =
        mbx_part_parse((struct mrd_bytes){rest.data, middle},
                       (struct mrd_bytes){rest.data + middle, rest.size - middle}, &of, MEMORY_MAX,
                       NULL, &part, &err);
    if (status == MRD_OK) {
        expect_part(part);
        mbx_part_destroy(&part);
    } else {
        mrd_assert(err.text[0] != '\0' && part == NULL);
    }
}

static void fuzz_directory(const uint8_t *data, size_t size, uint32_t version)
{
    if (size < MBX_TAIL_SIZE) {
        return;
    }
    struct mbx_frame frame;
    struct mrd_error err = {0};
    const struct mrd_bytes tail = {data + size - MBX_TAIL_SIZE, MBX_TAIL_SIZE};
    uint32_t found = 0;
    if (mbx_tail_read(tail, size, &frame, &found, &err) == MRD_OK) {
        mrd_assert(frame.offset + frame.size + MBX_TAIL_SIZE == size);
        mrd_auto(mrd_buf_fini)
        struct mrd_buf plain = {0};
        (void)mbx_frame_open((struct mrd_bytes){data + frame.offset, (size_t)frame.size}, &frame,
                             MEMORY_MAX, NULL, &plain, &err);
    }
    struct mbx_directory *directory = NULL;
    frame = (struct mbx_frame){.offset = data[0] | (uint64_t)data[1] << 8};
    if (mbx_directory_parse((struct mrd_bytes){data + 2, size - 2}, &frame, version, MEMORY_MAX,
                            &directory, &err) == MRD_OK) {
        for (size_t i = 0; i < directory->tenant_count; i++) {
            mrd_assert(mbx_directory_find(directory, directory->tenants[i].name) >= 0);
        }
        mbx_directory_destroy(&directory);
    }
}

/* The first byte says how many stamps there are; the rest is the frame before it is compressed. */
static void fuzz_stamps(const uint8_t *data, size_t size)
{
    if (size < 1 + 8 + 2) {
        return;
    }
    const struct mrd_bytes plain = {data + 1, size - 1};
    const uint32_t most = (uint32_t)(plain.size - 2) / 8;
    struct mbx_span span = {.stamps = 1 + data[0] % most};
    span.rows = (uint32_t)(plain.size - (size_t)span.stamps * 8) / 2;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf stored = {0};
    struct mrd_pq_compressor *compressor = mrd_pq_compressor_create(MRD_PQ_ZSTD, 1);
    struct mbx_frame frame = {0};
    mbx_frame_write(plain, compressor, &stored, &frame);
    mrd_pq_compressor_destroy(&compressor);
    span.size = (uint32_t)frame.size;
    span.crc32c = frame.crc32c;
    struct mbx_stamps stamps = {0};
    struct mrd_error err = {0};
    if (mbx_stamps_decode(&stamps, &span, mrd_buf_view(&stored), NULL, &err) == MRD_OK) {
        mrd_assert(plain.size == (size_t)span.stamps * 8 + (size_t)span.rows * 2);
        for (uint32_t i = 0; i < span.rows; i++) {
            mrd_assert(stamps.rows[i] < span.stamps && stamps.list[stamps.rows[i]] <= INT64_MAX);
        }
    }
    mbx_stamps_fini(&stamps);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_part(data, size, MBX_VERSION, 0);
    fuzz_part(data, size, MBX_VERSION_ROLLUP, 1000);
    fuzz_part(data, size, MBX_VERSION_STAMPS, 0);
    fuzz_directory(data, size, MBX_VERSION);
    fuzz_directory(data, size, MBX_VERSION_ROLLUP);
    fuzz_stamps(data, size);
    return 0;
}
