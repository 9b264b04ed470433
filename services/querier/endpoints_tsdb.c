/* status/tsdb: what Prometheus tells about its head, of one tenant over all partitions. */
#include "querier/cardinality.h"
#include "querier/endpoints.h"
#include "querier/json.h"
#include "querier/params.h"
#include <inttypes.h>

enum { TSDB_LIMIT_DEFAULT = 10, TSDB_LIMIT_MAX = 10000 };

/* Prometheus' lists of figures; what is kept of each is `limit` or more, sorted at the end. */
struct figures {
    size_t limit;
    struct mrd_arena *arena;
    struct mrd_buf metrics; /* struct qry_count */
    struct mrd_buf values;
    struct mrd_buf memory;
    struct mrd_buf pairs;
    struct qry_cardinality all; /* what it says of the tenant as a whole */
    uint64_t pair_count;
};

static void figures_fini(struct figures *figures)
{
    mrd_buf_fini(&figures->metrics);
    mrd_buf_fini(&figures->values);
    mrd_buf_fini(&figures->memory);
    mrd_buf_fini(&figures->pairs);
}

static int compare_counts(const void *a, const void *b, void *context)
{
    (void)context;
    const struct qry_count *x = a;
    const struct qry_count *y = b;
    if (x->count != y->count) {
        return x->count > y->count ? -1 : 1;
    }
    return mrd_bytes_compare(x->name, y->name);
}

static void append_count(struct mrd_buf *list, struct mrd_bytes name, uint64_t count)
{
    const struct qry_count item = {name, count};
    mrd_buf_append(list, &item, sizeof(item));
}

/* name=value, for the greatest `limit` of the label. */
static enum mrd_status add_pairs(struct figures *figures, struct mrd_bytes name,
                                 const struct qry_counts *sorted, struct mrd_error *err)
{
    for (size_t i = 0; i < sorted->count && i < figures->limit; i++) {
        const struct mrd_bytes value = sorted->items[i].name;
        uint8_t *text = mrd_arena_alloc(figures->arena, name.size + 1 + value.size);
        if (text == NULL) {
            return mrd_arena_fail(figures->arena, err);
        }
        memcpy(text, name.data, name.size);
        text[name.size] = '=';
        memcpy(text + name.size + 1, value.data, value.size);
        append_count(&figures->pairs, (struct mrd_bytes){text, name.size + 1 + value.size},
                     sorted->items[i].count);
    }
    return MRD_OK;
}

/* Adds what the counts of one label's values say. */
static enum mrd_status add_label(const struct qry_call *call, struct figures *figures,
                                 struct mrd_bytes name, struct qry_counts values,
                                 struct mrd_error *err)
{
    const struct mrd_look look = mrd_query_look(&call->control);
    struct mrd_pace pace = {.look = &look};
    uint64_t memory = 0; /* as Prometheus counts it: two bytes beside each name and value */
    for (size_t i = 0; i < values.count; i++) {
        memory += (name.size + values.items[i].name.size + 2) * values.items[i].count;
        MRD_TRY(mrd_pace(&pace, 1, err));
    }
    append_count(&figures->values, name, values.count);
    append_count(&figures->memory, name, memory);
    figures->pair_count += values.count;
    struct qry_count *sorted =
        mrd_arena_alloc_array(figures->arena, values.count + 1, sizeof(*sorted));
    if (sorted == NULL) {
        return mrd_arena_fail(figures->arena, err);
    }
    if (values.count > 0) {
        memcpy(sorted, values.items, values.count * sizeof(*sorted));
        MRD_TRY(mrd_sort(sorted, values.count, sizeof(*sorted), compare_counts, NULL, &look, err));
    }
    if (mrd_bytes_equal(name, MRD_BYTES(MRD_METRIC_NAME))) {
        mrd_buf_append(&figures->metrics, sorted, values.count * sizeof(*sorted));
    }
    const struct qry_counts view = {sorted, values.count};
    return add_pairs(figures, name, &view, err);
}

