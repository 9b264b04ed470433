/* Any text masked: within its bounds, and no string of it is left. */
#include "promql/lexer.h"
#include "promql/mask.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_strings(struct mrd_bytes masked)
{
    struct pql_lexer lexer;
    pql_lexer_init(&lexer, masked);
    for (;;) {
        const struct pql_token token = pql_lexer_next(&lexer);
        if (token.type == PQL_T_EOF || token.type == PQL_T_ERROR) {
            return;
        }
        mrd_assert(token.type != PQL_T_STRING || mrd_bytes_equal(token.text, MRD_BYTES("'***'")));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf once = {0};
    mrd_promql_mask((struct mrd_bytes){data, size}, &once);
    mrd_assert(once.size <= 5 * size + 8);
    check_strings(mrd_buf_view(&once));
    return 0;
}
