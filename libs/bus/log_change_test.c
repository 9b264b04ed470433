/* What changes a log's stream while somebody else does. A gate before a real server lets others come in between the requests of the one that is looked at. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

#include <cmocka.h>

#include "bus/log_change_internal.h"
#include "bus/nats_fixture.h"
#include "bus/request_internal.h"

enum { WAIT_MS = 10000 };
#define INFO "$JS.API.STREAM.INFO.MRD_INGEST_0"
#define UPDATE "$JS.API.STREAM.UPDATE.MRD_INGEST_0"
#define DELETE "$JS.API.STREAM.DELETE.MRD_INGEST_0"

static void must(enum mrd_status status, const struct mrd_error *err)
{
    if (status != MRD_OK) {
        fail_msg("%s: %s", mrd_status_name(status), err->text);
    }
}

/* ---- the gate ---- */

struct world;

enum when {
    NEVER,
    BEFORE_WRITE, /* behind the last answer that the writer has before it writes */
    BEHIND_WRITE, /* before whatever the writer asks next */
};

/* One connection's bytes to the server and back. */
struct gate {
    int listener;
    int port;
    int server_port;
    pthread_t thread;
    struct world *world;
    void (*come_between)(struct world *world); /* by the gate's thread */
    enum when when;
    int infos; /* that the writer asks for before */
    _Atomic int came;
    _Atomic int writes;
};

static int count_of(const char *text, const char *what)
{
    int count = 0;
    for (const char *at = strstr(text, what); at != NULL; at = strstr(at + 1, what)) {
        count++;
    }
    return count;
}

static void look_at(struct gate *gate, const char *text)
{
    const int writes = count_of(text, UPDATE);
    gate->infos -= count_of(text, INFO);
    const bool before = gate->when == BEFORE_WRITE && (writes > 0 || gate->infos < 0);
    const bool behind = gate->when == BEHIND_WRITE && atomic_load(&gate->writes) > 0 &&
                        count_of(text, "$JS.API.STREAM.") > 0;
    if ((before || behind) && atomic_load(&gate->came) == 0) {
        gate->come_between(gate->world);
        atomic_fetch_add(&gate->came, 1);
    }
    atomic_fetch_add(&gate->writes, writes);
}

static void pass_all(int fd, const char *bytes, ssize_t size)
{
    while (size > 0) {
        const ssize_t sent = send(fd, bytes, (size_t)size, MSG_NOSIGNAL);
        if (sent <= 0) {
            return;
        }
        bytes += sent;
        size -= sent;
    }
}

static void *gate_run(void *context)
{
    struct gate *gate = context;
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)gate->server_port),
                                        .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    const int client = accept(gate->listener, NULL, NULL);
    const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client < 0 || connect(server, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        nats_fixture_fail("no connection");
    }
    struct pollfd fds[2] = {
        {.fd = client, .events = POLLIN},
        {.fd = server, .events = POLLIN}
    };
    static _Thread_local char bytes[64 * 1024 + 1];
    for (bool open = true; open;) {
        (void)poll(fds, 2, -1);
        for (int i = 0; i < 2; i++) {
            if (fds[i].revents == 0) {
                continue;
            }
            const ssize_t size = recv(fds[i].fd, bytes, sizeof(bytes) - 1, 0);
            open = open && size > 0;
            if (i == 0 && size > 0) {
                bytes[size] = '\0';
                look_at(gate, bytes);
            }
            pass_all(fds[1 - i].fd, bytes, size);
        }
    }
    close(client);
    close(server);
    return NULL;
}

/* ---- the world ---- */

struct world {
    struct nats_fixture nats;
    struct mrd_bus *bus;      /* of the others */
    struct mrd_bus *gate_bus; /* of the one that is looked at */
    struct gate gate;
    char *config; /* of before */
};

static enum mrd_status ensure(struct mrd_bus *bus, int64_t bytes_max)
{
    const struct mrd_log_config config = {.region = "r",
                                          .partition_count = 1,
                                          .replicas = 1,
                                          .bytes_max = bytes_max,
                                          .age_ms_max = 3600 * 1000};
    struct mrd_error err = {0};
    enum mrd_status status = MRD_E_UNAVAILABLE;
    for (int i = 0; i < 200 && status == MRD_E_UNAVAILABLE; i++) {
        usleep(i == 0 ? 0 : 50000);
        status = mrd_log_ensure(bus, &config, WAIT_MS, &err);
    }
    must(status, &err);
    return status;
}

