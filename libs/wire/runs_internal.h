/* runs_internal.h: a column of integers as runs: the encoding of every integer column of a batch.
 *
 *   group := varint (count << 1 | same), then one varint (same) or count varints
 *
 * Groups follow each other until the column has as many values as its reader expects, so a column needs no length. Equal
 * values side by side, which is what references and times become as differences, cost next to nothing.
 */
#ifndef MRD_WIRE_RUNS_INTERNAL_H
#define MRD_WIRE_RUNS_INTERNAL_H

#include "base/bytes.h"

/* A column of `count` values is never longer than this. */
static inline size_t mrd_runs_size_max(size_t count)
{
    return count * (MRD_VARINT_SIZE_MAX + 1) + 2 * MRD_VARINT_SIZE_MAX;
}

void mrd_runs_write(struct mrd_buf *out, const uint64_t *values, size_t count);

/* Reads exactly `count` values; false if the bytes do not hold such a column. */
MRD_MUST_CHECK bool mrd_runs_read(struct mrd_reader *reader, uint64_t *values, size_t count);

#endif
