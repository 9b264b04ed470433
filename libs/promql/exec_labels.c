/* label_replace and label_join. */
#include "promql/exec.h"

struct labels_op {
    struct pql_op op;
    struct pql_op *input;
    struct mrd_bytes target;
    struct mrd_bytes replacement; /* label_replace */
    struct mrd_bytes source;
    struct mrd_regex *regex;
    struct mrd_bytes separator; /* label_join */
    struct mrd_bytes *sources;
    size_t source_count;
    struct mrd_buf value;
    struct pql_label_scratch scratch;
};

static bool compute_replacement(struct labels_op *op, struct mrd_labels labels)
{
    return mrd_regex_expand(op->regex, mrd_labels_get(labels, op->source), op->replacement,
                            &op->value);
}

static bool compute_join(struct labels_op *op, struct mrd_labels labels)
{
    for (size_t i = 0; i < op->source_count; i++) {
        if (i > 0) {
            mrd_buf_append_bytes(&op->value, op->separator);
        }
        mrd_buf_append_bytes(&op->value, mrd_labels_get(labels, op->sources[i]));
    }
    return true;
}

static enum mrd_status labels_next(struct pql_op *base, struct pql_series *out, bool *out_more,
                                   struct mrd_error *err)
{
    struct labels_op *op = (struct labels_op *)base;
    MRD_TRY(pql_next(op->input, out, out_more, err));
    if (!*out_more) {
        return MRD_OK;
    }
    mrd_buf_clear(&op->value);
    const bool replaced =
        op->regex != NULL ? compute_replacement(op, out->labels) : compute_join(op, out->labels);
    if (!replaced) {
        return MRD_OK;
    }
    const struct mrd_bytes value = mrd_arena_copy(base->exec->arena, mrd_buf_view(&op->value));
    if (value.data == NULL) {
        return mrd_arena_fail(base->exec->arena, err);
    }
    if (mrd_bytes_equal(op->target, MRD_BYTES(MRD_METRIC_NAME))) {
        out->drop_name = false; /* it was set on purpose */
    }
    const struct mrd_label label = {op->target, value};
    return pql_labels_set(base->exec, &op->scratch, out->labels, label, &out->labels, err);
}

static void labels_op_fini(void *subject)
{
    struct labels_op *op = subject;
    mrd_regex_destroy(&op->regex);
    mrd_buf_fini(&op->value);
}

static enum mrd_status init_replace(struct labels_op *op, const struct pql_node *node,
                                    struct mrd_error *err)
{
    op->target = node->args[1]->text;
    op->replacement = node->args[2]->text;
    op->source = node->args[3]->text;
    const struct mrd_bytes pattern = node->args[4]->text;
    struct mrd_regex *regex = NULL;
    if (mrd_regex_compile(pattern, &regex, NULL) != MRD_OK) {
        return pql_fail(err, "invalid regular expression in label_replace(): %.*s",
                        MRD_FMT(pattern));
    }
    op->regex = regex;
    if (op->target.size == 0 || !mrd_bytes_utf8_valid(op->target)) {
        return pql_fail(err, "invalid destination label name in label_replace(): %.*s",
                        MRD_FMT(op->target));
    }
    return MRD_OK;
}

static enum mrd_status init_join(struct labels_op *op, const struct pql_node *node,
                                 struct mrd_error *err)
{
    op->target = node->args[1]->text;
    op->separator = node->args[2]->text;
    op->source_count = node->arg_count - 3;
    MRD_TRY(PQL_NEW(op->op.exec, op->source_count, &op->sources, err));
    for (size_t i = 0; i < op->source_count; i++) {
        op->sources[i] = node->args[3 + i]->text;
        if (op->sources[i].size == 0 || !mrd_bytes_utf8_valid(op->sources[i])) {
            return pql_fail(err, "invalid source label name in label_join(): %.*s",
                            MRD_FMT(op->sources[i]));
        }
    }
    if (op->target.size == 0 || !mrd_bytes_utf8_valid(op->target)) {
        return pql_fail(err, "invalid destination label name in label_join(): %.*s",
                        MRD_FMT(op->target));
    }
    return MRD_OK;
}

enum mrd_status pql_build_labels(struct pql_exec *exec, const struct pql_node *node,
                                 struct pql_op **out, struct mrd_error *err)
{
    struct labels_op *op = NULL;
    const size_t steps = node->steps.count;
    MRD_TRY(PQL_NEW(exec, 1, &op, err));
    *op = (struct labels_op){
        .op = {.next = labels_next, .exec = exec, .steps = steps}
    };
    MRD_TRY(pql_defer(exec, labels_op_fini, op, err));
    MRD_TRY(pql_build(exec, node->args[0], steps, &op->input, err));
    const bool replace = node->function->kind == PQL_CALL_LABEL_REPLACE;
    MRD_TRY(replace ? init_replace(op, node, err) : init_join(op, node, err));
    op->op.one_name =
        op->input->one_name && !pql_is_metadata_label(op->target); /* for what comes after */
    return pql_build_merge(exec, &op->op, false, out, err);
}
