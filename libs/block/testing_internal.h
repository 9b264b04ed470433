/* testing_internal.h: what the tests of blocks share: random series, writing them, comparing what comes back. */
#ifndef MRD_BLOCK_TESTING_INTERNAL_H
#define MRD_BLOCK_TESTING_INTERNAL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "block/reader.h"
#include "block/writer.h"
#include "objstore/folder_fixture.h"

enum { TESTING_LABELS_MAX = 8, TESTING_ARENA_BYTES = 1 << 30 };

static uint64_t testing_state;
static inline uint64_t testing_next(void)
{
    testing_state ^= testing_state << 13;
    testing_state ^= testing_state >> 7;
    testing_state ^= testing_state << 17;
    return testing_state;
}
static inline uint64_t testing_below(uint64_t limit) { return (testing_next() >> 11) % limit; }

/* A set of series in the order of blocks, all in one arena. */
struct testing_set {
    struct mrd_arena *arena;
    struct mrd_block_series *items;
    size_t count;
};

static inline void *testing_take(struct testing_set *set, size_t count, size_t size)
{
    void *memory = mrd_arena_alloc_array(set->arena, MRD_MAX(count, (size_t)1), size);
    assert_non_null(memory);
    return memory;
}

static inline struct mrd_bytes testing_text(struct testing_set *set, const char *format, ...)
    MRD_PRINTF(2, 3);
static inline struct mrd_bytes testing_text(struct testing_set *set, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    const int size = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    const struct mrd_bytes copy =
        mrd_arena_copy(set->arena, (struct mrd_bytes){(const uint8_t *)text, (size_t)size});
    assert_non_null(copy.data);
    return copy;
}

/* ---- labels ---- */

static inline mrd_series_id testing_id(const struct mrd_block_series *series)
{
    struct mrd_buf canonical = {0};
    mrd_labels_encode(series->labels, &canonical);
    const mrd_series_id id =
        mrd_series_id_of(mrd_tenant_seed(series->tenant), mrd_buf_view(&canonical));
    mrd_buf_fini(&canonical);
    return id;
}

static inline void testing_set_labels(struct testing_set *set, struct mrd_block_series *series,
                                      struct mrd_label *items, size_t count)
{
    struct mrd_label *copy = testing_take(set, count, sizeof(*copy));
    memcpy(copy, items, count * sizeof(*copy));
    mrd_labels_sort(copy, count);
    series->labels = (struct mrd_labels){copy, count};
    series->id = testing_id(series);
}

static inline void testing_random_labels(struct testing_set *set, struct mrd_block_series *series,
                                         unsigned tenants)
{
    struct mrd_label items[TESTING_LABELS_MAX];
    size_t count = 0;
    series->tenant = testing_text(set, "tenant-%02u", (unsigned)testing_below(tenants));
    items[count++] = (struct mrd_label){MRD_BYTES("__name__"),
                                        testing_text(set, "m%u", (unsigned)testing_below(5))};
    items[count++] = (struct mrd_label){
        MRD_BYTES("instance"), testing_text(set, "host-%03u", (unsigned)testing_below(50))};
    if (testing_below(3) > 0) {
        items[count++] = (struct mrd_label){MRD_BYTES("job"),
                                            testing_text(set, "job%u", (unsigned)testing_below(3))};
    }
    if (testing_below(3) == 0) {
        items[count++] = (struct mrd_label){
            MRD_BYTES("Zone"), testing_text(set, "z\xc3\xbc%u", (unsigned)testing_below(4))};
    }
    if (testing_below(4) == 0) {
        items[count++] = (struct mrd_label){MRD_BYTES("le"),
                                            testing_text(set, "%u", (unsigned)testing_below(9))};
    }
    testing_set_labels(set, series, items, count);
}

static inline int testing_compare(const void *a, const void *b)
{
    return mrd_block_series_compare(a, b);
}

/* ---- samples ---- */

