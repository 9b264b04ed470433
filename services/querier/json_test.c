#include "querier/json.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void assert_text(struct mrd_buf *out, const char *want)
{
    mrd_buf_append_u8(out, 0);
    assert_string_equal((const char *)out->data, want);
    mrd_buf_fini(out);
}

static void strings_are_escaped_and_always_valid_utf8(void **state)
{
    (void)state;
    struct mrd_buf out = {0};
    qry_json_string(MRD_BYTES("a\"b\\c\n\x01\xc3\xa9<\xff>\xf0\x9f\x98\x80"), &out);
    assert_text(&out, "\"a\\\"b\\\\c\\n\\u0001\xc3\xa9\\u003c\\ufffd\\u003e\xf0\x9f\x98\x80\"");
    qry_json_string(MRD_BYTES("&\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa\x7f"), &out);
    assert_text(&out, "\"\\u0026\\u2028\\u2029\xe2\x80\xaa\x7f\"");
    qry_json_string(MRD_BYTES_NONE, &out);
    assert_text(&out, "\"\"");
}

static void times_have_no_decimals_or_three(void **state)
{
    (void)state;
    static const struct {
        mrd_time_ms ms;
        const char *want;
    } cases[] = {
        {1435781451781, "1435781451.781"       },
        {12000,         "12"                   },
        {500,           "0.500"                },
        {-1,            "-0.001"               },
        {10,            "0.010"                },
        {0,             "0"                    },
        {INT64_MIN,     "-9223372036854775.808"},
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        struct mrd_buf out = {0};
        qry_json_time(cases[i].ms, &out);
        assert_text(&out, cases[i].want);
    }
}

static const struct mrd_label up_labels[] = {
    {MRD_BYTES("__name__"), MRD_BYTES("up")},
    {MRD_BYTES("job"),      MRD_BYTES("a") },
};
static const mrd_time_ms two_times[] = {1000, 2500};
static const double two_values[] = {1, NAN};

static struct mrd_promql_result result_of(enum mrd_promql_type type,
                                          const struct mrd_promql_series *series, size_t count)
{
    return (struct mrd_promql_result){.type = type, .series = series, .series_count = count};
}

