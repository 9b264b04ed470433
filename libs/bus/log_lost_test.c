/* A log that is lost and made anew, or restored from a copy, under those who read it. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

#include "bus/log_admin.h"
#include "bus/log_reader.h"
#include "bus/log_writer.h"
#include "bus/nats_fixture.h"

enum { WAIT_MS = 60000, SEEN_MAX = 256 };
static const int64_t MS = 1000000;

static void must(enum mrd_status status, const struct mrd_error *err)
{
    if (status != MRD_OK) {
        fail_msg("%s: %s", mrd_status_name(status), err->text);
    }
}

/* ---- the log ---- */

struct world {
    struct nats_fixture nats;
    struct mrd_bus *bus;
    struct mrd_log_writer *writer;
    size_t published;
};

static void ensure(struct world *world)
{
    const struct mrd_log_config config = {
        .region = "r", .partition_count = 1, .replicas = 1, .bytes_max = 64 << 20};
    struct mrd_error err = {0};
    enum mrd_status status = MRD_E_UNAVAILABLE;
    for (int i = 0; i < 200 && status == MRD_E_UNAVAILABLE; i++) {
        usleep(i == 0 ? 0 : 50000);
        status = mrd_log_ensure(world->bus, &config, 2000, &err);
    }
    must(status, &err);
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    struct mrd_error err = {0};
    const struct mrd_log_writer_options writer = {.partition_count = 1};
    nats_fixture_start(&world->nats);
    world->bus = nats_fixture_connect(&world->nats);
    ensure(world);
    must(mrd_log_writer_create(world->bus, &writer, &world->writer, &err), &err);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    mrd_log_writer_destroy(&world->writer);
    mrd_bus_close(&world->bus);
    nats_fixture_stop(&world->nats);
    free(world);
    return 0;
}

static void on_done(void *context, const struct mrd_log_ack *ack)
{
    (void)context;
    (void)ack;
}

static void publish(struct world *world, size_t count)
{
    struct mrd_error err = {0};
    for (size_t i = 0; i < count; i++) {
        char id[32];
        (void)snprintf(id, sizeof(id), "w-1-%zu", ++world->published);
        const struct mrd_log_batch batch = {
            .partition = 0,
            .residency_class = "eu",
            .id = id,
            .payload = mrd_bytes_of(id),
            .deadline_ns = mrd_clock_monotonic_ns(mrd_clock_system()) + WAIT_MS * MS,
            .done = on_done,
        };
        enum mrd_status status = MRD_E_UNAVAILABLE;
        for (int tries = 0; tries < WAIT_MS / 10 && status == MRD_E_UNAVAILABLE; tries++) {
            usleep(tries == 0 ? 0 : 10000);
            status = mrd_log_writer_publish(world->writer, &batch, &err);
        }
        must(status, &err);
    }
    must(mrd_log_writer_drain(world->writer, WAIT_MS, &err), &err);
}

static struct mrd_log_state log_of(struct world *world)
{
    struct mrd_log_state log;
    struct mrd_error err = {0};
    enum mrd_status status = MRD_E_UNAVAILABLE;
    for (int i = 0; i < 200 && status == MRD_E_UNAVAILABLE; i++) {
        usleep(i == 0 ? 0 : 50000);
        status = mrd_log_state_read(world->bus, 0, 2000, &log, &err);
    }
    must(status, &err);
    return log;
}

static struct mrd_log_identity adopt(struct world *world, uint64_t from, uint64_t sequence)
{
    struct mrd_error err = {0};
    struct mrd_log_identity out;
    const struct mrd_log_adoption adoption = {log_of(world).identity, from, sequence};
    must(mrd_log_adopt(world->bus, 0, &adoption, WAIT_MS, &out, &err), &err);
    return out;
}

/* ---- a reader ---- */

struct seen {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct {
        uint64_t sequence;
        uint64_t missing;
        struct mrd_log_identity log;
        char payload[32];
    } entries[SEEN_MAX];
    size_t count;
    size_t hold_at; /* its thread stands still behind that entry, while it is not 0 */
    size_t rewound;
    uint64_t passed;
    struct mrd_log_identity passed_log;
};

