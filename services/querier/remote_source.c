#include "querier/remote_source.h"

#include <stdlib.h>

#include "bus/log_admin.h"
#include "model/series_order.h"
#include "querier/remote_ask.h"
#include "querier/remote_source_internal.h"

enum {
    LABELS_BYTES_MAX = 1 << 20,
    LOG_ENDS_TIMEOUT_MS = 2000,
    HISTOGRAMS_SHARE = 4, /* one in so many bytes of a query's memory, for those of one series */
};

/* ---- selects ---- */

void qry_set_close(struct mrd_source_set *set)
{
    qry_fragment_close(&set->fragment);
    qry_fanout_destroy(&set->fanout);
    qry_hash_set_fini(&set->seen);
    mrd_buf_fini(&set->label_bytes);
    mrd_columns_fini(&set->columns);
    mrd_arena_destroy(&set->labels);
    mrd_arena_destroy(&set->resumed_labels);
    mrd_buf_fini(&set->last_bytes);
    for (size_t i = 0; i < MRD_ARRAY_LEN(set->resumed_frames); i++) {
        mrd_buf_fini(&set->resumed_frames[i]);
        mrd_arena_destroy(&set->resumed_arenas[i]);
    }
    free(set);
}

enum mrd_status qry_set_open(const struct qry_remote *remote, const struct mrd_select *select,
                             const struct mrd_query_scope *scope, uint32_t partition_first,
                             struct mrd_source_set **out_set, struct mrd_error *err)
{
    const mrd_time_ms min_ms = qry_remote_min_ms(remote, select);
    const mrd_time_ms before_ms = qry_remote_before_ms(remote, select);
    const struct mrd_query_request request = {
        .kind = MRD_QUERY_SELECT,
        .in_order = remote->options.in_order,
        .tenant = remote->options.tenant,
        .matchers = select->matchers,
        .matcher_count = select->matcher_count,
        .time_min_ms = min_ms,
        .time_max_ms = select->max_ms,
        .histograms_before_ms = before_ms,
        .series_max = remote->options.series_max,
    };
    struct mrd_source_set *set = calloc(1, sizeof(*set));
    mrd_assert(set != NULL);
    set->remote = remote;
    set->min_ms = min_ms;
    set->max_ms = select->max_ms;
    mrd_buf_init(&set->label_bytes, LABELS_BYTES_MAX);
    set->labels = mrd_arena_create("labels of one series", 4 * LABELS_BYTES_MAX);
    set->columns.samples_limit = remote->options.samples_max;
    set->columns.look = mrd_query_look(scope->control);
    set->columns.histograms_before_ms = before_ms;
    set->columns.histogram_bytes_max =
        mrd_arena_limit(scope->arena) / HISTOGRAMS_SHARE; /* beside what the query keeps */
    struct qry_fanout_options options = qry_remote_fanout(remote, &request, scope);
    options.partition_first = partition_first;
    const enum mrd_status status = qry_fanout_create(&options, &set->fanout, err);
    if (status != MRD_OK) {
        qry_set_close(set);
        return status;
    }
    *out_set = set;
    return MRD_OK;
}

static enum mrd_status source_open(void *context, const struct mrd_select *select,
                                   const struct mrd_query_scope *scope,
                                   struct mrd_source_set **out_set, struct mrd_error *err)
{
    const struct qry_remote *remote = context;
    mrd_counter_add(remote->options.cluster->selects_plain, 1);
    return qry_set_open(remote, select, scope, 0, out_set, err);
}

static struct mrd_id128 labels_hash(struct mrd_bytes labels) { return mrd_hash128(labels, 0); }

/* The answer of the present partition starts over. What has not been yielded and yet comes before what was, the first replica
 * did not have: it is left out, or series would be out of order (promql/series_merge.h). */
