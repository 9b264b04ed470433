/* Long reading is interrupted where others may read, and ends when it is told to. */
#include "base/sort.h"
#include "head/head_internal.h"
#include "head/testing_internal.h"

enum { SERIES = 2000 };

/* One small and one large tenant: the first is read in the pauses of the second. */
static struct mrd_head *head_of_two(void)
{
    struct mrd_head *head = NULL;
    assert_int_equal(mrd_head_create(&(struct mrd_head_options){0}, &head, NULL), MRD_OK);
    for (int i = 0; i < SERIES; i++) {
        char labels[64];
        snprintf(labels, sizeof(labels), "__name__=m%d,host=h%d", i % 500, i);
        const uint32_t ordinal = testing_need_series(head, "large", labels, 1);
        testing_append_started(head, ordinal, T0, 0, i, 1, 1, NULL);
    }
    const uint32_t ordinal = testing_need_series(head, "small", "__name__=a", 1);
    testing_append_started(head, ordinal, T0, 0, 7, 1, 1, NULL);
    return head;
}

struct pauses {
    struct mrd_head *head;
    size_t count;
    size_t last; /* the number of the one that ends the reading; 0: none */
};

static struct mrd_head_query query_of(const char *tenant, const struct mrd_matcher *matchers,
                                      size_t count)
{
    return (struct mrd_head_query){.tenant = mrd_bytes_of(tenant),
                                   .matchers = matchers,
                                   .matcher_count = count,
                                   .time_min_ms = T0,
                                   .time_max_ms = T0};
}

static void read_small(struct mrd_head *head)
{
    const struct mrd_head_query query = query_of("small", NULL, 0);
    struct mrd_head_cursor *cursor = NULL;
    struct mrd_head_selection *selection = NULL;
    assert_int_equal(mrd_head_select(head, &query, &cursor, NULL), MRD_OK);
    assert_int_equal(mrd_head_cursor_next(cursor, SIZE_MAX, &selection, NULL), MRD_OK);
    assert_non_null(selection);
    assert_int_equal(selection->sample_count, 1);
    mrd_head_selection_destroy(&selection);
    mrd_head_cursor_destroy(&cursor);
}

static enum mrd_status pause_run(void *context, struct mrd_error *err)
{
    struct pauses *pauses = context;
    read_small(pauses->head);
    return ++pauses->count == pauses->last ? mrd_fail(err, MRD_E_CANCELED, "told to end") : MRD_OK;
}

/* All of the large tenant's answer, or until it fails. */
static enum mrd_status read_large(struct pauses *pauses, struct mrd_head_query query,
                                  struct mrd_buf *out, struct mrd_error *err)
{
    query.pause = (struct mrd_head_pause){.run = pauses == NULL ? NULL : pause_run, pauses};
    mrd_auto(mrd_head_cursor_destroy)
    struct mrd_head_cursor *cursor = NULL;
    MRD_TRY(mrd_head_select(pauses->head, &query, &cursor, err));
    while (!mrd_head_cursor_at_end(cursor)) {
        struct mrd_head_selection *selection = NULL;
        MRD_TRY(mrd_head_cursor_next(cursor, 8192, &selection, err));
        if (selection != NULL) {
            mrd_buf_append_bytes(out, mrd_buf_view(&selection->frames));
        }
        mrd_head_selection_destroy(&selection);
    }
    return MRD_OK;
}

static const struct {
    const char *name;
    enum mrd_match_type type;
    const char *value;
} cases[] = {
    {"host",     MRD_MATCH_RE, "h1.*"    }, /* values are gone through */
    {"host",     MRD_MATCH_NE, "h77"     },
    {"__name__", MRD_MATCH_NE, ""        },
    {"__name__", MRD_MATCH_RE, "m1[0-9]*"},
};

static struct mrd_matcher matcher_of(size_t i)
{
    struct mrd_matcher matcher;
    assert_int_equal(mrd_matcher_init(&matcher, cases[i].type, mrd_bytes_of(cases[i].name),
                                      mrd_bytes_of(cases[i].value), NULL),
                     MRD_OK);
    return matcher;
}

