#include "objstore/s3_listing.h"

#include <stdlib.h>
#include <time.h>

#include "objstore/s3_xml.h"

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c == 0 ? NULL : strchr(digits, c >= 'A' && c <= 'F' ? c + ('a' - 'A') : c);
    return at == NULL ? -1 : (int)(at - digits);
}

/* Decodes %XX and '+' (encoding-type=url). False: no text, empty, or too long. */
static bool url_decode(const char *text, char *out, size_t size)
{
    size_t used = 0;
    for (; *text != 0 && used + 1 < size; text++) {
        char c = *text == '+' ? ' ' : *text;
        if (c == '%') {
            const int high = hex_digit(text[1]);
            const int low = high < 0 ? -1 : hex_digit(text[2]);
            if (low < 0 || (high == 0 && low == 0)) {
                return false;
            }
            c = (char)(high << 4 | low);
            text += 2;
        }
        out[used++] = c;
    }
    out[used] = 0;
    return *text == 0 && used > 0;
}

/* "2009-10-12T17:50:30.000Z" */
static bool time_parse(const char *text, mrd_time_ms *out)
{
    struct tm parts = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);
    if (end == NULL || (*end != 'Z' && *end != '.')) {
        return false;
    }
    *out = (mrd_time_ms)timegm(&parts) * 1000;
    return *out > 0;
}

static bool size_parse(const char *text, uint64_t *out)
{
    char *end;
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    *out = strtoull(text, &end, 10);
    return *end == 0 && *out <= MRD_OBJSTORE_UPLOAD_BYTES_MAX;
}

/* A token goes back as it came, or not at all. */
static bool token_copy(const char *text, char *out, size_t size)
{
    s3_xml_copy(out, size, text);
    return text[0] != 0 && strcmp(out, text) == 0;
}

static bool flag_parse(const char *text, bool *out)
{
    *out = strcmp(text, "true") == 0;
    return *out || strcmp(text, "false") == 0;
}

static enum mrd_status check_more(bool truncated, const char *where, const char *what,
                                  struct mrd_error *err)
{
    if (truncated && where[0] == 0) {
        return mrd_fail(err, MRD_E_CORRUPT, "S3's answer (%s) goes on, but does not say where",
                        what);
    }
    return MRD_OK;
}

/* ---- objects ---- */

#define OBJECTS "/ListBucketResult"

static bool page_add(struct s3_page *page)
{
    if (!page->has_key || !page->has_size || !page->has_time || page->count == S3_PAGE_MAX) {
        return false;
    }
    page->offsets[page->count] = page->names.size;
    page->entries[page->count].info = page->info;
    mrd_buf_append(&page->names, page->key, strlen(page->key) + 1);
    mrd_buf_append(&page->names, page->storage_class, strlen(page->storage_class) + 1);
    page->count++;
    page->has_key = page->has_size = page->has_time = false;
    page->storage_class[0] = 0;
    return true;
}

static bool take_object_field(void *context, const char *path, const char *text)
{
    struct s3_page *page = context;
    if (strcmp(path, OBJECTS "/Contents/Key") == 0) {
        return page->has_key = url_decode(text, page->key, sizeof(page->key));
    }
    if (strcmp(path, OBJECTS "/Contents/Size") == 0) {
        return page->has_size = size_parse(text, &page->info.size);
    }
    if (strcmp(path, OBJECTS "/Contents/LastModified") == 0) {
        return page->has_time = time_parse(text, &page->info.modified_ms);
    }
    if (strcmp(path, OBJECTS "/Contents/StorageClass") == 0) {
        s3_xml_copy(page->storage_class, sizeof(page->storage_class), text);
        return true;
    }
    if (strcmp(path, OBJECTS "/Contents") == 0) {
        return page_add(page);
    }
    if (strcmp(path, OBJECTS "/IsTruncated") == 0) {
        return flag_parse(text, &page->truncated);
    }
    if (strcmp(path, OBJECTS "/NextContinuationToken") == 0) {
        return token_copy(text, page->token, sizeof(page->token));
    }
    return strncmp(path, OBJECTS, strlen(OBJECTS)) == 0;
}

