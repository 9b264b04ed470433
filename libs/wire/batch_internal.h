/* batch_internal.h: numbers of the batch's layout that writing and reading share (docs/formats/batch.md). */
#ifndef MRD_WIRE_BATCH_INTERNAL_H
#define MRD_WIRE_BATCH_INTERNAL_H

#include <zstd.h>

#include "base/arena.h"
#include "model/erasure.h"
#include "wire/batch.h"
#include "wire/histograms_internal.h"
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
    SECTION_START_TIMES = 6,
    SECTION_HISTOGRAMS = 7,
    SECTION_EXEMPLARS = 8,
    SECTION_METADATA = 9,
    SECTION_ERASURES = 10,
    SECTION_KNOWN_END = 11,
    SECTION_HEAD_SIZE_MAX = 1 + MRD_VARINT_SIZE_MAX,
    SERIES_ID_SIZE = 16,
};

/* How the packed part of a section is stored. */
enum { PACKED_NONE = 0, PACKED_ZSTD = 2 };

/* ---- building ---- */

/* Rows of histograms or exemplars under construction. Zero-initialise. */
struct mrd_batch_row_columns {
    struct mrd_batch_tenant_run *runs;
    size_t run_count;
    size_t run_capacity;
    uint32_t *references;
    uint32_t *counts;
    size_t row_count;
    size_t row_capacity;
    size_t item_count;
};

/* What most batches do not have: sections 6 to 10. A builder gets one with the first thing that goes there. */
struct mrd_batch_extras {
    struct mrd_u64_column start_samples; /* index of the sample */
    struct mrd_u64_column start_times;
    struct mrd_batch_row_columns histogram_rows;
    struct mrd_histogram_columns histograms;
    struct mrd_u64_column histogram_times;
    struct mrd_u64_column histogram_start_indexes; /* of those that have one */
    struct mrd_u64_column histogram_start_times;
    struct mrd_batch_row_columns exemplar_rows;
    struct mrd_u64_column exemplar_times;
    struct mrd_u64_column exemplar_values; /* bits */
    struct mrd_u64_column exemplar_sizes;  /* of labels */
    struct mrd_buf exemplar_labels;
    struct mrd_u64_column metadata_tenants;
    struct mrd_u64_column metadata_types;
    struct mrd_u64_column metadata_sizes[3]; /* name, help, unit */
    struct mrd_buf metadata_texts;
    struct mrd_buf erasures; /* varint size, bytes */
    size_t erasure_count;
    struct mrd_buf packed; /* scratch */
};

void mrd_batch_extras_destroy(struct mrd_batch_extras **extras);
void mrd_batch_extras_clear(struct mrd_batch_extras *extras);
bool mrd_batch_extras_empty(const struct mrd_batch_extras *extras);
size_t mrd_batch_extras_size(const struct mrd_batch_extras *extras);
size_t mrd_batch_extras_size_max(const struct mrd_batch_extras *extras);

/* Appends sections 6 to 10, those that have something, to the builder's body. */
void mrd_batch_extras_write(struct mrd_batch_builder *builder);

/* An array of the builder for count numbers, used by one function at a time. */
uint64_t *mrd_batch_builder_numbers(struct mrd_batch_builder *builder, size_t count);

/* A section is written between these two: its head of fixed room is closed up at the end, when its size is known. */
size_t mrd_batch_section_begin(struct mrd_buf *body);
void mrd_batch_section_end(struct mrd_buf *body, size_t start, uint8_t kind);

/* The columns that section 3 has and that 7 and 8 begin with. */
void mrd_batch_rows_write(struct mrd_batch_builder *builder, const struct mrd_batch_rows *rows);

/* Differences to the number before, modulo 2^64, as runs: columns of times. */
void mrd_batch_deltas_write(struct mrd_batch_builder *builder, const uint64_t *values,
                            size_t count);

/* Level of every zstd in a batch. Chosen by measurement: docs/decisions/0001-batch-values-and-codec.md. */
enum { MRD_BATCH_ZSTD_LEVEL = 1 };

/* ---- reading ---- */

/* A growing array whose old content does not matter. */
struct mrd_batch_scratch {
    void *data;
    size_t size_bytes;
};

struct mrd_batch_row_scratch {
    struct mrd_batch_scratch runs;
    struct mrd_batch_scratch references;
    struct mrd_batch_scratch counts;
};

struct mrd_batch_reader {
    struct mrd_buf body;
    struct mrd_batch_scratch tenants;
    struct mrd_batch_scratch tenant_seeds;
    struct mrd_batch_scratch announcements;
    struct mrd_batch_row_scratch rows;
    struct mrd_batch_scratch times;
    struct mrd_batch_scratch values;
    struct mrd_batch_scratch numbers;
    ZSTD_DCtx *zstd;
    struct mrd_arena *extras; /* of sections 6 to 9; NULL until a batch has one */
};

struct mrd_batch_sections {
    struct mrd_bytes bytes[SECTION_KNOWN_END];
    bool present[SECTION_KNOWN_END];
};

/* Reads those of the sections 6 to 9 that are present; tenants and samples of *out have been read. */
MRD_MUST_CHECK enum mrd_status mrd_batch_extras_read(struct mrd_batch_reader *reader,
                                                     const struct mrd_batch_sections *sections,
                                                     struct mrd_batch *out, struct mrd_error *err);

/* Arrays of rows come from here: scratch that the reader keeps, or its arena. */
typedef void *(*mrd_batch_array_fn)(void *from, size_t count, size_t item_size);

/* Memory for the columns of rows, each used once per call. */
struct mrd_batch_row_arrays {
    mrd_batch_array_fn array_of;
    void *runs;
    void *references;
    void *counts;
    void *numbers;
};

/* The columns that section 3 has and that 7 and 8 begin with; false if they are malformed or have more than
 * item_count_max items. */
MRD_MUST_CHECK bool mrd_batch_rows_read(const struct mrd_batch_row_arrays *arrays,
                                        struct mrd_reader *section, size_t tenant_count,
                                        uint64_t item_count_max, struct mrd_batch_rows *out);

/* Undoes mrd_batch_deltas_write. */
MRD_MUST_CHECK bool mrd_batch_deltas_read(struct mrd_reader *section, uint64_t *values,
                                          size_t count);

/* The next of a column of references: differences to the previous one plus 1. False if it is out of range. */
static inline bool mrd_batch_reference_next(uint64_t number, int64_t *expected, uint32_t *out)
{
    const int64_t delta = mrd_zigzag_decode(number);
    if (delta < -MRD_BATCH_REFERENCE_COUNT_MAX || delta > MRD_BATCH_REFERENCE_COUNT_MAX) {
        return false;
    }
    const int64_t reference = *expected + delta;
    if (reference < 0 || reference >= MRD_BATCH_REFERENCE_COUNT_MAX) {
        return false;
    }
    *out = (uint32_t)reference;
    *expected = reference + 1;
    return true;
}

/* Decompresses exactly `size` bytes. */
MRD_MUST_CHECK bool mrd_batch_unpack_zstd(struct mrd_batch_reader *reader, struct mrd_bytes packed,
                                          uint8_t *place, size_t size);

/* ---- both ---- */

/* True if `name` may be a region, class or instance. */
bool mrd_batch_name_valid(struct mrd_bytes name);

#endif
