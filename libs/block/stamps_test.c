/* Stamps beside the columns: spans by themselves, and in blocks. */
#include "block/stamps_internal.h"

#include "block/block_internal.h"
#include "block/testing_internal.h"
#include "block/testing_select_internal.h"
#include "parquet/compress.h"

enum { PAGE_ROWS = 8000 };

/* ---- spans ---- */

struct spans {
    struct mbx_stamping stamping;
    struct mrd_pq_compressor *compressor;
    struct mrd_buf all; /* mrd_hlc */
};

static void begin(struct spans *spans)
{
    testing_state = 88172645463325252ULL;
    *spans = (struct spans){.compressor = mrd_pq_compressor_create(MRD_PQ_ZSTD, 3)};
}

static void add_page(struct spans *spans, const int64_t *hlcs, size_t count)
{
    mrd_buf_append(&spans->all, hlcs, count * sizeof(hlcs[0]));
    mbx_stamping_add(&spans->stamping, hlcs, count / 2); /* runs of two series */
    mbx_stamping_add(&spans->stamping, hlcs + count / 2, count - count / 2);
    mbx_stamping_page(&spans->stamping, spans->compressor);
}

static struct mrd_bytes stored_of(const struct spans *spans, const struct mbx_span *span)
{
    return (struct mrd_bytes){spans->stamping.frames.data + span->offset, span->size};
}

/* Ends the last span, and reads all of them. Returns how many there are. */
static size_t expect_all(struct spans *spans)
{
    const mrd_hlc *want = (const mrd_hlc *)(const void *)spans->all.data;
    size_t count;
    size_t at = 0;
    struct mbx_stamps stamps = {0};
    struct mrd_error err = {0};
    mbx_stamping_span(&spans->stamping, spans->compressor);
    const struct mbx_span *list = mbx_stamping_spans(&spans->stamping, &count);
    for (size_t i = 0; i < count; i++) {
        assert_true(list[i].rows <= MBX_SPAN_ROWS_MAX && list[i].stamps <= MBX_SPAN_STAMPS_MAX);
        testing_must(mbx_stamps_decode(&stamps, &list[i], stored_of(spans, &list[i]), NULL, &err),
                     &err);
        for (uint32_t row = 0; row < list[i].rows; row++) {
            assert_true(stamps.list[stamps.rows[row]] == want[at + row]);
        }
        at += list[i].rows;
    }
    assert_int_equal(at * sizeof(mrd_hlc), spans->all.size);
    mbx_stamps_fini(&stamps);
    return count;
}

static void end(struct spans *spans)
{
    mbx_stamping_fini(&spans->stamping);
    mrd_pq_compressor_destroy(&spans->compressor);
    mrd_buf_fini(&spans->all);
}

static void a_span_ends_before_it_has_too_many_rows(void **state)
{
    (void)state;
    struct spans spans;
    int64_t page[PAGE_ROWS];
    begin(&spans);
    for (size_t rows = 0; rows < (size_t)MBX_SPAN_ROWS_MAX * 5 / 2; rows += PAGE_ROWS) {
        for (size_t i = 0; i < PAGE_ROWS; i++) {
            page[i] = (int64_t)testing_below(500) * 65536;
        }
        add_page(&spans, page, PAGE_ROWS);
    }
    assert_int_equal(expect_all(&spans), 3);
    end(&spans);
}

static void a_span_ends_before_it_has_too_many_stamps(void **state)
{
    (void)state;
    struct spans spans;
    int64_t page[PAGE_ROWS];
    begin(&spans);
    for (size_t rows = 0; rows < 200000; rows += PAGE_ROWS) {
        for (size_t i = 0; i < PAGE_ROWS; i++) {
            page[i] = (int64_t)(testing_next() >> 1); /* each another one */
        }
        add_page(&spans, page, PAGE_ROWS);
    }
    assert_int_equal(expect_all(&spans), 200000 / PAGE_ROWS / 8 + 1); /* 8 pages in each */
    end(&spans);
}

