#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "promql/parse.h"
#include "promql/print.h"

static const struct mrd_promql_features everything = {
    .experimental_functions = true,
    .extended_range_selectors = true,
    .binop_fill_modifiers = true,
};

/* Parses; the caller frees the arena and the tree. */
static struct mrd_ast parse_ok(const char *query, struct mrd_arena *arena)
{
    struct mrd_ast ast = {0};
    struct mrd_error err = {0};
    if (mrd_promql_parse(mrd_bytes_of(query), &everything, arena, &ast, &err) != MRD_OK) {
        fail_msg("\"%s\": %s", query, err.text);
    }
    return ast;
}

/* ---- what is valid, and how it is written canonically (NULL: as it came) ---- */

static const struct {
    const char *query;
    const char *printed;
} valid[] = {
  /* numbers: durations are numbers */
    {"1",                                         NULL                                          },
    {"+Inf",                                      NULL                                          },
    {"-inf",                                      "-Inf"                                        },
    {"NaN",                                       NULL                                          },
    {"inf ^ 2",                                   "Inf ^ 2"                                     },
    {".5",                                        "0.5"                                         },
    {"5.",                                        "5"                                           },
    {"1e3",                                       "1000"                                        },
    {"123.4567e-3",                               "0.1234567"                                   },
    {"0xc",                                       "12"                                          },
    {"0755",                                      "493"                                         },
    {"089",                                       "89"                                          },
    {"1_000",                                     "1000"                                        },
    {"1h30m",                                     NULL                                          },
    {"90s",                                       "1m30s"                                       },
    {"51h",                                       "2d3h"                                        },
    {"-5m",                                       NULL                                          },
    {"1 + 2/(3*1)",                               "1 + 2 / (3 * 1)"                             },
    {"--1",                                       "1"                                           },
    {"-1^2",                                      "-1 ^ 2"                                      },
    {"2^-1*3",                                    "2 ^ -1 * 3"                                  },
    {"(-1)^2",                                    "(-1) ^ 2"                                    },
    {"-foo",                                      NULL                                          },
    {"+foo",                                      NULL                                          },
    {"-foo offset 5m",                            NULL                                          },
    {"1 == bool 1",                               NULL                                          },
    {"1 atan2 2",                                 NULL                                          },
 /* strings */
    {"\"a\\tb\\x41\\u00e9\\U0001F600\\101\"",     "\"a\\tbA\xc3\xa9\xf0\x9f\x98\x80"
                                              "A\""},
    {"'it\\'s'",                                  "\"it's\""                                    },
    {"`raw\\n`",                                  "\"raw\\\\n\""                                },
    {"foo{a='b'}",                                "foo{a=\"b\"}"                                },
 /* selectors */
    {"foo",                                       NULL                                          },
    {"foo:bar",                                   NULL                                          },
    {"foo{}",                                     "foo"                                         },
    {"foo{a=\"b\",}",                             "foo{a=\"b\"}"                                },
    {"foo{b!=\"c\", a=~\"x|y\", c!~\"z\"}",       "foo{a=~\"x|y\",b!=\"c\",c!~\"z\"}"           },
    {"{a=\"b\"}",                                 NULL                                          },
    {"{\"foo\"}",                                 "{__name__=\"foo\"}"                          },
    {"{\"a.b\", \"l.x\"=\"v\"}",                  "{\"l.x\"=\"v\",__name__=\"a.b\"}"            },
    {"{__name__=~\"a.+\"}",                       NULL                                          },
    {"sum",                                       NULL                                          },
    {"sum{by=\"on\"}",                            NULL                                          },
    {"offset offset 5m",                          NULL                                          },
    {"by + without",                              NULL                                          },
    {"start{a=\"b\"}",                            NULL                                          },
    {"fill + fill_left",                          NULL                                          },
    {"foo # a comment",                           "foo"                                         },
    {"foo{ # here too\na=\"b\"}",                 "foo{a=\"b\"}"                                },
 /* time */
    {"foo[5m]",                                   NULL                                          },
    {"foo[300]",                                  "foo[5m]"                                     },
    {"foo[1.5]",                                  "foo[1s500ms]"                                },
    {"foo offset 5m",                             NULL                                          },
    {"foo offset -1w",                            NULL                                          },
    {"foo[5m] offset 1h @ 123.4567",              "foo[5m] @ 123.457 offset 1h"                 },
    {"foo @ start() offset 1m",                   NULL                                          },
    {"foo[5m] @ end()",                           NULL                                          },
    {"foo @ -1",                                  "foo @ -1.000"                                },
    {"foo @ 1m",                                  "foo @ 60.000"                                },
    {"rate(foo[1m])[1h:5m] offset 1m @ 10",       "rate(foo[1m])[1h:5m] @ 10.000 offset 1m"     },
    {"foo[5m:]",                                  NULL                                          },
    {"(foo)[5m:1s]",                              NULL                                          },
    {"foo[5m] anchored",                          NULL                                          },
    {"foo smoothed",                              NULL                                          },
    {"foo[5m] smoothed offset 1m",                NULL                                          },
 /* duration expressions */
    {"foo[5m+1m*2]",                              "foo[5m + 1m * 2]"                            },
    {"foo[(1m+step())^2:range()/2]",              "foo[(1m + step()) ^ 2:range() / 2]"          },
    {"foo[min_of(step(), 5m)]",                   NULL                                          },
    {"foo offset (5)",                            NULL                                          },
    {"foo offset -(5m+1s)",                       "foo offset -(5m + 1s)"                       },
    {"foo offset -2^2",                           "foo offset -2s ^ 2"                          },
    {"foo offset step() + 1",                     NULL                                          },
    {"foo offset +(1) + bar",                     NULL                                          },
    {"foo offset (1) + 2 @ 3 + bar",              "foo @ 3.000 offset +((1) + 2) + bar"         },
    {"foo offset --1 + 2",                        "foo offset +(1 + 2)"                         },
    {"foo offset max_of(1m, -(2s % 3))",          NULL                                          },
    {"foo[-(-5m)]",                               NULL                                          },
 /* operators */
    {"a + on () b",                               NULL                                          },
    {"a * on (x, y) group_left (z) b",            NULL                                          },
    {"a * ignoring (x) group_right b",            "a * ignoring (x) group_right () b"           },
    {"a > bool ignoring (x) b",                   NULL                                          },
    {"a and on (x) b or c unless d",              NULL                                          },
    {"a </ 5",                                    NULL                                          },
    {"a >/ b",                                    NULL                                          },
    {"a + on (\"x.y\", sum) b",                   NULL                                          },
    {"a + fill (5) b",                            NULL                                          },
    {"a + on (x) fill_right(-1) fill_left(2) b",  "a + on (x) fill_left (2) fill_right (-1) b"  },
    {"a == 1 > 2",                                NULL                                          },
    {"2 ^ 3 ^ 2",                                 NULL                                          },
 /* aggregations and calls */
    {"sum(foo)",                                  NULL                                          },
    {"SUM by (a) (foo)",                          "sum by (a) (foo)"                            },
    {"sum(foo) by (a, b,)",                       "sum by (a, b) (foo)"                         },
    {"sum by () (foo)",                           "sum(foo)"                                    },
    {"sum without () (foo)",                      NULL                                          },
    {"topk(3, foo)",                              NULL                                          },
    {"count_values(\"v\", foo)",                  NULL                                          },
    {"limitk by (\"a.b\") (2, foo)",              NULL                                          },
    {"time()",                                    NULL                                          },
    {"round(foo)",                                NULL                                          },
    {"round(foo, 5)",                             NULL                                          },
    {"label_join(foo, \"a\", \"b\")",             NULL                                          },
    {"histogram_quantiles(foo, \"q\", 0.5, 0.9)", NULL                                          },
    {"info(foo, {a=~\".*\"})",                    NULL                                          },
    {"start() + step()",                          NULL                                          },
    {"min_of(1, 2)",                              NULL                                          },
    {"start_timestamp(foo)",                      NULL                                          },
};

