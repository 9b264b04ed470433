#include "mrdctl/options.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct given {
    const char *text;
    uint64_t count;
    mrd_time_ms duration_ms;
    bool flag;
    struct ctl_list list;
    struct ctl_list rest;
};

static enum mrd_status parse(struct given *given, int count, const char *const *arguments)
{
    const struct ctl_option options[] = {
        {.name = "text",    .kind = CTL_TEXT,      .value = "TEXT", .out = &given->text, .required = true},
        {.name = "count",
         .kind = CTL_COUNT,
         .value = "N",
         .out = &given->count,
         .min = 2,
         .max = 9},
        {.name = "for",
         .kind = CTL_DURATION,
         .value = "TIME",
         .out = &given->duration_ms,
         .max = 60000},
        {.name = "flag",   .kind = CTL_FLAG,               .out = &given->flag                                             },
        {.name = "item",.kind = CTL_REPEATED,.value = "ITEM",.out = &given->list                                                                },
    };
    char *copies[16];
    for (int i = 0; i < count; i++) {
        copies[i] = (char *)(uintptr_t)arguments[i];
    }
    return ctl_options_parse(options, MRD_ARRAY_LEN(options), count, copies, &given->rest, NULL);
}

#define PARSE(given, ...)                                                                          \
    parse(given, (int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)),               \
          (const char *const[]){__VA_ARGS__})

static struct given given;

static void options_come_in_both_forms_and_any_place(void **state)
{
    (void)state;
    given = (struct given){.count = 5};
    assert_int_equal(PARSE(&given, "a", "--text", "x", "--for=1m", "b", "--item", "1", "--flag",
                           "--item=2", "--", "--c"),
                     MRD_OK);
    assert_string_equal(given.text, "x");
    assert_int_equal(given.duration_ms, 60000);
    assert_int_equal(given.count, 5); /* as it was */
    assert_true(given.flag);
    assert_int_equal(given.list.count, 2);
    assert_string_equal(given.list.items[1], "2");
    assert_int_equal(given.rest.count, 3);
    assert_string_equal(given.rest.items[2], "--c");
}

static void mistakes_are_refused(void **state)
{
    (void)state;
    static const char *const mistakes[][3] = {
        {"--text",   "x",       "--nothing"},
        {"--text=x", "--count", "1"        },
        {"--text=x", "--count", "10"       },
        {"--text=x", "--count", "-3"       },
        {"--text=x", "--count", "4x"       },
        {"--text=x", "--count", ""         },
        {"--text=x", "--for",   "61s"      },
        {"--text=x", "--for",   "soon"     },
        {"--text=x", "a",       "--count"  },
        {"--text=x", "a",       "--flag=1" },
        {"--text=x", "a",       "-x"       },
        {"a",        "b",       "c"        }, /* --text is missing */
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(mistakes); i++) {
        given = (struct given){0};
        if (parse(&given, 3, mistakes[i]) != MRD_E_INVALID) {
            fail_msg("%s %s %s", mistakes[i][0], mistakes[i][1], mistakes[i][2]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_come_in_both_forms_and_any_place),
        cmocka_unit_test(mistakes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
