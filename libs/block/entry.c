#include "block/entry.h"

#include "base/hash.h"
#include "block/sidecar_internal.h"
#include "model/tenant.h"

enum {
    FLAG_COMPACT = 1,
    FLAG_HLC = 2,
    FLAG_TENANTS = 4, /* are listed */
    FLAGS_ALL = 7,
    COLUMN_MIN = 1,
    COLUMN_MAX = 2,
    BOUND_SIZE_MAX = 128,
};
#define ENTRY_MAGIC "MRDBLKE1"

/* ---- encoding ---- */

static void put_text(struct mrd_bytes text, struct mrd_buf *out)
{
    mrd_buf_append_varint(out, text.size);
    mrd_buf_append_bytes(out, text);
}

static void put_file(const struct mrd_block_file *file, struct mrd_buf *out)
{
    put_text(file->key, out);
    mrd_buf_append_varint(out, file->size);
    mrd_buf_append_u32(out, file->crc32c);
}

static void put_origin(const struct mrd_block_origin *origin, struct mrd_buf *out)
{
    mrd_buf_append_varint(out, origin->partition);
    mrd_buf_append_varint(out, origin->first_sequence);
    mrd_buf_append_varint(out, origin->last_sequence);
    mrd_buf_append_varint(out, origin->parent_count);
    for (size_t i = 0; i < origin->parent_count; i++) {
        put_text(origin->parents[i], out);
    }
    put_text(origin->residency_class, out);
    mrd_buf_append_u64(out, origin->hlc_min);
    mrd_buf_append_u64(out, origin->hlc_fence);
}

static void put_column(const struct mrd_block_file_column *column, struct mrd_buf *out)
{
    mrd_buf_append_varint(out, (uint32_t)column->field_id);
    mrd_buf_append_varint(out, column->stored_size);
    mrd_buf_append_varint(out, column->value_count);
    mrd_buf_append_varint(out, column->null_count);
    mrd_buf_append_varint(out, column->nan_count);
    mrd_buf_append_u8(
        out, (uint8_t)((column->has_min ? COLUMN_MIN : 0) | (column->has_max ? COLUMN_MAX : 0)));
    if (column->has_min) {
        put_text(column->min, out);
    }
    if (column->has_max) {
        put_text(column->max, out);
    }
}

/* Columns and row groups. */
static void put_parts(const struct mrd_block_listed_file *file, struct mrd_buf *out)
{
    mrd_buf_append_varint(out, file->column_count);
    for (size_t i = 0; i < file->column_count; i++) {
        put_column(&file->columns[i], out);
    }
    mrd_buf_append_varint(out, file->row_group_count);
    uint64_t before = 0;
    for (size_t i = 0; i < file->row_group_count; i++) {
        mrd_buf_append_varint(out, file->row_group_offsets[i] - before);
        before = file->row_group_offsets[i];
    }
}

static void put_entry(const struct mrd_block_entry *entry, struct mrd_buf *out)
{
    const bool listed = entry->tenants != NULL;
    mrd_buf_append_bytes(out, MRD_BYTES(ENTRY_MAGIC));
    mrd_buf_append_varint(out, (uint64_t)mrd_block_entry_version(entry));
    put_text(entry->id, out);
    mrd_buf_append_varint(out, entry->level);
    mrd_buf_append_u8(out,
                      (uint8_t)((entry->compact_layout ? FLAG_COMPACT : 0) |
                                (entry->keeps_hlc ? FLAG_HLC : 0) | (listed ? FLAG_TENANTS : 0)));
    if (entry->resolution_ms != 0) {
        mrd_buf_append_varint(out, (uint64_t)entry->resolution_ms);
    }
    put_file(&entry->data, out);
    put_file(&entry->sidecar, out);
    put_origin(&entry->origin, out);
    mbx_counts_write(&entry->counts, out);
    mrd_buf_append_varint(out, entry->tenant_count);
    for (uint64_t i = 0; listed && i < entry->tenant_count; i++) {
        put_text(entry->tenants[i].name, out);
        mbx_counts_write(&entry->tenants[i].counts, out);
    }
    put_text(entry->bloom.bits, out);
    const struct mrd_block_listed_file data = {entry->data, entry->columns, entry->column_count,
                                               entry->row_group_offsets, entry->row_group_count};
    put_parts(&data, out);
    if (entry->series_file.file.key.size > 0) {
        put_file(&entry->series_file.file, out);
        put_parts(&entry->series_file, out);
    }
}

