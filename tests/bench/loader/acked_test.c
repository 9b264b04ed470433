#include "loader/acked.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void ranges_survive_the_way_through_text(void **state)
{
    (void)state;
    struct load_acked acked = {0};
    const uint64_t numbers[] = {0, 1, 2, 5, 7, 8};
    for (size_t i = 0; i < MRD_ARRAY_LEN(numbers); i++) {
        load_acked_add(&acked, numbers[i]);
    }
    struct mrd_buf text = {0};
    load_acked_print(&acked, 3, &text);
    mrd_buf_append_text(&text, "4 1 1\n");
    mrd_buf_append_u8(&text, 0);
    assert_string_equal(text.data, "3 0 2\n3 5 5\n3 7 8\n4 1 1\n");
    text.size--;

    struct load_acked back = {0};
    assert_int_equal(load_acked_parse(mrd_buf_view(&text), 3, &back, NULL), MRD_OK);
    assert_int_equal(back.count, 3);
    assert_memory_equal(back.ranges, acked.ranges, 3 * sizeof(*back.ranges));
    load_acked_fini(&acked);
    load_acked_fini(&back);
    mrd_buf_fini(&text);
}

static void any_other_text_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"1 2\n", "1 2 3", "1 3 2\n", "a 1 2\n", "1 2 3 4\n", "\n"};
    for (size_t i = 0; i < MRD_ARRAY_LEN(texts); i++) {
        struct load_acked acked = {0};
        assert_int_equal(load_acked_parse(mrd_bytes_of(texts[i]), 1, &acked, NULL), MRD_E_INVALID);
        load_acked_fini(&acked);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_survive_the_way_through_text),
        cmocka_unit_test(any_other_text_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
