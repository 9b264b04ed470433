#include <stdlib.h>

#include "block/block_internal.h"

enum { TAIL_GUESS = 64 << 10 };

/* ---- bytes of the sidecar ---- */

static enum mrd_status corrupt(const struct mrd_block *block, struct mrd_error *err,
                               enum mrd_status status)
{
    return mrd_fail_prefix(err, status, "%s", block->sidecar_key);
}

static bool is_small(const struct mrd_block *block)
{
    return block->entry.sidecar.size <= block->whole_max;
}

static struct mrd_id128 key_of(const struct mrd_block *block, uint64_t piece)
{
    return mbx_cache_key(block->entry.id, block->entry.sidecar.crc32c, piece);
}

static bool whole_is_right(const struct mrd_block *block, struct mrd_bytes bytes)
{
    return bytes.size == block->entry.sidecar.size &&
           mrd_crc32c(0, bytes) == block->entry.sidecar.crc32c &&
           memcmp(bytes.data, MBX_MAGIC, MBX_MAGIC_SIZE) == 0;
}

/* The bytes of a small sidecar, once they are read. */
static struct mrd_bytes whole_of(const struct mrd_block *block)
{
    return block->whole.size == 0 && block->first != NULL ? mrd_buf_view(&block->first->whole)
                                                          : mrd_buf_view(&block->whole);
}

/* Reads all of a small sidecar, from the cache's folder if that has it. */
static enum mrd_status read_whole(struct mrd_block *block, struct mrd_error *err)
{
    if (whole_of(block).size > 0) {
        return MRD_OK;
    }
    const struct mrd_id128 key = key_of(block, MBX_WHOLE);
    const size_t size = (size_t)block->entry.sidecar.size;
    if (mbx_cache_load(block->cache, key, size, NULL, &block->whole)) {
        if (whole_is_right(block, mrd_buf_view(&block->whole))) {
            return MRD_OK;
        }
        mbx_cache_refuse(block->cache, key);
    }
    mrd_buf_clear(&block->whole);
    MRD_TRY(mrd_objstore_get(block->store, block->sidecar_key, size, block->control, &block->whole,
                             err));
    if (!whole_is_right(block, mrd_buf_view(&block->whole))) {
        mrd_buf_clear(&block->whole);
        return mrd_fail(err, MRD_E_CORRUPT,
                        "it is not the file that its entry in the catalog names");
    }
    mbx_cache_store(block->cache, key, mrd_buf_view(&block->whole));
    return MRD_OK;
}

static enum mrd_status read_range(struct mrd_block *block, uint64_t offset, size_t size,
                                  uint8_t *out, struct mrd_error *err)
{
    const struct mrd_objstore_range range = {offset, size, out};
    return mrd_objstore_read(block->store, block->sidecar_key, &range, 1, block->control, err);
}

/* ---- the directory ---- */

static enum mrd_status parse_directory(struct mrd_block *block, struct mrd_bytes stored,
                                       const struct mbx_frame *frame, uint32_t version,
                                       struct mbx_directory **out_directory, struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf plain = {0};
    const struct mrd_look look = mrd_objstore_look(block->control);
    MRD_TRY(mbx_frame_open(stored, frame, block->memory_max, &look, &plain, err));
    mrd_auto(mbx_directory_destroy)
    struct mbx_directory *directory = NULL;
    MRD_TRY(mbx_directory_parse(mrd_buf_view(&plain), frame, version, block->memory_max, &directory,
                                err));
    if (!mrd_bytes_equal(directory->id, block->entry.id) ||
        directory->resolution_ms != block->entry.resolution_ms ||
        directory->data_size != block->entry.data.size ||
        directory->data_crc32c != block->entry.data.crc32c) {
        return mrd_fail(err, MRD_E_CORRUPT,
                        "it belongs to another data file than that of block %.*s",
                        MRD_FMT(block->entry.id));
    }
    *out_directory = MRD_MOVE(directory);
    return MRD_OK;
}

