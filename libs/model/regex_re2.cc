#include "model/regex_re2.h"

#include <cstdio>
#include <new>
#include <re2/re2.h>
#include <vector>

struct mrd_re2 {
    re2::RE2 regex;
    mrd_re2(re2::StringPiece pattern, const re2::RE2::Options &options) : regex(pattern, options) {}
};

/* The words of Go's regexp/syntax, which Prometheus passes on. Both libraries see the same mistakes. */
static const char *words_of(re2::RE2::ErrorCode code)
{
    switch (code) {
    case re2::RE2::ErrorBadEscape:
        return "invalid escape sequence";
    case re2::RE2::ErrorBadCharClass:
        return "invalid character class";
    case re2::RE2::ErrorBadCharRange:
        return "invalid character class range";
    case re2::RE2::ErrorMissingBracket:
        return "missing closing ]";
    case re2::RE2::ErrorMissingParen:
        return "missing closing )";
    case re2::RE2::ErrorUnexpectedParen:
        return "unexpected )";
    case re2::RE2::ErrorTrailingBackslash:
        return "trailing backslash at end of expression";
    case re2::RE2::ErrorRepeatArgument:
        return "missing argument to repetition operator";
    case re2::RE2::ErrorRepeatSize:
        return "invalid repeat count";
    case re2::RE2::ErrorRepeatOp:
        return "invalid nested repetition operator";
    case re2::RE2::ErrorBadPerlOp:
        return "invalid or unsupported Perl syntax";
    case re2::RE2::ErrorBadUTF8:
        return "invalid UTF-8";
    case re2::RE2::ErrorBadNamedCapture:
        return "invalid named capture";
    case re2::RE2::ErrorPatternTooLarge:
        return "expression too large";
    case re2::RE2::NoError:
    case re2::RE2::ErrorInternal:
        break;
    }
    return "internal error";
}

static void tell(const re2::RE2 &regex, char *error, size_t error_size)
{
    if (regex.error_code() == re2::RE2::ErrorTrailingBackslash) {
        (void)std::snprintf(error, error_size, "%s: ``", words_of(regex.error_code()));
        return;
    }
    (void)std::snprintf(error, error_size, "%s: `%s`", words_of(regex.error_code()),
                        regex.error_arg().c_str());
}

struct mrd_re2 *mrd_re2_compile(const char *pattern, size_t size, char *error, size_t error_size)
{
    re2::RE2::Options options;
    options.set_dot_nl(true);
    options.set_log_errors(false);
    options.set_max_mem(8 << 20);
    auto *re2 = new (std::nothrow) mrd_re2(re2::StringPiece(pattern, size), options);
    if (re2 != nullptr && re2->regex.ok()) {
        return re2;
    }
    if (re2 == nullptr) {
        (void)std::snprintf(error, error_size, "out of memory");
        return nullptr;
    }
    tell(re2->regex, error, error_size);
    delete re2;
    return nullptr;
}

void mrd_re2_destroy(struct mrd_re2 *re2) { delete re2; }

bool mrd_re2_full_match(const struct mrd_re2 *re2, const char *text, size_t size)
{
    return mrd_re2_full_match_groups(re2, text, size, nullptr, 0);
}

bool mrd_re2_full_match_groups(const struct mrd_re2 *re2, const char *text, size_t size,
                               struct mrd_re2_span *spans, size_t count)
{
    static const char empty[1] = "";
    const re2::StringPiece piece(text == nullptr ? empty : text, size);
    std::vector<re2::StringPiece> groups(count);
    if (!re2->regex.Match(piece, 0, size, re2::RE2::ANCHOR_BOTH, groups.data(),
                          static_cast<int>(count))) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        spans[i] = {groups[i].data(), groups[i].size()};
    }
    return true;
}

size_t mrd_re2_group_count(const struct mrd_re2 *re2)
{
    return static_cast<size_t>(re2->regex.NumberOfCapturingGroups());
}

size_t mrd_re2_group_index(const struct mrd_re2 *re2, const char *name, size_t size)
{
    const auto &names = re2->regex.NamedCapturingGroups();
    const auto found = names.find(std::string(name, size));
    return found == names.end() ? 0 : static_cast<size_t>(found->second);
}
