/* Whether requests are what the service demands: signatures, TLS, addresses, headers; and what is told
 * when they are not. The server of the fixture verifies by the published rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "objstore/s3_fixture.h"

static struct s3_fixture server; /* plain HTTP */
static struct mrd_error told;
static char certificate[] = "/tmp/mrd-certificate-XXXXXX";

/* A key and a certificate for "localhost" and its bucket, in one file. */
static void make_certificate(void)
{
    char command[512];
    const int fd = mkstemp(certificate);
    assert_true(fd >= 0);
    close(fd);
    (void)snprintf(
        command, sizeof(command),
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
        "-subj /CN=localhost -addext subjectAltName=DNS:localhost,DNS:bucket-1.localhost "
        "-keyout %s.key -out %s 2>/dev/null && cat %s.key >>%s && rm %s.key",
        certificate, certificate, certificate, certificate, certificate);
    assert_int_equal(system(command), 0);
}

static int open_all(void **state)
{
    (void)state;
    make_certificate();
    s3_fixture_start(&server, NULL, NULL);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    s3_fixture_stop(&server);
    return unlink(certificate);
}

/* Puts, reads, lists and deletes with a store of these options. */
static enum mrd_status use(const struct mrd_s3_options *options)
{
    mrd_auto(mrd_objstore_close)
    struct mrd_objstore *store = NULL;
    MRD_TRY(mrd_s3_store_open(options, &store, &told));
    const char *keys[] = {"use/a=b/(1)'!*", "use/2"};
    MRD_TRY(mrd_objstore_put(store, keys[0], MRD_BYTES("bytes"), NULL, &told));
    MRD_TRY(mrd_objstore_put_if_absent(store, keys[1], MRD_BYTES("bytes"), NULL, &told));
    mrd_auto(mrd_buf_fini)
    struct mrd_buf got = {0};
    MRD_TRY(mrd_objstore_get(store, keys[0], 10, NULL, &got, &told));
    mrd_assert(mrd_bytes_equal(mrd_buf_view(&got), MRD_BYTES("bytes")));
    MRD_TRY(mrd_objstore_probe(store, "use/", NULL, &told));
    return mrd_objstore_delete_many(store, keys, 2, NULL, &told);
}

static void assert_used(const struct mrd_s3_options *options)
{
    if (use(options) != MRD_OK) {
        fail_msg("%s", told.text);
    }
}

static void assert_refused(const struct mrd_s3_options *options, enum mrd_status want,
                           const char *text)
{
    const enum mrd_status got = use(options);
    if (got != want || strstr(told.text, text) == NULL) {
        fail_msg("%s: %s", mrd_status_name(got), told.text);
    }
}

static void addresses_of_both_styles_are_signed(void **state)
{
    (void)state;
    struct mrd_s3_options options = s3_fixture_options(&server);
    assert_used(&options);
    options.path_style = false; /* bucket-1.localhost */
    assert_used(&options);
    options.prefix = NULL;
    assert_used(&options);
    options.checksums_off = true;
    assert_used(&options);
    options.bucket = "bucket-2";
    options.path_style = true;
    assert_refused(&options, MRD_E_INVALID, "NoSuchBucket");
}

static void wrong_credentials_are_denied(void **state)
{
    (void)state;
    struct mrd_s3_options options = s3_fixture_options(&server);
    options.credentials.secret_key = "wrong";
    assert_refused(&options, MRD_E_DENIED, "SignatureDoesNotMatch");
    options = s3_fixture_options(&server);
    options.credentials.access_key = "wrong";
    assert_refused(&options, MRD_E_DENIED, "InvalidAccessKeyId");
    options = s3_fixture_options(&server);
    options.credentials.session_token = "unexpected";
    assert_refused(&options, MRD_E_DENIED, "InvalidToken");
    options = s3_fixture_options(&server);
    options.region = "test-2";
    assert_refused(&options, MRD_E_INVALID, "in region test-1");
}

static void session_tokens_are_signed(void **state)
{
    (void)state;
    struct s3_fixture other;
    s3_fixture_start(&other, NULL, "token/+==");
    struct mrd_s3_options options = s3_fixture_options(&other);
    options.credentials.session_token = "token/+==";
    assert_used(&options);
    options.credentials.session_token = NULL;
    assert_refused(&options, MRD_E_DENIED, "InvalidToken");
    s3_fixture_stop(&other);
}

static int64_t clock_shift_ms;
static mrd_time_ms shifted_now_ms(void *context)
{
    (void)context;
    return mrd_clock_now_ms(mrd_clock_system()) + clock_shift_ms;
}

