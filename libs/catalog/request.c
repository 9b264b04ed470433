#include "catalog/request.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "objstore/sigv4.h"

_Static_assert((int)MRD_SHA256_HEX_SIZE == (int)MRD_CATALOG_DIGEST_SIZE + 1, "the digest fits");

_Static_assert(MRD_CATALOG_ERASURES_MAX *MRD_CATALOG_REQUEST_BYTES_MAX <=
                   MRD_CATALOG_REQUESTS_BYTES_MAX / 4 * 3,
               "all that may be open can be read");

enum { REQUEST_SIZE_MAX = MRD_ERASURE_SIZE_MAX };

/* A decoded request, shared by all lists that have it. */
struct request {
    _Atomic uint32_t references;
    struct mrd_id128 id;
    struct mrd_buf bytes; /* what the erasure points into */
    struct mrd_arena *arena;
    struct mrd_erasure erasure;
};

struct mrd_catalog_requests {
    struct mrd_catalog_state *state;
    struct requests_item {
        const struct mrd_catalog_erasure *erasure; /* of the state */
        struct request *request;
    } * items;
    size_t count;
    size_t memory;
};

/* ---- one request ---- */

static void request_release(struct request *request)
{
    if (atomic_fetch_sub_explicit(&request->references, 1, memory_order_acq_rel) == 1) {
        mrd_erasure_fini(&request->erasure);
        mrd_arena_destroy(&request->arena);
        mrd_buf_fini(&request->bytes);
        free(request);
    }
}

static struct request *request_new(struct mrd_id128 id)
{
    struct request *request = calloc(1, sizeof(*request));
    mrd_assert(request != NULL);
    atomic_init(&request->references, 1);
    request->id = id;
    request->arena = mrd_arena_create("request to erase", (size_t)16 * REQUEST_SIZE_MAX);
    return request;
}

static size_t request_memory(const struct request *request)
{
    return request->bytes.size + mrd_arena_used(request->arena);
}

/* Whoever reads blocks has all requests in memory, and without one of them can read none: so what is too large is refused before anybody has it. */
static enum mrd_status check_size(struct mrd_id128 id, struct mrd_bytes encoded,
                                  struct mrd_error *err)
{
    struct request *request = request_new(id);
    mrd_buf_append_bytes(&request->bytes, encoded);
    enum mrd_status status =
        mrd_erasure_decode(mrd_buf_view(&request->bytes), request->arena, &request->erasure, err);
    const size_t memory = request_memory(request);
    if (status == MRD_OK && memory > MRD_CATALOG_REQUEST_BYTES_MAX) {
        status = mrd_fail(err, MRD_E_LIMIT,
                          "the selectors take %zu bytes, one request to delete may have %zu: make "
                          "several requests of them",
                          memory, MRD_CATALOG_REQUEST_BYTES_MAX);
    }
    request_release(request);
    return status;
}

enum mrd_status mrd_catalog_request_put(struct mrd_objstore *store, struct mrd_id128 id,
                                        struct mrd_bytes encoded,
                                        const struct mrd_objstore_control *control,
                                        struct mrd_catalog_request *out, struct mrd_error *err)
{
    MRD_TRY(check_size(id, encoded, err));
    (void)snprintf(out->key, sizeof(out->key),
                   MRD_CATALOG_REQUEST_PREFIX "%016" PRIx64 "%016" PRIx64, id.high, id.low);
    mrd_sha256_hex(encoded, out->digest);
    return mrd_objstore_put(store, out->key, encoded, control, err);
}

static enum mrd_status decode(struct request *request, const struct mrd_catalog_erasure *erasure,
                              struct mrd_error *err)
{
    char digest[MRD_SHA256_HEX_SIZE];
    mrd_sha256_hex(mrd_buf_view(&request->bytes), digest);
    if (!mrd_bytes_equal(mrd_bytes_of(digest), erasure->request_digest)) {
        return mrd_fail(err, MRD_E_CORRUPT, "the request is not the one that was made");
    }
    MRD_TRY(
        mrd_erasure_decode(mrd_buf_view(&request->bytes), request->arena, &request->erasure, err));
    return mrd_id128_equal(request->erasure.id, erasure->id) &&
                   mrd_bytes_equal(request->erasure.tenant, erasure->tenant)
               ? MRD_OK
               : mrd_fail(err, MRD_E_CORRUPT, "the request is another one's");
}

static enum mrd_status request_read(struct mrd_objstore *store,
                                    const struct mrd_catalog_erasure *erasure,
                                    const struct mrd_objstore_control *control,
                                    struct request **out, struct mrd_error *err)
{
    char key[MRD_CATALOG_NAME_SIZE_MAX + 1];
    (void)snprintf(key, sizeof(key), "%.*s", MRD_FMT(erasure->request_key));
    struct request *request = request_new(erasure->id);
    enum mrd_status status =
        mrd_objstore_get(store, key, REQUEST_SIZE_MAX, control, &request->bytes, err);
    if (status == MRD_OK) {
        status = decode(request, erasure, err);
    }
    if (status != MRD_OK) {
        request_release(request);
        return mrd_fail_prefix(err, status, "reading %s", key);
    }
    *out = request;
    return MRD_OK;
}

