/* Requests of a real nats-server: many at once, and waits that end before there is an answer. */
#include "bus/request_internal.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "bus/log_admin.h"
#include "bus/nats_fixture.h"
#include "bus/subscription_internal.h"

enum { WAIT_MS = 20000, MANY = 300 };

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

static void echo(natsConnection *nats, natsSubscription *subscription, natsMsg *msg, void *closure)
{
    (void)subscription;
    (void)closure;
    (void)natsConnection_Publish(nats, natsMsg_GetReply(msg), natsMsg_GetData(msg),
                                 natsMsg_GetDataLength(msg));
    natsMsg_Destroy(msg);
}

static void each_of_many_requests_gets_its_own_reply(void **state)
{
    struct world *world = *state;
    struct mrd_bus *other = nats_fixture_connect(&world->nats);
    struct mrd_bus_subscription *echoing = NULL;
    struct mrd_error err = {0};
    assert_int_equal(mrd_bus_subscribe(other, "mrd.test.echo", echo, NULL, &echoing, &err), MRD_OK);
    assert_int_equal(mrd_bus_flush(other, WAIT_MS, &err), MRD_OK);
    struct mrd_request requests[MANY] = {0};
    char texts[MANY][16];
    for (size_t i = 0; i < MANY; i++) {
        (void)snprintf(texts[i], sizeof(texts[i]), "number %zu", i);
        requests[i] =
            (struct mrd_request){.subject = "mrd.test.echo", .body = mrd_bytes_of(texts[i])};
    }
    assert_int_equal(mrd_bus_request(world->bus, requests, MANY, WAIT_MS, NULL, &err), MRD_OK);
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(natsMsg_GetDataLength(requests[i].reply), strlen(texts[i]));
        assert_memory_equal(natsMsg_GetData(requests[i].reply), texts[i], strlen(texts[i]));
        natsMsg_Destroy(requests[i].reply);
    }
    mrd_bus_unsubscribe(&echoing);
    mrd_bus_close(&other);
}

static void nobody_who_listens_is_told_at_once(void **state)
{
    struct world *world = *state;
    struct mrd_request request = {.subject = "mrd.test.nobody"};
    struct mrd_error err = {0};
    assert_int_equal(mrd_bus_request(world->bus, &request, 1, WAIT_MS, NULL, &err),
                     MRD_E_UNAVAILABLE);
    assert_non_null(strstr(err.text, "mrd.test.nobody: nobody listens there"));
    natsMsg_Destroy(request.reply);
}

struct looks {
    struct nats_fixture *nats;
    int count;
};

static enum mrd_status third_ends(void *context, struct mrd_error *err)
{
    struct looks *looks = context;
    return ++looks->count == 3 ? mrd_fail(err, MRD_E_CANCELED, "the client has gone") : MRD_OK;
}

static void a_wait_ends_when_nobody_waits_any_more(void **state)
{
    struct world *world = *state;
    struct looks looks = {0};
    const struct mrd_look look = {third_ends, &looks};
    struct mrd_log_end ends[4];
    struct mrd_error err = {0};
    nats_fixture_freeze(&world->nats);
    assert_int_equal(mrd_log_ends_read(world->bus, 4, INT32_MAX, &look, ends, &err),
                     MRD_E_CANCELED);
    assert_int_equal(looks.count, 3);
    assert_non_null(strstr(err.text, "the client has gone"));
    looks.count = 0;
    bool has;
    struct mrd_error why;
    const struct mrd_log_mark mark = {1, 1};
    assert_int_equal(mrd_log_mark_check(world->bus, 0, mark, INT32_MAX, &look, &has, &why, &err),
                     MRD_E_CANCELED);
    assert_int_equal(looks.count, 3);
    nats_fixture_thaw(&world->nats);
}

static void a_wait_ends_after_its_time(void **state)
{
    struct world *world = *state;
    struct mrd_log_end ends[4];
    struct mrd_error err = {0};
    nats_fixture_freeze(&world->nats);
    assert_int_equal(mrd_log_ends_read(world->bus, 4, 50, NULL, ends, &err), MRD_E_UNAVAILABLE);
    assert_non_null(strstr(err.text, "NATS has not answered 4 of 4 requests in 50 ms"));
    nats_fixture_thaw(&world->nats);
}