/* ---- decoding ---- */

struct decoder {
    struct mrd_reader in;
    struct mrd_arena *arena;
    struct mrd_error *err;
};

static enum mrd_status wrong(const struct decoder *decoder, const char *what)
{
    return mrd_fail(decoder->err, MRD_E_CORRUPT, "an entry of a block is wrong: %s", what);
}

static struct mrd_bytes get_text(struct decoder *decoder, size_t size_max)
{
    const uint64_t size = mrd_read_varint(&decoder->in);
    if (size > size_max) {
        mrd_reader_fail(&decoder->in);
        return MRD_BYTES_NONE;
    }
    return mrd_read_bytes(&decoder->in, size);
}

static enum mrd_status get_array(struct decoder *decoder, uint64_t count, size_t count_max,
                                 size_t size, const char *what, void *out)
{
    if (decoder->in.failed || count > count_max || count > mrd_reader_left(&decoder->in)) {
        return wrong(decoder, what);
    }
    void *items = mrd_arena_alloc_array(decoder->arena, (size_t)count, size);
    if (items == NULL) {
        return mrd_arena_fail(decoder->arena, decoder->err);
    }
    *(void **)out = items;
    return MRD_OK;
}

static enum mrd_status get_file(struct decoder *decoder, struct mrd_block_file *out)
{
    out->key = get_text(decoder, MRD_BLOCK_KEY_SIZE_MAX);
    out->size = mrd_read_varint(&decoder->in);
    out->crc32c = mrd_read_u32(&decoder->in);
    const bool fine = !decoder->in.failed && out->key.size > 0 &&
                      memchr(out->key.data, 0, out->key.size) == NULL &&
                      out->size <= (uint64_t)INT64_MAX;
    return fine ? MRD_OK : wrong(decoder, "a file");
}

static enum mrd_status get_origin(struct decoder *decoder, struct mrd_block_origin *out)
{
    struct mrd_reader *in = &decoder->in;
    const uint64_t partition = mrd_read_varint(in);
    out->partition = (uint32_t)partition;
    out->first_sequence = mrd_read_varint(in);
    out->last_sequence = mrd_read_varint(in);
    const uint64_t count = mrd_read_varint(in);
    struct mrd_bytes *parents;
    MRD_TRY(
        get_array(decoder, count, MRD_BLOCK_PARENTS_MAX, sizeof(parents[0]), "parents", &parents));
    for (uint64_t i = 0; i < count; i++) {
        parents[i] = get_text(decoder, MRD_BLOCK_ID_SIZE_MAX);
    }
    out->parents = parents;
    out->parent_count = (size_t)count;
    out->residency_class = get_text(decoder, MRD_BLOCK_CLASS_SIZE_MAX);
    out->hlc_min = mrd_read_u64(in);
    out->hlc_fence = mrd_read_u64(in);
    return in->failed || partition > UINT32_MAX ? wrong(decoder, "its origin") : MRD_OK;
}

static enum mrd_status get_tenants(struct decoder *decoder, bool listed,
                                   struct mrd_block_entry *entry)
{
    entry->tenant_count = mrd_read_varint(&decoder->in);
    if (entry->tenant_count == 0 || entry->tenant_count > entry->counts.series) {
        return wrong(decoder, "its number of tenants");
    }
    if (!listed) {
        return MRD_OK;
    }
    struct mrd_block_tenant *tenants;
    MRD_TRY(get_array(decoder, entry->tenant_count, MRD_BLOCK_TENANTS_MAX, sizeof(tenants[0]),
                      "tenants", &tenants));
    for (uint64_t i = 0; i < entry->tenant_count; i++) {
        tenants[i].name = get_text(decoder, MRD_TENANT_SIZE_MAX);
        if (tenants[i].name.size == 0 || !mbx_counts_read(&decoder->in, &tenants[i].counts) ||
            (i > 0 && mrd_bytes_compare(tenants[i - 1].name, tenants[i].name) >= 0)) {
            return wrong(decoder, "a tenant");
        }
    }
    entry->tenants = tenants;
    return MRD_OK;
}

