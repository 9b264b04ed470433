/* Manifests and manifest lists read back. Hostile bytes end in MRD_E_CORRUPT, MRD_E_UNSUPPORTED or MRD_E_LIMIT. */
#include <inttypes.h>

#include "iceberg/manifest_internal.h"

/* One file under way: the records of all its blocks. */
struct avro_walk {
    struct mrd_avro_file *file;
    struct mrd_reader values;
    struct mrd_arena *arena;
    const char *what;
    struct mrd_error *err;
    bool full; /* the arena */
};

static enum mrd_status corrupt(const struct avro_walk *walk, const char *what)
{
    return mrd_fail(walk->err, MRD_E_CORRUPT, "%s: %s", walk->what, what);
}

static enum mrd_status walk_open(struct avro_walk *walk, struct mrd_bytes bytes,
                                 struct mrd_bytes schema)
{
    if (bytes.size > MRD_ICEBERG_MANIFEST_SIZE_MAX) {
        return mrd_fail(walk->err, MRD_E_LIMIT, "%s: %zu bytes, at most %d", walk->what, bytes.size,
                        MRD_ICEBERG_MANIFEST_SIZE_MAX);
    }
    MRD_TRY(mrd_avro_file_open(bytes, MRD_ICEBERG_MANIFEST_SIZE_MAX, &walk->file, walk->err));
    struct mrd_bytes found;
    if (!mrd_avro_file_metadata(walk->file, MRD_BYTES("avro.schema"), &found) ||
        !mrd_bytes_equal(found, schema)) {
        return mrd_fail(walk->err, MRD_E_UNSUPPORTED,
                        "%s: its Avro schema is not the one that this version writes", walk->what);
    }
    return MRD_OK;
}

/* How many records the next block has; every one must take bytes. */
static enum mrd_status walk_block(struct avro_walk *walk, size_t have, size_t max,
                                  size_t *out_records)
{
    uint64_t records;
    if (have > 0 && mrd_reader_left(&walk->values) != 0) {
        return corrupt(walk, "bytes behind the records of a block");
    }
    MRD_TRY(mrd_avro_file_block(walk->file, &records, &walk->values, walk->err));
    if (records > max - have || records > mrd_reader_left(&walk->values)) {
        return corrupt(walk, "more records than it may have");
    }
    *out_records = (size_t)records;
    return MRD_OK;
}

static const char *get_text(struct avro_walk *walk)
{
    const struct mrd_bytes text = mrd_avro_get_bytes(&walk->values);
    if (text.size == 0 || text.size > MRD_ICEBERG_TEXT_SIZE_MAX ||
        memchr(text.data, 0, text.size) != NULL || !mrd_bytes_utf8_valid(text)) {
        mrd_reader_fail(&walk->values);
        return "";
    }
    const struct mrd_bytes kept = mrd_arena_copy(walk->arena, text);
    walk->full |= kept.data == NULL;
    return kept.data == NULL ? "" : (const char *)kept.data;
}

static int64_t get_number(struct mrd_reader *in, int64_t min, int64_t max)
{
    const int64_t value = mrd_avro_get_long(in);
    if (value < min || value > max) {
        mrd_reader_fail(in);
        return min;
    }
    return value;
}

static bool get_maybe(struct mrd_reader *in) { return mrd_avro_get_branch(in, 2) == 1; }

/* For what we always write. */
static void get_present(struct mrd_reader *in)
{
    if (!get_maybe(in)) {
        mrd_reader_fail(in);
    }
}

static void expect(struct mrd_reader *in, struct mrd_bytes want)
{
    if (!mrd_bytes_equal(mrd_avro_get_bytes(in), want)) {
        mrd_reader_fail(in);
    }
}

/* ---- manifests ---- */

/* The column of this id; the first map tells which there are. */
static struct mrd_iceberg_column *column_of(struct mrd_iceberg_column *columns, size_t count,
                                            int64_t id)
{
    for (size_t i = 0; i < count; i++) {
        if (columns[i].field_id == id) {
            return &columns[i];
        }
    }
    return NULL;
}

static size_t get_sizes(struct avro_walk *walk, struct mrd_iceberg_column *columns)
{
    size_t count = 0;
    get_present(&walk->values);
    for (uint64_t left = 0; mrd_avro_next_item(&walk->values, &left);) {
        const int64_t id = get_number(&walk->values, 1, INT32_MAX);
        const int64_t size = get_number(&walk->values, 0, INT64_MAX);
        if (count == MRD_ICEBERG_FILE_COLUMNS_MAX || column_of(columns, count, id) != NULL) {
            mrd_reader_fail(&walk->values);
            break;
        }
        columns[count++] =
            (struct mrd_iceberg_column){.field_id = (int32_t)id, .stored_size = (uint64_t)size};
    }
    return count;
}

