/* Batches through a real log into ingesters and out of their query interface. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bus/log_admin.h"
#include "bus/log_writer.h"
#include "bus/nats_fixture.h"
#include "bus/rpc.h"
#include "codec/frame.h"
#include "codec/histogram.h"
#include "ingester/owner.h"
#include "ingester/questions.h"
#include "wire/query.h"

static const int64_t MS = 1000000;
static const mrd_time_ms T0 = 1700000000000;
enum { PARTITIONS = 4, STEP_MS = 1000 };

static int64_t now_ns(void) { return mrd_clock_monotonic_ns(mrd_clock_system()); }

/* ---- one ingester: what main.c puts together ---- */

struct ingester {
    struct mrd_bus *log_bus;
    struct mrd_bus *query_bus;
    struct ing_budget budget;
    struct mrd_metrics *metrics;
    struct ing_owner *owner;
    struct ing_questions *questions;
    char name[MRD_MEMBER_TEXT_MAX];
    _Atomic bool ready;
};

static void on_ready(void *context, bool ready, const char *reason)
{
    (void)reason;
    struct ingester *ingester = context;
    atomic_store(&ingester->ready, ready);
}

static void ingester_start(struct ingester *ingester, const struct nats_fixture *nats,
                           const char *name, uint32_t replicas, size_t memory)
{
    *ingester = (struct ingester){.budget = {.limit = memory}};
    snprintf(ingester->name, sizeof(ingester->name), "%s", name);
    ingester->log_bus = nats_fixture_connect(nats);
    ingester->query_bus = nats_fixture_connect(nats);
    ingester->metrics = mrd_metrics_create();
    struct mrd_member self = {.kind = MRD_MEMBER_INGESTER, .zone = "z"};
    snprintf(self.instance, sizeof(self.instance), "%s", name);
    const struct ing_owner_options owner = {
        .log_bus = ingester->log_bus,
        .members_bus = ingester->query_bus,
        .self = &self,
        .partition_count = PARTITIONS,
        .replicas = replicas,
        .store = {.bucket_ms = 2 * 3600 * 1000,
                  .exemplars_max = 1000,
                  .families_max = 1000,
                  .budget = &ingester->budget},
        .clock = mrd_clock_system(),
        .metrics = ingester->metrics,
        .on_ready = on_ready,
        .context = ingester,
    };
    assert_int_equal(ing_owner_create(&owner, &ingester->owner, NULL), MRD_OK);
    const struct ing_questions_options questions = {
        .bus = ingester->query_bus,
        .owner = ingester->owner,
        .instance = ingester->name,
        .workers = 2,
        .memory_bytes_max = 64 << 20,
        .metrics = ingester->metrics,
    };
    assert_int_equal(ing_questions_create(&questions, &ingester->questions, NULL), MRD_OK);
}

/* Without goodbye it would need a process; `leave` hands over first. */
static void ingester_stop(struct ingester *ingester, bool leave)
{
    if (leave) {
        ing_owner_leave(ingester->owner, 30000);
    }
    ing_questions_destroy(&ingester->questions, 1000);
    ing_owner_destroy(&ingester->owner);
    mrd_metrics_destroy(&ingester->metrics);
    mrd_bus_close(&ingester->query_bus);
    mrd_bus_close(&ingester->log_bus);
}

static void ingester_wait_ready(struct ingester *ingester)
{
    for (int i = 0; i < 60000 && !atomic_load(&ingester->ready); i++) {
        usleep(1000);
    }
    if (!atomic_load(&ingester->ready)) {
        fail_msg("%s does not become ready", ingester->name);
    }
}

/* ---- writing ---- */

struct world {
    struct nats_fixture nats;
    struct mrd_bus *bus;
    struct mrd_log_writer *writer;
    struct mrd_rpc_client *client;
    struct mrd_batch_builder *builder;
    struct mrd_members *members;
    uint64_t numbers[PARTITIONS];
    uint64_t epoch;
    _Atomic size_t acknowledged;
    size_t published;
};

static void on_done(void *context, const struct mrd_log_ack *ack)
{
    struct world *world = context;
    if (ack->status == MRD_OK) {
        atomic_fetch_add(&world->acknowledged, 1);
    }
}

static struct mrd_bytes series_labels(size_t series, struct mrd_buf *out)
{
    char number[32];
    snprintf(number, sizeof(number), "host-%zu", series);
    const struct mrd_label labels[] = {
        {MRD_BYTES("__name__"), MRD_BYTES("cpu")    },
        {MRD_BYTES("host"),     mrd_bytes_of(number)},
        {MRD_BYTES("job"),      MRD_BYTES("node")   }
    };
    mrd_buf_clear(out);
    mrd_labels_encode((struct mrd_labels){labels, 3}, out);
    return mrd_buf_view(out);
}

