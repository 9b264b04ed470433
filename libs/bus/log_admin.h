/* log_admin.h: the partition log's streams, created or verified.
 *
 * Stream MRD_INGEST_<p> per partition, subjects mrd.ingest.<p>.*: file storage, discard new (a full
 * log refuses, it never forgets), a duplicate window. The number of partitions is fixed when the region is made: it
 * stands in the KV bucket MRD_REGION under "log", written with compare-and-set by whoever came
 * first; everyone else reads it and refuses to run with another.
 *
 * Above this library the log has positions: a stream's sequences, and what is added to them since somebody has adopted the stream
 * (log_map.h). All sequences here are positions, but for those that are called the stream's.
 *
 * Several may change a stream at a time, and each keeps what the others have changed; what is left of the moment in which that is not so,
 * log_change_internal.h says.
 *
 * Threads: any. All calls wait for the server, at most timeout_ms for each request: one or two, and where a stream is changed, two for each time that it is
 * written.
 */
#ifndef MRD_BUS_LOG_ADMIN_H
#define MRD_BUS_LOG_ADMIN_H

#include "base/look.h"
#include "bus/connection.h"
#include "bus/log_map.h"
#include "model/log_identity.h"

enum {
    MRD_LOG_PARTITIONS_MAX = 4096,
    MRD_LOG_DUPLICATE_WINDOW_MS_MIN = 120000,
};

struct mrd_log_config {
    const char *region; /* name of the region; the log of one is not opened as another's */
    uint32_t partition_count;
    uint32_t replicas;  /* 1, 3 or 5 */
    int64_t bytes_max;  /* per partition; required: it is what back-pressure comes from */
    int64_t age_ms_max; /* 0: kept until trimmed */
    bool
        age_decides; /* an existing stream that has no age limit gets this one; false: it stays without, for
                       * compactors trim it, and whoever does not know that must not have it forget */
    int64_t duplicate_window_ms; /* 0: the minimum, or the age if that is shorter */
};

/* Creates what is missing and checks what is there. bytes_max, age (see age_decides) and duplicate window of an existing stream are
 * brought to the configured values; anything else that differs (partition count, region, replicas,
 * storage, discard, subjects) is MRD_E_INVALID with a text that says what differs and what to do. MRD_E_UNAVAILABLE:
 * try again. Safe to call from many processes at once. */
MRD_MUST_CHECK enum mrd_status mrd_log_ensure(struct mrd_bus *bus,
                                              const struct mrd_log_config *config,
                                              int64_t timeout_ms, struct mrd_error *err);

struct mrd_log_region {
    char region[64];
    uint32_t partition_count;
};

/* What mrd_log_ensure recorded. MRD_E_NOT_FOUND if the log was never made. */
MRD_MUST_CHECK enum mrd_status mrd_log_region_read(struct mrd_bus *bus, int64_t timeout_ms,
                                                   struct mrd_log_region *out,
                                                   struct mrd_error *err);

struct mrd_log_state {
    struct mrd_log_identity
        identity; /* another stream of the same name has another, and so has one since it was adopted */
    uint64_t sequence_first; /* of an empty log: last + 1 */
    uint64_t sequence_last;  /* the next message comes behind it; 0: nothing was ever written */
    uint64_t stream_first;   /* the stream's own sequences, likewise */
    uint64_t stream_last;
    struct mrd_log_map map; /* from one to the other */
    uint64_t messages;
    uint64_t bytes;
    int64_t bytes_max;
    int64_t age_ms_max; /* 0: nothing is forgotten by age */
};

/* The log's state now, for lag. MRD_E_NOT_FOUND if there is no such stream. */
MRD_MUST_CHECK enum mrd_status mrd_log_state_read(struct mrd_bus *bus, uint32_t partition,
                                                  int64_t timeout_ms, struct mrd_log_state *out,
                                                  struct mrd_error *err);

/* Where all partitions' logs end now, for strong reads, with one round to the server. Looks every 20 ms meanwhile, and ends with what `look`
 * (NULL: none) says. */
struct mrd_log_end {
    struct mrd_log_identity identity;
    uint64_t sequence_last;
};
MRD_MUST_CHECK enum mrd_status mrd_log_ends_read(struct mrd_bus *bus, uint32_t partition_count,
                                                 int64_t timeout_ms, const struct mrd_look *look,
                                                 struct mrd_log_end *out, struct mrd_error *err);

