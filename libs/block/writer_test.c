/* What the writer refuses, that it repeats itself, and what it leaves behind when something fails. */
#include "block/testing_internal.h"
#include "objstore/fault_store.h"

static void must(enum mrd_status status, const struct mrd_error *err)
{
    if (status != MRD_OK) {
        fail_msg("status %s: %s", mrd_status_name(status), err->text);
    }
}

static const struct testing_shape small = {
    .tenants = 1, .series = 20, .rows_max = 60, .histograms = true, .starts = true};

static struct mrd_buf read_object(const char *key)
{
    struct mrd_buf bytes = {0};
    assert_int_equal(mrd_objstore_get(testing_store, key, (size_t)1 << 30, NULL, &bytes, NULL),
                     MRD_OK);
    return bytes;
}

/* ---- refusals ---- */

static void refusals_leave_the_writer_as_it_was(void **state)
{
    (void)state;
    testing_state = 4711;
    struct testing_set set = testing_set_create(&small);
    struct mrd_block_writer_options options = testing_options(testing_store, 1);
    struct mrd_block_entry plain;
    struct mrd_error err = {0};
    must(testing_write(&options, &set, false, &plain, &err), &err);
    struct mrd_buf want = read_object("test/blocks/one.parquet");

    struct mrd_block_writer *writer;
    must(mrd_block_writer_create(&options, &writer, &err), &err);
    for (size_t i = 0; i < set.count; i++) {
        struct mrd_block_series bad = set.items[i];
        bad.id.low++;
        assert_int_equal(mrd_block_writer_add(writer, &bad, &err), MRD_E_INVALID);
        assert_non_null(strstr(err.text, "id"));
        bad = set.items[i];
        bad.tenant = MRD_BYTES("z-other");
        bad.id = testing_id(&bad);
        assert_int_equal(mrd_block_writer_add(writer, &bad, &err), i == 0 ? MRD_OK : MRD_E_INVALID);
        if (i == 0) { /* any tenant may be the first: begin again */
            mrd_block_writer_destroy(&writer);
            must(mrd_block_writer_create(&options, &writer, &err), &err);
        }
        const mrd_time_ms same[2] = {5, 5};
        const double values[2] = {1, 2};
        const mrd_hlc hlcs[2] = {1, 2};
        bad = set.items[i];
        bad.samples = (struct mrd_samples){same, values, 2, NULL};
        bad.sample_hlcs = hlcs;
        assert_int_equal(mrd_block_writer_add(writer, &bad, &err), MRD_E_INVALID);
        const mrd_time_ms far = MRD_BLOCK_TIME_MAX + 1;
        bad.samples = (struct mrd_samples){&far, values, 1, NULL};
        assert_int_equal(mrd_block_writer_add(writer, &bad, &err), MRD_E_INVALID);
        bad.samples = (struct mrd_samples){same, values, 1, &far};
        assert_int_equal(mrd_block_writer_add(writer, &bad, &err), MRD_E_INVALID);
        bad.samples = (struct mrd_samples){same, values, 1, NULL};
        bad.sample_hlcs = NULL;
        assert_int_equal(mrd_block_writer_add(writer, &bad, &err), MRD_E_INVALID);
        must(mrd_block_writer_add(writer, &set.items[i], &err), &err);
        if (i > 0) {
            assert_int_equal(mrd_block_writer_add(writer, &set.items[i - 1], &err), MRD_E_INVALID);
            assert_non_null(strstr(err.text, "before"));
        }
        if (set.items[i].samples.count > 0) { /* again: not later than what is there */
            assert_int_equal(mrd_block_writer_add(writer, &set.items[i], &err), MRD_E_INVALID);
        }
    }
    const struct mrd_block_origin origin = {
        .residency_class = MRD_BYTES("eu"), .hlc_min = 5, .hlc_fence = 77};
    struct mrd_block_entry entry;
    must(mrd_block_writer_finish(writer, &origin, testing_arena, &entry, &err), &err);
    assert_int_equal(mrd_block_writer_finish(writer, &origin, testing_arena, &entry, &err),
                     MRD_E_INVALID);
    assert_int_equal(mrd_block_writer_add(writer, &set.items[0], &err), MRD_E_INVALID);
    mrd_block_writer_destroy(&writer);
    struct mrd_buf got = read_object("test/blocks/one.parquet");
    assert_true(mrd_bytes_equal(mrd_buf_view(&got), mrd_buf_view(&want)));
    mrd_buf_fini(&want);
    mrd_buf_fini(&got);
    testing_set_fini(&set);
}

