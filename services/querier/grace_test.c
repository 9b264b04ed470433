/* Compactors that delete files of blocks while a querier may still go by them. */
#include "querier/grace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { HOUR_MS = 3600 * 1000 };

static void compactors_that_keep_files_too_briefly_are_counted(void **state)
{
    (void)state;
    const struct mrd_member members[] = {
        {.kind = MRD_MEMBER_COMPACTOR, .instance = "c-1",                           .block_grace_ms = 24 * HOUR_MS},
        {.kind = MRD_MEMBER_COMPACTOR, .instance = "c-2",                           .block_grace_ms = HOUR_MS     },
        {.kind = MRD_MEMBER_COMPACTOR, .instance = "c-3",                           .block_grace_ms = 60 * 1000   },
        {.kind = MRD_MEMBER_COMPACTOR, .instance = "c-4" /* older: does not say */},
        {.kind = MRD_MEMBER_QUERIER,           .instance = "q-1",                         .block_grace_ms = 1                              },
    };
    const struct mrd_members_snapshot snapshot = {.members = members,
                                                  .count = MRD_ARRAY_LEN(members)};
    const struct mrd_member *least = NULL;
    assert_int_equal(qry_grace_conflicts(&snapshot, HOUR_MS, &least), 2);
    assert_ptr_equal(least, &members[2]);
    assert_int_equal(qry_grace_conflicts(&snapshot, HOUR_MS - 1, &least), 1);
    assert_int_equal(qry_grace_conflicts(&snapshot, 60 * 1000 - 1, &least), 0);
    assert_null(least);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compactors_that_keep_files_too_briefly_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
