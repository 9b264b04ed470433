#include "querier/cardinality.h"

#include "querier/remote_ask.h"

/* What comes in: struct qry_count, the name in the arena. A partition whose answer starts over takes
 * back what it gave. */
struct gather {
    struct mrd_arena *arena;
    struct mrd_buf lists[MRD_QUERY_COUNT_NAMES + 1];
    size_t sizes[MRD_QUERY_COUNT_NAMES + 1]; /* when the present partition began */
    uint64_t series;
    uint64_t chunks;
    mrd_time_ms time_min_ms;
    mrd_time_ms time_max_ms;
};

static void gather_fini(struct gather *gather)
{
    for (size_t i = 0; i < MRD_ARRAY_LEN(gather->lists); i++) {
        mrd_buf_fini(&gather->lists[i]);
    }
}

static enum mrd_status gather_chunk(struct gather *gather, struct mrd_bytes bytes,
                                    struct mrd_error *err)
{
    struct mrd_reader chunk = mrd_reader_of(bytes);
    struct mrd_query_count item;
    while (mrd_query_count_read(&chunk, &item)) {
        const struct qry_count count = {mrd_arena_copy(gather->arena, item.name), item.series};
        if (count.name.data == NULL) {
            return mrd_arena_fail(gather->arena, err);
        }
        mrd_buf_append(&gather->lists[item.list], &count, sizeof(count));
        if (gather->lists[item.list].failed) {
            return mrd_fail(err, MRD_E_LIMIT,
                            "too many label values to count (querier.memory_bytes_max)");
        }
    }
    return chunk.failed ? mrd_fail(err, MRD_E_CORRUPT, "an ingester's list of counts is malformed")
                        : MRD_OK;
}

static void gather_trailer(struct gather *gather, const struct mrd_query_trailer *trailer)
{
    gather->series += trailer->total;
    gather->chunks += trailer->head_chunks;
    if (trailer->head_chunks > 0) {
        gather->time_min_ms = MRD_MIN(gather->time_min_ms, trailer->time_min_ms);
        gather->time_max_ms = MRD_MAX(gather->time_max_ms, trailer->time_max_ms);
    }
}

static enum mrd_status gather_event(void *context, const struct qry_fanout_event *event,
                                    struct mrd_error *err)
{
    struct gather *gather = context;
    struct mrd_query_trailer trailer;
    switch (event->kind) {
    case QRY_FANOUT_CHUNK:
        return gather_chunk(gather, event->bytes, err);
    case QRY_FANOUT_RESTART:
        for (size_t i = 0; i < MRD_ARRAY_LEN(gather->lists); i++) {
            gather->lists[i].size = gather->sizes[i];
        }
        return MRD_OK;
    case QRY_FANOUT_PARTITION:
        for (size_t i = 0; i < MRD_ARRAY_LEN(gather->lists); i++) {
            gather->sizes[i] = gather->lists[i].size;
        }
        if (event->bytes.size > 0) {
            MRD_TRY(mrd_query_trailer_decode(event->bytes, &trailer, err));
            gather_trailer(gather, &trailer);
        }
        return MRD_OK;
    case QRY_FANOUT_END:
        break;
    }
    return MRD_OK;
}

static int compare_names(const void *a, const void *b, void *context)
{
    (void)context;
    return mrd_bytes_compare(((const struct qry_count *)a)->name,
                             ((const struct qry_count *)b)->name);
}

/* Sorts a list, adds up what has the same name, and copies it to the arena. */
static enum mrd_status finish_list(struct gather *gather, struct mrd_buf *list,
                                   const struct mrd_query_scope *scope, struct qry_counts *out,
                                   struct mrd_error *err)
{
    struct qry_count *items = (struct qry_count *)(void *)list->data;
    const size_t given = list->size / sizeof(*items);
    size_t count = 0;
    const struct mrd_look look = mrd_query_look(scope->control);
    MRD_TRY(mrd_sort(items, given, sizeof(*items), compare_names, NULL, &look, err));
    struct mrd_pace pace = {.look = &look};
    for (size_t i = 0; i < given; i++) {
        MRD_TRY(mrd_pace(&pace, 4, err));
        if (count > 0 && mrd_bytes_equal(items[count - 1].name, items[i].name)) {
            items[count - 1].count += items[i].count;
        } else {
            items[count++] = items[i];
        }
    }
    const struct mrd_bytes copy =
        mrd_arena_copy(gather->arena, (struct mrd_bytes){list->data, count * sizeof(*items)});
    *out = (struct qry_counts){(const struct qry_count *)(const void *)copy.data, count};
    return copy.data == NULL ? mrd_arena_fail(gather->arena, err) : MRD_OK;
}

enum mrd_status qry_cardinality_read(const struct qry_remote *remote, struct mrd_bytes label,
                                     const struct mrd_query_scope *scope,
                                     struct qry_cardinality *out, struct mrd_error *err)
{
    mrd_auto(gather_fini)
    struct gather gather = {
        .arena = scope->arena, .time_min_ms = INT64_MAX, .time_max_ms = INT64_MIN};
    for (size_t i = 0; i < MRD_ARRAY_LEN(gather.lists); i++) {
        mrd_buf_init(&gather.lists[i], mrd_arena_limit(scope->arena));
    }
    const struct mrd_query_request request = {
        .kind = MRD_QUERY_CARDINALITY, .tenant = remote->options.tenant, .label = label};
    MRD_TRY(qry_remote_ask(remote, &request, scope, gather_event, &gather, err));
    MRD_TRY(finish_list(&gather, &gather.lists[MRD_QUERY_COUNT_VALUES], scope, &out->values, err));
    MRD_TRY(finish_list(&gather, &gather.lists[MRD_QUERY_COUNT_NAMES], scope, &out->names, err));
    out->series = gather.series;
    out->chunks = gather.chunks;
    out->time_min_ms = gather.time_min_ms;
    out->time_max_ms = gather.time_max_ms;
    return MRD_OK;
}
