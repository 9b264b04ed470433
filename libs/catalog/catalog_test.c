#include "catalog/testing_internal.h"

#include <unistd.h>

/* ---- tests ---- */

static void an_empty_store_has_an_empty_catalog(void **state)
{
    (void)state;
    struct mrd_catalog *catalog = open_on(files);
    struct mrd_catalog_state *pin = mrd_catalog_pin(catalog);
    assert_int_equal(mrd_catalog_number(pin), 0);
    assert_int_equal(mrd_catalog_block_count(pin), 0);
    assert_int_equal(mrd_catalog_built(pin, 3), 0);
    assert_int_equal(mrd_catalog_table(pin, MRD_BYTES("a"), MRD_BYTES("b")).size, 0);
    mrd_catalog_unpin(&pin);
    mrd_catalog_close(&catalog);
}

static void a_commit_is_seen_by_others_and_a_pin_does_not_change(void **state)
{
    (void)state;
    struct mrd_catalog *writer = open_on(files);
    struct mrd_catalog *reader = open_on(files);
    assert_int_equal(add(writer, 1), MRD_OK);
    struct mrd_catalog_state *before = mrd_catalog_pin(reader);
    assert_int_equal(mrd_catalog_refresh(reader, NULL, &error), MRD_OK);
    struct mrd_catalog_state *after = mrd_catalog_pin(reader);
    assert_false(has(before, 1));
    assert_true(has(after, 1));
    assert_int_equal(take_away(writer, "block-1"), MRD_OK);
    assert_int_equal(mrd_catalog_refresh(reader, NULL, &error), MRD_OK);
    assert_true(has(after, 1));
    mrd_catalog_unpin(&before);
    mrd_catalog_unpin(&after);
    expect_reopened_same(reader);
    mrd_catalog_close(&reader);
    mrd_catalog_close(&writer);
}

static void what_a_change_demands_is_looked_at_in_the_newest_state(void **state)
{
    (void)state;
    struct mrd_catalog *a = open_on(files);
    struct mrd_catalog *b = open_on(files);
    assert_int_equal(build(a, 2, 0, 100), MRD_OK);
    assert_int_equal(build(b, 2, 0, 80), MRD_E_CONFLICT);
    assert_non_null(strstr(error.text, "partition 2 is built up to 100"));
    assert_int_equal(build(b, 2, 100, 150), MRD_OK);
    assert_int_equal(build(b, 2, 200, 250), MRD_E_CONFLICT); /* a hole */
    assert_int_equal(build(b, 5, 10, 20), MRD_E_CONFLICT);
    assert_int_equal(turn_table(a, "", "m/1"), MRD_OK);
    assert_int_equal(turn_table(b, "", "m/2"), MRD_E_CONFLICT);
    assert_int_equal(turn_table(b, "m/1", "m/2"), MRD_OK);
    assert_int_equal(turn_table(a, "m/2", ""), MRD_OK);
    assert_int_equal(take_away(a, "block-9"), MRD_OK); /* it is not there */
    assert_int_equal(add(a, 9), MRD_OK);
    assert_int_equal(take_away(b, "block-9"), MRD_OK);
    assert_int_equal(add(a, 9), MRD_E_CONFLICT); /* its files will be swept */
    expect_reopened_same(a);
    mrd_catalog_close(&a);
    mrd_catalog_close(&b);
}

static enum mrd_status build_of(struct mrd_catalog *catalog, uint64_t from, uint64_t to,
                                struct mrd_log_identity log, mrd_time_ms stored_ms)
{
    const struct mrd_catalog_built_change built = {3, from, to, log, stored_ms};
    return mrd_catalog_commit(
        catalog, &(struct mrd_catalog_change){.built = &built, .built_count = 1}, NULL, &error);
}

static enum mrd_status adopt(struct mrd_catalog *catalog, uint64_t built,
                             struct mrd_log_identity from, struct mrd_log_identity to)
{
    const struct mrd_catalog_log_change log = {3, built, from, to, 777};
    return mrd_catalog_commit(catalog, &(struct mrd_catalog_change){.logs = &log, .log_count = 1},
                              NULL, &error);
}

