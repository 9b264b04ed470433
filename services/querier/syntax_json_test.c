#include "querier/syntax_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "promql/parse.h"

/* the tree of the query "a" */
#define A                                                                                          \
    "{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":\""         \
    "a\"}],\"name\":\"a\",\"offset\":0,\"offsetExpr\":null,\"smoothed\":false,\"startOrEn"         \
    "d\":null,\"timestamp\":null,\"type\":\"vectorSelector\"}"

static const struct {
    const char *query;
    const char *want;
} cases[] = {
    {"1",                                                      "{\"type\":\"numberLiteral\",\"val\":\"1\"}"                                    },
    {"(\"\\n\")",                                              "{\"expr\":{\"type\":\"stringLiteral\",\"val\":\"\\n\"},\"type\":\"parenExpr\"}"},
    {"foo{a=~\"b\"} @ start()",
     "{\"anchored\":false,\"matchers\":[{\"name\":\"a\",\"type\":\"=~\",\"value\":\"b\"},{"
     "\"name\":\"__name__\",\"type\":\"=\",\"value\":\"foo\"}],\"name\":\"foo\",\"offset\""
     ":0,\"offsetExpr\":null,\"smoothed\":false,\"startOrEnd\":\"start\",\"timestamp\":nul"
     "l,\"type\":\"vectorSelector\"}"                                                                                                          },
    {"foo[5m] @ 1.5 offset -(1m)",
     "{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":\""
     "foo\"}],\"name\":\"foo\",\"offset\":0,\"offsetExpr\":{\"lhs\":null,\"op\":\"-\",\"rh"
     "s\":{\"lhs\":null,\"op\":\"+\",\"rhs\":{\"duration\":true,\"type\":\"numberLiteral\""
     ",\"val\":\"60\"},\"type\":\"durationExpr\",\"wrapped\":true},\"type\":\"durationExpr"
     "\",\"wrapped\":false},\"range\":300000,\"rangeExpr\":null,\"smoothed\":false,\"start"
     "OrEnd\":null,\"timestamp\":1500,\"type\":\"matrixSelector\"}"                                                                            },
    {"sum by (b) (a) - on (x) group_left (y) fill_left (2) a",
     "{\"bool\":false,\"lhs\":{\"expr\":" A
     ",\"grouping\":[\"b\"],\"op\":\"sum\",\"param\":null,\"type\":\"aggregation\",\"witho"
     "ut\":false},\"matching\":{\"card\":\"many-to-one\",\"fillValues\":{\"lhs\":2,\"rhs\""
     ":null},\"include\":[\"y\"],\"labels\":[\"x\"],\"on\":true},\"op\":\"-\",\"rhs\":" A
     ",\"type\":\"binaryExpr\"}"                                                                                                               },
    {"a[1m:1s]",
     "{\"expr\":" A
     ",\"offset\":0,\"offsetExpr\":null,\"range\":60000,\"rangeExpr\":null,\"startOrEnd\":"
     "null,\"step\":1000,\"stepExpr\":null,\"timestamp\":null,\"type\":\"subquery\"}"                                                          },
    {"-round(vector(1), 2)",
     "{\"expr\":{\"args\":[{\"args\":[{\"type\":\"numberLiteral\",\"val\":\"1\"}],\"func\""
     ":{\"argTypes\":[\"scalar\"],\"name\":\"vector\",\"returnType\":\"vector\",\"variadic"
     "\":0},\"type\":\"call\"},{\"type\":\"numberLiteral\",\"val\":\"2\"}],\"func\":{\"arg"
     "Types\":[\"vector\",\"scalar\"],\"name\":\"round\",\"returnType\":\"vector\",\"varia"
     "dic\":1},\"type\":\"call\"},\"op\":\"-\",\"type\":\"unaryExpr\"}"                                                                        },
};

static void trees_become_prometheus_json(void **state)
{
    (void)state;
    static const struct mrd_promql_features features = {.binop_fill_modifiers = true};
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        struct mrd_arena *arena = mrd_arena_create("test", 1 << 20);
        struct mrd_ast ast = {0};
        struct mrd_error err = {0};
        assert_int_equal(
            mrd_promql_parse(mrd_bytes_of(cases[i].query), &features, arena, &ast, &err), MRD_OK);
        struct mrd_buf out = {0};
        qry_json_syntax(ast.root, &out);
        mrd_buf_append_u8(&out, 0);
        assert_string_equal(out.data, cases[i].want);
        mrd_buf_fini(&out);
        mrd_ast_fini(&ast);
        mrd_arena_destroy(&arena);
    }
}

static void a_full_buffer_says_so_and_is_not_overrun(void **state)
{
    (void)state;
    static const struct mrd_promql_features features = {.binop_fill_modifiers = true};
    static const char query[] =
        "topk without (a) (1, vector(1)) * on (x) group_left (y) fill_left (NaN) foo";
    struct mrd_arena *arena = mrd_arena_create("test", 1 << 20);
    struct mrd_ast ast = {0};
    assert_int_equal(mrd_promql_parse(mrd_bytes_of(query), &features, arena, &ast, NULL), MRD_OK);
    bool failed = true;
    for (size_t limit = 1; failed; limit++) {
        struct mrd_buf out;
        mrd_buf_init(&out, limit);
        qry_json_syntax(ast.root, &out);
        assert_true(out.size <= limit);
        failed = out.failed;
        mrd_buf_fini(&out);
    }
    mrd_ast_fini(&ast);
    mrd_arena_destroy(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trees_become_prometheus_json),
        cmocka_unit_test(a_full_buffer_says_so_and_is_not_overrun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
