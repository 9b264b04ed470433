/* Listings: ListObjectsV2 page by page; sweeping: ListMultipartUploads and aborts. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "objstore/s3_internal.h"

enum { PAGE_KEYS = 1000, TOKEN_SIZE = 2048, FULL_KEY_SIZE = 1100 };

/* Decodes %XX and '+' (encoding-type=url). False: no text, or too long. */
static bool url_decode(const char *text, char *out, size_t size)
{
    size_t used = 0;
    for (; *text != 0; text++) {
        unsigned c = (uint8_t)*text;
        if (c == '+') {
            c = ' ';
        } else if (c == '%') {
            const char digits[3] = {text[1], text[1] == 0 ? '\0' : text[2], 0};
            char *end;
            c = (unsigned)strtoul(digits, &end, 16);
            if (end != digits + 2 || c == 0 || digits[0] == '+' || digits[0] == '-' ||
                digits[0] == ' ') {
                return false;
            }
            text += 2;
        }
        if (used + 1 >= size) {
            return false;
        }
        out[used++] = (char)c;
    }
    out[used] = 0;
    return true;
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
    return true;
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

/* ---- objects ---- */

struct page {
    struct mrd_objstore_entry entries[PAGE_KEYS]; /* the key: an offset into names at first */
    size_t offsets[PAGE_KEYS];
    size_t count;
    struct mrd_buf names;
    bool truncated;
    char token[TOKEN_SIZE];
    /* Of the element under way. */
    char key[FULL_KEY_SIZE];
    struct mrd_objstore_info info;
    bool has_key, has_size, has_time;
};

static bool page_add(struct page *page)
{
    if (!page->has_key || !page->has_size || !page->has_time || page->count == PAGE_KEYS) {
        return false;
    }
    page->offsets[page->count] = page->names.size;
    page->entries[page->count].info = page->info;
    mrd_buf_append(&page->names, page->key, strlen(page->key) + 1);
    page->count++;
    page->has_key = page->has_size = page->has_time = false;
    return true;
}

static bool take_page_field(void *context, const char *path, const char *text)
{
    struct page *page = context;
    if (strcmp(path, "/ListBucketResult/Contents/Key") == 0) {
        page->has_key = url_decode(text, page->key, sizeof(page->key)) && page->key[0] != 0;
        return page->has_key;
    }
    if (strcmp(path, "/ListBucketResult/Contents/Size") == 0) {
        page->has_size = size_parse(text, &page->info.size);
        return page->has_size;
    }
    if (strcmp(path, "/ListBucketResult/Contents/LastModified") == 0) {
        page->has_time = time_parse(text, &page->info.modified_ms);
        return page->has_time;
    }
    if (strcmp(path, "/ListBucketResult/Contents") == 0) {
        return page_add(page);
    }
    if (strcmp(path, "/ListBucketResult/IsTruncated") == 0) {
        page->truncated = strcmp(text, "true") == 0;
        return page->truncated || strcmp(text, "false") == 0;
    }
    if (strcmp(path, "/ListBucketResult/NextContinuationToken") == 0) {
        s3_xml_copy(page->token, sizeof(page->token), text);
        return strcmp(page->token, text) == 0;
    }
    return path[1] != 0 && strncmp(path, "/ListBucketResult", 17) == 0;
}

static enum mrd_status page_parse(struct page *page, struct mrd_bytes document,
                                  struct mrd_error *err)
{
    page->count = 0;
    page->truncated = false;
    page->token[0] = 0;
    page->has_key = page->has_size = page->has_time = false;
    mrd_buf_clear(&page->names);
    MRD_TRY(s3_xml_parse(document, "list", take_page_field, page, err));
    if (page->truncated && page->token[0] == 0) {
        return mrd_fail(err, MRD_E_CORRUPT, "S3's answer (list) goes on, but does not say where");
    }
    for (size_t i = 0; i < page->count; i++) {
        page->entries[i].key = (const char *)page->names.data + page->offsets[i];
    }
    return MRD_OK;
}

struct listing {
    struct s3 *s3;
    char prefix[FULL_KEY_SIZE]; /* with the store's */
    char after[FULL_KEY_SIZE];
    mrd_objstore_visit *visit;
    void *context;
    struct page page;
    char token[TOKEN_SIZE]; /* of the page before; "": none */
    char last[FULL_KEY_SIZE];
    bool ended;
};

static enum mrd_status listing_fetch(struct listing *listing,
                                     const struct mrd_objstore_control *control,
                                     struct mrd_error *err)
{
    mrd_auto(s3_call_fini)
    struct s3_call call;
    s3_call_init(&call, "GET", NULL);
    if (listing->token[0] != 0) {
        s3_call_param(&call, "continuation-token", listing->token);
    }
    s3_call_param(&call, "encoding-type", "url");
    s3_call_param(&call, "list-type", "2");
    s3_call_param(&call, "max-keys", "1000");
    s3_call_param(&call, "prefix", listing->prefix);
    if (listing->token[0] == 0 && listing->after[0] != 0) {
        s3_call_param(&call, "start-after", listing->after);
    }
    MRD_TRY(s3_exchange(listing->s3, &call, 1, 1, control, err));
    return page_parse(&listing->page, mrd_buf_view(&call.reply), err);
}

/* Keys that are not ours (see key.h) are passed over: others may use the bucket too. */
static enum mrd_status listing_visit(struct listing *listing, struct mrd_objstore_entry *entry,
                                     struct mrd_error *err)
{
    if (!objstore_begins(entry->key, listing->prefix) || strcmp(entry->key, listing->last) <= 0) {
        return mrd_fail(err, MRD_E_CORRUPT,
                        "S3's answer (list) is out of order, or has what was not asked for");
    }
    (void)snprintf(listing->last, sizeof(listing->last), "%s", entry->key);
    const char *key = entry->key + strlen(listing->s3->prefix);
    if (strcmp(entry->key, listing->after) > 0 && mrd_objstore_key_valid(mrd_bytes_of(key))) {
        entry->key = key;
        listing->ended = !listing->visit(listing->context, entry);
    }
    return MRD_OK;
}

static enum mrd_status listing_run(struct listing *listing,
                                   const struct mrd_objstore_control *control,
                                   struct mrd_error *err)
{
    struct page *page = &listing->page;
    do {
        MRD_TRY(listing_fetch(listing, control, err));
        if (page->truncated && strcmp(page->token, listing->token) == 0) {
            return mrd_fail(err, MRD_E_CORRUPT, "S3's answer (list) goes in circles");
        }
        memcpy(listing->token, page->token, sizeof(listing->token));
        for (size_t i = 0; i < page->count && !listing->ended; i++) {
            MRD_TRY(mrd_objstore_check(control, err));
            MRD_TRY(listing_visit(listing, &page->entries[i], err));
        }
    } while (page->truncated && !listing->ended);
    return MRD_OK;
}

enum mrd_status s3_list(struct mrd_objstore *base, const char *prefix, const char *after,
                        mrd_objstore_visit *visit, void *context,
                        const struct mrd_objstore_control *control, struct mrd_error *err)
{
    struct listing *listing = calloc(1, sizeof(*listing));
    mrd_assert(listing != NULL);
    listing->s3 = s3_of(base);
    listing->visit = visit;
    listing->context = context;
    (void)snprintf(listing->prefix, sizeof(listing->prefix), "%s%s", listing->s3->prefix, prefix);
    if (after[0] != 0) {
        (void)snprintf(listing->after, sizeof(listing->after), "%s%s", listing->s3->prefix, after);
    }
    const enum mrd_status status = listing_run(listing, control, err);
    mrd_buf_fini(&listing->page.names);
    free(listing);
    return status;
}

/* ---- uploads that were left ---- */

struct leftovers {
    struct s3 *s3;
    const struct mrd_objstore_control *control;
    mrd_time_ms before_ms; /* begun until then: to be aborted */
    struct mrd_buf names;  /* key, NUL, upload id, NUL */
    size_t count;
    bool truncated;
    char key_marker[FULL_KEY_SIZE];
    char id_marker[TOKEN_SIZE];
    /* Of the element under way. */
    char key[FULL_KEY_SIZE];
    char id[TOKEN_SIZE];
    mrd_time_ms begun_ms;
};

static bool leftover_add(struct leftovers *leftovers)
{
    if (leftovers->key[0] == 0 || leftovers->id[0] == 0 || leftovers->begun_ms == 0) {
        return false;
    }
    const char *key = leftovers->key + strlen(leftovers->s3->prefix);
    if (objstore_begins(leftovers->key, leftovers->s3->prefix) &&
        mrd_objstore_key_valid(mrd_bytes_of(key)) && leftovers->begun_ms <= leftovers->before_ms) {
        mrd_buf_append(&leftovers->names, key, strlen(key) + 1);
        mrd_buf_append(&leftovers->names, leftovers->id, strlen(leftovers->id) + 1);
        leftovers->count++;
    }
    leftovers->key[0] = leftovers->id[0] = 0;
    leftovers->begun_ms = 0;
    return true;
}

#define UPLOADS "/ListMultipartUploadsResult"

static bool take_upload_field(void *context, const char *path, const char *text)
{
    struct leftovers *leftovers = context;
    if (strcmp(path, UPLOADS "/Upload/Key") == 0) {
        return url_decode(text, leftovers->key, sizeof(leftovers->key));
    }
    if (strcmp(path, UPLOADS "/Upload/UploadId") == 0) {
        s3_xml_copy(leftovers->id, sizeof(leftovers->id), text);
        return strcmp(leftovers->id, text) == 0;
    }
    if (strcmp(path, UPLOADS "/Upload/Initiated") == 0) {
        return time_parse(text, &leftovers->begun_ms);
    }
    if (strcmp(path, UPLOADS "/Upload") == 0) {
        return leftover_add(leftovers);
    }
    if (strcmp(path, UPLOADS "/IsTruncated") == 0) {
        leftovers->truncated = strcmp(text, "true") == 0;
    } else if (strcmp(path, UPLOADS "/NextKeyMarker") == 0) {
        return url_decode(text, leftovers->key_marker, sizeof(leftovers->key_marker));
    } else if (strcmp(path, UPLOADS "/NextUploadIdMarker") == 0) {
        s3_xml_copy(leftovers->id_marker, sizeof(leftovers->id_marker), text);
        return strcmp(leftovers->id_marker, text) == 0;
    }
    return strncmp(path, UPLOADS, strlen(UPLOADS)) == 0;
}

static enum mrd_status leftovers_fetch(struct leftovers *leftovers, mrd_time_ms age_ms,
                                       struct mrd_error *err)
{
    mrd_auto(s3_call_fini)
    struct s3_call call;
    s3_call_init(&call, "GET", NULL);
    s3_call_param(&call, "encoding-type", "url");
    if (leftovers->key_marker[0] != 0) {
        s3_call_param(&call, "key-marker", leftovers->key_marker);
    }
    s3_call_param(&call, "prefix", leftovers->s3->prefix);
    if (leftovers->id_marker[0] != 0) {
        s3_call_param(&call, "upload-id-marker", leftovers->id_marker);
    }
    s3_call_param(&call, "uploads", "");
    MRD_TRY(s3_exchange(leftovers->s3, &call, 1, 1, leftovers->control, err));
    /* Ages are told by the service's clock, as far as it tells it. */
    const mrd_time_ms now_ms =
        call.headers.date_ms != 0 ? call.headers.date_ms : mrd_clock_now_ms(leftovers->s3->clock);
    leftovers->before_ms = now_ms - age_ms;
    leftovers->truncated = false;
    leftovers->key_marker[0] = leftovers->id_marker[0] = 0;
    leftovers->count = 0;
    mrd_buf_clear(&leftovers->names);
    MRD_TRY(s3_xml_parse(mrd_buf_view(&call.reply), "uploads", take_upload_field, leftovers, err));
    if (leftovers->truncated && leftovers->key_marker[0] == 0) {
        return mrd_fail(err, MRD_E_CORRUPT,
                        "S3's answer (uploads) goes on, but does not say where");
    }
    return MRD_OK;
}

static enum mrd_status leftovers_abort(const struct leftovers *leftovers, struct mrd_error *err)
{
    const char *at = (const char *)leftovers->names.data;
    for (size_t i = 0; i < leftovers->count; i++) {
        const char *id = at + strlen(at) + 1;
        mrd_auto(s3_call_fini)
        struct s3_call call;
        s3_call_init(&call, "DELETE", at);
        s3_call_param(&call, "uploadId", id);
        const enum mrd_status status =
            s3_exchange(leftovers->s3, &call, 1, 1, leftovers->control, err);
        if (status != MRD_OK && status != MRD_E_NOT_FOUND) {
            return status;
        }
        at = id + strlen(id) + 1;
    }
    return MRD_OK;
}

enum mrd_status s3_sweep(struct mrd_objstore *base, mrd_time_ms age_ms,
                         const struct mrd_objstore_control *control, struct mrd_error *err)
{
    struct leftovers *leftovers = calloc(1, sizeof(*leftovers));
    mrd_assert(leftovers != NULL);
    leftovers->s3 = s3_of(base);
    leftovers->control = control;
    enum mrd_status status;
    do {
        status = leftovers_fetch(leftovers, age_ms, err);
        status = status == MRD_OK ? leftovers_abort(leftovers, err) : status;
    } while (status == MRD_OK && leftovers->truncated);
    mrd_buf_fini(&leftovers->names);
    free(leftovers);
    return status;
}
