/* What a rule may say, what it means, and whose rules are whose. */
#include "tenancy/retention_rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "tenancy/keys.h"

static const mrd_time_ms DAY = 24 * 3600 * 1000;

/* A configuration with this text as its file; NULL with the error's text in `err`. */
static struct mrd_config *load(const char *text, const char *set, struct mrd_error *err)
{
    static const struct mrd_config_schema schema = {"test", "Tests.", &mrd_tenancy_retention_keys,
                                                    1, &mrd_tenancy_overrides};
    char path[] = "/tmp/meridian-rules-test-XXXXXX";
    FILE *file = fdopen(mkstemp(path), "w");
    assert_non_null(file);
    (void)fputs(text, file);
    assert_int_equal(fclose(file), 0);
    struct mrd_config_sources sources = {.file = path};
    if (set != NULL) {
        sources.sets[sources.set_count++] = set;
    }
    struct mrd_config *config = NULL;
    const enum mrd_status status = mrd_config_load(&schema, &sources, &config, err);
    assert_int_equal(status == MRD_OK, config != NULL);
    (void)unlink(path);
    return config;
}

static struct mrd_retention_book *book_of(const char *text, const char *set)
{
    struct mrd_error err = {0};
    struct mrd_config *config = load(text, set, &err);
    if (config == NULL) {
        fail_msg("%s", err.text);
    }
    struct mrd_retention_book *book = mrd_retention_book_create(config);
    mrd_config_release(&config); /* rules do not point into it */
    return book;
}

static const struct {
    const char *text;
    const char *wrong; /* part of what is said; NULL: it is a rule */
} rule_cases[] = {
    {"{job=\"debug\"}: 7d",                                NULL                    },
    {"job:busy:rate5m{site=~\"a|b\"} : 1h30m",             NULL                    },
    {"up: samples=1d",                                     NULL                    },
    {"{a=\"x: y\", b!=\"\"}:  samples=1d   rollups_1d=2y", NULL                    },
    {"{job=\"debug\"}: rollups_5m=1d rollups_6h=2d",       NULL                    },
    {"",                                                   "a rule is"             },
    {"{job=\"debug\"}",                                    "a rule is"             },
    {"{job=\"debug\"}:",                                   "a duration is wanted"  },
    {"{job=\"de:bug\"}",                                   "duration"              },
    {"{job=\"debug\"}: 0",                                 "0 is none"             },
    {"{job=\"debug\"}: samples=0s",                        "0 is none"             },
    {"{job=\"debug\"}: week",                              "duration"              },
    {"{job=\"debug\"}: raw=7d",                            "none of samples="      },
    {"{job=\"debug\"}: samples=7d 8d",                     "none of samples="      },
    {"{job=\"debug\"}: samples=7d samples=8d",             "twice"                 },
    {"{job=~\"(\"}: 7d",                                   "missing closing"       },
    {"{job=\"debug\"}[5m]: 7d",                            "parse error"           },
    {"{}: 7d",                                             "refuses the empty text"},
    {"{job=~\".*\"}: 7d",                                  "refuses the empty text"},
    {"{job=\"\"}: 7d",                                     "refuses the empty text"},
};

static void a_rule_is_a_selector_and_times(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(rule_cases); i++) {
        struct mrd_error err = {0};
        const enum mrd_status status =
            mrd_retention_rule_check(mrd_bytes_of(rule_cases[i].text), &err);
        if (rule_cases[i].wrong == NULL && status != MRD_OK) {
            fail_msg("%s: %s", rule_cases[i].text, err.text);
        }
        if (rule_cases[i].wrong != NULL &&
            (status != MRD_E_INVALID || strstr(err.text, rule_cases[i].wrong) == NULL)) {
            fail_msg("%s: %d %s", rule_cases[i].text, status, err.text);
        }
    }
    char *text = malloc(MRD_RETENTION_RULE_SIZE_MAX + 1);
    struct mrd_error err = {0};
    assert_non_null(text);
    memset(text, 'a', MRD_RETENTION_RULE_SIZE_MAX + 1);
    assert_int_equal(
        mrd_retention_rule_check(
            (struct mrd_bytes){(const uint8_t *)text, MRD_RETENTION_RULE_SIZE_MAX + 1}, &err),
        MRD_E_INVALID);
    free(text);
}

static void times_are_those_of_each_kind(void **state)
{
    (void)state;
    struct mrd_retention_book *book =
        book_of("retention:\n  rules:\n"
                "  - '{a=\"1\"}: 7d'\n"
                "  - '{a=\"2\"}: samples=7d rollups_1h=30d rollups_6h=60d'\n"
                "  - '{a=\"3\"}: rollups_1d=1y'\n",
                NULL);
    const struct mrd_retention_rules rules = mrd_retention_book_rules(book, MRD_BYTES("whoever"));
    static const mrd_time_ms resolutions_ms[] = {0, 300000, 3600000, 21600000, 86400000, 7};
    const mrd_time_ms want[][6] = {
        {7 * DAY, 7 * DAY, 7 * DAY,  7 * DAY,  7 * DAY,   7 * DAY},
        {7 * DAY, 7 * DAY, 30 * DAY, 60 * DAY, 7 * DAY,   7 * DAY},
        {0,       0,       0,        0,        365 * DAY, 0      },
    };
    assert_int_equal(rules.count, 3);
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = 0; k < 6; k++) {
            const mrd_time_ms kept = mrd_retention_rule_of(&rules.items[i], resolutions_ms[k]);
            assert_int_equal(kept, want[i][k]);
            const mrd_time_ms floor =
                mrd_retention_rule_floor(&rules.items[i], resolutions_ms[k], 1000 * DAY);
            assert_true(floor == (kept == 0 ? INT64_MIN : 1000 * DAY - kept));
        }
    }
    assert_false(mrd_id128_equal(rules.items[0].id, rules.items[1].id));
    mrd_retention_book_release(&book);
    assert_null(book);
}

