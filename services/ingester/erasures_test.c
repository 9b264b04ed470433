/* Erasures in a partition's log, against the rule: what stands before one is erased, and what comes behind it stamped before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "codec/frame.h"
#include "codec/histogram.h"
#include "ingester/store.h"

static const mrd_time_ms T0 = 1700000000000;

enum { SERIES = 12, STEPS = 200, LOG_MAX = 400, ROUNDS = 40 };

/* ---- a log in memory ---- */

struct entry {
    struct mrd_buf message;
    mrd_hlc hlc;
    bool is_erasure;
    size_t pick; /* of an erasure: which series */
    mrd_time_ms min_ms;
    mrd_time_ms max_ms;
    bool has[SERIES];    /* of a batch: which series have a sample, an exemplar too, */
    mrd_time_ms time_ms; /* at this time */
};

struct rig {
    struct entry log[LOG_MAX];
    size_t count;
    struct mrd_batch_builder *builder;
    uint64_t number;
    uint64_t random;
};

static uint64_t below(struct rig *rig, uint64_t bound)
{
    uint64_t z = (rig->random += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return (z ^ (z >> 31)) % bound;
}

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    assert_non_null(rig);
    rig->builder = mrd_batch_builder_create();
    *state = rig;
    return 0;
}

static void rig_clear(struct rig *rig)
{
    for (size_t i = 0; i < rig->count; i++) {
        mrd_buf_fini(&rig->log[i].message);
    }
    memset(rig->log, 0, sizeof(rig->log));
    rig->count = 0;
    rig->number = 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    rig_clear(rig);
    mrd_batch_builder_destroy(&rig->builder);
    free(rig);
    return 0;
}

static struct mrd_bytes labels_of(size_t series, struct mrd_buf *out)
{
    char value[32];
    (void)snprintf(value, sizeof(value), "series-%zu", series);
    const struct mrd_label items[] = {
        {MRD_BYTES("__name__"), mrd_bytes_of(value)                              },
        {MRD_BYTES("odd"),      series % 2 == 1 ? MRD_BYTES("1") : MRD_BYTES("0")}
    };
    mrd_buf_clear(out);
    mrd_labels_encode((struct mrd_labels){items, 2}, out);
    return mrd_buf_view(out);
}

static struct entry *next_entry(struct rig *rig, mrd_hlc hlc)
{
    assert_true(rig->count < LOG_MAX);
    struct entry *entry = &rig->log[rig->count++];
    entry->hlc = hlc;
    mrd_batch_builder_reset(rig->builder);
    return entry;
}

static void finish(struct rig *rig, struct entry *entry, struct mrd_bytes instance, uint64_t number)
{
    const struct mrd_batch_header header = {.region = MRD_BYTES("r"),
                                            .residency_class = MRD_BYTES("c"),
                                            .instance = instance,
                                            .epoch = mrd_batch_epoch_of(T0),
                                            .number = number,
                                            .hlc = entry->hlc};
    mrd_batch_builder_finish(rig->builder, &header, MRD_BATCH_NONE, &entry->message);
}

/* A series with a number that ends in 5 has histograms, all others floats; all of them exemplars. */
static void add_series(struct rig *rig, size_t series, uint32_t tenant, mrd_time_ms time_ms)
{
    struct mrd_buf labels = {0};
    const struct mrd_bytes canonical = labels_of(series, &labels);
    const struct mrd_exemplar exemplar = {time_ms, 1, MRD_BYTES_NONE};
    mrd_batch_builder_announce(
        rig->builder, &(struct mrd_batch_announcement){
                          .reference = (uint32_t)series,
                          .tenant = tenant,
                          .id = mrd_series_id_of(mrd_tenant_seed(MRD_BYTES("t")), canonical),
                          .labels = canonical});
    if (series % 10 == 5) {
        const struct mrd_histogram histogram = {.count = {.integer = 1}, .sum = 1};
        mrd_batch_builder_histogram(rig->builder, tenant, (uint32_t)series, time_ms, 0, &histogram);
    } else {
        mrd_batch_builder_row(rig->builder, tenant, (uint32_t)series, time_ms, 1);
    }
    mrd_batch_builder_exemplar(rig->builder, tenant, (uint32_t)series, &exemplar);
    mrd_buf_fini(&labels);
}

