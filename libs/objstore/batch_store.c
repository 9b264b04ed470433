#include "objstore/batch_store.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "objstore/store_internal.h"

enum { SLOTS = 2 * MRD_BATCH_STORE_OBJECTS_MAX, SLOT_FREE = 0 };

/* An object that is kept back. */
struct kept {
    struct mrd_objstore_item
        item; /* its key and bytes are one allocation, which begins with the key; NULL: deleted */
    uint64_t hash;
    mrd_time_ms written_ms;
    bool was_read;
};

/* Objects that are stored together. */
struct batch {
    struct batch *next; /* of those that are being stored */
    struct kept *kept;  /* MRD_BATCH_STORE_OBJECTS_MAX */
    size_t count;
    size_t bytes;
    uint32_t slots[SLOTS]; /* 1 + index into kept, by hash and then the next free one */
};

struct batch_store {
    struct mrd_objstore base;
    struct mrd_objstore *inner;

    pthread_mutex_t
        lock; /* guards what follows, and what is in the batches but the texts; not held in calls to the inner store */
    pthread_cond_t landed;
    struct batch *open;     /* NULL: nothing is kept */
    struct batch *storing;  /* a list */
    enum mrd_status status; /* of the first flush that failed */
    struct mrd_error error;
};

static struct batch_store *batch_store_of(struct mrd_objstore *store)
{
    return MRD_CONTAINER_OF(store, struct batch_store, base);
}

/* ---- a batch ---- */

static struct batch *batch_create(void)
{
    struct batch *batch = calloc(1, sizeof(*batch));
    mrd_assert(batch != NULL);
    batch->kept = calloc(MRD_BATCH_STORE_OBJECTS_MAX, sizeof(*batch->kept));
    mrd_assert(batch->kept != NULL);
    return batch;
}

static void batch_destroy(struct batch *batch)
{
    for (size_t i = 0; batch != NULL && i < batch->count; i++) {
        free((void *)(uintptr_t)batch->kept[i].item.key);
    }
    if (batch != NULL) {
        free(batch->kept);
    }
    free(batch);
}

static uint64_t hash_of(const char *key) { return mrd_hash64(mrd_bytes_of(key), 0); }

static struct kept *batch_find(struct batch *batch, const char *key, uint64_t hash)
{
    for (size_t at = hash % SLOTS; batch != NULL && batch->slots[at] != SLOT_FREE;
         at = (at + 1) % SLOTS) {
        struct kept *kept = &batch->kept[batch->slots[at] - 1];
        if (kept->hash == hash && kept->item.key != NULL && strcmp(kept->item.key, key) == 0) {
            return kept;
        }
    }
    return NULL;
}

static void batch_add(struct batch *batch, const struct mrd_objstore_item *item, uint64_t hash)
{
    const size_t key_size = strlen(item->key) + 1;
    char *copy = malloc(key_size + item->bytes.size);
    mrd_assert(copy != NULL);
    memcpy(copy, item->key, key_size);
    if (item->bytes.size > 0) {
        memcpy(copy + key_size, item->bytes.data, item->bytes.size);
    }
    batch->kept[batch->count++] = (struct kept){
        .item = {copy, {(const uint8_t *)copy + key_size, item->bytes.size}, item->kind},
        .hash = hash,
        .written_ms = mrd_clock_now_ms(mrd_clock_system())
    };
    batch->bytes += item->bytes.size;
    size_t at = hash % SLOTS;
    while (batch->slots[at] != SLOT_FREE) {
        at = (at + 1) % SLOTS;
    }
    batch->slots[at] = (uint32_t)batch->count;
}

static void batch_forget(struct batch *batch, struct kept *kept)
{
    batch->bytes -= kept->item.bytes.size;
    free((void *)(uintptr_t)kept->item.key);
    kept->item = (struct mrd_objstore_item){.key = NULL};
}

static bool is_full(const struct batch *batch, size_t more_bytes)
{
    return batch->count == MRD_BATCH_STORE_OBJECTS_MAX ||
           more_bytes > MRD_BATCH_STORE_BYTES_MAX - batch->bytes;
}

/* ---- storing ---- */

