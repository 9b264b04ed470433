/* Rules: Prometheus 3.14, promql/parser/lex.go. */
#include "promql/lexer.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/quote.h"

enum { END_OF_TEXT = -1 };

void pql_lexer_init(struct pql_lexer *lexer, struct mrd_bytes query)
{
    *lexer = (struct pql_lexer){.query = query.data == NULL ? MRD_BYTES("") : query};
}

/* ---- characters ---- */

static int peek_at(const struct pql_lexer *lexer, uint32_t ahead)
{
    const size_t at = (size_t)lexer->at + ahead;
    return at < lexer->query.size ? lexer->query.data[at] : END_OF_TEXT;
}
static int peek(const struct pql_lexer *lexer) { return peek_at(lexer, 0); }

static bool accept(struct pql_lexer *lexer, int c)
{
    if (c == END_OF_TEXT || peek(lexer) != c) {
        return false;
    }
    lexer->at++;
    return true;
}

static bool is_one_of(int c, const char *set) { return c > 0 && strchr(set, c) != NULL; }

static bool accept_one_of(struct pql_lexer *lexer, const char *set)
{
    return is_one_of(peek(lexer), set) && accept(lexer, peek(lexer));
}

static bool is_space(int c) { return is_one_of(c, " \t\n\r"); }
static bool is_digit(int c) { return c >= '0' && c <= '9'; }
static bool is_alpha(int c) { return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static bool is_alphanumeric(int c) { return is_alpha(c) || is_digit(c); }

/* Size of the UTF-8 character at `at`; 0 if it is none or is U+FFFD itself, which stands for one. */
static uint32_t character_size(const struct pql_lexer *lexer)
{
    const int first = peek(lexer);
    const uint32_t size = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    const struct mrd_bytes text = {lexer->query.data + lexer->at, size};
    if (lexer->query.size - lexer->at < size || !mrd_bytes_utf8_valid(text) ||
        mrd_bytes_equal(text, MRD_BYTES("\xef\xbf\xbd"))) {
        return 0;
    }
    return size;
}

/* ---- tokens ---- */

static struct pql_token emit(struct pql_lexer *lexer, enum pql_token_type type)
{
    const struct pql_token token = {
        type, lexer->start, {lexer->query.data + lexer->start, lexer->at - lexer->start}
    };
    lexer->start = lexer->at;
    return token;
}

static struct pql_token fail(struct pql_lexer *lexer, const char *text)
{
    (void)snprintf(lexer->error, sizeof(lexer->error), "%s", text);
    return (struct pql_token){PQL_T_ERROR, lexer->start, MRD_BYTES_NONE};
}

/* `text`, then the character at `offset` in single quotes, as Go's %q prints a rune. */
static struct pql_token fail_character(struct pql_lexer *lexer, const char *text, uint32_t offset)
{
    const struct pql_lexer there = {.query = lexer->query, .at = offset};
    if (offset >= lexer->query.size) {
        (void)snprintf(lexer->error, sizeof(lexer->error), "%s '\xef\xbf\xbd'", text);
        return (struct pql_token){PQL_T_ERROR, lexer->start, MRD_BYTES_NONE};
    }
    const int c = peek(&there);
    const uint32_t size = character_size(&there);
    if (size == 1 && (c == '\'' || c == '\\')) {
        (void)snprintf(lexer->error, sizeof(lexer->error), "%s '\\%c'", text, c);
    } else if (size == 1 && (c < 0x20 || c == 0x7f)) {
        (void)snprintf(lexer->error, sizeof(lexer->error), "%s '\\x%02x'", text, c);
    } else if (size == 0) {
        (void)snprintf(lexer->error, sizeof(lexer->error), "%s '\xef\xbf\xbd'", text);
    } else {
        (void)snprintf(lexer->error, sizeof(lexer->error), "%s '%.*s'", text, (int)size,
                       (const char *)lexer->query.data + offset);
    }
    return (struct pql_token){PQL_T_ERROR, lexer->start, MRD_BYTES_NONE};
}

static struct pql_token fail_here(struct pql_lexer *lexer, const char *text)
{
    return fail_character(lexer, text, lexer->at);
}

/* `text`, then what was read of the token, quoted and cut. */
static struct pql_token fail_token(struct pql_lexer *lexer, const char *text)
{
    struct mrd_buf quoted = {0};
    const struct mrd_bytes word = {lexer->query.data + lexer->start,
                                   MRD_MIN(lexer->at - lexer->start, (uint32_t)64)};
    mrd_quote_append(word, &quoted);
    (void)snprintf(lexer->error, sizeof(lexer->error), "%s: %.*s", text,
                   MRD_FMT(mrd_buf_view(&quoted)));
    mrd_buf_fini(&quoted);
    return (struct pql_token){PQL_T_ERROR, lexer->start, MRD_BYTES_NONE};
}

/* ---- words ---- */

/* clang-format off */
static const struct {
    const char *text;
    enum pql_token_type type;
} keywords[] = {
#define PQL_KEYWORD_ENTRY(id, word) {word, PQL_T_##id},
    PQL_KEYWORDS(PQL_KEYWORD_ENTRY)
#undef PQL_KEYWORD_ENTRY
    {"inf", PQL_T_NUMBER},
    {"nan", PQL_T_NUMBER},
};
/* clang-format on */

static enum pql_token_type keyword_type(struct mrd_bytes word)
{
    for (size_t i = 0; i < MRD_ARRAY_LEN(keywords); i++) {
        if (strlen(keywords[i].text) == word.size &&
            strncasecmp(keywords[i].text, (const char *)word.data, word.size) == 0) {
            return keywords[i].type;
        }
    }
    return PQL_T_IDENTIFIER;
}

static struct mrd_bytes token_text(const struct pql_lexer *lexer)
{
    return (struct mrd_bytes){lexer->query.data + lexer->start, lexer->at - lexer->start};
}

/* fill and its kin are keywords only in front of '(': they are plausible metric names. */
static bool paren_follows(const struct pql_lexer *lexer)
{
    uint32_t ahead = 0;
    while (is_space(peek_at(lexer, ahead))) {
        ahead++;
    }
    return peek_at(lexer, ahead) == '(';
}

static struct pql_token lex_word(struct pql_lexer *lexer)
{
    while (is_alphanumeric(peek(lexer)) || peek(lexer) == ':') {
        lexer->at++;
    }
    const struct mrd_bytes word = token_text(lexer);
    const enum pql_token_type type = keyword_type(word);
    if (type >= PQL_T_FILL && type <= PQL_T_FILL_RIGHT && !paren_follows(lexer)) {
        return emit(lexer, PQL_T_IDENTIFIER);
    }
    const bool colon = memchr(word.data, ':', word.size) != NULL;
    return emit(lexer, type == PQL_T_IDENTIFIER && colon ? PQL_T_METRIC : type);
}

/* step, range, min_of, max_of: the only words inside brackets. */
static bool lex_duration_word(struct pql_lexer *lexer, struct pql_token *out)
{
    if (!is_one_of(peek(lexer), "sSrRmM")) {
        return false;
    }
    while (is_alpha(peek(lexer))) {
        lexer->at++;
    }
    const enum pql_token_type type = keyword_type(token_text(lexer));
    if (type != PQL_T_STEP && type != PQL_T_RANGE && type != PQL_T_MIN_OF && type != PQL_T_MAX_OF) {
        lexer->at = lexer->start;
        return false;
    }
    *out = emit(lexer, type);
    return true;
}

/* ---- numbers and durations ---- */

static void accept_run(struct pql_lexer *lexer, const char *set)
{
    while (accept_one_of(lexer, set)) {}
}

/* Reads the longest text that looks like a number; false if it cannot be one. Whether it is, is
 * decided where its value is computed. */
static bool scan_number(struct pql_lexer *lexer)
{
    const char *digits = "0123456789";
    if (accept(lexer, '0') && accept_one_of(lexer, "xX")) {
        (void)accept(lexer, '_');
        digits = "0123456789abcdefABCDEF";
    }
    const bool hexadecimal = digits[10] != 0;
    (void)accept(lexer, '.');
    (void)accept_one_of(lexer, digits);
    bool dot = false;
    bool exponent = false;
    for (;;) {
        const int c = peek(lexer);
        if (c == '.') {
            lexer->at++;
            if (dot || accept_one_of(lexer, "_.") || hexadecimal) {
                return false;
            }
            dot = true;
        } else if (c == 'e' || c == 'E') {
            lexer->at++;
            if (exponent) {
                return false;
            }
            exponent = true;
            (void)accept_one_of(lexer, "+-");
            if (accept_one_of(lexer, "._eE") || peek(lexer) == END_OF_TEXT) {
                return false;
            }
        } else if (c == '_') {
            lexer->at++;
            if (accept_one_of(lexer, "._eE") || peek(lexer) == END_OF_TEXT) {
                return false;
            }
        } else if (is_one_of(c, digits)) {
            accept_run(lexer, digits);
        } else {
            break;
        }
    }
    return !is_alphanumeric(peek(lexer));
}

/* The units and further numbers after the first digits: "h30m" of "1h30m". */
static bool scan_duration_rest(struct pql_lexer *lexer)
{
    if (!accept_one_of(lexer, "smhdwy")) {
        return false;
    }
    (void)accept(lexer, 's');
    while (is_digit(peek(lexer))) {
        accept_run(lexer, "0123456789");
        if (!accept_one_of(lexer, "smhdw")) {
            return false;
        }
        (void)accept(lexer, 's');
    }
    if (is_alphanumeric(peek(lexer))) {
        lexer->at++; /* the error text shows it */
        return false;
    }
    return true;
}

static struct pql_token lex_number(struct pql_lexer *lexer)
{
    lexer->in_duration = false;
    if (scan_number(lexer)) {
        return emit(lexer, PQL_T_NUMBER);
    }
    if (scan_duration_rest(lexer)) {
        return emit(lexer, PQL_T_DURATION);
    }
    return fail_token(lexer, "bad number or duration syntax");
}

/* ---- strings ---- */

static int hex_value(int c)
{
    if (is_digit(c)) {
        return c - '0';
    }
    if (is_one_of(c, "abcdef")) {
        return c - 'a' + 10;
    }
    return is_one_of(c, "ABCDEF") ? c - 'A' + 10 : 16;
}

static struct pql_token fail_escape(struct pql_lexer *lexer, const char *before, const char *after)
{
    const int c = peek(lexer);
    if (c == END_OF_TEXT) {
        return fail(lexer, "escape sequence not terminated");
    }
    const uint32_t size = MRD_MAX(character_size(lexer), 1U);
    if (size > 1 || c >= 0x80) { /* rare enough to be told without its code point */
        (void)snprintf(lexer->error, sizeof(lexer->error), "%s%s", before, after);
    } else {
        (void)snprintf(lexer->error, sizeof(lexer->error), "%s U+%04X '%c'%s", before, (unsigned)c,
                       c, after);
    }
    return (struct pql_token){PQL_T_ERROR, lexer->start, MRD_BYTES_NONE};
}

/* Takes one escape, `at` behind the backslash; false and *out_failed if it is none. */
static bool scan_escape(struct pql_lexer *lexer, int quote, struct pql_token *out_failed)
{
    const int c = peek(lexer);
    if (is_one_of(c, "abfnrtv\\") || (c == quote && c != END_OF_TEXT)) {
        lexer->at++;
        return true;
    }
    int count = 3;
    uint32_t base = 8;
    uint32_t limit = 255;
    if (is_one_of(c, "xuU")) {
        lexer->at++;
        base = 16;
        count = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        limit = c == 'x' ? 255 : 0x10ffff;
    } else if (c < '0' || c > '7') {
        *out_failed = fail_escape(lexer, "unknown escape sequence", "");
        return false;
    }
    uint64_t code = 0;
    for (int i = 0; i < count; i++) {
        const uint32_t digit = (uint32_t)hex_value(peek(lexer));
        if (digit >= base) {
            *out_failed = fail_escape(lexer, "illegal character", " in escape sequence");
            return false;
        }
        code = code * base + digit;
        lexer->at++;
    }
    if (code > limit || (code >= 0xd800 && code < 0xe000)) {
        *out_failed = fail(lexer, "escape sequence is an invalid Unicode code point");
        return false;
    }
    return true;
}

static struct pql_token lex_string(struct pql_lexer *lexer)
{
    const int quote = peek(lexer);
    const bool raw = quote == '`';
    lexer->at++;
    while (!accept(lexer, quote)) {
        const int c = peek(lexer);
        if (c == END_OF_TEXT || (c == '\n' && !raw)) {
            return fail(lexer, raw ? "unterminated raw string" : "unterminated quoted string");
        }
        if (c == '\\' && !raw) {
            struct pql_token failed;
            lexer->at++;
            if (!scan_escape(lexer, quote, &failed)) {
                return failed;
            }
            continue;
        }
        const uint32_t size = character_size(lexer);
        if (size == 0) {
            return fail(lexer, "invalid UTF-8 rune");
        }
        lexer->at += size;
    }
    return emit(lexer, PQL_T_STRING);
}

/* ---- the three places ---- */

static struct pql_token lex_in_braces(struct pql_lexer *lexer)
{
    const int c = peek(lexer);
    if (c == END_OF_TEXT) {
        return fail(lexer, "unexpected end of input inside braces");
    }
    if (is_alpha(c)) {
        while (is_alphanumeric(peek(lexer))) {
            lexer->at++;
        }
        return emit(lexer, PQL_T_IDENTIFIER);
    }
    if (is_one_of(c, "\"'`")) {
        return lex_string(lexer);
    }
    lexer->at++;
    switch (c) {
    case ',':
        return emit(lexer, PQL_T_COMMA);
    case '=':
        return emit(lexer, accept(lexer, '~') ? PQL_T_RE : PQL_T_ASSIGN);
    case '!':
        if (accept(lexer, '~')) {
            return emit(lexer, PQL_T_NRE);
        }
        return accept(lexer, '=')
                   ? emit(lexer, PQL_T_NE)
                   : fail_here(lexer, "unexpected character after '!' inside braces:");
    case '}':
        lexer->in_braces = false;
        return emit(lexer, PQL_T_RIGHT_BRACE);
    case '{':
        return fail(lexer, "unexpected left brace '{'");
    default:
        return fail_character(lexer, "unexpected character inside braces:", lexer->start);
    }
}

/* Operators that mean the same wherever they stand; false if c is none of them. */
static bool plain_operator(int c, enum pql_token_type *out)
{
    static const struct {
        char c;
        enum pql_token_type type;
    } operators[] = {
        {'+', PQL_T_ADD  },
        {'-', PQL_T_SUB  },
        {'*', PQL_T_MUL  },
        {'/', PQL_T_DIV  },
        {'%', PQL_T_MOD  },
        {'^', PQL_T_POW  },
        {',', PQL_T_COMMA},
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(operators); i++) {
        if (operators[i].c == c) {
            *out = operators[i].type;
            return true;
        }
    }
    return false;
}

static struct pql_token lex_paren(struct pql_lexer *lexer)
{
    if (accept(lexer, '(')) {
        lexer->paren_depth++;
        return emit(lexer, PQL_T_LEFT_PAREN);
    }
    lexer->at++;
    if (--lexer->paren_depth < 0) {
        lexer->start = lexer->at; /* reported behind it */
        return fail(lexer, "unexpected right parenthesis ')'");
    }
    return emit(lexer, PQL_T_RIGHT_PAREN);
}

static struct pql_token lex_right_bracket(struct pql_lexer *lexer)
{
    lexer->at++;
    lexer->in_brackets = false;
    lexer->in_duration = false;
    return emit(lexer, PQL_T_RIGHT_BRACKET);
}

static struct pql_token lex_in_duration(struct pql_lexer *lexer)
{
    const int c = peek(lexer);
    enum pql_token_type type;
    struct pql_token word;
    if (c == END_OF_TEXT) {
        return fail(lexer, "unexpected end of input in duration expression");
    }
    if (c == '(' || c == ')') {
        return lex_paren(lexer);
    }
    if (c == ']') {
        lexer->got_colon = false;
        return lex_right_bracket(lexer);
    }
    if (c == ':') {
        lexer->at++;
        lexer->start = lexer->got_duration && !lexer->got_colon ? lexer->start : lexer->at;
        if (!lexer->got_duration) {
            return fail(lexer, "unexpected colon before duration in duration expression");
        }
        if (lexer->got_colon) {
            return fail(lexer, "unexpected repeated colon in duration expression");
        }
        lexer->got_colon = true;
        return emit(lexer, PQL_T_COLON);
    }
    if (plain_operator(c, &type)) {
        lexer->at++;
        return emit(lexer, type);
    }
    if (is_digit(c) || (c == '.' && is_digit(peek_at(lexer, 1)))) {
        lexer->got_duration = true;
        return lex_number(lexer);
    }
    if (lex_duration_word(lexer, &word)) {
        return word;
    }
    return fail_here(lexer, "unexpected character in duration expression:");
}

/* A letter or colon inside brackets, behind the first number. */
static struct pql_token lex_word_in_brackets(struct pql_lexer *lexer)
{
    struct pql_token word;
    if (peek(lexer) == ':') {
        if (lexer->got_colon) {
            return fail(lexer, "unexpected colon ':'");
        }
        lexer->at++;
        lexer->got_colon = true;
        return emit(lexer, PQL_T_COLON);
    }
    if (lex_duration_word(lexer, &word)) {
        return word;
    }
    struct pql_token failed = fail_here(lexer, "unexpected character:");
    (void)strncat(lexer->error, ", expected ':'", sizeof(lexer->error) - strlen(lexer->error) - 1);
    return failed;
}

static struct pql_token lex_comparison(struct pql_lexer *lexer)
{
    const int c = peek(lexer);
    lexer->at++;
    switch (c) {
    case '=':
        if (peek(lexer) == '~') {
            return fail(lexer, "unexpected character after '=': '~'");
        }
        return emit(lexer, accept(lexer, '=') ? PQL_T_EQ : PQL_T_ASSIGN);
    case '!':
        return accept(lexer, '=') ? emit(lexer, PQL_T_NE)
                                  : fail_here(lexer, "unexpected character after '!':");
    case '<':
        return emit(lexer, accept(lexer, '=')   ? PQL_T_LE
                           : accept(lexer, '/') ? PQL_T_TRIM_UPPER
                                                : PQL_T_LT);
    default:
        return emit(lexer, accept(lexer, '=')   ? PQL_T_GE
                           : accept(lexer, '/') ? PQL_T_TRIM_LOWER
                                                : PQL_T_GT);
    }
}

static struct pql_token lex_left_bracket(struct pql_lexer *lexer)
{
    if (lexer->in_brackets) {
        return fail(lexer, "unexpected left bracket '['");
    }
    lexer->at++;
    lexer->got_colon = false;
    lexer->in_brackets = true;
    lexer->in_duration = true;
    return emit(lexer, PQL_T_LEFT_BRACKET);
}

static struct pql_token lex_end(struct pql_lexer *lexer)
{
    if (lexer->paren_depth != 0) {
        return fail(lexer, "unclosed left parenthesis");
    }
    return lexer->in_brackets ? fail(lexer, "unclosed left bracket") : emit(lexer, PQL_T_EOF);
}

static struct pql_token lex_outside(struct pql_lexer *lexer)
{
    const int c = peek(lexer);
    enum pql_token_type type;
    if (c == END_OF_TEXT) {
        return lex_end(lexer);
    }
    if (is_one_of(c, "=!<>")) {
        return lex_comparison(lexer);
    }
    if (is_digit(c) || (c == '.' && is_digit(peek_at(lexer, 1)))) {
        return lex_number(lexer);
    }
    if (is_alpha(c) || c == ':') {
        return lexer->in_brackets ? lex_word_in_brackets(lexer) : lex_word(lexer);
    }
    switch (c) {
    case '"':
    case '\'':
    case '`':
        return lex_string(lexer);
    case '(':
    case ')':
        return lex_paren(lexer);
    case '[':
        return lex_left_bracket(lexer);
    case ']':
        return lexer->in_brackets ? lex_right_bracket(lexer)
                                  : fail(lexer, "unexpected right bracket ']'");
    default:
        break;
    }
    lexer->at++;
    if (c == '{') {
        lexer->in_braces = true;
        return emit(lexer, PQL_T_LEFT_BRACE);
    }
    if (c == '@') {
        return emit(lexer, PQL_T_AT);
    }
    if (plain_operator(c, &type)) {
        return emit(lexer, type);
    }
    return fail_character(lexer, "unexpected character:", lexer->start);
}

/* Spaces, and comments from '#' to the end of the line (not between '[' and the first number). */
static void skip_blank(struct pql_lexer *lexer)
{
    for (;;) {
        while (is_space(peek(lexer))) {
            lexer->at++;
        }
        if (peek(lexer) != '#' || lexer->in_duration) {
            break;
        }
        while (peek(lexer) != END_OF_TEXT && !is_one_of(peek(lexer), "\r\n")) {
            lexer->at++;
        }
    }
    lexer->start = lexer->at;
}

struct pql_token pql_lexer_next(struct pql_lexer *lexer)
{
    skip_blank(lexer);
    if (lexer->in_braces) {
        return lex_in_braces(lexer);
    }
    return lexer->in_duration ? lex_in_duration(lexer) : lex_outside(lexer);
}

/* ---- names of tokens in error texts ---- */

static const char *type_name(enum pql_token_type type)
{
    switch ((int)type) {
    case PQL_T_IDENTIFIER:
        return "identifier ";
    case PQL_T_METRIC:
        return "metric identifier ";
    case PQL_T_STRING:
        return "string ";
    case PQL_T_NUMBER:
        return "number ";
    case PQL_T_DURATION:
        return "duration ";
    default:
        return "";
    }
}

/* Quoted; of more than ten bytes only the first ten characters and "...". */
static void describe_cut(struct mrd_bytes text, struct mrd_buf *out)
{
    size_t size = 0;
    for (size_t count = 0; size < text.size && count < 10; count++) {
        size++;
        while (size < text.size && (text.data[size] & 0xc0) == 0x80) {
            size++;
        }
    }
    mrd_quote_append((struct mrd_bytes){text.data, size}, out);
    if (text.size > 10) {
        mrd_buf_append_text(out, "...");
    }
}

void pql_token_describe(const struct pql_token *token, struct mrd_buf *out)
{
    const enum pql_token_type type = token->type;
    if (type == PQL_T_EOF) {
        mrd_buf_append_text(out, "end of input");
        return;
    }
    mrd_buf_append_text(out, type_name(type));
    if (type == PQL_T_IDENTIFIER || type == PQL_T_METRIC) {
        mrd_quote_append(token->text, out);
    } else if (pql_token_is_modifier(type)) {
        mrd_buf_printf(out, "<%.*s>", MRD_FMT(token->text));
    } else if (pql_token_is_operator(type)) {
        mrd_buf_printf(out, "<op:%.*s>", MRD_FMT(token->text));
    } else if (pql_token_is_aggregation(type)) {
        mrd_buf_printf(out, "<aggr:%.*s>", MRD_FMT(token->text));
    } else {
        describe_cut(token->text, out);
    }
}
