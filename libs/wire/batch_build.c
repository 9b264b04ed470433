#include "wire/batch_internal.h"
#include "wire/runs_internal.h"
#include "wire/values_internal.h"

#include <snappy-c.h>
#include <stdlib.h>
#include <zstd.h>

/* Doubles an array that is full; start-up sizes come by themselves. */
static void *grow(void *array, size_t *capacity, size_t item_size)
{
    const size_t wanted = *capacity == 0 ? 1024 : *capacity * 2;
    void *grown = reallocarray(array, wanted, item_size);
    mrd_assert(grown != NULL);
    *capacity = wanted;
    return grown;
}

struct mrd_batch_builder *mrd_batch_builder_create(void)
{
    struct mrd_batch_builder *builder = calloc(1, sizeof(*builder));
    mrd_assert(builder != NULL);
    return builder;
}

void mrd_batch_builder_destroy(struct mrd_batch_builder **builder)
{
    if (*builder == NULL) {
        return;
    }
    struct mrd_batch_columns *columns = &(*builder)->columns;
    free(columns->references);
    free(columns->sample_counts);
    free(columns->times_ms);
    free(columns->values);
    free(columns->runs);
    free((*builder)->announcements);
    free((*builder)->numbers);
    mrd_buf_fini(&(*builder)->tenants);
    mrd_buf_fini(&(*builder)->label_bytes);
    mrd_buf_fini(&(*builder)->body);
    mrd_buf_fini(&(*builder)->packed);
    (void)ZSTD_freeCCtx((*builder)->zstd);
    mrd_batch_extras_destroy(&(*builder)->extras);
    free(*builder);
    *builder = NULL;
}

void mrd_batch_builder_reset(struct mrd_batch_builder *builder)
{
    builder->columns.row_count = 0;
    builder->columns.sample_count = 0;
    builder->columns.run_count = 0;
    builder->tenant_count = 0;
    builder->announcement_count = 0;
    mrd_buf_clear(&builder->tenants);
    mrd_buf_clear(&builder->label_bytes);
    if (builder->extras != NULL) {
        mrd_batch_extras_clear(builder->extras);
    }
}

/* ---- filling ---- */

void mrd_batch_builder_grow_rows(struct mrd_batch_builder *builder)
{
    struct mrd_batch_columns *columns = &builder->columns;
    size_t capacity = columns->row_capacity;
    columns->references = grow(columns->references, &capacity, sizeof(*columns->references));
    columns->sample_counts =
        grow(columns->sample_counts, &columns->row_capacity, sizeof(*columns->sample_counts));
}

void mrd_batch_builder_grow_samples(struct mrd_batch_builder *builder)
{
    struct mrd_batch_columns *columns = &builder->columns;
    size_t capacity = columns->sample_capacity;
    columns->times_ms = grow(columns->times_ms, &capacity, sizeof(*columns->times_ms));
    columns->values = grow(columns->values, &columns->sample_capacity, sizeof(*columns->values));
}

void mrd_batch_builder_run_begin(struct mrd_batch_builder *builder, uint32_t tenant)
{
    struct mrd_batch_columns *columns = &builder->columns;
    mrd_assert(tenant < builder->tenant_count);
    if (columns->run_count == columns->run_capacity) {
        columns->runs = grow(columns->runs, &columns->run_capacity, sizeof(*columns->runs));
    }
    columns->runs[columns->run_count++] = (struct mrd_batch_tenant_run){tenant, 0};
}

static struct mrd_bytes tenant_last(const struct mrd_batch_builder *builder)
{
    return (struct mrd_bytes){builder->tenants.data + builder->tenant_last_offset,
                              builder->tenants.size - builder->tenant_last_offset};
}

uint32_t mrd_batch_builder_tenant(struct mrd_batch_builder *builder, struct mrd_bytes tenant)
{
    mrd_assert(tenant.size > 0 && tenant.size <= MRD_BATCH_TENANT_SIZE_MAX);
    if (builder->tenant_count > 0 && mrd_bytes_equal(tenant_last(builder), tenant)) {
        return builder->tenant_count - 1;
    }
    mrd_buf_append_varint(&builder->tenants, tenant.size);
    builder->tenant_last_offset = builder->tenants.size;
    mrd_buf_append_bytes(&builder->tenants, tenant);
    return builder->tenant_count++;
}

