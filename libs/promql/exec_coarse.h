/* exec_coarse.h: selectors that rows of windows answer, with finer rows and samples where these do not reach (coarse.h).
 *
 *     pql_plan_coarse -> pql_coarse_open -> pql_build_coarse, asked to its end -> pql_coarse_close
 *
 * Finer rows and samples become rows too: of the times between the ranges' edges (exec_coarse_edges.c), so that all that is left is rows,
 * joined for each range. Their sets are read to the end first and kept by series; then the series of the coarsest rows pass by.
 */
#ifndef MRD_PROMQL_EXEC_COARSE_H
#define MRD_PROMQL_EXEC_COARSE_H

#include "promql/coarse.h"
#include "promql/exec.h"

/* A part of the selector's time: of rows, or of samples. */
struct pql_coarse_part {
    struct mrd_coarse_span span;
    mrd_time_ms resolution_ms; /* 0: of samples */
    bool coarse;               /* of the coarsest rows, which are not kept */
    struct mrd_select select;  /* of samples */
    struct mrd_source_set *set;
};

struct pql_coarse {
    mrd_time_ms resolution_ms;
    enum mrd_rollup_function function;
    struct mrd_rollup_grid grid;
    struct mrd_rollup_edges edges; /* of ranges and parts */
    bool fold;                     /* it is worth it to have the coarsest rows joined */
    mrd_time_ms window_ms;         /* if a range may be one row: its length; else 0 */
    bool windows;                  /* if no range has more than one of the coarsest rows */
    bool whole;                    /* if, joined, none has more of each block */
    struct pql_coarse_part *parts; /* in order, no gaps */
    size_t part_count;
    struct mrd_select select; /* of the coarsest rows */
    struct mrd_coarse_set *set;
};

/* Sets selector->coarse of those that rows are to answer; nothing else is changed. Asks the source. */
MRD_MUST_CHECK enum mrd_status pql_plan_coarse(struct pql_exec *exec, const struct pql_plan *plan,
                                               struct mrd_error *err);

MRD_MUST_CHECK enum mrd_status pql_coarse_open(struct pql_exec *exec, struct pql_selector *selector,
                                               struct mrd_error *err);
void pql_coarse_close(const struct pql_exec *exec, struct pql_selector *selector);

/* Instead of the operator of `node`: a call on the selector, or the selector itself. Fails with MRD_E_CONFLICT and
 * exec->refused where only samples know. */
MRD_MUST_CHECK enum mrd_status pql_build_coarse(struct pql_exec *exec, const struct pql_node *node,
                                                struct pql_selector *selector, struct pql_op **out,
                                                struct mrd_error *err);

MRD_MUST_CHECK enum mrd_status pql_coarse_open_samples(struct pql_exec *exec,
                                                       const struct pql_selector *selector,
                                                       struct pql_coarse_part *part,
                                                       struct mrd_error *err);

/* What is wanted of rows of a resolution. */
struct mrd_coarse_wanted pql_coarse_wanted(const struct pql_exec *exec,
                                           const struct pql_coarse *coarse,
                                           mrd_time_ms resolution_ms);

/* ---- exec_coarse_edges.c ---- */

/* Rows of what other parts than those of the coarsest rows have of one series. */
struct pql_edge_series {
    struct mrd_labels labels;
    struct mrd_rollup_row *rows; /* by time */
    size_t count;
    size_t capacity;
    bool used;
};

struct pql_edges {
    struct pql_label_table table;
    struct pql_edge_series *items;
    size_t capacity;
};

/* The edges of ranges, in order: end0 + i * step, and these less the range. */
struct pql_range_grid {
    mrd_time_ms end0_ms;
    mrd_time_ms end_step_ms;
    mrd_time_ms range_ms;
    size_t count;
};

/* Reads all parts but those of the coarsest rows, one after the other, and closes their sets: of many the memory of few is needed. */
MRD_MUST_CHECK enum mrd_status pql_edges_read(struct pql_exec *exec,
                                              const struct pql_selector *selector,
                                              const struct pql_range_grid *grid,
                                              struct pql_edges *out, struct mrd_error *err);

#endif
