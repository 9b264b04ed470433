/* What rules hide of a source: the answer is that of a source that never had it, to the last bit; fragments are pushed where nothing is hidden. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "promql/hidden.h"
#include "promqltest/answers.h"
#include "promqltest/memory_source.h"

enum { SERIES = 6, TIMES = 40, STEP_MS = 15000, SEGMENTS = 3 };

static char texts[SERIES][8];
static struct mrd_label items[SERIES][3];

static struct mrd_labels labels_of(size_t index)
{
    (void)snprintf(texts[index], sizeof(texts[index]), "%zu", index);
    items[index][0] = (struct mrd_label){MRD_BYTES("__name__"), MRD_BYTES("m")};
    items[index][1] = (struct mrd_label){MRD_BYTES("i"), mrd_bytes_of(texts[index])};
    items[index][2] = (struct mrd_label){MRD_BYTES("job"),
                                         index % 2 == 0 ? MRD_BYTES("debug") : MRD_BYTES("live")};
    return (struct mrd_labels){items[index], 3};
}

struct rig {
    struct mrd_memory_source *all;
    struct mrd_memory_source *left; /* what is not hidden */
    struct mrd_matcher matchers[3];
    struct mrd_hidden_rule rules[3];
    struct mrd_hidden hidden;
    struct mrd_source source;
};

/* Hides job="debug" before the 10th time, i=~"1|2" before the 20th, and absent labels never. */
static void rig_open(struct rig *rig)
{
    const struct mrd_memory_layout layout = {
        .segments = SEGMENTS, .pushes = true, .in_order = true};
    *rig = (struct rig){.all = mrd_memory_source_create(), .left = mrd_memory_source_create()};
    assert_int_equal(mrd_matcher_init(&rig->matchers[0], MRD_MATCH_EQ, MRD_BYTES("job"),
                                      MRD_BYTES("debug"), NULL),
                     MRD_OK);
    assert_int_equal(
        mrd_matcher_init(&rig->matchers[1], MRD_MATCH_RE, MRD_BYTES("i"), MRD_BYTES("1|2"), NULL),
        MRD_OK);
    assert_int_equal(
        mrd_matcher_init(&rig->matchers[2], MRD_MATCH_NE, MRD_BYTES("x"), MRD_BYTES(""), NULL),
        MRD_OK);
    const mrd_time_ms before_ms[] = {(mrd_time_ms)10 * STEP_MS, (mrd_time_ms)20 * STEP_MS,
                                     INT64_MAX};
    for (size_t i = 0; i < 3; i++) {
        rig->rules[i] = (struct mrd_hidden_rule){&rig->matchers[i], 1, before_ms[i]};
    }
    for (size_t s = 0; s < SERIES; s++) {
        const size_t first = s == 1 || s == 2 ? 20 : s % 2 == 0 ? 10 : 0;
        for (size_t t = 0; t < TIMES; t++) {
            const struct mrd_sample sample = {(mrd_time_ms)t * STEP_MS, (double)(s * 100 + t * t)};
            mrd_memory_source_put(rig->all, labels_of(s), sample);
            if (t >= first) {
                mrd_memory_source_put(rig->left, labels_of(s), sample);
            }
        }
    }
    mrd_memory_source_arrange(rig->all, &layout);
    mrd_memory_source_arrange(rig->left, &layout);
    rig->hidden = (struct mrd_hidden){
        mrd_memory_source_get(rig->all), {rig->rules, 3}
    };
    rig->source = mrd_hidden_source(&rig->hidden);
}

static void rig_close(struct rig *rig)
{
    assert_int_equal(mrd_memory_source_open_sets(rig->all), 0);
    for (size_t i = 0; i < 3; i++) {
        mrd_matcher_fini(&rig->matchers[i]);
    }
    mrd_memory_source_destroy(&rig->all);
    mrd_memory_source_destroy(&rig->left);
}

static void ask(const struct mrd_source *source, const char *text, mrd_time_ms start_ms,
                struct mrd_arena *arena, struct mrd_answer *out)
{
    const struct mrd_promql_options options = {0};
    const struct mrd_promql_request request = {.text = mrd_bytes_of(text),
                                               .start_ms = start_ms,
                                               .end_ms = (mrd_time_ms)TIMES * STEP_MS,
                                               .step_ms = STEP_MS};
    *out = (struct mrd_answer){0};
    out->status =
        mrd_promql_query(&options, &request, source, NULL, arena, &out->result, &out->err);
}

