/* The log's writer, reader and admin against a real nats-server. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bus/log_admin.h"
#include "bus/log_reader.h"
#include "bus/log_writer.h"
#include "bus/nats_fixture.h"

static const int64_t MS = 1000000;

static int64_t now_ns(void) { return mrd_clock_monotonic_ns(mrd_clock_system()); }

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        struct mrd_error err_ = {0};                                                               \
        struct mrd_error *ok_err = &err_;                                                          \
        const enum mrd_status status_ = (call);                                                    \
        if (status_ != MRD_OK) {                                                                   \
            fail_msg("%s: %s: %s", #call, mrd_status_name(status_), err_.text);                    \
        }                                                                                          \
    } while (0)

static struct mrd_log_config config_of(uint32_t partitions, int64_t bytes_max)
{
    return (struct mrd_log_config){
        .region = "test", .partition_count = partitions, .replicas = 1, .bytes_max = bytes_max};
}

/* A server right behind its start may refuse for a moment. */
static enum mrd_status log_ensure(struct mrd_bus *bus, const struct mrd_log_config *config,
                                  struct mrd_error *err)
{
    enum mrd_status status = MRD_E_UNAVAILABLE;
    for (int i = 0; i < 100 && status == MRD_E_UNAVAILABLE; i++) {
        status = mrd_log_ensure(bus, config, 2000, err);
        if (status == MRD_E_UNAVAILABLE) {
            usleep(50000);
        }
    }
    return status;
}

/* ---- counting what writers are told ---- */

struct told {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t count;
    size_t by_status[MRD_STATUS_COUNT];
    size_t duplicates;
    uint8_t *times; /* by batch: how often it was told */
};

struct told_batch {
    struct told *told;
    size_t index;
};

static void told_init(struct told *told, size_t batches)
{
    *told = (struct told){.times = calloc(batches, 1)};
    pthread_mutex_init(&told->lock, NULL);
    pthread_cond_init(&told->changed, NULL);
}

static void told_fini(struct told *told)
{
    free(told->times);
    pthread_cond_destroy(&told->changed);
    pthread_mutex_destroy(&told->lock);
}

static void on_done(void *context, const struct mrd_log_ack *ack)
{
    struct told_batch *batch = context;
    struct told *told = batch->told;
    pthread_mutex_lock(&told->lock);
    told->count++;
    told->by_status[ack->status]++;
    told->duplicates += ack->duplicate ? 1 : 0;
    told->times[batch->index]++;
    pthread_cond_broadcast(&told->changed);
    pthread_mutex_unlock(&told->lock);
}

static void told_wait(struct told *told, size_t count)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 60;
    int waited = 0;
    pthread_mutex_lock(&told->lock);
    while (told->count < count && waited == 0) {
        waited = pthread_cond_timedwait(&told->changed, &told->lock, &until);
    }
    if (told->count < count) {
        fail_msg("only %zu of %zu batches were answered", told->count, count);
    }
    pthread_mutex_unlock(&told->lock);
}

static struct mrd_log_batch batch_of(struct told_batch *batch, uint32_t partition, char id[32],
                                     struct mrd_bytes payload, int64_t wait_ms)
{
    snprintf(id, 32, "test-1-%zu", batch->index);
    return (struct mrd_log_batch){.partition = partition,
                                  .residency_class = "de",
                                  .id = id,
                                  .payload = payload,
                                  .deadline_ns = now_ns() + wait_ms * MS,
                                  .done = on_done,
                                  .context = batch};
}

/* Publishes, waiting for room. */
static void publish_wait(struct mrd_log_writer *writer, const struct mrd_log_batch *batch)
{
    struct mrd_error err = {0};
    enum mrd_status status = mrd_log_writer_publish(writer, batch, &err);
    for (int i = 0; i < 60000 && status == MRD_E_UNAVAILABLE; i++) {
        usleep(1000);
        status = mrd_log_writer_publish(writer, batch, &err);
    }
    if (status != MRD_OK) {
        fail_msg("publish: %s", err.text);
    }
}

/* ---- counting what readers see ---- */

struct seen {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t count;
    uint64_t last_sequence;
    size_t out_of_order;
    uint64_t missing;
    uint8_t *times; /* by the number in the payload */
    size_t capacity;
    size_t events[MRD_LOG_CAUGHT_UP + 1];
    size_t hold_at; /* from this count on, callbacks wait; SIZE_MAX: never */
};

