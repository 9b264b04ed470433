/* run.h: one run of the load generator: connects, sends a plan's requests, measures.
 *
 * One thread and one epoll for all connections. While a connection waits for its answer, its next
 * body is made, unless it was made before the start.
 *
 * Closed loop: a connection sends its next request as soon as the last one is answered; latency is
 * counted from the first byte sent. Open loop: request j of connection c is due at
 * (j * connections + c) * request_samples / rate after the start, whatever happened before, and its
 * latency counts from then (no coordinated omission).
 */
#ifndef MRD_BENCH_LOADER_RUN_H
#define MRD_BENCH_LOADER_RUN_H

#include <stdatomic.h>

#include "loader/options.h"
#include "loader/results.h"

/* Blocks until the plan is done, the duration is over or *stop is set (by a signal handler), and
 * fills *results. What ends badly is counted there; an error is returned only if the run
 * could not be begun, or its list not be written. */
MRD_MUST_CHECK enum mrd_status load_run(const struct load_options *options,
                                        const struct mrd_clock *clock, atomic_bool *stop,
                                        struct load_results *results, struct mrd_error *err);

#endif
