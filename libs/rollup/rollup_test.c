#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "rollup/builder.h"
#include "rollup/codec.h"
#include "rollup/cover.h"

static void windows_are_left_open_and_right_closed(void **state)
{
    (void)state;
    assert_int_equal(mrd_rollup_window_end(0, 60), 0);
    assert_int_equal(mrd_rollup_window_end(1, 60), 60);
    assert_int_equal(mrd_rollup_window_end(60, 60), 60);
    assert_int_equal(mrd_rollup_window_end(61, 60), 120);
    assert_int_equal(mrd_rollup_window_end(-1, 60), 0);
    assert_int_equal(mrd_rollup_window_end(-60, 60), -60);
    assert_int_equal(mrd_rollup_window_end(-61, 60), -60);
}

/* ---- rows ---- */

struct kept {
    struct mrd_rollup_row rows[2][16];
    size_t counts[2];
    size_t fail_at; /* the call of emit that fails; 0: none */
};

static enum mrd_status keep(void *context, size_t level, const struct mrd_rollup_row *row,
                            struct mrd_error *err)
{
    struct kept *kept = context;
    if (kept->fail_at > 0 && --kept->fail_at == 0) {
        return mrd_fail(err, MRD_E_UNAVAILABLE, "told to fail");
    }
    assert_true(kept->counts[level] < 16);
    kept->rows[level][kept->counts[level]++] = *row;
    return MRD_OK;
}

static const mrd_time_ms minute_and_ten[] = {60000, 600000};

static struct mrd_rollup_builder *make_builder(struct kept *kept, size_t memory_bytes_max)
{
    return mrd_rollup_builder_create(
        &(struct mrd_rollup_builder_options){.resolutions_ms = minute_and_ten,
                                             .resolution_count = 2,
                                             .memory_bytes_max = memory_bytes_max,
                                             .emit = keep,
                                             .context = kept});
}

static const mrd_time_ms times_ms[] = {1000, 30000, 60000, 60001, 120000, 400000, 600000, 600001};
static const double values[] = {5, 7, 2, 3, 9, 1, 1, 4};

static void a_row_says_what_its_samples_were(void **state)
{
    (void)state;
    struct kept kept = {0};
    struct mrd_rollup_builder *builder = make_builder(&kept, 0);
    const struct mrd_samples samples = {times_ms, values, 8, NULL};
    const struct mrd_histograms none = {0};
    assert_int_equal(mrd_rollup_builder_add(builder, &samples, &none, NULL), MRD_OK);
    assert_int_equal(mrd_rollup_builder_end(builder, NULL), MRD_OK);
    assert_int_equal(kept.counts[0], 5);
    assert_int_equal(kept.counts[1], 2);
    const struct mrd_rollup_row *first = &kept.rows[0][0];
    assert_int_equal(first->end_ms, 60000);
    assert_int_equal(first->floats.count, 3);
    assert_true(first->floats.sum.sum == 14 && first->floats.min == 2 && first->floats.max == 7);
    assert_true(first->floats.first == 5 && first->floats.last == 2);
    assert_true(first->floats.resets[MRD_ROLLUP_BY_VALUE] == 1);
    assert_true(first->floats.lost[MRD_ROLLUP_BY_VALUE] == 7);
    assert_true(first->floats.changes == 2);
    const struct mrd_rollup_row *ten = &kept.rows[1][0];
    assert_int_equal(ten->end_ms, 600000);
    assert_int_equal(ten->floats.count, 7);
    assert_true(ten->floats.resets[MRD_ROLLUP_BY_VALUE] == 2);
    assert_true(ten->floats.lost[MRD_ROLLUP_BY_VALUE] == 7 + 9);
    assert_int_equal(ten->floats.changes, 5);
    assert_int_equal(kept.rows[1][1].end_ms, 1200000);
    mrd_rollup_builder_destroy(&builder);
}