static void seen_init(struct seen *seen, size_t capacity)
{
    *seen = (struct seen){.times = calloc(capacity, 1), .capacity = capacity, .hold_at = SIZE_MAX};
    pthread_mutex_init(&seen->lock, NULL);
    pthread_cond_init(&seen->changed, NULL);
}

static void seen_fini(struct seen *seen)
{
    free(seen->times);
    pthread_cond_destroy(&seen->changed);
    pthread_mutex_destroy(&seen->lock);
}

static void on_entry(void *context, struct mrd_log_entry *entry)
{
    struct seen *seen = context;
    uint64_t number = UINT64_MAX;
    if (entry->payload.size >= sizeof(number)) {
        memcpy(&number, entry->payload.data, sizeof(number));
    }
    pthread_mutex_lock(&seen->lock);
    seen->count++;
    seen->out_of_order += entry->sequence <= seen->last_sequence ? 1 : 0;
    seen->last_sequence = entry->sequence;
    seen->missing += entry->missing_before;
    if (number < seen->capacity) {
        seen->times[number]++;
    }
    pthread_cond_broadcast(&seen->changed);
    while (seen->count >= seen->hold_at) {
        pthread_cond_wait(&seen->changed, &seen->lock);
    }
    pthread_mutex_unlock(&seen->lock);
    mrd_log_entry_fini(entry);
}

static void on_event(void *context, enum mrd_log_event event, const char *text)
{
    (void)text;
    struct seen *seen = context;
    pthread_mutex_lock(&seen->lock);
    seen->events[event]++;
    pthread_cond_broadcast(&seen->changed);
    pthread_mutex_unlock(&seen->lock);
}

static bool enough(const struct seen *seen, size_t count, enum mrd_log_event event, size_t events)
{
    return seen->count >= count && seen->events[event] >= events;
}

static void seen_wait(struct seen *seen, size_t count, enum mrd_log_event event, size_t events)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 60;
    int waited = 0;
    pthread_mutex_lock(&seen->lock);
    while (!enough(seen, count, event, events) && waited == 0) {
        waited = pthread_cond_timedwait(&seen->changed, &seen->lock, &until);
    }
    if (!enough(seen, count, event, events)) {
        fail_msg("only %zu of %zu entries, %zu of %zu events %d", seen->count, count,
                 seen->events[event], events, (int)event);
    }
    pthread_mutex_unlock(&seen->lock);
}

static struct mrd_log_reader *reader_of(struct mrd_bus *bus, struct seen *seen, uint64_t start)
{
    const struct mrd_log_reader_options options = {.partition = 0,
                                                   .sequence_start = start,
                                                   .on_entry = on_entry,
                                                   .on_event = on_event,
                                                   .context = seen};
    struct mrd_log_reader *reader = NULL;
    assert_ok(mrd_log_reader_create(bus, &options, &reader, ok_err));
    return reader;
}

static struct mrd_log_writer *writer_of(struct mrd_bus *bus, struct mrd_log_writer_options options)
{
    options.partition_count = options.partition_count == 0 ? 1 : options.partition_count;
    struct mrd_log_writer *writer = NULL;
    assert_ok(mrd_log_writer_create(bus, &options, &writer, ok_err));
    return writer;
}

/* Publishes count batches whose payload begins with its number. */
static void publish_many(struct mrd_log_writer *writer, struct told *told,
                         struct told_batch *batches, size_t first, size_t count, size_t size)
{
    uint8_t *payload = calloc(1, size);
    for (size_t i = first; i < first + count; i++) {
        char id[32];
        const uint64_t number = i;
        memcpy(payload, &number, sizeof(number));
        batches[i] = (struct told_batch){told, i};
        const struct mrd_log_batch batch =
            batch_of(&batches[i], 0, id, (struct mrd_bytes){payload, size}, 60000);
        publish_wait(writer, &batch);
    }
    free(payload);
}

/* ---- the tests ---- */

struct world {
    struct nats_fixture nats;
    struct mrd_bus *publish;
    struct mrd_bus *consume;
};

static int world_setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    nats_fixture_start(&world->nats);
    world->publish = nats_fixture_connect(&world->nats);
    world->consume = nats_fixture_connect(&world->nats);
    *state = world;
    return 0;
}

static int world_teardown(void **state)
{
    struct world *world = *state;
    mrd_bus_close(&world->consume);
    mrd_bus_close(&world->publish);
    nats_fixture_stop(&world->nats);
    free(world);
    return 0;
}

