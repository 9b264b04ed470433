#include "model/matcher.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct {
    enum mrd_match_type type;
    const char *value;
    const char *text;
    bool want;
} match_cases[] = {
    {MRD_MATCH_EQ,  "a",             "a",        true },
    {MRD_MATCH_EQ,  "a",             "ab",       false},
    {MRD_MATCH_EQ,  "",              "",         true },
    {MRD_MATCH_NE,  "a",             "",         true },
    {MRD_MATCH_RE,  "a.c",           "abc",      true },
    {MRD_MATCH_RE,  "a.c",           "a\nc",     true },
    {MRD_MATCH_RE,  "b",             "abc",      false},
    {MRD_MATCH_RE,  "a|bc",          "abc",      false},
    {MRD_MATCH_RE,  "(?i)node",      "NODE",     true },
    {MRD_MATCH_RE,  "",              "",         true },
    {MRD_MATCH_RE,  ".*",            "",         true },
    {MRD_MATCH_RE,  ".+",            "",         false},
    {MRD_MATCH_NRE, ".+",            "",         true },
    {MRD_MATCH_NRE, "a.*",           "b",        true },
    {MRD_MATCH_RE,  "\xc3\xa9?x",    "x",        true },
    {MRD_MATCH_RE,  "caf\xc3\xa9?x", "cafx",     true },
    {MRD_MATCH_RE,  ".",             "\xc3\xa9", true },
    {MRD_MATCH_RE,  "a\\.b",         "a.b",      true },
    {MRD_MATCH_RE,  "a\\.b",         "axb",      false},
};

static void matchers_accept_what_prometheus_accepts(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(match_cases); i++) {
        struct mrd_matcher matcher;
        assert_int_equal(mrd_matcher_init(&matcher, match_cases[i].type, MRD_BYTES("l"),
                                          mrd_bytes_of(match_cases[i].value), NULL),
                         MRD_OK);
        if (mrd_matcher_matches(&matcher, mrd_bytes_of(match_cases[i].text)) !=
            match_cases[i].want) {
            fail_msg("l%s\"%s\" on \"%s\"", mrd_match_type_text(match_cases[i].type),
                     match_cases[i].value, match_cases[i].text);
        }
        mrd_matcher_fini(&matcher);
    }
}

static void a_pattern_that_is_not_valid_is_refused_with_a_reason(void **state)
{
    (void)state;
    static const char *const patterns[] = {"(", "[z-a]", "a{1001}", "\\C(?<=x)", "*a"};
    for (size_t i = 0; i < MRD_ARRAY_LEN(patterns); i++) {
        struct mrd_matcher matcher;
        struct mrd_error err = {0};
        assert_int_equal(mrd_matcher_init(&matcher, MRD_MATCH_RE, MRD_BYTES("l"),
                                          mrd_bytes_of(patterns[i]), &err),
                         MRD_E_INVALID);
        assert_non_null(strstr(err.text, "error parsing regexp: "));
    }
}

/* Literals joined by ';', or the prefix behind '^'. */
static const struct {
    const char *pattern;
    const char *want;
} analysis_cases[] = {
    {"a",          "a"     },
    {"a|bc|",      "a;bc;" },
    {"(a|b)",      "a;b"   },
    {"(?:a|b)",    "a;b"   },
    {"a\\.b|c",    "a.b;c" },
    {"(a)|(b)",    "^"     },
    {"(?i)a",      "^"     },
    {"node_.*",    "^node_"},
    {"nodes?",     "^node" },
    {"ab{2}",      "^a"    },
    {"a.*|b.*",    "^"     },
    {"h\xc3\xa9?", "^h"    },
    {"\\d+",       "^"     },
    {"a\\d",       "^a"    },
};

static void literals_and_prefixes_of_a_pattern_are_known_to_the_index(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(analysis_cases); i++) {
        mrd_auto(mrd_regex_destroy)
        struct mrd_regex *regex = NULL;
        assert_int_equal(mrd_regex_compile(mrd_bytes_of(analysis_cases[i].pattern), &regex, NULL),
                         MRD_OK);
        struct mrd_buf got = {0};
        for (size_t k = 0; k < mrd_regex_literal_count(regex); k++) {
            mrd_buf_append_text(&got, k == 0 ? "" : ";");
            mrd_buf_append_bytes(&got, mrd_regex_literal(regex, k));
        }
        if (mrd_regex_literal_count(regex) == 0) {
            mrd_buf_append_u8(&got, '^');
            mrd_buf_append_bytes(&got, mrd_regex_prefix(regex));
        }
        mrd_buf_append_u8(&got, 0);
        if (strcmp((const char *)got.data, analysis_cases[i].want) != 0) {
            fail_msg("%s: got %s", analysis_cases[i].pattern, (const char *)got.data);
        }
        mrd_buf_fini(&got);
    }
}

static const struct {
    const char *pattern;
    const char *text;
    const char *replacement;
    const char *want; /* NULL: no match */
} expand_cases[] = {
    {"(.*):(\\d+)",  "host:9090", "$1",                      "host"      },
    {"(.*):(\\d+)",  "host:9090", "$2-$1",                   "9090-host" },
    {"(.*):(\\d+)",  "host:9090", "${1}x",                   "hostx"     },
    {"(.*):(\\d+)",  "host:9090", "$1x",                     ""          },
    {"(.*):(\\d+)",  "host:9090", "$3$$",                    "$"         },
    {"(?P<h>.*):.*", "host:9090", "<$h>${h}",                "<host>host"},
    {"(.*):(\\d+)",  "host",      "$1",                      NULL        },
    {"a(b)?",        "a",         "[$1]",                    "[]"        },
    {".*",           "x",         "$",                       "$"         },
    {".*",           "x",         "${0",                     "${0"       },
    {".*",           "x",         "$0$99999999999999999999", "x"         },
};

static void replacements_expand_as_in_go(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(expand_cases); i++) {
        mrd_auto(mrd_regex_destroy)
        struct mrd_regex *regex = NULL;
        assert_int_equal(mrd_regex_compile(mrd_bytes_of(expand_cases[i].pattern), &regex, NULL),
                         MRD_OK);
        struct mrd_buf out = {0};
        const bool matched = mrd_regex_expand(regex, mrd_bytes_of(expand_cases[i].text),
                                              mrd_bytes_of(expand_cases[i].replacement), &out);
        assert_int_equal(matched, expand_cases[i].want != NULL);
        if (matched && !mrd_bytes_equal(mrd_buf_view(&out), mrd_bytes_of(expand_cases[i].want))) {
            fail_msg("case %zu: got \"%.*s\"", i, MRD_FMT(out));
        }
        mrd_buf_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matchers_accept_what_prometheus_accepts),
        cmocka_unit_test(a_pattern_that_is_not_valid_is_refused_with_a_reason),
        cmocka_unit_test(literals_and_prefixes_of_a_pattern_are_known_to_the_index),
        cmocka_unit_test(replacements_expand_as_in_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
