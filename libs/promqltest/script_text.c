#include "promqltest/script_text.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/duration.h"
#include "base/number.h"
#include "model/sample.h"
#include "promqltest/script_histogram.h"

static bool is_blank(uint8_t c) { return c == ' ' || c == '\t' || c == '\r'; }

static void advance(struct mrd_bytes *text, size_t size)
{
    text->data += size;
    text->size -= size;
}

static void skip_blanks(struct mrd_bytes *text)
{
    while (text->size > 0 && is_blank(text->data[0])) {
        advance(text, 1);
    }
}

bool script_take_line(struct mrd_bytes *text, struct mrd_bytes *out_line)
{
    if (text->size == 0) {
        return false;
    }
    const uint8_t *end = memchr(text->data, '\n', text->size);
    const size_t size = end == NULL ? text->size : (size_t)(end - text->data);
    *out_line = (struct mrd_bytes){text->data, size};
    advance(text, end == NULL ? size : size + 1);
    skip_blanks(out_line);
    while (out_line->size > 0 && is_blank(out_line->data[out_line->size - 1])) {
        out_line->size--;
    }
    return true;
}

struct mrd_bytes script_take_word(struct mrd_bytes *text)
{
    struct mrd_bytes word = {text->data, 0};
    while (word.size < text->size && !is_blank(text->data[word.size])) {
        word.size++;
    }
    advance(text, word.size);
    skip_blanks(text);
    return word;
}

bool script_take_prefix(struct mrd_bytes *text, const char *prefix)
{
    const size_t size = strlen(prefix);
    if (text->size < size || memcmp(text->data, prefix, size) != 0) {
        return false;
    }
    if (text->size > size && !is_blank(text->data[size]) && prefix[size - 1] != ':') {
        return false;
    }
    advance(text, size);
    skip_blanks(text);
    return true;
}

/* ---- series ---- */

static bool is_name_byte(uint8_t c) { return isalnum(c) || c == '_' || c == ':' || c == '.'; }

/* A quoted string; escapes \" \\ \n \t \xHH. */
static enum mrd_status take_quoted(struct mrd_bytes *text, struct mrd_arena *arena,
                                   struct mrd_bytes *out, struct mrd_error *err)
{
    const uint8_t quote = text->data[0];
    uint8_t *copy = mrd_arena_alloc(arena, text->size);
    size_t size = 0;
    size_t at = 1;
    if (copy == NULL) {
        return mrd_arena_fail(arena, err);
    }
    while (at < text->size && text->data[at] != quote) {
        uint8_t c = text->data[at++];
        if (c == '\\' && at < text->size) {
            c = text->data[at++];
            if (c == 'n') {
                c = '\n';
            } else if (c == 't') {
                c = '\t';
            } else if (c == 'x' && at + 2 <= text->size) {
                const char digits[] = {(char)text->data[at], (char)text->data[at + 1], 0};
                c = (uint8_t)strtoul(digits, NULL, 16);
                at += 2;
            }
        }
        copy[size++] = c;
    }
    if (at == text->size) {
        return mrd_fail(err, MRD_E_INVALID, "a quoted text does not end");
    }
    advance(text, at + 1);
    *out = (struct mrd_bytes){copy, size};
    return MRD_OK;
}

static enum mrd_status take_name(struct mrd_bytes *text, struct mrd_arena *arena,
                                 struct mrd_bytes *out, struct mrd_error *err)
{
    if (text->size > 0 && (text->data[0] == '"' || text->data[0] == '\'')) {
        return take_quoted(text, arena, out, err);
    }
    struct mrd_bytes name = {text->data, 0};
    while (name.size < text->size && is_name_byte(text->data[name.size])) {
        name.size++;
    }
    advance(text, name.size);
    *out = name;
    return MRD_OK;
}

static bool take_byte(struct mrd_bytes *text, uint8_t byte)
{
    skip_blanks(text);
    if (text->size == 0 || text->data[0] != byte) {
        return false;
    }
    advance(text, 1);
    skip_blanks(text);
    return true;
}

enum { SERIES_LABELS_MAX = 64 };

static enum mrd_status take_label(struct mrd_bytes *text, struct mrd_arena *arena,
                                  struct mrd_label *out, struct mrd_error *err)
{
    MRD_TRY(take_name(text, arena, &out->name, err));
    if (!take_byte(text, '=')) { /* {"name"} */
        out->value = out->name;
        out->name = MRD_BYTES(MRD_METRIC_NAME);
        return MRD_OK;
    }
    if (text->size == 0 || (text->data[0] != '"' && text->data[0] != '\'')) {
        return mrd_fail(err, MRD_E_INVALID, "a label value must be quoted");
    }
    return take_quoted(text, arena, &out->value, err);
}

