/* The whole way of a write but for the network behind it: real HTTP, shard, cache and batches over a log that the
 * test plays (it defines the two functions of bus/log_writer.h that the batcher calls). */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "distributor/push.h"
#include "http/raw_client.h"
#include "wire/snappy_block.h"

enum { MESSAGES_MAX = 4096, PARTITIONS = 4 };

/* ---- the log, played ---- */

enum log_mode { LOG_ACKS, LOG_HOLDS, LOG_NOT_READY, LOG_REFUSES, LOG_TIMES_OUT, LOG_FREEZES };

static _Atomic int64_t played_ahead_ns; /* of the monotonic clock */

static struct played_log {
    pthread_mutex_t lock;
    pthread_cond_t published;
    enum log_mode mode;
    struct mrd_buf messages[MESSAGES_MAX]; /* taken, in order */
    size_t message_count;
    mrd_log_done_fn held_done[MESSAGES_MAX];
    void *held_context[MESSAGES_MAX];
    size_t held_count;
    size_t calls;   /* of publish */
    size_t fail_at; /* this call of publish fails; 0: none */
} played = {.lock = PTHREAD_MUTEX_INITIALIZER, .published = PTHREAD_COND_INITIALIZER};

static void answer(mrd_log_done_fn done, void *context, enum mrd_status status)
{
    const struct mrd_log_ack ack = {.status = status, .text = "as played"};
    done(context, &ack);
}

enum mrd_status mrd_log_writer_ready(struct mrd_log_writer *writer, uint32_t partition,
                                     size_t payload_size, struct mrd_error *err)
{
    (void)writer;
    mrd_assert(partition < PARTITIONS);
    mrd_assert(payload_size > 0 && payload_size < 1 << 20);
    pthread_mutex_lock(&played.lock);
    const enum log_mode mode = played.mode;
    pthread_mutex_unlock(&played.lock);
    return mode == LOG_NOT_READY ? mrd_fail(err, MRD_E_LIMIT, "the log is full") : MRD_OK;
}

enum mrd_status mrd_log_writer_publish(struct mrd_log_writer *writer,
                                       const struct mrd_log_batch *batch, struct mrd_error *err)
{
    (void)writer;
    pthread_mutex_lock(&played.lock);
    const enum log_mode mode = ++played.calls == played.fail_at ? LOG_REFUSES : played.mode;
    if (mode == LOG_REFUSES) {
        pthread_mutex_unlock(&played.lock);
        return mrd_fail(err, MRD_E_UNAVAILABLE, "the log is away");
    }
    if (mode == LOG_FREEZES) { /* the write deadline passes inside publish */
        atomic_fetch_add(&played_ahead_ns, 1000000000);
    }
    mrd_assert(played.message_count < MESSAGES_MAX);
    struct mrd_buf *message = &played.messages[played.message_count++];
    mrd_buf_append_bytes(message, batch->payload);
    if (mode == LOG_HOLDS) {
        played.held_done[played.held_count] = batch->done;
        played.held_context[played.held_count++] = batch->context;
    }
    pthread_cond_broadcast(&played.published);
    pthread_mutex_unlock(&played.lock);
    if (mode != LOG_HOLDS) {
        answer(batch->done, batch->context, mode == LOG_TIMES_OUT ? MRD_E_TIMEOUT : MRD_OK);
    }
    return MRD_OK;
}

static void set_mode(enum log_mode mode)
{
    pthread_mutex_lock(&played.lock);
    played.mode = mode;
    pthread_mutex_unlock(&played.lock);
}

/* The n-th call of publish from now on fails; 0: none. */
static void set_failure(size_t n)
{
    pthread_mutex_lock(&played.lock);
    played.fail_at = n == 0 ? 0 : played.calls + n;
    pthread_mutex_unlock(&played.lock);
}

static size_t message_count(void)
{
    pthread_mutex_lock(&played.lock);
    const size_t count = played.message_count;
    pthread_mutex_unlock(&played.lock);
    return count;
}

static void wait_for_messages(size_t count)
{
    pthread_mutex_lock(&played.lock);
    while (played.message_count < count) {
        pthread_cond_wait(&played.published, &played.lock);
    }
    pthread_mutex_unlock(&played.lock);
}

/* Answers what is held, and everything that comes. */
static void release_held(enum mrd_status status)
{
    pthread_mutex_lock(&played.lock);
    played.mode = LOG_ACKS;
    const size_t count = played.held_count;
    played.held_count = 0;
    pthread_mutex_unlock(&played.lock);
    for (size_t i = 0; i < count; i++) {
        answer(played.held_done[i], played.held_context[i], status);
    }
}

/* ---- the clock, played: wall time stands still unless told ---- */

