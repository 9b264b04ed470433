/* connection.h: one NATS connection that never gives up.
 *
 * Connects in the background, reconnects for ever with jitter, sends at once, and bounds every write
 * by a deadline: nats.c writes to the socket under the connection's lock, so without one a frozen
 * server would hold the publishing thread for as long as it is frozen. A process opens one connection per purpose
 * (publishing, reading the log, queries), so that a full socket of one does not hold up the others.
 *
 * Owner:   whoever opened it. Everything made on it (writers, readers, rpc, members) is destroyed
 *          before mrd_bus_close; at the very end of the process, mrd_bus_library_close.
 * Threads: every function from any thread. Listeners are called on a thread of the library, one call
 *          at a time; they note or post something and return.
 */
#ifndef MRD_BUS_CONNECTION_H
#define MRD_BUS_CONNECTION_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/clock.h"

struct mrd_bus;

struct mrd_bus_options {
    const char *urls; /* "nats://a:4222,nats://b:4222"; required */
    const char *name; /* seen in the server's monitoring; NULL: "meridian" */
    const char *user; /* with password; NULL: none, or as the URL says */
    const char *password;
    const char *token;            /* NULL: none */
    const char *credentials_file; /* JWT and seed; NULL: none */
    const char *nkey;             /* public key of a user, with its seed's file; NULL: none */
    const char *nkey_seed_file;
    const char *ca_file; /* given: TLS is demanded */
    const char
        *cert_file; /* chain and key of ours that the servers ask for; given: TLS is demanded */
    const char *key_file;
    const char *server_name;   /* that the servers' certificates must have; NULL: the URL's host */
    int64_t write_deadline_ms; /* 0: 1000. A publish call blocks no longer than about twice that */
    int64_t ping_ms;           /* 0: 5000. Two unanswered pings are a lost connection */
};

/* Starts connecting and returns at once, connected or not. MRD_E_INVALID for options that cannot work
 * (no URL, unreadable credentials). */
MRD_MUST_CHECK enum mrd_status mrd_bus_open(const struct mrd_bus_options *options,
                                            struct mrd_bus **out_bus, struct mrd_error *err);

/* Connects once and closes again, to say why that does not work: a connection that is made in the background does not tell much.
 * Waits for some seconds at most for each server. */
MRD_MUST_CHECK enum mrd_status mrd_bus_try(const struct mrd_bus_options *options,
                                           struct mrd_error *err);

/* Waits until connected. MRD_E_UNAVAILABLE, with the servers' addresses, after timeout_ms. */
MRD_MUST_CHECK enum mrd_status mrd_bus_wait_connected(struct mrd_bus *bus, int64_t timeout_ms,
                                                      struct mrd_error *err);

bool mrd_bus_connected(const struct mrd_bus *bus);

/* Number of connections made so far: it changes with every reconnect, 0 before the first. */
uint64_t mrd_bus_generation(const struct mrd_bus *bus);

/* Largest message that the server takes, headers included; 0 before the first connection. */
int64_t mrd_bus_payload_max(struct mrd_bus *bus);

/* Waits until everything published so far has reached the server. */
MRD_MUST_CHECK enum mrd_status mrd_bus_flush(struct mrd_bus *bus, int64_t timeout_ms,
                                             struct mrd_error *err);

/* Sends what is pending, closes, frees and sets *bus to NULL. Nothing made on it may exist. */
void mrd_bus_close(struct mrd_bus **bus);

/* Ends the library's threads, once, after the last close. For clean exits under sanitizers. */
void mrd_bus_library_close(void);

/* ---- what happens to the connection ---- */

enum mrd_bus_event {
    MRD_BUS_CONNECTED,    /* first connection, and every later one */
    MRD_BUS_DISCONNECTED, /* messages in flight may be lost, both ways */
    MRD_BUS_ERROR /* asynchronous error of the server or library (permissions, slow consumer) */
};

struct mrd_bus_listener {
    void (*on_event)(void *context, enum mrd_bus_event event, const char *text);
    void *context;
    struct mrd_bus_listener *next; /* the connection's */
};

/* The listener is the caller's memory until removed. Remove returns when no call to it is running;
 * it must not be called from within a listener. An add after the connection was made does not call. */
void mrd_bus_listen(struct mrd_bus *bus, struct mrd_bus_listener *listener);
void mrd_bus_unlisten(struct mrd_bus *bus, struct mrd_bus_listener *listener);

/* ---- figures ---- */

struct mrd_bus_stats {
    uint64_t messages_in, messages_out, bytes_in, bytes_out;
    uint64_t reconnects;
    uint64_t errors; /* asynchronous ones */
};
void mrd_bus_stats(struct mrd_bus *bus, struct mrd_bus_stats *out);

/* ---- the server ---- */

struct mrd_bus_server {
    char version[32]; /* "2.9.10" */
    int64_t payload_max;
    bool jetstream;
};

/* Reads the INFO line of the first server of the URL list that answers, over a plain socket of its
 * own (nats.c does not tell the version). MRD_E_UNAVAILABLE if none answers within timeout_ms. */
MRD_MUST_CHECK enum mrd_status mrd_bus_server_info(const char *urls, int64_t timeout_ms,
                                                   struct mrd_bus_server *out,
                                                   struct mrd_error *err);

/* -1, 0, 1 as version a is older than, equal to, newer than b; numbers between dots count. */
int mrd_bus_version_compare(const char *a, const char *b);

#endif
