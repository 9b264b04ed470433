/* Source: Prometheus 3.14, promql/parser/printer.go. */
#include "promql/print.h"

#include <math.h>
#include <stdlib.h>

#include "base/duration.h"
#include "base/number.h"
#include "base/quote.h"

static void print_duration_ms(mrd_time_ms ms, struct mrd_buf *out)
{
    char text[MRD_DURATION_TEXT_MAX];
    mrd_buf_append_text(out, mrd_duration_format(ms, text));
}

static void print_number(double value, struct mrd_buf *out)
{
    char text[MRD_DOUBLE_TEXT_MAX];
    mrd_buf_append(out, text, mrd_double_format_f(value, text));
}

static void print_g(double value, struct mrd_buf *out)
{
    char text[MRD_DOUBLE_TEXT_MAX];
    mrd_buf_append(out, text, mrd_double_format_g(value, text));
}

static void print_literal(double value, bool is_duration, struct mrd_buf *out)
{
    if (is_duration) {
        print_duration_ms((mrd_time_ms)(value * 1e9) / 1000000, out);
    } else {
        print_number(value, out);
    }
}

/* ---- names ---- */

static bool is_plain_label(struct mrd_bytes name)
{
    for (size_t i = 0; i < name.size; i++) {
        const uint8_t c = name.data[i];
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9')) {
            return false;
        }
    }
    return name.size > 0;
}

static void print_name(struct mrd_bytes name, struct mrd_buf *out)
{
    if (is_plain_label(name)) {
        mrd_buf_append_bytes(out, name);
    } else {
        mrd_quote_append(name, out);
    }
}

static void print_names(const char *before, struct mrd_names names, struct mrd_buf *out)
{
    mrd_buf_append_text(out, before);
    for (size_t i = 0; i < names.count; i++) {
        mrd_buf_append_text(out, i == 0 ? "" : ", ");
        print_name(names.items[i], out);
    }
    mrd_buf_append_u8(out, ')');
}

/* ---- time ---- */

static const char *duration_operator(enum mrd_duration_kind kind)
{
    switch ((int)kind) {
    case MRD_DURATION_ADD:
        return " + ";
    case MRD_DURATION_SUB:
        return " - ";
    case MRD_DURATION_MUL:
        return " * ";
    case MRD_DURATION_DIV:
        return " / ";
    case MRD_DURATION_MOD:
        return " % ";
    default:
        return " ^ ";
    }
}

static void print_duration_expr(const struct mrd_duration_expr *expr, struct mrd_buf *out)
{
    mrd_buf_append_text(out, expr->wrapped ? "(" : "");
    switch (expr->kind) {
    case MRD_DURATION_NUMBER:
        print_literal(expr->number, expr->is_duration, out);
        break;
    case MRD_DURATION_STEP:
        mrd_buf_append_text(out, "step()");
        break;
    case MRD_DURATION_RANGE:
        mrd_buf_append_text(out, "range()");
        break;
    case MRD_DURATION_MIN_OF:
    case MRD_DURATION_MAX_OF:
        mrd_buf_append_text(out, expr->kind == MRD_DURATION_MIN_OF ? "min_of(" : "max_of(");
        print_duration_expr(expr->left, out);
        mrd_buf_append_text(out, ", ");
        print_duration_expr(expr->right, out);
        mrd_buf_append_u8(out, ')');
        break;
    case MRD_DURATION_NEGATE:
        mrd_buf_append_u8(out, '-');
        print_duration_expr(expr->left, out);
        break;
    case MRD_DURATION_PLUS: /* around a number in parentheses it has no sign */
        mrd_buf_append_text(out, expr->wrapped ? "" : "+");
        print_duration_expr(expr->left, out);
        break;
    case MRD_DURATION_ADD:
    case MRD_DURATION_SUB:
    case MRD_DURATION_MUL:
    case MRD_DURATION_DIV:
    case MRD_DURATION_MOD:
    case MRD_DURATION_POW:
        print_duration_expr(expr->left, out);
        mrd_buf_append_text(out, duration_operator(expr->kind));
        print_duration_expr(expr->right, out);
        break;
    }
    mrd_buf_append_text(out, expr->wrapped ? ")" : "");
}

