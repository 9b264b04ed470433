/* The order in which a selection yields series: that of model/series_order.h, however they came. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(selections_are_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