/* From the end of a large sidecar: `end` are its last bytes. */
static enum mrd_status directory_of_end(struct mrd_block *block, struct mrd_bytes end,
                                        struct mbx_directory **out_directory, struct mrd_error *err)
{
    const uint64_t size = block->entry.sidecar.size;
    const struct mrd_bytes tail = {end.data + end.size - MBX_TAIL_SIZE, MBX_TAIL_SIZE};
    struct mbx_frame frame;
    uint32_t version = 0;
    MRD_TRY(mbx_tail_read(tail, size, &frame, &version, err));
    const uint64_t needed = frame.size + MBX_TAIL_SIZE;
    if (needed <= end.size) {
        const struct mrd_bytes stored = {end.data + end.size - needed, (size_t)frame.size};
        return parse_directory(block, stored, &frame, version, out_directory, err);
    }
    if (frame.size > block->memory_max) {
        return mrd_fail(err, MRD_E_LIMIT, "its directory has %llu bytes, the limit is %zu",
                        (unsigned long long)frame.size, block->memory_max);
    }
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    uint8_t *place = mrd_buf_reserve(&bytes, (size_t)frame.size);
    mrd_assert(place != NULL);
    MRD_TRY(read_range(block, frame.offset, (size_t)frame.size, place, err));
    bytes.size = (size_t)frame.size;
    return parse_directory(block, mrd_buf_view(&bytes), &frame, version, out_directory, err);
}

static enum mrd_status read_directory(struct mrd_block *block, struct mbx_directory **out_directory,
                                      struct mrd_error *err)
{
    if (block->entry.sidecar.size < MBX_MAGIC_SIZE + MBX_TAIL_SIZE) {
        return mrd_fail(err, MRD_E_CORRUPT, "it is too small to be a sidecar");
    }
    if (is_small(block)) {
        MRD_TRY(read_whole(block, err));
        return directory_of_end(block, whole_of(block), out_directory, err);
    }
    uint8_t *end = malloc(TAIL_GUESS);
    mrd_assert(end != NULL);
    const size_t size = (size_t)MRD_MIN(block->entry.sidecar.size, (uint64_t)TAIL_GUESS);
    enum mrd_status status = read_range(block, block->entry.sidecar.size - size, size, end, err);
    if (status == MRD_OK) {
        status = directory_of_end(block, (struct mrd_bytes){end, size}, out_directory, err);
    }
    free(end);
    return status;
}

static enum mrd_status open_directory(struct mrd_block *block, struct mrd_error *err)
{
    const struct mrd_id128 key = key_of(block, MBX_DIRECTORY);
    block->directory = mbx_cache_find(block->cache, key);
    if (block->directory != NULL) {
        return MRD_OK;
    }
    struct mbx_directory *directory = NULL;
    MRD_TRY(read_directory(block, &directory, err));
    block->directory = mbx_shared_create(directory, NULL);
    mbx_cache_keep(block->cache, key, block->directory);
    return MRD_OK;
}

/* ---- parts ---- */

static enum mrd_status parse_part(struct mrd_block *block, const struct mbx_part_at *at,
                                  struct mrd_bytes index, struct mrd_bytes pages,
                                  struct mbx_part **out_part, struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf plain_index = {0};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf plain_pages = {0};
    const struct mrd_look look = mrd_objstore_look(block->control);
    MRD_TRY(mbx_frame_open(index, &at->index, block->memory_max, &look, &plain_index, err));
    MRD_TRY(mbx_frame_open(pages, &at->pages, block->memory_max, &look, &plain_pages, err));
    const struct mbx_part_of of = {.version = block->directory->directory->version,
                                   .data_size = block->entry.data.size,
                                   .resolution_ms = block->entry.resolution_ms};
    MRD_TRY(mbx_part_parse(mrd_buf_view(&plain_index), mrd_buf_view(&plain_pages), &of,
                           block->memory_max, &look, out_part, err));
    if ((*out_part)->tenant_count != at->tenants_count) {
        mbx_part_destroy(out_part);
        return mrd_fail(err, MRD_E_CORRUPT, "a part has other tenants than the directory says");
    }
    return MRD_OK;
}