static void bounds_of_stamps_come_back(void **state)
{
    (void)state;
    struct spans spans;
    const int64_t page[] = {INT64_MAX, 0, INT64_MAX, INT64_MAX - 1, 0, 65536};
    begin(&spans);
    add_page(&spans, page, 1);
    add_page(&spans, page, MRD_ARRAY_LEN(page));
    assert_int_equal(expect_all(&spans), 1);
    end(&spans);
}

/* 500 series that 10 senders bring, each its own in one batch every time: what a sender's first series takes is what all of them take. */
static void series_that_come_together_take_little(void **state)
{
    (void)state;
    enum { SERIES = 500, SENDERS = 10, TIMES = 200 };
    struct spans spans;
    int64_t stamps[SENDERS][TIMES];
    begin(&spans);
    for (size_t sender = 0; sender < SENDERS; sender++) {
        for (size_t i = 0; i < TIMES; i++) {
            stamps[sender][i] =
                (int64_t)((i * 15000 + testing_below(5000)) << 16 | testing_below(16));
        }
    }
    for (size_t i = 0; i < SERIES; i++) {
        add_page(&spans, stamps[testing_below(SENDERS)], TIMES);
    }
    assert_int_equal(expect_all(&spans), 1);
    assert_true(spans.stamping.frames.size < (size_t)SENDERS * TIMES * 8);
    assert_true(spans.stamping.frames.size * 10 < (size_t)SERIES * TIMES);
    end(&spans);
}

/* ---- what is wrong ---- */

static void expect_wrong(const uint64_t *deltas, const uint16_t *steps, const char *what)
{
    enum { STAMPS = 3, ROWS = 4 };
    uint8_t plain[STAMPS * 8 + ROWS * 2];
    for (size_t i = 0; i < STAMPS * 8; i++) {
        plain[i] = (uint8_t)(deltas[i % STAMPS] >> 8 * (i / STAMPS));
    }
    for (size_t i = 0; i < (size_t)ROWS * 2; i++) {
        plain[STAMPS * 8 + i] = (uint8_t)(steps[i % ROWS] >> 8 * (i / ROWS));
    }
    struct mrd_buf stored = {0};
    struct mbx_frame frame = {0};
    struct mrd_pq_compressor *compressor = mrd_pq_compressor_create(MRD_PQ_ZSTD, 3);
    mbx_frame_write((struct mrd_bytes){plain, sizeof(plain)}, compressor, &stored, &frame);
    mrd_pq_compressor_destroy(&compressor);
    struct mbx_span span = {
        .size = (uint32_t)frame.size, .crc32c = frame.crc32c, .rows = ROWS, .stamps = STAMPS};
    struct mbx_stamps stamps = {0};
    struct mrd_error err = {0};
    const enum mrd_status status =
        mbx_stamps_decode(&stamps, &span, mrd_buf_view(&stored), NULL, &err);
    assert_int_equal(status, what == NULL ? MRD_OK : MRD_E_CORRUPT);
    assert_true(what == NULL || strstr(err.text, what) != NULL);
    span.rows++;
    assert_int_equal(mbx_stamps_decode(&stamps, &span, mrd_buf_view(&stored), NULL, &err),
                     MRD_E_CORRUPT);
    span.rows--;
    stored.data[stored.size - 1] ^= 1;
    assert_int_equal(mbx_stamps_decode(&stamps, &span, mrd_buf_view(&stored), NULL, &err),
                     MRD_E_CORRUPT);
    assert_non_null(strstr(err.text, "CRC"));
    mbx_stamps_fini(&stamps);
    mrd_buf_fini(&stored);
}

