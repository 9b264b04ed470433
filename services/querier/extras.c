#include "querier/extras.h"

#include "querier/remote_ask.h"

/* What comes in. A partition whose answer starts over takes back what it gave. */
struct gather {
    struct mrd_arena *arena;
    struct mrd_buf items;       /* struct qry_exemplar or struct mrd_query_family */
    size_t size;                /* when the present partition began */
    struct mrd_bytes last;      /* labels of the last exemplar's series, in the arena */
    struct mrd_labels last_set; /* the same, decoded */
    enum mrd_status (*read)(struct gather *gather, struct mrd_reader *chunk, struct mrd_error *err);
};

static void gather_fini(struct gather *gather) { mrd_buf_fini(&gather->items); }

static enum mrd_status add_item(struct gather *gather, const void *item, size_t size,
                                struct mrd_error *err)
{
    mrd_buf_append(&gather->items, item, size);
    return gather->items.failed ? mrd_fail(err, MRD_E_LIMIT,
                                           "the answer needs more than %zu bytes of memory "
                                           "(querier.memory_bytes_max)",
                                           gather->items.limit)
                                : MRD_OK;
}

static enum mrd_status copy(struct gather *gather, struct mrd_bytes *bytes, struct mrd_error *err)
{
    *bytes = mrd_arena_copy(gather->arena, *bytes);
    return bytes->data == NULL ? mrd_arena_fail(gather->arena, err) : MRD_OK;
}

/* Exemplars of one series follow each other and share its labels. */
static enum mrd_status read_exemplars(struct gather *gather, struct mrd_reader *chunk,
                                      struct mrd_error *err)
{
    struct mrd_query_exemplar from;
    while (mrd_query_exemplar_read(chunk, &from)) {
        if (gather->last.data == NULL || !mrd_bytes_equal(gather->last, from.series)) {
            gather->last = from.series;
            MRD_TRY(copy(gather, &gather->last, err));
            MRD_TRY(mrd_labels_decode(gather->last, gather->arena, &gather->last_set, err));
        }
        struct qry_exemplar item = {gather->last_set, from.exemplar};
        MRD_TRY(copy(gather, &item.exemplar.labels, err));
        MRD_TRY(add_item(gather, &item, sizeof(item), err));
    }
    return MRD_OK;
}

static enum mrd_status read_families(struct gather *gather, struct mrd_reader *chunk,
                                     struct mrd_error *err)
{
    struct mrd_query_family family;
    while (mrd_query_family_read(chunk, &family)) {
        MRD_TRY(copy(gather, &family.metadata.family, err));
        MRD_TRY(copy(gather, &family.metadata.help, err));
        MRD_TRY(copy(gather, &family.metadata.unit, err));
        MRD_TRY(add_item(gather, &family, sizeof(family), err));
    }
    return MRD_OK;
}

static enum mrd_status gather_event(void *context, const struct qry_fanout_event *event,
                                    struct mrd_error *err)
{
    struct gather *gather = context;
    struct mrd_reader chunk = mrd_reader_of(event->bytes);
    switch (event->kind) {
    case QRY_FANOUT_CHUNK:
        MRD_TRY(gather->read(gather, &chunk, err));
        return chunk.failed ? mrd_fail(err, MRD_E_CORRUPT, "an ingester's answer is malformed")
                            : MRD_OK;
    case QRY_FANOUT_RESTART:
        gather->items.size = gather->size;
        return MRD_OK;
    case QRY_FANOUT_PARTITION:
        gather->size = gather->items.size;
        return MRD_OK;
    case QRY_FANOUT_END:
        break;
    }
    return MRD_OK;
}

/* The gathered items as an array in the arena. */
static enum mrd_status finish(struct gather *gather, size_t item_size, size_t count, void **out,
                              struct mrd_error *err)
{
    *out = mrd_arena_alloc_array(gather->arena, count + 1, item_size);
    if (*out == NULL) {
        return mrd_arena_fail(gather->arena, err);
    }
    if (count > 0) {
        memcpy(*out, gather->items.data, count * item_size);
    }
    return MRD_OK;
}

/* ---- exemplars ---- */

