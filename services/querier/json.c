#include "querier/json.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/number.h"

enum {
    ANNOTATIONS_SHOWN_MAX = 10,
    POINTS_PER_DRAIN = 64,
    HISTOGRAMS_PER_DRAIN = 2,
    TIME_TEXT_MAX = 24
};

/* False: stop, nobody wants the rest. */
static bool drain(const struct qry_json_extra *extra)
{
    return extra == NULL || extra->drain == NULL || extra->drain(extra->drain_context);
}

/* Length of the well-formed UTF-8 sequence at the front of text, or 0. */
static size_t sequence_size(struct mrd_bytes text)
{
    for (size_t size = 1; size <= 4 && size <= text.size; size++) {
        if (mrd_bytes_utf8_valid((struct mrd_bytes){text.data, size})) {
            return size;
        }
    }
    return 0;
}

static void append_control(uint8_t c, struct mrd_buf *out)
{
    switch (c) {
    case '\n':
        mrd_buf_append_text(out, "\\n");
        break;
    case '\r':
        mrd_buf_append_text(out, "\\r");
        break;
    case '\t':
        mrd_buf_append_text(out, "\\t");
        break;
    default:
        mrd_buf_printf(out, "\\u%04x", c);
    }
}

/* Whether a byte stands for itself. Go's JSON escapes what HTML would take for markup, but not in labels. */
static bool is_plain(uint8_t c, bool html)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\' &&
           !(html && (c == '<' || c == '>' || c == '&'));
}

static void append_escaped(uint8_t c, struct mrd_buf *out)
{
    if (c == '"' || c == '\\') {
        mrd_buf_append_u8(out, '\\');
        mrd_buf_append_u8(out, c);
    } else if (c < 0x80) {
        append_control(c, out);
    } else {
        mrd_buf_append_text(out, "\\ufffd");
    }
}

/* U+2028 and U+2029, which JavaScript once took for line ends. */
static bool is_separator(const uint8_t *at, size_t size)
{
    return size == 3 && at[0] == 0xe2 && at[1] == 0x80 && (at[2] & 0xfe) == 0xa8;
}

static void append_string(struct mrd_bytes text, bool html, struct mrd_buf *out)
{
    mrd_buf_append_u8(out, '"');
    size_t plain = 0; /* start of the run that needs no escape */
    size_t at = 0;
    while (at < text.size) {
        const uint8_t c = text.data[at];
        if (is_plain(c, html)) {
            at++;
            continue;
        }
        const size_t size =
            c < 0x80 ? 1 : sequence_size((struct mrd_bytes){text.data + at, text.size - at});
        const bool separator = html && is_separator(text.data + at, size);
        if (size > 1 && !separator) {
            at += size;
            continue;
        }
        mrd_buf_append(out, text.data + plain, at - plain);
        if (separator) {
            mrd_buf_printf(out, "\\u202%c", text.data[at + 2] == 0xa8 ? '8' : '9');
        } else {
            append_escaped(c, out);
        }
        at += size > 1 ? size : 1;
        plain = at;
    }
    if (at > plain) { /* an empty text may have no address to add to */
        mrd_buf_append(out, text.data + plain, at - plain);
    }
    mrd_buf_append_u8(out, '"');
}

void qry_json_string(struct mrd_bytes text, struct mrd_buf *out) { append_string(text, true, out); }

/* Seconds; the fraction, if there is one, with three digits or without the zeros at its end. Returns where the text begins in the
 * buffer, at whose end it ends. By hand: printf was most of what a point cost. */
static char *format_time(mrd_time_ms time_ms, bool shortest, char text[TIME_TEXT_MAX])
{
    const uint64_t size = time_ms < 0 ? -(uint64_t)time_ms : (uint64_t)time_ms;
    char *at = text + TIME_TEXT_MAX;
    uint64_t fraction = size % 1000;
    if (fraction != 0) {
        int digits = 3;
        for (; shortest && fraction % 10 == 0; digits--) {
            fraction /= 10;
        }
        for (; digits > 0; digits--) {
            *--at = (char)('0' + fraction % 10);
            fraction /= 10;
        }
        *--at = '.';
    }
    uint64_t seconds = size / 1000;
    do {
        *--at = (char)('0' + seconds % 10);
        seconds /= 10;
    } while (seconds > 0);
    if (time_ms < 0) {
        *--at = '-';
    }
    return at;
}