static void valid_queries_are_printed_canonically(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(valid); i++) {
        struct mrd_arena *arena = mrd_arena_create("test", 1 << 20);
        struct mrd_ast ast = parse_ok(valid[i].query, arena);
        struct mrd_buf text = {0};
        mrd_expr_print(ast.root, &text);
        mrd_buf_append_u8(&text, 0);
        assert_string_equal(text.data,
                            valid[i].printed != NULL ? valid[i].printed : valid[i].query);
        mrd_buf_fini(&text);
        mrd_ast_fini(&ast);
        mrd_arena_destroy(&arena);
    }
}

static void long_queries_are_formatted_over_several_lines(void **state)
{
    (void)state;
    static const char query[] =
        "topk by (a) (3, -sum by (instance, job) (rate(some_long_metric_name_total{a=\"b\"}[5m])) "
        "/ on (instance) group_left (job) (max_over_time(sum(another_metric)[30m:1m]) + 1))";
    static const char want[] =
        "topk by (a) (\n"
        "  3,\n"
        "    -sum by (instance, job) (rate(some_long_metric_name_total{a=\"b\"}[5m]))\n"
        "  / on (instance) group_left (job)\n"
        "    (max_over_time(sum(another_metric)[30m:1m]) + 1)\n"
        ")";
    struct mrd_arena *arena = mrd_arena_create("test", 1 << 20);
    struct mrd_ast ast = parse_ok(query, arena);
    struct mrd_buf text = {0};
    mrd_expr_print_pretty(ast.root, &text);
    mrd_buf_append_u8(&text, 0);
    assert_string_equal(text.data, want);
    mrd_buf_fini(&text);
    mrd_ast_fini(&ast);
    mrd_arena_destroy(&arena);
}

