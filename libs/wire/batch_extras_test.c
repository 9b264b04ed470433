#include "wire/batch.h"

#include "wire/batch_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct mrd_batch_header some_header = {
    .region = {(const uint8_t *)"eu-1",   4},
    .residency_class = {(const uint8_t *)"eu",     2},
    .instance = {(const uint8_t *)"d0f3-0", 6},
    .partition = 3,
    .epoch = 2000000,
    .number = 78,
    .hlc = 0x123456789abcdef0,
};

/* ---- what a batch holds besides float samples ---- */

static const struct mrd_histogram_span spans[] = {
    {-2, 2},
    {3,  1}
};
static const union mrd_histogram_count integers[] = {
    {.integer = 5}, {.integer = 2}, {.integer = 9}};
static const union mrd_histogram_count reals[] = {{.real = 0.5}, {.real = 1e9}, {.real = 0}};
static const double bounds[] = {-1.5, 0, 10};

/* An integer one, one of the same layout, a float one with both sides, one with custom bounds, a stale one. */
static const struct mrd_histogram histograms[] = {
    {.reset = MRD_HISTOGRAM_RESET,
     .schema = 3,
     .zero_threshold = 1e-128,
     .sum = 12.25,
     .count = {.integer = 17},
     .zero_count = {.integer = 1},
     .positive = {spans, integers, 2, 3}},
    {.schema = 3,
     .zero_threshold = 1e-128,
     .sum = -0.0,
     .count = {.integer = 9},
     .positive = {spans, integers, 2, 3}},
    {.is_float = true,
     .reset = MRD_HISTOGRAM_GAUGE,
     .schema = -4,
     .zero_threshold = 0.001,
     .sum = 1e300,
     .count = {.real = 1e9 + 3.25},
     .zero_count = {.real = 2.25},
     .positive = {spans, reals, 2, 3},
     .negative = {spans, reals, 1, 2}},
    {.reset = MRD_HISTOGRAM_NO_RESET,
     .schema = MRD_HISTOGRAM_SCHEMA_CUSTOM,
     .sum = 4,
     .count = {.integer = 7},
     .positive = {&(const struct mrd_histogram_span){1, 2}, integers, 1, 2},
     .custom_values = bounds,
     .custom_value_count = 3},
    {.sum = 0                        }, /* becomes a staleness marker */
};
enum { HISTOGRAMS = MRD_ARRAY_LEN(histograms) };

static const struct {
    uint32_t reference;
    mrd_time_ms time_ms;
    mrd_time_ms start_ms;
} histogram_places[HISTOGRAMS] = {
    {4,  1700000000000, 0            },
    {4,  1700000015000, 1699999999000},
    {5,  1700000000000, 0            },
    {99, -5,            -1           },
    {4,  1700000030000, 0            },
};

static struct mrd_histogram histogram_at(size_t i)
{
    struct mrd_histogram histogram = histograms[i];
    if (i == HISTOGRAMS - 1) {
        histogram.sum = mrd_stale_nan();
    }
    return histogram;
}

#define LABELS                                                                                     \
    "\x08trace_id\x04"                                                                             \
    "abcd"

static void fill_extras(struct mrd_batch_builder *builder)
{
    const uint32_t first = mrd_batch_builder_tenant(builder, MRD_BYTES("farm"));
    mrd_batch_builder_row(builder, first, 0, 1700000000000, 1);
    mrd_batch_builder_start_time(builder, 1699999990000);
    mrd_batch_builder_row(builder, first, 1, 1700000000000, 2);
    mrd_batch_builder_start_time(builder, 0);
    mrd_batch_builder_sample(builder, 1700000015000, 3);
    mrd_batch_builder_start_time(builder, 1699999990000);
    uint32_t tenant = first;
    for (size_t i = 0; i < HISTOGRAMS; i++) {
        const struct mrd_histogram histogram = histogram_at(i);
        tenant = i < 3 ? first : mrd_batch_builder_tenant(builder, MRD_BYTES("mill"));
        mrd_batch_builder_histogram(builder, tenant, histogram_places[i].reference,
                                    histogram_places[i].time_ms, histogram_places[i].start_ms,
                                    &histogram);
    }
    const struct mrd_exemplar with_labels = {1700000000123, 0.25, MRD_BYTES(LABELS)};
    const struct mrd_exemplar without = {1, -0.0, MRD_BYTES_NONE};
    mrd_batch_builder_exemplar(builder, first, 0, &with_labels);
    mrd_batch_builder_exemplar(builder, first, 0, &without);
    mrd_batch_builder_exemplar(builder, tenant, 7, &with_labels);
    const struct mrd_metadata counter = {MRD_FAMILY_COUNTER, MRD_BYTES("requests_total"),
                                         MRD_BYTES("Requests."), MRD_BYTES_NONE};
    const struct mrd_metadata bare = {MRD_FAMILY_UNKNOWN, MRD_BYTES("x"), MRD_BYTES_NONE,
                                      MRD_BYTES("seconds")};
    mrd_batch_builder_metadata(builder, first, &counter);
    mrd_batch_builder_metadata(builder, tenant, &bare);
}

