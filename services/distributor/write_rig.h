/* write_rig.h: the whole way of a write but for the network behind it: real HTTP, shard, cache and batches over a log that
 * the test plays. Defines the two functions of bus/log_writer.h that the batcher calls, so one file of a test
 * program includes it.
 */
#ifndef DST_WRITE_RIG_H
#define DST_WRITE_RIG_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/snappy_block.h"
#include "distributor/push.h"
#include "http/raw_client.h"

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
    uint64_t held_sequence[MESSAGES_MAX];
    uint64_t sequence; /* of the stream, the last that was given away */
    size_t calls;      /* of publish */
    size_t fail_at;    /* this call of publish fails; 0: none */
} played = {.lock = PTHREAD_MUTEX_INITIALIZER, .published = PTHREAD_COND_INITIALIZER};

MRD_UNUSED static void answer(mrd_log_done_fn done, void *context, enum mrd_status status,
                              uint64_t sequence)
{
    const struct mrd_log_ack ack = {
        .status = status, .stream_sequence = sequence, .text = "as played"};
    done(context, &ack);
}

static _Atomic uint64_t played_generation; /* of the connection */

uint64_t mrd_log_writer_generation(const struct mrd_log_writer *writer)
{
    (void)writer;
    return atomic_load(&played_generation);
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
    const uint64_t sequence = ++played.sequence;
    if (mode == LOG_HOLDS) {
        played.held_done[played.held_count] = batch->done;
        played.held_sequence[played.held_count] = sequence;
        played.held_context[played.held_count++] = batch->context;
    }
    pthread_cond_broadcast(&played.published);
    pthread_mutex_unlock(&played.lock);
    if (mode != LOG_HOLDS) {
        answer(batch->done, batch->context, mode == LOG_TIMES_OUT ? MRD_E_TIMEOUT : MRD_OK,
               sequence);
    }
    return MRD_OK;
}

MRD_UNUSED static void set_mode(enum log_mode mode)
{
    pthread_mutex_lock(&played.lock);
    played.mode = mode;
    pthread_mutex_unlock(&played.lock);
}

/* What the log has is gone, and it counts from 1 again. */
MRD_UNUSED static void lose_log(void)
{
    pthread_mutex_lock(&played.lock);
    played.sequence = 0;
    pthread_mutex_unlock(&played.lock);
}

/* The n-th call of publish from now on fails; 0: none. */
MRD_UNUSED static void set_failure(size_t n)
{
    pthread_mutex_lock(&played.lock);
    played.fail_at = n == 0 ? 0 : played.calls + n;
    pthread_mutex_unlock(&played.lock);
}

MRD_UNUSED static size_t message_count(void)
{
    pthread_mutex_lock(&played.lock);
    const size_t count = played.message_count;
    pthread_mutex_unlock(&played.lock);
    return count;
}

MRD_UNUSED static void wait_for_messages(size_t count)
{
    pthread_mutex_lock(&played.lock);
    while (played.message_count < count) {
        pthread_cond_wait(&played.published, &played.lock);
    }
    pthread_mutex_unlock(&played.lock);
}

/* Answers what is held, and everything that comes. */
MRD_UNUSED static void release_held(enum mrd_status status)
{
    pthread_mutex_lock(&played.lock);
    played.mode = LOG_ACKS;
    const size_t count = played.held_count;
    played.held_count = 0;
    pthread_mutex_unlock(&played.lock);
    for (size_t i = 0; i < count; i++) {
        answer(played.held_done[i], played.held_context[i], status, played.held_sequence[i]);
    }
}

/* ---- the clock, played: wall time stands still unless told ---- */

static _Atomic int64_t played_now_ms;
MRD_UNUSED static mrd_time_ms now_ms(void *context)
{
    (void)context;
    return atomic_load(&played_now_ms);
}
MRD_UNUSED static int64_t monotonic_ns(void *context)
{
    (void)context;
    return mrd_clock_monotonic_ns(mrd_clock_system()) + atomic_load(&played_ahead_ns);
}
static const struct mrd_clock played_clock = {.now_ms = now_ms, .monotonic_ns = monotonic_ns};

/* ---- the distributor ---- */

struct fixture {
    /* Set before `begin`: who answers questions about series; NULL: there is no asker. */
    void (*ask)(void *context, struct dst_question *questions, size_t count);
    int64_t waiting_bytes_max;
    struct dst_tallies *tallies;
    struct dst_asker *asker;
    struct dst_asker_metrics asker_metrics;
    struct mrd_config *config; /* empty */
    struct mrd_metrics *metrics;
    struct dst_intake_metrics intake_metrics;
    struct mrd_hlc_clock hlc;
    struct dst_rates *rates;
    struct dst_intake *intake;
    struct dst_push push;
    struct mrd_http_server *server;
    struct dst_limits limits;
    uint32_t reference_count_max;
    mrd_time_ms (*references_kept_ms)(void *context);
};

