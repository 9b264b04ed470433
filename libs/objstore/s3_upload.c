/* Multipart uploads: parts of one size as they fill, then the completion, which alone makes the object. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "objstore/s3_internal.h"

enum { UPLOAD_ID_SIZE = 2048 };

struct s3_upload {
    struct mrd_objstore_upload base;
    struct s3 *s3;
    struct mrd_buf part;     /* filling */
    char id[UPLOAD_ID_SIZE]; /* "": nothing has been sent yet */
    char nonce[33];          /* goes with the object: tells ours from another's */
    struct mrd_buf list;     /* the body of the completion */
    size_t part_count;
};

static struct s3_upload *upload_of(struct mrd_objstore_upload *base)
{
    return MRD_CONTAINER_OF(base, struct s3_upload, base);
}

enum mrd_status s3_upload_begin(struct mrd_objstore *base, const char *key,
                                const struct mrd_objstore_control *control,
                                struct mrd_objstore_upload **out_upload, struct mrd_error *err)
{
    (void)key; /* store.c keeps both in upload->base */
    (void)control;
    (void)err;
    struct s3_upload *upload = calloc(1, sizeof(*upload));
    mrd_assert(upload != NULL);
    upload->s3 = s3_of(base);
    mrd_buf_init(&upload->part, upload->s3->part_size);
    (void)snprintf(upload->nonce, sizeof(upload->nonce), "%016" PRIx64 "%016" PRIx64,
                   s3_random(upload->s3), s3_random(upload->s3));
    *out_upload = &upload->base;
    return MRD_OK;
}

static bool take_upload_id(void *context, const char *path, const char *text)
{
    char *id = context;
    if (strcmp(path, "/InitiateMultipartUploadResult/UploadId") == 0) {
        s3_xml_copy(id, UPLOAD_ID_SIZE, text);
        return id[0] != 0 && strcmp(id, text) == 0;
    }
    return true;
}

