#include <stdlib.h>
#include <zstd.h>

#include "base/hash.h"
#include "block/sidecar_internal.h"
#include "parquet/compress.h"

/* ---- frames ---- */

void mbx_frame_write(struct mrd_bytes plain, struct mrd_pq_compressor *compressor,
                     struct mrd_buf *out, struct mbx_frame *out_frame)
{
    const size_t at = out->size;
    mrd_pq_compress(compressor, plain, out);
    if (out->failed) {
        return;
    }
    *out_frame = (struct mbx_frame){
        .offset = at,
        .size = out->size - at,
        .plain_size = plain.size,
        .crc32c = mrd_crc32c(0, (struct mrd_bytes){out->data + at, out->size - at}),
    };
}

static enum mrd_status crc_of(struct mrd_bytes bytes, const struct mrd_look *look, uint32_t *out,
                              struct mrd_error *err)
{
    *out = 0;
    while (bytes.size > 0) {
        const size_t size = MRD_MIN(bytes.size, (size_t)MBX_FRAME_PIECE);
        *out = mrd_crc32c(*out, (struct mrd_bytes){bytes.data, size});
        bytes.data += size;
        bytes.size -= size;
        MRD_TRY(mrd_look(look, err));
    }
    return MRD_OK;
}

static void context_free(ZSTD_DCtx **context) { (void)ZSTD_freeDCtx(*context); }

/* Decompresses one frame, which all of `stored` is, into `size` bytes. *out_fine is false if it does not make as many. */
static enum mrd_status decompress(struct mrd_bytes stored, uint8_t *place, size_t size,
                                  const struct mrd_look *look, bool *out_fine,
                                  struct mrd_error *err)
{
    if (size <= MBX_FRAME_PIECE) {
        *out_fine = ZSTD_decompress(place, size, stored.data, stored.size) == size;
        return MRD_OK;
    }
    mrd_auto(context_free)
    ZSTD_DCtx *context = ZSTD_createDCtx();
    mrd_assert(context != NULL);
    ZSTD_inBuffer in = {stored.data, stored.size, 0};
    size_t done = 0;
    size_t left = 1; /* 0: the frame is over */
    *out_fine = false;
    while (left != 0) {
        ZSTD_outBuffer out = {place + done, MRD_MIN(size - done, (size_t)MBX_FRAME_PIECE), 0};
        const size_t taken = in.pos;
        left = ZSTD_decompressStream(context, &out, &in);
        done += out.pos;
        if (ZSTD_isError(left) || (left != 0 && out.pos == 0 && in.pos == taken)) {
            return MRD_OK;
        }
        MRD_TRY(mrd_look(look, err));
    }
    *out_fine = done == size && in.pos == in.size;
    return MRD_OK;
}

enum mrd_status mbx_frame_open(struct mrd_bytes stored, const struct mbx_frame *frame,
                               size_t memory_max, const struct mrd_look *look,
                               struct mrd_buf *out_plain, struct mrd_error *err)
{
    uint32_t crc = 0;
    MRD_TRY(crc_of(stored, look, &crc, err));
    if (stored.size != frame->size || crc != frame->crc32c) {
        return mrd_fail(err, MRD_E_CORRUPT, "the frame at %llu does not match its CRC",
                        (unsigned long long)frame->offset);
    }
    if (frame->plain_size > memory_max) {
        return mrd_fail(err, MRD_E_LIMIT,
                        "a part of the sidecar takes %llu bytes, more than the limit of %zu",
                        (unsigned long long)frame->plain_size, memory_max);
    }
    mrd_buf_clear(out_plain);
    uint8_t *place = mrd_buf_reserve(out_plain, (size_t)frame->plain_size + 1);
    mrd_assert(place != NULL);
    bool fine = false;
    MRD_TRY(decompress(stored, place, (size_t)frame->plain_size, look, &fine, err));
    if (!fine) {
        return mrd_fail(err, MRD_E_CORRUPT, "the frame at %llu does not decompress to %llu bytes",
                        (unsigned long long)frame->offset, (unsigned long long)frame->plain_size);
    }
    out_plain->size += (size_t)frame->plain_size;
    return MRD_OK;
}

