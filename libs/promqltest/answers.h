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

#endif