static void streams_are_made_once_and_differences_are_refused(void **state)
{
    struct world *world = *state;
    struct mrd_log_config config = config_of(3, 64 << 20);
    struct mrd_error err = {0};
    struct mrd_log_region region;
    assert_int_equal(mrd_log_region_read(world->consume, 2000, &region, &err), MRD_E_NOT_FOUND);
    assert_ok(log_ensure(world->publish, &config, ok_err));
    assert_ok(log_ensure(world->consume, &config, ok_err)); /* again: nothing to do */
    assert_ok(mrd_log_region_read(world->consume, 2000, &region, ok_err));
    assert_int_equal(region.partition_count, 3);
    assert_string_equal(region.region, "test");

    config.partition_count = 4;
    assert_int_equal(mrd_log_ensure(world->publish, &config, 2000, &err), MRD_E_INVALID);
    assert_non_null(strstr(err.text, "3 partitions"));
    config = config_of(3, 64 << 20);
    config.region = "other";
    assert_int_equal(mrd_log_ensure(world->publish, &config, 2000, &err), MRD_E_INVALID);
    assert_non_null(strstr(err.text, "\"other\""));
    config = config_of(3, 0);
    assert_int_equal(mrd_log_ensure(world->publish, &config, 2000, &err), MRD_E_INVALID);

    config = config_of(3, 32 << 20); /* limits may change */
    config.age_ms_max = 3600 * 1000;
    assert_ok(mrd_log_ensure(world->publish, &config, 2000, ok_err));
    struct mrd_log_state log;
    assert_ok(mrd_log_state_read(world->publish, 2, 2000, &log, ok_err));
    assert_int_equal(log.bytes_max, 32 << 20);
    assert_int_equal(log.sequence_last, 0);
    assert_int_equal(log.sequence_first, 1);
    assert_int_equal(mrd_log_state_read(world->publish, 3, 2000, &log, &err), MRD_E_NOT_FOUND);
}

static int64_t age_of(struct world *world)
{
    struct mrd_log_state log;
    assert_ok(mrd_log_state_read(world->publish, 0, 2000, &log, ok_err));
    return log.age_ms_max;
}

/* Compactors decide whether a log forgets by age; others do not bring the limit back. */
static void an_age_limit_that_was_taken_away_stays_away(void **state)
{
    struct world *world = *state;
    struct mrd_log_config other = config_of(1, 64 << 20);
    other.age_ms_max = 60 * 1000; /* shorter than the usual duplicate window */
    assert_ok(log_ensure(world->publish, &other, ok_err));
    assert_int_equal(age_of(world), 60 * 1000);
    assert_ok(mrd_log_age_clear(world->publish, 0, 2000, ok_err));
    assert_int_equal(age_of(world), 0);
    assert_ok(mrd_log_age_clear(world->publish, 0, 2000, ok_err)); /* again: nothing to do */
    other.bytes_max = 32 << 20;
    assert_ok(log_ensure(world->publish, &other, ok_err)); /* a service that knows nothing of it */
    assert_int_equal(age_of(world), 0);
    struct mrd_log_state log;
    assert_ok(mrd_log_state_read(world->publish, 0, 2000, &log, ok_err));
    assert_int_equal(log.bytes_max, 32 << 20); /* other limits are brought to what it says */
    other.age_decides = true;
    assert_ok(log_ensure(world->publish, &other, ok_err));
    assert_int_equal(age_of(world), 60 * 1000);
    other.age_ms_max = 0;
    assert_ok(log_ensure(world->publish, &other, ok_err));
    assert_int_equal(age_of(world), 0);
}

