#include "objstore/s3_credentials.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What passes can go into a header: no byte in it ends a line. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct s3_key_pair pair;
    if (s3_credentials_parse((struct mrd_bytes){data, size}, "default", &pair, NULL) == MRD_OK) {
        mrd_assert(pair.access_key[0] != 0 && pair.secret_key[0] != 0);
        mrd_assert(strpbrk(pair.access_key, "\r\n ") == NULL);
        mrd_assert(strpbrk(pair.session_token, "\r\n ") == NULL);
    }
    return 0;
}
