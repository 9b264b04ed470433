/* batch.h: one message of the partition log: samples, native histograms, exemplars and metadata of many
 * series, of one partition and class; or erasures of what stands before it.
 *
 * An envelope (a protobuf message, batch.proto) around a body of columns, compressed as a whole. Byte
 * layout: docs/formats/batch.md. Labels travel once: a batch *announces* a series (reference, tenant,
 * series id, canonical label bytes) and names it by its reference from then on. References are dense
 * numbers from 0 per (instance, label epoch, partition); announcements repeat until the writer knows
 * that one was stored, always with the same reference, so a reader keeps an array per (instance,
 * epoch) and indexes it. A row may come only after (or with) its series' announcement.
 *
 * Batches of one (instance, partition) are numbered from 1 without a gap, across classes and epochs:
 * that is how a reader sees a hole. They usually come in order, after a retry not.
 *
 * Threads: a builder and a reader belong to one thread each.
 */
#ifndef MRD_WIRE_BATCH_H
#define MRD_WIRE_BATCH_H

#include "base/clock.h"
#include "model/exemplar.h"
#include "model/histogram.h"
#include "model/labels.h"
#include "model/metadata.h"
#include "model/tenant.h"

enum {
    MRD_BATCH_VERSION = 1,
    MRD_BATCH_EPOCH_MS = 15 * 60 * 1000, /* a label epoch, of wall clock */
    MRD_BATCH_NAME_MAX = 63,             /* bytes of region, class and instance */
    MRD_BATCH_TENANT_SIZE_MAX = MRD_TENANT_SIZE_MAX,
    MRD_BATCH_LABELS_SIZE_MAX = 64 << 10, /* canonical bytes of one series */
    MRD_BATCH_REFERENCE_COUNT_MAX = 1 << 24,
    MRD_BATCH_SAMPLE_COUNT_MAX = 1 << 20,
    MRD_BATCH_HISTOGRAM_COUNT_MAX = 1 << 16,
    MRD_BATCH_BUCKET_COUNT_MAX = 1 << 20, /* of all histograms; so for spans and custom bounds */
    MRD_BATCH_EXEMPLAR_COUNT_MAX = 1 << 16,
    MRD_BATCH_METADATA_COUNT_MAX = 1 << 16,
    MRD_BATCH_METADATA_SIZE_MAX = 64 << 10, /* one family's name, help and unit together */
    MRD_BATCH_ERASURE_COUNT_MAX = 64,
    MRD_BATCH_BODY_SIZE_MAX = 32 << 20,    /* decompressed */
    MRD_BATCH_MESSAGE_SIZE_MAX = 64 << 20, /* before anything is looked at */
};

enum mrd_batch_codec { MRD_BATCH_NONE = 0, MRD_BATCH_SNAPPY = 1, MRD_BATCH_ZSTD = 2 };

/* The label epoch of a wall-clock time. */
static inline uint64_t mrd_batch_epoch_of(mrd_time_ms now_ms)
{
    return now_ms < 0 ? 0 : (uint64_t)now_ms / MRD_BATCH_EPOCH_MS;
}

/* The envelope without its body. Names are not empty and at most MRD_BATCH_NAME_MAX bytes of [A-Za-z0-9_-]. */
struct mrd_batch_header {
    struct mrd_bytes region;
    struct mrd_bytes residency_class;
    struct mrd_bytes
        instance; /* of the distributor shard: a name space of numbers and references */
    uint32_t partition;
    uint64_t epoch;
    uint64_t number; /* from 1 */
    mrd_hlc hlc;
};

/* "<instance>-<epoch>-<number>": the log's id of the message, for its duplicate window. */
enum { MRD_BATCH_ID_MAX = MRD_BATCH_NAME_MAX + 2 * 21 + 1 };
const char *mrd_batch_id(const struct mrd_batch_header *header, char out[MRD_BATCH_ID_MAX]);

/* Stands for the origin where (hlc, origin) decides between writes (mrd_head_batch.origin): a hash of region and
 * instance, the same on every reader. */
uint32_t mrd_batch_origin(const struct mrd_batch_header *header);

/* ---- reading ---- */

struct mrd_batch_announcement {
    uint32_t reference;
    uint32_t tenant; /* index into tenants */
    mrd_series_id id;
    struct mrd_bytes labels; /* canonical */
};

/* row_count rows that follow each other belong to one tenant. */
struct mrd_batch_tenant_run {
    uint32_t tenant;
    uint32_t row_count;
};

/* Rows of something that series have (histograms, exemplars): row i has counts[i] >= 1 items, which follow each
 * other in the columns of the items. A reference may stand in several rows. */
struct mrd_batch_rows {
    const struct mrd_batch_tenant_run *tenant_runs; /* they add up to row_count */
    size_t tenant_run_count;
    const uint32_t *references;
    const uint32_t *counts; /* NULL: one each */
    size_t row_count;       /* 0: the batch has none */
    size_t item_count;
};

/* Structure is checked: as many buckets as spans say, a schema in range, custom bounds only with that schema, at most
 * MRD_BATCH_BUCKET_COUNT_MAX in all. That counts add up was for the writer to check. */
