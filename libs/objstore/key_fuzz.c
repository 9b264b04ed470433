#include "objstore/key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What passes as a key never leaves its folder and is a path of ordinary length, whatever it is. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[2048];
    const size_t used = MRD_MIN(size, sizeof(text) - 1);
    if (used > 0) {
        memcpy(text, data, used);
    }
    text[used] = 0;
    const bool valid = mrd_objstore_key_valid((struct mrd_bytes){data, used});
    if (strlen(text) == used) {
        mrd_assert(valid == (mrd_objstore_key_check(text, NULL) == MRD_OK));
    }
    if (valid) {
        mrd_assert(mrd_objstore_prefix_check(text, NULL) == MRD_OK);
        mrd_assert(strlen(text) == used && used <= MRD_OBJSTORE_KEY_SIZE_MAX);
        mrd_assert(text[0] != '/' && text[0] != '.' && text[used - 1] != '/');
        mrd_assert(strstr(text, "//") == NULL && strstr(text, "/.") == NULL);
        mrd_assert(strchr(text, '\\') == NULL && strchr(text, '%') == NULL);
    }
    return 0;
}
