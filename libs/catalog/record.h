/* record.h: the objects of the catalog as bytes: commits and checkpoints (docs/formats/catalog.md). Both are a header and actions;
 * a checkpoint has those that make its state out of nothing.
 *
 * Threads: plain values. Decoding takes bytes from anywhere.
 */
#ifndef MRD_CATALOG_RECORD_H
#define MRD_CATALOG_RECORD_H

#include "catalog/catalog.h"

enum {
    MRD_CATALOG_NONCE_SIZE = 16,
    MRD_CATALOG_COMMIT_SIZE_MAX = 256 << 20,
    MRD_CATALOG_CHECKPOINT_SIZE_MAX = 1 << 30,
};

enum cat_record_kind { CAT_COMMIT = 1, CAT_CHECKPOINT = 2 };

struct cat_header {
    enum cat_record_kind kind;
    uint64_t number;
    mrd_time_ms time_ms;
    struct mrd_bytes writer; /* of commits; checkpoints are the same whoever writes them */
    uint8_t nonce[MRD_CATALOG_NONCE_SIZE]; /* likewise */
};

enum cat_action_kind {
    CAT_ADD = 1,
    CAT_REMOVE = 2,
    CAT_BUILT = 3,
    CAT_TABLE = 4,
    CAT_GONE = 5, /* checkpoints only */
    CAT_PURGED = 6,
    CAT_ERASURE = 7,
    CAT_SETTLED = 8,
    CAT_DONE = 9,
    CAT_ERASING = 10, /* checkpoints only */
    CAT_RECEIPT = 11, /* checkpoints only */
    CAT_LOG = 12,
    CAT_GRACE = 13,
    CAT_GRACE_HELD = 14, /* checkpoints only */
};

/* An erasure whose sequences are still varints, `partition_count` of them. */
struct cat_erasure_action {
    struct mrd_catalog_erasure_change change; /* but the sequences */
    struct mrd_bytes sequences;
};

/* An erasure that is not done, as a checkpoint has it. Ids are still texts. */
struct cat_erasing_action {
    struct cat_erasure_action erasure;
    mrd_time_ms since_ms;
    uint64_t changed;
    mrd_time_ms changed_ms;
    uint64_t blocks;
    uint64_t samples;
    size_t owed_count;
    struct mrd_bytes owed;
    size_t leaving_count;
    struct mrd_bytes leaving;
};

struct cat_action {
    enum cat_action_kind kind;
    struct mrd_bytes entry; /* ADD: encoded */
    struct mrd_bytes id;    /* REMOVE, PURGED */
    struct mrd_catalog_built_change built;
    struct mrd_catalog_table_change table;
    struct mrd_catalog_gone gone;
    struct cat_erasure_action erasure;
    struct mrd_catalog_settled settled;
    struct mrd_id128 done;
    struct cat_erasing_action erasing;
    struct mrd_catalog_receipt receipt;
    struct mrd_catalog_log_change log;
    struct mrd_catalog_grace grace; /* GRACE: its time only */
};

/* The next of the ids of an ERASING action. */
struct mrd_bytes cat_record_id(struct mrd_reader *ids);

void cat_record_begin(struct mrd_buf *out, const struct cat_header *header);
void cat_record_add(struct mrd_buf *out, const struct cat_action *action);
/* Ends the record. Check out->failed. */
void cat_record_end(struct mrd_buf *out);

/* Checks size, CRC, version and header; the reader then stands before the actions. Views into `bytes`. */
MRD_MUST_CHECK enum mrd_status cat_record_open(struct mrd_bytes bytes, struct cat_header *out,
                                               struct mrd_reader *out_actions,
                                               struct mrd_error *err);

/* The next action; call it while mrd_reader_left(actions) > 0. */
MRD_MUST_CHECK enum mrd_status cat_record_next(struct mrd_reader *actions,
                                               enum cat_record_kind kind, struct cat_action *out,
                                               struct mrd_error *err);

#endif
