/* resolver.h: settles what the heads can not decide, by looking into the log (log_scan.h).
 *
 * One thread looks at the partitions that serve once a second. Those whose head has contested samples
 * are scanned one after the other, each scan for all samples that wait; after one the thread rests for ten
 * times as long as it took, so however much is contested, it takes a tenth of one core. A scan that
 * fails is made again later: the samples wait.
 *
 * Owner:   main, between owner and questions: it borrows partitions of the owner.
 * Threads: create, destroy: one.
 */
#ifndef ING_RESOLVER_H
#define ING_RESOLVER_H

#include "ingester/owner.h"

struct ing_resolver;

struct ing_resolver_options {
    struct mrd_bus *log_bus;
    struct ing_owner *owner;
    uint32_t partition_count;
    struct mrd_metrics *metrics;
};

struct ing_resolver *ing_resolver_create(const struct ing_resolver_options *options);
void ing_resolver_destroy(struct ing_resolver **resolver);

#endif
