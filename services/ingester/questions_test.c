/* Questions for several partitions at once. */
#include "ingester/ingester_rig.h"

static const struct mrd_query_partition all_partitions[] = {
    {.number = 0}, {.number = 1}, {.number = 2}, {.number = 3}};
_Static_assert(MRD_ARRAY_LEN(all_partitions) == PARTITIONS, "one for each");

static void a_small_question_for_all_partitions_is_one_message(void **state)
{
    struct world *world = *state;
    write_all(world, 3, 0, 5);
    static struct ingester one; /* a failed assertion leaves its threads running */
    ingester_start(&one, &world->nats, "one", 1, 0);
    ingester_wait_ready(&one);
    struct mrd_query_partition partitions[PARTITIONS];
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        partitions[p] =
            (struct mrd_query_partition){.number = p, .sequence_min = log_last(world, p)};
    }
    struct mrd_query_request request = request_of(MRD_QUERY_SELECT);
    request.partitions = partitions;
    request.partition_count = PARTITIONS;
    struct told strong[PARTITIONS] = {0};
    struct mrd_error err = {0};
    enum mrd_status status;
    (void)question(world, "one", &request, strong, &status, &err);
    assert_int_equal(status, MRD_OK); /* now all is applied */
    size_t messages = 0;
    for (int i = 0; i < 100 && messages != 1; i++) { /* a slow machine makes any question large */
        struct told told[PARTITIONS] = {0};
        messages = question(world, "one", &request, told, &status, &err);
        assert_int_equal(status, MRD_OK);
        for (size_t p = 0; p < PARTITIONS && messages == 1; p++) {
            assert_true(told[p].ended);
            assert_int_equal(told[p].answer.series, 3);
            assert_int_equal(told[p].answer.samples, 15);
            assert_int_equal(told[p].answer.trailer.samples, 15);
        }
    }
    assert_int_equal(messages, 1);
    ingester_stop(&one, true);
}

static void a_large_question_leaves_partitions_to_questions_of_their_own(void **state)
{
    struct world *world = *state;
    write_all(world, 8000, 0, 12);
    static struct ingester one; /* a failed assertion leaves its threads running */
    ingester_start(&one, &world->nats, "one", 1, 0);
    ingester_wait_ready(&one);
    expect_all(world, "one", 8000, 12);
    struct mrd_query_request request = request_of(MRD_QUERY_SELECT);
    request.partitions = all_partitions;
    request.partition_count = PARTITIONS;
    struct told told[PARTITIONS] = {0};
    struct mrd_error err = {0};
    enum mrd_status status;
    const size_t messages = question(world, "one", &request, told, &status, &err);
    assert_int_equal(status, MRD_OK);
    assert_true(messages > 2);
    assert_true(told[0].ended);
    assert_int_equal(told[0].answer.series, 8000);
    for (size_t p = 1; p < PARTITIONS; p++) {
        assert_true(told[p].alone);
        assert_int_equal(told[p].answer.series, 0);
    }
    ingester_stop(&one, true);
}

static void lists_that_are_larger_than_a_message_come_whole(void **state)
{
    struct world *world = *state;
    enum { COUNT = 32000, EACH = 2000 };
    static struct ingester one; /* a failed assertion leaves its threads running */
    ingester_start(&one, &world->nats, "one", 1, 0);
    ingester_wait_ready(&one);
    for (size_t i = 0; i < COUNT; i += EACH) {
        write_batch(world, 0, i, EACH, 0, true);
    }
    assert_int_equal(mrd_log_writer_drain(world->writer, 60000, NULL), MRD_OK);
    const uint64_t last = log_last(world, 0);
    struct answer answer;
    struct mrd_query_request request = request_of(MRD_QUERY_LABEL_VALUES);
    request.label = MRD_BYTES("host");
    assert_int_equal(ask_at(world, "one", 0, last, &request, &answer), MRD_OK);
    assert_int_equal(answer.texts, COUNT);
    request.kind = MRD_QUERY_CARDINALITY;
    assert_int_equal(ask_at(world, "one", 0, last, &request, &answer), MRD_OK);
    assert_int_equal(answer.texts, COUNT + 3); /* and the names of three labels */
    assert_int_equal(answer.count_total, COUNT);
    ingester_stop(&one, true);
}

