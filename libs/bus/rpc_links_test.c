/* Direct connections: who may use them, and what happens when they break. That the rules of rpc hold over them is in rpc_test.c. */
#include <netinet/in.h>

#include "bus/link_internal.h"
#include "bus/rpc_rig.h"

static uint64_t direct(const struct world *world)
{
    return mrd_counter_value(world->links.calls_link);
}

static uint64_t over_nats(const struct world *world)
{
    return mrd_counter_value(world->links.calls_nats);
}

/* One question and its answer. */
static void ask_once(struct world *world)
{
    struct mrd_rpc_fan *fan = fan_of(world->client, 10000, 0);
    start(fan, SUBJECT, "chunks 3 100");
    uint64_t chunks = 0;
    uint64_t bytes = 0;
    read_all(fan, &chunks, &bytes, 1);
    assert_int_equal(chunks, 3);
    mrd_rpc_fan_destroy(&fan);
}

static int raw_connect(const struct mrd_link *link)
{
    char host[MRD_LINK_HOST_MAX];
    char port[MRD_LINK_PORT_MAX];
    assert_true(mrd_link_address_split(link->address, host, port));
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    assert_int_equal(inet_pton(AF_INET, host, &address.sin_addr), 1);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* True if the server closes the connection, whatever it says before. */
static bool is_closed(int fd)
{
    char bytes[256];
    for (;;) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        if (poll(&poll_fd, 1, 10000) <= 0) {
            return false;
        }
        if (recv(fd, bytes, sizeof(bytes), 0) <= 0) {
            return true;
        }
    }
}

/* A connection whose client knows `secret`. */
static int raw_prove(const struct mrd_link *link, const uint8_t *secret)
{
    const int fd = raw_connect(link);
    const int64_t deadline_ns = now_ns() + 10000 * MS;
    struct mrd_link_nonces nonces = {{7}, {0}};
    uint8_t hello[MRD_LINK_HELLO_BYTES];
    uint8_t challenge[MRD_LINK_CHALLENGE_BYTES];
    uint8_t proof[MRD_LINK_PROOF_BYTES];
    mrd_link_hello_put(hello, nonces.client);
    assert_int_equal(mrd_link_write_exact(fd, hello, sizeof(hello), deadline_ns, NULL), MRD_OK);
    assert_int_equal(mrd_link_read_exact(fd, challenge, sizeof(challenge), deadline_ns, NULL),
                     MRD_OK);
    assert_true(mrd_link_hello_get(challenge, nonces.server));
    assert_true(mrd_link_proof_check(link->secret, MRD_LINK_SERVER, &nonces,
                                     challenge + MRD_LINK_HELLO_BYTES));
    mrd_link_proof_make(secret, MRD_LINK_CLIENT, &nonces, proof);
    assert_int_equal(mrd_link_write_exact(fd, proof, sizeof(proof), deadline_ns, NULL), MRD_OK);
    return fd;
}

static void questions_go_over_a_link_once_there_is_one(void **state)
{
    struct world *world = *state;
    struct service service;
    service_start(&service, world->server_bus, SUBJECT, 2, 0);
    const uint64_t before = over_nats(world);
    const uint64_t direct_before = direct(world);
    for (int i = 0; i < 100; i++) {
        ask_once(world);
    }
    assert_int_equal(over_nats(world), before);
    assert_int_equal(direct(world), direct_before + 100);
    assert_int_equal(atomic_load(&world->links_down), 0);
    mrd_rpc_server_destroy(&service.server, 1000);
}

static void a_client_with_another_secret_is_closed_before_it_can_ask(void **state)
{
    struct world *world = *state;
    struct service service;
    service_start(&service, world->server_bus, SUBJECT, 2, 0);
    uint8_t secret[MRD_LINK_SECRET_BYTES];
    memcpy(secret, service.link.secret, sizeof(secret));
    secret[0] ^= 1;
    struct mrd_rpc_server_stats before;
    struct mrd_rpc_server_stats after;
    mrd_rpc_server_stats(service.server, &before);
    const int fd = raw_prove(&service.link, secret);
    uint8_t request[MRD_LINK_SIZE_BYTES + MRD_RPC_REQUEST_BYTES] = {MRD_RPC_REQUEST_BYTES};
    mrd_rpc_request_put(request + MRD_LINK_SIZE_BYTES, 1, 1000);
    (void)send(fd, request, sizeof(request), MSG_NOSIGNAL);
    assert_true(is_closed(fd));
    close(fd);
    mrd_rpc_server_stats(service.server, &after);
    assert_int_equal(after.requests, before.requests);
    ask_once(world); /* the others go on */
    mrd_rpc_server_destroy(&service.server, 1000);
}