static void assert_bits(double got, double want)
{
    assert_int_equal(mrd_double_bits(got), mrd_double_bits(want));
}

static void assert_side(const struct mrd_histogram_side *got, const struct mrd_histogram_side *want)
{
    assert_int_equal(got->span_count, want->span_count);
    assert_int_equal(got->bucket_count, want->bucket_count);
    for (size_t i = 0; i < want->span_count; i++) {
        assert_int_equal(got->spans[i].offset, want->spans[i].offset);
        assert_int_equal(got->spans[i].length, want->spans[i].length);
    }
    for (size_t i = 0; i < want->bucket_count; i++) {
        assert_int_equal(got->buckets[i].integer, want->buckets[i].integer);
    }
}

static void assert_histogram(const struct mrd_histogram *got, const struct mrd_histogram *want)
{
    assert_int_equal(got->is_float, want->is_float);
    assert_int_equal(got->reset, want->reset);
    assert_int_equal(got->schema, want->schema);
    assert_bits(got->zero_threshold, want->zero_threshold);
    assert_bits(got->sum, want->sum);
    assert_int_equal(got->count.integer, want->count.integer);
    assert_int_equal(got->zero_count.integer, want->zero_count.integer);
    assert_side(&got->positive, &want->positive);
    assert_side(&got->negative, &want->negative);
    assert_int_equal(got->custom_value_count, want->custom_value_count);
    for (size_t i = 0; i < want->custom_value_count; i++) {
        assert_bits(got->custom_values[i], want->custom_values[i]);
    }
}

static void assert_histograms(const struct mrd_batch *batch)
{
    const struct mrd_batch_histograms *got = &batch->histograms;
    static const uint32_t references[] = {4, 5, 99, 4};
    static const uint32_t counts[] = {2, 1, 1, 1};
    assert_int_equal(got->rows.row_count, 4);
    assert_int_equal(got->rows.item_count, HISTOGRAMS);
    assert_memory_equal(got->rows.references, references, sizeof(references));
    assert_memory_equal(got->rows.counts, counts, sizeof(counts));
    assert_int_equal(got->rows.tenant_run_count, 2);
    assert_int_equal(got->rows.tenant_runs[0].tenant, 0);
    assert_int_equal(got->rows.tenant_runs[0].row_count, 2);
    assert_int_equal(got->rows.tenant_runs[1].tenant, 1);
    for (size_t i = 0; i < HISTOGRAMS; i++) {
        const struct mrd_histogram want = histogram_at(i);
        assert_int_equal(got->times_ms[i], histogram_places[i].time_ms);
        assert_int_equal(got->start_times_ms[i], histogram_places[i].start_ms);
        assert_histogram(&got->items[i], &want);
    }
    /* Of one layout: told once. */
    assert_ptr_equal(got->items[0].positive.spans, got->items[1].positive.spans);
}

