/* build_internal.h: what the files of the role "build" share. */
#ifndef CMP_BUILD_INTERNAL_H
#define CMP_BUILD_INTERNAL_H

#include "bus/log_admin.h"
#include "catalog/request.h"
#include "compactor/build.h"

enum { BUILD_MARKS_MAX = 256 };

/* When an entry of the log was stored. */
struct build_mark {
    uint64_t sequence;
    mrd_time_ms stored_ms;
};

/* Of the role's thread, but for what is atomic (relaxed: figures and wishes). */
struct build_partition {
    uint32_t number;
    struct mrd_lease *lease;     /* NULL: another builds it, or nobody */
    struct cmp_builder *builder; /* NULL: nothing was read yet */
    int64_t waiting_since_ns;    /* entries have been waiting to be built; 0: none */
    int64_t retry_ns;
    mrd_time_ms pause_ms;
    uint64_t samples_max;        /* of a range, after one that was too large; 0: the limit's */
    struct mrd_log_identity log; /* that is built; not known: not looked yet */
    uint64_t
        sure; /* generation of the connection in which it was found to have what is built; 0: none */
    struct mrd_log_identity
        went_back;   /* that has ended before what is built: not built before somebody has looked */
    int64_t trim_ns; /* when to look next */
    int64_t age_ns;  /* likewise, for how old the oldest is that is not built */
    struct build_mark marks[BUILD_MARKS_MAX]; /* ascending, some of the entries that were read */
    size_t mark_count;
    struct build_mark last; /* entry that was read; sequence 0: none was */

    _Atomic uint64_t wanted;
    _Atomic bool held;
    _Atomic uint64_t built;
    _Atomic uint64_t log_last;
    _Atomic uint64_t memory;
    _Atomic int64_t waiting_ns;    /* waiting_since_ns, for others */
    _Atomic uint64_t log_permille; /* how full the log is */
    _Atomic uint64_t age_permille; /* how near the log is to forgetting what is not built */
};

struct cmp_build {
    struct cmp_build_options options;
    struct cmp_build_figures figures;
    struct mrd_counter *partition_failures;
    struct mrd_counter *trimmed;
    struct build_partition *partitions;
    uint32_t next;                         /* partition that the next round begins with */
    _Atomic size_t blind;                  /* queriers that read no blocks, as of this round */
    bool store_unusable;                   /* of this round: what is built cannot be stored */
    struct mrd_catalog_requests *requests; /* to erase, that were open at the last look; or NULL */
};

void cmp_build_metrics_init(struct cmp_build *build);

uint64_t cmp_build_built(struct mrd_catalog *catalog, uint32_t partition);

/* All that the catalog says of a partition. */
struct mrd_catalog_built cmp_build_known(struct mrd_catalog *catalog, uint32_t partition);

/* Whether sequences of this log mean what the catalog means: it is the one that is built, and has what was built last. MRD_OK and *out_why has MRD_OK
 * too: they do. Else *out_why says what speaks against it. */
MRD_MUST_CHECK enum mrd_status cmp_build_compare(struct mrd_bus *bus,
                                                 const struct mrd_catalog_built *built,
                                                 const struct mrd_log_state *log,
                                                 struct mrd_error *out_why, struct mrd_error *err);

/* After reading, and before anything is dropped: whether the log still is the one that was looked at, and has what is built. */
MRD_MUST_CHECK enum mrd_status cmp_build_check_again(const struct cmp_environment *environment,
                                                     struct build_partition *partition,
                                                     struct mrd_error *err);

/* ---- trimming (build_trim.c) ---- */

/* An entry was read. */
void cmp_build_mark(const struct cmp_build *build, struct build_partition *partition,
                    uint64_t sequence, mrd_time_ms stored_ms);

/* Queriers that cannot find in blocks what the log is trimmed of. */
void cmp_build_look_at_queriers(struct cmp_build *build,
                                const struct mrd_members_snapshot *snapshot);

/* Where trimming is on, takes the stream's age limit away. Else it says how near the limit is to what is not built. */
MRD_MUST_CHECK enum mrd_status cmp_build_guard_age(const struct cmp_build *build,
                                                   const struct cmp_environment *environment,
                                                   struct build_partition *partition,
                                                   const struct mrd_log_state *log, uint64_t built,
                                                   struct mrd_error *err);

/* Drops from the log what nobody needs there any more, if that is on and due. `log` was read at `looked_ms` or later. */
MRD_MUST_CHECK enum mrd_status cmp_build_trim(struct cmp_build *build,
                                              const struct cmp_environment *environment,
                                              struct build_partition *partition,
                                              const struct mrd_log_state *log,
                                              mrd_time_ms looked_ms, struct mrd_error *err);

#endif
