/* s3_listing.h: pages of ListObjectsV2 and of ListMultipartUploads (with encoding-type=url), parsed.
 *
 * Outside bytes: MRD_E_CORRUPT for what is no listing, lacks a field, or goes on without saying where.
 *
 * Owner:   the caller, who zero-initialises a page once, parses into it as often as needed, and ends it
 *          with fini. Threads: one at a time. Limits: S3_PAGE_MAX entries a page, as S3 has.
 */
#ifndef MRD_OBJSTORE_S3_LISTING_H
#define MRD_OBJSTORE_S3_LISTING_H

#include "objstore/store.h"

enum { S3_PAGE_MAX = 1000, S3_TOKEN_SIZE_MAX = 2048, S3_FULL_KEY_SIZE = 1100 };

struct s3_page {
    struct mrd_objstore_entry
        entries[S3_PAGE_MAX]; /* keys as in the bucket, of any bytes but NUL */
    size_t count;
    bool truncated;
    char token[S3_TOKEN_SIZE_MAX]; /* where it goes on */

    struct mrd_buf names;
    size_t offsets[S3_PAGE_MAX]; /* of the entries' keys in names; their classes follow them */
    char key[S3_FULL_KEY_SIZE];  /* of the element under way, as what follows */
    struct mrd_objstore_info info;
    char storage_class[64];
    bool has_key, has_size, has_time;
};

MRD_MUST_CHECK enum mrd_status s3_page_parse(struct s3_page *page, struct mrd_bytes document,
                                             struct mrd_error *err);
void s3_page_fini(struct s3_page *page);

struct s3_upload_entry {
    const char *key;
    const char *id;
    mrd_time_ms begun_ms;
};

struct s3_uploads_page {
    struct s3_upload_entry entries[S3_PAGE_MAX];
    size_t count;
    bool truncated;
    char key_marker[S3_FULL_KEY_SIZE]; /* where it goes on */
    char id_marker[S3_TOKEN_SIZE_MAX];

    struct mrd_buf names; /* key, NUL, id, NUL */
    char key[S3_FULL_KEY_SIZE];
    char id[S3_TOKEN_SIZE_MAX];
    mrd_time_ms begun_ms;
};

MRD_MUST_CHECK enum mrd_status s3_uploads_parse(struct s3_uploads_page *page,
                                                struct mrd_bytes document, struct mrd_error *err);
void s3_uploads_fini(struct s3_uploads_page *page);

#endif
