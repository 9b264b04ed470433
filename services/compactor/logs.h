/* logs.h: whether the partitions' logs are those that blocks were built of, and what the operator decides where they are not:
 *
 *     GET  /logs                                      what each partition's stream, catalog and heads say (JSON)
 *     POST /logs/adopt[?partition=P][&lost_through=N] the streams that there are now are the log from now on
 *
 * A stream that was made anew, or restored from a copy that ends before what is built, has sequences that blocks have of
 * another log. Nothing is built of it before it is adopted: its messages, those that blocks do not have, get positions behind all that
 * were ever given away (bus/log_map.h), and the catalog takes it for the log that it goes on with. A stream first, then the catalog:
 * until both say so, nobody takes one log for the other, and doing it again goes on.
 *
 * What of the old log was behind the blocks is lost then, so nothing is adopted without lost_through, which is at least the last position that anybody
 * knows of; it may be greater. A log that belongs to its blocks is left as it is.
 *
 *   200 {"status":"success","data":{"catalog":N,"partitions":[{...}]}}; of adopt, those that were adopted
 *   409 with a text for each partition that cannot be adopted so, and why; the others were
 *   400, 503 as elsewhere
 *
 * Owner:   whoever created it; destroyed before what the options point to, and before the server.
 * Threads: create, destroy: one; look and adopt: any. Requests are worked on by a thread of its own, one after the other.
 * Limits:  CMP_LOGS_WAITING_MAX requests; more are 503.
 */
#ifndef CMP_LOGS_H
#define CMP_LOGS_H

#include "bus/lease.h"
#include "bus/log_admin.h"
#include "bus/members.h"
#include "catalog/catalog.h"
#include "http/server.h"

enum { CMP_LOGS_WAITING_MAX = 16 };

struct cmp_logs_options {
    struct mrd_bus *bus;
    struct mrd_catalog *catalog;
    struct mrd_leases *leases;
    struct mrd_members *members;
    uint32_t partition_count;
};

enum cmp_log_belongs {
    CMP_LOG_SAME,     /* the stream is what blocks were built of */
    CMP_LOG_UNBUILT,  /* there are no blocks, so any stream will do */
    CMP_LOG_NEW,      /* it was made anew */
    CMP_LOG_RESTORED, /* it is an older state of what blocks were built of */
    CMP_LOG_MISSING,  /* there is no stream */
};

struct cmp_log_look {
    enum cmp_log_belongs belongs;
    struct mrd_log_state stream; /* not of a missing one */
    struct mrd_catalog_built built;
    uint64_t
        known_end; /* the last position that the catalog, and heads that have read the log of the blocks, know of */
    char known_by[MRD_MEMBER_TEXT_MAX]; /* that head; empty: the catalog */
    struct mrd_error why;               /* MRD_OK, or what speaks against the stream */
};

/* MRD_E_UNAVAILABLE: NATS does not answer. The catalog is as it was read last. */
MRD_MUST_CHECK enum mrd_status cmp_logs_look(const struct cmp_logs_options *options,
                                             uint32_t partition, struct cmp_log_look *out,
                                             struct mrd_error *err);

/* *out_adopted: whether anything was to be done. MRD_E_CONFLICT: not so, the text says why. */
MRD_MUST_CHECK enum mrd_status cmp_logs_adopt(const struct cmp_logs_options *options,
                                              uint32_t partition, uint64_t lost_through,
                                              const struct mrd_objstore_control *control,
                                              bool *out_adopted, struct mrd_error *err);

struct cmp_logs;

/* Adds the routes. */
MRD_MUST_CHECK enum mrd_status cmp_logs_create(const struct cmp_logs_options *options,
                                               struct mrd_http_server *server,
                                               struct cmp_logs **out_logs, struct mrd_error *err);
/* Answers what waits with 503. The routes may be asked until the server is destroyed. */
void cmp_logs_stop(struct cmp_logs *logs);
void cmp_logs_destroy(struct cmp_logs **logs);

#endif