static enum mrd_status get_column(struct decoder *decoder, struct mrd_block_file_column *out)
{
    struct mrd_reader *in = &decoder->in;
    *out = (struct mrd_block_file_column){0};
    const uint64_t field_id = mrd_read_varint(in);
    out->field_id = (int32_t)(uint32_t)field_id;
    out->stored_size = mrd_read_varint(in);
    out->value_count = mrd_read_varint(in);
    out->null_count = mrd_read_varint(in);
    out->nan_count = mrd_read_varint(in);
    const unsigned flags = mrd_read_u8(in);
    out->has_min = (flags & COLUMN_MIN) != 0;
    out->has_max = (flags & COLUMN_MAX) != 0;
    if (out->has_min) {
        out->min = get_text(decoder, BOUND_SIZE_MAX);
    }
    if (out->has_max) {
        out->max = get_text(decoder, BOUND_SIZE_MAX);
    }
    const bool fine = !in->failed && field_id <= UINT32_MAX && flags <= 3 &&
                      out->null_count <= out->value_count && out->nan_count <= out->value_count;
    return fine ? MRD_OK : wrong(decoder, "a column");
}

static enum mrd_status get_columns(struct decoder *decoder, struct mrd_block_listed_file *out)
{
    const uint64_t count = mrd_read_varint(&decoder->in);
    struct mrd_block_file_column *columns;
    MRD_TRY(get_array(decoder, count, MRD_BLOCK_FILE_COLUMNS_MAX, sizeof(columns[0]), "columns",
                      &columns));
    for (uint64_t i = 0; i < count; i++) {
        MRD_TRY(get_column(decoder, &columns[i]));
    }
    out->columns = columns;
    out->column_count = (size_t)count;
    return MRD_OK;
}

static enum mrd_status get_row_groups(struct decoder *decoder, struct mrd_block_listed_file *out)
{
    const uint64_t count = mrd_read_varint(&decoder->in);
    uint64_t *offsets;
    MRD_TRY(get_array(decoder, count, MRD_BLOCK_ROW_GROUPS_MAX, sizeof(offsets[0]), "row groups",
                      &offsets));
    uint64_t at = 0;
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t step = mrd_read_varint(&decoder->in);
        if (step == 0 || __builtin_add_overflow(at, step, &at) || at >= out->file.size) {
            return wrong(decoder, "a row group");
        }
        offsets[i] = at;
    }
    out->row_group_offsets = offsets;
    out->row_group_count = (size_t)count;
    return MRD_OK;
}

static enum mrd_status get_parts(struct decoder *decoder, struct mrd_block_listed_file *out)
{
    MRD_TRY(get_columns(decoder, out));
    return get_row_groups(decoder, out);
}

static enum mrd_status get_series_file(struct decoder *decoder, struct mrd_block_entry *entry)
{
    if (entry->level == 0) {
        return wrong(decoder, "a file of series at level 0");
    }
    MRD_TRY(get_file(decoder, &entry->series_file.file));
    return get_parts(decoder, &entry->series_file);
}

/* A rollup is of one tenant, and has neither stamps nor scaled values. */
static enum mrd_status get_resolution(struct decoder *decoder, struct mrd_block_entry *entry)
{
    const uint64_t resolution_ms = mrd_read_varint(&decoder->in);
    if (decoder->in.failed || resolution_ms == 0 || resolution_ms > MRD_BLOCK_RESOLUTION_MS_MAX ||
        entry->level == 0 || entry->compact_layout || entry->keeps_hlc) {
        return wrong(decoder, "its resolution");
    }
    entry->resolution_ms = (mrd_time_ms)resolution_ms;
    return MRD_OK;
}

