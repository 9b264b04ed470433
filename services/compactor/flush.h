/* flush.h: POST /flush on the operations port: brings all that the log has at the moment of asking to blocks, merges these into the
 * tenants' days (not with ?merge=false), and answers when that is committed. Blocks in quarantine are not waited for. For tests, before planned work on a log, and whenever somebody wants to see blocks now.
 *
 * Any compactor may be asked: it reads the last sequence of each partition's log, tells those who build the
 * partitions what is wanted (over NATS, subject mrd.build.<instance>, again every second, so that nothing hangs on one message
 * or on who builds at the moment), and watches the catalog until all of it is built; then it merges what others do not merge already.
 *
 *   200 {"status":"success","data":{"catalog":N,"partitions":[{"partition":P,"sequence":S},...]}}
 *   503 with a text that says what is not built yet: after the server's time for a request, when NATS or object storage do not
 *       answer, or when the process stops
 *
 * Owner:   whoever created it; destroyed before what the options point to, and before the server.
 * Threads: create, destroy: one. Requests are worked on by a thread of its own, all that wait together.
 * Limits:  CMP_FLUSH_WAITING_MAX requests; more are 503.
 */
#ifndef CMP_FLUSH_H
#define CMP_FLUSH_H

#include "bus/rpc.h"
#include "compactor/build.h"
#include "compactor/merging.h"
#include "http/server.h"

enum { CMP_FLUSH_WAITING_MAX = 16 };

struct cmp_flush;

struct cmp_flush_options {
    struct mrd_bus *bus;
    struct mrd_catalog *catalog;
    struct mrd_members *members;
    struct cmp_build *build;
    struct cmp_merging *merging;
    struct cmp_jobs *jobs;
    const char *instance;
    uint32_t partition_count;
};

/* Adds the route. */
MRD_MUST_CHECK enum mrd_status cmp_flush_create(const struct cmp_flush_options *options,
                                                struct mrd_http_server *server,
                                                struct cmp_flush **out_flush,
                                                struct mrd_error *err);

/* Answers what waits with 503. The route may be asked until the server is destroyed. */
void cmp_flush_stop(struct cmp_flush *flush);
void cmp_flush_destroy(struct cmp_flush **flush);

#endif
