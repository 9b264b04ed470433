#include "querier/exposition.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "base/number.h"

/* ---- which format ---- */

static bool has(struct mrd_bytes range, const char *text)
{
    return range.size > 0 && memmem(range.data, range.size, text, strlen(text)) != NULL;
}

/* The q of one range of an Accept header: 1 if it says none that can be read. */
static double quality_of(struct mrd_bytes range)
{
    char text[8] = {0};
    for (size_t i = 1; i + 2 < range.size; i++) {
        const uint8_t *at = range.data + i;
        if (memcmp(at, "q=", 2) == 0 && (at[-1] == ';' || at[-1] == ' ')) {
            memcpy(text, at + 2, MRD_MIN(range.size - i - 2, sizeof(text) - 1));
            break;
        }
    }
    return text[0] == '0' ? strtod(text, NULL) : 1;
}

/* The next range of an Accept header. */
static bool next_range(struct mrd_bytes *rest, struct mrd_bytes *out)
{
    if (rest->size == 0) {
        return false;
    }
    const uint8_t *comma = memchr(rest->data, ',', rest->size);
    const size_t size = comma == NULL ? rest->size : (size_t)(comma - rest->data);
    const size_t skipped = MRD_MIN(size + 1, rest->size);
    *out = (struct mrd_bytes){rest->data, size};
    *rest = (struct mrd_bytes){rest->data + skipped, rest->size - skipped};
    return true;
}

static enum qry_format_kind kind_of(struct mrd_bytes range)
{
    if (has(range, "application/vnd.google.protobuf") &&
        has(range, "proto=io.prometheus.client.MetricFamily") && has(range, "encoding=delimited")) {
        return QRY_FORMAT_PROTOBUF;
    }
    return has(range, "application/openmetrics-text") ? QRY_FORMAT_OPENMETRICS : QRY_FORMAT_TEXT;
}

struct qry_format qry_format_of(struct mrd_bytes accept)
{
    static const char *const types[3][2] = {
        {"text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
         "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8"                                       },
        {"application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores",
         "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8"                     },
        {"application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; "
         "encoding=delimited; escaping=underscores",                                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; "
         "encoding=delimited; escaping=allow-utf-8"},
    };
    struct qry_format format = {.utf8 = has(accept, "escaping=allow-utf-8")};
    double best = 0;
    bool openmetrics = false;
    struct mrd_bytes rest = accept;
    for (struct mrd_bytes range; next_range(&rest, &range);) {
        const double quality = quality_of(range);
        const enum qry_format_kind kind = kind_of(range);
        openmetrics = openmetrics || (kind == QRY_FORMAT_OPENMETRICS && quality > 0);
        if (quality > best) {
            best = quality;
            format.kind = kind;
        }
    }
    if (format.kind == QRY_FORMAT_TEXT && openmetrics) {
        format.kind = QRY_FORMAT_OPENMETRICS;
    }
    format.content_type = types[format.kind][format.utf8];
    return format;
}

enum mrd_exposed_type qry_exposed_type(const struct qry_exposed *item)
{
    if (item->histogram == NULL) {
        return MRD_EXPOSED_UNTYPED;
    }
    return item->histogram->reset == MRD_HISTOGRAM_GAUGE ? MRD_EXPOSED_GAUGE_HISTOGRAM
                                                         : MRD_EXPOSED_HISTOGRAM;
}

bool qry_exposed_fits(const struct qry_exposed *item, const struct qry_format *format)
{
    return item->histogram == NULL || format->kind == QRY_FORMAT_PROTOBUF ||
           mrd_float_histogram_is_custom(item->histogram);
}

/* ---- names and labels ---- */

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

static void append_name(struct mrd_bytes name, bool colon, const struct qry_format *format,
                        struct mrd_buf *out)
{
    if (format->utf8 && !is_plain(name, colon)) {
        append_quoted(name, out);
    } else {
        append_escaped(name, colon, out);
    }
}

static void append_label(struct mrd_bytes name, struct mrd_bytes value,
                         const struct qry_format *format, struct mrd_buf *out)
{
    mrd_buf_append_text(out, out->data[out->size - 1] == '{' ? "" : ",");
    append_name(name, false, format, out);
    mrd_buf_append_u8(out, '=');
    append_quoted(value, out);
}

void qry_name_append(struct mrd_bytes name, const struct qry_format *format, struct mrd_buf *out)
{
    if (format->utf8) {
        mrd_buf_append_bytes(out, name);
    } else {
        append_escaped(name, true, out);
    }
}

static bool is_name(struct mrd_bytes name)
{
    return mrd_bytes_equal(name, MRD_BYTES(MRD_METRIC_NAME));
}

/* The name, with what its samples have behind it. */
static void append_sample_name(const struct qry_exposed *item, const char *suffix,
                               const struct qry_format *format, struct mrd_buf *out)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf name = {0};
    mrd_buf_append_bytes(&name, item->name);
    mrd_buf_append_text(&name, suffix);
    append_name(mrd_buf_view(&name), true, format, out);
}

