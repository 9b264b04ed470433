#include "block/writer_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"

/* ---- what the data file says of the block ---- */

static enum mrd_status set_text(struct mrd_block_writer *writer, const char *key, const char *value,
                                struct mrd_error *err)
{
    return mrd_pq_writer_set(writer->parquet, mrd_bytes_of(key), mrd_bytes_of(value), err);
}

static enum mrd_status set_number(struct mrd_block_writer *writer, const char *key, uint64_t value,
                                  struct mrd_error *err)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%" PRIu64, value);
    return set_text(writer, key, text, err);
}

static enum mrd_status set_metadata(struct mrd_block_writer *writer,
                                    const struct mrd_block_origin *origin, struct mrd_error *err)
{
    MRD_TRY(set_text(writer, "meridian.block", writer->id, err));
    MRD_TRY(set_number(writer, "meridian.format",
                       writer->resolution_ms == 0 ? MRD_BLOCK_FORMAT_VERSION
                                                  : MRD_BLOCK_FORMAT_VERSION_ROLLUP,
                       err));
    if (writer->resolution_ms != 0) {
        MRD_TRY(set_number(writer, "meridian.resolution_ms", (uint64_t)writer->resolution_ms, err));
    }
    MRD_TRY(set_number(writer, "meridian.level", writer->level, err));
    MRD_TRY(set_number(writer, "meridian.hlc_min", origin->hlc_min, err));
    MRD_TRY(set_number(writer, "meridian.hlc_fence", origin->hlc_fence, err));
    return mrd_pq_writer_set(writer->parquet, mrd_bytes_of("meridian.residency_class"),
                             origin->residency_class, err);
}

/* ---- the sidecar ---- */

static void repoint_names(struct mbx_build *build)
{
    struct mrd_block_tenant *tenants = (struct mrd_block_tenant *)(void *)build->tenants.data;
    const size_t count = build->tenants.size / sizeof(tenants[0]);
    const uint8_t *at = build->tenant_names.data;
    for (size_t i = 0; i < count; i++) {
        tenants[i].name.data = at;
        at += tenants[i].name.size;
    }
}

static void write_sidecar(struct mrd_block_writer *writer, const struct mrd_pq_written *data,
                          struct mrd_buf *out)
{
    const struct block_part *parts = (const struct block_part *)(const void *)writer->parts.data;
    const size_t count = writer->parts.size / sizeof(parts[0]);
    struct mbx_part_at *at = calloc(count, sizeof(*at));
    mrd_assert(at != NULL);
    size_t page_count;
    struct mbx_page *pages = block_pages(writer, &page_count);
    for (size_t i = 0; i < page_count; i++) {
        pages[i].leaves = block_page_leaves(writer, i);
    }
    mrd_auto(mrd_buf_fini)
    struct mrd_buf plain = {0};
    for (size_t i = 0; i < count; i++) {
        mrd_buf_clear(&plain);
        mbx_pages_write(pages + parts[i].pages_first, parts[i].pages_count, writer->leaf_count,
                        &plain);
        at[i] =
            (struct mbx_part_at){.index = parts[i].index, .tenants_count = parts[i].tenants_count};
        mbx_frame_write(mrd_buf_view(&plain), writer->zstd_level, out, &at[i].pages);
    }
    const struct mbx_directory directory = {
        .id = mrd_bytes_of(writer->id),
        .resolution_ms = writer->resolution_ms,
        .data_size = data->size,
        .data_crc32c = data->crc32c,
        .parts = at,
        .part_count = count,
        .tenants = (struct mrd_block_tenant *)(void *)writer->build.tenants.data,
        .tenant_count = writer->build.tenants.size / sizeof(struct mrd_block_tenant),
    };
    mbx_directory_write(&directory, writer->zstd_level, out);
    free(at);
}

/* ---- reading back ---- */

static enum mrd_status verify_tail(struct mrd_block_writer *writer, const char *key, uint64_t size,
                                   struct mrd_bytes tail, struct mrd_error *err)
{
    struct mrd_objstore_info info;
    MRD_TRY(mrd_objstore_head(writer->store, key, writer->control, &info, err));
    if (info.size != size) {
        return mrd_fail(err, MRD_E_CORRUPT, "%s has %" PRIu64 " bytes, written were %" PRIu64, key,
                        info.size, size);
    }
    uint8_t read[BLOCK_TAIL_BYTES];
    mrd_assert(tail.size > 0 && tail.size <= sizeof(read));
    const struct mrd_objstore_range range = {size - tail.size, tail.size, read};
    MRD_TRY(mrd_objstore_read(writer->store, key, &range, 1, writer->control, err));
    if (memcmp(read, tail.data, tail.size) != 0) {
        return mrd_fail(err, MRD_E_CORRUPT, "%s does not end as it was written", key);
    }
    return MRD_OK;
}

