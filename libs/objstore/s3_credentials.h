/* s3_credentials.h: the key pair that requests are signed with, and where it comes from.
 *
 * In this order: given keys; a file in the format of AWS' shared credentials (profile sections with
 * aws_access_key_id, aws_secret_access_key, aws_session_token), read again when it changes, so that a
 * rotated key needs no restart; the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
 * AWS_SESSION_TOKEN) as it was at the opening. Instance metadata, container endpoints and web identity
 * are not implemented; where only those are set up, opening says so.
 *
 * Owner:   whoever opened it. Threads: s3_credentials_get from any; the rest one at a time.
 */
#ifndef MRD_OBJSTORE_S3_CREDENTIALS_H
#define MRD_OBJSTORE_S3_CREDENTIALS_H

#include <stdbool.h>

#include "base/bytes.h"

struct s3_credentials;

enum { S3_CREDENTIAL_SIZE = 256, S3_TOKEN_SIZE = 4096, S3_CREDENTIALS_FILE_MAX = 64 << 10 };

struct s3_key_pair {
    char access_key[S3_CREDENTIAL_SIZE];
    char secret_key[S3_CREDENTIAL_SIZE];
    char session_token[S3_TOKEN_SIZE]; /* "": none */
};

struct s3_credentials_options {
    const char *access_key; /* NULL or "": not given; the same for all of these */
    const char *secret_key;
    const char *session_token;
    const char *file;
    const char *profile;      /* "" : "default" */
    char *const *environment; /* as environ; NULL: none */
};

/* MRD_E_INVALID says what is missing and what could be set. */
MRD_MUST_CHECK enum mrd_status s3_credentials_open(const struct s3_credentials_options *options,
                                                   struct s3_credentials **out,
                                                   struct mrd_error *err);
void s3_credentials_close(struct s3_credentials **credentials);

/* The pair in force. A file that has become unreadable or wrong leaves the last good pair. */
void s3_credentials_get(struct s3_credentials *credentials, struct s3_key_pair *out);

/* True if a later get may give another pair. */
bool s3_credentials_may_change(const struct s3_credentials *credentials);

/* Parses a credentials file; MRD_E_INVALID names the line or what is missing. */
MRD_MUST_CHECK enum mrd_status s3_credentials_parse(struct mrd_bytes text, const char *profile,
                                                    struct s3_key_pair *out, struct mrd_error *err);

#endif
