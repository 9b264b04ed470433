#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "objstore/figures_internal.h"
#include "objstore/store_internal.h"

void objstore_init(struct mrd_objstore *store, const struct mrd_objstore_ops *ops,
                   struct mrd_metrics *metrics)
{
    store->ops = ops;
    store->figures = objstore_figures_create(metrics);
}

void objstore_fini(struct mrd_objstore *store)
{
    free(store->figures);
    store->figures = NULL;
}

enum mrd_status mrd_objstore_check(const struct mrd_objstore_control *control,
                                   struct mrd_error *err)
{
    if (control == NULL) {
        return MRD_OK;
    }
    /* Relaxed: only the flag itself is communicated. */
    if (control->canceled != NULL &&
        atomic_load_explicit(control->canceled, memory_order_relaxed)) {
        return mrd_fail(err, MRD_E_CANCELED, "object storage: the call was canceled");
    }
    if (control->clock != NULL && mrd_clock_monotonic_ns(control->clock) > control->deadline_ns) {
        return mrd_fail(err, MRD_E_TIMEOUT, "object storage: the deadline has passed");
    }
    return MRD_OK;
}

static enum mrd_status look(void *context, struct mrd_error *err)
{
    return mrd_objstore_check(context, err);
}

struct mrd_look mrd_objstore_look(const struct mrd_objstore_control *control)
{
    return (struct mrd_look){look, (void *)(uintptr_t)control};
}

/* What every call on one key looks at first. */
static enum mrd_status check_call(const char *key, const struct mrd_objstore_control *control,
                                  struct mrd_error *err)
{
    MRD_TRY(mrd_objstore_key_check(key, err));
    return mrd_objstore_check(control, err);
}

static enum mrd_status check_put(const char *key, struct mrd_bytes bytes,
                                 const struct mrd_objstore_control *control, struct mrd_error *err)
{
    if (bytes.size > MRD_OBJSTORE_PUT_BYTES_MAX) {
        return mrd_fail(err, MRD_E_INVALID,
                        "object %s: %zu bytes in one put, at most %d; use an upload", key,
                        bytes.size, MRD_OBJSTORE_PUT_BYTES_MAX);
    }
    return check_call(key, control, err);
}

void mrd_objstore_close(struct mrd_objstore **store)
{
    if (*store != NULL) {
        (*store)->ops->close(*store);
        *store = NULL;
    }
}

bool mrd_objstore_is_near(const struct mrd_objstore *store) { return store->near; }

const char *mrd_objstore_name(const struct mrd_objstore *store) { return store->name; }

/* ---- writing ---- */

enum mrd_status mrd_objstore_put(struct mrd_objstore *store, const char *key,
                                 struct mrd_bytes bytes, const struct mrd_objstore_control *control,
                                 struct mrd_error *err)
{
    MRD_TRY(check_put(key, bytes, control, err));
    const int64_t begin_ns = objstore_figures_now_ns();
    return objstore_figures_count(store->figures, OP_PUT, begin_ns,
                                  store->ops->put(store, key, bytes, control, err), bytes.size);
}

enum mrd_status mrd_objstore_put_if_absent(struct mrd_objstore *store, const char *key,
                                           struct mrd_bytes bytes,
                                           const struct mrd_objstore_control *control,
                                           struct mrd_error *err)
{
    MRD_TRY(check_put(key, bytes, control, err));
    const int64_t begin_ns = objstore_figures_now_ns();
    return objstore_figures_count(store->figures, OP_PUT_IF_ABSENT, begin_ns,
                                  store->ops->put_if_absent(store, key, bytes, control, err),
                                  bytes.size);
}

enum mrd_status mrd_objstore_put_many(struct mrd_objstore *store,
                                      const struct mrd_objstore_item *items, size_t item_count,
                                      const struct mrd_objstore_control *control,
                                      struct mrd_error *err)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < item_count; i++) {
        MRD_TRY(check_put(items[i].key, items[i].bytes, NULL, err));
        bytes += items[i].bytes.size;
    }
    MRD_TRY(mrd_objstore_check(control, err));
    if (item_count == 0) {
        return MRD_OK;
    }
    const int64_t begin_ns = objstore_figures_now_ns();
    return objstore_figures_count(store->figures, OP_PUT_MANY, begin_ns,
                                  store->ops->put_many(store, items, item_count, control, err),
                                  bytes);
}

