/* erasure_notice.h: what a querier tells others about an erasure before it answers that it is done (bus/notice.h).
 *
 * Queriers note the sequences: from then on they take no answer of an ingester that has not applied its log up to there. And of the catalog of
 * blocks they must have read the commit that has the erasure. Distributors note the stamp: what they stamp from then on is later.
 *
 * u8 version, u64 stamp, varint partitions (at least 1, at most MRD_ERASURE_NOTICE_PARTITIONS_MAX), then the varint sequence of the erasure in each
 * one's log; in version 2 the varint number of the commit behind that. Version 1 is written where there is no catalog.
 *
 * Threads: pure functions.
 */
#ifndef MRD_WIRE_ERASURE_NOTICE_H
#define MRD_WIRE_ERASURE_NOTICE_H

#include "base/bytes.h"
#include "base/clock.h"

enum { MRD_ERASURE_NOTICE_PARTITIONS_MAX = 4096 };

/* The residency class that erasures have in the log's subjects. */
#define MRD_ERASURE_CLASS "erasure"

struct mrd_erasure_notice {
    mrd_hlc hlc;
    uint64_t commit; /* of the catalog; 0: there is none */
};

void mrd_erasure_notice_encode(const struct mrd_erasure_notice *notice, const uint64_t *sequences,
                               size_t partition_count, struct mrd_buf *out);

/* Fills `sequences` if it is not NULL; it has partition_count places, and the notice must be for as many. MRD_E_CORRUPT,
 * MRD_E_UNSUPPORTED (a later version's). */
MRD_MUST_CHECK enum mrd_status mrd_erasure_notice_decode(struct mrd_bytes bytes,
                                                         size_t partition_count,
                                                         struct mrd_erasure_notice *out,
                                                         uint64_t *sequences,
                                                         struct mrd_error *err);

#endif
