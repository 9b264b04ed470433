/* tiers_rig.h: for tests of tiers: random series in one source, and the same cut up at random over a head and blocks,
 * overlapping, twice, with older values in the older places, series only here or there.
 *
 * Include it once in a test program, after cmocka.h.
 */
#ifndef MRD_PROMQLTEST_TIERS_RIG_H
#define MRD_PROMQLTEST_TIERS_RIG_H

#include <stdlib.h>

#include "codec/resets.h"
#include "promql/tiers.h"
#include "promqltest/answers.h"
#include "promqltest/random_queries.h"

enum { BLOCKS_MAX = 4, SEGMENTS_MAX = 4 };

static inline size_t below(size_t limit) { return mrd_random_below(limit); }
static inline bool one_in(size_t n) { return below(n) == 0; }

/* ---- a region in memory: everything in one source, and the same in parts ---- */

struct parts {
    struct mrd_memory_source *whole;
    struct mrd_memory_source *head;
    struct mrd_memory_source *blocks[BLOCKS_MAX]; /* the oldest first */
    size_t block_count;
    mrd_time_ms head_from_ms; /* the head has all that is not older */
    struct mrd_source block_source;
    struct mrd_tiers tiers;
    struct mrd_source source;
    size_t asked_blocks;
    size_t cuts; /* in time: every other one leaves all to the head */
};

static inline enum mrd_status needs_blocks(void *context, const struct mrd_select *select,
                                           const struct mrd_query_scope *scope, bool *out_needed,
                                           struct mrd_error *err)
{
    struct parts *parts = context;
    (void)scope;
    (void)err;
    *out_needed = select->min_ms < parts->head_from_ms;
    parts->asked_blocks += *out_needed ? 1 : 0;
    return MRD_OK;
}

static inline void blocks_set_close(struct mrd_source_set *set)
{
    struct mrd_series_merge *merge = (struct mrd_series_merge *)set;
    mrd_series_merge_destroy(&merge);
}

static inline enum mrd_status blocks_open(void *context, const struct mrd_select *select,
                                          const struct mrd_query_scope *scope,
                                          struct mrd_source_set **out_set, struct mrd_error *err)
{
    struct parts *parts = context;
    struct mrd_series_input inputs[BLOCKS_MAX];
    const struct mrd_series_merge_options options = {.find_resets = mrd_histograms_find_resets};
    for (size_t i = 0; i < parts->block_count; i++) {
        const struct mrd_source *block = mrd_memory_source_get(parts->blocks[i]);
        inputs[i] = (struct mrd_series_input){NULL, block->next, block->close};
        const enum mrd_status status =
            block->open(block->context, select, scope, &inputs[i].set, err);
        if (status != MRD_OK) {
            struct mrd_series_merge *opened = mrd_series_merge_create(inputs, i, &options);
            mrd_series_merge_destroy(&opened);
            return status;
        }
    }
    *out_set =
        (struct mrd_source_set *)mrd_series_merge_create(inputs, parts->block_count, &options);
    return MRD_OK;
}

static inline enum mrd_status blocks_next(struct mrd_source_set *set, struct mrd_source_series *out,
                                          bool *out_more, struct mrd_error *err)
{
    return mrd_series_merge_next((struct mrd_series_merge *)set, out, out_more, err);
}

/* The lists of one block only: the API's questions are tested with one. */
static inline enum mrd_status blocks_label_names(void *context, const struct mrd_label_query *query,
                                                 const struct mrd_query_scope *scope,
                                                 struct mrd_texts *out, struct mrd_error *err)
{
    const struct mrd_source *block = mrd_memory_source_get(((struct parts *)context)->blocks[0]);
    return block->label_names(block->context, query, scope, out, err);
}

static inline enum mrd_status blocks_label_values(void *context, struct mrd_bytes name,
                                                  const struct mrd_label_query *query,
                                                  const struct mrd_query_scope *scope,
                                                  struct mrd_texts *out, struct mrd_error *err)
{
    const struct mrd_source *block = mrd_memory_source_get(((struct parts *)context)->blocks[0]);
    return block->label_values(block->context, name, query, scope, out, err);
}

static inline enum mrd_status blocks_series(void *context, const struct mrd_label_query *query,
                                            const struct mrd_query_scope *scope,
                                            struct mrd_label_sets *out, struct mrd_error *err)
{
    const struct mrd_source *block = mrd_memory_source_get(((struct parts *)context)->blocks[0]);
    return block->series(block->context, query, scope, out, err);
}