static enum mrd_status fetch_part(struct mrd_block *block, const struct mbx_part_at *at,
                                  struct mrd_buf *out, struct mrd_error *err)
{
    if (at->index.size + at->pages.size > block->memory_max) {
        return mrd_fail(err, MRD_E_LIMIT, "a part has %llu bytes, the limit is %zu",
                        (unsigned long long)(at->index.size + at->pages.size), block->memory_max);
    }
    mrd_buf_clear(out);
    uint8_t *place = mrd_buf_reserve(out, (size_t)(at->index.size + at->pages.size));
    mrd_assert(place != NULL);
    const struct mrd_objstore_range ranges[2] = {
        {at->index.offset, (size_t)at->index.size, place                 },
        {at->pages.offset, (size_t)at->pages.size, place + at->index.size}
    };
    MRD_TRY(mrd_objstore_read(block->store, block->sidecar_key, ranges, 2, block->control, err));
    out->size = (size_t)(at->index.size + at->pages.size);
    return MRD_OK;
}

/* `bytes` are index and pages of the part. */
static enum mrd_status parse_both(struct mrd_block *block, const struct mbx_part_at *at,
                                  struct mrd_bytes bytes, struct mbx_part **out_part,
                                  struct mrd_error *err)
{
    if (bytes.size != at->index.size + at->pages.size) {
        return mrd_fail(err, MRD_E_CORRUPT, "a part of %zu bytes", bytes.size);
    }
    const struct mrd_bytes index = {bytes.data, (size_t)at->index.size};
    const struct mrd_bytes pages = {bytes.data + index.size, (size_t)at->pages.size};
    return parse_part(block, at, index, pages, out_part, err);
}

static enum mrd_status part_of_large(struct mrd_block *block, size_t index,
                                     struct mbx_part **out_part, struct mrd_error *err)
{
    const struct mbx_part_at *at = &block->directory->directory->parts[index];
    const struct mrd_id128 key = key_of(block, MBX_PART_FIRST + index);
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    const struct mrd_look look = mrd_objstore_look(block->control);
    if (mbx_cache_load(block->cache, key, block->memory_max, &look, &bytes)) {
        const enum mrd_status status = parse_both(block, at, mrd_buf_view(&bytes), out_part, err);
        if (status != MRD_E_CORRUPT) {
            return status;
        }
        mbx_cache_refuse(block->cache, key);
    }
    MRD_TRY(fetch_part(block, at, &bytes, err));
    MRD_TRY(parse_both(block, at, mrd_buf_view(&bytes), out_part, err));
    mbx_cache_store(block->cache, key, mrd_buf_view(&bytes));
    return MRD_OK;
}

static enum mrd_status load_part(struct mrd_block *block, size_t index, struct mbx_part **out_part,
                                 struct mrd_error *err)
{
    if (!is_small(block)) {
        return part_of_large(block, index, out_part, err);
    }
    const struct mbx_part_at *at = &block->directory->directory->parts[index];
    MRD_TRY(read_whole(block, err));
    const uint8_t *bytes =
        whole_of(block).data; /* the directory lies in it, and these before that */
    return parse_part(
        block, at, (struct mrd_bytes){bytes + at->index.offset, (size_t)at->index.size},
        (struct mrd_bytes){bytes + at->pages.offset, (size_t)at->pages.size}, out_part, err);
}

