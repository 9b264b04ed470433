/* store.h: object storage: whole, immutable-by-convention objects under keys, behind one interface.
 * The file system (file_store.h) is the embedded default, S3 (s3_store.h) the other implementation;
 * fault_store.h wraps either for tests. docs/object-storage.md says what a bucket must grant.
 *
 * What every store promises:
 *   - A reader sees a whole object or none. What a put, put_if_absent or upload has answered MRD_OK
 *     to is durable, and seen by every later get, read, head and list (strong consistency).
 *   - Every call but those marked otherwise may be repeated after MRD_E_UNAVAILABLE, MRD_E_TIMEOUT or
 *     MRD_E_CANCELED: each of these means "may or may not have happened".
 *   - put_if_absent is the commit point; its answer is never a guess.
 *
 * Owner:   whoever opened the store; close it when no call is running and all uploads are destroyed.
 * Threads: every function from any thread, except that one upload belongs to one thread at a time.
 * Memory:  what a call needs beside the caller's buffers is bounded by the store (its settings); calls
 *          over the bound of concurrent requests wait, within their deadline.
 * Errors:  MRD_E_INVALID (key, argument, bucket or region that is none), MRD_E_NOT_FOUND, MRD_E_CONFLICT,
 *          MRD_E_LIMIT, MRD_E_UNAVAILABLE (retries inside are used up), MRD_E_TIMEOUT, MRD_E_CANCELED,
 *          MRD_E_CORRUPT (bytes do not match their checksum or length), MRD_E_DENIED (credentials,
 *          permissions, certificate, clock), MRD_E_UNSUPPORTED, and MRD_E_FATAL: an fsync has failed, so
 *          what the disk holds is unknown; the process must stop, and the store refuses further writes.
 */
#ifndef MRD_OBJSTORE_STORE_H
#define MRD_OBJSTORE_STORE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/look.h"
#include "base/metrics.h"
#include "objstore/key.h"

struct mrd_objstore;

/* What ends a call early; looked at before every request and some 50 times a second while waiting. */
struct mrd_objstore_control {
    const _Atomic bool *canceled;  /* relaxed load; NULL: never */
    const struct mrd_clock *clock; /* NULL: no deadline but the store's own time-outs */
    int64_t deadline_ns;           /* on the monotonic clock */
};

/* MRD_E_CANCELED or MRD_E_TIMEOUT, else MRD_OK. control may be NULL, here and in every call below. */
MRD_MUST_CHECK enum mrd_status mrd_objstore_check(const struct mrd_objstore_control *control,
                                                  struct mrd_error *err);

/* The control, which may be NULL, that ends no later than `ms` from now; by `clock` if it has no deadline yet. */
static inline struct mrd_objstore_control
mrd_objstore_control_within(const struct mrd_objstore_control *control,
                            const struct mrd_clock *clock, mrd_time_ms ms)
{
    struct mrd_objstore_control within =
        control == NULL ? (struct mrd_objstore_control){0} : *control;
    const bool ends = within.clock != NULL;
    within.clock = ends ? within.clock : clock;
    const int64_t end_ns = mrd_clock_monotonic_ns(within.clock) + ms * 1000000;
    within.deadline_ns = ends && within.deadline_ns < end_ns ? within.deadline_ns : end_ns;
    return within;
}

/* The same as a look; lives as long as the control. */
struct mrd_look mrd_objstore_look(const struct mrd_objstore_control *control);

/* *store may be NULL. */
void mrd_objstore_close(struct mrd_objstore **store);

/* "file DIRECTORY" or "s3 BUCKET at ENDPOINT", for logs. Lives as long as the store. */
const char *mrd_objstore_name(const struct mrd_objstore *store);

/* Whether reading often costs no more than reading much at once: there is no way to the store that takes its time. */
bool mrd_objstore_is_near(const struct mrd_objstore *store);

/* ---- writing ---- */

/* Stores bytes under key and replaces what was there. A call that timed out may still take effect
 * later, so replace only what any writer may overwrite (hints); commit with put_if_absent. */
