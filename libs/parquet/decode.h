/* decode.h: one page of one column chunk, from its bytes to a batch. This is all that a reader needs who
 * knows from elsewhere (a sidecar) where pages lie; whoever has only the file uses reader.h.
 *
 * A decoder serves one column chunk after the other: mrd_pq_decoder_begin, then its dictionary page if
 * it has one, then any of its data pages in any order.
 *
 * Owner:   whoever made it. Threads: one at a time.
 * Limits:  limit_bytes bounds the memory of pages, levels, values and dictionary together; a page that needs
 *          more is MRD_E_LIMIT. Nothing is taken from a number in the file that this does not bound.
 * Errors:  MRD_E_CORRUPT for bytes that are not what they say (wrong CRC included), MRD_E_UNSUPPORTED for valid
 *          Parquet outside docs/formats/parquet.md. The decoder may be used again after either.
 */
#ifndef MRD_PARQUET_DECODE_H
#define MRD_PARQUET_DECODE_H

#include "parquet/format.h"

struct mrd_pq_decoder;

/* What a page is read by. The rest of the leaf does not matter. */
struct mrd_pq_page_format {
    enum mrd_pq_type type;
    uint32_t fixed_size;
    uint8_t def_max;
    uint8_t rep_max;
    uint32_t codec; /* the file's number; mrd_pq_decoder_begin refuses those we do not know */
    bool checked; /* the bytes of pages have been checked: by the header's CRC they are not again */
};

/* Never NULL. */
struct mrd_pq_decoder *mrd_pq_decoder_create(size_t limit_bytes);
void mrd_pq_decoder_destroy(struct mrd_pq_decoder **decoder);

/* Begins a column chunk: forgets the dictionary. */
MRD_MUST_CHECK enum mrd_status mrd_pq_decoder_begin(struct mrd_pq_decoder *decoder,
                                                    const struct mrd_pq_page_format *format,
                                                    struct mrd_error *err);

/* The dictionary page, header and body. `page` is not kept. */
MRD_MUST_CHECK enum mrd_status mrd_pq_decoder_dictionary(struct mrd_pq_decoder *decoder,
                                                         struct mrd_bytes page,
                                                         struct mrd_error *err);

/* A data page (v1 or v2), header and body, to a batch that lives until the next call for this decoder.
 * MRD_E_CORRUPT if the page speaks of a dictionary that was not given. Pages of our own begin with a row;
 * others' v1 pages need not: rep[0] may be above 0 there. `page` may end behind the body. */
MRD_MUST_CHECK enum mrd_status mrd_pq_decoder_page(struct mrd_pq_decoder *decoder,
                                                   struct mrd_bytes page,
                                                   struct mrd_pq_batch *out_batch,
                                                   struct mrd_error *err);

/* Rows that begin in a batch. */
size_t mrd_pq_batch_rows(const struct mrd_pq_batch *batch);

#endif
