#include "compactor/expiring.h"

#include <stdlib.h>

#include "base/log.h"
#include "compactor/periodic.h"
#include "tenancy/retention.h"
#include "tenancy/settings.h"
#include "upkeep/expire.h"

struct cmp_expiring {
    struct mrd_tenancy_settings *retentions; /* of struct mrd_retention */
    struct cmp_periodic periodic;
    struct mrd_upkeep_tables tables;
    bool keeps_tables;
    struct mrd_counter *blocks;
    struct mrd_counter *rollups;
    struct mrd_counter *bytes;
};

struct cmp_expiring *cmp_expiring_create(const struct mrd_config *config,
                                         const struct mrd_upkeep_tables *tables,
                                         struct mrd_metrics *metrics)
{
    struct cmp_expiring *expiring = calloc(1, sizeof(*expiring));
    mrd_assert(expiring != NULL);
    expiring->retentions =
        mrd_tenancy_settings_create(sizeof(struct mrd_retention), mrd_retention_read, config);
    expiring->periodic = (struct cmp_periodic){
        .name = CMP_EXPIRING_ROLE,
        .interval_ms = mrd_config_duration(config, "compactor.expire_interval")};
    expiring->keeps_tables = tables != NULL;
    expiring->tables = tables == NULL ? (struct mrd_upkeep_tables){0} : *tables;
    expiring->blocks = mrd_metrics_counter(
        metrics, "meridian_expire_blocks_total",
        "Blocks of samples that left the catalog because they were out of retention.", NULL);
    expiring->rollups = mrd_metrics_counter(
        metrics, "meridian_expire_rollups_total",
        "Rollups that left the catalog because they were out of retention.", NULL);
    expiring->bytes =
        mrd_metrics_counter(metrics, "meridian_expire_bytes_total", "Size of both.", NULL);
    return expiring;
}

void cmp_expiring_destroy(struct cmp_expiring **expiring)
{
    if (*expiring != NULL) {
        struct cmp_expiring *self = MRD_MOVE(*expiring);
        mrd_tenancy_settings_destroy(&self->retentions);
        free(self);
    }
}

void cmp_expiring_reload(struct cmp_expiring *expiring, const struct mrd_config *config)
{
    mrd_tenancy_settings_set(expiring->retentions, config);
}

void cmp_expiring_want(struct cmp_expiring *expiring) { cmp_periodic_want(&expiring->periodic); }

static mrd_time_ms kept_ms(void *context, struct mrd_bytes tenant, mrd_time_ms resolution_ms)
{
    const struct cmp_expiring *expiring = context;
    struct mrd_retention retention;
    mrd_tenancy_settings_get(expiring->retentions, tenant, &retention);
    return mrd_retention_of(&retention, resolution_ms);
}

static enum mrd_status expire(void *context, const struct cmp_environment *environment,
                              struct mrd_error *err)
{
    struct cmp_expiring *expiring = context;
    struct mrd_upkeep_tables tables = expiring->tables;
    struct mrd_upkeep_expired expired;
    tables.store = environment->store;
    tables.control = &environment->control;
    tables.clock = environment->clock;
    const struct mrd_upkeep_expire_options options = {
        .catalog = environment->catalog,
        .control = &environment->control,
        .tables = expiring->keeps_tables ? &tables : NULL,
        .now_ms = mrd_clock_now_ms(environment->clock),
        .kept_ms = kept_ms,
        .context = expiring,
    };
    const enum mrd_status status = mrd_upkeep_expire(&options, &expired, err);
    mrd_counter_add(expiring->blocks, expired.blocks);
    mrd_counter_add(expiring->rollups, expired.rollups);
    mrd_counter_add(expiring->bytes, expired.bytes);
    if (expired.publish_error.status != MRD_OK) {
        MRD_LOG_WARN("copies of tables are behind", mrd_log_error(&expired.publish_error));
    }
    if (expired.blocks + expired.rollups > 0) {
        MRD_LOG_INFO("blocks are out of retention", mrd_log_uint("blocks", expired.blocks),
                     mrd_log_uint("rollups", expired.rollups),
                     mrd_log_uint("samples", expired.samples),
                     mrd_log_uint("bytes", expired.bytes));
    }
    return status;
}

static enum mrd_status round_of(void *context, const struct cmp_environment *environment,
                                struct mrd_error *err)
{
    struct cmp_expiring *expiring = context;
    return cmp_periodic_run(&expiring->periodic, environment, expire, expiring, err);
}

struct cmp_role cmp_expiring_role(struct cmp_expiring *expiring)
{
    return (struct cmp_role){.name = CMP_EXPIRING_ROLE,
                             .interval_ms = cmp_periodic_look_ms(&expiring->periodic),
                             .round = round_of,
                             .context = expiring};
}
