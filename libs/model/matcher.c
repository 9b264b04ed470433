#include "model/matcher.h"

#include <stdlib.h>

#include "model/regex_re2.h"

enum { REGEX_LITERALS_MAX = 1024, REGEX_GROUPS_MAX = 128 };

struct mrd_regex {
    struct mrd_re2 *re2;
    struct mrd_buf literals_text; /* unescaped literals, one after the other */
    struct mrd_bytes *literals;   /* into literals_text */
    size_t literal_count;
    struct mrd_buf prefix;
};

static bool is_meta(uint8_t c) { return c != 0 && strchr("\\.+*?()|[]{}^$", c) != NULL; }

/* Reads one literal byte at pattern[*at], unescaping \. and the like; false at anything else. */
static bool literal_byte(struct mrd_bytes pattern, size_t *at, uint8_t *out)
{
    uint8_t c = pattern.data[*at];
    size_t used = 1;
    if (c == '\\') {
        if (*at + 1 >= pattern.size || !is_meta(pattern.data[*at + 1])) {
            return false;
        }
        c = pattern.data[*at + 1];
        used = 2;
    } else if (is_meta(c)) {
        return false;
    }
    *at += used;
    *out = c;
    return true;
}

/* Takes one pair of parentheses (capturing or not) off that encloses the whole pattern. */
static struct mrd_bytes strip_group(struct mrd_bytes pattern)
{
    if (pattern.size < 2 || pattern.data[0] != '(' || pattern.data[pattern.size - 1] != ')') {
        return pattern;
    }
    struct mrd_bytes inner = {pattern.data + 1, pattern.size - 2};
    if (inner.size >= 2 && memcmp(inner.data, "?:", 2) == 0) {
        inner.data += 2;
        inner.size -= 2;
    }
    return inner; /* anything nested is no literal and gives the attempt up */
}

/* Fills the literal set if the pattern is literal ('|' literal)*. */
static void regex_find_literals(struct mrd_regex *regex, struct mrd_bytes pattern)
{
    pattern = strip_group(pattern);
    size_t ends[REGEX_LITERALS_MAX];
    if (mrd_buf_reserve(&regex->literals_text, pattern.size + 1) == NULL) {
        return; /* no literals known; the regex itself still works */
    }
    size_t count = 0;
    size_t at = 0;
    for (;;) {
        if (at == pattern.size || pattern.data[at] == '|') {
            if (count == REGEX_LITERALS_MAX) {
                return;
            }
            ends[count++] = regex->literals_text.size;
            if (at == pattern.size) {
                break;
            }
            at++;
            continue;
        }
        uint8_t c;
        if (!literal_byte(pattern, &at, &c)) {
            return;
        }
        mrd_buf_append_u8(&regex->literals_text, c);
    }
    regex->literals = calloc(count, sizeof(*regex->literals));
    mrd_assert(regex->literals != NULL);
    size_t start = 0;
    for (size_t i = 0; i < count; i++) {
        regex->literals[i] = (struct mrd_bytes){regex->literals_text.data + start, ends[i] - start};
        start = ends[i];
    }
    regex->literal_count = count;
}

/* Literal bytes at the start, up to the first byte that an operator could make optional. */
static void regex_find_prefix(struct mrd_regex *regex, struct mrd_bytes pattern)
{
    for (size_t i = 0; i < pattern.size; i++) {
        if (pattern.data[i] == '|') {
            return;
        }
    }
    size_t at = 0;
    while (at < pattern.size) {
        uint8_t c;
        size_t next = at;
        if (!literal_byte(pattern, &next, &c) || c >= 0x80) {
            return; /* an operator binds to a whole UTF-8 character: stop before those */
        }
        if (next < pattern.size && pattern.data[next] != 0 &&
            strchr("*+?{", pattern.data[next]) != NULL) {
            return;
        }
        mrd_buf_append_u8(&regex->prefix, c);
        at = next;
    }
}

enum mrd_status mrd_regex_compile(struct mrd_bytes pattern, struct mrd_regex **out_regex,
                                  struct mrd_error *err)
{
    if (pattern.size > MRD_REGEX_SIZE_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "regular expression of %zu bytes: at most %d are taken",
                        pattern.size, MRD_REGEX_SIZE_MAX);
    }
    mrd_auto(mrd_regex_destroy)
    struct mrd_regex *regex = calloc(1, sizeof(*regex));
    mrd_assert(regex != NULL);
    char reason[256];
    regex->re2 = mrd_re2_compile(pattern.size == 0 ? "" : (const char *)pattern.data, pattern.size,
                                 reason, sizeof(reason));
    if (regex->re2 == NULL) {
        return mrd_fail(err, MRD_E_INVALID, "error parsing regexp: %s", reason);
    }
    regex_find_literals(regex, pattern);
    if (regex->literal_count == 0) {
        regex_find_prefix(regex, pattern);
    }
    *out_regex = MRD_MOVE(regex);
    return MRD_OK;
}

