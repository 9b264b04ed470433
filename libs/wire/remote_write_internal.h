/* remote_write_internal.h: what the walks over remote write 1.0 and 2.0 share. */
#ifndef MRD_WIRE_REMOTE_WRITE_INTERNAL_H
#define MRD_WIRE_REMOTE_WRITE_INTERNAL_H

#include "model/metadata.h"
#include "wire/protobuf_internal.h"
#include "wire/remote_write.h"

/* Of a Sample, the same in both versions. */
enum {
    MRD_RW_SAMPLE_VALUE = MRD_PB_TAG(1, MRD_PB_FIXED64),
    MRD_RW_SAMPLE_TIMESTAMP = MRD_PB_TAG(2, MRD_PB_VARINT),
    MRD_RW_SAMPLE_START = MRD_PB_TAG(3, MRD_PB_VARINT), /* 2.0 */
    MRD_RW_SAMPLE_FAST_SIZE = 16,
};

/* What others_size holds: the body is smaller. */
enum { MRD_RW_OTHERS_SIZE_MASK = MRD_RW_BODY_SIZE_MAX - 1 };

/* A varint of exactly six bytes, which is what times of 1971 to 2109 in ms have: false if it is another. */
static inline bool mrd_rw_time_fast(const uint8_t *at, mrd_time_ms *out)
{
    uint64_t raw = 0;
    memcpy(&raw, at, 6);
    *out = (mrd_time_ms)((raw & 0x7f) | (raw >> 1 & 0x3f80) | (raw >> 2 & 0x1fc000) |
                         (raw >> 3 & 0xfe00000) | (raw >> 4 & 0x7f0000000) |
                         (raw >> 5 & 0x3f800000000));
    return (raw & 0x808080808080) == 0x008080808080;
}

/* Nearly all are 09 <8 bytes> 10 <6-byte varint>. False: it is another, perhaps valid. */
static inline bool mrd_rw_sample_fast(struct mrd_bytes bytes, struct mrd_sample *out)
{
    const uint8_t *p = bytes.data;
    if (mrd_likely(bytes.size == MRD_RW_SAMPLE_FAST_SIZE && p[0] == MRD_RW_SAMPLE_VALUE &&
                   p[9] == MRD_RW_SAMPLE_TIMESTAMP)) {
        uint64_t value_bits;
        memcpy(&value_bits, p + 1, 8);
        out->value = mrd_double_from_bits(value_bits);
        return mrd_rw_time_fast(p + 10, &out->time_ms);
    }
    return false;
}

struct mrd_rw2_walk;

/* The symbol of 2.0 that a reference names. */
MRD_MUST_CHECK enum mrd_status mrd_rw2_symbol(const struct mrd_rw2_walk *walk, uint64_t reference,
                                              struct mrd_bytes *out, struct mrd_error *err);

/* Labels of 2.0 from packed references, at most count_max. */
MRD_MUST_CHECK enum mrd_status mrd_rw2_labels_of(const struct mrd_rw2_walk *walk,
                                                 struct mrd_bytes references,
                                                 struct mrd_label *items, size_t count_max,
                                                 size_t *out_count, struct mrd_error *err);

/* A Label of 1.0: false if it is malformed. */
bool mrd_rw_label_read(struct mrd_bytes message, struct mrd_label *out);

/* Types of metrics have the same numbers everywhere; those that are not known say nothing. */
static inline enum mrd_family_type mrd_rw_family_type(uint64_t number)
{
    return number < MRD_FAMILY_TYPE_COUNT ? (enum mrd_family_type)number : MRD_FAMILY_UNKNOWN;
}

#endif
