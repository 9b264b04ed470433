#include "tsdb/block.h"

#include <stdio.h>

enum { PATH_SIZE = 4096 };

static enum mrd_status path_of(const char *folder, const char *name, char out[PATH_SIZE],
                               struct mrd_error *err)
{
    const int length = snprintf(out, PATH_SIZE, "%s/%s", folder, name);
    return length > 0 && length < PATH_SIZE
               ? MRD_OK
               : mrd_fail(err, MRD_E_INVALID, "%s: the name is too long", folder);
}

enum mrd_status mrd_tsdb_block_meta(const char *folder, struct mrd_tsdb_meta *out,
                                    struct mrd_error *err)
{
    char path[PATH_SIZE];
    mrd_auto(mrd_tsdb_map_close)
    struct mrd_tsdb_map map = {0};
    MRD_TRY(path_of(folder, "meta.json", path, err));
    MRD_TRY(mrd_tsdb_map_open(path, &map, err));
    const enum mrd_status status = mrd_tsdb_meta_read(map.bytes, out, err);
    return status == MRD_OK ? MRD_OK : mrd_fail_prefix(err, status, "%s", folder);
}

static enum mrd_status tombstones_open(struct mrd_tsdb_block *block, const char *folder,
                                       struct mrd_error *err)
{
    char path[PATH_SIZE];
    mrd_auto(mrd_tsdb_map_close)
    struct mrd_tsdb_map map = {0};
    MRD_TRY(path_of(folder, "tombstones", path, err));
    const enum mrd_status status = mrd_tsdb_map_open(path, &map, err);
    if (status != MRD_OK) {
        return status == MRD_E_NOT_FOUND ? MRD_OK : status;
    }
    return map.bytes.size == 0 ? MRD_OK
                               : mrd_tsdb_tombstones_read(map.bytes, &block->tombstones, err);
}

static enum mrd_status parts_open(struct mrd_tsdb_block *block, const char *folder,
                                  struct mrd_error *err)
{
    char path[PATH_SIZE];
    MRD_TRY(path_of(folder, "index", path, err));
    MRD_TRY(mrd_tsdb_map_open(path, &block->index_map, err));
    MRD_TRY(mrd_tsdb_index_init(&block->index, block->index_map.bytes, err));
    MRD_TRY(path_of(folder, "chunks", path, err));
    MRD_TRY(mrd_tsdb_segments_open(&block->segments, path, err));
    return tombstones_open(block, folder, err);
}

enum mrd_status mrd_tsdb_block_open(struct mrd_tsdb_block *block, const char *folder,
                                    struct mrd_error *err)
{
    mrd_auto(mrd_tsdb_block_close)
    struct mrd_tsdb_block made = {0};
    MRD_TRY(mrd_tsdb_block_meta(folder, &made.meta, err));
    if (made.meta.downsampled_ms > 0) {
        return mrd_fail(err, MRD_E_UNSUPPORTED,
                        "%s holds aggregates of %llu ms, not samples as they were scraped", folder,
                        (unsigned long long)made.meta.downsampled_ms);
    }
    const enum mrd_status status = parts_open(&made, folder, err);
    if (status != MRD_OK) {
        return mrd_fail_prefix(err, status, "%s", folder);
    }
    *block = made;
    made = (struct mrd_tsdb_block){0};
    return MRD_OK;
}

void mrd_tsdb_block_close(struct mrd_tsdb_block *block)
{
    mrd_tsdb_tombstones_fini(&block->tombstones);
    mrd_tsdb_segments_close(&block->segments);
    mrd_tsdb_index_fini(&block->index);
    mrd_tsdb_map_close(&block->index_map);
    *block = (struct mrd_tsdb_block){0};
}

static bool lies_in(const mrd_time_ms *times_ms, size_t count,
                    const struct mrd_tsdb_chunk_meta *meta)
{
    return count == 0 || (times_ms[0] >= meta->min_ms && times_ms[count - 1] <= meta->max_ms);
}

enum mrd_status mrd_tsdb_block_chunk(const struct mrd_tsdb_block *block,
                                     const struct mrd_tsdb_chunk_meta *meta,
                                     struct mrd_arena *arena, struct mrd_prometheus_chunk *out,
                                     struct mrd_error *err)
{
    struct mrd_tsdb_chunk chunk;
    MRD_TRY(mrd_tsdb_segments_read(&block->segments, meta->ref, &chunk, err));
    MRD_TRY(mrd_prometheus_chunk_decode(chunk.encoding, chunk.bytes, arena, out, err));
    return lies_in(out->samples.times_ms, out->samples.count, meta) &&
                   lies_in(out->histograms.times_ms, out->histograms.count, meta)
               ? MRD_OK
               : mrd_fail(err, MRD_E_CORRUPT, "a chunk has samples outside its time in the index");
}
