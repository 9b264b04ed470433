/* Any text as a rule of retention. */
#include "tenancy/retention_rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mrd_error err = {0};
    const enum mrd_status status = mrd_retention_rule_check((struct mrd_bytes){data, size}, &err);
    mrd_assert(status == MRD_OK || (status == MRD_E_INVALID && err.text[0] != '\0'));
    return 0;
}