static void a_server_with_another_secret_is_asked_over_nats(void **state)
{
    struct world *world = *state;
    struct service service;
    by_links = false;
    service_start(&service, world->server_bus, SUBJECT, 2, 0);
    struct mrd_link_listener *listener = listener_create(world->server_bus, &link_asked);
    struct service other = {0};
    const struct mrd_rpc_server_options options = {.subject = "mrd.query.other",
                                                   .listener_take = listener,
                                                   .handle = on_call,
                                                   .context = &other};
    assert_int_equal(mrd_rpc_server_create(world->server_bus, &options, &other.server, NULL),
                     MRD_OK);
    link_asked.secret[5] ^= 1;
    while (atomic_load(&world->links_down) == 0) {
        ask_once(world);
    }
    assert_int_equal(direct(world), 0);
    assert_int_equal(mrd_counter_value(world->links.opened), 0);
    mrd_rpc_server_destroy(&other.server, 1000);
    mrd_rpc_server_destroy(&service.server, 1000);
}

/* Each loses its own connection and nothing else. */
static void hostile_bytes_lose_their_connection_only(void **state)
{
    struct world *world = *state;
    struct service service;
    service_start(&service, world->server_bus, SUBJECT, 2, 0);
    static const struct {
        bool proved;
        const char *bytes;
        size_t size;
    } cases[] = {
        {false, "GET / HTTP/1.1\r\nHost: x\r\n\r\nxxxxxxxxxxxxxxxxxxxxxxxx", 51},
        {false, "MRDL\x02\0\0\0xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",            40},
        {true,  "\0\0\0\0",                                                  4 },
        {true,  "\xff\xff\xff\xff",                                          4 },
        {true,  "\x08\0\0\0\x02\x02\0\0\0\0\0\0",                            12}, /* DATA */
        {true,  "\x08\0\0\0\x02\x63\0\0\0\0\0\0",                            12}, /* unknown */
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        const int fd = cases[i].proved ? raw_prove(&service.link, service.link.secret)
                                       : raw_connect(&service.link);
        assert_int_equal(send(fd, cases[i].bytes, cases[i].size, MSG_NOSIGNAL), cases[i].size);
        if (!is_closed(fd)) {
            fail_msg("case %zu is still open", i);
        }
        close(fd);
        ask_once(world);
    }
    mrd_rpc_server_destroy(&service.server, 1000);
}

/* A second request while the first one runs; credit and cancellation without a call are no harm. */
static void one_request_at_a_time_is_taken(void **state)
{
    struct world *world = *state;
    struct service service;
    service_start(&service, world->server_bus, SUBJECT, 1, 0);
    const int fd = raw_prove(&service.link, service.link.secret);
    uint8_t frame[MRD_LINK_SIZE_BYTES + MRD_RPC_REQUEST_BYTES + 4] = {MRD_RPC_REQUEST_BYTES + 4};
    uint8_t credit[MRD_LINK_SIZE_BYTES + MRD_RPC_FRAME_BYTES] = {MRD_RPC_FRAME_BYTES};
    mrd_rpc_frame_put(credit + MRD_LINK_SIZE_BYTES, MRD_RPC_FRAME_CREDIT, MRD_OK, 1);
    assert_int_equal(send(fd, credit, sizeof(credit), 0), sizeof(credit));
    mrd_rpc_request_put(frame + MRD_LINK_SIZE_BYTES, 1, 60000);
    memcpy(frame + MRD_LINK_SIZE_BYTES + MRD_RPC_REQUEST_BYTES, "hang", 4);
    struct mrd_rpc_fan *fan = fan_of(world->client, 60000, 0);
    start(fan, SUBJECT, "hang"); /* has the place, so that the next one is queued */
    while (atomic_load(&service.hanging) == 0) {
        usleep(1000);
    }
    assert_int_equal(send(fd, frame, sizeof(frame), 0), sizeof(frame));
    struct mrd_rpc_server_stats stats = {0};
    while (stats.queued == 0) {
        mrd_rpc_server_stats(service.server, &stats);
    }
    assert_int_equal(send(fd, frame, sizeof(frame), MSG_NOSIGNAL), sizeof(frame));
    assert_true(is_closed(fd));
    mrd_rpc_fan_destroy(&fan);
    close(fd);
    mrd_rpc_server_destroy(&service.server, 1000);
}

