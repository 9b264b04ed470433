#include "block/testing_internal.h"
#include "parquet/reader.h"

#define KEY "test/series/one.parquet"

static const struct testing_shape many = {
    .tenants = 1, .series = 3000, .rows_max = 20, .histograms = true, .starts = true};

static void must(enum mrd_status status, const struct mrd_error *err)
{
    if (status != MRD_OK) {
        fail_msg("%s: %s", mrd_status_name(status), err->text);
    }
}

static struct mrd_block_writer_options options_with_series(void)
{
    struct mrd_block_writer_options options = testing_options(testing_store, 1);
    options.series_key = KEY;
    return options;
}

/* ---- reading ---- */

static enum mrd_status read_at(void *context, uint64_t offset, size_t size, uint8_t *out,
                               struct mrd_error *err)
{
    const struct mrd_objstore_range range = {offset, size, out};
    return mrd_objstore_read(testing_store, context, &range, 1, NULL, err);
}

/* What the file says of a series, leaf by leaf, in the order of its rows. */
struct rows {
    struct mrd_buf ids, first, last, samples; /* int64_t */
    struct mrd_buf metrics;                   /* texts, each with a line end */
};

static void take_page(struct rows *rows, const struct mrd_pq_leaf *leaf,
                      const struct mrd_pq_batch *batch)
{
    struct mrd_buf *const numbers = leaf->field_id == MRD_BLOCK_FIELD_SERIES_ID  ? &rows->ids
                                    : leaf->field_id == MRD_BLOCK_FIELD_FIRST_TS ? &rows->first
                                    : leaf->field_id == MRD_BLOCK_FIELD_LAST_TS  ? &rows->last
                                    : leaf->field_id == MRD_BLOCK_FIELD_SAMPLES  ? &rows->samples
                                                                                 : NULL;
    if (numbers != NULL) {
        mrd_buf_append(numbers, batch->i64, batch->values * sizeof(int64_t));
    }
    for (size_t i = 0; leaf->field_id == MRD_BLOCK_FIELD_METRIC && i < batch->values; i++) {
        mrd_buf_append_bytes(&rows->metrics, batch->bytes[i]);
        mrd_buf_append_u8(&rows->metrics, '\n');
    }
}

static void read_rows(const struct mrd_block_entry *entry, struct rows *out)
{
    struct mrd_error err = {0};
    const struct mrd_pq_source source = {(void *)(uintptr_t)KEY, entry->series_file.file.size,
                                         read_at};
    struct mrd_pq_file *file;
    must(mrd_pq_file_open(&source, 64 << 20, &file, &err), &err);
    const struct mrd_pq_footer *footer = mrd_pq_file_footer(file);
    assert_int_equal(footer->rows, entry->counts.series);
    assert_int_equal(footer->row_group_count, entry->series_file.row_group_count);
    assert_int_equal(footer->leaf_count, entry->series_file.column_count);
    for (size_t k = 0; k < footer->leaf_count * footer->row_group_count; k++) {
        const size_t leaf = k / footer->row_group_count;
        struct mrd_pq_column_reader *column;
        struct mrd_pq_batch batch;
        size_t pages;
        assert_int_equal(footer->leaves[leaf].field_id, entry->series_file.columns[leaf].field_id);
        must(mrd_pq_column_open(file, k % footer->row_group_count, leaf, 64 << 20, &column, &err),
             &err);
        (void)mrd_pq_column_pages(column, &pages);
        for (size_t page = 0; page < pages; page++) {
            must(mrd_pq_column_read(column, page, &batch, &err), &err);
            take_page(out, &footer->leaves[leaf], &batch);
        }
        mrd_pq_column_close(&column);
    }
    mrd_pq_file_close(&file);
}

static void rows_fini(struct rows *rows)
{
    mrd_buf_fini(&rows->ids);
    mrd_buf_fini(&rows->first);
    mrd_buf_fini(&rows->last);
    mrd_buf_fini(&rows->samples);
    mrd_buf_fini(&rows->metrics);
}

static int64_t number_at(const struct mrd_buf *numbers, size_t i)
{
    return ((const int64_t *)(const void *)numbers->data)[i];
}

static mrd_time_ms edge_ms(const struct mrd_block_series *series, bool last)
{
    const struct mrd_samples *floats = &series->samples;
    const struct mrd_histograms *histograms = &series->histograms;
    const mrd_time_ms f_ms = floats->count == 0 ? (last ? INT64_MIN : INT64_MAX)
                                                : floats->times_ms[last ? floats->count - 1 : 0];
    const mrd_time_ms h_ms = histograms->count == 0
                                 ? (last ? INT64_MIN : INT64_MAX)
                                 : histograms->times_ms[last ? histograms->count - 1 : 0];
    return last ? MRD_MAX(f_ms, h_ms) : MRD_MIN(f_ms, h_ms);
}