void mrd_regex_destroy(struct mrd_regex **regex)
{
    if (*regex == NULL) {
        return;
    }
    mrd_re2_destroy((*regex)->re2);
    mrd_buf_fini(&(*regex)->literals_text);
    mrd_buf_fini(&(*regex)->prefix);
    free((*regex)->literals);
    free(*regex);
    *regex = NULL;
}

bool mrd_regex_matches(const struct mrd_regex *regex, struct mrd_bytes text)
{
    return mrd_re2_full_match(regex->re2, (const char *)text.data, text.size);
}

size_t mrd_regex_literal_count(const struct mrd_regex *regex) { return regex->literal_count; }

struct mrd_bytes mrd_regex_literal(const struct mrd_regex *regex, size_t index)
{
    mrd_assert(index < regex->literal_count);
    return regex->literals[index];
}

struct mrd_bytes mrd_regex_prefix(const struct mrd_regex *regex)
{
    return mrd_buf_view(&regex->prefix);
}

static bool is_word(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* Reads a reference behind '$' at text[at]; its name, and where the text goes on. Size 0 if there is
 * none. Go: regexp.extract. */
static struct mrd_bytes reference_at(struct mrd_bytes text, size_t at, size_t *out_next)
{
    const bool brace = at < text.size && text.data[at] == '{';
    const size_t start = at + (brace ? 1 : 0);
    size_t end = start;
    while (end < text.size && is_word(text.data[end])) {
        end++;
    }
    if (brace && (end == text.size || text.data[end] != '}')) {
        return MRD_BYTES_NONE;
    }
    *out_next = end + (brace ? 1 : 0);
    return (struct mrd_bytes){text.data + start, end - start};
}

/* The group that a reference names: a number or a name; SIZE_MAX if there is no such group. */
static size_t reference_group(const struct mrd_regex *regex, struct mrd_bytes name)
{
    size_t number = 0;
    for (size_t i = 0; i < name.size; i++) {
        const uint8_t c = name.data[i];
        if (c < '0' || c > '9' || number > REGEX_GROUPS_MAX) {
            const size_t index =
                mrd_re2_group_index(regex->re2, (const char *)name.data, name.size);
            return index == 0 ? SIZE_MAX : index;
        }
        number = number * 10 + (size_t)(c - '0');
    }
    return number;
}

bool mrd_regex_expand(const struct mrd_regex *regex, struct mrd_bytes text,
                      struct mrd_bytes replacement, struct mrd_buf *out)
{
    struct mrd_re2_span spans[REGEX_GROUPS_MAX];
    const size_t count = MRD_MIN(mrd_re2_group_count(regex->re2) + 1, (size_t)REGEX_GROUPS_MAX);
    if (!mrd_re2_full_match_groups(regex->re2, (const char *)text.data, text.size, spans, count)) {
        return false;
    }
    size_t at = 0;
    while (at < replacement.size) {
        const uint8_t c = replacement.data[at++];
        if (c != '$') {
            mrd_buf_append_u8(out, c);
            continue;
        }
        if (at < replacement.size && replacement.data[at] == '$') {
            mrd_buf_append_u8(out, '$');
            at++;
            continue;
        }
        size_t next = at;
        const struct mrd_bytes name = reference_at(replacement, at, &next);
        if (name.size == 0) {
            mrd_buf_append_u8(out, '$');
            continue;
        }
        at = next;
        const size_t group = reference_group(regex, name);
        if (group < count && spans[group].data != NULL) {
            mrd_buf_append(out, spans[group].data, spans[group].size);
        }
    }
    return true;
}

enum mrd_status mrd_matcher_init(struct mrd_matcher *matcher, enum mrd_match_type type,
                                 struct mrd_bytes name, struct mrd_bytes value,
                                 struct mrd_error *err)
{
    struct mrd_regex *regex = NULL;
    if (type == MRD_MATCH_RE || type == MRD_MATCH_NRE) {
        MRD_TRY(mrd_regex_compile(value, &regex, err));
    }
    *matcher = (struct mrd_matcher){type, name, value, regex};
    return MRD_OK;
}

void mrd_matcher_fini(struct mrd_matcher *matcher) { mrd_regex_destroy(&matcher->regex); }

bool mrd_matcher_matches(const struct mrd_matcher *matcher, struct mrd_bytes value)
{
    switch (matcher->type) {
    case MRD_MATCH_EQ:
        return mrd_bytes_equal(matcher->value, value);
    case MRD_MATCH_NE:
        return !mrd_bytes_equal(matcher->value, value);
    case MRD_MATCH_RE:
        return mrd_regex_matches(matcher->regex, value);
    case MRD_MATCH_NRE:
        return !mrd_regex_matches(matcher->regex, value);
    }
    mrd_assert_failed("a known match type", __FILE__, __LINE__);
}

bool mrd_matchers_match(const struct mrd_matcher *matchers, size_t count, struct mrd_labels labels)
{
    for (size_t i = 0; i < count; i++) {
        if (!mrd_matcher_matches(&matchers[i], mrd_labels_get(labels, matchers[i].name))) {
            return false;
        }
    }
    return true;
}

const char *mrd_match_type_text(enum mrd_match_type type)
{
    static const char *const texts[] = {"=", "!=", "=~", "!~"};
    return texts[type];
}