static void what_is_hidden_is_as_if_it_was_not_there(void **state)
{
    (void)state;
    static const char *const queries[] = {
        "m",
        "sum by (job) (rate(m[1m]))",
        "count_over_time(m{job=\"debug\"}[5m])",
        "count(m{i=\"2\"})",
        "topk(2, m)",
        "absent(m{i=\"1\"})",
        "sum(m{job!=\"live\"}) / count(m)",
    };
    struct rig rig;
    rig_open(&rig);
    for (size_t i = 0; i < MRD_ARRAY_LEN(queries); i++) {
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *arena = mrd_arena_create("answers", SIZE_MAX);
        struct mrd_answer want;
        struct mrd_answer got;
        ask(mrd_memory_source_get(rig.left), queries[i], 0, arena, &want);
        ask(&rig.source, queries[i], 0, arena, &got);
        assert_int_equal(got.status, MRD_OK);
        got.result.stats = want.result.stats;
        const char *what = mrd_answers_compare(&want, &got);
        if (what != NULL) {
            fail_msg("%s: %s differ", queries[i], what);
        }
    }
    rig_close(&rig);
}

/* How many fragments the source took for it. */
static size_t pushed(struct rig *rig, const char *text, size_t first)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("answers", SIZE_MAX);
    const size_t before = mrd_memory_source_fragments(rig->all);
    struct mrd_answer got;
    ask(&rig->source, text, (mrd_time_ms)first * STEP_MS, arena, &got);
    assert_int_equal(got.status, MRD_OK);
    return mrd_memory_source_fragments(rig->all) - before;
}

static void fragments_are_pushed_where_nothing_is_hidden(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig.hidden.rules.count = 2;
    assert_int_equal(pushed(&rig, "sum(rate(m[1m]))", 0), 0);
    assert_int_equal(pushed(&rig, "sum(rate(m[1m]))", 23), 0); /* four steps before it */
    assert_int_equal(pushed(&rig, "sum(rate(m[1m]))", 24), 1);
    assert_int_equal(pushed(&rig, "sum(rate(m{job=\"live\",i=\"3\"}[1m]))", 0), 1);
    assert_int_equal(pushed(&rig, "sum(rate(m{job=\"live\"}[1m]))", 0), 0);
    assert_int_equal(pushed(&rig, "sum(rate(m{job=\"debug\",i=\"4\"}[1m]))", 14), 1);
    assert_int_equal(pushed(&rig, "sum(rate(m{job=\"debug\",i=\"4\"}[1m]))", 13), 0);
    rig_close(&rig);
}

/* Each of the source's calls fails in turn; nothing stays open. */
static void failures_are_passed_on(void **state)
{
    (void)state;
    struct rig rig;
    enum mrd_status status = MRD_E_UNAVAILABLE;
    rig_open(&rig);
    for (size_t call = 1; status != MRD_OK; call++) {
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *arena = mrd_arena_create("answers", SIZE_MAX);
        struct mrd_answer got;
        mrd_memory_source_fail_at(rig.all, call);
        ask(&rig.source, "m", 0, arena, &got);
        status = got.status;
        assert_true(status == MRD_OK || status == MRD_E_UNAVAILABLE);
        assert_int_equal(mrd_memory_source_open_sets(rig.all), 0);
        assert_true(status != MRD_OK || call > SERIES);
    }
    mrd_memory_source_fail_at(rig.all, 0);
    rig_close(&rig);
}

/* ---- lists ---- */

enum { RULES = 3, MATCHERS = 3, ROUNDS = 300 };

