/* Answers: slices of whole series, and lists of label names and values. */
#include "head/head_internal.h"

/* ---- one series as a frame ---- */

static size_t labels_size(const struct mrd_head *head, const struct head_series *series)
{
    uint8_t varint[MRD_VARINT_SIZE_MAX];
    const uint32_t *labels = head_labels(head, series);
    size_t size = 0;
    for (size_t i = 0; i < series->label_count; i++) {
        const struct head_pair *pair = head_at(head, labels[i]);
        const size_t name_size = head_name_text(head, pair->name).size;
        size += mrd_varint_put(varint, name_size) + name_size;
        size += mrd_varint_put(varint, pair->value_size) + pair->value_size;
    }
    return size;
}

static void append_labels(const struct mrd_head *head, const struct head_series *series,
                          struct mrd_buf *out)
{
    const uint32_t *labels = head_labels(head, series);
    for (size_t i = 0; i < series->label_count; i++) {
        const struct head_pair *pair = head_at(head, labels[i]);
        const struct mrd_bytes name = head_name_text(head, pair->name);
        mrd_buf_append_varint(out, name.size);
        mrd_buf_append_bytes(out, name);
        mrd_buf_append_varint(out, pair->value_size);
        mrd_buf_append(out, pair->value, pair->value_size);
    }
}

bool mrd_head_series_labels(const struct mrd_head *head, uint32_t ordinal, struct mrd_buf *out)
{
    mrd_assert(ordinal < head->series_end);
    if (head_series(head, ordinal)->state != SERIES_LIVE) {
        return false;
    }
    append_labels(head, head_series(head, ordinal), out);
    return true;
}

/* Fills the cursor's chain with the sealed chunks that meet its range, newest first. */
static void find_chunks(struct mrd_head *head, const struct mrd_head_cursor *cursor,
                        const struct head_hot *hot)
{
    cursor->chain->count = 0;
    for (mrd_pool_handle at = hot->chunks; at != 0;) {
        const struct head_chunk *chunk = head_at(head, at);
        const mrd_time_ms first = head_chunk_first_ms(chunk);
        if (first + (mrd_time_ms)chunk->span_ms < cursor->time_min_ms) {
            break;
        }
        if (first <= cursor->time_max_ms) {
            head_numbers_add(cursor->chain, at);
        }
        at = chunk->next;
    }
}

/* Late samples of the range as columns; returns how many. */
static size_t find_late(struct mrd_head *head, const struct mrd_head_cursor *cursor,
                        uint32_t ordinal)
{
    const struct head_series *series = head_series(head, ordinal);
    if (series->late == 0) {
        return 0;
    }
    struct head_columns *columns = &head->merged;
    head_columns_clear(columns);
    const struct head_late_block *block = head_at(head, series->late);
    for (uint32_t i = 0; i < block->count; i++) {
        const struct head_late *item = &block->items[i];
        if (item->time_ms >= cursor->time_min_ms && item->time_ms <= cursor->time_max_ms &&
            !head_late_is_mark(item)) {
            head_columns_add(head, columns, item->time_ms, item->bits, head_late_start(block, i));
        }
    }
    return columns->count;
}

static bool tail_meets(const struct mrd_head *head, const struct mrd_head_cursor *cursor,
                       const struct head_hot *hot)
{
    return hot->open.count > 0 && hot->open.last_time_ms >= cursor->time_min_ms &&
           head_tail_first_ms(head, hot) <= cursor->time_max_ms;
}

void head_selection_add(struct mrd_head_selection *out, const struct mrd_chunk *chunk,
                        size_t weight)
{
    mrd_frame_write_chunk(&out->frames, chunk);
    out->chunk_count++;
    out->sample_count += weight;
}

static void append_chunk(struct mrd_head_selection *out, struct mrd_chunk chunk)
{
    head_selection_add(out, &chunk, chunk.count);
}