void mrd_batch_builder_announce(struct mrd_batch_builder *builder,
                                const struct mrd_batch_announcement *announcement)
{
    mrd_assert(announcement->tenant < builder->tenant_count);
    mrd_assert(announcement->reference < MRD_BATCH_REFERENCE_COUNT_MAX);
    mrd_assert(announcement->labels.size <= MRD_BATCH_LABELS_SIZE_MAX);
    if (builder->announcement_count == builder->announcement_capacity) {
        builder->announcements = grow(builder->announcements, &builder->announcement_capacity,
                                      sizeof(*builder->announcements));
    }
    struct mrd_batch_announcement *kept = &builder->announcements[builder->announcement_count++];
    *kept = *announcement;
    kept->labels.data = NULL; /* they follow each other in label_bytes, which may move */
    mrd_buf_append_bytes(&builder->label_bytes, announcement->labels);
}

/* ---- sizes ---- */

bool mrd_batch_builder_empty(const struct mrd_batch_builder *builder)
{
    return builder->columns.row_count == 0 && mrd_batch_extras_empty(builder->extras);
}

size_t mrd_batch_builder_row_count(const struct mrd_batch_builder *builder)
{
    return builder->columns.row_count;
}

size_t mrd_batch_builder_sample_count(const struct mrd_batch_builder *builder)
{
    return builder->columns.sample_count;
}

size_t mrd_batch_builder_announcement_count(const struct mrd_batch_builder *builder)
{
    return builder->announcement_count;
}

size_t mrd_batch_builder_extras_size(const struct mrd_batch_builder *builder)
{
    return mrd_batch_extras_size(builder->extras);
}

size_t mrd_batch_builder_size(const struct mrd_batch_builder *builder)
{
    const size_t row_size = 2;
    const size_t sample_size = sizeof(double) + 1; /* as if no value were a small number */
    const size_t announcement_size = SERIES_ID_SIZE + 2;
    return builder->columns.row_count * row_size + builder->columns.sample_count * sample_size +
           builder->announcement_count * announcement_size + builder->label_bytes.size +
           builder->tenants.size + mrd_batch_extras_size(builder->extras);
}

static size_t body_size_max(const struct mrd_batch_builder *builder)
{
    const struct mrd_batch_columns *columns = &builder->columns;
    const size_t sections = (SECTION_KNOWN_END - 1) * (SECTION_HEAD_SIZE_MAX + 8);
    const size_t announcements = 3 * mrd_runs_size_max(builder->announcement_count) +
                                 builder->announcement_count * SERIES_ID_SIZE +
                                 builder->label_bytes.size;
    const size_t rows = 2 * mrd_runs_size_max(columns->row_count) + columns->run_count * 10;
    const size_t samples =
        mrd_runs_size_max(columns->sample_count) + mrd_values_size_max(columns->sample_count);
    return sections + builder->tenants.size + announcements + rows + samples +
           mrd_batch_extras_size_max(builder->extras);
}

size_t mrd_batch_builder_size_max(const struct mrd_batch_builder *builder)
{
    return body_size_max(builder) + BATCH_ENVELOPE_SIZE_MAX;
}

/* ---- the body ---- */

uint64_t *mrd_batch_builder_numbers(struct mrd_batch_builder *builder, size_t count)
{
    if (count > builder->number_capacity) {
        free(builder->numbers);
        builder->numbers = malloc(count * sizeof(*builder->numbers));
        mrd_assert(builder->numbers != NULL);
        builder->number_capacity = count;
    }
    return builder->numbers;
}

size_t mrd_batch_section_begin(struct mrd_buf *body)
{
    const size_t start = body->size;
    const uint8_t room[SECTION_HEAD_SIZE_MAX] = {0};
    mrd_buf_append(body, room, sizeof(room));
    return start;
}

void mrd_batch_section_end(struct mrd_buf *body, size_t start, uint8_t kind)
{
    const size_t content = start + SECTION_HEAD_SIZE_MAX;
    const size_t size = body->size - content;
    uint8_t *head = body->data + start;
    head[0] = kind;
    const size_t head_size = 1 + mrd_varint_put(head + 1, size);
    memmove(head + head_size, body->data + content, size);
    body->size = start + head_size + size;
}

static void write_tenants(struct mrd_batch_builder *builder)
{
    struct mrd_buf *body = &builder->body;
    const size_t start = mrd_batch_section_begin(body);
    mrd_buf_append_varint(body, builder->tenant_count);
    mrd_buf_append_bytes(body, mrd_buf_view(&builder->tenants));
    mrd_batch_section_end(body, start, SECTION_TENANTS);
}