/* ---- the entry ---- */

static struct mrd_bytes copy_text(struct mrd_arena *arena, struct mrd_bytes text, bool *failed)
{
    const struct mrd_bytes copy = mrd_arena_copy(arena, text);
    *failed |= copy.data == NULL;
    return copy;
}

static bool add_tenants(struct mrd_block_writer *writer, struct mrd_arena *arena,
                        struct mrd_block_entry *entry)
{
    const struct mrd_block_tenant *from =
        (const struct mrd_block_tenant *)(const void *)writer->build.tenants.data;
    const size_t count = writer->build.tenants.size / sizeof(from[0]);
    entry->tenant_count = count;
    mbx_counts_init(&entry->counts);
    for (size_t i = 0; i < count; i++) {
        mbx_counts_add(&entry->counts, &from[i].counts);
    }
    if (count > MRD_BLOCK_TENANTS_MAX) {
        return true;
    }
    bool failed = false;
    struct mrd_block_tenant *tenants = mrd_arena_alloc_array(arena, count, sizeof(tenants[0]));
    for (size_t i = 0; tenants != NULL && i < count; i++) {
        tenants[i] = from[i];
        tenants[i].name = copy_text(arena, from[i].name, &failed);
    }
    entry->tenants = tenants;
    return tenants != NULL && !failed;
}

static bool add_bloom(struct mrd_block_writer *writer, struct mrd_arena *arena,
                      struct mrd_block_entry *entry)
{
    const uint64_t *keys = (const uint64_t *)(const void *)writer->build.keys.data;
    const size_t count = writer->build.keys.size / sizeof(keys[0]);
    const size_t size = mrd_block_bloom_size(count, writer->bloom_bytes_max);
    if (size == 0) {
        return true;
    }
    uint8_t *bits = mrd_arena_alloc(arena, size);
    if (bits == NULL) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        mrd_block_bloom_add(bits, size, keys[i]);
    }
    entry->bloom.bits = (struct mrd_bytes){bits, size};
    return true;
}

static bool add_columns(struct mrd_block_writer *writer, struct mrd_arena *arena,
                        struct mrd_block_entry *entry)
{
    const size_t count = mrd_pq_writer_leaf_count(writer->parquet);
    struct mrd_block_file_column *columns = mrd_arena_alloc_array(arena, count, sizeof(columns[0]));
    bool failed = columns == NULL;
    for (size_t i = 0; !failed && i < count; i++) {
        const struct mrd_pq_totals totals = mrd_pq_writer_totals(writer->parquet, i);
        columns[i] = (struct mrd_block_file_column){
            .field_id = mrd_pq_writer_leaf(writer->parquet, i)->field_id,
            .stored_size = totals.stored_size,
            .value_count = totals.stats.entries,
            .null_count = totals.stats.nulls,
            .nan_count = totals.stats.nans,
            .has_min = totals.bounds.min.present,
            .has_max = totals.bounds.max.present,
        };
        if (columns[i].has_min) {
            columns[i].min = copy_text(
                arena, (struct mrd_bytes){totals.bounds.min.data, totals.bounds.min.size}, &failed);
        }
        if (columns[i].has_max) {
            columns[i].max = copy_text(
                arena, (struct mrd_bytes){totals.bounds.max.data, totals.bounds.max.size}, &failed);
        }
    }
    entry->columns = columns;
    entry->column_count = count;
    return !failed;
}

static bool add_row_groups(struct mrd_block_writer *writer, const struct mrd_pq_written *data,
                           struct mrd_arena *arena, struct mrd_block_entry *entry)
{
    uint64_t *offsets = mrd_arena_alloc_array(arena, data->row_groups, sizeof(offsets[0]));
    for (uint32_t i = 0; offsets != NULL && i < data->row_groups; i++) {
        offsets[i] = mrd_pq_writer_row_group_offset(writer->parquet, i);
    }
    entry->row_group_offsets = offsets;
    entry->row_group_count = data->row_groups;
    return offsets != NULL;
}

static bool add_origin(const struct mrd_block_origin *origin, struct mrd_arena *arena,
                       struct mrd_block_entry *entry)
{
    bool failed = false;
    entry->origin = *origin;
    entry->origin.residency_class = copy_text(arena, origin->residency_class, &failed);
    struct mrd_bytes *parents =
        mrd_arena_alloc_array(arena, origin->parent_count, sizeof(parents[0]));
    for (size_t i = 0; parents != NULL && i < origin->parent_count; i++) {
        parents[i] = copy_text(arena, origin->parents[i], &failed);
    }
    entry->origin.parents = parents;
    return parents != NULL && !failed;
}