enum mrd_status mbx_block_part(struct mrd_block *block, size_t index, struct mbx_shared **out_part,
                               struct mrd_error *err)
{
    const struct mrd_id128 key = key_of(block, MBX_PART_FIRST + index);
    struct mbx_shared *shared = mbx_cache_find(block->cache, key);
    if (shared == NULL) {
        struct mbx_part *part = NULL;
        const enum mrd_status status = load_part(block, index, &part, err);
        if (status != MRD_OK) {
            return corrupt(block, err, status);
        }
        shared = mbx_shared_create(NULL, part);
        mbx_cache_keep(block->cache, key, shared);
    }
    *out_part = shared;
    return MRD_OK;
}

enum mrd_status mbx_block_tenant(struct mrd_block *block, struct mrd_bytes name,
                                 struct mbx_shared **out_part, const struct mbx_tenant **out_tenant,
                                 struct mrd_error *err)
{
    *out_part = NULL;
    *out_tenant = NULL;
    const ptrdiff_t index = mbx_directory_find(block->directory->directory, name);
    if (index < 0) {
        return MRD_OK;
    }
    struct mbx_shared *part;
    MRD_TRY(mbx_block_part(block, (size_t)index, &part, err));
    *out_tenant = mbx_part_find(part->part, name);
    if (*out_tenant == NULL) {
        mbx_shared_unref(&part);
        return mrd_fail(err, MRD_E_CORRUPT, "%s: a part does not have tenant %.*s",
                        block->sidecar_key, MRD_FMT(name));
    }
    *out_part = part;
    return MRD_OK;
}

/* ---- life ---- */

static enum mrd_status open_block(struct mrd_block *block, const struct mrd_block_entry *entry,
                                  struct mrd_error *err)
{
    block->arena = mrd_arena_create("entry of a block", (size_t)64 << 20);
    MRD_TRY(mrd_block_entry_copy(entry, block->arena, &block->entry, err));
    block->data_key = mrd_bytes_text(block->entry.data.key);
    block->sidecar_key = mrd_bytes_text(block->entry.sidecar.key);
    const enum mrd_status status = open_directory(block, err);
    return status == MRD_OK ? MRD_OK : corrupt(block, err, status);
}

enum mrd_status mrd_block_open(struct mrd_objstore *store, const struct mrd_block_entry *entry,
                               const struct mrd_block_open_options *options,
                               struct mrd_block **out_block, struct mrd_error *err)
{
    mrd_auto(mrd_block_close)
    struct mrd_block *block = calloc(1, sizeof(*block));
    mrd_assert(block != NULL);
    block->store = store;
    block->control = options->control;
    block->cache = options->cache;
    block->whole_max = options->whole_bytes_max == 0 ? (size_t)4 << 20 : options->whole_bytes_max;
    block->memory_max =
        options->sidecar_bytes_max == 0 ? (size_t)1 << 30 : options->sidecar_bytes_max;
    MRD_TRY(open_block(block, entry, err));
    *out_block = MRD_MOVE(block);
    return MRD_OK;
}

struct mrd_block *mrd_block_twin(const struct mrd_block *block)
{
    struct mrd_block *twin = malloc(sizeof(*twin));
    mrd_assert(twin != NULL);
    *twin = *block;
    twin->first = block->first == NULL ? block : block->first;
    twin->arena = NULL;
    twin->whole = (struct mrd_buf){0};
    twin->directory = mbx_shared_ref(block->directory);
    return twin;
}

void mrd_block_close(struct mrd_block **block_at)
{
    struct mrd_block *block = MRD_MOVE(*block_at);
    if (block == NULL) {
        return;
    }
    mbx_shared_unref(&block->directory);
    mrd_arena_destroy(&block->arena);
    mrd_buf_fini(&block->whole);
    if (block->first == NULL) {
        free(block->data_key);
        free(block->sidecar_key);
    }
    free(block);
}

const struct mrd_block_tenant *mrd_block_tenants(const struct mrd_block *block, size_t *out_count)
{
    *out_count = block->directory->directory->tenant_count;
    return block->directory->directory->tenants;
}