static inline double testing_value(void)
{
    switch (testing_below(12)) {
    case 0:
        return mrd_stale_nan();
    case 1:
        return mrd_double_from_bits(MRD_NORMAL_NAN_BITS);
    case 2:
        return mrd_double_from_bits(0x7ff0000000000000ULL | (testing_next() >> 13) | 4); /* NaN */
    case 3:
        return -0.0;
    case 4:
        return mrd_double_from_bits(testing_next() >> 12); /* subnormal */
    case 5:
        return testing_below(2) == 0 ? __builtin_inf() : -__builtin_inf();
    default:
        return (double)testing_below(1000) / 10;
    }
}

/* A decimal of few digits, or a staleness marker now and then; above 3 any value. */
static inline double testing_number(unsigned digits)
{
    static const double powers[] = {1, 10, 100, 1000};
    if (digits >= MRD_ARRAY_LEN(powers)) {
        return testing_value();
    }
    return testing_below(30) == 0 ? mrd_stale_nan()
                                  : ((double)testing_below(200000) - 100000) / powers[digits];
}

static inline struct mrd_histogram_side testing_side(struct testing_set *set, bool is_float)
{
    const size_t count = testing_below(6);
    struct mrd_histogram_span *spans = testing_take(set, 2, sizeof(*spans));
    union mrd_histogram_count *buckets = testing_take(set, count, sizeof(*buckets));
    for (size_t i = 0; i < count; i++) {
        const uint64_t value = testing_below(1000);
        buckets[i] = is_float ? (union mrd_histogram_count){.real = (double)value / 2}
                              : (union mrd_histogram_count){.integer = value};
    }
    spans[0] = (struct mrd_histogram_span){(int32_t)testing_below(20) - 10, (uint32_t)count};
    return (struct mrd_histogram_side){spans, buckets, count > 0 ? 1 : 0, count};
}

static inline double testing_count(const struct mrd_histogram *histogram,
                                   union mrd_histogram_count count)
{
    return histogram->is_float ? count.real : (double)count.integer;
}

static inline struct mrd_histogram testing_histogram(struct testing_set *set)
{
    static const double bounds[] = {0.5, 1, 2.5, 10, 100, 1000};
    struct mrd_histogram histogram = {.is_float = testing_below(2) == 0};
    histogram.reset = (enum mrd_histogram_reset)testing_below(4);
    histogram.schema = (int32_t)testing_below(13) - 4;
    if (testing_below(4) == 0) {
        histogram.schema = MRD_HISTOGRAM_SCHEMA_CUSTOM;
        histogram.custom_values = bounds;
        histogram.custom_value_count = MRD_ARRAY_LEN(bounds);
    }
    histogram.positive = testing_side(set, histogram.is_float);
    if (histogram.schema == MRD_HISTOGRAM_SCHEMA_CUSTOM) {
        struct mrd_histogram_span *span = testing_take(set, 1, sizeof(*span));
        *span = (struct mrd_histogram_span){0, (uint32_t)histogram.positive.bucket_count};
        histogram.positive.spans = span;
    } else {
        histogram.negative = testing_side(set, histogram.is_float);
        histogram.zero_threshold = testing_below(2) == 0 ? 0 : 0.001;
    }
    double sum = 0;
    for (size_t i = 0; i < histogram.positive.bucket_count; i++) {
        sum += testing_count(&histogram, histogram.positive.buckets[i]);
    }
    for (size_t i = 0; i < histogram.negative.bucket_count; i++) {
        sum += testing_count(&histogram, histogram.negative.buckets[i]);
    }
    histogram.count = histogram.is_float ? (union mrd_histogram_count){.real = sum}
                                         : (union mrd_histogram_count){.integer = (uint64_t)sum};
    histogram.sum = testing_below(10) == 0 ? mrd_stale_nan() : (double)testing_below(100000) / 8;
    if (mrd_histogram_is_stale(&histogram)) {
        histogram = (struct mrd_histogram){.reset = histogram.reset, .sum = histogram.sum};
    }
    return histogram;
}

struct testing_shape {
    unsigned tenants;
    size_t series;
    size_t rows_max; /* of a series */
    bool histograms;
    bool starts;
    bool wild_times; /* far apart, beyond 32 bits, before the epoch */
};