/* What NATS keeps in one file of a log at most, as it sizes them of bytes_max (nats-server's dynBlkSize). A message that was dropped may stay in the
 * file that the first one lies in, until most of that file is dropped: when so many bytes behind it are dropped, it is gone. */
uint64_t mrd_log_file_bytes(int64_t bytes_max);

/* The position of a message that an acknowledgement (log_writer.h) names by the stream's own sequence. */
MRD_MUST_CHECK enum mrd_status mrd_log_position(struct mrd_bus *bus, uint32_t partition,
                                                uint64_t stream_sequence, int64_t timeout_ms,
                                                uint64_t *out_sequence, struct mrd_error *err);

/* The sequence of the last message of a class in the partition's log; 0: there is none. */
MRD_MUST_CHECK enum mrd_status mrd_log_class_last(struct mrd_bus *bus, uint32_t partition,
                                                  const char *residency_class, int64_t timeout_ms,
                                                  uint64_t *out_sequence, struct mrd_error *err);

/* When the log took its entry `sequence`, the server's clock. MRD_E_NOT_FOUND: it has no such entry. Cost: the entry is read. */
MRD_MUST_CHECK enum mrd_status mrd_log_stored_read(struct mrd_bus *bus, uint32_t partition,
                                                   uint64_t sequence, int64_t timeout_ms,
                                                   mrd_time_ms *out_ms, struct mrd_error *err);

/* Takes the age limit from the stream, if it has one: from then on only trimming drops anything. */
MRD_MUST_CHECK enum mrd_status mrd_log_age_clear(struct mrd_bus *bus, uint32_t partition,
                                                 int64_t timeout_ms, struct mrd_error *err);

/* Drops everything before `sequence` of the log that is meant. `erased` is the greatest stamp of the requests to erase that are not in the log afterwards, 0:
 * there are none; it stands with the log before they go (log_map.h). MRD_E_CONFLICT: the partition has another by now, and nothing was dropped. */
MRD_MUST_CHECK enum mrd_status mrd_log_trim(struct mrd_bus *bus, uint32_t partition,
                                            struct mrd_log_identity log, uint64_t sequence,
                                            mrd_hlc erased, int64_t timeout_ms,
                                            struct mrd_error *err);

/* ---- whose log it is ---- */

/* Whether the log has what the mark says: it reaches the marked entry, and if it still has it, took it at that time. *out_why: what speaks
 * against it. Without a mark, and where the entry was trimmed: true. */
MRD_MUST_CHECK enum mrd_status mrd_log_has_mark(struct mrd_bus *bus, uint32_t partition,
                                                const struct mrd_log_state *log,
                                                struct mrd_log_mark mark, int64_t timeout_ms,
                                                bool *out_has, struct mrd_error *out_why,
                                                struct mrd_error *err);

/* The same of the log as it is now. Looks every 20 ms, and ends with what `look` (NULL: none) says. */
MRD_MUST_CHECK enum mrd_status mrd_log_mark_check(struct mrd_bus *bus, uint32_t partition,
                                                  struct mrd_log_mark mark, int64_t timeout_ms,
                                                  const struct mrd_look *look, bool *out_has,
                                                  struct mrd_error *out_why, struct mrd_error *err);

/* The stream's first sequence that was stored after a time; last + 1 if there is none. Cost: some reads of entries. */
MRD_MUST_CHECK enum mrd_status mrd_log_stored_after(struct mrd_bus *bus, uint32_t partition,
                                                    const struct mrd_log_state *log,
                                                    mrd_time_ms time_ms, int64_t timeout_ms,
                                                    uint64_t *out_stream_sequence,
                                                    struct mrd_error *err);

struct mrd_log_adoption {
    struct mrd_log_identity log; /* as it is now; MRD_E_CONFLICT: it is another */
    uint64_t stream_from;        /* messages of the stream from here on ... */
    uint64_t
        sequence; /* ... have this position and what follows, behind all that were given away before */
};
/* Whoever reads the log notices within seconds. Not safe against another adoption at the same time. */
MRD_MUST_CHECK enum mrd_status mrd_log_adopt(struct mrd_bus *bus, uint32_t partition,
                                             const struct mrd_log_adoption *adoption,
                                             int64_t timeout_ms, struct mrd_log_identity *out,
                                             struct mrd_error *err);

#endif
