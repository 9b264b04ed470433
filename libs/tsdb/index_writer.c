#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tsdb/index_writer_internal.h"
#include "tsdb/map.h"
#include "tsdb/tsdb_internal.h"

enum { SECTION_ALIGN = 4 };

#define SPOOL_NAME "series.spool"
#define SECTION_BYTES_MAX UINT32_MAX

/* ---- series as they come ---- */

enum mrd_status mrd_tsdb_index_writer_init(struct mrd_tsdb_index_writer *writer, const char *folder,
                                           size_t memory_bytes_max, struct mrd_error *err)
{
    *writer = (struct mrd_tsdb_index_writer){.memory_bytes_max = memory_bytes_max};
    return mrd_tsdb_file_open(&writer->spool, folder, SPOOL_NAME, err);
}

void mrd_tsdb_index_writer_fini(struct mrd_tsdb_index_writer *writer)
{
    mrd_interner_fini(&writer->symbols);
    mrd_interner_fini(&writer->pairs);
    mrd_buf_fini(&writer->pair_counts);
    mrd_tsdb_file_drop(&writer->spool);
    mrd_buf_fini(&writer->scratch);
}

struct pair {
    uint32_t name;
    uint32_t value;
};

static uint32_t *counts_of(const struct mrd_tsdb_index_writer *writer)
{
    return (uint32_t *)(void *)writer->pair_counts.data;
}

static uint32_t pair_put(struct mrd_tsdb_index_writer *writer, const struct mrd_label *label)
{
    const struct pair pair = {mrd_interner_put(&writer->symbols, label->name),
                              mrd_interner_put(&writer->symbols, label->value)};
    const uint32_t number =
        mrd_interner_put(&writer->pairs, (struct mrd_bytes){(const uint8_t *)&pair, sizeof(pair)});
    if (number == writer->pair_counts.size / sizeof(uint32_t)) {
        mrd_buf_append_u32(&writer->pair_counts, 0);
    }
    counts_of(writer)[number]++;
    return number;
}

/* What the format says of the chunks of a series. */
static void chunks_append(const struct mrd_tsdb_chunk_meta *chunks, size_t count,
                          struct mrd_buf *out)
{
    mrd_buf_append_varint(out, count);
    for (size_t i = 0; i < count; i++) {
        const struct mrd_tsdb_chunk_meta *chunk = &chunks[i];
        if (i == 0) {
            mrd_buf_append_zigzag(out, chunk->min_ms);
        } else {
            mrd_buf_append_varint(out, (uint64_t)chunk->min_ms - (uint64_t)chunks[i - 1].max_ms);
        }
        mrd_buf_append_varint(out, (uint64_t)chunk->max_ms - (uint64_t)chunk->min_ms);
        if (i == 0) {
            mrd_buf_append_varint(out, chunk->ref);
        } else {
            mrd_buf_append_zigzag(out, (int64_t)(chunk->ref - chunks[i - 1].ref));
        }
    }
}

/* What is taken, and what the end will take beside it. */
static size_t memory_of(const struct mrd_tsdb_index_writer *writer)
{
    enum { OF_SYMBOL = 8, OF_PAIR = 40, OF_LABEL = 4, OF_SERIES = 4 };
    return mrd_interner_memory(&writer->symbols) + writer->symbols.bytes.size +
           mrd_interner_memory(&writer->pairs) + writer->pair_counts.capacity +
           OF_SYMBOL * (size_t)writer->symbols.count + OF_PAIR * (size_t)writer->pairs.count +
           OF_LABEL * (size_t)writer->label_count + OF_SERIES * (size_t)writer->series_count;
}

