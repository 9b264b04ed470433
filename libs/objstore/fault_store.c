#include "objstore/fault_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "objstore/store_internal.h"

struct fault_store {
    struct mrd_objstore base;
    struct mrd_objstore *inner;
    struct mrd_fault fault; /* nth 0: disarmed */
    _Atomic uint64_t calls; /* relaxed: a count */
};

struct fault_upload {
    struct mrd_objstore_upload base;
    struct mrd_objstore_upload *inner;
};

static struct fault_store *fault_store_of(struct mrd_objstore *store)
{
    return MRD_CONTAINER_OF(store, struct fault_store, base);
}

static enum mrd_status fault_fail(const struct fault_store *store, uint64_t call,
                                  struct mrd_error *err)
{
    const enum mrd_status status =
        store->fault.status == MRD_OK ? MRD_E_UNAVAILABLE : store->fault.status;
    return mrd_fail(err, status, "injected fault at call %" PRIu64, call);
}

static bool has_crashed(const struct fault_store *store)
{
    const uint64_t calls = atomic_load_explicit(&store->calls, memory_order_relaxed);
    return store->fault.nth != 0 && store->fault.crash && calls >= store->fault.nth;
}

/* Counts a call; fails if it is one that must not reach the inner store. */
static enum mrd_status enter(struct fault_store *store, uint64_t *out_call, struct mrd_error *err)
{
    const uint64_t call = 1 + atomic_fetch_add_explicit(&store->calls, 1, memory_order_relaxed);
    const struct mrd_fault *fault = &store->fault;
    *out_call = call;
    bool before = call == fault->nth && fault->when == MRD_FAULT_BEFORE;
    if (before && fault->meanwhile != NULL) {
        fault->meanwhile(fault->context);
        before = false;
    }
    const bool dead = fault->nth != 0 && fault->crash && call > fault->nth;
    return before || dead ? fault_fail(store, call, err) : MRD_OK;
}

/* What the caller hears of a call that has been done. */
static enum mrd_status leave(const struct fault_store *store, uint64_t call, enum mrd_status status,
                             struct mrd_error *err)
{
    bool lost = call == store->fault.nth && store->fault.when == MRD_FAULT_AFTER;
    if (lost && store->fault.meanwhile != NULL) {
        store->fault.meanwhile(store->fault.context);
        lost = false;
    }
    return lost ? fault_fail(store, call, err) : status;
}

static enum mrd_status fault_put(struct mrd_objstore *base, const char *key, struct mrd_bytes bytes,
                                 const struct mrd_objstore_control *control, struct mrd_error *err)
{
    struct fault_store *store = fault_store_of(base);
    uint64_t call;
    MRD_TRY(enter(store, &call, err));
    return leave(store, call, mrd_objstore_put(store->inner, key, bytes, control, err), err);
}

static enum mrd_status fault_put_if_absent(struct mrd_objstore *base, const char *key,
                                           struct mrd_bytes bytes,
                                           const struct mrd_objstore_control *control,
                                           struct mrd_error *err)
{
    struct fault_store *store = fault_store_of(base);
    uint64_t call;
    MRD_TRY(enter(store, &call, err));
    return leave(store, call, mrd_objstore_put_if_absent(store->inner, key, bytes, control, err),
                 err);
}

/* Each object is a call, and so is the end of all. So many as come before the one that fails are stored, the last ones: any subset may be after a crash,
 * and a walk comes to one of each size, the one that whoever relies on the order of his objects has least use for. */
