/* results.h: what a run of the load generator has seen, and its JSON.
 *
 * Threads: one at a time.
 */
#ifndef MRD_BENCH_LOADER_RESULTS_H
#define MRD_BENCH_LOADER_RESULTS_H

#include "base/bytes.h"
#include "loader/latency.h"
#include "loader/options.h"

enum { LOAD_STATUS_MAX = 600, LOAD_RESULT_TEXT_MAX = 640 };

struct load_results {
    uint64_t requests;         /* that came to an end, good or bad */
    uint64_t samples_accepted; /* 2xx */
    uint64_t samples_refused;  /* 4xx: will never be taken */
    uint64_t samples_failed;   /* 5xx or no answer, where it was not sent again or time was up */
    uint64_t bytes_sent;       /* bodies */
    uint64_t bytes_raw;        /* before compression */
    uint64_t retries;
    uint64_t connects;
    uint64_t statuses[LOAD_STATUS_MAX]; /* answers by HTTP status; [0]: the connection was lost */
    struct load_latency latency;        /* of accepted requests, retries included */
    int64_t begin_ns;
    int64_t end_ns; /* of the last answer */
    double prepare_seconds;
    uint64_t prepared_requests;
    double cpu_seconds; /* of this process while sending */
    bool interrupted;
    char first_failure[LOAD_RESULT_TEXT_MAX];
};

/* Appends one JSON object, with a newline. */
void load_results_print(const struct load_results *results, const struct load_options *options,
                        struct mrd_buf *out);

#endif