/* `suffix` of the name, and the label le unless it is NULL. */
static void append_labels(const struct qry_exposed *item, const char *suffix, const char *le,
                          const struct qry_format *format, struct mrd_buf *out)
{
    bool instance = false;
    const bool outside = !format->utf8 || is_plain(item->name, true); /* of the braces */
    if (outside) {
        append_sample_name(item, suffix, format, out);
    }
    mrd_buf_append_u8(out, '{');
    if (!outside) {
        append_sample_name(item, suffix, format, out);
    }
    for (size_t i = 0; i < item->labels.count; i++) {
        const struct mrd_label *label = &item->labels.items[i];
        if (!is_name(label->name)) {
            append_label(label->name, label->value, format, out);
            instance = instance || mrd_bytes_equal(label->name, MRD_BYTES("instance"));
        }
    }
    if (!instance) {
        append_label(MRD_BYTES("instance"), MRD_BYTES_NONE, format, out);
    }
    if (le != NULL) {
        append_label(MRD_BYTES("le"), mrd_bytes_of(le), format, out);
    }
    mrd_buf_append_u8(out, '}');
}

/* ---- samples as text ---- */

/* OpenMetrics' floats always look like floats. */
static void float_text(double value, bool openmetrics, char text[MRD_DOUBLE_TEXT_MAX + 2])
{
    const size_t size = mrd_double_format_g(value, text);
    text[size] = 0;
    if (openmetrics && isfinite(value) && strpbrk(text, ".e") == NULL) {
        memcpy(text + size, ".0", 3);
    }
}

static void append_float(double value, const struct qry_format *format, struct mrd_buf *out)
{
    char text[MRD_DOUBLE_TEXT_MAX + 2];
    float_text(value, format->kind == QRY_FORMAT_OPENMETRICS, text);
    mrd_buf_append_u8(out, ' ');
    mrd_buf_append_text(out, text);
}

static void append_value(double value, mrd_time_ms time_ms, const struct qry_format *format,
                         struct mrd_buf *out)
{
    append_float(value, format, out);
    if (format->kind == QRY_FORMAT_OPENMETRICS) {
        append_float((double)time_ms / 1000.0, format, out);
        mrd_buf_append_u8(out, '\n');
    } else {
        mrd_buf_printf(out, " %" PRId64 "\n", time_ms);
    }
}

static void append_bucket(const struct qry_exposed *item, double bound, double below,
                          const struct qry_format *format, struct mrd_buf *out)
{
    char le[MRD_DOUBLE_TEXT_MAX + 2];
    float_text(bound, format->kind == QRY_FORMAT_OPENMETRICS, le);
    append_labels(item, "_bucket", le, format, out);
    append_value(below, item->time_ms, format, out);
}

/* With bounds of its own: as a classic histogram. */
static void append_histogram(const struct qry_exposed *item, const struct qry_format *format,
                             struct mrd_buf *out)
{
    const struct mrd_float_histogram *histogram = item->histogram;
    const struct mrd_float_buckets *buckets = &histogram->positive;
    const bool gauge = format->kind == QRY_FORMAT_OPENMETRICS &&
                       qry_exposed_type(item) == MRD_EXPOSED_GAUGE_HISTOGRAM;
    double below = 0;
    for (size_t i = 0, at = 0; i < histogram->custom_value_count; i++) {
        if (at < buckets->count && (size_t)buckets->indexes[at] == i) {
            below += buckets->counts[at++];
        }
        append_bucket(item, histogram->custom_values[i], below, format, out);
    }
    append_bucket(item, INFINITY, histogram->count, format, out);
    append_labels(item, gauge ? "_gsum" : "_sum", NULL, format, out);
    append_value(histogram->sum, item->time_ms, format, out);
    append_labels(item, gauge ? "_gcount" : "_count", NULL, format, out);
    append_value(histogram->count, item->time_ms, format, out);
}

void qry_family_head_append(const struct qry_exposed *item, const struct qry_format *format,
                            struct mrd_buf *out)
{
    const bool openmetrics = format->kind == QRY_FORMAT_OPENMETRICS;
    const enum mrd_exposed_type type = qry_exposed_type(item);
    mrd_buf_append_text(out, "# TYPE ");
    append_name(item->name, true, format, out);
    if (type == MRD_EXPOSED_UNTYPED) {
        mrd_buf_append_text(out, openmetrics ? " unknown\n" : " untyped\n");
    } else if (type == MRD_EXPOSED_GAUGE_HISTOGRAM && openmetrics) {
        mrd_buf_append_text(out, " gaugehistogram\n");
    } else {
        mrd_buf_append_text(out, " histogram\n");
    }
}

void qry_exposed_append(const struct qry_exposed *item, const struct qry_format *format,
                        struct mrd_buf *out)
{
    if (item->histogram != NULL) {
        append_histogram(item, format, out);
        return;
    }
    append_labels(item, "", NULL, format, out);
    append_value(item->value, item->time_ms, format, out);
}

/* ---- samples as protobuf ---- */

static void encode_label(struct mrd_bytes name, struct mrd_bytes value,
                         const struct qry_format *format, struct mrd_buf *out)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf escaped = {0};
    if (!format->utf8) {
        append_escaped(name, false, &escaped);
        name = mrd_buf_view(&escaped);
    }
    mrd_metric_label_append(name, value, out);
}

void qry_exposed_encode(const struct qry_exposed *item, const struct qry_format *format,
                        struct mrd_buf *out)
{
    bool instance = false;
    for (size_t i = 0; i < item->labels.count; i++) {
        const struct mrd_label *label = &item->labels.items[i];
        if (!is_name(label->name)) {
            encode_label(label->name, label->value, format, out);
            instance = instance || mrd_bytes_equal(label->name, MRD_BYTES("instance"));
        }
    }
    if (!instance) {
        encode_label(MRD_BYTES("instance"), MRD_BYTES_NONE, format, out);
    }
    if (item->histogram == NULL) {
        mrd_metric_value_append(item->time_ms, item->value, out);
    } else {
        mrd_metric_histogram_append(item->time_ms, item->histogram, out);
    }
}
