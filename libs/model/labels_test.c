#include "model/labels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { LABELS_MAX = 16 };

/* Builds labels from "a=1,b=2"; views into `text`. */
static size_t labels_of(const char *text, struct mrd_label items[LABELS_MAX])
{
    size_t count = 0;
    while (*text != 0) {
        assert_true(count < LABELS_MAX);
        const char *equals = strchr(text, '=');
        const char *end = strchrnul(equals, ',');
        items[count].name = (struct mrd_bytes){(const uint8_t *)text, (size_t)(equals - text)};
        items[count].value =
            (struct mrd_bytes){(const uint8_t *)equals + 1, (size_t)(end - equals - 1)};
        count++;
        text = *end == ',' ? end + 1 : end;
    }
    return count;
}

static void assert_format(struct mrd_labels labels, const char *want)
{
    struct mrd_buf out = {0};
    mrd_labels_format(labels, &out);
    mrd_buf_append_u8(&out, 0);
    assert_string_equal((const char *)out.data, want);
    mrd_buf_fini(&out);
}

static const struct {
    const char *sent;
    struct mrd_label_limits limits;
    enum mrd_status want;
    const char *want_text; /* the set as printed, or a part of the error */
} validate_cases[] = {
    {"__name__=up",                {0, 0, 0}, MRD_OK,        "up"                            },
    {"job=a,__name__=up",          {0, 0, 0}, MRD_OK,        "up{job=\"a\"}"                 },
    {"z=1,__name__=up,b=,a=2",     {0, 0, 0}, MRD_OK,        "up{a=\"2\", z=\"1\"}"          },
    {"__name__=my.metric,a b=c",   {0, 0, 0}, MRD_OK,        "{\"my.metric\", \"a b\"=\"c\"}"},
    {"job=a",                      {0, 0, 0}, MRD_E_INVALID, "no metric name"                },
    {"__name__=",                  {0, 0, 0}, MRD_E_INVALID, "no metric name"                },
    {"__name__=up,=x",             {0, 0, 0}, MRD_E_INVALID, "empty name"                    },
    {"__name__=up,=",              {0, 0, 0}, MRD_E_INVALID, "empty name"                    },
    {"__name__=up,a=1,a=1",        {0, 0, 0}, MRD_E_INVALID, "stands twice"                  },
    {"__name__=up,a=,a=1",         {0, 0, 0}, MRD_E_INVALID, "stands twice"                  },
    {"__name__=up,a=\xff",         {0, 0, 0}, MRD_E_INVALID, "value of label \"a\""          },
    {"__name__=up,\xed\xa0\x80=1", {0, 0, 0}, MRD_E_INVALID, "name is not valid UTF-8"       },
    {"__name__=up,a=1",            {1, 0, 0}, MRD_E_LIMIT,   "labels_per_series_max"         },
    {"__name__=up,a=",             {1, 0, 0}, MRD_OK,        "up"                            },
    {"__name__=up,abcdefghi=1",    {0, 8, 0}, MRD_E_LIMIT,   "label_name_bytes_max"          },
    {"__name__=up,a=123",          {0, 0, 2}, MRD_E_LIMIT,   "label_value_bytes_max"         },
};

static void a_sent_label_set_is_canonicalised_or_refused_with_a_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(validate_cases); i++) {
        struct mrd_label items[LABELS_MAX];
        size_t count = labels_of(validate_cases[i].sent, items);
        struct mrd_error err = {0};
        const enum mrd_status got =
            mrd_labels_validate(items, &count, &validate_cases[i].limits, &err);
        if (got != validate_cases[i].want) {
            fail_msg("\"%s\": got %s (%s)", validate_cases[i].sent, mrd_status_name(got), err.text);
        }
        if (got == MRD_OK) {
            assert_format((struct mrd_labels){items, count}, validate_cases[i].want_text);
        } else if (strstr(err.text, validate_cases[i].want_text) == NULL) {
            fail_msg("\"%s\": error \"%s\"", validate_cases[i].sent, err.text);
        }
    }
}

static void canonical_bytes_come_back_as_the_same_labels(void **state)
{
    (void)state;
    struct mrd_label items[LABELS_MAX];
    const size_t count = labels_of("__name__=up,instance=h:9090,job=node", items);
    struct mrd_buf bytes = {0};
    mrd_labels_encode((struct mrd_labels){items, count}, &bytes);
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("test", 1 << 16);
    struct mrd_labels decoded;
    assert_int_equal(mrd_labels_decode(mrd_buf_view(&bytes), arena, &decoded, NULL), MRD_OK);
    assert_true(mrd_labels_equal(decoded, (struct mrd_labels){items, count}));
    for (size_t size = 1; size < bytes.size; size++) { /* no prefix ends inside a label */
        struct mrd_labels cut;
        const struct mrd_bytes prefix = {bytes.data, size};
        const enum mrd_status got = mrd_labels_decode(prefix, arena, &cut, NULL);
        assert_true(got == MRD_E_CORRUPT || (got == MRD_OK && cut.count < count));
    }
    mrd_buf_fini(&bytes);
}