struct mrd_batch_histograms {
    struct mrd_batch_rows rows;
    const mrd_time_ms *times_ms;
    const mrd_time_ms *start_times_ms; /* 0: unknown; NULL: all unknown */
    const struct mrd_histogram *items; /* those of one layout share spans and custom bounds */
};

struct mrd_batch_exemplars {
    struct mrd_batch_rows rows;
    const struct mrd_exemplar *items;
};

struct mrd_batch_metadata {
    uint32_t tenant; /* index into tenants */
    struct mrd_metadata metadata;
};

/* Row i has sample_counts[i] >= 1 samples, which follow each other in times_ms and values. A reference
 * may stand in several rows. Erasures (model/erasure.h, encoded) come after all else in the batch: they erase that too. */
struct mrd_batch {
    struct mrd_batch_header header;
    const struct mrd_bytes *tenants;
    size_t tenant_count;
    const struct mrd_batch_announcement *announcements;
    size_t announcement_count;
    const struct mrd_batch_tenant_run *tenant_runs; /* they add up to row_count */
    size_t tenant_run_count;
    const uint32_t *references;
    const uint32_t *sample_counts; /* NULL: one each */
    size_t row_count;
    const mrd_time_ms *times_ms;
    const double *values;
    const mrd_time_ms *start_times_ms; /* of the samples; 0: unknown; NULL: all unknown */
    size_t sample_count;
    struct mrd_batch_histograms histograms;
    struct mrd_batch_exemplars exemplars;
    const struct mrd_batch_metadata *metadata;
    size_t metadata_count;
    const struct mrd_bytes *erasures;
    size_t erasure_count;
};

/* Memory for reading, used again for every batch. */
struct mrd_batch_reader;

struct mrd_batch_reader *mrd_batch_reader_create(void);
void mrd_batch_reader_destroy(struct mrd_batch_reader **reader);

/* Bytes that the reader holds on to. */
size_t mrd_batch_reader_memory(const struct mrd_batch_reader *reader);

/* Reads and checks all of a message: checksum, bounds, sizes, counts, tenants' names, that references are
 * below MRD_BATCH_REFERENCE_COUNT_MAX, that ids are those of tenant and labels (canonical order of
 * labels is left to mrd_labels_decode). MRD_E_CORRUPT: the bytes are not a batch. MRD_E_UNSUPPORTED: a
 * version, codec or section that this build does not know; newer software wrote it. *out and its views live until the
 * next call with this reader and as long as `message`.
 * Cost: about 5 ns a sample plus the codec's. */
MRD_MUST_CHECK enum mrd_status mrd_batch_read(struct mrd_batch_reader *reader,
                                              struct mrd_bytes message, struct mrd_batch *out,
                                              struct mrd_error *err);

/* Reads the envelope only and checks the checksum: who wrote which number. */
MRD_MUST_CHECK enum mrd_status mrd_batch_header_read(struct mrd_bytes message,
                                                     struct mrd_batch_header *out,
                                                     struct mrd_error *err);

/* ---- building ---- */

struct mrd_batch_builder;

struct mrd_batch_builder *mrd_batch_builder_create(void);
void mrd_batch_builder_destroy(struct mrd_batch_builder **builder);

/* Forgets everything but its memory. */
void mrd_batch_builder_reset(struct mrd_batch_builder *builder);

/* The index of the tenant in this batch, which is added if it is not the last one used. `tenant` (1 to
 * MRD_BATCH_TENANT_SIZE_MAX bytes) is copied. */
uint32_t mrd_batch_builder_tenant(struct mrd_batch_builder *builder, struct mrd_bytes tenant);

/* `labels` (at most MRD_BATCH_LABELS_SIZE_MAX) are copied. */
void mrd_batch_builder_announce(struct mrd_batch_builder *builder,
                                const struct mrd_batch_announcement *announcement);

/* Says since when the sample that was added last counts; 0 says nothing. */
void mrd_batch_builder_start_time(struct mrd_batch_builder *builder, mrd_time_ms start_time_ms);

/* Adds a histogram: to the last row of histograms if that is the same series', else to a new one. All of it is copied. It must
 * be well formed (mrd_histogram_check); start_time_ms 0: unknown. */
void mrd_batch_builder_histogram(struct mrd_batch_builder *builder, uint32_t tenant,
                                 uint32_t reference, mrd_time_ms time_ms, mrd_time_ms start_time_ms,
                                 const struct mrd_histogram *histogram);

/* Likewise for exemplars; labels (at most MRD_BATCH_LABELS_SIZE_MAX) are copied. */
void mrd_batch_builder_exemplar(struct mrd_batch_builder *builder, uint32_t tenant,
                                uint32_t reference, const struct mrd_exemplar *exemplar);

/* Texts (together at most MRD_BATCH_METADATA_SIZE_MAX) are copied. */
void mrd_batch_builder_metadata(struct mrd_batch_builder *builder, uint32_t tenant,
                                const struct mrd_metadata *metadata);

