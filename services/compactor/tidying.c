#include "compactor/tidying.h"

#include <stdlib.h>
#include <sys/random.h>

#include "base/log.h"
#include "compactor/builder.h"
#include "compactor/periodic.h"
#include "upkeep/scrub.h"
#include "upkeep/sweep.h"

enum { TELL_MS = 60 * 1000 };

struct figures {
    struct mrd_counter *sweeps;
    struct mrd_counter *swept_blocks;
    struct mrd_counter *swept_abandoned;
    struct mrd_counter *swept_table_files;
    struct mrd_counter *swept_commits;
    struct mrd_counter *expired_versions;
    struct mrd_counter *tables_failed;
    struct mrd_counter *scrubs;
};

struct cmp_tidying {
    struct figures figures;
    struct mrd_metrics *metrics;
    struct cmp_periodic sweep;
    struct cmp_periodic scrub;
    struct mrd_upkeep_tables tables;
    bool keeps_tables;
    char *holder;
    char *region;
    uint64_t bytes_per_second;
    struct mrd_upkeep_progress progress;
};

static double read_blocks(void *context)
{
    return (double)atomic_load_explicit(&((struct cmp_tidying *)context)->progress.blocks,
                                        memory_order_relaxed);
}
static double read_bytes(void *context)
{
    return (double)atomic_load_explicit(&((struct cmp_tidying *)context)->progress.bytes,
                                        memory_order_relaxed);
}
static double read_bad(void *context)
{
    return (double)atomic_load_explicit(&((struct cmp_tidying *)context)->progress.bad,
                                        memory_order_relaxed);
}

static void figures_init(struct cmp_tidying *tidying, struct mrd_metrics *metrics)
{
    struct figures *figures = &tidying->figures;
    const struct {
        struct mrd_counter **counter;
        const char *name;
        const char *help;
    } counters[] = {
        {&figures->sweeps,            "meridian_sweeps_total",                 "Sweeps that came to their end."},
        {&figures->swept_blocks,      "meridian_sweep_blocks_total",
         "Merged blocks whose files were deleted."                                                             },
        {&figures->swept_abandoned,   "meridian_sweep_abandoned_total",
         "Files of blocks of level 0 that no commit named, deleted."                                           },
        {&figures->swept_table_files, "meridian_sweep_table_files_total",
         "Files of tables that neither the catalog nor a snapshot named, deleted."                             },
        {&figures->swept_commits,     "meridian_sweep_commits_total",
         "Objects of the catalog that a checkpoint made needless, deleted."                                    },
        {&figures->expired_versions,  "meridian_sweep_expired_versions_total",
         "Versions of tables that have forgotten old snapshots."                                               },
        {&figures->tables_failed,     "meridian_sweep_table_failures_total",
         "Tables that could not be read by a sweep: nothing of theirs was deleted."                            },
        {&figures->scrubs,            "meridian_scrubs_total",                 "Scrubs that came to their end."},
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(counters); i++) {
        *counters[i].counter =
            mrd_metrics_counter(metrics, counters[i].name, counters[i].help, NULL);
    }
    mrd_metrics_callback(metrics, MRD_METRIC_COUNTER, "meridian_scrub_blocks_total",
                         "Blocks that were read to the end.", NULL, read_blocks, tidying);
    mrd_metrics_callback(metrics, MRD_METRIC_COUNTER, "meridian_scrub_bytes_total",
                         "Bytes of blocks that were read to the end.", NULL, read_bytes, tidying);
    mrd_metrics_callback(metrics, MRD_METRIC_COUNTER, "meridian_scrub_bad_blocks_total",
                         "Blocks that were found bad, in quarantine already or not.", NULL,
                         read_bad, tidying);
}

struct cmp_tidying *cmp_tidying_create(const struct mrd_config *config, const char *holder,
                                       const struct mrd_upkeep_tables *tables,
                                       struct mrd_metrics *metrics)
{
    struct cmp_tidying *tidying = calloc(1, sizeof(*tidying));
    mrd_assert(tidying != NULL);
    tidying->metrics = metrics;
    tidying->holder = strdup(holder);
    tidying->region = strdup(mrd_config_string(config, "region.id"));
    mrd_assert(tidying->holder != NULL && tidying->region != NULL);
    tidying->sweep = (struct cmp_periodic){
        .name = CMP_SWEEP_ROLE,
        .interval_ms = mrd_config_duration(config, "compactor.sweep_interval")};
    tidying->scrub = (struct cmp_periodic){
        .name = CMP_SCRUB_ROLE,
        .interval_ms = mrd_config_duration(config, "compactor.scrub_interval")};
    tidying->bytes_per_second = mrd_config_size(config, "compactor.scrub_bytes_per_second");
    tidying->keeps_tables = tables != NULL;
    tidying->tables = tables == NULL ? (struct mrd_upkeep_tables){0} : *tables;
    figures_init(tidying, metrics);
    return tidying;
}

void cmp_tidying_destroy(struct cmp_tidying **tidying)
{
    if (*tidying == NULL) {
        return;
    }
    struct cmp_tidying *self = MRD_MOVE(*tidying);
    mrd_metrics_forget(self->metrics, self);
    free(self->region);
    free(self->holder);
    free(self);
}

void cmp_tidying_want_sweep(struct cmp_tidying *tidying) { cmp_periodic_want(&tidying->sweep); }
void cmp_tidying_want_scrub(struct cmp_tidying *tidying) { cmp_periodic_want(&tidying->scrub); }

/* ---- sweep ---- */

