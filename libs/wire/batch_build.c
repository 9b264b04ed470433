#include <snappy-c.h>
#include <zstd.h>

#include "wire/batch.h"
#include "wire/batch.pb-c.h"
#include "wire/batch_internal.h"

enum { ZSTD_LEVEL = 1 };

void mrd_batch_builder_fini(struct mrd_batch_builder *builder)
{
    mrd_buf_fini(&builder->tenants);
    mrd_buf_fini(&builder->announcements);
    mrd_buf_fini(&builder->references);
    mrd_buf_fini(&builder->counts);
    mrd_buf_fini(&builder->times);
    mrd_buf_fini(&builder->values);
    mrd_buf_fini(&builder->body);
    mrd_buf_fini(&builder->packed);
    *builder = (struct mrd_batch_builder){0};
}

/* Keeps the memory for the next batch. */
static void builder_clear(struct mrd_batch_builder *builder)
{
    mrd_buf_clear(&builder->tenants);
    mrd_buf_clear(&builder->announcements);
    mrd_buf_clear(&builder->references);
    mrd_buf_clear(&builder->counts);
    mrd_buf_clear(&builder->times);
    mrd_buf_clear(&builder->values);
    mrd_buf_clear(&builder->body);
    mrd_buf_clear(&builder->packed);
    builder->tenant_count = 0;
    builder->announcement_count = 0;
    builder->row_count = 0;
    builder->sample_count = 0;
    builder->reference_next = 0;
    builder->run_value = 0;
    builder->run_rows = 0;
    builder->time_last_ms = 0;
    builder->tenant_last_offset = 0;
    builder->tenant_last_size = 0;
}

/* Index of the tenant: the last one again, or a new entry (a name may stand there twice). */
static uint32_t tenant_index(struct mrd_batch_builder *builder, struct mrd_bytes tenant)
{
    const struct mrd_bytes last = {builder->tenants.data + builder->tenant_last_offset,
                                   builder->tenant_last_size};
    if (builder->tenant_count == 0 || !mrd_bytes_equal(last, tenant)) {
        mrd_buf_append_varint(&builder->tenants, tenant.size);
        builder->tenant_last_offset = builder->tenants.size;
        builder->tenant_last_size = tenant.size;
        mrd_buf_append_bytes(&builder->tenants, tenant);
        builder->tenant_count++;
    }
    return builder->tenant_count - 1;
}

void mrd_batch_announce(struct mrd_batch_builder *builder,
                        const struct mrd_announcement *announcement)
{
    const uint32_t tenant = tenant_index(builder, announcement->tenant);
    struct mrd_buf *out = &builder->announcements;
    mrd_buf_append_varint(out, announcement->reference);
    mrd_buf_append_varint(out, tenant);
    mrd_buf_append_u64(out, announcement->id.low);
    mrd_buf_append_u64(out, announcement->id.high);
    mrd_buf_append_varint(out, announcement->labels.size);
    mrd_buf_append_bytes(out, announcement->labels);
    builder->announcement_count++;
}

static void end_run(struct mrd_batch_builder *builder)
{
    if (builder->run_rows > 0) {
        mrd_buf_append_varint(&builder->counts, builder->run_value);
        mrd_buf_append_varint(&builder->counts, builder->run_rows);
    }
    builder->run_rows = 0;
}

void mrd_batch_append(struct mrd_batch_builder *builder, uint32_t reference,
                      const struct mrd_sample *samples, size_t count)
{
    mrd_assert(count > 0 && count <= UINT32_MAX - builder->sample_count);
    if (builder->run_value != count) {
        end_run(builder);
        builder->run_value = (uint32_t)count;
    }
    builder->run_rows++;
    builder->row_count++;
    mrd_buf_append_zigzag(&builder->references, (int64_t)reference - builder->reference_next);
    builder->reference_next = reference + 1;
    uint8_t *times = mrd_buf_reserve(&builder->times, count * MRD_VARINT_SIZE_MAX);
    uint8_t *values = mrd_buf_reserve(&builder->values, count * sizeof(double));
    mrd_assert(times != NULL && values != NULL);
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        /* Wraps for times of opposite extremes; the reader adds with wrapping too. */
        const uint64_t delta = (uint64_t)samples[i].time_ms - (uint64_t)builder->time_last_ms;
        builder->time_last_ms = samples[i].time_ms;
        used += mrd_varint_put(times + used, mrd_zigzag_encode((int64_t)delta));
        memcpy(values + i * sizeof(double), &samples[i].value, sizeof(double));
    }
    builder->times.size += used;
    builder->values.size += count * sizeof(double);
    builder->sample_count += (uint32_t)count;
}

