/* nats_fixture.h: a real nats-server for tests, on a free port, in a folder of its own. Test
 * programs include it; nothing else does.
 *
 * The server dies with the test program. Failures to start end the test program with a text.
 */
#ifndef MRD_BUS_NATS_FIXTURE_H
#define MRD_BUS_NATS_FIXTURE_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus/connection.h"

struct nats_fixture {
    pid_t pid;
    int port;
    char dir[64];
    char url[64];
};

static inline void nats_fixture_fail(const char *what)
{
    fprintf(stderr, "nats fixture: %s\n", what);
    abort();
}

static inline int nats_fixture_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(address);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        nats_fixture_fail("no free port");
    }
    close(fd);
    return ntohs(address.sin_port);
}

static inline void nats_fixture_write_config(const struct nats_fixture *fixture)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/nats.conf", fixture->dir);
    FILE *file = fopen(path, "w");
    if (file == NULL) {
        nats_fixture_fail("cannot write the configuration");
    }
    fprintf(file,
            "listen: \"127.0.0.1:%d\"\nmax_payload: 8MB\nmax_pending: 64MB\n"
            "jetstream { store_dir: \"%s/store\", max_mem: 64MB, max_file: 4GB }\n",
            fixture->port, fixture->dir);
    fclose(file);
}

static inline bool nats_fixture_answers(const struct nats_fixture *fixture)
{
    struct mrd_bus_server server;
    return mrd_bus_server_info(fixture->url, 1000, &server, NULL) == MRD_OK;
}

/* A process that kills the server when the test program is gone, however it went. (The kernel's
 * PR_SET_PDEATHSIG looks at the thread that forked, and tests start servers from threads.) */
static inline void nats_fixture_guard(pid_t server)
{
    int life[2];
    if (pipe2(life, O_CLOEXEC) != 0) {
        nats_fixture_fail("no pipe");
    }
    const int server_fd = (int)syscall(SYS_pidfd_open, server, 0);
    if (fork() == 0) {
        dup2(life[0], 3);
        dup2(server_fd, 4);
        syscall(SYS_close_range, 5U, ~0U, 0U);
        struct pollfd wait[2] = {
            {.fd = 3, .events = POLLIN},
            {.fd = 4, .events = POLLIN}
        };
        while (poll(wait, 2, -1) < 0) {}
        syscall(SYS_pidfd_send_signal, 4, SIGKILL, NULL, 0U);
        _exit(0);
    }
    close(server_fd);
    close(life[0]); /* the other end closes with the test program */
}

/* Starts the server on the fixture's port and folder and waits until it greets. */
static inline void nats_fixture_launch(struct nats_fixture *fixture)
{
    fixture->pid = fork();
    if (fixture->pid == 0) {
        char config[128];
        char log[128];
        snprintf(config, sizeof(config), "%s/nats.conf", fixture->dir);
        snprintf(log, sizeof(log), "%s/nats.log", fixture->dir);
        const int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        if (fd >= 0) {
            dup2(fd, STDOUT_FILENO);
            dup2(fd, STDERR_FILENO);
        }
        execlp("nats-server", "nats-server", "-c", config, (char *)NULL);
        _exit(127);
    }
    nats_fixture_guard(fixture->pid);
    for (int i = 0; i < 1000; i++) {
        if (nats_fixture_answers(fixture)) {
            return;
        }
        if (waitpid(fixture->pid, NULL, WNOHANG) != 0) {
            break;
        }
        usleep(10000);
    }
    nats_fixture_fail("nats-server does not start (is it installed?)");
}

static inline void nats_fixture_start(struct nats_fixture *fixture)
{
    snprintf(fixture->dir, sizeof(fixture->dir), "/tmp/mrd-nats-XXXXXX");
    if (mkdtemp(fixture->dir) == NULL) {
        nats_fixture_fail("no folder");
    }
    fixture->port = nats_fixture_free_port();
    snprintf(fixture->url, sizeof(fixture->url), "nats://127.0.0.1:%d", fixture->port);
    nats_fixture_write_config(fixture);
    nats_fixture_launch(fixture);
}

/* kill -9; the folder stays, nats_fixture_launch starts it again. */
static inline void nats_fixture_kill(struct nats_fixture *fixture)
{
    kill(fixture->pid, SIGKILL);
    waitpid(fixture->pid, NULL, 0);
}

/* Returns when the server stands still. */
static inline void nats_fixture_freeze(const struct nats_fixture *fixture)
{
    kill(fixture->pid, SIGSTOP);
    waitpid(fixture->pid, NULL, WUNTRACED);
}
static inline void nats_fixture_thaw(const struct nats_fixture *fixture)
{
    kill(fixture->pid, SIGCONT);
}

static inline int nats_fixture_remove(const char *path, const struct stat *info, int type,
                                      struct FTW *at)
{
    (void)info;
    (void)type;
    (void)at;
    return remove(path);
}

/* Kills the server and removes its folder. */
static inline void nats_fixture_stop(struct nats_fixture *fixture)
{
    nats_fixture_kill(fixture);
    nftw(fixture->dir, nats_fixture_remove, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void nats_fixture_store_copy(const struct nats_fixture *fixture, const char *from,
                                           const char *to)
{
    char command[320];
    snprintf(command, sizeof(command), "rm -rf %s/%s && cp -a %s/%s %s/%s", fixture->dir, to,
             fixture->dir, from, fixture->dir, to);
    if (system(command) != 0) {
        nats_fixture_fail("cannot copy the store");
    }
}

/* The server is killed and comes back; in between all that it has is put aside as a copy, or lost, or is what the copy has. */
static inline void nats_fixture_back_up(struct nats_fixture *fixture)
{
    nats_fixture_kill(fixture);
    nats_fixture_store_copy(fixture, "store", "copy");
    nats_fixture_launch(fixture);
}
static inline void nats_fixture_lose(struct nats_fixture *fixture)
{
    char path[128];
    nats_fixture_kill(fixture);
    snprintf(path, sizeof(path), "%s/store", fixture->dir);
    nftw(path, nats_fixture_remove, 16, FTW_DEPTH | FTW_PHYS);
    nats_fixture_launch(fixture);
}
static inline void nats_fixture_restore(struct nats_fixture *fixture)
{
    nats_fixture_kill(fixture);
    nats_fixture_store_copy(fixture, "copy", "store");
    nats_fixture_launch(fixture);
}

/* A connection that stands. */
static inline struct mrd_bus *nats_fixture_connect(const struct nats_fixture *fixture)
{
    struct mrd_bus *bus = NULL;
    struct mrd_error err = {0};
    const struct mrd_bus_options options = {.urls = fixture->url, .name = "test"};
    if (mrd_bus_open(&options, &bus, &err) != MRD_OK ||
        mrd_bus_wait_connected(bus, 10000, &err) != MRD_OK) {
        nats_fixture_fail(err.text);
    }
    return bus;
}

#endif
