#include "querier/cors.h"

void qry_cors_headers(struct mrd_http_request *request)
{
    enum { ORIGIN_SIZE_MAX = 1024 };
    const struct mrd_bytes origin = mrd_http_header(request, "Origin");
    mrd_http_header_set(request, "Vary", "Origin");
    if (origin.size == 0) {
        return;
    }
    mrd_http_header_set(request, "Access-Control-Allow-Headers",
                        "Accept, Authorization, Content-Type, Origin");
    mrd_http_header_set(request, "Access-Control-Allow-Methods", "GET, POST, OPTIONS");
    mrd_http_header_set(request, "Access-Control-Allow-Origin",
                        origin.size <= ORIGIN_SIZE_MAX ? (const char *)origin.data : "*");
    mrd_http_header_set(request, "Access-Control-Expose-Headers", "Date");
}
