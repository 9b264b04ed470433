/* histogram_count, _sum, _avg, _stddev, _stdvar: one number of each native histogram; floats fall out. */
#include <math.h>

#include "promql/exec.h"
#include "promql/native_quantile.h"

struct only_op {
    struct pql_op op;
    struct pql_op *input;
    double (*ask)(pql_histogram histogram);
    struct pql_label_scratch scratch;
};

static double ask_count(pql_histogram histogram) { return histogram->count; }
static double ask_sum(pql_histogram histogram) { return histogram->sum; }
static double ask_avg(pql_histogram histogram) { return histogram->sum / histogram->count; }
static double ask_stdvar(pql_histogram histogram) { return pql_native_variance(histogram); }
static double ask_stddev(pql_histogram histogram) { return sqrt(pql_native_variance(histogram)); }

static const struct {
    const char *name;
    double (*ask)(pql_histogram histogram);
} questions[] = {
    {"histogram_count",  ask_count },
    {"histogram_sum",    ask_sum   },
    {"histogram_avg",    ask_avg   },
    {"histogram_stddev", ask_stddev},
    {"histogram_stdvar", ask_stdvar},
};

static enum mrd_status only_next(struct pql_op *base, struct pql_series *out, bool *out_more,
                                 struct mrd_error *err)
{
    struct only_op *op = (struct only_op *)base;
    do {
        MRD_TRY(pql_next(op->input, out, out_more, err));
        if (!*out_more) {
            return MRD_OK;
        }
    } while (pql_histogram_points(out, base->steps) == 0);
    for (size_t i = 0; i < base->steps; i++) {
        out->values[i] = out->histograms[i] == NULL ? pql_none() : op->ask(out->histograms[i]);
    }
    out->histograms = NULL;
    return pql_series_drop_name(base->exec, &op->scratch, out, err);
}

enum mrd_status pql_build_histogram_only(struct pql_exec *exec, const struct pql_node *node,
                                         struct pql_op **out, struct mrd_error *err)
{
    struct only_op *op = NULL;
    MRD_TRY(PQL_NEW(exec, 1, &op, err));
    *op = (struct only_op){
        .op = {.next = only_next, .exec = exec, .steps = node->steps.count}
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(questions); i++) {
        if (strcmp(questions[i].name, node->function->name) == 0) {
            op->ask = questions[i].ask;
        }
    }
    mrd_assert(op->ask != NULL);
    MRD_TRY(pql_build(exec, node->args[0], node->steps.count, &op->input, err));
    op->op.one_name = op->input->one_name;
    if (!op->op.one_name && !exec->options->delayed_name_removal) {
        MRD_TRY(pql_build_merge(exec, &op->op, false, out, err));
        (*out)->one_name = true;
        return MRD_OK;
    }
    *out = &op->op;
    return MRD_OK;
}