static void a_clock_that_is_off_is_told(void **state)
{
    (void)state;
    struct mrd_clock clock = *mrd_clock_system();
    clock.now_ms = shifted_now_ms;
    struct mrd_s3_options options = s3_fixture_options(&server);
    options.clock = &clock;
    clock_shift_ms = 14 * 60000;
    assert_used(&options);
    clock_shift_ms = 16 * 60000;
    assert_refused(&options, MRD_E_DENIED, "s ahead of that of the service");
    assert_non_null(strstr(told.text, "clock is 9")); /* 960 s, or a second less */
    clock_shift_ms = -16 * 60000;
    assert_refused(&options, MRD_E_DENIED, "s behind that of the service");
}

static void tls_is_verified(void **state)
{
    (void)state;
    struct s3_fixture secure;
    s3_fixture_start(&secure, certificate, NULL);
    struct mrd_s3_options options = s3_fixture_options(&secure);
    assert_used(&options);
    options.path_style = false;
    assert_used(&options);
    options.path_style = true;
    options.ca_file = NULL; /* the system does not know this certificate */
    assert_refused(&options, MRD_E_DENIED, "certificate");
    options.ca_file = "/no/such/file";
    assert_refused(&options, MRD_E_DENIED, "");
    char wrong_host[64]; /* the certificate is for localhost */
    (void)snprintf(wrong_host, sizeof(wrong_host), "https://127.0.0.1:%d", secure.port);
    options.ca_file = certificate;
    options.endpoint = wrong_host;
    assert_refused(&options, MRD_E_DENIED, "");
    char plain[64];
    (void)snprintf(plain, sizeof(plain), "https://localhost:%d", server.port);
    options.endpoint = plain;
    assert_refused(&options, MRD_E_UNAVAILABLE, "");
    s3_fixture_stop(&secure);
}

static void nobody_there_is_unavailable(void **state)
{
    (void)state;
    struct mrd_s3_options options = s3_fixture_options(&server);
    options.endpoint = "http://127.0.0.1:1";
    assert_refused(&options, MRD_E_UNAVAILABLE, "connect");
    options.endpoint = "http://no-such-host.invalid";
    options.attempts_max = 1;
    assert_refused(&options, MRD_E_UNAVAILABLE, "resolve");
}

/* What the server has noted with an object. */
static void assert_headers(const char *key, const char *want)
{
    char path[256];
    mrd_auto(mrd_buf_fini)
    struct mrd_buf got = {0};
    (void)snprintf(path, sizeof(path), "headers/some/where/%s", key);
    s3_fixture_say(&server, path, "", &got);
    mrd_buf_append_u8(&got, 0);
    assert_string_equal((const char *)got.data, want);
}

static void upload(struct mrd_objstore *store, const char *key, size_t size)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    uint8_t *data = mrd_buf_reserve(&bytes, size);
    assert_non_null(data);
    memset(data, 0, size);
    bytes.size = size;
    mrd_auto(mrd_objstore_upload_destroy)
    struct mrd_objstore_upload *begun = NULL;
    assert_int_equal(mrd_objstore_upload_begin(store, key, NULL, &begun, &told), MRD_OK);
    assert_int_equal(mrd_objstore_upload_write(begun, mrd_buf_view(&bytes), &told), MRD_OK);
    assert_int_equal(mrd_objstore_upload_finish(begun, &told), MRD_OK);
}

static void class_and_encryption_are_asked_for(void **state)
{
    (void)state;
    struct mrd_s3_options options = s3_fixture_options(&server);
    options.storage_class = "STANDARD_IA";
    options.encryption = MRD_S3_ENCRYPTION_KMS;
    options.kms_key_id = "arn:aws:kms:eu-1:1:key/2";
    struct mrd_objstore *store = NULL;
    assert_int_equal(mrd_s3_store_open(&options, &store, &told), MRD_OK);
#define KMS                                                                                        \
    "\"x-amz-server-side-encryption\": \"aws:kms\", "                                              \
    "\"x-amz-server-side-encryption-aws-kms-key-id\": \"arn:aws:kms:eu-1:1:key/2\""
    assert_int_equal(mrd_objstore_put(store, "asked/put", MRD_BYTES("1"), NULL, &told), MRD_OK);
    assert_headers("asked/put", "{" KMS "}");
    assert_int_equal(mrd_objstore_put_if_absent(store, "asked/once", MRD_BYTES("1"), NULL, &told),
                     MRD_OK);
    assert_headers("asked/once", "{" KMS "}");
    upload(store, "asked/small", 10);
    assert_headers("asked/small", "{" KMS ", \"x-amz-storage-class\": \"STANDARD_IA\"}");
    upload(store, "asked/large", (5 << 20) + 1);
    mrd_objstore_close(&store);
    char path[] = "headers/some/where/asked/large";
    mrd_auto(mrd_buf_fini)
    struct mrd_buf got = {0};
    s3_fixture_say(&server, path, "", &got);
    mrd_buf_append_u8(&got, 0);
    assert_non_null(
        strstr((const char *)got.data, KMS ", \"x-amz-storage-class\": \"STANDARD_IA\"}"));
}