static void expect_log(struct mrd_catalog *catalog, uint64_t built, struct mrd_log_identity log,
                       mrd_time_ms stored_ms)
{
    struct mrd_catalog_state *pin = mrd_catalog_pin(catalog);
    const struct mrd_catalog_built *have = mrd_catalog_built_find(pin, 3);
    assert_non_null(have);
    assert_int_equal(have->sequence, built);
    assert_int_equal(have->log.created_ns, log.created_ns);
    assert_int_equal(have->log.base, log.base);
    assert_int_equal(have->stored_ms, stored_ms);
    mrd_catalog_unpin(&pin);
    expect_reopened_same(catalog);
}

static void a_partition_is_built_of_one_log_until_another_is_adopted(void **state)
{
    (void)state;
    static const struct mrd_log_identity none = {0};
    static const struct mrd_log_identity first = {1700000000000000000, 0};
    static const struct mrd_log_identity second = {1800000000000000000, 150};
    static const struct mrd_log_identity third = {1800000000000000000, 200};
    struct mrd_catalog *a = open_on(files);
    struct mrd_catalog *b = open_on(files);
    assert_int_equal(build_of(a, 0, 50, none, 0), MRD_OK); /* by one that does not say */
    expect_log(a, 50, none, 0);
    assert_int_equal(build_of(a, 50, 100, first, 555), MRD_OK);
    expect_log(a, 100, first, 555);
    assert_int_equal(build_of(b, 100, 120, second, 600), MRD_E_CONFLICT);
    assert_non_null(strstr(error.text, "made at 1700000000000000000 ns"));
    assert_int_equal(adopt(b, 100, second, third), MRD_E_CONFLICT); /* that is not what it was */
    assert_int_equal(adopt(b, 99, first, second), MRD_E_CONFLICT);  /* built further meanwhile */
    assert_int_equal(adopt(b, 100, first, second), MRD_OK);
    expect_log(b, 100, second, 777);
    assert_int_equal(adopt(b, 100, first, second), MRD_OK);              /* it is done already */
    assert_int_equal(build_of(a, 100, 120, first, 560), MRD_E_CONFLICT); /* came too late */
    assert_int_equal(build_of(a, 100, 160, second, 800), MRD_OK);
    expect_log(a, 160, second, 800);
    assert_int_equal(adopt(a, 160, second, second), MRD_E_INVALID);
    assert_int_equal(adopt(a, 160, second, none), MRD_E_INVALID);
    mrd_catalog_close(&a);
    mrd_catalog_close(&b);
}

static void the_same_change_again_is_done_already(void **state)
{
    (void)state;
    struct mrd_catalog *catalog = open_on(files);
    assert_int_equal(add(catalog, 1), MRD_OK);
    struct mrd_catalog_state *pin = mrd_catalog_pin(catalog);
    const uint64_t number = mrd_catalog_number(pin);
    mrd_catalog_unpin(&pin);
    assert_int_equal(add(catalog, 1), MRD_OK);
    pin = mrd_catalog_pin(catalog);
    assert_int_equal(mrd_catalog_number(pin), number);
    mrd_catalog_unpin(&pin);
    mrd_catalog_close(&catalog);
}

static void changes_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    struct mrd_catalog *catalog = open_on(files);
    const struct mrd_catalog_change empty = {0};
    struct named_entry named;
    struct mrd_block_entry broken = *make_entry(&named, 1);
    broken.id = MRD_BYTES_NONE;
    const struct mrd_catalog_change bad = {.add = &broken, .add_count = 1};
    assert_int_equal(mrd_catalog_commit(catalog, &empty, NULL, &error), MRD_E_INVALID);
    assert_int_equal(mrd_catalog_commit(catalog, &bad, NULL, &error), MRD_E_INVALID);
    assert_int_equal(build(catalog, 1, 5, 5), MRD_E_INVALID);
    assert_int_equal(turn_table(catalog, "m/1", "m/1"), MRD_E_INVALID);
    struct mrd_catalog_swept swept;
    assert_int_equal(mrd_catalog_sweep(catalog, "", NULL, &swept, &error), MRD_E_INVALID);
    assert_int_equal(mrd_catalog_sweep(catalog, "catalog/x", NULL, &swept, &error), MRD_E_INVALID);
    mrd_catalog_close(&catalog);
}

