/* Batches through a real log into ingesters and out of their query interface. */
#include "ingester/ingester_rig.h"

static void what_is_acknowledged_is_answered(void **state)
{
    struct world *world = *state;
    static struct ingester one; /* a failed assertion leaves its threads running */
    ingester_start(&one, &world->nats, "one", 1, 0);
    ingester_wait_ready(&one);
    write_all(world, 500, 0, 20);
    expect_all(world, "one", 500, 20);
    write_all(world, 500, 20, 5);
    expect_all(world, "one", 500, 25);
    wait_metric(&one, "meridian_ingester_rows_unresolved_total", 0);
    wait_metric(&one, "meridian_ingester_samples_total", 500 * 25 * PARTITIONS);
    ingester_stop(&one, true);
}

static void histograms_in_the_log_are_answered_also_after_a_restart(void **state)
{
    struct world *world = *state;
    enum { COUNT = 7, STEPS = 300 };
    write_all(world, COUNT, 0, 1);
    write_histograms(world, 0, COUNT, STEPS);
    assert_int_equal(mrd_log_writer_drain(world->writer, 60000, NULL), MRD_OK);
    for (int start = 0; start < 2; start++) {
        static struct ingester one; /* a failed assertion leaves its threads running */
        ingester_start(&one, &world->nats, "one", 1, 0);
        ingester_wait_ready(&one);
        struct mrd_query_request request = request_of(MRD_QUERY_SELECT);
        request.time_max_ms = INT64_MAX;
        struct answer answer;
        assert_int_equal(ask_at(world, "one", 0, log_last(world, 0), &request, &answer), MRD_OK);
        assert_int_equal(answer.series, COUNT);
        assert_int_equal(answer.samples, COUNT);
        assert_int_equal(answer.histograms, COUNT * STEPS);
        assert_true(answer.sum == COUNT * (STEPS * (STEPS + 1) / 2) + COUNT * (COUNT - 1) / 2);
        wait_metric(&one, "meridian_ingester_histograms_total", COUNT * STEPS);
        ingester_stop(&one, false);
    }
}

static void exemplars_and_metadata_are_answered_also_after_a_replay(void **state)
{
    struct world *world = *state;
    enum { COUNT = 5, STEPS = 40 };
    write_all(world, COUNT, 0, 1);
    write_extras(world, 0, COUNT, STEPS);
    write_extras(world, 0, COUNT, STEPS); /* what is there already */
    assert_int_equal(mrd_log_writer_drain(world->writer, 60000, NULL), MRD_OK);
    static struct ingester one; /* a failed assertion leaves its threads running */
    ingester_start(&one, &world->nats, "one", 1, 0);
    ingester_wait_ready(&one);
    struct mrd_query_request request = request_of(MRD_QUERY_EXEMPLARS);
    struct answer answer;
    assert_int_equal(ask_at(world, "one", 0, log_last(world, 0), &request, &answer), MRD_OK);
    assert_int_equal(answer.texts, COUNT * STEPS);
    assert_true(answer.sum == COUNT * (STEPS * (STEPS - 1) / 2));
    request.time_max_ms = T0 + 1;
    assert_int_equal(ask(world, "one", 0, &request, &answer), MRD_OK);
    assert_int_equal(answer.texts, COUNT * 2);
    request = request_of(MRD_QUERY_METADATA);
    assert_int_equal(ask(world, "one", 0, &request, &answer), MRD_OK);
    assert_int_equal(answer.texts, COUNT);
    assert_true(answer.sum == COUNT * MRD_FAMILY_GAUGE);
    request.label = MRD_BYTES("family_3");
    assert_int_equal(ask(world, "one", 0, &request, &answer), MRD_OK);
    assert_int_equal(answer.texts, 1);
    request.tenant = MRD_BYTES("other");
    assert_int_equal(ask(world, "one", 0, &request, &answer), MRD_OK);
    assert_int_equal(answer.texts, 0);
    wait_metric(&one, "meridian_ingester_exemplars_total", COUNT * STEPS);
    ingester_stop(&one, true);
}