static enum mrd_status resume(struct mrd_source_set *set, struct mrd_error *err)
{
    set->building = false; /* its frames come again */
    set->resumed_any = false;
    if (!set->remote->options.in_order || set->seen.count == 0) {
        return MRD_OK;
    }
    if (set->resumed_labels == NULL) {
        set->resumed_labels = mrd_arena_create("labels of a series", 4 * LABELS_BYTES_MAX);
    }
    mrd_arena_reset(set->resumed_labels);
    MRD_TRY(mrd_labels_decode(mrd_buf_view(&set->last_bytes), set->resumed_labels, &set->resumed_at,
                              err));
    set->resumed = true;
    return MRD_OK;
}

/* Reads the labels of the held frame, and demands that they come after those before. */
static enum mrd_status resumed_frame(struct mrd_source_set *set, struct mrd_labels *out,
                                     struct mrd_error *err)
{
    struct mrd_buf *bytes = &set->resumed_frames[set->resumed_turn ^= 1];
    struct mrd_arena **arena = &set->resumed_arenas[set->resumed_turn];
    if (*arena == NULL) {
        *arena = mrd_arena_create("labels of a series", 4 * LABELS_BYTES_MAX);
    }
    mrd_buf_clear(bytes);
    mrd_buf_append_bytes(bytes, set->frame.labels);
    mrd_arena_reset(*arena);
    MRD_TRY(mrd_labels_decode(mrd_buf_view(bytes), *arena, out, err));
    if (set->resumed_any && mrd_series_order(set->resumed_last, *out) >= 0) {
        return mrd_fail(err, MRD_E_UNAVAILABLE,
                        "an ingester that took over yields series in no order: it is older than "
                        "this querier, upgrade it");
    }
    set->resumed_any = true;
    set->resumed_last = *out;
    return MRD_OK;
}

static enum mrd_status is_skipped(struct mrd_source_set *set, bool *out_skipped,
                                  struct mrd_error *err)
{
    struct mrd_labels labels;
    *out_skipped = qry_hash_set_has(&set->seen, labels_hash(set->frame.labels));
    if (!set->resumed) {
        return MRD_OK;
    }
    MRD_TRY(resumed_frame(set, &labels, err));
    *out_skipped |= mrd_series_order(labels, set->resumed_at) <= 0;
    return MRD_OK;
}

/* Starts to put the series of the held frame together. */
static enum mrd_status begin_series(struct mrd_source_set *set, struct mrd_error *err)
{
    mrd_buf_clear(&set->label_bytes);
    mrd_buf_append_bytes(&set->label_bytes, set->frame.labels);
    MRD_TRY(is_skipped(set, &set->skipping, err));
    set->building = true;
    mrd_columns_begin(&set->columns);
    return MRD_OK;
}

static enum mrd_status add_frame(struct mrd_source_set *set, struct mrd_error *err)
{
    set->frame_held = false;
    if (set->skipping) {
        return MRD_OK;
    }
    const size_t samples_max = set->remote->options.samples_max;
    return mrd_columns_add(
        &set->columns, &set->frame,
        samples_max == 0 ? SIZE_MAX : samples_max - MRD_MIN(set->sample_count, samples_max), err);
}

/* The series is complete: counts it and fills *out, unless it was skipped or has no sample. */
static enum mrd_status finish_series(struct mrd_source_set *set, struct mrd_source_series *out,
                                     bool *out_yield, struct mrd_error *err)
{
    set->building = false;
    *out_yield = false;
    if (set->skipping) {
        return MRD_OK;
    }
    MRD_TRY(mrd_columns_finish(&set->columns, set->min_ms, set->max_ms, &out->samples,
                               &out->histograms, err));
    const struct qry_remote_options *options = &set->remote->options;
    set->sample_count += out->samples.count + set->columns.histograms.weight;
    if (options->series_max != 0 && ++set->series_count > options->series_max) {
        return mrd_fail(err, MRD_E_LIMIT,
                        "a selector finds more than %zu series (querier.series_max)",
                        options->series_max);
    }
    (void)qry_hash_set_add(&set->seen, labels_hash(mrd_buf_view(&set->label_bytes)));
    mrd_arena_reset(set->labels);
    MRD_TRY(mrd_labels_decode(mrd_buf_view(&set->label_bytes), set->labels, &out->labels, err));
    if (set->remote->options.in_order) {
        set->resumed = false; /* it was passed */
        mrd_buf_clear(&set->last_bytes);
        mrd_buf_append_bytes(&set->last_bytes, mrd_buf_view(&set->label_bytes));
    }
    out->segment = set->partition;
    *out_yield = out->samples.count + out->histograms.count > 0;
    return MRD_OK;
}

