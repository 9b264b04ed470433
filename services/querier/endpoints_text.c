/* format_query, parse_query and query_exemplars. */
#include "promql/parse.h"
#include "promql/print.h"
#include "querier/endpoints.h"
#include "querier/json.h"
#include "querier/params.h"
#include "querier/syntax_json.h"

static enum mrd_status parse_query(const struct qry_call *call, struct mrd_ast *out,
                                   struct mrd_error *err)
{
    return mrd_promql_parse(qry_param(call, "query"), &call->options->promql.features, call->arena,
                            out, err);
}

/* Prints the tree of the parameter `query`. */
typedef void syntax_printer(const struct mrd_expr *expr, struct mrd_buf *out);

static enum mrd_status parse_and_print(struct qry_call *call, syntax_printer *print,
                                       struct mrd_buf *out, struct mrd_error *err)
{
    mrd_auto(mrd_ast_fini)
    struct mrd_ast ast = {.root = NULL};
    const enum mrd_status status = parse_query(call, &ast, err);
    if (status != MRD_OK) {
        return qry_bad_param(status, "query", err);
    }
    mrd_buf_append_text(&call->sink->body, "{\"status\":\"success\",\"data\":");
    print(ast.root, out);
    return MRD_OK;
}

enum mrd_status qry_answer_format_query(struct qry_call *call, struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf text;
    struct mrd_buf *body = &call->sink->body;
    mrd_buf_init(&text, call->options->response_bytes_max);
    MRD_TRY(parse_and_print(call, mrd_expr_print_pretty, &text, err));
    qry_json_string(mrd_buf_view(&text), body);
    mrd_buf_append_u8(body, '}');
    body->failed = body->failed || text.failed;
    return MRD_OK;
}

enum mrd_status qry_answer_parse_query(struct qry_call *call, struct mrd_error *err)
{
    MRD_TRY(parse_and_print(call, qry_json_syntax, &call->sink->body, err));
    mrd_buf_append_u8(&call->sink->body, '}');
    return MRD_OK;
}

/* ---- exemplars ---- */

static bool has_selector(const struct mrd_expr *expr)
{
    switch (expr->kind) {
    case MRD_EXPR_NUMBER:
    case MRD_EXPR_STRING:
        return false;
    case MRD_EXPR_SELECTOR:
    case MRD_EXPR_MATRIX:
        return true;
    case MRD_EXPR_SUBQUERY:
        return has_selector(expr->subquery.expr);
    case MRD_EXPR_CALL:
        for (size_t i = 0; i < expr->call.arg_count; i++) {
            if (has_selector(expr->call.args[i])) {
                return true;
            }
        }
        return false;
    case MRD_EXPR_AGGREGATE:
        return has_selector(expr->aggregate.expr) ||
               (expr->aggregate.param != NULL && has_selector(expr->aggregate.param));
    case MRD_EXPR_BINARY:
        return has_selector(expr->binary.left) || has_selector(expr->binary.right);
    case MRD_EXPR_UNARY:
        return has_selector(expr->unary.expr);
    case MRD_EXPR_PAREN:
        return has_selector(expr->paren);
    }
    return false;
}

/* Exemplars are not stored: of whatever is asked there is none. Parameters are checked all the same, and
 * a query without selectors is answered as Prometheus does, with 204 and nothing. */
enum mrd_status qry_answer_query_exemplars(struct qry_call *call, struct mrd_error *err)
{
    mrd_time_ms start_ms;
    mrd_time_ms end_ms;
    mrd_auto(mrd_ast_fini)
    struct mrd_ast ast = {.root = NULL};
    MRD_TRY(qry_time_param(call, "start", QRY_TIME_MIN_MS, &start_ms, err));
    MRD_TRY(qry_time_param(call, "end", QRY_TIME_MAX_MS, &end_ms, err));
    if (end_ms < start_ms) {
        return mrd_fail(err, MRD_E_INVALID, "end timestamp must not be before start timestamp");
    }
    MRD_TRY(parse_query(call, &ast, err));
    if (!has_selector(ast.root)) {
        call->status = 204;
        return MRD_OK;
    }
    mrd_buf_append_text(&call->sink->body, "{\"status\":\"success\",\"data\":[]}");
    return MRD_OK;
}