static struct dst_limits rig_limits;

static void read_rig_limits(const struct mrd_config *config, void *out_limits)
{
    (void)config;
    *(struct dst_limits *)out_limits = rig_limits;
}

static void asker_start(struct fixture *fixture)
{
    fixture->tallies = dst_tallies_create(&played_clock);
    dst_asker_metrics_init(&fixture->asker_metrics, fixture->metrics);
    const struct dst_asker_options options = {
        .tallies = fixture->tallies,
        .partition_count = PARTITIONS,
        .waiting_bytes_max = fixture->waiting_bytes_max,
        .clock = &played_clock,
        .metrics = &fixture->asker_metrics,
        .ask = fixture->ask,
        .context = fixture,
        .done = dst_intake_resume,
    };
    fixture->asker = dst_asker_create(&options);
}

static void intake_start(struct fixture *fixture, const char *instance)
{
    struct mrd_error err;
    if (fixture->ask != NULL) {
        asker_start(fixture);
    }
    const struct dst_intake_options options = {
        .batcher = {.hlc = &fixture->hlc,
                    .clock = &played_clock,
                    .region = "r",
                    .residency_class = "c",
                    .instance = instance,
                    .partition_count = PARTITIONS,
                    .target_bytes = dst_batcher_target_max(1 << 20),
                    .linger_ms_max = 1,
                    .reference_count_max = fixture->reference_count_max,
                    .references_kept_ms = fixture->references_kept_ms},
        .rates = fixture->rates,
        .tallies = fixture->tallies,
        .asker = fixture->asker,
        .asker_metrics = &fixture->asker_metrics,
        .metrics = &fixture->intake_metrics,
        .cache_bytes_max = 1 << 20,
        .bytes_in_flight = &fixture->push.bytes_in_flight,
    };
    assert_int_equal(dst_intake_create(&options, &fixture->intake, &err), MRD_OK);
}

/* No request may be under way. */
static void intake_stop(struct fixture *fixture)
{
    if (fixture->asker != NULL) {
        dst_asker_stop(fixture->asker);
    }
    dst_intake_flush(fixture->intake);
    dst_intake_destroy(&fixture->intake);
    dst_asker_destroy(&fixture->asker);
    dst_tallies_destroy(&fixture->tallies);
}

MRD_UNUSED static void begin(struct fixture *fixture)
{
    struct mrd_error err;
    fixture->metrics = mrd_metrics_create();
    dst_intake_metrics_init(&fixture->intake_metrics, fixture->metrics);
    mrd_hlc_init(&fixture->hlc, &played_clock, 60000);
    fixture->rates = dst_rates_create(&played_clock);
    intake_start(fixture, "i");
    fixture->push.intakes = &fixture->intake;
    fixture->push.intake_count = 1;
    rig_limits = fixture->limits;
    rig_limits.request_body_bytes_max = 1 << 20;
    const struct mrd_config_schema schema = {.service = "rig"};
    const struct mrd_config_sources sources = {0};
    assert_int_equal(mrd_config_load(&schema, &sources, &fixture->config, &err), MRD_OK);
    fixture->push.limits =
        mrd_tenancy_settings_create(sizeof(struct dst_limits), read_rig_limits, fixture->config);
    fixture->push.bytes_in_flight_max = 4 << 20;
    fixture->push.ack_timeout_ms = 10000;
    fixture->push.refused_busy = mrd_metrics_counter(fixture->metrics, "a", "a", MRD_NO_LABELS);
    fixture->push.refused_head = mrd_metrics_counter(fixture->metrics, "b", "b", MRD_NO_LABELS);
    const struct mrd_http_config http = {.listen = "127.0.0.1:0"};
    assert_int_equal(mrd_http_server_create(&http, &fixture->server, &err), MRD_OK);
    dst_push_mount(&fixture->push, fixture->server);
    assert_int_equal(mrd_http_server_start(fixture->server, &err), MRD_OK);
}

MRD_UNUSED static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    atomic_store(&played_now_ms, 1800000000000);
    atomic_store(&played_ahead_ns, 0);
    fixture->limits = (struct dst_limits){
        .decoded_bytes_max = 16 << 20,
        .labels = {4, 20, 40},
        .creation_grace_ms = 600000,
        .histogram_buckets_max = 100,
        .exemplars_per_request_max = 10,
        .metadata_per_request_max = 10,
        .metadata_bytes_max = 100
    };
    *state = fixture;
    return 0;
}