/* ---- what is not, with the texts of Prometheus 3.14 ---- */

static const struct {
    const char *query;
    const char *error;
} invalid[] = {
  /* clang-format off */
    {"",
     "unknown position: parse error: no expression found in input"},
    {" ",
     "1:1: parse error: no expression found in input"},
    {"# only a comment",
     "1:1: parse error: no expression found in input"},
    {"1 +",
     "1:4: parse error: unexpected end of input"},
    {"foo bar",
     "1:5: parse error: unexpected identifier \"bar\""},
    {"foo $",
     "1:5: parse error: unexpected character: '$'"},
    {"(foo",
     "1:5: parse error: unclosed left parenthesis"},
    {"foo)",
     "1:5: parse error: unexpected right parenthesis ')'"},
    {"()",
     "1:2: parse error: unexpected \")\""},
    {"1 2",
     "1:3: parse error: unexpected number \"2\""},
    {"\"abc",
     "1:1: parse error: unterminated quoted string"},
    {"'abc",
     "1:1: parse error: unterminated quoted string"},
    {"`abc",
     "1:1: parse error: unterminated raw string"},
    {"\"\\c\"",
     "1:1: parse error: unknown escape sequence U+0063 'c'"},
    {"\"\\x4\"",
     "1:1: parse error: illegal character U+0022 '\"' in escape sequence"},
    {"\"\\ud800\"",
     "1:1: parse error: escape sequence is an invalid Unicode code point"},
    {"foo{",
     "1:5: parse error: unexpected end of input inside braces"},
    {"foo{a}",
     "1:6: parse error: unexpected \"}\" in label matching, expected label matching operator"},
    {"foo{a=}",
     "1:7: parse error: unexpected \"}\" in label matching, expected string"},
    {"foo{a=b}",
     "1:7: parse error: unexpected identifier \"b\" in label matching, expected string"},
    {"foo{a=\"b\" c=\"d\"}",
     "1:11: parse error: unexpected identifier \"c\" in label matching, expected \",\" or \"}\""},
    {"foo{,}",
     "1:5: parse error: unexpected \",\" in label matching, expected identifier or \"}\""},
    {"foo{a=\"b\",,}",
     "1:11: parse error: unexpected \",\" in label matching, expected identifier or \"}\""},
    {"foo{a==\"b\"}",
     "1:7: parse error: unexpected \"=\" in label matching, expected string"},
    {"foo{a!\"b\"}",
     "1:6: parse error: unexpected character after '!' inside braces: '\"'"},
    {"{}",
     "1:1: parse error: vector selector must contain at least one non-empty matcher"},
    {"{a=\"\"}",
     "1:1: parse error: vector selector must contain at least one non-empty matcher"},
    {"{a=~\".*\"}",
     "1:1: parse error: vector selector must contain at least one non-empty matcher"},
    {"{a!=\"b\"}",
     "1:1: parse error: vector selector must contain at least one non-empty matcher"},
    {"foo{__name__=\"bar\"}",
     "1:1: parse error: metric name must not be set twice: \"foo\" or \"bar\""},
    {"foo[",
     "1:5: parse error: unexpected end of input in duration expression"},
    {"foo[5m",
     "1:7: parse error: unclosed left bracket"},
    {"foo[]",
     "1:5: parse error: unexpected \"]\" in subquery or range selector, expected number, duration, step(), or range()"},
    {"foo[5m:1m",
     "1:10: parse error: unclosed left bracket"},
    {"foo[0]",
     "1:5: parse error: duration must be greater than 0"},
    {"foo[-5m]",
     "1:5: parse error: duration must be greater than 0"},
    {"foo[5m:0s]",
     "1:8: parse error: duration must be greater than 0"},
    {"foo[5mm]",
     "1:5: parse error: bad number or duration syntax: \"5mm\""},
    {"foo[5m1h]",
     "1:5: parse error: not a valid duration string: \"5m1h\""},
    {"foo[1h1h]",
     "1:5: parse error: not a valid duration string: \"1h1h\""},
    {"foo[5hs]",
     "1:5: parse error: unknown unit \"hs\" in duration \"5hs\""},
    {"foo[5m foo]",
     "1:8: parse error: unexpected character: 'f', expected ':'"},
    {"foo[step():1m]",
     "1:12: parse error: unexpected colon before duration in duration expression"},
    {"foo[5m/0]",
     "1:7: parse error: division by zero"},
    {"foo[5m%0]",
     "1:7: parse error: modulo by zero"},
    {"foo[300y]",
     "1:5: parse error: duration out of range"},
    {"foo offset 5m[5m]",
     "1:14: parse error: no offset modifiers allowed before range"},
    {"foo @ 5[5m]",
     "1:8: parse error: no @ modifiers allowed before range"},
    {"foo[5m][5m]",
     "1:8: parse error: ranges only allowed for vector selectors"},
    {"1[5m]",
     "1:2: parse error: ranges only allowed for vector selectors"},
    {"foo offset",
     "1:11: parse error: unexpected end of input in offset, expected number, duration, step(), or range()"},
    {"foo offset bar",
     "1:12: parse error: unexpected identifier \"bar\" in offset, expected number, duration, step(), or range()"},
    {"foo offset 5m offset 5m",
     "1:1: parse error: offset may not be set multiple times"},
    {"(foo) offset 5m",
     "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery"},
    {"sum(foo) offset 5m",
     "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery"},
    {"foo @",
     "1:6: parse error: unexpected end of input in @, expected timestamp"},
    {"foo @ bar",
     "1:7: parse error: unexpected identifier \"bar\" in @, expected timestamp"},
    {"foo @ start",
     "1:12: parse error: unexpected end of input in @, expected timestamp"},
    {"foo @ start()[5m]",
     "1:14: parse error: no @ modifiers allowed before range"},
    {"foo @ 1 @ 2",
     "1:1: parse error: @ <timestamp> may not be set multiple times"},
    {"foo @ 1e30",
     "1:1: parse error: timestamp out of bounds for @ modifier: 1000000000000000019884624838656.000000"},
    {"foo @ Inf",
     "1:1: parse error: timestamp out of bounds for @ modifier: +Inf"},
    {"1 @ 1",
     "1:1: parse error: @ modifier must be preceded by an instant vector selector or range vector selector or a subquery"},
    {"1 == 1",
     "1:3: parse error: comparisons between scalars must use BOOL modifier"},
    {"a + bool b",
     "1:3: parse error: bool modifier can only be used on comparison operators"},
    {"a and 1",
     "1:1: parse error: set operator \"and\" not allowed in binary scalar expression"},
    {"1 or 1",
     "1:1: parse error: set operator \"or\" not allowed in binary scalar expression"},
    {"a + on(x) 1",
     "1:1: parse error: vector matching only allowed between instant vectors"},
    {"a + fill(1) 2",
     "1:1: parse error: filling in missing series only allowed between instant vectors"},
    {"a + on(x) group_left(x) b",
     "1:3: parse error: label \"x\" must not occur in ON and GROUP clause at once"},
    {"a and on(x) group_left b",
     "1:1: parse error: no grouping allowed for \"and\" operation"},
    {"a and fill(1) b",
     "1:1: parse error: filling in missing series not allowed for set operators"},
    {"a + group_left b",
     "1:5: parse error: unexpected <group_left>"},
    {"a + on x b",
     "1:8: parse error: unexpected identifier \"x\" in grouping opts, expected \"(\""},
    {"a + on(1) b",
     "1:8: parse error: unexpected number \"1\" in grouping opts, expected label"},
    {"a + on(x y) b",
     "1:10: parse error: unexpected identifier \"y\" in grouping opts, expected \",\" or \")\""},
    {"a + on(\"\") b",
     "1:8: parse error: invalid label name for grouping: \"\""},
    {"a == \"b\"",
     "1:6: parse error: binary expression must contain only scalar and instant vector types"},
    {"-\"a\"",
     "1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got \"string\""},
    {"-foo[5m]",
     "1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got \"range vector\""},
    {"foo[5m] + 1",
     "1:1: parse error: binary expression must contain only scalar and instant vector types"},
    {"sum foo",
     "1:5: parse error: unexpected identifier \"foo\""},
    {"sum()",
     "1:1: parse error: no arguments for aggregate expression provided"},
    {"sum(1)",
     "1:5: parse error: expected type instant vector in aggregation expression, got scalar"},
    {"sum(foo, bar)",
     "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 1, got 2"},
    {"sum(foo bar)",
     "1:9: parse error: unexpected identifier \"bar\" in aggregation"},
    {"sum by x (foo)",
     "1:8: parse error: unexpected identifier \"x\" in grouping opts, expected \"(\""},
    {"sum by (x) foo",
     "1:12: parse error: unexpected identifier \"foo\" in aggregation"},
    {"topk(foo)",
     "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1"},
    {"topk(foo, bar)",
     "1:6: parse error: expected type scalar in aggregation parameter, got instant vector"},
    {"count_values(1, foo)",
     "1:14: parse error: expected type string in aggregation parameter, got scalar"},
    {"sum(foo) by (a) by (b)",
     "1:17: parse error: unexpected <by>"},
    {"unknown(foo)",
     "1:1: parse error: unknown function with name \"unknown\""},
    {"RATE(foo[5m])",
     "1:1: parse error: unknown function with name \"RATE\""},
    {"rate(foo)",
     "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector"},
    {"rate(foo[5m], 1)",
     "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 2"},
    {"rate()",
     "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 0"},
    {"round()",
     "1:1: parse error: expected at least 1 argument(s) in call to \"round\", got 0"},
    {"round(foo, 1, 2)",
     "1:1: parse error: expected at most 2 argument(s) in call to \"round\", got 3"},
    {"label_replace(foo, \"a\", \"b\", \"c\")",
     "1:1: parse error: expected 5 argument(s) in call to \"label_replace\", got 4"},
    {"clamp(foo, 1, bar)",
     "1:15: parse error: expected type scalar in call to function \"clamp\", got instant vector"},
    {"time(1)",
     "1:1: parse error: expected 0 argument(s) in call to \"time\", got 1"},
    {"rate(foo[5m],)",
     "1:13: parse error: trailing commas not allowed in function call args"},
    {"rate(foo[5m] offset)",
     "1:20: parse error: unexpected \")\" in offset, expected number, duration, step(), or range()"},
    {"(foo[5m])[5m:]",
     "1:1: parse error: subquery is only allowed on instant vector, got matrix instead"},
    {"\"s\"[5m:]",
     "1:1: parse error: subquery is only allowed on instant vector, got string instead"},
    {"histogram_quantiles(foo, \"q\")",
     "1:1: parse error: expected at least 3 argument(s) in call to \"histogram_quantiles\", got 2"},
    {"info(foo, bar)",
     "1:11: parse error: expected label selectors only, got vector selector instead"},
    {"info(foo, 1)",
     "1:1: parse error: expected type instant vector in call to function \"info\", got scalar"},
    {"info(foo, sum(bar))",
     "1:11: parse error: expected label selectors only"},
    {"foo.bar",
     "1:4: parse error: unexpected character: '.'"},
    {"foo ~ bar",
     "1:5: parse error: unexpected character: '~'"},
    {"foo =~ \"bar\"",
     "1:5: parse error: unexpected character after '=': '~'"},
    {"foo != ~",
     "1:8: parse error: unexpected character: '~'"},
    {"!foo",
     "1:1: parse error: unexpected character after '!': 'f'"},
    {"foo{a=\"b\"}}",
     "1:11: parse error: unexpected character: '}'"},
    {"0x",
     "1:1: parse error: error parsing number: strconv.ParseFloat: parsing \"0x\": invalid syntax"},
    {"0x1.8",
     "1:1: parse error: bad number or duration syntax: \"0x1.\""},
    {"1e",
     "1:1: parse error: bad number or duration syntax: \"1e\""},
    {"1e999",
     "1:1: parse error: error parsing number: strconv.ParseFloat: parsing \"1e999\": value out of range"},
    {"5.5.5",
     "1:1: parse error: bad number or duration syntax: \"5.5.\""},
    {"1__0",
     "1:1: parse error: bad number or duration syntax: \"1__\""},
    {"group_left",
     "1:1: parse error: unexpected <group_left>"},
    {"bool",
     "1:1: parse error: unexpected <bool>"},
    {"on(a)",
     "1:1: parse error: unexpected <on>"},
    {"foo:bar(a)",
     "1:8: parse error: unexpected \"(\""},
    {"foo[5m] anchored smoothed",
     "1:1: parse error: anchored and smoothed modifiers cannot be used together"},
    {"(foo)[5m:] anchored",
     "1:1: parse error: anchored modifier is not supported for subqueries"},
    {"1 smoothed",
     "1:1: parse error: smoothed modifier not implemented"},
    {"foo\n  bar",
     "2:3: parse error: unexpected identifier \"bar\""},
    {"foo +\n\n  (1",
     "3:5: parse error: unclosed left parenthesis"},
    {"a\n== bool\n\"x\"",
     "3:1: parse error: binary expression must contain only scalar and instant vector types"},
    /* Prometheus takes it for minus 292 years */
    {"foo offset NaN",
     "1:12: parse error: duration out of range"},
    /* the words of the regex library, not of Go's */
    {"foo{a=~\"(\"}",
     "1:5: parse error: error parsing regexp: missing closing ): `(`"},
  /* clang-format on */
};

