/* limits.h: what is kept of one tenant beside its samples, in one partition, and what its questions may have. */
#ifndef ING_LIMITS_H
#define ING_LIMITS_H

#include "base/config.h"

struct ing_limits {
    size_t exemplars_max; /* 0: none */
    size_t families_max;  /* with metadata; 0: none */
    uint32_t workers;     /* that answer its questions at once; 0: all but one */
    uint32_t queue_max;   /* questions of it that wait; 0: half of all that may */
};

/* Of the keys in tenancy/keys.h, for mrd_tenancy_settings_create: fills a struct ing_limits. */
void ing_limits_read(const struct mrd_config *config, void *out_limits);

#endif