static void batches_are_acknowledged_with_their_sequence_and_read_in_order(void **state)
{
    struct world *world = *state;
    enum { COUNT = 1000 };
    const struct mrd_log_config config = config_of(1, 256 << 20);
    assert_ok(log_ensure(world->publish, &config, ok_err));
    struct told told;
    struct seen seen;
    told_init(&told, COUNT);
    seen_init(&seen, COUNT);
    struct mrd_log_reader *reader = reader_of(world->consume, &seen, 1);
    seen_wait(&seen, 0, MRD_LOG_CAUGHT_UP, 1); /* an empty log is caught up with at once */
    struct mrd_log_writer *writer =
        writer_of(world->publish, (struct mrd_log_writer_options){.outstanding_max = 64});
    struct told_batch batches[COUNT];
    publish_many(writer, &told, batches, 0, COUNT, 8192);
    told_wait(&told, COUNT);
    assert_int_equal(told.by_status[MRD_OK], COUNT);
    seen_wait(&seen, COUNT, MRD_LOG_RESUMED, 1);
    assert_int_equal(seen.out_of_order, 0);
    assert_int_equal(seen.last_sequence, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(seen.times[i], 1);
        assert_int_equal(told.times[i], 1);
    }
    struct mrd_log_writer_stats stats;
    mrd_log_writer_stats(writer, &stats);
    assert_int_equal(stats.outstanding, 0);
    assert_int_equal(stats.outstanding_bytes, 0);
    assert_int_equal(stats.stored, COUNT);
    mrd_log_writer_destroy(&writer);
    mrd_log_reader_destroy(&reader);
    told_fini(&told);
    seen_fini(&seen);
}

static void the_same_id_is_stored_once(void **state)
{
    struct world *world = *state;
    const struct mrd_log_config config = config_of(1, 64 << 20);
    assert_ok(log_ensure(world->publish, &config, ok_err));
    struct told told;
    told_init(&told, 2);
    struct mrd_log_writer *writer = writer_of(world->publish, (struct mrd_log_writer_options){0});
    for (size_t i = 0; i < 2; i++) {
        char id[32];
        struct told_batch context = {&told, 0};
        const struct mrd_log_batch batch = batch_of(&context, 0, id, MRD_BYTES("a payload"), 10000);
        publish_wait(writer, &batch);
        told_wait(&told, i + 1);
    }
    assert_int_equal(told.by_status[MRD_OK], 2);
    assert_int_equal(told.duplicates, 1);
    struct mrd_log_state log;
    assert_ok(mrd_log_state_read(world->publish, 0, 2000, &log, ok_err));
    assert_int_equal(log.messages, 1);
    mrd_log_writer_destroy(&writer);
    told_fini(&told);
}

struct crash {
    struct nats_fixture *nats;
    struct told *told;
    size_t after;
    int away_ms;
};

static void *crash_run(void *context)
{
    struct crash *crash = context;
    told_wait(crash->told, crash->after);
    nats_fixture_kill(crash->nats);
    usleep((useconds_t)crash->away_ms * 1000);
    nats_fixture_launch(crash->nats);
    return NULL;
}

static void survive_a_crash(struct world *world, size_t count, size_t size, int away_ms)
{
    const struct mrd_log_config config = config_of(1, 1 << 30);
    assert_ok(log_ensure(world->publish, &config, ok_err));
    struct told told;
    struct seen seen;
    told_init(&told, count);
    seen_init(&seen, count);
    struct told_batch *batches = calloc(count, sizeof(*batches));
    struct mrd_log_reader *reader = reader_of(world->consume, &seen, 1);
    struct mrd_log_writer *writer =
        writer_of(world->publish, (struct mrd_log_writer_options){.outstanding_max = 256});
    struct crash crash = {&world->nats, &told, count / 3, away_ms};
    pthread_t thread;
    pthread_create(&thread, NULL, crash_run, &crash);
    publish_many(writer, &told, batches, 0, count, size);
    pthread_join(thread, NULL);
    told_wait(&told, count);
    assert_int_equal(told.by_status[MRD_OK], count);
    struct mrd_log_state log;
    assert_ok(mrd_log_state_read(world->publish, 0, 5000, &log, ok_err));
    assert_int_equal(log.messages, count); /* each once */
    seen_wait(&seen, count, MRD_LOG_RESUMED, 2);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(told.times[i], 1);
        assert_int_equal(seen.times[i], 1);
    }
    assert_int_equal(seen.count, count);
    assert_int_equal(seen.out_of_order, 0);
    assert_int_equal(seen.missing, 0);
    struct mrd_log_writer_stats stats;
    mrd_log_writer_stats(writer, &stats);
    assert_true(stats.resent > 0); /* or the test has tested nothing */
    print_message("resent %lu, of them duplicates %lu\n", (unsigned long)stats.resent,
                  (unsigned long)stats.duplicates);
    mrd_log_writer_destroy(&writer);
    mrd_log_reader_destroy(&reader);
    told_fini(&told);
    seen_fini(&seen);
    free(batches);
}

static void a_killed_server_neither_loses_nor_doubles_a_batch(void **state)
{
    survive_a_crash(*state, 20000, 2048, 0);
}

