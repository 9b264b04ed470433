/* Membership over a real nats-server, and ownership as a pure function. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bus/connection_internal.h"
#include "bus/member_record.h"
#include "bus/members.h"
#include "bus/nats_fixture.h"

/* ---- the ring ---- */

enum { NAMES = 10, PARTITIONS = 4096 };

static void names_fill(char texts[NAMES + 1][32], const char *names[NAMES + 1])
{
    for (size_t i = 0; i <= NAMES; i++) {
        snprintf(texts[i], 32, "ingester-%zu", i);
        names[i] = texts[i];
    }
}

static void partitions_spread_evenly(void **state)
{
    (void)state;
    char texts[NAMES + 1][32];
    const char *names[NAMES + 1];
    names_fill(texts, names);
    size_t owned[NAMES] = {0};
    for (uint32_t partition = 0; partition < PARTITIONS; partition++) {
        size_t owners[MRD_RING_REPLICAS_MAX];
        assert_int_equal(mrd_ring_owners(names, NAMES, partition, 2, owners), 2);
        assert_int_not_equal(owners[0], owners[1]);
        owned[owners[0]]++;
        owned[owners[1]]++;
    }
    for (size_t i = 0; i < NAMES; i++) { /* 819 expected; five standard deviations */
        if (owned[i] < 819 - 135 || owned[i] > 819 + 135) {
            fail_msg("member %zu owns %zu", i, owned[i]);
        }
    }
}

static bool owns(const size_t owners[MRD_RING_REPLICAS_MAX], size_t count, size_t index)
{
    for (size_t i = 0; i < count; i++) {
        if (owners[i] == index) {
            return true;
        }
    }
    return false;
}

static void a_newcomer_takes_only_its_share(void **state)
{
    (void)state;
    char texts[NAMES + 1][32];
    const char *names[NAMES + 1];
    names_fill(texts, names);
    size_t moved = 0;
    for (uint32_t partition = 0; partition < PARTITIONS; partition++) {
        size_t before[MRD_RING_REPLICAS_MAX];
        size_t after[MRD_RING_REPLICAS_MAX];
        mrd_ring_owners(names, NAMES, partition, 2, before);
        mrd_ring_owners(names, NAMES + 1, partition, 2, after);
        for (size_t i = 0; i < 2; i++) { /* who owns it now owned it before, or is new */
            assert_true(after[i] == NAMES || owns(before, 2, after[i]));
            moved += after[i] == NAMES ? 1 : 0;
        }
    }
    const size_t expected = PARTITIONS * 2 / (NAMES + 1);
    assert_true(moved > expected * 8 / 10 && moved < expected * 12 / 10);
}

static void the_order_of_names_does_not_matter(void **state)
{
    (void)state;
    const char *forward[] = {"a", "b", "c"};
    const char *backward[] = {"c", "b", "a"};
    for (uint32_t partition = 0; partition < 100; partition++) {
        size_t x[MRD_RING_REPLICAS_MAX];
        size_t y[MRD_RING_REPLICAS_MAX];
        assert_int_equal(mrd_ring_owners(forward, 3, partition, 5, x), 3);
        assert_int_equal(mrd_ring_owners(backward, 3, partition, 5, y), 3);
        for (size_t i = 0; i < 3; i++) {
            assert_string_equal(forward[x[i]], backward[y[i]]);
        }
    }
    size_t out[MRD_RING_REPLICAS_MAX];
    assert_int_equal(mrd_ring_owners(forward, 0, 1, 2, out), 0);
}

/* ---- records ---- */