MRD_MUST_CHECK enum mrd_status mrd_objstore_put(struct mrd_objstore *store, const char *key,
                                                struct mrd_bytes bytes,
                                                const struct mrd_objstore_control *control,
                                                struct mrd_error *err);

/* Stores bytes under key unless it has an object. MRD_OK: the object under key is exactly these bytes.
 * MRD_E_CONFLICT: it is another. So a lost reply is decided by reading back, here or by calling again;
 * for that, bytes must differ between writers (name the writer and a nonce in them). MRD_E_UNAVAILABLE,
 * MRD_E_TIMEOUT, MRD_E_CANCELED: not known yet; call again with the same bytes until it is. */
MRD_MUST_CHECK enum mrd_status
mrd_objstore_put_if_absent(struct mrd_objstore *store, const char *key, struct mrd_bytes bytes,
                           const struct mrd_objstore_control *control, struct mrd_error *err);

struct mrd_objstore_item {
    const char *key;
    struct mrd_bytes bytes;
    enum mrd_objstore_item_kind {
        MRD_OBJSTORE_ITEM_PUT,           /* as mrd_objstore_put stores it */
        MRD_OBJSTORE_ITEM_PUT_IF_ABSENT, /* as mrd_objstore_put_if_absent */
        MRD_OBJSTORE_ITEM_UPLOAD         /* as an upload: in the storage class of data */
    } kind;
};

/* Stores many objects, under keys that differ: in any order, several at a time where the store gains by it, and made durable together, which
 * takes a folder much less than one by one. MRD_OK: all are there and durable. Else some are there and others not, each whole, and the
 * status is that of one that is not; the call may be repeated where that of its kind may be. For a commit put what it names so, and then
 * the commit by itself. */
MRD_MUST_CHECK enum mrd_status mrd_objstore_put_many(struct mrd_objstore *store,
                                                     const struct mrd_objstore_item *items,
                                                     size_t item_count,
                                                     const struct mrd_objstore_control *control,
                                                     struct mrd_error *err);

struct mrd_objstore_upload;

/* Begins an object of unknown size, up to MRD_OBJSTORE_UPLOAD_BYTES_MAX. Nothing is visible before finish. The key should be fresh:
 * an object under it is replaced. The control is lent until the upload is destroyed. */
MRD_MUST_CHECK enum mrd_status mrd_objstore_upload_begin(struct mrd_objstore *store,
                                                         const char *key,
                                                         const struct mrd_objstore_control *control,
                                                         struct mrd_objstore_upload **out_upload,
                                                         struct mrd_error *err);

/* Appends bytes of any size; blocks while a part is sent. After an error only destroy is left. */
MRD_MUST_CHECK enum mrd_status mrd_objstore_upload_write(struct mrd_objstore_upload *upload,
                                                         struct mrd_bytes bytes,
                                                         struct mrd_error *err);

/* Makes the object durable and visible. Once, and not to be repeated: after an error write the whole
 * again, under another key. */
MRD_MUST_CHECK enum mrd_status mrd_objstore_upload_finish(struct mrd_objstore_upload *upload,
                                                          struct mrd_error *err);

/* Ends the upload; an unfinished one is taken back (at best effort: mrd_objstore_sweep gets the rest).
 * *upload may be NULL. */
void mrd_objstore_upload_destroy(struct mrd_objstore_upload **upload);

/* ---- reading ---- */

struct mrd_objstore_info {
    uint64_t size;
    mrd_time_ms modified_ms; /* by the store's clock; whole seconds on S3 */
};
MRD_MUST_CHECK enum mrd_status mrd_objstore_head(struct mrd_objstore *store, const char *key,
                                                 const struct mrd_objstore_control *control,
                                                 struct mrd_objstore_info *out,
                                                 struct mrd_error *err);

/* Appends the whole object to out. MRD_E_LIMIT if it has more than size_max bytes. On errors out is
 * what it was. */
MRD_MUST_CHECK enum mrd_status mrd_objstore_get(struct mrd_objstore *store, const char *key,
                                                size_t size_max,
                                                const struct mrd_objstore_control *control,
                                                struct mrd_buf *out, struct mrd_error *err);

