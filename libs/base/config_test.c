#include "base/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const colors[] = {"red", "green", NULL};

/* clang-format off */
static const struct mrd_config_key common_keys[] = {
    {.path = "log.level", .type = MRD_CONFIG_ENUM, .initial = "red", .choices = colors, .doc = "Color.", .reloadable = true},
    {.path = "http.listen", .type = MRD_CONFIG_STRING, .initial = ":1", .doc = "Where."},
};
static const struct mrd_config_key own_keys[] = {
    {.path = "http.listen", .type = MRD_CONFIG_STRING, .initial = ":7201", .doc = "Where, of this service."},
    {.path = "limits.rate", .type = MRD_CONFIG_INT, .initial = "100", .doc = "Per second | 0: none.", .reloadable = true},
    {.path = "limits.shift", .type = MRD_CONFIG_INT, .initial = "0", .min = -5, .max = 5, .doc = "Shift."},
    {.path = "limits.body", .type = MRD_CONFIG_SIZE, .initial = "16MiB", .min = 1024, .max = 1 << 30, .doc = "Size."},
    {.path = "limits.age", .type = MRD_CONFIG_DURATION, .initial = "1h30m", .doc = "Age."},
    {.path = "limits.ratio", .type = MRD_CONFIG_FLOAT, .initial = "0.5", .min = 0, .max = 1, .doc = "Ratio."},
    {.path = "limits.strict", .type = MRD_CONFIG_BOOL, .initial = "false", .doc = "Strict."},
    {.path = "nats.urls", .type = MRD_CONFIG_LIST, .initial = "a:1, b:2", .doc = "Servers."},
    {.path = "nats.password", .type = MRD_CONFIG_SECRET, .initial = "", .doc = "Secret.", .reloadable = true},
    {.path = "region.id", .type = MRD_CONFIG_STRING, .initial = NULL, .doc = "Which region."},
};
/* clang-format on */
static const struct mrd_config_table tables[] = {
    {common_keys, MRD_ARRAY_LEN(common_keys)},
    {own_keys,    MRD_ARRAY_LEN(own_keys)   },
};
static const struct mrd_config_schema schema = {"test", "Tests.", tables, 2, NULL};

/* A file with this content; the name is valid until the next call. */
static const char *file_with(const char *content)
{
    static char path[64];
    (void)strcpy(path, "/tmp/meridian-config-test-XXXXXX");
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), strlen(content));
    close(fd);
    return path;
}

static struct mrd_config *load(const char *content, char **environment, const char *set,
                               struct mrd_error *err)
{
    struct mrd_config_sources sources = {.environment = environment};
    if (content != NULL) {
        sources.file = file_with(content);
    }
    sources.sets[sources.set_count++] = "region.id=eu";
    if (set != NULL) {
        sources.sets[sources.set_count++] = set;
    }
    struct mrd_config *config = NULL;
    const enum mrd_status status = mrd_config_load(&schema, &sources, &config, err);
    assert_int_equal(status == MRD_OK, config != NULL);
    if (content != NULL) {
        (void)unlink(sources.file);
    }
    return config;
}

static struct mrd_config *load_ok(const char *content, char **environment, const char *set)
{
    struct mrd_error err;
    struct mrd_config *config = load(content, environment, set, &err);
    if (config == NULL) {
        fail_msg("%s", err.text);
    }
    return config;
}

static void defaults_are_typed(void **state)
{
    (void)state;
    mrd_auto(mrd_config_release)
    struct mrd_config *config = load_ok(NULL, NULL, NULL);
    assert_int_equal(mrd_config_int(config, "limits.rate"), 100);
    assert_int_equal(mrd_config_size(config, "limits.body"), 16 << 20);
    assert_int_equal(mrd_config_duration(config, "limits.age"), 5400000);
    assert_true(mrd_config_float(config, "limits.ratio") == 0.5);
    assert_false(mrd_config_bool(config, "limits.strict"));
    assert_string_equal(mrd_config_string(config, "log.level"), "red");
    assert_int_equal(mrd_config_enum(config, "log.level"), 0);
    assert_string_equal(mrd_config_string(config, "http.listen"), ":7201"); /* the later table's */
    assert_int_equal(mrd_config_list_size(config, "nats.urls"), 2);
    assert_string_equal(mrd_config_list_at(config, "nats.urls", 1), "b:2");
    assert_false(mrd_config_is_set(config, "limits.rate"));
    assert_true(mrd_config_is_set(config, "region.id"));
}