static void options_that_cannot_be_are_refused(void **state)
{
    (void)state;
    struct mrd_block_writer *writer = NULL;
    struct mrd_error err = {0};
    const struct mrd_block_promoted taken[] = {
        {"job", 22}
    };
    const struct mrd_block_promoted named[] = {
        {"VALUE", 2}
    };
    const struct mrd_block_promoted odd[] = {
        {"a-b", 2}
    };
    const struct mrd_block_promoted twice[] = {
        {"job", 2},
        {"Job", 3}
    };
    const struct {
        const struct mrd_block_promoted *promoted;
        size_t count;
    } cases[] = {
        {taken, 1                         },
        {named, 1                         },
        {odd,   1                         },
        {twice, 2                         },
        {taken, MRD_BLOCK_PROMOTED_MAX + 1},
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        struct mrd_block_writer_options options = testing_options(testing_store, 1);
        options.promoted = cases[i].promoted;
        options.promoted_count = cases[i].count;
        assert_int_equal(mrd_block_writer_create(&options, &writer, &err), MRD_E_INVALID);
        assert_null(writer);
    }
    struct mrd_block_writer_options options = testing_options(testing_store, 1);
    options.id = MRD_BYTES("with space");
    assert_int_equal(mrd_block_writer_create(&options, &writer, &err), MRD_E_INVALID);
    options = testing_options(testing_store, 1);
    options.memory_bytes_max = 1000;
    assert_int_equal(mrd_block_writer_create(&options, &writer, &err), MRD_E_INVALID);
    options = testing_options(testing_store, 1);
    must(mrd_block_writer_create(&options, &writer, &err), &err);
    struct mrd_block_entry entry;
    const struct mrd_block_origin origin = {0};
    assert_int_equal(mrd_block_writer_finish(writer, &origin, testing_arena, &entry, &err),
                     MRD_E_INVALID);
    mrd_block_writer_destroy(&writer);
}

/* ---- repetition ---- */

static void the_same_calls_make_the_same_bytes(void **state)
{
    (void)state;
    testing_state = 99;
    struct testing_set set = testing_set_create(&small);
    struct mrd_block_writer_options options = testing_options(testing_store, 0);
    struct mrd_block_entry first;
    struct mrd_block_entry second;
    struct mrd_error err = {0};
    must(testing_write(&options, &set, false, &first, &err), &err);
    options.stem = "test/blocks/two";
    must(testing_write(&options, &set, true, &second, &err), &err); /* pieces change nothing */
    struct mrd_buf a = read_object("test/blocks/one.parquet");
    struct mrd_buf b = read_object("test/blocks/two.parquet");
    assert_true(mrd_bytes_equal(mrd_buf_view(&a), mrd_buf_view(&b)));
    mrd_buf_fini(&a);
    mrd_buf_fini(&b);
    a = read_object("test/blocks/one.mbx");
    b = read_object("test/blocks/two.mbx");
    assert_true(mrd_bytes_equal(mrd_buf_view(&a), mrd_buf_view(&b)));
    mrd_buf_fini(&a);
    mrd_buf_fini(&b);
    testing_set_fini(&set);
}

/* ---- memory ---- */

static void fill_series(struct mrd_block_series *series, struct mrd_label *labels, char *text,
                        size_t text_size, unsigned i)
{
    (void)snprintf(text, text_size, "device-%08u-%llx", i,
                   (unsigned long long)(i * 0x9e3779b97f4a7c15ULL));
    labels[0] = (struct mrd_label){MRD_BYTES("__name__"), MRD_BYTES("temperature")};
    labels[1] = (struct mrd_label){MRD_BYTES("device"), mrd_bytes_of(text)};
    *series = (struct mrd_block_series){
        .tenant = MRD_BYTES("one"), .labels = {labels, 2}
    };
    series->id = testing_id(series);
}

enum { NOISE = 4096, PIECES = 60, LARGE_SERIES = 6 };