/* What was read before it was stored must be what is there now. */
static enum mrd_status read_back(struct mrd_objstore *inner, const struct kept *kept,
                                 const struct mrd_objstore_control *control, struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    MRD_TRY(mrd_objstore_get(inner, kept->item.key, kept->item.bytes.size, control, &bytes, err));
    return mrd_bytes_equal(mrd_buf_view(&bytes), kept->item.bytes)
               ? MRD_OK
               : mrd_fail(err, MRD_E_CORRUPT, "object %s is not what was written", kept->item.key);
}

static enum mrd_status store_batch(struct mrd_objstore *inner, const struct batch *batch,
                                   const struct mrd_objstore_control *control,
                                   struct mrd_error *err)
{
    struct mrd_objstore_item *items = calloc(batch->count + 1, sizeof(*items));
    mrd_assert(items != NULL);
    size_t count = 0;
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->kept[i].item.key != NULL) {
            items[count++] = batch->kept[i].item;
        }
    }
    enum mrd_status status = mrd_objstore_put_many(inner, items, count, control, err);
    free(items);
    for (size_t i = 0; status == MRD_OK && i < batch->count; i++) {
        if (batch->kept[i].item.key != NULL && batch->kept[i].was_read) {
            status = read_back(inner, &batch->kept[i], control, err);
        }
    }
    return status;
}

static enum mrd_status check_whole(const struct batch_store *store, struct mrd_error *err)
{
    return store->status == MRD_OK ? MRD_OK : mrd_fail(err, store->status, "%s", store->error.text);
}

/* Stores the open batch, without the lock, which is held before and after. */
static enum mrd_status store_open(struct batch_store *store,
                                  const struct mrd_objstore_control *control, struct mrd_error *err)
{
    struct batch *batch = store->open;
    struct mrd_error error = {0};
    if (batch == NULL) {
        return MRD_OK;
    }
    store->open = NULL;
    batch->next = store->storing;
    store->storing = batch;
    pthread_mutex_unlock(&store->lock);
    const enum mrd_status status = store_batch(store->inner, batch, control, &error);
    pthread_mutex_lock(&store->lock);
    struct batch **at = &store->storing;
    while (*at != batch) {
        at = &(*at)->next;
    }
    *at = batch->next;
    batch_destroy(batch);
    if (status != MRD_OK && store->status == MRD_OK) {
        store->status = status;
        store->error = error;
    }
    pthread_cond_broadcast(&store->landed);
    return status == MRD_OK ? MRD_OK : mrd_fail(err, status, "%s", error.text);
}

static struct kept *find_storing(const struct batch_store *store, const char *key, uint64_t hash)
{
    struct kept *found = NULL;
    for (struct batch *batch = store->storing; batch != NULL && found == NULL;
         batch = batch->next) {
        found = batch_find(batch, key, hash);
    }
    return found;
}

/* Waits until no batch that is being stored has the key. */
static void wait_landed(struct batch_store *store, const char *key, uint64_t hash)
{
    while (find_storing(store, key, hash) != NULL) {
        pthread_cond_wait(&store->landed, &store->lock);
    }
}

static enum mrd_status keep_locked(struct batch_store *store, const struct mrd_objstore_item *item,
                                   const struct mrd_objstore_control *control,
                                   struct mrd_error *err)
{
    const uint64_t hash = hash_of(item->key);
    wait_landed(store, item->key, hash);
    /* Who writes a key again must find what it has written: in the store, which decides. */
    if (store->open != NULL &&
        (is_full(store->open, item->bytes.size) || batch_find(store->open, item->key, hash))) {
        MRD_TRY(store_open(store, control, err));
    }
    MRD_TRY(check_whole(store, err));
    if (store->open == NULL) {
        store->open = batch_create();
    }
    batch_add(store->open, item, hash);
    return MRD_OK;
}

static enum mrd_status keep(struct batch_store *store, const struct mrd_objstore_item *item,
                            const struct mrd_objstore_control *control, struct mrd_error *err)
{
    pthread_mutex_lock(&store->lock);
    const enum mrd_status status = keep_locked(store, item, control, err);
    pthread_mutex_unlock(&store->lock);
    return status;
}