static void later_sources_win(void **state)
{
    (void)state;
    const char *file = "limits:\n  rate: 1\n  body: 2KiB # comment\nlog: {level: green}\n";
    char rate[] = "MERIDIAN_LIMITS_RATE=2";
    char other[] = "MERIDIAN_SOMETHING_ELSE=x"; /* of another service */
    char *environment[] = {other, rate, NULL};
    mrd_auto(mrd_config_release)
    struct mrd_config *one = load_ok(file, NULL, NULL);
    mrd_auto(mrd_config_release)
    struct mrd_config *two = load_ok(file, environment, NULL);
    mrd_auto(mrd_config_release)
    struct mrd_config *three = load_ok(file, environment, "limits.rate=3");
    assert_int_equal(mrd_config_int(one, "limits.rate"), 1);
    assert_int_equal(mrd_config_int(two, "limits.rate"), 2);
    assert_int_equal(mrd_config_int(three, "limits.rate"), 3);
    assert_int_equal(mrd_config_size(three, "limits.body"), 2048);
    assert_int_equal(mrd_config_enum(three, "log.level"), 1);
}

static void lists_may_be_sequences_or_text(void **state)
{
    (void)state;
    mrd_auto(mrd_config_release)
    struct mrd_config *sequence =
        load_ok("nats:\n  urls:\n    - x:1\n    - 'y, z'\n    - \"\"\n", NULL, NULL);
    assert_int_equal(mrd_config_list_size(sequence, "nats.urls"), 3);
    assert_string_equal(mrd_config_list_at(sequence, "nats.urls", 1), "y, z");
    mrd_auto(mrd_config_release)
    struct mrd_config *text = load_ok("nats:\n  urls: x:1 ,y:2,\n", NULL, NULL);
    assert_int_equal(mrd_config_list_size(text, "nats.urls"), 2);
    assert_string_equal(mrd_config_list_at(text, "nats.urls", 0), "x:1");
    mrd_auto(mrd_config_release)
    struct mrd_config *none = load_ok("nats: {urls: []}", NULL, NULL);
    assert_int_equal(mrd_config_list_size(none, "nats.urls"), 0);
}

static void an_empty_file_or_section_changes_nothing(void **state)
{
    (void)state;
    static const char *const files[] = {"", "# nothing\n", "limits:\n", "limits: {}\nlog:\n"};
    for (size_t i = 0; i < MRD_ARRAY_LEN(files); i++) {
        mrd_auto(mrd_config_release)
        struct mrd_config *config = load_ok(files[i], NULL, NULL);
        assert_int_equal(mrd_config_int(config, "limits.rate"), 100);
    }
}

static const struct {
    const char *file;
    const char *set;
    const char *where; /* what the error must name */
    const char *what;
} bad_cases[] = {
    {"limits:\n  rate: many",                 NULL,                                ":2: limits.rate:",            "whole number"         },
    {"limits:\n  rate: -1",                   NULL,                                ":2: limits.rate:",            "must not be negative" },
    {"limits:\n  rate: 1.5",                  NULL,                                "limits.rate",                 "whole number"         },
    {"limits:\n  rate: 99999999999999999999", NULL,                                "limits.rate",                 "whole number"         },
    {"\n\nlimits:\n  rat: 1",                 NULL,                                ":4: unknown key limits.rat;", "mean limits.rate?"    },
    {"limit:\n  whatever: 1",                 NULL,                                ":2: unknown key",             "--print-config-docs"  },
    {"limits:\n  rate: [1]",                  NULL,                                ":2: limits.rate",             "not a list"           },
    {"limits:\n  rate: {a: 1}",               NULL,                                ":2: unknown key",             "limits.rate.a"        },
    {"limits:\n  rate: 1\n  rate: 2",         NULL,                                ":3: limits.rate",             "second time"          },
    {"limits: [",                             NULL,                                ":",                           "not valid YAML"       },
    {"- a\n- b",                              NULL,                                ":1:",                         "sections with keys"   },
    {"just text",                             NULL,                                ":1:",                         "sections with keys"   },
    {"? [a]\n: b",                            NULL,                                ":1:",                         "plain word"           },
    {"nats:\n  urls:\n    - {a: b}",          NULL,                                ":3:",                         "list of plain values" },
    {NULL,                                    "limits.shift=6",                    "--set: limits.shift",         "between -5 and 5"     },
    {NULL,                                    "limits.body=1KB",                   "limits.body",                 "between 1KiB and 1GiB"},
    {NULL,                                    "limits.body=5 MiB",                 "limits.body",                 "16MiB"                },
    {NULL,                                    "limits.body=9999999999TiB",         "limits.body",                 "16MiB"                },
    {NULL,                                    "limits.age=5",                      "limits.age",                  "1h30m"                },
    {NULL,                                    "limits.ratio=1.1",                  "limits.ratio",                "between 0 and 1"      },
    {NULL,                                    "limits.ratio=nan",                  "limits.ratio",                "number"               },
    {NULL,                                    "limits.strict=yes",                 "limits.strict",               "true or false"        },
    {NULL,                                    "log.level=blue",                    "log.level",                   "one of red, green"    },
    {NULL,                                    "log.level",                         "--set log.level",             "section.key=value"    },
    {NULL,                                    "log.levels=red",                    "unknown key",                 "mean log.level?"      },
    {NULL,                                    "nats.password=file:/nonexistent/x", "nats.password",               "No such file"         },
};