static void memory_stays_within_its_bound(void **state)
{
    (void)state;
    struct mrd_block_writer_options options = testing_options(testing_store, 1);
    options.memory_bytes_max = MRD_BLOCK_WRITER_MEMORY_MIN;
    options.keep_hlc = false;
    struct mrd_error err = {0};
    struct mrd_block_writer *writer;
    must(mrd_block_writer_create(&options, &writer, &err), &err);
    static mrd_time_ms times[NOISE];
    static double values[NOISE];
    size_t most = 0;
    testing_state = 5;
    for (unsigned i = 0; i < LARGE_SERIES; i++) {
        struct mrd_block_series series;
        struct mrd_label labels[2];
        char text[64];
        fill_series(&series, labels, text, sizeof(text), i);
        for (unsigned piece = 0; piece < PIECES; piece++) {
            for (size_t k = 0; k < NOISE; k++) {
                times[k] =
                    (mrd_time_ms)(piece * NOISE + k) * 1000 + (mrd_time_ms)testing_below(999);
                values[k] = (double)testing_next();
            }
            series.samples = (struct mrd_samples){times, values, NOISE, NULL};
            must(mrd_block_writer_add(writer, &series, &err), &err);
            most = MRD_MAX(most, mrd_block_writer_size(writer).memory_size);
        }
    }
    const struct mrd_block_origin origin = {0};
    struct mrd_block_entry entry;
    must(mrd_block_writer_finish(writer, &origin, testing_arena, &entry, &err), &err);
    assert_true(most < options.memory_bytes_max);
    assert_int_equal(entry.counts.samples, (uint64_t)LARGE_SERIES * PIECES * NOISE);
    assert_true(entry.data.size > options.memory_bytes_max / 2); /* or it shows nothing */
    assert_true(entry.row_group_count > 1);
    mrd_block_writer_destroy(&writer);
    must(mrd_block_verify(testing_store, &entry, &(struct mrd_block_verify_options){0}, &err),
         &err);
}

enum { LONG_LABELS = 40, LONG_SERIES = 40 };

/* Labels whose texts fill any dictionary, each repeated thousands of times. */
static void long_labels_stay_within_the_bound(void **state)
{
    (void)state;
    struct mrd_block_writer_options options = testing_options(testing_store, 1);
    options.memory_bytes_max = MRD_BLOCK_WRITER_MEMORY_MIN;
    options.keep_hlc = false;
    options.series_key = "test/blocks/series.parquet";
    struct mrd_error err = {0};
    struct mrd_block_writer *writer;
    must(mrd_block_writer_create(&options, &writer, &err), &err);
    static mrd_time_ms times[MRD_BLOCK_PAGE_ROWS];
    static double values[MRD_BLOCK_PAGE_ROWS];
    static char texts[LONG_LABELS][1024];
    for (size_t i = 0; i < MRD_BLOCK_PAGE_ROWS; i++) {
        times[i] = (mrd_time_ms)i * 1000;
    }
    size_t most = 0;
    for (unsigned i = 0; i < LONG_SERIES; i++) {
        struct mrd_label labels[LONG_LABELS + 1];
        labels[0] = (struct mrd_label){MRD_BYTES("__name__"), MRD_BYTES("m")};
        for (unsigned k = 0; k < LONG_LABELS; k++) {
            (void)snprintf(texts[k], sizeof(texts[k]), "a%02u%01000u", k, i * LONG_LABELS + k);
            labels[k + 1] = (struct mrd_label){
                {(const uint8_t *)texts[k],     3   },
                {(const uint8_t *)texts[k] + 3, 1000}
            };
        }
        struct mrd_block_series series = {
            .tenant = MRD_BYTES("one"),
            .labels = {labels,               LONG_LABELS + 1},
            .samples = { times, values,            MRD_BLOCK_PAGE_ROWS, NULL}
        };
        series.id = testing_id(&series);
        must(mrd_block_writer_add(writer, &series, &err), &err);
        most = MRD_MAX(most, mrd_block_writer_size(writer).memory_size);
    }
    const struct mrd_block_origin origin = {0};
    struct mrd_block_entry entry;
    must(mrd_block_writer_finish(writer, &origin, testing_arena, &entry, &err), &err);
    mrd_block_writer_destroy(&writer);
    assert_true(most < options.memory_bytes_max);
    must(mrd_block_verify(testing_store, &entry, &(struct mrd_block_verify_options){0}, &err),
         &err);
}