static void print_duration(const struct mrd_duration *duration, struct mrd_buf *out)
{
    if (duration->expr != NULL) {
        print_duration_expr(duration->expr, out);
    } else {
        print_duration_ms(duration->ms, out);
    }
}

static void print_at(const struct mrd_timing *timing, struct mrd_buf *out)
{
    switch (timing->at_written) {
    case MRD_AT_NONE:
        break;
    case MRD_AT_TIME:
        mrd_buf_printf(out, " @ %.3f", (double)timing->at_ms / 1000.0);
        break;
    case MRD_AT_START:
        mrd_buf_append_text(out, " @ start()");
        break;
    case MRD_AT_END:
        mrd_buf_append_text(out, " @ end()");
        break;
    }
}

static bool is_binary(const struct mrd_duration_expr *expr)
{
    return expr->kind >= MRD_DURATION_ADD && expr->kind <= MRD_DURATION_POW;
}

/* Behind `offset` an operator belongs to the duration only if that begins with a parenthesis. Signs in a
 * row are the one way to write others ("--1 + 2"), and those are put in parentheses. */
static bool stands_behind_offset(const struct mrd_duration_expr *expr)
{
    if (!expr->wrapped && (expr->kind == MRD_DURATION_NEGATE || expr->kind == MRD_DURATION_PLUS)) {
        expr = expr->left;
        return expr->wrapped || !(is_binary(expr) || expr->kind >= MRD_DURATION_NEGATE);
    }
    const bool binary = is_binary(expr);
    while (is_binary(expr) && !expr->wrapped) {
        expr = expr->left;
    }
    return !binary || expr->wrapped;
}

static bool begins_with_paren(const struct mrd_duration_expr *expr)
{
    while (is_binary(expr) && !expr->wrapped) {
        expr = expr->left;
    }
    return expr->wrapped;
}

/* `moved`: what stood behind the offset is printed before it, so an operator may follow now. A plus in
 * front of a parenthesis ends the duration at the closing one. */
static void print_offset(const struct mrd_duration *offset, bool moved, struct mrd_buf *out)
{
    const struct mrd_duration_expr *expr = offset->expr;
    if (expr == NULL && offset->ms == 0) {
        return;
    }
    const bool open =
        expr != NULL && (!stands_behind_offset(expr) || (moved && begins_with_paren(expr)));
    const bool wrap = open && !expr->wrapped;
    mrd_buf_append_text(out, " offset ");
    mrd_buf_append_text(out, open ? "+" : "");
    mrd_buf_append_text(out, wrap ? "(" : "");
    print_duration(offset, out);
    mrd_buf_append_text(out, wrap ? ")" : "");
}

static void print_edge(enum mrd_edge edge, struct mrd_buf *out)
{
    static const char *const texts[] = {
        [MRD_EDGE_NONE] = "", [MRD_EDGE_ANCHORED] = " anchored", [MRD_EDGE_SMOOTHED] = " smoothed"};
    mrd_buf_append_text(out, texts[edge]);
}

/* ---- selectors ---- */

static void print_matcher(const struct mrd_matcher *matcher, struct mrd_buf *out)
{
    print_name(matcher->name, out);
    mrd_buf_append_text(out, mrd_match_type_text(matcher->type));
    mrd_quote_append(matcher->value, out);
}

void mrd_matchers_print(const struct mrd_matcher *matchers, size_t count, struct mrd_buf *out)
{
    mrd_buf_append_u8(out, '{');
    for (size_t i = 0; i < count; i++) {
        mrd_buf_append_text(out, i > 0 ? "," : "");
        print_matcher(&matchers[i], out);
    }
    mrd_buf_append_u8(out, '}');
}

