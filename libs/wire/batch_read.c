#include "wire/batch_internal.h"
#include "wire/runs_internal.h"
#include "wire/values_internal.h"

#include <inttypes.h>
#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>

enum { SCRATCHES = 9 };

static void scratches(struct mrd_batch_reader *reader, struct mrd_batch_scratch *list[SCRATCHES])
{
    list[0] = &reader->tenants;
    list[1] = &reader->tenant_seeds;
    list[2] = &reader->announcements;
    list[3] = &reader->rows.runs;
    list[4] = &reader->rows.references;
    list[5] = &reader->rows.counts;
    list[6] = &reader->times;
    list[7] = &reader->values;
    list[8] = &reader->numbers;
}

/* Counts come from checked sizes, so this cannot be made to ask for more than a few times the body. */
static void *scratch_of(struct mrd_batch_scratch *scratch, size_t count, size_t item_size)
{
    const size_t wanted = MRD_MAX(count, (size_t)1) * item_size;
    if (wanted > scratch->size_bytes) {
        free(scratch->data);
        scratch->data = malloc(wanted);
        mrd_assert(scratch->data != NULL);
        scratch->size_bytes = wanted;
    }
    return scratch->data;
}

struct mrd_batch_reader *mrd_batch_reader_create(void)
{
    struct mrd_batch_reader *reader = calloc(1, sizeof(*reader));
    mrd_assert(reader != NULL);
    return reader;
}

void mrd_batch_reader_destroy(struct mrd_batch_reader **reader)
{
    if (*reader == NULL) {
        return;
    }
    struct mrd_batch_scratch *list[SCRATCHES];
    scratches(*reader, list);
    for (size_t i = 0; i < MRD_ARRAY_LEN(list); i++) {
        free(list[i]->data);
    }
    mrd_buf_fini(&(*reader)->body);
    (void)ZSTD_freeDCtx((*reader)->zstd);
    mrd_arena_destroy(&(*reader)->extras);
    free(*reader);
    *reader = NULL;
}

size_t mrd_batch_reader_memory(const struct mrd_batch_reader *reader)
{
    return sizeof(*reader) + reader->body.capacity + reader->tenants.size_bytes +
           reader->tenant_seeds.size_bytes + reader->announcements.size_bytes +
           reader->rows.runs.size_bytes + reader->rows.references.size_bytes +
           reader->rows.counts.size_bytes + reader->times.size_bytes + reader->values.size_bytes +
           reader->numbers.size_bytes +
           (reader->zstd == NULL ? 0 : ZSTD_sizeof_DCtx(reader->zstd)) +
           (reader->extras == NULL ? 0 : mrd_arena_used(reader->extras));
}

/* ---- the envelope ---- */

bool mrd_batch_name_valid(struct mrd_bytes name)
{
    if (name.size == 0 || name.size > MRD_BATCH_NAME_MAX) {
        return false;
    }
    for (size_t i = 0; i < name.size; i++) {
        const uint8_t c = name.data[i];
        const bool allowed = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                             (c >= '0' && c <= '9') || c == '-' || c == '_';
        if (!allowed) {
            return false;
        }
    }
    return true;
}

const char *mrd_batch_id(const struct mrd_batch_header *header, char out[MRD_BATCH_ID_MAX])
{
    (void)snprintf(out, MRD_BATCH_ID_MAX, "%.*s-%" PRIu64 "-%" PRIu64, MRD_FMT(header->instance),
                   header->epoch, header->number);
    return out;
}

uint32_t mrd_batch_origin(const struct mrd_batch_header *header)
{
    return (uint32_t)mrd_hash64(header->instance, mrd_hash64(header->region, 0));
}

struct envelope {
    struct mrd_batch_header header;
    uint64_t version;
    uint64_t codec;
    uint64_t body_size;
    uint64_t partition;
    struct mrd_bytes body;
};

