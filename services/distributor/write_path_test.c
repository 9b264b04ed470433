/* Remote write 1.0 on its way, and what is the same for 2.0: announcements, acknowledgements, failures of the log. */
#include "distributor/write_rig.h"

/* ---- tests ---- */

static void a_write_is_stored_and_labels_travel_once(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture);
    for (int round = 0; round < 3; round++) {
        struct mrd_buf request = {0};
        for (int i = 0; i < 200; i++) {
            char name[16];
            (void)snprintf(name, sizeof(name), "m%d", i);
            put_series(&request, name, 1800000000000 + round, 1);
        }
        expect_post(fixture, &request, "", 204, "");
        mrd_buf_fini(&request);
    }
    const struct contents contents = read_log();
    assert_int_equal(contents.samples, 600);
    assert_int_equal(contents.announcements, 200);
}

static void a_new_epoch_announces_again_from_reference_0(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture);
    struct mrd_buf request = {0};
    put_series(&request, "a", 1800000000000, 1);
    expect_post(fixture, &request, "", 204, "");
    expect_post(fixture, &request, "", 204, "");
    atomic_fetch_add(&played_now_ms, MRD_BATCH_EPOCH_MS);
    expect_post(fixture, &request, "", 204, "");
    atomic_fetch_sub(&played_now_ms,
                     MRD_BATCH_EPOCH_MS); /* a clock that goes back changes nothing */
    expect_post(fixture, &request, "", 204, "");
    const struct contents contents = read_log();
    assert_int_equal(contents.samples, 4);
    assert_int_equal(contents.announcements, 2);
    assert_int_equal(contents.references_max, 0);
    mrd_buf_fini(&request);
}

static void an_announcement_repeats_until_the_log_has_it(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture);
    struct mrd_buf request = {0};
    put_series(&request, "a", 1800000000000, 1);
    set_mode(LOG_HOLDS);
    struct raw_client first = raw_connect(mrd_http_server_port(fixture->server));
    struct raw_client second = raw_connect(mrd_http_server_port(fixture->server));
    send_post(&first, &request, "");
    wait_for_messages(1);
    send_post(&second, &request, "");
    wait_for_messages(2); /* after the linger */
    release_held(MRD_OK);
    struct raw_answer answers[] = {raw_answer(&first, true), raw_answer(&second, true)};
    assert_int_equal(answers[0].status, 204);
    assert_int_equal(answers[1].status, 204);
    expect_post(fixture, &request, "", 204, "");
    assert_int_equal(read_log().announcements, 2);
    assert_int_equal(read_log().references_max, 0);
    raw_answer_fini(&answers[0]);
    raw_answer_fini(&answers[1]);
    raw_close(&first);
    raw_close(&second);
    mrd_buf_fini(&request);
}

static mrd_time_ms thousand_seconds(void *context)
{
    (void)context;
    return 1000 * 1000;
}

/* The log keeps announcements for a thousand seconds after their last use: for the first half of that they are named, then it may be too late. */
static void what_was_not_named_for_half_the_time_that_it_is_kept_is_announced_again(void **state)
{
    struct fixture *fixture = *state;
    struct mrd_buf request = {0};
    fixture->references_kept_ms = thousand_seconds;
    begin(fixture);
    put_series(&request, "a", 1800000000000, 1);
    expect_post(fixture, &request, "", 204, "");
    expect_post(fixture, &request, "", 204, "");
    assert_int_equal(read_log().announcements, 1);
    atomic_fetch_add(&played_ahead_ns, 510 * INT64_C(1000000000));
    expect_post(fixture, &request, "", 204, "");
    assert_int_equal(read_log().announcements, 2);
    set_mode(LOG_TIMES_OUT); /* what the log may not have is no use */
    atomic_fetch_add(&played_ahead_ns, 250 * INT64_C(1000000000));
    expect_post(fixture, &request, "", 503, "");
    set_mode(LOG_ACKS);
    atomic_fetch_add(&played_ahead_ns, 260 * INT64_C(1000000000));
    expect_post(fixture, &request, "", 204, "");
    const struct contents contents = read_log();
    assert_int_equal(contents.announcements, 3);
    assert_int_equal(contents.references_max, 0); /* under the reference that it had */
    mrd_buf_fini(&request);
}