static int compare_matchers(const void *a, const void *b)
{
    struct mrd_buf left = {0};
    struct mrd_buf right = {0};
    print_matcher(*(const struct mrd_matcher *const *)a, &left);
    print_matcher(*(const struct mrd_matcher *const *)b, &right);
    const int order = mrd_bytes_compare(mrd_buf_view(&left), mrd_buf_view(&right));
    mrd_buf_fini(&left);
    mrd_buf_fini(&right);
    return order;
}

static bool says_the_name(const struct mrd_matcher *matcher, struct mrd_bytes name)
{
    return name.size > 0 && matcher->type == MRD_MATCH_EQ &&
           mrd_bytes_equal(matcher->name, MRD_BYTES(MRD_METRIC_NAME)) &&
           mrd_bytes_equal(matcher->value, name);
}

/* Name and matchers, sorted by their text. */
static void print_series(const struct mrd_selector *selector, struct mrd_buf *out)
{
    const struct mrd_matcher **sorted = calloc(selector->matcher_count + 1, sizeof(*sorted));
    size_t count = 0;
    mrd_assert(sorted != NULL);
    for (size_t i = 0; i < selector->matcher_count; i++) {
        if (!says_the_name(&selector->matchers[i], selector->name)) {
            sorted[count++] = &selector->matchers[i];
        }
    }
    qsort(sorted, count, sizeof(*sorted), compare_matchers);
    mrd_buf_append_bytes(out, selector->name);
    for (size_t i = 0; i < count; i++) {
        mrd_buf_append_u8(out, i == 0 ? '{' : ',');
        print_matcher(sorted[i], out);
    }
    if (count > 0) {
        mrd_buf_append_u8(out, '}');
    } else if (selector->name.size == 0) {
        mrd_buf_append_text(out, "{}"); /* as the second argument of info() only */
    }
    free(sorted);
}

static bool is_moved(const struct mrd_selector *selector)
{
    return selector->timing.at_written != MRD_AT_NONE || selector->edge != MRD_EDGE_NONE;
}

static void print_selector(const struct mrd_selector *selector, struct mrd_buf *out)
{
    print_series(selector, out);
    print_at(&selector->timing, out);
    print_edge(selector->edge, out);
    print_offset(&selector->timing.offset, is_moved(selector), out);
}

static void print_matrix(const struct mrd_matrix *matrix, struct mrd_buf *out)
{
    const struct mrd_selector *selector = &matrix->selector->selector;
    print_series(selector, out);
    mrd_buf_append_u8(out, '[');
    print_duration(&matrix->range, out);
    mrd_buf_append_u8(out, ']');
    print_edge(selector->edge, out);
    print_at(&selector->timing, out);
    print_offset(&selector->timing.offset, is_moved(selector), out);
}

static void print_subquery_time(const struct mrd_subquery *subquery, struct mrd_buf *out)
{
    mrd_buf_append_u8(out, '[');
    print_duration(&subquery->range, out);
    mrd_buf_append_u8(out, ':');
    if (subquery->step.expr != NULL || subquery->step.ms != 0) {
        print_duration(&subquery->step, out);
    }
    mrd_buf_append_u8(out, ']');
    print_at(&subquery->timing, out);
    print_offset(&subquery->timing.offset, subquery->timing.at_written != MRD_AT_NONE, out);
}

/* ---- the rest ---- */

static void print_call(const struct mrd_call *call, struct mrd_buf *out)
{
    mrd_buf_append_text(out, call->function->name);
    mrd_buf_append_u8(out, '(');
    for (size_t i = 0; i < call->arg_count; i++) {
        mrd_buf_append_text(out, i == 0 ? "" : ", ");
        mrd_expr_print(call->args[i], out);
    }
    mrd_buf_append_u8(out, ')');
}

static void print_aggregate_head(const struct mrd_aggregate *aggregate, struct mrd_buf *out)
{
    mrd_buf_append_text(out, mrd_aggregation_text(aggregate->op));
    if (aggregate->without || aggregate->grouping.count > 0) {
        print_names(aggregate->without ? " without (" : " by (", aggregate->grouping, out);
        mrd_buf_append_u8(out, ' ');
    }
    mrd_buf_append_u8(out, '(');
}

