#include <snappy-c.h>
#include <stdlib.h>
#include <zstd.h>

#include "wire/batch.h"
#include "wire/batch.pb-c.h"
#include "wire/batch_internal.h"

enum { ENVELOPE_MEMORY_MAX = 4096 /* beside the body */ };

/* Memory of one decoded batch, kept from message to message. */
struct mrd_batch_memory {
    struct mrd_arena *envelope;
    struct mrd_buf body;
    struct mrd_buf tenants;       /* struct mrd_bytes */
    struct mrd_buf announcements; /* struct mrd_announcement */
    struct mrd_buf references;
    struct mrd_buf sample_counts;
    struct mrd_buf times;
    struct mrd_buf values;
};

/* A section's content, with its count read. */
struct section {
    uint64_t count;
    struct mrd_reader reader;
};

static void *envelope_alloc(void *arena, size_t size) { return mrd_arena_alloc(arena, size); }

static void envelope_free(void *arena, void *pointer)
{
    (void)arena;
    (void)pointer;
}

static struct mrd_batch_memory *memory_create(void)
{
    struct mrd_batch_memory *memory = calloc(1, sizeof(*memory));
    mrd_assert(memory != NULL);
    memory->envelope =
        mrd_arena_create("batch envelope", MRD_BATCH_BODY_SIZE_MAX + ENVELOPE_MEMORY_MAX);
    return memory;
}

void mrd_batch_fini(struct mrd_batch *batch)
{
    struct mrd_batch_memory *memory = batch->memory;
    if (memory != NULL) {
        mrd_arena_destroy(&memory->envelope);
        mrd_buf_fini(&memory->body);
        mrd_buf_fini(&memory->tenants);
        mrd_buf_fini(&memory->announcements);
        mrd_buf_fini(&memory->references);
        mrd_buf_fini(&memory->sample_counts);
        mrd_buf_fini(&memory->times);
        mrd_buf_fini(&memory->values);
        free(memory);
    }
    *batch = (struct mrd_batch){0};
}

static enum mrd_status corrupt(struct mrd_error *err, const char *what)
{
    return mrd_fail(err, MRD_E_CORRUPT, "batch: %s", what);
}

/* Room for count items in a buffer that is used again. */
static void *column(struct mrd_buf *buf, size_t count, size_t item_size)
{
    mrd_buf_clear(buf);
    uint8_t *data = mrd_buf_reserve(buf, count * item_size);
    mrd_assert(data != NULL);
    return data;
}

static bool name_ok(const char *name)
{
    const size_t size = strlen(name);
    return size > 0 && size <= MRD_BATCH_NAME_SIZE_MAX;
}

static enum mrd_status check_envelope(const Mrd__BatchEnvelope *envelope, struct mrd_error *err)
{
    if (envelope->version != MRD_BATCH_VERSION) {
        return mrd_fail(err, MRD_E_UNSUPPORTED, "batch: version %u is not known",
                        envelope->version);
    }
    if (envelope->codec >= MRD_BATCH_CODECS) {
        return mrd_fail(err, MRD_E_UNSUPPORTED, "batch: codec %u is not known", envelope->codec);
    }
    if (!name_ok(envelope->region) || !name_ok(envelope->residency_class) ||
        !name_ok(envelope->instance)) {
        return corrupt(err, "a name is empty or too long");
    }
    if (envelope->body_size > MRD_BATCH_BODY_SIZE_MAX) {
        return corrupt(err, "the body is larger than allowed");
    }
    const struct mrd_bytes body = {envelope->body.data, envelope->body.len};
    if (mrd_crc32c(0, body) != envelope->crc32c) {
        return corrupt(err, "checksum mismatch");
    }
    return MRD_OK;
}

static enum mrd_status unpack_body(struct mrd_batch_memory *memory,
                                   const Mrd__BatchEnvelope *envelope, struct mrd_bytes *out,
                                   struct mrd_error *err)
{
    const struct mrd_bytes packed = {envelope->body.data, envelope->body.len};
    size_t size = envelope->body_size;
    if (envelope->codec == MRD_BATCH_NONE) {
        *out = packed;
        return packed.size == size ? MRD_OK : corrupt(err, "body size mismatch");
    }
    uint8_t *to = column(&memory->body, size, 1);
    bool unpacked;
    if (envelope->codec == MRD_BATCH_SNAPPY) {
        size_t declared = 0;
        unpacked = snappy_uncompressed_length((const char *)packed.data, packed.size, &declared) ==
                       SNAPPY_OK &&
                   declared == size &&
                   snappy_uncompress((const char *)packed.data, packed.size, (char *)to, &size) ==
                       SNAPPY_OK;
    } else {
        unpacked = ZSTD_decompress(to, size, packed.data, packed.size) == envelope->body_size;
    }
    *out = (struct mrd_bytes){to, size};
    return unpacked ? MRD_OK : corrupt(err, "the body cannot be decompressed");
}