MRD_UNUSED static int teardown(void **state)
{
    struct fixture *fixture = *state;
    mrd_http_server_stop(fixture->server, 10000);
    intake_stop(fixture);
    mrd_config_release(&fixture->config);
    mrd_http_server_destroy(&fixture->server);
    dst_rates_destroy(&fixture->rates);
    mrd_tenancy_settings_destroy(&fixture->push.limits);
    mrd_metrics_destroy(&fixture->metrics);
    for (size_t i = 0; i < played.message_count; i++) {
        mrd_buf_fini(&played.messages[i]);
    }
    played.mode = LOG_ACKS;
    played.message_count = 0;
    played.held_count = 0;
    played.sequence = 0;
    played.calls = 0;
    played.fail_at = 0;
    free(fixture);
    return 0;
}

/* ---- writing ---- */

MRD_UNUSED static void put_field(struct mrd_buf *out, uint8_t tag, struct mrd_bytes bytes)
{
    mrd_buf_append_u8(out, tag);
    mrd_buf_append_varint(out, bytes.size);
    mrd_buf_append_bytes(out, bytes);
}

MRD_UNUSED static void put_label(struct mrd_buf *entry, const char *name, const char *value)
{
    struct mrd_buf label = {0};
    put_field(&label, 0x0a, mrd_bytes_of(name));
    put_field(&label, 0x12, mrd_bytes_of(value));
    put_field(entry, 0x0a, mrd_buf_view(&label));
    mrd_buf_fini(&label);
}

MRD_UNUSED static void put_sample(struct mrd_buf *entry, mrd_time_ms time_ms, double value)
{
    struct mrd_buf sample = {0};
    mrd_buf_append_u8(&sample, 0x09);
    mrd_buf_append_u64(&sample, mrd_double_bits(value));
    mrd_buf_append_u8(&sample, 0x10);
    mrd_buf_append_varint(&sample, (uint64_t)time_ms);
    put_field(entry, 0x12, mrd_buf_view(&sample));
    mrd_buf_fini(&sample);
}

MRD_UNUSED static void put_series(struct mrd_buf *request, const char *name, mrd_time_ms time_ms,
                                  double value)
{
    struct mrd_buf entry = {0};
    put_label(&entry, "__name__", name);
    put_sample(&entry, time_ms, value);
    put_field(request, 0x0a, mrd_buf_view(&entry));
    mrd_buf_fini(&entry);
}

MRD_UNUSED static void send_post(struct raw_client *client, const struct mrd_buf *request,
                                 const char *headers)
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
MRD_UNUSED static struct raw_answer post(struct fixture *fixture, const struct mrd_buf *request,
                                         const char *headers)
{
    mrd_auto(raw_close)
    struct raw_client client = raw_connect(mrd_http_server_port(fixture->server));
    send_post(&client, request, headers);
    return raw_answer(&client, true);
}

MRD_UNUSED static void expect_post(struct fixture *fixture, const struct mrd_buf *request,
                                   const char *headers, unsigned status, const char *text)
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
    size_t histograms;
    size_t exemplars;
    size_t metadata;
    size_t started; /* samples and histograms whose start is known */
    double sum;
    uint64_t numbers[PARTITIONS]; /* the last */
    uint32_t references_max;      /* the greatest, of all partitions */
};

MRD_UNUSED static size_t starts_in(const mrd_time_ms *start_times_ms, size_t count)
{
    size_t known = 0;
    for (size_t i = 0; start_times_ms != NULL && i < count; i++) {
        known += start_times_ms[i] != 0;
    }
    return known;
}

/* Reads the messages from the first on; numbers must be contiguous, and every row's reference announced in the
 * same epoch before or in its batch. */
MRD_UNUSED static struct contents read_log(void)
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
        for (size_t j = 0; j < batch.histograms.rows.row_count; j++) {
            assert_true(announced[partition][batch.histograms.rows.references[j]]);
        }
        for (size_t j = 0; j < batch.exemplars.rows.row_count; j++) {
            assert_true(announced[partition][batch.exemplars.rows.references[j]]);
        }
        contents.started +=
            starts_in(batch.start_times_ms, batch.sample_count) +
            starts_in(batch.histograms.start_times_ms, batch.histograms.rows.item_count);
        contents.histograms += batch.histograms.rows.item_count;
        contents.exemplars += batch.exemplars.rows.item_count;
        contents.metadata += batch.metadata_count;
        contents.samples += batch.sample_count;
        contents.announcements += batch.announcement_count;
    }
    mrd_batch_reader_destroy(&reader);
    return contents;
}

#endif