enum mrd_status mrd_batch_store_flush(struct mrd_objstore *base,
                                      const struct mrd_objstore_control *control,
                                      struct mrd_error *err)
{
    struct batch_store *store = batch_store_of(base);
    pthread_mutex_lock(&store->lock);
    enum mrd_status status = check_whole(store, err);
    if (status == MRD_OK) {
        status = store_open(store, control, err);
    }
    while (store->storing != NULL) {
        pthread_cond_wait(&store->landed, &store->lock);
    }
    if (status == MRD_OK) {
        status = check_whole(store, err);
    }
    pthread_mutex_unlock(&store->lock);
    return status;
}

/* ---- writing ---- */

static bool is_small(struct mrd_bytes bytes) { return bytes.size <= MRD_BATCH_STORE_OBJECT_MAX; }

/* Stores what is kept under a key, before it is written past this store. */
static enum mrd_status land(struct batch_store *store, const char *key,
                            const struct mrd_objstore_control *control, struct mrd_error *err)
{
    const uint64_t hash = hash_of(key);
    pthread_mutex_lock(&store->lock);
    wait_landed(store, key, hash);
    enum mrd_status status = check_whole(store, err);
    if (status == MRD_OK && batch_find(store->open, key, hash) != NULL) {
        status = store_open(store, control, err);
    }
    pthread_mutex_unlock(&store->lock);
    return status;
}

static enum mrd_status batch_put(struct mrd_objstore *base, const char *key, struct mrd_bytes bytes,
                                 const struct mrd_objstore_control *control, struct mrd_error *err)
{
    struct batch_store *store = batch_store_of(base);
    const struct mrd_objstore_item item = {key, bytes, MRD_OBJSTORE_ITEM_PUT};
    if (is_small(bytes)) {
        return keep(store, &item, control, err);
    }
    MRD_TRY(land(store, key, control, err));
    return mrd_objstore_put(store->inner, key, bytes, control, err);
}

static enum mrd_status batch_put_if_absent(struct mrd_objstore *base, const char *key,
                                           struct mrd_bytes bytes,
                                           const struct mrd_objstore_control *control,
                                           struct mrd_error *err)
{
    struct batch_store *store = batch_store_of(base);
    const struct mrd_objstore_item item = {key, bytes, MRD_OBJSTORE_ITEM_PUT_IF_ABSENT};
    if (is_small(bytes)) {
        return keep(store, &item, control, err);
    }
    MRD_TRY(land(store, key, control, err));
    return mrd_objstore_put_if_absent(store->inner, key, bytes, control, err);
}

static enum mrd_status batch_put_many(struct mrd_objstore *base,
                                      const struct mrd_objstore_item *items, size_t item_count,
                                      const struct mrd_objstore_control *control,
                                      struct mrd_error *err)
{
    MRD_TRY(mrd_batch_store_flush(base, control, err));
    return mrd_objstore_put_many(batch_store_of(base)->inner, items, item_count, control, err);
}

/* ---- uploads ---- */

struct batch_upload {
    struct mrd_objstore_upload base;
    struct mrd_objstore_upload *inner; /* NULL: all of it is in `bytes` still */
    struct mrd_buf bytes;
};

static struct batch_upload *upload_of(struct mrd_objstore_upload *upload)
{
    return MRD_CONTAINER_OF(upload, struct batch_upload, base);
}

static enum mrd_status batch_upload_begin(struct mrd_objstore *base, const char *key,
                                          const struct mrd_objstore_control *control,
                                          struct mrd_objstore_upload **out_upload,
                                          struct mrd_error *err)
{
    (void)base;
    (void)key;
    (void)control;
    (void)err;
    struct batch_upload *upload = calloc(1, sizeof(*upload));
    mrd_assert(upload != NULL);
    *out_upload = &upload->base;
    return MRD_OK;
}