static void publish(struct world *world, uint32_t partition, const struct mrd_batch_header *header,
                    struct mrd_bytes message)
{
    char id[MRD_BATCH_ID_MAX];
    const struct mrd_log_batch batch = {.partition = partition,
                                        .residency_class = "de",
                                        .id = mrd_batch_id(header, id),
                                        .payload = message,
                                        .deadline_ns = now_ns() + 60000 * MS,
                                        .done = on_done,
                                        .context = world};
    enum mrd_status status = MRD_E_UNAVAILABLE;
    while (status == MRD_E_UNAVAILABLE) {
        status = mrd_log_writer_publish(world->writer, &batch, NULL);
        if (status == MRD_E_UNAVAILABLE) {
            usleep(1000);
        }
    }
    assert_int_equal(status, MRD_OK);
    world->published++;
}

static struct mrd_batch_header header_of(struct world *world, uint32_t partition)
{
    return (struct mrd_batch_header){.region = MRD_BYTES("test"),
                                     .residency_class = MRD_BYTES("de"),
                                     .instance = MRD_BYTES("writer"),
                                     .partition = partition,
                                     .epoch = world->epoch, /* tables of old epochs are dropped */
                                     .number = ++world->numbers[partition],
                                     .hlc = mrd_hlc_make(T0, 0) + world->published};
}

/* One batch: rows of series [first, first + count) of the partition, one sample each at step `step`, with
 * announcements if asked for. The reference of a series is its number. */
static void write_batch(struct world *world, uint32_t partition, size_t first, size_t count,
                        size_t step, bool announce)
{
    mrd_batch_builder_reset(world->builder);
    const struct mrd_bytes tenant = MRD_BYTES("acme");
    const uint32_t index = mrd_batch_builder_tenant(world->builder, tenant);
    struct mrd_buf labels = {0};
    for (size_t i = first; i < first + count; i++) {
        if (announce) {
            const struct mrd_bytes canonical = series_labels(i * PARTITIONS + partition, &labels);
            const struct mrd_batch_announcement announcement = {
                .reference = (uint32_t)i,
                .tenant = index,
                .id = mrd_series_id_of(mrd_tenant_seed(tenant), canonical),
                .labels = canonical};
            mrd_batch_builder_announce(world->builder, &announcement);
        }
        mrd_batch_builder_row(world->builder, index, (uint32_t)i, T0 + (mrd_time_ms)step * STEP_MS,
                              (double)(i + step));
    }
    const struct mrd_batch_header header = header_of(world, partition);
    struct mrd_buf message = {0};
    mrd_batch_builder_finish(world->builder, &header, MRD_BATCH_SNAPPY, &message);
    publish(world, partition, &header, mrd_buf_view(&message));
    mrd_buf_fini(&message);
    mrd_buf_fini(&labels);
}

/* One batch of `steps` native histograms of each of `count` series that were announced before. */
static void write_histograms(struct world *world, uint32_t partition, size_t count, size_t steps)
{
    static const struct mrd_histogram_span span = {-4, 2};
    mrd_batch_builder_reset(world->builder);
    const uint32_t index = mrd_batch_builder_tenant(world->builder, MRD_BYTES("acme"));
    for (size_t i = 0; i < count; i++) {
        for (size_t step = 0; step < steps; step++) {
            const union mrd_histogram_count buckets[] = {{.integer = 1}, {.integer = step}};
            const struct mrd_histogram histogram = {
                .schema = 0,
                .sum = (double)step,
                .count = {.integer = step + 1},
                .positive = { &span, buckets, 1, 2}
            };
            mrd_batch_builder_histogram(world->builder, index, (uint32_t)i,
                                        T0 + (mrd_time_ms)(1000 + step) * STEP_MS, 0, &histogram);
        }
    }
    const struct mrd_batch_header header = header_of(world, partition);
    struct mrd_buf message = {0};
    mrd_batch_builder_finish(world->builder, &header, MRD_BATCH_ZSTD, &message);
    publish(world, partition, &header, mrd_buf_view(&message));
    mrd_buf_fini(&message);
}