static uint64_t below(uint64_t *random, uint64_t bound)
{
    uint64_t z = (*random += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return (z ^ (z >> 31)) % bound;
}

/* All kinds, some of which select nothing, or what has no such label. */
static struct mrd_matcher any_matcher(uint64_t *random)
{
    static const char *const names[] = {"job", "i", "x"};
    static const char *const values[] = {"debug", "live", "0|1|2", "3", "", ".*"};
    struct mrd_matcher matcher;
    assert_int_equal(mrd_matcher_init(&matcher, (enum mrd_match_type)below(random, 4),
                                      mrd_bytes_of(names[below(random, 3)]),
                                      mrd_bytes_of(values[below(random, 6)]), NULL),
                     MRD_OK);
    return matcher;
}

static mrd_time_ms any_time(uint64_t *random)
{
    return (mrd_time_ms)below(random, TIMES) * STEP_MS;
}

/* Some rules, a source that never had what they hide, and what is asked. */
struct lists {
    struct mrd_memory_source *all;
    struct mrd_memory_source *left;
    struct mrd_matcher matchers[RULES + 2][MATCHERS];
    struct mrd_hidden_rule rules[RULES];
    struct mrd_hidden hidden;
    const struct mrd_matcher *sets[2];
    size_t counts[2];
    struct mrd_label_query query;
};

static void put_series(struct lists *lists, uint64_t *random)
{
    for (size_t s = 0; s < SERIES; s++) {
        const struct mrd_labels labels = labels_of(s);
        const mrd_time_ms before_ms = mrd_hidden_before(&lists->hidden.rules, labels);
        const size_t first = below(random, TIMES);
        const size_t end = first + 1 + below(random, TIMES - first);
        for (size_t t = first; t < end; t++) {
            const struct mrd_sample sample = {(mrd_time_ms)t * STEP_MS, 1};
            mrd_memory_source_put(lists->all, labels, sample);
            if (sample.time_ms >= before_ms) {
                mrd_memory_source_put(lists->left, labels, sample);
            }
        }
    }
}

static void lists_open(struct lists *lists, uint64_t *random)
{
    *lists = (struct lists){.all = mrd_memory_source_create(), .left = mrd_memory_source_create()};
    for (size_t i = 0; i < RULES + 2; i++) {
        for (size_t k = 0; k < MATCHERS; k++) {
            lists->matchers[i][k] = any_matcher(random);
        }
    }
    for (size_t i = 0; i < RULES; i++) {
        lists->rules[i] = (struct mrd_hidden_rule){lists->matchers[i], 1 + below(random, MATCHERS),
                                                   any_time(random)};
    }
    lists->hidden = (struct mrd_hidden){
        mrd_memory_source_get(lists->all), {lists->rules, RULES}
    };
    for (size_t i = 0; i < 2; i++) {
        lists->sets[i] = lists->matchers[RULES + i];
        lists->counts[i] = below(random, MATCHERS + 1);
    }
    const mrd_time_ms from_ms = any_time(random);
    const mrd_time_ms to_ms = any_time(random);
    lists->query = (struct mrd_label_query){.matcher_sets = lists->sets,
                                            .matcher_counts = lists->counts,
                                            .matcher_set_count = below(random, 3),
                                            .min_ms = MRD_MIN(from_ms, to_ms),
                                            .max_ms = MRD_MAX(from_ms, to_ms)};
    put_series(lists, random);
}

static void lists_close(struct lists *lists)
{
    for (size_t i = 0; i < RULES + 2; i++) {
        for (size_t k = 0; k < MATCHERS; k++) {
            mrd_matcher_fini(&lists->matchers[i][k]);
        }
    }
    mrd_memory_source_destroy(&lists->all);
    mrd_memory_source_destroy(&lists->left);
}

static void compare_texts(const struct mrd_texts *want, const struct mrd_texts *got, size_t limit)
{
    assert_int_equal(got->count, limit == 0 ? want->count : MRD_MIN(want->count, limit));
    assert_int_equal(got->truncated, got->count < want->count);
    for (size_t i = 0; i < got->count; i++) {
        assert_true(mrd_bytes_equal(got->items[i], want->items[i]));
    }
}

static bool has_series(const struct mrd_label_sets *sets, struct mrd_labels labels)
{
    bool found = false;
    for (size_t i = 0; i < sets->count && !found; i++) {
        found = mrd_labels_compare(sets->items[i], labels) == 0;
    }
    return found;
}

static void compare_lists(struct lists *lists, struct mrd_arena *arena)
{
    const struct mrd_source got = mrd_hidden_source(&lists->hidden);
    const struct mrd_source want = *mrd_memory_source_get(lists->left);
    const struct mrd_query_scope scope = {.arena = arena};
    struct mrd_label_query *query = &lists->query;
    for (query->limit = 0; query->limit < 3; query->limit++) {
        struct mrd_label_query whole = *query;
        struct mrd_texts found[2];
        struct mrd_label_sets sets[2];
        whole.limit = 0;
        assert_int_equal(want.label_names(want.context, &whole, &scope, &found[0], NULL), MRD_OK);
        assert_int_equal(got.label_names(got.context, query, &scope, &found[1], NULL), MRD_OK);
        compare_texts(&found[0], &found[1], query->limit);
        assert_int_equal(
            want.label_values(want.context, MRD_BYTES("i"), &whole, &scope, &found[0], NULL),
            MRD_OK);
        assert_int_equal(
            got.label_values(got.context, MRD_BYTES("i"), query, &scope, &found[1], NULL), MRD_OK);
        compare_texts(&found[0], &found[1], query->limit);
        assert_int_equal(want.series(want.context, &whole, &scope, &sets[0], NULL), MRD_OK);
        assert_int_equal(got.series(got.context, query, &scope, &sets[1], NULL), MRD_OK);
        assert_int_equal(sets[1].count,
                         query->limit == 0 ? sets[0].count : MRD_MIN(sets[0].count, query->limit));
        assert_int_equal(sets[1].truncated, sets[1].count < sets[0].count);
        for (size_t i = 0; i < sets[1].count; i++) {
            assert_true(has_series(&sets[0], sets[1].items[i]));
        }
    }
}

/* Whatever is asked for and whatever the rules say, lists name what selects of their range would find. */
static void lists_are_those_of_what_is_left(void **state)
{
    (void)state;
    size_t shorter = 0;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *arena = mrd_arena_create("lists", SIZE_MAX);
        struct lists lists;
        uint64_t random = round;
        print_message("round %lu\n", (unsigned long)round);
        lists_open(&lists, &random);
        compare_lists(&lists, arena);
        struct mrd_label_sets all;
        struct mrd_label_sets left;
        const struct mrd_query_scope scope = {.arena = arena};
        const struct mrd_source *source = mrd_memory_source_get(lists.all);
        lists.query.limit = 0;
        assert_int_equal(source->series(source->context, &lists.query, &scope, &all, NULL), MRD_OK);
        source = mrd_memory_source_get(lists.left);
        assert_int_equal(source->series(source->context, &lists.query, &scope, &left, NULL),
                         MRD_OK);
        shorter += left.count < all.count ? 1 : 0;
        lists_close(&lists);
    }
    assert_true(shorter > ROUNDS / 10); /* it was about something */
}

