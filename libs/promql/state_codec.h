/* state_codec.h: the states of an aggregation's groups as bytes, and back. docs/formats/fragment.md has the
 * layout. What is read comes from another process: every count is held against what is left of the bytes,
 * and what is read is MRD_E_CORRUPT or a state that may be merged.
 */
#ifndef MRD_PROMQL_STATE_CODEC_H
#define MRD_PROMQL_STATE_CODEC_H

#include "promql/exec_aggregate_histogram.h"

/* MRD_E_CORRUPT. */
enum mrd_status pql_states_corrupt(struct mrd_error *err, const char *what);

void pql_number_write(double value, struct mrd_buf *out);
double pql_number_read(struct mrd_reader *in);

/* Labels and whether their name goes at the end of the query; read into the arena and, in part, still in the
 * bytes. */
void pql_labels_write(struct mrd_labels labels, bool drop_name, struct mrd_buf *out);
MRD_MUST_CHECK enum mrd_status pql_labels_read(struct mrd_reader *in, struct mrd_arena *arena,
                                               struct mrd_labels *out, bool *out_drop_name,
                                               struct mrd_error *err);

void pql_group_state_write(enum mrd_aggregation aggregation, const struct pql_group_state *state,
                           size_t steps, struct mrd_buf *out);

/* Into an empty state. *out_histograms: pql_group_histograms_read comes next. */
MRD_MUST_CHECK enum mrd_status pql_group_state_read(enum mrd_aggregation aggregation,
                                                    struct mrd_reader *in, size_t steps,
                                                    struct pql_group_state *state,
                                                    bool *out_histograms, struct mrd_error *err);

/* The histograms of a state that was read, into state->histograms, of which there is none yet. `scratch` is for
 * the way. */
MRD_MUST_CHECK enum mrd_status pql_group_histograms_read(enum mrd_aggregation aggregation,
                                                         struct mrd_reader *in, size_t steps,
                                                         const struct pql_group_state *state,
                                                         struct mrd_arena *scratch,
                                                         struct mrd_error *err);

#endif
