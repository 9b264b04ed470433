#include "tsdb/block_writer.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/prometheus_chunk.h"
#include "tsdb/index_writer_internal.h"
#include "tsdb/tombstones.h"
#include "tsdb/tsdb_internal.h"

enum { SEGMENT_BYTES_MAX = 512 << 20, CHUNK_OVERHEAD = 16, PATH_SIZE = 4096 };

struct mrd_tsdb_writer {
    char folder[PATH_SIZE]; /* where the block is made */
    char home[PATH_SIZE];   /* where it goes */
    char chunks[PATH_SIZE + 8];
    char outer[PATH_SIZE];
    struct mrd_tsdb_index_writer index;
    struct mrd_tsdb_file segment;
    uint64_t segment_count; /* the open one included */
    struct mrd_buf labels;  /* canonical, of the series under construction */
    struct mrd_buf before;  /* of the one before */
    struct mrd_arena *arena;
    struct mrd_buf metas; /* struct mrd_tsdb_chunk_meta of the series */
    struct mrd_buf scratch;
    bool begun;
    bool made; /* the folder is ours */
    bool finished;
    struct mrd_tsdb_meta meta;
};

/* ---- folders ---- */

static void folder_empty(const char *path)
{
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return;
    }
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] != '.') {
            (void)unlinkat(dirfd(folder), entry->d_name, 0);
        }
    }
    (void)closedir(folder);
}

static void folder_remove(const struct mrd_tsdb_writer *writer)
{
    folder_empty(writer->chunks);
    (void)rmdir(writer->chunks);
    folder_empty(writer->folder);
    (void)rmdir(writer->folder);
}

static enum mrd_status folders_make(struct mrd_tsdb_writer *writer,
                                    const struct mrd_tsdb_writer_options *options,
                                    struct mrd_error *err)
{
    if (strlen(options->folder) > PATH_SIZE - 128) {
        return mrd_fail(err, MRD_E_INVALID, "%s: the name is too long", options->folder);
    }
    (void)snprintf(writer->outer, PATH_SIZE, "%s", options->folder);
    (void)snprintf(writer->home, PATH_SIZE, "%s/%s", options->folder, options->ulid);
    (void)snprintf(writer->folder, PATH_SIZE, "%s/%s.tmp-for-creation", options->folder,
                   options->ulid);
    (void)snprintf(writer->chunks, sizeof(writer->chunks), "%s/chunks", writer->folder);
    if (mkdir(writer->folder, 0755) != 0) {
        return mrd_fail_errno(err, MRD_E_UNAVAILABLE, "%s", writer->folder);
    }
    writer->made = true;
    return mkdir(writer->chunks, 0755) == 0
               ? MRD_OK
               : mrd_fail_errno(err, MRD_E_UNAVAILABLE, "%s", writer->chunks);
}

/* ---- life ---- */

enum mrd_status mrd_tsdb_writer_create(const struct mrd_tsdb_writer_options *options,
                                       struct mrd_tsdb_writer **out, struct mrd_error *err)
{
    mrd_assert(mrd_ulid_valid(mrd_bytes_of(options->ulid)));
    mrd_auto(mrd_tsdb_writer_destroy)
    struct mrd_tsdb_writer *writer = calloc(1, sizeof(*writer));
    mrd_assert(writer != NULL);
    memcpy(writer->meta.ulid, options->ulid, sizeof(writer->meta.ulid));
    writer->arena = mrd_arena_create("labels of a series", options->memory_bytes_max);
    mrd_buf_init(&writer->metas, options->memory_bytes_max);
    MRD_TRY(folders_make(writer, options, err));
    MRD_TRY(
        mrd_tsdb_index_writer_init(&writer->index, writer->folder, options->memory_bytes_max, err));
    *out = MRD_MOVE(writer);
    return MRD_OK;
}

void mrd_tsdb_writer_destroy(struct mrd_tsdb_writer **writer)
{
    struct mrd_tsdb_writer *gone = *writer;
    if (gone == NULL) {
        return;
    }
    mrd_tsdb_file_drop(&gone->segment);
    mrd_tsdb_index_writer_fini(&gone->index);
    if (gone->made && !gone->finished) {
        folder_remove(gone);
    }
    mrd_buf_fini(&gone->labels);
    mrd_buf_fini(&gone->before);
    mrd_buf_fini(&gone->metas);
    mrd_buf_fini(&gone->scratch);
    mrd_arena_destroy(&gone->arena);
    free(gone);
    *writer = NULL;
}