static void on_entry(void *context, struct mrd_log_entry *entry)
{
    struct seen *seen = context;
    pthread_mutex_lock(&seen->lock);
    mrd_assert(seen->count < SEEN_MAX);
    seen->entries[seen->count].sequence = entry->sequence;
    seen->entries[seen->count].missing = entry->missing_before;
    seen->entries[seen->count].log = entry->log;
    (void)snprintf(seen->entries[seen->count].payload, 32, "%.*s", MRD_FMT(entry->payload));
    seen->count++;
    pthread_cond_broadcast(&seen->changed);
    while (seen->hold_at > 0 && seen->count >= seen->hold_at) {
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
    seen->rewound += event == MRD_LOG_REWOUND ? 1 : 0;
    pthread_cond_broadcast(&seen->changed);
    pthread_mutex_unlock(&seen->lock);
}

static void on_passed(void *context, struct mrd_log_identity log, uint64_t sequence)
{
    struct seen *seen = context;
    pthread_mutex_lock(&seen->lock);
    seen->passed = sequence;
    seen->passed_log = log;
    pthread_cond_broadcast(&seen->changed);
    pthread_mutex_unlock(&seen->lock);
}

static void hold(struct seen *seen, size_t at)
{
    pthread_mutex_lock(&seen->lock);
    seen->hold_at = at;
    pthread_cond_broadcast(&seen->changed);
    pthread_mutex_unlock(&seen->lock);
}

static struct mrd_log_reader *read_from(struct world *world, uint64_t start, struct seen *seen)
{
    struct mrd_error err = {0};
    struct mrd_log_reader *reader = NULL;
    *seen = (struct seen){0};
    pthread_mutex_init(&seen->lock, NULL);
    pthread_cond_init(&seen->changed, NULL);
    const struct mrd_log_reader_options options = {.sequence_start = start,
                                                   .on_entry = on_entry,
                                                   .on_event = on_event,
                                                   .on_passed = on_passed,
                                                   .context = seen};
    must(mrd_log_reader_create(world->bus, &options, &reader, &err), &err);
    return reader;
}

static void end_reading(struct mrd_log_reader **reader, struct seen *seen)
{
    mrd_log_reader_destroy(reader);
    pthread_cond_destroy(&seen->changed);
    pthread_mutex_destroy(&seen->lock);
}

static void await(struct seen *seen, size_t count, size_t rewound, uint64_t passed)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_MS / 1000;
    int waited = 0;
    pthread_mutex_lock(&seen->lock);
    while ((seen->count < count || seen->rewound < rewound || seen->passed < passed) &&
           waited == 0) {
        waited = pthread_cond_timedwait(&seen->changed, &seen->lock, &until);
    }
    if (waited != 0) {
        fail_msg("%zu of %zu entries, rewound %zu times, passed %lu of %lu", seen->count, count,
                 seen->rewound, (unsigned long)seen->passed, (unsigned long)passed);
    }
    pthread_mutex_unlock(&seen->lock);
}

static void expect(const struct seen *seen, size_t index, uint64_t sequence, const char *payload,
                   struct mrd_log_identity log)
{
    assert_int_equal(seen->entries[index].sequence, sequence);
    assert_string_equal(seen->entries[index].payload, payload);
    assert_true(mrd_log_identity_equal(seen->entries[index].log, log));
}

/* ---- tests ---- */

static void a_log_that_was_made_anew_is_another_and_is_read_from_its_beginning(void **state)
{
    struct world *world = *state;
    struct seen seen;
    publish(world, 5);
    const struct mrd_log_identity before = log_of(world).identity;
    struct mrd_log_reader *reader = read_from(world, 1, &seen);
    await(&seen, 5, 0, 0);
    nats_fixture_lose(&world->nats);
    ensure(world);
    const struct mrd_log_identity after = log_of(world).identity;
    assert_false(mrd_log_identity_equal(before, after));
    publish(world, 7); /* more than there was: its numbers alone would not show it */
    await(&seen, 12, 1, 0);
    expect(&seen, 4, 5, "w-1-5", before);
    expect(&seen, 5, 1, "w-1-6", after);
    expect(&seen, 11, 7, "w-1-12", after);
    end_reading(&reader, &seen);
}