static enum mrd_status get_head(struct decoder *decoder, struct mrd_block_entry *entry,
                                bool *out_listed, bool *out_series)
{
    struct mrd_reader *in = &decoder->in;
    if (!mrd_bytes_equal(mrd_read_bytes(in, sizeof(ENTRY_MAGIC) - 1), MRD_BYTES(ENTRY_MAGIC))) {
        return wrong(decoder, "its beginning");
    }
    const uint64_t version = mrd_read_varint(in);
    if (!in->failed &&
        (version < MRD_BLOCK_FORMAT_VERSION || version > MRD_BLOCK_ENTRY_VERSION_SERIES)) {
        return mrd_fail(decoder->err, MRD_E_UNSUPPORTED,
                        "a block of format version %llu, this reads %d to %d: upgrade",
                        (unsigned long long)version, MRD_BLOCK_FORMAT_VERSION,
                        MRD_BLOCK_ENTRY_VERSION_SERIES);
    }
    entry->id = get_text(decoder, MRD_BLOCK_ID_SIZE_MAX);
    const uint64_t level = mrd_read_varint(in);
    const unsigned flags = mrd_read_u8(in);
    if (in->failed || entry->id.size == 0 || level > MRD_BLOCK_LEVEL_MAX || flags > FLAGS_ALL) {
        return wrong(decoder, "its id, level or layout");
    }
    entry->level = (unsigned)level;
    entry->compact_layout = (flags & FLAG_COMPACT) != 0;
    entry->keeps_hlc = (flags & FLAG_HLC) != 0;
    *out_listed = (flags & FLAG_TENANTS) != 0;
    *out_series = version == MRD_BLOCK_ENTRY_VERSION_SERIES;
    return version == MRD_BLOCK_FORMAT_VERSION_ROLLUP ? get_resolution(decoder, entry) : MRD_OK;
}

static enum mrd_status get_bloom(struct decoder *decoder, struct mrd_block_bloom *out)
{
    out->bits = get_text(decoder, MRD_BLOCK_BLOOM_SIZE_MAX);
    return decoder->in.failed || out->bits.size % MRD_BLOCK_BLOOM_LINE != 0
               ? wrong(decoder, "its Bloom filter")
               : MRD_OK;
}

static enum mrd_status get_entry(struct decoder *decoder, struct mrd_block_entry *entry)
{
    bool listed = false;
    bool series = false;
    MRD_TRY(get_head(decoder, entry, &listed, &series));
    MRD_TRY(get_file(decoder, &entry->data));
    MRD_TRY(get_file(decoder, &entry->sidecar));
    MRD_TRY(get_origin(decoder, &entry->origin));
    if (!mbx_counts_read(&decoder->in, &entry->counts)) {
        return wrong(decoder, "its counts");
    }
    MRD_TRY(get_tenants(decoder, listed, entry));
    MRD_TRY(get_bloom(decoder, &entry->bloom));
    struct mrd_block_listed_file data = {.file = entry->data};
    MRD_TRY(get_parts(decoder, &data));
    entry->columns = data.columns;
    entry->column_count = data.column_count;
    entry->row_group_offsets = data.row_group_offsets;
    entry->row_group_count = data.row_group_count;
    if (series) {
        MRD_TRY(get_series_file(decoder, entry));
    }
    return decoder->in.failed || mrd_reader_left(&decoder->in) > 0 ? wrong(decoder, "its end")
                                                                   : MRD_OK;
}

static enum mrd_status decode_plain(struct mrd_bytes plain, struct mrd_arena *arena,
                                    struct mrd_block_entry *out, struct mrd_error *err)
{
    struct decoder decoder = {mrd_reader_of(plain), arena, err};
    struct mrd_block_entry entry = {0};
    MRD_TRY(get_entry(&decoder, &entry));
    mrd_auto(mrd_buf_fini)
    struct mrd_buf again = {0};
    put_entry(&entry, &again);
    if (!mrd_bytes_equal(mrd_buf_view(&again), plain)) { /* numbers written longer than needed */
        return wrong(&decoder, "its numbers");
    }
    *out = entry;
    return MRD_OK;
}

enum mrd_status mrd_block_entry_encode(const struct mrd_block_entry *entry, struct mrd_buf *out,
                                       struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf plain;
    mrd_buf_init(&plain, MRD_BLOCK_ENTRY_SIZE_MAX - 4);
    put_entry(entry, &plain);
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("check of an entry", (size_t)64 << 20);
    struct mrd_block_entry again;
    struct mrd_error inner;
    const struct mrd_bytes bytes = mrd_buf_view(&plain);
    if (plain.failed || decode_plain(bytes, arena, &again, &inner) != MRD_OK) {
        return mrd_fail(err, MRD_E_INVALID, "block %.*s cannot be entered: %s", MRD_FMT(entry->id),
                        plain.failed ? "its entry is too large" : inner.text);
    }
    mrd_buf_append_bytes(out, bytes);
    mrd_buf_append_u32(out, mrd_crc32c(0, bytes));
    return out->failed ? mrd_fail(err, MRD_E_LIMIT, "no room for the entry of a block") : MRD_OK;
}

