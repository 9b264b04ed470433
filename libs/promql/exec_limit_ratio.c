/* limit_ratio: a sample of the series, the same at every step. */
#include "promql/exec.h"

#include <math.h>

struct ratio_op {
    struct pql_op op;
    struct pql_op *input;
    double *ratio;
};

/* Keeps the series whose hash, as a fraction of all hashes, lies below the ratio; for a negative ratio
 * exactly those that 1 + ratio would not keep. */
static bool ratio_keeps(double ratio, double hash)
{
    return ratio >= 0 ? hash < ratio : hash >= 1 + ratio;
}

static enum mrd_status ratio_next(struct pql_op *base, struct pql_series *out, bool *out_more,
                                  struct mrd_error *err)
{
    struct ratio_op *op = (struct ratio_op *)base;
    do {
        MRD_TRY(pql_next(op->input, out, out_more, err));
        if (!*out_more) {
            return MRD_OK;
        }
        const double hash = (double)mrd_labels_hash(out->labels) / 0x1p64;
        for (size_t i = 0; i < base->steps; i++) {
            if (!ratio_keeps(op->ratio[i], hash)) {
                out->values[i] = pql_none();
                if (out->histograms != NULL) {
                    out->histograms[i] = NULL;
                }
            }
        }
    } while (pql_series_empty(out, base->steps));
    return MRD_OK;
}

static enum mrd_status ratio_check(struct ratio_op *op, struct mrd_annotation_place place,
                                   struct mrd_error *err)
{
    struct pql_exec *exec = op->op.exec;
    for (size_t i = 0; i < op->op.steps; i++) {
        const double ratio = op->ratio[i];
        if (isnan(ratio)) {
            return pql_fail(err, "Ratio value is NaN");
        }
        if (ratio < -1 || ratio > 1) {
            op->ratio[i] = ratio < 0 ? -1 : 1;
            mrd_annotations_addf(exec->annotations, MRD_ANNOTATION_WARNING, place,
                                 "ratio value should be between -1 and 1, got %.*s, capping to %g",
                                 MRD_FMT(pql_number_text(exec, ratio)), op->ratio[i]);
        }
    }
    return MRD_OK;
}

enum mrd_status pql_build_limit_ratio(struct pql_exec *exec, const struct pql_node *node,
                                      struct pql_op **out, struct mrd_error *err)
{
    struct ratio_op *op = NULL;
    const size_t steps = node->steps.count;
    MRD_TRY(PQL_NEW(exec, 1, &op, err));
    *op = (struct ratio_op){
        .op = {.next = ratio_next, .exec = exec, .steps = steps}
    };
    MRD_TRY(pql_eval_scalar(exec, node->args[1], steps, &op->ratio, err));
    MRD_TRY(ratio_check(op, pql_place(node, node->args[1]), err));
    MRD_TRY(pql_build(exec, node->args[0], steps, &op->input, err));
    op->op.one_name = op->input->one_name;
    *out = &op->op;
    return MRD_OK;
}