static void a_record_comes_back_as_it_was_and_rubbish_is_refused(void **state)
{
    (void)state;
    const struct mrd_member_partition partitions[] = {
        {0, MRD_PARTITION_SERVING, 77, 31, {1700000000000000000, 1000}},
        {5, MRD_PARTITION_LOADING, 0,  0,  {0}                        }
    };
    const struct mrd_member member = {
        .kind = MRD_MEMBER_INGESTER,
        .instance = "i-1",
        .zone = "z",
        .ops_address = "host:7202",
        .incarnation = 42,
        .reads_blocks = true,
        .block_grace_ms = 86400000,
        .references_kept_ms = 9300000,
        .link = {.address = "host:7302", .secret = {1, 2, 3}},
        .partitions = partitions,
        .partition_count = 2
    };
    struct mrd_buf buf = {0};
    mrd_member_record_encode(&member, &buf);
    struct mrd_member_record record;
    assert_int_equal(mrd_member_record_decode(mrd_buf_view(&buf), &record, NULL), MRD_OK);
    assert_string_equal(record.member.instance, "i-1");
    assert_string_equal(record.member.ops_address, "host:7202");
    assert_string_equal(record.member.link.address, "host:7302");
    assert_memory_equal(record.member.link.secret, member.link.secret, MRD_LINK_SECRET_BYTES);
    assert_true(record.member.reads_blocks);
    assert_int_equal(record.member.block_grace_ms, 86400000);
    assert_int_equal(record.member.references_kept_ms, 9300000);
    assert_int_equal(record.member.partition_count, 2);
    assert_int_equal(record.member.partitions[0].sequence, 77);
    assert_int_equal(record.member.partitions[0].sequence_first, 31);
    assert_true(mrd_log_identity_equal(record.member.partitions[0].log, partitions[0].log));
    assert_false(mrd_log_identity_known(record.member.partitions[1].log));
    assert_int_equal(record.member.partitions[1].state, MRD_PARTITION_LOADING);
    mrd_member_record_fini(&record);
    for (size_t size = 0; size < buf.size; size++) { /* nothing shorter is read outside its bytes */
        if (mrd_member_record_decode((struct mrd_bytes){buf.data, size}, &record, NULL) == MRD_OK) {
            mrd_member_record_fini(&record);
        }
    }
    assert_int_equal(mrd_member_record_decode(MRD_BYTES("rubbish"), &record, NULL), MRD_E_INVALID);
    mrd_buf_fini(&buf);
}

/* ---- over NATS ---- */

struct watch {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t changes;
};

static void on_change(void *context)
{
    struct watch *watch = context;
    pthread_mutex_lock(&watch->lock);
    watch->changes++;
    pthread_cond_broadcast(&watch->changed);
    pthread_mutex_unlock(&watch->lock);
}

static struct mrd_members *join(struct mrd_bus *bus, const char *instance, int64_t expire_ms,
                                struct watch *watch)
{
    struct mrd_member self = {.kind = MRD_MEMBER_INGESTER, .zone = "z"};
    snprintf(self.instance, sizeof(self.instance), "%s", instance == NULL ? "" : instance);
    const struct mrd_members_options options = {.self = instance == NULL ? NULL : &self,
                                                .beat_ms = 100,
                                                .expire_ms = expire_ms,
                                                .on_change = watch == NULL ? NULL : on_change,
                                                .context = watch};
    struct mrd_members *members = NULL;
    assert_int_equal(mrd_members_create(bus, &options, &members, NULL), MRD_OK);
    return members;
}

/* Waits, woken by changes, until the number of members is `count`. */
static void wait_count(struct mrd_members *members, struct watch *watch, size_t count)
{
    for (int i = 0; i < 300; i++) {
        const struct mrd_members_snapshot *snapshot = mrd_members_acquire(members);
        const size_t have = snapshot->count;
        mrd_members_release(&snapshot);
        if (have == count) {
            return;
        }
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 100 * 1000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_mutex_lock(&watch->lock);
        pthread_cond_timedwait(&watch->changed, &watch->lock, &until);
        pthread_mutex_unlock(&watch->lock);
    }
    fail_msg("the number of members does not become %zu", count);
}

struct world {
    struct nats_fixture nats;
    struct mrd_bus *a;
    struct mrd_bus *b;
    struct watch watch;
};

static int world_setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    nats_fixture_start(&world->nats);
    world->a = nats_fixture_connect(&world->nats);
    world->b = nats_fixture_connect(&world->nats);
    pthread_mutex_init(&world->watch.lock, NULL);
    pthread_cond_init(&world->watch.changed, NULL);
    *state = world;
    return 0;
}

static int world_teardown(void **state)
{
    struct world *world = *state;
    mrd_bus_close(&world->a);
    mrd_bus_close(&world->b);
    nats_fixture_stop(&world->nats);
    pthread_cond_destroy(&world->watch.changed);
    pthread_mutex_destroy(&world->watch.lock);
    free(world);
    return 0;
}

