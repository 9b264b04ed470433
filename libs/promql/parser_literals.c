/* Values of numbers, durations and strings. */
#include <math.h>

#include "base/duration.h"
#include "base/number.h"
#include "base/quote.h"
#include "model/sample.h"
#include "promql/parser_internal.h"

enum { NUMBER_TEXT_MAX = 4096 };

/* ---- numbers: Go's strconv.ParseInt(text, 0, 64), and if that fails ParseFloat(text, 64) ---- */

static int digit_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    const char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : 16;
}

static bool parse_integer(const char *text, size_t size, int64_t *out)
{
    int base = 10;
    size_t at = 0;
    if (size > 1 && text[0] == '0') {
        const bool hexadecimal = text[1] == 'x' || text[1] == 'X';
        base = hexadecimal ? 16 : 8;
        at = hexadecimal ? 2 : 1;
    }
    int64_t value = 0;
    for (size_t i = at; i < size; i++) {
        const int digit = digit_value(text[i]);
        if (digit >= base || __builtin_mul_overflow(value, base, &value) ||
            __builtin_add_overflow(value, digit, &value)) {
            return false;
        }
    }
    *out = value;
    return at < size;
}

/* Underscores stand between digits; the lexer lets only one at the end through. */
static bool strip_underscores(struct mrd_bytes text, char *out, size_t *out_size)
{
    *out_size = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] != '_') {
            out[(*out_size)++] = (char)text.data[i];
        } else if (i + 1 == text.size) {
            return false;
        }
    }
    return true;
}

static bool number_value(struct mrd_bytes text, double *out, const char **out_wrong)
{
    char plain[NUMBER_TEXT_MAX];
    size_t size;
    int64_t integer;
    *out_wrong = "invalid syntax";
    if (text.size > sizeof(plain) || !strip_underscores(text, plain, &size)) {
        return false;
    }
    if (parse_integer(plain, size, &integer)) {
        *out = (double)integer;
        return true;
    }
    double value;
    if (!mrd_double_parse(plain, size, &value)) {
        return false;
    }
    if (isinf(value) && digit_value(plain[0]) < 10) {
        *out_wrong = "value out of range";
        return false;
    }
    *out = isnan(value) ? mrd_double_from_bits(MRD_NORMAL_NAN_BITS) : value;
    return true;
}

static bool fail_number(struct pql_parser *parser, const char *wrong)
{
    struct mrd_buf quoted = {0};
    mrd_quote_append(parser->token.text, &quoted);
    (void)pql_fail_at(parser, parser->token.start,
                      "error parsing number: strconv.ParseFloat: parsing %.*s: %s",
                      (int)MRD_MIN(quoted.size, (size_t)320), (const char *)quoted.data, wrong);
    mrd_buf_fini(&quoted);
    return false;
}

/* Go's Duration.Seconds(): whole seconds and the fraction apart, so that the last bit agrees. */
static double seconds_of(mrd_time_ms ms)
{
    return (double)(ms / 1000) + (double)(ms % 1000 * 1000000) / 1e9;
}

static bool is_unit(struct mrd_bytes text)
{
    return (text.size == 1 && strchr("ywdhms", text.data[0]) != NULL) ||
           mrd_bytes_equal(text, MRD_BYTES("ms"));
}

static bool is_decimal(uint8_t c) { return c >= '0' && c <= '9'; }

/* The first unit of a duration that is none, like "hs"; empty if all are known. */
static struct mrd_bytes unknown_unit(struct mrd_bytes text)
{
    size_t at = 0;
    while (at < text.size) {
        while (at < text.size && is_decimal(text.data[at])) {
            at++;
        }
        const size_t start = at;
        while (at < text.size && !is_decimal(text.data[at])) {
            at++;
        }
        const struct mrd_bytes unit = {text.data + start, at - start};
        if (unit.size > 0 && !is_unit(unit)) {
            return unit;
        }
    }
    return MRD_BYTES_NONE;
}