enum mrd_status mrd_tsdb_index_writer_add(struct mrd_tsdb_index_writer *writer,
                                          struct mrd_labels labels,
                                          const struct mrd_tsdb_chunk_meta *chunks,
                                          size_t chunk_count, struct mrd_error *err)
{
    struct mrd_buf *entry = &writer->scratch;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf head = {0};
    mrd_buf_clear(entry);
    mrd_buf_append_varint(entry, labels.count);
    for (size_t i = 0; i < labels.count; i++) {
        mrd_buf_append_varint(entry, pair_put(writer, &labels.items[i]));
    }
    chunks_append(chunks, chunk_count, entry);
    mrd_buf_append_varint(&head, entry->size);
    mrd_tsdb_file_write(&writer->spool, mrd_buf_view(&head));
    mrd_tsdb_file_write(&writer->spool, mrd_buf_view(entry));
    writer->series_count++;
    writer->label_count += labels.count;
    return memory_of(writer) <= writer->memory_bytes_max
               ? MRD_OK
               : mrd_fail(err, MRD_E_LIMIT,
                          "the index of a block with %" PRIu64
                          " series needs more than %zu bytes of memory",
                          writer->series_count, writer->memory_bytes_max);
}

/* ---- the file ---- */

struct making {
    struct mrd_tsdb_index_writer *writer;
    struct mrd_tsdb_file file;
    struct mrd_tsdb_map spool;
    uint32_t *sorted; /* symbols in their order */
    uint32_t *ranks;  /* the place of each symbol there */
    uint32_t *pair_order;
    uint64_t *
        list_begins; /* where the series of each pair begin in `lists`; then, where the next goes */
    uint32_t *lists;
    uint32_t *all;         /* the references of all series */
    uint64_t *list_places; /* in the file, of each pair in its order; first that of all */
    uint64_t toc[MRD_TSDB_TOC_SECTIONS];
};

static void making_fini(struct making *making)
{
    mrd_tsdb_file_drop(&making->file);
    mrd_tsdb_map_close(&making->spool);
    free(making->sorted);
    free(making->ranks);
    free(making->pair_order);
    free(making->list_begins);
    free(making->lists);
    free(making->all);
    free(making->list_places);
}

static void *array_make(uint64_t count, size_t size)
{
    void *array = calloc((size_t)count + 1, size);
    mrd_assert(array != NULL);
    return array;
}

static void write_u32(struct making *making, uint32_t value)
{
    value = __builtin_bswap32(value);
    mrd_tsdb_file_write(&making->file, (struct mrd_bytes){(const uint8_t *)&value, sizeof(value)});
}

/* A section's size, its bytes and their checksum. */
static enum mrd_status section_write(struct making *making, struct mrd_bytes bytes,
                                     struct mrd_error *err)
{
    if (bytes.size > SECTION_BYTES_MAX) {
        return mrd_fail(err, MRD_E_LIMIT,
                        "a section of the index has %zu bytes, at most %" PRIu32 " go", bytes.size,
                        SECTION_BYTES_MAX);
    }
    write_u32(making, (uint32_t)bytes.size);
    mrd_tsdb_file_write(&making->file, bytes);
    write_u32(making, mrd_crc32c(0, bytes));
    return MRD_OK;
}

static void align(struct making *making, size_t to)
{
    static const uint8_t zeros[MRD_TSDB_SERIES_ALIGN];
    mrd_tsdb_file_write(&making->file,
                        (struct mrd_bytes){zeros, (size_t)(-making->file.size % to)});
}

/* ---- symbols ---- */

static int by_text(const void *a, const void *b, void *context)
{
    const struct mrd_interner *symbols = context;
    return mrd_bytes_compare(mrd_interner_at(symbols, *(const uint32_t *)a),
                             mrd_interner_at(symbols, *(const uint32_t *)b));
}

static enum mrd_status symbols_write(struct making *making, struct mrd_error *err)
{
    struct mrd_interner *symbols = &making->writer->symbols;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf section = {0};
    making->sorted = array_make(symbols->count, sizeof(*making->sorted));
    making->ranks = array_make(symbols->count, sizeof(*making->ranks));
    for (uint32_t i = 0; i < symbols->count; i++) {
        making->sorted[i] = i;
    }
    qsort_r(making->sorted, symbols->count, sizeof(*making->sorted), by_text, symbols);
    mrd_tsdb_append_u32(&section, symbols->count);
    for (uint32_t i = 0; i < symbols->count; i++) {
        making->ranks[making->sorted[i]] = i;
        mrd_tsdb_append_text(&section, mrd_interner_at(symbols, making->sorted[i]));
    }
    making->toc[MRD_TSDB_SYMBOLS] = making->file.size;
    return section_write(making, mrd_buf_view(&section), err);
}

/* ---- series ---- */

