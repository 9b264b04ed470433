/* What is told of a tenant against what a selection of everything has. */
#include "head/testing_internal.h"

enum { SPAN_MS = 60000 };

static struct mrd_head *need_head(void)
{
    struct mrd_head *head = NULL;
    const struct mrd_head_options options = {.bucket_ms = SPAN_MS};
    assert_int_equal(mrd_head_create(&options, &head, NULL), MRD_OK);
    return head;
}

static size_t selected_chunks(struct mrd_head *head, struct mrd_bytes tenant)
{
    struct mrd_head_cursor *cursor = NULL;
    struct mrd_head_selection *selection = NULL;
    const struct mrd_head_query query = {
        .tenant = tenant, .time_min_ms = INT64_MIN, .time_max_ms = INT64_MAX};
    assert_int_equal(mrd_head_select(head, &query, &cursor, NULL), MRD_OK);
    assert_int_equal(mrd_head_cursor_next(cursor, SIZE_MAX, &selection, NULL), MRD_OK);
    const size_t count = selection == NULL ? 0 : selection->chunk_count;
    mrd_head_selection_destroy(&selection);
    mrd_head_cursor_destroy(&cursor);
    return count;
}

static void check(struct mrd_head *head, const char *tenant, uint64_t chunks, mrd_time_ms min_ms,
                  mrd_time_ms max_ms)
{
    struct mrd_head_tenant_figures figures;
    mrd_head_tenant_figures(head, mrd_bytes_of(tenant), &figures);
    assert_int_equal(figures.chunks, chunks);
    assert_int_equal(figures.chunks, selected_chunks(head, mrd_bytes_of(tenant)));
    assert_int_equal(figures.time_min_ms, min_ms);
    assert_int_equal(figures.time_max_ms, max_ms);
}

static void append_histogram(struct mrd_head *head, uint32_t ordinal, mrd_time_ms time_ms)
{
    const struct mrd_histogram histogram = {.sum = 1};
    const struct mrd_head_histogram_batch batch = {.ordinals = &ordinal,
                                                   .row_count = 1,
                                                   .times_ms = &time_ms,
                                                   .items = &histogram,
                                                   .item_count = 1,
                                                   .hlc = 9};
    struct mrd_head_append_result result = {0};
    mrd_head_append_histograms(head, &batch, &result);
    assert_int_equal(result.appended + result.out_of_order, 1);
}

static void chunks_and_times_of_all_kinds_count(void **state)
{
    (void)state;
    struct mrd_head *head = need_head();
    check(head, "t", 0, INT64_MAX, INT64_MIN);
    const uint32_t a = testing_need_series(head, "t", "__name__=a", 1);
    const uint32_t b = testing_need_series(head, "t", "__name__=b", 1);
    const uint32_t other = testing_need_series(head, "u", "__name__=a", 1);
    testing_append(head, other, 1, 1, 1, 1, NULL);
    check(head, "t", 0, INT64_MAX, INT64_MIN);
    testing_append(head, a, 5 * SPAN_MS + 7, 1, 1, 1, NULL);
    check(head, "t", 1, 5 * SPAN_MS + 7, 5 * SPAN_MS + 7);
    testing_append(head, a, 5 * SPAN_MS + 9, 2, 2, 1, NULL);
    testing_append(head, a, 6 * SPAN_MS, 3, 3, 1, NULL); /* the first bucket is sealed */
    check(head, "t", 2, 5 * SPAN_MS + 7, 6 * SPAN_MS);
    testing_append(head, b, -3, 1, 4, 1, NULL);
    check(head, "t", 3, -3, 6 * SPAN_MS);
    testing_append(head, a, 5 * SPAN_MS + 8, 1, 5, 1, NULL); /* late */
    check(head, "t", 4, -3, 6 * SPAN_MS);
    append_histogram(head, b, 9 * SPAN_MS);
    append_histogram(head, b, 9 * SPAN_MS + 5);
    check(head, "t", 5, -3, 9 * SPAN_MS + 5);
    check(head, "u", 1, 1, 1);
    mrd_head_destroy(&head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(chunks_and_times_of_all_kinds_count)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
