#include "model/metadata.h"

const char *mrd_metric_type_name(enum mrd_metric_type type)
{
    static const char *const names[MRD_METRIC_TYPE_COUNT] = {
        [MRD_METRIC_UNKNOWN] = "unknown",
        [MRD_METRIC_COUNTER] = "counter",
        [MRD_METRIC_GAUGE] = "gauge",
        [MRD_METRIC_HISTOGRAM] = "histogram",
        [MRD_METRIC_GAUGE_HISTOGRAM] = "gaugehistogram",
        [MRD_METRIC_SUMMARY] = "summary",
        [MRD_METRIC_INFO] = "info",
        [MRD_METRIC_STATESET] = "stateset",
    };
    return type < MRD_METRIC_TYPE_COUNT ? names[type] : names[MRD_METRIC_UNKNOWN];
}

static bool strip(struct mrd_bytes *name, const char *suffix)
{
    const size_t size = strlen(suffix);
    if (name->size <= size || memcmp(name->data + name->size - size, suffix, size) != 0) {
        return false;
    }
    name->size -= size;
    return true;
}

struct mrd_bytes mrd_metric_family_of(struct mrd_bytes name, enum mrd_metric_type type)
{
    const bool histogram = type == MRD_METRIC_HISTOGRAM;
    const bool gauge_histogram = type == MRD_METRIC_GAUGE_HISTOGRAM;
    const bool stripped = ((histogram || gauge_histogram) && strip(&name, "_bucket")) ||
                          ((histogram || type == MRD_METRIC_SUMMARY) &&
                           (strip(&name, "_count") || strip(&name, "_sum"))) ||
                          (gauge_histogram && (strip(&name, "_gcount") || strip(&name, "_gsum")));
    (void)stripped; /* at most one suffix goes */
    return name;
}