static void others_read_in_between_and_change_nothing(void **state)
{
    (void)state;
    struct mrd_head *head = head_of_two();
    for (size_t i = 0; i < 2 * MRD_ARRAY_LEN(cases); i++) {
        struct mrd_matcher matcher = matcher_of(i / 2);
        struct mrd_head_query query = query_of("large", &matcher, 1);
        query.in_order = i % 2 != 0;
        struct mrd_buf first = {0};
        struct mrd_buf second = {0};
        struct pauses pauses = {.head = head};
        assert_int_equal(read_large(&pauses, query, &first, NULL), MRD_OK);
        assert_true(pauses.count > 10);
        assert_int_equal(read_large(&pauses, query, &second, NULL), MRD_OK);
        assert_true(first.size > 0);
        assert_true(mrd_bytes_equal(mrd_buf_view(&first), mrd_buf_view(&second)));
        mrd_buf_fini(&first);
        mrd_buf_fini(&second);
        mrd_matcher_fini(&matcher);
    }
    mrd_head_destroy(&head);
}

/* Whichever pause ends it, nothing is left behind: the head asserts that no cursor is open when it goes. */
static void any_pause_may_end_the_reading(void **state)
{
    (void)state;
    struct mrd_head *head = head_of_two();
    for (size_t i = 0; i < 2 * MRD_ARRAY_LEN(cases); i++) {
        struct mrd_matcher matcher = matcher_of(i / 2);
        struct mrd_head_query query = query_of("large", &matcher, 1);
        query.in_order = i % 2 != 0;
        enum mrd_status status = MRD_E_CANCELED;
        for (size_t last = 1; status != MRD_OK; last++) {
            struct mrd_buf out = {0};
            struct mrd_error err = {0};
            struct pauses pauses = {.head = head, .last = last};
            status = read_large(&pauses, query, &out, &err);
            assert_int_equal(status, pauses.count == last ? MRD_E_CANCELED : MRD_OK);
            mrd_buf_fini(&out);
        }
        mrd_matcher_fini(&matcher);
    }
    mrd_head_destroy(&head);
}

static void count_text(void *context, struct mrd_bytes text)
{
    (void)text;
    ++*(size_t *)context;
}

static void lists_of_names_and_values_end_too(void **state)
{
    (void)state;
    struct mrd_head *head = head_of_two();
    struct mrd_matcher matcher = matcher_of(1);
    for (size_t matchers = 0; matchers < 2; matchers++) {
        struct mrd_head_query query = query_of("large", &matcher, matchers);
        struct pauses pauses = {.head = head};
        size_t count = 0;
        query.pause = (struct mrd_head_pause){pause_run, &pauses};
        assert_int_equal(
            mrd_head_label_values(head, &query, MRD_BYTES("host"), count_text, &count, NULL),
            MRD_OK);
        assert_int_equal(count, SERIES - matchers);
        assert_true(pauses.count > 1);
        pauses = (struct pauses){.head = head, .last = pauses.count};
        assert_int_equal(
            mrd_head_label_values(head, &query, MRD_BYTES("host"), count_text, &count, NULL),
            MRD_E_CANCELED);
    }
    mrd_matcher_fini(&matcher);
    mrd_head_destroy(&head);
}

static void count_series(void *context, struct mrd_bytes text, uint64_t series, uint64_t values)
{
    (void)text;
    (void)values;
    *(size_t *)context += series;
}

enum { COUNTS = 3 };

static enum mrd_status run_count(struct mrd_head *head, size_t which,
                                 const struct mrd_head_pause *pause, size_t *out)
{
    struct mrd_head_tenant_figures figures = {0};
    const struct mrd_bytes tenant = MRD_BYTES("large");
    *out = 0;
    if (which == 0) {
        return mrd_head_count_by_value(head, tenant, MRD_BYTES("host"), pause, count_series, out,
                                       NULL);
    }
    if (which == 1) {
        return mrd_head_count_by_name(head, tenant, pause, count_series, out, NULL);
    }
    const enum mrd_status status = mrd_head_tenant_figures(head, tenant, pause, &figures, NULL);
    *out = figures.chunks;
    return status;
}