enum mrd_status mrd_objstore_upload_begin(struct mrd_objstore *store, const char *key,
                                          const struct mrd_objstore_control *control,
                                          struct mrd_objstore_upload **out_upload,
                                          struct mrd_error *err)
{
    MRD_TRY(check_call(key, control, err));
    const int64_t begin_ns = objstore_figures_now_ns();
    struct mrd_objstore_upload *upload = NULL;
    const enum mrd_status status = store->ops->upload_begin(store, key, control, &upload, err);
    if (status != MRD_OK) {
        return objstore_figures_count(store->figures, OP_UPLOAD, begin_ns, status, 0);
    }
    upload->store = store;
    upload->control = control;
    (void)snprintf(upload->key, sizeof(upload->key), "%s", key);
    upload->begin_ns = begin_ns;
    *out_upload = upload;
    return MRD_OK;
}

static enum mrd_status upload_end(struct mrd_objstore_upload *upload, enum mrd_status status)
{
    upload->ended = true;
    return objstore_figures_count(upload->store->figures, OP_UPLOAD, upload->begin_ns, status,
                                  upload->size);
}

enum mrd_status mrd_objstore_upload_write(struct mrd_objstore_upload *upload,
                                          struct mrd_bytes bytes, struct mrd_error *err)
{
    mrd_assert(!upload->ended);
    enum mrd_status status = mrd_objstore_check(upload->control, err);
    if (status == MRD_OK && bytes.size > MRD_OBJSTORE_UPLOAD_BYTES_MAX - upload->size) {
        status = mrd_fail(err, MRD_E_INVALID, "object %s: upload of more than %" PRIu64 " bytes",
                          upload->key, MRD_OBJSTORE_UPLOAD_BYTES_MAX);
    }
    if (status == MRD_OK) {
        status = upload->store->ops->upload_write(upload, bytes, err);
    }
    if (status != MRD_OK) {
        return upload_end(upload, status);
    }
    upload->size += bytes.size;
    return MRD_OK;
}

enum mrd_status mrd_objstore_upload_finish(struct mrd_objstore_upload *upload,
                                           struct mrd_error *err)
{
    mrd_assert(!upload->ended);
    enum mrd_status status = mrd_objstore_check(upload->control, err);
    if (status == MRD_OK) {
        status = upload->store->ops->upload_finish(upload, err);
    }
    return upload_end(upload, status);
}

void mrd_objstore_upload_destroy(struct mrd_objstore_upload **upload)
{
    if (*upload != NULL) {
        if (!(*upload)->ended) {
            (void)upload_end(*upload, MRD_E_CANCELED);
        }
        (*upload)->store->ops->upload_destroy(*upload, true);
        *upload = NULL;
    }
}

/* ---- reading ---- */

enum mrd_status mrd_objstore_head(struct mrd_objstore *store, const char *key,
                                  const struct mrd_objstore_control *control,
                                  struct mrd_objstore_info *out, struct mrd_error *err)
{
    MRD_TRY(check_call(key, control, err));
    const int64_t begin_ns = objstore_figures_now_ns();
    return objstore_figures_count(store->figures, OP_HEAD, begin_ns,
                                  store->ops->head(store, key, control, out, err), 0);
}

enum mrd_status mrd_objstore_get(struct mrd_objstore *store, const char *key, size_t size_max,
                                 const struct mrd_objstore_control *control, struct mrd_buf *out,
                                 struct mrd_error *err)
{
    MRD_TRY(check_call(key, control, err));
    const int64_t begin_ns = objstore_figures_now_ns();
    const size_t before = out->size;
    const enum mrd_status status = store->ops->get(store, key, size_max, control, out, err);
    if (status != MRD_OK) {
        out->size = before;
    }
    return objstore_figures_count(store->figures, OP_GET, begin_ns, status, out->size - before);
}

