/* arithmetic.h: what a binary operator does with two numbers. */
#ifndef MRD_PROMQL_ARITHMETIC_H
#define MRD_PROMQL_ARITHMETIC_H

#include <math.h>

#include "promql/plan.h"

/* The value of an arithmetic operator; of a comparison, 1 or 0. */
static inline double pql_compute(enum pql_operator operator, double a, double b)
{
    switch ((int) operator) {
    case PQL_ADD:
        return a + b;
    case PQL_SUB:
        return a - b;
    case PQL_MUL:
        return a * b;
    case PQL_DIV:
        return a / b;
    case PQL_MOD:
        return fmod(a, b);
    case PQL_POW:
        return pow(a, b);
    case PQL_ATAN2:
        return atan2(a, b);
    case PQL_EQ:
        return a == b;
    case PQL_NE:
        return a != b;
    case PQL_GT:
        return a > b;
    case PQL_LT:
        return a < b;
    case PQL_GE:
        return a >= b;
    case PQL_LE:
        return a <= b;
    default:
        mrd_assert(false);
    }
}

/* Combines a vector element with the other side: arithmetic and `bool` give a value, a comparison
 * keeps `element` or gives none. */
static inline double pql_combine(const struct pql_node *node, double a, double b, double element)
{
    const double result = pql_compute(node->operator, a, b);
    if (node->return_bool || !pql_is_comparison(node->operator)) {
        return result;
    }
    return result != 0 ? element : pql_none();
}

#endif