static void partitions_that_are_not_here_fail_alone_and_first(void **state)
{
    struct world *world = *state;
    write_all(world, 5, 0, 2);
    static struct ingester crew[2];
    ingester_start(&crew[0], &world->nats, "one", 1, 0);
    ingester_start(&crew[1], &world->nats, "two", 1, 0);
    ingester_wait_ready(&crew[0]);
    ingester_wait_ready(&crew[1]);
    wait_servers(world, 1, 5, 0);
    struct mrd_query_request request = request_of(MRD_QUERY_SELECT);
    request.partitions = all_partitions;
    request.partition_count = PARTITIONS;
    size_t answered = 0;
    for (size_t i = 0; i < 2; i++) {
        struct told told[PARTITIONS] = {0};
        struct mrd_error err = {0};
        enum mrd_status status;
        (void)question(world, crew[i].name, &request, told, &status, &err);
        assert_int_equal(status, MRD_OK);
        for (size_t p = 0; p < PARTITIONS; p++) {
            assert_true(told[p].ended || told[p].alone || told[p].failed == MRD_E_UNAVAILABLE);
            answered += told[p].failed == MRD_OK ? 1 : 0;
        }
    }
    assert_true(answered >= PARTITIONS); /* who retires one answers for it still */
    ingester_stop(&crew[0], true);
    ingester_stop(&crew[1], true);
}

/* What a distributor asks: one message, whatever its size, with a bit for each id and the number of all. */
static void series_are_known_by_their_ids(void **state)
{
    struct world *world = *state;
    enum { SERIES = 900, IDS = 2 * SERIES };
    write_all(world, SERIES, 0, 1);
    static struct ingester one; /* a failed assertion leaves its threads running */
    ingester_start(&one, &world->nats, "one", 1, 0);
    ingester_wait_ready(&one);
    static mrd_series_id ids[PARTITIONS * IDS];
    uint32_t id_counts[PARTITIONS];
    size_t id_count = 0;
    struct mrd_buf labels = {0};
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        id_counts[p] = p == 1 ? 0 : IDS;
        for (size_t i = 0; i < id_counts[p]; i++) {
            ids[id_count++] = mrd_series_id_of(mrd_tenant_seed(MRD_BYTES("acme")),
                                               series_labels(i * PARTITIONS + p, &labels));
        }
    }
    mrd_buf_fini(&labels);
    struct mrd_query_request request = request_of(MRD_QUERY_KNOWN);
    struct mrd_query_partition partitions[PARTITIONS];
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        partitions[p] =
            (struct mrd_query_partition){.number = p, .sequence_min = log_last(world, p)};
    }
    request.partitions = partitions;
    request.partition_count = PARTITIONS;
    request.ids = ids;
    request.id_counts = id_counts;
    request.id_count = id_count;
    struct told told[PARTITIONS] = {0};
    struct mrd_error err = {0};
    enum mrd_status status;
    assert_int_equal(question(world, "one", &request, told, &status, &err), 1);
    assert_int_equal(status, MRD_OK);
    for (size_t p = 0; p < PARTITIONS; p++) {
        assert_true(told[p].ended);
        assert_int_equal(told[p].answer.trailer.total, SERIES);
        assert_int_equal(told[p].answer.texts, p == 1 ? 0 : SERIES); /* the bits that are set */
    }
    request.tenant = MRD_BYTES("other");
    memset(told, 0, sizeof(told));
    assert_int_equal(question(world, "one", &request, told, &status, &err), 1);
    for (size_t p = 0; p < PARTITIONS; p++) {
        assert_int_equal(told[p].answer.trailer.total, 0);
        assert_int_equal(told[p].answer.texts, 0);
    }
    ingester_stop(&one, true);
}

int main(void)
{
#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_small_question_for_all_partitions_is_one_message),
        WORLD_TEST(a_large_question_leaves_partitions_to_questions_of_their_own),
        WORLD_TEST(lists_that_are_larger_than_a_message_come_whole),
        WORLD_TEST(partitions_that_are_not_here_fail_alone_and_first),
        WORLD_TEST(series_are_known_by_their_ids),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    mrd_bus_library_close();
    return failed;
}
