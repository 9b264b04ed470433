#include "querier/syntax_json.h"

#include <inttypes.h>
#include <math.h>

#include "base/number.h"
#include "querier/json.h"

/* ---- fields: each is preceded by what separates it from the one before ---- */

static void field(const char *name, struct mrd_buf *out)
{
    const bool first = out->size == 0 || out->data[out->size - 1] == '{';
    mrd_buf_printf(out, "%s\"%s\":", first ? "" : ",", name);
}

static void text_field(const char *name, const char *text, struct mrd_buf *out)
{
    field(name, out);
    qry_json_string(mrd_bytes_of(text), out);
}

static void bool_field(const char *name, bool value, struct mrd_buf *out)
{
    field(name, out);
    mrd_buf_append_text(out, value ? "true" : "false");
}

static void ms_field(const char *name, mrd_time_ms ms, struct mrd_buf *out)
{
    field(name, out);
    mrd_buf_printf(out, "%" PRId64, ms);
}

static void number_field(const char *name, double value, struct mrd_buf *out)
{
    char text[MRD_DOUBLE_TEXT_MAX];
    (void)mrd_double_format_f(value, text);
    text_field(name, text, out);
}

static void expr_field(const char *name, const struct mrd_expr *expr, struct mrd_buf *out)
{
    field(name, out);
    if (expr == NULL) {
        mrd_buf_append_text(out, "null");
    } else {
        qry_json_syntax(expr, out);
    }
}

static void names_field(const char *name, struct mrd_names names, struct mrd_buf *out)
{
    field(name, out);
    mrd_buf_append_u8(out, '[');
    for (size_t i = 0; i < names.count; i++) {
        mrd_buf_append_text(out, i == 0 ? "" : ",");
        qry_json_string(names.items[i], out);
    }
    mrd_buf_append_u8(out, ']');
}

/* ---- time ---- */

static const char *duration_op(enum mrd_duration_kind kind)
{
    static const char *const texts[] = {
        [MRD_DURATION_NUMBER] = "",       [MRD_DURATION_STEP] = "step",
        [MRD_DURATION_RANGE] = "range",   [MRD_DURATION_MIN_OF] = "min_of",
        [MRD_DURATION_MAX_OF] = "max_of", [MRD_DURATION_ADD] = "+",
        [MRD_DURATION_SUB] = "-",         [MRD_DURATION_MUL] = "*",
        [MRD_DURATION_DIV] = "/",         [MRD_DURATION_MOD] = "%",
        [MRD_DURATION_POW] = "^",         [MRD_DURATION_NEGATE] = "-",
        [MRD_DURATION_PLUS] = "+",
    };
    return texts[kind];
}

static void duration_field(const char *name, const struct mrd_duration_expr *expr,
                           struct mrd_buf *out)
{
    field(name, out);
    if (expr == NULL) {
        mrd_buf_append_text(out, "null");
        return;
    }
    mrd_buf_append_u8(out, '{');
    if (expr->kind == MRD_DURATION_NUMBER) {
        bool_field("duration", expr->is_duration, out);
        text_field("type", "numberLiteral", out);
        number_field("val", expr->number, out);
    } else { /* Prometheus keeps the operand of a sign on the right */
        const bool sign = expr->kind == MRD_DURATION_NEGATE || expr->kind == MRD_DURATION_PLUS;
        duration_field("lhs", sign ? NULL : expr->left, out);
        text_field("op", duration_op(expr->kind), out);
        duration_field("rhs", sign ? expr->left : expr->right, out);
        text_field("type", "durationExpr", out);
        bool_field("wrapped", expr->wrapped, out);
    }
    mrd_buf_append_u8(out, '}');
}

static void offset_fields(const struct mrd_timing *timing, struct mrd_buf *out)
{
    ms_field("offset", timing->offset.ms, out);
    duration_field("offsetExpr", timing->offset.expr, out);
}

static void start_or_end_field(const struct mrd_timing *timing, struct mrd_buf *out)
{
    static const char *const at_texts[] = {
        [MRD_AT_NONE] = "null",
        [MRD_AT_TIME] = "null",
        [MRD_AT_START] = "\"start\"",
        [MRD_AT_END] = "\"end\"",
    };
    field("startOrEnd", out);
    mrd_buf_append_text(out, at_texts[timing->at_written]);
}