/* One batch of `steps` exemplars of each of `count` series that were announced before, and the metadata of as many families. */
static void write_extras(struct world *world, uint32_t partition, size_t count, size_t steps)
{
    mrd_batch_builder_reset(world->builder);
    const uint32_t index = mrd_batch_builder_tenant(world->builder, MRD_BYTES("acme"));
    for (size_t i = 0; i < count; i++) {
        for (size_t step = 0; step < steps; step++) {
            const struct mrd_exemplar exemplar = {T0 + (mrd_time_ms)step, (double)step,
                                                  MRD_BYTES_NONE};
            mrd_batch_builder_exemplar(world->builder, index, (uint32_t)i, &exemplar);
        }
        char name[32];
        snprintf(name, sizeof(name), "family_%zu", i);
        const struct mrd_metadata metadata = {MRD_FAMILY_GAUGE, mrd_bytes_of(name),
                                              MRD_BYTES("help"), MRD_BYTES("")};
        mrd_batch_builder_metadata(world->builder, index, &metadata);
    }
    const struct mrd_batch_header header = header_of(world, partition);
    struct mrd_buf message = {0};
    mrd_batch_builder_finish(world->builder, &header, MRD_BATCH_ZSTD, &message);
    publish(world, partition, &header, mrd_buf_view(&message));
    mrd_buf_fini(&message);
}

/* steps batches to each partition, each with one sample of every series. */
static void write_all(struct world *world, size_t series, size_t first_step, size_t steps)
{
    for (size_t step = first_step; step < first_step + steps; step++) {
        for (uint32_t partition = 0; partition < PARTITIONS; partition++) {
            write_batch(world, partition, 0, series, step, step == 0);
        }
    }
    assert_int_equal(mrd_log_writer_drain(world->writer, 60000, NULL), MRD_OK);
    assert_int_equal(atomic_load(&world->acknowledged), world->published);
}

static int world_setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    nats_fixture_start(&world->nats);
    world->bus = nats_fixture_connect(&world->nats);
    const struct mrd_log_config log = {
        .region = "test", .partition_count = PARTITIONS, .replicas = 1, .bytes_max = 256 << 20};
    enum mrd_status status = MRD_E_UNAVAILABLE;
    for (int i = 0; i < 100 && status == MRD_E_UNAVAILABLE; i++) {
        status = mrd_log_ensure(world->bus, &log, 2000, NULL);
    }
    assert_int_equal(status, MRD_OK);
    const struct mrd_log_writer_options writer = {.partition_count = PARTITIONS};
    assert_int_equal(mrd_log_writer_create(world->bus, &writer, &world->writer, NULL), MRD_OK);
    assert_int_equal(mrd_rpc_client_create(world->bus, &world->client, NULL), MRD_OK);
    assert_int_equal(
        mrd_members_create(world->bus, &(struct mrd_members_options){0}, &world->members, NULL),
        MRD_OK);
    world->builder = mrd_batch_builder_create();
    world->epoch = mrd_batch_epoch_of(mrd_clock_now_ms(mrd_clock_system()));
    *state = world;
    return 0;
}

static int world_teardown(void **state)
{
    struct world *world = *state;
    mrd_batch_builder_destroy(&world->builder);
    mrd_members_destroy(&world->members);
    mrd_rpc_client_destroy(&world->client);
    mrd_log_writer_destroy(&world->writer);
    mrd_bus_close(&world->bus);
    nats_fixture_stop(&world->nats);
    free(world);
    return 0;
}

/* ---- asking ---- */

struct answer {
    size_t series;
    size_t samples;
    size_t histograms;
    double sum;
    size_t texts;
    uint64_t count_total;
    struct mrd_query_trailer trailer;
    struct mrd_error error;
};

static void count_histograms(const struct mrd_chunk *chunk, struct answer *answer)
{
    static mrd_time_ms times[MRD_CHUNK_SAMPLES_MAX];
    static mrd_time_ms starts[MRD_CHUNK_SAMPLES_MAX];
    static struct mrd_histogram items[MRD_CHUNK_SAMPLES_MAX];
    struct mrd_histogram_arrays arrays = {times, starts, items, false};
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("test", 64 << 20);
    assert_int_equal(mrd_histogram_chunk_decode(chunk->bytes, chunk->count, arena, &arrays, NULL),
                     MRD_OK);
    answer->histograms += chunk->count;
    for (size_t i = 0; i < chunk->count; i++) {
        assert_int_equal(items[i].positive.buckets[1].integer, items[i].count.integer - 1);
        answer->sum += (double)items[i].count.integer;
    }
}

