/* Blocks as the first version wrote them, rollups as the second did and stamps as the third did are read by every later one: libs/block/golden holds them and
 * docs/formats/block.md together.
 * `block_golden_test FOLDER` writes them anew, for a new format version beside the old. */
#include "block/testing_internal.h"
#include "rollup/builder.h"
#include "rollup/codec.h"

static const char golden[] = "libs/block/golden";
enum { SAMPLES = 6 };

static const mrd_time_ms regular[SAMPLES] = {1000, 2000, 3000, 4000, 5000, 6000};
static const mrd_time_ms uneven[SAMPLES] = {-5, 0, 7, 4294967296, 4294967297, 9000000000000};
static const mrd_time_ms starts[SAMPLES] = {0, 500, 500, 500, 4000, 0};
static const mrd_hlc hlcs[SAMPLES] = {1, 2, 3, 65536, 5, (uint64_t)INT64_MAX};
static const double decimals[SAMPLES] = {0.1, 0.25, -3, 1e6, 20.02, 7};
static double odd[SAMPLES];
static struct mrd_histogram histograms[SAMPLES];
static const struct mrd_histogram_span span = {-2, 3};
static union mrd_histogram_count integers[SAMPLES][3];
static const union mrd_histogram_count reals[3] = {{.real = 0.5}, {.real = 0}, {.real = 2.25}};
static const double bounds[3] = {0.5, 1, 10};
static const struct mrd_histogram_span from_zero = {0, 3};

static void fill(void)
{
    const double values[SAMPLES] = {
        -0.0, mrd_stale_nan(), 1.5, __builtin_inf(), 0, mrd_double_from_bits(MRD_NORMAL_NAN_BITS)};
    memcpy(odd, values, sizeof(odd));
    for (uint64_t i = 0; i < SAMPLES; i++) {
        for (uint64_t k = 0; k < 3; k++) {
            integers[i][k].integer = i * (k + 1);
        }
        histograms[i] = (struct mrd_histogram){.schema = 2, .zero_threshold = 0.001};
        histograms[i].sum = (double)i / 4;
        histograms[i].positive = (struct mrd_histogram_side){&span, integers[i], 1, 3};
        histograms[i].zero_count.integer = i;
        histograms[i].count.integer = i * 7;
    }
    histograms[2] = (struct mrd_histogram){.sum = mrd_stale_nan()};
    histograms[4] = (struct mrd_histogram){.is_float = true, .reset = MRD_HISTOGRAM_GAUGE};
    histograms[4].schema = MRD_HISTOGRAM_SCHEMA_CUSTOM;
    histograms[4].custom_values = bounds;
    histograms[4].custom_value_count = 3;
    histograms[4].positive.spans = &from_zero;
    histograms[4].positive.buckets = reals;
    histograms[4].positive.span_count = 1;
    histograms[4].positive.bucket_count = 3;
    histograms[4].count.real = 2.75;
    histograms[4].sum = 4;
}

static void add_series(struct testing_set *set, const char *tenant, const char *name,
                       const char *device)
{
    struct mrd_block_series *series = &set->items[set->count++];
    struct mrd_label items[2] = {
        {MRD_BYTES("__name__"), mrd_bytes_of(name)  },
        {MRD_BYTES("device"),   mrd_bytes_of(device)},
    };
    *series = (struct mrd_block_series){.tenant = mrd_bytes_of(tenant)};
    testing_set_labels(set, series, items, 2);
    series->sample_hlcs = hlcs;
    series->histogram_hlcs = hlcs;
}

static struct testing_set make_set(void)
{
    struct testing_set set = {.arena = mrd_arena_create("golden", TESTING_ARENA_BYTES)};
    set.items = testing_take(&set, 6, sizeof(set.items[0]));
    fill();
    add_series(&set, "north", "decimals", "a");
    set.items[0].samples = (struct mrd_samples){regular, decimals, SAMPLES, NULL};
    add_series(&set, "north", "decimals", "b\xc3\xa9");
    set.items[1].samples = (struct mrd_samples){uneven, odd, SAMPLES, starts};
    add_series(&set, "south", "decimals", "a");
    set.items[2].samples = (struct mrd_samples){uneven, decimals, SAMPLES, NULL};
    add_series(&set, "south", "histograms", "a");
    set.items[3].histograms = (struct mrd_histograms){regular, histograms, SAMPLES, starts};
    add_series(&set, "south", "mixed", "a");
    set.items[4].samples = (struct mrd_samples){uneven, odd, SAMPLES, starts};
    set.items[4].histograms = (struct mrd_histograms){regular, histograms, SAMPLES, NULL};
    return set;
}

