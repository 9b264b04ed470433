/* The list of queries and its views, before a real server and pool. */
#include "querier/active.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/raw_client.h"
#include "model/tenant.h"
#include "querier/active_views.h"

struct fixture {
    struct mrd_metrics *metrics;
    struct mrd_http_server *server;
    struct qry_pool *pool;
    struct qry_active *active;
    struct qry_active_views *views;
    _Atomic size_t running; /* jobs that were begun */
    _Atomic bool open;      /* they may end */
};

/* A query that lasts until the gate opens or it is canceled. */
struct held {
    struct fixture *fixture;
    struct qry_active_query query;
};

static void held_job(void *context, struct mrd_http_request *request, const _Atomic bool *canceled,
                     struct qry_answer *out)
{
    (void)request;
    struct held *held = context;
    struct fixture *fixture = held->fixture;
    qry_active_begin(fixture->active, &held->query);
    fixture->running++;
    while (!fixture->open && !*canceled && !held->query.canceled) {
        usleep(1000);
    }
    out->status = *canceled || held->query.canceled ? 499 : 200;
    qry_active_remove(fixture->active, &held->query);
    free(held);
}

static void hold(void *context, struct mrd_http_request *request)
{
    struct held *held = calloc(1, sizeof(*held));
    mrd_assert(held != NULL);
    held->fixture = context;
    held->query.request = request;
    held->query.kind = "query_range";
    assert_int_equal(mrd_tenant_of_header(mrd_http_header(request, MRD_TENANT_HEADER),
                                          &held->query.tenant, NULL),
                     MRD_OK);
    qry_active_add(held->fixture->active, &held->query);
    const struct qry_share share = {.tenant = 1, .places = 1};
    assert_int_equal(qry_pool_run(held->fixture->pool, request, &share, held_job, held),
                     QRY_POOL_TAKEN);
}

static void start(struct fixture *fixture)
{
    struct mrd_error err;
    *fixture = (struct fixture){.metrics = mrd_metrics_create()};
    const struct qry_pool_options pool = {
        .places = 1, .queue_max = 100, .metrics = fixture->metrics};
    assert_int_equal(qry_pool_create(&pool, &fixture->pool, &err), MRD_OK);
    fixture->active = qry_active_create(fixture->pool);
    fixture->views = qry_active_views_create(fixture->active, "querier-7", fixture->metrics);
    const struct mrd_http_config http = {
        .listen = "127.0.0.1:0", .handlers_wait = true, .metrics = fixture->metrics};
    assert_int_equal(mrd_http_server_create(&http, &fixture->server, &err), MRD_OK);
    mrd_http_route_add(fixture->server, &(struct mrd_http_route){MRD_HTTP_GET | MRD_HTTP_POST,
                                                                 "/hold", 0, hold, fixture});
    qry_active_views_mount(fixture->views, fixture->server);
    assert_int_equal(mrd_http_server_start(fixture->server, &err), MRD_OK);
}

static void finish(struct fixture *fixture)
{
    fixture->open = true;
    mrd_http_server_stop(fixture->server, 10000);
    qry_pool_destroy(&fixture->pool);
    qry_active_views_destroy(&fixture->views);
    qry_active_destroy(&fixture->active);
    mrd_http_server_destroy(&fixture->server);
    mrd_metrics_destroy(&fixture->metrics);
}

static struct raw_client ask(struct fixture *fixture, const char *method, const char *path,
                             const char *tenant)
{
    struct raw_client client = raw_connect(mrd_http_server_port(fixture->server));
    char text[512];
    (void)snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: h\r\nX-Scope-OrgID: %s\r\n\r\n",
                   method, path, tenant);
    assert_true(raw_send(&client, text));
    return client;
}

/* The answer's body as a text, in a buffer of the test's. */
static unsigned answer_of(struct raw_client client, char out[8192])
{
    mrd_auto(raw_answer_fini)
    struct raw_answer answer = raw_answer(&client, true);
    assert_true(answer.complete);
    assert_true(answer.body.size < 8192);
    if (answer.body.size > 0) {
        memcpy(out, answer.body.data, answer.body.size);
    }
    out[answer.body.size] = 0;
    raw_close(&client);
    return answer.status;
}

static void expect_list(struct fixture *fixture, const char *path, const char *tenant,
                        const char *text)
{
    char body[8192];
    assert_int_equal(answer_of(ask(fixture, "GET", path, tenant), body), 200);
    if (strstr(body, text) == NULL) {
        fail_msg("%s of %s: %s", path, tenant, body);
    }
}

#define VIEW "/api/v1/status/active_queries"

static struct qry_active_list list_of(struct fixture *fixture, struct mrd_arena *arena,
                                      size_t wanted)
{
    struct qry_active_list list;
    struct mrd_error err;
    do {
        usleep(1000);
        mrd_arena_reset(arena);
        assert_int_equal(qry_active_list(fixture->active, NULL, 100, arena, &list, &err), MRD_OK);
    } while (list.total != wanted);
    return list;
}

