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

/* Links the series of each group in their order. */
static enum mrd_status match_link(struct pql_exec *exec, size_t group_count,
                                  const uint32_t *group_of, size_t count, uint32_t **out_first,
                                  uint32_t **out_next, struct mrd_error *err)
{
    uint32_t *first = NULL;
    uint32_t *next = NULL;
    MRD_TRY(PQL_NEW(exec, group_count, &first, err));
    MRD_TRY(PQL_NEW(exec, count, &next, err));
    memset(first, 0xff, group_count * sizeof(*first));
    for (size_t i = count; i-- > 0;) {
        next[i] = first[group_of[i]];
        first[group_of[i]] = (uint32_t)i;
    }
    *out_first = first;
    *out_next = next;
    return MRD_OK;
}

/* True if any series of the list has a value at the step. */
static bool any_at(const struct pql_series_list *list, size_t step)
{
    for (size_t i = 0; i < list->count; i++) {
        if (pql_series_has(&list->items[i], step)) {
            return true;
        }
    }
    return false;
}

/* Notes the first step at which series `b` meets an earlier one of its group, if it is the earliest so
 * far. With nothing on the other side at a step and no fill, nothing is evaluated there. */
static void match_find_error(struct pql_match *match, const struct pql_node *node, uint32_t b)
{
    const struct pql_series *series = match->one.items;
    const bool filled = node->matching.fill_left_set || node->matching.fill_right_set;
    for (uint32_t a = match->one_first[match->one_group[b]]; a != b; a = match->one_next[a]) {
        const size_t end = match->error_step;
        for (size_t i = 0; i < end; i++) {
            if (pql_series_has(&series[b], i) && pql_series_has(&series[a], i) &&
                (filled || any_at(&match->many, i))) {
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
    MRD_TRY(match_link(exec, out->group_count, out->many_group, out->many.count, &out->many_first,
                       &out->many_next, err));
    MRD_TRY(match_link(exec, out->group_count, out->one_group, out->one.count, &out->one_first,
                       &out->one_next, err));
    for (size_t i = 0; i < out->one.count && out->error_step > 0; i++) {
        match_find_error(out, node, (uint32_t)i);
    }
    return MRD_OK;
}

/* ---- filling ---- */

/* A side that is filled: its series, and with what. fill_left is for the "many" side and fill_right for
 * the "one" side, under group_right too: there Prometheus swaps the sides but not the values. */
struct side {
    const struct pql_series_list *list;
    const uint32_t *first;
    const uint32_t *next;
    double value;
};

static struct side side_of(const struct pql_match *match, const struct pql_node *node, bool one)
{
    const struct pql_matching *matching = &node->matching;
    if (one) {
        return (struct side){&match->one, match->one_first, match->one_next, matching->fill_right};
    }
    return (struct side){&match->many, match->many_first, match->many_next, matching->fill_left};
}

/* The value at each step where the group has no series. */
static void fill_column(const struct side *side, uint32_t group, double *column, size_t steps)
{
    pql_column_fill(column, steps, side->value);
    for (uint32_t at = side->first[group]; at != UINT32_MAX; at = side->next[at]) {
        for (size_t i = 0; i < steps; i++) {
            if (pql_series_has(&side->list->items[at], i)) {
                column[i] = pql_none();
            }
        }
    }
}

static enum mrd_status match_fill(struct pql_match *match, const struct pql_node *node,
                                  uint32_t group, bool one, struct pql_series ***fills,
                                  struct mrd_error *err)
{
    struct pql_exec *exec = match->table.exec;
    const size_t steps = node->steps.count;
    const struct side side = side_of(match, node, one);
    struct pql_series *fill = NULL;
    if (*fills == NULL) {
        MRD_TRY(PQL_NEW(exec, match->group_count, fills, err));
        memset(*fills, 0, match->group_count * sizeof(**fills));
    }
    if ((*fills)[group] != NULL) {
        return MRD_OK;
    }
    MRD_TRY(PQL_NEW(exec, 1, &fill, err));
    *fill = (struct pql_series){.labels = match->table.keys[group]};
    MRD_TRY(pql_hold(exec, steps, err));
    MRD_TRY(PQL_NEW(exec, steps, &fill->values, err));
    fill_column(&side, group, fill->values, steps);
    (*fills)[group] = fill;
    return MRD_OK;
}

enum mrd_status pql_match_fill_one(struct pql_match *match, const struct pql_node *node,
                                   uint32_t group, const struct pql_series **out,
                                   struct mrd_error *err)
{
    *out = NULL;
    if (node->matching.fill_right_set) {
        MRD_TRY(match_fill(match, node, group, true, &match->fill_one, err));
        *out = match->fill_one[group];
    }
    return MRD_OK;
}

enum mrd_status pql_match_fill_many(struct pql_match *match, const struct pql_node *node,
                                    uint32_t group, const struct pql_series **out,
                                    struct mrd_error *err)
{
    *out = NULL;
    if (node->matching.fill_left_set) {
        MRD_TRY(match_fill(match, node, group, false, &match->fill_many, err));
        *out = match->fill_many[group];
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
    struct mrd_bytes texts[] = {pql_labels_text(exec, first->labels),
                                pql_labels_text(exec, second->labels)};
    if (mrd_bytes_compare(texts[0], texts[1]) > 0) {
        const struct mrd_bytes later = texts[0];
        texts[0] = texts[1];
        texts[1] = later;
    }
    return pql_fail(err,
                    "found duplicate series for the match group %.*s on the %s hand-side of the "
                    "operation: [%.*s, %.*s];many-to-many matching not allowed: matching labels "
                    "must be unique on one side",
                    MRD_FMT(pql_labels_text(exec, key)), one_is_left ? "left" : "right",
                    MRD_FMT(texts[0]), MRD_FMT(texts[1]));
}