/* ---- tests ---- */

static void every_series_is_a_row(void **state)
{
    (void)state;
    for (unsigned pieces = 0; pieces < 2; pieces++) {
        testing_state = 41;
        struct testing_set set = testing_set_create(&many);
        const struct mrd_block_writer_options options = options_with_series();
        struct mrd_block_entry entry;
        struct mrd_error err = {0};
        struct rows rows = {0};
        must(testing_write(&options, &set, pieces == 1, &entry, &err), &err);
        must(mrd_block_verify(testing_store, &entry, &(struct mrd_block_verify_options){0}, &err),
             &err);
        read_rows(&entry, &rows);
        assert_int_equal(entry.counts.series, set.count);
        struct mrd_reader metrics = mrd_reader_of(mrd_buf_view(&rows.metrics));
        for (size_t i = 0; i < set.count; i++) {
            const struct mrd_block_series *series = &set.items[i];
            const struct mrd_bytes metric =
                mrd_labels_get(series->labels, MRD_BYTES(MRD_METRIC_NAME));
            assert_int_equal(number_at(&rows.ids, i), (int64_t)series->id.low);
            assert_int_equal(number_at(&rows.first, i), edge_ms(series, false) * 1000);
            assert_int_equal(number_at(&rows.last, i), edge_ms(series, true) * 1000);
            assert_int_equal(number_at(&rows.samples, i),
                             (int64_t)(series->samples.count + series->histograms.count));
            assert_true(mrd_bytes_equal(mrd_read_bytes(&metrics, metric.size), metric));
            assert_int_equal(mrd_read_u8(&metrics), '\n');
        }
        rows_fini(&rows);
        testing_set_fini(&set);
    }
}

static void the_same_block_has_the_same_file(void **state)
{
    (void)state;
    struct mrd_block_entry entries[2];
    struct mrd_error err = {0};
    for (size_t i = 0; i < 2; i++) {
        testing_state = 42;
        struct testing_set set = testing_set_create(&many);
        const struct mrd_block_writer_options options = options_with_series();
        must(testing_write(&options, &set, i == 1, &entries[i], &err), &err);
        testing_set_fini(&set);
    }
    const struct mrd_block_file *a = &entries[0].series_file.file;
    const struct mrd_block_file *b = &entries[1].series_file.file;
    assert_true(mrd_bytes_equal(a->key, MRD_BYTES(KEY)));
    assert_true(mrd_bytes_equal(a->key, b->key) && a->size == b->size && a->crc32c == b->crc32c);
}

enum { SERIES = 30000, TEXT = 60 };

/* More series than the file's part of the memory holds at once: row groups end earlier. */
static void many_series_stay_within_the_bound(void **state)
{
    (void)state;
    struct mrd_block_writer_options options = options_with_series();
    options.memory_bytes_max = MRD_BLOCK_WRITER_MEMORY_MIN;
    options.keep_hlc = false;
    struct mrd_block_writer *writer;
    struct mrd_block_entry entry;
    struct mrd_error err = {0};
    must(mrd_block_writer_create(&options, &writer, &err), &err);
    size_t most = 0;
    unsigned count = 0;
    for (; count < SERIES && !mrd_block_writer_size(writer).full; count++) {
        char text[2 * TEXT];
        const mrd_time_ms at_ms = count;
        const double value = 1;
        (void)snprintf(text, sizeof(text), "%0*u", TEXT, count);
        const struct mrd_label labels[] = {
            {MRD_BYTES("__name__"), MRD_BYTES("m")    },
            {MRD_BYTES("instance"), mrd_bytes_of(text)}
        };
        struct mrd_block_series series = {
            .tenant = MRD_BYTES("one"),
            .labels = {labels, 2},
            .samples = { &at_ms, &value,  1, NULL}
        };
        series.id = testing_id(&series);
        must(mrd_block_writer_add(writer, &series, &err), &err);
        most = MRD_MAX(most, mrd_block_writer_size(writer).memory_size);
    }
    assert_true(count > SERIES / 4 && most < options.memory_bytes_max);
    must(
        mrd_block_writer_finish(writer, &(struct mrd_block_origin){0}, testing_arena, &entry, &err),
        &err);
    mrd_block_writer_destroy(&writer);
    assert_int_equal(entry.counts.series, count);
    assert_true(entry.series_file.row_group_count > 1); /* or it shows nothing */
    struct rows rows = {0};
    read_rows(&entry, &rows);
    assert_int_equal(number_at(&rows.first, count - 1), (int64_t)(count - 1) * 1000);
    rows_fini(&rows);
    must(mrd_block_verify(testing_store, &entry, &(struct mrd_block_verify_options){0}, &err),
         &err);
}

