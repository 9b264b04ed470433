#include "ingester/limits.h"

void ing_limits_read(const struct mrd_config *config, void *out_limits)
{
    *(struct ing_limits *)out_limits = (struct ing_limits){
        .exemplars_max = (size_t)mrd_config_int(config, "ingester.exemplars_max"),
        .families_max = (size_t)mrd_config_int(config, "ingester.metadata_max"),
        .workers = (uint32_t)mrd_config_int(config, "ingester.tenant_workers"),
        .queue_max = (uint32_t)mrd_config_int(config, "ingester.tenant_queue_max"),
    };
}
