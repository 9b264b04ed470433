/* Listings: ListObjectsV2 page by page; sweeping: ListMultipartUploads and aborts. */
#include <stdio.h>
#include <stdlib.h>

#include "objstore/s3_internal.h"
#include "objstore/s3_listing.h"

/* ---- objects ---- */

struct listing {
    struct s3 *s3;
    char prefix[S3_FULL_KEY_SIZE]; /* with the store's */
    char after[S3_FULL_KEY_SIZE];
    mrd_objstore_visit *visit;
    void *context;
    struct s3_page page;
    char token[S3_TOKEN_SIZE_MAX]; /* of the page before; "": none */
    char last[S3_FULL_KEY_SIZE];
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
    return s3_page_parse(&listing->page, mrd_buf_view(&call.reply), err);
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
    struct s3_page *page = &listing->page;
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
    s3_page_fini(&listing->page);
    free(listing);
    return status;
}

/* ---- uploads that were left ---- */

struct sweep {
    struct s3 *s3;
    const struct mrd_objstore_control *control;
    mrd_time_ms age_ms;
    mrd_time_ms now_ms; /* by the service's clock, as far as it tells it */
    struct s3_uploads_page page;
    char key_marker[S3_FULL_KEY_SIZE]; /* of the page before */
    char id_marker[S3_TOKEN_SIZE_MAX];
};

static enum mrd_status sweep_fetch(struct sweep *sweep, struct mrd_error *err)
{
    mrd_auto(s3_call_fini)
    struct s3_call call;
    s3_call_init(&call, "GET", NULL);
    s3_call_param(&call, "encoding-type", "url");
    if (sweep->key_marker[0] != 0) {
        s3_call_param(&call, "key-marker", sweep->key_marker);
    }
    s3_call_param(&call, "prefix", sweep->s3->prefix);
    if (sweep->id_marker[0] != 0) {
        s3_call_param(&call, "upload-id-marker", sweep->id_marker);
    }
    s3_call_param(&call, "uploads", "");
    MRD_TRY(s3_exchange(sweep->s3, &call, 1, 1, sweep->control, err));
    sweep->now_ms =
        call.headers.date_ms != 0 ? call.headers.date_ms : mrd_clock_now_ms(sweep->s3->clock);
    return s3_uploads_parse(&sweep->page, mrd_buf_view(&call.reply), err);
}

static enum mrd_status sweep_abort(const struct sweep *sweep, const struct s3_upload_entry *entry,
                                   struct mrd_error *err)
{
    const char *key = entry->key + strlen(sweep->s3->prefix);
    if (!objstore_begins(entry->key, sweep->s3->prefix) ||
        !mrd_objstore_key_valid(mrd_bytes_of(key)) ||
        entry->begun_ms > sweep->now_ms - sweep->age_ms) {
        return MRD_OK;
    }
    mrd_auto(s3_call_fini)
    struct s3_call call;
    s3_call_init(&call, "DELETE", key);
    s3_call_param(&call, "uploadId", entry->id);
    const enum mrd_status status = s3_exchange(sweep->s3, &call, 1, 1, sweep->control, err);
    return status == MRD_E_NOT_FOUND ? MRD_OK : status; /* ended by itself meanwhile */
}

static enum mrd_status sweep_run(struct sweep *sweep, struct mrd_error *err)
{
    const struct s3_uploads_page *page = &sweep->page;
    do {
        MRD_TRY(sweep_fetch(sweep, err));
        if (page->truncated && strcmp(page->key_marker, sweep->key_marker) == 0 &&
            strcmp(page->id_marker, sweep->id_marker) == 0) {
            return mrd_fail(err, MRD_E_CORRUPT, "S3's answer (uploads) goes in circles");
        }
        memcpy(sweep->key_marker, page->key_marker, sizeof(sweep->key_marker));
        memcpy(sweep->id_marker, page->id_marker, sizeof(sweep->id_marker));
        for (size_t i = 0; i < page->count; i++) {
            MRD_TRY(sweep_abort(sweep, &page->entries[i], err));
        }
    } while (page->truncated);
    return MRD_OK;
}

enum mrd_status s3_sweep(struct mrd_objstore *base, mrd_time_ms age_ms,
                         const struct mrd_objstore_control *control, struct mrd_error *err)
{
    struct sweep *sweep = calloc(1, sizeof(*sweep));
    mrd_assert(sweep != NULL);
    sweep->s3 = s3_of(base);
    sweep->control = control;
    sweep->age_ms = age_ms;
    const enum mrd_status status = sweep_run(sweep, err);
    s3_uploads_fini(&sweep->page);
    free(sweep);
    return status;
}
