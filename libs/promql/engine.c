#include "promql/engine.h"

#include "promql/preprocess.h"
#include "promql/run.h"

struct mrd_promql_options pql_with_defaults(const struct mrd_promql_options *options)
{
    struct mrd_promql_options filled = *options;
    if (filled.lookback_ms <= 0) {
        filled.lookback_ms = 5 * 60 * 1000;
    }
    if (filled.subquery_step_ms <= 0) {
        filled.subquery_step_ms = 60 * 1000;
    }
    return filled;
}

static enum mrd_status check_request(const struct mrd_promql_request *request,
                                     const struct mrd_expr *root, struct mrd_error *err)
{
    if (request->instant) {
        return MRD_OK;
    }
    if (root->type != MRD_VALUE_SCALAR && root->type != MRD_VALUE_VECTOR) {
        return mrd_fail(err, MRD_E_INVALID,
                        "invalid expression type \"%s\" for range query, must be Scalar or "
                        "instant Vector",
                        mrd_value_type_text(root->type));
    }
    if (request->step_ms <= 0) {
        return mrd_fail(err, MRD_E_INVALID, "the step of a range query must be positive");
    }
    return MRD_OK;
}

enum mrd_status pql_prepare(const struct mrd_promql_options *options,
                            const struct mrd_promql_request *request, struct mrd_arena *arena,
                            struct mrd_ast *ast, struct mrd_error *err)
{
    const struct mrd_query_range range = {request->start_ms, request->end_ms,
                                          request->instant ? 0 : request->step_ms};
    MRD_TRY(mrd_promql_parse(request->text, &options->features, arena, ast, err));
    MRD_TRY(check_request(request, ast->root, err));
    return mrd_promql_preprocess(ast, &range, err);
}

enum mrd_status pql_make_plan(struct pql_exec *exec, const struct mrd_expr *root,
                              struct pql_plan *out, struct mrd_error *err)
{
    struct pql_node *node = NULL;
    MRD_TRY(pql_plan_translate(root, exec->arena, &node, err));
    MRD_TRY(pql_plan_schedule(exec->options, exec->request, node, out, err));
    pql_plan_find_pushable(out);
    return MRD_OK;
}

static enum mrd_status execute(struct pql_exec *exec, const struct mrd_expr *root,
                               struct mrd_promql_result *out, struct mrd_error *err)
{
    struct pql_plan plan;
    MRD_TRY(pql_make_plan(exec, root, &plan, err));
    return pql_run(exec, &plan, out, err);
}

/* Over samples alone, as if rows had never been asked. What they took of the arena stays taken. */
static enum mrd_status execute_again(struct pql_exec *exec, const struct mrd_expr *root,
                                     struct mrd_promql_result *out, struct mrd_error *err)
{
    const struct mrd_promql_stats first = out->stats;
    mrd_annotations_init(&out->annotations, exec->arena, exec->request->text);
    out->stats = (struct mrd_promql_stats){.series_read = first.series_read,
                                           .samples_read = first.samples_read,
                                           .samples_peak = first.samples_peak,
                                           .rows_read = first.rows_read,
                                           .refused = exec->refused};
    exec->points_held = 0;
    exec->without_coarse = true;
    return execute(exec, root, out, err);
}

enum mrd_status mrd_promql_query(const struct mrd_promql_options *options,
                                 const struct mrd_promql_request *request,
                                 const struct mrd_source *source,
                                 const struct mrd_query_control *control, struct mrd_arena *arena,
                                 struct mrd_promql_result *out, struct mrd_error *err)
{
    const struct mrd_promql_options filled = pql_with_defaults(options);
    *out = (struct mrd_promql_result){0};
    mrd_annotations_init(&out->annotations, arena, request->text);
    mrd_auto(mrd_ast_fini)
    struct mrd_ast ast = {0};
    MRD_TRY(pql_prepare(&filled, request, arena, &ast, err));
    struct pql_exec exec = {
        .options = &filled,
        .request = request,
        .source = source,
        .control = control,
        .arena = arena,
        .annotations = &out->annotations,
        .stats = &out->stats,
    };
    struct mrd_error first;
    enum mrd_status status = execute(&exec, ast.root, out, &first);
    if (status == MRD_E_CONFLICT && exec.refused != NULL) {
        status = execute_again(&exec, ast.root, out, err);
    } else if (status != MRD_OK && err != NULL) {
        *err = first;
    }
    mrd_annotations_sort(&out->annotations);
    out->execution_error = status != MRD_OK;
    return status;
}