/* One question for the names, then one for each label. */
static enum mrd_status read_figures(struct qry_call *call, struct figures *figures,
                                    struct mrd_error *err)
{
    const struct mrd_bytes metric_name = MRD_BYTES(MRD_METRIC_NAME);
    struct qry_cardinality first;
    MRD_TRY(qry_cardinality_read(&call->remote, metric_name, &call->scope, &first, err));
    figures->all = first;
    for (size_t i = 0; i < first.names.count; i++) {
        const struct mrd_bytes name = first.names.items[i].name;
        struct qry_cardinality of_label = first;
        MRD_TRY(mrd_query_check(&call->control, err));
        if (!mrd_bytes_equal(name, metric_name)) {
            MRD_TRY(qry_cardinality_read(&call->remote, name, &call->scope, &of_label, err));
        }
        MRD_TRY(add_label(call, figures, name, of_label.values, err));
    }
    return MRD_OK;
}

static enum mrd_status append_list(const struct qry_call *call, const struct figures *figures,
                                   const char *name, struct mrd_buf *list, struct mrd_buf *out,
                                   struct mrd_error *err)
{
    struct qry_count *items = (struct qry_count *)(void *)list->data;
    const size_t count = list->size / sizeof(*items);
    const struct mrd_look look = mrd_query_look(&call->control);
    MRD_TRY(mrd_sort(items, count, sizeof(*items), compare_counts, NULL, &look, err));
    mrd_buf_printf(out, ",\"%s\":[", name);
    for (size_t i = 0; i < count && i < figures->limit; i++) {
        mrd_buf_append_text(out, i == 0 ? "{\"name\":" : ",{\"name\":");
        qry_json_string(items[i].name, out);
        mrd_buf_printf(out, ",\"value\":%" PRIu64 "}", items[i].count);
    }
    mrd_buf_append_u8(out, ']');
    return MRD_OK;
}

static enum mrd_status tsdb_limit(const struct qry_call *call, size_t *out, struct mrd_error *err)
{
    *out = TSDB_LIMIT_DEFAULT;
    const struct mrd_bytes text = qry_param(call, "limit");
    if (text.size > 0 && (qry_limit_parse(text, out, NULL) != MRD_OK || *out < 1)) {
        return mrd_fail(err, MRD_E_INVALID, "limit must be a positive number");
    }
    return *out <= TSDB_LIMIT_MAX
               ? MRD_OK
               : mrd_fail(err, MRD_E_INVALID, "limit must not exceed %d", TSDB_LIMIT_MAX);
}

enum mrd_status qry_answer_tsdb(struct qry_call *call, struct mrd_error *err)
{
    mrd_auto(figures_fini)
    struct figures figures = {.arena = call->arena};
    MRD_TRY(qry_timeout_param(call, err));
    MRD_TRY(tsdb_limit(call, &figures.limit, err));
    call->execution_error = true;
    MRD_TRY(read_figures(call, &figures, err));
    struct mrd_buf *body = &call->sink->body;
    mrd_buf_printf(body,
                   "{\"status\":\"success\",\"data\":{\"headStats\":{\"numSeries\":%" PRIu64
                   ",\"numLabelPairs\":%" PRIu64 ",\"chunkCount\":%" PRIu64 ",\"minTime\":%" PRId64
                   ",\"maxTime\":%" PRId64 "}",
                   figures.all.series, figures.pair_count, figures.all.chunks,
                   figures.all.time_min_ms, figures.all.time_max_ms);
    MRD_TRY(append_list(call, &figures, "seriesCountByMetricName", &figures.metrics, body, err));
    MRD_TRY(append_list(call, &figures, "labelValueCountByLabelName", &figures.values, body, err));
    MRD_TRY(append_list(call, &figures, "memoryInBytesByLabelName", &figures.memory, body, err));
    MRD_TRY(append_list(call, &figures, "seriesCountByLabelValuePair", &figures.pairs, body, err));
    mrd_buf_append_text(body, "}}");
    return MRD_OK;
}