void head_append_series(const struct mrd_head_cursor *cursor, uint32_t ordinal,
                        struct mrd_head_selection *out)
{
    struct mrd_head *head = cursor->head;
    const struct head_hot *hot = head_hot(head, ordinal);
    const bool labels_only = cursor->labels_only;
    find_chunks(head, cursor, hot);
    const bool tail = tail_meets(head, cursor, hot);
    const size_t late = find_late(head, cursor, ordinal);
    const size_t chunk_count = cursor->chain->count + (tail ? 1 : 0) + (late > 0 ? 1 : 0) +
                               head_mixed_append(head, ordinal, cursor, NULL);
    if (chunk_count == 0) {
        return; /* dropped since the matchers were resolved */
    }
    mrd_buf_append_varint(&out->frames, labels_size(head, head_series(head, ordinal)));
    append_labels(head, head_series(head, ordinal), &out->frames);
    mrd_buf_append_varint(&out->frames, labels_only ? 0 : chunk_count);
    out->series_count++;
    if (labels_only) {
        return;
    }
    for (size_t i = cursor->chain->count; i-- > 0;) {
        const struct head_chunk *chunk = head_at(head, cursor->chain->items[i]);
        append_chunk(out, (struct mrd_chunk){
                              {chunk->bytes, chunk->size},
                              chunk->count, chunk->encoding
        });
    }
    if (tail) {
        append_chunk(out, head_tail_chunk(head, ordinal));
    }
    if (late > 0) {
        append_chunk(out, head_columns_encode(head, &head->merged, 0, late));
    }
    (void)head_mixed_append(head, ordinal, cursor, out);
}

/* ---- cursors ---- */

/* Resolves the query for the cursor, which is open already: others may read, and with them close cursors, meanwhile. */
static enum mrd_status resolve(struct mrd_head_cursor *cursor, const struct mrd_head_query *query,
                               struct mrd_error *err)
{
    struct head_numbers found = {0};
    enum mrd_status status = head_match(cursor->head, query, &found, err);
    if (status == MRD_OK && query->series_max != 0 && found.count > query->series_max) {
        status = mrd_fail(err, MRD_E_LIMIT,
                          "the query selects %zu series in one partition, more than the limit of "
                          "%zu (querier.series_max): narrow its selectors, or raise it",
                          found.count, query->series_max);
    }
    if (status == MRD_OK && query->in_order) {
        status = head_order(cursor->head, found.items, found.count, &query->pause, err);
    }
    if (status != MRD_OK) {
        head_numbers_fini(&found);
        return status;
    }
    cursor->ordinals = found.items;
    cursor->count = found.count;
    return MRD_OK;
}

enum mrd_status mrd_head_select(struct mrd_head *head, const struct mrd_head_query *query,
                                struct mrd_head_cursor **out_cursor, struct mrd_error *err)
{
    mrd_auto(mrd_head_cursor_destroy)
    struct mrd_head_cursor *cursor = calloc(1, sizeof(*cursor));
    mrd_assert(cursor != NULL);
    *cursor = (struct mrd_head_cursor){
        .head = head,
        .number = head->cursor_number++,
        .time_min_ms = query->time_min_ms,
        .time_max_ms = query->time_max_ms,
        .histograms_before_ms = query->histograms_before_ms,
        .samples_max = query->samples_max,
        .labels_only = query->labels_only,
        .pause = query->pause,
        .chain = &head->chain,
    };
    if (head->cursor_last == NULL) {
        head->cursors = cursor;
    } else {
        head->cursor_last->next = cursor;
    }
    head->cursor_last = cursor;
    MRD_TRY(resolve(cursor, query, err));
    *out_cursor = MRD_MOVE(cursor);
    return MRD_OK;
}

bool mrd_head_cursor_at_end(const struct mrd_head_cursor *cursor)
{
    return cursor->at == cursor->count;
}

size_t mrd_head_cursor_series_count(const struct mrd_head_cursor *cursor) { return cursor->count; }

static MRD_ALWAYS_INLINE void prefetch_series(const struct mrd_head_cursor *cursor)
{
    const struct mrd_head *head = cursor->head;
    if (cursor->at + 8 < cursor->count) {
        const uint32_t ordinal = cursor->ordinals[cursor->at + 8];
        __builtin_prefetch(head_hot(head, ordinal));
        __builtin_prefetch(head_series(head, ordinal));
    }
    if (cursor->at + 4 < cursor->count) {
        const uint32_t ordinal = cursor->ordinals[cursor->at + 4];
        __builtin_prefetch(head_at(head, head_hot(head, ordinal)->chunks));
        __builtin_prefetch(head_at(head, head_hot(head, ordinal)->tail));
        __builtin_prefetch(head_at(head, head_series(head, ordinal)->labels));
    }
}

