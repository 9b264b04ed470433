/* Leases over a real nats-server: that two never hold the same one is judged by the times at which each holder
 * surely held it. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bus/connection_internal.h"
#include "bus/lease.h"
#include "bus/nats_fixture.h"

enum { TTL_MS = 400 };
static const int64_t MS = 1000000;

struct world {
    struct nats_fixture nats;
    struct mrd_bus *bus;
};

static int world_setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    nats_fixture_start(&world->nats);
    world->bus = nats_fixture_connect(&world->nats);
    *state = world;
    return 0;
}

static int world_teardown(void **state)
{
    struct world *world = *state;
    mrd_bus_close(&world->bus);
    nats_fixture_stop(&world->nats);
    free(world);
    return 0;
}

/* A clock that stands until it is moved. */
struct test_clock {
    struct mrd_clock clock;
    _Atomic int64_t ns;
};

static int64_t test_clock_ns(void *context)
{
    return atomic_load(&((struct test_clock *)context)->ns);
}

static void test_clock_init(struct test_clock *clock)
{
    clock->clock = (struct mrd_clock){.monotonic_ns = test_clock_ns, .context = clock};
    atomic_init(&clock->ns, 1);
}

static struct mrd_leases *join(struct world *world, const char *holder,
                               const struct test_clock *clock)
{
    const struct mrd_leases_options options = {
        .holder = holder, .ttl_ms = TTL_MS, .clock = clock == NULL ? NULL : &clock->clock};
    struct mrd_leases *leases = NULL;
    assert_int_equal(mrd_leases_create(world->bus, &options, &leases, NULL), MRD_OK);
    return leases;
}

static struct mrd_lease *try_once(struct mrd_leases *leases, const char *key)
{
    struct mrd_lease *lease = NULL;
    struct mrd_error err = {0};
    if (mrd_lease_try(leases, key, &lease, &err) != MRD_OK) {
        fail_msg("%s", err.text);
    }
    return lease;
}

static void a_released_lease_goes_to_the_next_at_once(void **state)
{
    struct world *world = *state;
    struct mrd_leases *one = join(world, "one", NULL);
    struct mrd_leases *two = join(world, "two", NULL);
    uint64_t token = 0;
    for (int i = 0; i < 5; i++) {
        struct mrd_lease *lease = try_once(i % 2 == 0 ? one : two, "build.3");
        assert_non_null(lease);
        assert_true(mrd_lease_token(lease) > token);
        token = mrd_lease_token(lease);
        mrd_lease_release(&lease);
    }
    struct mrd_lease *lease = try_once(one, "build.3");
    struct mrd_lease *other = try_once(one, "build.4"); /* another piece of work */
    assert_non_null(lease);
    assert_non_null(other);
    mrd_lease_release(&lease);
    mrd_lease_release(&other);
    mrd_leases_destroy(&one);
    mrd_leases_destroy(&two);
}

/* What the holder of `key` would write, once: then it is dead. */
static void put(struct world *world, const char *key, const char *value)
{
    char subject[64];
    snprintf(subject, sizeof(subject), "$KV.MRD_LEASES.%s", key);
    assert_int_equal(natsConnection_PublishString(mrd_bus_nats(world->bus), subject, value),
                     NATS_OK);
    assert_int_equal(natsConnection_Flush(mrd_bus_nats(world->bus)), NATS_OK);
}

static void a_dead_holder_is_followed_after_its_time_and_not_before(void **state)
{
    struct world *world = *state;
    struct test_clock clock;
    test_clock_init(&clock);
    struct mrd_leases *leases = join(world, "heir", &clock);
    struct mrd_lease *lease = try_once(leases, "other"); /* makes the bucket */
    mrd_lease_release(&lease);
    put(world, "work", "dead 1");
    assert_null(try_once(leases, "work"));
    atomic_fetch_add(&clock.ns, TTL_MS * MS - 1);
    assert_null(try_once(leases, "work"));
    put(world, "work", "dead 1"); /* it was alive after all */
    atomic_fetch_add(&clock.ns, 1);
    assert_null(try_once(leases, "work"));
    atomic_fetch_add(&clock.ns, TTL_MS * MS - 1);
    assert_null(try_once(leases, "work"));
    atomic_fetch_add(&clock.ns, 1);
    lease = try_once(leases, "work");
    assert_non_null(lease);
    assert_true(mrd_lease_held(lease));
    mrd_lease_release(&lease);
    mrd_leases_destroy(&leases);
}

