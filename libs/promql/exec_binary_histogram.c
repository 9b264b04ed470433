#include "promql/exec_binary_histogram.h"

#include "promql/arithmetic.h"

static enum mrd_status unfit(enum pql_binary_note note, struct pql_combined *out)
{
    *out = (struct pql_combined){.value = pql_none(), .note = note};
    return MRD_OK;
}

/* A result that is its own. */
static enum mrd_status give(struct mrd_float_histogram *result, struct mrd_arena *arena,
                            struct pql_combined *out, struct mrd_error *err)
{
    *out = (struct pql_combined){
        .value = pql_none(), .histogram = result, .valid = true, .keep = true};
    return mrd_float_histogram_compact(result, arena, err);
}

static enum mrd_status scale(pql_histogram histogram, double factor, bool divide,
                             struct mrd_arena *arena, struct pql_combined *out,
                             struct mrd_error *err)
{
    struct mrd_float_histogram *result = NULL;
    MRD_TRY(mrd_float_histogram_copy(histogram, arena, &result, err));
    if (divide) {
        mrd_float_histogram_divide(result, factor);
    } else {
        mrd_float_histogram_multiply(result, factor);
    }
    return give(result, arena, out, err);
}

static enum mrd_status trim(pql_histogram histogram, double bound, bool upper,
                            struct mrd_arena *arena, struct pql_combined *out,
                            struct mrd_error *err)
{
    struct mrd_float_histogram *result = NULL;
    MRD_TRY(mrd_float_histogram_copy(histogram, arena, &result, err));
    *out = (struct pql_combined){
        .value = pql_none(), .histogram = result, .valid = true, .keep = true};
    return mrd_float_histogram_trim(result, bound, upper, arena, err);
}

/* A contradiction of reset hints takes the result away, as in Prometheus. */
static enum mrd_status add(pql_histogram left, pql_histogram right, bool subtract,
                           struct mrd_arena *arena, struct pql_combined *out, struct mrd_error *err)
{
    struct mrd_float_histogram *result = NULL;
    struct mrd_float_histogram_outcome outcome;
    MRD_TRY(mrd_float_histogram_copy(left, arena, &result, err));
    MRD_TRY(subtract ? mrd_float_histogram_subtract(result, right, arena, &outcome, err)
                     : mrd_float_histogram_add(result, right, arena, &outcome, err));
    if (outcome.incompatible) {
        return unfit(PQL_BINARY_BUCKETS, out);
    }
    if (outcome.collision) {
        return unfit(subtract ? PQL_BINARY_COLLISION_SUB : PQL_BINARY_COLLISION_ADD, out);
    }
    if (subtract) {
        result->reset = MRD_HISTOGRAM_GAUGE;
    }
    MRD_TRY(give(result, arena, out, err));
    if (outcome.reconciled) {
        out->note = subtract ? PQL_BINARY_RECONCILED_SUB : PQL_BINARY_RECONCILED_ADD;
    }
    return MRD_OK;
}

static enum mrd_status two_histograms(enum mrd_binary_op op, pql_histogram left,
                                      pql_histogram right, struct mrd_arena *arena,
                                      struct pql_combined *out, struct mrd_error *err)
{
    switch ((int)op) {
    case MRD_OP_ADD:
    case MRD_OP_SUB:
        return add(left, right, op == MRD_OP_SUB, arena, out, err);
    case MRD_OP_EQ:
    case MRD_OP_NE:
        *out = (struct pql_combined){
            .value = pql_none(),
            .histogram = left,
            .valid = true,
            .keep = mrd_float_histogram_equal(left, right) == (op == MRD_OP_EQ),
        };
        return MRD_OK;
    default:
        return unfit(PQL_BINARY_HISTOGRAM_HISTOGRAM, out);
    }
}

enum mrd_status pql_combine_histograms(const struct pql_node *node, const struct pql_operand *left,
                                       const struct pql_operand *right, struct mrd_arena *arena,
                                       struct pql_combined *out, struct mrd_error *err)
{
    if (left->histogram != NULL && right->histogram != NULL) {
        return two_histograms(node->op, left->histogram, right->histogram, arena, out, err);
    }
    if (left->histogram == NULL && right->histogram == NULL) {
        return unfit(PQL_BINARY_FLOAT_FLOAT, out);
    }
    if (left->histogram == NULL) {
        return node->op == MRD_OP_MUL ? scale(right->histogram, left->value, false, arena, out, err)
                                      : unfit(PQL_BINARY_FLOAT_HISTOGRAM, out);
    }
    switch ((int)node->op) {
    case MRD_OP_MUL:
    case MRD_OP_DIV:
        return scale(left->histogram, right->value, node->op == MRD_OP_DIV, arena, out, err);
    case MRD_OP_TRIM_UPPER:
    case MRD_OP_TRIM_LOWER:
        return trim(left->histogram, right->value, node->op == MRD_OP_TRIM_UPPER, arena, out, err);
    default:
        return unfit(PQL_BINARY_HISTOGRAM_FLOAT, out);
    }
}

