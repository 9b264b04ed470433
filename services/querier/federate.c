#include "querier/federate.h"

#include "querier/exposition.h"
#include "querier/hash_set.h"

/* ---- gathering ---- */

struct gather {
    struct mrd_arena *arena;
    const struct qry_format *format;
    struct qry_hash_set seen; /* by several match[] at once */
    struct mrd_buf items;     /* struct qry_exposed */
};

static void gather_fini(struct gather *gather)
{
    qry_hash_set_fini(&gather->seen);
    mrd_buf_fini(&gather->items);
}

/* The newest of a series' samples and histograms into *out; false if there is none, or a staleness marker. */
static bool newest_of(const struct mrd_source_series *series, struct qry_exposed *out,
                      const struct mrd_histogram **out_histogram)
{
    const struct mrd_samples *samples = &series->samples;
    const struct mrd_histograms *histograms = &series->histograms;
    const size_t last = samples->count - 1;
    *out_histogram = NULL;
    if (histograms->count > 0 &&
        (samples->count == 0 ||
         histograms->times_ms[histograms->count - 1] > samples->times_ms[last])) {
        *out_histogram = &histograms->items[histograms->count - 1];
        out->time_ms = histograms->times_ms[histograms->count - 1];
        return !mrd_histogram_is_stale(*out_histogram);
    }
    if (samples->count == 0) {
        return false;
    }
    out->time_ms = samples->times_ms[last];
    out->value = samples->values[last];
    return !mrd_is_stale(out->value);
}

/* Keeps the newest of a series that has a name, was not kept before and is known to the format. */
static enum mrd_status keep(struct gather *gather, const struct mrd_source_series *series,
                            struct mrd_error *err)
{
    struct qry_exposed item = {0};
    const struct mrd_histogram *newest = NULL;
    struct mrd_float_histogram *histogram = NULL;
    if (!newest_of(series, &item, &newest) ||
        mrd_labels_get(series->labels, MRD_BYTES(MRD_METRIC_NAME)).size == 0) {
        return MRD_OK;
    }
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    mrd_labels_encode(series->labels, &bytes);
    if (!qry_hash_set_add(&gather->seen, mrd_hash128(mrd_buf_view(&bytes), 0))) {
        return MRD_OK;
    }
    if (newest != NULL) {
        MRD_TRY(mrd_float_histogram_from(newest, gather->arena, &histogram, err));
        item.histogram = histogram;
    }
    if (!qry_exposed_fits(&item, gather->format)) {
        return MRD_OK;
    }
    const struct mrd_bytes copy = mrd_arena_copy(gather->arena, mrd_buf_view(&bytes));
    if (copy.data == NULL) {
        return mrd_arena_fail(gather->arena, err);
    }
    MRD_TRY(mrd_labels_decode(copy, gather->arena, &item.labels, err));
    item.name = mrd_labels_get(item.labels, MRD_BYTES(MRD_METRIC_NAME));
    mrd_buf_append(&gather->items, &item, sizeof(item));
    return gather->items.failed
               ? mrd_fail(err, MRD_E_LIMIT, "too many series (querier.memory_bytes_max)")
               : MRD_OK;
}

static enum mrd_status gather_set(const struct qry_call *call, struct gather *gather,
                                  const struct mrd_select *select, struct mrd_error *err)
{
    const struct mrd_source *source = &call->source;
    struct mrd_source_set *set = NULL;
    MRD_TRY(source->open(source->context, select, &call->scope, &set, err));
    struct mrd_source_series series;
    bool more = true;
    enum mrd_status status = source->next(set, &series, &more, err);
    while (status == MRD_OK && more) {
        status = mrd_query_check(&call->control, err);
        if (status == MRD_OK) {
            status = keep(gather, &series, err);
        }
        if (status == MRD_OK) {
            status = source->next(set, &series, &more, err);
        }
    }
    source->close(set);
    return status;
}

static int compare_items(const void *a, const void *b, void *context)
{
    (void)context;
    const struct qry_exposed *x = a;
    const struct qry_exposed *y = b;
    const int order = mrd_bytes_compare(x->name, y->name);
    return order != 0 ? order : mrd_labels_compare(x->labels, y->labels);
}

/* Whether the second is of the same family: of the same name and type. */
static bool same_family(const struct qry_exposed *a, const struct qry_exposed *b)
{
    return mrd_bytes_equal(a->name, b->name) && qry_exposed_type(a) == qry_exposed_type(b);
}