static void log_batch(struct rig *rig, mrd_hlc hlc, mrd_time_ms time_ms, uint64_t series_mask)
{
    struct entry *entry = next_entry(rig, hlc);
    entry->time_ms = time_ms;
    const uint32_t tenant = mrd_batch_builder_tenant(rig->builder, MRD_BYTES("t"));
    for (size_t i = 0; i < SERIES; i++) {
        entry->has[i] = (series_mask >> i & 1) != 0;
        if (entry->has[i]) {
            add_series(rig, i, tenant, time_ms);
        }
    }
    finish(rig, entry, MRD_BYTES("w"), ++rig->number);
}

/* The log has an earlier message again, behind all others: a copy. */
static void log_copy(struct rig *rig, size_t of)
{
    struct entry *entry = next_entry(rig, rig->log[of].hlc);
    struct mrd_buf message = {0};
    mrd_buf_append_bytes(&message, mrd_buf_view(&rig->log[of].message));
    *entry = rig->log[of];
    entry->message = message;
}

static const struct {
    enum mrd_match_type type;
    const char *name;
    const char *value;
} picks[] = {
    {MRD_MATCH_EQ,  "__name__", "series-3"    },
    {MRD_MATCH_EQ,  "odd",      "1"           },
    {MRD_MATCH_RE,  "__name__", "series-[4-9]"},
    {MRD_MATCH_NRE, "__name__", "series-1.*"  },
};

static bool picked(size_t pick, size_t series)
{
    switch (pick) {
    case 0:
        return series == 3;
    case 1:
        return series % 2 == 1;
    case 2:
        return series >= 4 && series <= 9;
    default:
        return series != 1 && series < 10;
    }
}

static struct mrd_buf erasure_of(mrd_hlc hlc, size_t pick, mrd_time_ms min_ms, mrd_time_ms max_ms)
{
    struct mrd_matcher matcher;
    assert_int_equal(mrd_matcher_init(&matcher, picks[pick].type, mrd_bytes_of(picks[pick].name),
                                      mrd_bytes_of(picks[pick].value), NULL),
                     MRD_OK);
    const struct mrd_erasure_selector selector = {&matcher, 1};
    const struct mrd_erasure erasure = {
        .id = {hlc, pick},
        .tenant = MRD_BYTES("t"),
        .hlc = hlc,
        .time_min_ms = min_ms,
        .time_max_ms = max_ms,
        .selectors = &selector,
        .selector_count = 1
    };
    struct mrd_buf encoded = {0};
    assert_int_equal(mrd_erasure_encode(&erasure, &encoded, NULL), MRD_OK);
    mrd_matcher_fini(&matcher);
    return encoded;
}

static void log_erasure(struct rig *rig, mrd_hlc hlc, size_t pick, mrd_time_ms min_ms,
                        mrd_time_ms max_ms)
{
    struct entry *entry = next_entry(rig, hlc);
    struct mrd_buf encoded = erasure_of(hlc, pick, min_ms, max_ms);
    char instance[32];
    (void)snprintf(instance, sizeof(instance), "erasure-%zu", rig->count);
    *entry = (struct entry){
        .hlc = hlc, .is_erasure = true, .pick = pick, .min_ms = min_ms, .max_ms = max_ms};
    (void)mrd_batch_builder_tenant(rig->builder, MRD_BYTES("t"));
    mrd_batch_builder_erasure(rig->builder, mrd_buf_view(&encoded));
    finish(rig, entry, mrd_bytes_of(instance), 1);
    mrd_buf_fini(&encoded);
}

/* ---- what must be there ---- */

/* Whether an erasure has what entry `at` wrote of a series. */
static bool is_erased(const struct rig *rig, size_t at, size_t series)
{
    const struct entry *entry = &rig->log[at];
    for (size_t i = 0; i < rig->count; i++) {
        const struct entry *erasure = &rig->log[i];
        if (erasure->is_erasure && picked(erasure->pick, series) &&
            entry->time_ms >= erasure->min_ms && entry->time_ms <= erasure->max_ms &&
            (at < i || entry->hlc < erasure->hlc)) {
            return true;
        }
    }
    return false;
}