/* Splits the body into its sections; each kind at most once, in ascending order. */
static enum mrd_status read_sections(struct mrd_bytes body, struct section sections[SECTION_COUNT],
                                     struct mrd_error *err)
{
    struct mrd_reader reader = mrd_reader_of(body);
    uint8_t last = 0;
    while (mrd_reader_left(&reader) > 0) {
        const uint8_t kind = mrd_read_u8(&reader);
        const struct mrd_bytes content = mrd_read_bytes(&reader, mrd_read_varint(&reader));
        if (kind >= SECTION_COUNT) {
            return mrd_fail(err, MRD_E_UNSUPPORTED, "batch: section %u is not known", kind);
        }
        if (reader.failed || kind <= last) {
            return corrupt(err, "sections are malformed");
        }
        last = kind;
        sections[kind].reader = mrd_reader_of(content);
        sections[kind].count = mrd_read_varint(&sections[kind].reader);
        if (sections[kind].reader.failed || sections[kind].count > content.size * 8) {
            return corrupt(err, "a section claims more than it can hold");
        }
    }
    return MRD_OK;
}

static enum mrd_status read_tenants(struct mrd_batch_memory *memory, struct section *section,
                                    struct mrd_error *err)
{
    struct mrd_bytes *tenants = column(&memory->tenants, section->count, sizeof(*tenants));
    for (uint64_t i = 0; i < section->count; i++) {
        tenants[i] = mrd_read_bytes(&section->reader, mrd_read_varint(&section->reader));
    }
    return section->reader.failed || mrd_reader_left(&section->reader) > 0
               ? corrupt(err, "tenants are malformed")
               : MRD_OK;
}

static enum mrd_status read_announcements(struct mrd_batch *batch, struct section *section,
                                          uint64_t tenant_count, struct mrd_error *err)
{
    struct mrd_batch_memory *memory = batch->memory;
    struct mrd_announcement *items = column(&memory->announcements, section->count, sizeof(*items));
    const struct mrd_bytes *tenants = (const struct mrd_bytes *)(void *)memory->tenants.data;
    struct mrd_reader *reader = &section->reader;
    for (uint64_t i = 0; i < section->count; i++) {
        const uint64_t reference = mrd_read_varint(reader);
        const uint64_t tenant = mrd_read_varint(reader);
        items[i].id.low = mrd_read_u64(reader);
        items[i].id.high = mrd_read_u64(reader);
        items[i].labels = mrd_read_bytes(reader, mrd_read_varint(reader));
        if (reader->failed || reference >= UINT32_MAX || tenant >= tenant_count) {
            return corrupt(err, "announcements are malformed");
        }
        items[i].reference = (uint32_t)reference;
        items[i].tenant = tenants[tenant];
    }
    if (mrd_reader_left(reader) > 0) {
        return corrupt(err, "bytes behind the announcements");
    }
    batch->announcements = items;
    batch->announcement_count = section->count;
    return MRD_OK;
}

static enum mrd_status read_references(struct mrd_batch *batch, struct section *section,
                                       struct mrd_error *err)
{
    uint32_t *references = column(&batch->memory->references, section->count, sizeof(*references));
    struct mrd_reader *reader = &section->reader;
    int64_t next = 0;
    for (uint64_t i = 0; i < section->count; i++) {
        int64_t reference;
        if (__builtin_add_overflow(next, mrd_read_zigzag(reader), &reference) || reference < 0 ||
            reference >= UINT32_MAX) {
            return corrupt(err, "a reference is out of range");
        }
        references[i] = (uint32_t)reference;
        next = reference + 1;
    }
    if (reader->failed || mrd_reader_left(reader) > 0) {
        return corrupt(err, "references are malformed");
    }
    batch->references = references;
    batch->row_count = section->count;
    return MRD_OK;
}