enum mrd_status mrd_catalog_request_is_of_tenant(struct mrd_objstore *store,
                                                 const struct mrd_catalog_erasure *erasure,
                                                 const struct mrd_objstore_control *control,
                                                 bool *out, struct mrd_error *err)
{
    struct request *request = NULL;
    MRD_TRY(request_read(store, erasure, control, &request, err));
    *out = mrd_erasure_is_of_tenant(&request->erasure);
    request_release(request);
    return MRD_OK;
}

/* ---- those of a state ---- */

static int order_of(struct mrd_id128 a, struct mrd_id128 b)
{
    if (a.high != b.high) {
        return a.high < b.high ? -1 : 1;
    }
    return a.low < b.low ? -1 : a.low > b.low;
}

/* One that an earlier list has, with a reference for us; or NULL. */
static struct request *request_share(const struct mrd_catalog_requests *before, struct mrd_id128 id)
{
    size_t low = 0;
    size_t high = before == NULL ? 0 : before->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        struct request *request = before->items[middle].request;
        const int order = order_of(request->id, id);
        if (order == 0) {
            atomic_fetch_add_explicit(&request->references, 1, memory_order_relaxed);
            return request;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

static enum mrd_status add(struct mrd_catalog_requests *requests, struct mrd_objstore *store,
                           const struct mrd_catalog_erasure *erasure,
                           const struct mrd_catalog_requests *before,
                           const struct mrd_objstore_control *control, struct mrd_error *err)
{
    struct request *request = request_share(before, erasure->id);
    if (request == NULL) {
        MRD_TRY(request_read(store, erasure, control, &request, err));
    }
    requests->items[requests->count++] = (struct requests_item){erasure, request};
    requests->memory += request_memory(request);
    return requests->memory <= MRD_CATALOG_REQUESTS_BYTES_MAX
               ? MRD_OK
               : mrd_fail(err, MRD_E_LIMIT, "requests to erase take more than %zu bytes",
                          MRD_CATALOG_REQUESTS_BYTES_MAX);
}

static enum mrd_status load(struct mrd_objstore *store, struct mrd_catalog_state *state,
                            const struct mrd_catalog_requests *before, bool all,
                            const struct mrd_objstore_control *control,
                            struct mrd_catalog_requests **out, struct mrd_error *err)
{
    struct mrd_catalog_requests *requests = calloc(1, sizeof(*requests));
    mrd_assert(requests != NULL);
    const size_t count = mrd_catalog_erasure_count(state);
    requests->state = mrd_catalog_state_hold(state);
    requests->items = calloc(count + 1, sizeof(*requests->items));
    mrd_assert(requests->items != NULL);
    enum mrd_status status = MRD_OK;
    for (size_t i = 0; i < count && status == MRD_OK; i++) {
        const struct mrd_catalog_erasure *erasure = mrd_catalog_erasure_at(state, i);
        if (erasure->owed_count > 0) {
            status = add(requests, store, erasure, before, control, err);
        } else if (all) {
            status = add(requests, store, erasure, before, control, err);
            status = status == MRD_E_NOT_FOUND ? MRD_OK : status;
        }
    }
    if (status != MRD_OK) {
        mrd_catalog_requests_destroy(&requests);
        return status;
    }
    *out = requests;
    return MRD_OK;
}

enum mrd_status mrd_catalog_requests_load(struct mrd_objstore *store,
                                          struct mrd_catalog_state *state,
                                          const struct mrd_catalog_requests *before,
                                          const struct mrd_objstore_control *control,
                                          struct mrd_catalog_requests **out, struct mrd_error *err)
{
    return load(store, state, before, false, control, out, err);
}

enum mrd_status mrd_catalog_requests_load_all(struct mrd_objstore *store,
                                              struct mrd_catalog_state *state,
                                              const struct mrd_catalog_requests *before,
                                              const struct mrd_objstore_control *control,
                                              struct mrd_catalog_requests **out,
                                              struct mrd_error *err)
{
    return load(store, state, before, true, control, out, err);
}

void mrd_catalog_requests_destroy(struct mrd_catalog_requests **requests)
{
    struct mrd_catalog_requests *self = MRD_MOVE(*requests);
    if (self != NULL) {
        for (size_t i = 0; i < self->count; i++) {
            request_release(self->items[i].request);
        }
        free(self->items);
        mrd_catalog_unpin(&self->state);
        free(self);
    }
}

size_t mrd_catalog_requests_count(const struct mrd_catalog_requests *requests)
{
    return requests == NULL ? 0 : requests->count;
}

const struct mrd_erasure *mrd_catalog_requests_at(const struct mrd_catalog_requests *requests,
                                                  size_t index,
                                                  const struct mrd_catalog_erasure **out_erasure)
{
    mrd_assert(index < requests->count);
    *out_erasure = requests->items[index].erasure;
    return &requests->items[index].request->erasure;
}

size_t mrd_catalog_requests_owed(const struct mrd_catalog_requests *requests,
                                 struct mrd_bytes block_id, const struct mrd_erasure **out,
                                 size_t most)
{
    size_t count = 0;
    for (size_t i = 0; i < mrd_catalog_requests_count(requests) && count < most; i++) {
        if (mrd_catalog_erasure_owes(requests->items[i].erasure, block_id)) {
            out[count++] = &requests->items[i].request->erasure;
        }
    }
    return count;
}

bool mrd_catalog_requests_owe(const struct mrd_catalog_requests *requests,
                              struct mrd_bytes block_id)
{
    const struct mrd_erasure *one;
    return mrd_catalog_requests_owed(requests, block_id, &one, 1) > 0;
}
