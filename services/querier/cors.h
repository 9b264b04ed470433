/* cors.h: answers to browsers of other origins, as Prometheus gives them with its default of any origin. */
#ifndef QRY_CORS_H
#define QRY_CORS_H

#include "http/server.h"

/* Sets the headers, which name the asker's origin back. */
void qry_cors_headers(struct mrd_http_request *request);

#endif
