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

static void a_limit_is_known_by_its_name(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *key;
    } cases[] = {
        {"a selector finds more than 3 series (querier.series_max)", "querier.series_max"   },
        {"more than querier.samples_max: ask for less",              "querier.samples_max"  },
        {"(after 2m: querier.query_timeout, or the parameter)",      "querier.query_timeout"},
        {"needs more than 5 (ingester.request_memory_bytes_max)",
         "ingester.request_memory_bytes_max"                                                },
        {"querier.series_maximum",                                   NULL                   },
        {"",                                                         NULL                   },
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        const char *got = qry_limit_named(cases[i].text);
        if (cases[i].key == NULL ? got != NULL : got == NULL || strcmp(got, cases[i].key) != 0) {
            fail_msg("%s: %s", cases[i].text, got);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_choice_of_features_is_one_of_the_engine),
        cmocka_unit_test(a_limit_is_known_by_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
