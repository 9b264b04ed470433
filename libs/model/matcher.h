/* matcher.h: label matchers (=, !=, =~, !~) as in PromQL selectors.
 *
 * Regexes are RE2 (linear time whatever the pattern), fully anchored, dot matches newline:
 * ^(?s:PATTERN)$, as Prometheus compiles them. A pattern that is only an alternation of literals
 * ("a|b|c") or starts with a literal prefix says so, so that an index need not try every value.
 *
 * Owner:   mrd_matcher_fini frees the compiled regex; name and value are borrowed.
 * Threads: matching is const and thread-safe.
 */
#ifndef MRD_MODEL_MATCHER_H
#define MRD_MODEL_MATCHER_H

#include "model/labels.h"

enum mrd_match_type { MRD_MATCH_EQ, MRD_MATCH_NE, MRD_MATCH_RE, MRD_MATCH_NRE };

struct mrd_regex;

struct mrd_matcher {
    enum mrd_match_type type;
    struct mrd_bytes name;
    struct mrd_bytes value;  /* text or pattern */
    struct mrd_regex *regex; /* RE and NRE only */
};

enum { MRD_REGEX_SIZE_MAX = 16384 }; /* bytes of a pattern */

/* Compiles the regex if there is one. MRD_E_INVALID with RE2's words if it is not valid or too
 * large. */
MRD_MUST_CHECK enum mrd_status mrd_matcher_init(struct mrd_matcher *matcher,
                                                enum mrd_match_type type, struct mrd_bytes name,
                                                struct mrd_bytes value, struct mrd_error *err);
void mrd_matcher_fini(struct mrd_matcher *matcher);

/* True if `value` (empty for an absent label) satisfies the matcher. */
bool mrd_matcher_matches(const struct mrd_matcher *matcher, struct mrd_bytes value);

/* True if every matcher accepts the label set. */
bool mrd_matchers_match(const struct mrd_matcher *matchers, size_t count, struct mrd_labels labels);

/* "=", "!=", "=~", "!~". */
const char *mrd_match_type_text(enum mrd_match_type type);

/* ---- the regex alone (label_replace and relabelling use it too) ---- */

MRD_MUST_CHECK enum mrd_status
mrd_regex_compile(struct mrd_bytes pattern, struct mrd_regex **out_regex, struct mrd_error *err);
void mrd_regex_destroy(struct mrd_regex **regex);

bool mrd_regex_matches(const struct mrd_regex *regex, struct mrd_bytes text);

/* If the pattern is an alternation of at most a few hundred literals (or one literal), their number
 * and each of them; 0 otherwise. The views live as long as the regex. */
size_t mrd_regex_literal_count(const struct mrd_regex *regex);
struct mrd_bytes mrd_regex_literal(const struct mrd_regex *regex, size_t index);

/* A prefix that every match must have; empty if none is known. */
struct mrd_bytes mrd_regex_prefix(const struct mrd_regex *regex);

/* Matches and appends `replacement` to out with $1, ${1}, $name, ${name} and $$ expanded as Go's
 * Regexp.Expand does. False (and nothing appended) if text does not match. */
bool mrd_regex_expand(const struct mrd_regex *regex, struct mrd_bytes text,
                      struct mrd_bytes replacement, struct mrd_buf *out);

#endif
