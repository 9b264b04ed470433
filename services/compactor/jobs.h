/* jobs.h: runs the compactor's roles, each on a thread of its own, round after round.
 *
 *     static enum mrd_status tidy(void *context, const struct cmp_environment *environment, struct mrd_error *err);
 *     ...
 *     cmp_jobs_add(jobs, &(struct cmp_role){.name = "tidy", .interval_ms = 60000, .round = tidy, .context = own});
 *
 * A round looks for what is due and does it. Any number of compactors run the same roles: what only one of them is to do at a
 * time is leased (bus/lease.h), and what it does is committed through the catalog, so that losing a race costs work and nothing else.
 *
 * A round that fails is logged, counted and tried again after a pause that doubles up to a minute. MRD_E_CONFLICT is a lost
 * race, logged as such; MRD_E_CANCELED is the end. MRD_E_FATAL (a failed fsync) ends the process by on_fatal: what the disk holds is unknown.
 *
 * Owner:   whoever created it; what environment and roles point to outlives it.
 * Threads: create, add, destroy: one. nudge: any. Rounds of one role never overlap.
 */
#ifndef CMP_JOBS_H
#define CMP_JOBS_H

#include "bus/lease.h"
#include "catalog/catalog.h"

struct cmp_jobs;

/* What every role works with. */
struct cmp_environment {
    struct mrd_objstore *store;
    struct mrd_catalog *catalog;
    struct mrd_leases *leases;
    struct mrd_bus *bus;
    struct mrd_metrics *metrics;
    const struct mrd_clock *clock;
    mrd_time_ms grace_ms; /* as configured; what counts is the catalog's (mrd_catalog_grace_ms) */
    /* Cancels calls to the store when the roles are to end. */
    struct mrd_objstore_control control;
    const _Atomic bool *stopping; /* the same, to be looked at between the steps of a round */
};

struct cmp_role {
    const char *name;        /* static: of the thread, in logs and as the label `role` */
    mrd_time_ms interval_ms; /* from the end of a round to the next */
    enum mrd_status (*round)(void *context, const struct cmp_environment *environment,
                             struct mrd_error *err);
    /* Called on the role's thread after the last round, to release leases and the like; may be NULL. */
    void (*end)(void *context, const struct cmp_environment *environment);
    void *context;
};

struct cmp_jobs_options {
    struct cmp_environment environment; /* control and stopping are set by cmp_jobs_create */
    void (*on_fatal)(void *context, const struct mrd_error *err); /* any role's thread */
    void *context;
};

enum { CMP_ROLES_MAX = 16 };

struct cmp_jobs *cmp_jobs_create(const struct cmp_jobs_options *options);

/* Starts the role's thread; its first round begins at once. MRD_E_UNAVAILABLE: there is no thread to be had. */
MRD_MUST_CHECK enum mrd_status cmp_jobs_add(struct cmp_jobs *jobs, const struct cmp_role *role,
                                            struct mrd_error *err);

/* The role's next round begins now, or right after the one that runs. An unknown name is our mistake (asserts). */
void cmp_jobs_nudge(struct cmp_jobs *jobs, const char *name);

/* Cancels what runs, waits for it, and frees. */
void cmp_jobs_destroy(struct cmp_jobs **jobs);

#endif
