#include "head/testing_internal.h"

/* ---- samples ---- */

static void special_values_come_back_bit_for_bit(void **state)
{
    (void)state;
    struct mrd_head *head = make_head(0);
    const uint32_t a = testing_need_series(head, "t", "__name__=a", hlc_of(0));
    const double values[] = {
        1.5, mrd_stale_nan(), -0.0, mrd_double_from_bits(MRD_NORMAL_NAN_BITS), 5e-324, 0.0, 1e308};
    double want[MRD_ARRAY_LEN(values)][2];
    for (size_t i = 0; i < MRD_ARRAY_LEN(values); i++) {
        testing_append(head, a, T0 + (mrd_time_ms)i, values[i], hlc_of(1), 1, NULL);
        want[i][0] = (double)i;
        want[i][1] = values[i];
    }
    expect_samples(head, "__name__=a", (const double(*)[2])want, MRD_ARRAY_LEN(values));
    mrd_head_destroy(&head);
}

static void the_same_sample_again_is_free(void **state)
{
    (void)state;
    struct mrd_head *head = make_head(0);
    const uint32_t a = testing_need_series(head, "t", "__name__=a", hlc_of(0));
    struct mrd_head_append_result result = {0};
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 500; i++) {
            testing_append(head, a, T0 + i * 15000, i, hlc_of(round), 1, &result);
        }
    }
    assert_int_equal(result.appended, 500);
    assert_int_equal(result.duplicates, 1000);
    assert_int_equal(stats_of(head).sample_count, 500);
    assert_int_equal(stats_of(head).memory_bytes[MRD_HEAD_MEMORY_OVERLAY], 0);
    mrd_head_destroy(&head);
}

static void the_later_write_wins_whatever_comes_first(void **state)
{
    (void)state;
    static const struct {
        struct {
            double value;
            int hlc;
            uint32_t origin;
        } writes[3];
        double want;
    } cases[] = {
        {{{1, 5, 1}, {2, 6, 1}, {3, 7, 1}}, 3},
        {{{1, 5, 1}, {2, 7, 1}, {3, 6, 1}}, 2},
        {{{1, 7, 1}, {2, 6, 1}, {3, 5, 1}}, 1},
        {{{1, 5, 1}, {2, 6, 2}, {3, 6, 1}}, 2}, /* the origin decides between equal stamps */
        {{{1, 5, 1}, {2, 6, 1}, {3, 6, 2}}, 3},
        {{{1, 5, 1}, {3, 6, 1}, {2, 6, 1}}, 3}, /* then the greater value bits */
        {{{1, 5, 1}, {2, 6, 1}, {3, 6, 1}}, 3},
        {{{2, 5, 1}, {1, 5, 1}, {1, 5, 1}}, 2}, /* one batch against the newest sample */
        {{{1, 5, 1}, {2, 5, 1}, {1, 5, 1}}, 2},
        {{{1, 5, 1}, {2, 6, 1}, {1, 7, 1}}, 1}, /* back to the first value */
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        struct mrd_head *head = make_head(0);
        const uint32_t a = testing_need_series(head, "t", "__name__=a", hlc_of(0));
        struct mrd_head_verdict greatest = {0};
        for (size_t k = 0; k < 3; k++) {
            const struct mrd_head_verdict write = {hlc_of(cases[i].writes[k].hlc),
                                                   cases[i].writes[k].origin,
                                                   cases[i].writes[k].value, 0};
            testing_append(head, a, T0, write.value, write.hlc, write.origin, NULL);
            greatest = mrd_head_is_later(&write, &greatest) ? write : greatest;
        }
        struct mrd_head_contested sample;
        while (mrd_head_contested_take(head, &sample, 1) == 1) {
            mrd_head_settle(head, &sample, &greatest);
        }
        const double want[][2] = {
            {0, cases[i].want}
        };
        expect_samples(head, "__name__=a", want, 1);
        assert_int_equal(stats_of(head).sample_count, 1);
        mrd_head_destroy(&head);
    }
}

static void many_overrides_end_up_in_the_chunks(void **state)
{
    (void)state;
    struct mrd_head *head = make_head(0);
    const uint32_t a = testing_need_series(head, "t", "__name__=a", hlc_of(0));
    static double want[1000][2];
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 1000; i++) {
            testing_append(head, a, T0 + i * 15000, i + round, hlc_of(round * 1000 + i), 1, NULL);
            want[i][0] = i * 15000.0;
            want[i][1] = i + round;
        }
    }
    expect_samples(head, "__name__=a", (const double(*)[2])want, 1000);
    assert_int_equal(stats_of(head).sample_count, 1000);
    assert_true(stats_of(head).memory_bytes[MRD_HEAD_MEMORY_OVERLAY] <= 4096);
    mrd_head_destroy(&head);
}

