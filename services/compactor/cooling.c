#include "compactor/cooling.h"

#include <stdlib.h>

#include "base/log.h"
#include "compactor/periodic.h"
#include "upkeep/cool.h"

struct cmp_cooling {
    struct cmp_periodic periodic;
    char *region;
    char *storage_class;
    mrd_time_ms after_ms;
    struct mrd_counter *files;
    struct mrd_counter *bytes;
};

struct cmp_cooling *cmp_cooling_create(const struct mrd_config *config, struct mrd_metrics *metrics)
{
    struct cmp_cooling *cooling = calloc(1, sizeof(*cooling));
    mrd_assert(cooling != NULL);
    cooling->periodic = (struct cmp_periodic){
        .name = CMP_COOLING_ROLE,
        .interval_ms = mrd_config_duration(config, "compactor.cold_interval")};
    cooling->region = strdup(mrd_config_string(config, "region.id"));
    cooling->storage_class = strdup(mrd_config_string(config, "compactor.cold_class"));
    mrd_assert(cooling->region != NULL && cooling->storage_class != NULL);
    cooling->after_ms = mrd_config_duration(config, "compactor.cold_after");
    cooling->files =
        mrd_metrics_counter(metrics, "meridian_cool_files_total",
                            "Data files of blocks that were put into compactor.cold_class.", NULL);
    cooling->bytes = mrd_metrics_counter(metrics, "meridian_cool_bytes_total", "Their size.", NULL);
    return cooling;
}

void cmp_cooling_destroy(struct cmp_cooling **cooling)
{
    if (*cooling != NULL) {
        struct cmp_cooling *self = MRD_MOVE(*cooling);
        free(self->region);
        free(self->storage_class);
        free(self);
    }
}

bool cmp_cooling_is_on(const struct cmp_cooling *cooling)
{
    return cooling->storage_class[0] != '\0';
}

void cmp_cooling_want(struct cmp_cooling *cooling) { cmp_periodic_want(&cooling->periodic); }

static enum mrd_status cool(void *context, const struct cmp_environment *environment,
                            struct mrd_error *err)
{
    const struct cmp_cooling *cooling = context;
    struct mrd_upkeep_cooled cooled;
    const struct mrd_upkeep_cool_options options = {
        .store = environment->store,
        .catalog = environment->catalog,
        .control = &environment->control,
        .clock = environment->clock,
        .region = cooling->region,
        .storage_class = cooling->storage_class,
        .ended_before_ms = mrd_clock_now_ms(environment->clock) - cooling->after_ms,
    };
    const enum mrd_status status = mrd_upkeep_cool(&options, &cooled, err);
    mrd_counter_add(cooling->files, cooled.files);
    mrd_counter_add(cooling->bytes, cooled.bytes);
    if (cooled.files > 0) {
        MRD_LOG_INFO("old blocks are in a colder storage class",
                     mrd_log_str("class", cooling->storage_class),
                     mrd_log_uint("files", cooled.files), mrd_log_uint("bytes", cooled.bytes));
    }
    return status;
}

static enum mrd_status round_of(void *context, const struct cmp_environment *environment,
                                struct mrd_error *err)
{
    struct cmp_cooling *cooling = context;
    return cmp_periodic_run(&cooling->periodic, environment, cool, cooling, err);
}

struct cmp_role cmp_cooling_role(struct cmp_cooling *cooling)
{
    return (struct cmp_role){.name = CMP_COOLING_ROLE,
                             .interval_ms = cmp_periodic_look_ms(&cooling->periodic),
                             .round = round_of,
                             .context = cooling};
}