static void frame_put(const struct mbx_frame *frame, struct mrd_buf *out)
{
    mrd_buf_append_varint(out, frame->size); /* the offset follows from those before */
    mrd_buf_append_varint(out, frame->plain_size);
    mrd_buf_append_u32(out, frame->crc32c);
}

static struct mbx_frame frame_get(struct mrd_reader *in)
{
    struct mbx_frame frame = {0};
    frame.size = mrd_read_varint(in);
    frame.plain_size = mrd_read_varint(in);
    frame.crc32c = mrd_read_u32(in);
    return frame;
}

/* False if the frame does not end before `end`. */
static bool frame_place(struct mbx_frame *frame, uint64_t *offset, uint64_t end)
{
    if (frame->size > end - *offset) {
        return false;
    }
    frame->offset = *offset;
    *offset += frame->size;
    return true;
}

/* ---- counts ---- */

void mbx_counts_init(struct mrd_block_counts *counts)
{
    *counts = (struct mrd_block_counts){.min_ms = INT64_MAX, .max_ms = INT64_MIN};
}

void mbx_counts_add(struct mrd_block_counts *counts, const struct mrd_block_counts *other)
{
    counts->series += other->series;
    counts->samples += other->samples;
    counts->histograms += other->histograms;
    counts->min_ms = MRD_MIN(counts->min_ms, other->min_ms);
    counts->max_ms = MRD_MAX(counts->max_ms, other->max_ms);
}

void mbx_counts_write(const struct mrd_block_counts *counts, struct mrd_buf *out)
{
    mrd_buf_append_varint(out, counts->series);
    mrd_buf_append_varint(out, counts->samples);
    mrd_buf_append_varint(out, counts->histograms);
    mrd_buf_append_zigzag(out, counts->min_ms);
    mrd_buf_append_varint(out, (uint64_t)counts->max_ms - (uint64_t)counts->min_ms);
}

bool mbx_counts_read(struct mrd_reader *in, struct mrd_block_counts *out)
{
    struct mrd_block_counts counts = {0};
    counts.series = mrd_read_varint(in);
    counts.samples = mrd_read_varint(in);
    counts.histograms = mrd_read_varint(in);
    counts.min_ms = mrd_read_zigzag(in);
    const uint64_t span = mrd_read_varint(in);
    if (in->failed || counts.series == 0 || !mrd_block_time_fits(counts.min_ms) ||
        span > (uint64_t)MRD_BLOCK_TIME_MAX * 2 ||
        !mrd_block_time_fits(counts.min_ms + (mrd_time_ms)span) || counts.samples > INT64_MAX ||
        counts.histograms > INT64_MAX || counts.series > counts.samples + counts.histograms) {
        return false;
    }
    counts.max_ms = counts.min_ms + (mrd_time_ms)span;
    *out = counts;
    return true;
}

/* ---- writing ---- */

static void tenant_put(const struct mrd_block_tenant *tenant, struct mrd_buf *out)
{
    mrd_buf_append_varint(out, tenant->name.size);
    mrd_buf_append_bytes(out, tenant->name);
    mbx_counts_write(&tenant->counts, out);
}

void mbx_directory_write(const struct mbx_directory *directory,
                         struct mrd_pq_compressor *compressor, struct mrd_buf *out)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf plain = {0};
    mrd_buf_append_varint(&plain, directory->id.size);
    mrd_buf_append_bytes(&plain, directory->id);
    if (directory->resolution_ms != 0) {
        mrd_buf_append_varint(&plain, (uint64_t)directory->resolution_ms);
    }
    mrd_buf_append_varint(&plain, directory->data_size);
    mrd_buf_append_u32(&plain, directory->data_crc32c);
    mrd_buf_append_varint(&plain, directory->part_count);
    for (size_t i = 0; i < directory->part_count; i++) {
        const struct mbx_part_at *part = &directory->parts[i];
        frame_put(&part->index, &plain);
        frame_put(&part->pages, &plain);
        mrd_buf_append_varint(&plain, part->tenants_count);
    }
    for (size_t i = 0; i < directory->tenant_count; i++) {
        tenant_put(&directory->tenants[i], &plain);
    }
    struct mbx_frame frame = {0};
    mbx_frame_write(mrd_buf_view(&plain), compressor, out, &frame);
    const size_t tail = out->size;
    mrd_buf_append_u64(out, frame.offset);
    mrd_buf_append_u32(out, (uint32_t)frame.size);
    mrd_buf_append_u32(out, (uint32_t)frame.plain_size);
    mrd_buf_append_u32(out, frame.crc32c);
    mrd_buf_append_u32(out, directory->version);
    if (!out->failed) {
        mrd_buf_append_u32(out,
                           mrd_crc32c(0, (struct mrd_bytes){out->data + tail, out->size - tail}));
    }
    mrd_buf_append_bytes(out, MRD_BYTES(MBX_TAIL_MAGIC));
    out->failed |= plain.failed || plain.size > UINT32_MAX;
}

