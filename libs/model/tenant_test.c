#include "model/tenant.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct {
    const char *header;
    const char *want; /* NULL: refused */
} cases[] = {
    {NULL,       "anonymous"},
    {"farm-7",   "farm-7"   },
    {"A.b_c*!'", "A.b_c*!'" },
    {"...",      "..."      },
    {"",         NULL       },
    {".",        NULL       },
    {"..",       NULL       },
    {"a/b",      NULL       },
    {"a|b",      NULL       },
    {"a b",      NULL       },
    {"\xc3\xa9", NULL       },
};

static void tenants_are_named_as_in_mimir(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        const struct mrd_bytes header =
            cases[i].header == NULL ? MRD_BYTES_NONE : mrd_bytes_of(cases[i].header);
        struct mrd_bytes name = MRD_BYTES("untouched");
        struct mrd_error err = {0};
        const enum mrd_status got = mrd_tenant_of_header(header, &name, &err);
        const char *want = cases[i].want == NULL ? "untouched" : cases[i].want;
        if ((got == MRD_OK) != (cases[i].want != NULL) ||
            !mrd_bytes_equal(name, mrd_bytes_of(want))) {
            fail_msg("case %zu: %s", i, mrd_status_name(got));
        }
    }
}

static void a_name_has_at_most_150_bytes(void **state)
{
    (void)state;
    char text[MRD_TENANT_SIZE_MAX + 1];
    memset(text, 'x', sizeof(text));
    struct mrd_bytes name;
    const struct mrd_bytes longest = {(const uint8_t *)text, MRD_TENANT_SIZE_MAX};
    assert_int_equal(mrd_tenant_of_header(longest, &name, NULL), MRD_OK);
    const struct mrd_bytes longer = {(const uint8_t *)text, sizeof(text)};
    assert_int_equal(mrd_tenant_of_header(longer, &name, NULL), MRD_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tenants_are_named_as_in_mimir),
        cmocka_unit_test(a_name_has_at_most_150_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