static _Atomic int64_t played_now_ms;
static mrd_time_ms now_ms(void *context)
{
    (void)context;
    return atomic_load(&played_now_ms);
}
static int64_t monotonic_ns(void *context)
{
    (void)context;
    return mrd_clock_monotonic_ns(mrd_clock_system()) + atomic_load(&played_ahead_ns);
}
static const struct mrd_clock played_clock = {.now_ms = now_ms, .monotonic_ns = monotonic_ns};

/* ---- the distributor ---- */

struct fixture {
    struct mrd_metrics *metrics;
    struct dst_intake_metrics intake_metrics;
    struct mrd_hlc_clock hlc;
    struct dst_rates *rates;
    struct dst_intake *intake;
    struct dst_push push;
    struct mrd_http_server *server;
    struct dst_limits limits;
    uint32_t reference_count_max;
};

static void begin(struct fixture *fixture)
{
    struct mrd_error err;
    fixture->metrics = mrd_metrics_create();
    dst_intake_metrics_init(&fixture->intake_metrics, fixture->metrics);
    mrd_hlc_init(&fixture->hlc, &played_clock, 60000);
    fixture->rates = dst_rates_create(&played_clock);
    const struct dst_intake_options options = {
        .batcher = {.hlc = &fixture->hlc,
                    .clock = &played_clock,
                    .region = "r",
                    .residency_class = "c",
                    .instance = "i",
                    .partition_count = PARTITIONS,
                    .target_bytes = dst_batcher_target_max(1 << 20),
                    .linger_ms_max = 1,
                    .reference_count_max = fixture->reference_count_max},
        .limits = fixture->limits,
        .rates = fixture->rates,
        .metrics = &fixture->intake_metrics,
        .cache_bytes_max = 1 << 20,
        .bytes_in_flight = &fixture->push.bytes_in_flight,
    };
    assert_int_equal(dst_intake_create(&options, &fixture->intake, &err), MRD_OK);
    fixture->push.intakes = &fixture->intake;
    fixture->push.intake_count = 1;
    fixture->push.body_size_max = 1 << 20;
    fixture->push.bytes_in_flight_max = 4 << 20;
    fixture->push.ack_timeout_ms = 10000;
    fixture->push.refused_busy = mrd_metrics_counter(fixture->metrics, "a", "a", MRD_NO_LABELS);
    fixture->push.refused_head = mrd_metrics_counter(fixture->metrics, "b", "b", MRD_NO_LABELS);
    const struct mrd_http_config http = {.listen = "127.0.0.1:0"};
    assert_int_equal(mrd_http_server_create(&http, &fixture->server, &err), MRD_OK);
    dst_push_mount(&fixture->push, fixture->server);
    assert_int_equal(mrd_http_server_start(fixture->server, &err), MRD_OK);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    atomic_store(&played_now_ms, 1800000000000);
    fixture->limits = (struct dst_limits){
        .decoded_bytes_max = 16 << 20, .labels = {4, 20, 40},
               .creation_grace_ms = 600000
    };
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    mrd_http_server_stop(fixture->server, 10000);
    dst_intake_flush(fixture->intake);
    dst_intake_destroy(&fixture->intake);
    mrd_http_server_destroy(&fixture->server);
    dst_rates_destroy(&fixture->rates);
    mrd_metrics_destroy(&fixture->metrics);
    for (size_t i = 0; i < played.message_count; i++) {
        mrd_buf_fini(&played.messages[i]);
    }
    played.mode = LOG_ACKS;
    played.message_count = 0;
    played.held_count = 0;
    played.calls = 0;
    played.fail_at = 0;
    free(fixture);
    return 0;
}

/* ---- writing ---- */

static void put_field(struct mrd_buf *out, uint8_t tag, struct mrd_bytes bytes)
{
    mrd_buf_append_u8(out, tag);
    mrd_buf_append_varint(out, bytes.size);
    mrd_buf_append_bytes(out, bytes);
}

static void put_label(struct mrd_buf *entry, const char *name, const char *value)
{
    struct mrd_buf label = {0};
    put_field(&label, 0x0a, mrd_bytes_of(name));
    put_field(&label, 0x12, mrd_bytes_of(value));
    put_field(entry, 0x0a, mrd_buf_view(&label));
    mrd_buf_fini(&label);
}

static void put_sample(struct mrd_buf *entry, mrd_time_ms time_ms, double value)
{
    struct mrd_buf sample = {0};
    mrd_buf_append_u8(&sample, 0x09);
    mrd_buf_append_u64(&sample, mrd_double_bits(value));
    mrd_buf_append_u8(&sample, 0x10);
    mrd_buf_append_varint(&sample, (uint64_t)time_ms);
    put_field(entry, 0x12, mrd_buf_view(&sample));
    mrd_buf_fini(&sample);
}