static void an_adopted_log_goes_on_where_the_one_before_ended(void **state)
{
    struct world *world = *state;
    struct seen seen;
    publish(world, 5);
    struct mrd_log_reader *reader = read_from(world, 1, &seen);
    await(&seen, 5, 0, 0);
    nats_fixture_lose(&world->nats);
    ensure(world);
    publish(world, 2);
    await(&seen, 7, 1, 0); /* positions 1 and 2 */
    const struct mrd_log_identity adopted = adopt(world, 1, 11);
    const struct mrd_log_state log = log_of(world);
    assert_true(mrd_log_identity_equal(log.identity, adopted));
    assert_int_equal(log.sequence_first, 11);
    assert_int_equal(log.sequence_last, 12);
    await(&seen, 9, 1, 0); /* both of them again, behind all that was */
    publish(world, 1);
    await(&seen, 10, 1, 0);
    expect(&seen, 7, 11, "w-1-6", adopted);
    expect(&seen, 8, 12, "w-1-7", adopted);
    expect(&seen, 9, 13, "w-1-8", adopted);
    assert_int_equal(seen.entries[8].missing, 0);
    end_reading(&reader, &seen);

    reader = read_from(world, 12, &seen); /* positions are what others say too */
    await(&seen, 2, 0, 0);
    expect(&seen, 0, 12, "w-1-7", adopted);
    end_reading(&reader, &seen);
    struct mrd_error err = {0};
    mrd_time_ms stored_ms;
    uint64_t last;
    must(mrd_log_stored_read(world->bus, 0, 12, WAIT_MS, &stored_ms, &err), &err);
    assert_int_equal(mrd_log_stored_read(world->bus, 0, 5, WAIT_MS, &stored_ms, &err),
                     MRD_E_NOT_FOUND);
    must(mrd_log_class_last(world->bus, 0, "eu", WAIT_MS, &last, &err), &err);
    assert_int_equal(last, 13);
    must(mrd_log_trim(world->bus, 0, adopted, 13, 0, WAIT_MS, &err), &err);
    assert_int_equal(log_of(world).stream_first, 3);
}

/* Nothing comes of it, so what it has passed over is all that shows. */
static void an_adopted_log_that_is_empty_is_passed_over(void **state)
{
    struct world *world = *state;
    struct seen seen;
    publish(world, 5);
    struct mrd_log_reader *reader = read_from(world, 1, &seen);
    await(&seen, 5, 0, 0);
    nats_fixture_lose(&world->nats);
    ensure(world);
    const struct mrd_log_identity adopted = adopt(world, 1, 101);
    assert_int_equal(log_of(world).sequence_last, 100);
    await(&seen, 5, 0, 100);
    assert_true(mrd_log_identity_equal(seen.passed_log, adopted));
    publish(world, 1);
    await(&seen, 6, 0, 0);
    expect(&seen, 5, 101, "w-1-6", adopted);
    /* It may have seen the log before it was adopted. */
    assert_true(seen.entries[5].missing == 95 || seen.entries[5].missing == 100);
    end_reading(&reader, &seen);
}

