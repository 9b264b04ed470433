/* writer_internal.h: the parts of a writer. writer.c has its life and the schema, writer_append.c batches
 * to open pages, writer_page.c open pages to encoded ones, writer_group.c row groups to the sink,
 * writer_footer.c what stands at the end of the file.
 */
#ifndef MRD_PARQUET_WRITER_INTERNAL_H
#define MRD_PARQUET_WRITER_INTERNAL_H

#include "parquet/compress.h"
#include "parquet/dictionary.h"
#include "parquet/writer.h"

/* An encoded page of the open row group. */
struct pq_page {
    uint64_t at; /* in the leaf's `pages` */
    uint64_t first_row;
    uint64_t rows;
    uint32_t size;
    uint32_t encoding;
    struct mrd_pq_stats stats;
};

/* A column chunk that is in the file. */
struct pq_chunk {
    uint64_t offset;
    uint64_t data_offset;
    uint64_t stored_size;
    uint64_t plain_size;
    bool has_dictionary;
    uint32_t dictionary_crc32c; /* of its page */
    uint32_t pages_of[MRD_PQ_ENCODING_COUNT];
    struct mrd_pq_stats stats;
    /* where in the writer's index buffers */
    size_t column_index_at, column_index_size; /* size 0: none */
    size_t offset_index_at, offset_index_size;
};

struct pq_leaf {
    struct mrd_pq_leaf leaf; /* path is `path` */
    char *path;
    struct mrd_pq_node node;
    uint8_t list_def; /* definition level of the repeated node: from it on an entry is an element */

    /* the open page */
    struct mrd_buf raw;     /* values as in struct mrd_pq_raw */
    struct mrd_buf sizes;   /* int32_t, MRD_PQ_BYTE_ARRAY */
    struct mrd_buf indices; /* uint32_t, while the dictionary takes values */
    struct mrd_buf def;
    struct mrd_buf rep;
    size_t values; /* in raw; not those in indices */
    uint64_t rows;
    struct mrd_pq_stats stats;

    /* the open row group */
    struct mrd_pq_dictionary dictionary;
    bool dictionary_full;
    struct mrd_buf pages;      /* encoded, end to end */
    struct mrd_buf page_table; /* struct pq_page */
    uint64_t group_rows;
    uint64_t group_plain_size;
    bool in_map;
    uint64_t shape; /* a sum over the levels of lists: equal for keys and values of a map */

    size_t memory; /* what of the writer's memory is this leaf's */
    uint64_t stored_size;
    struct mrd_pq_stats file_stats;
};

struct pq_group {
    uint64_t offset;
    uint64_t rows;
    size_t first_chunk; /* leaf_count from there in `chunks` */
};

struct mrd_pq_writer {
    struct mrd_pq_sink sink;
    struct mrd_pq_column *columns; /* names are ours too */
    size_t column_count;
    struct mrd_pq_sorting *sorting;
    size_t sorting_count;
    struct pq_leaf *leaves;
    size_t leaf_count;
    struct mrd_pq_compressor *compressor; /* ours or lent */
    struct mrd_pq_compressor *own;        /* or NULL */
    enum mrd_pq_codec codec;
    int page_version;
    size_t memory_max;
    size_t memory;
    bool broken; /* something failed half-way, or closed */

    struct mrd_buf groups;         /* struct pq_group */
    struct mrd_buf chunks;         /* struct pq_chunk */
    struct mrd_buf column_indexes; /* thrift */
    struct mrd_buf offset_indexes;
    struct mrd_buf metadata; /* key-values as pairs of size (u32) and bytes */
    uint32_t metadata_count;

    /* scratch for one page */
    struct mrd_buf levels;
    struct mrd_buf body;
    struct mrd_buf other_body;
    struct mrd_buf stored;
    struct mrd_buf other_stored;

    uint64_t offset; /* in the file */
    uint32_t crc32c;
    uint64_t rows;
};

static inline struct pq_page *pq_pages(const struct pq_leaf *leaf, size_t *out_count)
{
    *out_count = leaf->page_table.size / sizeof(struct pq_page);
    return (struct pq_page *)(void *)leaf->page_table.data;
}

/* Writes to the sink and counts. */
enum mrd_status pq_emit(struct mrd_pq_writer *writer, struct mrd_bytes bytes,
                        struct mrd_error *err);

/* Moves indices of the open page to values, when the dictionary is full. */
enum mrd_status pq_leave_dictionary(struct mrd_pq_writer *writer, struct pq_leaf *leaf,
                                    struct mrd_error *err);

/* Recounts a leaf's memory; MRD_E_LIMIT if the writer's is spent. */
enum mrd_status pq_account(struct mrd_pq_writer *writer, struct pq_leaf *leaf,
                           struct mrd_error *err);

/* Encodes the open page to `pages`. */
enum mrd_status pq_encode_page(struct mrd_pq_writer *writer, struct pq_leaf *leaf,
                               struct mrd_error *err);

/* The dictionary page, header and body, appended to `out`; its plain size with the header is returned. */
size_t pq_encode_dictionary(struct mrd_pq_writer *writer, struct pq_leaf *leaf,
                            struct mrd_buf *out);

/* Appends the indexes of a chunk's pages; fills its positions in the buffers. */
void pq_write_indexes(struct mrd_pq_writer *writer, const struct pq_leaf *leaf,
                      struct pq_chunk *chunk);

/* Appends the footer (thrift). column_index_base and offset_index_base are where the buffers are in the file. */
void pq_write_footer(const struct mrd_pq_writer *writer, uint64_t column_index_base,
                     uint64_t offset_index_base, struct mrd_buf *out);

/* No memory, or the limit: the writer is of no use any more. */
enum mrd_status pq_out_of_memory(struct mrd_pq_writer *writer, struct mrd_error *err);

#endif