/* Gets the next frame of the present partition into set->frame, or sees that the series being built
 * is complete because its partition is (out_partition_done), or that all is (out_end). */
static enum mrd_status fetch_frame(struct mrd_source_set *set, bool *out_partition_done,
                                   bool *out_end, struct mrd_error *err)
{
    *out_partition_done = false;
    *out_end = false;
    while (mrd_reader_left(&set->chunk) == 0) {
        struct qry_fanout_event event;
        MRD_TRY(qry_fanout_next(set->fanout, &event, err));
        set->partition = event.partition;
        switch (event.kind) {
        case QRY_FANOUT_CHUNK:
            set->chunk = mrd_reader_of(event.bytes);
            break;
        case QRY_FANOUT_RESTART:
            MRD_TRY(resume(set, err));
            break;
        case QRY_FANOUT_PARTITION:
            *out_partition_done = true;
            return MRD_OK;
        case QRY_FANOUT_END:
            *out_end = true;
            return MRD_OK;
        }
    }
    MRD_TRY(mrd_frame_read(&set->chunk, &set->frame, err));
    set->frame_held = true;
    return MRD_OK;
}

enum mrd_status qry_set_next(struct mrd_source_set *set, struct mrd_source_series *out,
                             bool *out_more, struct mrd_error *err)
{
    for (;;) {
        if (set->partition_over) {
            set->partition_over = false;
            *out_more = false;
            return MRD_OK;
        }
        bool partition_done = false;
        bool end = false;
        bool yield = false;
        if (!set->frame_held) {
            MRD_TRY(fetch_frame(set, &partition_done, &end, err));
        }
        const bool complete =
            set->building && (partition_done ||
                              !mrd_bytes_equal(set->frame.labels, mrd_buf_view(&set->label_bytes)));
        if (complete) {
            MRD_TRY(finish_series(set, out, &yield, err));
        }
        if (partition_done) {
            qry_hash_set_clear(&set->seen); /* other partitions hold other series */
            set->resumed = false;
            set->resumed_any = false;
            set->partition_over = set->stops_at_partitions;
        }
        if (yield || end) {
            *out_more = yield;
            return MRD_OK;
        }
        if (set->frame_held) {
            if (!set->building) {
                MRD_TRY(begin_series(set, err));
            }
            MRD_TRY(add_frame(set, err));
        }
    }
}

/* ---- names, values and series for the API ---- */

/* Reads one rpc chunk of an answer into the gathering; what was gathered before may come again. */
struct gather {
    struct qry_hash_set seen;
    struct mrd_arena *arena;
    struct mrd_buf items; /* struct mrd_bytes, or struct mrd_labels */
    enum mrd_status (*read)(struct gather *gather, struct mrd_reader *chunk, struct mrd_error *err);
};

static void gather_fini(struct gather *gather)
{
    qry_hash_set_fini(&gather->seen);
    mrd_buf_fini(&gather->items);
}

static enum mrd_status gather_text(struct gather *gather, struct mrd_reader *chunk,
                                   struct mrd_error *err)
{
    struct mrd_bytes text;
    while (mrd_query_text_read(chunk, &text)) {
        if (!qry_hash_set_add(&gather->seen, labels_hash(text))) {
            continue;
        }
        const struct mrd_bytes copy = mrd_arena_copy(gather->arena, text);
        if (copy.data == NULL) {
            return mrd_arena_fail(gather->arena, err);
        }
        mrd_buf_append(&gather->items, &copy, sizeof(copy));
    }
    return chunk->failed ? mrd_fail(err, MRD_E_CORRUPT, "an ingester's list of texts is malformed")
                         : MRD_OK;
}