enum mrd_status s3_page_parse(struct s3_page *page, struct mrd_bytes document,
                              struct mrd_error *err)
{
    page->count = 0;
    page->truncated = false;
    page->token[0] = 0;
    page->has_key = page->has_size = page->has_time = false;
    page->storage_class[0] = 0;
    mrd_buf_clear(&page->names);
    MRD_TRY(s3_xml_parse(document, "list", take_object_field, page, err));
    mrd_assert(!page->names.failed);
    for (size_t i = 0; i < page->count; i++) {
        struct mrd_objstore_entry *entry = &page->entries[i];
        entry->key = (const char *)page->names.data + page->offsets[i];
        entry->storage_class = entry->key + strlen(entry->key) + 1;
    }
    return check_more(page->truncated, page->token, "list", err);
}

void s3_page_fini(struct s3_page *page) { mrd_buf_fini(&page->names); }

/* ---- uploads ---- */

#define UPLOADS "/ListMultipartUploadsResult"

static bool uploads_add(struct s3_uploads_page *page)
{
    if (page->key[0] == 0 || page->id[0] == 0 || page->begun_ms == 0 ||
        page->count == S3_PAGE_MAX) {
        return false;
    }
    mrd_buf_append(&page->names, page->key, strlen(page->key) + 1);
    mrd_buf_append(&page->names, page->id, strlen(page->id) + 1);
    page->entries[page->count++].begun_ms = page->begun_ms;
    page->key[0] = page->id[0] = 0;
    page->begun_ms = 0;
    return true;
}

static bool take_upload_field(void *context, const char *path, const char *text)
{
    struct s3_uploads_page *page = context;
    if (strcmp(path, UPLOADS "/Upload/Key") == 0) {
        return url_decode(text, page->key, sizeof(page->key));
    }
    if (strcmp(path, UPLOADS "/Upload/UploadId") == 0) {
        return token_copy(text, page->id, sizeof(page->id));
    }
    if (strcmp(path, UPLOADS "/Upload/Initiated") == 0) {
        return time_parse(text, &page->begun_ms);
    }
    if (strcmp(path, UPLOADS "/Upload") == 0) {
        return uploads_add(page);
    }
    if (strcmp(path, UPLOADS "/IsTruncated") == 0) {
        return flag_parse(text, &page->truncated);
    }
    /* Services write these empty where there is no next page. */
    if (strcmp(path, UPLOADS "/NextKeyMarker") == 0 && text[0] != 0) {
        return url_decode(text, page->key_marker, sizeof(page->key_marker));
    }
    if (strcmp(path, UPLOADS "/NextUploadIdMarker") == 0 && text[0] != 0) {
        return token_copy(text, page->id_marker, sizeof(page->id_marker));
    }
    return strncmp(path, UPLOADS, strlen(UPLOADS)) == 0;
}

enum mrd_status s3_uploads_parse(struct s3_uploads_page *page, struct mrd_bytes document,
                                 struct mrd_error *err)
{
    page->count = 0;
    page->truncated = false;
    page->key_marker[0] = page->id_marker[0] = 0;
    page->key[0] = page->id[0] = 0;
    page->begun_ms = 0;
    mrd_buf_clear(&page->names);
    MRD_TRY(s3_xml_parse(document, "uploads", take_upload_field, page, err));
    mrd_assert(!page->names.failed);
    const char *at = (const char *)page->names.data;
    for (size_t i = 0; i < page->count; i++) {
        page->entries[i].key = at;
        page->entries[i].id = at + strlen(at) + 1;
        at = page->entries[i].id + strlen(page->entries[i].id) + 1;
    }
    return check_more(page->truncated, page->key_marker, "uploads", err);
}

void s3_uploads_fini(struct s3_uploads_page *page) { mrd_buf_fini(&page->names); }