static void append_time(mrd_time_ms time_ms, bool shortest, struct mrd_buf *out)
{
    char text[TIME_TEXT_MAX];
    const char *at = format_time(time_ms, shortest, text);
    mrd_buf_append(out, at, (size_t)(text + TIME_TEXT_MAX - at));
}

void qry_json_time(mrd_time_ms time_ms, struct mrd_buf *out) { append_time(time_ms, false, out); }

static void append_point(mrd_time_ms time_ms, double value, struct mrd_buf *out)
{
    char text[MRD_DOUBLE_TEXT_MAX];
    mrd_buf_append_u8(out, '[');
    qry_json_time(time_ms, out);
    mrd_buf_append(out, ",\"", 2);
    mrd_buf_append(out, text, mrd_double_format_json(value, text));
    mrd_buf_append(out, "\"]", 2);
}

/* Scalars are printed by Go's own JSON: no exponents, no zeros at the end of the time. */
static void append_scalar(struct mrd_sample scalar, struct mrd_buf *out)
{
    char text[MRD_DOUBLE_TEXT_MAX];
    mrd_buf_append_u8(out, '[');
    append_time(scalar.time_ms, true, out);
    mrd_buf_append_text(out, ",\"");
    mrd_buf_append(out, text, mrd_double_format_f(scalar.value, text));
    mrd_buf_append_text(out, "\"]");
}

void qry_json_labels(struct mrd_labels labels, struct mrd_buf *out)
{
    mrd_buf_append_u8(out, '{');
    for (size_t i = 0; i < labels.count; i++) {
        if (i > 0) {
            mrd_buf_append_u8(out, ',');
        }
        append_string(labels.items[i].name, false, out);
        mrd_buf_append_u8(out, ':');
        append_string(labels.items[i].value, false, out);
    }
    mrd_buf_append_u8(out, '}');
}

static void append_quoted_double(double value, struct mrd_buf *out)
{
    char text[MRD_DOUBLE_TEXT_MAX];
    const size_t size = mrd_double_format_json(value, text);
    mrd_buf_append_u8(out, '"');
    mrd_buf_append(out, text, size);
    mrd_buf_append_u8(out, '"');
}

/* [rule,"lower","upper","count"]; which ends belong to the bucket: 0 the upper, 1 the lower, 2 neither,
 * 3 both. */
static void append_bucket(const struct mrd_float_bucket *bucket, struct mrd_buf *out)
{
    int rule = 2;
    if (bucket->lower_inclusive) {
        rule = bucket->upper_inclusive ? 3 : 1;
    } else if (bucket->upper_inclusive) {
        rule = 0;
    }
    mrd_buf_printf(out, "[%d,", rule);
    append_quoted_double(bucket->lower, out);
    mrd_buf_append_u8(out, ',');
    append_quoted_double(bucket->upper, out);
    mrd_buf_append_u8(out, ',');
    append_quoted_double(bucket->count, out);
    mrd_buf_append_u8(out, ']');
}

/* [time,{"count":"..","sum":"..","buckets":[..]}], empty buckets left out. */
static void append_histogram_point(mrd_time_ms time_ms, const struct mrd_float_histogram *histogram,
                                   struct mrd_buf *out)
{
    const size_t total = mrd_float_histogram_bucket_count(histogram);
    bool any = false;
    mrd_buf_append_u8(out, '[');
    qry_json_time(time_ms, out);
    mrd_buf_append_text(out, ",{\"count\":");
    append_quoted_double(histogram->count, out);
    mrd_buf_append_text(out, ",\"sum\":");
    append_quoted_double(histogram->sum, out);
    for (size_t i = 0; i < total && !out->failed; i++) {
        const struct mrd_float_bucket bucket = mrd_float_histogram_bucket(histogram, i);
        if (bucket.count != 0) {
            mrd_buf_append_text(out, any ? "," : ",\"buckets\":[");
            append_bucket(&bucket, out);
            any = true;
        }
    }
    mrd_buf_append_text(out, any ? "]}]" : "}]");
}

static const struct mrd_float_histogram *histogram_at(const struct mrd_promql_series *series,
                                                      size_t i)
{
    return series->histograms == NULL ? NULL : series->histograms[i];
}