static enum mrd_status batch_upload_write(struct mrd_objstore_upload *base, struct mrd_bytes bytes,
                                          struct mrd_error *err)
{
    struct batch_upload *upload = upload_of(base);
    if (upload->inner == NULL && bytes.size <= MRD_BATCH_STORE_OBJECT_MAX - upload->bytes.size) {
        mrd_buf_append_bytes(&upload->bytes, bytes);
        mrd_assert(!upload->bytes.failed);
        return MRD_OK;
    }
    if (upload->inner == NULL) {
        MRD_TRY(mrd_objstore_upload_begin(batch_store_of(base->store)->inner, base->key,
                                          base->control, &upload->inner, err));
        MRD_TRY(mrd_objstore_upload_write(upload->inner, mrd_buf_view(&upload->bytes), err));
        mrd_buf_fini(&upload->bytes);
    }
    return mrd_objstore_upload_write(upload->inner, bytes, err);
}

static enum mrd_status batch_upload_finish(struct mrd_objstore_upload *base, struct mrd_error *err)
{
    struct batch_store *store = batch_store_of(base->store);
    struct batch_upload *upload = upload_of(base);
    const struct mrd_objstore_item item = {base->key, mrd_buf_view(&upload->bytes),
                                           MRD_OBJSTORE_ITEM_UPLOAD};
    if (upload->inner == NULL) {
        return keep(store, &item, base->control, err);
    }
    MRD_TRY(land(store, base->key, base->control, err));
    return mrd_objstore_upload_finish(upload->inner, err);
}

static void batch_upload_destroy(struct mrd_objstore_upload *base, bool take_back)
{
    struct batch_upload *upload = upload_of(base);
    if (take_back || upload->inner == NULL) {
        mrd_objstore_upload_destroy(&upload->inner);
    } else {
        upload->inner->store->ops->upload_destroy(upload->inner, false);
    }
    mrd_buf_fini(&upload->bytes);
    free(upload);
}

/* ---- reading ---- */

/* Takes the lock if the object is kept, and notes that it is read; NULL, without the lock: look in the inner store. */
static const struct kept *find_locked(struct batch_store *store, const char *key)
{
    const uint64_t hash = hash_of(key);
    pthread_mutex_lock(&store->lock);
    struct kept *kept = batch_find(store->open, key, hash);
    if (kept != NULL) {
        kept->was_read = true;
    } else {
        kept = find_storing(store, key, hash);
    }
    if (kept == NULL) {
        pthread_mutex_unlock(&store->lock);
    }
    return kept;
}

static enum mrd_status batch_head(struct mrd_objstore *base, const char *key,
                                  const struct mrd_objstore_control *control,
                                  struct mrd_objstore_info *out, struct mrd_error *err)
{
    struct batch_store *store = batch_store_of(base);
    const struct kept *kept = find_locked(store, key);
    if (kept == NULL) {
        return mrd_objstore_head(store->inner, key, control, out, err);
    }
    *out = (struct mrd_objstore_info){kept->item.bytes.size, kept->written_ms};
    pthread_mutex_unlock(&store->lock);
    return MRD_OK;
}

static enum mrd_status batch_get(struct mrd_objstore *base, const char *key, size_t size_max,
                                 const struct mrd_objstore_control *control, struct mrd_buf *out,
                                 struct mrd_error *err)
{
    struct batch_store *store = batch_store_of(base);
    const struct kept *kept = find_locked(store, key);
    if (kept == NULL) {
        return mrd_objstore_get(store->inner, key, size_max, control, out, err);
    }
    const size_t size = kept->item.bytes.size;
    uint8_t *data = size > size_max ? NULL : mrd_buf_reserve(out, size);
    if (data != NULL && size > 0) {
        memcpy(data, kept->item.bytes.data, size);
        out->size += size;
    }
    pthread_mutex_unlock(&store->lock);
    return data != NULL ? MRD_OK
                        : mrd_fail(err, MRD_E_LIMIT, "object %s: %zu bytes, at most %zu are taken",
                                   key, size, size_max);
}

static enum mrd_status copy_ranges(struct mrd_bytes bytes, const char *key,
                                   const struct mrd_objstore_range *ranges, size_t range_count,
                                   struct mrd_error *err)
{
    for (size_t i = 0; i < range_count; i++) {
        if (ranges[i].offset > bytes.size || ranges[i].size > bytes.size - ranges[i].offset) {
            return mrd_fail(err, MRD_E_CORRUPT, "object %s: ends before the range does", key);
        }
        memcpy(ranges[i].data, bytes.data + ranges[i].offset, ranges[i].size);
    }
    return MRD_OK;
}

