/* print.h: a syntax tree as canonical text, as Prometheus' Expr.String() and its format_query write. */
#ifndef MRD_PROMQL_PRINT_H
#define MRD_PROMQL_PRINT_H

#include "promql/ast.h"

/* Over several lines where one would be longer than 100 bytes, as format_query answers. */
void mrd_expr_print_pretty(const struct mrd_expr *expr, struct mrd_buf *out);

/* On one line. Parsing it again gives the same tree (positions aside). */
void mrd_expr_print(const struct mrd_expr *expr, struct mrd_buf *out);

/* {name="value",...}, in their order. */
void mrd_matchers_print(const struct mrd_matcher *matchers, size_t count, struct mrd_buf *out);

#endif