static void append_vector_series(const struct mrd_promql_series *series, struct mrd_buf *out)
{
    mrd_buf_append_text(out, "{\"metric\":");
    qry_json_labels(series->labels, out);
    if (histogram_at(series, 0) != NULL) {
        mrd_buf_append_text(out, ",\"histogram\":");
        append_histogram_point(series->times_ms[0], histogram_at(series, 0), out);
    } else {
        mrd_buf_append_text(out, ",\"value\":");
        append_point(series->times_ms[0], series->values[0], out);
    }
    mrd_buf_append_u8(out, '}');
}

/* The points of one kind under their key, if there are any. False once nobody takes what is drained. */
static bool append_points(const struct mrd_promql_series *series, bool histograms,
                          const struct qry_json_extra *extra, struct mrd_buf *out)
{
    const char *start = histograms ? ",\"histograms\":[" : ",\"values\":[";
    const size_t points_per_drain = histograms ? HISTOGRAMS_PER_DRAIN : POINTS_PER_DRAIN;
    size_t added = 0;
    for (size_t i = 0; i < series->count; i++) {
        const struct mrd_float_histogram *histogram = histogram_at(series, i);
        if ((histogram != NULL) != histograms) {
            continue;
        }
        mrd_buf_append_text(out, added > 0 ? "," : start);
        added++;
        if (added % points_per_drain == points_per_drain - 1 && !drain(extra)) {
            return false;
        }
        if (histograms) {
            append_histogram_point(series->times_ms[i], histogram, out);
        } else {
            append_point(series->times_ms[i], series->values[i], out);
        }
    }
    mrd_buf_append_text(out, added > 0 ? "]" : "");
    return true;
}

static void append_matrix_series(const struct mrd_promql_series *series,
                                 const struct qry_json_extra *extra, struct mrd_buf *out)
{
    mrd_buf_append_text(out, "{\"metric\":");
    qry_json_labels(series->labels, out);
    if (!append_points(series, false, extra, out) ||
        (series->histograms != NULL && !append_points(series, true, extra, out))) {
        return;
    }
    mrd_buf_append_u8(out, '}');
}

/* ,"warnings":["...",...] with at most ten and the number of the rest, after those of our own. */
struct own_texts {
    struct mrd_bytes items[2]; /* empty ones are left out */
};

static void append_annotations(const struct mrd_annotations *annotations,
                               enum mrd_annotation_kind kind, const struct own_texts *own,
                               struct mrd_buf *out)
{
    const size_t total =
        annotations == NULL ? 0 : annotations->count[kind] + annotations->dropped[kind];
    size_t own_count = 0;
    for (size_t i = 0; own != NULL && i < MRD_ARRAY_LEN(own->items); i++) {
        own_count += own->items[i].size > 0;
    }
    if (total == 0 && own_count == 0) {
        return;
    }
    const bool warnings = kind == MRD_ANNOTATION_WARNING;
    mrd_buf_append_text(out, warnings ? ",\"warnings\":[" : ",\"infos\":[");
    for (size_t i = 0, written = 0; i < (own_count > 0 ? MRD_ARRAY_LEN(own->items) : 0); i++) {
        if (own->items[i].size > 0) {
            mrd_buf_append_text(out, written++ > 0 ? "," : "");
            qry_json_string(own->items[i], out);
        }
    }
    size_t shown = 0;
    for (const struct mrd_annotation *a = total == 0 ? NULL : annotations->first[kind];
         a != NULL && shown < ANNOTATIONS_SHOWN_MAX; a = a->next, shown++) {
        if (shown > 0 || own_count > 0) {
            mrd_buf_append_u8(out, ',');
        }
        qry_json_string(a->text, out);
    }
    if (total > shown) {
        mrd_buf_printf(out, "%s\"%zu more %s annotations omitted\"",
                       shown + own_count > 0 ? "," : "", total - shown,
                       warnings ? "warning" : "info");
    }
    mrd_buf_append_u8(out, ']');
}

static const struct mrd_bytes truncation_warning = {
    (const uint8_t *)"results truncated due to limit",
    sizeof("results truncated due to limit") - 1};

