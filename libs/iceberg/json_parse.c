/* A text of JSON to its values, in one pass and one buffer. */
#include "iceberg/json_internal.h"

enum { DEPTH_MAX = 32, MEMBERS_MAX = MRD_ICEBERG_PROPERTIES_MAX };

_Static_assert((int)MRD_ICEBERG_SUMMARY_MAX <= (int)MEMBERS_MAX,
               "no object of ours has more members");

struct parser {
    const uint8_t *at;
    const uint8_t *end;
    struct mrd_buf *values;
    struct mrd_arena *arena;
    unsigned depth;
    enum mrd_status status; /* of the first fault */
    const char *wrong;      /* what it was; NULL: none, or the arena is full */
};

static bool fail(struct parser *parser, enum mrd_status status, const char *wrong)
{
    if (parser->status == MRD_OK) {
        parser->status = status;
        parser->wrong = wrong;
    }
    return false;
}

static bool wrong(struct parser *parser, const char *what)
{
    return fail(parser, MRD_E_CORRUPT, what);
}

static struct ice_value *value_at(const struct parser *parser, size_t index)
{
    return (struct ice_value *)(void *)parser->values->data + index;
}

static size_t value_count(const struct parser *parser)
{
    return parser->values->size / sizeof(struct ice_value);
}

static void skip_space(struct parser *parser)
{
    while (parser->at < parser->end && (*parser->at == ' ' || *parser->at == '\n' ||
                                        *parser->at == '\r' || *parser->at == '\t')) {
        parser->at++;
    }
}

/* The next character that is no space; 0 at the end. */
static uint8_t peek(struct parser *parser)
{
    skip_space(parser);
    return parser->at < parser->end ? *parser->at : 0;
}

static bool take(struct parser *parser, uint8_t character)
{
    if (peek(parser) != character) {
        return false;
    }
    parser->at++;
    return true;
}

/* ---- texts ---- */

static bool hex4(const uint8_t *at, const uint8_t *end, uint32_t *out)
{
    uint32_t value = 0;
    if (end - at < 4) {
        return false;
    }
    for (size_t i = 0; i < 4; i++) {
        const uint8_t c = at[i];
        const uint32_t low = (uint32_t)(c | 0x20) - 'a' + 10;
        if (c >= '0' && c <= '9') {
            value = value << 4 | (uint32_t)(c - '0');
        } else if (low >= 10 && low <= 15) {
            value = value << 4 | low;
        } else {
            return false;
        }
    }
    *out = value;
    return true;
}

static size_t put_utf8(uint8_t *out, uint32_t code)
{
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    const size_t size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = size - 1; i > 0; i--, code >>= 6) {
        out[i] = (uint8_t)(0x80 | (code & 0x3f));
    }
    out[0] = (uint8_t)(leads[size] | code);
    return size;
}

/* Behind "\u": one of them, or two that are a pair. Returns how many bytes were taken; 0: they are no character that a text may have. */
static size_t take_code(const uint8_t *at, const uint8_t *end, uint32_t *out)
{
    uint32_t low;
    if (!hex4(at, end, out) || *out == 0 || (*out >= 0xdc00 && *out < 0xe000)) {
        return 0;
    }
    if (*out < 0xd800 || *out >= 0xe000) {
        return 4;
    }
    if (end - at < 10 || at[4] != '\\' || at[5] != 'u' || !hex4(at + 6, end, &low) ||
        low < 0xdc00 || low >= 0xe000) {
        return 0;
    }
    *out = 0x10000 + ((*out - 0xd800) << 10) + (low - 0xdc00);
    return 10;
}

/* What stands between the quotes, with its escapes; it takes no more room without them. */
static bool unescape(struct parser *parser, struct mrd_bytes raw, struct mrd_bytes *out)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    uint8_t *text = mrd_arena_alloc_array(parser->arena, raw.size, 1);
    if (text == NULL) {
        return fail(parser, MRD_E_LIMIT, NULL);
    }
    size_t size = 0;
    const uint8_t *end = raw.data + raw.size;
    for (const uint8_t *at = raw.data; at < end;) {
        if (*at != '\\') {
            text[size++] = *at++;
            continue;
        }
        at++; /* a backslash is never the last: it would have hidden the quote */
        const char *letter = *at == 0 ? NULL : strchr(letters, *at);
        uint32_t code = 0;
        const size_t taken = *at == 'u' ? take_code(at + 1, end, &code) : 0;
        if (letter == NULL && taken == 0) {
            return wrong(parser, "an escape that is none");
        }
        if (letter != NULL) {
            text[size++] = (uint8_t)meanings[letter - letters];
        } else {
            size += put_utf8(text + size, code);
        }
        at += 1 + taken;
    }
    *out = (struct mrd_bytes){text, size};
    return true;
}

