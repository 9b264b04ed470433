/* answers.h: two answers of the engine compared to the last bit, for tests that evaluate one thing in two ways.
 *
 * Threads: plain values.
 */
#ifndef MRD_PROMQLTEST_ANSWERS_H
#define MRD_PROMQLTEST_ANSWERS_H

#include "promql/engine.h"

struct mrd_answer {
    enum mrd_status status;
    struct mrd_error err;
    struct mrd_promql_result result;
};

/* What differs first (errors, labels, values, annotations, ...), or NULL. */
const char *mrd_answers_compare(const struct mrd_answer *a, const struct mrd_answer *b);

/* Sorts the series of both by labels, and gives `to` the numbers of `from` that differ no more than sums made in another order may
 * (1e-9 of their size). What differs still is a difference. */
void mrd_answers_bring_near(struct mrd_answer *to, struct mrd_answer *from);

#endif
