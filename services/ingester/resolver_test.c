/* Conflicting writes in a real log, in orders that stamps contradict: every ingester's answer must be that of a map in
 * which the greatest (hlc, origin, value bits) wins. The seed is printed; MRD_TEST_SEED sets it. */
#include "ingester/resolver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "bus/log_admin.h"
#include "bus/log_writer.h"
#include "bus/nats_fixture.h"
#include "codec/columns.h"

enum {
    PARTITIONS = 3, /* of the same writes, each in an order of its own */
    SERIES = 4,
    ROWS = 12,
    RANDOM_TIMES = 60,
    TIMES = RANDOM_TIMES + ROWS,
    RANDOM_BATCHES = 120,
    BATCHES = RANDOM_BATCHES + 2,
    WAIT_MS = 60000,
    SETTLE_MS =
        240000, /* a scan rests ten times as long as it took, here some two seconds, more where others work, too */
};
static const int64_t MS = 1000000;

/* ---- the writes, and what they must come to ---- */

struct write {
    size_t series;
    size_t time;
    double value;
    mrd_time_ms start_ms;
};

struct batch {
    mrd_hlc hlc;
    const char *instance;
    struct write rows[ROWS];
};

struct cell {
    bool written;
    struct mrd_head_verdict last;
};

struct world {
    struct nats_fixture nats;
    struct mrd_bus *bus;
    struct mrd_log_writer *writer;
    struct mrd_batch_builder *builder;
    _Atomic size_t acknowledged;
    size_t published;
    uint64_t random;
    mrd_time_ms first_ms;
    struct batch batches[BATCHES];
    struct cell cells[SERIES][TIMES];
};