static void put_series(struct mrd_buf *request, const char *name, mrd_time_ms time_ms, double value)
{
    struct mrd_buf entry = {0};
    put_label(&entry, "__name__", name);
    put_sample(&entry, time_ms, value);
    put_field(request, 0x0a, mrd_buf_view(&entry));
    mrd_buf_fini(&entry);
}

static void send_post(struct raw_client *client, const struct mrd_buf *request, const char *headers)
{
    struct mrd_buf body = {0};
    struct mrd_buf text = {0};
    mrd_snappy_encode(mrd_buf_view(request), &body);
    mrd_buf_printf(&text, "POST /api/v1/push HTTP/1.1\r\nHost: h\r\n%sContent-Length: %zu\r\n\r\n",
                   headers, body.size);
    assert_true(raw_send_bytes(client, mrd_buf_view(&text)));
    assert_true(raw_send_bytes(client, mrd_buf_view(&body)));
    mrd_buf_fini(&body);
    mrd_buf_fini(&text);
}

/* Posts, waits, and hands over the answer. */
static struct raw_answer post(struct fixture *fixture, const struct mrd_buf *request,
                              const char *headers)
{
    mrd_auto(raw_close)
    struct raw_client client = raw_connect(mrd_http_server_port(fixture->server));
    send_post(&client, request, headers);
    return raw_answer(&client, true);
}

static void expect_post(struct fixture *fixture, const struct mrd_buf *request, const char *headers,
                        unsigned status, const char *text)
{
    mrd_auto(raw_answer_fini)
    struct raw_answer got = post(fixture, request, headers);
    mrd_buf_append_u8(&got.body, 0);
    if (got.status != status || strstr((const char *)got.body.data, text) == NULL) {
        fail_msg("status %u, not %u: %s", got.status, status, (const char *)got.body.data);
    }
}

/* ---- what the log got ---- */

struct contents {
    size_t samples;
    size_t announcements;
    double sum;
    uint64_t numbers[PARTITIONS]; /* the last */
    uint32_t references_max;      /* the greatest, of all partitions */
};

/* Reads the messages from the first on; numbers must be contiguous, and every row's reference announced in the
 * same epoch before or in its batch. */
static struct contents read_log(void)
{
    enum { REFERENCES = 65536 };
    static bool announced[PARTITIONS][REFERENCES];
    memset(announced, 0, sizeof(announced));
    struct contents contents = {0};
    uint64_t epoch = 0;
    struct mrd_batch_reader *reader = mrd_batch_reader_create();
    const size_t message_total = message_count();
    for (size_t i = 0; i < message_total; i++) {
        struct mrd_batch batch;
        struct mrd_error err;
        assert_int_equal(mrd_batch_read(reader, mrd_buf_view(&played.messages[i]), &batch, &err),
                         MRD_OK);
        const uint32_t partition = batch.header.partition;
        assert_int_equal(batch.header.number, ++contents.numbers[partition]);
        if (batch.header.epoch != epoch) {
            epoch = batch.header.epoch;
            memset(announced, 0, sizeof(announced));
        }
        for (size_t j = 0; j < batch.announcement_count; j++) {
            const uint32_t reference = batch.announcements[j].reference;
            announced[partition][reference] = true;
            contents.references_max = MRD_MAX(contents.references_max, reference);
        }
        for (size_t j = 0; j < batch.row_count; j++) {
            assert_true(announced[partition][batch.references[j]]);
        }
        for (size_t j = 0; j < batch.sample_count; j++) {
            contents.sum += batch.values[j];
        }
        contents.samples += batch.sample_count;
        contents.announcements += batch.announcement_count;
    }
    mrd_batch_reader_destroy(&reader);
    return contents;
}

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
    assert_int_equal(mrd_counter_value(fixture->intake_metrics.accepted), 50);
    assert_int_equal(mrd_counter_value(fixture->intake_metrics.failed), 150);
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
    put_field(&entry, 0x22, MRD_BYTES(""));
    put_field(&entry, 0x22, MRD_BYTES(""));
    put_field(&request, 0x0a, mrd_buf_view(&entry));

    mrd_auto(raw_answer_fini)
    struct raw_answer got = post(fixture, &request, "");
    assert_int_equal(got.status, 400);
    mrd_buf_append_u8(&got.body, 0);
    static const char *const parts[] = {"8 of 11 samples", "3 labels",    "1 label_limit",
                                        "1 future",        "1 timestamp", "2 histogram"};
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
    {"Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request\r\n", 415},
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
    assert_int_equal(mrd_counter_value(mrd_counter_vec_at(fixture->intake_metrics.tenant_accepted,
                                                          MRD_BYTES("x"))),
                     2);
    mrd_buf_fini(&request);
}

#define WRITE_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WRITE_TEST(a_write_is_stored_and_labels_travel_once),
        WRITE_TEST(a_new_epoch_announces_again_from_reference_0),
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
