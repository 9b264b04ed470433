/* sender.h: samples on their way to a distributor: requests of remote write 2.0, sent until they are acknowledged.
 *
 * A request that the server cannot take now (429, 5xx, no connection) is sent again after the time that it names, or a
 * growing one, for `patience_ms` at most; sending twice stores once. What it refuses for good is counted and told of. Each acknowledgement
 * is held to the counts of X-Prometheus-Remote-Write-*-Written.
 *
 * Owner: ctl_sender_fini. Threads: one. Limits: a request is sent once it has `samples_max` samples or `bytes_max`
 * bytes; a histogram counts as several samples there.
 */
#ifndef CTL_SENDER_H
#define CTL_SENDER_H

#include "mrdctl/connection.h"
#include "wire/remote_write_v2_build.h"

struct ctl_sent {
    uint64_t samples;
    uint64_t histograms;
};

struct ctl_sender {
    struct ctl_connection *connection; /* NULL: nothing is sent, everything counts as written */
    uint64_t samples_max;
    uint64_t bytes_max;
    mrd_time_ms patience_ms;
    bool keep_going; /* also when of a whole request nothing was written */
    struct mrd_rw2_build build;
    struct mrd_buf body;
    uint64_t weight; /* of what waits in the build */
    bool begun;      /* a series */
    struct ctl_sent written;
    uint64_t refused;
    uint64_t requests;
    uint64_t retries;
    unsigned told; /* refusals that were printed */
};

void ctl_sender_init(struct ctl_sender *sender);
void ctl_sender_fini(struct ctl_sender *sender);

/* Adds to a series; another one's samples may come next. An add may send what there is. */
MRD_MUST_CHECK enum mrd_status ctl_sender_sample(struct ctl_sender *sender,
                                                 struct mrd_labels labels, struct mrd_sample sample,
                                                 mrd_time_ms start_ms, struct mrd_error *err);
MRD_MUST_CHECK enum mrd_status ctl_sender_histogram(struct ctl_sender *sender,
                                                    struct mrd_labels labels, mrd_time_ms time_ms,
                                                    mrd_time_ms start_ms,
                                                    const struct mrd_histogram *histogram,
                                                    struct mrd_error *err);

/* No more of the series. */
void ctl_sender_end(struct ctl_sender *sender);

/* Whether it is time to send, where the caller may choose when. */
bool ctl_sender_is_well_filled(const struct ctl_sender *sender);

/* Whether nothing waits to be sent: all that was added is acknowledged or refused. */
static inline bool ctl_sender_is_empty(const struct ctl_sender *sender)
{
    return sender->weight == 0;
}

/* Sends what waits. No series has begun. MRD_E_UNAVAILABLE: patience has ended; MRD_E_DENIED, MRD_E_INVALID: the
 * server refuses requests such as this one. */
MRD_MUST_CHECK enum mrd_status ctl_sender_flush(struct ctl_sender *sender, struct mrd_error *err);

#endif
