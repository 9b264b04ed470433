#include "model/exemplar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define RUNES_118                                                                                  \
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"  \
    "123456789012345678901234567"

static const struct {
    const char *name;
    const char *value;
    const char *want; /* "": valid */
} label_cases[] = {
    {"trace_id",          "abc",            ""                                                  },
    {"n",                 "",               ""                                                  }, /* dropped */
    {"0123456789",        RUNES_118,        ""                                                  },
    {"0123456789",        RUNES_118 "8",
     "label length for exemplar exceeds maximum of 128 UTF-8 characters"                        },
    {"0123456789",        RUNES_118 "\xc3", "a label of an exemplar has no name or is not UTF-8"},
    {"012345678\xc3\xa4", RUNES_118,        ""                                                  }, /* 129 bytes */
    {"",                  "x",              "a label of an exemplar has no name or is not UTF-8"},
};

static void labels_are_checked_as_openmetrics_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(label_cases); i++) {
        struct mrd_label items[] = {
            {mrd_bytes_of(label_cases[i].name), mrd_bytes_of(label_cases[i].value)}
        };
        size_t count = 1;
        struct mrd_error err = {0};
        const enum mrd_status got = mrd_exemplar_labels_check(items, &count, &err);
        assert_string_equal(err.text, label_cases[i].want);
        assert_int_equal(got, label_cases[i].want[0] == 0 ? MRD_OK : MRD_E_INVALID);
        assert_int_equal(count, label_cases[i].value[0] == 0 ? 0 : 1);
    }
}

static void labels_are_sorted_and_stand_once(void **state)
{
    (void)state;
    struct mrd_label items[] = {
        {MRD_BYTES("b"), MRD_BYTES("1")},
        {MRD_BYTES("a"), MRD_BYTES("2")}
    };
    size_t count = 2;
    struct mrd_error err;
    assert_int_equal(mrd_exemplar_labels_check(items, &count, &err), MRD_OK);
    assert_true(mrd_bytes_equal(items[0].name, MRD_BYTES("a")));
    items[0].name = MRD_BYTES("b");
    assert_int_equal(mrd_exemplar_labels_check(items, &count, &err), MRD_E_INVALID);
    count = 0;
    assert_int_equal(mrd_exemplar_labels_check(items, &count, &err), MRD_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_are_checked_as_openmetrics_says),
        cmocka_unit_test(labels_are_sorted_and_stand_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