static void a_tenant_sees_and_ends_its_own_queries_only(void **state)
{
    (void)state;
    char body[8192];
    char path[256];
    struct fixture fixture;
    start(&fixture);
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("test", 1 << 20);
    struct raw_client first = ask(
        &fixture, "GET", "/hold?query=up%7Bjob%3D%22secret%22%7D&start=10&end=20.5&step=5m", "one");
    while (fixture.running == 0) {
        usleep(1000);
    }
    struct raw_client second = ask(&fixture, "GET", "/hold?match[]=a&match[]=b&time=x", "two");
    struct qry_active_list list = list_of(&fixture, arena, 2);
    assert_int_equal(list.count, 2);
    assert_int_equal(list.items[0].doing, MRD_QUERY_WORKS);
    assert_int_equal(list.items[1].doing, MRD_QUERY_QUEUED);
    const uint64_t ids[] = {list.items[0].id, list.items[1].id};

    expect_list(&fixture, VIEW, "one", "\"instance\":\"querier-7\",\"total\":1,");
    expect_list(&fixture, VIEW, "one",
                "\"tenant\":\"one\",\"kind\":\"query_range\",\"state\":\"running\","
                "\"query\":\"up{job=\\\"secret\\\"}\",\"start\":10,\"end\":20.5");
    expect_list(&fixture, "/prometheus" VIEW, "two",
                "\"state\":\"queued\",\"query\":\"a, b\",\"age");
    expect_list(&fixture, VIEW, "three", "\"total\":0,\"queries\":[]");
    expect_list(&fixture, VIEW "?limit=1", "one", "\"total\":1,");
    expect_list(&fixture, "/active-queries?limit=1", "three", "\"query\":\"up{job='***'}\"");
    expect_list(&fixture, "/active-queries", "three", "\"total\":2,");
    assert_int_equal(answer_of(ask(&fixture, "GET", VIEW "?limit=-1", "one"), body), 400);
    assert_int_equal(answer_of(ask(&fixture, "GET", VIEW, "a/b"), body), 400);

    /* Neither the other tenant's, nor what is none. */
    (void)snprintf(path, sizeof(path), VIEW "/%016llx", (unsigned long long)ids[0]);
    assert_int_equal(answer_of(ask(&fixture, "DELETE", path, "two"), body), 404);
    assert_non_null(strstr(body, "querier-7"));
    assert_int_equal(answer_of(ask(&fixture, "DELETE", VIEW "/0", "one"), body), 404);
    assert_int_equal(answer_of(ask(&fixture, "DELETE", VIEW "/000000000000000g", "one"), body),
                     404);

    /* What waits is answered at once, although the place is taken. */
    (void)snprintf(path, sizeof(path), "/active-queries/%016llx/cancel",
                   (unsigned long long)ids[1]);
    assert_int_equal(answer_of(ask(&fixture, "POST", path, "three"), body), 200);
    assert_int_equal(answer_of(second, body), 499);
    assert_int_equal(fixture.running, 2); /* it has begun, to say so */
    assert_int_equal(answer_of(ask(&fixture, "POST", path, "three"), body), 404);

    (void)snprintf(path, sizeof(path), VIEW "/%016llx", (unsigned long long)ids[0]);
    assert_int_equal(answer_of(ask(&fixture, "DELETE", path, "one"), body), 200);
    assert_int_equal(answer_of(first, body), 499);
    (void)list_of(&fixture, arena, 0);
    finish(&fixture);
}

static void a_list_is_bounded_and_texts_are_cut(void **state)
{
    (void)state;
    enum { QUERIES = 6 };
    char text[8192];
    struct fixture fixture;
    start(&fixture);
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("test", 1 << 20);
    struct raw_client clients[QUERIES];
    for (size_t i = 0; i < QUERIES; i++) {
        clients[i] = raw_connect(mrd_http_server_port(fixture.server));
        const int size = snprintf(text, sizeof(text), "GET /hold?query=%02500zu HTTP/1.1\r\n", i);
        (void)snprintf(text + size, sizeof(text) - (size_t)size, "Host: h\r\n\r\n");
        assert_true(raw_send(&clients[i], text));
        (void)list_of(&fixture, arena, i + 1);
    }
    struct qry_active_list list;
    struct mrd_error err;
    mrd_arena_reset(arena);
    assert_int_equal(qry_active_list(fixture.active, NULL, 3, arena, &list, &err), MRD_OK);
    assert_int_equal(list.total, QUERIES);
    assert_int_equal(list.count, 3);
    assert_int_equal(list.items[2].text.size, QRY_ACTIVE_TEXT_MAX);
    assert_true(list.items[2].text_cut);
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *small = mrd_arena_create("small", 4096);
    assert_int_equal(qry_active_list(fixture.active, NULL, 3, small, &list, &err), MRD_E_LIMIT);
    fixture.open = true;
    for (size_t i = 0; i < QUERIES; i++) {
        assert_int_equal(answer_of(clients[i], text), 200);
    }
    finish(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tenant_sees_and_ends_its_own_queries_only),
        cmocka_unit_test(a_list_is_bounded_and_texts_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