static void a_server_away_for_five_seconds_loses_nothing(void **state)
{
    survive_a_crash(*state, 5000, 16384, 5000);
}

static void a_deadline_is_told_once_and_the_batch_is_sent_on(void **state)
{
    struct world *world = *state;
    const struct mrd_log_config config = config_of(1, 64 << 20);
    assert_ok(log_ensure(world->publish, &config, ok_err));
    struct told told;
    told_init(&told, 1);
    struct mrd_log_writer *writer =
        writer_of(world->publish, (struct mrd_log_writer_options){.ack_wait_ms = 60000});
    nats_fixture_kill(&world->nats);
    char id[32];
    struct told_batch context = {&told, 0};
    const struct mrd_log_batch batch = batch_of(&context, 0, id, MRD_BYTES("kept"), 200);
    publish_wait(writer, &batch);
    told_wait(&told, 1);
    assert_int_equal(told.by_status[MRD_E_TIMEOUT], 1);
    struct mrd_log_writer_stats stats;
    mrd_log_writer_stats(writer, &stats);
    assert_int_equal(stats.outstanding, 1);
    assert_int_equal(stats.given_up, 1);
    nats_fixture_launch(&world->nats);
    assert_ok(mrd_log_writer_drain(writer, 30000, ok_err));
    struct mrd_log_state log;
    assert_ok(mrd_log_state_read(world->publish, 0, 5000, &log, ok_err));
    assert_int_equal(log.messages, 1);
    assert_int_equal(told.count, 1);
    mrd_log_writer_stats(writer, &stats);
    assert_int_equal(stats.given_up, 0);
    mrd_log_writer_destroy(&writer);
    told_fini(&told);
}

static void a_writer_that_goes_cancels_what_waits(void **state)
{
    struct world *world = *state;
    const struct mrd_log_config config = config_of(1, 64 << 20);
    assert_ok(log_ensure(world->publish, &config, ok_err));
    struct told told;
    told_init(&told, 8);
    struct mrd_log_writer *writer =
        writer_of(world->publish,
                  (struct mrd_log_writer_options){.ack_wait_ms = 60000, .outstanding_max = 8});
    nats_fixture_kill(&world->nats);
    struct told_batch batches[8];
    publish_many(writer, &told, batches, 0, 8, 100);
    struct mrd_error err = {0};
    assert_int_equal(mrd_log_writer_ready(writer, 0, 100, &err), MRD_E_UNAVAILABLE);
    mrd_log_writer_destroy(&writer);
    assert_int_equal(told.count, 8);
    assert_int_equal(told.by_status[MRD_E_CANCELED], 8);
    nats_fixture_launch(&world->nats);
    told_fini(&told);
}

static struct mrd_log_state log_of(struct mrd_bus *bus)
{
    struct mrd_log_state log;
    assert_ok(mrd_log_state_read(bus, 0, 5000, &log, ok_err));
    return log;
}

static void trim_to(struct mrd_bus *bus, uint64_t sequence)
{
    assert_ok(mrd_log_trim(bus, 0, log_of(bus).identity, sequence, 0, 2000, ok_err));
}

static void a_full_log_says_so_and_takes_again_when_trimmed(void **state)
{
    struct world *world = *state;
    const struct mrd_log_config config = config_of(1, 1 << 20);
    assert_ok(log_ensure(world->publish, &config, ok_err));
    enum { COUNT = 64 };
    struct told told;
    told_init(&told, COUNT);
    struct mrd_log_writer *writer =
        writer_of(world->publish, (struct mrd_log_writer_options){.full_retry_ms = 50});
    struct told_batch batches[COUNT];
    uint8_t *payload = calloc(1, 100000);
    size_t accepted = 0;
    struct mrd_error err = {0};
    enum mrd_status status = MRD_OK;
    for (; accepted < COUNT && status == MRD_OK; accepted += status == MRD_OK ? 1 : 0) {
        char id[32];
        batches[accepted] = (struct told_batch){&told, accepted};
        const struct mrd_log_batch batch =
            batch_of(&batches[accepted], 0, id, (struct mrd_bytes){payload, 100000}, 60000);
        status = mrd_log_writer_publish(writer, &batch, &err);
        if (status == MRD_OK) {
            told_wait(&told, accepted + 1);
        }
    }
    assert_int_equal(status, MRD_E_LIMIT); /* the next one was refused at once */
    assert_int_equal(told.by_status[MRD_E_LIMIT], 1);
    assert_int_equal(told.by_status[MRD_OK], accepted - 1);
    assert_int_equal(accepted, 11);
    assert_int_equal(mrd_log_writer_ready(writer, 0, 1, &err), MRD_E_LIMIT);
    trim_to(world->publish, 6);
    assert_ok(mrd_log_writer_drain(writer, 30000, ok_err)); /* the refused one went in */
    assert_ok(mrd_log_writer_ready(writer, 0, 1, ok_err));
    struct mrd_log_state log;
    assert_ok(mrd_log_state_read(world->publish, 0, 2000, &log, ok_err));
    assert_int_equal(log.sequence_first, 6);
    assert_int_equal(log.sequence_last, 11);
    assert_int_equal(told.count, accepted);
    mrd_log_writer_destroy(&writer);
    told_fini(&told);
    free(payload);
}

