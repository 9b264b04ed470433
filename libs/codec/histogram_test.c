#include "codec/histogram.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { COUNT_MAX = 300, BUCKETS_MAX = 200 };

static uint64_t random_state;
static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}
static uint64_t random_below(uint64_t limit) { return random_next() % limit; }

/* Histograms with memory of their own. */
struct case_items {
    struct mrd_arena *arena;
    mrd_time_ms times_ms[COUNT_MAX];
    mrd_time_ms start_times_ms[COUNT_MAX];
    struct mrd_histogram items[COUNT_MAX];
    size_t count;
};

struct written {
    struct mrd_buf bytes;
    size_t count;
};

static void write_all(const struct case_items *from, struct written *out)
{
    static uint64_t counters[2 * (2 + 2 * BUCKETS_MAX)];
    struct mrd_histogram_open open = {0};
    struct mrd_buf entry = {0};
    for (size_t i = 0; i < from->count; i++) {
        mrd_buf_clear(&entry);
        const struct mrd_histogram_entry of = {from->times_ms[i], from->start_times_ms[i],
                                               &from->items[i]};
        assert_int_equal(mrd_histogram_open_append(&open, mrd_buf_view(&out->bytes), counters, &of,
                                                   &entry, NULL),
                         MRD_OK);
        mrd_buf_append_bytes(&out->bytes, mrd_buf_view(&entry));
    }
    out->count = from->count;
    mrd_buf_fini(&entry);
}

static void assert_same_side(const struct mrd_histogram_side *a, const struct mrd_histogram_side *b)
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

static void assert_same(const struct mrd_histogram *a, const struct mrd_histogram *b)
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
    assert_same_side(&a->positive, &b->positive);
    assert_same_side(&a->negative, &b->negative);
}

/* Room for what is decoded; shared by all tests. */
static struct mrd_histogram_arrays arrays_of(void)
{
    static mrd_time_ms times_ms[MRD_CHUNK_SAMPLES_MAX];
    static mrd_time_ms start_times_ms[MRD_CHUNK_SAMPLES_MAX];
    static struct mrd_histogram items[MRD_CHUNK_SAMPLES_MAX];
    return (struct mrd_histogram_arrays){times_ms, start_times_ms, items, false};
}

static void assert_comes_back(const struct case_items *from)
{
    struct written written = {0};
    write_all(from, &written);
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("test", 64 << 20);
    struct mrd_histogram_arrays got = arrays_of();
    assert_int_equal(
        mrd_histogram_chunk_decode(mrd_buf_view(&written.bytes), written.count, arena, &got, NULL),
        MRD_OK);
    bool any_start = false;
    assert_memory_equal(got.times_ms, from->times_ms, from->count * sizeof(got.times_ms[0]));
    assert_memory_equal(got.start_times_ms, from->start_times_ms,
                        from->count * sizeof(got.start_times_ms[0]));
    for (size_t i = 0; i < from->count; i++) {
        assert_same(&from->items[i], &got.items[i]);
        any_start |= from->start_times_ms[i] != 0;
    }
    assert_int_equal(got.any_start, any_start);
    mrd_buf_fini(&written.bytes);
}

static void *take(struct case_items *items, size_t count, size_t size)
{
    void *memory = mrd_arena_alloc(items->arena, count * size + 1);
    assert_non_null(memory);
    return memory;
}

static void random_side(struct case_items *items, struct mrd_histogram_side *side, bool custom)
{
    side->span_count = random_below(4);
    struct mrd_histogram_span *spans = take(items, side->span_count, sizeof(*spans));
    side->bucket_count = 0;
    for (size_t i = 0; i < side->span_count; i++) {
        spans[i].offset =
            i == 0 && !custom ? (int32_t)random_below(200) - 100 : (int32_t)random_below(5);
        spans[i].length = (uint32_t)random_below(20);
        side->bucket_count += spans[i].length;
    }
    side->spans = spans;
}

