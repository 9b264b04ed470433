/* The file: for each series a varint with the size of its canonical labels plus 1, and these; then its chunks, each a 0, a varint
 * encoding, a varint size, bytes. */
#include "tsdb/series_spool.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tsdb/file_internal.h"
#include "tsdb/map.h"

enum { LABELS_BYTES_MAX = 8 << 20, PATH_SIZE = 4096, CHUNK_MARK = 0 };

/* A part of the file whose series are in order. */
struct run {
    uint64_t begin; /* of what was not read yet */
    uint64_t end;
    struct mrd_arena *arena;  /* of `labels`; made when the run is read */
    struct mrd_labels labels; /* of its next series */
    struct mrd_bytes chunks;
    bool over;
};

struct mrd_tsdb_spool {
    char path[PATH_SIZE];
    struct mrd_tsdb_file file;
    struct mrd_tsdb_map map;
    struct run *runs;
    size_t run_count;
    struct run *given;   /* whose series was given back last */
    struct mrd_buf last; /* canonical labels of the series at hand */
    struct mrd_buf scratch;
    struct mrd_arena *arena;
    bool turned;
};

/* ---- life ---- */

enum mrd_status mrd_tsdb_spool_create(const char *folder, struct mrd_tsdb_spool **out,
                                      struct mrd_error *err)
{
    mrd_auto(mrd_tsdb_spool_destroy)
    struct mrd_tsdb_spool *spool = calloc(1, sizeof(*spool));
    mrd_assert(spool != NULL);
    if ((size_t)snprintf(spool->path, PATH_SIZE, "%s/series.spool", folder) >= PATH_SIZE) {
        return mrd_fail(err, MRD_E_INVALID, "%s: the name is too long", folder);
    }
    spool->arena = mrd_arena_create("labels of a series", 2 * LABELS_BYTES_MAX);
    MRD_TRY(mrd_tsdb_file_open(&spool->file, folder, "series.spool", err));
    *out = MRD_MOVE(spool);
    return MRD_OK;
}

void mrd_tsdb_spool_destroy(struct mrd_tsdb_spool **spool)
{
    struct mrd_tsdb_spool *gone = *spool;
    if (gone == NULL) {
        return;
    }
    if (gone->file.path != NULL || gone->turned) {
        (void)unlink(gone->path);
    }
    mrd_tsdb_file_drop(&gone->file);
    mrd_tsdb_map_close(&gone->map);
    for (size_t i = 0; i < gone->run_count; i++) {
        mrd_arena_destroy(&gone->runs[i].arena);
    }
    free(gone->runs);
    mrd_buf_fini(&gone->last);
    mrd_buf_fini(&gone->scratch);
    mrd_arena_destroy(&gone->arena);
    free(gone);
    *spool = NULL;
}

/* ---- writing ---- */

static enum mrd_status run_begin(struct mrd_tsdb_spool *spool, struct mrd_error *err)
{
    if (spool->run_count == MRD_TSDB_SPOOL_RUNS_MAX) {
        return mrd_fail(err, MRD_E_LIMIT,
                        "series come in no order: more than %d times one is less "
                        "than the one before",
                        MRD_TSDB_SPOOL_RUNS_MAX);
    }
    struct run *runs = realloc(spool->runs, (spool->run_count + 1) * sizeof(*runs));
    mrd_assert(runs != NULL);
    spool->runs = runs;
    runs[spool->run_count++] = (struct run){.begin = spool->file.size};
    return MRD_OK;
}

/* Whether the labels are greater than those of the series at hand. */
static enum mrd_status comes_after(struct mrd_tsdb_spool *spool, struct mrd_labels labels,
                                   bool *out, struct mrd_error *err)
{
    struct mrd_labels last;
    if (spool->run_count == 0) {
        *out = false;
        return MRD_OK;
    }
    mrd_arena_reset(spool->arena);
    MRD_TRY(mrd_labels_decode(mrd_buf_view(&spool->last), spool->arena, &last, err));
    *out = mrd_labels_compare(last, labels) < 0;
    return MRD_OK;
}

enum mrd_status mrd_tsdb_spool_series(struct mrd_tsdb_spool *spool, struct mrd_labels labels,
                                      struct mrd_error *err)
{
    bool in_order;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf head = {0};
    mrd_assert(!spool->turned);
    mrd_buf_clear(&spool->scratch);
    mrd_labels_encode(labels, &spool->scratch);
    if (spool->run_count > 0 &&
        mrd_bytes_equal(mrd_buf_view(&spool->scratch), mrd_buf_view(&spool->last))) {
        return MRD_OK;
    }
    if (spool->scratch.size > LABELS_BYTES_MAX) {
        return mrd_fail(err, MRD_E_LIMIT, "a series has %zu bytes of labels", spool->scratch.size);
    }
    MRD_TRY(comes_after(spool, labels, &in_order, err));
    if (!in_order) {
        MRD_TRY(run_begin(spool, err));
    }
    mrd_buf_append_varint(&head, spool->scratch.size + 1);
    mrd_tsdb_file_write(&spool->file, mrd_buf_view(&head));
    mrd_tsdb_file_write(&spool->file, mrd_buf_view(&spool->scratch));
    spool->runs[spool->run_count - 1].end = spool->file.size;
    const struct mrd_buf kept = spool->last;
    spool->last = spool->scratch;
    spool->scratch = kept;
    return MRD_OK;
}

