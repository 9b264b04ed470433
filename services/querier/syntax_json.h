/* syntax_json.h: a syntax tree as the JSON that parse_query answers (web/api/v1/translate_ast.go), for
 * user interfaces that explain queries. */
#ifndef QRY_SYNTAX_JSON_H
#define QRY_SYNTAX_JSON_H

#include "promql/ast.h"

/* Appends one JSON object. */
void qry_json_syntax(const struct mrd_expr *expr, struct mrd_buf *out);

#endif