static void log_make(struct world *world)
{
    struct mrd_error err = {0};
    const struct mrd_log_config config = {
        .region = "test", .partition_count = 2, .replicas = 1, .bytes_max = 16 << 20};
    enum mrd_status status;
    do { /* a server right behind its start may refuse for a moment */
        status = mrd_log_ensure(world->bus, &config, 2000, &err);
    } while (status == MRD_E_UNAVAILABLE);
    assert_int_equal(status, MRD_OK);
}

/* Blocks and heads that were made before name logs as nats.c read them. */
static void a_log_has_the_identity_that_the_library_reads(void **state)
{
    struct world *world = *state;
    log_make(world);
    struct mrd_error err = {0};
    jsCtx *js = NULL;
    jsStreamInfo *info = NULL;
    struct mrd_log_state log;
    struct mrd_log_end ends[2];
    assert_int_equal(natsConnection_PublishString(mrd_bus_nats(world->bus), "mrd.ingest.1.a", "x"),
                     NATS_OK);
    assert_int_equal(mrd_bus_jetstream(world->bus, WAIT_MS, &js, &err), MRD_OK);
    assert_int_equal(js_GetStreamInfo(&info, js, "MRD_INGEST_1", NULL, NULL), NATS_OK);
    assert_int_equal(mrd_log_state_read(world->bus, 1, WAIT_MS, &log, &err), MRD_OK);
    assert_int_equal(mrd_log_ends_read(world->bus, 2, WAIT_MS, NULL, ends, &err), MRD_OK);
    assert_int_equal(log.identity.created_ns, info->Created);
    assert_int_equal(log.messages, 1);
    assert_int_equal(log.bytes, info->State.Bytes);
    assert_int_equal(log.bytes_max, info->Config->MaxBytes);
    assert_int_equal(log.stream_first, info->State.FirstSeq);
    assert_int_equal(log.stream_last, info->State.LastSeq);
    assert_true(mrd_log_identity_equal(ends[1].identity, log.identity));
    assert_int_equal(ends[1].sequence_last, 1);
    assert_int_equal(ends[0].sequence_last, 0);
    jsStreamInfo_Destroy(info);
    jsCtx_Destroy(js);
}

/* A look that brings the server back. */
static enum mrd_status third_launches(void *context, struct mrd_error *err)
{
    struct looks *looks = context;
    (void)err;
    if (++looks->count == 3) {
        nats_fixture_launch(looks->nats);
    }
    return MRD_OK;
}

static void a_request_is_sent_again_over_the_next_connection(void **state)
{
    struct world *world = *state;
    struct mrd_error err = {0};
    log_make(world);
    enum mrd_status status;
    struct mrd_log_end before[2];
    struct mrd_log_end ends[2];
    assert_int_equal(mrd_log_ends_read(world->bus, 2, WAIT_MS, NULL, before, &err), MRD_OK);
    struct looks looks = {.nats = &world->nats};
    const struct mrd_look look = {third_launches, &looks};
    nats_fixture_kill(&world->nats);
    /* JetStream may not be there at once after the server is. */
    while ((status = mrd_log_ends_read(world->bus, 2, WAIT_MS, &look, ends, &err)) ==
               MRD_E_UNAVAILABLE &&
           strstr(err.text, "nobody listens") != NULL) {}
    assert_int_equal(status, MRD_OK);
    assert_true(looks.count >= 3);
    assert_true(mrd_log_identity_equal(ends[0].identity, before[0].identity));
    assert_true(mrd_log_identity_equal(ends[1].identity, before[1].identity));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_of_many_requests_gets_its_own_reply, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(nobody_who_listens_is_told_at_once, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_wait_ends_when_nobody_waits_any_more, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_wait_ends_after_its_time, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_log_has_the_identity_that_the_library_reads, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_request_is_sent_again_over_the_next_connection,
                                        world_setup, world_teardown),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    mrd_bus_library_close();
    return failed;
}