static struct mrd_histogram random_layout(struct case_items *items)
{
    struct mrd_histogram histogram = {.is_float = random_below(2) == 0,
                                      .schema = (int32_t)random_below(13) - 4};
    const bool custom = random_below(4) == 0;
    random_side(items, &histogram.positive, custom);
    if (custom) {
        histogram.schema = MRD_HISTOGRAM_SCHEMA_CUSTOM;
        histogram.custom_value_count = 100;
        double *values = take(items, 100, sizeof(*values));
        for (size_t i = 0; i < 100; i++) {
            values[i] = (double)i * 0.1 - 3;
        }
        histogram.custom_values = values;
    } else {
        histogram.zero_threshold = random_below(2) == 0 ? 1e-128 : 0.001;
        random_side(items, &histogram.negative, false);
    }
    return histogram;
}

static uint64_t random_count(bool is_float)
{
    static const double reals[] = {0, 0.25, 1e300, INFINITY, 17};
    if (is_float) {
        return random_below(2) == 0 ? mrd_double_bits(reals[random_below(MRD_ARRAY_LEN(reals))])
                                    : random_next();
    }
    return random_next() >> random_below(64);
}

static void random_counts(struct case_items *items, struct mrd_histogram *histogram)
{
    struct mrd_histogram_side *sides[] = {&histogram->positive, &histogram->negative};
    for (size_t s = 0; s < 2; s++) {
        union mrd_histogram_count *buckets = take(items, sides[s]->bucket_count, sizeof(*buckets));
        for (size_t i = 0; i < sides[s]->bucket_count; i++) {
            buckets[i].integer = random_below(3) == 0 || sides[s]->buckets == NULL
                                     ? random_count(histogram->is_float)
                                     : sides[s]->buckets[i].integer + random_below(20);
        }
        sides[s]->buckets = buckets;
    }
    histogram->count.integer = random_count(histogram->is_float);
    histogram->zero_count.integer = random_count(histogram->is_float);
    do {
        histogram->sum = mrd_double_from_bits(random_next());
    } while (mrd_histogram_is_stale(histogram));
}

static mrd_time_ms random_start(const struct case_items *items, size_t i)
{
    switch (random_below(6)) {
    case 0:
        return 0;
    case 1:
        return (mrd_time_ms)random_next();
    case 2:
        return i > 0 ? items->times_ms[i - 1] : 0;
    default:
        return i > 0 ? items->start_times_ms[i - 1] : items->times_ms[i] - 30000;
    }
}

static void random_items(struct case_items *items)
{
    items->count = 1 + random_below(COUNT_MAX);
    mrd_time_ms time_ms = (mrd_time_ms)random_below(1ULL << 41) - (1LL << 40);
    const bool started = random_below(2) == 0;
    struct mrd_histogram histogram = random_layout(items);
    random_counts(items, &histogram);
    for (size_t i = 0; i < items->count; i++) {
        switch (random_below(10)) {
        case 0:
            histogram = random_layout(items);
            random_counts(items, &histogram);
            break;
        case 1:
        case 2: /* the same again */
            break;
        default:
            random_counts(items, &histogram);
        }
        items->times_ms[i] = time_ms;
        items->items[i] = histogram;
        items->start_times_ms[i] = started ? random_start(items, i) : 0;
        items->items[i].reset = (enum mrd_histogram_reset)random_below(4);
        if (random_below(12) == 0) {
            items->items[i] = (struct mrd_histogram){.sum = mrd_stale_nan()};
        }
        time_ms += random_below(3) == 0 ? 1 + (mrd_time_ms)random_below(1ULL << 30) : 15000;
    }
}

static void any_histograms_come_back_bit_for_bit(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        random_state = seed * 0x9e3779b97f4a7c15ULL;
        static struct case_items items;
        items.arena = mrd_arena_create("test", 64 << 20);
        random_items(&items);
        assert_comes_back(&items);
        mrd_arena_destroy(&items.arena);
    }
}