static void wait_lost(const struct mrd_lease *lease)
{
    for (int i = 0; i < 30000 && mrd_lease_held(lease); i++) {
        usleep(1000);
    }
    assert_false(mrd_lease_held(lease));
}

static void who_was_written_over_knows_soon(void **state)
{
    struct world *world = *state;
    struct mrd_leases *leases = join(world, "one", NULL);
    struct mrd_lease *lease = try_once(leases, "work");
    assert_non_null(lease);
    put(world, "work", "somebody else");
    wait_lost(lease);
    mrd_lease_release(&lease);
    assert_null(
        try_once(leases, "work")); /* giving a lost lease up takes nothing from its holder */
    mrd_leases_destroy(&leases);
}

static void without_nats_a_lease_ends_by_itself_and_comes_back_with_it(void **state)
{
    struct world *world = *state;
    struct mrd_leases *one = join(world, "one", NULL);
    struct mrd_lease *lease = try_once(one, "alone");
    assert_non_null(lease);
    const uint64_t token = mrd_lease_token(lease);
    nats_fixture_kill(&world->nats);
    wait_lost(lease);
    struct mrd_error err = {0};
    struct mrd_lease *none = NULL;
    assert_int_equal(mrd_lease_try(one, "alone", &none, &err), MRD_E_UNAVAILABLE);
    nats_fixture_launch(&world->nats);
    assert_int_equal(mrd_bus_wait_connected(world->bus, 20000, &err), MRD_OK);
    struct mrd_leases *two = join(world, "two", NULL);
    struct mrd_lease *next = NULL;
    for (int i = 0; i < 3000 && next == NULL; i++) {
        if (mrd_lease_try(two, "alone", &next, &err) != MRD_OK || next == NULL) {
            usleep(10000); /* JetStream takes a moment, and the dead lease its time */
        }
    }
    assert_non_null(next);
    assert_true(mrd_lease_token(next) > token);
    assert_false(mrd_lease_held(lease));
    mrd_lease_release(&lease);
    assert_true(mrd_lease_held(next));
    mrd_lease_release(&next);
    mrd_leases_destroy(&one);
    mrd_leases_destroy(&two);
}

/* ---- many at once ---- */

/* On a busy machine few come to their turn in the usual time: then it goes on for longer. */
enum { WORKERS = 6, TURNS_MIN = 4, TURNS_MAX = 4096, STRESS_MS = 4000, STRESS_MS_MAX = 60000 };

struct turn {
    int64_t from_ns; /* it surely held the lease from here */
    int64_t to_ns;   /* to here */
    uint64_t token;
};

static struct stress {
    struct world *world;
    int64_t end_ns;
    pthread_mutex_t lock;
    struct turn turns[TURNS_MAX];
    size_t count;
} stress;

static int64_t now_ns(void) { return mrd_clock_monotonic_ns(mrd_clock_system()); }

static void note_turn(const struct turn *turn)
{
    pthread_mutex_lock(&stress.lock);
    if (stress.count < TURNS_MAX) {
        stress.turns[stress.count++] = *turn;
    }
    pthread_mutex_unlock(&stress.lock);
}

/* Holds it for a while; now and then for longer than it may without renewing, now and then as one who dies. */
static void take_turn(struct mrd_lease **lease, unsigned *seed)
{
    struct turn turn = {.from_ns = now_ns(), .token = mrd_lease_token(*lease)};
    turn.to_ns = turn.from_ns;
    const int64_t until_ns = turn.from_ns + (int64_t)(rand_r(seed) % (2 * TTL_MS)) * MS;
    while (now_ns() < until_ns) {
        const int64_t before_ns = now_ns();
        if (!mrd_lease_held(*lease)) {
            break;
        }
        turn.to_ns = before_ns;
        usleep(1000);
    }
    note_turn(&turn);
    mrd_lease_release(lease);
}