enum mrd_status pql_combine_operands(const struct pql_node *node, const struct pql_operand *left,
                                     const struct pql_operand *right, struct mrd_arena *arena,
                                     struct pql_combined *out, struct mrd_error *err)
{
    if (left->histogram == NULL && right->histogram == NULL && !pql_op_trims(node->op)) {
        const double value = pql_combine(node, left->value, right->value, left->value);
        *out = (struct pql_combined){.value = value, .valid = true, .keep = !pql_is_none(value)};
        return MRD_OK;
    }
    MRD_TRY(pql_combine_histograms(node, left, right, arena, out, err));
    if (out->valid && node->return_bool) {
        *out = (struct pql_combined){.value = out->keep ? 1 : 0, .valid = true, .keep = true};
    }
    return MRD_OK;
}

/* ---- notes ---- */

enum mrd_status pql_step_note(struct pql_exec *exec, struct pql_step_notes *notes, size_t step,
                              enum pql_binary_note note, struct mrd_error *err)
{
    if (note == PQL_BINARY_FINE) {
        return MRD_OK;
    }
    if (notes->notes == NULL) {
        MRD_TRY(PQL_NEW(exec, notes->steps, &notes->notes, err));
        memset(notes->notes, PQL_BINARY_FINE, notes->steps);
    }
    notes->notes[step] = (uint8_t)note;
    return MRD_OK;
}

static void say_types(struct pql_exec *exec, const struct pql_node *node, const char *left,
                      const char *right)
{
    const char *text = mrd_binary_op_text(node->op);
    mrd_annotations_addf(exec->annotations, MRD_ANNOTATION_INFO, pql_place(node, node),
                         "incompatible sample types encountered for binary operator \"%s\": "
                         "%s %s %s",
                         text, left, text, right);
}

static void say(struct pql_exec *exec, const struct pql_node *node, enum pql_binary_note note)
{
    static const enum pql_histogram_note notes[PQL_BINARY_NOTES] = {
        [PQL_BINARY_COLLISION_ADD] = PQL_NOTE_COLLISION_ADD,
        [PQL_BINARY_COLLISION_SUB] = PQL_NOTE_COLLISION_SUB,
        [PQL_BINARY_RECONCILED_ADD] = PQL_NOTE_RECONCILED_ADD,
        [PQL_BINARY_RECONCILED_SUB] = PQL_NOTE_RECONCILED_SUB,
    };
    switch ((int)note) {
    case PQL_BINARY_FLOAT_FLOAT:
        say_types(exec, node, "float", "float");
        return;
    case PQL_BINARY_FLOAT_HISTOGRAM:
        say_types(exec, node, "float", "histogram");
        return;
    case PQL_BINARY_HISTOGRAM_FLOAT:
        say_types(exec, node, "histogram", "float");
        return;
    case PQL_BINARY_HISTOGRAM_HISTOGRAM:
        say_types(exec, node, "histogram", "histogram");
        return;
    case PQL_BINARY_BUCKETS:
        mrd_annotations_addf(exec->annotations, MRD_ANNOTATION_WARNING, pql_place(node, node),
                             "incompatible bucket layout encountered for binary operator %s",
                             mrd_binary_op_text(node->op));
        return;
    default:
        pql_note_histogram(exec, notes[note], pql_place(node, node), MRD_BYTES_NONE);
        return;
    }
}

void pql_step_notes_say(struct pql_exec *exec, const struct pql_step_notes *notes,
                        const struct pql_node *node)
{
    bool seen[PQL_BINARY_NOTES] = {0};
    for (size_t i = 0; notes->notes != NULL && i < notes->steps; i++) {
        seen[notes->notes[i]] = true;
    }
    for (int note = PQL_BINARY_FINE + 1; note < PQL_BINARY_NOTES; note++) {
        if (seen[note]) {
            say(exec, node, (enum pql_binary_note)note);
        }
    }
}
