#include "mrdctl/added_labels.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct mrd_label label(const char *name, const char *value)
{
    return (struct mrd_label){mrd_bytes_of(name), mrd_bytes_of(value)};
}

static void they_are_put_in_their_places_and_replace_nothing(void **state)
{
    (void)state;
    static const struct ctl_list texts = {
        .items = {"region=eu=1", "a=first", "job=other", "zone=z"},
          .count = 4
    };
    const struct mrd_label own[] = {label("__name__", "up"), label("job", "x"), label("k", "v")};
    const struct mrd_label want[] = {label("__name__", "up"), label("a", "first"),
                                     label("job", "x"),       label("k", "v"),
                                     label("region", "eu=1"), label("zone", "z")};
    struct mrd_arena *arena = mrd_arena_create("test", 1 << 16);
    struct ctl_added_labels added;
    struct mrd_labels got;
    assert_int_equal(ctl_added_labels_read(&texts, &added, NULL), MRD_OK);
    assert_int_equal(ctl_added_labels_put(&added, (struct mrd_labels){own, 3}, arena, &got, NULL),
                     MRD_OK);
    assert_true(mrd_labels_equal(got, (struct mrd_labels){want, 6}));
    mrd_arena_destroy(&arena);
}

static void what_is_no_label_is_refused(void **state)
{
    (void)state;
    static const char *const texts[][2] = {
        {"a=b", "c"     },
        {"a=b", "=c"    },
        {"a=b", "c="    },
        {"a=b", "a=c"   },
        {"a=b", "\xff=c"},
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(texts); i++) {
        static struct ctl_list list;
        struct ctl_added_labels added;
        list.items[0] = texts[i][0];
        list.items[1] = texts[i][1];
        list.count = 2;
        if (ctl_added_labels_read(&list, &added, NULL) != MRD_E_INVALID) {
            fail_msg("%s", texts[i][1]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_are_put_in_their_places_and_replace_nothing),
        cmocka_unit_test(what_is_no_label_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