static enum mrd_status make_entry(struct mrd_block_writer *writer,
                                  const struct mrd_block_origin *origin,
                                  const struct mrd_pq_written *data, struct mrd_bytes sidecar,
                                  struct mrd_arena *arena, struct mrd_block_entry *out,
                                  struct mrd_error *err)
{
    bool failed = false;
    struct mrd_block_entry entry = {
        .id = copy_text(arena, mrd_bytes_of(writer->id), &failed),
        .level = writer->level,
        .resolution_ms = writer->resolution_ms,
        .compact_layout = writer->compact,
        .keeps_hlc = writer->keep_hlc,
        .data = {copy_text(arena,                    mrd_bytes_of(writer->data_key), &failed),     data->size,
                 data->crc32c          },
        .sidecar = { copy_text(arena, mrd_bytes_of(writer->sidecar_key),                       &failed), sidecar.size,
                 mrd_crc32c(0, sidecar)},
    };
    if (failed || !add_origin(origin, arena, &entry) || !add_tenants(writer, arena, &entry) ||
        !add_bloom(writer, arena, &entry) || !add_columns(writer, arena, &entry) ||
        !add_row_groups(writer, data, arena, &entry)) {
        return mrd_arena_fail(arena, err);
    }
    *out = entry;
    return MRD_OK;
}

/* ---- finish ---- */

static enum mrd_status finish_data(struct mrd_block_writer *writer,
                                   const struct mrd_block_origin *origin,
                                   struct mrd_pq_written *out, struct mrd_error *err)
{
    MRD_TRY(block_run_flush(writer, err));
    MRD_TRY(block_tenant_end(writer, err));
    if (writer->build.tenant_count > 0) {
        MRD_TRY(block_part_end(writer, err));
    }
    MRD_TRY(block_page_cut(writer, err));
    MRD_TRY(block_group_end(writer, err));
    MRD_TRY(set_metadata(writer, origin, err));
    MRD_TRY(mrd_pq_writer_close(writer->parquet, out, err));
    if (out->row_groups > MRD_BLOCK_ROW_GROUPS_MAX) {
        return mrd_fail(err, MRD_E_LIMIT, "block %s: %u row groups, at most %d: end blocks earlier",
                        writer->id, out->row_groups, MRD_BLOCK_ROW_GROUPS_MAX);
    }
    return mrd_objstore_upload_finish(writer->upload, err);
}

static enum mrd_status finish(struct mrd_block_writer *writer,
                              const struct mrd_block_origin *origin, struct mrd_arena *arena,
                              struct mrd_block_entry *out_entry, struct mrd_error *err)
{
    struct mrd_pq_written data;
    MRD_TRY(finish_data(writer, origin, &data, err));
    struct mrd_buf *sidecar = &writer->build.sidecar;
    repoint_names(&writer->build);
    write_sidecar(writer, &data, sidecar);
    if (sidecar->failed) {
        return mrd_fail(err, MRD_E_LIMIT, "block %s: no room for its sidecar", writer->id);
    }
    const struct mrd_bytes bytes = mrd_buf_view(sidecar);
    MRD_TRY(mrd_objstore_put(writer->store, writer->sidecar_key, bytes, writer->control, err));
    MRD_TRY(verify_tail(writer, writer->data_key, data.size,
                        (struct mrd_bytes){writer->tail, writer->tail_size}, err));
    const size_t tail = MRD_MIN(bytes.size, (size_t)BLOCK_TAIL_BYTES);
    MRD_TRY(verify_tail(writer, writer->sidecar_key, bytes.size,
                        (struct mrd_bytes){bytes.data + bytes.size - tail, tail}, err));
    return make_entry(writer, origin, &data, bytes, arena, out_entry, err);
}

enum mrd_status mrd_block_writer_finish(struct mrd_block_writer *writer,
                                        const struct mrd_block_origin *origin,
                                        struct mrd_arena *arena, struct mrd_block_entry *out_entry,
                                        struct mrd_error *err)
{
    if (writer->broken) {
        return mrd_fail(err, MRD_E_INVALID, "block %s is finished, or failed before", writer->id);
    }
    if (writer->series_count == 0) {
        return mrd_fail(err, MRD_E_INVALID, "block %s has no sample", writer->id);
    }
    if (origin->residency_class.size > MRD_BLOCK_CLASS_SIZE_MAX ||
        origin->parent_count > MRD_BLOCK_PARENTS_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "block %s: a class of %zu bytes, %zu parents",
                        writer->id, origin->residency_class.size, origin->parent_count);
    }
    writer->broken = true; /* whatever happens, once */
    return finish(writer, origin, arena, out_entry, err);
}
