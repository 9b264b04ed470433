/* footer.h: what a Parquet file says about itself at its end, and the page index.
 *
 * Owner:   the arena that was passed in; every pointer here is valid as long as it is.
 * Threads: pure functions of their bytes; the result may be read by many threads.
 * Limits:  the arena's. Numbers in the file bound no allocation by themselves.
 * Errors:  MRD_E_CORRUPT, MRD_E_UNSUPPORTED (encryption, nesting beyond MRD_PQ_LEVEL_MAX), MRD_E_LIMIT.
 */
#ifndef MRD_PARQUET_FOOTER_H
#define MRD_PARQUET_FOOTER_H

#include "base/arena.h"
#include "parquet/format.h"

/* Statistics as their writer gave them. Bounds are in the leaf's PLAIN form, byte arrays without a length. The
 * deprecated fields, whose order nobody defined, are not looked at. */
struct mrd_pq_chunk_stats {
    bool has_nulls;
    uint64_t nulls;
    bool has_min, has_max;
    bool min_exact, max_exact; /* false too where the writer did not say */
    struct mrd_bytes min, max;
};

/* A column chunk: one leaf in one row group. */
struct mrd_pq_chunk {
    uint32_t codec;
    uint64_t entries;
    uint64_t offset; /* of the first page, dictionary included */
    uint64_t size;
    uint64_t dictionary_offset; /* 0: none said */
    uint64_t data_offset;
    uint64_t offset_index_offset; /* 0: none */
    uint32_t offset_index_size;
    uint64_t column_index_offset; /* 0: none */
    uint32_t column_index_size;
    struct mrd_pq_chunk_stats stats;
};

struct mrd_pq_row_group {
    uint64_t rows;
    uint64_t first_row;          /* in the file */
    struct mrd_pq_chunk *chunks; /* one per leaf */
};

struct mrd_pq_key_value {
    struct mrd_bytes key;
    struct mrd_bytes value;
};

struct mrd_pq_footer {
    uint64_t rows;
    struct mrd_pq_leaf *leaves;
    size_t leaf_count;
    struct mrd_pq_row_group *row_groups;
    size_t row_group_count;
    struct mrd_pq_key_value *metadata;
    size_t metadata_count;
    struct mrd_bytes created_by;
};

/* Parses the thrift bytes of a footer (without length and magic) of a file of file_size bytes. Checked: the schema
 * is a tree, every row group has every leaf with the type it has in the schema, everything that is said to be in
 * the file is inside it, rows add up. */
MRD_MUST_CHECK enum mrd_status mrd_pq_footer_read(struct mrd_bytes bytes, uint64_t file_size,
                                                  struct mrd_arena *arena,
                                                  struct mrd_pq_footer **out_footer,
                                                  struct mrd_error *err);

/* Where a data page lies. Rows are known from an offset index, and without one where each entry is a row. */
struct mrd_pq_page_location {
    uint64_t offset; /* in the file, of the page's header */
    uint32_t size;   /* header and body */
    bool rows_known;
    uint64_t first_row; /* in the row group */
    uint64_t rows;
};

/* Parses an OffsetIndex. Pages must lie in the chunk, one after the other, and rows must rise to those of the
 * row group. */
MRD_MUST_CHECK enum mrd_status mrd_pq_offset_index_read(struct mrd_bytes bytes,
                                                        const struct mrd_pq_chunk *chunk,
                                                        uint64_t rows, struct mrd_arena *arena,
                                                        struct mrd_pq_page_location **out_pages,
                                                        size_t *out_count, struct mrd_error *err);

struct mrd_pq_page_bounds {
    bool all_null;  /* then there are no bounds */
    bool has_nulls; /* `nulls` is known */
    uint64_t nulls;
    struct mrd_bytes min, max;
};

/* Parses a ColumnIndex, which must have page_count pages. Bounds may be cut: they bound, no more. Those of
 * numbers have the size of their type. */
MRD_MUST_CHECK enum mrd_status mrd_pq_column_index_read(struct mrd_bytes bytes,
                                                        const struct mrd_pq_leaf *leaf,
                                                        size_t page_count, struct mrd_arena *arena,
                                                        struct mrd_pq_page_bounds **out_bounds,
                                                        struct mrd_error *err);

#endif