static void rows_do_not_depend_on_the_pieces(void **state)
{
    (void)state;
    const struct mrd_histograms none = {0};
    for (size_t cut = 0; cut <= 8; cut++) {
        struct kept kept = {0};
        struct mrd_rollup_builder *builder = make_builder(&kept, 0);
        const struct mrd_samples a = {times_ms, values, cut, NULL};
        const struct mrd_samples b = {times_ms + cut, values + cut, 8 - cut, NULL};
        assert_int_equal(mrd_rollup_builder_add(builder, &a, &none, NULL), MRD_OK);
        assert_int_equal(mrd_rollup_builder_add(builder, &b, &none, NULL), MRD_OK);
        assert_int_equal(mrd_rollup_builder_end(builder, NULL), MRD_OK);
        assert_int_equal(kept.counts[0], 5);
        assert_int_equal(kept.counts[1], 2);
        assert_int_equal(kept.rows[1][0].floats.count, 7);
        mrd_rollup_builder_destroy(&builder);
    }
}

static void expect_same_floats(const struct mrd_rollup_floats *a, const struct mrd_rollup_floats *b)
{
    assert_int_equal(a->count, b->count);
    assert_true(a->sum.sum == b->sum.sum && a->sum.compensation == b->sum.compensation);
    assert_true(a->min == b->min && a->max == b->max);
    assert_true(a->first == b->first && a->last == b->last);
    assert_int_equal(a->first_at.time_ms, b->first_at.time_ms);
    assert_int_equal(a->last_at.time_ms, b->last_at.time_ms);
    assert_int_equal(a->changes, b->changes);
    for (size_t k = 0; k < MRD_ROLLUP_RESET_KINDS; k++) {
        assert_int_equal(a->resets[k], b->resets[k]);
        assert_true(a->lost[k] == b->lost[k]);
    }
    assert_int_equal(a->overlaps, b->overlaps);
}

static void joining_is_associative(void **state)
{
    (void)state;
    for (size_t i = 1; i < 7; i++) {
        for (size_t k = i + 1; k < 8; k++) {
            struct mrd_rollup_row parts[3] = {mrd_rollup_row_empty(0), mrd_rollup_row_empty(0),
                                              mrd_rollup_row_empty(0)};
            struct mrd_rollup_row left;
            struct mrd_rollup_row right;
            for (size_t s = 0; s < 8; s++) {
                mrd_rollup_add_float(&parts[s < i ? 0 : (s < k ? 1 : 2)].floats, values[s],
                                     (struct mrd_span){times_ms[s], 0});
            }
            left = parts[0];
            right = parts[1];
            assert_int_equal(mrd_rollup_join(&left, &parts[1], NULL, NULL), MRD_OK);
            assert_int_equal(mrd_rollup_join(&left, &parts[2], NULL, NULL), MRD_OK);
            assert_int_equal(mrd_rollup_join(&right, &parts[2], NULL, NULL), MRD_OK);
            assert_int_equal(mrd_rollup_join(&parts[0], &right, NULL, NULL), MRD_OK);
            expect_same_floats(&left.floats, &parts[0].floats);
        }
    }
}

static void a_failure_to_keep_a_row_is_told(void **state)
{
    (void)state;
    const struct mrd_samples samples = {times_ms, values, 8, NULL};
    const struct mrd_histograms none = {0};
    for (size_t n = 1; n <= 7; n++) {
        struct kept kept = {.fail_at = n};
        struct mrd_rollup_builder *builder = make_builder(&kept, 0);
        enum mrd_status status = mrd_rollup_builder_add(builder, &samples, &none, NULL);
        if (status == MRD_OK) {
            status = mrd_rollup_builder_end(builder, NULL);
        }
        assert_int_equal(status, MRD_E_UNAVAILABLE);
        mrd_rollup_builder_destroy(&builder);
    }
}

/* ---- histograms: memory does not grow with their number ---- */