static enum mrd_status parse_with(const char *query, const struct mrd_promql_features *features,
                                  struct mrd_error *err)
{
    struct mrd_arena *arena = mrd_arena_create("test", 1 << 20);
    struct mrd_ast ast = {0};
    const enum mrd_status status =
        mrd_promql_parse(mrd_bytes_of(query), features, arena, &ast, err);
    mrd_ast_fini(&ast);
    mrd_arena_destroy(&arena);
    return status;
}

static void invalid_queries_get_prometheus_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(invalid); i++) {
        struct mrd_error err = {0};
        if (parse_with(invalid[i].query, &everything, &err) != MRD_E_INVALID) {
            fail_msg("\"%s\" was taken", invalid[i].query);
        }
        assert_string_equal(err.text, invalid[i].error);
    }
}

static const struct {
    const char *query;
    const char *error;
} switched_off[] = {
    {"mad_over_time(foo[5m])", "1:1: parse error: function \"mad_over_time\" is not enabled"            },
    {"1 + step()",             "1:5: parse error: function \"step\" is not enabled"                     },
    {"start_timestamp(foo)",   "1:1: parse error: function \"start_timestamp\" is not enabled"          },
    {"limitk(1, foo)",         "1:1: parse error: limitk() is experimental and must be enabled with "
                       "--enable-feature=promql-experimental-functions"           },
    {"foo[5m] anchored",       "1:1: parse error: anchored modifier is experimental and not enabled"    },
    {"foo smoothed",           "1:1: parse error: smoothed modifier is experimental and not enabled"    },
    {"a + fill(1) b",          "1:1: parse error: binop fill modifiers are experimental and not enabled"},
    {"foo[5m+1m]",             "1:5: parse error: experimental duration expression is not enabled"      },
    {"foo offset step()",      "1:12: parse error: experimental duration expression is not enabled"     },
};

