/* Remote read requests from anywhere: decoded within their bytes, or refused. */
#include "wire/remote_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(const struct mrd_read_request *request, size_t size)
{
    mrd_assert(request->query_count <= MRD_READ_QUERIES_MAX);
    for (size_t i = 0; i < request->query_count; i++) {
        const struct mrd_read_query *query = &request->queries[i];
        mrd_assert(query->matcher_count <= MRD_READ_MATCHERS_MAX);
        for (size_t k = 0; k < query->matcher_count; k++) {
            mrd_assert(query->matchers[k].name.size + query->matchers[k].value.size <= size);
            (void)mrd_matcher_matches(&query->matchers[k], MRD_BYTES("x"));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > MRD_READ_REQUEST_BYTES_MAX) {
        return 0;
    }
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("fuzz", 1 << 20);
    struct mrd_read_request request;
    if (mrd_read_request_decode((struct mrd_bytes){data, size}, arena, &request, NULL) == MRD_OK) {
        look(&request, size);
        mrd_read_request_fini(&request);
    }
    return 0;
}
