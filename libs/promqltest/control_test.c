/* The control of a query: whatever takes long looks at it, the more often the longer it takes, and ends when it says so. Looks are
 * counted, not timed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "promql/engine.h"

#include "base/testing_rounds.h"
#include "promql/tiers.h"
#include "promqltest/memory_source.h"

enum { SERIES = 20000, LONG_SAMPLES = 30000, HUGE_SAMPLES = 600 * 1000, STEP_MS = 1000 };

/* ---- looks: one query at a time ---- */

static size_t looks;
static size_t last_look; /* the one at which the query is canceled; SIZE_MAX: none */
static _Atomic bool canceled;

static void look(void)
{
    looks++;
    atomic_store_explicit(&canceled, looks >= last_look, memory_order_relaxed);
}

static struct mrd_memory_source *wide;   /* SERIES of m and of n, a sample each */
static struct mrd_memory_source *longer; /* two series of many samples */
static struct mrd_memory_source *huge;   /* a series of very many, some of them staleness markers */

static void put(struct mrd_memory_source *source, const char *name, size_t i, size_t samples)
{
    char texts[3][32];
    (void)snprintf(texts[0], sizeof(texts[0]), "i-%07zu", i * 7919 % SERIES);
    (void)snprintf(texts[1], sizeof(texts[1]), "%zu", i % 10);
    (void)snprintf(texts[2], sizeof(texts[2]), "%zu", i % 16);
    const struct mrd_label items[] = {
        {MRD_BYTES(MRD_METRIC_NAME), mrd_bytes_of(name)    },
        {MRD_BYTES("instance"),      mrd_bytes_of(texts[0])},
        {MRD_BYTES("job"),           mrd_bytes_of(texts[1])},
        {MRD_BYTES("le"),            mrd_bytes_of(texts[2])},
    };
    for (size_t k = 0; k < samples; k++) {
        mrd_memory_source_put(
            source, (struct mrd_labels){items, MRD_ARRAY_LEN(items)},
            (struct mrd_sample){(mrd_time_ms)k * STEP_MS, (double)((i * 31 + k * 7919) % 100003)});
    }
}

/* Every `holes`-th sample is a staleness marker. */
static void put_huge(const char *name, size_t holes)
{
    const struct mrd_label item = {MRD_BYTES(MRD_METRIC_NAME), mrd_bytes_of(name)};
    for (size_t k = 1; k <= HUGE_SAMPLES; k++) {
        const double value = k % holes == 0 ? mrd_stale_nan() : (double)(k * 7919 % 100003);
        mrd_memory_source_put(huge, (struct mrd_labels){&item, 1},
                              (struct mrd_sample){(mrd_time_ms)k * STEP_MS, value});
    }
}

static int set_up(void **state)
{
    (void)state;
    wide = mrd_memory_source_create();
    longer = mrd_memory_source_create();
    for (size_t i = 0; i < SERIES; i++) {
        put(wide, "m", i, 1);
        put(wide, "n", i, 1);
    }
    for (size_t i = 0; i < 2; i++) {
        put(longer, "long", i, LONG_SAMPLES);
    }
    huge = mrd_memory_source_create();
    put_huge("huge", SIZE_MAX);
    put_huge("holed", 1000);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mrd_memory_source_destroy(&wide);
    mrd_memory_source_destroy(&longer);
    mrd_memory_source_destroy(&huge);
    return 0;
}

static struct mrd_memory_source *source_of(const char *text, mrd_time_ms *out_end_ms)
{
    if (strstr(text, "long") != NULL) {
        *out_end_ms = (mrd_time_ms)LONG_SAMPLES * STEP_MS;
        return longer;
    }
    const bool over_huge = strstr(text, "huge") != NULL || strstr(text, "holed") != NULL;
    *out_end_ms = (over_huge ? (mrd_time_ms)HUGE_SAMPLES : 2) * STEP_MS;
    return over_huge ? huge : wide;
}

static void looks_begin(size_t cancel_at)
{
    looks = 0;
    last_look = cancel_at;
    atomic_store(&canceled, false);
}

static const struct mrd_query_control looking = {.canceled = &canceled, .checkpoint = look};

/* Looks of the query until it ended, or was canceled at the n-th one; *out_series is how many it read and answered with. With
 * `tiered` all is in blocks and in heads. */
