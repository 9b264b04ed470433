#include "querier/federate.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "base/number.h"
#include "querier/hash_set.h"

/* ---- which format ---- */

struct format {
    bool openmetrics;
    bool
        utf8; /* names beyond the legacy ones are understood, in quotes; else they get underscores */
    const char *content_type;
};

static bool accepts(struct mrd_bytes accept, const char *text)
{
    return accept.size > 0 && memmem(accept.data, accept.size, text, strlen(text)) != NULL;
}

/* Prometheus itself never federates as OpenMetrics; here who asks for it gets it. */
static struct format format_of(struct mrd_bytes accept)
{
    static const char *const types[2][2] = {
        {"text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
         "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8"                  },
        {"application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores",
         "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8"},
    };
    struct format format = {
        .openmetrics = accepts(accept, "application/openmetrics-text"),
        .utf8 = accepts(accept, "escaping=allow-utf-8"),
    };
    format.content_type = types[format.openmetrics][format.utf8];
    return format;
}

/* ---- gathering ---- */

struct item {
    struct mrd_bytes name;
    struct mrd_labels labels; /* in the arena */
    struct mrd_sample sample;
};

struct gather {
    struct mrd_arena *arena;
    struct qry_hash_set seen; /* by several match[] at once */
    struct mrd_buf items;     /* struct item */
};

static void gather_fini(struct gather *gather)
{
    qry_hash_set_fini(&gather->seen);
    mrd_buf_fini(&gather->items);
}

/* Keeps the newest sample of a series that has a name and was not kept before. */
static enum mrd_status keep(struct gather *gather, const struct mrd_source_series *series,
                            struct mrd_error *err)
{
    const size_t count = series->samples.count;
    if (count == 0 || mrd_is_stale(series->samples.values[count - 1]) ||
        mrd_labels_get(series->labels, MRD_BYTES(MRD_METRIC_NAME)).size == 0) {
        return MRD_OK;
    }
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    mrd_labels_encode(series->labels, &bytes);
    if (!qry_hash_set_add(&gather->seen, mrd_hash128(mrd_buf_view(&bytes), 0))) {
        return MRD_OK;
    }
    const struct mrd_bytes copy = mrd_arena_copy(gather->arena, mrd_buf_view(&bytes));
    if (copy.data == NULL) {
        return mrd_arena_fail(gather->arena, err);
    }
    struct item item = {
        .sample = {series->samples.times_ms[count - 1], series->samples.values[count - 1]}
    };
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
        status = keep(gather, &series, err);
        if (status == MRD_OK) {
            status = source->next(set, &series, &more, err);
        }
    }
    source->close(set);
    return status;
}

static int compare_items(const void *a, const void *b)
{
    const struct item *x = a;
    const struct item *y = b;
    const int order = mrd_bytes_compare(x->name, y->name);
    return order != 0 ? order : mrd_labels_compare(x->labels, y->labels);
}

/* ---- printing ---- */

/* A byte of what client_golang calls a legacy name. */
static bool is_legacy(uint8_t c, size_t at, bool colon)
{
    const uint8_t letter = c | 0x20;
    return (letter >= 'a' && letter <= 'z') || c == '_' || (colon && c == ':') ||
           (at > 0 && c >= '0' && c <= '9');
}

static bool is_plain(struct mrd_bytes name, bool colon)
{
    for (size_t i = 0; i < name.size; i++) {
        if (!is_legacy(name.data[i], i, colon)) {
            return false;
        }
    }
    return name.size > 0;
}

static void append_quoted(struct mrd_bytes text, struct mrd_buf *out)
{
    mrd_buf_append_u8(out, '"');
    for (size_t i = 0; i < text.size; i++) {
        const uint8_t c = text.data[i];
        if (c == '\n') {
            mrd_buf_append_text(out, "\\n");
            continue;
        }
        if (c == '"' || c == '\\') {
            mrd_buf_append_u8(out, '\\');
        }
        mrd_buf_append_u8(out, c);
    }
    mrd_buf_append_u8(out, '"');
}

/* One underscore for each character, not byte, that no legacy name has. */
static void append_escaped(struct mrd_bytes name, bool colon, struct mrd_buf *out)
{
    for (size_t i = 0; i < name.size; i++) {
        const uint8_t c = name.data[i];
        if (is_legacy(c, i, colon)) {
            mrd_buf_append_u8(out, c);
        } else if ((c & 0xc0) != 0x80) {
            mrd_buf_append_u8(out, '_');
        }
    }
}

