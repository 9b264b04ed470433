/* request.h: what erasures ask for: the encoded requests, each in an object of its own, which goes when the erasure is done.
 *
 *     erasures/<id, 32 hexadecimal digits>      the bytes of docs/formats/erasure.md
 *
 * The object is put before the commit that names it. What no state names is swept like all that is abandoned.
 *
 * Owner:   whoever loaded them; holds the state.
 * Threads: loaded ones are immutable: any.
 * Memory:  the requests' bytes and compiled regexes, up to MRD_CATALOG_REQUESTS_BYTES_MAX.
 */
#ifndef MRD_CATALOG_REQUEST_H
#define MRD_CATALOG_REQUEST_H

#include "catalog/catalog.h"
#include "model/erasure.h"

#define MRD_CATALOG_REQUEST_PREFIX "erasures/"
#define MRD_CATALOG_REQUESTS_BYTES_MAX ((size_t)256 << 20)
/* Of one, decoded: so many as the catalog takes are well below the limit of all, whoever makes them at once. */
#define MRD_CATALOG_REQUEST_BYTES_MAX ((size_t)192 << 10)
enum { MRD_CATALOG_REQUEST_KEY_SIZE = 48 /* with the NUL */ };

/* Names of a request, for mrd_catalog_erasure_change. */
struct mrd_catalog_request {
    char key[MRD_CATALOG_REQUEST_KEY_SIZE];
    char digest[MRD_CATALOG_DIGEST_SIZE + 1];
};

/* Stores an encoded request. MRD_E_LIMIT: its selectors take more than MRD_CATALOG_REQUEST_BYTES_MAX; nothing is stored. */
MRD_MUST_CHECK enum mrd_status
mrd_catalog_request_put(struct mrd_objstore *store, struct mrd_id128 id, struct mrd_bytes encoded,
                        const struct mrd_objstore_control *control, struct mrd_catalog_request *out,
                        struct mrd_error *err);

/* Whether an erasure of a state is to delete its tenant (model/erasure.h): reads the request. MRD_E_NOT_FOUND, MRD_E_CORRUPT as below. */
MRD_MUST_CHECK enum mrd_status mrd_catalog_request_is_of_tenant(
    struct mrd_objstore *store, const struct mrd_catalog_erasure *erasure,
    const struct mrd_objstore_control *control, bool *out, struct mrd_error *err);

/* The requests of erasures of a state. */
struct mrd_catalog_requests;

/* Reads the requests of all erasures that owe something: those that `before` (of an earlier state, or NULL; lent for the call) has not. MRD_E_NOT_FOUND: one is gone: the state is out of date, and a
 * newer one has to be read; MRD_E_CORRUPT: it is not what was stored; those of the store. */
MRD_MUST_CHECK enum mrd_status mrd_catalog_requests_load(struct mrd_objstore *store,
                                                         struct mrd_catalog_state *state,
                                                         const struct mrd_catalog_requests *before,
                                                         const struct mrd_objstore_control *control,
                                                         struct mrd_catalog_requests **out,
                                                         struct mrd_error *err);
/* Likewise of all erasures of the state that are not done. One that owes nothing may be about to end, and its object gone: then it is left out. */
MRD_MUST_CHECK enum mrd_status
mrd_catalog_requests_load_all(struct mrd_objstore *store, struct mrd_catalog_state *state,
                              const struct mrd_catalog_requests *before,
                              const struct mrd_objstore_control *control,
                              struct mrd_catalog_requests **out, struct mrd_error *err);
void mrd_catalog_requests_destroy(struct mrd_catalog_requests **requests);

/* How many there are. */
size_t mrd_catalog_requests_count(const struct mrd_catalog_requests *requests);
/* With the erasure of the state that it belongs to. */
const struct mrd_erasure *mrd_catalog_requests_at(const struct mrd_catalog_requests *requests,
                                                  size_t index,
                                                  const struct mrd_catalog_erasure **out_erasure);

/* Those that a block owes: out[0 .. count), at most `most`, which mrd_catalog_requests_count always suffices for; returns how many. Cost: a search
 * for each of the requests. `requests` may be NULL: there are none. */
size_t mrd_catalog_requests_owed(const struct mrd_catalog_requests *requests,
                                 struct mrd_bytes block_id, const struct mrd_erasure **out,
                                 size_t most);

/* Whether the block owes any. */
bool mrd_catalog_requests_owe(const struct mrd_catalog_requests *requests,
                              struct mrd_bytes block_id);

#endif