/* Every batch has a time of its own, but for copies. */
static bool is_there(const struct rig *rig, size_t series, mrd_time_ms time_ms)
{
    for (size_t i = 0; i < rig->count; i++) {
        const struct entry *entry = &rig->log[i];
        if (!entry->is_erasure && entry->time_ms == time_ms && entry->has[series] &&
            !is_erased(rig, i, series)) {
            return true;
        }
    }
    return false;
}

/* ---- what is there ---- */

struct found {
    size_t series;
    size_t count;
    mrd_time_ms times_ms[LOG_MAX];
};

static void read_chunk(const struct mrd_chunk *chunk, struct found *out)
{
    static mrd_time_ms times[MRD_CHUNK_SAMPLES_MAX];
    static mrd_time_ms starts[MRD_CHUNK_SAMPLES_MAX];
    static double values[MRD_CHUNK_SAMPLES_MAX];
    static struct mrd_histogram histograms[MRD_CHUNK_SAMPLES_MAX];
    if (chunk->encoding == MRD_CHUNK_HISTOGRAMS) {
        struct mrd_arena *arena = mrd_arena_create("test", 16 << 20);
        struct mrd_histogram_arrays arrays = {times, starts, histograms, false};
        assert_int_equal(
            mrd_histogram_chunk_decode(chunk->bytes, chunk->count, arena, &arrays, NULL), MRD_OK);
        mrd_arena_destroy(&arena);
    } else {
        assert_int_equal(
            mrd_chunk_decode(chunk->encoding, chunk->bytes, chunk->count, times, values, NULL),
            MRD_OK);
    }
    for (size_t i = 0; i < chunk->count; i++) {
        out->times_ms[out->count++] = times[i];
    }
}

static void find(struct ing_store *store, size_t series, struct found *out)
{
    char value[32];
    (void)snprintf(value, sizeof(value), "series-%zu", series);
    struct mrd_matcher matcher;
    assert_int_equal(
        mrd_matcher_init(&matcher, MRD_MATCH_EQ, MRD_BYTES("__name__"), mrd_bytes_of(value), NULL),
        MRD_OK);
    const struct mrd_head_query query = {.tenant = MRD_BYTES("t"),
                                         .matchers = &matcher,
                                         .matcher_count = 1,
                                         .time_min_ms = INT64_MIN,
                                         .time_max_ms = INT64_MAX};
    struct mrd_head_cursor *cursor = NULL;
    struct mrd_head_selection *selection = NULL;
    *out = (struct found){0};
    assert_int_equal(mrd_head_select(ing_store_head(store), &query, &cursor, NULL), MRD_OK);
    assert_int_equal(mrd_head_cursor_next(cursor, SIZE_MAX, &selection, NULL), MRD_OK);
    struct mrd_reader reader = {0};
    if (selection != NULL) {
        reader = mrd_reader_of(mrd_buf_view(&selection->frames));
    }
    while (mrd_reader_left(&reader) > 0) {
        struct mrd_frame frame;
        struct mrd_chunk chunk;
        assert_int_equal(mrd_frame_read(&reader, &frame, NULL), MRD_OK);
        out->series++;
        while (mrd_frame_read_chunk(&frame, &chunk)) {
            read_chunk(&chunk, out);
        }
    }
    mrd_head_selection_destroy(&selection);
    mrd_head_cursor_destroy(&cursor);
    mrd_matcher_fini(&matcher);
}

static void on_exemplar(void *context, struct mrd_bytes labels, const struct mrd_exemplar *exemplar)
{
    (void)labels;
    struct found *found = context;
    found->times_ms[found->count++] = exemplar->time_ms;
}