static struct pair pair_at(const struct making *making, uint32_t number)
{
    struct pair pair;
    memcpy(&pair, mrd_interner_at(&making->writer->pairs, number).data, sizeof(pair));
    return pair;
}

/* One series of the spool, our own bytes, with the places of its symbols instead of pairs. */
static void series_write(struct making *making, struct mrd_bytes spooled, uint32_t ref)
{
    struct mrd_reader reader = mrd_reader_of(spooled);
    struct mrd_buf *entry = &making->writer->scratch;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf head = {0};
    const uint64_t labels = mrd_read_varint(&reader);
    mrd_buf_clear(entry);
    mrd_buf_append_varint(entry, labels);
    for (uint64_t i = 0; i < labels; i++) {
        const uint32_t number = (uint32_t)mrd_read_varint(&reader);
        const struct pair pair = pair_at(making, number);
        mrd_buf_append_varint(entry, making->ranks[pair.name]);
        mrd_buf_append_varint(entry, making->ranks[pair.value]);
        making->lists[making->list_begins[number]++] = ref;
    }
    mrd_buf_append(entry, reader.at, mrd_reader_left(&reader));
    mrd_assert(!reader.failed);
    mrd_buf_append_varint(&head, entry->size);
    mrd_tsdb_append_u32(entry, mrd_crc32c(0, mrd_buf_view(entry)));
    mrd_tsdb_file_write(&making->file, mrd_buf_view(&head));
    mrd_tsdb_file_write(&making->file, mrd_buf_view(entry));
}

static enum mrd_status series_all_write(struct making *making, struct mrd_error *err)
{
    struct mrd_reader spool = mrd_reader_of(making->spool.bytes);
    const uint64_t count = making->writer->series_count;
    making->all = array_make(count, sizeof(*making->all));
    align(making, MRD_TSDB_SERIES_ALIGN);
    making->toc[MRD_TSDB_SERIES] = making->file.size;
    for (uint64_t i = 0; i < count; i++) {
        align(making, MRD_TSDB_SERIES_ALIGN);
        const uint64_t ref = making->file.size / MRD_TSDB_SERIES_ALIGN;
        if (ref > UINT32_MAX) {
            return mrd_fail(err, MRD_E_LIMIT, "the index of the block is larger than 64 GiB");
        }
        making->all[i] = (uint32_t)ref;
        series_write(making, mrd_tsdb_read_text(&spool), (uint32_t)ref);
    }
    mrd_assert(!spool.failed && mrd_reader_left(&spool) == 0);
    return MRD_OK;
}

/* ---- postings ---- */

static int by_pair(const void *a, const void *b, void *context)
{
    const struct making *making = context;
    const struct pair left = pair_at(making, *(const uint32_t *)a);
    const struct pair right = pair_at(making, *(const uint32_t *)b);
    const uint32_t *ranks = making->ranks;
    if (left.name != right.name) {
        return ranks[left.name] < ranks[right.name] ? -1 : 1;
    }
    return ranks[left.value] < ranks[right.value] ? -1 : ranks[left.value] > ranks[right.value];
}

/* Room for the series of each pair, as many as were counted. */
static void lists_make(struct making *making)
{
    const uint32_t pairs = making->writer->pairs.count;
    uint64_t begin = 0;
    making->lists = array_make(making->writer->label_count, sizeof(*making->lists));
    making->list_begins = array_make(pairs, sizeof(*making->list_begins));
    making->list_places = array_make((uint64_t)pairs + 1, sizeof(*making->list_places));
    making->pair_order = array_make(pairs, sizeof(*making->pair_order));
    for (uint32_t i = 0; i < pairs; i++) {
        making->list_begins[i] = begin;
        making->pair_order[i] = i;
        begin += counts_of(making->writer)[i];
    }
    qsort_r(making->pair_order, pairs, sizeof(*making->pair_order), by_pair, making);
}

static enum mrd_status list_write(struct making *making, const uint32_t *refs, uint64_t count,
                                  uint64_t *out_place, struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf section = {0};
    align(making, SECTION_ALIGN);
    *out_place = making->file.size;
    mrd_tsdb_append_u32(&section, (uint32_t)count);
    for (uint64_t i = 0; i < count; i++) {
        mrd_tsdb_append_u32(&section, refs[i]);
    }
    return section_write(making, mrd_buf_view(&section), err);
}