static void who_says_nothing_is_closed(void **state)
{
    struct world *world = *state;
    struct service service;
    service_start(&service, world->server_bus, SUBJECT, 2, 0);
    const int fd = raw_connect(&service.link);
    assert_int_equal(send(fd, "MRDL", 4, 0), 4);
    assert_true(is_closed(fd));
    close(fd);
    mrd_rpc_server_destroy(&service.server, 1000);
}

static void a_closed_connection_cancels_its_call(void **state)
{
    struct world *world = *state;
    struct service service;
    service_start(&service, world->server_bus, SUBJECT, 2, 0);
    const int fd = raw_prove(&service.link, service.link.secret);
    uint8_t frame[MRD_LINK_SIZE_BYTES + MRD_RPC_REQUEST_BYTES + 5] = {MRD_RPC_REQUEST_BYTES + 5};
    mrd_rpc_request_put(frame + MRD_LINK_SIZE_BYTES, 1, 60000);
    memcpy(frame + MRD_LINK_SIZE_BYTES + MRD_RPC_REQUEST_BYTES, "pause", 5);
    assert_int_equal(send(fd, frame, sizeof(frame), 0), sizeof(frame));
    while (atomic_load(&service.hanging) == 0) {
        usleep(1000);
    }
    close(fd);
    while (atomic_load(&service.ended) == 0) {
        usleep(1000);
    }
    assert_int_equal(atomic_load(&service.last_status), MRD_E_CANCELED);
    mrd_rpc_server_destroy(&service.server, 1000);
}

/* What waits for a place is as well. */
static void a_queued_call_is_canceled_too(void **state)
{
    struct world *world = *state;
    struct service service;
    service_start(&service, world->server_bus, SUBJECT, 1, 0);
    struct mrd_rpc_fan *fan = fan_of(world->client, 60000, 0);
    start(fan, SUBJECT, "hang");
    while (atomic_load(&service.hanging) == 0) {
        usleep(1000);
    }
    const size_t queued = start(fan, SUBJECT, "hang");
    struct mrd_rpc_server_stats stats = {0};
    while (stats.queued == 0) {
        mrd_rpc_server_stats(service.server, &stats);
    }
    mrd_rpc_fan_cancel(fan, queued);
    mrd_rpc_fan_destroy(&fan);
    stats.running = 1;
    while (stats.queued + stats.running > 0) {
        mrd_rpc_server_stats(service.server, &stats);
    }
    assert_int_equal(stats.canceled - service.before.canceled, 2);
    assert_int_equal(atomic_load(&service.hanging), 1); /* it never began */
    mrd_rpc_server_destroy(&service.server, 1000);
}

/* A thread that has worked for long stays in the background; its link goes on with another one. */
static void a_link_outlives_the_thread_of_a_long_call(void **state)
{
    struct world *world = *state;
    struct service service;
    service_start(&service, world->server_bus, SUBJECT, 2, 0);
    const int fd = raw_prove(&service.link, service.link.secret);
    uint8_t frame[MRD_LINK_SIZE_BYTES + MRD_RPC_REQUEST_BYTES + 7] = {MRD_RPC_REQUEST_BYTES + 7};
    mrd_rpc_request_put(frame + MRD_LINK_SIZE_BYTES, 1, 60000);
    memcpy(frame + MRD_LINK_SIZE_BYTES + MRD_RPC_REQUEST_BYTES, "work 40", 7);
    for (int i = 0; i < 5; i++) {
        uint8_t answer[MRD_LINK_SIZE_BYTES + MRD_RPC_FRAME_BYTES] = {0};
        assert_int_equal(send(fd, frame, sizeof(frame), MSG_NOSIGNAL), sizeof(frame));
        do {
            assert_int_equal(
                mrd_link_read_exact(fd, answer, sizeof(answer), now_ns() + 10000 * MS, NULL),
                MRD_OK);
        } while (answer[MRD_LINK_SIZE_BYTES + 1] == MRD_RPC_FRAME_ALIVE);
        assert_int_equal(answer[MRD_LINK_SIZE_BYTES + 1], MRD_RPC_FRAME_END);
    }
    close(fd);
    mrd_rpc_server_destroy(&service.server, 1000);
}