static void what_can_never_be_stored_is_refused_at_once(void **state)
{
    struct world *world = *state;
    const struct mrd_log_config config = config_of(1, 64 << 20);
    assert_ok(log_ensure(world->publish, &config, ok_err));
    struct told told;
    told_init(&told, 1);
    struct mrd_log_writer *writer = writer_of(world->publish, (struct mrd_log_writer_options){0});
    uint8_t *payload = calloc(1, 9 << 20);
    char id[32];
    struct told_batch context = {&told, 0};
    struct mrd_error err = {0};
    struct mrd_log_batch batch =
        batch_of(&context, 0, id, (struct mrd_bytes){payload, 9 << 20}, 1000);
    assert_int_equal(mrd_log_writer_publish(writer, &batch, &err), MRD_E_INVALID);
    batch.payload = MRD_BYTES("x");
    batch.residency_class = "a.b";
    assert_int_equal(mrd_log_writer_publish(writer, &batch, &err), MRD_E_INVALID);
    assert_int_equal(told.count, 0);
    mrd_log_writer_destroy(&writer);
    told_fini(&told);
    free(payload);
}

static void a_slow_reader_gets_everything(void **state)
{
    struct world *world = *state;
    enum { COUNT = 3000 };
    const struct mrd_log_config config = config_of(1, 256 << 20);
    assert_ok(log_ensure(world->publish, &config, ok_err));
    struct told told;
    struct seen seen;
    told_init(&told, COUNT);
    seen_init(&seen, COUNT);
    seen.hold_at = 10;
    struct mrd_log_reader *reader = reader_of(world->consume, &seen, 1);
    struct mrd_log_writer *writer =
        writer_of(world->publish, (struct mrd_log_writer_options){.outstanding_max = 256});
    struct told_batch *batches = calloc(COUNT, sizeof(*batches));
    publish_many(writer, &told, batches, 0, COUNT, 32768);
    told_wait(&told, COUNT);
    seen_wait(&seen, 10, MRD_LOG_RESUMED, 1);
    assert_int_equal(seen.count, 10); /* it stands while everything is there */
    pthread_mutex_lock(&seen.lock);
    seen.hold_at = SIZE_MAX;
    pthread_cond_broadcast(&seen.changed);
    pthread_mutex_unlock(&seen.lock);
    seen_wait(&seen, COUNT, MRD_LOG_RESUMED, 1);
    assert_int_equal(seen.out_of_order, 0);
    assert_int_equal(seen.missing, 0);
    mrd_log_writer_destroy(&writer);
    mrd_log_reader_destroy(&reader);
    told_fini(&told);
    seen_fini(&seen);
    free(batches);
}

static void a_reader_starts_where_asked_and_reports_what_was_trimmed(void **state)
{
    struct world *world = *state;
    enum { COUNT = 100 };
    const struct mrd_log_config config = config_of(1, 64 << 20);
    assert_ok(log_ensure(world->publish, &config, ok_err));
    struct told told;
    told_init(&told, COUNT);
    struct told_batch batches[COUNT];
    struct mrd_log_writer *writer = writer_of(world->publish, (struct mrd_log_writer_options){0});
    publish_many(writer, &told, batches, 0, COUNT, 64);
    told_wait(&told, COUNT);
    struct seen seen;
    seen_init(&seen, COUNT);
    struct mrd_log_reader *reader = reader_of(world->consume, &seen, 91);
    seen_wait(&seen, 10, MRD_LOG_CAUGHT_UP, 1);
    assert_int_equal(seen.times[89], 0);
    assert_int_equal(seen.times[90], 1);
    assert_int_equal(seen.missing, 0);
    mrd_log_reader_destroy(&reader);
    seen_fini(&seen);

    trim_to(world->publish, 51);
    seen_init(&seen, COUNT);
    reader = reader_of(world->consume, &seen, 11);
    seen_wait(&seen, 50, MRD_LOG_CAUGHT_UP, 1);
    assert_int_equal(seen.missing, 40);
    mrd_log_reader_destroy(&reader);
    seen_fini(&seen);
    mrd_log_writer_destroy(&writer);
    told_fini(&told);
}

