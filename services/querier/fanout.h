/* fanout.h: one question to every partition, answered by one replica of each.
 *
 * All partitions are asked at once, with one message to each ingester that is to answer for some of them; the answers are read
 * in the order of the partitions, so that an answer does not depend on who was faster. An ingester that fails in any way (gone,
 * frozen, a lost chunk) is replaced, for the partitions that it has not completed, by others that serve these, from the start
 * of their answers: the reader is told by QRY_FANOUT_RESTART and forgets what is incomplete. A single partition that an
 * ingester no longer has is asked of others likewise. Where an ingester finds that a question is large it leaves partitions
 * to questions of their own, which are then answered at the same time. Without any serving replica for
 * longer than the cluster's unavailable_wait_ms the fan-out fails, or, where a partial answer was
 * asked for, leaves the partition out with a warning. An answer is never silently short.
 *
 * No deadlock: the reader waits for one question only, the one that owes the current partition. That one's chunks were all
 * read, so it has credit; its partitions come in rising order, so what it sends next is of the current one. Questions that
 * are not read stop at their windows, and hold no worker of the ingester while they do (bus/rpc.h), however
 * many selects of however many queries take turns.
 *
 * Owner:   the query that created it.
 * Threads: the query's thread.
 * Memory:  chunks that have arrived and are not read yet: at most the rpc window per question, of which there is one for each
 *          ingester, and 16 for single partitions of large answers.
 */
#ifndef QRY_FANOUT_H
#define QRY_FANOUT_H

#include "promql/source.h"
#include "querier/cluster.h"
#include "wire/query.h"

struct qry_fanout;

struct qry_fanout_options {
    const struct qry_cluster *cluster;
    const struct mrd_query_request *request; /* copied; what it points to is kept */
    const uint64_t *sequences_min;           /* per partition, for strong reads; NULL: none. Kept */
    const uint64_t
        *sequences_first_max; /* per partition: only ingesters whose heads begin there or before,
                                          * which they check (wire/query.h); NULL: all. Kept */
    const uint64_t
        *logs; /* per partition: tags of the logs that these are sequences of; NULL: of any. Kept */
    const struct mrd_log_mark
        *marks; /* per partition, with sequences_first_max; NULL: none. Kept */
    const struct mrd_query_scope *scope; /* copied; what it points to is kept */
    uint32_t partition_first;            /* those before it are not asked */
    uint64_t salt;                       /* spreads queries over replicas */
    bool partial;                        /* partitions without replica become warnings */
};

enum qry_fanout_kind {
    QRY_FANOUT_CHUNK,     /* bytes of the answer of `partition` */
    QRY_FANOUT_RESTART,   /* the answer of `partition` starts over */
    QRY_FANOUT_PARTITION, /* the answer of `partition` is complete, or left out */
    QRY_FANOUT_END        /* all partitions are complete */
};

struct qry_fanout_event {
    enum qry_fanout_kind kind;
    uint32_t partition;
    struct mrd_bytes
        bytes; /* CHUNK; PARTITION: its trailer, none if left out. Until the next call */
};

/* Sends the requests; does not wait. Failures to send show up in next. */
MRD_MUST_CHECK enum mrd_status qry_fanout_create(const struct qry_fanout_options *options,
                                                 struct qry_fanout **out_fanout,
                                                 struct mrd_error *err);

/* Waits for the next event. Errors: those of the ingesters that another replica would give as well
 * (limits, bad requests), MRD_E_UNAVAILABLE, MRD_E_TIMEOUT, MRD_E_CANCELED. */
MRD_MUST_CHECK enum mrd_status qry_fanout_next(struct qry_fanout *fanout,
                                               struct qry_fanout_event *out, struct mrd_error *err);

/* Cancels what still runs. */
void qry_fanout_destroy(struct qry_fanout **fanout);

#endif