static inline mrd_time_ms testing_step(const struct testing_shape *shape, unsigned pattern)
{
    switch (pattern) {
    case 0:
        return 15000; /* regular */
    case 1:
        return 15000 + (testing_below(50) == 0 ? 15000 : 0); /* a gap now and then */
    case 2:
        return 1 + (mrd_time_ms)testing_below(20);
    default:
        return 1 + (mrd_time_ms)(shape->wild_times ? testing_below((uint64_t)1 << 38)
                                                   : testing_below(60000));
    }
}

/* kind: 0 floats, 1 histograms, 2 both in turns. */
static inline void testing_fill(struct testing_set *set, const struct testing_shape *shape,
                                struct mrd_block_series *series)
{
    const size_t rows = 1 + testing_below(shape->rows_max);
    const unsigned kind = shape->histograms ? (unsigned)testing_below(3) : 0;
    const unsigned pattern = (unsigned)testing_below(4);
    const bool starts = shape->starts && testing_below(2) == 0;
    const unsigned digits = (unsigned)testing_below(8); /* values that are decimals, or any */
    mrd_time_ms *times = testing_take(set, rows, sizeof(*times));
    mrd_time_ms *h_times = testing_take(set, rows, sizeof(*times));
    mrd_time_ms *start = testing_take(set, rows, sizeof(*times));
    mrd_time_ms *h_start = testing_take(set, rows, sizeof(*times));
    double *values = testing_take(set, rows, sizeof(*values));
    struct mrd_histogram *items = testing_take(set, kind == 0 ? 1 : rows, sizeof(*items));
    mrd_hlc *hlcs = testing_take(set, rows, sizeof(*hlcs));
    mrd_hlc *h_hlcs = testing_take(set, rows, sizeof(*hlcs));
    mrd_time_ms at = INT64_C(1700000000000) + (mrd_time_ms)testing_below(1000000) -
                     (shape->wild_times && pattern == 3 ? INT64_C(1) << 41 : 0);
    size_t f = 0;
    size_t h = 0;
    for (size_t i = 0; i < rows; i++, at += testing_step(shape, pattern)) {
        const mrd_time_ms since = testing_below(4) == 0 ? 0 : at - (mrd_time_ms)testing_below(9);
        if (kind == 1 || (kind == 2 && testing_below(2) == 0)) {
            h_times[h] = at;
            h_hlcs[h] = testing_next() >> 1;
            h_start[h] = since;
            items[h++] = testing_histogram(set);
        } else {
            times[f] = at;
            hlcs[f] = testing_next() >> 1;
            start[f] = since;
            values[f++] = testing_number(digits);
        }
    }
    series->samples = (struct mrd_samples){times, values, f, starts ? start : NULL};
    series->histograms = (struct mrd_histograms){h_times, items, h, starts ? h_start : NULL};
    series->sample_hlcs = hlcs;
    series->histogram_hlcs = h_hlcs;
}

static inline struct testing_set testing_set_create(const struct testing_shape *shape)
{
    struct testing_set set = {.arena = mrd_arena_create("test", TESTING_ARENA_BYTES)};
    set.items = testing_take(&set, shape->series, sizeof(set.items[0]));
    memset(set.items, 0, shape->series * sizeof(set.items[0]));
    for (size_t i = 0; i < shape->series; i++) {
        testing_random_labels(&set, &set.items[i], shape->tenants);
    }
    qsort(set.items, shape->series, sizeof(set.items[0]), testing_compare);
    for (size_t i = 0; i < shape->series; i++) {
        if (i == 0 || mrd_block_series_compare(&set.items[i - 1], &set.items[i]) != 0) {
            set.items[set.count++] = set.items[i];
        }
    }
    for (size_t i = 0; i < set.count; i++) {
        testing_fill(&set, shape, &set.items[i]);
    }
    return set;
}

static inline void testing_set_fini(struct testing_set *set) { mrd_arena_destroy(&set->arena); }