/* The more there is to count, the more pauses; each may end it. */
static void counts_end_too(void **state)
{
    (void)state;
    struct mrd_head *head = head_of_two();
    for (size_t which = 0; which < COUNTS; which++) {
        struct pauses pauses = {.head = head};
        const struct mrd_head_pause pause = {pause_run, &pauses};
        size_t plain = 0;
        size_t paused = 0;
        assert_int_equal(run_count(head, which, NULL, &plain), MRD_OK);
        assert_int_equal(run_count(head, which, &pause, &paused), MRD_OK);
        assert_true(plain >= SERIES);
        assert_int_equal(paused, plain);
        assert_true(pauses.count >= SERIES / 512);
        for (size_t last = pauses.count; last > 0; last = last / 2) {
            pauses = (struct pauses){.head = head, .last = last};
            assert_int_equal(run_count(head, which, &pause, &paused), MRD_E_CANCELED);
            assert_int_equal(pauses.count, last);
        }
    }
    mrd_head_destroy(&head);
}

/* Of which only a walk knows how many there are: an erasure has emptied some. */
static void how_many_a_tenant_has_is_counted_with_pauses(void **state)
{
    (void)state;
    struct mrd_head *head = head_of_two();
    struct mrd_matcher matcher = matcher_of(0);
    const struct mrd_head_query some = query_of("large", &matcher, 1);
    struct mrd_head_erased erased = {0};
    mrd_head_erase(head, &some, &erased);
    assert_true(erased.series > 100);
    struct pauses pauses = {.head = head};
    const struct mrd_head_pause pause = {pause_run, &pauses};
    uint64_t count = 0;
    assert_int_equal(mrd_head_tenant_series(head, MRD_BYTES("large"), &pause, &count, NULL),
                     MRD_OK);
    assert_int_equal(count, SERIES - erased.series);
    assert_int_equal(pauses.count, SERIES / HEAD_PAUSE_ITEMS);
    pauses = (struct pauses){.head = head, .last = 2};
    assert_int_equal(mrd_head_tenant_series(head, MRD_BYTES("large"), &pause, &count, NULL),
                     MRD_E_CANCELED);
    assert_int_equal(pauses.count, 2);
    mrd_matcher_fini(&matcher);
    mrd_head_destroy(&head);
}

static void ids_are_looked_up_with_pauses(void **state)
{
    (void)state;
    enum { IDS = 4 * HEAD_PAUSE_ITEMS };
    struct mrd_head *head = head_of_two();
    static mrd_series_id ids[IDS]; /* of none */
    uint8_t bits[IDS / 8];
    uint64_t total = 0;
    struct pauses pauses = {.head = head};
    const struct mrd_head_pause pause = {pause_run, &pauses};
    assert_int_equal(mrd_head_known(head, MRD_BYTES("large"), ids, IDS, &pause, bits, &total, NULL),
                     MRD_OK);
    assert_int_equal(total, SERIES);
    assert_int_equal(pauses.count, 4);
    pauses = (struct pauses){.head = head, .last = 3};
    assert_int_equal(mrd_head_known(head, MRD_BYTES("large"), ids, IDS, &pause, bits, &total, NULL),
                     MRD_E_CANCELED);
    assert_int_equal(pauses.count, 3);
    mrd_head_destroy(&head);
}

struct erasing {
    struct pauses pauses; /* first */
    size_t found;         /* series that were there in the last pause */
    size_t changes;       /* pauses that found fewer than the one before */
};

static enum mrd_status look_at_the_rest(void *context, struct mrd_error *err)
{
    struct erasing *erasing = context;
    const struct mrd_head_query query = query_of("large", NULL, 0);
    struct mrd_head_cursor *cursor = NULL;
    assert_int_equal(mrd_head_select(erasing->pauses.head, &query, &cursor, NULL), MRD_OK);
    const size_t found = mrd_head_cursor_series_count(cursor);
    mrd_head_cursor_destroy(&cursor);
    assert_true(found <= erasing->found);
    erasing->changes += found < erasing->found ? 1 : 0;
    erasing->found = found;
    return pause_run(&erasing->pauses, err);
}