static void envelope_field(const struct mrd_pb_field *field, struct envelope *out)
{
    switch (field->tag) {
    case BATCH_VERSION:
        out->version = field->scalar;
        break;
    case BATCH_REGION:
        out->header.region = field->bytes;
        break;
    case BATCH_CLASS:
        out->header.residency_class = field->bytes;
        break;
    case BATCH_INSTANCE:
        out->header.instance = field->bytes;
        break;
    case BATCH_PARTITION:
        out->partition = field->scalar;
        break;
    case BATCH_EPOCH:
        out->header.epoch = field->scalar;
        break;
    case BATCH_NUMBER:
        out->header.number = field->scalar;
        break;
    case BATCH_HLC:
        out->header.hlc = field->scalar;
        break;
    case BATCH_CODEC:
        out->codec = field->scalar;
        break;
    case BATCH_BODY_SIZE:
        out->body_size = field->scalar;
        break;
    case BATCH_BODY:
        out->body = field->bytes;
        break;
    default:
        break; /* a later writer's addition that does not change what we read */
    }
}

static enum mrd_status envelope_checksum(struct mrd_bytes message, struct mrd_error *err)
{
    if (message.size > MRD_BATCH_MESSAGE_SIZE_MAX || message.size <= BATCH_CRC_FIELD_SIZE ||
        message.data[message.size - BATCH_CRC_FIELD_SIZE] != BATCH_CRC32C) {
        return mrd_fail(err, MRD_E_CORRUPT, "batch: no checksum at the end of %zu bytes",
                        message.size);
    }
    const struct mrd_bytes covered = {message.data, message.size - BATCH_CRC_FIELD_SIZE};
    uint32_t want;
    memcpy(&want, message.data + covered.size + 1, sizeof(want));
    const uint32_t got = mrd_crc32c(0, covered);
    if (got != want) {
        return mrd_fail(err, MRD_E_CORRUPT,
                        "batch: checksum is %08" PRIx32 ", should be %08" PRIx32, got, want);
    }
    return MRD_OK;
}

static enum mrd_status envelope_check(struct envelope *envelope, struct mrd_error *err)
{
    if (envelope->version != MRD_BATCH_VERSION) {
        return mrd_fail(err, MRD_E_UNSUPPORTED,
                        "batch: version %" PRIu64 " is not known to this build (it knows %d)",
                        envelope->version, MRD_BATCH_VERSION);
    }
    const struct mrd_batch_header *header = &envelope->header;
    if (!mrd_batch_name_valid(header->region) || !mrd_batch_name_valid(header->residency_class) ||
        !mrd_batch_name_valid(header->instance)) {
        return mrd_fail(err, MRD_E_CORRUPT, "batch: bad name of region, class or instance");
    }
    if (header->number == 0 || envelope->partition > UINT32_MAX) {
        return mrd_fail(err, MRD_E_CORRUPT, "batch: number %" PRIu64 " of partition %" PRIu64,
                        header->number, envelope->partition);
    }
    envelope->header.partition = (uint32_t)envelope->partition;
    return MRD_OK;
}

static enum mrd_status envelope_read(struct mrd_bytes message, struct envelope *out,
                                     struct mrd_error *err)
{
    MRD_TRY(envelope_checksum(message, err));
    *out = (struct envelope){.body = MRD_BYTES("")};
    const uint8_t *at = message.data;
    const uint8_t *end = message.data + message.size - BATCH_CRC_FIELD_SIZE;
    struct mrd_pb_field field = {0};
    while (at != end) {
        if (!mrd_pb_field_read(&at, end, &field)) {
            return mrd_fail(err, MRD_E_CORRUPT, "batch: malformed envelope");
        }
        envelope_field(&field, out);
    }
    return envelope_check(out, err);
}

enum mrd_status mrd_batch_header_read(struct mrd_bytes message, struct mrd_batch_header *out,
                                      struct mrd_error *err)
{
    struct envelope envelope;
    MRD_TRY(envelope_read(message, &envelope, err));
    *out = envelope.header;
    return MRD_OK;
}

/* ---- decompression ---- */

