/* Questions that wait for their turn in a partition's shard, which another one does not give up. */
#include "ingester/partition.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/threads.h"
#include "bus/nats_fixture.h"

struct world {
    struct nats_fixture nats;
    struct mrd_bus *bus;
    struct ing_budget budget;
    struct ing_partition *partition;
};

static void world_start(struct world *world)
{
    struct mrd_error err = {0};
    nats_fixture_start(&world->nats);
    world->bus = nats_fixture_connect(&world->nats);
    const struct mrd_log_config config = {
        .region = "test", .partition_count = 1, .replicas = 1, .bytes_max = 16 << 20};
    enum mrd_status status;
    do { /* a server right behind its start may refuse for a moment */
        status = mrd_log_ensure(world->bus, &config, 2000, &err);
    } while (status == MRD_E_UNAVAILABLE);
    assert_int_equal(status, MRD_OK);
    const struct ing_partition_options options = {
        .bus = world->bus, .store = {.budget = &world->budget}, .clock = mrd_clock_system()};
    assert_int_equal(ing_partition_create(&options, &world->partition, &err), MRD_OK);
}

static void world_stop(struct world *world)
{
    ing_partition_destroy(&world->partition);
    mrd_bus_close(&world->bus);
    nats_fixture_stop(&world->nats);
}

/* ---- who holds the shard ---- */

struct holder {
    struct ing_ask ask; /* first */
    struct world *world;
    pthread_t thread;
    _Atomic bool holds;
    _Atomic bool open;
};

static enum mrd_status hold_run(struct ing_ask *base, struct mrd_head *head, struct mrd_error *err)
{
    (void)head;
    (void)err;
    struct holder *holder = (struct holder *)base;
    atomic_store(&holder->holds, true);
    while (!atomic_load(&holder->open)) {
        usleep(1000);
    }
    return MRD_OK;
}

static void *holder_main(void *context)
{
    struct holder *holder = context;
    return (void *)(intptr_t)ing_partition_ask(holder->world->partition, &holder->ask, NULL);
}

static void hold(struct holder *holder, struct world *world)
{
    *holder = (struct holder){.ask = {.run = hold_run}, .world = world};
    assert_int_equal(pthread_create(&holder->thread, NULL, holder_main, holder), 0);
    while (!atomic_load(&holder->holds)) {
        usleep(1000);
    }
}

static void let_go(struct holder *holder)
{
    void *status;
    atomic_store(&holder->open, true);
    assert_int_equal(pthread_join(holder->thread, &status), 0);
    assert_int_equal((intptr_t)status, MRD_OK);
}

/* ---- who asks ---- */

struct asker {
    struct ing_ask ask; /* first */
    int looks;
    int last; /* the look that ends it; 0: none */
    int runs;
};

static enum mrd_status look(void *context, struct mrd_error *err)
{
    struct asker *asker = context;
    return ++asker->looks == asker->last ? mrd_fail(err, MRD_E_CANCELED, "the client has gone")
                                         : MRD_OK;
}

static enum mrd_status count_run(struct ing_ask *base, struct mrd_head *head, struct mrd_error *err)
{
    (void)head;
    (void)err;
    ((struct asker *)base)->runs++;
    return MRD_OK;
}

static struct asker *asker_of(struct asker *asker, int last, bool reads)
{
    *asker = (struct asker){
        .ask = {.run = count_run, .look = {look, asker}, .reads = reads},
          .last = last
    };
    return asker;
}

static void whoever_is_not_waited_for_leaves_the_queue(void **state)
{
    (void)state;
    struct world world = {0};
    world_start(&world);
    struct holder holder;
    struct mrd_error err = {0};
    hold(&holder, &world);
    for (int i = 0; i < 4; i++) { /* urgent ones, and those that are not */
        struct asker *asker = asker_of(malloc(sizeof(*asker)), 3, i % 2 == 0);
        assert_int_equal(ing_partition_ask(world.partition, &asker->ask, &err), MRD_E_CANCELED);
        assert_string_equal(err.text, "the client has gone");
        assert_int_equal(asker->looks, 3);
        assert_int_equal(asker->runs, 0);
        free(asker); /* the shard does not look at it any more */
    }
    let_go(&holder);
    struct asker asker;
    asker_of(&asker, 0, true);
    assert_int_equal(ing_partition_ask(world.partition, &asker.ask, &err), MRD_OK);
    assert_int_equal(asker.runs, 1);
    world_stop(&world);
}