static void samples_arriving_backwards_are_all_there_and_get_compressed(void **state)
{
    (void)state;
    struct mrd_head *head = make_head(0);
    const uint32_t a = testing_need_series(head, "t", "__name__=a", hlc_of(0));
    static double want[5000][2];
    struct mrd_head_append_result result = {0};
    for (int i = 4999; i >= 0; i--) {
        testing_append(head, a, T0 + i * 15000, i, hlc_of(1), 1, &result);
        want[i][0] = i * 15000.0;
        want[i][1] = i;
    }
    assert_int_equal(result.out_of_order, 4999);
    expect_samples(head, "__name__=a", (const double(*)[2])want, 5000);
    const struct mrd_head_stats stats = stats_of(head);
    assert_int_equal(stats.sample_count, 5000);
    assert_true(stats.memory_bytes[MRD_HEAD_MEMORY_SEALED] < 10000);
    assert_true(stats.memory_bytes[MRD_HEAD_MEMORY_OVERLAY] <= 4096);
    mrd_head_destroy(&head);
}

static void times_out_of_range_are_refused_and_counted(void **state)
{
    (void)state;
    struct mrd_head *head = make_head(0);
    const uint32_t a = testing_need_series(head, "t", "__name__=a", hlc_of(0));
    struct mrd_head_append_result result = {0};
    static const mrd_time_ms bad[] = {INT64_MIN, INT64_MAX, MRD_HEAD_TIME_MAX + 1,
                                      -MRD_HEAD_TIME_MAX - 1};
    for (size_t i = 0; i < MRD_ARRAY_LEN(bad); i++) {
        testing_append(head, a, bad[i], 1, hlc_of(1), 1, &result);
    }
    assert_int_equal(result.refused, 4);
    testing_append(head, a, MRD_HEAD_TIME_MAX, 1, hlc_of(1), 1, &result);
    testing_append(head, a, -MRD_HEAD_TIME_MAX, 1, hlc_of(1), 1, &result);
    for (size_t i = 0; i < MRD_ARRAY_LEN(bad); i++) {
        testing_append(head, a, bad[i], 1, hlc_of(1), 1, &result);
    }
    assert_int_equal(result.refused, 8);
    assert_int_equal(stats_of(head).sample_count, 2);
    mrd_head_destroy(&head);
}

static void negative_times_keep_to_their_buckets(void **state)
{
    (void)state;
    struct mrd_head *head = make_head(0);
    const uint32_t a = testing_need_series(head, "t", "__name__=a", hlc_of(0));
    for (mrd_time_ms at = -3 * BUCKET_MS; at < BUCKET_MS; at += 60000) {
        testing_append(head, a, at, 1, hlc_of(1), 1, NULL);
    }
    assert_int_equal(stats_of(head).sample_count, 480);
    const struct mrd_head_sweep sweep = {-1, UINT64_MAX, 0, SIZE_MAX};
    struct mrd_head_sweep_result swept;
    mrd_head_sweep(head, &sweep, &swept);
    assert_int_equal(swept.samples_dropped, 240); /* the bucket of -1 stays */
    mrd_head_destroy(&head);
}

/* ---- series ---- */

static void bad_labels_are_refused_and_change_nothing(void **state)
{
    (void)state;
    struct mrd_head *head = make_head(0);
    static const char *const bad[] = {"\x01",
                                      "\x01"
                                      "a",
                                      "\x01"
                                      "a\x00",
                                      "\x00\x01"
                                      "a",
                                      "\x01"
                                      "b\x01"
                                      "1\x01"
                                      "a\x01"
                                      "1",
                                      "\x01"
                                      "a\x01"
                                      "1\x01"
                                      "a\x01"
                                      "2"};
    static const size_t sizes[] = {1, 2, 3, 3, 8, 8};
    for (size_t i = 0; i < MRD_ARRAY_LEN(bad); i++) {
        const struct mrd_head_series_key key = {
            MRD_BYTES("t"), {i,                       i       },
             {(const uint8_t *)bad[i], sizes[i]}
        };
        uint32_t ordinal = 77;
        assert_int_equal(mrd_head_series(head, &key, hlc_of(0), &ordinal, NULL), MRD_E_CORRUPT);
        assert_int_equal(ordinal, 77);
    }
    assert_int_equal(stats_of(head).series_count, 0);
    assert_int_equal(stats_of(head).tenant_count, 0);
    mrd_head_destroy(&head);
}