/* Two matchers each; series i of the source is selected by rule i, and by no other. */
enum { OF_TWO = 2 };
struct pair {
    enum mrd_match_type type;
    const char *name;
};

static size_t shown_behind(const struct pair pairs[OF_TWO])
{
    static const char *const patterns[] = {"0|-", "1|-", "2|-", "3|-", "4|-", "5|-"};
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("lists", SIZE_MAX);
    struct mrd_memory_source *all = mrd_memory_source_create();
    struct mrd_matcher matchers[SERIES][OF_TWO];
    struct mrd_hidden_rule rules[SERIES];
    for (size_t s = 0; s < SERIES; s++) {
        const struct mrd_labels labels = labels_of(s);
        mrd_memory_source_put(all, labels, (struct mrd_sample){STEP_MS, 1});
        for (size_t k = 0; k < OF_TWO; k++) {
            const struct mrd_bytes name = mrd_bytes_of(pairs[k].name);
            const struct mrd_bytes value = pairs[k].type == MRD_MATCH_RE
                                               ? mrd_bytes_of(patterns[s])
                                               : mrd_labels_get(labels, name);
            assert_int_equal(mrd_matcher_init(&matchers[s][k], pairs[k].type, name, value, NULL),
                             MRD_OK);
        }
        rules[s] = (struct mrd_hidden_rule){matchers[s], OF_TWO, INT64_MAX};
    }
    const struct mrd_hidden hidden = {
        mrd_memory_source_get(all), {rules, SERIES}
    };
    const struct mrd_source source = mrd_hidden_source(&hidden);
    const struct mrd_label_query query = {.max_ms = (mrd_time_ms)TIMES * STEP_MS};
    const struct mrd_query_scope scope = {.arena = arena};
    struct mrd_label_sets found;
    assert_int_equal(source.series(source.context, &query, &scope, &found, NULL), MRD_OK);
    for (size_t s = 0; s < SERIES; s++) {
        for (size_t k = 0; k < OF_TWO; k++) {
            mrd_matcher_fini(&matchers[s][k]);
        }
    }
    mrd_memory_source_destroy(&all);
    return found.count;
}

/* More than can be said by all combinations of what they do not select. */
static void rules_of_several_matchers_do_not_multiply(void **state)
{
    (void)state;
    static const struct pair by_value[OF_TWO] = {
        {MRD_MATCH_EQ, "i"  },
        {MRD_MATCH_EQ, "job"}
    };
    static const struct pair by_one_of_two[OF_TWO] = {
        {MRD_MATCH_RE, "i"  },
        {MRD_MATCH_EQ, "job"}
    };
    static const struct pair by_name[OF_TWO] = {
        {MRD_MATCH_RE, "i"       },
        {MRD_MATCH_EQ, "__name__"}
    };
    assert_int_equal(shown_behind(by_value), 0);
    assert_int_equal(shown_behind(by_one_of_two), 0);
    assert_int_equal(shown_behind(by_name), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_hidden_is_as_if_it_was_not_there),
        cmocka_unit_test(fragments_are_pushed_where_nothing_is_hidden),
        cmocka_unit_test(failures_are_passed_on),
        cmocka_unit_test(lists_are_those_of_what_is_left),
        cmocka_unit_test(rules_of_several_matchers_do_not_multiply),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
