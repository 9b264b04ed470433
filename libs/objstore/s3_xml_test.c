#include "objstore/s3_xml.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static bool append_visit(void *context, const char *path, const char *text)
{
    mrd_buf_printf(context, "%s=%s;", path, text);
    return strcmp(text, "refuse") != 0;
}

static enum mrd_status parse(const char *document, struct mrd_buf *out)
{
    return s3_xml_parse(mrd_bytes_of(document), "test", append_visit, out, NULL);
}

static void elements_are_visited_with_their_paths(void **state)
{
    (void)state;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf got = {0};
    assert_int_equal(
        parse("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<A xmlns=\"http://x/\"><B>1 &lt; "
              "2</B><C><D/></C><!-- note --><E><![CDATA[<raw>]]></E></A>",
              &got),
        MRD_OK);
    mrd_buf_append_u8(&got, 0);
    assert_string_equal((const char *)got.data, "/A/B=1 < 2;/A/C/D=;/A/C=;/A/E=<raw>;/A=;");
}

static void what_is_no_plain_document_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "text",
        "<A>",
        "<A></B>",
        "<A/><B/>",
        "<!DOCTYPE A><A/>",
        "<!DOCTYPE A [<!ENTITY e \"x\">]><A>&e;</A>",
        "<!DOCTYPE A SYSTEM \"file:///etc/passwd\"><A/>",
        "<A>&unknown;</A>",
        "<A>\x01</A>",
        "<A>\xff</A>",
        "<A><B>refuse</B></A>",
        "<a><a><a><a><a><a><a><a><a/></a></a></a></a></a></a></a></a>",
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(bad); i++) {
        mrd_auto(mrd_buf_fini)
        struct mrd_buf got = {0};
        if (parse(bad[i], &got) != MRD_E_CORRUPT) {
            fail_msg("%s", bad[i]);
        }
    }
}

static void texts_and_names_are_bounded(void **state)
{
    (void)state;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf document = {0};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf got = {0};
    mrd_buf_append_text(&document, "<A>");
    for (size_t i = 0; i <= S3_XML_TEXT_MAX; i++) {
        mrd_buf_append_u8(&document, 'x');
    }
    mrd_buf_append(&document, "</A>", 5);
    assert_int_equal(parse((const char *)document.data, &got), MRD_E_CORRUPT);
    memcpy(document.data, "<AA", 3);
    document.data[S3_XML_PATH_MAX + 2] = '/';
    document.data[S3_XML_PATH_MAX + 3] = '>';
    document.data[S3_XML_PATH_MAX + 4] = 0;
    assert_int_equal(parse((const char *)document.data, &got), MRD_E_CORRUPT);
}

static void an_error_is_read_as_far_as_it_goes(void **state)
{
    (void)state;
    struct s3_xml_error error;
    s3_xml_error_parse(MRD_BYTES("<Error><Code>SlowDown</Code><Message>Please\nslow\xc3\xa4"
                                 "</Message><Region>eu-1</Region></Error>"),
                       &error);
    assert_string_equal(error.code, "SlowDown");
    assert_string_equal(error.message, "Please?slow??");
    assert_string_equal(error.region, "eu-1");
    s3_xml_error_parse(MRD_BYTES("<Error><Code>SlowDown</Code><Mess"), &error);
    assert_string_equal(error.code, "SlowDown");
    s3_xml_error_parse(MRD_BYTES("<html>"), &error);
    assert_string_equal(error.code, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_are_visited_with_their_paths),
        cmocka_unit_test(what_is_no_plain_document_is_refused),
        cmocka_unit_test(texts_and_names_are_bounded),
        cmocka_unit_test(an_error_is_read_as_far_as_it_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
