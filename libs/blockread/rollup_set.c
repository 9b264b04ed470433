#include "blockread/rollup_set.h"

#include <stdlib.h>

#include "blockread/block_rows.h"
#include "model/series_order.h"
#include "rollup/pieces.h"

/* ---- lists ---- */

void mrd_rollup_list_add(struct mrd_rollup_list *list, const struct mrd_block_entry *entry)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 16 : list->capacity * 2;
        list->items = reallocarray(list->items, list->capacity, sizeof(*list->items));
        mrd_assert(list->items != NULL);
    }
    list->items[list->count++] = entry;
}

static int compare_times(const void *a, const void *b)
{
    const struct mrd_block_entry *x = *(const struct mrd_block_entry *const *)a;
    const struct mrd_block_entry *y = *(const struct mrd_block_entry *const *)b;
    if (x->counts.min_ms != y->counts.min_ms) {
        return x->counts.min_ms < y->counts.min_ms ? -1 : 1;
    }
    if (x->counts.max_ms != y->counts.max_ms) {
        return x->counts.max_ms < y->counts.max_ms ? -1 : 1;
    }
    return mrd_bytes_compare(x->id, y->id);
}

void mrd_rollup_list_sort(struct mrd_rollup_list *list)
{
    if (list->count > 0) {
        qsort(list->items, list->count, sizeof(*list->items), compare_times);
    }
}

void mrd_rollup_list_fini(struct mrd_rollup_list *list)
{
    free(list->items);
    *list = (struct mrd_rollup_list){0};
}

/* ---- the set ---- */

struct mrd_coarse_set {
    struct mrd_rollup_list rollups;
    struct mrd_hidden_rules hidden; /* those that can hide anything here */
    mrd_time_ms resolution_ms;
    struct mrd_source_set *rows;             /* NULL: nothing to be read */
    const struct mrd_block_series **current; /* of each rollup; NULL at its end */
    size_t *turn;                            /* the rollups that have the series at hand, by time */
    size_t turn_count;
    bool begun;

    const struct mrd_rollup_columns **pieces; /* of the series at hand */
    size_t piece_count;
    size_t piece_capacity;

    /* the same where blocks share windows */
    struct mrd_rollup_pieces together;
    const struct mrd_rollup_columns **cut;
    size_t cut_count;
    size_t cut_capacity;
    struct mrd_arena *arena; /* of joined rows, and of what was cut */
};

enum { JOINED_BYTES_MAX = 64 << 20 };

/* Whether some rule can hide a row of the select. */
static bool hides_any(const struct mrd_hidden_rules *hidden, const struct mrd_select *select)
{
    bool found = false;
    for (size_t i = 0; i < hidden->count && !found; i++) {
        found = hidden->items[i].before_ms > INT64_MIN &&
                mrd_hidden_meets(&hidden->items[i], select->matchers, select->matcher_count);
    }
    return found;
}

enum mrd_status mrd_rollup_set_open(struct mrd_block_source *source, struct mrd_rollup_list *take,
                                    const struct mrd_hidden_rules *hidden,
                                    const struct mrd_select *select,
                                    const struct mrd_coarse_wanted *wanted,
                                    const struct mrd_query_scope *scope,
                                    struct mrd_coarse_set **out_set, struct mrd_error *err)
{
    struct mrd_coarse_set *set = calloc(1, sizeof(*set));
    mrd_assert(set != NULL);
    set->rollups = *take;
    *take = (struct mrd_rollup_list){0};
    set->hidden = hides_any(hidden, select) ? *hidden : (struct mrd_hidden_rules){0};
    set->resolution_ms = wanted->resolution_ms;
    const size_t count = set->rollups.count;
    set->current = calloc(count + 1, sizeof(*set->current));
    set->turn = calloc(count + 1, sizeof(*set->turn));
    set->arena = mrd_arena_create("rows of two blocks", JOINED_BYTES_MAX);
    mrd_assert(set->current != NULL && set->turn != NULL);
    const struct mrd_block_rows rows = {set->rollups.items, count,         wanted->columns,
                                        wanted->grid,       wanted->edges, wanted->asked};
    if (count > 0) {
        const enum mrd_status status =
            mrd_block_rows_open(source, &rows, select, scope, &set->rows, err);
        if (status != MRD_OK) {
            mrd_rollup_set_close(set);
            return status;
        }
    }
    *out_set = set;
    return MRD_OK;
}

void mrd_rollup_set_close(struct mrd_coarse_set *set)
{
    if (set->rows != NULL) {
        mrd_block_rows_close(set->rows);
    }
    mrd_rollup_list_fini(&set->rollups);
    mrd_rollup_pieces_fini(&set->together);
    mrd_arena_destroy(&set->arena);
    free((void *)set->current);
    free((void *)set->pieces);
    free((void *)set->cut);
    free(set->turn);
    free(set);
}

/* ---- which series is next ---- */

