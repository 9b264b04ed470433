/* Tiers: however the same samples are spread over a head and blocks, the answer is that of all in one source, to the last
 * bit. Random series are cut up at random: overlapping, twice, with older values in the older places, series only
 * here or there. A failure prints what it takes to see it again. */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "promql/tiers.h"
#include "promqltest/answers.h"
#include "promqltest/random_queries.h"
#include "promqltest/script.h"
#include "promqltest/script_histogram.h"
#include "promqltest/script_target.h"

enum { ROUNDS = 80, QUERIES_PER_ROUND = 40, BLOCKS_MAX = 4, SEGMENTS_MAX = 4 };

static size_t below(size_t limit) { return mrd_random_below(limit); }
static bool one_in(size_t n) { return below(n) == 0; }

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
};

static enum mrd_status needs_blocks(void *context, mrd_time_ms min_ms, mrd_time_ms max_ms,
                                    bool *out_needed, struct mrd_error *err)
{
    struct parts *parts = context;
    (void)max_ms;
    (void)err;
    *out_needed = min_ms < parts->head_from_ms;
    parts->asked_blocks += *out_needed ? 1 : 0;
    return MRD_OK;
}

static void blocks_set_close(struct mrd_source_set *set)
{
    struct mrd_series_merge *merge = (struct mrd_series_merge *)set;
    mrd_series_merge_destroy(&merge);
}

static enum mrd_status blocks_open(void *context, const struct mrd_select *select,
                                   const struct mrd_query_scope *scope,
                                   struct mrd_source_set **out_set, struct mrd_error *err)
{
    struct parts *parts = context;
    struct mrd_series_input inputs[BLOCKS_MAX];
    const struct mrd_series_merge_options options = {0};
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

static enum mrd_status blocks_next(struct mrd_source_set *set, struct mrd_source_series *out,
                                   bool *out_more, struct mrd_error *err)
{
    return mrd_series_merge_next((struct mrd_series_merge *)set, out, out_more, err);
}

/* The lists of one block only: the API's questions are tested with one. */
static enum mrd_status blocks_label_names(void *context, const struct mrd_label_query *query,
                                          const struct mrd_query_scope *scope,
                                          struct mrd_texts *out, struct mrd_error *err)
{
    const struct mrd_source *block = mrd_memory_source_get(((struct parts *)context)->blocks[0]);
    return block->label_names(block->context, query, scope, out, err);
}

static enum mrd_status blocks_label_values(void *context, struct mrd_bytes name,
                                           const struct mrd_label_query *query,
                                           const struct mrd_query_scope *scope,
                                           struct mrd_texts *out, struct mrd_error *err)
{
    const struct mrd_source *block = mrd_memory_source_get(((struct parts *)context)->blocks[0]);
    return block->label_values(block->context, name, query, scope, out, err);
}

static enum mrd_status blocks_series(void *context, const struct mrd_label_query *query,
                                     const struct mrd_query_scope *scope,
                                     struct mrd_label_sets *out, struct mrd_error *err)
{
    const struct mrd_source *block = mrd_memory_source_get(((struct parts *)context)->blocks[0]);
    return block->series(block->context, query, scope, out, err);
}

static struct parts *parts_create(void)
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
                                      .context = parts};
    parts->source = mrd_tiers_source(&parts->tiers);
    return parts;
}

static void parts_destroy(struct parts **parts)
{
    mrd_memory_source_destroy(&(*parts)->whole);
    mrd_memory_source_destroy(&(*parts)->head);
    for (size_t i = 0; i < BLOCKS_MAX; i++) {
        mrd_memory_source_destroy(&(*parts)->blocks[i]);
    }
    free(*parts);
    *parts = NULL;
}

static void parts_arrange(struct parts *parts, uint32_t segments, uint64_t salt)
{
    struct mrd_memory_layout layout = {.segments = segments, .salt = salt, .in_order = true};
    mrd_memory_source_arrange(parts->whole, &layout);
    for (size_t i = 0; i < BLOCKS_MAX; i++) {
        mrd_memory_source_arrange(parts->blocks[i], &layout);
    }
    layout.pushes = true;
    mrd_memory_source_arrange(parts->head, &layout);
}

static size_t open_sets(const struct parts *parts)
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

static void put(struct mrd_memory_source *to, const struct item *item)
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
static struct item outdated(const struct item *item)
{
    struct item old = *item;
    old.value = (double)below(1000);
    old.start_ms = one_in(3) ? item->time_ms - 1 : 0;
    old.histogram = one_in(2) ? NULL : item->histogram;
    return old;
}

enum style { CUT_IN_TIME, ANYWHERE, SERIES_APART, STYLES };

