/* Reading sections 6 to 10 of a batch: start times, histograms, exemplars, metadata, erasures. */
#include "wire/batch_internal.h"
#include "wire/runs_internal.h"
#include "wire/values_internal.h"

enum {
    /* More than the format's counts can ask for: about 90 MiB, 32 of them for packed bytes. */
    ARENA_BYTES_MAX = 192 << 20,
    METADATA_COLUMNS = 3,
};

static void *array_of(void *from, size_t count, size_t item_size)
{
    void *place = mrd_arena_alloc_array(from, MRD_MAX(count, (size_t)1), item_size);
    mrd_assert(place != NULL); /* every count has been checked against its bound */
    return place;
}

static enum mrd_status malformed(const char *what, struct mrd_error *err)
{
    return mrd_fail(err, MRD_E_CORRUPT, "batch: malformed %s", what);
}

static bool rows_of(struct mrd_arena *arena, struct mrd_reader *section, size_t tenant_count,
                    uint64_t item_count_max, struct mrd_batch_rows *out)
{
    const struct mrd_batch_row_arrays arrays = {
        .array_of = array_of,
        .runs = arena,
        .references = arena,
        .counts = arena,
        .numbers = arena,
    };
    return mrd_batch_rows_read(&arrays, section, tenant_count, item_count_max, out);
}

/* The start times of `count` out of item_count items, as an array with 0 where none is known. */
static bool starts_read(struct mrd_arena *arena, struct mrd_reader *section, uint64_t count,
                        size_t item_count, const mrd_time_ms **out)
{
    if (count > item_count) {
        return false;
    }
    uint64_t *gaps = array_of(arena, (size_t)count, sizeof(*gaps));
    uint64_t *times = array_of(arena, (size_t)count, sizeof(*times));
    mrd_time_ms *starts = array_of(arena, item_count, sizeof(*starts));
    if (!mrd_runs_read(section, gaps, (size_t)count) ||
        !mrd_batch_deltas_read(section, times, (size_t)count)) {
        return false;
    }
    memset(starts, 0, item_count * sizeof(*starts));
    uint64_t index = 0;
    for (size_t i = 0; i < count; i++) {
        if (index >= item_count || gaps[i] >= item_count - index || times[i] == 0) {
            return false;
        }
        index += gaps[i];
        starts[index++] = (mrd_time_ms)times[i];
    }
    *out = starts;
    return true;
}

static enum mrd_status start_times_read(struct mrd_batch_reader *reader, struct mrd_bytes bytes,
                                        struct mrd_batch *out, struct mrd_error *err)
{
    struct mrd_reader section = mrd_reader_of(bytes);
    const uint64_t count = mrd_read_varint(&section);
    if (count == 0 ||
        !starts_read(reader->extras, &section, count, out->sample_count, &out->start_times_ms) ||
        mrd_reader_left(&section) > 0) {
        return malformed("start times", err);
    }
    return MRD_OK;
}

/* The rest of the section, unpacked. */
static enum mrd_status packed_read(struct mrd_batch_reader *reader, struct mrd_reader *section,
                                   const char *what, struct mrd_bytes *out, struct mrd_error *err)
{
    const uint8_t codec = mrd_read_u8(section);
    const uint64_t size = mrd_read_varint(section);
    const struct mrd_bytes rest = mrd_read_bytes(section, mrd_reader_left(section));
    if (section->failed || size > MRD_BATCH_BODY_SIZE_MAX) {
        return malformed(what, err);
    }
    if (codec != PACKED_NONE && codec != PACKED_ZSTD) {
        return mrd_fail(err, MRD_E_UNSUPPORTED, "batch: codec %u of %s is not known to this build",
                        codec, what);
    }
    if (codec == PACKED_NONE) {
        *out = rest;
        return rest.size == size ? MRD_OK : malformed(what, err);
    }
    uint8_t *place = array_of(reader->extras, (size_t)size, 1);
    if (!mrd_batch_unpack_zstd(reader, rest, place, (size_t)size)) {
        return malformed(what, err);
    }
    *out = (struct mrd_bytes){place, (size_t)size};
    return MRD_OK;
}

