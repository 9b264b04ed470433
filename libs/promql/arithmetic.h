/* arithmetic.h: what a binary operator does with two numbers. */
#ifndef MRD_PROMQL_ARITHMETIC_H
#define MRD_PROMQL_ARITHMETIC_H

#include <math.h>

#include "promql/plan.h"

/* The value of an arithmetic operator; of a comparison, 1 or 0. */
static inline double pql_compute(enum mrd_binary_op op, double a, double b)
{
    switch ((int)op) {
    case MRD_OP_ADD:
        return a + b;
    case MRD_OP_SUB:
        return a - b;
    case MRD_OP_MUL:
        return a * b;
    case MRD_OP_DIV:
        return a / b;
    case MRD_OP_MOD:
        return fmod(a, b);
    case MRD_OP_POW:
        return pow(a, b);
    case MRD_OP_ATAN2:
        return atan2(a, b);
    case MRD_OP_EQ:
        return a == b;
    case MRD_OP_NE:
        return a != b;
    case MRD_OP_GT:
        return a > b;
    case MRD_OP_LT:
        return a < b;
    case MRD_OP_GE:
        return a >= b;
    case MRD_OP_LE:
        return a <= b;
    default:
        mrd_assert(false);
    }
}

/* Combines a vector element with the other side: arithmetic and `bool` give a value, a comparison
 * keeps `element` or gives none. */
static inline double pql_combine(const struct pql_node *node, double a, double b, double element)
{
    const double result = pql_compute(node->op, a, b);
    if (node->return_bool || !mrd_op_is_comparison(node->op)) {
        return result;
    }
    return result != 0 ? element : pql_none();
}

#endif
