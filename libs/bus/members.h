/* members.h: who is alive, without a coordinator.
 *
 * Every service puts a record of itself into the KV bucket MRD_MEMBERS once a second and at each
 * change. Others see the puts as they are made (they are plain NATS messages on
 * $KV.MRD_MEMBERS.<instance>, so watching needs no consumer that a server could lose) and read the
 * bucket once at start. A member is gone when its record says so (clean stop) or when nothing was heard of it for
 * MRD_MEMBERS_EXPIRE_MS *by our own monotonic clock*: clocks of other machines do not matter.
 * While the connection is away nobody expires: silence then says nothing about others.
 *
 * Threads: any. on_change is called on the members' own thread, without locks held.
 */
#ifndef MRD_BUS_MEMBERS_H
#define MRD_BUS_MEMBERS_H

#include "bus/connection.h"
#include "bus/link.h"
#include "model/log_identity.h"

enum {
    MRD_MEMBERS_BEAT_MS = 1000,
    MRD_MEMBERS_EXPIRE_MS = 5000,
    MRD_MEMBERS_MAX = 1024, /* records of more are ignored (and counted) */
    MRD_MEMBER_TEXT_MAX = 64,
};

enum mrd_member_kind {
    MRD_MEMBER_DISTRIBUTOR = 1,
    MRD_MEMBER_INGESTER = 2,
    MRD_MEMBER_QUERIER = 3,
    MRD_MEMBER_COMPACTOR = 4,
};

enum mrd_partition_state {
    MRD_PARTITION_NONE = 0,
    MRD_PARTITION_LOADING = 1, /* replaying: do not ask it yet, unless nobody else serves */
    MRD_PARTITION_SERVING = 2,
};

struct mrd_member_partition {
    uint32_t partition;
    enum mrd_partition_state state;
    uint64_t sequence;       /* applied */
    uint64_t sequence_first; /* the head holds the log wholly from here on; 0: not known */
    struct mrd_log_identity
        log; /* whose sequences these are; not known: of no log that others could name */
};

struct mrd_member {
    enum mrd_member_kind kind;
    char instance[MRD_MEMBER_TEXT_MAX]; /* unique; one subject token; also where queries go */
    char zone[MRD_MEMBER_TEXT_MAX];
    char ops_address[MRD_MEMBER_TEXT_MAX]; /* host:port */
    bool leaving;                          /* draining: serves still, takes no new partitions */
    uint64_t incarnation; /* random per process: a restart under the same name shows */
    struct mrd_link link; /* where it takes direct connections */
    bool reads_blocks;    /* a querier's: what the log is trimmed of it finds in blocks */
    mrd_time_ms
        block_grace_ms; /* a compactor's: files of blocks that have gone stay for so long; 0: not known */
    mrd_time_ms
        references_kept_ms; /* a compactor's that trims: announcements stay for so long after their last use; 0: not known */
    const struct mrd_member_partition *partitions; /* ascending */
    size_t partition_count;
};

struct mrd_members;

struct mrd_members_options {
    const struct mrd_member *self; /* copied; NULL: only looks */
    uint32_t replicas;             /* of the bucket, if this process creates it; 0: 1 */
    int64_t beat_ms;               /* 0: MRD_MEMBERS_BEAT_MS */
    int64_t expire_ms;             /* 0: MRD_MEMBERS_EXPIRE_MS */
    const struct mrd_clock *clock; /* NULL: the system's */
    /* Something in the snapshot changed: someone came, left, or changed its record (applied sequences alone do not count). */
    void (*on_change)(void *context);
    void *context;
};

MRD_MUST_CHECK enum mrd_status mrd_members_create(struct mrd_bus *bus,
                                                  const struct mrd_members_options *options,
                                                  struct mrd_members **out_members,
                                                  struct mrd_error *err);

/* Replaces our own record and sends it now, but at the next beat if only applied sequences changed. The instance must stay. */
void mrd_members_update(struct mrd_members *members, const struct mrd_member *self);

/* The members of now, ourselves included, ordered by instance: immutable, counted. Never NULL. */
struct mrd_members_snapshot {
    const struct mrd_member *members;
    size_t count;
    uint64_t version; /* grows with each on_change */
    bool
        settled; /* the bucket was read and one expiry time has passed: whoever is alive has been heard */
};
const struct mrd_members_snapshot *mrd_members_acquire(struct mrd_members *members);
void mrd_members_release(const struct mrd_members_snapshot **snapshot);

/* Says goodbye (others drop us at once), stops and frees. Snapshots stay valid until released. */
void mrd_members_destroy(struct mrd_members **members);

/* Whether the others hear us, as far as it can be known here: our own beats come back to us. */
struct mrd_members_standing {
    bool heard; /* a beat that was sent within the expiry time, less a beat, has come back */
    uint64_t
        lapses; /* how often that was not so for a while: others may have dropped us then, and gone on without us */
};
struct mrd_members_standing mrd_members_standing(struct mrd_members *members);

/* ---- ownership ---- */

enum { MRD_RING_REPLICAS_MAX = 8 };

/* Rendezvous hashing (Thaler and Ravishankar 1998): every member computes the same owners of a partition from the
 * same set of names; when one comes or goes only its own share moves. Writes the indexes into
 * names[0..count) of the min(replicas, count) owners, best first, and returns how many.
 * Names must be unique. A pure function; cost: one hash per name. */
size_t mrd_ring_owners(const char *const *names, size_t count, uint32_t partition, size_t replicas,
                       size_t out[MRD_RING_REPLICAS_MAX]);

#endif