/* ---- comparing ---- */

static inline void testing_same_side(const struct mrd_histogram_side *a,
                                     const struct mrd_histogram_side *b)
{
    assert_int_equal(a->span_count, b->span_count);
    assert_int_equal(a->bucket_count, b->bucket_count);
    if (a->span_count > 0) {
        assert_memory_equal(a->spans, b->spans, a->span_count * sizeof(*a->spans));
    }
    if (a->bucket_count > 0) {
        assert_memory_equal(a->buckets, b->buckets, a->bucket_count * sizeof(*a->buckets));
    }
}

static inline void testing_same_histogram(const struct mrd_histogram *a,
                                          const struct mrd_histogram *b)
{
    assert_int_equal(mrd_double_bits(a->sum), mrd_double_bits(b->sum));
    assert_int_equal(a->reset, b->reset);
    if (mrd_histogram_is_stale(a)) {
        return;
    }
    assert_int_equal(a->is_float, b->is_float);
    assert_int_equal(a->schema, b->schema);
    assert_int_equal(mrd_double_bits(a->zero_threshold), mrd_double_bits(b->zero_threshold));
    assert_int_equal(a->count.integer, b->count.integer);
    assert_int_equal(a->zero_count.integer, b->zero_count.integer);
    assert_int_equal(a->custom_value_count, b->custom_value_count);
    if (a->custom_value_count > 0) {
        assert_memory_equal(a->custom_values, b->custom_values,
                            a->custom_value_count * sizeof(double));
    }
    testing_same_side(&a->positive, &b->positive);
    testing_same_side(&a->negative, &b->negative);
}

static inline mrd_time_ms testing_start(const mrd_time_ms *starts, size_t i)
{
    return starts == NULL ? 0 : starts[i];
}

/* `got` are the samples of `want` in the range, from *f and *h on; both move behind them. */
static inline void testing_same_samples(const struct mrd_block_series *want,
                                        const struct mrd_block_series *got, bool hlcs, size_t *f,
                                        size_t *h)
{
    for (size_t i = 0; i < got->samples.count; i++, (*f)++) {
        assert_true(*f < want->samples.count);
        assert_int_equal(got->samples.times_ms[i], want->samples.times_ms[*f]);
        assert_int_equal(mrd_double_bits(got->samples.values[i]),
                         mrd_double_bits(want->samples.values[*f]));
        assert_int_equal(testing_start(got->samples.start_times_ms, i),
                         testing_start(want->samples.start_times_ms, *f));
        if (hlcs) {
            assert_int_equal(got->sample_hlcs[i], want->sample_hlcs[*f]);
        }
    }
    for (size_t i = 0; i < got->histograms.count; i++, (*h)++) {
        assert_true(*h < want->histograms.count);
        assert_int_equal(got->histograms.times_ms[i], want->histograms.times_ms[*h]);
        testing_same_histogram(&want->histograms.items[*h], &got->histograms.items[i]);
        assert_int_equal(testing_start(got->histograms.start_times_ms, i),
                         testing_start(want->histograms.start_times_ms, *h));
        if (hlcs) {
            assert_int_equal(got->histogram_hlcs[i], want->histogram_hlcs[*h]);
        }
    }
}

static inline size_t testing_first(const mrd_time_ms *times, size_t count, mrd_time_ms min_ms)
{
    size_t at = 0;
    while (at < count && times[at] < min_ms) {
        at++;
    }
    return at;
}

static inline bool testing_has(const struct mrd_block_series *series, mrd_time_ms min_ms,
                               mrd_time_ms max_ms)
{
    const size_t f = testing_first(series->samples.times_ms, series->samples.count, min_ms);
    const size_t h = testing_first(series->histograms.times_ms, series->histograms.count, min_ms);
    return (f < series->samples.count && series->samples.times_ms[f] <= max_ms) ||
           (h < series->histograms.count && series->histograms.times_ms[h] <= max_ms);
}

/* ---- stores and blocks ---- */

