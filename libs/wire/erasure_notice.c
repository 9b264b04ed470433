#include "wire/erasure_notice.h"

enum { NOTICE_VERSION = 1 };

void mrd_erasure_notice_encode(mrd_hlc hlc, const uint64_t *sequences, size_t partition_count,
                               struct mrd_buf *out)
{
    mrd_assert(partition_count > 0 && partition_count <= MRD_ERASURE_NOTICE_PARTITIONS_MAX);
    mrd_buf_append_u8(out, NOTICE_VERSION);
    mrd_buf_append_u64(out, hlc);
    mrd_buf_append_varint(out, partition_count);
    for (size_t i = 0; i < partition_count; i++) {
        mrd_buf_append_varint(out, sequences[i]);
    }
}

enum mrd_status mrd_erasure_notice_decode(struct mrd_bytes notice, size_t partition_count,
                                          mrd_hlc *out_hlc, uint64_t *sequences,
                                          struct mrd_error *err)
{
    struct mrd_reader reader = mrd_reader_of(notice);
    const uint8_t version = mrd_read_u8(&reader);
    if (notice.size > 0 && version != NOTICE_VERSION) {
        return mrd_fail(err, MRD_E_UNSUPPORTED,
                        "notice of an erasure: version %u is not known to this build", version);
    }
    const mrd_hlc hlc = mrd_read_u64(&reader);
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
    if (reader.failed || mrd_reader_left(&reader) > 0) {
        return mrd_fail(err, MRD_E_CORRUPT, "notice of an erasure: malformed");
    }
    *out_hlc = hlc;
    return MRD_OK;
}
