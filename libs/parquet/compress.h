/* compress.h: the codecs of pages. A codec object keeps zstd's contexts, which are dear to make.
 *
 * Owner:   whoever made it. Threads: one at a time.
 */
#ifndef MRD_PARQUET_COMPRESS_H
#define MRD_PARQUET_COMPRESS_H

#include "parquet/format.h"

struct mrd_pq_compressor;

/* `level` is zstd's (1 to 19), others ignore it. Never NULL. */
struct mrd_pq_compressor *mrd_pq_compressor_create(enum mrd_pq_codec codec, int level);
void mrd_pq_compressor_destroy(struct mrd_pq_compressor **compressor);

/* From now on bytes up to so many (MRD_PQ_SMALL_MAX; 0: none) go into frames of zstd as they are, without being tried: they would get smaller
 * by little, if at all, and a frame costs as much as some thousand bytes do. Any reader of zstd reads them. */
void mrd_pq_compressor_keep_small(struct mrd_pq_compressor *compressor, size_t bytes_max);
enum { MRD_PQ_SMALL_MAX = 255 };

/* Appends the compressed bytes; `out->failed` tells of its limit. Same bytes in, same bytes out. */
void mrd_pq_compress(struct mrd_pq_compressor *compressor, struct mrd_bytes bytes,
                     struct mrd_buf *out);

struct mrd_pq_decompressor;
struct mrd_pq_decompressor *mrd_pq_decompressor_create(void); /* never NULL */
void mrd_pq_decompressor_destroy(struct mrd_pq_decompressor **decompressor);

/* Decompresses to exactly out_size bytes at `out`; MRD_E_CORRUPT if the bytes are not that,
 * MRD_E_UNSUPPORTED for codecs that are not ours. */
MRD_MUST_CHECK enum mrd_status mrd_pq_decompress(struct mrd_pq_decompressor *decompressor,
                                                 unsigned codec, struct mrd_bytes bytes,
                                                 uint8_t *out, size_t out_size,
                                                 struct mrd_error *err);

/* MRD_OK if mrd_pq_decompress knows the codec, else MRD_E_UNSUPPORTED and its name. */
MRD_MUST_CHECK enum mrd_status mrd_pq_codec_check(unsigned codec, struct mrd_error *err);

#endif