void mrd_tsdb_spool_chunk(struct mrd_tsdb_spool *spool, unsigned encoding, struct mrd_bytes bytes)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf head = {0};
    mrd_assert(spool->run_count > 0 && !spool->turned);
    mrd_buf_append_varint(&head, CHUNK_MARK);
    mrd_buf_append_varint(&head, encoding);
    mrd_buf_append_varint(&head, bytes.size);
    mrd_tsdb_file_write(&spool->file, mrd_buf_view(&head));
    mrd_tsdb_file_write(&spool->file, bytes);
    spool->runs[spool->run_count - 1].end = spool->file.size;
}

/* ---- reading ---- */

bool mrd_tsdb_spooled_chunk(struct mrd_bytes *chunks, unsigned *out_encoding,
                            struct mrd_bytes *out_bytes)
{
    struct mrd_reader reader = mrd_reader_of(*chunks);
    if (chunks->size == 0 || mrd_read_varint(&reader) != CHUNK_MARK) {
        return false;
    }
    const uint64_t encoding = mrd_read_varint(&reader);
    const struct mrd_bytes bytes = mrd_read_bytes(&reader, mrd_read_varint(&reader));
    if (reader.failed || encoding > UINT8_MAX) {
        return false;
    }
    *chunks = (struct mrd_bytes){reader.at, mrd_reader_left(&reader)};
    *out_encoding = (unsigned)encoding;
    *out_bytes = bytes;
    return true;
}

/* Reads a run's next series: its labels, and where its chunks lie. */
static enum mrd_status run_advance(const struct mrd_tsdb_spool *spool, struct run *run,
                                   struct mrd_error *err)
{
    run->over = run->begin == run->end;
    if (run->over) {
        return MRD_OK;
    }
    const struct mrd_bytes rest = {spool->map.bytes.data + run->begin,
                                   (size_t)(run->end - run->begin)};
    struct mrd_reader reader = mrd_reader_of(rest);
    const uint64_t size = mrd_read_varint(&reader);
    const struct mrd_bytes canonical = mrd_read_bytes(&reader, size - 1);
    if (reader.failed || size == 0) {
        return mrd_fail(err, MRD_E_CORRUPT, "%s is not what was written", spool->path);
    }
    mrd_arena_reset(run->arena);
    MRD_TRY(mrd_labels_decode(canonical, run->arena, &run->labels, err));
    struct mrd_bytes chunks = {reader.at, mrd_reader_left(&reader)};
    const uint8_t *begin = chunks.data;
    unsigned encoding;
    struct mrd_bytes bytes;
    while (mrd_tsdb_spooled_chunk(&chunks, &encoding, &bytes)) {}
    run->chunks = (struct mrd_bytes){begin, (size_t)(chunks.data - begin)};
    run->begin = run->end - chunks.size;
    return MRD_OK;
}

enum mrd_status mrd_tsdb_spool_turn(struct mrd_tsdb_spool *spool, struct mrd_error *err)
{
    mrd_assert(!spool->turned);
    spool->turned = true;
    MRD_TRY(mrd_tsdb_file_close(&spool->file, false, err));
    MRD_TRY(mrd_tsdb_map_open(spool->path, &spool->map, err));
    for (size_t i = 0; i < spool->run_count; i++) {
        struct run *run = &spool->runs[i];
        if (run->end > spool->map.bytes.size) {
            return mrd_fail(err, MRD_E_CORRUPT, "%s is not what was written", spool->path);
        }
        run->arena = mrd_arena_create("labels of a series", 2 * LABELS_BYTES_MAX);
        MRD_TRY(run_advance(spool, run, err));
    }
    return MRD_OK;
}

enum mrd_status mrd_tsdb_spool_next(struct mrd_tsdb_spool *spool, struct mrd_tsdb_spooled *out,
                                    bool *out_more, struct mrd_error *err)
{
    struct run *least = NULL;
    mrd_assert(spool->turned);
    if (spool->given != NULL) {
        MRD_TRY(run_advance(spool, spool->given, err));
    }
    for (size_t i = 0; i < spool->run_count; i++) {
        struct run *run = &spool->runs[i];
        if (!run->over && (least == NULL || mrd_labels_compare(run->labels, least->labels) < 0)) {
            least = run;
        }
    }
    spool->given = least;
    *out_more = least != NULL;
    if (least != NULL) {
        *out = (struct mrd_tsdb_spooled){least->labels, least->chunks};
    }
    return MRD_OK;
}