static void append_series(const struct mrd_promql_result *result, size_t count,
                          const struct qry_json_extra *extra, struct mrd_buf *out)
{
    mrd_buf_append_u8(out, '[');
    for (size_t i = 0; i < count && !out->failed && drain(extra); i++) {
        if (i > 0) {
            mrd_buf_append_u8(out, ',');
        }
        if (result->type == MRD_PROMQL_VECTOR) {
            append_vector_series(&result->series[i], out);
        } else {
            append_matrix_series(&result->series[i], extra, out);
        }
    }
    mrd_buf_append_u8(out, ']');
}

void qry_json_result(const struct mrd_promql_result *result, mrd_time_ms time_ms,
                     const struct qry_json_extra *extra, struct mrd_buf *out)
{
    static const char *const type_names[] = {
        [MRD_PROMQL_SCALAR] = "scalar",
        [MRD_PROMQL_STRING] = "string",
        [MRD_PROMQL_VECTOR] = "vector",
        [MRD_PROMQL_MATRIX] = "matrix",
    };
    mrd_buf_printf(out, "{\"status\":\"success\",\"data\":{\"resultType\":\"%s\",\"result\":",
                   type_names[result->type]);
    struct own_texts own = {0};
    size_t count = result->series_count;
    switch (result->type) {
    case MRD_PROMQL_SCALAR:
        append_scalar(result->scalar, out);
        break;
    case MRD_PROMQL_STRING:
        mrd_buf_append_u8(out, '[');
        append_time(time_ms, true, out);
        mrd_buf_append_u8(out, ',');
        qry_json_string(result->string, out);
        mrd_buf_append_u8(out, ']');
        break;
    case MRD_PROMQL_VECTOR:
    case MRD_PROMQL_MATRIX:
        if (extra != NULL && extra->limit != 0 && count > extra->limit) {
            count = extra->limit;
            own.items[0] = truncation_warning;
        }
        append_series(result, count, extra, out);
        break;
    }
    if (extra != NULL && extra->stats.size > 0) {
        mrd_buf_append_text(out, ",\"stats\":");
        mrd_buf_append_bytes(out, extra->stats);
    }
    mrd_buf_append_u8(out, '}');
    own.items[1] = extra != NULL ? extra->warning : MRD_BYTES_NONE;
    append_annotations(&result->annotations, MRD_ANNOTATION_WARNING, &own, out);
    append_annotations(&result->annotations, MRD_ANNOTATION_INFO, NULL, out);
    mrd_buf_append_u8(out, '}');
}

static void append_end(bool truncated, const struct mrd_annotations *annotations,
                       struct mrd_buf *out)
{
    const struct own_texts own = {{truncated ? truncation_warning : MRD_BYTES_NONE}};
    append_annotations(annotations, MRD_ANNOTATION_WARNING, &own, out);
    mrd_buf_append_u8(out, '}');
}

void qry_json_end(const struct mrd_annotations *annotations, struct mrd_buf *out)
{
    append_end(false, annotations, out);
}

void qry_json_texts(const struct mrd_texts *texts, const struct mrd_annotations *annotations,
                    const struct qry_json_extra *extra, struct mrd_buf *out)
{
    mrd_buf_append_text(out, "{\"status\":\"success\",\"data\":[");
    for (size_t i = 0; i < texts->count && drain(extra); i++) {
        if (i > 0) {
            mrd_buf_append_u8(out, ',');
        }
        qry_json_string(texts->items[i], out);
    }
    mrd_buf_append_u8(out, ']');
    append_end(texts->truncated, annotations, out);
}

void qry_json_label_sets(const struct mrd_label_sets *sets,
                         const struct mrd_annotations *annotations,
                         const struct qry_json_extra *extra, struct mrd_buf *out)
{
    mrd_buf_append_text(out, "{\"status\":\"success\",\"data\":[");
    for (size_t i = 0; i < sets->count && drain(extra); i++) {
        if (i > 0) {
            mrd_buf_append_u8(out, ',');
        }
        qry_json_labels(sets->items[i], out);
    }
    mrd_buf_append_u8(out, ']');
    append_end(sets->truncated, annotations, out);
}

void qry_json_error(const char *error_type, const char *text, struct mrd_buf *out)
{
    mrd_buf_printf(out, "{\"status\":\"error\",\"errorType\":\"%s\",\"error\":", error_type);
    qry_json_string(mrd_bytes_of(text), out);
    mrd_buf_append_u8(out, '}');
}