static bool stress_goes_on(void)
{
    const int64_t now = now_ns();
    pthread_mutex_lock(&stress.lock);
    const bool few = stress.count < TURNS_MIN;
    pthread_mutex_unlock(&stress.lock);
    return now < stress.end_ns || (few && now < stress.end_ns + (STRESS_MS_MAX - STRESS_MS) * MS);
}

static void *stress_run(void *context)
{
    unsigned seed = (unsigned)(uintptr_t)context;
    char holder[16];
    snprintf(holder, sizeof(holder), "worker-%u", seed);
    struct mrd_leases *leases = join(stress.world, holder, NULL);
    while (stress_goes_on()) {
        struct mrd_lease *lease = NULL;
        struct mrd_error err;
        if (mrd_lease_try(leases, "stress", &lease, &err) == MRD_OK && lease != NULL) {
            take_turn(&lease, &seed);
        }
        usleep(1000 * (unsigned)(rand_r(&seed) % 20));
    }
    mrd_leases_destroy(&leases);
    return NULL;
}

static int turn_compare(const void *a, const void *b)
{
    const uint64_t x = ((const struct turn *)a)->token;
    const uint64_t y = ((const struct turn *)b)->token;
    return x < y ? -1 : x > y;
}

static void two_never_hold_the_same_lease_while_the_server_freezes_and_thaws(void **state)
{
    stress.world = *state;
    stress.end_ns = now_ns() + STRESS_MS * MS;
    stress.count = 0;
    pthread_mutex_init(&stress.lock, NULL);
    pthread_t threads[WORKERS];
    for (uintptr_t i = 0; i < WORKERS; i++) {
        pthread_create(&threads[i], NULL, stress_run, (void *)(i + 1));
    }
    for (int i = 0; i < 3; i++) { /* longer than a lease lives */
        usleep(STRESS_MS * 1000 / 6);
        nats_fixture_freeze(&stress.world->nats);
        usleep(TTL_MS * 1500);
        nats_fixture_thaw(&stress.world->nats);
    }
    for (size_t i = 0; i < WORKERS; i++) {
        pthread_join(threads[i], NULL);
    }
    qsort(stress.turns, stress.count, sizeof(*stress.turns), turn_compare);
    assert_true(stress.count >= TURNS_MIN);
    for (size_t i = 1; i < stress.count; i++) {
        assert_true(stress.turns[i].token > stress.turns[i - 1].token);
        if (stress.turns[i].from_ns <= stress.turns[i - 1].to_ns) {
            fail_msg("turn %zu began %lld us before the one before it had ended", i,
                     (long long)(stress.turns[i - 1].to_ns - stress.turns[i].from_ns) / 1000);
        }
    }
    pthread_mutex_destroy(&stress.lock);
}

static void names_that_can_not_be_keys_are_refused(void **state)
{
    struct world *world = *state;
    struct mrd_leases *leases = join(world, "one", NULL);
    char long_key[MRD_LEASE_KEY_MAX + 1] = {0};
    memset(long_key, 'k', MRD_LEASE_KEY_MAX);
    const char *bad[] = {"", ".", "a b", "a.", ".a", "a..b", "a*", ">", "a\n", long_key};
    for (size_t i = 0; i < MRD_ARRAY_LEN(bad); i++) {
        struct mrd_lease *lease = NULL;
        assert_int_equal(mrd_lease_try(leases, bad[i], &lease, NULL), MRD_E_INVALID);
    }
    mrd_leases_destroy(&leases);
    const struct mrd_leases_options options = {.holder = "no token"};
    assert_int_equal(mrd_leases_create(world->bus, &options, &leases, NULL), MRD_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_that_can_not_be_keys_are_refused),
        cmocka_unit_test(a_released_lease_goes_to_the_next_at_once),
        cmocka_unit_test(a_dead_holder_is_followed_after_its_time_and_not_before),
        cmocka_unit_test(who_was_written_over_knows_soon),
        cmocka_unit_test(two_never_hold_the_same_lease_while_the_server_freezes_and_thaws),
        cmocka_unit_test(without_nats_a_lease_ends_by_itself_and_comes_back_with_it),
    };
    const int failed = cmocka_run_group_tests(tests, world_setup, world_teardown);
    mrd_bus_library_close();
    return failed;
}