static enum mrd_status add_histograms(struct mrd_rollup_builder *builder, size_t count,
                                      struct mrd_error *err)
{
    const struct mrd_histogram_span span = {0, 20};
    union mrd_histogram_count counts[20] = {0};
    const struct mrd_samples none = {0};
    for (size_t i = 0; i < count; i++) {
        const mrd_time_ms time_ms = (mrd_time_ms)(i + 1);
        counts[i % 20].integer += i % 7 == 0 ? 0 : 1;
        const bool falls = i % 11 == 10;
        const struct mrd_histogram histogram = {
            .count.integer = falls ? 1 : i + 20,
            .positive = {&span, counts, 1, 20},
        };
        const struct mrd_histograms one = {&time_ms, &histogram, 1, NULL};
        MRD_TRY(mrd_rollup_builder_add(builder, &none, &one, err));
    }
    return mrd_rollup_builder_end(builder, err);
}

static void histograms_take_bounded_memory(void **state)
{
    (void)state;
    bool ok = false;
    for (size_t limit = 1024; !ok; limit *= 2) {
        struct kept kept = {0};
        struct mrd_error err = {0};
        struct mrd_rollup_builder *builder = make_builder(&kept, limit);
        const enum mrd_status status = add_histograms(builder, 10000, &err);
        ok = status == MRD_OK;
        assert_true(ok || status == MRD_E_LIMIT);
        assert_true(limit <= 512 << 10);
        mrd_rollup_builder_destroy(&builder);
    }
}

/* ---- bytes ---- */

static void bytes_that_are_no_rows_are_refused(void **state)
{
    (void)state;
    struct kept kept = {0};
    struct mrd_rollup_builder *builder = make_builder(&kept, 0);
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    const struct mrd_samples samples = {times_ms, values, 8, NULL};
    const struct mrd_histograms none = {0};
    const struct mrd_rollup_row *rows = NULL;
    size_t count = 0;
    assert_int_equal(mrd_rollup_builder_add(builder, &samples, &none, NULL), MRD_OK);
    assert_int_equal(mrd_rollup_builder_end(builder, NULL), MRD_OK);
    mrd_rollup_builder_destroy(&builder);
    mrd_rollup_encode(kept.rows[0], kept.counts[0], 60000, &bytes);
    struct mrd_arena *arena = mrd_arena_create("test", 1 << 20);
    for (size_t size = 0; size < bytes.size; size++) {
        const struct mrd_bytes some = {bytes.data, size};
        assert_int_equal(mrd_rollup_decode(some, 60000, arena, &rows, &count, NULL), MRD_E_CORRUPT);
    }
    mrd_buf_append_u8(&bytes, 0);
    assert_int_equal(mrd_rollup_decode(mrd_buf_view(&bytes), 60000, arena, &rows, &count, NULL),
                     MRD_E_CORRUPT);
    bytes.size--;
    assert_int_equal(mrd_rollup_decode(mrd_buf_view(&bytes), 60000, arena, &rows, &count, NULL),
                     MRD_OK);
    assert_int_equal(count, kept.counts[0]);
    for (size_t i = 0; i < count; i++) {
        expect_same_floats(&rows[i].floats, &kept.rows[0][i].floats);
        assert_int_equal(rows[i].end_ms, kept.rows[0][i].end_ms);
    }
    mrd_arena_destroy(&arena);
    arena = mrd_arena_create("test", 100);
    assert_int_equal(mrd_rollup_decode(mrd_buf_view(&bytes), 60000, arena, &rows, &count, NULL),
                     MRD_E_LIMIT);
    mrd_arena_destroy(&arena);
}

/* ---- which questions ---- */

static const mrd_time_ms all_ms[] = {MRD_ROLLUP_5M_MS, MRD_ROLLUP_1H_MS, MRD_ROLLUP_1D_MS};

