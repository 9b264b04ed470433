/* remote_read.h: POST /api/v1/read, Prometheus' remote read (wire/remote_read.h).
 *
 * All series of a query are gathered first, because they must be sent in the order of their labels (unless the client says
 * that any will do: X-Read-Order: any; then each is sent as it comes, and memory is that of one): in the call's arena, in the form in which they are sent (chunks in Prometheus' encodings if
 * streamed, of about 1.5 bytes a sample), so querier.memory_bytes_max bounds it. Streamed answers go frame by frame; samples in one snappy
 * block, which is bounded by querier.read_samples_max and querier.response_bytes_max.
 */
#ifndef QRY_REMOTE_READ_H
#define QRY_REMOTE_READ_H

#include "querier/call.h"

qry_endpoint qry_answer_read;

#endif
