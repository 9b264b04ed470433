/* catalog.h: which blocks and tables a region has: a chain of commits in object storage.
 *
 *     catalog/00000000000000000042              what commit 42 changes
 *     catalog/00000000000000000064.checkpoint   all that stands after commit 64
 *     catalog/HEAD                              the number of a late checkpoint, a hint
 *
 * Commit N+1 is made by putting that object where none is (mrd_objstore_put_if_absent): whoever comes first has made
 * it, all others read it, look whether what they want still makes sense, and try the number behind it. So that put is the one
 * moment at which blocks come and go, the log counts as built and tables change, all together or not at
 * all. docs/formats/catalog.md has the bytes.
 *
 * Order of writes: files of blocks and tables first, then the commit that names them, then whatever their being committed
 * allows (trimming the log, deleting inputs). A crash in between leaves files that no commit names;
 * mrd_catalog_sweep removes them.
 *
 * Owner:   whoever opened it. The store is lent.
 * Threads: any. Refreshes, commits and sweeps of one catalog wait for each other; pins wait for nobody.
 * Memory:  memory_bytes_max for a state; beyond it the catalog cannot be read (MRD_E_LIMIT).
 * Errors:  those of the store as they come; MRD_E_CORRUPT names the object; MRD_E_UNSUPPORTED: written by a later version.
 */
#ifndef MRD_CATALOG_CATALOG_H
#define MRD_CATALOG_CATALOG_H

#include "base/clock.h"
#include "catalog/state.h"
#include "objstore/store.h"

struct mrd_catalog;

enum {
    MRD_CATALOG_CHECKPOINT_EVERY = 64,
    MRD_CATALOG_WRITER_SIZE_MAX = 128,
    MRD_CATALOG_NAME_SIZE_MAX = 1024, /* of tenants, tables and keys */
    MRD_CATALOG_ERASURES_MAX = 1024,  /* that are not done */
    MRD_CATALOG_PARTITIONS_MAX = 4096,
    MRD_CATALOG_DIGEST_SIZE = 64,
};
#define MRD_CATALOG_GRACE_MS ((mrd_time_ms)24 * 3600 * 1000)
#define MRD_CATALOG_GRACE_MS_MIN ((mrd_time_ms)60 * 1000)
#define MRD_CATALOG_GRACE_MS_MAX ((mrd_time_ms)1000000000000)

struct mrd_catalog_options {
    struct mrd_objstore *store;
    const struct mrd_clock *clock; /* NULL: the system's */
    const char *writer;            /* name of this process, stands in its commits; NULL: "" */
    uint32_t checkpoint_every;     /* commits; 0: MRD_CATALOG_CHECKPOINT_EVERY */
    mrd_time_ms grace_ms;    /* where the catalog does not say its own; 0: MRD_CATALOG_GRACE_MS */
    size_t memory_bytes_max; /* 0: 1 GiB */
};

/* Reads the newest state. An empty store has an empty catalog. */
MRD_MUST_CHECK enum mrd_status mrd_catalog_open(const struct mrd_catalog_options *options,
                                                const struct mrd_objstore_control *control,
                                                struct mrd_catalog **out_catalog,
                                                struct mrd_error *err);
/* Pinned states stay. */
void mrd_catalog_close(struct mrd_catalog **catalog);

/* The grace in force, by the state that was read last: what bounds those who write files, or go by an old state. */
mrd_time_ms mrd_catalog_grace_ms(struct mrd_catalog *catalog);

/* How long files and commits that are needed no more have to stay all the same, and how long somebody may be at work who goes by an older state: the
 * grace, and where it was made shorter lately the one before. */
mrd_time_ms mrd_catalog_kept_ms(struct mrd_catalog *catalog);

/* The state that was read last. Never NULL, costs nothing. */
struct mrd_catalog_state *mrd_catalog_pin(struct mrd_catalog *catalog);

/* Reads the commits made since: a small request each, one that finds none, and one for the hint. */
MRD_MUST_CHECK enum mrd_status mrd_catalog_refresh(struct mrd_catalog *catalog,
                                                   const struct mrd_objstore_control *control,
                                                   struct mrd_error *err);

/* ---- committing ---- */

struct mrd_catalog_built_change {
    uint32_t partition;
    uint64_t from; /* what must be built before; 0: nothing */
    uint64_t to;
    /* Which log that is, and when it took the entry at `to`. The catalog must know no other log of the partition. */
    struct mrd_log_identity log;
    mrd_time_ms stored_ms;
};

/* Another log is the partition's from now on, whose positions go on behind what is built. */
struct mrd_catalog_log_change {
    uint32_t partition;
    uint64_t built;               /* what must be built */
    struct mrd_log_identity from; /* what the log must be, unless none is known */
    struct mrd_log_identity to;
    mrd_time_ms stored_ms; /* as before */
};

struct mrd_catalog_table_change {
    struct mrd_bytes tenant;
    struct mrd_bytes name;
    struct mrd_bytes
        from_key; /* what must be its metadata before; empty: there must be no such table */
    struct mrd_bytes to_key; /* empty: the table goes */
};

/* A request that the log has in all partitions, at `sequences`: none of them may be built up to there yet, so that what is in blocks now
 * stands before it. If it is, the request has to be made again. */
