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

#include "promqltest/script.h"
#include "promqltest/script_histogram.h"
#include "promqltest/script_target.h"
#include "promqltest/tiers_rig.h"

enum { ROUNDS = 80, QUERIES_PER_ROUND = 40 };

static void however_samples_are_spread_the_answer_is_the_same(void **state)
{
    (void)state;
    mrd_random_seed_for_test(20241126);
    struct parts *parts = parts_create();
    for (size_t round = 0; round < ROUNDS; round++) {
        const enum style style = (enum style)(round % STYLES);
        mrd_random_fill(parts->whole);
        mrd_random_certain(parts->whole);
        cut_up(parts, style);
        parts_arrange(parts, 1 + (uint32_t)below(SEGMENTS_MAX), mrd_random_next());
        for (size_t q = 0; q < QUERIES_PER_ROUND; q++) {
            struct mrd_random_text text = {0};
            mrd_random_query(&text);
            const struct asked asked = {mrd_random_request(&text), mrd_random_options()};
            compare_tiers(parts, &asked, style);
        }
        compare_certain(parts, style);
    }
    const size_t fragments = mrd_memory_source_fragments(parts->head);
    print_message("%d queries; %zu with points, %zu fail; %zu selects of blocks, %zu fragments of "
                  "the head\n",
                  ROUNDS * QUERIES_PER_ROUND, with_points, with_errors, parts->asked_blocks,
                  fragments);
    assert_true(with_points >= ROUNDS); /* these are certain; the random ones have far more */
    assert_true(parts->asked_blocks >= (STYLES - 1) * (ROUNDS / STYLES));
    assert_true(fragments >= ROUNDS / STYLES / 2);
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

static enum mrd_status cannot_know(void *context, const struct mrd_select *select,
                                   const struct mrd_query_scope *scope, bool *out_needed,
                                   struct mrd_error *err)
{
    (void)context;
    (void)select;
    (void)scope;
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
