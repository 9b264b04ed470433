/* regex_re2.h: the C face of RE2, a C++ library. Only matcher.c uses it. */
#ifndef MRD_MODEL_REGEX_RE2_H
#define MRD_MODEL_REGEX_RE2_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mrd_re2;

/* Compiles with dot matching newline and a memory bound; NULL and the words that Go's regexp has
 * for it in `error` if it is not a valid pattern. */
struct mrd_re2 *mrd_re2_compile(const char *pattern, size_t size, char *error, size_t error_size);
void mrd_re2_destroy(struct mrd_re2 *re2);

/* Matches all of text. Thread-safe. */
bool mrd_re2_full_match(const struct mrd_re2 *re2, const char *text, size_t size);

struct mrd_re2_span {
    const char *data; /* NULL: the group took no part in the match */
    size_t size;
};

/* Matches all of text and fills spans[0..count): 0 is the whole match. */
bool mrd_re2_full_match_groups(const struct mrd_re2 *re2, const char *text, size_t size,
                               struct mrd_re2_span *spans, size_t count);

size_t mrd_re2_group_count(const struct mrd_re2 *re2);

/* The index of the named group, or 0 if there is none. */
size_t mrd_re2_group_index(const struct mrd_re2 *re2, const char *name, size_t size);

#ifdef __cplusplus
}
#endif

#endif
