/* log_names.h: names of streams and subjects of the partition log, in one place. */
#ifndef MRD_BUS_LOG_NAMES_H
#define MRD_BUS_LOG_NAMES_H

#include <inttypes.h>
#include <stdio.h>

enum { MRD_LOG_NAME_MAX = 128 };

static inline const char *mrd_log_stream_name(uint32_t partition, char out[MRD_LOG_NAME_MAX])
{
    snprintf(out, MRD_LOG_NAME_MAX, "MRD_INGEST_%" PRIu32, partition);
    return out;
}

/* The subject of a class, or with "*" that of the whole stream. */
static inline const char *mrd_log_subject(uint32_t partition, const char *residency_class,
                                          char out[MRD_LOG_NAME_MAX])
{
    snprintf(out, MRD_LOG_NAME_MAX, "mrd.ingest.%" PRIu32 ".%s", partition, residency_class);
    return out;
}

#define MRD_REGION_BUCKET "MRD_REGION"
#define MRD_REGION_LOG_KEY "log"
#define MRD_MEMBERS_BUCKET "MRD_MEMBERS"
#define MRD_LEASES_BUCKET "MRD_LEASES"

#endif