static void timestamp_field(const struct mrd_timing *timing, struct mrd_buf *out)
{
    field("timestamp", out);
    if (timing->at_written == MRD_AT_TIME) {
        mrd_buf_printf(out, "%" PRId64, timing->at_ms);
    } else {
        mrd_buf_append_text(out, "null");
    }
}

/* ---- nodes: their fields in the order of the names, as Go prints maps ---- */

static void type_field(const struct mrd_expr *expr, struct mrd_buf *out)
{
    static const char *const types[] = {
        [MRD_EXPR_NUMBER] = "numberLiteral",    [MRD_EXPR_STRING] = "stringLiteral",
        [MRD_EXPR_SELECTOR] = "vectorSelector", [MRD_EXPR_MATRIX] = "matrixSelector",
        [MRD_EXPR_SUBQUERY] = "subquery",       [MRD_EXPR_CALL] = "call",
        [MRD_EXPR_AGGREGATE] = "aggregation",   [MRD_EXPR_BINARY] = "binaryExpr",
        [MRD_EXPR_UNARY] = "unaryExpr",         [MRD_EXPR_PAREN] = "parenExpr",
    };
    text_field("type", types[expr->kind], out);
}

static void duration_fields(const char *name, const char *expr_name,
                            const struct mrd_duration *duration, struct mrd_buf *out)
{
    ms_field(name, duration->ms, out);
    duration_field(expr_name, duration->expr, out);
}

/* `range` is that of a range selector, or NULL. */
static void selector_fields(const struct mrd_selector *selector, const struct mrd_duration *range,
                            struct mrd_buf *out)
{
    bool_field("anchored", selector->edge == MRD_EDGE_ANCHORED, out);
    field("matchers", out);
    mrd_buf_append_u8(out, '[');
    for (size_t i = 0; i < selector->matcher_count; i++) {
        const struct mrd_matcher *matcher = &selector->matchers[i];
        mrd_buf_append_text(out, i == 0 ? "{" : ",{");
        field("name", out);
        qry_json_string(matcher->name, out);
        text_field("type", mrd_match_type_text(matcher->type), out);
        field("value", out);
        qry_json_string(matcher->value, out);
        mrd_buf_append_u8(out, '}');
    }
    mrd_buf_append_u8(out, ']');
    field("name", out);
    qry_json_string(selector->name, out);
    offset_fields(&selector->timing, out);
    if (range != NULL) {
        duration_fields("range", "rangeExpr", range, out);
    }
    bool_field("smoothed", selector->edge == MRD_EDGE_SMOOTHED, out);
    start_or_end_field(&selector->timing, out);
    timestamp_field(&selector->timing, out);
}

static void aggregate_fields(const struct mrd_expr *expr, struct mrd_buf *out)
{
    const struct mrd_aggregate *aggregate = &expr->aggregate;
    expr_field("expr", aggregate->expr, out);
    names_field("grouping", aggregate->grouping, out);
    text_field("op", mrd_aggregation_text(aggregate->op), out);
    expr_field("param", aggregate->param, out);
    type_field(expr, out);
    bool_field("without", aggregate->without, out);
}

static void fill_field(const char *name, bool set, double value, struct mrd_buf *out)
{
    if (set && !isfinite(value)) {
        number_field(name, value, out); /* JSON has no such numbers */
        return;
    }
    char text[MRD_DOUBLE_TEXT_MAX] = "null";
    if (set) {
        (void)mrd_double_format_json(value, text);
    }
    field(name, out);
    mrd_buf_append_text(out, text);
}

static void matching_field(const struct mrd_matching *matching, struct mrd_buf *out)
{
    static const char *const cardinalities[] = {
        [MRD_ONE_TO_ONE] = "one-to-one",
        [MRD_MANY_TO_ONE] = "many-to-one",
        [MRD_ONE_TO_MANY] = "one-to-many",
        [MRD_MANY_TO_MANY] = "many-to-many",
    };
    field("matching", out);
    if (matching == NULL) {
        mrd_buf_append_text(out, "null");
        return;
    }
    mrd_buf_append_u8(out, '{');
    text_field("card", cardinalities[matching->cardinality], out);
    field("fillValues", out);
    mrd_buf_append_u8(out, '{');
    fill_field("lhs", matching->fill_left_set, matching->fill_left, out);
    fill_field("rhs", matching->fill_right_set, matching->fill_right, out);
    mrd_buf_append_u8(out, '}');
    names_field("include", matching->include, out);
    names_field("labels", matching->labels, out);
    bool_field("on", matching->on, out);
    mrd_buf_append_u8(out, '}');
}