static enum mrd_status batch_read(struct mrd_objstore *base, const char *key,
                                  const struct mrd_objstore_range *ranges, size_t range_count,
                                  const struct mrd_objstore_control *control, struct mrd_error *err)
{
    struct batch_store *store = batch_store_of(base);
    const struct kept *kept = find_locked(store, key);
    if (kept == NULL) {
        return mrd_objstore_read(store->inner, key, ranges, range_count, control, err);
    }
    const enum mrd_status status = copy_ranges(kept->item.bytes, key, ranges, range_count, err);
    pthread_mutex_unlock(&store->lock);
    return status;
}

static enum mrd_status batch_list(struct mrd_objstore *base, const char *prefix, const char *after,
                                  mrd_objstore_visit *visit, void *context,
                                  const struct mrd_objstore_control *control, struct mrd_error *err)
{
    MRD_TRY(mrd_batch_store_flush(base, control, err));
    return mrd_objstore_list(batch_store_of(base)->inner, prefix, after, visit, context, control,
                             err);
}

/* ---- the rest ---- */

static void forget(struct batch_store *store, const char *key)
{
    const uint64_t hash = hash_of(key);
    pthread_mutex_lock(&store->lock);
    wait_landed(store, key, hash);
    struct kept *kept = batch_find(store->open, key, hash);
    if (kept != NULL) {
        batch_forget(store->open, kept);
    }
    pthread_mutex_unlock(&store->lock);
}

/* Also of those that were kept: the same key may have an object in the inner store. */
static enum mrd_status batch_delete_many(struct mrd_objstore *base, const char *const *keys,
                                         size_t key_count,
                                         const struct mrd_objstore_control *control,
                                         struct mrd_error *err)
{
    struct batch_store *store = batch_store_of(base);
    for (size_t i = 0; i < key_count; i++) {
        forget(store, keys[i]);
    }
    return mrd_objstore_delete_many(store->inner, keys, key_count, control, err);
}

static enum mrd_status batch_set_class(struct mrd_objstore *base, const char *key,
                                       const char *storage_class,
                                       const struct mrd_objstore_control *control,
                                       struct mrd_error *err)
{
    MRD_TRY(mrd_batch_store_flush(base, control, err));
    return mrd_objstore_set_class(batch_store_of(base)->inner, key, storage_class, control, err);
}

static enum mrd_status batch_sweep(struct mrd_objstore *base, mrd_time_ms age_ms,
                                   const struct mrd_objstore_control *control,
                                   struct mrd_error *err)
{
    return mrd_objstore_sweep(batch_store_of(base)->inner, age_ms, control, err);
}

static void batch_close(struct mrd_objstore *base)
{
    struct batch_store *store = batch_store_of(base);
    mrd_assert(store->storing == NULL);
    batch_destroy(store->open);
    pthread_cond_destroy(&store->landed);
    pthread_mutex_destroy(&store->lock);
    objstore_fini(base);
    free(store);
}

static const struct mrd_objstore_ops batch_ops = {
    .put = batch_put,
    .put_if_absent = batch_put_if_absent,
    .put_many = batch_put_many,
    .upload_begin = batch_upload_begin,
    .upload_write = batch_upload_write,
    .upload_finish = batch_upload_finish,
    .upload_destroy = batch_upload_destroy,
    .head = batch_head,
    .get = batch_get,
    .read = batch_read,
    .list = batch_list,
    .delete_many = batch_delete_many,
    .set_class = batch_set_class,
    .sweep = batch_sweep,
    .close = batch_close,
};

struct mrd_objstore *mrd_batch_store_create(struct mrd_objstore *inner)
{
    struct batch_store *store = calloc(1, sizeof(*store));
    mrd_assert(store != NULL);
    objstore_init(&store->base, &batch_ops, NULL);
    (void)snprintf(store->base.name, sizeof(store->base.name), "%.319s", inner->name);
    store->inner = inner;
    mrd_assert(pthread_mutex_init(&store->lock, NULL) == 0);
    mrd_assert(pthread_cond_init(&store->landed, NULL) == 0);
    return &store->base;
}
