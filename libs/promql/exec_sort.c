/* sort, sort_desc, sort_by_label, sort_by_label_desc: the order of an instant vector. Range results
 * are ordered by labels whatever the query says, so there these only warn. */
#include "promql/exec.h"

#include <math.h>

struct sort_op {
    struct pql_list_op list;
    struct pql_op *input;
    const struct pql_node *node;
};

/* Ascending or descending by value, NaN last both ways. */
static int order_ascending(const void *a, const void *b, void *context)
{
    (void)context;
    const double x = ((const struct pql_series *)a)->values[0];
    const double y = ((const struct pql_series *)b)->values[0];
    if (isnan(x) || isnan(y)) {
        return !!isnan(x) - !!isnan(y);
    }
    return (x > y) - (x < y);
}
static int order_descending(const void *a, const void *b, void *context)
{
    (void)context;
    const double x = ((const struct pql_series *)a)->values[0];
    const double y = ((const struct pql_series *)b)->values[0];
    if (isnan(x) || isnan(y)) {
        return !!isnan(x) - !!isnan(y);
    }
    return (x < y) - (x > y);
}

/* ---- by label: "natural" order, in which runs of digits compare as numbers ---- */

static bool is_digit(uint8_t c) { return c >= '0' && c <= '9'; }

/* The run of digits or of other bytes at the front of *text, taken off it. */
static struct mrd_bytes take_run(struct mrd_bytes *text)
{
    size_t size = 1;
    const bool digits = is_digit(text->data[0]);
    while (size < text->size && is_digit(text->data[size]) == digits) {
        size++;
    }
    const struct mrd_bytes run = {text->data, size};
    text->data += size;
    text->size -= size;
    return run;
}

static int compare_numbers(struct mrd_bytes a, struct mrd_bytes b)
{
    while (a.size > 0 && a.data[0] == '0') {
        a = (struct mrd_bytes){a.data + 1, a.size - 1};
    }
    while (b.size > 0 && b.data[0] == '0') {
        b = (struct mrd_bytes){b.data + 1, b.size - 1};
    }
    if (a.size != b.size) {
        return a.size < b.size ? -1 : 1;
    }
    return mrd_bytes_compare(a, b);
}

static int compare_natural(struct mrd_bytes a, struct mrd_bytes b)
{
    while (a.size > 0 && b.size > 0) {
        const struct mrd_bytes left = take_run(&a);
        const struct mrd_bytes right = take_run(&b);
        const bool numbers = is_digit(left.data[0]) && is_digit(right.data[0]);
        const int order = numbers ? compare_numbers(left, right) : mrd_bytes_compare(left, right);
        if (order != 0) {
            return order;
        }
        if (left.size != right.size) { /* equal numbers: the one with more zeros first */
            return left.size > right.size ? -1 : 1;
        }
    }
    return (a.size > 0) - (b.size > 0);
}

struct by_label {
    const struct pql_node *node;
    int sign;
};

static int order_by_labels(const void *a, const void *b, void *context)
{
    const struct by_label *how = context;
    const struct pql_series *x = a;
    const struct pql_series *y = b;
    for (size_t i = 1; i < how->node->arg_count; i++) {
        const struct mrd_bytes name = how->node->args[i]->text;
        const int order =
            compare_natural(mrd_labels_get(x->labels, name), mrd_labels_get(y->labels, name));
        if (order != 0) {
            return order * how->sign;
        }
    }
    return mrd_labels_compare(x->labels, y->labels) * how->sign;
}

/* Histograms have no order: sort and sort_desc leave them out. */
struct floats_op {
    struct pql_op op;
    struct pql_op *input;
};

static enum mrd_status floats_next(struct pql_op *base, struct pql_series *out, bool *out_more,
                                   struct mrd_error *err)
{
    const struct floats_op *op = (const struct floats_op *)base;
    MRD_TRY(pql_next(op->input, out, out_more, err));
    out->histograms = NULL;
    return MRD_OK;
}

static enum mrd_status build_floats(struct pql_exec *exec, struct pql_op *input,
                                    struct pql_op **out, struct mrd_error *err)
{
    struct floats_op *op = NULL;
    MRD_TRY(PQL_NEW(exec, 1, &op, err));
    *op = (struct floats_op){
        .op = {.next = floats_next,
               .exec = exec,
               .steps = input->steps,
               .one_name = input->one_name},
        .input = input,
    };
    *out = &op->op;
    return MRD_OK;
}

static enum mrd_status sort_fill(struct pql_list_op *base, struct mrd_error *err)
{
    struct sort_op *op = (struct sort_op *)base;
    MRD_TRY(pql_collect(op->input, &base->list, err));
    const struct pql_function *function = op->node->function;
    struct pql_series *items = base->list.items;
    const size_t count = base->list.count;
    if (function->kind == PQL_CALL_SORT_BY_LABEL) {
        struct by_label how = {op->node, function->descending ? -1 : 1};
        return pql_sort(base->op.exec, items, count, sizeof(*items), order_by_labels, &how, err);
    }
    return pql_sort(base->op.exec, items, count, sizeof(*items),
                    function->descending ? order_descending : order_ascending, NULL, err);
}

enum mrd_status pql_build_sort(struct pql_exec *exec, const struct pql_node *node,
                               struct pql_op **out, struct mrd_error *err)
{
    struct pql_op *input = NULL;
    MRD_TRY(pql_build(exec, node->args[0], node->steps.count, &input, err));
    if (node->function->kind == PQL_CALL_SORT) {
        MRD_TRY(build_floats(exec, input, &input, err));
    }
    if (node->ranged) {
        mrd_annotations_addf(exec->annotations, MRD_ANNOTATION_WARNING, pql_place(node, node),
                             "sort is ineffective for range queries since results are always "
                             "ordered by labels");
        *out = input;
        return MRD_OK;
    }
    struct sort_op *op = NULL;
    MRD_TRY(PQL_NEW(exec, 1, &op, err));
    pql_list_op_init(&op->list, exec, 1, sort_fill);
    op->list.op.one_name = input->one_name;
    op->input = input;
    op->node = node;
    *out = &op->list.op;
    return MRD_OK;
}
