/* The pool behind a real server: whose jobs are taken, and how they are answered. */
#include "querier/query_pool.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/threads.h"
#include "http/raw_client.h"

enum { TENANT_A = 1, TENANT_B = 2, TENANT_MAX = 2, QUEUE_MAX = 2 };

struct fixture {
    struct mrd_metrics *metrics;
    struct mrd_http_server *server;
    struct qry_pool *pool;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    int64_t deadline_ns; /* of jobs to come */
    bool open;           /* jobs that wait may end */
    size_t running;      /* jobs that were begun */
    size_t canceled;
    size_t working;   /* jobs of that kind that were begun */
    bool stood_back;  /* as the computing job saw it last */
    bool accompanied; /* jobs of two tenants were there */
};

/* A job that lasts until the gate opens or nobody waits for it. */
static void held_job(void *context, struct mrd_http_request *request, const _Atomic bool *canceled,
                     struct qry_answer *out)
{
    (void)request;
    struct fixture *fixture = context;
    pthread_mutex_lock(&fixture->lock);
    fixture->running++;
    pthread_cond_broadcast(&fixture->changed);
    while (!fixture->open && !*canceled) {
        pthread_mutex_unlock(&fixture->lock);
        usleep(1000);
        pthread_mutex_lock(&fixture->lock);
    }
    fixture->canceled += *canceled;
    pthread_cond_broadcast(&fixture->changed);
    pthread_mutex_unlock(&fixture->lock);
    out->status = 200;
    mrd_buf_append_text(&out->body, "done");
}

/* The same, looking all the time whether others are to go first. */
static void working_job(void *context, struct mrd_http_request *request,
                        const _Atomic bool *canceled, struct qry_answer *out)
{
    (void)request;
    struct fixture *fixture = context;
    bool open = false;
    while (!open && !*canceled) {
        pthread_mutex_lock(&fixture->lock);
        fixture->working = 1;
        pthread_cond_broadcast(&fixture->changed);
        open = fixture->open;
        pthread_mutex_unlock(&fixture->lock);
        usleep(500);
        qry_pool_checkpoint();
    }
    pthread_mutex_lock(&fixture->lock);
    fixture->canceled += *canceled;
    pthread_cond_broadcast(&fixture->changed);
    pthread_mutex_unlock(&fixture->lock);
    out->status = 200;
    mrd_buf_append_text(&out->body, "worked");
}

static uint64_t core_yields(const struct fixture *fixture)
{
    return mrd_counter_value(mrd_metrics_counter(
        fixture->metrics, "meridian_querier_queries_core_yields_total",
        "Times that a query of a tenant that uses more than its share let others have its core.",
        MRD_NO_LABELS));
}

/* Computes, until its core has been given up, or for so long that it would have been. */
static void computing_job(void *context, struct mrd_http_request *request,
                          const _Atomic bool *canceled, struct qry_answer *out)
{
    (void)request;
    struct fixture *fixture = context;
    const int64_t begin_ns = mrd_thread_cpu_ns();
    while (!*canceled && core_yields(fixture) == 0 &&
           (fixture->accompanied || mrd_thread_cpu_ns() - begin_ns < 400 * (int64_t)1000000)) {
        qry_pool_checkpoint();
    }
    fixture->stood_back = qry_pool_stands_back();
    out->status = 200;
    mrd_buf_append_text(&out->body, "computed");
}

/* A job that writes its answer. */
static void writing_job(void *context, struct mrd_http_request *request,
                        const _Atomic bool *canceled, struct qry_answer *out)
{
    (void)context, (void)canceled;
    struct mrd_error err;
    out->writer = mrd_http_reply_begin(request, 200, 4096);
    out->whole = true;
    for (int i = 0; i < 1000; i++) {
        out->whole = out->whole &&
                     mrd_http_writer_write(out->writer, MRD_BYTES("0123456789"), &err) == MRD_OK;
    }
}

static void submit(struct fixture *fixture, struct mrd_http_request *request, uint64_t tenant,
                   qry_job_fn *run)
{
    const struct qry_share share = {
        .tenant = tenant, .jobs_max = TENANT_MAX, .deadline_ns = fixture->deadline_ns};
    const enum qry_pool_verdict verdict =
        qry_pool_run(fixture->pool, request, &share, run, fixture);
    if (verdict != QRY_POOL_TAKEN) {
        mrd_http_reply_text(request, 429, "%d", (int)verdict);
    }
}

