#include "promql/fragment.h"

#include "promql/fragment_internal.h"
#include "promql/run.h"
#include "promql/state_codec.h"

enum {
    FLAG_INSTANT = 1,
    FLAG_DELAYED_NAME_REMOVAL = 2,
    FLAG_TYPE_AND_UNIT_LABELS = 4,
    FLAG_EXPERIMENTAL_FUNCTIONS = 8,
    FLAG_EXTENDED_RANGE_SELECTORS = 16,
    FLAG_BINOP_FILL_MODIFIERS = 32,
    FLAG_NO_DURATION_EXPRESSIONS = 64,
    FLAG_USE_START_TIMESTAMPS = 128,
    FLAGS_ALL = 255,
    ANNOTATION_BYTES_MAX = 4096,
};

/* ---- the fragment ---- */

static uint64_t flag_if(bool set, uint64_t flag) { return set ? flag : 0; }

static uint64_t flags_of(const struct mrd_fragment *fragment)
{
    const struct mrd_promql_options *options = &fragment->options;
    const struct mrd_promql_features *features = &options->features;
    return flag_if(fragment->request.instant, FLAG_INSTANT) |
           flag_if(options->delayed_name_removal, FLAG_DELAYED_NAME_REMOVAL) |
           flag_if(options->type_and_unit_labels, FLAG_TYPE_AND_UNIT_LABELS) |
           flag_if(options->use_start_timestamps, FLAG_USE_START_TIMESTAMPS) |
           flag_if(features->experimental_functions, FLAG_EXPERIMENTAL_FUNCTIONS) |
           flag_if(features->extended_range_selectors, FLAG_EXTENDED_RANGE_SELECTORS) |
           flag_if(features->binop_fill_modifiers, FLAG_BINOP_FILL_MODIFIERS) |
           flag_if(features->no_duration_expressions, FLAG_NO_DURATION_EXPRESSIONS);
}

static void set_flags(struct mrd_fragment *fragment, uint64_t flags)
{
    struct mrd_promql_options *options = &fragment->options;
    fragment->request.instant = (flags & FLAG_INSTANT) != 0;
    options->delayed_name_removal = (flags & FLAG_DELAYED_NAME_REMOVAL) != 0;
    options->type_and_unit_labels = (flags & FLAG_TYPE_AND_UNIT_LABELS) != 0;
    options->use_start_timestamps = (flags & FLAG_USE_START_TIMESTAMPS) != 0;
    options->features = (struct mrd_promql_features){
        .experimental_functions = (flags & FLAG_EXPERIMENTAL_FUNCTIONS) != 0,
        .extended_range_selectors = (flags & FLAG_EXTENDED_RANGE_SELECTORS) != 0,
        .binop_fill_modifiers = (flags & FLAG_BINOP_FILL_MODIFIERS) != 0,
        .no_duration_expressions = (flags & FLAG_NO_DURATION_EXPRESSIONS) != 0,
    };
}

void mrd_fragment_encode(const struct mrd_fragment *fragment, struct mrd_buf *out)
{
    const struct mrd_promql_request *request = &fragment->request;
    const struct mrd_promql_options *options = &fragment->options;
    mrd_buf_append_u8(out, MRD_FRAGMENT_VERSION);
    mrd_buf_append_varint(out, flags_of(fragment));
    mrd_buf_append_varint(out, request->text.size);
    mrd_buf_append_bytes(out, request->text);
    mrd_buf_append_varint(out, fragment->node);
    mrd_buf_append_zigzag(out, request->start_ms);
    mrd_buf_append_zigzag(out, request->end_ms);
    mrd_buf_append_zigzag(out, request->step_ms);
    mrd_buf_append_zigzag(out, options->lookback_ms);
    mrd_buf_append_zigzag(out, options->subquery_step_ms);
    mrd_buf_append_varint(out, options->samples_max);
}

static enum mrd_status check_version(uint8_t version, struct mrd_error *err)
{
    return version == MRD_FRAGMENT_VERSION
               ? MRD_OK
               : mrd_fail(err, MRD_E_UNSUPPORTED,
                          "a plan fragment of version %u; this process knows version %d", version,
                          MRD_FRAGMENT_VERSION);
}