static void long_values_and_many_labels_work(void **state)
{
    (void)state;
    struct mrd_head *head = make_head(0);
    static char text[200000] = "__name__=";
    memset(text + 9, 'x', 100000);
    const uint32_t a = testing_need_series(head, "t", text, hlc_of(0));
    testing_append(head, a, T0, 1, hlc_of(1), 1, NULL);
    const double want[][2] = {
        {0, 1}
    };
    expect_samples(head, text, want, 1);
    const struct mrd_head_sweep sweep = {INT64_MAX, UINT64_MAX, UINT64_MAX, SIZE_MAX};
    struct mrd_head_sweep_result swept;
    mrd_head_sweep(head, &sweep, &swept);
    assert_int_equal(swept.series_removed, 1);
    assert_int_equal(stats_of(head).memory_bytes[MRD_HEAD_MEMORY_SERIES],
                     64 * sizeof(uint64_t)); /* the table's least size */
    mrd_head_destroy(&head);
}

static void tenants_do_not_see_each_other(void **state)
{
    (void)state;
    struct mrd_head *head = make_head(0);
    const uint32_t a = testing_need_series(head, "t", "__name__=a", hlc_of(0));
    const uint32_t b = testing_need_series(head, "u", "__name__=a", hlc_of(0));
    assert_int_not_equal(a, b);
    testing_append(head, a, T0, 1, hlc_of(1), 1, NULL);
    testing_append(head, b, T0, 2, hlc_of(1), 1, NULL);
    const double want[][2] = {
        {0, 1}
    };
    expect_samples(head, "__name__=a", want, 1);
    struct testing_results results;
    const struct mrd_head_query query = everything("nobody");
    testing_select(head, &query, SIZE_MAX, &results);
    assert_int_equal(results.count, 0);
    mrd_head_destroy(&head);
}

/* Series of a device fleet, spread over tenants; returns bytes a series. */
static double bytes_per_series(size_t series_count, size_t tenant_count)
{
    struct mrd_head *head = make_head(0);
    for (size_t i = 0; i < series_count; i++) {
        char tenant[32];
        char labels[128];
        const size_t device = i / 10;
        (void)snprintf(tenant, sizeof(tenant), "tenant-%zu", device % tenant_count);
        (void)snprintf(labels, sizeof(labels),
                       "__name__=metric_%zu,device=d-%zu,job=sensors,region=r-%zu", i % 10, device,
                       device % 8);
        const uint32_t ordinal = testing_need_series(head, tenant, labels, hlc_of(0));
        for (int k = 0; k < 5; k++) {
            testing_append(head, ordinal, T0 + k * 15000, k, hlc_of(1), 1, NULL);
        }
    }
    const struct mrd_head_stats stats = stats_of(head);
    assert_int_equal(stats.tenant_count, tenant_count);
    assert_int_equal(stats.series_count, series_count);
    mrd_head_destroy(&head);
    return (double)stats.memory_bytes_total / (double)series_count;
}

static void small_tenants_cost_no_more_than_a_big_one(void **state)
{
    (void)state;
    const double one = bytes_per_series(50000, 1);
    const double many = bytes_per_series(50000, 5000);
    print_message("%.0f bytes a series for one tenant, %.0f for 5000\n", one, many);
    assert_true(one < 350);
    assert_true(many < one * 1.1);
}

/* ---- forgetting ---- */

static void what_is_not_covered_stays(void **state)
{
    (void)state;
    struct mrd_head *head = make_head(0);
    const uint32_t a = testing_need_series(head, "t", "__name__=a", hlc_of(0));
    testing_append(head, a, T0, 1, hlc_of(100), 1, NULL);
    testing_append(head, a, T0 + BUCKET_MS, 2, hlc_of(200), 1, NULL);
    testing_append(head, a, T0 - BUCKET_MS, 3, hlc_of(300), 1, NULL); /* late */
    struct mrd_head_sweep_result swept;
    struct mrd_head_sweep sweep = {T0 + BUCKET_MS - 1, hlc_of(300), 0, SIZE_MAX};
    mrd_head_sweep(head, &sweep, &swept);
    assert_int_equal(swept.samples_dropped, 1); /* only the late one: T0's bucket is not over */
    sweep = (struct mrd_head_sweep){T0 + 5 * BUCKET_MS, hlc_of(99), 0, SIZE_MAX};
    mrd_head_sweep(head, &sweep, &swept);
    assert_int_equal(swept.samples_dropped, 0);
    sweep.covered_hlc = hlc_of(100);
    mrd_head_sweep(head, &sweep, &swept);
    assert_int_equal(swept.samples_dropped, 1);
    const double want[][2] = {
        {BUCKET_MS, 2}
    };
    expect_samples(head, "__name__=a", want, 1);
    mrd_head_destroy(&head);
}

