/* A Parquet file of a block on its way into the store. */
#include <inttypes.h>
#include <stdlib.h>

#include "block/writer_internal.h"

/* ---- writing ---- */

static enum mrd_status sink_write(void *context, struct mrd_bytes bytes, struct mrd_error *err)
{
    struct block_out *out = context;
    const size_t kept = MRD_MIN(bytes.size, (size_t)BLOCK_TAIL_BYTES);
    const size_t before = MRD_MIN(out->tail_size, BLOCK_TAIL_BYTES - kept);
    memmove(out->tail, out->tail + out->tail_size - before, before);
    if (kept > 0) {
        memcpy(out->tail + before, bytes.data + bytes.size - kept, kept);
    }
    out->tail_size = before + kept;
    out->size += bytes.size;
    return mrd_objstore_upload_write(out->upload, bytes, err);
}

static void sink_page(void *context, const struct mrd_pq_page_info *page)
{
    struct block_out *out = context;
    if (out->page != NULL) {
        out->page(out->context, page);
    }
}

enum mrd_status block_out_open(struct block_out *out, const struct mrd_pq_writer_options *options,
                               struct mrd_error *err)
{
    const struct mrd_pq_sink sink = {out, sink_write, sink_page};
    MRD_TRY(mrd_objstore_upload_begin(out->store, out->key, out->control, &out->upload, err));
    return mrd_pq_writer_create(options, &sink, &out->parquet, err);
}

void block_out_close(struct block_out *out)
{
    mrd_pq_writer_destroy(&out->parquet);
    mrd_objstore_upload_destroy(&out->upload);
    free(out->key);
}

enum mrd_status block_out_finish(struct block_out *out, struct mrd_error *err)
{
    MRD_TRY(mrd_pq_writer_close(out->parquet, &out->written, err));
    if (out->written.row_groups > MRD_BLOCK_ROW_GROUPS_MAX) {
        return mrd_fail(err, MRD_E_LIMIT, "%s: %u row groups, at most %d: end blocks earlier",
                        out->key, out->written.row_groups, MRD_BLOCK_ROW_GROUPS_MAX);
    }
    return mrd_objstore_upload_finish(out->upload, err);
}

/* ---- reading back ---- */

enum mrd_status block_verify_tail(struct mrd_objstore *store,
                                  const struct mrd_objstore_control *control, const char *key,
                                  uint64_t size, struct mrd_bytes tail, struct mrd_error *err)
{
    struct mrd_objstore_info info;
    MRD_TRY(mrd_objstore_head(store, key, control, &info, err));
    if (info.size != size) {
        return mrd_fail(err, MRD_E_CORRUPT, "%s has %" PRIu64 " bytes, written were %" PRIu64, key,
                        info.size, size);
    }
    uint8_t read[BLOCK_TAIL_BYTES];
    mrd_assert(tail.size > 0 && tail.size <= sizeof(read));
    const struct mrd_objstore_range range = {size - tail.size, tail.size, read};
    MRD_TRY(mrd_objstore_read(store, key, &range, 1, control, err));
    if (memcmp(read, tail.data, tail.size) != 0) {
        return mrd_fail(err, MRD_E_CORRUPT, "%s does not end as it was written", key);
    }
    return MRD_OK;
}

enum mrd_status block_out_verify(const struct block_out *out, struct mrd_error *err)
{
    return block_verify_tail(out->store, out->control, out->key, out->written.size,
                             (struct mrd_bytes){out->tail, out->tail_size}, err);
}

/* ---- what the catalog keeps ---- */

static struct mrd_bytes copy_bound(struct mrd_arena *arena, const struct mrd_pq_bound *bound,
                                   bool *failed)
{
    const struct mrd_bytes copy =
        mrd_arena_copy(arena, (struct mrd_bytes){bound->data, bound->size});
    *failed |= copy.data == NULL;
    return copy;
}

static bool list_columns(const struct block_out *out, struct mrd_arena *arena,
                         struct mrd_block_listed_file *listed)
{
    const size_t count = mrd_pq_writer_leaf_count(out->parquet);
    struct mrd_block_file_column *columns = mrd_arena_alloc_array(arena, count, sizeof(columns[0]));
    bool failed = columns == NULL;
    for (size_t i = 0; !failed && i < count; i++) {
        const struct mrd_pq_totals totals = mrd_pq_writer_totals(out->parquet, i);
        columns[i] = (struct mrd_block_file_column){
            .field_id = mrd_pq_writer_leaf(out->parquet, i)->field_id,
            .stored_size = totals.stored_size,
            .value_count = totals.stats.entries,
            .null_count = totals.stats.nulls,
            .nan_count = totals.stats.nans,
            .has_min = totals.bounds.min.present,
            .has_max = totals.bounds.max.present,
        };
        if (columns[i].has_min) {
            columns[i].min = copy_bound(arena, &totals.bounds.min, &failed);
        }
        if (columns[i].has_max) {
            columns[i].max = copy_bound(arena, &totals.bounds.max, &failed);
        }
    }
    listed->columns = columns;
    listed->column_count = count;
    return !failed;
}

static bool list_row_groups(const struct block_out *out, struct mrd_arena *arena,
                            struct mrd_block_listed_file *listed)
{
    const uint32_t count = out->written.row_groups;
    uint64_t *offsets = mrd_arena_alloc_array(arena, count, sizeof(offsets[0]));
    for (uint32_t i = 0; offsets != NULL && i < count; i++) {
        offsets[i] = mrd_pq_writer_row_group_offset(out->parquet, i);
    }
    listed->row_group_offsets = offsets;
    listed->row_group_count = count;
    return offsets != NULL;
}

enum mrd_status block_out_list(const struct block_out *out, struct mrd_arena *arena,
                               struct mrd_block_listed_file *listed, struct mrd_error *err)
{
    const struct mrd_bytes key = mrd_arena_copy(arena, mrd_bytes_of(out->key));
    listed->file = (struct mrd_block_file){key, out->written.size, out->written.crc32c};
    return key.data == NULL || !list_columns(out, arena, listed) ||
                   !list_row_groups(out, arena, listed)
               ? mrd_arena_fail(arena, err)
               : MRD_OK;
}
