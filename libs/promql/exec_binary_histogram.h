/* exec_binary_histogram.h: binary operators where a side is a native histogram. */
#ifndef MRD_PROMQL_EXEC_BINARY_HISTOGRAM_H
#define MRD_PROMQL_EXEC_BINARY_HISTOGRAM_H

#include "promql/exec.h"

/* One side of an operator at one step: a histogram, or else a float. */
struct pql_operand {
    double value;
    pql_histogram histogram;
};

static inline struct pql_operand pql_operand_of(const struct pql_series *series, size_t i)
{
    return (struct pql_operand){series->values[i],
                                series->histograms == NULL ? NULL : series->histograms[i]};
}
static inline bool pql_operand_is_none(const struct pql_operand *operand)
{
    return operand->histogram == NULL && pql_is_none(operand->value);
}

/* What is to be said about a pair. */
enum pql_binary_note {
    PQL_BINARY_FINE,
    PQL_BINARY_FLOAT_FLOAT, /* types that the operator does not work on: nothing comes out */
    PQL_BINARY_FLOAT_HISTOGRAM,
    PQL_BINARY_HISTOGRAM_FLOAT,
    PQL_BINARY_HISTOGRAM_HISTOGRAM,
    PQL_BINARY_BUCKETS, /* exponential and custom bounds: nothing comes out */
    PQL_BINARY_COLLISION_ADD,
    PQL_BINARY_COLLISION_SUB,
    PQL_BINARY_RECONCILED_ADD,
    PQL_BINARY_RECONCILED_SUB,
    PQL_BINARY_NOTES,
};

/* What an operator makes of two operands. */
struct pql_combined {
    double value;
    pql_histogram histogram; /* in the arena given, or the left operand */
    bool valid;              /* something comes out */
    bool keep;               /* a comparison holds; true for other operators */
    enum pql_binary_note note;
};

/* For operands of which one is a histogram, and for operators that cut histograms. */
MRD_MUST_CHECK enum mrd_status
pql_combine_histograms(const struct pql_node *node, const struct pql_operand *left,
                       const struct pql_operand *right, struct mrd_arena *arena,
                       struct pql_combined *out, struct mrd_error *err);

/* For every pair: what the operator gives for floats, or the above. */
MRD_MUST_CHECK enum mrd_status
pql_combine_operands(const struct pql_node *node, const struct pql_operand *left,
                     const struct pql_operand *right, struct mrd_arena *arena,
                     struct pql_combined *out, struct mrd_error *err);

static inline bool pql_op_trims(enum mrd_binary_op op)
{
    return op == MRD_OP_TRIM_LOWER || op == MRD_OP_TRIM_UPPER;
}

/* Prometheus remembers one note per step, the last one. */
struct pql_step_notes {
    uint8_t *notes; /* enum pql_binary_note per step; NULL as long as there was none */
    size_t steps;
};
MRD_MUST_CHECK enum mrd_status pql_step_note(struct pql_exec *exec, struct pql_step_notes *notes,
                                             size_t step, enum pql_binary_note note,
                                             struct mrd_error *err);
void pql_step_notes_say(struct pql_exec *exec, const struct pql_step_notes *notes,
                        const struct pql_node *node);

#endif
