/* histogram_message_internal.h: a native histogram as protobuf: prometheus.Histogram of remote read, which is
 * io.prometheus.write.v2.Histogram but for the start time. */
#ifndef MRD_WIRE_HISTOGRAM_MESSAGE_INTERNAL_H
#define MRD_WIRE_HISTOGRAM_MESSAGE_INTERNAL_H

#include "base/bytes.h"
#include "model/histogram.h"

struct mrd_histogram_times {
    mrd_time_ms time_ms;
    mrd_time_ms start_ms; /* 0: unknown, left out */
};

/* Appends it as a field of bytes. */
void mrd_histogram_message_append(unsigned field, struct mrd_histogram_times times,
                                  const struct mrd_histogram *histogram, struct mrd_buf *out);

#endif