static void damaged_chunks_are_refused_or_decode_within_their_bytes(void **state)
{
    (void)state;
    static struct case_items items;
    random_state = 77;
    items.arena = mrd_arena_create("test", 64 << 20);
    random_items(&items);
    items.count = MRD_MIN(items.count, (size_t)20);
    struct written written = {0};
    write_all(&items, &written);
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("test", 64 << 20);
    struct mrd_histogram_arrays out = arrays_of();
    for (size_t size = 0; size < written.bytes.size; size++) {
        uint8_t *copy = malloc(size + 1); /* so that a read behind the end shows */
        memcpy(copy, written.bytes.data, size);
        mrd_arena_reset(arena);
        assert_int_equal(mrd_histogram_chunk_decode((struct mrd_bytes){copy, size}, items.count,
                                                    arena, &out, NULL),
                         MRD_E_CORRUPT);
        free(copy);
    }
    for (size_t i = 0; i < written.bytes.size * 8; i++) {
        written.bytes.data[i / 8] ^= (uint8_t)(1U << i % 8);
        mrd_arena_reset(arena);
        const enum mrd_status status = mrd_histogram_chunk_decode(mrd_buf_view(&written.bytes),
                                                                  items.count, arena, &out, NULL);
        assert_true(status == MRD_OK || status == MRD_E_CORRUPT);
        written.bytes.data[i / 8] ^= (uint8_t)(1U << i % 8);
    }
    assert_int_equal(mrd_histogram_chunk_decode(mrd_buf_view(&written.bytes), items.count + 1,
                                                arena, &out, NULL),
                     MRD_E_CORRUPT);
    mrd_buf_fini(&written.bytes);
    mrd_arena_destroy(&items.arena);
}

static void decoding_stays_within_its_memory(void **state)
{
    (void)state;
    static struct case_items items;
    random_state = 5;
    items.arena = mrd_arena_create("test", 64 << 20);
    random_items(&items);
    struct written written = {0};
    write_all(&items, &written);
    struct mrd_histogram_arrays out = arrays_of();
    enum mrd_status status = MRD_E_LIMIT;
    for (size_t limit = 16; status == MRD_E_LIMIT; limit *= 2) {
        struct mrd_arena *arena = mrd_arena_create("test", limit);
        status = mrd_histogram_chunk_decode(mrd_buf_view(&written.bytes), written.count, arena,
                                            &out, NULL);
        mrd_arena_destroy(&arena);
    }
    assert_int_equal(status, MRD_OK);
    mrd_buf_fini(&written.bytes);
    mrd_arena_destroy(&items.arena);
}

static void what_cannot_be_stored_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    static const struct mrd_histogram_span span = {0, 2};
    static const union mrd_histogram_count buckets[2] = {{.integer = 1}, {.integer = 2}};
    struct mrd_histogram good = {
        .schema = 3, .positive = {&span, buckets, 1, 2}
    };
    struct mrd_histogram wrong[3] = {good, good, good};
    wrong[0].schema = 9;
    wrong[1].positive.bucket_count = 1;
    wrong[2].schema = MRD_HISTOGRAM_SCHEMA_CUSTOM; /* without bounds for its buckets */
    for (size_t i = 0; i < 3; i++) {
        struct mrd_histogram_open open = {0};
        struct mrd_buf entry = {0};
        uint64_t counters[8];
        const struct mrd_histogram_entry bad_entry = {1, 5, &wrong[i]};
        const struct mrd_histogram_entry good_entry = {1, 0, &good};
        assert_int_equal(
            mrd_histogram_open_append(&open, MRD_BYTES_NONE, counters, &bad_entry, &entry, NULL),
            MRD_E_INVALID);
        assert_int_equal(entry.size, 0);
        assert_int_equal(open.count, 0);
        assert_int_equal(open.last_start_ms, 0);
        assert_int_equal(
            mrd_histogram_open_append(&open, MRD_BYTES_NONE, counters, &good_entry, &entry, NULL),
            MRD_OK);
        mrd_buf_fini(&entry);
    }
}

