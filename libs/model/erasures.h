/* erasures.h: the erasures that a partition's log has had, against what comes behind them and was stamped before them.
 *
 * An erasure takes what stands before it in the log. Copies and late batches come behind it: of these, what is
 * stamped before it is erased too. So the answer is the same in whatever order the log has them, and the same for every reader.
 *
 * Owner:   whoever created it.
 * Threads: one at a time.
 * Limits:  MRD_ERASURES_MAX; beyond it the oldest is forgotten. mrd_erasures_expire forgets those that no batch can be late for.
 */
#ifndef MRD_MODEL_ERASURES_H
#define MRD_MODEL_ERASURES_H

#include "model/erasure.h"

enum { MRD_ERASURES_MAX = 1024 };

struct mrd_erasures;

struct mrd_erasures *mrd_erasures_create(void);
void mrd_erasures_destroy(struct mrd_erasures **erasures);
size_t mrd_erasures_memory(const struct mrd_erasures *erasures);

/* Takes an encoded erasure in. *out (valid until the next add or expire) is NULL if it is known already: then there is nothing to
 * be done. Errors of mrd_erasure_decode but MRD_E_LIMIT; nothing has changed then. */
MRD_MUST_CHECK enum mrd_status mrd_erasures_add(struct mrd_erasures *erasures,
                                                struct mrd_bytes encoded,
                                                const struct mrd_erasure **out,
                                                struct mrd_error *err);

/* Others that count as well, in place of those lent before: what somebody else knows of. Lent until the next call, or destroy; adding one of them is
 * news all the same. Forgotten by the next call alone. */
void mrd_erasures_lend(struct mrd_erasures *erasures, const struct mrd_erasure *const *items,
                       size_t count);

/* Forgets those stamped before `before_ms`. */
void mrd_erasures_expire(struct mrd_erasures *erasures, mrd_time_ms before_ms);

/* Whether one that was stamped after `hlc` has been forgotten: then nobody knows here what of a batch with that stamp is erased. */
bool mrd_erasures_forgotten(const struct mrd_erasures *erasures, mrd_hlc hlc);

/* Whether any of them is stamped after `hlc`: if not, nothing of a batch with that stamp is erased. */
bool mrd_erasures_concern(const struct mrd_erasures *erasures, mrd_hlc hlc);

/* Whether one stamped after `hlc` deletes the tenant: then nothing of a batch with that stamp is the tenant's any more, metadata neither. */
bool mrd_erasures_have_tenant(const struct mrd_erasures *erasures, mrd_hlc hlc,
                              struct mrd_bytes tenant);

/* Sets erased[i] for those of a series' times that one stamped after `hlc` has; returns how many are set then. `labels` are
 * canonical and were checked before. */
size_t mrd_erasures_mark(struct mrd_erasures *erasures, mrd_hlc hlc, struct mrd_bytes tenant,
                         struct mrd_bytes labels, const mrd_time_ms *times_ms, size_t count,
                         bool *erased);

#endif