static uint64_t below(struct world *world, uint64_t bound)
{
    uint64_t z = (world->random += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return (z ^ (z >> 31)) % bound;
}

static struct mrd_batch_header header_of(const struct batch *batch)
{
    return (struct mrd_batch_header){
        .region = MRD_BYTES("test"),
        .residency_class = MRD_BYTES("de"),
        .instance = mrd_bytes_of(batch->instance),
        .epoch = mrd_batch_epoch_of(mrd_clock_now_ms(mrd_clock_system())),
        .hlc = batch->hlc,
    };
}

static void note_write(struct world *world, const struct batch *batch, const struct write *row)
{
    const struct mrd_batch_header header = header_of(batch);
    struct cell *cell = &world->cells[row->series][row->time];
    const struct mrd_head_verdict verdict = {batch->hlc, mrd_batch_origin(&header), row->value,
                                             row->start_ms};
    if (!cell->written || mrd_head_is_later(&verdict, &cell->last)) {
        *cell = (struct cell){true, verdict};
    }
}

/* Few stamps, so that some are equal, and few values, so that some writes repeat others. */
static void make_random_batch(struct world *world, mrd_hlc now, struct batch *batch)
{
    static const char *const instances[] = {"writer-a", "writer-b"};
    batch->hlc = now + below(world, RANDOM_BATCHES);
    batch->instance = instances[below(world, 2)];
    for (size_t r = 0; r < ROWS; r++) {
        struct write *row = &batch->rows[r];
        /* No sample twice in one batch: the rows of one batch take times of their own. */
        *row = (struct write){below(world, SERIES), below(world, RANDOM_TIMES / ROWS) * ROWS + r,
                              (double)below(world, 5), (mrd_time_ms)below(world, 3) * 1000};
        note_write(world, batch, row);
    }
}

/* One batch for each end of the log, whose stamps say the contrary: the head alone can not decide between them. */
static void make_contest(struct world *world, mrd_hlc hlc, double value, struct batch *batch)
{
    *batch = (struct batch){.hlc = hlc, .instance = "writer-a"};
    for (size_t r = 0; r < ROWS; r++) {
        batch->rows[r] = (struct write){r % SERIES, RANDOM_TIMES + r, value, 0};
        note_write(world, batch, &batch->rows[r]);
    }
}

static void make_batches(struct world *world)
{
    const mrd_hlc now = mrd_hlc_make(mrd_clock_now_ms(mrd_clock_system()), 0);
    make_contest(world, now + RANDOM_BATCHES, 1, &world->batches[0]);
    for (size_t i = 1; i <= RANDOM_BATCHES; i++) {
        make_random_batch(world, now, &world->batches[i]);
    }
    make_contest(world, now, 2, &world->batches[BATCHES - 1]);
}

/* ---- into the log ---- */

static void on_done(void *context, const struct mrd_log_ack *ack)
{
    struct world *world = context;
    atomic_fetch_add(&world->acknowledged, ack->status == MRD_OK ? 1 : 0);
}

static void series_labels(size_t series, struct mrd_buf *out)
{
    char number[32];
    snprintf(number, sizeof(number), "%zu", series);
    const struct mrd_label labels[] = {
        {MRD_BYTES("__name__"), MRD_BYTES("contested")},
        {MRD_BYTES("series"),   mrd_bytes_of(number)  }
    };
    mrd_buf_clear(out);
    mrd_labels_encode((struct mrd_labels){labels, 2}, out);
}

static void build(struct world *world, const struct batch *batch)
{
    mrd_batch_builder_reset(world->builder);
    const struct mrd_bytes tenant = MRD_BYTES("acme");
    const uint32_t index = mrd_batch_builder_tenant(world->builder, tenant);
    struct mrd_buf labels = {0};
    for (size_t i = 0; i < SERIES; i++) {
        series_labels(i, &labels);
        const struct mrd_bytes canonical = mrd_buf_view(&labels);
        mrd_batch_builder_announce(world->builder,
                                   &(struct mrd_batch_announcement){
                                       .reference = (uint32_t)i,
                                       .tenant = index,
                                       .id = mrd_series_id_of(mrd_tenant_seed(tenant), canonical),
                                       .labels = canonical});
    }
    for (size_t r = 0; r < ROWS; r++) {
        const struct write *row = &batch->rows[r];
        mrd_batch_builder_row(world->builder, index, (uint32_t)row->series,
                              world->first_ms + (mrd_time_ms)row->time * 1000, row->value);
        mrd_batch_builder_start_time(world->builder, row->start_ms);
    }
    mrd_buf_fini(&labels);
}

static void publish(struct world *world, const struct batch *batch, uint32_t partition,
                    uint64_t number)
{
    struct mrd_batch_header header = header_of(batch);
    header.partition = partition;
    header.number = number;
    build(world, batch);
    struct mrd_buf message = {0};
    mrd_batch_builder_finish(world->builder, &header, MRD_BATCH_NONE, &message);
    char id[MRD_BATCH_ID_MAX];
    const struct mrd_log_batch entry = {.partition = partition,
                                        .residency_class = "de",
                                        .id = mrd_batch_id(&header, id),
                                        .payload = mrd_buf_view(&message),
                                        .deadline_ns = mrd_clock_monotonic_ns(mrd_clock_system()) +
                                                       WAIT_MS * MS,
                                        .done = on_done,
                                        .context = world};
    while (mrd_log_writer_publish(world->writer, &entry, NULL) != MRD_OK) {
        usleep(1000);
    }
    world->published++;
    mrd_buf_fini(&message);
}

static void write_log(struct world *world, uint32_t partition)
{
    uint64_t numbers[2] = {0};
    for (size_t i = RANDOM_BATCHES; i > 1; i--) { /* Fisher and Yates; the ends stay */
        const size_t other = 1 + below(world, i);
        const struct batch swap = world->batches[i];
        world->batches[i] = world->batches[other];
        world->batches[other] = swap;
    }
    for (size_t i = 0; i < BATCHES; i++) {
        const struct batch *batch = &world->batches[i];
        const bool second = strcmp(batch->instance, "writer-b") == 0;
        publish(world, batch, partition, ++numbers[second]);
    }
    assert_int_equal(mrd_log_writer_drain(world->writer, WAIT_MS, NULL), MRD_OK);
    assert_int_equal(atomic_load(&world->acknowledged), world->published);
}

/* ---- out of the heads ---- */

struct read_ask {
    struct ing_ask ask; /* first */
    struct mrd_head_selection *selection;
};

static enum mrd_status read_run(struct ing_ask *base, struct mrd_head *head, struct mrd_error *err)
{
    struct read_ask *ask = (struct read_ask *)base;
    const struct mrd_head_query query = {
        .tenant = MRD_BYTES("acme"), .time_min_ms = INT64_MIN, .time_max_ms = INT64_MAX};
    struct mrd_head_cursor *cursor = NULL;
    MRD_TRY(mrd_head_select(head, &query, &cursor, err));
    const enum mrd_status status = mrd_head_cursor_next(cursor, SIZE_MAX, &ask->selection, err);
    mrd_head_cursor_destroy(&cursor);
    return status;
}

static size_t series_of(struct mrd_bytes labels)
{
    struct mrd_buf text = {0};
    size_t series = 0;
    while (series_labels(series, &text), !mrd_bytes_equal(labels, mrd_buf_view(&text))) {
        assert_true(++series < SERIES);
    }
    mrd_buf_fini(&text);
    return series;
}

static void compare_series(struct world *world, uint32_t partition, const struct mrd_frame *frame)
{
    struct mrd_columns columns = {0};
    struct mrd_frame chunks = *frame;
    struct mrd_samples got = {0};
    mrd_columns_begin(&columns);
    assert_int_equal(mrd_columns_add(&columns, &chunks, SIZE_MAX, NULL), MRD_OK);
    struct mrd_histograms histograms;
    assert_int_equal(mrd_columns_finish(&columns, INT64_MIN, INT64_MAX, &got, &histograms, NULL),
                     MRD_OK);
    const size_t series = series_of(frame->labels);
    size_t at = 0;
    for (size_t time = 0; time < TIMES; time++) {
        const struct cell *cell = &world->cells[series][time];
        if (!cell->written) {
            continue;
        }
        assert_true(at < got.count);
        assert_int_equal(got.times_ms[at], world->first_ms + (mrd_time_ms)time * 1000);
        const mrd_time_ms start_ms = got.start_times_ms == NULL ? 0 : got.start_times_ms[at];
        if (got.values[at] != cell->last.value || start_ms != cell->last.start_ms) {
            fail_msg("partition %u, series %zu, time %zu: %g, the last write was %g", partition,
                     series, time, got.values[at], cell->last.value);
        }
        at++;
    }
    assert_int_equal(at, got.count);
    mrd_columns_fini(&columns);
}

static void compare_partition(struct world *world, struct ing_owner *owner, uint32_t number)
{
    struct ing_partition *partition = NULL;
    assert_int_equal(ing_owner_borrow(owner, number, &partition, NULL), MRD_OK);
    struct read_ask ask = {.ask = {.run = read_run}};
    assert_int_equal(ing_partition_ask(partition, &ask.ask, NULL), MRD_OK);
    ing_owner_give_back(owner, &partition);
    assert_int_equal(ask.selection->series_count, SERIES);
    struct mrd_reader reader = mrd_reader_of(mrd_buf_view(&ask.selection->frames));
    while (mrd_reader_left(&reader) > 0) {
        struct mrd_frame frame;
        assert_int_equal(mrd_frame_read(&reader, &frame, NULL), MRD_OK);
        compare_series(world, number, &frame);
    }
    mrd_head_selection_destroy(&ask.selection);
}

struct count_ask {
    struct ing_ask ask; /* first */
    size_t unsettled;
};

static enum mrd_status count_run(struct ing_ask *base, struct mrd_head *head, struct mrd_error *err)
{
    (void)err;
    ((struct count_ask *)base)->unsettled = mrd_head_contested_count(head);
    return MRD_OK;
}

static bool is_settled(struct ing_owner *owner, uint32_t number)
{
    struct ing_partition *partition = NULL;
    if (ing_owner_borrow(owner, number, &partition, NULL) != MRD_OK) {
        return false; /* still loading */
    }
    const struct ing_store_figures *figures = ing_partition_figures(partition);
    struct count_ask ask = {.ask = {.run = count_run}};
    const bool settled =
        atomic_load(&figures->batches) == BATCHES && atomic_load(&figures->contested_settled) > 0 &&
        ing_partition_ask(partition, &ask.ask, NULL) == MRD_OK && ask.unsettled == 0;
    ing_owner_give_back(owner, &partition);
    return settled;
}

static void await_settled(struct ing_owner *owner, uint32_t number)
{
    for (int i = 0; i < SETTLE_MS && !is_settled(owner, number); i++) {
        usleep(1000);
    }
    assert_true(is_settled(owner, number));
}

static void check_heads(struct world *world)
{
    static struct ing_budget budget;
    struct mrd_bus *log_bus = nats_fixture_connect(&world->nats);
    struct mrd_bus *members_bus = nats_fixture_connect(&world->nats);
    struct mrd_metrics *metrics = mrd_metrics_create();
    const struct mrd_member self = {.kind = MRD_MEMBER_INGESTER, .zone = "z", .instance = "one"};
    const struct ing_owner_options options = {
        .log_bus = log_bus,
        .members_bus = members_bus,
        .self = &self,
        .partition_count = PARTITIONS,
        .replicas = 1,
        .store = {.bucket_ms = 2 * 3600 * 1000, .budget = &budget},
        .clock = mrd_clock_system(),
        .metrics = metrics,
    };
    struct ing_owner *owner = NULL;
    assert_int_equal(ing_owner_create(&options, &owner, NULL), MRD_OK);
    struct ing_resolver *resolver = ing_resolver_create(&(struct ing_resolver_options){
        .log_bus = log_bus, .owner = owner, .partition_count = PARTITIONS, .metrics = metrics});
    for (uint32_t partition = 0; partition < PARTITIONS; partition++) {
        await_settled(owner, partition);
        compare_partition(world, owner, partition);
    }
    ing_resolver_destroy(&resolver);
    ing_owner_destroy(&owner);
    mrd_metrics_destroy(&metrics);
    mrd_bus_close(&members_bus);
    mrd_bus_close(&log_bus);
}

/* ---- the tests ---- */

static uint64_t seed_of_run(void)
{
    const char *text = getenv("MRD_TEST_SEED");
    const uint64_t seed = text == NULL ? (uint64_t)time(NULL) : strtoull(text, NULL, 10);
    print_message("MRD_TEST_SEED=%lu\n", (unsigned long)seed);
    return seed;
}

static void run_world(mrd_time_ms first_ms)
{
    static struct world world; /* a failed assertion leaves threads running */
    world = (struct world){.random = seed_of_run(), .first_ms = first_ms};
    nats_fixture_start(&world.nats);
    world.bus = nats_fixture_connect(&world.nats);
    const struct mrd_log_config log = {
        .region = "test", .partition_count = PARTITIONS, .replicas = 1, .bytes_max = 256 << 20};
    while (mrd_log_ensure(world.bus, &log, 2000, NULL) == MRD_E_UNAVAILABLE) {}
    const struct mrd_log_writer_options writer = {.partition_count = PARTITIONS};
    assert_int_equal(mrd_log_writer_create(world.bus, &writer, &world.writer, NULL), MRD_OK);
    world.builder = mrd_batch_builder_create();
    make_batches(&world);
    for (uint32_t partition = 0; partition < PARTITIONS; partition++) {
        write_log(&world, partition);
    }
    check_heads(&world);
    mrd_batch_builder_destroy(&world.builder);
    mrd_log_writer_destroy(&world.writer);
    mrd_bus_close(&world.bus);
    nats_fixture_stop(&world.nats);
}

static void whatever_the_order_of_the_log_the_last_writer_wins(void **state)
{
    (void)state;
    run_world(mrd_clock_now_ms(mrd_clock_system()) - 600 * 1000);
}

/* Written long before their time: where the search would begin there is nothing, so it starts over. */
static void samples_far_in_the_future_are_settled_too(void **state)
{
    (void)state;
    run_world(mrd_clock_now_ms(mrd_clock_system()) + INT64_C(5) * 3600 * 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_the_order_of_the_log_the_last_writer_wins),
        cmocka_unit_test(samples_far_in_the_future_are_settled_too),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    mrd_bus_library_close();
    return failed;
}
