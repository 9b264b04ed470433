#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "promql/features.h"

static void assert_printed(const struct mrd_promql_options *options, const char *want)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf text = {0};
    mrd_promql_features_print(options, &text);
    mrd_buf_append_u8(&text, 0);
    assert_string_equal((const char *)text.data, want);
}

static void a_feature_turns_on_its_own_flag_only(void **state)
{
    (void)state;
    struct mrd_promql_options options = {0};
    assert_printed(&options, "");
    assert_int_equal(mrd_promql_feature_enable("promql-extended-range-selectors", &options, NULL),
                     MRD_OK);
    assert_true(options.features.extended_range_selectors);
    assert_printed(&options, "promql-extended-range-selectors");
    assert_int_equal(mrd_promql_feature_enable("promql-delayed-name-removal", &options, NULL),
                     MRD_OK);
    assert_true(options.delayed_name_removal);
    assert_printed(&options, "promql-delayed-name-removal,promql-extended-range-selectors");
}

static void all_turns_on_every_feature_of_the_language(void **state)
{
    (void)state;
    struct mrd_promql_options options = {0};
    assert_int_equal(mrd_promql_feature_enable("all", &options, NULL), MRD_OK);
    assert_printed(&options, "promql-binop-fill-modifiers,promql-delayed-name-removal,"
                             "promql-experimental-functions,promql-extended-range-selectors,"
                             "use-start-timestamps");
    assert_int_equal(mrd_promql_feature_enable("type-and-unit-labels", &options, NULL), MRD_OK);
    assert_true(options.type_and_unit_labels);
}

static void what_is_always_on_is_accepted_without_effect(void **state)
{
    (void)state;
    struct mrd_promql_options options = {0};
    assert_int_equal(mrd_promql_feature_enable("promql-duration-expr", &options, NULL), MRD_OK);
    assert_printed(&options, "");
}

static void unknown_features_are_refused_with_the_names_of_all(void **state)
{
    (void)state;
    struct mrd_promql_options options = {0};
    struct mrd_error err;
    assert_int_equal(mrd_promql_feature_enable("promql-magic", &options, &err), MRD_E_INVALID);
    assert_non_null(strstr(err.text, "unknown PromQL feature \"promql-magic\""));
    assert_non_null(strstr(err.text, "promql-experimental-functions"));
    assert_int_equal(mrd_promql_feature_enable("", &options, &err), MRD_E_INVALID);
    assert_printed(&options, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_feature_turns_on_its_own_flag_only),
        cmocka_unit_test(all_turns_on_every_feature_of_the_language),
        cmocka_unit_test(what_is_always_on_is_accepted_without_effect),
        cmocka_unit_test(unknown_features_are_refused_with_the_names_of_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