static enum mrd_status advance(struct mrd_coarse_set *set, struct mrd_error *err)
{
    if (!set->begun) {
        set->begun = true;
        for (size_t i = 0; i < set->rollups.count; i++) {
            MRD_TRY(mrd_block_rows_next(set->rows, i, &set->current[i], err));
        }
        return MRD_OK;
    }
    for (size_t i = 0; i < set->turn_count; i++) {
        const size_t at = set->turn[i];
        MRD_TRY(mrd_block_rows_next(set->rows, at, &set->current[at], err));
    }
    return MRD_OK;
}

static int compare(const struct mrd_block_series *a, const struct mrd_block_series *b)
{
    return mrd_labels_equal(a->labels, b->labels) ? 0 : mrd_series_order(a->labels, b->labels);
}

/* Lists the rollups whose next series is the first of all. */
static void find_turn(struct mrd_coarse_set *set)
{
    const struct mrd_block_series *first = NULL;
    set->turn_count = 0;
    for (size_t i = 0; i < set->rollups.count; i++) {
        const struct mrd_block_series *series = set->current[i];
        const int order = series == NULL ? 1 : first == NULL ? -1 : compare(series, first);
        if (order < 0) {
            first = series;
            set->turn_count = 0;
        }
        if (order <= 0) {
            set->turn[set->turn_count++] = i;
        }
    }
}

/* ---- putting rows together ---- */

static void list_piece(const struct mrd_rollup_columns ***items, size_t *count, size_t *capacity,
                       const struct mrd_rollup_columns *piece)
{
    if (*count == *capacity) {
        *capacity = *capacity == 0 ? 16 : *capacity * 2;
        *items = (const struct mrd_rollup_columns **)reallocarray((void *)*items, *capacity,
                                                                  sizeof(**items));
        mrd_assert(*items != NULL);
    }
    (*items)[(*count)++] = piece;
}

static void list_pieces(struct mrd_coarse_set *set)
{
    set->piece_count = 0;
    for (size_t i = 0; i < set->turn_count; i++) {
        for (const struct mrd_rollup_columns *rows = set->current[set->turn[i]]->rows; rows != NULL;
             rows = rows->next) {
            list_piece(&set->pieces, &set->piece_count, &set->piece_capacity, rows);
        }
    }
}

/* Whether each block's windows come after those of the one before. */
static bool are_apart(const struct mrd_coarse_set *set)
{
    for (size_t i = 1; i < set->piece_count; i++) {
        const struct mrd_rollup_columns *before = set->pieces[i - 1];
        if (before->ends_ms[before->count - 1] >= set->pieces[i]->ends_ms[0]) {
            return false;
        }
    }
    return true;
}

/* Without the windows that end before first_ms. */
static enum mrd_status put_together(struct mrd_coarse_set *set, mrd_time_ms first_ms,
                                    struct mrd_error *err)
{
    mrd_rollup_pieces_clear(&set->together);
    mrd_arena_reset(set->arena);
    mrd_time_ms last_ms = MRD_ROLLUP_NEVER;
    for (size_t i = 0; i < set->piece_count; i++) {
        const struct mrd_rollup_columns *rows = set->pieces[i];
        size_t from = 0;
        if (last_ms != MRD_ROLLUP_NEVER && last_ms == rows->ends_ms[0]) {
            MRD_TRY(mrd_rollup_pieces_join(&set->together, rows, set->arena, err));
            from = 1;
        }
        /* beside the spans, where different merges overlap: nobody looks at these */
        while (from < rows->count &&
               (rows->ends_ms[from] <= last_ms || rows->ends_ms[from] < first_ms)) {
            from++;
        }
        if (from < rows->count) {
            mrd_rollup_pieces_add(&set->together, rows, from);
            last_ms = rows->ends_ms[rows->count - 1];
        }
    }
    return MRD_OK;
}

/* ---- the same where answers are alone: there is nothing to be copied, and what is joined has not been answered ---- */

static bool any_alone(const struct mrd_coarse_set *set)
{
    bool found = false;
    for (size_t i = 0; i < set->piece_count; i++) {
        found |= set->pieces[i]->borders != NULL;
    }
    return found;
}

/* Of answers that are alone and have lost their last row: the first one, which may be the last now. */
static enum mrd_status cut_borders(struct mrd_coarse_set *set, struct mrd_rollup_columns *view,
                                   struct mrd_error *err)
{
    struct mrd_rollup_floats *borders = mrd_arena_alloc_array(set->arena, 2, sizeof(*borders));
    if (borders == NULL) {
        return mrd_arena_fail(set->arena, err);
    }
    borders[0] = borders[1] = view->borders[0];
    view->borders = borders;
    return MRD_OK;
}

/* Rows [from, to) of a piece; of answers that are alone, the border that is cut off must not be looked at any more. */
static enum mrd_status cut_piece(struct mrd_coarse_set *set, const struct mrd_rollup_columns *rows,
                                 size_t from, size_t to, struct mrd_error *err)
{
    struct mrd_rollup_columns *view = mrd_arena_alloc(set->arena, sizeof(*view));
    if (view == NULL) {
        return mrd_arena_fail(set->arena, err);
    }
    *view = *rows;
    view->count = to - from;
    view->made_of = 0;
    view->ends_ms += from;
    view->answers = rows->answers == NULL ? NULL : rows->answers + from;
    view->states = rows->states == NULL ? NULL : rows->states + from;
    for (unsigned i = 0; i < MRD_ROW_COLUMNS; i++) {
        view->items[i] = rows->items[i] == NULL ? NULL : (const int64_t *)rows->items[i] + from;
    }
    list_piece(&set->cut, &set->cut_count, &set->cut_capacity, view);
    return rows->borders != NULL && to < rows->count ? cut_borders(set, view, err) : MRD_OK;
}