/* ---- reading ---- */

enum mrd_status mbx_tail_read(struct mrd_bytes tail, uint64_t sidecar_size, struct mbx_frame *out,
                              uint32_t *out_version, struct mrd_error *err)
{
    struct mrd_reader in = mrd_reader_of(tail);
    struct mbx_frame frame = {.offset = mrd_read_u64(&in)};
    frame.size = mrd_read_u32(&in);
    frame.plain_size = mrd_read_u32(&in);
    frame.crc32c = mrd_read_u32(&in);
    const uint32_t version = mrd_read_u32(&in);
    const uint32_t crc = mrd_read_u32(&in);
    if (in.failed || !mrd_bytes_equal(mrd_read_bytes(&in, 4), MRD_BYTES(MBX_TAIL_MAGIC)) ||
        crc != mrd_crc32c(0, (struct mrd_bytes){tail.data, MBX_TAIL_SIZE - 8})) {
        return mrd_fail(err, MRD_E_CORRUPT, "the end of the sidecar is not that of one");
    }
    if (version < MBX_VERSION || version > MBX_VERSION_STAMPS) {
        return mrd_fail(err, MRD_E_UNSUPPORTED,
                        "a sidecar of version %u, this reads %d to %d: upgrade", version,
                        MBX_VERSION, MBX_VERSION_STAMPS);
    }
    if (sidecar_size < MBX_MAGIC_SIZE + MBX_TAIL_SIZE || frame.offset < MBX_MAGIC_SIZE ||
        frame.offset > sidecar_size || frame.size != sidecar_size - MBX_TAIL_SIZE - frame.offset) {
        return mrd_fail(err, MRD_E_CORRUPT, "the sidecar's directory is not where it should be");
    }
    *out = frame;
    *out_version = version;
    return MRD_OK;
}

static enum mrd_status wrong(struct mrd_error *err)
{
    return mrd_fail(err, MRD_E_CORRUPT, "the sidecar's directory contradicts itself");
}

/* The indexes of all parts, then their page tables, up to the directory. */
static bool place_frames(struct mbx_directory *directory, uint64_t end)
{
    uint64_t offset = MBX_MAGIC_SIZE;
    for (size_t i = 0; i < directory->part_count; i++) {
        if (!frame_place(&directory->parts[i].index, &offset, end)) {
            return false;
        }
    }
    for (size_t i = 0; i < directory->part_count; i++) {
        if (!frame_place(&directory->parts[i].pages, &offset, end)) {
            return false;
        }
    }
    return offset == end;
}

/* Every tenant takes 7 bytes at least, every part 13. */
static enum mrd_status parse_parts(struct mbx_directory *directory, struct mrd_reader *in,
                                   uint64_t end, struct mrd_error *err)
{
    const uint64_t count = mrd_read_varint(in);
    if (count > mrd_reader_left(in)) {
        return wrong(err);
    }
    directory->parts =
        mrd_arena_alloc_array(directory->arena, (size_t)count, sizeof(directory->parts[0]));
    if (directory->parts == NULL) {
        return mrd_arena_fail(directory->arena, err);
    }
    uint64_t tenants = 0;
    for (uint64_t i = 0; i < count && !in->failed; i++) {
        struct mbx_part_at part = {.tenants_first = tenants};
        part.index = frame_get(in);
        part.pages = frame_get(in);
        part.tenants_count = mrd_read_varint(in);
        if (part.tenants_count == 0 || part.tenants_count > mrd_reader_left(in)) {
            return wrong(err);
        }
        tenants += part.tenants_count;
        directory->parts[i] = part;
    }
    if (in->failed || tenants > mrd_reader_left(in)) {
        return wrong(err);
    }
    directory->part_count = (size_t)count;
    directory->tenant_count = (size_t)tenants;
    return place_frames(directory, end) ? MRD_OK : wrong(err);
}