/* Runs of (samples per row, rows); a single run of ones needs no column. */
static enum mrd_status read_sample_counts(struct mrd_batch *batch, struct section *section,
                                          struct mrd_error *err)
{
    struct mrd_reader *reader = &section->reader;
    batch->sample_count = section->count;
    if (section->count == batch->row_count && mrd_reader_left(reader) > 0 && *reader->at == 1) {
        struct mrd_reader ones = *reader;
        (void)mrd_read_u8(&ones);
        if (mrd_read_varint(&ones) == batch->row_count && mrd_reader_left(&ones) == 0) {
            return MRD_OK;
        }
    }
    uint32_t *counts = column(&batch->memory->sample_counts, batch->row_count, sizeof(*counts));
    uint64_t rows = 0;
    uint64_t samples = 0;
    while (mrd_reader_left(reader) > 0) {
        const uint64_t value = mrd_read_varint(reader);
        const uint64_t run = mrd_read_varint(reader);
        if (reader->failed || value == 0 || value > section->count || run == 0 ||
            run > batch->row_count - rows || value * run > section->count - samples) {
            return corrupt(err, "sample counts are malformed");
        }
        for (uint64_t i = 0; i < run; i++) {
            counts[rows++] = (uint32_t)value;
        }
        samples += value * run;
    }
    if (rows != batch->row_count || samples != section->count) {
        return corrupt(err, "sample counts do not add up");
    }
    batch->sample_counts = counts;
    return MRD_OK;
}

static enum mrd_status read_times(struct mrd_batch *batch, struct section *section,
                                  struct mrd_error *err)
{
    if (section->count != batch->sample_count) {
        return corrupt(err, "there are not as many times as samples");
    }
    mrd_time_ms *times_ms = column(&batch->memory->times, section->count, sizeof(*times_ms));
    struct mrd_reader *reader = &section->reader;
    uint64_t time = 0;
    for (uint64_t i = 0; i < section->count; i++) {
        if (mrd_likely(reader->at != reader->end && *reader->at == 0)) {
            reader->at++; /* the same time again */
        } else {
            time += (uint64_t)mrd_read_zigzag(reader);
        }
        times_ms[i] = (mrd_time_ms)time;
    }
    if (reader->failed || mrd_reader_left(reader) > 0) {
        return corrupt(err, "times are malformed");
    }
    batch->times_ms = times_ms;
    return MRD_OK;
}

static enum mrd_status read_values(struct mrd_batch *batch, struct section *section,
                                   struct mrd_error *err)
{
    if (section->count != batch->sample_count ||
        mrd_reader_left(&section->reader) != section->count * sizeof(double)) {
        return corrupt(err, "there are not as many values as samples");
    }
    double *values = column(&batch->memory->values, section->count, sizeof(*values));
    if (section->count > 0) {
        memcpy(values, section->reader.at, section->count * sizeof(*values));
    }
    batch->values = values;
    return MRD_OK;
}

static enum mrd_status read_body(struct mrd_batch *batch, struct mrd_bytes body,
                                 struct mrd_error *err)
{
    struct section sections[SECTION_COUNT] = {0};
    MRD_TRY(read_sections(body, sections, err));
    MRD_TRY(read_tenants(batch->memory, &sections[SECTION_TENANTS], err));
    MRD_TRY(read_announcements(batch, &sections[SECTION_ANNOUNCEMENTS],
                               sections[SECTION_TENANTS].count, err));
    MRD_TRY(read_references(batch, &sections[SECTION_REFERENCES], err));
    MRD_TRY(read_sample_counts(batch, &sections[SECTION_SAMPLE_COUNTS], err));
    MRD_TRY(read_times(batch, &sections[SECTION_TIMES], err));
    return read_values(batch, &sections[SECTION_VALUES], err);
}

enum mrd_status mrd_batch_decode(struct mrd_bytes message, struct mrd_batch *batch,
                                 struct mrd_error *err)
{
    struct mrd_batch_memory *memory = batch->memory == NULL ? memory_create() : batch->memory;
    *batch = (struct mrd_batch){.memory = memory};
    mrd_arena_reset(memory->envelope);
    ProtobufCAllocator allocator = {envelope_alloc, envelope_free, memory->envelope};
    const Mrd__BatchEnvelope *envelope =
        mrd__batch_envelope__unpack(&allocator, message.size, message.data);
    if (envelope == NULL) {
        return corrupt(err, "the envelope cannot be read");
    }
    MRD_TRY(check_envelope(envelope, err));
    struct mrd_bytes body;
    MRD_TRY(unpack_body(memory, envelope, &body, err));
    const enum mrd_status status = read_body(batch, body, err);
    if (status != MRD_OK) {
        *batch = (struct mrd_batch){.memory = memory};
        return status;
    }
    batch->header = (struct mrd_batch_header){
        .region = envelope->region,
        .residency_class = envelope->residency_class,
        .instance = envelope->instance,
        .epoch = envelope->epoch,
        .number = envelope->number,
        .hlc = envelope->hlc,
    };
    return MRD_OK;
}

const char *mrd_batch_codec_name(enum mrd_batch_codec codec)
{
    static const char *const names[MRD_BATCH_CODECS] = {"none", "snappy", "zstd"};
    return names[codec];
}