static enum mrd_status run(const char *text, bool instant, bool tiered, size_t cancel_at,
                           size_t *out_series)
{
    mrd_time_ms end_ms = 0;
    struct mrd_memory_source *source = source_of(text, &end_ms);
    const struct mrd_source *plain = mrd_memory_source_get(source);
    struct mrd_tiers tiers = {.head = plain, .blocks = plain};
    const struct mrd_source both = mrd_tiers_source(&tiers);
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("query", SIZE_MAX);
    const struct mrd_promql_request request = {.text = mrd_bytes_of(text),
                                               .start_ms = instant ? end_ms : end_ms / 2,
                                               .end_ms = end_ms,
                                               .step_ms = instant ? 0 : end_ms / 100,
                                               .instant = instant};
    const struct mrd_promql_options options = {.features = {.experimental_functions = true}};
    struct mrd_promql_result result = {0};
    struct mrd_error err = {0};
    looks_begin(cancel_at);
    const enum mrd_status status = mrd_promql_query(&options, &request, tiered ? &both : plain,
                                                    &looking, arena, &result, &err);
    *out_series = result.stats.series_read + result.series_count;
    assert_int_equal(mrd_memory_source_open_sets(source), 0);
    return status;
}

/* Looks beyond one for each series that is read and one for each in the answer. A sort has one for every 2,048 items in each of its
 * passes over them, what handles label sets or makes columns one in about 16,000 of them. */
static const struct {
    const char *text;
    bool instant;
    size_t looks_min;
    bool fails; /* as it is wrong, not for the looks */
} cases[] = {
    {"sort(m)",                                                 true,  40,  false},
    {"sort_desc(m)",                                            true,  40,  false},
    {"sort_by_label(m, \"instance\")",                          true,  40,  false},
    {"m",                                                       false, 40,  false}, /* ranges come by labels */
    {"topk(1e6, m)",                                            true,  40,  false},
    {"quantile(0.5, m)",                                        true,  40,  false},
    {"quantile by (instance) (0.5, m)",                         true,  10,  false},
    {"count_values(\"x\", m)",                                  true,  5,   false},
    {"sum by (instance) (m)",                                   true,  5,   false},
    {"count(sum by (instance) (m))",                            true,  5,   false},
    {"m + on (instance) n",                                     true,  10,  false},
    {"m + on (job) group_left n",                               true,  5,   true }, /* many to many: the pairs are not counted */
    {"m + on () none",                                          true,  3,   false}, /* one group of all, without another side */
    {"m and on (instance) n",                                   true,  5,   false},
    {"histogram_quantile(0.5, m)",                              true,  40,  false},
    {"label_replace(m, \"x\", \"$1\", \"instance\", \"(.*)\")", true,  5,   false},
    {"quantile_over_time(0.5, long[4h])",                       true,  10,  false}, /* a single window of each series */
    {"quantile_over_time(0.5, long[4h])",                       false, 500, false},
    {"deriv(long[4h])",                                         false, 5,   false},
    {"sum_over_time(long[4h])",                                 false, 5,   false},
    {"max_over_time(sum(long)[4h:1s])",                         true,  0,   false},
    {"sum_over_time(huge[300h])",                               true,  16,  false}, /* one window, 9 looks at it each time */
    {"sum_over_time(holed[300h])",                              true,  16,  false}, /* copied, then added up */
    {"avg_over_time(huge[300h])",                               true,  16,  false},
    {"max_over_time(huge[300h])",                               true,  16,  false},
    {"ts_of_min_over_time(huge[300h])",                         true,  16,  false},
    {"stddev_over_time(huge[300h])",                            true,  16,  false},
    {"mad_over_time(huge[300h])",                               true,  24,  false},
    {"last_over_time(huge[300h])",                              true,  8,   false},
    {"rate(huge[300h])",                                        true,  16,  false},
    {"changes(huge[300h])",                                     true,  16,  false},
    {"deriv(huge[300h])",                                       true,  16,  false},
    {"double_exponential_smoothing(huge[300h], 0.5, 0.5)",      true,  16,  false},
    {"huge[300h]",                                              true,  1,   false}, /* copied to the answer */
};