/* Who names what was announced in a log that is gone would not be understood: all is announced again, under the references that it had. */
static void after_the_log_was_lost_all_is_announced_again(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture);
    struct mrd_buf request = {0};
    put_series(&request, "a", 1800000000000, 1);
    expect_post(fixture, &request, "", 204, "");
    expect_post(fixture, &request, "", 204, "");
    assert_int_equal(read_log().announcements, 1);
    atomic_fetch_add(&played_generation, 1); /* away, and there again: it may be another */
    expect_post(fixture, &request, "", 204, "");
    assert_int_equal(read_log().announcements, 2);
    expect_post(fixture, &request, "", 204, "");
    lose_log(); /* without a word; what it takes first may name what it never saw */
    expect_post(fixture, &request, "", 503, "may lack the labels");
    expect_post(fixture, &request, "", 204, "");
    expect_post(fixture, &request, "", 204, "");
    const struct contents contents = read_log();
    assert_int_equal(contents.announcements, 3);
    assert_int_equal(contents.references_max, 0);
    mrd_buf_fini(&request);
}

/* It was sent over the connection before, and may have come into a log that lacks what it names. */
static void what_was_under_way_when_the_connection_broke_is_to_be_sent_again(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture);
    struct mrd_buf request = {0};
    put_series(&request, "a", 1800000000000, 1);
    set_mode(LOG_HOLDS);
    struct raw_client client = raw_connect(mrd_http_server_port(fixture->server));
    send_post(&client, &request, "");
    wait_for_messages(1);
    atomic_fetch_add(&played_generation, 1);
    release_held(MRD_OK);
    struct raw_answer answer = raw_answer(&client, true);
    assert_int_equal(answer.status, 503);
    raw_answer_fini(&answer);
    raw_close(&client);
    expect_post(fixture, &request, "", 204, "");
    assert_int_equal(read_log().announcements, 2);
    mrd_buf_fini(&request);
}

/* However the log fails: 503, no number is spent on what it did not take, and a repetition is stored. */
static void what_the_log_does_not_take_is_503_and_leaves_no_hole(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture);
    struct mrd_buf request = {0};
    for (int i = 0; i < 50; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "m%d", i);
        put_series(&request, name, 1800000000000, 1);
    }
    set_mode(LOG_NOT_READY);
    expect_post(fixture, &request, "", 503, "the log is full");
    set_mode(LOG_REFUSES);
    expect_post(fixture, &request, "", 503, "the log is away");
    set_mode(LOG_TIMES_OUT);
    expect_post(fixture, &request, "", 503, "as played");
    const size_t stored_late = read_log().samples;
    assert_int_equal(stored_late, 50); /* the log took them, and said so too late */
    set_mode(LOG_ACKS);
    expect_post(fixture, &request, "", 204, "");
    assert_int_equal(read_log().samples, 100);
    assert_int_equal(mrd_counter_value(fixture->intake_metrics.accepted[DST_KIND_SAMPLES]), 50);
    assert_int_equal(mrd_counter_value(fixture->intake_metrics.failed[DST_KIND_SAMPLES]), 150);
    mrd_buf_fini(&request);
}

/* One write pays for finding out that the server is frozen, not every one after it. */
static void a_frozen_log_is_503_at_once_for_a_while(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture);
    struct mrd_buf request = {0};
    put_series(&request, "m", 1800000000000, 1);
    set_mode(LOG_FREEZES);
    expect_post(fixture, &request, "", 204, "");
    set_mode(LOG_ACKS);
    const size_t messages = message_count();
    expect_post(fixture, &request, "", 503, "too slowly");
    assert_int_equal(message_count(), messages); /* publish was not called */
    atomic_fetch_add(&played_ahead_ns, 2000000000);
    expect_post(fixture, &request, "", 204, "");
    mrd_buf_fini(&request);
}

static void a_write_is_acknowledged_only_if_every_batch_is(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture);
    struct mrd_buf request = {0};
    for (int i = 0; i < 50; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "m%d", i);
        put_series(&request, name, 1800000000000, 1);
    }
    for (size_t n = 1; n <= PARTITIONS; n++) {
        set_failure(n);
        expect_post(fixture, &request, "", 503, "the log is away");
    }
    set_failure(0);
    expect_post(fixture, &request, "", 204, "");
    const struct contents contents = read_log();
    assert_true(contents.samples >= 50);
    mrd_buf_fini(&request);
}