static enum mrd_status parse_tenants(struct mbx_directory *directory, struct mrd_reader *in,
                                     struct mrd_error *err)
{
    directory->tenants = mrd_arena_alloc_array(directory->arena, directory->tenant_count,
                                               sizeof(directory->tenants[0]));
    if (directory->tenants == NULL) {
        return mrd_arena_fail(directory->arena, err);
    }
    for (size_t i = 0; i < directory->tenant_count; i++) {
        struct mrd_block_tenant *tenant = &directory->tenants[i];
        tenant->name = mrd_read_bytes(in, mrd_read_varint(in));
        if (in->failed || tenant->name.size == 0 || !mbx_counts_read(in, &tenant->counts) ||
            (i > 0 && mrd_bytes_compare(tenant[-1].name, tenant->name) >= 0)) {
            return wrong(err);
        }
    }
    return in->failed || mrd_reader_left(in) > 0 ? wrong(err) : MRD_OK;
}

enum mrd_status mbx_directory_parse(struct mrd_bytes plain, const struct mbx_frame *frame,
                                    uint32_t version, size_t memory_max,
                                    struct mbx_directory **out_directory, struct mrd_error *err)
{
    mrd_auto(mbx_directory_destroy)
    struct mbx_directory *directory = calloc(1, sizeof(*directory));
    mrd_assert(directory != NULL);
    directory->arena = mrd_arena_create("directory of a sidecar", memory_max);
    const struct mrd_bytes copy = mrd_arena_copy(directory->arena, plain);
    if (copy.data == NULL) {
        return mrd_arena_fail(directory->arena, err);
    }
    struct mrd_reader in = mrd_reader_of(copy);
    directory->version = version;
    directory->id = mrd_read_bytes(&in, mrd_read_varint(&in));
    if (version == MBX_VERSION_ROLLUP) {
        const uint64_t resolution_ms = mrd_read_varint(&in);
        if (resolution_ms == 0 || resolution_ms > MRD_BLOCK_RESOLUTION_MS_MAX) {
            return wrong(err);
        }
        directory->resolution_ms = (mrd_time_ms)resolution_ms;
    }
    directory->data_size = mrd_read_varint(&in);
    directory->data_crc32c = mrd_read_u32(&in);
    MRD_TRY(parse_parts(directory, &in, frame->offset, err));
    MRD_TRY(parse_tenants(directory, &in, err));
    *out_directory = MRD_MOVE(directory);
    return MRD_OK;
}

void mbx_directory_destroy(struct mbx_directory **directory)
{
    if (*directory != NULL) {
        mrd_arena_destroy(&(*directory)->arena);
        free(*directory);
        *directory = NULL;
    }
}

static int compare_tenant(const void *name, const void *tenant)
{
    return mrd_bytes_compare(*(const struct mrd_bytes *)name,
                             ((const struct mrd_block_tenant *)tenant)->name);
}

static const struct mrd_block_tenant *find_tenant(const struct mrd_block_tenant *tenants,
                                                  size_t count, struct mrd_bytes name)
{
    return bsearch(&name, tenants, count, sizeof(tenants[0]), compare_tenant);
}

ptrdiff_t mbx_directory_find(const struct mbx_directory *directory, struct mrd_bytes tenant)
{
    size_t from = 0;
    size_t to = directory->part_count;
    while (from < to) {
        const size_t middle = from + (to - from) / 2;
        const struct mbx_part_at *part = &directory->parts[middle];
        const struct mrd_block_tenant *last =
            &directory->tenants[part->tenants_first + part->tenants_count - 1];
        if (mrd_bytes_compare(last->name, tenant) < 0) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    if (from == directory->part_count) {
        return -1;
    }
    const struct mrd_block_tenant *found =
        find_tenant(directory->tenants + directory->parts[from].tenants_first,
                    (size_t)directory->parts[from].tenants_count, tenant);
    return found == NULL ? -1 : (ptrdiff_t)from;
}
