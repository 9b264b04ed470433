/* Which answers are read at once, and that nothing of the head is written meanwhile. That they are those of selects is checked by
 * all tests that select (testing_internal.h). */
#include <pthread.h>

#include "head/testing_internal.h"

static bool is_small(struct mrd_head *head, const struct mrd_head_query *query, size_t bytes_max)
{
    struct mrd_head_selection *selection = NULL;
    const bool small = mrd_head_select_small(head, query, bytes_max, &selection);
    mrd_head_selection_destroy(&selection);
    return small;
}

static struct mrd_head *head_of(int series)
{
    struct mrd_head *head = make_head(0);
    for (int i = 0; i < series; i++) {
        char labels[64];
        snprintf(labels, sizeof(labels), "__name__=m%d,host=h%d", i % 10, i);
        const uint32_t ordinal = testing_need_series(head, "t", labels, hlc_of(0));
        for (int k = 0; k < 100; k++) {
            testing_append(head, ordinal, T0 + k * 15000, i + k, hlc_of(k), 1, NULL);
        }
    }
    return head;
}

static void few_plain_series_are_small(void **state)
{
    (void)state;
    struct mrd_head *head = head_of(600);
    struct mrd_head_query query = everything("t");
    assert_false(is_small(head, &query, SIZE_MAX));
    struct mrd_matcher matcher;
    assert_int_equal(
        mrd_matcher_init(&matcher, MRD_MATCH_EQ, MRD_BYTES("__name__"), MRD_BYTES("m3"), NULL),
        MRD_OK);
    query.matchers = &matcher;
    query.matcher_count = 1;
    assert_true(is_small(head, &query, SIZE_MAX));
    struct testing_results results;
    testing_select(head, &query, SIZE_MAX, &results);
    assert_int_equal(results.count, 60);
    testing_results_fini(&results);
    query.tenant = MRD_BYTES("nobody");
    assert_true(is_small(head, &query, SIZE_MAX));
    mrd_matcher_fini(&matcher);
    mrd_head_destroy(&head);
}

static void limits_and_size_leave_it_to_a_select(void **state)
{
    (void)state;
    struct mrd_head *head = head_of(5);
    struct mrd_head_query query = everything("t");
    assert_true(is_small(head, &query, SIZE_MAX));
    assert_false(is_small(head, &query, 100));
    query.series_max = 5;
    query.samples_max = 500;
    assert_true(is_small(head, &query, SIZE_MAX));
    query.samples_max = 499;
    assert_false(is_small(head, &query, SIZE_MAX));
    query.samples_max = 0;
    query.series_max = 4;
    assert_false(is_small(head, &query, SIZE_MAX));
    mrd_head_destroy(&head);
}

static void what_needs_scratch_leaves_it_to_a_select(void **state)
{
    (void)state;
    struct mrd_head *head = head_of(3);
    const struct mrd_head_query query = everything("t");
    assert_true(is_small(head, &query, SIZE_MAX));
    testing_append(head, 1, T0 + 7, 1, hlc_of(1000), 1, NULL); /* late */
    assert_false(is_small(head, &query, SIZE_MAX));
    mrd_head_destroy(&head);
    head = head_of(3);
    testing_append_started(head, 2, T0 + 500 * 15000, T0, 1, hlc_of(1000), 1, NULL);
    assert_false(is_small(head, &query, SIZE_MAX));
    mrd_head_destroy(&head);
}

struct reader {
    struct mrd_head *head;
    pthread_rwlock_t *lock;
    size_t reads;
};

/* Meanwhile the test's thread has a select under way, and now and then writes, alone. */
static void *reader_main(void *context)
{
    struct reader *reader = context;
    const struct mrd_head_query query = everything("t");
    for (int i = 0; i < 300; i++) {
        struct mrd_head_selection *selection = NULL;
        pthread_rwlock_rdlock(reader->lock);
        const bool small = mrd_head_select_small(reader->head, &query, SIZE_MAX, &selection);
        pthread_rwlock_unlock(reader->lock);
        mrd_assert(small && selection->series_count == 20);
        reader->reads += selection->sample_count;
        mrd_head_selection_destroy(&selection);
    }
    return NULL;
}

static void small_answers_are_read_beside_a_select(void **state)
{
    (void)state;
    enum { READERS = 3 };
    struct mrd_head *head = head_of(20);
    pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
    struct reader readers[READERS];
    pthread_t threads[READERS];
    for (size_t i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.head = head, .lock = &lock};
        assert_int_equal(pthread_create(&threads[i], NULL, reader_main, &readers[i]), 0);
    }
    struct mrd_head_query query = everything("t");
    query.beside = true;
    for (int round = 0; round < 60; round++) {
        pthread_rwlock_wrlock(&lock);
        testing_append(head, (uint32_t)(round % 20), T0 + (600 + round) * 15000, 1,
                       hlc_of(2000 + round), 1, NULL);
        pthread_rwlock_unlock(&lock);
        pthread_rwlock_rdlock(&lock);
        struct testing_results results = {0};
        struct testing_sums sums = {0};
        testing_select_slices(head, &query, 4096, &results, &sums);
        assert_int_equal(results.count, 20);
        testing_results_fini(&results);
        pthread_rwlock_unlock(&lock);
    }
    for (size_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(readers[i].reads >= 300 * 20 * 100);
    }
    mrd_head_destroy(&head);
}

static void lists_that_are_not_sorted_are_said_to_be_so(void **state)
{
    (void)state;
    struct mrd_head *head = head_of(3);
    /* The first series goes, and its ordinal to another one: then the tenant's list is not in order. */
    struct mrd_head_sweep_result swept;
    const struct mrd_head_sweep all = {.drop_before_ms = T0 + 100LL * BUCKET_MS,
                                       .covered_hlc = hlc_of(100000),
                                       .idle_before_hlc = hlc_of(100000),
                                       .series_max = SIZE_MAX};
    for (int i = 0; i < 4; i++) {
        mrd_head_sweep(head, &all, &swept);
        mrd_head_recycle(head);
    }
    struct mrd_head_query query = everything("t");
    for (int i = 0; i < 6; i++) {
        char labels[64];
        snprintf(labels, sizeof(labels), "__name__=n,host=n%d", i);
        const uint32_t ordinal = testing_need_series(head, "t", labels, hlc_of(200000));
        testing_append(head, ordinal, T0 + 200LL * BUCKET_MS, i, hlc_of(200000), 1, NULL);
    }
    query.beside = true;
    struct mrd_head_cursor *cursor = NULL;
    struct mrd_error err = {0};
    const enum mrd_status status = mrd_head_select(head, &query, &cursor, &err);
    assert_int_equal(status, MRD_E_UNAVAILABLE);
    assert_null(cursor);
    query.beside = false;
    assert_int_equal(mrd_head_select(head, &query, &cursor, &err), MRD_OK);
    assert_int_equal(mrd_head_cursor_series_count(cursor), 6);
    mrd_head_cursor_destroy(&cursor);
    query.beside = true; /* it has sorted them */
    assert_int_equal(mrd_head_select(head, &query, &cursor, &err), MRD_OK);
    mrd_head_cursor_destroy(&cursor);
    mrd_head_destroy(&head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_plain_series_are_small),
        cmocka_unit_test(limits_and_size_leave_it_to_a_select),
        cmocka_unit_test(what_needs_scratch_leaves_it_to_a_select),
        cmocka_unit_test(small_answers_are_read_beside_a_select),
        cmocka_unit_test(lists_that_are_not_sorted_are_said_to_be_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