static enum mrd_status count_samples(struct mrd_head_cursor *cursor,
                                     const struct mrd_head_selection *selection,
                                     struct mrd_error *err)
{
    const size_t samples = cursor->samples + selection->sample_count;
    if (cursor->samples_max != 0 && samples > cursor->samples_max) {
        return mrd_fail(err, MRD_E_LIMIT,
                        "the query selects more samples in one partition than the limit of %zu "
                        "(querier.samples_max): ask for less, or raise it",
                        cursor->samples_max);
    }
    return MRD_OK;
}

enum mrd_status mrd_head_cursor_next(struct mrd_head_cursor *cursor, size_t bytes_max,
                                     struct mrd_head_selection **out_selection,
                                     struct mrd_error *err)
{
    mrd_auto(mrd_head_selection_destroy)
    struct mrd_head_selection *selection = calloc(1, sizeof(*selection));
    mrd_assert(selection != NULL);
    for (; cursor->at < cursor->count; cursor->at++) {
        if (selection->series_count > 0 && selection->frames.size >= bytes_max) {
            break;
        }
        prefetch_series(cursor);
        const uint32_t ordinal = cursor->ordinals[cursor->at];
        if ((head_hot(cursor->head, ordinal)->open.owner_flags & HOT_LIVE) != 0) {
            head_append_series(cursor, ordinal, selection);
            MRD_TRY(count_samples(cursor, selection, err));
        }
        MRD_TRY(head_pause(&cursor->pause, cursor->at, HEAD_PAUSE_SERIES, err));
    }
    mrd_assert(!selection->frames.failed);
    cursor->samples += selection->sample_count;
    *out_selection = selection->series_count == 0 ? NULL : MRD_MOVE(selection);
    return MRD_OK;
}

void mrd_head_cursor_destroy(struct mrd_head_cursor **cursor_pointer)
{
    struct mrd_head_cursor *cursor = *cursor_pointer;
    if (cursor == NULL) {
        return;
    }
    struct mrd_head *head = cursor->head;
    struct mrd_head_cursor *previous = NULL;
    for (struct mrd_head_cursor *at = head->cursors; at != cursor; at = at->next) {
        previous = at;
    }
    if (previous == NULL) {
        head->cursors = cursor->next;
    } else {
        previous->next = cursor->next;
    }
    if (head->cursor_last == cursor) {
        head->cursor_last = previous;
    }
    free(cursor->ordinals);
    free(cursor);
    *cursor_pointer = NULL;
    head_recycle_waiting(head);
}

void mrd_head_selection_destroy(struct mrd_head_selection **selection)
{
    if (*selection != NULL) {
        mrd_buf_fini(&(*selection)->frames);
        free(*selection);
        *selection = NULL;
    }
}

/* ---- names and values ---- */

/* Emits each handle once, up to a limit. */
struct distinct {
    struct head_table seen; /* by handle */
    size_t count;
    size_t count_max;
    mrd_head_emit emit;
    void *context;
};

static enum mrd_status emit_once(struct distinct *distinct, uint32_t handle, struct mrd_bytes text,
                                 struct mrd_error *err)
{
    uint32_t at = head_handle_hash(handle);
    if (head_table_next(&distinct->seen, head_handle_hash(handle), &at) != 0) {
        return MRD_OK;
    }
    if (distinct->count_max != 0 && distinct->count == distinct->count_max) {
        return mrd_fail(err, MRD_E_LIMIT,
                        "there are more than the limit of %zu (querier.series_max)",
                        distinct->count_max);
    }
    head_table_add(&distinct->seen, head_handle_hash(handle), handle);
    distinct->count++;
    distinct->emit(distinct->context, text);
    return MRD_OK;
}

/* Emits the wanted parts of one series' labels: all names, or the value of one. */
static enum mrd_status emit_labels(const struct mrd_head *head, uint32_t ordinal,
                                   mrd_pool_handle name, struct distinct *distinct,
                                   struct mrd_error *err)
{
    const struct head_series *series = head_series(head, ordinal);
    const uint32_t *labels = head_labels(head, series);
    for (size_t i = 0; i < series->label_count; i++) {
        const struct head_pair *pair = head_at(head, labels[i]);
        if (name == 0) {
            MRD_TRY(emit_once(distinct, pair->name, head_name_text(head, pair->name), err));
        } else if (pair->name == name) {
            MRD_TRY(emit_once(distinct, labels[i], head_pair_value(head, labels[i]), err));
        }
    }
    return MRD_OK;
}