enum mrd_status mrd_block_entry_decode(struct mrd_bytes bytes, struct mrd_arena *arena,
                                       struct mrd_block_entry *out, struct mrd_error *err)
{
    uint32_t crc;
    if (bytes.size < sizeof(crc) || bytes.size > MRD_BLOCK_ENTRY_SIZE_MAX) {
        return mrd_fail(err, MRD_E_CORRUPT, "an entry of a block of %zu bytes", bytes.size);
    }
    const struct mrd_bytes plain = {bytes.data, bytes.size - sizeof(crc)};
    memcpy(&crc, plain.data + plain.size, sizeof(crc));
    if (crc != mrd_crc32c(0, plain)) {
        return mrd_fail(err, MRD_E_CORRUPT, "an entry of a block does not match its CRC");
    }
    return decode_plain(plain, arena, out, err);
}

enum mrd_status mrd_block_entry_copy(const struct mrd_block_entry *entry, struct mrd_arena *arena,
                                     struct mrd_block_entry *out, struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf plain = {0};
    put_entry(entry, &plain);
    const struct mrd_bytes copy = mrd_arena_copy(arena, mrd_buf_view(&plain));
    return copy.data == NULL ? mrd_arena_fail(arena, err) : decode_plain(copy, arena, out, err);
}

/* ---- skipping ---- */

static const struct mrd_block_tenant *find_tenant(const struct mrd_block_entry *entry,
                                                  struct mrd_bytes name)
{
    size_t from = 0;
    size_t to = (size_t)entry->tenant_count;
    while (from < to) {
        const size_t middle = from + (to - from) / 2;
        if (mrd_bytes_compare(entry->tenants[middle].name, name) < 0) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return from < entry->tenant_count && mrd_bytes_equal(entry->tenants[from].name, name)
               ? &entry->tenants[from]
               : NULL;
}

/* A regex of literals alone may match if one of them is there. */
static bool may_match(const struct mrd_block_bloom *bloom, uint64_t seed,
                      const struct mrd_matcher *matcher)
{
    if (matcher->type == MRD_MATCH_EQ) {
        return matcher->value.size == 0 ||
               mrd_block_bloom_has(bloom,
                                   mrd_block_bloom_pair(seed, matcher->name, matcher->value));
    }
    const size_t literals =
        matcher->type == MRD_MATCH_RE ? mrd_regex_literal_count(matcher->regex) : 0;
    for (size_t i = 0; i < literals; i++) {
        const struct mrd_bytes literal = mrd_regex_literal(matcher->regex, i);
        if (literal.size == 0 ||
            mrd_block_bloom_has(bloom, mrd_block_bloom_pair(seed, matcher->name, literal))) {
            return true;
        }
    }
    return literals == 0;
}

bool mrd_block_entry_may_match(const struct mrd_block_entry *entry, struct mrd_bytes tenant,
                               const struct mrd_matcher *matchers, size_t matcher_count,
                               mrd_time_ms min_ms, mrd_time_ms max_ms)
{
    const struct mrd_block_counts *counts = &entry->counts;
    const uint64_t seed = mrd_block_bloom_tenant(tenant);
    if (entry->tenants != NULL) {
        const struct mrd_block_tenant *found = find_tenant(entry, tenant);
        if (found == NULL) {
            return false;
        }
        counts = &found->counts;
    } else if (!mrd_block_bloom_has(&entry->bloom, seed)) {
        return false;
    }
    if (counts->min_ms > max_ms || counts->max_ms < min_ms) {
        return false;
    }
    for (size_t i = 0; i < matcher_count; i++) {
        if (!may_match(&entry->bloom, seed, &matchers[i])) {
            return false;
        }
    }
    return true;
}