size_t mrd_batch_builder_size(const struct mrd_batch_builder *builder)
{
    return builder->tenants.size + builder->announcements.size + builder->references.size +
           builder->counts.size + builder->times.size + builder->values.size + 512;
}

/* kind, size, count fields, then the column's bytes. */
static void write_section(struct mrd_buf *body, enum batch_section kind, uint64_t count,
                          const struct mrd_buf *column)
{
    uint8_t head[MRD_VARINT_SIZE_MAX];
    const size_t head_size = mrd_varint_put(head, count);
    mrd_buf_append_u8(body, (uint8_t)kind);
    mrd_buf_append_varint(body, head_size + column->size);
    mrd_buf_append(body, head, head_size);
    mrd_buf_append(body, column->data, column->size);
}

static void build_body(struct mrd_batch_builder *builder)
{
    end_run(builder);
    struct mrd_buf *body = &builder->body;
    if (builder->announcement_count > 0) {
        write_section(body, SECTION_TENANTS, builder->tenant_count, &builder->tenants);
        write_section(body, SECTION_ANNOUNCEMENTS, builder->announcement_count,
                      &builder->announcements);
    }
    if (builder->row_count > 0) {
        write_section(body, SECTION_REFERENCES, builder->row_count, &builder->references);
        write_section(body, SECTION_SAMPLE_COUNTS, builder->sample_count, &builder->counts);
        write_section(body, SECTION_TIMES, builder->sample_count, &builder->times);
        write_section(body, SECTION_VALUES, builder->sample_count, &builder->values);
    }
}

/* Compresses the body; what does not shrink stays as it is. */
static struct mrd_bytes pack_body(struct mrd_batch_builder *builder, enum mrd_batch_codec *codec)
{
    const struct mrd_bytes body = mrd_buf_view(&builder->body);
    size_t size = *codec == MRD_BATCH_SNAPPY ? snappy_max_compressed_length(body.size)
                                             : ZSTD_compressBound(body.size);
    uint8_t *out = *codec == MRD_BATCH_NONE ? NULL : mrd_buf_reserve(&builder->packed, size);
    bool packed = false;
    if (out != NULL && *codec == MRD_BATCH_SNAPPY) {
        packed =
            snappy_compress((const char *)body.data, body.size, (char *)out, &size) == SNAPPY_OK;
    } else if (out != NULL) {
        size = ZSTD_compress(out, size, body.data, body.size, ZSTD_LEVEL);
        packed = !ZSTD_isError(size);
    }
    if (!packed || size >= body.size) {
        *codec = MRD_BATCH_NONE;
        return body;
    }
    return (struct mrd_bytes){out, size};
}

/* protobuf-c's strings and bytes are not const, but packing only reads them. */
static void *unconst(const void *pointer)
{
    union {
        const void *in;
        void *out;
    } both = {pointer};
    return both.out;
}

void mrd_batch_finish(struct mrd_batch_builder *builder, const struct mrd_batch_header *header,
                      enum mrd_batch_codec codec, struct mrd_buf *out)
{
    build_body(builder);
    const struct mrd_bytes body = pack_body(builder, &codec);
    Mrd__BatchEnvelope envelope;
    mrd__batch_envelope__init(&envelope);
    envelope.version = MRD_BATCH_VERSION;
    envelope.region = unconst(header->region);
    envelope.residency_class = unconst(header->residency_class);
    envelope.instance = unconst(header->instance);
    envelope.epoch = header->epoch;
    envelope.number = header->number;
    envelope.hlc = header->hlc;
    envelope.codec = (uint32_t)codec;
    envelope.body_size = (uint32_t)builder->body.size;
    envelope.crc32c = mrd_crc32c(0, body);
    envelope.body.len = body.size;
    envelope.body.data = unconst(body.data);
    uint8_t *to = mrd_buf_reserve(out, mrd__batch_envelope__get_packed_size(&envelope));
    if (to != NULL) {
        out->size += mrd__batch_envelope__pack(&envelope, to);
    }
    builder_clear(builder);
}
