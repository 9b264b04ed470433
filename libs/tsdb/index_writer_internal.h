/* index_writer_internal.h: puts the index of a block together from series in the order of their labels.
 *
 * Owner: mrd_tsdb_index_writer_fini. Memory: block_writer.h.
 */
#ifndef MRD_TSDB_INDEX_WRITER_INTERNAL_H
#define MRD_TSDB_INDEX_WRITER_INTERNAL_H

#include "base/interner.h"
#include "model/labels.h"
#include "tsdb/file_internal.h"
#include "tsdb/index.h"

struct mrd_tsdb_index_writer {
    struct mrd_interner symbols;
    struct mrd_interner pairs;  /* two numbers of symbols each: a name and a value */
    struct mrd_buf pair_counts; /* uint32_t: in how many series */
    struct mrd_tsdb_file
        spool; /* for each series its size, and its entry with numbers of symbols and pairs */
    struct mrd_buf scratch;
    uint64_t series_count;
    uint64_t label_count; /* of all series */
    size_t memory_bytes_max;
};

/* The spool is a file in `folder`. */
MRD_MUST_CHECK enum mrd_status mrd_tsdb_index_writer_init(struct mrd_tsdb_index_writer *writer,
                                                          const char *folder,
                                                          size_t memory_bytes_max,
                                                          struct mrd_error *err);
void mrd_tsdb_index_writer_fini(struct mrd_tsdb_index_writer *writer);

/* MRD_E_LIMIT: the memory. */
MRD_MUST_CHECK enum mrd_status mrd_tsdb_index_writer_add(struct mrd_tsdb_index_writer *writer,
                                                         struct mrd_labels labels,
                                                         const struct mrd_tsdb_chunk_meta *chunks,
                                                         size_t chunk_count, struct mrd_error *err);

/* Writes <folder>/index and waits for the disk; removes the spool. */
MRD_MUST_CHECK enum mrd_status mrd_tsdb_index_writer_finish(struct mrd_tsdb_index_writer *writer,
                                                            const char *folder,
                                                            struct mrd_error *err);

#endif