/* ---- series ---- */

static enum mrd_status labels_of(struct mrd_tsdb_writer *writer, const struct mrd_buf *canonical,
                                 struct mrd_labels *out, struct mrd_error *err)
{
    return mrd_labels_decode(mrd_buf_view(canonical), writer->arena, out, err);
}

static enum mrd_status series_end(struct mrd_tsdb_writer *writer, struct mrd_error *err)
{
    struct mrd_labels labels;
    const size_t count = writer->metas.size / sizeof(struct mrd_tsdb_chunk_meta);
    writer->begun = false;
    if (count == 0) {
        return MRD_OK;
    }
    mrd_arena_reset(writer->arena);
    MRD_TRY(labels_of(writer, &writer->labels, &labels, err));
    MRD_TRY(mrd_tsdb_index_writer_add(&writer->index, labels, (const void *)writer->metas.data,
                                      count, err));
    writer->meta.stats.series++;
    mrd_buf_clear(&writer->metas);
    const struct mrd_buf kept = writer->before;
    writer->before = writer->labels;
    writer->labels = kept;
    return MRD_OK;
}

static enum mrd_status order_check(struct mrd_tsdb_writer *writer, struct mrd_labels labels,
                                   struct mrd_error *err)
{
    struct mrd_labels before;
    if (writer->before.size == 0) {
        return MRD_OK;
    }
    mrd_arena_reset(writer->arena);
    MRD_TRY(labels_of(writer, &writer->before, &before, err));
    return mrd_labels_compare(before, labels) < 0
               ? MRD_OK
               : mrd_fail(err, MRD_E_INVALID, "series do not come in the order of their labels");
}

enum mrd_status mrd_tsdb_writer_series(struct mrd_tsdb_writer *writer, struct mrd_labels labels,
                                       struct mrd_error *err)
{
    mrd_assert(!writer->finished);
    if (writer->begun) {
        MRD_TRY(series_end(writer, err));
    }
    MRD_TRY(order_check(writer, labels, err));
    mrd_buf_clear(&writer->labels);
    mrd_labels_encode(labels, &writer->labels);
    writer->begun = true;
    return MRD_OK;
}

/* ---- chunks ---- */

/* Opens the next file if this chunk would make the open one too large. */
static enum mrd_status segment_get(struct mrd_tsdb_writer *writer, size_t size,
                                   struct mrd_error *err)
{
    char name[32];
    mrd_auto(mrd_buf_fini)
    struct mrd_buf head = {0};
    if (writer->segment.path != NULL) {
        if (writer->segment.size + size + CHUNK_OVERHEAD <= SEGMENT_BYTES_MAX) {
            return MRD_OK;
        }
        MRD_TRY(mrd_tsdb_file_close(&writer->segment, true, err));
    }
    writer->segment_count++;
    (void)snprintf(name, sizeof(name), "%06" PRIu64, writer->segment_count);
    MRD_TRY(mrd_tsdb_file_open(&writer->segment, writer->chunks, name, err));
    mrd_tsdb_append_u32(&head, MRD_TSDB_CHUNKS_MAGIC);
    mrd_buf_append(&head, "\1\0\0\0", 4); /* the version, and zeros */
    mrd_tsdb_file_write(&writer->segment, mrd_buf_view(&head));
    return MRD_OK;
}

static enum mrd_status chunk_check(const struct mrd_tsdb_writer *writer,
                                   const struct mrd_tsdb_written_chunk *chunk,
                                   struct mrd_error *err)
{
    const size_t count = writer->metas.size / sizeof(struct mrd_tsdb_chunk_meta);
    const struct mrd_tsdb_chunk_meta *metas = (const void *)writer->metas.data;
    if (chunk->min_ms > chunk->max_ms || chunk->max_ms == INT64_MAX ||
        (count > 0 && chunk->min_ms <= metas[count - 1].max_ms)) {
        return mrd_fail(err, MRD_E_INVALID,
                        "chunks of a series do not come in the order of time, or overlap (%" PRId64
                        " to %" PRId64 " ms)",
                        chunk->min_ms, chunk->max_ms);
    }
    return chunk->bytes.size < SEGMENT_BYTES_MAX / 2
               ? MRD_OK
               : mrd_fail(err, MRD_E_INVALID, "a chunk has %zu bytes", chunk->bytes.size);
}