static void assert_extras(const struct mrd_batch *batch)
{
    assert_int_equal(batch->sample_count, 3);
    assert_int_equal(batch->start_times_ms[0], 1699999990000);
    assert_int_equal(batch->start_times_ms[1], 0);
    assert_int_equal(batch->start_times_ms[2], 1699999990000);
    assert_histograms(batch);
    const struct mrd_batch_exemplars *exemplars = &batch->exemplars;
    assert_int_equal(exemplars->rows.row_count, 2);
    assert_int_equal(exemplars->rows.item_count, 3);
    assert_int_equal(exemplars->rows.counts[0], 2);
    assert_int_equal(exemplars->rows.references[1], 7);
    assert_int_equal(exemplars->items[0].time_ms, 1700000000123);
    assert_bits(exemplars->items[0].value, 0.25);
    assert_true(mrd_bytes_equal(exemplars->items[0].labels, MRD_BYTES(LABELS)));
    assert_bits(exemplars->items[1].value, -0.0);
    assert_int_equal(exemplars->items[1].labels.size, 0);
    assert_true(mrd_bytes_equal(exemplars->items[2].labels, MRD_BYTES(LABELS)));
    assert_int_equal(batch->metadata_count, 2);
    const struct mrd_batch_metadata *metadata = batch->metadata;
    assert_int_equal(metadata[0].tenant, 0);
    assert_int_equal(metadata[0].metadata.type, MRD_FAMILY_COUNTER);
    assert_true(mrd_bytes_equal(metadata[0].metadata.family, MRD_BYTES("requests_total")));
    assert_true(mrd_bytes_equal(metadata[0].metadata.help, MRD_BYTES("Requests.")));
    assert_int_equal(metadata[0].metadata.unit.size, 0);
    assert_int_equal(metadata[1].tenant, 1);
    assert_true(mrd_bytes_equal(metadata[1].metadata.unit, MRD_BYTES("seconds")));
}

struct fixture {
    struct mrd_batch_builder *builder;
    struct mrd_batch_reader *reader;
    struct mrd_buf message;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    fixture->builder = mrd_batch_builder_create();
    fixture->reader = mrd_batch_reader_create();
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    mrd_batch_builder_destroy(&fixture->builder);
    mrd_batch_reader_destroy(&fixture->reader);
    mrd_buf_fini(&fixture->message);
    free(fixture);
    return 0;
}

static struct mrd_batch finish_and_read(struct fixture *fixture)
{
    struct mrd_batch batch;
    struct mrd_error err = {0};
    mrd_batch_builder_finish(fixture->builder, &some_header, MRD_BATCH_NONE, &fixture->message);
    assert_true(fixture->message.size <= mrd_batch_builder_size_max(fixture->builder));
    if (mrd_batch_read(fixture->reader, mrd_buf_view(&fixture->message), &batch, &err) != MRD_OK) {
        fail_msg("%s", err.text);
    }
    return batch;
}

static void every_kind_reads_back_as_it_was_built(void **state)
{
    struct fixture *fixture = *state;
    for (int round = 0; round < 3; round++) { /* memory of the round before is used again */
        mrd_batch_builder_reset(fixture->builder);
        fill_extras(fixture->builder);
        const struct mrd_batch batch = finish_and_read(fixture);
        assert_extras(&batch);
    }
}

static void what_is_not_there_reads_as_nothing(void **state)
{
    struct fixture *fixture = *state;
    fill_extras(fixture->builder);
    mrd_batch_builder_reset(fixture->builder);
    assert_true(mrd_batch_builder_empty(fixture->builder));
    const uint32_t tenant = mrd_batch_builder_tenant(fixture->builder, MRD_BYTES("farm"));
    mrd_batch_builder_row(fixture->builder, tenant, 0, 1, 1);
    mrd_batch_builder_start_time(fixture->builder, 0);
    const struct mrd_batch batch = finish_and_read(fixture);
    assert_null(batch.start_times_ms);
    assert_int_equal(batch.histograms.rows.row_count, 0);
    assert_int_equal(batch.exemplars.rows.row_count, 0);
    assert_int_equal(batch.metadata_count, 0);
}

static void a_batch_may_hold_metadata_alone(void **state)
{
    struct fixture *fixture = *state;
    const struct mrd_metadata metadata = {MRD_FAMILY_GAUGE, MRD_BYTES("up"), MRD_BYTES("Is it up?"),
                                          MRD_BYTES_NONE};
    mrd_batch_builder_metadata(
        fixture->builder, mrd_batch_builder_tenant(fixture->builder, MRD_BYTES("farm")), &metadata);
    assert_false(mrd_batch_builder_empty(fixture->builder));
    const struct mrd_batch batch = finish_and_read(fixture);
    assert_int_equal(batch.row_count, 0);
    assert_int_equal(batch.metadata_count, 1);
}