static enum mrd_status gather_series(struct gather *gather, struct mrd_reader *chunk,
                                     struct mrd_error *err)
{
    while (mrd_reader_left(chunk) > 0) {
        struct mrd_frame frame;
        MRD_TRY(mrd_frame_read(chunk, &frame, err));
        if (!qry_hash_set_add(&gather->seen, labels_hash(frame.labels))) {
            continue;
        }
        const struct mrd_bytes copy = mrd_arena_copy(gather->arena, frame.labels);
        if (copy.data == NULL) {
            return mrd_arena_fail(gather->arena, err);
        }
        struct mrd_labels labels;
        MRD_TRY(mrd_labels_decode(copy, gather->arena, &labels, err));
        mrd_buf_append(&gather->items, &labels, sizeof(labels));
    }
    return MRD_OK;
}

static enum mrd_status gather_event(void *context, const struct qry_fanout_event *event,
                                    struct mrd_error *err)
{
    struct gather *gather = context;
    struct mrd_reader chunk = mrd_reader_of(event->bytes);
    return event->kind == QRY_FANOUT_CHUNK ? gather->read(gather, &chunk, err) : MRD_OK;
}

/* Asks once per matcher set (or once for all series): the answers are a union. */
static enum mrd_status gather_all(const struct qry_remote *remote, struct gather *gather,
                                  struct mrd_query_request *request,
                                  const struct mrd_label_query *query,
                                  const struct mrd_query_scope *scope, struct mrd_error *err)
{
    if (query->max_ms < remote->options.floor_ms) {
        return MRD_OK;
    }
    request->tenant = remote->options.tenant;
    request->time_min_ms = MRD_MAX(query->min_ms, remote->options.floor_ms);
    request->time_max_ms = query->max_ms;
    request->series_max = remote->options.series_max;
    for (size_t i = 0; i < query->matcher_set_count; i++) {
        request->matchers = query->matcher_sets[i];
        request->matcher_count = query->matcher_counts[i];
        MRD_TRY(qry_remote_ask(remote, request, scope, gather_event, gather, err));
    }
    return query->matcher_set_count == 0
               ? qry_remote_ask(remote, request, scope, gather_event, gather, err)
               : MRD_OK;
}

static int compare_texts(const void *a, const void *b, void *context)
{
    (void)context;
    return mrd_bytes_compare(*(const struct mrd_bytes *)a, *(const struct mrd_bytes *)b);
}

static int compare_label_sets(const void *a, const void *b, void *context)
{
    (void)context;
    return mrd_labels_compare(*(const struct mrd_labels *)a, *(const struct mrd_labels *)b);
}

/* Sorts the gathered items and copies them to the arena, cut at the limit. */
static enum mrd_status gather_finish(struct gather *gather, size_t item_size, size_t limit,
                                     mrd_order *compare, const struct mrd_query_scope *scope,
                                     struct mrd_bytes *out, bool *out_truncated,
                                     struct mrd_error *err)
{
    size_t count = gather->items.size / item_size;
    const struct mrd_look look = mrd_query_look(scope->control);
    MRD_TRY(mrd_sort(gather->items.data, count, item_size, compare, NULL, &look, err));
    *out_truncated = limit != 0 && count > limit;
    count = *out_truncated ? limit : count;
    *out = mrd_arena_copy(gather->arena, (struct mrd_bytes){gather->items.data, count * item_size});
    return out->data == NULL ? mrd_arena_fail(gather->arena, err) : MRD_OK;
}