static enum mrd_status emit_matched(struct mrd_head *head, const struct mrd_head_query *query,
                                    mrd_pool_handle name, struct distinct *distinct,
                                    struct mrd_error *err)
{
    struct head_numbers found = {0};
    enum mrd_status status = head_match(head, query, &found, err);
    for (size_t i = 0; i < found.count && status == MRD_OK; i++) {
        status = emit_labels(head, found.items[i], name, distinct, err);
        if (status == MRD_OK) {
            status = head_pause(&query->pause, i, HEAD_PAUSE_ITEMS, err);
        }
    }
    head_numbers_fini(&found);
    return status;
}

static enum mrd_status any_overlaps(struct mrd_head *head, const struct mrd_head_query *query,
                                    struct head_list *series, bool *out, struct mrd_error *err)
{
    const uint32_t *ordinals = head_list_items(head, series);
    *out = false;
    for (uint32_t i = 0; i < series->count; i++) {
        if ((head_hot(head, ordinals[i])->open.owner_flags & HOT_LIVE) != 0 &&
            head_overlaps(head, ordinals[i], query->time_min_ms, query->time_max_ms)) {
            *out = true;
            return MRD_OK;
        }
        MRD_TRY(head_pause(&query->pause, i, HEAD_PAUSE_ITEMS, err));
    }
    return MRD_OK;
}

/* All values of a field that have samples in the range; with names_only, the field's name once. */
static enum mrd_status emit_field(struct mrd_head *head, const struct mrd_head_query *query,
                                  mrd_pool_handle handle, bool names_only,
                                  struct distinct *distinct, struct mrd_error *err)
{
    struct head_field *field = head_at(head, handle);
    const uint32_t *values = head_list_items(head, &field->values);
    for (uint32_t i = 0; i < field->values.count; i++) {
        struct head_value *value = head_at(head, values[i]);
        MRD_TRY(head_pause(&query->pause, i, HEAD_PAUSE_ITEMS, err));
        bool any = false;
        MRD_TRY(any_overlaps(head, query, &value->series, &any, err));
        if (!any) {
            continue;
        }
        if (names_only) {
            return emit_once(distinct, field->name, head_name_text(head, field->name), err);
        }
        MRD_TRY(emit_once(distinct, value->pair, head_pair_value(head, value->pair), err));
    }
    return MRD_OK;
}

/* The number of a tenant whose index alone answers the query, or 0. */
static uint32_t indexed_tenant(struct mrd_head *head, const struct mrd_head_query *query)
{
    const uint32_t tenant = head_tenant_find(head, query->tenant);
    const bool usable = query->matcher_count == 0 && head_tenant(head, tenant)->indexed != 0;
    return usable ? tenant : 0;
}

enum mrd_status mrd_head_label_names(struct mrd_head *head, const struct mrd_head_query *query,
                                     mrd_head_emit emit, void *context, struct mrd_error *err)
{
    struct distinct distinct = {.count_max = query->series_max, .emit = emit, .context = context};
    const uint32_t tenant = indexed_tenant(head, query);
    enum mrd_status status = MRD_OK;
    if (tenant == 0) {
        status = emit_matched(head, query, 0, &distinct, err);
    }
    mrd_pool_handle at = tenant == 0 ? 0 : head_tenant(head, tenant)->first_field;
    while (at != 0 && status == MRD_OK) {
        status = emit_field(head, query, at, true, &distinct, err);
        const struct head_field *field = head_at(head, at);
        at = field->next;
    }
    head_table_fini(&distinct.seen);
    return status;
}

enum mrd_status mrd_head_label_values(struct mrd_head *head, const struct mrd_head_query *query,
                                      struct mrd_bytes name, mrd_head_emit emit, void *context,
                                      struct mrd_error *err)
{
    struct distinct distinct = {.count_max = query->series_max, .emit = emit, .context = context};
    const mrd_pool_handle handle = head_name_find(head, name);
    if (handle == 0) {
        return MRD_OK;
    }
    const uint32_t tenant = indexed_tenant(head, query);
    enum mrd_status status = MRD_OK;
    if (tenant == 0) {
        status = emit_matched(head, query, handle, &distinct, err);
    } else {
        const mrd_pool_handle field = head_field_find(head, tenant, handle);
        if (field != 0) {
            status = emit_field(head, query, field, false, &distinct, err);
        }
    }
    head_table_fini(&distinct.seen);
    return status;
}