static void print_aggregate(const struct mrd_aggregate *aggregate, struct mrd_buf *out)
{
    print_aggregate_head(aggregate, out);
    if (aggregate->param != NULL) {
        mrd_expr_print(aggregate->param, out);
        mrd_buf_append_text(out, ", ");
    }
    mrd_expr_print(aggregate->expr, out);
    mrd_buf_append_u8(out, ')');
}

static void print_fill(const char *name, double value, struct mrd_buf *out)
{
    mrd_buf_printf(out, " %s (", name);
    print_g(value, out);
    mrd_buf_append_u8(out, ')');
}

static void print_matching(const struct mrd_matching *matching, struct mrd_buf *out)
{
    const bool grouped =
        matching->cardinality == MRD_MANY_TO_ONE || matching->cardinality == MRD_ONE_TO_MANY;
    if (matching->labels.count > 0 || matching->on || grouped) {
        print_names(matching->on ? " on (" : " ignoring (", matching->labels, out);
    }
    if (grouped) {
        const bool left = matching->cardinality == MRD_MANY_TO_ONE;
        print_names(left ? " group_left (" : " group_right (", matching->include, out);
    }
    if (matching->fill_left_set && matching->fill_right_set &&
        matching->fill_left == matching->fill_right) {
        print_fill("fill", matching->fill_left, out);
        return;
    }
    if (matching->fill_left_set) {
        print_fill("fill_left", matching->fill_left, out);
    }
    if (matching->fill_right_set) {
        print_fill("fill_right", matching->fill_right, out);
    }
}

static void print_operator(const struct mrd_binary *binary, struct mrd_buf *out)
{
    mrd_buf_printf(out, "%s%s", mrd_binary_op_text(binary->op), binary->return_bool ? " bool" : "");
    if (binary->matching != NULL) {
        print_matching(binary->matching, out);
    }
}

static void print_binary(const struct mrd_binary *binary, struct mrd_buf *out)
{
    const struct mrd_expr *left = binary->left;
    if (binary->op == MRD_OP_POW && left->kind == MRD_EXPR_NUMBER && isinf(left->number.value)) {
        mrd_buf_append_text(out, "Inf"); /* a sign would take the whole power */
    } else {
        mrd_expr_print(left, out);
    }
    mrd_buf_append_u8(out, ' ');
    print_operator(binary, out);
    mrd_buf_append_u8(out, ' ');
    mrd_expr_print(binary->right, out);
}

void mrd_expr_print(const struct mrd_expr *expr, struct mrd_buf *out)
{
    switch (expr->kind) {
    case MRD_EXPR_NUMBER:
        print_literal(expr->number.value, expr->number.is_duration, out);
        break;
    case MRD_EXPR_STRING:
        mrd_quote_append(expr->string, out);
        break;
    case MRD_EXPR_SELECTOR:
        print_selector(&expr->selector, out);
        break;
    case MRD_EXPR_MATRIX:
        print_matrix(&expr->matrix, out);
        break;
    case MRD_EXPR_SUBQUERY:
        mrd_expr_print(expr->subquery.expr, out);
        print_subquery_time(&expr->subquery, out);
        break;
    case MRD_EXPR_CALL:
        print_call(&expr->call, out);
        break;
    case MRD_EXPR_AGGREGATE:
        print_aggregate(&expr->aggregate, out);
        break;
    case MRD_EXPR_BINARY:
        print_binary(&expr->binary, out);
        break;
    case MRD_EXPR_UNARY:
        mrd_buf_append_u8(out, expr->unary.minus ? '-' : '+');
        mrd_expr_print(expr->unary.expr, out);
        break;
    case MRD_EXPR_PAREN:
        mrd_buf_append_u8(out, '(');
        mrd_expr_print(expr->paren, out);
        mrd_buf_append_u8(out, ')');
        break;
    }
}

/* ---- several lines ---- */

enum { LINE_SIZE_MAX = 100 };

static void indent(int level, struct mrd_buf *out)
{
    for (int i = 0; i < level; i++) {
        mrd_buf_append_text(out, "  ");
    }
}