static void others_read_in_the_middle_of_an_erasure(void **state)
{
    (void)state;
    struct mrd_head *head = head_of_two();
    struct erasing erasing = {.pauses = {.head = head}, .found = SERIES};
    struct mrd_head_query query = query_of("large", NULL, 0);
    query.pause = (struct mrd_head_pause){look_at_the_rest, &erasing};
    struct mrd_head_erased erased = {0};
    mrd_head_erase(head, &query, &erased);
    assert_int_equal(erased.series, SERIES);
    assert_int_equal(erased.samples, SERIES);
    assert_true(erasing.changes >= SERIES / HEAD_PAUSE_SERIES);
    (void)look_at_the_rest(&erasing, NULL);
    assert_int_equal(erasing.found, 0);
    mrd_head_destroy(&head);
}

enum { MANY = 3 * HEAD_PAUSE_NUMBERS };

/* The list that an equality starts from, in falling order, as if ordinals had been given out again. */
static struct head_list *turn_list(struct mrd_head *head, const struct mrd_matcher *matcher)
{
    struct head_list *list =
        head_shortest_list(head, head_tenant_find(head, MRD_BYTES("large")), matcher, 1);
    uint32_t *items = head_list_items(head, list);
    assert_int_equal(list->count, MANY);
    for (uint32_t i = 0; i < MANY / 2; i++) {
        const uint32_t item = items[i];
        items[i] = items[MANY - 1 - i];
        items[MANY - 1 - i] = item;
    }
    list->unsorted = 1;
    return list;
}

/* Sorted beside it, so that whoever reads meanwhile finds it whole, and whoever ends leaves it as it was. */
static void a_long_list_that_is_not_sorted_is_sorted_with_pauses(void **state)
{
    (void)state;
    struct mrd_head *head = head_of_two();
    for (int i = SERIES; i < SERIES + MANY; i++) {
        char labels[64];
        snprintf(labels, sizeof(labels), "__name__=many,host=h%d", i);
        testing_append_started(head, testing_need_series(head, "large", labels, 1), T0, 0, i, 1, 1,
                               NULL);
    }
    struct mrd_matcher matcher;
    assert_int_equal(
        mrd_matcher_init(&matcher, MRD_MATCH_EQ, MRD_BYTES("__name__"), MRD_BYTES("many"), NULL),
        MRD_OK);
    const struct mrd_head_query query = query_of("large", &matcher, 1);
    struct mrd_buf sorted = {0};
    struct mrd_buf turned = {0};
    struct pauses pauses = {.head = head};
    assert_int_equal(read_large(&pauses, query, &sorted, NULL), MRD_OK);
    const size_t before = pauses.count;

    const struct head_list *list = turn_list(head, &matcher);
    for (size_t last = 1; last <= 3; last++) {
        pauses = (struct pauses){.head = head, .last = last};
        assert_int_equal(read_large(&pauses, query, &turned, NULL), MRD_E_CANCELED);
        assert_int_equal(pauses.count, last);
        assert_int_equal(list->unsorted, 1);
        for (uint32_t i = 1; i < MANY; i++) {
            const uint32_t *items = head_list_items(head, (struct head_list *)(uintptr_t)list);
            assert_true(items[i - 1] > items[i]);
        }
    }
    pauses = (struct pauses){.head = head};
    assert_int_equal(read_large(&pauses, query, &turned, NULL), MRD_OK);
    assert_true(pauses.count > before + MANY / MRD_SORT_RUN);
    assert_int_equal(list->unsorted, 0);
    assert_true(mrd_bytes_equal(mrd_buf_view(&sorted), mrd_buf_view(&turned)));
    mrd_buf_fini(&sorted);
    mrd_buf_fini(&turned);
    mrd_matcher_fini(&matcher);
    mrd_head_destroy(&head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_end_too),
        cmocka_unit_test(others_read_in_between_and_change_nothing),
        cmocka_unit_test(any_pause_may_end_the_reading),
        cmocka_unit_test(lists_of_names_and_values_end_too),
        cmocka_unit_test(how_many_a_tenant_has_is_counted_with_pauses),
        cmocka_unit_test(ids_are_looked_up_with_pauses),
        cmocka_unit_test(others_read_in_the_middle_of_an_erasure),
        cmocka_unit_test(a_long_list_that_is_not_sorted_is_sorted_with_pauses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