static void what_a_feature_switch_turns_off_is_an_error_that_names_it(void **state)
{
    (void)state;
    const struct mrd_promql_features off = {.no_duration_expressions = true};
    for (size_t i = 0; i < MRD_ARRAY_LEN(switched_off); i++) {
        struct mrd_error err = {0};
        assert_int_equal(parse_with(switched_off[i].query, &off, &err), MRD_E_INVALID);
        assert_string_equal(err.text, switched_off[i].error);
        assert_int_equal(parse_with(switched_off[i].query, &everything, &err), MRD_OK);
    }
}

/* ---- the tree ---- */

static void a_sign_binds_weaker_than_a_power_and_as_strong_as_a_product(void **state)
{
    (void)state;
    struct mrd_arena *arena = mrd_arena_create("test", 1 << 20);
    struct mrd_ast ast = parse_ok("-1 ^ 2", arena);
    assert_int_equal(ast.root->kind, MRD_EXPR_UNARY);
    mrd_ast_fini(&ast);
    ast = parse_ok("-a * b", arena);
    assert_int_equal(ast.root->kind, MRD_EXPR_BINARY);
    assert_int_equal(ast.root->binary.left->kind, MRD_EXPR_UNARY);
    mrd_ast_fini(&ast);
    ast = parse_ok("a - b - c", arena);
    assert_int_equal(ast.root->binary.left->kind, MRD_EXPR_BINARY);
    ast = parse_ok("a ^ b ^ c", arena);
    assert_int_equal(ast.root->binary.right->kind, MRD_EXPR_BINARY);
    ast = parse_ok("a or b and c == d + e * f", arena);
    assert_int_equal(ast.root->binary.op, MRD_OP_OR);
    assert_int_equal(ast.root->binary.right->binary.op, MRD_OP_AND);
    assert_int_equal(ast.root->binary.right->binary.right->binary.op, MRD_OP_EQ);
    mrd_arena_destroy(&arena);
}