static void an_ingester_that_starts_later_replays_everything(void **state)
{
    struct world *world = *state;
    write_all(world, 300, 0, 30);
    static struct ingester one; /* a failed assertion leaves its threads running */
    ingester_start(&one, &world->nats, "one", 1, 0);
    ingester_wait_ready(&one);
    expect_all(world, "one", 300, 30);
    ingester_stop(&one, true);
}

static void a_log_that_was_trimmed_to_its_end_is_applied(void **state)
{
    struct world *world = *state;
    write_all(world, 40, 0, 3);
    assert_int_equal(mrd_log_writer_drain(world->writer, 60000, NULL), MRD_OK);
    const uint64_t last = log_last(world, 0);
    assert_true(last > 0);
    struct mrd_log_state log;
    assert_int_equal(mrd_log_state_read(world->bus, 0, 5000, &log, NULL), MRD_OK);
    assert_int_equal(mrd_log_trim(world->bus, 0, log.identity, last + 1, 0, 5000, NULL), MRD_OK);
    static struct ingester one; /* a failed assertion leaves its threads running */
    ingester_start(&one, &world->nats, "one", 1, 0);
    ingester_wait_ready(&one);
    struct mrd_query_request request = request_of(MRD_QUERY_SELECT);
    request.time_max_ms = INT64_MAX;
    struct answer answer;
    assert_int_equal(ask_at(world, "one", 0, last, &request, &answer), MRD_OK);
    assert_int_equal(answer.series, 0); /* blocks have them */
    write_all(world, 40, 3, 1);
    assert_int_equal(mrd_log_writer_drain(world->writer, 60000, NULL), MRD_OK);
    assert_int_equal(ask_at(world, "one", 0, log_last(world, 0), &request, &answer), MRD_OK);
    ingester_stop(&one, true);
}

/* Blocks have what was trimmed, and nothing of what came since: the store has been away for hours. */
static void what_no_block_has_is_answered_however_long_ago_the_log_begins(void **state)
{
    struct world *world = *state;
    enum { COUNT = 20 };
    write_all(world, COUNT, 0, 1);
    const uint64_t last = log_last(world, 0);
    struct mrd_log_state log;
    assert_int_equal(mrd_log_state_read(world->bus, 0, 5000, &log, NULL), MRD_OK);
    assert_int_equal(mrd_log_trim(world->bus, 0, log.identity, last + 1, 0, 5000, NULL), MRD_OK);
    write_batch(world, 0, 0, COUNT, 1, true);
    assert_int_equal(mrd_log_writer_drain(world->writer, 60000, NULL), MRD_OK);
    ahead_ms = (mrd_time_ms)24 * 3600 * 1000;
    static struct ingester one; /* a failed assertion leaves its threads running */
    ingester_start(&one, &world->nats, "one", 1, 0);
    ingester_wait_ready(&one);
    struct mrd_query_request request = request_of(MRD_QUERY_SELECT);
    request.time_max_ms = INT64_MAX;
    struct answer answer;
    assert_int_equal(ask_at(world, "one", 0, log_last(world, 0), &request, &answer), MRD_OK);
    assert_int_equal(answer.series, COUNT);
    assert_int_equal(answer.samples, COUNT);
    wait_metric(&one, "meridian_ingester_batches_left_out_total", 0);
    ingester_stop(&one, true);
    ahead_ms = 0;
}