static void get_counts(struct mrd_reader *in, struct mrd_iceberg_column *columns, size_t count,
                       size_t offset)
{
    get_present(in);
    for (uint64_t left = 0; mrd_avro_next_item(in, &left);) {
        struct mrd_iceberg_column *column = column_of(columns, count, get_number(in, 1, INT32_MAX));
        const int64_t value = get_number(in, 0, INT64_MAX);
        if (column == NULL) {
            mrd_reader_fail(in);
            return;
        }
        *(uint64_t *)(void *)((char *)column + offset) = (uint64_t)value;
    }
}

static void get_bounds(struct avro_walk *walk, struct mrd_iceberg_column *columns, size_t count,
                       bool upper)
{
    struct mrd_reader *in = &walk->values;
    get_present(in);
    for (uint64_t left = 0; mrd_avro_next_item(in, &left);) {
        struct mrd_iceberg_column *column = column_of(columns, count, get_number(in, 1, INT32_MAX));
        const struct mrd_bytes bound = mrd_avro_get_bytes(in);
        if (column == NULL || bound.size > MRD_ICEBERG_BOUND_SIZE_MAX) {
            mrd_reader_fail(in);
            return;
        }
        const struct mrd_bytes kept = mrd_arena_copy(walk->arena, bound);
        walk->full |= kept.data == NULL;
        *(upper ? &column->has_max : &column->has_min) = true;
        *(upper ? &column->max : &column->min) = kept;
    }
}

static void *keep(struct avro_walk *walk, const void *items, size_t size)
{
    void *kept = mrd_arena_alloc(walk->arena, MRD_MAX(size, (size_t)1));
    walk->full |= kept == NULL;
    if (kept != NULL && size > 0) {
        memcpy(kept, items, size);
    }
    return kept;
}

static void get_columns(struct avro_walk *walk, struct mrd_iceberg_file *out)
{
    struct mrd_iceberg_column columns[MRD_ICEBERG_FILE_COLUMNS_MAX];
    const size_t count = get_sizes(walk, columns);
    get_counts(&walk->values, columns, count, offsetof(struct mrd_iceberg_column, value_count));
    get_counts(&walk->values, columns, count, offsetof(struct mrd_iceberg_column, null_count));
    get_counts(&walk->values, columns, count, offsetof(struct mrd_iceberg_column, nan_count));
    get_bounds(walk, columns, count, false);
    get_bounds(walk, columns, count, true);
    out->columns = keep(walk, columns, count * sizeof(columns[0]));
    out->column_count = walk->full ? 0 : count;
}

static void get_splits(struct avro_walk *walk, struct mrd_iceberg_file *out)
{
    if (!get_maybe(&walk->values)) {
        return;
    }
    mrd_auto(mrd_buf_fini)
    struct mrd_buf splits = {0};
    for (uint64_t left = 0; mrd_avro_next_item(&walk->values, &left);) {
        const uint64_t offset = (uint64_t)get_number(&walk->values, 0, INT64_MAX);
        mrd_buf_append(&splits, &offset, sizeof(offset));
        if (splits.size / sizeof(offset) > MRD_ICEBERG_SPLITS_MAX) {
            mrd_reader_fail(&walk->values);
        }
    }
    out->split_offsets = keep(walk, splits.data, splits.size);
    out->split_count = walk->full ? 0 : splits.size / sizeof(uint64_t);
}

static void get_file(struct avro_walk *walk, const struct mrd_iceberg_spec *spec,
                     struct mrd_iceberg_file *out)
{
    struct mrd_reader *in = &walk->values;
    (void)get_number(in, 0, 0); /* content: data */
    out->path = get_text(walk);
    expect(in, MRD_BYTES("PARQUET"));
    for (size_t i = 0; i < spec->field_count; i++) {
        get_present(in);
        out->partition[i] = (int32_t)get_number(in, INT32_MIN, INT32_MAX);
    }
    out->row_count = (uint64_t)get_number(in, 0, INT64_MAX);
    out->size = (uint64_t)get_number(in, 1, INT64_MAX);
    get_columns(walk, out);
    get_splits(walk, out);
    get_present(in);
    out->sorted = get_number(in, 0, MRD_ICEBERG_SORT_ID) == MRD_ICEBERG_SORT_ID;
}

