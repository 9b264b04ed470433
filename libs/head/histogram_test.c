/* Histograms in a head, alone and among float samples. Random ones are compared with a map; the seed is
 * printed, MRD_TEST_SEED sets it. */
#include "codec/histogram.h"
#include "head/testing_internal.h"

#include <time.h>

enum { SPAN_MS = 60000, SERIES = 4, BUCKETS_MAX = 24 };

static uint64_t random_state;
static uint64_t next_random(void)
{
    uint64_t z = (random_state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}
static uint64_t below(uint64_t bound) { return next_random() % bound; }

static struct mrd_head *need_head(size_t limit)
{
    struct mrd_head *head = NULL;
    const struct mrd_head_options options = {.bucket_ms = SPAN_MS, .memory_bytes_limit = limit};
    assert_int_equal(mrd_head_create(&options, &head, NULL), MRD_OK);
    return head;
}

/* ---- histograms that a number says all about ---- */

struct made {
    struct mrd_histogram histogram;
    struct mrd_histogram_span spans[2];
    union mrd_histogram_count buckets[BUCKETS_MAX];
};

static void make(uint64_t number, struct made *out)
{
    *out = (struct made){0};
    struct mrd_histogram *histogram = &out->histogram;
    histogram->sum = mrd_stale_nan();
    if (number % 17 == 0) {
        return;
    }
    const uint32_t length = (uint32_t)(1 + number / 7 % (BUCKETS_MAX / 2));
    out->spans[0] = (struct mrd_histogram_span){-3, length};
    out->spans[1] = (struct mrd_histogram_span){2, length};
    histogram->is_float = number % 5 == 0;
    histogram->schema = (int32_t)(number / 64 % 4);
    histogram->reset = (enum mrd_histogram_reset)(number % 4);
    histogram->zero_threshold = 0.001;
    histogram->sum = (double)number * 0.3;
    histogram->positive = (struct mrd_histogram_side){out->spans, out->buckets, 2, 2 * length};
    for (uint32_t i = 0; i < 2 * length; i++) {
        out->buckets[i].integer = number * i;
    }
    histogram->count.integer = number;
    histogram->zero_count.integer = number / 3;
}

static bool is_made_from(const struct mrd_histogram *got, uint64_t number)
{
    struct made made;
    make(number, &made);
    const struct mrd_histogram *want = &made.histogram;
    if (mrd_histogram_is_stale(want)) {
        return mrd_histogram_is_stale(got);
    }
    return got->is_float == want->is_float && got->schema == want->schema &&
           got->reset == want->reset && got->sum == want->sum &&
           got->count.integer == want->count.integer &&
           got->zero_count.integer == want->zero_count.integer &&
           got->positive.bucket_count == want->positive.bucket_count &&
           memcmp(got->positive.buckets, want->positive.buckets,
                  want->positive.bucket_count * sizeof(want->positive.buckets[0])) == 0;
}

/* Since when it counts, told by its number too; 0: unknown. */
static mrd_time_ms start_of(uint64_t number)
{
    return number % 3 == 0 ? 0 : number % 3 == 1 ? 1000 : (mrd_time_ms)number;
}

static void put(struct mrd_head *head, uint32_t ordinal, mrd_time_ms time_ms, uint64_t number,
                mrd_hlc hlc, uint32_t origin, struct mrd_head_append_result *result)
{
    struct made made;
    make(number, &made);
    struct mrd_head_append_result ignored = {0};
    const mrd_time_ms start_ms = start_of(number);
    const struct mrd_head_histogram_batch batch = {
        .ordinals = &ordinal,
        .row_count = 1,
        .times_ms = &time_ms,
        .items = &made.histogram,
        .item_count = 1,
        .hlc = hlc,
        .origin = origin,
        .start_times_ms = start_ms == 0 ? NULL : &start_ms,
    };
    mrd_head_append_histograms(head, &batch, result == NULL ? &ignored : result);
}

/* ---- reading: one value per time, a histogram before a float ---- */

enum { VALUES_MAX = 60000 };

struct value {
    mrd_time_ms time_ms;
    mrd_time_ms start_ms;
    bool is_histogram;
    uint64_t bits; /* of a float */
    struct mrd_histogram histogram;
};

struct values {
    struct mrd_arena *arena;
    struct value items[VALUES_MAX];
    size_t count;
};

static void values_put(struct values *values, const struct value *value)
{
    size_t at = values->count;
    while (at > 0 && values->items[at - 1].time_ms >= value->time_ms) {
        at--;
    }
    if (at < values->count && values->items[at].time_ms == value->time_ms) {
        if (value->is_histogram || !values->items[at].is_histogram) {
            values->items[at] = *value;
        }
        return;
    }
    assert_true(values->count < VALUES_MAX);
    memmove(&values->items[at + 1], &values->items[at],
            (values->count++ - at) * sizeof(values->items[0]));
    values->items[at] = *value;
}

static void read_chunk(const struct mrd_chunk *chunk, struct values *values)
{
    static mrd_time_ms times_ms[MRD_CHUNK_SAMPLES_MAX];
    static double reals[MRD_CHUNK_SAMPLES_MAX];
    static mrd_time_ms starts_ms[MRD_CHUNK_SAMPLES_MAX];
    static struct mrd_histogram histograms[MRD_CHUNK_SAMPLES_MAX];
    struct mrd_histogram_arrays arrays = {times_ms, starts_ms, histograms, false};
    const bool is_histogram = chunk->encoding == MRD_CHUNK_HISTOGRAMS;
    if (is_histogram) {
        assert_int_equal(
            mrd_histogram_chunk_decode(chunk->bytes, chunk->count, values->arena, &arrays, NULL),
            MRD_OK);
    } else {
        assert_int_equal(
            mrd_chunk_decode(chunk->encoding, chunk->bytes, chunk->count, times_ms, reals, NULL),
            MRD_OK);
        assert_int_equal(mrd_chunk_decode_starts(chunk->encoding, chunk->bytes, chunk->count,
                                                 times_ms, starts_ms, NULL),
                         MRD_OK);
    }
    for (size_t i = 0; i < chunk->count; i++) {
        struct value value = {
            .time_ms = times_ms[i], .start_ms = starts_ms[i], .is_histogram = is_histogram};
        if (is_histogram) {
            value.histogram = histograms[i];
        } else {
            value.bits = mrd_double_bits(reals[i]);
        }
        values_put(values, &value);
    }
}

/* Of a tenant's only series. */
static void read_values(struct mrd_head *head, const struct mrd_head_query *query,
                        struct values *values)
{
    values->count = 0;
    mrd_arena_reset(values->arena);
    struct mrd_head_cursor *cursor = NULL;
    assert_int_equal(mrd_head_select(head, query, &cursor, NULL), MRD_OK);
    struct mrd_head_selection *selection = NULL;
    assert_int_equal(mrd_head_cursor_next(cursor, SIZE_MAX, &selection, NULL), MRD_OK);
    if (selection != NULL) {
        assert_int_equal(selection->series_count, 1);
        struct mrd_reader reader = mrd_reader_of(mrd_buf_view(&selection->frames));
        struct mrd_frame frame;
        struct mrd_chunk chunk;
        assert_int_equal(mrd_frame_read(&reader, &frame, NULL), MRD_OK);
        while (mrd_frame_read_chunk(&frame, &chunk)) {
            read_chunk(&chunk, values);
        }
        mrd_head_selection_destroy(&selection);
    }
    mrd_head_cursor_destroy(&cursor);
}

static void read_all(struct mrd_head *head, const char *tenant, mrd_time_ms min_ms,
                     mrd_time_ms max_ms, struct values *values)
{
    const struct mrd_head_query query = {
        .tenant = mrd_bytes_of(tenant), .time_min_ms = min_ms, .time_max_ms = max_ms};
    read_values(head, &query, values);
}

static struct values *need_values(void)
{
    static struct values values;
    values.arena = mrd_arena_create("test", 1U << 30);
    return &values;
}

/* ---- the map ---- */

struct entry {
    mrd_time_ms time_ms;
    bool is_histogram;
    uint64_t number; /* of the histogram, or bits of the float */
    mrd_hlc hlc;
    uint32_t origin;
};

struct map {
    char tenant[8];
    uint32_t ordinal;
    bool mixed;
    mrd_time_ms next_ms;
    struct entry *entries; /* ascending */
    size_t count;
    size_t capacity;
};

static size_t map_position(const struct map *map, mrd_time_ms time_ms)
{
    size_t at = map->count;
    while (at > 0 && map->entries[at - 1].time_ms >= time_ms) {
        at--;
    }
    return at;
}

/* Stamps of different values differ. */
static void map_put(struct map *map, const struct entry *entry)
{
    const size_t at = map_position(map, entry->time_ms);
    if (at < map->count && map->entries[at].time_ms == entry->time_ms) {
        struct entry *old = &map->entries[at];
        if (entry->hlc > old->hlc || (entry->hlc == old->hlc && entry->origin > old->origin)) {
            *old = *entry;
        }
        return;
    }
    if (map->count == map->capacity) {
        map->capacity = map->capacity * 2 + 64;
        map->entries = reallocarray(map->entries, map->capacity, sizeof(map->entries[0]));
        assert_non_null(map->entries);
    }
    memmove(&map->entries[at + 1], &map->entries[at],
            (map->count++ - at) * sizeof(map->entries[0]));
    map->entries[at] = *entry;
}

/* Whether the newest histogram before the range is among the values, if it is near enough and anything is in the range. */
static void expect_one_before(const struct map *map, const struct mrd_head_query *query,
                              const struct values *values)
{
    const size_t first = map_position(map, query->time_min_ms);
    size_t before = first;
    while (before > 0 && !map->entries[before - 1].is_histogram) {
        before--;
    }
    if (before == 0 || first == map->count || map->entries[first].time_ms > query->time_max_ms ||
        map->entries[before - 1].time_ms < query->time_min_ms - query->histograms_before_ms) {
        return;
    }
    bool found = false;
    for (size_t i = 0; i < values->count; i++) {
        found |= values->items[i].is_histogram &&
                 values->items[i].time_ms == map->entries[before - 1].time_ms;
    }
    assert_true(found);
}

static void compare(struct mrd_head *head, const struct map *map, struct values *values)
{
    mrd_time_ms min_ms = INT64_MIN;
    mrd_time_ms max_ms = INT64_MAX;
    if (below(2) == 0) {
        min_ms = map->next_ms - (mrd_time_ms)below(20 * SPAN_MS);
        max_ms = min_ms + (mrd_time_ms)below(5 * SPAN_MS);
    }
    const struct mrd_head_query query = {
        .tenant = mrd_bytes_of(map->tenant),
        .time_min_ms = min_ms,
        .time_max_ms = max_ms,
        .histograms_before_ms = below(2) == 0 ? 0 : (mrd_time_ms)below(3 * SPAN_MS),
    };
    read_values(head, &query, values);
    if (query.histograms_before_ms > 0) {
        expect_one_before(map, &query, values);
    }
    size_t at = 0;
    for (size_t i = 0; i < map->count; i++) {
        const struct entry *want = &map->entries[i];
        if (want->time_ms < min_ms || want->time_ms > max_ms) {
            continue;
        }
        while (at < values->count && values->items[at].time_ms < min_ms) {
            at++; /* of a chunk that reaches out of the range */
        }
        if (at == values->count || values->items[at].time_ms != want->time_ms ||
            values->items[at].is_histogram != want->is_histogram ||
            values->items[at].start_ms != start_of(want->number) ||
            (want->is_histogram ? !is_made_from(&values->items[at].histogram, want->number)
                                : values->items[at].bits != want->number)) {
            fail_msg("%s: %s at %ld is not there", map->tenant,
                     want->is_histogram ? "histogram" : "float", (long)want->time_ms);
        }
        at++;
    }
    for (; at < values->count; at++) {
        assert_false(values->items[at].time_ms >= min_ms && values->items[at].time_ms <= max_ms);
    }
}

static mrd_time_ms pick_time(struct map *map)
{
    const uint64_t kind = below(20);
    if (kind < 12 || map->count == 0) {
        return map->next_ms += 1000 + (mrd_time_ms)(below(30) == 0 ? below(3 * SPAN_MS) : below(5));
    }
    return kind < 16 ? map->entries[below(map->count)].time_ms
                     : map->next_ms - (mrd_time_ms)below(10 * SPAN_MS);
}

static void write_one(struct mrd_head *head, struct map *map, mrd_hlc *clock)
{
    struct entry entry = {
        .time_ms = pick_time(map), .is_histogram = true, .number = 1 + below(1000)};
    *clock += 1;
    /* Floats keep no stamp of their own, so where they are the stamps ascend. */
    entry.hlc = map->mixed ? *clock << 8 : ((*clock - below(50)) << 8) + below(256);
    entry.origin = (uint32_t)*clock;
    if (map->mixed && below(3) == 0) {
        entry.is_histogram = false;
        entry.number = below(3) == 0 ? next_random() : mrd_double_bits((double)below(100));
    } else if (below(6) == 0 && map->count > 0) { /* again, as it was written */
        const struct entry *old = &map->entries[below(map->count)];
        entry = old->is_histogram ? *old : entry;
    }
    struct mrd_head_append_result result = {0};
    if (entry.is_histogram) {
        put(head, map->ordinal, entry.time_ms, entry.number, entry.hlc, entry.origin, &result);
    } else {
        testing_append_started(head, map->ordinal, entry.time_ms, start_of(entry.number),
                               mrd_double_from_bits(entry.number), entry.hlc, entry.origin,
                               &result);
    }
    assert_int_equal(result.appended + result.out_of_order + result.duplicates + result.overrides +
                         result.outdated,
                     1);
    map_put(map, &entry);
}

static void drop_old(struct mrd_head *head, struct map *maps)
{
    const mrd_time_ms before_ms = maps[0].next_ms - (mrd_time_ms)below(15 * SPAN_MS);
    const struct mrd_head_sweep sweep = {before_ms, UINT64_MAX, 0, 100};
    struct mrd_head_sweep_result result = {0};
    while (!result.pass_done) {
        mrd_head_sweep(head, &sweep, &result);
    }
    const mrd_time_ms bound_ms = before_ms - before_ms % SPAN_MS;
    for (size_t i = 0; i < SERIES; i++) {
        const size_t gone = map_position(&maps[i], bound_ms);
        maps[i].count -= gone;
        if (gone > 0) {
            memmove(maps[i].entries, maps[i].entries + gone,
                    maps[i].count * sizeof(maps[i].entries[0]));
        }
    }
}

static void erase_some(struct mrd_head *head, struct map *map)
{
    const bool all = below(4) == 0;
    const mrd_time_ms min_ms = map->next_ms - (mrd_time_ms)below(15 * SPAN_MS);
    const struct mrd_head_query query = {
        .tenant = mrd_bytes_of(map->tenant),
        .time_min_ms = all ? INT64_MIN : min_ms,
        .time_max_ms = all ? INT64_MAX : min_ms + (mrd_time_ms)below(3 * SPAN_MS)};
    struct mrd_head_erased erased = {0};
    mrd_head_erase(head, &query, &erased);
    const size_t from = map_position(map, query.time_min_ms);
    const size_t to = all ? map->count : map_position(map, query.time_max_ms + 1);
    memmove(map->entries + from, map->entries + to, (map->count - to) * sizeof(map->entries[0]));
    map->count -= to - from;
    assert_true(erased.samples >= to - from); /* hidden floats */
}

static void check_counts(struct mrd_head *head, const struct map *maps)
{
    struct mrd_head_stats stats;
    mrd_head_stats(head, &stats);
    uint64_t histograms = 0;
    uint64_t values = 0;
    for (size_t i = 0; i < SERIES; i++) {
        for (size_t k = 0; k < maps[i].count; k++) {
            histograms += maps[i].entries[k].is_histogram ? 1 : 0;
        }
        values += maps[i].count;
    }
    assert_int_equal(stats.histogram_count, histograms);
    assert_true(stats.sample_count >= values); /* hidden floats */
}

static void run_map(uint64_t seed)
{
    random_state = seed;
    struct mrd_head *head = need_head(0);
    struct values *values = need_values();
    struct map maps[SERIES] = {0};
    mrd_hlc clock = 1000;
    for (size_t i = 0; i < SERIES; i++) {
        (void)snprintf(maps[i].tenant, sizeof(maps[i].tenant), "t%zu", i);
        maps[i].ordinal = testing_need_series(head, maps[i].tenant, "__name__=h", 1);
        maps[i].mixed = i % 2 == 1;
        maps[i].next_ms = 1790000000000;
    }
    for (size_t i = 0; i < 1500; i++) {
        write_one(head, &maps[below(SERIES)], &clock);
        if (below(40) == 0) {
            compare(head, &maps[below(SERIES)], values);
            check_counts(head, maps);
        }
        if (below(400) == 0) {
            drop_old(head, maps);
        }
        struct map *erased = &maps[below(SERIES)];
        if (below(100) == 0 && erased->count > 0) {
            erase_some(head, erased);
            check_counts(head, maps);
        }
    }
    for (size_t i = 0; i < SERIES; i++) {
        compare(head, &maps[i], values);
        free(maps[i].entries);
    }
    mrd_arena_destroy(&values->arena);
    mrd_head_destroy(&head);
}

static void any_order_of_writes_ends_in_the_last_ones(void **state)
{
    (void)state;
    const char *text = getenv("MRD_TEST_SEED");
    const uint64_t seed = text == NULL ? (uint64_t)time(NULL) : strtoull(text, NULL, 10);
    for (uint64_t i = 0; i < 20; i++) {
        print_message("MRD_TEST_SEED=%lu\n", (unsigned long)(seed + i));
        run_map(seed + i);
    }
}

/* ---- single rules ---- */

static struct value only_value(struct mrd_head *head, struct values *values)
{
    read_all(head, "t", INT64_MIN, INT64_MAX, values);
    assert_int_equal(values->count, 1);
    return values->items[0];
}

static void equal_stamps_are_decided_by_value_whatever_the_order(void **state)
{
    (void)state;
    static const uint64_t numbers[] = {5, 6, 7, 8, 17, 100};
    struct values *values = need_values();
    struct value first = {0};
    for (size_t turn = 0; turn < 2; turn++) {
        struct mrd_head *head = need_head(0);
        const uint32_t ordinal = testing_need_series(head, "t", "__name__=h", 1);
        for (size_t i = 0; i < MRD_ARRAY_LEN(numbers); i++) {
            put(head, ordinal, 1000, numbers[turn == 0 ? i : MRD_ARRAY_LEN(numbers) - 1 - i], 9, 3,
                NULL);
        }
        testing_append(head, ordinal, 1000, 4711, 9, 3, NULL); /* less than any histogram */
        const struct value got = only_value(head, values);
        assert_true(got.is_histogram);
        if (turn == 0) {
            first = got;
        } else {
            assert_int_equal(got.histogram.count.integer, first.histogram.count.integer);
        }
        mrd_head_destroy(&head);
    }
    mrd_arena_destroy(&values->arena);
}

static void a_series_keeps_only_one_of_float_and_histogram_at_a_time(void **state)
{
    (void)state;
    struct values *values = need_values();
    struct mrd_head *head = need_head(0);
    const uint32_t ordinal = testing_need_series(head, "t", "__name__=h", 1);
    testing_append(head, ordinal, 1000, 1, 10, 1, NULL);
    put(head, ordinal, 1000, 3, 20, 1, NULL);
    assert_true(only_value(head, values).is_histogram);
    testing_append(head, ordinal, 1000, 2, 15, 1, NULL); /* older than the histogram */
    assert_true(only_value(head, values).is_histogram);
    testing_append(head, ordinal, 1000, 2, 30, 1, NULL);
    assert_int_equal(only_value(head, values).bits, mrd_double_bits(2));
    put(head, ordinal, 1000, 3, 25, 1, NULL);
    assert_int_equal(only_value(head, values).bits, mrd_double_bits(2));
    put(head, ordinal, 1000, 4, 40, 1, NULL);
    const struct value last = only_value(head, values);
    assert_true(is_made_from(&last.histogram, 4));
    mrd_head_destroy(&head);
    mrd_arena_destroy(&values->arena);
}

static void what_was_hidden_stays_hidden_until_it_is_forgotten(void **state)
{
    (void)state;
    struct values *values = need_values();
    struct mrd_head *head = need_head(0);
    const uint32_t ordinal = testing_need_series(head, "t", "__name__=h", 1);
    const mrd_hlc early = mrd_hlc_make(1000000, 0);
    const mrd_hlc late = mrd_hlc_make(9000000, 0);
    testing_append(head, ordinal, 1000, 1, early, 1, NULL);
    put(head, ordinal, 1000, 3, early + 1, 1, NULL);
    testing_append(head, ordinal, 2000, 1, late, 1, NULL); /* keeps the floats from going */
    const struct mrd_head_sweep sweep = {10 * SPAN_MS, early + 5, 0, 100};
    struct mrd_head_sweep_result result = {0};
    mrd_head_sweep(head, &sweep, &result);
    read_all(head, "t", INT64_MIN, INT64_MAX, values);
    assert_int_equal(values->count, 2);
    assert_true(values->items[0].is_histogram);
    const struct mrd_head_sweep rest = {10 * SPAN_MS, UINT64_MAX, 0, 100};
    mrd_head_sweep(head, &rest, &result);
    read_all(head, "t", INT64_MIN, INT64_MAX, values);
    assert_int_equal(values->count, 0);
    struct mrd_head_stats stats;
    mrd_head_stats(head, &stats);
    assert_int_equal(stats.sample_count, 0);
    assert_int_equal(stats.memory_bytes[MRD_HEAD_MEMORY_HISTOGRAMS], 0);
    mrd_head_destroy(&head);
    mrd_arena_destroy(&values->arena);
}

static void a_series_lives_as_long_as_it_has_histograms(void **state)
{
    (void)state;
    struct mrd_head *head = need_head(0);
    const uint32_t ordinal = testing_need_series(head, "t", "__name__=h", mrd_hlc_make(1000, 0));
    put(head, ordinal, 1000, 3, mrd_hlc_make(2000, 0), 1, NULL);
    const struct mrd_head_sweep keep = {0, UINT64_MAX, UINT64_MAX, 100};
    struct mrd_head_sweep_result result = {0};
    mrd_head_sweep(head, &keep, &result);
    assert_int_equal(result.dead_count, 0);
    const struct mrd_head_sweep drop = {10 * SPAN_MS, UINT64_MAX, UINT64_MAX, 100};
    mrd_head_sweep(head, &drop, &result);
    assert_int_equal(result.dead_count, 1);
    assert_int_equal(result.samples_dropped, 1);
    struct mrd_head_append_result dead = {0};
    put(head, ordinal, 3000, 3, mrd_hlc_make(2000, 0), 1, &dead);
    assert_int_equal(dead.rows_dead, 1);
    mrd_head_destroy(&head);
}

static void what_no_histogram_can_be_is_refused(void **state)
{
    (void)state;
    struct values *values = need_values();
    struct mrd_head *head = need_head(0);
    const uint32_t ordinal = testing_need_series(head, "t", "__name__=h", 1);
    struct mrd_head_append_result result = {0};
    put(head, ordinal, MRD_HEAD_TIME_MAX + 1, 3, 1, 1, &result);
    const struct mrd_histogram wrong = {.schema = 77};
    const mrd_time_ms times_ms[] = {5000, 4000};
    const struct mrd_histogram items[] = {wrong, wrong};
    const uint32_t two = 2;
    const struct mrd_head_histogram_batch batch = {&ordinal, &two, 1, times_ms, items,
                                                   2,        1,    1, NULL};
    mrd_head_append_histograms(head, &batch, &result);
    assert_int_equal(result.refused, 3);
    read_all(head, "t", INT64_MIN, INT64_MAX, values);
    assert_int_equal(values->count, 0);
    mrd_head_destroy(&head);
    mrd_arena_destroy(&values->arena);
}

static void large_histograms_make_small_chunks(void **state)
{
    (void)state;
    enum { LENGTH = 8000 };
    static union mrd_histogram_count buckets[LENGTH];
    static const struct mrd_histogram_span span = {0, LENGTH};
    struct values *values = need_values();
    struct mrd_head *head = need_head(0);
    const uint32_t ordinal = testing_need_series(head, "t", "__name__=h", 1);
    random_state = 3;
    for (int i = 0; i < 20; i++) {
        for (size_t b = 0; b < LENGTH; b++) {
            buckets[b].integer = next_random() >> 1;
        }
        const struct mrd_histogram histogram = {
            .schema = 2, .positive = {&span, buckets, 1, LENGTH}
        };
        const mrd_time_ms time_ms = i % 2 == 0 ? 1000 + i : 500 + i;
        const struct mrd_head_histogram_batch batch = {.ordinals = &ordinal,
                                                       .row_count = 1,
                                                       .times_ms = &time_ms,
                                                       .items = &histogram,
                                                       .item_count = 1,
                                                       .hlc = 1,
                                                       .origin = 1};
        struct mrd_head_append_result result = {0};
        mrd_head_append_histograms(head, &batch, &result);
        assert_int_equal(result.appended + result.out_of_order, 1);
    }
    struct mrd_head_cursor *cursor = NULL;
    const struct mrd_head_query query = {
        .tenant = MRD_BYTES("t"), .time_min_ms = INT64_MIN, .time_max_ms = INT64_MAX};
    assert_int_equal(mrd_head_select(head, &query, &cursor, NULL), MRD_OK);
    struct mrd_head_selection *selection = NULL;
    assert_int_equal(mrd_head_cursor_next(cursor, SIZE_MAX, &selection, NULL), MRD_OK);
    assert_int_equal(selection->chunk_count, 20);
    assert_true(selection->sample_count >= 20 * LENGTH / 2);
    mrd_head_selection_destroy(&selection);
    mrd_head_cursor_destroy(&cursor);
    mrd_head_destroy(&head);
    mrd_arena_destroy(&values->arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_of_writes_ends_in_the_last_ones),
        cmocka_unit_test(equal_stamps_are_decided_by_value_whatever_the_order),
        cmocka_unit_test(a_series_keeps_only_one_of_float_and_histogram_at_a_time),
        cmocka_unit_test(what_was_hidden_stays_hidden_until_it_is_forgotten),
        cmocka_unit_test(a_series_lives_as_long_as_it_has_histograms),
        cmocka_unit_test(what_no_histogram_can_be_is_refused),
        cmocka_unit_test(large_histograms_make_small_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
