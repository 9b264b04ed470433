/* reader.h: reads a Parquet file from whatever can give ranges of bytes: a local file, an object store.
 *
 * Opening reads the end of the file once, twice if the footer is larger than the first guess. A column reader
 * then lists the pages of one column chunk and decodes those that are asked for, each with one read.
 *
 * Owner:   whoever opened it; the source is lent until close.
 * Threads: an open file is not changed, so column readers of one file may work in many threads if the
 *          source's read_at allows it; each of them belongs to one thread at a time.
 * Limits:  limit_bytes of a file bounds its footer, and again what is parsed from it. That of a column reader bounds
 *          its page index, the bytes of the page at hand, and what is decoded, each for itself.
 * Errors:  MRD_E_CORRUPT, MRD_E_UNSUPPORTED, MRD_E_LIMIT; those of read_at as they come.
 */
#ifndef MRD_PARQUET_READER_H
#define MRD_PARQUET_READER_H

#include "parquet/footer.h"

struct mrd_pq_source {
    void *context;
    uint64_t size;
    /* Fills size_bytes from `offset` on, or fails. Never asked beyond `size`. */
    enum mrd_status (*read_at)(void *context, uint64_t offset, size_t size_bytes, uint8_t *out,
                               struct mrd_error *err);
};

struct mrd_pq_file;

MRD_MUST_CHECK enum mrd_status mrd_pq_file_open(const struct mrd_pq_source *source,
                                                size_t limit_bytes, struct mrd_pq_file **out_file,
                                                struct mrd_error *err);
void mrd_pq_file_close(struct mrd_pq_file **file);

/* Lives as long as the file. */
const struct mrd_pq_footer *mrd_pq_file_footer(const struct mrd_pq_file *file);

/* The leaf with this path, or -1. */
int64_t mrd_pq_file_find_leaf(const struct mrd_pq_file *file, struct mrd_bytes path);

/* ---- one column chunk ---- */

struct mrd_pq_column_reader;

/* Lists the pages: from the offset index with one read, or, in files without one, from the headers of all pages.
 * The dictionary is read when the first page is. */
MRD_MUST_CHECK enum mrd_status mrd_pq_column_open(const struct mrd_pq_file *file, size_t row_group,
                                                  size_t leaf, size_t limit_bytes,
                                                  struct mrd_pq_column_reader **out_column,
                                                  struct mrd_error *err);
void mrd_pq_column_close(struct mrd_pq_column_reader **column);

/* Lives as long as the column reader. */
const struct mrd_pq_page_location *mrd_pq_column_pages(const struct mrd_pq_column_reader *column,
                                                       size_t *out_count);

/* The column index: one entry per page; *out_bounds is NULL where the file has none. Lives as long as the reader. */
MRD_MUST_CHECK enum mrd_status mrd_pq_column_bounds(struct mrd_pq_column_reader *column,
                                                    const struct mrd_pq_page_bounds **out_bounds,
                                                    struct mrd_error *err);

/* Reads and decodes a page; the batch lives until the next call. A page with other rows than the offset index
 * says is MRD_E_CORRUPT. */
MRD_MUST_CHECK enum mrd_status mrd_pq_column_read(struct mrd_pq_column_reader *column, size_t page,
                                                  struct mrd_pq_batch *out_batch,
                                                  struct mrd_error *err);

#endif