/* Its credit and its cancellation are heard as well: by the thread that has the link now. */
static void who_has_taken_a_link_over_hears_what_is_said_to_the_long_call(void **state)
{
    struct world *world = *state;
    struct service service;
    service_start(&service, world->server_bus, SUBJECT, 2, 0);
    struct mrd_rpc_fan *fan = fan_of(world->client, 60000, 0);
    start(fan, SUBJECT, "long 500");
    uint64_t chunks = 0;
    uint64_t bytes = 0;
    read_all(fan, &chunks, &bytes, 1);
    assert_int_equal(chunks, 500);
    mrd_rpc_fan_destroy(&fan);
    ask_once(world); /* over the same link, or another one */
    mrd_rpc_server_destroy(&service.server, 1000);
}

/* A request as a client that grants much writes it. */
static void raw_ask(int fd, const char *text)
{
    uint8_t frame[256];
    const uint32_t size = (uint32_t)(MRD_RPC_REQUEST_BYTES + strlen(text));
    memcpy(frame, &size, sizeof(size));
    mrd_rpc_request_put(frame + MRD_LINK_SIZE_BYTES, 100000, 60000);
    memcpy(frame + MRD_LINK_SIZE_BYTES + MRD_RPC_REQUEST_BYTES, text, strlen(text));
    assert_int_equal(send(fd, frame, MRD_LINK_SIZE_BYTES + size, MSG_NOSIGNAL),
                     MRD_LINK_SIZE_BYTES + size);
}

/* Reads all of an answer; returns its chunks, whose numbers must be in order. Signs of life may stand between them, whole. */
static uint32_t raw_read_answer(int fd)
{
    static uint8_t payload[1 << 20];
    for (uint32_t number = 0;;) {
        uint8_t head[MRD_LINK_SIZE_BYTES + MRD_RPC_FRAME_BYTES];
        struct mrd_rpc_frame frame;
        uint32_t size;
        const int64_t deadline_ns = now_ns() + 30000 * MS;
        assert_int_equal(mrd_link_read_exact(fd, head, sizeof(head), deadline_ns, NULL), MRD_OK);
        memcpy(&size, head, sizeof(size));
        assert_true(mrd_rpc_frame_get(
            (struct mrd_bytes){head + MRD_LINK_SIZE_BYTES, MRD_RPC_FRAME_BYTES}, &frame));
        assert_int_equal(
            mrd_link_read_exact(fd, payload, size - MRD_RPC_FRAME_BYTES, deadline_ns, NULL),
            MRD_OK);
        if (frame.kind == MRD_RPC_FRAME_END) {
            return number;
        }
        if (frame.kind != MRD_RPC_FRAME_ALIVE) {
            assert_int_equal(frame.kind, MRD_RPC_FRAME_DATA);
            assert_int_equal(frame.number, number++);
        }
    }
}

/* Credit without end and a reader that stops: the socket fills up, in the middle of a chunk. One worker; others use it. */
static void a_client_that_does_not_read_holds_no_worker(void **state)
{
    struct world *world = *state;
    struct service service;
    service_start(&service, world->server_bus, SUBJECT, 1, 0);
    const int fd = raw_prove(&service.link, service.link.secret);
    const int gone = raw_prove(&service.link, service.link.secret);
    raw_ask(fd, "chunks 200 262144");
    raw_ask(gone, "chunks 200 262144");
    struct mrd_rpc_server_stats stats = {0};
    while (stats.running < 2) {
        mrd_rpc_server_stats(service.server, &stats);
    }
    for (int i = 0; i < 20; i++) {
        ask_once(world);
        usleep(50000); /* for signs of life that do not fit either; nothing waits for the time */
    }
    close(gone);
    while (stats.canceled == service.before.canceled) {
        mrd_rpc_server_stats(service.server, &stats);
    }
    assert_int_equal(raw_read_answer(fd), 200);
    raw_ask(fd, "chunks 3 100"); /* and the link is as good as new */
    assert_int_equal(raw_read_answer(fd), 3);
    close(fd);
    mrd_rpc_server_destroy(&service.server, 1000);
}

