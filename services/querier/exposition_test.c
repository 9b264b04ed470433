/* What is chosen from an Accept header, and how metrics look in each format. */
#include "querier/exposition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define PROTOBUF                                                                                   \
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
#define OPENMETRICS "application/openmetrics-text;version=1.0.0"

static void the_best_liked_format_is_chosen(void **state)
{
    (void)state;
    static const struct {
        const char *accept;
        enum qry_format_kind kind;
        bool utf8;
    } cases[] = {
        {"",                                                         QRY_FORMAT_TEXT,        false},
        {"*/*",                                                      QRY_FORMAT_TEXT,        false},
        {"text/plain;version=0.0.4;escaping=allow-utf-8;q=0.5",      QRY_FORMAT_TEXT,        true },
        {OPENMETRICS ";q=0.1,text/plain;q=0.5",                      QRY_FORMAT_OPENMETRICS, false},
        {PROTOBUF,                                                   QRY_FORMAT_PROTOBUF,    false},
        {PROTOBUF ";q=0.6," OPENMETRICS ";q=0.5,text/plain;q=0.4",   QRY_FORMAT_PROTOBUF,    false},
        {PROTOBUF ";q=0.3, " OPENMETRICS "; q=0.5,text/plain;q=0.4", QRY_FORMAT_OPENMETRICS, false},
        {PROTOBUF ";q=0.3,text/plain;q=0.4",                         QRY_FORMAT_TEXT,        false},
        {PROTOBUF ";q=0,text/plain;q=0",                             QRY_FORMAT_TEXT,        false},
        {PROTOBUF ";q=x;escaping=allow-utf-8,,;q=,q=",               QRY_FORMAT_PROTOBUF,    true },
        {"application/vnd.google.protobuf;encoding=text",            QRY_FORMAT_TEXT,        false},
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        const struct qry_format format = qry_format_of(mrd_bytes_of(cases[i].accept));
        if (format.kind != cases[i].kind || format.utf8 != cases[i].utf8) {
            fail_msg("\"%s\": got %s", cases[i].accept, format.content_type);
        }
    }
}

static const struct mrd_label labels[] = {
    {MRD_BYTES(MRD_METRIC_NAME), MRD_BYTES("h")},
    {MRD_BYTES("a.b"),           MRD_BYTES("x")},
};
static const int32_t indexes[] = {0, 1, 3};
static double counts[] = {1, 2.5, 4};
static const double bounds[] = {0.5, 1, 2};

static struct qry_exposed item_of(const struct mrd_float_histogram *histogram)
{
    return (struct qry_exposed){
        MRD_BYTES("h"), {labels, 2},
         1500, 2, histogram
    };
}

static void custom_bounds_become_classic_buckets(void **state)
{
    (void)state;
    const struct mrd_float_histogram histogram = {
        .schema = MRD_HISTOGRAM_SCHEMA_CUSTOM,
        .count = 7.5,
        .sum = 3,
        .positive = {indexes, counts, 3},
        .custom_values = bounds,
        .custom_value_count = 3,
    };
    const struct qry_exposed item = item_of(&histogram);
    const struct qry_format text = qry_format_of(MRD_BYTES("text/plain"));
    struct mrd_buf out = {0};
    assert_true(qry_exposed_fits(&item, &text));
    qry_family_head_append(&item, &text, &out);
    qry_exposed_append(&item, &text, &out);
    mrd_buf_append_u8(&out, 0);
    assert_string_equal((const char *)out.data,
                        "# TYPE h histogram\n"
                        "h_bucket{a_b=\"x\",instance=\"\",le=\"0.5\"} 1 1500\n"
                        "h_bucket{a_b=\"x\",instance=\"\",le=\"1\"} 3.5 1500\n"
                        "h_bucket{a_b=\"x\",instance=\"\",le=\"2\"} 3.5 1500\n"
                        "h_bucket{a_b=\"x\",instance=\"\",le=\"+Inf\"} 7.5 1500\n"
                        "h_sum{a_b=\"x\",instance=\"\"} 3 1500\n"
                        "h_count{a_b=\"x\",instance=\"\"} 7.5 1500\n");
    mrd_buf_fini(&out);
}

static void exponential_buckets_need_protobuf(void **state)
{
    (void)state;
    const struct mrd_float_histogram histogram = {.reset = MRD_HISTOGRAM_GAUGE};
    const struct qry_exposed item = item_of(&histogram);
    const struct qry_exposed plain = item_of(NULL);
    const struct qry_format text = qry_format_of(MRD_BYTES("text/plain"));
    const struct qry_format openmetrics = qry_format_of(MRD_BYTES(OPENMETRICS));
    const struct qry_format protobuf = qry_format_of(MRD_BYTES(PROTOBUF));
    assert_false(qry_exposed_fits(&item, &text));
    assert_false(qry_exposed_fits(&item, &openmetrics));
    assert_true(qry_exposed_fits(&item, &protobuf));
    assert_true(qry_exposed_fits(&plain, &text));
    assert_int_equal(qry_exposed_type(&item), MRD_EXPOSED_GAUGE_HISTOGRAM);
    assert_int_equal(qry_exposed_type(&plain), MRD_EXPOSED_UNTYPED);
}

static void a_family_is_protobuf_with_its_size_in_front(void **state)
{
    (void)state;
    static const uint8_t want[] = {
        45,                                                            /* size */
        0x0a, 1,    'h',                                               /* name */
        0x18, 3,                                                       /* type: untyped */
        0x22, 38,                                                      /* metric */
        0x0a, 8,    0x0a, 3, 'a', '_', 'b', 0x12, 1,   'x',            /* label */
        0x0a, 12,   0x0a, 8, 'i', 'n', 's', 't',  'a', 'n', 'c',  'e', /* label */
        0x12, 0,                                                       /* its value */
        0x2a, 9,    0x09, 0, 0,   0,   0,   0,    0,   0,   0x40,      /* untyped */
        0x30, 0xdc, 0x0b,                                              /* timestamp */
    };
    const struct qry_exposed item = item_of(NULL);
    const struct qry_format protobuf = qry_format_of(MRD_BYTES(PROTOBUF));
    struct mrd_buf metric = {0};
    struct mrd_buf metrics = {0};
    struct mrd_buf out = {0};
    qry_exposed_encode(&item, &protobuf, &metric);
    mrd_family_metric_append(mrd_buf_view(&metric), &metrics);
    mrd_family_append(item.name, qry_exposed_type(&item), mrd_buf_view(&metrics), &out);
    assert_int_equal(out.size, sizeof(want));
    assert_memory_equal(out.data, want, sizeof(want));
    mrd_buf_fini(&metric);
    mrd_buf_fini(&metrics);
    mrd_buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_liked_format_is_chosen),
        cmocka_unit_test(custom_bounds_become_classic_buckets),
        cmocka_unit_test(exponential_buckets_need_protobuf),
        cmocka_unit_test(a_family_is_protobuf_with_its_size_in_front),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