/* The numbers that an added file does not say are those of its manifest. */
static void get_entry(struct avro_walk *walk, const struct mrd_iceberg_manifest *manifest,
                      const struct mrd_iceberg_spec *spec, struct mrd_iceberg_entry *out)
{
    struct mrd_reader *in = &walk->values;
    out->status = (enum mrd_iceberg_entry_status)get_number(in, 0, MRD_ICEBERG_DELETED);
    get_present(in);
    out->snapshot_id = get_number(in, 1, MRD_ICEBERG_SNAPSHOT_ID_MAX);
    out->sequence_number = manifest->sequence_number;
    for (int i = 0; i < 2; i++) { /* the data's and the file's: ours are the same */
        if (get_maybe(in)) {
            out->sequence_number = get_number(in, 1, manifest->sequence_number);
        } else if (out->status != MRD_ICEBERG_ADDED) {
            mrd_reader_fail(in);
        }
    }
    out->file.spec_id = manifest->spec_id;
    get_file(walk, spec, &out->file);
}

struct file_counts {
    uint64_t files[3];
    uint64_t rows[3];
};

static enum mrd_status check_counts(const struct avro_walk *walk, const struct file_counts *got,
                                    const struct mrd_iceberg_manifest *manifest)
{
    const bool same = got->files[MRD_ICEBERG_ADDED] == manifest->added_files &&
                      got->files[MRD_ICEBERG_EXISTING] == manifest->existing_files &&
                      got->files[MRD_ICEBERG_DELETED] == manifest->deleted_files &&
                      got->rows[MRD_ICEBERG_ADDED] == manifest->added_rows &&
                      got->rows[MRD_ICEBERG_EXISTING] == manifest->existing_rows &&
                      got->rows[MRD_ICEBERG_DELETED] == manifest->deleted_rows;
    return same ? MRD_OK : corrupt(walk, "its files are not those that the manifest list counts");
}

/* All records; `entries` has room for as many as the list counts. */
static enum mrd_status read_entries(struct avro_walk *walk,
                                    const struct mrd_iceberg_manifest *manifest,
                                    const struct mrd_iceberg_spec *spec,
                                    struct mrd_iceberg_entry *entries, size_t total)
{
    struct file_counts counts = {{0}, {0}};
    size_t count = 0;
    for (size_t records = 1; records > 0;) {
        MRD_TRY(walk_block(walk, count, total, &records));
        for (size_t i = 0; i < records; i++) {
            struct mrd_iceberg_entry *entry = &entries[count++];
            get_entry(walk, manifest, spec, entry);
            if (walk->full) {
                return mrd_arena_fail(walk->arena, walk->err);
            }
            if (walk->values.failed) {
                return corrupt(walk, "a record is none of ours or cut off");
            }
            counts.files[entry->status]++;
            counts.rows[entry->status] += entry->file.row_count;
        }
    }
    return check_counts(walk, &counts, manifest);
}

enum mrd_status mrd_iceberg_manifest_read(struct mrd_bytes bytes,
                                          const struct mrd_iceberg_manifest *manifest,
                                          const struct mrd_iceberg_metadata *metadata,
                                          struct mrd_arena *arena,
                                          struct mrd_iceberg_entry **out_entries, size_t *out_count,
                                          struct mrd_error *err)
{
    mrd_assert(manifest->spec_id < metadata->spec_count);
    struct avro_walk walk = {.arena = arena, .what = manifest->path, .err = err};
    const uint64_t total =
        (uint64_t)manifest->added_files + manifest->existing_files + manifest->deleted_files;
    if (bytes.size != manifest->size || total > MRD_ICEBERG_MANIFEST_FILES_MAX) {
        return corrupt(&walk,
                       "its size is not that of the manifest list, or it has too many files");
    }
    mrd_auto(mrd_buf_fini)
    struct mrd_buf schema = {0};
    ice_entry_schema(metadata->specs, manifest->spec_id, &schema);
    struct mrd_iceberg_entry *entries =
        mrd_arena_alloc(arena, (size_t)MRD_MAX(total, (uint64_t)1) * sizeof(*entries));
    if (entries == NULL) {
        return mrd_arena_fail(arena, err);
    }
    enum mrd_status status = walk_open(&walk, bytes, mrd_buf_view(&schema));
    if (status == MRD_OK) {
        status = read_entries(&walk, manifest, &metadata->specs[manifest->spec_id], entries,
                              (size_t)total);
    }
    mrd_avro_file_close(&walk.file);
    if (status == MRD_OK) {
        *out_entries = entries;
        *out_count = (size_t)total;
    }
    return status;
}