/* Many catalogs of one store, random changes; what they say is held against a model. */
static void random_histories_are_what_a_model_says(void **state)
{
    (void)state;
    enum { WRITERS = 3, BLOCKS = 40, PARTITIONS = 4, STEPS = 400 };
    struct mrd_catalog *writers[WRITERS];
    int status_of[BLOCKS] = {0}; /* 0: never, 1: there, 2: gone */
    uint64_t built[PARTITIONS] = {0};
    unsigned seed = 7;
    for (size_t i = 0; i < WRITERS; i++) {
        writers[i] = open_on(files);
    }
    for (size_t step = 0; step < STEPS; step++) {
        struct mrd_catalog *writer = writers[(unsigned)rand_r(&seed) % WRITERS];
        const unsigned block = (unsigned)rand_r(&seed) % BLOCKS;
        const uint32_t partition = (uint32_t)rand_r(&seed) % PARTITIONS;
        char id[32];
        (void)snprintf(id, sizeof(id), "block-%u", block);
        switch (rand_r(&seed) % 3) {
        case 0:
            assert_int_equal(add(writer, block), status_of[block] == 2 ? MRD_E_CONFLICT : MRD_OK);
            status_of[block] = status_of[block] == 2 ? 2 : 1;
            break;
        case 1:
            assert_int_equal(take_away(writer, id), MRD_OK);
            status_of[block] = status_of[block] == 0 ? 0 : 2;
            break;
        default:
            assert_int_equal(build(writer, partition, built[partition], built[partition] + 10),
                             MRD_OK);
            built[partition] += 10;
        }
    }
    for (size_t i = 0; i < WRITERS; i++) {
        assert_int_equal(mrd_catalog_refresh(writers[i], NULL, &error), MRD_OK);
        struct mrd_catalog_state *pin = mrd_catalog_pin(writers[i]);
        for (unsigned block = 0; block < BLOCKS; block++) {
            assert_int_equal(has(pin, block), status_of[block] == 1);
        }
        for (uint32_t partition = 0; partition < PARTITIONS; partition++) {
            assert_int_equal(mrd_catalog_built(pin, partition), built[partition]);
        }
        mrd_catalog_unpin(&pin);
        expect_reopened_same(writers[i]);
    }
    for (size_t i = 0; i < WRITERS; i++) {
        mrd_catalog_close(&writers[i]);
    }
}

/* Five commits, each of them made once more after a failure, with the n-th call to the store failing. */
static bool walk_one(uint64_t nth, enum mrd_fault_when when, bool crash)
{
    enum { COMMITS = 5 };
    struct mrd_catalog *catalog = open_on(faults);
    unsigned acknowledged = 0;
    mrd_fault_store_arm(faults, &(struct mrd_fault){.nth = nth, .when = when, .crash = crash});
    for (unsigned i = 0; i < COMMITS; i++) {
        struct named_entry named;
        const struct mrd_catalog_built_change built = {
            .partition = 1, .from = 10 * i, .to = 10 * (i + 1)};
        const struct mrd_catalog_change change = {
            .add = make_entry(&named, i), .add_count = 1, .built = &built, .built_count = 1};
        if (mrd_catalog_commit(catalog, &change, NULL, &error) == MRD_OK ||
            mrd_catalog_commit(catalog, &change, NULL, &error) == MRD_OK) {
            assert_int_equal(acknowledged, i);
            acknowledged++;
        }
    }
    const bool happened = mrd_fault_store_disarm(faults);
    mrd_catalog_close(&catalog);
    catalog = open_on(files);
    struct mrd_catalog_state *pin = mrd_catalog_pin(catalog);
    const size_t count = mrd_catalog_block_count(pin);
    assert_true(count >= acknowledged); /* one more may have been committed and not acknowledged */
    assert_true(count <= (size_t)acknowledged + 1);
    assert_int_equal(mrd_catalog_built(pin, 1), 10 * count);
    assert_true(crash || acknowledged == COMMITS);
    for (unsigned i = 0; i < COMMITS; i++) {
        assert_int_equal(has(pin, i), i < count);
    }
    mrd_catalog_unpin(&pin);
    mrd_catalog_close(&catalog);
    return happened;
}

