/* batch.h: one message of the partition log: samples of many series of one partition and class.
 *
 * A protobuf envelope around a columnar body (docs/formats/batch.md). Labels travel once: a series is
 * announced (reference, tenant, series id, canonical labels) until its announcement is acknowledged;
 * afterwards rows name the reference only. A reference is a dense number of one (instance, label
 * epoch, partition); a reader resolves it by array index.
 *
 * Threads: builder and batch belong to one thread at a time.
 */
#ifndef MRD_WIRE_BATCH_H
#define MRD_WIRE_BATCH_H

#include "base/clock.h"
#include "model/labels.h"
#include "model/sample.h"

enum {
    MRD_BATCH_VERSION = 1,
    MRD_BATCH_BODY_SIZE_MAX = 32 << 20, /* decoded */
    MRD_BATCH_NAME_SIZE_MAX = 64,       /* region, class, instance */
    MRD_LABEL_EPOCH_MS = 15 * 60 * 1000,
};

enum mrd_batch_codec { MRD_BATCH_NONE, MRD_BATCH_SNAPPY, MRD_BATCH_ZSTD, MRD_BATCH_CODECS };

static inline uint64_t mrd_label_epoch(mrd_time_ms now_ms)
{
    return (uint64_t)now_ms / MRD_LABEL_EPOCH_MS;
}

/* What the envelope says of a batch. Strings are borrowed, terminated, at most
 * MRD_BATCH_NAME_SIZE_MAX bytes. */
struct mrd_batch_header {
    const char *region;
    const char *residency_class;
    const char *instance;
    uint64_t epoch;
    uint64_t number;
    mrd_hlc hlc;
};

struct mrd_announcement {
    uint32_t reference;
    mrd_series_id id;
    struct mrd_bytes tenant;
    struct mrd_bytes labels; /* canonical */
};

/* ---- building ---- */

/* Columns under construction. Zero-initialise, or after a finish; mrd_batch_builder_fini frees. */
struct mrd_batch_builder {
    struct mrd_buf tenants;
    struct mrd_buf announcements;
    struct mrd_buf references;
    struct mrd_buf counts;
    struct mrd_buf times;
    struct mrd_buf values;
    struct mrd_buf body;
    struct mrd_buf packed;
    uint32_t tenant_count;
    uint32_t announcement_count;
    uint32_t row_count;
    uint32_t sample_count;
    uint32_t reference_next; /* what the next row names if nothing is skipped */
    uint32_t run_value;      /* samples of each row of the present run */
    uint32_t run_rows;
    mrd_time_ms time_last_ms;
    size_t tenant_last_offset; /* of the last tenant's name in `tenants` */
    size_t tenant_last_size;
};

void mrd_batch_builder_fini(struct mrd_batch_builder *builder);

/* Notes the series behind a reference of this batch. */
void mrd_batch_announce(struct mrd_batch_builder *builder,
                        const struct mrd_announcement *announcement);

/* Appends one row: `count` samples (at least 1) of the series. Cost: a few ns a sample. */
void mrd_batch_append(struct mrd_batch_builder *builder, uint32_t reference,
                      const struct mrd_sample *samples, size_t count);

/* Bytes that finish would encode, before compression and with the envelope; for cutting. */
size_t mrd_batch_builder_size(const struct mrd_batch_builder *builder);

static inline bool mrd_batch_builder_empty(const struct mrd_batch_builder *builder)
{
    return builder->row_count == 0 && builder->announcement_count == 0;
}

/* Encodes the batch at the end of `out` and empties the builder. */
void mrd_batch_finish(struct mrd_batch_builder *builder, const struct mrd_batch_header *header,
                      enum mrd_batch_codec codec, struct mrd_buf *out);

/* ---- reading ---- */

/* A decoded batch: owns its memory and is used again from message to message. Zero-initialise;
 * mrd_batch_fini frees. Views point into it and into the message. */
struct mrd_batch {
    struct mrd_batch_header header;
    const struct mrd_announcement *announcements;
    size_t announcement_count;
    const uint32_t *references;    /* row_count */
    const uint32_t *sample_counts; /* row_count, or NULL: one sample in each row */
    size_t row_count;
    const mrd_time_ms *times_ms; /* sample_count, row after row */
    const double *values;
    size_t sample_count;
    struct mrd_batch_memory *memory;
};

/* Checks and decodes a message. MRD_E_CORRUPT names what is wrong; MRD_E_UNSUPPORTED is a version,
 * codec or section that this build does not know. The batch is empty then. Cost: about 5 ns a sample
 * and the codec. */
MRD_MUST_CHECK enum mrd_status mrd_batch_decode(struct mrd_bytes message, struct mrd_batch *batch,
                                                struct mrd_error *err);
void mrd_batch_fini(struct mrd_batch *batch);

/* "none", "snappy", "zstd". */
const char *mrd_batch_codec_name(enum mrd_batch_codec codec);

#endif
