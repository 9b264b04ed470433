/* build_internal.h: collects what the sidecar says of series while a block is written.
 *
 *     per tenant: mbx_build_tenant, per series: mbx_build_series, mbx_build_segment ..., then mbx_build_tenant_end
 *
 * Owner:  the writer. Memory: mbx_build_memory; the caller bounds it.
 */
#ifndef MRD_BLOCK_BUILD_INTERNAL_H
#define MRD_BLOCK_BUILD_INTERNAL_H

#include "block/sidecar_internal.h"

struct mbx_build {
    struct mrd_pq_compressor *compressor; /* lent */
    bool rollup;
    struct mrd_buf sidecar; /* what is finished: magic, indexes of parts as frames */

    /* the open part */
    struct mrd_buf body; /* its tenants, encoded */
    uint32_t tenant_count;

    /* the open tenant */
    struct mrd_bytes tenant; /* a copy */
    struct mrd_block_counts counts;
    struct mrd_buf text;     /* of the pairs */
    struct mrd_buf pairs;    /* struct build_pair */
    struct mrd_buf refs;     /* uint32_t: pairs of the series, as they came */
    struct mrd_buf series;   /* struct build_series */
    struct mrd_buf segments; /* struct mbx_segment */
    uint32_t *slots;         /* hash table of the pairs: index + 1 */
    size_t slot_count;
    size_t refs_before; /* refs of the series before begin here */

    /* the block */
    struct mrd_buf keys; /* uint64_t, of the Bloom filter */
    struct mrd_buf
        tenants; /* struct mrd_block_tenant; names in tenant_names, offsets in .data until the end */
    struct mrd_buf tenant_names;
    uint64_t bloom_seed;
};

void mbx_build_init(struct mbx_build *build, struct mrd_pq_compressor *compressor, bool rollup);
void mbx_build_fini(struct mbx_build *build);

void mbx_build_tenant(struct mbx_build *build, struct mrd_bytes name);

/* Ends the tenant; true if the part should end. */
bool mbx_build_tenant_end(struct mbx_build *build);

/* Ends the part; its index is a frame of the sidecar now. */
void mbx_build_part_end(struct mbx_build *build, struct mbx_frame *out_index,
                        uint64_t *out_tenants_count);

void mbx_build_series(struct mbx_build *build, struct mrd_labels labels);

/* A run of rows of that series. `floats` and `histograms` are counted for the tenant. */
void mbx_build_segment(struct mbx_build *build, const struct mbx_segment *segment, uint64_t floats,
                       uint64_t histograms);

/* Appends the page table of a part. */
void mbx_pages_write(const struct mbx_page *pages, size_t count, unsigned leaf_count,
                     struct mrd_buf *out);

/* Appends the spans of its stamps behind that. */
void mbx_spans_write(const struct mbx_span *spans, size_t count, struct mrd_buf *out);

size_t mbx_build_memory(const struct mbx_build *build);
bool mbx_build_failed(const struct mbx_build *build);

#endif