static void every_call_may_fail(void **state)
{
    uint64_t walked = 0;
    for (int variant = 0; variant < 4; variant++) {
        const enum mrd_fault_when when = variant % 2 == 0 ? MRD_FAULT_BEFORE : MRD_FAULT_AFTER;
        bool more = true;
        for (uint64_t nth = 1; more; nth++, walked++) {
            end(state);
            begin(state);
            more = walk_one(nth, when, variant >= 2);
        }
    }
    assert_true(walked > 40);
}

static void what_is_old_is_swept_and_nothing_else(void **state)
{
    (void)state;
    struct mrd_catalog *catalog = open_on(files);
    struct mrd_catalog *behind = open_on(files);
    struct named_entry named;
    struct mrd_catalog_swept swept;
    struct mrd_objstore_info info;
    for (unsigned i = 0; i < 10; i++) {
        put_files(make_entry(&named, i));
        assert_int_equal(add(catalog, i), MRD_OK);
    }
    put_files(make_entry(&named, 77)); /* never committed */
    assert_int_equal(take_away(catalog, "block-3"), MRD_OK);
    assert_int_equal(mrd_catalog_sweep(catalog, "blocks/", NULL, &swept, &error), MRD_OK);
    assert_int_equal(swept.commits + swept.gone + swept.abandoned, 0);

    ahead_ms = MRD_CATALOG_GRACE_MS + 60 * 1000;
    assert_int_equal(mrd_catalog_sweep(catalog, "blocks/", NULL, &swept, &error), MRD_OK);
    assert_true(swept.commits >= 8);
    assert_int_equal(swept.gone, 1);
    assert_int_equal(swept.abandoned, 2);
    assert_int_equal(mrd_objstore_head(files, "blocks/block-3.mbx", NULL, &info, NULL),
                     MRD_E_NOT_FOUND);
    assert_int_equal(mrd_objstore_head(files, "blocks/block-77.parquet", NULL, &info, NULL),
                     MRD_E_NOT_FOUND);
    assert_int_equal(mrd_objstore_head(files, "blocks/block-4.parquet", NULL, &info, NULL), MRD_OK);
    struct mrd_catalog_state *pin = mrd_catalog_pin(catalog);
    assert_int_equal(mrd_catalog_gone_count(pin), 0);
    mrd_catalog_unpin(&pin);
    expect_reopened_same(catalog);

    /* One that stood at the beginning, whose next commits are gone, does not write where nobody reads. */
    assert_int_equal(add(behind, 50), MRD_OK);
    assert_int_equal(mrd_catalog_refresh(catalog, NULL, &error), MRD_OK);
    pin = mrd_catalog_pin(catalog);
    assert_true(has(pin, 50));
    mrd_catalog_unpin(&pin);
    expect_reopened_same(behind);
    mrd_catalog_close(&behind);
    mrd_catalog_close(&catalog);
}

static void files_that_may_be_swept_are_not_committed(void **state)
{
    (void)state;
    struct mrd_catalog *catalog = open_on(files);
    struct named_entry named;
    struct mrd_catalog_change change = {.add = make_entry(&named, 1), .add_count = 1};
    change.begun_ms = mrd_clock_now_ms(&shifted) - MRD_CATALOG_GRACE_MS;
    assert_int_equal(mrd_catalog_commit(catalog, &change, NULL, &error), MRD_E_CONFLICT);
    change.begun_ms = mrd_clock_now_ms(&shifted) - 1000;
    assert_int_equal(mrd_catalog_commit(catalog, &change, NULL, &error), MRD_OK);
    mrd_catalog_close(&catalog);
}

/* Files of a block that leaves now are there after `ms`, and are not after a minute more. */
static void expect_kept(struct mrd_catalog *catalog, unsigned number, mrd_time_ms ms)
{
    struct named_entry named;
    struct mrd_catalog_swept swept;
    char id[32];
    (void)snprintf(id, sizeof(id), "block-%u", number);
    put_files(make_entry(&named, number));
    assert_int_equal(add(catalog, number), MRD_OK);
    assert_int_equal(take_away(catalog, id), MRD_OK);
    ahead_ms += ms - 30 * 1000;
    assert_int_equal(mrd_catalog_sweep(catalog, "blocks/", NULL, &swept, &error), MRD_OK);
    assert_int_equal(swept.gone, 0);
    ahead_ms += 60 * 1000;
    assert_int_equal(mrd_catalog_sweep(catalog, "blocks/", NULL, &swept, &error), MRD_OK);
    assert_int_equal(swept.gone, 1);
}

