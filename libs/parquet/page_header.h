/* page_header.h: the header before every page (parquet.thrift, PageHeader).
 *
 * Threads: pure functions.
 */
#ifndef MRD_PARQUET_PAGE_HEADER_H
#define MRD_PARQUET_PAGE_HEADER_H

#include "parquet/format.h"

enum mrd_pq_page_type {
    MRD_PQ_DATA_PAGE = 0,
    MRD_PQ_INDEX_PAGE = 1, /* never written by anyone */
    MRD_PQ_DICTIONARY_PAGE = 2,
    MRD_PQ_DATA_PAGE_V2 = 3,
};

struct mrd_pq_page_header {
    int32_t type;
    uint32_t plain_size;  /* of the body, decompressed */
    uint32_t stored_size; /* of the body as it follows */
    bool has_crc;
    uint32_t crc; /* CRC-32 (that of zlib) of the body as it follows */
    uint32_t entries;
    uint32_t encoding; /* of values */
    /* data page v1: what levels are in; must be MRD_PQ_RLE where there are levels */
    uint32_t def_encoding;
    uint32_t rep_encoding;
    /* data page v2 */
    uint32_t nulls;
    uint32_t rows;
    uint32_t def_size;
    uint32_t rep_size;
    bool is_compressed;
};

/* Reads a header from the beginning of `bytes`. MRD_E_CORRUPT if it is none or is not whole: a caller that
 * gave only a part may try again with more. Sizes below 0, and of levels beyond the page, are refused. */
MRD_MUST_CHECK enum mrd_status mrd_pq_page_header_read(struct mrd_bytes bytes,
                                                       struct mrd_pq_page_header *out,
                                                       size_t *out_size, struct mrd_error *err);

void mrd_pq_page_header_write(const struct mrd_pq_page_header *header, struct mrd_buf *out);

#endif
