#include "querier/limits.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "promql/features.h"
#include "tenancy/keys.h"

/* What the key lets through the engine has: reading must not meet an unknown name. */
static void every_choice_of_features_is_one_of_the_engine(void **state)
{
    (void)state;
    for (size_t i = 0; i < mrd_tenancy_query_keys.key_count; i++) {
        const struct mrd_config_key *key = &mrd_tenancy_query_keys.keys[i];
        for (size_t k = 0; key->choices != NULL && key->choices[k] != NULL; k++) {
            struct mrd_promql_options options = {0};
            struct mrd_error err;
            assert_int_equal(mrd_promql_feature_enable(key->choices[k], &options, &err), MRD_OK);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_choice_of_features_is_one_of_the_engine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
