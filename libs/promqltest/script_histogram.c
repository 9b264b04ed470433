#include "promqltest/script_histogram.h"

#include <inttypes.h>
#include <math.h>

#include "base/number.h"
#include "promqltest/script_text.h"

enum { BUCKETS_MAX = 1000 };

struct list {
    double items[BUCKETS_MAX];
    size_t count;
};

struct literal {
    struct mrd_float_histogram histogram;
    struct list positive;
    struct list negative;
    struct list custom;
    double offset;
    double negative_offset;
    double schema;
    bool hint_set;
};

static void skip(struct mrd_bytes *text, size_t size)
{
    text->data += size;
    text->size -= size;
}

static bool is_blank(uint8_t c) { return c == ' ' || c == '\t' || c == ','; }

static void skip_blanks(struct mrd_bytes *text)
{
    while (text->size > 0 && is_blank(text->data[0])) {
        skip(text, 1);
    }
}

/* What stands up to the next blank, bracket or brace. */
static struct mrd_bytes take_token(struct mrd_bytes *text)
{
    struct mrd_bytes token = {text->data, 0};
    while (token.size < text->size && !is_blank(text->data[token.size]) &&
           memchr("[]{}:", text->data[token.size], 5) == NULL) {
        token.size++;
    }
    skip(text, token.size);
    return token;
}

static enum mrd_status take_number(struct mrd_bytes *text, double *out, struct mrd_error *err)
{
    const struct mrd_bytes token = take_token(text);
    if (!mrd_double_parse((const char *)token.data, token.size, out)) {
        return mrd_fail(err, MRD_E_INVALID, "\"%.*s\" is not a number in a histogram",
                        MRD_FMT(token));
    }
    return MRD_OK;
}

static enum mrd_status take_list(struct mrd_bytes *text, struct list *out, struct mrd_error *err)
{
    if (text->size == 0 || text->data[0] != '[') {
        return mrd_fail(err, MRD_E_INVALID, "a histogram's buckets need brackets");
    }
    skip(text, 1);
    out->count = 0;
    for (;;) {
        skip_blanks(text);
        if (text->size > 0 && text->data[0] == ']') {
            skip(text, 1);
            return MRD_OK;
        }
        if (out->count == BUCKETS_MAX) {
            return mrd_fail(err, MRD_E_LIMIT, "more than %d buckets", BUCKETS_MAX);
        }
        MRD_TRY(take_number(text, &out->items[out->count], err));
        out->count++;
    }
}

static const char *const hints[] = {"unknown", "reset", "not_reset", "gauge"};

static enum mrd_status take_hint(struct mrd_bytes *text, struct literal *out, struct mrd_error *err)
{
    const struct mrd_bytes token = take_token(text);
    for (size_t i = 0; i < MRD_ARRAY_LEN(hints); i++) {
        if (mrd_bytes_equal(token, mrd_bytes_of(hints[i]))) {
            out->histogram.reset = (enum mrd_histogram_reset)i;
            out->hint_set = true;
            return MRD_OK;
        }
    }
    return mrd_fail(err, MRD_E_INVALID, "unknown counter_reset_hint \"%.*s\"", MRD_FMT(token));
}

static enum mrd_status take_field(struct mrd_bytes *text, struct literal *out,
                                  struct mrd_error *err)
{
    const struct {
        const char *name;
        double *number;
        struct list *list;
    } fields[] = {
        {"schema",        &out->schema,                   NULL          },
        {"sum",           &out->histogram.sum,            NULL          },
        {"count",         &out->histogram.count,          NULL          },
        {"z_bucket",      &out->histogram.zero_count,     NULL          },
        {"z_bucket_w",    &out->histogram.zero_threshold, NULL          },
        {"offset",        &out->offset,                   NULL          },
        {"n_offset",      &out->negative_offset,          NULL          },
        {"buckets",       NULL,                           &out->positive},
        {"n_buckets",     NULL,                           &out->negative},
        {"custom_values", NULL,                           &out->custom  },
    };
    const struct mrd_bytes name = take_token(text);
    if (text->size == 0 || text->data[0] != ':') {
        return mrd_fail(err, MRD_E_INVALID, "\"%.*s\" in a histogram has no value", MRD_FMT(name));
    }
    skip(text, 1);
    if (mrd_bytes_equal(name, MRD_BYTES("counter_reset_hint"))) {
        return take_hint(text, out, err);
    }
    for (size_t i = 0; i < MRD_ARRAY_LEN(fields); i++) {
        if (mrd_bytes_equal(name, mrd_bytes_of(fields[i].name))) {
            return fields[i].list != NULL ? take_list(text, fields[i].list, err)
                                          : take_number(text, fields[i].number, err);
        }
    }
    return mrd_fail(err, MRD_E_INVALID, "a histogram has no \"%.*s\"", MRD_FMT(name));
}

/* From the text's values to a histogram whose parts are checked as those of a source are. */
static enum mrd_status build(const struct literal *from, struct mrd_arena *arena,
                             struct mrd_float_histogram **out, struct mrd_error *err)
{
    const struct mrd_float_histogram *head = &from->histogram;
    const struct mrd_histogram_span positive = {(int32_t)from->offset,
                                                (uint32_t)from->positive.count};
    const struct mrd_histogram_span negative = {(int32_t)from->negative_offset,
                                                (uint32_t)from->negative.count};
    union mrd_histogram_count counts[2][BUCKETS_MAX];
    for (size_t i = 0; i < from->positive.count; i++) {
        counts[0][i].real = from->positive.items[i];
    }
    for (size_t i = 0; i < from->negative.count; i++) {
        counts[1][i].real = from->negative.items[i];
    }
    const struct mrd_histogram made = {
        .is_float = true,
        .reset = head->reset,
        .schema = (int32_t)from->schema,
        .zero_threshold = head->zero_threshold,
        .sum = head->sum,
        .count.real = head->count,
        .zero_count.real = head->zero_count,
        .positive = {&positive, counts[0], 1, from->positive.count},
        .negative = {&negative, counts[1], 1, from->negative.count},
        .custom_values = from->custom.items,
        .custom_value_count = from->custom.count,
    };
    return mrd_float_histogram_from(&made, arena, out, err);
}