static void all_kinds_of_questions_are_answered(void **state)
{
    struct world *world = *state;
    write_all(world, 100, 0, 3);
    static struct ingester one; /* a failed assertion leaves its threads running */
    ingester_start(&one, &world->nats, "one", 1, 0);
    ingester_wait_ready(&one);
    struct answer answer;
    struct mrd_query_request request = request_of(MRD_QUERY_LABEL_NAMES);
    assert_int_equal(ask(world, "one", 0, &request, &answer), MRD_OK);
    assert_int_equal(answer.texts, 3);
    request = request_of(MRD_QUERY_LABEL_VALUES);
    request.label = MRD_BYTES("host");
    assert_int_equal(ask(world, "one", 0, &request, &answer), MRD_OK);
    assert_int_equal(answer.texts, 100);
    request = request_of(MRD_QUERY_SERIES);
    struct mrd_matcher matcher;
    assert_int_equal(
        mrd_matcher_init(&matcher, MRD_MATCH_RE, MRD_BYTES("host"), MRD_BYTES("host-[0-7]"), NULL),
        MRD_OK);
    request.matchers = &matcher;
    request.matcher_count = 1;
    assert_int_equal(ask(world, "one", 0, &request, &answer), MRD_OK);
    assert_int_equal(answer.series, 2); /* host-0 and host-4 are of partition 0 */
    assert_int_equal(answer.samples, 0);
    mrd_matcher_fini(&matcher);
    request = request_of(MRD_QUERY_CARDINALITY);
    request.limit = 10;
    assert_int_equal(ask(world, "one", 0, &request, &answer), MRD_OK);
    assert_int_equal(answer.trailer.total, 100);
    assert_int_equal(answer.trailer.head_chunks, 100);
    assert_int_equal(answer.count_total, 100); /* all are "cpu" */
    assert_int_equal(answer.texts, 1 + 3);
    request = request_of(MRD_QUERY_SELECT);
    request.series_max = 10;
    assert_int_equal(ask(world, "one", 0, &request, &answer), MRD_E_LIMIT);
    request.series_max = 0;
    request.tenant = MRD_BYTES("nobody");
    assert_int_equal(ask(world, "one", 0, &request, &answer), MRD_OK);
    assert_int_equal(answer.series, 0);
    assert_int_equal(ask(world, "one", PARTITIONS, &request, &answer), MRD_E_INVALID);
    ingester_stop(&one, true);
}

static void a_large_answer_comes_in_many_chunks(void **state)
{
    struct world *world = *state;
    write_all(world, 8000, 0, 12);
    static struct ingester one; /* a failed assertion leaves its threads running */
    ingester_start(&one, &world->nats, "one", 1, 0);
    ingester_wait_ready(&one);
    expect_all(world, "one", 8000, 12);
    ingester_stop(&one, true);
}

static void an_unreadable_batch_is_left_out_and_nothing_else_stops(void **state)
{
    struct world *world = *state;
    static struct ingester one; /* a failed assertion leaves its threads running */
    ingester_start(&one, &world->nats, "one", 1, 0);
    ingester_wait_ready(&one);
    write_all(world, 10, 0, 2);
    struct mrd_batch_header header = header_of(world, 0);
    header.instance = MRD_BYTES("vandal");
    publish(world, 0, &header, MRD_BYTES("this is not a batch"));
    write_all(world, 10, 2, 2);
    world->numbers[0]--; /* the vandal's is not one of ours */
    expect_all(world, "one", 10, 4);
    wait_metric(&one, "meridian_ingester_batches_quarantined_total", 1);
    ingester_stop(&one, true);
}

static void rows_without_announcement_are_counted_as_loss(void **state)
{
    struct world *world = *state;
    static struct ingester one; /* a failed assertion leaves its threads running */
    ingester_start(&one, &world->nats, "one", 1, 0);
    ingester_wait_ready(&one);
    write_all(world, 10, 0, 1);
    write_batch(world, 0, 10, 5, 1, false);
    assert_int_equal(mrd_log_writer_drain(world->writer, 60000, NULL), MRD_OK);
    wait_metric(&one, "meridian_ingester_rows_unresolved_total", 5);
    ingester_stop(&one, true);
}

