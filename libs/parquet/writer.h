/* writer.h: writes a Parquet file to a sink, front to back.
 *
 * The caller declares columns, appends batches to their leaves, cuts pages and ends row groups where it
 * wants them. Flat columns and lists are one leaf, maps are two (keys, then values); leaves are numbered
 * in the order of the columns. Every row group must have the same rows in every leaf; pages of different leaves need not
 * have the same boundaries, but do if the caller cuts them together.
 *
 * Same calls, same bytes: nothing depends on time, addresses or chance.
 *
 * Owner:   whoever made it; the sink is lent until close.
 * Threads: one at a time.
 * Limits:  a row group is held encoded until it ends, because a column chunk is contiguous in the file and
 *          begins with its dictionary: memory_bytes_max bounds it together with the open pages, the
 *          dictionaries and, apart, the page index of the whole file. More is MRD_E_LIMIT.
 * Errors:  MRD_E_INVALID for a batch that does not fit its leaf leaves the writer unchanged. After any other failure
 *          (limit, sink) the file is not whole and every later call fails.
 */
#ifndef MRD_PARQUET_WRITER_H
#define MRD_PARQUET_WRITER_H

#include "parquet/format.h"
#include "parquet/stats.h"

enum mrd_pq_shape {
    MRD_PQ_FLAT,
    MRD_PQ_LIST, /* 3-level LIST: <name>.list.element */
    MRD_PQ_MAP,  /* <name>.key_value.key (required) and .value */
};

/* The values of one leaf. */
struct mrd_pq_node {
    enum mrd_pq_type type;       /* not INT96, FLOAT */
    enum mrd_pq_meaning meaning; /* RAW, STRING of BYTE_ARRAY, TIMESTAMP_US of INT64 */
    uint32_t fixed_size;
    bool optional;    /* list elements and map values only: may be null */
    int32_t field_id; /* list elements, map keys and values only; -1: none */
    enum mrd_pq_encoding encoding;
    bool
        or_plain; /* each page is PLAIN where that is smaller, compressed; costs a second encoding */
    size_t dictionary_size_max; /* 0: none. Pages after the dictionary is full are in `encoding` */
};

struct mrd_pq_column {
    const char *name;
    enum mrd_pq_shape shape;
    bool optional;          /* the column, or the whole list or map, may be null */
    int32_t field_id;       /* -1: none */
    struct mrd_pq_node key; /* maps only */
    struct mrd_pq_node value;
};

/* Rows of every row group are sorted by this; nobody checks it. */
struct mrd_pq_sorting {
    uint32_t leaf;
    bool descending;
    bool nulls_first;
};

/* Where a page went. Reported when its row group ends, leaf by leaf. */
struct mrd_pq_page_info {
    uint32_t leaf;
    uint32_t row_group;
    uint64_t first_row; /* in the row group */
    uint64_t rows;
    uint64_t offset; /* in the file, of the page's header */
    uint32_t size;   /* header and body */
    uint32_t crc32c; /* of both */
    bool dictionary; /* the dictionary page: comes first, has no rows */
};

struct mrd_pq_sink {
    void *context;
    /* Takes all bytes or fails. */
    enum mrd_status (*write)(void *context, struct mrd_bytes bytes, struct mrd_error *err);
    /* May be NULL. */
    void (*page)(void *context, const struct mrd_pq_page_info *page);
};

struct mrd_pq_compressor;

struct mrd_pq_writer_options {
    const struct mrd_pq_column *columns; /* copied */
    size_t column_count;
    const struct mrd_pq_sorting *sorting; /* copied */
    size_t sorting_count;
    enum mrd_pq_codec codec; /* NONE, SNAPPY, ZSTD */
    int level;               /* zstd: 1 to 19 */
    int page_version;        /* data pages 1 or 2 */
    size_t memory_bytes_max;
    struct mrd_pq_compressor
        *compressor; /* of this codec and level, lent until destroy; NULL: one of its own */
};

struct mrd_pq_writer;

/* Writes the magic. MRD_E_INVALID names the column whose declaration is wrong. */
MRD_MUST_CHECK enum mrd_status mrd_pq_writer_create(const struct mrd_pq_writer_options *options,
                                                    const struct mrd_pq_sink *sink,
                                                    struct mrd_pq_writer **out_writer,
                                                    struct mrd_error *err);
void mrd_pq_writer_destroy(struct mrd_pq_writer **writer);

/* The leaves that the columns make; they live as long as the writer. */
size_t mrd_pq_writer_leaf_count(const struct mrd_pq_writer *writer);
const struct mrd_pq_leaf *mrd_pq_writer_leaf(const struct mrd_pq_writer *writer, size_t leaf);

/* Appends whole rows, `times` times: a batch of one row is cheap to repeat, as labels of a series are.
 * Batches are what mrd_pq_decoder_page gives, so columns can be copied from file to file. */
MRD_MUST_CHECK enum mrd_status mrd_pq_writer_append(struct mrd_pq_writer *writer, size_t leaf,
                                                    const struct mrd_pq_batch *batch, size_t times,
                                                    struct mrd_error *err);

/* Ends the open page of a leaf; nothing if it is empty. Pages never end by themselves before their row group. */
MRD_MUST_CHECK enum mrd_status mrd_pq_writer_cut_page(struct mrd_pq_writer *writer, size_t leaf,
                                                      struct mrd_error *err);

/* Ends all open pages and writes the row group; nothing if it is empty. MRD_E_INVALID if the leaves differ in
 * their rows, or the keys and values of a map in their entries. */
MRD_MUST_CHECK enum mrd_status mrd_pq_writer_end_row_group(struct mrd_pq_writer *writer,
                                                           struct mrd_error *err);

/* Writes bytes of the caller's own behind the row groups that have ended; *out_offset says where. Readers of Parquet go by offsets
 * and pass over them. MRD_E_INVALID while a row group is open. */
MRD_MUST_CHECK enum mrd_status mrd_pq_writer_put_aside(struct mrd_pq_writer *writer,
                                                       struct mrd_bytes bytes, uint64_t *out_offset,
                                                       struct mrd_error *err);

/* Adds to the file's key-value metadata; any time before close, written in the order of the calls. */
MRD_MUST_CHECK enum mrd_status mrd_pq_writer_set(struct mrd_pq_writer *writer, struct mrd_bytes key,
                                                 struct mrd_bytes value, struct mrd_error *err);

/* Bytes in use, of those that memory_bytes_max bounds, the page index aside. */
size_t mrd_pq_writer_memory(const struct mrd_pq_writer *writer);

struct mrd_pq_written {
    uint64_t size;
    uint32_t crc32c; /* of the whole file */
    uint64_t rows;
    uint32_t row_groups;
    uint32_t footer_size; /* with its length and the magic: what a reader gets from the end */
};

/* Ends the row group, writes page index and footer. Only destroy and the questions below may follow. */
MRD_MUST_CHECK enum mrd_status mrd_pq_writer_close(struct mrd_pq_writer *writer,
                                                   struct mrd_pq_written *out_written,
                                                   struct mrd_error *err);

/* What a table format wants to know about the file. After close. */
struct mrd_pq_totals {
    uint64_t stored_size;
    struct mrd_pq_stats stats;
    struct mrd_pq_bounds bounds;
};
struct mrd_pq_totals mrd_pq_writer_totals(const struct mrd_pq_writer *writer, size_t leaf);
uint64_t mrd_pq_writer_row_group_offset(const struct mrd_pq_writer *writer, size_t row_group);

#endif