static void write_announcements(struct mrd_batch_builder *builder)
{
    struct mrd_buf *body = &builder->body;
    const size_t count = builder->announcement_count;
    const struct mrd_batch_announcement *items = builder->announcements;
    uint64_t *numbers = mrd_batch_builder_numbers(builder, count);
    const size_t start = mrd_batch_section_begin(body);
    mrd_buf_append_varint(body, count);
    int64_t expected = 0;
    for (size_t i = 0; i < count; i++) {
        numbers[i] = mrd_zigzag_encode((int64_t)items[i].reference - expected);
        expected = (int64_t)items[i].reference + 1;
    }
    mrd_runs_write(body, numbers, count);
    for (size_t i = 0; i < count; i++) {
        numbers[i] = items[i].tenant;
    }
    mrd_runs_write(body, numbers, count);
    for (size_t i = 0; i < count; i++) {
        numbers[i] = items[i].labels.size;
    }
    mrd_runs_write(body, numbers, count);
    for (size_t i = 0; i < count; i++) {
        mrd_buf_append_u64(body, items[i].id.low);
        mrd_buf_append_u64(body, items[i].id.high);
    }
    mrd_buf_append_bytes(body, mrd_buf_view(&builder->label_bytes));
    mrd_batch_section_end(body, start, SECTION_ANNOUNCEMENTS);
}

void mrd_batch_rows_write(struct mrd_batch_builder *builder, const struct mrd_batch_rows *rows)
{
    struct mrd_buf *body = &builder->body;
    uint64_t *numbers = mrd_batch_builder_numbers(builder, rows->row_count);
    mrd_buf_append_varint(body, rows->row_count);
    mrd_buf_append_varint(body, rows->item_count);
    mrd_buf_append_varint(body, rows->tenant_run_count);
    for (size_t i = 0; i < rows->tenant_run_count; i++) {
        mrd_buf_append_varint(body, rows->tenant_runs[i].tenant);
        mrd_buf_append_varint(body, rows->tenant_runs[i].row_count);
    }
    int64_t expected = 0;
    for (size_t i = 0; i < rows->row_count; i++) {
        numbers[i] = mrd_zigzag_encode((int64_t)rows->references[i] - expected);
        expected = (int64_t)rows->references[i] + 1;
    }
    mrd_runs_write(body, numbers, rows->row_count);
    for (size_t i = 0; i < rows->row_count; i++) {
        numbers[i] = rows->counts[i] - 1;
    }
    mrd_runs_write(body, numbers, rows->row_count);
}

static void write_rows(struct mrd_batch_builder *builder)
{
    const struct mrd_batch_columns *columns = &builder->columns;
    const struct mrd_batch_rows rows = {
        .tenant_runs = columns->runs,
        .tenant_run_count = columns->run_count,
        .references = columns->references,
        .counts = columns->sample_counts,
        .row_count = columns->row_count,
        .item_count = columns->sample_count,
    };
    const size_t start = mrd_batch_section_begin(&builder->body);
    mrd_batch_rows_write(builder, &rows);
    mrd_batch_section_end(&builder->body, start, SECTION_ROWS);
}

void mrd_batch_deltas_write(struct mrd_batch_builder *builder, const uint64_t *values, size_t count)
{
    uint64_t *numbers = mrd_batch_builder_numbers(builder, count);
    uint64_t last = 0;
    for (size_t i = 0; i < count; i++) {
        numbers[i] =
            mrd_zigzag_encode((int64_t)(values[i] - last)); /* wraps, and so does the reader */
        last = values[i];
    }
    mrd_runs_write(&builder->body, numbers, count);
}

static void write_times(struct mrd_batch_builder *builder)
{
    const struct mrd_batch_columns *columns = &builder->columns;
    const size_t start = mrd_batch_section_begin(&builder->body);
    mrd_batch_deltas_write(builder, (const uint64_t *)columns->times_ms, columns->sample_count);
    mrd_batch_section_end(&builder->body, start, SECTION_TIMES);
}

static void write_values(struct mrd_batch_builder *builder)
{
    const struct mrd_batch_columns *columns = &builder->columns;
    const size_t start = mrd_batch_section_begin(&builder->body);
    mrd_values_write(&builder->body, columns->values, columns->sample_count);
    mrd_batch_section_end(&builder->body, start, SECTION_VALUES);
}

