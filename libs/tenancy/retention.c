#include "tenancy/retention.h"

static const struct kind {
    mrd_time_ms resolution_ms;
    const char *key;
} kinds[MRD_RETENTION_KINDS] = {
    {0,                   "retention.samples"   },
    {5 * 60 * 1000,       "retention.rollups_5m"},
    {60 * 60 * 1000,      "retention.rollups_1h"},
    {6 * 60 * 60 * 1000,  "retention.rollups_6h"},
    {24 * 60 * 60 * 1000, "retention.rollups_1d"},
};

void mrd_retention_read(const struct mrd_config *config, void *out_retention)
{
    struct mrd_retention *out = out_retention;
    for (size_t i = 0; i < MRD_RETENTION_KINDS; i++) {
        out->kept_ms[i] = mrd_config_duration(config, kinds[i].key);
    }
}

mrd_time_ms mrd_retention_of(const struct mrd_retention *retention, mrd_time_ms resolution_ms)
{
    mrd_time_ms kept_ms = 0;
    for (size_t i = 0; i < MRD_RETENTION_KINDS; i++) {
        if (kinds[i].resolution_ms == resolution_ms) {
            kept_ms = retention->kept_ms[i];
        }
    }
    return kept_ms == 0 ? retention->kept_ms[0] : kept_ms;
}

mrd_time_ms mrd_retention_floor(const struct mrd_retention *retention, mrd_time_ms resolution_ms,
                                mrd_time_ms now_ms)
{
    const mrd_time_ms kept_ms = mrd_retention_of(retention, resolution_ms);
    return kept_ms == 0 ? INT64_MIN : now_ms - kept_ms;
}
