/* rows.h: the writes of one residency class in a range of the log, brought to a block: each (series, time) once, the last writer's.
 *
 * Of several writes of one time the greatest counts, just as in a head (head/head.h): by stamp, origin, then a histogram before
 * a float, of two floats bits and start time, of two histograms the bytes that they have alone in a chunk.
 *
 * Owner:   whoever created it; the table of series is lent.
 * Threads: one at a time.
 * Memory:  CMP_ROW_BYTES a write, histograms as they are in memory; see cmp_rows_memory. Writing takes in addition what
 *          mrd_block_writer takes, 4 bytes for each series of the table, and the decoded labels of the series that have rows.
 */
#ifndef CMP_ROWS_H
#define CMP_ROWS_H

#include "block/writer.h"
#include "compactor/series_table.h"
#include "model/erasure.h"

struct cmp_rows;

enum { CMP_ROW_BYTES = 44, CMP_ROWS_MAX = INT32_MAX };

struct cmp_rows *cmp_rows_create(void);
void cmp_rows_destroy(struct cmp_rows **rows);

/* A write of one value. */
struct cmp_write {
    uint32_t series; /* ordinal */
    uint32_t origin;
    mrd_hlc hlc;
    mrd_time_ms time_ms;
    mrd_time_ms start_ms; /* 0: unknown */
};

/* At most CMP_ROWS_MAX in all (asserts). The histogram is copied. */
void cmp_rows_add(struct cmp_rows *rows, const struct cmp_write *write, double value);
void cmp_rows_add_histogram(struct cmp_rows *rows, const struct cmp_write *write,
                            const struct mrd_histogram *histogram);

/* Takes out what the erasure has of what was added so far, whatever its stamp; returns how many writes. */
uint64_t cmp_rows_erase(struct cmp_rows *rows, const struct cmp_series_table *table,
                        const struct mrd_erasure *erasure);

size_t cmp_rows_count(const struct cmp_rows *rows);
size_t cmp_rows_memory(const struct cmp_rows *rows);

/* The least and the greatest stamp of the writes. There is at least one. */
mrd_hlc cmp_rows_hlc_min(const struct cmp_rows *rows);
mrd_hlc cmp_rows_hlc_max(const struct cmp_rows *rows);

struct cmp_rows_result {
    uint64_t series;
    uint64_t samples; /* written, histograms included */
    uint64_t histograms;
    uint64_t duplicates;      /* writes of the value that won */
    uint64_t overridden;      /* writes of others */
    uint64_t refused;         /* by the block writer, as no block can hold them: lost */
    struct mrd_error refusal; /* of the first of them */
};

/* Adds all series that have rows to the writer, in order. The rows stay and may be written again. Errors of the writer but
 * MRD_E_INVALID, which is counted as refused. */
MRD_MUST_CHECK enum mrd_status cmp_rows_write(struct cmp_rows *rows,
                                              const struct cmp_series_table *table,
                                              struct mrd_block_writer *writer,
                                              struct cmp_rows_result *out, struct mrd_error *err);

#endif