static void errors_name_the_place_and_say_what_to_write(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(bad_cases); i++) {
        struct mrd_error err = {0};
        mrd_auto(mrd_config_release)
        struct mrd_config *config = load(bad_cases[i].file, NULL, bad_cases[i].set, &err);
        if (config != NULL || err.status != MRD_E_INVALID ||
            strstr(err.text, bad_cases[i].where) == NULL ||
            strstr(err.text, bad_cases[i].what) == NULL) {
            fail_msg("case %zu: %s", i, config != NULL ? "accepted" : err.text);
        }
    }
    char bad[] = "MERIDIAN_LIMITS_RATE=x";
    char *environment[] = {bad, NULL};
    struct mrd_error err;
    assert_null(load(NULL, environment, NULL, &err));
    assert_non_null(strstr(err.text, "MERIDIAN_LIMITS_RATE: limits.rate"));
}

static void a_required_key_and_a_named_file_must_be_there(void **state)
{
    (void)state;
    struct mrd_config_sources sources = {0};
    struct mrd_config *config = NULL;
    struct mrd_error err;
    assert_int_equal(mrd_config_load(&schema, &sources, &config, &err), MRD_E_INVALID);
    assert_non_null(strstr(err.text, "region.id is required"));
    sources.file = "/nonexistent/meridian.yaml";
    assert_int_equal(mrd_config_load(&schema, &sources, &config, &err), MRD_E_NOT_FOUND);
    assert_non_null(strstr(err.text, sources.file));
    assert_null(config);
}

static void a_secret_may_live_in_a_file_and_is_never_shown(void **state)
{
    (void)state;
    char set[128];
    char path[64];
    (void)strcpy(path, file_with("hunter2\n"));
    (void)snprintf(set, sizeof(set), "nats.password=file:%s", path);
    mrd_auto(mrd_config_release)
    struct mrd_config *config = load_ok(NULL, NULL, set);
    (void)unlink(path);
    assert_string_equal(mrd_config_string(config, "nats.password"), "hunter2");
    mrd_auto(mrd_buf_fini)
    struct mrd_buf dump = {0};
    mrd_config_dump(config, &dump);
    assert_null(memmem(dump.data, dump.size, "hunter2", 7));
    assert_non_null(memmem(dump.data, dump.size, "password: \"<secret>\"", 20));
}

static void the_dump_can_be_read_back(void **state)
{
    (void)state;
    mrd_auto(mrd_config_release)
    struct mrd_config *first =
        load_ok("limits: {rate: 7, body: 1MiB, age: 90s, ratio: 0.125, shift: -2, strict: true}\n"
                "http:\n  listen: \"q\\\"\\\\\\n\\x01#: x\"\n"
                "nats: {urls: [\"a,b\", c]}\n",
                NULL, NULL);
    struct mrd_buf dump = {0};
    mrd_config_dump(first, &dump);
    mrd_buf_append_u8(&dump, 0);
    mrd_auto(mrd_config_release)
    struct mrd_config *second = load_ok((const char *)dump.data, NULL, NULL);
    struct mrd_buf again = {0};
    mrd_config_dump(second, &again);
    mrd_buf_append_u8(&again, 0);
    assert_string_equal((const char *)again.data, (const char *)dump.data);
    assert_string_equal(mrd_config_string(second, "http.listen"), "q\"\\\n\x01#: x");
    assert_int_equal(mrd_config_list_size(second, "nats.urls"), 2);
    assert_non_null(strstr((const char *)dump.data, "limits:\n  age: 1m30s\n  body: 1MiB\n"));
    mrd_buf_fini(&dump);
    mrd_buf_fini(&again);
}

