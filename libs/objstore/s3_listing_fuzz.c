#include "objstore/s3_listing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse_objects(struct mrd_bytes document)
{
    static struct s3_page page;
    if (s3_page_parse(&page, document, NULL) == MRD_OK) {
        mrd_assert(page.count <= S3_PAGE_MAX && (!page.truncated || page.token[0] != 0));
        for (size_t i = 0; i < page.count; i++) {
            const size_t length = strlen(page.entries[i].key);
            mrd_assert(length > 0 && length < S3_FULL_KEY_SIZE);
            mrd_assert(page.entries[i].info.size <= MRD_OBJSTORE_UPLOAD_BYTES_MAX);
        }
    }
}

static void parse_uploads(struct mrd_bytes document)
{
    static struct s3_uploads_page page;
    if (s3_uploads_parse(&page, document, NULL) == MRD_OK) {
        mrd_assert(page.count <= S3_PAGE_MAX && (!page.truncated || page.key_marker[0] != 0));
        for (size_t i = 0; i < page.count; i++) {
            mrd_assert(page.entries[i].key[0] != 0 && page.entries[i].id[0] != 0);
            mrd_assert(page.entries[i].begun_ms > 0);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    parse_objects((struct mrd_bytes){data, size});
    parse_uploads((struct mrd_bytes){data, size});
    return 0;
}