/* The last row of what there is, and the first of `rows`, which ends where that does: one, which becomes a piece of its own. */
static enum mrd_status cut_border(struct mrd_coarse_set *set, const struct mrd_rollup_columns *rows,
                                  struct mrd_error *err)
{
    const struct mrd_rollup_columns *before = set->cut[set->cut_count - 1];
    struct mrd_rollup_row *joined = mrd_arena_alloc(set->arena, sizeof(*joined));
    struct mrd_rollup_columns *piece = mrd_arena_alloc(set->arena, sizeof(*piece));
    const struct mrd_rollup_row **state = mrd_arena_alloc(set->arena, sizeof(*state));
    struct mrd_rollup_row later;
    if (joined == NULL || piece == NULL || state == NULL) {
        return mrd_arena_fail(set->arena, err);
    }
    mrd_rollup_columns_row(before, before->count - 1, joined);
    mrd_rollup_columns_row(rows, 0, &later);
    MRD_TRY(mrd_rollup_join(joined, &later, set->arena, err));
    *state = joined;
    *piece = (struct mrd_rollup_columns){.count = 1, .ends_ms = &joined->end_ms, .states = state};
    set->cut_count--;
    if (before->count > 1) {
        MRD_TRY(cut_piece(set, before, 0, before->count - 1, err));
    }
    list_piece(&set->cut, &set->cut_count, &set->cut_capacity, piece);
    return MRD_OK;
}

/* As put_together. */
static enum mrd_status cut_apart(struct mrd_coarse_set *set, mrd_time_ms first_ms,
                                 struct mrd_error *err)
{
    mrd_arena_reset(set->arena);
    mrd_time_ms last_ms = MRD_ROLLUP_NEVER;
    set->cut_count = 0;
    for (size_t i = 0; i < set->piece_count; i++) {
        const struct mrd_rollup_columns *rows = set->pieces[i];
        size_t from = 0;
        if (last_ms != MRD_ROLLUP_NEVER && last_ms == rows->ends_ms[0]) {
            MRD_TRY(cut_border(set, rows, err));
            from = 1;
        }
        while (from < rows->count &&
               (rows->ends_ms[from] <= last_ms || rows->ends_ms[from] < first_ms)) {
            from++;
        }
        if (from < rows->count) {
            MRD_TRY(cut_piece(set, rows, from, rows->count, err));
            last_ms = rows->ends_ms[rows->count - 1];
        }
    }
    return MRD_OK;
}

/* The first window of the series at hand that is not hidden, by its end; INT64_MIN: any. */
static mrd_time_ms first_shown(const struct mrd_coarse_set *set)
{
    const struct mrd_labels labels = set->current[set->turn[0]]->labels;
    const mrd_time_ms before_ms =
        set->hidden.count == 0 ? INT64_MIN : mrd_hidden_before(&set->hidden, labels);
    return before_ms == INT64_MIN ? INT64_MIN : before_ms - 1 + set->resolution_ms;
}

/* The series at hand; *out_any: it has a row. Else *out stays as it is. */
static enum mrd_status show(struct mrd_coarse_set *set, struct mrd_coarse_series *out,
                            bool *out_any, struct mrd_error *err)
{
    const mrd_time_ms first_ms = first_shown(set);
    const struct mrd_labels labels = set->current[set->turn[0]]->labels;
    list_pieces(set);
    const bool whole = are_apart(set) && set->pieces[0]->ends_ms[0] >= first_ms;
    if (!whole && any_alone(set)) {
        MRD_TRY(cut_apart(set, first_ms, err));
        *out_any = set->cut_count > 0;
        if (*out_any) {
            *out = (struct mrd_coarse_series){labels, set->cut, set->cut_count};
        }
        return MRD_OK;
    }
    if (!whole) {
        MRD_TRY(put_together(set, first_ms, err));
        set->pieces[0] = mrd_rollup_pieces_view(&set->together);
        set->piece_count = 1;
    }
    *out_any = set->pieces[0]->count > 0;
    if (*out_any) {
        *out = (struct mrd_coarse_series){labels, set->pieces, set->piece_count};
    }
    return MRD_OK;
}

enum mrd_status mrd_rollup_set_next(struct mrd_coarse_set *set, struct mrd_coarse_series *out,
                                    bool *out_more, struct mrd_error *err)
{
    *out_more = false;
    while (set->rows != NULL && !*out_more) {
        MRD_TRY(advance(set, err));
        find_turn(set);
        if (set->turn_count == 0) {
            return MRD_OK;
        }
        MRD_TRY(show(set, out, out_more, err));
    }
    return MRD_OK;
}