static void write_body(struct mrd_batch_builder *builder)
{
    mrd_buf_clear(&builder->body);
    write_tenants(builder);
    if (builder->announcement_count > 0) {
        write_announcements(builder);
    }
    if (builder->columns.row_count > 0) {
        write_rows(builder);
        write_times(builder);
        write_values(builder);
    }
    mrd_batch_extras_write(builder);
    mrd_assert(!builder->body.failed);
    mrd_assert(builder->body.size <= MRD_BATCH_BODY_SIZE_MAX);
}

/* ---- the message ---- */

/* Compresses into `place` of `room` bytes, as many as the body has; 0 if it does not get smaller. */
static size_t compress(struct mrd_batch_builder *builder, enum mrd_batch_codec codec, char *place,
                       size_t room)
{
    const struct mrd_buf *body = &builder->body;
    size_t size = room;
    switch (codec) {
    case MRD_BATCH_SNAPPY:
        if (snappy_compress((const char *)body->data, body->size, place, &size) != SNAPPY_OK) {
            return 0;
        }
        break;
    case MRD_BATCH_ZSTD:
        if (builder->zstd == NULL) {
            builder->zstd = ZSTD_createCCtx();
            mrd_assert(builder->zstd != NULL);
        }
        size = ZSTD_compressCCtx(builder->zstd, place, room, body->data, body->size,
                                 MRD_BATCH_ZSTD_LEVEL);
        if (ZSTD_isError(size)) {
            return 0;
        }
        break;
    case MRD_BATCH_NONE:
        return 0;
    }
    return size < body->size ? size : 0;
}

static void append_name(struct mrd_buf *out, uint8_t tag, struct mrd_bytes name)
{
    mrd_assert(mrd_batch_name_valid(name));
    mrd_buf_append_u8(out, tag);
    mrd_buf_append_varint(out, name.size);
    mrd_buf_append_bytes(out, name);
}

static void append_varint_field(struct mrd_buf *out, uint8_t tag, uint64_t value)
{
    mrd_buf_append_u8(out, tag);
    mrd_buf_append_varint(out, value);
}

static void append_envelope(struct mrd_buf *out, const struct mrd_batch_header *header,
                            enum mrd_batch_codec codec, size_t body_size)
{
    append_varint_field(out, BATCH_VERSION, MRD_BATCH_VERSION);
    append_name(out, BATCH_REGION, header->region);
    append_name(out, BATCH_CLASS, header->residency_class);
    append_name(out, BATCH_INSTANCE, header->instance);
    append_varint_field(out, BATCH_PARTITION, header->partition);
    append_varint_field(out, BATCH_EPOCH, header->epoch);
    append_varint_field(out, BATCH_NUMBER, header->number);
    mrd_buf_append_u8(out, BATCH_HLC);
    mrd_buf_append_u64(out, header->hlc);
    append_varint_field(out, BATCH_CODEC, (uint64_t)codec);
    append_varint_field(out, BATCH_BODY_SIZE, body_size);
}

void mrd_batch_builder_finish(struct mrd_batch_builder *builder,
                              const struct mrd_batch_header *header, enum mrd_batch_codec codec,
                              struct mrd_buf *out)
{
    mrd_assert(!mrd_batch_builder_empty(builder) || builder->announcement_count > 0);
    mrd_assert(builder->columns.sample_count <= MRD_BATCH_SAMPLE_COUNT_MAX);
    mrd_assert(header->number > 0);
    write_body(builder);
    const size_t body_size = builder->body.size;
    const size_t room =
        codec == MRD_BATCH_SNAPPY ? snappy_max_compressed_length(body_size) : body_size;
    struct mrd_buf *packed = &builder->packed;
    mrd_buf_clear(packed);
    uint8_t *place = codec == MRD_BATCH_NONE ? NULL : mrd_buf_reserve(packed, room);
    packed->size = place == NULL ? 0 : compress(builder, codec, (char *)place, room);
    const bool smaller = packed->size > 0;
    const struct mrd_bytes body = mrd_buf_view(smaller ? packed : &builder->body);

    mrd_buf_clear(out);
    append_envelope(out, header, smaller ? codec : MRD_BATCH_NONE, body_size);
    append_varint_field(out, BATCH_BODY, body.size);
    mrd_buf_append_bytes(out, body);
    const uint32_t crc = mrd_crc32c(0, mrd_buf_view(out));
    mrd_buf_append_u8(out, BATCH_CRC32C);
    mrd_buf_append_u32(out, crc);
    mrd_assert(!out->failed);
}
