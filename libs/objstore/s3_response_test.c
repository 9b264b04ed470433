#include "objstore/s3_response.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/hash.h"

static struct s3_headers parse(const char *const *lines)
{
    struct s3_headers headers = {0};
    for (; *lines != NULL; lines++) {
        s3_headers_take(&headers, mrd_bytes_of(*lines));
    }
    return headers;
}

static void headers_are_read(void **state)
{
    (void)state;
    const struct s3_headers got = parse((const char *const[]){
        "HTTP/1.1 206 Partial Content\r\n", "Content-Length: 10\r\n",
        "content-RANGE: bytes 5-14/1000\r\n", "ETag: \"abc-2\"\r\n",
        "Date: Fri, 24 May 2013 00:00:00 GMT\r\n",
        "Last-Modified: Fri, 24 May 2013 00:00:01 GMT\r\n", "x-amz-bucket-region:eu-west-1 \r\n",
        "x-amz-meta-mrd-upload: 12ab\r\n", "x-amz-checksum-crc32c: 4waSgw==\r\n", "\r\n", NULL});
    assert_int_equal(got.status, 206);
    assert_true(got.has_length && got.length == 10);
    assert_true(got.has_range && got.first == 5 && got.last == 14);
    assert_string_equal(got.etag, "\"abc-2\"");
    assert_int_equal(got.date_ms, 1369353600000);
    assert_int_equal(got.modified_ms, 1369353601000);
    assert_string_equal(got.region, "eu-west-1");
    assert_string_equal(got.nonce, "12ab");
    assert_true(got.has_crc && got.crc == 0xe3069283); /* of "123456789", RFC 3720 */
}

static void a_second_answer_begins_anew(void **state)
{
    (void)state;
    const struct s3_headers got = parse((const char *const[]){
        "HTTP/1.1 100 Continue\r\n", "ETag: \"old\"\r\n", "\r\n", "HTTP/1.1 200 OK\r\n", NULL});
    assert_int_equal(got.status, 200);
    assert_string_equal(got.etag, "");
}

static void wrong_headers_count_as_absent(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "Content-Length: -1",
        "Content-Length: 99999999999999999999",
        "Content-Length: 1 2",
        "Content-Length:",
        "Content-Range: bytes */",
        "Content-Range: bytes 9-3/10",
        "Content-Range: 1-2/3",
        "x-amz-checksum-crc32c: 4waSgw==-3",
        "x-amz-checksum-crc32c: 4waSg!==",
        "x-amz-checksum-crc32c: 4waSgx==",
        "ETag: \"<b>\"",
        "ETag: \x01",
        "Date: tomorrow",
        "nonsense",
        ":",
        "",
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(wrong); i++) {
        const struct s3_headers got =
            parse((const char *const[]){"HTTP/1.1 200 OK\r\n", wrong[i], NULL});
        if (got.has_length || got.has_range || got.has_crc || got.etag[0] != 0 ||
            got.date_ms != 0) {
            fail_msg("%s", wrong[i]);
        }
    }
    assert_int_equal(parse((const char *const[]){"HTTP/1.1 20x OK", NULL}).status, 0);
    assert_int_equal(parse((const char *const[]){"HTTP/x", NULL}).status, 0);
}

static void checksums_are_written_as_they_are_read(void **state)
{
    (void)state;
    char text[9];
    s3_crc_write(mrd_crc32c(0, MRD_BYTES("123456789")), text);
    assert_string_equal(text, "4waSgw==");
    s3_crc_write(0, text);
    assert_string_equal(text, "AAAAAA==");
}

static const struct {
    unsigned http_status;
    const char *code;
    enum mrd_status want;
    bool retry;
} verdicts[] = {
    {404, "NoSuchKey",                  MRD_E_NOT_FOUND,   false},
    {404, "",                           MRD_E_NOT_FOUND,   false},
    {404, "NoSuchBucket",               MRD_E_INVALID,     false},
    {403, "SignatureDoesNotMatch",      MRD_E_DENIED,      false},
    {400, "ExpiredToken",               MRD_E_DENIED,      false},
    {412, "PreconditionFailed",         MRD_E_CONFLICT,    false},
    {409, "ConditionalRequestConflict", MRD_E_UNAVAILABLE, true },
    {409, "BucketNotEmpty",             MRD_E_CONFLICT,    false},
    {416, "InvalidRange",               MRD_E_CORRUPT,     false},
    {400, "BadDigest",                  MRD_E_CORRUPT,     true },
    {400, "EntityTooLarge",             MRD_E_INVALID,     false},
    {503, "SlowDown",                   MRD_E_UNAVAILABLE, true },
    {500, "",                           MRD_E_UNAVAILABLE, true },
    {429, "",                           MRD_E_UNAVAILABLE, true },
    {501, "",                           MRD_E_UNSUPPORTED, false},
    {0,   "",                           MRD_E_INVALID,     false},
};

static void answers_are_judged_by_code_then_status(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(verdicts); i++) {
        const struct s3_verdict got = s3_judge(verdicts[i].http_status, verdicts[i].code);
        if (got.status != verdicts[i].want || got.retry != verdicts[i].retry) {
            fail_msg("%u %s: %s", verdicts[i].http_status, verdicts[i].code,
                     mrd_status_name(got.status));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_read),
        cmocka_unit_test(a_second_answer_begins_anew),
        cmocka_unit_test(wrong_headers_count_as_absent),
        cmocka_unit_test(checksums_are_written_as_they_are_read),
        cmocka_unit_test(answers_are_judged_by_code_then_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