static bool fits_line(const struct mrd_expr *expr)
{
    struct mrd_buf line;
    mrd_buf_init(&line, LINE_SIZE_MAX);
    mrd_expr_print(expr, &line);
    const bool fits = !line.failed;
    mrd_buf_fini(&line);
    return fits;
}

static void pretty(const struct mrd_expr *expr, int level, struct mrd_buf *out);

static void pretty_aggregate(const struct mrd_aggregate *aggregate, int level, struct mrd_buf *out)
{
    print_aggregate_head(aggregate, out);
    mrd_buf_append_u8(out, '\n');
    if (aggregate->param != NULL) {
        pretty(aggregate->param, level + 1, out);
        mrd_buf_append_text(out, ",\n");
    }
    pretty(aggregate->expr, level + 1, out);
    mrd_buf_append_u8(out, '\n');
    indent(level, out);
    mrd_buf_append_u8(out, ')');
}

static void pretty_binary(const struct mrd_binary *binary, int level, struct mrd_buf *out)
{
    pretty(binary->left, level + 1, out);
    mrd_buf_append_u8(out, '\n');
    indent(level, out);
    print_operator(binary, out);
    mrd_buf_append_u8(out, '\n');
    pretty(binary->right, level + 1, out);
}

static void pretty_call(const struct mrd_call *call, int level, struct mrd_buf *out)
{
    mrd_buf_append_text(out, call->function->name);
    mrd_buf_append_text(out, "(\n");
    for (size_t i = 0; i < call->arg_count; i++) {
        mrd_buf_append_text(out, i == 0 ? "" : ",\n");
        pretty(call->args[i], level + 1, out);
    }
    mrd_buf_append_u8(out, '\n');
    indent(level, out);
    mrd_buf_append_u8(out, ')');
}

/* The sign stands where its operand's first line begins. */
static void pretty_unary(const struct mrd_unary *unary, int level, struct mrd_buf *out)
{
    struct mrd_buf operand;
    mrd_buf_init(&operand, out->limit);
    pretty(unary->expr, level, &operand);
    size_t skipped = 0;
    while (skipped < operand.size && operand.data[skipped] == ' ') {
        skipped++;
    }
    mrd_buf_append_u8(out, unary->minus ? '-' : '+');
    mrd_buf_append(out, operand.data + skipped, operand.size - skipped);
    out->failed = out->failed || operand.failed;
    mrd_buf_fini(&operand);
}

static void pretty(const struct mrd_expr *expr, int level, struct mrd_buf *out)
{
    const bool one_line = expr->kind != MRD_EXPR_UNARY && fits_line(expr);
    if (expr->kind == MRD_EXPR_SUBQUERY && !one_line) {
        pretty(expr->subquery.expr, level, out);
        print_subquery_time(&expr->subquery, out);
        return;
    }
    if (expr->kind == MRD_EXPR_BINARY && !one_line) {
        pretty_binary(&expr->binary, level, out);
        return;
    }
    if (!one_line || expr->kind != MRD_EXPR_SUBQUERY) { /* which Prometheus does not indent */
        indent(level, out);
    }
    if (one_line) {
        mrd_expr_print(expr, out);
        return;
    }
    switch ((int)expr->kind) {
    case MRD_EXPR_AGGREGATE:
        pretty_aggregate(&expr->aggregate, level, out);
        break;
    case MRD_EXPR_CALL:
        pretty_call(&expr->call, level, out);
        break;
    case MRD_EXPR_UNARY:
        pretty_unary(&expr->unary, level, out);
        break;
    case MRD_EXPR_PAREN:
        mrd_buf_append_text(out, "(\n");
        pretty(expr->paren, level + 1, out);
        mrd_buf_append_u8(out, '\n');
        indent(level, out);
        mrd_buf_append_u8(out, ')');
        break;
    default:
        mrd_expr_print(expr, out);
    }
}

void mrd_expr_print_pretty(const struct mrd_expr *expr, struct mrd_buf *out)
{
    pretty(expr, 0, out);
}