static inline struct parts *parts_create(void)
{
    struct parts *parts = calloc(1, sizeof(*parts));
    assert_non_null(parts);
    parts->whole = mrd_memory_source_create();
    parts->head = mrd_memory_source_create();
    for (size_t i = 0; i < BLOCKS_MAX; i++) {
        parts->blocks[i] = mrd_memory_source_create();
    }
    parts->block_source = (struct mrd_source){.context = parts,
                                              .open = blocks_open,
                                              .next = blocks_next,
                                              .close = blocks_set_close,
                                              .label_names = blocks_label_names,
                                              .label_values = blocks_label_values,
                                              .series = blocks_series};
    parts->tiers = (struct mrd_tiers){.head = mrd_memory_source_get(parts->head),
                                      .blocks = &parts->block_source,
                                      .needs_blocks = needs_blocks,
                                      .context = parts,
                                      .merge = {.find_resets = mrd_histograms_find_resets}};
    parts->source = mrd_tiers_source(&parts->tiers);
    return parts;
}

static inline void parts_destroy(struct parts **parts)
{
    mrd_memory_source_destroy(&(*parts)->whole);
    mrd_memory_source_destroy(&(*parts)->head);
    for (size_t i = 0; i < BLOCKS_MAX; i++) {
        mrd_memory_source_destroy(&(*parts)->blocks[i]);
    }
    free(*parts);
    *parts = NULL;
}

static inline void parts_arrange(struct parts *parts, uint32_t segments, uint64_t salt)
{
    struct mrd_memory_layout layout = {.segments = segments, .salt = salt, .in_order = true};
    mrd_memory_source_arrange(parts->whole, &layout);
    for (size_t i = 0; i < BLOCKS_MAX; i++) {
        mrd_memory_source_arrange(parts->blocks[i], &layout);
    }
    layout.pushes = true;
    mrd_memory_source_arrange(parts->head, &layout);
}

static inline size_t open_sets(const struct parts *parts)
{
    size_t count =
        mrd_memory_source_open_sets(parts->whole) + mrd_memory_source_open_sets(parts->head);
    for (size_t i = 0; i < BLOCKS_MAX; i++) {
        count += mrd_memory_source_open_sets(parts->blocks[i]);
    }
    return count;
}

/* ---- cutting up ---- */

/* One sample or histogram of a series. */
struct item {
    struct mrd_labels labels;
    mrd_time_ms time_ms;
    mrd_time_ms start_ms;
    double value;
    const struct mrd_float_histogram *histogram; /* NULL: the value */
};

static inline void put(struct mrd_memory_source *to, const struct item *item)
{
    if (item->histogram == NULL) {
        mrd_memory_source_put(to, item->labels, (struct mrd_sample){item->time_ms, item->value});
    } else {
        assert_true(
            mrd_memory_source_put_histogram(to, item->labels, item->time_ms, item->histogram));
    }
    if (item->start_ms != 0) {
        assert_true(mrd_memory_source_start(to, item->labels, item->time_ms, item->start_ms));
    }
}

/* A value that was overwritten: another, or another kind. */
static inline struct item outdated(const struct item *item)
{
    struct item old = *item;
    old.value = (double)below(1000);
    old.start_ms = one_in(3) ? item->time_ms - 1 : 0;
    old.histogram = one_in(2) ? NULL : item->histogram;
    return old;
}

enum style { CUT_IN_TIME, ANYWHERE, SERIES_APART, STYLES };

/* Puts an item where the head, or the block that counts for it, has it; and older copies into older places. */
static inline void spread(struct parts *parts, const struct item *item, enum style style)
{
    struct mrd_memory_source *places[BLOCKS_MAX + 1];
    const size_t count = parts->block_count + 1;
    memcpy(places, parts->blocks, sizeof(parts->blocks));
    places[count - 1] = parts->head;
    size_t winner = below(count);
    if (style == CUT_IN_TIME) {
        winner =
            item->time_ms >= parts->head_from_ms
                ? count - 1
                : (size_t)(item->time_ms * (mrd_time_ms)parts->block_count / parts->head_from_ms);
    } else if (style == SERIES_APART) {
        winner = (size_t)(mrd_labels_hash(item->labels) % count);
    }
    put(places[winner], item);
    for (size_t older = 0; older < winner; older++) {
        if (one_in(4)) {
            const struct item old = one_in(2) ? *item : outdated(item);
            put(places[older], &old);
        }
    }
}

static inline void cut_series(struct parts *parts, const struct mrd_source_series *series,
                              enum style style, struct mrd_arena *arena)
{
    size_t h = 0;
    for (size_t i = 0; i < series->samples.count || h < series->histograms.count;) {
        const bool histogram = i == series->samples.count ||
                               (h < series->histograms.count &&
                                series->histograms.times_ms[h] <= series->samples.times_ms[i]);
        const mrd_time_ms *starts_ms =
            histogram ? series->histograms.start_times_ms : series->samples.start_times_ms;
        const size_t at = histogram ? h++ : i++;
        struct mrd_float_histogram *decoded = NULL;
        if (histogram) {
            assert_int_equal(
                mrd_float_histogram_from(&series->histograms.items[at], arena, &decoded, NULL),
                MRD_OK);
        }
        const struct item item = {
            .labels = series->labels,
            .time_ms = histogram ? series->histograms.times_ms[at] : series->samples.times_ms[at],
            .start_ms = starts_ms == NULL ? 0 : starts_ms[at],
            .value = histogram ? 0 : series->samples.values[at],
            .histogram = decoded,
        };
        spread(parts, &item, style);
    }
}

