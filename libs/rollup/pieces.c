#include "rollup/pieces.h"

static size_t row_count(const struct mrd_rollup_pieces *pieces)
{
    return pieces->ends_ms.size / sizeof(mrd_time_ms);
}

void mrd_rollup_pieces_clear(struct mrd_rollup_pieces *pieces)
{
    mrd_buf_clear(&pieces->ends_ms);
    mrd_buf_clear(&pieces->states);
    for (unsigned i = 0; i < MRD_ROW_COLUMNS; i++) {
        mrd_buf_clear(&pieces->columns[i]);
    }
}

void mrd_rollup_pieces_fini(struct mrd_rollup_pieces *pieces)
{
    mrd_buf_fini(&pieces->ends_ms);
    mrd_buf_fini(&pieces->states);
    for (unsigned i = 0; i < MRD_ROW_COLUMNS; i++) {
        mrd_buf_fini(&pieces->columns[i]);
    }
}

static void add_column(struct mrd_buf *out, const void *items, size_t before, size_t from,
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

static void add_states(struct mrd_buf *out, const struct mrd_rollup_row *const *states,
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

void mrd_rollup_pieces_add(struct mrd_rollup_pieces *pieces, const struct mrd_rollup_columns *rows,
                           size_t from)
{
    const size_t before = row_count(pieces);
    const size_t count = rows->count - from;
    mrd_buf_append(&pieces->ends_ms, rows->ends_ms + from, count * sizeof(mrd_time_ms));
    for (unsigned i = 0; i < MRD_ROW_COLUMNS; i++) {
        add_column(&pieces->columns[i], rows->items[i], before, from, count,
                   i == MRD_ROW_STALE_TS ? MRD_ROLLUP_NEVER : 0);
    }
    add_states(&pieces->states, rows->states, before, from, count);
}

enum mrd_status mrd_rollup_pieces_join(struct mrd_rollup_pieces *pieces,
                                       const struct mrd_rollup_columns *rows,
                                       struct mrd_arena *arena, struct mrd_error *err)
{
    struct mrd_rollup_row *joined = mrd_arena_alloc(arena, sizeof(*joined));
    struct mrd_rollup_row later;
    if (joined == NULL) {
        return mrd_arena_fail(arena, err);
    }
    const struct mrd_rollup_columns *view = mrd_rollup_pieces_view(pieces);
    const size_t last = view->count - 1;
    mrd_rollup_columns_row(view, last, joined);
    mrd_rollup_columns_row(rows, 0, &later);
    MRD_TRY(mrd_rollup_join(joined, &later, arena, err));
    const struct mrd_rollup_row *state = joined;
    if (pieces->states.size == 0) {
        add_states(&pieces->states, &state, last, 0, 1);
    } else {
        memcpy(pieces->states.data + last * sizeof(state), (const void *)&state, sizeof(state));
    }
    return MRD_OK;
}

const struct mrd_rollup_columns *mrd_rollup_pieces_view(struct mrd_rollup_pieces *pieces)
{
    pieces->view = (struct mrd_rollup_columns){
        .count = row_count(pieces),
        .ends_ms = (const mrd_time_ms *)(const void *)pieces->ends_ms.data,
        .states = pieces->states.size == 0
                      ? NULL
                      : (const struct mrd_rollup_row *const *)(const void *)pieces->states.data,
    };
    for (unsigned i = 0; i < MRD_ROW_COLUMNS; i++) {
        pieces->view.items[i] = pieces->columns[i].size == 0 ? NULL : pieces->columns[i].data;
    }
    return &pieces->view;
}