static void a_reload_changes_reloadable_keys_only(void **state)
{
    (void)state;
    struct mrd_config_sources sources = {.file = file_with("limits: {rate: 1, shift: 1}")};
    sources.sets[sources.set_count++] = "region.id=eu";
    struct mrd_config *old = NULL;
    struct mrd_config *fresh = NULL;
    struct mrd_error err;
    assert_int_equal(mrd_config_load(&schema, &sources, &old, &err), MRD_OK);
    FILE *file = fopen(sources.file, "w");
    assert_non_null(file);
    assert_true(fputs("limits: {rate: 2, shift: 2}\nnats: {urls: [z]}\n", file) > 0);
    assert_int_equal(fclose(file), 0);
    mrd_auto(mrd_buf_fini)
    struct mrd_buf ignored = {0};
    assert_int_equal(mrd_config_reload(old, &sources, &fresh, &ignored, &err), MRD_OK);
    assert_int_equal(mrd_config_int(old, "limits.rate"), 1);
    assert_int_equal(mrd_config_int(fresh, "limits.rate"), 2);
    assert_int_equal(mrd_config_int(fresh, "limits.shift"), 1);
    assert_int_equal(mrd_config_list_size(fresh, "nats.urls"), 2);
    assert_true(mrd_bytes_equal(mrd_buf_view(&ignored), MRD_BYTES("limits.shift\nnats.urls\n")));
    struct mrd_config *held = mrd_config_retain(fresh);
    mrd_config_release(&fresh);
    assert_int_equal(mrd_config_int(held, "limits.rate"), 2);
    (void)unlink(sources.file);
    assert_int_equal(mrd_config_reload(held, &sources, &fresh, NULL, &err), MRD_E_NOT_FOUND);
    assert_null(fresh);
    mrd_config_release(&held);
    mrd_config_release(&old);
}

static void arguments_are_read_in_both_forms(void **state)
{
    (void)state;
    char *argv[] = {(char[]){"x"},     (char[]){"--config"}, (char[]){"a.yaml"},
                    (char[]){"--set"}, (char[]){"a=b"},      (char[]){"--set=c=d=e"}};
    struct mrd_config_sources sources;
    struct mrd_error err;
    assert_int_equal(mrd_config_args_parse(6, argv, NULL, &sources, &err), MRD_OK);
    assert_string_equal(sources.file, "a.yaml");
    assert_int_equal(sources.set_count, 2);
    assert_string_equal(sources.sets[1], "c=d=e");
    assert_int_equal(sources.action, MRD_CONFIG_RUN);
    char *help[] = {(char[]){"x"}, (char[]){"--help"}};
    assert_int_equal(mrd_config_args_parse(2, help, NULL, &sources, &err), MRD_OK);
    assert_int_equal(sources.action, MRD_CONFIG_HELP);
    static const char *const bad[] = {"--config", "--set", "--sets=a", "file.yaml", "-x", ""};
    for (size_t i = 0; i < MRD_ARRAY_LEN(bad); i++) {
        char argument[32];
        (void)strcpy(argument, bad[i]);
        char *bad_argv[] = {(char[]){"x"}, argument};
        assert_int_equal(mrd_config_args_parse(2, bad_argv, NULL, &sources, &err), MRD_E_INVALID);
        assert_non_null(strstr(err.text, "--config FILE"));
    }
}

static void documentation_has_a_row_per_key(void **state)
{
    (void)state;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf docs = {0};
    mrd_config_docs(&schema, &docs);
    mrd_buf_append_u8(&docs, 0);
    static const char *const rows[] = {
        "## meridian-test\n\nTests.\n",
        "| `http.listen` | string | `:7201` |  |  | Where, of this service. |\n",
        "| `limits.body` | size, 1KiB to 1GiB | `16MiB` |  |  | Size. |\n",
        "| `limits.rate` | int | `100` | yes |  | Per second \\| 0: none. |\n",
        "| `log.level` | one of `red`, `green` | `red` | yes |  | Color. |\n",
        "| `nats.password` | secret | empty | yes |  | Secret. |\n",
        "| `region.id` | string | required |  |  | Which region. |\n",
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(rows); i++) {
        if (strstr((const char *)docs.data, rows[i]) == NULL) {
            fail_msg("no %s in %s", rows[i], (const char *)docs.data);
        }
    }
    mrd_auto(mrd_buf_fini)
    struct mrd_buf help = {0};
    mrd_config_help(&schema, &help);
    assert_non_null(memmem(help.data, help.size, "limits.age (duration; default `1h30m`)", 38));
}