static void hold_a(void *context, struct mrd_http_request *request)
{
    submit(context, request, TENANT_A, held_job);
}

static void hold_b(void *context, struct mrd_http_request *request)
{
    submit(context, request, TENANT_B, held_job);
}

static void work_a(void *context, struct mrd_http_request *request)
{
    submit(context, request, TENANT_A, working_job);
}

static void compute_a(void *context, struct mrd_http_request *request)
{
    submit(context, request, TENANT_A, computing_job);
}

static void write_b(void *context, struct mrd_http_request *request)
{
    submit(context, request, TENANT_B, writing_job);
}

static void written(void *context, struct mrd_http_request *request)
{
    submit(context, request, TENANT_A, writing_job);
}

static mrd_http_handler remember_a;

static void start(struct fixture *fixture, unsigned places)
{
    struct mrd_error err;
    *fixture = (struct fixture){.metrics = mrd_metrics_create()};
    pthread_mutex_init(&fixture->lock, NULL);
    pthread_cond_init(&fixture->changed, NULL);
    const struct qry_pool_options pool = {
        .places = places, .queue_max = QUEUE_MAX, .metrics = fixture->metrics};
    assert_int_equal(qry_pool_create(&pool, &fixture->pool, &err), MRD_OK);
    const struct mrd_http_config http = {
        .listen = "127.0.0.1:0", .handlers_wait = true, .metrics = fixture->metrics};
    assert_int_equal(mrd_http_server_create(&http, &fixture->server, &err), MRD_OK);
    const struct mrd_http_route routes[] = {
        {MRD_HTTP_GET, "/a",         0, hold_a,     fixture},
        {MRD_HTTP_GET, "/b",         0, hold_b,     fixture},
        {MRD_HTTP_GET, "/written",   0, written,    fixture},
        {MRD_HTTP_GET, "/work-a",    0, work_a,     fixture},
        {MRD_HTTP_GET, "/compute-a", 0, compute_a,  fixture},
        {MRD_HTTP_GET, "/write-b",   0, write_b,    fixture},
        {MRD_HTTP_GET, "/remember",  0, remember_a, fixture},
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(routes); i++) {
        mrd_http_route_add(fixture->server, &routes[i]);
    }
    assert_int_equal(mrd_http_server_start(fixture->server, &err), MRD_OK);
}

static void open_gate(struct fixture *fixture)
{
    pthread_mutex_lock(&fixture->lock);
    fixture->open = true;
    pthread_mutex_unlock(&fixture->lock);
}

static void finish(struct fixture *fixture)
{
    open_gate(fixture);
    mrd_http_server_stop(fixture->server, 10000);
    qry_pool_destroy(&fixture->pool);
    mrd_http_server_destroy(&fixture->server);
    mrd_metrics_destroy(&fixture->metrics);
    pthread_mutex_destroy(&fixture->lock);
    pthread_cond_destroy(&fixture->changed);
}

static void wait_for(struct fixture *fixture, const size_t *count, size_t wanted)
{
    pthread_mutex_lock(&fixture->lock);
    while (*count < wanted) {
        pthread_cond_wait(&fixture->changed, &fixture->lock);
    }
    pthread_mutex_unlock(&fixture->lock);
}

static struct raw_client ask(struct fixture *fixture, const char *path)
{
    struct raw_client client = raw_connect(mrd_http_server_port(fixture->server));
    char text[128];
    (void)snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", path);
    assert_true(raw_send(&client, text));
    return client;
}

static void expect(struct raw_client *client, unsigned status, const char *body)
{
    mrd_auto(raw_answer_fini)
    struct raw_answer answer = raw_answer(client, true);
    assert_true(answer.complete);
    assert_int_equal(answer.status, status);
    assert_int_equal(answer.body.size, strlen(body));
    assert_memory_equal(answer.body.data, body, answer.body.size);
    raw_close(client);
}

static int64_t queued(struct fixture *fixture)
{
    return mrd_gauge_value(mrd_metrics_gauge(fixture->metrics, "meridian_querier_queries_waiting",
                                             "Queries that wait for a place.", MRD_NO_LABELS));
}