static enum mrd_status fault_put_many(struct mrd_objstore *base,
                                      const struct mrd_objstore_item *items, size_t item_count,
                                      const struct mrd_objstore_control *control,
                                      struct mrd_error *err)
{
    struct fault_store *store = fault_store_of(base);
    enum mrd_status failed = MRD_OK;
    uint64_t call = 0;
    size_t stored = 0;
    while (stored < item_count && failed == MRD_OK) {
        failed = enter(store, &call, err);
        if (failed == MRD_OK) {
            failed = leave(store, call, MRD_OK, err);
            stored++;
        }
    }
    if (failed == MRD_OK) {
        failed = enter(store, &call, err);
    }
    const enum mrd_status status =
        mrd_objstore_put_many(store->inner, items + (item_count - stored), stored, control,
                              failed == MRD_OK ? err : NULL);
    return failed == MRD_OK ? leave(store, call, status, err) : failed;
}

static enum mrd_status fault_upload_begin(struct mrd_objstore *base, const char *key,
                                          const struct mrd_objstore_control *control,
                                          struct mrd_objstore_upload **out_upload,
                                          struct mrd_error *err)
{
    struct fault_store *store = fault_store_of(base);
    uint64_t call;
    struct mrd_objstore_upload *inner = NULL;
    MRD_TRY(enter(store, &call, err));
    const enum mrd_status status =
        leave(store, call, mrd_objstore_upload_begin(store->inner, key, control, &inner, err), err);
    if (status != MRD_OK) {
        if (inner != NULL) { /* begun, but the caller does not know: a leftover */
            inner->store->ops->upload_destroy(inner, false);
        }
        return status;
    }
    struct fault_upload *upload = calloc(1, sizeof(*upload));
    mrd_assert(upload != NULL);
    upload->inner = inner;
    *out_upload = &upload->base;
    return MRD_OK;
}

static enum mrd_status fault_upload_write(struct mrd_objstore_upload *base, struct mrd_bytes bytes,
                                          struct mrd_error *err)
{
    struct fault_upload *upload = MRD_CONTAINER_OF(base, struct fault_upload, base);
    struct fault_store *store = fault_store_of(base->store);
    uint64_t call;
    MRD_TRY(enter(store, &call, err));
    return leave(store, call, mrd_objstore_upload_write(upload->inner, bytes, err), err);
}

static enum mrd_status fault_upload_finish(struct mrd_objstore_upload *base, struct mrd_error *err)
{
    struct fault_upload *upload = MRD_CONTAINER_OF(base, struct fault_upload, base);
    struct fault_store *store = fault_store_of(base->store);
    uint64_t call;
    MRD_TRY(enter(store, &call, err));
    return leave(store, call, mrd_objstore_upload_finish(upload->inner, err), err);
}

static void fault_upload_destroy(struct mrd_objstore_upload *base, bool take_back)
{
    struct fault_upload *upload = MRD_CONTAINER_OF(base, struct fault_upload, base);
    if (take_back && !has_crashed(fault_store_of(base->store))) {
        mrd_objstore_upload_destroy(&upload->inner);
    } else {
        upload->inner->store->ops->upload_destroy(upload->inner, false);
    }
    free(upload);
}

static enum mrd_status fault_head(struct mrd_objstore *base, const char *key,
                                  const struct mrd_objstore_control *control,
                                  struct mrd_objstore_info *out, struct mrd_error *err)
{
    struct fault_store *store = fault_store_of(base);
    uint64_t call;
    MRD_TRY(enter(store, &call, err));
    return leave(store, call, mrd_objstore_head(store->inner, key, control, out, err), err);
}

static enum mrd_status fault_get(struct mrd_objstore *base, const char *key, size_t size_max,
                                 const struct mrd_objstore_control *control, struct mrd_buf *out,
                                 struct mrd_error *err)
{
    struct fault_store *store = fault_store_of(base);
    uint64_t call;
    MRD_TRY(enter(store, &call, err));
    return leave(store, call, mrd_objstore_get(store->inner, key, size_max, control, out, err),
                 err);
}

static enum mrd_status fault_read(struct mrd_objstore *base, const char *key,
                                  const struct mrd_objstore_range *ranges, size_t range_count,
                                  const struct mrd_objstore_control *control, struct mrd_error *err)
{
    struct fault_store *store = fault_store_of(base);
    uint64_t call;
    MRD_TRY(enter(store, &call, err));
    return leave(store, call,
                 mrd_objstore_read(store->inner, key, ranges, range_count, control, err), err);
}