static enum mrd_status histograms_read(struct mrd_batch_reader *reader, struct mrd_bytes bytes,
                                       struct mrd_batch *out, struct mrd_error *err)
{
    struct mrd_reader section = mrd_reader_of(bytes);
    struct mrd_batch_histograms *histograms = &out->histograms;
    struct mrd_batch_rows *rows = &histograms->rows;
    if (!rows_of(reader->extras, &section, out->tenant_count, MRD_BATCH_HISTOGRAM_COUNT_MAX,
                 rows)) {
        return malformed("histograms", err);
    }
    uint64_t *times = array_of(reader->extras, rows->item_count, sizeof(*times));
    if (!mrd_batch_deltas_read(&section, times, rows->item_count)) {
        return malformed("histograms", err);
    }
    histograms->times_ms = (const mrd_time_ms *)times;
    const uint64_t start_count = mrd_read_varint(&section);
    if (start_count > 0 && !starts_read(reader->extras, &section, start_count, rows->item_count,
                                        &histograms->start_times_ms)) {
        return malformed("histograms", err);
    }
    struct mrd_bytes unpacked;
    MRD_TRY(packed_read(reader, &section, "histograms", &unpacked, err));
    return mrd_histogram_columns_read(unpacked, rows->item_count, reader->extras,
                                      &histograms->items)
               ? MRD_OK
               : malformed("histograms", err);
}

/* Values and sizes of labels, then the labels. */
static bool exemplar_columns(struct mrd_arena *arena, struct mrd_reader *section,
                             struct mrd_exemplar *items, size_t count)
{
    double *values = array_of(arena, count, sizeof(*values));
    uint64_t *sizes = array_of(arena, count, sizeof(*sizes));
    const struct mrd_bytes packed = mrd_read_bytes(section, mrd_read_varint(section));
    if (section->failed || !mrd_values_read(packed, values, count) ||
        !mrd_runs_read(section, sizes, count)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (sizes[i] > MRD_BATCH_LABELS_SIZE_MAX) {
            return false;
        }
        items[i].value = values[i];
        items[i].labels = mrd_read_bytes(section, sizes[i]);
    }
    return !section->failed && mrd_reader_left(section) == 0;
}

static enum mrd_status exemplars_read(struct mrd_batch_reader *reader, struct mrd_bytes bytes,
                                      struct mrd_batch *out, struct mrd_error *err)
{
    struct mrd_reader section = mrd_reader_of(bytes);
    struct mrd_batch_rows *rows = &out->exemplars.rows;
    if (!rows_of(reader->extras, &section, out->tenant_count, MRD_BATCH_EXEMPLAR_COUNT_MAX, rows)) {
        return malformed("exemplars", err);
    }
    const size_t count = rows->item_count;
    struct mrd_exemplar *items = array_of(reader->extras, count, sizeof(*items));
    uint64_t *times = array_of(reader->extras, count, sizeof(*times));
    if (!mrd_batch_deltas_read(&section, times, count) ||
        !exemplar_columns(reader->extras, &section, items, count)) {
        return malformed("exemplars", err);
    }
    for (size_t i = 0; i < count; i++) {
        items[i].time_ms = (mrd_time_ms)times[i];
    }
    out->exemplars.items = items;
    return MRD_OK;
}

/* Everything but the texts; their sizes go to `sizes`, which has METADATA_COLUMNS times count. */
static bool metadata_columns(struct mrd_reader *section, struct mrd_batch_metadata *items,
                             uint64_t *sizes, size_t count, size_t tenant_count)
{
    if (!mrd_runs_read(section, sizes, count)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (sizes[i] >= tenant_count) {
            return false;
        }
        items[i].tenant = (uint32_t)sizes[i];
    }
    if (!mrd_runs_read(section, sizes, count)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (sizes[i] >= MRD_FAMILY_TYPE_COUNT) {
            return false;
        }
        items[i].metadata.type = (enum mrd_family_type)sizes[i];
    }
    for (size_t column = 0; column < METADATA_COLUMNS; column++) {
        if (!mrd_runs_read(section, sizes + column * count, count)) {
            return false;
        }
    }
    return true;
}