enum mrd_status script_take_series(struct mrd_bytes *text, struct mrd_arena *arena,
                                   struct mrd_labels *out, struct mrd_error *err)
{
    struct mrd_label *items = mrd_arena_alloc_array(arena, SERIES_LABELS_MAX, sizeof(*items));
    size_t count = 0;
    if (items == NULL) {
        return mrd_arena_fail(arena, err);
    }
    if (text->size > 0 && text->data[0] != '{') {
        items[0].name = MRD_BYTES(MRD_METRIC_NAME);
        MRD_TRY(take_name(text, arena, &items[0].value, err));
        count = 1;
    }
    if (text->size > 0 && text->data[0] == '{') {
        take_byte(text, '{');
        while (!take_byte(text, '}')) {
            if (text->size == 0 || count == SERIES_LABELS_MAX) {
                return mrd_fail(err, MRD_E_INVALID, "a series does not end, or is too long");
            }
            MRD_TRY(take_label(text, arena, &items[count], err));
            count += items[count].value.size > 0;
            take_byte(text, ',');
        }
    }
    skip_blanks(text);
    mrd_labels_sort(items, count);
    *out = (struct mrd_labels){items, count};
    return MRD_OK;
}

/* ---- times and values ---- */

enum mrd_status script_parse_time(struct mrd_bytes text, mrd_time_ms *out_ms, struct mrd_error *err)
{
    double seconds = 0;
    if (mrd_double_parse((const char *)text.data, text.size, &seconds)) {
        *out_ms = (mrd_time_ms)(seconds * 1000);
        return MRD_OK;
    }
    const bool negative = text.size > 0 && text.data[0] == '-';
    if (negative || (text.size > 0 && text.data[0] == '+')) {
        advance(&text, 1);
    }
    MRD_TRY(mrd_duration_parse(text, out_ms, err));
    *out_ms = negative ? -*out_ms : *out_ms;
    return MRD_OK;
}

/* One item of a sequence: start, what is added each time, how many more. */
struct item {
    struct script_value start;
    double step;
    const struct mrd_float_histogram *histogram_step;
    bool subtract; /* the histogram step */
    size_t more;
};

static bool parse_number(struct mrd_bytes text, bool is_time, double *out)
{
    mrd_time_ms time_ms = 0;
    if (is_time) {
        const bool ok = script_parse_time(text, &time_ms, NULL) == MRD_OK;
        *out = (double)time_ms;
        return ok;
    }
    if (mrd_bytes_equal(text, MRD_BYTES("stale"))) {
        *out = mrd_stale_nan();
        return true;
    }
    return mrd_double_parse((const char *)text.data, text.size, out);
}

/* Where "+10" or "-10" starts in "0+10": not at the front and not in an exponent. */
static size_t find_step(struct mrd_bytes text)
{
    for (size_t i = 1; i < text.size; i++) {
        const bool sign = text.data[i] == '+' || text.data[i] == '-';
        if (sign && text.data[i - 1] != 'e' && text.data[i - 1] != 'E') {
            return i;
        }
    }
    return text.size;
}

static enum mrd_status parse_item(struct mrd_bytes word, bool is_time, struct item *out,
                                  struct mrd_error *err)
{
    *out = (struct item){0};
    struct mrd_bytes head = word;
    for (size_t i = word.size; i > 1; i--) { /* an x separates the count, in 0x3 too */
        if (word.data[i - 1] == 'x') {
            head.size = i - 1;
            out->more = strtoull((const char *)word.data + i, NULL, 10);
            break;
        }
    }
    if (mrd_bytes_equal(head, MRD_BYTES("_"))) {
        out->start.omitted = true;
        out->more -= head.size != word.size ? 1 : 0; /* _x3 is three gaps, not four */
        return MRD_OK;
    }
    const size_t split = head.size == word.size ? head.size : find_step(head);
    const struct mrd_bytes start = {head.data, split};
    const struct mrd_bytes step = {head.data + split, head.size - split};
    if (!parse_number(start, is_time, &out->start.value) ||
        (step.size > 0 && !parse_number(step, is_time, &out->step))) {
        return mrd_fail(err, MRD_E_INVALID, "\"%.*s\" is not a %s", MRD_FMT(word),
                        is_time ? "time" : "value");
    }
    return MRD_OK;
}