static void find_exemplars(struct ing_store *store, size_t series, struct found *out)
{
    char value[32];
    (void)snprintf(value, sizeof(value), "series-%zu", series);
    struct mrd_matcher matcher;
    assert_int_equal(
        mrd_matcher_init(&matcher, MRD_MATCH_EQ, MRD_BYTES("__name__"), mrd_bytes_of(value), NULL),
        MRD_OK);
    const struct ing_exemplar_query query = {.tenant = MRD_BYTES("t"),
                                             .matchers = &matcher,
                                             .matcher_count = 1,
                                             .time_min_ms = INT64_MIN,
                                             .time_max_ms = INT64_MAX};
    struct mrd_arena *arena = mrd_arena_create("test", 1 << 20);
    *out = (struct found){0};
    assert_int_equal(
        ing_exemplars_select(ing_store_exemplars(store), &query, arena, on_exemplar, out, NULL),
        MRD_OK);
    mrd_arena_destroy(&arena);
    mrd_matcher_fini(&matcher);
}

static bool contains(const struct found *found, mrd_time_ms time_ms)
{
    for (size_t i = 0; i < found->count; i++) {
        if (found->times_ms[i] == time_ms) {
            return true;
        }
    }
    return false;
}

static void compare(const struct rig *rig, struct ing_store *store)
{
    for (size_t series = 0; series < SERIES; series++) {
        static struct found found;
        size_t wanted = 0;
        find(store, series, &found);
        for (size_t i = 0; i < rig->count; i++) {
            const struct entry *entry = &rig->log[i];
            if (entry->is_erasure || !entry->has[series]) {
                continue;
            }
            const bool want = is_there(rig, series, entry->time_ms);
            if (contains(&found, entry->time_ms) != want) {
                fail_msg("series %zu at %ld (entry %zu): wanted %d", series,
                         (long)(entry->time_ms - T0), i, want);
            }
            wanted += want ? 1 : 0;
        }
        assert_int_equal(found.series, wanted > 0 ? 1 : 0);
        /* Of exemplars only those after the newest are taken, so some may be missing; erased ones are not there. */
        find_exemplars(store, series, &found);
        for (size_t i = 0; i < found.count; i++) {
            assert_true(is_there(rig, series, found.times_ms[i]));
        }
    }
}

static struct ing_store *store_of(struct ing_budget *budget)
{
    const struct ing_store_options options = {
        .bucket_ms = 20000, .limits = {.exemplars_max = 100}, .budget = budget};
    struct ing_store *store = NULL;
    assert_int_equal(ing_store_create(&options, &store, NULL), MRD_OK);
    return store;
}

static void apply(struct rig *rig, struct ing_store *store, size_t at)
{
    const struct ing_position position = {.sequence = at + 1, .stored_ms = T0 + (mrd_time_ms)at};
    struct mrd_error err = {0};
    if (ing_store_apply(store, mrd_buf_view(&rig->log[at].message), &position, &err) != MRD_OK) {
        fail_msg("entry %zu: %s", at, err.text);
    }
}

/* Reads the log from its beginning. */
static void replay_and_compare(struct rig *rig)
{
    struct ing_budget budget = {0};
    struct ing_store *store = store_of(&budget);
    for (size_t i = 0; i < rig->count; i++) {
        apply(rig, store, i);
    }
    compare(rig, store);
    ing_store_destroy(&store);
}

/* ---- tests ---- */

static mrd_hlc at_step(uint64_t step) { return mrd_hlc_make(T0, 0) + step * 16; }

static void what_stands_before_is_erased_and_what_is_written_later_lives(void **state)
{
    struct rig *rig = *state;
    const uint64_t all = (1U << SERIES) - 1;
    log_batch(rig, at_step(1), T0, all);
    log_batch(rig, at_step(2), T0 + 1000, all);
    log_erasure(rig, at_step(3), 1, T0, T0 + 5000);
    log_batch(rig, at_step(4), T0 + 2000, all);
    replay_and_compare(rig);
    assert_false(is_there(rig, 3, T0));
    assert_true(is_there(rig, 4, T0));
    assert_true(is_there(rig, 3, T0 + 2000));
}

