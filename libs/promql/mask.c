#include "promql/mask.h"

#include "base/hash.h"
#include "promql/lexer.h"

void mrd_promql_mask(struct mrd_bytes query, struct mrd_buf *out)
{
    struct pql_lexer lexer;
    size_t end = 0; /* of the token before */
    pql_lexer_init(&lexer, query);
    for (;;) {
        const struct pql_token token = pql_lexer_next(&lexer);
        if (token.type == PQL_T_EOF) {
            return;
        }
        if (end != 0 && token.start > end) {
            mrd_buf_append_u8(out, ' ');
        }
        if (token.type == PQL_T_ERROR) {
            mrd_buf_append_text(out, "...");
            return;
        }
        if (token.type == PQL_T_STRING) {
            mrd_buf_append_text(out, "'***'");
        } else {
            mrd_buf_append_bytes(out, token.text);
        }
        end = token.start + token.text.size;
    }
}

uint64_t mrd_promql_fingerprint(struct mrd_bytes query)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf masked = {0};
    mrd_promql_mask(query, &masked);
    return mrd_hash64(mrd_buf_view(&masked), 0);
}