static bool metadata_texts(struct mrd_bytes texts, struct mrd_batch_metadata *items,
                           const uint64_t *sizes, size_t count)
{
    struct mrd_reader reader = mrd_reader_of(texts);
    for (size_t i = 0; i < count; i++) {
        struct mrd_metadata *metadata = &items[i].metadata;
        struct mrd_bytes *parts[METADATA_COLUMNS] = {&metadata->family, &metadata->help,
                                                     &metadata->unit};
        uint64_t total = 0;
        for (size_t column = 0; column < METADATA_COLUMNS; column++) {
            const uint64_t size = sizes[column * count + i];
            *parts[column] = mrd_read_bytes(&reader, size);
            total += parts[column]->size;
        }
        if (reader.failed || metadata->family.size == 0 || total > MRD_BATCH_METADATA_SIZE_MAX) {
            return false;
        }
    }
    return mrd_reader_left(&reader) == 0;
}

static enum mrd_status metadata_read(struct mrd_batch_reader *reader, struct mrd_bytes bytes,
                                     struct mrd_batch *out, struct mrd_error *err)
{
    struct mrd_reader section = mrd_reader_of(bytes);
    const uint64_t count = mrd_read_varint(&section);
    if (count == 0 || count > MRD_BATCH_METADATA_COUNT_MAX) {
        return malformed("metadata", err);
    }
    struct mrd_batch_metadata *items = array_of(reader->extras, (size_t)count, sizeof(*items));
    uint64_t *sizes = array_of(reader->extras, (size_t)count * METADATA_COLUMNS, sizeof(*sizes));
    if (!metadata_columns(&section, items, sizes, (size_t)count, out->tenant_count)) {
        return malformed("metadata", err);
    }
    struct mrd_bytes texts;
    MRD_TRY(packed_read(reader, &section, "metadata", &texts, err));
    if (!metadata_texts(texts, items, sizes, (size_t)count)) {
        return malformed("metadata", err);
    }
    out->metadata = items;
    out->metadata_count = (size_t)count;
    return MRD_OK;
}

/* What is in them is for who applies them to decode: that compiles their regexes. */
static enum mrd_status erasures_read(struct mrd_batch_reader *reader, struct mrd_bytes bytes,
                                     struct mrd_batch *out, struct mrd_error *err)
{
    struct mrd_reader section = mrd_reader_of(bytes);
    const uint64_t count = mrd_read_varint(&section);
    if (section.failed || count == 0 || count > MRD_BATCH_ERASURE_COUNT_MAX) {
        return malformed("erasures", err);
    }
    struct mrd_bytes *items = array_of(reader->extras, (size_t)count, sizeof(*items));
    for (size_t i = 0; i < count; i++) {
        items[i] = mrd_read_bytes(&section, mrd_read_varint(&section));
        if (items[i].size == 0 || items[i].size > MRD_ERASURE_SIZE_MAX) {
            return malformed("erasures", err);
        }
    }
    if (section.failed || mrd_reader_left(&section) > 0) {
        return malformed("erasures", err);
    }
    out->erasures = items;
    out->erasure_count = (size_t)count;
    return MRD_OK;
}

typedef enum mrd_status (*section_fn)(struct mrd_batch_reader *reader, struct mrd_bytes bytes,
                                      struct mrd_batch *out, struct mrd_error *err);

enum mrd_status mrd_batch_extras_read(struct mrd_batch_reader *reader,
                                      const struct mrd_batch_sections *sections,
                                      struct mrd_batch *out, struct mrd_error *err)
{
    static const section_fn functions[SECTION_KNOWN_END] = {
        [SECTION_START_TIMES] = start_times_read, [SECTION_HISTOGRAMS] = histograms_read,
        [SECTION_EXEMPLARS] = exemplars_read,     [SECTION_METADATA] = metadata_read,
        [SECTION_ERASURES] = erasures_read,
    };
    bool begun = false;
    for (unsigned kind = SECTION_START_TIMES; kind < SECTION_KNOWN_END; kind++) {
        if (!sections->present[kind]) {
            continue;
        }
        if (!begun && reader->extras == NULL) {
            reader->extras = mrd_arena_create("sections of a batch", ARENA_BYTES_MAX);
        } else if (!begun) {
            mrd_arena_reset(reader->extras);
        }
        begun = true;
        MRD_TRY(functions[kind](reader, sections->bytes[kind], out, err));
    }
    return MRD_OK;
}