static enum mrd_status lists_write(struct making *making, struct mrd_error *err)
{
    const struct mrd_tsdb_index_writer *writer = making->writer;
    making->toc[MRD_TSDB_LABEL_INDICES] = making->file.size; /* none: nobody reads them any more */
    making->toc[MRD_TSDB_POSTINGS] = making->file.size;
    MRD_TRY(list_write(making, making->all, writer->series_count, &making->list_places[0], err));
    for (uint32_t i = 0; i < writer->pairs.count; i++) {
        const uint32_t pair = making->pair_order[i];
        const uint32_t count = counts_of(writer)[pair];
        const uint32_t *refs = making->lists + making->list_begins[pair] - count;
        MRD_TRY(list_write(making, refs, count, &making->list_places[i + 1], err));
    }
    return MRD_OK;
}

static void table_append(struct mrd_buf *out, struct mrd_bytes name, struct mrd_bytes value,
                         uint64_t place)
{
    mrd_buf_append_varint(out, 2);
    mrd_tsdb_append_text(out, name);
    mrd_tsdb_append_text(out, value);
    mrd_buf_append_varint(out, place);
}

static enum mrd_status table_write(struct making *making, struct mrd_error *err)
{
    const struct mrd_tsdb_index_writer *writer = making->writer;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf section = {0};
    mrd_tsdb_append_u32(&section, writer->pairs.count + 1);
    table_append(&section, MRD_BYTES_NONE, MRD_BYTES_NONE, making->list_places[0]);
    for (uint32_t i = 0; i < writer->pairs.count; i++) {
        const struct pair pair = pair_at(making, making->pair_order[i]);
        table_append(&section, mrd_interner_at(&writer->symbols, pair.name),
                     mrd_interner_at(&writer->symbols, pair.value), making->list_places[i + 1]);
    }
    align(making, SECTION_ALIGN);
    making->toc[MRD_TSDB_LABEL_TABLE] = making->file.size;
    making->toc[MRD_TSDB_POSTINGS_TABLE] = making->file.size;
    return section_write(making, mrd_buf_view(&section), err);
}

/* ---- the whole ---- */

static void head_write(struct making *making)
{
    static const uint8_t version = MRD_TSDB_FORMAT_2;
    write_u32(making, MRD_TSDB_INDEX_MAGIC);
    mrd_tsdb_file_write(&making->file, (struct mrd_bytes){&version, 1});
}

static void toc_write(struct making *making)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf toc = {0};
    for (size_t i = 0; i < MRD_TSDB_TOC_SECTIONS; i++) {
        mrd_tsdb_append_u64(&toc, making->toc[i]);
    }
    mrd_tsdb_append_u32(&toc, mrd_crc32c(0, mrd_buf_view(&toc)));
    mrd_tsdb_file_write(&making->file, mrd_buf_view(&toc));
}

static enum mrd_status spool_take(struct making *making, const char *folder, struct mrd_error *err)
{
    char path[4096];
    MRD_TRY(mrd_tsdb_file_close(&making->writer->spool, false, err));
    (void)snprintf(path, sizeof(path), "%s/" SPOOL_NAME, folder);
    MRD_TRY(mrd_tsdb_map_open(path, &making->spool, err));
    return unlink(path) == 0 ? MRD_OK : mrd_fail_errno(err, MRD_E_UNAVAILABLE, "%s", path);
}

enum mrd_status mrd_tsdb_index_writer_finish(struct mrd_tsdb_index_writer *writer,
                                             const char *folder, struct mrd_error *err)
{
    mrd_auto(making_fini)
    struct making making = {.writer = writer};
    MRD_TRY(spool_take(&making, folder, err));
    MRD_TRY(mrd_tsdb_file_open(&making.file, folder, "index", err));
    head_write(&making);
    MRD_TRY(symbols_write(&making, err));
    lists_make(&making);
    MRD_TRY(series_all_write(&making, err));
    MRD_TRY(lists_write(&making, err));
    MRD_TRY(table_write(&making, err));
    toc_write(&making);
    return mrd_tsdb_file_close(&making.file, true, err);
}
