/* Blocks as the first version wrote them are read by every later one: libs/block/golden holds them and docs/formats/block.md together.
 * `block_golden_test FOLDER` writes them anew, for a new format version beside the old. */
#include "block/testing_internal.h"

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

/* ---- files ---- */

static void copy_file(const char *from_folder, const char *to_folder, const char *name)
{
    char command[512];
    (void)snprintf(command, sizeof(command), "cp %s/%s %s/", from_folder, name, to_folder);
    assert_int_equal(system(command), 0);
}

static int write_all(const char *folder)
{
    (void)testing_open(NULL);
    struct testing_set set = make_set();
    struct mrd_error err = {0};
    for (unsigned compact = 0; compact < 2; compact++) {
        struct mrd_block_writer_options options = testing_options(testing_store, 0);
        options.stem = compact == 1 ? "compact" : "plain";
        options.compact = compact == 1;
        struct mrd_block_entry entry;
        struct mrd_buf bytes = {0};
        if (testing_write(&options, &set, false, &entry, &err) != MRD_OK ||
            mrd_block_entry_encode(&entry, &bytes, &err) != MRD_OK ||
            mrd_objstore_put(testing_store, compact == 1 ? "compact.entry" : "plain.entry",
                             mrd_buf_view(&bytes), NULL, &err) != MRD_OK) {
            fprintf(stderr, "%s\n", err.text);
            return 1;
        }
        mrd_buf_fini(&bytes);
    }
    copy_file(testing_folder, folder, "*.*");
    testing_set_fini(&set);
    return testing_close(NULL);
}

static void expect_block(const char *name, const struct testing_set *set)
{
    char key[64];
    struct mrd_buf bytes = {0};
    struct mrd_error err = {0};
    struct mrd_block_entry entry;
    struct mrd_block *block;
    struct mrd_block_cursor *cursor;
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
    assert_int_equal(mrd_block_scan(block, &options, &cursor, &err), MRD_OK);
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
    mrd_buf_fini(&bytes);
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

int main(int argc, char **argv)
{
    if (argc == 2) {
        return write_all(argv[1]);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_versions_blocks_are_read),
    };
    return cmocka_run_group_tests(tests, testing_open, testing_close);
}
