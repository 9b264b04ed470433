/* parse.h: text to checked syntax tree.
 *
 * Grammar, checks and error texts are those of Prometheus 3.14: "LINE:COL: parse error: TEXT", lines
 * and bytes counted from 1. Hostile input is bounded: MRD_QUERY_SIZE_MAX bytes, MRD_QUERY_DEPTH_MAX
 * levels of nesting, the arena for everything else.
 */
#ifndef MRD_PROMQL_PARSE_H
#define MRD_PROMQL_PARSE_H

#include "promql/ast.h"

enum {
    MRD_QUERY_SIZE_MAX = 1024 * 1024,
    MRD_QUERY_DEPTH_MAX = 500, /* keeps every recursion over a tree within a small stack */
};

/* Parts of the language that Prometheus keeps behind flags. */
struct mrd_promql_features {
    bool experimental_functions;   /* and the aggregations limitk, limit_ratio */
    bool extended_range_selectors; /* anchored, smoothed */
    bool binop_fill_modifiers;     /* fill, fill_left, fill_right */
    bool no_duration_expressions;  /* they are on by default */
};

/* Parses and checks. On success *out owns regexes: mrd_ast_fini. MRD_E_INVALID with the text above,
 * MRD_E_LIMIT from the arena. */
MRD_MUST_CHECK enum mrd_status mrd_promql_parse(struct mrd_bytes query,
                                                const struct mrd_promql_features *features,
                                                struct mrd_arena *arena, struct mrd_ast *out,
                                                struct mrd_error *err);

/* A selector alone, as in match[]: name and matchers, no offset, no range. One that matches everything
 * ({}) passes: ask mrd_matchers_select. */
MRD_MUST_CHECK enum mrd_status mrd_promql_parse_selector(struct mrd_bytes text,
                                                         struct mrd_arena *arena,
                                                         struct mrd_ast *out,
                                                         struct mrd_error *err);

/* True if some matcher refuses the empty string, so that the selector cannot mean every series. */
bool mrd_matchers_select(const struct mrd_matcher *matchers, size_t count);

#endif
