/* series_table.h: the series that the batches of a partition name, by dense ordinals from 0: what a reader of the log keeps of
 * announcements, so that rows need to carry a number only.
 *
 * Owner:   whoever created it. Views of a series live until the table is destroyed.
 * Threads: one at a time.
 * Memory:  about 50 bytes a series and its labels once; grows with the series that are added, see cmp_series_table_memory. What is no longer
 *          named goes by making a new table of the rest.
 */
#ifndef CMP_SERIES_TABLE_H
#define CMP_SERIES_TABLE_H

#include "model/labels.h"

struct cmp_series_table;

struct cmp_series_table *cmp_series_table_create(void);
void cmp_series_table_destroy(struct cmp_series_table **table);

struct cmp_series {
    mrd_series_id id;
    struct mrd_bytes tenant;
    struct mrd_bytes labels; /* canonical */
};

/* Finds the series by its id or takes it in, copied. MRD_E_CORRUPT: the labels are not canonical; nothing has changed. */
MRD_MUST_CHECK enum mrd_status cmp_series_table_add(struct cmp_series_table *table,
                                                    const struct cmp_series *series,
                                                    uint32_t *out_ordinal, struct mrd_error *err);

/* The view is valid until the next add. */
const struct cmp_series *cmp_series_table_at(const struct cmp_series_table *table,
                                             uint32_t ordinal);
size_t cmp_series_table_count(const struct cmp_series_table *table);
size_t cmp_series_table_memory(const struct cmp_series_table *table);

#endif