static void what_is_valid_is_kept_and_the_rest_is_counted(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture);
    struct mrd_buf request = {0};
    put_series(&request, "good", 1800000000000, 7);
    put_series(&request, "late", 1800000600001, 1);      /* a ms beyond the grace */
    put_series(&request, "edge", 1800000600000, 5);      /* just within */
    put_series(&request, "old", -((int64_t)1 << 52), 3); /* any age */
    put_series(&request, "never", INT64_MIN, 1);
    put_series(&request, "\xff", 1800000000000, 1);
    struct mrd_buf entry = {0};
    put_label(&entry, "job", "nameless");
    put_sample(&entry, 1, 1);
    put_sample(&entry, 2, 1);
    put_field(&request, 0x0a, mrd_buf_view(&entry));
    mrd_buf_clear(&entry);
    put_label(&entry, "__name__", "long");
    put_label(&entry, "x", "0123456789012345678901234567890123456789x");
    put_sample(&entry, 1, 1);
    put_field(&request, 0x0a, mrd_buf_view(&entry));
    mrd_buf_clear(&entry);
    put_label(&entry, "__name__", "native");
    put_field(&entry, 0x22, MRD_BYTES("\x08\x05")); /* five observations in no bucket */
    put_field(&entry, 0x22, MRD_BYTES("\x08\x05"));
    put_field(&request, 0x0a, mrd_buf_view(&entry));

    mrd_auto(raw_answer_fini)
    struct raw_answer got = post(fixture, &request, "");
    assert_int_equal(got.status, 400);
    mrd_buf_append_u8(&got.body, 0);
    static const char *const parts[] = {"6 of 9 samples, 2 of 2 histograms",
                                        "3 labels",
                                        "1 label_limit",
                                        "1 future",
                                        "1 timestamp",
                                        "2 histogram"};
    for (size_t i = 0; i < MRD_ARRAY_LEN(parts); i++) {
        if (strstr((const char *)got.body.data, parts[i]) == NULL) {
            fail_msg("no \"%s\" in: %s", parts[i], (const char *)got.body.data);
        }
    }
    const struct contents contents = read_log();
    assert_int_equal(contents.samples, 3);
    assert_true(contents.sum == 15);
    mrd_buf_fini(&entry);
    mrd_buf_fini(&request);
}

/* More samples of one series than a batch holds, in a body small enough to be sent: several batches, none too large
 * (the played log checks), each with the announcement until one is acknowledged. */
static void a_long_series_is_split_over_batches(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture);
    struct mrd_buf request = {0};
    struct mrd_buf entry = {0};
    put_label(&entry, "__name__", "long");
    enum { SAMPLES = 200000 };
    for (int i = 0; i < SAMPLES; i++) {
        put_sample(&entry, i % 2 == 0 ? i : -((int64_t)1 << 50), 1);
    }
    put_field(&request, 0x0a, mrd_buf_view(&entry));
    expect_post(fixture, &request, "", 204, "");
    const struct contents contents = read_log();
    assert_int_equal(contents.samples, SAMPLES);
    assert_true(contents.sum == SAMPLES);
    assert_true(message_count() > 5);
    mrd_buf_fini(&entry);
    mrd_buf_fini(&request);
}

static void a_malformed_write_leaves_nothing_behind(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture);
    struct mrd_buf request = {0};
    for (int i = 0; i < 10000; i++) { /* more than are read in one go */
        put_series(&request, "fine", 1800000000000, 1);
    }
    mrd_buf_append_u8(&request, 0x0a); /* and half an entry */
    expect_post(fixture, &request, "", 400, "malformed");
    assert_int_equal(message_count(), 0);
    request.size--;
    expect_post(fixture, &request, "", 204, "");
    assert_int_equal(read_log().samples, 10000);
    mrd_buf_fini(&request);
}

static void running_out_of_references_is_503_not_a_crash(void **state)
{
    struct fixture *fixture = *state;
    fixture->reference_count_max = 2;
    begin(fixture);
    struct mrd_buf request = {0};
    for (int i = 0; i < 20; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "m%d", i);
        put_series(&request, name, 1800000000000, 1);
    }
    expect_post(fixture, &request, "", 503, "new series");
    atomic_fetch_add(&played_now_ms, MRD_BATCH_EPOCH_MS);
    struct mrd_buf single = {0};
    put_series(&single, "m19", 1800000000000, 1);
    expect_post(fixture, &single, "", 204, "");
    mrd_buf_fini(&single);
    mrd_buf_fini(&request);
}

