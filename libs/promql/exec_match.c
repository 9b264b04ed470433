#include "promql/exec_match.h"

enum mrd_status pql_match_key(struct pql_exec *exec, struct pql_label_scratch *scratch,
                              const struct pql_matching *matching, struct mrd_labels labels,
                              struct mrd_labels *out, struct mrd_error *err)
{
    const struct pql_grouping grouping = {.names = matching->names, .without = !matching->on};
    return pql_labels_group(exec, scratch, labels, &grouping, out, err);
}

static enum mrd_status match_groups(struct pql_exec *exec, struct pql_match *match,
                                    const struct pql_matching *matching,
                                    const struct pql_series_list *list, uint32_t **out,
                                    struct mrd_error *err)
{
    struct pql_label_scratch scratch = {0};
    uint32_t *groups = NULL;
    MRD_TRY(PQL_NEW(exec, list->count, &groups, err));
    for (size_t i = 0; i < list->count; i++) {
        struct mrd_labels key;
        bool is_new = false;
        MRD_TRY(pql_match_key(exec, &scratch, matching, list->items[i].labels, &key, err));
        MRD_TRY(pql_label_table_add(&match->table, key, &groups[i], &is_new, err));
    }
    *out = groups;
    return MRD_OK;
}

/* Links the "one" series of each group in their order. */
static enum mrd_status match_link(struct pql_exec *exec, struct pql_match *match,
                                  struct mrd_error *err)
{
    MRD_TRY(PQL_NEW(exec, match->group_count, &match->one_first, err));
    MRD_TRY(PQL_NEW(exec, match->one.count, &match->one_next, err));
    memset(match->one_first, 0xff, match->group_count * sizeof(uint32_t));
    for (size_t i = match->one.count; i-- > 0;) {
        const uint32_t group = match->one_group[i];
        match->one_next[i] = match->one_first[group];
        match->one_first[group] = (uint32_t)i;
    }
    return MRD_OK;
}

/* True if any series of the list has a value at the step. */
static bool any_at(const struct pql_series_list *list, size_t step)
{
    for (size_t i = 0; i < list->count; i++) {
        if (!pql_is_none(list->items[i].values[step])) {
            return true;
        }
    }
    return false;
}

/* Notes the first step at which series `b` meets an earlier one of its group, if it is the earliest so
 * far. With nothing on the other side at a step, nothing is evaluated and nothing is wrong there. */
static void match_find_error(struct pql_match *match, uint32_t b, size_t steps)
{
    const double *values = match->one.items[b].values;
    for (uint32_t a = match->one_first[match->one_group[b]]; a != b; a = match->one_next[a]) {
        const size_t end = MRD_MIN(match->error_step, steps);
        for (size_t i = 0; i < end; i++) {
            if (!pql_is_none(values[i]) && !pql_is_none(match->one.items[a].values[i]) &&
                any_at(&match->many, i)) {
                match->error_step = i;
                match->error_one[0] = b;
                match->error_one[1] = a;
                break;
            }
        }
    }
}

enum mrd_status pql_match_make(struct pql_exec *exec, const struct pql_node *node,
                               struct pql_op *many, struct pql_op *one, struct pql_match *out,
                               struct mrd_error *err)
{
    const size_t steps = node->steps.count;
    *out = (struct pql_match){.table = {.exec = exec}, .error_step = steps};
    MRD_TRY(pql_collect(many, &out->many, err));
    MRD_TRY(pql_collect(one, &out->one, err));
    MRD_TRY(match_groups(exec, out, &node->matching, &out->many, &out->many_group, err));
    MRD_TRY(match_groups(exec, out, &node->matching, &out->one, &out->one_group, err));
    out->group_count = out->table.count;
    MRD_TRY(match_link(exec, out, err));
    for (size_t i = 0; i < out->one.count && out->error_step > 0; i++) {
        match_find_error(out, (uint32_t)i, steps);
    }
    return MRD_OK;
}

enum mrd_status pql_match_fail(struct pql_match *match, const struct pql_node *node,
                               struct mrd_error *err)
{
    struct pql_exec *exec = match->table.exec;
    struct pql_label_scratch scratch = {0};
    const struct pql_series *first = &match->one.items[match->error_one[0]];
    const struct pql_series *second = &match->one.items[match->error_one[1]];
    const bool one_is_left = node->matching.cardinality == MRD_ONE_TO_MANY;
    struct mrd_labels key;
    MRD_TRY(pql_match_key(exec, &scratch, &node->matching, first->labels, &key, err));
    return pql_fail(err,
                    "found duplicate series for the match group %.*s on the %s hand-side of the "
                    "operation: [%.*s, %.*s];many-to-many matching not allowed: matching labels "
                    "must be unique on one side",
                    MRD_FMT(pql_labels_text(exec, key)), one_is_left ? "left" : "right",
                    MRD_FMT(pql_labels_text(exec, first->labels)),
                    MRD_FMT(pql_labels_text(exec, second->labels)));
}
