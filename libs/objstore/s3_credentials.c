#include "objstore/s3_credentials.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct s3_credentials {
    char *file; /* NULL: the pair never changes */
    char *profile;
    pthread_mutex_t lock; /* guards what follows */
    struct s3_key_pair pair;
    struct stat seen; /* of the file when it was read */
};

/* Values go into headers: no control bytes, no spaces. */
static bool take_value(struct mrd_bytes value, char *out, size_t size)
{
    if (value.size == 0 || value.size >= size) {
        return false;
    }
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] <= ' ' || value.data[i] >= 0x7f) {
            return false;
        }
    }
    memcpy(out, value.data, value.size);
    out[value.size] = 0;
    return true;
}

/* ---- the file ---- */

static struct mrd_bytes take_line(struct mrd_bytes *text)
{
    const uint8_t *end = memchr(text->data, '\n', text->size);
    const size_t size = end == NULL ? text->size : (size_t)(end - text->data);
    struct mrd_bytes line = {text->data, size};
    text->data += end == NULL ? size : size + 1;
    text->size -= end == NULL ? size : size + 1;
    if (line.size > 0 && line.data[line.size - 1] == '\r') {
        line.size--;
    }
    return mrd_bytes_trim(line);
}

static bool is_section(struct mrd_bytes line, const char *profile)
{
    const struct mrd_bytes name = {line.data + 1, line.size - 2};
    return mrd_bytes_equal(mrd_bytes_trim(name), mrd_bytes_of(profile));
}

/* One "name = value" of the wanted section; names of other settings are not ours to judge. */
static bool take_setting(struct mrd_bytes line, struct s3_key_pair *pair)
{
    const uint8_t *equals = memchr(line.data, '=', line.size);
    if (equals == NULL) {
        return false;
    }
    const size_t name_size = (size_t)(equals - line.data);
    const struct mrd_bytes name = mrd_bytes_trim((struct mrd_bytes){line.data, name_size});
    const struct mrd_bytes value =
        mrd_bytes_trim((struct mrd_bytes){equals + 1, line.size - name_size - 1});
    if (mrd_bytes_equal(name, MRD_BYTES("aws_access_key_id"))) {
        return take_value(value, pair->access_key, sizeof(pair->access_key));
    }
    if (mrd_bytes_equal(name, MRD_BYTES("aws_secret_access_key"))) {
        return take_value(value, pair->secret_key, sizeof(pair->secret_key));
    }
    if (mrd_bytes_equal(name, MRD_BYTES("aws_session_token"))) {
        return take_value(value, pair->session_token, sizeof(pair->session_token));
    }
    return true;
}

enum mrd_status s3_credentials_parse(struct mrd_bytes text, const char *profile,
                                     struct s3_key_pair *out, struct mrd_error *err)
{
    struct s3_key_pair pair = {0};
    bool wanted = false;
    for (size_t number = 1; text.size > 0; number++) {
        const struct mrd_bytes line = take_line(&text);
        if (line.size == 0 || line.data[0] == '#' || line.data[0] == ';') {
            continue;
        }
        if (line.size >= 2 && line.data[0] == '[' && line.data[line.size - 1] == ']') {
            wanted = is_section(line, profile);
        } else if (wanted && !take_setting(line, &pair)) {
            return mrd_fail(err, MRD_E_INVALID,
                            "credentials file: line %zu is no \"name = value\" of printable bytes",
                            number);
        }
    }
    if (pair.access_key[0] == 0 || pair.secret_key[0] == 0) {
        return mrd_fail(err, MRD_E_INVALID,
                        "credentials file: section [%s] needs aws_access_key_id and "
                        "aws_secret_access_key",
                        profile);
    }
    *out = pair;
    return MRD_OK;
}

static enum mrd_status read_file(struct s3_credentials *credentials, struct mrd_error *err)
{
    FILE *file = fopen(credentials->file, "re");
    if (file == NULL) {
        return mrd_fail_errno(err, MRD_E_INVALID, "credentials file %s", credentials->file);
    }
    char *text = malloc(S3_CREDENTIALS_FILE_MAX);
    mrd_assert(text != NULL);
    const size_t size = fread(text, 1, S3_CREDENTIALS_FILE_MAX, file);
    struct stat seen;
    const bool known = fstat(fileno(file), &seen) == 0;
    (void)fclose(file);
    enum mrd_status status =
        !known || size == S3_CREDENTIALS_FILE_MAX
            ? mrd_fail(err, MRD_E_INVALID, "credentials file: unreadable, or 64 KiB or more")
            : s3_credentials_parse((struct mrd_bytes){(const uint8_t *)text, size},
                                   credentials->profile, &credentials->pair, err);
    explicit_bzero(text, size);
    free(text);
    credentials->seen = known ? seen : credentials->seen;
    return status == MRD_OK ? MRD_OK : mrd_fail_prefix(err, status, "%s", credentials->file);
}