static void assert_bytes(const char *const *want, const mrd_time_ms *times_ms,
                         const mrd_time_ms *start_times_ms, const struct mrd_histogram *items)
{
    struct mrd_histogram_open open = {0};
    struct mrd_buf bytes = {0};
    struct mrd_buf entry = {0};
    uint64_t counters[10];
    for (size_t i = 0; i < 5; i++) {
        mrd_buf_clear(&entry);
        const struct mrd_histogram_entry of = {times_ms[i], start_times_ms[i], &items[i]};
        assert_int_equal(
            mrd_histogram_open_append(&open, mrd_buf_view(&bytes), counters, &of, &entry, NULL),
            MRD_OK);
        mrd_buf_append_bytes(&bytes, mrd_buf_view(&entry));
        struct mrd_buf text = {0};
        for (size_t k = 0; k < entry.size; k++) {
            mrd_buf_printf(&text, "%02x", entry.data[k]);
        }
        mrd_buf_append_u8(&text, 0);
        assert_string_equal((const char *)text.data, want[i]);
        mrd_buf_fini(&text);
    }
    mrd_buf_fini(&bytes);
    mrd_buf_fini(&entry);
}

/* docs/formats/chunk.md: a first histogram, one that grew, the same again, a staleness marker, another layout. Then the
 * same with start times: given, as before, at the time before, unknown, as the last known one. */