static void nodes_know_their_bytes_and_types(void **state)
{
    (void)state;
    struct mrd_arena *arena = mrd_arena_create("test", 1 << 20);
    struct mrd_ast ast = parse_ok(" sum(rate(foo{a=~\"x\"}[5m] offset 1m)) / 2", arena);
    assert_int_equal(ast.root->position.start, 1);
    assert_int_equal(ast.root->position.end, 41);
    assert_int_equal(ast.root->type, MRD_VALUE_VECTOR);
    assert_null(ast.root->binary.matching);
    const struct mrd_expr *sum = ast.root->binary.left;
    assert_int_equal(sum->position.end, 37);
    const struct mrd_expr *rate = sum->aggregate.expr;
    assert_int_equal(rate->call.function->id, MRD_FN_RATE);
    const struct mrd_expr *matrix = rate->call.args[0];
    assert_int_equal(matrix->type, MRD_VALUE_MATRIX);
    assert_int_equal(matrix->position.start, 10);
    assert_int_equal(matrix->position.end, 35);
    assert_int_equal(matrix->matrix.range.ms, 300000);
    const struct mrd_selector *selector = &matrix->matrix.selector->selector;
    assert_int_equal(selector->timing.offset.ms, 60000);
    assert_int_equal(selector->matcher_count, 2);
    assert_true(mrd_matcher_matches(&selector->matchers[0], MRD_BYTES("x")));
    assert_false(mrd_matcher_matches(&selector->matchers[0], MRD_BYTES("xy")));
    mrd_ast_fini(&ast);
    mrd_arena_destroy(&arena);
}