static bool parse_text(struct parser *parser, struct mrd_bytes *out)
{
    if (!take(parser, '"')) {
        return wrong(parser, "a text is missing");
    }
    bool escapes = false;
    const uint8_t *begin = parser->at;
    const uint8_t *at = begin + ice_json_plain(begin, (size_t)(parser->end - begin));
    while (at < parser->end && *at != '"' && *at >= 0x20) {
        escapes |= *at == '\\';
        at += *at == '\\' && parser->end - at > 1 ? 2 : 1;
    }
    if (at >= parser->end || *at != '"') {
        return wrong(parser, "a text does not end, or has control characters");
    }
    parser->at = at + 1;
    *out = (struct mrd_bytes){begin, (size_t)(at - begin)};
    return escapes ? unescape(parser, *out, out) : true;
}

/* ---- numbers and words ---- */

static size_t skip_digits(struct parser *parser)
{
    const uint8_t *begin = parser->at;
    while (parser->at < parser->end && *parser->at >= '0' && *parser->at <= '9') {
        parser->at++;
    }
    return (size_t)(parser->at - begin);
}

static bool is_at(const struct parser *parser, char a, char b)
{
    return parser->at < parser->end && (*parser->at == a || *parser->at == b);
}

static bool parse_int(struct parser *parser, const uint8_t *at, bool negative, int64_t *out)
{
    int64_t value = 0;
    for (; at < parser->at; at++) {
        const int64_t digit = *at - '0';
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, digit, &value)) { /* below 0 there is one more */
            return wrong(parser, "a number is too large");
        }
    }
    if (!negative && value == INT64_MIN) {
        return wrong(parser, "a number is too large");
    }
    *out = negative ? value : -value;
    return true;
}

static bool parse_number(struct parser *parser, struct ice_value *out)
{
    const bool negative = is_at(parser, '-', '-');
    parser->at += negative;
    const uint8_t *digits = parser->at;
    const size_t count = skip_digits(parser);
    if (count == 0 || (count > 1 && *digits == '0')) {
        return wrong(parser, "a value is missing");
    }
    out->kind = ICE_INT;
    if (!is_at(parser, '.', 'e') && !is_at(parser, 'E', 'E')) {
        return parse_int(parser, digits, negative, &out->number);
    }
    out->kind = ICE_REAL;
    out->number = 0;
    bool good = true;
    if (is_at(parser, '.', '.')) {
        parser->at++;
        good = skip_digits(parser) > 0;
    }
    if (good && is_at(parser, 'e', 'E')) {
        parser->at++;
        parser->at += is_at(parser, '+', '-');
        good = skip_digits(parser) > 0;
    }
    return good ? true : wrong(parser, "a number without digits");
}

static bool parse_word(struct parser *parser, const char *word, enum ice_kind kind, int64_t number,
                       struct ice_value *out)
{
    const size_t size = strlen(word);
    if ((size_t)(parser->end - parser->at) < size || memcmp(parser->at, word, size) != 0) {
        return wrong(parser, "a value is missing");
    }
    parser->at += size;
    out->kind = kind;
    out->number = number;
    return true;
}

static bool parse_scalar(struct parser *parser, struct ice_value *out)
{
    switch (peek(parser)) {
    case '"':
        out->kind = ICE_TEXT;
        return parse_text(parser, &out->text);
    case 't':
        return parse_word(parser, "true", ICE_BOOL, 1, out);
    case 'f':
        return parse_word(parser, "false", ICE_BOOL, 0, out);
    case 'n':
        return parse_word(parser, "null", ICE_NULL, 0, out);
    default:
        return parse_number(parser, out);
    }
}

/* ---- values ---- */

/* Texts of ours have a value in some 25 bytes. */
static size_t bytes_of_values(struct mrd_bytes text)
{
    return text.size / 16 * sizeof(struct ice_value);
}

/* Room for the next value, which is not there before it is counted in parser->values. */
static struct ice_value *add(struct parser *parser)
{
    if (value_count(parser) == MRD_ICEBERG_JSON_VALUES_MAX) {
        (void)fail(parser, MRD_E_LIMIT, "too many values");
        return NULL;
    }
    struct ice_value *value = (void *)mrd_buf_reserve(parser->values, sizeof(*value));
    if (value == NULL) {
        (void)fail(parser, MRD_E_LIMIT, "no memory for its values");
        return NULL;
    }
    parser->values->size += sizeof(*value);
    return value;
}