/* Returns the looks in all. */
static size_t count_looks(size_t i)
{
    size_t series = 0;
    const enum mrd_status status = run(cases[i].text, cases[i].instant, false, SIZE_MAX, &series);
    const size_t extra = looks - MRD_MIN(looks, series);
    if (status != (cases[i].fails ? MRD_E_INVALID : MRD_OK) || extra < cases[i].looks_min) {
        fail_msg("%s: %s, %zu series and %zu looks beside", cases[i].text, mrd_status_name(status),
                 series, extra);
    }
    return looks;
}

/* At any look, and from then on next to nothing is done that would look again: a function over windows goes on to its next windows
 * of the same part, whose sorts end at once. */
static void end_at(size_t i, size_t at, size_t total)
{
    size_t series = 0;
    const enum mrd_status status = run(cases[i].text, cases[i].instant, false, at, &series);
    if (status != MRD_E_CANCELED || looks > at + 32) {
        fail_msg("%s, canceled at look %zu of %zu: %s after %zu", cases[i].text, at, total,
                 mrd_status_name(status), looks);
    }
}

static void the_longer_it_takes_the_more_often_it_looks_and_ends_where_one_says_so(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        const size_t total = count_looks(i);
        const size_t places[] = {1, total / 3, total, total - total / 20, total - 1};
        for (size_t p = 0; p < testing_rounds(MRD_ARRAY_LEN(places)); p++) {
            end_at(i, MRD_MAX(places[p], (size_t)1), total);
        }
    }
}

/* A sample in 16,384 of those that are put together, beside what the function does. */
static void a_long_series_of_two_tiers_looks_while_it_is_put_together(void **state)
{
    (void)state;
    static const char text[] = "last_over_time(huge[300h])";
    size_t series = 0;
    assert_int_equal(run(text, true, false, SIZE_MAX, &series), MRD_OK);
    const size_t alone = looks;
    assert_int_equal(run(text, true, true, SIZE_MAX, &series), MRD_OK);
    assert_in_range(looks, alone + HUGE_SAMPLES / (2 * MRD_PACE_UNITS), 10000);
    assert_int_equal(run(text, true, true, HUGE_SAMPLES / (4 * MRD_PACE_UNITS), &series),
                     MRD_E_CANCELED);
    assert_in_range(looks, 1, HUGE_SAMPLES / (4 * MRD_PACE_UNITS) + 1);
}

/* Values, names and series of both tiers; what the tiers themselves do does not look here. */
enum list { VALUES, SETS };

static enum mrd_status list_of_both(enum list which, size_t cancel_at, size_t *out_count)
{
    const struct mrd_source *plain = mrd_memory_source_get(wide);
    struct mrd_tiers tiers = {.head = plain, .blocks = plain};
    const struct mrd_source both = mrd_tiers_source(&tiers);
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("query", SIZE_MAX);
    struct mrd_annotations annotations;
    mrd_annotations_init(&annotations, arena, MRD_BYTES_NONE);
    const struct mrd_query_scope scope = {arena, &annotations, &looking};
    const struct mrd_label_query query = {.min_ms = 0, .max_ms = STEP_MS};
    struct mrd_texts texts = {0};
    struct mrd_label_sets sets = {0};
    looks_begin(cancel_at);
    const enum mrd_status status =
        which == VALUES
            ? both.label_values(both.context, MRD_BYTES("instance"), &query, &scope, &texts, NULL)
            : both.series(both.context, &query, &scope, &sets, NULL);
    *out_count = which == VALUES ? texts.count : sets.count;
    return status;
}

static void the_join_of_two_lists_looks_and_ends(void **state)
{
    (void)state;
    static const struct {
        enum list which;
        size_t count;
    } lists[] = {
        {VALUES, SERIES    },
        {SETS,   2 * SERIES},
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(lists); i++) {
        size_t count = 0;
        assert_int_equal(list_of_both(lists[i].which, SIZE_MAX, &count), MRD_OK);
        assert_int_equal(count, lists[i].count);
        assert_in_range(looks, count / 8192, count / 1024);
        const size_t total = looks;
        const size_t stride = total / 8 + 1; /* each costs as much as went before it */
        for (size_t at = 1; at <= total; at += stride) {
            assert_int_equal(list_of_both(lists[i].which, at, &count), MRD_E_CANCELED);
            assert_int_equal(looks, at);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longer_it_takes_the_more_often_it_looks_and_ends_where_one_says_so),
        cmocka_unit_test(a_long_series_of_two_tiers_looks_while_it_is_put_together),
        cmocka_unit_test(the_join_of_two_lists_looks_and_ends),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