/* An answer of the server's own. */
static void request(struct mrd_bus *bus, const char *subject, const char *body, char **out_config)
{
    struct mrd_error err = {0};
    struct mrd_request request = {.subject = subject, .body = mrd_bytes_of(body)};
    must(mrd_bus_request(bus, &request, 1, WAIT_MS, NULL, &err), &err);
    if (out_config != NULL) {
        const struct mrd_bytes json = {(const uint8_t *)natsMsg_GetData(request.reply),
                                       (size_t)natsMsg_GetDataLength(request.reply)};
        must(mrd_log_info_config(json, out_config, &err), &err);
    }
    natsMsg_Destroy(request.reply);
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    struct gate *gate = &world->gate;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(address);
    nats_fixture_start(&world->nats);
    world->bus = nats_fixture_connect(&world->nats);
    (void)ensure(world->bus, 64 << 20);
    request(world->bus, INFO, "", &world->config);
    gate->world = world;
    gate->server_port = world->nats.port;
    gate->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(gate->listener, (struct sockaddr *)&address, size) != 0 ||
        listen(gate->listener, 1) != 0 ||
        getsockname(gate->listener, (struct sockaddr *)&address, &size) != 0) {
        nats_fixture_fail("no gate");
    }
    *state = world;
    gate->port = ntohs(address.sin_port);
    return 0;
}

/* From then on the one that is looked at may write. */
static void open_gate(struct world *world, enum when when, int infos,
                      void (*come_between)(struct world *world))
{
    struct nats_fixture through = world->nats;
    (void)snprintf(through.url, sizeof(through.url), "nats://127.0.0.1:%d", world->gate.port);
    world->gate.when = when;
    world->gate.infos = infos;
    world->gate.come_between = come_between;
    pthread_create(&world->gate.thread, NULL, gate_run, &world->gate);
    world->gate_bus = nats_fixture_connect(&through);
}

static void close_gate(struct world *world, int came)
{
    mrd_bus_close(&world->gate_bus);
    pthread_join(world->gate.thread, NULL);
    assert_int_equal(atomic_load(&world->gate.came), came);
}

static int teardown(void **state)
{
    struct world *world = *state;
    close(world->gate.listener);
    mrd_bus_close(&world->bus);
    nats_fixture_stop(&world->nats);
    free(world->config);
    free(world);
    return 0;
}

static struct mrd_log_state log_of(struct world *world)
{
    struct mrd_log_state log;
    struct mrd_error err = {0};
    must(mrd_log_state_read(world->bus, 0, WAIT_MS, &log, &err), &err);
    return log;
}

/* ---- who changes it ---- */

static enum mrd_status trim_over(struct mrd_bus *bus, struct world *world, mrd_hlc erased,
                                 struct mrd_error *err)
{
    return mrd_log_trim(bus, 0, log_of(world).identity, 1, erased, WAIT_MS, err);
}

static enum mrd_status adopt_over(struct mrd_bus *bus, struct world *world, struct mrd_error *err)
{
    struct mrd_log_identity out;
    const struct mrd_log_adoption adoption = {log_of(world).identity, 1, 1001};
    return mrd_log_adopt(bus, 0, &adoption, WAIT_MS, &out, err);
}

static void another_trims(struct world *world)
{
    struct mrd_error err = {0};
    must(trim_over(world->bus, world, 700, &err), &err);
}

static void another_adopts(struct world *world)
{
    struct mrd_error err = {0};
    must(adopt_over(world->bus, world, &err), &err);
}

static void another_changes_limits(struct world *world) { (void)ensure(world->bus, 32 << 20); }

/* What it read before all that. */
static void another_writes_back(struct world *world)
{
    request(world->bus, UPDATE, world->config, NULL);
}

static void another_makes_it_anew(struct world *world)
{
    request(world->bus, DELETE, "", NULL);
    (void)ensure(world->bus, 64 << 20);
}

static void expect_log(struct world *world, int64_t bytes_max, uint64_t base, bool known,
                       mrd_hlc erased)
{
    const struct mrd_log_state log = log_of(world);
    assert_int_equal(log.bytes_max, bytes_max);
    assert_int_equal(log.identity.base, base);
    assert_int_equal(log.map.erased_known, known);
    assert_int_equal(log.map.erased, erased);
}

/* ---- tests ---- */

static void a_change_of_limits_keeps_what_was_trimmed_meanwhile(void **state)
{
    struct world *world = *state;
    open_gate(world, BEFORE_WRITE, 1, another_trims);
    (void)ensure(world->gate_bus, 32 << 20);
    close_gate(world, 1);
    expect_log(world, 32 << 20, 0, true, 700);
}

static void a_change_of_limits_keeps_an_adoption_of_meanwhile(void **state)
{
    struct world *world = *state;
    open_gate(world, BEFORE_WRITE, 1, another_adopts);
    (void)ensure(world->gate_bus, 32 << 20);
    close_gate(world, 1);
    expect_log(world, 32 << 20, 1000, false, 0);
}