static void too_many_labels_are_a_limit(void **state)
{
    (void)state;
    struct mrd_block_writer_options options = testing_options(testing_store, 1);
    options.memory_bytes_max = MRD_BLOCK_WRITER_MEMORY_MIN;
    options.keep_hlc = false;
    struct mrd_error err = {0};
    struct mrd_block_writer *writer;
    must(mrd_block_writer_create(&options, &writer, &err), &err);
    const mrd_time_ms time_ms = 1000;
    const double value = 1;
    enum mrd_status status = MRD_OK;
    for (unsigned i = 0; status == MRD_OK && i < 1000000; i++) {
        struct mrd_block_series series;
        struct mrd_label labels[2];
        char text[64];
        fill_series(&series, labels, text, sizeof(text), i);
        series.samples = (struct mrd_samples){&time_ms, &value, 1, NULL};
        status = mrd_block_writer_add(writer, &series, &err);
    }
    assert_int_equal(status, MRD_E_LIMIT);
    assert_non_null(strstr(err.text, "limit"));
    const struct mrd_block_origin origin = {0};
    struct mrd_block_entry entry;
    assert_int_equal(mrd_block_writer_finish(writer, &origin, testing_arena, &entry, &err),
                     MRD_E_INVALID);
    mrd_block_writer_destroy(&writer);
}

/* ---- faults of the store ---- */

static bool write_under_fault(struct mrd_objstore *faults, const struct testing_set *set,
                              const struct mrd_fault *fault, bool *out_written)
{
    struct mrd_block_writer_options options = testing_options(faults, 1);
    options.series_key = "test/blocks/series.parquet";
    struct mrd_block_entry entry;
    struct mrd_error err = {0};
    mrd_fault_store_arm(faults, fault);
    *out_written = testing_write(&options, set, false, &entry, &err) == MRD_OK;
    const bool happened = mrd_fault_store_disarm(faults);
    if (*out_written) {
        must(mrd_block_verify(testing_store, &entry, &(struct mrd_block_verify_options){0}, &err),
             &err);
    } else {
        assert_true(err.text[0] != '\0');
    }
    return happened;
}

static void a_store_that_fails_makes_no_block(void **state)
{
    (void)state;
    testing_state = 31;
    struct testing_set set = testing_set_create(&small);
    struct mrd_objstore *faults = mrd_fault_store_create(testing_store);
    bool happened = true;
    for (uint64_t nth = 1; happened; nth++) {
        for (unsigned variant = 0; variant < 3; variant++) {
            const struct mrd_fault fault = {.nth = nth,
                                            .when =
                                                variant == 0 ? MRD_FAULT_BEFORE : MRD_FAULT_AFTER,
                                            .crash = variant == 2};
            bool written;
            happened = write_under_fault(faults, &set, &fault, &written);
            assert_true(written != happened); /* no call of a writer may fail unnoticed */
        }
    }
    bool written;
    (void)write_under_fault(faults, &set, &(struct mrd_fault){.nth = 1000000}, &written);
    assert_true(written);
    mrd_objstore_close(&faults);
    testing_set_fini(&set);
}

static bool visit_key(void *context, const struct mrd_objstore_entry *entry)
{
    (void)entry;
    (*(size_t *)context)++;
    return true;
}

static void an_unfinished_block_leaves_nothing(void **state)
{
    (void)state;
    testing_state = 32;
    struct testing_set set = testing_set_create(&small);
    struct mrd_block_writer_options options = testing_options(testing_store, 1);
    options.stem = "unfinished/block";
    options.series_key = "unfinished/series";
    struct mrd_block_writer *writer;
    struct mrd_error err = {0};
    must(mrd_block_writer_create(&options, &writer, &err), &err);
    for (size_t i = 0; i < set.count; i++) {
        must(mrd_block_writer_add(writer, &set.items[i], &err), &err);
    }
    mrd_block_writer_destroy(&writer);
    size_t objects = 0;
    must(mrd_objstore_list(testing_store, "unfinished", "", visit_key, &objects, NULL, &err), &err);
    assert_int_equal(objects, 0);
    testing_set_fini(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals_leave_the_writer_as_it_was),
        cmocka_unit_test(options_that_cannot_be_are_refused),
        cmocka_unit_test(the_same_calls_make_the_same_bytes),
        cmocka_unit_test(memory_stays_within_its_bound),
        cmocka_unit_test(long_labels_stay_within_the_bound),
        cmocka_unit_test(too_many_labels_are_a_limit),
        cmocka_unit_test(a_store_that_fails_makes_no_block),
        cmocka_unit_test(an_unfinished_block_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, testing_open, testing_close);
}