/* The copy has 3 of 6 messages. More is written than was lost, before the reader looks again. */
static void a_restored_log_is_noticed_though_it_has_grown_past_what_was_read(void **state)
{
    struct world *world = *state;
    struct seen seen;
    struct mrd_error err = {0};
    struct mrd_error why = {0};
    bool has;
    publish(world, 3);
    nats_fixture_back_up(&world->nats);
    (void)log_of(world);
    publish(world, 2);
    struct mrd_log_mark mark = {.sequence = 5};
    must(mrd_log_stored_read(world->bus, 0, 5, WAIT_MS, &mark.stored_ms, &err), &err);
    struct mrd_log_state log = log_of(world);
    const struct mrd_log_identity before = log.identity;
    must(mrd_log_has_mark(world->bus, 0, &log, mark, WAIT_MS, &has, &why, &err), &err);
    assert_true(has);

    struct mrd_log_reader *reader = read_from(world, 4, &seen);
    await(&seen, 2, 0, 0);
    hold(&seen, 3);
    publish(world, 1);
    await(&seen, 3, 0, 0);
    nats_fixture_restore(&world->nats);
    log = log_of(world);
    assert_true(mrd_log_identity_equal(before, log.identity)); /* it says that it is the same */
    must(mrd_log_has_mark(world->bus, 0, &log, mark, WAIT_MS, &has, &why, &err), &err);
    assert_false(has); /* it ends before */
    publish(world, 4);
    log = log_of(world);
    assert_int_equal(log.sequence_last, 7);
    must(mrd_log_has_mark(world->bus, 0, &log, mark, WAIT_MS, &has, &why, &err), &err);
    assert_false(has); /* and has another there now */
    hold(&seen, 0);
    await(&seen, 10, 1, 0);

    /* What came since goes behind all that was; what the copy had stays where it was. */
    uint64_t first_new;
    must(mrd_log_stored_after(world->bus, 0, &log, mark.stored_ms, WAIT_MS, &first_new, &err),
         &err);
    assert_int_equal(first_new, 4);
    const struct mrd_log_identity adopted = adopt(world, first_new, 8);
    log = log_of(world);
    assert_int_equal(log.sequence_first, 1);
    assert_int_equal(log.sequence_last, 11);
    must(mrd_log_has_mark(world->bus, 0, &log, mark, WAIT_MS, &has, &why, &err), &err);
    assert_true(has); /* nothing stands there any more */
    await(&seen, 14, 1, 0);
    expect(&seen, 10, 8, "w-1-7", adopted);
    end_reading(&reader, &seen);
    reader = read_from(world, 1, &seen);
    await(&seen, 7, 0, 0);
    expect(&seen, 2, 3, "w-1-3", adopted);
    expect(&seen, 3, 8, "w-1-7", adopted);
    assert_int_equal(seen.entries[3].missing, 4);
    end_reading(&reader, &seen);
}

static void what_is_meant_for_one_log_is_not_done_to_another(void **state)
{
    struct world *world = *state;
    struct mrd_error err = {0};
    struct mrd_log_identity out;
    publish(world, 5);
    const struct mrd_log_identity before = log_of(world).identity;
    const struct mrd_log_adoption stale = {before, 1, 11};
    const struct mrd_log_adoption backwards = {.stream_from = 1, .sequence = 1};
    nats_fixture_lose(&world->nats);
    ensure(world);
    publish(world, 5);
    assert_int_equal(mrd_log_trim(world->bus, 0, before, 4, 0, WAIT_MS, &err), MRD_E_CONFLICT);
    assert_int_equal(log_of(world).sequence_first, 1);
    assert_int_equal(mrd_log_adopt(world->bus, 0, &stale, WAIT_MS, &out, &err), MRD_E_CONFLICT);
    struct mrd_log_adoption none = backwards;
    none.log = log_of(world).identity;
    assert_int_equal(mrd_log_adopt(world->bus, 0, &none, WAIT_MS, &out, &err), MRD_E_INVALID);
    (void)adopt(world, 1, 11);
    ensure(world); /* brings limits to what is configured, and leaves positions alone */
    assert_int_equal(log_of(world).sequence_last, 15);
}

int main(void)
{
#define LOST_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        LOST_TEST(a_log_that_was_made_anew_is_another_and_is_read_from_its_beginning),
        LOST_TEST(an_adopted_log_goes_on_where_the_one_before_ended),
        LOST_TEST(an_adopted_log_that_is_empty_is_passed_over),
        LOST_TEST(a_restored_log_is_noticed_though_it_has_grown_past_what_was_read),
        LOST_TEST(what_is_meant_for_one_log_is_not_done_to_another),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    mrd_bus_library_close();
    return failed;
}
