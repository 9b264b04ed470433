/* erasures.h: a store's erasures (model/erasures.h), applied to what batches bring to the head.
 *
 * Owner:   the store. Threads: the partition's shard.
 */
#ifndef ING_ERASURES_H
#define ING_ERASURES_H

#include "head/head.h"
#include "model/erasures.h"
#include "wire/batch.h"

struct ing_erasures;

struct ing_erasures *ing_erasures_create(void);
void ing_erasures_destroy(struct ing_erasures **erasures);

/* What has been applied so far. */
struct mrd_erasures *ing_erasures_list(struct ing_erasures *erasures);

/* Whether one that is stamped after `hlc` has this sample. */
bool ing_erasures_have(struct ing_erasures *erasures, mrd_hlc hlc, struct mrd_bytes tenant,
                       struct mrd_bytes labels, mrd_time_ms time_ms);

/* Leaves out of a batch's rows, on their way to the head, what an erasure has that is stamped after the batch. Returns how many
 * samples; the columns of `rows` are this object's then, until the next call. Cost: nothing where none is
 * stamped after it, as nearly always; else some microseconds a row. */
size_t ing_erasures_leave_out(struct ing_erasures *erasures, const struct mrd_head *head,
                              const struct mrd_batch *batch, struct mrd_head_batch *rows);
size_t ing_erasures_leave_out_histograms(struct ing_erasures *erasures, const struct mrd_head *head,
                                         const struct mrd_batch *batch,
                                         struct mrd_head_histogram_batch *rows);

#endif
