/* Notices over a real nats-server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bus/nats_fixture.h"
#include "bus/notice.h"

static const int64_t SECOND = 1000000000;

struct listener {
    struct mrd_notice_listener *listener;
    struct mrd_members *members;
    _Atomic size_t heard;
    _Atomic bool refuses;
};

struct world {
    struct nats_fixture nats;
    struct mrd_bus *bus;
    struct mrd_members *members; /* of who tells */
};

static enum mrd_status on_notice(void *context, struct mrd_bytes notice, struct mrd_error *err)
{
    struct listener *listener = context;
    if (atomic_load(&listener->refuses) || !mrd_bytes_equal(notice, MRD_BYTES("hear"))) {
        return mrd_fail(err, MRD_E_INVALID, "not understood");
    }
    atomic_fetch_add(&listener->heard, 1);
    return MRD_OK;
}

static struct mrd_members *join(struct mrd_bus *bus, enum mrd_member_kind kind,
                                const char *instance)
{
    struct mrd_member self = {.kind = kind, .zone = "z", .incarnation = 1};
    (void)snprintf(self.instance, sizeof(self.instance), "%s", instance);
    const struct mrd_members_options options = {.self = &self, .beat_ms = 100, .expire_ms = 2000};
    struct mrd_members *members = NULL;
    assert_int_equal(mrd_members_create(bus, &options, &members, NULL), MRD_OK);
    return members;
}

static void listen_as(struct world *world, struct listener *listener, enum mrd_member_kind kind,
                      const char *instance)
{
    assert_int_equal(
        mrd_notice_listen(world->bus, instance, on_notice, listener, &listener->listener, NULL),
        MRD_OK);
    listener->members = join(world->bus, kind, instance);
}

static void leave(struct listener *listener)
{
    mrd_members_destroy(&listener->members);
    mrd_notice_unlisten(&listener->listener);
}

static void wait_for(struct mrd_members *members, size_t count)
{
    for (int i = 0; i < 6000; i++) {
        const struct mrd_members_snapshot *snapshot = mrd_members_acquire(members);
        const bool there = snapshot->count == count && snapshot->settled;
        mrd_members_release(&snapshot);
        if (there) {
            return;
        }
        usleep(10000);
    }
    fail_msg("the number of members does not become %zu", count);
}

static int world_setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    nats_fixture_start(&world->nats);
    world->bus = nats_fixture_connect(&world->nats);
    world->members = join(world->bus, MRD_MEMBER_QUERIER, "q-1");
    *state = world;
    return 0;
}

static int world_teardown(void **state)
{
    struct world *world = *state;
    mrd_members_destroy(&world->members);
    mrd_bus_close(&world->bus);
    nats_fixture_stop(&world->nats);
    free(world);
    return 0;
}

static enum mrd_status tell(struct world *world, int64_t seconds, struct mrd_error *err)
{
    const struct mrd_notice notice = {
        .bytes = MRD_BYTES("hear"),
        .kinds = MRD_NOTICE_TO(MRD_MEMBER_QUERIER) | MRD_NOTICE_TO(MRD_MEMBER_DISTRIBUTOR),
        .except = "q-1",
        .deadline_ns = mrd_clock_monotonic_ns(mrd_clock_system()) + seconds * SECOND,
    };
    return mrd_notice_tell(world->bus, world->members, &notice, err);
}

static void everybody_of_the_kinds_hears_it(void **state)
{
    struct world *world = *state;
    struct listener querier = {0};
    struct listener distributor = {0};
    struct listener ingester = {0};
    listen_as(world, &querier, MRD_MEMBER_QUERIER, "q-2");
    listen_as(world, &distributor, MRD_MEMBER_DISTRIBUTOR, "d-1");
    listen_as(world, &ingester, MRD_MEMBER_INGESTER, "i-1");
    wait_for(world->members, 4);
    assert_int_equal(tell(world, 60, NULL), MRD_OK);
    assert_int_equal(atomic_load(&querier.heard), 1);
    assert_int_equal(atomic_load(&distributor.heard), 1);
    assert_int_equal(atomic_load(&ingester.heard), 0);
    leave(&querier);
    leave(&distributor);
    leave(&ingester);
}

static void who_does_not_confirm_is_named(void **state)
{
    struct world *world = *state;
    struct listener querier = {0};
    atomic_store(&querier.refuses, true);
    listen_as(world, &querier, MRD_MEMBER_QUERIER, "q-2");
    wait_for(world->members, 2);
    struct mrd_error err = {0};
    assert_int_equal(tell(world, 1, &err), MRD_E_TIMEOUT);
    assert_non_null(strstr(err.text, "q-2"));
    assert_non_null(strstr(err.text, "not understood"));
    mrd_notice_unlisten(
        &querier.listener); /* an older release: it is a member and does not listen */
    assert_int_equal(tell(world, 1, &err), MRD_E_TIMEOUT);
    assert_non_null(strstr(err.text, "q-2"));
    leave(&querier);
}

static void who_goes_is_not_waited_for(void **state)
{
    struct world *world = *state;
    struct mrd_members *silent = join(world->bus, MRD_MEMBER_DISTRIBUTOR, "d-9");
    wait_for(world->members, 2);
    mrd_members_destroy(&silent);
    assert_int_equal(tell(world, 60, NULL), MRD_OK);
}

#define NOTICE_TEST(function) cmocka_unit_test_setup_teardown(function, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        NOTICE_TEST(everybody_of_the_kinds_hears_it),
        NOTICE_TEST(who_does_not_confirm_is_named),
        NOTICE_TEST(who_goes_is_not_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
