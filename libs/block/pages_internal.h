/* pages_internal.h: pages of a data file on their way to a cursor: read many at a time, decoded one per column.
 *
 *     mbx_pages_want ... -> mbx_pages_fetch -> mbx_pages_decode in the order of the pages
 *
 * Owner: the cursor. Memory: the window that was wanted, and one decoded page of each column.
 */
#ifndef MRD_BLOCK_PAGES_INTERNAL_H
#define MRD_BLOCK_PAGES_INTERNAL_H

#include "block/block_internal.h"
#include "block/stamps_internal.h"
#include "parquet/decode.h"

struct mbx_wanted {
    uint64_t offset;
    uint32_t size;
    uint32_t page;
    uint8_t leaf;
    size_t at; /* in the window's bytes */
};

/* One column: the page that is decoded, and how far it has been walked. */
struct mbx_column {
    struct mrd_pq_decoder *decoder; /* NULL until the first page */
    struct mrd_pq_batch batch;
    int64_t page;   /* decoded; -1: none */
    int64_t wanted; /* the last that was asked for in this window; -1: none */
    uint32_t row;   /* values before it have been counted: */
    size_t value;
};

struct mbx_pages {
    const struct mrd_block *block;
    const struct mbx_part *part;
    struct mbx_column columns[MBX_LEAVES_MAX];
    struct mrd_buf wanted; /* struct mbx_wanted, by offset once fetched */
    uint64_t wanted_bytes;
    uint8_t *bytes;
    size_t bytes_capacity;
    struct mbx_stamps stamps;
    int64_t span; /* whose stamps these are; -1: none's */
    struct mrd_block_cursor_stats stats;
};

void mbx_pages_init(struct mbx_pages *pages, const struct mrd_block *block);
void mbx_pages_fini(struct mbx_pages *pages);

/* Turns to another part; what is decoded is forgotten. */
void mbx_pages_part(struct mbx_pages *pages, const struct mbx_part *part);

/* Begins a new window. */
void mbx_pages_clear(struct mbx_pages *pages);

/* Bytes that asking for this page adds; 0 if it is there already or has nulls only. */
uint64_t mbx_pages_cost(const struct mbx_pages *pages, enum mbx_leaf leaf, uint32_t page);
void mbx_pages_want(struct mbx_pages *pages, enum mbx_leaf leaf, uint32_t page);
/* On a failure nothing is there. */
MRD_MUST_CHECK enum mrd_status mbx_pages_fetch(struct mbx_pages *pages, struct mrd_error *err);

/* Whether the page is in the window that was fetched, or has nulls only. */
bool mbx_pages_have(const struct mbx_pages *pages, enum mbx_leaf leaf, uint32_t page);

/* Makes `page` the decoded one of the column. *out_column has an empty batch (entries 0) if all are null. */
MRD_MUST_CHECK enum mrd_status mbx_pages_decode(struct mbx_pages *pages, enum mbx_leaf leaf,
                                                uint32_t page, struct mbx_column **out_column,
                                                struct mrd_error *err);

/* Makes the stamps of the page's span the decoded ones, if the part has spans; reads them if they are not. */
MRD_MUST_CHECK enum mrd_status mbx_pages_stamps(struct mbx_pages *pages, uint32_t page,
                                                struct mrd_error *err);

/* The number of values before `row`; cheap if rows rise. */
size_t mbx_column_seek(struct mbx_column *column, uint32_t row);

#endif