static void set_operators_match_many_to_many(void **state)
{
    (void)state;
    struct mrd_arena *arena = mrd_arena_create("test", 1 << 20);
    struct mrd_ast ast = parse_ok("a unless on(x) b", arena);
    assert_int_equal(ast.root->binary.matching->cardinality, MRD_MANY_TO_MANY);
    ast = parse_ok("a + on(x, y) group_right(z) b", arena);
    assert_int_equal(ast.root->binary.matching->cardinality, MRD_ONE_TO_MANY);
    assert_int_equal(ast.root->binary.matching->labels.count, 2);
    assert_int_equal(ast.root->binary.matching->include.count, 1);
    mrd_arena_destroy(&arena);
}

/* ---- match[] ---- */

static void a_selector_alone_is_name_and_matchers(void **state)
{
    (void)state;
    struct mrd_arena *arena = mrd_arena_create("test", 1 << 20);
    struct mrd_ast ast = {0};
    struct mrd_error err;
    assert_int_equal(mrd_promql_parse_selector(MRD_BYTES("foo{a=~\"b\"}"), arena, &ast, &err),
                     MRD_OK);
    assert_int_equal(ast.root->selector.matcher_count, 2);
    assert_true(mrd_matchers_select(ast.root->selector.matchers, 2));
    mrd_ast_fini(&ast);
    assert_int_equal(mrd_promql_parse_selector(MRD_BYTES("{a=~\".*\"}"), arena, &ast, &err),
                     MRD_OK);
    assert_false(mrd_matchers_select(ast.root->selector.matchers, 1));
    mrd_ast_fini(&ast);
    static const char *const refused[] = {"",         "foo[5m]", "foo offset 5m", "1",
                                          "sum(foo)", "foo bar", "foo{",          "\"foo\""};
    for (size_t i = 0; i < MRD_ARRAY_LEN(refused); i++) {
        assert_int_equal(mrd_promql_parse_selector(mrd_bytes_of(refused[i]), arena, &ast, &err),
                         MRD_E_INVALID);
    }
    mrd_arena_destroy(&arena);
}

/* ---- hostile input ---- */

static char *repeat(const char *before, const char *text, const char *after, size_t count)
{
    struct mrd_buf buf = {0};
    mrd_buf_append_text(&buf, before);
    for (size_t i = 0; i < count; i++) {
        mrd_buf_append_text(&buf, text);
    }
    mrd_buf_append_text(&buf, after);
    mrd_buf_append_u8(&buf, 0);
    return (char *)buf.data;
}

static void nesting_is_bounded_however_it_is_made(void **state)
{
    (void)state;
    static const struct {
        const char *before;
        const char *text;
        const char *after;
    } bombs[] = {
        {"",            "(",           "1"  },
        {"",            "-",           "foo"},
        {"",            "abs(",        ""   },
        {"1",           "+1",          ""   },
        {"1",           "^1",          ""   },
        {"foo",         "[5m:]",       ""   },
        {"",            "sum by(a) (", ""   },
        {"foo[",        "(",           "5m]"},
        {"foo[1",       "+1",          "]"  },
        {"foo[",        "-",           "5m]"},
        {"foo offset ", "--",          "1"  },
        {"foo[",        "min_of(1,",   "5m]"},
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(bombs); i++) {
        char *query = repeat(bombs[i].before, bombs[i].text, bombs[i].after, 20000);
        struct mrd_error err = {0};
        const enum mrd_status status = parse_with(query, &everything, &err);
        assert_true(status == MRD_E_INVALID || status == MRD_E_LIMIT);
        free(query);
    }
    char *chain = repeat("1", "+1", "", 400);
    struct mrd_error err = {0};
    assert_int_equal(parse_with(chain, &everything, &err), MRD_OK);
    free(chain);
}

static void long_texts_are_refused_before_they_are_read(void **state)
{
    (void)state;
    char *query = repeat("", " ", "1", MRD_QUERY_SIZE_MAX);
    struct mrd_error err = {0};
    assert_int_equal(parse_with(query, &everything, &err), MRD_E_INVALID);
    free(query);
}

