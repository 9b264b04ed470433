#include "block/writer_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"

/* ---- what the data file says of the block ---- */

static enum mrd_status set_text(struct mrd_block_writer *writer, const char *key, const char *value,
                                struct mrd_error *err)
{
    return mrd_pq_writer_set(writer->data.parquet, mrd_bytes_of(key), mrd_bytes_of(value), err);
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
    return mrd_pq_writer_set(writer->data.parquet, mrd_bytes_of("meridian.residency_class"),
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
        if (writer->stamps_aside) {
            size_t spans;
            mbx_spans_write(mbx_stamping_spans(&writer->stamping, &spans) + parts[i].spans_first,
                            parts[i].spans_count, &plain);
        }
        at[i] =
            (struct mbx_part_at){.index = parts[i].index, .tenants_count = parts[i].tenants_count};
        mbx_frame_write(mrd_buf_view(&plain), writer->compressor, out, &at[i].pages);
    }
    const bool rollup = writer->resolution_ms != 0;
    const struct mbx_directory directory = {
        .version = rollup                 ? MBX_VERSION_ROLLUP
                   : writer->stamps_aside ? MBX_VERSION_STAMPS
                                          : MBX_VERSION,
        .id = mrd_bytes_of(writer->id),
        .resolution_ms = writer->resolution_ms,
        .data_size = data->size,
        .data_crc32c = data->crc32c,
        .parts = at,
        .part_count = count,
        .tenants = (struct mrd_block_tenant *)(void *)writer->build.tenants.data,
        .tenant_count = writer->build.tenants.size / sizeof(struct mrd_block_tenant),
    };
    mbx_directory_write(&directory, writer->compressor, out);
    free(at);
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
                                  const struct mrd_block_origin *origin, struct mrd_bytes sidecar,
                                  struct mrd_arena *arena, struct mrd_block_entry *out,
                                  struct mrd_error *err)
{
    bool failed = false;
    struct mrd_block_listed_file data;
    struct mrd_block_entry entry = {
        .id = copy_text(arena, mrd_bytes_of(writer->id), &failed),
        .level = writer->level,
        .resolution_ms = writer->resolution_ms,
        .compact_layout = writer->compact,
        .keeps_hlc = writer->keep_hlc,
        .sidecar = {copy_text(arena, mrd_bytes_of(writer->sidecar_key), &failed), sidecar.size,
                    mrd_crc32c(0, sidecar)},
    };
    MRD_TRY(block_out_list(&writer->data, arena, &data, err));
    entry.data = data.file;
    entry.columns = data.columns;
    entry.column_count = data.column_count;
    entry.row_group_offsets = data.row_group_offsets;
    entry.row_group_count = data.row_group_count;
    if (failed || !add_origin(origin, arena, &entry) || !add_tenants(writer, arena, &entry) ||
        !add_bloom(writer, arena, &entry)) {
        return mrd_arena_fail(arena, err);
    }
    *out = entry;
    return MRD_OK;
}

/* ---- finish ---- */

static enum mrd_status finish_data(struct mrd_block_writer *writer,
                                   const struct mrd_block_origin *origin, struct mrd_error *err)
{
    MRD_TRY(block_series_end(writer, err));
    MRD_TRY(block_tenant_end(writer, err));
    if (writer->build.tenant_count > 0) {
        MRD_TRY(block_part_end(writer, err));
    }
    MRD_TRY(block_page_cut(writer, err));
    MRD_TRY(block_group_end(writer, err));
    MRD_TRY(set_metadata(writer, origin, err));
    return block_out_finish(&writer->data, err);
}

static enum mrd_status finish(struct mrd_block_writer *writer,
                              const struct mrd_block_origin *origin, struct mrd_arena *arena,
                              struct mrd_block_entry *out_entry, struct mrd_error *err)
{
    struct mrd_block_listed_file series = {0};
    struct mrd_block_entry entry;
    MRD_TRY(finish_data(writer, origin, err));
    if (writer->series_out != NULL) {
        MRD_TRY(block_series_finish(writer, arena, &series, err));
    }
    struct mrd_buf *sidecar = &writer->build.sidecar;
    repoint_names(&writer->build);
    write_sidecar(writer, &writer->data.written, sidecar);
    if (sidecar->failed) {
        return mrd_fail(err, MRD_E_LIMIT, "block %s: no room for its sidecar", writer->id);
    }
    const struct mrd_bytes bytes = mrd_buf_view(sidecar);
    MRD_TRY(mrd_objstore_put(writer->store, writer->sidecar_key, bytes, writer->control, err));
    MRD_TRY(block_out_verify(&writer->data, err));
    const size_t tail = MRD_MIN(bytes.size, (size_t)BLOCK_TAIL_BYTES);
    MRD_TRY(block_verify_tail(writer->store, writer->control, writer->sidecar_key, bytes.size,
                              (struct mrd_bytes){bytes.data + bytes.size - tail, tail}, err));
    MRD_TRY(make_entry(writer, origin, bytes, arena, &entry, err));
    entry.series_file = series;
    *out_entry = entry;
    return MRD_OK;
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
