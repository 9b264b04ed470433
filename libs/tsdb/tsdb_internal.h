/* tsdb_internal.h: numbers as a block's files have them: big-endian, and Go's varints. */
#ifndef MRD_TSDB_TSDB_INTERNAL_H
#define MRD_TSDB_TSDB_INTERNAL_H

#include "base/hash.h"

enum {
    MRD_TSDB_CRC_SIZE = 4,
    MRD_TSDB_FORMAT_2 = 2, /* of an index */
    MRD_TSDB_FORMAT_3 = 3,
    MRD_TSDB_SERIES_ALIGN = 16,
    MRD_TSDB_TOC_SECTIONS = 6,
};

#define MRD_TSDB_INDEX_MAGIC 0xbaaad700U
#define MRD_TSDB_CHUNKS_MAGIC 0x85bd40ddU
#define MRD_TSDB_TOMBSTONES_MAGIC 0x0130ba30U

/* The order of the table of contents. */
enum mrd_tsdb_section {
    MRD_TSDB_SYMBOLS,
    MRD_TSDB_SERIES,
    MRD_TSDB_LABEL_INDICES,
    MRD_TSDB_LABEL_TABLE,
    MRD_TSDB_POSTINGS,
    MRD_TSDB_POSTINGS_TABLE,
};

static inline uint32_t mrd_tsdb_read_u32(struct mrd_reader *reader)
{
    return __builtin_bswap32(mrd_read_u32(reader));
}
static inline uint64_t mrd_tsdb_read_u64(struct mrd_reader *reader)
{
    return __builtin_bswap64(mrd_read_u64(reader));
}
static inline void mrd_tsdb_append_u32(struct mrd_buf *out, uint32_t value)
{
    mrd_buf_append_u32(out, __builtin_bswap32(value));
}
static inline void mrd_tsdb_append_u64(struct mrd_buf *out, uint64_t value)
{
    mrd_buf_append_u64(out, __builtin_bswap64(value));
}

/* A varint's size and bytes behind it. */
static inline struct mrd_bytes mrd_tsdb_read_text(struct mrd_reader *reader)
{
    return mrd_read_bytes(reader, mrd_read_varint(reader));
}
static inline void mrd_tsdb_append_text(struct mrd_buf *out, struct mrd_bytes text)
{
    mrd_buf_append_varint(out, text.size);
    mrd_buf_append_bytes(out, text);
}

/* Whether the next four bytes are the checksum of `bytes`. */
static inline bool mrd_tsdb_crc_fits(struct mrd_reader *reader, struct mrd_bytes bytes)
{
    const uint32_t want = mrd_tsdb_read_u32(reader);
    return !reader->failed && want == mrd_crc32c(0, bytes);
}

#endif
