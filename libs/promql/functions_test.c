#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "promql/functions.h"

static void the_language_has_90_functions_of_which_17_are_experimental(void **state)
{
    (void)state;
    size_t experimental = 0;
    assert_int_equal(MRD_FN_COUNT, 90);
    for (int id = 0; id < MRD_FN_COUNT; id++) {
        const struct mrd_function *function = mrd_function_get((enum mrd_function_id)id);
        assert_int_equal(function->id, id);
        assert_ptr_equal(mrd_function_find(mrd_bytes_of(function->name)), function);
        experimental += function->experimental;
    }
    assert_int_equal(experimental, 17);
}

static void signatures_say_types_and_counts(void **state)
{
    (void)state;
    const struct mrd_function *function = mrd_function_get(MRD_FN_LABEL_JOIN);
    assert_int_equal(function->arg_count_min, 3);
    assert_int_equal(function->arg_count_max, -1);
    assert_int_equal(function->arg_types[function->arg_type_count - 1], MRD_VALUE_STRING);
    function = mrd_function_get(MRD_FN_QUANTILE_OVER_TIME);
    assert_int_equal(function->arg_types[0], MRD_VALUE_SCALAR);
    assert_int_equal(function->arg_types[1], MRD_VALUE_MATRIX);
    assert_int_equal(function->arg_count_min, 2);
    assert_int_equal(function->arg_count_max, 2);
    function = mrd_function_get(MRD_FN_HISTOGRAM_QUANTILES);
    assert_int_equal(function->arg_count_min, 3);
    assert_int_equal(function->arg_count_max, 12);
    function = mrd_function_get(MRD_FN_TIME);
    assert_int_equal(function->result, MRD_VALUE_SCALAR);
    assert_int_equal(function->arg_type_count, 0);
}

static void unknown_names_and_other_case_are_not_found(void **state)
{
    (void)state;
    assert_null(mrd_function_find(MRD_BYTES("Rate")));
    assert_null(mrd_function_find(MRD_BYTES("rat")));
    assert_null(mrd_function_find(MRD_BYTES("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_language_has_90_functions_of_which_17_are_experimental),
        cmocka_unit_test(signatures_say_types_and_counts),
        cmocka_unit_test(unknown_names_and_other_case_are_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