/* Compactors are configured one by one; what the last one that started has said counts for all. */
static void tell_other_grace(const struct cmp_environment *environment)
{
    const mrd_time_ms grace_ms = mrd_catalog_grace_ms(environment->catalog);
    if (environment->grace_ms != 0 && environment->grace_ms != grace_ms) {
        MRD_LOG_EVERY(TELL_MS, MRD_LEVEL_WARN,
                      "another compactor has said another grace, which is in force: give all the "
                      "same compactor.grace",
                      mrd_log_int("grace_ms", grace_ms),
                      mrd_log_int("configured_ms", environment->grace_ms));
    }
}

static enum mrd_status run_sweep(struct cmp_tidying *tidying,
                                 const struct mrd_upkeep_unnamed *unnamed,
                                 const struct cmp_environment *environment, struct mrd_error *err)
{
    const struct figures *figures = &tidying->figures;
    struct mrd_upkeep_tables tables = tidying->tables;
    struct mrd_upkeep_swept swept;
    tables.store = environment->store;
    tables.control = &environment->control;
    tables.clock = environment->clock;
    const struct mrd_upkeep_sweep_options options = {
        .catalog = {.store = environment->store,
                    .clock = environment->clock,
                    .writer = tidying->holder,
                    .grace_ms = environment->grace_ms},
        .control = &environment->control,
        .blocks_prefix = CMP_BLOCKS_PREFIX "/",
        .region = tidying->region,
        .tables = tidying->keeps_tables ? &tables : NULL,
        .unnamed = unnamed,
    };
    tell_other_grace(environment);
    const enum mrd_status status = mrd_upkeep_sweep(&options, &swept, err);
    mrd_counter_add(figures->swept_blocks, swept.catalog.gone);
    mrd_counter_add(figures->swept_abandoned, swept.catalog.abandoned);
    mrd_counter_add(figures->swept_commits, swept.catalog.commits);
    mrd_counter_add(figures->swept_table_files, swept.table_files);
    mrd_counter_add(figures->expired_versions, swept.snapshots);
    mrd_counter_add(figures->tables_failed, swept.tables_failed);
    if (swept.tables_failed > 0) {
        MRD_LOG_ERROR("tables cannot be read: nothing of theirs is swept",
                      mrd_log_uint("tables", swept.tables_failed),
                      mrd_log_error(&swept.table_error));
    }
    MRD_TRY(status);
    mrd_counter_add(figures->sweeps, 1);
    MRD_LOG_INFO("swept", mrd_log_uint("blocks", swept.catalog.gone),
                 mrd_log_uint("abandoned", swept.catalog.abandoned),
                 mrd_log_uint("table_files", swept.table_files),
                 mrd_log_uint("commits", swept.catalog.commits));
    return MRD_OK;
}

static enum mrd_status do_sweep(void *context, const struct cmp_environment *environment,
                                struct mrd_error *err)
{
    return run_sweep(context, NULL, environment, err);
}

enum mrd_status cmp_tidying_sweep(struct cmp_tidying *tidying,
                                  const struct mrd_upkeep_unnamed *unnamed,
                                  const struct cmp_environment *environment, struct mrd_error *err)
{
    return run_sweep(tidying, unnamed, environment, err);
}

static enum mrd_status sweep_round(void *context, const struct cmp_environment *environment,
                                   struct mrd_error *err)
{
    struct cmp_tidying *tidying = context;
    return cmp_periodic_run(&tidying->sweep, environment, do_sweep, tidying, err);
}

/* ---- scrub ---- */

static enum mrd_status do_scrub(void *context, const struct cmp_environment *environment,
                                struct mrd_error *err)
{
    struct cmp_tidying *tidying = context;
    struct mrd_upkeep_progress *progress = &tidying->progress;
    uint64_t start;
    /* Never fails: a few bytes from an initialised pool (getrandom(2)). */
    mrd_assert(getrandom(&start, sizeof(start), 0) == (ssize_t)sizeof(start));
    const struct mrd_upkeep_examiner examiner = {.store = environment->store,
                                                 .catalog = environment->catalog,
                                                 .control = &environment->control,
                                                 .clock = environment->clock,
                                                 .holder = tidying->holder};
    const uint64_t blocks = atomic_load_explicit(&progress->blocks, memory_order_relaxed);
    const uint64_t bad = atomic_load_explicit(&progress->bad, memory_order_relaxed);
    const enum mrd_status status =
        mrd_upkeep_scrub(&examiner, tidying->bytes_per_second, start, progress, err);
    const uint64_t found = atomic_load_explicit(&progress->bad, memory_order_relaxed) - bad;
    if (found > 0) {
        MRD_LOG_ERROR("blocks are bad: see /quarantine", mrd_log_uint("blocks", found));
    }
    MRD_TRY(status);
    mrd_counter_add(tidying->figures.scrubs, 1);
    MRD_LOG_INFO(
        "scrubbed",
        mrd_log_uint("blocks",
                     atomic_load_explicit(&progress->blocks, memory_order_relaxed) - blocks),
        mrd_log_uint("bad", found));
    return MRD_OK;
}

static enum mrd_status scrub_round(void *context, const struct cmp_environment *environment,
                                   struct mrd_error *err)
{
    struct cmp_tidying *tidying = context;
    return cmp_periodic_run(&tidying->scrub, environment, do_scrub, tidying, err);
}

struct cmp_role cmp_tidying_sweep_role(struct cmp_tidying *tidying)
{
    return (struct cmp_role){.name = CMP_SWEEP_ROLE,
                             .interval_ms = cmp_periodic_look_ms(&tidying->sweep),
                             .round = sweep_round,
                             .context = tidying};
}

struct cmp_role cmp_tidying_scrub_role(struct cmp_tidying *tidying)
{
    return (struct cmp_role){.name = CMP_SCRUB_ROLE,
                             .interval_ms = cmp_periodic_look_ms(&tidying->scrub),
                             .round = scrub_round,
                             .context = tidying};
}