static void append_name(struct mrd_bytes name, bool colon, const struct format *format,
                        struct mrd_buf *out)
{
    if (format->utf8 && !is_plain(name, colon)) {
        append_quoted(name, out);
    } else {
        append_escaped(name, colon, out);
    }
}

static void append_label(struct mrd_bytes name, struct mrd_bytes value, const struct format *format,
                         struct mrd_buf *out)
{
    mrd_buf_append_text(out, out->data[out->size - 1] == '{' ? "" : ",");
    append_name(name, false, format, out);
    mrd_buf_append_u8(out, '=');
    append_quoted(value, out);
}

static void append_labels(const struct item *item, const struct format *format, struct mrd_buf *out)
{
    bool instance = false;
    const bool outside = !format->utf8 || is_plain(item->name, true); /* of the braces */
    if (outside) {
        append_name(item->name, true, format, out);
    }
    mrd_buf_append_u8(out, '{');
    if (!outside) {
        append_quoted(item->name, out);
    }
    for (size_t i = 0; i < item->labels.count; i++) {
        const struct mrd_label *label = &item->labels.items[i];
        if (!mrd_bytes_equal(label->name, MRD_BYTES(MRD_METRIC_NAME))) {
            append_label(label->name, label->value, format, out);
            instance = instance || mrd_bytes_equal(label->name, MRD_BYTES("instance"));
        }
    }
    if (!instance) {
        append_label(MRD_BYTES("instance"), MRD_BYTES_NONE, format, out);
    }
    mrd_buf_append_u8(out, '}');
}

/* OpenMetrics' floats always look like floats. */
static void append_float(double value, bool openmetrics, struct mrd_buf *out)
{
    char text[MRD_DOUBLE_TEXT_MAX];
    const size_t size = mrd_double_format_g(value, text);
    mrd_buf_append_u8(out, ' ');
    mrd_buf_append(out, text, size);
    if (openmetrics && isfinite(value) && strpbrk(text, ".e") == NULL) {
        mrd_buf_append_text(out, ".0");
    }
}

static void append_sample(struct mrd_sample sample, const struct format *format,
                          struct mrd_buf *out)
{
    append_float(sample.value, format->openmetrics, out);
    if (format->openmetrics) {
        append_float((double)sample.time_ms / 1000.0, true, out);
        mrd_buf_append_u8(out, '\n');
    } else {
        mrd_buf_printf(out, " %" PRId64 "\n", sample.time_ms);
    }
}

static void append_type(struct mrd_bytes name, const struct format *format, struct mrd_buf *out)
{
    mrd_buf_append_text(out, "# TYPE ");
    append_name(name, true, format, out);
    mrd_buf_append_text(out, format->openmetrics ? " unknown\n" : " untyped\n");
}

static void print_items(struct qry_call *call, const struct item *items, size_t count,
                        const struct format *format)
{
    struct mrd_buf *out = &call->sink->body;
    for (size_t i = 0; i < count && qry_sink_drain(call->sink); i++) {
        if (i == 0 || !mrd_bytes_equal(items[i].name, items[i - 1].name)) {
            append_type(items[i].name, format, out);
        }
        append_labels(&items[i], format, out);
        append_sample(items[i].sample, format, out);
    }
    if (format->openmetrics) {
        mrd_buf_append_text(out, "# EOF\n");
    }
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
    if (gather->items.size > 0) {
        qsort(gather->items.data, gather->items.size / sizeof(struct item), sizeof(struct item),
              compare_items);
    }
    return MRD_OK;
}

enum mrd_status qry_answer_federate(struct qry_call *call, struct mrd_error *err)
{
    mrd_auto(qry_matcher_sets_fini)
    struct qry_matcher_sets sets = {.count = 0};
    mrd_auto(gather_fini)
    struct gather gather = {.arena = call->arena};
    mrd_buf_init(&gather.items, mrd_arena_limit(call->arena));
    const struct format format = format_of(mrd_http_header(call->request, "Accept"));
    call->sink->content_type = format.content_type;
    MRD_TRY(qry_form_check(call, err));
    MRD_TRY(qry_match_params(call, true, &sets, err));
    call->execution_error = true;
    MRD_TRY(gather_all(call, &gather, &sets, err));
    print_items(call, (const struct item *)(const void *)gather.items.data,
                gather.items.size / sizeof(struct item), &format);
    return MRD_OK;
}