static void a_batch_may_hold_erasures_alone(void **state)
{
    struct fixture *fixture = *state;
    (void)mrd_batch_builder_tenant(fixture->builder, MRD_BYTES("farm"));
    for (int i = 0; i < MRD_BATCH_ERASURE_COUNT_MAX; i++) {
        assert_false(mrd_batch_builder_full(fixture->builder));
        mrd_batch_builder_erasure(fixture->builder, i % 2 == 0 ? MRD_BYTES("one") : MRD_BYTES("x"));
    }
    assert_true(mrd_batch_builder_full(fixture->builder));
    assert_false(mrd_batch_builder_empty(fixture->builder));
    const struct mrd_batch batch = finish_and_read(fixture);
    assert_int_equal(batch.row_count, 0);
    assert_int_equal(batch.erasure_count, MRD_BATCH_ERASURE_COUNT_MAX);
    assert_true(mrd_bytes_equal(batch.erasures[0], MRD_BYTES("one")));
    assert_true(mrd_bytes_equal(batch.erasures[63], MRD_BYTES("x")));
    mrd_batch_builder_reset(fixture->builder);
    assert_true(mrd_batch_builder_empty(fixture->builder));
}

/* Long sections are packed: histograms of a fleet that share their layout cost little more than their counts. */
static void many_histograms_of_one_layout_are_small(void **state)
{
    struct fixture *fixture = *state;
    enum { COUNT = 1000, BUCKETS = 20 };
    union mrd_histogram_count counts[BUCKETS];
    const struct mrd_histogram_span span = {-10, BUCKETS};
    const uint32_t tenant = mrd_batch_builder_tenant(fixture->builder, MRD_BYTES("farm"));
    for (uint32_t i = 0; i < COUNT; i++) {
        uint64_t sum = 0;
        for (size_t b = 0; b < BUCKETS; b++) {
            counts[b].integer = (uint64_t)i * 7 % 50 + b * 3;
            sum += counts[b].integer;
        }
        const struct mrd_histogram histogram = {
            .schema = 2,
            .zero_threshold = 1e-128,
            .sum = (double)sum,
            .count = {.integer = sum},
            .positive = { &span, counts, 1, BUCKETS}
        };
        mrd_batch_builder_histogram(fixture->builder, tenant, i, 1700000000000, 0, &histogram);
    }
    const struct mrd_batch batch = finish_and_read(fixture);
    assert_int_equal(batch.histograms.rows.item_count, COUNT);
    assert_null(batch.histograms.rows.counts);
    assert_null(batch.histograms.start_times_ms);
    assert_int_equal(batch.histograms.items[COUNT - 1].positive.buckets[1].integer,
                     999 * 7 % 50 + 3);
    assert_true(fixture->message.size < COUNT * BUCKETS / 2);
    assert_true(mrd_batch_reader_memory(fixture->reader) < 2 << 20);
}

/* Many layouts: the table of layouts grows and tells them apart. */
static void histograms_of_many_layouts_keep_theirs(void **state)
{
    struct fixture *fixture = *state;
    enum { COUNT = 300 };
    const union mrd_histogram_count one = {.integer = 1};
    const uint32_t tenant = mrd_batch_builder_tenant(fixture->builder, MRD_BYTES("farm"));
    for (int i = 0; i < COUNT; i++) {
        const struct mrd_histogram_span span = {i, 1};
        const struct mrd_histogram histogram = {
            .schema = i % 5, .count = {.integer = 1},
                   .positive = { &span, &one, 1, 1}
        };
        mrd_batch_builder_histogram(fixture->builder, tenant, (uint32_t)i % 7, i + 1, i,
                                    &histogram);
    }
    const struct mrd_batch batch = finish_and_read(fixture);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(batch.histograms.items[i].schema, i % 5);
        assert_int_equal(batch.histograms.items[i].positive.spans[0].offset, i);
        assert_int_equal(batch.histograms.start_times_ms[i], i);
    }
}

static void a_batch_is_full_before_its_counts_pass_the_bounds(void **state)
{
    struct fixture *fixture = *state;
    const struct mrd_exemplar exemplar = {1, 1, MRD_BYTES_NONE};
    const uint32_t tenant = mrd_batch_builder_tenant(fixture->builder, MRD_BYTES("farm"));
    size_t count = 0;
    while (!mrd_batch_builder_full(fixture->builder)) {
        mrd_batch_builder_exemplar(fixture->builder, tenant, 1, &exemplar);
        count++;
    }
    assert_int_equal(count, MRD_BATCH_EXEMPLAR_COUNT_MAX);
    const struct mrd_batch batch = finish_and_read(fixture);
    assert_int_equal(batch.exemplars.rows.item_count, MRD_BATCH_EXEMPLAR_COUNT_MAX);
}

/* ---- bytes that are not a batch ---- */

