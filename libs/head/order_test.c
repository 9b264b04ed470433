/* The order in which a selection yields series: that of model/series_order.h, however they came. */
#include "base/look.h"
#include "head/head_internal.h"
#include "head/testing_internal.h"
#include "model/series_order.h"

enum { LABELS_MAX = 14, SERIES_MAX = 700 };

static uint64_t random_state = 4242;

static size_t below(size_t limit)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (size_t)((random_state * 2685821657736338717u) >> 32) % limit;
}

/* Names before and after the metric's, values that are prefixes of others, values alike for eight bytes and more. */
static void random_labels(struct mrd_buf *out, size_t variety)
{
    static const char *const names[LABELS_MAX - 1] = {"A", "B", "Z", "a", "b", "c", "d",
                                                      "e", "f", "g", "h", "i", "j"};
    static const char *const stems[] = {"", "v", "value-of-this-label-", "value-of-this-label-x"};
    struct mrd_label items[LABELS_MAX];
    char texts[LABELS_MAX][48];
    size_t count = 0;
    for (size_t i = 0; i < LABELS_MAX - 1; i++) {
        if (below(3) > 0) {
            continue;
        }
        (void)snprintf(texts[count], sizeof(texts[0]), "%s%zu", stems[below(4)], below(variety));
        items[count] = (struct mrd_label){mrd_bytes_of(names[i]), mrd_bytes_of(texts[count])};
        count++;
    }
    (void)snprintf(texts[count], sizeof(texts[0]), "m%zu", below(3));
    items[count] = (struct mrd_label){MRD_BYTES(MRD_METRIC_NAME), mrd_bytes_of(texts[count])};
    count++;
    mrd_labels_sort(items, count);
    mrd_buf_clear(out);
    mrd_labels_encode((struct mrd_labels){items, count}, out);
}

static void add_random(struct mrd_head *head, size_t count, size_t variety)
{
    struct mrd_buf canonical = {0};
    for (size_t i = 0; i < count; i++) {
        uint32_t ordinal;
        random_labels(&canonical, variety);
        const struct mrd_head_series_key key = {
            MRD_BYTES("t"),
            mrd_series_id_of(mrd_tenant_seed(MRD_BYTES("t")), mrd_buf_view(&canonical)),
            mrd_buf_view(&canonical)};
        assert_int_equal(mrd_head_series(head, &key, 1, &ordinal, NULL), MRD_OK);
        testing_append(head, ordinal, 1000, (double)i, 1, 1, NULL);
    }
    mrd_buf_fini(&canonical);
}

/* Reads all series and demands that each comes after the one before; how many there are. */
static size_t assert_in_order(struct mrd_head *head)
{
    const struct mrd_head_query query = {
        .tenant = MRD_BYTES("t"), .in_order = true, .time_min_ms = 0, .time_max_ms = 2000};
    struct mrd_head_cursor *cursor = NULL;
    size_t count = 0;
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("labels", SIZE_MAX);
    struct mrd_labels last = {0};
    assert_int_equal(mrd_head_select(head, &query, &cursor, NULL), MRD_OK);
    while (!mrd_head_cursor_at_end(cursor)) {
        struct mrd_head_selection *selection = NULL;
        assert_int_equal(mrd_head_cursor_next(cursor, 1000, &selection, NULL), MRD_OK);
        if (selection == NULL) {
            break;
        }
        struct mrd_reader reader = mrd_reader_of(mrd_buf_view(&selection->frames));
        while (mrd_reader_left(&reader) > 0) {
            struct mrd_frame frame;
            struct mrd_labels labels;
            assert_int_equal(mrd_frame_read(&reader, &frame, NULL), MRD_OK);
            const struct mrd_bytes copy = mrd_arena_copy(arena, frame.labels);
            assert_int_equal(mrd_labels_decode(copy, arena, &labels, NULL), MRD_OK);
            assert_true(count == 0 || mrd_series_order(last, labels) < 0);
            last = labels;
            count++;
        }
        mrd_head_selection_destroy(&selection);
    }
    mrd_head_cursor_destroy(&cursor);
    return count;
}

static void selections_are_in_order(void **state)
{
    (void)state;
    for (size_t round = 0; round < 60; round++) {
        const struct mrd_head_options options = {0};
        struct mrd_head *head = NULL;
        struct mrd_head_stats stats;
        assert_int_equal(mrd_head_create(&options, &head, NULL), MRD_OK);
        add_random(head, round < 20 ? 1 + round * 3 : 1 + below(SERIES_MAX),
                   round % 3 == 0 ? 3 : 2000);
        mrd_head_stats(head, &stats);
        assert_int_equal(assert_in_order(head), stats.series_count);
        mrd_head_destroy(&head);
    }
}

struct pauses {
    size_t count;
    size_t last; /* the number of the one that ends it; 0: none */
};

static enum mrd_status pause_run(void *context, struct mrd_error *err)
{
    struct pauses *pauses = context;
    return ++pauses->count == pauses->last ? mrd_fail(err, MRD_E_CANCELED, "enough") : MRD_OK;
}

static enum mrd_status order_all(struct mrd_head *head, size_t count, struct pauses *pauses)
{
    const struct mrd_head_pause pause = {pause_run, pauses};
    uint32_t *ordinals = calloc(count, sizeof(*ordinals));
    assert_non_null(ordinals);
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        ordinals[i] = (uint32_t)i;
    }
    const enum mrd_status status = head_order(head, ordinals, count, &pause, NULL);
    for (size_t i = 0; i < count; i++) {
        sum += ordinals[i];
    }
    assert_true(sum == (uint64_t)count * (count - 1) / 2); /* all are still there */
    free(ordinals);
    return status;
}

/* One of each place of the labels, and of each pass over the series, for so many series. */
static void the_more_series_the_more_often_it_pauses_and_any_pause_ends_it(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    const struct mrd_head_options options = {0};
    struct mrd_head *head = NULL;
    struct mrd_head_stats stats;
    assert_int_equal(mrd_head_create(&options, &head, NULL), MRD_OK);
    add_random(head, COUNT, 2000);
    mrd_head_stats(head, &stats);
    struct pauses pauses = {0};
    assert_int_equal(order_all(head, stats.series_count, &pauses), MRD_OK);
    const size_t total = pauses.count;
    assert_true(total >= LABELS_MAX * 3 * stats.series_count / MRD_PACE_UNITS);
    for (size_t last = 1; last <= total; last += 1 + last / 3) {
        pauses = (struct pauses){.last = last};
        assert_int_equal(order_all(head, stats.series_count, &pauses), MRD_E_CANCELED);
        assert_int_equal(pauses.count, last);
    }
    mrd_head_destroy(&head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(selections_are_in_order),
        cmocka_unit_test(the_more_series_the_more_often_it_pauses_and_any_pause_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