static void over_its_memory_budget_it_stops_applying_and_lives(void **state)
{
    struct world *world = *state;
    static struct ingester one; /* a failed assertion leaves its threads running */
    ingester_start(&one, &world->nats, "one", 1, 4 << 20);
    ingester_wait_ready(&one);
    for (size_t i = 0; i < 40; i++) { /* 80,000 series in one partition */
        write_batch(world, 0, i * 2000, 2000, 0, true);
    }
    assert_int_equal(mrd_log_writer_drain(world->writer, 60000, NULL), MRD_OK);
    wait_metric(&one, "meridian_ingester_partition_over_budget{partition=\"0\"}", 1);
    for (int i = 0; i < 20000 && atomic_load(&one.ready); i++) {
        usleep(1000);
    }
    assert_false(atomic_load(&one.ready));
    struct mrd_query_request request = request_of(MRD_QUERY_SELECT);
    struct answer answer; /* what is there is answered; the lag shows */
    assert_int_equal(ask(world, "one", 0, &request, &answer), MRD_OK);
    assert_true(answer.series > 0 && answer.series < 80000);
    assert_true(metric(&one, "meridian_ingester_partition_lag_entries{partition=\"0\"}") > 0);
    ingester_stop(&one, true);
}

static void ingesters_come_and_go_and_answers_stay_whole(void **state)
{
    struct world *world = *state;
    write_all(world, 50, 0, 10);
    static struct ingester crew[3];
    ingester_start(&crew[0], &world->nats, "one", 2, 0);
    wait_servers(world, 1, 50, 0);
    ingester_start(&crew[1], &world->nats, "two", 2, 0);
    wait_servers(world, 2, 50, 10);
    ingester_start(&crew[2], &world->nats, "three", 2, 0);
    ingester_wait_ready(&crew[2]);
    wait_servers(world, 2, 50, 10);
    ingester_stop(&crew[0], true);
    wait_servers(world, 2, 50, 10);
    ingester_stop(&crew[1], false);
    expect_all(world, "three", 50, 10);
    ingester_stop(&crew[2], true);
}

static void a_killed_server_of_the_log_is_survived(void **state)
{
    struct world *world = *state;
    static struct ingester one; /* a failed assertion leaves its threads running */
    ingester_start(&one, &world->nats, "one", 1, 0);
    ingester_wait_ready(&one);
    write_all(world, 100, 0, 10);
    nats_fixture_kill(&world->nats);
    nats_fixture_launch(&world->nats);
    write_all(world, 100, 10, 10);
    assert_int_equal(mrd_bus_wait_connected(one.query_bus, 20000, NULL), MRD_OK);
    assert_int_equal(mrd_bus_flush(one.query_bus, 5000, NULL), MRD_OK);
    expect_all(world, "one", 100, 20);
    wait_metric(&one, "meridian_ingester_batches_missing_total", 0);
    ingester_stop(&one, true);
}

int main(void)
{
#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        WORLD_TEST(what_is_acknowledged_is_answered),
        WORLD_TEST(histograms_in_the_log_are_answered_also_after_a_restart),
        WORLD_TEST(exemplars_and_metadata_are_answered_also_after_a_replay),
        WORLD_TEST(an_ingester_that_starts_later_replays_everything),
        WORLD_TEST(a_log_that_was_trimmed_to_its_end_is_applied),
        WORLD_TEST(what_no_block_has_is_answered_however_long_ago_the_log_begins),
        WORLD_TEST(all_kinds_of_questions_are_answered),
        WORLD_TEST(a_large_answer_comes_in_many_chunks),
        WORLD_TEST(an_unreadable_batch_is_left_out_and_nothing_else_stops),
        WORLD_TEST(rows_without_announcement_are_counted_as_loss),
        WORLD_TEST(over_its_memory_budget_it_stops_applying_and_lives),
        WORLD_TEST(ingesters_come_and_go_and_answers_stay_whole),
        WORLD_TEST(a_killed_server_of_the_log_is_survived),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    mrd_bus_library_close();
    return failed;
}
