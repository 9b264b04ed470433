#include "tsdb/ulid.h"

static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

bool mrd_ulid_valid(struct mrd_bytes text)
{
    if (text.size != MRD_ULID_LENGTH || text.data[0] > '7') {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == 0 || strchr(digits, text.data[i]) == NULL) {
            return false;
        }
    }
    return true;
}

void mrd_ulid_make(mrd_time_ms time_ms, const uint8_t chance[MRD_ULID_CHANCE],
                   char out[MRD_ULID_LENGTH + 1])
{
    mrd_assert(time_ms >= 0 && (uint64_t)time_ms >> 48 == 0);
    uint64_t high = (uint64_t)time_ms << 16 | (uint64_t)chance[0] << 8 | chance[1];
    uint64_t low = 0;
    for (size_t i = 2; i < MRD_ULID_CHANCE; i++) {
        low = low << 8 | chance[i];
    }
    for (size_t i = MRD_ULID_LENGTH; i-- > 0;) {
        out[i] = digits[low & 31];
        low = low >> 5 | high << 59;
        high >>= 5;
    }
    out[MRD_ULID_LENGTH] = 0;
}