static const char *const not_canonical[] = {
    "\1b\1x\1a\1x", /* order */
    "\1a\1x\1a\1y", /* twice */
    "\1a\0",        /* no value */
    "\1a\5x",       /* cut */
    "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
};

static void bytes_that_no_valid_set_has_are_corrupt(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(not_canonical); i++) {
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *arena = mrd_arena_create("test", 1 << 16);
        struct mrd_labels labels;
        const struct mrd_bytes bytes = {(const uint8_t *)not_canonical[i],
                                        i == 2 ? (size_t)3 : strlen(not_canonical[i])};
        assert_int_equal(mrd_labels_decode(bytes, arena, &labels, NULL), MRD_E_CORRUPT);
    }
}

static void label_sets_are_ordered_as_prometheus_orders_them(void **state)
{
    (void)state;
    static const char *const order[] = {"",        "a=1", "a=1,b=1", "a=1,b=2", "a=1,c=1",
                                        "a=10000", "a=2", "aa=1",    "b=1"};
    for (size_t i = 0; i < MRD_ARRAY_LEN(order); i++) {
        for (size_t j = 0; j < MRD_ARRAY_LEN(order); j++) {
            struct mrd_label a[LABELS_MAX];
            struct mrd_label b[LABELS_MAX];
            const int got = mrd_labels_compare((struct mrd_labels){a, labels_of(order[i], a)},
                                               (struct mrd_labels){b, labels_of(order[j], b)});
            assert_int_equal((got > 0) - (got < 0), (i > j) - (i < j));
        }
    }
}

static void the_series_id_depends_on_tenant_and_labels_alone(void **state)
{
    (void)state;
    const struct mrd_bytes labels = MRD_BYTES("\1a\1x");
    const uint64_t seed = mrd_tenant_seed(MRD_BYTES("acme"));
    const mrd_series_id id = mrd_series_id_of(seed, labels);
    assert_true(mrd_id128_equal(id, mrd_series_id_of(mrd_tenant_seed(MRD_BYTES("acme")), labels)));
    assert_false(mrd_id128_equal(id, mrd_series_id_of(mrd_tenant_seed(MRD_BYTES("beta")), labels)));
    assert_false(mrd_id128_equal(id, mrd_series_id_of(seed, MRD_BYTES("\1a\1y"))));
    /* Stored in logs and blocks for years: these bits may never change. */
    assert_true(id.low == 0x69a48b064ab1e01cULL);
}

static void partitions_share_series_evenly(void **state)
{
    (void)state;
    size_t counts[7] = {0};
    for (uint32_t i = 0; i < 70000; i++) {
        const struct mrd_bytes bytes = {(const uint8_t *)&i, sizeof(i)};
        counts[mrd_series_partition(mrd_series_id_of(1, bytes), 7)]++;
    }
    for (size_t i = 0; i < 7; i++) {
        assert_in_range(counts[i], 9500, 10500);
    }
}

static void values_with_quotes_and_control_bytes_are_escaped_when_printed(void **state)
{
    (void)state;
    struct mrd_label items[] = {
        {MRD_BYTES(MRD_METRIC_NAME), MRD_BYTES("up")                       },
        {MRD_BYTES("path"),          MRD_BYTES("C:\\\"x\"\n\t\x01\xc3\xa9")},
    };
    assert_format((struct mrd_labels){items, 2}, "up{path=\"C:\\\\\\\"x\\\"\\n\\t\\x01\xc3\xa9\"}");
    assert_format((struct mrd_labels){items, 0}, "{}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sent_label_set_is_canonicalised_or_refused_with_a_reason),
        cmocka_unit_test(canonical_bytes_come_back_as_the_same_labels),
        cmocka_unit_test(bytes_that_no_valid_set_has_are_corrupt),
        cmocka_unit_test(label_sets_are_ordered_as_prometheus_orders_them),
        cmocka_unit_test(the_series_id_depends_on_tenant_and_labels_alone),
        cmocka_unit_test(partitions_share_series_evenly),
        cmocka_unit_test(values_with_quotes_and_control_bytes_are_escaped_when_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
