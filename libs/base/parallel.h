/* parallel.h: pieces of work that do not depend on each other, shared among threads that live for the call.
 *
 * Pieces begin in their order, each on one thread; the calling thread is one of the workers. After a failure none begins, those that have
 * begun end, and the error is that of the first piece in order that failed: the same as if one thread had done them all.
 *
 * Owner:   plain values.
 * Threads: up to workers - 1 more, gone when the call returns. What `piece` does must be safe beside itself, but for what it
 *          keeps by worker.
 */
#ifndef MRD_BASE_PARALLEL_H
#define MRD_BASE_PARALLEL_H

#include <stddef.h>

#include "base/status.h"

struct mrd_parallel {
    const char *name; /* of the threads, for debuggers */
    size_t workers;   /* 0 is 1 */
    size_t pieces;
    /* worker: 0 to workers - 1, one thread each. */
    enum mrd_status (*piece)(void *context, size_t worker, size_t piece, struct mrd_error *err);
    void *context;
};

MRD_MUST_CHECK enum mrd_status mrd_parallel_run(const struct mrd_parallel *parallel,
                                                struct mrd_error *err);

#endif
