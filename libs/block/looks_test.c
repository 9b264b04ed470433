/* Reading a block ends soon after its control says so, whatever its size: looks are counted, by a clock that is asked at each and
 * strikes at one of them. */
#include "block/testing_internal.h"

enum { SERIES = 40000, TEXT_BYTES = 64 };

static struct testing_set set;
static struct mrd_block_entry entry;

/* One series a host, with names that have next to nothing in common: an index of some megabytes. */
static int set_up(void **state)
{
    assert_int_equal(testing_open(state), 0);
    testing_state = 77;
    set = (struct testing_set){.arena = mrd_arena_create("test", TESTING_ARENA_BYTES)};
    set.items = testing_take(&set, SERIES, sizeof(set.items[0]));
    memset(set.items, 0, SERIES * sizeof(set.items[0]));
    for (size_t i = 0; i < SERIES; i++) {
        char random[TEXT_BYTES];
        for (size_t k = 0; k + 1 < sizeof(random); k++) {
            random[k] = (char)('a' + testing_below(26));
        }
        random[sizeof(random) - 1] = '\0';
        struct mrd_label labels[] = {
            {MRD_BYTES("__name__"), MRD_BYTES("m")},
            { MRD_BYTES("host"), testing_text(&set, "%s-%zu", random, i % 100)}
        };
        mrd_time_ms *time = testing_take(&set, 1, sizeof(*time));
        double *value = testing_take(&set, 1, sizeof(*value));
        mrd_hlc *hlc = testing_take(&set, 1, sizeof(*hlc));
        *time = 1000;
        *value = (double)i;
        *hlc = 1;
        struct mrd_block_series *series = &set.items[set.count++];
        series->tenant = MRD_BYTES("t");
        series->samples = (struct mrd_samples){time, value, 1, NULL};
        series->sample_hlcs = hlc;
        testing_set_labels(&set, series, labels, MRD_ARRAY_LEN(labels));
    }
    qsort(set.items, set.count, sizeof(set.items[0]), testing_compare);
    const struct mrd_block_writer_options options = testing_options(testing_store, 1);
    struct mrd_error err = {0};
    if (testing_write(&options, &set, false, &entry, &err) != MRD_OK) {
        fail_msg("%s", err.text);
    }
    return 0;
}

static int tear_down(void **state)
{
    testing_set_fini(&set);
    return testing_close(state);
}

/* ---- looks ---- */

static size_t looks;
static size_t last_look; /* the one at which the deadline has passed */

static int64_t strike(void *context)
{
    (void)context;
    return ++looks >= last_look ? 2 : 0;
}

static const struct mrd_clock looking = {.monotonic_ns = strike};
static const struct mrd_objstore_control control = {.clock = &looking, .deadline_ns = 1};

static bool count_text(void *context, struct mrd_bytes text)
{
    (void)text;
    ++*(size_t *)context;
    return true;
}

enum what { SELECT, NAMES, VALUES, READ };

/* Opens the block and does one thing with it; *out_count is what it has found. */
static enum mrd_status run(enum what what, size_t strike_at, size_t *out_count)
{
    struct mrd_matcher matcher;
    assert_int_equal(
        mrd_matcher_init(&matcher, MRD_MATCH_RE, MRD_BYTES("host"), MRD_BYTES(".*-[1-9]*"), NULL),
        MRD_OK);
    const struct mrd_block_select select = {.tenant = MRD_BYTES("t"),
                                            .matchers = &matcher,
                                            .matcher_count = 1,
                                            .min_ms = 0,
                                            .max_ms = 2000};
    const struct mrd_block_cursor_options options = {0};
    const struct mrd_block_open_options opening = {.control = &control, .whole_bytes_max = 1};
    struct mrd_block *block = NULL;
    struct mrd_block_cursor *cursor = NULL;
    struct mrd_error err = {0};
    *out_count = 0;
    looks = 0;
    last_look = strike_at;
    enum mrd_status status = mrd_block_open(testing_store, &entry, &opening, &block, &err);
    if (status == MRD_OK && what == NAMES) {
        status = mrd_block_label_names(block, &select, count_text, out_count, &err);
    } else if (status == MRD_OK && what == VALUES) {
        status =
            mrd_block_label_values(block, &select, MRD_BYTES("host"), count_text, out_count, &err);
    } else if (status == MRD_OK) {
        status = mrd_block_select(block, &select, &options, &cursor, &err);
    }
    if (status == MRD_OK && what == SELECT) {
        *out_count = mrd_block_cursor_series(cursor);
    }
    const struct mrd_block_series *series = NULL;
    do {
        if (status == MRD_OK && what == READ) {
            status = mrd_block_cursor_next(cursor, &series, &err);
            *out_count += series != NULL ? 1 : 0;
        }
    } while (status == MRD_OK && series != NULL);
    mrd_block_cursor_close(&cursor);
    mrd_block_close(&block);
    mrd_matcher_fini(&matcher);
    return status;
}

/* A look at the beginning of each call to storage are some ten; the rest is for series, values and bytes. */
static void the_larger_the_index_the_more_often_its_reader_looks(void **state)
{
    (void)state;
    static const struct {
        enum what what;
        size_t looks_min;
    } cases[] = {
        {SELECT, 50             },
        {NAMES,  50             },
        {VALUES, 55             },
        {READ,   50 + SERIES / 2},
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        size_t count = 0;
        assert_int_equal(run(cases[i].what, SIZE_MAX, &count), MRD_OK);
        assert_int_equal(count, cases[i].what == NAMES ? 2 : SERIES / 100 * 90);
        if (looks < cases[i].looks_min) {
            fail_msg("case %zu: %zu looks", i, looks);
        }
    }
}

static void any_look_ends_it(void **state)
{
    (void)state;
    static const enum what cases[] = {SELECT, NAMES, VALUES, READ};
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        size_t whole = 0;
        assert_int_equal(run(cases[i], SIZE_MAX, &whole), MRD_OK);
        const size_t total = looks;
        for (size_t at = 1; at <= total; at += 1 + at / 4) {
            size_t count = 0;
            assert_int_equal(run(cases[i], at, &count), MRD_E_TIMEOUT);
            assert_int_equal(looks, at);
            assert_true(count < whole || cases[i] == NAMES);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_larger_the_index_the_more_often_its_reader_looks),
        cmocka_unit_test(any_look_ends_it),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