/* Notes when it had its turn. */
struct turn {
    struct ing_ask ask; /* first */
    struct world *world;
    bool background;
    _Atomic bool waits;
    _Atomic int *turns;
    int at;
    pthread_t thread;
};

static enum mrd_status turn_run(struct ing_ask *base, struct mrd_head *head, struct mrd_error *err)
{
    (void)head;
    (void)err;
    struct turn *turn = (struct turn *)base;
    turn->at = ++*turn->turns;
    return MRD_OK;
}

static enum mrd_status turn_look(void *context, struct mrd_error *err)
{
    (void)err;
    atomic_store(&((struct turn *)context)->waits, true);
    return MRD_OK;
}

static void *turn_main(void *context)
{
    struct turn *turn = context;
    if (turn->background) {
        mrd_thread_background_enter();
    }
    return (void *)(intptr_t)ing_partition_ask(turn->world->partition, &turn->ask, NULL);
}

/* Reads of the background, others that are not, and urgent ones: they wait in this order, and have their turns the other way round. */
static void who_reads_in_the_background_waits_for_all_others(void **state)
{
    (void)state;
    struct world world = {0};
    world_start(&world);
    struct holder holder;
    _Atomic int turns = 0;
    struct turn asks[3];
    hold(&holder, &world);
    for (int i = 0; i < 3; i++) {
        asks[i] = (struct turn){
            .ask = {.run = turn_run, .look = {turn_look, &asks[i]}, .reads = i != 1},
            .world = &world,
            .background = i == 0,
            .turns = &turns,
        };
        assert_int_equal(pthread_create(&asks[i].thread, NULL, turn_main, &asks[i]), 0);
        while (!atomic_load(&asks[i].waits)) {
            usleep(1000);
        }
    }
    let_go(&holder);
    for (int i = 0; i < 3; i++) {
        void *status;
        assert_int_equal(pthread_join(asks[i].thread, &status), 0);
        assert_int_equal((intptr_t)status, MRD_OK);
        assert_int_equal(asks[i].at, 3 - i);
    }
    world_stop(&world);
}

struct opener {
    struct ing_ask ask; /* first */
    struct mrd_head_cursor *cursor;
};

static enum mrd_status open_run(struct ing_ask *base, struct mrd_head *head, struct mrd_error *err)
{
    const struct mrd_head_query query = {.tenant = MRD_BYTES("t")};
    return mrd_head_select(head, &query, &((struct opener *)base)->cursor, err);
}

/* Who has gone leaves no cursor open, and does not wait for its end; the head asserts that there is none when it goes. */
static void a_cursor_is_closed_for_whoever_goes(void **state)
{
    (void)state;
    struct world world = {0};
    world_start(&world);
    struct opener opener = {.ask = {.run = open_run}};
    assert_int_equal(ing_partition_ask(world.partition, &opener.ask, NULL), MRD_OK);
    assert_non_null(opener.cursor);
    struct holder holder;
    hold(&holder, &world);
    ing_partition_cursor_close(world.partition, &opener.cursor); /* that it returns is the proof */
    assert_null(opener.cursor);
    let_go(&holder);
    assert_int_equal(ing_partition_ask(world.partition, &opener.ask, NULL), MRD_OK);
    ing_partition_cursor_close(world.partition, &opener.cursor);
    world_stop(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whoever_is_not_waited_for_leaves_the_queue),
        cmocka_unit_test(who_reads_in_the_background_waits_for_all_others),
        cmocka_unit_test(a_cursor_is_closed_for_whoever_goes),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    mrd_bus_library_close();
    return failed;
}