static void a_large_request_goes_over_nats(void **state)
{
    struct world *world = *state;
    struct service service;
    service_start(&service, world->server_bus, SUBJECT, 1, 0);
    static char request[MRD_LINK_REQUEST_MAX + 1];
    memset(request, ' ', sizeof(request) - 1);
    memcpy(request, "chunks 3 100", 12);
    const uint64_t before = over_nats(world);
    struct mrd_rpc_fan *fan = fan_of(world->client, 10000, 0);
    start(fan, SUBJECT, request);
    uint64_t chunks = 0;
    uint64_t bytes = 0;
    read_all(fan, &chunks, &bytes, 1);
    assert_int_equal(chunks, 3);
    assert_int_equal(over_nats(world), before + 1);
    mrd_rpc_fan_destroy(&fan);
    mrd_rpc_server_destroy(&service.server, 1000);
}

static void connections_beyond_the_bound_are_closed(void **state)
{
    struct world *world = *state;
    struct mrd_gauge *open = mrd_metrics_gauge(world->metrics, "open", "o", MRD_NO_LABELS);
    struct mrd_counter *refused =
        mrd_metrics_counter(world->metrics, "refused", "r", MRD_NO_LABELS);
    const struct mrd_link_listener_options listen = {
        .listen = "127.0.0.1:0", .connections_max = 2, .open = open, .refused = refused};
    struct service service = {0};
    struct mrd_rpc_server_options options = {
        .subject = SUBJECT, .handle = on_call, .context = &service};
    assert_int_equal(mrd_link_listen(world->server_bus, &listen, &options.listener_take, NULL),
                     MRD_OK);
    const struct mrd_link link = *mrd_link_listener_address(options.listener_take);
    assert_int_equal(mrd_rpc_server_create(world->server_bus, &options, &service.server, NULL),
                     MRD_OK);
    int fds[3];
    fds[0] = raw_prove(&link, link.secret);
    fds[1] = raw_prove(&link, link.secret);
    fds[2] = raw_connect(&link);
    assert_true(is_closed(fds[2]));
    assert_int_equal(mrd_counter_value(refused), 1);
    assert_int_equal(mrd_gauge_value(open), 2);
    raw_ask(fds[0], "chunks 3 100");
    assert_int_equal(raw_read_answer(fds[0]), 3);
    close(fds[1]); /* makes room */
    while (mrd_gauge_value(open) == 2) {
        usleep(1000);
    }
    close(fds[2]);
    fds[2] = raw_prove(&link, link.secret);
    raw_ask(fds[2], "chunks 4 100");
    assert_int_equal(raw_read_answer(fds[2]), 4);
    close(fds[0]);
    close(fds[2]);
    mrd_rpc_server_destroy(&service.server, 1000);
    assert_int_equal(mrd_gauge_value(open), 0);
}

static void an_address_that_cannot_be_listened_on_is_named(void **state)
{
    struct world *world = *state;
    static const struct {
        const char *listen, *advertise;
        enum mrd_status want;
        const char *text;
    } cases[] = {
        {"7302",          NULL,     MRD_E_INVALID,     "rpc.listen"   },
        {"203.0.113.9:0", NULL,     MRD_E_UNAVAILABLE, "203.0.113.9"  },
        {"127.0.0.1:0",   "nobody", MRD_E_INVALID,     "rpc.advertise"},
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        struct mrd_link_listener *listener = NULL;
        struct mrd_error err = {0};
        const struct mrd_link_listener_options options = {.listen = cases[i].listen,
                                                          .advertise = cases[i].advertise};
        assert_int_equal(mrd_link_listen(world->server_bus, &options, &listener, &err),
                         cases[i].want);
        assert_null(listener);
        if (strstr(err.text, cases[i].text) == NULL) {
            fail_msg("%s", err.text);
        }
    }
}

static void what_others_are_told_is_where_they_can_connect(void **state)
{
    struct world *world = *state;
    static const char *const cases[][3] = {
        {"auto:0",      NULL,                 "127.0.0.1:"       },
        {"0.0.0.0:0",   "",                   "127.0.0.1:"       },
        {"127.0.0.1:0", "ingester.example:0", "ingester.example:"},
        {"127.0.0.1:0", "[fd00::1]:7302",     "[fd00::1]:7302"   },
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        struct mrd_link_listener *listener = NULL;
        const struct mrd_link_listener_options options = {.listen = cases[i][0],
                                                          .advertise = cases[i][1]};
        assert_int_equal(mrd_link_listen(world->server_bus, &options, &listener, NULL), MRD_OK);
        const char *address = mrd_link_listener_address(listener)->address;
        if (strncmp(address, cases[i][2], strlen(cases[i][2])) != 0 ||
            strcmp(strrchr(address, ':'), ":0") == 0) {
            fail_msg("case %zu: %s", i, address);
        }
        mrd_link_listener_destroy(&listener);
    }
}

