/* log_admin.h: the partition log's streams, created or verified.
 *
 * Stream MRD_INGEST_<p> per partition, subjects mrd.ingest.<p>.*: file storage, discard new (a full
 * log refuses, it never forgets), a duplicate window. The number of partitions is fixed when the region is made: it
 * stands in the KV bucket MRD_REGION under "log", written with compare-and-set by whoever came
 * first; everyone else reads it and refuses to run with another.
 *
 * Threads: any. All calls wait for the server, at most timeout_ms each.
 */
#ifndef MRD_BUS_LOG_ADMIN_H
#define MRD_BUS_LOG_ADMIN_H

#include "bus/connection.h"

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
    uint64_t sequence_first; /* of an empty log: last + 1 */
    uint64_t sequence_last;  /* 0: nothing was ever written */
    uint64_t messages;
    uint64_t bytes;
    int64_t bytes_max;
    int64_t age_ms_max; /* 0: nothing is forgotten by age */
    int64_t
        created_ns; /* when the stream was made, the server's clock: another stream of the same name has another */
};

/* The log's state now, for strong reads and lag. MRD_E_NOT_FOUND if there is no such stream. */
MRD_MUST_CHECK enum mrd_status mrd_log_state_read(struct mrd_bus *bus, uint32_t partition,
                                                  int64_t timeout_ms, struct mrd_log_state *out,
                                                  struct mrd_error *err);

/* What NATS keeps in one file of a log at most, as it sizes them of bytes_max (nats-server's dynBlkSize). A message that was dropped may stay in the
 * file that the first one lies in, until most of that file is dropped: when so many bytes behind it are dropped, it is gone. */
uint64_t mrd_log_file_bytes(int64_t bytes_max);

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

/* Drops everything before `sequence`. */
MRD_MUST_CHECK enum mrd_status mrd_log_trim(struct mrd_bus *bus, uint32_t partition,
                                            uint64_t sequence, int64_t timeout_ms,
                                            struct mrd_error *err);

#endif