static void spans_that_contradict_themselves_are_refused(void **state)
{
    (void)state;
    const uint64_t rising[] = {5, 1, 1ULL << 40};
    const uint64_t equal[] = {5, 0, 1};
    const uint64_t beyond[] = {5, 1, INT64_MAX};
    const uint16_t fine[] = {0, 1, 1, (uint16_t)-2};
    const uint16_t above[] = {0, 1, 2, 0};
    const uint16_t below[] = {0, (uint16_t)-1, 1, 0};
    expect_wrong(rising, fine, NULL);
    expect_wrong(equal, fine, "contradict");
    expect_wrong(beyond, fine, "contradict");
    expect_wrong(rising, above, "contradict");
    expect_wrong(rising, below, "contradict");
}

/* ---- in blocks ---- */

static enum mrd_status scan(const struct mrd_block_entry *entry, bool want_hlc,
                            struct mrd_error *err)
{
    const struct mrd_block_open_options open = {0};
    const struct mrd_block_cursor_options options = {.want_hlc = want_hlc};
    const struct mrd_block_series *series = NULL;
    mrd_auto(mrd_block_close)
    struct mrd_block *block = NULL;
    mrd_auto(mrd_block_cursor_close)
    struct mrd_block_cursor *cursor = NULL;
    MRD_TRY(mrd_block_open(testing_store, entry, &open, &block, err));
    MRD_TRY(mrd_block_scan(block, &options, &cursor, err));
    do {
        MRD_TRY(mrd_block_cursor_next(cursor, &series, err));
    } while (series != NULL);
    return MRD_OK;
}

/* The last byte of the last row group's stamps, which end where the page index begins, is another one. */
static void damaged_stamps_are_found_by_who_reads_them(void **state)
{
    (void)state;
    static const struct testing_shape shape = {.tenants = 1, .series = 30, .rows_max = 400};
    testing_state = 99;
    struct testing_set set = testing_set_create(&shape);
    struct mrd_block_writer_options options = testing_options(testing_store, 1);
    struct mrd_block_entry entry;
    struct mrd_error err = {0};
    struct mrd_block *block = NULL;
    struct mbx_shared *part = NULL;
    struct mrd_buf bytes = {0};
    testing_must(testing_write(&options, &set, false, &entry, &err), &err);
    testing_must(scan(&entry, true, &err), &err);
    const struct mrd_block_open_options open = {0};
    testing_must(mrd_block_open(testing_store, &entry, &open, &block, &err), &err);
    testing_must(mbx_block_part(block, 0, &part, &err), &err);
    assert_int_equal(part->part->span_count, 1);
    const struct mbx_span span = part->part->spans[0];
    mbx_shared_unref(&part);
    mrd_block_close(&block);
    const char *key = "test/blocks/one.parquet";
    testing_must(mrd_objstore_get(testing_store, key, (size_t)1 << 30, NULL, &bytes, &err), &err);
    bytes.data[span.offset + span.size / 2] ^= 4;
    testing_must(mrd_objstore_put(testing_store, key, mrd_buf_view(&bytes), NULL, &err), &err);
    testing_must(scan(&entry, false, &err), &err);
    assert_int_equal(scan(&entry, true, &err), MRD_E_CORRUPT);
    assert_non_null(strstr(err.text, "CRC"));
    assert_int_equal(
        mrd_block_verify(testing_store, &entry, &(struct mrd_block_verify_options){0}, &err),
        MRD_E_CORRUPT);
    mrd_buf_fini(&bytes);
    testing_set_fini(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_span_ends_before_it_has_too_many_rows),
        cmocka_unit_test(a_span_ends_before_it_has_too_many_stamps),
        cmocka_unit_test(bounds_of_stamps_come_back),
        cmocka_unit_test(series_that_come_together_take_little),
        cmocka_unit_test(spans_that_contradict_themselves_are_refused),
        cmocka_unit_test(damaged_stamps_are_found_by_who_reads_them),
    };
    return cmocka_run_group_tests(tests, testing_open, testing_close);
}