/* Puts an item where the head, or the block that counts for it, has it; and older copies into older places. */
static void spread(struct parts *parts, const struct item *item, enum style style)
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

static void cut_series(struct parts *parts, const struct mrd_source_series *series,
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
static void cut_up(struct parts *parts, enum style style)
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
    parts->head_from_ms = style == CUT_IN_TIME
                              ? 1 + (mrd_time_ms)below(MRD_RANDOM_SAMPLES * MRD_RANDOM_STEP_MS)
                              : INT64_MAX;
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

static void ask(const struct mrd_source *source, const struct asked *asked, struct mrd_arena *arena,
                struct mrd_answer *out)
{
    *out = (struct mrd_answer){0};
    out->status = mrd_promql_query(&asked->options, &asked->request, source, NULL, arena,
                                   &out->result, &out->err);
}

/* What sources know of resets is not what sources in pieces know; it changes no value. */
static void forget_hints(struct mrd_answer *answer)
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

static void compare_tiers(struct parts *parts, const struct asked *asked, enum style style)
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

static void however_samples_are_spread_the_answer_is_the_same(void **state)
{
    (void)state;
    const char *seed = getenv("MRD_TEST_SEED");
    mrd_random_seed(seed == NULL ? 20241126 : strtoull(seed, NULL, 10) | 1);
    struct parts *parts = parts_create();
    for (size_t round = 0; round < ROUNDS; round++) {
        const enum style style = (enum style)(round % STYLES);
        mrd_random_fill(parts->whole);
        cut_up(parts, style);
        parts_arrange(parts, 1 + (uint32_t)below(SEGMENTS_MAX), mrd_random_next());
        for (size_t q = 0; q < QUERIES_PER_ROUND; q++) {
            struct mrd_random_text text = {0};
            mrd_random_query(&text);
            const struct asked asked = {mrd_random_request(&text), mrd_random_options()};
            compare_tiers(parts, &asked, style);
        }
    }
    const size_t fragments = mrd_memory_source_fragments(parts->head);
    print_message("%d queries; %zu with points, %zu fail; %zu selects of blocks, %zu fragments of "
                  "the head\n",
                  ROUNDS * QUERIES_PER_ROUND, with_points, with_errors, parts->asked_blocks,
                  fragments);
    assert_true(with_points > ROUNDS * QUERIES_PER_ROUND / 3);
    assert_true(parts->asked_blocks > ROUNDS * QUERIES_PER_ROUND / 2);
    assert_true(fragments > 100);
    parts_destroy(&parts);
}

/* ---- our scripts over tiers ---- */

static enum mrd_status script_clear(void *context, struct mrd_error *err)
{
    struct parts *parts = context;
    (void)err;
    mrd_memory_source_clear(parts->whole);
    return MRD_OK;
}

static enum mrd_status script_put(void *context, struct mrd_labels labels,
                                  const struct script_value *values, size_t count,
                                  mrd_time_ms step_ms, struct mrd_error *err)
{
    struct parts *parts = context;
    struct script_target *memory = script_memory_create();
    struct mrd_memory_source *own = memory->context;
    memory->context = parts->whole;
    const enum mrd_status status = memory->put(parts->whole, labels, values, count, step_ms, err);
    memory->context = own;
    script_memory_destroy(&memory);
    return status;
}

static bool script_can(void *context, const struct mrd_promql_options *options)
{
    (void)context;
    (void)options;
    return true;
}

static enum mrd_status script_ask(void *context, const struct mrd_promql_options *options,
                                  const struct mrd_promql_request *request, struct mrd_arena *arena,
                                  struct mrd_promql_result *out, struct mrd_error *err)
{
    struct parts *parts = context;
    cut_up(parts, (enum style)below(STYLES));
    parts_arrange(parts, 1, 0);
    const enum mrd_status status =
        mrd_promql_query(options, request, &parts->source, NULL, arena, out, err);
    assert_int_equal(open_sets(parts), 0);
    return status;
}

static const struct mrd_float_histogram *
script_as_answered(const struct mrd_float_histogram *histogram, struct mrd_arena *arena)
{
    (void)arena;
    return histogram;
}

static bool script_same(const struct mrd_float_histogram *want,
                        const struct mrd_float_histogram *got, bool compare_hint)
{
    (void)compare_hint;
    return script_histograms_agree(want, got, false);
}

static struct mrd_bytes read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    struct mrd_buf buf = {0};
    uint8_t page[4096];
    size_t size;
    while ((size = fread(page, 1, sizeof(page), file)) > 0) {
        mrd_buf_append(&buf, page, size);
    }
    assert_int_equal(fclose(file), 0);
    return mrd_buf_view(&buf);
}