static void count_samples(struct mrd_tsdb_writer *writer,
                          const struct mrd_tsdb_written_chunk *chunk)
{
    struct mrd_tsdb_meta *meta = &writer->meta;
    const bool first = meta->stats.chunks == 0;
    const bool floats =
        chunk->encoding == MRD_PROMETHEUS_XOR || chunk->encoding == MRD_PROMETHEUS_XOR2;
    meta->stats.chunks++;
    meta->stats.samples += chunk->sample_count;
    *(floats ? &meta->stats.floats : &meta->stats.histograms) += chunk->sample_count;
    meta->min_ms = first ? chunk->min_ms : MRD_MIN(meta->min_ms, chunk->min_ms);
    meta->max_ms = first ? chunk->max_ms + 1 : MRD_MAX(meta->max_ms, chunk->max_ms + 1);
}

enum mrd_status mrd_tsdb_writer_chunk(struct mrd_tsdb_writer *writer,
                                      const struct mrd_tsdb_written_chunk *chunk,
                                      struct mrd_error *err)
{
    struct mrd_buf *out = &writer->scratch;
    mrd_assert(writer->begun);
    MRD_TRY(chunk_check(writer, chunk, err));
    MRD_TRY(segment_get(writer, chunk->bytes.size, err));
    const struct mrd_tsdb_chunk_meta meta = {
        .min_ms = chunk->min_ms,
        .max_ms = chunk->max_ms,
        .ref = (writer->segment_count - 1) << 32 | writer->segment.size,
    };
    mrd_buf_append(&writer->metas, &meta, sizeof(meta));
    if (writer->metas.failed) {
        return mrd_fail(err, MRD_E_LIMIT, "a series has too many chunks for %zu bytes of memory",
                        writer->metas.limit);
    }
    mrd_buf_clear(out);
    mrd_buf_append_varint(out, chunk->bytes.size);
    const size_t begin = out->size;
    mrd_buf_append_u8(out, (uint8_t)chunk->encoding);
    mrd_buf_append_bytes(out, chunk->bytes);
    mrd_tsdb_append_u32(out,
                        mrd_crc32c(0, (struct mrd_bytes){out->data + begin, out->size - begin}));
    mrd_tsdb_file_write(&writer->segment, mrd_buf_view(out));
    count_samples(writer, chunk);
    return MRD_OK;
}

/* ---- the end ---- */

static enum mrd_status small_file_write(struct mrd_tsdb_writer *writer, const char *name,
                                        struct mrd_bytes bytes, struct mrd_error *err)
{
    struct mrd_tsdb_file file;
    MRD_TRY(mrd_tsdb_file_open(&file, writer->folder, name, err));
    mrd_tsdb_file_write(&file, bytes);
    return mrd_tsdb_file_close(&file, true, err);
}

static enum mrd_status files_finish(struct mrd_tsdb_writer *writer, struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf meta = {0};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf tombstones = {0};
    MRD_TRY(mrd_tsdb_file_close(&writer->segment, true, err));
    MRD_TRY(mrd_tsdb_index_writer_finish(&writer->index, writer->folder, err));
    mrd_tsdb_tombstones_write_none(&tombstones);
    MRD_TRY(small_file_write(writer, "tombstones", mrd_buf_view(&tombstones), err));
    mrd_tsdb_meta_write(&writer->meta, &meta);
    MRD_TRY(small_file_write(writer, "meta.json", mrd_buf_view(&meta), err));
    MRD_TRY(mrd_tsdb_folder_sync(writer->chunks, err));
    return mrd_tsdb_folder_sync(writer->folder, err);
}

enum mrd_status mrd_tsdb_writer_finish(struct mrd_tsdb_writer *writer, struct mrd_tsdb_meta *out,
                                       struct mrd_error *err)
{
    mrd_assert(!writer->finished);
    if (writer->begun) {
        MRD_TRY(series_end(writer, err));
    }
    *out = writer->meta;
    if (writer->meta.stats.series == 0) {
        return MRD_OK; /* destroy removes what there is */
    }
    MRD_TRY(files_finish(writer, err));
    if (rename(writer->folder, writer->home) != 0) {
        return mrd_fail_errno(err, MRD_E_UNAVAILABLE, "%s", writer->home);
    }
    writer->finished = true;
    return mrd_tsdb_folder_sync(writer->outer, err);
}
