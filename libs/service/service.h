/* service.h: what every service's main does: configuration, log, operations routes, readiness,
 * signals, and stopping in order.
 *
 *     int main(int argc, char **argv)
 *     {
 *         mrd_auto(mrd_service_destroy) struct mrd_service *service = NULL;
 *         int exit_code;
 *         if (!mrd_service_open(&definition, argc, argv, &service, &exit_code)) {
 *             return exit_code; // --help, or a bad configuration (said on stderr)
 *         }
 *         struct mrd_error err;
 *         if (start(service, &err) != MRD_OK) { // starts parts, mrd_service_on_stop() for each
 *             return mrd_service_fail(service, &err);
 *         }
 *         return mrd_service_run(service); // until SIGTERM or SIGINT; stops the parts in reverse
 *     }
 *
 * Threads: open, on_stop, run, destroy: the main thread. Signals are taken by a thread inside run;
 * all other threads have them blocked, which open sees to, so open comes before any thread.
 */
#ifndef MRD_SERVICE_SERVICE_H
#define MRD_SERVICE_SERVICE_H

#include <stdbool.h>

#include "base/config.h"
#include "base/metrics.h"
#include "http/server.h"

/* Common keys that every service has beside its own (a table of the service may give them another
 * default): http.listen, http.threads, http.connections_max, http.connections_per_ip_max,
 * http.body_size_max, http.bodies_size_max, http.{request,head,body,reply,stall,idle}_timeout,
 * log.level, log.format, process.stop_grace, process.open_files. */
struct mrd_service_definition {
    const char *name;           /* "distributor": the binary is meridian-distributor */
    const char *summary;        /* one sentence */
    const char *listen_default; /* "0.0.0.0:7201" */
    const struct mrd_config_key *keys;
    size_t key_count;
    const struct mrd_config_overrides *overrides; /* of single tenants; NULL: none */
    bool http_handlers_wait;                      /* http/server.h */
};

struct mrd_service;

/* Reads arguments and configuration, sets up the log, raises the descriptor limit, ignores SIGPIPE,
 * blocks the signals that run handles, and creates the HTTP server (not started) with /metrics /ready
 * /healthy /config /log-level. False if main is to return *out_exit_code at once. */
MRD_MUST_CHECK bool mrd_service_open(const struct mrd_service_definition *definition, int argc,
                                     char **argv, struct mrd_service **out_service,
                                     int *out_exit_code);

/* The snapshot in force; the caller releases its reference. */
struct mrd_config *mrd_service_config(struct mrd_service *service);
struct mrd_metrics *mrd_service_metrics(struct mrd_service *service);

/* The service's one listener: add routes, then mrd_service_listen. */
struct mrd_http_server *mrd_service_http(struct mrd_service *service);

/* Starts the listener and registers its stop. Call it when all routes are added; /ready answers 503
 * until every condition holds. What was started before it is stopped after it. */
MRD_MUST_CHECK enum mrd_status mrd_service_listen(struct mrd_service *service,
                                                  struct mrd_error *err);

/* ---- readiness ---- */

struct mrd_service_condition;

/* A named condition of /ready, not met at first ("starting"). Any thread; lives as long as the
 * service. */
struct mrd_service_condition *mrd_service_condition_add(struct mrd_service *service,
                                                        const char *name);
void mrd_service_condition_set(struct mrd_service_condition *condition, bool met,
                               const char *reason); /* reason: why not; copied; NULL if met */

/* All conditions met and not stopping. */
bool mrd_service_is_ready(struct mrd_service *service);

/* ---- stopping and reloading ---- */

/* Called in reverse order of registration when the service stops; each should return within what is
 * left of process.stop_grace. `name` (static) is for the log. */
void mrd_service_on_stop(struct mrd_service *service, const char *name,
                         void (*stop)(void *context, mrd_time_ms grace_ms), void *context);

/* Called with the new snapshot (lent) after a reload (SIGHUP, or the file has changed), on the signal
 * thread: post to shards, publish with atomics. */
void mrd_service_on_reload(struct mrd_service *service,
                           void (*reload)(void *context, const struct mrd_config *config),
                           void *context);

/* Asks run to stop, as SIGTERM does. Any thread. A fatal error (err not NULL) is logged and makes the
 * exit code 1. */
void mrd_service_stop(struct mrd_service *service, const struct mrd_error *err);

/* Waits for a signal or mrd_service_stop, then stops everything in reverse. Returns the exit code: 0
 * after an orderly stop, 1 after a fatal error, 3 if stopping took longer than process.stop_grace
 * twice over (the process exits right there). A second SIGTERM or SIGINT exits at once with 3. */
int mrd_service_run(struct mrd_service *service);

/* Whether a signal that is to end the process has come which nobody has taken yet: whoever waits for something before mrd_service_run asks now
 * and then, and gives up. Cost: a system call. */
bool mrd_service_is_told_to_stop(void);

/* A part did not start: logs, stops what was started, returns exit code 1; or 0 if it gave up because the service was told to stop. */
int mrd_service_fail(struct mrd_service *service, const struct mrd_error *err);

void mrd_service_destroy(struct mrd_service **service);

#endif