static enum mrd_status gather_texts(const struct qry_remote *remote,
                                    struct mrd_query_request *request,
                                    const struct mrd_label_query *query,
                                    const struct mrd_query_scope *scope, struct mrd_texts *out,
                                    struct mrd_error *err)
{
    mrd_auto(gather_fini)
    struct gather gather = {.arena = scope->arena, .read = gather_text};
    MRD_TRY(gather_all(remote, &gather, request, query, scope, err));
    struct mrd_bytes items;
    MRD_TRY(gather_finish(&gather, sizeof(struct mrd_bytes), query->limit, compare_texts, scope,
                          &items, &out->truncated, err));
    out->items = (const struct mrd_bytes *)(const void *)items.data;
    out->count = items.size / sizeof(struct mrd_bytes);
    return MRD_OK;
}

static enum mrd_status source_label_names(void *context, const struct mrd_label_query *query,
                                          const struct mrd_query_scope *scope,
                                          struct mrd_texts *out, struct mrd_error *err)
{
    struct mrd_query_request request = {.kind = MRD_QUERY_LABEL_NAMES};
    return gather_texts(context, &request, query, scope, out, err);
}

static enum mrd_status source_label_values(void *context, struct mrd_bytes name,
                                           const struct mrd_label_query *query,
                                           const struct mrd_query_scope *scope,
                                           struct mrd_texts *out, struct mrd_error *err)
{
    struct mrd_query_request request = {.kind = MRD_QUERY_LABEL_VALUES, .label = name};
    return gather_texts(context, &request, query, scope, out, err);
}

static enum mrd_status source_series(void *context, const struct mrd_label_query *query,
                                     const struct mrd_query_scope *scope,
                                     struct mrd_label_sets *out, struct mrd_error *err)
{
    struct mrd_query_request request = {.kind = MRD_QUERY_SERIES};
    mrd_auto(gather_fini)
    struct gather gather = {.arena = scope->arena, .read = gather_series};
    MRD_TRY(gather_all(context, &gather, &request, query, scope, err));
    struct mrd_bytes items;
    MRD_TRY(gather_finish(&gather, sizeof(struct mrd_labels), query->limit, compare_label_sets,
                          scope, &items, &out->truncated, err));
    out->items = (const struct mrd_labels *)(const void *)items.data;
    out->count = items.size / sizeof(struct mrd_labels);
    return MRD_OK;
}

struct mrd_source qry_remote_source(struct qry_remote *remote)
{
    return (struct mrd_source){
        .context = remote,
        .open = source_open,
        .next = qry_set_next,
        .open_fragment = qry_fragment_open,
        .next_states = qry_fragment_next,
        .close = qry_set_close,
        .label_names = source_label_names,
        .label_values = source_label_values,
        .series = source_series,
    };
}

enum mrd_status qry_remote_log_end(const struct qry_cluster *cluster,
                                   const struct mrd_query_control *control, struct mrd_arena *arena,
                                   const uint64_t **out_sequences, const uint64_t **out_logs,
                                   struct mrd_error *err)
{
    uint64_t *sequences =
        mrd_arena_alloc_array(arena, cluster->partition_count, sizeof(*sequences));
    uint64_t *logs = mrd_arena_alloc_array(arena, cluster->partition_count, sizeof(*logs));
    if (sequences == NULL || logs == NULL) {
        return mrd_arena_fail(arena, err);
    }
    const struct mrd_look look = mrd_query_look(control);
    struct mrd_log_end *ends =
        mrd_arena_alloc_array(arena, cluster->partition_count, sizeof(*ends));
    if (ends == NULL) {
        return mrd_arena_fail(arena, err);
    }
    MRD_TRY(mrd_log_ends_read(cluster->bus, cluster->partition_count, LOG_ENDS_TIMEOUT_MS, &look,
                              ends, err));
    for (uint32_t p = 0; p < cluster->partition_count; p++) {
        sequences[p] = ends[p].sequence_last;
        logs[p] = mrd_log_identity_tag(ends[p].identity);
    }
    *out_sequences = sequences;
    *out_logs = logs;
    return MRD_OK;
}
