/* format_query and parse_query. */
#include "promql/parse.h"
#include "promql/print.h"
#include "querier/endpoints.h"
#include "querier/json.h"
#include "querier/syntax_json.h"

static enum mrd_status parse_query(const struct qry_call *call, struct mrd_ast *out,
                                   struct mrd_error *err)
{
    return mrd_promql_parse(qry_param(call, "query"), &call->limits.promql.features, call->arena,
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
    mrd_buf_init(&text, call->limits.response_bytes_max);
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
