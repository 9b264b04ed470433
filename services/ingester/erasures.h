/* erasures.h: the erasures that a partition's log has had, against what comes behind them and was stamped before them.
 *
 * An erasure takes what stands before it in the log. Copies and late batches come behind it: of these, what is
 * stamped before it is erased too. So the answer is the same in whatever order the log has them, and the same on every reader.
 *
 * Owner:   the store. Threads: the partition's shard.
 * Limits:  ING_ERASURES_MAX; beyond it the oldest is forgotten. ing_erasures_expire forgets those that no batch can be late for.
 */
#ifndef ING_ERASURES_H
#define ING_ERASURES_H

#include "head/head.h"
#include "model/erasure.h"
#include "wire/batch.h"

enum { ING_ERASURES_MAX = 1024 };

struct ing_erasures;

struct ing_erasures *ing_erasures_create(void);
void ing_erasures_destroy(struct ing_erasures **erasures);
size_t ing_erasures_memory(const struct ing_erasures *erasures);

/* Takes an encoded erasure in. *out (valid until the next call but find) is NULL if it is known already: then there is nothing to be done.
 * Errors of mrd_erasure_decode; nothing has changed then. */
MRD_MUST_CHECK enum mrd_status ing_erasures_add(struct ing_erasures *erasures,
                                                struct mrd_bytes encoded,
                                                const struct mrd_erasure **out,
                                                struct mrd_error *err);

/* Forgets those stamped before `before_ms`. */
void ing_erasures_expire(struct ing_erasures *erasures, mrd_time_ms before_ms);

/* Whether any of them is stamped after `hlc`: if not, nothing of a batch with that stamp is erased. */
bool ing_erasures_concern(const struct ing_erasures *erasures, mrd_hlc hlc);

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