/* Sent twice after a lost reply, it leaves an upload without parts: mrd_objstore_sweep takes it. */
static enum mrd_status create(struct s3_upload *upload, struct mrd_error *err)
{
    const struct s3 *s3 = upload->s3;
    mrd_auto(s3_call_fini)
    struct s3_call call;
    s3_call_init(&call, "POST", upload->base.key);
    s3_call_param(&call, "uploads", "");
    s3_call_extra(&call, "x-amz-meta-mrd-upload", upload->nonce);
    if (s3->checksums) {
        s3_call_extra(&call, "x-amz-checksum-algorithm", "CRC32C");
    }
    if (s3->storage_class[0] != 0) {
        s3_call_extra(&call, "x-amz-storage-class", s3->storage_class);
    }
    s3_call_encryption(s3, &call);
    call.has_body = true; /* an empty one */
    MRD_TRY(s3_exchange(upload->s3, &call, 1, 1, upload->base.control, err));
    char id[UPLOAD_ID_SIZE] = "";
    MRD_TRY(s3_xml_parse(mrd_buf_view(&call.reply), "upload", take_upload_id, id, err));
    if (id[0] == 0) {
        return mrd_fail(err, MRD_E_CORRUPT, "object %s: S3 has begun an upload without an id",
                        upload->base.key);
    }
    memcpy(upload->id, id, sizeof(id));
    mrd_buf_append_text(&upload->list, "<CompleteMultipartUpload "
                                       "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    return MRD_OK;
}

static void list_part(struct s3_upload *upload, const struct s3_call *call)
{
    mrd_buf_printf(&upload->list, "<Part><PartNumber>%zu</PartNumber><ETag>%s</ETag>",
                   upload->part_count, call->headers.etag);
    if (upload->s3->checksums) {
        mrd_buf_printf(&upload->list, "<ChecksumCRC32C>%s</ChecksumCRC32C>", call->crc_text);
    }
    mrd_buf_append_text(&upload->list, "</Part>");
}

static enum mrd_status send_part(struct s3_upload *upload, struct mrd_error *err)
{
    char number[24];
    if (upload->part_count == S3_PARTS_MAX) {
        return mrd_fail(err, MRD_E_LIMIT,
                        "object %s: more than %d parts of %zu bytes; raise objstore.s3.part_size",
                        upload->base.key, S3_PARTS_MAX, upload->s3->part_size);
    }
    if (upload->id[0] == 0) {
        MRD_TRY(create(upload, err));
    }
    upload->part_count++;
    (void)snprintf(number, sizeof(number), "%zu", upload->part_count);
    mrd_auto(s3_call_fini)
    struct s3_call call;
    s3_call_init(&call, "PUT", upload->base.key);
    s3_call_param(&call, "partNumber", number);
    s3_call_param(&call, "uploadId", upload->id);
    s3_call_body(upload->s3, &call, mrd_buf_view(&upload->part));
    MRD_TRY(s3_exchange(upload->s3, &call, 1, 1, upload->base.control, err));
    if (call.headers.etag[0] == 0) {
        return mrd_fail(err, MRD_E_CORRUPT, "object %s: S3 has taken part %s without an ETag",
                        upload->base.key, number);
    }
    list_part(upload, &call);
    mrd_buf_clear(&upload->part);
    return MRD_OK;
}

enum mrd_status s3_upload_write(struct mrd_objstore_upload *base, struct mrd_bytes bytes,
                                struct mrd_error *err)
{
    struct s3_upload *upload = upload_of(base);
    while (bytes.size > 0) {
        if (upload->part.size == upload->s3->part_size) {
            MRD_TRY(send_part(upload, err)); /* not before there is more: the last may be short */
        }
        const size_t size = MRD_MIN(bytes.size, upload->s3->part_size - upload->part.size);
        mrd_buf_append(&upload->part, bytes.data, size);
        mrd_assert(!upload->part.failed);
        bytes.data += size;
        bytes.size -= size;
    }
    return MRD_OK;
}

/* The completion was not answered, or was done by an attempt whose reply is lost: the object says whose
 * it is. */
static enum mrd_status is_ours(struct s3_upload *upload, enum mrd_status failure,
                               struct mrd_error *err)
{
    struct mrd_error doubt = {0};
    mrd_auto(s3_call_fini)
    struct s3_call call;
    s3_call_init(&call, "HEAD", upload->base.key);
    const enum mrd_status status =
        s3_exchange(upload->s3, &call, 1, 1, upload->base.control, &doubt);
    if (status == MRD_OK && strcmp(call.headers.nonce, upload->nonce) == 0) {
        return MRD_OK;
    }
    if (failure == MRD_E_NOT_FOUND) {
        return mrd_fail(err, MRD_E_UNAVAILABLE, "object %s: its upload was aborted by another",
                        upload->base.key);
    }
    return failure;
}

static enum mrd_status complete(struct s3_upload *upload, struct mrd_error *err)
{
    mrd_buf_append_text(&upload->list, "</CompleteMultipartUpload>");
    mrd_assert(!upload->list.failed);
    mrd_auto(s3_call_fini)
    struct s3_call call;
    s3_call_init(&call, "POST", upload->base.key);
    s3_call_param(&call, "uploadId", upload->id);
    call.has_body = true;
    call.body = mrd_buf_view(&upload->list);
    const enum mrd_status status = s3_exchange(upload->s3, &call, 1, 1, upload->base.control, err);
    return status == MRD_E_NOT_FOUND || status == MRD_E_UNAVAILABLE ? is_ours(upload, status, err)
                                                                    : status;
}

enum mrd_status s3_upload_finish(struct mrd_objstore_upload *base, struct mrd_error *err)
{
    struct s3_upload *upload = upload_of(base);
    if (upload->id[0] == 0) { /* all of it is in the one part */
        const struct mrd_objstore_item item = {upload->base.key, mrd_buf_view(&upload->part),
                                               MRD_OBJSTORE_ITEM_UPLOAD};
        return s3_put_object(upload->s3, &item, upload->base.control, err);
    }
    MRD_TRY(send_part(upload, err));
    MRD_TRY(complete(upload, err));
    upload->id[0] = 0; /* nothing to take back */
    return MRD_OK;
}

enum { ABORT_MS = 5000 };

void s3_upload_destroy(struct mrd_objstore_upload *base, bool take_back)
{
    struct s3_upload *upload = upload_of(base);
    if (take_back && upload->id[0] != 0) {
        /* Its own deadline: that of the upload may be what ended it. */
        const struct mrd_objstore_control control = {
            .clock = mrd_clock_system(),
            .deadline_ns = mrd_clock_monotonic_ns(mrd_clock_system()) + ABORT_MS * 1000000LL};
        mrd_auto(s3_call_fini)
        struct s3_call call;
        s3_call_init(&call, "DELETE", upload->base.key);
        s3_call_param(&call, "uploadId", upload->id);
        (void)!s3_exchange(upload->s3, &call, 1, 1, &control, NULL);
    }
    mrd_buf_fini(&upload->part);
    mrd_buf_fini(&upload->list);
    free(upload);
}
