/* An ingester whose log is lost and made anew, or restored from a copy, while it runs. */
#include "ingester/ingester_rig.h"

static void ensure_log(struct world *world)
{
    const struct mrd_log_config log = {
        .region = "test", .partition_count = PARTITIONS, .replicas = 1, .bytes_max = 256 << 20};
    enum mrd_status status = MRD_E_UNAVAILABLE;
    for (int i = 0; i < 200 && status == MRD_E_UNAVAILABLE; i++) {
        usleep(i == 0 ? 0 : 50000);
        status = mrd_log_ensure(world->bus, &log, 2000, NULL);
    }
    assert_int_equal(status, MRD_OK);
}

static struct mrd_log_state log_of(struct world *world)
{
    struct mrd_log_state log;
    assert_int_equal(mrd_log_state_read(world->bus, 0, 5000, &log, NULL), MRD_OK);
    return log;
}

static struct mrd_log_mark mark_at(struct world *world, uint64_t sequence)
{
    struct mrd_log_mark mark = {.sequence = sequence};
    assert_int_equal(mrd_log_stored_read(world->bus, 0, sequence, 5000, &mark.stored_ms, NULL),
                     MRD_OK);
    return mark;
}

/* One question for partition 0, as `asked` says. */
static enum mrd_status ask_for(struct world *world, const struct mrd_query_partition *asked,
                               struct answer *answer)
{
    struct mrd_query_request request = request_of(MRD_QUERY_SELECT);
    struct told told = {0};
    enum mrd_status status = MRD_OK;
    struct mrd_error err = {0};
    request.partitions = asked;
    request.partition_count = 1;
    (void)question(world, "one", &request, &told, &status, &err);
    *answer = told.answer;
    answer->error = status == MRD_OK ? told.answer.error : err;
    return status == MRD_OK ? told.failed : status;
}

/* Again while the connection is made anew. */
static enum mrd_status ask_until(struct world *world, const struct mrd_query_partition *asked,
                                 enum mrd_status want, struct answer *answer)
{
    enum mrd_status status = ask_for(world, asked, answer);
    for (int i = 0; i < 600 && status != want; i++) {
        usleep(100000);
        status = ask_for(world, asked, answer);
    }
    if (status != want) {
        print_message("%s\n", answer->error.text);
    }
    return status;
}

/* What the ingester says of partition 0. */
static struct mrd_member_partition record_of(struct world *world)
{
    struct mrd_member_partition record = {0};
    const struct mrd_members_snapshot *snapshot = mrd_members_acquire(world->members);
    for (size_t i = 0; i < snapshot->count; i++) {
        if (strcmp(snapshot->members[i].instance, "one") == 0 &&
            snapshot->members[i].partition_count > 0) {
            record = snapshot->members[i].partitions[0];
        }
    }
    mrd_members_release(&snapshot);
    return record;
}

static void wait_record(struct world *world, struct mrd_log_identity log, uint64_t first)
{
    struct mrd_member_partition record = record_of(world);
    for (int i = 0;
         i < 600 && !(mrd_log_identity_equal(record.log, log) && record.sequence_first == first);
         i++) {
        usleep(100000);
        record = record_of(world);
    }
    assert_true(mrd_log_identity_equal(record.log, log));
    assert_int_equal(record.sequence_first, first);
}

static struct mrd_log_identity adopt(struct world *world, uint64_t sequence)
{
    struct mrd_log_identity out;
    const struct mrd_log_adoption adoption = {log_of(world).identity, 1, sequence};
    assert_int_equal(mrd_log_adopt(world->bus, 0, &adoption, 5000, &out, NULL), MRD_OK);
    return out;
}