static char testing_folder[FOLDER_FIXTURE_PATH_MAX];
static struct mrd_objstore *testing_store;
static struct mrd_arena *testing_arena;

static inline int testing_open(void **state)
{
    (void)state;
    testing_store = folder_fixture_open(testing_folder, NULL);
    testing_arena = mrd_arena_create("entries", TESTING_ARENA_BYTES);
    return 0;
}

static inline int testing_close(void **state)
{
    (void)state;
    mrd_objstore_close(&testing_store);
    mrd_arena_destroy(&testing_arena);
    folder_fixture_remove(testing_folder);
    return 0;
}

static inline struct mrd_block_writer_options testing_options(struct mrd_objstore *store,
                                                              unsigned level)
{
    static const struct mrd_block_promoted promoted[] = {
        {"job",      2},
        {"instance", 3}
    };
    return (struct mrd_block_writer_options){
        .store = store,
        .stem = "test/blocks/one",
        .id = MRD_BYTES("block-one"),
        .level = level,
        .promoted = promoted,
        .promoted_count = MRD_ARRAY_LEN(promoted),
        .keep_hlc = true,
        .memory_bytes_max = (size_t)256 << 20,
    };
}

/* A piece of a series: samples and histograms before a time. */
static inline struct mrd_block_series testing_piece(const struct mrd_block_series *series,
                                                    size_t *f, size_t *h, mrd_time_ms until_ms)
{
    const size_t f_end = testing_first(series->samples.times_ms, series->samples.count, until_ms);
    const size_t h_end =
        testing_first(series->histograms.times_ms, series->histograms.count, until_ms);
    struct mrd_block_series piece = *series;
    piece.samples.times_ms += *f;
    piece.samples.values += *f;
    piece.samples.count = f_end - *f;
    if (piece.samples.start_times_ms != NULL) {
        piece.samples.start_times_ms += *f;
    }
    piece.sample_hlcs += *f;
    piece.histograms.times_ms += *h;
    piece.histograms.items += *h;
    piece.histograms.count = h_end - *h;
    if (piece.histograms.start_times_ms != NULL) {
        piece.histograms.start_times_ms += *h;
    }
    piece.histogram_hlcs += *h;
    *f = f_end;
    *h = h_end;
    return piece;
}

static inline enum mrd_status testing_add(struct mrd_block_writer *writer,
                                          const struct mrd_block_series *series, bool pieces,
                                          struct mrd_error *err)
{
    if (!pieces) {
        return mrd_block_writer_add(writer, series, err);
    }
    size_t f = 0;
    size_t h = 0;
    const mrd_time_ms middle_ms = series->samples.count > 0
                                      ? series->samples.times_ms[series->samples.count / 2]
                                      : series->histograms.times_ms[series->histograms.count / 2];
    const struct mrd_block_series first = testing_piece(series, &f, &h, middle_ms);
    MRD_TRY(mrd_block_writer_add(writer, &first, err));
    const struct mrd_block_series rest = testing_piece(series, &f, &h, INT64_MAX);
    return mrd_block_writer_add(writer, &rest, err);
}

static inline enum mrd_status testing_write(const struct mrd_block_writer_options *options,
                                            const struct testing_set *set, bool pieces,
                                            struct mrd_block_entry *out, struct mrd_error *err)
{
    static const struct mrd_bytes parent = {(const uint8_t *)"older", 5};
    const struct mrd_block_origin origin = {.partition = 3,
                                            .first_sequence = 100,
                                            .last_sequence = 200,
                                            .parents = &parent,
                                            .parent_count = 1,
                                            .residency_class = MRD_BYTES("eu"),
                                            .hlc_min = 5,
                                            .hlc_fence = 77};
    mrd_auto(mrd_block_writer_destroy)
    struct mrd_block_writer *writer = NULL;
    MRD_TRY(mrd_block_writer_create(options, &writer, err));
    for (size_t i = 0; i < set->count; i++) {
        MRD_TRY(testing_add(writer, &set->items[i], pieces, err));
    }
    return mrd_block_writer_finish(writer, &origin, testing_arena, out, err);
}

#endif
