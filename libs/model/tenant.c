#include "model/tenant.h"

static bool is_safe(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != 0 && strchr("!-_.*'()", c) != NULL);
}

static bool is_valid(struct mrd_bytes name)
{
    for (size_t i = 0; i < name.size; i++) {
        if (!is_safe(name.data[i])) {
            return false;
        }
    }
    return name.size > 0 && name.size <= MRD_TENANT_SIZE_MAX &&
           !mrd_bytes_equal(name, MRD_BYTES(".")) && !mrd_bytes_equal(name, MRD_BYTES(".."));
}

enum mrd_status mrd_tenant_of_header(struct mrd_bytes header, struct mrd_bytes *out,
                                     struct mrd_error *err)
{
    const struct mrd_bytes name = header.data == NULL ? MRD_BYTES(MRD_TENANT_DEFAULT) : header;
    if (!is_valid(name)) {
        return mrd_fail(err, MRD_E_INVALID,
                        MRD_TENANT_HEADER
                        " is no tenant name: 1 to %d bytes of letters, digits and "
                        "!-_.*'(), not \".\" or \"..\"",
                        MRD_TENANT_SIZE_MAX);
    }
    *out = name;
    return MRD_OK;
}