static enum mrd_status fault_list(struct mrd_objstore *base, const char *prefix, const char *after,
                                  mrd_objstore_visit *visit, void *context,
                                  const struct mrd_objstore_control *control, struct mrd_error *err)
{
    struct fault_store *store = fault_store_of(base);
    uint64_t call;
    MRD_TRY(enter(store, &call, err));
    return leave(store, call,
                 mrd_objstore_list(store->inner, prefix, after, visit, context, control, err), err);
}

static enum mrd_status fault_delete_many(struct mrd_objstore *base, const char *const *keys,
                                         size_t key_count,
                                         const struct mrd_objstore_control *control,
                                         struct mrd_error *err)
{
    struct fault_store *store = fault_store_of(base);
    uint64_t call;
    MRD_TRY(enter(store, &call, err));
    return leave(store, call, mrd_objstore_delete_many(store->inner, keys, key_count, control, err),
                 err);
}

static enum mrd_status fault_sweep(struct mrd_objstore *base, mrd_time_ms age_ms,
                                   const struct mrd_objstore_control *control,
                                   struct mrd_error *err)
{
    struct fault_store *store = fault_store_of(base);
    uint64_t call;
    MRD_TRY(enter(store, &call, err));
    return leave(store, call, mrd_objstore_sweep(store->inner, age_ms, control, err), err);
}

static void fault_close(struct mrd_objstore *base)
{
    objstore_fini(base);
    free(fault_store_of(base));
}

static enum mrd_status fault_set_class(struct mrd_objstore *base, const char *key,
                                       const char *storage_class,
                                       const struct mrd_objstore_control *control,
                                       struct mrd_error *err)
{
    struct fault_store *store = fault_store_of(base);
    uint64_t call;
    MRD_TRY(enter(store, &call, err));
    return leave(store, call,
                 mrd_objstore_set_class(store->inner, key, storage_class, control, err), err);
}

static const struct mrd_objstore_ops fault_ops = {
    .put = fault_put,
    .put_if_absent = fault_put_if_absent,
    .put_many = fault_put_many,
    .upload_begin = fault_upload_begin,
    .upload_write = fault_upload_write,
    .upload_finish = fault_upload_finish,
    .upload_destroy = fault_upload_destroy,
    .head = fault_head,
    .get = fault_get,
    .read = fault_read,
    .list = fault_list,
    .delete_many = fault_delete_many,
    .set_class = fault_set_class,
    .sweep = fault_sweep,
    .close = fault_close,
};

struct mrd_objstore *mrd_fault_store_create(struct mrd_objstore *inner)
{
    struct fault_store *store = calloc(1, sizeof(*store));
    mrd_assert(store != NULL);
    objstore_init(&store->base, &fault_ops, NULL);
    (void)snprintf(store->base.name, sizeof(store->base.name), "faults in %.300s", inner->name);
    store->base.near = inner->near;
    store->inner = inner;
    return &store->base;
}

void mrd_fault_store_arm(struct mrd_objstore *base, const struct mrd_fault *fault)
{
    struct fault_store *store = fault_store_of(base);
    store->fault = *fault;
    atomic_store_explicit(&store->calls, 0, memory_order_relaxed);
}

bool mrd_fault_store_disarm(struct mrd_objstore *base)
{
    struct fault_store *store = fault_store_of(base);
    const bool happened = store->fault.nth != 0 && mrd_fault_store_calls(base) >= store->fault.nth;
    mrd_fault_store_arm(base, &(struct mrd_fault){.nth = 0});
    return happened;
}

uint64_t mrd_fault_store_calls(const struct mrd_objstore *base)
{
    const struct fault_store *store =
        (const struct fault_store *)(const void *)base; /* its first member */
    return atomic_load_explicit(&store->calls, memory_order_relaxed);
}