static void an_override_stays_as_long_as_what_it_overrides(void **state)
{
    (void)state;
    struct mrd_head *head = make_head(0);
    const uint32_t a = testing_need_series(head, "t", "__name__=a", hlc_of(0));
    testing_append(head, a, T0, 1, hlc_of(100), 1, NULL);
    testing_append(head, a, T0, 2, hlc_of(101), 1, NULL);
    testing_append(head, a, T0 + 1000, 1, hlc_of(200), 1, NULL);
    struct mrd_head_sweep_result swept;
    struct mrd_head_sweep sweep = {INT64_MAX, hlc_of(150), 0, SIZE_MAX};
    mrd_head_sweep(head, &sweep, &swept);
    const double want[][2] = {
        {0,    2},
        {1000, 1}
    };
    expect_samples(head, "__name__=a", want, 2);
    sweep.covered_hlc = hlc_of(200);
    mrd_head_sweep(head, &sweep, &swept);
    assert_int_equal(swept.samples_dropped, 2);
    assert_int_equal(stats_of(head).sample_count, 0);
    mrd_head_destroy(&head);
}

static void only_empty_and_long_unnamed_series_are_removed(void **state)
{
    (void)state;
    struct mrd_head *head = make_head(0);
    const uint32_t idle = testing_need_series(head, "t", "__name__=idle", hlc_of(0));
    const uint32_t named = testing_need_series(head, "t", "__name__=named", hlc_of(0));
    const uint32_t full = testing_need_series(head, "t", "__name__=full", hlc_of(0));
    const uint32_t recent = testing_need_series(head, "t", "__name__=recent", hlc_of(0));
    assert_int_equal(testing_need_series(head, "t", "__name__=named", hlc_of(900)), named);
    testing_append(head, full, T0 + 2 * BUCKET_MS, 1, hlc_of(10), 1, NULL);
    testing_append(head, recent, T0, 1, hlc_of(900), 1, NULL); /* is dropped, but came lately */
    struct mrd_head_sweep_result swept;
    const struct mrd_head_sweep sweep = {T0 + BUCKET_MS, UINT64_MAX, hlc_of(800), SIZE_MAX};
    mrd_head_sweep(head, &sweep, &swept);
    assert_int_equal(swept.samples_dropped, 1);
    assert_int_equal(swept.dead_count, 1);
    assert_int_equal(swept.dead[0], idle);
    assert_int_equal(stats_of(head).series_count, 3);
    mrd_head_destroy(&head);
}

static void a_dead_ordinal_never_writes_into_another_series(void **state)
{
    (void)state;
    struct mrd_head *head = make_head(0);
    const uint32_t old = testing_need_series(head, "t", "__name__=old", hlc_of(0));
    struct mrd_head_sweep_result swept;
    const struct mrd_head_sweep sweep = {INT64_MAX, UINT64_MAX, UINT64_MAX, SIZE_MAX};
    mrd_head_sweep(head, &sweep, &swept);
    assert_int_equal(swept.dead_count, 1);
    const uint32_t new = testing_need_series(head, "t", "__name__=new", hlc_of(1));
    assert_int_not_equal(new, old);
    struct mrd_head_append_result result = {0};
    testing_append(head, old, T0, 1, hlc_of(2), 1, &result);
    testing_append(head, MRD_HEAD_ORDINAL_NONE, T0, 1, hlc_of(2), 1, &result);
    assert_int_equal(result.rows_dead, 2);
    assert_int_equal(stats_of(head).sample_count, 0);
    mrd_head_recycle(head);
    assert_int_equal(testing_need_series(head, "t", "__name__=newer", hlc_of(3)), old);
    mrd_head_destroy(&head);
}