static bool fail_duration(struct pql_parser *parser)
{
    const struct pql_token *token = &parser->token;
    const struct mrd_bytes unit = unknown_unit(token->text);
    const int size = (int)MRD_MIN(token->text.size, (size_t)128);
    const char *text = (const char *)token->text.data;
    if (unit.size > 0) {
        return pql_fail_at(parser, token->start, "unknown unit \"%.*s\" in duration \"%.*s\"",
                           (int)MRD_MIN(unit.size, (size_t)16), (const char *)unit.data, size,
                           text);
    }
    return pql_fail_at(parser, token->start, "not a valid duration string: \"%.*s\"", size, text);
}

static bool duration_value(struct pql_parser *parser, double *out)
{
    mrd_time_ms ms;
    const struct pql_token *token = &parser->token;
    if (mrd_duration_parse(token->text, &ms, NULL) != MRD_OK) {
        return fail_duration(parser);
    }
    if (ms > INT64_MAX / 1000000) {
        return pql_fail_at(parser, token->start, "duration out of range");
    }
    *out = seconds_of(ms);
    return true;
}

bool pql_parse_number(struct pql_parser *parser, double *out, bool *out_is_duration)
{
    const char *wrong;
    *out_is_duration = parser->token.type == PQL_T_DURATION;
    if (*out_is_duration) {
        return duration_value(parser, out) && pql_advance(parser);
    }
    if (!number_value(parser->token.text, out, &wrong)) {
        return fail_number(parser, wrong);
    }
    return pql_advance(parser);
}

/* ---- strings ---- */

static size_t put_utf8(uint32_t code, uint8_t *out)
{
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    const size_t size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = size - 1; i > 0; i--) {
        out[i] = (uint8_t)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    out[0] = (uint8_t)((0xf00U >> size) | code);
    return size;
}

static uint32_t read_code(const uint8_t *digits, size_t count, uint32_t base)
{
    uint32_t code = 0;
    for (size_t i = 0; i < count; i++) {
        code = code * base + (uint32_t)digit_value((char)digits[i]);
    }
    return code;
}

/* One escape behind its backslash, known to be well-formed; returns its size. */
static size_t unescape(const uint8_t *in, uint8_t *out, size_t *out_size)
{
    static const char letters[] = "abfnrtv";
    static const char meanings[] = "\a\b\f\n\r\t\v";
    const char *letter = strchr(letters, in[0]);
    *out_size = 1;
    if (in[0] >= '0' && in[0] <= '7') {
        out[0] = (uint8_t)read_code(in, 3, 8);
        return 3;
    }
    if (in[0] == 'x') {
        out[0] = (uint8_t)read_code(in + 1, 2, 16);
        return 3;
    }
    if (in[0] == 'u' || in[0] == 'U') {
        const size_t digits = in[0] == 'u' ? 4 : 8;
        *out_size = put_utf8(read_code(in + 1, digits, 16), out);
        return 1 + digits;
    }
    out[0] = letter != NULL ? (uint8_t)meanings[letter - letters] : in[0];
    return 1;
}

bool pql_parse_string(struct pql_parser *parser, struct mrd_bytes *out)
{
    const struct mrd_bytes text = parser->token.text;
    const struct mrd_bytes inner = {text.data + 1, text.size - 2};
    if (text.data[0] == '`' || memchr(inner.data, '\\', inner.size) == NULL) {
        *out = inner;
        return pql_advance(parser);
    }
    uint8_t *plain = pql_parser_alloc(parser, inner.size); /* an escape is never shorter */
    if (plain == NULL) {
        return false;
    }
    size_t used = 0;
    for (size_t i = 0; i < inner.size;) {
        if (inner.data[i] != '\\') {
            plain[used++] = inner.data[i++];
            continue;
        }
        size_t size;
        i += 1 + unescape(inner.data + i + 1, plain + used, &size);
        used += size;
    }
    *out = (struct mrd_bytes){plain, used};
    return pql_advance(parser);
}
