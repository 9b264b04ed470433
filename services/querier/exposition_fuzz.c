/* Any Accept header gets one of the formats that there are. */
#include "querier/exposition.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct qry_format format = qry_format_of((struct mrd_bytes){data, size});
    mrd_assert(format.kind <= QRY_FORMAT_PROTOBUF && format.content_type != NULL);
    return 0;
}