static void an_open_cursor_keeps_ordinals_from_being_given_out(void **state)
{
    (void)state;
    struct mrd_head *head = make_head(0);
    const uint32_t a = testing_need_series(head, "t", "__name__=a", hlc_of(0));
    testing_append(head, a, T0, 1, hlc_of(1), 1, NULL);
    const struct mrd_head_query query = everything("t");
    struct mrd_head_cursor *cursor = NULL;
    assert_int_equal(mrd_head_select(head, &query, &cursor, NULL), MRD_OK);
    assert_int_equal(mrd_head_cursor_series_count(cursor), 1);
    struct mrd_head_sweep_result swept;
    const struct mrd_head_sweep sweep = {INT64_MAX, UINT64_MAX, UINT64_MAX, SIZE_MAX};
    mrd_head_sweep(head, &sweep, &swept);
    assert_int_equal(swept.dead_count, 1);
    mrd_head_recycle(head);
    const uint32_t b = testing_need_series(head, "t", "__name__=b", hlc_of(1));
    assert_int_not_equal(b, a);
    testing_append(head, b, T0, 1, hlc_of(1), 1, NULL);
    struct mrd_head_selection *selection = NULL;
    assert_int_equal(mrd_head_cursor_next(cursor, SIZE_MAX, &selection, NULL), MRD_OK);
    assert_null(selection); /* a is gone, b came later */
    mrd_head_cursor_destroy(&cursor);
    assert_int_equal(testing_need_series(head, "t", "__name__=c", hlc_of(1)), a);
    mrd_head_destroy(&head);
}

static void a_few_dead_series_wait_for_more_but_not_for_ever(void **state)
{
    (void)state;
    struct mrd_head *head = make_head(0);
    const uint32_t idle = testing_need_series(head, "t", "__name__=idle,only=x", hlc_of(0));
    for (int i = 0; i < 300; i++) {
        char labels[64];
        (void)snprintf(labels, sizeof(labels), "__name__=m,id=%d", i);
        const uint32_t a = testing_need_series(head, "t", labels, hlc_of(900));
        testing_append(head, a, T0, i, hlc_of(900), 1, NULL);
    }
    const struct mrd_head_sweep sweep = {INT64_MIN, 0, hlc_of(800), SIZE_MAX};
    struct mrd_head_sweep_result swept;
    mrd_head_sweep(head, &sweep, &swept);
    assert_int_equal(swept.dead_count, 1);
    mrd_head_recycle(head);
    assert_int_equal(stats_of(head).series_count, 300);
    const uint32_t again = testing_need_series(head, "t", "__name__=idle,only=x", hlc_of(900));
    assert_int_not_equal(again, idle);
    testing_append(head, again, T0, 7, hlc_of(900), 1, NULL);
    for (int pass = 0; pass < 20; pass++) {
        const double want[][2] = {
            {0, 7}
        };
        expect_samples(head, "__name__=idle,only=x", want, 1);
        mrd_head_sweep(head, &sweep, &swept);
        assert_int_equal(swept.dead_count, 0);
    }
    assert_int_equal(testing_need_series(head, "t", "__name__=new", hlc_of(900)), idle);
    mrd_head_destroy(&head);
}

static void dropped_series_give_their_memory_back(void **state)
{
    (void)state;
    struct mrd_head *head = make_head(0);
    size_t most = 0;
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 10000; i++) {
            char labels[100];
            (void)snprintf(labels, sizeof(labels), "__name__=m,id=%d-%d,long=%d-%050d", round, i,
                           round, i);
            const uint32_t a = testing_need_series(head, "t", labels, hlc_of(round));
            for (int k = 0; k < 30; k++) {
                testing_append(head, a, T0 + k * 15000, k * 0.1, hlc_of(round), 1, NULL);
            }
        }
        const size_t total = stats_of(head).memory_bytes_total;
        most = round == 0 ? total : most;
        assert_true(total < most * 11 / 10); /* the last round's memory was used again */
        struct mrd_head_sweep_result swept = {0};
        const struct mrd_head_sweep sweep = {INT64_MAX, UINT64_MAX, UINT64_MAX, 3000};
        while (!swept.pass_done) {
            mrd_head_sweep(head, &sweep, &swept);
        }
        mrd_head_recycle(head);
        const struct mrd_head_stats stats = stats_of(head);
        assert_int_equal(stats.series_count, 0);
        assert_int_equal(stats.tenant_count, 0);
        assert_int_equal(stats.sample_count, 0);
        assert_int_equal(stats.memory_bytes[MRD_HEAD_MEMORY_OPEN], 0);
        assert_int_equal(stats.memory_bytes[MRD_HEAD_MEMORY_SEALED], 0);
        assert_true(stats.memory_bytes[MRD_HEAD_MEMORY_LABELS] < 10000);
        assert_true(stats.memory_bytes[MRD_HEAD_MEMORY_INDEX] < 10000);
        assert_true(stats.memory_bytes_total < most / 3);
    }
    mrd_head_destroy(&head);
}

/* ---- the budget ---- */

