#include "objstore/s3_credentials.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct mrd_error told;

static void write_file(const char *path, const char *text)
{
    char other[128];
    (void)snprintf(other, sizeof(other), "%s.new", path);
    FILE *file = fopen(other, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(other, path), 0); /* as orchestrators replace them */
}

static const char *new_path(void)
{
    static char path[64];
    (void)snprintf(path, sizeof(path), "/tmp/mrd-credentials-XXXXXX");
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    return path;
}

static enum mrd_status pair_of(const struct s3_credentials_options *options,
                               struct s3_key_pair *out)
{
    mrd_auto(s3_credentials_close)
    struct s3_credentials *credentials = NULL;
    MRD_TRY(s3_credentials_open(options, &credentials, &told));
    s3_credentials_get(credentials, out);
    return MRD_OK;
}

static void given_keys_come_before_the_environment(void **state)
{
    (void)state;
    char *environment[] = {"AWS_ACCESS_KEY_IDX=no", "AWS_ACCESS_KEY_ID=env",
                           "AWS_SECRET_ACCESS_KEY=env-secret", "AWS_SESSION_TOKEN=env-token", NULL};
    struct s3_key_pair pair = {0};
    struct s3_credentials_options options = {.environment = environment};
    assert_int_equal(pair_of(&options, &pair), MRD_OK);
    assert_string_equal(pair.access_key, "env");
    assert_string_equal(pair.secret_key, "env-secret");
    assert_string_equal(pair.session_token, "env-token");
    options.access_key = "given";
    options.secret_key = "given-secret";
    assert_int_equal(pair_of(&options, &pair), MRD_OK);
    assert_string_equal(pair.access_key, "given");
    assert_string_equal(pair.session_token, "");
}

static void what_is_missing_is_named(void **state)
{
    (void)state;
    struct s3_key_pair pair;
    char *web[] = {"AWS_WEB_IDENTITY_TOKEN_FILE=/var/token", NULL};
    char *half[] = {"AWS_ACCESS_KEY_ID=x", NULL};
    const struct s3_credentials_options none = {0};
    const struct s3_credentials_options by_web = {.environment = web};
    const struct s3_credentials_options by_half = {.environment = half};
    const struct s3_credentials_options one = {.access_key = "x"};
    const struct s3_credentials_options split = {.access_key = "a\r\nb: c", .secret_key = "x"};
    const struct s3_credentials_options gone = {.file = "/no/such/file"};
    assert_int_equal(pair_of(&none, &pair), MRD_E_INVALID);
    assert_non_null(strstr(told.text, "objstore.s3.credentials_file"));
    assert_int_equal(pair_of(&by_web, &pair), MRD_E_UNSUPPORTED);
    assert_non_null(strstr(told.text, "AWS_WEB_IDENTITY_TOKEN_FILE"));
    assert_int_equal(pair_of(&by_half, &pair), MRD_E_INVALID);
    assert_int_equal(pair_of(&one, &pair), MRD_E_INVALID);
    assert_int_equal(pair_of(&split, &pair), MRD_E_INVALID);
    assert_int_equal(pair_of(&gone, &pair), MRD_E_INVALID);
    assert_non_null(strstr(told.text, "/no/such/file"));
}

static void a_file_has_profiles(void **state)
{
    (void)state;
    static const char text[] =
        "# ours\r\n[default]\n aws_access_key_id = A1 \naws_secret_access_key=S1\n"
        "region = x\n\n[other]\naws_access_key_id=A2\naws_secret_access_key=S2\n"
        "aws_session_token=T2==\n[broken]\naws_access_key_id\n[half]\n"
        "aws_access_key_id=A3\n";
    struct s3_key_pair pair;
    assert_int_equal(s3_credentials_parse(MRD_BYTES(text), "default", &pair, NULL), MRD_OK);
    assert_string_equal(pair.access_key, "A1");
    assert_string_equal(pair.secret_key, "S1");
    assert_int_equal(s3_credentials_parse(MRD_BYTES(text), "other", &pair, NULL), MRD_OK);
    assert_string_equal(pair.session_token, "T2==");
    assert_int_equal(s3_credentials_parse(MRD_BYTES(text), "broken", &pair, &told), MRD_E_INVALID);
    assert_non_null(strstr(told.text, "line 12"));
    assert_int_equal(s3_credentials_parse(MRD_BYTES(text), "half", &pair, &told), MRD_E_INVALID);
    assert_int_equal(s3_credentials_parse(MRD_BYTES(text), "none", &pair, &told), MRD_E_INVALID);
    assert_non_null(strstr(told.text, "[none]"));
    assert_null(strstr(told.text, "S1"));
}

static void a_changed_file_is_read_again(void **state)
{
    (void)state;
    const char *path = new_path();
    write_file(path, "[default]\naws_access_key_id=old\naws_secret_access_key=1\n");
    struct s3_credentials *credentials = NULL;
    const struct s3_credentials_options options = {.file = path};
    assert_int_equal(s3_credentials_open(&options, &credentials, &told), MRD_OK);
    assert_true(s3_credentials_may_change(credentials));
    struct s3_key_pair pair;
    s3_credentials_get(credentials, &pair);
    assert_string_equal(pair.access_key, "old");
    write_file(path, "[default]\naws_access_key_id=new\naws_secret_access_key=2\n");
    s3_credentials_get(credentials, &pair);
    assert_string_equal(pair.access_key, "new");
    assert_string_equal(pair.secret_key, "2");
    write_file(path, "[default]\naws_access_key_id=torn");
    s3_credentials_get(credentials, &pair);
    assert_string_equal(pair.access_key, "new"); /* the last good one */
    assert_int_equal(unlink(path), 0);
    s3_credentials_get(credentials, &pair);
    assert_string_equal(pair.access_key, "new");
    s3_credentials_close(&credentials);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(given_keys_come_before_the_environment),
        cmocka_unit_test(what_is_missing_is_named),
        cmocka_unit_test(a_file_has_profiles),
        cmocka_unit_test(a_changed_file_is_read_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
