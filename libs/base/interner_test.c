#include "base/interner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void a_text_has_one_number(void **state)
{
    (void)state;
    struct mrd_interner texts = {0};
    assert_int_equal(mrd_interner_put(&texts, MRD_BYTES("a")), 0);
    assert_int_equal(mrd_interner_put(&texts, MRD_BYTES("")), 1);
    assert_int_equal(mrd_interner_put(&texts, MRD_BYTES("a\0b")), 2);
    assert_int_equal(mrd_interner_put(&texts, MRD_BYTES("a")), 0);
    assert_int_equal(mrd_interner_put(&texts, MRD_BYTES("")), 1);
    assert_int_equal(texts.count, 3);
    assert_true(mrd_bytes_equal(mrd_interner_at(&texts, 2), MRD_BYTES("a\0b")));
    assert_int_equal(mrd_interner_at(&texts, 1).size, 0);
    mrd_interner_fini(&texts);
}

static void many_texts_are_found_again_also_after_a_clear(void **state)
{
    (void)state;
    enum { TEXTS = 20000 };
    struct mrd_interner texts = {0};
    for (unsigned round = 0; round < 2; round++) {
        mrd_interner_clear(&texts);
        for (uint32_t i = 0; i < 2 * TEXTS; i++) {
            char text[16];
            (void)snprintf(text, sizeof(text), "%u", (i + round) % TEXTS);
            assert_int_equal(mrd_interner_put(&texts, mrd_bytes_of(text)), i % TEXTS);
        }
        assert_int_equal(texts.count, TEXTS);
    }
    assert_true(mrd_interner_memory(&texts) < 2 << 20);
    mrd_interner_fini(&texts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_has_one_number),
        cmocka_unit_test(many_texts_are_found_again_also_after_a_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