static void taking_the_age_limit_away_keeps_what_was_trimmed_meanwhile(void **state)
{
    struct world *world = *state;
    struct mrd_error err = {0};
    open_gate(world, BEFORE_WRITE, 1, another_trims);
    must(mrd_log_age_clear(world->gate_bus, 0, WAIT_MS, &err), &err);
    close_gate(world, 1);
    expect_log(world, 64 << 20, 0, true, 700);
    assert_int_equal(log_of(world).age_ms_max, 0);
}

static void trimming_keeps_a_change_of_limits_of_meanwhile(void **state)
{
    struct world *world = *state;
    struct mrd_error err = {0};
    open_gate(world, BEFORE_WRITE, 2, another_changes_limits);
    must(trim_over(world->gate_bus, world, 500, &err), &err);
    close_gate(world, 1);
    expect_log(world, 32 << 20, 0, true, 500);
}

static void two_that_trim_leave_the_greater_stamp(void **state)
{
    struct world *world = *state;
    struct mrd_error err = {0};
    open_gate(world, BEFORE_WRITE, 2, another_trims);
    must(trim_over(world->gate_bus, world, 500, &err), &err);
    close_gate(world, 1);
    expect_log(world, 64 << 20, 0, true, 700);
}

static void trimming_ends_where_somebody_adopts_meanwhile(void **state)
{
    struct world *world = *state;
    struct mrd_error err = {0};
    open_gate(world, BEFORE_WRITE, 2, another_adopts);
    assert_int_equal(trim_over(world->gate_bus, world, 500, &err), MRD_E_CONFLICT);
    close_gate(world, 1);
    expect_log(world, 64 << 20, 1000, false, 0);
}

static void what_was_written_over_behind_a_trim_is_written_again(void **state)
{
    struct world *world = *state;
    struct mrd_error err = {0};
    open_gate(world, BEHIND_WRITE, 0, another_writes_back);
    must(trim_over(world->gate_bus, world, 500, &err), &err);
    close_gate(world, 1);
    expect_log(world, 64 << 20, 0, true, 500);
}

static void what_was_written_over_behind_an_adoption_is_written_again(void **state)
{
    struct world *world = *state;
    struct mrd_error err = {0};
    open_gate(world, BEHIND_WRITE, 0, another_writes_back);
    must(adopt_over(world->gate_bus, world, &err), &err);
    close_gate(world, 1);
    expect_log(world, 64 << 20, 1000, false, 0);
}

static void a_stream_made_anew_meanwhile_does_not_get_the_positions_of_the_one_before(void **state)
{
    struct world *world = *state;
    struct mrd_error err = {0};
    open_gate(world, BEFORE_WRITE, 2, another_makes_it_anew);
    assert_int_equal(adopt_over(world->gate_bus, world, &err), MRD_E_UNAVAILABLE);
    close_gate(world, 1);
    expect_log(world, 64 << 20, 0, false, 0);
}

static void nothing_is_written_where_nothing_differs(void **state)
{
    struct world *world = *state;
    struct mrd_error err = {0};
    another_trims(world);
    open_gate(world, NEVER, 0, NULL);
    (void)ensure(world->gate_bus, 64 << 20);
    must(trim_over(world->gate_bus, world, 500, &err), &err);
    assert_int_equal(atomic_load(&world->gate.writes), 0);
    must(mrd_log_age_clear(world->gate_bus, 0, WAIT_MS, &err), &err);
    assert_int_equal(atomic_load(&world->gate.writes), 1);
    (void)ensure(world->gate_bus, 64 << 20); /* whoever does not decide about the age */
    close_gate(world, 0);
    assert_int_equal(atomic_load(&world->gate.writes), 1);
    expect_log(world, 64 << 20, 0, true, 700);
}

int main(void)
{
#define CHANGE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CHANGE_TEST(a_change_of_limits_keeps_what_was_trimmed_meanwhile),
        CHANGE_TEST(a_change_of_limits_keeps_an_adoption_of_meanwhile),
        CHANGE_TEST(taking_the_age_limit_away_keeps_what_was_trimmed_meanwhile),
        CHANGE_TEST(trimming_keeps_a_change_of_limits_of_meanwhile),
        CHANGE_TEST(two_that_trim_leave_the_greater_stamp),
        CHANGE_TEST(trimming_ends_where_somebody_adopts_meanwhile),
        CHANGE_TEST(what_was_written_over_behind_a_trim_is_written_again),
        CHANGE_TEST(what_was_written_over_behind_an_adoption_is_written_again),
        CHANGE_TEST(a_stream_made_anew_meanwhile_does_not_get_the_positions_of_the_one_before),
        CHANGE_TEST(nothing_is_written_where_nothing_differs),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    mrd_bus_library_close();
    return failed;
}
