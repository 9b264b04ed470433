#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "promql/parse.h"
#include "promql/preprocess.h"

static const struct mrd_query_range an_hour = {
    .start_ms = 3600000, .end_ms = 7200000, .step_ms = 15000};
static const struct mrd_query_range an_instant = {.start_ms = 3600000, .end_ms = 3600000};

/* Parses and preprocesses; *out_root is valid as long as the arena. */
static enum mrd_status preprocess(const char *query, const struct mrd_query_range *range,
                                  struct mrd_arena *arena, struct mrd_expr **out_root,
                                  struct mrd_error *err)
{
    static const struct mrd_promql_features features = {.experimental_functions = true};
    struct mrd_ast ast = {0};
    if (mrd_promql_parse(mrd_bytes_of(query), &features, arena, &ast, err) != MRD_OK) {
        fail_msg("\"%s\": %s", query, err->text);
    }
    *out_root = ast.root;
    const enum mrd_status status = mrd_promql_preprocess(&ast, range, err);
    mrd_ast_fini(&ast);
    return status;
}

static const struct {
    const char *query;
    const struct mrd_query_range *range;
    mrd_time_ms want_ms;
} ranges[] = {
    {"foo[5m]",                  &an_instant, 300000 },
    {"foo[5m + 1m]",             &an_instant, 360000 },
    {"foo[1m + 2 * 3]",          &an_instant, 66000  },
    {"foo[2 ^ 3 ^ 2]",           &an_instant, 512000 },
    {"foo[-(-5m)]",              &an_instant, 300000 },
    {"foo[-2 ^ 2 + 10]",         &an_instant, 6000   },
    {"foo[7 % 4]",               &an_instant, 3000   },
    {"foo[(1 / 3)]",             &an_instant, 333    },
    {"foo[step() * 2]",          &an_hour,    30000  },
    {"foo[range()]",             &an_hour,    3600000},
    {"foo[step() + 1]",          &an_instant, 1000   },
    {"foo[min_of(range(), 5m)]", &an_hour,    300000 },
    {"foo[max_of(step(), 10s)]", &an_hour,    15000  },
};

static void ranges_are_computed_in_seconds(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(ranges); i++) {
        struct mrd_arena *arena = mrd_arena_create("test", 1 << 20);
        struct mrd_expr *root = NULL;
        struct mrd_error err = {0};
        assert_int_equal(preprocess(ranges[i].query, ranges[i].range, arena, &root, &err), MRD_OK);
        assert_null(root->matrix.range.expr);
        assert_int_equal(root->matrix.range.ms, ranges[i].want_ms);
        mrd_arena_destroy(&arena);
    }
}

static const struct {
    const char *query;
    const char *error;
} invalid[] = {
    {"foo[step()]",                    "4:10: duration must be greater than 0" },
    {"foo[1m - 1m]",                   "4:11: duration must be greater than 0" },
    {"foo[5m:step() * 1]",             "7:17: duration must be greater than 0" },
    {"foo[1 / step()]",                "4:14: division by zero"                },
    {"foo[1 % (1 - 1)]",               "4:14: modulo by zero"                  },
    {"foo[10 ^ 400]",                  "4:12: duration is NaN or infinite"     },
    {"foo[10 ^ 12]",                   "4:11: duration is out of range"        },
    {"sum(rate(foo[1m-1m])) + on() a", "13:18: duration must be greater than 0"},
};

static void impossible_durations_are_refused_with_their_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(invalid); i++) {
        struct mrd_arena *arena = mrd_arena_create("test", 1 << 20);
        struct mrd_expr *root = NULL;
        struct mrd_error err = {0};
        assert_int_equal(preprocess(invalid[i].query, &an_instant, arena, &root, &err),
                         MRD_E_INVALID);
        assert_string_equal(err.text, invalid[i].error);
        mrd_arena_destroy(&arena);
    }
}

static void offsets_may_be_negative_and_stand_anywhere(void **state)
{
    (void)state;
    struct mrd_arena *arena = mrd_arena_create("test", 1 << 20);
    struct mrd_expr *root = NULL;
    struct mrd_error err = {0};
    assert_int_equal(preprocess("-max_over_time((topk(step(), foo @ end() offset -(1m)) or "
                                "bar)[1h:] @ start() offset (step() - 1m))",
                                &an_hour, arena, &root, &err),
                     MRD_OK);
    const struct mrd_subquery *subquery = &root->unary.expr->call.args[0]->subquery;
    assert_int_equal(subquery->timing.at, MRD_AT_TIME);
    assert_int_equal(subquery->timing.at_ms, 3600000);
    assert_int_equal(subquery->timing.offset.ms, -45000);
    const struct mrd_expr *topk = subquery->expr->paren->binary.left;
    const struct mrd_timing *inner = &topk->aggregate.expr->selector.timing;
    assert_int_equal(inner->at_ms, 7200000);
    assert_int_equal(inner->offset.ms, -60000);
    mrd_arena_destroy(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_are_computed_in_seconds),
        cmocka_unit_test(impossible_durations_are_refused_with_their_place),
        cmocka_unit_test(offsets_may_be_negative_and_stand_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