static bool unpack_snappy(struct mrd_bytes packed, uint8_t *place, size_t size)
{
    size_t declared;
    if (snappy_uncompressed_length((const char *)packed.data, packed.size, &declared) !=
            SNAPPY_OK ||
        declared != size) {
        return false;
    }
    size_t written = size;
    return snappy_uncompress((const char *)packed.data, packed.size, (char *)place, &written) ==
               SNAPPY_OK &&
           written == size;
}

bool mrd_batch_unpack_zstd(struct mrd_batch_reader *reader, struct mrd_bytes packed, uint8_t *place,
                           size_t size)
{
    if (reader->zstd == NULL) {
        reader->zstd = ZSTD_createDCtx();
        mrd_assert(reader->zstd != NULL);
    }
    return ZSTD_decompressDCtx(reader->zstd, place, size, packed.data, packed.size) == size;
}

/* *out views the body, in the message or in the reader's memory. */
static enum mrd_status unpack(struct mrd_batch_reader *reader, const struct envelope *envelope,
                              struct mrd_bytes *out, struct mrd_error *err)
{
    if (envelope->body_size == 0 || envelope->body_size > MRD_BATCH_BODY_SIZE_MAX) {
        return mrd_fail(err, MRD_E_CORRUPT,
                        "batch: the body declares %" PRIu64 " bytes (the bound is %d)",
                        envelope->body_size, MRD_BATCH_BODY_SIZE_MAX);
    }
    if (envelope->codec > MRD_BATCH_ZSTD) {
        return mrd_fail(err, MRD_E_UNSUPPORTED,
                        "batch: codec %" PRIu64 " is not known to this build", envelope->codec);
    }
    const size_t size = (size_t)envelope->body_size;
    if (envelope->codec == MRD_BATCH_NONE) {
        *out = envelope->body;
        return envelope->body.size == size
                   ? MRD_OK
                   : mrd_fail(err, MRD_E_CORRUPT, "batch: the body has %zu bytes, not %zu",
                              envelope->body.size, size);
    }
    mrd_buf_clear(&reader->body);
    uint8_t *place = mrd_buf_reserve(&reader->body, size);
    mrd_assert(place != NULL);
    const bool unpacked = envelope->codec == MRD_BATCH_SNAPPY
                              ? unpack_snappy(envelope->body, place, size)
                              : mrd_batch_unpack_zstd(reader, envelope->body, place, size);
    if (!unpacked) {
        return mrd_fail(err, MRD_E_CORRUPT, "batch: the body does not decompress to %zu bytes",
                        size);
    }
    *out = (struct mrd_bytes){place, size};
    return MRD_OK;
}

/* ---- sections ---- */

static enum mrd_status section_fail(const char *what, struct mrd_error *err)
{
    return mrd_fail(err, MRD_E_CORRUPT, "batch: malformed %s", what);
}

static enum mrd_status sections_read(struct mrd_bytes body, struct mrd_batch_sections *out,
                                     struct mrd_error *err)
{
    *out = (struct mrd_batch_sections){0};
    struct mrd_reader reader = mrd_reader_of(body);
    unsigned last = 0;
    while (mrd_reader_left(&reader) > 0) {
        const unsigned kind = mrd_read_u8(&reader);
        const struct mrd_bytes bytes = mrd_read_bytes(&reader, mrd_read_varint(&reader));
        if (reader.failed || kind <= last) {
            return section_fail("sections", err);
        }
        if (kind >= SECTION_KNOWN_END) {
            return mrd_fail(err, MRD_E_UNSUPPORTED,
                            "batch: section kind %u is not known to this build", kind);
        }
        out->bytes[kind] = bytes;
        out->present[kind] = true;
        last = kind;
    }
    const bool rows = out->present[SECTION_ROWS];
    const bool anything = rows || out->present[SECTION_ANNOUNCEMENTS] ||
                          out->present[SECTION_HISTOGRAMS] || out->present[SECTION_EXEMPLARS] ||
                          out->present[SECTION_METADATA] || out->present[SECTION_ERASURES];
    if (!out->present[SECTION_TENANTS] || rows != out->present[SECTION_TIMES] ||
        rows != out->present[SECTION_VALUES] || (!rows && out->present[SECTION_START_TIMES]) ||
        !anything) {
        return mrd_fail(err, MRD_E_CORRUPT, "batch: a section is missing");
    }
    return MRD_OK;
}