static void members_see_each_other_come_change_and_go(void **state)
{
    struct world *world = *state;
    struct mrd_members *looker = join(world->a, NULL, 60000, &world->watch);
    struct mrd_members *one = join(world->b, "one", 60000, NULL);
    struct mrd_members *two = join(world->b, "two", 60000, NULL);
    wait_count(looker, &world->watch, 2);
    const struct mrd_member_partition serving = {
        .partition = 3, .state = MRD_PARTITION_SERVING, .sequence = 9, .sequence_first = 4};
    struct mrd_member self = {.kind = MRD_MEMBER_INGESTER,
                              .instance = "two",
                              .zone = "z",
                              .partitions = &serving,
                              .partition_count = 1};
    mrd_members_update(two, &self);
    bool seen = false;
    for (int i = 0; i < 3000 && !seen; i++) {
        const struct mrd_members_snapshot *snapshot = mrd_members_acquire(looker);
        assert_string_equal(snapshot->members[0].instance, "one"); /* ordered */
        seen = snapshot->members[1].partition_count == 1 &&
               snapshot->members[1].partitions[0].sequence == 9;
        mrd_members_release(&snapshot);
        usleep(1000);
    }
    assert_true(seen);
    mrd_members_destroy(&one); /* says goodbye: no need to expire */
    wait_count(looker, &world->watch, 1);
    mrd_members_destroy(&two);
    wait_count(looker, &world->watch, 0);
    mrd_members_destroy(&looker);
}

/* One heartbeat of a member that is never heard of again. */
static void beat_once(struct mrd_bus *bus, const char *instance)
{
    struct mrd_member self = {.kind = MRD_MEMBER_INGESTER};
    snprintf(self.instance, sizeof(self.instance), "%s", instance);
    struct mrd_buf buf = {0};
    mrd_member_record_encode(&self, &buf);
    char subject[64];
    snprintf(subject, sizeof(subject), "$KV.MRD_MEMBERS.%s", instance);
    assert_int_equal(natsConnection_Publish(mrd_bus_nats(bus), subject, buf.data, (int)buf.size),
                     NATS_OK);
    mrd_buf_fini(&buf);
}

static void a_silent_member_expires(void **state)
{
    struct world *world = *state;
    struct mrd_members *looker = join(world->a, NULL, 500, &world->watch);
    struct mrd_members *one = join(world->b, "one", 500, NULL);
    wait_count(looker, &world->watch, 1);
    beat_once(world->b, "killed");
    wait_count(looker, &world->watch, 2);
    wait_count(looker, &world->watch, 1);
    mrd_members_destroy(&one);
    mrd_members_destroy(&looker);
}

static void wait_heard(struct mrd_members *members, uint64_t lapses)
{
    struct mrd_members_standing standing = mrd_members_standing(members);
    for (int i = 0; i < 2000 && !standing.heard; i++) {
        usleep(10000);
        standing = mrd_members_standing(members);
    }
    assert_true(standing.heard);
    assert_int_equal(standing.lapses, lapses);
}

static void a_restarted_server_makes_nobody_disappear(void **state)
{
    struct world *world = *state;
    struct mrd_members *looker = join(world->a, NULL, 2000, &world->watch);
    struct mrd_members *one = join(world->b, "one", 2000, NULL);
    wait_count(looker, &world->watch, 1);
    wait_heard(one, 0);
    assert_false(mrd_members_standing(looker).heard); /* it says nothing */
    nats_fixture_kill(&world->nats);
    usleep(3000000); /* longer than the expiry: silence while away says nothing */
    const struct mrd_members_snapshot *snapshot = mrd_members_acquire(looker);
    assert_int_equal(snapshot->count, 1);
    mrd_members_release(&snapshot);
    assert_false(mrd_members_standing(one).heard); /* but others may not have been away */
    nats_fixture_launch(&world->nats);
    assert_int_equal(mrd_bus_wait_connected(world->a, 20000, NULL), MRD_OK);
    wait_heard(one, 1);
    for (int i = 0; i < 30; i++) {
        snapshot = mrd_members_acquire(looker);
        assert_int_equal(snapshot->count, 1);
        mrd_members_release(&snapshot);
        usleep(10000);
    }
    mrd_members_destroy(&one);
    mrd_members_destroy(&looker);
}

int main(void)
{
#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(partitions_spread_evenly),
        cmocka_unit_test(a_newcomer_takes_only_its_share),
        cmocka_unit_test(the_order_of_names_does_not_matter),
        cmocka_unit_test(a_record_comes_back_as_it_was_and_rubbish_is_refused),
        WORLD_TEST(members_see_each_other_come_change_and_go),
        WORLD_TEST(a_silent_member_expires),
        WORLD_TEST(a_restarted_server_makes_nobody_disappear),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    mrd_bus_library_close();
    return failed;
}
