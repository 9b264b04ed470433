/* expected.h: a plan's samples as text, for tests of determinism and for checkers of what is stored.
 *
 * One sample a line, in the order of connection, request, sample:
 * <tenant number>\t<labels as name{a="b"}>\t<timestamp ms>\t<value>
 */
#ifndef MRD_BENCH_LOADER_EXPECTED_H
#define MRD_BENCH_LOADER_EXPECTED_H

#include <stdio.h>

#include "loader/acked.h"
#include "loader/options.h"

/* Prints at most options->print_max samples (0: all). With `acked` (text of a verify list) only
 * those of acknowledged requests; pass NULL for all. MRD_E_INVALID for a bad list. */
MRD_MUST_CHECK enum mrd_status load_expected_print(const struct load_options *options,
                                                   const struct mrd_bytes *acked, FILE *out,
                                                   struct mrd_error *err);

#endif