static void a_file_that_has_changed_is_noticed(void **state)
{
    (void)state;
    testing_state = 43;
    struct testing_set set = testing_set_create(&many);
    const struct mrd_block_writer_options options = options_with_series();
    const struct mrd_block_verify_options verify = {0};
    struct mrd_block_entry entry;
    struct mrd_error err = {0};
    struct mrd_buf bytes = {0};
    must(testing_write(&options, &set, false, &entry, &err), &err);
    must(mrd_objstore_get(testing_store, KEY, 64 << 20, NULL, &bytes, &err), &err);
    assert_int_equal(bytes.size, entry.series_file.file.size);
    for (size_t at = 0; at < bytes.size; at += bytes.size / 7) {
        bytes.data[at] ^= 1;
        must(mrd_objstore_put(testing_store, KEY, mrd_buf_view(&bytes), NULL, &err), &err);
        assert_int_equal(mrd_block_verify(testing_store, &entry, &verify, &err), MRD_E_CORRUPT);
        assert_non_null(strstr(err.text, "file of series"));
        bytes.data[at] ^= 1;
    }
    must(mrd_objstore_put(testing_store, KEY, (struct mrd_bytes){bytes.data, bytes.size - 1}, NULL,
                          &err),
         &err);
    assert_int_equal(mrd_block_verify(testing_store, &entry, &verify, &err), MRD_E_CORRUPT);
    must(mrd_objstore_delete(testing_store, KEY, NULL, &err), &err);
    assert_int_equal(mrd_block_verify(testing_store, &entry, &verify, &err), MRD_E_NOT_FOUND);
    mrd_buf_fini(&bytes);
    testing_set_fini(&set);
}

static void the_entry_keeps_it(void **state)
{
    (void)state;
    testing_state = 44;
    struct testing_set set = testing_set_create(&many);
    const struct mrd_block_writer_options options = options_with_series();
    struct mrd_block_entry entry;
    struct mrd_block_entry got;
    struct mrd_error err = {0};
    struct mrd_buf bytes = {0};
    must(testing_write(&options, &set, false, &entry, &err), &err);
    must(mrd_block_entry_encode(&entry, &bytes, &err), &err);
    assert_int_equal(bytes.data[8], MRD_BLOCK_ENTRY_VERSION_SERIES);
    must(mrd_block_entry_decode(mrd_buf_view(&bytes), testing_arena, &got, &err), &err);
    const struct mrd_block_listed_file *want = &entry.series_file;
    assert_true(mrd_bytes_equal(got.series_file.file.key, want->file.key));
    assert_int_equal(got.series_file.file.crc32c, want->file.crc32c);
    assert_int_equal(got.series_file.column_count, want->column_count);
    assert_int_equal(got.series_file.row_group_offsets[0], want->row_group_offsets[0]);
    for (size_t i = 0; i < want->column_count; i++) {
        assert_int_equal(got.series_file.columns[i].value_count, want->columns[i].value_count);
        assert_true(mrd_bytes_equal(got.series_file.columns[i].min, want->columns[i].min));
    }
    for (size_t size = 0; size < bytes.size; size++) {
        assert_int_equal(
            mrd_block_entry_decode((struct mrd_bytes){bytes.data, size}, testing_arena, &got, NULL),
            MRD_E_CORRUPT);
    }
    entry.level = 0; /* there the files are of many tenants, and in no table */
    mrd_buf_clear(&bytes);
    assert_int_equal(mrd_block_entry_encode(&entry, &bytes, &err), MRD_E_INVALID);
    mrd_buf_fini(&bytes);
    testing_set_fini(&set);
}

static void only_blocks_of_one_tenants_samples_have_one(void **state)
{
    (void)state;
    struct mrd_block_writer_options cases[2] = {options_with_series(), options_with_series()};
    cases[0].level = 0;
    cases[1].keep_hlc = false;
    cases[1].resolution_ms = 60000;
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        struct mrd_block_writer *writer = NULL;
        struct mrd_error err = {0};
        assert_int_equal(mrd_block_writer_create(&cases[i], &writer, &err), MRD_E_INVALID);
        assert_non_null(strstr(err.text, "file of series"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_series_is_a_row),
        cmocka_unit_test(the_same_block_has_the_same_file),
        cmocka_unit_test(many_series_stay_within_the_bound),
        cmocka_unit_test(a_file_that_has_changed_is_noticed),
        cmocka_unit_test(the_entry_keeps_it),
        cmocka_unit_test(only_blocks_of_one_tenants_samples_have_one),
    };
    return cmocka_run_group_tests(tests, testing_open, testing_close);
}
