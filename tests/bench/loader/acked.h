/* acked.h: which requests of a connection were acknowledged, kept as ranges, since nearly all are.
 *
 * As text one range a line: "<connection> <first request> <last request>". With the plan and the seed
 * of the same run, load_plan_request and load_fleet_* say which samples those are.
 *
 * Zero-initialise. Threads: one at a time.
 */
#ifndef MRD_BENCH_LOADER_ACKED_H
#define MRD_BENCH_LOADER_ACKED_H

#include "base/bytes.h"

struct load_acked_range {
    uint64_t first;
    uint64_t last;
};

struct load_acked {
    struct load_acked_range *ranges;
    size_t count;
    size_t capacity;
};

/* Numbers must not fall from call to call. */
void load_acked_add(struct load_acked *acked, uint64_t number);
void load_acked_print(const struct load_acked *acked, uint32_t connection, struct mrd_buf *out);

/* Adds the ranges of `connection` from such text; MRD_E_INVALID for any other text. */
MRD_MUST_CHECK enum mrd_status load_acked_parse(struct mrd_bytes text, uint32_t connection,
                                                struct load_acked *acked, struct mrd_error *err);

void load_acked_fini(struct load_acked *acked);

#endif