/* A grid that a checked request could have. */
static bool grid_is_sane(const struct mrd_promql_request *request)
{
    const mrd_time_ms far = INT64_MAX / 4; /* sums and differences stay in range */
    return request->start_ms > -far && request->start_ms < far && request->end_ms > -far &&
           request->end_ms < far && request->step_ms >= 0 && request->step_ms < far;
}

enum mrd_status mrd_fragment_decode(struct mrd_bytes bytes, struct mrd_fragment *out,
                                    struct mrd_error *err)
{
    struct mrd_reader in = mrd_reader_of(bytes);
    struct mrd_fragment fragment = {0};
    struct mrd_promql_request *request = &fragment.request;
    MRD_TRY(check_version(mrd_read_u8(&in), err));
    const uint64_t flags = mrd_read_varint(&in);
    set_flags(&fragment, flags);
    request->text = mrd_read_bytes(&in, mrd_read_varint(&in));
    fragment.node = mrd_read_varint(&in);
    request->start_ms = mrd_read_zigzag(&in);
    request->end_ms = mrd_read_zigzag(&in);
    request->step_ms = mrd_read_zigzag(&in);
    fragment.options.lookback_ms = mrd_read_zigzag(&in);
    fragment.options.subquery_step_ms = mrd_read_zigzag(&in);
    fragment.options.samples_max = mrd_read_varint(&in);
    if (in.failed || mrd_reader_left(&in) > 0 || flags > FLAGS_ALL || !grid_is_sane(request) ||
        fragment.options.lookback_ms <= 0 || fragment.options.lookback_ms > INT64_MAX / 4 ||
        fragment.options.subquery_step_ms <= 0) {
        return mrd_fail(err, MRD_E_INVALID, "a plan fragment is malformed");
    }
    *out = fragment;
    return MRD_OK;
}

/* ---- running it ---- */

static const struct pql_node *find_node(const struct pql_node *node, uint64_t order)
{
    if (node->order == order) {
        return node;
    }
    for (size_t i = 0; i < node->arg_count; i++) {
        const struct pql_node *found = find_node(node->args[i], order);
        if (found != NULL) {
            return found;
        }
    }
    return NULL;
}

static void write_annotations(const struct mrd_annotations *annotations, struct mrd_buf *out)
{
    for (int kind = 0; kind < MRD_ANNOTATION_KINDS; kind++) {
        mrd_buf_append_varint(out, annotations->count[kind]);
        for (const struct mrd_annotation *at = annotations->first[kind]; at != NULL;
             at = at->next) {
            mrd_buf_append_varint(out, at->text.size);
            mrd_buf_append_bytes(out, at->text);
            mrd_buf_append_varint(out, at->raw_size);
            mrd_buf_append_varint(out, at->order);
            mrd_buf_append_varint(out, at->occurrences);
            mrd_buf_append_varint(out, at->offset);
        }
        mrd_buf_append_varint(out, annotations->dropped[kind]);
    }
}

static enum mrd_status write_states(void *context, struct pql_fold_op *op, struct mrd_error *err)
{
    struct mrd_buf *out = context;
    const struct pql_exec *exec = op->list.op.exec;
    mrd_buf_append_u8(out, MRD_FRAGMENT_VERSION);
    mrd_buf_append_varint(out, op->node->aggregation);
    mrd_buf_append_varint(out, op->list.op.steps);
    mrd_buf_append_varint(out, exec->stats->series_read);
    mrd_buf_append_varint(out, exec->stats->samples_read);
    write_annotations(exec->annotations, out);
    MRD_TRY(op->kind->write(op, out, err));
    return !out->failed
               ? MRD_OK
               : mrd_fail(err, MRD_E_LIMIT,
                          "the states of a plan fragment need more than %zu bytes", out->limit);
}