static void wait_queued(struct fixture *fixture, int64_t wanted)
{
    while (queued(fixture) < wanted) {
        usleep(1000);
    }
}

static void a_tenant_has_its_share_and_the_queue_its_end(void **state)
{
    (void)state;
    char text[8];
    struct fixture fixture;
    start(&fixture, 1);
    struct raw_client running = ask(&fixture, "/a");
    wait_for(&fixture, &fixture.running, 1);
    struct raw_client waiting_a = ask(&fixture, "/a");
    wait_queued(&fixture, 1);
    struct raw_client refused_a = ask(&fixture, "/a");
    (void)snprintf(text, sizeof(text), "%d", QRY_POOL_TENANT_FULL);
    expect(&refused_a, 429, text);
    struct raw_client waiting_b = ask(&fixture, "/b");
    wait_queued(&fixture, 2);
    struct raw_client refused_b = ask(&fixture, "/b");
    (void)snprintf(text, sizeof(text), "%d", QRY_POOL_FULL);
    expect(&refused_b, 429, text);
    open_gate(&fixture);
    expect(&running, 200, "done");
    expect(&waiting_a, 200, "done");
    expect(&waiting_b, 200, "done");
    struct raw_client again = ask(&fixture, "/a"); /* the share is free again */
    expect(&again, 200, "done");
    finish(&fixture);
}

static void a_tenant_leaves_a_place_to_the_others(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, 2);
    struct raw_client running_a = ask(&fixture, "/a");
    wait_for(&fixture, &fixture.running, 1);
    struct raw_client waiting_a = ask(&fixture, "/a");
    wait_queued(&fixture, 1); /* although a place is free */
    struct raw_client running_b = ask(&fixture, "/b");
    wait_for(&fixture, &fixture.running, 2);
    assert_int_equal(queued(&fixture), 1); /* the tenant's second still waits */
    open_gate(&fixture);
    expect(&running_b, 200, "done");
    expect(&running_a, 200, "done");
    expect(&waiting_a, 200, "done");
    finish(&fixture);
}

/* One place, which a job has that does not end: those of another tenant are answered all the same. */
static void a_long_job_lets_those_of_others_go_first(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, 1);
    struct raw_client long_a = ask(&fixture, "/work-a");
    wait_for(&fixture, &fixture.working, 1);
    for (int i = 0; i < 20; i++) {
        struct raw_client client = ask(&fixture, "/write-b");
        mrd_auto(raw_answer_fini)
        struct raw_answer answer = raw_answer(&client, true);
        assert_true(answer.complete);
        assert_int_equal(answer.body.size, 10000);
        raw_close(&client);
    }
    open_gate(&fixture);
    expect(&long_a, 200, "worked");
    finish(&fixture);
}

static void a_tenant_that_uses_more_than_its_share_gives_its_core_up(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, 2);
    open_gate(&fixture);
    struct raw_client alone = ask(&fixture, "/compute-a");
    expect(&alone, 200, "computed");
    assert_int_equal(core_yields(&fixture), 0);
    assert_false(fixture.stood_back);
    struct raw_client light = ask(&fixture, "/b");
    expect(&light, 200, "done");
    fixture.accompanied = true;
    struct raw_client heavy = ask(&fixture, "/compute-a");
    expect(&heavy, 200, "computed");
    assert_true(core_yields(&fixture) > 0);
    assert_true(fixture.stood_back);
    assert_false(qry_pool_stands_back());
    finish(&fixture);
}

static void a_job_learns_that_its_client_has_gone(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, 1);
    struct raw_client client = ask(&fixture, "/a");
    wait_for(&fixture, &fixture.running, 1);
    raw_close(&client);
    wait_for(&fixture, &fixture.canceled, 1);
    finish(&fixture);
}

/* Of a job that waits for another one, which does not end: it needs no place to learn it. */
static void a_job_that_waits_learns_that_its_client_has_gone(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, 1);
    struct raw_client running = ask(&fixture, "/a");
    wait_for(&fixture, &fixture.running, 1);
    struct raw_client waiting = ask(&fixture, "/b");
    wait_queued(&fixture, 1);
    raw_close(&waiting);
    wait_for(&fixture, &fixture.canceled, 1);
    assert_int_equal(queued(&fixture), 0);
    open_gate(&fixture);
    expect(&running, 200, "done");
    finish(&fixture);
}