static void every_memory_limit_is_an_answer(void **state)
{
    (void)state;
    static const char query[] = "sum by (a, b, c, d, e) (rate(foo{a=~\"x.*\", b=~\"y\", c=~\"z\", "
                                "d!~\"w\", e!~\"v\"}[min_of(5m, step()):1m] offset 1m)) or \"\\n\"";
    enum mrd_status status = MRD_E_LIMIT;
    size_t limit = 0;
    for (; status == MRD_E_LIMIT; limit += 16) {
        struct mrd_arena *arena = mrd_arena_create("test", limit);
        struct mrd_ast ast = {0};
        struct mrd_error err = {0};
        status = mrd_promql_parse(mrd_bytes_of(query), &everything, arena, &ast, &err);
        mrd_ast_fini(&ast);
        mrd_arena_destroy(&arena);
    }
    assert_int_equal(status, MRD_E_INVALID); /* with memory enough, the types are wrong */
    assert_true(limit > 256);
}

/* ---- printing and parsing are inverse ---- */

static const char *const pieces[] = {
    "foo",
    "bar",
    "sum",
    "rate",
    "(",
    ")",
    "(",
    ")",
    "{",
    "}",
    "[5m]",
    "[5m:1m]",
    "a=\"b\"",
    ",",
    "+",
    "-",
    "*",
    "^",
    "==",
    "bool",
    "and",
    "or",
    "on(a)",
    "ignoring(b)",
    "group_left(c)",
    "offset 5m",
    "@ 1",
    "@ start()",
    "1",
    "5m",
    "\"s\"",
    "by (a)",
    "without (b)",
    "topk",
    "time()",
    "step()",
    "[",
    "]",
    ":",
    "min_of",
    "anchored",
    "smoothed",
    "fill(1)",
    "</",
    "\n",
    "offset (1m+2s)",
    "abs(",
    "%",
};

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return *seed >> 33;
}

static bool print_of(struct mrd_bytes query, struct mrd_buf *out)
{
    struct mrd_arena *arena = mrd_arena_create("test", 1 << 20);
    struct mrd_ast ast = {0};
    const bool ok = mrd_promql_parse(query, &everything, arena, &ast, NULL) == MRD_OK;
    if (ok) {
        mrd_expr_print(ast.root, out);
        mrd_ast_fini(&ast);
    }
    mrd_arena_destroy(&arena);
    return ok;
}

static void check_print_is_stable(struct mrd_bytes query)
{
    struct mrd_buf once = {0};
    struct mrd_buf twice = {0};
    if (print_of(query, &once)) {
        if (!print_of(mrd_buf_view(&once), &twice) ||
            !mrd_bytes_equal(mrd_buf_view(&once), mrd_buf_view(&twice))) {
            fail_msg("\"%.*s\" -> \"%.*s\" -> \"%.*s\"", MRD_FMT(query),
                     MRD_FMT(mrd_buf_view(&once)), MRD_FMT(mrd_buf_view(&twice)));
        }
    }
    mrd_buf_fini(&once);
    mrd_buf_fini(&twice);
}

static void what_is_printed_parses_to_the_same_print(void **state)
{
    (void)state;
    uint64_t seed = 42;
    for (size_t i = 0; i < MRD_ARRAY_LEN(valid); i++) {
        check_print_is_stable(mrd_bytes_of(valid[i].query));
    }
    for (int round = 0; round < 200000; round++) {
        struct mrd_buf query = {0};
        const uint64_t count = 1 + next_random(&seed) % 8;
        for (uint64_t i = 0; i < count; i++) {
            mrd_buf_append_text(&query, pieces[next_random(&seed) % MRD_ARRAY_LEN(pieces)]);
            mrd_buf_append_u8(&query, ' ');
        }
        check_print_is_stable(mrd_buf_view(&query));
        mrd_buf_fini(&query);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_queries_are_printed_canonically),
        cmocka_unit_test(long_queries_are_formatted_over_several_lines),
        cmocka_unit_test(invalid_queries_get_prometheus_texts),
        cmocka_unit_test(what_a_feature_switch_turns_off_is_an_error_that_names_it),
        cmocka_unit_test(a_sign_binds_weaker_than_a_power_and_as_strong_as_a_product),
        cmocka_unit_test(nodes_know_their_bytes_and_types),
        cmocka_unit_test(set_operators_match_many_to_many),
        cmocka_unit_test(a_selector_alone_is_name_and_matchers),
        cmocka_unit_test(nesting_is_bounded_however_it_is_made),
        cmocka_unit_test(long_texts_are_refused_before_they_are_read),
        cmocka_unit_test(every_memory_limit_is_an_answer),
        cmocka_unit_test(what_is_printed_parses_to_the_same_print),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