static void print_items(struct qry_call *call, const struct qry_exposed *items, size_t count,
                        const struct qry_format *format)
{
    struct mrd_buf *out = &call->sink->body;
    for (size_t i = 0; i < count && qry_sink_drain(call->sink); i++) {
        if (i == 0 || !same_family(&items[i], &items[i - 1])) {
            qry_family_head_append(&items[i], format, out);
        }
        qry_exposed_append(&items[i], format, out);
    }
    if (format->kind == QRY_FORMAT_OPENMETRICS) {
        mrd_buf_append_text(out, "# EOF\n");
    }
}

/* Family by family, each with its size in front. Their metrics stay in the call's memory limit. */
static enum mrd_status encode_items(struct qry_call *call, const struct qry_exposed *items,
                                    size_t count, const struct qry_format *format,
                                    struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf metrics;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf metric;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf name = {0};
    mrd_buf_init(&metrics, mrd_arena_limit(call->arena));
    mrd_buf_init(&metric, mrd_arena_limit(call->arena));
    for (size_t i = 0; i < count; i++) {
        MRD_TRY(mrd_query_check(&call->control, err)); /* a family is drained as a whole only */
        mrd_buf_clear(&metric);
        qry_exposed_encode(&items[i], format, &metric);
        mrd_family_metric_append(mrd_buf_view(&metric), &metrics);
        if (metric.failed || metrics.failed) {
            return mrd_fail(err, MRD_E_LIMIT,
                            "one metric family needs more than %zu bytes "
                            "(querier.memory_bytes_max)",
                            metrics.limit);
        }
        if (i + 1 < count && same_family(&items[i], &items[i + 1])) {
            continue;
        }
        mrd_buf_clear(&name);
        qry_name_append(items[i].name, format, &name);
        mrd_family_append(mrd_buf_view(&name), qry_exposed_type(&items[i]), mrd_buf_view(&metrics),
                          &call->sink->body);
        mrd_buf_clear(&metrics);
        if (!qry_sink_drain(call->sink)) {
            return MRD_OK; /* the client has gone */
        }
    }
    return MRD_OK;
}

static enum mrd_status gather_all(const struct qry_call *call, struct gather *gather,
                                  const struct qry_matcher_sets *sets, struct mrd_error *err)
{
    const mrd_time_ms lookback_ms = call->limits.promql.lookback_ms;
    const mrd_time_ms now_ms = qry_now_ms();
    for (size_t i = 0; i < sets->count; i++) {
        if (sets->counts[i] == 0) {
            continue; /* {} finds nothing in Prometheus' storage */
        }
        const struct mrd_select select = {
            .matchers = sets->sets[i],
            .matcher_count = sets->counts[i],
            .min_ms = now_ms - lookback_ms,
            .max_ms = now_ms,
        };
        MRD_TRY(gather_set(call, gather, &select, err));
    }
    const struct mrd_look look = mrd_query_look(&call->control);
    return mrd_sort(gather->items.data, gather->items.size / sizeof(struct qry_exposed),
                    sizeof(struct qry_exposed), compare_items, NULL, &look, err);
}

enum mrd_status qry_answer_federate(struct qry_call *call, struct mrd_error *err)
{
    mrd_auto(qry_matcher_sets_fini)
    struct qry_matcher_sets sets = {.count = 0};
    const struct qry_format format = qry_format_of(mrd_http_header(call->request, "Accept"));
    mrd_auto(gather_fini)
    struct gather gather = {.arena = call->arena, .format = &format};
    mrd_buf_init(&gather.items, mrd_arena_limit(call->arena));
    call->sink->content_type = format.content_type;
    MRD_TRY(qry_form_check(call, err));
    MRD_TRY(qry_timeout_param(call, err));
    MRD_TRY(qry_match_params(call, true, &sets, err));
    call->execution_error = true;
    MRD_TRY(qry_call_open(call, QRY_CALL_CANNOT_WARN, err));
    MRD_TRY(gather_all(call, &gather, &sets, err));
    const struct qry_exposed *items = (const struct qry_exposed *)(const void *)gather.items.data;
    const size_t count = gather.items.size / sizeof(*items);
    if (format.kind == QRY_FORMAT_PROTOBUF) {
        return encode_items(call, items, count, &format, err);
    }
    print_items(call, items, count, &format);
    return MRD_OK;
}