static void calls_over_links_outlive_the_connection_to_nats(void **state)
{
    struct world *world = *state;
    struct service service;
    service_start(&service, world->server_bus, SUBJECT, 2, 0);
    struct mrd_rpc_fan *fan = fan_of(world->client, 60000, 0);
    const size_t call = start(fan, SUBJECT, "chunks 100 1000");
    nats_fixture_kill(&world->nats);
    while (mrd_bus_connected(world->client_bus) || mrd_bus_connected(world->server_bus)) {
        usleep(1000);
    }
    uint64_t chunks = 0;
    uint64_t bytes = 0;
    read_all(fan, &chunks, &bytes, call + 1);
    assert_int_equal(chunks, 100);
    mrd_rpc_fan_destroy(&fan);
    ask_once(world);
    nats_fixture_launch(&world->nats);
    assert_int_equal(mrd_bus_wait_connected(world->client_bus, 20000, NULL), MRD_OK);
    assert_int_equal(mrd_bus_wait_connected(world->server_bus, 20000, NULL), MRD_OK);
    mrd_rpc_server_destroy(&service.server, 1000);
}

/* The address is told, and nobody listens there: no question waits for that, and it is told once. */
static void a_blocked_port_leaves_nats(void **state)
{
    struct world *world = *state;
    struct service service;
    by_links = false;
    service_start(&service, world->server_bus, SUBJECT, 2, 0);
    snprintf(link_asked.address, sizeof(link_asked.address), "127.0.0.1:%d",
             nats_fixture_free_port());
    while (mrd_counter_value(world->links.failed) < 2) { /* the second one after a second */
        ask_once(world);
    }
    assert_int_equal(direct(world), 0);
    assert_int_equal(atomic_load(&world->links_down), 1);
    mrd_rpc_server_destroy(&service.server, 1000);
}

static void a_server_that_stops_is_asked_no_more_over_its_links(void **state)
{
    struct world *world = *state;
    struct service service;
    service_start(&service, world->server_bus, SUBJECT, 2, 0);
    const struct mrd_link old = service.link;
    struct mrd_rpc_fan *fan = fan_of(world->client, 60000, 0);
    start(fan, SUBJECT, "hang");
    while (atomic_load(&service.hanging) == 0) {
        usleep(1000);
    }
    mrd_rpc_server_destroy(&service.server, 50);
    struct mrd_rpc_event event;
    expect_failure(fan, &event, MRD_E_UNAVAILABLE);
    mrd_rpc_fan_destroy(&fan);
    service_start(&service, world->server_bus, SUBJECT, 2, 0); /* elsewhere, with another secret */
    assert_memory_not_equal(old.secret, service.link.secret, MRD_LINK_SECRET_BYTES);
    const uint64_t before = direct(world);
    ask_once(world);
    assert_int_equal(direct(world), before + 1);
    mrd_rpc_server_destroy(&service.server, 1000);
}

/* ---- other processes: forked before this one has any thread ---- */

struct child {
    struct nats_fixture nats;
    pid_t pid;
    struct mrd_link link;
    struct world world; /* the client's */
};

static void child_serve(const struct nats_fixture *nats, int out)
{
    static struct service service;
    struct mrd_bus *bus = nats_fixture_connect(nats);
    struct mrd_link link;
    const struct mrd_rpc_server_options options = {.subject = SUBJECT,
                                                   .listener_take = listener_create(bus, &link),
                                                   .handle = on_call,
                                                   .context = &service};
    if (mrd_rpc_server_create(bus, &options, &service.server, NULL) != MRD_OK ||
        mrd_bus_flush(bus, 5000, NULL) != MRD_OK ||
        write(out, &link, sizeof(link)) != sizeof(link)) {
        _exit(1);
    }
    for (;;) {
        pause();
    }
}

static void child_fork(struct child *child)
{
    int ready[2];
    nats_fixture_start(&child->nats);
    assert_int_equal(pipe(ready), 0);
    child->pid = fork();
    if (child->pid == 0) {
        child_serve(&child->nats, ready[1]);
    }
    assert_int_equal(read(ready[0], &child->link, sizeof(child->link)), sizeof(child->link));
    close(ready[0]);
    close(ready[1]);
}