static void set_grace(struct mrd_catalog *catalog, mrd_time_ms ms)
{
    const struct mrd_catalog_change change = {.grace_ms = ms};
    assert_int_equal(mrd_catalog_commit(catalog, &change, NULL, &error), MRD_OK);
    assert_int_equal(mrd_catalog_grace_ms(catalog), ms);
    expect_reopened_same(catalog);
}

static void the_catalog_says_its_grace_and_a_shorter_one_waits_for_the_one_before(void **state)
{
    (void)state;
    const mrd_time_ms hour_ms = 3600 * 1000;
    struct mrd_catalog *catalog = open_on(files);
    struct mrd_catalog *behind = open_on(files);
    assert_int_equal(mrd_catalog_grace_ms(catalog), MRD_CATALOG_GRACE_MS);
    set_grace(catalog, 10 * hour_ms); /* in a region that has nothing yet */
    assert_int_equal(mrd_catalog_kept_ms(catalog), 10 * hour_ms);
    assert_int_equal(mrd_catalog_grace_ms(behind), MRD_CATALOG_GRACE_MS);
    assert_int_equal(mrd_catalog_refresh(behind, NULL, &error), MRD_OK);
    assert_int_equal(mrd_catalog_grace_ms(behind), 10 * hour_ms);
    expect_kept(catalog, 1, 10 * hour_ms);

    set_grace(catalog, hour_ms); /* who knows the state of before goes by it for ten hours */
    assert_int_equal(mrd_catalog_kept_ms(catalog), 10 * hour_ms);
    set_grace(catalog, 2 * hour_ms);
    assert_int_equal(mrd_catalog_kept_ms(catalog), 10 * hour_ms);
    expect_kept(catalog, 2, 10 * hour_ms);
    ahead_ms += hour_ms;
    assert_int_equal(mrd_catalog_kept_ms(catalog), 2 * hour_ms);
    expect_kept(catalog, 3, 2 * hour_ms);
    for (unsigned i = 10; i < 20; i++) { /* through checkpoints */
        assert_int_equal(add(catalog, i), MRD_OK);
    }
    expect_reopened_same(catalog);
    set_grace(catalog, 20 * hour_ms);
    assert_int_equal(mrd_catalog_kept_ms(catalog), 20 * hour_ms);
    mrd_catalog_close(&behind);
    mrd_catalog_close(&catalog);
}

static void where_nobody_said_a_grace_the_default_is_held(void **state)
{
    (void)state;
    struct mrd_catalog *catalog = open_on(files);
    assert_int_equal(add(catalog, 1), MRD_OK);
    set_grace(catalog, MRD_CATALOG_GRACE_MS_MIN);
    assert_int_equal(mrd_catalog_kept_ms(catalog), MRD_CATALOG_GRACE_MS);
    struct mrd_catalog_change change = {.grace_ms = MRD_CATALOG_GRACE_MS_MIN - 1};
    assert_int_equal(mrd_catalog_commit(catalog, &change, NULL, &error), MRD_E_INVALID);
    change.grace_ms = MRD_CATALOG_GRACE_MS_MAX + 1;
    assert_int_equal(mrd_catalog_commit(catalog, &change, NULL, &error), MRD_E_INVALID);
    mrd_catalog_close(&catalog);
}

static void a_chain_with_a_hole_or_a_wrong_byte_is_not_read(void **state)
{
    (void)state;
    struct mrd_catalog *catalog = open_on(files);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(add(catalog, i), MRD_OK);
    }
    mrd_catalog_close(&catalog);
    char key[CAT_KEY_MAX];
    cat_commit_key(key, 2);
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    assert_int_equal(mrd_objstore_get(files, key, 1 << 20, NULL, &bytes, NULL), MRD_OK);
    for (size_t i = 0; i < bytes.size; i++) {
        bytes.data[i] ^= 4;
        assert_int_equal(mrd_objstore_put(files, key, mrd_buf_view(&bytes), NULL, NULL), MRD_OK);
        assert_int_equal(open_status(), MRD_E_CORRUPT);
        assert_non_null(strstr(error.text, key));
        bytes.data[i] ^= 4;
    }
    assert_int_equal(mrd_objstore_delete(files, key, NULL, NULL), MRD_OK);
    assert_int_equal(open_status(), MRD_E_CORRUPT);
    assert_non_null(strstr(error.text, "commit 2 of the catalog is missing"));
    assert_int_equal(mrd_objstore_put(files, key, mrd_buf_view(&bytes), NULL, NULL), MRD_OK);
    assert_int_equal(open_status(), MRD_OK);
}

