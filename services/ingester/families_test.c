#include "ingester/families.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct ing_family family_of(const char *name, const char *help, mrd_hlc hlc)
{
    return (struct ing_family){
        {MRD_FAMILY_GAUGE, mrd_bytes_of(name), mrd_bytes_of(help), MRD_BYTES("s")},
        hlc, 1
    };
}

struct seen {
    size_t count;
    char help[64];
    char names[256];
};

static void note(void *context, const struct ing_family *family)
{
    struct seen *seen = context;
    seen->count++;
    snprintf(seen->help, sizeof(seen->help), "%.*s", MRD_FMT(family->metadata.help));
    const size_t used = strlen(seen->names);
    snprintf(seen->names + used, sizeof(seen->names) - used, "%.*s ",
             MRD_FMT(family->metadata.family));
}

static struct seen look(const struct ing_families *families, const char *tenant, const char *name)
{
    struct seen seen = {0};
    assert_int_equal(ing_families_each(families, mrd_bytes_of(tenant), mrd_bytes_of(name), NULL,
                                       note, &seen, NULL),
                     MRD_OK);
    return seen;
}

static size_t families_max; /* the tenants' bound at the moment */

static struct ing_families *create(size_t bound)
{
    families_max = bound;
    return ing_families_create();
}

static void the_newest_stays_whatever_the_order(void **state)
{
    (void)state;
    struct ing_families *families = create(10);
    static const mrd_hlc orders[2][3] = {
        {1, 2, 3},
        {3, 1, 2}
    };
    static const char *const helps[] = {"", "one", "two", "three"};
    for (size_t i = 0; i < 2; i++) {
        const char *name = i == 0 ? "a" : "b";
        for (size_t k = 0; k < 3; k++) {
            const struct ing_family family = family_of(name, helps[orders[i][k]], orders[i][k]);
            assert_true(ing_families_put(families, MRD_BYTES("t"), families_max, &family));
        }
        assert_string_equal(look(families, "t", name).help, "three");
    }
    assert_int_equal(ing_families_count(families), 2);
    ing_families_destroy(&families);
}

static void equal_stamps_are_decided_by_what_is_said(void **state)
{
    (void)state;
    struct ing_families *families = create(10);
    static const char *const helps[] = {"x", "y", "x"};
    for (size_t i = 0; i < 3; i++) {
        const struct ing_family family = family_of("a", helps[i], 5);
        assert_true(ing_families_put(families, MRD_BYTES("t"), families_max, &family));
    }
    assert_string_equal(look(families, "t", "a").help, "y");
    ing_families_destroy(&families);
}

static void tenants_are_apart_and_names_come_sorted(void **state)
{
    (void)state;
    struct ing_families *families = create(10);
    static const char *const names[] = {"c", "a", "b"};
    for (size_t i = 0; i < 3; i++) {
        const struct ing_family family = family_of(names[i], "h", 5);
        assert_true(ing_families_put(families, MRD_BYTES("t"), families_max, &family));
    }
    const struct ing_family other = family_of("z", "h", 5);
    assert_true(ing_families_put(families, MRD_BYTES("u"), families_max, &other));
    assert_string_equal(look(families, "t", "").names, "a b c ");
    assert_string_equal(look(families, "u", "").names, "z ");
    assert_int_equal(look(families, "none", "").count, 0);
    assert_int_equal(look(families, "t", "z").count, 0);
    ing_families_destroy(&families);
}

static void a_tenant_is_bounded_in_count_and_bytes(void **state)
{
    (void)state;
    struct ing_families *families = create(3);
    static const char *const names[] = {"a", "b", "c", "d"};
    for (size_t i = 0; i < 4; i++) {
        const struct ing_family family = family_of(names[i], "h", 5);
        assert_int_equal(ing_families_put(families, MRD_BYTES("t"), families_max, &family), i < 3);
    }
    static char large[4096];
    memset(large, 'x', sizeof(large) - 1);
    const struct ing_family larger = family_of("a", large, 9);
    assert_false(ing_families_put(families, MRD_BYTES("t"), families_max, &larger));
    assert_string_equal(look(families, "t", "a").help, "h");
    const struct ing_family known = family_of("a", "new", 9);
    assert_true(ing_families_put(families, MRD_BYTES("t"), families_max, &known));
    assert_true(
        ing_families_put(families, MRD_BYTES("u"), families_max, &known)); /* another's is free */
    assert_true(ing_families_memory(families) < 2048);
    families_max = 4; /* raised, and lowered below what is there, which stays */
    const struct ing_family fourth = family_of("d", "h", 5);
    assert_true(ing_families_put(families, MRD_BYTES("t"), families_max, &fourth));
    families_max = 2;
    const struct ing_family fifth = family_of("e", "h", 5);
    assert_false(ing_families_put(families, MRD_BYTES("t"), families_max, &fifth));
    const struct ing_family newer = family_of("d", "i", 9);
    assert_true(ing_families_put(families, MRD_BYTES("t"), families_max, &newer));
    assert_int_equal(look(families, "t", "").count, 4);
    ing_families_destroy(&families);
}