static void child_connect(struct child *child)
{
    child->world.client_bus = nats_fixture_connect(&child->nats);
    assert_int_equal(mrd_rpc_client_create(child->world.client_bus, &child->world.client, NULL),
                     MRD_OK);
    links_open(&child->world);
    link_asked = child->link;
    while (direct(&child->world) == 0) {
        ask_once(&child->world);
    }
}

static void child_stop(struct child *child)
{
    kill(child->pid, SIGKILL);
    waitpid(child->pid, NULL, 0);
    mrd_rpc_client_destroy(&child->world.client);
    mrd_bus_close(&child->world.client_bus);
    nats_fixture_stop(&child->nats);
    mrd_metrics_destroy(&child->world.metrics);
    link_asked = (struct mrd_link){0};
}

static struct child to_kill;
static struct child to_freeze;

static int children_fork(void **state)
{
    (void)state;
    child_fork(&to_kill);
    child_fork(&to_freeze);
    return 0;
}

/* Begins a long answer, and does `signal` to who makes it. */
static void answer_begin(struct child *child, struct mrd_rpc_fan *fan, int signal)
{
    struct mrd_rpc_event event;
    start(fan, SUBJECT, "chunks 100000 1000");
    assert_int_equal(mrd_rpc_fan_next(fan, &event, NULL), MRD_OK);
    assert_int_equal(event.kind, MRD_RPC_CHUNK);
    kill(child->pid, signal);
    while (mrd_rpc_fan_next(fan, &event, NULL) == MRD_OK && event.kind == MRD_RPC_CHUNK) {}
    assert_int_equal(event.kind, MRD_RPC_FAILED);
    assert_int_equal(event.error.status, MRD_E_UNAVAILABLE);
    if (strstr(event.error.text, signal == SIGKILL ? "lost" : "silent") == NULL) {
        fail_msg("%s", event.error.text);
    }
}

static void a_server_killed_in_the_middle_is_known_at_once(void **state)
{
    (void)state;
    child_connect(&to_kill);
    struct mrd_rpc_fan *fan =
        fan_of(to_kill.world.client, 600000, 600000); /* silence cannot help */
    answer_begin(&to_kill, fan, SIGKILL);
    mrd_rpc_fan_destroy(&fan);
    child_stop(&to_kill);
}

static void a_server_that_freezes_is_found_out_by_silence(void **state)
{
    (void)state;
    child_connect(&to_freeze);
    struct mrd_rpc_fan *fan = fan_of(to_freeze.world.client, 600000, 700);
    answer_begin(&to_freeze, fan, SIGSTOP);
    mrd_rpc_fan_destroy(&fan);
    child_stop(&to_freeze);
}

int main(void)
{
#define LINK_TEST(name) cmocka_unit_test_setup_teardown(name, links_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_killed_in_the_middle_is_known_at_once),
        cmocka_unit_test(a_server_that_freezes_is_found_out_by_silence),
        LINK_TEST(questions_go_over_a_link_once_there_is_one),
        LINK_TEST(a_client_with_another_secret_is_closed_before_it_can_ask),
        LINK_TEST(a_server_with_another_secret_is_asked_over_nats),
        LINK_TEST(hostile_bytes_lose_their_connection_only),
        LINK_TEST(one_request_at_a_time_is_taken),
        LINK_TEST(who_says_nothing_is_closed),
        LINK_TEST(a_closed_connection_cancels_its_call),
        LINK_TEST(a_queued_call_is_canceled_too),
        LINK_TEST(a_link_outlives_the_thread_of_a_long_call),
        LINK_TEST(who_has_taken_a_link_over_hears_what_is_said_to_the_long_call),
        LINK_TEST(a_client_that_does_not_read_holds_no_worker),
        LINK_TEST(a_large_request_goes_over_nats),
        LINK_TEST(connections_beyond_the_bound_are_closed),
        LINK_TEST(an_address_that_cannot_be_listened_on_is_named),
        LINK_TEST(what_others_are_told_is_where_they_can_connect),
        LINK_TEST(calls_over_links_outlive_the_connection_to_nats),
        LINK_TEST(a_blocked_port_leaves_nats),
        LINK_TEST(a_server_that_stops_is_asked_no_more_over_its_links),
    };
    const int failed = cmocka_run_group_tests(tests, children_fork, NULL);
    mrd_bus_library_close();
    return failed;
}