static void copies_and_late_batches_are_erased_too(void **state)
{
    struct rig *rig = *state;
    const uint64_t all = (1U << SERIES) - 1;
    log_batch(rig, at_step(1), T0, all);
    log_erasure(rig, at_step(5), 2, INT64_MIN, INT64_MAX);
    log_copy(rig, 0);
    log_batch(rig, at_step(4), T0 + 1000, all);
    replay_and_compare(rig);
    assert_false(is_there(rig, 5, T0));
    assert_false(is_there(rig, 6, T0 + 1000));
    assert_true(is_there(rig, 2, T0 + 1000));
}

static uint64_t series_of(struct ing_store *store)
{
    uint64_t series = 0;
    assert_int_equal(
        mrd_head_tenant_series(ing_store_head(store), MRD_BYTES("t"), NULL, &series, NULL), MRD_OK);
    return series;
}

static void an_erased_series_is_in_no_list(void **state)
{
    struct rig *rig = *state;
    struct ing_budget budget = {0};
    struct ing_store *store = store_of(&budget);
    log_batch(rig, at_step(1), T0, (1U << SERIES) - 1);
    log_erasure(rig, at_step(2), 0, INT64_MIN, INT64_MAX);
    apply(rig, store, 0);
    assert_int_equal(series_of(store), SERIES);
    apply(rig, store, 1);
    assert_int_equal(series_of(store), SERIES - 1);
    const struct ing_store_figures *figures = ing_store_figures(store);
    assert_int_equal(atomic_load(&figures->erasures), 1);
    assert_int_equal(atomic_load(&figures->samples_erased), 2); /* and an exemplar */
    apply(rig, store, 1);
    assert_int_equal(atomic_load(&figures->erasures), 1); /* known */
    ing_store_destroy(&store);
    assert_int_equal(atomic_load(&budget.used), 0);
}

static void add_random(struct rig *rig, uint64_t *step)
{
    const uint64_t kind = below(rig, 100);
    *step += 1;
    if (kind < 70 || rig->count == 0) {
        /* Mostly in the order of stamps; times in any order. */
        const uint64_t behind = below(rig, 4) == 0 ? below(rig, 20) : 0;
        const mrd_hlc hlc = at_step(*step > behind ? *step - behind : 0);
        const mrd_time_ms time_ms = T0 + (mrd_time_ms)(below(rig, 90) * 1000 + *step);
        log_batch(rig, hlc, time_ms, below(rig, 1U << SERIES) | 1U << below(rig, SERIES));
    } else if (kind < 85) {
        const size_t of = below(rig, rig->count);
        if (!rig->log[of].is_erasure || below(rig, 3) == 0) {
            log_copy(rig, of);
        }
    } else {
        const bool all = below(rig, 3) == 0;
        const mrd_time_ms min_ms = T0 + (mrd_time_ms)(below(rig, 90) * 1000);
        log_erasure(rig, at_step(*step) + 1, below(rig, MRD_ARRAY_LEN(picks)),
                    all ? INT64_MIN : min_ms,
                    all ? INT64_MAX : min_ms + (mrd_time_ms)below(rig, 40000));
    }
}

/* A copied erasure is known, so it erases nothing that stands between the two. */
static void forget_copied_erasures(struct rig *rig)
{
    for (size_t i = 0; i < rig->count; i++) {
        for (size_t k = 0; rig->log[i].is_erasure && k < i; k++) {
            if (rig->log[k].is_erasure && rig->log[k].hlc == rig->log[i].hlc) {
                rig->log[i].min_ms = INT64_MAX;
                rig->log[i].max_ms = INT64_MIN;
            }
        }
    }
}

static void any_log_is_read_by_the_rule_however_often(void **state)
{
    struct rig *rig = *state;
    const char *text = getenv("MRD_TEST_SEED");
    const uint64_t seed = text == NULL ? (uint64_t)time(NULL) : strtoull(text, NULL, 10);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        print_message("MRD_TEST_SEED=%lu\n", (unsigned long)(seed + round));
        rig_clear(rig);
        rig->random = seed + round;
        uint64_t step = 0;
        for (size_t i = 0; i < STEPS; i++) {
            add_random(rig, &step);
        }
        forget_copied_erasures(rig);
        replay_and_compare(rig);
    }
}

