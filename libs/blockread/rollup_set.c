#include "blockread/rollup_set.h"

#include <stdlib.h>

#include "blockread/block_rows.h"
#include "model/series_order.h"

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
    struct mrd_source_set *rows;             /* NULL: nothing to be read */
    const struct mrd_block_series **current; /* of each rollup; NULL at its end */
    size_t *turn;                            /* the rollups that have the series at hand, by time */
    size_t turn_count;
    bool begun;

    /* the series at hand, where several blocks have it */
    struct mrd_buf ends;
    struct mrd_buf columns[MRD_ROW_COLUMNS];
    struct mrd_buf states;
    struct mrd_arena *arena; /* of joined rows */
    struct mrd_rollup_columns view;
};

enum { JOINED_BYTES_MAX = 64 << 20 };

enum mrd_status mrd_rollup_set_open(struct mrd_block_source *source, struct mrd_rollup_list *take,
                                    const struct mrd_select *select, unsigned columns,
                                    const struct mrd_query_scope *scope,
                                    struct mrd_coarse_set **out_set, struct mrd_error *err)
{
    struct mrd_coarse_set *set = calloc(1, sizeof(*set));
    mrd_assert(set != NULL);
    set->rollups = *take;
    *take = (struct mrd_rollup_list){0};
    const size_t count = set->rollups.count;
    set->current = calloc(count + 1, sizeof(*set->current));
    set->turn = calloc(count + 1, sizeof(*set->turn));
    set->arena = mrd_arena_create("rows of two blocks", JOINED_BYTES_MAX);
    mrd_assert(set->current != NULL && set->turn != NULL);
    const struct mrd_block_rows rows = {set->rollups.items, count, columns};
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
    mrd_buf_fini(&set->ends);
    mrd_buf_fini(&set->states);
    for (unsigned i = 0; i < MRD_ROW_COLUMNS; i++) {
        mrd_buf_fini(&set->columns[i]);
    }
    mrd_arena_destroy(&set->arena);
    free((void *)set->current);
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
    return mrd_id128_equal(a->id, b->id) ? 0 : mrd_series_order(a->labels, b->labels);
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

static void append_column(struct mrd_buf *out, const void *items, size_t before, size_t from,
                          size_t count, int64_t missing)
{
    const size_t size = sizeof(int64_t);
    if (items == NULL && out->size == 0) {
        return;
    }
    const size_t have = out->size / size;
    int64_t *place = (int64_t *)(void *)mrd_buf_reserve(out, (before - have + count) * size);
    mrd_assert(place != NULL);
    for (size_t i = have; i < before; i++) {
        *place++ = missing;
    }
    if (items != NULL) {
        memcpy(place, (const int64_t *)items + from, count * size);
    }
    for (size_t i = 0; items == NULL && i < count; i++) {
        place[i] = missing;
    }
    out->size += (before - have + count) * size;
}

static void append_states(struct mrd_buf *out, const struct mrd_rollup_row *const *states,
                          size_t before, size_t from, size_t count)
{
    const struct mrd_rollup_row *none = NULL;
    if (states == NULL && out->size == 0) {
        return;
    }
    while (out->size / sizeof(none) < before) {
        mrd_buf_append(out, (const void *)&none, sizeof(none));
    }
    for (size_t i = 0; i < count; i++) {
        mrd_buf_append(out, states == NULL ? (const void *)&none : (const void *)&states[from + i],
                       sizeof(none));
    }
}

static void append_rows(struct mrd_coarse_set *set, const struct mrd_rollup_columns *rows,
                        size_t from)
{
    const size_t before = set->ends.size / sizeof(mrd_time_ms);
    const size_t count = rows->count - from;
    mrd_buf_append(&set->ends, rows->ends_ms + from, count * sizeof(mrd_time_ms));
    for (unsigned i = 0; i < MRD_ROW_COLUMNS; i++) {
        append_column(&set->columns[i], rows->items[i], before, from, count,
                      i == MRD_ROW_STALE_TS ? MRD_ROLLUP_NEVER : 0);
    }
    append_states(&set->states, rows->states, before, from, count);
}

static void look(struct mrd_coarse_set *set)
{
    set->view = (struct mrd_rollup_columns){
        .count = set->ends.size / sizeof(mrd_time_ms),
        .ends_ms = (const mrd_time_ms *)(const void *)set->ends.data,
        .states = set->states.size == 0
                      ? NULL
                      : (const struct mrd_rollup_row *const *)(const void *)set->states.data,
    };
    for (unsigned i = 0; i < MRD_ROW_COLUMNS; i++) {
        set->view.items[i] = set->columns[i].size == 0 ? NULL : set->columns[i].data;
    }
}

/* The last row so far and the first of the next block are of one window: they become one. */
static enum mrd_status join_row(struct mrd_coarse_set *set, const struct mrd_rollup_columns *rows,
                                struct mrd_error *err)
{
    struct mrd_rollup_row *joined = mrd_arena_alloc(set->arena, sizeof(*joined));
    struct mrd_rollup_row later;
    if (joined == NULL) {
        return mrd_arena_fail(set->arena, err);
    }
    look(set);
    const size_t last = set->view.count - 1;
    mrd_rollup_columns_row(&set->view, last, joined);
    mrd_rollup_columns_row(rows, 0, &later);
    MRD_TRY(mrd_rollup_join(joined, &later, set->arena, err));
    const struct mrd_rollup_row *state = joined;
    if (set->states.size == 0) {
        append_states(&set->states, &state, last, 0, 1);
    } else {
        memcpy(set->states.data + last * sizeof(state), (const void *)&state, sizeof(state));
    }
    return MRD_OK;
}

static enum mrd_status put_together(struct mrd_coarse_set *set, struct mrd_error *err)
{
    mrd_buf_clear(&set->ends);
    mrd_buf_clear(&set->states);
    mrd_arena_reset(set->arena);
    for (unsigned i = 0; i < MRD_ROW_COLUMNS; i++) {
        mrd_buf_clear(&set->columns[i]);
    }
    for (size_t i = 0; i < set->turn_count; i++) {
        const struct mrd_rollup_columns *rows = set->current[set->turn[i]]->rows;
        const size_t have = set->ends.size / sizeof(mrd_time_ms);
        const mrd_time_ms *ends_ms = (const mrd_time_ms *)(const void *)set->ends.data;
        size_t from = 0;
        if (have > 0 && ends_ms[have - 1] == rows->ends_ms[0]) {
            MRD_TRY(join_row(set, rows, err));
            from = 1;
        } else if (have > 0 && ends_ms[have - 1] > rows->ends_ms[0]) {
            /* beside the spans, where different merges overlap: nobody looks at these */
            while (from < rows->count && rows->ends_ms[from] <= ends_ms[have - 1]) {
                from++;
            }
        }
        append_rows(set, rows, from);
    }
    look(set);
    return MRD_OK;
}

enum mrd_status mrd_rollup_set_next(struct mrd_coarse_set *set, struct mrd_coarse_series *out,
                                    bool *out_more, struct mrd_error *err)
{
    *out_more = false;
    if (set->rows == NULL) {
        return MRD_OK;
    }
    MRD_TRY(advance(set, err));
    find_turn(set);
    if (set->turn_count == 0) {
        return MRD_OK;
    }
    *out_more = true;
    const struct mrd_block_series *first = set->current[set->turn[0]];
    *out = (struct mrd_coarse_series){first->labels, first->rows};
    if (set->turn_count > 1) {
        MRD_TRY(put_together(set, err));
        out->rows = &set->view;
    }
    return MRD_OK;
}