/* ---- rows of windows ---- */

enum { WINDOW_MS = 4000, ROWS_MAX = 2 * SAMPLES };

struct rows {
    struct mrd_arena *arena;
    struct mrd_rollup_row items[ROWS_MAX];
    size_t count;
};

static enum mrd_status keep_row(void *context, size_t level, const struct mrd_rollup_row *row,
                                struct mrd_error *err)
{
    struct rows *rows = context;
    (void)level;
    assert_true(rows->count < ROWS_MAX);
    rows->items[rows->count] = *row;
    return mrd_rollup_histograms_clone(&rows->items[rows->count++].histograms, rows->arena, err);
}

static struct rows rows_of(const struct testing_set *set, const struct mrd_block_series *series)
{
    static const mrd_time_ms window_ms = WINDOW_MS;
    struct rows rows = {.arena = set->arena};
    const struct mrd_rollup_builder_options options = {
        .resolutions_ms = &window_ms, .resolution_count = 1, .emit = keep_row, .context = &rows};
    struct mrd_rollup_builder *builder = mrd_rollup_builder_create(&options);
    assert_int_equal(mrd_rollup_builder_add(builder, &series->samples, &series->histograms, NULL),
                     MRD_OK);
    assert_int_equal(mrd_rollup_builder_end(builder, NULL), MRD_OK);
    mrd_rollup_builder_destroy(&builder);
    return rows;
}

/* The series of one tenant: those of the second. */
enum { OF_ONE_TENANT = 2 };

static struct testing_set part_of(const struct testing_set *set, size_t first)
{
    return (struct testing_set){
        .arena = set->arena, .items = set->items + first, .count = set->count - first};
}

static enum mrd_status write_rollup(struct testing_set *set, struct mrd_block_entry *out,
                                    struct mrd_error *err)
{
    const struct mrd_block_origin origin = {.residency_class = MRD_BYTES("eu"), .hlc_fence = 77};
    struct mrd_block_writer_options options = testing_options(testing_store, 1);
    options.stem = "rollup";
    options.keep_hlc = false;
    options.resolution_ms = WINDOW_MS;
    mrd_auto(mrd_block_writer_destroy)
    struct mrd_block_writer *writer = NULL;
    MRD_TRY(mrd_block_writer_create(&options, &writer, err));
    for (size_t i = OF_ONE_TENANT; i < set->count; i++) {
        const struct rows rows = rows_of(set, &set->items[i]);
        MRD_TRY(mrd_block_writer_add_rows(writer, &set->items[i], rows.items, rows.count, err));
    }
    return mrd_block_writer_finish(writer, &origin, testing_arena, out, err);
}

/* ---- files ---- */

static void copy_file(const char *from_folder, const char *to_folder, const char *name)
{
    char command[512];
    (void)snprintf(command, sizeof(command), "cp %s/%s %s/", from_folder, name, to_folder);
    assert_int_equal(system(command), 0);
}

static enum mrd_status put_entry(const struct mrd_block_entry *entry, const char *key,
                                 struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    MRD_TRY(mrd_block_entry_encode(entry, &bytes, err));
    return mrd_objstore_put(testing_store, key, mrd_buf_view(&bytes), NULL, err);
}

static enum mrd_status write_all(struct testing_set *set, struct mrd_error *err)
{
    static const struct {
        const char *stem;
        const char *key;
        unsigned level;
        bool compact;
    } kinds[] = {
        {"plain",   "plain.entry",   0, false},
        {"compact", "compact.entry", 0, true },
        {"stamps",  "stamps.entry",  1, true },
    };
    struct mrd_block_entry entry;
    for (size_t i = 0; i < MRD_ARRAY_LEN(kinds); i++) {
        const struct testing_set of = part_of(set, kinds[i].level > 0 ? OF_ONE_TENANT : 0);
        struct mrd_block_writer_options options = testing_options(testing_store, kinds[i].level);
        options.stem = kinds[i].stem;
        options.compact = kinds[i].compact;
        MRD_TRY(testing_write(&options, &of, false, &entry, err));
        MRD_TRY(put_entry(&entry, kinds[i].key, err));
    }
    MRD_TRY(write_rollup(set, &entry, err));
    return put_entry(&entry, "rollup.entry", err);
}