/* ---- overrides ---- */

/* clang-format off */
static const struct mrd_config_key tenant_keys[] = {
    {.path = "limits.rate", .type = MRD_CONFIG_INT, .initial = "100", .doc = "Rate.", .reloadable = true, .per_tenant = true},
    {.path = "limits.words", .type = MRD_CONFIG_LIST, .initial = "", .choices = colors, .doc = "Words.", .reloadable = true, .per_tenant = true},
    {.path = "limits.key", .type = MRD_CONFIG_SECRET, .initial = "", .doc = "Secret.", .reloadable = true, .per_tenant = true},
    {.path = "limits.same", .type = MRD_CONFIG_INT, .initial = "1", .doc = "The same for all."},
};
static const struct mrd_config_key foreign_keys[] = {
    {.path = "other.depth", .type = MRD_CONFIG_INT, .initial = "1", .max = 9, .doc = "Another service's.", .reloadable = true, .per_tenant = true},
};
/* clang-format on */
static const struct mrd_config_table tenant_table = {tenant_keys, MRD_ARRAY_LEN(tenant_keys)};
static const struct mrd_config_table foreign_table = {foreign_keys, MRD_ARRAY_LEN(foreign_keys)};

static enum mrd_status check_tenant(struct mrd_bytes name, struct mrd_error *err)
{
    return name.size > 0 && name.size < 20 && memchr(name.data, '/', name.size) == NULL
               ? MRD_OK
               : mrd_fail(err, MRD_E_INVALID, "no tenant's name");
}

static const struct mrd_config_overrides overrides = {check_tenant, &foreign_table, 1};
static const struct mrd_config_schema tenant_schema = {"test", "Tests.", &tenant_table, 1,
                                                       &overrides};

static struct mrd_config *load_tenants(const char *content, const char *overrides_content,
                                       struct mrd_error *err)
{
    char set[128];
    char path[64] = "";
    struct mrd_config_sources sources = {0};
    if (overrides_content != NULL) {
        (void)strcpy(path, file_with(overrides_content));
        (void)snprintf(set, sizeof(set), "overrides_file=%s", path);
        sources.sets[sources.set_count++] = set;
    }
    sources.file = file_with(content);
    struct mrd_config *config = NULL;
    (void)!mrd_config_load(&tenant_schema, &sources, &config, err);
    (void)unlink(sources.file);
    (void)unlink(path);
    return config;
}

static int64_t rate_of(const struct mrd_config *config, const char *tenant)
{
    size_t index;
    if (!mrd_config_tenant_find(config, mrd_bytes_of(tenant), &index)) {
        return -1;
    }
    mrd_auto(mrd_config_release)
    struct mrd_config *view = mrd_config_tenant_view(config, index);
    assert_int_equal(mrd_config_tenant_count(view), 0);
    return mrd_config_int(view, "limits.rate");
}

static void tenants_may_have_values_of_their_own(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    mrd_auto(mrd_config_release)
    struct mrd_config *config =
        load_tenants("limits: {rate: 5}\n"
                     "overrides:\n"
                     "  z.b: {limits: {rate: 7}, other.depth: 3}\n"
                     "  a: {limits.rate: 6, limits.words: [red]}\n"
                     "  none:\n",
                     "overrides:\n  a: {limits.rate: 66}\n  c: {limits.rate: 8}\n", &err);
    if (config == NULL) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(mrd_config_int(config, "limits.rate"), 5);
    assert_int_equal(mrd_config_tenant_count(config), 4);
    assert_int_equal(rate_of(config, "a"), 66); /* the file of its own wins */
    assert_int_equal(rate_of(config, "z.b"), 7);
    assert_int_equal(rate_of(config, "c"), 8);
    assert_int_equal(rate_of(config, "none"), 5);
    assert_int_equal(rate_of(config, "unnamed"), -1);
    size_t index;
    assert_true(mrd_config_tenant_find(config, MRD_BYTES("a"), &index));
    mrd_auto(mrd_config_release)
    struct mrd_config *view = mrd_config_tenant_view(config, index);
    assert_string_equal(mrd_config_list_at(view, "limits.words", 0), "red"); /* of the section */
}

