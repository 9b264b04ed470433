/* random_queries.h: random series and random queries over them, for tests that evaluate one thing in two ways.
 *
 * The same seed gives the same series and queries everywhere, so a failure that prints it can be seen again.
 *
 * Threads: one in a process; the state is the process'.
 */
#ifndef MRD_PROMQLTEST_RANDOM_QUERIES_H
#define MRD_PROMQLTEST_RANDOM_QUERIES_H

#include "promql/engine.h"
#include "promqltest/memory_source.h"

enum {
    MRD_RANDOM_SAMPLES =
        40, /* of a series at most, about MRD_RANDOM_STEP_MS apart, the first at 0 */
    MRD_RANDOM_STEP_MS = 15000,
};

void mrd_random_seed(uint64_t seed); /* not 0 */
/* The seed that the environment's MRD_TEST_SEED says, else `usual`. */
void mrd_random_seed_for_test(uint64_t usual);
uint64_t mrd_random_next(void);
size_t mrd_random_below(size_t limit);

/* A series name{instance, job}: floats, native histograms (name "h"), both ("mixed"); gaps, staleness markers, resets, values
 * whose sums cancel or overflow, start times. */
void mrd_random_series(struct mrd_memory_source *source, const char *name, size_t index);

/* Other series: some of each kind. */
void mrd_random_fill(struct mrd_memory_source *source);

/* Beside them, whatever the seed: a series certain{instance="0", job="0"} with a sample every MRD_RANDOM_STEP_MS. */
void mrd_random_certain(struct mrd_memory_source *source);

struct mrd_random_text {
    char bytes[1024];
    size_t size;
};
/* An aggregation, or several, over expressions of any kind. */
void mrd_random_query(struct mrd_random_text *text);
struct mrd_promql_request mrd_random_request(const struct mrd_random_text *text);
struct mrd_promql_options mrd_random_options(void);

#endif
