/* stats.h: what readers may believe about a page, a chunk or a file without looking at its values.
 * Engines answer queries from these numbers, so they are exact or absent.
 *
 * Rules (parquet.thrift, Statistics and ColumnOrder): NaN is no bound; a bound of zero is -0.0 below and
 * +0.0 above; byte strings order by unsigned bytes; bounds longer than MRD_PQ_BOUND_SIZE are cut, the upper one
 * rounded up, and marked as not exact. Strings are cut between characters, so bounds stay UTF-8.
 *
 * Threads: none of its own.
 */
#ifndef MRD_PARQUET_STATS_H
#define MRD_PARQUET_STATS_H

#include "parquet/format.h"

enum { MRD_PQ_BOUND_SIZE = 64, MRD_PQ_BOUND_SIZE_MAX = MRD_PQ_BOUND_SIZE + 4 };

struct mrd_pq_stats {
    uint64_t entries;
    uint64_t nulls; /* entries without a value */
    uint64_t nans;
    bool bounded; /* the bounds below are set: there was a value that is not NaN */
    union {
        struct {
            int64_t min, max;
        } i; /* booleans and integers */
        struct {
            double min, max;
        } d;
        struct {
            uint8_t min[MRD_PQ_BOUND_SIZE], max[MRD_PQ_BOUND_SIZE];
            uint8_t min_size, max_size;
            bool min_cut, max_cut;
        } b;
    };
};

/* A bound as the file has it (PLAIN, without a length). */
struct mrd_pq_bound {
    uint8_t data[MRD_PQ_BOUND_SIZE_MAX];
    uint8_t size;
    bool present;
    bool exact;
};
struct mrd_pq_bounds {
    struct mrd_pq_bound min;
    struct mrd_pq_bound
        max; /* may be absent alone: a long run of the greatest byte has no short upper bound */
};

/* Counts a batch `times` times. Booleans, INT32, INT64, DOUBLE, BYTE_ARRAY, FIXED. */
void mrd_pq_stats_add(struct mrd_pq_stats *stats, const struct mrd_pq_leaf *leaf,
                      const struct mrd_pq_batch *batch, uint64_t times);

/* Counts what `other` counted. */
void mrd_pq_stats_merge(struct mrd_pq_stats *stats, const struct mrd_pq_leaf *leaf,
                        const struct mrd_pq_stats *other);

struct mrd_pq_bounds mrd_pq_stats_bounds(const struct mrd_pq_stats *stats,
                                         const struct mrd_pq_leaf *leaf);

/* Order of two bounds that are present: below, equal or above 0. */
int mrd_pq_bound_compare(const struct mrd_pq_bound *a, const struct mrd_pq_bound *b,
                         const struct mrd_pq_leaf *leaf);

#endif