/* One that has stood back waits for a place behind a job that does not end: what it has under way elsewhere is to end. */
static void a_job_that_has_stood_back_learns_that_its_client_has_gone(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, 1);
    struct raw_client long_a = ask(&fixture, "/work-a");
    wait_for(&fixture, &fixture.working, 1);
    struct raw_client running = ask(&fixture, "/b");
    wait_for(&fixture, &fixture.running, 1); /* in the place of the other one */
    raw_close(&long_a);
    wait_for(&fixture, &fixture.canceled, 1);
    open_gate(&fixture);
    expect(&running, 200, "done");
    struct raw_client after = ask(&fixture, "/a"); /* places are as they were */
    expect(&after, 200, "done");
    finish(&fixture);
}

static void a_job_waits_for_a_place_no_longer_than_it_has_time(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, 1);
    struct raw_client running = ask(&fixture, "/a");
    wait_for(&fixture, &fixture.running, 1);
    fixture.deadline_ns = mrd_clock_monotonic_ns(mrd_clock_system()) + 1;
    struct raw_client late = ask(&fixture, "/b");
    wait_for(&fixture, &fixture.running, 2); /* without a place, as there is none */
    assert_int_equal(queued(&fixture), 0);
    assert_int_equal(fixture.canceled, 0); /* its client has not gone */
    open_gate(&fixture);
    expect(&late, 200, "done");
    expect(&running, 200, "done");
    finish(&fixture);
}

/* The request of the job that was submitted last, which is not answered yet. */
static struct mrd_http_request *_Atomic last_request;

static void remember_a(void *context, struct mrd_http_request *request)
{
    last_request = request;
    submit(context, request, TENANT_A, held_job);
}

static struct mrd_http_request *remembered(void)
{
    while (last_request == NULL) {
        usleep(1000);
    }
    return atomic_exchange(&last_request, NULL);
}

static void a_job_is_ended_by_its_request(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, 1);
    struct raw_client running = ask(&fixture, "/remember");
    struct mrd_http_request *first = remembered();
    wait_for(&fixture, &fixture.running, 1);
    struct raw_client waiting = ask(&fixture, "/remember");
    struct mrd_http_request *second = remembered();
    wait_queued(&fixture, 1);
    /* The one that waits begins at once, to say that it is canceled, and its place in the tenant's share is free. */
    qry_pool_cancel(fixture.pool, second);
    expect(&waiting, 200, "done");
    assert_int_equal(fixture.canceled, 1);
    assert_int_equal(queued(&fixture), 0);
    struct raw_client after = ask(&fixture, "/a");
    wait_queued(&fixture, 1);
    qry_pool_cancel(fixture.pool, first);
    wait_for(&fixture, &fixture.canceled, 2);
    expect(&running, 200, "done");
    open_gate(&fixture);
    expect(&after, 200, "done");
    finish(&fixture);
}

static void a_job_may_write_its_answer(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, 1);
    for (int i = 0; i < 20; i++) {
        struct raw_client client = ask(&fixture, "/written");
        mrd_auto(raw_answer_fini)
        struct raw_answer answer = raw_answer(&client, true);
        assert_true(answer.complete);
        assert_int_equal(answer.body.size, 10000);
        raw_close(&client);
    }
    finish(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tenant_has_its_share_and_the_queue_its_end),
        cmocka_unit_test(a_tenant_leaves_a_place_to_the_others),
        cmocka_unit_test(a_long_job_lets_those_of_others_go_first),
        cmocka_unit_test(a_tenant_that_uses_more_than_its_share_gives_its_core_up),
        cmocka_unit_test(a_job_learns_that_its_client_has_gone),
        cmocka_unit_test(a_job_that_waits_learns_that_its_client_has_gone),
        cmocka_unit_test(a_job_that_has_stood_back_learns_that_its_client_has_gone),
        cmocka_unit_test(a_job_waits_for_a_place_no_longer_than_it_has_time),
        cmocka_unit_test(a_job_is_ended_by_its_request),
        cmocka_unit_test(a_job_may_write_its_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
