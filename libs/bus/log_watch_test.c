/* A stream that is deleted and made anew while its clients stay connected. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

#include <cmocka.h>

#include "bus/connection_internal.h"
#include "bus/log_admin.h"
#include "bus/log_names.h"
#include "bus/log_watch.h"
#include "bus/log_writer.h"
#include "bus/nats_fixture.h"

enum { PARTITIONS = 2, PAUSE_US = 20000 };

struct world {
    struct nats_fixture nats;
    struct mrd_bus *bus;
    struct mrd_log_writer *writer;
    _Atomic unsigned others[PARTITIONS];
};

static void must(enum mrd_status status, const struct mrd_error *err)
{
    if (status != MRD_OK) {
        fail_msg("%s: %s", mrd_status_name(status), err->text);
    }
}

static void ensure(struct world *world)
{
    const struct mrd_log_config config = {
        .region = "r", .partition_count = PARTITIONS, .replicas = 1, .bytes_max = 64 << 20};
    struct mrd_error err = {0};
    must(mrd_log_ensure(world->bus, &config, 5000, &err), &err);
}

static void delete_log(struct world *world, uint32_t partition)
{
    char name[MRD_LOG_NAME_MAX];
    struct mrd_error err = {0};
    jsCtx *js = NULL;
    must(mrd_bus_jetstream(world->bus, 5000, &js, &err), &err);
    assert_int_equal(js_DeleteStream(js, mrd_log_stream_name(partition, name), NULL, NULL),
                     NATS_OK);
    jsCtx_Destroy(js);
}

static void on_another(void *context, uint32_t partition)
{
    struct world *world = context;
    mrd_log_writer_renew(world->writer);
    atomic_fetch_add(&world->others[partition], 1);
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    const struct mrd_log_writer_options writer = {.partition_count = PARTITIONS};
    struct mrd_error err = {0};
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

static void a_log_that_is_made_anew_under_a_connection_is_noticed(void **state)
{
    struct world *world = *state;
    const struct mrd_log_watch_options options = {.partition_count = PARTITIONS,
                                                  .interval_ms = 20,
                                                  .on_another = on_another,
                                                  .context = world};
    struct mrd_log_watch *watch = NULL;
    struct mrd_error err = {0};
    must(mrd_log_watch_create(world->bus, &options, &watch, &err), &err);
    /* Whether it has been looked at yet cannot be seen from here: then it is made anew once more. */
    for (int i = 0; i < 500 && atomic_load(&world->others[1]) == 0; i++) {
        if (i % 50 == 0) {
            delete_log(world, 1);
            usleep(PAUSE_US); /* the watch meets a log that is not there */
            ensure(world);
        }
        usleep(PAUSE_US);
    }
    mrd_log_watch_destroy(&watch);
    assert_true(atomic_load(&world->others[1]) >= 1);
    assert_int_equal(atomic_load(&world->others[0]), 0);
    assert_int_equal(mrd_bus_generation(world->bus), 1); /* nobody lost a connection */
    assert_int_equal(mrd_log_writer_generation(world->writer), 1 + atomic_load(&world->others[1]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_log_that_is_made_anew_under_a_connection_is_noticed,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