/* Position of an entry in a log that was trimmed, at a time of the wall clock. */
static void apply_at(struct rig *rig, struct ing_store *store, size_t at, mrd_time_ms stored_ms,
                     mrd_time_ms unknown_before_ms)
{
    const struct ing_position position = {
        .sequence = at + 1000, .stored_ms = stored_ms, .unknown_before_ms = unknown_before_ms};
    struct mrd_error err = {0};
    assert_int_equal(ing_store_apply(store, mrd_buf_view(&rig->log[at].message), &position, &err),
                     MRD_OK);
}

static bool has_series(struct ing_store *store, size_t series)
{
    struct found found;
    find(store, series, &found);
    return found.count > 0;
}

/* An ingester starts on a log that was trimmed past a request, and meets a copy of what that has: blocks know better (builders have the request from the
 * catalog). What is written as usual shows at once. */
static void what_an_unread_request_may_have_is_left_to_blocks(void **state)
{
    struct rig *rig = *state;
    const mrd_time_ms minute_ms = 60 * 1000;
    const mrd_time_ms hour_ms = 60 * minute_ms;
    for (size_t blocks = 0; blocks < 2; blocks++) {
        struct ing_budget budget = {0};
        struct ing_store *store = store_of(&budget);
        const struct ing_store_figures *figures = ing_store_figures(store);
        const mrd_time_ms long_ago_ms = blocks == 0 ? 0 : T0 - 2 * hour_ms;
        rig_clear(rig);
        log_batch(rig, mrd_hlc_make(T0 - 10, 0), T0, 1 << 1);        /* the first that there is */
        log_batch(rig, mrd_hlc_make(T0 - hour_ms, 0), T0, 1 << 3);   /* late */
        log_batch(rig, mrd_hlc_make(T0 + minute_ms, 0), T0, 1 << 4); /* by a clock that is ahead */
        apply_at(rig, store, 0, T0, long_ago_ms);
        apply_at(rig, store, 1, T0 + 2 * minute_ms, long_ago_ms);
        apply_at(rig, store, 2, T0 + 2 * minute_ms, long_ago_ms);
        assert_true(has_series(store, 1));
        assert_int_equal(has_series(store, 3), blocks == 0);
        assert_true(has_series(store, 4));
        assert_int_equal(atomic_load(&figures->batches_left_out), blocks);
        assert_int_equal(atomic_load(&figures->sequence_first), blocks == 0 ? 1000 : 1002);
        ing_store_destroy(&store);
    }
}

/* Of a log that has been in blocks for long the first entries may stand right behind a request that was trimmed. */
static void what_stands_where_an_old_log_begins_is_left_to_blocks(void **state)
{
    struct rig *rig = *state;
    struct ing_budget budget = {0};
    struct ing_store *store = store_of(&budget);
    const mrd_time_ms now_ms = T0 + (mrd_time_ms)6 * 3600 * 1000;
    log_batch(rig, mrd_hlc_make(T0 - 10, 0), T0, 1 << 1);
    log_batch(rig, mrd_hlc_make(T0 + 90 * 1000, 0), T0, 1 << 3);
    apply_at(rig, store, 0, T0, now_ms);
    apply_at(rig, store, 1, T0 + 90 * 1000, now_ms);
    assert_false(has_series(store, 1));
    assert_true(has_series(store, 3));
    assert_int_equal(atomic_load(&ing_store_figures(store)->sequence_first), 1001);
    ing_store_destroy(&store);
}

/* A log that says what was dropped of it: what is stamped behind that is in the head however old it is and however late it was, and what is stamped before
 * it is not, a moment late or an hour. */