static void seal(struct mrd_buf *message)
{
    const struct mrd_bytes covered = {message->data, message->size - BATCH_CRC_FIELD_SIZE};
    const uint32_t crc = mrd_crc32c(0, covered);
    memcpy(message->data + covered.size + 1, &crc, sizeof(crc));
}

static void assert_consistent(const struct mrd_batch *batch)
{
    size_t buckets = 0;
    for (size_t i = 0; i < batch->histograms.rows.item_count; i++) {
        const struct mrd_histogram *item = &batch->histograms.items[i];
        const struct mrd_histogram_side *sides[] = {&item->positive, &item->negative};
        for (size_t s = 0; s < 2; s++) {
            size_t length = 0;
            for (size_t j = 0; j < sides[s]->span_count; j++) {
                length += sides[s]->spans[j].length;
            }
            assert_int_equal(length, sides[s]->bucket_count);
            for (size_t j = 0; j < length; j++) {
                buckets += sides[s]->buckets[j].integer != 0; /* readable */
            }
        }
    }
    assert_true(buckets <= MRD_BATCH_BUCKET_COUNT_MAX);
    for (size_t i = 0; i < batch->metadata_count; i++) {
        assert_true(batch->metadata[i].tenant < batch->tenant_count);
        assert_true(batch->metadata[i].metadata.family.size > 0);
    }
}

/* Under a checksum that is right every other check has to do its work. */
static void wrong_bytes_are_refused_or_consistent(void **state)
{
    struct fixture *fixture = *state;
    fill_extras(fixture->builder);
    mrd_batch_builder_finish(fixture->builder, &some_header, MRD_BATCH_NONE, &fixture->message);
    struct mrd_buf *message = &fixture->message;
    size_t refused = 0;
    for (size_t i = 0; i + BATCH_CRC_FIELD_SIZE < message->size; i++) {
        const uint8_t kept = message->data[i];
        for (unsigned value = 0; value < 256; value += 5) {
            message->data[i] = (uint8_t)value;
            seal(message);
            struct mrd_batch batch;
            if (mrd_batch_read(fixture->reader, mrd_buf_view(message), &batch, NULL) == MRD_OK) {
                assert_consistent(&batch);
            } else {
                refused++;
            }
        }
        message->data[i] = kept;
    }
    assert_true(refused > 1000);
}

/* ---- the golden file holds docs/formats/batch.md to the code ---- */

static const char golden_path[] = "tests/golden/batch_v1_sections.bin";

/* MRD_GOLDEN_WRITE=1 makes it anew, which is for a new version of the format only. */
static void the_golden_file_reads_and_writes(void **state)
{
    struct fixture *fixture = *state;
    fill_extras(fixture->builder);
    mrd_batch_builder_finish(fixture->builder, &some_header, MRD_BATCH_NONE, &fixture->message);
    if (getenv("MRD_GOLDEN_WRITE") != NULL) {
        FILE *out = fopen(golden_path, "wb");
        assert_non_null(out);
        assert_int_equal(fwrite(fixture->message.data, 1, fixture->message.size, out),
                         fixture->message.size);
        assert_int_equal(fclose(out), 0);
    }
    uint8_t golden[4096];
    FILE *file = fopen(golden_path, "rb");
    assert_non_null(file);
    const size_t size = fread(golden, 1, sizeof(golden), file);
    (void)fclose(file);
    assert_true(mrd_bytes_equal((struct mrd_bytes){golden, size}, mrd_buf_view(&fixture->message)));
    struct mrd_batch batch;
    assert_int_equal(
        mrd_batch_read(fixture->reader, (struct mrd_bytes){golden, size}, &batch, NULL), MRD_OK);
    assert_extras(&batch);
}

#define EXTRAS_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EXTRAS_TEST(every_kind_reads_back_as_it_was_built),
        EXTRAS_TEST(what_is_not_there_reads_as_nothing),
        EXTRAS_TEST(a_batch_may_hold_metadata_alone),
        EXTRAS_TEST(a_batch_may_hold_erasures_alone),
        EXTRAS_TEST(many_histograms_of_one_layout_are_small),
        EXTRAS_TEST(histograms_of_many_layouts_keep_theirs),
        EXTRAS_TEST(a_batch_is_full_before_its_counts_pass_the_bounds),
        EXTRAS_TEST(wrong_bytes_are_refused_or_consistent),
        EXTRAS_TEST(the_golden_file_reads_and_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