static void over_the_rate_is_429_and_nothing_is_kept(void **state)
{
    struct fixture *fixture = *state;
    fixture->limits.ingestion_rate = 0.001;
    fixture->limits.ingestion_burst = 3;
    begin(fixture);
    struct mrd_buf request = {0};
    put_series(&request, "a", 1, 1);
    put_series(&request, "b", 1, 1);
    expect_post(fixture, &request, "X-Scope-OrgID: x\r\n", 204, "");
    {
        mrd_auto(raw_answer_fini)
        struct raw_answer got = post(fixture, &request, "X-Scope-OrgID: x\r\n");
        char seconds[32];
        assert_int_equal(got.status, 429);
        assert_true(raw_header(&got, "Retry-After", seconds, sizeof(seconds)));
        assert_true(strtol(seconds, NULL, 10) > 100);
    }
    expect_post(fixture, &request, "X-Scope-OrgID: y\r\n", 204, ""); /* another tenant's budget */
    put_series(&request, "c", 1, 1);
    put_series(&request, "d", 1, 1);
    expect_post(fixture, &request, "X-Scope-OrgID: z\r\n", 400, "ingestion_burst"); /* never fits */
    assert_int_equal(read_log().samples, 4);
    mrd_buf_fini(&request);
}

static const struct {
    const char *headers;
    unsigned status;
} header_cases[] = {
    {"",                                                                              204},
    {"Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n",          204},
    {"Content-Type: APPLICATION/X-Protobuf ; proto=\"prometheus.WriteRequest\"\r\n",  204},
    {"Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request\r\n",
     400                                                                                 }, /* the body is not */
    {"Content-Type: application/x-protobuf;proto=other\r\n",                          415},
    {"Content-Type: application/json\r\n",                                            415},
    {"Content-Encoding: gzip\r\n",                                                    415},
    {"Content-Encoding: SNAPPY\r\n",                                                  204},
    {"X-Scope-OrgID: team-a_1.(x)!*'\r\n",                                            204},
    {"X-Scope-OrgID: a|b\r\n",                                                        400},
    {"X-Scope-OrgID: ..\r\n",                                                         400},
    {"X-Scope-OrgID: a/b\r\n",                                                        400},
};

static void headers_decide_before_the_body_is_looked_at(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture);
    struct mrd_buf request = {0};
    put_series(&request, "a", 1, 1);
    for (size_t i = 0; i < MRD_ARRAY_LEN(header_cases); i++) {
        expect_post(fixture, &request, header_cases[i].headers, header_cases[i].status, "");
    }
    mrd_buf_fini(&request);
}

/* One tenant's labels say nothing of another's. */
static void tenants_keep_their_own_series(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture);
    struct mrd_buf request = {0};
    put_series(&request, "a", 1, 1);
    expect_post(fixture, &request, "X-Scope-OrgID: x\r\n", 204, "");
    expect_post(fixture, &request, "X-Scope-OrgID: y\r\n", 204, "");
    expect_post(fixture, &request, "X-Scope-OrgID: x\r\n", 204, "");
    const struct contents contents = read_log();
    assert_int_equal(contents.samples, 3);
    assert_int_equal(contents.announcements, 2);
    assert_int_equal(
        mrd_counter_value(mrd_counter_vec_at(
            fixture->intake_metrics.tenant_accepted[DST_KIND_SAMPLES], MRD_BYTES("x"))),
        2);
    mrd_buf_fini(&request);
}

#define WRITE_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WRITE_TEST(a_write_is_stored_and_labels_travel_once),
        WRITE_TEST(a_new_epoch_announces_again_from_reference_0),
        WRITE_TEST(what_was_not_named_for_half_the_time_that_it_is_kept_is_announced_again),
        WRITE_TEST(after_the_log_was_lost_all_is_announced_again),
        WRITE_TEST(what_was_under_way_when_the_connection_broke_is_to_be_sent_again),
        WRITE_TEST(an_announcement_repeats_until_the_log_has_it),
        WRITE_TEST(what_the_log_does_not_take_is_503_and_leaves_no_hole),
        WRITE_TEST(a_frozen_log_is_503_at_once_for_a_while),
        WRITE_TEST(a_write_is_acknowledged_only_if_every_batch_is),
        WRITE_TEST(what_is_valid_is_kept_and_the_rest_is_counted),
        WRITE_TEST(a_long_series_is_split_over_batches),
        WRITE_TEST(a_malformed_write_leaves_nothing_behind),
        WRITE_TEST(running_out_of_references_is_503_not_a_crash),
        WRITE_TEST(over_the_rate_is_429_and_nothing_is_kept),
        WRITE_TEST(headers_decide_before_the_body_is_looked_at),
        WRITE_TEST(tenants_keep_their_own_series),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
