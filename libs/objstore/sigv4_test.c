/* Known answers: the examples of "Signature Calculations for the Authorization Header" in the Amazon S3
 * API Reference (examplebucket, 24 May 2013). */
#include "objstore/sigv4.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define PUT_HASH "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"
#define HOST                                                                                       \
    {                                                                                              \
        "host", "examplebucket.s3.amazonaws.com"                                                   \
    }
#define DATE                                                                                       \
    {                                                                                              \
        "x-amz-date", "20130524T000000Z"                                                           \
    }

static const mrd_time_ms when_ms = 1369353600000;
static const struct mrd_sigv4_key key = {
    "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1", "s3"};

static const struct {
    struct mrd_sigv4_request request;
    struct mrd_sigv4_header headers[5];
    const char *names;
    const char *signature;
} examples[] = {
    {{"GET", "/test.txt", "", NULL, 4, EMPTY_HASH},
     {HOST, {"range", "bytes=0-9"}, {"x-amz-content-sha256", EMPTY_HASH}, DATE},
     "host;range;x-amz-content-sha256;x-amz-date",                    "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
    {{"PUT", "/test%24file.text", "", NULL, 5, PUT_HASH},
     {{"date", "Fri, 24 May 2013 00:00:00 GMT"},
      HOST,
      {"x-amz-content-sha256", PUT_HASH},
      DATE,
      {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
     "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class", "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
    {{"GET", "/", "lifecycle=", NULL, 3, EMPTY_HASH},
     {HOST, {"x-amz-content-sha256", EMPTY_HASH}, DATE},
     "host;x-amz-content-sha256;x-amz-date",                          "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
    {{"GET", "/", "max-keys=2&prefix=J", NULL, 3, EMPTY_HASH},
     {HOST, {"x-amz-content-sha256", EMPTY_HASH}, DATE},
     "host;x-amz-content-sha256;x-amz-date",                          "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
};

static void the_published_examples_come_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(examples); i++) {
        struct mrd_sigv4_request request = examples[i].request;
        request.headers = examples[i].headers;
        char want[512];
        (void)snprintf(want, sizeof(want),
                       "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/"
                       "aws4_request, SignedHeaders=%s, Signature=%s",
                       examples[i].names, examples[i].signature);
        mrd_auto(mrd_buf_fini)
        struct mrd_buf got = {0};
        mrd_sigv4_sign(&request, &key, when_ms, &got);
        mrd_buf_append_u8(&got, 0);
        assert_string_equal((const char *)got.data, want);
    }
}

static void hashes_and_times_are_as_published(void **state)
{
    (void)state;
    char hash[MRD_SHA256_HEX_SIZE];
    char time[MRD_SIGV4_TIME_SIZE];
    mrd_sha256_hex(MRD_BYTES_NONE, hash);
    assert_string_equal(hash, EMPTY_HASH);
    mrd_sha256_hex(MRD_BYTES("Welcome to Amazon S3."), hash);
    assert_string_equal(hash, PUT_HASH);
    mrd_sigv4_time(when_ms, time);
    assert_string_equal(time, "20130524T000000Z");
}

static const struct {
    const char *text;
    bool keep_slash;
    const char *want;
} encodings[] = {
    {"",              false, ""                           },
    {"AZaz09-._~",    false, "AZaz09-._~"                 },
    {"a/b",           true,  "a/b"                        },
    {"a/b",           false, "a%2Fb"                      },
    {"test$file.txt", true,  "test%24file.txt"            },
    {"a b+c=*'()!",   true,  "a%20b%2Bc%3D%2A%27%28%29%21"},
    {"\xc3\xa4\x01",  true,  "%C3%A4%01"                  },
};

static void uris_are_encoded_as_the_signature_wants_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(encodings); i++) {
        mrd_auto(mrd_buf_fini)
        struct mrd_buf got = {0};
        mrd_uri_encode(encodings[i].text, encodings[i].keep_slash, &got);
        mrd_buf_append_u8(&got, 0);
        assert_string_equal((const char *)got.data, encodings[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_examples_come_out),
        cmocka_unit_test(hashes_and_times_are_as_published),
        cmocka_unit_test(uris_are_encoded_as_the_signature_wants_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