/* ---- cardinality ---- */

/* The series of a list, without those that an erasure has emptied: their labels must not show. */
static enum mrd_status series_of(const struct mrd_head *head, struct head_list *list,
                                 const struct mrd_head_pause *pause, uint64_t *out,
                                 struct mrd_error *err)
{
    *out = list->count;
    if (head->hollow == 0) {
        return MRD_OK;
    }
    const uint32_t *ordinals = head_list_items(head, list);
    uint64_t count = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        MRD_TRY(head_pause(pause, i, HEAD_PAUSE_ITEMS, err));
        count += (head_hot(head, ordinals[i])->open.owner_flags & HOT_LIVE) != 0 &&
                         !head_is_empty(head, ordinals[i])
                     ? 1
                     : 0;
    }
    *out = count;
    return MRD_OK;
}

enum mrd_status mrd_head_tenant_series(struct mrd_head *head, struct mrd_bytes tenant,
                                       const struct mrd_head_pause *pause, uint64_t *out,
                                       struct mrd_error *err)
{
    const uint32_t number = head_tenant_find(head, tenant);
    if (number == 0) {
        *out = 0;
        return MRD_OK;
    }
    return series_of(head, &head_tenant(head, number)->series, pause, out, err);
}

/* Counting is what an index is for: a small tenant that is asked about gets one. */
static void make_index(struct mrd_head *head, uint32_t tenant)
{
    if (!head_tenant(head, tenant)->indexed) {
        head_index_build(head, tenant);
    }
}

enum mrd_status mrd_head_count_by_value(struct mrd_head *head, struct mrd_bytes tenant,
                                        struct mrd_bytes name, const struct mrd_head_pause *pause,
                                        mrd_head_emit_count emit, void *context,
                                        struct mrd_error *err)
{
    const uint32_t number = head_tenant_find(head, tenant);
    const mrd_pool_handle text = head_name_find(head, name);
    if (number == 0 || text == 0) {
        return MRD_OK;
    }
    make_index(head, number);
    const mrd_pool_handle handle = head_field_find(head, number, text);
    if (handle == 0) {
        return MRD_OK;
    }
    struct head_field *field = head_at(head, handle);
    const uint32_t *values = head_list_items(head, &field->values);
    for (uint32_t i = 0; i < field->values.count; i++) {
        struct head_value *value = head_at(head, values[i]);
        uint64_t series_count = 0;
        MRD_TRY(series_of(head, &value->series, pause, &series_count, err));
        if (series_count > 0) {
            emit(context, head_pair_value(head, value->pair), series_count, 1);
        }
        MRD_TRY(head_pause(pause, i, HEAD_PAUSE_ITEMS, err));
    }
    return MRD_OK;
}

enum mrd_status mrd_head_count_by_name(struct mrd_head *head, struct mrd_bytes tenant,
                                       const struct mrd_head_pause *pause, mrd_head_emit_count emit,
                                       void *context, struct mrd_error *err)
{
    const uint32_t number = head_tenant_find(head, tenant);
    if (number == 0) {
        return MRD_OK;
    }
    make_index(head, number);
    for (mrd_pool_handle at = head_tenant(head, number)->first_field; at != 0;) {
        struct head_field *field = head_at(head, at);
        const uint32_t *values = head_list_items(head, &field->values);
        uint64_t series_count = 0;
        uint64_t value_count = 0;
        for (uint32_t i = 0; i < field->values.count; i++) {
            struct head_value *value = head_at(head, values[i]);
            uint64_t series_of_value = 0;
            MRD_TRY(series_of(head, &value->series, pause, &series_of_value, err));
            series_count += series_of_value;
            value_count += series_of_value > 0 ? 1 : 0;
            MRD_TRY(head_pause(pause, i, HEAD_PAUSE_ITEMS, err));
        }
        if (series_count > 0) {
            emit(context, head_name_text(head, field->name), series_count, value_count);
        }
        at = field->next;
    }
    return MRD_OK;
}