static void tenants_have_their_own_or_the_common_ones(void **state)
{
    (void)state;
    struct mrd_retention_book *book =
        book_of("retention: {rules: ['{a=\"1\"}: 7d']}\n"
                "overrides:\n"
                "  a: {retention.rules: ['{a=\"1\"}: 8d', '{b=~\"x.*\"}: 1d']}\n"
                "  b: {retention.samples: 10d}\n"
                "  c: {retention.rules: []}\n",
                NULL);
    const struct mrd_retention_rules a = mrd_retention_book_rules(book, MRD_BYTES("a"));
    const struct mrd_retention_rules b = mrd_retention_book_rules(book, MRD_BYTES("b"));
    const struct mrd_retention_rules c = mrd_retention_book_rules(book, MRD_BYTES("c"));
    const struct mrd_retention_rules d = mrd_retention_book_rules(book, MRD_BYTES("d"));
    assert_int_equal(a.count, 2);
    assert_int_equal(a.items[0].kept_ms[0], 8 * DAY);
    assert_true(mrd_id128_equal(a.items[0].id, d.items[0].id)); /* the same series */
    assert_int_equal(b.count, 1);
    assert_ptr_equal(b.items, d.items);
    assert_int_equal(c.count, 0);
    assert_int_equal(mrd_retention_book_count(book), 3); /* and b has the common ones */
    assert_ptr_equal(mrd_retention_book_at(book, 0).items, b.items);
    assert_ptr_equal(
        mrd_retention_book_at(book, mrd_retention_book_find(book, MRD_BYTES("a"))).items, a.items);
    assert_int_equal(d.items[0].kept_ms[0], 7 * DAY);
    assert_true(mrd_matcher_matches(&a.items[1].matchers[0], MRD_BYTES("xy")));
    mrd_retention_book_release(&book);
}

static void commas_of_selectors_do_not_part_rules(void **state)
{
    (void)state;
    struct mrd_retention_book *book = book_of(
        "{}\n",
        "retention.rules={a=\"1,}\", b='2'}: 7d, {c=~\"x{1,2}\"}: samples=1d rollups_1h=2d");
    const struct mrd_retention_rules rules = mrd_retention_book_rules(book, MRD_BYTES("t"));
    assert_int_equal(rules.count, 2);
    assert_int_equal(rules.items[0].matcher_count, 2);
    assert_true(mrd_bytes_equal(rules.items[0].matchers[0].value, MRD_BYTES("1,}")));
    assert_true(mrd_matcher_matches(&rules.items[1].matchers[0], MRD_BYTES("xx")));
    mrd_retention_book_release(&book);
}

static void a_bad_rule_stops_the_start_and_says_where(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    assert_null(load("overrides:\n  farm-7: {retention.rules: ['{}: 7d']}\n", NULL, &err));
    assert_non_null(strstr(err.text, ":2: tenant farm-7: retention.rules: \"{}: 7d\""));
    mrd_auto(mrd_buf_fini)
    struct mrd_buf many = {0};
    mrd_buf_append_text(&many, "retention.rules=");
    for (int i = 0; i <= MRD_RETENTION_RULES_MAX; i++) {
        mrd_buf_printf(&many, "%sm%d: 7d", i == 0 ? "" : ",", i);
    }
    mrd_buf_append_u8(&many, 0);
    assert_null(load("{}\n", (const char *)many.data, &err));
    assert_non_null(strstr(err.text, "takes 64 items at most"));
}

static void nobody_has_rules_unless_told(void **state)
{
    (void)state;
    struct mrd_retention_book *book = book_of("{}\n", NULL);
    assert_int_equal(mrd_retention_book_count(book), 1);
    assert_int_equal(mrd_retention_book_rules(book, MRD_BYTES("t")).count, 0);
    mrd_retention_book_release(&book);
}

/* Whoever got a book keeps it. */
static void books_are_exchanged(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    struct mrd_config *config = load("retention: {rules: ['a: 7d']}\n", NULL, &err);
    struct mrd_retention_keeper *keeper = mrd_retention_keeper_create(config);
    struct mrd_retention_book *before = mrd_retention_keeper_get(keeper);
    mrd_config_release(&config);
    config = load("{}\n", NULL, &err);
    mrd_retention_keeper_set(keeper, config);
    mrd_config_release(&config);
    struct mrd_retention_book *after = mrd_retention_keeper_get(keeper);
    mrd_retention_keeper_destroy(&keeper);
    assert_int_equal(mrd_retention_book_rules(before, MRD_BYTES("t")).count, 1);
    assert_int_equal(mrd_retention_book_rules(after, MRD_BYTES("t")).count, 0);
    mrd_retention_book_release(&before);
    mrd_retention_book_release(&after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rule_is_a_selector_and_times),
        cmocka_unit_test(times_are_those_of_each_kind),
        cmocka_unit_test(tenants_have_their_own_or_the_common_ones),
        cmocka_unit_test(commas_of_selectors_do_not_part_rules),
        cmocka_unit_test(a_bad_rule_stops_the_start_and_says_where),
        cmocka_unit_test(nobody_has_rules_unless_told),
        cmocka_unit_test(books_are_exchanged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
