#include "objstore/s3_response.h"

#include <curl/curl.h>
#include <strings.h>

#include "objstore/s3_xml.h"

static bool take_number(struct mrd_reader *in, uint64_t *out)
{
    uint64_t value = 0;
    const uint8_t *begin = in->at;
    while (in->at < in->end && *in->at >= '0' && *in->at <= '9') {
        const uint8_t digit = (uint8_t)(*in->at - '0');
        if (value > (UINT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
        in->at++;
    }
    *out = value;
    return in->at > begin;
}

static bool take_text(struct mrd_reader *in, const char *text)
{
    const size_t size = strlen(text);
    if (mrd_reader_left(in) < size || memcmp(in->at, text, size) != 0) {
        return false;
    }
    in->at += size;
    return true;
}

/* "HTTP/1.1 206 Partial Content" */
static void take_status(struct s3_headers *headers, struct mrd_bytes line)
{
    struct mrd_reader in = mrd_reader_of(line);
    uint64_t major;
    uint64_t minor;
    uint64_t status;
    *headers = (struct s3_headers){0};
    if (take_text(&in, "HTTP/") && take_number(&in, &major) && take_text(&in, ".") &&
        take_number(&in, &minor) && take_text(&in, " ") && take_number(&in, &status) &&
        status >= 100 && status <= 999) {
        headers->status = (unsigned)status;
    }
}

static void take_length(struct s3_headers *headers, struct mrd_bytes value)
{
    struct mrd_reader in = mrd_reader_of(value);
    headers->has_length = take_number(&in, &headers->length) && mrd_reader_left(&in) == 0;
}

static void take_range(struct s3_headers *headers, struct mrd_bytes value)
{
    struct mrd_reader in = mrd_reader_of(value);
    headers->has_range = take_text(&in, "bytes ") && take_number(&in, &headers->first) &&
                         take_text(&in, "-") && take_number(&in, &headers->last) &&
                         take_text(&in, "/") && headers->first <= headers->last;
}

static int digit_of_base64(uint8_t c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c == 0 ? NULL : strchr(digits, c);
    return at == NULL ? -1 : (int)(at - digits);
}

/* Six digits and "=="; the checksum of a multipart object ("...-3") is of its parts, and left out. */
static void take_crc(struct s3_headers *headers, struct mrd_bytes value)
{
    uint64_t bits = 0;
    if (value.size != 8 || value.data[6] != '=' || value.data[7] != '=') {
        return;
    }
    for (size_t i = 0; i < 6; i++) {
        const int digit = digit_of_base64(value.data[i]);
        if (digit < 0) {
            return;
        }
        bits = bits << 6 | (uint64_t)digit;
    }
    headers->has_crc = (bits & 15) == 0;
    headers->crc = (uint32_t)(bits >> 4);
}

void s3_crc_write(uint32_t crc, char out[9])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint64_t bits = (uint64_t)crc << 4;
    for (size_t i = 0; i < 6; i++) {
        out[i] = digits[bits >> (30 - 6 * i) & 63];
    }
    memcpy(out + 6, "==", 3);
}

static mrd_time_ms time_of(struct mrd_bytes value)
{
    char text[64];
    if (value.size >= sizeof(text)) {
        return 0;
    }
    memcpy(text, value.data, value.size);
    text[value.size] = 0;
    const time_t seconds = curl_getdate(text, NULL);
    return seconds < 0 ? 0 : (mrd_time_ms)seconds * 1000;
}

/* Printable ASCII that fits, or nothing. */
static void take_word(struct mrd_bytes value, char *out, size_t size)
{
    out[0] = 0;
    if (value.size >= size) {
        return;
    }
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] < ' ' || value.data[i] >= 0x7f) {
            return;
        }
    }
    memcpy(out, value.data, value.size);
    out[value.size] = 0;
}

static void take_etag(struct s3_headers *headers, struct mrd_bytes value)
{
    take_word(value, headers->etag, sizeof(headers->etag));
    if (strpbrk(headers->etag, "<>&") != NULL) { /* it goes into XML */
        headers->etag[0] = 0;
    }
}

static bool is_named(struct mrd_bytes name, const char *want)
{
    return name.size == strlen(want) && strncasecmp((const char *)name.data, want, name.size) == 0;
}

