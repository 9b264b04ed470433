#include "model/metadata.h"

const char *mrd_family_type_name(enum mrd_family_type type)
{
    static const char *const names[MRD_FAMILY_TYPE_COUNT] = {
        [MRD_FAMILY_UNKNOWN] = "unknown",
        [MRD_FAMILY_COUNTER] = "counter",
        [MRD_FAMILY_GAUGE] = "gauge",
        [MRD_FAMILY_HISTOGRAM] = "histogram",
        [MRD_FAMILY_GAUGE_HISTOGRAM] = "gaugehistogram",
        [MRD_FAMILY_SUMMARY] = "summary",
        [MRD_FAMILY_INFO] = "info",
        [MRD_FAMILY_STATESET] = "stateset",
    };
    return type < MRD_FAMILY_TYPE_COUNT ? names[type] : names[MRD_FAMILY_UNKNOWN];
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

struct mrd_bytes mrd_family_of(struct mrd_bytes name, enum mrd_family_type type)
{
    const bool histogram = type == MRD_FAMILY_HISTOGRAM;
    const bool gauge_histogram = type == MRD_FAMILY_GAUGE_HISTOGRAM;
    const bool stripped = ((histogram || gauge_histogram) && strip(&name, "_bucket")) ||
                          ((histogram || type == MRD_FAMILY_SUMMARY) &&
                           (strip(&name, "_count") || strip(&name, "_sum"))) ||
                          (gauge_histogram && (strip(&name, "_gcount") || strip(&name, "_gsum")));
    (void)stripped; /* at most one suffix goes */
    return name;
}