static void count_frames(struct mrd_bytes frames, struct answer *answer)
{
    static mrd_time_ms times[MRD_CHUNK_SAMPLES_MAX];
    static double values[MRD_CHUNK_SAMPLES_MAX];
    struct mrd_reader reader = mrd_reader_of(frames);
    while (mrd_reader_left(&reader) > 0) {
        struct mrd_frame frame;
        struct mrd_chunk chunk;
        assert_int_equal(mrd_frame_read(&reader, &frame, NULL), MRD_OK);
        answer->series++;
        while (mrd_frame_read_chunk(&frame, &chunk)) {
            if (chunk.encoding == MRD_CHUNK_HISTOGRAMS) {
                count_histograms(&chunk, answer);
                continue;
            }
            assert_int_equal(
                mrd_chunk_decode(chunk.encoding, chunk.bytes, chunk.count, times, values, NULL),
                MRD_OK);
            answer->samples += chunk.count;
            for (size_t i = 0; i < chunk.count; i++) {
                answer->sum += values[i];
            }
        }
    }
}

static void count_texts(struct mrd_bytes bytes, struct answer *answer)
{
    struct mrd_reader reader = mrd_reader_of(bytes);
    struct mrd_bytes text;
    while (mrd_query_text_read(&reader, &text)) {
        answer->texts++;
    }
    assert_false(reader.failed);
}

static void count_extras(enum mrd_query_kind kind, struct mrd_bytes bytes, struct answer *answer)
{
    struct mrd_reader reader = mrd_reader_of(bytes);
    struct mrd_query_exemplar exemplar;
    struct mrd_query_family family;
    while (kind == MRD_QUERY_EXEMPLARS && mrd_query_exemplar_read(&reader, &exemplar)) {
        answer->texts++;
        answer->sum += exemplar.exemplar.value;
    }
    while (kind == MRD_QUERY_METADATA && mrd_query_family_read(&reader, &family)) {
        answer->texts++;
        answer->sum += (int)family.metadata.type;
    }
    assert_false(reader.failed);
}

static void count_chunk(enum mrd_query_kind kind, struct mrd_bytes bytes, struct answer *answer)
{
    if (kind == MRD_QUERY_SELECT || kind == MRD_QUERY_SERIES) {
        count_frames(bytes, answer);
    } else if (kind == MRD_QUERY_CARDINALITY) {
        struct mrd_reader reader = mrd_reader_of(bytes);
        struct mrd_query_count count;
        while (mrd_query_count_read(&reader, &count)) {
            answer->texts++;
            answer->count_total += count.list == MRD_QUERY_COUNT_VALUES ? count.series : 0;
        }
    } else if (kind == MRD_QUERY_EXEMPLARS || kind == MRD_QUERY_METADATA) {
        count_extras(kind, bytes, answer);
    } else {
        count_texts(bytes, answer);
    }
}

static enum mrd_status ask(struct world *world, const char *instance, uint32_t partition,
                           const struct mrd_query_request *request, struct answer *answer)
{
    *answer = (struct answer){0};
    struct mrd_buf bytes = {0};
    mrd_query_request_encode(request, &bytes);
    const struct mrd_rpc_fan_options options = {.deadline_ns = now_ns() + 30000 * MS};
    struct mrd_rpc_fan *fan = mrd_rpc_fan_create(world->client, &options);
    char subject[MRD_QUERY_SUBJECT_MAX];
    size_t call;
    assert_int_equal(mrd_rpc_fan_start(fan, mrd_query_subject(partition, instance, subject),
                                       mrd_buf_view(&bytes), &call, NULL),
                     MRD_OK);
    struct mrd_rpc_event event = {.kind = MRD_RPC_FAILED};
    enum mrd_status status = MRD_OK;
    while ((status = mrd_rpc_fan_next(fan, &event, &answer->error)) == MRD_OK &&
           event.kind == MRD_RPC_CHUNK) {
        count_chunk(request->kind, event.bytes, answer);
    }
    if (status == MRD_OK && event.kind == MRD_RPC_FAILED) {
        answer->error = event.error;
        status = event.error.status;
    } else if (status == MRD_OK) {
        assert_int_equal(mrd_query_trailer_decode(event.bytes, &answer->trailer, NULL), MRD_OK);
    }
    mrd_rpc_fan_destroy(&fan);
    mrd_buf_fini(&bytes);
    return status;
}

static struct mrd_query_request request_of(enum mrd_query_kind kind)
{
    return (struct mrd_query_request){.kind = kind,
                                      .tenant = MRD_BYTES("acme"),
                                      .time_min_ms = T0,
                                      .time_max_ms = T0 + 3600 * 1000};
}

static uint64_t log_last(struct world *world, uint32_t partition)
{
    struct mrd_log_state log;
    assert_int_equal(mrd_log_state_read(world->bus, partition, 5000, &log, NULL), MRD_OK);
    return log.sequence_last;
}

