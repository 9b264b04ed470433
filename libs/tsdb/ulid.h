/* ulid.h: names of blocks: 48 bits of Unix milliseconds and 80 of chance in Crockford's base 32 (github.com/ulid/spec). */
#ifndef MRD_TSDB_ULID_H
#define MRD_TSDB_ULID_H

#include "base/bytes.h"
#include "base/clock.h"

enum { MRD_ULID_LENGTH = 26, MRD_ULID_CHANCE = 10 };

/* Whether a text is one, as Prometheus writes them (capitals). */
bool mrd_ulid_valid(struct mrd_bytes text);

/* Writes the text and a NUL. time_ms is 0 to 2^48 - 1. */
void mrd_ulid_make(mrd_time_ms time_ms, const uint8_t chance[MRD_ULID_CHANCE],
                   char out[MRD_ULID_LENGTH + 1]);

#endif
