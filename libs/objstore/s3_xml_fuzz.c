#include "objstore/s3_xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool check(void *context, const char *path, const char *text)
{
    size_t *count = context;
    size_t depth = 0;
    for (const char *at = path; *at != 0; at++) {
        depth += *at == '/';
    }
    mrd_assert(path[0] == '/' && depth >= 1 && depth <= S3_XML_DEPTH_MAX);
    mrd_assert(strlen(path) < S3_XML_PATH_MAX && strlen(text) <= S3_XML_TEXT_MAX);
    mrd_assert(mrd_bytes_utf8_valid(mrd_bytes_of(text)));
    return ++*count < 10000;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t count = 0;
    struct mrd_error err = {0};
    const enum mrd_status status =
        s3_xml_parse((struct mrd_bytes){data, size}, "fuzz", check, &count, &err);
    mrd_assert(status == MRD_OK ? count > 0 : status == MRD_E_CORRUPT && err.text[0] != 0);
    struct s3_xml_error error;
    s3_xml_error_parse((struct mrd_bytes){data, size}, &error);
    mrd_assert(strnlen(error.code, sizeof(error.code)) < sizeof(error.code));
    mrd_assert(strnlen(error.message, sizeof(error.message)) < sizeof(error.message));
    return 0;
}