static void a_hint_that_is_wrong_does_no_harm(void **state)
{
    (void)state;
    struct mrd_catalog *catalog = open_on(files);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(add(catalog, i), MRD_OK);
    }
    static const char *const hints[] = {"", "rubbish", "999999", "1", "18446744073709551615"};
    for (size_t i = 0; i < MRD_ARRAY_LEN(hints); i++) {
        assert_int_equal(
            mrd_objstore_put(files, "catalog/HEAD", mrd_bytes_of(hints[i]), NULL, NULL), MRD_OK);
        expect_reopened_same(catalog);
        assert_int_equal(add(catalog, 100 + (unsigned)i), MRD_OK);
    }
    mrd_catalog_close(&catalog);
}

/* Writers in threads: each change is committed exactly once. */
struct racer {
    pthread_t thread;
    unsigned first;
};
enum { RACER_COMMITS = 25 };

static void *race(void *context)
{
    const struct racer *racer = context;
    struct mrd_catalog *catalog = NULL;
    const struct mrd_catalog_options options = {.store = files, .checkpoint_every = 8};
    mrd_assert(mrd_catalog_open(&options, NULL, &catalog, NULL) == MRD_OK);
    for (unsigned i = 0; i < RACER_COMMITS; i++) {
        struct named_entry named;
        const struct mrd_catalog_change change = {.add = make_entry(&named, racer->first + i),
                                                  .add_count = 1};
        mrd_assert(mrd_catalog_commit(catalog, &change, NULL, NULL) == MRD_OK);
    }
    mrd_catalog_close(&catalog);
    return NULL;
}

static void racing_writers_lose_nothing(void **state)
{
    (void)state;
    enum { RACERS = 4 };
    struct racer racers[RACERS];
    for (unsigned i = 0; i < RACERS; i++) {
        racers[i].first = 100 * i;
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    for (unsigned i = 0; i < RACERS; i++) {
        pthread_join(racers[i].thread, NULL);
    }
    struct mrd_catalog *catalog = open_on(files);
    struct mrd_catalog_state *pin = mrd_catalog_pin(catalog);
    assert_int_equal(mrd_catalog_number(pin), RACERS * RACER_COMMITS);
    assert_int_equal(mrd_catalog_block_count(pin), RACERS * RACER_COMMITS);
    mrd_catalog_unpin(&pin);
    mrd_catalog_close(&catalog);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_empty_store_has_an_empty_catalog, begin, end),
        cmocka_unit_test_setup_teardown(a_commit_is_seen_by_others_and_a_pin_does_not_change, begin,
                                        end),
        cmocka_unit_test_setup_teardown(what_a_change_demands_is_looked_at_in_the_newest_state,
                                        begin, end),
        cmocka_unit_test_setup_teardown(a_partition_is_built_of_one_log_until_another_is_adopted,
                                        begin, end),
        cmocka_unit_test_setup_teardown(the_same_change_again_is_done_already, begin, end),
        cmocka_unit_test_setup_teardown(changes_that_make_no_sense_are_refused, begin, end),
        cmocka_unit_test_setup_teardown(random_histories_are_what_a_model_says, begin, end),
        cmocka_unit_test_setup_teardown(every_call_may_fail, begin, end),
        cmocka_unit_test_setup_teardown(what_is_old_is_swept_and_nothing_else, begin, end),
        cmocka_unit_test_setup_teardown(files_that_may_be_swept_are_not_committed, begin, end),
        cmocka_unit_test_setup_teardown(
            the_catalog_says_its_grace_and_a_shorter_one_waits_for_the_one_before, begin, end),
        cmocka_unit_test_setup_teardown(where_nobody_said_a_grace_the_default_is_held, begin, end),
        cmocka_unit_test_setup_teardown(a_chain_with_a_hole_or_a_wrong_byte_is_not_read, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_hint_that_is_wrong_does_no_harm, begin, end),
        cmocka_unit_test_setup_teardown(racing_writers_lose_nothing, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