/* Of the first entry that a reader hands out. */
struct beginning {
    _Atomic uint64_t sequence; /* 0: there was none yet */
    bool erased_known;
    mrd_hlc erased;
};

static void on_first(void *context, struct mrd_log_entry *entry)
{
    struct beginning *beginning = context;
    if (atomic_load(&beginning->sequence) == 0) {
        beginning->erased_known = entry->erased_known;
        beginning->erased = entry->erased;
        atomic_store(&beginning->sequence, entry->sequence);
    }
    mrd_log_entry_fini(entry);
}

static struct beginning begin(struct world *world, uint64_t start, mrd_time_ms time_ms)
{
    struct beginning beginning = {0};
    const struct mrd_log_reader_options options = {.sequence_start = start,
                                                   .time_start_ms = time_ms,
                                                   .on_entry = on_first,
                                                   .context = &beginning};
    struct mrd_log_reader *reader = NULL;
    assert_ok(mrd_log_reader_create(world->consume, &options, &reader, ok_err));
    while (atomic_load(&beginning.sequence) == 0) {
        usleep(1000);
    }
    mrd_log_reader_destroy(&reader);
    return beginning;
}

static mrd_time_ms wait_early_in_a_second(mrd_time_ms from_ms, mrd_time_ms to_ms)
{
    mrd_time_ms now_ms;
    do {
        usleep(1000);
        now_ms = mrd_clock_now_ms(mrd_clock_system());
    } while (now_ms % 1000 < from_ms || now_ms % 1000 > to_ms);
    return now_ms;
}

static void expect_beginning(struct beginning beginning, uint64_t sequence, bool known,
                             mrd_hlc erased)
{
    assert_int_equal(beginning.sequence, sequence);
    assert_int_equal(beginning.erased_known, known);
    assert_int_equal(beginning.erased, erased);
}

static void who_begins_behind_what_was_trimmed_is_told_of_the_last_request_in_it(void **state)
{
    struct world *world = *state;
    enum { COUNT = 20, TRIES = 40 };
    const struct mrd_log_config config = config_of(1, 64 << 20);
    assert_ok(log_ensure(world->publish, &config, ok_err));
    struct told told;
    told_init(&told, COUNT + TRIES + 1);
    static struct told_batch batches[COUNT + TRIES + 1];
    struct mrd_log_writer *writer = writer_of(world->publish, (struct mrd_log_writer_options){0});
    publish_many(writer, &told, batches, 0, COUNT, 64);
    told_wait(&told, COUNT);
    expect_beginning(begin(world, 0, 0), 1, false, 0); /* nothing lies before it */
    trim_to(world->publish, 5);
    expect_beginning(begin(world, 0, 0), 5, true, 0);
    assert_ok(
        mrd_log_trim(world->publish, 0, log_of(world->publish).identity, 8, 700, 2000, ok_err));
    trim_to(world->publish, 10); /* without one: that there was one before is not forgotten */
    assert_ok(log_ensure(world->publish, &config, ok_err));
    expect_beginning(begin(world, 0, 0), 10, true, 700);
    expect_beginning(begin(world, 2, 0), 10, true, 700); /* 2 to 9 are missing */
    /* What is stored before a time is left out, in the same second too, of which that time is one of the first hundred milliseconds. */
    size_t count = COUNT;
    mrd_time_ms before_ms;
    mrd_time_ms now_ms;
    do {
        assert_true(count < COUNT + TRIES);
        before_ms = wait_early_in_a_second(1, 40);
        publish_many(writer, &told, batches, count, 1, 64);
        told_wait(&told, ++count);
        usleep(10 * 1000); /* the log's clock has milliseconds */
        now_ms = mrd_clock_now_ms(mrd_clock_system());
    } while (now_ms / 1000 != before_ms / 1000 || now_ms % 1000 >= 100);
    publish_many(writer, &told, batches, count, 1, 64);
    told_wait(&told, ++count);
    expect_beginning(begin(world, 0, now_ms), count, false, 0);
    mrd_log_writer_destroy(&writer);
    told_fini(&told);
}

