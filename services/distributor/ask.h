/* ask.h: asks the ingesters of a region which series are active, and how many a tenant has (wire/query.h, MRD_QUERY_KNOWN).
 *
 * Each partition is asked of one ingester that serves it; where that fails in any way, of another one, if there is.
 *
 * Threads: one, the asker's.
 */
#ifndef DST_ASK_H
#define DST_ASK_H

#include "bus/members.h"
#include "bus/rpc.h"
#include "distributor/asker.h"

struct dst_ask {
    struct mrd_rpc_client *rpc;
    struct mrd_members *members;
    uint32_t partition_count;
    uint64_t salt; /* spreads questions over replicas */
};

/* For dst_asker_options.ask; context: a struct dst_ask. Takes a second at most. */
void dst_ask_ingesters(void *context, struct dst_question *questions, size_t count);

#endif
