/* stamps_internal.h: the stamps of a block's rows beside its columns (docs/formats/block.md, Stamps).
 *
 * Rows have the stamps of the batches that they came in, and series that are sent together have the same ones over and over. So a span of
 * rows has a list of its stamps, and of each row which of them it has, as the difference from the row before: series that
 * were sent together look alike then, and zstd sees it over a million rows, where pages of a column would be too short.
 *
 * Owner:  a writer its struct mbx_stamping, a cursor its struct mbx_stamps. Zero-initialise both.
 * Memory: some 4 MiB of a writer and as much while a span is encoded; 2.5 MiB of a cursor that reads stamps, twice that while a span is decoded.
 */
#ifndef MRD_BLOCK_STAMPS_INTERNAL_H
#define MRD_BLOCK_STAMPS_INTERNAL_H

#include "base/clock.h"
#include "block/sidecar_internal.h"

/* ---- writing ---- */

struct mbx_stamping {
    struct mrd_buf page;   /* mrd_hlc: of the rows of the open page */
    struct mrd_buf stamps; /* mrd_hlc: of the open span, by when they came first */
    struct mrd_buf rows;   /* uint16_t: which of them its rows have */
    uint32_t *slots;       /* hash table: which, + 1 */
    size_t slot_count;
    uint32_t pages;        /* of the open span */
    struct mrd_buf frames; /* of spans that have ended and have no place in the file yet */
    struct mrd_buf
        spans; /* struct mbx_span, of all parts; offsets are within `frames` until they are placed */
    size_t placed; /* the first of them that is not */
};

void mbx_stamping_fini(struct mbx_stamping *stamping);

/* Adds rows to the open page. */
void mbx_stamping_add(struct mbx_stamping *stamping, const int64_t *hlcs, size_t count);
/* The page has ended, and with it maybe a span before it. */
void mbx_stamping_page(struct mbx_stamping *stamping, struct mrd_pq_compressor *compressor);
/* The open span ends, behind the last page. */
void mbx_stamping_span(struct mbx_stamping *stamping, struct mrd_pq_compressor *compressor);
/* What has no place yet is written to `offset` of the data file: `frames`, as they are. */
void mbx_stamping_place(struct mbx_stamping *stamping, uint64_t offset);

const struct mbx_span *mbx_stamping_spans(const struct mbx_stamping *stamping, size_t *out_count);
size_t mbx_stamping_memory(const struct mbx_stamping *stamping);

/* ---- reading ---- */

struct mbx_stamps {
    uint16_t *rows; /* which of the list each row of the span has */
    mrd_hlc *list;  /* ascending */
};

void mbx_stamps_fini(struct mbx_stamps *stamps);

/* Decodes a span from its frame. MRD_E_CORRUPT. */
MRD_MUST_CHECK enum mrd_status
mbx_stamps_decode(struct mbx_stamps *stamps, const struct mbx_span *span, struct mrd_bytes stored,
                  const struct mrd_look *look, struct mrd_error *err);

#endif