struct mrd_objstore_range {
    uint64_t offset;
    size_t size; /* not 0 */
    void *data;  /* `size` bytes of the caller's; undefined content after an error */
};

/* Reads ranges of one object, all or error, in parallel where the store gains by it. The store merges
 * what lies close together (its settings say how close) among neighbours in the array, so sort by
 * offset; it cuts what is large. MRD_E_CORRUPT: the object ends before a range does. The object must
 * not be replaced meanwhile: ranges could then be of different ones. */
MRD_MUST_CHECK enum mrd_status mrd_objstore_read(struct mrd_objstore *store, const char *key,
                                                 const struct mrd_objstore_range *ranges,
                                                 size_t range_count,
                                                 const struct mrd_objstore_control *control,
                                                 struct mrd_error *err);

struct mrd_objstore_entry {
    const char *key; /* lent for the visit, as what follows */
    struct mrd_objstore_info info;
    const char *storage_class; /* as the store calls it; "": it has none, or does not tell */
};

/* False ends the listing early (which then is MRD_OK). May call the store, deletes included. */
typedef bool mrd_objstore_visit(void *context, const struct mrd_objstore_entry *entry);

/* Visits all keys that begin with `prefix` ("" for all; need not end at a '/') and are greater than
 * `after` ("" for all), in the order of their bytes, page by page. Objects that come or go meanwhile
 * may or may not be visited. */
MRD_MUST_CHECK enum mrd_status mrd_objstore_list(struct mrd_objstore *store, const char *prefix,
                                                 const char *after, mrd_objstore_visit *visit,
                                                 void *context,
                                                 const struct mrd_objstore_control *control,
                                                 struct mrd_error *err);

/* ---- storage classes ---- */

/* Puts an object into another storage class ("STANDARD_IA"), without its bytes passing through here: key and bytes stay, and readers see
 * the object all the while; its time of modification becomes now. MRD_E_UNSUPPORTED: the store has no classes (a folder).
 * MRD_E_INVALID: no such class, the object is in it already, or is too large (5 GiB on S3). */
MRD_MUST_CHECK enum mrd_status mrd_objstore_set_class(struct mrd_objstore *store, const char *key,
                                                      const char *storage_class,
                                                      const struct mrd_objstore_control *control,
                                                      struct mrd_error *err);

/* ---- removing ---- */

/* MRD_OK too if there is no such object. Durable when it returns. */
MRD_MUST_CHECK enum mrd_status mrd_objstore_delete(struct mrd_objstore *store, const char *key,
                                                   const struct mrd_objstore_control *control,
                                                   struct mrd_error *err);

/* Any number of keys, in few requests. On an error some are deleted and some not. */
MRD_MUST_CHECK enum mrd_status mrd_objstore_delete_many(struct mrd_objstore *store,
                                                        const char *const *keys, size_t key_count,
                                                        const struct mrd_objstore_control *control,
                                                        struct mrd_error *err);

/* Removes what interrupted uploads older than age_ms have left behind. Nothing else; objects stay. */
MRD_MUST_CHECK enum mrd_status mrd_objstore_sweep(struct mrd_objstore *store, mrd_time_ms age_ms,
                                                  const struct mrd_objstore_control *control,
                                                  struct mrd_error *err);

/* ---- fitness ---- */

/* Tries out under `prefix` what commits rest on: that put_if_absent refuses to replace, and that get
 * and list see it at once. MRD_E_UNSUPPORTED if the store does not keep this: it must not be used.
 * A service calls it once at its start. Leaves nothing behind. */
MRD_MUST_CHECK enum mrd_status mrd_objstore_probe(struct mrd_objstore *store, const char *prefix,
                                                  const struct mrd_objstore_control *control,
                                                  struct mrd_error *err);

enum {
    MRD_OBJSTORE_PUT_BYTES_MAX =
        1 << 30,                      /* of put and put_if_absent, and of each object of put_many */
    MRD_OBJSTORE_RANGES_MAX = 1 << 20 /* of one read */
};
#define MRD_OBJSTORE_UPLOAD_BYTES_MAX ((uint64_t)5 << 40)

#endif
