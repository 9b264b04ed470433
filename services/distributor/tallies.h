/* tallies.h: how many active series tenants with a limit have (limits.active_series_max), as far as this process knows, and how
 * many more each may introduce here before the ingesters are asked again (docs/decisions/0012-active-series-limit.md).
 *
 * The ingesters' count is late by what is on its way to them: series introduced here in the last DST_TALLY_SETTLE_MS, and
 * sometimes twice that, count beside it. What the count leaves of the limit is shared evenly with the other
 * distributors and may be taken for the length of a lease. Who has used it up, or comes after its end, asks: then a
 * write may have all that is left at that moment.
 *
 * Owner:   main.
 * Threads: any; one lock, taken when a write brings its first new series, and around questions. Taking is atomic.
 * Memory:  some 300 bytes a tenant that has a limit and has brought a new series; those that no write uses and whose lease is over
 *          are forgotten when there are many.
 */
#ifndef DST_TALLIES_H
#define DST_TALLIES_H

#include "base/clock.h"
#include "model/tenant.h"

enum {
    DST_TALLY_SETTLE_MS = 1000, /* after which ingesters are taken to have what was introduced */
    DST_TALLY_LEASE_MS = 10000, /* for which a share may be taken, */
    DST_TALLY_FAR_LEASE_MS = 60000, /* where the tenant has less than half of its limit */
    DST_TALLY_OPEN_MS = 5000,       /* after nobody answered: everything is let through so long */
};

struct dst_tallies;
struct dst_tally; /* of one tenant */

struct dst_tallies *dst_tallies_create(const struct mrd_clock *clock);
void dst_tallies_destroy(struct dst_tallies **tallies);

/* The tenant's, to be given back; `limit`, more than 0, is the tenant's from now on. */
struct dst_tally *dst_tallies_borrow(struct dst_tallies *tallies, struct mrd_bytes tenant,
                                     uint64_t limit);
void dst_tallies_give_back(struct dst_tallies *tallies, struct dst_tally **tally);

enum dst_tally_answer {
    DST_TALLY_TAKEN,     /* one more series may be introduced, and is counted */
    DST_TALLY_UNCHECKED, /* likewise, because nobody can be asked at present */
    DST_TALLY_ASK,
};
enum dst_tally_answer dst_tally_take(struct dst_tally *tally);

/* Before asking: how many introductions the answer will surely have counted. */
uint64_t dst_tally_mark(struct dst_tallies *tallies, struct dst_tally *tally);

/* What the ingesters have counted, of all partitions, since that mark. The lease begins anew. */
struct dst_tally_report {
    uint64_t mark;
    uint64_t series;
    uint32_t distributors; /* that share what is left, this one included */
};
void dst_tally_report(struct dst_tallies *tallies, struct dst_tally *tally,
                      const struct dst_tally_report *report);

/* Nobody could be asked. */
void dst_tally_open(struct dst_tallies *tallies, struct dst_tally *tally);

/* After a report: introduces up to `wanted` series, and returns how many that may be. */
uint64_t dst_tally_grant(struct dst_tallies *tallies, struct dst_tally *tally, uint64_t wanted);

struct dst_tally_state {
    uint64_t series; /* the last report's */
    uint64_t limit;
};
struct dst_tally_state dst_tally_state(struct dst_tallies *tallies, struct dst_tally *tally);

/* So many bytes of the tenant are to wait for an answer. False if more than bytes_max would, unless they are the only ones. */
bool dst_tally_wait_begin(struct dst_tally *tally, int64_t bytes, int64_t bytes_max);
void dst_tally_wait_end(struct dst_tally *tally, int64_t bytes);

#endif