static void answers_have_the_shape_of_prometheus(void **state)
{
    (void)state;
    const struct mrd_promql_series series[] = {
        {.labels = {up_labels, 2}, .times_ms = two_times, .values = two_values, .count = 2},
        {.labels = {NULL, 0},      .times_ms = two_times, .values = two_values, .count = 1},
    };
    struct mrd_buf out = {0};
    struct mrd_promql_result result = result_of(MRD_PROMQL_MATRIX, series, 2);
    qry_json_result(&result, 0, NULL, &out);
    assert_text(&out, "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":["
                      "{\"metric\":{\"__name__\":\"up\",\"job\":\"a\"},"
                      "\"values\":[[1,\"1\"],[2.500,\"NaN\"]]},"
                      "{\"metric\":{},\"values\":[[1,\"1\"]]}]}}");
    result = result_of(MRD_PROMQL_VECTOR, series, 2);
    qry_json_result(&result, 0, &(struct qry_json_extra){.limit = 1}, &out);
    assert_text(&out, "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":["
                      "{\"metric\":{\"__name__\":\"up\",\"job\":\"a\"},\"value\":[1,\"1\"]}]},"
                      "\"warnings\":[\"results truncated due to limit\"]}");
    result = result_of(MRD_PROMQL_MATRIX, NULL, 0);
    qry_json_result(&result, 0, NULL, &out);
    assert_text(&out,
                "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[]}}");
    result = result_of(MRD_PROMQL_SCALAR, NULL, 0);
    result.scalar = (struct mrd_sample){1500, -INFINITY};
    qry_json_result(&result, 0, NULL, &out);
    assert_text(&out, "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":"
                      "[1.5,\"-Inf\"]}}");
    result = result_of(MRD_PROMQL_STRING, NULL, 0);
    result.string = MRD_BYTES("x");
    qry_json_result(&result, 3000, NULL, &out);
    assert_text(&out, "{\"status\":\"success\",\"data\":{\"resultType\":\"string\",\"result\":"
                      "[3,\"x\"]}}");
}

static void histograms_are_lists_of_buckets_that_say_which_end_is_theirs(void **state)
{
    (void)state;
    static const int32_t positive[] = {0, 2, 3};
    static const int32_t negative[] = {1};
    static const int32_t custom[] = {0, 1};
    static const double bounds[] = {0.1};
    double counts[] = {1.5, 0, 2};
    struct mrd_float_histogram exponential = {
        .zero_threshold = 0.001,
        .zero_count = 4,
        .count = 12,
        .sum = 1e-07,
        .positive = {positive, counts, 3},
        .negative = {negative, counts, 1}
    };
    struct mrd_float_histogram with_bounds = {
        .schema = MRD_HISTOGRAM_SCHEMA_CUSTOM,
        .count = 1.5,
        .sum = INFINITY,
        .positive = {custom, counts, 2},
        .custom_values = bounds,
        .custom_value_count = 1
    };
    const struct mrd_float_histogram empty = {.sum = NAN};
    const struct mrd_float_histogram *const mixed[] = {NULL, &exponential};
    const struct mrd_float_histogram *const both[] = {&with_bounds, &empty};
    const struct mrd_promql_series series[] = {
        {{NULL, 0}, two_times, two_values, mixed, 2},
        {{NULL, 0}, two_times, two_values, both,  2},
    };
    struct mrd_buf out = {0};
    struct mrd_promql_result result = result_of(MRD_PROMQL_MATRIX, series, 2);
    qry_json_result(&result, 0, NULL, &out);
    assert_text(
        &out,
        "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":["
        "{\"metric\":{},\"values\":[[1,\"1\"]],\"histograms\":[[2.500,{\"count\":\"12\","
        "\"sum\":\"1e-07\",\"buckets\":[[1,\"-2\",\"-1\",\"1.5\"],[3,\"-0.001\",\"0.001\",\"4\"],"
        "[0,\"0.5\",\"1\",\"1.5\"],[0,\"4\",\"8\",\"2\"]]}]]},"
        "{\"metric\":{},\"histograms\":[[1,{\"count\":\"1.5\",\"sum\":\"+Inf\","
        "\"buckets\":[[3,\"-Inf\",\"0.1\",\"1.5\"]]}],"
        "[2.500,{\"count\":\"0\",\"sum\":\"NaN\"}]]}]}}");
    result = result_of(MRD_PROMQL_VECTOR, &series[1], 1);
    qry_json_result(&result, 0, NULL, &out);
    assert_text(&out, "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":["
                      "{\"metric\":{},\"histogram\":[1,{\"count\":\"1.5\",\"sum\":\"+Inf\","
                      "\"buckets\":[[3,\"-Inf\",\"0.1\",\"1.5\"]]}]}]}}");
}

static void at_most_ten_annotations_of_a_kind_are_shown(void **state)
{
    (void)state;
    struct mrd_annotation notes[12];
    for (size_t i = 0; i < 12; i++) {
        notes[i] =
            (struct mrd_annotation){.text = MRD_BYTES("n"), .next = i < 11 ? &notes[i + 1] : NULL};
    }
    struct mrd_promql_result result = result_of(MRD_PROMQL_VECTOR, NULL, 0);
    result.annotations.first[MRD_ANNOTATION_INFO] = &notes[0];
    result.annotations.count[MRD_ANNOTATION_INFO] = 12;
    struct mrd_buf out = {0};
    qry_json_result(&result, 0, NULL, &out);
    assert_text(&out, "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[]},"
                      "\"infos\":[\"n\",\"n\",\"n\",\"n\",\"n\",\"n\",\"n\",\"n\",\"n\",\"n\","
                      "\"2 more info annotations omitted\"]}");
}

static void names_series_and_errors_have_the_shape_of_prometheus(void **state)
{
    (void)state;
    const struct mrd_bytes names[] = {MRD_BYTES("__name__"), MRD_BYTES("job")};
    struct mrd_buf out = {0};
    qry_json_texts(&(struct mrd_texts){names, 2, false}, NULL, NULL, &out);
    assert_text(&out, "{\"status\":\"success\",\"data\":[\"__name__\",\"job\"]}");
    qry_json_texts(&(struct mrd_texts){names, 1, true}, NULL, NULL, &out);
    assert_text(&out, "{\"status\":\"success\",\"data\":[\"__name__\"],"
                      "\"warnings\":[\"results truncated due to limit\"]}");
    const struct mrd_labels sets[] = {
        {up_labels, 2},
        {up_labels, 1},
    };
    qry_json_label_sets(&(struct mrd_label_sets){sets, 2, false}, NULL, NULL, &out);
    assert_text(&out, "{\"status\":\"success\",\"data\":[{\"__name__\":\"up\",\"job\":\"a\"},"
                      "{\"__name__\":\"up\"}]}");
    qry_json_error("bad_data", "1:5: \"x\"", &out);
    assert_text(&out,
                "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"1:5: \\\"x\\\"\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_escaped_and_always_valid_utf8),
        cmocka_unit_test(times_have_no_decimals_or_three),
        cmocka_unit_test(answers_have_the_shape_of_prometheus),
        cmocka_unit_test(histograms_are_lists_of_buckets_that_say_which_end_is_theirs),
        cmocka_unit_test(at_most_ten_annotations_of_a_kind_are_shown),
        cmocka_unit_test(names_series_and_errors_have_the_shape_of_prometheus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