static void all_scripts_evaluate_as_written_over_tiers(void **state)
{
    (void)state;
    struct parts *parts = parts_create();
    struct script_target target = {.context = parts,
                                   .clear = script_clear,
                                   .put = script_put,
                                   .can = script_can,
                                   .ask = script_ask,
                                   .as_answered = script_as_answered,
                                   .same = script_same};
    struct mrd_script_report report = {0};
    glob_t files;
    mrd_random_seed(4712);
    assert_int_equal(glob("tests/promql/*.test", 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        const struct mrd_bytes text = read_file(files.gl_pathv[i]);
        struct mrd_error err;
        if (mrd_script_run_on(&target, files.gl_pathv[i], text, false, &report, &err) != MRD_OK) {
            fail_msg("%s", err.text);
        }
        free((void *)(uintptr_t)text.data);
    }
    globfree(&files);
    print_message("%zu evaluations\n", report.evals);
    if (report.failures > 0) {
        print_error("%.*s", (int)report.text.size, (const char *)report.text.data);
        fail_msg("%zu of %zu evaluations failed", report.failures, report.evals);
    }
    mrd_buf_fini(&report.text);
    assert_true(report.evals > 400);
    parts_destroy(&parts);
}

/* ---- failures and refusals ---- */

/* A call to one of the sources fails, whichever: an error, and every set is closed. */
static void a_failure_of_either_tier_fails_the_query(void **state)
{
    (void)state;
    const struct asked asked = {
        .request = {.text = MRD_BYTES("sum(m) + count(h) + max(m_total)"),
                    .start_ms = 300000,
                    .instant = true}
    };
    struct parts *parts = parts_create();
    mrd_random_seed(99);
    mrd_random_fill(parts->whole);
    cut_up(parts, ANYWHERE);
    parts_arrange(parts, 2, 1);
    for (size_t place = 0; place <= parts->block_count; place++) {
        struct mrd_memory_source *source =
            place == parts->block_count ? parts->head : parts->blocks[place];
        enum mrd_status status = MRD_E_UNAVAILABLE;
        size_t call = 0;
        while (status != MRD_OK) {
            mrd_auto(mrd_arena_destroy)
            struct mrd_arena *arena = mrd_arena_create("query", SIZE_MAX);
            struct mrd_answer answer;
            mrd_memory_source_fail_at(source, ++call);
            ask(&parts->source, &asked, arena, &answer);
            status = answer.status;
            assert_true(status == MRD_OK || status == MRD_E_UNAVAILABLE);
            assert_int_equal(open_sets(parts), 0);
        }
        mrd_memory_source_fail_at(source, 0);
        assert_true(call > 5);
    }
    parts_destroy(&parts);
}

static enum mrd_status cannot_know(void *context, mrd_time_ms min_ms, mrd_time_ms max_ms,
                                   bool *out_needed, struct mrd_error *err)
{
    (void)context;
    (void)min_ms;
    (void)max_ms;
    *out_needed = false;
    return mrd_fail(err, MRD_E_UNAVAILABLE, "the catalog of blocks was not read yet");
}

static void not_to_know_whether_blocks_are_needed_is_an_error(void **state)
{
    (void)state;
    const struct asked asked = {
        .request = {.text = MRD_BYTES("sum(m)"), .start_ms = 300000, .instant = true}
    };
    struct parts *parts = parts_create();
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("query", SIZE_MAX);
    struct mrd_answer answer;
    parts->tiers.needs_blocks = cannot_know;
    ask(&parts->source, &asked, arena, &answer);
    assert_int_equal(answer.status, MRD_E_UNAVAILABLE);
    assert_string_equal(answer.err.text, "the catalog of blocks was not read yet");
    parts_destroy(&parts);
}

/* Else a series would come in two pieces, and a sum would have it twice. By labels, the first of these two comes first; by
 * metric names it does not. */
static void a_source_out_of_order_is_found_out(void **state)
{
    (void)state;
    const struct asked asked = {
        .request = {.text = MRD_BYTES("count({A=~\".+\"})"), .start_ms = 0, .instant = true}
    };
    static const struct mrd_label n[] = {
        {MRD_BYTES("A"),             MRD_BYTES("1")},
        {MRD_BYTES(MRD_METRIC_NAME), MRD_BYTES("n")}
    };
    static const struct mrd_label m[] = {
        {MRD_BYTES("A"),             MRD_BYTES("2")},
        {MRD_BYTES(MRD_METRIC_NAME), MRD_BYTES("m")}
    };
    struct parts *parts = parts_create();
    for (size_t in_order = 0; in_order < 2; in_order++) {
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *arena = mrd_arena_create("query", SIZE_MAX);
        struct mrd_answer answer;
        mrd_memory_source_put(parts->head, (struct mrd_labels){n, 2}, (struct mrd_sample){0, 1});
        mrd_memory_source_put(parts->head, (struct mrd_labels){m, 2}, (struct mrd_sample){0, 1});
        parts->head_from_ms = INT64_MAX;
        parts_arrange(parts, 1, 0);
        if (in_order == 0) {
            mrd_memory_source_arrange(parts->head, &(struct mrd_memory_layout){.segments = 1});
        }
        ask(&parts->source, &asked, arena, &answer);
        assert_int_equal(answer.status, in_order ? MRD_OK : MRD_E_CORRUPT);
        assert_int_equal(open_sets(parts), 0);
    }
    parts_destroy(&parts);
}

static void the_samples_of_a_series_put_together_are_bounded(void **state)
{
    (void)state;
    const struct asked asked = {
        .request = {
                    .text = MRD_BYTES("count_over_time(m[1h])"), .start_ms = 900000, .instant = true}
    };
    struct parts *parts = parts_create();
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("query", SIZE_MAX);
    struct mrd_answer answer;
    mrd_random_seed(6);
    mrd_random_series(parts->whole, "m", 0);
    cut_up(parts, ANYWHERE);
    parts_arrange(parts, 1, 0);
    parts->tiers.merge.samples_max = 10;
    ask(&parts->source, &asked, arena, &answer);
    assert_int_equal(answer.status, MRD_E_LIMIT);
    assert_non_null(strstr(answer.err.text, "more than 10 samples"));
    parts_destroy(&parts);
}

/* ---- names, values, series ---- */

static void assert_texts(const struct mrd_texts *got, const struct mrd_texts *want)
{
    assert_int_equal(got->count, want->count);
    assert_int_equal(got->truncated, want->truncated);
    for (size_t i = 0; i < got->count; i++) {
        assert_true(mrd_bytes_equal(got->items[i], want->items[i]));
    }
}

static void lists_are_those_of_all_in_one(void **state)
{
    (void)state;
    struct parts *parts = parts_create();
    const struct mrd_source *whole = mrd_memory_source_get(parts->whole);
    mrd_random_seed(31);
    for (size_t round = 0; round < 60; round++) {
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *arena = mrd_arena_create("lists", SIZE_MAX);
        const struct mrd_query_scope scope = {.arena = arena};
        const struct mrd_label_query query = {.min_ms = (mrd_time_ms)below(300000),
                                              .max_ms = 300000 + (mrd_time_ms)below(300000),
                                              .limit = one_in(2) ? 0 : 1 + below(40)};
        struct mrd_texts texts[2];
        struct mrd_label_sets sets[2];
        mrd_random_fill(parts->whole);
        cut_up(parts, (enum style)(round % STYLES));
        while (parts->block_count != 1) {
            cut_up(parts, (enum style)(round % STYLES));
        }
        parts_arrange(parts, 1, 0);
        mrd_memory_source_arrange(parts->whole, &(struct mrd_memory_layout){.segments = 1});
        struct mrd_error err;
        assert_int_equal(whole->label_names(whole->context, &query, &scope, &texts[0], &err), 0);
        const struct mrd_source *tiers = &parts->source;
        assert_int_equal(tiers->label_names(tiers->context, &query, &scope, &texts[1], &err), 0);
        assert_texts(&texts[1], &texts[0]);
        const struct mrd_bytes name = MRD_BYTES("instance");
        assert_int_equal(whole->label_values(whole->context, name, &query, &scope, &texts[0], &err),
                         0);
        assert_int_equal(tiers->label_values(tiers->context, name, &query, &scope, &texts[1], &err),
                         0);
        assert_texts(&texts[1], &texts[0]);
        assert_int_equal(whole->series(whole->context, &query, &scope, &sets[0], &err), 0);
        assert_int_equal(tiers->series(tiers->context, &query, &scope, &sets[1], &err), 0);
        assert_int_equal(sets[0].count, sets[1].count);
        assert_int_equal(sets[0].truncated, sets[1].truncated);
        for (size_t i = 0; i < sets[0].count; i++) {
            assert_true(mrd_labels_equal(sets[0].items[i], sets[1].items[i]));
        }
    }
    parts_destroy(&parts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_of_either_tier_fails_the_query),
        cmocka_unit_test(not_to_know_whether_blocks_are_needed_is_an_error),
        cmocka_unit_test(a_source_out_of_order_is_found_out),
        cmocka_unit_test(the_samples_of_a_series_put_together_are_bounded),
        cmocka_unit_test(lists_are_those_of_all_in_one),
        cmocka_unit_test(all_scripts_evaluate_as_written_over_tiers),
        cmocka_unit_test(however_samples_are_spread_the_answer_is_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