static bool is_changed(const struct stat *a, const struct stat *b)
{
    return a->st_ino != b->st_ino || a->st_size != b->st_size ||
           a->st_mtim.tv_sec != b->st_mtim.tv_sec || a->st_mtim.tv_nsec != b->st_mtim.tv_nsec;
}

/* ---- the environment ---- */

static const char *environment_get(char *const *environment, const char *name)
{
    const size_t size = strlen(name);
    for (; environment != NULL && *environment != NULL; environment++) {
        if (strncmp(*environment, name, size) == 0 && (*environment)[size] == '=') {
            return *environment + size + 1;
        }
    }
    return "";
}

static bool is_given(const char *value) { return value != NULL && value[0] != 0; }

static enum mrd_status take_pair(const char *where, const char *access_key, const char *secret_key,
                                 const char *token, struct s3_key_pair *out, struct mrd_error *err)
{
    if (!is_given(access_key) || !is_given(secret_key) ||
        !take_value(mrd_bytes_of(access_key), out->access_key, sizeof(out->access_key)) ||
        !take_value(mrd_bytes_of(secret_key), out->secret_key, sizeof(out->secret_key)) ||
        (is_given(token) &&
         !take_value(mrd_bytes_of(token), out->session_token, sizeof(out->session_token)))) {
        return mrd_fail(err, MRD_E_INVALID,
                        "S3 credentials of %s: access key and secret key go together, and are "
                        "printable without spaces, as is a session token",
                        where);
    }
    return MRD_OK;
}

static enum mrd_status nothing_given(char *const *environment, struct mrd_error *err)
{
    static const char *const others[] = {"AWS_WEB_IDENTITY_TOKEN_FILE",
                                         "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                                         "AWS_CONTAINER_CREDENTIALS_FULL_URI"};
    for (size_t i = 0; i < MRD_ARRAY_LEN(others); i++) {
        if (is_given(environment_get(environment, others[i]))) {
            return mrd_fail(err, MRD_E_UNSUPPORTED,
                            "S3 credentials: %s is set, but web identity, container and instance "
                            "credentials are not implemented; have them written to a file and set "
                            "objstore.s3.credentials_file",
                            others[i]);
        }
    }
    return mrd_fail(err, MRD_E_INVALID,
                    "S3 credentials: set objstore.s3.access_key and secret_key, or "
                    "objstore.s3.credentials_file, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
}

/* ---- opening ---- */

static enum mrd_status fill(struct s3_credentials *credentials,
                            const struct s3_credentials_options *options, struct mrd_error *err)
{
    if (is_given(options->access_key) || is_given(options->secret_key)) {
        return take_pair("the configuration", options->access_key, options->secret_key,
                         options->session_token, &credentials->pair, err);
    }
    if (is_given(options->file)) {
        credentials->file = strdup(options->file);
        credentials->profile = strdup(is_given(options->profile) ? options->profile : "default");
        mrd_assert(credentials->file != NULL && credentials->profile != NULL);
        return read_file(credentials, err);
    }
    char *const *environment = options->environment;
    const char *access_key = environment_get(environment, "AWS_ACCESS_KEY_ID");
    const char *secret_key = environment_get(environment, "AWS_SECRET_ACCESS_KEY");
    if (!is_given(access_key) && !is_given(secret_key)) {
        return nothing_given(environment, err);
    }
    return take_pair("the environment", access_key, secret_key,
                     environment_get(environment, "AWS_SESSION_TOKEN"), &credentials->pair, err);
}

enum mrd_status s3_credentials_open(const struct s3_credentials_options *options,
                                    struct s3_credentials **out, struct mrd_error *err)
{
    mrd_auto(s3_credentials_close)
    struct s3_credentials *credentials = calloc(1, sizeof(*credentials));
    mrd_assert(credentials != NULL);
    mrd_assert(pthread_mutex_init(&credentials->lock, NULL) == 0);
    MRD_TRY(fill(credentials, options, err));
    *out = MRD_MOVE(credentials);
    return MRD_OK;
}

void s3_credentials_close(struct s3_credentials **credentials)
{
    if (*credentials != NULL) {
        pthread_mutex_destroy(&(*credentials)->lock);
        free((*credentials)->file);
        free((*credentials)->profile);
        explicit_bzero(&(*credentials)->pair, sizeof((*credentials)->pair));
        free(*credentials);
        *credentials = NULL;
    }
}

void s3_credentials_get(struct s3_credentials *credentials, struct s3_key_pair *out)
{
    pthread_mutex_lock(&credentials->lock);
    struct stat now;
    if (credentials->file != NULL && stat(credentials->file, &now) == 0 &&
        is_changed(&now, &credentials->seen)) {
        (void)!read_file(credentials, NULL); /* half-written: the next change is seen too */
    }
    *out = credentials->pair;
    pthread_mutex_unlock(&credentials->lock);
}

bool s3_credentials_may_change(const struct s3_credentials *credentials)
{
    return credentials->file != NULL;
}
