/* ingester_rig.h: an ingester over a real log and a real NATS, a writer for that log and somebody who asks, for tests. Test
 * programs include it; nothing else does.
 */
#ifndef ING_INGESTER_RIG_H
#define ING_INGESTER_RIG_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/testing_clock.h"
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

static inline int64_t now_ns(void) { return mrd_clock_monotonic_ns(mrd_clock_system()); }

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

static inline void on_ready(void *context, bool ready, const char *reason)
{
    (void)reason;
    struct ingester *ingester = context;
    atomic_store(&ingester->ready, ready);
}

static inline void ingester_start(struct ingester *ingester, const struct nats_fixture *nats,
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
                  .limits = {.exemplars_max = 1000, .families_max = 1000},
                  .budget = &ingester->budget},
        .clock = &shifted,
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
static inline void ingester_stop(struct ingester *ingester, bool leave)
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

static inline void ingester_wait_ready(struct ingester *ingester)
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

static inline void on_done(void *context, const struct mrd_log_ack *ack)
{
    struct world *world = context;
    if (ack->status == MRD_OK) {
        atomic_fetch_add(&world->acknowledged, 1);
    }
}

static inline struct mrd_bytes series_labels(size_t series, struct mrd_buf *out)
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

static inline void publish(struct world *world, uint32_t partition,
                           const struct mrd_batch_header *header, struct mrd_bytes message)
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

static inline struct mrd_batch_header header_of(struct world *world, uint32_t partition)
{
    return (struct mrd_batch_header){.region = MRD_BYTES("test"),
                                     .residency_class = MRD_BYTES("de"),
                                     .instance = MRD_BYTES("writer"),
                                     .partition = partition,
                                     .epoch = world->epoch, /* tables of old epochs are dropped */
                                     .number = ++world->numbers[partition],
                                     .hlc = mrd_hlc_make(mrd_clock_now_ms(mrd_clock_system()), 0) +
                                            world->published};
}

/* One batch: rows of series [first, first + count) of the partition, one sample each at step `step`, with
 * announcements if asked for. The reference of a series is its number. */
static inline void write_batch(struct world *world, uint32_t partition, size_t first, size_t count,
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
static inline void write_histograms(struct world *world, uint32_t partition, size_t count,
                                    size_t steps)
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
static inline void write_extras(struct world *world, uint32_t partition, size_t count, size_t steps)
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
static inline void write_all(struct world *world, size_t series, size_t first_step, size_t steps)
{
    for (size_t step = first_step; step < first_step + steps; step++) {
        for (uint32_t partition = 0; partition < PARTITIONS; partition++) {
            write_batch(world, partition, 0, series, step, step == 0);
        }
    }
    assert_int_equal(mrd_log_writer_drain(world->writer, 60000, NULL), MRD_OK);
    assert_int_equal(atomic_load(&world->acknowledged), world->published);
}

static inline int world_setup(void **state)
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

static inline int world_teardown(void **state)
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

static inline void count_histograms(const struct mrd_chunk *chunk, struct answer *answer)
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

static inline void count_frames(struct mrd_bytes frames, struct answer *answer)
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

static inline void count_texts(struct mrd_bytes bytes, struct answer *answer)
{
    struct mrd_reader reader = mrd_reader_of(bytes);
    struct mrd_bytes text;
    while (mrd_query_text_read(&reader, &text)) {
        answer->texts++;
    }
    assert_false(reader.failed);
}

static inline void count_extras(enum mrd_query_kind kind, struct mrd_bytes bytes,
                                struct answer *answer)
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

static inline void count_chunk(enum mrd_query_kind kind, struct mrd_bytes bytes,
                               struct answer *answer)
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
    } else if (kind == MRD_QUERY_KNOWN) {
        for (size_t i = 0; i < bytes.size; i++) {
            answer->texts += (size_t)__builtin_popcount(bytes.data[i]);
        }
    } else {
        count_texts(bytes, answer);
    }
}

/* What an answer says of one partition. */
struct told {
    struct answer answer;
    bool ended;
    bool alone;
    enum mrd_status failed;
};

static inline void take_parts(const struct mrd_query_request *request, struct mrd_bytes parts,
                              struct told *told)
{
    struct mrd_reader reader = mrd_reader_of(parts);
    struct mrd_query_part part;
    while (mrd_query_part_read(&reader, &part)) {
        size_t i = 0;
        while (i < request->partition_count && request->partitions[i].number != part.partition) {
            i++;
        }
        assert_true(i < request->partition_count);
        struct told *one = &told[i];
        assert_false(one->ended || one->alone || one->failed != MRD_OK);
        one->alone = part.kind == MRD_QUERY_PART_ALONE;
        one->ended = part.kind == MRD_QUERY_PART_END;
        one->failed = part.status;
        if (part.kind == MRD_QUERY_PART_FAILED) {
            (void)mrd_fail(&one->answer.error, part.status, "%.*s", MRD_FMT(part.bytes));
        } else if (part.kind == MRD_QUERY_PART_DATA) {
            count_chunk(request->kind, part.bytes, &one->answer);
        } else if (part.kind == MRD_QUERY_PART_END) {
            assert_int_equal(mrd_query_trailer_decode(part.bytes, &one->answer.trailer, NULL),
                             MRD_OK);
        }
        /* In the order of the partitions, but for those that are not answered here. */
        for (size_t k = 0; k < i && (part.kind == MRD_QUERY_PART_DATA || one->ended); k++) {
            assert_true(told[k].ended || told[k].alone || told[k].failed != MRD_OK);
        }
    }
    assert_false(reader.failed);
}