static int compare_exemplars(const void *a, const void *b, void *context)
{
    (void)context;
    const struct qry_exemplar *x = a;
    const struct qry_exemplar *y = b;
    const int series = mrd_labels_compare(x->series, y->series);
    if (series != 0) {
        return series;
    }
    if (x->exemplar.time_ms != y->exemplar.time_ms) {
        return x->exemplar.time_ms < y->exemplar.time_ms ? -1 : 1;
    }
    if (x->exemplar.value < y->exemplar.value || x->exemplar.value > y->exemplar.value) {
        return x->exemplar.value < y->exemplar.value ? -1 : 1;
    }
    return mrd_bytes_compare(x->exemplar.labels, y->exemplar.labels);
}

/* Takes out what several selectors have found. */
static enum mrd_status drop_doubles(struct qry_exemplar *items, size_t *count,
                                    const struct mrd_look *look, struct mrd_error *err)
{
    struct mrd_pace pace = {.look = look};
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++) {
        if (kept == 0 || compare_exemplars(&items[kept - 1], &items[i], NULL) != 0) {
            items[kept++] = items[i];
        }
        MRD_TRY(mrd_pace(&pace, 4, err));
    }
    *count = kept;
    return MRD_OK;
}

enum mrd_status qry_exemplars_read(const struct qry_remote *remote,
                                   const struct qry_selectors *selectors, mrd_time_ms min_ms,
                                   mrd_time_ms max_ms, const struct mrd_query_scope *scope,
                                   struct qry_exemplars *out, struct mrd_error *err)
{
    mrd_auto(gather_fini)
    struct gather gather = {.arena = scope->arena, .read = read_exemplars};
    mrd_buf_init(&gather.items, mrd_arena_limit(scope->arena));
    for (size_t i = 0; i < selectors->count; i++) {
        const struct mrd_query_request request = {
            .kind = MRD_QUERY_EXEMPLARS,
            .tenant = remote->options.tenant,
            .matchers = selectors->sets[i],
            .matcher_count = selectors->counts[i],
            .time_min_ms = MRD_MAX(min_ms, remote->options.floor_ms),
            .time_max_ms = max_ms,
        };
        MRD_TRY(qry_remote_ask(remote, &request, scope, gather_event, &gather, err));
    }
    void *items;
    size_t count = gather.items.size / sizeof(struct qry_exemplar);
    MRD_TRY(finish(&gather, sizeof(struct qry_exemplar), count, &items, err));
    const struct mrd_look look = mrd_query_look(scope->control);
    MRD_TRY(
        mrd_sort(items, count, sizeof(struct qry_exemplar), compare_exemplars, NULL, &look, err));
    MRD_TRY(drop_doubles(items, &count, &look, err));
    *out = (struct qry_exemplars){items, count};
    return MRD_OK;
}

/* ---- metadata ---- */

/* By name, the newest first. */
static int compare_families(const void *a, const void *b, void *context)
{
    (void)context;
    const struct mrd_query_family *x = a;
    const struct mrd_query_family *y = b;
    const int names = mrd_bytes_compare(x->metadata.family, y->metadata.family);
    if (names != 0) {
        return names;
    }
    if (x->hlc != y->hlc) {
        return x->hlc > y->hlc ? -1 : 1;
    }
    return x->origin > y->origin ? -1 : x->origin < y->origin;
}

enum mrd_status qry_families_read(const struct qry_remote *remote, struct mrd_bytes name,
                                  const struct mrd_query_scope *scope, struct qry_families *out,
                                  struct mrd_error *err)
{
    mrd_auto(gather_fini)
    struct gather gather = {.arena = scope->arena, .read = read_families};
    mrd_buf_init(&gather.items, mrd_arena_limit(scope->arena));
    const struct mrd_query_request request = {
        .kind = MRD_QUERY_METADATA, .tenant = remote->options.tenant, .label = name};
    MRD_TRY(qry_remote_ask(remote, &request, scope, gather_event, &gather, err));
    void *memory;
    const size_t given = gather.items.size / sizeof(struct mrd_query_family);
    MRD_TRY(finish(&gather, sizeof(struct mrd_query_family), given, &memory, err));
    struct mrd_query_family *items = memory;
    const struct mrd_look look = mrd_query_look(scope->control);
    MRD_TRY(mrd_sort(items, given, sizeof(*items), compare_families, NULL, &look, err));
    struct mrd_pace pace = {.look = &look};
    size_t count = 0;
    for (size_t i = 0; i < given; i++) {
        MRD_TRY(mrd_pace(&pace, 4, err));
        if (count == 0 ||
            !mrd_bytes_equal(items[count - 1].metadata.family, items[i].metadata.family)) {
            items[count++] = items[i];
        }
    }
    *out = (struct qry_families){items, count};
    return MRD_OK;
}