static void stored_bytes_keep_their_meaning(void **state)
{
    (void)state;
    static const char *const want_started[] = {
        "85d00fc8010006000000000000e03f0201020201000005e5ffd7652bee4a",
        "02d00f03e6ff374501",
        "5200",
        "c800",
        "07e807016900000000000000000100020001000000000000f03f81a6ff2f28ff5740fe1792ff01",
    };
    static const mrd_time_ms none[5];
    static const mrd_time_ms starts_ms[5] = {900, 900, 2000, 0, 2000};
    static const char *const want[] = {
        "05d00f0006000000000000e03f0201020201000005e5ffd7652bee4a",
        "02d00f03e6ff374501",
        "1200",
        "0800",
        "07e807016900000000000000000100020001000000000000f03f81a6ff2f28ff5740fe1792ff01",
    };
    static const mrd_time_ms times_ms[] = {1000, 2000, 3000, 4000, 5500};
    static const struct mrd_histogram_span spans[] = {
        {-1, 2},
        {1,  1}
    };
    static const struct mrd_histogram_span span = {0, 2};
    static const union mrd_histogram_count first[] = {
        {.integer = 1}, {.integer = 0}, {.integer = 300}};
    static const union mrd_histogram_count then[] = {
        {.integer = 2}, {.integer = 0}, {.integer = 301}};
    static const union mrd_histogram_count reals[] = {{.real = 0.5}, {.real = 1}};
    static const double bound = 1;
    struct mrd_histogram items[5] = {
        {.reset = MRD_HISTOGRAM_RESET,
         .schema = 3,
         .zero_threshold = 0.5,
         .sum = 1.5,
         .count = {.integer = 303},
         .zero_count = {.integer = 2},
         .positive = {spans, first, 2, 3}},
    };
    items[1] = items[0];
    items[1].reset = MRD_HISTOGRAM_NO_RESET;
    items[1].sum = 2.5;
    items[1].count.integer = 305;
    items[1].positive.buckets = then;
    items[2] = items[1];
    items[3] = (struct mrd_histogram){.sum = mrd_stale_nan()};
    items[4] = (struct mrd_histogram){
        .is_float = true,
        .reset = MRD_HISTOGRAM_GAUGE,
        .schema = MRD_HISTOGRAM_SCHEMA_CUSTOM,
        .sum = -1,
        .count = {.real = 1.5},
        .positive = { &span, reals, 1, 2},
        .custom_values = &bound,
        .custom_value_count = 1
    };
    assert_bytes(want, times_ms, none, items);
    assert_bytes(want_started, times_ms, starts_ms, items);
}
/* Request latencies of a busy server: 60 buckets, log-normal, a Poisson-like number of observations per scrape. */
static size_t realistic_size(double rate, bool is_float, size_t *out_changed)
{
    enum { BUCKETS = 60, SCRAPES = 120 };
    static struct case_items items;
    items.arena = mrd_arena_create("test", 64 << 20);
    static const struct mrd_histogram_span span = {-30, BUCKETS};
    uint64_t counts[BUCKETS] = {0};
    uint64_t total = 0;
    double sum = 0;
    *out_changed = 0;
    for (size_t i = 0; i < SCRAPES; i++) {
        uint64_t before[BUCKETS];
        memcpy(before, counts, sizeof(counts));
        const uint64_t observed =
            (uint64_t)(rate * (0.8 + 0.4 * (double)random_below(1000) / 1000));
        for (uint64_t k = 0; k < observed; k++) {
            double normal = -6;
            for (int n = 0; n < 12; n++) {
                normal += (double)random_below(1 << 20) / (1 << 20);
            }
            const double at = 30 + normal * 8;
            counts[at < 0 ? 0 : at >= BUCKETS ? BUCKETS - 1 : (size_t)at]++;
            sum += exp(normal) / 10;
            total++;
        }
        union mrd_histogram_count *buckets = take(&items, BUCKETS, sizeof(*buckets));
        for (size_t b = 0; b < BUCKETS; b++) {
            *out_changed += counts[b] != before[b] ? 1 : 0;
            if (is_float) {
                buckets[b].real = (double)counts[b];
            } else {
                buckets[b].integer = counts[b];
            }
        }
        items.times_ms[i] = 1700000000000 + (mrd_time_ms)i * 15000;
        items.items[i] = (struct mrd_histogram){
            .is_float = is_float, .schema = 3, .zero_threshold = 1e-128, .sum = sum};
        if (is_float) {
            items.items[i].count.real = (double)total;
        } else {
            items.items[i].count.integer = total;
        }
        items.items[i].positive = (struct mrd_histogram_side){&span, buckets, 1, BUCKETS};
    }
    items.count = SCRAPES;
    assert_comes_back(&items);
    struct written written = {0};
    write_all(&items, &written);
    const size_t size = written.bytes.size;
    mrd_buf_fini(&written.bytes);
    mrd_arena_destroy(&items.arena);
    return size;
}

static void realistic_histograms_take_few_bytes(void **state)
{
    (void)state;
    static const struct {
        double rate; /* observations between scrapes */
        bool is_float;
        double bytes_max; /* per histogram */
    } cases[] = {
        {0,    false, 4  },
        {3,    false, 24 },
        {100,  false, 48 },
        {3000, false, 80 },
        {100,  true,  110},
    };
    random_state = 4711;
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        size_t changed;
        const size_t size = realistic_size(cases[i].rate, cases[i].is_float, &changed);
        print_message("%6.0f observations, %s: %.1f bytes a histogram, %.2f a changed bucket\n",
                      cases[i].rate, cases[i].is_float ? "float" : "integer", (double)size / 120,
                      changed == 0 ? 0 : (double)size / (double)changed);
        assert_true((double)size / 120 <= cases[i].bytes_max);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_histograms_come_back_bit_for_bit),
        cmocka_unit_test(damaged_chunks_are_refused_or_decode_within_their_bytes),
        cmocka_unit_test(decoding_stays_within_its_memory),
        cmocka_unit_test(what_cannot_be_stored_is_refused_and_changes_nothing),
        cmocka_unit_test(stored_bytes_keep_their_meaning),
        cmocka_unit_test(realistic_histograms_take_few_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