static void over_the_budget_calls_fail_and_change_nothing(void **state)
{
    (void)state;
    size_t created = 0;
    for (size_t limit = 1; created < 2000; limit *= 2) {
        struct mrd_head *head = make_head(limit);
        enum mrd_status status = MRD_OK;
        for (created = 0; created < 2000; created++) {
            char labels[64];
            (void)snprintf(labels, sizeof(labels), "__name__=m,id=%zu", created);
            uint32_t ordinal = 77;
            const struct mrd_head_stats before = stats_of(head);
            status = testing_series(head, "t", labels, hlc_of(0), &ordinal);
            if (status != MRD_OK) {
                const struct mrd_head_stats after = stats_of(head);
                assert_int_equal(status, MRD_E_LIMIT);
                assert_int_equal(ordinal, 77);
                assert_memory_equal(&before, &after, sizeof(before));
                assert_true(mrd_head_over_budget(head));
                break;
            }
        }
        const mrd_time_ms time_ms = T0;
        const double value = 1;
        const uint32_t ordinal = 0;
        const struct mrd_head_batch batch = {&ordinal, NULL,      1, &time_ms, &value,
                                             1,        hlc_of(1), 1, NULL};
        struct mrd_head_append_result result = {0};
        if (mrd_head_over_budget(head)) {
            assert_int_equal(mrd_head_append(head, &batch, &result, NULL), MRD_E_LIMIT);
            assert_int_equal(stats_of(head).sample_count, 0);
            uint32_t again = 0;
            if (created > 0) { /* known series are still found */
                assert_int_equal(testing_series(head, "t", "__name__=m,id=0", hlc_of(0), &again),
                                 MRD_OK);
            }
        }
        mrd_head_destroy(&head);
    }
}

/* ---- reading ---- */

static struct mrd_head *make_fleet(size_t count)
{
    struct mrd_head *head = make_head(0);
    for (size_t i = 0; i < count; i++) {
        char labels[100];
        (void)snprintf(labels, sizeof(labels), "__name__=m%zu,id=%zu,parity=%s", i % 4, i,
                       i % 2 == 0 ? "even" : "odd");
        const uint32_t a = testing_need_series(head, "t", labels, hlc_of(0));
        for (int k = 0; k < 10; k++) {
            testing_append(head, a, T0 + k * 15000, k, hlc_of(1), 1, NULL);
        }
    }
    return head;
}

static void a_selection_comes_in_slices_while_appends_go_on(void **state)
{
    (void)state;
    struct mrd_head *head = make_fleet(300);
    const struct mrd_head_query query = everything("t");
    struct mrd_head_cursor *cursor = NULL;
    assert_int_equal(mrd_head_select(head, &query, &cursor, NULL), MRD_OK);
    struct testing_results results = {0};
    for (;;) {
        struct mrd_head_selection *selection = NULL;
        assert_int_equal(mrd_head_cursor_next(cursor, 2000, &selection, NULL), MRD_OK);
        if (selection == NULL) {
            break;
        }
        assert_true(selection->frames.size < 2000 + 200);
        testing_append(head, 299, T0 + 1000000 + (mrd_time_ms)results.slices, 1, hlc_of(2), 1,
                       NULL);
        testing_read_selection(selection, &query, &results);
        results.slices++;
        mrd_head_selection_destroy(&selection);
    }
    mrd_head_cursor_destroy(&cursor);
    assert_int_equal(results.count, 300);
    assert_true(results.slices > 5);
    assert_int_equal(results.items[299].count, 10 + results.slices - 1);
    testing_results_fini(&results);
    mrd_head_destroy(&head);
}

static void limits_are_answers_that_name_themselves(void **state)
{
    (void)state;
    struct mrd_head *head = make_fleet(300);
    struct mrd_head_query query = everything("t");
    struct mrd_head_cursor *cursor = NULL;
    struct mrd_error err;
    query.series_max = 299;
    assert_int_equal(mrd_head_select(head, &query, &cursor, &err), MRD_E_LIMIT);
    assert_null(cursor);
    assert_non_null(strstr(err.text, "series_max"));
    query.series_max = 300;
    query.samples_max = 2999;
    assert_int_equal(mrd_head_select(head, &query, &cursor, &err), MRD_OK);
    struct mrd_head_selection *selection = NULL;
    assert_int_equal(mrd_head_cursor_next(cursor, SIZE_MAX, &selection, &err), MRD_E_LIMIT);
    assert_null(selection);
    assert_non_null(strstr(err.text, "samples_max"));
    mrd_head_cursor_destroy(&cursor);
    query.samples_max = 3000;
    struct testing_results results;
    testing_select(head, &query, 100, &results);
    assert_int_equal(results.count, 300);
    testing_results_fini(&results);
    mrd_head_destroy(&head);
}

