#include "objstore/sigv4.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <time.h>

enum { DIGEST_SIZE = 32 };

static void to_hex(const uint8_t digest[DIGEST_SIZE], char out[MRD_SHA256_HEX_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < DIGEST_SIZE; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[MRD_SHA256_HEX_SIZE - 1] = 0;
}

void mrd_sha256_hex(struct mrd_bytes bytes, char out[MRD_SHA256_HEX_SIZE])
{
    uint8_t digest[DIGEST_SIZE];
    mrd_assert(EVP_Digest(bytes.data, bytes.size, digest, NULL, EVP_sha256(), NULL) == 1);
    to_hex(digest, out);
}

static void hmac(struct mrd_bytes key, struct mrd_bytes text, uint8_t out[DIGEST_SIZE])
{
    unsigned size = 0;
    mrd_assert(HMAC(EVP_sha256(), key.data, (int)key.size, text.data, text.size, out, &size) !=
               NULL);
    mrd_assert(size == DIGEST_SIZE);
}

void mrd_uri_encode(const char *text, bool keep_slash, struct mrd_buf *out)
{
    static const char digits[] = "0123456789ABCDEF";
    for (const char *at = text; *at != 0; at++) {
        const uint8_t c = (uint8_t)*at;
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            c == '-' || c == '.' || c == '_' || c == '~' || (c == '/' && keep_slash)) {
            mrd_buf_append_u8(out, c);
        } else {
            const char code[3] = {'%', digits[c >> 4], digits[c & 15]};
            mrd_buf_append(out, code, sizeof(code));
        }
    }
}

void mrd_sigv4_time(mrd_time_ms time_ms, char out[MRD_SIGV4_TIME_SIZE])
{
    const time_t seconds = (time_t)(time_ms / 1000);
    struct tm parts;
    mrd_assert(gmtime_r(&seconds, &parts) != NULL);
    mrd_assert(strftime(out, MRD_SIGV4_TIME_SIZE, "%Y%m%dT%H%M%SZ", &parts) ==
               MRD_SIGV4_TIME_SIZE - 1);
}

static void append_signed_names(const struct mrd_sigv4_request *request, struct mrd_buf *out)
{
    for (size_t i = 0; i < request->header_count; i++) {
        mrd_assert(i == 0 || strcmp(request->headers[i - 1].name, request->headers[i].name) < 0);
        mrd_buf_append_text(out, i == 0 ? "" : ";");
        mrd_buf_append_text(out, request->headers[i].name);
    }
}

/* The hash of the canonical request. */
static void hash_request(const struct mrd_sigv4_request *request, char out[MRD_SHA256_HEX_SIZE])
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf text = {0};
    mrd_buf_printf(&text, "%s\n%s\n%s\n", request->method, request->path, request->query);
    for (size_t i = 0; i < request->header_count; i++) {
        const struct mrd_bytes value = mrd_bytes_trim(mrd_bytes_of(request->headers[i].value));
        mrd_buf_append_text(&text, request->headers[i].name);
        mrd_buf_append_u8(&text, ':');
        mrd_buf_append_bytes(&text, value);
        mrd_buf_append_u8(&text, '\n');
    }
    mrd_buf_append_u8(&text, '\n');
    append_signed_names(request, &text);
    mrd_buf_append_u8(&text, '\n');
    mrd_buf_append_text(&text, request->payload_hash);
    mrd_assert(!text.failed);
    mrd_sha256_hex(mrd_buf_view(&text), out);
}

/* HMAC over date, region, service and "aws4_request", one after the other. */
static void derive_key(const struct mrd_sigv4_key *key, const char *date, uint8_t out[DIGEST_SIZE])
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf secret = {0};
    mrd_buf_append_text(&secret, "AWS4");
    mrd_buf_append_text(&secret, key->secret_key);
    hmac(mrd_buf_view(&secret), mrd_bytes_of(date), out);
    const char *const steps[] = {key->region, key->service, "aws4_request"};
    for (size_t i = 0; i < MRD_ARRAY_LEN(steps); i++) {
        uint8_t next[DIGEST_SIZE];
        hmac((struct mrd_bytes){out, DIGEST_SIZE}, mrd_bytes_of(steps[i]), next);
        memcpy(out, next, DIGEST_SIZE);
    }
    explicit_bzero(secret.data, secret.size);
}

void mrd_sigv4_sign(const struct mrd_sigv4_request *request, const struct mrd_sigv4_key *key,
                    mrd_time_ms time_ms, struct mrd_buf *out)
{
    char time[MRD_SIGV4_TIME_SIZE];
    char date[9];
    char hash[MRD_SHA256_HEX_SIZE];
    mrd_sigv4_time(time_ms, time);
    (void)snprintf(date, sizeof(date), "%.8s", time);
    hash_request(request, hash);

    mrd_auto(mrd_buf_fini)
    struct mrd_buf scope = {0};
    mrd_buf_printf(&scope, "%s/%s/%s/aws4_request", date, key->region, key->service);
    mrd_auto(mrd_buf_fini)
    struct mrd_buf text = {0};
    mrd_buf_printf(&text, "AWS4-HMAC-SHA256\n%s\n%.*s\n%s", time, MRD_FMT(scope), hash);

    uint8_t digest[DIGEST_SIZE];
    char signature[MRD_SHA256_HEX_SIZE];
    derive_key(key, date, digest);
    hmac((struct mrd_bytes){digest, sizeof(digest)}, mrd_buf_view(&text), digest);
    to_hex(digest, signature);

    mrd_buf_printf(out, "AWS4-HMAC-SHA256 Credential=%s/%.*s, SignedHeaders=", key->access_key,
                   MRD_FMT(scope));
    append_signed_names(request, out);
    mrd_buf_printf(out, ", Signature=%s", signature);
}
