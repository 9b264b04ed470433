/* hash.h: the two hashes and the one checksum that Meridian's formats and tables use.
 *
 * XXH3 (libxxhash) for identity and tables, CRC-32C (Castagnoli, as in RFC 3720) for integrity.
 * All are pure functions of their input, the same on every machine.
 */
#ifndef MRD_BASE_HASH_H
#define MRD_BASE_HASH_H

#include "base/bytes.h"

struct mrd_id128 {
    uint64_t low;
    uint64_t high;
};

static inline bool mrd_id128_equal(struct mrd_id128 a, struct mrd_id128 b)
{
    return a.low == b.low && a.high == b.high;
}

/* As numbers. */
static inline int mrd_id128_compare(struct mrd_id128 a, struct mrd_id128 b)
{
    if (a.high != b.high) {
        return a.high < b.high ? -1 : 1;
    }
    return a.low < b.low ? -1 : a.low > b.low;
}

uint64_t mrd_hash64(struct mrd_bytes bytes, uint64_t seed);
struct mrd_id128 mrd_hash128(struct mrd_bytes bytes, uint64_t seed);

/* CRC-32C of bytes, continuing from `crc` (0 to begin). Uses the CPU's instruction if it has one. */
uint32_t mrd_crc32c(uint32_t crc, struct mrd_bytes bytes);

#endif