enum mrd_status script_take_histogram(struct mrd_bytes *text, struct mrd_arena *arena,
                                      struct mrd_float_histogram **out, bool *out_hint_set,
                                      struct mrd_error *err)
{
    struct literal *literal = mrd_arena_alloc(arena, sizeof(*literal));
    if (literal == NULL) {
        return mrd_arena_fail(arena, err);
    }
    mrd_assert(text->size >= 2 && memcmp(text->data, "{{", 2) == 0);
    skip(text, 2);
    for (;;) {
        skip_blanks(text);
        if (text->size >= 2 && memcmp(text->data, "}}", 2) == 0) {
            skip(text, 2);
            break;
        }
        if (text->size == 0) {
            return mrd_fail(err, MRD_E_INVALID, "a histogram does not end");
        }
        MRD_TRY(take_field(text, literal, err));
    }
    if (!(fabs(literal->offset) < 1e9 && fabs(literal->negative_offset) < 1e9 &&
          fabs(literal->schema) < 1e3)) {
        return mrd_fail(err, MRD_E_INVALID, "a histogram's offset or schema is out of range");
    }
    *out_hint_set = literal->hint_set;
    return build(literal, arena, out, err);
}

/* ---- comparing ---- */

bool script_numbers_agree(double want, double got)
{
    if (mrd_is_stale(want) || mrd_is_stale(got)) {
        return mrd_is_stale(want) && mrd_is_stale(got);
    }
    if ((isnan(want) && isnan(got)) || want == got) {
        return true;
    }
    const double sum = fabs(want) + fabs(got);
    const double difference = fabs(want - got);
    if (want == 0 || got == 0 || sum < 0x1p-1022) {
        return difference < 1e-6 * 0x1p-1022;
    }
    return difference / sum < 1e-6;
}

static size_t skip_empty(const struct mrd_float_buckets *side, size_t at)
{
    while (at < side->count && side->counts[at] == 0) {
        at++;
    }
    return at;
}

static bool sides_agree(const struct mrd_float_buckets *want, const struct mrd_float_buckets *got)
{
    size_t w = 0;
    size_t g = 0;
    for (;; w++, g++) {
        w = skip_empty(want, w);
        g = skip_empty(got, g);
        if (w == want->count || g == got->count) {
            return w == want->count && g == got->count;
        }
        if (want->indexes[w] != got->indexes[g] ||
            !script_numbers_agree(want->counts[w], got->counts[g])) {
            return false;
        }
    }
}

bool script_histograms_agree(const struct mrd_float_histogram *want,
                             const struct mrd_float_histogram *got, bool compare_hint)
{
    if (want->schema != got->schema || want->zero_threshold != got->zero_threshold ||
        want->custom_value_count != got->custom_value_count ||
        (compare_hint && want->reset != got->reset)) {
        return false;
    }
    for (size_t i = 0; i < want->custom_value_count; i++) {
        if (want->custom_values[i] != got->custom_values[i]) {
            return false;
        }
    }
    return script_numbers_agree(want->count, got->count) &&
           script_numbers_agree(want->sum, got->sum) &&
           script_numbers_agree(want->zero_count, got->zero_count) &&
           sides_agree(&want->positive, &got->positive) &&
           sides_agree(&want->negative, &got->negative);
}

/* ---- printing ---- */

static void append_number(const char *name, double value, struct mrd_buf *out)
{
    char text[MRD_DOUBLE_TEXT_MAX];
    (void)mrd_double_format_g(value, text);
    mrd_buf_printf(out, "%s%s", name, text);
}

static void append_side(const struct mrd_float_buckets *side, const char *offset_name,
                        const char *name, struct mrd_buf *out)
{
    if (side->count == 0) {
        return;
    }
    mrd_buf_printf(out, " %s:%" PRId32 " %s:[", offset_name, side->indexes[0], name);
    int64_t index = side->indexes[0];
    for (size_t i = 0; i < side->count; i++, index++) {
        for (; index < side->indexes[i] && !out->failed; index++) {
            mrd_buf_append_text(out, "0 ");
        }
        append_number("", side->counts[i], out);
        mrd_buf_append_text(out, i + 1 < side->count ? " " : "]");
    }
}

void script_format_histogram(const struct mrd_float_histogram *histogram, struct mrd_buf *out)
{
    mrd_buf_printf(out, "{{schema:%" PRId32, histogram->schema);
    append_number(" count:", histogram->count, out);
    append_number(" sum:", histogram->sum, out);
    append_number(" z_bucket:", histogram->zero_count, out);
    append_number(" z_bucket_w:", histogram->zero_threshold, out);
    append_side(&histogram->positive, "offset", "buckets", out);
    append_side(&histogram->negative, "n_offset", "n_buckets", out);
    for (size_t i = 0; i < histogram->custom_value_count; i++) {
        append_number(i == 0 ? " custom_values:[" : " ", histogram->custom_values[i], out);
    }
    mrd_buf_append_text(out, histogram->custom_value_count > 0 ? "]" : "");
    mrd_buf_printf(out, " counter_reset_hint:%s}}", hints[histogram->reset]);
}