static void overrides_are_shown_with_secrets_masked(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    mrd_auto(mrd_config_release)
    struct mrd_config *config =
        load_tenants("overrides: {b: {limits.key: hunter2, limits.rate: 1}, a: {}}", NULL, &err);
    assert_non_null(config);
    mrd_auto(mrd_buf_fini)
    struct mrd_buf dump = {0};
    mrd_config_dump(config, &dump);
    mrd_buf_append_u8(&dump, 0);
    const char *want = "overrides:\n  \"a\": {}\n  \"b\":\n    limits.key: \"<secret>\"\n"
                       "    limits.rate: 1\n";
    assert_non_null(strstr((const char *)dump.data, want));
    mrd_auto(mrd_config_release)
    struct mrd_config *again = load_tenants((const char *)dump.data, NULL, &err);
    assert_non_null(again);
    assert_int_equal(rate_of(again, "b"), 1);
    mrd_auto(mrd_buf_fini)
    struct mrd_buf common = {0};
    mrd_config_dump_common(config, &common);
    assert_null(memmem(common.data, common.size, "limits.rate: 1", 14));
}

static const struct {
    const char *section; /* below "overrides:" in line 1 */
    const char *where;
    const char *what;
} bad_overrides[] = {
    {"  a: {limits.rat: 1}",                     ":2: tenant a: unknown key limits.rat", "mean limits.rate?"   },
    {"  a:\n    limits.same: 2",                 ":3: tenant a: limits.same",            "same for all tenants"},
    {"  a: {limits.rate: x}",                    ":2: tenant a: limits.rate",            "whole number"        },
    {"  a: {other.depth: 10}",                   ":2: tenant a: other.depth",            "between 0 and 9"     },
    {"  a: {limits.words: [red, blue]}",         ":2: tenant a: limits.words",           "\"blue\" is none of" },
    {"  a: {limits.words: 'red, blue'}",         ":2: tenant a: limits.words",           "red, green"          },
    {"  a/b: {limits.rate: 1}",                  ":2: overrides",                        "no tenant's name"    },
    {"  a: {}\n  b: {}\n  a: {}",                ":4: overrides: tenant a",              "line 2"              },
    {"  a: {limits.rate: 1, limits: {rate: 2}}", ":2: tenant a: limits.rate",            "second time"         },
    {"  a: 5",                                   ":2: tenant a",                         "keys with values"    },
    {"  - a",                                    "overrides",                            "names of tenants"    },
    {"  a: {overrides: {b: {limits.rate: 1}}}",  ":2: tenant a: unknown key",            "overrides"           },
};

static void bad_overrides_name_line_tenant_and_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(bad_overrides); i++) {
        char content[256];
        (void)snprintf(content, sizeof(content), "overrides:\n%s\n", bad_overrides[i].section);
        for (int own_file = 0; own_file < 2; own_file++) {
            struct mrd_error err = {0};
            mrd_auto(mrd_config_release)
            struct mrd_config *config =
                load_tenants(own_file != 0 ? "" : content, own_file != 0 ? content : NULL, &err);
            if (config != NULL || err.status != MRD_E_INVALID ||
                strstr(err.text, bad_overrides[i].where) == NULL ||
                strstr(err.text, bad_overrides[i].what) == NULL) {
                fail_msg("case %zu: %s", i, config != NULL ? "accepted" : err.text);
            }
        }
    }
    struct mrd_error err = {0};
    assert_null(load_tenants("", "limits: {rate: 1}", &err));
    assert_non_null(strstr(err.text, ":1: only the section overrides"));
    assert_null(load_tenants("overrides_file: /nonexistent/x", NULL, &err));
    assert_non_null(strstr(err.text, "/nonexistent/x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_typed),
        cmocka_unit_test(later_sources_win),
        cmocka_unit_test(lists_may_be_sequences_or_text),
        cmocka_unit_test(an_empty_file_or_section_changes_nothing),
        cmocka_unit_test(errors_name_the_place_and_say_what_to_write),
        cmocka_unit_test(a_required_key_and_a_named_file_must_be_there),
        cmocka_unit_test(a_secret_may_live_in_a_file_and_is_never_shown),
        cmocka_unit_test(the_dump_can_be_read_back),
        cmocka_unit_test(a_reload_changes_reloadable_keys_only),
        cmocka_unit_test(arguments_are_read_in_both_forms),
        cmocka_unit_test(documentation_has_a_row_per_key),
        cmocka_unit_test(tenants_may_have_values_of_their_own),
        cmocka_unit_test(overrides_are_shown_with_secrets_masked),
        cmocka_unit_test(bad_overrides_name_line_tenant_and_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
