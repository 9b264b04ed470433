/* Any bytes: no crash, bounded memory, and what parses prints to something that parses and prints the
 * same. */
#include <stdio.h>
#include <stdlib.h>

#include "promql/parse.h"
#include "promql/preprocess.h"
#include "promql/print.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct mrd_promql_features features = {
    .experimental_functions = true,
    .extended_range_selectors = true,
    .binop_fill_modifiers = true,
};

static bool print_of(struct mrd_bytes query, struct mrd_buf *out)
{
    static const struct mrd_query_range range = {1000, 61000, 15000};
    struct mrd_arena *arena = mrd_arena_create("fuzz", 4 << 20);
    struct mrd_ast ast = {0};
    struct mrd_error err;
    const bool ok = mrd_promql_parse(query, &features, arena, &ast, &err) == MRD_OK;
    if (ok) {
        mrd_expr_print(ast.root, out);
        (void)!mrd_promql_preprocess(&ast, &range, &err);
    }
    mrd_ast_fini(&ast);
    mrd_arena_destroy(&arena);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mrd_buf once = {0};
    struct mrd_buf twice = {0};
    if (print_of((struct mrd_bytes){data, size}, &once) && once.size < MRD_QUERY_SIZE_MAX &&
        (!print_of(mrd_buf_view(&once), &twice) ||
         !mrd_bytes_equal(mrd_buf_view(&once), mrd_buf_view(&twice)))) {
        (void)fprintf(stderr, "[%.*s]\n[%.*s]\n", MRD_FMT(mrd_buf_view(&once)),
                      MRD_FMT(mrd_buf_view(&twice)));
        abort();
    }
    mrd_buf_fini(&once);
    mrd_buf_fini(&twice);
    return 0;
}