/* Of one size. Most differ where they begin. */
static bool is_same(struct mrd_bytes a, struct mrd_bytes b)
{
    return a.size == 0 || (a.data[0] == b.data[0] && memcmp(a.data, b.data, a.size) == 0);
}

static bool check_keys(struct parser *parser, size_t index)
{
    const struct ice_value *object = value_at(parser, index);
    if (object->count > MEMBERS_MAX) {
        return fail(parser, MRD_E_LIMIT, "an object of too many members");
    }
    const struct ice_value *member = object + 1;
    for (uint32_t i = 0; i < object->count; i++, member = ice_json_next(member)) {
        const struct ice_value *before = object + 1;
        for (uint32_t k = 0; k < i; k++, before = ice_json_next(before)) {
            if (before->key.size == member->key.size && is_same(before->key, member->key)) {
                return wrong(parser, "a key is there twice");
            }
        }
    }
    return true;
}

static bool parse_key(struct parser *parser, struct mrd_bytes *out)
{
    if (!parse_text(parser, out)) {
        return false;
    }
    return take(parser, ':') ? true : wrong(parser, "a ':' is missing");
}

static bool parse_value(struct parser *parser, struct mrd_bytes key);

/* Behind the bracket. */
static bool parse_inside(struct parser *parser, size_t index, bool object)
{
    uint32_t count = 0;
    if (!take(parser, object ? '}' : ']')) {
        do {
            struct mrd_bytes key = MRD_BYTES_NONE;
            if ((object && !parse_key(parser, &key)) || !parse_value(parser, key)) {
                return false;
            }
            count++;
        } while (take(parser, ','));
        if (!take(parser, object ? '}' : ']')) {
            return wrong(parser, "a bracket is not closed");
        }
    }
    value_at(parser, index)->count = count;
    value_at(parser, index)->span = (uint32_t)(value_count(parser) - index);
    return object ? check_keys(parser, index) : true;
}

static bool parse_value(struct parser *parser, struct mrd_bytes key)
{
    const uint8_t first = peek(parser);
    const bool object = first == '{';
    struct ice_value *value = add(parser);
    if (value == NULL) {
        return false;
    }
    value->count = 0;
    value->span = 1;
    value->key = key;
    if (!object && first != '[') {
        return parse_scalar(parser, value);
    }
    const size_t index = value_count(parser) - 1;
    value->kind = object ? ICE_OBJECT : ICE_ARRAY;
    value->number = 0;
    if (parser->depth == DEPTH_MAX) {
        return wrong(parser, "brackets within too many others");
    }
    parser->at++;
    parser->depth++;
    const bool good = parse_inside(parser, index, object);
    parser->depth--;
    return good;
}

enum mrd_status ice_json_parse(const char *what, struct mrd_bytes text, struct mrd_arena *arena,
                               struct ice_document *out, struct mrd_error *err)
{
    if (text.size > MRD_ICEBERG_METADATA_SIZE_MAX) {
        return mrd_fail(err, MRD_E_LIMIT, "%s has %zu bytes, at most %d", what, text.size,
                        MRD_ICEBERG_METADATA_SIZE_MAX);
    }
    struct parser parser = {.at = text.data,
                            .end = text.size == 0 ? text.data : text.data + text.size,
                            .values = &out->values,
                            .arena = arena};
    mrd_buf_clear(&out->values);
    if (mrd_buf_reserve(&out->values, bytes_of_values(text)) == NULL) {
        (void)fail(&parser, MRD_E_LIMIT, "no memory for its values");
    } else if (!mrd_bytes_utf8_valid(text)) {
        (void)wrong(&parser, "not UTF-8");
    } else if (parse_value(&parser, MRD_BYTES_NONE)) {
        skip_space(&parser);
        if (parser.at < parser.end) {
            (void)wrong(&parser, "something behind its end");
        }
    }
    if (parser.status == MRD_E_LIMIT) {
        return parser.wrong == NULL
                   ? mrd_arena_fail(arena, err)
                   : mrd_fail(err, MRD_E_LIMIT, "%s: %s (at most %d values, %d of an object)", what,
                              parser.wrong, MRD_ICEBERG_JSON_VALUES_MAX, MEMBERS_MAX);
    }
    return parser.status == MRD_OK
               ? MRD_OK
               : mrd_fail(err, MRD_E_CORRUPT, "%s is no JSON: %s (byte %zu)", what, parser.wrong,
                          text.size - (size_t)(parser.end - parser.at));
}
