/* Storage classes: an object is copied onto itself by the service ("CopyObject", Amazon S3 API Reference). */
#include <stdio.h>

#include "objstore/s3_internal.h"

/* A copy may fail after the service has begun to answer with 200: only the result says that it is done. */
static bool take_result(void *context, const char *path, const char *text)
{
    bool *copied = context;
    if (strcmp(path, "/CopyObjectResult/ETag") == 0) {
        *copied = text[0] != 0;
    }
    return strncmp(path, "/CopyObjectResult", sizeof("/CopyObjectResult") - 1) == 0;
}

static enum mrd_status check_copied(const struct s3_call *call, struct mrd_error *err)
{
    bool copied = false;
    struct s3_xml_error error = {0};
    if (s3_xml_parse(mrd_buf_view(&call->reply), "copy", take_result, &copied, NULL) == MRD_OK &&
        copied) {
        return MRD_OK;
    }
    s3_xml_error_parse(mrd_buf_view(&call->reply), &error);
    return mrd_fail(err, MRD_E_UNAVAILABLE, "object %s: its copy into another class failed: %s %s",
                    call->key, error.code[0] == 0 ? "the answer is no result" : error.code,
                    error.message);
}

enum mrd_status s3_set_class(struct mrd_objstore *base, const char *key, const char *storage_class,
                             const struct mrd_objstore_control *control, struct mrd_error *err)
{
    struct s3 *s3 = s3_of(base);
    mrd_auto(mrd_buf_fini)
    struct mrd_buf source = {0};
    char path[S3_PREFIX_SIZE_MAX + MRD_OBJSTORE_KEY_SIZE_MAX + sizeof(s3->bucket) + 3];
    (void)snprintf(path, sizeof(path), "/%s/%s%s", s3->bucket, s3->prefix, key);
    mrd_uri_encode(path, true, &source);
    mrd_buf_append_u8(&source, 0);
    mrd_auto(s3_call_fini)
    struct s3_call call;
    s3_call_init(&call, "PUT", key);
    s3_call_extra(&call, "x-amz-copy-source", (const char *)source.data);
    s3_call_extra(&call, "x-amz-metadata-directive", "COPY");
    s3_call_encryption(s3, &call);
    s3_call_extra(&call, "x-amz-storage-class", storage_class);
    call.has_body = true; /* an empty one */
    MRD_TRY(s3_exchange(s3, &call, 1, 1, control, err));
    return check_copied(&call, err);
}