static void binary_fields(const struct mrd_binary *binary, struct mrd_buf *out)
{
    bool_field("bool", binary->return_bool, out);
    expr_field("lhs", binary->left, out);
    matching_field(binary->matching, out);
    text_field("op", mrd_binary_op_text(binary->op), out);
    expr_field("rhs", binary->right, out);
}

/* Prometheus' internal names of types, not those of its error texts. */
static const char *type_name(enum mrd_value_type type)
{
    return type == MRD_VALUE_VECTOR   ? "vector"
           : type == MRD_VALUE_MATRIX ? "matrix"
                                      : mrd_value_type_text(type);
}

/* Prometheus' "variadic": how many more arguments than types may stand there, -1: any number. */
static int variadic(const struct mrd_function *function)
{
    return function->arg_count_max < 0 ? -1 : function->arg_count_max - function->arg_count_min;
}

static void call_fields(const struct mrd_call *call, struct mrd_buf *out)
{
    const struct mrd_function *function = call->function;
    field("args", out);
    mrd_buf_append_u8(out, '[');
    for (size_t i = 0; i < call->arg_count; i++) {
        mrd_buf_append_text(out, i == 0 ? "" : ",");
        qry_json_syntax(call->args[i], out);
    }
    mrd_buf_append_u8(out, ']');
    field("func", out);
    mrd_buf_append_u8(out, '{');
    field("argTypes", out);
    mrd_buf_append_u8(out, '[');
    for (int i = 0; i < function->arg_type_count; i++) {
        mrd_buf_printf(out, "%s\"%s\"", i == 0 ? "" : ",", type_name(function->arg_types[i]));
    }
    mrd_buf_append_u8(out, ']');
    text_field("name", function->name, out);
    text_field("returnType", type_name(function->result), out);
    field("variadic", out);
    mrd_buf_printf(out, "%d}", variadic(function));
}

static void subquery_fields(const struct mrd_subquery *subquery, struct mrd_buf *out)
{
    expr_field("expr", subquery->expr, out);
    offset_fields(&subquery->timing, out);
    duration_fields("range", "rangeExpr", &subquery->range, out);
    start_or_end_field(&subquery->timing, out);
    duration_fields("step", "stepExpr", &subquery->step, out);
    timestamp_field(&subquery->timing, out);
}

static void fields_of(const struct mrd_expr *expr, struct mrd_buf *out)
{
    switch (expr->kind) {
    case MRD_EXPR_NUMBER:
        type_field(expr, out);
        number_field("val", expr->number.value, out);
        break;
    case MRD_EXPR_STRING:
        type_field(expr, out);
        field("val", out);
        qry_json_string(expr->string, out);
        break;
    case MRD_EXPR_SELECTOR:
        selector_fields(&expr->selector, NULL, out);
        break;
    case MRD_EXPR_MATRIX:
        selector_fields(&expr->matrix.selector->selector, &expr->matrix.range, out);
        break;
    case MRD_EXPR_SUBQUERY:
        subquery_fields(&expr->subquery, out);
        break;
    case MRD_EXPR_CALL:
        call_fields(&expr->call, out);
        break;
    case MRD_EXPR_AGGREGATE:
        aggregate_fields(expr, out);
        break;
    case MRD_EXPR_BINARY:
        binary_fields(&expr->binary, out);
        break;
    case MRD_EXPR_UNARY:
        expr_field("expr", expr->unary.expr, out);
        text_field("op", expr->unary.minus ? "-" : "+", out);
        break;
    case MRD_EXPR_PAREN:
        expr_field("expr", expr->paren, out);
        break;
    }
}

void qry_json_syntax(const struct mrd_expr *expr, struct mrd_buf *out)
{
    const bool type_inside = expr->kind == MRD_EXPR_NUMBER || expr->kind == MRD_EXPR_STRING ||
                             expr->kind == MRD_EXPR_AGGREGATE;
    mrd_buf_append_u8(out, '{');
    fields_of(expr, out);
    if (!type_inside) { /* the last one of the others */
        type_field(expr, out);
    }
    mrd_buf_append_u8(out, '}');
}