struct mrd_catalog_erasure_change {
    struct mrd_id128 id;
    struct mrd_bytes tenant;
    mrd_hlc hlc;
    mrd_time_ms time_min_ms;
    mrd_time_ms time_max_ms;
    struct mrd_bytes request_key;
    struct mrd_bytes request_digest;
    const uint64_t *sequences; /* at least 1 each */
    uint32_t partition_count;  /* 1 to MRD_CATALOG_PARTITIONS_MAX */
};

/* What was done about an erasure in a block that is owed. With samples, the block is removed in the same commit and has a successor without them; with 0
 * it had none, and may stay. */
struct mrd_catalog_settled {
    struct mrd_id128 erasure;
    struct mrd_bytes block;
    uint64_t samples;
};

/* All of it or nothing. Lent for the call. */
struct mrd_catalog_change {
    const struct mrd_block_entry *add; /* their ids must not be there, nor among those gone */
    size_t add_count;
    const struct mrd_bytes
        *remove; /* ids that must be there, and that no erasure is owed by but those settled here */
    size_t remove_count;
    const struct mrd_catalog_settled *settled; /* blocks must be owed */
    size_t settled_count;
    const struct mrd_catalog_erasure_change *erasures; /* their ids must be new */
    size_t erasure_count;
    /* Ids of erasures that end in a receipt: nothing may be owed nor leaving, and the log must be built past them. */
    const struct mrd_id128 *done;
    size_t done_count;
    const struct mrd_catalog_built_change *built;
    size_t built_count;
    const struct mrd_catalog_log_change *logs;
    size_t log_count;
    const struct mrd_catalog_table_change *tables;
    size_t table_count;
    mrd_time_ms
        grace_ms; /* the catalog's grace from now on, from _MIN to _MAX; 0: it stays what it is */
    mrd_time_ms begun_ms; /* when the first file that it names was begun; 0: it names none */
};

/* MRD_OK: it is committed, now or by an earlier call with the same change whose answer was lost, and
 * the catalog's state has it. MRD_E_CONFLICT: what it demands is not so, or its files are so old (half the grace) that a sweep may
 * take them: nothing was committed; look at the state and decide again. MRD_E_INVALID: makes no sense in any state. After MRD_E_UNAVAILABLE, MRD_E_TIMEOUT or
 * MRD_E_CANCELED it may or may not be committed: call again with the same change. */
MRD_MUST_CHECK enum mrd_status mrd_catalog_commit(struct mrd_catalog *catalog,
                                                  const struct mrd_catalog_change *change,
                                                  const struct mrd_objstore_control *control,
                                                  struct mrd_error *err);

/* Writes a checkpoint of the newest state if it has none, so that in a grace from now the chain begins there. */
MRD_MUST_CHECK enum mrd_status mrd_catalog_checkpoint(struct mrd_catalog *catalog,
                                                      const struct mrd_objstore_control *control,
                                                      struct mrd_error *err);

/* The number of the oldest commit or checkpoint that is stored; what was removed by commits up to it stands nowhere in the chain. 0: there is
 * none. */
MRD_MUST_CHECK enum mrd_status mrd_catalog_oldest(struct mrd_catalog *catalog,
                                                  const struct mrd_objstore_control *control,
                                                  uint64_t *out_number, struct mrd_error *err);

/* ---- sweeping ---- */

struct mrd_catalog_swept {
    uint64_t commits;   /* objects of the catalog itself that a checkpoint has made needless */
    uint64_t gone;      /* blocks removed from the catalog whose files are deleted now */
    uint64_t abandoned; /* files that no commit names */
};

/* Deletes what nobody needs for as long as the grace: old commits, files of removed blocks, and among the keys that begin with
 * blocks_prefix those that no commit names. May be called by many processes at once and broken off anywhere. */
MRD_MUST_CHECK enum mrd_status mrd_catalog_sweep(struct mrd_catalog *catalog,
                                                 const char *blocks_prefix,
                                                 const struct mrd_objstore_control *control,
                                                 struct mrd_catalog_swept *out,
                                                 struct mrd_error *err);

/* The same, but for files of removed blocks that somebody else needs still, such as a snapshot of a table; these blocks stay among
 * those gone. */
struct mrd_catalog_needed {
    bool (*is_needed)(void *context, struct mrd_bytes data_key);
    /* Told of the keys under blocks_prefix that no commit names and that stay, as they are too young. May be NULL. */
    void (*unnamed)(void *context, const char *key, mrd_time_ms modified_ms);
    void *context;
};
MRD_MUST_CHECK enum mrd_status mrd_catalog_sweep_except(struct mrd_catalog *catalog,
                                                        const char *blocks_prefix,
                                                        const struct mrd_catalog_needed *needed,
                                                        const struct mrd_objstore_control *control,
                                                        struct mrd_catalog_swept *out,
                                                        struct mrd_error *err);

struct mrd_catalog_stats {
    uint64_t commits;             /* of ours */
    uint64_t lost;                /* races for a number that another writer won */
    uint64_t checkpoints;         /* of ours */
    uint64_t checkpoint_failures; /* the next commits try again */
};
void mrd_catalog_stats(struct mrd_catalog *catalog, struct mrd_catalog_stats *out);

#endif
