/* batch_internal.h: numbers of the batch's layout that writing and reading share (docs/formats/batch.md). */
#ifndef MRD_WIRE_BATCH_INTERNAL_H
#define MRD_WIRE_BATCH_INTERNAL_H

#include "wire/batch.h"
#include "wire/protobuf_internal.h"

/* Tags of the envelope (batch.proto). */
enum {
    BATCH_VERSION = MRD_PB_TAG(1, MRD_PB_VARINT),
    BATCH_REGION = MRD_PB_TAG(2, MRD_PB_BYTES),
    BATCH_CLASS = MRD_PB_TAG(3, MRD_PB_BYTES),
    BATCH_INSTANCE = MRD_PB_TAG(4, MRD_PB_BYTES),
    BATCH_PARTITION = MRD_PB_TAG(5, MRD_PB_VARINT),
    BATCH_EPOCH = MRD_PB_TAG(6, MRD_PB_VARINT),
    BATCH_NUMBER = MRD_PB_TAG(7, MRD_PB_VARINT),
    BATCH_HLC = MRD_PB_TAG(8, MRD_PB_FIXED64),
    BATCH_CODEC = MRD_PB_TAG(9, MRD_PB_VARINT),
    BATCH_BODY_SIZE = MRD_PB_TAG(10, MRD_PB_VARINT),
    BATCH_BODY = MRD_PB_TAG(11, MRD_PB_BYTES),
    BATCH_CRC32C = MRD_PB_TAG(12, MRD_PB_FIXED32),
    BATCH_CRC_FIELD_SIZE = 5,
    BATCH_ENVELOPE_SIZE_MAX = 512, /* everything but the body */
};

/* Sections of the body: u8 kind, varint size, bytes; kinds ascend. */
enum {
    SECTION_TENANTS = 1,
    SECTION_ANNOUNCEMENTS = 2,
    SECTION_ROWS = 3,
    SECTION_TIMES = 4,
    SECTION_VALUES = 5,
    SECTION_KNOWN_END = 6, /* later: start times, histograms, exemplars, metadata */
    SECTION_HEAD_SIZE_MAX = 1 + MRD_VARINT_SIZE_MAX,
    SERIES_ID_SIZE = 16,
};

/* True if `name` may be a region, class or instance. */
bool mrd_batch_name_valid(struct mrd_bytes name);

#endif
