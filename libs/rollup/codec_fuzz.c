/* Rows from hostile bytes: what decodes must be fit for use, and come back the same after encoding it again. */
#include "rollup/codec.h"
#include "rollup/evaluate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_BYTES = 64 << 20 };

/* Joins and asks, as queries do. */
static void use(const struct mrd_rollup_row *rows, size_t count, struct mrd_arena *arena)
{
    struct mrd_rollup_row all = mrd_rollup_row_empty(0);
    for (size_t i = 0; i < count && i < 64; i++) {
        if (mrd_rollup_join(&all, &rows[i], arena, NULL) != MRD_OK) {
            return;
        }
    }
    for (int f = MRD_ROLLUP_INSTANT; f <= MRD_ROLLUP_TS_OF_LAST; f++) {
        const struct mrd_rollup_question question = {.function = (enum mrd_rollup_function)f,
                                                     .begin_ms = rows[0].end_ms - 3600000,
                                                     .end_ms = rows[count - 1].end_ms,
                                                     .use_start_timestamps = f % 2 == 0};
        struct mrd_rollup_answer answer;
        (void)!mrd_rollup_evaluate(&question, &all, arena, &answer, NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mrd_arena *arena = mrd_arena_create("fuzz", ARENA_BYTES);
    const struct mrd_rollup_row *rows = NULL;
    const struct mrd_rollup_row *again = NULL;
    size_t count = 0;
    size_t again_count = 0;
    if (mrd_rollup_decode((struct mrd_bytes){data, size}, MRD_ROLLUP_1H_MS, arena, &rows, &count,
                          NULL) == MRD_OK) {
        struct mrd_buf first = {0};
        struct mrd_buf second = {0};
        mrd_rollup_encode(rows, count, MRD_ROLLUP_1H_MS, &first);
        const enum mrd_status status = mrd_rollup_decode(mrd_buf_view(&first), MRD_ROLLUP_1H_MS,
                                                         arena, &again, &again_count, NULL);
        mrd_assert(status == MRD_OK || status == MRD_E_LIMIT);
        if (status == MRD_OK) {
            mrd_assert(count == again_count);
            mrd_rollup_encode(again, again_count, MRD_ROLLUP_1H_MS, &second);
            mrd_assert(mrd_bytes_equal(mrd_buf_view(&first), mrd_buf_view(&second)));
        }
        use(rows, count, arena);
        mrd_buf_fini(&first);
        mrd_buf_fini(&second);
    }
    mrd_arena_destroy(&arena);
    return 0;
}