static enum mrd_status tenants_read(struct mrd_batch_reader *reader, struct mrd_bytes bytes,
                                    struct mrd_batch *out, struct mrd_error *err)
{
    struct mrd_reader section = mrd_reader_of(bytes);
    const uint64_t count = mrd_read_varint(&section);
    if (section.failed || count == 0 || count > mrd_reader_left(&section) / 2) {
        return section_fail("tenants", err);
    }
    struct mrd_bytes *tenants = scratch_of(&reader->tenants, (size_t)count, sizeof(*tenants));
    for (size_t i = 0; i < count; i++) {
        tenants[i] = mrd_read_bytes(&section, mrd_read_varint(&section));
        if (tenants[i].size == 0 || tenants[i].size > MRD_BATCH_TENANT_SIZE_MAX) {
            return section_fail("tenants", err);
        }
    }
    if (section.failed || mrd_reader_left(&section) > 0) {
        return section_fail("tenants", err);
    }
    out->tenants = tenants;
    out->tenant_count = (size_t)count;
    return MRD_OK;
}

/* The columns before the ids: references, tenants, label sizes. */
static bool announcement_columns(struct mrd_reader *section, uint64_t *numbers,
                                 struct mrd_batch_announcement *items, size_t count,
                                 size_t tenant_count)
{
    if (!mrd_runs_read(section, numbers, count)) {
        return false;
    }
    int64_t expected = 0;
    for (size_t i = 0; i < count; i++) {
        if (!mrd_batch_reference_next(numbers[i], &expected, &items[i].reference)) {
            return false;
        }
    }
    if (!mrd_runs_read(section, numbers, count)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (numbers[i] >= tenant_count) {
            return false;
        }
        items[i].tenant = (uint32_t)numbers[i];
    }
    return mrd_runs_read(section, numbers, count); /* label sizes stay in numbers */
}

static bool announcement_contents(struct mrd_reader *section, const uint64_t *label_sizes,
                                  const uint64_t *tenant_seeds,
                                  struct mrd_batch_announcement *items, size_t count)
{
    const struct mrd_bytes ids = mrd_read_bytes(section, count * SERIES_ID_SIZE);
    if (section->failed) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        memcpy(&items[i].id.low, ids.data + i * SERIES_ID_SIZE, 8);
        memcpy(&items[i].id.high, ids.data + i * SERIES_ID_SIZE + 8, 8);
        if (label_sizes[i] > MRD_BATCH_LABELS_SIZE_MAX) {
            return false;
        }
        items[i].labels = mrd_read_bytes(section, label_sizes[i]);
        const mrd_series_id id = mrd_series_id_of(tenant_seeds[items[i].tenant], items[i].labels);
        if (section->failed || !mrd_id128_equal(id, items[i].id)) {
            return false;
        }
    }
    return mrd_reader_left(section) == 0;
}

static enum mrd_status announcements_read(struct mrd_batch_reader *reader, struct mrd_bytes bytes,
                                          struct mrd_batch *out, struct mrd_error *err)
{
    struct mrd_reader section = mrd_reader_of(bytes);
    const uint64_t count = mrd_read_varint(&section);
    if (section.failed || count == 0 || count > mrd_reader_left(&section) / SERIES_ID_SIZE) {
        return section_fail("announcements", err);
    }
    uint64_t *seeds = scratch_of(&reader->tenant_seeds, out->tenant_count, sizeof(*seeds));
    for (size_t i = 0; i < out->tenant_count; i++) {
        seeds[i] = mrd_tenant_seed(out->tenants[i]);
    }
    struct mrd_batch_announcement *items =
        scratch_of(&reader->announcements, (size_t)count, sizeof(*items));
    uint64_t *numbers = scratch_of(&reader->numbers, (size_t)count, sizeof(*numbers));
    if (!announcement_columns(&section, numbers, items, (size_t)count, out->tenant_count) ||
        !announcement_contents(&section, numbers, seeds, items, (size_t)count)) {
        return section_fail("announcements", err);
    }
    out->announcements = items;
    out->announcement_count = (size_t)count;
    return MRD_OK;
}