static void what_an_ingester_holds_is_of_the_log_that_it_has_read(void **state)
{
    struct world *world = *state;
    struct answer answer;
    write_all(world, 10, 0, 6);
    const struct mrd_log_identity before = log_of(world).identity;
    const struct mrd_log_mark mark = mark_at(world, 5);
    static struct ingester one; /* a failed assertion leaves its threads running */
    ingester_start(&one, &world->nats, "one", 1, 0);
    ingester_wait_ready(&one);
    wait_record(world, before, 1);
    const struct mrd_query_partition covered = {
        .sequence_first_max = 1, .log = mrd_log_identity_tag(before), .mark = mark};
    assert_int_equal(ask_for(world, &covered, &answer), MRD_OK);
    assert_int_equal(answer.samples, 60);

    nats_fixture_lose(&world->nats);
    ensure_log(world);
    write_all(world, 10, 6, 2);
    const struct mrd_log_identity after = log_of(world).identity;
    /* Two messages of the new log: it has applied six, but not of that one. */
    const struct mrd_query_partition strong = {.sequence_min = 2,
                                               .log = mrd_log_identity_tag(after)};
    assert_int_equal(ask_until(world, &strong, MRD_OK, &answer), MRD_OK);
    assert_int_equal(answer.samples, 80); /* those of the log before are still there */
    assert_int_equal(answer.trailer.sequence, 2);
    assert_int_equal(ask_for(world, &covered, &answer), MRD_E_UNAVAILABLE);
    assert_non_null(strstr(answer.error.text, "has read another log"));
    wait_record(world, after, 1);

    const struct mrd_log_identity adopted = adopt(world, 101);
    const struct mrd_query_partition end = {.sequence_min = 102,
                                            .sequence_first_max = 101,
                                            .log = mrd_log_identity_tag(adopted),
                                            .mark = {.sequence = 100}};
    assert_int_equal(ask_until(world, &end, MRD_OK, &answer), MRD_OK);
    assert_int_equal(answer.samples, 80); /* they came again, and are there once */
    wait_record(world, adopted, 101);
    ingester_stop(&one, true);
}

/* Nothing comes of it, and yet its end is reached. */
static void of_an_adopted_log_that_is_empty_the_end_is_reached(void **state)
{
    struct world *world = *state;
    struct answer answer;
    write_all(world, 10, 0, 3);
    static struct ingester one; /* a failed assertion leaves its threads running */
    ingester_start(&one, &world->nats, "one", 1, 0);
    ingester_wait_ready(&one);
    nats_fixture_lose(&world->nats);
    ensure_log(world);
    const struct mrd_log_identity adopted = adopt(world, 101);
    assert_int_equal(log_of(world).sequence_last, 100);
    const struct mrd_query_partition strong = {.sequence_min = 100,
                                               .log = mrd_log_identity_tag(adopted)};
    assert_int_equal(ask_until(world, &strong, MRD_OK, &answer), MRD_OK);
    assert_int_equal(answer.samples, 30);
    wait_record(world, adopted, 101);
    ingester_stop(&one, true);
}

/* It reads a copy that has gone on differently, and has not known the log of before. */
static void who_has_read_a_restored_log_is_not_taken_for_one_that_has_what_blocks_have(void **state)
{
    struct world *world = *state;
    struct answer answer;
    write_all(world, 10, 0, 2);
    nats_fixture_back_up(&world->nats);
    ensure_log(world);
    write_all(world, 10, 2, 3);
    const struct mrd_log_mark mark = mark_at(world, 5);
    const struct mrd_log_identity log = log_of(world).identity;
    nats_fixture_restore(&world->nats);
    ensure_log(world);
    write_all(world, 10, 5, 4); /* 3 to 6 */
    assert_true(mrd_log_identity_equal(log, log_of(world).identity));
    static struct ingester one; /* a failed assertion leaves its threads running */
    ingester_start(&one, &world->nats, "one", 1, 0);
    ingester_wait_ready(&one);
    wait_record(world, log, 1); /* as good as any, for all that it knows */
    const struct mrd_query_partition covered = {
        .sequence_first_max = 1, .log = mrd_log_identity_tag(log), .mark = mark};
    assert_int_equal(ask_for(world, &covered, &answer), MRD_E_UNAVAILABLE);
    assert_non_null(strstr(answer.error.text, "was restored from a copy"));
    wait_record(world, log, 0); /* now it says nothing */
    const struct mrd_query_partition plain = {.number = 0};
    assert_int_equal(ask_for(world, &plain, &answer), MRD_OK);
    assert_int_equal(answer.samples, 60);
    ingester_stop(&one, true);
}

int main(void)
{
#define LOST_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        LOST_TEST(what_an_ingester_holds_is_of_the_log_that_it_has_read),
        LOST_TEST(of_an_adopted_log_that_is_empty_the_end_is_reached),
        LOST_TEST(who_has_read_a_restored_log_is_not_taken_for_one_that_has_what_blocks_have),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    mrd_bus_library_close();
    return failed;
}
