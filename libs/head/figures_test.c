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
    assert_int_equal(mrd_head_tenant_figures(head, mrd_bytes_of(tenant), NULL, &figures, NULL),
                     MRD_OK);
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

static void add_count(void *context, struct mrd_bytes text, uint64_t series, uint64_t values)
{
    (void)text;
    (void)values;
    *(uint64_t *)context += series;
}

static uint64_t counted_jobs(struct mrd_head *head)
{
    uint64_t count = 0;
    assert_int_equal(mrd_head_count_by_value(head, MRD_BYTES("t"), MRD_BYTES("job"), NULL,
                                             add_count, &count, NULL),
                     MRD_OK);
    return count;
}

/* Until the sweep has removed them, and afterwards, and if they are written again. */
static void series_that_were_erased_are_not_counted(void **state)
{
    (void)state;
    struct mrd_head *head = need_head();
    const uint32_t a = testing_need_series(head, "t", "__name__=x,job=a", hlc_of(1));
    const uint32_t b = testing_need_series(head, "t", "__name__=x,job=b", hlc_of(1));
    testing_append(head, a, T0, 1, hlc_of(1), 1, NULL);
    testing_append(head, b, T0, 1, hlc_of(1), 1, NULL);
    assert_int_equal(counted_jobs(head), 2);
    struct mrd_matcher matcher;
    assert_int_equal(
        mrd_matcher_init(&matcher, MRD_MATCH_EQ, MRD_BYTES("job"), MRD_BYTES("a"), NULL), MRD_OK);
    struct mrd_head_query query = everything("t");
    query.matchers = &matcher;
    query.matcher_count = 1;
    struct mrd_head_erased erased = {0};
    mrd_head_erase(head, &query, &erased);
    assert_int_equal(erased.series, 1);
    assert_int_equal(counted_jobs(head), 1);
    uint64_t series = 0;
    assert_int_equal(mrd_head_tenant_series(head, MRD_BYTES("t"), NULL, &series, NULL), MRD_OK);
    assert_int_equal(series, 1);
    struct mrd_head_sweep_result result;
    const struct mrd_head_sweep keeping = {INT64_MIN, 0, 0, 100};
    for (int pass = 0; pass < 3; pass++) {
        mrd_head_sweep(head, &keeping, &result);
        assert_true(result.pass_done);
        assert_int_equal(counted_jobs(head), 1);
    }
    testing_append(head, a, T0 + 1, 1, hlc_of(2), 1, NULL);
    assert_int_equal(counted_jobs(head), 2);
    mrd_head_erase(head, &query, &erased);
    const struct mrd_head_sweep removing = {INT64_MIN, 0, hlc_of(100), 100};
    mrd_head_sweep(head, &removing, &result);
    assert_int_equal(result.series_removed, 1);
    assert_int_equal(counted_jobs(head), 1);
    mrd_matcher_fini(&matcher);
    mrd_head_destroy(&head);
}

static mrd_series_id id_of(const char *tenant, const char *labels)
{
    struct mrd_buf buf = {0};
    const mrd_series_id id =
        mrd_series_id_of(mrd_tenant_seed(mrd_bytes_of(tenant)), testing_labels(labels, &buf));
    mrd_buf_fini(&buf);
    return id;
}

static uint64_t known_of(struct mrd_head *head, struct mrd_bytes tenant, const mrd_series_id *ids,
                         uint8_t *bits)
{
    uint64_t total = 0;
    assert_int_equal(mrd_head_known(head, tenant, ids, 10, NULL, bits, &total, NULL), MRD_OK);
    return total;
}

static void series_are_known_to_their_tenant_as_long_as_they_are_there(void **state)
{
    (void)state;
    struct mrd_head *head = need_head();
    struct mrd_head_append_result result = {0};
    uint8_t bits[2] = {0xff, 0xff};
    mrd_series_id ids[10];
    for (int i = 0; i < 10; i++) {
        char labels[16];
        snprintf(labels, sizeof(labels), "__name__=m%d", i);
        ids[i] = id_of("t", labels);
        if (i % 3 == 0) {
            const uint32_t ordinal = testing_need_series(head, "t", labels, 1);
            testing_append(head, ordinal, 1000 + i, 1, mrd_hlc_make(1000, 0), 0, &result);
        }
    }
    testing_need_series(head, "u", "__name__=m1", 1);
    assert_int_equal(known_of(head, MRD_BYTES("t"), ids, bits), 4);
    assert_int_equal(bits[0], 1 << 0 | 1 << 3 | 1 << 6);
    assert_int_equal(bits[1], 1 << 1);
    assert_int_equal(known_of(head, MRD_BYTES("u"), ids, bits), 1);
    assert_int_equal(bits[0] | bits[1], 0); /* ids are of their tenant */
    assert_int_equal(known_of(head, MRD_BYTES("v"), ids, bits), 0);
    assert_int_equal(bits[0] | bits[1], 0);
    const struct mrd_head_sweep sweep = {.drop_before_ms = 10 * SPAN_MS,
                                         .covered_hlc = mrd_hlc_make(10 * SPAN_MS, 0),
                                         .idle_before_hlc = mrd_hlc_make(10 * SPAN_MS, 0),
                                         .series_max = 100};
    struct mrd_head_sweep_result swept;
    mrd_head_sweep(head, &sweep, &swept);
    assert_int_equal(swept.series_removed, 5);
    assert_int_equal(known_of(head, MRD_BYTES("t"), ids, bits), 0);
    assert_int_equal(bits[0] | bits[1], 0);
    mrd_head_destroy(&head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_and_times_of_all_kinds_count),
        cmocka_unit_test(series_that_were_erased_are_not_counted),
        cmocka_unit_test(series_are_known_to_their_tenant_as_long_as_they_are_there)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