static enum mrd_status check_ranges(const char *key, const struct mrd_objstore_range *ranges,
                                    size_t range_count, uint64_t *out_bytes, struct mrd_error *err)
{
    if (range_count > MRD_OBJSTORE_RANGES_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "object %s: %zu ranges in one read, at most %d", key,
                        range_count, MRD_OBJSTORE_RANGES_MAX);
    }
    uint64_t bytes = 0;
    for (size_t i = 0; i < range_count; i++) {
        /* Offsets come from footers and indexes, which are outside bytes. */
        if (ranges[i].size == 0 || ranges[i].size > MRD_OBJSTORE_UPLOAD_BYTES_MAX ||
            ranges[i].offset > MRD_OBJSTORE_UPLOAD_BYTES_MAX) {
            return mrd_fail(err, MRD_E_INVALID,
                            "object %s: range of %zu bytes at %" PRIu64 " is empty or too far", key,
                            ranges[i].size, ranges[i].offset);
        }
        bytes += ranges[i].size;
    }
    *out_bytes = bytes;
    return MRD_OK;
}

enum mrd_status mrd_objstore_read(struct mrd_objstore *store, const char *key,
                                  const struct mrd_objstore_range *ranges, size_t range_count,
                                  const struct mrd_objstore_control *control, struct mrd_error *err)
{
    uint64_t bytes = 0;
    MRD_TRY(check_call(key, control, err));
    MRD_TRY(check_ranges(key, ranges, range_count, &bytes, err));
    if (range_count == 0) {
        return MRD_OK;
    }
    const int64_t begin_ns = objstore_figures_now_ns();
    return objstore_figures_count(store->figures, OP_READ, begin_ns,
                                  store->ops->read(store, key, ranges, range_count, control, err),
                                  bytes);
}

enum mrd_status mrd_objstore_list(struct mrd_objstore *store, const char *prefix, const char *after,
                                  mrd_objstore_visit *visit, void *context,
                                  const struct mrd_objstore_control *control, struct mrd_error *err)
{
    MRD_TRY(mrd_objstore_prefix_check(prefix, err));
    MRD_TRY(mrd_objstore_prefix_check(after, err));
    MRD_TRY(mrd_objstore_check(control, err));
    const int64_t begin_ns = objstore_figures_now_ns();
    return objstore_figures_count(
        store->figures, OP_LIST, begin_ns,
        store->ops->list(store, prefix, after, visit, context, control, err), 0);
}

/* ---- storage classes ---- */

enum mrd_status mrd_objstore_set_class(struct mrd_objstore *store, const char *key,
                                       const char *storage_class,
                                       const struct mrd_objstore_control *control,
                                       struct mrd_error *err)
{
    MRD_TRY(check_call(key, control, err));
    if (store->ops->set_class == NULL) {
        return mrd_fail(err, MRD_E_UNSUPPORTED, "%s has no storage classes", store->name);
    }
    const int64_t begin_ns = objstore_figures_now_ns();
    return objstore_figures_count(store->figures, OP_SET_CLASS, begin_ns,
                                  store->ops->set_class(store, key, storage_class, control, err),
                                  0);
}

/* ---- removing ---- */

enum mrd_status mrd_objstore_delete_many(struct mrd_objstore *store, const char *const *keys,
                                         size_t key_count,
                                         const struct mrd_objstore_control *control,
                                         struct mrd_error *err)
{
    for (size_t i = 0; i < key_count; i++) {
        MRD_TRY(mrd_objstore_key_check(keys[i], err));
    }
    MRD_TRY(mrd_objstore_check(control, err));
    if (key_count == 0) {
        return MRD_OK;
    }
    const int64_t begin_ns = objstore_figures_now_ns();
    return objstore_figures_count(store->figures, OP_DELETE, begin_ns,
                                  store->ops->delete_many(store, keys, key_count, control, err), 0);
}

enum mrd_status mrd_objstore_delete(struct mrd_objstore *store, const char *key,
                                    const struct mrd_objstore_control *control,
                                    struct mrd_error *err)
{
    return mrd_objstore_delete_many(store, &key, 1, control, err);
}

enum mrd_status mrd_objstore_sweep(struct mrd_objstore *store, mrd_time_ms age_ms,
                                   const struct mrd_objstore_control *control,
                                   struct mrd_error *err)
{
    MRD_TRY(mrd_objstore_check(control, err));
    const int64_t begin_ns = objstore_figures_now_ns();
    return objstore_figures_count(store->figures, OP_SWEEP, begin_ns,
                                  store->ops->sweep(store, age_ms, control, err), 0);
}