static void a_reader_gets_messages_larger_than_its_request(void **state)
{
    struct world *world = *state;
    enum { COUNT = 5 };
    const struct mrd_log_config config = config_of(1, 64 << 20);
    assert_ok(log_ensure(world->publish, &config, ok_err));
    struct told told;
    told_init(&told, COUNT);
    struct told_batch batches[COUNT];
    struct mrd_log_writer *writer = writer_of(world->publish, (struct mrd_log_writer_options){0});
    publish_many(writer, &told, batches, 0, COUNT, 3 << 20);
    told_wait(&told, COUNT);
    struct seen seen;
    seen_init(&seen, COUNT);
    const struct mrd_log_reader_options options = {.partition = 0,
                                                   .request_bytes = 100000,
                                                   .on_entry = on_entry,
                                                   .on_event = on_event,
                                                   .context = &seen};
    struct mrd_log_reader *reader = NULL;
    assert_ok(mrd_log_reader_create(world->consume, &options, &reader, ok_err));
    seen_wait(&seen, COUNT, MRD_LOG_CAUGHT_UP, 1);
    mrd_log_reader_destroy(&reader);
    seen_fini(&seen);
    mrd_log_writer_destroy(&writer);
    told_fini(&told);
}

static void a_reader_from_a_time_with_nothing_behind_it_has_caught_up(void **state)
{
    struct world *world = *state;
    enum { COUNT = 5 };
    const struct mrd_log_config config = config_of(1, 64 << 20);
    assert_ok(log_ensure(world->publish, &config, ok_err));
    struct told told;
    told_init(&told, 2 * COUNT);
    struct told_batch batches[2 * COUNT];
    struct mrd_log_writer *writer = writer_of(world->publish, (struct mrd_log_writer_options){0});
    publish_many(writer, &told, batches, 0, COUNT, 100);
    told_wait(&told, COUNT);
    usleep(10 * 1000); /* the log's clock has milliseconds */
    struct seen seen;
    seen_init(&seen, 2 * COUNT);
    const struct mrd_log_reader_options options = {.partition = 0,
                                                   .time_start_ms =
                                                       mrd_clock_now_ms(mrd_clock_system()),
                                                   .on_entry = on_entry,
                                                   .on_event = on_event,
                                                   .context = &seen};
    struct mrd_log_reader *reader = NULL;
    assert_ok(mrd_log_reader_create(world->consume, &options, &reader, ok_err));
    seen_wait(&seen, 0, MRD_LOG_CAUGHT_UP, 1);
    publish_many(writer, &told, batches, COUNT, COUNT, 100);
    seen_wait(&seen, COUNT, MRD_LOG_CAUGHT_UP, 1);
    mrd_log_reader_destroy(&reader);
    seen_fini(&seen);
    mrd_log_writer_destroy(&writer);
    told_fini(&told);
}

int main(void)
{
#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        LOG_TEST(streams_are_made_once_and_differences_are_refused),
        LOG_TEST(an_age_limit_that_was_taken_away_stays_away),
        LOG_TEST(batches_are_acknowledged_with_their_sequence_and_read_in_order),
        LOG_TEST(the_same_id_is_stored_once),
        LOG_TEST(a_killed_server_neither_loses_nor_doubles_a_batch),
        LOG_TEST(a_server_away_for_five_seconds_loses_nothing),
        LOG_TEST(a_deadline_is_told_once_and_the_batch_is_sent_on),
        LOG_TEST(a_writer_that_goes_cancels_what_waits),
        LOG_TEST(a_full_log_says_so_and_takes_again_when_trimmed),
        LOG_TEST(what_can_never_be_stored_is_refused_at_once),
        LOG_TEST(a_slow_reader_gets_everything),
        LOG_TEST(a_reader_starts_where_asked_and_reports_what_was_trimmed),
        LOG_TEST(who_begins_behind_what_was_trimmed_is_told_of_the_last_request_in_it),
        LOG_TEST(a_reader_gets_messages_larger_than_its_request),
        LOG_TEST(a_reader_from_a_time_with_nothing_behind_it_has_caught_up),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    mrd_bus_library_close();
    return failed;
}