/* Adds an encoded erasure (model/erasure.h), which is copied; at most MRD_BATCH_ERASURE_COUNT_MAX. Such a batch has a tenant
 * too (mrd_batch_builder_tenant), as every batch has. */
void mrd_batch_builder_erasure(struct mrd_batch_builder *builder, struct mrd_bytes erasure);

/* Adds a row with its first sample, then further samples to that row. Inline: they are the hot path. */
static inline void mrd_batch_builder_row(struct mrd_batch_builder *builder, uint32_t tenant,
                                         uint32_t reference, mrd_time_ms time_ms, double value);
static inline void mrd_batch_builder_sample(struct mrd_batch_builder *builder, mrd_time_ms time_ms,
                                            double value);

/* Nothing is in it but, perhaps, announcements; and whether a histogram, exemplar or metadata entry more is beyond the format's
 * counts. */
bool mrd_batch_builder_empty(const struct mrd_batch_builder *builder);
bool mrd_batch_builder_full(const struct mrd_batch_builder *builder);

size_t mrd_batch_builder_row_count(const struct mrd_batch_builder *builder);
size_t mrd_batch_builder_sample_count(const struct mrd_batch_builder *builder);
size_t mrd_batch_builder_announcement_count(const struct mrd_batch_builder *builder);

/* Of mrd_batch_builder_size, what is neither float samples nor announcements. */
size_t mrd_batch_builder_extras_size(const struct mrd_batch_builder *builder);

/* What the body will be before compression, about; and a size that the whole message cannot pass, with any
 * codec. Both cost nothing. */
size_t mrd_batch_builder_size(const struct mrd_batch_builder *builder);
size_t mrd_batch_builder_size_max(const struct mrd_batch_builder *builder);

/* Replaces out's content by the message. At least one row, announcement or anything else, at most
 * MRD_BATCH_SAMPLE_COUNT_MAX samples; the builder stays as it is. */
void mrd_batch_builder_finish(struct mrd_batch_builder *builder,
                              const struct mrd_batch_header *header, enum mrd_batch_codec codec,
                              struct mrd_buf *out);

/* ---- the builder's columns, visible for the inline functions only ---- */

struct mrd_batch_columns {
    uint32_t *references;
    uint32_t *sample_counts;
    size_t row_count;
    size_t row_capacity;
    mrd_time_ms *times_ms;
    double *values;
    size_t sample_count;
    size_t sample_capacity;
    struct mrd_batch_tenant_run *runs;
    size_t run_count;
    size_t run_capacity;
};

struct mrd_batch_builder {
    struct mrd_batch_columns columns;
    struct mrd_buf tenants; /* as in the body: varint size, bytes */
    uint32_t tenant_count;
    size_t tenant_last_offset;                    /* of the last one's name in `tenants` */
    struct mrd_batch_announcement *announcements; /* labels: offset and size in label_bytes */
    size_t announcement_count;
    size_t announcement_capacity;
    struct mrd_buf label_bytes;
    /* Scratch of finish. */
    struct mrd_buf body;
    struct mrd_buf packed;
    uint64_t *numbers;
    size_t number_capacity;
    void *zstd;
    struct mrd_batch_extras *extras; /* what is not a float sample; NULL until there was any */
};

void mrd_batch_builder_grow_rows(struct mrd_batch_builder *builder);
void mrd_batch_builder_grow_samples(struct mrd_batch_builder *builder);
void mrd_batch_builder_run_begin(struct mrd_batch_builder *builder, uint32_t tenant);

static inline void mrd_batch_builder_sample_put(struct mrd_batch_builder *builder,
                                                mrd_time_ms time_ms, double value)
{
    struct mrd_batch_columns *columns = &builder->columns;
    if (mrd_unlikely(columns->sample_count == columns->sample_capacity)) {
        mrd_batch_builder_grow_samples(builder);
    }
    columns->times_ms[columns->sample_count] = time_ms;
    columns->values[columns->sample_count++] = value;
}

static inline void mrd_batch_builder_row(struct mrd_batch_builder *builder, uint32_t tenant,
                                         uint32_t reference, mrd_time_ms time_ms, double value)
{
    struct mrd_batch_columns *columns = &builder->columns;
    if (mrd_unlikely(columns->row_count == columns->row_capacity)) {
        mrd_batch_builder_grow_rows(builder);
    }
    if (mrd_unlikely(columns->run_count == 0 ||
                     columns->runs[columns->run_count - 1].tenant != tenant)) {
        mrd_batch_builder_run_begin(builder, tenant);
    }
    columns->runs[columns->run_count - 1].row_count++;
    columns->references[columns->row_count] = reference;
    columns->sample_counts[columns->row_count++] = 1;
    mrd_batch_builder_sample_put(builder, time_ms, value);
}

static inline void mrd_batch_builder_sample(struct mrd_batch_builder *builder, mrd_time_ms time_ms,
                                            double value)
{
    struct mrd_batch_columns *columns = &builder->columns;
    mrd_assert(columns->row_count > 0);
    columns->sample_counts[columns->row_count - 1]++;
    mrd_batch_builder_sample_put(builder, time_ms, value);
}

#endif
