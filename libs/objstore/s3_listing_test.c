#include "objstore/s3_listing.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct s3_page page;
static struct s3_uploads_page uploads;

#define OBJECT(key, size, time)                                                                    \
    "<Contents><Key>" key "</Key><Size>" size "</Size><LastModified>" time                         \
    "</LastModified></Contents>"
#define TIME "2013-05-24T00:00:01.000Z"

static enum mrd_status parse(const char *document)
{
    return s3_page_parse(&page, mrd_bytes_of(document), NULL);
}

static void objects_are_read(void **state)
{
    (void)state;
    assert_int_equal(
        parse("<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t/+=&amp;"
              "</NextContinuationToken>" OBJECT(
                  "a%2fb+c%41", "5497558138880",
                  TIME) "<Contents><Key>d</Key><Size>0</Size><LastModified>" TIME
                        "</LastModified><StorageClass>GLACIER_IR</StorageClass></Contents>"
                        "</ListBucketResult>"),
        MRD_OK);
    assert_int_equal(page.count, 2);
    assert_string_equal(page.entries[0].key, "a/b cA");
    assert_true(page.entries[0].info.size == (uint64_t)5 << 40);
    assert_int_equal(page.entries[0].info.modified_ms, 1369353601000);
    assert_string_equal(page.entries[0].storage_class, "");
    assert_string_equal(page.entries[1].key, "d");
    assert_string_equal(page.entries[1].storage_class, "GLACIER_IR");
    assert_true(page.truncated);
    assert_string_equal(page.token, "t/+=&");
    assert_int_equal(parse("<ListBucketResult/>"), MRD_OK);
    assert_true(page.count == 0 && !page.truncated && page.token[0] == 0);
    s3_page_fini(&page);
}

static void wrong_objects_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        OBJECT("%", "1", TIME),
        OBJECT("%4", "1", TIME),
        OBJECT("%4g", "1", TIME),
        OBJECT("%00", "1", TIME),
        OBJECT("", "1", TIME),
        OBJECT("a", "-1", TIME),
        OBJECT("a", "+1", TIME),
        OBJECT("a", "1x", TIME),
        OBJECT("a", "", TIME),
        OBJECT("a", "5497558138881", TIME),
        OBJECT("a", "99999999999999999999", TIME),
        OBJECT("a", "1", "yesterday"),
        OBJECT("a", "1", "2013-05-24"),
        OBJECT("a", "1", "1900-01-01T00:00:00Z"),
        "<Contents><Key>a</Key><Size>1</Size></Contents>",
        "<Contents/>",
        "<NextContinuationToken>\xc3\xa4</NextContinuationToken>",
        "<NextContinuationToken/>",
        "<IsTruncated>1</IsTruncated>",
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(wrong); i++) {
        mrd_auto(mrd_buf_fini)
        struct mrd_buf document = {0};
        mrd_buf_printf(&document, "<ListBucketResult>%s</ListBucketResult>", wrong[i]);
        if (s3_page_parse(&page, mrd_buf_view(&document), NULL) != MRD_E_CORRUPT) {
            fail_msg("%s", wrong[i]);
        }
    }
    assert_int_equal(parse("<Other/>"), MRD_E_CORRUPT);
    s3_page_fini(&page);
}

static void a_page_is_bounded(void **state)
{
    (void)state;
    for (size_t count = S3_PAGE_MAX; count <= S3_PAGE_MAX + 1; count++) {
        mrd_auto(mrd_buf_fini)
        struct mrd_buf document = {0};
        mrd_buf_append_text(&document, "<ListBucketResult>");
        for (size_t i = 0; i < count; i++) {
            mrd_buf_printf(&document, OBJECT("%zu", "1", TIME), i);
        }
        mrd_buf_append_text(&document, "</ListBucketResult>");
        assert_int_equal(s3_page_parse(&page, mrd_buf_view(&document), NULL),
                         count > S3_PAGE_MAX ? MRD_E_CORRUPT : MRD_OK);
    }
    s3_page_fini(&page);
}

static enum mrd_status parse_uploads(const char *document)
{
    return s3_uploads_parse(&uploads, mrd_bytes_of(document), NULL);
}

static void uploads_are_read(void **state)
{
    (void)state;
    assert_int_equal(
        parse_uploads(
            "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated><NextKeyMarker/>"
            "<Upload><Key>a%2fb</Key><UploadId>i1</UploadId><Initiated>" TIME
            "</Initiated></Upload><Upload><UploadId>i2</UploadId><Key>c</Key><Initiated>" TIME
            "</Initiated></Upload></ListMultipartUploadsResult>"),
        MRD_OK);
    assert_int_equal(uploads.count, 2);
    assert_string_equal(uploads.entries[0].key, "a/b");
    assert_string_equal(uploads.entries[0].id, "i1");
    assert_string_equal(uploads.entries[1].key, "c");
    assert_int_equal(uploads.entries[1].begun_ms, 1369353601000);
    assert_int_equal(parse_uploads("<ListMultipartUploadsResult><IsTruncated>true</IsTruncated>"
                                   "</ListMultipartUploadsResult>"),
                     MRD_E_CORRUPT);
    assert_int_equal(parse_uploads("<ListMultipartUploadsResult><Upload><Key>a</Key></Upload>"
                                   "</ListMultipartUploadsResult>"),
                     MRD_E_CORRUPT);
    assert_int_equal(parse_uploads("<ListBucketResult/>"), MRD_E_CORRUPT);
    s3_uploads_fini(&uploads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_are_read),
        cmocka_unit_test(wrong_objects_are_refused),
        cmocka_unit_test(a_page_is_bounded),
        cmocka_unit_test(uploads_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