static void take_header(struct s3_headers *headers, struct mrd_bytes name, struct mrd_bytes value)
{
    if (is_named(name, "content-length")) {
        take_length(headers, value);
    } else if (is_named(name, "content-range")) {
        take_range(headers, value);
    } else if (is_named(name, "etag")) {
        take_etag(headers, value);
    } else if (is_named(name, "x-amz-checksum-crc32c")) {
        take_crc(headers, value);
    } else if (is_named(name, "date")) {
        headers->date_ms = time_of(value);
    } else if (is_named(name, "last-modified")) {
        headers->modified_ms = time_of(value);
    } else if (is_named(name, "x-amz-bucket-region")) {
        take_word(value, headers->region, sizeof(headers->region));
    } else if (is_named(name, "x-amz-meta-mrd-upload")) {
        take_word(value, headers->nonce, sizeof(headers->nonce));
    }
}

void s3_headers_take(struct s3_headers *headers, struct mrd_bytes line)
{
    while (line.size > 0 &&
           (line.data[line.size - 1] == '\n' || line.data[line.size - 1] == '\r')) {
        line.size--;
    }
    if (line.size >= 5 && memcmp(line.data, "HTTP/", 5) == 0) {
        take_status(headers, line);
        return;
    }
    const uint8_t *colon = line.size == 0 ? NULL : memchr(line.data, ':', line.size);
    if (colon != NULL) {
        const size_t size = (size_t)(colon - line.data);
        take_header(headers, (struct mrd_bytes){line.data, size},
                    mrd_bytes_trim((struct mrd_bytes){colon + 1, line.size - size - 1}));
    }
}

/* ---- judging ---- */

/* Codes that say more than the HTTP status they come with. */
static const struct {
    const char *code;
    struct s3_verdict verdict;
} codes[] = {
    {"NoSuchKey",                          {MRD_E_NOT_FOUND, false}  },
    {"NoSuchUpload",                       {MRD_E_NOT_FOUND, false}  },
    {"NoSuchBucket",                       {MRD_E_INVALID, false}    }, /* not "this object is not there" */
    {"InvalidBucketName",                  {MRD_E_INVALID, false}    },
    {"AuthorizationHeaderMalformed",       {MRD_E_INVALID, false}    }, /* the region */
    {"IllegalLocationConstraintException", {MRD_E_INVALID, false}    },
    {"RequestTimeout",                     {MRD_E_UNAVAILABLE, true} }, /* 400 */
    {"BadDigest",                          {MRD_E_CORRUPT, true}     }, /* altered on its way */
    {"XAmzContentSHA256Mismatch",          {MRD_E_CORRUPT, true}     },
    {"XAmzContentChecksumMismatch",        {MRD_E_CORRUPT, true}     },
    {"IncompleteBody",                     {MRD_E_UNAVAILABLE, true} },
    {"SlowDown",                           {MRD_E_UNAVAILABLE, true} },
    {"InternalError",                      {MRD_E_UNAVAILABLE, true} },
    {"ServiceUnavailable",                 {MRD_E_UNAVAILABLE, true} },
    {"OperationAborted",                   {MRD_E_UNAVAILABLE, true} }, /* 409 */
    {"ConditionalRequestConflict",         {MRD_E_UNAVAILABLE, true} }, /* 409: another is being stored */
    {"ExpiredToken",                       {MRD_E_DENIED, false}     }, /* 400 */
    {"InvalidToken",                       {MRD_E_DENIED, false}     },
    {"TokenRefreshRequired",               {MRD_E_DENIED, false}     },
    {"NotImplemented",                     {MRD_E_UNSUPPORTED, false}},
};

struct s3_verdict s3_judge(unsigned http_status, const char *code)
{
    for (size_t i = 0; i < MRD_ARRAY_LEN(codes); i++) {
        if (strcmp(codes[i].code, code) == 0) {
            return codes[i].verdict;
        }
    }
    switch (http_status) {
    case 401:
    case 403:
        return (struct s3_verdict){MRD_E_DENIED, false};
    case 404:
        return (struct s3_verdict){MRD_E_NOT_FOUND, false};
    case 409:
    case 412:
        return (struct s3_verdict){MRD_E_CONFLICT, false};
    case 416:
        return (struct s3_verdict){MRD_E_CORRUPT, false};
    case 405:
    case 501:
        return (struct s3_verdict){MRD_E_UNSUPPORTED, false};
    case 408:
    case 429:
        return (struct s3_verdict){MRD_E_UNAVAILABLE, true};
    default:
        break;
    }
    return http_status >= 500 ? (struct s3_verdict){MRD_E_UNAVAILABLE, true}
                              : (struct s3_verdict){MRD_E_INVALID, false};
}