static void labels_only_answers_have_no_chunks(void **state)
{
    (void)state;
    struct mrd_head *head = make_fleet(10);
    struct mrd_head_query query = everything("t");
    query.labels_only = true;
    struct testing_results results;
    testing_select(head, &query, SIZE_MAX, &results);
    assert_int_equal(results.count, 10);
    assert_int_equal(results.items[0].count, 0);
    testing_results_fini(&results);
    query.time_min_ms = T0 + 1000000; /* nothing so late */
    testing_select(head, &query, SIZE_MAX, &results);
    assert_int_equal(results.count, 0);
    mrd_head_destroy(&head);
}

static void collect(void *context, struct mrd_bytes text)
{
    struct mrd_buf *buf = context;
    mrd_buf_append_bytes(buf, text);
    mrd_buf_append_u8(buf, ' ');
}

static void expect_text(struct mrd_buf *buf, const char *want)
{
    mrd_buf_append_u8(buf, 0);
    assert_string_equal((const char *)buf->data, want);
    mrd_buf_clear(buf);
}

/* The same questions to a tenant with postings and to one without. */
static void label_names_and_values_follow_matchers_and_time(void **state)
{
    (void)state;
    static const size_t counts[] = {100, 300};
    for (size_t i = 0; i < MRD_ARRAY_LEN(counts); i++) {
        struct mrd_head *head = make_fleet(counts[i]);
        const uint32_t late = testing_need_series(head, "t", "__name__=late,only=x", hlc_of(0));
        testing_append(head, late, T0 + BUCKET_MS, 1, hlc_of(1), 1, NULL);
        struct mrd_head_query query = everything("t");
        struct mrd_buf got = {0};
        const struct mrd_bytes parity = MRD_BYTES("parity");
        assert_int_equal(mrd_head_label_values(head, &query, parity, collect, &got, NULL), MRD_OK);
        assert_true(got.size == 9);
        mrd_buf_clear(&got);
        struct mrd_matcher odd;
        assert_int_equal(
            mrd_matcher_init(&odd, MRD_MATCH_EQ, MRD_BYTES("__name__"), MRD_BYTES("m1"), NULL),
            MRD_OK);
        query.matchers = &odd;
        query.matcher_count = 1;
        assert_int_equal(mrd_head_label_values(head, &query, parity, collect, &got, NULL), MRD_OK);
        expect_text(&got, "odd ");
        assert_int_equal(mrd_head_label_names(head, &query, collect, &got, NULL), MRD_OK);
        expect_text(&got, "__name__ id parity ");
        mrd_matcher_fini(&odd);
        query = everything("t");
        query.time_min_ms = T0 + BUCKET_MS;
        assert_int_equal(mrd_head_label_names(head, &query, collect, &got, NULL), MRD_OK);
        assert_true(got.size == strlen("__name__ only "));
        mrd_buf_clear(&got);
        assert_int_equal(mrd_head_label_values(head, &query, parity, collect, &got, NULL), MRD_OK);
        assert_int_equal(got.size, 0);
        query = everything("t");
        query.series_max = 3;
        assert_int_equal(mrd_head_label_values(head, &query, MRD_BYTES("id"), collect, &got, NULL),
                         MRD_E_LIMIT);
        expect_text(&got, "0 1 2 ");
        mrd_buf_fini(&got);
        mrd_head_destroy(&head);
    }
}

static void count_up(void *context, struct mrd_bytes text, uint64_t series_count,
                     uint64_t value_count)
{
    uint64_t *sums = context;
    (void)text;
    sums[0] += series_count;
    sums[1] += value_count;
    sums[2]++;
}