/* Cuts up what `whole` has. */
static inline void cut_up(struct parts *parts, enum style style)
{
    const struct mrd_source *whole = mrd_memory_source_get(parts->whole);
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("cut", SIZE_MAX);
    const struct mrd_query_scope scope = {.arena = arena};
    const struct mrd_select all = {.min_ms = -((mrd_time_ms)1 << 50),
                                   .max_ms = (mrd_time_ms)1 << 50};
    struct mrd_source_set *set = NULL;
    struct mrd_source_series series;
    bool more = true;
    mrd_memory_source_clear(parts->head);
    for (size_t i = 0; i < BLOCKS_MAX; i++) {
        mrd_memory_source_clear(parts->blocks[i]);
    }
    mrd_memory_source_arrange(parts->whole, &(struct mrd_memory_layout){.segments = 1});
    parts->block_count = 1 + below(BLOCKS_MAX);
    parts->head_from_ms = INT64_MAX;
    if (style == CUT_IN_TIME) {
        parts->head_from_ms = parts->cuts++ % 2 == 0
                                  ? 1
                                  : 1 + (mrd_time_ms)below(MRD_RANDOM_SAMPLES * MRD_RANDOM_STEP_MS);
    }
    assert_int_equal(whole->open(whole->context, &all, &scope, &set, NULL), MRD_OK);
    while (whole->next(set, &series, &more, NULL) == MRD_OK && more) {
        cut_series(parts, &series, style, arena);
    }
    whole->close(set);
}

/* ---- the tests ---- */

struct asked {
    struct mrd_promql_request request;
    struct mrd_promql_options options;
};

static inline void ask(const struct mrd_source *source, const struct asked *asked,
                       struct mrd_arena *arena, struct mrd_answer *out)
{
    *out = (struct mrd_answer){0};
    out->status = mrd_promql_query(&asked->options, &asked->request, source, NULL, arena,
                                   &out->result, &out->err);
}

/* After a float, a source in memory knows nothing of resets, as Prometheus' storage does; where pieces are joined, histograms
 * are compared with histograms. It changes no value and no warning. */
static inline void forget_hints(struct mrd_answer *answer)
{
    for (size_t i = 0; answer->status == MRD_OK && i < answer->result.series_count; i++) {
        struct mrd_promql_series *series =
            (struct mrd_promql_series *)(uintptr_t)&answer->result.series[i];
        for (size_t p = 0; series->histograms != NULL && p < series->count; p++) {
            struct mrd_float_histogram *histogram =
                (struct mrd_float_histogram *)(uintptr_t)series->histograms[p];
            if (histogram != NULL && histogram->reset == MRD_HISTOGRAM_NO_RESET) {
                histogram->reset = MRD_HISTOGRAM_RESET_UNKNOWN;
            }
        }
    }
}

static size_t with_points;
static size_t with_errors;

static inline void compare_tiers(struct parts *parts, const struct asked *asked, enum style style)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("one", SIZE_MAX);
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *other = mrd_arena_create("other", SIZE_MAX);
    struct mrd_answer one;
    struct mrd_answer two;
    ask(mrd_memory_source_get(parts->whole), asked, arena, &one);
    ask(&parts->source, asked, other, &two);
    assert_int_equal(open_sets(parts), 0);
    forget_hints(&one);
    forget_hints(&two);
    const char *what = mrd_answers_compare(&one, &two);
    if (what != NULL) {
        fail_msg(
            "%s differ: %.*s, %lld to %lld ms step %lld, style %d, %zu blocks, head from %lld; "
            "errors \"%s\" and \"%s\"",
            what, MRD_FMT(asked->request.text), (long long)asked->request.start_ms,
            (long long)asked->request.end_ms, (long long)asked->request.step_ms, style,
            parts->block_count, (long long)parts->head_from_ms, one.err.text, two.err.text);
    }
    with_errors += one.status != MRD_OK;
    with_points += one.status == MRD_OK && one.result.series_count > 0;
}

/* Whatever the seed: the head's fragment where blocks are not needed, else blocks; and an answer that is known. `whole` has
 * what mrd_random_certain puts. */
static inline void compare_certain(struct parts *parts, enum style style)
{
    static const struct mrd_promql_request request = {
        .text = MRD_BYTES("sum by (job) (certain)"), .start_ms = 400000, .instant = true};
    const struct asked asked = {.request = request};
    const size_t fragments = mrd_memory_source_fragments(parts->head);
    const size_t asked_blocks = parts->asked_blocks;
    const size_t points = with_points;
    const bool by_head = parts->head_from_ms <= 400000 - 5 * 60000 + 1;
    compare_tiers(parts, &asked, style);
    assert_int_equal(with_points, points + 1);
    assert_int_equal(mrd_memory_source_fragments(parts->head), fragments + (by_head ? 1 : 0));
    assert_int_equal(parts->asked_blocks > asked_blocks, !by_head);
}

#endif
