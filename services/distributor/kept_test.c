/* The least that a compactor has told counts, and goes on to. */
#include "distributor/kept.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static mrd_time_ms note(struct dst_kept *kept, const struct mrd_member *members, size_t count)
{
    return dst_kept_note(kept, &(struct mrd_members_snapshot){.members = members, .count = count});
}

static void the_least_that_was_told_counts_from_then_on(void **state)
{
    (void)state;
    struct dst_kept kept = {0};
    const struct mrd_member members[] = {
        {.kind = MRD_MEMBER_QUERIER,   .references_kept_ms = 1},
        {.kind = MRD_MEMBER_COMPACTOR},
        {.kind = MRD_MEMBER_COMPACTOR,  .references_kept_ms = 9000                       },
        {.kind = MRD_MEMBER_COMPACTOR,  .references_kept_ms = 5000},
    };
    assert_int_equal(note(&kept, members, 2), 0);
    assert_int_equal(note(&kept, members, 3), 9000);
    assert_int_equal(note(&kept, members, 4), 5000);
    assert_int_equal(note(&kept, members, 3), 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_that_was_told_counts_from_then_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