/* What was said later stays, and of other tenants everything. */
static void a_tenant_is_dropped_up_to_a_stamp(void **state)
{
    (void)state;
    struct ing_families *families = create(10);
    const size_t empty = ing_families_memory(families);
    for (mrd_hlc hlc = 1; hlc <= 4; hlc++) {
        char name[2] = {(char)('a' + hlc), 0};
        const struct ing_family family = family_of(name, "help", hlc);
        assert_true(ing_families_put(families, MRD_BYTES("t"), families_max, &family));
        assert_true(ing_families_put(families, MRD_BYTES("u"), families_max, &family));
    }
    const size_t full = ing_families_memory(families);
    ing_families_drop(families, MRD_BYTES("t"), 3);
    assert_string_equal(look(families, "t", "").names, "d e ");
    assert_int_equal(look(families, "u", "").count, 4);
    assert_int_equal(ing_families_count(families), 6);
    assert_true(ing_families_memory(families) < full && ing_families_memory(families) > empty);
    ing_families_drop(families, MRD_BYTES("t"), UINT64_MAX);
    ing_families_drop(families, MRD_BYTES("nobody"), UINT64_MAX);
    assert_int_equal(look(families, "t", "").count, 0);
    assert_int_equal(ing_families_count(families), 4);
    for (size_t i = 0; i < families_max; i++) { /* its bounds are as of one that has nothing */
        char name[2] = {(char)('k' + i), 0};
        const struct ing_family family = family_of(name, "help", 9);
        assert_true(ing_families_put(families, MRD_BYTES("t"), families_max, &family));
    }
    ing_families_destroy(&families);
}

struct looks {
    size_t count;
    size_t last; /* the one that ends it; 0: none does */
};

static enum mrd_status count_look(void *context, struct mrd_error *err)
{
    struct looks *looks = context;
    return ++looks->count == looks->last ? mrd_fail(err, MRD_E_CANCELED, "enough") : MRD_OK;
}

static void count_family(void *context, const struct ing_family *family)
{
    (void)family;
    (*(size_t *)context)++;
}

static void many_families_are_looked_out_of(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    struct ing_families *families = create(COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "family-%05zu", i);
        const struct ing_family family = family_of(name, "h", 5);
        assert_true(ing_families_put(families, MRD_BYTES("t"), families_max, &family));
    }
    struct looks looks = {0};
    const struct mrd_look look = {count_look, &looks};
    size_t seen = 0;
    assert_int_equal(ing_families_each(families, MRD_BYTES("t"), MRD_BYTES_NONE, &look,
                                       count_family, &seen, NULL),
                     MRD_OK);
    assert_int_equal(seen, COUNT);
    assert_in_range(looks.count, COUNT / 1000, COUNT);
    looks = (struct looks){.last = 2};
    seen = 0;
    assert_int_equal(ing_families_each(families, MRD_BYTES("t"), MRD_BYTES_NONE, &look,
                                       count_family, &seen, NULL),
                     MRD_E_CANCELED);
    assert_int_equal(looks.count, 2);
    assert_in_range(seen, 1, COUNT / 4);
    ing_families_destroy(&families);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_stays_whatever_the_order),
        cmocka_unit_test(equal_stamps_are_decided_by_what_is_said),
        cmocka_unit_test(tenants_are_apart_and_names_come_sorted),
        cmocka_unit_test(a_tenant_is_bounded_in_count_and_bytes),
        cmocka_unit_test(a_tenant_is_dropped_up_to_a_stamp),
        cmocka_unit_test(many_families_are_looked_out_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