static void cardinality_is_counted_by_value_and_by_name(void **state)
{
    (void)state;
    static const size_t counts[] = {100, 300};
    for (size_t i = 0; i < MRD_ARRAY_LEN(counts); i++) {
        struct mrd_head *head = make_fleet(counts[i]);
        uint64_t sums[3] = {0};
        assert_int_equal(mrd_head_count_by_value(head, MRD_BYTES("t"), MRD_BYTES("__name__"), NULL,
                                                 count_up, sums, NULL),
                         MRD_OK);
        assert_int_equal(sums[0], counts[i]);
        assert_int_equal(sums[2], 4);
        memset(sums, 0, sizeof(sums));
        assert_int_equal(mrd_head_count_by_name(head, MRD_BYTES("t"), NULL, count_up, sums, NULL),
                         MRD_OK);
        assert_int_equal(sums[0], 3 * counts[i]);
        assert_int_equal(sums[1], 4 + counts[i] + 2);
        assert_int_equal(sums[2], 3);
        uint64_t series = 0;
        assert_int_equal(mrd_head_tenant_series(head, MRD_BYTES("t"), NULL, &series, NULL), MRD_OK);
        assert_int_equal(series, counts[i]);
        assert_int_equal(
            mrd_head_count_by_name(head, MRD_BYTES("nobody"), NULL, count_up, sums, NULL), MRD_OK);
        assert_int_equal(sums[2], 3);
        mrd_head_destroy(&head);
    }
}

/* ---- the outcome is a function of the calls ---- */

static struct mrd_buf answer_of_run(uint64_t seed)
{
    struct mrd_head *head = make_head(0);
    uint32_t ordinals[8];
    for (size_t i = 0; i < 8; i++) {
        char labels[32];
        (void)snprintf(labels, sizeof(labels), "__name__=m%zu", i);
        ordinals[i] = testing_need_series(head, "t", labels, hlc_of(0));
    }
    for (int i = 0; i < 20000; i++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        const uint64_t draw = seed >> 20;
        testing_append(head, ordinals[draw % 8], T0 + (mrd_time_ms)(draw >> 3) % 4000 * 5000,
                       (double)(draw >> 16 & 3), hlc_of((int64_t)(draw >> 18) % 1000),
                       (uint32_t)(draw >> 30) % 3, NULL);
    }
    const struct mrd_head_query query = everything("t");
    struct mrd_head_cursor *cursor = NULL;
    struct mrd_head_selection *selection = NULL;
    assert_int_equal(mrd_head_select(head, &query, &cursor, NULL), MRD_OK);
    assert_int_equal(mrd_head_cursor_next(cursor, SIZE_MAX, &selection, NULL), MRD_OK);
    struct mrd_buf bytes = {0};
    mrd_buf_append_bytes(&bytes, mrd_buf_view(&selection->frames));
    mrd_head_selection_destroy(&selection);
    mrd_head_cursor_destroy(&cursor);
    mrd_head_destroy(&head);
    return bytes;
}

static void equal_calls_give_equal_bytes_even_with_stamps_out_of_order(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct mrd_buf first = answer_of_run(seed);
        struct mrd_buf second = answer_of_run(seed);
        assert_int_equal(first.size, second.size);
        assert_memory_equal(first.data, second.data, first.size);
        mrd_buf_fini(&first);
        mrd_buf_fini(&second);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(special_values_come_back_bit_for_bit),
        cmocka_unit_test(the_same_sample_again_is_free),
        cmocka_unit_test(the_later_write_wins_whatever_comes_first),
        cmocka_unit_test(many_overrides_end_up_in_the_chunks),
        cmocka_unit_test(samples_arriving_backwards_are_all_there_and_get_compressed),
        cmocka_unit_test(times_out_of_range_are_refused_and_counted),
        cmocka_unit_test(negative_times_keep_to_their_buckets),
        cmocka_unit_test(bad_labels_are_refused_and_change_nothing),
        cmocka_unit_test(long_values_and_many_labels_work),
        cmocka_unit_test(tenants_do_not_see_each_other),
        cmocka_unit_test(small_tenants_cost_no_more_than_a_big_one),
        cmocka_unit_test(what_is_not_covered_stays),
        cmocka_unit_test(an_override_stays_as_long_as_what_it_overrides),
        cmocka_unit_test(only_empty_and_long_unnamed_series_are_removed),
        cmocka_unit_test(a_dead_ordinal_never_writes_into_another_series),
        cmocka_unit_test(an_open_cursor_keeps_ordinals_from_being_given_out),
        cmocka_unit_test(a_few_dead_series_wait_for_more_but_not_for_ever),
        cmocka_unit_test(dropped_series_give_their_memory_back),
        cmocka_unit_test(over_the_budget_calls_fail_and_change_nothing),
        cmocka_unit_test(a_selection_comes_in_slices_while_appends_go_on),
        cmocka_unit_test(limits_are_answers_that_name_themselves),
        cmocka_unit_test(labels_only_answers_have_no_chunks),
        cmocka_unit_test(label_names_and_values_follow_matchers_and_time),
        cmocka_unit_test(cardinality_is_counted_by_value_and_by_name),
        cmocka_unit_test(equal_calls_give_equal_bytes_even_with_stamps_out_of_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