static bool take_class(void *context, const struct mrd_objstore_entry *entry)
{
    (void)snprintf(context, 64, "%s", entry->storage_class);
    return true;
}

static void an_object_changes_its_class(void **state)
{
    (void)state;
    struct mrd_s3_options options = s3_fixture_options(&server);
    options.encryption = MRD_S3_ENCRYPTION_AES256;
    options.attempts_max = 1;
    struct mrd_objstore *store = NULL;
    char class[64];
    mrd_auto(mrd_buf_fini)
    struct mrd_buf got = {0};
    static const char key[] = "classes/(dot)x'!*=y";
    assert_int_equal(mrd_s3_store_open(&options, &store, &told), MRD_OK);
    assert_int_equal(mrd_objstore_put(store, key, MRD_BYTES("bytes"), NULL, &told), MRD_OK);
    assert_int_equal(mrd_objstore_set_class(store, key, "GLACIER_IR", NULL, &told), MRD_OK);
    assert_int_equal(mrd_objstore_list(store, "classes/", "", take_class, class, NULL, &told),
                     MRD_OK);
    assert_string_equal(class, "GLACIER_IR");
    assert_int_equal(mrd_objstore_get(store, key, 100, NULL, &got, &told), MRD_OK);
    assert_true(mrd_bytes_equal(mrd_buf_view(&got), MRD_BYTES("bytes")));
    assert_int_equal(mrd_objstore_set_class(store, key, "GLACIER_IR", NULL, &told),
                     MRD_E_INVALID); /* it is */
    assert_int_equal(mrd_objstore_set_class(store, key, "NONE", NULL, &told), MRD_E_INVALID);
    assert_int_equal(mrd_objstore_set_class(store, "classes/none", "GLACIER_IR", NULL, &told),
                     MRD_E_NOT_FOUND);
    /* A failure behind the status of a success. */
    s3_fixture_say(&server, "faults",
                   "body method=PUT status=200 text=<Error><Code>InternalError</Code>"
                   "<Message>later</Message></Error>",
                   &got);
    assert_int_equal(mrd_objstore_set_class(store, key, "STANDARD_IA", NULL, &told),
                     MRD_E_UNAVAILABLE);
    assert_non_null(strstr(told.text, "InternalError"));
    mrd_objstore_close(&store);
}

static void rotated_keys_are_taken_up(void **state)
{
    (void)state;
    char path[] = "/tmp/mrd-credentials-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    static const char old[] =
        "[default]\naws_access_key_id=test-access\naws_secret_access_key=old\n";
    static const char new[] =
        "[default]\naws_access_key_id=test-access\naws_secret_access_key=test-secret/+=\n";
    assert_int_equal(write(fd, old, sizeof(old) - 1), sizeof(old) - 1);
    struct mrd_s3_options options = s3_fixture_options(&server);
    options.credentials = (struct s3_credentials_options){.file = path};
    struct mrd_objstore *store = NULL;
    assert_int_equal(mrd_s3_store_open(&options, &store, &told), MRD_OK);
    assert_int_equal(mrd_objstore_put(store, "keys/x", MRD_BYTES("1"), NULL, &told), MRD_E_DENIED);
    assert_int_equal(pwrite(fd, new, sizeof(new) - 1, 0), sizeof(new) - 1);
    assert_int_equal(mrd_objstore_put(store, "keys/x", MRD_BYTES("1"), NULL, &told), MRD_OK);
    mrd_objstore_close(&store);
    close(fd);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_of_both_styles_are_signed),
        cmocka_unit_test(wrong_credentials_are_denied),
        cmocka_unit_test(session_tokens_are_signed),
        cmocka_unit_test(a_clock_that_is_off_is_told),
        cmocka_unit_test(tls_is_verified),
        cmocka_unit_test(nobody_there_is_unavailable),
        cmocka_unit_test(class_and_encryption_are_asked_for),
        cmocka_unit_test(an_object_changes_its_class),
        cmocka_unit_test(rotated_keys_are_taken_up),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