/* ---- rows ---- */

static void *scratch_array(void *from, size_t count, size_t item_size)
{
    return scratch_of(from, count, item_size);
}

static enum mrd_status rows_read(struct mrd_batch_reader *reader, struct mrd_bytes bytes,
                                 struct mrd_batch *out, struct mrd_error *err)
{
    struct mrd_reader section = mrd_reader_of(bytes);
    const struct mrd_batch_row_arrays arrays = {
        .array_of = scratch_array,
        .runs = &reader->rows.runs,
        .references = &reader->rows.references,
        .counts = &reader->rows.counts,
        .numbers = &reader->numbers,
    };
    struct mrd_batch_rows rows;
    if (!mrd_batch_rows_read(&arrays, &section, out->tenant_count, MRD_BATCH_SAMPLE_COUNT_MAX,
                             &rows) ||
        mrd_reader_left(&section) > 0) {
        return section_fail("rows", err);
    }
    out->tenant_runs = rows.tenant_runs;
    out->tenant_run_count = rows.tenant_run_count;
    out->references = rows.references;
    out->sample_counts = rows.counts;
    out->row_count = rows.row_count;
    out->sample_count = rows.item_count;
    return MRD_OK;
}

static enum mrd_status times_read(struct mrd_batch_reader *reader, struct mrd_bytes bytes,
                                  struct mrd_batch *out, struct mrd_error *err)
{
    struct mrd_reader section = mrd_reader_of(bytes);
    uint64_t *times = scratch_of(&reader->times, out->sample_count, sizeof(*times));
    if (!mrd_batch_deltas_read(&section, times, out->sample_count) ||
        mrd_reader_left(&section) > 0) {
        return section_fail("times", err);
    }
    out->times_ms = (const mrd_time_ms *)times;
    return MRD_OK;
}

static enum mrd_status values_read(struct mrd_batch_reader *reader, struct mrd_bytes bytes,
                                   struct mrd_batch *out, struct mrd_error *err)
{
    double *values = scratch_of(&reader->values, out->sample_count, sizeof(*values));
    if (!mrd_values_read(bytes, values, out->sample_count)) {
        return section_fail("values", err);
    }
    out->values = values;
    return MRD_OK;
}

enum mrd_status mrd_batch_read(struct mrd_batch_reader *reader, struct mrd_bytes message,
                               struct mrd_batch *out, struct mrd_error *err)
{
    struct envelope envelope;
    struct mrd_bytes body = MRD_BYTES_NONE;
    struct mrd_batch_sections sections;
    MRD_TRY(envelope_read(message, &envelope, err));
    MRD_TRY(unpack(reader, &envelope, &body, err));
    MRD_TRY(sections_read(body, &sections, err));
    struct mrd_batch batch = {.header = envelope.header};
    MRD_TRY(tenants_read(reader, sections.bytes[SECTION_TENANTS], &batch, err));
    if (sections.present[SECTION_ANNOUNCEMENTS]) {
        MRD_TRY(announcements_read(reader, sections.bytes[SECTION_ANNOUNCEMENTS], &batch, err));
    }
    if (sections.present[SECTION_ROWS]) {
        MRD_TRY(rows_read(reader, sections.bytes[SECTION_ROWS], &batch, err));
        MRD_TRY(times_read(reader, sections.bytes[SECTION_TIMES], &batch, err));
        MRD_TRY(values_read(reader, sections.bytes[SECTION_VALUES], &batch, err));
    }
    MRD_TRY(mrd_batch_extras_read(reader, &sections, &batch, err));
    *out = batch;
    return MRD_OK;
}
