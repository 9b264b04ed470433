#include "wire/erasure_notice.h"

enum { VERSION_HEADS = 1, VERSION_BLOCKS = 2 };

void mrd_erasure_notice_encode(const struct mrd_erasure_notice *notice, const uint64_t *sequences,
                               size_t partition_count, struct mrd_buf *out)
{
    mrd_assert(partition_count > 0 && partition_count <= MRD_ERASURE_NOTICE_PARTITIONS_MAX);
    mrd_buf_append_u8(out, notice->commit == 0 ? VERSION_HEADS : VERSION_BLOCKS);
    mrd_buf_append_u64(out, notice->hlc);
    mrd_buf_append_varint(out, partition_count);
    for (size_t i = 0; i < partition_count; i++) {
        mrd_buf_append_varint(out, sequences[i]);
    }
    if (notice->commit != 0) {
        mrd_buf_append_varint(out, notice->commit);
    }
}

enum mrd_status mrd_erasure_notice_decode(struct mrd_bytes bytes, size_t partition_count,
                                          struct mrd_erasure_notice *out, uint64_t *sequences,
                                          struct mrd_error *err)
{
    struct mrd_reader reader = mrd_reader_of(bytes);
    const uint8_t version = mrd_read_u8(&reader);
    if (bytes.size > 0 && version != VERSION_HEADS && version != VERSION_BLOCKS) {
        return mrd_fail(err, MRD_E_UNSUPPORTED,
                        "notice of an erasure: version %u is not known to this build", version);
    }
    struct mrd_erasure_notice notice = {.hlc = mrd_read_u64(&reader)};
    const uint64_t count = mrd_read_varint(&reader);
    if (reader.failed || count != partition_count) {
        return mrd_fail(err, MRD_E_CORRUPT, "notice of an erasure in %zu partitions, not %zu",
                        (size_t)count, partition_count);
    }
    for (size_t i = 0; i < partition_count; i++) {
        const uint64_t sequence = mrd_read_varint(&reader);
        if (sequences != NULL) {
            sequences[i] = sequence;
        }
    }
    notice.commit = version == VERSION_BLOCKS ? mrd_read_varint(&reader) : 0;
    const bool fits = (version == VERSION_BLOCKS) == (notice.commit != 0);
    if (reader.failed || !fits || mrd_reader_left(&reader) > 0) {
        return mrd_fail(err, MRD_E_CORRUPT, "notice of an erasure: malformed");
    }
    *out = notice;
    return MRD_OK;
}