/* One question; told[] is of the partitions that it asks for. Returns the messages of the answer. */
static inline size_t question(struct world *world, const char *instance,
                              const struct mrd_query_request *request, struct told *told,
                              enum mrd_status *out_status, struct mrd_error *err)
{
    struct mrd_buf bytes = {0};
    mrd_query_request_encode(request, &bytes);
    const struct mrd_rpc_fan_options options = {.deadline_ns = now_ns() + 30000 * MS};
    struct mrd_rpc_fan *fan = mrd_rpc_fan_create(world->client, &options);
    char subject[MRD_QUERY_SUBJECT_MAX];
    size_t call;
    assert_int_equal(mrd_rpc_fan_start(fan, mrd_query_subject(instance, subject),
                                       mrd_buf_view(&bytes), &call, NULL),
                     MRD_OK);
    struct mrd_rpc_event event = {.kind = MRD_RPC_CHUNK};
    size_t messages = 0;
    while (event.kind == MRD_RPC_CHUNK &&
           (*out_status = mrd_rpc_fan_next(fan, &event, err)) == MRD_OK &&
           event.kind != MRD_RPC_FAILED) {
        messages++;
        take_parts(request, event.bytes, told);
    }
    if (*out_status == MRD_OK && event.kind == MRD_RPC_FAILED) {
        *err = event.error;
        *out_status = event.error.status;
    }
    mrd_rpc_fan_destroy(&fan);
    mrd_buf_fini(&bytes);
    return messages;
}

/* A question for one partition. */
static inline enum mrd_status ask_at(struct world *world, const char *instance, uint32_t partition,
                                     uint64_t sequence_min, const struct mrd_query_request *request,
                                     struct answer *answer)
{
    const struct mrd_query_partition partitions[] = {
        {.number = partition, .sequence_min = sequence_min}
    };
    struct mrd_query_request mine = *request;
    mine.partitions = partitions;
    mine.partition_count = 1;
    struct told told = {0};
    struct mrd_error err = {0};
    enum mrd_status status;
    (void)question(world, instance, &mine, &told, &status, &err);
    *answer = told.answer;
    if (status != MRD_OK) {
        answer->error = err;
        return status;
    }
    assert_true(told.ended || told.failed != MRD_OK);
    return told.failed;
}

static inline enum mrd_status ask(struct world *world, const char *instance, uint32_t partition,
                                  const struct mrd_query_request *request, struct answer *answer)
{
    return ask_at(world, instance, partition, 0, request, answer);
}

static inline struct mrd_query_request request_of(enum mrd_query_kind kind)
{
    return (struct mrd_query_request){.kind = kind,
                                      .tenant = MRD_BYTES("acme"),
                                      .time_min_ms = T0,
                                      .time_max_ms = T0 + 3600 * 1000};
}

static inline uint64_t log_last(struct world *world, uint32_t partition)
{
    struct mrd_log_state log;
    assert_int_equal(mrd_log_state_read(world->bus, partition, 5000, &log, NULL), MRD_OK);
    return log.sequence_last;
}

/* Strongly: everything acknowledged must be there. */
static inline void expect_all(struct world *world, const char *instance, size_t series,
                              size_t steps)
{
    for (uint32_t partition = 0; partition < PARTITIONS; partition++) {
        const struct mrd_query_request request = request_of(MRD_QUERY_SELECT);
        const uint64_t sequence_min = log_last(world, partition);
        struct answer answer;
        if (ask_at(world, instance, partition, sequence_min, &request, &answer) != MRD_OK) {
            fail_msg("partition %u: %s", partition, answer.error.text);
        }
        assert_true(answer.trailer.sequence >= sequence_min);
        if (answer.series != series || answer.samples != series * steps) {
            fail_msg("partition %u: %zu series, %zu samples, applied %lu, asked for %lu", partition,
                     answer.series, answer.samples, (unsigned long)answer.trailer.sequence,
                     (unsigned long)sequence_min);
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

static inline double metric(struct ingester *ingester, const char *line_start)
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

static inline void wait_metric(struct ingester *ingester, const char *name, double want)
{
    for (int i = 0; i < 20000; i++) {
        if (metric(ingester, name) == want) {
            return;
        }
        usleep(1000);
    }
    fail_msg("%s is %g, not %g", name, metric(ingester, name), want);
}

/* Members that serve a partition, by the world's own look. */
static inline size_t servers_of(struct world *world, uint32_t partition, char names[8][64])
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
static inline void expect_all_from_anyone(struct world *world, size_t series, size_t steps)
{
    for (uint32_t partition = 0; partition < PARTITIONS; partition++) {
        char names[8][64];
        const size_t count = servers_of(world, partition, names);
        assert_true(count > 0); /* there is always somebody */
        for (size_t i = 0; i < count; i++) {
            const struct mrd_query_request request = request_of(MRD_QUERY_SELECT);
            struct answer answer;
            const enum mrd_status status =
                ask_at(world, names[i], partition, log_last(world, partition), &request, &answer);
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
static inline void wait_servers(struct world *world, size_t want, size_t series, size_t steps)
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

#endif