static bool starts_histogram(struct mrd_bytes text)
{
    return text.size >= 2 && text.data[0] == '{' && text.data[1] == '{';
}

/* {{...}}, {{...}}x3, {{...}}+{{...}}x3, {{...}}-{{...}}x3 */
static enum mrd_status take_histogram_item(struct mrd_bytes *text, struct mrd_arena *arena,
                                           struct item *out, struct mrd_error *err)
{
    struct mrd_float_histogram *histogram = NULL;
    *out = (struct item){0};
    MRD_TRY(script_take_histogram(text, arena, &histogram, &out->start.hint_set, err));
    out->start.histogram = histogram;
    if (text->size > 0 && (text->data[0] == '+' || text->data[0] == '-')) {
        out->subtract = text->data[0] == '-';
        advance(text, 1);
        if (!starts_histogram(*text)) {
            return mrd_fail(err, MRD_E_INVALID, "what is added to a histogram must be one");
        }
        MRD_TRY(script_take_histogram(text, arena, &histogram, &out->start.hint_set, err));
        out->histogram_step = histogram;
    }
    if (text->size > 0 && text->data[0] == 'x') {
        const struct mrd_bytes word = script_take_word(text);
        out->more = strtoull((const char *)word.data + 1, NULL, 10);
    }
    if (text->size > 0 && !is_blank(text->data[0]) && text->data[0] != '{' &&
        text->data[-1] == '}') {
        return mrd_fail(err, MRD_E_INVALID, "a blank must follow a histogram");
    }
    skip_blanks(text);
    return MRD_OK;
}

static enum mrd_status take_item(struct mrd_bytes *text, struct mrd_arena *arena, bool is_time,
                                 struct item *out, struct mrd_error *err)
{
    return starts_histogram(*text) && !is_time
               ? take_histogram_item(text, arena, out, err)
               : parse_item(script_take_word(text), is_time, out, err);
}

/* The item's next value. */
static enum mrd_status step_item(struct item *item, struct mrd_arena *arena, struct mrd_error *err)
{
    struct mrd_float_histogram *sum = NULL;
    struct mrd_float_histogram_outcome outcome;
    if (item->step != 0) {
        item->start.value += item->step;
    }
    if (item->histogram_step == NULL) {
        return MRD_OK;
    }
    MRD_TRY(mrd_float_histogram_copy(item->start.histogram, arena, &sum, err));
    MRD_TRY(item->subtract
                ? mrd_float_histogram_subtract(sum, item->histogram_step, arena, &outcome, err)
                : mrd_float_histogram_add(sum, item->histogram_step, arena, &outcome, err));
    if (outcome.incompatible) {
        return mrd_fail(err, MRD_E_INVALID, "exponential and custom bounds cannot be added");
    }
    item->start.histogram = sum;
    return MRD_OK;
}

enum { VALUES_MAX = 100000 };

static enum mrd_status parse_items(struct mrd_bytes text, struct mrd_arena *arena, bool is_time,
                                   struct script_value **out, size_t *out_count,
                                   struct mrd_error *err)
{
    struct mrd_buf buf;
    mrd_buf_init(&buf, VALUES_MAX * sizeof(struct script_value));
    enum mrd_status status = MRD_OK;
    while (text.size > 0 && status == MRD_OK) {
        struct item item;
        status = take_item(&text, arena, is_time, &item, err);
        for (size_t i = 0; status == MRD_OK && i <= item.more; i++) {
            mrd_buf_append(&buf, &item.start, sizeof(item.start));
            status = step_item(&item, arena, err);
        }
    }
    if (status == MRD_OK && buf.failed) {
        status = mrd_fail(err, MRD_E_LIMIT, "more than %d values", VALUES_MAX);
    }
    if (status == MRD_OK) {
        const struct mrd_bytes copy = mrd_arena_copy(arena, mrd_buf_view(&buf));
        *out = (struct script_value *)(uintptr_t)copy.data;
        *out_count = copy.size / sizeof(struct script_value);
    }
    mrd_buf_fini(&buf);
    return status;
}

enum mrd_status script_parse_values(struct mrd_bytes text, struct mrd_arena *arena,
                                    struct script_value **out, size_t *out_count,
                                    struct mrd_error *err)
{
    return parse_items(text, arena, false, out, out_count, err);
}

enum mrd_status script_parse_times(struct mrd_bytes text, struct mrd_arena *arena,
                                   struct script_value **out, size_t *out_count,
                                   struct mrd_error *err)
{
    return parse_items(text, arena, true, out, out_count, err);
}