static void of_a_log_that_says_what_it_dropped_nothing_else_is_left_to_blocks(void **state)
{
    struct rig *rig = *state;
    struct ing_budget budget = {0};
    const mrd_time_ms hour_ms = 3600 * 1000;
    for (size_t erased = 0; erased < 2; erased++) {
        struct ing_store *store = store_of(&budget);
        const struct ing_store_figures *figures = ing_store_figures(store);
        rig_clear(rig);
        log_batch(rig, mrd_hlc_make(T0 - 10, 0), T0, 1 << 1);      /* right behind the request */
        log_batch(rig, mrd_hlc_make(T0 + 1, 0), T0, 1 << 3);       /* a moment after it */
        log_batch(rig, mrd_hlc_make(T0 - hour_ms, 0), T0, 1 << 4); /* late */
        log_batch(rig, mrd_hlc_make(T0 + 2, 0), T0, 1 << 7);       /* late, and after it */
        for (size_t i = 0; i < 4; i++) {
            const struct ing_position position = {
                .sequence = i + 1000,
                .stored_ms = i < 2 ? T0 : T0 + hour_ms,
                .erased_known = i == 0,
                .erased = i == 0 && erased == 1 ? mrd_hlc_make(T0, 0) : 0,
                .unknown_before_ms = T0 + 6 * hour_ms /* it was long ago */};
            struct mrd_error err = {0};
            assert_int_equal(
                ing_store_apply(store, mrd_buf_view(&rig->log[i].message), &position, &err),
                MRD_OK);
        }
        assert_int_equal(has_series(store, 1), erased == 0);
        assert_true(has_series(store, 3));
        assert_int_equal(has_series(store, 4), erased == 0);
        assert_true(has_series(store, 7));
        assert_int_equal(atomic_load(&figures->batches_left_out), 2 * erased);
        assert_int_equal(atomic_load(&figures->sequence_first), erased == 0 ? 1000 : 1003);
        ing_store_destroy(&store);
    }
}

/* One that has run all the time forgets requests in the end. */
static void what_a_forgotten_request_may_have_is_left_to_blocks(void **state)
{
    struct rig *rig = *state;
    struct ing_budget budget = {0};
    struct ing_store *store = store_of(&budget);
    const mrd_time_ms day_ms = (mrd_time_ms)24 * 3600 * 1000;
    log_erasure(rig, mrd_hlc_make(T0, 0), 1, INT64_MIN, INT64_MAX);
    log_batch(rig, mrd_hlc_make(T0 + day_ms, 0), T0, 1 << 1);
    log_batch(rig, mrd_hlc_make(T0 - 1, 0), T0, 1 << 3); /* a copy, and so late */
    apply(rig, store, 0);                                /* the first of the log */
    apply_at(rig, store, 1, T0 + day_ms, T0);
    (void)ing_store_tidy(store, T0 + day_ms, 1000, NULL, NULL);
    apply_at(rig, store, 2, T0 + day_ms, T0);
    assert_true(has_series(store, 1));
    assert_false(has_series(store, 3));
    ing_store_destroy(&store);
}

static void bytes_that_are_no_erasure_are_quarantined(void **state)
{
    struct rig *rig = *state;
    struct ing_budget budget = {0};
    struct ing_store *store = store_of(&budget);
    struct entry *entry = next_entry(rig, at_step(1));
    (void)mrd_batch_builder_tenant(rig->builder, MRD_BYTES("t"));
    mrd_batch_builder_erasure(rig->builder, MRD_BYTES("\x01nothing of the kind"));
    finish(rig, entry, MRD_BYTES("e"), 1);
    const struct ing_position position = {.sequence = 1, .stored_ms = T0};
    struct mrd_error err = {0};
    assert_int_equal(ing_store_apply(store, mrd_buf_view(&entry->message), &position, &err),
                     MRD_E_CORRUPT);
    assert_int_equal(atomic_load(&ing_store_figures(store)->batches_quarantined), 1);
    ing_store_destroy(&store);
}

#define ERASURE_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ERASURE_TEST(what_stands_before_is_erased_and_what_is_written_later_lives),
        ERASURE_TEST(copies_and_late_batches_are_erased_too),
        ERASURE_TEST(an_erased_series_is_in_no_list),
        ERASURE_TEST(any_log_is_read_by_the_rule_however_often),
        ERASURE_TEST(what_an_unread_request_may_have_is_left_to_blocks),
        ERASURE_TEST(what_stands_where_an_old_log_begins_is_left_to_blocks),
        ERASURE_TEST(of_a_log_that_says_what_it_dropped_nothing_else_is_left_to_blocks),
        ERASURE_TEST(what_a_forgotten_request_may_have_is_left_to_blocks),
        ERASURE_TEST(bytes_that_are_no_erasure_are_quarantined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