/* ---- manifest lists ---- */

static int32_t get_partition_bound(struct mrd_reader *in)
{
    int32_t value = 0;
    get_present(in);
    const struct mrd_bytes bytes = mrd_avro_get_bytes(in);
    if (bytes.size != sizeof(value)) {
        mrd_reader_fail(in);
        return 0;
    }
    memcpy(&value, bytes.data, sizeof(value));
    return value;
}

static void get_partitions(struct mrd_reader *in, const struct mrd_iceberg_spec *spec,
                           struct mrd_iceberg_manifest *out)
{
    size_t count = 0;
    get_present(in);
    for (uint64_t left = 0; mrd_avro_next_item(in, &left); count++) {
        if (count == spec->field_count) {
            mrd_reader_fail(in);
            return;
        }
        (void)mrd_avro_get_boolean(in);
        get_present(in);
        (void)mrd_avro_get_boolean(in);
        out->partition_min[count] = get_partition_bound(in);
        out->partition_max[count] = get_partition_bound(in);
    }
    if (count != spec->field_count) {
        mrd_reader_fail(in);
    }
}

static void get_manifest(struct avro_walk *walk, const struct mrd_iceberg_metadata *metadata,
                         struct mrd_iceberg_manifest *out)
{
    struct mrd_reader *in = &walk->values;
    const int64_t sequence_max = metadata->last_sequence_number;
    out->path = get_text(walk);
    out->size = (uint64_t)get_number(in, 1, MRD_ICEBERG_MANIFEST_SIZE_MAX);
    out->spec_id = (uint32_t)get_number(in, 0, (int64_t)metadata->spec_count - 1);
    (void)get_number(in, 0, 0); /* content: data */
    out->sequence_number = get_number(in, 1, sequence_max);
    out->min_sequence_number = get_number(in, 1, out->sequence_number);
    out->added_snapshot_id = get_number(in, 1, MRD_ICEBERG_SNAPSHOT_ID_MAX);
    out->added_files = (uint32_t)get_number(in, 0, MRD_ICEBERG_MANIFEST_FILES_MAX);
    out->existing_files = (uint32_t)get_number(in, 0, MRD_ICEBERG_MANIFEST_FILES_MAX);
    out->deleted_files = (uint32_t)get_number(in, 0, MRD_ICEBERG_MANIFEST_FILES_MAX);
    out->added_rows = (uint64_t)get_number(in, 0, INT64_MAX);
    out->existing_rows = (uint64_t)get_number(in, 0, INT64_MAX);
    out->deleted_rows = (uint64_t)get_number(in, 0, INT64_MAX);
    get_partitions(in, &metadata->specs[out->spec_id], out);
}

static enum mrd_status read_manifests(struct avro_walk *walk,
                                      const struct mrd_iceberg_metadata *metadata,
                                      struct mrd_buf *out)
{
    size_t count = 0;
    for (size_t records = 1; records > 0;) {
        MRD_TRY(walk_block(walk, count, MRD_ICEBERG_MANIFESTS_MAX, &records));
        for (size_t i = 0; i < records; i++, count++) {
            struct mrd_iceberg_manifest manifest = {0};
            get_manifest(walk, metadata, &manifest);
            if (walk->full) {
                return mrd_arena_fail(walk->arena, walk->err);
            }
            if (walk->values.failed) {
                return corrupt(walk, "a record is none of ours or cut off");
            }
            mrd_buf_append(out, &manifest, sizeof(manifest));
        }
    }
    return MRD_OK;
}

enum mrd_status mrd_iceberg_list_read(struct mrd_bytes bytes,
                                      const struct mrd_iceberg_metadata *metadata,
                                      struct mrd_arena *arena,
                                      struct mrd_iceberg_manifest **out_manifests,
                                      size_t *out_count, struct mrd_error *err)
{
    struct avro_walk walk = {.arena = arena, .what = "manifest list", .err = err};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf found = {0};
    enum mrd_status status = walk_open(&walk, bytes, ice_list_schema());
    if (status == MRD_OK) {
        status = read_manifests(&walk, metadata, &found);
    }
    mrd_avro_file_close(&walk.file);
    MRD_TRY(status);
    struct mrd_iceberg_manifest *manifests = keep(&walk, found.data, found.size);
    if (manifests == NULL) {
        return mrd_arena_fail(arena, err);
    }
    *out_manifests = manifests;
    *out_count = found.size / sizeof(*manifests);
    return MRD_OK;
}