/* Strongly: everything acknowledged must be there. */
static void expect_all(struct world *world, const char *instance, size_t series, size_t steps)
{
    for (uint32_t partition = 0; partition < PARTITIONS; partition++) {
        struct mrd_query_request request = request_of(MRD_QUERY_SELECT);
        request.sequence_min = log_last(world, partition);
        struct answer answer;
        if (ask(world, instance, partition, &request, &answer) != MRD_OK) {
            fail_msg("partition %u: %s", partition, answer.error.text);
        }
        assert_true(answer.trailer.sequence >= request.sequence_min);
        if (answer.series != series || answer.samples != series * steps) {
            fail_msg("partition %u: %zu series, %zu samples, applied %lu, asked for %lu", partition,
                     answer.series, answer.samples, (unsigned long)answer.trailer.sequence,
                     (unsigned long)request.sequence_min);
        }
        double sum = 0;
        for (size_t i = 0; i < series; i++) {
            for (size_t step = 0; step < steps; step++) {
                sum += (double)(i + step);
            }
        }
        assert_true(answer.sum == sum);
        assert_int_equal(answer.trailer.samples, answer.samples);
    }
}

static double metric(struct ingester *ingester, const char *line_start)
{
    struct mrd_buf text = {0};
    mrd_metrics_write(ingester->metrics, &text);
    mrd_buf_append(&text, "", 1);
    char key[128];
    snprintf(key, sizeof(key), "\n%s ", line_start);
    const char *at = strstr((const char *)text.data, key);
    const double value = at == NULL ? -1 : strtod(at + strlen(key), NULL);
    mrd_buf_fini(&text);
    return value;
}

static void wait_metric(struct ingester *ingester, const char *name, double want)
{
    for (int i = 0; i < 20000; i++) {
        if (metric(ingester, name) == want) {
            return;
        }
        usleep(1000);
    }
    fail_msg("%s is %g, not %g", name, metric(ingester, name), want);
}

/* ---- the tests ---- */

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
        request.sequence_min = log_last(world, 0);
        request.time_max_ms = INT64_MAX;
        struct answer answer;
        assert_int_equal(ask(world, "one", 0, &request, &answer), MRD_OK);
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
    request.sequence_min = log_last(world, 0);
    struct answer answer;
    assert_int_equal(ask(world, "one", 0, &request, &answer), MRD_OK);
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

/* Members that serve a partition, by the world's own look. */
static size_t servers_of(struct world *world, uint32_t partition, char names[8][64])
{
    const struct mrd_members_snapshot *snapshot = mrd_members_acquire(world->members);
    size_t count = 0;
    for (size_t i = 0; i < snapshot->count; i++) {
        const struct mrd_member *member = &snapshot->members[i];
        for (size_t k = 0; k < member->partition_count; k++) {
            if (member->partitions[k].partition == partition &&
                member->partitions[k].state == MRD_PARTITION_SERVING && count < 8) {
                snprintf(names[count++], 64, "%s", member->instance);
            }
        }
    }
    mrd_members_release(&snapshot);
    return count;
}

/* Asks each partition of each member that says it serves it, as a querier would, and wants all. */
static void expect_all_from_anyone(struct world *world, size_t series, size_t steps)
{
    for (uint32_t partition = 0; partition < PARTITIONS; partition++) {
        char names[8][64];
        const size_t count = servers_of(world, partition, names);
        assert_true(count > 0); /* there is always somebody */
        for (size_t i = 0; i < count; i++) {
            struct mrd_query_request request = request_of(MRD_QUERY_SELECT);
            request.sequence_min = log_last(world, partition);
            struct answer answer;
            const enum mrd_status status = ask(world, names[i], partition, &request, &answer);
            if (status == MRD_E_UNAVAILABLE) {
                continue; /* it has just gone; a querier asks the next */
            }
            if (status != MRD_OK) {
                fail_msg("partition %u of %s: %s", partition, names[i], answer.error.text);
            }
            assert_int_equal(answer.series, series);
            assert_int_equal(answer.samples, series * steps);
        }
    }
}

/* `steps` of 0: nobody need serve yet. */
static void wait_servers(struct world *world, size_t want, size_t series, size_t steps)
{
    for (int i = 0; i < 600; i++) {
        bool all = true;
        for (uint32_t partition = 0; partition < PARTITIONS; partition++) {
            char names[8][64];
            all = all && servers_of(world, partition, names) == want;
        }
        if (all) {
            return;
        }
        if (steps > 0) {
            expect_all_from_anyone(world, series, steps); /* right answers all the way */
        }
        usleep(50000);
    }
    fail_msg("the partitions do not come to %zu servers each", want);
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