static void the_coarsest_resolution_that_suits_is_chosen(void **state)
{
    (void)state;
    enum { MIN = 60000, HOUR = 60 * MIN, DAY = 24 * HOUR };
    static const struct {
        const char *function;
        mrd_time_ms range_ms;
        mrd_time_ms end_ms;
        mrd_time_ms step_ms;
        bool moves_edges;
        int want;
    } cases[] = {
        {"rate",               HOUR,    10 * HOUR,     HOUR,    false, 1 },
        {"rate",               DAY,     10 * DAY,      DAY,     false, 2 },
        {"rate",               DAY,     10 * DAY,      HOUR,    false, 1 },
        {"rate",               DAY,     10 * DAY + 1,  DAY,     false, -1},
        {"rate",               5 * MIN, 10 * HOUR,     HOUR,    false, 0 },
        {"rate",               MIN,     10 * HOUR,     HOUR,    false, -1},
        {"rate",               HOUR,    10 * HOUR,     90000,   false, -1},
        {"rate",               HOUR,    10 * HOUR,     0,       false, 1 },
        {"rate",               HOUR,    10 * HOUR,     HOUR,    true,  -1},
        {"quantile_over_time", HOUR,    10 * HOUR,     HOUR,    false, -1},
        {"stddev_over_time",   HOUR,    10 * HOUR,     HOUR,    false, -1},
        {"irate",              HOUR,    10 * HOUR,     HOUR,    false, -1},
        {"deriv",              HOUR,    10 * HOUR,     HOUR,    false, -1},
        {"",                   0,       10 * DAY,      DAY,     false, 2 },
        {"timestamp",          0,       10 * HOUR,     5 * MIN, false, 0 },
        {"",                   0,       10 * HOUR + 1, HOUR,    false, -1},
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        const struct mrd_rollup_use use = {.function = mrd_bytes_of(cases[i].function),
                                           .range_ms = cases[i].range_ms,
                                           .end_ms = cases[i].end_ms,
                                           .step_ms = cases[i].step_ms,
                                           .moves_edges = cases[i].moves_edges};
        const char *why = NULL;
        assert_int_equal(mrd_rollup_choose(&use, all_ms, 3), cases[i].want);
        assert_int_equal(mrd_rollup_suits(&use, all_ms[2], &why), cases[i].want == 2);
        assert_int_equal(why == NULL, cases[i].want == 2);
    }
}

static void any_range_is_covered_once(void **state)
{
    (void)state;
    uint64_t chance = 7;
    for (size_t i = 0; i < 20000; i++) {
        struct mrd_rollup_part parts[MRD_ROLLUP_PARTS_MAX(3)];
        chance = chance * 6364136223846793005ULL + 1442695040888963407ULL;
        const mrd_time_ms unit_ms = chance >> 62 == 0 ? 1 : MRD_ROLLUP_5M_MS;
        const mrd_time_ms begin_ms = (mrd_time_ms)(chance >> 40) % 5000 * unit_ms - 1000 * unit_ms;
        const mrd_time_ms end_ms = begin_ms + (mrd_time_ms)(chance >> 20) % 3000 * unit_ms;
        const size_t count = mrd_rollup_cover(begin_ms, end_ms, all_ms, 3, parts);
        mrd_time_ms at_ms = begin_ms;
        assert_true(count <= MRD_ARRAY_LEN(parts));
        for (size_t p = 0; p < count; p++) {
            const mrd_time_ms resolution_ms = MRD_MAX(parts[p].resolution_ms, (mrd_time_ms)1);
            assert_int_equal(parts[p].begin_ms, at_ms);
            assert_true(parts[p].end_ms > at_ms);
            assert_int_equal(parts[p].begin_ms % resolution_ms, 0);
            assert_int_equal(parts[p].end_ms % resolution_ms, 0);
            at_ms = parts[p].end_ms;
        }
        assert_int_equal(at_ms, end_ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_are_left_open_and_right_closed),
        cmocka_unit_test(a_row_says_what_its_samples_were),
        cmocka_unit_test(rows_do_not_depend_on_the_pieces),
        cmocka_unit_test(joining_is_associative),
        cmocka_unit_test(a_failure_to_keep_a_row_is_told),
        cmocka_unit_test(histograms_take_bounded_memory),
        cmocka_unit_test(bytes_that_are_no_rows_are_refused),
        cmocka_unit_test(the_coarsest_resolution_that_suits_is_chosen),
        cmocka_unit_test(any_range_is_covered_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