static enum mrd_status run_plan(struct pql_exec *exec, const struct mrd_expr *root, uint64_t order,
                                struct mrd_buf *out, struct mrd_error *err)
{
    struct pql_plan plan;
    MRD_TRY(pql_make_plan(exec, root, &plan, err));
    const struct pql_node *node = find_node(plan.root, order);
    if (node == NULL || node->pushable == NULL) {
        return mrd_fail(err, MRD_E_UNSUPPORTED,
                        "the query has nothing that can be pushed down in place %zu",
                        (size_t)order);
    }
    return pql_run_fold(exec, node, write_states, out, err);
}

enum mrd_status mrd_fragment_run(const struct mrd_fragment *fragment,
                                 const struct mrd_source *source,
                                 const struct mrd_query_control *control, struct mrd_arena *arena,
                                 struct mrd_buf *out, struct mrd_error *err)
{
    const struct mrd_promql_options filled = pql_with_defaults(&fragment->options);
    struct mrd_annotations annotations;
    struct mrd_promql_stats stats = {0};
    mrd_annotations_init(&annotations, arena, fragment->request.text);
    mrd_auto(mrd_ast_fini)
    struct mrd_ast ast = {0};
    const enum mrd_status status = pql_prepare(&filled, &fragment->request, arena, &ast, err);
    if (status == MRD_E_INVALID) {
        return mrd_fail_prefix(err, MRD_E_UNSUPPORTED, "no query for this process");
    }
    MRD_TRY(status);
    struct pql_exec exec = {
        .options = &filled,
        .request = &fragment->request,
        .source = source,
        .control = control,
        .arena = arena,
        .annotations = &annotations,
        .stats = &stats,
    };
    return run_plan(&exec, ast.root, fragment->node, out, err);
}

/* ---- what comes back ---- */

static enum mrd_status read_annotation(struct mrd_annotations *annotations,
                                       enum mrd_annotation_kind kind, struct mrd_reader *in,
                                       struct mrd_error *err)
{
    struct mrd_annotation made = {.text = mrd_read_bytes(in, mrd_read_varint(in))};
    const uint64_t raw_size = mrd_read_varint(in);
    made.order = (size_t)mrd_read_varint(in);
    made.occurrences = (size_t)mrd_read_varint(in);
    made.offset = (size_t)mrd_read_varint(in);
    if (in->failed || raw_size > made.text.size || made.text.size > ANNOTATION_BYTES_MAX) {
        return pql_states_corrupt(err, "an annotation that ends early or is too long");
    }
    made.raw_size = (size_t)raw_size;
    mrd_annotations_add_made(annotations, kind, &made);
    return MRD_OK;
}

static enum mrd_status read_annotations(struct mrd_annotations *annotations, struct mrd_reader *in,
                                        struct mrd_error *err)
{
    for (int kind = 0; kind < MRD_ANNOTATION_KINDS; kind++) {
        const uint64_t count = mrd_read_varint(in);
        if (count > MRD_ANNOTATIONS_MAX) {
            return pql_states_corrupt(err, "too many annotations");
        }
        for (uint64_t i = 0; i < count; i++) {
            MRD_TRY(read_annotation(annotations, (enum mrd_annotation_kind)kind, in, err));
        }
        annotations->dropped[kind] += (size_t)mrd_read_varint(in);
    }
    return MRD_OK;
}

enum mrd_status pql_states_read(struct pql_fold_op *op, struct mrd_bytes states,
                                struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    struct mrd_reader in = mrd_reader_of(states);
    MRD_TRY(check_version(mrd_read_u8(&in), err));
    const uint64_t aggregation = mrd_read_varint(&in);
    const uint64_t steps = mrd_read_varint(&in);
    if (in.failed || aggregation != (uint64_t)op->node->aggregation || steps != op->list.op.steps) {
        return pql_states_corrupt(err, "they are of another aggregation");
    }
    const uint64_t series = mrd_read_varint(&in);
    pql_count_read(exec, series, mrd_read_varint(&in));
    MRD_TRY(read_annotations(exec->annotations, &in, err));
    MRD_TRY(op->kind->read(op, &in, err));
    return in.failed || mrd_reader_left(&in) > 0
               ? pql_states_corrupt(err, "they end early, or something follows")
               : MRD_OK;
}