static int write_golden(const char *folder)
{
    (void)testing_open(NULL);
    struct testing_set set = make_set();
    struct mrd_error err = {0};
    if (write_all(&set, &err) != MRD_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    copy_file(testing_folder, folder, "*.*");
    testing_set_fini(&set);
    return testing_close(NULL);
}

static struct mrd_block *open_golden(const char *name, struct mrd_block_cursor **out_cursor)
{
    char key[64];
    struct mrd_buf bytes = {0};
    struct mrd_error err = {0};
    struct mrd_block_entry entry;
    struct mrd_block *block;
    (void)snprintf(key, sizeof(key), "%s.entry", name);
    assert_int_equal(mrd_objstore_get(testing_store, key, 1 << 20, NULL, &bytes, &err), MRD_OK);
    assert_int_equal(mrd_block_entry_decode(mrd_buf_view(&bytes), testing_arena, &entry, &err),
                     MRD_OK);
    assert_true(mrd_bytes_equal(entry.origin.residency_class, MRD_BYTES("eu")));
    assert_int_equal(entry.origin.hlc_fence, 77);
    const struct mrd_block_verify_options verify = {0};
    if (mrd_block_verify(testing_store, &entry, &verify, &err) != MRD_OK) {
        fail_msg("%s: %s", name, err.text);
    }
    const struct mrd_block_open_options open = {0};
    const struct mrd_block_cursor_options options = {.want_hlc = true};
    assert_int_equal(mrd_block_open(testing_store, &entry, &open, &block, &err), MRD_OK);
    assert_int_equal(mrd_block_scan(block, &options, out_cursor, &err), MRD_OK);
    mrd_buf_fini(&bytes);
    return block;
}

static void expect_block(const char *name, const struct testing_set *set)
{
    struct mrd_error err = {0};
    struct mrd_block_cursor *cursor;
    struct mrd_block *block = open_golden(name, &cursor);
    for (size_t i = 0; i < set->count; i++) {
        const struct mrd_block_series *got;
        size_t f = 0;
        size_t h = 0;
        assert_int_equal(mrd_block_cursor_next(cursor, &got, &err), MRD_OK);
        assert_non_null(got);
        assert_int_equal(mrd_block_series_compare(got, &set->items[i]), 0);
        testing_same_samples(&set->items[i], got, true, &f, &h);
        assert_int_equal(f, set->items[i].samples.count);
        assert_int_equal(h, set->items[i].histograms.count);
    }
    mrd_block_cursor_close(&cursor);
    mrd_block_close(&block);
}

static void same_row(const struct mrd_rollup_row *want, const struct mrd_rollup_row *got)
{
    struct mrd_buf a = {0};
    struct mrd_buf b = {0};
    mrd_rollup_encode(want, 1, WINDOW_MS, &a);
    mrd_rollup_encode(got, 1, WINDOW_MS, &b);
    assert_true(mrd_bytes_equal(mrd_buf_view(&a), mrd_buf_view(&b)));
    mrd_buf_fini(&a);
    mrd_buf_fini(&b);
}

static void the_first_versions_blocks_are_read(void **state)
{
    (void)state;
    struct testing_set set = make_set();
    copy_file(golden, testing_folder, "*.*");
    expect_block("plain", &set);
    expect_block("compact", &set);
    testing_set_fini(&set);
}

static void the_second_versions_rollups_are_read(void **state)
{
    (void)state;
    struct testing_set set = make_set();
    struct mrd_error err = {0};
    struct mrd_block_cursor *cursor;
    copy_file(golden, testing_folder, "rollup.*");
    struct mrd_block *block = open_golden("rollup", &cursor);
    for (size_t i = OF_ONE_TENANT; i < set.count; i++) {
        const struct rows want = rows_of(&set, &set.items[i]);
        const struct mrd_block_series *got;
        assert_int_equal(mrd_block_cursor_next(cursor, &got, &err), MRD_OK);
        assert_non_null(got);
        assert_int_equal(mrd_block_series_compare(got, &set.items[i]), 0);
        assert_int_equal(got->rows->count, want.count);
        for (size_t k = 0; k < want.count; k++) {
            struct mrd_rollup_row row;
            mrd_rollup_columns_row(got->rows, k, &row);
            same_row(&want.items[k], &row);
        }
    }
    mrd_block_cursor_close(&cursor);
    mrd_block_close(&block);
    testing_set_fini(&set);
}

static void the_third_versions_stamps_are_read(void **state)
{
    (void)state;
    struct testing_set set = make_set();
    const struct testing_set of = part_of(&set, OF_ONE_TENANT);
    copy_file(golden, testing_folder, "stamps.*");
    expect_block("stamps", &of);
    testing_set_fini(&set);
}

int main(int argc, char **argv)
{
    if (argc == 2) {
        return write_golden(argv[1]);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_versions_blocks_are_read),
        cmocka_unit_test(the_second_versions_rollups_are_read),
        cmocka_unit_test(the_third_versions_stamps_are_read),
    };
    return cmocka_run_group_tests(tests, testing_open, testing_close);
}
